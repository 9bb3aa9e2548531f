//! What is wrong with an app: types first, then values. Never stops at the first.

use super::errors::Violation;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const OPERATORS: [&str; 7] = ["UNIQUE", "CLUSTER", "GROUP_BY", "LIKE", "UNLIKE", "MAX_PER", "IS"];
const PROTOCOLS: [&str; 7] = ["HTTP", "HTTPS", "TCP", "COMMAND", "MESOS_TCP", "MESOS_HTTP", "MESOS_HTTPS"];
const RESERVED: [&str; 5] = ["restart", "tasks", "versions", ".", ".."];
const NUMBERS: [&str; 10] = [
    "cpus",
    "mem",
    "disk",
    "gpus",
    "instances",
    "backoffSeconds",
    "backoffFactor",
    "maxLaunchDelaySeconds",
    "taskKillGracePeriodSeconds",
    "uid",
];
const TEXTS: [&str; 7] = ["id", "cmd", "user", "executor", "killSelection", "version", "role"];
const LISTS: [&str; 12] = [
    "args",
    "constraints",
    "dependencies",
    "fetch",
    "healthChecks",
    "readinessChecks",
    "portDefinitions",
    "ports",
    "uris",
    "networks",
    "acceptedResourceRoles",
    "storeUrls",
];
const OBJECTS: [&str; 8] = [
    "env",
    "labels",
    "secrets",
    "container",
    "upgradeStrategy",
    "residency",
    "ipAddress",
    "executorResources",
];

/// Types of fields.
pub(super) fn shapes(app: &Map<String, Value>, found: &mut Vec<Violation>) {
    let mut expect = |names: &[&str], what: &str, right: fn(&Value) -> bool| {
        for name in names {
            if app.get(*name).is_some_and(|v| !right(v)) {
                found.push(Violation::new(&format!("/{name}"), format!("error.expected.{what}")));
            }
        }
    };
    expect(&NUMBERS, "jsnumber", Value::is_number);
    expect(&TEXTS, "jsstring", Value::is_string);
    expect(&LISTS, "jsarray", Value::is_array);
    expect(&OBJECTS, "jsobject", Value::is_object);
    expect(&["requirePorts", "tty"], "jsboolean", Value::is_boolean);
    expect(&["instances", "backoffSeconds", "maxLaunchDelaySeconds", "gpus"], "jsnumber", |v| {
        v.as_f64().is_none_or(|n| n.fract() == 0.0 && n.abs() < 9e15)
    });
    for (name, value) in app.get("labels").and_then(Value::as_object).into_iter().flatten() {
        if !value.is_string() {
            found.push(Violation::new(&format!("/labels/{name}"), "error.expected.jsstring"));
        }
    }
    for (name, value) in app.get("env").and_then(Value::as_object).into_iter().flatten() {
        if !value.is_string() && value.get("secret").is_none_or(|s| !s.is_string()) {
            found.push(Violation::new(&format!("/env({name})"), "error.expected.jsstring"));
        }
    }
    for list in ["healthChecks", "readinessChecks", "fetch", "portDefinitions", "networks"] {
        for (i, item) in app.get(list).and_then(Value::as_array).into_iter().flatten().enumerate() {
            if !item.is_object() {
                found.push(Violation::new(&format!("/{list}({i})"), "error.expected.jsobject"));
            }
        }
    }
    for list in ["args", "uris", "acceptedResourceRoles", "dependencies"] {
        for (i, item) in app.get(list).and_then(Value::as_array).into_iter().flatten().enumerate() {
            if !item.is_string() {
                found.push(Violation::new(&format!("/{list}({i})"), "error.expected.jsstring"));
            }
        }
    }
    for (i, item) in app.get("ports").and_then(Value::as_array).into_iter().flatten().enumerate() {
        if !item.is_number() {
            found.push(Violation::new(&format!("/ports({i})"), "error.expected.jsnumber"));
        }
    }
}

/// Old and new forms side by side.
pub(super) fn old_forms(app: &Map<String, Value>, found: &mut Vec<Violation>) {
    if app.contains_key("uris") && app.get("fetch").and_then(Value::as_array).is_some_and(|f| !f.is_empty()) {
        found.push(Violation::new("/uris", "may not be set in conjunction with fetch"));
    }
    let numbers = |list: &Value, of: fn(&Value) -> Option<i64>| -> Vec<_> {
        list.as_array().into_iter().flatten().map(|p| of(p).unwrap_or_default()).collect()
    };
    if let (Some(ports), Some(definitions)) = (app.get("ports"), app.get("portDefinitions"))
        && numbers(ports, Value::as_i64) != numbers(definitions, |d| d.get("port")?.as_i64())
    {
        found.push(Violation::new("/", "cannot specify both ports and port definitions"));
    }
    if app.contains_key("networks") && app.contains_key("ipAddress") {
        found.push(Violation::new("/", "must not specify both networks and ipAddress"));
    }
}

/// Longest id of an app; it becomes part of keys in the store. Marathon names no bound.
const APP_ID_BYTES_MAX: usize = 1024;

/// What is wrong with an app's id; none = nothing.
pub fn app_id(id: &str) -> Option<String> {
    if id.len() > APP_ID_BYTES_MAX {
        return Some(format!(
            "has {} bytes, must not have more than {APP_ID_BYTES_MAX} (APP_ID_BYTES_MAX)",
            id.len()
        ));
    }
    let segments: Vec<_> = id.trim_start_matches('/').split('/').collect();
    if segments == [""] {
        return Some("must not be root".to_owned());
    }
    if segments.last().is_some_and(|last| RESERVED.contains(last)) {
        return Some(format!(
            "must not end with any of the following reserved keywords: {}",
            RESERVED.join(", ")
        ));
    }
    let label = |l: &str| {
        let inner = l.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        !l.is_empty() && inner && !l.starts_with('-') && !l.ends_with('-')
    };
    let right = segments.iter().all(|s| s.split('.').all(label));
    (!right).then(|| {
        "must fully match regular expression '^(([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])\\.)*([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])|(\\.|\\.\\.)$'".to_owned()
    })
}

/// Values of a normalised app; `whole` = nothing may be missing.
pub fn violations(app: &Map<String, Value>, whole: bool, found: &mut Vec<Violation>) {
    let mut add = |path: &str, error: &str| found.push(Violation::new(path, error));
    match app.get("id").and_then(Value::as_str) {
        Some(id) => {
            if let Some(fault) = app_id(id) {
                add("/id", &fault);
            }
        }
        None if whole => add("/id", "error.path.missing"),
        None => {}
    }
    let number = |name: &str| app.get(name).and_then(Value::as_f64);
    for (name, least) in [
        ("cpus", 0.001),
        ("mem", 0.0),
        ("disk", 0.0),
        ("gpus", 0.0),
        ("instances", 0.0),
        ("backoffSeconds", 0.0),
        ("backoffFactor", 1.0),
        ("maxLaunchDelaySeconds", 0.0),
        ("taskKillGracePeriodSeconds", 0.0),
    ] {
        if number(name).is_some_and(|n| n < least) {
            add(&format!("/{name}"), &format!("got {}, expected {least} or more", app[name]));
        }
    }
    if whole {
        let cmd = app.contains_key("cmd");
        let args = app.get("args").and_then(Value::as_array).is_some_and(|a| !a.is_empty());
        let docker = app.get("container").and_then(|c| c.get("docker")?.get("image"));
        if cmd == args && (cmd || docker.is_none()) {
            add("/", "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.");
        }
    }
    if app.get("cmd").and_then(Value::as_str) == Some("") {
        add("/cmd", "must not be empty");
    }
    for field in ["minimumHealthCapacity", "maximumOverCapacity"] {
        let value = app.get("upgradeStrategy").and_then(|s| s.get(field));
        if value.is_some_and(|v| v.as_f64().is_none_or(|n| !(0.0..=1.0).contains(&n))) {
            add(&format!("/upgradeStrategy/{field}"), "is not between 0.0 and 1.0");
        }
    }
    for (i, constraint) in app.get("constraints").and_then(Value::as_array).into_iter().flatten().enumerate()
    {
        if let Some(fault) = constraint_fault(constraint) {
            add(&format!("/constraints({i})"), &fault);
        }
    }
    ports(app, &mut add);
    checks(app, whole, &mut add);
    if app.get("labels").and_then(|l| l.get("MARATHON_SINGLE_INSTANCE_APP")).and_then(Value::as_str)
        == Some("true")
        && number("instances").is_some_and(|n| n > 1.0)
    {
        add("/instances", "Single instance app may only have one instance");
    }
    if let Some(strategy) = app.get("unreachableStrategy").and_then(Value::as_object) {
        let seconds = |name: &str| strategy.get(name).and_then(Value::as_f64).unwrap_or_default();
        if seconds("inactiveAfterSeconds") > seconds("expungeAfterSeconds") {
            add("/unreachableStrategy", "inactiveAfterSeconds must be less or equal to expungeAfterSeconds");
        }
    }
    if let Some(kill) = app.get("killSelection").and_then(Value::as_str)
        && !["YOUNGEST_FIRST", "OLDEST_FIRST"].contains(&kill)
    {
        add("/killSelection", "error.unknown.enum.literal");
    }
    for (i, item) in app.get("fetch").and_then(Value::as_array).into_iter().flatten().enumerate() {
        if item.get("uri").and_then(Value::as_str).is_none_or(str::is_empty) {
            add(&format!("/fetch({i})/uri"), "must not be empty");
        }
    }
}

fn constraint_fault(constraint: &Value) -> Option<String> {
    let parts: Vec<&str> = constraint.as_array()?.iter().map(|p| p.as_str().unwrap_or_default()).collect();
    let [field, operator, rest @ ..] = parts.as_slice() else {
        return Some("Each constraint must have either 2 or 3 fields".to_owned());
    };
    if rest.len() > 1 {
        return Some("Each constraint must have either 2 or 3 fields".to_owned());
    }
    let value = rest.first().copied();
    let whole = || value.and_then(|v| v.parse::<u32>().ok());
    let fault = match *operator {
        _ if field.is_empty() => "illegal constraint specification",
        "UNIQUE" if value.is_some() => "UNIQUE does not accept a value",
        "GROUP_BY" if value.is_some() && whole().is_none() => {
            "GROUP BY must define an integer value or else no value at all"
        }
        "MAX_PER" if whole().is_none() => "MAX_PER requires an integer value",
        "LIKE" | "UNLIKE" if value.is_none_or(str::is_empty) => {
            "LIKE and UNLIKE require a non-empty, regular expression value"
        }
        operator if !OPERATORS.contains(&operator) => {
            "operator must be one of the following UNIQUE, CLUSTER, GROUP_BY, LIKE, MAX_PER, UNLIKE or IS"
        }
        _ => return None,
    };
    Some(fault.to_owned())
}

fn ports(app: &Map<String, Value>, add: &mut impl FnMut(&str, &str)) {
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (i, definition) in
        app.get("portDefinitions").and_then(Value::as_array).into_iter().flatten().enumerate()
    {
        let port = definition.get("port").and_then(Value::as_f64).unwrap_or(-1.0);
        if !(0.0..=65535.0).contains(&port) || port.fract() != 0.0 {
            add(&format!("/portDefinitions({i})/port"), "must be a whole number between 0 and 65535");
        } else if port > 0.0 && !numbers.insert(port as u32) {
            add("/portDefinitions", "Ports must be unique.");
        }
        let name = definition.get("name").and_then(Value::as_str);
        if name.is_some_and(|name| !names.insert(name)) {
            add("/portDefinitions", "Port names must be unique.");
        }
        let protocol = definition.get("protocol").and_then(Value::as_str);
        if protocol.is_none_or(|p| !["tcp", "udp", "udp,tcp", "tcp,udp"].contains(&p)) {
            add(&format!("/portDefinitions({i})/protocol"), "error.unknown.enum.literal");
        }
    }
}

fn checks(app: &Map<String, Value>, whole: bool, add: &mut impl FnMut(&str, &str)) {
    let ports = app.get("portDefinitions").and_then(Value::as_array).map(Vec::len);
    let checks = app.get("healthChecks").and_then(Value::as_array);
    let protocol = |c: &Value| c.get("protocol").and_then(Value::as_str).unwrap_or_default().to_owned();
    let by_mesos = checks.into_iter().flatten().filter(|c| protocol(c).starts_with("MESOS")).count();
    if by_mesos > 1 {
        add("/healthChecks", "AppDefinition can contain at most one Mesos health check");
    }
    for (i, check) in checks.into_iter().flatten().enumerate() {
        let path = format!("/healthChecks({i})");
        let kind = protocol(check);
        if !PROTOCOLS.contains(&kind.as_str()) {
            add(&format!("{path}/protocol"), "error.unknown.enum.literal");
        }
        if kind == "COMMAND" {
            if check.get("command").and_then(|c| c.get("value")?.as_str()).is_none_or(str::is_empty) {
                add(&format!("{path}/command"), "must not be empty");
            }
            continue;
        }
        let index = check.get("portIndex").and_then(Value::as_u64);
        let beyond = |ports: usize| index.is_some_and(|i| i >= ports as u64);
        if whole && (ports.is_some_and(beyond) || (index.is_none() && check.get("port").is_none())) {
            add(
                "/healthChecks",
                "Health check port indices must address an element of the ports array or container port mappings.",
            );
        }
    }
}
