//! What a launcher must not forget, in one file: which containers it started, and how they ended. Appended before it is
//! told to anybody; rewritten at the start and when it has grown.
//!
//! Never synced: the kernel keeps what was written through the death of any process, and when the kernel itself dies
//! the containers die with it. The agent makes what it was told durable before it says so. (Three syncs for each task
//! held the launcher to 400 tasks a second.) Never a reason not to start: a damaged line costs what it said, no more.

use model::container::{ContainerId, Termination};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

/// The file is rewritten when it is longer than this, and twice as long as what it must hold.
pub const JOURNAL_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Line {
    /// Everything below happened since this boot of the machine.
    Boot(String),
    /// A container is about to be made: its groups may be there.
    Making { container: ContainerId },
    /// A container runs: its first process as it was, so that it is known again.
    Started {
        container: ContainerId,
        pid: u32,
        since: u64,
        /// That process is our own and stands before the task.
        #[serde(default)]
        keeper: bool,
    },
    /// It ended.
    Ended { container: ContainerId, how: Termination },
    /// Nobody needs it any more.
    Forgotten { container: ContainerId },
}

/// What the lines add up to for one container.
#[derive(Clone, Debug, PartialEq)]
pub enum Kept {
    Making,
    Running { pid: u32, since: u64, keeper: bool },
    Ended(Termination),
}

impl Kept {
    fn line(&self, container: &ContainerId) -> Line {
        let container = container.clone();
        match self.clone() {
            Self::Making => Line::Making { container },
            Self::Running { pid, since, keeper } => Line::Started { container, pid, since, keeper },
            Self::Ended(how) => Line::Ended { container, how },
        }
    }
}

fn apply(kept: &mut BTreeMap<ContainerId, Kept>, line: Line) {
    match line {
        Line::Boot(_) => None,
        Line::Making { container } => kept.insert(container, Kept::Making),
        Line::Started { container, pid, since, keeper } => {
            kept.insert(container, Kept::Running { pid, since, keeper })
        }
        Line::Ended { container, how } => kept.insert(container, Kept::Ended(how)),
        Line::Forgotten { container } => kept.remove(&container),
    };
}

/// Whether containers of a launcher's directory go on; nothing is changed.
pub fn lives(dir: &Path) -> bool {
    let Ok(bytes) = fs::read(dir.join("journal")) else { return false };
    let mut kept = BTreeMap::new();
    for line in bytes.split(|b| *b == b'\n') {
        match serde_json::from_slice(line) {
            Ok(Line::Boot(boot)) if boot != linux::process::boot_id() => return false,
            Ok(line) => apply(&mut kept, line),
            // A damaged line costs what it said, as for a launcher.
            Err(_) => {}
        }
    }
    kept.values().any(|kept| match kept {
        Kept::Making => true,
        Kept::Running { pid, since, .. } => linux::process::started(*pid as i32) == Some(*since),
        Kept::Ended(_) => false,
    })
}

/// Reads a launcher's journal as the launcher that follows does: the containers it knows, and how each ended that has. It is
/// rewritten, as by that one, and `more` is noted as ended.
pub fn reread(
    path: &Path,
    boot: &str,
    more: Option<&str>,
) -> io::Result<BTreeMap<String, Option<Termination>>> {
    let (mut journal, _) = Journal::open(path, boot)?;
    if let Some(name) = more {
        let container = ContainerId(name.to_owned());
        journal.write(Line::Ended { container, how: Termination::Exited(0) })?;
    }
    let told = |kept: Kept| match kept {
        Kept::Ended(how) => Some(how),
        Kept::Making | Kept::Running { .. } => None,
    };
    Ok(journal.kept.into_iter().map(|(container, kept)| (container.0, told(kept))).collect())
}

pub struct Journal {
    file: File,
    path: PathBuf,
    boot: String,
    /// Bytes of it that are whole lines.
    length: u64,
    /// What stands behind them could not be cut off.
    torn: bool,
    /// Longer than this, it is rewritten.
    length_max: u64,
    kept: BTreeMap<ContainerId, Kept>,
    /// Lines that could not be written: tried again.
    waiting: Vec<Line>,
    /// The last write failed.
    failing: bool,
}

impl Journal {
    /// Reads what an earlier launcher left and begins anew with it. A torn last line was never told to anybody; any
    /// other line that does not parse is damage: it is left out and said loudly. After a reboot nothing runs any more.
    pub fn open(path: &Path, boot: &str) -> io::Result<(Self, BTreeMap<ContainerId, Kept>)> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(e),
        };
        let mut kept = BTreeMap::new();
        let mut rebooted = false;
        let mut lines: Vec<_> = bytes.split(|b| *b == b'\n').collect();
        // Behind the last end of a line nothing is whole.
        lines.pop();
        for (number, line) in lines.into_iter().enumerate().filter(|(_, line)| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(Line::Boot(before)) => rebooted = before != boot,
                Ok(line) => apply(&mut kept, line),
                Err(error) => eprintln!(
                    "launcher: {} is damaged at line {}, which is left out: {error}",
                    path.display(),
                    number + 1
                ),
            }
        }
        if rebooted {
            let ended = Kept::Ended(Termination::Unknown);
            kept.values_mut().filter(|k| matches!(k, Kept::Running { .. })).for_each(|k| *k = ended.clone());
        }
        let (file, length) = rewrite(path, boot, &kept)?;
        file.sync_data()?;
        let length_max = JOURNAL_BYTES_MAX.max(2 * length);
        let journal = Self {
            file,
            path: path.to_owned(),
            boot: boot.to_owned(),
            length,
            torn: false,
            length_max,
            kept: kept.clone(),
            waiting: Vec::new(),
            failing: false,
        };
        Ok((journal, kept))
    }

    /// Appends a line, or nothing at all.
    pub fn write(&mut self, line: Line) -> io::Result<()> {
        self.waiting.push(line.clone());
        let failing = self.failing;
        if let Err(error) = self.append_waiting() {
            // It is the caller who says so.
            self.waiting.pop();
            self.failing = failing;
            return Err(error);
        }
        apply(&mut self.kept, line);
        self.shorten();
        Ok(())
    }

    /// Appends a line, later if it can't be done now.
    pub fn keep(&mut self, line: Line) {
        apply(&mut self.kept, line.clone());
        self.waiting.push(line);
        let failing = self.failing;
        match self.append_waiting() {
            Err(error) if !failing => {
                eprintln!("launcher: {}: {error}; it is tried again", self.path.display());
            }
            Err(_) => {}
            Ok(()) => self.shorten(),
        }
    }

    /// Appends a line with the next one, or soon: if it is lost before, somebody says it again.
    pub fn put_off(&mut self, line: Line) {
        apply(&mut self.kept, line.clone());
        self.waiting.push(line);
    }

    /// Writes what was put off, or could not be written before.
    pub fn try_again(&mut self) -> io::Result<()> {
        self.append_waiting()
    }

    fn append_waiting(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let outcome = self.append(&waiting);
        if outcome.is_err() {
            self.waiting = waiting;
        } else if self.failing {
            eprintln!("launcher: {}: {} lines are written at last", self.path.display(), waiting.len());
        }
        self.failing = outcome.is_err();
        outcome
    }

    fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        // Whatever is left behind the last whole line must not become the beginning of this one.
        let mut bytes = if self.torn { vec![b'\n'] } else { Vec::new() };
        for line in lines {
            write_line(&mut bytes, line)?;
        }
        let outcome = self.file.write_all_at(&bytes, self.length);
        if outcome.is_ok() {
            self.length += bytes.len() as u64;
            self.torn = false;
        } else {
            self.torn = self.file.set_len(self.length).is_err();
            if self.torn {
                self.length = self.file.metadata().map_or(self.length, |m| m.len().max(self.length));
            }
        }
        outcome
    }

    /// Rewrites the file if most of it is history.
    fn shorten(&mut self) {
        if self.length <= self.length_max {
            return;
        }
        match rewrite(&self.path, &self.boot, &self.kept) {
            Ok((file, length)) => {
                (self.file, self.length, self.torn) = (file, length, false);
                self.length_max = JOURNAL_BYTES_MAX.max(2 * length);
            }
            Err(error) => {
                eprintln!("launcher: {} can't be rewritten and grows: {error}", self.path.display());
                self.length_max = 2 * self.length;
            }
        }
    }
}

/// A new file in the place of the old one, and how long it is.
fn rewrite(path: &Path, boot: &str, kept: &BTreeMap<ContainerId, Kept>) -> io::Result<(File, u64)> {
    let fresh = path.with_extension("new");
    let mut bytes = Vec::new();
    write_line(&mut bytes, &Line::Boot(boot.to_owned()))?;
    for (container, what) in kept {
        write_line(&mut bytes, &what.line(container))?;
    }
    let mut file = File::create(&fresh)?;
    file.write_all(&bytes)?;
    fs::rename(&fresh, path)?;
    Ok((file, bytes.len() as u64))
}

fn write_line(to: &mut impl io::Write, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    to.write_all(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: &str) -> ContainerId {
        ContainerId(n.to_owned())
    }
    fn started(n: &str) -> Line {
        Line::Started { container: id(n), pid: 3, since: 4, keeper: false }
    }
    const RUNNING: Kept = Kept::Running { pid: 3, since: 4, keeper: false };

    #[test]
    fn a_torn_end_is_dropped_and_a_damaged_middle_costs_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, kept) = Journal::open(&path, "boot 1").unwrap();
        assert!(kept.is_empty());
        let how = Termination::Exited(3);
        journal.write(Line::Making { container: id("a") }).unwrap();
        for name in ["a", "b", "c"] {
            journal.write(started(name)).unwrap();
        }
        journal.keep(Line::Ended { container: id("a"), how: how.clone() });
        journal.keep(Line::Forgotten { container: id("c") });
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("{\"Ended\":{\"cont");
        fs::write(&path, &text).unwrap();
        let (_, kept) = Journal::open(&path, "boot 1").unwrap();
        assert_eq!(kept.len(), 2);
        assert_eq!((&kept[&id("a")], &kept[&id("b")]), (&Kept::Ended(how.clone()), &RUNNING));
        let line = serde_json::to_string(&started("b")).unwrap();
        assert!(text.contains(&line));
        fs::write(&path, text.replace(&line, "\0\0garbage{}")).unwrap();
        let (_, kept) = Journal::open(&path, "boot 1").unwrap();
        assert_eq!(kept.into_iter().collect::<Vec<_>>(), [(id("a"), Kept::Ended(how))]);
    }

    #[test]
    fn after_a_reboot_nothing_runs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, _) = Journal::open(&path, "boot 1").unwrap();
        journal.write(Line::Ended { container: id("a"), how: Termination::Exited(3) }).unwrap();
        journal.write(started("b")).unwrap();
        let (_, kept) = Journal::open(&path, "boot 2").unwrap();
        assert_eq!(kept[&id("a")], Kept::Ended(Termination::Exited(3)));
        assert_eq!(kept[&id("b")], Kept::Ended(Termination::Unknown));
        let (_, again) = Journal::open(&path, "boot 2").unwrap();
        assert_eq!(again, kept);
    }

    /// Writes fail from now on, as on a full disk: the file is open for reading only.
    fn full(journal: &mut Journal) -> File {
        let read_only = File::open(&journal.path).unwrap();
        std::mem::replace(&mut journal.file, read_only)
    }

    #[test]
    fn what_can_not_be_written_is_written_later_and_damages_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, _) = Journal::open(&path, "boot").unwrap();
        journal.write(started("a")).unwrap();
        let file = full(&mut journal);
        journal.write(started("never")).unwrap_err();
        journal.keep(Line::Ended { container: id("a"), how: Termination::Exited(1) });
        assert!(journal.torn, "what was left behind could not be cut off");
        // Half a line is there, as ENOSPC leaves it.
        file.write_all_at(b"{\"Star", journal.length).unwrap();
        journal.length = file.metadata().unwrap().len();
        journal.file = file;
        journal.write(started("b")).unwrap();
        let (_, kept) = Journal::open(&path, "boot").unwrap();
        assert_eq!(kept.len(), 2);
        assert_eq!((&kept[&id("a")], &kept[&id("b")]), (&Kept::Ended(Termination::Exited(1)), &RUNNING));
    }

    #[test]
    fn a_long_history_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, _) = Journal::open(&path, "boot").unwrap();
        journal.write(started("stays")).unwrap();
        let mut longest = 0;
        for n in 0..60_000 {
            let container = id(&format!("container-{n}"));
            journal.write(started(&container.0)).unwrap();
            journal.keep(Line::Forgotten { container });
            longest = longest.max(fs::metadata(&path).unwrap().len());
        }
        assert!((JOURNAL_BYTES_MAX / 2..JOURNAL_BYTES_MAX + 4096).contains(&longest), "{longest}");
        journal.write(started("last")).unwrap();
        let (_, kept) = Journal::open(&path, "boot").unwrap();
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), [id("last"), id("stays")]);
    }
}
