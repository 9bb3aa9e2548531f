//! The allocator by example; `tests/model.rs` holds it to a slow reference.

mod model;
mod rules;

use super::{AgentTerms, Allocator, FrameworkCaps, FrameworkTerms, Offerable, Options, Stage};
use ::model::{mesos, resources::Resources};
use base::{Duration, Rng, Time};

const AGENT: &str = "cpus:4;mem:4096";

fn parse(text: &str) -> Resources {
    Resources::parse(text, "*").unwrap()
}

fn agent(total: &str) -> AgentTerms {
    AgentTerms { total: parse(total), hierarchical_roles: true, ..Default::default() }
}

fn roles(roles: &[&str]) -> FrameworkTerms {
    FrameworkTerms { roles: roles.iter().map(ToString::to_string).collect(), ..Default::default() }
}

struct World {
    allocator: Allocator,
    rng: Rng,
    now: Time,
}

impl World {
    fn new() -> Self {
        let allocator = Allocator::new(Options::default());
        Self { allocator, rng: Rng::from_number(1), now: Time::from_millis(1_000) }
    }
    fn with(frameworks: &[(&str, &str)], agents: &[(&str, &str)]) -> Self {
        let mut world = Self::new();
        for (id, role) in frameworks {
            world.allocator.add_framework(id, roles(&[role]), true);
        }
        for (id, total) in agents {
            world.allocator.add_agent(id, agent(total), &[]);
        }
        world
    }
    fn allocate(&mut self) -> Vec<Offerable> {
        let given = self.allocator.allocate(self.now, &mut self.rng);
        self.allocator.check();
        given
    }
    /// Who got what where, sorted.
    fn given(&mut self) -> Vec<String> {
        let mut all: Vec<_> =
            self.allocate().iter().map(|o| format!("{} {} {}", o.framework, o.agent, o.resources)).collect();
        all.sort();
        all
    }
    fn decline(&mut self, offer: &Offerable, refuse: Option<u64>) {
        let refuse = refuse.map(Duration::from_millis);
        let back = self.allocator.recover(
            &offer.framework,
            &offer.agent,
            &offer.role,
            &offer.resources,
            refuse,
            self.now,
        );
        assert!(back);
    }
    fn after(&mut self, millis: u64) -> &mut Self {
        self.now = self.now + Duration::from_millis(millis);
        self
    }
}

#[test]
fn a_whole_agent_goes_to_one_framework_at_once() {
    let mut world = World::with(&[("f", "*")], &[("a", AGENT)]);
    assert_eq!(world.given(), ["f a cpus:4; mem:4096"]);
    assert!(world.allocate().is_empty());
    assert!(!world.allocator.is_dirty());
    assert_eq!(world.allocator.allocated_on("a"), parse(AGENT));
    // Agents come first as well as frameworks.
    world.allocator.add_agent("b", agent(AGENT), &[]);
    assert!(world.allocator.is_dirty());
    assert_eq!(world.given(), ["f b cpus:4; mem:4096"]);
}

#[test]
fn what_was_declined_on_an_agent_holds_when_it_registers_again_as_it_was() {
    let mut world = World::with(&[("f", "*")], &[("a", AGENT)]);
    let offer = world.allocate().remove(0);
    world.decline(&offer, Some(3_600_000));
    world.allocator.add_agent("a", agent(AGENT), &[]);
    assert!(world.allocate().is_empty());
    world.allocator.add_agent("a", agent("cpus:5;mem:4096"), &[]);
    let more = world.allocate().remove(0);
    assert_eq!(more.resources, parse("cpus:5;mem:4096"), "it has more than was declined");
    world.decline(&more, Some(3_600_000));
    let attribute = mesos::Attribute { name: "rack".into(), ..Default::default() };
    let mut terms = agent("cpus:5;mem:4096");
    terms.traits.attributes.push(attribute);
    world.allocator.add_agent("a", terms, &[]);
    assert_eq!(world.allocate().len(), 1, "it may be of interest now");
}

#[test]
fn agents_are_shared_among_frameworks() {
    let agents = [("a", AGENT), ("b", AGENT), ("c", AGENT), ("d", AGENT)];
    let mut world = World::with(&[("f", "x"), ("g", "x")], &agents);
    let given = world.allocate();
    assert_eq!(given.iter().filter(|o| &*o.framework == "f").count(), 2);
    assert_eq!(given.len(), 4);
}

#[test]
fn weights_tip_the_balance() {
    let agents: Vec<_> = (0..9).map(|i| (format!("a{i}"), AGENT)).collect();
    let mut world = World::with(&[("f", "x"), ("g", "y")], &[]);
    world.allocator.set_weight("x", 2.0);
    assert!(!world.allocator.set_weight("y", 0.0) && !world.allocator.set_weight("y", f64::NAN));
    for (id, total) in &agents {
        world.allocator.add_agent(id, agent(total), &[]);
    }
    assert_eq!(world.allocate().iter().filter(|o| &*o.framework == "f").count(), 6);
}

#[test]
fn a_role_and_its_children_share_what_is_the_roles() {
    // x (2 of 4), of which x's own and x/y one each; z two.
    let agents = [("a", AGENT), ("b", AGENT), ("c", AGENT), ("d", AGENT)];
    let mut world = World::with(&[("own", "x"), ("child", "x/y"), ("other", "z")], &agents);
    let given = world.allocate();
    let count = |id: &str| given.iter().filter(|o| &*o.framework == id).count();
    assert_eq!((count("own"), count("child"), count("other")), (1, 1, 2));
}

#[test]
fn reserved_resources_go_to_their_role_and_its_children() {
    let total = "cpus:1;mem:100;cpus(x):4;mem(x):400";
    let mut world = World::with(&[("z", "z")], &[("a", total)]);
    assert_eq!(world.given(), ["z a cpus:1; mem:100"]);
    world.allocator.add_framework("y", roles(&["x/y"]), true);
    let given = world.allocate();
    assert_eq!(given[0].resources, parse("cpus(x):4;mem(x):400"));
    assert_eq!(&*given[0].role, "x/y");
}

#[test]
fn what_was_declined_stays_away_as_long_as_asked() {
    let mut world = World::with(&[("f", "*")], &[("a", AGENT)]);
    let offer = world.allocate().remove(0);
    world.decline(&offer, Some(5_000));
    assert!(world.allocate().is_empty());
    let deadline = world.allocator.next_deadline().unwrap();
    assert_eq!(deadline, Time::from_millis(6_000));
    assert!(world.after(4_999).allocate().is_empty());
    assert_eq!(world.after(1).allocate(), [offer]);
    assert_eq!(world.allocator.next_deadline(), None);
}

#[test]
fn declining_for_no_time_is_no_hot_loop() {
    let mut world = World::with(&[("f", "*")], &[("a", AGENT)]);
    let offer = world.allocate().remove(0);
    world.decline(&offer, Some(0));
    assert!(world.after(99).allocate().is_empty());
    assert_eq!(world.after(1).allocate().len(), 1);
}

#[test]
fn what_one_declines_the_next_gets_at_once() {
    let mut world = World::with(&[("f", "*"), ("g", "*")], &[("a", AGENT)]);
    let first = world.allocate().remove(0);
    world.decline(&first, Some(60_000));
    let second = world.allocate().remove(0);
    assert_ne!(first.framework, second.framework);
    world.decline(&second, Some(60_000));
    assert!(world.allocate().is_empty());
}

#[test]
fn what_was_freed_waits_for_the_end_of_an_interval_and_nothing_else_does() {
    let mut world = World::with(&[("f", "x"), ("g", "y")], &[("a", AGENT)]);
    let interval = Some(Duration::from_millis(1000));
    world.allocator.options.interval = interval;
    let first = world.allocate().remove(0);
    world.decline(&first, Some(3_600_000));
    assert!(world.allocate().is_empty() && !world.allocator.is_dirty());
    assert_eq!(world.allocator.next_deadline(), Some(world.now + Duration::from_millis(1000)));
    // what comes up is looked at when it does
    world.allocator.add_agent("b", agent(AGENT), &[]);
    assert_eq!(world.allocate().len(), 1);
    assert!(world.after(999).allocate().is_empty());
    let second = world.after(1).allocate().remove(0);
    assert_ne!((&second.framework, &*second.agent), (&first.framework, "b"));
    // a refusal that ends is looked at with the next
    world.decline(&second, Some(200));
    assert!(world.after(999).allocate().is_empty());
    assert!(!world.after(1).allocate().is_empty());
}

#[test]
fn a_quota_leaves_refusals_as_they_are() {
    let mut world = World::with(&[("f", "x")], &[("a", AGENT)]);
    let offer = world.allocate().remove(0);
    world.decline(&offer, Some(3_600_000));
    let limits = [("cpus".to_owned(), 1_000)].into_iter().collect();
    assert!(world.allocator.set_quota("x", super::Quota { limits, ..Default::default() }));
    assert!(world.allocate().is_empty(), "it is less than was declined");
}

#[test]
fn a_refusal_yields_when_more_became_free() {
    let mut world = World::with(&[("f", "*")], &[]);
    world.allocator.add_agent("a", agent(AGENT), &[("f", "*", parse("cpus:1;mem:1024"))]);
    let offer = world.allocate().remove(0);
    assert_eq!(offer.resources, parse("cpus:3;mem:3072"));
    world.decline(&offer, Some(3_600_000));
    assert!(world.allocate().is_empty());
    assert!(world.allocator.recover("f", "a", "*", &parse("cpus:1;mem:1024"), None, world.now));
    assert_eq!(world.given(), ["f a cpus:4; mem:4096"]);
}

#[test]
fn reviving_drops_refusals_and_suppressing_keeps_away() {
    let mut world = World::with(&[("f", "*")], &[("a", AGENT)]);
    let offer = world.allocate().remove(0);
    world.decline(&offer, Some(3_600_000));
    world.allocator.suppress("f", &[]);
    assert!(world.after(4_000_000).allocate().is_empty());
    world.allocator.revive("f", &["*".into()]);
    assert_eq!(world.allocate(), [offer]);
    world.allocator.revive("f", &["unknown".into()]);
    world.allocator.suppress("unknown", &[]);
    assert!(world.allocate().is_empty());
}

#[test]
fn an_inactive_framework_or_agent_gets_and_gives_nothing() {
    let mut world = World::with(&[("f", "*")], &[("a", AGENT)]);
    world.allocator.deactivate_agent("a");
    assert!(world.allocate().is_empty());
    world.allocator.deactivate_framework("f");
    world.allocator.activate_agent("a");
    assert!(world.allocate().is_empty());
    world.allocator.activate_framework("f");
    assert_eq!(world.allocate().len(), 1);
}

#[test]
fn agents_with_gpus_are_kept_for_those_who_use_them() {
    let mut world = World::with(&[("f", "*")], &[("a", "cpus:4;mem:4096;gpus:1")]);
    assert!(world.allocate().is_empty());
    assert_eq!(world.allocator.explain("f", "*", None)[0].stage, Stage::GpuKept);
    let capabilities = FrameworkCaps { gpu: true, ..Default::default() };
    world.allocator.update_framework("f", FrameworkTerms { capabilities, ..roles(&["*"]) });
    assert_eq!(world.allocate().len(), 1);
}

#[test]
fn too_little_is_not_offered() {
    let mut world = World::with(&[("f", "*")], &[("a", "mem:31"), ("b", "mem:32"), ("c", "cpus:0.01")]);
    assert_eq!(world.given(), ["f b mem:32", "f c cpus:0.01"]);
    let mut terms = roles(&["*"]);
    terms.min_allocatable.insert("*".into(), vec![vec![("mem".into(), 1_000)]]);
    world.allocator.update_framework("f", terms);
    assert_eq!(world.given(), ["f a mem:31"]);
}

#[test]
fn use_known_before_the_framework_counts() {
    let mut world = World::new();
    world.allocator.add_agent("a", agent(AGENT), &[("f", "*", parse("cpus:3"))]);
    world.allocator.add_framework("g", roles(&["*"]), true);
    assert_eq!(world.given(), ["g a cpus:1; mem:4096"]);
    world.allocator.add_framework("f", roles(&["*"]), true);
    assert!(world.allocator.recover("f", "a", "*", &parse("cpus:2"), None, world.now));
    world.allocator.remove_framework("f");
    world.allocator.check();
    assert_eq!(world.given(), ["g a cpus:2"]);
    assert!(world.allocator.recover("f", "a", "*", &parse("cpus:1"), None, world.now));
    assert!(!world.allocator.recover("f", "a", "*", &parse("cpus:1"), None, world.now));
    assert_eq!(world.given(), ["g a cpus:1"]);
}

#[test]
fn gives_back_no_more_than_was_given() {
    let mut world = World::with(&[("f", "*")], &[("a", AGENT)]);
    world.allocate();
    assert!(!world.allocator.recover("f", "a", "*", &parse("cpus:5"), None, world.now));
    assert_eq!(world.allocator.free_on("a"), parse("cpus:4"));
    assert!(!world.allocator.recover("f", "gone", "*", &parse("cpus:1"), None, world.now));
    world.allocator.check();
}

#[test]
fn an_agent_that_shrank_gives_nothing_until_it_fits() {
    let mut world = World::with(&[("f", "*")], &[("a", AGENT)]);
    world.allocate();
    assert!(world.allocator.update_agent("a", parse("cpus:2;mem:4096")));
    assert!(world.allocate().is_empty());
    world.allocator.recover("f", "a", "*", &parse("cpus:1"), None, world.now);
    assert!(world.allocate().is_empty());
    world.allocator.recover("f", "a", "*", &parse("cpus:2"), None, world.now);
    assert_eq!(world.given(), ["f a cpus:1"]);
    assert!(!world.allocator.update_agent("b", parse("cpus:2")));
}

#[test]
fn says_why() {
    let mut world = World::with(
        &[("f", "*")],
        &[("a", "cpus:2;mem:512"), ("b", "cpus:8;mem:256"), ("c", "cpus:1;mem:64")],
    );
    world.allocator.deactivate_agent("c");
    let wanted = parse("cpus:3;mem:512");
    let why = world.allocator.explain("f", "*", Some(&wanted));
    let order: Vec<_> = why.iter().map(|why| (&*why.agent, why.stage.name(), why.short_by.clone())).collect();
    assert_eq!(
        order,
        [
            ("a", "too_small", vec![("cpus".to_owned(), 1_000)]),
            ("b", "too_small", vec![("mem".to_owned(), 256_000)]),
            ("c", "agent_inactive", vec![("cpus".to_owned(), 2_000), ("mem".to_owned(), 448_000)]),
        ]
    );
    assert!(why.iter().all(|why| !why.fits_when_empty));
    assert_eq!(world.allocator.explain("nobody", "*", None)[0].stage, Stage::FrameworkInactive);
    assert_eq!(world.allocator.explain("f", "x", None)[0].stage, Stage::NotSubscribed);
    let offers = world.allocate();
    assert_eq!(world.allocator.explain("f", "*", None)[0].stage, Stage::NothingFree);
    world.decline(&offers[0], Some(5_000));
    let stage = &world.allocator.explain("f", "*", None)[0].stage;
    assert_eq!(*stage, Stage::Declined { until: Time::from_millis(6_000) });
}

#[test]
fn fair_within_a_tasks_size() {
    // Three frameworks of one role that take one task from each offer and give the rest back.
    let agents: Vec<_> = (0..10).map(|i| (format!("a{i}"), AGENT)).collect();
    let mut world = World::with(&[("f", "*"), ("g", "*"), ("h", "*")], &[]);
    for (id, total) in &agents {
        world.allocator.add_agent(id, agent(total), &[]);
    }
    let task = parse("cpus:1;mem:1024");
    let mut tasks = std::collections::BTreeMap::<String, i32>::new();
    loop {
        let offers = world.allocate();
        if offers.is_empty() {
            break;
        }
        for offer in offers {
            *tasks.entry(offer.framework.to_string()).or_default() += 1;
            let rest = offer.resources.difference(&task);
            world.allocator.recover(&offer.framework, &offer.agent, &offer.role, &rest, None, world.now);
        }
    }
    assert_eq!(tasks.values().sum::<i32>(), 40);
    assert!(tasks.values().max().unwrap() - tasks.values().min().unwrap() <= 1, "{tasks:?}");
}
