//! `mesolite agent`: an agent machine, its store, its launcher, its port, its link.

mod containers;

use crate::{
    Running, Stop, address,
    attach::Desk,
    chronicle::Tasks,
    closed,
    complain::Complaints,
    driver::{Driven, Saver, drive_observed, now, system_rng},
    flags::{Refused, Values},
    hub::{Hub, Readers, Style},
    machine::{self, Share},
    messages::{Came, sort},
    perform::Tools,
};
use ::containers::{Isolation, Known, Launcher, Meter, Options};
use agent::{Agent, Config, Effect, Input, Keep};
use anyhow::Context as _;
use base::{Duration, Now};
use endpoints::{Arrived, Perform, Routed};
use model::{link::Upid, request::Answer};
use std::{path::Path, sync::Arc};
use tokio::sync::mpsc;
use web::{
    Limits, Reply,
    link::{Link, Local},
};

const COMPLETED_TASKS_MAX: usize = 1000;
const DISK_WATCH_INTERVAL: Duration = Duration::from_secs(60);
/// Where `dev` says which part of the machine an agent has; no flag.
pub(crate) const SHARE: &str = "share";

/// Starts an agent; it serves when this returns, and registers by itself.
pub async fn start(values: &Values, here: &Local, stop: Stop) -> anyhow::Result<Running> {
    let master = values.get("master").ok_or_else(|| Refused("--master=HOST:PORT is required".to_owned()))?;
    let master = address::resolve(master).await?;
    let address = address::listen(values, "ip", "port", 5051)?;
    let cgroups_root = values.get("cgroups_root").unwrap_or("mesos").to_owned();
    let cgroup_mount = values.get("cgroups_hierarchy").unwrap_or("/sys/fs/cgroup");
    let (isolation, warnings) =
        Isolation::choose(values.get("isolation"), Path::new(cgroup_mount), &cgroups_root)
            .map_err(Refused)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let listener = web::bind(address, &values.flag("port")).await?;
    let address = address::advertised(values, listener.local_addr()?, Some(master))?;
    let work_dir = Path::new(values.get("work_dir").unwrap_or("./mesolite-data/agent"));
    std::fs::create_dir_all(work_dir)
        .with_context(|| format!("--work_dir: can't make {}", work_dir.display()))?;
    let work_dir = work_dir.canonicalize()?;
    let store = Arc::new(store::Store::open(work_dir.join("meta"))?);
    let records = store.records("")?;
    let share = Share::read(values.get(SHARE));
    let told = values.get("resources").unwrap_or_default();
    let default_role = values.get("default_role").unwrap_or("*");
    let resources = machine::resources(told, default_role, &work_dir, share).map_err(Refused)?;
    let firewall = closed::firewall(values, "slave(1)")?;
    let mut flags = values.all().clone();
    closed::say(&firewall, &mut flags);
    let config = Config {
        address,
        hostname: values.get("hostname").map_or_else(|| address.ip().to_string(), str::to_owned),
        work_dir: work_dir.display().to_string(),
        resources: resources.to_messages(),
        attributes: machine::attributes(values.get("attributes").unwrap_or_default()).map_err(Refused)?,
        domain: crate::allocation::domain(values)?,
        flags,
        registration_backoff: values
            .duration("registration_backoff_factor")
            .unwrap_or(Duration::from_millis(100)),
        environment: machine::environment(values.get("executor_environment_variables")).map_err(Refused)?,
        users: users(values),
        cpu_quota: values.on("cgroups_enable_cfs"),
        boot_id: machine::boot_id(),
        completed_tasks_max: COMPLETED_TASKS_MAX,
        keep: keep(values)?,
        executors: executor_times(values),
        master_hostname: machine::name_of(master.ip()),
    };
    if let Some(why) = Agent::misfit(&config, &records) {
        anyhow::bail!(why);
    }
    let options = Options {
        dir: work_dir.join("launcher"),
        command: vec![std::env::current_exe()?.display().to_string(), "launcher".to_owned()],
        isolation,
        cgroup_mount: cgroup_mount.into(),
        cgroups_root,
    };
    let tools = Tools { more: Arc::new(Vec::new), meter: Some(Meter::new(&options)) };
    let (launcher, known, words) =
        Launcher::start(options.clone()).await.context("the launcher does not start")?;
    let mut rng = system_rng();
    let machine = Agent::new(config, &records, Now::new(now(), &mut rng));
    let (link, mut exits) = Link::new(address, here.clone());
    // Bounded by the machine, which has one order in flight for each container.
    let (orders, queue) = mpsc::unbounded_channel();
    let (hub, mut closed) = Hub::new(Style {
        frame: endpoints::agent::frame,
        media_type: api::call::media_type,
        last_words: |_, _| None,
        readers: Readers::Partners,
    });
    let performing = (hub.clone(), link.clone());
    let mut told = Tasks::default();
    let (driven, task) = drive_observed(
        machine,
        rng,
        || Input::Tick,
        stop.clone(),
        |driven| {
            let saver = Saver::start(store, driven.inbox(), |save, outcome| match outcome {
                Ok(()) => Input::Saved { save },
                Err(why) => Input::SaveFailed { save, why },
            });
            let (hub, link) = performing;
            Box::new(move |effect| match effect {
                Effect::Send(envelope) => link.send(*envelope),
                Effect::Http(http) => hub.perform(http),
                Effect::Respond { request, codec, response } => {
                    hub.respond(request, endpoints::agent::respond(&response, codec));
                }
                Effect::Link(Upid { address, .. }) => link.link(address),
                Effect::Save { save, batch } => saver.save(save, batch),
                order => orders.send(order).unwrap_or_default(),
            })
        },
        move |agent, _| told.of(agent).iter().for_each(|line| tracing::info!("{line}")),
    );
    let (current, now_living) = tokio::sync::watch::channel(launcher.clone());
    tokio::spawn(containers::keep(driven.clone(), queue, words, current, options, stop.clone()));
    let Known { running, starting, ended } = known;
    let recovered = format!("{} running containers, {} ended", running.len(), ended.len());
    driven.send(Input::Recovered { running, starting, ended }).await;
    driven.send(Input::MasterDetected(Some(Upid::new("master", master)))).await;
    tokio::spawn(watch_master(driven.clone(), stop.clone()));
    let pause = values.duration("disk_watch_interval").unwrap_or(DISK_WATCH_INTERVAL);
    tokio::spawn(watch_disk(driven.clone(), work_dir.clone(), pause, stop.clone()));
    let inbox = driven.clone();
    let mut in_process = here.register(address);
    let streams = hub.clone();
    tokio::spawn(async move {
        loop {
            let input = tokio::select! {
                Some(exit) = exits.recv() => Input::Exited { peer: exit.peer },
                Some(stream) = closed.recv() => {
                    streams.forget(stream);
                    Input::StreamClosed { stream }
                }
                Some(envelope) = in_process.recv() => Input::Message(Box::new(envelope)),
                else => return,
            };
            inbox.send(input).await;
        }
    });
    let desk = Desk { driven: driven.clone(), hub: hub.clone(), launcher: now_living };
    let attached: Arc<[_]> = crate::levels::attached(values.get("log_dir"), "agent").into();
    let leaving = driven.clone();
    let (tell_over, over) = tokio::sync::oneshot::channel();
    let alone = values.get(SHARE).is_none();
    tokio::spawn(watch_dismissal(driven.clone(), alone.then_some(tell_over)));
    let leave: crate::Leave = Box::new(move || Box::pin(leave(leaving)));
    let handler = move |mut incoming: web::Incoming| {
        let (driven, hub, desk) = (driven.clone(), hub.clone(), desk.clone());
        let (tools, attached, firewall) = (tools.clone(), attached.clone(), firewall.clone());
        async move {
            if let Some(upload) = incoming.upload.take()
                && endpoints::agent::is_api(incoming.request.uri().path())
            {
                if let Some(refusal) = firewall.refuses(incoming.request.uri().path()) {
                    return Reply::Full(refusal);
                }
                return desk.input(&incoming.request, upload).await;
            }
            let incoming = match sort(incoming, |id| id == "slave(1)") {
                Came::Message(envelope, reply) => {
                    driven.send(Input::Message(envelope)).await;
                    return reply;
                }
                Came::Answered(reply) => return reply,
                Came::Request(incoming) => incoming,
            };
            if let Some(refusal) = firewall.refuses(incoming.request.uri().path()) {
                return Reply::Full(refusal);
            }
            let arrived = Arrived { id: incoming.id, peer: Some(incoming.peer), request: incoming.request };
            let routed = endpoints::agent::route(&arrived, &driven.read(), &attached);
            match routed {
                Routed::Respond(response) => Reply::Full(response),
                Routed::Perform(Perform::Session { container, call, style }) => {
                    // Goes on though its client has gone meanwhile: only then it is ended.
                    let session =
                        tokio::spawn(async move { desk.session(arrived.id, container, call, style).await });
                    session.await.unwrap_or_else(|error| {
                        Reply::Full(endpoints::render(Answer::text(500, error.to_string())))
                    })
                }
                Routed::Perform(Perform::Output { container, style }) => desk.output(container, style).await,
                Routed::Perform(perform) => tools.perform(perform).await,
                Routed::Step(input) => {
                    let answer = hub.expect(arrived.id);
                    driven.send(input).await;
                    crate::answered(answer).await
                }
            }
        }
    };
    let server = tokio::spawn(web::serve(listener, Limits::default(), stop, handler));
    tracing::info!(%address, %master, recovered, "agent serves");
    let kill = values.on("kill-tasks-on-exit").then_some(launcher);
    Ok(Running { address, tasks: vec![task, server], launcher: kill, leave: Some(leave), over: Some(over) })
}

/// How long tasks and the farewell may take when an agent leaves.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(30);
const LEAVE_PAUSE: Duration = Duration::from_millis(50);

/// Ends all tasks and tells the master; ends when no container runs any more.
async fn leave(driven: Driven<Agent>) {
    driven.send(Input::Unregister).await;
    let gone = async {
        loop {
            tokio::time::sleep(LEAVE_PAUSE).await;
            if driven.read().is_idle() {
                return;
            }
        }
    };
    if tokio::time::timeout(LEAVE_TIMEOUT, gone).await.is_err() {
        tracing::warn!("not all tasks ended in {LEAVE_TIMEOUT:?} (LEAVE_TIMEOUT)");
    }
}

/// How often it is looked whether the master has told this agent to shut down.
const DISMISSAL_WATCH: Duration = Duration::from_millis(500);
/// An agent that shares its process with others and was told to shut down tries again after this: as a supervisor would.
const START_AGAIN_AFTER: Duration = Duration::from_secs(15);

/// Says that the master has told this agent to shut down. Once nothing runs any more its process may end (`over`), or, in a
/// process with others, it tries again.
async fn watch_dismissal(driven: Driven<Agent>, mut over: Option<tokio::sync::oneshot::Sender<()>>) {
    let mut said = false;
    loop {
        tokio::time::sleep(DISMISSAL_WATCH).await;
        let (why, master, idle) = {
            let agent = driven.read();
            let Some(why) = agent.told_to_shut_down().map(str::to_owned) else {
                said = false;
                continue;
            };
            let master = agent.master().map(|m| m.address.to_string()).unwrap_or_default();
            (why, master, agent.is_idle())
        };
        if !std::mem::replace(&mut said, true) {
            tracing::error!(master, why, "told to shut down by the master: all tasks end");
        }
        if !idle {
            continue;
        }
        if let Some(over) = over.take() {
            // The receiver goes away only with the process.
            over.send(()).unwrap_or_default();
            return;
        }
        tokio::time::sleep(START_AGAIN_AFTER).await;
        driven.send(Input::StartAgain).await;
    }
}

fn remove_of(removals: &[agent::Removal]) -> Vec<(String, bool)> {
    removals.iter().map(|r| (r.path.clone(), r.keep_root)).collect()
}

/// As whom tasks run: only root can become others.
fn users(values: &Values) -> agent::Users {
    if !values.on("switch_user") {
        return agent::Users::Own;
    }
    let own = rustix::process::geteuid();
    if own.is_root() {
        return agent::Users::Named;
    }
    let id = own.as_raw();
    agent::Users::Only { name: crate::files::name_of("/etc/passwd", id), id }
}

fn executor_times(values: &Values) -> agent::ExecutorTimes {
    let default = agent::ExecutorTimes::default();
    let time = |name: &str, default| values.duration(name).unwrap_or(default);
    agent::ExecutorTimes {
        registration_timeout: time("executor_registration_timeout", default.registration_timeout),
        reregistration_timeout: time("executor_reregistration_timeout", default.reregistration_timeout),
        shutdown_grace_period: time("executor_shutdown_grace_period", default.shutdown_grace_period),
    }
}

pub(crate) fn keep(values: &Values) -> anyhow::Result<Keep> {
    let default = Keep::default();
    let headroom = match values.get("gc_disk_headroom") {
        Some(text) => text.parse().ok().filter(|part| (0.0..=1.0).contains(part)).ok_or_else(|| {
            let flag = values.flag("gc_disk_headroom");
            Refused(format!("{flag}: '{text}' is wrong: a part of the disk from 0 to 1"))
        })?,
        None => default.headroom,
    };
    Ok(Keep { delay: values.duration("gc_delay").unwrap_or(default.delay), headroom })
}

/// How often it is looked whether the master knows this agent.
const MASTER_WATCH: Duration = Duration::from_secs(1);

/// Says when the agent is registered and when it is not.
async fn watch_master(driven: Driven<Agent>, mut stop: Stop) {
    let mut complaints = Complaints::default();
    let mut was = false;
    while tokio::time::timeout(MASTER_WATCH, stop.wait_for(|stop| *stop)).await.is_err() {
        let (is, id, master) = {
            let agent = driven.read();
            let id = agent.info().id.as_ref().map(|id| id.value.clone()).unwrap_or_default();
            (agent.is_registered(), id, agent.master().map(|m| m.address.to_string()).unwrap_or_default())
        };
        if is {
            if !was {
                tracing::info!(id, master, "registered with the master");
            }
            complaints.end();
        } else if complaints.due(std::time::Instant::now()) {
            let said =
                if was { "the master is lost" } else { "the master can't be reached, or does not answer" };
            tracing::warn!(master, "{said}; it is tried again and again");
        }
        was = is;
    }
}

/// Tells how full the disk is, now and then.
async fn watch_disk(driven: Driven<Agent>, path: std::path::PathBuf, pause: Duration, mut stop: Stop) {
    loop {
        match rustix::fs::statvfs(&path) {
            Ok(disk) if disk.f_blocks > 0 => {
                let part = disk.f_blocks.saturating_sub(disk.f_bfree) as f64 / disk.f_blocks as f64;
                driven.send(Input::DiskUsed { part }).await;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "how full the disk of the sandboxes is can't be seen"),
        }
        if tokio::time::timeout(pause, stop.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
    }
}

/// Completes when everything is to stop.
async fn stopped(stop: &mut Stop) {
    // A closed channel means the same.
    stop.wait_for(|stop| *stop).await.map(drop).unwrap_or_default();
}
