//! What is left after a restart: durable tasks and updates beside what the launcher still knows.

use crate::{
    Agent, Effect, records,
    records::{Recovered, UNSEEN},
    state::{Framework, Pending, Task, is_terminal},
};
use base::{Effects, Now};
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
            self.tasks.insert(key, Task::new(framework, container, info, directory));
        }
        for (number, update) in found.updates {
            self.next_update = self.next_update.max(number + 1);
            let key = (update.framework_id.value.clone(), update.status.task_id.value.clone());
            let task = self.tasks.entry(key.clone()).or_insert_with(|| {
                // The task was forgotten, or never was here; its last word was not acknowledged.
                let info =
                    model::mesos::TaskInfo { task_id: update.status.task_id.clone(), ..Default::default() };
                Task::new(key.0.clone(), ContainerId(String::new()), info, String::new())
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
                task.pid = Some(*pid);
                if task.state == TaskState::TaskStaging && task.pending.is_empty() {
                    // Its updates so far were acknowledged, or it was started and nobody was told.
                    task.state = TaskState::TaskRunning;
                    self.report(now, &key, |s| s.set_state(TaskState::TaskRunning));
                }
                self.begin_checks(&key, now.time);
            } else {
                let how = ended.get(&container).cloned().unwrap_or(UNSEEN);
                self.terminated(now, &container, &how, out);
            }
        }
        self.saves.push(records::boot(&self.config.boot_id));
        self.begin(now, out);
    }
}
