//! Large bodies of answers in parts that are shared: by clients that ask for the same, and with what was said before.
//!
//! Never what is said (`endpoints`), nor how a part is compressed (`shell/web`).

use bytes::Bytes;
use std::sync::{Arc, OnceLock};

/// A stretch of a body.
#[derive(Debug, Default)]
pub struct Part {
    /// As it is.
    pub plain: Bytes,
    /// Compressed, once a client has asked for that.
    pub packed: OnceLock<Packed>,
}

/// A part that is compressed by itself.
#[derive(Debug)]
pub struct Packed {
    /// Whole blocks of raw deflate, none of them the last.
    pub blocks: Bytes,
    /// The checksum of what they hold.
    pub crc: u32,
}

impl Part {
    /// A part of a body.
    pub fn new(plain: impl Into<Bytes>) -> Arc<Self> {
        Arc::new(Self { plain: plain.into(), packed: OnceLock::new() })
    }
}

/// A body: its parts in order.
pub type Parts = Vec<Arc<Part>>;

/// All of it in one piece.
pub fn whole(parts: &[Arc<Part>]) -> Bytes {
    if let [one] = parts {
        return one.plain.clone();
    }
    let mut all = Vec::with_capacity(parts.iter().map(|part| part.plain.len()).sum());
    parts.iter().for_each(|part| all.extend_from_slice(&part.plain));
    all.into()
}
