//! Measures allocation cycles as Mesos' `DeclineOffers` benchmark does: every agent's resources are offered, every
//! offer is declined for good, again and again. Run: `cargo run --release -p mesolite-master --example alloc_cycle`.
//!
//! Prints one line per size: agents, frameworks, milliseconds per full cycle (recover and allocate), and microseconds
//! for one event (a task of one agent ends and what it freed is offered).

use base::{Duration, Rng, Time};
use master::allocator::{AgentTerms, Allocator, FrameworkTerms, Offerable, Options};
use model::resources::Resources;
use std::time::Instant;

const CYCLES: u32 = 5;
const EVENTS: u32 = 2_000;

fn main() {
    println!("agents frameworks add_ms cycle_ms allocate_ms event_us");
    for (agents, frameworks) in
        [(1_000, 100), (5_000, 500), (10_000, 1_000), (20_000, 2_000), (50_000, 1_000)]
    {
        measure(agents, frameworks);
    }
}

fn measure(agents: usize, frameworks: usize) {
    let mut rng = Rng::from_number(1);
    let mut now = Time::from_millis(1_000_000);
    let mut allocator = Allocator::new(Options::default());
    for id in 0..frameworks {
        let terms = FrameworkTerms { roles: vec!["*".into()], ..Default::default() };
        allocator.add_framework(&format!("framework-{id}"), terms, true);
    }
    let free =
        Resources::scalars([("cpus", 24.0), ("mem", 4096.0), ("disk", 4096.0)]).with_ports([(31000, 32000)]);
    let used = Resources::scalars([("cpus", 1.0), ("mem", 128.0)]);
    let total = free.clone() + &used;
    let begun = Instant::now();
    for id in 0..agents {
        let terms = AgentTerms { total: total.clone(), hierarchical_roles: true, ..Default::default() };
        let framework = format!("framework-{}", id % frameworks);
        allocator.add_agent(&format!("agent-{id}"), terms, &[(&framework, "*", used.clone())]);
    }
    let mut offers = allocator.allocate(now, &mut rng);
    let add = begun.elapsed();
    assert_eq!(offers.len(), agents);

    let (mut cycle, mut allocate) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..CYCLES {
        now = now + Duration::from_secs(1);
        let begun = Instant::now();
        for offer in &offers {
            give_back(&mut allocator, offer, Some(Duration::from_secs(31_536_000)), now);
        }
        let recovered = Instant::now();
        offers = allocator.allocate(now, &mut rng);
        allocate += recovered.elapsed();
        cycle += begun.elapsed();
        assert_eq!(offers.len(), agents);
    }

    let begun = Instant::now();
    for at in 0..EVENTS as usize {
        let offer = &offers[at % offers.len()];
        give_back(&mut allocator, offer, None, now);
        let again = allocator.allocate(now, &mut rng);
        assert_eq!(again.len(), 1);
        offers[at % agents] = again.into_iter().next().expect("one offer");
    }
    let event = begun.elapsed() / EVENTS;
    let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
    println!(
        "{agents} {frameworks} {:.1} {:.2} {:.2} {:.2}",
        millis(add),
        millis(cycle) / f64::from(CYCLES),
        millis(allocate) / f64::from(CYCLES),
        event.as_secs_f64() * 1e6
    );
}

fn give_back(allocator: &mut Allocator, offer: &Offerable, refuse: Option<Duration>, now: Time) {
    let known = allocator.recover(&offer.framework, &offer.agent, &offer.role, &offer.resources, refuse, now);
    assert!(known);
}
