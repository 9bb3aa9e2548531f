//! `mesolite orchestrator`: an orchestrator machine, its store, its port, its subscription at a master.

use crate::{
    Running, Stop, address,
    complain::Complaints,
    driver::{Driven, Saver, drive, now, system_rng},
    flags::{Refused, Values},
    hub::{Hub, Readers, Style},
    lists::Lists,
};
use base::Duration;
use bytes::Bytes;
use endpoints::{
    Arrived, Routed,
    orchestrator::{Identity, lists},
};
use model::{
    mesos::scheduler::{Call, call::Type},
    request::Codec,
};
use orchestrator::{Config, Effect, Input, Orchestrator, config::Accepted};
use std::{path::Path, sync::Arc};
use tokio::sync::mpsc;
use web::{
    Limits, Reply,
    scheduler::{Caller, Received, connect},
};

/// Between two attempts to reach a master.
const RECONNECT: Duration = Duration::from_millis(500);

/// Between two beats on event streams, and what is sent: Marathon's come from Jetty's `EventSourceServlet`.
const BEAT: Duration = Duration::from_secs(10);
const BEAT_BYTES: Bytes = Bytes::from_static(b"\r\n");

/// Starts an orchestrator; it serves when this returns, and subscribes by itself.
pub async fn start(values: &Values, stop: Stop) -> anyhow::Result<Running> {
    let master = values.get("master").ok_or_else(|| Refused("--master=HOST:PORT is required".to_owned()))?;
    if !master.starts_with("https://") {
        address::resolve(master).await?;
    }
    let master = if master.contains("://") { master.to_owned() } else { format!("http://{master}") };
    let address = address::listen(values, "http_address", "http_port", 8080)?;
    let listener = web::bind(address, &values.flag("http_port")).await?;
    let address = address::advertised(values, listener.local_addr()?, None)?;
    let store = Arc::new(store::Store::open(Path::new(
        values.get("work_dir").unwrap_or("./mesolite-data/orchestrator"),
    ))?);
    let records = store.records("")?;
    let hostname = values.get("hostname").map_or_else(|| address.ip().to_string(), str::to_owned);
    let defaults = Config::default();
    let millis = |name: &str, default: Duration| values.number(name).map_or(default, Duration::from_millis);
    let port_of =
        |name: &str, default: u16| values.number(name).and_then(|n| u16::try_from(n).ok()).unwrap_or(default);
    let config = Config {
        framework_name: values.get("framework_name").map_or(defaults.framework_name, str::to_owned),
        user: values.get("mesos_user").map_or(defaults.user, str::to_owned),
        role: values.get("mesos_role").map_or(defaults.role, str::to_owned),
        resident_role: values.get("resident_role").map(str::to_owned),
        failover_timeout: values
            .number("failover_timeout")
            .map_or(defaults.failover_timeout, Duration::from_secs),
        hostname: hostname.clone(),
        http_port: address.port(),
        local_port_min: port_of("local_port_min", defaults.local_port_min),
        local_port_max: port_of("local_port_max", defaults.local_port_max),
        decline_offer_duration: millis("decline_offer_duration", defaults.decline_offer_duration),
        task_launch_timeout: millis("task_launch_timeout", defaults.task_launch_timeout),
        task_launch_confirm_timeout: millis(
            "task_launch_confirm_timeout",
            defaults.task_launch_confirm_timeout,
        ),
        webui_url: values.get("webui_url").map(str::to_owned),
        reconciliation_interval: millis("reconciliation_interval", defaults.reconciliation_interval),
        env_vars_prefix: values.get("env_vars_prefix").map(str::to_owned),
        default_network_name: values.get("default_network_name").map(str::to_owned),
        mesos_bridge_name: values.get("mesos_bridge_name").map_or(defaults.mesos_bridge_name, str::to_owned),
        features: listed(values, "enable_features").into_iter().collect(),
        new_group_enforce_role: one_of(values, "new_group_enforce_role", &["off", "top"])? == Some("top"),
        default_accepted_roles: Some(listed(values, "default_accepted_resource_roles"))
            .filter(|roles| !roles.is_empty()),
        accepted_behavior: match one_of(
            values,
            "accepted_resource_roles_default_behavior",
            &["any", "unreserved", "reserved"],
        )? {
            Some("unreserved") => Accepted::Unreserved,
            Some("reserved") => Accepted::Reserved,
            _ => Accepted::Any,
        },
        gpus_restricted: one_of(values, "gpu_scheduling_behavior", &["restricted", "unrestricted"])?
            != Some("unrestricted"),
        max_running_deployments: number_of(
            values,
            "max_running_deployments",
            defaults.max_running_deployments,
        ),
        max_apps: Some(number_of(values, "max_apps", 0)).filter(|most| *most > 0),
        ..Config::default()
    };
    let who =
        Arc::new(Identity { leader: format!("{hostname}:{}", address.port()), flags: values.all().clone() });
    let machine = Orchestrator::new(config, records, now());
    let style = Style {
        frame: endpoints::orchestrator::frame,
        media_type: endpoints::orchestrator::media_type,
        last_words: |why, _| Some(endpoints::orchestrator::last_words(why, now())),
        readers: Readers::Spectators,
    };
    let (hub, mut closed) = Hub::new(style);
    // Bounded by the machine, which waits for events before it calls on.
    let (calls, queue) = mpsc::unbounded_channel();
    let performing = hub.clone();
    let (driven, task) = drive(
        machine,
        system_rng(),
        || Input::Tick,
        stop.clone(),
        |driven| {
            let saver = Saver::start(store, driven.inbox(), |save, outcome| match outcome {
                Ok(()) => Input::Saved { save },
                Err(why) => Input::SaveFailed { save, why },
            });
            let hub = performing;
            Box::new(move |effect| match effect {
                Effect::Call(call) => calls.send(*call).unwrap_or_default(),
                Effect::Http(http) => hub.perform(http),
                Effect::Save { save, batch } => saver.save(save, batch),
                Effect::Measure { app, agent } => {
                    let driven = driven.clone();
                    tokio::spawn(async move {
                        if let Some(usages) = usages_of(&agent).await {
                            driven.send(Input::Measured { app, usages }).await;
                        }
                    });
                }
                Effect::Probe { id, probe, timeout } => {
                    let driven = driven.clone();
                    tokio::spawn(async move {
                        let outcome = containers::probe(probe, timeout, None).await;
                        driven.send(Input::Probed { probe: id, outcome }).await;
                    });
                }
            })
        },
    );
    tokio::spawn(keep_subscribed(driven.clone(), master, queue, stop.clone()));
    driven.send(Input::Connected).await;
    let (beating, mut stopping) = (hub.clone(), stop.clone());
    tokio::spawn(async move {
        while tokio::time::timeout(BEAT, stopping.wait_for(|stop| *stop)).await.is_err() {
            beating.beat(&BEAT_BYTES);
        }
    });
    let (streams, inbox) = (hub.clone(), driven.clone());
    tokio::spawn(async move {
        while let Some(stream) = closed.recv().await {
            let cut = streams.forget(stream);
            inbox.send(Input::StreamClosed { stream, cut }).await;
        }
    });
    let lists = Lists::of(driven.clone(), who.clone());
    let handler = move |incoming: web::Incoming| {
        let (driven, hub, who, lists) = (driven.clone(), hub.clone(), who.clone(), lists.clone());
        async move {
            let arrived = Arrived { id: incoming.id, peer: Some(incoming.peer), request: incoming.request };
            if let Some(ask) = lists::asked(&arrived) {
                return lists.answer(ask).await;
            }
            let routed = endpoints::orchestrator::route_late(&arrived, &driven.late(), &who, now());
            match routed {
                Routed::Respond(response) => Reply::Full(response),
                Routed::Step(input) => {
                    let answer = hub.expect(arrived.id);
                    driven.send(input).await;
                    match crate::answered(answer).await {
                        Reply::Full(response) => Reply::Full(endpoints::orchestrator::finish(response, &who)),
                        stream => stream,
                    }
                }
                Routed::Perform(asked) => {
                    let done = asked.change.as_ref().is_none_or(crate::levels::change);
                    let levels = done.then(crate::levels::all);
                    Reply::Full(endpoints::orchestrator::render_loggers(&asked, levels.as_ref(), &who))
                }
            }
        }
    };
    let server = tokio::spawn(web::serve(listener, Limits::default(), stop, handler));
    tracing::info!(%address, "orchestrator serves");
    Ok(Running { address, tasks: vec![task, server], launcher: None, leave: None, over: None })
}

/// How long an agent may take to say what its containers use.
const MEASURE_MAX: Duration = Duration::from_secs(5);

/// What the containers of an agent use; none = it can't be asked now.
async fn usages_of(agent: &str) -> Option<Vec<orchestrator::autoscale::Usage>> {
    let url = format!("{agent}/monitor/statistics");
    let said: Vec<serde_json::Value> = match web::client::Client::new(MEASURE_MAX).get(&url).await {
        Ok(said) => said,
        Err(error) => {
            tracing::debug!(%error, "an agent does not say what its containers use");
            return None;
        }
    };
    let usage = |said: &serde_json::Value| {
        let number = |name: &str| said["statistics"][name].as_f64().unwrap_or(0.0);
        orchestrator::autoscale::Usage {
            executor: said["executor_id"].as_str().unwrap_or_default().to_owned(),
            cpu_s: number("cpus_user_time_secs") + number("cpus_system_time_secs"),
            mem: number("mem_rss_bytes").max(number("mem_anon_bytes")),
        }
    };
    Some(said.iter().map(usage).collect())
}

fn listed(values: &Values, name: &str) -> Vec<String> {
    let all = values.get(name).unwrap_or_default().split(',').map(str::trim);
    all.filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

fn number_of(values: &Values, name: &str, default: usize) -> usize {
    values.number(name).and_then(|n| usize::try_from(n).ok()).unwrap_or(default)
}

/// A flag that takes one of a few words.
fn one_of<'v>(values: &'v Values, name: &str, words: &[&str]) -> anyhow::Result<Option<&'v str>> {
    let given = values.get(name);
    match given {
        Some(word) if !words.contains(&word) => {
            Err(Refused(format!("--{name}={word}: must be one of {}", words.join(", "))).into())
        }
        given => Ok(given),
    }
}

/// Makes the machine's calls in order; a lost subscription is reported, and offered again after a pause.
async fn keep_subscribed(
    driven: Driven<Orchestrator>,
    master: String,
    mut calls: mpsc::UnboundedReceiver<Call>,
    stop: Stop,
) {
    let mut caller: Option<Caller> = None;
    let mut reading: Option<tokio::task::JoinHandle<()>> = None;
    let mut complaints = Complaints::default();
    while let Some(call) = calls.recv().await {
        if call.r#type() != Type::Subscribe {
            if let Some(caller) = &caller {
                caller.call(call);
            }
            continue;
        }
        // an earlier subscription ends with this one, and that is no reason for yet another
        if let Some(reading) = reading.take() {
            reading.abort();
        }
        match connect(&master, call, Codec::Protobuf).await {
            Ok((fresh, events)) => {
                complaints.end();
                tracing::info!(master, "subscribed at the master");
                caller = Some(fresh);
                reading = Some(tokio::spawn(read(driven.clone(), events, stop.clone())));
            }
            Err(error) => {
                caller = None;
                let why = error.to_string();
                if !*stop.borrow() && complaints.due(std::time::Instant::now()) {
                    tracing::warn!(master, why, "no master; it is tried again and again");
                }
                tokio::spawn(again(driven.clone(), why, stop.clone()));
            }
        }
    }
}

async fn read(driven: Driven<Orchestrator>, mut events: mpsc::Receiver<Received>, stop: Stop) {
    let mut why = "the subscription ended".to_owned();
    while let Some(received) = events.recv().await {
        match received {
            Received::Event(event) => driven.send(Input::Event(event)).await,
            Received::Refused { call, status, text } => {
                tracing::warn!(call = call.r#type().as_str_name(), status, text, "the master refused a call");
            }
            Received::Disconnected(reason) => why = reason,
        }
    }
    if !*stop.borrow() {
        tracing::warn!(why, "the master is lost");
    }
    again(driven, why, stop).await;
}

async fn again(driven: Driven<Orchestrator>, why: String, stop: Stop) {
    if *stop.borrow() {
        return;
    }
    driven.send(Input::Disconnected { why }).await;
    tokio::time::sleep(RECONNECT).await;
    driven.send(Input::Connected).await;
}
