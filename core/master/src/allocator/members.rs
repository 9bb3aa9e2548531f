//! Frameworks and the roles they are in: who comes, goes, keeps away and is to be asked again.
//!
//! Nothing is given out here. Every event is total: what is not known is ignored.

use super::{Allocator, Framework, FrameworkTerms, sorter::ClientIx};
use smallvec::SmallVec;
use std::sync::Arc;

/// A framework's clients by role, sorted. Most frameworks are in one role.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients(SmallVec<[(Arc<str>, ClientIx); 1]>);

impl Clients {
    fn place(&self, role: &str) -> Result<usize, usize> {
        match &*self.0 {
            [(only, _)] if **only == *role => Ok(0),
            all => all.binary_search_by(|(other, _)| (**other).cmp(role)),
        }
    }
    pub(super) fn get(&self, role: &str) -> Option<ClientIx> {
        self.place(role).ok().map(|at| self.0[at].1)
    }
    fn insert(&mut self, role: Arc<str>, client: ClientIx) {
        match self.place(&role) {
            Ok(at) => self.0[at].1 = client,
            Err(at) => self.0.insert(at, (role, client)),
        }
    }
    fn iter(&self) -> impl Iterator<Item = &(Arc<str>, ClientIx)> {
        self.0.iter()
    }
}

impl Allocator {
    /// A framework subscribed, or is known again after a failover. What it holds on agents stays its.
    pub fn add_framework(&mut self, id: &str, terms: FrameworkTerms, active: bool) {
        let ix = self.framework(id);
        self.frameworks[ix].known = true;
        self.frameworks[ix].active = active;
        self.update_framework(id, terms);
    }
    /// Its roles, suppressions or capabilities changed. What it declined stays declined, but for roles that are not
    /// suppressed any more; whether there is one.
    pub fn update_framework(&mut self, id: &str, terms: FrameworkTerms) -> bool {
        let Some(ix) = self.framework_of(id) else { return false };
        for role in &terms.roles {
            self.client(ix, role);
        }
        let framework = &mut self.frameworks[ix];
        framework.capabilities = terms.capabilities;
        framework.picky = terms.constraints.is_some() || !terms.min_allocatable.is_empty();
        let other = framework.terms.capabilities != terms.capabilities
            || framework.terms.min_allocatable != terms.min_allocatable
            || framework.terms.constraints != terms.constraints;
        for role in framework.terms.min_allocatable.keys() {
            if let Some(count) = self.own_least.get_mut(role) {
                *count -= 1;
                if *count == 0 {
                    self.own_least.remove(role);
                }
            }
        }
        for role in terms.min_allocatable.keys() {
            *self.own_least.entry(role.clone()).or_default() += 1;
        }
        *framework.terms = terms;
        let framework = &self.frameworks[ix];
        let mut any_revived = false;
        for (role, client) in framework.clients.clone().0 {
            self.fits.constrain(client, &role, self.frameworks[ix].terms.constraints.as_ref());
            let terms = &self.frameworks[ix].terms;
            let subscribed = terms.roles.iter().any(|other| **other == *role);
            let suppressed = terms.suppressed.iter().any(|other| **other == *role);
            let (mut woken, mut revived) = (false, false);
            if let Some(seat) = self.tree.clients.get_mut(client.0) {
                woken = (subscribed && !suppressed) && (!seat.subscribed || seat.suppressed);
                revived = woken && seat.suppressed;
                (seat.subscribed, seat.suppressed) = (subscribed, suppressed);
            }
            any_revived |= revived;
            if revived {
                self.filters.drop_client(&mut self.agents, client);
            }
            self.reseat(client);
            if other || woken {
                self.want(client);
            }
        }
        self.prune(ix);
        any_revived
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
        for (_, client) in self.frameworks[ix].clients.clone().0 {
            if !active {
                self.filters.drop_client(&mut self.agents, client);
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
            self.filters.drop_client(&mut self.agents, client);
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
    pub(super) fn let_go(&mut self, client: ClientIx) {
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
        let (tree, filters, agents) = (&mut self.tree, &mut self.filters, &mut self.agents);
        let (dirty, later, fits) = (&mut self.dirty, &mut self.later.dirty, &mut self.fits);
        framework.clients.0.retain(|(_, client)| {
            let keep = tree.clients.get(client.0).is_some_and(|seat| seat.subscribed || seat.holds > 0);
            if !keep {
                filters.drop_client(agents, *client);
                dirty.clients.remove(client);
                later.clients.remove(client);
                dirty.pairs.retain(|(_, other)| other != client);
                fits.forget(*client);
                tree.leave(*client);
            }
            keep
        });
        if framework.clients.0.is_empty() && !framework.known {
            let id = framework.id.clone();
            self.framework_ids.remove(&id, |place| &self.frameworks[place].id);
            self.frameworks.remove(ix);
        }
    }
    pub(super) fn framework(&mut self, id: &str) -> u32 {
        if let Some(ix) = self.framework_of(id) {
            return ix;
        }
        let ix = self.frameworks.insert(Framework {
            id: id.into(),
            known: false,
            active: false,
            capabilities: Default::default(),
            picky: false,
            terms: Box::default(),
            clients: Clients::default(),
        });
        self.framework_ids.insert(ix, |place| &self.frameworks[place].id);
        ix
    }
    pub(super) fn client(&mut self, framework: u32, role: &str) -> ClientIx {
        if let Some(client) = self.frameworks[framework].clients.get(role) {
            return client;
        }
        let (client, role) = self.tree.join(framework, role);
        let terms = &self.frameworks[framework].terms;
        self.fits.constrain(client, &role, terms.constraints.as_ref());
        self.frameworks[framework].clients.insert(role, client);
        client
    }
}
