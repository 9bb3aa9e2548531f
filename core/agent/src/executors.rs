//! Executors that frameworks bring, and the default executor that the agent plays: their containers and their phases.
//! Never how tasks reach them (`deliver`), nor what they call (`calls`).
//!
//! Order and texts: apache/mesos@c1b42f79:src/slave/slave.cpp.

mod ends;

use crate::{
    Agent, Effect, launch, records,
    saves::Then,
    state::{Executor, Framework, Phase, Queued, Runner, Speaker, Task},
};
use base::{Duration, Effects, Now};
use model::{
    container::{ContainerId, ContainerSpec, Program},
    mesos::{
        ExecutorId, ExecutorInfo, FrameworkInfo, TaskInfo, TaskState, TaskStatus, internal,
        task_status::Reason,
    },
    resources::Resources,
};

type Key = (String, String);

/// Tasks that one executor may have at a time.
pub(crate) const EXECUTOR_TASKS_MAX: usize = 10_000;
/// How long a default executor without tasks stays for their acknowledgements, as upstream's does, also when it was told
/// to end: its end is news after theirs.
const IDLE: Duration = Duration::from_secs(1);

impl Agent {
    pub(crate) fn run_group(
        &mut self,
        now: &mut Now<'_>,
        message: internal::RunTaskGroupMessage,
        out: &mut Effects<Effect>,
    ) {
        let tasks = message.task_group.tasks;
        let framework = message.framework;
        if let Some((reason, why)) = self.unwelcome(&message.resource_version_uuids) {
            self.restate(now.time, out);
            let id = message.executor.executor_id;
            self.drop_tasks(now, &framework, Some(id), &tasks, reason, why);
            return;
        }
        if let Some(why) = self.limits_not_held(&tasks) {
            let id = message.executor.executor_id;
            self.drop_tasks(now, &framework, Some(id), &tasks, Reason::GcError, why);
            return;
        }
        let order = Order { framework, pid: None, info: message.executor, tasks, group: true };
        self.run_in_executor(now, order, message.launch_executor, out);
    }

    /// Tasks that were never launched: TASK_DROPPED, or TASK_LOST for frameworks that don't know partitions.
    pub(crate) fn drop_tasks(
        &mut self,
        now: &mut Now<'_>,
        framework: &FrameworkInfo,
        executor: Option<ExecutorId>,
        tasks: &[TaskInfo],
        reason: Reason,
        why: &str,
    ) {
        let framework_id = framework.id.clone().unwrap_or_default();
        for task in tasks {
            let key = (framework_id.value.clone(), task.task_id.value.clone());
            if self.tasks.contains_key(&key) {
                continue;
            }
            let mut status = TaskStatus { executor_id: executor.clone(), ..Default::default() };
            status.set_state(launch::dropped(framework));
            status.set_reason(reason);
            status.message = Some(why.to_owned());
            self.ghost(now, framework_id.clone(), task.task_id.clone(), status);
        }
    }

    pub(crate) fn run_in_executor(
        &mut self,
        now: &mut Now<'_>,
        order: Order,
        launch_executor: Option<bool>,
        out: &mut Effects<Effect>,
    ) {
        let Order { framework, pid, mut info, mut tasks, group } = order;
        let framework_id = framework.id.clone().unwrap_or_default();
        let known =
            |t: &TaskInfo| self.tasks.contains_key(&(framework_id.value.clone(), t.task_id.value.clone()));
        if tasks.iter().any(known) || tasks.is_empty() {
            // The master repeats itself; one task of an id is enough.
            self.counters.messages_dropped += 1;
            return;
        }
        info.framework_id = Some(framework_id.clone());
        let key = (framework_id.value.clone(), info.executor_id.value.clone());
        let refused = match self.executors.get(&key).map(|e| e.phase) {
            Some(Phase::Ending { .. } | Phase::Forced) => Some("Executor terminating"),
            Some(Phase::Ended) => Some("Executor terminated"),
            Some(_) => None,
            None if launch_executor == Some(false) => {
                Some("No executor is expected to launch and there is none running")
            }
            None => None,
        };
        if let Some(why) = refused {
            let id = Some(info.executor_id.clone());
            self.drop_tasks(now, &framework, id, &tasks, Reason::ExecutorTerminated, why);
            return;
        }
        let is_default = self
            .executors
            .get(&key)
            .map_or(info.r#type() == model::mesos::executor_info::Type::Default, Executor::is_default);
        let count = tasks.len();
        let held = self.tasks.values().filter(|t| t.framework == key.0 && t.executor_id() == key.1).count();
        let unfit = launch::unsupported_executor(&info, is_default)
            .or_else(|| tasks.iter().filter(|_| !is_default).find_map(|t| launch::unsupported(t, false)))
            .or_else(|| (is_default && !group).then_some("The default executor runs task groups only"))
            .or_else(|| (held + count > EXECUTOR_TASKS_MAX).then_some("The executor has too many tasks"));
        let commands = std::iter::once(&info.command).chain(tasks.iter().map(|t| &t.command)).flatten();
        let users = &self.config.users;
        let unfit = unfit
            .map(str::to_owned)
            .or_else(|| commands.filter_map(|c| c.user.as_deref()).find_map(|user| users.refuse(Some(user))));
        if let Some(why) = unfit {
            for task in tasks {
                let mut status =
                    TaskStatus { executor_id: Some(info.executor_id.clone()), ..Default::default() };
                status.set_state(TaskState::TaskFailed);
                status.set_reason(Reason::ContainerLaunchFailed);
                status.message = Some(why.clone());
                self.ghost(now, framework_id.clone(), task.task_id, status);
            }
            if launch_executor == Some(true) && !self.executors.contains_key(&key) {
                self.say_exited(&key, -1, out);
            }
            return;
        }
        self.frameworks.insert(key.0.clone(), Framework { info: framework.clone(), pid, ending: false });
        self.saves.push(records::framework(&framework));
        if !self.executors.contains_key(&key) {
            let container = ContainerId(now.rng.uuid().to_string());
            let executor = Executor {
                directory: self.sandbox(&key.0, &key.1, &container),
                framework: key.0.clone(),
                info,
                container: container.clone(),
                pid: None,
                phase: Phase::Starting,
                speaker: Speaker::Nobody,
                queue: Vec::new(),
                sent: false,
                why: None,
                heartbeat_at: None,
                idle_until: None,
                unhealthy: false,
                ordered: false,
            };
            self.saves.push(records::executor(&executor));
            self.saves.then(Then::Start { executor: key.clone() });
            self.executor_containers.insert(container, key.clone());
            self.executors.insert(key.clone(), executor);
        }
        let number = self.next_update;
        self.next_update += 1;
        let (parent, directory) = match self.executors.get(&key) {
            Some(executor) => (executor.container.clone(), executor.directory.clone()),
            None => return,
        };
        let names: Vec<_> = tasks.iter().map(|t| t.task_id.value.clone()).collect();
        for info in tasks.drain(..) {
            let task_key = (key.0.clone(), info.task_id.value.clone());
            let task = if is_default {
                let id = now.rng.uuid().to_string();
                let container = parent.nested(&id);
                let runner = Runner::Group { executor: key.1.clone(), parent: parent.clone(), number };
                let sandbox = format!("{directory}/containers/{id}");
                self.containers.insert(container.clone(), task_key.clone());
                Task { runner, ..Task::new(key.0.clone(), container, info, sandbox) }
            } else {
                let runner = Runner::Executor(key.1.clone());
                Task { runner, ..Task::new(key.0.clone(), parent.clone(), info, directory.clone()) }
            };
            self.saves.push(records::task(&task));
            self.news.push(&task_key, task.state);
            self.tasks.insert(task_key, task);
            self.counters.launched += 1;
        }
        if let Some(executor) = self.executors.get_mut(&key) {
            executor.idle_until = None;
            executor.queue.push(Queued { number, tasks: names, group, durable: false });
        }
        self.saves.then(Then::Deliver { executor: key, number });
    }

    /// The executor is durable: its container is ordered.
    pub(crate) fn start_executor(&mut self, key: &Key, out: &mut Effects<Effect>) {
        if let Some(executor) = self.executors.get_mut(key) {
            executor.ordered = true;
        }
        let (Some(executor), Some(framework)) = (self.executors.get(key), self.frameworks.get(&key.0)) else {
            return;
        };
        if executor.phase != Phase::Starting || executor.pid.is_some() {
            return;
        }
        let command = executor.info.command.clone().unwrap_or_default();
        let user = command.user.clone().unwrap_or_else(|| framework.info.user.clone());
        let program = if executor.is_default() { Program::Hold } else { launch::program(&command) };
        let mut spec = ContainerSpec::new(executor.container.clone(), executor.directory.clone(), program);
        spec.environment = self.executor_environment(executor, framework.info.checkpoint(), &command);
        spec.user = self.config.users.choose(Some(user));
        spec.fetch = command.uris.iter().map(launch::fetch).collect();
        spec.limits = self.executor_limits(key);
        spec.group = executor.is_default();
        launch::volumes(&mut spec, &executor.info.resources, executor.info.container.as_deref(), None, self);
        out.push(Effect::Launch(Box::new(spec)));
    }

    /// What an executor's container may use: its own and that of its tasks.
    pub(crate) fn executor_limits(&self, key: &Key) -> model::container::Limits {
        let Some(executor) = self.executors.get(key) else { return Default::default() };
        let mut sum = Resources::from_messages(&executor.info.resources).unwrap_or_default();
        let tasks = self.tasks.values().filter(|t| t.framework == key.0 && t.executor_id() == key.1);
        for task in tasks.filter(|t| t.is_live()) {
            sum += &Resources::from_messages(&task.info.resources).unwrap_or_default();
        }
        launch::limits(&sum, &Default::default(), self.config.cpu_quota)
    }

    pub(crate) fn executor_launched(
        &mut self,
        now: &mut Now<'_>,
        key: &Key,
        pid: u32,
        out: &mut Effects<Effect>,
    ) {
        let timeout = self.config.executors.registration_timeout;
        let Some(executor) = self.executors.get_mut(key) else { return };
        executor.pid = Some(pid);
        if executor.phase == Phase::Starting {
            executor.phase = if executor.is_default() {
                Phase::Running
            } else {
                Phase::Registering { until: now.time + timeout, again: false }
            };
        }
        self.deliver(now, key, out);
        self.end_if_idle(key, now, out);
    }

    pub(crate) fn executor_launch_failed(
        &mut self,
        now: &mut Now<'_>,
        key: &Key,
        why: &str,
        out: &mut Effects<Effect>,
    ) {
        let Some(executor) = self.executors.get_mut(key).filter(|e| e.is_live()) else { return };
        if executor.pid.is_some() {
            // It ran, and the launcher knows nothing of it.
            self.executor_gone(now, key, Some(&records::UNSEEN), out);
            return;
        }
        executor.why = Some((TaskState::TaskFailed, Reason::ContainerLaunchFailed, why.to_owned()));
        self.executor_gone(now, key, None, out);
    }

    /// Its tasks that are not forgotten.
    pub(crate) fn tasks_of(&self, key: &Key) -> Vec<Key> {
        let theirs =
            |t: &&Task| t.runner != Runner::Agent && t.framework == key.0 && t.executor_id() == key.1;
        self.tasks.values().filter(theirs).map(|t| (t.framework.clone(), t.id().to_owned())).collect()
    }
}

/// Tasks for one executor.
#[derive(Debug)]
pub(crate) struct Order {
    pub framework: FrameworkInfo,
    /// Where its driver listens (v0).
    pub pid: Option<String>,
    pub info: ExecutorInfo,
    pub tasks: Vec<TaskInfo>,
    pub group: bool,
}
