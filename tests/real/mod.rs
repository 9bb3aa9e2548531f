//! Real daemons for tests: started in a directory of their own, asked over HTTP, cleaned up with their tasks and cgroups.
//!
//! Never: assertions about what a daemon answers.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use serde_json::Value;
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);
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
    pub fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(done.expect("kill runs").success());
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
        // Tasks and launchers outlive their daemons by design: they go with the test, and their empty cgroups too.
        let script = format!(
            "for p in $(pgrep -f 'launcher {}'); do pkill -9 -P $p; kill -9 $p; done; rmdir /sys/fs/cgroup/*/mesos/*",
            self.dir.display()
        );
        let mut cleaning = Command::new("sh");
        cleaning.args(["-c", &script]).stdout(Stdio::null()).stderr(Stdio::null());
        cleaning.status().map(drop).unwrap_or_default();
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

/// One request with any body.
pub fn request_bytes(url: &str, method: &str, path: &str, media: &str, body: &[u8]) -> (u16, String) {
    let host = url.trim_start_matches("http://");
    let Ok(mut stream) = TcpStream::connect(host) else { return (0, String::new()) };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: {media}\r\nAccept: application/json\r\nContent-Length: {}\r\n\r\n",
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
