//! Connections of the link: in order while they stand, everything lost when they break. And who hears whom.

use crate::world::{Event, Who, World};
use base::{Duration, Time};
use model::link::{Envelope, Message};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
};

/// A way from one daemon to another.
#[derive(Debug)]
pub struct Connection {
    /// Who opened it and sends on it.
    pub from: Who,
    /// Who hears.
    pub to: Who,
    life: u64,
    /// The life of who hears: a later one has never heard of this connection.
    to_life: u64,
    dead: bool,
    last: Time,
    held: VecDeque<Box<Envelope>>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Net {
    connections: BTreeMap<u64, Connection>,
    current: BTreeMap<(Who, Who), u64>,
    next: u64,
    blocked: BTreeSet<(Who, Who)>,
}

impl Net {
    /// Whether two hosts don't hear each other.
    pub fn is_blocked(&self, a: Who, b: Who) -> bool {
        self.blocked.contains(&(a.min(b), a.max(b)))
    }
    /// Connections that stand.
    pub fn standing(&self) -> Vec<u64> {
        self.current.values().copied().collect()
    }
}

impl World {
    fn who_listens(&self, address: SocketAddr) -> Option<Who> {
        self.everyone().into_iter().find(|who| who.address() == address)
    }

    /// The connection to a daemon, opened if there is none.
    pub fn connection(&mut self, from: Who, to: Who) -> u64 {
        if let Some(id) = self.net.current.get(&(from, to)) {
            return *id;
        }
        let id = self.net.next;
        self.net.next += 1;
        let (life, to_life) = (self.life(from), self.life(to));
        let connection =
            Connection { from, to, life, to_life, dead: false, last: self.now, held: VecDeque::new() };
        self.net.connections.insert(id, connection);
        self.net.current.insert((from, to), id);
        if self.net.is_blocked(from, to) {
            self.after(Duration::from_secs(10), Event::Break(id));
        } else if !self.is_up(to) {
            let wait = self.delay();
            self.after(wait, Event::Break(id));
        }
        id
    }

    /// Holds a connection though nothing is said.
    pub fn link(&mut self, from: Who, to: SocketAddr) {
        if let Some(to) = self.who_listens(to) {
            self.connection(from, to);
        }
    }

    /// Sends a message.
    pub fn send(&mut self, from: Who, mut envelope: Box<Envelope>) {
        let Some(to) = self.who_listens(envelope.to.address) else { return };
        if self.mix.wire {
            let message = &envelope.message;
            let again = Message::decode(message.name(), &message.encode());
            let again = again.expect("the link knows its messages").expect("what is written is read");
            assert_eq!(again, *message, "a message of the link is not what it was");
            envelope.message = again;
        }
        let id = self.connection(from, to);
        let at = self.now + self.delay();
        let Some(connection) = self.net.connections.get_mut(&id) else { return };
        connection.last = connection.last.max(at);
        let at = connection.last;
        if !self.quiet && self.mix.doubled > 0 && self.chance(self.mix.doubled) {
            let again = at + Duration::from_micros(self.rng.below(20_000));
            self.at(again, Event::Link(id, envelope.clone()));
        }
        self.at(at, Event::Link(id, envelope));
    }

    /// A message arrives, unless its connection is gone or its way is blocked.
    pub fn link_arrives(&mut self, id: u64, envelope: Box<Envelope>) {
        let Some(connection) = self.net.connections.get_mut(&id).filter(|c| !c.dead) else { return };
        let (from, to) = (connection.from, connection.to);
        if self.net.blocked.contains(&(from.min(to), from.max(to))) {
            connection.held.push_back(envelope);
            return;
        }
        let to_life = connection.to_life;
        if !self.is_up(to) || self.life(to) != to_life {
            self.break_connection(id);
            return;
        }
        self.note(&format!("{from} → {to} {}", brief(&envelope.message)));
        match to {
            Who::Master => {
                self.history.agent_said(from, &envelope.message);
                self.step_master(master::Input::Message(envelope));
            }
            Who::Agent(n) => self.agent_hears(n, envelope),
            Who::Orchestrator | Who::Plain(_) => {}
        }
    }

    /// A connection is gone, with all that is on it; who opened it hears of it.
    pub fn break_connection(&mut self, id: u64) {
        let Some(connection) = self.net.connections.remove(&id) else { return };
        let (from, to, life) = (connection.from, connection.to, connection.life);
        if self.net.current.get(&(from, to)) == Some(&id) {
            self.net.current.remove(&(from, to));
        }
        let late = if self.rng.below(4) == 0 { self.rng.below(4_000_000) } else { self.rng.below(2_000) };
        self.after(Duration::from_micros(late), Event::Exited(from, life, to.address()));
    }

    /// A daemon learns that its connection is gone.
    pub fn exited(&mut self, who: Who, life: u64, peer: SocketAddr) {
        if self.life(who) != life || !self.is_up(who) {
            return;
        }
        self.note(&format!("{who} lost its connection to {peer}"));
        match who {
            Who::Master => {
                self.history.agent_left(peer);
                self.step_master(master::Input::Exited { peer });
            }
            Who::Agent(n) => self.step_agent(n, agent::Input::Exited { peer }),
            Who::Orchestrator | Who::Plain(_) => {}
        }
    }

    /// A process ended: its connections end. What it had sent may arrive, or not.
    pub fn drop_connections(&mut self, who: Who) {
        for id in self.net.standing() {
            let (from, to) = match self.net.connections.get(&id) {
                Some(c) => (c.from, c.to),
                None => continue,
            };
            if from == who {
                self.net.current.remove(&(from, to));
                if self.chance(500) {
                    self.net.connections.remove(&id);
                }
            } else if to == who && !self.net.is_blocked(from, to) {
                self.break_connection(id);
            } else if to == who {
                self.after(Duration::from_secs(30), Event::Break(id));
            }
        }
    }

    /// Two hosts don't hear each other for a while.
    pub fn part(&mut self, a: Who, b: Who, wait: Duration) {
        if a == b || !self.net.blocked.insert((a.min(b), a.max(b))) {
            return;
        }
        self.note(&format!("{a} and {b} don't hear each other for {} ms", wait.as_millis()));
        self.after(wait, Event::Heal(a, b));
        for id in self.net.standing() {
            let crosses = self
                .net
                .connections
                .get(&id)
                .is_some_and(|c| (c.from, c.to) == (a, b) || (c.from, c.to) == (b, a));
            if crosses && self.chance(500) {
                let wait = Duration::from_millis(self.rng.below(60_000));
                self.after(wait, Event::Break(id));
            }
        }
    }

    /// Two hosts hear each other again: what waited goes on.
    pub fn heal(&mut self, a: Who, b: Who) {
        if !self.net.blocked.remove(&(a.min(b), a.max(b))) {
            return;
        }
        self.note(&format!("{a} and {b} hear each other again"));
        let ids: Vec<u64> = self.net.connections.keys().copied().collect();
        for id in ids {
            let Some(c) = self.net.connections.get_mut(&id) else { continue };
            if (c.from.min(c.to), c.from.max(c.to)) != (a.min(b), a.max(b)) {
                continue;
            }
            let held = std::mem::take(&mut c.held);
            c.last = c.last.max(self.now);
            let at = c.last;
            for envelope in held {
                self.at(at, Event::Link(id, envelope));
            }
        }
        self.channels_heal(a, b);
    }

    /// Everybody hears everybody.
    pub fn heal_all(&mut self) {
        for (a, b) in self.net.blocked.clone() {
            self.heal(a, b);
        }
    }
}

/// A message in a few words.
pub fn brief(message: &Message) -> String {
    let name = message.name().trim_start_matches("mesos.internal.");
    let more = match message {
        Message::RunTaskMessage(m) => m.task.task_id.value.clone(),
        Message::KillTaskMessage(m) => m.task_id.value.clone(),
        Message::StatusUpdateMessage(m) => {
            format!("{} {}", m.update.status.task_id.value, m.update.status.state().as_str_name())
        }
        Message::StatusUpdateAcknowledgementMessage(m) => m.task_id.value.clone(),
        Message::ReregisterSlaveMessage(m) => {
            let state = m.resource_version_uuid.as_ref().map(short).unwrap_or_default();
            format!("{} tasks, in state {state}", m.tasks.len())
        }
        Message::UpdateSlaveMessage(m) => m.resource_version_uuid.as_ref().map(short).unwrap_or_default(),
        Message::SlaveReregisteredMessage(m) => format!("{} to reconcile", m.reconciliations.len()),
        Message::ShutdownFrameworkMessage(m) => m.framework_id.value.clone(),
        Message::ApplyOperationMessage(m) => {
            format!("{} {}", m.operation_info.r#type().as_str_name(), short(&m.operation_uuid))
        }
        Message::UpdateOperationStatusMessage(m) => {
            let uuid = m.operation_uuid.as_ref().map(short).unwrap_or_default();
            format!("{} {uuid}", m.status.state().as_str_name())
        }
        Message::AcknowledgeOperationStatusMessage(m) => short(&m.operation_uuid),
        Message::ReconcileOperationsMessage(m) => {
            let asked = m.operations.iter().filter_map(|o| o.operation_uuid.as_ref());
            asked.map(short).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    };
    format!("{name} {more}")
}

/// Enough of an id to follow it through a trace.
fn short(uuid: &model::mesos::Uuid) -> String {
    uuid.value.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}
