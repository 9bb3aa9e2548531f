//! What a launcher must not forget, in one file: which containers it started, and how they ended. Appended and synced
//! before it is told to anybody; rewritten at the start.

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
    /// other line that does not parse is damage, and is refused.
    pub fn open(path: &Path) -> io::Result<(Self, BTreeMap<ContainerId, Kept>)> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(e),
        };
        let mut kept = BTreeMap::new();
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        for (number, line) in whole.lines().enumerate() {
            match serde_json::from_str(line) {
                Ok(Line::Started { container, pid, since }) => {
                    kept.insert(container, Kept::Running { pid, since });
                }
                Ok(Line::Ended { container, how }) => {
                    kept.insert(container, Kept::Ended(how));
                }
                Ok(Line::Forgotten { container }) => {
                    kept.remove(&container);
                }
                Err(error) => {
                    let why = format!("{} is damaged at line {}: {error}", path.display(), number + 1);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
            }
        }
        let fresh = path.with_extension("new");
        let mut file = File::create(&fresh)?;
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

    /// Appends lines and waits for the disk once.
    pub fn write(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for line in lines {
            write_line(&mut bytes, line)?;
        }
        self.file.write_all(&bytes)?;
        self.file.sync_data()
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
        let (mut journal, kept) = Journal::open(&path).unwrap();
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
        let (_, kept) = Journal::open(&path).unwrap();
        assert_eq!(kept.len(), 2);
        assert_eq!(kept[&id("a")], Kept::Ended(how));
        assert_eq!(kept[&id("b")], Kept::Running { pid: 3, since: 4 });
        fs::write(&path, "garbage\n{}\n").unwrap();
        assert!(Journal::open(&path).err().unwrap().to_string().contains("damaged at line 1"));
    }
}
