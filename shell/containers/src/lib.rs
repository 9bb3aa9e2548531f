//! Containers: the launcher process that makes them and outlives the agent, isolation by name, the fetcher, probes.
//!
//! Never: when a task is started or ended (the agent decides).

mod client;
mod fetch;
mod isolation;
mod journal;
mod launcher;
mod probe;
mod protocol;
mod sandbox;

pub use client::{Ended, Known, Launcher, Options};
pub use fetch::fetch_all;
pub use isolation::{Isolation, NAMES as ISOLATORS};
pub use launcher::main as launcher_main;
pub use probe::probe;
pub use sandbox::make as make_sandbox;
