//! Apps with persistent volumes on a real cluster: what they wrote is there after their end, after the agent's restart, and
//! gone when they are wiped.

mod real;

use real::{Dev, Signal, eventually, request};
use serde_json::{Value, json};

/// Counts its starts in its volume, and says how often it has started.
const COUNTS: &str = "echo start >> data/starts && exec sleep 1000";

fn db(more: Value) -> String {
    let mut all = json!({
        "id": "/db", "cmd": COUNTS, "cpus": 0.1, "mem": 32, "instances": 1, "backoffSeconds": 1,
        "container": { "type": "MESOS", "volumes": [
            { "containerPath": "data", "mode": "RW", "persistent": { "size": 16 } }] },
    });
    more.as_object().expect("fields").iter().for_each(|(key, value)| all[key] = value.clone());
    all.to_string()
}

/// Files of this name in volumes of agents.
fn found(dir: &std::path::Path, name: &str) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    let mut left = vec![dir.join("data")];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let kind = entry.file_type();
            if kind.is_ok_and(|kind| kind.is_dir()) {
                left.push(entry.path());
            } else if entry.file_name() == name && entry.path().display().to_string().contains("/volumes/") {
                all.push(entry.path());
            }
        }
    }
    all
}

fn starts(dev: &Dev, least: usize) {
    eventually("it has started so often", || {
        let files = found(&dev.dir, "starts");
        assert!(files.len() < 2, "one app has one volume: {files:?}");
        let text = std::fs::read_to_string(files.first()?).ok()?;
        (text.lines().count() >= least).then_some(())
    });
}

fn task(dev: &Dev) -> Value {
    let value = dev.until("/v2/apps/db/tasks", |v| v["tasks"][0]["state"] == "TASK_RUNNING");
    value["tasks"][0].clone()
}

fn reserved(dev: &Dev) -> Vec<Value> {
    let state: Value = serde_json::from_str(&request(&dev.master, "GET", "/state", "").1).expect("JSON");
    let slaves = state["slaves"].as_array().cloned().unwrap_or_default();
    slaves.iter().map(|slave| slave["reserved_resources"].clone()).filter(|r| *r != json!({})).collect()
}

#[test]
fn what_an_app_wrote_outlives_its_tasks_and_its_agent_until_it_is_wiped() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut dev = Dev::start(dir.path(), &["--agents=2"]);
    dev.run_app(&db(json!({})));
    starts(&dev, 1);
    let first = task(&dev);
    assert_eq!(first["role"], "marathon", "{first}");
    let id = first["localVolumes"][0]["persistenceId"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("db#data#"), "{id}");
    assert_eq!(reserved(&dev)[0]["marathon"]["disk"], 16.0);
    // it is killed: the next one has the same volume on the same agent
    let path = format!("/v2/apps/db/tasks/{}", first["id"].as_str().expect("an id"));
    assert_eq!(dev.ask("DELETE", &path, "").0, 200);
    starts(&dev, 2);
    let second = task(&dev);
    assert_ne!(second["id"], first["id"]);
    for same in ["slaveId", "localVolumes"] {
        assert_eq!(second[same], first[same]);
    }
    // everything is killed -9 and starts again; then the task is killed
    dev.signal(Signal::KILL);
    dev.ended();
    let dev = Dev::start(dir.path(), &["--agents=2"]);
    let third = task(&dev);
    assert_eq!(third["localVolumes"], first["localVolumes"]);
    let path = format!("/v2/apps/db/tasks/{}", third["id"].as_str().expect("an id"));
    assert_eq!(dev.ask("DELETE", &path, "").0, 200);
    starts(&dev, 3);
    // none runs: the volume stays
    assert_eq!(dev.ask("PUT", "/v2/apps/db", r#"{"instances": 0}"#).0, 200);
    let rest = dev.until("/v2/apps/db/tasks", |v| v["tasks"][0]["state"] == "TASK_KILLED");
    assert_eq!(rest["tasks"][0]["localVolumes"], first["localVolumes"]);
    assert_eq!(reserved(&dev).len(), 1);
    assert_eq!(dev.ask("PUT", "/v2/apps/db", r#"{"instances": 1}"#).0, 200);
    starts(&dev, 4);
    // wiped: another volume comes, and with the app all goes
    let killed = task(&dev)["id"].as_str().expect("an id").to_owned();
    assert_eq!(dev.ask("DELETE", &format!("/v2/apps/db/tasks/{killed}?wipe=true"), "").0, 200);
    let other = dev.until("/v2/apps/db/tasks", |v| {
        v["tasks"][0]["state"] == "TASK_RUNNING" && v["tasks"][0]["localVolumes"] != first["localVolumes"]
    });
    assert!(!other["tasks"][0]["localVolumes"][0].is_null());
    assert_eq!(dev.ask("DELETE", "/v2/apps/db", "").0, 200);
    eventually("nothing is reserved", || reserved(&dev).is_empty().then_some(()));
    eventually("no volume is left", || found(&dev.dir, "starts").is_empty().then_some(()));
}

#[test]
fn a_pod_keeps_what_it_wrote() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(dir.path(), &["--agents=1"]);
    let pod = json!({
        "id": "/pod", "scaling": { "kind": "fixed", "instances": 1 },
        "volumes": [{ "name": "store", "persistent": { "size": 16 } }],
        "containers": [{
            "name": "a", "exec": { "command": { "shell": COUNTS } }, "resources": { "cpus": 0.1, "mem": 32 },
            "volumeMounts": [{ "name": "store", "mountPath": "data" }],
        }],
    });
    let (status, said) = dev.ask("POST", "/v2/pods", &pod.to_string());
    assert_eq!(status, 201, "{said}");
    let first = dev.until("/v2/pods/pod::status", |v| v["status"] == "STABLE");
    starts(&dev, 1);
    let instance = first["instances"][0]["id"].as_str().expect("an id");
    assert_eq!(dev.ask("DELETE", &format!("/v2/pods/pod::instances/{instance}"), "").0, 200);
    starts(&dev, 2);
    let second = dev.until("/v2/pods/pod::status", |v| v["status"] == "STABLE");
    assert_eq!(second["instances"][0]["localVolumes"], first["instances"][0]["localVolumes"]);
    let (status, said) = dev.ask("DELETE", "/v2/pods/pod", "");
    assert_eq!(status, 202, "{said}");
    eventually("nothing is reserved", || reserved(&dev).is_empty().then_some(()));
}
