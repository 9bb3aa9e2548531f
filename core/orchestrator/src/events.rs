//! The event streams of `/v2/events`: who listens to what. Never decides what happens.

use crate::{Effect, Orchestrator, ServerEvent, config::STREAMS_MAX, when};
use base::Time;
use model::request::{Answer, Codec, Http, RequestId, StreamId};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Debug)]
struct Listener {
    kinds: Vec<String>,
    remote: String,
}

impl Listener {
    fn wants(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind)
    }
}

/// Open streams.
#[derive(Debug, Default)]
pub(crate) struct Streams(BTreeMap<StreamId, Listener>);

impl Orchestrator {
    /// Whether anybody listens to a kind: what nobody hears need not be put together.
    pub(crate) fn heard(&self, kind: &str) -> bool {
        self.streams.0.values().any(|listener| listener.wants(kind))
    }

    /// Says an event to all who listen to its kind.
    pub(crate) fn emit(&mut self, now: Time, kind: &str, mut fields: Value) {
        let streams: Vec<_> =
            self.streams.0.iter().filter(|(_, listener)| listener.wants(kind)).map(|(id, _)| *id).collect();
        if streams.is_empty() {
            return;
        }
        fields["eventType"] = kind.into();
        fields["timestamp"] = when(now.as_millis()).into();
        let event = ServerEvent { kind: kind.to_owned(), data: fields.to_string() };
        for stream in streams {
            self.saves.say(Effect::Http(Http::Send { stream, event: event.clone() }));
        }
    }

    pub(crate) fn listen(&mut self, now: Time, request: RequestId, kinds: Vec<String>, remote: String) {
        if self.streams.0.len() >= STREAMS_MAX {
            let body = json!({ "message": format!("Too many event streams! Allowed: {STREAMS_MAX}.") });
            self.reply(request, Answer::json(503, body.to_string()));
            return;
        }
        self.saves.say(Effect::Http(Http::Open { request, headers: Vec::new(), codec: Codec::Json }));
        self.streams.0.insert(StreamId(request.0), Listener { kinds, remote: remote.clone() });
        self.emit(now, "event_stream_attached", json!({ "remoteAddress": remote }));
    }

    pub(crate) fn unlisten(&mut self, now: Time, stream: StreamId) {
        if let Some(listener) = self.streams.0.remove(&stream) {
            self.emit(now, "event_stream_detached", json!({ "remoteAddress": listener.remote }));
        }
    }

    /// Nobody is listened to any more.
    pub(crate) fn end_streams(&mut self) {
        for stream in std::mem::take(&mut self.streams.0).into_keys() {
            self.saves.say(Effect::Http(Http::Close { stream }));
        }
    }

    pub(crate) fn reply(&mut self, request: RequestId, answer: Answer) {
        self.saves.say(Effect::Http(Http::Reply { request, answer }));
    }
}
