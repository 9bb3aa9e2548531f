//! What readers ask of the allocator beside explanations: counts for metrics. Never changes anything.

use super::Allocator;
use std::{collections::BTreeSet, sync::Arc};

impl Allocator {
    /// How many pairs of a framework of this role and an agent have a refusal that holds.
    pub fn filters_in(&self, role: &str) -> usize {
        let clients = self.frameworks.iter().filter_map(|(_, framework)| framework.clients.get(role));
        clients.map(|client| self.filters.agents_refused_by(client)).sum()
    }
    /// Whether a framework asked for no offers in a role.
    pub fn is_suppressed(&self, framework: &str, role: &str) -> bool {
        let client = self.client_of(framework, role).and_then(|client| self.tree.clients.get(client.0));
        client.is_some_and(|client| client.suppressed)
    }
    /// Frameworks that hold something of an agent, offered or used, each once.
    pub fn holders(&self, agent: &str) -> BTreeSet<Arc<str>> {
        let held = self.agent_of(agent).map(|ix| self.agents[ix].held()).unwrap_or_default();
        let clients = held.iter().filter_map(|(client, _)| self.tree.clients.get(client.0));
        clients.map(|client| self.frameworks[client.framework].id.clone()).collect()
    }
}
