//! `mesolite dev`: all roles in one process on one machine. The same machines, the same messages, no sockets between.

use crate::{Running, Told, agent, flags::Values, halt, master, orchestrator, ready, tables};
use cli::{Cluster, Output};
use std::{net::IpAddr, path::PathBuf, time::Duration};
use tokio::{sync::watch, task::JoinSet};
use web::link::Local;

pub(crate) const ABOUT: &str = "Starts a whole cluster in one process: master, agents, orchestrator";
/// How long the apps that it is given may take to be up.
const APPLY_TIMEOUT: Duration = Duration::from_secs(300);
const MASTER_PORT: u16 = 5050;
const MARATHON_PORT: u16 = 8080;
const AGENTS_MAX: u16 = 64;

/// Its flags.
#[derive(Debug, clap::Args)]
pub struct Dev {
    /// Apps to run: files as POST /v2/apps takes them
    files: Vec<PathBuf>,
    /// Where everything is kept
    #[arg(long, default_value = "./mesolite-data")]
    dir: PathBuf,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    bind: IpAddr,
    /// Port of the Mesos master API; 0 = pick one
    #[arg(long, default_value_t = MASTER_PORT)]
    master_port: u16,
    /// Port of the first agent, the next one has the next; 0 = pick any
    #[arg(long, default_value_t = 5051)]
    agent_port: u16,
    /// Port of the Marathon API; 0 = pick one
    #[arg(long, default_value_t = MARATHON_PORT)]
    marathon_port: u16,
    /// How many agents run
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=AGENTS_MAX as i64))]
    agents: u16,
    /// What each agent offers, for example 'cpus:4;mem:4096;ports:[31000-32000]'; ports are divided among the agents; of what is not named, an equal share of the machine
    #[arg(long)]
    resources: Option<String>,
    /// Isolators by Mesos' names, comma-separated; default: all that this machine allows
    #[arg(long)]
    isolation: Option<String>,
    /// Write {"master":…,"agents":[…],"marathon":…,"pid":N} here the moment all of it serves
    #[arg(long)]
    ready_file: Option<String>,
    /// End all tasks, launchers and cgroups when this stops
    #[arg(long)]
    kill_tasks_on_exit: bool,
    /// Least level that is logged: error, warn, info, debug
    #[arg(long, default_value = "warn")]
    pub(crate) logging_level: String,
}

pub(crate) async fn run(dev: Dev) -> anyhow::Result<()> {
    // What can't be read is said before anything starts.
    let files = cli::read_files(&dev.files).map_err(|e| anyhow::anyhow!("{e}"))?;
    let mut stopped = Told::listen()?;
    let (tell, stop) = watch::channel(false);
    let here = Local::default();
    let mut values = tables::MASTER.defaults();
    values.set("ip", dev.bind.to_string());
    values.set("port", dev.master_port.to_string());
    values.say("port", "--master-port");
    values.set("work_dir", dev.dir.join("master").display().to_string());
    let master = master::start(&values, &here, stop.clone()).await?;
    let mut all: Vec<Running> = Vec::new();
    let numbers = agents_to_start(&dev);
    let more: Vec<_> = numbers.iter().filter(|n| **n >= dev.agents).map(|n| format!("agent-{n}")).collect();
    if !more.is_empty() {
        println!("Also starting {}: tasks of an earlier start run there.", more.join(", "));
    }
    let of = numbers.last().map_or(dev.agents, |last| last.saturating_add(1));
    for number in numbers {
        let values = agent_values(&dev, number, of, &master.address.to_string());
        all.push(agent::start(&values, &here, stop.clone()).await?);
    }
    let agents: Vec<_> = all.iter().map(|a| format!("http://{}", a.address)).collect();
    let master_url = format!("http://{}", master.address);
    let mut values = tables::ORCHESTRATOR.defaults();
    values.set("master", master_url.clone());
    values.set("http_address", dev.bind.to_string());
    values.set("http_port", dev.marathon_port.to_string());
    values.say("http_port", "--marathon-port");
    // a second cluster in one directory is a mistake, not a standby
    values.set("ha", "false".to_owned());
    // apps with volumes work without more words
    values.set("resident_role", "marathon".to_owned());
    values.set("work_dir", dev.dir.join("orchestrator").display().to_string());
    let marathon = orchestrator::start(&values, stop.clone()).await?;
    let marathon_url = format!("http://{}", marathon.address);
    all.push(master);
    all.push(marathon);
    if let Some(file) = &dev.ready_file {
        let pid = std::process::id();
        ready::write(
            file,
            &serde_json::json!({ "master": master_url, "agents": agents, "marathon": marathon_url, "pid": pid }),
        )?;
    }
    println!("mesolite is up in {}", dev.dir.display());
    println!("  master    {master_url}");
    for agent in &agents {
        println!("  agent     {agent}");
    }
    println!("  marathon  {marathon_url}");
    let cluster = Cluster::new(&marathon_url, &master_url);
    let told = tokio::select! {
        applied = apply(&cluster, &files) => applied.err(),
        () = stopped.wait() => {
            stopping(&dev);
            halt(tell, all).await;
            return Ok(());
        }
    };
    if let Some(why) = told {
        eprintln!("mesolite: {why}");
    }
    for line in next(&dev, &files, &master_url, &marathon_url) {
        println!("{line}");
    }
    if dev.kill_tasks_on_exit {
        println!("Ctrl-C stops the daemon and ends all tasks.");
    } else {
        println!("Ctrl-C stops the daemon; tasks go on and are found again at the next start.");
    }
    stopped.wait().await;
    stopping(&dev);
    halt(tell, all).await;
    Ok(())
}

fn stopping(dev: &Dev) {
    if dev.kill_tasks_on_exit {
        println!("Stopping, and ending all tasks.");
    } else {
        println!("Stopping; tasks go on. To end them: start again with --kill-tasks-on-exit, then Ctrl-C.");
    }
}

/// Applies the files, waits for all of them at once, and shows where their instances answer.
async fn apply(cluster: &Cluster, files: &[cli::AppFile]) -> Result<(), String> {
    let output = Output::detect(false);
    let mut waiting = JoinSet::new();
    let mut apps = Vec::new();
    let mut late = Vec::new();
    for file in files {
        let applied = match cli::apply(cluster, file, &cli::Change::default(), &output).await {
            Ok(applied) => applied,
            Err(refused) => {
                // The others start all the same.
                late.push(format!("{}: {refused}", file.from));
                continue;
            }
        };
        if applied.kind != cli::Kind::Group {
            apps.push((applied.kind, applied.id));
        }
        let (cluster, deployment) = (cluster.clone(), applied.deployment);
        waiting.spawn(async move { cluster.wait(&deployment, APPLY_TIMEOUT, &output).await });
    }
    while let Some(ended) = waiting.join_next().await {
        if let Ok(Err(failure)) = ended {
            late.push(failure.to_string());
        }
    }
    for (kind, id) in apps {
        show(cluster, kind, &id).await.map_err(|e| e.to_string())?;
    }
    if late.is_empty() { Ok(()) } else { Err(late.join("\n")) }
}

async fn show(cluster: &Cluster, kind: cli::Kind, app: &str) -> Result<(), cli::Failure> {
    let tasks = if kind == cli::Kind::Pod {
        let mut all = cli::pod_tasks(cluster).await?;
        all.retain(|task| task["appId"] == app);
        all
    } else {
        let path = format!("/v2/apps/{}/tasks", app.trim_start_matches('/'));
        let mut answer = cluster.marathon(http::Method::GET, &path, None).await?;
        answer["tasks"].as_array_mut().map(std::mem::take).unwrap_or_default()
    };
    println!("{app}: {} running", tasks.iter().filter(|t| t["state"] == "TASK_RUNNING").count());
    for task in &tasks {
        let host = task["host"].as_str().unwrap_or_default();
        let ports = task["ports"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_u64);
        let urls: Vec<_> = ports.map(|port| format!("http://{host}:{port}")).collect();
        println!("  {}  {}", urls.join(" "), task["id"].as_str().unwrap_or_default());
    }
    Ok(())
}

/// The next three commands to try, as they can be typed here.
fn next(dev: &Dev, files: &[cli::AppFile], master: &str, marathon: &str) -> Vec<String> {
    let mut program = std::env::args().next().unwrap_or_else(|| "mesolite".to_owned());
    if !program.contains('/') {
        program = "mesolite".to_owned();
    }
    if (dev.master_port, dev.marathon_port) != (MASTER_PORT, MARATHON_PORT) || !dev.bind.is_loopback() {
        program += &format!(" --master {master} --marathon {marathon}");
    }
    let about = match files.first().map(|file| (file.kind(), file.app["id"].as_str().unwrap_or_default())) {
        Some((cli::Kind::Group, id)) => format!("group show {id}"),
        Some((cli::Kind::Pod, id)) => format!("pod logs -f {id}"),
        Some((cli::Kind::App, id)) => format!("app logs -f {id}"),
        None => "app apply examples/hello.json".to_owned(),
    };
    let mut lines = vec!["Next, in another terminal:".to_owned()];
    lines.extend(["app list", &about, "run -- echo hello"].map(|what| format!("  {program} {what}")));
    lines
}

/// Those that are asked for, and all others of the directory whose tasks go on: nobody else would look after them.
fn agents_to_start(dev: &Dev) -> Vec<u16> {
    let entries = std::fs::read_dir(&dev.dir).into_iter().flatten().flatten();
    let number =
        |entry: std::fs::DirEntry| entry.file_name().to_str()?.strip_prefix("agent-")?.parse::<u16>().ok();
    let others = entries.filter_map(number).filter(|n| (dev.agents..AGENTS_MAX).contains(n));
    let lives = |n: &u16| containers::lives(&dev.dir.join(format!("agent-{n}")).join("launcher"));
    let mut all: Vec<u16> = (0..dev.agents).chain(others.filter(lives)).collect();
    all.sort_unstable();
    all
}

fn agent_values(dev: &Dev, number: u16, of: u16, master: &str) -> Values {
    let mut values = tables::AGENT.defaults();
    let port = if dev.agent_port == 0 { 0 } else { dev.agent_port.saturating_add(number) };
    values.set("master", master);
    values.set("ip", dev.bind.to_string());
    values.set("port", port.to_string());
    values.say("port", "--agent-port");
    values.set(agent::SHARE, format!("{number}/{of}"));
    values.set("work_dir", dev.dir.join(format!("agent-{number}")).display().to_string());
    values.set("kill-tasks-on-exit", dev.kill_tasks_on_exit.to_string());
    if let Some(isolation) = &dev.isolation {
        values.set("isolation", isolation.clone());
    }
    if let Some(resources) = &dev.resources {
        values.set("resources", resources.clone());
    }
    values
}
