//! What a machine asks to be made durable, before it tells anybody.

/// One batch that waits to be durable; numbered by the machine, ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SaveId(pub u64);

/// One key written or removed. A batch of them is atomic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Write the value under the key.
    Put {
        /// Slash-separated path inside the machine's own key space, for example `agents/<id>`.
        key: String,
        /// The bytes, a protobuf or JSON record.
        value: Vec<u8>,
    },
    /// Remove the key; it need not exist.
    Delete {
        /// The key.
        key: String,
    },
}

/// Everything that was durable when a machine starts: sorted by key.
pub type Records = std::collections::BTreeMap<String, Vec<u8>>;
