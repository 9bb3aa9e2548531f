//! Guarantees and limits of top-level roles: what each has consumed, what must be held back, how much one may still get.
//!
//! Consumed is what is reserved to the role's subtree, given out or not, and what its subtree holds of the unreserved.
//! Counts firm scalars alone; ports and revocable resources are nobody's quota. Never gives anything out.

use super::terms::Quantities;
use model::resources::{Amount, Item, Name, Resources};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

/// Kinds that quotas can name; a quota that would need more is refused.
pub(crate) const QUOTA_KINDS_MAX: usize = 16;

/// Thousandths by kind; they wrap as shares do.
pub(super) type Amounts = [i64; QUOTA_KINDS_MAX];

/// What a role is promised and what it may have at most, in thousandths by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Held back for the role's subtree while it has less.
    pub guarantees: Quantities,
    /// Not exceeded by what it is given.
    pub limits: Quantities,
}

/// In which round something is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// To roles that have less than they are guaranteed.
    Guarantees,
    /// To everyone, by share.
    Shares,
}

#[derive(Debug)]
struct Ledger {
    quota: Quota,
    guarantees: Amounts,
    limits: [Option<i64>; QUOTA_KINDS_MAX],
    consumed: Amounts,
    unmet: Amounts,
}

impl Ledger {
    fn reckon(&mut self) {
        for (unmet, (guarantee, consumed)) in
            self.unmet.iter_mut().zip(self.guarantees.iter().zip(&self.consumed))
        {
            *unmet = guarantee.saturating_sub(*consumed).max(0);
        }
    }
}

/// All quotas.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    names: Vec<Name>,
    roles: BTreeMap<String, Ledger>,
    /// Firm, unreserved and free on active agents.
    available: Amounts,
    /// The sum of what is guaranteed and not consumed.
    required: Amounts,
    /// The most of each kind that one agent has for all: what leaves as much as that cuts nothing.
    largest: Amounts,
    /// Roles that may be given more than before, where a limit may have cut something.
    pub loosened: BTreeSet<String>,
    /// Whether limits hold what clients in child roles are given, too.
    bind_subtrees: bool,
}

/// The top-level role above a role, or the role itself.
pub(super) fn top(role: &str) -> &str {
    role.split_once('/').map_or(role, |(top, _)| top)
}

fn name_all(names: &mut Vec<Name>, quota: &Quota) {
    for (name, _) in quota.guarantees.iter().chain(&quota.limits) {
        if !names.iter().any(|known| known.as_str() == name) {
            names.push(name.as_str().into());
        }
    }
}

fn is_firm(item: &Item) -> bool {
    !item.kind.is_revocable() && !item.kind.is_shared()
}

fn is_free_for_all(item: &Item) -> bool {
    is_firm(item) && item.kind.reserved_to().is_none()
}

impl Quotas {
    pub(super) fn new(bind_subtrees: bool) -> Self {
        Self { bind_subtrees, ..Self::default() }
    }
    pub(super) fn is_empty(&self) -> bool {
        self.roles.is_empty()
    }
    pub(super) fn get(&self, role: &str) -> Option<&Quota> {
        self.roles.get(role).map(|ledger| &ledger.quota)
    }
    pub(super) fn roles(&self) -> impl Iterator<Item = (&str, &Quota)> {
        self.roles.iter().map(|(role, ledger)| (role.as_str(), &ledger.quota))
    }
    /// Sets the quotas of roles; an empty one ends a role's. False, and nothing is set, if all quotas together would name
    /// too many kinds. Sums are to be counted anew.
    pub(super) fn set(&mut self, changed: BTreeMap<&str, Quota>) -> bool {
        let mut names = Vec::new();
        let stay = self.roles.iter().filter(|(role, _)| !changed.contains_key(role.as_str()));
        stay.for_each(|(_, ledger)| name_all(&mut names, &ledger.quota));
        changed.values().for_each(|quota| name_all(&mut names, quota));
        if names.len() > QUOTA_KINDS_MAX {
            return false;
        }
        for (role, quota) in changed {
            if quota == Quota::default() {
                self.roles.remove(role);
                continue;
            }
            let empty = [0; QUOTA_KINDS_MAX];
            let limits = [None; QUOTA_KINDS_MAX];
            let ledger = Ledger { quota, guarantees: empty, limits, consumed: empty, unmet: empty };
            self.roles.insert(role.to_owned(), ledger);
        }
        true
    }
    /// Forgets all sums, before they are counted anew.
    pub(super) fn clear(&mut self) {
        self.names.clear();
        for ledger in self.roles.values() {
            name_all(&mut self.names, &ledger.quota);
        }
        let names = &self.names;
        let at = |name: &str| names.iter().position(|known| known.as_str() == name);
        self.available = [0; QUOTA_KINDS_MAX];
        self.required = [0; QUOTA_KINDS_MAX];
        self.largest = [0; QUOTA_KINDS_MAX];
        for ledger in self.roles.values_mut() {
            (ledger.guarantees, ledger.limits) = ([0; QUOTA_KINDS_MAX], [None; QUOTA_KINDS_MAX]);
            for (name, milli) in &ledger.quota.guarantees {
                at(name).into_iter().for_each(|at| ledger.guarantees[at] = (*milli).max(0));
            }
            for (name, milli) in &ledger.quota.limits {
                at(name).into_iter().for_each(|at| ledger.limits[at] = Some((*milli).max(0)));
            }
            ledger.consumed = [0; QUOTA_KINDS_MAX];
            ledger.reckon();
            shift(&mut self.required, &ledger.unmet, 1);
        }
    }
    fn count(&self, resources: &Resources, keep: impl Fn(&Item) -> bool) -> Amounts {
        let mut sums = [0; QUOTA_KINDS_MAX];
        for item in resources.iter().filter(|item| keep(item)) {
            let Amount::Scalar(milli) = item.amount else { continue };
            if let Some(at) = self.names.iter().position(|name| name == item.kind.name()) {
                sums[at] = i64::wrapping_add(sums[at], milli);
            }
        }
        sums
    }
    fn consume(&mut self, role: &str, amounts: &Amounts, sign: i64) {
        let Some(ledger) = self.roles.get_mut(top(role)) else { return };
        let near = |at: usize| {
            ledger.limits[at]
                .is_some_and(|limit| limit.saturating_sub(ledger.consumed[at]) < self.largest[at])
        };
        if sign < 0 && (0..self.names.len()).any(|at| amounts[at] > 0 && near(at)) {
            self.loosened.insert(top(role).to_owned());
        }
        shift(&mut self.required, &ledger.unmet, -1);
        shift(&mut ledger.consumed, amounts, sign);
        ledger.reckon();
        shift(&mut self.required, &ledger.unmet, 1);
    }
    /// A client of a role holds more (`sign` 1) or less (-1).
    pub(super) fn held(&mut self, role: &str, resources: &Resources, sign: i64) {
        if self.roles.contains_key(top(role)) {
            let amounts = self.count(resources, is_free_for_all);
            self.consume(role, &amounts, sign);
        }
    }
    /// An agent has this (`sign` 1), or has it no more (-1): what of it is reserved is consumed.
    pub(super) fn reserved(&mut self, total: &Resources, sign: i64) {
        if self.roles.is_empty() {
            return;
        }
        for item in total {
            if let Some(role) = item.kind.reserved_to().filter(|role| self.roles.contains_key(top(role))) {
                let one: Resources = [item.clone()].into_iter().collect();
                let amounts = self.count(&one, is_firm);
                self.consume(role, &amounts, sign);
            }
        }
    }
    /// What of an agent's free resources counts as available to all.
    pub(super) fn free_for_all(&self, free: &Resources) -> Amounts {
        self.count(free, is_free_for_all)
    }
    /// What is available to all changed on one agent.
    pub(super) fn freed(&mut self, before: &Amounts, now: &Amounts) {
        shift(&mut self.available, before, -1);
        shift(&mut self.available, now, 1);
    }
    /// Whether somebody is guaranteed more than it has.
    pub(super) fn holds_back(&self) -> bool {
        self.required.iter().any(|milli| *milli > 0)
    }
    /// An agent has this: what is kept of it is never less.
    pub(super) fn seen(&mut self, total: &Resources) {
        let amounts = self.count(total, is_free_for_all);
        self.largest.iter_mut().zip(&amounts).for_each(|(largest, milli)| *largest = (*largest).max(*milli));
    }
    /// Whether what is held back for guarantees may cut what is free on some agent.
    pub(super) fn tight(&self) -> bool {
        (0..self.names.len()).any(|at| {
            self.required[at] > 0 && self.available[at].saturating_sub(self.required[at]) < self.largest[at]
        })
    }
    /// Roles that have less than they are guaranteed.
    pub(super) fn short(&self) -> impl Iterator<Item = &str> {
        let short = self.roles.iter().filter(|(_, ledger)| ledger.unmet.iter().any(|milli| *milli > 0));
        short.map(|(role, _)| role.as_str())
    }
    /// What a role's subtree consumes, in thousandths of what quotas name.
    pub(super) fn consumed(&self, role: &str) -> Quantities {
        let Some(ledger) = self.roles.get(role) else { return Vec::new() };
        let named = self.names.iter().zip(&ledger.consumed).filter(|(_, milli)| **milli > 0);
        named.map(|(name, milli)| (name.as_str().to_owned(), *milli)).collect()
    }

    /// The part of what is free that a client of `role` may be given in a round.
    pub(super) fn cut<'a>(&self, free: Cow<'a, Resources>, role: &str, round: Round) -> Cow<'a, Resources> {
        let ledger = self.roles.get(top(role));
        if round == Round::Shares && ledger.is_none() && !self.holds_back() {
            return free;
        }
        let mut caps = [i64::MAX; QUOTA_KINDS_MAX];
        let mut wanted = false;
        for (at, cap) in caps.iter_mut().enumerate().take(self.names.len()) {
            if let Some(ledger) = ledger.filter(|_| self.bind_subtrees || !role.contains('/'))
                && let Some(limit) = ledger.limits[at]
            {
                *cap = limit.saturating_sub(ledger.consumed[at]).max(0);
            }
            if self.required[at] <= 0 {
                continue;
            }
            // Beyond what it is guaranteed it may have what no guarantee needs.
            let spare = self.available[at].saturating_sub(self.required[at]).max(0);
            let unmet = ledger.filter(|_| round == Round::Guarantees).map_or(0, |ledger| ledger.unmet[at]);
            *cap = (*cap).min(unmet.saturating_add(spare));
            let is_here = |item: &Item| is_free_for_all(item) && *item.kind.name() == self.names[at];
            wanted |= unmet > 0 && *cap > 0 && free.iter().any(is_here);
        }
        if round == Round::Guarantees && !wanted {
            return Cow::Owned(Resources::new());
        }
        let capped = |item: &Item| {
            let at = self.names.iter().position(|name| name == item.kind.name())?;
            (caps[at] < i64::MAX && is_free_for_all(item) && matches!(item.amount, Amount::Scalar(_)))
                .then_some(at)
        };
        if !free.iter().any(|item| capped(item).is_some()) {
            return free;
        }
        let mut cut = Resources::new();
        let mut spent = [0; QUOTA_KINDS_MAX];
        for item in free.iter() {
            let (Some(at), Amount::Scalar(milli)) = (capped(item), &item.amount) else {
                cut.add_item(item.clone());
                continue;
            };
            let left = caps[at] - spent[at];
            // What can't be divided is given whole or not at all.
            let given = if item.kind.is_whole() && *milli > left { 0 } else { (*milli).min(left) };
            spent[at] += given;
            if given == *milli {
                cut.add_item(item.clone());
            } else {
                cut.add_item(Item::new(item.kind.clone(), Amount::Scalar(given)));
            }
        }
        Cow::Owned(cut)
    }

    /// The sums, for those who count them anew: by role, available, required.
    #[allow(clippy::type_complexity)]
    pub(super) fn sums(&self) -> (Vec<(&str, Amounts)>, Amounts, Amounts) {
        let consumed = self.roles.iter().map(|(role, ledger)| (role.as_str(), ledger.consumed)).collect();
        (consumed, self.available, self.required)
    }
}

fn shift(sums: &mut Amounts, by: &Amounts, sign: i64) {
    sums.iter_mut().zip(by).for_each(|(sum, by)| *sum = sum.wrapping_add(by.wrapping_mul(sign)));
}
