//! Older forms of an app: which may stand together, and what they become. Ends in 1.11's fields.
//!
//! Order and meaning: mesosphere/marathon@90619da70:src/main/scala/mesosphere/marathon/api/v2/AppNormalization.scala.

use super::{
    context::Context,
    errors::Violation,
    look::{docker, doubled, has_persistent, is_docker, items, list, off_host, text},
};
use serde_json::{Map, Value, json};

/// Archives that the old `uris` unpack by their name.
const ARCHIVES: [&str; 7] = [".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".zip"];

/// What is wrong with old forms, by themselves and beside new ones.
pub(super) fn violations(app: &Map<String, Value>, found: &mut Vec<Violation>) {
    let mut add = |path: &str, error: &str| found.push(Violation::new(path, error));
    let container = app.get("container");
    let (networks, ip) = (items(app, "networks"), app.get("ipAddress"));
    if let Some(docker) = docker(container) {
        let mut refuse = |field: &str| add(&format!("/container/docker/{field}"), "must be empty");
        if docker.get("credential").is_some() {
            refuse("credential");
        }
        if !is_docker(container) {
            let filled = |field: &str| !list(Some(docker), field).is_empty();
            let all = ["parameters", "portMappings"];
            all.into_iter().filter(|field| filled(field)).for_each(&mut refuse);
            docker.get("network").is_some().then(|| refuse("network"));
        }
        let network = text(docker, "network");
        if network == Some("NONE") {
            add("/container/docker/network", "unsupported docker network type NONE");
        }
        if network.is_some() && !networks.is_empty() {
            add("/", "must not specify both container.docker.network and networks");
        }
        if !list(container, "portMappings").is_empty() && !list(Some(docker), "portMappings").is_empty() {
            add("/container", "cannot specify both portMappings and docker.portMappings");
        }
    }
    let discovered = list(ip.and_then(|ip| ip.get("discovery")), "ports");
    if is_docker(container) && ip.is_some_and(|ip| ip.get("discovery").is_some()) {
        add("/ipAddress", "ipAddress/discovery is not allowed for Docker containers");
    } else if !discovered.is_empty() && !list(container, "portMappings").is_empty() {
        add("/container", "container.portMappings and ipAddress.discovery.ports must not both be set");
    }
    if ip.is_some() && !networks.is_empty() {
        add("/", "must not specify both networks and ipAddress");
    }
    if !items(app, "uris").is_empty() && !items(app, "fetch").is_empty() {
        add("/uris", "may not be set in conjunction with fetch");
    }
    let (ports, definitions) = (items(app, "ports"), items(app, "portDefinitions"));
    let fixed: Vec<_> = ports.iter().filter_map(Value::as_u64).filter(|port| *port != 0).collect();
    if doubled(&fixed) {
        add("/", "ports must be unique");
    }
    if ip.is_some() && !(ports.is_empty() && definitions.is_empty()) {
        add("/", "cannot specify both an IP address and port");
    }
    let numbers: Vec<_> = definitions.iter().filter_map(|d| d.get("port").cloned()).collect();
    if app.contains_key("ports") && app.contains_key("portDefinitions") && numbers != ports {
        add("/", "cannot specify both ports and port definitions");
    }
}

/// Translates; with `whole`, ports get the defaults of a new app.
pub(super) fn translate(app: &mut Map<String, Value>, whole: bool, context: &Context) {
    let uris = app.remove("uris");
    if let Some(Value::Array(uris)) = uris.filter(|_| items(app, "fetch").is_empty())
        && !uris.is_empty()
    {
        let fetch = uris.into_iter().map(|uri| {
            let extract = uri.as_str().is_some_and(|u| ARCHIVES.iter().any(|a| u.ends_with(a)));
            json!({ "uri": uri, "extract": extract, "executable": false, "cache": false })
        });
        app.insert("fetch".into(), fetch.collect());
    }
    let ip = app.remove("ipAddress");
    translate_networks(app, ip.as_ref(), context);
    if let Some(ports) = app.remove("ports") {
        let definition = |port: &Value| json!({ "port": port, "protocol": "tcp" });
        let definitions: Value = ports.as_array().into_iter().flatten().map(definition).collect();
        app.entry("portDefinitions").or_insert(definitions);
    }
    if ip.is_some() {
        app.entry("container").or_insert_with(|| json!({ "type": "MESOS", "volumes": [] }));
    }
    let networks = items(app, "networks").to_vec();
    let definitions = app.get("portDefinitions").and_then(Value::as_array).map(Vec::len);
    if let Some(container) = app.get_mut("container") {
        translate_mappings(container, ip.as_ref());
        if whole {
            default_mappings(container, &networks, definitions);
        }
    }
    if whole {
        if off_host(&networks) {
            app.remove("portDefinitions");
        } else {
            app.entry("portDefinitions")
                .or_insert_with(|| json!([{ "port": 0, "name": "default", "protocol": "tcp" }]));
        }
        if has_persistent(list(app.get("container"), "volumes")) {
            let stays =
                json!({ "relaunchEscalationTimeoutSeconds": 3600, "taskLostBehavior": "WAIT_FOREVER" });
            app.entry("residency").or_insert(stays);
        }
    }
    default_port_indices(app, whole);
}

fn translate_networks(app: &mut Map<String, Value>, ip: Option<&Value>, context: &Context) {
    let old = docker(app.get("container")).and_then(|d| text(d, "network")).map(str::to_owned);
    if let Some(Value::Object(docker)) = app.get_mut("container").and_then(|c| c.get_mut("docker")) {
        docker.remove("network");
    }
    if !items(app, "networks").is_empty() || (old.is_none() && ip.is_none()) {
        return;
    }
    let named = ip.and_then(|ip| text(ip, "networkName"));
    let labels = ip.and_then(|ip| ip.get("labels")).filter(|l| l.as_object().is_some_and(|l| !l.is_empty()));
    let mode = match old.as_deref() {
        Some("HOST") => "host",
        Some("BRIDGE") => "container/bridge",
        None if named == Some(&context.bridge) => "container/bridge",
        _ => "container",
    };
    let mut network = json!({ "mode": mode });
    if mode == "container"
        && let Some(name) = named
    {
        network["name"] = name.into();
    }
    if mode != "host"
        && let Some(labels) = labels
    {
        network["labels"] = labels.clone();
    }
    app.insert("networks".into(), json!([network]));
}

fn translate_mappings(container: &mut Value, ip: Option<&Value>) {
    let moved =
        container.get_mut("docker").and_then(Value::as_object_mut).and_then(|d| d.remove("portMappings"));
    if list(Some(container), "portMappings").is_empty()
        && let Some(moved) = moved
    {
        container["portMappings"] = moved;
    }
    let discovered = list(ip.and_then(|ip| ip.get("discovery")), "ports");
    if !discovered.is_empty() && list(Some(container), "portMappings").is_empty() {
        let mapping = |port: &Value| {
            json!({ "containerPort": port["number"], "name": port["name"], "protocol": port["protocol"],
                "labels": port["labels"], "servicePort": 0 })
        };
        container["portMappings"] = discovered.iter().map(mapping).collect();
    }
}

/// Off the host's network there are mappings, as many as ports were declared; on it there are none.
fn default_mappings(container: &mut Value, networks: &[Value], definitions: Option<usize>) {
    if !off_host(networks) {
        if let Some(container) = container.as_object_mut() {
            container.remove("portMappings");
        }
        return;
    }
    let empty = || json!({ "containerPort": 0, "labels": {}, "protocol": "tcp", "servicePort": 0 });
    if container.get("portMappings").is_none() {
        let mut first = empty();
        first["name"] = "default".into();
        container["portMappings"] = json!([first]);
    }
    let have = list(Some(container), "portMappings").len();
    if let Some(Value::Array(mappings)) = container.get_mut("portMappings") {
        mappings.extend((have..definitions.unwrap_or(0)).map(|_| empty()));
    }
}

/// Checks without a port ask the first; those of a new app only where it declares ports.
fn default_port_indices(app: &mut Map<String, Value>, whole: bool) {
    let declared =
        !items(app, "portDefinitions").is_empty() || !list(app.get("container"), "portMappings").is_empty();
    if whole && !declared {
        return;
    }
    for check in app.get_mut("healthChecks").and_then(Value::as_array_mut).into_iter().flatten() {
        let asks = text(check, "protocol") != Some("COMMAND") && check.get("command").is_none();
        if asks && check.get("port").is_none() && check.get("portIndex").is_none() {
            check["portIndex"] = 0.into();
        }
    }
}
