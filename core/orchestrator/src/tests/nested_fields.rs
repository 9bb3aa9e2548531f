//! No field inside a field of an app is passed over: what it says reaches the machine's view of the app (`Spec`), or the app is
//! refused at launch. What that does is shown by `fields`. A field that is in the table of definitions and not here fails.

use crate::spec::Spec;
use serde_json::{Value, json};

enum Is {
    /// Two apps that differ in nothing else are not the same.
    Read(Value, Value),
    /// An app that says it can't be launched yet.
    Refused(Value),
    /// Kept and shown; why it has nothing to say here.
    Kept(&'static str),
}
use Is::{Kept, Read, Refused};

fn spec(more: &Value) -> Spec {
    let mut app = json!({ "id": "/f", "cmd": "x" });
    for (name, value) in more.as_object().unwrap() {
        app[name] = value.clone();
    }
    let normal = api::marathon::normal(app.as_object().unwrap().clone());
    Spec::read(&Value::Object(normal.unwrap_or_else(|refused| panic!("{more}: {refused:?}"))))
}

/// Two versions of a part, in an app made around it.
fn two(make: impl Fn(Value) -> Value, name: &str, one: Value, other: Value) -> Is {
    let part = |value: Value| name.rsplit('.').fold(value, |inner, name| json!({ name: inner }));
    Read(make(part(one)), make(part(other)))
}

fn with(mut base: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        if base[name].is_object() && value.is_object() {
            base[name] = with(base[name].take(), value);
        } else {
            base[name] = value.clone();
        }
    }
    base
}

fn docker(more: Value) -> Is {
    let docker = with(json!({ "image": "i" }), &more);
    Refused(json!({ "container": { "type": "DOCKER", "docker": docker } }))
}
fn mapped(more: Value) -> Is {
    let mapping = with(json!({ "containerPort": 80, "hostPort": 0 }), &more);
    Refused(json!({ "networks": [{ "mode": "container", "name": "n" }],
        "container": { "type": "MESOS", "portMappings": [mapping] } }))
}
fn old_mapped(more: Value) -> Is {
    let mapping = with(json!({ "containerPort": 80, "hostPort": 0 }), &more);
    docker(json!({ "network": "BRIDGE", "portMappings": [mapping] }))
}
fn addressed(more: Value) -> Is {
    Refused(json!({ "ipAddress": with(json!({ "networkName": "n" }), &more) }))
}
fn volume(volume: Value) -> Value {
    json!({ "role": "marathon", "secrets": { "s": { "source": "/s" } }, "container": { "type": "MESOS", "volumes": [volume] } })
}
fn external(more: Value) -> Is {
    let external = with(json!({ "name": "n", "provider": "dvdi", "options": { "dvdi/driver": "d" } }), &more);
    Refused(volume(json!({ "containerPath": "/v", "mode": "RW", "external": external })))
}
fn csi(more: Value) -> Is {
    let capability = json!({ "accessMode": "SINGLE_NODE_WRITER", "accessType": "mount" });
    let options = with(json!({ "pluginName": "p", "capability": capability }), &more);
    let external = json!({ "name": "n", "provider": "csi", "options": options });
    Refused(volume(json!({ "containerPath": "/v", "mode": "RW", "external": external })))
}

fn of_containers() -> Vec<(&'static str, Is)> {
    let linux = |info: Value| Refused(json!({ "container": { "type": "MESOS", "linuxInfo": info } }));
    let host =
        |more: Value| volume(with(json!({ "containerPath": "c", "hostPath": "/h", "mode": "RO" }), &more));
    let kept = |more: Value| {
        let info = with(json!({ "size": 10, "type": "mount" }), &more);
        volume(json!({ "containerPath": "d", "mode": "RW", "persistent": info }))
    };
    let secret = || json!({ "secrets": { "s": { "source": "/s" } }, "env": { "A": { "secret": "s" } } });
    let capability = |more: Value| csi(json!({ "capability": more }));
    vec![
        (
            "container.type",
            Read(
                host(json!({})),
                with(
                    host(json!({ "containerPath": "/c" })),
                    &json!({ "container": { "type": "DOCKER", "docker": { "image": "i" } } }),
                ),
            ),
        ),
        ("container.docker.credential.principal", Kept("it is refused: not supported since 1.5")),
        ("container.docker.credential.secret", Kept("it is refused: not supported since 1.5")),
        (
            "container.docker.pullConfig.secret",
            Refused(json!({ "secrets": { "s": { "source": "/s" } },
                "container": { "type": "MESOS", "docker": { "image": "i", "pullConfig": { "secret": "s" } } } })),
        ),
        ("container.docker.forcePullImage", docker(json!({ "forcePullImage": true }))),
        ("container.docker.image", docker(json!({}))),
        ("container.docker.network", docker(json!({ "network": "BRIDGE" }))),
        ("container.docker.parameters.key", docker(json!({ "parameters": [{ "key": "k", "value": "v" }] }))),
        (
            "container.docker.parameters.value",
            docker(json!({ "parameters": [{ "key": "k", "value": "v" }] })),
        ),
        ("container.docker.portMappings.containerPort", old_mapped(json!({ "containerPort": 81 }))),
        ("container.docker.portMappings.hostPort", old_mapped(json!({ "hostPort": 31000 }))),
        ("container.docker.portMappings.labels", old_mapped(json!({ "labels": { "l": "v" } }))),
        ("container.docker.portMappings.name", old_mapped(json!({ "name": "web" }))),
        ("container.docker.portMappings.protocol", old_mapped(json!({ "protocol": "udp" }))),
        ("container.docker.portMappings.servicePort", old_mapped(json!({ "servicePort": 10_001 }))),
        ("container.docker.portMappings.networkNames", old_mapped(json!({ "networkNames": [] }))),
        ("container.docker.privileged", docker(json!({ "privileged": true }))),
        ("container.linuxInfo.seccomp.profileName", linux(json!({ "seccomp": { "profileName": "p" } }))),
        ("container.linuxInfo.seccomp.unconfined", linux(json!({ "seccomp": { "unconfined": true } }))),
        ("container.linuxInfo.ipcInfo.mode", linux(json!({ "ipcInfo": { "mode": "PRIVATE" } }))),
        (
            "container.linuxInfo.ipcInfo.shmSize",
            linux(json!({ "ipcInfo": { "mode": "PRIVATE", "shmSize": 64 } })),
        ),
        ("container.volumes.containerPath", two(host, "containerPath", json!("c"), json!("d"))),
        ("container.volumes.hostPath", two(host, "hostPath", json!("/h"), json!("/i"))),
        ("container.volumes.mode", two(host, "mode", json!("RO"), json!("RW"))),
        ("container.volumes.persistent.type", two(kept, "type", json!("mount"), json!("path"))),
        ("container.volumes.persistent.size", two(kept, "size", json!(10), json!(11))),
        ("container.volumes.persistent.maxSize", two(kept, "maxSize", json!(20), json!(21))),
        ("container.volumes.persistent.profileName", two(kept, "profileName", json!("p"), json!("q"))),
        (
            "container.volumes.persistent.constraints",
            two(kept, "constraints", json!([["path", "LIKE", "/a"]]), json!([["path", "LIKE", "/b"]])),
        ),
        ("container.volumes.external.name", external(json!({}))),
        ("container.volumes.external.provider", external(json!({}))),
        ("container.volumes.external.options", external(json!({}))),
        ("container.volumes.external.size", external(json!({ "size": 5 }))),
        ("container.volumes.external.shared", external(json!({ "shared": true }))),
        ("container.volumes.external.options.pluginName", csi(json!({}))),
        (
            "container.volumes.external.options.capability.accessMode",
            capability(json!({ "accessMode": "MULTI_NODE_MULTI_WRITER" })),
        ),
        (
            "container.volumes.external.options.capability.accessType",
            capability(json!({ "accessType": "block" })),
        ),
        ("container.volumes.external.options.capability.fsType", capability(json!({ "fsType": "xfs" }))),
        (
            "container.volumes.external.options.capability.mountFlags",
            capability(json!({ "mountFlags": ["f"] })),
        ),
        (
            "container.volumes.external.options.nodeStageSecret",
            csi(json!({ "nodeStageSecret": { "k": "s" } })),
        ),
        (
            "container.volumes.external.options.nodePublishSecret",
            csi(json!({ "nodePublishSecret": { "k": "s" } })),
        ),
        ("container.volumes.external.options.volumeContext", csi(json!({ "volumeContext": { "k": "v" } }))),
        ("container.volumes.secret", Refused(volume(json!({ "containerPath": "/v", "secret": "s" })))),
        ("container.portMappings.containerPort", mapped(json!({ "containerPort": 81 }))),
        ("container.portMappings.hostPort", mapped(json!({ "hostPort": 31_000 }))),
        ("container.portMappings.labels", mapped(json!({ "labels": { "l": "v" } }))),
        ("container.portMappings.name", mapped(json!({ "name": "web" }))),
        ("container.portMappings.protocol", mapped(json!({ "protocol": "udp" }))),
        ("container.portMappings.servicePort", mapped(json!({ "servicePort": 10_001 }))),
        ("container.portMappings.networkNames", mapped(json!({ "networkNames": ["n"] }))),
        ("env.secret", Refused(secret())),
        ("secrets.source", Refused(secret())),
        (
            "ipAddress.discovery.ports.number",
            addressed(json!({ "discovery": { "ports": [{ "number": 80, "name": "n" }] } })),
        ),
        (
            "ipAddress.discovery.ports.name",
            addressed(json!({ "discovery": { "ports": [{ "number": 80, "name": "n" }] } })),
        ),
        (
            "ipAddress.discovery.ports.protocol",
            addressed(
                json!({ "discovery": { "ports": [{ "number": 80, "name": "n", "protocol": "udp" }] } }),
            ),
        ),
        (
            "ipAddress.discovery.ports.labels",
            addressed(
                json!({ "discovery": { "ports": [{ "number": 80, "name": "n", "labels": { "l": "v" } }] } }),
            ),
        ),
        ("ipAddress.groups", addressed(json!({ "groups": ["g"] }))),
        ("ipAddress.labels", addressed(json!({ "labels": { "l": "v" } }))),
        ("ipAddress.networkName", addressed(json!({}))),
        ("networks.name", mapped(json!({}))),
        ("networks.mode", mapped(json!({}))),
        (
            "networks.labels",
            Refused(json!({ "networks": [{ "mode": "container", "name": "n", "labels": { "l": "v" } }] })),
        ),
    ]
}

fn of_checks() -> Vec<(&'static str, Is)> {
    let ports = || json!([{ "name": "a" }, { "name": "b" }]);
    let health = |more: Value| {
        let check = with(json!({ "protocol": "HTTP", "portIndex": 0 }), &more);
        json!({ "portDefinitions": ports(), "healthChecks": [check] })
    };
    let by_port = |more: Value| json!({ "healthChecks": [with(json!({ "protocol": "TCP" }), &more)] });
    let command = |more: Value| json!({ "healthChecks": [with(json!({ "protocol": "COMMAND" }), &more)] });
    let check = |more: Value| {
        let timed = json!({ "http": { "portIndex": 0 } });
        json!({ "portDefinitions": ports(), "check": with(timed, &more) })
    };
    let plain = |more: Value| json!({ "portDefinitions": ports(), "check": more });
    let ready = |more: Value| {
        let check = with(json!({ "portName": "a" }), &more);
        json!({ "portDefinitions": ports(), "readinessChecks": [check] })
    };
    vec![
        ("healthChecks.command.value", two(command, "command.value", json!("a"), json!("b"))),
        ("healthChecks.gracePeriodSeconds", two(health, "gracePeriodSeconds", json!(1), json!(2))),
        ("healthChecks.ignoreHttp1xx", two(health, "ignoreHttp1xx", json!(false), json!(true))),
        ("healthChecks.intervalSeconds", two(health, "intervalSeconds", json!(1), json!(2))),
        ("healthChecks.maxConsecutiveFailures", two(health, "maxConsecutiveFailures", json!(1), json!(2))),
        ("healthChecks.path", two(health, "path", json!("/a"), json!("/b"))),
        ("healthChecks.port", two(by_port, "port", json!(1), json!(2))),
        ("healthChecks.portIndex", two(health, "portIndex", json!(0), json!(1))),
        ("healthChecks.protocol", two(health, "protocol", json!("HTTP"), json!("TCP"))),
        (
            // IPv6 is only taken for Docker containers
            "healthChecks.ipProtocol",
            Refused(json!({ "container": { "type": "DOCKER", "docker": { "image": "i" } },
                "healthChecks": [{ "protocol": "MESOS_HTTP", "ipProtocol": "IPv6", "portIndex": 0 }] })),
        ),
        ("healthChecks.timeoutSeconds", two(health, "timeoutSeconds", json!(1), json!(2))),
        ("healthChecks.delaySeconds", two(health, "delaySeconds", json!(1), json!(2))),
        ("check.http.portIndex", two(plain, "http.portIndex", json!(0), json!(1))),
        ("check.http.port", two(plain, "http.port", json!(1), json!(2))),
        ("check.http.path", two(check, "http.path", json!("/a"), json!("/b"))),
        ("check.http.scheme", Refused(check(json!({ "http": { "scheme": "HTTPS" } })))),
        ("check.tcp.portIndex", two(plain, "tcp.portIndex", json!(0), json!(1))),
        ("check.tcp.port", two(plain, "tcp.port", json!(1), json!(2))),
        ("check.exec.command.shell", two(plain, "exec.command.shell", json!("a"), json!("b"))),
        ("check.exec.command.argv", two(plain, "exec.command.argv", json!(["a"]), json!(["b"]))),
        ("check.intervalSeconds", two(check, "intervalSeconds", json!(1), json!(2))),
        ("check.timeoutSeconds", two(check, "timeoutSeconds", json!(1), json!(2))),
        ("check.delaySeconds", two(check, "delaySeconds", json!(1), json!(2))),
        ("readinessChecks.name", two(ready, "name", json!("x"), json!("y"))),
        ("readinessChecks.protocol", two(ready, "protocol", json!("HTTP"), json!("HTTPS"))),
        ("readinessChecks.path", two(ready, "path", json!("/a"), json!("/b"))),
        ("readinessChecks.portName", two(ready, "portName", json!("a"), json!("b"))),
        ("readinessChecks.intervalSeconds", two(ready, "intervalSeconds", json!(31), json!(32))),
        ("readinessChecks.timeoutSeconds", two(ready, "timeoutSeconds", json!(1), json!(2))),
        (
            "readinessChecks.httpStatusCodesForReady",
            two(ready, "httpStatusCodesForReady", json!([200]), json!([201])),
        ),
        (
            "readinessChecks.preserveLastResponse",
            two(ready, "preserveLastResponse", json!(false), json!(true)),
        ),
    ]
}

fn of_others() -> Vec<(&'static str, Is)> {
    let fetch = |more: Value| json!({ "fetch": [with(json!({ "uri": "http://h/x" }), &more)] });
    let port = |more: Value| json!({ "portDefinitions": [more] });
    let resident = |more: Value| {
        let residency = with(
            json!({ "taskLostBehavior": "RELAUNCH_AFTER_TIMEOUT", "relaunchEscalationTimeoutSeconds": 9 }),
            &more,
        );
        let disk = json!({ "containerPath": "d", "mode": "RW", "persistent": { "size": 10 } });
        with(volume(disk), &json!({ "residency": residency }))
    };
    let limits = |more: Value| json!({ "resourceLimits": more });
    let upgrade = |more: Value| {
        let both = with(json!({ "minimumHealthCapacity": 1, "maximumOverCapacity": 1 }), &more);
        json!({ "upgradeStrategy": both })
    };
    let unreachable = |more: Value| json!({ "unreachableStrategy": with(json!({ "inactiveAfterSeconds": 1, "expungeAfterSeconds": 9 }), &more) });
    let scale = |more: Value| json!({ "autoscale": with(json!({ "maxInstances": 5, "cpu": 0.5 }), &more) });
    let prefer = |more: Value| json!({ "preferences": [with(json!({ "field": "rack", "operator": "IS", "value": "v" }), &more)] });
    let executor = "Marathon gives them to pods' executors alone, and keeps them for apps";
    vec![
        ("executorResources.cpus", Kept(executor)),
        ("executorResources.mem", Kept(executor)),
        ("executorResources.disk", Kept(executor)),
        ("versionInfo.lastScalingAt", Kept("it is given, never taken from a client")),
        ("versionInfo.lastConfigChangeAt", Kept("it is given, never taken from a client")),
        ("fetch.uri", two(fetch, "uri", json!("http://h/a"), json!("http://h/b"))),
        ("fetch.extract", two(fetch, "extract", json!(false), json!(true))),
        ("fetch.executable", two(fetch, "executable", json!(false), json!(true))),
        ("fetch.cache", two(fetch, "cache", json!(false), json!(true))),
        ("fetch.destPath", two(fetch, "destPath", json!("a"), json!("b"))),
        ("portDefinitions.port", two(port, "port", json!(10_001), json!(10_002))),
        ("portDefinitions.labels", two(port, "labels", json!({ "l": "a" }), json!({ "l": "b" }))),
        ("portDefinitions.name", two(port, "name", json!("a"), json!("b"))),
        ("portDefinitions.protocol", two(port, "protocol", json!("tcp"), json!("udp"))),
        (
            "residency.relaunchEscalationTimeoutSeconds",
            two(resident, "relaunchEscalationTimeoutSeconds", json!(1), json!(2)),
        ),
        (
            "residency.taskLostBehavior",
            two(resident, "taskLostBehavior", json!("WAIT_FOREVER"), json!("RELAUNCH_AFTER_TIMEOUT")),
        ),
        ("resourceLimits.cpus", two(limits, "cpus", json!(2), json!("unlimited"))),
        ("resourceLimits.mem", two(limits, "mem", json!(200), json!(300))),
        ("upgradeStrategy.maximumOverCapacity", two(upgrade, "maximumOverCapacity", json!(0), json!(0.5))),
        (
            "upgradeStrategy.minimumHealthCapacity",
            two(upgrade, "minimumHealthCapacity", json!(0), json!(0.5)),
        ),
        (
            "unreachableStrategy.inactiveAfterSeconds",
            two(unreachable, "inactiveAfterSeconds", json!(2), json!(3)),
        ),
        (
            "unreachableStrategy.expungeAfterSeconds",
            two(unreachable, "expungeAfterSeconds", json!(7), json!(8)),
        ),
        ("autoscale.minInstances", two(scale, "minInstances", json!(1), json!(2))),
        ("autoscale.maxInstances", two(scale, "maxInstances", json!(6), json!(7))),
        ("autoscale.cpu", two(scale, "cpu", json!(0.1), json!(0.2))),
        ("autoscale.mem", two(scale, "mem", json!(0.1), json!(0.2))),
        ("autoscale.requests", two(scale, "requests", json!(1), json!(2))),
        ("autoscale.cooldownSeconds", two(scale, "cooldownSeconds", json!(1), json!(2))),
        ("preferences.field", two(prefer, "field", json!("rack"), json!("row"))),
        ("preferences.operator", two(prefer, "operator", json!("IS"), json!("LIKE"))),
        ("preferences.value", two(prefer, "value", json!("v"), json!("w"))),
        ("preferences.weight", two(prefer, "weight", json!(1), json!(2))),
    ]
}

#[test]
fn no_field_inside_a_field_of_an_app_is_passed_over() {
    let mut all = of_containers();
    all.extend(of_checks());
    all.extend(of_others());
    let table: Vec<String> =
        api::marathon::app_paths().into_iter().filter(|path| path.contains('.')).collect();
    for path in &table {
        assert_eq!(all.iter().filter(|(field, _)| field == path).count(), 1, "{path}");
    }
    assert_eq!(all.len(), table.len(), "a field that is none");
    for (field, is) in all {
        match is {
            Read(one, other) => {
                let (first, second) = (format!("{:?}", spec(&one)), format!("{:?}", spec(&other)));
                assert_ne!(first, second, "{field} is passed over: {one} and {other} are the same");
            }
            Refused(app) => assert!(spec(&app).unsupported.is_some(), "{field} is passed over: {app}"),
            Kept(why) => assert!(!why.is_empty(), "{field}"),
        }
    }
}
