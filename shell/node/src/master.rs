//! `mesolite master`: a master machine, its store, its port, its link.

use crate::{
    Running, Stop, address,
    chronicle::{self, Chronicle},
    closed,
    documents::Documents,
    driver::{Driven, Saver, drive_observed, now, system_rng},
    flags::{Refused, Values},
    hub::{Hub, Readers, Style},
    measure::{StoreDir, Timings},
    messages::{Came, sort},
    perform::{More, Tools},
};
use base::Now;
use endpoints::{Arrived, Perform, Routed};
use master::{Config, Effect, Input, Master, OperatorCall, Told};
use model::{link::Upid, request::Http};
use std::{path::Path, sync::Arc};
use web::{
    Limits, Reply,
    link::{Link, Local},
};

/// Starts a master; it serves when this returns.
pub async fn start(values: &Values, here: &Local, stop: Stop) -> anyhow::Result<Running> {
    let address = address::listen(values, "ip", "port", 5050)?;
    let listener = web::bind(address, &values.flag("port")).await?;
    let advertised = address::advertised(values, listener.local_addr()?, None)?;
    let dir = Path::new(values.get("work_dir").unwrap_or("./mesolite-data/master"));
    let began = std::time::Instant::now();
    let store = Arc::new(store::Store::open(dir)?);
    let records = store.records("")?;
    let fetched = began.elapsed();
    let mut config = Config::at(advertised);
    config.flags = values.all().clone();
    let firewall = closed::firewall(values, "master")?;
    closed::say(&firewall, &mut config.flags);
    config.cluster = values.get("cluster").map(str::to_owned);
    if let Some(hostname) = values.get("hostname") {
        config.hostname = hostname.to_owned();
    }
    config.ping_timeout = values.duration("agent_ping_timeout").unwrap_or(config.ping_timeout);
    config.reregister_timeout =
        values.duration("agent_reregister_timeout").unwrap_or(config.reregister_timeout);
    config.offer_timeout = values.duration("offer_timeout").or(config.offer_timeout);
    let small = |name: &str| values.number(name).and_then(|n| usize::try_from(n).ok());
    config.pings_missed_max = values
        .number("max_agent_ping_timeouts")
        .and_then(|n| u32::try_from(n).ok())
        .unwrap_or(config.pings_missed_max);
    config.completed_frameworks_max =
        small("max_completed_frameworks").unwrap_or(config.completed_frameworks_max);
    config.completed_tasks_max =
        small("max_completed_tasks_per_framework").unwrap_or(config.completed_tasks_max);
    config.operator_subscribers_max =
        small("max_operator_event_stream_subscribers").unwrap_or(config.operator_subscribers_max);
    config.allocation = crate::allocation::options(values)?;
    config.domain = crate::allocation::domain(values)?;
    config.weights = weights(values.get("weights").unwrap_or_default())?;
    let recovered = chronicle::recovered(&records, &["agents", "unreachable", "frameworks"]);
    let mut rng = system_rng();
    let machine = Master::new(config, &records, Now::new(now(), &mut rng));
    let (link, mut exits) = Link::new(advertised, here.clone());
    let (hub, mut closed) = Hub::new(Style {
        frame: endpoints::master::frame,
        media_type: api::call::media_type,
        last_words: |_, _| None,
        readers: Readers::Partners,
    });
    let operator_style = Style {
        frame: endpoints::master::operator_event,
        media_type: api::call::media_type,
        last_words: |_, _| None,
        readers: Readers::Spectators,
    };
    let (operator, mut operator_closed) = Hub::new(operator_style);
    let artist = Arc::default();
    let drawing = Arc::clone(&artist);
    let performing = (hub.clone(), operator.clone(), link.clone());
    let chronicle = Chronicle::default();
    let telling = chronicle.clone();
    let (allocations, commits) = (Timings::default(), Timings::default());
    let (timed, committed) = (allocations.clone(), commits.clone());
    let mut runs = 0;
    let (driven, task) = drive_observed(
        machine,
        rng,
        || Input::Tick,
        stop.clone(),
        |driven| {
            let done = |save, outcome| match outcome {
                Ok(()) => Input::Saved { save },
                Err(why) => Input::SaveFailed { save, why },
            };
            let saver = Saver::start_timed(store, driven.inbox(), done, committed);
            let (hub, operator, link) = performing;
            Box::new(move |effect| {
                telling.of(&effect).iter().for_each(|line| tracing::info!("{line}"));
                match effect {
                    Effect::Http(http) => hub.perform(http),
                    // It takes long: what happens meanwhile waits for it on that stream.
                    Effect::Operator(Http::Send { stream, event: Told::Everything(view) }) => {
                        if let Some((promise, codec)) = operator.promise(stream) {
                            Documents::begin(&drawing, view, promise, codec);
                        }
                    }
                    Effect::Operator(http) => operator.perform(http),
                    Effect::Send(envelope) => link.send(*envelope),
                    Effect::Link(Upid { address, .. }) => link.link(address),
                    Effect::Dropped { from, why } => {
                        tracing::warn!(agent = %from, "a registration is dropped: {why}");
                    }
                    Effect::Save { save, batch } => saver.save(save, batch),
                }
            })
        },
        move |master: &Master, took| {
            // A step divides resources at most once; the whole batch is an upper bound of what that took.
            if master.counters().allocations != runs {
                runs = master.counters().allocations;
                timed.note(took);
            }
        },
    );
    let tools = Tools { more: more(&driven, allocations, commits, fetched, dir), meter: None };
    let inbox = driven.clone();
    let mut in_process = here.register(advertised);
    let (streams, operators) = (hub.clone(), operator.clone());
    tokio::spawn(async move {
        loop {
            let input = tokio::select! {
                Some(exit) = exits.recv() => Input::Exited { peer: exit.peer },
                Some(stream) = closed.recv() => {
                    chronicle.closed(stream).iter().for_each(|line| tracing::info!("{line}"));
                    streams.forget(stream);
                    Input::StreamClosed { stream }
                }
                Some(stream) = operator_closed.recv() => {
                    operators.forget(stream);
                    Input::StreamClosed { stream }
                }
                Some(envelope) = in_process.recv() => Input::Message(Box::new(envelope)),
                else => return,
            };
            inbox.send(input).await;
        }
    });
    let documents = Documents::of(driven.clone(), artist);
    let attached: Arc<[_]> = crate::levels::attached(values.get("log_dir"), "master").into();
    let handler = move |incoming: web::Incoming| {
        let (driven, hub, operator) = (driven.clone(), hub.clone(), operator.clone());
        let (tools, attached, documents) = (tools.clone(), attached.clone(), documents.clone());
        let firewall = firewall.clone();
        async move {
            let known = |id: &str| id == "master" || id.starts_with("slave-observer(");
            let incoming = match sort(incoming, known) {
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
            let routed = endpoints::master::route(&arrived, &driven.read(), &attached);
            match routed {
                Routed::Respond(response) => Reply::Full(response),
                Routed::Step(input) => {
                    let subscribes =
                        matches!(input, Input::Operator { call: OperatorCall::Subscribe(_), .. });
                    let answer =
                        if subscribes { operator.expect(arrived.id) } else { hub.expect(arrived.id) };
                    driven.send(input).await;
                    crate::answered(answer).await
                }
                Routed::Perform(Perform::Document(ask)) => documents.answer(ask).await,
                Routed::Perform(perform) => tools.perform(perform).await,
            }
        }
    };
    let server = tokio::spawn(web::serve(listener, Limits::default(), stop, handler));
    tracing::info!(address = %advertised, recovered, "master serves");
    Ok(Running { address: advertised, tasks: vec![task, server], launcher: None, leave: None, over: None })
}

/// What is known here beside what the machine counts.
fn more(
    driven: &Driven<Master>,
    allocations: Timings,
    commits: Timings,
    fetched: std::time::Duration,
    dir: &Path,
) -> More {
    let (driven, dir) = (driven.clone(), StoreDir(dir.to_owned()));
    Arc::new(move || {
        let waiting = driven.waiting() as f64;
        let mut named = vec![
            ("master/event_queue_messages".to_owned(), waiting),
            ("master/event_queue_dispatches".to_owned(), 0.0),
            ("master/event_queue_http_requests".to_owned(), 0.0),
            // The allocator runs within the master's steps: nothing ever waits for it.
            ("allocator/event_queue_dispatches".to_owned(), 0.0),
            ("allocator/mesos/event_queue_dispatches".to_owned(), 0.0),
            ("registrar/queued_operations".to_owned(), driven.read().saves_waiting() as f64),
            ("registrar/registry_size_bytes".to_owned(), dir.bytes() as f64),
            ("registrar/state_fetch_ms".to_owned(), fetched.as_secs_f64() * 1000.0),
            // What is durable is read before anything is served, and nobody shares it.
            ("registrar/log/recovered".to_owned(), 1.0),
            ("registrar/log/ensemble_size".to_owned(), 1.0),
            ("registrar/state_store_ms".to_owned(), commits.last()),
        ];
        // As upstream: of fewer there is nothing to sum up.
        if commits.count() >= 2 {
            commits.tell("registrar/state_store_ms", &mut named);
        }
        allocations.tell("allocator/mesos/allocation_run_ms", &mut named);
        Timings::default().tell("allocator/mesos/allocation_run_latency_ms", &mut named);
        named
    })
}

pub(crate) fn weights(text: &str) -> anyhow::Result<Vec<(String, f64)>> {
    let pairs = text.split(',').filter(|p| !p.is_empty());
    pairs
        .map(|pair| {
            let (role, weight) = pair
                .split_once('=')
                .ok_or_else(|| Refused(format!("--weights: '{pair}' is not role=weight")))?;
            let weight: f64 = weight.parse().ok().filter(|w| *w > 0.0).ok_or_else(|| {
                Refused(format!("--weights: '{weight}' of role '{role}' is wrong: a number above 0"))
            })?;
            Ok((role.to_owned(), weight))
        })
        .collect()
}
