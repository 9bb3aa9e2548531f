//! Commands on apps, pods and groups, and how a change is made.

use super::Logs;
use clap::{Args, Subcommand};
use std::{path::PathBuf, time::Duration};

fn whole_number(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "a whole number from 0 on is right")
}

/// Commands on apps.
#[derive(Clone, Debug, Subcommand)]
pub enum App {
    /// Create or replace apps, pods and groups from JSON files
    Apply(Apply),
    /// Say what applying files would change, and change nothing
    Diff {
        /// Files with an app or a list of apps; - reads standard input
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// List the versions of an app, each with what it changed
    History {
        /// Id of the app
        id: String,
    },
    /// Go back to an earlier version of an app
    Rollback(Rollback),
    /// List apps
    List,
    /// Show one app with its tasks
    Show {
        /// Id of the app
        id: String,
    },
    /// Change the number of instances
    Scale(Scale),
    /// Replace all instances by new ones
    Restart(Whole),
    /// Remove an app and end its tasks
    Rm(Whole),
    /// Print what its tasks write
    Logs {
        /// Id of the app
        id: String,
        /// What is printed
        #[command(flatten)]
        logs: Logs,
    },
    /// Say why an app waits: which stage refused it on which node, and by how much
    Why {
        /// Id of the app
        id: String,
    },
}

/// Commands on pods.
#[derive(Clone, Debug, Subcommand)]
pub enum Pod {
    /// Create or replace pods from JSON files
    Apply(Apply),
    /// List pods
    List,
    /// Show one pod with its instances and their containers
    Show {
        /// Id of the pod
        id: String,
    },
    /// Change the number of instances
    Scale(Scale),
    /// End instances; the pod starts new ones
    Kill {
        /// Id of the pod
        id: String,
        /// Ids of the instances
        #[arg(required = true)]
        instances: Vec<String>,
    },
    /// Remove a pod and end its instances
    Rm(Whole),
    /// Print what its containers write
    Logs {
        /// Id of the pod
        id: String,
        /// Only the container of this name
        #[arg(long, value_name = "NAME")]
        container: Option<String>,
        /// What is printed
        #[command(flatten)]
        logs: Logs,
    },
    /// Say why a pod waits: which stage refused it on which node, and by how much
    Why {
        /// Id of the pod
        id: String,
    },
    /// List the versions of a pod, each with what it changed
    History {
        /// Id of the pod
        id: String,
    },
    /// Go back to an earlier version of a pod
    Rollback(Rollback),
}

/// Commands on groups.
#[derive(Clone, Debug, Subcommand)]
pub enum Group {
    /// List all groups as a tree
    List,
    /// Show one group with its apps
    Show {
        /// Id of the group
        id: String,
    },
    /// Create or change groups from JSON files
    Apply(Apply),
    /// Multiply the instances of all apps in a group
    Scale {
        /// Id of the group
        id: String,
        /// By how much, as in 2 or 0.5
        factor: f64,
        /// How the change is made
        #[command(flatten)]
        change: Change,
    },
    /// List the versions of a group
    History {
        /// Id of the group
        id: String,
    },
    /// Go back to an earlier version of a group and all that is in it
    Rollback(Rollback),
    /// Remove a group with all that is in it
    Rm(Whole),
}

/// Definitions from files.
#[derive(Args, Clone, Debug)]
pub struct Apply {
    /// Files with one definition or a list of them; - reads standard input
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Only say what would change
    #[arg(long)]
    pub dry_run: bool,
    /// How the change is made
    #[command(flatten)]
    pub change: Change,
}

/// Another number of instances of an app or a pod.
#[derive(Args, Clone, Debug)]
pub struct Scale {
    /// Id of what is scaled
    pub id: String,
    /// How many should run
    #[arg(value_parser = whole_number, allow_negative_numbers = true)]
    pub instances: u64,
    /// How the change is made
    #[command(flatten)]
    pub change: Change,
}

/// A change of all of an app, a pod or a group.
#[derive(Args, Clone, Debug)]
pub struct Whole {
    /// Its id
    pub id: String,
    /// How the change is made
    #[command(flatten)]
    pub change: Change,
}

/// Going back to an earlier version of an app, a pod or a group.
#[derive(Args, Clone, Debug)]
pub struct Rollback {
    /// Id of what goes back
    pub id: String,
    /// Which one [default: the one before the current]
    pub version: Option<String>,
    /// How the change is made
    #[command(flatten)]
    pub change: Change,
}

/// How a change is made.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct Change {
    /// Override a deployment that is under way
    #[arg(long)]
    pub force: bool,
    /// Wait behind a deployment that is under way, instead of being refused
    #[arg(long, conflicts_with = "force")]
    pub queue: bool,
    /// Do not wait for the deployment to finish
    #[arg(long)]
    pub no_wait: bool,
    /// Seconds to wait for the deployment
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    pub timeout: u64,
    /// The deployment has failed if it is not done within so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub deployment_timeout: Option<u64>,
    /// The deployment has failed if more than so many of its tasks do
    #[arg(long, value_name = "N")]
    pub max_failures: Option<u64>,
    /// A new task counts once it has run for so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub settle: Option<u64>,
    /// What follows a failed deployment: it stops where it is, or goes back
    #[arg(long, value_name = "WHAT", value_parser = ["pause", "rollback"])]
    pub on_failure: Option<String>,
}

impl Change {
    /// All of it as a query, after these.
    pub fn query(&self, first: &[&str]) -> String {
        let mut all: Vec<String> = first.iter().map(|one| (*one).to_owned()).collect();
        let one = |name: &str, value: Option<String>| value.map(|value| format!("{name}={value}"));
        all.extend(one("force", self.force.then(|| "true".to_owned())));
        all.extend(one("queue", self.queue.then(|| "true".to_owned())));
        all.extend(one("deploymentTimeoutSeconds", self.deployment_timeout.map(|n| n.to_string())));
        all.extend(one("maxFailures", self.max_failures.map(|n| n.to_string())));
        all.extend(one("settleSeconds", self.settle.map(|n| n.to_string())));
        all.extend(one("onFailure", self.on_failure.clone()));
        if all.is_empty() { String::new() } else { format!("?{}", all.join("&")) }
    }
    /// How long to wait; none = not at all.
    pub fn wait(&self) -> Option<Duration> {
        (!self.no_wait).then(|| Duration::from_secs(self.timeout))
    }
}
