//! What was freed and waits until the allocation interval is over, where one is set: then it is offered as in Apache Mesos,
//! whose allocator looks at freed resources on a tick alone. Without an interval nothing ever waits here.

use super::cycle::Dirty;
use base::{Duration, Time};

/// Changes that wait, and until when.
#[derive(Debug, Default)]
pub(super) struct Later {
    pub(super) dirty: Dirty,
    pub(super) at: Option<Time>,
}

impl Later {
    /// Lets changes wait for the end of the interval, which begins with the first of them, at the latest when it is asked
    /// for what can be offered.
    pub(super) fn wait(&mut self, freed: Dirty, now: Time, interval: Duration) {
        self.add(freed);
        if !self.dirty.is_empty() {
            self.at.get_or_insert(now + interval);
        }
    }
    /// Lets changes wait that were made at no known time.
    pub(super) fn add(&mut self, freed: Dirty) {
        move_into(freed, &mut self.dirty);
    }
    /// Whether something waits and it is not known for how long.
    pub(super) fn is_untimed(&self) -> bool {
        self.at.is_none() && !self.dirty.is_empty()
    }
    /// Hands over what has waited long enough.
    pub(super) fn over(&mut self, now: Time, dirty: &mut Dirty) {
        if self.at.is_some_and(|at| at <= now) {
            self.at = None;
            move_into(std::mem::take(&mut self.dirty), dirty);
        }
    }
}

fn move_into(mut from: Dirty, to: &mut Dirty) {
    from.agents.drain().into_iter().for_each(|agent| to.agents.insert(agent));
    to.clients.append(&mut from.clients);
    to.everywhere |= from.everywhere;
    to.limited.append(&mut from.limited);
    to.pairs.append(&mut from.pairs);
}
