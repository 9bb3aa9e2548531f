//! When it is said again that a peer is not there: at once, then after twice the time each. Never says it itself.

use std::time::{Duration, Instant};

const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Complaints about one peer.
#[derive(Debug, Default)]
pub struct Complaints {
    next: Option<(Instant, Duration)>,
}

impl Complaints {
    /// Whether it is to be said now that the peer is not there.
    pub fn due(&mut self, now: Instant) -> bool {
        let pause = match self.next {
            None => PAUSE_MIN,
            Some((at, pause)) if at <= now => (pause * 2).min(PAUSE_MAX),
            Some(_) => return false,
        };
        self.next = Some((now + pause, pause));
        true
    }
    /// The peer is there; true if it was complained about before.
    pub fn end(&mut self) -> bool {
        self.next.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_growing_intervals_and_anew_after_success() {
        let mut complaints = Complaints::default();
        let start = Instant::now();
        let said: Vec<u64> = (0..2000).filter(|s| complaints.due(start + Duration::from_secs(*s))).collect();
        assert_eq!(said, [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 811, 1111, 1411, 1711]);
        assert!(complaints.end() && !complaints.end());
        assert!(complaints.due(start));
    }
}
