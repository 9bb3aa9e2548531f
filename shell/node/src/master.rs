//! `mesolite master`: a master machine, its store, its port, its link.

use crate::{
    Running, Stop, address,
    driver::{Saver, drive, now, system_rng},
    flags::Values,
    hub::{Hub, Style},
    messages::{Came, sort},
};
use anyhow::Context as _;
use base::Now;
use endpoints::{Arrived, Routed};
use master::{Config, Effect, Input, Master};
use model::link::Upid;
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
    let store = Arc::new(store::Store::open(dir)?);
    let records = store.records("")?;
    let mut config = Config::at(advertised);
    config.flags = values.all().clone();
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
    config.allocation = crate::allocation::options(values)?;
    config.domain = crate::allocation::domain(values)?;
    config.weights = weights(values.get("weights").unwrap_or_default())?;
    let mut rng = system_rng();
    let machine = Master::new(config, &records, Now::new(now(), &mut rng));
    let (link, mut exits) = Link::new(advertised, here.clone());
    let (hub, mut closed) =
        Hub::new(Style { frame: endpoints::master::frame, media_type: api::call::media_type });
    let performing = (hub.clone(), link.clone());
    let (driven, task) = drive(
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
                Effect::Http(http) => hub.perform(http),
                Effect::Send(envelope) => link.send(*envelope),
                Effect::Link(Upid { address, .. }) => link.link(address),
                Effect::Save { save, batch } => saver.save(save, batch),
            })
        },
    );
    let inbox = driven.clone();
    let mut in_process = here.register(advertised);
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
    let handler = move |incoming: web::Incoming| {
        let (driven, hub) = (driven.clone(), hub.clone());
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
            let arrived = Arrived { id: incoming.id, peer: Some(incoming.peer), request: incoming.request };
            let routed = endpoints::master::route(&arrived, &driven.read());
            match routed {
                Routed::Respond(response) => Reply::Full(response),
                Routed::Step(input) => {
                    let answer = hub.expect(arrived.id);
                    driven.send(input).await;
                    crate::answered(answer).await
                }
                Routed::Perform(never) => match never {},
            }
        }
    };
    let server = tokio::spawn(web::serve(listener, Limits::default(), stop, handler));
    tracing::info!(address = %advertised, "master serves");
    Ok(Running { address: advertised, tasks: vec![task, server], launcher: None })
}

fn weights(text: &str) -> anyhow::Result<Vec<(String, f64)>> {
    let pairs = text.split(',').filter(|p| !p.is_empty());
    pairs
        .map(|pair| {
            let (role, weight) =
                pair.split_once('=').with_context(|| format!("--weights: '{pair}' is not role=weight"))?;
            let weight: f64 = weight.parse().ok().filter(|w| *w > 0.0).with_context(|| {
                format!("--weights: '{weight}' of role '{role}' is wrong: a number above 0")
            })?;
            Ok((role.to_owned(), weight))
        })
        .collect()
}
