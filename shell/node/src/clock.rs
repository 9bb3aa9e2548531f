//! The instant now, for all machines of this process: it goes on evenly, whatever is done to the system's clock.
//!
//! Never: what a deadline means.

use base::Time;
use rustix::time::{ClockId, clock_gettime};
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

/// While the system's clock shows something else, ours goes this part slower or faster until both agree: a timer is never
/// off by more, and an hour that the clock was set back is made up in sixteen.
const SLEW_PART: u32 = 16;

/// Where our clock stood at one moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// What it showed.
    time: Time,
    /// Time since the machine was started, its sleep included.
    up: Duration,
}

impl Reading {
    /// What it shows when `up` has passed and the system's clock shows `wall`.
    fn next(self, up: Duration, wall: Time) -> Self {
        let passed = up.saturating_sub(self.up);
        let even = self.time + passed;
        let time = if wall > even {
            wall.min(even + passed / SLEW_PART)
        } else {
            Time::from_nanos(wall.as_nanos().max((self.time + (passed - passed / SLEW_PART)).as_nanos()))
        };
        Self { time, up }
    }
}

fn up() -> Duration {
    let read = clock_gettime(ClockId::Boottime);
    Duration::new(read.tv_sec.unsigned_abs(), u32::try_from(read.tv_nsec).unwrap_or_default())
}

fn wall() -> Time {
    let read = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time::from_nanos(u64::try_from(read.as_nanos()).unwrap_or(u64::MAX))
}

/// The instant now. It begins as the system's clock shows it; it never goes back and never jumps.
pub fn now() -> Time {
    static LAST: Mutex<Option<Reading>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let (up, wall) = (up(), wall());
    let reading = last.map_or(Reading { time: wall, up }, |last| last.next(up, wall));
    *last = Some(reading);
    reading.time
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Seconds that our clock shows after each of `steps` seconds, while the system's is off by `off` seconds.
    fn shown(steps: u64, off: i64) -> Vec<f64> {
        let start = 1_000_000_u64;
        let mut reading = Reading { time: Time::from_millis(start * 1000), up: Duration::ZERO };
        let walls = (1..=steps).map(|s| Time::from_millis((start + s).saturating_add_signed(off) * 1000));
        let readings = walls.enumerate().map(|(i, wall)| {
            reading = reading.next(SECOND * (i as u32 + 1), wall);
            reading.time.as_secs_f64() - start as f64
        });
        readings.collect()
    }

    #[test]
    fn it_follows_a_true_clock() {
        assert_eq!(shown(3, 0), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn a_jump_changes_its_pace_by_a_sixteenth_until_both_agree() {
        assert_eq!(shown(2, -3600), [0.9375, 1.875]);
        assert_eq!(shown(2, 3600), [1.0625, 2.125]);
        assert_eq!(shown(20, -1).last(), Some(&19.0));
        assert_eq!(shown(20, 1).last(), Some(&21.0));
    }

    #[test]
    fn it_goes_on_while_the_process_runs() {
        let before = now();
        let after = now();
        assert!(after >= before && after.since(before) < SECOND * 60);
        assert!(wall().since(before) < SECOND * 60 && before.since(wall()) < SECOND * 60);
    }
}
