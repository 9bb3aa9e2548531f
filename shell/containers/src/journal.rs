//! What a launcher must not forget, in one file: which containers it started, and how they ended. Appended before it is
//! told to anybody; rewritten at the start.
//!
//! Never synced: the kernel keeps what was written through the death of any process, and when the kernel itself dies
//! the containers die with it. The agent makes what it was told durable before it says so. (Three syncs for each task
//! held the launcher to 400 tasks a second.)

use model::container::{ContainerId, Termination};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Line {
    /// Everything below happened since this boot of the machine.
    Boot(String),
    /// A container runs: its first process as it was, so that it is known again.
    Started { container: ContainerId, pid: u32, since: u64 },
    /// It ended.
    Ended { container: ContainerId, how: Termination },
    /// Nobody needs it any more.
    Forgotten { container: ContainerId },
}

/// What the lines add up to for one container.
#[derive(Clone, Debug, PartialEq)]
pub enum Kept {
    Running { pid: u32, since: u64 },
    Ended(Termination),
}

pub struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Reads what an earlier launcher left and begins anew with it. A torn last line was never told to anybody; any
    /// other line that does not parse is damage, and is refused. After a reboot nothing runs any more, and what is
    /// damaged is what the disk had not got yet: all before it counts.
    pub fn open(path: &Path, boot: &str) -> io::Result<(Self, BTreeMap<ContainerId, Kept>)> {
        let text = match fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(e),
        };
        let mut kept = BTreeMap::new();
        let mut rebooted = false;
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        for (number, line) in whole.lines().enumerate() {
            match serde_json::from_str(line) {
                Ok(Line::Boot(before)) => rebooted = before != boot,
                Ok(Line::Started { container, pid, since }) => {
                    kept.insert(container, Kept::Running { pid, since });
                }
                Ok(Line::Ended { container, how }) => {
                    kept.insert(container, Kept::Ended(how));
                }
                Ok(Line::Forgotten { container }) => {
                    kept.remove(&container);
                }
                Err(_) if rebooted => break,
                Err(error) => {
                    let why = format!("{} is damaged at line {}: {error}", path.display(), number + 1);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
            }
        }
        let fresh = path.with_extension("new");
        if rebooted {
            let ended = Kept::Ended(Termination::Unknown);
            kept.values_mut().filter(|k| matches!(k, Kept::Running { .. })).for_each(|k| *k = ended.clone());
        }
        let mut file = File::create(&fresh)?;
        write_line(&mut file, &Line::Boot(boot.to_owned()))?;
        for (container, what) in &kept {
            let line = match what.clone() {
                Kept::Running { pid, since } => Line::Started { container: container.clone(), pid, since },
                Kept::Ended(how) => Line::Ended { container: container.clone(), how },
            };
            write_line(&mut file, &line)?;
        }
        file.sync_data()?;
        fs::rename(&fresh, path)?;
        Ok((Self { file, path: path.to_owned() }, kept))
    }

    /// Appends lines.
    pub fn write(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for line in lines {
            write_line(&mut bytes, line)?;
        }
        self.file.write_all(&bytes)
    }

    /// Where it is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn write_line(to: &mut impl io::Write, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    to.write_all(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_end_is_dropped_and_a_damaged_middle_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let id = |n: &str| ContainerId(n.to_owned());
        let (mut journal, kept) = Journal::open(&path, "boot 1").unwrap();
        assert!(kept.is_empty());
        let how = Termination::Exited(3);
        journal
            .write(&[
                Line::Started { container: id("a"), pid: 1, since: 2 },
                Line::Started { container: id("b"), pid: 3, since: 4 },
                Line::Ended { container: id("a"), how: how.clone() },
                Line::Started { container: id("c"), pid: 5, since: 6 },
                Line::Forgotten { container: id("c") },
            ])
            .unwrap();
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"Ended\":{\"cont").unwrap();
        let (_, kept) = Journal::open(&path, "boot 1").unwrap();
        assert_eq!(kept.len(), 2);
        assert_eq!(kept[&id("a")], Kept::Ended(how));
        assert_eq!(kept[&id("b")], Kept::Running { pid: 3, since: 4 });
        fs::write(&path, "garbage\n{}\n").unwrap();
        assert!(Journal::open(&path, "boot 1").err().unwrap().to_string().contains("damaged at line 1"));
    }
    #[test]
    fn after_a_reboot_nothing_runs_and_what_the_disk_had_not_got_is_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let id = |n: &str| ContainerId(n.to_owned());
        let (mut journal, _) = Journal::open(&path, "boot 1").unwrap();
        let ended = Line::Ended { container: id("a"), how: Termination::Exited(3) };
        journal.write(&[ended, Line::Started { container: id("b"), pid: 3, since: 4 }]).unwrap();
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"\0\0\xff\0\n{}\n").unwrap();
        let text = fs::read(&path).unwrap();
        assert!(Journal::open(&path, "boot 1").is_err(), "in the same boot nothing explains it");
        assert_eq!(fs::read(&path).unwrap(), text, "what is refused is left as it is");
        let (_, kept) = Journal::open(&path, "boot 2").unwrap();
        assert_eq!(kept[&id("a")], Kept::Ended(Termination::Exited(3)));
        assert_eq!(kept[&id("b")], Kept::Ended(Termination::Unknown));
        let (_, again) = Journal::open(&path, "boot 2").unwrap();
        assert_eq!(again, kept);
    }
}
