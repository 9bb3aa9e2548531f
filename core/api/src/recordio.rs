//! RecordIO: `<length in ASCII>\n<bytes>`, repeated. Chunk boundaries of the transport carry no meaning.

/// A record larger than this is refused: no upstream client or server sends one.
pub const RECORD_BYTES_MAX: usize = 64 * 1024 * 1024;
const LENGTH_DIGITS_MAX: usize = 12;

/// One record, framed.
pub fn frame(record: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(record.len() + 8);
    out.extend_from_slice(record.len().to_string().as_bytes());
    out.push(b'\n');
    out.extend_from_slice(record);
    out
}

/// What stands before a record of so many bytes.
pub fn head(length: usize) -> Vec<u8> {
    format!("{length}\n").into_bytes()
}

/// The stream is not RecordIO, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(pub String);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not a RecordIO stream: {}", self.0)
    }
}

impl std::error::Error for Broken {}

/// Takes bytes as they come and gives whole records.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
}

impl Decoder {
    /// Adds what has arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 && self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole record, if it has arrived.
    pub fn next_record(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        let pending = &self.buffer[self.start..];
        let Some(newline) = pending.iter().take(LENGTH_DIGITS_MAX + 1).position(|b| *b == b'\n') else {
            if pending.len() > LENGTH_DIGITS_MAX {
                return Err(Broken("no length line".to_owned()));
            }
            return Ok(None);
        };
        let digits = String::from_utf8_lossy(&pending[..newline]);
        let length: usize =
            digits.trim().parse().map_err(|_| Broken(format!("'{digits}' is not a length")))?;
        if length > RECORD_BYTES_MAX {
            return Err(Broken(format!("a record of {length} bytes; at most {RECORD_BYTES_MAX} are taken")));
        }
        let body = newline + 1;
        if pending.len() < body + length {
            return Ok(None);
        }
        let record = pending[body..body + length].to_vec();
        self.start += body + length;
        if self.start > 64 * 1024 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_survive_any_chunking(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
            chunk in 1usize..50,
        ) {
            let stream: Vec<u8> = records.iter().flat_map(|r| frame(r)).collect();
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            for part in stream.chunks(chunk) {
                decoder.push(part);
                while let Some(record) = decoder.next_record().unwrap() {
                    got.push(record);
                }
            }
            prop_assert_eq!(got, records);
        }
    }

    #[test]
    fn what_is_not_recordio_is_refused() {
        for bad in ["x\n", "99999999999999999\n", "-1\nx", "70000000\n"] {
            let mut decoder = Decoder::default();
            decoder.push(bad.as_bytes());
            assert!(decoder.next_record().is_err(), "{bad:?}");
        }
    }
}
