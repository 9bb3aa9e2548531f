//! Health checks and checks of running tasks: when a probe is due, what its outcome means. Never how a probe is made
//! (the shell).

use crate::{
    Agent, Effect, ProbeId,
    launch::program,
    state::{Cause, Checking, Runner, Task, Watching},
};
use base::{Duration, Effects, Now, Time};
use model::{
    CHECK_WORDS_LABEL,
    container::{Probe, Probed},
    mesos::{
        CheckInfo, CheckStatusInfo, CommandInfo, TaskState, check_info, check_status_info, health_check,
        network_info::Protocol, task_status::Reason,
    },
};

type Key = (String, String);

/// A check that asks for no pause between its probes gets this one.
const CHECK_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Redirects that a check by HTTP follows: as many as curl, with which upstream asks.
const REDIRECTS_MAX: usize = 50;

/// Characters of what a check found that are said.
const WRONG_CHARS_MAX: usize = 300;

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Health,
    Check,
}

impl Agent {
    pub(crate) fn begin_checks(&mut self, key: &Key, now: Time) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        if let Some(check) = &task.info.health_check {
            let next = now + seconds(check.delay_seconds());
            let (last, asked, unaskable) = (None, false, false);
            task.health = Some(Checking { next, failures: 0, started: now, last, asked, unaskable });
        }
    }

    pub(crate) fn health_due(&mut self, key: &Key, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        let Some(task) = self.tasks.get(key) else { return };
        let due = task.health.as_ref().is_some_and(|h| !h.asked && h.next <= now.time);
        let Some(check) = task.info.health_check.clone().filter(|_| due) else { return };
        let probe = match check.r#type() {
            health_check::Type::Http => {
                let http = check.http.clone().unwrap_or_default();
                port(http.port).map(|port| Probe::Http {
                    https: http.scheme.as_deref() == Some("https"),
                    host: host(http.protocol()),
                    port,
                    path: http.path.unwrap_or_else(|| "/".to_owned()),
                    redirects_max: REDIRECTS_MAX,
                })
            }
            health_check::Type::Tcp => {
                let tcp = check.tcp.unwrap_or_default();
                port(tcp.port).map(|port| Probe::Tcp { host: host(tcp.protocol()), port })
            }
            _ => Ok(self.command_probe(task, key, &check.command.clone().unwrap_or_default())),
        };
        if let Some(health) = self.tasks.get_mut(key).and_then(|t| t.health.as_mut()) {
            health.asked = true;
        }
        let timing = (check.timeout_seconds(), check.interval_seconds());
        let asked = self.ask(Kind::Health, key, probe, timing, out);
        if let Err((id, why)) = asked {
            if let Some(health) = self.tasks.get_mut(key).and_then(|t| t.health.as_mut()) {
                health.unaskable = true;
            }
            self.probed(now, id, &Probed::Failed(why), out);
        }
    }

    /// A command beside the task: its environment, then the check's own.
    fn command_probe(&self, task: &Task, key: &Key, command: &CommandInfo) -> Probe {
        let own = task.info.command.clone().unwrap_or_default();
        let checkpoint = self.frameworks.get(&key.0).is_some_and(|f| f.info.checkpoint());
        let mut environment = self.environment(task, checkpoint, &own);
        for variable in command.environment.iter().flat_map(|e| &e.variables) {
            environment.retain(|(n, _)| *n != variable.name);
            environment.push((variable.name.clone(), variable.value.clone().unwrap_or_default()));
        }
        let framework_user = self.frameworks.get(&key.0).map(|f| f.info.user.clone());
        let user = command.user.clone().or(own.user).or(framework_user).filter(|u| !u.is_empty());
        let user = self.config.users.choose(user);
        Probe::Command { container: task.container.clone(), program: program(command), environment, user }
    }

    /// Asks, or says why nobody can be asked.
    fn ask(
        &mut self,
        kind: Kind,
        key: &Key,
        probe: Result<Probe, String>,
        (timeout, interval): (f64, f64),
        out: &mut Effects<Effect>,
    ) -> Result<(), (ProbeId, String)> {
        let id = ProbeId(self.next_probe);
        self.next_probe += 1;
        self.probes.insert(id, (kind, key.clone()));
        let probe = probe.map_err(|why| (id, why))?;
        // Upstream takes 0 for "no limit"; nothing here waits for ever.
        let timeout = match seconds(timeout) {
            Duration::ZERO => seconds(interval).max(Duration::from_secs(1)),
            timeout => timeout,
        };
        out.push(Effect::Probe { id, probe, timeout });
        Ok(())
    }

    /// The check of a task that is about to run: every update says what it saw last, at first nothing.
    pub(crate) fn begin_watching(&mut self, key: &Key, now: Time) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        if let Some(check) = &task.info.check {
            let next = now + seconds(check.delay_seconds());
            task.check = Some(Watching { next, asked: false, seen: nothing_seen(check) });
        }
    }

    pub(crate) fn check_due(&mut self, key: &Key, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        let Some(task) = self.tasks.get(key).filter(|t| !t.ended) else { return };
        let due = task.check.as_ref().is_some_and(|c| !c.asked && c.next <= now.time);
        let Some(check) = task.info.check.clone().filter(|_| due) else { return };
        // Checks have no protocol to choose; health checks do.
        let host = host(Protocol::IPv4);
        let probe = match check.r#type() {
            check_info::Type::Http => {
                let http = check.http.clone().unwrap_or_default();
                let path = http.path.unwrap_or_else(|| "/".to_owned());
                let redirects_max = REDIRECTS_MAX;
                port(http.port).map(|port| Probe::Http { https: false, host, port, path, redirects_max })
            }
            check_info::Type::Tcp => {
                port(check.tcp.unwrap_or_default().port).map(|port| Probe::Tcp { host, port })
            }
            _ => {
                let command = check.command.clone().unwrap_or_default().command;
                Ok(self.command_probe(task, key, &command))
            }
        };
        if let Some(watching) = self.tasks.get_mut(key).and_then(|t| t.check.as_mut()) {
            watching.asked = true;
        }
        let timing = (check.timeout_seconds(), check.interval_seconds());
        if let Err((id, why)) = self.ask(Kind::Check, key, probe, timing, out) {
            // It would fail in the same way for ever: it is said once.
            self.probes.remove(&id);
            let mut seen = nothing_seen(&check);
            if check.r#type() == check_info::Type::Tcp {
                seen.tcp = Some(check_status_info::Tcp { succeeded: Some(false) });
            }
            if let Some(watching) = self.tasks.get_mut(key).and_then(|t| t.check.as_mut()) {
                watching.seen = seen;
            }
            self.report(now, key, |status| {
                status.set_state(TaskState::TaskRunning);
                status.set_reason(Reason::TaskCheckStatusUpdated);
                status.message = Some(why);
            });
        }
    }

    fn checked(&mut self, now: &mut Now<'_>, key: &Key, outcome: &Probed) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let (Some(check), Some(watching)) = (task.info.check.clone(), task.check.as_mut()) else { return };
        watching.asked = false;
        watching.next = now.time + seconds(check.interval_seconds()).max(CHECK_INTERVAL_MIN);
        let mut seen = nothing_seen(&check);
        match outcome {
            Probed::Http(status) => {
                seen.http = Some(check_status_info::Http { status_code: Some(u32::from(*status)) });
            }
            Probed::Exited(status) => {
                seen.command = Some(check_status_info::Command { exit_code: Some(*status) });
            }
            Probed::Connected => seen.tcp = Some(check_status_info::Tcp { succeeded: Some(true) }),
            Probed::TimedOut(_) | Probed::Failed(_) if check.r#type() == check_info::Type::Tcp => {
                seen.tcp = Some(check_status_info::Tcp { succeeded: Some(false) });
            }
            // A check that could not be made saw nothing.
            Probed::Page(_) | Probed::TimedOut(_) | Probed::Failed(_) => {}
        }
        if seen == watching.seen {
            return;
        }
        watching.seen = seen;
        self.report(now, key, |status| {
            status.set_state(TaskState::TaskRunning);
            status.set_reason(Reason::TaskCheckStatusUpdated);
        });
    }

    pub(crate) fn probed(
        &mut self,
        now: &mut Now<'_>,
        probe: ProbeId,
        outcome: &Probed,
        out: &mut Effects<Effect>,
    ) {
        let Some((kind, key)) = self.probes.remove(&probe) else { return };
        if kind == Kind::Check {
            self.checked(now, &key, outcome);
            return;
        }
        let Some(task) = self.tasks.get_mut(&key) else { return };
        let (Some(check), Some(health)) = (task.info.health_check.clone(), task.health.as_mut()) else {
            return;
        };
        let wrong = what_is_wrong(outcome);
        health.asked = false;
        health.next = now.time + seconds(check.interval_seconds()).max(CHECK_INTERVAL_MIN);
        let Some(wrong) = wrong else {
            let changed = health.last != Some(true);
            health.last = Some(true);
            health.failures = 0;
            task.healthy = Some(true);
            if changed {
                self.report_health(now, &key, None);
            }
            return;
        };
        let in_grace =
            health.last.is_none() && now.time.since(health.started) < seconds(check.grace_period_seconds());
        if in_grace {
            return;
        }
        health.failures += 1;
        health.last = Some(false);
        let enough = health.failures >= check.consecutive_failures();
        task.healthy = Some(false);
        self.report_health(now, &key, Some(wrong));
        if enough {
            if let Some(task) = self.tasks.get_mut(&key) {
                task.cause = Cause::Unhealthy;
                if let Runner::Group { executor, .. } = &task.runner
                    && let Some(executor) = self.executors.get_mut(&(key.0.clone(), executor.clone()))
                {
                    executor.unhealthy = true;
                }
            }
            self.end(&key, None, now, out);
        }
    }

    /// `wrong`: what the check found; none = all is well. Upstream's executors leave that to their logs, so only frameworks
    /// that ask for it are told.
    fn report_health(&mut self, now: &mut Now<'_>, key: &Key, wrong: Option<String>) {
        let labels = self.frameworks.get(&key.0).and_then(|f| f.info.labels.as_ref());
        let asked = labels.is_some_and(|all| all.labels.iter().any(|label| label.key == CHECK_WORDS_LABEL));
        let unaskable = self.tasks.get(key).and_then(|t| t.health.as_ref()).is_some_and(|h| h.unaskable);
        self.report(now, key, |status| {
            status.set_state(TaskState::TaskRunning);
            status.set_reason(Reason::TaskHealthCheckStatusUpdated);
            status.healthy = Some(wrong.is_none());
            status.message = wrong.filter(|_| asked || unaskable);
        });
    }
}

/// What makes a task sick, in upstream's words where it has them; none = it is well.
///
/// apache/mesos@c1b42f79:src/checks/health_checker.cpp (`interpretCheckStatusInfo`): `HealthCheck.HTTPCheckInfo.statuses`
/// is for executors that frameworks bring.
fn what_is_wrong(outcome: &Probed) -> Option<String> {
    let wrong = match outcome {
        Probed::Http(200..400) | Probed::Connected | Probed::Exited(0) => return None,
        Probed::Http(status) => format!("Unexpected HTTP response code: {}", api::status_text(*status)),
        Probed::Exited(status) => format!("Command exited with status {status}"),
        Probed::TimedOut(after) => format!("No answer within {} s", after.as_secs_f64()),
        Probed::Failed(why) => why.clone(),
        Probed::Page(_) => "An answer that was not asked for".to_owned(),
    };
    Some(wrong.chars().take(WRONG_CHARS_MAX).collect())
}

/// What a check says before it has seen anything.
pub(crate) fn nothing_seen(check: &CheckInfo) -> CheckStatusInfo {
    let mut seen = CheckStatusInfo { r#type: check.r#type, ..Default::default() };
    match check.r#type() {
        check_info::Type::Http => seen.http = Some(Default::default()),
        check_info::Type::Tcp => seen.tcp = Some(Default::default()),
        _ => seen.command = Some(Default::default()),
    }
    seen
}

/// Where a task is asked: not by name, which its image need not know.
fn host(protocol: Protocol) -> String {
    match protocol {
        Protocol::IPv4 => "127.0.0.1".to_owned(),
        Protocol::IPv6 => "::1".to_owned(),
    }
}

/// The port of a check, or why there is none: upstream takes any number, and asks port 4464 for 70000
/// (apache/mesos@c1b42f79:src/checks/checker_process.cpp, `tcpCheck`).
fn port(port: u32) -> Result<u16, String> {
    let refused = |_| format!("The check's port {port} can't be: the highest is {}", u16::MAX);
    u16::try_from(port).map_err(refused)
}

/// Durations as checks hold them; negative or nonsensical = none.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
