//! Which clients an agent is not for, by their offer constraints: reckoned when a client or a kind of agents is new, and not
//! when something is given out.
//!
//! Agents that constraints can't tell apart are of one kind. Constraints on host names would make a kind of each agent: they
//! are not kept, who has such is asked each time. Never knows resources, refusals or who waits.

use super::{Constraints, Traits, agents::Agent, marks::Marks, roles::Slab, sorter::ClientIx};
use model::mesos::value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// An agent's kind.
pub(super) type KindIx = u32;

/// Of agents whose kind is not kept, since there were too many: whoever has constraints is asked.
const NO_KIND: KindIx = KindIx::MAX;

/// What is kept at most for all kinds together, 64 clients a word: 64 MB.
const WORDS_MAX: usize = 8 << 20;

/// Up to so many clients are known by name for a kind.
const FEW_MAX: usize = 32;

/// They are looked at alone if there are so many times more in all: otherwise the first in the order is soon found.
const FEWER: usize = 4;

/// What constraints can see of an agent beside its host name. Values that are no text all look alike.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    region: Option<String>,
    zone: Option<String>,
    attributes: BTreeMap<String, Option<String>>,
}

impl Seen {
    fn of(traits: &Traits) -> Self {
        let mut attributes = BTreeMap::new();
        for attribute in &traits.attributes {
            let text = (attribute.r#type() == value::Type::Text)
                .then(|| attribute.text.as_ref().map_or_else(String::new, |text| text.value.clone()));
            // Of a name the first counts.
            attributes.entry(attribute.name.clone()).or_insert(text);
        }
        Self { region: traits.region.clone(), zone: traits.zone.clone(), attributes }
    }
}

#[derive(Debug)]
struct Kind {
    seen: Arc<Seen>,
    /// Those of one of its agents.
    traits: Traits,
    /// How many agents are of it.
    agents: u32,
    /// Clients whose constraints it does not meet.
    out: Marks,
    /// How many clients' constraints, of those that are kept, it meets.
    met: usize,
    /// Those clients, all of them if there are so many here.
    few: Vec<ClientIx>,
}

impl Kind {
    fn add(&mut self, client: ClientIx, met: bool) {
        if !met {
            self.out.insert(client.0);
            return;
        }
        if self.few.len() == self.met && self.met < FEW_MAX {
            self.few.push(client);
        }
        self.met += 1;
    }
    fn remove(&mut self, client: ClientIx, left: &BTreeMap<ClientIx, Kept>) {
        if self.out.contains(client.0) {
            self.out.remove(client.0);
            return;
        }
        self.met -= 1;
        self.few.retain(|other| *other != client);
        // Not as soon as there would be room: who comes and goes at the limit shall not cost a look at everyone.
        if self.few.len() < self.met && self.met <= FEW_MAX / 2 {
            self.few = left.keys().filter(|client| !self.out.contains(client.0)).copied().collect();
        }
    }
}

/// A role and what its client asks of agents.
type Kept = (Arc<str>, Arc<Constraints>);

/// All kinds, and the clients that tell them apart.
#[derive(Debug)]
pub(super) struct Fits {
    kinds: Slab<Kind>,
    by_seen: BTreeMap<Arc<Seen>, KindIx>,
    kept: BTreeMap<ClientIx, Kept>,
    is_kept: Marks,
    /// Clients without constraints, or with some that are not kept.
    others: BTreeSet<ClientIx>,
}

impl Fits {
    pub(super) const fn new() -> Self {
        Self {
            kinds: Slab::new(),
            by_seen: BTreeMap::new(),
            kept: BTreeMap::new(),
            is_kept: Marks::new(),
            others: BTreeSet::new(),
        }
    }
    /// The kind of an agent that comes, or is another now.
    pub(super) fn enter(&mut self, traits: &Traits) -> KindIx {
        let seen = Seen::of(traits);
        if let Some(ix) = self.by_seen.get(&seen) {
            self.kinds[*ix].agents += 1;
            return *ix;
        }
        if !self.has_room(self.by_seen.len() + 1, self.kept.last_key_value().map(|(client, _)| *client)) {
            return NO_KIND;
        }
        let seen = Arc::new(seen);
        let mut kind = Kind {
            seen: seen.clone(),
            traits: traits.clone(),
            agents: 1,
            out: Marks::default(),
            met: 0,
            few: Vec::new(),
        };
        for (client, (role, constraints)) in &self.kept {
            kind.add(*client, constraints.admit(role, traits));
        }
        let ix = self.kinds.insert(kind);
        self.by_seen.insert(seen, ix);
        ix
    }
    /// An agent of a kind is gone, or is of another now.
    pub(super) fn leave(&mut self, ix: KindIx) {
        let Some(kind) = self.kinds.get_mut(ix) else { return };
        kind.agents -= 1;
        if kind.agents == 0 {
            self.by_seen.remove(&kind.seen);
            self.kinds.remove(ix);
        }
    }
    /// Whether so many kinds can be kept if clients up to this one have constraints.
    fn has_room(&self, kinds: usize, last: Option<ClientIx>) -> bool {
        last.is_none_or(|last| kinds.saturating_mul(last.0 as usize / 64 + 1) <= WORDS_MAX)
    }
    /// There is a new client; or what one asks of agents in its role has changed.
    pub(super) fn constrain(
        &mut self,
        client: ClientIx,
        role: &Arc<str>,
        constraints: Option<&Arc<Constraints>>,
    ) {
        let now = constraints.filter(|all| all.concern(role) && !all.ask_for_names(role));
        match (self.kept.get(&client), now) {
            (Some((_, before)), Some(now)) if Arc::ptr_eq(before, now) || before == now => return,
            _ => self.forget(client),
        }
        let last = self.kept.last_key_value().map_or(client, |(last, _)| client.max(*last));
        let Some(now) = now.filter(|_| self.has_room(self.by_seen.len(), Some(last))) else {
            self.others.insert(client);
            return;
        };
        for ix in self.by_seen.values() {
            let kind = &mut self.kinds[*ix];
            kind.add(client, now.admit(role, &kind.traits));
        }
        self.kept.insert(client, (role.clone(), now.clone()));
        self.is_kept.insert(client.0);
    }
    /// A client is gone.
    pub(super) fn forget(&mut self, client: ClientIx) {
        self.others.remove(&client);
        if self.kept.remove(&client).is_some() {
            self.is_kept.remove(client.0);
            for ix in self.by_seen.values() {
                self.kinds[*ix].remove(client, &self.kept);
            }
        }
    }
    /// Who can't be offered agents of this kind. Of others it is not said that they can.
    pub(super) fn kept_away(&self, kind: KindIx) -> Option<&Marks> {
        self.kinds.get(kind).map(|kind| &kind.out).filter(|out| !out.is_empty())
    }
    /// Whether agents of this kind are for a client, where that is known beforehand.
    pub(super) fn is_for(&self, kind: KindIx, client: ClientIx) -> Option<bool> {
        let kind = self.kinds.get(kind)?;
        self.is_kept.contains(client.0).then(|| !kind.out.contains(client.0))
    }
    /// Everyone who can be offered agents of this kind, and perhaps some who can't, where it is worth while to look at
    /// nobody else.
    pub(super) fn few(&self, kind: KindIx) -> Option<impl Iterator<Item = ClientIx>> {
        let kind = self.kinds.get(kind).filter(|kind| kind.few.len() == kind.met)?;
        let count = self.others.len() + kind.met;
        let all = self.others.len() + self.kept.len();
        (count <= FEW_MAX && count * FEWER <= all).then(|| self.others.iter().chain(&kind.few).copied())
    }
    /// Panics unless what is kept is what constraints say of each agent.
    pub(super) fn check(&self, agents: &Slab<Agent>, clients: impl Iterator<Item = ClientIx>) {
        let mut count = BTreeMap::<KindIx, u32>::new();
        for (_, agent) in agents.iter().filter(|(_, agent)| agent.kind != NO_KIND) {
            let (kind, traits) = (&self.kinds[agent.kind], &agent.more.traits);
            assert_eq!(*kind.seen, Seen::of(traits), "{} is of its kind", agent.id);
            *count.entry(agent.kind).or_default() += 1;
            let met: BTreeSet<_> = self
                .kept
                .iter()
                .filter(|(_, (role, all))| all.admit(role, traits))
                .map(|(c, _)| *c)
                .collect();
            for client in self.kept.keys() {
                assert_eq!(self.is_for(agent.kind, *client), Some(met.contains(client)), "{}", agent.id);
            }
            assert_eq!(kind.met, met.len());
            assert!(kind.few.len() <= FEW_MAX && kind.few.iter().all(|client| met.contains(client)));
            let once: BTreeSet<_> = kind.few.iter().collect();
            assert_eq!(once.len(), kind.few.len(), "each once");
        }
        let kinds: BTreeMap<_, _> = self.kinds.iter().map(|(ix, kind)| (ix, kind.agents)).collect();
        assert_eq!(count, kinds, "kinds are those of agents");
        assert_eq!(self.by_seen.len(), kinds.len());
        let (here, all): (BTreeSet<_>, BTreeSet<_>) =
            (self.kept.keys().chain(&self.others).copied().collect(), clients.collect());
        assert_eq!(here, all, "every client is known");
        assert!(self.kept.keys().all(|client| !self.others.contains(client)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::mesos::{
        Attribute,
        scheduler::{
            AttributeConstraint, OfferConstraints, attribute_constraint as ac, offer_constraints as oc,
        },
    };

    fn on_rack(rack: &str) -> Arc<Constraints> {
        let selector = ac::Selector { attribute_name: Some("rack".into()), ..Default::default() };
        let text_equals = Some(ac::predicate::TextEquals { value: rack.into() });
        let predicate = ac::Predicate { text_equals, ..Default::default() };
        let attribute_constraints = vec![AttributeConstraint { selector, predicate }];
        let groups = vec![oc::role_constraints::Group { attribute_constraints }];
        let role_constraints = [("r".to_owned(), oc::RoleConstraints { groups })].into();
        Arc::new(Constraints::new(&OfferConstraints { role_constraints }).unwrap())
    }

    fn in_rack(rack: &str, hostname: &str) -> Traits {
        let mut text = Attribute { name: "rack".into(), ..Default::default() };
        text.set_type(value::Type::Text);
        text.text = Some(value::Text { value: rack.to_owned() });
        Traits { hostname: hostname.into(), attributes: vec![text], ..Default::default() }
    }

    fn few(fits: &Fits, kind: KindIx) -> Option<Vec<u32>> {
        let mut few: Vec<_> = fits.few(kind)?.map(|client| client.0).collect();
        few.sort_unstable();
        Some(few)
    }

    #[test]
    fn agents_that_constraints_cannot_tell_apart_are_one_kind() {
        let mut fits = Fits::new();
        let (one, other) = (fits.enter(&in_rack("a", "h1")), fits.enter(&in_rack("a", "h2")));
        assert_eq!(one, other);
        let third = fits.enter(&in_rack("b", "h1"));
        assert_ne!(one, third);
        let role: Arc<str> = "r".into();
        fits.constrain(ClientIx(7), &role, Some(&on_rack("a")));
        assert_eq!(
            (fits.is_for(one, ClientIx(7)), fits.is_for(third, ClientIx(7))),
            (Some(true), Some(false))
        );
        assert!(fits.kept_away(third).is_some_and(|out| out.contains(7)) && fits.kept_away(one).is_none());
        fits.constrain(ClientIx(7), &role, Some(&on_rack("b")));
        assert_eq!(
            (fits.is_for(one, ClientIx(7)), fits.is_for(third, ClientIx(7))),
            (Some(false), Some(true))
        );
        fits.constrain(ClientIx(7), &role, None);
        assert_eq!((fits.is_for(one, ClientIx(7)), fits.is_for(third, ClientIx(7))), (None, None));
        // What concerns another role alone says nothing of this one.
        fits.constrain(ClientIx(8), &"other".into(), Some(&on_rack("a")));
        assert_eq!(fits.is_for(third, ClientIx(8)), None);
        fits.leave(one);
        fits.leave(one);
        assert!(fits.kinds.get(one).is_none() && fits.kinds.get(third).is_some());
    }

    #[test]
    fn few_are_known_by_name_as_clients_come_and_go() {
        let mut fits = Fits::new();
        let (a, b) = (fits.enter(&in_rack("a", "")), fits.enter(&in_rack("b", "")));
        let role: Arc<str> = "r".into();
        let many = 6 * FEW_MAX as u32;
        for client in 0..many {
            fits.constrain(ClientIx(client), &role, Some(&on_rack(if client % 10 == 0 { "a" } else { "b" })));
        }
        let tens: Vec<_> = (0..many).step_by(10).collect();
        assert_eq!(few(&fits, a), Some(tens.clone()));
        assert_eq!(few(&fits, b), None, "most of them want it");
        assert_eq!(few(&fits, NO_KIND), None);
        // One who takes everything is one more for both.
        fits.constrain(ClientIx(many), &role, None);
        assert_eq!(few(&fits, a), Some(tens.iter().copied().chain([many]).collect()));
        // There were too many to be known by name; now there are not.
        for client in 0..many {
            let rack = if client % 20 == 1 { "b" } else { "a" };
            fits.constrain(ClientIx(client), &role, Some(&on_rack(rack)));
        }
        assert_eq!(few(&fits, a), None);
        assert_eq!(few(&fits, b), Some((1..many).step_by(20).chain([many]).collect()));
        fits.forget(ClientIx(1));
        fits.forget(ClientIx(many));
        assert_eq!(few(&fits, b), Some((21..many).step_by(20).collect()));
    }

    #[test]
    fn what_would_take_too_much_room_is_not_kept() {
        let mut fits = Fits::new();
        let kind = fits.enter(&in_rack("a", ""));
        let far = ClientIx(u32::MAX);
        fits.constrain(far, &"r".into(), Some(&on_rack("b")));
        assert_eq!(fits.is_for(kind, far), None, "it is asked each time");
        fits.constrain(ClientIx((WORDS_MAX * 64 - 1) as u32), &"r".into(), Some(&on_rack("a")));
        assert_eq!(fits.enter(&in_rack("b", "")), NO_KIND);
        fits.leave(NO_KIND);
    }
}
