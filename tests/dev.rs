//! `mesolite dev` as people use it: it ends when told, leaves what it should, works without root, and says what it does.

mod real;

use real::{BINARY, Dev, Signal, cgroups, eventually, own_seconds, processes, root};
use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Ctrl-C and SIGTERM must end it within this.
const STOP_MAX: Duration = Duration::from_secs(10);

fn app(sleep: &str) -> String {
    format!(r#"{{"id":"/stays","cmd":"exec sleep {sleep}","instances":2,"cpus":0.1,"mem":32}}"#)
}

#[test]
fn ctrl_c_and_sigterm_stop_it_and_tasks_go_on() {
    let seconds = own_seconds();
    let task = format!("sleep {seconds}");
    let dir = tempfile::tempdir().expect("a directory");
    let mut first: Option<serde_json::Value> = None;
    for signal in [Signal::INT, Signal::TERM] {
        let mut dev = Dev::start(dir.path(), &[]);
        if first.is_none() {
            dev.run_app(&app(&seconds));
        }
        let tasks =
            dev.until("/v2/apps/stays/tasks", |v| v["tasks"].as_array().is_some_and(|t| t.len() == 2));
        let ids = |v: &serde_json::Value| {
            let mut ids: Vec<_> =
                v["tasks"].as_array().into_iter().flatten().map(|t| t["id"].to_string()).collect();
            ids.sort();
            ids
        };
        if let Some(first) = &first {
            assert_eq!(ids(first), ids(&tasks), "the same tasks are found again");
        }
        first = Some(tasks);
        // an open stream does not hold it up
        let mut stream =
            std::net::TcpStream::connect(dev.marathon.trim_start_matches("http://")).expect("a stream");
        stream.write_all(b"GET /v2/events HTTP/1.1\r\nHost: x\r\n\r\n").expect("it is asked");
        let began = Instant::now();
        dev.signal(signal);
        let status = dev.ended();
        assert!(began.elapsed() < STOP_MAX, "{signal:?}: {:?}", began.elapsed());
        assert!(status.success(), "{signal:?}: {status}");
        assert!(dev.said().contains("Stopping; tasks go on."), "{}", dev.said());
        assert!(!dev.said().contains('\x1b'), "no escape sequences in a file: {}", dev.said());
        assert_eq!(processes(&task).len(), 2, "{signal:?}: tasks go on");
        if signal == Signal::TERM {
            // the moment that the ready file is there
            let mut again = Dev::start(dir.path(), &["--kill-tasks-on-exit"]);
            again.signal(Signal::TERM);
            let status = again.ended();
            assert!(status.success(), "{status}");
            eventually("tasks are gone", || processes(&task).is_empty().then_some(()));
        } else {
            // its clean-up would end the tasks
            std::mem::forget(dev);
        }
    }
}

#[test]
fn kill_tasks_on_exit_leaves_nothing() {
    let seconds = own_seconds();
    let task = format!("sleep {seconds}");
    let dir = tempfile::tempdir().expect("a directory");
    let mut dev = Dev::start(dir.path(), &["--kill-tasks-on-exit", "--agents=2"]);
    dev.run_app(&app(&seconds));
    let launcher = format!("launcher {}", dir.path().display());
    let (tasks, launchers) = (processes(&task), processes(&launcher));
    // A task in a pid namespace has a first process of its own, which looks like its launcher.
    assert!(tasks.len() == 2 && launchers.len() >= 2, "{tasks:?} {launchers:?}");
    let groups: Vec<_> = tasks.iter().flat_map(|pid| cgroups(*pid)).collect();
    let began = Instant::now();
    dev.signal(Signal::INT);
    assert!(dev.ended().success());
    assert!(began.elapsed() < STOP_MAX, "{:?}", began.elapsed());
    assert_eq!(processes(&task), Vec::<u32>::new());
    assert_eq!(processes(&launcher), Vec::<u32>::new());
    if groups.is_empty() {
        return eprintln!("SKIPPED in part: tasks have no cgroups here (not root, or none mounted)");
    }
    for group in groups {
        assert!(!group.exists(), "{} is left", group.display());
    }
    assert!(!dev.said().contains("ERROR"), "{}", dev.said());
}

#[test]
fn agents_whose_tasks_go_on_start_again_though_fewer_are_asked_for() {
    let seconds = own_seconds();
    let task = format!("sleep {seconds}");
    let dir = tempfile::tempdir().expect("a directory");
    let resources = "--resources=cpus:1;mem:256;disk:100;ports:[31500-31529]";
    let mut dev = Dev::start(dir.path(), &["--agents=3", resources]);
    let ports = |dev: &Dev| -> Vec<String> {
        let told = |agent: &String| {
            let (_, body) = real::request(agent, "GET", "/state", "");
            let state: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            state["resources"]["ports"].as_str().expect("ports").to_owned()
        };
        dev.agents.iter().map(told).collect()
    };
    let divided = ["[31500-31509]", "[31510-31519]", "[31520-31529]"];
    assert_eq!(ports(&dev), divided);
    // One fits on each agent.
    dev.run_app(&app(&seconds).replace("0.1", "0.6").replace(r#""instances":2"#, r#""instances":3"#));
    dev.signal(Signal::KILL);
    dev.ended();
    std::mem::forget(dev);
    let mut dev = Dev::start(dir.path(), &["--kill-tasks-on-exit", resources]);
    assert!(
        dev.said().contains("Also starting agent-1, agent-2: tasks of an earlier start"),
        "{}",
        dev.said()
    );
    assert_eq!(ports(&dev), divided);
    dev.until("/v2/apps/stays", |v| v["app"]["tasksRunning"] == 3);
    assert_eq!(processes(&task).len(), 3);
    dev.signal(Signal::TERM);
    assert!(dev.ended().success());
    eventually("tasks are gone", || processes(&task).is_empty().then_some(()));
    let dev = Dev::start(dir.path(), &[]);
    assert_eq!(dev.agents.len(), 1, "nothing goes on there: {}", dev.said());
}

#[test]
fn groups_go_with_their_container_though_isolation_has_changed() {
    let seconds = own_seconds();
    let task = format!("sleep {seconds}");
    let dir = tempfile::tempdir().expect("a directory");
    let mut dev = Dev::start(dir.path(), &[]);
    dev.run_app(&app(&seconds));
    let groups: Vec<_> = processes(&task).iter().flat_map(|pid| cgroups(*pid)).collect();
    if groups.is_empty() {
        return eprintln!("SKIPPED: tasks have no cgroups here (not root, or none mounted)");
    }
    dev.signal(Signal::KILL);
    dev.ended();
    std::mem::forget(dev);
    let dev = Dev::start(dir.path(), &["--isolation=posix/cpu,posix/mem"]);
    dev.until("/v2/apps/stays", |v| v["app"]["tasksRunning"] == 2);
    assert_eq!(dev.ask("DELETE", "/v2/apps/stays", "").0, 200);
    eventually("groups are gone", || groups.iter().all(|group| !group.exists()).then_some(()));
    assert!(processes(&task).is_empty());
}

#[test]
fn a_tasks_user_opens_its_output_and_nobody_hears_of_passwords() {
    let seconds = own_seconds();
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(dir.path(), &[]);
    if root() {
        let cmd =
            format!("echo out > /dev/stdout && echo err > /dev/stderr && touch ok && exec sleep {seconds}");
        // Only its user must reach the sandbox for this: the way to it is open to everybody.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).expect("it is opened");
        dev.run_app(&format!(r#"{{"id":"/stays","cmd":"{cmd}","user":"nobody","cpus":0.1,"mem":32}}"#));
        eventually("it wrote", || {
            let tasks = dev.ask("GET", "/v2/apps/stays/tasks", "").1;
            assert!(!tasks.contains("TASK_FAILED"), "{tasks}");
            let found =
                Command::new("find").arg(dir.path()).args(["-name", "ok"]).output().expect("find runs");
            (!found.stdout.is_empty()).then_some(())
        });
    } else {
        eprintln!("SKIPPED in part: only root runs tasks as others");
    }
    let uri = "http://user:sekret@127.0.0.1:1/x";
    let (status, said) = dev.ask(
        "POST",
        "/v2/apps",
        &format!(r#"{{"id":"/fetches","cmd":"true","cpus":0.1,"mem":32,"fetch":[{{"uri":"{uri}"}}]}}"#),
    );
    assert_eq!(status, 201, "{said}");
    let failed = dev.until("/v2/apps/fetches", |v| v["app"]["lastTaskFailure"].is_object());
    let why = failed["app"]["lastTaskFailure"]["message"].as_str().expect("a reason");
    assert!(why.contains("Failed to fetch all URIs") && !why.contains("sekret"), "{why}");
    let why = dev.mesolite(&["app", "why", "/fetches"]);
    assert!(why.contains("http://***@127.0.0.1:1/x: ") && !why.contains("sekret"), "{why}");
    assert!(!dev.said().contains("sekret"), "{}", dev.said());
}

#[test]
fn without_root_everything_works_with_less_isolation_and_it_is_said() {
    let seconds = own_seconds();
    let task = format!("sleep {seconds}");
    if !root() {
        return eprintln!(
            "SKIPPED: only root can become somebody else; every other test here runs without root"
        );
    }
    let dir = tempfile::tempdir().expect("a directory");
    // The build may lie where others cannot look.
    let binary = dir.path().join("mesolite");
    std::fs::copy(BINARY, &binary).expect("a copy");
    for words in [&["chmod", "755"][..], &["chown", "65534:65534"]] {
        let done = Command::new(words[0]).args(&words[1..]).arg(dir.path()).arg(&binary).status();
        assert!(done.expect("it runs").success());
    }
    let binary = binary.display().to_string();
    let somebody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", &binary];
    let mut dev = Dev::start_by(dir.path(), &somebody, &["--kill-tasks-on-exit"]);
    dev.run_app(&app(&seconds));
    assert!(
        dev.said().contains("not root: tasks share the machine without limits or namespaces"),
        "{}",
        dev.said()
    );
    let output = Command::new("setpriv")
        .args(&somebody[1..])
        .args(["--master", &dev.master, "--marathon", &dev.marathon, "run", "--", "id -u; exit 3"])
        .output()
        .expect("it runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "65534\n", "{output:?}");
    assert_eq!(output.status.code(), Some(3));
    let output = Command::new("setpriv")
        .args(&somebody[1..])
        .args(["--master", &dev.master, "--marathon", &dev.marathon, "run", "--user=root", "--", "id -u"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("wants to run as 'root'; this agent runs as"),
        "{output:?}"
    );
    dev.signal(Signal::TERM);
    assert!(dev.ended().success());
    assert_eq!(processes(&task), Vec::<u32>::new());
}

#[test]
fn it_shows_progress_urls_and_what_to_try_next() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("app.json");
    std::fs::write(&file, app(&own_seconds())).expect("a file");
    let isolation = "--isolation=posix/cpu,posix/mem";
    let dev = Dev::start(dir.path(), &[&file.display().to_string(), isolation, "--kill-tasks-on-exit"]);
    let said = eventually("the end of the greeting", || {
        Some(dev.said()).filter(|said| said.contains("Ctrl-C stops the daemon and ends all tasks."))
    });
    for words in
        ["/stays: 2 running", "  http://127.0.0.1:31", "Next, in another terminal:", " run -- echo hello"]
    {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    assert!(
        said.contains("step ") && !said.contains('\x1b'),
        "plain lines where there is no terminal: {said}"
    );
    assert!(
        said.contains(&format!("--master {} --marathon {} app logs -f /stays", dev.master, dev.marathon)),
        "{said}"
    );
    dev.signal(Signal::TERM);
}

#[test]
fn an_app_that_is_refused_holds_up_no_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let (bad, good) = (dir.path().join("bad.json"), dir.path().join("good.json"));
    std::fs::write(&bad, r#"{"id":"/bad","cmd":"true","cpus":-1}"#).expect("a file");
    std::fs::write(&good, app(&own_seconds())).expect("a file");
    let files = [bad.display().to_string(), good.display().to_string()];
    let dev = Dev::start(dir.path(), &[&files[0], &files[1], "--kill-tasks-on-exit"]);
    let said = eventually("the end of the greeting", || {
        Some(dev.said()).filter(|said| said.contains("Ctrl-C stops the daemon"))
    });
    for words in ["bad.json: ", "422", "/cpus", "/stays: 2 running"] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    dev.signal(Signal::TERM);
}

#[test]
fn on_a_terminal_a_bar_shows_how_far_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(dir.path(), &["--kill-tasks-on-exit"]);
    let file = dir.path().join("app.json");
    let slow = r#"{"id":"/slow","cmd":"exec sleep 1000","cpus":0.1,"mem":32,"healthChecks":[{"protocol":"COMMAND","command":{"value":"true"},"delaySeconds":1,"intervalSeconds":1}]}"#;
    std::fs::write(&file, slow).expect("a file");
    let line =
        format!("{BINARY} --master {} --marathon {} app apply {}", dev.master, dev.marathon, file.display());
    let on = |terminal: &str| {
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).env("TERM", terminal).stdin(Stdio::null()).output()
    };
    let Ok(output) = on("xterm") else { return eprintln!("SKIPPED: there is no script(1) for a terminal") };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("/slow [") && said.contains("0/1"), "{said:?}");
    assert!(said.contains("/slow: done"), "{said:?}");
    // one that can't move the cursor
    assert_eq!(dev.ask("DELETE", "/v2/apps/slow?force=true", "").0, 200);
    dev.until("/v2/apps", |v| v["apps"] == serde_json::json!([]));
    dev.until("/v2/deployments", |v| *v == serde_json::json!([]));
    let output = on("dumb").expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("scale /slow\r\n") && !said.contains('\x1b'), "{said:?}");
    dev.signal(Signal::TERM);
}

#[test]
fn completions_are_what_each_shell_takes() {
    for (shell, word) in
        [("bash", "_mesolite"), ("zsh", "#compdef mesolite"), ("fish", "complete -c mesolite")]
    {
        let output = Command::new(BINARY).args(["completions", shell]).output().expect("the binary runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains(word), "{shell}");
        let mut check =
            match Command::new(shell).arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn() {
                Ok(check) => check,
                Err(_) => {
                    eprintln!("SKIPPED in part: there is no {shell} here to try them");
                    continue;
                }
            };
        check.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
        let done = check.wait_with_output().expect("a status");
        assert!(done.status.success(), "{shell}: {}", String::from_utf8_lossy(&done.stderr));
    }
    // and bash completes with them
    let script = format!(
        "source <({BINARY} completions bash); COMP_WORDS=(mesolite app l); COMP_CWORD=2; _mesolite mesolite l app; echo ${{COMPREPLY[@]}}"
    );
    let output = Command::new("bash").args(["-c", &script]).output().expect("bash runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "list logs", "{output:?}");
}

#[test]
fn json_comes_where_it_is_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(dir.path(), &["--kill-tasks-on-exit"]);
    let app = r#"{"id":"/talks","cmd":"echo one; exec sleep 1000","cpus":0.1,"mem":32}"#;
    dev.run_app(app);
    let asked = |words: &[&str]| {
        let output = Command::new(BINARY)
            .args(["--json", "--master", &dev.master, "--marathon", &dev.marathon])
            .args(words)
            .output()
            .expect("the binary runs");
        assert!(output.status.success(), "{words:?}: {output:?}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout)
            .unwrap_or_else(|e| panic!("{words:?}: {e}: {output:?}"))
    };
    let task = asked(&["task", "list", "--app", "/talks"]);
    let task = task["tasks"][0]["id"].as_str().expect("a task").to_owned();
    let node = asked(&["node", "list"])["slaves"][0]["id"].as_str().expect("a node").to_owned();
    for words in [
        &["app", "list"][..],
        &["app", "show", "/talks"],
        &["app", "why", "/talks"],
        &["app", "history", "/talks"],
        &["task", "show", &task],
        &["node", "show", &node],
        &["deployment", "list"],
        &["app", "scale", "/talks", "1"],
    ] {
        assert!(!asked(words).is_null(), "{words:?}");
    }
    let line = eventually("a line", || {
        let output = Command::new(BINARY)
            .args(["--json", "--master", &dev.master, "--marathon", &dev.marathon, "app", "logs", "/talks"])
            .output()
            .ok()?;
        serde_json::from_slice::<serde_json::Value>(&output.stdout).ok()
    });
    assert_eq!((&line["line"], &line["file"]), (&"one".into(), &"stdout".into()));
    let ran = asked(&["run", "--", "echo out; echo err >&2"]);
    assert_eq!(
        (&ran["stdout"], &ran["stderr"], &ran["state"]),
        (&"out\n".into(), &"err\n".into(), &"TASK_FINISHED".into())
    );
    dev.signal(Signal::TERM);
}
