//! Containers: the launcher process that makes them and outlives the agent, isolation by name, the fetcher, probes.
//!
//! Never: when a task is started or ended (the agent decides).

mod beneath;
mod client;
mod fetch;
mod isolation;
mod journal;
mod launcher;
mod probe;
mod protocol;
mod sandbox;
mod socket;
mod switchboard;
mod usage;
mod volumes;

pub use client::{AttachedInput, AttachedOutput, Ended, Known, Launcher, Options};
pub use fetch::{fetch_all, fetch_target, main as fetcher_main, redacted, unpack};
pub use isolation::{Isolation, NAMES as ISOLATORS};
pub use journal::{lives, reread as reread_journal};
pub use launcher::main as launcher_main;
pub use linux::{memory::give_back as give_back_memory, process::raise_file_limit};
pub use probe::probe;
pub use protocol::Frame;
pub use sandbox::{make as make_sandbox, remove as remove_sandbox};
pub use usage::Meter;
pub use volumes::change as change_volumes;
