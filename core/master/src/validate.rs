//! What a call, a framework or a task must look like. Texts are upstream's (src/master/validation.cpp).

use crate::{Framework, tasks::is_live};
use model::{
    mesos::{
        FrameworkInfo, TaskInfo,
        framework_info::capability::Type as Cap,
        scheduler::{Call, call},
    },
    resources::{Resources, role_fault},
};
use std::collections::BTreeSet;

/// Longest id that is taken, in bytes.
const ID_BYTES_MAX: usize = 255;

/// What is wrong with an id that becomes part of paths.
pub fn id(id: &str) -> Option<String> {
    if id.is_empty() {
        return Some("ID must not be empty".to_owned());
    }
    if id.len() > ID_BYTES_MAX {
        return Some(format!("ID must not be greater than {ID_BYTES_MAX} characters"));
    }
    if id == "." || id == ".." {
        return Some(format!("'{id}' is disallowed"));
    }
    id.chars()
        .any(|c| c.is_control() || c == '/' || c == '\\')
        .then(|| format!("'{id}' contains invalid characters"))
}

/// What is wrong with the shape of a call, independent of any state.
pub fn call(call: &Call) -> Option<String> {
    let expecting = |what: &str| Some(format!("Expecting '{what}' to be present"));
    if call.r#type.is_none() {
        return expecting("type");
    }
    let framework_id = call.framework_id.as_ref().map(|id| id.value.as_str());
    if call.r#type() == call::Type::Subscribe {
        let Some(subscribe) = &call.subscribe else { return expecting("subscribe") };
        let inner = subscribe.framework_info.id.as_ref().map(|id| id.value.as_str());
        return (framework_id.unwrap_or_default() != inner.unwrap_or_default())
            .then(|| "'framework_id' differs from 'subscribe.framework_info.id'".to_owned());
    }
    if framework_id.is_none() {
        return expecting("framework_id");
    }
    match call.r#type() {
        call::Type::Accept if call.accept.is_none() => expecting("accept"),
        call::Type::Decline if call.decline.is_none() => expecting("decline"),
        call::Type::AcceptInverseOffers if call.accept_inverse_offers.is_none() => {
            expecting("accept_inverse_offers")
        }
        call::Type::DeclineInverseOffers if call.decline_inverse_offers.is_none() => {
            expecting("decline_inverse_offers")
        }
        call::Type::Kill if call.kill.is_none() => expecting("kill"),
        call::Type::Shutdown if call.shutdown.is_none() => expecting("shutdown"),
        call::Type::Acknowledge => match &call.acknowledge {
            None => expecting("acknowledge"),
            Some(acknowledge) if !is_uuid(&acknowledge.uuid) => Some("Not a valid UUID".to_owned()),
            Some(_) => None,
        },
        call::Type::AcknowledgeOperationStatus if call.acknowledge_operation_status.is_none() => {
            expecting("acknowledge_operation_status")
        }
        call::Type::Reconcile if call.reconcile.is_none() => expecting("reconcile"),
        call::Type::ReconcileOperations if call.reconcile_operations.is_none() => {
            expecting("reconcile_operations")
        }
        call::Type::Message if call.message.is_none() => expecting("message"),
        call::Type::Request if call.request.is_none() => expecting("request"),
        call::Type::UpdateFramework if call.update_framework.is_none() => expecting("update_framework"),
        _ => None,
    }
}

/// 16 bytes with a version of 1 to 5, as upstream's parser wants them.
fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 16 && (1..=5).contains(&(bytes[6] >> 4))
}

/// What is wrong with a framework's info.
pub fn framework(info: &FrameworkInfo, suppressed: &[String]) -> Option<String> {
    if let Some(given) = info.id.as_ref().filter(|i| !i.value.is_empty())
        && let Some(fault) = id(&given.value)
    {
        return Some(format!("Framework ID '{}' is invalid: {fault}", given.value));
    }
    let multi_role = info.capabilities.iter().any(|c| c.r#type() == Cap::MultiRole);
    if multi_role && info.role.is_some() {
        return Some(
            "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable".to_owned(),
        );
    }
    if !multi_role && !info.roles.is_empty() {
        return Some(
            "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable".to_owned(),
        );
    }
    let roles = crate::roles(info);
    let mut seen = BTreeSet::new();
    let duplicates: Vec<_> = roles.iter().filter(|r| !seen.insert(r.as_str())).map(String::as_str).collect();
    if !duplicates.is_empty() {
        return Some(format!(
            "'FrameworkInfo.roles' contains duplicate items: {{ {} }}",
            duplicates.join(", ")
        ));
    }
    if let Some(fault) = roles.iter().find_map(|r| role_fault(r)) {
        return Some(format!("'FrameworkInfo.roles' contains invalid roles: {fault}"));
    }
    let foreign: Vec<_> = suppressed.iter().filter(|r| !roles.contains(r)).map(String::as_str).collect();
    if !foreign.is_empty() {
        return Some(format!(
            "Suppressed roles {{ {} }} are not contained in the set of roles",
            foreign.join(", ")
        ));
    }
    let timeout = info.failover_timeout();
    if timeout.is_nan() || timeout > 1e10 {
        return Some(format!("The framework failover_timeout ({}) is invalid", as_c(timeout)));
    }
    None
}

/// Numbers as C++ streams print them: `1e+30`.
fn as_c(number: f64) -> String {
    let plain = format!("{number:e}");
    match plain.split_once('e') {
        Some((mantissa, exponent)) if exponent.len() >= 2 && !exponent.starts_with('-') => {
            format!("{mantissa}e+{exponent}")
        }
        _ => number.to_string(),
    }
}

/// What a task needs of its offers, or why it may not run.
pub fn task(
    framework: &Framework,
    agent: &str,
    task: &TaskInfo,
    left: &Resources,
) -> Result<Resources, String> {
    let task_id = task.task_id.value.as_str();
    if let Some(fault) = id(task_id) {
        return Err(format!("Task ID '{task_id}' is invalid: {fault}"));
    }
    if is_live(framework, task_id) {
        return Err(format!("Task has duplicate ID: {task_id}"));
    }
    if task.agent_id.value != agent {
        return Err(format!(
            "Task uses invalid agent {} while agent {agent} is expected",
            task.agent_id.value
        ));
    }
    if task.executor.is_some() == task.command.is_some() {
        return Err(
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present".to_owned()
        );
    }
    if let Some(check) = &task.health_check
        && check.r#type.is_none()
    {
        return Err("Task uses invalid health check: HealthCheck must specify 'type'".to_owned());
    }
    let grace = task.kill_policy.as_ref().and_then(|p| p.grace_period.as_ref());
    if grace.is_some_and(|g| g.nanoseconds < 0) {
        return Err("Task's 'kill_policy.grace_period' must be non-negative".to_owned());
    }
    if task.max_completion_time.as_ref().is_some_and(|t| t.nanoseconds < 0) {
        return Err("Task's `max_completion_time` must be non-negative".to_owned());
    }
    let own = Resources::from_messages(&task.resources)
        .map_err(|invalid| format!("Task uses invalid resources: {invalid}"))?;
    if own.is_empty() {
        return Err("Task uses no resources".to_owned());
    }
    let mut total = own;
    if let Some(executor) = &task.executor {
        total += &Resources::from_messages(&executor.resources)
            .map_err(|invalid| format!("Executor uses invalid resources: {invalid}"))?;
    }
    for (name, limit) in &task.limits {
        if name != "cpus" && name != "mem" {
            return Err(format!("Limits may only be set for cpus and mem, not for {name}"));
        }
        if limit.value < total.scalar(name) {
            return Err(format!("The {name} limit of a task must be at least its request"));
        }
    }
    if !left.contains(&total) {
        return Err(format!(
            "Total resources {total} required by task and its executor is more than available {left}"
        ));
    }
    Ok(total)
}
