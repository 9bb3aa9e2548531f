//! What the flags of an orchestrator mean to its machine. Never: what a setting leads to.

use crate::flags::{Refused, Values};
use base::Duration;
use orchestrator::{Config, config::Accepted};

/// The machine's settings; `hostname` and `http_port` are where this orchestrator is reached.
pub fn config(values: &Values, hostname: String, http_port: u16) -> anyhow::Result<Config> {
    let defaults = Config::default();
    let millis = |name: &str, default: Duration| values.number(name).map_or(default, Duration::from_millis);
    let port_of =
        |name: &str, default: u16| values.number(name).and_then(|n| u16::try_from(n).ok()).unwrap_or(default);
    Ok(Config {
        framework_name: values.get("framework_name").map_or(defaults.framework_name, str::to_owned),
        user: values.get("mesos_user").map_or(defaults.user, str::to_owned),
        role: values.get("mesos_role").map_or(defaults.role, str::to_owned),
        resident_role: values.get("resident_role").map(str::to_owned),
        failover_timeout: values
            .number("failover_timeout")
            .map_or(defaults.failover_timeout, Duration::from_secs),
        hostname,
        http_port,
        local_port_min: port_of("local_port_min", defaults.local_port_min),
        local_port_max: port_of("local_port_max", defaults.local_port_max),
        decline_offer_duration: millis("decline_offer_duration", defaults.decline_offer_duration),
        task_launch_timeout: millis("task_launch_timeout", defaults.task_launch_timeout),
        task_launch_confirm_timeout: millis(
            "task_launch_confirm_timeout",
            defaults.task_launch_confirm_timeout,
        ),
        webui_url: values.get("webui_url").map(str::to_owned),
        reconciliation_interval: millis("reconciliation_interval", defaults.reconciliation_interval),
        env_vars_prefix: values.get("env_vars_prefix").map(str::to_owned),
        default_network_name: values.get("default_network_name").map(str::to_owned),
        mesos_bridge_name: values.get("mesos_bridge_name").map_or(defaults.mesos_bridge_name, str::to_owned),
        features: listed(values, "enable_features").into_iter().collect(),
        new_group_enforce_role: one_of(values, "new_group_enforce_role", &["off", "top"])? == Some("top"),
        default_accepted_roles: Some(listed(values, "default_accepted_resource_roles"))
            .filter(|roles| !roles.is_empty()),
        accepted_behavior: match one_of(
            values,
            "accepted_resource_roles_default_behavior",
            &["any", "unreserved", "reserved"],
        )? {
            Some("unreserved") => Accepted::Unreserved,
            Some("reserved") => Accepted::Reserved,
            _ => Accepted::Any,
        },
        gpus_restricted: one_of(values, "gpu_scheduling_behavior", &["restricted", "unrestricted"])?
            != Some("unrestricted"),
        max_running_deployments: number_of(
            values,
            "max_running_deployments",
            defaults.max_running_deployments,
        ),
        max_apps: Some(number_of(values, "max_apps", 0)).filter(|most| *most > 0),
        ..Config::default()
    })
}

fn listed(values: &Values, name: &str) -> Vec<String> {
    let all = values.get(name).unwrap_or_default().split(',').map(str::trim);
    all.filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

fn number_of(values: &Values, name: &str, default: usize) -> usize {
    values.number(name).and_then(|n| usize::try_from(n).ok()).unwrap_or(default)
}

/// A flag that takes one of a few words.
fn one_of<'v>(values: &'v Values, name: &str, words: &[&str]) -> anyhow::Result<Option<&'v str>> {
    let given = values.get(name);
    match given {
        Some(word) if !words.contains(&word) => {
            Err(Refused(format!("--{name}={word}: must be one of {}", words.join(", "))).into())
        }
        given => Ok(given),
    }
}
