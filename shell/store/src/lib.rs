//! Durable state of one role in one directory, and who leads it: what is acknowledged survives a crash, and nothing else is
//! promised.
//!
//! Decides how commits are grouped and when the log is rewritten. Never what a record means.

mod backup;
mod conformance;
mod election;
mod embedded;
mod log;
mod mark;
mod renewal;
mod segment;

pub use backup::{BackupError, back_up, read_backup};
pub use conformance::{Opening, conformance};
pub use election::{Leader, Seat, Standing, lead, prepare, stand};
pub use embedded::Store;

use model::save::{Change, Records};
use std::{
    future::Future,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::sync::oneshot;

/// Bytes of keys and values that one commit may hold. A backend on a replicated store splits what is larger than
/// its own transactions; the embedded one writes a batch of this size as one atomic record.
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Changes that one commit may hold.
pub const BATCH_CHANGES_MAX: usize = 65_536;
/// Bytes of one key.
pub const KEY_BYTES_MAX: usize = 4096;
/// Commits that may wait for the disk. What comes on top is refused.
pub const COMMITS_WAITING_MAX: usize = 65_536;

/// Why the store did not do as told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another daemon has the directory.
    #[error("{} is in use by the process with pid {pid}: stop it, or start this one with another directory", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// Who has it; `unknown` if it has not said so yet.
        pid: String,
    },
    /// What is on the disk is not what was written.
    #[error(
        "{} is damaged at byte {at} ({why}); nothing was changed. Restore the file from a backup, or, to give up all \
         that is recorded in it, move its whole directory away and start again", file.display()
    )]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// Where the damage begins.
        at: u64,
        /// What is wrong there.
        why: String,
    },
    /// The disk did not do it. Nothing of the batch is promised; a later commit may succeed.
    #[error("{}: {what}: {error}", file.display())]
    Disk {
        /// The file.
        file: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system says.
        error: String,
        /// The disk is full: try again when there is space.
        full: bool,
    },
    /// Another leader has written since.
    #[error("term {asked} is over: term {current} has written since")]
    OldTerm {
        /// The term of this commit.
        asked: u64,
        /// The highest term that has written.
        current: u64,
    },
    /// The batch is larger than a named limit.
    #[error("a commit with {found} exceeds {limit}")]
    TooLarge {
        /// What was found.
        found: String,
        /// The name and value of the limit.
        limit: &'static str,
    },
    /// More than `COMMITS_WAITING_MAX` commits wait.
    #[error("the disk is too slow: COMMITS_WAITING_MAX (65536) commits wait already")]
    Busy,
    /// The store was closed before it came to this commit.
    #[error("the store was closed")]
    Closed,
}

/// A commit under way: a future, or waited for.
#[derive(Debug)]
#[must_use = "nothing is promised until this completes"]
pub struct Commit(oneshot::Receiver<Result<(), StoreError>>);

impl Commit {
    fn new() -> (oneshot::Sender<Result<(), StoreError>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }
    fn ready(outcome: Result<(), StoreError>) -> Self {
        let (sender, commit) = Self::new();
        if sender.send(outcome).is_err() {
            unreachable!("the receiver is held here");
        }
        commit
    }
    /// Blocks this thread until it is durable. Not for async callers.
    pub fn wait(self) -> Result<(), StoreError> {
        self.0.blocking_recv().unwrap_or(Err(StoreError::Closed))
    }
}

impl Future for Commit {
    type Output = Result<(), StoreError>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|outcome| outcome.unwrap_or(Err(StoreError::Closed)))
    }
}

/// What every place that keeps durable state can do. `conformance` says it in tests.
pub trait Backend: Send + Sync {
    /// Everything durable under the prefix, by full key.
    fn records(&self, prefix: &str) -> Result<Records, StoreError>;
    /// Makes the batch durable, whole or not at all, and after all commits before it. Returns at once.
    fn commit(&self, term: u64, batch: Vec<Change>) -> Commit;
}

fn check_limits(batch: &[Change]) -> Result<(), StoreError> {
    if batch.len() > BATCH_CHANGES_MAX {
        let found = format!("{} changes", batch.len());
        return Err(StoreError::TooLarge { found, limit: "BATCH_CHANGES_MAX (65536)" });
    }
    let mut bytes = 0;
    for change in batch {
        let (key, value) = match change {
            Change::Put { key, value } => (key, value.len()),
            Change::Delete { key } => (key, 0),
        };
        if key.len() > KEY_BYTES_MAX {
            let found = format!("a key of {} bytes", key.len());
            return Err(StoreError::TooLarge { found, limit: "KEY_BYTES_MAX (4096)" });
        }
        bytes += key.len() + value;
    }
    if bytes > BATCH_BYTES_MAX {
        let found = format!("{bytes} bytes");
        return Err(StoreError::TooLarge { found, limit: "BATCH_BYTES_MAX (16 MiB)" });
    }
    Ok(())
}
