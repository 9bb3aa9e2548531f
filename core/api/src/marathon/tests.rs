//! Definitions as clients write them: what comes out, and everything that is refused with its path.

use super::*;
use serde_json::json;

fn read_in(app: Value, context: &Context) -> Result<Value, (u16, Value)> {
    let parse = |(status, body): Refusal| (status, serde_json::from_str(&body).unwrap());
    let app = super::app(object(app.to_string().as_bytes()).map_err(parse)?).map_err(parse)?;
    complete(app, "/", context).map(Value::Object).map_err(|found| parse(not_valid(&found)))
}

fn read(app: Value) -> Result<Value, (u16, Value)> {
    read_in(app, &Context::default())
}

/// `path error` of everything that is wrong.
fn wrong_in(app: Value, context: &Context) -> Vec<String> {
    let (_, body) = read_in(app, context).expect_err("wrong");
    let details = body["details"].as_array().unwrap().clone();
    let one = |d: &Value| -> Vec<String> {
        let path = d["path"].as_str().unwrap();
        d["errors"].as_array().unwrap().iter().map(|e| format!("{path} {}", e.as_str().unwrap())).collect()
    };
    details.iter().flat_map(one).collect()
}

/// A small right app with these fields changed, or removed by null.
fn with(more: Value) -> Value {
    let mut app = json!({ "id": "/a", "cmd": "sleep 1" });
    more.as_object().unwrap().iter().for_each(|(key, value)| app[key] = value.clone());
    app
}

fn featured(features: &[&str]) -> Context {
    Context {
        features: features.iter().map(|f| (*f).to_owned()).collect(),
        network: Some("net".into()),
        ..Context::default()
    }
}

#[test]
fn the_smallest_app_gets_all_defaults() {
    let app = read(json!({ "id": "sleep", "cmd": "sleep 100" })).unwrap();
    let all = json!({ "id": "/sleep", "cmd": "sleep 100", "instances": 1, "cpus": 1, "mem": 128, "disk": 0, "gpus": 0,
        "backoffSeconds": 1, "backoffFactor": 1.15, "maxLaunchDelaySeconds": 300, "executor": "", "labels": {},
        "networks": [{ "mode": "host" }], "killSelection": "YOUNGEST_FIRST", "requirePorts": false, "role": "*",
        "portDefinitions": [{ "port": 0, "name": "default", "protocol": "tcp" }],
        "upgradeStrategy": { "minimumHealthCapacity": 1, "maximumOverCapacity": 1 },
        "unreachableStrategy": { "inactiveAfterSeconds": 0, "expungeAfterSeconds": 0 } });
    assert_eq!(app, all);
    assert_eq!(read(app.clone()).unwrap(), app, "what is normal stays as it is");
}

#[test]
fn old_forms_become_new_ones_and_stay_so() {
    for (old, at, new) in [
        (json!({ "ports": [0, 8080] }), "/portDefinitions/1", json!({ "port": 8080, "protocol": "tcp" })),
        (json!({ "ports": [] }), "/portDefinitions", json!([])),
        (json!({ "uris": ["http://h/x.tgz", "http://h/y"] }), "/fetch/0/extract", json!(true)),
        (json!({ "uris": ["http://h/x.tgz", "http://h/y"] }), "/fetch/1/extract", json!(false)),
        (
            json!({ "healthChecks": [{ "protocol": "http" }], "portDefinitions": [{}] }),
            "/healthChecks/0/portIndex",
            json!(0),
        ),
        (
            json!({ "healthChecks": [{ "protocol": "mesos_http", "port": 1 }] }),
            "/healthChecks/0/path",
            json!("/"),
        ),
        (json!({ "constraints": [["hostname", "unique"]] }), "/constraints/0/1", json!("UNIQUE")),
        (json!({ "killSelection": "oldest_first" }), "/killSelection", json!("OLDEST_FIRST")),
        (json!({ "dependencies": ["../b", "/c/"] }), "/dependencies", json!(["/b", "/c"])),
        (
            json!({ "ipAddress": {} , "networks": null }),
            "/networks",
            json!([{ "mode": "container", "name": "net" }]),
        ),
        (
            json!({ "ipAddress": { "networkName": "mesos-bridge" } }),
            "/networks/0/mode",
            json!("container/bridge"),
        ),
        (
            json!({ "ipAddress": { "networkName": "x", "labels": { "a": "b" } } }),
            "/networks/0/labels/a",
            json!("b"),
        ),
        (
            json!({ "ipAddress": { "discovery": { "ports": [{ "name": "p", "number": 80 }] } } }),
            "/container/portMappings/0/containerPort",
            json!(80),
        ),
        (json!({ "ipAddress": {} }), "/container/type", json!("MESOS")),
        (
            json!({ "container": { "type": "docker", "docker": { "image": "i", "network": "host" } } }),
            "/networks/0/mode",
            json!("host"),
        ),
        (
            json!({ "container": { "docker": { "image": "i", "network": "BRIDGE" } } }),
            "/container/portMappings/0",
            json!({ "containerPort": 0,
            "hostPort": 0, "labels": {}, "name": "default", "protocol": "tcp", "servicePort": 0 }),
        ),
        (
            json!({ "container": { "docker": { "image": "i", "network": "USER", "portMappings": [{ "containerPort": 1 }] } } }),
            "/container/portMappings/0/containerPort",
            json!(1),
        ),
        (
            json!({ "container": { "docker": { "image": "i", "network": "BRIDGE" } }, "ports": [0, 0] }),
            "/container/portMappings/1/hostPort",
            json!(0),
        ),
        (
            json!({ "networks": [{ "mode": "container" }], "requirePorts": true }),
            "/requirePorts",
            json!(false),
        ),
        (
            json!({ "networks": [{ "mode": "container" }] }),
            "/container/portMappings/0/name",
            json!("default"),
        ),
        (
            json!({ "container": { "type": "MESOS", "portMappings": [{ "containerPort": 1 }] } }),
            "/container/portMappings",
            Value::Null,
        ),
        (
            json!({ "labels": { "MARATHON_SINGLE_INSTANCE_APP": "true" } }),
            "/upgradeStrategy/maximumOverCapacity",
            json!(0),
        ),
    ] {
        let context = featured(&[]);
        let app = read_in(with(old.clone()), &context).unwrap_or_else(|e| panic!("{old}: {e:?}"));
        assert_eq!(app.pointer(at).unwrap_or(&Value::Null), &new, "{old}");
        for gone in ["ports", "uris", "ipAddress"] {
            assert!(app.get(gone).is_none(), "{gone} of {old}");
        }
        assert!(
            app.pointer("/container/docker/network").is_none()
                && app.pointer("/container/docker/portMappings").is_none()
        );
        assert_eq!(read_in(app.clone(), &context).unwrap(), app, "{old}");
    }
}

#[test]
fn a_resident_app_has_its_own_defaults() {
    let context =
        Context { role: "db".into(), roles: ["db".to_owned(), "*".into()].into(), ..Context::default() };
    let volume = json!({ "containerPath": "data", "mode": "RW", "persistent": { "size": 10 } });
    let app =
        read_in(with(json!({ "container": { "type": "MESOS", "volumes": [volume] } })), &context).unwrap();
    assert_eq!(app["unreachableStrategy"], "disabled");
    assert_eq!(app["upgradeStrategy"], json!({ "minimumHealthCapacity": 0.5, "maximumOverCapacity": 0 }));
    assert_eq!(app["residency"]["taskLostBehavior"], "WAIT_FOREVER");
    let mut bigger = app.clone();
    bigger["cpus"] = 2.into();
    bigger["container"]["volumes"][0]["persistent"]["size"] = 11.into();
    let said: Vec<_> = violations_between(&app, &bigger).into_iter().map(|v| v.path).collect();
    assert_eq!(said, ["/container/volumes", "/"]);
    assert_eq!(violations_between(&app, &app), []);
}

#[test]
fn every_violation_is_named_with_its_path() {
    let (status, body) = read(with(json!({ "cpus": "many" }))).unwrap_err();
    assert_eq!(status, 422);
    let details = json!([{ "path": "/cpus", "errors": ["error.expected.jsnumber"] }]);
    assert_eq!(body, json!({ "message": "Invalid JSON", "details": details }));
    let bad = json!({ "id": "/A_b/", "cpus": -1, "instances": -2, "constraints": [["hostname", "NEAR"]] });
    let said = wrong_in(bad, &Context::default());
    for path in
        ["/id ", "/cpus error.min", "/instances error.min", "/constraints(0) operator", "/ AppDefinition"]
    {
        assert!(said.iter().any(|s| s.starts_with(path)), "{path} is not in {said:?}");
    }
    let (status, body) = super::object(b"{").unwrap_err();
    assert_eq!(status, 400);
    assert!(body.contains("\"message\":\"Invalid JSON\"") && body.contains("\"details\":\""), "{body}");
}

#[test]
fn a_wrong_type_hides_nothing_and_leads_to_nothing_else() {
    let many =
        json!({ "id": "/x", "cpus": "q", "cmd": "a", "args": ["b"], "constraints": [["hostname", "FOO"]] });
    let said = wrong_in(many, &Context::default());
    for path in
        ["/ AppDefinition must either", "/constraints(0) operator must be", "/cpus error.expected.jsnumber"]
    {
        assert!(said.iter().any(|s| s.starts_with(path)), "{path} is not in {said:?}");
    }
    assert_eq!(said.len(), 3, "{said:?}");
    // what comes after something unreadable keeps its number
    let listed =
        json!({ "id": "/x", "cmd": "a", "healthChecks": [5, { "protocol": "TCP", "portIndex": 7 }] });
    let said = wrong_in(listed, &Context::default());
    assert_eq!(said[0], "/healthChecks(0) error.expected.jsobject");
    assert!(said[1].starts_with("/healthChecks(1) Health check port indices"), "{said:?}");
    // nothing is said of what only can't be known
    for (fields, path) in [
        (json!({ "cmd": 1 }), "/cmd"),
        (json!({ "cmd": null, "args": 1 }), "/args"),
        (
            json!({ "cmd": null, "container": { "type": "MESOS", "docker": { "image": 1 } } }),
            "/container/docker/image",
        ),
        (json!({ "portDefinitions": 1, "healthChecks": [{ "portIndex": 3 }] }), "/portDefinitions"),
        (
            json!({ "portDefinitions": [{ "name": 1 }], "readinessChecks": [{ "portName": "web" }] }),
            "/portDefinitions(0)/name",
        ),
        (
            json!({ "readinessChecks": [{ "portName": "default", "intervalSeconds": "x" }] }),
            "/readinessChecks(0)/intervalSeconds",
        ),
        (
            json!({ "secrets": { "s": { "source": 1 } }, "env": { "A": { "secret": "s" } } }),
            "/secrets/s/source",
        ),
        (json!({ "role": 1, "acceptedResourceRoles": ["dev"] }), "/role"),
        (json!({ "networks": [{ "mode": 1 }] }), "/networks(0)/mode"),
        (
            json!({ "unreachableStrategy": { "inactiveAfterSeconds": 5, "expungeAfterSeconds": "x" } }),
            "/unreachableStrategy/expungeAfterSeconds",
        ),
        (
            json!({ "container": { "type": "MESOS", "linuxInfo": { "seccomp": { "profileName": 1 } } } }),
            "/container/linuxInfo/seccomp/profileName",
        ),
        (
            json!({ "cpus": "q", "container": { "type": "MESOS", "volumes": [{ "containerPath": "a",
                "persistent": { "size": 5 } }] } }),
            "/cpus",
        ),
    ] {
        let said = wrong_in(with(fields.clone()), &featured(&["secrets"]));
        assert_eq!(said.len(), 1, "{fields}: {said:?}");
        assert!(said[0].starts_with(&format!("{path} error.expected.")), "{fields}: {said:?}");
    }
    // an update is seen with what it changes
    let current = read(with(json!({}))).unwrap().as_object().unwrap().clone();
    let update = json!({ "mem": "x", "instances": 2, "labels": { "MARATHON_SINGLE_INSTANCE_APP": "true" } });
    let (status, body) = app_part(update.as_object().unwrap().clone(), &current).unwrap_err();
    assert_eq!(status, 422);
    for said in ["/mem", "Single instance app may only", "/upgradeStrategy/maximumOverCapacity"] {
        assert!(body.contains(said), "{said} is not in {body}");
    }
    let pod = json!({ "id": "p", "volumes": [{ "name": "v" }], "containers": [{ "name": "c", "resources": { "cpus": "x" } }] });
    let (_, body) = super::pod(pod.as_object().unwrap().clone()).unwrap_err();
    for said in ["\"/id\"", "/containers(0)/resources/cpus", "/volumes(0)"] {
        assert!(body.contains(said) || said == "/volumes(0)", "{said} is not in {body}");
    }
}

#[test]
fn what_is_refused_and_where() {
    let docker = |more: Value| {
        let mut docker = json!({ "image": "i" });
        more.as_object().unwrap().iter().for_each(|(key, value)| docker[key] = value.clone());
        json!({ "type": "DOCKER", "docker": docker })
    };
    let volume = |more: Value| json!({ "container": { "type": "MESOS", "volumes": [more] } });
    let nets = |all: Value| json!({ "networks": all });
    for (fields, said) in [
        (json!({ "id": "/" }), "/id must not be root"),
        (json!({ "id": "/a/restart" }), "/id must not end with"),
        (json!({ "cmd": null }), "/ AppDefinition must either contain"),
        (json!({ "args": ["x"] }), "/ AppDefinition must either contain"),
        (json!({ "cmd": "a\0b" }), "/cmd a NUL character"),
        (json!({ "user": "ro\0ot" }), "/user a NUL character"),
        (json!({ "env": { "A": "b\0" } }), "/env/A a NUL character"),
        (json!({ "env": { "A\0": "b" } }), "/env/A\0 a NUL character"),
        (
            json!({ "healthChecks": [{ "protocol": "COMMAND", "command": { "value": "a\0" } }] }),
            "/healthChecks(0)/command/value a NUL character",
        ),
        (json!({ "cpus": 1e308 }), "/cpus got 1"),
        (json!({ "backoffFactor": 1e308 }), "/backoffFactor error.max"),
        (
            json!({ "upgradeStrategy": { "minimumHealthCapacity": 2, "maximumOverCapacity": 0 } }),
            "/upgradeStrategy/minimumHealthCapacity error.max",
        ),
        (
            json!({ "upgradeStrategy": { "minimumHealthCapacity": 1 } }),
            "/upgradeStrategy/maximumOverCapacity error.path.missing",
        ),
        (
            json!({ "healthChecks": [{ "protocol": "MESOS_TCP", "port": 1 }, { "protocol": "MESOS_HTTP", "port": 1 }] }),
            "/ AppDefinition can contain at most one",
        ),
        (
            json!({ "healthChecks": [{ "protocol": "TCP", "portIndex": 1 }] }),
            "/healthChecks(0) Health check port indices",
        ),
        (
            json!({ "healthChecks": [{ "protocol": "SMTP" }] }),
            "/healthChecks(0)/protocol error.unknown.enum.literal",
        ),
        (
            json!({ "healthChecks": [{ "ipProtocol": "IPv6", "portIndex": 0 }] }),
            "/healthChecks(0) IPv6 can only",
        ),
        (json!({ "check": {} }), "/check Only one of"),
        (
            json!({ "check": { "exec": { "command": { "shell": "x" } } }, "container": docker(json!({})) }),
            "/ AppDefinition must not use 'checks'",
        ),
        (
            json!({ "readinessChecks": [{ "portName": "nope" }] }),
            "/readinessChecks(0)/portName No port definition reference for portName nope",
        ),
        (
            json!({ "readinessChecks": [{ "portName": "default", "timeoutSeconds": 30 }] }),
            "/readinessChecks(0)/timeoutSeconds got 30",
        ),
        (
            json!({ "portDefinitions": [{ "port": 1 }, { "port": 1 }] }),
            "/portDefinitions Ports must be unique.",
        ),
        (
            json!({ "portDefinitions": [{ "name": "a" }, { "name": "a" }] }),
            "/portDefinitions Port names must be unique.",
        ),
        (json!({ "portDefinitions": [{ "port": 70000 }] }), "/portDefinitions(0)/port error.max"),
        (json!({ "ports": [1], "portDefinitions": [] }), "/ cannot specify both ports and port definitions"),
        (json!({ "ports": [1, 1] }), "/ ports must be unique"),
        (
            json!({ "uris": ["a"], "fetch": [{ "uri": "b" }] }),
            "/uris may not be set in conjunction with fetch",
        ),
        (json!({ "ipAddress": {}, "ports": [1] }), "/ cannot specify both an IP address and port"),
        (
            json!({ "ipAddress": {}, "networks": [{ "mode": "host" }] }),
            "/ must not specify both networks and ipAddress",
        ),
        (
            json!({ "ipAddress": { "discovery": {} }, "container": docker(json!({})) }),
            "/ipAddress ipAddress/discovery is not allowed",
        ),
        (
            json!({ "container": docker(json!({ "network": "HOST" })), "networks": [{ "mode": "host" }] }),
            "/ must not specify both container.docker.network and networks",
        ),
        (
            json!({ "container": docker(json!({ "network": "NONE" })) }),
            "/container/docker/network unsupported",
        ),
        (
            json!({ "container": docker(json!({ "credential": { "principal": "p" } })) }),
            "/container/docker/credential must be empty",
        ),
        (
            json!({ "container": docker(json!({ "pullConfig": { "secret": "s" } })) }),
            "/container/docker/pullConfig pullConfig is not supported",
        ),
        (json!({ "container": docker(json!({ "image": "" })) }), "/container/docker/image must not be empty"),
        (json!({ "container": { "type": "DOCKER" } }), "/container/docker not defined"),
        (
            json!({ "container": { "type": "MESOS", "docker": { "image": "i", "network": "HOST" } } }),
            "/container/docker/network must be empty",
        ),
        (json!({ "gpus": 1, "container": docker(json!({})) }), "/ GPU resources only work"),
        (nets(json!([{ "mode": "host", "name": "x" }])), "/networks Host networks may not have names"),
        (
            nets(json!([{ "mode": "container/bridge", "name": "x" }])),
            "/networks Bridge networks may not have names",
        ),
        (nets(json!([{ "name": "x" }, { "name": "x" }])), "/networks Duplicate networks"),
        (nets(json!([{ "name": "x" }, { "mode": "host" }])), "/networks May specify a single host"),
        (
            json!({ "networks": [{ "name": "x" }], "portDefinitions": [{}] , "container": { "type": "MESOS" } }),
            "none",
        ),
        (
            json!({ "networks": [{ "name": "a" }, { "name": "b" }], "container": { "type": "MESOS", "portMappings": [{ "hostPort": 0 }] } }),
            "/container/portMappings(0) networkNames must be",
        ),
        (
            json!({ "networks": [{ "name": "a" }], "container": { "type": "MESOS", "portMappings": [{ "networkNames": ["z"] }] } }),
            "/container/portMappings(0)/networkNames(0) is not one of (a)",
        ),
        (
            json!({ "networks": [{ "name": "a" }, { "name": "b" }], "container": docker(json!({})) }),
            "/ may only specify a single container network",
        ),
        (
            volume(json!({ "containerPath": "a/b", "persistent": { "size": 1 } })),
            "/container/volumes(0)/containerPath value must not contain",
        ),
        (
            volume(json!({ "containerPath": "a", "persistent": { "size": 0 } })),
            "/container/volumes(0)/persistent/size got 0",
        ),
        (
            volume(json!({ "containerPath": "a", "persistent": { "size": 1, "maxSize": 2 } })),
            "/container/volumes(0)/persistent Only mount",
        ),
        (
            volume(
                json!({ "containerPath": "a", "persistent": { "size": 2, "maxSize": 2, "type": "mount" } }),
            ),
            "/container/volumes(0)/persistent Max size",
        ),
        (
            volume(json!({ "containerPath": "a", "mode": "RO", "persistent": { "size": 2 } })),
            "/container/volumes(0)/mode must be equal to RW",
        ),
        (
            volume(
                json!({ "containerPath": "a", "persistent": { "size": 2, "constraints": [["path", "LIKE", "x"]] } }),
            ),
            "/container/volumes(0)/persistent Constraints on root",
        ),
        (
            volume(json!({ "containerPath": "a", "persistent": { "size": 2 } })),
            "/role Resident apps cannot have the role *",
        ),
        (
            volume(json!({ "containerPath": "a", "secret": "s" })),
            "/container/volumes(0) volume.secret must refer",
        ),
        (volume(json!({ "containerPath": "a" })), "/container/volumes(0) error.expected.jsobject"),
        (
            volume(json!({ "containerPath": "/a", "hostPath": "/b" })),
            "/container/volumes(0)/mode error.path.missing",
        ),
        (
            volume(json!({ "persistent": { "size": 1 } })),
            "/container/volumes(0)/containerPath error.path.missing",
        ),
        (volume(json!({ "secret": 5 })), "/container/volumes(0)/secret error.expected.jsstring"),
        (
            volume(json!({ "containerPath": "a", "external": {}, "mode": 1 })),
            "/container/volumes(0)/mode error.expected.jsstring",
        ),
        (json!({ "version": "foo" }), "/version error.expected.date.isoformat"),
        (json!({ "version": 5 }), "/version error.expected.date"),
        (
            json!({ "versionInfo": { "lastScalingAt": "2020-01-31T00:00:00Z" } }),
            "/versionInfo/lastConfigChangeAt error.path.missing",
        ),
        (
            json!({ "acceptedResourceRoles": ["a", "*"] }),
            "/acceptedResourceRoles acceptedResourceRoles can only contain *; got a",
        ),
        (
            volume(json!({ "containerPath": "a", "external": { "name": "n", "provider": "x" } })),
            "/container/volumes(0)/external/provider 'x' is not one of",
        ),
        (
            json!({ "instances": 2, "container": { "type": "MESOS", "volumes": [{ "containerPath": "a", "external": { "name": "n", "provider": "dvdi", "options": { "dvdi/driver": "d" } } }] } }),
            "/instances Number of instances is limited to 1",
        ),
        (
            json!({ "unreachableStrategy": { "inactiveAfterSeconds": 2, "expungeAfterSeconds": 1 } }),
            "/unreachableStrategy inactiveAfterSeconds",
        ),
        (json!({ "role": "other" }), "/role got other, expected one of: *"),
        (
            json!({ "acceptedResourceRoles": ["other"] }),
            "/acceptedResourceRoles acceptedResourceRoles can only contain",
        ),
        (json!({ "acceptedResourceRoles": [] }), "/acceptedResourceRoles must not be empty"),
        (
            json!({ "instances": 2, "labels": { "MARATHON_SINGLE_INSTANCE_APP": "true" } }),
            "/ Single instance app may only",
        ),
        (
            json!({ "instances": "every", "labels": { "MARATHON_SINGLE_INSTANCE_APP": "true" } }),
            "/instances a single instance app can't run on every node",
        ),
        (json!({ "labels": { "DCOS_MIGRATION_API_VERSION": "v1" } }), "/ DCOS_PACKAGE_FRAMEWORK_NAME and"),
        (json!({ "labels": { "a": 1 } }), "/labels/a error.expected.jsstring"),
        (json!({ "executorResources": { "cpus": 0.01 } }), "/executorResources/cpus error.min"),
        (json!({ "resourceLimits": { "cpus": 0.5 } }), "/resourceLimits/cpus resource limit must be greater"),
        (
            json!({ "resourceLimits": { "mem": "much" } }),
            "/resourceLimits/mem 'much' is an invalid resource limit",
        ),
        (json!({ "env": { "A": { "secret": "s" } } }), "/env(A) references an undefined secret"),
        (json!({ "dependencies": ["/A"] }), "/dependencies(0) error.pattern"),
        (json!({ "backoffFactor": 0.5 }), "/backoffFactor error.min"),
        (json!({ "instances": 1.5 }), "/instances error.expected.int"),
        (json!({ "fetch": [{}] }), "/fetch(0)/uri error.path.missing"),
        (
            json!({ "container": { "type": "MESOS", "linuxInfo": { "seccomp": { "unconfined": true, "profileName": "p" } } } }),
            "/container/linuxInfo/seccomp Seccomp unconfined",
        ),
    ] {
        let context = featured(&["secrets", "external_volumes", "gpu_resources"]);
        if said == "none" {
            read_in(with(fields), &context).expect("right");
            continue;
        }
        let all = wrong_in(with(fields.clone()), &context);
        assert!(all.iter().any(|one| one.starts_with(said)), "{fields}: '{said}' is not in {all:?}");
    }
}

#[test]
fn features_and_networks_hang_on_settings() {
    let secret = json!({ "env": { "A": { "secret": "s" } }, "secrets": { "s": { "source": "/s" } } });
    let said = wrong_in(with(secret.clone()), &Context::default());
    assert!(
        said.contains(
            &"/env use of secret-references in the environment requires the secrets feature to be enabled"
                .to_owned()
        )
    );
    assert!(said.iter().any(|s| s.starts_with("/secrets Feature secrets is not enabled")), "{said:?}");
    assert_eq!(read_in(with(secret), &featured(&["secrets"])).unwrap()["env"]["A"], json!({ "secret": "s" }));
    let gpus = with(json!({ "gpus": 1 }));
    assert!(wrong_in(gpus.clone(), &Context::default())[0].starts_with("/ Feature gpu_resources"));
    assert!(read_in(gpus, &featured(&["gpu_resources"])).is_ok());
    let unnamed = with(json!({ "networks": [{ "mode": "container" }] }));
    assert!(wrong_in(unnamed, &Context::default())[0].contains("Network name must be specified"));
}

#[test]
fn pods() {
    let read = |pod: Value, context: &Context| -> Result<Value, Vec<String>> {
        let pod = super::pod(pod.as_object().unwrap().clone()).map_err(|(_, body)| vec![body])?;
        complete_pod(pod, context)
            .map(Value::Object)
            .map_err(|f| f.into_iter().map(|v| format!("{} {}", v.path, v.error)).collect())
    };
    let container = json!({ "name": "c", "resources": { "cpus": 0.1 }, "exec": { "command": { "shell": "sleep 1" } },
        "endpoints": [{ "name": "web", "labels": {} }], "more": 1 });
    let context = Context::default();
    let pod = read(json!({ "id": "/p", "containers": [container] }), &context).unwrap();
    assert_eq!(pod["containers"][0]["resources"], json!({ "cpus": 0.1, "mem": 128, "disk": 0, "gpus": 0 }));
    assert_eq!(pod["containers"][0]["endpoints"], json!([{ "name": "web", "hostPort": 0 }]));
    assert_eq!(pod["scaling"], json!({ "kind": "fixed", "instances": 1 }));
    assert_eq!(pod["executorResources"], json!({ "cpus": 0.1, "mem": 32, "disk": 10 }));
    assert_eq!(pod["scheduling"]["upgrade"], json!({ "minimumHealthCapacity": 1, "maximumOverCapacity": 1 }));
    assert_eq!(read(pod.clone(), &context).unwrap(), pod);
    let check = |check: Value| json!([{ "name": "c", "resources": {}, "endpoints": [{ "name": "e" }], "healthCheck": check }]);
    for (more, said) in [
        (json!({ "id": "p" }), "/id Path needs to be absolute"),
        (json!({ "containers": [container, container] }), "/containers container names must be unique"),
        (json!({ "containers": [container, container] }), "/ endpoint names nust be unique"),
        (json!({ "volumes": [{ "name": "v" }] }), "/volumes(0) volume must be referenced"),
        (
            json!({ "containers": [{ "name": "c", "resources": {}, "volumeMounts": [{ "name": "v", "mountPath": "m" }] }] }),
            "/containers(0)/volumeMounts(0)/name Referenced Volume",
        ),
        (json!({ "containers": check(json!({})) }), "/containers(0)/healthCheck Only one of"),
        (
            json!({ "containers": check(json!({ "tcp": { "endpoint": "x" } })) }),
            "/containers(0)/healthCheck/tcp/endpoint contained in",
        ),
        (
            json!({ "containers": check(json!({ "tcp": { "endpoint": "e" }, "intervalSeconds": 5 })) }),
            "/containers(0)/healthCheck/timeoutSeconds got 20",
        ),
        (json!({ "networks": [{ "name": "n" }] }), "/containers(0)/endpoints(0)/containerPort is required"),
        (json!({ "role": "x" }), "/role got x"),
        (
            json!({ "scheduling": { "placement": { "constraints": [{ "fieldName": "hostname", "operator": "unique", "value": "x" }] } } }),
            "/scheduling/placement/constraints(0) UNIQUE does not",
        ),
        (
            json!({ "legacySharedCgroups": true, "containers": [{ "name": "c", "resources": {}, "resourceLimits": { "cpus": 2 } }] }),
            "/containers(0)/resourceLimits resourceLimits cannot",
        ),
        (
            json!({ "volumes": [{ "name": "v", "persistent": { "size": 1 } }] }),
            "/role Resident pods cannot have the role *",
        ),
        (json!({ "containers": [] }), "{\"details\":[{\"errors\":[\"error.minLength"),
        (json!({ "containers": null }), "{\"details\":[{\"errors\":[\"error.path.missing"),
    ] {
        let mut bad = pod.clone();
        more.as_object().unwrap().iter().for_each(|(key, value)| bad[key] = value.clone());
        let all = read(bad, &context).expect_err("wrong");
        assert!(all.iter().any(|one| one.starts_with(said)), "{more}: '{said}' is not in {all:?}");
    }
}

#[test]
fn groups() {
    let read = |body: Value| group_update(body.as_object().unwrap().clone(), "/g");
    let update = read(json!({ "apps": [{ "id": "a", "cmd": "x", "more": 1 }], "groups": [{ "id": "h", "dependencies": ["../b"] }] })).unwrap();
    assert_eq!(update.apps.as_ref().unwrap()[0]["instances"], 1);
    assert_eq!(update.apps.as_ref().unwrap()[0].get("cpus"), None, "a group may say it");
    assert_eq!(update.groups.as_ref().unwrap()[0].dependencies, Some(vec!["/g/b".to_owned()]));
    assert_eq!(read(json!({ "scaleBy": 2 })).unwrap().scale_by, Some(2.0));
    for (body, said) in [
        (json!({ "scaleBy": 2, "apps": [] }), "/scaleBy"),
        (json!({ "version": "2020-01-31T00:00:00Z", "scaleBy": 2 }), "/version"),
        (json!({ "version": "v" }), "/version"),
        (json!({ "apps": [{ "id": "a", "cmd": 1 }, { "id": "b", "cmd": "x", "args": ["y"] }] }), "/apps(1)"),
        (json!({ "apps": [1, { "id": "b", "cmd": "x", "user": 1, "cpus": 0 }] }), "/apps(1)/user"),
        (
            json!({ "dependencies": 1, "groups": [{ "id": "h", "apps": [{ "id": "b" }] }] }),
            "/groups(0)/apps(0)",
        ),
        (json!({ "apps": [{ "cmd": "x" }] }), "/apps(0)/id"),
        (json!({ "apps": 1 }), "/apps"),
        (
            json!({ "groups": [{ "apps": [{ "id": "x", "cpus": -1 }], "id": "q" }] }),
            "/groups(0)/apps(0)/cpus",
        ),
        (json!({ "groups": [{}] }), "/groups(0)/id"),
        (json!({ "groups": [{ "id": "restart" }] }), "/groups(0)/id"),
        (json!({ "scaleBy": -1 }), "/scaleBy"),
    ] {
        let (status, said_all) = read(body.clone()).expect_err("wrong");
        assert_eq!(status, 422);
        assert!(said_all.contains(&format!("\"{said}\"")), "{body}: {said_all}");
    }
}
