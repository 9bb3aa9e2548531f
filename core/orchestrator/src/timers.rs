//! When something is due though nothing happened. Never decides what is done then.

use base::Time;
use std::collections::{BTreeMap, BTreeSet};

/// What can be due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// Every task is asked for.
    Reconcile,
    /// An app may launch again.
    Backoff(String),
    /// An unreachable, unconfirmed or slow instance is looked at.
    Instance(String),
    /// A kill is repeated.
    Kill(String),
    /// A health check is run; its instance and its index.
    Check(String, usize),
    /// A readiness check is run.
    Ready(String),
    /// What is asked of an app is looked at.
    Autoscale(String),
    /// A deployment should be done.
    Deployment(String),
    /// Offers were asked for long enough to free a reservation.
    Reclaim(String),
}

/// Each at most once.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    order: BTreeSet<(Time, Due)>,
    by_due: BTreeMap<Due, Time>,
}

impl Timers {
    /// Sets or moves a timer.
    pub fn set(&mut self, due: Due, at: Time) {
        if let Some(old) = self.by_due.insert(due.clone(), at) {
            self.order.remove(&(old, due.clone()));
        }
        self.order.insert((at, due));
    }
    /// Stops a timer.
    pub fn stop(&mut self, due: &Due) {
        if let Some(at) = self.by_due.remove(due) {
            self.order.remove(&(at, due.clone()));
        }
    }
    /// The first instant, and why.
    pub fn first(&self) -> Option<(Time, &'static str)> {
        self.order.first().map(|(at, due)| {
            let why = match due {
                Due::Reconcile => "reconciliation",
                Due::Backoff(_) => "back-off over",
                Due::Instance(_) => "instance waits",
                Due::Kill(_) => "kill repeated",
                Due::Check(..) => "health check",
                Due::Ready(_) => "readiness check",
                Due::Autoscale(_) => "load looked at",
                Due::Deployment(_) => "deployment should be done",
                Due::Reclaim(_) => "reservation asked for long enough",
            };
            (*at, why)
        })
    }
    /// Takes what is due.
    pub fn pop(&mut self, now: Time) -> Option<Due> {
        if self.order.first().is_none_or(|(at, _)| *at > now) {
            return None;
        }
        let (_, due) = self.order.pop_first()?;
        self.by_due.remove(&due);
        Some(due)
    }
}
