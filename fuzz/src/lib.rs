//! What outside bytes may do to us: one function per parser or surface, each total over all byte strings.
//!
//! A coverage-guided fuzzer drives them (`cargo xtask fuzz`), and the tests of this package replay the kept corpora.
//! Never: how bytes are found (`targets/`).

mod cluster;
mod parsers;
mod script;
mod service;

pub use cluster::{agent, master};
pub use parsers::{calls, definitions, link, recordio, resources};
pub use service::orchestrator;

/// A target: takes any bytes, panics on a bug.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also the name of its corpus.
pub const TARGETS: [(&str, Target); 8] = [
    ("calls", calls),
    ("definitions", definitions),
    ("link", link),
    ("recordio", recordio),
    ("resources", resources),
    ("master", master),
    ("agent", agent),
    ("orchestrator", orchestrator),
];
