//! E1: what an idle `mesolite dev` costs: memory of daemon and launcher, threads, processor time.

use crate::{
    Figure, Options,
    daemon::{Cores, Daemon},
    report::Target,
};
use std::{fs, thread, time::Duration};

const ROUNDS: usize = 3;
const SETTLE: Duration = Duration::from_secs(2);
const WATCH: Duration = Duration::from_secs(10);

/// Reads the kernel's own accounts of all processes of a cluster.
pub fn idle(options: &Options) -> Result<Vec<Figure>, String> {
    let cores = Cores::split()?;
    cores.release()?;
    let (mut rss, mut pss, mut threads, mut busy) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut parts = String::new();
    for _ in 0..options.rounds(ROUNDS) {
        let all: Vec<usize> = [&cores.server[..], &cores.client[..]].concat();
        let daemon = Daemon::start(&options.binary, false, &all, &[])?;
        thread::sleep(SETTLE / options.count(1, 20) as u32);
        let processes = daemon.processes();
        if processes.len() < 2 {
            return Err("a daemon and a launcher were expected".to_owned());
        }
        let before = ran(&processes)?;
        let watch = WATCH / options.count(1, 100) as u32;
        thread::sleep(watch);
        busy.push((ran(&processes)? - before) / watch.as_secs_f64() / 1e9 * 100.0);
        let sum = |file: &str, field: &str| -> Result<f64, String> {
            processes.iter().map(|pid| field_of(&format!("/proc/{pid}/{file}"), field)).sum()
        };
        parts = processes
            .iter()
            .map(|pid| {
                field_of(&format!("/proc/{pid}/status"), "VmRSS:")
                    .map(|kib| format!("{:.1} MiB", kib / 1024.0))
            })
            .collect::<Result<Vec<_>, _>>()?
            .join(" + ");
        rss.push(sum("status", "VmRSS:")? / 1024.0);
        pss.push(sum("smaps_rollup", "Pss:")? / 1024.0);
        threads.push(sum("status", "Threads:")?);
    }
    let binary = fs::metadata(&options.binary).map_err(|e| e.to_string())?.len() as f64 / 1e6;
    Ok(vec![
        Figure::plain(
            format!("resident: daemon + launcher and its nursery = {parts}"),
            "MiB",
            rss,
            Target::AtMost(30.0),
        ),
        Figure::plain("proportional (shared pages once)", "MiB", pss, Target::None),
        Figure::plain("binary", "MB", vec![binary], Target::AtMost(25.0)),
        Figure::plain("threads", "", threads, Target::None),
        Figure::plain("processor while idle", "% of a core", busy, Target::AtMost(0.3)),
    ])
}

fn field_of(path: &str, field: &str) -> Result<f64, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("can't read {path}: {e}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|rest| rest.split_whitespace().next()).and_then(|n| n.parse().ok());
    number.ok_or_else(|| format!("{path} has no {field}"))
}

/// Nanoseconds that all threads of all processes have run.
fn ran(processes: &[u32]) -> Result<f64, String> {
    let mut sum = 0.0;
    for pid in processes {
        let tasks =
            fs::read_dir(format!("/proc/{pid}/task")).map_err(|e| format!("process {pid} is gone: {e}"))?;
        for task in tasks.flatten() {
            // A thread that ended meanwhile has nothing to say.
            let stat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            sum += stat.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or_default();
        }
    }
    Ok(sum)
}
