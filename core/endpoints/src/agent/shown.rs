//! Executors as readers see them: those that frameworks brought, and for each command task the one that the agent plays.

use agent::{Agent, COMMAND_EXECUTOR, Executor, Runner, Task};
use model::{
    container::ContainerId,
    mesos::{self, CommandInfo, ExecutorId, ExecutorInfo, FrameworkId},
    resources::{Format, Resources},
};
use std::borrow::Cow;

/// An executor with its tasks.
pub(super) struct Shown<'a> {
    pub framework: &'a str,
    pub info: Cow<'a, ExecutorInfo>,
    pub container: &'a ContainerId,
    pub directory: &'a str,
    pub pid: Option<u32>,
    pub tasks: Vec<&'a Task>,
}

impl<'a> Shown<'a> {
    fn played(task: &'a Task) -> Self {
        let role = model::resources::allocation_role(&task.info.resources).unwrap_or("*");
        let info = ExecutorInfo {
            executor_id: ExecutorId { value: task.id().to_owned() },
            framework_id: Some(FrameworkId { value: task.framework.clone() }),
            command: task.info.command.clone(),
            resources: Resources::scalars(COMMAND_EXECUTOR).allocate(role, Format::Stacked),
            name: Some(name(task)),
            source: Some(task.id().to_owned()),
            ..Default::default()
        };
        Self {
            framework: &task.framework,
            info: Cow::Owned(info),
            container: &task.container,
            directory: &task.directory,
            pid: task.pid,
            tasks: vec![task],
        }
    }

    fn brought(executor: &'a Executor, tasks: impl Iterator<Item = &'a Task>) -> Self {
        let own = |t: &&Task| t.framework == executor.framework && t.executor_id() == executor.id();
        Self {
            framework: &executor.framework,
            info: Cow::Borrowed(&executor.info),
            container: &executor.container,
            directory: &executor.directory,
            pid: executor.pid,
            tasks: tasks.filter(|t| t.runner != Runner::Agent).filter(own).collect(),
        }
    }

    pub fn id(&self) -> &str {
        &self.info.executor_id.value
    }
    pub fn role(&self) -> &str {
        model::resources::allocation_role(&self.info.resources).unwrap_or("*")
    }
    /// Its own, without its tasks'.
    pub fn resources(&self) -> Resources {
        Resources::from_messages(&self.info.resources).unwrap_or_default()
    }
    /// What its container may use: of an executor that the agent plays nothing runs beside the task.
    pub fn contained(&self) -> Resources {
        match (&self.info, self.tasks.first()) {
            (Cow::Owned(_), Some(task)) => Resources::from_messages(&task.info.resources).unwrap_or_default(),
            _ => self.all_resources(),
        }
    }
    /// Its own and those of its live tasks.
    pub fn all_resources(&self) -> Resources {
        let mut sum = self.resources();
        for task in self.tasks.iter().filter(|t| t.is_live()) {
            sum += &Resources::from_messages(&task.info.resources).unwrap_or_default();
        }
        sum
    }
}

/// Executors that are not forgotten.
pub(super) fn live(agent: &Agent) -> Vec<Shown<'_>> {
    let played = agent.tasks().values().filter(|t| t.runner == Runner::Agent && t.is_real());
    let brought = agent.executors().values();
    let all = || agent.tasks().values().chain(agent.completed());
    played.map(Shown::played).chain(brought.map(|e| Shown::brought(e, all()))).collect()
}

/// Ended executors, the oldest first.
pub(super) fn completed(agent: &Agent) -> Vec<Shown<'_>> {
    let played = agent.completed().iter().filter(|t| t.runner == Runner::Agent && t.is_real());
    let brought = agent.completed_executors().iter();
    played.map(Shown::played).chain(brought.map(|e| Shown::brought(e, agent.completed().iter()))).collect()
}

/// The name of the executor that stands for a command task.
fn name(task: &Task) -> String {
    let text = match &task.info.command {
        Some(command) if command.shell() => format!("sh -c '{}'", command.value()),
        Some(CommandInfo { value, arguments, .. }) => {
            let all: Vec<&str> = value.iter().chain(arguments).map(String::as_str).collect();
            format!("[{}]", all.join(", "))
        }
        None => String::new(),
    };
    format!("Command Executor (Task: {}) (Command: {text})", task.id())
}

/// A task as a message.
pub(super) fn message(task: &Task) -> mesos::Task {
    let info = &task.info;
    let mut message = mesos::Task {
        name: info.name.clone(),
        task_id: info.task_id.clone(),
        framework_id: FrameworkId { value: task.framework.clone() },
        executor_id: (task.runner != Runner::Agent)
            .then(|| ExecutorId { value: task.executor_id().to_owned() }),
        agent_id: info.agent_id.clone(),
        resources: info.resources.clone(),
        limits: info.limits.clone(),
        statuses: task.statuses.clone(),
        labels: info.labels.clone(),
        discovery: info.discovery.clone(),
        container: info.container.clone(),
        health_check: info.health_check.clone(),
        kill_policy: info.kill_policy,
        user: info.command.as_ref().and_then(|c| c.user.clone()),
        ..Default::default()
    };
    message.set_state(task.state);
    if let Some(last) = task.statuses.last() {
        message.status_update_state = Some(last.state);
        message.status_update_uuid.clone_from(&last.uuid);
    }
    message
}
