//! How commits lie in the log: checksummed frames, each written and synced as one. Never opens a file.
//!
//! A frame is `length u32 · checksum u32 · number u64 · payload`, all little-endian, numbers ascending without gaps.
//! One frame holds a whole group of commits, so a valid frame proves that all before it were synced: an invalid frame
//! with a valid one behind it is damage, an invalid frame at the end is a write that a crash cut short.

use model::save::Change;

/// The first bytes of a log.
pub const MAGIC: &[u8] = b"mesolite log 1\n\0";
/// Bytes before a payload.
pub const HEAD: usize = 16;
/// A longer payload is never written: one batch at its largest, with room for its lengths.
pub const PAYLOAD_BYTES_MAX: usize = 20 * 1024 * 1024;

/// A frame in the making.
#[derive(Debug)]
pub struct Frame {
    bytes: Vec<u8>,
}

/// Where a value lies, counted from the begin of its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// First byte.
    pub offset: u64,
    /// Length in bytes.
    pub length: u32,
}

impl Frame {
    /// An empty frame of a term.
    pub fn new(term: u64) -> Self {
        let mut bytes = vec![0; HEAD];
        bytes.extend_from_slice(&term.to_le_bytes());
        Self { bytes }
    }
    /// Adds a change.
    pub fn push(&mut self, change: &Change) {
        match change {
            Change::Put { key, value } => self.put(key, value),
            Change::Delete { key } => {
                self.bytes.push(b'-');
                self.sized(key.as_bytes());
            }
        }
    }
    /// Adds a written value.
    pub fn put(&mut self, key: &str, value: &[u8]) {
        self.bytes.push(b'+');
        self.sized(key.as_bytes());
        self.sized(value);
    }
    fn sized(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.bytes.extend_from_slice(part);
    }
    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
    /// Whether no change was added.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == HEAD + 8
    }
    /// The bytes to write.
    pub fn finish(mut self, number: u64) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len() - HEAD).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&length.to_le_bytes());
        number_anew(&mut self.bytes, number);
        self.bytes
    }
}

/// Gives a whole frame another number.
pub fn number_anew(frame: &mut [u8], number: u64) {
    frame[8..16].copy_from_slice(&number.to_le_bytes());
    let sum = checksum(&frame[8..]);
    frame[4..8].copy_from_slice(&sum.to_le_bytes());
}

/// What a payload says about a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// Its value lies there.
    Put(String, Place),
    /// It is gone.
    Delete(String),
}

/// A frame that was read: its number, its term, its changes and how long it is.
#[derive(Debug)]
pub struct Read {
    /// Its number.
    pub number: u64,
    /// The term that wrote it.
    pub term: u64,
    /// Its changes, in order.
    pub said: Vec<Said>,
    /// Bytes with the head.
    pub length: usize,
}

/// Reads the frame that begins here.
pub fn read(bytes: &[u8]) -> Result<Read, &'static str> {
    let head = bytes.get(..HEAD).ok_or("a frame is cut short")?;
    let length = number(head, 0, 4) as usize;
    if length > PAYLOAD_BYTES_MAX {
        return Err("a frame is longer than any that is written");
    }
    let whole = bytes.get(..HEAD + length).ok_or("a frame is cut short")?;
    if u64::from(checksum(&whole[8..])) != number(head, 4, 4) {
        return Err("a checksum does not match");
    }
    let payload = &whole[HEAD..];
    let term = if payload.len() < 8 { return Err("a frame has no term") } else { number(payload, 0, 8) };
    let mut at = 8;
    let mut said = Vec::new();
    while at < payload.len() {
        let tag = payload[at];
        at += 1;
        let (from, length) = part(payload, &mut at)?;
        let key =
            String::from_utf8(payload[from..from + length].to_vec()).map_err(|_| "a key is not UTF-8")?;
        said.push(match tag {
            b'+' => {
                let (from, length) = part(payload, &mut at)?;
                let length = u32::try_from(length).map_err(|_| "a value is too long")?;
                Said::Put(key, Place { offset: (HEAD + from) as u64, length })
            }
            b'-' => Said::Delete(key),
            _ => return Err("a change is of no known kind"),
        });
    }
    Ok(Read { number: number(head, 8, 8), term, said, length: whole.len() })
}

/// Whether a valid frame numbered after `last` begins anywhere in these bytes.
pub fn holds_later_frame(bytes: &[u8], last: u64) -> bool {
    (1..bytes.len().saturating_sub(HEAD)).any(|at| {
        let rest = &bytes[at..];
        let next = number(rest, 8, 8);
        next > last && next - last < u64::from(u32::MAX) && read(rest).is_ok()
    })
}

fn part(payload: &[u8], at: &mut usize) -> Result<(usize, usize), &'static str> {
    let sizes = payload.get(*at..*at + 4).ok_or("a length is cut short")?;
    let length = number(sizes, 0, 4) as usize;
    let from = *at + 4;
    if payload.len() - from < length {
        return Err("a part is cut short");
    }
    *at = from + length;
    Ok((from, length))
}

fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    bytes[at..at + width].iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
