//! The suite: rows that run the real binary, each beside the limit of this machine measured in the same minute.
//!
//! Decides what a round is and when it counts. Never asserts a time: figures are printed, correctness is required.

mod alloc;
mod client;
mod daemon;
mod deploy;
mod events;
mod fleet;
mod footprint;
mod launch;
mod lists;
mod machine;
mod place;
mod pollers;
mod probes;
mod reads;
mod report;
mod start;
mod stats;
mod write;

pub use report::{Figure, Report};
use std::path::PathBuf;

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// As much as the row says.
    Full,
    /// So little that nothing is measured: for tests that the row works.
    Quick,
}

/// What all rows are told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The binary under test.
    pub binary: PathBuf,
    /// How much is done.
    pub size: Size,
    /// How often; none = as the row says.
    pub rounds: Option<usize>,
    /// Master and agent as processes of their own.
    pub apart: bool,
}

impl Options {
    fn rounds(&self, usual: usize) -> usize {
        match self.size {
            Size::Full => self.rounds.unwrap_or(usual),
            Size::Quick => 1,
        }
    }
    fn count(&self, full: usize, quick: usize) -> usize {
        match self.size {
            Size::Full => full,
            Size::Quick => quick,
        }
    }
}

/// A row of the suite.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    run: fn(&Options) -> Result<Vec<Figure>, String>,
}

/// All rows.
pub const ROWS: [Row; 11] = [
    Row { name: "L1", about: "short tasks on one agent without isolation", run: launch::plain },
    Row {
        name: "L2",
        about: "short tasks on one agent with the default isolation (root)",
        run: launch::isolated,
    },
    Row {
        name: "E1",
        about: "memory, threads and processor time of an idle `mesolite dev`",
        run: footprint::idle,
    },
    Row { name: "E2", about: "from exec to ready, and to the first running task", run: start::cold },
    Row {
        name: "S1",
        about: "allocation cycles as Mesos' DeclineOffers benchmark does them",
        run: alloc::cycles,
    },
    Row {
        name: "S2",
        about: "placements through the pure cores, with ports, attributes and constraints",
        run: place::placements,
    },
    Row { name: "A1M", about: "Marathon's list of 10,000 apps with 100,000 tasks, polled", run: lists::apps },
    Row { name: "A1", about: "the master's large documents while many poll them", run: reads::reads },
    Row { name: "A2", about: "apps written durably, one by one and thousands at once", run: write::writes },
    Row { name: "A3", about: "events told to a thousand clients", run: events::fan_out },
    Row { name: "A4", about: "deployments of thousands on simulated agents", run: deploy::deployments },
];

/// Runs the named rows one after the other.
pub fn run(names: &[String], options: &Options) -> Report {
    let mut report = Report::new(options);
    for row in ROWS.iter().filter(|row| names.iter().any(|name| name == row.name)) {
        eprintln!("== {} {}", row.name, row.about);
        report.add(row.name, (row.run)(options));
    }
    report.end();
    daemon::tidy();
    report
}
