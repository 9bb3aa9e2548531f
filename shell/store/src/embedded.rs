//! The embedded backend: one thread takes the commits of all callers and syncs as many as wait at once.
//!
//! Decides which commits share a write and which are refused. Never: the form on the disk (`log`, `segment`).

use crate::{
    Backend, COMMITS_WAITING_MAX, Commit, StoreError, check_limits,
    election::{Seat, lead},
    log::{Log, trouble},
    segment::Frame,
};
use model::save::{Change, Records};
use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
};
use tokio::sync::oneshot;

/// Bytes that are gathered into one write. A larger batch is written alone.
const GROUP_BYTES_MAX: usize = 1024 * 1024;

struct Waiting {
    term: u64,
    batch: Vec<Change>,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// Durable state in a directory, owned by this process while it is open.
#[derive(Debug)]
pub struct Store {
    log: Arc<Mutex<Log>>,
    /// The highest term that was given out.
    term: AtomicU64,
    /// None = it was closed.
    open: Mutex<Option<Open>>,
}

/// What a store has while it is open.
#[derive(Debug)]
struct Open {
    queue: mpsc::SyncSender<Waiting>,
    writer: JoinHandle<()>,
    seat: Seat,
}

impl Store {
    /// Opens the directory, making it if need be. A second opener is refused, as is a damaged log.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_by(lead(dir)?)
    }

    /// Opens the directory that is led; a damaged log is refused. The lead is given up when the store is dropped.
    pub fn open_by(seat: Seat) -> Result<Self, StoreError> {
        let log = Log::open(seat.dir())?;
        let term = AtomicU64::new(log.term);
        let log = Arc::new(Mutex::new(log));
        let (queue, waiting) = mpsc::sync_channel(COMMITS_WAITING_MAX);
        let shared = log.clone();
        let thread = std::thread::Builder::new().name("store".to_owned()).stack_size(256 * 1024);
        let writer = thread
            .spawn(move || write(&shared, &waiting))
            .map_err(|e| trouble(seat.dir(), "start a thread", &e))?;
        Ok(Self { log, term, open: Mutex::new(Some(Open { queue, writer, seat })) })
    }

    /// A term that is later than all that were given out or have written: what commits in it ends those before it.
    pub fn next_term(&self) -> u64 {
        self.term.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Tells those who stand by where the leader is reached, as `host:port`.
    pub fn announce(&self, address: &str) {
        if let Some(open) = locked(&self.open).as_ref() {
            open.seat.announce(address);
        }
    }

    /// Whether its path still leads to what is open: a directory that was moved away is not this store's place any more.
    pub fn holds(&self) -> bool {
        locked(&self.open).as_ref().is_some_and(|open| open.seat.holds())
    }

    /// Whether a path lies in its directory.
    pub fn contains(&self, path: &Path) -> bool {
        let open = locked(&self.open);
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        let inside = |open: &Open| Some(real(path.parent()?)?.starts_with(real(open.seat.dir())?));
        open.as_ref().and_then(inside).unwrap_or(false)
    }

    /// Everything that is durable becomes this, whole or not at all. Commits of earlier terms that come later are refused.
    pub fn replace(&self, records: &Records) -> Result<(), StoreError> {
        locked(&self.log).replace(self.next_term(), records)
    }

    /// Everything durable under the prefix, by full key; all of it for an empty prefix.
    pub fn records(&self, prefix: &str) -> Result<Records, StoreError> {
        locked(&self.log).records(prefix)
    }

    /// Makes the batch durable, whole or not at all, and after all commits before it. Returns at once.
    pub fn commit(&self, term: u64, batch: Vec<Change>) -> Commit {
        if let Err(error) = check_limits(&batch) {
            return Commit::ready(Err(error));
        }
        let (done, commit) = Commit::new();
        let open = locked(&self.open);
        let Some(open) = open.as_ref() else { return Commit::ready(Err(StoreError::Closed)) };
        match open.queue.try_send(Waiting { term, batch, done }) {
            Ok(()) => commit,
            Err(mpsc::TrySendError::Full(_)) => Commit::ready(Err(StoreError::Busy)),
            Err(mpsc::TrySendError::Disconnected(_)) => Commit::ready(Err(StoreError::Closed)),
        }
    }
}

impl Backend for Store {
    fn records(&self, prefix: &str) -> Result<Records, StoreError> {
        Self::records(self, prefix)
    }
    fn commit(&self, term: u64, batch: Vec<Change>) -> Commit {
        Self::commit(self, term, batch)
    }
}

impl Store {
    /// Writes what waits, then lets go of the directory, whoever still holds this; commits that come later are refused.
    pub fn close(&self) {
        let Some(Open { queue, writer, seat }) = locked(&self.open).take() else { return };
        drop(queue);
        if writer.join().is_err() {
            tracing::error!("the store's thread had panicked");
        }
        locked(&self.log).close();
        drop(seat);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write(log: &Mutex<Log>, waiting: &mpsc::Receiver<Waiting>) {
    let mut next = None;
    loop {
        let first = match next.take().map_or_else(|| waiting.try_recv(), Ok) {
            Ok(first) => first,
            Err(mpsc::TryRecvError::Disconnected) => return,
            Err(mpsc::TryRecvError::Empty) => {
                // Nobody waits: a rewrite that is under way goes on.
                if rewrite(&mut locked(log)) {
                    continue;
                }
                let Ok(first) = waiting.recv() else { return };
                first
            }
        };
        let mut log = locked(log);
        let mut term = log.term;
        let mut frame = Frame::new(first.term.max(term));
        let mut group = Vec::new();
        let mut candidate = Some(first);
        while let Some(commit) = candidate.take() {
            if commit.term < term {
                let refused = StoreError::OldTerm { asked: commit.term, current: term };
                answer(commit.done, Err(refused));
            } else if group.is_empty()
                || (commit.term == term && frame.len() + size(&commit.batch) <= GROUP_BYTES_MAX)
            {
                if group.is_empty() && commit.term > term {
                    term = commit.term;
                    frame = Frame::new(term);
                }
                commit.batch.iter().for_each(|change| frame.push(change));
                group.push(commit.done);
            } else {
                next = Some(commit);
                break;
            }
            candidate = waiting.try_recv().ok();
        }
        if group.is_empty() {
            continue;
        }
        let outcome = if frame.is_empty() && term == log.term { Ok(()) } else { log.append(frame, term) };
        group.into_iter().for_each(|done| answer(done, outcome.clone()));
        rewrite(&mut log);
    }
}

/// Goes on rewriting the log where that is worth it; whether there was something to do.
fn rewrite(log: &mut Log) -> bool {
    let wanted = log.wants_rewrite();
    if wanted && let Err(error) = log.rewrite() {
        tracing::warn!(%error, "the log could not be rewritten; it goes on growing for now");
    }
    wanted
}

fn size(batch: &[Change]) -> usize {
    let one = |change: &Change| match change {
        Change::Put { key, value } => key.len() + value.len() + 9,
        Change::Delete { key } => key.len() + 5,
    };
    batch.iter().map(one).sum()
}

fn answer(done: oneshot::Sender<Result<(), StoreError>>, outcome: Result<(), StoreError>) {
    if done.send(outcome).is_err() {
        tracing::trace!("nobody waits for this commit any more");
    }
}
