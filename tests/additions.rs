//! What Marathon never had, by the command line and the API, at real processes. The rules themselves have their tests in
//! virtual time (`core/orchestrator/src/tests`).

mod real;

use real::Dev;
use rustix::process::Signal;
use serde_json::{Value, json};

fn fresh() -> (tempfile::TempDir, Dev) {
    fresh_of(1)
}

fn fresh_of(agents: usize) -> (tempfile::TempDir, Dev) {
    let dir = tempfile::tempdir().expect("a directory");
    let resources = "--resources=cpus:4;mem:2048;disk:2048;ports:[31000-32000]";
    let agents = format!("--agents={agents}");
    let dev = Dev::start(dir.path(), &[resources, "--kill-tasks-on-exit", &agents]);
    (dir, dev)
}

fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
}

/// A command that must exit with this code; its standard error.
fn refused(dev: &Dev, code: i32, words: &[&str]) -> String {
    let output = dev.command(words).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    said
}

fn file(dir: &tempfile::TempDir, name: &str, app: &Value) -> String {
    let path = dir.path().join(name);
    std::fs::write(&path, app.to_string()).expect("a file");
    path.display().to_string()
}

fn running(dev: &Dev, app: &str) -> Vec<String> {
    let all: Value =
        serde_json::from_str(&dev.ask("GET", &format!("/v2/apps{app}/tasks"), "").1).expect("JSON");
    let running = all["tasks"].as_array().into_iter().flatten().filter(|t| t["state"] == "TASK_RUNNING");
    running.map(|task| task["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn a_deployment_fails_and_goes_back_or_pauses() {
    let (dir, dev) = fresh();
    let good = json!({ "id": "/shop", "instances": 2, "cmd": "exec sleep 1000", "cpus": 0.1, "mem": 32,
        "upgradeStrategy": { "minimumHealthCapacity": 0.5, "maximumOverCapacity": 0 },
        "maxFailures": 1, "onFailure": "rollback", "settleSeconds": 1 });
    let mut bad = good.clone();
    bad["cmd"] = "exit 3".into();
    let (good, bad) = (file(&dir, "good.json", &good), file(&dir, "bad.json", &bad));
    has(&dev.mesolite(&["app", "apply", &good]), &["/shop: done"]);
    let before = running(&dev, "/shop");
    let why = refused(&dev, 1, &["app", "apply", &bad]);
    has(&why, &["2 tasks of /shop failed, at most 1 may", "Command exited with status 3", "undoes it"]);
    let after = running(&dev, "/shop");
    assert_eq!((after.len(), after.iter().filter(|task| before.contains(task)).count()), (2, 1), "{after:?}");
    let why = refused(&dev, 1, &["app", "apply", &bad, "--on-failure", "pause"]);
    has(&why, &["is paused", "deployment resume", "deployment cancel"]);
    let all = dev.until("/v2/deployments", |v| v[0]["state"] == "paused");
    let id = all[0]["id"].as_str().expect("an id");
    has(
        &dev.mesolite(&["deployment", "show", id]),
        &["paused", "onFailure pause", "/shop", "its last failure"],
    );
    has(&dev.mesolite(&["deployment", "resume", id]), &["goes on"]);
    dev.until("/v2/deployments", |v| v[0]["state"] == "paused");
    dev.mesolite(&["deployment", "cancel", id]);
    dev.until("/v2/deployments", |v| *v == json!([]));
    has(&dev.mesolite(&["deployment", "show", id]), &["cancelled", "rolled back by"]);
    assert_eq!(running(&dev, "/shop").len(), 2);
}

#[test]
fn a_change_waits_behind_a_lock_and_events_are_heard_later() {
    let (dir, dev) = fresh();
    let big =
        file(&dir, "big.json", &json!({ "id": "/big", "cmd": "exec sleep 1000", "cpus": 100, "mem": 32 }));
    // the id of an event, as a client that was cut would have it
    let host = dev.marathon.trim_start_matches("http://");
    let heard = real::hear(host, "/v2/events", &[], |said| said.contains("\nid: "));
    let id = heard.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id").to_owned();
    dev.mesolite(&["app", "apply", "--no-wait", &big]);
    let why = refused(&dev, 1, &["app", "scale", "/big", "2", "--no-wait"]);
    has(&why, &["409", "--queue"]);
    has(&dev.mesolite(&["app", "scale", "/big", "2", "--no-wait", "--queue"]), &["has begun"]);
    let (status, said) = dev.ask("PUT", "/v2/apps/big?queue=true", r#"{"cpus":0.1}"#);
    assert_eq!(status, 202, "{said}");
    has(&dev.mesolite(&["deployment", "list"]), &["waits behind"]);
    let all = dev.until("/v2/deployments", |v| v[1]["state"] == "queued");
    dev.mesolite(&["deployment", "cancel", "--force", all[0]["id"].as_str().expect("an id")]);
    dev.until("/v2/apps/big", |v| v["app"]["tasksRunning"] == 2 && v["app"]["cpus"] == 0.1);
    let wanted = ["deployment_queued", "deployment_failed", "deployment_success", "TASK_RUNNING"];
    let missed = real::hear(host, "/v2/events", &[("Last-Event-ID", &id)], |said| {
        wanted.iter().all(|kind| said.contains(kind))
    });
    assert!(!missed.contains("events_lost"), "{missed}");
}

#[test]
fn who_heard_events_before_a_restart_is_told_that_some_are_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut last: Option<String> = None;
    for _ in 0..3 {
        let mut dev = Dev::start(dir.path(), &["--kill-tasks-on-exit"]);
        let host = dev.marathon.trim_start_matches("http://").to_owned();
        let id = last.clone().unwrap_or_default();
        let before: &[(&str, &str)] = if last.is_some() { &[("Last-Event-ID", &id)] } else { &[] };
        let heard = real::hear(&host, "/v2/events", before, |said| {
            said.contains("event_stream_attached") && said.contains("\nid: ")
        });
        assert_eq!(heard.contains("event: events_lost"), last.is_some(), "{heard}");
        assert!(id.is_empty() || heard.contains(&format!(r#""lastEventId":"{id}""#)), "{heard}");
        let new = heard.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id").to_owned();
        let epoch = |id: &str| id.split('-').next().and_then(|epoch| epoch.parse::<u64>().ok());
        assert!(last.as_deref().is_none_or(|last| epoch(&new) > epoch(last)), "{last:?} and then {new}");
        last = Some(new);
        dev.signal(Signal::KILL);
        dev.ended();
    }
}

#[test]
fn what_runs_once_is_done_and_what_waits_says_why() {
    let (dir, dev) = fresh();
    let job = |id: &str, cmd: &str| {
        file(&dir, "job.json", &json!({ "id": id, "runOnce": true, "cmd": cmd, "cpus": 0.1, "mem": 32 }))
    };
    dev.mesolite(&["app", "apply", &job("/good", "exit 0")]);
    dev.mesolite(&["app", "apply", &job("/bad", "exit 4")]);
    let said = dev.until("/v2/apps/bad", |v| v["app"]["run"]["state"] == "failed");
    assert_eq!(said["app"]["run"]["results"][0]["message"], "Command exited with status 4");
    dev.until("/v2/apps/good", |v| v["app"]["run"]["state"] == "succeeded" && v["app"]["tasksRunning"] == 0);
    has(&dev.mesolite(&["app", "list"]), &["/good  done", "/bad   failed"]);
    has(&dev.mesolite(&["app", "show", "/good"]), &["succeeded: 1 finished, 0 failed"]);
    let big = file(&dir, "big.json", &json!({ "id": "/big", "cmd": "true", "cpus": 100, "mem": 32 }));
    dev.mesolite(&["app", "apply", "--no-wait", &big]);
    let app = dev.until("/v2/apps/big?embed=app.why", |v| v["app"]["why"]["stage"] == "InsufficientCpus");
    let queue = dev.until("/v2/queue?embed=why", |v| !v["queue"][0].is_null());
    assert_eq!(queue["queue"][0]["why"]["reason"], app["app"]["why"]["reason"]);
    has(&dev.mesolite(&["app", "why", "/big"]), &[app["app"]["why"]["reason"].as_str().expect("a reason")]);
}

#[test]
fn one_runs_on_every_node_and_apps_keep_away_from_each_other() {
    let (dir, dev) = fresh_of(3);
    let app = |id: &str, more: Value| {
        let mut app = json!({ "id": id, "cmd": "exec sleep 1000", "cpus": 0.1, "mem": 32 });
        more.as_object().expect("fields").iter().for_each(|(key, value)| app[key] = value.clone());
        dev.mesolite(&["app", "apply", &file(&dir, "app.json", &app)]);
    };
    let nodes = |app: &str| -> std::collections::BTreeSet<String> {
        let all: Value =
            serde_json::from_str(&dev.ask("GET", &format!("/v2/apps{app}/tasks"), "").1).expect("JSON");
        let tasks = all["tasks"].as_array().expect("tasks").clone();
        tasks.iter().map(|task| task["slaveId"].as_str().expect("an agent").to_owned()).collect()
    };
    app("/logs", json!({ "instances": "every" }));
    dev.until("/v2/apps/logs", |v| v["app"]["tasksRunning"] == 3 && v["app"]["instances"] == 3);
    assert_eq!(nodes("/logs").len(), 3);
    app("/db", json!({ "constraints": [["@app", "UNLIKE", "/web.*"]] }));
    app("/web", json!({ "instances": 4 }));
    app(
        "/cache",
        json!({ "instances": 2, "preferences": [{ "field": "@app", "operator": "LIKE", "value": "/db" }] }),
    );
    assert!(nodes("/db").is_disjoint(&nodes("/web")));
    assert_eq!(nodes("/cache"), nodes("/db"));
}

#[test]
fn groups_say_things_for_their_apps_and_are_taken_over() {
    let (dir, dev) = fresh();
    let tree = |log: &str| {
        let defaults = json!({ "env": { "LOG": log, "TIER": "prod" }, "cpus": 0.1, "mem": 32 });
        json!({ "id": "/prod", "defaults": defaults, "apps": [{ "id": "db", "cmd": "exec sleep 1000" },
            { "id": "web", "cmd": "exec sleep 1000", "env": { "LOG": "debug" }, "dependencies": ["db"] }] })
    };
    let (info, warn) = (file(&dir, "info.json", &tree("info")), file(&dir, "warn.json", &tree("warn")));
    has(&dev.mesolite(&["group", "apply", "--dry-run", &info]), &["step 3: ScaleApplication /prod/web"]);
    has(&dev.mesolite(&["group", "apply", &info]), &["/prod: done"]);
    has(&dev.mesolite(&["group", "show", "prod"]), &["\"TIER\":\"prod\"", "/prod/web  running  1/1"]);
    let app = dev.until("/v2/apps/prod/web", |v| v["app"]["tasksRunning"] == 1);
    assert_eq!(app["app"]["env"], json!({ "LOG": "debug", "TIER": "prod" }));
    assert_eq!(app["app"]["inherited"]["env"], json!({ "TIER": "prod" }));
    let plan = dev.mesolite(&["group", "apply", "--dry-run", &warn]);
    assert!(plan.contains("RestartApplication /prod/db") && !plan.contains("/prod/web"), "{plan}");
    dev.mesolite(&["group", "apply", &warn]);
    dev.mesolite(&["group", "scale", "/prod", "2"]);
    has(&dev.mesolite(&["group", "list"]), &["  /prod  2     0     4/4"]);
    dev.mesolite(&["group", "rollback", "/prod"]);
    has(&dev.mesolite(&["group", "list"]), &["2/2"]);
    assert!(dev.mesolite(&["group", "history", "/prod"]).lines().count() > 3);
    let pod = json!({ "id": "/prod/pod", "containers": [{ "name": "c", "resources": { "cpus": 0.1, "mem": 16 },
        "exec": { "command": { "shell": "exec sleep 1000" } } }] });
    assert_eq!(dev.ask("POST", "/v2/pods", &pod.to_string()).0, 201);
    let whole = dev.until("/v2/pods/prod/pod", |v| v["environment"]["TIER"] == "prod");
    assert_eq!(whole["inherited"]["environment"], json!({ "LOG": "warn", "TIER": "prod" }));
    has(
        &dev.mesolite(&["pod", "apply", "--dry-run", &file(&dir, "pod.json", &pod)]),
        &["/prod/pod stays as it is"],
    );
    let image =
        json!({ "id": "/img", "instances": 0, "container": { "type": "MESOS", "docker": { "image": "i" } } });
    assert_eq!(dev.ask("POST", "/v2/apps", &image.to_string()).0, 201);
    let (_other_dir, other) = fresh();
    has(
        &other.mesolite(&["import", &dev.marathon]),
        &[
            "/prod/web  carries over",
            "/prod/pod  carries over",
            "can't be launched here yet: container images",
        ],
    );
    assert_eq!(dev.ask("DELETE", "/v2/apps/img", "").0, 200);
    has(
        &other.mesolite(&["import", &dev.marathon, "--apply"]),
        &["2 apps and 1 pod are taken over", "carries over  its defaults"],
    );
    let app = other.until("/v2/apps/prod/web", |v| v["app"]["tasksRunning"] == 1);
    assert_eq!(app["app"]["env"]["TIER"], "prod");
    assert_eq!(app["app"]["inherited"]["env"]["TIER"], "prod", "its group's defaults came with it: {app}");
    has(&other.mesolite(&["import", &dev.marathon, "--apply"]), &["are taken over"]);
    other.until("/v2/pods/prod/pod::status", |v| v["status"] == "STABLE");
    other.until("/v2/pods/prod/pod", |v| v["inherited"]["environment"]["TIER"] == "prod");
    dev.mesolite(&["group", "rm", "/prod"]);
    refused(&dev, 3, &["group", "show", "/prod"]);
}

#[test]
fn an_app_grows_and_shrinks_with_what_is_asked_of_it() {
    let (dir, dev) = fresh();
    let app = |id: &str, cmd: &str, rule: Value| {
        let app = json!({ "id": id, "cmd": cmd, "cpus": 0.1, "mem": 32, "autoscale": rule });
        dev.mesolite(&["app", "apply", &file(&dir, "app.json", &app)]);
    };
    app("/api", "exec sleep 1000", json!({ "maxInstances": 5, "requests": 100, "cooldownSeconds": 0 }));
    let report =
        |requests: u64| dev.ask("POST", "/v2/apps/api/load", &json!({ "requests": requests }).to_string());
    assert_eq!(report(250).0, 200);
    let grown = dev.until("/v2/apps/api", |v| v["app"]["tasksRunning"] == 3);
    assert_eq!(grown["app"]["autoscaling"]["last"]["to"], 3);
    has(&dev.mesolite(&["app", "show", "/api"]), &["scales itself", "from 1 to 3: requests 250.00"]);
    dev.until("/v2/apps/api", |v| v["app"]["deployments"] == json!([]));
    report(1);
    dev.until("/v2/apps/api", |v| v["app"]["instances"] == 1 && v["app"]["tasksRunning"] == 1);
    // what agents measure
    let rule = json!({ "maxInstances": 2, "cpu": 0.5, "cooldownSeconds": 0 });
    app("/burn", "while true; do true; done", rule);
    dev.until("/v2/apps/burn", |v| v["app"]["tasksRunning"] == 2);
}

#[test]
fn a_task_that_its_agent_ends_for_a_check_says_which() {
    let (dir, dev) = fresh();
    let check = json!({ "protocol": "COMMAND", "command": { "value": "exit 7" }, "gracePeriodSeconds": 0,
        "intervalSeconds": 1, "delaySeconds": 0, "maxConsecutiveFailures": 2 });
    let app =
        json!({ "id": "/sick", "cmd": "exec sleep 1000", "cpus": 0.1, "mem": 32, "healthChecks": [check] });
    assert_eq!(dev.ask("POST", "/v2/apps", &app.to_string()).0, 201);
    let app = dev.until("/v2/apps/sick", |v| v["app"]["lastTaskFailure"].is_object());
    let message = app["app"]["lastTaskFailure"]["message"].as_str().expect("a message").to_owned();
    has(&message, &["COMMAND check 'exit 7' failed 2 times in a row", "signal Terminated"]);
    has(&dev.mesolite(&["app", "why", "/sick"]), &["COMMAND check 'exit 7'"]);
    drop(dir);
}

#[test]
fn loggers_have_levels_that_go_back() {
    let (_dir, dev) = fresh();
    let levels = || -> Value { serde_json::from_str(&dev.ask("GET", "/logging", "").1).expect("JSON") };
    assert_eq!((&levels()["ROOT"], &levels()["web"]), (&json!("WARN"), &json!("WARN (inherited)")));
    let set = |logger: &str, level: &str, more: Value| {
        let mut change = json!({ "logger": logger, "level": level });
        more.as_object().expect("fields").iter().for_each(|(key, value)| change[key] = value.clone());
        let (status, said) = dev.ask("POST", "/logging", &change.to_string());
        assert_eq!(serde_json::from_str::<Value>(&said).expect("JSON"), change);
        status
    };
    assert_eq!(set("web", "debug", json!({})), 200);
    assert_eq!(levels()["web"], "DEBUG");
    assert_eq!(set("ROOT", "trace", json!({ "durationSeconds": 1 })), 200);
    dev.until("/logging", |v| v["ROOT"] == "WARN" && v["web"] == "DEBUG" && v["node"] == "WARN (inherited)");
    // who runs what is said at INFO
    let run = |id: &str| {
        let app = json!({ "id": id, "cmd": "exec sleep 1000", "cpus": 0.1, "mem": 32 });
        assert_eq!(dev.ask("POST", "/v2/apps", &app.to_string()).0, 201);
        dev.until(&format!("/v2/apps{id}"), |v| v["app"]["tasksRunning"] == 1);
    };
    run("/unsaid");
    assert_eq!(set("ROOT", "info", json!({})), 200);
    run("/said");
    let lines = dev.said();
    assert!(lines.contains("task said.") && !lines.contains("task unsaid."), "{lines}");
    assert_eq!(dev.ask("POST", "/logging", r#"{"logger":"web","level":"loud"}"#).0, 422);
}
