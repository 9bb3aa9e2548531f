//! Why a task group or its executor may not run together. Never one task alone (`task`).

use super::super::{checks, resource};
use super::{EXECUTOR_CPUS_MIN, EXECUTOR_MEM_MIN, Place, common, executor, share_cgroups, take};
use model::{
    mesos::{ExecutorInfo, Resource, TaskGroupInfo, TaskInfo, container_info, executor_info, health_check},
    resources::Resources,
};

/// What a group and its executor take of their offers, or why they may not run.
pub fn group(group: &TaskGroupInfo, executor: &ExecutorInfo, place: &Place<'_>) -> Result<Resources, String> {
    let mut ids = std::collections::BTreeSet::new();
    for task in &group.tasks {
        let fault = common(task, place).or_else(|| in_group(task)).or_else(|| {
            // Upstream's master aborts on this.
            (!ids.insert(&task.task_id.value))
                .then(|| format!("Task has duplicate ID: {}", task.task_id.value))
        });
        if let Some(fault) = fault {
            return Err(format!("Task '{}' is invalid: {fault}", task.task_id.value));
        }
    }
    let fault = self::executor(executor, place)
        .or_else(|| group_executor(group, executor))
        .or_else(|| group_together(group, executor));
    if let Some(fault) = fault {
        return Err(fault);
    }
    let mut needed: Vec<&[Resource]> = group.tasks.iter().map(|t| t.resources.as_slice()).collect();
    if place.executor.is_none() {
        needed.push(&executor.resources);
    }
    let total = take(&needed, place).map_err(|(total, left)| {
        format!(
            "Total resources {total} required by task group and its executor are more than available {left}"
        )
    })?;
    if let Some(fault) = executor.command.as_ref().and_then(checks::command) {
        let id = &executor.executor_id.value;
        return Err(format!("Executor '{id}'contains an invalid command: {fault}"));
    }
    match group_cgroups(group, executor, place) {
        Some(fault) => Err(fault),
        None => Ok(total),
    }
}

fn in_group(task: &TaskInfo) -> Option<String> {
    let container = task.container.as_deref();
    if task.executor.is_none() {
        return Some("'TaskInfo.executor' must be set".to_owned());
    }
    let probed = task
        .health_check
        .as_ref()
        .is_some_and(|h| matches!(h.r#type(), health_check::Type::Http | health_check::Type::Tcp));
    if probed && container.is_some_and(|c| !c.network_infos.is_empty()) {
        return Some(
            "HTTP and TCP health checks are not supported for nested containers not joining parent's network"
                .to_owned(),
        );
    }
    if container.is_some_and(|c| c.r#type() == container_info::Type::Docker) {
        return Some("Docker ContainerInfo is not supported on the task".to_owned());
    }
    (!task.limits.is_empty() && share_cgroups(container) != Some(false)).then(|| {
        "Resource limits may only be set for tasks within a task group when the 'share_cgroups' field is set to \
         'false'."
            .to_owned()
    })
}

fn group_executor(group: &TaskGroupInfo, executor: &ExecutorInfo) -> Option<String> {
    let id = &executor.executor_id.value;
    if executor.r#type.is_none() {
        return Some("'ExecutorInfo.type' must be set".to_owned());
    }
    if executor.r#type() == executor_info::Type::Unknown {
        return Some("Unknown executor type".to_owned());
    }
    if executor.container.as_deref().is_some_and(|c| c.r#type() == container_info::Type::Docker) {
        return Some("Docker ContainerInfo is not supported on the executor".to_owned());
    }
    if let Some(task) = group.tasks.iter().find(|t| t.executor.as_ref().is_some_and(|e| e != executor)) {
        let task = &task.task_id.value;
        return Some(format!("The `ExecutorInfo` of task '{task}' is different from executor '{id}'"));
    }
    let own = Resources::from_messages(&executor.resources).unwrap_or_default();
    let has = |name: &str| own.iter().any(|item| item.kind.name().as_str() == name);
    if own.milli("cpus") < EXECUTOR_CPUS_MIN {
        let uses = if has("cpus") { own.scalar("cpus").to_string() } else { "None".to_owned() };
        return Some(format!("Executor '{id}' uses less CPUs ({uses}) than the minimum required (0.01)"));
    }
    if own.milli("mem") < EXECUTOR_MEM_MIN {
        let uses = if has("mem") { format!("{}MB", own.scalar("mem")) } else { "None".to_owned() };
        return Some(format!("Executor '{id}' uses less memory ({uses}) than the minimum required (32MB)"));
    }
    (!has("disk")).then(|| format!("Executor '{id}' uses no disk"))
}

fn group_together(group: &TaskGroupInfo, executor: &ExecutorInfo) -> Option<String> {
    let all = || group.tasks.iter().flat_map(|t| &t.resources).chain(&executor.resources);
    let mut parts: Vec<&[Resource]> = group.tasks.iter().map(|t| t.resources.as_slice()).collect();
    parts.push(&executor.resources);
    resource::unique_persistence_ids(all())
        .map(|f| format!("Task group and executor use duplicate persistence ID: {f}"))
        .or_else(|| {
            resource::revocable_or_not(all())
                .map(|f| format!("Task group and executor mix revocable and non-revocable resources: {f}"))
        })
        .or_else(|| {
            resource::overlap(&parts).then(|| {
                let tasks: Vec<_> = group.tasks.iter().map(|t| resource::printed(&t.resources)).collect();
                format!(
                    "There are overlapping resources in the task group's task resources [ {} ] and/or executor \
                     resources {}",
                    tasks.join(", "),
                    resource::printed(&executor.resources)
                )
            })
        })
}

fn group_cgroups(group: &TaskGroupInfo, executor: &ExecutorInfo, place: &Place<'_>) -> Option<String> {
    if share_cgroups(executor.container.as_deref()) == Some(true) {
        return Some("The 'share_cgroups' field cannot be set to 'true' on executor containers".to_owned());
    }
    let fresh = group.tasks.iter().map(|t| share_cgroups(t.container.as_deref()).unwrap_or(true));
    let same_executor = |t: &&model::mesos::Task| {
        Some(&t.agent_id) == place.agent.id.as_ref() && t.executor_id.as_ref() == Some(&executor.executor_id)
    };
    let running = place.framework.tasks.values().filter(same_executor);
    let running = running.map(|t| share_cgroups(t.container.as_deref()).unwrap_or(true));
    let all: std::collections::BTreeSet<bool> =
        if place.executor.is_some() { fresh.chain(running).collect() } else { fresh.collect() };
    (all.len() > 1).then(|| {
        "If set, the value of 'share_cgroups' must be the same for all tasks in each task group and under a \
         single executor"
            .to_owned()
    })
}
