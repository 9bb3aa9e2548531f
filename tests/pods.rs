//! Pods on the real thing: two containers under the default executor, that share a directory and end together; and roles.

mod real;

use real::{Dev, eventually};
use serde_json::{Value, json};

fn fresh() -> (tempfile::TempDir, Dev) {
    let dir = tempfile::tempdir().expect("a directory");
    // All ports have 31 in them: a container waits for that, and the health check asks for it.
    let resources = "--resources=cpus:4;mem:2048;disk:2048;ports:[31000-31999]";
    let dev = Dev::start(dir.path(), &[resources, "--kill-tasks-on-exit"]);
    (dir, dev)
}

fn read(dev: &Dev, path: &str) -> Value {
    let (status, body) = dev.ask("GET", path, "");
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn two_containers_share_a_directory_and_end_together() {
    let (_dir, dev) = fresh();
    let resources = json!({ "cpus": 0.1, "mem": 32 });
    let pod = json!({ "id": "/both", "volumes": [{ "name": "shared" }], "containers": [
        { "name": "writes", "exec": { "command": { "shell": "echo $ENDPOINT_HTTP > out/port; exec sleep 1000" } },
          "resources": resources, "endpoints": [{ "name": "http", "hostPort": 0 }],
          "volumeMounts": [{ "name": "shared", "mountPath": "out" }] },
        { "name": "reads", "resources": resources, "volumeMounts": [{ "name": "shared", "mountPath": "in" }],
          "exec": { "command": { "shell": "while ! grep -q 31 in/port; do sleep 0.05; done; exec sleep 1000" } },
          "healthCheck": { "exec": { "command": { "shell": "grep -q 31 in/port" } }, "intervalSeconds": 1,
              "timeoutSeconds": 0, "delaySeconds": 0 } }] });
    let mut pod = pod;
    pod["containers"][1]["healthCheck"]["intervalSeconds"] = 2.into();
    pod["containers"][1]["healthCheck"]["timeoutSeconds"] = 1.into();
    let (status, body) = dev.ask("POST", "/v2/pods", &pod.to_string());
    assert_eq!(status, 201, "{body}");
    let stable = eventually("the pod is stable", || {
        Some(read(&dev, "/v2/pods/both::status")).filter(|status| status["status"] == "STABLE")
    });
    let instance = &stable["instances"][0];
    let port = &instance["containers"][0]["endpoints"][0]["allocatedHostPort"];
    assert!(port.as_u64().is_some_and(|port| (31_000..=31_999).contains(&port)), "{stable}");
    assert_eq!(instance["containers"][1]["conditions"][0]["value"], "true");
    assert_eq!(read(&dev, "/v2/deployments"), json!([]));
    // one of them ends: so does the other, and another instance comes
    let id = instance["id"].as_str().expect("an id").to_owned();
    let (status, body) = dev.ask("DELETE", &format!("/v2/pods/both::instances/{id}"), "");
    assert_eq!(status, 200, "{body}");
    eventually("another instance", || {
        let status = read(&dev, "/v2/pods/both::status");
        let all = status["instances"].as_array().cloned().unwrap_or_default();
        Some(()).filter(|()| status["status"] == "STABLE" && all.len() == 1 && all[0]["id"] != id.as_str())
    });
    let (status, _) = dev.ask("DELETE", "/v2/pods/both", "");
    assert_eq!(status, 202);
    eventually("it is gone", || Some(()).filter(|()| dev.ask("GET", "/v2/pods/both::status", "").0 == 404));
}

#[test]
fn an_app_may_have_the_role_of_its_group() {
    let (_dir, dev) = fresh();
    let group = json!({ "id": "/ads", "enforceRole": true, "apps": [
        { "id": "web", "cmd": "echo $MARATHON_APP_ENFORCE_GROUP_ROLE; exec sleep 1000", "cpus": 0.1, "mem": 32 }] });
    let (status, body) = dev.ask("POST", "/v2/groups", &group.to_string());
    assert_eq!(status, 201, "{body}");
    let app = eventually("it runs", || {
        Some(read(&dev, "/v2/apps/ads/web")).filter(|app| app["app"]["tasksRunning"] == 1)
    });
    assert_eq!((&app["app"]["role"], &app["app"]["tasks"][0]["role"]), (&json!("ads"), &json!("ads")));
}
