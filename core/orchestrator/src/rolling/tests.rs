//! Upgrades by table, and by what must be true of every upgrade, whatever its instances do meanwhile.

use super::*;
use proptest::prelude::*;

/// An upgrade by itself.
#[derive(Clone, Debug)]
struct Upgrade {
    now: Standing,
    /// New ones that were well and fail now.
    new_doubtful: u64,
    minimum: f64,
    over: f64,
}

impl Upgrade {
    fn new(wanted: u64, old: u64, minimum: f64, over: f64) -> Self {
        let now = Standing { wanted, old_active: old, old_healthy: old, ..Standing::default() };
        Self { now, new_doubtful: 0, minimum, over }
    }
    fn floor(&self) -> u64 {
        let floor = (self.now.wanted as f64 * self.minimum).ceil() as u64;
        let ceiling = (self.now.wanted as f64 * (1.0 + self.over)).floor() as u64;
        if self.now.resident && floor == ceiling { floor.saturating_sub(1) } else { floor }
    }
    fn ceiling(&self) -> u64 {
        let floor = (self.now.wanted as f64 * self.minimum).ceil() as u64;
        let ceiling = (self.now.wanted as f64 * (1.0 + self.over)).floor() as u64;
        ceiling + u64::from(floor == ceiling && !self.now.resident)
    }
    fn all(&self) -> u64 {
        self.now.old_active + self.now.ending + self.now.new_started
    }
    /// Does what is to be done, and looks whether that was allowed; whether there is nothing left.
    fn act(&mut self) -> bool {
        let next = moves(self.now, self.minimum, self.over);
        if next.done {
            return true;
        }
        let now = &mut self.now;
        let over = now.new_healthy >= now.wanted;
        let useless = now.old_active - now.old_healthy - now.old_doubtful - now.old_away;
        let mut left = next.kill - next.kill.min(useless);
        let doubtful = left.min(now.old_doubtful);
        left -= doubtful;
        let healthy = left.min(now.old_healthy);
        left -= healthy;
        now.old_doubtful -= doubtful;
        now.old_healthy -= healthy;
        now.old_away -= left;
        now.old_active -= next.kill;
        now.ending += next.kill;
        now.new_started += next.launch;
        let (now, floor) = (self.now, self.floor());
        let serve = now.old_healthy + now.new_healthy;
        assert!(left == 0 || over, "away: {next:?} {self:?}");
        assert!(healthy == 0 || over || serve >= floor, "healthy: {next:?} {self:?}");
        assert!(doubtful == 0 || over || serve + now.old_doubtful >= floor, "in doubt: {next:?} {self:?}");
        assert!(next.launch == 0 || self.all() <= self.ceiling(), "launched: {next:?} {self:?}");
        false
    }
    /// Something happens that is no fault.
    fn go_on(&mut self, pick: u8) {
        let coming = self.now.new_started - self.now.new_healthy - self.new_doubtful;
        match (self.now.ending, coming, pick % 2) {
            (0, 0, _) if self.new_doubtful > 0 => {
                self.new_doubtful -= 1;
                self.now.new_healthy += 1;
            }
            (0, 0, _) => {}
            (1.., 0, _) | (1.., _, 0) => self.now.ending -= 1,
            _ => self.now.new_healthy += 1,
        }
    }
    /// Something happens that nobody wanted.
    fn fault(&mut self, pick: u8) {
        fn one(from: &mut u64, to: &mut u64) {
            if *from > 0 {
                (*from, *to) = (*from - 1, *to + 1);
            }
        }
        let now = &mut self.now;
        let mut useless = now.old_active - now.old_healthy - now.old_doubtful - now.old_away;
        let coming = now.new_started - now.new_healthy - self.new_doubtful;
        match pick % 11 {
            0 => one(&mut now.old_healthy, &mut now.old_doubtful),
            1 => (now.old_doubtful, now.old_healthy) = (now.old_doubtful + now.old_healthy, 0),
            2 => one(&mut now.old_doubtful, &mut now.old_healthy),
            3 => one(&mut now.old_healthy, &mut now.old_away),
            4 => one(&mut now.old_away, &mut now.old_healthy),
            5 => one(&mut useless, &mut now.old_healthy),
            6 => one(&mut now.new_healthy, &mut self.new_doubtful),
            7 => one(&mut self.new_doubtful, &mut now.new_healthy),
            // ends by itself, or is given up
            8 if now.old_healthy > 0 => {
                (now.old_healthy, now.old_active) = (now.old_healthy - 1, now.old_active - 1)
            }
            9 if now.old_away > 0 => (now.old_away, now.old_active) = (now.old_away - 1, now.old_active - 1),
            10 if coming > 0 => now.new_started -= 1,
            _ => {}
        }
    }
    /// Whether it comes to its end by itself; those that are in doubt stay so, and those that are away are given up.
    fn ends(&mut self) -> bool {
        self.now.old_active -= self.now.old_away;
        self.now.old_away = 0;
        (0..20_000u32).any(|at| {
            let done = self.act();
            self.go_on(at as u8);
            done
        })
    }
}

proptest! {
    #[test]
    fn keeps_its_bounds_and_ends(
        wanted in 0u64..30, old in 0u64..30, minimum in 0.0f64..=1.0, over in 0.0f64..=1.0,
        order in proptest::collection::vec(any::<u8>(), 1..40),
    ) {
        let mut upgrade = Upgrade::new(wanted, old, minimum, over);
        let (mut least, mut most, mut done) = (old, old, false);
        for at in 0..20_000usize {
            done = upgrade.act();
            if done {
                break;
            }
            least = least.min(upgrade.now.old_healthy + upgrade.now.new_healthy);
            most = most.max(upgrade.all());
            upgrade.go_on(order[at % order.len()]);
        }
        prop_assert!(done, "it converges");
        prop_assert!(least >= upgrade.floor().min(old), "least {least} of {old}: {upgrade:?}");
        prop_assert!(most <= upgrade.ceiling().max(old), "most {most} of {old}: {upgrade:?}");
    }

    #[test]
    fn what_fails_or_is_away_costs_nobody_and_holds_nothing_up(
        wanted in 0u64..8, old in 0u64..8, useless in 0u64..4, resident in any::<bool>(),
        minimum in prop_oneof![Just(0.0), Just(1.0), 0.0f64..=1.0],
        over in prop_oneof![Just(0.0), Just(1.0), 0.0f64..=1.0],
        events in proptest::collection::vec((any::<bool>(), any::<u8>()), 0..80),
    ) {
        let mut upgrade = Upgrade::new(wanted, old, minimum, over);
        (upgrade.now.old_active, upgrade.now.resident) = (old + useless, resident);
        for (fault, pick) in events {
            if upgrade.act() {
                break;
            }
            if fault { upgrade.fault(pick) } else { upgrade.go_on(pick) }
        }
        prop_assert!(upgrade.ends(), "{upgrade:?}");
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
        // all of them fail at once: nothing else is done than if they were well
        let now = Standing { old_doubtful: old, old_healthy: 0, ..now };
        assert_eq!(moves(now, minimum, over), next, "{now:?} {minimum} {over}");
    }
}
