//! A small file beside the log that says which frame was durable: a log that ends before it has lost what it had.
//!
//! Written in place after each sync of the log, so that it survives the death of the process; synced itself when the log
//! is opened, rewritten or closed, so that it is never ahead of the log, whatever the machine does. Never: the log itself.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
};

/// Its name in the directory.
pub const NAME: &str = "log.mark";
const MAGIC: &[u8; 16] = b"mesolite mark 1\n";
const BYTES: usize = 16 + 8 + 4;

/// The open mark.
#[derive(Debug)]
pub struct Mark(File);

/// What a mark said when it was opened.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// There was none: the log is new, or of an earlier version.
    Nothing,
    /// This frame was durable; 0 = the log was begun.
    Durable(u64),
    /// It does not read.
    Damaged,
}

impl Mark {
    /// Reads the mark of a directory.
    pub fn read(dir: &Path) -> io::Result<Said> {
        match std::fs::read(dir.join(NAME)) {
            Ok(bytes) => Ok(decode(&bytes).map_or(Said::Damaged, Said::Durable)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Said::Nothing),
            Err(error) => Err(error),
        }
    }
    /// Opens it for writing. One that is new comes whole or not at all.
    pub fn open(dir: &Path, number: u64) -> io::Result<Self> {
        let path = dir.join(NAME);
        if !path.exists() {
            let fresh = dir.join("log.mark.new");
            std::fs::write(&fresh, encode(number))?;
            File::open(&fresh)?.sync_all()?;
            std::fs::rename(&fresh, &path)?;
        }
        let mark = Self(OpenOptions::new().write(true).open(&path)?);
        mark.note(number)?;
        mark.sync()?;
        Ok(mark)
    }
    /// Says that a frame is durable; costs no sync.
    pub fn note(&self, number: u64) -> io::Result<()> {
        self.0.write_all_at(&encode(number), 0)
    }
    /// Makes it as durable as the log.
    pub fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

fn encode(number: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..16].copy_from_slice(MAGIC);
    bytes[16..24].copy_from_slice(&number.to_le_bytes());
    let sum = checksum(&bytes[..24]);
    bytes[24..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let number = u64::from_le_bytes(bytes.get(16..24)?.try_into().ok()?);
    (bytes == encode(number)).then_some(number)
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
