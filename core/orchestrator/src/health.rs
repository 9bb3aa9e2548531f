//! Health checks that the orchestrator runs itself: when, what an answer means, and when an instance is ended for it.
//!
//! Never performs one. What a result changes is durable, so that a restart forgets neither a first success nor a count.

use crate::{
    Asked, Orchestrator, ProbeId,
    config::STATUS_MESSAGE_MAX,
    instances::{Checked, Condition, Instance},
    plan::Kind,
    spec::{CheckBy, CheckSpec, Spec},
    timers::Due,
    updates::Failure,
    when,
};
use base::{Duration, Effects, Time};
use model::{
    container::{Page, Probe, Probed},
    mesos::{TaskStatus, task_status::Reason},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Intervals below this are taken as this.
pub(crate) const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// A task is looked at as soon as it runs, so that a good one counts early. A bad answer counts from the instant on at
/// which Marathon would look for the first time: an interval after the start, this at the latest (HealthCheckActor).
const FIRST_MAX: Duration = Duration::from_secs(5);

enum Found {
    Good,
    Bad(String),
    Nothing,
}

fn found(check: &CheckSpec, probed: Probed) -> Found {
    match probed {
        Probed::Http(status @ 100..=199) if check.ignore_1xx => {
            let _ = status;
            Found::Nothing
        }
        Probed::Http(200..=399) | Probed::Connected | Probed::Exited(0) => Found::Good,
        // as HealthCheckWorker says it
        Probed::Http(status) | Probed::Page(Page { status, .. }) => Found::Bad(api::status_text(status)),
        Probed::Exited(status) => Found::Bad(format!("exit status {status}")),
        Probed::TimedOut(after) => Found::Bad(format!("no answer within {} s", after.as_secs_f64())),
        Probed::Failed(why) => Found::Bad(why),
    }
}

/// What is remembered of an instance that is ended for its health checks (HistoryActor, TaskFailure).
pub(crate) fn sick(now: Time, instance: &Instance, reason: &str) -> Failure {
    let message = format!("Task was killed since health check failed. Reason: {reason}");
    Failure {
        task: instance.task.clone(),
        host: instance.host.clone(),
        agent: instance.agent.clone(),
        state: "TASK_KILLED".to_owned(),
        message: message.chars().take(STATUS_MESSAGE_MAX).collect(),
        at: now.as_millis(),
        version: instance.version.clone(),
    }
}

/// Why a task is sick that its agent ended for its checks: which check, what that saw last if the agent said it (Mesos' own
/// does not), and how the task went.
pub(crate) fn by_agent(
    check: Option<&CheckSpec>,
    ports: &[u16],
    saw: Option<&str>,
    end: Option<&str>,
) -> String {
    let said =
        check.map_or_else(|| "the agent's checks of it failed".to_owned(), |check| named(check, ports));
    let said = match saw {
        Some(saw) => format!("{said} ({saw})"),
        None => said,
    };
    match end.filter(|end| !end.is_empty()) {
        Some(end) => format!("{said}: {end}"),
        None => said,
    }
}

/// What a status says that a check of its agent's saw.
pub(crate) fn seen_by_agent(status: &TaskStatus) -> Option<String> {
    let sick = status.healthy == Some(false) && status.reason() == Reason::TaskHealthCheckStatusUpdated;
    let said = status.message.as_deref().filter(|said| sick && !said.is_empty());
    said.map(|said| said.chars().take(STATUS_MESSAGE_MAX).collect())
}

/// Notes what its agent says of the health of a running instance with the checks that its agent makes, as
/// MarathonHealthCheckManager does with statuses (`update`).
pub(crate) fn note_of_agent(now: Time, spec: &Spec, instance: &mut Instance, status: &TaskStatus) {
    let Some(healthy) = status.healthy else { return };
    let ms = now.as_millis();
    for (at, _) in spec.checks.iter().enumerate().filter(|(_, check)| check.by == CheckBy::Agent) {
        instance.checks.resize_with(spec.checks.len().max(instance.checks.len()), Checked::default);
        let checked = &mut instance.checks[at];
        let again = status.reason() != Reason::TaskHealthCheckStatusUpdated;
        // Whoever repeats the last status, as reconciliation does, has not looked again.
        if again && (checked.alive || checked.failures > 0) && checked.alive == healthy {
            continue;
        }
        checked.alive = healthy;
        if healthy {
            checked.first_success.get_or_insert(ms);
            (checked.failures, checked.last_success) = (0, Some(ms));
        } else {
            checked.last_failure = Some(ms);
            checked.failures = checked.failures.saturating_add(1);
            checked.cause = seen_by_agent(status).or_else(|| Some(String::new()));
        }
    }
}

/// Longer commands are cut.
const COMMAND_SAID_MAX: usize = 100;

fn named(check: &CheckSpec, ports: &[u16]) -> String {
    let times = match check.failures_max {
        0 | 1 => "failed".to_owned(),
        times => format!("failed {times} times in a row"),
    };
    let protocol = &check.protocol;
    if protocol == "COMMAND" {
        let command = check.command.clone().unwrap_or_else(|| check.argv.join(" "));
        let command: String = command.chars().take(COMMAND_SAID_MAX).collect();
        return format!("COMMAND check '{command}' {times}");
    }
    let port = check.port_of(ports).map_or_else(String::new, |port| format!(" of port {port}"));
    let path = if protocol.starts_with("MESOS_HTTP") { format!(", {},", check.path) } else { String::new() };
    format!("{protocol} check{port}{path} {times}")
}

impl Orchestrator {
    /// The version of the app that an instance runs, as far as it is kept; else the current one.
    pub(crate) fn spec_of(&self, instance: &Instance) -> Option<Arc<Spec>> {
        let app = self.apps.get(&instance.app);
        app.and_then(|app| app.specs.get(&instance.version).cloned()).or_else(|| self.spec(&instance.app))
    }

    /// Checks of an app begin or end with the action of a deployment on it.
    pub(crate) fn say_checks(&mut self, now: Time, app: &str, action: Kind) {
        let checks =
            |app: &Value| app.get("healthChecks").and_then(Value::as_array).cloned().unwrap_or_default();
        let deployment = self.locks.get(app).and_then(|id| self.deployments.get(id));
        let old =
            deployment.and_then(|d| d.original.get(app)?.clone()).map_or_else(Vec::new, |app| checks(&app));
        let state = self.apps.get(app);
        let new = state.map_or_else(Vec::new, |state| checks(&state.app));
        let version = state.map_or_else(String::new, |state| state.spec.version.clone());
        let (gone, more) = match action {
            Kind::StopApplication => (old, Vec::new()),
            Kind::StartApplication => (Vec::new(), new),
            Kind::ScaleApplication => return,
            Kind::RestartApplication => (old, new),
        };
        for _ in gone {
            self.emit(now, "remove_health_check_event", json!({ "appId": app }));
        }
        for check in more {
            let fields = json!({ "appId": app, "version": version, "healthCheck": check });
            self.emit(now, "add_health_check_event", fields);
        }
    }

    pub(crate) fn start_checks(&mut self, now: Time, instance: &Instance) {
        if instance.ending {
            return;
        }
        self.start_readiness(now, instance);
        for (at, check) in self.spec_of(instance).iter().flat_map(|spec| spec.checks.iter().enumerate()) {
            if check.by == CheckBy::Orchestrator {
                self.timers.set(Due::Check(instance.id.clone(), at), now);
            }
        }
    }

    pub(crate) fn stop_checks(&mut self, instance: &Instance) {
        self.timers.stop(&Due::Ready(instance.id.clone()));
        let count = self.spec_of(instance).map_or(0, |spec| spec.checks.len());
        for at in 0..count {
            self.timers.stop(&Due::Check(instance.id.clone(), at));
        }
    }

    /// A check is due.
    pub(crate) fn probe(&mut self, now: Time, id: &str, at: usize, out: &mut Effects<crate::Effect>) {
        let Some(instance) = self.instances.get(id) else { return };
        let Some(spec) = self.spec_of(instance) else { return };
        let Some(check) = spec.checks.get(at) else { return };
        if instance.ending || instance.condition != Condition::Running {
            return;
        }
        let Some(port) = check.port_of(&instance.ports) else { return };
        let host = instance.host.clone();
        let probe = match check.protocol.as_str() {
            "TCP" => Probe::Tcp { host, port },
            protocol => Probe::Http {
                https: protocol == "HTTPS",
                host,
                port,
                path: check.path.clone(),
                // Marathon takes the redirect itself for the answer.
                redirects_max: 0,
            },
        };
        let number = ProbeId(self.probes_next);
        self.probes_next += 1;
        self.probes.insert(number, (id.to_owned(), Asked::Health(at)));
        out.push(crate::Effect::Probe { id: number, probe, timeout: check.timeout });
        self.timers
            .set(Due::Check(id.to_owned(), at), now + check.interval.max(INTERVAL_MIN) + check.timeout);
    }

    /// A check was answered.
    pub(crate) fn probed(&mut self, now: Time, probe: ProbeId, probed: Probed) {
        let Some((id, asked)) = self.probes.remove(&probe) else { return };
        let Asked::Health(at) = asked else { return self.asked_ready(now, &id, probed) };
        let Some(mut instance) = self.instances.get(&id).cloned() else { return };
        let Some(spec) = self.spec_of(&instance) else { return };
        let Some(check) = spec.checks.get(at) else { return };
        if instance.ending || instance.condition != Condition::Running {
            return;
        }
        let interval = check.interval.max(INTERVAL_MIN);
        let started = Time::from_millis(instance.started_at.unwrap_or(instance.staged_at));
        let first = started + interval.min(FIRST_MAX);
        let mut next = now + interval;
        instance.checks.resize_with(spec.checks.len().max(instance.checks.len()), Checked::default);
        let ms = now.as_millis();
        let mut kill = None;
        // times alone are not worth a write, nor failures that no longer count
        let kept =
            |c: &Checked| (c.alive, c.failures.min(check.failures_max.max(1)), c.first_success.is_some());
        let checked = &mut instance.checks[at];
        let before = kept(checked);
        match found(check, probed) {
            Found::Nothing => return self.timers.set(Due::Check(id, at), next),
            Found::Good => {
                checked.first_success.get_or_insert(ms);
                (checked.alive, checked.failures, checked.last_success) = (true, 0, Some(ms));
            }
            Found::Bad(cause) => {
                let unseen = checked.first_success.is_none();
                let young = unseen && (now < started + check.grace || now < first);
                if unseen && now < first {
                    next = next.min(first);
                }
                checked.last_failure = Some(ms);
                checked.cause = Some(cause.clone());
                if !young {
                    checked.alive = false;
                    checked.failures = checked.failures.saturating_add(1);
                    if check.failures_max > 0 && checked.failures >= check.failures_max {
                        kill = Some(cause);
                    }
                }
            }
        }
        let (failures, changed) = (checked.failures, kept(checked) != before);
        self.timers.set(Due::Check(id, at), next);
        self.judge(now, &spec, instance, (at, failures, changed), kill);
    }

    fn judge(
        &mut self,
        now: Time,
        spec: &Spec,
        mut instance: Instance,
        (at, failures, changed): (usize, u32, bool),
        kill: Option<String>,
    ) {
        let mine = || {
            let own = |(_, check): &(_, &CheckSpec)| check.by == CheckBy::Orchestrator;
            instance.checks.iter().zip(&spec.checks).filter(own).map(|(checked, _)| checked)
        };
        let known = |c: &Checked| c.alive || c.failures > 0;
        let before = instance.healthy;
        let sick = mine().any(|c| known(c) && !c.alive);
        let well = mine().all(|c| known(c) && c.alive);
        instance.healthy = if sick { Some(false) } else { well.then_some(true).or(before) };
        let healthy = instance.healthy;
        let id = instance.id.clone();
        // part of the record, so that a restart does not forget a healthy upgrade
        if changed || before != healthy {
            self.put_instance(instance.clone())
        } else {
            self.instances.insert(instance.clone())
        }
        if failures > 0 && self.heard("failed_health_check_event") {
            let app = self.apps.get(&instance.app).map(|state| match state.versions.get(&instance.version) {
                Some(kept) if instance.version != state.spec.version => crate::apps::read(kept),
                _ => state.app.clone(),
            });
            let check = app.and_then(|app| app.get("healthChecks")?.get(at).cloned());
            let fields = json!({ "appId": instance.app, "taskId": id, "healthCheck": check });
            self.emit(now, "failed_health_check_event", fields);
        }
        if let Some(healthy) = healthy.filter(|_| before != healthy) {
            self.say_health(now, &instance, healthy);
            self.dirty.insert(instance.app.clone());
        }
        if let Some(reason) = kill {
            let fields = json!({
                "appId": instance.app, "taskId": instance.task, "instanceId": id, "version": instance.version,
                "reason": reason, "host": instance.host, "slaveId": instance.agent,
                "timestamp": when(now.as_millis()),
            });
            self.emit(now, "unhealthy_instance_kill_event", fields);
            self.put_failure(&instance.app, crate::health::sick(now, &instance, &reason));
            self.count_failure(now, &instance, "TASK_KILLED", &format!("failed its health check: {reason}"));
            self.kill(now, &id);
            // unlike Marathon, which starts the next one at once, and again and again
            self.back_off(now, &instance.app);
        }
    }
}
