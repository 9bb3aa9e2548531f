//! What an agent must not forget: its id, its tasks, the updates that nobody acknowledged. Keys and values of it.

use crate::state::{Cause, Task};
use base::Duration;
use model::{
    container::{ContainerId, Termination},
    mesos::{AgentInfo, FrameworkInfo, TaskInfo, internal::StatusUpdate},
    save::{Change, Records},
};
use prost::Message as _;
use std::collections::BTreeMap;

const AGENT: &str = "agent";
const BOOT: &str = "boot";
const FRAMEWORK: &str = "frameworks/";
const TASK: &str = "tasks/";
const UPDATE: &str = "updates/";
const KILL: &str = "kills/";
const PID: &str = "pids/";

/// What was durable.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub agent: Option<AgentInfo>,
    pub boot_id: Option<String>,
    pub frameworks: Vec<FrameworkInfo>,
    /// Framework id, container, task.
    pub tasks: Vec<(String, ContainerId, TaskInfo)>,
    /// By container: its first process, where it was started and the agent had heard so.
    pub pids: BTreeMap<ContainerId, u32>,
    /// By container: why its task is to end, and in which time.
    pub kills: BTreeMap<ContainerId, (Cause, Duration)>,
    /// Unacknowledged updates in the order in which they were made.
    pub updates: Vec<(u64, StatusUpdate)>,
    pub broken: u64,
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
                match (rest.split_once('/'), TaskInfo::decode(value.as_slice())) {
                    (Some((framework, container)), Ok(info)) => {
                        found.tasks.push((framework.to_owned(), ContainerId(container.to_owned()), info));
                        true
                    }
                    _ => false,
                }
            } else if let Some(rest) = key.strip_prefix(PID) {
                match (rest.split_once('/'), <[u8; 4]>::try_from(value.as_slice())) {
                    (Some((_, container)), Ok(pid)) => {
                        found.pids.insert(ContainerId(container.to_owned()), u32::from_be_bytes(pid));
                        true
                    }
                    _ => false,
                }
            } else if let Some(rest) = key.strip_prefix(KILL) {
                match (rest.split_once('/'), read_kill(value)) {
                    (Some((_, container)), Some(kill)) => {
                        found.kills.insert(ContainerId(container.to_owned()), kill);
                        true
                    }
                    _ => false,
                }
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

pub(crate) fn task(task: &Task) -> Change {
    Change::Put {
        key: format!("{TASK}{}/{}", task.framework, task.container),
        value: task.info.encode_to_vec(),
    }
}

/// The task and all that is kept beside it.
pub(crate) fn forget_task(task: &Task) -> [Change; 3] {
    [TASK, PID, KILL]
        .map(|kind| Change::Delete { key: format!("{kind}{}/{}", task.framework, task.container) })
}

/// Its container was started. The updates that say so are forgotten when they are acknowledged; this is not.
pub(crate) fn pid(task: &Task, pid: u32) -> Change {
    let key = format!("{PID}{}/{}", task.framework, task.container);
    Change::Put { key, value: pid.to_be_bytes().to_vec() }
}

/// One byte for the cause, then nanoseconds of grace. Not an instant: a clock may have jumped when it is read again.
pub(crate) fn kill(task: &Task, grace: Duration) -> Change {
    let cause = match task.cause {
        Cause::Own => 0,
        Cause::Killed => 1,
        Cause::Unhealthy => 2,
        Cause::TooLong => 3,
    };
    let nanos = u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX);
    let mut value = vec![cause];
    value.extend(nanos.to_be_bytes());
    Change::Put { key: format!("{KILL}{}/{}", task.framework, task.container), value }
}

fn read_kill(value: &[u8]) -> Option<(Cause, Duration)> {
    let (cause, nanos) = value.split_first()?;
    let cause = match cause {
        0 => Cause::Own,
        1 => Cause::Killed,
        2 => Cause::Unhealthy,
        3 => Cause::TooLong,
        _ => return None,
    };
    Some((cause, Duration::from_nanos(u64::from_be_bytes(nanos.try_into().ok()?))))
}

pub(crate) fn update(number: u64, update: &StatusUpdate) -> Change {
    Change::Put { key: format!("{UPDATE}{number:016x}"), value: update.encode_to_vec() }
}

pub(crate) fn forget_update(number: u64) -> Change {
    Change::Delete { key: format!("{UPDATE}{number:016x}") }
}

/// How an unseen end reads.
pub(crate) const UNSEEN: Termination = Termination::Unknown;
