//! Decides who is offered what: hierarchical dominant resource fairness over agents, roles and frameworks, driven by events.
//!
//! Never speaks to a framework, never knows offers or tasks: what it gives out stays given until `recover`.

mod terms;

pub use terms::{AgentTerms, AgentWhy, FrameworkCaps, FrameworkTerms, Offerable, Options, Quantities, Stage};

use base::{Duration, Rng, Time};
use model::resources::Resources;

/// Everything about who has what, and who is next.
#[derive(Debug)]
pub struct Allocator {
    options: Options,
}

#[allow(unused_variables)]
impl Allocator {
    /// Nobody and nothing yet.
    pub fn new(options: Options) -> Self {
        Self { options }
    }
    /// A framework subscribed, or is known again after a failover. What it has on agents is kept.
    pub fn add_framework(&mut self, id: &str, terms: FrameworkTerms, active: bool) {}
    /// Its roles, suppressions or capabilities changed.
    pub fn update_framework(&mut self, id: &str, terms: FrameworkTerms) {}
    /// It is gone. What it still has comes back by `recover`, before or after this.
    pub fn remove_framework(&mut self, id: &str) {}
    /// It is connected again; nothing it declined before holds.
    pub fn activate_framework(&mut self, id: &str) {}
    /// It is disconnected: no more offers.
    pub fn deactivate_framework(&mut self, id: &str) {}
    /// An agent registered, with what is used on it by (framework, role). Known ids are replaced.
    pub fn add_agent(&mut self, id: &str, terms: AgentTerms, used: &[(&str, &str, Resources)]) {}
    /// What it has changed. Returns whether it is known.
    pub fn update_agent(&mut self, id: &str, total: Resources) -> bool {
        false
    }
    /// Offers may be made of it (again).
    pub fn activate_agent(&mut self, id: &str) {}
    /// No more offers of it; what is used stays used.
    pub fn deactivate_agent(&mut self, id: &str) {}
    /// It is gone with all that was used on it; a later `recover` finds nothing.
    pub fn remove_agent(&mut self, id: &str) {}
    /// Resources come back. With `refuse` they were declined whole: they are kept from this (framework, role) for that
    /// long, at least for the decline floor. Without it (a task ended, the rest of an accepted offer) they are free at once.
    /// False if the agent is gone or less than that was given out there; what was given out is free all the same.
    pub fn recover(
        &mut self,
        framework: &str,
        agent: &str,
        role: &str,
        resources: &Resources,
        refuse: Option<Duration>,
        now: Time,
    ) -> bool {
        false
    }
    /// No offers in these roles (none: in all of its roles).
    pub fn suppress(&mut self, framework: &str, roles: &[String]) {}
    /// Offers again in these roles (none: in all of its roles), and nothing declined in them holds.
    pub fn revive(&mut self, framework: &str, roles: &[String]) {}
    /// The weight of a role; what is not a positive number is ignored.
    pub fn set_weight(&mut self, role: &str, weight: f64) {}
    /// Sets aside what can be offered now. Looks only at what changed since the last time.
    pub fn allocate(&mut self, now: Time, rng: &mut Rng) -> Vec<Offerable> {
        Vec::new()
    }
    /// Whether `allocate` has something to look at without waiting for the deadline.
    pub fn is_dirty(&self) -> bool {
        false
    }
    /// When the next refusal ends and `allocate` should run though nothing else happened.
    pub fn next_deadline(&self) -> Option<Time> {
        None
    }
    /// For every agent how far a framework's role gets there, and what `wanted` lacks; nearest miss first.
    pub fn explain(&self, framework: &str, role: &str, wanted: Option<&Resources>) -> Vec<AgentWhy> {
        Vec::new()
    }
    /// Everything that is given out of an agent.
    pub fn allocated_on(&self, agent: &str) -> Resources {
        Resources::new()
    }
    /// Panics if a stated invariant is broken.
    pub fn check(&self) {}
}
