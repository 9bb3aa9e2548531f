//! The event streams of `/v2/events`: who listens to what, and what a client that comes back has missed. Never decides
//! what happens.
//!
//! Events are numbered and kept for a while, in memory and within bounds: `Last-Event-ID` goes on from there.

use crate::{Effect, Orchestrator, ServerEvent, config::STREAMS_MAX, view::WAITING, when};
use base::{Duration, Time};
use model::request::{Answer, Codec, Http, RequestId, StreamId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// Events kept for clients that come back; the oldest go first.
pub(crate) const EVENTS_KEPT_MAX: usize = 10_000;
/// The same in bytes; together below what one client may leave unread.
pub(crate) const EVENTS_KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// They are kept for so long after the last client went: who has none pays nothing.
pub(crate) const EVENTS_KEPT_FOR: Duration = Duration::from_secs(600);

/// The record that tells how events were numbered last: no process ever gives a number that an earlier one gave.
pub(crate) const EPOCH: &str = "epoch";

#[derive(Debug)]
struct Listener {
    kinds: Vec<String>,
    remote: String,
}

impl Listener {
    fn wants(&self, kind: &str) -> bool {
        let named = self.kinds.iter().any(|wanted| wanted == kind);
        named || (self.kinds.is_empty() && kind != WAITING)
    }
}

/// Events that were said, without a gap.
#[derive(Debug)]
struct Kept {
    /// What tells the numbers of this process from those of the ones before.
    epoch: u64,
    next: u64,
    events: VecDeque<ServerEvent>,
    bytes: usize,
    /// Until when they are kept though nobody listens; none = nobody did.
    until: Option<Time>,
}

impl Kept {
    fn first(&self) -> u64 {
        self.next - self.events.len() as u64
    }
    fn push(&mut self, kind: &str, data: String) -> ServerEvent {
        let event =
            ServerEvent { kind: kind.to_owned(), data, id: Some(format!("{}-{}", self.epoch, self.next)) };
        self.next += 1;
        self.bytes += event.kind.len() + event.data.len();
        self.events.push_back(event.clone());
        while self.events.len() > EVENTS_KEPT_MAX || self.bytes > EVENTS_KEPT_BYTES_MAX {
            let Some(gone) = self.events.pop_front() else { break };
            self.bytes -= gone.kind.len() + gone.data.len();
        }
        event
    }
    /// Everything after an event; none = it is not known what came after it.
    fn after(&self, id: &str) -> Option<impl Iterator<Item = &ServerEvent>> {
        let (epoch, number) = id.split_once('-')?;
        let number = number.parse::<u64>().ok().filter(|_| epoch.parse() == Ok(self.epoch))?;
        let next = number.checked_add(1).filter(|next| (self.first()..=self.next).contains(next))?;
        Some(self.events.iter().skip((next - self.first()) as usize))
    }
    /// Nobody listened for long: what happened since was not put together.
    fn forget(&mut self) {
        self.events.clear();
        (self.bytes, self.until) = (0, None);
        // one number is left out, so that whoever heard the last event before it is told of the gap
        self.next += 1;
    }
}

/// Open streams, and what was said on them.
#[derive(Debug)]
pub(crate) struct Streams {
    open: BTreeMap<StreamId, Listener>,
    kept: Kept,
    /// Whether the record of the epoch is this process'.
    named: bool,
    /// How many were cut, for their clients did not read.
    cut: u64,
}

impl Streams {
    pub fn new(now: Time) -> Self {
        let kept = Kept { epoch: now.as_millis(), next: 1, events: VecDeque::new(), bytes: 0, until: None };
        Self { open: BTreeMap::new(), kept, named: false, cut: 0 }
    }
    /// The clock may have gone back since the process before.
    pub fn later_than(&mut self, record: &[u8]) {
        let before = std::str::from_utf8(record).ok().and_then(|text| text.parse::<u64>().ok());
        self.kept.epoch = self.kept.epoch.max(before.map_or(0, |before| before.saturating_add(1)));
    }
    /// Whether events are kept now.
    fn keeps(&self, now: Time) -> bool {
        !self.open.is_empty() || self.kept.until.is_some_and(|until| now < until)
    }
}

impl Orchestrator {
    /// Whether a kind is said at all: what nobody hears, now or later, need not be put together.
    pub(crate) fn heard(&self, _kind: &str) -> bool {
        self.streams.keeps(self.now)
    }

    /// Whether somebody has named this kind.
    pub(crate) fn is_asked_for(&self, kind: &str) -> bool {
        self.streams.open.values().any(|listener| listener.kinds.iter().any(|named| named == kind))
    }

    /// Says an event to all who listen to its kind.
    pub(crate) fn emit(&mut self, now: Time, kind: &str, mut fields: Value) {
        if !self.streams.keeps(now) {
            return;
        }
        fields["eventType"] = kind.into();
        fields["timestamp"] = when(now.as_millis()).into();
        let event = self.streams.kept.push(kind, fields.to_string());
        let wants = self.streams.open.iter().filter(|(_, listener)| listener.wants(kind));
        let streams: Vec<_> = wants.map(|(id, _)| *id).collect();
        if !streams.is_empty() {
            self.saves.say(Effect::Http(Http::SendAll { streams, event }));
        }
    }

    /// A client wants events from now on; or, if it names the last that it heard, those since.
    pub(crate) fn listen(
        &mut self,
        now: Time,
        request: RequestId,
        kinds: Vec<String>,
        remote: String,
        after: Option<&str>,
    ) {
        if self.streams.open.len() >= STREAMS_MAX {
            let body = json!({ "message": format!("Too many event streams! Allowed: {STREAMS_MAX}.") });
            self.reply(request, Answer::json(503, body.to_string()));
            return;
        }
        if !self.streams.keeps(now) && self.streams.kept.until.is_some() {
            self.streams.kept.forget();
        }
        if !std::mem::replace(&mut self.streams.named, true) {
            self.saves.put(EPOCH.to_owned(), self.streams.kept.epoch.to_string().into_bytes());
        }
        self.saves.say(Effect::Http(Http::Open { request, headers: Vec::new(), codec: Codec::Json }));
        let stream = StreamId(request.0);
        let listener = Listener { kinds, remote: remote.clone() };
        if let Some(id) = after {
            self.catch_up(now, stream, &listener, id);
        }
        self.streams.open.insert(stream, listener);
        self.emit(now, "event_stream_attached", json!({ "remoteAddress": remote }));
    }

    /// Says what a client has missed, or that this can't be known any more.
    fn catch_up(&mut self, now: Time, stream: StreamId, listener: &Listener, id: &str) {
        let missed: Option<Vec<ServerEvent>> = self
            .streams
            .kept
            .after(id)
            .map(|all| all.filter(|event| listener.wants(&event.kind)).cloned().collect());
        let missed = missed.unwrap_or_else(|| {
            let fields = json!({
                "eventType": "events_lost", "timestamp": when(now.as_millis()), "lastEventId": id,
                "reason": "events after this one are not kept any more: read the state anew",
            });
            vec![ServerEvent { kind: "events_lost".into(), data: fields.to_string(), id: None }]
        });
        for event in missed {
            self.saves.say(Effect::Http(Http::Send { stream, event }));
        }
    }

    /// Open event streams, and how many were cut so far since their clients did not read.
    pub fn event_streams(&self) -> (usize, u64) {
        (self.streams.open.len(), self.streams.cut)
    }

    pub(crate) fn unlisten(&mut self, now: Time, stream: StreamId, cut: bool) {
        self.streams.cut += u64::from(cut);
        if let Some(listener) = self.streams.open.remove(&stream) {
            self.streams.kept.until = Some(now + EVENTS_KEPT_FOR);
            self.emit(now, "event_stream_detached", json!({ "remoteAddress": listener.remote }));
        }
    }

    pub(crate) fn reply(&mut self, request: RequestId, answer: Answer) {
        self.saves.say(Effect::Http(Http::Reply { request, answer }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(kept: &Kept, id: &str) -> Option<Vec<String>> {
        Some(kept.after(id)?.map(|event| event.data.clone()).collect())
    }

    #[test]
    fn what_is_kept_has_bounds_and_gaps_are_known() {
        let mut kept = Streams::new(Time::from_millis(7)).kept;
        for n in 1..=3 {
            assert_eq!(kept.push("k", n.to_string()).id, Some(format!("7-{n}")));
        }
        let said = |all: &[&str]| Some(all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
        assert_eq!(numbers(&kept, "7-1"), said(&["2", "3"]));
        assert_eq!(numbers(&kept, "7-3"), said(&[]));
        for unknown in ["7-4", "6-1", "x", "7-", "7-18446744073709551615", ""] {
            assert_eq!(numbers(&kept, unknown), None, "{unknown}");
        }
        for n in 4..=EVENTS_KEPT_MAX + 3 {
            kept.push("k", n.to_string());
        }
        assert_eq!(kept.events.len(), EVENTS_KEPT_MAX);
        assert_eq!(numbers(&kept, "7-2"), None);
        assert_eq!(numbers(&kept, "7-3").map(|all| all.len()), Some(EVENTS_KEPT_MAX));
        kept.push("k", "x".repeat(EVENTS_KEPT_BYTES_MAX - 10));
        assert!(kept.bytes <= EVENTS_KEPT_BYTES_MAX && kept.events.len() < 10, "{}", kept.events.len());
        let last = kept.events.back().and_then(|event| event.id.clone()).unwrap();
        assert_eq!(numbers(&kept, &last), said(&[]));
        kept.forget();
        assert_eq!(numbers(&kept, &last), None);
        let next = kept.push("k", "again".into());
        assert_eq!(numbers(&kept, &next.id.unwrap()), said(&[]));
    }
}
