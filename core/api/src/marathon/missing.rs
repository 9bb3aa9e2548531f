//! What a definition asks for whose machinery is not there yet: it is taken and kept, and can't be launched. Pure; never
//! refuses anything itself.

use super::look::{items, list, text};
use serde_json::{Map, Value};

/// What an app or a pod asks for that can't be run here yet, each by its name.
pub fn missing(definition: &Map<String, Value>) -> Vec<&'static str> {
    let all = if definition.contains_key("containers") { of_pod(definition) } else { of_app(definition) };
    all.into_iter().filter(|(asked, _)| *asked).map(|(_, what)| what).collect()
}

const IMAGES: &str = "container images";
const EXTERNAL: &str = "external volumes";
const SECRET_VOLUMES: &str = "volumes of secrets";
const SECRETS: &str = "secrets in the environment";
const NETWORKS: &str = "networks other than the host's";
const SECCOMP: &str = "seccomp profiles";
const IPC: &str = "IPC settings";
const PROFILES: &str = "volumes of type root with a profile";
/// Mesos' CheckInfo has no scheme: it would be asked without TLS.
const TLS_CHECKS: &str = "a 'check' over HTTPS (a health check may be)";

fn there(of: &Value, name: &str) -> bool {
    of.get(name).is_some_and(|value| !value.is_null())
}

/// Disks of an agent's own have none.
fn profiled_root(volumes: &[Value]) -> bool {
    let info = |volume: &Value| volume.get("persistent").cloned().unwrap_or_default();
    volumes.iter().map(info).any(|info| text(&info, "type") == Some("root") && there(&info, "profileName"))
}

fn off_host(of: &Map<String, Value>) -> bool {
    items(of, "networks").iter().any(|n| text(n, "mode").is_some_and(|m| !m.eq_ignore_ascii_case("host")))
}

fn has_secrets(environment: Option<&Value>) -> bool {
    environment.and_then(Value::as_object).is_some_and(|env| env.values().any(Value::is_object))
}

fn linux(of: Option<&Value>, name: &str) -> bool {
    of.and_then(|of| of.get("linuxInfo")).is_some_and(|linux| there(linux, name))
}

fn by_tls(of: Option<&Value>) -> bool {
    let http = of.and_then(|of| of.get("check")?.get("http"));
    http.and_then(|http| text(http, "scheme")).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
}

fn of_app(app: &Map<String, Value>) -> Vec<(bool, &'static str)> {
    let container = app.get("container");
    let volumes = list(container, "volumes");
    let volume = |name: &str| volumes.iter().any(|volume| there(volume, name));
    let is_docker = container.and_then(|c| text(c, "type")) == Some("DOCKER");
    let executor = app.get("executor").and_then(Value::as_str);
    let scheme = app.get("check").and_then(|check| text(check.get("http")?, "scheme"));
    vec![
        (container.is_some_and(|c| there(c, "docker")), IMAGES),
        (volume("external"), EXTERNAL),
        (volume("secret"), SECRET_VOLUMES),
        (volume("hostPath") && is_docker, "volumes of the host in a Docker container"),
        (profiled_root(volumes), PROFILES),
        (linux(container, "seccomp"), SECCOMP),
        (linux(container, "ipcInfo"), IPC),
        (off_host(app), NETWORKS),
        (has_secrets(app.get("env")), SECRETS),
        (executor.is_some_and(|e| !e.is_empty() && !e.starts_with("//cmd")), "custom executors"),
        (scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")), TLS_CHECKS),
    ]
}

fn of_pod(pod: &Map<String, Value>) -> Vec<(bool, &'static str)> {
    let containers = items(pod, "containers");
    let any = |is: &dyn Fn(&Value) -> bool| containers.iter().any(is);
    let volume = |name: &str| items(pod, "volumes").iter().any(|volume| there(volume, name));
    let whole = |name: &str| pod.get("linuxInfo").is_some_and(|linux| there(linux, name));
    vec![
        (any(&|c| there(c, "image")), IMAGES),
        (volume("secret"), SECRET_VOLUMES),
        (profiled_root(items(pod, "volumes")), PROFILES),
        (off_host(pod), NETWORKS),
        (has_secrets(pod.get("environment")) || any(&|c| has_secrets(c.get("environment"))), SECRETS),
        (whole("seccomp") || any(&|c| linux(Some(c), "seccomp")), SECCOMP),
        (whole("ipcInfo") || any(&|c| linux(Some(c), "ipcInfo")), IPC),
        (any(&|c| !there(c, "exec")), "containers without a command"),
        (any(&|c| by_tls(Some(c))), TLS_CHECKS),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_missing_is_named_and_nothing_else() {
        let of = |value: Value| missing(value.as_object().unwrap());
        let run = json!({ "command": { "shell": "x" } });
        for (definition, expected) in [
            (json!({ "cmd": "x", "networks": [{ "mode": "host" }], "executor": "//cmd" }), vec![]),
            (json!({ "container": { "type": "DOCKER", "docker": { "image": "i" } } }), vec![IMAGES]),
            (json!({ "container": { "type": "MESOS", "docker": null, "linuxInfo": {} } }), vec![]),
            (
                json!({ "container": { "linuxInfo": { "seccomp": {}, "ipcInfo": {} },
                    "volumes": [{ "secret": "s" }, { "external": {} }] } }),
                vec![EXTERNAL, SECRET_VOLUMES, SECCOMP, IPC],
            ),
            (
                json!({ "env": { "A": "b", "S": { "secret": "s" } }, "executor": "/x" }),
                vec![SECRETS, "custom executors"],
            ),
            (json!({ "check": { "http": { "scheme": "https" } } }), vec![TLS_CHECKS]),
            (
                json!({ "container": { "volumes": [{ "persistent": { "type": "root", "profileName": "p" } }] } }),
                vec![PROFILES],
            ),
            (
                json!({ "container": { "volumes": [{ "persistent": { "size": 1, "profileName": "p" } }] } }),
                vec![],
            ),
            (json!({ "healthChecks": [{ "protocol": "MESOS_HTTPS" }], "check": { "http": {} } }), vec![]),
            (json!({ "containers": [{ "exec": run, "linuxInfo": {} }], "linuxInfo": {} }), vec![]),
            (
                json!({ "containers": [{ "image": {}, "check": { "http": { "scheme": "HTTPS" } } }],
                    "networks": [{ "mode": "container" }], "volumes": [{ "secret": "s" }],
                    "linuxInfo": { "ipcInfo": {} } }),
                vec![IMAGES, SECRET_VOLUMES, NETWORKS, IPC, "containers without a command", TLS_CHECKS],
            ),
            (
                json!({ "containers": [{ "exec": run, "environment": { "A": { "secret": "s" } },
                    "linuxInfo": { "seccomp": {} } }] }),
                vec![SECRETS, SECCOMP],
            ),
        ] {
            assert_eq!(of(definition.clone()), expected, "{definition}");
        }
    }
}
