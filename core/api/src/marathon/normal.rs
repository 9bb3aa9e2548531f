//! The normal form of 1.11, after old forms are translated: which defaults follow from the rest. Never refuses anything.

use super::{
    context::Context,
    fields::APP,
    look::{filled, has_persistent, items, list, off_host, text},
    path::canonical,
    shape::drop_empty,
};
use serde_json::{Map, Value, json};

/// Before validation: ids are absolute, the role is known.
pub(super) fn before(app: &mut Map<String, Value>, base: &str, context: &Context) {
    if let Some(id) = app.get("id").and_then(Value::as_str) {
        let id = canonical(id, base);
        app.insert("id".into(), id.into());
    }
    for on in app.get_mut("dependencies").and_then(Value::as_array_mut).into_iter().flatten() {
        *on = canonical(on.as_str().unwrap_or_default(), base).into();
    }
    for operator in app
        .get_mut("constraints")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(|c| c.get_mut(1))
    {
        if let Value::String(text) = operator {
            *text = text.to_uppercase();
        }
    }
    every_node(app);
    if app.get("everyNode") == Some(&Value::Bool(false)) {
        app.remove("everyNode");
    }
    let resident = has_persistent(list(app.get("container"), "volumes"));
    app.entry("role").or_insert_with(|| context.role_of(resident).into());
}

/// `"instances": "every"` is a flag and a number that means nothing; a number alone in an update ends the flag.
pub(super) fn every_node(app: &mut Map<String, Value>) {
    match app.get("instances") {
        Some(Value::String(_)) => {
            app.insert("everyNode".into(), true.into());
            app.insert("instances".into(), 0.into());
        }
        Some(_) if app.get("everyNode") == Some(&Value::Bool(true)) => {
            app.insert("instances".into(), 0.into());
        }
        _ => {}
    }
}

/// What follows from the rest, once it is valid.
pub(super) fn after(app: &mut Map<String, Value>, context: &Context) {
    name_networks(app, context);
    let networks = items(app, "networks").to_vec();
    if off_host(&networks) {
        let empty = || {
            json!({ "type": "MESOS", "volumes": [], "portMappings":
            [{ "containerPort": 0, "name": "default", "labels": {}, "protocol": "tcp", "servicePort": 0 }] })
        };
        app.entry("container").or_insert_with(empty);
        app.insert("requirePorts".into(), false.into());
        app.remove("portDefinitions");
    } else if let Some(container) = app.get_mut("container").and_then(Value::as_object_mut) {
        container.remove("portMappings");
    }
    let bridged = networks.iter().any(|n| text(n, "mode") == Some("container/bridge"));
    if let Some(Value::Array(mappings)) = app.get_mut("container").and_then(|c| c.get_mut("portMappings"))
        && bridged
    {
        mappings.iter_mut().filter_map(Value::as_object_mut).for_each(|m| {
            m.entry("hostPort").or_insert(json!(0));
        });
    }
    let volumes = list(app.get("container"), "volumes");
    let resident = has_persistent(volumes);
    let kept = resident || volumes.iter().any(|v| v.get("external").is_some());
    let single = app.get("labels").and_then(|l| filled(l, "MARATHON_SINGLE_INSTANCE_APP")) == Some("true");
    let (health, over) = if single {
        (json!(0), 0)
    } else if kept {
        (json!(0.5), 0)
    } else {
        (json!(1), 1)
    };
    app.entry("upgradeStrategy")
        .or_insert_with(|| json!({ "minimumHealthCapacity": health, "maximumOverCapacity": over }));
    let once = run_once(app);
    let waits = at_once();
    // what is to run once must not run twice because its agent can't be reached
    app.entry("unreachableStrategy")
        .or_insert_with(|| if resident || once { json!("disabled") } else { waits });
    if let Some(checks) = app.get_mut("healthChecks").and_then(Value::as_array_mut) {
        checks.iter_mut().for_each(health_check);
        // a set: two may be the same only now
        let mut set = Vec::new();
        for check in checks.drain(..) {
            if !set.contains(&check) {
                set.push(check);
            }
        }
        *checks = set;
    }
    for check in app.get_mut("readinessChecks").and_then(Value::as_array_mut).into_iter().flatten() {
        if list(Some(check), "httpStatusCodesForReady").is_empty() {
            check["httpStatusCodesForReady"] = json!([200]);
        }
    }
    if !resident {
        app.remove("residency");
    }
    for key in ["version", "versionInfo"] {
        app.remove(key);
    }
    app.entry("labels").or_insert_with(|| json!({}));
    drop_empty(APP, app);
}

/// An app that names no network is on the host's; a container network without a name gets the default one.
pub(super) fn name_networks(app: &mut Map<String, Value>, context: &Context) {
    if items(app, "networks").is_empty() {
        app.insert("networks".into(), json!([{ "mode": "host" }]));
    }
    for network in app.get_mut("networks").and_then(Value::as_array_mut).into_iter().flatten() {
        if text(network, "mode") == Some("container")
            && filled(network, "name").is_none()
            && let Some(name) = &context.network
        {
            network["name"] = name.clone().into();
        }
    }
}

/// What runs once says how often it may fail; what does not says nothing of it. Of an app, or a pod's scheduling.
pub(super) fn run_once(of: &mut Map<String, Value>) -> bool {
    let once = of.get("runOnce") == Some(&Value::Bool(true));
    if once {
        of.entry("maxFailures").or_insert(json!(0));
    } else {
        of.remove("runOnce");
    }
    once
}

/// Unreachable tasks are replaced at once: what an ordinary app does that does not say otherwise.
fn at_once() -> Value {
    json!({ "inactiveAfterSeconds": 0, "expungeAfterSeconds": 0 })
}

/// What an app has only because it runs once, or because it does not, goes where an update makes it the other kind.
pub(super) fn change_kind(whole: &mut Map<String, Value>, update: &Map<String, Value>) {
    let once = |of: &Map<String, Value>| of.get("runOnce") == Some(&Value::Bool(true));
    if !update.contains_key("runOnce") || once(whole) == once(update) {
        return;
    }
    let given = match once(whole) {
        true => vec![("maxFailures", json!(0)), ("unreachableStrategy", json!("disabled"))],
        false => vec![("unreachableStrategy", at_once())],
    };
    for (field, value) in given {
        if whole.get(field) == Some(&value) {
            whole.remove(field);
        }
    }
}

fn health_check(check: &mut Value) {
    let protocol = text(check, "protocol").unwrap_or_default().to_owned();
    let Some(check) = check.as_object_mut() else { return };
    if protocol.contains("HTTP") {
        check.entry("path").or_insert(json!("/"));
    }
    if matches!(protocol.as_str(), "HTTP" | "HTTPS") {
        check.entry("ignoreHttp1xx").or_insert(json!(false));
    }
}
