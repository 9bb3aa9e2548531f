//! What is due when: one ordered set, so that the next deadline is at hand however many timers run.

use base::Time;
use model::request::StreamId;
use std::collections::{BTreeMap, BTreeSet};

/// Something that happens by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// A heartbeat for this framework's stream.
    Heartbeat(String),
    /// This framework did not come back in time.
    Failover(String),
    /// The next ping of this agent.
    Ping(String),
    /// Nobody answered this offer.
    Offer(String),
    /// Nobody answered this inverse offer, of a framework.
    InverseOffer(String, String),
    /// About this agent, a framework may be asked again.
    InverseRefusal(String, String),
    /// This agent of the registry did not come back after the master's restart.
    Reregister(String),
    /// A heartbeat for an operator's event stream.
    OperatorHeartbeat(StreamId),
    /// What the store refused is tried again.
    SaveAgain,
}

/// All running timers.
#[derive(Debug, Default)]
pub struct Timers {
    due: BTreeSet<(Time, Timer)>,
    at: BTreeMap<Timer, Time>,
}

impl Timers {
    /// Sets a timer, or moves it.
    pub fn set(&mut self, timer: Timer, at: Time) {
        self.cancel(&timer);
        self.due.insert((at, timer.clone()));
        self.at.insert(timer, at);
    }
    /// Stops a timer.
    pub fn cancel(&mut self, timer: &Timer) {
        if let Some(at) = self.at.remove(timer) {
            self.due.remove(&(at, timer.clone()));
        }
    }
    /// The next timer that is due by now; it is stopped.
    pub fn pop(&mut self, now: Time) -> Option<Timer> {
        let (at, timer) = self.due.first()?.clone();
        if at > now {
            return None;
        }
        self.cancel(&timer);
        Some(timer)
    }
    /// When the next one is due.
    pub fn next(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }
}
