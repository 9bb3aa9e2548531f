//! Commands for people: arguments in, requests to the public APIs, tables or JSON out, exit codes that scripts can use.
//!
//! Never: anything that a client of Marathon or Mesos could not do too.

mod apply;
mod apps;
mod args;
mod attach;
mod cluster;
mod deployments;
mod diff;
mod events;
mod failure;
mod groups;
mod history;
mod import;
mod logs;
mod nodes;
mod oneoff;
mod output;
mod pods;
mod tasks;
mod terminal;
mod top;
mod why;

pub use apply::{AppFile, Applied, Kind, apply, read_files};
pub use args::{
    App, Apply, Change, Cmd, Deployment, Group, Logs, Node, Opts, Pod, Rollback, Run, Scale, Sort, Task, Top,
    Whole,
};
pub use cluster::Cluster;
pub use failure::{Failure, exit};
pub use output::Output;
pub use pods::as_tasks as pod_tasks;

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
        Cmd::Pod(pod) => pods::perform(pod, cluster, output).await,
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
