//! `mesolite dev`: all roles in one process on one machine. The same machines, the same messages, no sockets between.

use crate::{Running, agent, flags::Values, halt, master, orchestrator, ready, tables, until_told};
use cli::{Cluster, Output};
use std::{net::IpAddr, path::PathBuf, time::Duration};
use tokio::sync::watch;
use web::link::Local;

pub(crate) const ABOUT: &str = "Starts a whole cluster in one process: master, agents, orchestrator";
/// How long the apps that it is given may take to be up.
const APPLY_TIMEOUT: Duration = Duration::from_secs(300);
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
    #[arg(long, default_value_t = 5050)]
    master_port: u16,
    /// Port of the first agent, the next one has the next; 0 = pick any
    #[arg(long, default_value_t = 5051)]
    agent_port: u16,
    /// Port of the Marathon API; 0 = pick one
    #[arg(long, default_value_t = 8080)]
    marathon_port: u16,
    /// How many agents run
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=AGENTS_MAX as i64))]
    agents: u16,
    /// What each agent offers, for example 'cpus:4;mem:4096;ports:[31000-32000]'; default: an equal share of the machine
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
    let (tell, stop) = watch::channel(false);
    let here = Local::default();
    let mut values = tables::MASTER.defaults();
    values.set("ip", dev.bind.to_string());
    values.set("port", dev.master_port.to_string());
    values.set("work_dir", dev.dir.join("master").display().to_string());
    let master = master::start(&values, &here, stop.clone()).await?;
    let mut all: Vec<Running> = Vec::new();
    for number in 0..dev.agents {
        let values = agent_values(&dev, number, &master.address.to_string());
        all.push(agent::start(&values, &here, stop.clone()).await?);
    }
    let agents: Vec<_> = all.iter().map(|a| format!("http://{}", a.address)).collect();
    let master_url = format!("http://{}", master.address);
    let mut values = tables::ORCHESTRATOR.defaults();
    values.set("master", master_url.clone());
    values.set("http_address", dev.bind.to_string());
    values.set("http_port", dev.marathon_port.to_string());
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
        told = until_told() => {
            told?;
            halt(tell, all).await;
            return Ok(());
        }
    };
    if let Some(why) = told {
        eprintln!("mesolite: {why}");
    }
    println!("Try: mesolite app list | mesolite app why ID | mesolite run -- echo hello");
    println!("Ctrl-C stops the daemon; tasks go on and are found again at the next start.");
    until_told().await?;
    halt(tell, all).await;
    Ok(())
}

/// Applies the files and shows where their instances answer.
async fn apply(cluster: &Cluster, files: &[cli::AppFile]) -> Result<(), String> {
    let output = Output::detect(false);
    for file in files {
        let applied = cli::apply(cluster, file, false, &output).await.map_err(|e| e.to_string())?;
        cluster.wait(&applied.deployment, APPLY_TIMEOUT, &output).await.map_err(|e| e.to_string())?;
        println!("{} runs:", applied.id);
        let path = format!("/v2/apps{}/tasks", applied.id);
        let tasks = cluster.marathon(http::Method::GET, &path, None).await.map_err(|e| e.to_string())?;
        for task in tasks["tasks"].as_array().into_iter().flatten() {
            let host = task["host"].as_str().unwrap_or_default();
            let ports = task["ports"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_u64);
            let urls: Vec<_> = ports.map(|port| format!("http://{host}:{port}")).collect();
            println!("  {}  {}", task["id"].as_str().unwrap_or_default(), urls.join(" "));
        }
    }
    Ok(())
}

fn agent_values(dev: &Dev, number: u16, master: &str) -> Values {
    let mut values = tables::AGENT.defaults();
    let port = if dev.agent_port == 0 { 0 } else { dev.agent_port.saturating_add(number) };
    values.set("master", master);
    values.set("ip", dev.bind.to_string());
    values.set("port", port.to_string());
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
