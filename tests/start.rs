//! How a cluster starts: the ready file, ports, agents, isolation, layers of flags, and what already runs there.

mod real;

use real::{BINARY, Dev, PATIENCE, Signal, dev_command, own_seconds, processes, request, root};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

/// A role by itself; ended when dropped.
struct Role(Child, Value);

impl Role {
    fn start(dir: &Path, words: &[&str], variables: &[(&str, &str)]) -> Self {
        let ready = dir.join("role.ready");
        std::fs::remove_file(&ready).unwrap_or_default();
        let mut child = Command::new(BINARY)
            .args(words)
            .arg(format!("--work_dir={}", dir.join(words[0]).display()))
            .arg(format!("--ready-file={}", ready.display()))
            .args(["--quiet"])
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let said = real::eventually("the ready file", || {
            if let Some(status) = child.try_wait().expect("a status") {
                panic!("{words:?} ended: {status}");
            }
            serde_json::from_slice(&std::fs::read(&ready).ok()?).ok()
        });
        Self(child, said)
    }
    fn url(&self, name: &str) -> String {
        let url = if name == "agents" { &self.1[name][0] } else { &self.1[name] };
        url.as_str().expect("a URL").to_owned()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

fn read(url: &str, path: &str) -> Value {
    let (status, body) = request(url, "GET", path, "");
    assert_eq!(status, 200, "{url}{path}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn the_ready_file_comes_whole_and_when_all_of_it_serves() {
    let dir = tempfile::tempdir().expect("a directory");
    let (place, data) = (dir.path().join("place"), dir.path().join("data"));
    std::fs::create_dir_all(&place).expect("a directory");
    let file = place.join("cluster.json");
    let mut child = dev_command(dir.path(), &[BINARY], &["--agents=3"])
        .arg(format!("--ready-file={}", file.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary starts");
    // The first that can be read must be the whole of it.
    let until = Instant::now() + PATIENCE;
    let first = loop {
        match std::fs::read(&file) {
            Ok(bytes) => break bytes,
            Err(_) => assert!(Instant::now() < until, "there is no ready file"),
        }
    };
    let said: Value = serde_json::from_slice(&first).expect("the whole of it");
    let text = |value: &Value| value.as_str().expect("a URL").to_owned();
    let agents: Vec<_> = said["agents"].as_array().expect("agents").iter().map(text).collect();
    let (master, marathon) = (text(&said["master"]), text(&said["marathon"]));
    assert_eq!(
        said,
        json!({ "master": master, "agents": agents, "marathon": marathon, "pid": child.id() }),
        "nothing else is in it"
    );
    let ports: BTreeSet<_> = agents.iter().chain([&master, &marathon]).collect();
    assert_eq!(ports.len(), 5, "3 agents, and every port is another one: {said}");
    assert!(ports.iter().all(|url| url.starts_with("http://127.0.0.1:") && !url.ends_with(":0")), "{said}");
    assert_eq!(read(&master, "/version")["version"], "1.11.0");
    for agent in &agents {
        assert_eq!(read(agent, "/version")["version"], "1.11.0");
    }
    assert_eq!(request(&marathon, "GET", "/ping", "").0, 200);
    assert_eq!(read(&marathon, "/v2/apps"), json!({ "apps": [] }));
    let left: Vec<_> = std::fs::read_dir(&place).expect("a directory").flatten().collect();
    assert_eq!(left.len(), 1, "only the file itself is left: {left:?}");
    assert!(data.join("agent-2").exists());
    real::send(&child, Signal::TERM);
    assert!(child.wait().expect("a status").success());
    real::clean_up(dir.path());
}

#[test]
fn ports_are_the_originals_unless_said_otherwise() {
    let help = |words: &[&str]| {
        let output = Command::new(BINARY).args(words).arg("--help").output().expect("the binary runs");
        String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let dev = help(&["dev"]);
    for (flag, default) in [
        ("--dir", "./mesolite-data"),
        ("--bind", "127.0.0.1"),
        ("--master-port", "5050"),
        ("--agent-port", "5051"),
        ("--marathon-port", "8080"),
        ("--agents", "1"),
    ] {
        let (_, rest) = dev.split_once(flag).unwrap_or_else(|| panic!("{flag} is not in {dev}"));
        let (_, rest) = rest.split_once("[default: ").unwrap_or_else(|| panic!("{flag} has no default"));
        assert!(rest.starts_with(&format!("{default}]")), "{flag}: {rest}");
    }
    for (role, flag, default) in
        [("master", "--port", "5050"), ("agent", "--port", "5051"), ("orchestrator", "--http_port", "8080")]
    {
        let help = help(&[role]);
        let (_, rest) = help.split_once(&format!("{flag} <VALUE>")).expect("it is listed");
        let (_, rest) = rest.split_once("[default: ").expect("it has a default");
        assert!(rest.starts_with(default), "{role} {flag}: {rest}");
    }
}

#[test]
fn several_agents_share_one_machine() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(dir.path(), &["--agents=3", "--kill-tasks-on-exit"]);
    let nodes = real::eventually("3 agents", || {
        let nodes = read(&dev.master, "/slaves")["slaves"].as_array().cloned().unwrap_or_default();
        (nodes.len() == 3).then_some(nodes)
    });
    let sum = |name: &str| nodes.iter().filter_map(|n| n["resources"][name].as_f64()).sum::<f64>();
    let cpus = std::thread::available_parallelism().expect("processors").get() as f64;
    assert!(sum("cpus") > 0.0 && sum("cpus") <= cpus + 0.001, "{} of {cpus} processors", sum("cpus"));
    let mut ports: Vec<(u16, u16)> = Vec::new();
    for node in &nodes {
        let text = node["resources"]["ports"].as_str().expect("ports");
        for range in text.trim_matches(['[', ']']).split(", ") {
            let (low, high) = range.split_once('-').expect("a range");
            ports.push((low.parse().expect("a port"), high.parse().expect("a port")));
        }
    }
    ports.sort();
    assert!(ports.windows(2).all(|pair| pair[0].1 < pair[1].0), "no port is offered twice: {ports:?}");
    let apps = (sum("cpus") / 0.1).min(9.0) as u64;
    dev.run_app(
        &json!({ "id": "/many", "cmd": "exec sleep 1000", "cpus": 0.05, "mem": 16, "instances": apps })
            .to_string(),
    );
    dev.signal(Signal::TERM);
}

#[test]
fn isolation_is_as_on_an_agent() {
    let dir = tempfile::tempdir().expect("a directory");
    let refused = |words: &mut Command| {
        let output = words.output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        said.lines().last().unwrap_or_default().to_owned()
    };
    let wrong = "--isolation=posix/cpu,magic";
    let by_dev = refused(&mut dev_command(dir.path(), &[BINARY], &[wrong]));
    let mut agent = Command::new(BINARY);
    agent.args(["agent", "--master=127.0.0.1:1", "--port=0", wrong]);
    let by_agent = refused(agent.arg(format!("--work_dir={}", dir.path().join("a").display())));
    assert_eq!(by_dev, by_agent);
    assert!(
        by_dev.contains("--isolation: 'magic' is not known") && by_dev.contains("cgroups/cpu"),
        "{by_dev}"
    );
    let here = |pid: u32, space: &str| std::fs::read_link(format!("/proc/{pid}/ns/{space}")).expect("a link");
    let own = std::process::id();
    let app = |name: &str| json!({ "id": "/isolated", "cmd": format!("exec sleep {name}"), "cpus": 0.1, "mem": 32 });
    let dev = Dev::start(dir.path(), &["--isolation=posix/cpu,posix/mem", "--kill-tasks-on-exit"]);
    let seconds = own_seconds();
    dev.run_app(&app(&seconds).to_string());
    let task = processes(&format!("sleep {seconds}"))[0];
    assert_eq!(here(task, "pid"), here(own, "pid"));
    let groups = real::cgroups(task);
    assert!(groups.is_empty(), "{groups:?}");
    let flags = read(&dev.agents[0], "/flags");
    assert_eq!(flags["flags"]["isolation"], "posix/cpu,posix/mem");
    drop(dev);
    if !root() {
        return eprintln!("SKIPPED in part: only root has cgroups and namespaces to give");
    }
    let other = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(
        other.path(),
        &["--isolation=cgroups/cpu,cgroups/mem,namespaces/pid", "--kill-tasks-on-exit"],
    );
    let seconds = own_seconds();
    dev.run_app(&app(&seconds).to_string());
    let task = processes(&format!("sleep {seconds}"))[0];
    assert_ne!(here(task, "pid"), here(own, "pid"));
    let groups = real::cgroups(task);
    for controller in ["cpu", "memory"] {
        assert!(
            groups.iter().any(|g| g.display().to_string().contains(controller)),
            "{controller}: {groups:?}"
        );
    }
    assert!(!groups.iter().any(|g| g.starts_with("/sys/fs/cgroup/pids")), "it was not asked for: {groups:?}");
}

#[test]
fn flags_are_over_the_environment_over_a_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("role.toml");
    let config = format!("--config={}", file.display());
    std::fs::write(&file, "cluster = \"from the file\"\nquiet = true\nmax_completed_frameworks = 7\n")
        .expect("a file");
    let master = |words: &[&str], variables: &[(&str, &str)]| {
        let words = [&["master", "--port=0"], words].concat();
        let master = Role::start(dir.path(), &words, variables);
        read(&master.url("master"), "/flags")["flags"].clone()
    };
    let variable = [("MESOS_CLUSTER", "from the environment")];
    let none = master(&[], &[]);
    assert_eq!((&none["cluster"], &none["max_completed_frameworks"]), (&Value::Null, &json!("50")));
    let by_file = master(&[&config], &[]);
    assert_eq!(
        (&by_file["cluster"], &by_file["max_completed_frameworks"]),
        (&json!("from the file"), &json!("7"))
    );
    let by_variable = master(&[&config], &variable);
    assert_eq!(by_variable["cluster"], "from the environment");
    assert_eq!(by_variable["max_completed_frameworks"], "7", "the file stands where nothing is over it");
    let by_flag = master(&[&config, "--cluster=from the line"], &variable);
    assert_eq!(by_flag["cluster"], "from the line");
    let named = [("MESOLITE_CONFIG", file.to_str().expect("a path"))];
    assert_eq!(master(&[], &named)["cluster"], "from the file");
    // the other roles, each under its upstream prefix
    let agent = Role::start(
        dir.path(),
        &["agent", "--port=0", "--master=127.0.0.1:1"],
        &[("MESOS_ATTRIBUTES", "rack:a")],
    );
    assert_eq!(read(&agent.url("agents"), "/state")["attributes"], json!({ "rack": "a" }));
    let orchestrator = Role::start(
        dir.path(),
        &["orchestrator", "--http_port=0", "--master=127.0.0.1:1"],
        &[("MARATHON_FRAMEWORK_NAME", "renamed")],
    );
    let info = read(&orchestrator.url("marathon"), "/v2/info");
    assert_eq!(info["marathon_config"]["framework_name"], "renamed");
    // what is wrong is named, wherever it stands
    for (text, variables, words) in [
        ("prot = 1\n", &[][..], &["unknown flag 'prot'", "role.toml"][..]),
        ("port = [\n", &[], &["is not TOML", "role.toml"]),
        ("", &[("MESOS_PORT", "many")], &["--port: 'many' is wrong: a whole number"]),
    ] {
        std::fs::write(&file, text).expect("a file");
        let output = Command::new(BINARY)
            .args(["master", &config])
            .envs(variables.iter().copied())
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && words.iter().all(|w| said.contains(w)), "{text}: {said}");
    }
    drop((agent, orchestrator));
    real::clean_up(dir.path());
}

/// `mesolite run` of a command, which waits for its end.
fn run(master: &str, command: &str) -> std::process::Child {
    let mut run = Command::new(BINARY);
    run.args(["--master", master, "run", "--", command]).stdin(Stdio::null()).stderr(Stdio::null());
    run.spawn().expect("it runs")
}

#[test]
fn an_agent_by_itself_ends_its_tasks_where_it_is_told_to() {
    let sleep = format!("exec sleep {}", own_seconds());
    let own = &sleep["exec ".len()..];
    let dir = tempfile::tempdir().expect("a directory");
    let master = Role::start(dir.path(), &["master", "--port=0"], &[]);
    let at = format!("--master={}", master.url("master").trim_start_matches("http://"));
    let mut agent = Role::start(dir.path(), &["agent", "--port=0", &at, "--kill-tasks-on-exit"], &[]);
    let mut run = run(&master.url("master"), &sleep);
    let task = real::eventually("the task", || processes(own).into_iter().find(|pid| *pid != run.id()));
    let groups = real::cgroups(task);
    let began = Instant::now();
    real::send(&agent.0, Signal::TERM);
    assert!(agent.0.wait().expect("a status").success());
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
    run.kill().unwrap_or_default();
    run.wait().expect("a status");
    assert_eq!(processes(own), Vec::<u32>::new());
    assert_eq!(processes(&format!("launcher {}", dir.path().display())), Vec::<u32>::new());
    assert!(groups.iter().all(|group| !group.exists()), "{groups:?}");
}

#[test]
fn an_agent_that_the_master_wants_no_more_ends_its_tasks_and_itself_and_says_why() {
    let sleep = format!("exec sleep {}", own_seconds());
    let own = &sleep["exec ".len()..];
    let dir = tempfile::tempdir().expect("a directory");
    let master = Role::start(dir.path(), &["master", "--port=0"], &[]);
    let at = format!("--master={}", master.url("master").trim_start_matches("http://"));
    let mut agent = Role::start(dir.path(), &["agent", "--port=0", &at], &[]);
    let mut run = run(&master.url("master"), &sleep);
    real::eventually("the task", || processes(own).into_iter().find(|pid| *pid != run.id()));
    let id = read(&master.url("master"), "/slaves")["slaves"][0]["id"].clone();
    let call = json!({ "type": "MARK_AGENT_GONE", "mark_agent_gone": { "agent_id": { "value": id } } });
    assert_eq!(request(&master.url("master"), "POST", "/api/v1", &call.to_string()).0, 200);
    let status = real::eventually("the agent ends", || agent.0.try_wait().expect("a status"));
    assert!(status.success(), "{status}");
    run.kill().unwrap_or_default();
    run.wait().expect("a status");
    assert_eq!(processes(own), Vec::<u32>::new());
    // whoever starts it again reads why it is not wanted
    let mut again = Command::new(BINARY);
    again.args(["agent", "--port=0", &at, "--work_dir"]).arg(dir.path().join("agent"));
    let told = |said: &str| said.contains("nothing runs any more");
    let output = real::for_a_while(&mut again, PATIENCE, told);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told(&said) && said.contains("told to shut down by the master"), "{said}");
    assert!(said.contains("Agent has been marked gone"), "{said}");
    drop(master);
    real::clean_up(dir.path());
}

#[test]
fn a_second_one_is_refused_and_the_first_goes_on() {
    let sleep = format!("sleep {}", own_seconds());
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(dir.path(), &["--kill-tasks-on-exit"]);
    dev.run_app(
        &json!({ "id": "/stays", "cmd": format!("exec {sleep}"), "cpus": 0.1, "mem": 32 }).to_string(),
    );
    let refused = |command: &mut Command, words: &[&str]| {
        let began = Instant::now();
        let output = command.output().expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(words.iter().all(|w| said.contains(w)), "{words:?} are not all in {said}");
        assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    };
    let pid = format!("pid {}", dev.child.id());
    refused(
        &mut dev_command(dir.path(), &[BINARY], &[]),
        &["is in use by the process with", &pid, "data/master"],
    );
    for (role, work_dir) in [("master", "master"), ("agent", "agent-0"), ("orchestrator", "orchestrator")] {
        let port = if role == "orchestrator" { "--http_port=0" } else { "--port=0" };
        let mut second = Command::new(BINARY);
        second.args([role, port, &format!("--work_dir={}/data/{work_dir}", dir.path().display())]);
        if role != "master" {
            second.args(["--master", dev.master.trim_start_matches("http://")]);
        }
        if role == "orchestrator" {
            // else it stands by (tests/standby.rs)
            second.arg("--disable_ha");
        }
        refused(&mut second, &["is in use by the process with", &pid, work_dir]);
    }
    let port = |url: &str| url.rsplit(':').next().expect("a port").to_owned();
    for (flag, url) in
        [("--master-port", &dev.master), ("--agent-port", &dev.agents[0]), ("--marathon-port", &dev.marathon)]
    {
        let other = tempfile::tempdir().expect("a directory");
        let data = format!("--dir={}", other.path().join("data").display());
        let free = ["--master-port", "--agent-port", "--marathon-port"].into_iter().filter(|f| *f != flag);
        let mut second = Command::new(BINARY);
        second.args(["dev", &data]).args(free.map(|f| format!("{f}=0"))).arg(format!("{flag}={}", port(url)));
        refused(&mut second, &[&port(url), flag, "in use"]);
        real::clean_up(other.path());
    }
    assert_eq!(processes(&sleep).len(), 1);
    dev.until("/v2/apps/stays", |v| v["app"]["tasksRunning"] == 1);
    dev.signal(Signal::TERM);
}

#[test]
fn old_sandboxes_are_removed_and_running_ones_are_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let master = Role::start(dir.path(), &["master", "--port=0"], &[]);
    let address = master.url("master").trim_start_matches("http://").to_owned();
    let words = [
        "agent",
        "--port=0",
        &format!("--master={address}"),
        "--isolation=posix/cpu,posix/mem",
        "--gc_delay=1ms",
        "--kill-tasks-on-exit",
    ];
    let mut agent = Role::start(dir.path(), &words, &[]);
    let run = |words: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(["--master", &address, "run", "--cpus=0.1", "--mem=32", "--"]).args(words);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let mut long = run(&["sleep", "600"]).spawn().expect("it runs");
    let find = |name: &str| {
        let found = Command::new("find").arg(dir.path().join("agent")).args(["-name", name]).output();
        String::from_utf8_lossy(&found.expect("find runs").stdout).lines().count()
    };
    real::eventually("a sandbox", || (find("stdout") > 0).then_some(()));
    let sandboxes = find("stdout");
    assert!(run(&["sh", "-c", "echo gone > trace"]).status().expect("it runs").success());
    real::eventually("the sandbox of what ended is gone", || (find("trace") == 0).then_some(()));
    assert_eq!(find("stdout"), sandboxes, "what runs keeps its own");
    long.kill().expect("it ends");
    long.wait().expect("it ended");
    real::send(&agent.0, Signal::TERM);
    agent.0.wait().expect("the agent ends, and its tasks with it");
}

/// Runs the binary; its exit code and what it wrote. Whatever does not end by itself is no refusal.
fn refused(words: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new("timeout");
    command.args(["10", BINARY]).args(words).envs(variables.iter().copied()).current_dir(dir.path());
    let output = command.stdin(Stdio::null()).output().expect("the binary runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn settings_in_the_environment_that_are_not_taken_are_refused() {
    let master = &["master", "--port=0"][..];
    let orchestrator = &["orchestrator", "--master=127.0.0.1:1", "--http_port=0"][..];
    let dev = &["dev", "--dir=data", "--master-port=0", "--agent-port=0", "--marathon-port=0"][..];
    for (words, variable) in [
        (master, "MESOS_ZK"),
        (master, "MESOS_AUTHENTICATE_FRAMEWORKS"),
        (master, "MESOS_WHITELIST"),
        (&["agent", "--master=127.0.0.1:1", "--port=0"], "MESOS_RUNTIME_DIR"),
        (orchestrator, "MARATHON_HTTP_CREDENTIALS"),
        (orchestrator, "MARATHON_ZK"),
        (dev, "MESOS_ACLS"),
        (dev, "MARATHON_SSL_KEYSTORE_PATH"),
    ] {
        let (code, said) = refused(words, &[(variable, "a:b")]);
        assert_eq!(code, Some(2), "{words:?} {variable}: {said}");
        assert!(said.contains(&format!("does not take the variable {variable}: ")), "{said}");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let of_a_task = [("MESOS_TASK_ID", "t"), ("MESOS_SANDBOX", "/s"), ("MESOS_FRAMEWORK_ID", "f")];
    drop(Role::start(dir.path(), &["master", "--port=0"], &of_a_task));
}

#[test]
fn a_wrong_command_line_is_named_and_exits_with_2() {
    let dev = ["dev", "--dir=data", "--master-port=0", "--agent-port=0", "--marathon-port=0"];
    for (words, why) in [
        (
            &[&dev[..], &["--logging-level=foo"]].concat()[..],
            "--logging-level: 'foo' is no level: error, warning",
        ),
        (&[&dev[..], &["--resources=bogus"]].concat()[..], "--resources"),
        (&[&dev[..], &["--isolation=bogus"]].concat()[..], "--isolation"),
        (&["master", "--port=0", "--logging_level=bogus"], "--logging_level: 'bogus' is no level"),
        (&["master", "--port=0", "--agent_ping_timeout=5"], "--agent_ping_timeout: '5' is wrong"),
        (&["agent", "--port=0"], "--master=HOST:PORT is required"),
        (&["agent", "--port=0", "--master=127.0.0.1:1", "--attributes=bad"], "'bad' is not name:value"),
        (&["orchestrator", "--http_port=0", "--master=garbage::::"], "--master: 'garbage::::' is wrong"),
    ] {
        let (code, said) = refused(words, &[]);
        assert_eq!(code, Some(2), "{words:?}: {said}");
        assert!(said.contains(why), "{words:?}: {said}");
    }
    for role in ["master", "agent", "orchestrator"] {
        let (code, said) = refused(&[role, "--version"], &[]);
        assert_eq!(
            (code, said.as_str()),
            (Some(0), concat!("mesolite ", env!("CARGO_PKG_VERSION"), "\n")),
            "{role}"
        );
    }
}

#[test]
fn the_log_says_who_comes_and_goes_and_who_is_not_there() {
    let mut lonely = Command::new(BINARY);
    let dir = tempfile::tempdir().expect("a directory");
    lonely.args(["agent", "--port=0", "--master=127.0.0.1:1", "--work_dir=a"]).current_dir(dir.path());
    let alone = |said: &str| said.contains("the master can't be reached");
    let output = real::for_a_while(&mut lonely, std::time::Duration::from_millis(2500), alone);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(alone(&said) && said.contains("127.0.0.1:1"), "{said}");
    real::clean_up(dir.path());

    let mut lonely = Command::new(BINARY);
    lonely
        .args(["orchestrator", "--http_port=0", "--master=127.0.0.1:1", "--work_dir=o"])
        .current_dir(dir.path());
    let output = real::for_a_while(&mut lonely, std::time::Duration::from_secs(4), |_| false);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let complaints = said.matches("no master; it is tried again").count();
    assert!((2..=4).contains(&complaints), "at 0, 1 and 3 s: {said}");

    let dev = Dev::start(dir.path(), &["--logging-level=info"]);
    let seconds = own_seconds();
    let app = json!({ "id": "/stays", "cmd": format!("exec sleep {seconds}"), "cpus": 0.1, "mem": 32,
        "env": { "PASSWORD": "sekret" } });
    dev.run_app(&app.to_string());
    assert_eq!(dev.ask("DELETE", "/v2/apps/stays", "").0, 200);
    real::eventually("its end is logged", || dev.said().contains("TASK_KILLED").then_some(()));
    let said = dev.said();
    for line in
        [" admitted, at 127.0.0.1:", "framework ", " subscribed", "TASK_STAGING", "TASK_RUNNING", "recovered"]
    {
        assert!(said.contains(line), "'{line}' is not in {said}");
    }
    assert_eq!(said.matches("TASK_RUNNING").count(), 1, "{said}");
    assert!(!said.contains("sekret"), "{said}");
}
