//! A session as bytes: records of one command line and a body, so that a fuzzer can cut, splice and repeat them.
//!
//! Words of the form `@STREAM` in a record stand for what the machine has given out last, so that sessions get deep.

use bytes::Bytes;
use endpoints::Arrived;
use http::{HeaderValue, header};
use model::{
    request::RequestId,
    save::{Change, Records},
};
use std::collections::BTreeMap;

/// Between two records.
const SEPARATOR: &[u8] = b"\n--\n";
/// Records of one session that are played.
const RECORDS_MAX: usize = 64;
/// Bytes of one session that are played.
const SESSION_BYTES_MAX: usize = 64 * 1024;

/// One command and its body.
pub struct Record {
    words: Vec<String>,
    pub body: Vec<u8>,
}

/// What a machine made durable. It can be full, and hold what nobody wrote.
#[derive(Default)]
pub struct Disk {
    records: Records,
    full: bool,
}

impl Disk {
    /// As a machine finds it when it starts.
    pub fn records(&self) -> &Records {
        &self.records
    }
    /// Writes a batch, whole or not at all.
    pub fn write(&mut self, batch: Vec<Change>) -> Result<(), String> {
        if self.full {
            return Err("no space left".to_owned());
        }
        for change in batch {
            match change {
                Change::Put { key, value } => drop(self.records.insert(key, value)),
                Change::Delete { key } => drop(self.records.remove(&key)),
            }
        }
        Ok(())
    }
    /// `FULL`: full from now on, or no longer. `PUT KEY` and a body: a record of an earlier or later version.
    pub fn told(&mut self, record: &Record) {
        if record.word(0) == "PUT" {
            self.records.insert(record.word(1).to_owned(), record.body.clone());
        } else {
            self.full = !self.full;
        }
    }
}

/// What was given out last, by its word.
pub type Given = BTreeMap<&'static str, String>;

/// The records of a session, in order, as they are.
pub fn records(data: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    let mut rest = &data[..data.len().min(SESSION_BYTES_MAX)];
    while all.len() < RECORDS_MAX {
        match rest.windows(SEPARATOR.len()).position(|w| w == SEPARATOR) {
            Some(at) => {
                all.push(&rest[..at]);
                rest = &rest[at + SEPARATOR.len()..];
            }
            None => {
                all.push(rest);
                break;
            }
        }
    }
    all
}

impl Record {
    /// Reads one record, with what was given out put in.
    pub fn read(bytes: &[u8], given: &Given) -> Self {
        let bytes = put_in(bytes, given);
        let end = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
        let words = String::from_utf8_lossy(&bytes[..end]).split(' ').map(str::to_owned).collect();
        Self { words, body: bytes.get(end + 1..).unwrap_or_default().to_vec() }
    }
    /// A word of the command; empty where there is none.
    pub fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }
    /// A word that is a small number.
    pub fn number(&self, at: usize) -> u64 {
        self.word(at).parse::<u32>().unwrap_or_default().into()
    }
    /// The record as a request, `METHOD TARGET [json|protobuf [STREAM-ID]]`; none if HTTP could not carry it.
    pub fn request(&self, id: u64) -> Option<Arrived> {
        let mut request = http::Request::builder()
            .method(self.word(0))
            .uri(self.word(1))
            .body(self.body.clone().into())
            .ok()?;
        let media_type = match self.word(2) {
            "protobuf" => "application/x-protobuf",
            _ => "application/json",
        };
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(header::ACCEPT, HeaderValue::from_static(media_type));
        headers.insert(header::HOST, HeaderValue::from_static("localhost"));
        if !self.word(3).is_empty() {
            headers.insert("mesos-stream-id", HeaderValue::from_str(self.word(3)).ok()?);
        }
        let peer = Some(([127, 0, 0, 1], 40_000).into());
        let _: &http::Request<Bytes> = &request;
        Some(Arrived { id: RequestId(id), peer, request })
    }
}

fn put_in(bytes: &[u8], given: &Given) -> Vec<u8> {
    if !bytes.contains(&b'@') {
        return bytes.to_vec();
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    'next: while let Some((first, behind)) = rest.split_first() {
        if *first == b'@' {
            for (word, value) in given {
                if let Some(after) = behind.strip_prefix(word.as_bytes()) {
                    out.extend_from_slice(value.as_bytes());
                    rest = after;
                    continue 'next;
                }
            }
        }
        out.push(*first);
        rest = behind;
    }
    out
}
