//! S2: placements through the pure cores, with ports, attributes and constraints, on a cluster that is 80 % full.
//!
//! First the allocator alone, under churn: the oldest task ends, what it had is offered, one framework takes a task of it
//! and declines the rest. Frameworks want agents of certain racks (offer constraints) and have declined what is free; so
//! each placement is the whole way of an offer. Then the orchestrator alone: an app with UNIQUE hosts and one that is
//! grouped by rack, on offers of every agent. In process: agents, frameworks and tasks are simulated.

mod matching;

use crate::{Figure, Options, probes, report::Target};
use base::{Duration, Rng, Time};
use master::allocator::{
    AgentTerms, Allocator, Constraints, FrameworkTerms, Offerable, Options as Allocation, Traits,
};
use model::{
    mesos::{
        Attribute,
        scheduler::{
            AttributeConstraint, OfferConstraints, attribute_constraint as ac, offer_constraints as oc,
        },
        value,
    },
    resources::Resources,
};
use std::{collections::VecDeque, sync::Arc, time::Instant};

const SIZES: [usize; 3] = [1_000, 10_000, 50_000];
const FRAMEWORKS: usize = 1_000;
const RACKS: usize = 100;
const PLACEMENTS: usize = 20_000;
const PROBE_STEPS: usize = 500_000;
const ROUNDS: usize = 3;
/// Tasks of one cpu that an agent has room for, and runs.
const ROOM: usize = 10;
const FULL: usize = 8;
const PORTS: (u64, u64) = (31_000, 31_099);

/// Placements a second at each size, how much slower the largest is than the smallest, and the orchestrator's matching.
pub fn placements(options: &Options) -> Result<Vec<Figure>, String> {
    let sizes = &SIZES[..options.count(SIZES.len(), 1)];
    let count = options.count(PLACEMENTS, 50);
    let mut figures = Vec::new();
    let mut medians = Vec::new();
    for agents in sizes.iter().map(|agents| options.count(*agents, 100)) {
        let mut pairs = Vec::new();
        for _ in 0..options.rounds(ROUNDS) {
            let limit = probes::placements(agents, FRAMEWORKS, options.count(PROBE_STEPS, 1_000));
            pairs.push((churn(agents, count)?, limit));
        }
        let target = if agents == 50_000 { Target::AtLeast(500_000.0) } else { Target::None };
        let what = format!("allocator, {agents} agents x {FRAMEWORKS} frameworks");
        let figure = Figure::rate(what, &pairs, "bare heap and tree", target);
        medians.push(figure.value);
        figures.push(figure);
    }
    if let (Some(first), Some(last)) = (medians.first(), medians.get(2)) {
        let what = "slowdown of the allocator, 1k to 50k agents";
        figures.push(Figure::plain(what, "x", vec![first / last], Target::AtMost(1.3)));
    }
    let mut medians = Vec::new();
    for agents in sizes.iter().map(|agents| options.count(*agents, 100)) {
        let mut rates = Vec::new();
        for _ in 0..options.rounds(ROUNDS) {
            rates.push(matching::rate(agents)?);
        }
        let what = format!("matching UNIQUE and GROUP_BY, {agents} agents");
        let figure = Figure::plain(what, "/s", rates, Target::None);
        medians.push(figure.value);
        figures.push(figure);
    }
    if let (Some(first), Some(last)) = (medians.first(), medians.get(2)) {
        let what = "slowdown of matching, 1k to 50k agents";
        figures.push(Figure::plain(what, "x", vec![first / last], Target::AtMost(1.3)));
    }
    Ok(figures)
}

fn rack(agent: usize) -> Attribute {
    let mut rack = Attribute { name: "rack".into(), ..Default::default() };
    rack.set_type(value::Type::Text);
    rack.text = Some(value::Text { value: format!("r{}", agent % RACKS) });
    rack
}

/// Only agents of a framework's rack.
fn wants(framework: usize) -> Result<Constraints, String> {
    let selector = ac::Selector { attribute_name: Some("rack".into()), ..Default::default() };
    let text_equals = Some(ac::predicate::TextEquals { value: format!("r{}", framework % RACKS) });
    let predicate = ac::Predicate { text_equals, ..Default::default() };
    let groups = vec![oc::role_constraints::Group {
        attribute_constraints: vec![AttributeConstraint { selector, predicate }],
    }];
    let role_constraints = [("*".to_owned(), oc::RoleConstraints { groups })].into();
    Constraints::new(&OfferConstraints { role_constraints })
}

struct Task {
    framework: String,
    agent: Arc<str>,
    resources: Resources,
}

fn task(port: u64) -> Resources {
    Resources::scalars([("cpus", 1.0), ("mem", 1024.0)]).with_ports([(port, port)])
}

/// Placements a second.
fn churn(agents: usize, count: usize) -> Result<f64, String> {
    let mut rng = Rng::from_number(1);
    let now = Time::from_millis(1_000_000);
    let long = Some(Duration::from_secs(31_536_000));
    let mut allocator = Allocator::new(Allocation::default());
    for id in 0..FRAMEWORKS {
        let constraints = Some(Arc::new(wants(id)?));
        let terms = FrameworkTerms { roles: vec!["*".into()], constraints, ..Default::default() };
        allocator.add_framework(&format!("framework-{id}"), terms, true);
    }
    let total =
        Resources::scalars([("cpus", ROOM as f64), ("mem", 1024.0 * ROOM as f64)]).with_ports([PORTS]);
    let mut tasks = VecDeque::new();
    for id in 0..agents {
        let traits =
            Traits { hostname: format!("host-{id}"), attributes: vec![rack(id)], ..Default::default() };
        let terms =
            AgentTerms { total: total.clone(), traits, hierarchical_roles: true, ..Default::default() };
        let agent = format!("agent-{id}");
        // Of the frameworks that want its rack.
        let own = FRAMEWORKS / RACKS;
        let used: Vec<_> = (0..FULL)
            .map(|at| {
                (format!("framework-{}", id % RACKS + RACKS * ((id / RACKS + at) % own)), PORTS.0 + at as u64)
            })
            .collect();
        let used: Vec<(&str, &str, Resources)> =
            used.iter().map(|(framework, port)| (framework.as_str(), "*", task(*port))).collect();
        allocator.add_agent(&agent, terms, &used);
        for (framework, _, resources) in used {
            tasks.push_back(Task {
                framework: framework.to_owned(),
                agent: agent.as_str().into(),
                resources,
            });
        }
    }
    // Everyone declines what is free, until nobody is left to be asked.
    loop {
        let offers = allocator.allocate(now, &mut rng);
        if offers.is_empty() {
            break;
        }
        for Offerable { framework, agent, role, resources } in offers {
            allocator.recover(&framework, &agent, &role, &resources, long, now);
        }
    }
    let mut order: Vec<Task> = tasks.into();
    rng.shuffle(&mut order);
    let mut tasks: VecDeque<Task> = order.into();
    let begun = Instant::now();
    for _ in 0..count {
        let Some(ended) = tasks.pop_front() else { return Err("no task is left".into()) };
        if !allocator.recover(&ended.framework, &ended.agent, "*", &ended.resources, None, now) {
            return Err("a task was not known".into());
        }
        let offers = allocator.allocate(now, &mut rng);
        let [Offerable { framework, agent, role, resources }] = &offers[..] else {
            return Err(format!("{} offers of what one task freed", offers.len()));
        };
        let Some((port, _)) = resources.ports().as_slice().first().copied() else {
            return Err("no port is free".into());
        };
        let task = task(port);
        let mut rest = resources.clone();
        rest.subtract(&task).map_err(|short| short.to_string())?;
        allocator.recover(framework, agent, role, &rest, long, now);
        if !allocator.allocate(now, &mut rng).is_empty() {
            return Err("what was declined before was offered again".into());
        }
        tasks.push_back(Task { framework: framework.to_string(), agent: agent.clone(), resources: task });
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}
