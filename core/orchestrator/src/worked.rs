//! Which time counts: nobody is late for the time in which nobody worked, neither here nor at the master. Pure.
//!
//! Never decides what is late (`updates`, `terms`), nor what follows.

use base::{Duration, Time};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Spans in which nobody worked that are remembered; the oldest go first, and count again.
const IDLE_MAX: usize = 64;
/// While anything can be late it is noted so often that somebody works: so much work may be forgotten.
pub(crate) const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// For so long the master is waited for to say what became of the tasks, once it has taken the subscription; Marathon looks
/// for tasks that are overdue for the first time after as long (OverdueInstancesActor).
pub(crate) const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// When somebody worked: the orchestrator ran, and knew from its master how things stand. The record `worked`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Worked {
    /// When it was last noted, in ms since 1970.
    alive: u64,
    /// Spans in which nobody did, in ms since 1970.
    idle: VecDeque<(u64, u64)>,
    /// Since when nobody does.
    #[serde(skip)]
    stopped: Option<u64>,
}

impl Worked {
    /// After a start: since the last note nobody did, as far as is known.
    pub fn after_start(mut self, now: Time) -> Self {
        let now = now.as_millis();
        self.stopped = Some(if self.alive == 0 { now } else { self.alive.min(now) });
        self
    }
    /// From now on nobody works.
    pub fn stop(&mut self, now: Time) {
        self.stopped.get_or_insert(now.as_millis());
    }
    /// Somebody works again.
    pub fn go_on(&mut self, now: Time) {
        let now = now.as_millis();
        self.idle.extend(self.stopped.take().filter(|from| *from < now).map(|from| (from, now)));
        while self.idle.len() > IDLE_MAX {
            self.idle.pop_front();
        }
        self.alive = now;
    }
    /// Whether somebody works.
    pub fn is_on(&self) -> bool {
        self.stopped.is_none()
    }
    /// When it is to be noted again that somebody does; the clock may have gone back.
    pub fn noted_until(&self, now: Time) -> Time {
        if self.alive > now.as_millis() { now } else { Time::from_millis(self.alive) + ALIVE_EVERY }
    }
    /// Somebody works.
    pub fn note(&mut self, now: Time) {
        self.alive = now.as_millis();
    }
    /// When so much time has been worked since then, if nothing stops it.
    pub fn due(&self, since: Time, span: Duration) -> Time {
        self.idle_after(since)
            .fold(since + span, |at, (from, to)| if from < at { at + (to - from) } else { at })
    }
    /// How much was worked from then to now.
    pub fn since(&self, since: Time, now: Time) -> Duration {
        let idle = self.idle_after(since).map(|(from, to)| to.min(now).since(from));
        let idle: u64 = idle.map(|idle| idle.as_millis() as u64).sum();
        Duration::from_millis((now.since(since).as_millis() as u64).saturating_sub(idle))
    }
    fn idle_after(&self, since: Time) -> impl Iterator<Item = (Time, Time)> {
        let spans = self.idle.iter().map(|(from, to)| (Time::from_millis(*from), Time::from_millis(*to)));
        spans.filter(move |(_, to)| *to > since).map(move |(from, to)| (from.max(since), to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_worked_counts() {
        let at = Time::from_millis;
        let s = Duration::from_secs;
        let mut worked = Worked::default().after_start(at(0));
        assert!(!worked.is_on());
        worked.go_on(at(10_000));
        worked.stop(at(20_000));
        worked.stop(at(25_000));
        worked.go_on(at(30_000));
        for (since, span, due) in [
            (0, 5, 15),
            (0, 10, 20),
            (0, 11, 31),
            (10, 10, 20),
            (10, 15, 35),
            (25, 5, 35),
            (30, 5, 35),
            (40, 1, 41),
        ] {
            assert_eq!(worked.due(at(since * 1000), s(span)), at(due * 1000), "{span} s since {since}");
        }
        for (since, now, is) in [(0, 20, 10), (0, 25, 10), (0, 35, 15), (22, 40, 10), (30, 40, 10)] {
            assert_eq!(worked.since(at(since * 1000), at(now * 1000)), s(is), "{since} to {now}");
        }
        worked.note(at(33_000));
        let mut again = worked.clone().after_start(at(100_000));
        again.go_on(at(101_000));
        assert_eq!(again.due(at(31_000), s(5)), at(104_000));
        // a clock that went back makes nothing later, and does not wait for the old one
        let mut back = worked.after_start(at(5_000));
        assert_eq!(back.noted_until(at(5_000)), at(5_000));
        back.go_on(at(6_000));
        assert_eq!(back.due(at(31_000), s(5)), at(36_000));
        for n in 0..200 {
            back.stop(at(n * 2000));
            back.go_on(at(n * 2000 + 1000));
        }
        assert_eq!(back.idle.len(), IDLE_MAX);
    }
}
