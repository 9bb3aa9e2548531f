//! Lives of pods: task groups, what their containers report, and what becomes of the whole.

use super::World;
use crate::Command;
use serde_json::{Map, Value, json};

fn pod(id: &str, more: Value) -> Map<String, Value> {
    let mut all = json!({ "id": id, "version": "2020-01-31T00:00:00Z", "labels": { "who": "me" }, "environment": { "ALL": "1" },
        "volumes": [{ "name": "shared" }, { "name": "etc", "host": "/etc" }],
        "containers": [
            { "name": "web", "exec": { "command": { "shell": "serve" } }, "resources": { "cpus": 0.5, "mem": 64 },
              "endpoints": [{ "name": "http-api", "hostPort": 0, "protocol": ["tcp"] }, { "name": "fixed", "hostPort": 31500 }],
              "healthCheck": { "http": { "endpoint": "http-api", "path": "/up" }, "timeoutSeconds": 1, "intervalSeconds": 2 },
              "volumeMounts": [{ "name": "shared", "mountPath": "data" }], "environment": { "OWN": "2" } },
            { "name": "log", "exec": { "command": { "argv": ["tail", "-f"] } }, "resources": { "cpus": 0.1, "mem": 32 },
              "volumeMounts": [{ "name": "shared", "mountPath": "in" }, { "name": "etc", "mountPath": "etc", "readOnly": true }],
              "user": "nobody", "lifecycle": { "killGracePeriodSeconds": 2.5 } }] });
    more.as_object().unwrap().iter().for_each(|(key, value)| all[key] = value.clone());
    all.as_object().unwrap().clone()
}

fn create(world: &mut World, id: &str, more: Value) {
    let answer = world.command(Command::CreatePod { pod: pod(id, more), force: false });
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[test]
fn a_pod_is_launched_as_a_group_and_seen_whole() {
    let mut world = World::new(1);
    create(&mut world, "/prod/p", json!({}));
    world.run(5);
    let instance = world.machine().instances().next().expect("launched").clone();
    assert!(instance.id.starts_with("prod_p.instance-"));
    assert_eq!(world.task_ids(), [format!("{}.log.1", instance.id), format!("{}.web.1", instance.id)]);
    let web = world.info(&format!("{}.web.1", instance.id)).clone();
    let seen: std::collections::BTreeMap<_, _> = web
        .command
        .unwrap()
        .environment
        .unwrap()
        .variables
        .into_iter()
        .map(|v| (v.name, v.value.unwrap()))
        .collect();
    let any = instance.ports[0].to_string();
    for (name, value) in [
        ("ENDPOINT_HTTP_API", any.as_str()),
        ("EP_HOST_HTTP_API", &any),
        ("EP_HOST_FIXED", "31500"),
        ("MARATHON_CONTAINER_ID", "web"),
        ("MARATHON_APP_ID", "/prod/p"),
        ("MARATHON_CONTAINER_RESOURCE_CPUS", "0.5"),
        ("MARATHON_APP_LABEL_WHO", "me"),
        ("ALL", "1"),
        ("OWN", "2"),
    ] {
        assert_eq!(seen.get(name).map(String::as_str), Some(value), "{name}");
    }
    let uuid = instance.id.split(".instance-").nth(1).unwrap();
    assert_eq!(seen["MESOS_EXECUTOR_ID"], format!("instance-prod_p.{uuid}"));
    assert_eq!(instance.ports[1], 31500);
    assert_eq!(web.health_check.unwrap().http.unwrap().port, u32::from(instance.ports[0]));
    let log = world.info(&format!("{}.log.1", instance.id)).clone();
    let volumes = log.container.unwrap().volumes;
    assert_eq!(volumes[0].source.as_ref().unwrap().sandbox_path.as_ref().unwrap().path, "shared");
    assert_eq!(volumes[1].source.as_ref().unwrap().host_path.as_ref().unwrap().path, "/etc");
    assert_eq!(volumes[1].mode(), model::mesos::volume::Mode::Ro);
    assert_eq!(log.command.unwrap().user.as_deref(), Some("nobody"));
    assert_eq!(log.kill_policy.unwrap().grace_period.unwrap().nanoseconds, 2_500_000_000);
    // nobody has said that it is healthy
    let status = world.machine().pod_status("/prod/p", world.now()).unwrap();
    assert_eq!(
        (&status["status"], &status["instances"][0]["status"]),
        (&json!("DEGRADED"), &json!("DEGRADED"))
    );
    assert_eq!(world.machine().deployments().len(), 1);
    world.healthy(&format!("{}.web.1", instance.id), true);
    world.run(2);
    let status = world.machine().pod_status("/prod/p", world.now()).unwrap();
    let shown = &status["instances"][0];
    assert_eq!((&status["status"], &shown["status"]), (&json!("STABLE"), &json!("STABLE")));
    assert_eq!(shown["containers"][0]["endpoints"][0]["allocatedHostPort"], instance.ports[0]);
    let asked: Vec<_> =
        shown["containers"][0]["endpoints"].as_array().unwrap().iter().map(|e| &e["healthy"]).collect();
    assert_eq!(asked, [&json!(true), &Value::Null], "of the one that is checked");
    assert_eq!(shown["networks"], json!([{ "addresses": ["10.1.2.3"] }]));
    assert_eq!(shown["containers"][0]["conditions"][0]["value"], "true");
    assert_eq!(shown["containers"][1]["status"], "TASK_RUNNING");
    assert_eq!(shown["resources"]["cpus"], 0.7);
    assert_eq!(world.machine().deployments().len(), 0);
    // and after a restart
    world.restart();
    world.run(2);
    assert_eq!(world.machine().pod_status("/prod/p", world.now()).unwrap()["status"], "STABLE");
    assert_eq!((world.tasks(), world.machine().instances().count()), (2, 1));
}

#[test]
fn one_failing_container_ends_and_replaces_the_whole() {
    let mut world = World::new(2);
    create(&mut world, "/p", json!({ "scheduling": { "backoff": { "backoff": 3, "backoffFactor": 2 } } }));
    world.run(5);
    let first = world.machine().instances().next().unwrap().clone();
    world.fail(&format!("{}.log.1", first.id));
    assert_eq!((world.tasks(), world.machine().instances().count()), (0, 0), "none is left alone");
    let failure = world.machine().last_failure("/p").unwrap();
    assert_eq!(
        (failure.task.as_str(), failure.state.as_str()),
        (format!("{}.log.1", first.id).as_str(), "TASK_FAILED")
    );
    assert!(world.machine().backs_off_until("/p", world.now()).is_some());
    world.run(6);
    assert_eq!(world.tasks(), 2);
    // a container may finish before the others
    let second = world.machine().instances().next().unwrap().clone();
    world.done(&format!("{}.log.1", second.id));
    assert_eq!(world.machine().instances().next().unwrap().id, second.id);
    let status = world.machine().pod_status("/p", world.now()).unwrap();
    let log = &status["instances"][0]["containers"][1];
    assert_eq!(log["status"], "TASK_FINISHED");
    assert_eq!(log["termination"], json!({ "message": "Command exited with status 0", "exitCode": 0 }));
    assert_eq!((log.get("resources"), log["endpoints"].as_array().map(Vec::len)), (None, Some(0)));
    assert_eq!(log["statusSince"], crate::when(world.now().as_millis()));
    assert_eq!(status["instances"][0]["resources"]["cpus"], 0.6, "of the other and the executor");
    let kill =
        Command::KillInstances { pod: "/p".into(), ids: vec![second.id.clone()], wipe: false, single: true };
    let answer = world.command(kill);
    assert_eq!((answer.status, &world.json(&answer)["instanceId"]), (200, &json!(second.id)));
    world.run(10);
    assert!(world.machine().instances().all(|instance| instance.id != second.id));
    assert_eq!(world.tasks(), 2);
}

#[test]
fn a_pod_is_upgraded_scaled_and_deleted() {
    let mut world = World::new(3);
    create(
        &mut world,
        "/p",
        json!({ "scaling": { "instances": 3 }, "scheduling": { "upgrade": {
        "minimumHealthCapacity": 0.5, "maximumOverCapacity": 0.0 } } }),
    );
    world.well = true;
    world.run(20);
    assert_eq!((world.running("/p"), world.tasks(), world.machine().deployments().len()), (3, 6, 0));
    let ports: std::collections::BTreeSet<_> =
        world.machine().instances().map(|i| (i.agent.clone(), i.ports.clone())).collect();
    assert_eq!(ports.len(), 3);
    let changed = pod("/p", json!({ "scaling": { "instances": 2 }, "environment": { "ALL": "2" } }));
    assert_eq!(world.command(Command::UpdatePod { id: "/p".into(), pod: changed, force: false }).status, 200);
    world.run(60);
    assert_eq!((world.running("/p"), world.tasks(), world.machine().deployments().len()), (2, 4, 0));
    let config = world.machine().pod("/p").unwrap().spec.config_version.clone();
    assert!(world.machine().instances().all(|instance| instance.config == config));
    assert_eq!(world.command(Command::DeletePod { id: "/p".into(), force: false }).status, 202);
    world.run(10);
    assert_eq!((world.tasks(), world.machine().pods().count()), (0, 0));
}

#[test]
fn what_a_pod_lacks_is_said() {
    let mut world = World::new(1);
    let mut image = pod("/i", json!({}));
    image["containers"][0]["image"] = json!({ "kind": "DOCKER", "id": "nginx" });
    assert_eq!(world.command(Command::CreatePod { pod: image, force: false }).status, 201);
    world.run(3);
    assert_eq!(
        world.machine().why("/i", world.now()).unwrap().summary,
        "container images are not supported yet"
    );
    assert_eq!(world.tasks(), 0);
}

#[test]
fn a_container_that_is_ended_for_its_check_is_named_with_it() {
    let mut world = World::new(1);
    create(&mut world, "/p", json!({}));
    world.run(5);
    let instance = world.machine().instances().next().unwrap().clone();
    let web = format!("{}.web.1", instance.id);
    world.healthy(&web, true);
    world.sees(&web, "Command exited with status 7");
    world.end_sick(&web);
    let failure = world.machine().last_failure("/p").unwrap();
    assert_eq!((failure.task.as_str(), failure.state.as_str()), (web.as_str(), "TASK_KILLED"));
    assert_eq!(
        failure.message,
        format!(
            "Task was killed since health check failed. Reason: container web: MESOS_HTTP check of port {}, /up, failed 3 \
             times in a row (Command exited with status 7): Command terminated with signal Terminated",
            instance.ports[0]
        )
    );
    assert!(world.machine().backs_off_until("/p", world.now()).is_some());
}

#[test]
fn a_container_that_goes_with_a_sick_one_is_not_called_sick_itself() {
    for (checked, other) in [("aaa", "bbb"), ("bbb", "aaa")] {
        let mut world = World::new(1);
        let mut definition = pod("/p", json!({ "volumes": [] }));
        let container = |name: &str| {
            json!({
                "name": name, "exec": { "command": { "shell": "sleep 100" } }, "resources": { "cpus": 0.1, "mem": 32 },
            })
        };
        definition["containers"] = json!([container("aaa"), container("bbb")]);
        for at in 0..2 {
            definition["containers"][at]["healthCheck"] =
                json!({ "exec": { "command": { "shell": "exit 7" } } });
        }
        let answer = world.command(Command::CreatePod { pod: definition, force: false });
        assert_eq!(answer.status, 201, "{answer:?}");
        world.run(5);
        let instance = world.machine().instances().next().unwrap().clone();
        let task = format!("{}.{checked}.1", instance.id);
        world.healthy(&format!("{}.{other}.1", instance.id), true);
        world.healthy(&task, false);
        world.end_sick(&task);
        let failure = world.machine().last_failure("/p").unwrap();
        assert_eq!(failure.task, task);
        assert!(
            failure.message.contains(&format!("container {checked}")) && !failure.message.contains(other),
            "{}",
            failure.message
        );
    }
}

#[test]
fn a_pod_that_would_scale_itself_is_refused() {
    for (more, path) in [
        (json!({ "autoscale": { "maxInstances": 3, "cpu": 0.5 } }), "/autoscale"),
        (json!({ "scaling": { "kind": "fixed", "autoscale": {} } }), "/scaling/autoscale"),
        (json!({ "scheduling": { "autoscale": {} } }), "/scheduling/autoscale"),
    ] {
        let mut world = World::new(1);
        let answer = world.command(Command::CreatePod { pod: pod("/p", more), force: false });
        let said = world.json(&answer);
        assert_eq!((answer.status, &said["details"][0]["path"]), (422, &json!(path)), "{said}");
        assert!(world.machine().pod("/p").is_none());
    }
}
