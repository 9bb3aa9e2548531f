//! The command line as clap reads it. Never what a command does.

mod apps;
mod tasks;

pub use apps::{App, Apply, Change, Group, Pod, Rollback, Scale, Whole};
pub use tasks::{Logs, Run, Sort, Task, Top};

use clap::{Args, Subcommand};

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
    /// Pods: containers that run together, on one node
    #[command(subcommand)]
    Pod(Pod),
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
    List {
        /// Those that failed or were cancelled instead
        #[arg(long)]
        ended: bool,
    },
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
