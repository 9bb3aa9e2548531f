//! Commands on tasks, and what they print; what is used; a task that runs once.

use clap::{Args, Subcommand};

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
        /// Only those of this app or pod
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
