//! Who leads a directory: whoever has it locked. The others stand by, and hear from a file in it where the leader is.
//!
//! Never: what a leader does, nor what is in the directory.

use crate::{StoreError, log::trouble};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    fs::{File, OpenOptions, Permissions},
    io::Read as _,
    os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

/// Only the owner enters the directory.
const DIRECTORY_MODE: u32 = 0o700;
/// The file that says who leads.
const WORDS: &str = "lock";
/// Bytes of a lock file that are looked at.
const SAID_BYTES_MAX: u64 = 4096;

/// A directory that is in use is tried again this often before its opener is refused.
const LOCK_TRIES_MAX: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The lead of a directory, for as long as this lives. The process that ends loses it, however it ends.
#[derive(Debug)]
pub struct Seat {
    dir: PathBuf,
    /// The directory itself, which is locked: what is in it may be removed.
    held: File,
    /// Says who leads. Locked too, for file systems that lock no directories.
    words: File,
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

/// Makes a directory if need be, and closes it to others. Who stands by does not: a directory that was moved away is not
/// begun anew by whoever sees that first.
pub fn prepare(dir: impl AsRef<Path>) -> Result<(), StoreError> {
    let dir = dir.as_ref();
    std::fs::create_dir_all(dir).map_err(|e| not_ours(dir, "create", &e))?;
    // What is kept may hold secrets: the environment of tasks.
    let own = Permissions::from_mode(DIRECTORY_MODE);
    std::fs::set_permissions(dir, own).map_err(|e| not_ours(dir, "close to others", &e))
}

/// Takes the lead of a directory if nobody has it. Returns at once.
pub fn stand(dir: impl AsRef<Path>) -> Result<Standing, StoreError> {
    let dir = dir.as_ref();
    let held = File::open(dir).map_err(|e| not_ours(dir, "open", &e))?;
    match flock(&held, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(Standing::Follows(said(dir))),
        Err(error) => tracing::debug!(%error, dir = %dir.display(), "this file system locks no directories"),
    }
    let path = dir.join(WORDS);
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let words = options.open(&path).map_err(|e| trouble(&path, "open", &e))?;
    match flock(&words, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(Standing::Follows(said(dir))),
        Err(error) => return Err(trouble(&path, "lock", &error.into())),
    }
    let seat = Seat { dir: dir.to_owned(), held, words };
    if !seat.holds() {
        // it was moved away in between
        return Ok(Standing::Follows(Leader::default()));
    }
    seat.say(&format!("{}\n", std::process::id()));
    Ok(Standing::Leads(seat))
}

/// Takes the lead of a directory; one that somebody else has is refused.
pub fn lead(dir: impl AsRef<Path>) -> Result<Seat, StoreError> {
    let dir = dir.as_ref();
    prepare(dir)?;
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
    /// Whether the path still leads to the directory that is held.
    pub fn holds(&self) -> bool {
        let place = |m: std::fs::Metadata| (m.dev(), m.ino());
        let (held, there) = (self.held.metadata().map(place), std::fs::metadata(&self.dir).map(place));
        held.ok().is_some_and(|held| there.ok() == Some(held))
    }
    /// Tells those who stand by where the leader is reached.
    pub fn announce(&self, address: &str) {
        self.say(&format!("{}\n{address}\n", std::process::id()));
    }
    /// Only a help for others: a full disk must not keep a daemon from starting.
    fn say(&self, text: &str) {
        // never the end of what was said before behind what is said now
        let said = self.words.set_len(0).and_then(|()| self.words.write_all_at(text.as_bytes(), 0));
        if let Err(error) = said {
            tracing::warn!(%error, dir = %self.dir.display(), "the lock can't say who has it");
        }
    }
}

impl Drop for Seat {
    /// Nobody is sent to a leader that is none any more.
    fn drop(&mut self) {
        if let Err(error) = self.words.set_len(0) {
            tracing::warn!(%error, dir = %self.dir.display(), "the lock can't be cleared");
        }
    }
}

/// A line counts once it is whole: it may be looked at while it is written.
fn said(dir: &Path) -> Leader {
    let mut text = String::new();
    let read =
        File::open(dir.join(WORDS)).and_then(|file| file.take(SAID_BYTES_MAX).read_to_string(&mut text));
    if let Err(error) = read {
        tracing::debug!(%error, "who leads can't be read");
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
    fn who_removes_the_lock_file_gains_nothing_and_nobody_begins_a_moved_directory_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (place, away) = (dir.path().join("here"), dir.path().join("away"));
        let seat = lead(&place).unwrap();
        assert!(seat.holds());
        std::fs::remove_file(place.join(WORDS)).unwrap();
        assert!(matches!(stand(&place).unwrap(), Standing::Follows(leader) if leader == Leader::default()));
        std::fs::rename(&place, &away).unwrap();
        assert!(!seat.holds());
        assert!(matches!(stand(&place), Err(StoreError::Disk { .. })) && !place.exists());
        assert!(matches!(stand(&away).unwrap(), Standing::Follows(_)), "it is led where it is now");
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
