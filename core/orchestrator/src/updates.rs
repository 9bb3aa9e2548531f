//! What tasks report, and what becomes of their instances. Acknowledges only what is durable.
//!
//! Never decides how many instances an app should have: it marks the app, and `scaling` looks.

mod pods;
mod said;

use crate::{
    Orchestrator,
    config::STATUS_MESSAGE_MAX,
    instances::{Condition, Instance, instance_of_task},
    residents::is_there,
    spec::CheckBy,
    timers::Due,
};
use base::{Duration, Now, Time};
use model::mesos::{
    TaskState, TaskStatus,
    scheduler::{Call, call},
    task_status::Reason,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// How the last task of an app failed. The record `failures/<app>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The task.
    pub task: String,
    /// Its agent's host name.
    pub host: String,
    /// Its agent.
    pub agent: String,
    /// `TASK_FAILED` and the like.
    pub state: String,
    /// What was said about it.
    pub message: String,
    /// When, in ms since 1970.
    pub at: u64,
    /// The version it ran.
    pub version: String,
}

/// What an agent's check found, as clients see it (CheckStatus).
fn check_result(found: &model::mesos::CheckStatusInfo) -> serde_json::Value {
    let mut said = json!({});
    if let Some(http) = &found.http {
        said["http"] = json!({ "statusCode": http.status_code.unwrap_or(0) });
    }
    if let Some(tcp) = &found.tcp {
        said["tcp"] = json!({ "succeeded": tcp.succeeded.unwrap_or(false) });
    }
    if let Some(command) = &found.command {
        said["command"] = json!({ "exitCode": command.exit_code.unwrap_or(0) });
    }
    said
}

/// Addresses of a task's container, as far as a status says them.
fn addresses_of(status: &TaskStatus) -> Vec<String> {
    let infos = status.container_status.iter().flat_map(|container| &container.network_infos);
    infos.flat_map(|info| &info.ip_addresses).filter_map(|ip| ip.ip_address.clone()).collect()
}

enum Meaning {
    Becomes(Condition),
    Ended(&'static str),
}

fn meaning(status: &TaskStatus) -> Meaning {
    use Meaning::{Becomes, Ended};
    match status.state() {
        TaskState::TaskStaging => Becomes(Condition::Staging),
        TaskState::TaskStarting => Becomes(Condition::Starting),
        TaskState::TaskRunning => Becomes(Condition::Running),
        TaskState::TaskKilling => Becomes(Condition::Killing),
        TaskState::TaskUnreachable => Becomes(Condition::Unreachable),
        TaskState::TaskFinished => Ended("Finished"),
        TaskState::TaskFailed => Ended("Failed"),
        TaskState::TaskKilled => Ended("Killed"),
        TaskState::TaskError => Ended("Error"),
        TaskState::TaskDropped => Ended("Dropped"),
        TaskState::TaskGone | TaskState::TaskGoneByOperator => Ended("Gone"),
        TaskState::TaskUnknown => Ended("Unknown"),
        TaskState::TaskLost => match status.reason() {
            _ if status.reason.is_none() => Ended("Gone"),
            Reason::Reconciliation | Reason::AgentDisconnected | Reason::AgentRemoved => {
                Becomes(Condition::Unreachable)
            }
            Reason::TaskUnknown => Ended("Unknown"),
            _ => Ended("Gone"),
        },
    }
}

/// An offer that was taken back meanwhile says nothing about the app.
fn is_stale(status: &TaskStatus) -> bool {
    status.reason.is_some() && status.reason() == Reason::InvalidOffers
}

fn is_failure(status: &TaskStatus, condition: &str) -> bool {
    !is_stale(status) && matches!(condition, "Failed" | "Error" | "Dropped" | "Gone")
}

fn failure_of(now: Time, status: &TaskStatus, instance: &Instance) -> Failure {
    Failure {
        task: status.task_id.value.clone(),
        host: instance.host.clone(),
        agent: instance.agent.clone(),
        state: status.state().as_str_name().to_owned(),
        message: status.message.clone().unwrap_or_default().chars().take(STATUS_MESSAGE_MAX).collect(),
        at: now.as_millis(),
        version: instance.version.clone(),
    }
}

impl Orchestrator {
    pub(crate) fn update(&mut self, now: &mut Now<'_>, status: TaskStatus) {
        let task = status.task_id.value.clone();
        let means = meaning(&status);
        match self.instances.of_task(&task).cloned() {
            // its task has ended; should it run after all, nobody wants it
            Some(instance) if instance.rests() => {
                if matches!(means, Meaning::Becomes(_)) {
                    self.unknown(now.time, &status, &means);
                }
            }
            Some(instance) if !instance.parts.is_empty() => {
                self.known_part(now.time, &status, instance, &means);
            }
            Some(instance) => self.known(now.time, &status, instance, means),
            None => self.unknown(now.time, &status, &means),
        }
        // what agents send has one, and may be older than what the master knows
        if status.uuid.as_ref().is_none_or(|uuid| uuid.is_empty()) {
            self.answered(now.time, &task);
        }
        if let (Some(uuid), Some(agent_id)) = (status.uuid.filter(|uuid| !uuid.is_empty()), status.agent_id) {
            let acknowledge = Some(call::Acknowledge { agent_id, task_id: status.task_id, uuid });
            self.call(Call {
                r#type: Some(call::Type::Acknowledge as i32),
                acknowledge,
                ..Default::default()
            });
        }
    }

    /// A task of ours that nobody ordered, or that was given up: it must not run.
    fn unknown(&mut self, now: Time, status: &TaskStatus, means: &Meaning) {
        let task = &status.task_id.value;
        match means {
            Meaning::Becomes(Condition::Unreachable) => {}
            Meaning::Becomes(_) => self.send_kill(task, status.agent_id.as_ref().map(|id| id.value.as_str())),
            Meaning::Ended(condition) => {
                let instance = instance_of_task(task).unwrap_or(task);
                let app = instance.split_once(".instance-").map_or(instance, |(app, _)| app);
                let app = format!("/{}", app.replace('_', "/"));
                let fields = json!({ "instanceId": instance, "runSpecId": app, "condition": condition });
                self.emit(now, "unknown_instance_terminated_event", fields);
            }
        }
    }

    fn known(&mut self, now: Time, status: &TaskStatus, mut instance: Instance, means: Meaning) {
        let found = addresses_of(status);
        if !found.is_empty() {
            instance.addresses = found;
        }
        let to = match means {
            Meaning::Ended(condition) => {
                self.say_update(now, status, &instance);
                return self.ended(now, status, instance, condition);
            }
            Meaning::Becomes(to) => to,
        };
        let backwards = instance.condition == Condition::Running && to < Condition::Running;
        let inactive = instance.condition == Condition::UnreachableInactive;
        if !backwards && (to != Condition::Unreachable || !inactive) {
            instance.condition = to;
        }
        instance.held |= instance.is_resident() && is_there(status.state());
        if to == Condition::Running && instance.started_at.is_none() {
            instance.started_at = Some(now.as_millis());
        }
        if to == Condition::Unreachable {
            let since = status.unreachable_time.as_ref().map(|at| at.nanoseconds.max(0) as u64 / 1_000_000);
            instance.unreachable_since.get_or_insert(since.unwrap_or(now.as_millis()));
        } else {
            instance.unreachable_since = None;
        }
        if status.healthy.is_some() {
            instance.healthy = status.healthy;
        }
        if let Some(found) = &status.check_status {
            instance.check_result = Some(check_result(found));
        }
        if let Some(spec) = self.spec_of(&instance) {
            crate::health::note_of_agent(now, &spec, &mut instance, status);
        }
        let Some(before) = self.instances.get(&instance.id) else { return };
        // What a check saw again is no news, and not in the record.
        let checks = std::mem::replace(&mut instance.checks, before.checks.clone());
        let same = *before == instance;
        let seen = checks != before.checks;
        instance.checks = checks;
        if same {
            if seen {
                self.instances.insert(instance);
            }
            return;
        }
        let changed = instance.condition != before.condition;
        let health = (instance.healthy != before.healthy).then_some(instance.healthy).flatten();
        self.say_update(now, status, &instance);
        self.put_instance(instance.clone());
        if changed {
            self.say_instance(now, &instance, instance.condition.as_str());
        }
        if let Some(healthy) = health {
            self.say_health(now, &instance, healthy);
        }
        self.watch(now, &instance);
        if changed && instance.condition == Condition::Running {
            self.start_checks(now, &instance);
        }
        self.dirty.insert(instance.app);
    }

    fn ended(&mut self, now: Time, status: &TaskStatus, instance: Instance, condition: &'static str) {
        let failed = is_failure(status, condition);
        if failed {
            self.put_failure(&instance.app, failure_of(now, status, &instance));
        }
        let sick = status.healthy == Some(false);
        let mut why = None;
        if sick && !failed && !instance.ending {
            let spec = self.spec_of(&instance);
            let checks = spec.iter().flat_map(|spec| spec.checks.iter().enumerate());
            let check = checks.into_iter().find(|(_, check)| check.by == CheckBy::Agent);
            let seen = check.and_then(|(at, _)| instance.checks.get(at)).filter(|seen| !seen.alive);
            let saw = seen.and_then(|seen| seen.cause.as_deref()).filter(|cause| !cause.is_empty());
            let check = check.map(|(_, check)| check);
            let reason = crate::health::by_agent(check, &instance.ports, saw, status.message.as_deref());
            self.put_failure(&instance.app, crate::health::sick(now, &instance, &reason));
            why = Some(format!("failed its health check: {reason}"));
        }
        self.ended_by_itself(now, status, &instance, condition, failed || sick, why);
        self.part_with(now, status, &instance, condition);
        self.say_instance(now, &instance, condition);
    }

    /// An instance has ended: the next one waits, unless it was to end, or to run once and is done.
    /// `why`: what is to be said of it in place of the status.
    fn ended_by_itself(
        &mut self,
        now: Time,
        status: &TaskStatus,
        instance: &Instance,
        end: &str,
        bad: bool,
        why: Option<String>,
    ) {
        if instance.ending || !(bad || end == "Finished") {
            return;
        }
        let state = status.state().as_str_name();
        let message = why.as_deref().or(status.message.as_deref()).unwrap_or_default();
        let once = self.spec_of(instance).is_some_and(|spec| spec.run_once.is_some());
        if once && !bad {
            return self.ran(now, instance, state, message, true);
        }
        self.back_off(now, &instance.app);
        // what was lost with its agent says nothing about the app
        if end != "Gone" {
            self.count_failure(now, instance, state, message);
        }
    }

    /// Drops an instance and all that was planned for it.
    pub(crate) fn forget(&mut self, id: &str) {
        let Some(instance) = self.instances.remove(id) else { return };
        self.saves.delete(format!("instances/{id}"));
        self.timers.stop(&Due::Instance(id.to_owned()));
        self.timers.stop(&Due::Kill(id.to_owned()));
        self.stop_checks(&instance);
        if instance.is_resident() {
            self.reclaim(&instance);
        }
        self.dirty.insert(instance.app);
    }

    /// A new instance was ordered.
    pub(crate) fn provisioned(&mut self, now: Time, instance: Instance) {
        self.put_instance(instance.clone());
        self.say_instance(now, &instance, instance.condition.as_str());
        self.watch(now, &instance);
        self.dirty.insert(instance.app);
    }

    pub(crate) fn put_instance(&mut self, instance: Instance) {
        let record = serde_json::to_vec(&instance).unwrap_or_default();
        self.saves.put(format!("instances/{}", instance.id), record);
        let fresh = self.read_specs(&instance.app, [&instance.version, &instance.config]);
        let app = fresh.then(|| instance.app.clone());
        self.instances.insert(instance);
        if let Some(app) = app {
            self.count_places(&app);
        }
    }

    /// Looks at an instance again when it has been in its state for too long.
    pub(crate) fn watch(&mut self, now: Time, instance: &Instance) {
        let due = Due::Instance(instance.id.clone());
        match self.too_long(instance) {
            Some(at) => self.timers.set(due, at.max(now)),
            None => self.timers.stop(&due),
        }
    }

    fn too_long(&self, instance: &Instance) -> Option<Time> {
        let staged = Time::from_millis(instance.staged_at);
        let within = |usual: Duration| self.worked.due(staged, self.staging_of(instance).unwrap_or(usual));
        match instance.condition {
            Condition::Provisioned => Some(within(self.config.task_launch_confirm_timeout)),
            Condition::Staging | Condition::Starting => Some(within(self.config.task_launch_timeout)),
            Condition::Unreachable | Condition::UnreachableInactive => {
                let since = Time::from_millis(instance.unreachable_since?);
                let (inactive, expunge) = self.unreachable_of(&instance.app)?;
                let inactive = instance.condition == Condition::Unreachable && inactive < expunge;
                let after = if inactive { self.unreachable_of(&instance.app)?.0 } else { expunge };
                Some(self.worked.due(since, after))
            }
            Condition::Suspended => {
                let since = Time::from_millis(instance.rest.as_ref()?.since);
                Some(self.worked.due(since, self.unreachable_of(&instance.app)?.1))
            }
            Condition::Running | Condition::Killing => None,
        }
    }

    /// How long an instance of its app may take to start, where the app says so.
    fn staging_of(&self, instance: &Instance) -> Option<Duration> {
        self.spec_of(instance)?.staging
    }

    fn unreachable_of(&self, app: &str) -> Option<(Duration, Duration)> {
        self.spec(app).map_or(Some((Duration::ZERO, Duration::ZERO)), |spec| spec.unreachable)
    }

    /// An instance has been in its state for too long.
    pub(crate) fn overdue(&mut self, now: Time, id: &str) {
        let Some(instance) = self.instances.get(id).cloned() else { return };
        if self.too_long(&instance).is_none_or(|at| at > now) {
            return self.watch(now, &instance);
        }
        match instance.condition {
            Condition::Provisioned if self.staging_of(&instance).is_none() => {
                // if it runs after all, it comes back as unknown and is killed
                match instance.held {
                    true => self.rest(now, instance.clone(), "TASK_DROPPED"),
                    false => self.forget(id),
                }
                self.say_instance(now, &instance, "Dropped");
            }
            Condition::Provisioned | Condition::Staging | Condition::Starting => {
                let staged = Time::from_millis(instance.staged_at);
                let seconds = self.worked.since(staged, now).as_secs();
                self.count_failure(
                    now,
                    &instance,
                    "TASK_KILLED",
                    &format!("did not start within {seconds} s"),
                );
                self.kill(now, id);
            }
            Condition::Unreachable | Condition::UnreachableInactive => {
                let since = Time::from_millis(instance.unreachable_since.unwrap_or(0));
                let expunge =
                    self.unreachable_of(&instance.app).map(|(_, expunge)| self.worked.due(since, expunge));
                if expunge.is_some_and(|at| at <= now) {
                    self.forget(id);
                    self.say_instance(now, &instance, "Gone");
                } else {
                    let inactive = Instance { condition: Condition::UnreachableInactive, ..instance };
                    self.put_instance(inactive.clone());
                    self.say_instance(now, &inactive, inactive.condition.as_str());
                    self.watch(now, &inactive);
                    self.dirty.insert(inactive.app);
                }
            }
            Condition::Suspended => self.rests_too_long(now, instance),
            Condition::Running | Condition::Killing => {}
        }
    }
}
