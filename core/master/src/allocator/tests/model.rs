//! Random histories, held to a slow reference that knows nothing of trees, sorted sets and dirty marks.

use super::{AgentTerms, Allocator, FrameworkTerms, Offerable, Options, parse};
use ::model::resources::Resources;
use base::{Duration, Rng, Time};
use proptest::prelude::*;
use std::collections::BTreeMap;

const ROLES: [&str; 5] = ["*", "x", "x/y", "x/y/z", "w"];
const TOTALS: [&str; 5] = [
    "cpus:4;mem:400;ports:[1-9]",
    "cpus:1;mem:1000",
    "cpus:2;mem:100;cpus(x):2;mem(x):50",
    "cpus:3;mem:30;mem(w):100;cpus(x/y):1",
    "cpus:0.005;mem:16",
];

#[derive(Clone, Debug)]
enum Event {
    AddFramework { id: usize, roles: u8, suppressed: u8 },
    UpdateFramework { id: usize, roles: u8, suppressed: u8 },
    RemoveFramework(usize),
    Active(usize, bool),
    AddAgent { id: usize, total: usize },
    UpdateAgent { id: usize, total: usize },
    RemoveAgent(usize),
    AgentActive(usize, bool),
    Recover { at: usize, half: bool, refuse: Option<u64> },
    Suppress(usize, usize),
    Revive(usize, usize),
    Weight(usize, u8),
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
        3 => (agent.clone(), total.clone()).prop_map(|(id, total)| Event::AddAgent { id, total }),
        1 => (agent.clone(), total).prop_map(|(id, total)| Event::UpdateAgent { id, total }),
        1 => agent.clone().prop_map(Event::RemoveAgent),
        2 => (agent, any::<bool>()).prop_map(|(id, on)| Event::AgentActive(id, on)),
        12 => (any::<prop::sample::Index>(), any::<bool>(), refuse)
            .prop_map(|(at, half, refuse)| Event::Recover { at: at.index(1000), half, refuse }),
        1 => (framework.clone(), 0..ROLES.len()).prop_map(|(id, role)| Event::Suppress(id, role)),
        1 => (framework, 0..ROLES.len()).prop_map(|(id, role)| Event::Revive(id, role)),
        1 => (0..ROLES.len(), 1..5u8).prop_map(|(role, weight)| Event::Weight(role, weight)),
        12 => prop_oneof![Just(0u64), 0..200u64, 0..4000u64].prop_map(Event::Allocate),
    ]
}

fn chosen(mask: u8) -> Vec<String> {
    ROLES.iter().enumerate().filter(|(i, _)| mask & (1 << i) != 0).map(|(_, role)| role.to_string()).collect()
}

#[derive(Clone, Default)]
struct Framework {
    active: bool,
    roles: Vec<String>,
    suppressed: Vec<String>,
}

struct Agent {
    active: bool,
    total: Resources,
}

struct Refusal {
    who: (String, String),
    agent: String,
    declined: Resources,
    until: Time,
}

/// The reference: plain lists, everything reckoned from the start each time.
#[derive(Default)]
struct Reference {
    frameworks: BTreeMap<String, Framework>,
    agents: BTreeMap<String, Agent>,
    held: Vec<(String, String, String, Resources)>,
    refusals: Vec<Refusal>,
    weights: BTreeMap<String, f64>,
}

impl Reference {
    fn free(&self, agent: &str) -> Resources {
        let held: Resources = self.held.iter().filter(|held| held.0 == agent).map(|held| &held.3).sum();
        self.agents[agent].total.difference(&held)
    }
    /// What a framework may be given in a role on an agent now.
    fn may_have(&self, framework: &str, role: &str, agent: &str, now: Time) -> Option<Resources> {
        let f = &self.frameworks[framework];
        let subscribed = f.roles.iter().any(|r| r == role) && !f.suppressed.iter().any(|r| r == role);
        if !f.active || !subscribed || !self.agents[agent].active {
            return None;
        }
        let free = self.free(agent).usable_by(role);
        let enough = free.scalar("cpus") >= 0.01 || free.scalar("mem") >= 32.0;
        let refused = self.refusals.iter().any(|refusal| {
            (refusal.who.0 == framework && refusal.who.1 == role && refusal.agent == agent)
                && refusal.until > now
                && refusal.declined.contains(&free)
        });
        (enough && !refused).then_some(free)
    }
    fn takers(&self, agent: &str, now: Time) -> Vec<(String, String)> {
        let mut takers = Vec::new();
        for (id, framework) in &self.frameworks {
            for role in &framework.roles {
                if self.may_have(id, role, agent, now).is_some() {
                    takers.push((id.clone(), role.clone()));
                }
            }
        }
        takers
    }
    fn share(&self, counts: impl Fn(&str, &str) -> bool, weight: f64) -> f64 {
        ["cpus", "mem"].iter().fold(0.0, |share: f64, name| {
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
    fn accept(&mut self, offer: &Offerable, now: Time) {
        let who = (offer.framework.to_string(), offer.role.to_string());
        let may = self.may_have(&who.0, &who.1, &offer.agent, now);
        assert_eq!(may.as_ref(), Some(&offer.resources), "{offer:?}");
        for other in self.takers(&offer.agent, now) {
            assert!(self.may_precede(&who, &other), "{offer:?} but {other:?} has less");
        }
        self.held.push((offer.agent.to_string(), who.0, who.1, offer.resources.clone()));
    }
    fn drop_refusals(&mut self, gone: impl Fn(&Refusal) -> bool) {
        self.refusals.retain(|refusal| !gone(refusal));
    }
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
            Event::AddAgent { id, total } => {
                let total = parse(TOTALS[total]);
                // Sometimes it comes with something that a framework uses already.
                let used = if id == 3 { vec![("f0", "x", parse("cpus:1;mem:10"))] } else { Vec::new() };
                let terms =
                    AgentTerms { total: total.clone(), hierarchical_roles: true, ..Default::default() };
                self.real.add_agent(&a(id), terms, &used);
                self.remove_agent(&a(id));
                self.reference.agents.insert(a(id), Agent { active: true, total });
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
        let (roles, suppressed) = (chosen(roles), chosen(suppressed));
        let terms =
            FrameworkTerms { roles: roles.clone(), suppressed: suppressed.clone(), ..Default::default() };
        if add {
            self.real.add_framework(id, terms, true);
        } else if self.reference.frameworks.contains_key(id) {
            self.real.update_framework(id, terms);
        } else {
            return;
        }
        let active = add || self.reference.frameworks[id].active;
        // A role that it left and holds nothing in is forgotten, and what it declined there with it.
        let held = |role: &str| self.reference.held.iter().any(|held| held.1 == id && held.2 == role);
        let gone: Vec<_> =
            ROLES.iter().filter(|role| !roles.iter().any(|r| r == *role) && !held(role)).collect();
        self.reference
            .drop_refusals(|refusal| refusal.who.0 == id && gone.iter().any(|role| **role == refusal.who.1));
        self.reference.frameworks.insert(id.into(), Framework { active, roles, suppressed });
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
    fn allocate(&mut self, after: Duration) {
        self.now = self.now + after;
        for offer in self.real.allocate(self.now, &mut self.rng) {
            self.reference.accept(&offer, self.now);
        }
        // Nothing starves: what is left is what nobody may have, and the deadline wakes it in time.
        for agent in self.reference.agents.keys() {
            assert_eq!(self.reference.takers(agent, self.now), [], "left on {agent}");
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
    fn agrees_with_the_reference(events in prop::collection::vec(event(), 1..80), seed in any::<u64>()) {
        let mut world = World {
            real: Allocator::new(Options::default()),
            reference: Reference::default(),
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
