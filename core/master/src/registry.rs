//! What a master must not forget: which agents it admitted, which frameworks live, which ended. Keys and values of it.

use crate::Policy;
use model::{
    mesos::{AgentInfo, FrameworkInfo},
    save::{Change, Records},
};
use prost::Message as _;

const AGENT: &str = "agents/";
const UNREACHABLE: &str = "unreachable/";
const FRAMEWORK: &str = "frameworks/";
const COMPLETED: &str = "completed/";

/// The durable state as values.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Admitted agents.
    pub agents: Vec<AgentInfo>,
    /// Ids of agents that were unreachable.
    pub unreachable: Vec<String>,
    /// Frameworks that had not ended.
    pub frameworks: Vec<FrameworkInfo>,
    /// Ids of frameworks that had ended.
    pub completed: Vec<String>,
    /// What operators decided.
    pub policy: Policy,
}

impl Recovered {
    /// Reads the records; what does not parse is left out and counted.
    pub fn read(records: &Records) -> (Self, usize) {
        let mut recovered = Self::default();
        let mut broken = 0;
        for (key, value) in records {
            if key.starts_with(AGENT) {
                AgentInfo::decode(value.as_slice())
                    .map_or_else(|_| broken += 1, |a| recovered.agents.push(a));
            } else if key.starts_with(FRAMEWORK) {
                FrameworkInfo::decode(value.as_slice())
                    .map_or_else(|_| broken += 1, |f| recovered.frameworks.push(f));
            } else if let Some(id) = key.strip_prefix(UNREACHABLE) {
                recovered.unreachable.push(id.to_owned());
            } else if let Some(id) = key.strip_prefix(COMPLETED) {
                recovered.completed.push(id.to_owned());
            } else if recovered.policy.read(key, value) == Some(false) {
                broken += 1;
            }
        }
        (recovered, broken)
    }
}

/// An agent is admitted, or is back.
pub fn admit(id: &str, info: &AgentInfo) -> Vec<Change> {
    vec![
        Change::Put { key: format!("{AGENT}{id}"), value: info.encode_to_vec() },
        Change::Delete { key: format!("{UNREACHABLE}{id}") },
    ]
}

/// An agent did not answer.
pub fn unreachable(id: &str) -> Vec<Change> {
    vec![Change::Put { key: format!("{UNREACHABLE}{id}"), value: Vec::new() }]
}

/// An agent left.
pub fn remove_agent(id: &str) -> Vec<Change> {
    vec![Change::Delete { key: format!("{AGENT}{id}") }, Change::Delete { key: format!("{UNREACHABLE}{id}") }]
}

/// A framework lives, as it says of itself.
pub fn framework(id: &str, info: &FrameworkInfo) -> Vec<Change> {
    vec![Change::Put { key: format!("{FRAMEWORK}{id}"), value: info.encode_to_vec() }]
}

/// A framework ended; `forgotten` are ended ones that are dropped for it.
pub fn complete(id: &str, forgotten: Option<&str>) -> Vec<Change> {
    let mut changes = vec![
        Change::Delete { key: format!("{FRAMEWORK}{id}") },
        Change::Put { key: format!("{COMPLETED}{id}"), value: Vec::new() },
    ];
    changes.extend(forgotten.map(|id| Change::Delete { key: format!("{COMPLETED}{id}") }));
    changes
}
