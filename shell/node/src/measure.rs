//! What is measured for metrics: the machine that this runs on, how long things took, what waits.

use crate::driver::now;
use endpoints::metrics::Measured;
use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Durations of which the quantiles are told.
const SAMPLES_MAX: usize = 1000;

/// The latest durations of something, in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Timings(Arc<Mutex<Window>>);

#[derive(Debug, Default)]
struct Window {
    latest: VecDeque<f64>,
    count: u64,
}

impl Timings {
    /// Notes one.
    pub fn note(&self, took: Duration) {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window.count += 1;
        window.latest.push_back(took.as_secs_f64() * 1000.0);
        while window.latest.len() > SAMPLES_MAX {
            window.latest.pop_front();
        }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// The last one.
    pub fn last(&self) -> f64 {
        let window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window.latest.back().copied().unwrap_or_default()
    }

    /// The last one under `name`, and count, extremes and quantiles below it.
    pub fn tell(&self, name: &str, into: &mut Vec<(String, f64)>) {
        let window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sorted: Vec<f64> = window.latest.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |quantile: f64| {
            let last = sorted.len().saturating_sub(1);
            sorted.get((quantile * last as f64).round() as usize).copied().unwrap_or_default()
        };
        into.push((name.to_owned(), window.latest.back().copied().unwrap_or_default()));
        into.push((format!("{name}/count"), window.count as f64));
        for (end, quantile) in [
            ("min", 0.0),
            ("max", 1.0),
            ("p50", 0.5),
            ("p90", 0.9),
            ("p95", 0.95),
            ("p99", 0.99),
            ("p999", 0.999),
            ("p9999", 0.9999),
        ] {
            into.push((format!("{name}/{end}"), at(quantile)));
        }
    }
}

/// The machine as it is now.
pub fn system() -> Measured {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut load = text.split_whitespace().map(|n| n.parse::<f64>().unwrap_or_default());
    let mut next = || load.next().unwrap_or_default();
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse::<f64>().ok().map(|kib| kib * 1024.0)
    };
    Measured {
        now: now(),
        load: [next(), next(), next()],
        cpus: std::thread::available_parallelism().map_or(1.0, |n| usize::from(n) as f64),
        memory_free: bytes("MemFree:").unwrap_or_default(),
        memory_total: bytes("MemTotal:").unwrap_or_default(),
        named: Vec::new(),
    }
}

/// The files of a store.
#[derive(Clone, Debug)]
pub struct StoreDir(pub PathBuf);

impl StoreDir {
    /// Bytes of all of them.
    pub fn bytes(&self) -> u64 {
        fn sum(dir: &Path) -> u64 {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            let one = |entry: std::fs::DirEntry| match entry.metadata() {
                Ok(meta) if meta.is_dir() => sum(&entry.path()),
                Ok(meta) => meta.len(),
                Err(_) => 0,
            };
            entries.map(one).sum()
        }
        sum(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_latest() {
        let timings = Timings::default();
        for ms in 1..=1500 {
            timings.note(Duration::from_millis(ms));
        }
        let mut told = Vec::new();
        timings.tell("t", &mut told);
        let of = |name: &str| told.iter().find(|(n, _)| n == name).map(|(_, v)| *v).unwrap();
        assert_eq!((of("t"), of("t/count")), (1500.0, 1500.0));
        assert_eq!((of("t/min"), of("t/max")), (501.0, 1500.0));
        assert!((of("t/p50") - 1000.0).abs() < 2.0, "{}", of("t/p50"));
    }

    #[test]
    fn this_machine_has_memory_and_a_load() {
        let system = system();
        assert!(system.memory_total > 0.0 && system.cpus >= 1.0 && system.load[0] >= 0.0, "{system:?}");
    }
}
