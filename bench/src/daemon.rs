//! The binary under test as a process: started in a directory of its own on the cores that it is given, ended with all
//! that it left. Never what it is asked.

use rustix::{
    fs::{IFlags, ioctl_getflags, ioctl_setflags},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

const READY_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(20);
/// How often a file is looked for: small beside the milliseconds that are measured.
const LOOK: Duration = Duration::from_micros(200);

/// Where the directories of all daemons are.
static ROOT: Mutex<Option<tempfile::TempDir>> = Mutex::new(None);

/// Sets of cores: what is measured runs on one, who measures on the other.
#[derive(Clone, Debug)]
pub struct Cores {
    all: CpuSet,
    /// Those of the server, its tasks and the probes.
    pub server: Vec<usize>,
    /// Those of the client.
    pub client: Vec<usize>,
}

impl Cores {
    /// Runs what measures on the client's cores, then lets this thread go wherever it was allowed to go.
    pub fn measure<T>(work: impl AsyncFnOnce(&Self) -> Result<T, String>) -> Result<T, String> {
        let cores = Self::split()?;
        Self::bind(&cores.client)?;
        let runtime = tokio::runtime::Runtime::new().map_err(|e| format!("no runtime: {e}"))?;
        let outcome = runtime.block_on(work(&cores));
        cores.release()?;
        outcome
    }
    /// Half of the allowed cores each; all for both where there are fewer than four.
    pub fn split() -> Result<Self, String> {
        let all = sched_getaffinity(None).map_err(|e| format!("the cores are not known: {e}"))?;
        let list: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).collect();
        let (server, client) = list.split_at(list.len() / 2);
        Ok(match list.len() {
            0..4 => Self { all, server: list.clone(), client: list },
            _ => Self { all, server: server.to_vec(), client: client.to_vec() },
        })
    }
    /// Binds this thread, and what it starts from now on.
    pub fn bind(cores: &[usize]) -> Result<(), String> {
        let mut set = CpuSet::new();
        cores.iter().for_each(|core| set.set(*core));
        sched_setaffinity(None, &set).map_err(|e| format!("can't use the cores {cores:?}: {e}"))
    }
    /// Lets this thread go wherever it was allowed to go.
    pub fn release(&self) -> Result<(), String> {
        sched_setaffinity(None, &self.all).map_err(|e| format!("can't use all cores again: {e}"))
    }
}

/// Processor seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Of roles and launchers.
    pub own: f64,
    /// Of processes that they started and that have ended.
    pub children: f64,
}

/// A running cluster.
#[derive(Debug)]
pub struct Daemon {
    dir: PathBuf,
    children: Vec<Child>,
    /// `host:port` of the master.
    pub master: String,
    /// `host:port` of the agent; empty where there is none.
    pub agent: String,
    /// `host:port` of the orchestrator; empty where there is none.
    pub marathon: String,
    /// From just before `exec` until the ready file was seen.
    pub ready_after: Duration,
    /// When it was executed.
    pub executed: Instant,
}

impl Daemon {
    fn new() -> Result<Self, String> {
        Ok(Self {
            dir: fresh_dir()?,
            children: Vec::new(),
            master: String::new(),
            agent: String::new(),
            marathon: String::new(),
            ready_after: Duration::ZERO,
            executed: Instant::now(),
        })
    }

    /// Starts a master alone on some cores.
    pub fn master(binary: &Path, cores: &[usize], flags: &[String]) -> Result<Self, String> {
        let mut daemon = Self::new()?;
        let mut all =
            vec![format!("--work_dir={}", daemon.dir.join("data").display()), "--port=0".to_owned()];
        all.extend(flags.iter().cloned());
        let said = daemon.spawn(binary, cores, "master", &all)?;
        daemon.master = host(&said["master"])?;
        Ok(daemon)
    }

    /// Starts a master and an orchestrator on some cores, without agents.
    pub fn control(binary: &Path, cores: &[usize]) -> Result<Self, String> {
        let mut daemon = Self::new()?;
        let dir = daemon.dir.join("data");
        let flag = |role: &str| format!("--work_dir={}", dir.join(role).display());
        let said = daemon.spawn(binary, cores, "master", &[flag("master"), "--port=0".into()])?;
        daemon.master = host(&said["master"])?;
        let master = format!("--master={}", daemon.master);
        let flags = [flag("orchestrator"), "--http_port=0".into(), master];
        let said = daemon.spawn(binary, cores, "orchestrator", &flags)?;
        daemon.marathon = host(&said["marathon"])?;
        Ok(daemon)
    }

    /// Starts a cluster with one agent on some cores; `agent` are flags of the agent that `dev` takes too.
    pub fn start(binary: &Path, apart: bool, cores: &[usize], agent: &[String]) -> Result<Self, String> {
        let mut daemon = Self::new()?;
        let dir = daemon.dir.join("data");
        if apart {
            let flag = |role: &str| format!("--work_dir={}", dir.join(role).display());
            let said = daemon.spawn(binary, cores, "master", &[flag("master"), "--port=0".into()])?;
            daemon.master = host(&said["master"])?;
            let mut flags = vec![flag("agent"), "--port=0".into(), format!("--master={}", daemon.master)];
            flags.extend(agent.iter().cloned());
            let said = daemon.spawn(binary, cores, "agent", &flags)?;
            daemon.agent = host(&said["agents"][0])?;
        } else {
            let mut flags = vec![format!("--dir={}", dir.display()), "--kill-tasks-on-exit".to_owned()];
            flags.extend(["--master-port=0", "--agent-port=0", "--marathon-port=0"].map(str::to_owned));
            flags.extend(agent.iter().cloned());
            let said = daemon.spawn(binary, cores, "dev", &flags)?;
            (daemon.master, daemon.agent) = (host(&said["master"])?, host(&said["agents"][0])?);
        }
        Ok(daemon)
    }

    fn spawn(
        &mut self,
        binary: &Path,
        cores: &[usize],
        role: &str,
        flags: &[String],
    ) -> Result<Value, String> {
        let file = self.dir.join(format!("{role}.ready"));
        let log = self.dir.join(format!("{role}.log"));
        let opened = fs::File::create(&log).and_then(|log| log.try_clone().map(|other| (log, other)));
        let (stdout, stderr) = opened.map_err(|e| format!("no log: {e}"))?;
        let mut command = Command::new(binary);
        command.arg(role).args(flags).arg(format!("--ready-file={}", file.display()));
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let before = sched_getaffinity(None).map_err(|e| format!("the cores are not known: {e}"))?;
        Cores::bind(cores)?;
        self.executed = Instant::now();
        let child = command.spawn();
        sched_setaffinity(None, &before).map_err(|e| format!("can't use the cores of before: {e}"))?;
        self.children.push(child.map_err(|e| format!("{} does not start: {e}", binary.display()))?);
        loop {
            if let Ok(text) = fs::read(&file) {
                self.ready_after = self.executed.elapsed();
                return serde_json::from_slice(&text)
                    .map_err(|e| format!("the ready file does not parse: {e}"));
            }
            let ended = self.children.last_mut().and_then(|child| child.try_wait().ok().flatten());
            if ended.is_some() || self.executed.elapsed() > READY_MAX {
                let log = fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("`mesolite {role}` is not ready ({ended:?}): {log}"));
            }
            thread::sleep(LOOK);
        }
    }

    /// Processes of the daemon itself: roles first, then launchers.
    pub fn processes(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.children.iter().map(Child::id).collect();
        all.extend(self.launchers());
        all
    }

    fn launchers(&self) -> Vec<u32> {
        let own = self.dir.as_os_str().as_encoded_bytes();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
        let launcher = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = line.split(|b| *b == 0);
            words.nth(1) == Some(b"launcher") && words.next().is_some_and(|dir| dir.starts_with(own))
        };
        pids.filter(launcher).collect()
    }

    /// Processor seconds of all its processes so far.
    pub fn processor_seconds(&self) -> Spent {
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let mut spent = Spent::default();
        for pid in self.processes() {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
            // utime, stime, cutime, cstime
            let times: Vec<f64> = fields.skip(11).take(4).filter_map(|f| f.parse().ok()).collect();
            if let [user, system, their_user, their_system] = times[..] {
                spent.own += (user + system) / ticks;
                spent.children += (their_user + their_system) / ticks;
            }
        }
        spent
    }

    /// Where its files are.
    pub fn dir(&self) -> PathBuf {
        self.dir.clone()
    }

    /// What the daemon logged.
    pub fn logged(&self) -> String {
        let logs = fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|e| e.path());
        let logs = logs.filter(|p| p.extension().is_some_and(|e| e == "log"));
        logs.map(|p| fs::read_to_string(p).unwrap_or_default()).collect()
    }

    fn stop(&mut self) {
        let launchers = self.launchers();
        let kill = |pid: u32, signal: rustix::process::Signal| {
            let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
            pid.is_some_and(|pid| rustix::process::kill_process(pid, signal).is_ok())
        };
        for child in self.children.iter().rev() {
            kill(child.id(), rustix::process::Signal::TERM);
        }
        let until = Instant::now() + STOP_MAX;
        for mut child in self.children.drain(..) {
            while Instant::now() < until && child.try_wait().is_ok_and(|status| status.is_none()) {
                thread::sleep(LOOK);
            }
            child.kill().unwrap_or_default();
            child.wait().map(drop).unwrap_or_default();
        }
        // Launchers outlive their agents by design: they go with the run.
        for launcher in launchers {
            kill(launcher, rustix::process::Signal::KILL);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A directory of its own for each daemon. All of them stay until the suite ends: an ext4 searches long for a free inode
/// where many were freed in the last minutes, which halves the rate of the next round. For the same reason each lies in
/// another part of the disk than the one before, where the file system can be told so.
fn fresh_dir() -> Result<PathBuf, String> {
    let mut root = ROOT.lock().unwrap_or_else(PoisonError::into_inner);
    let root = match &mut *root {
        Some(root) => root,
        none => none.insert(tempfile::tempdir().map_err(|e| format!("no directory: {e}"))?),
    };
    let spread = fs::File::open(root.path()).and_then(|dir| {
        let flags = ioctl_getflags(&dir)? | IFlags::TOPDIR;
        ioctl_setflags(&dir, flags).map_err(Into::into)
    });
    if let Err(error) = spread {
        eprintln!("   {}: its directories can't be spread over the disk: {error}", root.path().display());
    }
    let dir = tempfile::Builder::new().tempdir_in(root.path()).map_err(|e| format!("no directory: {e}"))?;
    Ok(dir.keep())
}

/// Removes what all daemons have left.
pub fn tidy() {
    drop(ROOT.lock().unwrap_or_else(PoisonError::into_inner).take());
}

fn host(url: &Value) -> Result<String, String> {
    let url = url.as_str().ok_or("the ready file names no address")?;
    Ok(url.trim_start_matches("http://").to_owned())
}
