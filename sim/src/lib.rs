//! The cluster in a seed: the real master, agents and orchestrator in one thread and in virtual time, in a world that
//! loses, delays and doubles messages, crashes everything, fills disks, jumps clocks and ends tasks.
//!
//! One seed decides everything, and the same seed gives the same trace. Never: sockets, files; real clocks and threads
//! only where many seeds are run at once (`many`).

mod act;
mod capacity;
mod channel;
mod client;
mod converge;
mod disk;
mod faults;
mod history;
mod host;
mod many;
mod mix;
mod net;
mod plain;
mod probes;
mod roles;
mod trace;
mod volumes;
mod world;

pub use many::{run_all, some_seed};

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};
use trace::Trace;

/// How a run is made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Events after which the phase of faults ends, at the latest.
    pub steps: u64,
    /// Print the trace while it is made.
    pub verbose: bool,
    /// Lines of the trace kept for a failure.
    pub tail: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { steps: 20_000, verbose: false, tail: 120 }
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What the seed picked.
    pub mix: String,
    /// Steps of machines.
    pub steps: u64,
    /// Virtual milliseconds.
    pub virtual_ms: u64,
    /// Containers that were started.
    pub containers: u64,
    /// A hash over every line of the trace.
    pub hash: u64,
    /// What was wrong; none = all held.
    pub failure: Option<String>,
    /// The end of the trace, for a failure.
    pub tail: Vec<String>,
}

impl Outcome {
    /// What was wrong, and how to see it again.
    pub fn complaint(&self) -> String {
        let why = self.failure.as_deref().unwrap_or("nothing was wrong");
        format!("seed {0} FAILED: {why}\n  again: cargo xtask sim --seed {0} --trace", self.seed)
    }
}

/// Runs one seed to its end: faults, then quiet, then the cluster must come to rest.
pub fn run(seed: u64, options: Options) -> Outcome {
    let trace = Rc::new(RefCell::new(Trace::new(options.tail, options.verbose)));
    let mut world = world::World::new(seed, trace.clone());
    let mix = world.mix.to_string();
    let ended = catch_unwind(AssertUnwindSafe(|| {
        world.live(options.steps);
        world.converge();
    }));
    let failure = ended.err().map(|why| {
        let text = why.downcast_ref::<String>().cloned();
        text.or_else(|| why.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
    });
    let trace = trace.borrow();
    Outcome {
        seed,
        mix,
        steps: world.steps,
        virtual_ms: world.now.since(world::BEGIN).as_millis() as u64,
        containers: world.history.started.len() as u64,
        hash: trace.hash(),
        tail: if failure.is_some() { trace.tail() } else { Vec::new() },
        failure,
    }
}
