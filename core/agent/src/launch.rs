//! How a task is started: what runs, where, with which environment. The agent plays the command executor itself.

use crate::saves::Then;
use crate::{
    Agent, Effect,
    executors::Order,
    records,
    state::{Executor, Framework, Kill, Task},
};
use base::{Duration, Effects, Now, Time};
use model::{
    container::{ContainerId, ContainerSpec, Fetch, Io, Limits, Mount, Program},
    mesos::{
        CommandInfo, ContainerInfo, ExecutorId, ExecutorInfo, FrameworkInfo, Resource, TaskInfo, TaskState,
        TaskStatus, container_info, framework_info, internal, task_status::Reason, value, volume,
    },
    resources::Resources,
};
use std::collections::HashMap;

type Key = (String, String);

/// Where programs are looked for unless a task says otherwise.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Ended tasks among which a repeated order is looked for.
const REPEATS_MAX: usize = 1000;
/// An order in the very words of a task that ended so short a time ago is a repetition on its way. Later it is a
/// framework that uses a task id again, as it may.
const REPEAT_WINDOW: Duration = Duration::from_secs(30);
const MIB: f64 = 1024.0 * 1024.0;

impl Agent {
    /// It is said when a framework comes back: what it has not acknowledged is said again at once, as upstream does
    /// (`Slave::updateFramework`), since what came before it subscribed was dropped.
    pub(crate) fn update_framework(
        &mut self,
        message: internal::UpdateFrameworkMessage,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        let (Some(framework), Some(info)) =
            (self.frameworks.get_mut(&message.framework_id.value), message.framework_info)
        else {
            return;
        };
        self.saves.push(records::framework(&info));
        framework.info = info;
        let framework = message.framework_id.value;
        self.resend(|t| t.framework == framework, now, out);
    }

    pub(crate) fn run_task(
        &mut self,
        now: &mut Now<'_>,
        message: internal::RunTaskMessage,
        out: &mut Effects<Effect>,
    ) {
        let info = message.task;
        let framework = message.framework.id.as_ref().map_or(String::new(), |id| id.value.clone());
        let key = (framework.clone(), info.task_id.value.clone());
        if self.tasks.contains_key(&key) {
            // The master repeats itself; one task of an id is enough.
            self.counters.messages_dropped += 1;
            return;
        }
        if let Some((reason, why)) = self.unwelcome(&message.resource_version_uuids) {
            let executor = info.executor.as_ref().map_or(&info.task_id.value, |e| &e.executor_id.value);
            let executor = Some(ExecutorId { value: executor.clone() });
            self.drop_tasks(now, &message.framework, executor, &[info], reason, why);
            return;
        }
        if let Some(why) = self.limits_not_held(std::slice::from_ref(&info)) {
            self.drop_tasks(now, &message.framework, None, &[info], Reason::GcError, why);
            return;
        }
        if self.ended_just_now(&key.0, &info, now.time) {
            let why = "The same task ended a moment ago: it is not run a second time";
            self.drop_tasks(now, &message.framework, None, &[info], Reason::TaskInvalid, why);
            return;
        }
        if let Some(executor) = info.executor.clone() {
            let order = Order {
                framework: message.framework,
                pid: message.pid,
                info: executor,
                tasks: vec![info],
                group: false,
            };
            self.run_in_executor(now, order, message.launch_executor, out);
            return;
        }
        let user = info.command.as_ref().and_then(|c| c.user.as_deref());
        let refused = info.container.as_deref().and_then(of_other_containerizers).or_else(|| {
            let why = unsupported(&info, true).map(str::to_owned);
            Some((Reason::ContainerLaunchFailed, why.or_else(|| self.config.users.refuse(user))?))
        });
        if let Some((reason, why)) = refused {
            let mut status = TaskStatus::default();
            status.set_state(TaskState::TaskFailed);
            status.set_reason(reason);
            status.message = Some(why);
            status.executor_id = Some(ExecutorId { value: info.task_id.value.clone() });
            self.ghost(now, message.framework.id.clone().unwrap_or_default(), info.task_id, status);
            return;
        }
        self.know(&framework, message.framework, message.pid);
        let container = ContainerId(now.rng.uuid().to_string());
        let directory = self.sandbox(&framework, &info.task_id.value, &container);
        let task = Task::new(framework, container.clone(), info, directory);
        self.saves.push(records::task(&task));
        self.saves.then(Then::Launch { task: key.clone() });
        self.containers.insert(container, key.clone());
        self.tasks.insert(key, task);
        self.counters.launched += 1;
    }

    /// Whether tasks ask for limits that the named isolators don't hold. Where none were named, what is held is this
    /// machine's business, and said at the start.
    ///
    /// Texts and reason: apache/mesos@c1b42f79:src/slave/slave.cpp (`validateResourceLimitsAndIsolators`).
    pub(crate) fn limits_not_held(&self, tasks: &[TaskInfo]) -> Option<&'static str> {
        let isolation = self.config.flags.get("isolation")?;
        let holds = |name: &str| {
            isolation.split(',').map(str::trim).any(|n| ["cgroups/all", "cgroups", name].contains(&n))
        };
        let asks = |name: &str| tasks.iter().any(|task| task.limits.contains_key(name));
        if asks("cpus") && !holds("cgroups/cpu") {
            return Some(
                "CPU limits can only be set on tasks launched in Mesos containers when the agent has loaded the \
                 'cgroups/cpu' isolator",
            );
        }
        (asks("mem") && !holds("cgroups/mem")).then_some(
            "Memory limits can only be set on tasks launched in Mesos containers when the agent has loaded the \
             'cgroups/mem' isolator",
        )
    }

    /// Remembers what a framework says of itself; made durable where it says something new.
    fn know(&mut self, framework: &str, info: FrameworkInfo, pid: Option<String>) {
        if self.frameworks.get(framework).is_none_or(|known| known.info != info) {
            self.saves.push(records::framework(&info));
        }
        self.frameworks.insert(framework.to_owned(), Framework { info, pid, ending: false });
    }

    /// Why a task can't be taken for granted: the master made it with another state of the resources in mind.
    pub(crate) fn outdated(&self, versions: &[internal::ResourceVersionUuid]) -> Option<&'static str> {
        let default = versions.iter().find(|v| v.resource_provider_id.is_none())?;
        (default.uuid.value != self.resource_version).then_some("Task assumes outdated resource state")
    }

    fn ended_just_now(&self, framework: &str, info: &TaskInfo, now: Time) -> bool {
        let ended = |t: &Task| t.statuses.last().and_then(|s| s.timestamp).unwrap_or(now.as_secs_f64());
        let same = |t: &&Task| t.framework == framework && !t.ghost && t.info == *info;
        let last = self.completed.of(framework, &info.task_id.value, REPEATS_MAX).find(same);
        last.is_some_and(|t| now.as_secs_f64() - ended(t) < REPEAT_WINDOW.as_secs_f64())
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
    pub(crate) fn launch(&mut self, now: &mut Now<'_>, key: &Key, out: &mut Effects<Effect>) {
        if self.ended_before_its_launch(key, now, out) {
            return;
        }
        let Some(task) = self.tasks.get(key) else { return };
        let Some(framework) = self.frameworks.get(&key.0) else { return };
        let command = task.info.command.clone().unwrap_or_default();
        let user = command.user.clone().unwrap_or_else(|| framework.info.user.clone());
        let mut spec = ContainerSpec::new(task.container.clone(), task.directory.clone(), program(&command));
        spec.environment = self.environment(task, framework.info.checkpoint(), &command);
        spec.user = self.config.users.choose(Some(user));
        spec.fetch = command.uris.iter().map(fetch).collect();
        spec.limits = task_limits(&task.info, self.config.cpu_quota);
        spec.fails_inside = true;
        spec.io = crate::guests::io(task.info.container.as_deref(), Io::Files);
        volumes(&mut spec, &task.info.resources, task.info.container.as_deref(), None, self);
        out.push(Effect::Launch(Box::new(spec)));
    }

    /// Whether a task need not be launched any more; one that was killed before hears so. All others are from now on.
    pub(crate) fn ended_before_its_launch(
        &mut self,
        key: &Key,
        now: &mut Now<'_>,
        out: &mut Effects<Effect>,
    ) -> bool {
        let Some(task) = self.tasks.get_mut(key).filter(|t| t.is_live() && t.pid.is_none()) else {
            return true;
        };
        if task.kill == Kill::No {
            task.ordered = true;
            return false;
        }
        let container = task.container.clone();
        self.launch_failed(now, &container, "", out);
        true
    }

    /// What upstream hands to executors and tasks, then the agent's own additions, then the command's: the last of a
    /// name counts.
    pub(crate) fn environment(
        &self,
        task: &Task,
        checkpoint: bool,
        command: &CommandInfo,
    ) -> Vec<(String, String)> {
        let mut all = self.basic_environment(
            (&task.framework, task.executor_id()),
            &task.directory,
            checkpoint,
            self.config.executors.shutdown_grace_period,
        );
        let role = model::resources::allocation_role(&task.info.resources).unwrap_or("*").to_owned();
        all.push(("MESOS_ALLOCATION_ROLE".into(), role));
        all.push(("MESOS_CONTAINER_IP".into(), self.config.address.ip().to_string()));
        self.with_own(all, command)
    }

    /// The same for an executor.
    pub(crate) fn executor_environment(
        &self,
        executor: &Executor,
        checkpoint: bool,
        command: &CommandInfo,
    ) -> Vec<(String, String)> {
        let grace = executor.info.shutdown_grace_period.as_ref();
        let grace = grace.and_then(|g| u64::try_from(g.nanoseconds).ok()).map(Duration::from_nanos);
        let grace = grace.unwrap_or(self.config.executors.shutdown_grace_period);
        let ids = (executor.framework.as_str(), executor.id());
        let all = self.basic_environment(ids, &executor.directory, checkpoint, grace);
        self.with_own(all, command)
    }

    fn basic_environment(
        &self,
        (framework, executor): (&str, &str),
        directory: &str,
        checkpoint: bool,
        grace: Duration,
    ) -> Vec<(String, String)> {
        let address = self.config.address;
        let agent_id = self.info.id.as_ref().map_or(String::new(), |id| id.value.clone());
        let mut all: Vec<(String, String)> = vec![
            ("PATH".into(), PATH.into()),
            ("LIBPROCESS_IP".into(), address.ip().to_string()),
            ("LIBPROCESS_PORT".into(), "0".into()),
            ("MESOS_FRAMEWORK_ID".into(), framework.to_owned()),
            ("MESOS_EXECUTOR_ID".into(), executor.to_owned()),
            ("MESOS_DIRECTORY".into(), directory.to_owned()),
            ("MESOS_SANDBOX".into(), directory.to_owned()),
            ("MESOS_SLAVE_ID".into(), agent_id),
            ("MESOS_SLAVE_PID".into(), self.me().to_string()),
            ("MESOS_AGENT_ENDPOINT".into(), address.to_string()),
            ("MESOS_CHECKPOINT".into(), if checkpoint { "1" } else { "0" }.into()),
            (
                "MESOS_HTTP_COMMAND_EXECUTOR".into(),
                if self.policy_of_kills_counts() { "1" } else { "0" }.into(),
            ),
            ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD".into(), duration_text(grace)),
        ];
        if checkpoint {
            all.push(("MESOS_RECOVERY_TIMEOUT".into(), "15mins".into()));
            all.push(("MESOS_SUBSCRIPTION_BACKOFF_MAX".into(), "2secs".into()));
        }
        all
    }

    pub(crate) fn with_own(
        &self,
        mut all: Vec<(String, String)>,
        command: &CommandInfo,
    ) -> Vec<(String, String)> {
        let own = command.environment.iter().flat_map(|e| &e.variables);
        let own = own.map(|v| (v.name.clone(), v.value.clone().unwrap_or_default()));
        for (name, value) in self.config.environment.iter().cloned().chain(own) {
            all.retain(|(n, _)| *n != name);
            all.push((name, value));
        }
        all
    }
}

/// Whether a framework knows more than TASK_LOST.
pub(crate) fn is_partition_aware(framework: &FrameworkInfo) -> bool {
    framework.capabilities.iter().any(|c| c.r#type() == framework_info::capability::Type::PartitionAware)
}

/// The state of a task that was never launched.
pub(crate) fn dropped(framework: &FrameworkInfo) -> TaskState {
    if is_partition_aware(framework) { TaskState::TaskDropped } else { TaskState::TaskLost }
}

/// As stout prints a duration: the largest unit that gives a whole number.
pub(crate) fn duration_text(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let units: [(u128, &str); 8] = [
        (604_800_000_000_000, "weeks"),
        (86_400_000_000_000, "days"),
        (3_600_000_000_000, "hrs"),
        (60_000_000_000, "mins"),
        (1_000_000_000, "secs"),
        (1_000_000, "ms"),
        (1000, "us"),
        (1, "ns"),
    ];
    let fits = units.iter().find(|(unit, _)| nanos >= *unit && nanos.is_multiple_of(*unit));
    let (unit, name) = fits.unwrap_or(&(1, "ns"));
    format!("{}{name}", nanos / unit)
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

pub(crate) fn fetch(uri: &model::mesos::command_info::Uri) -> Fetch {
    Fetch {
        uri: uri.value.clone(),
        extract: uri.extract() && !uri.executable(),
        executable: uri.executable(),
        cache: uri.cache(),
        output_file: uri.output_file.clone(),
    }
}

pub(crate) fn task_limits(info: &TaskInfo, quota: bool) -> Limits {
    limits(&Resources::from_messages(&info.resources).unwrap_or_default(), &info.limits, quota)
}

/// `quota` = what is asked for is the most, unless a limit says otherwise (`--cgroups_enable_cfs`).
pub(crate) fn limits(asked: &Resources, most: &HashMap<String, value::Scalar>, quota: bool) -> Limits {
    let limit = |name: &str| most.get(name).map(|l| l.value);
    let bytes = |mib: f64| if mib.is_infinite() { u64::MAX } else { (mib * MIB) as u64 };
    Limits {
        cpus: asked.scalar("cpus"),
        cpus_max: limit("cpus").or(quota.then(|| asked.scalar("cpus"))).filter(|c| c.is_finite()),
        mem: bytes(asked.scalar("mem")),
        mem_max: limit("mem").map(bytes),
    }
}

/// Whether a nested container uses what the one around it has (upstream's default).
pub(crate) fn shares_cgroups(container: Option<&ContainerInfo>) -> bool {
    container.and_then(|c| c.linux_info.as_ref()).is_none_or(|l| l.share_cgroups())
}

/// Volumes: persistent ones by the resources, others by the container. `around` is the sandbox of the container around.
pub(crate) fn volumes(
    spec: &mut ContainerSpec,
    resources: &[Resource],
    container: Option<&ContainerInfo>,
    around: Option<&str>,
    agent: &Agent,
) {
    for resource in resources {
        let Some(disk) = &resource.disk else { continue };
        let Some(volume) = disk.volume.as_ref() else { continue };
        if let Some(source) = persistent_path(&agent.config.work_dir, resource) {
            let read_only = volume.mode() == volume::Mode::Ro;
            spec.volumes.push(Mount {
                source,
                target: volume.container_path.clone(),
                read_only,
                make: false,
                // One that is shared may be used by several users at once.
                own: resource.shared.is_none(),
            });
        }
    }
    for volume in container.iter().flat_map(|c| &c.volumes) {
        let read_only = volume.mode() == volume::Mode::Ro;
        let target = volume.container_path.clone();
        let source = volume.source.as_ref();
        let sandbox_path = source.and_then(|s| s.sandbox_path.as_ref());
        let (source, make) = if let Some(path) = sandbox_path {
            let parent = path.r#type() == volume::source::sandbox_path::Type::Parent;
            let root = around.filter(|_| parent).unwrap_or(&spec.sandbox);
            (format!("{root}/{}", path.path), true)
        } else {
            let path = source.and_then(|s| s.host_path.as_ref()).map(|h| &h.path);
            let Some(path) = path.or(volume.host_path.as_ref()) else { continue };
            (path.clone(), false)
        };
        spec.volumes.push(Mount { source, target, read_only, make, own: false });
    }
}

/// `<root>/volumes/roles/<role>/<id>`; a disk that is a mount of its own is the volume itself.
pub(crate) fn persistent_path(work_dir: &str, resource: &Resource) -> Option<String> {
    use model::mesos::resource::disk_info::source::Type;
    let disk = resource.disk.as_ref()?;
    let id = &disk.persistence.as_ref()?.id;
    let role = resource.reservations.last().map_or_else(|| resource.role(), |r| r.role());
    let under = |root: &str| format!("{root}/volumes/roles/{role}/{id}");
    let absolute =
        |root: &str| if root.starts_with('/') { root.to_owned() } else { format!("{work_dir}/{root}") };
    Some(match &disk.source {
        None => under(work_dir),
        Some(source) => match source.r#type() {
            Type::Path => under(&absolute(source.path.as_ref()?.root.as_deref()?)),
            Type::Mount => absolute(source.mount.as_ref()?.root.as_deref()?),
            _ => return None,
        },
    })
}

/// A container that another containerizer would make, or an image: refused as upstream does without those.
fn of_other_containerizers(container: &ContainerInfo) -> Option<(Reason, String)> {
    if container.r#type == container_info::Type::Docker as i32 {
        let why = "Abnormal executor termination: unknown container";
        return Some((Reason::ExecutorTerminated, why.to_owned()));
    }
    let image = container.mesos.as_ref()?.image.as_ref()?;
    let kind = image.r#type().as_str_name();
    let why = format!("Failed to launch container: Unsupported container image type: {kind}");
    Some((Reason::ContainerLaunchFailed, why))
}

/// What this agent can't run, said as people need it. `played`: the agent itself runs the task's command.
pub(crate) fn unsupported(info: &TaskInfo, played: bool) -> Option<&'static str> {
    if played && info.command.is_none() {
        return Some("The task has no command");
    }
    if !played {
        return None;
    }
    unfit(info.command.as_ref(), info.container.as_deref())
}

/// The same for an executor.
pub(crate) fn unsupported_executor(info: &ExecutorInfo, is_default: bool) -> Option<&'static str> {
    if !is_default && info.command.is_none() {
        return Some("The executor has no command");
    }
    unfit(info.command.as_ref(), info.container.as_deref())
}

pub(crate) fn unfit(
    command: Option<&CommandInfo>,
    container: Option<&ContainerInfo>,
) -> Option<&'static str> {
    let variables = command.iter().flat_map(|c| &c.environment).flat_map(|e| &e.variables);
    if variables.clone().any(|v| v.secret.is_some()) {
        return Some("This agent does not resolve secrets yet");
    }
    let container = container?;
    let image = container.docker.is_some() || container.mesos.as_ref().is_some_and(|m| m.image.is_some());
    if image {
        return Some("This agent does not run images yet");
    }
    if container.network_infos.iter().any(|n| n.name.is_some()) {
        return Some("This agent does not join container networks yet");
    }
    for volume in &container.volumes {
        let known = match &volume.source {
            Some(source) => source.host_path.is_some() || source.sandbox_path.is_some(),
            None => volume.host_path.is_some(),
        };
        if !known {
            return Some("This agent mounts HOST_PATH and SANDBOX_PATH volumes only");
        }
        let sandbox_path = volume.source.as_ref().and_then(|s| s.sandbox_path.as_ref());
        let leaves = |path: &str| path.starts_with('/') || path.split('/').any(|part| part == "..");
        if sandbox_path.is_some_and(|p| leaves(&p.path)) {
            return Some("The path of a SANDBOX_PATH volume must stay in the sandbox");
        }
        if volume.container_path.split('/').any(|part| part == "..") {
            return Some("The container_path of a volume must not contain '..'");
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_what_was_asked_for_unless_a_limit_says_otherwise() {
        let asked = Resources::scalars([("cpus", 0.5), ("mem", 64.0)]);
        let most = |cpus: f64| HashMap::from([("cpus".to_owned(), value::Scalar { value: cpus })]);
        let cpus = |most: &HashMap<_, _>, quota| limits(&asked, most, quota).cpus_max;
        assert_eq!((cpus(&HashMap::new(), false), cpus(&HashMap::new(), true)), (None, Some(0.5)));
        assert_eq!((cpus(&most(2.0), false), cpus(&most(2.0), true)), (Some(2.0), Some(2.0)));
        assert_eq!((cpus(&most(f64::INFINITY), false), cpus(&most(f64::INFINITY), true)), (None, None));
    }
}
