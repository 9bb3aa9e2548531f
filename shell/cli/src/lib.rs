//! Commands for people: arguments in, requests to the public APIs, tables or JSON out, exit codes that scripts can use.
//!
//! Never: anything that a client of Marathon or Mesos could not do too.

mod apply;
mod apps;
mod attach;
mod cluster;
mod deployments;
mod diff;
mod events;
mod groups;
mod history;
mod import;
mod logs;
mod nodes;
mod oneoff;
mod output;
mod tasks;
mod terminal;
mod top;
mod why;

pub use apply::{AppFile, Applied, apply, read_files};
pub use cluster::Cluster;
pub use output::Output;

use clap::{Args, Subcommand};
use std::{path::PathBuf, time::Duration};
use web::client::ClientError;

/// Exit codes besides 0; `run` exits with the status of its command.
pub mod exit {
    /// What `--help` says of them.
    pub const HELP: &str = "Exit codes:
  0  done
  1  the cluster refused, or what was asked for failed
  2  the command line is wrong
  3  there is nothing by that name
  4  the cluster cannot be reached
  5  accepted, but not finished in time
`mesolite run` exits with the status of its command.";
    /// The cluster refused, or what was asked for failed.
    pub const FAILED: u8 = 1;
    /// The command line is wrong (clap's own code).
    pub const USAGE: u8 = 2;
    /// There is nothing by that name.
    pub const NOT_FOUND: u8 = 3;
    /// The cluster cannot be reached.
    pub const UNREACHABLE: u8 = 4;
    /// It was accepted, but did not finish in time.
    pub const UNFINISHED: u8 = 5;
}

const HEADING: &str = "Which cluster, and how it is shown";

/// What holds for every command.
#[derive(Args, Clone, Debug)]
pub struct Opts {
    /// Address of the Marathon API
    #[arg(
        long,
        global = true,
        help_heading = HEADING,
        env = "MESOLITE_MARATHON",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub marathon: String,
    /// Address of the Mesos master
    #[arg(
        long,
        global = true,
        help_heading = HEADING,
        env = "MESOLITE_MASTER",
        default_value = "http://127.0.0.1:5050",
        value_name = "URL"
    )]
    pub master: String,
    /// Print JSON instead of tables
    #[arg(long, global = true, help_heading = HEADING)]
    pub json: bool,
}

impl Opts {
    /// Takes them out of the help of a command that asks no cluster; given all the same, they are refused by name.
    pub fn kept_out_of(mut command: clap::Command) -> clap::Command {
        let own: Vec<String> = command.get_arguments().map(|arg| arg.get_id().to_string()).collect();
        for name in ["marathon", "master", "json"].into_iter().filter(|name| !own.iter().any(|o| o == name)) {
            let instead = "it starts one, and asks none";
            let refuse =
                move |_: &str| Err::<String, _>(format!("this command does not take --{name}: {instead}"));
            command = command.arg(
                clap::Arg::new(name)
                    .long(name)
                    .hide(true)
                    .num_args(0..=1)
                    .default_missing_value("")
                    .value_parser(refuse),
            );
        }
        command
    }
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
#[command(subcommand_required = true)]
pub enum Cmd {
    /// Apps: what should run
    #[command(subcommand)]
    App(App),
    /// Groups: apps that belong together
    #[command(subcommand)]
    Group(Group),
    /// Tasks: what runs
    #[command(subcommand)]
    Task(Task),
    /// Nodes: the agents that run it
    #[command(subcommand)]
    Node(Node),
    /// Deployments: changes under way
    #[command(subcommand)]
    Deployment(Deployment),
    /// Print what happens, as it happens
    Events {
        /// Only events of this type; may be given more than once
        #[arg(long = "type", value_name = "TYPE")]
        types: Vec<String>,
    },
    /// Take apps, pods and groups over from a running Marathon: says what carries over and what does not
    Import {
        /// Address of the Marathon to read, as in http://old-marathon:8080
        from: String,
        /// Create them here; without it nothing is changed
        #[arg(long)]
        apply: bool,
        /// How the change is made
        #[command(flatten)]
        change: Change,
    },
    /// Show what nodes, frameworks and tasks use, again and again
    Top(Top),
    /// Run a command once: wait, print its output, exit with its status
    Run(Run),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What is shown of what is used.
#[derive(Args, Clone, Debug)]
pub struct Top {
    /// Look twice, a second apart, print once and end
    #[arg(long)]
    pub once: bool,
    /// What comes first
    #[arg(long, value_enum, default_value_t = Sort::Cpu)]
    pub sort: Sort,
    /// Seconds between two looks
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS")]
    pub interval: f64,
}

/// By what rows are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sort {
    /// Most processor use first.
    Cpu,
    /// Most memory first.
    Mem,
    /// By name.
    Name,
}

fn whole_number(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "a whole number from 0 on is right")
}

/// Commands on apps.
#[derive(Clone, Debug, Subcommand)]
pub enum App {
    /// Create or replace apps from JSON files
    Apply {
        /// Files with an app or a list of apps; - reads standard input
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Only say what would change
        #[arg(long)]
        dry_run: bool,
        /// How the change is made
        #[command(flatten)]
        change: Change,
    },
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
    Scale {
        /// Id of the app
        id: String,
        /// How many should run
        #[arg(value_parser = whole_number, allow_negative_numbers = true)]
        instances: u64,
        /// How the change is made
        #[command(flatten)]
        change: Change,
    },
    /// Replace all instances by new ones
    Restart {
        /// Id of the app
        id: String,
        /// How the change is made
        #[command(flatten)]
        change: Change,
    },
    /// Remove an app and end its tasks
    Rm {
        /// Id of the app
        id: String,
        /// How the change is made
        #[command(flatten)]
        change: Change,
    },
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
    Apply {
        /// Files with a group each
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        /// How the change is made
        #[command(flatten)]
        change: Change,
    },
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
    Rm {
        /// Id of the group
        id: String,
        /// How the change is made
        #[command(flatten)]
        change: Change,
    },
}

/// Going back to an earlier version of an app or a group.
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

/// What is printed of a task's output.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Logs {
    /// Go on printing what is added
    #[arg(short, long)]
    pub follow: bool,
    /// Print standard error instead of standard output
    #[arg(long)]
    pub stderr: bool,
    /// Begin with the last so many lines
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<usize>,
}

/// Commands on tasks.
#[derive(Clone, Debug, Subcommand)]
pub enum Task {
    /// List tasks
    List {
        /// Only those of this app
        #[arg(long)]
        app: Option<String>,
    },
    /// Show one task
    Show {
        /// Id of the task
        id: String,
    },
    /// End tasks; their app starts new ones
    Kill {
        /// Ids of the tasks
        #[arg(required = true)]
        ids: Vec<String>,
        /// Scale their app down instead
        #[arg(long)]
        scale: bool,
    },
    /// Run a command in the container of a task, and exit with its status
    Exec {
        /// Pass standard input on
        #[arg(short, long)]
        interactive: bool,
        /// Give it a terminal; passes standard input on as well
        #[arg(short, long)]
        tty: bool,
        /// Id of the task
        id: String,
        /// The command and its arguments; a single one is given to a shell
        #[arg(required = true, last = true, value_name = "CMD")]
        command: Vec<String>,
    },
    /// Attach to the terminal of a task
    Attach {
        /// Only show what it says
        #[arg(long)]
        no_stdin: bool,
        /// Id of the task
        id: String,
    },
    /// Print what a task writes
    Logs {
        /// Id of the task
        id: String,
        /// What is printed
        #[command(flatten)]
        logs: Logs,
    },
}

/// Commands on nodes.
#[derive(Clone, Debug, Subcommand)]
pub enum Node {
    /// List nodes
    List,
    /// Show one node with its tasks
    Show {
        /// Id of the agent, its beginning, or its hostname
        id: String,
    },
}

/// Commands on deployments.
#[derive(Clone, Debug, Subcommand)]
pub enum Deployment {
    /// List what is under way
    List,
    /// Show one: its steps, and what each waits for
    Show {
        /// Id of the deployment
        id: String,
    },
    /// Let a paused one go on
    Resume {
        /// Id of the deployment
        id: String,
    },
    /// Go back to what was before
    Cancel {
        /// Id of the deployment
        id: String,
        /// Stop where it is instead of going back
        #[arg(long)]
        force: bool,
    },
}

/// A task that runs once.
#[derive(Args, Clone, Debug)]
pub struct Run {
    /// CPUs
    #[arg(long, default_value_t = 0.1)]
    pub cpus: f64,
    /// Memory in MB
    #[arg(long, default_value_t = 64.0)]
    pub mem: f64,
    /// Disk in MB
    #[arg(long, default_value_t = 0.0)]
    pub disk: f64,
    /// Role whose resources are used
    #[arg(long, default_value = "*")]
    pub role: String,
    /// User that runs it [default: who asks]
    #[arg(long)]
    pub user: Option<String>,
    /// Environment variables
    #[arg(short, long = "env", value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// Seconds to wait for a node that has room
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub offer_timeout: u64,
    /// The command and its arguments; a single one is given to a shell
    #[arg(required = true, last = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// Why a command failed; decides the exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The cluster could not be asked, or said no.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// There is nothing by that name.
    #[error("{0}")]
    NotFound(String),
    /// What was asked for failed.
    #[error("{0}")]
    Failed(String),
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// It goes on, but was not waited for any longer.
    #[error("{0}")]
    Unfinished(String),
}

impl Failure {
    /// Its exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Client(ClientError::Unreachable { .. } | ClientError::Timeout { .. }) => exit::UNREACHABLE,
            Self::Client(ClientError::Address { .. }) => exit::USAGE,
            Self::Client(ClientError::Status { status, .. }) if status.as_u16() == 404 => exit::NOT_FOUND,
            Self::NotFound(_) => exit::NOT_FOUND,
            Self::Usage(_) => exit::USAGE,
            Self::Unfinished(_) => exit::UNFINISHED,
            Self::Client(_) | Self::Failed(_) => exit::FAILED,
        }
    }
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Client(ClientError::Unreachable { connect: true, .. }) => Some(
                "Is a cluster running? Start one with `mesolite dev`, or name another with --marathon and --master.",
            ),
            Self::Client(ClientError::Status { status, .. }) if status.as_u16() == 409 => Some(
                "Wait for the deployment, line up behind it with --queue, cancel it, or override it with --force.",
            ),
            _ => None,
        }
    }
}

/// Runs a command and gives its exit code. `whole` is the definition of the whole command line, for completions.
pub fn run(cmd: Cmd, opts: &Opts, mut whole: clap::Command) -> u8 {
    if let Cmd::Completions { shell } = cmd {
        let name = whole.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut whole, name, &mut script);
        return if std::io::Write::write_all(&mut std::io::stdout(), &script).is_ok() {
            0
        } else {
            exit::FAILED
        };
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return exit::FAILED;
        }
    };
    let output = Output::detect(opts.json);
    let outcome = runtime.block_on(perform(cmd, &Cluster::new(&opts.marathon, &opts.master), &output));
    // a reader of standard input may still block a thread
    runtime.shutdown_background();
    outcome.unwrap_or_else(|failure| {
        output.error(&failure.to_string());
        if let Some(hint) = failure.hint() {
            eprintln!("{hint}");
        }
        failure.code()
    })
}

async fn perform(cmd: Cmd, cluster: &Cluster, output: &Output) -> Result<u8, Failure> {
    match cmd {
        Cmd::App(app) => apps::perform(app, cluster, output).await,
        Cmd::Group(group) => groups::perform(group, cluster, output).await,
        Cmd::Task(task) => tasks::perform(task, cluster, output).await,
        Cmd::Node(node) => nodes::perform(node, cluster, output).await,
        Cmd::Deployment(deployment) => deployments::perform(deployment, cluster, output).await,
        Cmd::Events { types } => events::follow(&types, cluster, output).await,
        Cmd::Import { from, apply, change } => import::perform(&from, apply, &change, cluster, output).await,
        Cmd::Top(top) => top::perform(top, cluster, output).await,
        Cmd::Run(run) => oneoff::perform(run, cluster, output).await,
        Cmd::Completions { .. } => Ok(0),
    }
}
