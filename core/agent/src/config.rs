//! What an agent is told at its start.

use crate::Keep;
use base::Duration;
use model::mesos::{Attribute, DomainInfo, Resource};
use std::{collections::BTreeMap, net::SocketAddr};

/// The version that masters and clients parse.
pub const VERSION: &str = "1.11.0";

/// Settings of one agent.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where peers reach it.
    pub address: SocketAddr,
    /// The name in offers.
    pub hostname: String,
    /// Absolute path under which sandboxes stand.
    pub work_dir: String,
    /// Everything it has.
    pub resources: Vec<Resource>,
    /// What constraints may ask about.
    pub attributes: Vec<Attribute>,
    /// Region and zone, if they are known.
    pub domain: Option<DomainInfo>,
    /// The flags as given, for `/flags`.
    pub flags: BTreeMap<String, String>,
    /// First wait between registration attempts; doubles up to a minute.
    pub registration_backoff: Duration,
    /// Variables that every task gets besides its own.
    pub environment: Vec<(String, String)>,
    /// As whom tasks run.
    pub users: Users,
    /// Whether tasks get no more processor time than they asked for, even where it is idle.
    pub cpu_quota: bool,
    /// Differs after a reboot of the machine: then no container of before is there.
    pub boot_id: String,
    /// Ended tasks kept for reading.
    pub completed_tasks_max: usize,
    /// How long sandboxes are kept.
    pub keep: Keep,
    /// How long executors may take.
    pub executors: ExecutorTimes,
    /// The name of the machine of the master, as readers are told it.
    pub master_hostname: String,
}

/// As whom tasks run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Users {
    /// As the user that the command or the framework names.
    Named,
    /// As the agent, whatever is named (`--no-switch_user`).
    Own,
    /// As the agent, which is not root and has this name. A command that names another user fails; a framework's user
    /// is only its default, and gives way.
    Only {
        /// The agent's name.
        name: String,
        /// Its number, which a command may give as well.
        id: u32,
    },
}

impl Users {
    /// As whom this runs; none for the agent's own.
    pub(crate) fn choose(&self, user: Option<String>) -> Option<String> {
        user.filter(|user| *self == Self::Named && !user.is_empty())
    }
    /// Why nothing can run for a command that names this user.
    pub(crate) fn refuse(&self, user: Option<&str>) -> Option<String> {
        let (Self::Only { name, id }, Some(user)) = (self, user) else { return None };
        (!user.is_empty() && user != name && user != id.to_string()).then(|| {
            format!("The command wants to run as '{user}'; this agent runs as '{name}', and only root can run as others")
        })
    }
}

/// How long executors may take.
#[derive(Clone, Copy, Debug)]
pub struct ExecutorTimes {
    /// From the start of the process to its first word.
    pub registration_timeout: Duration,
    /// From the agent's restart to the executor's return.
    pub reregistration_timeout: Duration,
    /// From SHUTDOWN to the end by force.
    pub shutdown_grace_period: Duration,
}

impl Default for ExecutorTimes {
    fn default() -> Self {
        Self {
            registration_timeout: Duration::from_secs(60),
            reregistration_timeout: Duration::from_secs(2),
            shutdown_grace_period: Duration::from_secs(5),
        }
    }
}
