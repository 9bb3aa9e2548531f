//! Containers as the agent orders them and the shell runs them, and probes of what runs in them.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The id of a container: a UUID in text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerId(pub String);

impl std::fmt::Display for ContainerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Program {
    /// `/bin/sh -c TEXT`.
    Shell(String),
    /// `execvp(file, arguments)`; `arguments[0]` is argv\[0\].
    Exec {
        /// The file, looked up in PATH where it has no slash.
        file: String,
        /// All of argv.
        arguments: Vec<String>,
    },
}

/// One thing to bring into the sandbox before the start (`CommandInfo.URI`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// `http://`, `https://`, `file://` or an absolute path.
    pub uri: String,
    /// Whether an archive is unpacked, by its suffix.
    pub extract: bool,
    /// Whether the file gets the executable bits (then it is not unpacked).
    pub executable: bool,
    /// Its name in the sandbox instead of the last part of the URI.
    pub output_file: Option<String>,
}

/// What a container may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Requested processors: the share.
    pub cpus: f64,
    /// Most processors, a quota; none = only the share.
    pub cpus_max: Option<f64>,
    /// Requested memory in bytes: the soft limit, and the hard one unless `mem_max` says otherwise.
    pub mem: u64,
    /// Hard memory limit in bytes; `Some(u64::MAX)` = unlimited.
    pub mem_max: Option<u64>,
}

/// A container to be started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Its id.
    pub id: ContainerId,
    /// Absolute path of the sandbox, made by the shell: working directory, `stdout` and `stderr`.
    pub sandbox: String,
    /// What runs.
    pub program: Program,
    /// The whole environment.
    pub environment: Vec<(String, String)>,
    /// The user it runs as; none = the agent's.
    pub user: Option<String>,
    /// What is fetched first.
    pub fetch: Vec<Fetch>,
    /// What it may use.
    pub limits: Limits,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Termination {
    /// `_exit(status)`.
    Exited(i32),
    /// Ended by this signal.
    Signaled(i32),
    /// The kernel ended it because it used more memory than allowed.
    OutOfMemory {
        /// Hard limit in bytes.
        limit: u64,
        /// Most it used, in bytes.
        peak: u64,
    },
    /// It is gone, and nobody saw how (the launcher was killed).
    Unknown,
}

/// What is asked of a running task, by an agent or an orchestrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// GET; `https` never verifies certificates, as upstream.
    Http {
        /// Whether TLS is spoken.
        https: bool,
        /// Name or address.
        host: String,
        /// TCP port.
        port: u16,
        /// Path with its leading slash.
        path: String,
    },
    /// Connect and close.
    Tcp {
        /// Name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// Run inside the container, in its sandbox.
    Command {
        /// The running container.
        container: ContainerId,
        /// What runs.
        program: Program,
        /// Its whole environment.
        environment: Vec<(String, String)>,
        /// The user it runs as.
        user: Option<String>,
    },
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probed {
    /// The HTTP status.
    Http(u16),
    /// The connection was taken.
    Connected,
    /// The command ended with this status.
    Exited(i32),
    /// No answer in time.
    TimedOut(Duration),
    /// It could not be asked, and why.
    Failed(String),
}
