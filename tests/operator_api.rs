//! What operators' tools read of real daemons: the process and the cgroup of a task, what it uses, metrics as text.

mod real;

use real::{Dev, eventually, request, request_bytes, root};
use serde_json::{Value, json};

fn call(address: &str, kind: &str) -> Value {
    let body = json!({ "type": kind }).to_string();
    let (status, said) = request_bytes(address, "POST", "/api/v1", "application/json", body.as_bytes());
    assert_eq!(status, 200, "{kind}: {said}");
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{kind}: {error}: {said}"))
}

fn get(address: &str, path: &str) -> Value {
    let (status, said) = request(address, "GET", path, "");
    assert_eq!(status, 200, "{path}: {said}");
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{path}: {error}: {said}"))
}

#[test]
fn collectors_find_the_process_of_a_task_its_cgroup_and_what_it_uses() {
    let dir = tempfile::tempdir().unwrap();
    let dev = Dev::start(dir.path(), &[]);
    let app = json!({ "id": "/busy", "cmd": "while :; do :; done", "cpus": 0.1, "mem": 32, "instances": 1 });
    let (status, said) = request(&dev.marathon, "POST", "/v2/apps", &app.to_string());
    assert_eq!(status, 201, "{said}");
    let agent = &dev.agents[0];
    let pid = eventually("a running task in GET_STATE", || {
        let state = call(agent, "GET_STATE");
        let task = &state["get_state"]["get_tasks"]["launched_tasks"][0];
        let last = task["statuses"].as_array()?.last()?.clone();
        (last["state"] == "TASK_RUNNING").then_some(())?;
        last["container_status"]["executor_pid"].as_u64()
    });
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("the process runs");
    // As collectors look: the line of the controller, or the only line of the second version.
    let of = |line: &&str| line.split(':').nth(1).is_some_and(|c| c.split(',').any(|c| c == "cpu"));
    let own = groups.lines().find(of).or_else(|| groups.lines().find(|line| line.starts_with("0::")));
    if root() && groups.contains("/mesos/") {
        let own = own.unwrap_or_default();
        assert!(own.contains("/mesos/"), "its processor time is counted in a group of its own: {groups}");
    } else {
        println!("SKIPPED: no cgroups here, so a task has none of its own");
    }
    let used = eventually("processor time and memory in /monitor/statistics", || {
        let all = get(agent, "/monitor/statistics");
        let used = all[0]["statistics"].clone();
        let seconds = used["cpus_user_time_secs"].as_f64()? + used["cpus_system_time_secs"].as_f64()?;
        (seconds > 0.05 && used["mem_rss_bytes"].as_u64()? > 0).then_some(used)
    });
    assert_eq!(used["mem_limit_bytes"], 32 * 1024 * 1024);
    assert_eq!(used["cpus_soft_limit"], 0.1);
    let containers = get(agent, "/containers");
    assert_eq!(containers[0]["status"]["executor_pid"], pid);
    assert_eq!(containers[0]["source"], containers[0]["executor_id"]);
    let again = call(agent, "GET_CONTAINERS");
    let one = &again["get_containers"]["containers"][0];
    assert_eq!(one["container_id"]["value"], containers[0]["container_id"]);
    assert!(one["resource_statistics"]["timestamp"].as_f64().is_some_and(|t| t > 1e9), "{one}");
}

#[test]
fn every_role_has_metrics_that_prometheus_reads() {
    let dir = tempfile::tempdir().unwrap();
    let dev = Dev::start(dir.path(), &[]);
    eventually("the orchestrator is a framework", || {
        (get(&dev.master, "/metrics/snapshot")["master/frameworks_active"] == 1.0).then_some(())
    });
    for (role, address, wanted) in [
        ("master", &dev.master, "mesos_master_slaves_active 1\n"),
        ("agent", &dev.agents[0], "mesos_slave_registered 1\n"),
        ("orchestrator", &dev.marathon, "# TYPE "),
    ] {
        let (status, text) = request(address, "GET", "/metrics/prometheus", "");
        assert!(status == 200 && text.contains(wanted), "{role}: {status} {text}");
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{role}: {line}"));
            assert!(value.parse::<f64>().is_ok(), "{role}: {line}");
            let family = name.split('{').next().unwrap_or_default();
            assert!(
                family.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':'),
                "{role}: {line}"
            );
        }
    }
    let health = call(&dev.master, "GET_HEALTH");
    assert_eq!(health, json!({ "type": "GET_HEALTH", "get_health": { "healthy": true } }));
}

/// COMPAT.md names the keys that are absent, one by one or as `folder/*`.
#[test]
fn every_metric_that_mesos_documents_is_served_or_stands_in_compat_md_as_absent() {
    let told = include_str!("../COMPAT.md");
    let (_, told) = told.split_once("### Documented metrics that are absent").expect("its section");
    let told = told.split("\n#").next().unwrap_or_default();
    let rows = told.lines().filter(|l| l.starts_with("| `")).filter_map(|l| l.split(" | ").next());
    let absent: Vec<_> = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let is_absent = |key: &str| {
        absent.iter().any(|a| a.strip_suffix('*').map_or(*a == key, |folder| key.starts_with(folder)))
    };
    let dir = tempfile::tempdir().unwrap();
    let dev = Dev::start(dir.path(), &[]);
    // A task that fails: why is counted. With it, the registry was written to more than once.
    let app = json!({ "id": "/fails", "cmd": "true", "cpus": 0.1, "mem": 32, "instances": 1,
        "fetch": [{ "uri": "/no/such/file" }] });
    let (status, said) = request(&dev.marathon, "POST", "/v2/apps", &app.to_string());
    assert_eq!(status, 201, "{said}");
    let master = eventually("a failure that is counted with its reason", || {
        let all = get(&dev.master, "/metrics/snapshot");
        let key = "master/task_failed/source_slave/reason_container_launch_failed";
        (all[key].as_f64()? >= 1.0 && all["master/tasks_failed"].as_f64()? >= 1.0).then_some(all)
    });
    let agent = get(&dev.agents[0], "/metrics/snapshot");
    let served = |key: &str| master.get(key).is_some() || agent.get(key).is_some();
    // Why tasks ended comes with the first such task, as in Mesos.
    let counted = |key: &&str| !key.starts_with('#') && !key.contains("/source_");
    let documented = include_str!("documented-metrics.txt").lines().filter(counted);
    let (missing, wrong): (Vec<_>, Vec<_>) = (
        documented.clone().filter(|key| !served(key) && !is_absent(key)).collect(),
        documented.clone().filter(|key| served(key) && is_absent(key)).collect(),
    );
    assert!(documented.count() > 200 && missing.is_empty(), "neither served nor listed: {missing:#?}");
    assert!(wrong.is_empty(), "listed as absent, but served: {wrong:#?}");
    assert_eq!(
        (&master["registrar/log/recovered"], &master["registrar/log/ensemble_size"]),
        (&json!(1.0), &json!(1.0))
    );
}
