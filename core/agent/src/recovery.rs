//! What is left after a restart: durable tasks and updates beside what the launcher still knows.

use crate::{
    Agent, Effect, records,
    records::{Recovered, UNSEEN},
    state::{Executor, Framework, Pending, Phase, Runner, Speaker, Task, is_terminal},
};
use base::{Effects, Now};
use model::{
    container::{ContainerId, Termination},
    mesos::{TaskState, internal},
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
            self.frameworks.insert(id, Framework { info, ending: false });
        }
        let until = self.started + self.config.executors.reregistration_timeout;
        for (framework, container, info) in found.executors {
            let key = (framework.clone(), info.executor_id.value.clone());
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
                info,
            };
            self.executor_containers.insert(container, key.clone());
            self.executors.insert(key, executor);
        }
        for kept in found.tasks {
            let key = (kept.framework.clone(), kept.info.task_id.value.clone());
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
            let task = Task::new(kept.framework, kept.container, kept.info, directory);
            let task = Task { runner, ..task };
            if task.is_played() {
                self.containers.insert(task.container.clone(), key.clone());
            }
            self.tasks.insert(key, task);
        }
        self.checkpointed = found.resources;
        for operation in found.operations {
            let pending = crate::operations::Pending::new(operation);
            let durable = pending.operation.latest_status.uuid.is_some();
            let uuid = pending.operation.uuid.value.clone();
            self.operations.insert(uuid, crate::operations::Pending { durable, ..pending });
        }
        for (container, launch, session) in found.guests {
            self.read_guest(container, launch, session);
        }
        for (number, update) in found.updates {
            self.next_update = self.next_update.max(number + 1);
            let key = (update.framework_id.value.clone(), update.status.task_id.value.clone());
            let task = self.tasks.entry(key.clone()).or_insert_with(|| {
                // The task was forgotten, or never was here; its last word was not acknowledged.
                let info =
                    model::mesos::TaskInfo { task_id: update.status.task_id.clone(), ..Default::default() };
                let ghost = Task::new(key.0.clone(), ContainerId(String::new()), info, String::new());
                Task { ghost: true, ended: true, ..ghost }
            });
            task.state = update.status.state();
            if is_terminal(task.state) {
                task.ended = true;
            }
            if let Some(pid) = update.status.container_status.as_ref().and_then(|c| c.executor_pid) {
                task.pid = Some(pid);
            }
            task.statuses.push(update.status.clone());
            task.pending.push_back(Pending { number, update, durable: true, tell: false });
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
        let known = |c: &&ContainerId| {
            self.containers.contains_key(*c)
                || self.executor_containers.contains_key(*c)
                || self.guests.contains_key(*c)
        };
        for container in running.keys().filter(|c| !known(c)) {
            out.push(Effect::Destroy { container: container.clone() });
        }
        for container in ended.keys().filter(|c| !known(c)) {
            out.push(Effect::Forget { container: container.clone() });
        }
        let live = |t: &Task| !t.ended && t.is_played();
        let keys: Vec<_> = self.tasks.iter().filter(|(_, t)| live(t)).map(|(k, _)| k.clone()).collect();
        for key in keys {
            let Some(task) = self.tasks.get_mut(&key) else { continue };
            let container = task.container.clone();
            if let Some(pid) = running.get(&container) {
                task.pid = Some(*pid);
                if task.state == TaskState::TaskStaging && task.pending.is_empty() {
                    // Its updates so far were acknowledged, or it was started and nobody was told.
                    task.state = TaskState::TaskRunning;
                    self.report(now, &key, |s| s.set_state(TaskState::TaskRunning));
                }
                self.begin_watching(&key, now.time);
                self.begin_checks(&key, now.time);
            } else {
                let how = ended.get(&container).cloned().unwrap_or(UNSEEN);
                self.terminated(now, &container, &how, out);
            }
        }
        let until = now.time + self.config.executors.reregistration_timeout;
        let keys: Vec<_> = self.executors.keys().cloned().collect();
        for key in keys {
            let Some(executor) = self.executors.get_mut(&key) else { continue };
            let container = executor.container.clone();
            let Some(pid) = running.get(&container) else {
                let how = ended.get(&container).cloned().unwrap_or(UNSEEN);
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
        self.operations_recovered(out);
        self.guests_recovered(&running, &ended, out);
        self.saves.push(records::boot(&self.config.boot_id));
        self.begin(now, out);
    }
}
