//! What happens to agents and to what they have, and whom that makes worth a look.
//!
//! Nothing is given out here. Every event is total: what is not known is ignored.

use super::{AgentTerms, Allocator, agents::Agent, filters::AgentIx, quota, sorter::ClientIx};
use base::{Duration, Time};
use model::resources::Resources;
use std::borrow::Cow;

impl Allocator {
    /// An agent registered, with what is used on it by (framework, role). A known id is replaced; what was declined on
    /// it holds further, unless its attributes changed (upstream's hierarchical.cpp, `updateSlave`).
    pub fn add_agent(&mut self, id: &str, terms: AgentTerms, used: &[(&str, &str, Resources)]) {
        let same = |ix: &AgentIx| self.agents[*ix].more.traits.attributes == terms.traits.attributes;
        let declined = match self.agent_of(id).filter(same) {
            Some(ix) => self.filters.take_agent(&mut self.agents, ix),
            None => Vec::new(),
        };
        self.remove_agent(id);
        let tight = self.quotas.tight();
        self.quotas.seen(&terms.total);
        self.tree.change_total(&Resources::new(), &terms.total);
        self.quotas.reserved(&terms.total, 1);
        let kind = self.fits.enter(&terms.traits);
        let ix = self.agents.insert(Agent::new(id.into(), terms, kind));
        self.agent_ids.insert(ix, |place| &self.agents[place].id);
        for refusal in declined {
            // A framework that held something here alone is forgotten with it.
            if self.tree.clients.get(refusal.client().0).is_some() {
                self.filters.put_back(&mut self.agents, ix, refusal);
            }
        }
        for (framework, role, resources) in used.iter().filter(|(_, _, resources)| !resources.is_empty()) {
            let framework = self.framework(framework);
            let client = self.client(framework, role);
            self.note_held(ix, client, resources);
        }
        self.free_changed(ix);
        self.quotas_changed(tight);
    }
    /// What it has changed. Returns whether it is known.
    pub fn update_agent(&mut self, id: &str, total: Resources) -> bool {
        let Some(ix) = self.agent_of(id) else { return false };
        let tight = self.quotas.tight();
        self.quotas.seen(&total);
        self.tree.change_total(&self.agents[ix].total, &total);
        self.quotas.reserved(&self.agents[ix].total, -1);
        self.quotas.reserved(&total, 1);
        self.agents[ix].set_total(total);
        self.free_changed(ix);
        self.quotas_changed(tight);
        true
    }
    /// What a client holds on an agent becomes something else, and the agent with it: a reservation, a volume, the way
    /// back. False if it does not hold that.
    pub fn convert(
        &mut self,
        framework: &str,
        agent: &str,
        role: &str,
        consumed: &Resources,
        converted: &Resources,
    ) -> bool {
        let (Some(ix), Some(client)) = (self.agent_of(agent), self.client_of(framework, role)) else {
            return false;
        };
        let tight = self.quotas.tight();
        let before = self.agents[ix].total.clone();
        let held = self.agents[ix].held_by(client).cloned().unwrap_or_default();
        if !self.agents[ix].convert(client, consumed, converted) {
            return false;
        }
        self.quotas.seen(&self.agents[ix].total);
        self.tree.change_total(&before, &self.agents[ix].total);
        self.shift_share(ix, client, Some(held), converted, false);
        self.quotas.reserved(&before, -1);
        self.quotas.reserved(&self.agents[ix].total, 1);
        self.held(client, consumed, -1);
        self.held(client, converted, 1);
        self.freed(ix, tight);
        true
    }
    /// What is free on an agent becomes something else: an operator's reservation, a volume, the way back. False if
    /// that is not free.
    pub fn convert_free(&mut self, agent: &str, consumed: &Resources, converted: &Resources) -> bool {
        let Some(ix) = self.agent_of(agent) else { return false };
        let tight = self.quotas.tight();
        let before = self.agents[ix].total.clone();
        if !self.agents[ix].convert_free(consumed, converted) {
            return false;
        }
        self.quotas.seen(&self.agents[ix].total);
        self.tree.change_total(&before, &self.agents[ix].total);
        self.quotas.reserved(&before, -1);
        self.quotas.reserved(&self.agents[ix].total, 1);
        self.free_changed(ix);
        self.quotas_changed(tight);
        true
    }
    /// A client holds more of an agent than it was offered: further uses of what is shared, or what an agent says of
    /// itself. False if agent or client is not known.
    pub fn hold(&mut self, framework: &str, agent: &str, role: &str, resources: &Resources) -> bool {
        let (Some(ix), false) = (self.agent_of(agent), resources.is_empty()) else { return false };
        let tight = self.quotas.tight();
        let framework = self.framework(framework);
        let client = self.client(framework, role);
        self.note_held(ix, client, resources);
        self.freed(ix, tight);
        true
    }
    fn note_held(&mut self, ix: AgentIx, client: ClientIx, resources: &Resources) {
        let before = self.shared_share(ix, client, resources);
        if self.agents[ix].note_held(client, resources) {
            self.tree.clients[client.0].holds += 1;
        }
        self.shift_share(ix, client, before, resources, false);
        self.held(client, resources, 1);
    }
    /// What a client holds on an agent, if some of it may be counted once though it is held several times.
    pub(super) fn shared_share(&self, ix: AgentIx, client: ClientIx, more: &Resources) -> Option<Resources> {
        let agent = &self.agents[ix];
        let shared = agent.shared || more.has_shared();
        shared.then(|| agent.held_by(client).cloned().unwrap_or_default())
    }
    /// Brings a client's share up to date after it was given something.
    pub(super) fn shift_share(
        &mut self,
        ix: AgentIx,
        client: ClientIx,
        before: Option<Resources>,
        more: &Resources,
        counts: bool,
    ) {
        match before {
            None => self.tree.charge(client, more, counts),
            Some(before) => {
                self.tree.release(client, &before);
                let now = self.agents[ix].held_by(client).cloned().unwrap_or_default();
                self.tree.charge(client, &now, counts);
            }
        }
    }
    /// Offers may be made of it (again).
    pub fn activate_agent(&mut self, id: &str) {
        let Some(ix) = self.agent_of(id) else { return };
        let tight = self.quotas.tight();
        if !std::mem::replace(&mut self.agents[ix].active, true) {
            self.free_changed(ix);
            self.quotas_changed(tight);
        }
    }
    /// No more offers of it; what is held stays held.
    pub fn deactivate_agent(&mut self, id: &str) {
        let Some(ix) = self.agent_of(id) else { return };
        let tight = self.quotas.tight();
        self.agents[ix].active = false;
        self.free_changed(ix);
        self.quotas_changed(tight);
    }
    /// It is gone with all that was held there; a later `recover` finds nothing.
    pub fn remove_agent(&mut self, id: &str) {
        let Some(ix) = self.agent_ids.remove(id, |place| &self.agents[place].id) else { return };
        let tight = self.quotas.tight();
        self.filters.drop_agent(&mut self.agents, ix);
        self.with_free.remove(ix);
        self.dirty.forget_agent(ix);
        self.later.dirty.forget_agent(ix);
        let Some(agent) = self.agents.remove(ix) else { return };
        self.fits.leave(agent.kind);
        self.tree.change_total(&agent.total, &Resources::new());
        self.quotas.reserved(&agent.total, -1);
        self.quotas.freed(&agent.more.counted, &[0; quota::QUOTA_KINDS_MAX]);
        for (client, resources) in agent.held() {
            self.tree.release(*client, resources);
            self.held(*client, resources, -1);
            self.let_go(*client);
        }
        self.quotas_changed(tight);
    }

    /// Resources come back. With `refuse` they were declined whole: they are kept from this (framework, role) for that
    /// long, at least for the decline floor. Without it (a task ended, the rest of an accepted offer) they are free at
    /// once. False if the agent is gone or less than that was held there; what was held is free all the same.
    pub fn recover(
        &mut self,
        framework: &str,
        agent: &str,
        role: &str,
        resources: &Resources,
        refuse: Option<Duration>,
        now: Time,
    ) -> bool {
        let (Some(ix), Some(client)) = (self.agent_of(agent), self.client_of(framework, role)) else {
            return false;
        };
        let tight = self.quotas.tight();
        let before = self.shared_share(ix, client, resources);
        let (back, none_left) = self.agents[ix].take_back(client, resources);
        if back.is_empty() {
            return resources.is_empty();
        }
        match before {
            None => self.tree.release(client, &back),
            before => self.shift_share(ix, client, before, &back, false),
        }
        self.held(client, &back, -1);
        let whole = matches!(back, Cow::Borrowed(_)) || *back == *resources;
        if let Some(refuse) = refuse {
            let until = now + refuse.max(self.options.decline_floor);
            self.filters.refuse(&mut self.agents, ix, client, &back, until);
        }
        self.freed(ix, tight);
        if let Some(interval) = self.options.interval {
            self.later.wait(super::cycle::Dirty::default(), now, interval);
        }
        if none_left {
            self.let_go(client);
        }
        whole
    }

    /// What is free has changed by what a client did: it is looked at when the interval is over, where there is one.
    fn freed(&mut self, ix: AgentIx, tight: bool) {
        let at_once = self.options.interval.map(|_| std::mem::take(&mut self.dirty));
        self.free_changed(ix);
        self.quotas_changed(tight);
        if let Some(at_once) = at_once {
            let freed = std::mem::replace(&mut self.dirty, at_once);
            self.later.add(freed);
        }
    }
    /// Something about what is free on an agent changed: everyone may be interested.
    pub(super) fn free_changed(&mut self, ix: AgentIx) {
        if !self.quotas.is_empty() {
            self.recount(ix);
        }
        let agent = &self.agents[ix];
        if !agent.active || agent.free.is_empty() {
            self.with_free.remove(ix);
            return;
        }
        self.with_free.insert(ix);
        self.dirty.agents.insert(ix);
    }
}
