//! What an agent must not forget: its id, its tasks, the updates that nobody acknowledged. Keys and values of it.

use crate::state::Task;
use model::{
    container::{ContainerId, Termination},
    mesos::{AgentInfo, FrameworkInfo, TaskInfo, internal::StatusUpdate},
    save::{Change, Records},
};
use prost::Message as _;

const AGENT: &str = "agent";
const BOOT: &str = "boot";
const FRAMEWORK: &str = "frameworks/";
const TASK: &str = "tasks/";
const UPDATE: &str = "updates/";

/// What was durable.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub agent: Option<AgentInfo>,
    pub boot_id: Option<String>,
    pub frameworks: Vec<FrameworkInfo>,
    /// Framework id, container, task.
    pub tasks: Vec<(String, ContainerId, TaskInfo)>,
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

pub(crate) fn forget_task(task: &Task) -> Change {
    Change::Delete { key: format!("{TASK}{}/{}", task.framework, task.container) }
}

pub(crate) fn update(number: u64, update: &StatusUpdate) -> Change {
    Change::Put { key: format!("{UPDATE}{number:016x}"), value: update.encode_to_vec() }
}

pub(crate) fn forget_update(number: u64) -> Change {
    Change::Delete { key: format!("{UPDATE}{number:016x}") }
}

/// How an unseen end reads.
pub(crate) const UNSEEN: Termination = Termination::Unknown;
