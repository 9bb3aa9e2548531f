//! The agent's HTTP surface: read endpoints in the v0 shapes that tools index. Files need the world: the shell reads.

mod attach;
mod calls;
mod executor;

pub use attach::{
    Heard, input as heard, input_codec as attach_codec, input_container as attach_container, is_api, output,
};
pub use calls::{Style, respond};
pub use executor::frame;

use crate::{
    Arrived, Routed,
    answer::{json, not_found, parameter, render},
    nouns, pages,
};
use agent::{Agent, ContainerCall, Input, Task, VERSION};
use bytes::Bytes;
use http::Response;
use model::{
    container::ContainerId,
    request::{Answer, Body},
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Most bytes of one `/files/read`: 16 pages.
pub const READ_BYTES_MAX: u64 = 65_536;

/// What the shell does for a request, and how it is answered.
#[derive(Debug)]
pub enum Perform {
    /// Launch a session in a container and stream what it says.
    Session {
        /// Its container.
        container: ContainerId,
        /// What the agent is asked.
        call: ContainerCall,
        /// How it is written.
        style: Style,
    },
    /// Stream what a container says.
    Output {
        /// Which.
        container: ContainerId,
        /// How it is written.
        style: Style,
    },
    /// List a directory: answered by `render_listing`.
    Browse {
        /// Absolute path.
        path: String,
    },
    /// Part of a file: answered by `render_part`.
    Read {
        /// Absolute path.
        path: String,
        /// Where it begins; none = only the size is asked for.
        offset: Option<u64>,
        /// At most this many bytes.
        length: u64,
    },
    /// A whole file.
    Download {
        /// Absolute path.
        path: String,
    },
}

/// One entry of a directory.
#[derive(Debug)]
pub struct Entry {
    /// Path as it was asked for.
    pub path: String,
    /// Links to it.
    pub nlink: u64,
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970.
    pub mtime: f64,
    /// As `ls -l` shows it.
    pub mode: String,
    /// Owner.
    pub uid: String,
    /// Group.
    pub gid: String,
}

/// Routes a request.
pub fn route(arrived: &Arrived, agent: &Agent) -> Routed<Input, Perform> {
    let request = &arrived.request;
    let (path, query) = (request.uri().path(), request.uri().query());
    let inner = path.strip_prefix("/slave(1)").or_else(|| path.strip_prefix("/slave%281%29")).unwrap_or(path);
    let respond = |response| Routed::Respond(response);
    if pages::asked(request, "/") {
        return respond(pages::agent(&|path| pages::json_of(route(&pages::inner(arrived, path), agent))));
    }
    match path.trim_end_matches('/') {
        "/version" => return respond(json(&nouns::version(VERSION), query)),
        "/metrics/snapshot" => return respond(json(&metrics(agent), query)),
        "/files/browse" | "/files/read" | "/files/download" => return files(agent, path, query),
        _ => {}
    }
    match inner.trim_end_matches('/') {
        "/api/v1/executor" => executor::route(arrived),
        "/api/v1" => calls::route(arrived, agent),
        "/health" => respond(render(Answer::new(200, Body::Empty))),
        "/state" | "/state.json" => respond(json(&state(agent), query)),
        "/flags" => respond(json(&json!({ "flags": agent.config().flags }), query)),
        "/containers" => respond(json(&containers(agent), query)),
        _ => respond(not_found()),
    }
}

fn files(agent: &Agent, path: &str, query: Option<&str>) -> Routed<Input, Perform> {
    let refuse = |status, why: &str| Routed::Respond(render(Answer::text(status, why)));
    let Some(asked) = parameter(query, "path").filter(|p| !p.is_empty()) else {
        return refuse(400, "Expecting 'path=value' in query.\n");
    };
    if asked.split('/').any(|part| part == "..") {
        return refuse(400, "Requested path contains '..'.\n");
    }
    let Some(real) = resolve(agent, &asked) else { return refuse(404, "File not found.\n") };
    match path.trim_end_matches('/') {
        "/files/browse" => Routed::Perform(Perform::Browse { path: real }),
        "/files/download" => Routed::Perform(Perform::Download { path: real }),
        _ => {
            let number = |name: &str| parameter(query, name).map(|v| v.parse::<i64>());
            let (Ok(offset), Ok(length)) = (number("offset").transpose(), number("length").transpose())
            else {
                return refuse(400, "Failed to parse offset or length: expecting a number.\n");
            };
            let offset = offset.and_then(|o| u64::try_from(o).ok());
            let length =
                length.and_then(|l| u64::try_from(l).ok()).unwrap_or(READ_BYTES_MAX).min(READ_BYTES_MAX);
            Routed::Perform(Perform::Read { path: real, offset, length })
        }
    }
}

/// Sandboxes by their path on the host, and by `/frameworks/<f>/executors/<e>/runs/latest`. Nothing else is shown.
fn resolve(agent: &Agent, asked: &str) -> Option<String> {
    for (framework, executor, directory) in agent.sandboxes() {
        let virtual_root = format!("/frameworks/{framework}/executors/{executor}/runs/latest");
        for root in [directory, virtual_root.as_str()] {
            if let Some(rest) = asked.strip_prefix(root)
                && (rest.is_empty() || rest.starts_with('/'))
            {
                return Some(format!("{directory}{rest}"));
            }
        }
    }
    None
}

/// A directory's entries.
pub fn render_listing(entries: &[Entry]) -> Response<Bytes> {
    let all: Vec<_> = entries
        .iter()
        .map(|e| {
            json!({ "path": e.path, "nlink": e.nlink, "size": e.size, "mtime": e.mtime, "mode": e.mode,
                "uid": e.uid, "gid": e.gid })
        })
        .collect();
    json(&Value::Array(all), None)
}

/// Part of a file; `offset` is its size where only that was asked for.
pub fn render_part(data: &[u8], offset: u64) -> Response<Bytes> {
    json(&json!({ "data": String::from_utf8_lossy(data), "offset": offset }), None)
}

fn task(task: &Task) -> Value {
    let mut message = model::mesos::Task {
        name: task.info.name.clone(),
        task_id: task.info.task_id.clone(),
        framework_id: model::mesos::FrameworkId { value: task.framework.clone() },
        agent_id: task.info.agent_id.clone(),
        resources: task.info.resources.clone(),
        statuses: task.statuses.clone(),
        labels: task.info.labels.clone(),
        discovery: task.info.discovery.clone(),
        container: task.info.container.clone(),
        health_check: task.info.health_check.clone(),
        ..Default::default()
    };
    message.set_state(task.state);
    nouns::task(&message)
}

fn executor(one: &Task) -> Value {
    let used = model::resources::Resources::from_messages(&one.info.resources).unwrap_or_default();
    let live = one.is_live();
    let none = Vec::<Value>::new();
    json!({
        "id": one.id(), "source": one.id(),
        "name": format!("Command Executor (Task: {}) (Command: sh -c '{}')", one.id(),
            one.info.command.as_ref().and_then(|c| c.value.as_deref()).unwrap_or_default()),
        "container": one.container.0, "directory": one.directory,
        "resources": nouns::resources(&used), "role": "*", "type": "DEFAULT",
        "tasks": if live { vec![task(one)] } else { none.clone() },
        "queued_tasks": none, "completed_tasks": if live { none.clone() } else { vec![task(one)] },
    })
}

fn state(agent: &Agent) -> Value {
    let config = agent.config();
    let total = model::resources::Resources::from_messages(&agent.info().resources).unwrap_or_default();
    let mut by_framework: BTreeMap<&str, (Vec<Value>, Vec<Value>)> = BTreeMap::new();
    for one in agent.tasks().values() {
        by_framework.entry(&one.framework).or_default().0.push(executor(one));
    }
    for one in agent.completed() {
        by_framework.entry(&one.framework).or_default().1.push(executor(one));
    }
    let (mut live, mut completed) = (Vec::new(), Vec::new());
    for (id, (executors, ended)) in by_framework {
        let info = agent.frameworks().get(id).map(|f| &f.info);
        let value = json!({
            "id": id, "name": info.map_or("", |i| i.name.as_str()), "user": info.map_or("", |i| i.user.as_str()),
            "executors": executors, "completed_executors": ended,
        });
        if info.is_some() { live.push(value) } else { completed.push(value) }
    }
    let mut state = json!({
        "start_time": agent.started().as_secs_f64(),
        "id": agent.info().id.as_ref().map_or("", |i| i.value.as_str()),
        "pid": agent.me().to_string(), "hostname": config.hostname,
        "master_hostname": agent.master().map_or(String::new(), |m| m.address.ip().to_string()),
        "resources": nouns::resources(&total),
        "unreserved_resources": nouns::resources(&total.unreserved()),
        "attributes": nouns::attributes(&agent.info().attributes),
        "flags": config.flags,
        "frameworks": live, "completed_frameworks": completed,
    });
    if let (Some(map), Value::Object(version)) = (state.as_object_mut(), nouns::version(VERSION)) {
        map.extend(version);
    }
    state
}

fn containers(agent: &Agent) -> Value {
    let brought = agent.executors().values().filter(|e| e.is_live() && e.pid.is_some()).map(|e| {
        json!({
            "container_id": e.container.0, "executor_id": e.id(), "executor_name": e.info.name(),
            "framework_id": e.framework, "source": e.info.source(),
            "status": { "container_id": { "value": e.container.0 }, "executor_pid": e.pid },
        })
    });
    agent
        .tasks()
        .values()
        .filter(|t| t.is_live() && t.pid.is_some() && t.runner == agent::Runner::Agent)
        .map(|t| {
            json!({
                "container_id": t.container.0, "executor_id": t.id(), "executor_name": t.info.name,
                "framework_id": t.framework, "source": t.id(),
                "status": { "container_id": { "value": t.container.0 }, "executor_pid": t.pid },
            })
        })
        .chain(brought)
        .collect()
}

fn metrics(agent: &Agent) -> Value {
    let counters = agent.counters();
    let used = agent.used();
    let total = model::resources::Resources::from_messages(&agent.info().resources).unwrap_or_default();
    let mut map = Map::new();
    map.insert("slave/registered".into(), json!(f64::from(u8::from(agent.is_registered()))));
    map.insert("slave/valid_status_updates".into(), json!(counters.updates as f64));
    map.insert("slave/recovery_errors".into(), json!(counters.records_broken as f64));
    map.insert("slave/frameworks_active".into(), json!(agent.frameworks().len() as f64));
    map.insert(
        "slave/executors_running".into(),
        json!(agent.tasks().values().filter(|t| t.is_live()).count() as f64),
    );
    for kind in ["cpus", "gpus", "mem", "disk"] {
        map.insert(format!("slave/{kind}_total"), json!(total.scalar(kind)));
        map.insert(format!("slave/{kind}_used"), json!(used.scalar(kind)));
    }
    Value::Object(map)
}
