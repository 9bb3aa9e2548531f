//! What commands, containers, checks and health checks must look like. Texts are upstream's
//! (src/common/validation.cpp).

use model::mesos::{
    CheckInfo, CommandInfo, ContainerInfo, HealthCheck, Secret, Volume, check_info, container_info,
    environment::variable, health_check as health, secret, volume::source,
};

/// What is wrong with a command.
pub fn command(command: &CommandInfo) -> Option<String> {
    command.environment.iter().flat_map(|e| &e.variables).find_map(|v| {
        let name = &v.name;
        match v.r#type() {
            variable::Type::Value if v.value.is_none() => {
                Some(format!("Environment variable '{name}' of type 'VALUE' must have a value set"))
            }
            variable::Type::Value if v.secret.is_some() => {
                Some(format!("Environment variable '{name}' of type 'VALUE' must not have a secret set"))
            }
            variable::Type::Secret if v.secret.is_none() => {
                Some(format!("Environment variable '{name}' of type 'SECRET' must have a secret set"))
            }
            variable::Type::Secret if v.value.is_some() => {
                Some(format!("Environment variable '{name}' of type 'SECRET' must not have a value set"))
            }
            variable::Type::Secret => {
                let secret = v.secret.as_ref()?;
                let data = secret.value.as_ref().map(|value| &value.data);
                match secret_fault(secret) {
                    Some(why) => {
                        Some(format!("Environment variable '{name}' specifies an invalid secret: {why}"))
                    }
                    None if data.is_some_and(|data| data.contains(&0)) => Some(format!(
                        "Environment variable '{name}' specifies a secret containing null bytes, which is not \
                         allowed in the environment"
                    )),
                    None => None,
                }
            }
            variable::Type::Unknown => {
                Some("Environment variable of type 'UNKNOWN' is not allowed".to_owned())
            }
            _ => None,
        }
    })
}

fn secret_fault(secret: &Secret) -> Option<String> {
    let text = match secret.r#type() {
        secret::Type::Reference => match (&secret.reference, &secret.value) {
            (None, _) => "Secret of type REFERENCE must have the 'reference' field set",
            (Some(reference), Some(_)) => {
                return Some(format!(
                    "Secret '{}' of type REFERENCE must not have the 'value' field set",
                    reference.name
                ));
            }
            (Some(_), None) => return None,
        },
        secret::Type::Value if secret.value.is_none() => {
            "Secret of type VALUE must have the 'value' field set"
        }
        secret::Type::Value if secret.reference.is_some() => {
            "Secret of type VALUE must not have the 'reference' field set"
        }
        secret::Type::Value | secret::Type::Unknown => return None,
    };
    Some(text.to_owned())
}

/// What is wrong with a container.
pub fn container(container: &ContainerInfo) -> Option<String> {
    if let Some(fault) = container.volumes.iter().find_map(volume) {
        return Some(format!("Invalid volume: {fault}"));
    }
    if container.r#type() != container_info::Type::Docker {
        return None;
    }
    let Some(docker) = &container.docker else {
        return Some("DockerInfo 'docker' is not set for DOCKER typed ContainerInfo".to_owned());
    };
    let named = docker.parameters.iter().any(|p| p.key == "name");
    named.then(|| "Parameter in DockerInfo must not be 'name'".to_owned())
}

fn volume(volume: &Volume) -> Option<String> {
    let given = [volume.host_path.is_some(), volume.image.is_some(), volume.source.is_some()];
    if given.iter().filter(|set| **set).count() != 1 {
        return Some("Only one of them should be set: 'host_path', 'image' and 'source'".to_owned());
    }
    let source = volume.source.as_ref()?;
    let unset = |field: &str, kind: &str| Some(format!("'source.{field}' is not set for {kind} volume"));
    match source.r#type() {
        source::Type::DockerVolume if source.docker_volume.is_none() => {
            unset("docker_volume", "DOCKER_VOLUME")
        }
        source::Type::HostPath if source.host_path.is_none() => unset("host_path", "HOST_PATH"),
        source::Type::SandboxPath if source.sandbox_path.is_none() => unset("sandbox_path", "SANDBOX_PATH"),
        source::Type::Secret if source.secret.is_none() => unset("secret", "SECRET"),
        source::Type::CsiVolume => match &source.csi_volume {
            None => unset("csi_volume", "CSI"),
            Some(csi) if csi.static_provisioning.is_none() => unset("csi_volume.static_provisioning", "CSI"),
            Some(_) => None,
        },
        source::Type::Unknown => Some("'source.type' is unknown".to_owned()),
        _ => None,
    }
}

fn program(command: &CommandInfo) -> &'static str {
    if command.shell() { "'shell command'" } else { "'executable path'" }
}

/// Seconds that may not be negative, by name.
fn negative(seconds: &[(&str, Option<f64>)]) -> Option<String> {
    let wrong = seconds.iter().find(|(_, given)| given.is_some_and(|s| s < 0.0));
    wrong.map(|(name, _)| format!("Expecting '{name}' to be non-negative"))
}

/// What is wrong with a health check.
pub fn health_check(check: &HealthCheck) -> Option<String> {
    if check.r#type.is_none() {
        return Some("HealthCheck must specify 'type'".to_owned());
    }
    let fault = match check.r#type() {
        health::Type::Command => match &check.command {
            None => Some("Expecting 'command' to be set for COMMAND health check".to_owned()),
            Some(run) if run.value.is_none() => {
                Some(format!("Command health check must contain {}", program(run)))
            }
            Some(run) => command(run).map(|f| format!("Health check's `CommandInfo` is invalid: {f}")),
        },
        health::Type::Http => match &check.http {
            None => Some("Expecting 'http' to be set for HTTP health check".to_owned()),
            Some(http) if http.scheme.as_deref().is_some_and(|s| s != "http" && s != "https") => {
                Some(format!("Unsupported HTTP health check scheme: '{}'", http.scheme()))
            }
            Some(http) => path(http.path.as_deref(), "HTTP health check"),
        },
        health::Type::Tcp if check.tcp.is_none() => {
            Some("Expecting 'tcp' to be set for TCP health check".to_owned())
        }
        health::Type::Tcp => None,
        health::Type::Unknown => Some("'UNKNOWN' is not a valid health check type".to_owned()),
    };
    fault.or_else(|| {
        negative(&[
            ("delay_seconds", check.delay_seconds),
            ("grace_period_seconds", check.grace_period_seconds),
            ("interval_seconds", check.interval_seconds),
            ("timeout_seconds", check.timeout_seconds),
        ])
    })
}

/// What is wrong with a check.
pub fn check(check: &CheckInfo) -> Option<String> {
    if check.r#type.is_none() {
        return Some("CheckInfo must specify 'type'".to_owned());
    }
    let fault = match check.r#type() {
        check_info::Type::Command => match &check.command {
            None => Some("Expecting 'command' to be set for COMMAND check".to_owned()),
            Some(run) if run.command.value.is_none() => {
                Some(format!("Command check must contain {}", program(&run.command)))
            }
            Some(run) => command(&run.command).map(|f| format!("Check's `CommandInfo` is invalid: {f}")),
        },
        check_info::Type::Http => match &check.http {
            None => Some("Expecting 'http' to be set for HTTP check".to_owned()),
            Some(http) => path(http.path.as_deref(), "HTTP check"),
        },
        check_info::Type::Tcp if check.tcp.is_none() => {
            Some("Expecting 'tcp' to be set for TCP check".to_owned())
        }
        check_info::Type::Tcp => None,
        check_info::Type::Unknown => Some("'UNKNOWN' is not a valid check type".to_owned()),
    };
    fault.or_else(|| {
        negative(&[
            ("delay_seconds", check.delay_seconds),
            ("interval_seconds", check.interval_seconds),
            ("timeout_seconds", check.timeout_seconds),
        ])
    })
}

fn path(path: Option<&str>, what: &str) -> Option<String> {
    let path = path.filter(|p| !p.starts_with('/'))?;
    Some(format!("The path '{path}' of {what} must start with '/'"))
}
