//! What is left after a restart: durable frameworks, executors, tasks and updates are read. Never what became of their
//! containers meanwhile (`reconcile`).

use crate::{
    Agent, Draining,
    records::{self, Recovered},
    state::{Cause, Executor, Framework, Kill, Pending, Phase, Runner, Speaker, Task, is_terminal},
    updates::remember,
};
use model::{container::ContainerId, save::Records};
use std::collections::BTreeSet;

impl Agent {
    pub(crate) fn read_records(&mut self, records: &Records) {
        let found = Recovered::read(records);
        self.counters.records_broken = found.broken;
        if let Some(before) = found.agent {
            // The id stays; what the agent has may have changed.
            self.info.id.clone_from(&before.id);
            if self.info != before {
                self.saves.push(records::agent(&self.info));
            }
        }
        let rebooted = found.boot_id.is_some_and(|id| id != self.config.boot_id);
        self.counters.rebooted = rebooted;
        for info in found.frameworks {
            let id = info.id.as_ref().map_or(String::new(), |id| id.value.clone());
            self.frameworks.insert(id, Framework { info, pid: None, ending: false });
        }
        let until = self.started + self.config.executors.reregistration_timeout;
        for (framework, container, info) in found.executors {
            let key = (framework.clone(), info.executor_id.value.clone());
            // two records of one id were never written by us: the first counts
            if self.executors.contains_key(&key) {
                self.counters.records_broken += 1;
                continue;
            }
            let driver = found.drivers.iter().find(|(f, c, _)| *f == framework && *c == container);
            let executor = Executor {
                directory: self.sandbox(&framework, &key.1, &container),
                framework,
                container: container.clone(),
                pid: None,
                phase: Phase::Registering { until, again: true },
                speaker: driver.map_or(Speaker::Nobody, |(_, _, upid)| Speaker::Driver(upid.clone())),
                queue: Vec::new(),
                // Whether it was given its tasks nobody knows but itself.
                sent: true,
                why: None,
                heartbeat_at: None,
                idle_until: None,
                unhealthy: false,
                ordered: true,
                info,
            };
            self.executor_containers.insert(container, key.clone());
            self.executors.insert(key, executor);
        }
        for kept in found.tasks {
            let key = (kept.framework.clone(), kept.info.task_id.value.clone());
            if self.tasks.contains_key(&key) {
                self.counters.records_broken += 1;
                continue;
            }
            let parent = if kept.inside { Some(kept.container.clone()) } else { kept.container.parent() };
            let executor =
                parent.and_then(|p| Some((p.clone(), self.executor_containers.get(&p)?.1.clone())));
            self.next_update = self.next_update.max(kept.group.unwrap_or_default() + 1);
            let (runner, directory) = match (executor, kept.group) {
                (Some((parent, executor)), Some(number)) => {
                    let around = self.sandbox(&kept.framework, &executor, &parent);
                    let runner = Runner::Group { executor, parent, number };
                    (runner, format!("{around}/containers/{}", kept.container.last()))
                }
                (Some((parent, executor)), None) => {
                    let directory = self.sandbox(&kept.framework, &executor, &parent);
                    (Runner::Executor(executor), directory)
                }
                (None, _) if kept.inside || kept.group.is_some() => {
                    self.counters.records_broken += 1;
                    continue;
                }
                (None, _) => {
                    (Runner::Agent, self.sandbox(&kept.framework, &kept.info.task_id.value, &kept.container))
                }
            };
            let begun = found.begun.get(&kept.container).copied();
            let ending = found.kills.get(&kept.container).copied();
            let task = Task::new(kept.framework, kept.container, kept.info, directory);
            let mut task = Task { runner, begun, ..task };
            if let Some(ending) = ending {
                let force_at = ending.force_at.min(self.started + ending.grace);
                (task.kill, task.cause) = (Kill::Asked { force_at }, ending.cause);
                let around = (key.0.clone(), task.executor_id().to_owned());
                if ending.cause == Cause::Unhealthy
                    && let Some(executor) = self.executors.get_mut(&around)
                {
                    executor.unhealthy = true;
                }
            }
            if task.is_played() {
                self.containers.insert(task.container.clone(), key.clone());
            }
            self.tasks.insert(key, task);
        }
        for (directory, since) in found.garbage {
            // The clock may have been set back since: then it is kept from now on.
            self.garbage.read(directory, since.min(self.started));
        }
        self.checkpointed = found.resources;
        self.draining = found.draining.map(|config| Draining { config, since: self.started });
        for operation in found.operations {
            let pending = crate::operations::Pending::new(operation);
            let durable = pending.operation.latest_status.uuid.is_some();
            let uuid = pending.operation.uuid.value.clone();
            self.operations.insert(uuid, crate::operations::Pending { durable, ..pending });
        }
        let unkept = |f: &&Framework| !f.info.checkpoint();
        let unkept = self.frameworks.values().filter(unkept).filter_map(|f| f.info.id.as_ref());
        let unkept: BTreeSet<String> = unkept.map(|id| id.value.clone()).collect();
        for (container, launch, session) in found.guests {
            self.read_guest(container, launch, session);
        }
        for (number, update) in found.updates {
            self.next_update = self.next_update.max(number + 1);
            let key = (update.framework_id.value.clone(), update.status.task_id.value.clone());
            if !self.tasks.contains_key(&key) {
                // The task was forgotten, or never was here; its last word was not acknowledged.
                let info = model::mesos::TaskInfo {
                    task_id: update.status.task_id.clone(),
                    agent_id: update.slave_id.clone().unwrap_or_default(),
                    ..Default::default()
                };
                let ghost = Task::new(key.0.clone(), ContainerId(String::new()), info, String::new());
                self.tasks.insert(key.clone(), Task { ghost: true, ended: true, ..ghost });
            }
            let Some(task) = self.tasks.get_mut(&key) else { continue };
            task.state = update.status.state();
            if is_terminal(task.state) {
                task.ended = true;
            }
            if let Some(pid) = update.status.container_status.as_ref().and_then(|c| c.executor_pid) {
                task.pid = Some(pid);
            }
            remember(task, update.status.clone());
            task.pending.push_back(Pending::new(number, update, true, false));
        }
        self.leave_behind(&unkept);
    }

    /// Frameworks that did not ask for checkpoints: their tasks end with the agent that started them. Their containers are
    /// strangers from here on, and strangers are ended.
    ///
    /// apache/mesos@c1b42f79:src/slave/slave.cpp recovers no such framework, and the master tells it that its tasks are
    /// lost as soon as the agent is disconnected: one that came back would run twice.
    fn leave_behind(&mut self, frameworks: &BTreeSet<String>) {
        let theirs = |key: &&(String, String)| frameworks.contains(&key.0);
        for key in self.tasks.keys().filter(theirs).cloned().collect::<Vec<_>>() {
            let Some(task) = self.tasks.remove(&key) else { continue };
            self.saves.extend(task.pending.iter().map(|p| records::forget_update(p.number)));
            if !task.ghost {
                self.saves.extend(records::forget_task(&task));
            }
            self.containers.remove(&task.container);
            if task.runner == Runner::Agent && !task.ghost {
                self.becomes_garbage(&task.directory);
            }
        }
        for key in self.executors.keys().filter(theirs).cloned().collect::<Vec<_>>() {
            let Some(executor) = self.executors.remove(&key) else { continue };
            self.executor_containers.remove(&executor.container);
            self.saves.extend(records::forget_executor(&executor));
            self.becomes_garbage(&executor.directory);
        }
        for framework in frameworks {
            self.forget_framework(framework);
        }
    }
}
