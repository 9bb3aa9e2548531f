//! How many old instances a rolling upgrade may end now and how many new ones it may start. Pure arithmetic.
//!
//! Never says which ones.

/// Where an upgrade stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Wanted instances.
    pub wanted: u64,
    /// Old instances that are not being ended.
    pub old_active: u64,
    /// Those of them that count as healthy.
    pub old_healthy: u64,
    /// New instances that are not being ended, started or only ordered.
    pub new_started: u64,
    /// Those of them that count as healthy.
    pub new_healthy: u64,
    /// Old instances that are being ended and still hold their place.
    pub ending: u64,
    /// Whether each new one takes the place of an old one: then none can be started beside them.
    pub resident: bool,
}

/// What may be done now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Old instances to end.
    pub kill: u64,
    /// New instances to start.
    pub launch: u64,
    /// Whether there is nothing left to do.
    pub done: bool,
}

/// The bounds an upgrade keeps: at least so many healthy, at most so many at all.
///
/// Where both are the same and everything is healthy nothing could ever move, so that one more is allowed.
pub fn bounds(wanted: u64, healthy: u64, minimum_health: f64, over_capacity: f64) -> (u64, u64) {
    let least = ((wanted as f64) * minimum_health.clamp(0.0, 1.0)).ceil() as u64;
    let most = ceiling(wanted, over_capacity);
    if least == most && most <= healthy { (least, most + 1) } else { (least, most) }
}

fn ceiling(wanted: u64, over_capacity: f64) -> u64 {
    ((wanted as f64) * (1.0 + over_capacity.clamp(0.0, 1.0))).floor() as u64
}

/// The next moves.
pub fn moves(now: Standing, minimum_health: f64, over_capacity: f64) -> Moves {
    let healthy = now.old_healthy + now.new_healthy;
    // the exception is decided on what could be healthy, so that it holds while the extra instance comes up
    let settled = healthy + now.ending;
    let (least, most) =
        bounds(now.wanted, settled.max(now.old_healthy + now.new_started), minimum_health, over_capacity);
    // where one more would be allowed for others, volumes are given up by one less (TaskReplaceActor)
    let (least, most) = match now.resident && most > ceiling(now.wanted, over_capacity) {
        true => (least.saturating_sub(1), most - 1),
        false => (least, most),
    };
    let spare = healthy.saturating_sub(least);
    let sick = now.old_active - now.old_healthy.min(now.old_active);
    // ending a sick one costs no health; a shrinking app gives up what it has too much of, but never below the minimum
    let kill = now.old_active.min(spare + sick);
    let kill = if now.new_healthy >= now.wanted { now.old_active } else { kill };
    let occupied = now.old_active + now.ending + now.new_started;
    let missing = now.wanted.saturating_sub(now.new_started);
    let launch = missing.min(most.saturating_sub(occupied));
    let done = now.old_active == 0 && now.ending == 0 && missing == 0 && now.new_healthy >= now.wanted;
    Moves { kill, launch, done }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs an upgrade by itself; `order` picks what happens next. Gives the fewest healthy and the most instances seen.
    fn run(wanted: u64, old: u64, minimum: f64, over: f64, order: &[u8]) -> (u64, u64, bool) {
        let mut now = Standing { wanted, old_active: old, old_healthy: old, ..Standing::default() };
        let (mut least, mut most) = (old, old);
        for at in 0..20_000usize {
            let next = moves(now, minimum, over);
            if next.done {
                return (least, most, true);
            }
            now.old_active -= next.kill;
            now.old_healthy = now.old_healthy.min(now.old_active);
            now.ending += next.kill;
            now.new_started += next.launch;
            least = least.min(now.old_healthy + now.new_healthy);
            most = most.max(now.old_active + now.ending + now.new_started);
            let coming = now.new_started - now.new_healthy;
            let pick = order.get(at % order.len().max(1)).copied().unwrap_or(0);
            match (now.ending, coming) {
                (0, 0) => {}
                (_, 0) => now.ending -= 1,
                (0, _) => now.new_healthy += 1,
                _ if pick % 2 == 0 => now.ending -= 1,
                _ => now.new_healthy += 1,
            }
        }
        (least, most, false)
    }

    proptest! {
        #[test]
        fn keeps_its_bounds_and_ends(
            wanted in 0u64..30, old in 0u64..30, minimum in 0.0f64..=1.0, over in 0.0f64..=1.0,
            order in proptest::collection::vec(any::<u8>(), 1..40),
        ) {
            let (least, most, done) = run(wanted, old, minimum, over, &order);
            prop_assert!(done, "it converges");
            let floor = (wanted as f64 * minimum).ceil() as u64;
            prop_assert!(least >= floor.min(old), "least {least}, floor {floor}, old {old}");
            let ceiling = (wanted as f64 * (1.0 + over)).floor() as u64;
            prop_assert!(most <= (ceiling + u64::from(floor == ceiling)).max(old), "most {most}, ceiling {ceiling}");
        }
    }

    #[test]
    fn table() {
        // wanted, old, minimum, over → first moves
        for (wanted, old, minimum, over, kill, launch) in [
            (10, 10, 0.5, 0.0, 5, 0),
            (10, 10, 1.0, 1.0, 0, 10),
            (10, 10, 1.0, 0.0, 0, 1),
            (10, 10, 0.0, 0.0, 10, 0),
            (10, 10, 0.75, 0.3, 2, 3),
            (3, 5, 1.0, 1.0, 2, 1),
        ] {
            let now = Standing { wanted, old_active: old, old_healthy: old, ..Standing::default() };
            let next = moves(now, minimum, over);
            assert_eq!((next.kill, next.launch), (kill, launch), "{now:?} {minimum} {over}");
        }
    }
}
