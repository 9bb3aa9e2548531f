//! Reads an app's definition, in Marathon's normalised JSON form, into a `Spec`. Pure and total.
//!
//! Never validates: what was let in is run as far as it can be, and what can't be run is named.

use crate::{
    backoff::Policy,
    constraints::Constraint,
    spec::{CheckBy, CheckSpec, FetchSpec, PortSpec, Spec},
};
use base::Duration;
use serde_json::Value;
use std::collections::BTreeMap;

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}
fn number(value: &Value, key: &str, default: f64) -> f64 {
    value.get(key).and_then(Value::as_f64).unwrap_or(default)
}
fn whole(value: &Value, key: &str, default: u64) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(default)
}
fn seconds(value: &Value, key: &str, default: u64) -> Duration {
    Duration::from_secs(whole(value, key, default))
}
fn flag(value: &Value, key: &str, default: bool) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(default)
}
fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
fn texts(value: &Value, key: &str) -> Vec<String> {
    list(value, key).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
fn map(value: &Value, key: &str) -> BTreeMap<String, String> {
    let entries = value.get(key).and_then(Value::as_object);
    let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    entries.into_iter().flatten().filter_map(text).collect()
}
fn port(value: &Value, key: &str) -> Option<u16> {
    value.get(key)?.as_u64().and_then(|port| u16::try_from(port).ok())
}

impl Spec {
    /// From the JSON of an app.
    pub fn read(app: &Value) -> Self {
        let version = text(app, "version").unwrap_or_default();
        let config = app.get("versionInfo").and_then(|info| text(info, "lastConfigChangeAt"));
        let upgrade = app.get("upgradeStrategy").unwrap_or(&Value::Null);
        let unreachable = match app.get("unreachableStrategy") {
            Some(Value::String(_)) => None,
            strategy => {
                let strategy = strategy.unwrap_or(&Value::Null);
                let inactive = seconds(strategy, "inactiveAfterSeconds", 0);
                Some((inactive, seconds(strategy, "expungeAfterSeconds", 0)))
            }
        };
        Self {
            id: text(app, "id").unwrap_or_default(),
            config_version: config.unwrap_or_else(|| version.clone()),
            version,
            instances: whole(app, "instances", 1),
            cmd: text(app, "cmd"),
            args: texts(app, "args"),
            env: map(app, "env"),
            cpus: number(app, "cpus", 1.0),
            mem: number(app, "mem", 128.0),
            disk: number(app, "disk", 0.0),
            gpus: number(app, "gpus", 0.0),
            ports: list(app, "portDefinitions").iter().map(read_port).collect(),
            require_ports: flag(app, "requirePorts", false),
            accepted_roles: texts(app, "acceptedResourceRoles"),
            constraints: list(app, "constraints").iter().map(read_constraint).collect(),
            fetch: list(app, "fetch").iter().map(read_fetch).collect(),
            labels: map(app, "labels"),
            checks: list(app, "healthChecks").iter().map(read_check).collect(),
            backoff: Some(Policy {
                first: Duration::try_from_secs_f64(number(app, "backoffSeconds", 1.0)).unwrap_or_default(),
                factor: number(app, "backoffFactor", 1.15),
                most: seconds(app, "maxLaunchDelaySeconds", 300),
            }),
            minimum_health: number(upgrade, "minimumHealthCapacity", 1.0),
            over_capacity: number(upgrade, "maximumOverCapacity", 1.0),
            kill_grace: app
                .get("taskKillGracePeriodSeconds")
                .and_then(Value::as_u64)
                .map(Duration::from_secs),
            user: text(app, "user"),
            unreachable,
            oldest_first: text(app, "killSelection").is_some_and(|s| s.eq_ignore_ascii_case("OLDEST_FIRST")),
            role: text(app, "role"),
            dependencies: texts(app, "dependencies"),
            unsupported: unsupported(app),
        }
    }
}

fn read_port(value: &Value) -> PortSpec {
    PortSpec {
        port: port(value, "port").unwrap_or(0),
        name: text(value, "name"),
        protocol: text(value, "protocol").unwrap_or_else(|| "tcp".into()),
        labels: map(value, "labels"),
    }
}

fn read_constraint(value: &Value) -> Constraint {
    let parts = value.as_array().map_or(&[][..], Vec::as_slice);
    let part = |at: usize| parts.get(at).and_then(Value::as_str);
    Constraint::parse(part(0).unwrap_or_default(), part(1).unwrap_or_default(), part(2))
}

fn read_fetch(value: &Value) -> FetchSpec {
    FetchSpec {
        uri: text(value, "uri").unwrap_or_default(),
        extract: flag(value, "extract", true),
        executable: flag(value, "executable", false),
        cache: flag(value, "cache", false),
        output_file: text(value, "destPath"),
    }
}

fn read_check(value: &Value) -> CheckSpec {
    let protocol = text(value, "protocol").unwrap_or_else(|| "HTTP".into()).to_ascii_uppercase();
    let agent = protocol.starts_with("MESOS_") || protocol == "COMMAND";
    CheckSpec {
        by: if agent { CheckBy::Agent } else { CheckBy::Orchestrator },
        protocol,
        path: text(value, "path").unwrap_or_else(|| "/".into()),
        port: port(value, "port"),
        port_index: value.get("portIndex").and_then(Value::as_u64).map(|at| at as usize),
        command: value.get("command").and_then(|command| text(command, "value")),
        grace: seconds(value, "gracePeriodSeconds", 300),
        interval: seconds(value, "intervalSeconds", 60),
        timeout: seconds(value, "timeoutSeconds", 20),
        delay: seconds(value, "delaySeconds", 15),
        failures_max: u32::try_from(whole(value, "maxConsecutiveFailures", 3)).unwrap_or(u32::MAX),
        ignore_1xx: flag(value, "ignoreHttp1xx", false),
    }
}

/// What an app asks for whose machinery is not there.
fn unsupported(app: &Value) -> Option<String> {
    let container = app.get("container").filter(|container| !container.is_null());
    let image = container.and_then(|c| c.get("docker")).is_some_and(|docker| !docker.is_null());
    let mode = |n: &Value| text(n, "mode").is_some_and(|mode| !mode.eq_ignore_ascii_case("host"));
    if image {
        return Some("container images".into());
    }
    if container.is_some_and(|container| !list(container, "volumes").is_empty()) {
        return Some("volumes".into());
    }
    if list(app, "networks").iter().any(mode) {
        return Some("networks other than the host's".into());
    }
    let secrets =
        app.get("env").and_then(Value::as_object).is_some_and(|env| env.values().any(Value::is_object));
    if secrets {
        return Some("secrets in the environment".into());
    }
    if !list(app, "readinessChecks").is_empty() {
        return Some("readiness checks".into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_what_is_said_and_defaults_the_rest() {
        let spec = Spec::read(&json!({
            "id": "/a", "version": "2", "versionInfo": {"lastConfigChangeAt": "1"}, "cmd": "true",
            "healthChecks": [{"protocol": "TCP", "portIndex": 1}, {"protocol": "MESOS_HTTP", "path": "/x"}],
            "portDefinitions": [{"port": 0}, {"port": 8000, "name": "web"}],
            "unreachableStrategy": "disabled", "backoffSeconds": 7, "constraints": [["hostname", "UNIQUE"]],
        }));
        assert_eq!((spec.config_version.as_str(), spec.instances, spec.mem), ("1", 1, 128.0));
        assert_eq!(spec.checks[0].port_of(&[1, 2]), Some(2));
        assert_eq!(
            spec.checks.iter().map(|c| c.by).collect::<Vec<_>>(),
            [CheckBy::Orchestrator, CheckBy::Agent]
        );
        assert_eq!(spec.unreachable, None);
        assert_eq!(spec.policy().first, Duration::from_secs(7));
        assert_eq!(spec.needs().ports, [0, 0]);
        assert_eq!(spec.unsupported, None);
        let spec = Spec::read(&json!({"container": {"type": "DOCKER", "docker": {"image": "x"}}}));
        assert_eq!(spec.unsupported.as_deref(), Some("container images"));
    }
}
