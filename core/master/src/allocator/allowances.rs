//! Keeps what quotas depend on up to date, and says whom it makes worth a look when a quota leaves more than before.
//!
//! Never cuts anything itself (see `quota`).

use super::{Allocator, Quota, filters::AgentIx, quota, sorter::ClientIx};
use model::resources::Resources;
use std::collections::BTreeMap;

impl Allocator {
    /// Sets what a top-level role is guaranteed and what it may have at most; an empty quota ends it. False for a role
    /// below another, and where quotas would name too many kinds of resources.
    pub fn set_quota(&mut self, role: &str, quota: Quota) -> bool {
        self.set_quotas([(role, quota)])
    }

    /// The same for several at once, all or none; of two for one role the last.
    pub fn set_quotas<'a>(&mut self, quotas: impl IntoIterator<Item = (&'a str, Quota)>) -> bool {
        let quotas: BTreeMap<&str, Quota> = quotas.into_iter().collect();
        if quotas.keys().any(|role| role.contains('/')) || !self.quotas.set(quotas) {
            return false;
        }
        self.count_quotas();
        self.changes = self.changes.wrapping_add(1);
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
            self.agents[ix].more.counted = [0; quota::QUOTA_KINDS_MAX];
            self.quotas.seen(&self.agents[ix].total);
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
        let before = std::mem::replace(&mut agent.more.counted, now);
        self.quotas.freed(&before, &now);
    }
    /// Less is consumed, or more is there than when it was `tight`: where guarantees held something back, every agent may
    /// be of use to everyone; where a limit was near, its role may go on.
    pub(super) fn quotas_changed(&mut self, tight: bool) {
        self.dirty.everywhere |= tight;
        self.dirty.limited.append(&mut self.quotas.loosened);
    }
}
