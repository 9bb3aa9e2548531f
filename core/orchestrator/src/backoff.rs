//! How long an app whose tasks end waits for its next launch. Pure: told of failures, asked for instants.

use base::{Duration, Time};

/// How an app backs off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// The first delay.
    pub first: Duration,
    /// By how much each further one grows.
    pub factor: f64,
    /// The longest delay.
    pub most: Duration,
}

/// The delay an app is in.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Backoff {
    delay: Duration,
    until: Option<Time>,
}

impl Backoff {
    /// A task ended at `now`. Tasks that end while the app waits already belong to the same failure.
    pub fn failed(&mut self, now: Time, policy: Policy) {
        let first = policy.first.min(policy.most);
        self.delay = match self.until {
            Some(until) if now < until => return,
            Some(until) if now.since(until) < policy.most.max(self.delay) => {
                Duration::try_from_secs_f64(self.delay.as_secs_f64() * policy.factor.max(1.0))
                    .unwrap_or(policy.most)
                    .clamp(first, policy.most)
            }
            _ => first,
        };
        self.until = Some(now + self.delay);
    }
    /// Until when nothing is launched, if that is later than `now`.
    pub fn waits_until(&self, now: Time) -> Option<Time> {
        self.until.filter(|until| *until > now)
    }
    /// Forgets every failure.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_its_bound_and_starts_again() {
        let policy = Policy { first: Duration::from_secs(1), factor: 2.0, most: Duration::from_secs(5) };
        let mut backoff = Backoff::default();
        let mut now = Time::from_millis(0);
        let mut delays = Vec::new();
        for _ in 0..5 {
            backoff.failed(now, policy);
            backoff.failed(now, policy);
            let until = backoff.waits_until(now).unwrap();
            delays.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(delays, [1, 2, 4, 5, 5]);
        assert_eq!(backoff.waits_until(now), None);
        backoff.failed(now + Duration::from_secs(60), policy);
        assert_eq!(backoff.waits_until(now + Duration::from_secs(60)), Some(now + Duration::from_secs(61)));
        backoff.clear();
        assert_eq!(backoff.waits_until(now), None);
    }
}
