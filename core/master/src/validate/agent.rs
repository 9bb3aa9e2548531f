//! What agents may say when they register. Texts are upstream's (src/master/validation.cpp, `registerSlave` and
//! `reregisterSlave`). Never whether an agent is wanted (`agents`).

use super::{framework, id, task::executor_shape};
use model::{
    mesos::{AgentInfo, Resource, TaskState, internal},
    resources::Resources,
};
use std::collections::BTreeSet;

/// The first version whose agents are taken.
const MAJOR_MIN: u64 = 1;

/// What is wrong with a first registration.
pub fn registration(message: &internal::RegisterSlaveMessage) -> Option<String> {
    version(message.version()).or_else(|| info(&message.slave)).or_else(|| {
        let unexpected = !message.checkpointed_resources.is_empty() && !message.slave.checkpoint();
        unexpected.then(|| "Checkpointed resources provided when checkpointing is not enabled".to_owned())
    })
}

/// What is wrong with a return.
pub fn reregistration(message: &internal::ReregisterSlaveMessage) -> Option<String> {
    version(message.version()).or_else(|| info(&message.slave)).or_else(|| {
        let mut frameworks = BTreeSet::new();
        for one in &message.frameworks {
            if let Some(fault) = framework(one) {
                return Some(fault);
            }
            let id = one.id.as_ref().map_or("", |id| &id.value);
            if !frameworks.insert(id) {
                return Some(format!("Framework has a duplicate FrameworkID: '{id}'"));
            }
        }
        executors(message, &frameworks)
    })
}

fn executors(message: &internal::ReregisterSlaveMessage, frameworks: &BTreeSet<&str>) -> Option<String> {
    let mut known = BTreeSet::new();
    for executor in &message.executor_infos {
        if let Some(fault) = executor_shape(executor).or_else(|| resources(&executor.resources)) {
            return Some(fault);
        }
        let framework = executor.framework_id.as_ref().map_or("", |id| &id.value);
        if !frameworks.contains(framework) {
            return Some(format!("Executor has an invalid FrameworkID '{framework}'"));
        }
        let id = executor.executor_id.value.as_str();
        if !known.insert((framework, id)) {
            return Some(format!("Framework '{framework}' has a duplicate ExecutorID '{id}'"));
        }
    }
    let own = message.slave.id.as_ref();
    message.tasks.iter().find_map(|task| {
        let framework = task.framework_id.value.as_str();
        let executor = task.executor_id.as_ref().filter(|_| task.state() == TaskState::TaskRunning);
        if let Some(fault) = id(&task.task_id.value) {
            Some(format!("Task has an invalid TaskID: {fault}"))
        } else if Some(&task.agent_id) != own {
            Some(format!("Task has an invalid SlaveID '{}'", task.agent_id.value))
        } else if !frameworks.contains(framework) {
            Some(format!("Task has an invalid FrameworkID '{framework}'"))
        } else if let Some(missing) = executor.filter(|id| !known.contains(&(framework, id.value.as_str()))) {
            Some(format!("Task has an invalid ExecutorID '{}'", missing.value))
        } else {
            resources(&task.resources).map(|fault| format!("Task uses invalid resources: {fault}"))
        }
    })
}

fn info(info: &AgentInfo) -> Option<String> {
    info.id.as_ref().and_then(|own| id(&own.value))
}

fn resources(resources: &[Resource]) -> Option<String> {
    Resources::from_messages(resources).err().map(|fault| fault.to_string())
}

fn version(text: &str) -> Option<String> {
    let numbers: Vec<Option<u64>> =
        text.split(['-', '+']).next().unwrap_or_default().split('.').map(|n| n.parse().ok()).collect();
    match numbers.first() {
        Some(Some(major)) if numbers.len() <= 3 && numbers.iter().all(Option::is_some) => (*major
            < MAJOR_MIN)
            .then(|| format!("agent version is {text}, minimum supported agent version is 1.0.0")),
        _ => Some(format!("Failed to parse version '{text}'")),
    }
}
