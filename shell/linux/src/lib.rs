//! The kernel's side of containers: processes, namespaces, cgroups. Mechanism only; all `unsafe` lives here.
//!
//! Never: which of it a task gets (`containers`).

pub mod cgroups;
pub mod memory;
pub mod mounts;
pub mod nursery;
pub mod process;
pub mod spawn;
pub mod terminal;
pub mod usage;
