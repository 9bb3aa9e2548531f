//! What agent and launcher say to each other: one JSON value per line on a unix socket, a version first.

use crate::isolation::Isolation;
use model::container::{ContainerId, ContainerSpec, Program, Termination};
use serde::{Deserialize, Serialize};

/// A launcher of another version is asked to replace itself before anything else.
pub const VERSION: u32 = 1;

/// Agent → launcher.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// First of all.
    Hello { version: u32, isolation: Isolation, cgroup_mount: String, cgroups_root: String },
    /// Make a container and start what runs in it.
    Launch(Box<ContainerSpec>),
    /// A signal to all of its processes.
    Signal { container: ContainerId, signal: i32 },
    /// End what is left of it and remove its groups.
    Destroy { container: ContainerId },
    /// Its end is known; drop it from the journal.
    Forget { container: ContainerId },
    /// Run a command inside it.
    Execute {
        number: u64,
        container: ContainerId,
        program: Program,
        environment: Vec<(String, String)>,
        user: Option<String>,
        timeout_ms: u64,
    },
    /// End everything, then yourself.
    Stop,
}

/// Launcher → agent.
#[derive(Debug, Serialize, Deserialize)]
pub enum Word {
    /// Answers `Hello`.
    Welcome { version: u32, running: Vec<(ContainerId, u32)>, ended: Vec<(ContainerId, Termination)> },
    /// It runs.
    Launched { container: ContainerId, pid: u32 },
    /// It does not, and why.
    Failed { container: ContainerId, why: String },
    /// It ended.
    Terminated { container: ContainerId, how: Termination },
    /// A command inside a container ended; none = it did not in time.
    Executed { number: u64, status: Result<Option<i32>, String> },
}
