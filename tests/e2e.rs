//! The real binary: once as `dev`, once with the roles apart. Processes, cgroups, `kill -9`.

mod real;

use real::{BINARY, PATIENCE, Signal, request};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Any signal that ends a daemon must end it within this.
const STOP_MAX: Duration = Duration::from_secs(10);

/// A cluster of real processes in a directory of its own.
struct Cluster {
    dir: tempfile::TempDir,
    apart: bool,
    children: Vec<Child>,
    master: String,
    marathon: String,
}

fn ready(file: &Path) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Ok(text) = std::fs::read(file) {
            return serde_json::from_slice(&text).expect("the ready file is whole");
        }
        assert!(Instant::now() < until, "{} did not appear", file.display());
        std::thread::yield_now();
    }
}

fn port_of(url: &str) -> String {
    url.rsplit(':').next().expect("a port").to_owned()
}

impl Cluster {
    fn new(apart: bool) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut cluster =
            Self { dir, apart, children: Vec::new(), master: String::new(), marathon: String::new() };
        cluster.start("0", "0", "0");
        cluster
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn spawn(&mut self, name: &str, arguments: &[String]) -> Value {
        let file = self.path(&format!("{name}.ready"));
        if file.exists() {
            std::fs::remove_file(&file).expect("the old ready file goes");
        }
        let log = std::fs::File::create(self.path(&format!("{name}.log"))).expect("a log");
        let child = Command::new(BINARY)
            .args(arguments)
            .arg(format!("--ready-file={}", file.display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        self.children.push(child);
        ready(&file)
    }

    fn start(&mut self, master_port: &str, agent_port: &str, marathon_port: &str) {
        let text = |said: &Value, name: &str| said[name].as_str().expect("a URL").to_owned();
        if !self.apart {
            let arguments = [
                "dev".to_owned(),
                format!("--dir={}", self.path("data").display()),
                format!("--master-port={master_port}"),
                format!("--agent-port={agent_port}"),
                format!("--marathon-port={marathon_port}"),
            ];
            let said = self.spawn("dev", &arguments);
            (self.master, self.marathon) = (text(&said, "master"), text(&said, "marathon"));
            return;
        }
        let role = |role: &str, port: &str, dir: &Path, more: &[String]| {
            let flag = if role == "orchestrator" { "http_port" } else { "port" };
            let mut all = vec![role.to_owned(), format!("--{flag}={port}")];
            all.push(format!("--work_dir={}", dir.join(role).display()));
            all.extend(more.iter().cloned());
            all
        };
        let dir = self.dir.path().to_owned();
        let said = self.spawn("master", &role("master", master_port, &dir, &[]));
        self.master = text(&said, "master");
        let master = [format!("--master={}", self.master.trim_start_matches("http://"))];
        self.spawn("agent", &role("agent", agent_port, &dir, &master));
        let said = self.spawn("orchestrator", &role("orchestrator", marathon_port, &dir, &master));
        self.marathon = text(&said, "marathon");
    }

    fn mesolite(&self, arguments: &[&str]) -> Output {
        Command::new(BINARY)
            .args(["--master", &self.master, "--marathon", &self.marathon])
            .args(arguments)
            .output()
            .expect("the binary runs")
    }

    fn signal(&mut self, signal: Signal) {
        let began = Instant::now();
        for child in &self.children {
            real::send(child, signal);
        }
        for mut child in self.children.drain(..) {
            let until = Instant::now() + PATIENCE;
            while child.try_wait().expect("a status").is_none() {
                assert!(Instant::now() < until, "the daemon does not end on {signal:?}");
                std::thread::yield_now();
            }
        }
        assert!(began.elapsed() < STOP_MAX, "{signal:?}: {:?}", began.elapsed());
    }

    /// Asks until the answer is as wanted.
    fn eventually(&self, path: &str, right: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let (_, body) = request(&self.marathon, "GET", path, "");
            let value = serde_json::from_str(&body).unwrap_or(Value::Null);
            if right(&value) {
                return value;
            }
            assert!(Instant::now() < until, "{path} is still {value}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for entry in std::fs::read_dir(self.dir.path()).into_iter().flatten().flatten() {
                if entry.path().extension().is_some_and(|e| e == "log") {
                    let log = std::fs::read_to_string(entry.path()).unwrap_or_default();
                    eprintln!("== {}\n{log}", entry.path().display());
                }
            }
        }
        for child in &mut self.children {
            child.kill().unwrap_or_default();
            child.wait().map(drop).unwrap_or_default();
        }
        real::clean_up(self.dir.path());
    }
}

fn both(test: impl Fn(Cluster)) {
    for apart in [false, true] {
        test(Cluster::new(apart));
    }
}

#[test]
fn a_one_off_task_prints_and_exits_as_its_command() {
    both(|cluster| {
        let output = cluster.mesolite(&["run", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "out\n", "{output:?}");
        assert_eq!(output.status.code(), Some(7));
    });
}

#[test]
fn an_app_lives_from_its_definition_to_its_deletion() {
    both(|cluster| {
        let app = r#"{"id":"/web","cmd":"echo $PORT0 $MARATHON_APP_ID; exec sleep 1000","instances":2,"cpus":0.1,"mem":32}"#;
        let (status, body) = request(&cluster.marathon, "POST", "/v2/apps", app);
        assert_eq!(status, 201, "{body}");
        let (status, body) = request(&cluster.marathon, "POST", "/v2/apps", app);
        assert_eq!((status, body.as_str()), (409, r#"{"message":"An app with id [/web] already exists."}"#));
        cluster.eventually("/v2/apps/web", |v| {
            v["app"]["tasksRunning"] == 2 && v["app"]["deployments"] == serde_json::json!([])
        });
        let (status, _) = request(&cluster.marathon, "PUT", "/v2/apps/web", r#"{"instances":3}"#);
        assert_eq!(status, 200);
        let tasks =
            cluster.eventually("/v2/apps/web/tasks", |v| v["tasks"].as_array().is_some_and(|t| t.len() == 3));
        let port = tasks["tasks"][0]["ports"][0].as_u64().expect("a host port");
        assert!((31_000..=32_000).contains(&port));
        let (status, body) = request(&cluster.marathon, "PUT", "/v2/apps/web", r#"{"cpus":-1}"#);
        assert!(status == 422 && body.contains("\"path\":\"/cpus\""), "{status} {body}");
        let (status, _) = request(&cluster.marathon, "DELETE", "/v2/apps/web", "");
        assert_eq!(status, 200);
        cluster.eventually("/v2/tasks", |v| v["tasks"] == serde_json::json!([]));
        let (status, body) = request(&cluster.marathon, "GET", "/v2/apps/web", "");
        assert_eq!((status, body.as_str()), (404, r#"{"message":"App '/web' does not exist"}"#));
    });
}

#[test]
fn an_app_has_a_history_and_a_way_back() {
    let cluster = Cluster::new(false);
    let file = |name: &str, command: &str| {
        let path = cluster.path(name);
        let app = serde_json::json!({"id": "/past", "cmd": command, "cpus": 0.1, "mem": 32});
        std::fs::write(&path, app.to_string()).expect("a file");
        path.display().to_string()
    };
    let (first, second) = (file("1.json", "sleep 1001"), file("2.json", "sleep 1002"));
    let said = |arguments: &[&str]| {
        let output = cluster.mesolite(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        text
    };
    assert_eq!(said(&["app", "diff", &first]), "/past is created\n");
    said(&["app", "apply", &first]);
    assert_eq!(said(&["app", "apply", "--dry-run", &first]), "/past stays as it is\n");
    assert!(said(&["app", "diff", &second]).contains("cmd  \"sleep 1001\" → \"sleep 1002\""));
    said(&["app", "apply", &second]);
    let history = said(&["app", "history", "past"]);
    let changed: Vec<_> = history.lines().skip(1).filter_map(|line| line.split("  ").nth(1)).collect();
    assert_eq!(changed, ["cmd", "first"], "{history}");
    said(&["app", "rollback", "past"]);
    cluster.eventually("/v2/apps/past", |v| v["app"]["cmd"] == "sleep 1001");
    assert_eq!(cluster.mesolite(&["app", "rollback", "past", "1999"]).status.code(), Some(3));
    let import = said(&["import", &cluster.marathon]);
    assert!(import.contains("/past  carries over  all of it"), "{import}");
}

#[test]
fn kill_nine_loses_no_app_and_no_running_task() {
    both(|mut cluster| {
        let app = r#"{"id":"/stays","cmd":"exec sleep 1000","cpus":0.1,"mem":32}"#;
        assert_eq!(request(&cluster.marathon, "POST", "/v2/apps", app).0, 201);
        let running = |v: &Value| v["tasks"][0]["state"] == "TASK_RUNNING";
        let before = cluster.eventually("/v2/apps/stays/tasks", running);
        cluster.signal(Signal::KILL);
        let (master, marathon) = (port_of(&cluster.master), port_of(&cluster.marathon));
        cluster.start(&master, "0", &marathon);
        let after = cluster.eventually("/v2/apps/stays", |v| {
            v["app"]["tasksRunning"] == 1 && v["app"]["deployments"] == serde_json::json!([])
        });
        assert_eq!(after["app"]["tasks"][0]["id"], before["tasks"][0]["id"], "the same task goes on");
        cluster.signal(Signal::TERM);
    });
}

#[test]
fn a_port_or_directory_in_use_is_said_clearly() {
    let cluster = Cluster::new(false);
    let second = |port: &str, dir: &Path| {
        Command::new(BINARY)
            .args(["master", &format!("--port={port}"), &format!("--work_dir={}", dir.display())])
            .output()
            .expect("the binary runs")
    };
    let port = port_of(&cluster.master);
    let output = second(&port, &cluster.path("other"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains(&port) && said.contains("--port"), "{said}");
    let output = second("0", &cluster.path("data/master"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("is in use by the process with pid"), "{said}");
    let refused =
        Command::new(BINARY).args(["master", "--zk=zk://x/mesos"]).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("does not take --zk") && said.contains("--master=HOST:PORT"), "{said}");
}
