//! What the machine needs to know of an app, read once from its definition.
//!
//! Never changes an app; what can't be run yet is named here and refused at launch.

use crate::{
    backoff::Policy,
    config::{Accepted, Config},
    constraints::Constraint,
    neighbours::{Beside, Preference},
    pod::PodSpec,
    pool::Needs,
    terms::Terms,
    volumes::DiskKind,
};
use base::Duration;
use std::collections::BTreeMap;

/// Who runs a health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckBy {
    /// This machine, through probes.
    Orchestrator,
    /// The agent (`MESOS_*`, `COMMAND`); it comes back in statuses.
    Agent,
}

/// A health check.
#[derive(Clone, Debug)]
pub struct CheckSpec {
    /// Who runs it.
    pub by: CheckBy,
    /// `HTTP`, `HTTPS`, `TCP`, `MESOS_HTTP`, `MESOS_HTTPS`, `MESOS_TCP`, `COMMAND`.
    pub protocol: String,
    /// Path of HTTP checks.
    pub path: String,
    /// A fixed port.
    pub port: Option<u16>,
    /// Or the index of one of the app's ports.
    pub port_index: Option<usize>,
    /// The command.
    pub command: Option<String>,
    /// Or an argument vector.
    pub argv: Vec<String>,
    /// Failures in this time after the start don't count.
    pub grace: Duration,
    /// Between two checks.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// Before the first, where the agent runs it.
    pub delay: Duration,
    /// So many failures in a row end the task; 0 = never.
    pub failures_max: u32,
    /// Whether 1xx says nothing.
    pub ignore_1xx: bool,
}

impl CheckSpec {
    /// The port that is asked.
    pub fn port_of(&self, ports: &[u16]) -> Option<u16> {
        self.port.or_else(|| ports.get(self.port_index.unwrap_or(0)).copied())
    }
}

/// A port definition.
#[derive(Clone, Debug, Default)]
pub struct PortSpec {
    /// The asked port: a service port, a host port with `requirePorts`.
    pub port: u16,
    /// Its name.
    pub name: Option<String>,
    /// `tcp`, `udp` or `udp,tcp`.
    pub protocol: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// One thing to fetch.
#[derive(Clone, Debug, Default)]
pub struct FetchSpec {
    /// From where.
    pub uri: String,
    /// Whether it is unpacked.
    pub extract: bool,
    /// Whether it becomes executable.
    pub executable: bool,
    /// Whether the agent may keep it.
    pub cache: bool,
    /// Its name in the sandbox.
    pub output_file: Option<String>,
}

/// An app, as far as running it goes.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// `/prod/db`.
    pub id: String,
    /// Its version.
    pub version: String,
    /// The version of its last change other than of `instances`.
    pub config_version: String,
    /// Wanted instances.
    pub instances: u64,
    /// A shell command.
    pub cmd: Option<String>,
    /// Or an argument vector.
    pub args: Vec<String>,
    /// Its own variables.
    pub env: BTreeMap<String, String>,
    /// Processors.
    pub cpus: f64,
    /// MiB.
    pub mem: f64,
    /// MiB.
    pub disk: f64,
    /// Whole ones.
    pub gpus: f64,
    /// Ports.
    pub ports: Vec<PortSpec>,
    /// Whether exactly these host ports are needed.
    pub require_ports: bool,
    /// Roles whose resources it takes; empty = its own and `*`.
    pub accepted_roles: Vec<String>,
    /// Where it may be placed.
    pub constraints: Vec<Constraint>,
    /// Whom it wants beside it, and whom not.
    pub beside: Vec<Beside>,
    /// What it would like besides.
    pub preferences: Vec<Preference>,
    /// Whether it wants one instance on every agent that its constraints let it on.
    pub every: bool,
    /// What is fetched.
    pub fetch: Vec<FetchSpec>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its health checks.
    pub checks: Vec<CheckSpec>,
    /// How it backs off.
    pub backoff: Option<Policy>,
    /// Share that stays healthy during an upgrade.
    pub minimum_health: f64,
    /// Share by which an upgrade may exceed it.
    pub over_capacity: f64,
    /// Between SIGTERM and SIGKILL.
    pub kill_grace: Option<Duration>,
    /// The user it runs as.
    pub user: Option<String>,
    /// After how long an unreachable instance is replaced, and forgotten; none = never.
    pub unreachable: Option<(Duration, Duration)>,
    /// Whether the oldest are ended first.
    pub oldest_first: bool,
    /// Its role.
    pub role: Option<String>,
    /// Apps that must be there first.
    pub dependencies: Vec<String>,
    /// What it asks for that can't be run.
    pub unsupported: Option<String>,
    /// Its containers, if it is a pod.
    pub pod: Option<PodSpec>,
    /// Directories of the agent, where they are in the container, whether they can't be written.
    pub host_volumes: Vec<(String, String, bool)>,
    /// Volumes that outlive its tasks.
    pub volumes: Vec<crate::volumes::VolumeSpec>,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Service ports, in the order of its ports or mappings.
    pub service_ports: Vec<u16>,
    /// What must be true of a new instance before an old one may go.
    pub readiness: Option<ReadinessSpec>,
    /// What the agent looks at without judging it.
    pub check: Option<AgentCheck>,
    /// More than is guaranteed: by name, `inf` = without limit.
    pub limits: BTreeMap<String, f64>,
    /// What a deployment of it must keep.
    pub terms: Terms,
    /// How it grows and shrinks by itself.
    pub autoscale: Option<crate::autoscale::Rule>,
    /// It is done once so many instances have finished; this many may fail. None = it runs for ever.
    pub run_once: Option<u64>,
    /// It may take so long to start; none = as all.
    pub staging: Option<Duration>,
}

/// A readiness check.
#[derive(Clone, Debug, Default)]
pub struct ReadinessSpec {
    /// Its name.
    pub name: String,
    /// Whether TLS is spoken.
    pub https: bool,
    /// The path that is asked.
    pub path: String,
    /// Which of the app's ports.
    pub port: usize,
    /// Between two checks.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// Statuses that mean ready.
    pub ready: Vec<u16>,
    /// Whether clients are shown the last status.
    pub preserve: bool,
}

/// What the agent looks at.
#[derive(Clone, Debug)]
pub struct AgentCheck {
    /// How.
    pub kind: AgentCheckKind,
    /// Between two checks.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// Before the first.
    pub delay: Duration,
}

/// How the agent looks.
#[derive(Clone, Debug)]
pub enum AgentCheckKind {
    /// GET of a path; the port is fixed, or the index of one of the app's.
    Http(Option<u16>, usize, String),
    /// A connection.
    Tcp(Option<u16>, usize),
    /// A shell command.
    Shell(String),
    /// An argument vector.
    Argv(Vec<String>),
}

/// An app for every agent wants as many instances as there are agents; nobody knows how many that is.
pub const EVERY: u64 = 1_000_000;

impl Spec {
    /// Fields of places whose values are counted for it.
    pub fn counted_fields(&self) -> impl Iterator<Item = &str> {
        let constraints = self.constraints.iter().map(|constraint| constraint.field.as_str());
        constraints.chain(self.preferences.iter().filter_map(Preference::field))
    }
    /// Roles whose resources it takes.
    pub fn roles(&self, config: &Config) -> Vec<String> {
        let own = self.role.clone().unwrap_or_else(|| config.role.clone());
        if !self.accepted_roles.is_empty() {
            return self.accepted_roles.clone();
        }
        if let Some(default) = &config.default_accepted_roles {
            let mine: Vec<_> = default.iter().filter(|role| *role == "*" || **role == own).cloned().collect();
            if !mine.is_empty() {
                return mine;
            }
        }
        match config.accepted_behavior {
            Accepted::Any => vec!["*".to_owned(), own],
            Accepted::Unreserved => vec!["*".to_owned()],
            Accepted::Reserved => vec![own],
        }
    }
    /// What one instance takes from an offer.
    pub fn needs(&self) -> Needs {
        let scalars = [("cpus", self.cpus), ("mem", self.mem), ("disk", self.disk), ("gpus", self.gpus)];
        let ports = self.pod.as_ref().map(PodSpec::host_ports);
        Needs {
            scalars: scalars.into_iter().filter(|(_, amount)| *amount > 0.0).collect(),
            ports: ports.unwrap_or_else(|| {
                self.ports.iter().map(|port| if self.require_ports { port.port } else { 0 }).collect()
            }),
        }
    }
    /// What one instance takes from an offer whose volumes have to be made there.
    pub fn needs_with_volumes(&self) -> Needs {
        let mut needs = self.needs();
        let root = self.volumes.iter().filter(|volume| volume.kind == DiskKind::Root);
        let more: f64 = root.map(|volume| volume.size).sum();
        match needs.scalars.iter_mut().find(|(name, _)| *name == "disk") {
            Some((_, disk)) => *disk += more,
            None if more > 0.0 => needs.scalars.push(("disk", more)),
            None => {}
        }
        needs
    }
    /// How many of these count in a deployment: ready, and found healthy or, where nothing is checked, running.
    pub fn healthy(&self, tally: crate::instances::Tally) -> u64 {
        if self.checks.is_empty() { tally.running_ready } else { tally.healthy_ready }
    }
    /// How many of these count when nothing is being rolled out.
    pub fn well(&self, tally: crate::instances::Tally) -> u64 {
        if self.checks.is_empty() { tally.running } else { tally.healthy }
    }
    /// How it backs off.
    pub fn policy(&self) -> Policy {
        self.backoff.unwrap_or(Policy {
            first: Duration::from_secs(1),
            factor: 1.15,
            most: Duration::from_secs(300),
        })
    }
}
