//! The operator API's event stream: who listens, and what they hear. A slow reader is cut by the shell, which also writes
//! what there was when a stream was opened: with many tasks that takes long, and a copy of the tables waits for it.
//!
//! Which events there are: apache/mesos@c1b42f79:src/master/master.cpp (`Master::Subscribers`).

use crate::{Effect, Framework, Master, Tables as _, View, config::HEARTBEAT_INTERVAL, timers::Timer};
use base::{Effects, Time};
use model::{
    mesos::{
        Task, TaskStatus,
        master::{Event, event},
    },
    request::{Codec, Http, RequestId, StreamId},
};
use std::{collections::VecDeque, sync::Arc};

/// Open event streams, the oldest first.
#[derive(Debug, Default)]
pub struct Subscribers {
    streams: VecDeque<StreamId>,
}

impl Subscribers {
    /// How many listen.
    pub fn len(&self) -> usize {
        self.streams.len()
    }
    /// Whether nobody listens.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }
}

/// What is put on such a stream.
#[derive(Clone, Debug)]
pub enum Told {
    /// SUBSCRIBED: all that there was at that instant.
    Everything(Arc<View>),
    /// Something that happened.
    Event(Arc<Event>),
}

impl View {
    /// SUBSCRIBED, as a message.
    pub fn subscribed(&self) -> Event {
        let subscribed = event::Subscribed {
            get_state: Some(self.state_message()),
            heartbeat_interval_seconds: Some(HEARTBEAT_INTERVAL.as_secs_f64()),
        };
        Event { subscribed: Some(subscribed), ..of(event::Type::Subscribed) }
    }
}

fn of(kind: event::Type) -> Event {
    Event { r#type: Some(kind.into()), ..Default::default() }
}

impl Master {
    pub(crate) fn subscribe_operator(
        &mut self,
        request: RequestId,
        codec: Codec,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        let stream = StreamId(request.0);
        out.push(Effect::Operator(Http::Open { request, headers: Vec::new(), codec }));
        let beat = Told::Event(Arc::new(of(event::Type::Heartbeat)));
        for event in [Told::Everything(Arc::new(self.view())), beat] {
            out.push(Effect::Operator(Http::Send { stream, event }));
        }
        self.subscribers.streams.push_back(stream);
        self.timers.set(Timer::OperatorHeartbeat(stream), now + HEARTBEAT_INTERVAL);
        while self.subscribers.len() > self.config.operator_subscribers_max.max(1) {
            let Some(oldest) = self.subscribers.streams.pop_front() else { break };
            self.timers.cancel(&Timer::OperatorHeartbeat(oldest));
            out.push(Effect::Operator(Http::Close { stream: oldest }));
        }
    }

    pub(crate) fn operator_heartbeat(&mut self, stream: StreamId, now: Time, out: &mut Effects<Effect>) {
        let event = Told::Event(Arc::new(of(event::Type::Heartbeat)));
        out.push(Effect::Operator(Http::Send { stream, event }));
        self.timers.set(Timer::OperatorHeartbeat(stream), now + HEARTBEAT_INTERVAL);
    }

    pub(crate) fn operator_gone(&mut self, stream: StreamId) {
        self.subscribers.streams.retain(|s| *s != stream);
        self.timers.cancel(&Timer::OperatorHeartbeat(stream));
    }

    /// Tells all that listen. The event is only made if somebody does.
    fn publish(&self, make: impl FnOnce() -> Event, out: &mut Effects<Effect>) {
        if self.subscribers.is_empty() {
            return;
        }
        let streams = self.subscribers.streams.iter().copied().collect();
        let event = Told::Event(Arc::new(make()));
        out.push(Effect::Operator(Http::SendAll { streams, event }));
    }

    pub(crate) fn publish_framework(&self, id: &str, added: bool, out: &mut Effects<Effect>) {
        let Some(framework) = self.frameworks.get(id) else { return };
        let make = || {
            let framework = self.framework_event(framework);
            if added {
                let added = event::FrameworkAdded { framework };
                Event { framework_added: Some(added), ..of(event::Type::FrameworkAdded) }
            } else {
                let updated = event::FrameworkUpdated { framework };
                Event { framework_updated: Some(updated), ..of(event::Type::FrameworkUpdated) }
            }
        };
        self.publish(make, out);
    }

    pub(crate) fn publish_framework_removed(&self, framework: &Framework, out: &mut Effects<Effect>) {
        let make = || {
            let removed = event::FrameworkRemoved { framework_info: framework.info.clone() };
            Event { framework_removed: Some(removed), ..of(event::Type::FrameworkRemoved) }
        };
        self.publish(make, out);
    }

    pub(crate) fn publish_agent_added(&self, id: &str, out: &mut Effects<Effect>) {
        let Some(agent) = self.agents.get(id) else { return };
        let make = || {
            let mut agent = self.agent_message(agent);
            // A field that only the oldest API has.
            agent.agent_info.checkpoint = None;
            let added = event::AgentAdded { agent };
            Event { agent_added: Some(added), ..of(event::Type::AgentAdded) }
        };
        self.publish(make, out);
    }

    pub(crate) fn publish_agent_removed(&self, id: &str, out: &mut Effects<Effect>) {
        let make = || {
            let removed = event::AgentRemoved { agent_id: model::mesos::AgentId { value: id.to_owned() } };
            Event { agent_removed: Some(removed), ..of(event::Type::AgentRemoved) }
        };
        self.publish(make, out);
    }

    pub(crate) fn publish_task_added(&self, task: &Task, out: &mut Effects<Effect>) {
        let make = || {
            let added = event::TaskAdded { task: task.clone() };
            Event { task_added: Some(added), ..of(event::Type::TaskAdded) }
        };
        self.publish(make, out);
    }

    pub(crate) fn publish_task_updated(
        &self,
        framework: &str,
        state: i32,
        status: &TaskStatus,
        out: &mut Effects<Effect>,
    ) {
        let make = || {
            let updated = event::TaskUpdated {
                framework_id: model::mesos::FrameworkId { value: framework.to_owned() },
                status: status.clone(),
                state,
            };
            Event { task_updated: Some(updated), ..of(event::Type::TaskUpdated) }
        };
        self.publish(make, out);
    }
}
