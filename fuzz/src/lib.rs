//! What outside bytes may do to us: one function per parser or surface, each total over all byte strings.
//!
//! A coverage-guided fuzzer drives them (`cargo xtask fuzz`), and the tests of this package replay the kept corpora.
//! Never: how bytes are found (`targets/`).

mod cluster;
mod files;
mod parsers;
mod script;
mod service;
mod texts;

pub use cluster::{agent, master};
pub use files::{archives, journal, store, uris};
pub use parsers::{calls, definitions, link, recordio, resources};
pub use service::orchestrator;
pub use texts::{constraints, events, flags};

/// A target: takes any bytes, panics on a bug.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also the name of its corpus.
pub const TARGETS: [(&str, Target); 15] = [
    ("agent", agent),
    ("archives", archives),
    ("calls", calls),
    ("constraints", constraints),
    ("definitions", definitions),
    ("events", events),
    ("flags", flags),
    ("journal", journal),
    ("link", link),
    ("master", master),
    ("orchestrator", orchestrator),
    ("recordio", recordio),
    ("resources", resources),
    ("store", store),
    ("uris", uris),
];
