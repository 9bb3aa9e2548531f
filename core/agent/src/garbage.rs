//! Sandboxes of what has ended: kept for reading, removed by age, sooner the fuller the disk is.
//!
//! A run is garbage from the moment its end is acknowledged, durably, so that no restart forgets a directory. Upstream:
//! src/slave/gc.cpp, and `Slave::age` for the rule. Never: the removal itself (the shell removes).

use crate::{Agent, Effect, records};
use base::{Duration, Effects, Time};
use std::collections::{BTreeMap, BTreeSet};

/// Sandboxes that are kept at most, whatever their age: the oldest go first.
const KEPT_MAX: usize = 100_000;
/// Removals under way at most: a removal of many files takes its time.
const REMOVALS_MAX: usize = 16;

/// How long sandboxes are kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// On an empty disk.
    pub delay: Duration,
    /// The part of the disk that is to stay free: the closer it comes, the shorter sandboxes are kept.
    pub headroom: f64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { delay: Duration::from_secs(7 * 24 * 3600), headroom: 0.1 }
    }
}

impl Keep {
    /// How long they are kept while this part of the disk is used (0 to 1).
    fn age(self, used: f64) -> Duration {
        let part = 1.0 - self.headroom - used;
        if part > 0.0 { self.delay.mul_f64(part.min(1.0)) } else { Duration::ZERO }
    }
}

/// Sandboxes that nobody writes to any more.
#[derive(Debug)]
pub(crate) struct Garbage {
    age: Duration,
    kept: BTreeSet<(Time, String)>,
    /// Since the step that is being taken.
    fresh: Vec<String>,
    /// Being removed.
    leaving: BTreeMap<String, Time>,
}

impl Garbage {
    pub fn new(keep: Keep) -> Self {
        Self { age: keep.delay, kept: BTreeSet::new(), fresh: Vec::new(), leaving: BTreeMap::new() }
    }
    /// What was durable.
    pub fn read(&mut self, directory: String, since: Time) {
        self.kept.insert((since, directory));
    }
    /// When the next one goes.
    pub fn deadline(&self) -> Option<Time> {
        let (since, _) = self.kept.first().filter(|_| self.leaving.len() < REMOVALS_MAX)?;
        Some(if self.kept.len() > KEPT_MAX { *since } else { *since + self.age })
    }
    /// Directories that can still be read, newest first.
    pub fn directories(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().rev().map(|(_, directory)| directory.as_str())
    }
}

impl Agent {
    /// A sandbox whose run is over.
    pub(crate) fn becomes_garbage(&mut self, directory: &str) {
        if !directory.is_empty() {
            self.garbage.fresh.push(directory.to_owned());
        }
    }

    /// Ends a step: what became garbage in it does so durably.
    pub(crate) fn keep_garbage(&mut self, now: Time) {
        for directory in std::mem::take(&mut self.garbage.fresh) {
            self.saves.later(records::garbage(&directory, now));
            self.garbage.kept.insert((now, directory));
        }
    }

    /// How full the disk of the sandboxes is, from 0 to 1.
    pub(crate) fn disk_used(&mut self, part: f64) {
        self.garbage.age = self.config.keep.age(part);
    }

    pub(crate) fn garbage_due(&mut self, now: Time, out: &mut Effects<Effect>) {
        while self.garbage.deadline().is_some_and(|at| at <= now) {
            let Some((since, directory)) = self.garbage.kept.pop_first() else { return };
            out.push(Effect::Discard { directory: directory.clone() });
            self.garbage.leaving.insert(directory, since);
        }
    }

    /// A directory is gone, or can't be removed: what stays is not tried again before the next start.
    pub(crate) fn discarded(&mut self, directory: &str, gone: bool) {
        if self.garbage.leaving.remove(directory).is_some() && gone {
            self.saves.push(records::forget_garbage(directory));
        }
    }
}

/// Framework and executor of a sandbox, by its path.
pub(crate) fn owners(directory: &str) -> Option<(&str, &str)> {
    let (_, rest) = directory.rsplit_once("/frameworks/")?;
    let (framework, rest) = rest.split_once("/executors/")?;
    let (executor, _) = rest.split_once("/runs/")?;
    Some((framework, executor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_keeps_nothing() {
        let keep = Keep { delay: Duration::from_secs(1000), headroom: 0.1 };
        assert_eq!(keep.age(0.0), Duration::from_secs(900));
        assert_eq!(keep.age(0.4), Duration::from_secs(500));
        assert_eq!(keep.age(0.95), Duration::ZERO);
        assert_eq!(keep.age(f64::NAN), Duration::ZERO);
    }

    #[test]
    fn sandboxes_name_their_owners() {
        let directory = "/var/x/slaves/S0/frameworks/F-1/executors/web.1/runs/c-1";
        assert_eq!(owners(directory), Some(("F-1", "web.1")));
        assert_eq!(owners("/var/x"), None);
    }
}
