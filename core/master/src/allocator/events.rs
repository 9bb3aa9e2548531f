//! What happens to frameworks, agents and resources, and whom that makes worth a look.
//!
//! Nothing is given out here. Every event is total: what is not known is ignored.

use super::{
    AgentTerms, Allocator, Framework, FrameworkTerms, Quota, agents::Agent, filters::AgentIx, quota,
    sorter::ClientIx,
};
use base::{Duration, Time};
use model::resources::Resources;
use std::borrow::Cow;

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
            || framework.terms.min_allocatable != terms.min_allocatable
            || framework.terms.constraints != terms.constraints;
        framework.terms = terms;
        let framework = &self.frameworks[ix];
        for (role, client) in framework.clients.clone() {
            let terms = &self.frameworks[ix].terms;
            let subscribed = terms.roles.iter().any(|other| **other == *role);
            let suppressed = terms.suppressed.iter().any(|other| **other == *role);
            let mut woken = false;
            if let Some(seat) = self.tree.clients.get_mut(client.0) {
                woken = (subscribed && !suppressed) && (!seat.subscribed || seat.suppressed);
                (seat.subscribed, seat.suppressed) = (subscribed, suppressed);
            }
            self.reseat(client);
            if other || woken {
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
        self.quotas.reserved(&terms.total, 1);
        let id: std::sync::Arc<str> = id.into();
        let ix = self.agents.insert(Agent::new(id.clone(), terms));
        self.agent_ids.insert(id, ix);
        for (framework, role, resources) in used.iter().filter(|(_, _, resources)| !resources.is_empty()) {
            let framework = self.framework(framework);
            let client = self.client(framework, role);
            self.note_held(ix, client, resources);
        }
        self.free_changed(ix);
        self.quotas_changed(None);
    }
    /// What it has changed. Returns whether it is known.
    pub fn update_agent(&mut self, id: &str, total: Resources) -> bool {
        let Some(ix) = self.agent_of(id) else { return false };
        self.tree.change_total(&self.agents[ix].total, &total);
        self.quotas.reserved(&self.agents[ix].total, -1);
        self.quotas.reserved(&total, 1);
        self.agents[ix].set_total(total);
        self.free_changed(ix);
        self.quotas_changed(None);
        true
    }
    /// Its attributes, its name or what it understands changed: what was declined there does not hold.
    pub fn update_agent_terms(&mut self, id: &str, terms: AgentTerms) -> bool {
        let Some(ix) = self.agent_of(id) else { return false };
        let agent = &mut self.agents[ix];
        (agent.traits, agent.hierarchical_roles, agent.remote_region) =
            (terms.traits, terms.hierarchical_roles, terms.remote_region);
        self.filters.drop_agent(ix);
        self.update_agent(id, terms.total)
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
        let before = self.agents[ix].total.clone();
        let held = self.agents[ix].held_by(client).cloned().unwrap_or_default();
        if !self.agents[ix].convert(client, consumed, converted) {
            return false;
        }
        self.tree.change_total(&before, &self.agents[ix].total);
        self.shift_share(ix, client, Some(held), converted, false);
        self.quotas.reserved(&before, -1);
        self.quotas.reserved(&self.agents[ix].total, 1);
        self.held(client, consumed, -1);
        self.held(client, converted, 1);
        self.freed(ix, client);
        true
    }
    /// What is free on an agent becomes something else: an operator's reservation, a volume, the way back. False if
    /// that is not free.
    pub fn convert_free(&mut self, agent: &str, consumed: &Resources, converted: &Resources) -> bool {
        let Some(ix) = self.agent_of(agent) else { return false };
        let before = self.agents[ix].total.clone();
        if !self.agents[ix].convert_free(consumed, converted) {
            return false;
        }
        self.tree.change_total(&before, &self.agents[ix].total);
        self.quotas.reserved(&before, -1);
        self.quotas.reserved(&self.agents[ix].total, 1);
        self.free_changed(ix);
        self.quotas_changed(None);
        true
    }
    /// A client holds more of an agent than it was offered: further uses of what is shared, or what an agent says of
    /// itself. False if agent or client is not known.
    pub fn hold(&mut self, framework: &str, agent: &str, role: &str, resources: &Resources) -> bool {
        let (Some(ix), false) = (self.agent_of(agent), resources.is_empty()) else { return false };
        let framework = self.framework(framework);
        let client = self.client(framework, role);
        self.note_held(ix, client, resources);
        self.freed(ix, client);
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
        if !std::mem::replace(&mut self.agents[ix].active, true) {
            self.free_changed(ix);
            self.quotas_changed(None);
        }
    }
    /// No more offers of it; what is held stays held.
    pub fn deactivate_agent(&mut self, id: &str) {
        let Some(ix) = self.agent_of(id) else { return };
        self.agents[ix].active = false;
        self.free_changed(ix);
        self.quotas_changed(None);
    }
    /// It is gone with all that was held there; a later `recover` finds nothing.
    pub fn remove_agent(&mut self, id: &str) {
        let Some(ix) = self.agent_ids.remove(id) else { return };
        self.filters.drop_agent(ix);
        self.with_free.remove(ix);
        self.dirty.forget_agent(ix);
        self.later.dirty.forget_agent(ix);
        let Some(agent) = self.agents.remove(ix) else { return };
        self.tree.change_total(&agent.total, &Resources::new());
        self.quotas.reserved(&agent.total, -1);
        self.quotas.freed(&agent.counted, &[0; quota::QUOTA_KINDS_MAX]);
        for (client, resources) in agent.held() {
            self.tree.release(*client, resources);
            self.held(*client, resources, -1);
            self.let_go(*client);
        }
        self.quotas_changed(None);
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
            self.filters.refuse(ix, client, &back, until);
        }
        self.freed(ix, client);
        if let Some(interval) = self.options.interval {
            self.later.wait(super::cycle::Dirty::default(), now, interval);
        }
        if none_left {
            self.let_go(client);
        }
        whole
    }

    /// What is free has changed by what this client did: it is looked at when the interval is over, where there is one.
    fn freed(&mut self, ix: AgentIx, client: ClientIx) {
        let at_once = self.options.interval.map(|_| std::mem::take(&mut self.dirty));
        self.free_changed(ix);
        self.quotas_changed(Some(client));
        if let Some(at_once) = at_once {
            let freed = std::mem::replace(&mut self.dirty, at_once);
            self.later.add(freed);
        }
    }

    /// Sets what a top-level role is guaranteed and what it may have at most; an empty quota ends it. False for a role
    /// below another, and where quotas would name too many kinds of resources.
    pub fn set_quota(&mut self, role: &str, quota: Quota) -> bool {
        if role.contains('/') || !self.quotas.set(role, quota) {
            return false;
        }
        self.count_quotas();
        // Refusals stay, as upstream: of what a quota leaves, less than was declined is refused, and more is not.
        for ix in self.agents.indexes() {
            self.free_changed(ix);
        }
        true
    }
    /// Counts everything that quotas depend on anew.
    fn count_quotas(&mut self) {
        self.quotas.clear();
        for ix in self.agents.indexes() {
            let total = self.agents[ix].total.clone();
            self.quotas.reserved(&total, 1);
            let held = self.agents[ix].held().to_vec();
            for (client, resources) in held {
                self.held(client, &resources, 1);
            }
            self.agents[ix].counted = [0; quota::QUOTA_KINDS_MAX];
            self.recount(ix);
        }
    }
    pub(super) fn held(&mut self, client: ClientIx, resources: &Resources, sign: i64) {
        if self.quotas.is_empty() {
            return;
        }
        if let Some(role) = self.tree.role_of(client).cloned() {
            self.quotas.held(&role, resources, sign);
        }
    }
    /// Brings what an agent adds to the available up to date.
    pub(super) fn recount(&mut self, ix: AgentIx) {
        let agent = &mut self.agents[ix];
        let now =
            if agent.active { self.quotas.free_for_all(&agent.free) } else { [0; quota::QUOTA_KINDS_MAX] };
        let before = std::mem::replace(&mut agent.counted, now);
        self.quotas.freed(&before, &now);
    }
    /// Less is consumed, or more is there: where guarantees hold something back, every agent may be of use to everyone;
    /// where a limit was reached, its role may go on.
    fn quotas_changed(&mut self, client: Option<ClientIx>) {
        if self.quotas.is_empty() {
            return;
        }
        if self.quotas.has_guarantees() {
            let all: Vec<_> = self.with_free.iter().collect();
            all.into_iter().for_each(|ix| self.dirty.agents.insert(ix));
            return;
        }
        let role =
            client.and_then(|client| self.tree.role_of(client)).map(|path| quota::top(path).to_owned());
        let same = |path: &str| role.as_deref().is_none_or(|role| quota::top(path) == role);
        let limited: Vec<_> = self
            .tree
            .seated()
            .filter(|(_, path)| same(path) && self.quotas.limits(path))
            .map(|(client, _)| client)
            .collect();
        self.dirty.clients.extend(limited);
    }

    /// Something about what is free on an agent changed: everyone may be interested.
    fn free_changed(&mut self, ix: AgentIx) {
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
        let (tree, filters) = (&mut self.tree, &mut self.filters);
        let (dirty, later) = (&mut self.dirty, &mut self.later.dirty);
        framework.clients.retain(|_, client| {
            let keep = tree.clients.get(client.0).is_some_and(|seat| seat.subscribed || seat.holds > 0);
            if !keep {
                filters.drop_client(*client);
                dirty.clients.remove(client);
                later.clients.remove(client);
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
