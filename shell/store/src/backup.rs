//! Backups: everything durable as one tar file, an entry per record, with a first entry that says how many there must be.
//!
//! Never: what a record means, nor when a backup is made.

use model::save::Records;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// The first entry.
const MANIFEST: &str = "mesolite-backup.json";
const FORMAT: u32 = 1;
/// Bytes of all records of a backup that is read.
pub const BACKUP_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Only the owner reads it: it may hold secrets.
const FILE_MODE: u32 = 0o600;

/// What the first entry says.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    /// The role whose records these are.
    role: String,
    records: u64,
    /// Of all keys and values, in their order.
    crc32: u32,
}

/// Why a backup was not written or not read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A backup never takes the place of another file.
    #[error("{} exists already: name a file that does not", .0.display())]
    Exists(PathBuf),
    /// The disk did not do it.
    #[error("{}: {error}", file.display())]
    Disk {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is no backup, or not a whole one.
    #[error("{} is not a whole backup of this: {why}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Writes a backup; the file must not exist, and is there whole or not at all. `role` says whose records these are.
pub fn back_up(file: &Path, role: &str, records: &Records) -> Result<(), BackupError> {
    let mut crc = flate2::Crc::new();
    records.iter().for_each(|(key, value)| summed(&mut crc, key, value));
    let manifest =
        Manifest { format: FORMAT, role: role.to_owned(), records: records.len() as u64, crc32: crc.sum() };
    let disk = |error| BackupError::Disk { file: file.to_owned(), error };
    let part = PathBuf::from(format!("{}.{}.part", file.display(), std::process::id()));
    let mut options = OpenOptions::new();
    let to = options.write(true).create(true).truncate(true).mode(FILE_MODE).open(&part).map_err(disk)?;
    let written = write(to, &manifest, records).and_then(|()| {
        renameat_with(CWD, &part, CWD, file, RenameFlags::NOREPLACE)?;
        let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()
    });
    if written.is_err()
        && let Err(error) = std::fs::remove_file(&part)
    {
        tracing::debug!(%error, file = %part.display(), "no unfinished backup to remove");
    }
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(file.to_owned()),
        _ => disk(error),
    })
}

fn write(to: File, manifest: &Manifest, records: &Records) -> io::Result<()> {
    let mut archive = tar::Builder::new(io::BufWriter::new(to));
    let mut put = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(FILE_MODE);
        archive.append_data(&mut header, name, bytes)
    };
    put(MANIFEST, &serde_json::to_vec(manifest)?)?;
    for (key, value) in records {
        put(&name_of(key), value)?;
    }
    let mut to = archive.into_inner()?;
    to.flush()?;
    to.get_ref().sync_all()
}

/// Reads a backup of a role, whole or not at all.
pub fn read_backup(file: &Path, role: &str) -> Result<Records, BackupError> {
    let damaged = |why: String| BackupError::Damaged { file: file.to_owned(), why };
    let disk = |error| BackupError::Disk { file: file.to_owned(), error };
    // to open a device may do something, and a pipe waits for a writer
    let no_file = || damaged("it is not a file".to_owned());
    if !std::fs::metadata(file).map_err(disk)?.is_file() {
        return Err(no_file());
    }
    let flags = (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits();
    let from = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(file).map_err(disk)?;
    if !from.metadata().map_err(disk)?.is_file() {
        return Err(no_file());
    }
    let mut archive = tar::Archive::new(io::BufReader::new(from));
    let (mut records, mut crc) = (Records::new(), flate2::Crc::new());
    let mut manifest: Option<Manifest> = None;
    let mut left = BACKUP_BYTES_MAX;
    let no_tar = |error: io::Error| damaged(format!("it does not read as a tar file: {error}"));
    for entry in archive.entries().map_err(no_tar)? {
        let mut entry = entry.map_err(no_tar)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut bytes = Vec::new();
        entry.by_ref().take(left).read_to_end(&mut bytes).map_err(no_tar)?;
        left -= bytes.len() as u64;
        if left == 0 {
            return Err(damaged(format!("it has more than {BACKUP_BYTES_MAX} bytes (BACKUP_BYTES_MAX)")));
        }
        if manifest.is_none() {
            if name != MANIFEST {
                return Err(damaged(format!("its first entry is not {MANIFEST}")));
            }
            let said = serde_json::from_slice(&bytes).map_err(|e| damaged(format!("{MANIFEST}: {e}")))?;
            manifest = Some(said);
            continue;
        }
        let key = key_of(&name).ok_or_else(|| damaged("it has an entry that is no record".to_owned()))?;
        summed(&mut crc, &key, &bytes);
        records.insert(key, bytes);
    }
    match manifest {
        None => Err(damaged("it is empty".to_owned())),
        Some(m) if m.format != FORMAT => {
            Err(damaged(format!("it has format {}, and this version reads {FORMAT}", m.format)))
        }
        Some(m) if m.role != role => Err(damaged(format!("it is of the {}", m.role))),
        Some(m) if m.records != records.len() as u64 || m.crc32 != crc.sum() => {
            Err(damaged("its records are not those that were written".to_owned()))
        }
        Some(_) => Ok(records),
    }
}

fn summed(crc: &mut flate2::Crc, key: &str, value: &[u8]) {
    crc.update(&(key.len() as u64).to_le_bytes());
    crc.update(key.as_bytes());
    crc.update(&(value.len() as u64).to_le_bytes());
    crc.update(value);
}

/// Keys have slashes in a row and at their end, which names of files can't.
fn name_of(key: &str) -> String {
    const CODED: &AsciiSet = &CONTROLS.add(b'/').add(b'%');
    format!("records/{}", utf8_percent_encode(key, CODED))
}

fn key_of(name: &str) -> Option<String> {
    let coded = name.strip_prefix("records/")?;
    percent_decode_str(coded).decode_utf8().ok().map(|key| key.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Records {
        let long = format!("history//{}/", "n".repeat(300));
        let all = [("apps//a", "1"), ("apps//a/", "2"), ("100% säfe?", ""), (&long, "3")];
        all.into_iter().map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn what_is_backed_up_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("b.tar");
        back_up(&file, "orchestrator", &records()).unwrap();
        assert_eq!(read_backup(&file, "orchestrator").unwrap(), records());
        let again = back_up(&file, "orchestrator", &Records::new()).unwrap_err().to_string();
        assert!(again.ends_with("b.tar exists already: name a file that does not"), "{again}");
        assert_eq!(read_backup(&file, "orchestrator").unwrap(), records(), "it is left alone");
        let other = read_backup(&file, "master").unwrap_err().to_string();
        assert!(other.contains("it is of the orchestrator"), "{other}");
        let none = dir.path().join("none.tar");
        back_up(&none, "orchestrator", &Records::new()).unwrap();
        assert_eq!(read_backup(&none, "orchestrator").unwrap(), Records::new());
    }

    #[test]
    fn no_byte_of_a_record_changes_unseen() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("b.tar");
        back_up(&file, "orchestrator", &records()).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        for cut in [0, 100, 600, 1024, 1600, bytes.len() / 2] {
            std::fs::write(&file, &bytes[..cut]).unwrap();
            assert!(read_backup(&file, "orchestrator").is_err(), "cut at {cut}");
        }
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            std::fs::write(&file, &other).unwrap();
            if let Ok(read) = read_backup(&file, "orchestrator") {
                assert_eq!(read, records(), "a bit at {at}");
            }
        }
        std::fs::write(&file, "no tar").unwrap();
        assert!(matches!(read_backup(&file, "orchestrator"), Err(BackupError::Damaged { .. })));
        assert!(matches!(read_backup(dir.path(), "orchestrator"), Err(BackupError::Damaged { .. })));
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        assert!(
            matches!(read_backup(&pipe, "orchestrator"), Err(BackupError::Damaged { .. })),
            "nobody waits"
        );
        assert!(matches!(read_backup(&dir.path().join("x"), "orchestrator"), Err(BackupError::Disk { .. })));
    }
}
