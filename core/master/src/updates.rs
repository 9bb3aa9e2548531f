//! Status updates: received, forwarded, acknowledged; tasks lost by the master's own finding. Order is the agent's.

use crate::{Effect, Master, frameworks::partition_aware, is_terminal, speak::NOBODY};
use base::{Effects, Time};
use model::{
    mesos::{
        FrameworkId, Task, TaskId, TaskState, TaskStatus, internal,
        scheduler::call,
        task_status::{Reason, Source},
    },
    resources::Resources,
};

/// Statuses kept for each task: one for each state in practice; checks that flap are bounded by this.
const STATUSES_MAX: usize = 16;

/// Unknown tasks that an agent is asked for its list because of while it is connected; for further ones it is not.
const ASKED_MAX: usize = 1000;

impl Master {
    pub(crate) fn status_update(
        &mut self,
        update: internal::StatusUpdate,
        pid: Option<String>,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        let framework_id = update.framework_id.value.clone();
        let task_id = update.status.task_id.value.clone();
        let Some(framework) = self.frameworks.get_mut(&framework_id) else {
            self.counters.updates_dropped += 1;
            // Its agent was away when the framework ended, and would repeat this for ever.
            let agent = update.slave_id.as_ref().and_then(|id| self.agents.get(&id.value));
            if let Some(agent) = agent.filter(|a| a.connected && self.ended.contains(&framework_id)) {
                let framework_id = FrameworkId { value: framework_id };
                self.tell(agent, internal::ShutdownFrameworkMessage { framework_id }, out);
            }
            return;
        };
        if !is_terminal(update.status.state()) && framework.heard_the_end(&task_id, update.slave_id.as_ref())
        {
            // A repetition that was overtaken. Its agent does not wait for it: it says an end only when all before that
            // was acknowledged.
            self.counters.updates_dropped += 1;
            return;
        }
        let known = framework.tasks.contains_key(&task_id) || framework.heard_the_end(&task_id, None);
        if !known && !is_terminal(update.status.state()) {
            // Launched by the words of an earlier master that came late: its agent is asked to list what it has.
            self.ask_for_list(&update, out);
        }
        self.counters.updates += 1;
        let Some(framework) = self.frameworks.get_mut(&framework_id) else { return };
        let mut update = update;
        let mut status = update.status.clone();
        status.uuid = update.uuid.clone().filter(|u| !u.is_empty());
        // Who says it is known; whom it says it is about is not to be believed.
        if update.slave_id.is_some() {
            status.agent_id.clone_from(&update.slave_id);
        }
        if status.executor_id.is_none() {
            status.executor_id.clone_from(&update.executor_id);
        }
        if status.timestamp.is_none() {
            status.timestamp = Some(update.timestamp);
        }
        let mut freed = None;
        let mut moved = false;
        let task = framework.tasks.get_mut(&task_id);
        if let Some(task) = task.filter(|t| update.slave_id.as_ref().is_none_or(|id| t.agent_id == *id)) {
            let latest =
                update.latest_state.and_then(|s| TaskState::try_from(s).ok()).unwrap_or(status.state());
            if !is_terminal(task.state()) {
                if is_terminal(latest) {
                    freed = Some(task.clone());
                    self.counters.ended(latest);
                    if status.state() == latest {
                        self.counters.reason(&status);
                    }
                }
                task.set_state(latest);
            }
            // Each state once, also where the agent is ahead of what was acknowledged.
            moved = task.status_update_state != Some(status.state);
            task.status_update_state = Some(status.state);
            task.status_update_uuid.clone_from(&status.uuid);
            let mut kept = update.status.clone();
            kept.uuid.clone_from(&status.uuid);
            kept.agent_id.clone_from(&status.agent_id);
            kept.executor_id.clone_from(&status.executor_id);
            kept.data = None;
            keep_status(&mut task.statuses, kept);
        }
        if let Some(task) = freed {
            self.free(&framework_id, &task, now);
        }
        let Some(framework) = self.frameworks.get_mut(&framework_id) else { return };
        if is_terminal(status.state()) && moved {
            framework.count(terminal_metric(status.state()));
        }
        let state = for_framework(status.state(), partition_aware(framework));
        if moved {
            self.publish_task_updated(&framework_id, status.state, &status, out);
        }
        status.set_state(state);
        update.status = status;
        self.forward(&framework_id, update, pid, out);
    }

    /// Once for each task: one that is not on the list either, an executor made up, and its agent repeats the update
    /// whenever it has registered.
    fn ask_for_list(&mut self, update: &internal::StatusUpdate, out: &mut Effects<Effect>) {
        let Some(id) = &update.slave_id else { return };
        let Some(agent) = self.agents.get_mut(&id.value).filter(|a| a.connected) else { return };
        let task = (update.framework_id.value.clone(), update.status.task_id.value.clone());
        if agent.asked.len() >= ASKED_MAX || !agent.asked.insert(task) {
            return;
        }
        let Some(agent) = self.agents.get(&id.value) else { return };
        self.tell(agent, internal::PingSlaveMessage { connected: false }, out);
    }

    pub(crate) fn acknowledge(
        &mut self,
        id: &str,
        acknowledge: call::Acknowledge,
        out: &mut Effects<Effect>,
    ) {
        let Some(agent) = self.agents.get(&acknowledge.agent_id.value) else {
            self.counters.count("invalid_status_update_acknowledgements");
            return;
        };
        let (key, task_id) = (acknowledge.agent_id.clone(), acknowledge.task_id.value.clone());
        let task = self.frameworks.get(id).and_then(|f| f.tasks.get(&task_id)).filter(|t| t.agent_id == key);
        // The agent repeats the update when it is back, and the framework acknowledges it again.
        let unsaid = task.is_some_and(|t| t.status_update_state.is_none());
        if !agent.connected || unsaid {
            self.counters.count("invalid_status_update_acknowledgements");
            return;
        }
        let done = task.is_some_and(|t| {
            t.status_update_uuid.as_deref() == Some(acknowledge.uuid.as_slice())
                && t.status_update_state.and_then(|s| TaskState::try_from(s).ok()).is_some_and(is_terminal)
        });
        self.counters.count("valid_status_update_acknowledgements");
        let message = internal::StatusUpdateAcknowledgementMessage {
            slave_id: acknowledge.agent_id,
            framework_id: FrameworkId { value: id.to_owned() },
            task_id: acknowledge.task_id,
            uuid: acknowledge.uuid,
        };
        self.tell(agent, message, out);
        let Some(framework) = self.frameworks.get_mut(id).filter(|_| done) else { return };
        if let Some(task) = framework.tasks.remove(&task_id) {
            framework.complete(task, self.config.completed_tasks_max);
            if let Some(agent) = self.agents.get_mut(&key.value) {
                let key = (id.to_owned(), task_id);
                agent.tasks.remove(&key);
                agent.killed.remove(&key);
            }
        }
    }

    /// Gives back what a task used.
    pub(crate) fn free(&mut self, framework: &str, task: &Task, now: Time) {
        if let Ok(resources) = Resources::from_messages(&task.resources) {
            let role = crate::agents::role_of(task);
            self.allocator.recover(framework, &task.agent_id.value, role, &resources, None, now);
            // What is used of it is not what it was.
            self.agents.touch(&task.agent_id.value);
            self.note_freed(&task.agent_id.value);
        }
    }

    /// A task is gone, or can't be reached, by the master's own finding: the framework is told once, without a uuid.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn lose_task(
        &mut self,
        framework_id: &str,
        task_id: &str,
        state: TaskState,
        reason: Reason,
        message: &str,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        let Some(mut task) = framework.tasks.remove(task_id) else { return };
        let unreachable = state == TaskState::TaskUnreachable;
        let state = for_framework(state, partition_aware(framework));
        let before = task.clone();
        let ended_before = is_terminal(task.state());
        if !ended_before {
            task.set_state(state);
        }
        let mut status = of_master(&task, state, now);
        (status.healthy, status.container_status) = (None, None);
        status.message = Some(message.to_owned());
        status.set_reason(reason);
        if unreachable {
            status.unreachable_time = Some(model::mesos::TimeInfo { nanoseconds: now.as_nanos() as i64 });
        }
        task.statuses.push(status.clone());
        let agent_id = task.agent_id.value.clone();
        // Also for a framework that hears of partitions as losses: its agent may come back with the task.
        if unreachable && !ended_before {
            framework.unreachable_tasks.insert(task_id.to_owned(), task);
            while framework.unreachable_tasks.len() > self.config.completed_tasks_max {
                framework.unreachable_tasks.pop_first();
            }
        } else {
            framework.complete(task, self.config.completed_tasks_max);
        }
        if let Some(agent) = self.agents.get_mut(&agent_id) {
            let key = (framework_id.to_owned(), task_id.to_owned());
            agent.tasks.remove(&key);
            agent.killed.remove(&key);
        }
        if !ended_before {
            self.free(framework_id, &before, now);
            self.counters.reason(&status);
            if is_terminal(state) {
                self.counters.ended(state);
                if let Some(framework) = self.frameworks.get_mut(framework_id) {
                    framework.count(terminal_metric(state));
                }
            }
            self.publish_task_updated(framework_id, state.into(), &status, out);
            self.say(framework_id, status, Some(NOBODY), out);
        }
    }
}

/// Keeps a status for reading: a repetition in the place of the first, else the last of each state in a row
/// (apache/mesos@c1b42f79:src/master/master.cpp `updateTask`). Beyond the limit the first one stays: it says when the
/// task began.
fn keep_status(statuses: &mut Vec<TaskStatus>, status: TaskStatus) {
    if let Some(same) = statuses.iter_mut().find(|s| s.uuid.is_some() && s.uuid == status.uuid) {
        *same = status;
        return;
    }
    if statuses.last().is_some_and(|last| last.state == status.state) {
        statuses.pop();
    } else if statuses.len() == STATUSES_MAX {
        statuses.remove(1);
    }
    statuses.push(status);
}

/// A status of the master's own, about a task that it knows.
pub(crate) fn of_master(task: &Task, state: TaskState, now: Time) -> TaskStatus {
    let mut status = TaskStatus {
        task_id: TaskId { value: task.task_id.value.clone() },
        agent_id: Some(task.agent_id.clone()),
        timestamp: Some(now.as_secs_f64()),
        ..Default::default()
    };
    if let Some(last) = task.statuses.last() {
        status.healthy = last.healthy;
        status.container_status.clone_from(&last.container_status);
    }
    status.executor_id = task.executor_id.clone();
    status.set_state(state);
    status.set_source(Source::Master);
    status
}

/// Where a framework's ended tasks are counted.
fn terminal_metric(state: TaskState) -> &'static str {
    match state {
        TaskState::TaskFinished => "tasks/terminal/task_finished",
        TaskState::TaskFailed => "tasks/terminal/task_failed",
        TaskState::TaskKilled => "tasks/terminal/task_killed",
        TaskState::TaskError => "tasks/terminal/task_error",
        TaskState::TaskDropped => "tasks/terminal/task_dropped",
        TaskState::TaskGone => "tasks/terminal/task_gone",
        TaskState::TaskGoneByOperator => "tasks/terminal/task_gone_by_operator",
        _ => "tasks/terminal/task_lost",
    }
}

/// The states that only PARTITION_AWARE frameworks know are TASK_LOST to all others.
pub(crate) fn for_framework(state: TaskState, aware: bool) -> TaskState {
    match state {
        TaskState::TaskDropped
        | TaskState::TaskUnreachable
        | TaskState::TaskGone
        | TaskState::TaskGoneByOperator
        | TaskState::TaskUnknown
            if !aware =>
        {
            TaskState::TaskLost
        }
        state => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_kept_once_and_one_of_each_state_in_a_row() {
        let status = |state: TaskState, uuid: u8, healthy: Option<bool>| {
            let mut status = TaskStatus { uuid: Some(vec![uuid; 16]), healthy, ..Default::default() };
            status.set_state(state);
            status
        };
        let mut kept = Vec::new();
        let mut keep = |state, uuid, healthy| {
            keep_status(&mut kept, status(state, uuid, healthy));
            kept.iter().map(|s| (s.state(), s.healthy)).collect::<Vec<_>>()
        };
        use TaskState::{TaskRunning, TaskStarting};
        keep(TaskStarting, 1, None);
        keep(TaskRunning, 2, None);
        // repeated, for its acknowledgement was lost with the agent's connection
        assert_eq!(keep(TaskStarting, 1, None), [(TaskStarting, None), (TaskRunning, None)]);
        assert_eq!(keep(TaskRunning, 2, None), [(TaskStarting, None), (TaskRunning, None)]);
        assert_eq!(keep(TaskRunning, 3, Some(true)), [(TaskStarting, None), (TaskRunning, Some(true))]);
        for (number, state) in (4..).zip([TaskStarting, TaskRunning].repeat(STATUSES_MAX)) {
            keep(state, number, None);
        }
        let all = keep(TaskRunning, 255, Some(false));
        assert_eq!(all.len(), STATUSES_MAX);
        assert_eq!((all[0], all[STATUSES_MAX - 1]), ((TaskStarting, None), (TaskRunning, Some(false))));
    }
}
