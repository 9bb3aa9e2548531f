//! How executors end: by themselves, told to, by force, when they are idle or time is up; what the master hears of it.
//! Never how they begin (`executors`).

use super::{IDLE, Key};
use crate::{
    Agent, Effect, launch, records,
    saves::Then,
    state::{Cause, Phase, Runner, Speaker, Task},
    tasks::describe,
};
use base::{Duration, Effects, Now};
use model::{
    container::Termination,
    mesos::{
        AgentId, ExecutorId, FrameworkId, TaskState, internal,
        task_status::{Reason, Source},
    },
    request::StreamId,
};

impl Agent {
    /// The container of an executor is gone, or never was: its tasks are over, the master hears.
    pub(crate) fn executor_gone(
        &mut self,
        now: &mut Now<'_>,
        key: &Key,
        how: Option<&Termination>,
        out: &mut Effects<Effect>,
    ) {
        let Some(executor) = self.executors.get_mut(key).filter(|e| e.phase != Phase::Ended) else { return };
        let asked = matches!(executor.phase, Phase::Ending { .. } | Phase::Forced);
        executor.phase = Phase::Ended;
        self.counters.executors_ended += 1;
        executor.heartbeat_at = None;
        executor.queue.clear();
        let speaker = std::mem::replace(&mut executor.speaker, Speaker::Nobody);
        let (container, why) = (executor.container.clone(), executor.why.clone());
        let played = executor.is_default();
        if let Speaker::Stream(stream) = speaker {
            out.push(Effect::Http(model::request::Http::Close { stream }));
        }
        out.push(Effect::Destroy { container });
        let status = match how {
            // Nothing ran in it but what held it open.
            Some(_) if played && asked => 0,
            Some(Termination::Exited(code)) => code << 8,
            Some(Termination::Signaled(signal)) => *signal,
            Some(Termination::OutOfMemory { .. }) => 9,
            Some(Termination::Unknown) | None => -1,
        };
        let (state, reason, message) = match (why, how) {
            (Some(why), _) => why,
            (None, Some(how @ Termination::OutOfMemory { .. })) => {
                (TaskState::TaskFailed, Reason::ContainerLimitationMemory, describe(how))
            }
            (None, _) => {
                (TaskState::TaskFailed, Reason::ExecutorTerminated, "Executor terminated".to_owned())
            }
        };
        for task_key in self.tasks_of(key) {
            let Some(task) = self.tasks.get(&task_key).filter(|t| !t.ended) else { continue };
            if task.is_played() {
                out.push(Effect::Destroy { container: task.container.clone() });
            }
            self.conclude(now, &task_key, state, |s| {
                s.set_reason(reason);
                s.set_source(Source::Agent);
                s.message = Some(message.clone());
                s.container_status = None;
            });
            self.forget_if_silent(&task_key, out);
        }
        if !self.frameworks.get(&key.0).is_some_and(|f| f.ending) {
            self.say_exited(key, status, out);
        }
        self.remove_executor(key);
    }

    pub(crate) fn say_exited(&self, key: &Key, status: i32, out: &mut Effects<Effect>) {
        let Some(master) = self.registration.master.clone().filter(|_| self.registration.registered) else {
            return;
        };
        let message = internal::ExitedExecutorMessage {
            slave_id: self.info.id.clone().unwrap_or_else(|| AgentId { value: String::new() }),
            framework_id: FrameworkId { value: key.0.clone() },
            executor_id: ExecutorId { value: key.1.clone() },
            status,
        };
        self.say(master, message, out);
    }

    /// An executor is forgotten once it is gone and all of its tasks are.
    pub(crate) fn remove_executor(&mut self, key: &Key) {
        let over = self.executors.get(key).is_some_and(|e| e.phase == Phase::Ended);
        if !over || !self.tasks_of(key).is_empty() {
            return;
        }
        let Some(executor) = self.executors.remove(key) else { return };
        self.executor_containers.remove(&executor.container);
        self.saves.extend(records::forget_executor(&executor));
        self.saves.then(Then::Forget { container: executor.container.clone() });
        self.becomes_garbage(&executor.directory);
        self.completed_executors.push_back(executor);
        while self.completed_executors.len() > self.config.completed_tasks_max {
            self.completed_executors.pop_front();
        }
        self.forget_framework(&key.0);
    }

    /// SHUTDOWN now, by force after the grace period.
    pub(crate) fn shut_down_executor(&mut self, key: &Key, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        if let Some(task) = self.tasks.get_mut(key).filter(|t| t.runner == Runner::Agent && t.is_live()) {
            // The command executor is played here.
            if task.cause == Cause::Own {
                task.cause = Cause::Killed;
            }
            self.end(key, None, now, out);
            return;
        }
        let Some(executor) = self.executors.get_mut(key) else { return };
        if matches!(executor.phase, Phase::Ending { .. } | Phase::Forced | Phase::Ended) {
            return;
        }
        let grace = executor.info.shutdown_grace_period.as_ref();
        let grace = grace.and_then(|g| u64::try_from(g.nanoseconds).ok()).map(Duration::from_nanos);
        let force_at = now.time + grace.unwrap_or(self.config.executors.shutdown_grace_period);
        executor.phase = Phase::Ending { force_at };
        let started = executor.pid.is_some();
        let played = executor.is_default();
        if !played {
            self.tell(key, crate::calls::Word::Shutdown, out);
            return;
        }
        let mut live = false;
        for task_key in self.tasks_of(key) {
            if self.tasks.get(&task_key).is_some_and(Task::is_live) {
                live = true;
                self.end_with_others(&task_key, now, out);
            }
        }
        if started && !live {
            self.force_executor(key, out);
        }
    }

    /// Ends an executor's container at once.
    pub(crate) fn force_executor(&mut self, key: &Key, out: &mut Effects<Effect>) {
        let Some(executor) = self.executors.get_mut(key).filter(|e| e.phase != Phase::Ended) else { return };
        executor.phase = Phase::Forced;
        executor.idle_until = None;
        let container = executor.container.clone();
        for task in self.tasks_of(key) {
            if let Some(task) = self.tasks.get(&task).filter(|t| t.is_played() && t.is_live()) {
                out.push(Effect::Destroy { container: task.container.clone() });
            }
        }
        out.push(Effect::Destroy { container });
    }

    pub(crate) fn executor_due(&mut self, key: &Key, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        let Some(executor) = self.executors.get_mut(key) else { return };
        let aware = self.frameworks.get(&key.0).is_some_and(|f| launch::is_partition_aware(&f.info));
        match executor.phase {
            Phase::Registering { until, again } if until <= now.time => {
                let timeout = if again {
                    self.config.executors.reregistration_timeout
                } else {
                    self.config.executors.registration_timeout
                };
                let text = launch::duration_text(timeout);
                executor.why = Some(if again {
                    let state = if aware { TaskState::TaskGone } else { TaskState::TaskLost };
                    let message = format!("Executor did not reregister within {text}");
                    (state, Reason::ExecutorReregistrationTimeout, message)
                } else {
                    let message = format!("Executor did not register within {text}");
                    (TaskState::TaskFailed, Reason::ExecutorRegistrationTimeout, message)
                });
                self.force_executor(key, out);
            }
            Phase::Ending { force_at } if force_at <= now.time => self.force_executor(key, out),
            _ => {}
        }
        if self.executors.get(key).is_some_and(|e| e.idle_until.is_some_and(|at| at <= now.time)) {
            self.force_executor(key, out);
        }
        if let Some(executor) = self.executors.get_mut(key)
            && executor.heartbeat_at.is_some_and(|at| at <= now.time)
        {
            executor.heartbeat_at = Some(now.time + crate::calls::HEARTBEAT_EVERY);
            self.tell(key, crate::calls::Word::Heartbeat, out);
        }
    }

    /// An executor whose tasks were all killed before it got any is shut down; the default executor whenever it has
    /// none left.
    pub(crate) fn end_if_idle(&mut self, key: &Key, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        let Some(executor) = self.executors.get(key) else { return };
        if !executor.queue.is_empty() {
            return;
        }
        if executor.is_default() {
            let tasks = self.tasks_of(key);
            let live = tasks.iter().any(|t| self.tasks.get(t).is_some_and(Task::is_live));
            if live || executor.pid.is_none() || matches!(executor.phase, Phase::Forced | Phase::Ended) {
                return;
            }
            if tasks.is_empty() {
                self.force_executor(key, out);
            } else if let Some(executor) = self.executors.get_mut(key) {
                executor.idle_until.get_or_insert(now.time + IDLE);
            }
        } else if executor.phase == Phase::Running && !executor.sent {
            self.shut_down_executor(key, now, out);
        }
    }

    /// The last task of a default executor is acknowledged: it need not stay.
    pub(crate) fn end_if_settled(&mut self, key: &Key, out: &mut Effects<Effect>) {
        let idle = self.executors.get(key).is_some_and(|e| e.idle_until.is_some() && e.queue.is_empty());
        if idle && self.tasks_of(key).is_empty() {
            self.force_executor(key, out);
        }
    }

    /// A stream has ended: the executor may subscribe again.
    pub(crate) fn stream_closed(&mut self, stream: StreamId) {
        let theirs = self.executors.iter().find(|(_, e)| e.speaker == Speaker::Stream(stream));
        if let Some(key) = theirs.map(|(key, _)| key.clone())
            && let Some(executor) = self.executors.get_mut(&key)
        {
            executor.speaker = Speaker::Nobody;
            executor.heartbeat_at = None;
        }
    }
}
