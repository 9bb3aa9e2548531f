//! What is wrong with an app whose fields are each right by themselves. Never stops at the first.
//!
//! Rules and texts: AppValidation, SchedulingValidation of mesosphere/marathon@90619da70.

use super::{
    constraint::{app_fault, preference_faults},
    container::{self, Add, lacks},
    context::Context,
    errors::Violation,
    look::{docker, doubled, filled, has_persistent, is_docker, items, list, number, off_host, text},
    path::app_id,
};
use serde_json::{Map, Value};

/// Values of a translated app.
pub(super) fn violations(app: &Map<String, Value>, context: &Context, found: &mut Vec<Violation>) {
    let mut push = |path: &str, error: &str| found.push(Violation::new(path, error));
    let add: Add<'_> = &mut push;
    let id = app.get("id").and_then(Value::as_str).unwrap_or_default();
    if let Some(fault) = app_id(id) {
        add("/id", &fault);
    }
    for (i, on) in items(app, "dependencies").iter().enumerate() {
        if let Some(fault) = on.as_str().filter(|on| *on != "/").and_then(app_id) {
            add(&format!("/dependencies({i})"), &fault);
        }
    }
    what_runs(app, add);
    ports(app, add);
    container::networks(items(app, "networks"), context, add);
    container::container(app, context, add);
    checks(app, add);
    readiness(app, add);
    for (i, constraint) in items(app, "constraints").iter().enumerate() {
        if let Some(fault) = app_fault(constraint) {
            add(&format!("/constraints({i})"), &fault);
        }
    }
    for (i, fault) in preference_faults(items(app, "preferences")) {
        add(&format!("/preferences({i})"), &fault);
    }
    autoscale(app, add);
    once_everywhere(app, add);
    labels(app, add);
    secrets(app, app.get("env"), "/env", context, add);
    strategies(app, add);
    let requested =
        Map::from_iter(["cpus", "mem"].map(|k| (k.to_owned(), app.get(k).cloned().unwrap_or_default())));
    limits(app.get("resourceLimits"), &requested, "/resourceLimits", add);
    if app.get("gpus").and_then(Value::as_f64).is_some_and(|gpus| gpus > 0.0) {
        if is_docker(app.get("container")) {
            add("/", "GPU resources only work with the Mesos containerizer");
        }
        if !context.has("gpu_resources") {
            add("/", &lacks("gpu_resources"));
        }
    }
    roles(app, context, add);
}

fn autoscale(app: &Map<String, Value>, add: Add<'_>) {
    let Some(rule) = app.get("autoscale") else { return };
    let (least, most) = (number(rule, "minInstances"), number(rule, "maxInstances"));
    if least > most {
        add("/autoscale", "minInstances must be less than or equal to maxInstances");
    }
    if ["cpu", "mem", "requests"].iter().all(|metric| rule.get(metric).is_none()) {
        add("/autoscale", "at least one of cpu, mem and requests must be defined");
    }
    if rule.get("requests").is_none() && least == Some(0.0) {
        add(
            "/autoscale/minInstances",
            "must be at least 1 without requests: where nothing runs nothing is measured",
        );
    }
    for (field, what) in [("everyNode", "runs on every node"), ("runOnce", "runs once")] {
        if app.get(field) == Some(&Value::Bool(true)) {
            add("/autoscale", &format!("not allowed for an app that {what}"));
        }
    }
}

/// Nobody could say when what runs on every node, those to come too, is done.
fn once_everywhere(app: &Map<String, Value>, add: Add<'_>) {
    let is = |field: &str| app.get(field) == Some(&Value::Bool(true));
    if is("everyNode") && is("runOnce") {
        add("/runOnce", "not allowed for an app that runs on every node");
    }
}

fn what_runs(app: &Map<String, Value>, add: Add<'_>) {
    let (cmd, args) = (app.contains_key("cmd"), !items(app, "args").is_empty());
    let container = app.get("container").is_some_and(|c| docker(Some(c)).is_some() || !is_docker(Some(c)));
    if !(cmd ^ args || (!(cmd && args) && container)) {
        add("/", "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.");
    }
}

fn ports(app: &Map<String, Value>, add: Add<'_>) {
    let definitions = items(app, "portDefinitions");
    let names: Vec<_> = definitions.iter().filter_map(|d| text(d, "name")).collect();
    if doubled(&names) {
        add("/portDefinitions", "Port names must be unique.");
    }
    let numbers: Vec<_> =
        definitions.iter().filter_map(|d| d.get("port")?.as_u64()).filter(|p| *p != 0).collect();
    if doubled(&numbers) {
        add("/portDefinitions", "Ports must be unique.");
    }
    let networks = items(app, "networks");
    if off_host(networks) && !definitions.is_empty() {
        add("/", "portDefinitions are only allowed with host-networking");
    }
    let mappings = list(app.get("container"), "portMappings");
    if networks.iter().any(|n| text(n, "mode") == Some("host")) && !mappings.is_empty() {
        add("/", "portMappings are not allowed with host-networking");
    }
}

fn checks(app: &Map<String, Value>, add: Add<'_>) {
    let checks = items(app, "healthChecks");
    let mappings = list(app.get("container"), "portMappings");
    let ports = if mappings.is_empty() { items(app, "portDefinitions").len() } else { mappings.len() };
    let protocol = |check: &Value| text(check, "protocol").unwrap_or_default().to_owned();
    let by_mesos = |check: &&Value| {
        check.get("command").is_none()
            && (protocol(check).starts_with("MESOS") || protocol(check) == "COMMAND")
    };
    if checks.iter().filter(by_mesos).count() > 1 {
        add("/", "AppDefinition can contain at most one Mesos health check");
    }
    for (i, check) in checks.iter().enumerate() {
        let path = format!("/healthChecks({i})");
        let kind = protocol(check);
        if kind == "COMMAND" && check.get("command").and_then(|c| filled(c, "value")).is_none() {
            add(&format!("{path}/command"), "must not be empty");
        }
        if kind != "COMMAND" && check.get("command").is_none() {
            let right = match check.get("portIndex").and_then(Value::as_u64) {
                Some(index) => (index as usize) < ports,
                None => check.get("port").is_some() || ports == 1,
            };
            // upstream looks only at the kinds that it runs itself; a check of a port that is not there never succeeds
            if !right {
                add(
                    &path,
                    "Health check port indices must address an element of the ports array or container port mappings.",
                );
            }
        }
        let mesos = kind.starts_with("MESOS") && is_docker(app.get("container"));
        if text(check, "ipProtocol") == Some("IPv6") && !mesos {
            add(
                &path,
                "IPv6 can only be used for container type DOCKER and Mesos http/https/tcp health checks",
            );
        }
    }
    if let Some(check) = app.get("check") {
        if ["http", "tcp", "exec"].into_iter().filter(|kind| check.get(kind).is_some()).count() != 1 {
            add("/check", "Only one of http, tcp, or command may be specified");
        }
        if is_docker(app.get("container")) {
            add("/", "AppDefinition must not use 'checks' if using docker");
        }
        for kind in ["http", "tcp"] {
            let index = check.get(kind).and_then(|c| c.get("portIndex")?.as_u64());
            if index.is_some_and(|index| index as usize >= ports) {
                add(&format!("/check/{kind}/portIndex"), &format!("must address one of the {ports} ports"));
            }
        }
    }
}

fn readiness(app: &Map<String, Value>, add: Add<'_>) {
    let checks = items(app, "readinessChecks");
    if checks.len() > 1 {
        add("/readinessChecks", &format!("got {}, expected 1 or less", checks.len()));
    }
    let mappings = app.get("container").and_then(|c| c.get("portMappings")).and_then(Value::as_array);
    let ports = mappings.map_or_else(|| items(app, "portDefinitions"), Vec::as_slice);
    for (i, check) in checks.iter().enumerate() {
        let name = text(check, "portName").unwrap_or_default();
        if !ports.iter().any(|port| text(port, "name") == Some(name)) {
            add(
                &format!("/readinessChecks({i})/portName"),
                &format!("No port definition reference for portName {name}"),
            );
        }
        let (timeout, interval) =
            (number(check, "timeoutSeconds").unwrap_or(0.0), number(check, "intervalSeconds").unwrap_or(0.0));
        if timeout >= interval {
            add(
                &format!("/readinessChecks({i})/timeoutSeconds"),
                &format!("got {timeout}, expected less than {interval}"),
            );
        }
    }
}

fn labels(app: &Map<String, Value>, add: Add<'_>) {
    let none = Value::Null;
    let labels = app.get("labels").unwrap_or(&none);
    if let Some(version) = filled(labels, "DCOS_MIGRATION_API_VERSION") {
        let others = ["DCOS_PACKAGE_FRAMEWORK_NAME", "DCOS_MIGRATION_API_PATH"];
        if version != "v1" || others.iter().any(|label| filled(labels, label).is_none()) {
            add(
                "/",
                "DCOS_PACKAGE_FRAMEWORK_NAME and DCOS_MIGRATION_API_PATH must be defined when using \
                 DCOS_MIGRATION_API_VERSION",
            );
        }
    }
    if filled(labels, "MARATHON_SINGLE_INSTANCE_APP") == Some("true") {
        if app.get("instances").and_then(Value::as_f64).is_some_and(|n| n > 1.0) {
            add("/", "Single instance app may only have one instance");
        }
        if app.get("everyNode") == Some(&Value::Bool(true)) {
            add("/instances", "a single instance app can't run on every node");
        }
        for field in ["minimumHealthCapacity", "maximumOverCapacity"] {
            if app.get("upgradeStrategy").and_then(|s| number(s, field)).is_some_and(|n| n != 0.0) {
                add(&format!("/upgradeStrategy/{field}"), "must be 0 for a single instance app");
            }
        }
    }
}

/// Secrets of an app, a pod or one of its containers, and references to them.
pub(super) fn secrets(
    of: &Map<String, Value>,
    env: Option<&Value>,
    path: &str,
    context: &Context,
    add: Add<'_>,
) {
    let known = of.get("secrets").and_then(Value::as_object);
    if known.is_some_and(|known| !known.is_empty()) && !context.has("secrets") && path == "/env" {
        add("/secrets", &lacks("secrets"));
    }
    let mut refers = false;
    for (name, value) in env.and_then(Value::as_object).into_iter().flatten() {
        let Some(secret) = text(value, "secret") else { continue };
        refers = true;
        if !known.is_some_and(|known| known.contains_key(secret)) {
            add(&format!("{path}({name})"), "references an undefined secret");
        }
    }
    if refers && !context.has("secrets") {
        add(path, "use of secret-references in the environment requires the secrets feature to be enabled");
    }
}

fn strategies(app: &Map<String, Value>, add: Add<'_>) {
    if let Some(Value::Object(strategy)) = app.get("unreachableStrategy") {
        let seconds = |name: &str| strategy.get(name).and_then(Value::as_f64).unwrap_or_default();
        if seconds("inactiveAfterSeconds") > seconds("expungeAfterSeconds") {
            add("/unreachableStrategy", "inactiveAfterSeconds must be less or equal to expungeAfterSeconds");
        }
    }
    let resident = app.contains_key("residency") || has_persistent(list(app.get("container"), "volumes"));
    if !resident {
        return;
    }
    if app.get("unreachableStrategy").is_some_and(Value::is_object) {
        add("/", "unreachableStrategy must be disabled for resident tasks");
    }
    if app.get("upgradeStrategy").and_then(|s| number(s, "maximumOverCapacity")).is_some_and(|n| n != 0.0) {
        add("/upgradeStrategy/maximumOverCapacity", "must be 0 for a resident app");
    }
    if has_persistent(list(app.get("container"), "volumes"))
        && app.get("role").and_then(Value::as_str) == Some("*")
    {
        add("/role", "Resident apps cannot have the role *");
    }
}

/// Limits must not be below what is asked for.
pub(super) fn limits(limits: Option<&Value>, requested: &Map<String, Value>, path: &str, add: Add<'_>) {
    for name in ["cpus", "mem"] {
        let Some(limit) = limits.and_then(|limits| limits.get(name)) else { continue };
        let asked = requested.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        let path = format!("{path}/{name}");
        match (limit.as_f64(), limit.as_str()) {
            (Some(limit), _) if limit < asked => {
                add(
                    &path,
                    &format!(
                        "resource limit must be greater than or equal to requested resource ({asked:?})"
                    ),
                );
            }
            (Some(_), _) | (None, Some("unlimited")) => {}
            (None, said) => {
                let said = said.unwrap_or_default();
                add(
                    &path,
                    &format!("'{said}' is an invalid resource limit. It must be 'unlimited' or a number"),
                );
            }
        }
    }
}

fn roles(app: &Map<String, Value>, context: &Context, add: Add<'_>) {
    let role = app.get("role").and_then(Value::as_str).unwrap_or(&context.role);
    if !context.roles.contains(role) {
        let known: Vec<_> = context.roles.iter().map(String::as_str).collect();
        add("/role", &format!("got {role}, expected one of: {}", known.join(", ")));
    }
    if let Some(accepted) = app.get("acceptedResourceRoles").and_then(Value::as_array) {
        accepted_roles(accepted, role, "/acceptedResourceRoles", add);
        let resident = app.contains_key("residency");
        if resident && accepted.as_slice() != [Value::from("*")] {
            add("/acceptedResourceRoles", "A resident app must have `acceptedResourceRoles = [\"*\"]`.");
        }
    }
}

/// Roles whose resources are taken: those of everybody, and its own.
pub(super) fn accepted_roles(accepted: &[Value], role: &str, path: &str, add: Add<'_>) {
    if accepted.is_empty() {
        add(path, "must not be empty");
    }
    let own = if role == "*" { String::new() } else { format!(" and {role}") };
    for accepted in accepted.iter().filter_map(Value::as_str).filter(|a| *a != "*" && *a != role) {
        add(path, &format!("acceptedResourceRoles can only contain *{own}; got {accepted}"));
    }
}

/// What may not change from one version of a resident app to the next.
pub fn violations_between(old: &Value, new: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    let volumes = |app: &Value| -> Vec<Value> {
        let all = list(app.get("container"), "volumes").iter().filter(|v| v.get("persistent").is_some());
        all.cloned().collect()
    };
    if volumes(old).is_empty() {
        return found;
    }
    if volumes(old) != volumes(new) {
        found.push(Violation::new("/container/volumes", "Persistent volumes can not be changed!"));
    }
    let stays = |what: &str| {
        format!(
            "Services with persistent volumes configured may not change {what}. If you need to make this change, \
             please create a new service."
        )
    };
    if ["cpus", "mem", "disk", "gpus"].iter().any(|name| old.get(name) != new.get(name)) {
        found.push(Violation::new("/", stays("resource requirements")));
    }
    let host_ports = |app: &Value| -> Vec<Value> {
        let mapped =
            list(app.get("container"), "portMappings").iter().filter_map(|m| m.get("hostPort").cloned());
        let fixed = app.get("requirePorts") == Some(&Value::Bool(true));
        let defined = list(Some(app), "portDefinitions")
            .iter()
            .filter(|_| fixed)
            .filter_map(|d| d.get("port").cloned());
        mapped.chain(defined).collect()
    };
    if host_ports(old) != host_ports(new) {
        found.push(Violation::new("/", stays("host ports")));
    }
    found
}
