//! The embedded backend: one thread takes the commits of all callers and syncs as many as wait at once.
//!
//! Decides which commits share a write and which are refused. Never: the form on the disk (`log`, `segment`).

use crate::{
    Backend, COMMITS_WAITING_MAX, Commit, StoreError, check_limits, log::Log, log::trouble, segment::Frame,
};
use model::save::{Change, Records};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{File, OpenOptions, Permissions},
    io::{Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::oneshot;

/// Only the owner enters the directory.
const DIRECTORY_MODE: u32 = 0o700;
/// Bytes that are gathered into one write. A larger batch is written alone.
const GROUP_BYTES_MAX: usize = 1024 * 1024;

/// A directory that is in use is tried again this often before its opener is refused.
const LOCK_TRIES_MAX: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

struct Waiting {
    term: u64,
    batch: Vec<Change>,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// Durable state in a directory, owned by this process while it is open.
#[derive(Debug)]
pub struct Store {
    log: Arc<Mutex<Log>>,
    queue: Option<mpsc::SyncSender<Waiting>>,
    writer: Option<JoinHandle<()>>,
    _lock: File,
}

impl Store {
    /// Opens the directory, making it if need be. A second opener is refused, as is a damaged log.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, StoreError> {
        let dir = dir.as_ref();
        std::fs::create_dir_all(dir).map_err(|e| not_ours(dir, "create", &e))?;
        // What is kept may hold secrets: the environment of tasks.
        let own = Permissions::from_mode(DIRECTORY_MODE);
        std::fs::set_permissions(dir, own).map_err(|e| not_ours(dir, "close to others", &e))?;
        let lock = lock(dir)?;
        let log = Arc::new(Mutex::new(Log::open(dir)?));
        let (queue, waiting) = mpsc::sync_channel(COMMITS_WAITING_MAX);
        let shared = log.clone();
        let thread = std::thread::Builder::new().name("store".to_owned()).stack_size(256 * 1024);
        let writer =
            thread.spawn(move || write(&shared, &waiting)).map_err(|e| trouble(dir, "start a thread", &e))?;
        Ok(Self { log, queue: Some(queue), writer: Some(writer), _lock: lock })
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
        let Some(queue) = &self.queue else { return Commit::ready(Err(StoreError::Closed)) };
        match queue.try_send(Waiting { term, batch, done }) {
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

impl Drop for Store {
    /// Writes what waits, then lets go of the directory.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's thread had panicked");
        }
        locked(&self.log).settle();
    }
}

/// A directory that the system keeps from us: whose it is, and what to do.
fn not_ours(dir: &Path, what: &'static str, error: &std::io::Error) -> StoreError {
    let told = trouble(dir, what, error);
    let StoreError::Disk { file, error: said, full, .. } = &told else { return told };
    let seen = dir.ancestors().find_map(|d| Some((d, std::fs::metadata(d).ok()?.uid())));
    let (own, denied) =
        (rustix::process::geteuid().as_raw(), error.kind() == std::io::ErrorKind::PermissionDenied);
    match seen {
        Some((of, uid)) if denied && uid != own => {
            let of = of.display();
            let error = format!(
                "{said}: {of} belongs to the user with uid {uid}, and this is uid {own}: start as that user, or name \
                 another directory"
            );
            StoreError::Disk { file: file.clone(), what, error, full: *full }
        }
        _ => told,
    }
}

fn locked(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(|e| trouble(&path, "open", &e))?;
    let mut tries = LOCK_TRIES_MAX;
    while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(trouble(&path, "lock", &error.into()));
        }
        // a process that is being started holds our descriptors for a moment, until it executes its program
        if tries > 0 {
            tries -= 1;
            std::thread::sleep(LOCK_PAUSE);
            continue;
        }
        let mut pid = String::new();
        if file.read_to_string(&mut pid).is_err() || pid.trim().is_empty() {
            pid = "unknown".to_owned();
        }
        return Err(StoreError::InUse { dir: dir.to_owned(), pid: pid.trim().to_owned() });
    }
    // only a help for people: a full disk must not keep a daemon from starting
    let said = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = said {
        tracing::warn!(%error, file = %path.display(), "the pid could not be written");
    }
    Ok(file)
}

fn write(log: &Mutex<Log>, waiting: &mpsc::Receiver<Waiting>) {
    let mut next = None;
    while let Some(first) = next.take().or_else(|| waiting.recv().ok()) {
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
        if log.wants_rewrite()
            && let Err(error) = log.rewrite()
        {
            tracing::warn!(%error, "the log could not be rewritten; it goes on growing for now");
        }
    }
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
