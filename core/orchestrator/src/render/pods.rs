//! Pods as clients see them: `::status` and single instances (PodStatusConversion). Read-only.

use crate::{
    Orchestrator,
    instances::{Condition, Instance},
    parts::Part,
    plan::Kind,
    pod::EndpointSpec,
    scaling::Phase,
    when,
};
use base::Time;
use serde_json::{Value, json};

impl Orchestrator {
    /// `::status` of a pod.
    pub fn pod_status(&self, id: &str, now: Time) -> Option<Value> {
        let state = self.pod(id)?;
        let instances: Vec<Value> = self.instances_of(id).map(|i| self.pod_instance(i, &state.app)).collect();
        let stable = instances.iter().filter(|instance| instance["status"] == "STABLE").count() as u64;
        let wanted = self.wanted(&state.spec, instances.len() as u64);
        let status = if stable >= wanted { "STABLE" } else { "DEGRADED" };
        let mut said = status_of(id, &state.app, status, instances, now);
        if let Some(run) = self.run_info(&state.spec) {
            said["terminationHistory"] = self.termination_history(&state.spec).into();
            said["run"] = run;
        }
        Some(said)
    }

    /// `::status` of all pods, with those that are just being ended.
    pub fn pod_statuses(&self, now: Time) -> Vec<Value> {
        let mut all: Vec<Value> = self.pods().filter_map(|(id, _)| self.pod_status(id, now)).collect();
        for deployment in self.deployments() {
            for (id, original) in &deployment.original {
                let ending = self.phase(id) == Phase::Active(deployment.id.clone(), Kind::StopApplication);
                if let Some(pod) = original.as_ref().filter(|app| ending && app.get("containers").is_some()) {
                    let instances = self.instances_of(id).map(|i| self.pod_instance(i, pod)).collect();
                    all.push(status_of(id, pod, "TERMINAL", instances, now));
                }
            }
        }
        all
    }

    fn is_checked(&self, instance: &Instance) -> bool {
        self.spec_of(instance).is_some_and(|spec| !spec.checks.is_empty())
    }

    fn pod_instance(&self, instance: &Instance, pod: &Value) -> Value {
        let (status, message) = match instance.condition {
            _ if instance.ending => ("TERMINAL", None),
            Condition::Provisioned => ("PENDING", None),
            Condition::Staging | Condition::Starting => ("STAGING", None),
            // a container whose health nobody has reported yet is not healthy
            Condition::Running if instance.healthy != Some(true) && self.is_checked(instance) => {
                ("DEGRADED", Some("at least one container is not healthy"))
            }
            Condition::Running => ("STABLE", None),
            Condition::Unreachable | Condition::UnreachableInactive => {
                ("DEGRADED", Some("pod instance has become unreachable"))
            }
            Condition::Killing => ("TERMINAL", None),
            Condition::Suspended => ("PENDING", Some("waits for offers with its persistent volumes")),
        };
        let since = when(instance.started_at.unwrap_or(instance.staged_at));
        let containers = self.containers(instance);
        let sum = |name: &str| -> f64 {
            let each = containers.iter().filter_map(|c| c["resources"][name].as_f64());
            each.fold(pod["executorResources"][name].as_f64().unwrap_or(0.0), |sum, one| sum + one)
        };
        let networks = match instance.addresses.as_slice() {
            [] => json!([]),
            addresses => json!([{ "addresses": addresses }]),
        };
        let mut said = json!({
            "id": instance.id, "status": status, "statusSince": since, "agentId": instance.agent,
            "agentHostname": instance.host, "networks": networks, "containers": containers,
            "localVolumes": instance.volumes.iter().map(|v| v.shown(&instance.app)).collect::<Vec<_>>(),
            "resources": { "cpus": sum("cpus"), "mem": sum("mem"), "disk": sum("disk"), "gpus": sum("gpus") },
            "specReference": format!("/v2/pods{}::versions/{}", instance.app, instance.version),
            "lastUpdated": since, "lastChanged": since, "role": instance.role,
        });
        for (name, value) in [
            ("agentRegion", instance.region.as_deref()),
            ("agentZone", instance.zone.as_deref()),
            ("message", message),
        ] {
            if let Some(value) = value {
                said[name] = value.into();
            }
        }
        said
    }

    /// Each container with its endpoints and health.
    fn containers(&self, instance: &Instance) -> Vec<Value> {
        let spec = self.spec_of(instance);
        let pod = spec.as_ref().and_then(|spec| spec.pod.as_ref());
        let mut ports = instance.ports.iter().enumerate();
        let one = |part: &Part| {
            let end = part.end.as_ref();
            let since = when(end.map(|end| end.at).or(part.started_at).unwrap_or(instance.staged_at));
            let state = part.ended.as_deref().map_or(part.condition.task_state().to_owned(), |end| {
                format!("TASK_{}", end.to_ascii_uppercase())
            });
            let container = pod.and_then(|pod| pod.containers.iter().find(|c| c.name == part.container));
            let health = container.and_then(|container| container.health.as_ref());
            let mut endpoint = |endpoint: &EndpointSpec| {
                let mut said = json!({ "name": endpoint.name });
                if let Some((at, port)) = endpoint.host_port.and_then(|_| ports.next()) {
                    said["allocatedHostPort"] = (*port).into();
                    // the one that its check asks
                    if let Some(healthy) =
                        part.healthy.filter(|_| health.is_some_and(|h| h.port_index == Some(at)))
                    {
                        said["healthy"] = healthy.into();
                    }
                }
                said
            };
            let mut endpoints: Vec<_> =
                container.into_iter().flat_map(|c| &c.endpoints).map(&mut endpoint).collect();
            if part.ended.is_some() {
                endpoints.clear();
            }
            let running = part.ended.is_none() && part.condition >= Condition::Running;
            let conditions: Vec<_> = health
                .filter(|_| running)
                .map(|_| {
                    let reported = if part.healthy.is_some() { "health-reported-by-mesos" } else { "health-unreported-by-mesos" };
                    json!({ "name": "healthy", "value": part.healthy.unwrap_or(false).to_string(), "reason": reported,
                        "lastChanged": since, "lastUpdated": since })
                })
                .into_iter()
                .collect();
            let amount = |name: &str| {
                let all = container.into_iter().flat_map(|c| &c.amounts);
                // an empty sum of floats is -0
                all.filter(|(of, _)| *of == name).fold(0.0, |sum, (_, amount)| sum + amount)
            };
            let mut said = json!({
                "name": part.container, "status": state, "statusSince": since, "endpoints": endpoints,
                "conditions": conditions, "lastUpdated": since, "lastChanged": since,
            });
            if part.ended.is_none() || instance.is_resident() {
                said["resources"] = json!({
                    "cpus": amount("cpus"), "mem": amount("mem"), "disk": amount("disk"), "gpus": amount("gpus"),
                });
            }
            if let Some(end) = end {
                said["termination"] = termination(&end.message);
            }
            if let Some(id) = &part.container_id {
                said["containerId"] = id.clone().into();
            }
            said
        };
        instance.parts.iter().map(one).collect()
    }

    /// An instance as the answer to its end shows it.
    pub(crate) fn instance_info(&self, instance: &Instance) -> Value {
        let unreachable = self.spec_of(instance).and_then(|spec| spec.unreachable);
        let strategy = unreachable.map_or(json!("disabled"), |(inactive, expunge)| {
            json!({ "inactiveAfterSeconds": inactive.as_secs(), "expungeAfterSeconds": expunge.as_secs() })
        });
        let mut state = json!({
            "condition": instance.condition.as_str(), "since": when(instance.started_at.unwrap_or(instance.staged_at)),
            "goal": goal(instance),
        });
        if let Some(at) = instance.started_at {
            state["activeSince"] = when(at).into();
        }
        if let Some(healthy) = instance.healthy {
            state["healthy"] = healthy.into();
        }
        let mut agent = json!({ "host": instance.host, "agentId": instance.agent, "attributes": [] });
        for (name, value) in [("region", &instance.region), ("zone", &instance.zone)] {
            if let Some(value) = value {
                agent[name] = value.clone().into();
            }
        }
        json!({
            "instanceId": instance.id, "state": state, "agentInfo": agent, "runSpecVersion": instance.version,
            "unreachableStrategy": strategy,
        })
    }
}

/// How a container ended; Marathon leaves it out.
fn termination(message: &str) -> Value {
    let mut said = json!({ "message": message });
    let status =
        message.strip_prefix("Command exited with status ").and_then(|status| status.parse::<i32>().ok());
    if let Some(status) = status {
        said["exitCode"] = status.into();
    }
    said
}

/// What is to become of an instance (Goal).
fn goal(instance: &Instance) -> &'static str {
    match instance.ending || instance.rests() {
        true if instance.is_resident() && !instance.wipe => "Stopped",
        true => "Decommissioned",
        false => "Running",
    }
}

fn status_of(id: &str, pod: &Value, status: &str, instances: Vec<Value>, now: Time) -> Value {
    let now = when(now.as_millis());
    let since = instances.iter().filter_map(|instance| instance["statusSince"].as_str()).max();
    let since = since.map_or_else(|| now.clone(), str::to_owned);
    json!({
        "id": id, "spec": crate::commands::shown(pod), "status": status, "statusSince": since, "instances": instances,
        "terminationHistory": [], "lastUpdated": now, "lastChanged": since,
    })
}
