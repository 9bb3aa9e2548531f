//! S1: allocation cycles as Mesos' `DeclineOffers` benchmark does them. Every agent's resources are offered, every offer
//! is declined for good, again and again. In process: agents and frameworks are simulated.

use crate::{Figure, Options, probes, report::Target, stats};
use base::{Duration, Rng, Time};
use master::allocator::{AgentTerms, Allocator, FrameworkTerms, Offerable, Options as Allocation};
use model::resources::Resources;
use std::time::Instant;

const CYCLES: usize = 5;
const EVENTS: usize = 2_000;
const PROBE_STEPS: usize = 500_000;
const SIZES: [(usize, usize); 5] =
    [(1_000, 100), (5_000, 500), (10_000, 1_000), (20_000, 2_000), (50_000, 1_000)];

/// One figure for each size, and how they grow.
pub fn cycles(options: &Options) -> Result<Vec<Figure>, String> {
    let sizes = &SIZES[..options.count(SIZES.len(), 1)];
    let mut figures = Vec::new();
    let mut medians = Vec::new();
    for (agents, frameworks) in sizes.iter().copied() {
        let limit = probes::placements(agents, frameworks, options.count(PROBE_STEPS, 1_000));
        let limit = agents as f64 / limit * 1e3;
        let (mut full, mut event) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds(CYCLES) {
            let round = measure(agents, frameworks, options.count(EVENTS, 10))?;
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
    Ok(figures)
}

/// Milliseconds of a full cycle, microseconds of one event.
fn measure(agents: usize, frameworks: usize, events: usize) -> Result<(f64, f64), String> {
    let mut rng = Rng::from_number(1);
    let mut now = Time::from_millis(1_000_000);
    let mut allocator = Allocator::new(Allocation::default());
    for id in 0..frameworks {
        let terms = FrameworkTerms { roles: vec!["*".into()], ..Default::default() };
        allocator.add_framework(&format!("framework-{id}"), terms, true);
    }
    let free =
        Resources::scalars([("cpus", 24.0), ("mem", 4096.0), ("disk", 4096.0)]).with_ports([(31000, 32000)]);
    let used = Resources::scalars([("cpus", 1.0), ("mem", 128.0)]);
    let total = free.clone() + &used;
    for id in 0..agents {
        let terms = AgentTerms { total: total.clone(), hierarchical_roles: true, ..Default::default() };
        let framework = format!("framework-{}", id % frameworks);
        allocator.add_agent(&format!("agent-{id}"), terms, &[(&framework, "*", used.clone())]);
    }
    let mut offers = allocator.allocate(now, &mut rng);
    let whole = |offers: &[Offerable]| {
        let found = offers.len();
        if found == agents { Ok(()) } else { Err(format!("{found} of {agents} agents were offered")) }
    };
    whole(&offers)?;
    let mut cycles = Vec::new();
    for _ in 0..CYCLES {
        now = now + Duration::from_secs(1);
        let begun = Instant::now();
        for offer in &offers {
            give_back(&mut allocator, offer, Some(Duration::from_secs(31_536_000)), now)?;
        }
        offers = allocator.allocate(now, &mut rng);
        cycles.push(begun.elapsed().as_secs_f64() * 1e3);
        whole(&offers)?;
    }
    let begun = Instant::now();
    for at in 0..events {
        let offer = &offers[at % offers.len()];
        give_back(&mut allocator, offer, None, now)?;
        let mut again = allocator.allocate(now, &mut rng);
        match (again.pop(), again.is_empty()) {
            (Some(offer), true) => offers[at % agents] = offer,
            _ => return Err("what one agent freed was not offered once".to_owned()),
        }
    }
    Ok((stats::median(&cycles), begun.elapsed().as_secs_f64() * 1e6 / events as f64))
}

fn give_back(
    allocator: &mut Allocator,
    offer: &Offerable,
    refuse: Option<Duration>,
    now: Time,
) -> Result<(), String> {
    let known = allocator.recover(&offer.framework, &offer.agent, &offer.role, &offer.resources, refuse, now);
    if known { Ok(()) } else { Err("an offer was not known".to_owned()) }
}
