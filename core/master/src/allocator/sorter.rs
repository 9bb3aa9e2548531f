//! Who is next: shares of the cluster, kept in order as they change.
//!
//! A (framework, role) is a client. Clients of one role compete with each other, roles with their siblings; a role's own
//! clients compete as one against its child roles. Never looks at agents, filters or reservations.

use super::{
    Order,
    roles::{Node, NodeIx, Tree},
    shares::{Sums, add, sub},
};
use base::Rng;
use model::resources::Resources;
use std::cmp::Ordering;

/// A client's place in the tree's list of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClientIx(pub u32);

/// Where one stands among its siblings; the order of the fields is the policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Key {
    /// The dominant share by weight: bits of a non-negative float, which sort as it does.
    share: u64,
    /// How often it was given something.
    allocations: u64,
    /// Who came first.
    order: u64,
}

impl Key {
    #[cfg(test)]
    pub(super) fn of_share(share: f64) -> Self {
        Self { share: share.to_bits(), ..Self::default() }
    }
    /// Share and allocations as one number: keys are compared more often than anything else here.
    fn first(&self) -> u128 {
        u128::from(self.share) << 64 | u128::from(self.allocations)
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.first().cmp(&other.first()).then_with(|| self.order.cmp(&other.order))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A framework in a role. What is used of it stands in its first two lines of memory, as long as few kinds count.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Client {
    pub framework: u32,
    pub node: NodeIx,
    /// On how many agents it holds something.
    pub holds: u32,
    pub subscribed: bool,
    pub suppressed: bool,
    /// Whether it takes part: its framework is active, it is subscribed and not suppressed.
    pub seated: bool,
    /// Whether its place is to be found anew before the order is looked at.
    pub unsettled: bool,
    pub allocations: u64,
    pub order: u64,
    pub key: Key,
    pub sums: Sums,
}

/// One side of a child in its parent's order: a child role, or the parent's own clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Branch {
    Own,
    Role(NodeIx),
}

impl Tree {
    /// The cluster grew or shrank: all shares are reckoned anew before the next look at the order.
    pub(super) fn change_total(&mut self, less: &Resources, more: &Resources) {
        let (less, more) = (self.kinds.sums(less), self.kinds.sums(more));
        if less != more {
            sub(&mut self.total, &less);
            add(&mut self.total, &more);
            self.stale = true;
        }
    }
    /// A client was given something.
    pub(super) fn charge(&mut self, client: ClientIx, resources: &Resources, counts: bool) {
        let sums = self.kinds.sums(resources);
        let kinds = self.kinds.count();
        self.shift(client, |mine| add(&mut mine[..kinds], &sums), u64::from(counts), true);
    }
    /// A client gave something back. Many do in one go: their places are found when somebody looks.
    pub(super) fn release(&mut self, client: ClientIx, resources: &Resources) {
        let sums = self.kinds.sums(resources);
        let kinds = self.kinds.count();
        self.shift(client, |mine| sub(&mut mine[..kinds], &sums), 0, false);
    }
    fn shift(&mut self, ix: ClientIx, change: impl Fn(&mut Sums), allocations: u64, at_once: bool) {
        let Some(client) = self.clients.get_mut(ix.0) else { return };
        change(&mut client.sums);
        client.allocations += allocations;
        let node = client.node;
        if !at_once && !std::mem::replace(&mut client.unsettled, true) {
            self.unsettled.push((ix, node));
        }
        let own = &mut self.nodes[node];
        change(&mut own.own_sums);
        own.own_allocations += allocations;
        let mut at = Some(node);
        while let Some(ix) = at {
            let node = &mut self.nodes[ix];
            change(&mut node.sums);
            node.allocations += allocations;
            at = node.parent;
        }
        if at_once && !self.stale {
            self.rekey_client(ix);
            self.rekey_path(node);
        }
    }
    /// Lets a client take part, or no more.
    pub(super) fn seat(&mut self, ix: ClientIx, seated: bool) {
        let Some(client) = self.clients.get_mut(ix.0) else { return };
        if client.seated == seated {
            return;
        }
        client.seated = seated;
        let before = client.key;
        client.key = Key {
            share: self.kinds.share(&client.sums, &self.total, 1.0),
            allocations: client.allocations,
            order: client.order,
        };
        let (node, key) = (client.node, client.key);
        if seated {
            self.nodes[node].waiting.insert((key, ix));
        } else {
            self.nodes[node].waiting.remove(&(before, ix));
        }
        let mut at = Some(node);
        while let Some(ix) = at {
            let node = &mut self.nodes[ix];
            node.seated = if seated { node.seated + 1 } else { node.seated - 1 };
            at = node.parent;
        }
        self.rekey_path(node);
    }
    fn rekey_client(&mut self, ix: ClientIx) {
        let Some(client) = self.clients.get_mut(ix.0) else { return };
        let share = self.kinds.share(&client.sums, &self.total, 1.0);
        let key = Key { share, allocations: client.allocations, order: client.order };
        let before = std::mem::replace(&mut client.key, key);
        if client.seated && before != key {
            let waiting = &mut self.nodes[client.node].waiting;
            waiting.remove(&(before, ix));
            waiting.insert((key, ix));
        }
    }
    /// Brings a node's own clients and every node up to the root to their places among their siblings.
    pub(super) fn rekey_path(&mut self, leaf: NodeIx) {
        let node = &mut self.nodes[leaf];
        let share = self.kinds.share(&node.own_sums, &self.total, 1.0);
        let key = Key { share, allocations: node.own_allocations, order: 0 };
        let before = std::mem::replace(&mut node.own_key, key);
        place(&mut node.order, Branch::Own, before, key, !node.waiting.is_empty());
        let mut at = leaf;
        while let Some(parent) = self.nodes[at].parent {
            let node = &mut self.nodes[at];
            let share = self.kinds.share(&node.sums, &self.total, node.weight);
            let key = Key { share, allocations: node.allocations, order: node.rank };
            let before = std::mem::replace(&mut node.key, key);
            let wanted = node.seated > 0;
            place(&mut self.nodes[parent].order, Branch::Role(at), before, key, wanted);
            at = parent;
        }
    }
    /// Makes the order true again after the total or a weight changed.
    pub(super) fn refresh(&mut self) {
        let stale = std::mem::take(&mut self.stale);
        for (ix, node) in std::mem::take(&mut self.unsettled) {
            if let Some(client) = self.clients.get_mut(ix.0) {
                client.unsettled = false;
            }
            if !stale {
                self.rekey_client(ix);
                // Its role may be gone, or be another by now: then this changes nothing.
                if self.nodes.get(node).is_some() {
                    self.rekey_path(node);
                }
            }
        }
        if !stale {
            return;
        }
        for ix in self.clients.indexes() {
            self.rekey_client(ClientIx(ix));
        }
        for ix in self.nodes.indexes() {
            self.rekey_path(ix);
        }
    }
    /// The first client in the order of fairness that `takes` says yes to, of roles that are open.
    pub(super) fn first(
        &self,
        open: &impl Fn(&Node) -> bool,
        takes: &mut impl FnMut(ClientIx) -> bool,
    ) -> Option<ClientIx> {
        self.first_below(&self.nodes[Self::ROOT], open, takes)
    }
    /// As `first`, of these top-level roles alone.
    pub(super) fn first_among<'a>(
        &self,
        roles: impl Iterator<Item = &'a str>,
        open: &impl Fn(&Node) -> bool,
        takes: &mut impl FnMut(ClientIx) -> bool,
    ) -> Option<ClientIx> {
        let nodes = roles.filter_map(|role| self.node_of(role)).map(|ix| (self.nodes[ix].key, ix));
        let mut order: Vec<_> = nodes.collect();
        order.sort_unstable();
        order.iter().find_map(|(_, ix)| self.first_below(&self.nodes[*ix], open, takes))
    }
    /// As `first`, of these clients alone, each named once.
    pub(super) fn first_of(
        &self,
        clients: impl Iterator<Item = ClientIx>,
        takes: &mut impl FnMut(ClientIx) -> bool,
    ) -> Option<ClientIx> {
        let seated =
            clients.filter_map(|ix| Some((ix, self.clients.get(ix.0).filter(|client| client.seated)?)));
        let mut few: Vec<_> = seated.map(|(ix, client)| (client.key, ix, client.node)).collect();
        if few.iter().all(|(_, _, node)| *node == few[0].2) {
            few.sort_unstable();
        } else {
            few.sort_by_cached_key(|(_, ix, _)| self.standing(*ix));
        }
        few.into_iter().map(|(_, ix, _)| ix).find(|ix| takes(*ix))
    }
    fn first_below(
        &self,
        node: &Node,
        open: &impl Fn(&Node) -> bool,
        takes: &mut impl FnMut(ClientIx) -> bool,
    ) -> Option<ClientIx> {
        node.order.iter().find_map(|(_, branch)| match branch {
            Branch::Own if !open(node) => None,
            Branch::Own => node.waiting.iter().map(|(_, client)| *client).find(|client| takes(*client)),
            Branch::Role(child) => self.first_below(&self.nodes[*child], open, takes),
        })
    }
    /// Whether some order is drawn and not kept.
    pub(super) fn is_random(&self) -> bool {
        self.role_order == Order::Random || self.framework_order == Order::Random
    }
    /// As `first`, with those orders drawn anew that are to be drawn.
    pub(super) fn first_at_random(
        &self,
        rng: &mut Rng,
        takes: &mut impl FnMut(ClientIx) -> bool,
    ) -> Option<ClientIx> {
        self.draw_below(&self.nodes[Self::ROOT], rng, takes)
    }
    fn draw_below(
        &self,
        node: &Node,
        rng: &mut Rng,
        takes: &mut impl FnMut(ClientIx) -> bool,
    ) -> Option<ClientIx> {
        let mut branches: Vec<Branch> = node.order.iter().map(|(_, branch)| *branch).collect();
        if self.role_order == Order::Random {
            draw(&mut branches, rng, |branch| match branch {
                Branch::Own => 1.0,
                Branch::Role(child) => self.nodes[*child].weight,
            });
        }
        for branch in branches {
            let found = match branch {
                Branch::Role(child) => self.draw_below(&self.nodes[child], rng, takes),
                Branch::Own => {
                    let mut clients: Vec<_> = node.waiting.iter().map(|(_, client)| *client).collect();
                    if self.framework_order == Order::Random {
                        draw(&mut clients, rng, |_| 1.0);
                    }
                    clients.into_iter().find(|client| takes(*client))
                }
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }
    /// Where a client stands in the whole order: the keys from the root down.
    pub(super) fn standing(&self, ix: ClientIx) -> Vec<(Key, Branch)> {
        let Some(client) = self.clients.get(ix.0) else { return Vec::new() };
        let mut keys = vec![(client.key, Branch::Own), (self.nodes[client.node].own_key, Branch::Own)];
        let mut at = client.node;
        while let Some(parent) = self.nodes[at].parent {
            keys.push((self.nodes[at].key, Branch::Role(at)));
            at = parent;
        }
        keys.reverse();
        keys
    }
}

/// Puts items in an order that is drawn, the heavier the likelier to come early: each gets the instant of an event that
/// happens at the rate of its weight.
fn draw<T: Clone>(items: &mut Vec<T>, rng: &mut Rng, weight: impl Fn(&T) -> f64) {
    let mut drawn: Vec<(f64, T)> =
        items.drain(..).map(|item| (-(1.0 - rng.unit()).ln() / weight(&item), item)).collect();
    drawn.sort_by(|a, b| a.0.total_cmp(&b.0));
    items.extend(drawn.into_iter().map(|(_, item)| item));
}

/// Keeps a branch at its place in a sorted list, or out of it. Few siblings change places often, so a list it is.
fn place(order: &mut Vec<(Key, Branch)>, branch: Branch, before: Key, now: Key, wanted: bool) {
    if let [only] = order.as_mut_slice()
        && *only == (before, branch)
        && wanted
    {
        only.0 = now;
        return;
    }
    let at = order.binary_search(&(before, branch));
    match (at, wanted) {
        (Ok(at), true) => {
            order[at].0 = now;
            let right = order[at + 1..].partition_point(|other| *other < (now, branch));
            let left = order[..at].partition_point(|other| *other < (now, branch));
            if right > 0 {
                order[at..=at + right].rotate_left(1);
            } else {
                order[left..=at].rotate_right(1);
            }
        }
        (Ok(at), false) => {
            order.remove(at);
        }
        (Err(_), true) => {
            let at = order.partition_point(|other| *other < (now, branch));
            order.insert(at, (now, branch));
        }
        (Err(_), false) => {}
    }
}
