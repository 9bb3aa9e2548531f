//! A disk under one store: batches become durable in order and late; a crash keeps some first part of what was asked.

use base::{Duration, Rng, Time};
use model::save::{Change, Records, SaveId};
use std::collections::VecDeque;

/// A disk.
#[derive(Debug)]
pub struct Disk {
    /// What a restart finds.
    pub synced: Records,
    queue: VecDeque<(SaveId, Vec<Change>)>,
    last: Time,
    /// Refuses until then.
    pub full_until: Time,
    /// Takes long until then.
    pub slow_until: Time,
}

impl Disk {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            synced: Records::new(),
            queue: VecDeque::new(),
            last: Time::EPOCH,
            full_until: Time::EPOCH,
            slow_until: Time::EPOCH,
        }
    }
    /// Asks for a batch; gives when its outcome is known.
    pub fn ask(&mut self, now: Time, rng: &mut Rng, save: SaveId, batch: Vec<Change>) -> Time {
        let micros =
            if now < self.slow_until { 200_000 + rng.below(3_000_000) } else { 50 + rng.below(3_000) };
        self.last = self.last.max(now + Duration::from_micros(micros));
        self.queue.push_back((save, batch));
        self.last
    }
    /// The outcome of the first batch that was asked for.
    pub fn finish(&mut self, now: Time) -> Option<(SaveId, bool)> {
        let (save, batch) = self.queue.pop_front()?;
        let good = now >= self.full_until;
        if good {
            self.apply(batch);
        }
        Some((save, good))
    }
    /// The process is gone. Of what was on its way some first part is durable.
    pub fn crash(&mut self, now: Time, rng: &mut Rng) {
        let kept = if now < self.full_until { 0 } else { rng.below(self.queue.len() as u64 + 1) };
        for _ in 0..kept {
            if let Some((_, batch)) = self.queue.pop_front() {
                self.apply(batch);
            }
        }
        self.queue.clear();
    }
    /// Whether something is on its way.
    pub fn is_busy(&self) -> bool {
        !self.queue.is_empty()
    }
    fn apply(&mut self, batch: Vec<Change>) {
        for change in batch {
            match change {
                Change::Put { key, value } => self.synced.insert(key, value),
                Change::Delete { key } => self.synced.remove(&key),
            };
        }
    }
}
