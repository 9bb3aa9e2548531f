//! The machine as it was during a run: kernel, cores, cgroups, disk, and how busy others kept it.

use serde_json::{Value, json};
use std::{fs, path::Path, process::Command, time::SystemTime};

/// What a figure is worthless without.
#[derive(Debug)]
pub struct Machine {
    kernel: String,
    processor: String,
    cores: usize,
    memory_mib: u64,
    cgroups: &'static str,
    binary: String,
    version: String,
    binary_bytes: u64,
    seconds_since_1970: u64,
    before: Load,
    after: Load,
}

#[derive(Clone, Debug, Default)]
struct Load {
    average: String,
    pressure: String,
    steal_ticks: u64,
}

impl Load {
    fn now() -> Self {
        let stat = read("/proc/stat");
        let total = stat.lines().next().unwrap_or_default();
        Self {
            average: read("/proc/loadavg").trim().to_owned(),
            pressure: read("/proc/pressure/cpu").lines().next().unwrap_or("no PSI").to_owned(),
            steal_ticks: total.split_whitespace().nth(8).and_then(|n| n.parse().ok()).unwrap_or_default(),
        }
    }
}

/// What the binary says of itself, and the commit that this tree stands on.
fn version(binary: &Path) -> String {
    let said = |program: &mut Command| {
        let output = program.output().ok().filter(|o| o.status.success());
        output.map_or("unknown".to_owned(), |o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
    };
    let commit = said(Command::new("git").args(["describe", "--always", "--dirty"]));
    format!(
        "{}, commit {commit}, {}",
        said(Command::new(binary).arg("--version")),
        said(Command::new("rustc").arg("-V"))
    )
}

/// The UTC date and minute of seconds since 1970.
fn date(seconds: u64) -> String {
    // A year here begins on the first of March, so that the odd day is its last.
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day = days % 146_097;
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{year}-{month:02}-{:02} {hour:02}:{minute:02} UTC", day - (153 * shifted + 2) / 5 + 1)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

impl Machine {
    /// Records it.
    pub fn record(binary: &Path) -> Self {
        let found = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or("", |(_, value)| value).trim().to_owned()
        };
        let memory = found(&read("/proc/meminfo"), "MemTotal");
        let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        let v1 = Path::new("/sys/fs/cgroup/cpu/cgroup.procs").exists();
        let before = Load::now();
        Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            processor: found(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory.trim_end_matches(" kB").parse::<u64>().unwrap_or_default() / 1024,
            cgroups: if unified {
                "v2"
            } else if v1 {
                "v1"
            } else {
                "none"
            },
            binary: binary.display().to_string(),
            version: version(binary),
            binary_bytes: fs::metadata(binary).map_or(0, |m| m.len()),
            seconds_since_1970: SystemTime::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_secs()),
            after: before.clone(),
            before,
        }
    }
    /// The run is over.
    pub fn end(&mut self) {
        self.after = Load::now();
    }
    pub(crate) fn text(&self) -> String {
        format!(
            "{} on {}\nmachine: {} x {}, {} MiB, Linux {}, cgroups {}\nload before: {} | {}\nload after:  {} | {} | {} ticks stolen\n",
            self.version,
            date(self.seconds_since_1970),
            self.cores,
            self.processor,
            self.memory_mib,
            self.kernel,
            self.cgroups,
            self.before.average,
            self.before.pressure,
            self.after.average,
            self.after.pressure,
            self.after.steal_ticks - self.before.steal_ticks,
        )
    }
    pub(crate) fn json(&self) -> Value {
        let load =
            |l: &Load| json!({ "loadavg": l.average, "psi_cpu": l.pressure, "steal_ticks": l.steal_ticks });
        json!({
            "kernel": self.kernel, "processor": self.processor, "cores": self.cores, "memory_mib": self.memory_mib,
            "cgroups": self.cgroups, "binary": self.binary, "version": self.version, "date": date(self.seconds_since_1970), "binary_bytes": self.binary_bytes,
            "seconds_since_1970": self.seconds_since_1970, "before": load(&self.before), "after": load(&self.after),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_340), "2000-02-28 23:59 UTC");
        assert_eq!(date(951_827_696), "2000-02-29 12:34 UTC");
        assert_eq!(date(1_709_251_200), "2024-03-01 00:00 UTC");
    }
}
