//! What this machine has: processors, memory, disk, and what flags say of it.

use model::{
    mesos::{Attribute, value},
    resources::Resources,
};
use std::path::Path;

const MIB: u64 = 1024 * 1024;
/// Kept for the system: memory 1 GiB, disk 5 GiB, at most half of each.
const MEMORY_KEPT_MIB: u64 = 1024;
const DISK_KEPT_MIB: u64 = 5 * 1024;

/// What an agent offers unless it is told otherwise, as upstream finds it.
pub fn resources(work_dir: &Path) -> Resources {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = info
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:")?.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let memory = total.map_or(1024, |kib| keep(kib / 1024, MEMORY_KEPT_MIB));
    let disk = rustix::fs::statvfs(work_dir)
        .map_or(10 * 1024, |s| keep(s.f_blocks * s.f_frsize / MIB, DISK_KEPT_MIB));
    Resources::scalars([("cpus", cpus as f64), ("mem", memory as f64), ("disk", disk as f64)])
        .with_ports([(31_000, 32_000)])
}

fn keep(total: u64, kept: u64) -> u64 {
    total - kept.min(total / 2)
}

/// The name of this boot; differs after each.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// `rack:abc;level:10;keys:[1000-1500]`
pub fn attributes(text: &str) -> Result<Vec<Attribute>, String> {
    let mut all = Vec::new();
    for part in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
        let Some((name, value)) = part.split_once(':') else {
            return Err(format!("--attributes: '{part}' is not name:value"));
        };
        let mut attribute = Attribute { name: name.trim().to_owned(), ..Default::default() };
        let value = value.trim();
        if let Some(inner) = value.strip_prefix('[').and_then(|v| v.strip_suffix(']')) {
            let mut ranges = value::Ranges::default();
            for range in inner.split(',') {
                let ends = range.split_once('-').map(|(b, e)| (b.trim().parse(), e.trim().parse()));
                let Some((Ok(begin), Ok(end))) = ends else {
                    return Err(format!("--attributes: '{range}' of '{name}' is not BEGIN-END"));
                };
                ranges.range.push(value::Range { begin, end });
            }
            attribute.ranges = Some(ranges);
            attribute.set_type(value::Type::Ranges);
        } else if let Ok(number) = value.parse::<f64>() {
            attribute.scalar = Some(value::Scalar { value: number });
            attribute.set_type(value::Type::Scalar);
        } else {
            attribute.text = Some(value::Text { value: value.to_owned() });
            attribute.set_type(value::Type::Text);
        }
        all.push(attribute);
    }
    Ok(all)
}

/// A JSON object of variables.
pub fn environment(text: Option<&str>) -> Result<Vec<(String, String)>, String> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let map: std::collections::BTreeMap<String, String> = serde_json::from_str(text)
        .map_err(|e| format!("--executor_environment_variables: not a JSON object of texts: {e}"))?;
    Ok(map.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_and_wrong_ones_named() {
        let all = attributes("rack:abc;level:10; keys:[1-5,7-9]").unwrap();
        assert_eq!(all[0].text.as_ref().unwrap().value, "abc");
        assert_eq!(all[1].scalar.as_ref().unwrap().value, 10.0);
        assert_eq!(all[2].ranges.as_ref().unwrap().range.len(), 2);
        assert!(attributes("rack").unwrap_err().contains("'rack' is not name:value"));
        assert!(attributes("k:[1-x]").is_err());
        assert!(environment(Some("[]")).is_err());
    }

    #[test]
    fn this_machine_has_something() {
        let all = resources(Path::new("/"));
        assert!(all.scalar("cpus") >= 1.0 && all.scalar("mem") >= 1.0, "{all}");
    }
}
