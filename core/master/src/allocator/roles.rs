//! The tree of roles: `a/b` below `a`, `*` beside them, each with its weight.
//!
//! A role is here while somebody is subscribed to it or holds something in it. Never decides an order (see `sorter`).

use super::{
    Order,
    queue::Queue,
    shares::{Kinds, SHARE_KINDS_MAX, Sums},
    sorter::{Branch, Client, ClientIx, Key},
};
use std::{
    collections::BTreeMap,
    ops::{Index, IndexMut},
    sync::Arc,
};

/// A role's place in the tree.
pub(super) type NodeIx = u32;

/// Numbered places that are used again.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Option<T>>,
    empty: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { places: Vec::new(), empty: Vec::new() }
    }
    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(ix) = self.empty.pop() {
            self.places[ix as usize] = Some(value);
            return ix;
        }
        self.places.push(Some(value));
        (self.places.len() - 1) as u32
    }
    pub(super) fn remove(&mut self, ix: u32) -> Option<T> {
        let value = self.places.get_mut(ix as usize)?.take();
        if value.is_some() {
            self.empty.push(ix);
        }
        value
    }
    /// How many are in place.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.empty.len()
    }
    pub(super) fn get(&self, ix: u32) -> Option<&T> {
        self.places.get(ix as usize)?.as_ref()
    }
    pub(super) fn get_mut(&mut self, ix: u32) -> Option<&mut T> {
        self.places.get_mut(ix as usize)?.as_mut()
    }
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.places.iter().enumerate().filter_map(|(ix, value)| Some((ix as u32, value.as_ref()?)))
    }
    pub(super) fn indexes(&self) -> Vec<u32> {
        self.iter().map(|(ix, _)| ix).collect()
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;
    fn index(&self, ix: u32) -> &T {
        self.get(ix).expect("an index is forgotten before its place is emptied")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, ix: u32) -> &mut T {
        self.get_mut(ix).expect("an index is forgotten before its place is emptied")
    }
}

/// A role.
#[derive(Debug)]
pub(super) struct Node {
    pub path: Arc<str>,
    pub parent: Option<NodeIx>,
    pub children: u32,
    /// Clients of exactly this role, taking part or not.
    pub members: u32,
    pub weight: f64,
    pub rank: u64,
    /// Of the role and everything below.
    pub sums: Sums,
    pub allocations: u64,
    /// How many clients of it and everything below take part.
    pub seated: u32,
    pub key: Key,
    /// Of its own clients alone.
    pub own_sums: Sums,
    pub own_allocations: u64,
    pub own_key: Key,
    /// Its own clients that take part, the neediest first.
    pub waiting: Queue,
    /// Its child roles and its own clients, where somebody takes part, the neediest first.
    pub order: Vec<(Key, Branch)>,
}

/// All roles and their clients.
#[derive(Debug)]
pub(super) struct Tree {
    pub nodes: Slab<Node>,
    pub clients: Slab<Client>,
    paths: BTreeMap<Arc<str>, NodeIx>,
    weights: BTreeMap<String, f64>,
    arrivals: u64,
    pub kinds: Kinds,
    pub total: Sums,
    pub stale: bool,
    /// Clients that gave something back since the order was looked at, and their roles.
    pub unsettled: Vec<(ClientIx, NodeIx)>,
    pub role_order: Order,
    pub framework_order: Order,
}

impl Tree {
    /// The node above all roles.
    pub(super) const ROOT: NodeIx = 0;

    pub(super) fn new(excluded: &[String], role_order: Order, framework_order: Order) -> Self {
        let mut nodes = Slab::new();
        nodes.insert(node("".into(), None, 1.0, 0));
        Self {
            nodes,
            clients: Slab::new(),
            paths: BTreeMap::new(),
            weights: BTreeMap::new(),
            arrivals: 0,
            kinds: Kinds::new(excluded),
            total: [0; SHARE_KINDS_MAX],
            stale: false,
            unsettled: Vec::new(),
            role_order,
            framework_order,
        }
    }
    /// Makes a client of a role, with the role and its ancestors if they are new. The client and the role's path.
    pub(super) fn join(&mut self, framework: u32, role: &str) -> (ClientIx, Arc<str>) {
        let node = self.node(role);
        self.nodes[node].members += 1;
        self.arrivals += 1;
        let client = ClientIx(self.clients.insert(Client {
            framework,
            node,
            subscribed: false,
            suppressed: false,
            holds: 0,
            seated: false,
            unsettled: false,
            sums: [0; SHARE_KINDS_MAX],
            allocations: 0,
            order: self.arrivals,
            key: Key::default(),
        }));
        (client, self.nodes[node].path.clone())
    }
    /// Forgets a client that holds nothing, and the roles that nobody is left in.
    pub(super) fn leave(&mut self, ix: ClientIx) {
        self.seat(ix, false);
        let Some(client) = self.clients.remove(ix.0) else { return };
        let mut at = client.node;
        // What it gave back may not have reached its role's place yet, and its role may be forgotten now.
        if !self.stale {
            self.rekey_path(at);
        }
        self.nodes[at].members -= 1;
        while let Some(parent) = self.nodes[at].parent {
            if self.nodes[at].members > 0 || self.nodes[at].children > 0 {
                break;
            }
            let path = self.nodes[at].path.clone();
            self.paths.remove(&path);
            self.nodes.remove(at);
            self.nodes[parent].children -= 1;
            at = parent;
        }
    }
    fn node(&mut self, role: &str) -> NodeIx {
        if let Some(ix) = self.paths.get(role) {
            return *ix;
        }
        let parent = match role.rsplit_once('/') {
            Some((parent, _)) => self.node(parent),
            None => Self::ROOT,
        };
        self.nodes[parent].children += 1;
        self.arrivals += 1;
        let path: Arc<str> = role.into();
        let weight = self.weights.get(role).copied().unwrap_or(1.0);
        let ix = self.nodes.insert(node(path.clone(), Some(parent), weight, self.arrivals));
        self.paths.insert(path, ix);
        ix
    }
    /// Whether it was a weight.
    pub(super) fn set_weight(&mut self, role: &str, weight: f64) -> bool {
        if !(weight.is_finite() && weight > 0.0) {
            return false;
        }
        self.weights.insert(role.to_owned(), weight);
        if let Some(ix) = self.paths.get(role) {
            self.nodes[*ix].weight = weight;
            self.stale = true;
        }
        true
    }
    pub(super) fn weight(&self, role: &str) -> f64 {
        self.weights.get(role).copied().unwrap_or(1.0)
    }
    /// Where a role stands, if somebody is in it.
    pub(super) fn node_of(&self, role: &str) -> Option<NodeIx> {
        self.paths.get(role).copied()
    }
    /// How many clients take part, of a role and everything below.
    pub(super) fn seated_count(&self, role: &str) -> usize {
        self.node_of(role).map_or(0, |ix| self.nodes[ix].seated as usize)
    }
    /// Clients that take part, of a role and everything below.
    pub(super) fn seated(&self, role: &str) -> Vec<ClientIx> {
        let mut seated = Vec::new();
        let mut nodes: Vec<_> = self.node_of(role).into_iter().collect();
        while let Some(ix) = nodes.pop() {
            let node = &self.nodes[ix];
            seated.extend(node.waiting.iter().map(|(_, client)| *client));
            nodes.extend(node.order.iter().filter_map(|(_, branch)| match branch {
                Branch::Role(child) => Some(*child),
                Branch::Own => None,
            }));
        }
        seated
    }
    pub(super) fn role_of(&self, client: ClientIx) -> Option<&Arc<str>> {
        self.clients.get(client.0).map(|client| &self.nodes[client.node].path)
    }
}

fn node(path: Arc<str>, parent: Option<NodeIx>, weight: f64, rank: u64) -> Node {
    Node {
        path,
        parent,
        children: 0,
        members: 0,
        weight,
        rank,
        sums: [0; SHARE_KINDS_MAX],
        allocations: 0,
        seated: 0,
        key: Key::default(),
        own_sums: [0; SHARE_KINDS_MAX],
        own_allocations: 0,
        own_key: Key::default(),
        waiting: Queue::default(),
        order: Vec::new(),
    }
}
