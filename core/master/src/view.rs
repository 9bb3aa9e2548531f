//! What readers see of a master: plain references and counters. Never rendered text (`endpoints`).

use crate::{
    Agent, Config, Counters, Framework, Master, Outstanding, Policy, Subscribers, allocator::Allocator,
};
use base::Time;
use model::{mesos::AgentInfo, resources::Resources};
use std::collections::{BTreeMap, VecDeque};

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
    /// What operators decided.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
    /// Who listens to the operator's events.
    pub fn subscribers(&self) -> &Subscribers {
        &self.subscribers
    }
    /// Batches that are not durable yet.
    pub fn saves_waiting(&self) -> usize {
        self.saves.waiting()
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
