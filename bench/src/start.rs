//! E2: from exec to the ready file, and to the first running task, on an empty directory.

use crate::{
    Figure, Options,
    client::Scheduler,
    daemon::{Cores, Daemon},
    launch::first_running,
    probes,
    report::Target,
    stats::median,
};

const ROUNDS: usize = 9;

/// One start after the other, each in an empty directory.
pub fn cold(options: &Options) -> Result<Vec<Figure>, String> {
    let cores = Cores::split()?;
    let all: Vec<usize> = if cores.server == cores.client {
        cores.server.clone()
    } else {
        cores.server.iter().chain(&cores.client).copied().collect()
    };
    let (mut ready, mut first, mut limits) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds(ROUNDS) {
        let daemon = Daemon::start(&options.binary, false, &all, &[])?;
        ready.push(daemon.ready_after.as_secs_f64() * 1e3);
        let running = Scheduler::subscribe(&daemon.master, "bench")
            .and_then(|scheduler| first_running(&scheduler))
            .map_err(|why| format!("{why}; the daemon said: {}", daemon.logged()))?;
        first.push(running.duration_since(daemon.executed).as_secs_f64() * 1e3);
        limits.push(probes::exec_and_sync("/bin/true", &daemon.dir())?);
    }
    eprintln!("   ready {ready:.0?} ms, first task {first:.0?} ms");
    let limit = median(&limits);
    let beside = |mut figure: Figure| {
        figure.limit = Some((limit, "one exec and one durable write"));
        figure.ratio = Some(limit / figure.value);
        figure
    };
    Ok(vec![
        beside(Figure::plain("exec to ready file", "ms", ready, Target::AtMost(100.0))),
        beside(Figure::plain("exec to first task RUNNING", "ms", first, Target::AtMost(250.0))),
    ])
}
