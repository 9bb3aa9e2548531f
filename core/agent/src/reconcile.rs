//! What is meant beside what is there: whenever a launcher says what it knows, after the agent's restart or its own, every
//! container that is wanted and not there is ordered, every one that is there and not wanted is ended, and orders that
//! may have been lost are given again. Never how a task is started or ended (`launch`, `tasks`).

use crate::{
    Agent, Effect,
    records::{self, UNSEEN},
    state::{Kill, Phase, Runner, Speaker, Task},
    tasks::{end_of, force},
};
use base::{Effects, Now};
use model::{
    container::{ContainerId, Termination},
    mesos::{
        TaskState, internal,
        task_status::{Reason, Source},
    },
};
use std::collections::{BTreeMap, BTreeSet};

type Key = (String, String);

const SIGTERM: i32 = 15;

/// What a launcher knows. A container is in one of these or it is not known.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub running: BTreeMap<ContainerId, u32>,
    pub starting: BTreeSet<ContainerId>,
    pub ended: BTreeMap<ContainerId, Termination>,
}

impl Known {
    pub fn new(
        running: Vec<(ContainerId, u32)>,
        starting: Vec<ContainerId>,
        ended: Vec<(ContainerId, Termination)>,
    ) -> Self {
        Self {
            running: running.into_iter().collect(),
            starting: starting.into_iter().collect(),
            ended: ended.into_iter().collect(),
        }
    }

    fn has(&self, container: &ContainerId) -> bool {
        self.running.contains_key(container)
            || self.starting.contains(container)
            || self.ended.contains_key(container)
    }
}

impl Agent {
    /// The launcher has said what it knows, once after the agent's start. Every task finds its true end, goes on, or is
    /// started if it never was.
    pub(crate) fn recovered(&mut self, now: &mut Now<'_>, known: Known, out: &mut Effects<Effect>) {
        if self.registration.recovered {
            return;
        }
        self.registration.recovered = true;
        self.recovery_time = Some(now.time.since(self.started));
        self.end_strangers(&known, out);
        // before what uses their volumes
        self.operations_recovered(out);
        for key in self.played_tasks() {
            self.recover_task(&key, &known, now, out);
        }
        self.recover_executors(&known, now, out);
        self.guests_recovered(&known.running, &known.ended, out);
        for container in known.starting.iter().filter(|c| self.guests.contains_key(*c)) {
            // Whoever asked for it has lost the connection.
            out.push(Effect::Destroy { container: container.clone() });
        }
        self.saves.push(records::boot(&self.config.boot_id));
        self.begin(now, out);
    }

    /// Another launcher took the place of one that was killed, or the connection had broken.
    pub(crate) fn launcher_replaced(&mut self, now: &mut Now<'_>, known: &Known, out: &mut Effects<Effect>) {
        self.end_strangers(known, out);
        for (container, how) in &known.ended {
            self.terminated(now, container, how, out);
        }
        for key in self.executors.keys().cloned().collect::<Vec<_>>() {
            self.reorder_executor(&key, known, now, out);
        }
        for key in self.played_tasks() {
            self.reorder_task(&key, known, now, out);
        }
        self.reorder_guests(known, out);
    }

    /// Containers that nobody here means: ended, or forgotten if they have ended.
    fn end_strangers(&self, known: &Known, out: &mut Effects<Effect>) {
        let ours = |c: &&ContainerId| {
            self.containers.contains_key(*c)
                || self.executor_containers.contains_key(*c)
                || self.guests.contains_key(*c)
        };
        for container in known.running.keys().chain(&known.starting).filter(|c| !ours(c)) {
            out.push(Effect::Destroy { container: container.clone() });
        }
        for container in known.ended.keys().filter(|c| !ours(c)) {
            out.push(Effect::Forget { container: container.clone() });
        }
        let over = |t: &&Task| t.ended && t.is_played() && !t.ghost;
        for task in self.tasks.values().filter(over) {
            if known.running.contains_key(&task.container) || known.starting.contains(&task.container) {
                out.push(Effect::Destroy { container: task.container.clone() });
            }
        }
    }

    /// Tasks with containers of their own that may still run.
    fn played_tasks(&self) -> Vec<Key> {
        let live = |t: &Task| t.is_live() && t.is_played();
        self.tasks.iter().filter(|(_, t)| live(t)).map(|(k, _)| k.clone()).collect()
    }

    fn recover_task(&mut self, key: &Key, known: &Known, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        let Some(task) = self.tasks.get(key).filter(|t| t.is_live()) else { return };
        let container = task.container.clone();
        let (begun, killed) = (task.begun.is_some(), task.kill != Kill::No);
        if let Some(pid) = known.running.get(&container) {
            if begun {
                self.goes_on(key, *pid, now, out);
            } else {
                self.launched(now, &container, *pid, out);
            }
        } else if let Some(how) = known.ended.get(&container) {
            self.terminated(now, &container, how, out);
        } else if known.starting.contains(&container) {
            if let Some(task) = self.tasks.get_mut(key) {
                task.ordered = true;
            }
            if killed {
                out.push(Effect::Destroy { container });
            }
        } else if begun {
            self.terminated(now, &container, &UNSEEN, out);
        } else if killed {
            self.launch_failed(now, &container, "", out);
        } else if self.counters.rebooted {
            self.conclude(now, key, TaskState::TaskFailed, |s| {
                s.set_source(Source::Agent);
                s.set_reason(Reason::ContainerLaunchFailed);
                s.message = Some(
                    "The task was never started: the machine was rebooted before it could be".to_owned(),
                );
            });
            self.forget_if_silent(key, out);
        } else if let Some(Runner::Group { parent, .. }) = self.tasks.get(key).map(|t| t.runner.clone()) {
            // Without the container around it it ends with its executor.
            if known.running.contains_key(&parent) {
                self.launch_nested(now, key, out);
            }
        } else {
            // Its order was lost with the earlier agent, or its fetch was.
            self.launch(now, key, out);
        }
    }

    /// A task that outlived a restart is checked again, or its kill goes on.
    fn goes_on(&mut self, key: &Key, pid: u32, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        task.pid = Some(pid);
        task.ordered = true;
        task.end_at = end_of(task, now.time);
        if task.state == TaskState::TaskStaging && task.pending.is_empty() {
            // Its updates so far were acknowledged, that it runs among them: there is no news.
            task.state = TaskState::TaskRunning;
        }
        self.begin_watching(key, now.time);
        let Some(task) = self.tasks.get_mut(key) else { return };
        if task.kill == Kill::No {
            self.begin_checks(key, now.time);
        } else {
            task.check = None;
            // Whether the signal arrived before the restart nobody knows.
            out.push(Effect::Signal { container: task.container.clone(), signal: SIGTERM });
        }
    }

    fn recover_executors(&mut self, known: &Known, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        let until = now.time + self.config.executors.reregistration_timeout;
        for key in self.executors.keys().cloned().collect::<Vec<_>>() {
            let Some(executor) = self.executors.get_mut(&key) else { continue };
            let container = executor.container.clone();
            let Some(pid) = known.running.get(&container) else {
                let how = known.ended.get(&container).cloned().unwrap_or(UNSEEN);
                self.executor_gone(now, &key, Some(&how), out);
                continue;
            };
            executor.pid = Some(*pid);
            if executor.is_default() {
                executor.phase = Phase::Running;
                self.end_if_idle(&key, now, out);
                continue;
            }
            executor.phase = Phase::Registering { until, again: true };
            if let (Speaker::Driver(driver), Some(slave_id)) = (&executor.speaker, self.info.id.clone()) {
                let driver = driver.clone();
                self.say(driver, internal::ReconnectExecutorMessage { slave_id }, out);
            }
        }
    }

    fn reorder_task(&mut self, key: &Key, known: &Known, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        let Some(task) = self.tasks.get_mut(key).filter(|t| t.is_live()) else { return };
        let container = task.container.clone();
        if let Some(pid) = known.running.get(&container) {
            match task.kill {
                _ if task.pid.is_none() => self.launched(now, &container, *pid, out),
                Kill::No => {}
                Kill::Asked { .. } => out.push(Effect::Signal { container, signal: SIGTERM }),
                Kill::Forced { .. } => force(task, now.time, out),
            }
        } else if known.starting.contains(&container) {
            if task.kill != Kill::No {
                out.push(Effect::Destroy { container });
            }
        } else if task.pid.is_some() {
            self.terminated(now, &container, &UNSEEN, out);
        } else if task.kill != Kill::No {
            self.launch_failed(now, &container, "", out);
        } else if task.ordered {
            match task.runner {
                Runner::Group { .. } => self.launch_nested(now, key, out),
                _ => self.launch(now, key, out),
            }
        }
    }

    fn reorder_executor(&mut self, key: &Key, known: &Known, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        let Some(executor) = self.executors.get(key).filter(|e| e.is_live()) else { return };
        let container = executor.container.clone();
        let (phase, started, ordered) = (executor.phase, executor.pid.is_some(), executor.ordered);
        if let Some(pid) = known.running.get(&container) {
            if !started {
                self.executor_launched(now, key, *pid, out);
            }
            if phase == Phase::Forced {
                self.force_executor(key, out);
            } else {
                out.push(Effect::Limit { container, limits: self.executor_limits(key) });
            }
        } else if known.starting.contains(&container) {
            if phase == Phase::Forced {
                self.force_executor(key, out);
            }
        } else if started {
            self.executor_gone(now, key, Some(&UNSEEN), out);
        } else if phase == Phase::Starting && ordered {
            self.start_executor(key, out);
        } else if phase != Phase::Starting {
            self.executor_gone(now, key, None, out);
        }
    }

    fn reorder_guests(&mut self, known: &Known, out: &mut Effects<Effect>) {
        for container in self.guests.keys().cloned().collect::<Vec<_>>() {
            let Some(guest) = self.guests.get(&container).filter(|g| g.is_live()) else { continue };
            let (started, ordered) = (guest.pid.is_some(), guest.ordered);
            match known.running.get(&container) {
                Some(pid) if !started => self.guest_launched(&container, *pid, out),
                _ if known.has(&container) => {}
                _ if started => self.guest_ended(&container, &UNSEEN, out),
                _ if ordered => self.invite(&container, out),
                _ => {}
            }
        }
    }
}
