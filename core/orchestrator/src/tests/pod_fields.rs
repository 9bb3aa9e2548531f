//! Every field of a pod is kept and acts: what it becomes in a task or the executor, which field of an app it is the same
//! as, or which test shows what it does. A field that is in the table of definitions and not here fails the test.

use super::World;
use crate::{Command, Config, spec::Spec};
use api::json::ToJson as _;
use serde_json::{Value, json};

/// What is put into a pod of one container; `container` is put into that.
type More = Value;

enum Acts {
    /// With this, this is at this place of the task.
    Task(More, &'static str, Value),
    /// The same of the executor.
    Executor(More, &'static str, Value),
    /// It is read as this of an app, whose fields act (`fields`).
    AsApp(More, Value),
    /// This test shows it: file below `core/`, and function.
    Test(&'static str, &'static str),
    /// It is refused at launch, for this is not there yet.
    Refused(More, &'static str),
}
use Acts::{AsApp, Executor, Refused, Task, Test};

fn in_container(more: Value) -> More {
    json!({ "container": more })
}
fn scheduling(name: &str, value: Value) -> More {
    json!({ "scheduling": { name: value } })
}
fn placement(more: Value) -> More {
    scheduling("placement", more)
}

const IMAGES: &str = "container images";
const NETWORKS: &str = "networks other than the host's";
const SECCOMP: &str = "seccomp profiles";
const IPC: &str = "IPC settings";
const SECRETS: &str = "secrets in the environment";

fn fields() -> Vec<(&'static str, Acts)> {
    let mut all = whole();
    all.extend(containers());
    all.extend(checks());
    all.extend(schedulings());
    all
}

fn whole() -> Vec<(&'static str, Acts)> {
    let own = "core/orchestrator/src/tests/pod_fields.rs";
    let disks = "core/orchestrator/src/volumes.rs";
    let a_disk_fits = "a_disk_fits_by_kind_size_path_and_profile";
    let secret =
        || json!({ "secrets": { "s": { "source": "/s" } }, "environment": { "A": { "secret": "s" } } });
    let mounted = |volume: Value| json!({ "volumes": [volume], "container": { "volumeMounts": [{ "name": "v", "mountPath": "m" }] } });
    let network = || json!({ "networks": [{ "name": "n", "mode": "container", "labels": { "l": "v" } }] });
    vec![
        ("id", Task(json!({}), "/discovery/name", json!("f"))),
        ("labels", Executor(json!({ "labels": { "l": "v" } }), "/labels/labels/0/value", json!("v"))),
        ("version", Test(own, "versions_are_given_not_taken")),
        ("user", Task(json!({ "user": "nobody" }), "/command/user", json!("nobody"))),
        (
            "environment",
            Task(
                json!({ "environment": { "AAA": "b" } }),
                "/command/environment/variables/0",
                json!({ "name": "AAA", "type": "VALUE", "value": "b" }),
            ),
        ),
        ("environment.secret", Refused(secret(), SECRETS)),
        ("secrets.source", Refused(secret(), SECRETS)),
        (
            "volumes.name",
            Task(
                mounted(json!({ "name": "v" })),
                "/container/volumes/0/source/sandbox_path",
                json!({ "type": "PARENT", "path": "v" }),
            ),
        ),
        (
            "volumes.host",
            Task(
                mounted(json!({ "name": "v", "host": "/h" })),
                "/container/volumes/0/source/host_path/path",
                json!("/h"),
            ),
        ),
        (
            "volumes.persistent.size",
            Test("core/orchestrator/src/tests/residents.rs", "a_pod_keeps_its_volumes_too"),
        ),
        ("volumes.persistent.type", Test(disks, a_disk_fits)),
        ("volumes.persistent.maxSize", Test(disks, a_disk_fits)),
        ("volumes.persistent.profileName", Test(disks, a_disk_fits)),
        ("volumes.persistent.constraints", Test(disks, a_disk_fits)),
        (
            "volumes.secret",
            Refused(
                json!({ "secrets": { "s": { "source": "/s" } }, "volumes": [{ "name": "v", "secret": "s" }],
                    "container": { "volumeMounts": [{ "name": "v", "mountPath": "m" }] } }),
                "volumes of secrets",
            ),
        ),
        ("networks.name", Refused(network(), NETWORKS)),
        ("networks.mode", Refused(json!({ "networks": [{ "mode": "container/bridge" }] }), NETWORKS)),
        ("networks.labels", Refused(network(), NETWORKS)),
        (
            "executorResources.cpus",
            Executor(
                json!({ "executorResources": { "cpus": 0.3 } }),
                "/resources/0/scalar/value",
                json!(0.3),
            ),
        ),
        (
            "executorResources.mem",
            Executor(json!({ "executorResources": { "mem": 40 } }), "/resources/1/scalar/value", json!(40.0)),
        ),
        (
            "executorResources.disk",
            Executor(
                json!({ "executorResources": { "disk": 11 } }),
                "/resources/2/scalar/value",
                json!(11.0),
            ),
        ),
        ("role", AsApp(json!({ "id": "/dev/f", "role": "dev" }), json!({ "id": "/dev/g", "role": "dev" }))),
        (
            "linuxInfo.seccomp.profileName",
            Refused(
                json!({ "linuxInfo": { "seccomp": { "profileName": "p", "unconfined": false } } }),
                SECCOMP,
            ),
        ),
        (
            "linuxInfo.seccomp.unconfined",
            Refused(json!({ "linuxInfo": { "seccomp": { "unconfined": true } } }), SECCOMP),
        ),
        (
            "linuxInfo.ipcInfo.mode",
            Refused(json!({ "linuxInfo": { "ipcInfo": { "mode": "PRIVATE" } } }), IPC),
        ),
        (
            "linuxInfo.ipcInfo.shmSize",
            Refused(json!({ "linuxInfo": { "ipcInfo": { "mode": "PRIVATE", "shmSize": 64 } } }), IPC),
        ),
        (
            "legacySharedCgroups",
            Task(json!({ "legacySharedCgroups": true }), "/container/linux_info/share_cgroups", json!(true)),
        ),
    ]
}

fn containers() -> Vec<(&'static str, Acts)> {
    let of = in_container;
    let run = || json!({ "shell": "run" });
    let endpoint = |more: Value| {
        let mut endpoint = json!({ "name": "e", "hostPort": 31007 });
        patch(&mut endpoint, &more);
        of(json!({ "endpoints": [endpoint] }))
    };
    let fetched = |more: Value| {
        let mut artifact = json!({ "uri": "http://h/x" });
        patch(&mut artifact, &more);
        of(json!({ "artifacts": [artifact] }))
    };
    let image = |more: Value| {
        let mut image = json!({ "kind": "DOCKER", "id": "i" });
        patch(&mut image, &more);
        of(json!({ "image": image }))
    };
    let off_host = |more: Value| {
        let mut pod = endpoint(more);
        pod["networks"] = json!([{ "mode": "container", "name": "n" }]);
        pod
    };
    let mount = |more: Value| {
        let mut mount = json!({ "name": "v", "mountPath": "m" });
        patch(&mut mount, &more);
        json!({ "volumes": [{ "name": "v" }], "container": { "volumeMounts": [mount] } })
    };
    let with_secrets = |mut pod: More| {
        pod["secrets"] = json!({ "s": { "source": "/s" } });
        pod
    };
    vec![
        ("containers.name", Task(of(json!({ "name": "d" })), "/name", json!("d"))),
        (
            "containers.exec.command.shell",
            Task(of(json!({ "exec": { "command": { "shell": "me" } } })), "/command/value", json!("me")),
        ),
        (
            "containers.exec.command.argv",
            Task(
                of(json!({ "exec": { "command": { "shell": null, "argv": ["a", "b"] } } })),
                "/command/arguments",
                json!(["a", "b"]),
            ),
        ),
        (
            "containers.exec.overrideEntrypoint",
            Refused(
                of(
                    json!({ "exec": { "command": run(), "overrideEntrypoint": true }, "image": { "kind": "DOCKER", "id": "i" } }),
                ),
                IMAGES,
            ),
        ),
        (
            "containers.resources.cpus",
            Task(of(json!({ "resources": { "cpus": 0.7 } })), "/resources/0/scalar/value", json!(0.7)),
        ),
        (
            "containers.resources.mem",
            Task(of(json!({ "resources": { "mem": 65 } })), "/resources/1/scalar/value", json!(65.0)),
        ),
        (
            "containers.resources.disk",
            Task(of(json!({ "resources": { "disk": 9 } })), "/resources/2/scalar/value", json!(9.0)),
        ),
        ("containers.resources.gpus", AsApp(of(json!({ "resources": { "gpus": 1 } })), json!({ "gpus": 1 }))),
        (
            "containers.resourceLimits.cpus",
            Task(of(json!({ "resourceLimits": { "cpus": 2 } })), "/limits/cpus/value", json!(2.0)),
        ),
        (
            "containers.resourceLimits.mem",
            Task(of(json!({ "resourceLimits": { "mem": 99 } })), "/limits/mem/value", json!(99.0)),
        ),
        (
            "containers.endpoints.name",
            Task(endpoint(json!({ "name": "web" })), "/discovery/ports/ports/0/name", json!("web")),
        ),
        ("containers.endpoints.containerPort", Refused(off_host(json!({ "containerPort": 80 })), NETWORKS)),
        (
            "containers.endpoints.hostPort",
            Task(endpoint(json!({ "hostPort": 31009 })), "/discovery/ports/ports/0/number", json!(31009)),
        ),
        (
            "containers.endpoints.protocol",
            Task(endpoint(json!({ "protocol": ["udp"] })), "/discovery/ports/ports/0/protocol", json!("udp")),
        ),
        (
            "containers.endpoints.labels",
            Task(
                endpoint(json!({ "labels": { "l": "v" } })),
                "/discovery/ports/ports/0/labels/labels/0/value",
                json!("v"),
            ),
        ),
        (
            "containers.endpoints.networkNames",
            Refused(off_host(json!({ "containerPort": 80, "networkNames": ["n"] })), NETWORKS),
        ),
        (
            "containers.linuxInfo.seccomp.profileName",
            Refused(of(json!({ "linuxInfo": { "seccomp": { "profileName": "p" } } })), SECCOMP),
        ),
        (
            "containers.linuxInfo.seccomp.unconfined",
            Refused(of(json!({ "linuxInfo": { "seccomp": { "unconfined": true } } })), SECCOMP),
        ),
        (
            "containers.linuxInfo.ipcInfo.mode",
            Refused(of(json!({ "linuxInfo": { "ipcInfo": { "mode": "SHARE_PARENT" } } })), IPC),
        ),
        (
            "containers.linuxInfo.ipcInfo.shmSize",
            Refused(of(json!({ "linuxInfo": { "ipcInfo": { "mode": "PRIVATE", "shmSize": 64 } } })), IPC),
        ),
        ("containers.image.kind", Refused(image(json!({})), IMAGES)),
        ("containers.image.id", Refused(image(json!({ "id": "nginx" })), IMAGES)),
        (
            "containers.image.pullConfig.secret",
            Refused(with_secrets(image(json!({ "pullConfig": { "secret": "s" } }))), IMAGES),
        ),
        ("containers.image.forcePull", Refused(image(json!({ "forcePull": true })), IMAGES)),
        ("containers.image.labels", Refused(image(json!({ "labels": { "l": "v" } })), IMAGES)),
        (
            "containers.environment",
            Task(
                of(json!({ "environment": { "AAA": "b" } })),
                "/command/environment/variables/0",
                json!({ "name": "AAA", "type": "VALUE", "value": "b" }),
            ),
        ),
        (
            "containers.environment.secret",
            Refused(with_secrets(of(json!({ "environment": { "A": { "secret": "s" } } }))), SECRETS),
        ),
        ("containers.user", Task(of(json!({ "user": "nobody" })), "/command/user", json!("nobody"))),
        (
            "containers.volumeMounts.name",
            Task(mount(json!({})), "/container/volumes/0/source/sandbox_path/path", json!("v")),
        ),
        (
            "containers.volumeMounts.mountPath",
            Task(
                mount(json!({ "mountPath": "there" })),
                "/container/volumes/0/container_path",
                json!("there"),
            ),
        ),
        (
            "containers.volumeMounts.readOnly",
            Task(mount(json!({ "readOnly": true })), "/container/volumes/0/mode", json!("RO")),
        ),
        (
            "containers.artifacts.uri",
            Task(fetched(json!({ "uri": "http://h/y" })), "/command/uris/0/value", json!("http://h/y")),
        ),
        (
            "containers.artifacts.extract",
            Task(fetched(json!({ "extract": false })), "/command/uris/0/extract", json!(false)),
        ),
        (
            "containers.artifacts.executable",
            Task(fetched(json!({ "executable": true })), "/command/uris/0/executable", json!(true)),
        ),
        (
            "containers.artifacts.cache",
            Task(fetched(json!({ "cache": true })), "/command/uris/0/cache", json!(true)),
        ),
        (
            "containers.artifacts.destPath",
            Task(fetched(json!({ "destPath": "y" })), "/command/uris/0/output_file", json!("y")),
        ),
        (
            "containers.labels",
            Task(of(json!({ "labels": { "l": "v" } })), "/labels/labels/0/value", json!("v")),
        ),
        (
            "containers.lifecycle.killGracePeriodSeconds",
            Task(
                of(json!({ "lifecycle": { "killGracePeriodSeconds": 2.5 } })),
                "/kill_policy/grace_period/nanoseconds",
                json!(2_500_000_000_u64),
            ),
        ),
        ("containers.tty", Task(of(json!({ "tty": true })), "/container/tty_info", json!({}))),
    ]
}

/// Health checks, and checks without judgement.
fn checks() -> Vec<(&'static str, Acts)> {
    let asked = |kind: &str, more: Value| {
        let mut check = json!({});
        if ["http", "tcp", "exec"].iter().all(|way| more.get(way).is_none()) {
            check["exec"] = json!({ "command": { "shell": "look" } });
        }
        patch(&mut check, &more);
        in_container(
            json!({ kind: check, "endpoints": [{ "name": "other", "hostPort": 0 }, { "name": "e", "hostPort": 31007 }] }),
        )
    };
    let health =
        |more: Value, place: &'static str, expected: Value| Task(asked("healthCheck", more), place, expected);
    let check =
        |more: Value, place: &'static str, expected: Value| Task(asked("check", more), place, expected);
    let shell = || json!({ "exec": { "command": { "shell": "x y" } } });
    let argv = || json!({ "exec": { "command": { "argv": ["x", "y"] } } });
    vec![
        (
            "containers.healthCheck.http.endpoint",
            health(json!({ "http": { "endpoint": "e" } }), "/health_check/http/port", json!(31007)),
        ),
        (
            "containers.healthCheck.http.path",
            health(
                json!({ "http": { "endpoint": "e", "path": "up" } }),
                "/health_check/http/path",
                json!("/up"),
            ),
        ),
        (
            "containers.healthCheck.http.scheme",
            health(
                json!({ "http": { "endpoint": "e", "scheme": "HTTPS" } }),
                "/health_check/http/scheme",
                json!("https"),
            ),
        ),
        (
            "containers.healthCheck.tcp.endpoint",
            health(json!({ "tcp": { "endpoint": "e" } }), "/health_check/tcp/port", json!(31007)),
        ),
        (
            "containers.healthCheck.exec.command.shell",
            health(shell(), "/health_check/command/value", json!("x y")),
        ),
        (
            "containers.healthCheck.exec.command.argv",
            health(argv(), "/health_check/command/arguments", json!(["x", "y"])),
        ),
        (
            "containers.healthCheck.gracePeriodSeconds",
            health(json!({ "gracePeriodSeconds": 7 }), "/health_check/grace_period_seconds", json!(7.0)),
        ),
        (
            "containers.healthCheck.intervalSeconds",
            health(json!({ "intervalSeconds": 77 }), "/health_check/interval_seconds", json!(77.0)),
        ),
        (
            "containers.healthCheck.maxConsecutiveFailures",
            health(json!({ "maxConsecutiveFailures": 7 }), "/health_check/consecutive_failures", json!(7)),
        ),
        (
            "containers.healthCheck.timeoutSeconds",
            health(json!({ "timeoutSeconds": 7 }), "/health_check/timeout_seconds", json!(7.0)),
        ),
        (
            "containers.healthCheck.delaySeconds",
            health(json!({ "delaySeconds": 7 }), "/health_check/delay_seconds", json!(7.0)),
        ),
        (
            "containers.check.http.endpoint",
            check(json!({ "http": { "endpoint": "e" } }), "/check/http/port", json!(31007)),
        ),
        (
            "containers.check.http.path",
            check(json!({ "http": { "endpoint": "e", "path": "up" } }), "/check/http/path", json!("/up")),
        ),
        (
            "containers.check.http.scheme",
            Refused(
                asked("check", json!({ "http": { "endpoint": "e", "scheme": "HTTPS" } })),
                "a 'check' over HTTPS",
            ),
        ),
        (
            "containers.check.tcp.endpoint",
            check(json!({ "tcp": { "endpoint": "e" } }), "/check/tcp/port", json!(31007)),
        ),
        ("containers.check.exec.command.shell", check(shell(), "/check/command/command/value", json!("x y"))),
        (
            "containers.check.exec.command.argv",
            check(argv(), "/check/command/command/arguments", json!(["x", "y"])),
        ),
        (
            "containers.check.intervalSeconds",
            check(json!({ "intervalSeconds": 77 }), "/check/interval_seconds", json!(77.0)),
        ),
        (
            "containers.check.timeoutSeconds",
            check(json!({ "timeoutSeconds": 7 }), "/check/timeout_seconds", json!(7.0)),
        ),
        (
            "containers.check.delaySeconds",
            check(json!({ "delaySeconds": 7 }), "/check/delay_seconds", json!(7.0)),
        ),
    ]
}

fn schedulings() -> Vec<(&'static str, Acts)> {
    let runs = "core/orchestrator/src/tests/runs.rs";
    let constraint = || {
        AsApp(
            placement(
                json!({ "constraints": [{ "fieldName": "hostname", "operator": "LIKE", "value": "h.*" }] }),
            ),
            json!({ "constraints": [["hostname", "LIKE", "h.*"]] }),
        )
    };
    let preference = || {
        let liked =
            json!({ "preferences": [{ "field": "rack", "operator": "IS", "value": "r", "weight": 7 }] });
        AsApp(placement(liked.clone()), liked)
    };
    let same = |name: &str, value: Value| AsApp(scheduling(name, value.clone()), json!({ name: value }));
    vec![
        ("scaling.kind", AsApp(json!({ "scaling": { "kind": "every" } }), json!({ "instances": "every" }))),
        ("scaling.instances", AsApp(json!({ "scaling": { "instances": 3 } }), json!({ "instances": 3 }))),
        (
            "scheduling.backoff.backoff",
            AsApp(scheduling("backoff", json!({ "backoff": 7 })), json!({ "backoffSeconds": 7 })),
        ),
        (
            "scheduling.backoff.backoffFactor",
            AsApp(scheduling("backoff", json!({ "backoffFactor": 3 })), json!({ "backoffFactor": 3 })),
        ),
        (
            "scheduling.backoff.maxLaunchDelay",
            AsApp(
                scheduling("backoff", json!({ "maxLaunchDelay": 9 })),
                json!({ "maxLaunchDelaySeconds": 9 }),
            ),
        ),
        (
            "scheduling.upgrade.minimumHealthCapacity",
            AsApp(
                scheduling("upgrade", json!({ "minimumHealthCapacity": 0.25 })),
                json!({ "upgradeStrategy": { "minimumHealthCapacity": 0.25, "maximumOverCapacity": 1 } }),
            ),
        ),
        (
            "scheduling.upgrade.maximumOverCapacity",
            AsApp(
                scheduling("upgrade", json!({ "maximumOverCapacity": 0.25 })),
                json!({ "upgradeStrategy": { "minimumHealthCapacity": 1, "maximumOverCapacity": 0.25 } }),
            ),
        ),
        ("scheduling.placement.constraints.fieldName", constraint()),
        ("scheduling.placement.constraints.operator", constraint()),
        ("scheduling.placement.constraints.value", constraint()),
        (
            "scheduling.placement.acceptedResourceRoles",
            AsApp(
                placement(json!({ "acceptedResourceRoles": ["*"] })),
                json!({ "acceptedResourceRoles": ["*"] }),
            ),
        ),
        ("scheduling.placement.preferences.field", preference()),
        ("scheduling.placement.preferences.operator", preference()),
        ("scheduling.placement.preferences.value", preference()),
        ("scheduling.placement.preferences.weight", preference()),
        ("scheduling.killSelection", same("killSelection", json!("OLDEST_FIRST"))),
        ("scheduling.unreachableStrategy", same("unreachableStrategy", json!("disabled"))),
        (
            "scheduling.unreachableStrategy.inactiveAfterSeconds",
            same("unreachableStrategy", json!({ "inactiveAfterSeconds": 5, "expungeAfterSeconds": 9 })),
        ),
        (
            "scheduling.unreachableStrategy.expungeAfterSeconds",
            same("unreachableStrategy", json!({ "inactiveAfterSeconds": 0, "expungeAfterSeconds": 9 })),
        ),
        ("scheduling.deploymentTimeoutSeconds", same("deploymentTimeoutSeconds", json!(70))),
        ("scheduling.maxFailures", same("maxFailures", json!(7))),
        ("scheduling.onFailure", same("onFailure", json!("rollback"))),
        ("scheduling.runOnce", Test(runs, "a_pod_runs_once")),
        ("scheduling.settleSeconds", same("settleSeconds", json!(7))),
        ("scheduling.stagingTimeoutSeconds", same("stagingTimeoutSeconds", json!(7))),
    ]
}

/// Puts in what is said; lists as a whole, `null` takes away.
fn patch(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (name, value) in more {
                if value.is_null() {
                    into.remove(name);
                } else {
                    patch(into.entry(name.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (into, more) => *into = more.clone(),
    }
}

fn pod(more: &More) -> Value {
    let mut pod = json!({ "id": "/f", "containers": [
        { "name": "c", "exec": { "command": { "shell": "run" } }, "resources": { "cpus": 0.1, "mem": 32 } }] });
    let mut more = more.clone();
    let container = more.as_object_mut().and_then(|more| more.remove("container")).unwrap_or(json!({}));
    patch(&mut pod, &more);
    patch(&mut pod["containers"][0], &container);
    pod
}

/// Whether all that was said is there.
fn keeps(said: &Value, kept: &Value) -> bool {
    match (said, kept) {
        (Value::Object(said), Value::Object(kept)) => {
            said.iter().all(|(name, value)| kept.get(name).is_some_and(|kept| keeps(value, kept)))
        }
        (Value::Array(said), Value::Array(kept)) => {
            said.len() == kept.len() && said.iter().zip(kept).all(|(said, kept)| keeps(said, kept))
        }
        (Value::Number(said), Value::Number(kept)) => said.as_f64() == kept.as_f64(),
        (said, kept) => said == kept,
    }
}

fn world() -> World {
    World::with(Config {
        features: ["secrets".to_owned(), "gpu_resources".to_owned()].into(),
        ..Config::default()
    })
}

/// A world in which this pod was created, and the pod's id.
fn created(field: &str, more: &More) -> (World, String) {
    let mut world = world();
    let said = pod(more);
    let id = said["id"].as_str().unwrap().to_owned();
    let answer = world.command(Command::CreatePod { pod: said.as_object().unwrap().clone(), force: false });
    assert_eq!(answer.status, 201, "{field}: {answer:?}");
    let kept = world.machine().pod(&id).expect("it is there").app.clone();
    assert!(keeps(&said, &kept), "{field}: {said:#} is kept as {kept:#}");
    (world, id)
}

/// What an app and a pod have in common of how they are scheduled.
fn course(spec: &Spec) -> String {
    let places =
        (&spec.constraints, &spec.beside, &spec.preferences, spec.every, &spec.accepted_roles, &spec.role);
    let ends = (spec.oldest_first, spec.unreachable, spec.minimum_health, spec.over_capacity, spec.gpus);
    let starts = (spec.backoff, spec.staging, spec.terms, spec.instances);
    format!("{places:?} {ends:?} {starts:?}")
}

#[test]
fn every_field_of_a_pod_acts() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let all = fields();
    let told = std::fs::read_to_string(format!("{root}/COMPAT.md")).expect("COMPAT.md");
    let told = told.split("\n## ").find(|part| part.starts_with("Fields of a pod")).expect("the table");
    let table = api::marathon::pod_fields();
    for name in &table {
        let rows = all.iter().filter(|(field, _)| field == name).count();
        assert_eq!(rows, 1, "{rows} lines show that '{name}' acts");
        let rows = told.matches(&format!("\n| `{name}` |")).count();
        assert_eq!(rows, 1, "COMPAT.md has {rows} rows for '{name}'");
    }
    assert_eq!(all.len(), table.len(), "a field that is none");
    let plain = created("none", &json!({})).0.machine().pod("/f").unwrap().spec.clone();
    for (field, acts) in all {
        match acts {
            Test(file, function) => {
                let text = std::fs::read_to_string(format!("{root}/{file}")).expect(file);
                assert!(text.contains(&format!("fn {function}(")), "{field}: {file} has no test {function}");
            }
            Task(more, place, expected) | Executor(more, place, expected) if place.is_empty() => {
                panic!("{field}: {more} {expected}")
            }
            Task(more, place, expected) => {
                let (mut world, _) = created(field, &more);
                world.run(5);
                let ids = world.task_ids();
                assert_eq!(ids.len(), 1, "{field}: it is not launched");
                let info: Value = serde_json::from_str(&world.info(&ids[0]).to_json()).expect("JSON");
                assert_eq!(info.pointer(place), Some(&expected), "{field}: {info:#}");
            }
            Executor(more, place, expected) => {
                let (mut world, _) = created(field, &more);
                world.run(5);
                let ids = world.task_ids();
                assert_eq!(ids.len(), 1, "{field}: it is not launched");
                let info: Value = serde_json::from_str(&world.executor(&ids[0]).to_json()).expect("JSON");
                assert_eq!(info.pointer(place), Some(&expected), "{field}: {info:#}");
            }
            AsApp(more, app) => {
                let (mut world, id) = created(field, &more);
                let of_app = app["id"].as_str().unwrap_or("/g").to_owned();
                let answer = world.command(super::create(&of_app, app));
                assert_eq!(answer.status, 201, "{field}: {answer:?}");
                let spec = world.machine().pod(&id).unwrap().spec.clone();
                let app = world.machine().app(&of_app).unwrap().spec.clone();
                assert_eq!(course(&spec), course(&app), "{field}");
                assert_ne!(course(&spec), course(&plain), "{field} is passed over");
            }
            Refused(more, why) => {
                let (mut world, id) = created(field, &more);
                world.run(5);
                assert!(world.task_ids().is_empty(), "{field}: it is launched");
                let said = format!("{:?}", world.machine().why(&id, world.now()).expect("why it waits"));
                assert!(said.contains("NotSupported") && said.contains(why), "{field}: {said}");
            }
        }
    }
}

#[test]
fn waits_of_pods_may_be_parts_of_a_second() {
    let waits = json!({ "backoff": 0.25, "backoffFactor": 2, "maxLaunchDelay": 0.75 });
    let policy = Spec::read(&pod(&scheduling("backoff", waits))).policy();
    assert_eq!((policy.first.as_millis(), policy.most.as_millis()), (250, 750));
}

#[test]
fn versions_are_given_not_taken() {
    let mut world = world();
    let said = pod(&json!({ "version": "2001-02-03T04:05:06.789Z" }));
    let create = Command::CreatePod { pod: said.as_object().unwrap().clone(), force: false };
    assert_eq!(world.command(create).status, 201);
    let given = world.machine().pod("/f").unwrap().spec.version.clone();
    assert!(!given.starts_with("2001"), "{given}");
    let wrong = pod(&json!({ "id": "/w", "version": "yesterday" }));
    let create = Command::CreatePod { pod: wrong.as_object().unwrap().clone(), force: false };
    assert_eq!(world.command(create).status, 422);
}

#[test]
fn pods_keep_to_their_places_roles_and_bounds() {
    let life = |more: More, agents: usize| {
        let mut world = World::new(agents);
        let said = pod(&more);
        let create = Command::CreatePod { pod: said.as_object().unwrap().clone(), force: false };
        assert_eq!(world.command(create).status, 201, "{said}");
        world.run(20);
        world
    };
    let hosts = |world: &World| {
        let mut all: Vec<_> = world.machine().instances().map(|i| i.host.clone()).collect();
        all.sort();
        all
    };
    let unique = placement(json!({ "constraints": [{ "fieldName": "hostname", "operator": "UNIQUE" }] }));
    let mut two = unique;
    two["scaling"] = json!({ "instances": 3 });
    let world = life(two, 2);
    assert_eq!(hosts(&world), ["host-0", "host-1"], "the third finds no place");
    let liked = json!({ "preferences": [{ "field": "rack", "operator": "IS", "value": "r1" }] });
    assert_eq!(hosts(&life(placement(liked), 2)), ["host-1"]);
    let every = life(json!({ "scaling": { "kind": "every" } }), 3);
    assert_eq!(hosts(&every), ["host-0", "host-1", "host-2"]);
    // what fails too often goes back, with its good tasks untouched
    let mut world = life(
        json!({ "scheduling": { "maxFailures": 1, "onFailure": "rollback",
        "upgrade": { "minimumHealthCapacity": 1, "maximumOverCapacity": 1 } } }),
        1,
    );
    let before = world.machine().instances().next().unwrap().id.clone();
    let bad = pod(
        &json!({ "environment": { "V": "2" }, "scheduling": { "maxFailures": 1, "onFailure": "rollback" } }),
    );
    let update = Command::UpdatePod { id: "/f".into(), pod: bad.as_object().unwrap().clone(), force: false };
    assert_eq!(world.command(update).status, 200);
    for _ in 0..2 {
        world.run(4);
        let new =
            world.machine().instances().find(|i| i.id != before).expect("one of the new version").clone();
        world.fail(&format!("{}.c.1", new.id));
    }
    world.run(30);
    let pod = world.machine().pod("/f").unwrap().app.clone();
    assert_eq!((pod.get("environment"), world.machine().deployments().len()), (None, 0), "{pod:#}");
    let left: Vec<_> = world.machine().instances().map(|i| i.id.clone()).collect();
    assert_eq!(left, [before]);
}
