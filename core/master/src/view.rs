//! What readers see of a master: plain references and counters. Never rendered text (`endpoints`).

use crate::{Agent, Config, Framework, Master, Outstanding, allocator::Allocator};
use base::Time;
use model::{
    mesos::{AgentInfo, TaskState},
    resources::Resources,
};
use std::collections::{BTreeMap, VecDeque};

/// What has happened since the start.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Scheduler calls.
    pub calls: u64,
    /// Offers made.
    pub offers: u64,
    /// Operations on resources that were applied.
    pub operations: u64,
    /// Tasks sent to agents.
    pub launched: u64,
    /// Status updates received.
    pub updates: u64,
    /// Of those, for unknown frameworks.
    pub updates_dropped: u64,
    /// Messages from processes that may not say them.
    pub messages_dropped: u64,
    /// Reconciliation calls.
    pub reconciliations: u64,
    /// Batches that the store refused.
    pub saves_failed: u64,
    /// Records of the registry that did not parse at the start.
    pub registry_records_broken: u64,
    /// Ended tasks by state.
    pub ended: BTreeMap<&'static str, u64>,
}

impl Counters {
    pub(crate) fn ended(&mut self, state: TaskState) {
        *self.ended.entry(state.as_str_name()).or_default() += 1;
    }
}

impl Master {
    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }
    /// Its id, new at each start.
    pub fn id(&self) -> &str {
        &self.id
    }
    /// When it started.
    pub fn started(&self) -> Time {
        self.started
    }
    /// Frameworks that have not ended, by id.
    pub fn frameworks(&self) -> &BTreeMap<String, Framework> {
        &self.frameworks
    }
    /// Ended frameworks, oldest first.
    pub fn completed_frameworks(&self) -> &VecDeque<Framework> {
        &self.completed_frameworks
    }
    /// Agents that are registered, by id.
    pub fn agents(&self) -> &BTreeMap<String, Agent> {
        &self.agents
    }
    /// Agents of the registry that have not come back since the start.
    pub fn recovering(&self) -> &BTreeMap<String, AgentInfo> {
        &self.recovering
    }
    /// Unreachable agents and since when.
    pub fn unreachable(&self) -> &BTreeMap<String, Time> {
        &self.unreachable
    }
    /// Outstanding offers, by id.
    pub fn offers(&self) -> &BTreeMap<String, Outstanding> {
        &self.offers
    }
    /// Who is next, and why somebody is not.
    pub fn allocator(&self) -> &Allocator {
        &self.allocator
    }
    /// What has happened since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
    /// What is offered of an agent.
    pub fn offered_on(&self, agent: &Agent) -> Resources {
        let mut sum = Resources::default();
        for offer in agent.offers.iter().filter_map(|id| self.offers.get(id)) {
            sum += &offer.resources;
        }
        sum
    }
    /// What tasks and executors use of an agent.
    pub fn used_on(&self, agent: &Agent) -> Resources {
        let mut sum = Resources::default();
        for (framework, task) in &agent.tasks {
            let task = self.frameworks.get(framework).and_then(|f| f.tasks.get(task));
            let Some(task) = task.filter(|t| !crate::is_terminal(t.state())) else { continue };
            if let Ok(used) = Resources::from_messages(&task.resources) {
                sum += &used;
            }
        }
        for executor in agent.executors.values() {
            if let Ok(used) = Resources::from_messages(&executor.resources) {
                sum += &used;
            }
        }
        sum
    }
}
