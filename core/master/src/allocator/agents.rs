//! One agent's ledger: what it has, who holds what of it, what is free.
//!
//! Never lets more go than is free. An agent may hold more than it has (it shrank): then nothing is free until it fits.

use super::sorter::ClientIx;
use model::resources::Resources;
use std::sync::Arc;

/// An agent and who holds what of it.
#[derive(Debug)]
pub(super) struct Agent {
    pub id: Arc<str>,
    pub hostname: String,
    pub hierarchical_roles: bool,
    pub remote_region: bool,
    /// Whether offers may be made of it.
    pub active: bool,
    pub total: Resources,
    pub free: Resources,
    /// Whether all it has is of use to every role and framework alike.
    pub uniform: bool,
    pub gpus: bool,
    /// By client, sorted.
    held: Vec<(ClientIx, Resources)>,
    /// Whether more is held than there is, so that `free` is not simply the rest.
    over: bool,
}

impl Agent {
    pub(super) fn new(id: Arc<str>, terms: super::AgentTerms) -> Self {
        let mut agent = Self {
            id,
            hostname: terms.hostname,
            hierarchical_roles: terms.hierarchical_roles,
            remote_region: terms.remote_region,
            active: true,
            total: Resources::new(),
            free: Resources::new(),
            uniform: true,
            gpus: false,
            held: Vec::new(),
            over: false,
        };
        agent.set_total(terms.total);
        agent
    }
    pub(super) fn set_total(&mut self, total: Resources) {
        self.uniform = total.iter().all(|item| item.kind.is_plain());
        self.gpus = total.milli("gpus") > 0;
        self.total = total;
        self.reckon();
    }
    fn reckon(&mut self) {
        let held = self.held_by_all();
        self.over = !self.total.contains(&held);
        self.free = self.total.difference(&held);
    }
    pub(super) fn held_by_all(&self) -> Resources {
        self.held.iter().map(|(_, resources)| resources).sum()
    }
    pub(super) fn held(&self) -> &[(ClientIx, Resources)] {
        &self.held
    }
    /// What one client holds.
    pub(super) fn held_by(&self, client: ClientIx) -> Option<&Resources> {
        let at = self.held.binary_search_by_key(&client, |(holder, _)| *holder).ok()?;
        Some(&self.held[at].1)
    }
    /// Notes that a client holds more, whether or not there is as much. True if it held nothing before.
    pub(super) fn note_held(&mut self, client: ClientIx, resources: &Resources) -> bool {
        let new = self.hold(client, resources);
        self.reckon();
        new
    }
    fn hold(&mut self, client: ClientIx, resources: &Resources) -> bool {
        match self.held.binary_search_by_key(&client, |(holder, _)| *holder) {
            Ok(at) => {
                self.held[at].1 += resources;
                false
            }
            Err(at) => {
                self.held.insert(at, (client, resources.clone()));
                true
            }
        }
    }
    /// Gives a client what is free. True if it held nothing before.
    pub(super) fn give(&mut self, client: ClientIx, resources: &Resources) -> bool {
        self.free.cut(resources);
        self.hold(client, resources)
    }
    /// Takes back from a client, at most what it holds. What came back, and whether it holds nothing now.
    pub(super) fn take_back(&mut self, client: ClientIx, resources: &Resources) -> (Resources, bool) {
        let Ok(at) = self.held.binary_search_by_key(&client, |(holder, _)| *holder) else {
            return (Resources::new(), false);
        };
        let held = &mut self.held[at].1;
        let back = match held.subtract(resources) {
            Ok(()) => resources.clone(),
            Err(_) => {
                let rest = held.difference(resources);
                let back = held.difference(&rest);
                *held = rest;
                back
            }
        };
        let none = held.is_empty();
        if none {
            self.held.remove(at);
        }
        if self.over {
            self.reckon();
        } else {
            self.free += &back;
        }
        (back, none)
    }
    /// Panics if the ledger does not add up.
    pub(super) fn check(&self) {
        let held = self.held_by_all();
        assert!(self.held.windows(2).all(|pair| pair[0].0 < pair[1].0), "{}: holders in order", self.id);
        assert!(self.held.iter().all(|(_, held)| !held.is_empty()), "{}: no empty holding", self.id);
        assert!(self.over || self.total.contains(&held), "{}: {held} held of {}", self.id, self.total);
        assert_eq!(self.free, self.total.difference(&held), "{}: free is what is not held", self.id);
        assert!(self.total.contains(&(self.free.clone())), "{}: free is part of the total", self.id);
    }
}
