//! What is left after a restart: durable tasks and updates beside what the launcher still knows.

use crate::{
    Agent, Effect, records,
    records::{Recovered, UNSEEN},
    state::{Framework, Kill, Pending, Task, is_terminal},
};
use base::{Duration, Effects, Now};
use model::{
    container::{ContainerId, Termination},
    mesos::TaskState,
    save::Records,
};
use std::collections::BTreeMap;

impl Agent {
    pub(crate) fn read_records(&mut self, records: &Records) {
        let found = Recovered::read(records);
        self.counters.records_broken = found.broken;
        if let Some(before) = found.agent {
            // The id stays; what the agent has may have changed.
            self.info.id = before.id;
        }
        let rebooted = found.boot_id.is_some_and(|id| id != self.config.boot_id);
        self.counters.rebooted = rebooted;
        for info in found.frameworks {
            let id = info.id.as_ref().map_or(String::new(), |id| id.value.clone());
            self.frameworks.insert(id, Framework { info });
        }
        for (framework, container, info) in found.tasks {
            let directory = self.sandbox(&framework, &info.task_id.value, &container);
            let key = (framework.clone(), info.task_id.value.clone());
            self.containers.insert(container.clone(), key.clone());
            let kill = found.kills.get(&container).copied();
            let pid = found.pids.get(&container).copied();
            let mut task = Task { pid, ..Task::new(framework, container, info, directory) };
            if let Some((cause, grace)) = kill {
                task.cause = cause;
                task.kill = Kill::Recovered { grace };
            }
            self.tasks.insert(key, task);
        }
        for (number, update) in found.updates {
            self.next_update = self.next_update.max(number + 1);
            let key = (update.framework_id.value.clone(), update.status.task_id.value.clone());
            let task = self.tasks.entry(key.clone()).or_insert_with(|| {
                // The task was forgotten, or never was here; its last word was not acknowledged.
                let info =
                    model::mesos::TaskInfo { task_id: update.status.task_id.clone(), ..Default::default() };
                let container = ContainerId(String::new());
                Task { ghost: true, ..Task::new(key.0.clone(), container, info, String::new()) }
            });
            task.state = update.status.state();
            if is_terminal(task.state) {
                task.ended = true;
            }
            if let Some(pid) = update.status.container_status.as_ref().and_then(|c| c.executor_pid) {
                task.pid = Some(pid);
            }
            task.statuses.push(update.status.clone());
            task.pending.push_back(Pending { number, update, durable: true });
        }
    }

    /// The launcher has said what it knows. Every task finds its true end, or goes on.
    pub(crate) fn recovered(
        &mut self,
        now: &mut Now<'_>,
        running: Vec<(ContainerId, u32)>,
        ended: Vec<(ContainerId, Termination)>,
        out: &mut Effects<Effect>,
    ) {
        if self.registration.recovered {
            return;
        }
        self.registration.recovered = true;
        let running: BTreeMap<_, _> = running.into_iter().collect();
        let ended: BTreeMap<_, _> = ended.into_iter().collect();
        for container in running.keys().filter(|c| !self.containers.contains_key(c)) {
            out.push(Effect::Destroy { container: container.clone() });
        }
        for container in ended.keys().filter(|c| !self.containers.contains_key(c)) {
            out.push(Effect::Forget { container: container.clone() });
        }
        let keys: Vec<_> = self.tasks.iter().filter(|(_, t)| !t.ended).map(|(k, _)| k.clone()).collect();
        for key in keys {
            let Some(task) = self.tasks.get_mut(&key) else { continue };
            let container = task.container.clone();
            if let Some(pid) = running.get(&container) {
                if task.pid != Some(*pid) {
                    self.saves.push(records::pid(task, *pid));
                }
                task.pid = Some(*pid);
                if task.state == TaskState::TaskStaging && task.pending.is_empty() {
                    // Its updates so far were acknowledged, or it was started and nobody was told.
                    task.state = TaskState::TaskRunning;
                    self.report(now, &key, |s| s.set_state(TaskState::TaskRunning));
                }
                self.go_on(&key, now, out);
            } else if let Some(how) = ended.get(&container) {
                self.terminated(now, &container, how, out);
            } else if task.pid.is_some() || self.counters.rebooted {
                self.terminated(now, &container, &UNSEEN, out);
            } else {
                // The order may have been lost with the earlier agent, or the launcher is still at it: that one makes a
                // container once, however often it is asked for.
                self.launch(&key, out);
            }
        }
        self.saves.push(records::boot(&self.config.boot_id));
        self.begin(now, out);
    }

    /// A task that outlived a restart is checked again, or its kill goes on.
    fn go_on(&mut self, key: &(String, String), now: &mut Now<'_>, out: &mut Effects<Effect>) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        if let Some(limit) = &task.info.max_completion_time {
            // When it began is not known any more: late is better than never.
            let limit = Duration::from_nanos(u64::try_from(limit.nanoseconds).unwrap_or_default());
            task.end_at = Some(now.time + limit);
        }
        let Kill::Recovered { grace } = task.kill else {
            return self.begin_checks(key, now.time);
        };
        task.kill = Kill::Asked { force_at: now.time + grace };
        out.push(Effect::Signal { container: task.container.clone(), signal: 15 });
    }

    /// Another launcher took the place of a killed one. What that one had been ordered and had not begun is ordered
    /// again; what ended meanwhile ended unseen.
    pub(crate) fn launcher_replaced(
        &mut self,
        now: &mut Now<'_>,
        running: Vec<(ContainerId, u32)>,
        ended: Vec<(ContainerId, Termination)>,
        out: &mut Effects<Effect>,
    ) {
        let running: BTreeMap<_, _> = running.into_iter().collect();
        for (container, how) in ended {
            self.terminated(now, &container, &how, out);
        }
        let live: Vec<_> = self.tasks.iter().filter(|(_, t)| t.is_live()).map(|(k, _)| k.clone()).collect();
        for key in live {
            let Some(task) = self.tasks.get(&key) else { continue };
            let (container, started) = (task.container.clone(), task.pid.is_some());
            match running.get(&container) {
                Some(pid) if !started => self.launched(now, &container, *pid, out),
                Some(_) => {
                    if let Kill::Asked { .. } = task.kill {
                        out.push(Effect::Signal { container, signal: 15 });
                    } else if task.kill == Kill::Forced {
                        out.push(Effect::Destroy { container });
                    }
                }
                None if started => self.terminated(now, &container, &UNSEEN, out),
                None if self.saves.launches(&key) => {}
                None => self.launch(&key, out),
            }
        }
    }
}
