//! What happens to frameworks, agents and resources, and whom that makes worth a look.
//!
//! Nothing is given out here. Every event is total: what is not known is ignored.

use super::{
    AgentTerms, Allocator, Framework, FrameworkTerms, agents::Agent, filters::AgentIx, sorter::ClientIx,
};
use base::{Duration, Time};
use model::resources::Resources;

impl Allocator {
    /// A framework subscribed, or is known again after a failover. What it holds on agents stays its.
    pub fn add_framework(&mut self, id: &str, terms: FrameworkTerms, active: bool) {
        let ix = self.framework(id);
        self.frameworks[ix].known = true;
        self.frameworks[ix].active = active;
        self.update_framework(id, terms);
    }
    /// Its roles, suppressions or capabilities changed. What it declined stays declined.
    pub fn update_framework(&mut self, id: &str, terms: FrameworkTerms) {
        let Some(ix) = self.framework_of(id) else { return };
        for role in &terms.roles {
            self.client(ix, role);
        }
        let framework = &mut self.frameworks[ix];
        let other = framework.terms.capabilities != terms.capabilities
            || framework.terms.min_allocatable != terms.min_allocatable;
        framework.terms = terms;
        let framework = &self.frameworks[ix];
        for (role, client) in framework.clients.clone() {
            let terms = &self.frameworks[ix].terms;
            let subscribed = terms.roles.iter().any(|other| **other == *role);
            let suppressed = terms.suppressed.iter().any(|other| **other == *role);
            if let Some(seat) = self.tree.clients.get_mut(client.0) {
                (seat.subscribed, seat.suppressed) = (subscribed, suppressed);
            }
            self.reseat(client);
            if other {
                self.want(client);
            }
        }
        self.prune(ix);
    }
    /// It is gone. What it still holds comes back by `recover`, before or after this.
    pub fn remove_framework(&mut self, id: &str) {
        let Some(ix) = self.framework_of(id) else { return };
        self.frameworks[ix].known = false;
        self.deactivate_framework(id);
        self.update_framework(id, FrameworkTerms::default());
    }
    /// It is connected again.
    pub fn activate_framework(&mut self, id: &str) {
        self.set_active(id, true);
    }
    /// It is disconnected: no more offers, and nothing it declined holds.
    pub fn deactivate_framework(&mut self, id: &str) {
        self.set_active(id, false);
    }
    fn set_active(&mut self, id: &str, active: bool) {
        let Some(ix) = self.framework_of(id) else { return };
        self.frameworks[ix].active = active;
        let clients: Vec<_> = self.frameworks[ix].clients.values().copied().collect();
        for client in clients {
            if !active {
                self.filters.drop_client(client);
            }
            self.reseat(client);
        }
    }
    /// No offers in these roles (none: in all of its roles).
    pub fn suppress(&mut self, framework: &str, roles: &[String]) {
        for client in self.clients_in(framework, roles) {
            self.tree.clients[client.0].suppressed = true;
            self.reseat(client);
        }
    }
    /// Offers again in these roles (none: in all of its roles), and nothing declined in them holds.
    pub fn revive(&mut self, framework: &str, roles: &[String]) {
        for client in self.clients_in(framework, roles) {
            self.tree.clients[client.0].suppressed = false;
            self.filters.drop_client(client);
            self.reseat(client);
            self.want(client);
        }
    }
    fn clients_in(&self, framework: &str, roles: &[String]) -> Vec<ClientIx> {
        let Some(ix) = self.framework_of(framework) else { return Vec::new() };
        let named = |role: &str| roles.is_empty() || roles.iter().any(|other| other == role);
        let clients = self.frameworks[ix].clients.iter().filter(|(role, _)| named(role));
        clients.map(|(_, client)| *client).collect()
    }

    /// An agent registered, with what is used on it by (framework, role). A known id is replaced.
    pub fn add_agent(&mut self, id: &str, terms: AgentTerms, used: &[(&str, &str, Resources)]) {
        self.remove_agent(id);
        self.tree.change_total(&Resources::new(), &terms.total);
        let id: std::sync::Arc<str> = id.into();
        let ix = self.agents.insert(Agent::new(id.clone(), terms));
        self.agent_ids.insert(id, ix);
        for (framework, role, resources) in used.iter().filter(|(_, _, resources)| !resources.is_empty()) {
            let framework = self.framework(framework);
            let client = self.client(framework, role);
            if self.agents[ix].note_held(client, resources) {
                self.tree.clients[client.0].holds += 1;
            }
            self.tree.charge(client, resources, false);
        }
        self.free_changed(ix);
    }
    /// What it has changed. Returns whether it is known.
    pub fn update_agent(&mut self, id: &str, total: Resources) -> bool {
        let Some(ix) = self.agent_of(id) else { return false };
        self.tree.change_total(&self.agents[ix].total, &total);
        self.agents[ix].set_total(total);
        self.free_changed(ix);
        true
    }
    /// Offers may be made of it (again).
    pub fn activate_agent(&mut self, id: &str) {
        let Some(ix) = self.agent_of(id) else { return };
        if !std::mem::replace(&mut self.agents[ix].active, true) {
            self.free_changed(ix);
        }
    }
    /// No more offers of it; what is held stays held.
    pub fn deactivate_agent(&mut self, id: &str) {
        let Some(ix) = self.agent_of(id) else { return };
        self.agents[ix].active = false;
        self.free_changed(ix);
    }
    /// It is gone with all that was held there; a later `recover` finds nothing.
    pub fn remove_agent(&mut self, id: &str) {
        let Some(ix) = self.agent_ids.remove(id) else { return };
        self.filters.drop_agent(ix);
        self.with_free.remove(ix);
        self.dirty.forget_agent(ix);
        let Some(agent) = self.agents.remove(ix) else { return };
        self.tree.change_total(&agent.total, &Resources::new());
        for (client, resources) in agent.held() {
            self.tree.release(*client, resources);
            self.let_go(*client);
        }
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
        let (back, none_left) = self.agents[ix].take_back(client, resources);
        if back.is_empty() {
            return resources.is_empty();
        }
        self.tree.release(client, &back);
        let whole = back == *resources;
        if let Some(refuse) = refuse {
            let until = now + refuse.max(self.options.decline_floor);
            self.filters.refuse(ix, client, &back, until);
        }
        self.free_changed(ix);
        if none_left {
            self.let_go(client);
        }
        whole
    }

    /// Something about what is free on an agent changed: everyone may be interested.
    fn free_changed(&mut self, ix: AgentIx) {
        let agent = &self.agents[ix];
        if !agent.active || agent.free.is_empty() {
            self.with_free.remove(ix);
            return;
        }
        self.with_free.insert(ix);
        self.dirty.agents.insert(ix);
    }
    /// A client may now take what it could not take before.
    fn want(&mut self, client: ClientIx) {
        if self.tree.clients.get(client.0).is_some_and(|seat| seat.seated) {
            self.dirty.clients.insert(client);
        }
    }
    /// Lets a client take part if it may.
    fn reseat(&mut self, client: ClientIx) {
        let Some(seat) = self.tree.clients.get(client.0) else { return };
        let seated = self.frameworks[seat.framework].active && seat.subscribed && !seat.suppressed;
        if seat.seated != seated {
            self.tree.seat(client, seated);
            self.want(client);
        }
    }
    /// A client holds nothing on one more agent.
    fn let_go(&mut self, client: ClientIx) {
        let Some(seat) = self.tree.clients.get_mut(client.0) else { return };
        seat.holds -= 1;
        if seat.holds == 0 && !seat.subscribed {
            let framework = seat.framework;
            self.prune(framework);
        }
    }
    /// Forgets clients that are neither subscribed nor hold anything, and a framework that is gone with the last of them.
    fn prune(&mut self, ix: u32) {
        let framework = &mut self.frameworks[ix];
        let (tree, filters, dirty) = (&mut self.tree, &mut self.filters, &mut self.dirty);
        framework.clients.retain(|_, client| {
            let keep = tree.clients.get(client.0).is_some_and(|seat| seat.subscribed || seat.holds > 0);
            if !keep {
                filters.drop_client(*client);
                dirty.clients.remove(client);
                dirty.pairs.retain(|(_, other)| other != client);
                tree.leave(*client);
            }
            keep
        });
        if framework.clients.is_empty() && !framework.known {
            let id = framework.id.clone();
            self.frameworks.remove(ix);
            self.framework_ids.remove(&id);
        }
    }
    fn framework(&mut self, id: &str) -> u32 {
        if let Some(ix) = self.framework_of(id) {
            return ix;
        }
        let id: std::sync::Arc<str> = id.into();
        let ix = self.frameworks.insert(Framework {
            id: id.clone(),
            known: false,
            active: false,
            terms: FrameworkTerms::default(),
            clients: Default::default(),
        });
        self.framework_ids.insert(id, ix);
        ix
    }
    fn client(&mut self, framework: u32, role: &str) -> ClientIx {
        if let Some(client) = self.frameworks[framework].clients.get(role) {
            return *client;
        }
        let client = self.tree.join(framework, role);
        self.frameworks[framework].clients.insert(role.into(), client);
        client
    }
}
