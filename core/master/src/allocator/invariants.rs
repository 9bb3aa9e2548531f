//! What must be true of the allocator between two events.

use super::{
    Allocator, quota,
    roles::Tree,
    shares::{self, SHARE_KINDS_MAX},
    sorter::{Branch, ClientIx},
};
use std::collections::{BTreeMap, BTreeSet};

impl Allocator {
    /// Panics if a stated invariant is broken: no agent's resources promised twice, sums equal by agent, client and
    /// role, nobody waiting who may not, everything that is free known to be.
    pub fn check(&self) {
        let mut holds: BTreeMap<ClientIx, (u32, shares::Sums)> = BTreeMap::new();
        let mut total = [0; SHARE_KINDS_MAX];
        for (ix, agent) in self.agents.iter() {
            agent.check();
            assert_eq!(self.agent_of(&agent.id), Some(ix));
            assert_eq!(self.with_free.contains(ix), agent.active && !agent.free.is_empty(), "{}", agent.id);
            shares::add(&mut total, &self.tree.kinds.known_sums(&agent.total));
            for (client, held) in agent.held() {
                let entry = holds.entry(*client).or_insert((0, [0; SHARE_KINDS_MAX]));
                entry.0 += 1;
                shares::add(&mut entry.1, &self.tree.kinds.known_sums(held));
            }
        }
        assert_eq!(total, self.tree.total, "the cluster is the sum of its agents");
        for (ix, client) in self.tree.clients.iter() {
            let (count, sums) = holds.remove(&ClientIx(ix)).unwrap_or((0, [0; SHARE_KINDS_MAX]));
            assert_eq!(
                (count, sums),
                (client.holds, client.sums),
                "a client's sum is what it holds on agents"
            );
            let active = self.frameworks[client.framework].active;
            assert_eq!(client.seated, active && client.subscribed && !client.suppressed);
            assert!(client.subscribed || client.holds > 0, "who is gone and holds nothing is forgotten");
            let role = self.tree.role_of(ClientIx(ix));
            let listed = role.and_then(|role| self.frameworks[client.framework].clients.get(role));
            assert_eq!(listed, Some(ClientIx(ix)));
        }
        assert!(holds.is_empty(), "only clients hold something");
        self.check_quotas();
        self.fits.check(&self.agents, self.tree.clients.iter().map(|(ix, _)| ClientIx(ix)));
        let mut own_least = BTreeMap::<String, u32>::new();
        for role in self.frameworks.iter().flat_map(|(_, framework)| framework.terms.min_allocatable.keys()) {
            *own_least.entry(role.clone()).or_default() += 1;
        }
        assert_eq!(own_least, self.own_least, "who has least offers of its own");
        self.filters.check(&self.agents);
        self.tree.check();
    }
}

impl Allocator {
    /// Panics unless what quotas depend on is the sum over all agents.
    fn check_quotas(&self) {
        if self.quotas.is_empty() {
            return;
        }
        let mut anew = quota::Quotas::default();
        assert!(anew.set(self.quotas.roles().map(|(role, quota)| (role, quota.clone())).collect()));
        // Kinds are numbered in the order in which they are named.
        anew.clear();
        for (_, agent) in self.agents.iter() {
            anew.reserved(&agent.total, 1);
            for (client, held) in agent.held() {
                if let Some(role) = self.tree.role_of(*client) {
                    anew.held(role, held, 1);
                }
            }
            if agent.active {
                let free = anew.free_for_all(&agent.free);
                anew.freed(&[0; quota::QUOTA_KINDS_MAX], &free);
            }
        }
        for (role, _) in self.quotas.roles() {
            let sorted = |mut all: super::Quantities| {
                all.sort();
                all
            };
            assert_eq!(sorted(anew.consumed(role)), sorted(self.quotas.consumed(role)), "consumed by {role}");
        }
        let total = |quotas: &quota::Quotas| {
            let (_, available, required) = quotas.sums();
            let mut pairs: Vec<_> = available.into_iter().zip(required).collect();
            pairs.sort_unstable();
            pairs
        };
        assert_eq!(total(&anew), total(&self.quotas), "what is available and what is required");
    }
}

impl Tree {
    /// Panics unless every role is the sum of its clients and child roles, and the order holds exactly who takes part.
    fn check(&self) {
        for (ix, node) in self.nodes.iter() {
            let mut own = [0; SHARE_KINDS_MAX];
            let mut waiting = BTreeSet::new();
            let mut members = 0;
            for (client_ix, client) in self.clients.iter().filter(|(_, client)| client.node == ix) {
                shares::add(&mut own, &client.sums);
                members += 1;
                if client.seated {
                    waiting.insert((client.key, ClientIx(client_ix)));
                }
            }
            assert_eq!((own, members), (node.own_sums, node.members), "{}", node.path);
            assert!(waiting.iter().eq(node.waiting.iter()), "{}", node.path);
            let mut seated = waiting.len() as u32;
            let mut order = BTreeSet::new();
            if seated > 0 {
                order.insert((node.own_key, Branch::Own));
            }
            let mut children = 0;
            for (child_ix, child) in self.nodes.iter().filter(|(_, child)| child.parent == Some(ix)) {
                shares::add(&mut own, &child.sums);
                children += 1;
                seated += child.seated;
                if child.seated > 0 {
                    order.insert((child.key, Branch::Role(child_ix)));
                }
            }
            assert_eq!((own, seated, children), (node.sums, node.seated, node.children), "{}", node.path);
            assert!(order.iter().eq(&node.order), "{}", node.path);
            assert!(ix == Self::ROOT || node.members + node.children > 0, "an empty role is forgotten");
        }
    }
}
