//! A framework's way to the master, as the shell keeps it: one subscription, calls one after the other, events in order.

use crate::world::{Event, Who, World};
use base::{Duration, Time};
use model::{
    mesos::scheduler::{self, call},
    request::{Answer, Codec, Http, RequestId, StreamId},
};
use std::collections::VecDeque;

/// Between two attempts to subscribe.
const RECONNECT: Duration = Duration::from_millis(500);

/// One framework's way.
#[derive(Debug, Default)]
pub struct Channel {
    /// Counts subscriptions; what comes of an earlier one is dropped.
    pub session: u64,
    /// The open stream and what calls must name.
    pub stream: Option<(StreamId, String)>,
    queue: VecDeque<scheduler::Call>,
    waiting: Option<RequestId>,
    /// The request, the master's life it was made in: where the answer goes.
    asked: Option<(RequestId, u64)>,
    last: Time,
    held: VecDeque<(u64, Box<scheduler::Event>)>,
    end_held: Option<u64>,
}

impl Channel {
    /// Whether nothing waits.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.waiting.is_none()
    }
}

impl World {
    /// Queues a call of a framework.
    pub fn call(&mut self, who: Who, call: scheduler::Call) {
        self.channels.entry(who).or_default().queue.push_back(call);
        self.pump(who);
    }

    fn pump(&mut self, who: Who) {
        loop {
            let Some(channel) = self.channels.get_mut(&who) else { return };
            if channel.waiting.is_some() {
                return;
            }
            let Some(call) = channel.queue.pop_front() else { return };
            let subscribe = call.r#type() == call::Type::Subscribe;
            let stream = channel.stream.clone();
            if subscribe {
                channel.session += 1;
                channel.stream = None;
                channel.held.clear();
                channel.end_held = None;
                if let Some((stream, _)) = stream {
                    self.tell_master_closed(who, stream);
                }
            } else if stream.is_none() {
                // the shell has no connection to call on
                continue;
            }
            let request = RequestId(self.request_next);
            self.request_next += 1;
            let Some(channel) = self.channels.get_mut(&who) else { return };
            channel.waiting = Some(request);
            let session = channel.session;
            let uuid = channel.stream.as_ref().map(|(_, uuid)| uuid.clone());
            if self.net.is_blocked(who, Who::Master) {
                self.after(Duration::from_secs(10), Event::Answered(who, session, request, None));
            } else {
                let wait = self.delay();
                self.after(wait, Event::Call(who, session, request, Box::new(call), uuid));
            }
            return;
        }
    }

    fn tell_master_closed(&mut self, who: Who, stream: StreamId) {
        let life = self.life(Who::Master);
        let blocked = self.net.is_blocked(who, Who::Master);
        let wait = if blocked { Duration::from_secs(60) } else { self.delay() };
        self.after(wait, Event::Closed(life, stream));
    }

    /// A call arrives at the master.
    pub fn call_arrives(
        &mut self,
        who: Who,
        session: u64,
        request: RequestId,
        call: Box<scheduler::Call>,
        stream: Option<String>,
    ) {
        let Some(channel) = self.channels.get_mut(&who) else { return };
        if channel.waiting != Some(request) {
            return;
        }
        if !self.is_up(Who::Master) || self.net.is_blocked(who, Who::Master) {
            let wait = if self.is_up(Who::Master) { Duration::from_secs(10) } else { self.delay() };
            return self.after(wait, Event::Answered(who, session, request, None));
        }
        self.note(&format!("{who} → master {}", crate::history::brief(&call)));
        let life = self.life(Who::Master);
        if let Some(channel) = self.channels.get_mut(&who) {
            channel.asked = Some((request, life));
        }
        if let Some(fault) = master::validate_call(&call) {
            return self.after(
                Duration::from_micros(50),
                Event::Answered(who, session, request, Some(Answer::text(400, fault))),
            );
        }
        let codec = if request.0.is_multiple_of(2) { Codec::Json } else { Codec::Protobuf };
        self.history.calling = Some((who, (*call).clone()));
        let input = master::Input::Scheduler { request, accept: codec, stream_id: stream, call };
        self.step_master(input);
        self.history.calling = None;
    }

    /// What the master says on its HTTP surface.
    pub fn master_says(&mut self, http: Http<scheduler::Event>) {
        match http {
            Http::Reply { request, answer } => {
                if answer.status == 202 {
                    self.history.call_taken(self.now);
                }
                let Some((who, session)) = self.who_asked(request) else { return };
                let wait = self.delay();
                let late = self.net.is_blocked(who, Who::Master);
                let (wait, answer) =
                    if late { (Duration::from_secs(10), None) } else { (wait, Some(answer)) };
                self.after(wait, Event::Answered(who, session, request, answer));
            }
            Http::Open { request, headers, .. } => {
                let Some((who, session)) = self.who_asked(request) else {
                    // its framework did not wait for it: the shell finds nobody to hand the stream to
                    let (life, wait) = (self.life(Who::Master), self.delay());
                    return self.after(wait, Event::Closed(life, StreamId(request.0)));
                };
                let uuid = headers.into_iter().find(|(name, _)| *name == "Mesos-Stream-Id");
                let uuid = uuid.map(|(_, value)| value).expect("every stream has an id");
                let at = self.now + self.delay();
                let Some(channel) = self.channels.get_mut(&who) else { return };
                channel.last = channel.last.max(at);
                let at = channel.last;
                self.history.opened(who, StreamId(request.0));
                self.at(at, Event::Opened(who, session, request, StreamId(request.0), uuid));
            }
            Http::SendAll { streams, event } => {
                for stream in streams {
                    self.master_says(Http::Send { stream, event: event.clone() });
                }
            }
            Http::Send { stream, event } => {
                // said, though nobody may read it any more
                let Some(reader) = self.history.reader(stream) else { return };
                self.history.master_sends(self.now, reader, &event);
                let Some((who, session)) = self.who_reads(stream) else { return };
                let at = self.now + self.delay();
                let Some(channel) = self.channels.get_mut(&who) else { return };
                channel.last = channel.last.max(at);
                let at = channel.last;
                self.at(at, Event::Said(who, session, Box::new(event)));
            }
            Http::Close { stream } => {
                let reading = self.who_reads(stream);
                self.history.closed(stream);
                let Some((who, session)) = reading else { return };
                let Some(channel) = self.channels.get_mut(&who) else { return };
                channel.last = channel.last.max(self.now + Duration::from_micros(100));
                let at = channel.last;
                self.at(at, Event::Ended(who, session));
            }
        }
    }

    fn who_asked(&self, request: RequestId) -> Option<(Who, u64)> {
        let life = self.life(Who::Master);
        let mine = |(_, c): &(&Who, &Channel)| c.asked == Some((request, life));
        self.channels.iter().find(mine).map(|(who, c)| (*who, c.session))
    }

    /// The stream that a request of this number became belongs to the session that asked last.
    fn who_reads(&self, stream: StreamId) -> Option<(Who, u64)> {
        let who = self.history.reader(stream)?;
        let channel = self.channels.get(&who)?;
        let current = channel.stream.as_ref().is_some_and(|(s, _)| *s == stream)
            || (channel.stream.is_none() && channel.waiting == Some(RequestId(stream.0)));
        current.then_some((who, channel.session))
    }

    /// A stream opens at its framework.
    pub fn opened(&mut self, who: Who, session: u64, request: RequestId, stream: StreamId, uuid: String) {
        let current = |c: &Channel| c.session == session && c.waiting == Some(request);
        if self.net.is_blocked(who, Who::Master) {
            return self.after(Duration::from_secs(10), Event::Answered(who, session, request, None));
        }
        // Whoever opened it has died since, and its connections with it.
        let opener = self.channels.get(&who).and_then(|c| c.asked).filter(|(asked, _)| *asked == request);
        if opener.is_some_and(|(_, life)| life != self.life(Who::Master)) {
            return self.answered(who, session, request, None);
        }
        let Some(channel) = self.channels.get_mut(&who).filter(|c| current(c)) else {
            return self.tell_master_closed(who, stream);
        };
        channel.waiting = None;
        channel.stream = Some((stream, uuid));
        self.pump(who);
    }

    /// A call was answered, or failed.
    pub fn answered(&mut self, who: Who, session: u64, request: RequestId, answer: Option<Answer>) {
        let Some(channel) = self.channels.get_mut(&who) else { return };
        if channel.session != session || channel.waiting != Some(request) {
            return;
        }
        channel.waiting = None;
        let subscribing = channel.stream.is_none();
        let status = answer.as_ref().map_or(0, |a| a.status);
        if status != 202 {
            let text = answer.map(|a| format!("{:?}", a.body)).unwrap_or_default();
            self.note(&format!("{who}'s call failed: {status} {text}"));
            if subscribing {
                if let Some(channel) = self.channels.get_mut(&who) {
                    channel.session += 1;
                }
                self.tell_master_closed(who, StreamId(request.0));
                self.lost(who);
            } else if status == 0 || status == 403 {
                // a connection that can't be called on is no connection: the shell closes the stream
                self.lose_stream(who);
            }
        }
        self.pump(who);
    }

    /// A framework gives up its stream, and looks for a master again.
    fn lose_stream(&mut self, who: Who) {
        let Some(channel) = self.channels.get_mut(&who) else { return };
        let Some((stream, _)) = channel.stream.take() else { return };
        channel.session += 1;
        self.tell_master_closed(who, stream);
        self.lost(who);
    }

    fn lost(&mut self, who: Who) {
        let life = self.life(who);
        self.note(&format!("{who} has no master"));
        match who {
            Who::Orchestrator => {
                self.step_orchestrator(orchestrator::Input::Disconnected { why: "lost".to_owned() })
            }
            Who::Plain(n) => self.plain_disconnected(n),
            _ => {}
        }
        self.after(RECONNECT, Event::Reconnect(who, life));
    }

    /// A framework tries to subscribe.
    pub fn reconnect(&mut self, who: Who, life: u64) {
        if self.life(who) != life || !self.is_up(who) {
            return;
        }
        match who {
            Who::Orchestrator => self.step_orchestrator(orchestrator::Input::Connected),
            Who::Plain(n) => self.plain_subscribes(n),
            _ => {}
        }
    }

    /// An event arrives.
    pub fn said(&mut self, who: Who, session: u64, event: Box<scheduler::Event>) {
        let blocked = self.net.is_blocked(who, Who::Master);
        let Some(channel) = self.channels.get_mut(&who) else { return };
        if channel.session != session || !self.commons[&who].up {
            return;
        }
        if blocked || !channel.held.is_empty() {
            channel.held.push_back((session, event));
            return;
        }
        self.note(&format!("master → {who} {}", crate::history::brief_event(&event)));
        match who {
            Who::Orchestrator => self.step_orchestrator(orchestrator::Input::Event(event)),
            Who::Plain(n) => self.plain_hears(n, *event),
            _ => {}
        }
    }

    /// The stream ended, and the framework hears of it.
    pub fn stream_ended(&mut self, who: Who, session: u64) {
        let blocked = self.net.is_blocked(who, Who::Master);
        let Some(channel) = self.channels.get_mut(&who) else { return };
        if channel.session != session || !self.commons[&who].up {
            return;
        }
        if blocked {
            channel.end_held = Some(session);
            return;
        }
        channel.stream = None;
        channel.session += 1;
        channel.waiting = None;
        self.lost(who);
        self.pump(who);
    }

    /// The master learns that a stream ended.
    pub fn stream_closed(&mut self, life: u64, stream: StreamId) {
        if self.life(Who::Master) == life && self.is_up(Who::Master) {
            self.history.closed(stream);
            self.step_master(master::Input::StreamClosed { stream });
        }
    }

    /// What a framework waited for comes through.
    pub fn channels_heal(&mut self, a: Who, b: Who) {
        for who in [a, b] {
            let Some(channel) = self.channels.get_mut(&who) else { continue };
            if a != Who::Master && b != Who::Master {
                continue;
            }
            let held = std::mem::take(&mut channel.held);
            let end = channel.end_held.take();
            channel.last = channel.last.max(self.now);
            let at = channel.last;
            for (session, event) in held {
                self.at(at, Event::Said(who, session, event));
            }
            if let Some(session) = end {
                self.at(at + Duration::from_micros(1), Event::Ended(who, session));
            }
        }
    }

    /// A stream is cut in the middle: both sides hear of it, each in its time.
    pub fn cut_stream(&mut self, who: Who) {
        let Some(channel) = self.channels.get(&who) else { return };
        let Some((stream, _)) = channel.stream.clone() else { return };
        let session = channel.session;
        let life = self.life(Who::Master);
        let (mine, theirs) = (self.rng.below(3_000), self.rng.below(3_000));
        self.after(Duration::from_millis(mine), Event::Ended(who, session));
        self.after(Duration::from_millis(theirs), Event::Closed(life, stream));
    }

    /// The master's process ended: every framework hears of it, sooner or later.
    pub fn channels_lose_master(&mut self) {
        let all: Vec<Who> = self.channels.keys().copied().collect();
        for who in all {
            let far = self.net.is_blocked(who, Who::Master);
            let wait = if far { Duration::from_secs(30) } else { self.delay() };
            let Some(channel) = self.channels.get_mut(&who) else { continue };
            let (session, waiting) = (channel.session, channel.waiting);
            let streaming = channel.stream.is_some();
            if streaming {
                self.after(wait, Event::Ended(who, session));
            } else if let Some(request) = waiting {
                self.after(wait, Event::Answered(who, session, request, None));
            }
        }
    }

    /// A framework's process ended: the master hears of it, sooner or later.
    pub fn channel_dies(&mut self, who: Who) {
        let Some(channel) = self.channels.get_mut(&who) else { return };
        let session = channel.session + 1;
        let stream = channel.stream.take();
        let asked = channel.asked;
        let waiting = channel.waiting;
        *channel = Channel { session, last: channel.last, ..Channel::default() };
        if let Some((stream, _)) = stream {
            self.tell_master_closed(who, stream);
        } else if let (Some((request, _)), Some(waiting)) = (asked, waiting)
            && request == waiting
        {
            self.tell_master_closed(who, StreamId(request.0));
        }
    }
}
