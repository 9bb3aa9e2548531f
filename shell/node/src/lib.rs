//! Roles: one driver loop per machine; wiring, flags, shutdown. Never decides what a machine decides.

mod address;
mod agent;
mod allocation;
mod attach;
mod chronicle;
mod clock;
mod closed;
mod complain;
mod dev;
mod documents;
mod driver;
mod files;
pub mod flags;
mod hub;
mod latest;
mod levels;
mod lists;
mod machine;
mod master;
mod measure;
mod messages;
mod orchestrator;
mod perform;
mod ready;
mod tables;
mod understood;
mod upstream;

pub use understood::understood;

use anyhow::Context as _;
use clap::{Args as _, FromArgMatches as _, Subcommand as _};
use containers::Launcher;
use flags::{Refused, Table, Values};
use std::{net::SocketAddr, process::ExitCode};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{oneshot, watch},
    task::JoinHandle,
};
use web::{Reply, link::Local};

const ROLES: [&Table; 3] = [&tables::MASTER, &tables::AGENT, &tables::ORCHESTRATOR];

/// Turns true when everything is to stop.
pub(crate) type Stop = watch::Receiver<bool>;

/// How long a role may take to stop; then the process ends all the same.
const STOP_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(8);
/// After this a role has started, and gives back what it needed for that.
const REST_AFTER: std::time::Duration = std::time::Duration::from_secs(1);
/// Threads that drive machines and sockets.
const THREADS_MAX: usize = 4;

/// What an agent does before it goes for good.
pub(crate) type Leave = Box<dyn FnOnce() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A role that serves.
pub(crate) struct Running {
    pub address: SocketAddr,
    pub tasks: Vec<JoinHandle<()>>,
    /// To be ended with its tasks when the role stops.
    pub launcher: Option<Launcher>,
    /// Ends all of its tasks and leaves the cluster; completes when that is done.
    pub leave: Option<Leave>,
    /// Completes when there is no more reason to run: an agent that its master does not want.
    pub over: Option<oneshot::Receiver<()>>,
}

pub(crate) async fn answered(answer: oneshot::Receiver<Reply>) -> Reply {
    match answer.await {
        Ok(reply) => reply,
        Err(_) => stopping(),
    }
}

/// The answer to what is not decided any more.
pub(crate) fn stopping() -> Reply {
    Reply::Full(endpoints::render(model::request::Answer::text(503, "The daemon is stopping")))
}

/// The whole command line, from which help and completions come.
pub fn command() -> clap::Command {
    let root = cli::Cmd::augment_subcommands(cli::Opts::augment_args(clap::Command::new("mesolite")))
        .version(env!("CARGO_PKG_VERSION"))
        .about("A datacenter in one binary: Apache Mesos and Marathon, continued")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(cli::exit::HELP);
    let dev = dev::Dev::augment_args(clap::Command::new("dev")).about(dev::ABOUT);
    let roles = ROLES.into_iter().map(Table::command);
    [dev]
        .into_iter()
        .chain(roles)
        .fold(root, |root, command| root.subcommand(cli::Opts::kept_out_of(command)))
}

/// Runs what the command line says; `arguments` begin with the program's name.
pub fn main(arguments: Vec<String>) -> ExitCode {
    let table = arguments.get(1).and_then(|name| ROLES.into_iter().find(|t| t.role == *name));
    if let Some(table) = table
        && let Err(refused) = table.refuse_unknown(&arguments[2..])
    {
        eprintln!("mesolite: {refused}");
        return ExitCode::from(cli::exit::USAGE);
    }
    let matches = match command().try_get_matches_from(&arguments) {
        Ok(matches) => matches,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            // A closed terminal is no reason to fail louder.
            error.print().unwrap_or_default();
            return ExitCode::from(code);
        }
    };
    // Of whom the environment says how to run.
    let asked: &[&Table] = match matches.subcommand_name() {
        Some("dev") => &ROLES,
        _ => table.as_slice(),
    };
    let environment =
        || std::env::vars_os().filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)));
    if let Some(refused) = asked.iter().find_map(|table| table.refuse_variables(environment()).err()) {
        eprintln!("mesolite: {refused}");
        return ExitCode::from(cli::exit::USAGE);
    }
    let outcome = match (matches.subcommand(), table) {
        (Some((_, sub)), Some(table)) => {
            table.values(sub).map_err(anyhow::Error::new).and_then(|v| role(table, v))
        }
        (Some(("dev", sub)), _) => {
            dev::Dev::from_arg_matches(sub).map_err(anyhow::Error::new).and_then(run_dev)
        }
        _ => {
            let parsed = cli::Cmd::from_arg_matches(&matches)
                .and_then(|cmd| cli::Opts::from_arg_matches(&matches).map(|opts| (cmd, opts)));
            return match parsed {
                Ok((cmd, opts)) => ExitCode::from(cli::run(cmd, &opts, command())),
                Err(error) => error.exit(),
            };
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mesolite: {error:#}");
            match error.downcast_ref::<Refused>() {
                Some(_) => ExitCode::from(cli::exit::USAGE),
                None => ExitCode::FAILURE,
            }
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // A connection each for schedulers, executors, agents: the usual soft limit of 1024 files is soon too few. Tasks get
    // it as it was.
    if let Err(error) = containers::raise_file_limit() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.spawn(async {
        tokio::time::sleep(REST_AFTER).await;
        // Some milliseconds.
        containers::give_back_memory();
    });
    Ok(runtime)
}

fn role(table: &Table, values: Values) -> anyhow::Result<()> {
    let level = levels::read("--logging_level", values.get("logging_level").unwrap_or("info"))?;
    let file = match values.get("log_dir") {
        Some(dir) => {
            let path = levels::path(dir, table.role);
            Some(levels::open(&path).with_context(|| format!("--log_dir: can't write {}", path.display()))?)
        }
        None => None,
    };
    levels::begin(level, values.on("quiet"), file);
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let mut told = Told::listen()?;
        let mut leaving = signal(SignalKind::user_defined1())?;
        let (tell, stop) = watch::channel(false);
        let running = match table.role {
            "master" => master::start(&values, &Local::default(), stop).await?,
            "agent" => agent::start(&values, &Local::default(), stop).await?,
            _ => orchestrator::start(&values, stop).await?,
        };
        if let Some(file) = values.get("ready-file") {
            let url = format!("http://{}", running.address);
            let said = match table.role {
                "agent" => serde_json::json!({ "agents": [url], "pid": std::process::id() }),
                "orchestrator" => serde_json::json!({ "marathon": url, "pid": std::process::id() }),
                role => serde_json::json!({ role: url, "pid": std::process::id() }),
            };
            ready::write(file, &said)?;
        }
        let mut running = running;
        let leave = running.leave.take();
        let over = running.over.take();
        let over = async {
            match over {
                Some(over) => over.await.unwrap_or_default(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = told.wait() => {}
            () = over => tracing::info!("told to shut down, and nothing runs any more"),
            _ = leaving.recv(), if leave.is_some() => {
                tracing::info!("told to leave: all tasks end");
                if let Some(leave) = leave {
                    leave().await;
                }
            }
        }
        halt(tell, vec![running]).await;
        anyhow::Ok(())
    });
    runtime.shutdown_background();
    outcome
}

fn run_dev(dev: dev::Dev) -> anyhow::Result<()> {
    levels::begin(levels::read("--logging-level", &dev.logging_level)?, false, None);
    let runtime = runtime()?;
    let outcome = runtime.block_on(dev::run(dev));
    runtime.shutdown_background();
    outcome
}

/// Ctrl-C or SIGTERM, from the moment that it listens: whoever sees the ready file may send one.
pub(crate) struct Told {
    terminate: Signal,
    interrupt: Signal,
}

impl Told {
    pub(crate) fn listen() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Stops all roles; what does not end in time is left behind.
pub(crate) async fn halt(tell: watch::Sender<bool>, all: Vec<Running>) {
    let launchers: Vec<_> = all.iter().filter_map(|running| running.launcher.clone()).collect();
    let tasks = if launchers.is_empty() { "tasks go on" } else { "tasks end too" };
    tracing::info!("stopping; {tasks}");
    tell.send(true).unwrap_or_default();
    for launcher in launchers {
        launcher.stop().await;
    }
    let ended = async {
        for task in all.into_iter().flat_map(|r| r.tasks) {
            task.await.unwrap_or_default();
        }
    };
    if tokio::time::timeout(STOP_TIMEOUT, ended).await.is_err() {
        tracing::warn!("not everything stopped in time");
    }
}
