//! The bodies of Marathon's reads: apps and tasks, and below: deployments, groups, pods, the queue. Read-only.
//!
//! Never routes, filters or wraps a whole answer: that is the HTTP surface's.

mod deployments;
mod groups;
mod outline;
mod pods;
mod queue;
mod stats;
mod task;
mod text;

pub use groups::InGroup;
pub use outline::{Listed, Outline, Stamp};

use crate::{
    Failure, Orchestrator,
    instances::{Checked, Condition, Instance},
    when,
};
use base::Time;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What is asked for besides an app's definition (InfoEmbedResolver).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Embed {
    /// How many tasks are where.
    pub counts: bool,
    /// The deployments that have it.
    pub deployments: bool,
    /// What readiness checks found.
    pub readiness: bool,
    /// How its last task failed.
    pub last_task_failure: bool,
    /// Its tasks.
    pub tasks: bool,
    /// Counts and ages of tasks by version.
    pub task_stats: bool,
    /// Why it waits; Marathon does not have it.
    pub why: bool,
}

impl Embed {
    /// From the names that a client gives, with a prefix or without; unknown ones are passed over.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all = Self::default();
        for name in names {
            let prefixes = ["group.apps.", "apps.", "app."];
            match prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name) {
                "counts" => all.counts = true,
                "deployments" => all.deployments = true,
                "readiness" => all.readiness = true,
                "lastTaskFailure" => all.last_task_failure = true,
                "taskStats" => all.task_stats = true,
                "why" => all.why = true,
                "tasks" => (all.tasks, all.deployments) = (true, true),
                "failures" => {
                    (all.tasks, all.deployments, all.last_task_failure) = (true, true, true);
                }
                _ => {}
            }
        }
        all
    }
}

impl Orchestrator {
    /// An app with what is asked for besides.
    pub fn app_info(&self, id: &str, embed: Embed, now: Time) -> Option<Value> {
        let state = self.app(id)?;
        let mut info = (*state.app).clone();
        if state.spec.every {
            info["instances"] = self.tally(id).active.into();
        }
        if embed.counts {
            let tally = self.tally(id);
            info["tasksStaged"] = tally.staged.into();
            info["tasksRunning"] = tally.running.into();
            info["tasksHealthy"] = tally.healthy.into();
            info["tasksUnhealthy"] = tally.unhealthy.into();
        }
        if embed.deployments {
            let locked = self.deployment_of(id).map(|deployment| json!({ "id": deployment.id }));
            info["deployments"] = locked.into_iter().collect();
        }
        if embed.readiness {
            info["readinessCheckResults"] = self.readiness_info(id).into();
        }
        if embed.tasks {
            info["tasks"] = self.tasks_info(id);
        }
        if let Some(failure) = self.last_failure(id).filter(|_| embed.last_task_failure) {
            info["lastTaskFailure"] = failure_info(id, failure);
        }
        if let Some(run) = self.run_info(&state.spec) {
            info["run"] = run;
        }
        if let Some(scaling) = self.autoscale_info(id, now) {
            info["autoscaling"] = scaling;
        }
        let blocked = || self.queue.contains_key(id) && self.refused_at_launch(&state.spec).is_some();
        if embed.why || (embed.counts && blocked()) {
            info["why"] = self.why_info(id, now);
        }
        if embed.task_stats {
            info["tasksStats"] = self.stats_info(id, now);
        }
        Some(info)
    }

    /// All tasks of an app.
    pub fn tasks_info(&self, id: &str) -> Value {
        self.instances_of(id).map(|instance| self.task_info(instance)).collect()
    }

    /// One task.
    pub fn task_info(&self, instance: &Instance) -> Value {
        let spec = self.spec_of(instance);
        let mut text = Vec::new();
        task::write_task(instance, spec.as_deref(), &mut text);
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// How many tasks are in which state, for `/metrics`.
    pub fn task_counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::from([("running", 0), ("staged", 0), ("unreachable", 0)]);
        for instance in self.instances().filter(|instance| !instance.rests()) {
            let name = match instance.condition {
                Condition::Running => "running",
                Condition::Unreachable | Condition::UnreachableInactive => "unreachable",
                Condition::Killing | Condition::Suspended => "killing",
                Condition::Provisioned | Condition::Staging | Condition::Starting => "staged",
            };
            *counts.entry(name).or_default() += 1;
        }
        counts
    }
}

fn known(checked: &Checked) -> bool {
    checked.alive || checked.last_failure.is_some()
}

fn failure_info(id: &str, failure: &Failure) -> Value {
    json!({
        "appId": id, "host": failure.host, "message": failure.message, "state": failure.state,
        "taskId": failure.task, "timestamp": when(failure.at), "version": failure.version,
        "slaveId": failure.agent,
    })
}
