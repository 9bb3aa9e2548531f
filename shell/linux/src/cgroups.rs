//! Cgroups, v1 and v2: one directory per container in each controller that is used, below that of the container around
//! it. The mount point is a parameter.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

const SHARES_MIN: u64 = 2;
const QUOTA_MIN_US: u64 = 1000;
const PERIOD_US: u64 = 100_000;
/// Less memory than this kills the task before it does anything.
pub const MEMORY_MIN: u64 = 32 * 1024 * 1024;

/// A resource that the kernel can hold a container to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
    /// Number of processes.
    Pids,
}

impl Controller {
    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Pids => "pids",
        }
    }
}

/// What the kernel offers under a mount point.
#[derive(Clone, Debug)]
pub struct Cgroups {
    mount: PathBuf,
    root: String,
    unified: bool,
    controllers: Vec<Controller>,
}

/// How much of it a container gets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Amounts {
    /// Processors: the share.
    pub cpus: f64,
    /// Most processors.
    pub cpus_max: Option<f64>,
    /// Memory asked for, in bytes.
    pub memory: u64,
    /// Hard limit in bytes; none = as asked for, `u64::MAX` = unlimited.
    pub memory_max: Option<u64>,
    /// Groups of other containers follow inside this one.
    pub parent: bool,
}

/// Under version 2 a group with groups inside has no processes itself: they stand in this one.
const LEAF: &str = "leaf";

/// How a container did with its memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Times the kernel killed for lack of it.
    pub kills: u64,
    /// Hard limit in bytes.
    pub limit: u64,
    /// Most it used in bytes.
    pub peak: u64,
}

impl Cgroups {
    /// Finds those of the wanted controllers that can be used below `mount` (`/sys/fs/cgroup`). `root` is the parent of
    /// all containers there.
    pub fn detect(mount: &Path, root: &str, wanted: &[Controller]) -> Self {
        let unified = mount.join("cgroup.controllers").exists();
        let usable = |c: &Controller| {
            if unified {
                let listed = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
                listed.split_whitespace().any(|l| l == c.name())
            } else {
                let dir = mount.join(c.name());
                dir.join("cgroup.procs").exists() && fs::create_dir_all(dir.join(root)).is_ok()
            }
        };
        let controllers = wanted.iter().copied().filter(usable).collect();
        Self { mount: mount.to_owned(), root: root.to_owned(), unified, controllers }
    }

    /// All controllers under `mount` where `root` is already, whoever made it; nothing is made. For cleaning up.
    pub fn found(mount: &Path, root: &str) -> Option<Self> {
        let unified = mount.join("cgroup.controllers").exists();
        let all = [Controller::Cpu, Controller::Memory, Controller::Pids];
        let mut found =
            Self { mount: mount.to_owned(), root: root.to_owned(), unified, controllers: Vec::new() };
        let parent = |c: &Controller| found.dir(*c, "x").parent().is_some_and(Path::is_dir);
        found.controllers = all.into_iter().filter(parent).collect();
        (!found.controllers.is_empty()).then_some(found)
    }

    /// Those that can be used.
    pub fn controllers(&self) -> &[Controller] {
        &self.controllers
    }

    pub(crate) fn is_unified(&self) -> bool {
        self.unified
    }

    pub(crate) fn dir(&self, controller: Controller, id: &str) -> PathBuf {
        // A nested container's id is its parent's, a dot and its own.
        let id = id.replace('.', "/");
        if self.unified {
            self.mount.join(&self.root).join(id)
        } else {
            self.mount.join(controller.name()).join(&self.root).join(id)
        }
    }

    fn dirs(&self, id: &str) -> Vec<PathBuf> {
        let mut dirs: Vec<_> = self.controllers.iter().map(|c| self.dir(*c, id)).collect();
        dirs.dedup();
        dirs
    }

    /// Makes the groups of a container and gives the files into which its first process writes itself.
    pub fn create(&self, id: &str, amounts: &Amounts) -> io::Result<Vec<fs::File>> {
        if self.unified && !self.controllers.is_empty() {
            let parent = self.mount.join(&self.root);
            fs::create_dir_all(&parent)?;
            self.delegate(&self.mount)?;
            self.delegate(&parent)?;
        }
        if let Some((parent, _)) = id.rsplit_once('.')
            && self.unified
            && !self.dirs(parent).iter().all(|dir| dir.join(LEAF).exists())
        {
            // Version 2 gives no groups below one that has processes itself.
            return self.join(parent);
        }
        let mut files = Vec::new();
        for dir in self.dirs(id) {
            fs::create_dir(&dir)
                .or_else(|e| if e.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(e) })?;
            let mut home = dir.clone();
            if amounts.parent {
                if self.unified {
                    self.delegate(&dir)?;
                    home = dir.join(LEAF);
                    fs::create_dir_all(&home)?;
                } else if dir.join("memory.use_hierarchy").exists() {
                    // Refused where it is so already, which is what is wanted.
                    fs::write(dir.join("memory.use_hierarchy"), "1").unwrap_or_default();
                }
            }
            files.push(self.open(&home)?);
        }
        self.set(id, amounts)?;
        Ok(files)
    }

    /// Hands the controllers on to the groups below a directory (version 2).
    fn delegate(&self, dir: &Path) -> io::Result<()> {
        for controller in &self.controllers {
            let line = format!("+{}", controller.name());
            fs::write(dir.join("cgroup.subtree_control"), line)?;
        }
        Ok(())
    }

    /// The file into which a process writes itself to join the groups of a container that is there already.
    pub fn join(&self, id: &str) -> io::Result<Vec<fs::File>> {
        let open = |dir: PathBuf| {
            let leaf = dir.join(LEAF);
            let home = if leaf.exists() { leaf } else { dir };
            self.open(&home)
        };
        self.dirs(id).into_iter().map(open).collect()
    }

    /// The file into which a process with one thread writes itself. `tasks` of version 1 moves one thread, for which
    /// the kernel does not stop all forks and exits of the machine: half the time of `cgroup.procs`.
    fn open(&self, dir: &Path) -> io::Result<fs::File> {
        let name = if self.unified { "cgroup.procs" } else { "tasks" };
        fs::OpenOptions::new().write(true).open(dir.join(name))
    }

    /// Whether a container has groups of its own.
    pub fn exists(&self, id: &str) -> bool {
        self.dirs(id).first().is_some_and(|dir| dir.exists())
    }

    /// Changes what a container may use.
    pub fn set(&self, id: &str, amounts: &Amounts) -> io::Result<()> {
        let hard = amounts.memory_max.unwrap_or(amounts.memory).max(MEMORY_MIN);
        let soft = amounts.memory.max(MEMORY_MIN);
        let shares = ((amounts.cpus * 1024.0) as u64).max(SHARES_MIN);
        let quota = amounts.cpus_max.map(|c| ((c * PERIOD_US as f64) as u64).max(QUOTA_MIN_US));
        for controller in &self.controllers {
            let dir = self.dir(*controller, id);
            match (controller, self.unified) {
                (Controller::Cpu, false) => {
                    fs::write(dir.join("cpu.shares"), shares.to_string())?;
                    if let Some(quota) = quota {
                        fs::write(dir.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
                        fs::write(dir.join("cpu.cfs_quota_us"), quota.to_string())?;
                    }
                }
                (Controller::Cpu, true) => {
                    // The kernel's own mapping of shares 2..262144 to weights 1..10000.
                    let weight = 1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142;
                    fs::write(dir.join("cpu.weight"), weight.to_string())?;
                    if let Some(quota) = quota {
                        fs::write(dir.join("cpu.max"), format!("{quota} {PERIOD_US}"))?;
                    }
                }
                (Controller::Memory, false) => {
                    fs::write(dir.join("memory.soft_limit_in_bytes"), soft.to_string())?;
                    if hard < u64::MAX {
                        fs::write(dir.join("memory.limit_in_bytes"), hard.to_string())?;
                    }
                }
                (Controller::Memory, true) => {
                    fs::write(dir.join("memory.low"), soft.to_string())?;
                    if hard < u64::MAX {
                        fs::write(dir.join("memory.max"), hard.to_string())?;
                    }
                }
                (Controller::Pids, _) => {}
            }
        }
        Ok(())
    }

    /// The processes of a container and of those inside it. Empty where no controller is used, too.
    pub fn processes(&self, id: &str) -> Vec<i32> {
        let Some(dir) = self.dirs(id).into_iter().next() else { return Vec::new() };
        let mut all = Vec::new();
        for dir in with_inner(&dir) {
            let listed = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            all.extend(listed.lines().filter_map(|l| l.parse::<i32>().ok()));
        }
        all
    }

    /// How it did with its memory.
    pub fn memory(&self, id: &str) -> Option<Memory> {
        if !self.controllers.contains(&Controller::Memory) {
            return None;
        }
        let dir = self.dir(Controller::Memory, id);
        let number = |file: &str| fs::read_to_string(dir.join(file)).ok()?.trim().parse::<u64>().ok();
        let counter = |file: &str| {
            let text = fs::read_to_string(dir.join(file)).ok()?;
            text.lines().find_map(|l| l.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok())
        };
        if self.unified {
            Some(Memory {
                kills: counter("memory.events")?,
                limit: self.least(id, "memory.max"),
                peak: number("memory.peak").unwrap_or_default(),
            })
        } else {
            Some(Memory {
                kills: counter("memory.oom_control")?,
                limit: self.least(id, "memory.limit_in_bytes"),
                peak: number("memory.max_usage_in_bytes").unwrap_or_default(),
            })
        }
    }

    /// The least limit of a container and those around it.
    fn least(&self, id: &str, file: &str) -> u64 {
        let ends = id.match_indices('.').map(|(at, _)| at).chain([id.len()]);
        let read = |end: usize| {
            let dir = self.dir(Controller::Memory, id.get(..end)?);
            fs::read_to_string(dir.join(file)).ok()?.trim().parse::<u64>().ok()
        };
        ends.filter_map(read).min().unwrap_or(u64::MAX)
    }

    /// Removes the groups of a container that has no processes any more; false if something is still there.
    pub fn remove(&self, id: &str) -> bool {
        let gone = |dir: &Path| match fs::remove_dir(dir) {
            Ok(()) => true,
            Err(e) => e.kind() == io::ErrorKind::NotFound,
        };
        // Most have none inside them: they are not looked for first.
        let all_gone = |dir: &PathBuf| gone(dir) || with_inner(dir).iter().rev().all(|dir| gone(dir));
        self.dirs(id).iter().all(all_gone)
    }

    /// Containers that have groups here.
    pub fn list(&self) -> Vec<String> {
        let Some(parent) = self.dirs("x").into_iter().next().and_then(|d| d.parent().map(Path::to_owned))
        else {
            return Vec::new();
        };
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        entries.filter(|e| e.path().is_dir()).filter_map(|e| e.file_name().into_string().ok()).collect()
    }
}

/// A group and the groups inside it, outer ones first.
fn with_inner(dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![dir.to_owned()];
    let mut next = 0;
    while let Some(dir) = all.get(next).cloned() {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        all.extend(entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
        next += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fake(unified: bool) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        if unified {
            fs::write(dir.path().join("cgroup.controllers"), "cpu memory io").unwrap();
            fs::write(dir.path().join("cgroup.subtree_control"), "").unwrap();
        } else {
            for controller in ["cpu", "memory"] {
                fs::create_dir(dir.path().join(controller)).unwrap();
                fs::write(dir.path().join(controller).join("cgroup.procs"), "").unwrap();
            }
        }
        dir
    }

    #[test]
    fn both_versions_get_floors_and_quotas() {
        for unified in [false, true] {
            let dir = fake(unified);
            let all = [Controller::Cpu, Controller::Memory, Controller::Pids];
            let cgroups = Cgroups::detect(dir.path(), "m", &all);
            assert_eq!(
                cgroups.controllers(),
                [Controller::Cpu, Controller::Memory],
                "what is absent is left out"
            );
            // A plain directory has no cgroup.procs until somebody makes it.
            for group in cgroups.dirs("c") {
                fs::create_dir_all(&group).unwrap();
                fs::write(group.join("cgroup.procs"), "").unwrap();
                fs::write(group.join("tasks"), "").unwrap();
            }
            let amounts = Amounts { cpus_max: Some(0.5), memory: 1, ..Default::default() };
            assert_eq!(cgroups.create("c", &amounts).unwrap().len(), if unified { 1 } else { 2 });
            let read =
                |c: Controller, file: &str| fs::read_to_string(cgroups.dir(c, "c").join(file)).unwrap();
            if unified {
                assert_eq!(read(Controller::Cpu, "cpu.weight"), "1");
                assert_eq!(read(Controller::Cpu, "cpu.max"), "50000 100000");
                assert_eq!(read(Controller::Memory, "memory.max"), MEMORY_MIN.to_string());
            } else {
                assert_eq!(read(Controller::Cpu, "cpu.shares"), "2");
                assert_eq!(read(Controller::Cpu, "cpu.cfs_quota_us"), "50000");
                assert_eq!(read(Controller::Memory, "memory.limit_in_bytes"), MEMORY_MIN.to_string());
            }
            assert_eq!(cgroups.list(), ["c"]);
        }
    }
}
