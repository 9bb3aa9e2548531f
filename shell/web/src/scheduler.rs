//! A framework's connection to a master: one subscription that gives events, and calls beside it: in order, but for
//! acknowledgements and kills, which say nothing of each other.
//!
//! Never: subscribing again. What is lost is reported; the framework decides what follows.

use crate::client::{Client, ClientError};
use api::{call, json::FromJson as _, json::ToJson as _, recordio::Decoder};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use model::{
    mesos::scheduler::{Call, Event, call::Type},
    request::Codec,
};
use prost::Message as _;
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::JoinSet};

/// Events that may wait for the framework; then the connection is read no further.
pub const EVENTS_WAITING_MAX: usize = 4096;
/// Acknowledgements and kills that may be on their way at once. Ten thousand tasks are twenty thousand of them: one round
/// trip after the other, they are what a deployment waits for.
const ASIDE_MAX: usize = 64;
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
    /// Queues a call; calls are made in order, but for acknowledgements and kills. After a disconnection it does nothing. The queue
    /// is bounded by the framework, which waits for events before it calls on.
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
    let (calls, waiting) = mpsc::unbounded_channel::<Call>();
    let refusals = received.clone();
    let mut headers = headers(codec);
    headers.insert(STREAM_ID, stream_id);
    let calling = tokio::spawn(call_on(Line { client, url, headers, codec }, waiting, refusals));
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

/// Where calls go.
struct Line {
    client: Client,
    url: String,
    headers: HeaderMap,
    codec: Codec,
}

impl Line {
    /// Makes a call; gives what the master refuses, or why it can't be known whether it came there.
    async fn call(&self, call: Call) -> Result<Option<Received>, String> {
        let body = encode(&call, self.codec);
        match self.client.ask(Method::POST, &self.url, self.headers.clone(), body).await {
            Ok(answer) if answer.status().is_success() => Ok(None),
            Ok(answer) => {
                let text = String::from_utf8_lossy(answer.body()).into_owned();
                Ok(Some(Received::Refused { call: Box::new(call), status: answer.status().as_u16(), text }))
            }
            // Only a new subscription makes both sides agree again.
            Err(error) => Err(format!("{} did not reach the master: {error}", call.r#type().as_str_name())),
        }
    }
}

/// Makes calls until the subscription is over; says why it is.
async fn call_on(
    line: Line,
    mut waiting: mpsc::UnboundedReceiver<Call>,
    refusals: mpsc::Sender<Received>,
) -> String {
    let line = Arc::new(line);
    let mut aside = JoinSet::new();
    let mut open = true;
    loop {
        let answered = tokio::select! {
            next = waiting.recv(), if open && aside.len() < ASIDE_MAX => match next {
                None => {
                    open = false;
                    continue;
                }
                // the launch that a kill is for was answered before
                Some(call) if matches!(call.r#type(), Type::Acknowledge | Type::Kill) => {
                    let line = line.clone();
                    aside.spawn(async move { line.call(call).await });
                    continue;
                }
                Some(call) => line.call(call).await,
            },
            Some(answered) = aside.join_next() => answered.unwrap_or_else(|error| Err(error.to_string())),
            else => return "the framework has ended".to_owned(),
        };
        match answered {
            Ok(None) => {}
            Ok(Some(refused)) => {
                if refusals.send(refused).await.is_err() {
                    return "the framework has ended".to_owned();
                }
            }
            Err(why) => return why,
        }
    }
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
