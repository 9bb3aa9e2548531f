//! Apps, pods and groups from files: read, warned about where a field is unknown, given to Marathon. Never: validated here.

use crate::{
    Change, Failure, Output,
    cluster::{Cluster, app_path, explain_body, pod_path},
    diff::AppChange,
    exit,
    output::{list, text},
};
use http::Method;
use serde_json::{Map, Value, json};
use std::{io::Read as _, path::PathBuf};

/// Fields of an app that Marathon knows; others are ignored by it.
const APP_FIELDS: [&str; 55] = [
    "acceptedResourceRoles",
    "args",
    "autoscale",
    "backoffFactor",
    "backoffSeconds",
    "check",
    "cmd",
    "constraints",
    "container",
    "cpus",
    "dependencies",
    "deploymentTimeoutSeconds",
    "deployments",
    "disk",
    "env",
    "everyNode",
    "executor",
    "executorResources",
    "fetch",
    "gpus",
    "healthChecks",
    "id",
    "inherited",
    "instances",
    "ipAddress",
    "killSelection",
    "labels",
    "maxFailures",
    "maxLaunchDelaySeconds",
    "mem",
    "networkBandwidth",
    "networks",
    "onFailure",
    "portDefinitions",
    "ports",
    "preferences",
    "readinessChecks",
    "requirePorts",
    "residency",
    "resourceLimits",
    "role",
    "runOnce",
    "secrets",
    "settleSeconds",
    "stagingTimeoutSeconds",
    "storeUrls",
    "taskKillGracePeriodSeconds",
    "tasks",
    "tty",
    "unreachableStrategy",
    "upgradeStrategy",
    "uris",
    "user",
    "version",
    "versionInfo",
];
const NESTED_FIELDS: [(&str, &[&str]); 4] = [
    ("upgradeStrategy", &["maximumOverCapacity", "minimumHealthCapacity"]),
    (
        "healthChecks",
        &[
            "command",
            "delaySeconds",
            "gracePeriodSeconds",
            "ignoreHttp1xx",
            "intervalSeconds",
            "ipProtocol",
            "maxConsecutiveFailures",
            "path",
            "port",
            "portIndex",
            "protocol",
            "timeoutSeconds",
        ],
    ),
    ("portDefinitions", &["labels", "name", "port", "protocol"]),
    ("fetch", &["cache", "destPath", "executable", "extract", "uri"]),
];

/// An app from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct AppFile {
    /// Where it was read.
    pub from: String,
    /// Its definition.
    pub app: Value,
}

/// What a definition in a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An app.
    App,
    /// A pod.
    Pod,
    /// A group, with all that is in it.
    Group,
}

/// What Marathon has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Its id.
    pub id: String,
    /// The deployment that makes it so.
    pub deployment: String,
    /// What it is.
    pub kind: Kind,
}

/// What files hold, each definition with the name of its file.
pub(crate) fn read_definitions(files: &[PathBuf]) -> Result<Vec<(String, Value)>, Failure> {
    let mut all = Vec::new();
    for file in files {
        let from = file.display().to_string();
        let failed = |why: String| Failure::Failed(format!("{from}: {why}"));
        let mut bytes = Vec::new();
        if from == "-" {
            std::io::stdin().read_to_end(&mut bytes).map_err(|e| failed(e.to_string()))?;
        } else {
            bytes = std::fs::read(file).map_err(|e| failed(e.to_string()))?;
        }
        let value = serde_json::from_slice(&bytes).map_err(|e| failed(format!("this is not JSON: {e}")))?;
        match value {
            Value::Array(many) => all.extend(many.into_iter().map(|one| (from.clone(), one))),
            one => all.push((from, one)),
        }
    }
    Ok(all)
}

/// Reads files with an app, a list of apps, or `{"apps": […]}` each; `-` is standard input.
pub fn read_files(files: &[PathBuf]) -> Result<Vec<AppFile>, Failure> {
    let mut apps = Vec::new();
    for (from, value) in read_definitions(files)? {
        let failed = |why: String| Failure::Failed(format!("{from}: {why}"));
        let found = match value {
            // the root itself is never replaced: what is not in the file would go
            Value::Object(mut root) if is_group(&root) && is_root(&root) => {
                if root.get("pods").is_some_and(|pods| !list(&json!({ "pods": pods }), "pods").is_empty()) {
                    return Err(failed("pods of the root group are not applied from here".to_owned()));
                }
                let mut parts = |name: &str| match root.remove(name) {
                    Some(Value::Array(items)) => items,
                    _ => Vec::new(),
                };
                let apps = parts("apps");
                apps.into_iter().chain(parts("groups").into_iter().map(as_group)).collect()
            }
            one => vec![one],
        };
        for app in found {
            if !app["id"].is_string() {
                return Err(failed("an app has no \"id\"".to_owned()));
            }
            apps.push(AppFile { from: from.clone(), app });
        }
    }
    Ok(apps)
}

/// A group in a file: it has apps, groups or pods, and nothing that would be run.
fn is_group(object: &Map<String, Value>) -> bool {
    let has = |name: &&str| object.get(*name).is_some_and(Value::is_array);
    ["apps", "groups", "pods"].iter().any(has) && !object.contains_key("cmd")
}

fn is_root(group: &Map<String, Value>) -> bool {
    group.get("id").is_none_or(|id| id.as_str().is_some_and(|id| id.trim_matches('/').is_empty()))
}

/// A group below the root is one even where nothing is in it.
fn as_group(mut group: Value) -> Value {
    if let Some(object) = group.as_object_mut() {
        object.entry("apps").or_insert_with(|| json!([]));
    }
    group
}

impl AppFile {
    /// What it is, by the fields that only one kind has.
    pub fn kind(&self) -> Kind {
        let has = |name: &str| self.app.get(name).is_some_and(Value::is_array);
        match self.app.as_object() {
            Some(object) if is_group(object) => Kind::Group,
            _ if has("containers") && self.app.get("cmd").is_none() => Kind::Pod,
            _ => Kind::App,
        }
    }
    /// Its id and what it consists of, as a group's address takes it.
    pub(crate) fn group(&self) -> (String, Value) {
        let mut body = self.app.clone();
        if let Some(object) = body.as_object_mut() {
            object.remove("id");
        }
        (text(&self.app, "id"), body)
    }
}

/// The fields of an app that Marathon does not know and will ignore, as paths.
pub fn unknown_fields(app: &Value) -> Vec<String> {
    let mut unknown: Vec<String> = strangers(app, &APP_FIELDS).map(str::to_owned).collect();
    for (field, known) in NESTED_FIELDS {
        let values = match &app[field] {
            Value::Array(items) => {
                items.iter().enumerate().map(|(i, v)| (format!("{field}[{i}]"), v)).collect()
            }
            value => vec![(field.to_owned(), value)],
        };
        for (path, value) in values {
            unknown.extend(strangers(value, known).map(|name| format!("{path}.{name}")));
        }
    }
    unknown
}

fn strangers<'v>(value: &'v Value, known: &'v [&str]) -> impl Iterator<Item = &'v str> {
    let names = value.as_object().into_iter().flat_map(|object| object.keys());
    names.map(String::as_str).filter(|name| !known.contains(name))
}

/// Creates or replaces an app, a pod or a group.
pub async fn apply(
    cluster: &Cluster,
    file: &AppFile,
    change: &Change,
    output: &Output,
) -> Result<Applied, Failure> {
    warn_of_unknown(file, output);
    let (kind, id, query) = (file.kind(), text(&file.app, "id"), change.query(&[]));
    let deployment = match kind {
        Kind::Group => {
            let (id, body) = file.group();
            let path = format!("{}{query}", crate::groups::path(&id));
            cluster.change(Method::PUT, &path, Some(&body)).await?
        }
        Kind::Pod => {
            cluster.change(Method::PUT, &format!("{}{query}", pod_path(&id)), Some(&file.app)).await?
        }
        Kind::App => {
            let path = format!("{}{}", app_path(&id), change.query(&["partialUpdate=false"]));
            cluster.change(Method::PUT, &path, Some(&file.app)).await?
        }
    };
    Ok(Applied { id, deployment, kind })
}

/// What applying it would change.
pub async fn preview(cluster: &Cluster, file: &AppFile, output: &Output) -> Result<AppChange, Failure> {
    warn_of_unknown(file, output);
    let mut app = file.app.as_object().cloned().unwrap_or_default();
    let id = text(&file.app, "id");
    let pod = file.kind() == Kind::Pod;
    let path = if pod { pod_path(&id) } else { app_path(&id) };
    let old = match cluster.marathon(Method::GET, &path, None).await {
        Ok(mut answer) => Some(if pod { answer } else { answer["app"].take() }),
        Err(failure) if failure.code() == exit::NOT_FOUND => None,
        Err(failure) => return Err(failure),
    };
    // what its groups say stays as it is
    if let Some(inherited) = old.as_ref().and_then(|old| old[api::marathon::INHERITED].as_object()) {
        if pod {
            api::marathon::own_pod(&mut app);
            api::marathon::inherit_again(&mut app, inherited);
        } else {
            api::marathon::own(&mut app);
            api::marathon::inherit(&mut app, &[inherited]);
        }
    }
    // how many there are of one that scales itself stays where that is not said
    let scales = |of: Option<&Value>| of.is_some_and(|rule| !rule.is_null());
    if let Some(old) = old.as_ref().filter(|old| {
        scales(old.get("autoscale")) && scales(app.get("autoscale")) && app.get("instances").is_none()
    }) {
        app.insert("instances".into(), old["instances"].clone());
    }
    let new = if pod { api::marathon::normal_pod(app) } else { api::marathon::normal(app) };
    let new = new.map_err(|(_, body)| Failure::Failed(format!("{}: {}", file.from, explain_body(&body))))?;
    let id = new.get("id").and_then(Value::as_str).unwrap_or(&id).to_owned();
    Ok(AppChange::between(&id, old.as_ref(), &new))
}

fn warn_of_unknown(file: &AppFile, output: &Output) {
    // a group's apps, and those of the groups in it
    let mut left = vec![&file.app];
    while let Some(next) = left.pop() {
        if next.as_object().is_some_and(is_group) || (file.kind() == Kind::Group && next["groups"].is_array())
        {
            left.extend(list(next, "groups"));
            for app in list(next, "apps") {
                warn_of(app, file, output);
            }
        } else if file.kind() == Kind::App {
            warn_of(next, file, output);
        }
    }
}

fn warn_of(app: &Value, file: &AppFile, output: &Output) {
    for field in unknown_fields(app) {
        output.warn(&format!("{}: the field \"{field}\" is unknown and will be ignored", file.from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_found_by_path() {
        let app = json!({"id": "/a", "cmd": "x", "instnaces": 2, "healthChecks": [{"protocol": "HTTP"}, {"pth": "/"}],
                         "upgradeStrategy": {"min": 1}, "env": {"anything": "goes"}});
        assert_eq!(unknown_fields(&app), ["instnaces", "upgradeStrategy.min", "healthChecks[1].pth"]);
    }

    #[test]
    fn files_hold_one_app_or_many() {
        let dir = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            let file = dir.path().join("app.json");
            std::fs::write(&file, text).unwrap();
            read_files(&[file]).map(|apps| apps.iter().map(|a| text_of(&a.app)).collect::<Vec<_>>())
        };
        fn text_of(app: &Value) -> String {
            text(app, "id")
        }
        assert_eq!(read("{\"id\": \"a\"}").unwrap(), ["a"]);
        assert_eq!(read("[{\"id\": \"a\"}, {\"id\": \"b\"}]").unwrap(), ["a", "b"]);
        assert_eq!(read("{\"id\": \"/\", \"apps\": [{\"id\": \"c\"}]}").unwrap(), ["c"]);
        let group = "{\"id\": \"/g\", \"apps\": [{\"id\": \"c\"}], \"groups\": [{\"id\": \"s\"}]}";
        assert_eq!(read(group).unwrap(), ["/g"], "one group, whole");
        let root = format!("{{\"apps\": [{{\"id\": \"a\"}}], \"groups\": [{group}]}}");
        assert_eq!(read(&root).unwrap(), ["a", "/g"], "never the root itself");
        for bad in ["{", "{}", "[1]", "{\"id\": 5}"] {
            assert!(read(bad).unwrap_err().to_string().contains("app.json"), "{bad}");
        }
    }

    #[test]
    fn the_examples_are_apps_without_unknown_fields() {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let mut seen = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "json") {
                for file in read_files(&[path]).unwrap() {
                    if file.kind() == Kind::Pod {
                        let pod = file.app.as_object().cloned().unwrap_or_default();
                        assert!(api::marathon::normal_pod(pod).is_ok(), "{}", file.from);
                    } else {
                        assert_eq!(unknown_fields(&file.app), Vec::<String>::new(), "{}", file.from);
                    }
                    seen += 1;
                }
            }
        }
        assert!(seen >= 4);
    }
}
