//! Nouns as Mesos' v0 read endpoints say them: resource summaries, attributes, tasks, labels.

use api::json::ToJson;
use model::{
    mesos::{self, Attribute, Task, TaskStatus, value},
    resources::Resources,
};
use serde_json::{Map, Value, json};

/// A message in the v1 dialect, as a value.
pub(crate) fn message(message: &impl ToJson) -> Value {
    serde_json::from_str(&message.to_json()).unwrap_or(Value::Null)
}

/// `cpus gpus mem disk` always, ranges as text `[31000-31001, 31005-31005]`.
pub(crate) fn resources(all: &Resources) -> Value {
    let mut map = Map::new();
    for name in ["cpus", "gpus", "mem", "disk"] {
        map.insert(name.to_owned(), number(all.scalar(name)));
    }
    for resource in all.to_messages() {
        if let Some(scalar) = &resource.scalar {
            if !map.contains_key(&resource.name) {
                map.insert(resource.name.clone(), number(scalar.value));
            }
        } else if let Some(ranges) = &resource.ranges {
            map.insert(resource.name.clone(), Value::String(ranges_text(ranges)));
        } else if let Some(set) = &resource.set {
            map.insert(resource.name.clone(), Value::String(format!("{{{}}}", set.item.join(", "))));
        }
    }
    Value::Object(map)
}

/// Whole numbers without a fraction, as upstream's writer does for sums.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { json!(value as i64) } else { json!(value) }
}

fn ranges_text(ranges: &value::Ranges) -> String {
    let parts: Vec<_> = ranges.range.iter().map(|r| format!("{}-{}", r.begin, r.end)).collect();
    format!("[{}]", parts.join(", "))
}

/// Attributes by name.
pub(crate) fn attributes(all: &[Attribute]) -> Value {
    let mut map = Map::new();
    for attribute in all {
        let value = if let Some(scalar) = &attribute.scalar {
            number(scalar.value)
        } else if let Some(ranges) = &attribute.ranges {
            Value::String(ranges_text(ranges))
        } else if let Some(text) = &attribute.text {
            Value::String(text.value.clone())
        } else {
            continue;
        };
        map.insert(attribute.name.clone(), value);
    }
    Value::Object(map)
}

fn status(status: &TaskStatus) -> Value {
    let mut map = Map::new();
    map.insert("state".into(), status.state().as_str_name().into());
    map.insert("timestamp".into(), json!(status.timestamp.unwrap_or_default()));
    if let Some(labels) = &status.labels {
        map.insert("labels".into(), labels_list(labels));
    }
    if let Some(container) = &status.container_status {
        map.insert("container_status".into(), message(container));
    }
    if let Some(healthy) = status.healthy {
        map.insert("healthy".into(), healthy.into());
    }
    Value::Object(map)
}

fn labels_list(labels: &mesos::Labels) -> Value {
    labels.labels.iter().map(message).collect()
}

/// A task; keys spelled "slave", always.
pub(crate) fn task(task: &Task) -> Value {
    let used = Resources::from_messages(&task.resources).unwrap_or_default();
    let mut map = Map::new();
    map.insert("id".into(), task.task_id.value.clone().into());
    map.insert("name".into(), task.name.clone().into());
    map.insert("framework_id".into(), task.framework_id.value.clone().into());
    map.insert("executor_id".into(), task.executor_id.as_ref().map_or("", |e| e.value.as_str()).into());
    map.insert("slave_id".into(), task.agent_id.value.clone().into());
    map.insert("state".into(), task.state().as_str_name().into());
    map.insert("resources".into(), resources(&used));
    map.insert("role".into(), model::resources::allocation_role(&task.resources).unwrap_or("*").into());
    map.insert("statuses".into(), task.statuses.iter().map(status).collect());
    if let Some(user) = &task.user {
        map.insert("user".into(), user.clone().into());
    }
    if let Some(labels) = &task.labels {
        map.insert("labels".into(), labels_list(labels));
    }
    if let Some(discovery) = &task.discovery {
        map.insert("discovery".into(), message(discovery));
    }
    if let Some(container) = &task.container {
        map.insert("container".into(), message(container));
    }
    if let Some(check) = &task.health_check {
        map.insert("health_check".into(), message(check));
    }
    Value::Object(map)
}

/// `/version`: a purely numeric version, our own name in the build fields.
pub(crate) fn version(version: &str) -> Value {
    json!({
        "build_date": "", "build_time": 0.0, "build_user": "mesolite",
        "git_tag": concat!("mesolite-", env!("CARGO_PKG_VERSION")),
        "version": version,
    })
}
