//! Many seeds at once, on all cores, within a time. The only file with threads and a real clock: never decides what a
//! seed means.

use crate::{Options, Outcome, run};
use std::{
    cell::Cell,
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Instant, SystemTime},
};

/// A number nobody has tried, from the clock.
pub fn some_seed() -> u64 {
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    (nanos as u64) % 1_000_000_000_000
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Panics of a world are told in its outcome, and not on stderr as well.
fn silence() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
}

fn quietly<T>(what: impl FnOnce() -> T) -> T {
    QUIET.set(true);
    let done = what();
    QUIET.set(false);
    done
}

/// Runs seeds until all are done, time is up, or `seen` says that it has seen enough. Outcomes come in no order.
///
/// Failures are panics inside the world; they are caught and told in the outcome.
pub fn run_all(
    seeds: &[u64],
    options: Options,
    until: Option<Instant>,
    seen: impl Fn(&Outcome) -> bool + Sync,
) -> Vec<Outcome> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(seeds.len());
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    silence();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while until.is_none_or(|end| Instant::now() < end)
                    && let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let outcome = quietly(|| run(*seed, options));
                    if seen(&outcome) {
                        next.store(seeds.len(), Ordering::Relaxed);
                    }
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().unwrap_or_else(PoisonError::into_inner)
}
