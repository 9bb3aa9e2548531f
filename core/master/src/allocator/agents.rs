//! One agent's ledger: what it has, who holds what of it, what is free.
//!
//! Never lets more go than is free. An agent may hold more than it has (it shrank): then nothing is free until it fits.

use super::{Traits, filters::Refusal, fits::KindIx, quota, sorter::ClientIx};
use model::resources::Resources;
use smallvec::SmallVec;
use std::{borrow::Cow, sync::Arc};

/// So many holders stand in the agent itself, so that most events touch two lines of memory and no more: with tens of
/// thousands of agents that, and not what is reckoned, is what an event costs.
const HOLDERS_INSIDE: usize = 2;

/// An agent and who holds what of it.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Agent {
    pub id: Arc<str>,
    /// What few events look at.
    pub more: Box<More>,
    /// Who may be offered it, by constraints (see `fits`).
    pub kind: KindIx,
    pub multi_role: bool,
    pub hierarchical_roles: bool,
    pub remote_region: bool,
    /// Whether offers may be made of it.
    pub active: bool,
    pub total: Resources,
    pub free: Resources,
    /// Whether all it has is of use to every role and framework alike.
    pub uniform: bool,
    pub gpus: bool,
    /// Whether it has what several may use at once, or somebody holds such: that is free however many hold it.
    pub shared: bool,
    /// By client, sorted.
    held: SmallVec<[(ClientIx, Resources); HOLDERS_INSIDE]>,
    /// Who declined something of it, by client (see `filters`).
    pub refusals: Vec<Refusal>,
    /// What was free when everyone had been asked and nobody took it: until clients or refusals change, nobody takes a
    /// part of it either.
    pub left: Resources,
    /// After which changes among clients that was.
    pub left_after: u32,
    /// Whether more is held than there is, so that `free` is not simply the rest.
    over: bool,
}

/// What is seldom asked of an agent.
#[derive(Debug)]
pub(super) struct More {
    pub traits: Traits,
    /// What of it counts as free for all in the quotas' sum.
    pub counted: quota::Amounts,
}

impl Agent {
    pub(super) fn new(id: Arc<str>, terms: super::AgentTerms, kind: KindIx) -> Self {
        let mut agent = Self {
            id,
            more: Box::new(More { traits: terms.traits, counted: [0; quota::QUOTA_KINDS_MAX] }),
            kind,
            multi_role: terms.multi_role,
            hierarchical_roles: terms.hierarchical_roles,
            remote_region: terms.remote_region,
            active: true,
            total: Resources::new(),
            free: Resources::new(),
            uniform: true,
            gpus: false,
            shared: false,
            held: SmallVec::new(),
            refusals: Vec::new(),
            left: Resources::new(),
            left_after: 0,
            over: false,
        };
        agent.set_total(terms.total);
        agent
    }
    pub(super) fn set_total(&mut self, total: Resources) {
        self.uniform = total.iter().all(|item| item.kind.is_plain());
        self.gpus = total.milli("gpus") > 0;
        self.shared = total.has_shared() || self.held.iter().any(|(_, held)| held.has_shared());
        self.total = total;
        self.left = Resources::new();
        self.reckon();
    }
    fn reckon(&mut self) {
        let mut held = self.held_by_all();
        if self.shared {
            held = held.not_shared();
        }
        self.over = !self.total.contains(&held);
        self.free = self.total.difference(&held);
    }
    /// What a client holds, and the agent with it, becomes something else. False if it does not hold that.
    pub(super) fn convert(&mut self, client: ClientIx, consumed: &Resources, converted: &Resources) -> bool {
        let Ok(at) = self.held.binary_search_by_key(&client, |(holder, _)| *holder) else { return false };
        let mut total = self.total.clone();
        let held = &mut self.held[at].1;
        if !held.contains(consumed) || total.subtract(consumed).is_err() {
            return false;
        }
        held.cut(consumed);
        *held += converted;
        if held.is_empty() {
            self.held.remove(at);
        }
        total += converted;
        self.set_total(total);
        true
    }
    /// What is free, and the agent with it, becomes something else. False if that is not free.
    pub(super) fn convert_free(&mut self, consumed: &Resources, converted: &Resources) -> bool {
        let mut total = self.total.clone();
        if !self.free.contains(consumed) || total.subtract(consumed).is_err() {
            return false;
        }
        total += converted;
        self.set_total(total);
        true
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
        let new = self.hold(client, Cow::Borrowed(resources));
        self.shared |= resources.has_shared();
        self.reckon();
        new
    }
    fn hold(&mut self, client: ClientIx, resources: Cow<'_, Resources>) -> bool {
        match self.held.binary_search_by_key(&client, |(holder, _)| *holder) {
            Ok(at) => {
                self.held[at].1 += &resources;
                false
            }
            Err(at) => {
                self.held.insert(at, (client, resources.into_owned()));
                true
            }
        }
    }
    /// Gives a client all that is free, of an agent where nothing is shared. What that was, and whether it held nothing
    /// before.
    pub(super) fn give_all(&mut self, client: ClientIx) -> (Resources, bool) {
        let all = std::mem::take(&mut self.free);
        (all.clone(), self.hold(client, Cow::Owned(all)))
    }
    /// Gives a client what is free. True if it held nothing before.
    pub(super) fn give(&mut self, client: ClientIx, resources: &Resources) -> bool {
        let new = self.hold(client, Cow::Borrowed(resources));
        if self.shared {
            self.reckon();
        } else {
            self.free.cut(resources);
        }
        new
    }
    /// Takes back from a client, at most what it holds. What came back, and whether it holds nothing now.
    pub(super) fn take_back<'a>(
        &mut self,
        client: ClientIx,
        resources: &'a Resources,
    ) -> (Cow<'a, Resources>, bool) {
        let Ok(at) = self.held.binary_search_by_key(&client, |(holder, _)| *holder) else {
            return (Cow::Owned(Resources::new()), false);
        };
        let simple = !self.over && !self.shared;
        if simple && self.held[at].1 == *resources {
            let (_, back) = self.held.remove(at);
            if self.free.is_empty() {
                self.free = back;
            } else {
                self.free += &back;
            }
            return (Cow::Borrowed(resources), true);
        }
        let held = &mut self.held[at].1;
        let back = match held.subtract(resources) {
            Ok(()) => Cow::Borrowed(resources),
            Err(_) => {
                let rest = held.difference(resources);
                let back = held.difference(&rest);
                *held = rest;
                Cow::Owned(back)
            }
        };
        let none = held.is_empty();
        if none {
            self.held.remove(at);
        }
        if simple {
            self.free += &back;
        } else {
            self.reckon();
        }
        (back, none)
    }
    /// Panics if the ledger does not add up.
    pub(super) fn check(&self) {
        let held = self.held_by_all().not_shared();
        assert!(self.held.windows(2).all(|pair| pair[0].0 < pair[1].0), "{}: holders in order", self.id);
        assert!(self.held.iter().all(|(_, held)| !held.is_empty()), "{}: no empty holding", self.id);
        assert!(self.over || self.total.contains(&held), "{}: {held} held of {}", self.id, self.total);
        assert_eq!(self.free, self.total.difference(&held), "{}: free is what is not held", self.id);
        assert!(self.total.contains(&(self.free.clone())), "{}: free is part of the total", self.id);
    }
}
