//! Random histories, held to a slow reference (`reference`): frameworks come and go, agents change, roles have quotas and
//! weights, what is held is reserved, made a volume that several may use, and declined.

mod reference;

use super::super::{
    AgentTerms, Allocator, Constraints, FrameworkCaps, FrameworkTerms, Options, Order, Quota, Traits,
    quota::Round,
};
use super::parse;
use ::model::{
    mesos::{self, scheduler},
    resources::{Item, Resources},
};
use base::{Duration, Rng, Time};
use proptest::prelude::*;
use reference::{Agent, Amounts, Framework, Reference, Refusal};
use std::sync::Arc;

const ROLES: [&str; 5] = ["*", "x", "x/y", "x/y/z", "w"];
const TOTALS: [&str; 6] = [
    "cpus:4;mem:400;ports:[1-9]",
    "cpus:1;mem:1000",
    "cpus:2;mem:100;cpus(x):2;mem(x):50",
    "cpus:3;mem:30;mem(w):100;cpus(x/y):1",
    "cpus:0.005;mem:16",
    "cpus:2;mem:200;disk:10;disk(x):20",
];
type Units = &'static [(&'static str, i64)];
/// Guarantees and limits, in whole units.
const QUOTAS: [(Units, Units); 6] = [
    (&[], &[]),
    (&[("cpus", 3)], &[]),
    (&[], &[("cpus", 2)]),
    (&[("cpus", 1), ("mem", 300)], &[("cpus", 3), ("mem", 500)]),
    (&[("mem", 100)], &[("disk", 5)]),
    (&[], &[("cpus", 0), ("mem", 0)]),
];

#[derive(Clone, Debug)]
enum Event {
    AddFramework {
        id: usize,
        roles: u8,
        suppressed: u8,
    },
    UpdateFramework {
        id: usize,
        roles: u8,
        suppressed: u8,
    },
    RemoveFramework(usize),
    Active(usize, bool),
    AddAgent {
        id: usize,
        rack: usize,
        total: usize,
    },
    UpdateAgent {
        id: usize,
        total: usize,
    },
    RemoveAgent(usize),
    AgentActive(usize, bool),
    Recover {
        at: usize,
        half: bool,
        refuse: Option<u64>,
    },
    Suppress(usize, usize),
    Revive(usize, usize),
    Weight(usize, u8),
    Quota(usize, usize),
    /// What is held becomes something else: see `World::convert`.
    Convert {
        at: usize,
        how: u8,
    },
    /// An operator reserves, or gives free, what nobody holds.
    ConvertFree {
        agent: usize,
        role: usize,
        back: bool,
    },
    /// A shared volume is used once more than it was offered.
    Hold(usize),
    Allocate(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let (framework, agent, total) = (0..4usize, 0..4usize, 0..TOTALS.len());
    let (roles, suppressed) = (0..32u8, prop_oneof![3 => Just(0u8), 1 => 0..32u8]);
    let refuse = prop_oneof![2 => Just(None), 1 => Just(Some(0)), 3 => (0..3000u64).prop_map(Some)];
    prop_oneof![
        3 => (framework.clone(), roles.clone(), suppressed.clone())
            .prop_map(|(id, roles, suppressed)| Event::AddFramework { id, roles, suppressed }),
        1 => (framework.clone(), roles, suppressed)
            .prop_map(|(id, roles, suppressed)| Event::UpdateFramework { id, roles, suppressed }),
        1 => framework.clone().prop_map(Event::RemoveFramework),
        2 => (framework.clone(), any::<bool>()).prop_map(|(id, on)| Event::Active(id, on)),
        3 => (agent.clone(), total.clone())
            .prop_map(|(id, total)| Event::AddAgent { id, rack: id % 2, total }),
        1 => (agent.clone(), total.clone()).prop_map(|(id, total)| Event::UpdateAgent { id, total }),
        1 => (agent.clone(), 0..2usize, total)
            .prop_map(|(id, rack, total)| Event::AddAgent { id, rack, total }),
        1 => agent.clone().prop_map(Event::RemoveAgent),
        2 => (agent.clone(), any::<bool>()).prop_map(|(id, on)| Event::AgentActive(id, on)),
        12 => (any::<prop::sample::Index>(), any::<bool>(), refuse)
            .prop_map(|(at, half, refuse)| Event::Recover { at: at.index(1000), half, refuse }),
        1 => (framework.clone(), 0..ROLES.len()).prop_map(|(id, role)| Event::Suppress(id, role)),
        1 => (framework, 0..ROLES.len()).prop_map(|(id, role)| Event::Revive(id, role)),
        1 => (0..ROLES.len(), 1..5u8).prop_map(|(role, weight)| Event::Weight(role, weight)),
        2 => (0..3usize, 0..QUOTAS.len()).prop_map(|(role, quota)| Event::Quota(role, quota)),
        4 => (any::<prop::sample::Index>(), any::<u8>())
            .prop_map(|(at, how)| Event::Convert { at: at.index(1000), how }),
        2 => (agent, 1..ROLES.len(), any::<bool>())
            .prop_map(|(agent, role, back)| Event::ConvertFree { agent, role, back }),
        1 => any::<prop::sample::Index>().prop_map(|at| Event::Hold(at.index(1000))),
        12 => prop_oneof![Just(0u64), 0..200u64, 0..4000u64].prop_map(Event::Allocate),
    ]
}

fn chosen(mask: u8) -> Vec<String> {
    ROLES.iter().enumerate().filter(|(i, _)| mask & (1 << i) != 0).map(|(_, role)| role.to_string()).collect()
}

fn milli(amounts: &[(&str, i64)]) -> Amounts {
    amounts.iter().map(|(name, units)| ((*name).to_owned(), units * 1000)).collect()
}

/// An item with one more dynamic reservation.
fn reserved(item: &Item, role: &str) -> Resources {
    let mut messages = one(item).to_messages();
    let mut reservation = mesos::resource::ReservationInfo { role: Some(role.into()), ..Default::default() };
    reservation.set_type(mesos::resource::reservation_info::Type::Dynamic);
    messages[0].reservations.push(reservation);
    Resources::from_messages(&messages).unwrap()
}

/// An item as a persistent volume.
fn volume(item: &Item, shared: bool) -> Resources {
    let mut messages = one(item).to_messages();
    let persistence = mesos::resource::disk_info::Persistence { id: "v".into(), principal: None };
    messages[0].disk =
        Some(Box::new(mesos::resource::DiskInfo { persistence: Some(persistence), ..Default::default() }));
    messages[0].shared = shared.then(Default::default);
    Resources::from_messages(&messages).unwrap()
}

fn one(item: &Item) -> Resources {
    std::iter::once(item.clone()).collect()
}

/// The first framework takes everything; the second wants agents of one rack; the third one agent in role `x`, and another
/// rack in all others; the last two racks in turns.
fn constraints(id: &str, roles: u8) -> Option<Arc<Constraints>> {
    use scheduler::{
        AttributeConstraint, OfferConstraints, attribute_constraint as ac, offer_constraints as oc,
    };
    let wanting = |name: Option<&str>, value: &str| {
        let mut selector = ac::Selector { attribute_name: name.map(str::to_owned), ..Default::default() };
        if name.is_none() {
            selector.pseudoattribute_type = Some(ac::selector::PseudoattributeType::Hostname.into());
        }
        let text_equals = Some(ac::predicate::TextEquals { value: value.into() });
        let predicate = ac::Predicate { text_equals, ..Default::default() };
        let attribute_constraints = vec![AttributeConstraint { selector, predicate }];
        oc::RoleConstraints { groups: vec![oc::role_constraints::Group { attribute_constraints }] }
    };
    let of_role = |role: &str| match (id, role) {
        ("f1", _) => wanting(Some("rack"), "r1"),
        ("f2", "x") => wanting(None, "host-1"),
        ("f2", _) => wanting(Some("rack"), "r0"),
        _ => wanting(Some("rack"), if roles.is_multiple_of(2) { "r0" } else { "r1" }),
    };
    let role_constraints = ROLES.iter().map(|role| (role.to_string(), of_role(role))).collect();
    (id != "f0").then(|| Arc::new(Constraints::new(&OfferConstraints { role_constraints }).unwrap()))
}

/// A name, and a rack.
fn traits(id: usize, rack: usize) -> Traits {
    let mut attribute = mesos::Attribute { name: "rack".into(), ..Default::default() };
    attribute.set_type(mesos::value::Type::Text);
    attribute.text = Some(mesos::value::Text { value: format!("r{rack}") });
    Traits { hostname: format!("host-{id}"), attributes: vec![attribute], ..Default::default() }
}

struct World {
    real: Allocator,
    reference: Reference,
    now: Time,
    rng: Rng,
}

impl World {
    fn apply(&mut self, event: Event) {
        let f = |id: usize| format!("f{id}");
        let a = |id: usize| format!("a{id}");
        match event {
            Event::AddFramework { id, roles, suppressed } => self.framework(&f(id), roles, suppressed, true),
            Event::UpdateFramework { id, roles, suppressed } => {
                self.framework(&f(id), roles, suppressed, false)
            }
            Event::RemoveFramework(id) => {
                self.real.remove_framework(&f(id));
                self.reference.frameworks.remove(&f(id));
                self.reference.drop_refusals(|refusal| refusal.who.0 == f(id));
            }
            Event::Active(id, on) => {
                let Some(framework) = self.reference.frameworks.get_mut(&f(id)) else { return };
                framework.active = on;
                if on {
                    self.real.activate_framework(&f(id));
                } else {
                    self.real.deactivate_framework(&f(id));
                    self.reference.drop_refusals(|refusal| refusal.who.0 == f(id));
                }
            }
            Event::Quota(role, quota) => self.quota(["*", "x", "w"][role], QUOTAS[quota]),
            Event::Convert { at, how } => self.convert(at, how),
            Event::ConvertFree { agent, role, back } => self.convert_free(&a(agent), ROLES[role], back),
            Event::Hold(at) => self.hold(at),
            Event::AddAgent { id, rack, total } => {
                // One agent is sometimes too old for frameworks in several roles.
                let multi_role = id != 2 || total.is_multiple_of(2);
                let total = parse(TOTALS[total]);
                // Sometimes it comes with something that a framework uses already.
                let used = if id == 3 { vec![("f0", "x", parse("cpus:1;mem:10"))] } else { Vec::new() };
                let traits = traits(id, rack);
                let terms = AgentTerms {
                    total: total.clone(),
                    multi_role,
                    hierarchical_roles: true,
                    traits: traits.clone(),
                    ..Default::default()
                };
                self.real.add_agent(&a(id), terms, &used);
                let known = self.reference.agents.get(&a(id));
                let same = known.is_some_and(|known| known.traits.attributes == traits.attributes);
                let kept: Vec<_> =
                    self.reference.refusals.iter().filter(|r| same && r.agent == a(id)).cloned().collect();
                self.remove_agent(&a(id));
                self.reference.refusals.extend(kept);
                self.forget_left_roles();
                self.reference.agents.insert(a(id), Agent { active: true, multi_role, total, traits });
                let used = used.into_iter().map(|(f, r, held)| (a(id), f.into(), r.into(), held));
                self.reference.held.extend(used);
            }
            Event::UpdateAgent { id, total } => {
                let total = parse(TOTALS[total]);
                assert_eq!(
                    self.real.update_agent(&a(id), total.clone()),
                    self.reference.agents.contains_key(&a(id))
                );
                if let Some(agent) = self.reference.agents.get_mut(&a(id)) {
                    agent.total = total;
                }
            }
            Event::RemoveAgent(id) => {
                self.real.remove_agent(&a(id));
                self.remove_agent(&a(id));
            }
            Event::AgentActive(id, on) => {
                if on {
                    self.real.activate_agent(&a(id))
                } else {
                    self.real.deactivate_agent(&a(id))
                }
                if let Some(agent) = self.reference.agents.get_mut(&a(id)) {
                    agent.active = on;
                }
            }
            Event::Recover { at, half, refuse } => self.recover(at, half, refuse),
            Event::Suppress(id, role) => {
                self.real.suppress(&f(id), &[ROLES[role].into()]);
                if let Some(framework) = self.reference.frameworks.get_mut(&f(id)) {
                    framework.suppressed.push(ROLES[role].into());
                }
            }
            Event::Revive(id, role) => {
                self.real.revive(&f(id), &[ROLES[role].into()]);
                if let Some(framework) = self.reference.frameworks.get_mut(&f(id)) {
                    framework.suppressed.retain(|other| other != ROLES[role]);
                }
                self.reference.drop_refusals(|refusal| refusal.who == (f(id), ROLES[role].into()));
            }
            Event::Weight(role, weight) => {
                self.real.set_weight(ROLES[role], f64::from(weight));
                self.reference.weights.insert(ROLES[role].into(), f64::from(weight));
            }
            Event::Allocate(after) => self.allocate(Duration::from_millis(after)),
        }
    }
    fn framework(&mut self, id: &str, roles: u8, suppressed: u8, add: bool) {
        let (mask, roles, suppressed) = (roles, chosen(roles), chosen(suppressed));
        let known = Framework {
            active: true,
            roles: roles.clone(),
            suppressed: suppressed.clone(),
            shared: matches!(id, "f0" | "f1"),
            refinement: id != "f1",
            multi_role: id == "f0" || mask.is_multiple_of(2),
            constraints: constraints(id, mask),
            least: match id {
                "f3" => [("x".to_owned(), vec![milli(&[("cpus", 2)])]), ("w".to_owned(), vec![])].into(),
                _ => Default::default(),
            },
        };
        let terms = FrameworkTerms {
            roles: roles.clone(),
            suppressed,
            capabilities: FrameworkCaps {
                shared: known.shared,
                refinement: known.refinement,
                multi_role: known.multi_role,
                ..Default::default()
            },
            min_allocatable: known.least.clone(),
            constraints: known.constraints.clone(),
        };
        if add {
            self.real.add_framework(id, terms, true);
        } else if self.reference.frameworks.contains_key(id) {
            self.real.update_framework(id, terms);
        } else {
            return;
        }
        let before = self.reference.frameworks.get(id).map(|f| f.suppressed.clone()).unwrap_or_default();
        let revived: Vec<_> =
            before.iter().filter(|role| roles.contains(role) && !known.suppressed.contains(role)).collect();
        self.reference.drop_refusals(|refusal| {
            refusal.who.0 == id && revived.iter().any(|role| **role == *refusal.who.1)
        });
        let active = add || self.reference.frameworks[id].active;
        // A role that it left and holds nothing in is forgotten, and what it declined there with it.
        let held = |role: &str| self.reference.held.iter().any(|held| held.1 == id && held.2 == role);
        let gone: Vec<_> =
            ROLES.iter().filter(|role| !roles.iter().any(|r| r == *role) && !held(role)).collect();
        self.reference
            .drop_refusals(|refusal| refusal.who.0 == id && gone.iter().any(|role| **role == refusal.who.1));
        self.reference.frameworks.insert(id.into(), Framework { active, ..known });
    }
    fn remove_agent(&mut self, id: &str) {
        self.reference.agents.remove(id);
        self.reference.held.retain(|held| held.0 != id);
        self.reference.drop_refusals(|refusal| refusal.agent == id);
        self.forget_left_roles();
    }
    fn forget_left_roles(&mut self) {
        let (held, frameworks) = (&self.reference.held, &self.reference.frameworks);
        self.reference.refusals.retain(|refusal| {
            let (id, role) = &refusal.who;
            held.iter().any(|held| held.1 == *id && held.2 == *role)
                || frameworks.get(id).is_some_and(|framework| framework.roles.contains(role))
        });
    }
    fn recover(&mut self, at: usize, half: bool, refuse: Option<u64>) {
        if self.reference.held.is_empty() {
            return;
        }
        let at = at % self.reference.held.len();
        let (agent, framework, role, held) = self.reference.held[at].clone();
        let part = if half { held.filter(|item| item.kind.name().as_str() == "cpus") } else { held.clone() };
        if part.is_empty() {
            return;
        }
        let refuse = refuse.map(Duration::from_millis);
        assert!(self.real.recover(&framework, &agent, &role, &part, refuse, self.now));
        let rest = held.difference(&part);
        if rest.is_empty() {
            self.reference.held.remove(at);
        } else {
            self.reference.held[at].3 = rest;
        }
        if let Some(refuse) = refuse {
            let until = (self.now + refuse.max(Duration::from_millis(100))).as_nanos();
            let until = Time::from_nanos(until.next_multiple_of(10_000_000));
            self.reference.refusals.push(Refusal { who: (framework, role), agent, declined: part, until });
        }
        self.forget_left_roles();
    }
    fn quota(&mut self, role: &str, (guarantees, limits): (Units, Units)) {
        let (guarantees, limits) = (milli(guarantees), milli(limits));
        let quota = Quota { guarantees: guarantees.clone(), limits: limits.clone() };
        assert!(self.real.set_quota(role, quota.clone()));
        if quota == Quota::default() {
            self.reference.quotas.remove(role);
        } else {
            self.reference.quotas.insert(role.into(), (guarantees, limits));
        }
    }
    /// Reserves what is held for its role, makes a volume of it, and goes back.
    fn convert(&mut self, at: usize, how: u8) {
        if self.reference.held.is_empty() {
            return;
        }
        let at = at % self.reference.held.len();
        let (agent, framework, role, held) = self.reference.held[at].clone();
        let items: Vec<_> = held.iter().collect();
        let item = items[usize::from(how / 8) % items.len()];
        let to = item.kind.reserved_to();
        let converted = match how % 8 {
            0..4 if role != "*" && to.is_none_or(|to| role.starts_with(&format!("{to}/"))) => {
                reserved(item, &role)
            }
            4 if item.kind.is_dynamically_reserved() && !item.kind.is_persistent_volume() => {
                one(&Item::new(item.kind.without_last_reservation(), item.amount.clone()))
            }
            5 | 6
                if item.kind.name().as_str() == "disk"
                    && to.is_some()
                    && !item.kind.is_persistent_volume() =>
            {
                volume(item, how % 8 == 5)
            }
            7 if item.kind.is_persistent_volume() => {
                one(&Item::new(item.kind.without_volume(), item.amount.clone()))
            }
            _ => return,
        };
        // A volume that another uses too is not destroyed.
        let copy = one(&Item::new(item.kind.clone(), item.amount.clone()));
        let users = self.reference.held.iter().filter(|h| h.0 == agent && h.3.contains(&copy)).count();
        if item.kind.is_shared() && (users > 1 || one(item) != copy) {
            return;
        }
        let consumed = one(item);
        // An agent that shrank below what is held of it has nothing to convert.
        let total = &mut self.reference.agents.get_mut(&agent).unwrap().total;
        let there = total.contains(&consumed);
        assert_eq!(self.real.convert(&framework, &agent, &role, &consumed, &converted), there);
        if there {
            *total = total.difference(&consumed) + &converted;
            self.reference.held[at].3 = held.difference(&consumed) + &converted;
        }
    }
    fn convert_free(&mut self, agent: &str, role: &str, back: bool) {
        if !self.reference.agents.contains_key(agent) {
            assert!(!self.real.convert_free(agent, &parse("cpus:1"), &parse("cpus(x):1")));
            return;
        }
        let plain = parse("cpus:1");
        let item = plain.iter().next().unwrap();
        let other = reserved(item, role);
        let (consumed, converted) = if back { (other, plain) } else { (plain, other) };
        let there = self.reference.free(agent).contains(&consumed);
        assert_eq!(self.real.convert_free(agent, &consumed, &converted), there);
        if there {
            let total = &mut self.reference.agents.get_mut(agent).unwrap().total;
            *total = total.difference(&consumed) + &converted;
        }
    }
    fn hold(&mut self, at: usize) {
        if self.reference.held.is_empty() {
            return;
        }
        let at = at % self.reference.held.len();
        let (agent, framework, role, held) = self.reference.held[at].clone();
        if held.has_shared() {
            let more: Resources = held
                .shared()
                .iter()
                .take(1)
                .map(|item| Item::new(item.kind.clone(), item.amount.clone()))
                .collect();
            assert!(self.real.hold(&framework, &agent, &role, &more));
            self.reference.held[at].3 += &more;
        }
    }
    fn allocate(&mut self, after: Duration) {
        self.now = self.now + after;
        let mut round = Round::Guarantees;
        for offer in self.real.allocate(self.now, &mut self.rng) {
            // First those who have less than they are guaranteed, then everyone.
            if round == Round::Shares || !self.reference.accept(&offer, round, self.now) {
                round = Round::Shares;
                let accepted = self.reference.accept(&offer, round, self.now);
                assert!(accepted, "{offer:?} is not what it may have");
            }
        }
        // Nothing starves: what is left is what nobody may have, and the deadline wakes it in time.
        for agent in self.reference.agents.keys() {
            for round in [Round::Guarantees, Round::Shares] {
                assert_eq!(self.reference.takers(agent, round, self.now), [], "left on {agent}");
            }
            assert_eq!(self.real.free_on(agent), self.reference.free(agent));
        }
        let next =
            self.reference.refusals.iter().map(|refusal| refusal.until).filter(|end| *end > self.now).min();
        let woken = self.real.next_deadline();
        assert!(next.is_none() || woken.is_some(), "a refusal ends and nobody wakes");
        assert!(woken.is_none_or(|woken| woken > self.now), "no wake in the past");
        assert!(!self.real.is_dirty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_reference(
        events in prop::collection::vec(event(), 1..80),
        seed in any::<u64>(),
        (random, binds) in any::<(bool, bool)>(),
    ) {
        let order = if random { Order::Random } else { Order::Share };
        let options = Options {
            role_order: order,
            framework_order: order,
            limits_bind_subtrees: binds,
            ..Options::default()
        };
        let mut world = World {
            real: Allocator::new(options),
            reference: Reference { random, limits_bind_subtrees: binds, ..Reference::default() },
            now: Time::from_millis(1_000_000),
            rng: Rng::from_number(seed),
        };
        for event in events {
            world.apply(event);
            world.real.check();
        }
        world.apply(Event::Allocate(0));
        world.real.check();
    }
}
