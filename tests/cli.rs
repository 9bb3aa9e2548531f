//! Every command of the command line against a real cluster: what it prints, what it changes, how it exits.

mod real;

use real::{BINARY, Dev, Signal, eventually, for_a_while};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, Read as _},
    process::Command,
    time::Duration,
};

/// How long a command that follows something may take to print what is waited for.
const FOLLOW_MAX: Duration = Duration::from_secs(60);

fn fresh() -> (tempfile::TempDir, Dev) {
    let dir = tempfile::tempdir().expect("a directory");
    let resources = "--resources=cpus:4;mem:2048;disk:2048;ports:[31000-32000]";
    let dev = Dev::start(dir.path(), &[resources, "--kill-tasks-on-exit"]);
    (dir, dev)
}

/// A command that must exit with this code; its standard error.
fn refused(dev: &Dev, code: i32, words: &[&str]) -> String {
    let output = dev.command(words).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    said
}

fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
}

#[test]
fn an_app_is_applied_listed_shown_scaled_restarted_followed_and_removed() {
    let (dir, dev) = fresh();
    let file = dir.path().join("web.json");
    let app = json!({ "id": "/prod/web", "cmd": "echo up $PORT0; echo bad >&2; exec sleep 1000", "cpus": 0.1, "mem": 32 });
    std::fs::write(&file, app.to_string()).expect("a file");
    let file = file.display().to_string();
    has(&dev.mesolite(&["app", "apply", &file]), &["/prod/web: done"]);
    has(&dev.mesolite(&["app", "list"]), &["ID", "STATE", "TASKS", "/prod/web", "running", "1/1"]);
    has(&dev.mesolite(&["app", "show", "prod/web"]), &["/prod/web", "running", "0.1 cpus", "TASK_RUNNING"]);
    has(&dev.mesolite(&["app", "scale", "/prod/web", "3"]), &["/prod/web: done"]);
    let tasks = |app: &str| -> Vec<String> {
        let all = dev.mesolite(&["task", "list", "--app", app, "--json"]);
        let all: Value = serde_json::from_str(&all).expect("JSON");
        let ids = all["tasks"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|t| t["id"].as_str().expect("an id").to_owned());
        ids.collect()
    };
    let before = tasks("/prod/web");
    assert_eq!(before.len(), 3);
    let logs = eventually("what all of them wrote", || {
        Some(dev.mesolite(&["app", "logs", "/prod/web"])).filter(|said| said.matches("up 31").count() == 3)
    });
    assert!(!logs.contains("bad"), "{logs}");
    has(&dev.mesolite(&["app", "logs", "/prod/web", "--stderr"]), &["bad"]);
    has(&dev.mesolite(&["task", "list"]), &["TASK", "127.0.0.1:31", &before[0]]);
    has(&dev.mesolite(&["task", "show", &before[0]]), &[&before[0], "TASK_RUNNING", "sandbox"]);
    has(&dev.mesolite(&["task", "logs", &before[0]]), &["up 31"]);
    dev.mesolite(&["app", "restart", "/prod/web"]);
    let after = tasks("/prod/web");
    assert!(after.len() == 3 && after.iter().all(|id| !before.contains(id)), "{before:?} {after:?}");
    has(&dev.mesolite(&["task", "kill", &after[0]]), &[&after[0]]);
    eventually("another in its place", || {
        let now = tasks("/prod/web");
        (now.len() == 3 && !now.contains(&after[0])).then_some(())
    });
    // killed for good
    let last = tasks("/prod/web");
    has(&dev.mesolite(&["task", "kill", "--scale", &last[0]]), &["deployment"]);
    dev.until("/v2/apps/prod/web", |v| v["app"]["instances"] == 2 && v["app"]["deployments"] == json!([]));
    has(&dev.mesolite(&["app", "why", "/prod/web"]), &["waits for nothing: 2 of 2 instances run"]);
    has(&dev.mesolite(&["app", "rm", "/prod/web"]), &["/prod/web: done"]);
    assert_eq!(tasks("/prod/web"), Vec::<String>::new());
    refused(&dev, 3, &["app", "show", "/prod/web"]);
    dev.signal(Signal::TERM);
}

#[test]
fn a_pod_is_applied_listed_shown_scaled_read_killed_rolled_back_and_removed() {
    let (dir, dev) = fresh();
    let file = dir.path().join("pod.json");
    let container = |name: &str, cpus: f64| {
        json!({ "name": name, "exec": { "command": { "shell": format!("echo I am {name}; exec sleep 1000") } },
            "resources": { "cpus": cpus, "mem": 32 } })
    };
    let write = |cpus: f64| {
        let pod = json!({ "id": "/prod/pod", "containers": [container("one", cpus), container("two", 0.1)],
            "scaling": { "kind": "fixed", "instances": 1 } });
        std::fs::write(&file, pod.to_string()).expect("a file");
        file.display().to_string()
    };
    let json_of = |words: &[&str]| -> Value {
        serde_json::from_str(&dev.mesolite(&[&["--json"], words].concat())).expect("JSON")
    };
    let small = write(0.1);
    has(&dev.mesolite(&["pod", "apply", "--dry-run", &small]), &["/prod/pod is created"]);
    has(&dev.mesolite(&["app", "apply", &small]), &["/prod/pod: done"]);
    has(&dev.mesolite(&["pod", "apply", "--dry-run", &small]), &["/prod/pod stays as it is"]);
    has(&dev.mesolite(&["pod", "list"]), &["/prod/pod", "stable", "1/1", "one two"]);
    has(&dev.mesolite(&["group", "list"]), &["/prod", "1/1"]);
    has(&dev.mesolite(&["pod", "scale", "/prod/pod", "2"]), &["/prod/pod: done"]);
    has(&dev.mesolite(&["pod", "show", "prod/pod"]), &["2/2", "one", "two", "TASK_RUNNING", "127.0.0.1"]);
    let logs = eventually("what all of them wrote", || {
        let said = dev.mesolite(&["pod", "logs", "/prod/pod"]);
        Some(said)
            .filter(|said| said.matches("I am one").count() == 2 && said.matches("I am two").count() == 2)
    });
    assert!(logs.contains(" | I am one"), "told apart: {logs}");
    assert!(!dev.mesolite(&["pod", "logs", "/prod/pod", "--container", "two"]).contains("one"));
    let listed = json_of(&["task", "list", "--app", "/prod/pod"]);
    assert_eq!(listed["tasks"].as_array().map(Vec::len), Some(4), "{listed}");
    let task = listed["tasks"][0]["id"].as_str().expect("an id");
    has(&dev.mesolite(&["task", "logs", task]), &["I am "]);
    let ids = || -> Vec<String> {
        let shown = json_of(&["pod", "show", "/prod/pod"]);
        let all = shown["instances"].as_array().into_iter().flatten();
        all.filter(|i| i["status"] == "STABLE").map(|i| i["id"].as_str().expect("an id").to_owned()).collect()
    };
    let before = ids();
    has(&dev.mesolite(&["pod", "kill", "/prod/pod", &before[0]]), &[&before[0]]);
    eventually("another in its place", || {
        let now = ids();
        (now.len() == 2 && !now.contains(&before[0])).then_some(())
    });
    refused(&dev, 3, &["pod", "kill", "/prod/pod", &before[0]]);
    dev.mesolite(&["pod", "apply", "--no-wait", &write(1000.0)]);
    eventually("why it waits", || {
        let why = dev.mesolite(&["pod", "why", "/prod/pod"]);
        (why.contains("InsufficientCpus") && why.contains("cpus: 1000.")).then_some(())
    });
    has(
        &dev.mesolite(&["pod", "history", "/prod/pod"]),
        &["scaling.instances", "containers[0].resources.cpus"],
    );
    has(&dev.mesolite(&["pod", "rollback", "--force", "/prod/pod"]), &["/prod/pod: done"]);
    eventually("it is as it was", || (ids().len() == 2).then_some(()));
    has(&dev.mesolite(&["pod", "rm", "/prod/pod"]), &["/prod/pod: done"]);
    refused(&dev, 3, &["pod", "show", "/prod/pod"]);
    refused(&dev, 3, &["pod", "scale", "/prod/pod", "2"]);
    let app = json!({ "id": "/app", "cmd": "true" });
    std::fs::write(&file, app.to_string()).expect("a file");
    has(&refused(&dev, 2, &["pod", "apply", &small]), &["/app has no \"containers\"", "mesolite app apply"]);
    dev.signal(Signal::TERM);
}

#[test]
fn logs_and_events_are_followed_as_they_come() {
    let (_dir, dev) = fresh();
    let mut events = dev.command(&["events"]);
    let watched = std::thread::spawn(move || {
        for_a_while(&mut events, FOLLOW_MAX, |said| {
            said.contains("TASK_RUNNING") && said.contains("deployment_success")
        })
    });
    let worker = json!({ "id": "/worker", "cmd": "n=0; while true; do n=$((n+1)); echo line $n; sleep 0.2; done",
        "cpus": 0.1, "mem": 32 });
    dev.run_app(&worker.to_string());
    let said = for_a_while(&mut dev.command(&["app", "logs", "-f", "/worker"]), FOLLOW_MAX, |s| {
        s.contains("line 4\n")
    });
    has(&String::from_utf8_lossy(&said.stdout), &["line 1\nline 2\nline 3\nline 4\n"]);
    let all: Value = serde_json::from_str(&dev.mesolite(&["--json", "task", "list"])).expect("JSON");
    let task = all["tasks"][0]["id"].as_str().expect("a task");
    let follow = ["task", "logs", "-f", "-n", "1", task];
    let said = for_a_while(&mut dev.command(&follow), FOLLOW_MAX, |said| said.lines().count() > 2);
    assert!(!String::from_utf8_lossy(&said.stdout).contains("line 1\n"), "it begins near the end: {said:?}");
    // A subscription that comes late misses what was before it.
    let mut instances = 1;
    eventually("all kinds of events", || {
        instances += 1;
        dev.mesolite(&["app", "scale", "/worker", &instances.to_string()]);
        watched.is_finished().then_some(())
    });
    let watched = watched.join().expect("events");
    let watched = String::from_utf8_lossy(&watched.stdout).into_owned();
    has(&watched, &["status_update_event", "appId=/worker", "taskStatus=TASK_RUNNING", "deployment_success"]);
    dev.signal(Signal::TERM);
}

#[test]
fn nodes_and_deployments_are_seen_and_cancelled() {
    let (_dir, dev) = fresh();
    let list = dev.mesolite(&["node", "list"]);
    has(&list, &["ID", "ADDRESS", "active", "0/4", "0/2048"]);
    let id = list.lines().nth(1).expect("a node").split_whitespace().next().expect("an id").to_owned();
    has(&dev.mesolite(&["node", "show", &id]), &[&id, "active", "[31000-32000]"]);
    has(&dev.mesolite(&["node", "show", "127.0.0.1"]), &[&id]);
    let big = r#"{"id":"/big","cmd":"true","cpus":1000,"mem":32}"#;
    assert_eq!(dev.ask("POST", "/v2/apps", big).0, 201);
    let list = dev.mesolite(&["deployment", "list"]);
    has(&list, &["/big", "step 2 of 2: scale /big"]);
    let deployment = list.lines().nth(1).expect("one").split_whitespace().next().expect("an id").to_owned();
    has(
        &dev.mesolite(&["deployment", "show", &deployment]),
        &[&deployment, "ScaleApplication", "under way", "done"],
    );
    has(&refused(&dev, 1, &["app", "scale", "/big", "2"]), &["409", &deployment, "--force"]);
    has(&dev.mesolite(&["deployment", "cancel", &deployment]), &["is cancelled", "goes back"]);
    eventually("it is gone", || (!dev.mesolite(&["app", "list"]).contains("/big")).then_some(()));
    refused(&dev, 3, &["deployment", "cancel", &deployment]);
    has(&dev.mesolite(&["deployment", "show", &deployment]), &["cancelled"]);
    refused(&dev, 3, &["deployment", "show", "none-of-these"]);
    dev.signal(Signal::TERM);
}

#[test]
fn why_names_the_stage_the_agent_and_by_how_much() {
    let (_dir, dev) = fresh();
    let nodes: Value = serde_json::from_str(&dev.mesolite(&["--json", "node", "list"])).expect("JSON");
    let agent = nodes["slaves"][0]["id"].as_str().expect("an id").to_owned();
    let why = |id: &str, seen: &str| {
        eventually(seen, || Some(dev.mesolite(&["app", "why", id])).filter(|said| said.contains(seen)))
    };
    for (id, more, stage, short) in [
        ("/cpus", json!({ "cpus": 6.5 }), "InsufficientCpus", "lacks 2.5 cpus (4 free of 4)"),
        ("/mem", json!({ "mem": 3000 }), "InsufficientMemory", "lacks 952 MB of memory (2048 free of 2048)"),
        ("/disk", json!({ "disk": 2049 }), "InsufficientDisk", "lacks 1 MB of disk (2048 free of 2048)"),
        (
            "/ports",
            json!({ "portDefinitions": [{ "port": 80 }], "requirePorts": true }),
            "InsufficientPorts",
            "port 80",
        ),
        (
            "/rack",
            json!({ "constraints": [["rack", "LIKE", "a"]] }),
            "UnfulfilledConstraint",
            "wants rack LIKE a; it has no rack",
        ),
    ] {
        let mut app = json!({ "id": id, "cmd": "true", "cpus": 0.1, "mem": 32, "disk": 0 });
        for (name, value) in more.as_object().expect("an object") {
            app[name] = value.clone();
        }
        let (status, said) = dev.ask("POST", "/v2/apps", &app.to_string());
        assert_eq!(status, 201, "{said}");
        let said = why(id, stage);
        has(&said, &["waits for 1 more of 1 instances", &agent, short]);
        assert!(!said.contains("has room now"), "{said}");
        let machine: Value =
            serde_json::from_str(&dev.mesolite(&["--json", "app", "why", id])).expect("JSON");
        assert_eq!((&machine["app"], &machine["nodes"][0]["node"]), (&json!(id), &json!(agent)));
        assert_eq!(dev.ask("DELETE", &format!("/v2/apps{id}?force=true"), "").0, 200);
    }
    // one that fails
    assert_eq!(dev.ask("POST", "/v2/apps", r#"{"id":"/bad","cmd":"exit 9","cpus":0.1,"mem":32}"#).0, 201);
    has(&why("/bad", "back-off"), &["TASK_FAILED", "exited with status 9", "started again in"]);
    // one whose program is not there: what the task wrote says so
    let gone = r#"{"id":"/gone","args":["/no/such/program"],"cpus":0.1,"mem":32}"#;
    assert_eq!(dev.ask("POST", "/v2/apps", gone).0, 201);
    has(&why("/gone", "back-off"), &["exited with status 1", "It wrote last: ", "'/no/such/program'"]);
    dev.signal(Signal::TERM);
}

#[test]
fn exit_codes_are_what_help_says() {
    let (dir, dev) = fresh();
    let help = dev.mesolite(&["--help"]);
    has(&help, &["A datacenter in one binary", "Starts a whole cluster in one process"]);
    has(&help, &["Exit codes:", "3  there is nothing by that name", "4  the cluster cannot be reached"]);
    refused(&dev, 1, &["app", "apply", "/no/such/file.json"]);
    let bad = dir.path().join("bad.json");
    std::fs::write(&bad, r#"{"id":"/bad","cmd":"x","mem":-1}"#).expect("a file");
    has(&refused(&dev, 1, &["app", "apply", bad.to_str().expect("a path")]), &["/mem", "got -1"]);
    std::fs::write(&bad, "{").expect("a file");
    has(&refused(&dev, 1, &["app", "apply", bad.to_str().expect("a path")]), &["bad.json", "not JSON"]);
    refused(&dev, 2, &["app"]);
    refused(&dev, 2, &["app", "list", "--nonsense"]);
    has(&refused(&dev, 2, &["app", "scale", "/x", "-1"]), &["'-1'", "a whole number from 0 on is right"]);
    for role in ["dev", "master", "agent", "orchestrator"] {
        let help = Command::new(BINARY).args([role, "--help"]).output().expect("the binary runs");
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        assert!(!help.contains("--marathon <") && !help.contains("--json"), "it asks no cluster: {help}");
        has(&refused(&dev, 2, &[role, "--json"]), &["this command does not take --json"]);
    }
    for role in ["agent", "orchestrator"] {
        let port = if role == "agent" { "--port=0" } else { "--http_port=0" };
        let output = Command::new(BINARY).args([role, port]).output().expect("the binary runs");
        has(&String::from_utf8_lossy(&output.stderr), &["--master=HOST:PORT is required"]);
    }
    for words in [
        &["app", "show", "/none"][..],
        &["app", "why", "/none"],
        &["app", "logs", "/none"],
        &["app", "rm", "/none"],
        &["app", "restart", "/none"],
        &["task", "show", "none"],
        &["task", "logs", "none"],
        &["task", "kill", "none.instance-00000000-0000-0000-0000-000000000000._app.1"],
        &["node", "show", "none"],
        &["deployment", "cancel", "none"],
    ] {
        has(&refused(&dev, 3, words), &["error:", "none"]);
    }
    for words in [&["app", "list"][..], &["events"], &["node", "list"], &["run", "--", "true"]] {
        let output = Command::new(BINARY)
            .args(["--master=http://127.0.0.1:1", "--marathon=127.0.0.1:1"])
            .args(words)
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{words:?}: {said}");
        has(&said, &["http://127.0.0.1:1 cannot be reached: Connection refused", "mesolite dev"]);
    }
    let big = dir.path().join("big.json");
    std::fs::write(&big, r#"{"id":"/big","cmd":"true","cpus":1000,"mem":32}"#).expect("a file");
    let said = refused(&dev, 5, &["app", "apply", "--timeout=0", big.to_str().expect("a path")]);
    has(&said, &["still under way", "mesolite app why /big"]);
    let said = refused(&dev, 5, &["run", "--cpus=1000", "--offer-timeout=0", "--", "true"]);
    has(&said, &["no node offered 1000 cpus"]);
    // the cluster may be named by the environment
    let output = Command::new(BINARY)
        .args(["app", "list", "--json"])
        .env("MESOLITE_MARATHON", &dev.marathon)
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{output:?}");
    dev.signal(Signal::TERM);
}

#[test]
fn run_exits_with_the_status_of_its_command() {
    let (_dir, dev) = fresh();
    let run = |words: &[&str]| {
        let output = dev.command(&[&["run", "--"], words].concat()).output().expect("the binary runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(run(&["true"]).0, Some(0));
    assert_eq!(
        run(&["sh", "-c", "echo out; echo err >&2; exit 42"]),
        (Some(42), "out\n".into(), "err\n".into())
    );
    assert_eq!(run(&["exit 3"]).0, Some(3), "one word is given to a shell");
    assert_eq!(run(&["kill -9 $$"]).0, Some(137), "as a shell says it");
    let (code, _, said) = run(&["no-such-command-anywhere", "x"]);
    assert!(
        code.is_some_and(|code| code != 0) && said.contains("no-such-command-anywhere"),
        "{code:?} {said}"
    );
    let output = dev.command(&["run", "-e", "WHO=me", "--", "echo $WHO"]).output().expect("the binary runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "me\n");
    dev.signal(Signal::TERM);
}

#[test]
fn a_cancelled_deployment_is_no_success() {
    let (dir, dev) = fresh();
    let file = dir.path().join("huge.json");
    std::fs::write(&file, json!({ "id": "/huge", "cmd": "sleep 1000", "cpus": 1000 }).to_string())
        .expect("a file");
    for (query, said) in [("?force=true", "0 of 1 instances run"), ("", "/huge is gone")] {
        let mut apply = dev.command(&["app", "apply", &file.display().to_string(), "--force"]);
        let apply = apply.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn();
        let mut apply = apply.expect("the binary runs");
        let mut says = std::io::BufReader::new(apply.stderr.take().expect("a pipe"));
        let mut text = String::new();
        // Its first line of progress: it has seen the deployment.
        says.read_line(&mut text).expect("a line");
        let plans: Value = serde_json::from_str(&dev.ask("GET", "/v2/deployments", "").1).expect("JSON");
        let id = plans[0]["id"].as_str().expect("a deployment").to_owned();
        let (status, body) = dev.ask("DELETE", &format!("/v2/deployments/{id}{query}"), "");
        assert!(status == 202 || status == 200, "{status} {body}");
        says.read_to_string(&mut text).expect("the rest");
        assert_eq!(apply.wait().expect("it ends").code(), Some(1), "{text}");
        has(&text, &["was cancelled", said]);
        dev.ask("DELETE", "/v2/apps/huge?force=true", "");
        dev.until("/v2/apps", |v| v["apps"] == json!([]));
    }
    has(&refused(&dev, 3, &["app", "scale", "/none", "2"]), &["/none"]);
}

#[test]
fn bytes_that_are_no_text_arrive_as_they_were_written() {
    let (_dir, dev) = fresh();
    // A character of two bytes lies across every boundary of a read.
    let script = "head -c 100000 /dev/zero | tr '\\0' '\\377'; printf x; yes é | head -c 200000";
    let output = dev.command(&["run", "--", script]).output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout.len(), 300_001);
    assert!(output.stdout[..100_000].iter().all(|byte| *byte == 0xff));
    assert!(output.stdout[100_001..].starts_with("é\né\n".as_bytes()));
}

#[test]
fn only_regular_files_of_a_sandbox_are_read_and_large_ones_in_parts() {
    let (_dir, dev) = fresh();
    let script = "mkfifo fifo; ln -s /dev/zero zero; ln -s /etc/hostname link; head -c 5000000 /dev/zero > large; \
                  echo ready; exec sleep 1000";
    dev.run_app(&json!({ "id": "/odd", "cmd": script, "cpus": 0.1, "mem": 64 }).to_string());
    let agent = &dev.agents[0];
    let state = |path: &str| -> Value {
        serde_json::from_str(&real::request(agent, "GET", path, "").1).expect("JSON")
    };
    let directory = eventually("the sandbox", || {
        let state = state("/state");
        let all: Vec<_> = state["frameworks"]
            .as_array()?
            .iter()
            .flat_map(|f| f["executors"].as_array())
            .flatten()
            .cloned()
            .collect();
        let directory = all.first()?["directory"].as_str()?.to_owned();
        let (status, said) =
            real::request(agent, "GET", &format!("/files/read?path={directory}/stdout&offset=0"), "");
        (status == 200 && said.contains("ready")).then_some(directory)
    });
    for (name, status) in [("fifo", 500), ("zero", 400), ("link", 400), ("none", 404)] {
        for way in ["read?offset=0&path=", "download?path="] {
            let (is, said) = real::request(agent, "GET", &format!("/files/{way}{directory}/{name}"), "");
            assert_eq!(is, status, "{way}{name}: {said}");
        }
    }
    let (status, large) = real::request(agent, "GET", &format!("/files/download?path={directory}/large"), "");
    assert_eq!((status, large.len()), (200, 5_000_000));
}

#[test]
fn top_shows_who_uses_most_and_ends_with_q() {
    let (dir, dev) = fresh();
    let file = dir.path().join("apps.json");
    let app = |id: &str, cmd: &str| json!({ "id": id, "cmd": cmd, "cpus": 0.5, "mem": 64 });
    let busy = "i=0; while :; do i=$((i+1)); done";
    std::fs::write(&file, json!([app("/idle", "exec sleep 1000"), app("/busy", busy)]).to_string())
        .expect("a file");
    dev.mesolite(&["app", "apply", &file.display().to_string()]);
    let told = eventually("both tasks are measured", || {
        let told: Value = serde_json::from_str(&dev.mesolite(&["top", "--once", "--json"])).expect("JSON");
        let all = told["tasks"].as_array().expect("tasks").len() == 2;
        (all && told["tasks"][0]["cpus_used"].as_f64() > Some(0.05)).then_some(told)
    });
    let (most, least) = (&told["tasks"][0], &told["tasks"][1]);
    assert!(most["id"].as_str().is_some_and(|id| id.starts_with("busy.")), "{told}");
    assert!(least["cpus_used"].as_f64() < Some(0.05) && most["mem_limit_mb"] == 64.0, "{told}");
    assert_eq!(
        (&most["cpus_limit"], told["silent"].as_array().map(Vec::len)),
        (&json!(0.5), Some(0)),
        "{told}"
    );
    let (node, framework) = (&told["nodes"][0], &told["frameworks"][0]);
    assert_eq!(
        (&node["running"], &framework["running"], &framework["name"]),
        (&json!(2), &json!(2), &json!("marathon"))
    );
    assert_eq!((&node["cpus_total"], &node["cpus_allocated"]), (&json!(4.0), &json!(1.0)));
    assert!(node["cpus_used"].as_f64() >= most["cpus_used"].as_f64(), "{told}");
    let said = dev.mesolite(&["top", "--once", "--sort", "name"]);
    has(&said, &["NODE", "FRAMEWORK", "TASK", "busy.", "idle.", "/0.50"]);
    assert!(said.find("busy.") < said.find("idle."), "{said}");
    // On a terminal: a screen of its own, until q is pressed.
    if Command::new("script").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no `script`, so `top` is not seen on a terminal");
        return;
    }
    let line = format!("{BINARY} --master {} top --interval 0.2", dev.master);
    let mut child = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("script runs");
    let (mut seen, mut piece) = (Vec::new(), [0; 4096]);
    let mut out = child.stdout.take().expect("its output");
    while String::from_utf8_lossy(&seen).matches("busy.").count() < 3 {
        let read = out.read(&mut piece).expect("it goes on");
        assert!(read > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&piece[..read]);
    }
    assert!(seen.windows(8).any(|w| w == b"\x1b[?1049h"), "a screen of its own");
    std::io::Write::write_all(child.stdin.as_mut().expect("its input"), b"q").expect("a key is pressed");
    out.read_to_end(&mut seen).expect("it ends");
    assert!(seen.windows(8).any(|w| w == b"\x1b[?1049l"), "the screen of before");
    assert!(child.wait().expect("it ended").success());
}
