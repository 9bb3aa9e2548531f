//! What running containers use, in Mesos' own words. Never which containers there are.

use crate::{client::Options, isolation::Isolation};
use linux::{
    cgroups::Cgroups,
    usage::{Usage, of_trees},
};
use model::{container::ContainerId, mesos::ResourceStatistics};
use std::time::SystemTime;

/// Measures containers.
#[derive(Clone, Debug)]
pub struct Meter {
    cgroups: Option<Cgroups>,
    counted: Isolation,
}

impl Meter {
    /// Of containers as this launcher makes them.
    pub fn new(options: &Options) -> Self {
        let controllers = options.isolation.controllers();
        let cgroups = (!controllers.is_empty())
            .then(|| Cgroups::detect(&options.cgroup_mount, &options.cgroups_root, &controllers));
        Self { cgroups, counted: options.isolation.clone() }
    }

    /// What each of them uses; none = its first process is gone.
    pub fn measure(&self, containers: &[(ContainerId, u32)]) -> Vec<Option<ResourceStatistics>> {
        let roots: Vec<i32> = containers.iter().map(|(_, pid)| i32::try_from(*pid).unwrap_or(-1)).collect();
        let found = of_trees(&roots).into_iter().zip(containers);
        let one = |(usage, (id, _)): (Option<Usage>, &(ContainerId, u32))| {
            let mut usage = usage?;
            if let Some(cgroups) = &self.cgroups {
                cgroups.refine(&id.0, &mut usage);
            }
            Some(self.said(&usage))
        };
        found.map(one).collect()
    }

    /// Isolators that only watch say less: the keys of upstream's posix and cgroups isolators.
    fn said(&self, usage: &Usage) -> ResourceStatistics {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut said = ResourceStatistics {
            timestamp: now.as_secs_f64(),
            cpus_user_time_secs: Some(usage.user_secs),
            cpus_system_time_secs: Some(usage.system_secs),
            mem_rss_bytes: Some(usage.rss_bytes),
            ..Default::default()
        };
        let Some(group) = &usage.group else { return said };
        if self.counted.cpu {
            said.cpus_limit = group.cpus_max;
            said.cpus_nr_periods = group.periods;
            said.cpus_nr_throttled = group.throttled;
            said.cpus_throttled_time_secs = group.throttled_secs;
            said.processes = Some(usage.processes);
            said.threads = Some(usage.threads);
        }
        if self.counted.memory {
            said.mem_total_bytes = group.total_bytes;
            said.mem_anon_bytes = Some(usage.rss_bytes);
            said.mem_cache_bytes = group.cache_bytes;
            said.mem_file_bytes = group.cache_bytes;
            said.mem_mapped_file_bytes = group.mapped_bytes;
            said.mem_unevictable_bytes = group.unevictable_bytes;
        }
        said
    }
}
