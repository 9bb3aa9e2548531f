//! Containers as the agent orders them and the shell runs them, and probes of what runs in them.

use crate::mesos;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The id of a container: a UUID in text, for a nested one behind its parent's and a dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerId(pub String);

impl ContainerId {
    /// The container of this name inside this one.
    pub fn nested(&self, name: &str) -> Self {
        Self(format!("{}.{name}", self.0))
    }
    /// The container around it.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('.').map(|(parent, _)| Self(parent.to_owned()))
    }
    /// The outermost container around it, or itself.
    pub fn root(&self) -> Self {
        Self(self.0.split('.').next().unwrap_or_default().to_owned())
    }
    /// Its own name, without its parent's.
    pub fn last(&self) -> &str {
        self.0.rsplit('.').next().unwrap_or_default()
    }
    /// As Mesos writes it.
    pub fn to_message(&self) -> mesos::ContainerId {
        let parent = self.parent().map(|parent| Box::new(parent.to_message()));
        mesos::ContainerId { value: self.last().to_owned(), parent }
    }
    /// As Mesos writes it.
    pub fn of_message(message: &mesos::ContainerId) -> Self {
        match &message.parent {
            Some(parent) => Self::of_message(parent).nested(&message.value),
            None => Self(message.value.clone()),
        }
    }
}

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
    /// Nothing: a process that only keeps the container open for those inside it.
    Hold,
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
    /// Whether a copy is kept for the next container that fetches it.
    #[serde(default)]
    pub cache: bool,
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

/// Where a container's input comes from and its output goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Io {
    /// No input; `stdout` and `stderr` of the sandbox.
    #[default]
    Files,
    /// Clients that attach; without `session` the files too.
    Pipes,
    /// A terminal, to which clients attach.
    Terminal {
        /// Lines.
        rows: u16,
        /// Characters in a line.
        columns: u16,
    },
}

/// How a launch says that what was to run could not be: behind it stands why.
pub const NOT_EXECUTED: &str = "execute the command";

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
    /// What is mounted into it.
    #[serde(default)]
    pub volumes: Vec<Mount>,
    /// Symbolic links that lead to its sandbox: path and target.
    #[serde(default)]
    pub links: Vec<(String, String)>,
    /// Containers with groups of their own follow inside it.
    #[serde(default)]
    pub group: bool,
    /// Its memory is limited by the container around it only.
    #[serde(default)]
    pub shares_memory: bool,
    /// It has no groups of its own but joins those of the container around it.
    #[serde(default)]
    pub shares_groups: bool,
    /// Input and output.
    #[serde(default)]
    pub io: Io,
    /// If its program can't be executed it runs all the same, says why on its stderr and exits with 1: so a command task
    /// of upstream ends, whose container is there by then.
    #[serde(default)]
    pub fails_inside: bool,
    /// Somebody's session inside the container around it: it joins that container's namespaces and groups, works in its
    /// sandbox, says nothing before a client attaches, and writes no files.
    #[serde(default)]
    pub session: bool,
}

impl ContainerSpec {
    /// A container that runs this, and nothing else said.
    pub fn new(id: ContainerId, sandbox: String, program: Program) -> Self {
        Self {
            id,
            sandbox,
            program,
            environment: Vec::new(),
            user: None,
            fetch: Vec::new(),
            limits: Limits::default(),
            volumes: Vec::new(),
            links: Vec::new(),
            group: false,
            shares_memory: false,
            shares_groups: false,
            io: Io::Files,
            fails_inside: false,
            session: false,
        }
    }
}

/// A directory or file of the host inside a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path on the host.
    pub source: String,
    /// Path in the container; relative to the sandbox unless it begins with a slash.
    pub target: String,
    /// Whether it can't be written.
    pub read_only: bool,
    /// Make the source, as a directory, if it is not there.
    pub make: bool,
    /// The source is to belong to the container's user.
    #[serde(default)]
    pub own: bool,
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
        /// Redirects that are followed; what answers after them counts. 0 = none: the redirect itself is the answer.
        redirects_max: usize,
    },
    /// The same without redirects, and the answer is kept.
    Page {
        /// Whether TLS is spoken.
        https: bool,
        /// Name or address.
        host: String,
        /// TCP port.
        port: u16,
        /// Path with its leading slash.
        path: String,
        /// So much of its body is kept.
        bytes_max: usize,
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

/// An answer that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Its status.
    pub status: u16,
    /// Its Content-Type; empty = it names none.
    pub content_type: String,
    /// What its body begins with, as text.
    pub body: String,
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probed {
    /// The HTTP status.
    Http(u16),
    /// The whole answer, where it was to be kept.
    Page(Page),
    /// The connection was taken.
    Connected,
    /// The command ended with this status.
    Exited(i32),
    /// No answer in time.
    TimedOut(Duration),
    /// It could not be asked, and why.
    Failed(String),
}
