//! Who leads a directory: whoever holds its lock. The others stand by, and hear from the lock where the leader is.
//!
//! Never: what a leader does, nor what is in the directory.

use crate::{StoreError, log::trouble};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{File, OpenOptions, Permissions},
    io::Read as _,
    os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

/// Only the owner enters the directory.
const DIRECTORY_MODE: u32 = 0o700;
/// Bytes of a lock file that are looked at.
const SAID_BYTES_MAX: u64 = 4096;

/// A directory that is in use is tried again this often before its opener is refused.
const LOCK_TRIES_MAX: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The lead of a directory, for as long as this lives. The process that ends loses it, however it ends.
#[derive(Debug)]
pub struct Seat {
    file: File,
    dir: PathBuf,
}

/// How it stands.
#[derive(Debug)]
pub enum Standing {
    /// The directory is ours.
    Leads(Seat),
    /// Somebody else's.
    Follows(Leader),
}

/// Who leads, as far as the lock file says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leader {
    /// Its process.
    pub pid: Option<String>,
    /// Where it is reached, `host:port`; none = it has not said so (yet).
    pub address: Option<String>,
}

/// Takes the lead of a directory, which is made if need be, if nobody has it. Returns at once.
pub fn stand(dir: impl AsRef<Path>) -> Result<Standing, StoreError> {
    let dir = dir.as_ref();
    std::fs::create_dir_all(dir).map_err(|e| not_ours(dir, "create", &e))?;
    // What is kept may hold secrets: the environment of tasks.
    let own = Permissions::from_mode(DIRECTORY_MODE);
    std::fs::set_permissions(dir, own).map_err(|e| not_ours(dir, "close to others", &e))?;
    let path = dir.join("lock");
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let file = options.open(&path).map_err(|e| trouble(&path, "open", &e))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            let seat = Seat { file, dir: dir.to_owned() };
            seat.say(&format!("{}\n", std::process::id()));
            Ok(Standing::Leads(seat))
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(Standing::Follows(said(&file))),
        Err(error) => Err(trouble(&path, "lock", &error.into())),
    }
}

/// Takes the lead of a directory; one that somebody else has is refused.
pub fn lead(dir: impl AsRef<Path>) -> Result<Seat, StoreError> {
    let dir = dir.as_ref();
    let mut tries = LOCK_TRIES_MAX;
    loop {
        match stand(dir)? {
            Standing::Leads(seat) => return Ok(seat),
            // a process that is being started holds our descriptors for a moment, until it executes its program
            Standing::Follows(_) if tries > 0 => {
                tries -= 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            Standing::Follows(leader) => {
                let pid = leader.pid.unwrap_or_else(|| "unknown".to_owned());
                return Err(StoreError::InUse { dir: dir.to_owned(), pid });
            }
        }
    }
}

impl Seat {
    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
    /// Tells those who stand by where the leader is reached.
    pub fn announce(&self, address: &str) {
        self.say(&format!("{}\n{address}\n", std::process::id()));
    }
    /// Only a help for others: a full disk must not keep a daemon from starting.
    fn say(&self, text: &str) {
        let said =
            self.file.write_all_at(text.as_bytes(), 0).and_then(|()| self.file.set_len(text.len() as u64));
        if let Err(error) = said {
            tracing::warn!(%error, dir = %self.dir.display(), "the lock can't say who has it");
        }
    }
}

impl Drop for Seat {
    /// Nobody is sent to a leader that is none any more.
    fn drop(&mut self) {
        if let Err(error) = self.file.set_len(0) {
            tracing::warn!(%error, dir = %self.dir.display(), "the lock can't be cleared");
        }
    }
}

/// A line counts once it is whole: it may be looked at while it is written.
fn said(file: &File) -> Leader {
    let mut text = String::new();
    if let Err(error) = file.take(SAID_BYTES_MAX).read_to_string(&mut text) {
        tracing::debug!(%error, "the lock does not read");
    }
    let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned);
    Leader { pid: lines.next().filter(|pid| !pid.is_empty()), address: lines.next() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_leads_and_the_others_hear_where_until_it_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let Standing::Leads(first) = stand(dir.path()).unwrap() else { panic!("nobody else is there") };
        let pid = Some(std::process::id().to_string());
        let follows = || match stand(dir.path()).unwrap() {
            Standing::Follows(leader) => leader,
            Standing::Leads(_) => panic!("two lead"),
        };
        assert_eq!(follows(), Leader { pid: pid.clone(), address: None });
        first.announce("a-name-that-is-longer.example:8080");
        first.announce("here:80");
        assert_eq!(follows(), Leader { pid, address: Some("here:80".to_owned()) });
        drop(first);
        let Standing::Leads(_next) = stand(dir.path()).unwrap() else { panic!("it was let go") };
        assert_eq!(follows().address, None, "the last leader's address is not passed on");
    }

    #[test]
    fn half_a_line_is_nobodys_address() {
        let dir = tempfile::tempdir().unwrap();
        let Standing::Leads(seat) = stand(dir.path()).unwrap() else { panic!("nobody else is there") };
        seat.say("12\nhere:8");
        let Standing::Follows(leader) = stand(dir.path()).unwrap() else { panic!("two lead") };
        assert_eq!(leader, Leader { pid: Some("12".to_owned()), address: None });
    }
}
