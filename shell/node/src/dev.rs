//! `mesolite dev`: all roles in one process on one machine. The same machines, the same messages, no sockets between.

use crate::{Running, agent, flags::Values, halt, master, ready, tables, until_told};
use std::{net::IpAddr, path::PathBuf};
use tokio::sync::watch;
use web::link::Local;

pub(crate) const ABOUT: &str = "Starts a whole cluster in one process: master and agents";
const AGENTS_MAX: u16 = 64;

/// Its flags.
#[derive(Debug, clap::Args)]
pub struct Dev {
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
    /// How many agents run
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=AGENTS_MAX as i64))]
    agents: u16,
    /// What each agent offers, for example 'cpus:4;mem:4096;ports:[31000-32000]'; default: an equal share of the machine
    #[arg(long)]
    resources: Option<String>,
    /// Isolators by Mesos' names, comma-separated; default: all that this machine allows
    #[arg(long)]
    isolation: Option<String>,
    /// Write {"master":…,"agents":[…],"pid":N} here the moment all of it serves
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
    all.push(master);
    if let Some(file) = &dev.ready_file {
        let pid = std::process::id();
        ready::write(file, &serde_json::json!({ "master": master_url, "agents": agents, "pid": pid }))?;
    }
    println!("mesolite is up in {}", dev.dir.display());
    println!("  master  {master_url}   scheduler API at /api/v1/scheduler, state at /state");
    for agent in &agents {
        println!("  agent   {agent}");
    }
    println!("Ctrl-C stops it; tasks go on and are found again at the next start.");
    until_told().await?;
    halt(tell, all).await;
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
