//! When something is due though nothing happened. Never decides what is done then.

use base::Time;
use std::collections::{BTreeMap, BTreeSet};

/// What can be due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// It is noted that somebody works.
    Alive,
    /// The master was waited for long enough.
    Answers,
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

impl Due {
    /// Whether somebody is late then.
    pub fn is_bound(&self) -> bool {
        matches!(self, Self::Instance(_) | Self::Deployment(_) | Self::Reclaim(_))
    }
}

/// Each at most once.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    order: BTreeSet<(Time, Due)>,
    by_due: BTreeMap<Due, Time>,
    /// That were due while nobody worked.
    held: BTreeSet<Due>,
}

impl Timers {
    /// Sets or moves a timer.
    pub fn set(&mut self, due: Due, at: Time) {
        self.held.remove(&due);
        if let Some(old) = self.by_due.insert(due.clone(), at) {
            self.order.remove(&(old, due.clone()));
        }
        self.order.insert((at, due));
    }
    /// Stops a timer.
    pub fn stop(&mut self, due: &Due) {
        self.held.remove(due);
        if let Some(at) = self.by_due.remove(due) {
            self.order.remove(&(at, due.clone()));
        }
    }
    /// Keeps one that is due until it is asked for.
    pub fn hold(&mut self, due: Due) {
        self.held.insert(due);
    }
    /// Gives those that were kept.
    pub fn held(&mut self) -> BTreeSet<Due> {
        std::mem::take(&mut self.held)
    }
    /// Whether this one is set.
    pub fn has(&self, due: &Due) -> bool {
        self.by_due.contains_key(due)
    }
    /// Whether anybody may be late some time.
    pub fn bind(&self) -> bool {
        let first = |of: fn(String) -> Due| self.by_due.range(of(String::new())..).next();
        [Due::Instance as fn(String) -> Due, Due::Deployment, Due::Reclaim]
            .into_iter()
            .any(|of| first(of).is_some_and(|(due, _)| due.is_bound()))
    }
    /// The first instant, and why.
    pub fn first(&self) -> Option<(Time, &'static str)> {
        self.order.first().map(|(at, due)| {
            let why = match due {
                Due::Alive => "work noted",
                Due::Answers => "master waited for",
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
