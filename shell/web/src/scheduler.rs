//! A framework's connection to a master: one subscription that gives events, and calls in order beside it.
//!
//! Never: subscribing again. What is lost is reported; the framework decides what follows.

use crate::client::{Client, ClientError};
use api::{call, json::FromJson as _, json::ToJson as _, recordio::Decoder};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use model::{
    mesos::scheduler::{Call, Event},
    request::Codec,
};
use prost::Message as _;
use std::time::Duration;
use tokio::sync::mpsc;

/// Events that may wait for the framework; then the connection is read no further.
pub const EVENTS_WAITING_MAX: usize = 4096;
/// Heartbeats that may be missing before the master is taken for lost, as Marathon takes it.
const HEARTBEATS_MISSED_MAX: u32 = 5;
/// Between two heartbeats, until the master has said how long.
const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(15);
const HEARTBEAT_MIN: Duration = Duration::from_millis(10);
const HEARTBEAT_MAX: Duration = Duration::from_secs(600);
const STREAM_ID: HeaderName = HeaderName::from_static("mesos-stream-id");

/// What comes from a master.
#[derive(Debug)]
pub enum Received {
    /// An event.
    Event(Box<Event>),
    /// A call was refused.
    Refused {
        /// The call.
        call: Box<Call>,
        /// The HTTP status.
        status: u16,
        /// The reason.
        text: String,
    },
    /// The subscription is over; nothing follows.
    Disconnected(String),
}

/// The side that calls. Dropping all clones ends the subscription.
#[derive(Clone, Debug)]
pub struct Caller {
    calls: mpsc::UnboundedSender<Call>,
}

impl Caller {
    /// Queues a call; calls are made in order. After a disconnection it does nothing. The queue is bounded by the
    /// framework, which waits for events before it calls on.
    pub fn call(&self, call: Call) {
        if self.calls.send(call).is_err() {
            tracing::debug!("a call came after its subscription had ended");
        }
    }
}

/// Subscribes at a master (`http://host:port`). `subscribe` is the SUBSCRIBE call.
pub async fn connect(
    master: &str,
    subscribe: Call,
    codec: Codec,
) -> Result<(Caller, mpsc::Receiver<Received>), ClientError> {
    let client = Client::default();
    let url = format!("{}/api/v1/scheduler", master.trim_end_matches('/'));
    let answer = client.open(Method::POST, &url, headers(codec), encode(&subscribe, codec)).await?;
    let status = answer.status();
    if status != StatusCode::OK {
        let text = answer.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        return Err(ClientError::Status { url, status, text: String::from_utf8_lossy(&text).into_owned() });
    }
    let Some(stream_id) = answer.headers().get(STREAM_ID).cloned() else {
        return Err(ClientError::Body { url, why: "there is no Mesos-Stream-Id".to_owned() });
    };
    let (received, events) = mpsc::channel(EVENTS_WAITING_MAX);
    let (calls, mut waiting) = mpsc::unbounded_channel::<Call>();
    let refusals = received.clone();
    let calling = tokio::spawn(async move {
        let mut headers = headers(codec);
        headers.insert(STREAM_ID, stream_id);
        while let Some(call) = waiting.recv().await {
            let asked = client.ask(Method::POST, &url, headers.clone(), encode(&call, codec)).await;
            let (status, text) = match asked {
                Ok(answer) if answer.status().is_success() => continue,
                Ok(answer) => (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned()),
                // Whether it came there is unknown: only a new subscription makes both sides agree again.
                Err(error) => {
                    return format!("{} did not reach the master: {error}", call.r#type().as_str_name());
                }
            };
            if refusals.send(Received::Refused { call: Box::new(call), status, text }).await.is_err() {
                break;
            }
        }
        "the framework has ended".to_owned()
    });
    tokio::spawn(async move {
        let mut calling = calling;
        let reading = events_of(answer.into_body(), codec, &received);
        let why = tokio::select! {
            why = reading => why,
            why = &mut calling => why.unwrap_or_else(|error| error.to_string()),
        };
        calling.abort();
        if received.send(Received::Disconnected(why)).await.is_err() {
            tracing::trace!("nobody waits for the end of a subscription");
        }
    });
    Ok((Caller { calls }, events))
}

async fn events_of(
    mut body: hyper::body::Incoming,
    codec: Codec,
    received: &mpsc::Sender<Received>,
) -> String {
    let mut decoder = Decoder::default();
    let mut heartbeat = HEARTBEAT_DEFAULT;
    loop {
        let Ok(frame) = tokio::time::timeout(heartbeat * HEARTBEATS_MISSED_MAX, body.frame()).await else {
            return format!("the master said nothing for {:?}", heartbeat * HEARTBEATS_MISSED_MAX);
        };
        let data = match frame {
            None => return "the master closed the subscription".to_owned(),
            Some(Err(error)) => return format!("the subscription broke: {error}"),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        decoder.push(&data);
        loop {
            let event = match decoder.next_record() {
                Ok(None) => break,
                Ok(Some(record)) => decode(&record, codec),
                Err(broken) => Err(broken.to_string()),
            };
            match event {
                Ok(event) => {
                    let interval = event.subscribed.as_ref().and_then(|s| s.heartbeat_interval_seconds);
                    if let Some(interval) = interval.and_then(|i| Duration::try_from_secs_f64(i).ok()) {
                        heartbeat = interval.clamp(HEARTBEAT_MIN, HEARTBEAT_MAX);
                    }
                    if received.send(Received::Event(Box::new(event))).await.is_err() {
                        return "the framework has ended".to_owned();
                    }
                }
                Err(why) => return format!("the master sent what is no event: {why}"),
            }
        }
    }
}

fn headers(codec: Codec) -> HeaderMap {
    let media = HeaderValue::from_static(match codec {
        Codec::Json => call::JSON,
        Codec::Protobuf => call::PROTOBUF,
    });
    HeaderMap::from_iter([(header::CONTENT_TYPE, media.clone()), (header::ACCEPT, media)])
}

fn encode(call: &Call, codec: Codec) -> Bytes {
    match codec {
        Codec::Json => call.to_json().into(),
        Codec::Protobuf => call.encode_to_vec().into(),
    }
}

fn decode(record: &[u8], codec: Codec) -> Result<Event, String> {
    match codec {
        Codec::Json => Event::from_json(&serde_json::from_slice(record).map_err(|error| error.to_string())?),
        Codec::Protobuf => Event::decode(record).map_err(|error| error.to_string()),
    }
}
