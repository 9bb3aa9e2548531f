//! How many instances are in which state, as sums that are kept up to date one by one. Pure.

use crate::instances::{Condition, Instance};

/// How many instances of one version of an app are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All that are held.
    pub all: u64,
    /// Wanted and not given up: they count as instances of the app.
    pub active: u64,
    /// Active, not running yet.
    pub staged: u64,
    /// Active and running.
    pub running: u64,
    /// Running and known to be healthy.
    pub healthy: u64,
    /// Running, and ready where that is asked for.
    pub running_ready: u64,
    /// Healthy, and ready where that is asked for.
    pub healthy_ready: u64,
    /// Running and known not to be.
    pub unhealthy: u64,
    /// Being ended.
    pub ending: u64,
    /// At rest, with their volumes.
    pub resting: u64,
}

impl Tally {
    /// The sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            all: self.all + other.all,
            active: self.active + other.active,
            staged: self.staged + other.staged,
            running: self.running + other.running,
            healthy: self.healthy + other.healthy,
            running_ready: self.running_ready + other.running_ready,
            healthy_ready: self.healthy_ready + other.healthy_ready,
            unhealthy: self.unhealthy + other.unhealthy,
            ending: self.ending + other.ending,
            resting: self.resting + other.resting,
        }
    }
    pub(crate) fn of(instance: &Instance) -> Self {
        let given_up = instance.condition == Condition::UnreachableInactive;
        let running = instance.condition == Condition::Running;
        let active = !instance.ending && !given_up && !instance.rests();
        let ready = instance.ready != Some(false);
        let healthy = running && active && instance.healthy == Some(true);
        Self {
            all: 1,
            active: u64::from(active),
            staged: u64::from(active && instance.condition < Condition::Running),
            running: u64::from(running && active),
            healthy: u64::from(healthy),
            running_ready: u64::from(running && active && ready),
            healthy_ready: u64::from(healthy && ready),
            unhealthy: u64::from(running && active && instance.healthy == Some(false)),
            ending: u64::from(instance.ending && !given_up),
            resting: u64::from(instance.rests()),
        }
    }
    pub(crate) fn minus(self, o: Self) -> Self {
        Self {
            all: self.all - o.all,
            active: self.active - o.active,
            staged: self.staged - o.staged,
            running: self.running - o.running,
            healthy: self.healthy - o.healthy,
            running_ready: self.running_ready - o.running_ready,
            healthy_ready: self.healthy_ready - o.healthy_ready,
            unhealthy: self.unhealthy - o.unhealthy,
            ending: self.ending - o.ending,
            resting: self.resting - o.resting,
        }
    }
}
