//! The rules of allocation, each by an example that shows it alone.

use super::{
    super::{Constraints, Options, Order, Quota, Traits},
    AGENT, Allocator, FrameworkCaps, FrameworkTerms, Stage, World, agent, parse, roles,
};
use ::model::{
    mesos::{
        self,
        scheduler::{
            AttributeConstraint, OfferConstraints, attribute_constraint as ac, offer_constraints as oc,
        },
    },
    resources::Resources,
};
use base::{Duration, Rng, Time};
use std::{collections::BTreeMap, sync::Arc};

fn world(options: Options) -> World {
    World { allocator: Allocator::new(options), rng: Rng::from_number(3), now: Time::from_millis(1_000) }
}

fn capable(role: &str, change: impl FnOnce(&mut FrameworkCaps)) -> FrameworkTerms {
    let mut terms = roles(&[role]);
    change(&mut terms.capabilities);
    terms
}

fn quota(guarantees: &[(&str, i64)], limits: &[(&str, i64)]) -> Quota {
    let milli =
        |all: &[(&str, i64)]| all.iter().map(|(name, units)| ((*name).to_owned(), units * 1000)).collect();
    Quota { guarantees: milli(guarantees), limits: milli(limits) }
}

fn cpus(world: &mut World) -> BTreeMap<String, i64> {
    let mut cpus = BTreeMap::new();
    for offer in world.allocate() {
        *cpus.entry(offer.framework.to_string()).or_default() += offer.resources.milli("cpus") / 1000;
    }
    cpus
}

fn given(cpus: &[(&str, i64)]) -> BTreeMap<String, i64> {
    cpus.iter().map(|(who, cpus)| ((*who).to_owned(), *cpus)).collect()
}

/// `text` with one more reservation on top of those it has, and a volume of it where `volume` says whether it is shared.
fn refined(text: &str, role: &str, volume: Option<bool>) -> Resources {
    let mut messages = parse(text).to_messages();
    let mut reservation = mesos::resource::ReservationInfo { role: Some(role.into()), ..Default::default() };
    reservation.set_type(mesos::resource::reservation_info::Type::Dynamic);
    messages[0].reservations.push(reservation);
    if let Some(shared) = volume {
        let persistence = mesos::resource::disk_info::Persistence { id: "v".into(), principal: None };
        messages[0].disk = Some(Box::new(mesos::resource::DiskInfo {
            persistence: Some(persistence),
            ..Default::default()
        }));
        messages[0].shared = shared.then(Default::default);
    }
    Resources::from_messages(&messages).unwrap()
}

#[test]
fn weights_tip_the_balance_on_every_level() {
    // x has three quarters of all, and of those x/a two thirds.
    let agents: Vec<_> = (0..12).map(|i| (format!("a{i}"), AGENT)).collect();
    let mut world = World::with(&[("a", "x/a"), ("b", "x/b"), ("z", "z")], &[]);
    assert!(world.allocator.set_weight("x", 3.0) && world.allocator.set_weight("x/a", 2.0));
    for (id, total) in &agents {
        world.allocator.add_agent(id, agent(total), &[]);
    }
    assert_eq!(cpus(&mut world), given(&[("a", 24), ("b", 12), ("z", 12)]));
}

#[test]
fn a_guarantee_is_held_back_for_the_whole_subtree() {
    let mut world = World::with(&[("z", "z")], &[("a", "cpus:2;mem:2"), ("b", "cpus:2;mem:2")]);
    assert!(world.allocator.set_quota("x", quota(&[("cpus", 3)], &[])));
    assert_eq!(cpus(&mut world), given(&[("z", 1)]));
    // A framework below x comes, and gets what was held back for x before anyone else does.
    world.allocator.add_framework("y", roles(&["x/y"]), true);
    assert_eq!(cpus(&mut world), given(&[("y", 3)]));
    assert_eq!(world.allocator.consumed("x"), [("cpus".to_owned(), 3_000)]);
}

#[test]
fn what_a_guarantee_held_back_is_free_again_when_it_is_met_or_ends() {
    let mut world = World::with(&[("z", "z")], &[("a", "cpus:4;mem:400")]);
    assert!(world.allocator.set_quota("x", quota(&[("cpus", 3)], &[])));
    assert_eq!(cpus(&mut world), given(&[("z", 1)]));
    // Another agent brings what is guaranteed twice over: nothing on the first is held back any more.
    world.allocator.add_agent("b", agent("cpus:6;mem:100"), &[]);
    assert_eq!(cpus(&mut world), given(&[("z", 6)]));
    assert!(world.allocator.set_quota("x", Quota::default()));
    assert_eq!(cpus(&mut world), given(&[("z", 3)]));
}

#[test]
fn limits_hold_a_role_and_its_children_where_they_are_told_to() {
    for (bind, below) in [(false, 6), (true, 1)] {
        let mut world = world(Options { limits_bind_subtrees: bind, ..Options::default() });
        assert!(world.allocator.set_quota("x", quota(&[], &[("cpus", 3)])));
        world.allocator.add_framework("own", roles(&["x"]), true);
        world.allocator.add_agent("a", agent("cpus:2;mem:100"), &[]);
        assert_eq!(cpus(&mut world), given(&[("own", 2)]));
        // As Apache Mesos, who is in a child role is not held by the parent's limit; bound, x has one cpu left.
        world.allocator.suppress("own", &[]);
        world.allocator.add_framework("child", roles(&["x/y"]), true);
        world.allocator.add_agent("b", agent("cpus:6;mem:100"), &[]);
        assert_eq!(cpus(&mut world), given(&[("child", below)]));
    }
}

#[test]
fn what_a_role_gives_back_under_its_limit_it_may_take_elsewhere() {
    let mut world = World::with(&[("f", "x")], &[]);
    assert!(world.allocator.set_quota("x", quota(&[], &[("cpus", 4)])));
    for id in ["a", "b"] {
        world.allocator.add_agent(id, agent("cpus:4"), &[]);
    }
    let first = world.allocate().remove(0);
    assert_eq!(first.resources, parse("cpus:4"));
    world.decline(&first, Some(3_600_000));
    // The agent that was declined stays away; the limit leaves room for the other one, which nothing happened to.
    let second = world.allocate().remove(0);
    assert_ne!(first.agent, second.agent);
    assert_eq!(second.resources, parse("cpus:4"));
    // The same where freed resources wait for the end of an interval.
    world.allocator.options.interval = Some(Duration::from_millis(1000));
    world.allocator.revive("f", &[]);
    assert!(world.allocate().is_empty(), "the limit is reached");
    world.decline(&second, Some(3_600_000));
    assert!(world.allocate().is_empty());
    let third = world.after(1000).allocate().remove(0);
    assert_eq!((third.agent, third.resources), (first.agent, parse("cpus:4")));
}

#[test]
fn what_is_left_beyond_a_limit_is_for_those_alone_whom_less_suffices() {
    let mut world = World::with(&[("f", "x")], &[]);
    assert!(world.allocator.set_quota("x", quota(&[], &[("cpus", 0), ("mem", 0)])));
    world.allocator.add_agent("a", agent("cpus:4;mem:400;disk:10;ports:[1-9]"), &[]);
    assert!(world.allocate().is_empty(), "disk and ports are no offer");
    let mut content = roles(&["x"]);
    content.min_allocatable.insert("x".into(), Vec::new());
    world.allocator.add_framework("content", content, true);
    assert_eq!(world.given(), ["content a disk:10; ports:[1-9]"]);
}

#[test]
fn refined_reservations_are_for_those_who_understand_them() {
    let total = parse("cpus:1;mem:100") + &refined("cpus(x):2", "x/y", None);
    let terms = |total: &Resources| {
        let mut terms = agent("");
        terms.total = total.clone();
        terms
    };
    let mut world = World::with(&[("old", "x/y")], &[]);
    world.allocator.add_agent("a", terms(&total), &[]);
    assert_eq!(cpus(&mut world), given(&[("old", 1)]));
    // Reserved to x/y: x itself may not have it, a child of x/y may.
    world.allocator.add_framework("above", capable("x", |caps| caps.refinement = true), true);
    assert!(world.allocate().is_empty());
    world.allocator.add_framework("below", capable("x/y/z", |caps| caps.refinement = true), true);
    assert_eq!(cpus(&mut world), given(&[("below", 2)]));
}

#[test]
fn a_shared_volume_is_offered_while_others_use_it_but_never_alone() {
    let volume = refined("disk:10", "x", Some(true));
    let mut world = World::new();
    let mut terms = agent("");
    terms.total = parse("cpus:4;mem:400") + &volume;
    world.allocator.add_agent("a", terms, &[("user", "x", parse("cpus:1;mem:100") + &volume)]);
    world.allocator.add_framework("blind", roles(&["x"]), true);
    let offer = world.allocate().remove(0);
    assert_eq!(offer.resources, parse("cpus:3;mem:300"), "without the capability there is no volume");
    world.decline(&offer, Some(3_600_000));
    world.allocator.add_framework("second", capable("x", |caps| caps.shared = true), true);
    let offer = world.allocate().remove(0);
    assert_eq!((&*offer.framework, &offer.resources), ("second", &(parse("cpus:3;mem:300") + &volume)));
    // It is free all the same, and nobody is offered it without anything to use it with.
    world.allocator.add_framework("third", capable("x", |caps| caps.shared = true), true);
    assert!(world.allocator.free_on("a").contains(&volume));
    assert!(world.allocate().is_empty());
    assert_eq!(world.allocator.explain("third", "x", None)[0].stage, Stage::NothingFree);
}

#[test]
fn random_sorters_draw_roles_by_weight_and_frameworks_alike() {
    let mut world =
        world(Options { role_order: Order::Random, framework_order: Order::Random, ..Options::default() });
    assert!(world.allocator.set_weight("x", 3.0));
    for (id, role) in [("a", "x"), ("b", "x"), ("c", "z")] {
        world.allocator.add_framework(id, roles(&[role]), true);
    }
    for i in 0..4000 {
        world.allocator.add_agent(&format!("a{i}"), agent("cpus:1"), &[]);
    }
    let mut drawn = BTreeMap::<String, i64>::new();
    for offer in world.allocator.allocate(world.now, &mut world.rng) {
        *drawn.entry(offer.framework.to_string()).or_default() += 1;
    }
    // 1,500, 1,500 and 1,000 are to be expected; 150 are five standard deviations.
    for (who, expected) in [("a", 1500_i64), ("b", 1500), ("c", 1000)] {
        assert!((drawn[who] - expected).abs() < 150, "{drawn:?}");
    }
}

#[test]
fn only_frameworks_are_drawn_where_only_they_are_to_be() {
    let mut world = world(Options { framework_order: Order::Random, ..Options::default() });
    for (id, role) in [("a", "x"), ("b", "x"), ("c", "z")] {
        world.allocator.add_framework(id, roles(&[role]), true);
    }
    for i in 0..200 {
        world.allocator.add_agent(&format!("a{i}"), agent("cpus:1"), &[]);
    }
    let cpus = cpus(&mut world);
    assert_eq!(cpus["c"], 100, "roles go by share");
    assert_eq!(cpus["a"] + cpus["b"], 100);
    assert_ne!(cpus["a"], 50, "frameworks do not");
}

#[test]
fn what_is_excluded_from_shares_does_not_count() {
    let mut world = world(Options { excluded_from_share: vec!["gpus".into()], ..Options::default() });
    let gpu = |caps: &mut FrameworkCaps| caps.gpu = true;
    world.allocator.add_agent("a", agent("cpus:1;mem:100;gpus:4"), &[("g", "x", parse("gpus:4"))]);
    world.allocator.add_framework("g", capable("x", gpu), true);
    world.allocator.add_framework("h", capable("z", gpu), true);
    // g has every gpu and still no share; it came first.
    assert_eq!(cpus(&mut world), given(&[("g", 1)]));
}

#[test]
fn other_regions_are_for_those_who_ask_and_zones_for_those_who_want_them() {
    use ac::selector::PseudoattributeType as Pseudo;
    let wanting = |pseudo: Pseudo, value: &str| {
        let selector = ac::Selector { pseudoattribute_type: Some(pseudo.into()), ..Default::default() };
        let text_equals = Some(ac::predicate::TextEquals { value: value.into() });
        let predicate = ac::Predicate { text_equals, ..Default::default() };
        let attribute_constraints = vec![AttributeConstraint { selector, predicate }];
        let groups = vec![oc::role_constraints::Group { attribute_constraints }];
        let said =
            OfferConstraints { role_constraints: [("*".to_owned(), oc::RoleConstraints { groups })].into() };
        Some(Arc::new(Constraints::new(&said).unwrap()))
    };
    let mut world = World::new();
    for (id, region, zone) in [("a", "r1", "z1"), ("b", "r1", "z2"), ("c", "r2", "z3")] {
        let mut terms = agent(AGENT);
        terms.remote_region = region != "r1";
        terms.traits = Traits { region: Some(region.into()), zone: Some(zone.into()), ..Traits::default() };
        world.allocator.add_agent(id, terms, &[]);
    }
    let mut zoned = roles(&["*"]);
    zoned.constraints = wanting(Pseudo::Zone, "z2");
    world.allocator.add_framework("zoned", zoned, true);
    assert_eq!(world.given(), ["zoned b cpus:4; mem:4096"]);
    let mut far = capable("*", |caps| caps.regions = true);
    far.constraints = wanting(Pseudo::Region, "r2");
    world.allocator.add_framework("far", far, true);
    assert_eq!(world.given(), ["far c cpus:4; mem:4096"]);
    world.allocator.add_framework("home", roles(&["*"]), true);
    assert_eq!(world.given(), ["home a cpus:4; mem:4096"]);
    let stages = world.allocator.explain("zoned", "*", None);
    let stage = |id: &str| stages.iter().find(|why| &*why.agent == id).unwrap().stage.name();
    assert_eq!((stage("a"), stage("c")), ("constraints_unmet", "other_region"));
}

#[test]
fn agents_that_know_nothing_of_several_roles_are_for_frameworks_of_one() {
    let mut world = World::new();
    let old = agent(AGENT);
    assert!(!old.multi_role);
    world.allocator.add_agent("old", old.clone(), &[]);
    world.allocator.add_framework("several", capable("x", |caps| caps.multi_role = true), true);
    assert!(world.allocate().is_empty(), "though it is in one role only");
    let why = &world.allocator.explain("several", "x", None)[0].stage;
    assert_eq!((why, why.name()), (&Stage::MultiRoleNotUnderstood, "multi_role_not_understood"));
    world.allocator.add_framework("one", roles(&["x"]), true);
    assert_eq!(world.given(), ["one old cpus:4; mem:4096"]);
    // Whoever becomes such a framework gets no more of it, and gets it again when the agent is upgraded.
    assert!(world.allocator.recover("one", "old", "x", &old.total, None, world.now));
    world.allocator.remove_framework("several");
    world.allocator.update_framework("one", capable("x", |caps| caps.multi_role = true));
    assert!(world.allocate().is_empty());
    world.allocator.add_agent("old", crate::allocator::AgentTerms { multi_role: true, ..old }, &[]);
    assert_eq!(world.given(), ["one old cpus:4; mem:4096"]);
}

fn join(world: &mut World, id: &str, rack: &str) {
    let mut terms = agent("cpus:8;mem:1024;ports:[31000-31010]");
    let mut attribute = mesos::Attribute { name: "rack".into(), ..Default::default() };
    attribute.set_type(mesos::value::Type::Text);
    attribute.text = Some(mesos::value::Text { value: rack.into() });
    terms.traits.attributes = vec![attribute];
    world.allocator.add_agent(id, terms, &[]);
}

#[test]
fn a_guarantee_is_the_least_that_is_given_and_not_the_most() {
    let mut world = world(Options::default());
    assert!(world.allocator.set_quota("x", quota(&[("cpus", 1)], &[])));
    world.allocator.add_agent("a", agent("cpus:8;mem:1024"), &[]);
    world.allocator.add_framework("f", roles(&["x"]), true);
    let offers = world.allocate();
    assert_eq!(offers.len(), 1, "{offers:?}");
    assert_eq!(offers[0].resources, parse("cpus:8;mem:1024"));
    // up to its limit, and so far as no other role is guaranteed it
    let mut world = self::world(Options::default());
    assert!(world.allocator.set_quota("x", quota(&[("cpus", 1)], &[("cpus", 5)])));
    assert!(world.allocator.set_quota("y", quota(&[("cpus", 6)], &[])));
    world.allocator.add_agent("a", agent("cpus:8;mem:1024"), &[]);
    world.allocator.add_framework("f", roles(&["x"]), true);
    assert_eq!(cpus(&mut world), given(&[("f", 2)]));
}

#[test]
fn the_least_offer_may_name_ports() {
    let least = vec![vec![("ports".to_owned(), 2000)]];
    let mut world = world(Options { min_allocatable: least.clone(), ..Options::default() });
    world.allocator.add_framework("f", roles(&["x"]), true);
    join(&mut world, "a", "1");
    assert_eq!(world.allocate().len(), 1);
    let mut world = self::world(Options::default());
    let terms = FrameworkTerms { min_allocatable: [("x".to_owned(), least)].into(), ..roles(&["x"]) };
    world.allocator.add_framework("f", terms, true);
    join(&mut world, "a", "1");
    assert_eq!(world.allocate().len(), 1);
}

#[test]
fn what_was_declined_stays_so_when_an_agent_returns_unless_its_attributes_changed() {
    let mut world = world(Options::default());
    world.allocator.add_framework("f", roles(&["x"]), true);
    join(&mut world, "a", "1");
    let offer = world.allocate().remove(0);
    let decline = |world: &mut World, offer: &super::super::Offerable| {
        let hour = Some(Duration::from_secs(3600));
        assert!(world.allocator.recover("f", "a", "x", &offer.resources, hour, world.now));
    };
    decline(&mut world, &offer);
    join(&mut world, "a", "1");
    assert!(world.allocate().is_empty());
    join(&mut world, "a", "2");
    let again = world.allocate().remove(0);
    decline(&mut world, &again);
    // so it does when the role is suppressed, until that ends
    let quiet = FrameworkTerms { suppressed: vec!["x".into()], ..roles(&["x"]) };
    assert!(!world.allocator.update_framework("f", quiet));
    assert!(world.allocate().is_empty());
    assert!(world.allocator.update_framework("f", roles(&["x"])));
    assert_eq!(world.allocate().len(), 1);
}

#[test]
fn nothing_is_given_out_before_the_awaited_agents_are_back() {
    for by_time in [false, true] {
        let mut world = world(Options::default());
        let until = world.now + Duration::from_secs(600);
        world.allocator.await_agents(2, until);
        world.allocator.add_framework("f", roles(&["x"]), true);
        join(&mut world, "a", "1");
        assert!(world.allocate().is_empty() && !world.allocator.is_dirty());
        assert_eq!(world.allocator.next_deadline(), Some(until));
        if by_time {
            world.now = until;
            assert_eq!(world.allocate().len(), 1);
        } else {
            join(&mut world, "b", "1");
            assert!(world.allocator.is_dirty());
            assert_eq!(world.allocate().len(), 2);
            world.allocator.remove_agent("b");
            join(&mut world, "c", "1");
            assert_eq!(world.allocate().len(), 1, "it does not begin to wait again");
        }
    }
}
