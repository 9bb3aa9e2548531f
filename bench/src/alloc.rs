//! S1: allocation cycles as Mesos' `DeclineOffers` benchmark does them. Every agent's resources are offered, every offer
//! is declined for good, again and again. In process: agents and frameworks are simulated.
//!
//! Besides the plain shape: with a quota, with frameworks that keep away in turns (`SuppressOffers`), and with
//! reservations whose labels no two agents share (`ResourceLabels`).

use crate::{Figure, Options, probes, report::Target, stats};
use base::{Duration, Rng, Time};
use master::allocator::{AgentTerms, Allocator, FrameworkTerms, Offerable, Options as Allocation, Quota};
use model::{mesos, resources::Resources};
use std::time::Instant;

const CYCLES: usize = 5;
const EVENTS: usize = 2_000;
const PROBE_STEPS: usize = 500_000;
const SIZES: [(usize, usize); 5] =
    [(1_000, 100), (5_000, 500), (10_000, 1_000), (20_000, 2_000), (50_000, 1_000)];
/// In thousandths, what is free of each agent.
const FREE_CPUS: i64 = 24_000;
const FREE_MEM: i64 = 4_096_000;

/// What is different from the plain benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Plain,
    /// Half of the frameworks are in a role that is guaranteed, and limited to, half of everything.
    Quota,
    /// A tenth of the frameworks keeps away, another one in each cycle.
    Suppress,
    /// Half of each agent is reserved, with a label of its own.
    Labels,
}

/// One figure for each size, and how they grow; then the other shapes.
pub fn cycles(options: &Options) -> Result<Vec<Figure>, String> {
    let sizes = &SIZES[..options.count(SIZES.len(), 1)];
    let mut figures = Vec::new();
    let mut medians = Vec::new();
    for (agents, frameworks) in sizes.iter().copied() {
        let limit = probes::placements(agents, frameworks, options.count(PROBE_STEPS, 1_000));
        let limit = agents as f64 / limit * 1e3;
        let (mut full, mut event) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds(CYCLES) {
            let round = measure(Shape::Plain, agents, frameworks, options.count(EVENTS, 10))?;
            full.push(round.0);
            event.push(round.1);
        }
        let target = if agents == 10_000 { Target::AtMost(20.0) } else { Target::None };
        let mut figure =
            Figure::plain(format!("cycle, {agents} agents x {frameworks} frameworks"), "ms", full, target);
        figure.limit = Some((limit, "bare heap and tree"));
        figure.ratio = Some(limit / figure.value);
        medians.push((agents as f64, figure.value));
        figures.push(figure);
        let target = if agents == 50_000 { Target::AtMost(20.0) } else { Target::None };
        figures.push(Figure::plain(
            format!("one event, {agents} agents x {frameworks}"),
            "us",
            event,
            target,
        ));
    }
    // The first four sizes double agents and frameworks alike; the fifth is another shape.
    if let (Some(first), Some(last)) = (medians.first(), medians.get(3)) {
        let exponent = (last.1 / first.1).ln() / (last.0 / first.0).ln();
        let what = "growth exponent, 1k/100 to 20k/2k";
        figures.push(Figure::plain(what, "", vec![exponent], Target::AtMost(1.1)));
    }
    for (shape, name) in [(Shape::Quota, "quota"), (Shape::Suppress, "suppress"), (Shape::Labels, "labels")] {
        let (agents, frameworks) = SIZES[options.count(2, 0)];
        let (mut full, mut event) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds(CYCLES) {
            let round = measure(shape, agents, frameworks, options.count(EVENTS, 10))?;
            full.push(round.0);
            event.push(round.1);
        }
        figures.push(Figure::plain(
            format!("cycle with {name}, {agents} x {frameworks}"),
            "ms",
            full,
            Target::None,
        ));
        figures.push(Figure::plain(
            format!("one event with {name}, {agents} x {frameworks}"),
            "us",
            event,
            Target::None,
        ));
    }
    Ok(figures)
}

/// Half of what is free, reserved to a role with a label that only one agent has.
fn labelled(role: &str, agent: usize) -> Result<Resources, String> {
    let half = Resources::scalars([
        ("cpus", FREE_CPUS as f64 / 2000.0),
        ("mem", FREE_MEM as f64 / 2000.0),
        ("disk", 4096.0),
    ]);
    let label = mesos::Label { key: "owner".into(), value: Some(format!("team-{agent}")) };
    let mut reservation = mesos::resource::ReservationInfo { role: Some(role.into()), ..Default::default() };
    reservation.set_type(mesos::resource::reservation_info::Type::Dynamic);
    reservation.labels = Some(mesos::Labels { labels: vec![label] });
    let mut messages = half.to_messages();
    for message in &mut messages {
        message.reservations.push(reservation.clone());
    }
    Resources::from_messages(&messages).map_err(|why| why.to_string())
}

struct Cluster {
    allocator: Allocator,
    shape: Shape,
    frameworks: usize,
    /// How many frameworks keep away at once.
    away: usize,
    now: Time,
}

impl Cluster {
    fn new(shape: Shape, agents: usize, frameworks: usize) -> Result<Self, String> {
        let mut allocator = Allocator::new(Allocation::default());
        let role = |framework: usize| match shape {
            Shape::Quota if framework.is_multiple_of(2) => "paid",
            Shape::Labels => "labels",
            Shape::Plain | Shape::Suppress | Shape::Quota => "*",
        };
        for id in 0..frameworks {
            let terms = FrameworkTerms { roles: vec![role(id).into()], ..Default::default() };
            allocator.add_framework(&format!("framework-{id}"), terms, true);
        }
        let free = Resources::scalars([
            ("cpus", FREE_CPUS as f64 / 1000.0),
            ("mem", FREE_MEM as f64 / 1000.0),
            ("disk", 4096.0),
        ])
        .with_ports([(31000, 32000)]);
        let half =
            Resources::scalars([("cpus", FREE_CPUS as f64 / 2000.0), ("mem", FREE_MEM as f64 / 2000.0)])
                .with_ports([(31000, 32000)]);
        let used = Resources::scalars([("cpus", 1.0), ("mem", 128.0)]);
        for id in 0..agents {
            let free =
                if shape == Shape::Labels { half.clone() + &labelled("labels", id)? } else { free.clone() };
            let terms = AgentTerms { total: free + &used, hierarchical_roles: true, ..Default::default() };
            let (framework, role) = (format!("framework-{}", id % frameworks), role(id % frameworks));
            allocator.add_agent(&format!("agent-{id}"), terms, &[(&framework, role, used.clone())]);
        }
        if shape == Shape::Quota {
            let half = |milli: i64| milli * agents as i64 / 2;
            let all = vec![
                ("cpus".to_owned(), half(FREE_CPUS + 1000)),
                ("mem".to_owned(), half(FREE_MEM + 128_000)),
            ];
            if !allocator.set_quota("paid", Quota { guarantees: all.clone(), limits: all }) {
                return Err("the quota was refused".to_owned());
            }
        }
        let away = if shape == Shape::Suppress { frameworks / 10 } else { 0 };
        Ok(Self { allocator, shape, frameworks, away, now: Time::from_millis(1_000_000) })
    }
    /// Those who kept away come back, and the next ones keep away.
    fn take_turns(&mut self, cycle: usize) {
        for at in 0..self.away {
            let id = |turn: usize| format!("framework-{}", (turn * self.away + at) % self.frameworks);
            if cycle > 0 {
                self.allocator.revive(&id(cycle - 1), &[]);
            }
            self.allocator.suppress(&id(cycle), &[]);
        }
    }
    /// Whether every agent's resources were offered, none twice.
    fn whole(&self, offers: &[Offerable], agents: usize) -> Result<(), String> {
        let found = offers.len();
        let cpus: i64 = offers.iter().map(|offer| offer.resources.milli("cpus")).sum();
        let all = cpus == agents as i64 * FREE_CPUS;
        // A quota that ends in the middle of an agent parts it.
        let parted = if self.shape == Shape::Quota { 2 } else { 0 };
        if all && (agents..=agents + parted).contains(&found) {
            return Ok(());
        }
        Err(format!("{found} offers with {cpus} thousandths of cpus of {agents} agents"))
    }
    fn give_back(&mut self, offer: &Offerable, refuse: Option<Duration>) -> Result<(), String> {
        let Offerable { framework, agent, role, resources } = offer;
        let known = self.allocator.recover(framework, agent, role, resources, refuse, self.now);
        if known { Ok(()) } else { Err("an offer was not known".to_owned()) }
    }
}

/// Milliseconds of a full cycle, microseconds of one event.
fn measure(shape: Shape, agents: usize, frameworks: usize, events: usize) -> Result<(f64, f64), String> {
    let mut rng = Rng::from_number(1);
    let mut cluster = Cluster::new(shape, agents, frameworks)?;
    let mut offers = cluster.allocator.allocate(cluster.now, &mut rng);
    cluster.whole(&offers, agents)?;
    let mut cycles = Vec::new();
    for cycle in 0..CYCLES {
        cluster.now = cluster.now + Duration::from_secs(1);
        let begun = Instant::now();
        cluster.take_turns(cycle);
        // An offer that is declined is gone, as it is in the master.
        for offer in offers {
            cluster.give_back(&offer, Some(Duration::from_secs(31_536_000)))?;
        }
        offers = cluster.allocator.allocate(cluster.now, &mut rng);
        cycles.push(begun.elapsed().as_secs_f64() * 1e3);
        cluster.whole(&offers, agents)?;
    }
    let begun = Instant::now();
    for at in 0..events {
        let place = at % offers.len();
        let offer = offers[place].clone();
        cluster.give_back(&offer, None)?;
        let mut again = cluster.allocator.allocate(cluster.now, &mut rng);
        let cpus: i64 = again.iter().map(|new| new.resources.milli("cpus")).sum();
        let here = again.iter().all(|new| new.agent == offer.agent);
        match again.pop() {
            Some(new) if here && cpus == offer.resources.milli("cpus") => offers[place] = new,
            _ => return Err("what one agent freed was not offered once".to_owned()),
        }
        offers.extend(again);
    }
    Ok((stats::median(&cycles), begun.elapsed().as_secs_f64() * 1e6 / events as f64))
}
