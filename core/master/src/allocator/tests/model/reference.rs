//! The slow reference: plain lists, everything reckoned from the start each time. Knows nothing of trees, sorted sets,
//! running sums and dirty marks.

use super::super::super::{Constraints, Offerable, Traits, quota::Round};
use ::model::resources::{Amount, Item, Resources};
use base::Time;
use std::{collections::BTreeMap, sync::Arc};

pub(super) type Amounts = Vec<(String, i64)>;

#[derive(Clone, Default)]
pub(super) struct Framework {
    pub active: bool,
    pub roles: Vec<String>,
    pub suppressed: Vec<String>,
    pub shared: bool,
    pub refinement: bool,
    pub multi_role: bool,
    pub constraints: Option<Arc<Constraints>>,
    pub least: BTreeMap<String, Vec<Amounts>>,
}

pub(super) struct Agent {
    pub active: bool,
    pub multi_role: bool,
    pub total: Resources,
    pub traits: Traits,
}

#[derive(Clone)]
pub(super) struct Refusal {
    pub who: (String, String),
    pub agent: String,
    pub declined: Resources,
    pub until: Time,
}

#[derive(Default)]
pub(super) struct Reference {
    pub frameworks: BTreeMap<String, Framework>,
    pub agents: BTreeMap<String, Agent>,
    /// Agent, framework, role, what.
    pub held: Vec<(String, String, String, Resources)>,
    pub refusals: Vec<Refusal>,
    pub weights: BTreeMap<String, f64>,
    /// Guarantees and limits of top-level roles.
    pub quotas: BTreeMap<String, (Amounts, Amounts)>,
    pub limits_bind_subtrees: bool,
    /// Whether the order is drawn, so that any taker may come first.
    pub random: bool,
}

fn top(role: &str) -> &str {
    role.split('/').next().unwrap_or(role)
}

fn counts(item: &Item) -> bool {
    !item.kind.is_revocable() && !item.kind.is_shared() && item.kind.reserved_to().is_none()
}

fn named(amounts: &Amounts, name: &str) -> Option<i64> {
    amounts.iter().find(|(other, _)| other == name).map(|(_, milli)| *milli)
}

impl Reference {
    pub fn free(&self, agent: &str) -> Resources {
        let held: Resources = self.held.iter().filter(|held| held.0 == agent).map(|held| &held.3).sum();
        self.agents[agent].total.difference(&held.not_shared())
    }
    /// What a role's subtree consumes: what is reserved to it, and what it holds of the rest.
    fn consumed(&self, role: &str, name: &str) -> i64 {
        let reserved = |item: &&Item| {
            let to = item.kind.reserved_to();
            !item.kind.is_revocable() && !item.kind.is_shared() && to.is_some_and(|to| top(to) == role)
        };
        let of = |all: &Resources, keep: &dyn Fn(&&Item) -> bool| {
            all.iter().filter(keep).cloned().collect::<Resources>().milli(name)
        };
        let reserved: i64 = self.agents.values().map(|agent| of(&agent.total, &reserved)).sum();
        let held = self.held.iter().filter(|held| top(&held.2) == role);
        reserved + held.map(|held| of(&held.3, &|item| counts(item))).sum::<i64>()
    }
    fn unmet(&self, role: &str, name: &str) -> i64 {
        let guarantee = self.quotas.get(role).and_then(|(guarantees, _)| named(guarantees, name));
        (guarantee.unwrap_or(0) - self.consumed(role, name)).max(0)
    }
    /// How much of a kind a client of a role may get, if anything stands in its way.
    fn cap(&self, role: &str, name: &str, round: Round) -> Option<i64> {
        let mut cap: Option<i64> = None;
        let mut at_most = |most: i64| cap = Some(cap.map_or(most, |cap| cap.min(most)));
        if let Some((_, limits)) = self.quotas.get(top(role))
            && (self.limits_bind_subtrees || !role.contains('/'))
            && let Some(limit) = named(limits, name)
        {
            at_most((limit - self.consumed(top(role), name)).max(0));
        }
        let unmet = self.unmet(top(role), name);
        let required: i64 = self.quotas.keys().map(|role| self.unmet(role, name)).sum();
        if required > 0 {
            // Whoever is guaranteed something gets it, and beyond it what no guarantee needs.
            let ids = self.agents.iter().filter(|(_, agent)| agent.active).map(|(id, _)| id);
            let available: i64 = ids.map(|id| self.free(id).filter(counts).milli(name)).sum();
            let own = if round == Round::Guarantees { unmet } else { 0 };
            at_most(own + (available - required).max(0));
        }
        cap
    }
    fn cut(&self, free: &Resources, role: &str, round: Round) -> Resources {
        let mut cut = Resources::new();
        let mut spent = BTreeMap::<String, i64>::new();
        let mut wanted = false;
        for item in free {
            let name = item.kind.name().as_str();
            let cap = self.cap(role, name, round).filter(|_| counts(item));
            let (Some(cap), Amount::Scalar(milli)) = (cap, &item.amount) else {
                cut.add_item(item.clone());
                continue;
            };
            let left = cap - spent.get(name).copied().unwrap_or(0);
            wanted |= cap > 0 && self.unmet(top(role), name) > 0;
            let given = if item.kind.is_whole() && *milli > left { 0 } else { left.min(*milli) };
            *spent.entry(name.to_owned()).or_default() += given;
            cut.add_item(Item::new(item.kind.clone(), Amount::Scalar(given)));
        }
        if round == Round::Guarantees && !wanted { Resources::new() } else { cut }
    }
    /// What a framework may be given in a role on an agent now.
    fn may_have(
        &self,
        framework: &str,
        role: &str,
        agent: &str,
        round: Round,
        now: Time,
    ) -> Option<Resources> {
        let f = &self.frameworks[framework];
        let subscribed = f.roles.iter().any(|r| r == role) && !f.suppressed.iter().any(|r| r == role);
        if !f.active || !subscribed || !self.agents[agent].active {
            return None;
        }
        if f.multi_role && !self.agents[agent].multi_role {
            return None;
        }
        if f.constraints.as_ref().is_some_and(|c| !c.admit(role, &self.agents[agent].traits)) {
            return None;
        }
        let free = self.free(agent).usable_by(role).filter(|item| {
            (f.shared || !item.kind.is_shared()) && (f.refinement || item.kind.reservations().len() < 2)
        });
        let free = if self.quotas.is_empty() { free } else { self.cut(&free, role, round) };
        if free.not_shared().is_empty() {
            return None;
        }
        let enough = match f.least.get(role) {
            Some(least) => {
                let holds = |one: &Amounts| {
                    one.iter().all(|(name, milli)| free.quantity(&name.as_str().into()) >= *milli)
                };
                least.is_empty() || least.iter().any(holds)
            }
            None => free.scalar("cpus") >= 0.01 || free.scalar("mem") >= 32.0,
        };
        let refused = self.refusals.iter().any(|refusal| {
            (refusal.who.0 == framework && refusal.who.1 == role && refusal.agent == agent)
                && refusal.until > now
                && refusal.declined.contains(&free)
        });
        (enough && !refused).then_some(free)
    }
    pub fn takers(&self, agent: &str, round: Round, now: Time) -> Vec<(String, String)> {
        let mut takers = Vec::new();
        for (id, framework) in &self.frameworks {
            for role in &framework.roles {
                if self.may_have(id, role, agent, round, now).is_some() {
                    takers.push((id.clone(), role.clone()));
                }
            }
        }
        takers
    }
    fn share(&self, counts: impl Fn(&str, &str) -> bool, weight: f64) -> f64 {
        ["cpus", "mem", "disk"].iter().fold(0.0, |share: f64, name| {
            let all: i64 = self.agents.values().map(|agent| agent.total.milli(name)).sum();
            let have: i64 =
                self.held.iter().filter(|held| counts(&held.1, &held.2)).map(|held| held.3.milli(name)).sum();
            if all > 0 { share.max(have as f64 / all as f64 / weight) } else { share }
        })
    }
    /// The branches from the root to a client, each with its share among its siblings.
    fn standing(&self, framework: &str, role: &str) -> Vec<(String, f64)> {
        let mut standing = Vec::new();
        let mut path = String::new();
        for part in role.split('/') {
            path = if path.is_empty() { part.to_owned() } else { format!("{path}/{part}") };
            let below = |_: &str, r: &str| r == path || r.starts_with(&format!("{path}/"));
            let weight = self.weights.get(&path).copied().unwrap_or(1.0);
            standing.push((path.clone(), self.share(below, weight)));
        }
        standing.push((".".into(), self.share(|_, r| r == role, 1.0)));
        standing.push((framework.into(), self.share(|f, r| f == framework && r == role, 1.0)));
        standing
    }
    /// Whether `a` may come before `b`: where they part, it has no larger share.
    fn may_precede(&self, a: &(String, String), b: &(String, String)) -> bool {
        let (a, b) = (self.standing(&a.0, &a.1), self.standing(&b.0, &b.1));
        let parting = a.iter().zip(&b).find(|(a, b)| a.0 != b.0);
        parting.is_none_or(|(a, b)| a.1 <= b.1 + 1e-12)
    }
    /// Whether the offer is what its framework may have in this round; if so, it has it.
    pub fn accept(&mut self, offer: &Offerable, round: Round, now: Time) -> bool {
        let who = (offer.framework.to_string(), offer.role.to_string());
        let may = self.may_have(&who.0, &who.1, &offer.agent, round, now);
        if may.as_ref() != Some(&offer.resources) {
            return false;
        }
        for other in self.takers(&offer.agent, round, now) {
            assert!(self.random || self.may_precede(&who, &other), "{offer:?} but {other:?} has less");
        }
        self.held.push((offer.agent.to_string(), who.0, who.1, offer.resources.clone()));
        true
    }
    pub fn drop_refusals(&mut self, gone: impl Fn(&Refusal) -> bool) {
        self.refusals.retain(|refusal| !gone(refusal));
    }
}
