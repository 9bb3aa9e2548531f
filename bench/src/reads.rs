//! A1: the master's large documents while many poll them, and what that does to an offer. The master is the real one;
//! agents and tasks are only said to be there, by messages of agents that come back, over a real socket.

use crate::{
    Figure, Options,
    client::{Scheduler, Seen},
    daemon::{Cores, Daemon},
    pollers::{Plain, Polls, connect, get, loopback},
    report::Target,
    stats::{median, percentile},
};
use bytes::Bytes;
use http::Response;
use model::{
    link::{Envelope, Upid},
    mesos::{
        AgentId, AgentInfo, ContainerId, ContainerStatus, FrameworkId, FrameworkInfo, OfferId, Task, TaskId,
        TaskState, TaskStatus, agent_info, internal,
    },
    resources::Resources,
};
use serde_json::Value;
use std::{
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use web::{
    Limits, Reply,
    link::{Link, Local},
};

const AGENTS: usize = 20_000;
const TASKS_EACH: usize = 10;
const FRAMEWORKS: usize = 1_000;
const POLLERS: usize = 20;
/// Offers that are timed, and how far apart they are asked for.
const OFFERS: usize = 300;
const PACE: Duration = Duration::from_millis(10);
const READS: usize = 9;
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(500);

/// A1.
pub fn reads(options: &Options) -> Result<Vec<Figure>, String> {
    let cores = Cores::split()?;
    Cores::bind(&cores.client)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|e| format!("no runtime: {e}"))?;
    let outcome = rows(options, &cores, &runtime);
    runtime.shutdown_background();
    cores.release()?;
    outcome
}

fn rows(options: &Options, cores: &Cores, runtime: &tokio::runtime::Runtime) -> Result<Vec<Figure>, String> {
    let agents = options.count(AGENTS, 20);
    let daemon =
        Daemon::master(&options.binary, &cores.server, &["--agent_ping_timeout=3600secs".to_owned()])?;
    let (stop, stopped) = watch::channel(false);
    let begun = Instant::now();
    runtime.block_on(populate(&daemon.master, agents, stopped))?;
    await_numbers(&daemon.master, agents)?;
    let admitted = begun.elapsed().as_secs_f64();
    let scheduler = Scheduler::subscribe(&daemon.master, "bench")?;
    let mut offer = next_offer(&scheduler)?;
    let mut connection = connect(&daemon.master)?;
    let one = |connection: &mut TcpStream, path: &str| {
        let begun = Instant::now();
        let bytes = get(connection, &daemon.master, path, false)?;
        Ok::<_, String>((begun.elapsed().as_secs_f64() * 1e3, bytes))
    };
    let (first, bytes) = one(&mut connection, "/state")?;
    let mut figures = vec![Figure::plain(
        format!("{agents} agents and {} tasks come back", agents * TASKS_EACH),
        "s",
        vec![admitted],
        Target::None,
    )];
    figures.push(Figure::plain(
        format!("first /state, {:.0} MB", bytes as f64 / 1e6),
        "ms",
        vec![first],
        Target::None,
    ));
    for path in ["/state", "/state-summary", "/slaves", "/frameworks"] {
        let (mut times, mut limits) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds(READS) {
            // Something changes between two reads, or nothing had to be drawn.
            offer = again(&scheduler, offer)?;
            let (time, bytes) = one(&mut connection, path)?;
            times.push(time);
            limits.push(loopback(bytes)?);
        }
        let target = if path == "/state" { Target::AtMost(300.0) } else { Target::None };
        let mut figure = Figure::plain(format!("{path} after a change"), "ms", times, target);
        let limit = median(&limits);
        (figure.limit, figure.ratio) = (Some((limit, "its bytes over loopback")), Some(limit / figure.value));
        figures.push(figure);
    }
    let offers = options.count(OFFERS, 3);
    let quiet = latencies(&scheduler, &mut offer, offers)?;
    let polls = Polls::start(&daemon.master, "/state", options.count(POLLERS, 2), false);
    thread::sleep(Duration::from_secs(options.count(2, 0) as u64));
    let polled = latencies(&scheduler, &mut offer, offers)?;
    let (times, rate) = polls.end()?;
    figures.push(Figure::plain("20 pollers: /state p50", "ms", vec![median(&times)], Target::None));
    figures.push(Figure::plain("20 pollers: /state p99", "ms", vec![percentile(&times, 99.0)], Target::None));
    figures.push(Figure::plain("20 pollers: sent", "MB/s", vec![rate / 1e6], Target::None));
    let polls = Polls::start(&daemon.master, "/state", options.count(POLLERS, 2), true);
    thread::sleep(Duration::from_secs(options.count(4, 0) as u64));
    let packed = latencies(&scheduler, &mut offer, offers)?;
    let (times, _) = polls.end()?;
    figures.push(Figure::plain("20 pollers, gzip: /state p50", "ms", vec![median(&times)], Target::None));
    // What the same reading costs an offer where nothing of it is mesolite's: a plain server beside it, on its cores.
    let plain = Plain::start(cores.server.clone(), bytes)?;
    let polls = Polls::start(&plain.address.to_string(), "/", options.count(POLLERS, 2), false);
    thread::sleep(Duration::from_secs(options.count(2, 0) as u64));
    let beside = latencies(&scheduler, &mut offer, offers)?;
    let (times, rate) = polls.end()?;
    drop(plain);
    let name = |what: &str| format!("20 pollers of a plain server: {what}");
    figures.push(Figure::plain(name("p50"), "ms", vec![median(&times)], Target::None));
    figures.push(Figure::plain(name("sent"), "MB/s", vec![rate / 1e6], Target::None));
    for (what, all) in [
        ("nobody polls", &quiet),
        ("20 poll /state", &polled),
        ("20 poll it, gzip", &packed),
        ("20 poll a plain server", &beside),
    ] {
        for (name, percent) in [("p50", 50.0), ("p99", 99.0)] {
            let value = percentile(all, percent);
            figures.push(Figure::plain(format!("offer {name}, {what}"), "ms", vec![value], Target::None));
        }
    }
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", daemon.processes()[0])).unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    let resident =
        resident.and_then(|kib| kib.trim().parse::<f64>().ok()).ok_or("the master's memory is not known")?;
    figures.push(Figure::plain("resident master", "MiB", vec![resident / 1024.0], Target::None));
    drop(stop);
    Ok(figures)
}

/// Agents that come back with their tasks, and one more with something free.
async fn populate(master: &str, agents: usize, stop: watch::Receiver<bool>) -> Result<(), String> {
    let master: SocketAddr = master.parse().map_err(|e| format!("the master's address {master}: {e}"))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let (link, exits) = Link::new(address, Local::default());
    // What the master says to them is taken, and that is all.
    let taken = |_| async {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = http::StatusCode::ACCEPTED;
        Reply::Full(response)
    };
    tokio::spawn(web::serve(listener, Limits::default(), stop.clone(), taken));
    for number in 0..=agents {
        let tasks = if number == agents { 0 } else { TASKS_EACH };
        let message = returning(number, tasks).into();
        let from = Upid::new(format!("slave({number})"), address);
        link.send(Envelope { from, to: Upid::new("master", master), message });
    }
    tokio::spawn(async move {
        let mut stop = stop;
        let kept = (link, exits);
        let _ = stop.wait_for(|stop| *stop).await;
        drop(kept);
    });
    Ok(())
}

fn framework(number: usize) -> FrameworkId {
    FrameworkId { value: format!("bench-{:04}", number % FRAMEWORKS) }
}

fn returning(number: usize, tasks: usize) -> internal::ReregisterSlaveMessage {
    use agent_info::capability::Type as Can;
    let id = AgentId { value: format!("bench-S{number:05}") };
    let each = Resources::scalars([("cpus", 0.5), ("mem", 128.0), ("disk", 64.0)]);
    let total = if tasks == 0 { each } else { (0..tasks).map(|_| &each).sum() };
    let tasks: Vec<Task> = (0..tasks).map(|n| task(number * TASKS_EACH + n, &id)).collect();
    let frameworks = tasks.iter().map(|task| FrameworkInfo {
        id: Some(task.framework_id.clone()),
        user: "root".to_owned(),
        name: format!("framework of {}", task.framework_id.value),
        failover_timeout: Some(1e6),
        checkpoint: Some(true),
        ..Default::default()
    });
    internal::ReregisterSlaveMessage {
        frameworks: frameworks.collect(),
        slave: AgentInfo {
            id: Some(id),
            hostname: format!("host-{number:05}.example.org"),
            port: Some(5051),
            resources: total.to_messages(),
            checkpoint: Some(true),
            ..Default::default()
        },
        tasks,
        version: Some("1.11.0".to_owned()),
        agent_capabilities: [Can::MultiRole, Can::HierarchicalRole, Can::ReservationRefinement]
            .map(|t| agent_info::Capability { r#type: Some(t.into()) })
            .to_vec(),
        ..Default::default()
    }
}

fn task(number: usize, agent: &AgentId) -> Task {
    let task_id = TaskId { value: format!("service-{}.instance-{number:032x}._app.1", number % FRAMEWORKS) };
    let status = |state: TaskState| {
        let mut status = TaskStatus {
            task_id: task_id.clone(),
            agent_id: Some(agent.clone()),
            timestamp: Some(1.7e9 + number as f64 / 1e3),
            container_status: Some(ContainerStatus {
                container_id: Some(ContainerId { value: format!("{number:032x}"), parent: None }),
                ..Default::default()
            }),
            uuid: Some(vec![number as u8; 16]),
            ..Default::default()
        };
        status.set_state(state);
        status
    };
    let resources = Resources::scalars([("cpus", 0.5), ("mem", 128.0), ("disk", 64.0)]);
    let mut task = Task {
        name: format!("service-{}", number % FRAMEWORKS),
        framework_id: framework(number),
        agent_id: agent.clone(),
        resources: resources.allocate("*", model::resources::Format::Both),
        statuses: vec![status(TaskState::TaskStarting), status(TaskState::TaskRunning)],
        user: Some("root".to_owned()),
        task_id,
        ..Default::default()
    };
    task.set_state(TaskState::TaskRunning);
    task.status_update_state = Some(TaskState::TaskRunning.into());
    task
}

fn await_numbers(master: &str, agents: usize) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let text = crate::client::get(master, "/metrics/snapshot")?;
        let values: Value = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
        let number = |name: &str| values[name].as_f64().unwrap_or_default() as usize;
        let found = (number("master/slaves_active"), number("master/tasks_running"));
        if found == (agents + 1, agents * TASKS_EACH) {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(format!("of {agents} agents and their tasks there are {found:?}"));
        }
        thread::sleep(LOOK);
    }
}

fn next_offer(scheduler: &Scheduler) -> Result<OfferId, String> {
    match scheduler.seen.recv_timeout(PATIENCE) {
        Ok(Seen::Offer { id, .. }) => Ok(id),
        Ok(other) => Err(format!("instead of an offer came {other:?}")),
        Err(_) => Err("no offer came".to_owned()),
    }
}

/// Declines an offer for good, asks for all again, and waits for it.
fn again(scheduler: &Scheduler, offer: OfferId) -> Result<OfferId, String> {
    scheduler.decline_and_revive(offer)?;
    next_offer(scheduler)
}

/// Milliseconds from DECLINE and REVIVE to the offer, so many times, at an even pace or as fast as they come.
fn latencies(scheduler: &Scheduler, offer: &mut OfferId, count: usize) -> Result<Vec<f64>, String> {
    let begun = Instant::now();
    let mut all = Vec::with_capacity(count);
    for n in 0..count {
        let due = begun + PACE * n as u32;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let asked = Instant::now();
        *offer = again(scheduler, offer.clone())?;
        all.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    Ok(all)
}
