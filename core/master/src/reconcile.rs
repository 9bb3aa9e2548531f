//! Reconciliation: what became of tasks that a framework asks about. Answers carry no uuid and are never repeated.
//!
//! Who gets which answer: apache/mesos@c1b42f79:src/master/master.cpp (`Master::_reconcileTasks`).

use crate::{Effect, Master, frameworks::partition_aware, updates};
use base::{Effects, Time};
use model::mesos::{
    Task, TaskState, TaskStatus, TimeInfo,
    scheduler::call,
    task_status::{Reason, Source},
};

impl Master {
    /// About all of the framework's tasks when none is named.
    pub(crate) fn reconcile(
        &mut self,
        framework_id: &str,
        asked: &[call::reconcile::Task],
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        self.counters.reconciliations += 1;
        let Some(framework) = self.frameworks.get(framework_id) else { return };
        if asked.is_empty() {
            for task in framework.tasks.values() {
                self.say(framework_id, latest(task, now), None, out);
            }
            return;
        }
        let aware = partition_aware(framework);
        for one in asked {
            if let Some(task) = framework.tasks.get(&one.task_id.value) {
                self.say(framework_id, latest(task, now), None, out);
                continue;
            }
            let agent = one.agent_id.as_ref().map(|id| id.value.as_str());
            let recovering = match agent {
                Some(agent) => self.recovering.contains_key(agent),
                None => !self.recovering.is_empty(),
            };
            if recovering {
                continue;
            }
            let since = agent.and_then(|a| self.unreachable.get(a)).or_else(|| {
                let task = framework.unreachable_tasks.get(&one.task_id.value)?;
                self.unreachable.get(&task.agent_id.value)
            });
            let (state, message) = if agent.is_some_and(|a| self.policy.gone.contains_key(a)) {
                (TaskState::TaskGoneByOperator, "Reconciliation: Task is gone")
            } else if agent.is_some_and(|a| self.agents.contains_key(a)) {
                (TaskState::TaskGone, "Reconciliation: Task is unknown to the agent")
            } else if since.is_some() {
                (TaskState::TaskUnreachable, "Reconciliation: Task is unreachable")
            } else {
                (TaskState::TaskUnknown, "Reconciliation: Task is unknown")
            };
            let mut status = TaskStatus {
                task_id: one.task_id.clone(),
                agent_id: one.agent_id.clone(),
                timestamp: Some(now.as_secs_f64()),
                message: Some(message.to_owned()),
                ..Default::default()
            };
            if state == TaskState::TaskUnreachable {
                status.unreachable_time = since.map(|t| TimeInfo { nanoseconds: t.as_nanos() as i64 });
            }
            status.set_state(updates::for_framework(state, aware));
            status.set_source(Source::Master);
            status.set_reason(Reason::Reconciliation);
            self.say(framework_id, status, None, out);
        }
    }
}

fn latest(task: &Task, now: Time) -> TaskStatus {
    let mut status = updates::of_master(task, task.state(), now);
    status.message = Some("Reconciliation: Latest task state".to_owned());
    status.set_reason(Reason::Reconciliation);
    status
}
