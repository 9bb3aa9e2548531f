//! Apps and pods that run once: what is done is not started again, and how each run ended is kept.
//!
//! Never starts or ends anything: it says how many are still wanted (`scaling`).

use crate::{
    Orchestrator,
    instances::Instance,
    parts::{End, Part},
    spec::Spec,
    when,
};
use base::Time;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// Configurations of an app whose runs are kept; the oldest go first.
const RUNS_MAX: usize = 10;
/// Results kept of one configuration; the oldest go first.
const RESULTS_MAX: usize = 50;
/// What is kept of a message.
const MESSAGE_MAX: usize = 1000;

/// As much of a message as is kept.
pub(crate) fn short(message: &str) -> String {
    message.chars().take(MESSAGE_MAX).collect()
}

/// How one instance ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ran {
    instance_id: String,
    task_id: String,
    host: String,
    slave_id: String,
    state: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    ended_at: String,
    /// Of a pod's instance, each container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    containers: Vec<RanPart>,
}

/// How one container of a pod's instance ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RanPart {
    name: String,
    task_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_id: Option<String>,
    state: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    ended_at: String,
}

fn containers(instance: &Instance) -> Vec<RanPart> {
    let one = |part: &Part| {
        let end = part.end.as_ref()?;
        Some(RanPart {
            name: part.container.clone(),
            task_id: part.task.clone(),
            container_id: part.container_id.clone(),
            state: end.state.clone(),
            message: end.message.clone(),
            started_at: part.started_at.map(when),
            ended_at: when(end.at),
        })
    };
    instance.parts.iter().filter_map(one).collect()
}

/// The container that decided how a pod's instance ended: the first that failed (the others are killed for it), else the
/// first that was killed, else the last.
fn decisive(instance: &Instance) -> Option<(&Part, &End)> {
    let ends = || instance.parts.iter().filter_map(|part| Some((part, part.end.as_ref()?)));
    let bad = ends().filter(|(part, _)| part.ended.as_deref() != Some("Finished"));
    bad.min_by_key(|(part, end)| (part.ended.as_deref() == Some("Killed"), end.at))
        .or_else(|| ends().max_by_key(|(_, end)| end.at))
}

/// What became of one configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Instances that finished.
    finished: u64,
    /// Instances that failed.
    failures: u64,
    results: VecDeque<Ran>,
}

/// By configuration. The record `runs<app>`.
pub(crate) type Runs = BTreeMap<String, Run>;

impl Run {
    fn has_failed(&self, spec: &Spec) -> bool {
        spec.run_once.is_some_and(|most| self.failures > most)
    }
    fn state(&self, spec: &Spec) -> &'static str {
        if self.finished >= spec.instances {
            "succeeded"
        } else if self.has_failed(spec) {
            "failed"
        } else {
            "running"
        }
    }
}

impl Orchestrator {
    fn run(&self, spec: &Spec) -> Option<&Run> {
        spec.run_once?;
        self.runs.get(&spec.id)?.get(&spec.config_version)
    }

    /// How many instances of this should be there: all, but for what is done already. Once it has failed nothing more is
    /// started; what runs goes on.
    pub(crate) fn wanted(&self, spec: &Spec, active: u64) -> u64 {
        if spec.every {
            // whoever has none yet is found by offers
            return active;
        }
        let Some(run) = self.run(spec) else { return spec.instances };
        let left = spec.instances.saturating_sub(run.finished);
        if run.has_failed(spec) { left.min(active) } else { left }
    }

    /// An instance that is to run once has ended by itself.
    pub(crate) fn ran(&mut self, now: Time, instance: &Instance, state: &str, message: &str, finished: bool) {
        let Some(spec) = self.spec_of(instance).filter(|spec| spec.run_once.is_some()) else { return };
        let runs = self.runs.entry(instance.app.clone()).or_default();
        let run = runs.entry(instance.config.clone()).or_default();
        let before = run.state(&spec);
        *(if finished { &mut run.finished } else { &mut run.failures }) += 1;
        let decisive = decisive(instance);
        let started = decisive.and_then(|(part, _)| part.started_at).or(instance.started_at);
        run.results.push_back(Ran {
            instance_id: instance.id.clone(),
            task_id: decisive.map_or_else(|| instance.task.clone(), |(part, _)| part.task.clone()),
            host: instance.host.clone(),
            slave_id: instance.agent.clone(),
            state: decisive.map_or_else(|| state.to_owned(), |(_, end)| end.state.clone()),
            message: decisive.map_or_else(|| short(message), |(_, end)| end.message.clone()),
            started_at: started.map(when),
            ended_at: when(now.as_millis()),
            containers: containers(instance),
        });
        while run.results.len() > RESULTS_MAX {
            run.results.pop_front();
        }
        let state = run.state(&spec);
        let fields = (before != state).then(|| {
            json!({
                "runSpecId": instance.app, "version": instance.config, "state": state, "finished": run.finished,
                "failures": run.failures, "last": run.results.back(),
            })
        });
        while runs.len() > RUNS_MAX {
            runs.pop_first();
        }
        let record = serde_json::to_vec(runs).unwrap_or_default();
        self.saves.put_long(&format!("runs{}", instance.app), record);
        if let Some(fields) = fields {
            self.emit(now, "run_ended_event", fields);
        }
    }

    pub(crate) fn drop_runs(&mut self, app: &str) {
        if self.runs.remove(app).is_some() {
            self.saves.delete_long(&format!("runs{app}"));
        }
    }

    /// How the current configuration of an app does that runs once.
    pub(crate) fn run_info(&self, spec: &Spec) -> Option<Value> {
        let most = spec.run_once?;
        let none = Run::default();
        let run = self.run(spec).unwrap_or(&none);
        Some(json!({
            "state": run.state(spec), "finished": run.finished, "failures": run.failures, "maxFailures": most,
            "results": run.results,
        }))
    }

    /// The same in the words of a pod's status.
    pub(crate) fn termination_history(&self, spec: &Spec) -> Vec<Value> {
        let one = |ran: &Ran| {
            json!({
                "instanceID": ran.instance_id, "startedAt": ran.started_at.as_ref().unwrap_or(&ran.ended_at),
                "terminatedAt": ran.ended_at, "message": format!("{} {}", ran.state, ran.message).trim_end(),
                "containers": ran.containers.iter().map(|part| json!({
                    "containerId": part.container_id.as_ref().unwrap_or(&part.name), "lastKnownState": part.state,
                    "termination": { "message": part.message },
                })).collect::<Vec<_>>(),
            })
        };
        self.run(spec).into_iter().flat_map(|run| &run.results).map(one).collect()
    }
}
