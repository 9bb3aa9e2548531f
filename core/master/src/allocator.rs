//! Decides who is offered what: hierarchical dominant resource fairness over agents, roles and frameworks, driven by events.
//!
//! Never speaks to a framework, never knows offers or tasks: what it gives out stays given until `recover`.

mod agents;
mod allowances;
mod constraints;
mod cycle;
mod events;
mod explain;
mod filters;
mod fits;
mod ids;
mod invariants;
mod later;
mod marks;
mod members;
mod queue;
mod quota;
mod reads;
mod roles;
mod shares;
mod sorter;
mod terms;

pub use constraints::{Constraints, Traits};
pub(crate) use quota::QUOTA_KINDS_MAX;
pub use quota::Quota;
pub use terms::{
    AgentTerms, AgentWhy, FrameworkCaps, FrameworkTerms, Offerable, Options, Order, Quantities, Stage,
};

use agents::Agent;
use base::Time;
use cycle::Dirty;
use filters::{AgentIx, Filters};
use fits::Fits;
use ids::Ids;
use later::Later;
use marks::Marks;
use members::Clients;
use model::resources::{Name, Resources};
use roles::{Slab, Tree};
use sorter::ClientIx;
use std::{collections::BTreeMap, sync::Arc};

/// A framework and its place in every role it is or was in. What every event looks at is one line of memory.
#[derive(Debug)]
#[repr(align(64))]
struct Framework {
    id: Arc<str>,
    clients: Clients,
    terms: Box<FrameworkTerms>,
    /// Of its terms.
    capabilities: FrameworkCaps,
    /// Whether its terms have constraints or least offers of its own.
    picky: bool,
    /// Whether it was added, not merely seen as the holder of something.
    known: bool,
    active: bool,
}

/// Everything about who has what, and who is next.
#[derive(Debug)]
pub struct Allocator {
    options: Options,
    /// Its least offers, with names that compare fast.
    least: Vec<Vec<(Name, i64)>>,
    tree: Tree,
    agents: Slab<Agent>,
    agent_ids: Ids,
    frameworks: Slab<Framework>,
    framework_ids: Ids,
    filters: Filters,
    fits: Fits,
    /// Roles where a framework has least offers of its own, and how many have.
    own_least: BTreeMap<String, u32>,
    quotas: quota::Quotas,
    /// Active agents where something is free.
    with_free: Marks,
    dirty: Dirty,
    /// Counts the allocations before which clients changed.
    changes: u32,
    /// What is looked at when the interval is over.
    later: Later,
    /// After a restart with quotas: nothing is given out before so many agents are there, or it is then.
    awaited: Option<(usize, Time)>,
}

impl Allocator {
    /// Nobody and nothing yet.
    pub fn new(options: Options) -> Self {
        Self {
            tree: Tree::new(&options.excluded_from_share, options.role_order, options.framework_order),
            quotas: quota::Quotas::new(options.limits_bind_subtrees),
            least: options
                .min_allocatable
                .iter()
                .map(|one| one.iter().map(|(name, milli)| (name.as_str().into(), *milli)).collect())
                .collect(),
            options,
            agents: Slab::new(),
            agent_ids: Ids::default(),
            frameworks: Slab::new(),
            framework_ids: Ids::default(),
            filters: Filters::default(),
            fits: Fits::new(),
            own_least: BTreeMap::new(),
            with_free: Marks::default(),
            dirty: Dirty::default(),
            changes: 0,
            later: Later::default(),
            awaited: None,
        }
    }
    /// Gives nothing out until so many agents are there, or it is then: from a part of them, roles would be given what
    /// others are guaranteed, and more than their limits (hierarchical.cpp, `recover`).
    pub fn await_agents(&mut self, agents: usize, until: Time) {
        self.awaited = Some((agents, until));
    }
    /// Whether it still waits for agents.
    pub fn is_waiting(&self) -> bool {
        self.awaited.is_some_and(|(agents, _)| self.agents.len() < agents)
    }
    /// The weight of a role, 1 unless set; what is not a positive number is ignored. False if it was ignored.
    pub fn set_weight(&mut self, role: &str, weight: f64) -> bool {
        self.tree.set_weight(role, weight)
    }
    /// The weight of a role.
    pub fn weight(&self, role: &str) -> f64 {
        self.tree.weight(role)
    }
    /// The quota of a top-level role, if it has one.
    pub fn quota(&self, role: &str) -> Option<&Quota> {
        self.quotas.get(role)
    }
    /// All quotas, by role.
    pub fn quotas(&self) -> impl Iterator<Item = (&str, &Quota)> {
        self.quotas.roles()
    }
    /// What the subtree of a role with a quota consumes of what quotas name, in thousandths.
    pub fn consumed(&self, role: &str) -> Quantities {
        self.quotas.consumed(role)
    }
    /// Whether `allocate` has something to look at without waiting for the deadline.
    pub fn is_dirty(&self) -> bool {
        !self.is_waiting() && (!self.dirty.is_empty() || self.later.is_untimed())
    }
    /// When the next refusal or an interval ends, and `allocate` should run though nothing else happened.
    pub fn next_deadline(&self) -> Option<Time> {
        if self.is_waiting() {
            return self.awaited.map(|(_, until)| until);
        }
        [self.filters.next_end(), self.later.at].into_iter().flatten().min()
    }
    /// Everything that is given out of an agent.
    pub fn allocated_on(&self, agent: &str) -> Resources {
        self.agent_of(agent).map(|ix| self.agents[ix].held_by_all()).unwrap_or_default()
    }
    /// What is free on an agent.
    pub fn free_on(&self, agent: &str) -> Resources {
        self.agent_of(agent).map(|ix| self.agents[ix].free.clone()).unwrap_or_default()
    }
    fn agent_of(&self, id: &str) -> Option<AgentIx> {
        self.agent_ids.find(id, |ix| &self.agents[ix].id)
    }
    fn framework_of(&self, id: &str) -> Option<u32> {
        self.framework_ids.find(id, |ix| &self.frameworks[ix].id)
    }
    fn client_of(&self, framework: &str, role: &str) -> Option<ClientIx> {
        self.frameworks[self.framework_of(framework)?].clients.get(role)
    }
}

#[cfg(test)]
mod tests;
