//! What this machine can do at best: small bare programs, run just before and just after what they are compared with.

mod core;
mod raw;

use crate::daemon::Cores;
pub use core::placements;
use raw::{Bare, Surroundings};
use std::{
    ffi::CString,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Where the bare probe makes its groups.
const CGROUP_MOUNT: &str = "/sys/fs/cgroup";

/// Starts per second of `file` by vfork, exec and wait, one worker on each of the cores.
pub fn spawns(file: &str, cores: &[usize], time: Duration) -> Result<f64, String> {
    workers(cores, time, |_| Ok((Bare::new(file)?, Vec::new())))
}

/// The same in pid, mount and ipc namespaces and in one new v1 cgroup of each of the controllers.
pub fn isolated_spawns(
    file: &str,
    cores: &[usize],
    controllers: &[&str],
    time: Duration,
) -> Result<f64, String> {
    workers(cores, time, |core| {
        let parents = controllers.iter().map(|c| {
            let parent =
                Path::new(CGROUP_MOUNT).join(c).join(format!("mesolite-probe-{}-{core}", std::process::id()));
            fs::create_dir_all(&parent).map_err(|e| format!("can't make {}: {e}", parent.display()))?;
            Ok(parent)
        });
        Ok((Bare::new(file)?, parents.collect::<Result<Vec<PathBuf>, String>>()?))
    })
}

fn workers(
    cores: &[usize],
    time: Duration,
    prepare: impl Fn(usize) -> Result<(Bare, Vec<PathBuf>), String> + Sync,
) -> Result<f64, String> {
    let rates: Vec<Result<f64, String>> = thread::scope(|scope| {
        let started: Vec<_> = cores
            .iter()
            .map(|core| {
                let prepare = &prepare;
                scope.spawn(move || {
                    Cores::bind(&[*core])?;
                    let (mut bare, groups) = prepare(*core)?;
                    let rate = repeat(&mut bare, &groups, time);
                    for group in groups {
                        fs::remove_dir(&group)
                            .map_err(|e| format!("can't remove {}: {e}", group.display()))?;
                    }
                    rate
                })
            })
            .collect();
        let ended = started.into_iter().map(|worker| worker.join());
        ended.map(|ended| ended.unwrap_or_else(|_| Err("a worker panicked".to_owned()))).collect()
    });
    rates.into_iter().sum()
}

fn repeat(bare: &mut Bare, parents: &[PathBuf], time: Duration) -> Result<f64, String> {
    let begun = Instant::now();
    let mut done = 0;
    while begun.elapsed() < time {
        let groups: Vec<PathBuf> = parents.iter().map(|parent| parent.join(format!("c{done}"))).collect();
        let mut surroundings = Surroundings { namespaces: !parents.is_empty(), groups: Vec::new() };
        for group in &groups {
            fs::create_dir(group).map_err(|e| format!("can't make {}: {e}", group.display()))?;
            let procs = fs::OpenOptions::new().write(true).open(group.join("cgroup.procs"));
            surroundings.groups.push(procs.map_err(|e| format!("can't open its processes: {e}"))?);
        }
        bare.run(&surroundings).map_err(|e| format!("the probe can't start a process: {e}"))?;
        drop(surroundings);
        for group in &groups {
            remove(group)?;
        }
        done += 1;
    }
    Ok(f64::from(done) / begun.elapsed().as_secs_f64())
}

/// The kernel may still be putting away a process that was waited for.
fn remove(group: &Path) -> Result<(), String> {
    let until = Instant::now() + Duration::from_secs(1);
    loop {
        match fs::remove_dir(group) {
            Ok(()) => return Ok(()),
            Err(e) if Instant::now() > until => return Err(format!("can't remove {}: {e}", group.display())),
            Err(_) => thread::yield_now(),
        }
    }
}

/// Milliseconds of one exec and one durable append of 512 bytes: the least that a start on an empty disk can take.
pub fn exec_and_sync(file: &str, dir: &Path) -> Result<f64, String> {
    let mut bare = Bare::new(file)?;
    let begun = Instant::now();
    bare.run(&Surroundings::default()).map_err(|e| format!("the probe can't start a process: {e}"))?;
    let path = dir.join("probe");
    let write = fs::File::create(&path).and_then(|mut f| f.write_all(&[0; 512]).and_then(|()| f.sync_data()));
    write.map_err(|e| format!("the probe can't write: {e}"))?;
    let took = begun.elapsed();
    fs::remove_file(&path).map_err(|e| format!("the probe's file stays: {e}"))?;
    Ok(took.as_secs_f64() * 1e3)
}

/// Durable appends of 2 KiB per second, one after the other.
pub fn syncs(dir: &Path, time: Duration) -> Result<f64, String> {
    let path = dir.join("probe");
    let run = || -> std::io::Result<f64> {
        let mut file = fs::File::create(&path)?;
        let (begun, mut done) = (Instant::now(), 0);
        while begun.elapsed() < time {
            file.write_all(&[0; 2048])?;
            file.sync_data()?;
            done += 1;
        }
        let rate = f64::from(done) / begun.elapsed().as_secs_f64();
        fs::remove_file(&path)?;
        Ok(rate)
    };
    run().map_err(|e| format!("the probe can't write: {e}"))
}

fn c_string(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| format!("'{}' holds a zero byte", text.escape_default()))
}
