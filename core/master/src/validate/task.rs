//! What a task, a task group and their executor must look like, and what they need of an offer. Texts are upstream's
//! (src/master/validation.cpp, `task`). Never launches.

mod group;

pub(crate) use group::group;

use super::{checks, id, resource};
use crate::{Framework, tasks::is_live};
use model::{
    mesos::{
        AgentInfo, ContainerInfo, ExecutorInfo, Resource, TaskInfo, agent_info::capability::Type as AgentCap,
        container_info, executor_info,
    },
    resources::{Allocated, Resources, allocation_role},
};

const EXECUTOR_CPUS_MIN: i64 = 10;
const EXECUTOR_MEM_MIN: i64 = 32_000;

/// What a launch happens on.
#[derive(Debug)]
pub struct Place<'a> {
    /// Who launches.
    pub framework: &'a Framework,
    /// Where.
    pub agent: &'a AgentInfo,
    /// What the agent can do.
    pub capabilities: &'a [AgentCap],
    /// The executor of that id which runs there already.
    pub executor: Option<&'a ExecutorInfo>,
    /// What is left of the offers.
    pub left: &'a Resources,
    /// The role they are offered to.
    pub role: &'a str,
}

/// What a task takes of its offers, or why it may not run.
pub fn task(task: &TaskInfo, place: &Place<'_>) -> Result<Resources, String> {
    if let Some(fault) = common(task, place) {
        return Err(fault);
    }
    if task.executor.is_some() == task.command.is_some() {
        return Err(
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present".to_owned()
        );
    }
    let mut needed: Vec<&[Resource]> = vec![&task.resources];
    if let Some(executor) = &task.executor {
        if let Some(fault) = self::executor(executor, place).or_else(|| custom(executor)) {
            return Err(fault);
        }
        let own = Resources::from_messages(&executor.resources).unwrap_or_default();
        if own.has_shared() {
            let own = Allocated(&own, place.role);
            return Err(format!("Executor resources {own} should not contain any shared resources"));
        }
        if share_cgroups(executor.container.as_deref()) == Some(true) {
            return Err("The 'share_cgroups' field cannot be set to 'true' on executor containers".to_owned());
        }
        if let Some(fault) = together(task, executor) {
            return Err(fault);
        }
        if place.executor.is_none() {
            needed.push(&executor.resources);
        }
    }
    let total = take(&needed, place).map_err(|(total, left)| {
        format!("Total resources {total} required by task and its executor is more than available {left}")
    })?;
    if share_cgroups(task.container.as_deref()) == Some(false) {
        return Err("Only tasks in a task group may have 'share_cgroups' set to 'false'".to_owned());
    }
    Ok(total)
}

/// What all of these need, if it is there for the role; or the two texts to compare.
fn take(needed: &[&[Resource]], place: &Place<'_>) -> Result<Resources, (String, String)> {
    let mut total = Resources::new();
    for part in needed {
        total += &Resources::from_messages(*part).unwrap_or_default();
    }
    let foreign = needed.iter().filter_map(|part| allocation_role(part)).find(|role| *role != place.role);
    if foreign.is_none() && place.left.contains(&total) {
        return Ok(total);
    }
    let role = foreign.unwrap_or(place.role);
    Err((Allocated(&total, role).to_string(), Allocated(place.left, place.role).to_string()))
}

fn common(task: &TaskInfo, place: &Place<'_>) -> Option<String> {
    let task_id = task.task_id.value.as_str();
    let agent = place.agent.id.as_ref().map_or("", |id| id.value.as_str());
    let grace = task.kill_policy.as_ref().and_then(|p| p.grace_period.as_ref());
    id(task_id)
        .or_else(|| {
            if place.framework.unreachable_tasks.contains_key(task_id) {
                return Some(format!("Task reuses the ID of an unreachable task: {task_id}"));
            }
            is_live(place.framework, task_id).then(|| format!("Task has duplicate ID: {task_id}"))
        })
        .or_else(|| {
            (task.agent_id.value != agent).then(|| {
                format!("Task uses invalid agent {} while agent {agent} is expected", task.agent_id.value)
            })
        })
        .or_else(|| {
            let negative = grace.is_some_and(|g| g.nanoseconds < 0);
            negative.then(|| "Task's 'kill_policy.grace_period' must be non-negative".to_owned())
        })
        .or_else(|| {
            let negative = task.max_completion_time.as_ref().is_some_and(|t| t.nanoseconds < 0);
            negative.then(|| "Task's `max_completion_time` must be non-negative".to_owned())
        })
        .or_else(|| {
            task.check.as_ref().and_then(checks::check).map(|f| format!("Task uses invalid check: {f}"))
        })
        .or_else(|| {
            let fault = task.health_check.as_deref().and_then(checks::health_check);
            fault.map(|f| format!("Task uses invalid health check: {f}"))
        })
        .or_else(|| own_resources(&task.resources))
        .or_else(|| {
            let fault = task.command.as_ref().and_then(checks::command);
            fault.map(|f| format!("Task's `CommandInfo` is invalid: {f}"))
        })
        .or_else(|| {
            let fault = task.container.as_deref().and_then(checks::container);
            fault.map(|f| format!("Task's `ContainerInfo` is invalid: {f}"))
        })
        .or_else(|| limits(task, place))
}

fn own_resources(resources: &[Resource]) -> Option<String> {
    if resources.is_empty() {
        return Some("Task uses no resources".to_owned());
    }
    resource::all(resources)
        .map(|f| format!("Task uses invalid resources: {f}"))
        .or_else(|| {
            resource::unique_persistence_ids(resources)
                .map(|f| format!("Task uses duplicate persistence ID: {f}"))
        })
        .or_else(|| resource::one_allocation_role(resources).map(|f| format!("Invalid task resources: {f}")))
        .or_else(|| {
            resource::revocable_or_not(resources)
                .map(|f| format!("Task mixes revocable and non-revocable resources: {f}"))
        })
}

fn limits(task: &TaskInfo, place: &Place<'_>) -> Option<String> {
    if task.limits.is_empty() {
        return None;
    }
    if !place.capabilities.contains(&AgentCap::TaskResourceLimits) {
        return Some("Agent is not capable of handling task resource limits".to_owned());
    }
    if task.limits.keys().any(|name| name != "cpus" && name != "mem") {
        return Some("Only cpus and mem may be included in a task's resource limits".to_owned());
    }
    let asked = Resources::from_messages(&task.resources).unwrap_or_default();
    let text = |name: &str, unset: &str, less: &str| {
        let limit = task.limits.get(name)?.value;
        if asked.milli(name) == 0 {
            return Some(unset.to_owned());
        }
        let fits = limit >= asked.scalar(name);
        (!fits).then(|| less.to_owned())
    };
    text(
        "cpus",
        "When a CPU limit is specified, a CPU request must also be specified",
        "The cpu limit must be greater than or equal to the cpu request",
    )
    .or_else(|| {
        text(
            "mem",
            "When a memory limit is specified, a memory request must also be specified",
            "The memory limit must be greater than or equal to the memory request",
        )
    })
}

/// What is wrong with an executor by itself.
pub(super) fn executor_shape(executor: &ExecutorInfo) -> Option<String> {
    let invalid = |text: &str| Some(text.to_owned());
    let container = executor.container.as_deref();
    let image = container.and_then(|c| c.mesos.as_ref()).is_some_and(|m| m.image.is_some());
    let kind = match executor.r#type() {
        executor_info::Type::Default if executor.command.is_some() => {
            invalid("'ExecutorInfo.command' must not be set for 'DEFAULT' executor")
        }
        executor_info::Type::Default
            if container.is_some_and(|c| c.r#type() != container_info::Type::Mesos) =>
        {
            invalid("'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor")
        }
        executor_info::Type::Default if image => {
            invalid("'ExecutorInfo.container.mesos.image' must not be set for 'DEFAULT' executor")
        }
        executor_info::Type::Custom if executor.command.is_none() => {
            invalid("'ExecutorInfo.command' must be set for 'CUSTOM' executor")
        }
        _ => None,
    };
    kind.or_else(|| id(&executor.executor_id.value))
        .or_else(|| {
            let negative = executor.shutdown_grace_period.as_ref().is_some_and(|g| g.nanoseconds < 0);
            negative.then(|| "ExecutorInfo's 'shutdown_grace_period' must be non-negative".to_owned())
        })
        .or_else(|| {
            let fault = executor.command.as_ref().and_then(checks::command);
            fault.map(|f| format!("Executor's `CommandInfo` is invalid: {f}"))
        })
        .or_else(|| {
            container
                .and_then(checks::container)
                .map(|f| format!("Executor's `ContainerInfo` is invalid: {f}"))
        })
}

fn executor(executor: &ExecutorInfo, place: &Place<'_>) -> Option<String> {
    executor_shape(executor)
        .or_else(|| match &executor.framework_id {
            None => Some("'ExecutorInfo.framework_id' must be set".to_owned()),
            Some(given) if given.value != place.framework.id() => Some(format!(
                "ExecutorInfo has an invalid FrameworkID (Actual: {} vs Expected: {})",
                given.value,
                place.framework.id()
            )),
            Some(_) => None,
        })
        .or_else(|| {
            let all = &executor.resources;
            resource::all(all)
                .map(|f| format!("Executor uses invalid resources: {f}"))
                .or_else(|| {
                    resource::unique_persistence_ids(all)
                        .map(|f| format!("Executor uses duplicate persistence ID: {f}"))
                })
                .or_else(|| {
                    resource::one_allocation_role(all).map(|f| format!("Invalid executor resources: {f}"))
                })
                .or_else(|| {
                    resource::revocable_or_not(all)
                        .map(|f| format!("Executor mixes revocable and non-revocable resources: {f}"))
                })
        })
        .or_else(|| differs(executor, place.executor?))
}

/// Both are shown in protobuf's text format.
fn differs(executor: &ExecutorInfo, known: &ExecutorInfo) -> Option<String> {
    use api::text::ToText as _;
    if executor == known {
        return None;
    }
    let line = "-".repeat(60);
    Some(format!(
        "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID.\n{line}\nExisting \
         ExecutorInfo:\n{}\n{line}\nExecutorInfo:\n{}\n{line}\n",
        known.to_text(),
        executor.to_text()
    ))
}

fn custom(executor: &ExecutorInfo) -> Option<String> {
    if executor.r#type.is_some() && executor.r#type() != executor_info::Type::Custom {
        return Some("'ExecutorInfo.type' must be 'CUSTOM'".to_owned());
    }
    executor.command.is_none().then(|| "'ExecutorInfo.command' must be set".to_owned())
}

fn together(task: &TaskInfo, executor: &ExecutorInfo) -> Option<String> {
    let both = || task.resources.iter().chain(&executor.resources);
    if resource::overlap(&[&task.resources, &executor.resources]) {
        let (task, executor) = (resource::printed(&task.resources), resource::printed(&executor.resources));
        return Some(format!(
            "There are overlapping resources in the task resources {task} and executor resources {executor}"
        ));
    }
    resource::unique_persistence_ids(both())
        .map(|f| format!("Task and its executor use duplicate persistence ID: {f}"))
        .or_else(|| {
            resource::revocable_or_not(both())
                .map(|f| format!("Task and its executor mix revocable and non-revocable resources: {f}"))
        })
}

fn share_cgroups(container: Option<&ContainerInfo>) -> Option<bool> {
    container.and_then(|c| c.linux_info.as_ref()).and_then(|l| l.share_cgroups)
}
