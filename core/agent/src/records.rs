//! What an agent must not forget: its id, its tasks, the updates that nobody acknowledged. Keys and values of it.

use crate::{
    Guest, Launch,
    state::{Cause, Executor, Kill, Runner, Task},
};
use base::{Duration, Time};
use model::{
    container::{ContainerId, Termination},
    link::Upid,
    mesos::{
        AgentInfo, DrainConfig, ExecutorInfo, FrameworkInfo, Operation, TaskInfo,
        internal::{CheckpointResourcesMessage, StatusUpdate},
    },
    resources::Resources,
    save::{Change, Records},
};
use prost::Message as _;
use std::collections::BTreeMap;

const AGENT: &str = "agent";
const BOOT: &str = "boot";
const FRAMEWORK: &str = "frameworks/";
const TASK: &str = "tasks/";
const UPDATE: &str = "updates/";
const EXECUTOR: &str = "executors/";
const DRIVER: &str = "drivers/";
const GUEST: &str = "guests/";
const SESSION: &str = "sessions/";
const RESOURCES: &str = "resources";
const DRAINING: &str = "draining";
const OPERATION: &str = "operations/";
const BEGUN: &str = "begun/";
const KILL: &str = "kills/";
const GARBAGE: &str = "garbage";

/// What was durable.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub agent: Option<AgentInfo>,
    pub boot_id: Option<String>,
    pub frameworks: Vec<FrameworkInfo>,
    pub tasks: Vec<Kept>,
    /// Framework id, container, executor.
    pub executors: Vec<(String, ContainerId, ExecutorInfo)>,
    /// Framework id, container, where the executor's driver listens.
    pub drivers: Vec<(String, ContainerId, Upid)>,
    /// Containers that clients asked for, outer ones first; sessions say so.
    pub guests: Vec<(ContainerId, Launch, bool)>,
    /// Reservations made at run time, and volumes.
    pub resources: Resources,
    pub draining: Option<DrainConfig>,
    pub operations: Vec<Operation>,
    /// By container: when it was seen to start.
    pub begun: BTreeMap<ContainerId, Time>,
    /// By container: how its task is being ended.
    pub kills: BTreeMap<ContainerId, Ending>,
    /// Sandboxes that are over, and since when.
    pub garbage: Vec<(String, Time)>,
    /// Unacknowledged updates in the order in which they were made.
    pub updates: Vec<(u64, StatusUpdate)>,
    pub broken: u64,
}

/// A kill that was under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ending {
    pub cause: Cause,
    /// How long the task was given.
    pub grace: Duration,
    /// When it is ended by force. The clock may have been set since: never later than the grace period from now.
    pub force_at: Time,
}

impl Ending {
    fn bytes(self) -> Vec<u8> {
        let cause = match self.cause {
            Cause::Own => 0,
            Cause::Killed => 1,
            Cause::Unhealthy => 2,
            Cause::TooLong => 3,
        };
        let grace = u64::try_from(self.grace.as_nanos()).unwrap_or(u64::MAX);
        [&[cause][..], &grace.to_be_bytes(), &self.force_at.as_nanos().to_be_bytes()].concat()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (cause, rest) = bytes.split_first()?;
        let (grace, force_at) = rest.split_first_chunk::<8>()?;
        let cause = match cause {
            0 => Cause::Own,
            1 => Cause::Killed,
            2 => Cause::Unhealthy,
            3 => Cause::TooLong,
            _ => return None,
        };
        let grace = Duration::from_nanos(u64::from_be_bytes(*grace));
        let force_at = Time::from_nanos(u64::from_be_bytes(force_at.try_into().ok()?));
        Some(Self { cause, grace, force_at })
    }
}

/// A task that was durable.
#[derive(Debug)]
pub(crate) struct Kept {
    pub framework: String,
    pub container: ContainerId,
    /// The group that it belongs to.
    pub group: Option<u64>,
    pub info: TaskInfo,
    /// The container is its executor's.
    pub inside: bool,
}

impl Kept {
    /// `<framework>/<container>`, for a member of a group `…/group/<number>`, for an executor's task `…/task/<id>`.
    fn read(key: &str, value: &[u8]) -> Option<Self> {
        let mut parts = key.splitn(4, '/');
        let (framework, container) = (parts.next()?.to_owned(), ContainerId(parts.next()?.to_owned()));
        let info = TaskInfo::decode(value).ok()?;
        let (kind, rest) = (parts.next(), parts.next());
        let group = match kind {
            Some("group") => Some(rest?.parse().ok()?),
            _ => None,
        };
        Some(Self { framework, container, group, info, inside: kind == Some("task") })
    }
}

fn split(key: &str) -> Option<(String, ContainerId)> {
    let (framework, container) = key.split_once('/')?;
    Some((framework.to_owned(), ContainerId(container.to_owned())))
}

impl Recovered {
    pub fn read(records: &Records) -> Self {
        let mut found = Self::default();
        for (key, value) in records {
            let read = if key == AGENT {
                AgentInfo::decode(value.as_slice()).map(|a| found.agent = Some(a)).is_ok()
            } else if key == BOOT {
                found.boot_id = Some(String::from_utf8_lossy(value).into_owned());
                true
            } else if key.starts_with(FRAMEWORK) {
                FrameworkInfo::decode(value.as_slice()).map(|f| found.frameworks.push(f)).is_ok()
            } else if let Some(rest) = key.strip_prefix(TASK) {
                Kept::read(rest, value).map(|task| found.tasks.push(task)).is_some()
            } else if let Some(rest) = key.strip_prefix(EXECUTOR) {
                let info = ExecutorInfo::decode(value.as_slice()).ok();
                let read = split(rest).zip(info).map(|((framework, id), info)| (framework, id, info));
                read.map(|executor| found.executors.push(executor)).is_some()
            } else if let Some(rest) = key.strip_prefix(DRIVER) {
                let upid = String::from_utf8_lossy(value).parse::<Upid>().ok();
                let read = split(rest).zip(upid).map(|((framework, id), upid)| (framework, id, upid));
                read.map(|driver| found.drivers.push(driver)).is_some()
            } else if let Some(id) = key.strip_prefix(GUEST).or_else(|| key.strip_prefix(SESSION)) {
                let session = key.starts_with(SESSION);
                let launch = Launch::decode(value.as_slice());
                launch.map(|l| found.guests.push((ContainerId(id.to_owned()), l, session))).is_ok()
            } else if key == RESOURCES {
                let kept = CheckpointResourcesMessage::decode(value.as_slice()).ok();
                let kept = kept.and_then(|m| Resources::from_messages(&m.resources).ok());
                kept.map(|resources| found.resources = resources).is_some()
            } else if key == DRAINING {
                DrainConfig::decode(value.as_slice()).map(|config| found.draining = Some(config)).is_ok()
            } else if key.starts_with(OPERATION) {
                Operation::decode(value.as_slice()).map(|o| found.operations.push(o)).is_ok()
            } else if let Some(id) = key.strip_prefix(BEGUN) {
                let at = <[u8; 8]>::try_from(value.as_slice()).map(u64::from_be_bytes);
                at.map(|at| found.begun.insert(ContainerId(id.to_owned()), Time::from_nanos(at))).is_ok()
            } else if let Some(directory) = key.strip_prefix(GARBAGE) {
                let since = <[u8; 8]>::try_from(value.as_slice()).map(u64::from_be_bytes);
                since.map(|at| found.garbage.push((directory.to_owned(), Time::from_nanos(at)))).is_ok()
            } else if let Some(id) = key.strip_prefix(KILL) {
                Ending::read(value).map(|k| found.kills.insert(ContainerId(id.to_owned()), k)).is_some()
            } else if let Some(number) = key.strip_prefix(UPDATE) {
                match (u64::from_str_radix(number, 16), StatusUpdate::decode(value.as_slice())) {
                    (Ok(number), Ok(update)) => {
                        found.updates.push((number, update));
                        true
                    }
                    _ => false,
                }
            } else {
                false
            };
            found.broken += u64::from(!read);
        }
        found
    }
}

pub(crate) fn agent(info: &AgentInfo) -> Change {
    Change::Put { key: AGENT.to_owned(), value: info.encode_to_vec() }
}

pub(crate) fn boot(id: &str) -> Change {
    Change::Put { key: BOOT.to_owned(), value: id.as_bytes().to_vec() }
}

pub(crate) fn framework(info: &FrameworkInfo) -> Change {
    let id = info.id.as_ref().map_or("", |id| id.value.as_str());
    Change::Put { key: format!("{FRAMEWORK}{id}"), value: info.encode_to_vec() }
}

pub(crate) fn forget_framework(id: &str) -> Change {
    Change::Delete { key: format!("{FRAMEWORK}{id}") }
}

fn task_key(task: &Task) -> String {
    let place = format!("{TASK}{}/{}", task.framework, task.container);
    match &task.runner {
        Runner::Agent => place,
        Runner::Executor(_) => format!("{place}/task/{}", task.id()),
        Runner::Group { number, .. } => format!("{place}/group/{number}"),
    }
}

pub(crate) fn task(task: &Task) -> Change {
    Change::Put { key: task_key(task), value: task.info.encode_to_vec() }
}

/// The task and all that is kept beside it.
pub(crate) fn forget_task(task: &Task) -> Vec<Change> {
    let mut changes = vec![Change::Delete { key: task_key(task) }];
    if task.begun.is_some() {
        changes.push(Change::Delete { key: format!("{BEGUN}{}", task.container) });
    }
    if task.kill != Kill::No {
        changes.push(Change::Delete { key: format!("{KILL}{}", task.container) });
    }
    changes
}

/// Its container was seen to start. The updates that say so are forgotten with their acknowledgement, this is not.
pub(crate) fn begun(task: &Task, at: Time) -> Change {
    Change::Put { key: format!("{BEGUN}{}", task.container), value: at.as_nanos().to_be_bytes().to_vec() }
}

/// It is being ended.
pub(crate) fn kill(task: &Task, grace: Duration, force_at: Time) -> Change {
    let ending = Ending { cause: task.cause, grace, force_at };
    Change::Put { key: format!("{KILL}{}", task.container), value: ending.bytes() }
}

pub(crate) fn executor(executor: &Executor) -> Change {
    let key = format!("{EXECUTOR}{}/{}", executor.framework, executor.container);
    Change::Put { key, value: executor.info.encode_to_vec() }
}

pub(crate) fn driver(executor: &Executor, driver: &Upid) -> Change {
    let key = format!("{DRIVER}{}/{}", executor.framework, executor.container);
    Change::Put { key, value: driver.to_string().into_bytes() }
}

pub(crate) fn forget_executor(executor: &Executor) -> [Change; 2] {
    let place = format!("{}/{}", executor.framework, executor.container);
    [Change::Delete { key: format!("{EXECUTOR}{place}") }, Change::Delete { key: format!("{DRIVER}{place}") }]
}

/// A sandbox is over; its path begins with a slash.
pub(crate) fn garbage(directory: &str, since: Time) -> Change {
    Change::Put { key: format!("{GARBAGE}{directory}"), value: since.as_nanos().to_be_bytes().to_vec() }
}

pub(crate) fn forget_garbage(directory: &str) -> Change {
    Change::Delete { key: format!("{GARBAGE}{directory}") }
}

fn guest_key(guest: &Guest) -> String {
    let kind = if guest.session { SESSION } else { GUEST };
    format!("{kind}{}", guest.container)
}

pub(crate) fn guest(guest: &Guest) -> Change {
    Change::Put { key: guest_key(guest), value: guest.launch.encode_to_vec() }
}

pub(crate) fn forget_guest(guest: &Guest) -> [Change; 1] {
    [Change::Delete { key: guest_key(guest) }]
}

pub(crate) fn resources(resources: &Resources) -> Change {
    let message = CheckpointResourcesMessage { resources: resources.to_messages() };
    Change::Put { key: RESOURCES.to_owned(), value: message.encode_to_vec() }
}

pub(crate) fn draining(config: &DrainConfig) -> Change {
    Change::Put { key: DRAINING.to_owned(), value: config.encode_to_vec() }
}

pub(crate) fn drained() -> Change {
    Change::Delete { key: DRAINING.to_owned() }
}

fn operation_key(uuid: &[u8]) -> String {
    use std::fmt::Write as _;
    uuid.iter().fold(OPERATION.to_owned(), |mut key, byte| {
        // Writing to a String can't fail.
        write!(key, "{byte:02x}").unwrap_or_default();
        key
    })
}

pub(crate) fn operation(operation: &Operation) -> Change {
    Change::Put { key: operation_key(&operation.uuid.value), value: operation.encode_to_vec() }
}

pub(crate) fn forget_operation(uuid: &[u8]) -> Change {
    Change::Delete { key: operation_key(uuid) }
}

pub(crate) fn update(number: u64, update: &StatusUpdate) -> Change {
    Change::Put { key: format!("{UPDATE}{number:016x}"), value: update.encode_to_vec() }
}

pub(crate) fn forget_update(number: u64) -> Change {
    Change::Delete { key: format!("{UPDATE}{number:016x}") }
}

/// How an unseen end reads.
pub(crate) const UNSEEN: Termination = Termination::Unknown;
