//! Pods: read, validated, brought to their normal form (PodsValidation, PodNormalization). Never what runs of them.

use super::{
    Refusal, V,
    constraint::{fault, preference_faults},
    container::{Add, lacks, linux, networks, persistent_info},
    context::Context,
    holes::without_followers,
    look::{doubled, items, list, number, text},
    normal::{name_networks, run_once},
    path::{app_id, canonical},
    pod_fields::POD,
    refused,
    shape::{self, Found, drop_empty},
    validate::{accepted_roles, limits, secrets},
};
use serde_json::{Map, Value, json};

/// A pod's fields, each by itself.
pub fn pod(fields: Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    let mut found = Found::default();
    let scales = scaling_itself(&fields);
    let read = shape::object(POD, fields, true, "/", &mut found);
    found.violations.extend(scales);
    if found.violations.is_empty() {
        return Ok(read);
    }
    let mut more = Vec::new();
    let mut pod = read;
    let context = Context::anything(&pod);
    if !pod.contains_key("role") {
        // its place and the settings say it
        found.holes.push("/role".to_owned());
    }
    complete_id(&mut pod, &context, &mut more);
    violations(&pod, &context, &mut more);
    let more = without_followers(more, &found.holes);
    Err(refused(found, more))
}

/// Unknown fields are passed over; this one would be missed.
fn scaling_itself(pod: &Map<String, Value>) -> Vec<V> {
    let there =
        |of: Option<&Value>| of.and_then(|of| of.get("autoscale")).is_some_and(|value| !value.is_null());
    let at = [
        (pod.get("autoscale").is_some_and(|value| !value.is_null()), "/autoscale"),
        (there(pod.get("scaling")), "/scaling/autoscale"),
        (there(pod.get("scheduling")), "/scheduling/autoscale"),
    ];
    let said = "pods do not scale themselves: set scaling.instances, or use an app";
    at.into_iter().filter(|(there, _)| *there).map(|(_, path)| V::new(path, said)).collect()
}

/// Brings a pod that `pod` has read to its normal form, or says all that is wrong with it.
pub fn complete_pod(mut pod: Map<String, Value>, context: &Context) -> Result<Map<String, Value>, Vec<V>> {
    let mut found = Vec::new();
    complete_id(&mut pod, context, &mut found);
    violations(&pod, context, &mut found);
    if !found.is_empty() {
        return Err(found);
    }
    normalise(&mut pod, context);
    Ok(pod)
}

fn complete_id(pod: &mut Map<String, Value>, context: &Context, found: &mut Vec<V>) {
    let id = pod.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !id.starts_with('/') {
        found.push(V::new("/id", "Path needs to be absolute"));
    }
    pod.insert("id".into(), canonical(&id, "/").into());
    let resident = persistent(pod).next().is_some();
    pod.entry("role").or_insert_with(|| context.role_of(resident).into());
}

fn persistent(pod: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    items(pod, "volumes").iter().filter(|v| v.get("persistent").is_some())
}

fn normalise(pod: &mut Map<String, Value>, context: &Context) {
    name_networks(pod, context);
    let in_mode = |mode: &str| items(pod, "networks").iter().any(|n| text(n, "mode") == Some(mode));
    let (container_mode, on_host) = (in_mode("container"), in_mode("host"));
    let resident = persistent(pod).next().is_some();
    for container in pod.get_mut("containers").and_then(Value::as_array_mut).into_iter().flatten() {
        for endpoint in container.get_mut("endpoints").and_then(Value::as_array_mut).into_iter().flatten() {
            if let (false, Value::Object(endpoint)) = (container_mode, endpoint) {
                endpoint.entry("hostPort").or_insert(json!(0));
                // taken where no network is named, as upstream does; it says nothing on the host's
                if on_host {
                    endpoint.remove("containerPort");
                }
            }
        }
    }
    if let Some(Value::Object(scheduling)) = pod.get_mut("scheduling") {
        let upgrade = if resident {
            json!({ "minimumHealthCapacity": 0.5, "maximumOverCapacity": 0 })
        } else {
            json!({ "minimumHealthCapacity": 1, "maximumOverCapacity": 1 })
        };
        scheduling.entry("upgrade").or_insert(upgrade);
        let once = run_once(scheduling);
        let waits = json!({ "inactiveAfterSeconds": 0, "expungeAfterSeconds": 0 });
        scheduling.entry("unreachableStrategy").or_insert(if resident || once {
            json!("disabled")
        } else {
            waits
        });
    }
    if pod.get("legacySharedCgroups") == Some(&Value::Bool(false)) {
        pod.remove("legacySharedCgroups");
    }
    pod.remove("version");
    drop_empty(POD, pod);
}

fn violations(pod: &Map<String, Value>, context: &Context, found: &mut Vec<V>) {
    let mut push = |path: &str, error: &str| found.push(V::new(path, error));
    let add: Add<'_> = &mut push;
    if let Some(fault) = pod.get("id").and_then(Value::as_str).and_then(app_id) {
        add("/id", &fault);
    }
    let nets = items(pod, "networks");
    networks(nets, context, add);
    if pod.get("secrets").and_then(Value::as_object).is_some_and(|s| !s.is_empty()) && !context.has("secrets")
    {
        add("/secrets", &lacks("secrets"));
    }
    secrets(pod, pod.get("environment"), "/environment", context, add);
    unique(pod, add);
    volumes(pod, context, add);
    for (i, container) in items(pod, "containers").iter().enumerate() {
        self::container(pod, container, &format!("/containers({i})"), context, add);
    }
    scheduling(pod, context, add);
    linux(pod.get("linuxInfo"), "/linuxInfo", false, add);
}

fn unique(pod: &Map<String, Value>, add: Add<'_>) {
    let containers = items(pod, "containers");
    let names: Vec<_> = containers.iter().filter_map(|c| text(c, "name")).collect();
    if doubled(&names) {
        add("/containers", "container names must be unique");
    }
    let endpoints: Vec<_> = containers.iter().flat_map(|c| list(Some(c), "endpoints")).collect();
    let names: Vec<_> = endpoints.iter().filter_map(|e| text(e, "name")).collect();
    if doubled(&names) {
        // spelt so upstream
        add("/", "endpoint names nust be unique across all containers");
    }
    for (field, what) in [("hostPort", "host"), ("containerPort", "container")] {
        let ports: Vec<_> =
            endpoints.iter().filter_map(|e| e.get(field)?.as_u64()).filter(|p| *p != 0).collect();
        if doubled(&ports) {
            add("/", &format!("{what} ports must be unique across all containers"));
        }
    }
}

fn volumes(pod: &Map<String, Value>, context: &Context, add: Add<'_>) {
    let all = items(pod, "volumes");
    let names: Vec<_> = all.iter().filter_map(|v| text(v, "name")).collect();
    if doubled(&names) {
        add("/volumes", "volume names must be unique");
    }
    let mounts: Vec<_> =
        items(pod, "containers").iter().flat_map(|c| list(Some(c), "volumeMounts")).collect();
    for (i, volume) in all.iter().enumerate() {
        let path = format!("/volumes({i})");
        if !mounts.iter().any(|m| m.get("name") == volume.get("name")) {
            add(&path, "volume must be referenced by at least one container");
        }
        if let Some(info) = volume.get("persistent") {
            persistent_info(info, &format!("{path}/persistent"), add);
        }
        if let Some(secret) = text(volume, "secret") {
            if !context.has("secrets") {
                add("/volumes", &lacks("secrets"));
            }
            if pod.get("secrets").is_none_or(|known| known.get(secret).is_none()) {
                add(&format!("{path}/secret"), "volume.secret must refer to an existing secret");
            }
        }
    }
}

fn container(pod: &Map<String, Value>, container: &Value, path: &str, context: &Context, add: Add<'_>) {
    let nets = items(pod, "networks");
    let in_mode = |mode: &str| nets.iter().filter(|n| text(n, "mode") == Some(mode)).count();
    let endpoints = list(Some(container), "endpoints");
    for (i, endpoint) in endpoints.iter().enumerate() {
        let at = format!("{path}/endpoints({i})");
        let port = endpoint.get("containerPort").is_some();
        if port && in_mode("host") > 0 {
            add(&format!("{at}/containerPort"), "is not allowed when using host-mode networking");
        }
        if !port && in_mode("container") > 0 {
            add(&format!("{at}/containerPort"), "is required when using container-mode networking");
        }
        if doubled(list(Some(endpoint), "protocol")) {
            add(&format!("{at}/protocol"), "Duplicate protocols within the same endpoint are not allowed");
        }
        let on = list(Some(endpoint), "networkNames");
        if in_mode("container") > 1 && endpoint.get("hostPort").is_some() && on.len() != 1 {
            add(
                &at,
                "networkNames must be a single item list when hostPort is specified and more than 1 container network \
                 is defined",
            );
        }
        let known: Vec<_> = nets.iter().filter_map(|n| text(n, "name")).collect();
        if on.iter().any(|name| !known.iter().any(|k| Some(*k) == name.as_str())) {
            add(&format!("{at}/networkNames"), &format!("is not one of ({})", known.join(",")));
        }
    }
    for kind in ["healthCheck", "check"] {
        if let Some(check) = container.get(kind) {
            self::check(check, endpoints, &format!("{path}/{kind}"), kind == "healthCheck", add);
        }
    }
    for (i, mount) in list(Some(container), "volumeMounts").iter().enumerate() {
        if !items(pod, "volumes").iter().any(|v| v.get("name") == mount.get("name")) {
            add(&format!("{path}/volumeMounts({i})/name"), "Referenced Volume in VolumeMount should exist");
        }
    }
    if let Some(pull) = container.get("image").and_then(|image| image.get("pullConfig")) {
        if !context.has("secrets") {
            add(&format!("{path}/image/pullConfig"), &lacks("secrets"));
        }
        let known = pod.get("secrets").and_then(|known| known.get(text(pull, "secret").unwrap_or_default()));
        if known.is_none() {
            add(&format!("{path}/image/pullConfig"), "pullConfig.secret must refer to an existing secret");
        }
    }
    secrets(pod, container.get("environment"), &format!("{path}/environment"), context, add);
    let requested = container.get("resources").and_then(Value::as_object).cloned().unwrap_or_default();
    limits(container.get("resourceLimits"), &requested, &format!("{path}/resourceLimits"), add);
    let shared = pod.get("legacySharedCgroups") == Some(&Value::Bool(true));
    if shared && container.get("resourceLimits").is_some() {
        add(
            &format!("{path}/resourceLimits"),
            "resourceLimits cannot be defined if legacySharedCgroups is enabled",
        );
    }
    linux(container.get("linuxInfo"), &format!("{path}/linuxInfo"), true, add);
}

fn check(check: &Value, endpoints: &[Value], path: &str, of_health: bool, add: Add<'_>) {
    if ["http", "tcp", "exec"].into_iter().filter(|kind| check.get(kind).is_some()).count() != 1 {
        add(path, "Only one of http, tcp, or command may be specified");
    }
    for kind in ["http", "tcp"] {
        let Some(name) = check.get(kind).and_then(|c| text(c, "endpoint")) else { continue };
        if !endpoints.iter().any(|e| text(e, "name") == Some(name)) {
            add(&format!("{path}/{kind}/endpoint"), "contained in the container endpoints");
        }
    }
    let (timeout, interval) =
        (number(check, "timeoutSeconds").unwrap_or(0.0), number(check, "intervalSeconds").unwrap_or(0.0));
    if of_health && timeout >= interval {
        add(&format!("{path}/timeoutSeconds"), &format!("got {timeout}, expected less than {interval}"));
    }
}

fn scheduling(pod: &Map<String, Value>, context: &Context, add: Add<'_>) {
    let none = Value::Null;
    let scheduling = pod.get("scheduling").unwrap_or(&none);
    let role = pod.get("role").and_then(Value::as_str).unwrap_or_default();
    if !context.roles.contains(role) {
        let known: Vec<_> = context.roles.iter().map(String::as_str).collect();
        add("/role", &format!("got {role}, expected one of: {}", known.join(", ")));
    }
    for (i, constraint) in list(scheduling.get("placement"), "constraints").iter().enumerate() {
        let part = |name| text(constraint, name);
        if let Some(fault) =
            fault(part("fieldName").unwrap_or_default(), part("operator").unwrap_or_default(), part("value"))
        {
            add(&format!("/scheduling/placement/constraints({i})"), &fault);
        }
    }
    for (i, fault) in preference_faults(list(scheduling.get("placement"), "preferences")) {
        add(&format!("/scheduling/placement/preferences({i})"), &fault);
    }
    let accepted = list(scheduling.get("placement"), "acceptedResourceRoles");
    if !accepted.is_empty() {
        accepted_roles(accepted, role, "/acceptedResourceRoles", add);
    }
    if let Some(Value::Object(strategy)) = scheduling.get("unreachableStrategy") {
        let seconds = |name: &str| strategy.get(name).and_then(Value::as_f64).unwrap_or_default();
        if seconds("inactiveAfterSeconds") > seconds("expungeAfterSeconds") {
            add(
                "/scheduling/unreachableStrategy",
                "inactiveAfterSeconds must be less or equal to expungeAfterSeconds",
            );
        }
    }
    if persistent(pod).next().is_none() {
        return;
    }
    if scheduling.get("unreachableStrategy").is_some_and(Value::is_object) {
        add("/", "unreachableStrategy must be disabled for pods with persistent volumes");
    }
    if scheduling.get("upgrade").and_then(|u| number(u, "maximumOverCapacity")).is_some_and(|n| n != 0.0) {
        add("/upgrade/maximumOverCapacity", "must be 0 for a pod with persistent volumes");
    }
    if role == "*" {
        add("/role", "Resident pods cannot have the role *");
    }
}

/// What may not change from one version of a resident pod to the next.
pub fn violations_between_pods(old: &Value, new: &Value) -> Vec<V> {
    let mut found = Vec::new();
    let none = Map::new();
    let (old, new) = (old.as_object().unwrap_or(&none), new.as_object().unwrap_or(&none));
    let volumes = |pod| -> Vec<Value> { persistent(pod).cloned().collect() };
    if volumes(old).is_empty() {
        return found;
    }
    if volumes(old) != volumes(new) {
        found.push(V::new("/", "persistent volumes cannot be updated"));
    }
    let sum = |pod, name: &str| -> f64 {
        items(pod, "containers").iter().filter_map(|c| number(c.get("resources")?, name)).sum()
    };
    for name in ["cpus", "mem", "disk", "gpus"] {
        if sum(old, name) != sum(new, name) {
            found.push(V::new("/", format!("{name} cannot be updated if a pod has persistent volumes")));
        }
    }
    let ports = |pod| -> Vec<Value> {
        let endpoints = items(pod, "containers").iter().flat_map(|c| list(Some(c), "endpoints"));
        endpoints.filter_map(|e| e.get("hostPort").cloned()).collect()
    };
    if ports(old) != ports(new) {
        found.push(V::new("/", "host ports cannot be updated if a pod has persistent volumes"));
    }
    found
}
