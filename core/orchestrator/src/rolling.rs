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
    /// Those of them that were well and fail now: they may be well again any moment.
    pub old_doubtful: u64,
    /// Those of them that can't be reached: they may serve all the same, and their end frees nothing.
    pub old_away: u64,
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
    /// Old instances to end: first those that never served, then those that fail, then those that are healthy, and last
    /// those that can't be reached.
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
    let old_serving = now.old_healthy + now.old_doubtful;
    let old_living = old_serving + now.old_away;
    // the exception is decided on what could be healthy, so that it holds while the extra instance comes up
    let settled = old_living + now.new_healthy + now.ending;
    let (least, most) =
        bounds(now.wanted, settled.max(old_living + now.new_started), minimum_health, over_capacity);
    // where one more would be allowed for others, volumes are given up by one less (TaskReplaceActor)
    let (least, most) = match now.resident && most > ceiling(now.wanted, over_capacity) {
        true => (least.saturating_sub(1), most - 1),
        false => (least, most),
    };
    // One that fails is in doubt, and a moment later well again: no more go than if it were well, but it goes first. So
    // what is left of those that are healthy is never below the minimum.
    let spare = (healthy + now.old_doubtful).saturating_sub(least);
    let useless = now.old_active.saturating_sub(old_living);
    let kill = useless + old_serving.min(spare);
    let kill = if now.new_healthy >= now.wanted { now.old_active } else { kill };
    let occupied = now.old_active + now.ending + now.new_started;
    let missing = now.wanted.saturating_sub(now.new_started);
    let launch = missing.min(most.saturating_sub(occupied));
    let done = now.old_active == 0 && now.ending == 0 && missing == 0 && now.new_healthy >= now.wanted;
    Moves { kill, launch, done }
}

#[cfg(test)]
#[path = "rolling/tests.rs"]
mod tests;
