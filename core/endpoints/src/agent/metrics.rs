//! The agent's numbers by upstream's names (docs/monitoring.md). What is never counted here stands at 0.

use agent::{Agent, Runner};
use model::{mesos::TaskState, resources::Resources};
use std::collections::BTreeMap;

/// Of parts that are not there yet, or never go wrong here.
const ZERO: [&str; 17] = [
    "containerizer/fetcher/cache_size_total_bytes",
    "containerizer/fetcher/cache_size_used_bytes",
    "containerizer/fetcher/task_fetches_failed",
    "containerizer/fetcher/task_fetches_succeeded",
    "containerizer/mesos/container_destroy_errors",
    "containerizer/mesos/provisioner/bind/remove_rootfs_errors",
    "containerizer/mesos/provisioner/remove_container_errors",
    "gc/path_removals_failed",
    "gc/path_removals_pending",
    "gc/path_removals_succeeded",
    "resource_provider_manager/events/disconnect",
    "resource_provider_manager/events/subscribe",
    "resource_provider_manager/subscribed",
    "slave/executor_directory_max_allowed_age_secs",
    "slave/executors_preempted",
    "slave/invalid_framework_messages",
    "slave/valid_framework_messages",
];
const LIVE: [(TaskState, &str); 4] = [
    (TaskState::TaskStaging, "tasks_staging"),
    (TaskState::TaskStarting, "tasks_starting"),
    (TaskState::TaskRunning, "tasks_running"),
    (TaskState::TaskKilling, "tasks_killing"),
];
const ENDED: [(TaskState, &str); 5] = [
    (TaskState::TaskFinished, "tasks_finished"),
    (TaskState::TaskFailed, "tasks_failed"),
    (TaskState::TaskKilled, "tasks_killed"),
    (TaskState::TaskLost, "tasks_lost"),
    (TaskState::TaskGone, "tasks_gone"),
];

/// All that the agent itself knows.
pub(super) fn all(agent: &Agent) -> BTreeMap<String, f64> {
    let mut values: BTreeMap<String, f64> = ZERO.iter().map(|name| ((*name).to_owned(), 0.0)).collect();
    let mut put = |name: &str, value: f64| {
        values.insert(format!("slave/{name}"), value);
    };
    let counters = agent.counters();
    put("registered", f64::from(u8::from(agent.is_registered())));
    put("valid_status_updates", counters.updates as f64);
    put("invalid_status_updates", counters.updates_dropped as f64);
    put("recovery_errors", counters.records_broken as f64);
    put("recovery_time_secs", agent.recovery_time().map_or(0.0, |t| t.as_secs_f64()));
    put("container_launch_errors", counters.launches_failed as f64);
    put("frameworks_active", agent.frameworks().len() as f64);
    let live = || agent.tasks().values().filter(|t| t.is_live());
    let played = live().filter(|t| t.runner == Runner::Agent).count();
    let brought = agent.executors().values().filter(|e| e.is_live());
    put("executors_running", (played + brought.clone().filter(|e| e.is_running()).count()) as f64);
    put("executors_registering", brought.clone().filter(|e| e.is_registering()).count() as f64);
    put("executors_terminating", brought.filter(|e| e.is_ending()).count() as f64);
    put("executors_terminated", counters.executors_ended as f64);
    for (state, name) in LIVE {
        put(name, live().filter(|t| t.state == state).count() as f64);
    }
    for (state, name) in ENDED {
        put(name, counters.ended.get(state.as_str_name()).copied().unwrap_or_default() as f64);
    }
    let used = agent.used();
    let total = Resources::from_messages(&agent.info().resources).unwrap_or_default();
    let revocable = |all: &Resources| all.filter(|item| item.kind.is_revocable());
    let kept = |all: &Resources| all.filter(|item| !item.kind.is_revocable());
    for (end, total, used) in
        [("", kept(&total), kept(&used)), ("_revocable", revocable(&total), revocable(&used))]
    {
        for kind in ["cpus", "gpus", "mem", "disk"] {
            let (total, used) = (total.scalar(kind), used.scalar(kind));
            put(&format!("{kind}{end}_total"), total);
            put(&format!("{kind}{end}_used"), used);
            put(&format!("{kind}{end}_percent"), if total > 0.0 { used / total } else { 0.0 });
        }
    }
    values
}
