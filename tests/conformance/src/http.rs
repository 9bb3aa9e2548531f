//! A small HTTP client that sends exactly what a transcript says and sees exactly what comes: heads, chunks, records,
//! what follows the head of an answer to HEAD. One connection per request, one thread per open stream.

use anyhow::{Context as _, bail};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// The largest body or record that is read.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// A request, ready to be written.
#[derive(Debug, Default)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// The body goes in chunks.
    pub chunked: bool,
    /// Everything, as it stands.
    pub raw: Option<Vec<u8>>,
}

/// The head of an answer; names in lower case.
#[derive(Debug, Default)]
pub struct Head {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub head: Head,
    pub body: Vec<u8>,
}

/// An open answer whose records come by and by.
#[derive(Debug)]
pub struct Stream {
    pub head: Head,
    socket: TcpStream,
    records: Receiver<Vec<u8>>,
}

/// What a stream said next.
#[derive(Debug)]
pub enum Said {
    Record(Vec<u8>),
    Nothing,
    Closed,
}

impl Request {
    fn bytes(&self, host: &str) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        let mut out = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", self.method, self.path).into_bytes();
        for (name, value) in &self.headers {
            out.extend(format!("{name}: {value}\r\n").bytes());
        }
        if self.chunked {
            out.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            if !self.body.is_empty() {
                out.extend(format!("{:x}\r\n", self.body.len()).bytes());
                out.extend(&self.body);
                out.extend(b"\r\n");
            }
            out.extend(b"0\r\n\r\n");
        } else {
            let length = !self.body.is_empty() || !matches!(self.method.as_str(), "GET" | "HEAD");
            if length {
                out.extend(format!("Content-Length: {}\r\n", self.body.len()).bytes());
            }
            out.extend(b"Connection: close\r\n\r\n");
            out.extend(&self.body);
        }
        out
    }
}

fn begin(address: &str, request: &Request) -> anyhow::Result<(BufReader<TcpStream>, Head)> {
    let mut socket = TcpStream::connect(address).with_context(|| format!("can't connect to {address}"))?;
    socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    socket.write_all(&request.bytes(address))?;
    let mut reader = BufReader::new(socket);
    let head = head(&mut reader)?;
    Ok((reader, head))
}

fn head(reader: &mut BufReader<TcpStream>) -> anyhow::Result<Head> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|s| s.parse().ok());
    let Some(status) = status else { bail!("no HTTP answer came: {line:?}") };
    let mut head = Head { status, headers: BTreeMap::new() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(head);
        }
        if let Some((name, value)) = line.split_once(':') {
            head.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
}

/// Asks, and reads the whole answer, unpacked.
pub fn ask(address: &str, request: &Request) -> anyhow::Result<Answer> {
    let (mut reader, head) = begin(address, request)?;
    let mut body = Vec::new();
    if request.method == "HEAD" {
        return Ok(Answer { head, body });
    }
    if head.headers.get("transfer-encoding").is_some_and(|v| v == "chunked") {
        while let Some(chunk) = chunk(&mut reader)? {
            body.extend(chunk);
        }
    } else if let Some(length) = head.headers.get("content-length").and_then(|v| v.parse().ok()) {
        anyhow::ensure!(length <= BYTES_MAX, "a body of {length} bytes");
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
    } else {
        reader.read_to_end(&mut body)?;
    }
    if head.headers.get("content-encoding").is_some_and(|v| v == "gzip") {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut plain)?;
        body = plain;
    }
    Ok(Answer { head, body })
}

fn chunk(reader: &mut impl BufRead) -> anyhow::Result<Option<Vec<u8>>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let length = usize::from_str_radix(line.trim(), 16).with_context(|| format!("no chunk: {line:?}"))?;
    anyhow::ensure!(length <= BYTES_MAX, "a chunk of {length} bytes");
    let mut data = vec![0; length];
    reader.read_exact(&mut data)?;
    reader.read_line(&mut line)?;
    Ok((length > 0).then_some(data))
}

/// Opens a stream: its records, taken out of chunks and RecordIO, come one by one.
pub fn open(address: &str, request: &Request) -> anyhow::Result<Stream> {
    let (mut reader, head) = begin(address, request)?;
    let socket = reader.get_ref().try_clone()?;
    socket.set_read_timeout(None)?;
    let (tell, records) = mpsc::channel();
    std::thread::spawn(move || {
        let mut waiting = Vec::new();
        while let Ok(Some(chunk)) = chunk(&mut reader) {
            waiting.extend(chunk);
            while let Some(record) = record(&mut waiting) {
                if tell.send(record).is_err() {
                    return;
                }
            }
        }
    });
    Ok(Stream { head, socket, records })
}

/// The first whole record, taken off.
pub fn record(waiting: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = waiting.iter().position(|b| *b == b'\n')?;
    let length: usize = std::str::from_utf8(&waiting[..end]).ok()?.parse().ok()?;
    if waiting.len() < end + 1 + length {
        return None;
    }
    let record = waiting[end + 1..end + 1 + length].to_vec();
    waiting.drain(..end + 1 + length);
    Some(record)
}

/// One record, framed.
pub fn frame(record: &[u8]) -> Vec<u8> {
    let mut out = format!("{}\n", record.len()).into_bytes();
    out.extend(record);
    out
}

impl Stream {
    /// The next record, or that none came in time, or that none will.
    pub fn next(&self, until: Instant) -> Said {
        match self.records.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(record) => Said::Record(record),
            Err(RecvTimeoutError::Timeout) => Said::Nothing,
            Err(RecvTimeoutError::Disconnected) => Said::Closed,
        }
    }
    /// The client hangs up. One that is gone already is no matter.
    pub fn close(&self) {
        self.socket.shutdown(Shutdown::Both).unwrap_or_default();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_taken_off_one_by_one() {
        let mut bytes = [frame(b"ab"), frame(b""), b"5\nab".to_vec()].concat();
        assert_eq!(record(&mut bytes).as_deref(), Some(&b"ab"[..]));
        assert_eq!(record(&mut bytes).as_deref(), Some(&b""[..]));
        assert_eq!(record(&mut bytes), None);
        assert_eq!(bytes, b"5\nab");
    }
}
