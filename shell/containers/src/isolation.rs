//! `--isolation`: Mesos' names for what keeps tasks apart, and what of it this machine allows.

use linux::cgroups::{Cgroups, Controller};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Every name that is known, aliases included.
pub const NAMES: [&str; 15] = [
    "posix/cpu",
    "posix/mem",
    "posix/disk",
    "process",
    "cgroups",
    "cgroups/cpu",
    "cgroups/mem",
    "cgroups/pids",
    "cgroups/all",
    "namespaces/pid",
    "namespaces/ipc",
    "filesystem/posix",
    "filesystem/linux",
    "filesystem/shared",
    "disk/du",
];

/// What is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    /// Processor shares and quotas.
    pub cpu: bool,
    /// Memory limits.
    pub memory: bool,
    /// A group of its own for the number of processes.
    pub pids: bool,
    /// A pid namespace.
    pub pid_namespace: bool,
    /// An ipc namespace.
    pub ipc_namespace: bool,
    /// A mount namespace.
    pub mount_namespace: bool,
}

impl Isolation {
    /// Of the flag; none = all that this machine allows. Besides it, what can't be isolated, and why, for people.
    pub fn choose(
        flag: Option<&str>,
        cgroup_mount: &Path,
        cgroups_root: &str,
    ) -> Result<(Self, Vec<String>), String> {
        let root = linux::process::is_root();
        let all = [Controller::Cpu, Controller::Memory, Controller::Pids];
        let usable = if root {
            Cgroups::detect(cgroup_mount, cgroups_root, &all).controllers().to_vec()
        } else {
            Vec::new()
        };
        let mut warnings = Vec::new();
        let Some(flag) = flag else {
            if !root {
                warnings.push("not root: tasks share the machine without limits or namespaces".to_owned());
                return Ok((Self::default(), warnings));
            }
            for missing in all.iter().filter(|c| !usable.contains(c)) {
                warnings.push(format!(
                    "no {missing:?} cgroup below {}: tasks are not held to it",
                    cgroup_mount.display()
                ));
            }
            let mounts = root_is_a_mount();
            if !mounts {
                warnings.push(
                    "/ is not a mount point (a chroot?): tasks get no mount and no pid namespace".to_owned(),
                );
            }
            let isolation = Self {
                cpu: usable.contains(&Controller::Cpu),
                memory: usable.contains(&Controller::Memory),
                pids: usable.contains(&Controller::Pids),
                pid_namespace: mounts,
                ipc_namespace: true,
                mount_namespace: mounts,
            };
            return Ok((isolation, warnings));
        };
        let mut chosen = Self::default();
        for name in flag.split(',').map(str::trim).filter(|n| !n.is_empty()) {
            match name {
                "posix/cpu" | "posix/mem" | "posix/disk" | "process" | "filesystem/posix" => {}
                "cgroups" => (chosen.cpu, chosen.memory) = (true, true),
                "cgroups/cpu" => chosen.cpu = true,
                "cgroups/mem" => chosen.memory = true,
                "cgroups/pids" => chosen.pids = true,
                "cgroups/all" => (chosen.cpu, chosen.memory, chosen.pids) = (true, true, true),
                "namespaces/pid" => (chosen.pid_namespace, chosen.mount_namespace) = (true, true),
                "namespaces/ipc" => chosen.ipc_namespace = true,
                "filesystem/linux" => chosen.mount_namespace = true,
                "filesystem/shared" | "disk/du" => {
                    return Err(format!("--isolation: '{name}' comes with a later version"));
                }
                _ => return Err(format!("--isolation: '{name}' is not known; known: {}", NAMES.join(" "))),
            }
        }
        if chosen != Self::default() && !root {
            return Err(format!("--isolation: '{flag}' needs root; without it use posix/cpu,posix/mem"));
        }
        for (asked, controller) in [
            (chosen.cpu, Controller::Cpu),
            (chosen.memory, Controller::Memory),
            (chosen.pids, Controller::Pids),
        ] {
            if asked && !usable.contains(&controller) {
                let mount = cgroup_mount.display();
                return Err(format!("--isolation: there is no usable {controller:?} cgroup below {mount}"));
            }
        }
        Ok((chosen, warnings))
    }

    /// The controllers that it uses.
    pub fn controllers(&self) -> Vec<Controller> {
        [(self.cpu, Controller::Cpu), (self.memory, Controller::Memory), (self.pids, Controller::Pids)]
            .into_iter()
            .filter_map(|(used, controller)| used.then_some(controller))
            .collect()
    }
}

/// Mounts can only be made private from a mount point on; in a plain chroot `/` is none.
fn root_is_a_mount() -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // The fifth field is the mount point, as this process sees it.
    mounts.is_empty() || mounts.lines().any(|line| line.split(' ').nth(4) == Some("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_upstreams_and_unknown_ones_are_refused() {
        let mount = Path::new("/sys/fs/cgroup");
        let (posix, _) = Isolation::choose(Some("posix/cpu,posix/mem"), mount, "m").unwrap();
        assert_eq!(posix, Isolation::default());
        let refused = Isolation::choose(Some("posix/cpu,magic"), mount, "m").unwrap_err();
        assert!(refused.contains("'magic' is not known") && refused.contains("cgroups/cpu"), "{refused}");
        let empty = tempfile::tempdir().unwrap();
        let refused = Isolation::choose(Some("cgroups/cpu"), empty.path(), "m").unwrap_err();
        assert!(refused.contains("usable Cpu cgroup") || refused.contains("needs root"), "{refused}");
    }
}
