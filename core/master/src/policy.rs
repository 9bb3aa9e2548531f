//! What operators decided, as a value: weights, quotas, maintenance, agents that are drained, switched off or gone.
//!
//! Never how a decision is validated or what follows from it (`operator`).

use base::Time;
use model::{
    mesos::{
        DrainInfo, DrainState, MachineId, Unavailability, maintenance::ClusterStatus, maintenance::Schedule,
        quota::QuotaConfig,
    },
    save::Change,
};
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};

const WEIGHT: &str = "weights/";
const QUOTA: &str = "quota/";
const SCHEDULE: &str = "maintenance/schedule";
const DOWN: &str = "maintenance/down";
const DRAINING: &str = "draining/";
const DEACTIVATED: &str = "deactivated/";
const GONE: &str = "gone/";

/// Everything that operators decided.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Weights that were set, by role.
    pub weights: BTreeMap<String, f64>,
    /// Quotas that were set, by role.
    pub quotas: BTreeMap<String, QuotaConfig>,
    /// The maintenance schedule.
    pub schedule: Schedule,
    /// Where in it a machine is.
    windows: BTreeMap<Machine, usize>,
    /// Machines that are down for maintenance, in the order in which they went.
    pub down: Vec<MachineId>,
    /// The same.
    are_down: BTreeSet<Machine>,
    /// Agents that are or were drained.
    pub draining: BTreeMap<String, DrainInfo>,
    /// Agents of which no offers are made.
    pub deactivated: BTreeSet<String>,
    /// Agents that never come back, and since when.
    pub gone: BTreeMap<String, Time>,
}

/// What ids of the same machine have in common: host names compare without case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Machine {
    hostname: String,
    ip: String,
}

impl From<&MachineId> for Machine {
    fn from(id: &MachineId) -> Self {
        Self { hostname: id.hostname().to_ascii_lowercase(), ip: id.ip().to_owned() }
    }
}

impl Policy {
    /// The weight of a role.
    pub fn weight(&self, role: &str) -> f64 {
        self.weights.get(role).copied().unwrap_or(1.0)
    }
    /// Takes in one durable record. False if it is none of this.
    pub(crate) fn read(&mut self, key: &str, value: &[u8]) -> Option<bool> {
        let text = || std::str::from_utf8(value).ok();
        let read = if let Some(role) = key.strip_prefix(WEIGHT) {
            let weight = text().and_then(|t| t.parse().ok());
            keep(weight, |weight| self.weights.insert(role.to_owned(), weight))
        } else if let Some(role) = key.strip_prefix(QUOTA) {
            keep(QuotaConfig::decode(value).ok(), |quota| self.quotas.insert(role.to_owned(), quota))
        } else if key == SCHEDULE {
            keep(Schedule::decode(value).ok(), |schedule| self.plan(schedule))
        } else if key == DOWN {
            keep(ClusterStatus::decode(value).ok(), |status| self.put_down(status.down_machines))
        } else if let Some(agent) = key.strip_prefix(DRAINING) {
            keep(DrainInfo::decode(value).ok(), |info| self.draining.insert(agent.to_owned(), info))
        } else if let Some(agent) = key.strip_prefix(DEACTIVATED) {
            keep(Some(()), |()| self.deactivated.insert(agent.to_owned()))
        } else if let Some(agent) = key.strip_prefix(GONE) {
            let at = text().and_then(|t| t.parse().ok()).map(Time::from_nanos);
            keep(at, |at| self.gone.insert(agent.to_owned(), at))
        } else {
            return None;
        };
        Some(read)
    }

    /// Whether no offers are made of this agent.
    pub fn is_deactivated(&self, agent: &str) -> bool {
        self.deactivated.contains(agent)
    }
    /// Whether its tasks are being ended.
    pub fn is_draining(&self, agent: &str) -> bool {
        self.draining.get(agent).is_some_and(|d| d.state() == DrainState::Draining)
    }
    /// Whether this machine is down for maintenance.
    pub fn is_down(&self, machine: &MachineId) -> bool {
        self.are_down.contains(&Machine::from(machine))
    }
    /// When this machine is away, if that is planned.
    pub fn unavailability(&self, machine: &MachineId) -> Option<&Unavailability> {
        let window = self.windows.get(&Machine::from(machine))?;
        self.schedule.windows.get(*window).map(|window| &window.unavailability)
    }
    /// This is the maintenance schedule now.
    pub(crate) fn plan(&mut self, schedule: Schedule) {
        self.windows.clear();
        for (at, window) in schedule.windows.iter().enumerate() {
            for machine in &window.machine_ids {
                self.windows.entry(machine.into()).or_insert(at);
            }
        }
        self.schedule = schedule;
    }
    /// These machines are down now.
    pub(crate) fn put_down(&mut self, machines: Vec<MachineId>) {
        self.are_down = machines.iter().map(Machine::from).collect();
        self.down = machines;
    }
}

/// Whether there was something to keep.
fn keep<T, R>(read: Option<T>, put: impl FnOnce(T) -> R) -> bool {
    read.map(put).is_some()
}

pub(crate) fn put_weight(role: &str, weight: f64) -> Change {
    Change::Put { key: format!("{WEIGHT}{role}"), value: weight.to_string().into_bytes() }
}
pub(crate) fn put_quota(config: &QuotaConfig) -> Change {
    let key = format!("{QUOTA}{}", config.role);
    if config.guarantees.is_empty() && config.limits.is_empty() {
        Change::Delete { key }
    } else {
        Change::Put { key, value: config.encode_to_vec() }
    }
}
pub(crate) fn put_schedule(schedule: &Schedule) -> Change {
    Change::Put { key: SCHEDULE.to_owned(), value: schedule.encode_to_vec() }
}
pub(crate) fn put_down(machines: &[MachineId]) -> Change {
    let status = ClusterStatus { down_machines: machines.to_vec(), ..Default::default() };
    Change::Put { key: DOWN.to_owned(), value: status.encode_to_vec() }
}
pub(crate) fn put_draining(agent: &str, info: &DrainInfo) -> Change {
    Change::Put { key: format!("{DRAINING}{agent}"), value: info.encode_to_vec() }
}
pub(crate) fn put_deactivated(agent: &str) -> Change {
    Change::Put { key: format!("{DEACTIVATED}{agent}"), value: Vec::new() }
}
/// The agent is as if nobody had ever drained or deactivated it.
pub(crate) fn forget_agent(agent: &str) -> [Change; 2] {
    [
        Change::Delete { key: format!("{DRAINING}{agent}") },
        Change::Delete { key: format!("{DEACTIVATED}{agent}") },
    ]
}
pub(crate) fn put_gone(agent: &str, at: Time) -> Change {
    Change::Put { key: format!("{GONE}{agent}"), value: at.as_nanos().to_string().into_bytes() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_is_read_again() {
        let mut quota = QuotaConfig { role: "eng".into(), ..Default::default() };
        quota.limits.insert("cpus".into(), model::mesos::value::Scalar { value: 2.0 });
        let machine = MachineId { hostname: Some("Host".into()), ip: Some("10.0.0.1".into()) };
        let window = model::mesos::maintenance::Window {
            machine_ids: vec![machine.clone()],
            unavailability: Unavailability::default(),
        };
        let schedule = Schedule { windows: vec![window] };
        let mut drain = DrainInfo::default();
        drain.set_state(DrainState::Draining);
        let changes = [
            put_weight("a/b", 2.5),
            put_quota(&quota),
            put_schedule(&schedule),
            put_down(std::slice::from_ref(&machine)),
            put_draining("s", &drain),
            put_deactivated("s"),
            put_gone("t", Time::from_nanos(7)),
        ];
        let mut policy = Policy::default();
        for change in changes {
            let Change::Put { key, value } = change else { panic!("a put") };
            assert_eq!(policy.read(&key, &value), Some(true), "{key}");
        }
        assert_eq!(policy.weights["a/b"], 2.5);
        assert_eq!(policy.quotas["eng"], quota);
        let same = MachineId { hostname: Some("hOST".into()), ip: machine.ip.clone() };
        assert!(policy.is_down(&same) && policy.unavailability(&same).is_some());
        assert!(policy.is_draining("s") && policy.is_deactivated("s") && policy.gone.contains_key("t"));
        assert_eq!(policy.read("agents/x", b""), None);
        assert_eq!(policy.read("weights/x", b"no number"), Some(false));
        assert!(matches!(
            put_quota(&QuotaConfig { role: "x".into(), ..Default::default() }),
            Change::Delete { .. }
        ));
    }
}
