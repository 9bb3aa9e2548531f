//! Reads an app's definition, in Marathon's normalised JSON form, into a `Spec`. Pure and total.
//!
//! Never validates: what was let in is run as far as it can be, and what can't be run is named.

use crate::{
    backoff::Policy,
    constraints::Constraint,
    neighbours::{APP, Beside, Preference},
    spec::{AgentCheck, AgentCheckKind, CheckBy, CheckSpec, EVERY, FetchSpec, PortSpec, ReadinessSpec, Spec},
    terms::Terms,
    volumes::VolumeSpec,
};
use base::Duration;
use serde_json::Value;
use std::collections::BTreeMap;

pub(crate) fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}
/// The path that a check asks: with a slash at its beginning, whether it was written or not (HealthCheckWorker). Upstream
/// leaves it out for Mesos' own checks, and then no such task can start.
pub(crate) fn asked_path(said: Option<String>) -> String {
    let said = said.unwrap_or_default();
    if said.starts_with('/') { said } else { format!("/{said}") }
}
pub(crate) fn number(value: &Value, key: &str, default: f64) -> f64 {
    value.get(key).and_then(Value::as_f64).unwrap_or(default)
}
pub(crate) fn whole(value: &Value, key: &str, default: u64) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(default)
}
pub(crate) fn seconds(value: &Value, key: &str, default: u64) -> Duration {
    Duration::from_secs(whole(value, key, default))
}
pub(crate) fn flag(value: &Value, key: &str, default: bool) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(default)
}
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
pub(crate) fn texts(value: &Value, key: &str) -> Vec<String> {
    list(value, key).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
pub(crate) fn map(value: &Value, key: &str) -> BTreeMap<String, String> {
    let entries = value.get(key).and_then(Value::as_object);
    let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    entries.into_iter().flatten().filter_map(text).collect()
}
pub(crate) fn port(value: &Value, key: &str) -> Option<u16> {
    value.get(key)?.as_u64().and_then(|port| u16::try_from(port).ok())
}

impl Spec {
    /// From the JSON of an app or a pod.
    pub fn read(definition: &Value) -> Self {
        if definition.get("containers").is_some() {
            Self::read_pod(definition)
        } else {
            Self::read_app(definition)
        }
    }

    pub(crate) fn read_app(app: &Value) -> Self {
        let version = text(app, "version").unwrap_or_default();
        let config = app.get("versionInfo").and_then(|info| text(info, "lastConfigChangeAt"));
        let upgrade = app.get("upgradeStrategy").unwrap_or(&Value::Null);
        let unreachable = match app.get("unreachableStrategy") {
            // what has volumes is only given up if its definition says so
            Some(Value::String(_)) => app.get("residency").and_then(|residency| {
                let after = seconds(residency, "relaunchEscalationTimeoutSeconds", 3600);
                let gives_up =
                    text(residency, "taskLostBehavior").as_deref() == Some("RELAUNCH_AFTER_TIMEOUT");
                gives_up.then_some((after, after))
            }),
            strategy => {
                let strategy = strategy.unwrap_or(&Value::Null);
                let inactive = seconds(strategy, "inactiveAfterSeconds", 0);
                Some((inactive, seconds(strategy, "expungeAfterSeconds", 0)))
            }
        };
        let every = flag(app, "everyNode", false);
        let constraints = list(app, "constraints").iter().map(|constraint| {
            let part = |at: usize| constraint.get(at).and_then(Value::as_str);
            (part(0).unwrap_or_default(), part(1).unwrap_or_default(), part(2))
        });
        let placement = read_placement(constraints, every);
        let run_once = flag(app, "runOnce", false).then(|| whole(app, "maxFailures", 0));
        Self {
            id: text(app, "id").unwrap_or_default(),
            config_version: config.unwrap_or_else(|| version.clone()),
            version,
            instances: if every { EVERY } else { whole(app, "instances", 1) },
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
            constraints: placement.0,
            beside: placement.1,
            preferences: list(app, "preferences").iter().map(read_preference).collect(),
            every,
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
            pod: None,
            service_ports: service_ports(app),
            readiness: list(app, "readinessChecks").first().map(|check| read_readiness(app, check)),
            check: app.get("check").and_then(read_agent_check),
            limits: read_limits(app.get("resourceLimits")),
            host_volumes: app.get("container").map_or_else(Vec::new, host_volumes),
            volumes: VolumeSpec::of_app(app),
            tty: flag(app, "tty", false),
            // what runs once counts its failures itself, whatever deploys it
            terms: match run_once {
                Some(_) => Terms { failures_max: None, ..Terms::read(app) },
                None => Terms::read(app),
            },
            run_once,
            autoscale: crate::autoscale::Rule::read(app),
            staging: app.get("stagingTimeoutSeconds").and_then(Value::as_u64).map(Duration::from_secs),
        }
    }
}

/// The list of ports that has service ports, and their name in it.
pub(crate) fn service_port_list(app: &Value) -> (&'static str, &'static str) {
    let mapped = app.get("container").is_some_and(|c| !list(c, "portMappings").is_empty());
    if mapped { ("/container/portMappings", "servicePort") } else { ("/portDefinitions", "port") }
}

fn service_ports(app: &Value) -> Vec<u16> {
    let (at, name) = service_port_list(app);
    let ports = app.pointer(at).and_then(Value::as_array);
    ports.into_iter().flatten().map(|p| port(p, name).unwrap_or(0)).collect()
}

fn read_readiness(app: &Value, check: &Value) -> ReadinessSpec {
    let name = text(check, "portName").unwrap_or_default();
    let ports = app.pointer(service_port_list(app).0).and_then(Value::as_array);
    let named = |p: &Value| text(p, "name").as_deref() == Some(&name);
    ReadinessSpec {
        name: text(check, "name").unwrap_or_default(),
        https: text(check, "protocol").is_some_and(|p| p == "HTTPS"),
        path: asked_path(text(check, "path")),
        port: ports.and_then(|ports| ports.iter().position(named)).unwrap_or(0),
        interval: seconds(check, "intervalSeconds", 30),
        timeout: seconds(check, "timeoutSeconds", 10),
        ready: list(check, "httpStatusCodesForReady")
            .iter()
            .filter_map(|s| u16::try_from(s.as_u64()?).ok())
            .collect(),
        preserve: flag(check, "preserveLastResponse", false),
    }
}

fn read_agent_check(check: &Value) -> Option<AgentCheck> {
    let index = |of: &Value| whole(of, "portIndex", 0) as usize;
    let kind = if let Some(http) = check.get("http") {
        AgentCheckKind::Http(port(http, "port"), index(http), asked_path(text(http, "path")))
    } else if let Some(tcp) = check.get("tcp") {
        AgentCheckKind::Tcp(port(tcp, "port"), index(tcp))
    } else {
        let command = check.get("exec")?.get("command")?;
        match text(command, "shell") {
            Some(shell) => AgentCheckKind::Shell(shell),
            None => AgentCheckKind::Argv(texts(command, "argv")),
        }
    };
    Some(AgentCheck {
        kind,
        interval: seconds(check, "intervalSeconds", 60),
        timeout: seconds(check, "timeoutSeconds", 20),
        delay: seconds(check, "delaySeconds", 15),
    })
}

pub(crate) fn read_limits(limits: Option<&Value>) -> BTreeMap<String, f64> {
    let one = |(name, value): (&String, &Value)| (name.clone(), value.as_f64().unwrap_or(f64::INFINITY));
    limits.and_then(Value::as_object).into_iter().flatten().map(one).collect()
}

/// Directories of the agent that the app sees.
fn host_volumes(container: &Value) -> Vec<(String, String, bool)> {
    let one = |v: &Value| {
        let read_only = text(v, "mode").as_deref() == Some("RO");
        Some((text(v, "hostPath")?, text(v, "containerPath")?, read_only))
    };
    list(container, "volumes").iter().filter_map(one).collect()
}

fn read_port(value: &Value) -> PortSpec {
    PortSpec {
        port: port(value, "port").unwrap_or(0),
        name: text(value, "name"),
        protocol: text(value, "protocol").unwrap_or_else(|| "tcp".into()),
        labels: map(value, "labels"),
    }
}

/// Constraints on places, and on company. One on every agent means: not two on any.
pub(crate) fn read_placement<'a>(
    parts: impl Iterator<Item = (&'a str, &'a str, Option<&'a str>)>,
    every: bool,
) -> (Vec<Constraint>, Vec<Beside>) {
    let (mut places, mut beside) = (Vec::new(), Vec::new());
    for (field, operator, value) in parts {
        if field == APP {
            beside.push(Beside::parse(operator, value));
        } else {
            places.push(Constraint::parse(field, operator, value));
        }
    }
    if every {
        places.push(Constraint::parse("@agent", "UNIQUE", None));
    }
    (places, beside)
}

pub(crate) fn read_preference(value: &Value) -> Preference {
    let part = |name: &str| value.get(name).and_then(Value::as_str);
    Preference::parse(
        part("field").unwrap_or_default(),
        part("operator").unwrap_or_default(),
        part("value"),
        whole(value, "weight", 1),
    )
}

pub(crate) fn read_fetch(value: &Value) -> FetchSpec {
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
        path: asked_path(text(value, "path")),
        port: port(value, "port"),
        port_index: value.get("portIndex").and_then(Value::as_u64).map(|at| at as usize),
        command: value.get("command").and_then(|command| text(command, "value")),
        argv: Vec::new(),
        grace: seconds(value, "gracePeriodSeconds", 300),
        interval: seconds(value, "intervalSeconds", 60),
        timeout: seconds(value, "timeoutSeconds", 20),
        delay: seconds(value, "delaySeconds", 15),
        failures_max: u32::try_from(whole(value, "maxConsecutiveFailures", 3)).unwrap_or(u32::MAX),
        ignore_1xx: flag(value, "ignoreHttp1xx", false),
    }
}

/// What a definition asks for whose machinery is not there.
pub(crate) fn unsupported(definition: &Value) -> Option<String> {
    let missing = api::marathon::missing(definition.as_object()?);
    (!missing.is_empty()).then(|| missing.join(", "))
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
