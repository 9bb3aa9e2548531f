//! What was seen from outside, and what must hold of it whatever the machines think of themselves.
//!
//! Never asks a machine anything.

use crate::{roles::total, world::Who};
use base::{Duration, Time};
use model::{
    link::Message,
    mesos::{
        TaskState,
        scheduler::{Call, Event, call, event},
    },
    request::StreamId,
    resources::Resources,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

type Task = (String, String);

/// Updates of one task as its agent sent them in its present life.
#[derive(Debug, Default)]
struct Sent {
    last: Vec<u8>,
    acknowledged: BTreeSet<Vec<u8>>,
}

#[derive(Debug)]
struct Declined {
    who: Who,
    agent: String,
    role: String,
    resources: Resources,
    until: Time,
}

/// All that was seen.
#[derive(Debug, Default)]
pub struct History {
    /// Every task whose container ever ran.
    pub started: BTreeSet<Task>,
    /// The call that the master is just taking.
    pub calling: Option<(Who, Call)>,
    sent: BTreeMap<(Who, Task), Sent>,
    streams: BTreeMap<StreamId, Who>,
    offers: BTreeMap<String, (Who, String, String, Resources)>,
    declined: Vec<Declined>,
    suppressed: BTreeSet<Who>,
    over: BTreeSet<(Who, String)>,
}

impl History {
    /// A container of this task runs: for the first time, and not after its end.
    pub fn started(&mut self, task: &Task) {
        assert!(self.started.insert(task.clone()), "task {} runs a second time", task.1);
    }

    /// An agent sends: one update of a task at a time, in order, none that it heard acknowledged.
    pub fn agent_sends(&mut self, who: Who, message: &Message) {
        let Message::StatusUpdateMessage(m) = message else { return };
        let uuid = m.update.uuid.clone().unwrap_or_default();
        let task = (m.update.framework_id.value.clone(), m.update.status.task_id.value.clone());
        let name = task.1.clone();
        let sent = self.sent.entry((who, task)).or_default();
        assert!(!sent.acknowledged.contains(&uuid), "{who} sends an acknowledged update of {name} again");
        if sent.last != uuid {
            let free = sent.last.is_empty() || sent.acknowledged.contains(&sent.last);
            assert!(free, "{who} sends an update of {name} before the one ahead of it is acknowledged");
            sent.last = uuid;
        }
    }

    /// An agent hears an acknowledgement, or that a framework is over.
    pub fn agent_heard(&mut self, who: Who, message: &Message) {
        match message {
            Message::StatusUpdateAcknowledgementMessage(m) => {
                let task = (m.framework_id.value.clone(), m.task_id.value.clone());
                if let Some(sent) = self.sent.get_mut(&(who, task))
                    && sent.last == m.uuid
                {
                    sent.acknowledged.insert(m.uuid.clone());
                }
            }
            Message::ShutdownFrameworkMessage(m) => {
                self.sent.retain(|(w, task), _| *w != who || task.0 != m.framework_id.value);
            }
            Message::ShutdownMessage(_) => self.sent.retain(|(w, _), _| *w != who),
            _ => {}
        }
    }

    /// An agent starts: it may repeat what it had not made durable.
    pub fn agent_started(&mut self, who: Who) {
        self.sent.retain(|(w, _), _| *w != who);
    }

    /// An agent registers anew: what was declined of it may be offered again.
    pub fn agent_said(&mut self, _who: Who, message: &Message) {
        if matches!(message, Message::RegisterSlaveMessage(_) | Message::ReregisterSlaveMessage(_)) {
            self.declined.clear();
        }
    }
    /// The master admits or loses an agent.
    pub fn agent_moved(&mut self) {
        self.declined.clear();
    }
    /// The master lost a connection.
    pub fn agent_left(&mut self, _peer: SocketAddr) {
        self.declined.clear();
    }
    /// The master's clock jumped.
    pub fn clock_jumped(&mut self) {
        self.declined.clear();
    }

    /// The master starts: it knows of no refusal.
    pub fn master_started(&mut self) {
        self.master_crashed();
    }
    /// The master is gone, with all it had promised.
    pub fn master_crashed(&mut self) {
        self.streams.clear();
        self.offers.clear();
        self.declined.clear();
        self.suppressed.clear();
    }

    /// A framework's stream opens.
    pub fn opened(&mut self, who: Who, stream: StreamId) {
        self.streams.retain(|_, w| *w != who);
        self.streams.insert(stream, who);
        self.forget_framework(who);
    }
    /// A stream is closed.
    pub fn closed(&mut self, stream: StreamId) {
        if let Some(who) = self.streams.remove(&stream) {
            self.forget_framework(who);
        }
    }
    fn forget_framework(&mut self, who: Who) {
        self.offers.retain(|_, (w, ..)| *w != who);
        self.declined.retain(|d| d.who != who);
        self.suppressed.remove(&who);
    }
    /// Who reads a stream.
    pub fn reader(&self, stream: StreamId) -> Option<Who> {
        self.streams.get(&stream).copied()
    }

    /// The master has taken the call that it was just given.
    pub fn call_taken(&mut self, now: Time) {
        let Some((who, call)) = self.calling.take() else { return };
        match call.r#type() {
            call::Type::Decline => {
                let decline = call.decline.unwrap_or_default();
                let seconds = decline.filters.and_then(|f| f.refuse_seconds).unwrap_or(5.0);
                let wait = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(5));
                for id in decline.offer_ids {
                    if let Some((_, agent, role, resources)) = self.take_offer(who, &id.value) {
                        self.declined.push(Declined { who, agent, role, resources, until: now + wait });
                    }
                }
            }
            call::Type::Accept => {
                for id in call.accept.unwrap_or_default().offer_ids {
                    self.take_offer(who, &id.value);
                }
            }
            call::Type::Revive => {
                self.suppressed.remove(&who);
                self.declined.retain(|d| d.who != who);
            }
            call::Type::Suppress if call.suppress.unwrap_or_default().roles.len() <= 1 => {
                self.suppressed.insert(who);
            }
            call::Type::Teardown => self.forget_framework(who),
            _ => {}
        }
    }
    fn take_offer(&mut self, who: Who, id: &str) -> Option<(Who, String, String, Resources)> {
        if self.offers.get(id).is_some_and(|offer| offer.0 == who) { self.offers.remove(id) } else { None }
    }

    /// The master says something to a framework.
    pub fn master_sends(&mut self, now: Time, who: Who, event: &Event) {
        match event.r#type() {
            event::Type::Offers => {
                for offer in event.offers.iter().flat_map(|o| &o.offers) {
                    let role =
                        offer.allocation_info.as_ref().and_then(|a| a.role.clone()).unwrap_or_default();
                    let resources = Resources::from_messages(&offer.resources).expect("an offer is valid");
                    self.check_offer(now, who, &offer.agent_id.value, &role, &resources);
                    let kept = (who, offer.agent_id.value.clone(), role, resources);
                    let before = self.offers.insert(offer.id.value.clone(), kept);
                    assert!(before.is_none(), "offer {} is made twice", offer.id.value);
                    self.check_sum(&offer.agent_id.value);
                }
            }
            event::Type::Rescind => {
                let id = event.rescind.as_ref().map(|r| r.offer_id.value.as_str()).unwrap_or_default();
                self.offers.remove(id);
            }
            event::Type::Update => {
                let Some(status) = event.update.as_ref().map(|u| &u.status) else { return };
                if status.uuid.as_ref().is_none_or(Vec::is_empty) {
                    return;
                }
                let key = (who, status.task_id.value.clone());
                if master::is_terminal(status.state()) {
                    self.over.insert(key);
                } else {
                    let over = self.over.contains(&key);
                    assert!(!over, "{} is {} after its end", key.1, status.state().as_str_name());
                }
            }
            _ => {}
        }
    }

    fn check_offer(&self, now: Time, who: Who, agent: &str, role: &str, offered: &Resources) {
        assert!(!self.suppressed.contains(&who), "{who} gets an offer though it wants none");
        // what was reserved since, or became a volume, is something else than what was declined
        for d in self.declined.iter().filter(|d| d.who == who && d.agent == agent && d.role == role) {
            let early = d.until > now && d.resources.contains(offered);
            let left = d.until.since(now).as_millis();
            assert!(!early, "{who} declined {offered} of {agent}, and gets it again {left} ms early");
        }
    }

    fn check_sum(&self, agent: &str) {
        let mut sum = Resources::default();
        for (_, _, _, resources) in self.offers.values().filter(|(_, a, ..)| a == agent) {
            sum += &resources.flatten();
        }
        assert!(total().contains(&sum), "{sum} of {agent} is offered at once");
    }
}

/// A call in a few words.
pub fn brief(call: &Call) -> String {
    let more = match call.r#type() {
        call::Type::Acknowledge => call.acknowledge.as_ref().map(|a| a.task_id.value.clone()),
        call::Type::Kill => call.kill.as_ref().map(|k| k.task_id.value.clone()),
        call::Type::Accept => call.accept.as_ref().map(|a| {
            let tasks = a.operations.iter().flat_map(|o| o.launch.iter()).flat_map(|l| &l.task_infos);
            tasks.map(|t| t.task_id.value.clone()).collect::<Vec<_>>().join(" ")
        }),
        call::Type::Reconcile => call.reconcile.as_ref().map(|r| format!("{} tasks", r.tasks.len())),
        _ => None,
    };
    format!("{} {}", call.r#type().as_str_name(), more.unwrap_or_default())
}

/// An event in a few words.
pub fn brief_event(event: &Event) -> String {
    let more = match event.r#type() {
        event::Type::Update => event.update.as_ref().map(|u| {
            let from = if u.status.uuid.is_some() { "" } else { " (master's)" };
            format!("{} {}{from}", u.status.task_id.value, u.status.state().as_str_name())
        }),
        event::Type::Offers => event.offers.as_ref().map(|o| o.offers.len().to_string()),
        event::Type::Error => event.error.as_ref().map(|e| e.message.clone()),
        _ => None,
    };
    format!("{} {}", event.r#type().as_str_name(), more.unwrap_or_default())
}

/// Whether a state is one of the agent's own that ends a task.
pub fn ends(state: TaskState) -> bool {
    master::is_terminal(state)
}
