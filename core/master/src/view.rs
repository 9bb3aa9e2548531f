//! What readers see of a master: plain references and counters, and a copy of its tables to read on from while it goes
//! on. Never rendered text (`endpoints`).

use crate::{
    Agent, Config, Counters, Framework, Master, Outstanding, Policy, Subscribers, Tables,
    allocator::Allocator,
};
use base::{Table, Time};
use model::mesos::{AgentInfo, InverseOffer, MasterInfo};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

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
    /// Unreachable agents and since when.
    pub fn unreachable(&self) -> &BTreeMap<String, Time> {
        &self.unreachable
    }
    /// Who is next, and why somebody is not.
    pub fn allocator(&self) -> &Allocator {
        &self.allocator
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
    /// Agents that are registered, by id.
    pub fn agents(&self) -> &Table<String, Agent> {
        &self.agents
    }
    /// Frameworks that have not ended, by id.
    pub fn frameworks(&self) -> &Table<String, Framework> {
        &self.frameworks
    }
    /// Ended frameworks, oldest first.
    pub fn completed_frameworks(&self) -> &VecDeque<Arc<Framework>> {
        &self.completed_frameworks
    }
    /// Agents of the registry that have not come back since the start.
    pub fn recovering(&self) -> &Table<String, AgentInfo> {
        &self.recovering
    }
    /// Outstanding offers, by id.
    pub fn offers(&self) -> &Table<String, Outstanding> {
        &self.offers
    }
    /// What operators decided.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
    /// Its tables as they are now. It costs next to nothing, whatever is in them.
    pub fn view(&self) -> View {
        View {
            id: self.id.clone(),
            info: self.info(),
            started: self.started,
            config: self.config.clone(),
            agents: self.agents.clone(),
            recovering: self.recovering.clone(),
            unreachable: self.unreachable.len(),
            frameworks: self.frameworks.clone(),
            completed_frameworks: self.completed_frameworks.clone(),
            offers: self.offers.clone(),
            inverse_offers: self.inverse.offers.clone(),
            policy: self.policy.clone(),
        }
    }
}

/// The tables of a master at one instant.
#[derive(Clone, Debug)]
pub struct View {
    /// The master's id.
    pub id: String,
    /// What it says of itself.
    pub info: MasterInfo,
    /// When it started.
    pub started: Time,
    /// Its settings.
    pub config: Arc<Config>,
    /// How many agents are unreachable.
    pub unreachable: usize,
    agents: Table<String, Agent>,
    recovering: Table<String, AgentInfo>,
    frameworks: Table<String, Framework>,
    completed_frameworks: VecDeque<Arc<Framework>>,
    offers: Table<String, Outstanding>,
    inverse_offers: Table<(String, String), InverseOffer>,
    policy: Arc<Policy>,
}

impl View {
    /// Whether nothing that readers are shown changed between two copies of one master's tables.
    pub fn same(&self, other: &Self) -> bool {
        self.agents.same(&other.agents)
            && self.recovering.same(&other.recovering)
            && self.unreachable == other.unreachable
            && self.frameworks.same(&other.frameworks)
            && self.completed_frameworks.len() == other.completed_frameworks.len()
            && self
                .completed_frameworks
                .iter()
                .zip(&other.completed_frameworks)
                .all(|(a, b)| Arc::ptr_eq(a, b))
            && self.offers.same(&other.offers)
            && self.inverse_offers.same(&other.inverse_offers)
            && Arc::ptr_eq(&self.policy, &other.policy)
    }
}

/// Both say the same of their tables.
macro_rules! tables {
    ($of:ty, $($inverse:tt)+) => {
        impl Tables for $of {
            fn agents(&self) -> &Table<String, Agent> {
                &self.agents
            }
            fn recovering(&self) -> &Table<String, AgentInfo> {
                &self.recovering
            }
            fn frameworks(&self) -> &Table<String, Framework> {
                &self.frameworks
            }
            fn completed_frameworks(&self) -> &VecDeque<Arc<Framework>> {
                &self.completed_frameworks
            }
            fn offers(&self) -> &Table<String, Outstanding> {
                &self.offers
            }
            fn inverse_offers(&self) -> &Table<(String, String), InverseOffer> {
                &self.$($inverse)+
            }
            fn policy(&self) -> &Policy {
                &self.policy
            }
        }
    };
}

tables!(Master, inverse.offers);
tables!(View, inverse_offers);
