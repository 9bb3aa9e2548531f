//! What a change would do: two definitions in normal form, field by field, as a tree. Never asks a cluster.

use crate::Output;
use serde_json::{Map, Value, json};

/// Fields that only the cluster of a definition can know.
pub(crate) const OF_ITS_CLUSTER: [&str; 15] = [
    "autoscaling",
    "deployments",
    "inherited",
    "lastTaskFailure",
    "readinessCheckResults",
    "run",
    "tasks",
    "tasksHealthy",
    "tasksRunning",
    "tasksStaged",
    "tasksUnhealthy",
    "taskStats",
    "version",
    "versionInfo",
    "why",
];
/// Older names that the normal form repeats.
const REPEATED: [&str; 2] = ["uris", "ports"];

/// One field that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where, as in `healthChecks[0].path`.
    pub path: String,
    /// What runs; none = it is not there.
    pub old: Option<Value>,
    /// What would run; none = it goes.
    pub new: Option<Value>,
}

impl Difference {
    fn scales(&self) -> bool {
        ["instances", "scaling.instances", "scaling.kind", "everyNode"].contains(&self.path.as_str())
    }
    fn is_rule(&self) -> bool {
        let path = self.path.strip_prefix("scheduling.").unwrap_or(&self.path);
        let field = path.split(['.', '[']).next().unwrap_or(path);
        api::marathon::RULES.contains(&field) && !self.scales()
    }
}

/// What an app becomes.
#[derive(Clone, Debug, PartialEq)]
pub struct AppChange {
    /// Its id.
    pub id: String,
    /// It does not exist yet.
    pub created: bool,
    /// Fields that differ.
    pub differences: Vec<Difference>,
}

impl AppChange {
    /// From what runs (none = nothing does) and a definition in normal form.
    pub fn between(id: &str, old: Option<&Value>, new: &Map<String, Value>) -> Self {
        let mut differences = Vec::new();
        if let Some(old) = old.and_then(Value::as_object) {
            let names: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
            // one on every node: how many that is nobody says
            let counted =
                |name: &str| name == "instances" && new.get("everyNode") == Some(&Value::Bool(true));
            let skipped =
                |name: &str| OF_ITS_CLUSTER.contains(&name) || REPEATED.contains(&name) || counted(name);
            for name in names.into_iter().filter(|name| !skipped(name)) {
                compare(name, old.get(name), new.get(name), &mut differences);
            }
        }
        Self { id: id.to_owned(), created: old.is_none(), differences }
    }
    /// Whether applying it would do nothing.
    pub fn is_empty(&self) -> bool {
        !self.created && self.differences.is_empty()
    }
    /// Whether tasks are replaced; a change of `instances` alone starts or ends some.
    pub fn replaces(&self) -> bool {
        self.differences.iter().any(|d| !d.scales() && !d.is_rule())
    }
    /// Whether it only says how the app is brought about.
    fn only_rules(&self) -> bool {
        self.differences.iter().all(|d| d.is_rule())
    }
    /// As JSON.
    pub fn json(&self) -> Value {
        let differences: Vec<_> =
            self.differences.iter().map(|d| json!({"path": d.path, "old": d.old, "new": d.new})).collect();
        json!({"id": self.id, "created": self.created, "differences": differences})
    }
    /// As a tree of lines.
    pub fn print(&self, output: &Output) {
        let what = match self {
            _ if self.created => "is created",
            _ if self.is_empty() => "stays as it is",
            _ if self.replaces() => "changes, and its tasks are replaced",
            _ if self.only_rules() => "changes, and no task is replaced",
            _ => "is scaled",
        };
        output.line(&format!("{} {what}", self.id));
        let width = self.differences.iter().map(|d| d.path.len()).max().unwrap_or(0);
        for (at, difference) in self.differences.iter().enumerate() {
            let branch = if at + 1 == self.differences.len() { "└─" } else { "├─" };
            let said = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
            let (old, new) = (said(&difference.old), said(&difference.new));
            output.line(&format!("{branch} {:width$}  {old} → {new}", difference.path));
        }
    }
}

/// An empty list, an empty object and an absent field say the same; so do a port that the cluster chose and 0.
fn same(path: &str, old: &Value, new: &Value) -> bool {
    let number = |value: &Value| value.as_f64();
    let port = path.ends_with(".port") || path.ends_with(".servicePort");
    old == new
        || (number(old).is_some() && number(old) == number(new))
        || (port && new == 0 && old.as_u64().is_some_and(|port| port > 0))
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(_) => false,
    }
}

fn compare(path: &str, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<Difference>) {
    match (old, new) {
        _ if is_empty(old) && is_empty(new) => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let names: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
            for name in names {
                compare(&format!("{path}.{name}"), old.get(name), new.get(name), found);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for at in 0..old.len().max(new.len()) {
                compare(&format!("{path}[{at}]"), old.get(at), new.get(at), found);
            }
        }
        (Some(old), Some(new)) if same(path, old, new) => {}
        (old, new) => {
            found.push(Difference { path: path.to_owned(), old: old.cloned(), new: new.cloned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(old: Value, new: Value) -> Vec<String> {
        let change = AppChange::between("/a", Some(&old), new.as_object().unwrap());
        change.differences.iter().map(|d| d.path.clone()).collect()
    }

    #[test]
    fn only_what_differs_is_named() {
        let old = json!({"id": "/a", "cmd": "x", "cpus": 1, "env": {"A": "1", "B": "2"}, "fetch": [], "tasks": [1],
                         "portDefinitions": [{"port": 10001, "protocol": "tcp"}], "version": "v"});
        let new = json!({"id": "/a", "cmd": "y", "cpus": 1.0, "env": {"A": "1", "C": "3"},
                         "portDefinitions": [{"port": 0, "protocol": "tcp"}, {"port": 0}]});
        assert_eq!(between(old.clone(), new), ["cmd", "env.B", "env.C", "portDefinitions[1]"]);
        let same: Map<_, _> = old.as_object().unwrap().clone();
        assert!(AppChange::between("/a", Some(&old), &same).is_empty());
        assert!(AppChange::between("/a", None, &same).created);
    }

    #[test]
    fn a_change_of_instances_replaces_nothing() {
        let change = |new: Value| {
            AppChange::between("/a", Some(&json!({"instances": 1, "cmd": "x"})), new.as_object().unwrap())
        };
        assert!(!change(json!({"instances": 3, "cmd": "x"})).replaces());
        assert!(change(json!({"instances": 3, "cmd": "y"})).replaces());
        let rules =
            change(json!({"instances": 1, "cmd": "x", "maxFailures": 1, "autoscale": {"maxInstances": 3}}));
        assert!(!rules.replaces() && rules.only_rules() && !rules.is_empty());
        let pod = json!({"scheduling": {"maxFailures": 1, "backoff": {"backoff": 1}}});
        let to = |scheduling: Value| {
            let new = json!({"scheduling": scheduling});
            AppChange::between("/p", Some(&pod), new.as_object().unwrap()).replaces()
        };
        assert!(!to(json!({"maxFailures": 2, "backoff": {"backoff": 1}})));
        assert!(to(json!({"maxFailures": 1, "backoff": {"backoff": 2}})));
    }

    #[test]
    fn how_many_are_one_on_every_node_is_no_difference() {
        let old = json!({"instances": 4, "everyNode": true, "cmd": "x"});
        assert!(between(old, json!({"instances": 0, "everyNode": true, "cmd": "x"})).is_empty());
        let old = json!({"instances": 4, "cmd": "x"});
        assert_eq!(between(old, json!({"instances": 0, "everyNode": true, "cmd": "x"})), ["everyNode"]);
    }
}
