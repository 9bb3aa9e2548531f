//! Real daemons for tests: started in a directory of their own, asked over HTTP, cleaned up with their tasks and cgroups.
//!
//! Never: assertions about what a daemon answers.

// Each test binary uses its own part of this.
#![allow(dead_code)]

pub use rustix::process::Signal;

use rustix::process::{Pid, kill_process};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);
/// How long what a test leaves behind may take to end.
const CLEAN_MAX: Duration = Duration::from_secs(10);
/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_mesolite");

/// Looks until there is something to see.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(PAUSE);
    }
}

/// Whether this process is root.
pub fn root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|l| l.strip_prefix("Uid:"))
        .is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"))
}

/// A whole cluster in one process, `mesolite dev`.
pub struct Dev {
    pub dir: PathBuf,
    pub child: Child,
    pub master: String,
    pub agents: Vec<String>,
    pub marathon: String,
    log: PathBuf,
}

impl Dev {
    /// Starts one that keeps its state in `dir/data`.
    pub fn start(dir: &Path, more: &[&str]) -> Self {
        Self::start_by(dir, &[BINARY], more)
    }

    /// Starts one by other words than the binary's path alone: `setpriv … BINARY` for example.
    pub fn start_by(dir: &Path, by: &[&str], more: &[&str]) -> Self {
        let ready = dir.join("ready");
        if ready.exists() {
            std::fs::remove_file(&ready).expect("the old ready file goes");
        }
        let log = dir.join("dev.log");
        let out = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log");
        let mut command = dev_command(dir, by, more);
        command.arg(format!("--ready-file={}", ready.display()));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a log"))
            .stderr(out)
            .spawn()
            .expect("the binary starts");
        let said: Value = eventually("the ready file", || {
            if let Some(status) = child.try_wait().expect("a status") {
                panic!("ended with {status}: {}", std::fs::read_to_string(&log).unwrap_or_default());
            }
            serde_json::from_slice(&std::fs::read(&ready).ok()?).ok()
        });
        let text = |value: &Value| value.as_str().expect("a URL").to_owned();
        Self {
            dir: dir.to_owned(),
            child,
            master: text(&said["master"]),
            agents: said["agents"].as_array().expect("agents").iter().map(text).collect(),
            marathon: text(&said["marathon"]),
            log,
        }
    }

    /// What it has written so far, output and log.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal to the daemon alone.
    pub fn signal(&self, signal: Signal) {
        send(&self.child, signal);
    }

    /// The command line of this binary against this cluster.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(["--master", &self.master, "--marathon", &self.marathon]).args(words);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command that must succeed, and gives its standard output.
    pub fn mesolite(&self, words: &[&str]) -> String {
        let output = self.command(words).output().expect("the binary runs");
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until it has ended.
    pub fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the daemon ends", || child.try_wait().expect("a status"))
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("a figure");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Asks Marathon's API.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        request(&self.marathon, method, path, body)
    }

    /// Asks until the answer is as wanted.
    pub fn until(&self, path: &str, right: impl Fn(&Value) -> bool) -> Value {
        eventually(path, || {
            let value = serde_json::from_str(&self.ask("GET", path, "").1).ok()?;
            right(&value).then_some(value)
        })
    }

    /// Creates an app and waits until all of it runs.
    pub fn run_app(&self, app: &str) {
        let (status, body) = self.ask("POST", "/v2/apps", app);
        assert_eq!(status, 201, "{body}");
        let app: Value = serde_json::from_str(&body).expect("an app");
        let path = format!("/v2/apps{}", app["id"].as_str().expect("an id"));
        self.until(&path, |v| {
            v["app"]["tasksRunning"] == app["instances"] && v["app"]["deployments"] == serde_json::json!([])
        });
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("== {}\n{}", self.log.display(), self.said());
        }
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
        clean_up(&self.dir);
    }
}

/// Sends a signal to a child.
pub fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("it is there");
}

/// Runs it for at most so long; what it wrote until then.
pub fn for_a_while(command: &mut Command, most: Duration, enough: impl Fn(&str) -> bool) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut out = child.stdout.take().expect("a pipe");
    let (lines, said) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n) = out.read(&mut buffer) {
            if n == 0 || lines.send(buffer[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    let (until, mut stdout) = (Instant::now() + most, Vec::new());
    while let Ok(more) = said.recv_timeout(until.saturating_duration_since(Instant::now())) {
        stdout.extend(more);
        if enough(&String::from_utf8_lossy(&stdout)) {
            break;
        }
    }
    // One that has ended by itself is no matter.
    child.kill().unwrap_or_default();
    drop(said);
    let ended = child.wait_with_output().expect("a status");
    reading.join().expect("the reader ends");
    Output { stdout, ..ended }
}

/// Seconds to sleep that nobody else on this machine sleeps, so that processes can be told apart by them.
pub fn own_seconds() -> String {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!(
        "{}.{:03}",
        now.as_micros() % 1_000_000_000 + 1_000_000_000,
        NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    )
}

/// Processes for which this holds, by their directory in /proc.
pub fn processes_where(right: impl Fn(&Path) -> bool) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let numbered = entries.filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path())));
    numbered.filter(|(pid, path)| *pid != std::process::id() && right(path)).map(|(pid, _)| pid).collect()
}

/// Processes with these words on their command lines.
pub fn processes(words: &str) -> Vec<u32> {
    processes_where(|path| {
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").contains(words)
    })
}

/// The cgroups of a process that are mesolite's, as directories.
pub fn cgroups(pid: u32) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let own = text.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        path.contains("/mesos/").then(|| Path::new("/sys/fs/cgroup").join(controllers).join(&path[1..]))
    });
    own.collect()
}

/// Tasks and launchers outlive their daemons by design: those of this directory go with the test, and their cgroups.
pub fn clean_up(dir: &Path) {
    let own = dir.display().to_string();
    let mut groups = BTreeSet::new();
    let until = Instant::now() + CLEAN_MAX;
    while Instant::now() < until {
        let below = processes_where(|path| {
            let inside = |name: &str| {
                let text = std::fs::read(path.join(name)).unwrap_or_default();
                String::from_utf8_lossy(&text).contains(&own)
            };
            inside("cmdline") || inside("environ")
        });
        if below.is_empty() {
            break;
        }
        for pid in below {
            groups.extend(cgroups(pid));
            let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
            // One that has just ended is no matter.
            raw.map(|pid| kill_process(pid, Signal::KILL).unwrap_or_default()).unwrap_or_default();
        }
        std::thread::sleep(PAUSE);
    }
    for group in groups.iter().rev() {
        while group.exists() && std::fs::remove_dir(group).is_err() && Instant::now() < until {
            std::thread::sleep(PAUSE);
        }
    }
}

/// The command line of `mesolite dev` in `dir/data` on free ports.
pub fn dev_command(dir: &Path, by: &[&str], more: &[&str]) -> Command {
    let mut words: Vec<String> = by.iter().map(|w| (*w).to_owned()).collect();
    words.extend(["dev".to_owned(), format!("--dir={}", dir.join("data").display())]);
    words.extend(["--master-port=0", "--agent-port=0", "--marathon-port=0"].map(str::to_owned));
    words.extend(more.iter().map(|w| (*w).to_owned()));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// One request on a connection of its own; status 0 = nobody listens or answers.
pub fn request(url: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    request_bytes(url, method, path, "application/json", body.as_bytes())
}

/// Asks for a page as browsers do.
pub fn browse(url: &str, path: &str) -> (u16, String) {
    exchange(url, "GET", path, "text/html,application/xhtml+xml,*/*;q=0.8", "text/plain", b"")
}

/// One request with any body.
pub fn request_bytes(url: &str, method: &str, path: &str, media: &str, body: &[u8]) -> (u16, String) {
    exchange(url, method, path, "application/json", media, body)
}

fn exchange(url: &str, method: &str, path: &str, accept: &str, media: &str, body: &[u8]) -> (u16, String) {
    let host = url.trim_start_matches("http://");
    let Ok(mut stream) = TcpStream::connect(host) else { return (0, String::new()) };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: {media}\r\nAccept: {accept}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    // A body that is too long is refused before all of it was read: then writing fails, and the answer is there.
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).unwrap_or_default();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map(drop).unwrap_or_default();
    let answer = String::from_utf8_lossy(&bytes);
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_default();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    (status, if chunked { unchunk(body) } else { body.to_owned() })
}

fn unchunk(body: &str) -> String {
    let mut out = String::new();
    let mut rest = body;
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or_default();
        if size == 0 || size > after.len() {
            break;
        }
        out.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    out
}

/// Reads a stream until enough was said, and hangs up.
pub fn hear(host: &str, path: &str, headers: &[(&str, &str)], enough: impl Fn(&str) -> bool) -> String {
    let mut stream = TcpStream::connect(host).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n");
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).expect("it reads");
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    while !enough(&String::from_utf8_lossy(&said)) {
        let count = stream.read(&mut buffer).expect("something in time");
        assert!(count > 0, "the stream ended: {}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&said).into_owned()
}
