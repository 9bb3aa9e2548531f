//! Nouns as Mesos' v0 endpoints say them: resource summaries, attributes, tasks, executors, labels.
//!
//! Which keys there are: apache/mesos@c1b42f79:src/common/http.cpp.

use api::json::{ToJson, Writer};
use model::{
    mesos::{self, Attribute, ExecutorInfo, Resource, Task, TaskStatus, value},
    resources::{Amount, Format, Resources, to_float},
};
use std::{borrow::Cow, collections::BTreeMap};

/// Writes one member of an object.
pub(crate) fn text(w: &mut Writer, key: &str, value: &str) {
    w.key(key);
    w.text(value);
}

/// Writes one member of an object.
pub(crate) fn number(w: &mut Writer, key: &str, value: f64) {
    w.key(key);
    w.double(value);
}

/// Writes one member of an object.
pub(crate) fn truth(w: &mut Writer, key: &str, value: bool) {
    w.key(key);
    w.boolean(value);
}

/// Writes one member of an object, in the v1 dialect.
pub(crate) fn message(w: &mut Writer, key: &str, value: &impl ToJson) {
    w.key(key);
    w.message(value);
}

/// Writes a member that is a list.
pub(crate) fn list<T>(
    w: &mut Writer,
    key: &str,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Writer, T),
) {
    w.key(key);
    w.list();
    for item in items {
        w.item();
        write(w, item);
    }
    w.end();
}

/// A member that is a list of texts.
pub(crate) fn texts<'a>(w: &mut Writer, key: &str, items: impl IntoIterator<Item = &'a str>) {
    list(w, key, items, |w, item| w.text(item));
}

/// A whole document.
pub(crate) fn object(write: impl FnOnce(&mut Writer)) -> String {
    let mut w = Writer::default();
    w.open();
    write(&mut w);
    w.close();
    w.finish()
}

/// Sums by name: `cpus gpus mem disk` always, ranges as text `[31000-31001, 31005-31005]`, what is revocable apart.
pub(crate) fn resources(w: &mut Writer, key: &str, all: &Resources) {
    // By name, as long as there are few: a map of texts would cost more than all else of a task.
    let mut scalars: Vec<(Cow<'_, str>, i64)> =
        ["cpus", "disk", "gpus", "mem"].map(|name| (name.into(), 0)).into();
    let mut others: BTreeMap<Cow<'_, str>, String> = BTreeMap::new();
    for item in all {
        let mut name = Cow::from(item.kind.name().as_str());
        if item.kind.is_revocable() {
            name.to_mut().push_str("_revocable");
        }
        match &item.amount {
            Amount::Scalar(milli) => match scalars.binary_search_by(|(known, _)| known.cmp(&name)) {
                Ok(at) => scalars[at].1 += milli,
                Err(at) => scalars.insert(at, (name, *milli)),
            },
            Amount::Ranges(_) => {
                let text = ranges(all.ranges(item.kind.name().as_str()).as_slice().iter().copied());
                others.insert(name, text);
            }
            Amount::Set(items) => {
                let items: Vec<_> = items.as_slice().iter().map(ToString::to_string).collect();
                others.insert(name, format!("{{{}}}", items.join(", ")));
            }
        }
    }
    w.key(key);
    w.open();
    for (name, milli) in &scalars {
        number(w, name, to_float(*milli));
    }
    for (name, value) in &others {
        text(w, name, value);
    }
    w.close();
}

fn ranges(all: impl Iterator<Item = (u64, u64)>) -> String {
    let parts: Vec<_> = all.map(|(begin, end)| format!("{begin}-{end}")).collect();
    format!("[{}]", parts.join(", "))
}

/// Parted by the role they are reserved to; the unreserved are left out.
pub(crate) fn reserved(w: &mut Writer, key: &str, all: &Resources) {
    w.key(key);
    w.open();
    for (role, part) in all.by_role() {
        if role != "*" {
            resources(w, &role, &part);
        }
    }
    w.close();
}

/// The same, each resource by itself.
pub(crate) fn reserved_full(w: &mut Writer, key: &str, all: &Resources) {
    w.key(key);
    w.open();
    for (role, part) in all.by_role() {
        if role != "*" {
            full(w, &role, &part.to_messages_as(Format::Both));
        }
    }
    w.close();
}

/// Resources one by one, as messages.
pub(crate) fn full(w: &mut Writer, key: &str, all: &[Resource]) {
    list(w, key, all, |w, resource| w.message(resource));
}

/// Attributes by name.
pub(crate) fn attributes(w: &mut Writer, key: &str, all: &[Attribute]) {
    w.key(key);
    w.open();
    for attribute in all {
        let name = &attribute.name;
        if let Some(scalar) = &attribute.scalar {
            number(w, name, scalar.value);
        } else if let Some(value::Ranges { range }) = &attribute.ranges {
            text(w, name, &ranges(range.iter().map(|r| (r.begin, r.end))));
        } else if let Some(value) = &attribute.text {
            text(w, name, &value.value);
        }
    }
    w.close();
}

/// Labels as a bare list.
pub(crate) fn labels(w: &mut Writer, labels: Option<&mesos::Labels>) {
    if let Some(labels) = labels {
        list(w, "labels", &labels.labels, |w, label| w.message(label));
    }
}

fn status(w: &mut Writer, status: &TaskStatus) {
    w.open();
    text(w, "state", status.state().as_str_name());
    number(w, "timestamp", status.timestamp.unwrap_or_default());
    labels(w, status.labels.as_ref());
    if let Some(container) = &status.container_status {
        w.key("container_status");
        w.open();
        if let Some(id) = &container.container_id {
            message(w, "container_id", id);
        }
        if !container.network_infos.is_empty() {
            list(w, "network_infos", &container.network_infos, |w, info| w.message(info));
        }
        if let Some(group) = &container.cgroup_info {
            message(w, "cgroup_info", group);
        }
        w.close();
    }
    if let Some(healthy) = status.healthy {
        truth(w, "healthy", healthy);
    }
    w.close();
}

/// A task; keys spelled "slave", always.
pub(crate) fn task(w: &mut Writer, task: &Task) {
    let used = Resources::from_messages(&task.resources).unwrap_or_default();
    w.open();
    text(w, "id", &task.task_id.value);
    text(w, "name", &task.name);
    text(w, "framework_id", &task.framework_id.value);
    text(w, "executor_id", task.executor_id.as_ref().map_or("", |e| e.value.as_str()));
    text(w, "slave_id", &task.agent_id.value);
    text(w, "state", task.state().as_str_name());
    resources(w, "resources", &used);
    if !task.limits.is_empty() {
        w.key("limits");
        w.open();
        for (name, limit) in task.limits.iter().collect::<BTreeMap<_, _>>() {
            number(w, name, limit.value);
        }
        w.close();
    }
    text(w, "role", model::resources::allocation_role(&task.resources).unwrap_or("*"));
    list(w, "statuses", &task.statuses, status);
    if let Some(user) = &task.user {
        text(w, "user", user);
    }
    labels(w, task.labels.as_ref());
    if let Some(discovery) = &task.discovery {
        message(w, "discovery", discovery);
    }
    if let Some(container) = &task.container {
        message(w, "container", container);
    }
    if let Some(check) = &task.health_check {
        message(w, "health_check", check);
    }
    w.close();
}

/// An executor, as the master lists it.
pub(crate) fn executor(w: &mut Writer, info: &ExecutorInfo, agent: &str) {
    let used = Resources::from_messages(&info.resources).unwrap_or_default();
    w.open();
    text(w, "executor_id", &info.executor_id.value);
    text(w, "name", info.name());
    text(w, "framework_id", info.framework_id.as_ref().map_or("", |id| id.value.as_str()));
    w.key("command");
    command(w, info.command.as_ref());
    resources(w, "resources", &used);
    text(w, "role", model::resources::allocation_role(&info.resources).unwrap_or("*"));
    labels(w, info.labels.as_ref());
    if info.r#type.is_some() {
        text(w, "type", info.r#type().as_str_name());
    }
    text(w, "slave_id", agent);
    w.close();
}

fn command(w: &mut Writer, command: Option<&mesos::CommandInfo>) {
    w.open();
    if command.is_some_and(|c| c.shell == Some(false)) {
        truth(w, "shell", false);
    }
    if let Some(value) = command.and_then(|c| c.value.as_deref()) {
        text(w, "value", value);
    }
    texts(w, "argv", command.into_iter().flat_map(|c| &c.arguments).map(String::as_str));
    if let Some(environment) = command.and_then(|c| c.environment.as_ref()) {
        message(w, "environment", environment);
    }
    list(w, "uris", command.into_iter().flat_map(|c| &c.uris), |w, uri| {
        w.open();
        text(w, "value", &uri.value);
        truth(w, "executable", uri.executable());
        w.close();
    });
    w.close();
}

/// The build's own name and a purely numeric version, which clients parse.
pub(crate) fn version(version: &str) -> String {
    object(|w| build(w, version))
}

/// The same as members of a larger object.
pub(crate) fn build(w: &mut Writer, version: &str) {
    let info = version_info(version);
    text(w, "build_date", info.build_date());
    number(w, "build_time", info.build_time());
    text(w, "build_user", info.build_user());
    text(w, "git_branch", info.git_branch());
    text(w, "git_sha", info.git_sha());
    text(w, "version", version);
}

/// What `GET_VERSION` says.
pub(crate) fn version_info(version: &str) -> mesos::VersionInfo {
    mesos::VersionInfo {
        version: version.to_owned(),
        build_date: Some(String::new()),
        build_time: Some(0.0),
        build_user: Some("mesolite".to_owned()),
        git_sha: Some(String::new()),
        git_branch: Some(concat!("mesolite-", env!("CARGO_PKG_VERSION")).to_owned()),
        git_tag: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn written(write: impl FnOnce(&mut Writer)) -> Value {
        serde_json::from_str(&object(write)).unwrap()
    }

    #[test]
    fn resources_are_summed_by_name() {
        let all =
            Resources::parse("cpus:1.5;cpus(ads):2;mem:32;ports:[31000-31001,31005-31005];x:{b,a}", "*")
                .unwrap();
        let got = written(|w| resources(w, "r", &all));
        let wanted = json!({"cpus": 3.5, "gpus": 0.0, "mem": 32.0, "disk": 0.0,
            "ports": "[31000-31001, 31005-31005]", "x": "{a, b}"});
        assert_eq!(got["r"], wanted);
        let got = written(|w| reserved(w, "r", &all));
        assert_eq!(got["r"], json!({"ads": {"cpus": 2.0, "gpus": 0.0, "mem": 0.0, "disk": 0.0}}));
    }

    #[test]
    fn a_command_task_has_an_empty_executor_id_and_a_status_no_pid() {
        let mut status = TaskStatus { timestamp: Some(1.5), healthy: Some(true), ..Default::default() };
        let container = mesos::ContainerStatus { executor_pid: Some(7), ..Default::default() };
        status.container_status = Some(container);
        let mut task = Task { name: "n".into(), statuses: vec![status], ..Default::default() };
        task.limits.insert("cpus".into(), value::Scalar { value: f64::INFINITY });
        let got = written(|w| {
            w.key("t");
            super::task(w, &task);
        });
        assert_eq!(got["t"]["executor_id"], "");
        assert_eq!(got["t"]["limits"], json!({"cpus": "Infinity"}));
        assert_eq!(got["t"]["statuses"][0]["container_status"], json!({}));
        assert_eq!(got["t"]["statuses"][0]["healthy"], true);
        assert!(got["t"].get("labels").is_none() && got["t"].get("user").is_none());
    }
}
