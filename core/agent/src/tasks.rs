//! The life of a task after its launch: running, killed, ended. Never how it is started (`launch`).

mod kills;

pub(crate) use kills::force;

use crate::{
    Agent, Effect, records,
    state::{Cause, Kill, Runner, Task},
    timed::Deadline,
};
use base::{Duration, Effects, Now, Time};
use model::{
    container::{ContainerId, Termination},
    mesos::{self, TaskState, task_status::Reason},
};
use std::collections::VecDeque;

type Key = (String, String);

impl Task {
    pub(crate) fn new(
        framework: String,
        container: ContainerId,
        info: mesos::TaskInfo,
        directory: String,
    ) -> Self {
        Self {
            framework,
            runner: Runner::Agent,
            container,
            info,
            directory,
            pid: None,
            state: TaskState::TaskStaging,
            statuses: Vec::new(),
            pending: VecDeque::new(),
            retry_at: None,
            retry_after: Duration::from_secs(10),
            kill: Kill::No,
            cause: Cause::Own,
            health: None,
            check: None,
            healthy: None,
            end_at: None,
            begun: None,
            ordered: false,
            ended: false,
            ghost: false,
            silent: false,
            held: false,
        }
    }
}

impl Deadline for Task {
    fn deadline(&self) -> Option<Time> {
        let force = match self.kill {
            Kill::Asked { force_at: at } | Kill::Forced { again_at: at } if !self.ended => Some(at),
            _ => None,
        };
        let health = self.health.as_ref().filter(|h| !h.asked).map(|h| h.next);
        let live = !self.ended;
        let check = self.check.as_ref().filter(|c| !c.asked && live).map(|c| c.next);
        [self.retry_at, force, health, check, self.end_at].into_iter().flatten().min()
    }
}

impl Agent {
    pub(crate) fn task_due(&mut self, key: &Key, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        let at = now.time;
        let Some(task) = self.tasks.get_mut(key) else { return };
        if task.end_at.is_some_and(|t| t <= at) {
            task.end_at = None;
            if task.cause == Cause::Own {
                task.cause = Cause::TooLong;
            }
            // apache/mesos@c1b42f79:src/launcher/{executor,default_executor}.cpp: without grace, whatever the task asks for.
            self.end(key, Some(0), now, out);
        }
        let Some(task) = self.tasks.get_mut(key) else { return };
        if let Kill::Asked { force_at: due } | Kill::Forced { again_at: due } = task.kill
            && due <= at
            && !task.ended
        {
            force(task, at, out);
        }
        self.health_due(key, now, out);
        self.check_due(key, now, out);
        if self.tasks.get(key).is_some_and(|t| t.retry_at.is_some_and(|r| r <= at)) {
            self.send_first(key, true, at, out);
        }
    }

    pub(crate) fn launched(
        &mut self,
        now: &mut Now<'_>,
        container: &ContainerId,
        pid: u32,
        out: &mut Effects<Effect>,
    ) {
        if let Some(key) = self.executor_containers.get(container).cloned() {
            self.executor_launched(now, &key, pid, out);
            return;
        }
        if self.guests.contains_key(container) {
            self.guest_launched(container, pid, out);
            return;
        }
        let Some(key) = self.containers.get(container).cloned() else {
            out.push(Effect::Destroy { container: container.clone() });
            return;
        };
        let Some(task) = self.tasks.get_mut(&key) else { return };
        if task.ended {
            // Its end was concluded without it: whatever runs now runs for nobody.
            out.push(Effect::Destroy { container: container.clone() });
            return;
        }
        if task.pid == Some(pid) && task.begun.is_some() {
            return;
        }
        task.pid = Some(pid);
        task.begun = Some(now.time);
        task.end_at = end_of(task, now.time);
        self.saves.push(records::begun(task, now.time));
        if task.kill != Kill::No {
            // It was to be ended before it ran.
            force(task, now.time, out);
            return;
        }
        self.begin_watching(&key, now.time);
        self.report(now, &key, |s| s.set_state(TaskState::TaskStarting));
        self.report(now, &key, |s| s.set_state(TaskState::TaskRunning));
        self.begin_checks(&key, now.time);
    }

    pub(crate) fn launch_failed(
        &mut self,
        now: &mut Now<'_>,
        container: &ContainerId,
        why: &str,
        out: &mut Effects<Effect>,
    ) {
        self.counters.launches_failed += 1;
        if let Some(key) = self.executor_containers.get(container).cloned() {
            self.executor_launch_failed(now, &key, why, out);
            return;
        }
        if self.guests.contains_key(container) {
            self.guest_launch_failed(container, why, out);
            return;
        }
        let Some(key) = self.containers.get(container).cloned() else { return };
        let Some(task) = self.tasks.get(&key).filter(|t| !t.ended) else { return };
        if task.pid.is_some() {
            // It ran, and the launcher knows nothing of it.
            self.terminated(now, container, &records::UNSEEN, out);
            return;
        }
        let killed = task.kill != Kill::No;
        let (state, reason) = if killed {
            (TaskState::TaskKilled, Reason::TaskKilledDuringLaunch)
        } else {
            (TaskState::TaskFailed, Reason::ContainerLaunchFailed)
        };
        self.conclude(now, &key, state, |s| {
            s.set_reason(reason);
            s.set_source(mesos::task_status::Source::Agent);
            s.container_status = None;
            s.message = Some(if killed { "Task killed during launch".to_owned() } else { why.to_owned() });
        });
        self.group_member_over(&key, now, out);
        self.forget_if_silent(&key, out);
    }

    pub(crate) fn terminated(
        &mut self,
        now: &mut Now<'_>,
        container: &ContainerId,
        how: &Termination,
        out: &mut Effects<Effect>,
    ) {
        if self.guests.contains_key(container) {
            self.guest_ended(container, how, out);
            return;
        }
        self.container_ended(container, how, out);
        if let Some(key) = self.executor_containers.get(container).cloned() {
            self.executor_gone(now, &key, Some(how), out);
            return;
        }
        let Some(key) = self.containers.get(container).cloned() else {
            out.push(Effect::Forget { container: container.clone() });
            return;
        };
        let Some(task) = self.tasks.get(&key).filter(|t| !t.ended) else { return };
        let cause = task.cause;
        let message = describe(how);
        let state = match (cause, how) {
            (_, Termination::OutOfMemory { .. }) => TaskState::TaskFailed,
            (Cause::Killed | Cause::Unhealthy, _) => TaskState::TaskKilled,
            (Cause::TooLong, _) => TaskState::TaskFailed,
            (Cause::Own, Termination::Exited(0)) => TaskState::TaskFinished,
            (Cause::Own, _) => TaskState::TaskFailed,
        };
        out.push(Effect::Destroy { container: container.clone() });
        let how = how.clone();
        let unhealthy = cause == Cause::Unhealthy || self.is_among_unhealthy(&key);
        self.conclude(now, &key, state, |s| {
            s.message = Some(message);
            match (cause, how) {
                (_, Termination::OutOfMemory { .. }) => s.set_reason(Reason::ContainerLimitationMemory),
                (Cause::TooLong, _) => s.set_reason(Reason::MaxCompletionTimeReached),
                (Cause::Unhealthy, _) => {}
                (_, Termination::Unknown) => s.set_reason(Reason::ExecutorTerminated),
                _ => {}
            }
            s.healthy = unhealthy.then_some(false);
        });
        self.group_member_over(&key, now, out);
        self.forget_if_silent(&key, out);
    }
}

/// When a task has run as long as it may; a limit of 0 is none, as upstream's executors have it. Never later than its whole time from now: the clock may have been set.
pub(crate) fn end_of(task: &Task, now: Time) -> Option<Time> {
    let limit = task.info.max_completion_time.as_ref()?;
    let limit = u64::try_from(limit.nanoseconds).ok().filter(|nanoseconds| *nanoseconds > 0)?;
    let limit = Duration::from_nanos(limit);
    Some((task.begun.unwrap_or(now) + limit).min(now + limit))
}

/// How an end reads, in upstream's words where it has them.
pub(crate) fn describe(how: &Termination) -> String {
    match how {
        Termination::Exited(status) => format!("Command exited with status {status}"),
        Termination::Signaled(signal) => format!("Command terminated with signal {}", signal_name(*signal)),
        Termination::OutOfMemory { limit, peak } => {
            format!("Memory limit exceeded: Requested: {}MB Maximum Used: {}MB", limit >> 20, peak >> 20)
        }
        Termination::Unknown => {
            "The task ended unseen: its launcher was killed, so the exit status is unknown".to_owned()
        }
    }
}

/// Signals as strsignal(3) names them.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "Hangup",
        2 => "Interrupt",
        3 => "Quit",
        4 => "Illegal instruction",
        6 => "Aborted",
        7 => "Bus error",
        8 => "Floating point exception",
        9 => "Killed",
        10 => "User defined signal 1",
        11 => "Segmentation fault",
        12 => "User defined signal 2",
        13 => "Broken pipe",
        14 => "Alarm clock",
        15 => "Terminated",
        other => return format!("Unknown signal {other}"),
    };
    name.to_owned()
}
