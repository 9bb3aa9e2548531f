//! Tasks and task groups: launched of what an ACCEPT holds, killed. Never status updates (`updates`).

use crate::{
    Effect, Framework, Master,
    accept::{Accepted, metric},
    speak::{NOBODY, pid_of},
    updates,
    validate::task::{self, Place},
};
use base::{Effects, Time};
use model::{
    link::Message,
    mesos::{
        ExecutorId, ExecutorInfo, FrameworkId, Task, TaskId, TaskInfo, TaskState, TaskStatus,
        agent_info::capability::Type as AgentCap,
        framework_info::capability::Type as Cap,
        internal,
        offer::operation::{LaunchGroup, Type},
        scheduler::call,
        task_status::{Reason, Source},
    },
    resources::{Format, Resources, downgrade},
};

impl Master {
    /// What validation looks at, and the executor of that id if it runs already.
    fn judge(
        &self,
        accepted: &Accepted,
        executor: Option<&ExecutorInfo>,
        available: &Resources,
        verdict: impl Fn(&Place<'_>) -> Result<Resources, String>,
    ) -> Option<(Result<Resources, String>, bool)> {
        let framework = self.frameworks.get(&*accepted.framework)?;
        let agent = self.agents.get(&*accepted.agent)?;
        let known = executor.and_then(|e| {
            agent.executors.get(&(accepted.framework.to_string(), e.executor_id.value.clone()))
        });
        let capabilities = agent.abilities();
        let place = Place {
            framework,
            agent: &agent.info,
            capabilities: &capabilities,
            executor: known,
            left: available,
            role: &accepted.role,
        };
        Some((verdict(&place), known.is_none()))
    }

    /// Sends a task to its agent, if it is valid and what it needs is there.
    pub(crate) fn launch(
        &mut self,
        info: TaskInfo,
        accepted: &mut Accepted,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        let available = accepted.left.not_shared() + &accepted.shared;
        let judged =
            self.judge(accepted, info.executor.as_ref(), &available, |place| task::task(&info, place));
        let (needs, new) = match judged {
            None => return,
            Some((Ok(needs), new)) => (needs, new),
            Some((Err(why), _)) => {
                self.error(&accepted.framework, &info, Reason::TaskInvalid, &why, now, out);
                return;
            }
        };
        self.consume(accepted, &needs);
        self.count_operation(&accepted.framework, Type::Launch);
        let (Some(framework), Some(agent)) =
            (self.frameworks.get(&*accepted.framework), self.agents.get(&*accepted.agent))
        else {
            return;
        };
        let mut sent = info.clone();
        if !agent.can(AgentCap::ReservationRefinement) {
            flatten(&mut sent);
        }
        let run = internal::RunTaskMessage {
            framework: framework.info.clone(),
            pid: Some(pid_of(framework)),
            task: sent,
            launch_executor: Some(new),
            resource_version_uuids: versions(agent),
            ..Default::default()
        };
        self.tell(agent, run, out);
        if let Some(executor) = info.executor.clone().filter(|_| new) {
            self.add_executor(accepted, executor);
        }
        self.add_task(accepted, info, out);
    }

    /// Sends a group to its agent: all of its tasks, or none.
    pub(crate) fn launch_group(
        &mut self,
        mut launch: LaunchGroup,
        accepted: &mut Accepted,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        // Nobody could ever use or end what an executor without tasks holds: it is not launched.
        if launch.task_group.tasks.is_empty() {
            return;
        }
        let executor = launch.executor.clone();
        let judged = self.judge(accepted, Some(&executor), &accepted.left, |place| {
            task::group(&launch.task_group, &executor, place)
        });
        let (needs, new) = match judged {
            None => return,
            Some((Ok(needs), new)) => (needs, new),
            Some((Err(why), _)) => {
                for task in &launch.task_group.tasks {
                    self.error(&accepted.framework, task, Reason::TaskGroupInvalid, &why, now, out);
                }
                return;
            }
        };
        self.consume(accepted, &needs);
        self.count_operation(&accepted.framework, Type::LaunchGroup);
        let tasks = launch.task_group.tasks.clone();
        let (Some(framework), Some(agent)) =
            (self.frameworks.get(&*accepted.framework), self.agents.get(&*accepted.agent))
        else {
            return;
        };
        if !agent.can(AgentCap::ReservationRefinement) {
            downgrade(&mut launch.executor.resources);
            launch.task_group.tasks.iter_mut().for_each(flatten);
        }
        let run = internal::RunTaskGroupMessage {
            framework: framework.info.clone(),
            executor: launch.executor,
            task_group: launch.task_group,
            resource_version_uuids: versions(agent),
            launch_executor: Some(new),
        };
        self.tell(agent, run, out);
        if new {
            self.add_executor(accepted, executor);
        }
        tasks.into_iter().for_each(|task| self.add_task(accepted, task, out));
    }

    /// Takes what a launch needs out of what was accepted. Of what is shared it may take more than was offered.
    fn consume(&mut self, accepted: &mut Accepted, needs: &Resources) {
        let more = needs.shared().difference(&accepted.left.shared());
        self.allocator.hold(&accepted.framework, &accepted.agent, &accepted.role, &more);
        accepted.left.cut(needs);
        accepted.launched = true;
    }

    fn add_executor(&mut self, accepted: &Accepted, executor: ExecutorInfo) {
        self.note_executor(&accepted.framework, &accepted.agent, executor);
    }

    pub(crate) fn note_executor(&mut self, framework: &str, agent_id: &str, executor: ExecutorInfo) {
        let id = executor.executor_id.value.clone();
        if let Some(framework) = self.frameworks.get_mut(framework) {
            framework.executors.insert((agent_id.to_owned(), id.clone()), ());
        }
        if let Some(agent) = self.agents.get_mut(agent_id) {
            agent.executors.insert((framework.to_owned(), id), executor);
        }
    }

    fn add_task(&mut self, accepted: &Accepted, info: TaskInfo, out: &mut Effects<Effect>) {
        self.counters.launched += 1;
        let id = info.task_id.value.clone();
        let task = as_task(&accepted.framework, info);
        self.publish_task_added(&task, out);
        if let Some(framework) = self.frameworks.get_mut(&*accepted.framework) {
            framework.tasks.insert(id.clone(), task);
        }
        if let Some(agent) = self.agents.get_mut(&*accepted.agent) {
            agent.tasks.insert((accepted.framework.to_string(), id));
        }
    }

    /// Forgets the executors of one framework on an agent, or of all, and frees what they had.
    pub(crate) fn forget_executors(&mut self, agent_id: &str, framework: Option<&str>, now: Time) {
        let Some(agent) = self.agents.get_mut(agent_id) else { return };
        let (gone, kept) = std::mem::take(&mut agent.executors)
            .into_iter()
            .partition(|((owner, _), _)| framework.is_none_or(|f| f == owner));
        agent.executors = kept;
        let gone: std::collections::BTreeMap<(String, String), ExecutorInfo> = gone;
        for ((owner, _), executor) in gone {
            self.free_executor(&owner, agent_id, &executor, now);
        }
    }

    /// An executor is gone. False if it was not known.
    pub(crate) fn forget_executor(&mut self, framework: &str, agent_id: &str, id: &str, now: Time) -> bool {
        let Some(agent) = self.agents.get_mut(agent_id) else { return false };
        let Some(executor) = agent.executors.remove(&(framework.to_owned(), id.to_owned())) else {
            return false;
        };
        self.free_executor(framework, agent_id, &executor, now);
        true
    }

    fn free_executor(&mut self, framework: &str, agent_id: &str, executor: &ExecutorInfo, now: Time) {
        if let Some(framework) = self.frameworks.get_mut(framework) {
            framework.executors.remove(&(agent_id.to_owned(), executor.executor_id.value.clone()));
        }
        if let Ok(resources) = Resources::from_messages(&executor.resources) {
            let role = model::resources::allocation_role(&executor.resources).unwrap_or("*");
            self.allocator.recover(framework, agent_id, role, &resources, None, now);
            self.note_freed(agent_id);
        }
    }

    /// Remembers, until the end of the step, that an agent may pay back what it owes.
    pub(crate) fn note_freed(&mut self, agent_id: &str) {
        if self.agents.get(agent_id).is_some_and(|a| !a.owed.is_empty()) {
            self.freed.insert(agent_id.to_owned());
        }
    }

    /// An invalid task: it never was one.
    pub(crate) fn error(
        &mut self,
        framework_id: &str,
        task: &TaskInfo,
        reason: Reason,
        why: &str,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        self.turn_down(framework_id, of_info(task, TaskState::TaskError, now), reason, why, out);
    }

    pub(crate) fn drop_task(
        &mut self,
        framework_id: &str,
        task: &TaskInfo,
        reason: Reason,
        why: &str,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        let aware = self.frameworks.get(framework_id).is_some_and(crate::frameworks::partition_aware);
        let state = updates::for_framework(TaskState::TaskDropped, aware);
        self.turn_down(framework_id, of_info(task, state, now), reason, why, out);
    }

    /// Counted as a task that ended, though it never began.
    fn turn_down(
        &mut self,
        framework_id: &str,
        mut status: TaskStatus,
        reason: Reason,
        why: &str,
        out: &mut Effects<Effect>,
    ) {
        status.message = Some(why.to_owned());
        status.set_reason(reason);
        self.counters.ended(status.state());
        self.counters.reason(&status);
        self.say(framework_id, status, Some(NOBODY), out);
    }

    /// An operation of this kind is done: a task is sent, a group is.
    pub(crate) fn count_operation(&mut self, framework_id: &str, kind: Type) {
        if let Some(framework) = self.frameworks.get_mut(framework_id) {
            framework.count(metric(kind));
        }
    }

    pub(crate) fn kill(
        &mut self,
        framework_id: &str,
        kill: call::Kill,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        let Some(framework) = self.frameworks.get(framework_id) else { return };
        let Some(task) = framework.tasks.get(&kill.task_id.value) else {
            // An unknown task: the framework learns what became of it.
            let asked = call::reconcile::Task { task_id: kill.task_id, agent_id: kill.agent_id };
            self.reconcile(framework_id, &[asked], now, out);
            return;
        };
        if kill.agent_id.as_ref().is_some_and(|id| *id != task.agent_id) {
            return;
        }
        let Some(agent) = self.agents.get_mut(&task.agent_id.value) else { return };
        // The agent may be gone though nobody noticed yet: it hears of it again when it comes back.
        agent.killed.insert((framework_id.to_owned(), kill.task_id.value.clone()), kill.kill_policy);
        let Some(agent) = self.agents.get(&task.agent_id.value).filter(|a| a.connected) else { return };
        let message: Message = internal::KillTaskMessage {
            framework_id: FrameworkId { value: framework_id.to_owned() },
            task_id: TaskId { value: kill.task_id.value.clone() },
            kill_policy: kill.kill_policy,
        }
        .into();
        self.tell(agent, message, out);
    }
}

/// The state of an agent's resources that a launch means, so that it refuses what was decided on an older one.
fn versions(agent: &crate::Agent) -> Vec<internal::ResourceVersionUuid> {
    let version = |uuid: &model::mesos::Uuid| internal::ResourceVersionUuid {
        uuid: uuid.clone(),
        ..Default::default()
    };
    agent.state.now.iter().map(version).collect()
}

/// For agents that know no reservations of reservations.
fn flatten(task: &mut TaskInfo) {
    downgrade(&mut task.resources);
    if let Some(executor) = &mut task.executor {
        downgrade(&mut executor.resources);
    }
}

/// How resources are written to a framework.
pub(crate) fn format(framework: &Framework) -> Format {
    if framework.can(Cap::ReservationRefinement) { Format::Stacked } else { Format::Flat }
}

fn as_task(framework_id: &str, info: TaskInfo) -> Task {
    let user = info
        .command
        .as_ref()
        .or_else(|| info.executor.as_ref().and_then(|e| e.command.as_ref()))
        .and_then(|c| c.user.clone());
    let mut task = Task {
        name: info.name,
        task_id: info.task_id,
        framework_id: FrameworkId { value: framework_id.to_owned() },
        executor_id: info.executor.map(|e| ExecutorId { value: e.executor_id.value }),
        agent_id: info.agent_id,
        resources: info.resources,
        labels: info.labels,
        discovery: info.discovery,
        container: info.container,
        user,
        health_check: info.health_check,
        kill_policy: info.kill_policy,
        limits: info.limits,
        ..Default::default()
    };
    task.set_state(TaskState::TaskStaging);
    task
}

fn of_info(task: &TaskInfo, state: TaskState, now: Time) -> TaskStatus {
    let mut status = TaskStatus {
        task_id: task.task_id.clone(),
        agent_id: Some(task.agent_id.clone()),
        timestamp: Some(now.as_secs_f64()),
        ..Default::default()
    };
    status.set_state(state);
    status.set_source(Source::Master);
    status
}

/// Whether a task of that id still counts.
pub(crate) fn is_live(framework: &Framework, id: &str) -> bool {
    framework.tasks.contains_key(id) || framework.unreachable_tasks.contains_key(id)
}
