//! The master's numbers by upstream's names (docs/monitoring.md). What is never counted here stands at 0.

use master::{Framework, Master, Tables as _, View};
use model::{
    mesos::{
        TaskState,
        scheduler::event,
        task_status::{Reason, Source},
    },
    resources::Resources,
};
use std::collections::{BTreeMap, BTreeSet};

/// Counted by the master under exactly these names.
const COUNTED: [&str; 54] = [
    "http_cache_hits",
    "invalid_executor_to_framework_messages",
    "invalid_framework_to_executor_messages",
    "invalid_operation_status_update_acknowledgements",
    "invalid_operation_status_updates",
    "invalid_status_update_acknowledgements",
    "messages_authenticate",
    "messages_deactivate_framework",
    "messages_decline_offers",
    "messages_executor_to_framework",
    "messages_exited_executor",
    "messages_framework_to_executor",
    "messages_kill_task",
    "messages_launch_tasks",
    "messages_operation_status_update",
    "messages_operation_status_update_acknowledgement",
    "messages_reconcile_operations",
    "messages_reconcile_tasks",
    "messages_register_framework",
    "messages_register_slave",
    "messages_reregister_framework",
    "messages_reregister_slave",
    "messages_resource_request",
    "messages_revive_offers",
    "messages_status_update",
    "messages_status_update_acknowledgement",
    "messages_suppress_offers",
    "messages_unregister_framework",
    "messages_unregister_slave",
    "messages_update_slave",
    "recovery_slave_removals",
    "slave_registrations",
    "slave_removals",
    "slave_removals/reason_registered",
    "slave_removals/reason_unhealthy",
    "slave_removals/reason_unregistered",
    "slave_reregistrations",
    "slave_shutdowns_canceled",
    "slave_shutdowns_completed",
    "slave_shutdowns_scheduled",
    "slave_unreachable_canceled",
    "slave_unreachable_completed",
    "slave_unreachable_scheduled",
    "valid_executor_to_framework_messages",
    "valid_framework_to_executor_messages",
    "valid_operation_status_update_acknowledgements",
    "valid_operation_status_updates",
    "valid_status_update_acknowledgements",
    "operations/dropped",
    "operations/error",
    "operations/failed",
    "operations/finished",
    "operations/gone_by_operator",
    "operations/unreachable",
];
const OPERATIONS: [&str; 8] = [
    "create",
    "create_disk",
    "destroy",
    "destroy_disk",
    "grow_volume",
    "reserve",
    "shrink_volume",
    "unreserve",
];
const OPERATION_STATES: [&str; 9] = [
    "dropped",
    "error",
    "failed",
    "finished",
    "gone_by_operator",
    "pending",
    "recovering",
    "total",
    "unreachable",
];
const CALLS: [&str; 17] = [
    "accept",
    "accept_inverse_offers",
    "acknowledge",
    "acknowledge_operation_status",
    "decline",
    "decline_inverse_offers",
    "kill",
    "message",
    "reconcile",
    "reconcile_operations",
    "request",
    "revive",
    "shutdown",
    "subscribe",
    "suppress",
    "teardown",
    "update_framework",
];
const LIVE: [(TaskState, &str); 4] = [
    (TaskState::TaskStaging, "tasks_staging"),
    (TaskState::TaskStarting, "tasks_starting"),
    (TaskState::TaskRunning, "tasks_running"),
    (TaskState::TaskKilling, "tasks_killing"),
];
const ENDED: [(TaskState, &str); 8] = [
    (TaskState::TaskFinished, "tasks_finished"),
    (TaskState::TaskFailed, "tasks_failed"),
    (TaskState::TaskKilled, "tasks_killed"),
    (TaskState::TaskLost, "tasks_lost"),
    (TaskState::TaskError, "tasks_error"),
    (TaskState::TaskDropped, "tasks_dropped"),
    (TaskState::TaskGone, "tasks_gone"),
    (TaskState::TaskGoneByOperator, "tasks_gone_by_operator"),
];
/// Frameworks whose numbers are told one by one; those of more are only summed.
const FRAMEWORKS_MAX: usize = 1000;

/// All that the master itself knows.
pub(super) fn all(master: &Master) -> BTreeMap<String, f64> {
    let mut values = BTreeMap::new();
    let mut put = |name: &str, value: f64| {
        values.insert(format!("master/{name}"), value);
    };
    put("elected", 1.0);
    let counters = master.counters();
    for name in COUNTED {
        put(name, counters.named(name) as f64);
    }
    for kind in OPERATIONS {
        for state in OPERATION_STATES {
            let name = format!("operations/{kind}/{state}");
            put(&name, counters.named(&name) as f64);
        }
    }
    for state in ["pending", "recovering", "total"] {
        let name = format!("operations/{state}");
        put(&name, counters.named(&name) as f64);
    }
    put("dropped_messages", counters.messages_dropped as f64);
    put("valid_status_updates", counters.updates as f64);
    put("invalid_status_updates", counters.updates_dropped as f64);
    put("outstanding_offers", master.offers().len() as f64);
    put("operator_event_stream_subscribers", master.subscribers().len() as f64);
    for (state, name) in ENDED {
        put(name, counters.ended.get(state.as_str_name()).copied().unwrap_or_default() as f64);
    }
    for ((state, source, reason), count) in &counters.reasons {
        put(&reasoned(*state, *source, *reason), *count as f64);
    }
    put("slaves_unreachable", master.unreachable().len() as f64);
    values.insert("allocator/mesos/allocation_runs".to_owned(), counters.allocations as f64);
    let joined: BTreeSet<String> = master.frameworks().values().flat_map(Framework::roles).collect();
    for role in joined {
        let filters = master.allocator().filters_in(&role) as f64;
        values.insert(format!("allocator/mesos/offer_filters/roles/{role}/active"), filters);
    }
    for (principal, calls) in &counters.principals {
        for name in ["messages_received", "messages_processed"] {
            values.insert(format!("frameworks/{principal}/{name}"), *calls as f64);
        }
    }
    for framework in master.frameworks().values().take(FRAMEWORKS_MAX) {
        for role in framework.roles() {
            let suppressed = f64::from(u8::from(master.allocator().is_suppressed(framework.id(), &role)));
            values.insert(format!("{}/roles/{role}/suppressed", prefix(framework)), suppressed);
        }
    }
    values
}

/// What a copy of its tables says: with many tasks that takes long, and the master goes on meanwhile.
pub(crate) fn of_tables(master: &View) -> BTreeMap<String, f64> {
    let mut values = BTreeMap::new();
    let mut put = |name: &str, value: f64| {
        values.insert(format!("master/{name}"), value);
    };
    tasks(master, &mut put);
    members(master, &mut put);
    let (total, offered_or_used) = amounts(master, &mut put);
    for kind in ["cpus", "disk", "mem"] {
        let name = format!("allocator/mesos/resources/{kind}");
        values.insert(format!("{name}/total"), total.scalar(kind));
        values.insert(format!("{name}/offered_or_allocated"), offered_or_used.scalar(kind));
    }
    roles(master, &total, &mut values);
    for framework in master.frameworks().values().take(FRAMEWORKS_MAX) {
        of_framework(framework, &mut values);
    }
    values
}

fn tasks(master: &View, put: &mut impl FnMut(&str, f64)) {
    let mut live: BTreeMap<i32, u64> = BTreeMap::new();
    let mut unreachable = 0;
    for framework in master.frameworks().values() {
        unreachable += framework.unreachable_tasks.len();
        for task in framework.tasks.values() {
            *live.entry(task.state).or_default() += 1;
        }
    }
    for (state, name) in LIVE {
        put(name, live.get(&state.into()).copied().unwrap_or_default() as f64);
    }
    put("tasks_unreachable", unreachable as f64);
}

fn members(master: &View, put: &mut impl FnMut(&str, f64)) {
    let agents = master.agents().values();
    let connected = agents.clone().filter(|a| a.connected).count();
    let active = agents.clone().filter(|a| master.is_active(a)).count();
    let all = master.agents().len();
    put("slaves_connected", connected as f64);
    put("slaves_disconnected", (all - connected) as f64);
    put("slaves_active", active as f64);
    put("slaves_inactive", (all - active) as f64);
    let frameworks = master.frameworks().values();
    let connected = frameworks.clone().filter(|f| f.session.is_some()).count();
    let active = frameworks.clone().filter(|f| f.is_active()).count();
    put("frameworks_connected", connected as f64);
    put("frameworks_active", active as f64);
    put("frameworks_disconnected", (master.frameworks().len() - connected) as f64);
    put("frameworks_inactive", (master.frameworks().len() - active) as f64);
}

/// Total, and what is offered or used.
fn amounts(master: &View, put: &mut impl FnMut(&str, f64)) -> (Resources, Resources) {
    let (mut total, mut used) = (Resources::default(), Resources::default());
    let mut offered = Resources::default();
    for agent in master.agents().values() {
        total += &agent.total;
        used += &master.used_on(agent);
        offered += &master.offered_on(agent);
    }
    let revocable = |all: &Resources| all.filter(|item| item.kind.is_revocable());
    let kept = |all: &Resources| all.filter(|item| !item.kind.is_revocable());
    let pairs = [("", kept(&total), kept(&used)), ("_revocable", revocable(&total), revocable(&used))];
    for (end, total, used) in pairs {
        for kind in ["cpus", "gpus", "mem", "disk"] {
            let (total, used) = (total.scalar(kind), used.scalar(kind));
            put(&format!("{kind}{end}_total"), total);
            put(&format!("{kind}{end}_used"), used);
            put(&format!("{kind}{end}_percent"), if total > 0.0 { used / total } else { 0.0 });
        }
    }
    offered += &used;
    (total, offered)
}

/// The largest share of each role that somebody is in.
fn roles(master: &View, total: &Resources, values: &mut BTreeMap<String, f64>) {
    let joined: BTreeSet<String> = master.frameworks().values().flat_map(Framework::roles).collect();
    for (role, breakdown) in master::breakdowns(master, &joined) {
        let mut held = breakdown.allocated;
        held.add_all(&breakdown.offered);
        let shares = held.0.iter().filter_map(|(name, milli)| {
            let all = total.milli(name);
            (all > 0).then(|| *milli as f64 / all as f64)
        });
        let dominant = shares.fold(0.0, f64::max);
        values.insert(format!("allocator/mesos/roles/{role}/shares/dominant"), dominant);
    }
}

fn prefix(framework: &Framework) -> String {
    format!("master/frameworks/{}/{}", encoded(&framework.info.name), framework.id())
}

fn of_framework(framework: &Framework, values: &mut BTreeMap<String, f64>) {
    let prefix = prefix(framework);
    let mut put = |what: &str, value: f64| {
        values.insert(format!("{prefix}/{what}"), value);
    };
    let count = |what: &str| framework.counts.get(what).copied().unwrap_or_default() as f64;
    put("subscribed", f64::from(u8::from(framework.session.is_some())));
    let mut calls = 0.0;
    for call in CALLS {
        let name = format!("calls/{call}");
        calls += count(&name);
        put(&name, count(&name));
    }
    put("calls", calls);
    for number in 1.. {
        let Ok(kind) = event::Type::try_from(number) else { break };
        let name = format!("events/{}", kind.as_str_name().to_ascii_lowercase());
        put(&name, framework.events.of(kind) as f64);
    }
    put("events", framework.events.all() as f64);
    for what in ["sent", "accepted", "declined", "rescinded"] {
        let name = format!("offers/{what}");
        put(&name, count(&name));
    }
    let mut operations = 0.0;
    for kind in OPERATIONS.into_iter().chain(["launch", "launch_group"]) {
        let name = format!("operations/{kind}");
        operations += count(&name);
        put(&name, count(&name));
    }
    put("operations", operations);
    let mut live: BTreeMap<TaskState, usize> = BTreeMap::new();
    for task in framework.tasks.values() {
        *live.entry(task.state()).or_default() += 1;
    }
    let states = ["killing", "running", "staging", "starting", "unknown", "unreachable"];
    for state in states {
        let full = format!("TASK_{}", state.to_ascii_uppercase());
        let live = match state {
            "unreachable" => framework.unreachable_tasks.len(),
            _ => live.iter().filter(|(state, _)| state.as_str_name() == full).map(|(_, count)| count).sum(),
        };
        put(&format!("tasks/active/task_{state}"), live as f64);
    }
    for (state, _) in ENDED {
        let name = format!("tasks/terminal/{}", state.as_str_name().to_ascii_lowercase());
        put(&name, count(&name));
    }
}

/// By the names of old: agents are slaves.
fn reasoned(state: TaskState, source: Source, reason: Reason) -> String {
    let [state, source, reason] = [state.as_str_name(), source.as_str_name(), reason.as_str_name()]
        .map(|name| name.to_ascii_lowercase().replace("agent", "slave"));
    format!("{state}/{source}/{reason}")
}

/// Percent-encoded, so that a framework's name is one part of a metric's.
fn encoded(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_graphic() && !b"$&+,/:;=?@\"<>#%{}|\\^~[]`".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_tasks_ended_is_named_as_in_the_original_s_tables() {
        let lost = |source, reason| reasoned(TaskState::TaskLost, source, reason);
        assert_eq!(
            lost(Source::Master, Reason::InvalidOffers),
            "task_lost/source_master/reason_invalid_offers"
        );
        assert_eq!(
            lost(Source::Master, Reason::AgentRemoved),
            "task_lost/source_master/reason_slave_removed"
        );
        assert_eq!(
            lost(Source::Agent, Reason::ExecutorTerminated),
            "task_lost/source_slave/reason_executor_terminated"
        );
    }
}
