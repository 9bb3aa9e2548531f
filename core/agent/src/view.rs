//! What readers see of an agent: plain references and counters. Never rendered text (`endpoints`).

use crate::{Agent, Config, Executor, Framework, Guest, Runner, Task, garbage};
use base::Time;
use model::{
    container::ContainerId,
    link::Upid,
    mesos::{self, AgentInfo, FrameworkInfo},
    resources::Resources,
};
use std::collections::{BTreeMap, VecDeque};

/// What has happened since the start.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Tasks ordered.
    pub launched: u64,
    /// Updates made.
    pub updates: u64,
    /// Of those, dropped because too many waited.
    pub updates_dropped: u64,
    /// Messages from processes that may not say them.
    pub messages_dropped: u64,
    /// Batches that the store refused.
    pub saves_failed: u64,
    /// Records that did not parse at the start.
    pub records_broken: u64,
    /// The machine was rebooted since the agent last ran.
    pub rebooted: bool,
    /// Containers that could not be made.
    pub launches_failed: u64,
    /// Executors that ended, those that the agent plays included.
    pub executors_ended: u64,
    /// Ended tasks by state.
    pub ended: BTreeMap<&'static str, u64>,
}

/// What upstream adds for the executor that runs a command task. The agent plays that executor itself; readers are
/// told the same amounts.
pub const COMMAND_EXECUTOR: [(&str, f64); 2] = [("cpus", 0.1), ("mem", 32.0)];

impl Agent {
    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }
    /// What it says of itself.
    pub fn info(&self) -> &AgentInfo {
        &self.info
    }
    /// When it started.
    pub fn started(&self) -> Time {
        self.started
    }
    /// The master, if one is known.
    pub fn master(&self) -> Option<&Upid> {
        self.registration.master.as_ref()
    }
    /// Why the master told it to shut down, if it did.
    pub fn told_to_shut_down(&self) -> Option<&str> {
        self.registration.told.as_deref()
    }
    /// Whether a client asked for this container, and it has ended.
    pub fn has_ended(&self, container: &ContainerId) -> bool {
        self.guests.get(container).is_some_and(|guest| !guest.is_live())
    }
    /// Whether nothing of any framework runs here.
    pub fn is_idle(&self) -> bool {
        !self.tasks.values().any(Task::is_live) && !self.executors.values().any(Executor::is_live)
    }
    /// Whether the master has taken it in.
    pub fn is_registered(&self) -> bool {
        self.registration.registered
    }
    /// Frameworks with tasks here.
    pub fn frameworks(&self) -> &BTreeMap<String, Framework> {
        &self.frameworks
    }
    /// Tasks that are not forgotten, by framework and id.
    pub fn tasks(&self) -> &BTreeMap<(String, String), Task> {
        &self.tasks
    }
    /// What became of tasks since there were so many changes of their states, as far as it is kept, and how many there
    /// are now.
    pub fn news_since(
        &self,
        count: u64,
    ) -> (impl Iterator<Item = &((String, String), mesos::TaskState)>, u64) {
        self.news.since(count)
    }
    /// Ended and acknowledged tasks, oldest first.
    pub fn completed(&self) -> &VecDeque<Task> {
        &self.completed
    }
    /// Executors that frameworks brought, and default executors, by framework and id.
    pub fn executors(&self) -> &BTreeMap<(String, String), Executor> {
        &self.executors
    }
    /// Containers that clients of the API asked for, ended ones too.
    pub fn guests(&self) -> &BTreeMap<ContainerId, Guest> {
        &self.guests
    }
    /// Whether it knows what an earlier one left behind.
    pub fn is_recovered(&self) -> bool {
        self.registration.recovered
    }
    /// Ended executors, oldest first.
    pub fn completed_executors(&self) -> &VecDeque<Executor> {
        &self.completed_executors
    }
    /// Framework, executor and path of every sandbox that may be read, newest first of a name.
    pub fn sandboxes(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let executors = self.executors.values().chain(self.completed_executors.iter().rev());
        let executors = executors.map(|e| (e.framework.as_str(), e.id(), e.directory.as_str()));
        let tasks = self.tasks.values().chain(self.completed.iter().rev());
        let alone = tasks.filter(|t| t.runner == Runner::Agent && !t.directory.is_empty());
        let old = self.garbage.directories();
        let old =
            old.filter_map(|d| garbage::owners(d).map(|(framework, executor)| (framework, executor, d)));
        alone.map(|t| (t.framework.as_str(), t.id(), t.directory.as_str())).chain(executors).chain(old)
    }
    /// What frameworks without a task here said of themselves, the oldest first.
    pub fn completed_frameworks(&self) -> &VecDeque<FrameworkInfo> {
        &self.completed_frameworks
    }
    /// What it can do.
    pub fn capabilities(&self) -> Vec<mesos::agent_info::Capability> {
        crate::registration::capabilities()
    }
    /// How long it took after the start to know the past.
    pub fn recovery_time(&self) -> Option<base::Duration> {
        self.recovery_time
    }
    /// What has happened since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
    /// What live tasks use.
    pub fn used(&self) -> Resources {
        let mut sum = Resources::default();
        for task in self.tasks.values().filter(|t| t.is_live()) {
            if let Ok(used) = Resources::from_messages(&task.info.resources) {
                sum += &used;
            }
        }
        for _ in self.tasks.values().filter(|t| t.is_live() && t.runner == Runner::Agent) {
            sum += &Resources::scalars(COMMAND_EXECUTOR);
        }
        for executor in self.executors.values().filter(|e| e.is_live()) {
            sum += &Resources::from_messages(&executor.info.resources).unwrap_or_default();
        }
        sum
    }
}

/// A task as the master knows it.
pub(crate) fn as_message(task: &Task) -> mesos::Task {
    let info = &task.info;
    // The update that was said last, which is acknowledged if none waits. Only what is said already, or could be: a master
    // that heard of the end does not take what was before it any more, and that comes back where the end was not durable.
    let first = task.pending.front().filter(|p| p.durable && !task.held).map(|p| &p.update);
    let first = first.map(|update| (update.status.state, update.uuid.clone()));
    let last = task.statuses.last().filter(|_| task.pending.is_empty() && !task.held);
    let said = first.or_else(|| last.map(|status| (status.state, status.uuid.clone())));
    let (status_update_state, status_update_uuid) = said.unzip();
    let mut message = mesos::Task {
        name: info.name.clone(),
        task_id: info.task_id.clone(),
        framework_id: mesos::FrameworkId { value: task.framework.clone() },
        executor_id: (task.runner != Runner::Agent)
            .then(|| mesos::ExecutorId { value: task.executor_id().to_owned() }),
        agent_id: info.agent_id.clone(),
        resources: info.resources.clone(),
        statuses: task.statuses.clone(),
        status_update_state,
        status_update_uuid: status_update_uuid.flatten(),
        labels: info.labels.clone(),
        discovery: info.discovery.clone(),
        container: info.container.clone(),
        user: info.command.as_ref().and_then(|c| c.user.clone()),
        health_check: info.health_check.clone(),
        kill_policy: info.kill_policy,
        limits: info.limits.clone(),
        ..Default::default()
    };
    message.set_state(task.state);
    message
}
