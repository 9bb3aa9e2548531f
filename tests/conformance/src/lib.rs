//! Replays recorded conversations with Apache Mesos against a server and compares what comes back.
//!
//! The format is stated in `data/transcripts/README.md`. Never: what is right (the recordings say it), nor our own
//! codecs (protobuf bodies are read by reflection, so that a fault in ours shows).

pub mod cluster;
mod compare;
mod expected;
mod http;
pub mod needs;
mod placeholders;
mod protobuf;
mod report;
mod transcript;
mod walk;

pub use expected::Expected;
pub use report::{Outcome, Report};
pub use transcript::{Transcript, load};
pub use walk::replay;

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

/// Where the server under test comes from.
#[derive(Clone, Debug)]
pub enum Server {
    /// A fresh cluster of this binary for each file, as its `needs` say.
    Binary(std::path::PathBuf),
    /// These daemons, as they are: files that stop or start processes are not tried.
    Running {
        /// URL of the master.
        master: String,
        /// URL of the agent.
        agent: Option<String>,
    },
}

/// Files that are committed: fewer mean that a folder was moved, not that all is well.
pub const TRANSCRIPTS: usize = 187;

/// Clusters that run at the same time: most of a replay is waiting.
const CLUSTERS_MAX: usize = 10;

/// Replays every file below a folder, several at a time, and calls `each` as they end.
pub fn replay_all(
    dir: &Path,
    server: &Server,
    only: &[String],
    each: impl Fn(&str, &Outcome) + Sync,
) -> anyhow::Result<Report> {
    let mut transcripts = load(dir)?;
    if !only.is_empty() {
        transcripts.retain(|t| only.iter().any(|name| t.name.contains(name.as_str())));
    }
    anyhow::ensure!(!transcripts.is_empty(), "{}: no transcripts to replay", dir.display());
    let table = needs::Table::committed()?;
    let width = if matches!(server, Server::Binary(_)) { CLUSTERS_MAX } else { 1 };
    let queue = Mutex::new(transcripts.into_iter());
    let report = Mutex::new(Report::default());
    std::thread::scope(|scope| {
        for _ in 0..width {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(transcript) = next else { return };
                    let outcome = replay(&transcript, server, &table);
                    each(&transcript.name, &outcome);
                    report
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .files
                        .insert(transcript.name, outcome);
                }
            });
        }
    });
    Ok(report.into_inner().unwrap_or_else(PoisonError::into_inner))
}
