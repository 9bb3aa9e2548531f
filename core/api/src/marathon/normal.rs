//! The normal form of 1.11: what older forms become, and which defaults are filled in. Never refuses anything.

use serde_json::{Map, Value, json};

/// Archives that the old `uris` unpack by their name.
const ARCHIVES: [&str; 8] = [".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".zip", ".tar"];

/// Brings fields to their normal form; with `whole`, absent ones get their defaults.
pub fn normalise(app: &mut Map<String, Value>, whole: bool) {
    if let Some(Value::String(id)) = app.get_mut("id")
        && !id.starts_with('/')
    {
        id.insert(0, '/');
    }
    if let Some(Value::Array(uris)) = app.remove("uris")
        && !app.contains_key("fetch")
    {
        let fetch = uris.into_iter().map(|uri| {
            let extract = uri.as_str().is_some_and(|u| ARCHIVES.iter().any(|a| u.ends_with(a)));
            json!({ "uri": uri, "extract": extract, "executable": false, "cache": false })
        });
        app.insert("fetch".into(), fetch.collect());
    }
    if let Some(Value::Array(ports)) = app.remove("ports")
        && !app.contains_key("portDefinitions")
    {
        let definitions = ports.iter().enumerate().map(|(i, port)| {
            let name = if i == 0 && ports.len() == 1 { json!({ "name": "default" }) } else { json!({}) };
            merged(json!({ "port": port, "protocol": "tcp", "labels": {} }), name)
        });
        app.insert("portDefinitions".into(), definitions.collect());
    }
    each(app, "fetch", |item| {
        defaults(item, &[("extract", json!(true)), ("executable", json!(false)), ("cache", json!(false))])
    });
    each(app, "portDefinitions", |item| {
        defaults(item, &[("port", json!(0)), ("protocol", json!("tcp")), ("labels", json!({}))]);
    });
    let ports = app.get("portDefinitions").and_then(Value::as_array).map_or(usize::from(whole), Vec::len);
    each(app, "healthChecks", |check| health_check(check, ports));
    each(app, "readinessChecks", |check| {
        defaults(
            check,
            &[
                ("name", json!("readinessCheck")),
                ("protocol", json!("HTTP")),
                ("path", json!("/")),
                ("portName", json!("http-api")),
                ("intervalSeconds", json!(30)),
                ("timeoutSeconds", json!(10)),
                ("httpStatusCodesForReady", json!([200])),
                ("preserveLastResponse", json!(false)),
            ],
        );
    });
    if let Some(Value::Array(constraints)) = app.get_mut("constraints") {
        for operator in constraints.iter_mut().filter_map(|c| c.get_mut(1)) {
            if let Value::String(text) = operator {
                *text = text.to_uppercase();
            }
        }
    }
    if let Some(Value::String(kill)) = app.get_mut("killSelection") {
        *kill = kill.to_uppercase();
    }
    if whole {
        fill(app);
    }
}

fn fill(app: &mut Map<String, Value>) {
    let single =
        app.get("labels").and_then(|l| l.get("MARATHON_SINGLE_INSTANCE_APP")) == Some(&json!("true"));
    let resident = app
        .get("container")
        .and_then(|c| c.get("volumes")?.as_array())
        .is_some_and(|all| all.iter().any(|v| v.get("persistent").is_some()));
    let (health, over) = match (single, resident) {
        (true, _) => (json!(0), json!(0)),
        (_, true) => (json!(0.5), json!(0)),
        _ => (json!(1), json!(1)),
    };
    let strategy = app.entry("upgradeStrategy").or_insert_with(|| json!({}));
    if let Value::Object(strategy) = strategy {
        strategy.entry("minimumHealthCapacity").or_insert(health);
        strategy.entry("maximumOverCapacity").or_insert(over);
    }
    let unreachable = if resident {
        json!("disabled")
    } else {
        json!({ "inactiveAfterSeconds": 0, "expungeAfterSeconds": 0 })
    };
    let networks = app.entry("networks").or_insert_with(|| json!([{ "mode": "host" }])).clone();
    let host = networks.as_array().is_some_and(|n| n.iter().all(|n| n["mode"] == "host"));
    if host {
        let default = json!([{ "port": 0, "name": "default", "protocol": "tcp", "labels": {} }]);
        app.entry("portDefinitions").or_insert(default);
    } else {
        app.insert("requirePorts".into(), json!(false));
    }
    let fields = [
        ("instances", json!(1)),
        ("cpus", json!(1)),
        ("mem", json!(128)),
        ("disk", json!(0)),
        ("gpus", json!(0)),
        ("executor", json!("")),
        ("backoffSeconds", json!(1)),
        ("backoffFactor", json!(1.15)),
        ("maxLaunchDelaySeconds", json!(300)),
        ("killSelection", json!("YOUNGEST_FIRST")),
        ("requirePorts", json!(false)),
        ("unreachableStrategy", unreachable),
        ("constraints", json!([])),
        ("dependencies", json!([])),
        ("env", json!({})),
        ("fetch", json!([])),
        ("healthChecks", json!([])),
        ("readinessChecks", json!([])),
        ("labels", json!({})),
        ("secrets", json!({})),
    ];
    for (name, value) in fields {
        app.entry(name).or_insert(value);
    }
}

fn health_check(check: &mut Map<String, Value>, ports: usize) {
    if let Some(Value::String(protocol)) = check.get_mut("protocol") {
        *protocol = protocol.to_uppercase();
    }
    let protocol =
        check.entry("protocol").or_insert_with(|| json!("HTTP")).as_str().unwrap_or_default().to_owned();
    let http = protocol.contains("HTTP");
    defaults(
        check,
        &[
            ("gracePeriodSeconds", json!(300)),
            ("intervalSeconds", json!(60)),
            ("maxConsecutiveFailures", json!(3)),
            ("timeoutSeconds", json!(20)),
            ("delaySeconds", json!(15)),
            ("ipProtocol", json!("IPv4")),
        ],
    );
    if http {
        defaults(check, &[("path", json!("/"))]);
        if !protocol.starts_with("MESOS") {
            defaults(check, &[("ignoreHttp1xx", json!(false))]);
        }
    }
    if protocol != "COMMAND" && !check.contains_key("port") && ports > 0 {
        defaults(check, &[("portIndex", json!(0))]);
    }
}

fn each(app: &mut Map<String, Value>, field: &str, change: impl Fn(&mut Map<String, Value>)) {
    if let Some(Value::Array(items)) = app.get_mut(field) {
        items.iter_mut().filter_map(Value::as_object_mut).for_each(change);
    }
}

fn defaults(item: &mut Map<String, Value>, all: &[(&str, Value)]) {
    for (name, value) in all {
        item.entry(*name).or_insert_with(|| value.clone());
    }
}

fn merged(mut base: Value, more: Value) -> Value {
    if let (Value::Object(base), Value::Object(more)) = (&mut base, more) {
        base.extend(more);
    }
    base
}
