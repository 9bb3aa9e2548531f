//! How tasks are ended: a signal, then force; by a kill, with their framework, with their agent. Never what an end means
//! (`tasks`).

use super::Key;
use crate::{
    Agent, Effect, records,
    state::{Cause, Kill, Runner, Task, is_terminal},
};
use base::{Duration, Effects, Now, Time};
use model::mesos::{TaskState, TaskStatus, framework_info, internal, task_status::Reason};

/// How long a task may take to end itself unless it says otherwise.
const GRACE_DEFAULT: Duration = Duration::from_secs(3);

/// The same, in a default executor, for a task that nobody asked to be killed: the rest of a group one of which failed, and
/// all when the executor is shut down. Its own kill policy does not count then.
///
/// apache/mesos@c1b42f79:src/launcher/default_executor.cpp (`waited`, `shutdown`).
const GRACE_WITH_OTHERS: Duration = GRACE_DEFAULT;

const SIGTERM: i32 = 15;

const SIGKILL: i32 = 9;

/// A container that is to be ended by force and does not end is ended again after this.
const FORCE_AGAIN: Duration = Duration::from_secs(10);

impl Agent {
    pub(crate) fn kill_task(
        &mut self,
        now: &mut Now<'_>,
        kill: &internal::KillTaskMessage,
        out: &mut Effects<Effect>,
    ) {
        // Upstream's own command executor speaks the older protocol, which has no place for the policy of a call.
        self.kill_by(now, kill, self.policy_of_kills_counts(), out);
    }

    /// Whether a command task heeds the policy of a kill (`--http_command_executor`).
    pub(crate) fn policy_of_kills_counts(&self) -> bool {
        self.config.flags.get("http_command_executor").is_some_and(|flag| flag == "true")
    }

    /// Ends a task. `counts`: the policy of the kill is also one for a command task, not only for executors.
    pub(crate) fn kill_by(
        &mut self,
        now: &mut Now<'_>,
        kill: &internal::KillTaskMessage,
        counts: bool,
        out: &mut Effects<Effect>,
    ) {
        let key = (kill.framework_id.value.clone(), kill.task_id.value.clone());
        let Some(task) = self.tasks.get(&key) else {
            // Upstream says nothing where it does not know the framework either; then the master would ask for ever.
            let known = self.frameworks.get(&key.0).map(|f| crate::launch::dropped(&f.info));
            let mut status = TaskStatus { task_id: kill.task_id.clone(), ..Default::default() };
            status.set_state(known.unwrap_or(TaskState::TaskLost));
            status.set_reason(Reason::ExecutorTerminated);
            status.message = Some("Cannot find executor".to_owned());
            self.ghost(now, kill.framework_id.clone(), kill.task_id.clone(), status);
            return;
        };
        if is_terminal(task.state) || task.ended {
            return;
        }
        let executor = self.executors.get(&(key.0.clone(), task.executor_id().to_owned()));
        let queued = executor.is_some_and(|e| e.queue.iter().any(|q| q.tasks.contains(&key.1)));
        if !task.is_played() || queued {
            self.kill_in_executor(now, &key, kill, out);
            return;
        }
        let policy = kill.kill_policy.as_ref().filter(|_| counts || task.runner != Runner::Agent);
        let grace = policy.and_then(|p| p.grace_period.as_ref()).map(|g| g.nanoseconds);
        if let Some(task) = self.tasks.get_mut(&key)
            && task.cause == Cause::Own
        {
            task.cause = Cause::Killed;
        }
        self.end(&key, grace, now, out);
    }

    /// A task of a default executor ends since another did, or since the executor is to end: it has no grace of its own.
    pub(crate) fn end_with_others(&mut self, key: &Key, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        if task.cause == Cause::Own {
            task.cause = Cause::Killed;
        }
        if task.kill == Kill::No {
            let grace = i64::try_from(GRACE_WITH_OTHERS.as_nanos()).unwrap_or(i64::MAX);
            self.end(key, Some(grace), now, out);
        }
    }

    /// SIGTERM now, SIGKILL after the grace period. A shorter grace of a later kill counts.
    pub(crate) fn end(
        &mut self,
        key: &Key,
        grace: Option<i64>,
        now: &mut Now<'_>,
        out: &mut Effects<Effect>,
    ) {
        let killing_state = self.frameworks.get(&key.0).is_some_and(|f| {
            f.info
                .capabilities
                .iter()
                .any(|c| c.r#type() == framework_info::capability::Type::TaskKillingState)
        });
        let Some(task) = self.tasks.get_mut(key).filter(|t| !t.ended) else { return };
        let own = task.info.kill_policy.as_ref().and_then(|p| p.grace_period.as_ref()).map(|g| g.nanoseconds);
        let grace = grace
            .or(own)
            .map_or(GRACE_DEFAULT, |n| Duration::from_nanos(u64::try_from(n).unwrap_or_default()));
        let force_at = now.time + grace;
        match &mut task.kill {
            Kill::Asked { force_at: before } if force_at < *before => {
                *before = force_at;
                self.saves.push(records::kill(task, grace, force_at));
            }
            Kill::Asked { .. } | Kill::Forced { .. } => {}
            Kill::No => {
                task.kill = Kill::Asked { force_at };
                self.saves.push(records::kill(task, grace, force_at));
                task.health = None;
                task.check = None;
                // A task that is being ended has all the time that its grace period leaves it.
                task.end_at = None;
                let too_long = task.cause == Cause::TooLong;
                if task.pid.is_none() {
                    // Not started yet: it need not be, and a fetch need not go on.
                    if task.ordered {
                        out.push(Effect::Destroy { container: task.container.clone() });
                    }
                    return;
                }
                out.push(Effect::Signal { container: task.container.clone(), signal: SIGTERM });
                if killing_state && !too_long {
                    self.report(now, key, |s| s.set_state(TaskState::TaskKilling));
                }
            }
        }
    }

    pub(crate) fn shut_down_framework(
        &mut self,
        framework: &str,
        now: &mut Now<'_>,
        out: &mut Effects<Effect>,
    ) {
        if let Some(known) = self.frameworks.get_mut(framework) {
            known.ending = true;
        }
        let keys: Vec<_> = self.tasks.keys().filter(|(f, _)| f == framework).cloned().collect();
        for key in keys {
            self.silence(&key, now.time, out);
        }
        let keys: Vec<_> = self.executors.keys().filter(|(f, _)| f == framework).cloned().collect();
        for key in keys {
            self.shut_down_executor(&key, now, out);
        }
    }

    /// Ends a task that nobody asks about any more: no updates, gone within the grace period.
    pub(crate) fn silence(&mut self, key: &Key, now: Time, out: &mut Effects<Effect>) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let numbers: Vec<_> = task.pending.drain(..).map(|p| p.number).collect();
        self.saves.extend(numbers.into_iter().map(crate::records::forget_update));
        if let Some(task) = self.tasks.get_mut(key) {
            task.retry_at = None;
            task.silent = true;
            task.health = None;
            task.check = None;
            task.end_at = None;
            task.state = if is_terminal(task.state) { task.state } else { TaskState::TaskKilled };
            if task.ended {
                self.forget(key, out);
                return;
            }
            if task.kill == Kill::No && task.is_played() {
                let force_at = now + GRACE_DEFAULT;
                task.kill = Kill::Asked { force_at };
                self.saves.push(records::kill(task, GRACE_DEFAULT, force_at));
                let container = task.container.clone();
                if task.pid.is_some() {
                    out.push(Effect::Signal { container, signal: SIGTERM });
                } else if task.ordered {
                    out.push(Effect::Destroy { container });
                }
            }
        }
    }

    pub(crate) fn shut_down(&mut self, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        let keys: Vec<_> = self.tasks.keys().cloned().collect();
        for key in keys {
            self.silence(&key, now.time, out);
        }
        let frameworks: Vec<_> = self.frameworks.keys().cloned().collect();
        for framework in frameworks {
            self.shut_down_framework(&framework, now, out);
        }
    }
}

/// SIGKILL now, and again if that is not enough.
pub(crate) fn force(task: &mut Task, now: Time, out: &mut Effects<Effect>) {
    task.kill = Kill::Forced { again_at: now + FORCE_AGAIN };
    let container = task.container.clone();
    out.push(Effect::Signal { container: container.clone(), signal: SIGKILL });
    out.push(Effect::Destroy { container });
}
