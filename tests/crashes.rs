//! Daemons and launchers that are killed in the middle of launches, and apps that are deleted while they are fetched:
//! in the end exactly what was asked for runs, once.

mod real;

use real::{Dev, Signal, eventually, processes_where};
use rustix::process::{Pid, kill_process};
use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    sync::mpsc::channel,
    time::{Duration, Instant},
};

const INSTANCES: usize = 60;
/// Enough for the instances of these tests on any machine.
const RESOURCES: &str = "cpus:64;mem:20000;disk:10000;ports:[31000-31900]";

/// Tasks of this app as processes: what a command line begins with.
fn sleeping(time: &str) -> usize {
    let line = format!("sleep\0{time}\0");
    processes_where(|path| std::fs::read(path.join("cmdline")).is_ok_and(|c| c == line.as_bytes())).len()
}

fn burst(dev: &Dev, time: &str) {
    let app = format!(
        r#"{{"id":"/burst","cmd":"exec sleep {time}","cpus":0.01,"mem":32,"instances":{INSTANCES},"backoffSeconds":0,"maxLaunchDelaySeconds":0}}"#
    );
    assert_eq!(dev.ask("POST", "/v2/apps", &app).0, 201);
}

/// All instances run, each as one process and as one task of the agent, and nothing else does.
fn all_is_well(dev: &Dev, time: &str) {
    dev.until("/v2/apps/burst", |v| {
        v["app"]["tasksRunning"] == INSTANCES && v["app"]["deployments"] == serde_json::json!([])
    });
    eventually("one process for each instance", || (sleeping(time) == INSTANCES).then_some(()));
    let (status, state) = real::request(&dev.agents[0], "GET", "/containers", "");
    assert_eq!(status, 200);
    let containers: serde_json::Value = serde_json::from_str(&state).expect("containers");
    assert_eq!(containers.as_array().map(Vec::len), Some(INSTANCES));
    assert_eq!(dev.ask("DELETE", "/v2/apps/burst", "").0, 200);
    eventually("all of them can be ended", || (sleeping(time) == 0).then_some(()));
}

#[test]
fn a_daemon_that_is_killed_during_launches_doubles_and_forgets_nothing() {
    let resources = format!("--resources={RESOURCES}");
    for (round, after) in [0, 1, INSTANCES / 3].into_iter().enumerate() {
        let dir = tempfile::tempdir().expect("a directory");
        let time = format!("77001{round}");
        let mut dev = Dev::start(dir.path(), &[&resources]);
        burst(&dev, &time);
        eventually("it is in the middle of it", || (sleeping(&time) >= after).then_some(()));
        dev.signal(Signal::KILL);
        dev.ended();
        std::mem::forget(dev);
        all_is_well(&Dev::start(dir.path(), &[&resources]), &time);
    }
}

fn launcher_of(dir: &Path) -> u32 {
    let own = format!("{}", dir.join("data").display());
    let all = processes_where(|path| {
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(&own) && line.contains(" launcher ")
    });
    // What stands before a task is a copy of it, and its child.
    let parent = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("PPid:"));
        line.and_then(|l| l.trim().parse::<u32>().ok()).unwrap_or_default()
    };
    let first = |pid: &u32| !all.contains(&parent(*pid));
    all.iter().copied().find(first).expect("a launcher")
}

#[test]
fn a_launcher_that_is_killed_during_launches_doubles_and_forgets_nothing() {
    let resources = format!("--resources={RESOURCES}");
    for (round, after) in [0, INSTANCES / 3].into_iter().enumerate() {
        let dir = tempfile::tempdir().expect("a directory");
        let time = format!("77002{round}");
        let dev = Dev::start(dir.path(), &[&resources]);
        let launcher = launcher_of(dir.path());
        burst(&dev, &time);
        eventually("it is in the middle of it", || (sleeping(&time) >= after).then_some(()));
        let launcher = i32::try_from(launcher).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(launcher, Signal::KILL).expect("it is there");
        all_is_well(&dev, &time);
    }
}

#[test]
fn an_app_that_is_deleted_while_it_is_fetched_is_gone_at_once_and_never_runs() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(dir.path(), &[]);
    // A server that begins an answer and never ends it.
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = server.local_addr().expect("an address").port();
    let (tell, asked) = channel();
    std::thread::spawn(move || {
        let (mut stream, _) = server.accept().expect("a fetcher");
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).is_ok_and(|n| n > 0));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx").expect("it listens");
        tell.send(()).expect("the test waits");
        let begun = Instant::now();
        // Until the other side hangs up.
        stream.read(&mut request).map(drop).unwrap_or_default();
        tell.send(()).unwrap_or_default();
        begun.elapsed()
    });
    let ran = dir.path().join("ran");
    let app = format!(
        r#"{{"id":"/slow","cmd":"touch {}; sleep 100","cpus":0.1,"mem":32,"fetch":[{{"uri":"http://127.0.0.1:{port}/x"}}]}}"#,
        ran.display()
    );
    assert_eq!(dev.ask("POST", "/v2/apps", &app).0, 201);
    asked.recv_timeout(real::PATIENCE).expect("it is fetched");
    let began = Instant::now();
    assert_eq!(dev.ask("DELETE", "/v2/apps/slow", "").0, 200);
    dev.until("/v2/tasks", |v| v["tasks"] == serde_json::json!([]));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    asked.recv_timeout(real::PATIENCE).expect("the fetch is cut");
    assert!(!ran.exists(), "it must not run");
    let (_, state) = real::request(&dev.master, "GET", "/state", "");
    assert!(state.contains("TASK_KILLED") && !state.contains("TASK_FAILED"), "{state}");
}
