//! What has happened since the start, as numbers for readers. Names are those of upstream's metrics.

use model::mesos::{
    TaskState, TaskStatus,
    scheduler::event,
    task_status::{Reason, Source},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// What has happened since the start.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Scheduler calls.
    pub calls: u64,
    /// Offers made.
    pub offers: u64,
    /// Operations on resources that were applied.
    pub operations: u64,
    /// Tasks sent to agents.
    pub launched: u64,
    /// Status updates received.
    pub updates: u64,
    /// Of those, for unknown frameworks.
    pub updates_dropped: u64,
    /// Messages from processes that may not say them.
    pub messages_dropped: u64,
    /// Reconciliation calls.
    pub reconciliations: u64,
    /// Batches that the store refused.
    pub saves_failed: u64,
    /// Records of the registry that did not parse at the start.
    pub registry_records_broken: u64,
    /// How often resources were divided.
    pub allocations: u64,
    /// Ended tasks by state.
    pub ended: BTreeMap<&'static str, u64>,
    /// Ended, refused and unreachable tasks by state, who said so, and why.
    pub reasons: BTreeMap<(TaskState, Source, Reason), u64>,
    /// Everything else, by the name of its metric without `master/`.
    pub named: BTreeMap<&'static str, u64>,
    /// Calls of frameworks by principal.
    pub principals: BTreeMap<String, u64>,
}

/// Principals whose calls are counted apart; those of more are not.
const PRINCIPALS_MAX: usize = 1000;

impl Counters {
    pub(crate) fn ended(&mut self, state: TaskState) {
        *self.ended.entry(state.as_str_name()).or_default() += 1;
    }
    /// Why a task ended, was refused or can't be reached, if that is said.
    pub(crate) fn reason(&mut self, status: &TaskStatus) {
        if status.reason.is_some() {
            *self.reasons.entry((status.state(), status.source(), status.reason())).or_default() += 1;
        }
    }
    pub(crate) fn count(&mut self, name: &'static str) {
        *self.named.entry(name).or_default() += 1;
    }
    /// A counter by name; 0 until it is counted.
    pub fn named(&self, name: &str) -> u64 {
        self.named.get(name).copied().unwrap_or_default()
    }
    pub(crate) fn principal(&mut self, name: &str) {
        if let Some(count) = self.principals.get_mut(name) {
            *count += 1;
        } else if self.principals.len() < PRINCIPALS_MAX {
            self.principals.insert(name.to_owned(), 1);
        }
    }
}

const EVENTS: usize = 14;

/// Events by type. They are counted where they are said, which changes nothing else: copies count together.
#[derive(Clone, Debug, Default)]
pub struct EventCounts(Arc<[AtomicU64; EVENTS]>);

impl EventCounts {
    pub(crate) fn count(&self, kind: event::Type) {
        if let Some(count) = self.0.get(kind as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
    /// How many of a type.
    pub fn of(&self, kind: event::Type) -> u64 {
        self.0.get(kind as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }
    /// How many of all types.
    pub fn all(&self) -> u64 {
        self.0.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_its_place() {
        let counts = EventCounts::default();
        for number in 0.. {
            let Ok(kind) = event::Type::try_from(number) else { break };
            counts.count(kind);
            assert_eq!(counts.of(kind), 1, "{kind:?}");
            assert_eq!(counts.all(), number as u64 + 1);
        }
    }
}
