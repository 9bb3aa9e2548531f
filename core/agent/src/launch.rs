//! How a task is started: what runs, where, with which environment. The agent plays the command executor itself.

mod environment;
mod fit;

pub(crate) use environment::{PATH, duration_text};
pub(crate) use fit::{of_other_containerizers, unfit, unsupported, unsupported_executor};

use crate::saves::Then;
use crate::{
    Agent, Effect,
    executors::Order,
    records,
    state::{Framework, Kill, Task},
};
use base::{Duration, Effects, Now, Time};
use model::{
    container::{ContainerId, ContainerSpec, Fetch, Io, Limits, Mount, Program},
    mesos::{
        CommandInfo, ContainerInfo, ExecutorId, FrameworkInfo, Resource, TaskInfo, TaskState, TaskStatus,
        framework_info, internal, task_status::Reason, value, volume,
    },
    resources::Resources,
};
use std::collections::HashMap;

type Key = (String, String);

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
            self.restate(now.time, out);
            let executor = info.executor.as_ref().map_or(&info.task_id.value, |e| &e.executor_id.value);
            let executor = Some(ExecutorId { value: executor.clone() });
            self.drop_tasks(now, &message.framework, executor, &[info], reason, why);
            return;
        }
        let executors = info.executor.iter().flat_map(|executor| &executor.resources);
        if !self.knows(info.resources.iter().chain(executors).cloned().collect()) {
            let why = "The checkpointed resources being used by the task are unknown to the agent";
            self.drop_tasks(now, &message.framework, None, &[info], Reason::ResourcesUnknown, why);
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
        self.news.push(&key, task.state);
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
}

/// Whether a framework knows more than TASK_LOST.
pub(crate) fn is_partition_aware(framework: &FrameworkInfo) -> bool {
    framework.capabilities.iter().any(|c| c.r#type() == framework_info::capability::Type::PartitionAware)
}

/// The state of a task that was never launched.
pub(crate) fn dropped(framework: &FrameworkInfo) -> TaskState {
    if is_partition_aware(framework) { TaskState::TaskDropped } else { TaskState::TaskLost }
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
