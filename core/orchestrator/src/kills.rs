//! Ending instances: said to the master, and said again until the task is gone. Never decides which ones.

use crate::{Orchestrator, config::KILL_RETRY, timers::Due};
use base::Time;
use model::mesos::{
    AgentId, TaskId,
    scheduler::{Call, call},
};

impl Orchestrator {
    /// Ends an instance; its place counts as taken until it is gone.
    pub(crate) fn kill(&mut self, now: Time, id: &str) {
        let Some(mut instance) = self.instances.get(id).cloned() else { return };
        let again = std::mem::replace(&mut instance.ending, true);
        if again && instance.killed_at.is_some_and(|at| at + KILL_RETRY.as_millis() as u64 > now.as_millis())
        {
            return;
        }
        instance.killed_at = Some(now.as_millis());
        self.stop_checks(&instance);
        self.dirty.insert(instance.app.clone());
        let tasks: Vec<String> = instance.tasks().into_iter().cloned().collect();
        let agent = instance.agent.clone();
        if again {
            self.instances.insert(instance);
        } else {
            self.put_instance(instance);
        }
        if self.session.subscribed {
            tasks.iter().for_each(|task| self.send_kill(task, Some(&agent)));
        }
        self.timers.set(Due::Kill(id.to_owned()), now + KILL_RETRY);
    }

    /// A kill was not answered by an end, or could not be said yet.
    pub(crate) fn kill_again(&mut self, now: Time, id: &str) {
        if self.instances.get(id).is_some_and(|instance| instance.ending) {
            self.instances.update(id, |instance| instance.killed_at = None);
            self.kill(now, id);
        }
    }

    pub(crate) fn send_kill(&mut self, task: &str, agent: Option<&str>) {
        let kill = call::Kill {
            task_id: TaskId { value: task.to_owned() },
            agent_id: agent.map(|value| AgentId { value: value.to_owned() }),
            ..Default::default()
        };
        self.call(Call { r#type: Some(call::Type::Kill as i32), kill: Some(kill), ..Default::default() });
    }
}
