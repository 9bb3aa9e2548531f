//! The subscription at the master: calls go out in order, events come in; lost, it is reported and offered again. Never:
//! what is said on it.

use crate::{Stop, complain::Complaints, driver::Driven};
use base::Duration;
use model::{
    mesos::scheduler::{Call, call::Type},
    request::Codec,
};
use orchestrator::{Input, Orchestrator};
use tokio::sync::mpsc;
use web::scheduler::{Caller, Received, connect};

/// Between two attempts to reach a master.
const RECONNECT: Duration = Duration::from_millis(500);

/// Makes the machine's calls in order; a lost subscription is reported, and offered again after a pause.
pub async fn keep_subscribed(
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
    // nobody calls any more: the master sees the subscription end
    if let Some(reading) = reading {
        reading.abort();
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
