//! A cluster of real daemons for one transcript, in a directory of its own; stopped, killed and started again as told.

use crate::needs::{Needs, flags};
use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long a daemon may take to serve, and agents to be registered.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long daemons may take to end before they are killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(12);
const PAUSE: Duration = Duration::from_millis(10);

/// One daemon.
#[derive(Debug)]
struct Daemon {
    name: String,
    role: &'static str,
    flags: Vec<String>,
    address: String,
    child: Option<Child>,
}

/// The daemons of one transcript.
#[derive(Debug)]
pub struct Cluster {
    dir: tempfile::TempDir,
    binary: PathBuf,
    daemons: Vec<Daemon>,
}

impl Cluster {
    /// Starts what a file needs; it serves and its agents are registered when this returns. `refuses`: the agents are to
    /// end instead, with a word about why.
    pub fn start(binary: &Path, needs: &Needs, refuses: bool) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("mesolite-replay-").tempdir()?;
        let mut cluster = Self { dir, binary: binary.to_owned(), daemons: Vec::new() };
        if needs.fixtures.as_deref() == Some("uris") {
            cluster.uri_fixtures()?;
        }
        cluster.add("master", "master", &needs.master, None)?;
        let master = cluster.daemons[0].address.clone();
        for (number, own) in needs.agents.iter().enumerate() {
            let name = if number == 0 { "agent" } else { "agent2" };
            let started = cluster.add(name, "agent", own, Some(&master));
            if refuses {
                anyhow::ensure!(started.is_err(), "the {name} starts; the recorded one refused to");
                cluster.daemons.pop();
            } else {
                started?;
            }
        }
        if refuses {
            return Ok(cluster);
        }
        let wanted = needs.agents.len();
        let until = Instant::now() + START_TIMEOUT;
        while cluster.agent_ids().len() < wanted {
            if Instant::now() > until {
                bail!("the agents did not register\n{}", cluster.logs());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(cluster)
    }

    /// HOST:PORT of a daemon, if it was started.
    pub fn address(&self, name: &str) -> Option<&str> {
        self.daemons.iter().find(|d| d.name == name).map(|d| d.address.as_str())
    }

    /// Where the recording's paths lie here: recorded first, ours second.
    pub fn paths(&self) -> Vec<(String, String)> {
        let here = |name: &str| self.dir.path().join(name).display().to_string();
        vec![
            ("/var/lib/mesos-master".to_owned(), here("master")),
            ("/var/lib/mesos2".to_owned(), here("agent2")),
            ("/var/lib/mesos".to_owned(), here("agent")),
            ("/tmp/x/".to_owned(), format!("{}/", here("x"))),
            ("/tmp/mlog".to_owned(), here("mlog")),
            ("/tmp/alog".to_owned(), here("alog")),
            ("/tmp/log".to_owned(), here("log")),
        ]
    }

    /// Ids of the registered agents.
    pub fn agent_ids(&self) -> Vec<String> {
        self.address("master").map(agent_ids).unwrap_or_default()
    }

    fn add(
        &mut self,
        name: &str,
        role: &'static str,
        own: &[String],
        master: Option<&str>,
    ) -> anyhow::Result<()> {
        let mut flags = own.to_vec();
        for (recorded, here) in self.paths() {
            flags.iter_mut().for_each(|f| *f = f.replace(&recorded, &here));
        }
        flags.push(format!("--work_dir={}", self.dir.path().join(name).display()));
        flags.extend(master.map(|m| format!("--master={m}")));
        self.daemons.push(Daemon { name: name.to_owned(), role, flags, address: String::new(), child: None });
        self.run(self.daemons.len() - 1)
    }

    fn run(&mut self, at: usize) -> anyhow::Result<()> {
        let daemon = &mut self.daemons[at];
        let ready = self.dir.path().join(format!("{}.ready", daemon.name));
        std::fs::remove_file(&ready).unwrap_or_default();
        let log_path = self.dir.path().join(format!("{}.log", daemon.name));
        let log = std::fs::File::options().create(true).append(true).open(&log_path)?;
        let port = daemon.address.rsplit(':').next().filter(|p| !p.is_empty()).unwrap_or("0").to_owned();
        let mut child = Command::new(&self.binary)
            .arg(daemon.role)
            .args(&daemon.flags)
            .arg(format!("--port={port}"))
            .arg(format!("--ready-file={}", ready.display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} does not run", self.binary.display()))?;
        let until = Instant::now() + START_TIMEOUT;
        let said = loop {
            if let Ok(text) = std::fs::read(&ready) {
                break serde_json::from_slice::<Value>(&text)?;
            }
            if let Some(status) = child.try_wait()? {
                let log = std::fs::read_to_string(&log_path).unwrap_or_default();
                let last = log.lines().rfind(|l| !l.is_empty()).unwrap_or_default().to_owned();
                bail!("the {} does not start ({status}): {last}", daemon.name);
            }
            if Instant::now() > until {
                child.kill()?;
                bail!("the {} did not serve in time", daemon.name);
            }
            std::thread::sleep(PAUSE);
        };
        let url = said["master"].as_str().or_else(|| said["agents"][0].as_str()).unwrap_or_default();
        daemon.address = url.trim_start_matches("http://").to_owned();
        daemon.child = Some(child);
        Ok(())
    }

    /// Sends a signal; a daemon that it ends is waited for.
    pub fn signal(&mut self, name: &str, signal: &str) -> anyhow::Result<()> {
        let daemon = self.daemons.iter_mut().find(|d| d.name == name).context("no such daemon")?;
        let child = daemon.child.as_mut().context("the daemon does not run")?;
        let signal = match signal {
            "SIGKILL" => Signal::KILL,
            "SIGTERM" => Signal::TERM,
            "SIGSTOP" => Signal::STOP,
            "SIGCONT" => Signal::CONT,
            "SIGUSR1" => Signal::USR1,
            other => bail!("unknown signal {other}"),
        };
        kill_process(Pid::from_child(child), signal)?;
        if matches!(signal, Signal::KILL | Signal::TERM | Signal::USR1) {
            end(child);
            daemon.child = None;
        }
        Ok(())
    }

    /// Starts a daemon again on its port and directory; `more` flags go over its own. An agent that the file did not
    /// start with is a plain one.
    pub fn again(&mut self, name: &str, more: Option<&str>) -> anyhow::Result<()> {
        let Some(at) = self.daemons.iter().position(|d| d.name == name) else {
            let master = self.daemons[0].address.clone();
            let table = crate::needs::Table::committed()?;
            let plain = "a master with default flags and one agent: \
                         --resources=cpus:4;mem:4096;disk:10000;ports:[31000-32000]";
            let own = table.read(plain)?.agents.remove(0);
            return self.add(name, "agent", &own, Some(&master));
        };
        for flag in flags(more.unwrap_or_default()) {
            let own = &mut self.daemons[at].flags;
            let stem = format!("{}=", flag.split('=').next().unwrap_or(&flag));
            own.retain(|f| !f.starts_with(&stem));
            own.push(flag);
        }
        self.run(at)
    }

    /// What the daemons said.
    pub fn logs(&self) -> String {
        let mut all = String::new();
        for daemon in &self.daemons {
            let log = std::fs::read_to_string(self.dir.path().join(format!("{}.log", daemon.name)));
            all.push_str(&format!("== {}\n{}", daemon.name, log.unwrap_or_default()));
        }
        all
    }

    fn uri_fixtures(&self) -> anyhow::Result<()> {
        let dir = self.dir.path().join("x");
        std::fs::create_dir(&dir)?;
        std::fs::write(dir.join("f.txt"), "in the archive\n")?;
        std::fs::write(dir.join("g.txt"), "a file\n")?;
        std::fs::write(dir.join("run.sh"), "#!/bin/sh\necho run\n")?;
        let status = Command::new("tar").current_dir(&dir).args(["-czf", "a.tgz", "f.txt"]).status()?;
        anyhow::ensure!(status.success(), "tar failed: {status}");
        Ok(std::fs::remove_file(dir.join("f.txt"))?)
    }
}

/// Ids of the agents that are registered with the master at this address.
pub fn agent_ids(master: &str) -> Vec<String> {
    let request =
        crate::http::Request { method: "GET".to_owned(), path: "/slaves".to_owned(), ..Default::default() };
    let Ok(answer) = crate::http::ask(master, &request) else { return Vec::new() };
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let slaves = body["slaves"].as_array().into_iter().flatten();
    slaves.filter_map(|s| s["id"].as_str().map(str::to_owned)).collect()
}

fn end(child: &mut Child) {
    let until = Instant::now() + STOP_TIMEOUT;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > until {
            child.kill().unwrap_or_default();
        }
        std::thread::sleep(PAUSE);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            let Some(mut child) = daemon.child.take() else { continue };
            let pid = Pid::from_child(&child);
            // One that is gone already is no matter.
            kill_process(pid, Signal::CONT).unwrap_or_default();
            kill_process(pid, Signal::TERM).unwrap_or_default();
            end(&mut child);
        }
        self.end_tasks();
    }
}

impl Cluster {
    /// Tasks outlive an agent that was killed: whatever still works below this directory is ended.
    fn end_tasks(&self) {
        let own = self.dir.path().display().to_string();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
            let inside = |name: &str| {
                let text = std::fs::read(entry.path().join(name)).unwrap_or_default();
                String::from_utf8_lossy(&text).contains(&own)
            };
            let there = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|d| d.starts_with(&own));
            if !(there || inside("cmdline") || inside("environ")) {
                continue;
            }
            if let Some(pid) = Pid::from_raw(pid).filter(|p| *p != rustix::process::getpid()) {
                kill_process(pid, Signal::KILL).unwrap_or_default();
            }
        }
    }
}
