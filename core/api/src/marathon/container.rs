//! What is wrong with containers, networks, port mappings and volumes (AppValidation, NetworkValidation).

use super::{
    constraint::volume_fault,
    context::Context,
    look::{docker, doubled, filled, is_docker, items, list, number, text},
};
use serde_json::{Map, Value};

pub(super) type Add<'a> = &'a mut dyn FnMut(&str, &str);

pub(super) fn lacks(feature: &str) -> String {
    format!("Feature {feature} is not enabled. Enable with --enable_features {feature})")
}

/// Networks of an app or a pod.
pub(super) fn networks(networks: &[Value], context: &Context, add: Add<'_>) {
    let of = |mode: &str| networks.iter().filter(|n| text(n, "mode") == Some(mode)).collect::<Vec<_>>();
    let (host, bridge, container) = (of("host"), of("container/bridge"), of("container"));
    let named = |n: &&Value| filled(n, "name").is_some();
    let labelled = |n: &&Value| n.get("labels").and_then(Value::as_object).is_some_and(|l| !l.is_empty());
    if host.iter().any(|n| named(n) || labelled(n)) {
        add("/networks", "Host networks may not have names or labels");
    }
    if bridge.iter().any(named) {
        add("/networks", "Bridge networks may not have names");
    }
    let names: Vec<_> = networks.iter().filter_map(|n| text(n, "name")).collect();
    if doubled(&names) || container.iter().filter(|n| !named(n)).count() > 1 {
        add("/networks", "Duplicate networks are not allowed");
    }
    let kinds = [!host.is_empty(), !bridge.is_empty(), !container.is_empty()];
    if kinds.into_iter().filter(|there| *there).count() > 1 || host.len() > 1 || bridge.len() > 1 {
        add(
            "/networks",
            "May specify a single host network, single bridge network, or else 1-to-n container networks",
        );
    }
    if context.network.is_none() && container.iter().any(|n| !named(n)) {
        add("/networks", "Network name must be specified when container network is selected.");
    }
}

/// The container of an app.
pub(super) fn container(app: &Map<String, Value>, context: &Context, add: Add<'_>) {
    let Some(container) = app.get("container") else { return };
    let networks = items(app, "networks");
    mappings(list(Some(container), "portMappings"), networks, add);
    let image = docker(Some(container));
    let empty = image.is_some_and(|d| filled(d, "image").is_none());
    if empty {
        add("/container/docker/image", "must not be empty");
    }
    let pull = image.and_then(|d| d.get("pullConfig"));
    if is_docker(Some(container)) {
        if image.is_none() {
            add("/container/docker", "not defined");
        }
        if pull.is_some() {
            add("/container/docker/pullConfig", "pullConfig is not supported with Docker containerizer");
        }
        if networks.iter().filter(|n| text(n, "mode") == Some("container")).count() > 1 {
            add("/", "may only specify a single container network when using the Docker container engine");
        }
    } else if let Some(pull) = pull {
        if !context.has("secrets") {
            add("/container/docker/pullConfig", &lacks("secrets"));
        }
        if !knows_secret(app, text(pull, "secret")) {
            add("/container/docker/pullConfig", "pullConfig.secret must refer to an existing secret");
        }
    }
    volumes(app, list(Some(container), "volumes"), context, add);
    linux(container.get("linuxInfo"), "/container/linuxInfo", true, add);
}

fn knows_secret(app: &Map<String, Value>, name: Option<&str>) -> bool {
    let secrets = app.get("secrets").and_then(Value::as_object);
    name.is_some_and(|name| secrets.is_some_and(|secrets| secrets.contains_key(name)))
}

fn mappings(mappings: &[Value], networks: &[Value], add: Add<'_>) {
    let names: Vec<_> = mappings.iter().filter_map(|m| text(m, "name")).collect();
    if doubled(&names) {
        add("/container/portMappings", "Port names must be unique.");
    }
    let known: Vec<_> = networks.iter().filter_map(|n| text(n, "name")).collect();
    let several = networks.iter().filter(|n| text(n, "mode") == Some("container")).count() > 1;
    for (i, mapping) in mappings.iter().enumerate() {
        let path = format!("/container/portMappings({i})");
        let on = list(Some(mapping), "networkNames");
        if several && mapping.get("hostPort").is_some() && on.len() != 1 {
            add(
                &path,
                "networkNames must be a single item list when hostPort is specified and more than 1 container network \
                 is defined",
            );
        }
        for (j, name) in on.iter().enumerate() {
            if !known.iter().any(|k| Some(*k) == name.as_str()) {
                add(&format!("{path}/networkNames({j})"), &format!("is not one of ({})", known.join(",")));
            }
        }
    }
}

fn volumes(app: &Map<String, Value>, volumes: &[Value], context: &Context, add: Add<'_>) {
    let names: Vec<_> = volumes.iter().filter_map(|v| filled(v.get("external")?, "name")).collect();
    if doubled(&names) {
        add("/container/volumes", "Volume names must be unique");
    }
    for (i, volume) in volumes.iter().enumerate() {
        let path = format!("/container/volumes({i})");
        if let Some(info) = volume.get("persistent") {
            persistent(volume, info, &path, add);
        } else if let Some(external) = volume.get("external") {
            self::external(app, external, context, &path, add);
        } else if volume.get("secret").is_some() {
            if !context.has("secrets") {
                add("/container/volumes", &lacks("secrets"));
            }
            if !knows_secret(app, text(volume, "secret")) {
                add(&path, "volume.secret must refer to an existing secret");
            }
        }
    }
}

fn persistent(volume: &Value, info: &Value, path: &str, add: Add<'_>) {
    let at = text(volume, "containerPath").unwrap_or_default();
    if [".", ".."].contains(&at) {
        add(&format!("{path}/containerPath"), "must not be . or ..");
    }
    if at.contains('/') {
        add(&format!("{path}/containerPath"), "value must not contain \"/\"");
    }
    if text(volume, "mode") != Some("RW") {
        add(&format!("{path}/mode"), "must be equal to RW");
    }
    persistent_info(info, &format!("{path}/persistent"), add);
}

/// Size, type and constraints of a persistent volume.
pub(super) fn persistent_info(info: &Value, path: &str, add: Add<'_>) {
    let size = number(info, "size").unwrap_or(0.0);
    if size <= 0.0 {
        add(&format!("{path}/size"), &format!("got {size}, expected more than 0"));
    }
    // disks with profiles are mounted ones (VolumeConversion)
    let usual = if text(info, "profileName").is_some() { "mount" } else { "root" };
    let kind = text(info, "type").unwrap_or(usual);
    if let Some(most) = number(info, "maxSize") {
        if kind != "mount" {
            add(path, "Only mount volumes can have maxSize");
        }
        if most <= size {
            add(path, "Max size must be larger than size");
        }
    }
    let constraints = list(Some(info), "constraints");
    if kind == "root" && !constraints.is_empty() {
        add(path, "Constraints on root volumes are not supported");
    }
    for (i, constraint) in constraints.iter().enumerate() {
        if let Some(fault) = volume_fault(constraint) {
            add(&format!("{path}/constraints({i})"), &fault);
        }
    }
}

fn external(app: &Map<String, Value>, external: &Value, context: &Context, path: &str, add: Add<'_>) {
    if !context.has("external_volumes") {
        add(path, &lacks("external_volumes"));
    }
    let instances = app.get("instances").and_then(Value::as_u64).unwrap_or(1);
    let id = app.get("id").and_then(Value::as_str).unwrap_or_default();
    if text(external, "provider") == Some("csi") {
        let mode = external
            .get("options")
            .and_then(|o| text(o.get("capability")?, "accessMode"))
            .unwrap_or_default();
        if mode.starts_with("SINGLE_NODE") && instances > 1 {
            add(
                "/instances",
                &format!("Number of instances is limited to 1 when a volume's access mode is {mode}"),
            );
        }
        return;
    }
    if filled(external, "name").is_none() {
        add(&format!("{path}/external/name"), "must not be empty");
    }
    match text(external, "provider") {
        Some("dvdi") => {
            if instances > 1 {
                add(
                    "/instances",
                    &format!("Number of instances is limited to 1 when declaring DVDI volumes in app [{id}]"),
                );
            }
            if external.get("options").and_then(|o| filled(o, "dvdi/driver")).is_none() {
                add(&format!("{path}/external/options"), "must contain dvdi/driver");
            }
        }
        Some(other) => {
            add(&format!("{path}/external/provider"), &format!("'{other}' is not one of dvdi, csi"))
        }
        None => add(&format!("{path}/external/provider"), "not defined"),
    }
}

/// Seccomp and IPC of a container, or of a pod.
pub(super) fn linux(info: Option<&Value>, path: &str, of_container: bool, add: Add<'_>) {
    let seccomp = info.and_then(|info| info.get("seccomp"));
    if let Some(seccomp) = seccomp {
        let free = seccomp.get("unconfined") == Some(&Value::Bool(true));
        if free == filled(seccomp, "profileName").is_some() {
            let text = if free {
                "Seccomp unconfined can NOT be true when Profile is defined"
            } else {
                "Seccomp profile MUST be defined when Unconfined is false"
            };
            add(&format!("{path}/seccomp"), text);
        }
    }
    if let Some(ipc) = info.and_then(|info| info.get("ipcInfo"))
        && ipc.get("shmSize").is_some()
        && (text(ipc, "mode") != Some("PRIVATE"))
        && of_container
    {
        add(&format!("{path}/ipcInfo"), "ipcInfo shmSize can NOT be set when mode is SHARE_PARENT");
    }
}
