//! How a task is started: what runs, where, with which environment. The agent plays the command executor itself.

use crate::saves::Then;
use crate::{
    Agent, Effect, records,
    state::{Framework, Task},
};
use base::{Duration, Effects, Now, Time};
use model::{
    container::{ContainerId, ContainerSpec, Fetch, Limits, Program},
    mesos::{CommandInfo, TaskInfo, TaskState, TaskStatus, internal, task_status::Reason},
    resources::Resources,
};

type Key = (String, String);

/// Ended tasks among which a repeated order is looked for.
const REPEATS_MAX: usize = 1000;
/// An order in the very words of a task that ended so short a time ago is a repetition on its way. Later it is a
/// framework that uses a task id again, as it may.
const REPEAT_WINDOW: Duration = Duration::from_secs(30);
const MIB: f64 = 1024.0 * 1024.0;

impl Agent {
    pub(crate) fn update_framework(&mut self, message: internal::UpdateFrameworkMessage) {
        let (Some(framework), Some(info)) =
            (self.frameworks.get_mut(&message.framework_id.value), message.framework_info)
        else {
            return;
        };
        self.saves.push(records::framework(&info));
        framework.info = info;
    }

    pub(crate) fn run_task(&mut self, now: &mut Now<'_>, message: internal::RunTaskMessage) {
        let info = message.task;
        let framework = message.framework.id.as_ref().map_or(String::new(), |id| id.value.clone());
        let key = (framework.clone(), info.task_id.value.clone());
        if self.tasks.contains_key(&key) {
            // The master repeats itself; one task of an id is enough.
            self.counters.messages_dropped += 1;
            return;
        }
        let versions = message.resource_version_uuids.iter().filter(|v| v.resource_provider_id.is_none());
        let outdated = versions.into_iter().any(|v| v.uuid.value != self.resource_version);
        let dropped = if outdated {
            Some((Reason::InvalidOffers, "Task assumes outdated resource state"))
        } else if self.ended_just_now(&key.0, &info, now.time) {
            Some((Reason::TaskInvalid, "The same task ended a moment ago: it is not run a second time"))
        } else {
            None
        };
        if let Some((reason, why)) = dropped {
            let mut status = TaskStatus::default();
            status.set_state(TaskState::TaskDropped);
            status.set_reason(reason);
            status.message = Some(why.to_owned());
            self.ghost(now, message.framework.id.clone().unwrap_or_default(), info.task_id, status);
            return;
        }
        if let Some(why) = unsupported(&info) {
            let mut status = TaskStatus::default();
            status.set_state(TaskState::TaskFailed);
            status.set_reason(Reason::ContainerLaunchFailed);
            status.message = Some(why.to_owned());
            self.ghost(now, message.framework.id.clone().unwrap_or_default(), info.task_id, status);
            return;
        }
        self.frameworks.insert(framework.clone(), Framework { info: message.framework.clone() });
        self.saves.push(records::framework(&message.framework));
        let container = ContainerId(now.rng.uuid().to_string());
        let directory = self.sandbox(&framework, &info.task_id.value, &container);
        let task = Task::new(framework, container.clone(), info, directory);
        self.saves.push(records::task(&task));
        self.saves.then(Then::Launch { task: key.clone() });
        self.containers.insert(container, key.clone());
        self.tasks.insert(key, task);
        self.counters.launched += 1;
    }

    fn ended_just_now(&self, framework: &str, info: &TaskInfo, now: Time) -> bool {
        let ended = |t: &Task| t.statuses.last().and_then(|s| s.timestamp).unwrap_or(now.as_secs_f64());
        let same = |t: &&Task| t.framework == framework && !t.ghost && t.info == *info;
        let last = self.completed.iter().rev().take(REPEATS_MAX).find(same);
        last.is_some_and(|t| now.as_secs_f64() - ended(t) < REPEAT_WINDOW.as_secs_f64())
    }

    pub(crate) fn refuse_group(&mut self, now: &mut Now<'_>, message: internal::RunTaskGroupMessage) {
        for task in message.task_group.tasks {
            let mut status = TaskStatus::default();
            status.set_state(TaskState::TaskFailed);
            status.set_reason(Reason::ContainerLaunchFailed);
            status.message = Some("This agent does not run task groups yet".to_owned());
            self.ghost(now, message.framework.id.clone().unwrap_or_default(), task.task_id, status);
        }
    }

    /// `<work_dir>/slaves/<agent>/frameworks/<framework>/executors/<executor>/runs/<container>`
    pub(crate) fn sandbox(&self, framework: &str, executor: &str, container: &ContainerId) -> String {
        let agent = self.info.id.as_ref().map_or("", |id| id.value.as_str());
        format!(
            "{}/slaves/{agent}/frameworks/{framework}/executors/{executor}/runs/{container}",
            self.config.work_dir
        )
    }

    /// The task is durable: its container is ordered.
    pub(crate) fn launch(&mut self, key: &Key, out: &mut Effects<Effect>) {
        let Some(task) = self.tasks.get(key).filter(|t| !t.ended && t.pid.is_none()) else { return };
        let Some(framework) = self.frameworks.get(&key.0) else { return };
        let command = task.info.command.clone().unwrap_or_default();
        let user = command.user.clone().unwrap_or_else(|| framework.info.user.clone());
        let spec = ContainerSpec {
            id: task.container.clone(),
            sandbox: task.directory.clone(),
            program: program(&command),
            environment: self.environment(task, &framework.info.checkpoint(), &command),
            user: (self.config.switch_user && !user.is_empty()).then_some(user),
            fetch: command.uris.iter().map(fetch).collect(),
            limits: limits(&task.info),
        };
        out.push(Effect::Launch(Box::new(spec)));
    }

    /// What upstream hands to executors, then the agent's own additions, then the task's: the last of a name counts.
    pub(crate) fn environment(
        &self,
        task: &Task,
        checkpoint: &bool,
        command: &CommandInfo,
    ) -> Vec<(String, String)> {
        let address = self.config.address;
        let agent_id = self.info.id.as_ref().map_or(String::new(), |id| id.value.clone());
        let role = model::resources::allocation_role(&task.info.resources).unwrap_or("*").to_owned();
        let mut all: Vec<(String, String)> = vec![
            ("PATH".into(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()),
            ("LIBPROCESS_IP".into(), address.ip().to_string()),
            ("LIBPROCESS_PORT".into(), "0".into()),
            ("MESOS_FRAMEWORK_ID".into(), task.framework.clone()),
            ("MESOS_EXECUTOR_ID".into(), task.id().to_owned()),
            ("MESOS_DIRECTORY".into(), task.directory.clone()),
            ("MESOS_SANDBOX".into(), task.directory.clone()),
            ("MESOS_SLAVE_ID".into(), agent_id),
            ("MESOS_SLAVE_PID".into(), self.me().to_string()),
            ("MESOS_AGENT_ENDPOINT".into(), address.to_string()),
            ("MESOS_CHECKPOINT".into(), if *checkpoint { "1" } else { "0" }.into()),
            ("MESOS_HTTP_COMMAND_EXECUTOR".into(), "0".into()),
            ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD".into(), "5secs".into()),
            ("MESOS_ALLOCATION_ROLE".into(), role),
            ("MESOS_CONTAINER_IP".into(), address.ip().to_string()),
        ];
        if *checkpoint {
            all.push(("MESOS_RECOVERY_TIMEOUT".into(), "15mins".into()));
            all.push(("MESOS_SUBSCRIPTION_BACKOFF_MAX".into(), "2secs".into()));
        }
        let own = command.environment.iter().flat_map(|e| &e.variables);
        let own = own.map(|v| (v.name.clone(), v.value.clone().unwrap_or_default()));
        for (name, value) in self.config.environment.iter().cloned().chain(own) {
            all.retain(|(n, _)| *n != name);
            all.push((name, value));
        }
        all
    }
}

pub(crate) fn program(command: &CommandInfo) -> Program {
    let value = command.value.clone().unwrap_or_default();
    if command.shell() {
        Program::Shell(value)
    } else {
        let arguments =
            if command.arguments.is_empty() { vec![value.clone()] } else { command.arguments.clone() };
        Program::Exec { file: value, arguments }
    }
}

fn fetch(uri: &model::mesos::command_info::Uri) -> Fetch {
    Fetch {
        uri: uri.value.clone(),
        extract: uri.extract() && !uri.executable(),
        executable: uri.executable(),
        output_file: uri.output_file.clone(),
    }
}

fn limits(info: &TaskInfo) -> Limits {
    let asked = Resources::from_messages(&info.resources).unwrap_or_default();
    let limit = |name: &str| info.limits.get(name).map(|l| l.value);
    let bytes = |mib: f64| if mib.is_infinite() { u64::MAX } else { (mib * MIB) as u64 };
    Limits {
        cpus: asked.scalar("cpus"),
        cpus_max: limit("cpus").filter(|c| c.is_finite()),
        mem: bytes(asked.scalar("mem")),
        mem_max: limit("mem").map(bytes),
    }
}

/// What this agent can't run yet, said as people need it.
fn unsupported(info: &TaskInfo) -> Option<&'static str> {
    if info.executor.is_some() {
        return Some("This agent does not run custom executors yet");
    }
    let Some(command) = &info.command else { return Some("The task has no command") };
    let secret = command.environment.iter().flat_map(|e| &e.variables).any(|v| v.secret.is_some());
    if secret {
        return Some("This agent does not resolve secrets yet");
    }
    let container = info.container.as_ref()?;
    let image = container.docker.is_some() || container.mesos.as_ref().is_some_and(|m| m.image.is_some());
    if image {
        return Some("This agent does not run images yet");
    }
    if !container.volumes.is_empty() {
        return Some("This agent does not mount volumes yet");
    }
    if container.network_infos.iter().any(|n| n.name.is_some()) {
        return Some("This agent does not join container networks yet");
    }
    None
}
