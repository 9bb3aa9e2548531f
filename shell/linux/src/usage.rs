//! What processes and groups use: processor time, memory, counts. Read from the kernel's files, never estimated.

use crate::cgroups::{Cgroups, Controller};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// What some processes use together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Seconds of processor time outside of the kernel.
    pub user_secs: f64,
    /// Seconds of processor time in the kernel.
    pub system_secs: f64,
    /// Bytes of memory that is not files.
    pub rss_bytes: u64,
    /// How many processes there are.
    pub processes: u32,
    /// How many threads they have.
    pub threads: u32,
    /// What only groups know.
    pub group: Option<Group>,
}

/// What a group knows beside its sums.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// Bytes of memory of all kinds.
    pub total_bytes: Option<u64>,
    /// Bytes of files in memory.
    pub cache_bytes: Option<u64>,
    /// Of those, mapped.
    pub mapped_bytes: Option<u64>,
    /// Bytes that can't be written out.
    pub unevictable_bytes: Option<u64>,
    /// Periods in which a quota was counted.
    pub periods: Option<u32>,
    /// Of those, in which it was used up.
    pub throttled: Option<u32>,
    /// Seconds for which it was used up.
    pub throttled_secs: Option<f64>,
    /// Processors that the quota allows.
    pub cpus_max: Option<f64>,
}

struct Process {
    parent: i32,
    user_ticks: u64,
    system_ticks: u64,
    threads: u32,
    rss_pages: u64,
}

fn ticks() -> f64 {
    // SAFETY: sysconf takes a plain number.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    if ticks > 0 { ticks as f64 } else { 100.0 }
}

fn page() -> u64 {
    // SAFETY: sysconf takes a plain number.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).ok().filter(|bytes| *bytes > 0).unwrap_or(4096)
}

fn process(stat: &str) -> Option<Process> {
    // The name may hold anything, blanks and brackets too: the fields begin after its last bracket.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        user_ticks: number(11)?,
        system_ticks: number(12)?,
        threads: u32::try_from(number(17)?).ok()?,
        rss_pages: number(21)?,
    })
}

/// What each of these processes uses with all its descendants; none = it is gone. One look at the whole machine.
pub fn of_trees(roots: &[i32]) -> Vec<Option<Usage>> {
    let mut all: BTreeMap<i32, Process> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if let Some(process) = process(&stat) {
            all.insert(pid, process);
        }
    }
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for (pid, process) in &all {
        children.entry(process.parent).or_default().push(*pid);
    }
    let (ticks, page) = (ticks(), page());
    let sum = |root: &i32| {
        all.get(root)?;
        let mut usage = Usage::default();
        let mut seen = BTreeSet::from([*root]);
        let mut waiting = vec![*root];
        while let Some(pid) = waiting.pop() {
            if let Some(process) = all.get(&pid) {
                usage.user_secs += process.user_ticks as f64 / ticks;
                usage.system_secs += process.system_ticks as f64 / ticks;
                usage.rss_bytes += process.rss_pages * page;
                usage.processes += 1;
                usage.threads += process.threads;
            }
            waiting.extend(children.get(&pid).into_iter().flatten().filter(|child| seen.insert(**child)));
        }
        Some(usage)
    };
    roots.iter().map(sum).collect()
}

/// `name value` lines.
fn table(path: &Path) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let row = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(row).collect()
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

impl Cgroups {
    /// What a container uses by its groups' own counts, in place of what was found by its processes.
    pub fn refine(&self, id: &str, usage: &mut Usage) {
        let mut group = Group::default();
        if self.controllers().contains(&Controller::Cpu) {
            self.processor(&self.dir(Controller::Cpu, id), usage, &mut group);
        }
        if self.controllers().contains(&Controller::Memory) {
            self.memory_of(&self.dir(Controller::Memory, id), usage, &mut group);
        }
        if group != Group::default() {
            usage.group = Some(group);
        }
    }

    fn processor(&self, dir: &Path, usage: &mut Usage, group: &mut Group) {
        let stat = table(&dir.join("cpu.stat"));
        let small = |name: &str| stat.get(name).and_then(|n| u32::try_from(*n).ok());
        group.periods = small("nr_periods");
        group.throttled = small("nr_throttled");
        if self.is_unified() {
            let micros = |name: &str| stat.get(name).map(|n| *n as f64 / 1e6);
            usage.user_secs = micros("user_usec").unwrap_or(usage.user_secs);
            usage.system_secs = micros("system_usec").unwrap_or(usage.system_secs);
            group.throttled_secs = micros("throttled_usec");
            let text = fs::read_to_string(dir.join("cpu.max")).unwrap_or_default();
            let quota = text.split_once(' ').and_then(|(quota, period)| {
                Some(quota.parse::<f64>().ok()? / period.trim().parse::<f64>().ok()?)
            });
            group.cpus_max = quota;
        } else {
            group.throttled_secs = stat.get("throttled_time").map(|n| *n as f64 / 1e9);
            // Where processor time is counted in the same hierarchy, as distributions mount it.
            let counted = table(&dir.join("cpuacct.stat"));
            if let (Some(user), Some(system)) = (counted.get("user"), counted.get("system")) {
                usage.user_secs = *user as f64 / ticks();
                usage.system_secs = *system as f64 / ticks();
            }
            let quota = fs::read_to_string(dir.join("cpu.cfs_quota_us")).ok();
            let quota = quota.and_then(|q| q.trim().parse::<i64>().ok()).filter(|q| *q > 0);
            let period = number(&dir.join("cpu.cfs_period_us")).filter(|p| *p > 0);
            group.cpus_max = quota.zip(period).map(|(quota, period)| quota as f64 / period as f64);
        }
    }

    fn memory_of(&self, dir: &Path, usage: &mut Usage, group: &mut Group) {
        let stat = table(&dir.join("memory.stat"));
        let get = |name: &str| stat.get(name).copied();
        group.unevictable_bytes = get(if self.is_unified() { "unevictable" } else { "total_unevictable" });
        if self.is_unified() {
            group.total_bytes = number(&dir.join("memory.current"));
            group.cache_bytes = get("file");
            group.mapped_bytes = get("file_mapped");
            usage.rss_bytes = get("anon").unwrap_or(usage.rss_bytes);
        } else {
            group.total_bytes = number(&dir.join("memory.usage_in_bytes"));
            group.cache_bytes = get("total_cache");
            group.mapped_bytes = get("total_mapped_file");
            usage.rss_bytes = get("total_rss").unwrap_or(usage.rss_bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_of_processes_is_summed() {
        let mut child =
            std::process::Command::new("/bin/sh").args(["-c", "sleep 60 & sleep 60 & wait"]).spawn().unwrap();
        let root = child.id() as i32;
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let usage = loop {
            let usage = of_trees(&[root, -1]);
            assert_eq!(usage[1], None);
            let usage = usage[0].clone().expect("it runs");
            if usage.processes == 3 || std::time::Instant::now() > until {
                break usage;
            }
            std::thread::yield_now();
        };
        for pid in crate::process::tree(root) {
            crate::process::signal(pid, 9);
        }
        child.wait().unwrap();
        assert_eq!((usage.processes, usage.threads), (3, 3));
        assert!(usage.rss_bytes > 0 && usage.group.is_none(), "{usage:?}");
    }

    #[test]
    fn groups_count_by_themselves() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.controllers"), "cpu memory").unwrap();
        let cgroups = Cgroups::detect(dir.path(), "m", &[Controller::Cpu, Controller::Memory]);
        let own = dir.path().join("m/c");
        fs::create_dir_all(&own).unwrap();
        let cpu = "usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\nnr_periods 4\nnr_throttled 1\nthrottled_usec 500000\n";
        fs::write(own.join("cpu.stat"), cpu).unwrap();
        fs::write(own.join("cpu.max"), "150000 100000\n").unwrap();
        fs::write(own.join("memory.stat"), "anon 4096\nfile 8192\nfile_mapped 1\nunevictable 0\n").unwrap();
        fs::write(own.join("memory.current"), "12288\n").unwrap();
        let mut usage = Usage { rss_bytes: 1, ..Default::default() };
        cgroups.refine("c", &mut usage);
        assert_eq!((usage.user_secs, usage.system_secs, usage.rss_bytes), (2.0, 1.0, 4096));
        let group = usage.group.unwrap();
        assert_eq!((group.total_bytes, group.cache_bytes), (Some(12_288), Some(8192)));
        assert_eq!((group.periods, group.throttled, group.cpus_max), (Some(4), Some(1), Some(1.5)));
    }
}
