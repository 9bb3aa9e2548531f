//! What is read of an orchestrator, in Marathon's shapes.

use super::{Call, Outcome, json_answer, json_text, message, selector};
use crate::{
    answer::{parameter, parameters},
    render,
};
use bytes::Bytes;
use http::Response;
use model::request::Answer;
use orchestrator::{Embed, instances::Instance};
use serde_json::{Map, Value, json};

/// The version that clients see.
const VERSION: &str = "1.11.0";

/// What is asked for besides the app, and what always comes.
fn embeds(call: &Call<'_>, always: &[&str]) -> Embed {
    embed_of(call.query, always)
}

pub(super) fn embed_of(query: Option<&str>, always: &[&str]) -> Embed {
    let asked = parameters(query, "embed");
    Embed::of(asked.iter().map(String::as_str).chain(["counts", "deployments"]).chain(always.iter().copied()))
}

pub(super) fn list(call: &Call<'_>) -> Outcome {
    let embed = embeds(call, &[]);
    let text = |name: &str| parameter(call.query, name).map(|t| t.to_lowercase());
    let (cmd, id) = (text("cmd"), text("id"));
    let selector = match parameter(call.query, "label") {
        Some(label) => selector::parse(&label).map_err(|why| message(422, &why))?,
        None => Vec::new(),
    };
    let has = |field: &str, value: &Value, wanted: &Option<String>| {
        wanted
            .as_ref()
            .is_none_or(|w| value.get(field).and_then(Value::as_str).unwrap_or("").to_lowercase().contains(w))
    };
    let wanted = call
        .machine
        .apps()
        .filter(|(_, s)| has("cmd", &s.app, &cmd) && has("id", &s.app, &id))
        .filter(|(_, s)| selector.iter().all(|rule| rule.matches(s.app.get("labels"))));
    let mut text = b"{\"apps\":[".to_vec();
    for (at, (id, _)) in wanted.enumerate() {
        if at > 0 {
            text.push(b',');
        }
        call.machine.app_text(id, embed, call.now, &mut text);
    }
    text.extend_from_slice(b"]}");
    Err(json_text(text))
}

pub(super) fn below(call: &Call<'_>, group: &str) -> Value {
    let embed = embeds(call, &[]);
    let group = if group.is_empty() { "/" } else { group };
    call.machine.apps_below(group).filter_map(|(id, _)| call.machine.app_info(id, embed, call.now)).collect()
}

fn no_app(id: &str) -> Response<Bytes> {
    message(404, &format!("App '{id}' does not exist"))
}

pub(super) fn app(call: &Call<'_>, id: &str) -> Response<Bytes> {
    let mut text = b"{\"app\":".to_vec();
    if !call.machine.app_text(id, embeds(call, &["tasks", "lastTaskFailure"]), call.now, &mut text) {
        return no_app(id);
    }
    text.push(b'}');
    json_text(text)
}

pub(super) fn versions(call: &Call<'_>, id: &str) -> Response<Bytes> {
    match call.machine.app(id) {
        Some(state) => {
            let newest_first: Vec<_> = state.versions.keys().rev().collect();
            json_answer(&json!({ "versions": newest_first }))
        }
        None => no_app(id),
    }
}

pub(super) fn version(call: &Call<'_>, id: &str, version: &str) -> Response<Bytes> {
    if call.machine.app(id).is_none() {
        return no_app(id);
    }
    let version = match version_in(version) {
        Ok(version) => version,
        Err(refusal) => return refusal,
    };
    match call.machine.app(id).and_then(|s| s.versions.get(&version)) {
        Some(kept) => json_text(kept.get().as_bytes().to_vec()),
        None => message(404, &format!("App '{id}' does not exist in version '{version}'")),
    }
}

/// A version in a path, as ours are written.
pub(super) fn version_in(text: &str) -> Result<String, Response<Bytes>> {
    let wrong = || message(422, &format!("'{text}' is not a version such as 2020-01-31T00:00:00.000Z"));
    orchestrator::version_of(text).ok_or_else(wrong)
}

pub(super) fn tasks_of(call: &Call<'_>, id: &str) -> Response<Bytes> {
    if let Some(group) = id.strip_suffix("/*") {
        let group = if group.is_empty() { "/" } else { group };
        let all = call.machine.apps_below(group).flat_map(|(app, _)| call.machine.instances_of(app));
        return listed(call, all);
    }
    match call.machine.app(id) {
        Some(_) => listed(call, call.machine.instances_of(id)),
        None => no_app(id),
    }
}

fn listed<'a>(call: &Call<'_>, tasks: impl Iterator<Item = &'a Instance>) -> Response<Bytes> {
    let mut text = b"{\"tasks\":".to_vec();
    call.machine.tasks_text(tasks, &mut text);
    text.push(b'}');
    json_text(text)
}

pub(super) fn tasks(call: &Call<'_>) -> Response<Bytes> {
    let mut wanted = parameters(call.query, "status");
    wanted.extend(parameters(call.query, "status[]"));
    // other words mean nothing; if there are no known ones, all are meant (TasksResource)
    wanted.iter_mut().for_each(|word| *word = word.to_lowercase());
    wanted.retain(|word| ["running", "staging"].contains(&word.as_str()));
    let keep = |i: &&Instance| match i.condition.task_state() {
        _ if wanted.is_empty() => true,
        "TASK_RUNNING" => wanted.iter().any(|w| w == "running"),
        "TASK_STAGING" | "TASK_STARTING" => wanted.iter().any(|w| w == "staging"),
        _ => false,
    };
    let of_apps = |i: &&Instance| call.machine.app(&i.app).is_some() || call.machine.pod(&i.app).is_none();
    listed(call, call.machine.instances().filter(keep).filter(of_apps))
}

/// `?embed=lastUnusedOffers` adds the offers that did not fit; `?embed=why`, which Marathon does not have, the reasons.
pub(super) fn queue(call: &Call<'_>) -> Value {
    let embeds = parameters(call.query, "embed");
    let has = |name: &str| embeds.iter().any(|embed| embed == name);
    call.machine.queue_info(call.now, has("lastUnusedOffers"), has("why"))
}

/// What Marathon says of its settings (info.raml); strict clients refuse other names.
const CONFIG: [&str; 25] = [
    "master",
    "hostname",
    "framework_name",
    "mesos_role",
    "mesos_user",
    "mesos_bridge_name",
    "mesos_leader_ui_url",
    "default_network_name",
    "access_control_allow_origin",
    "executor",
    "failover_timeout",
    "ha",
    "local_port_min",
    "local_port_max",
    "decline_offer_duration",
    "max_instances_per_offer",
    "reconciliation_initial_delay",
    "reconciliation_interval",
    "scale_apps_initial_delay",
    "scale_apps_interval",
    "task_launch_confirm_timeout",
    "task_launch_timeout",
    "env_vars_prefix",
    "webui_url",
    "checkpoint",
];

pub(super) fn info(call: &Call<'_>) -> Value {
    let mut config: Map<String, Value> = Map::new();
    for (name, value) in call.who.flags.iter().filter(|(name, _)| CONFIG.contains(&name.as_str())) {
        let value = match (value.as_str(), value.parse::<u64>()) {
            ("true" | "false", _) => json!(value == "true"),
            (_, Ok(number)) => json!(number),
            _ => json!(value),
        };
        config.insert(name.clone(), value);
    }
    let features = call.who.flags.get("enable_features").map_or("", String::as_str);
    let features: Vec<_> = features.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    config.insert("features".into(), json!(features));
    config.insert("task_lost_expunge_initial_delay".into(), json!(300_000));
    config.insert("task_lost_expunge_interval".into(), json!(30_000));
    let port = call.who.leader.rsplit(':').next().and_then(|p| p.parse::<u16>().ok()).unwrap_or_default();
    json!({
        "name": "marathon", "version": VERSION,
        "buildref": concat!("mesolite-", env!("CARGO_PKG_VERSION")),
        "elected": true, "leader": call.who.leader, "frameworkId": call.machine.framework_id(),
        "marathon_config": config,
        "zookeeper_config": { "zk": "", "zk_timeout": 10000, "zk_session_timeout": 10000,
            "zk_connection_timeout": 10000, "zk_max_versions": 50 },
        "http_config": { "http_port": port, "https_port": 0 },
    })
}

pub(super) fn metrics(call: &Call<'_>) -> Value {
    let gauge = |n: usize| json!({ "value": n });
    let count = |state: &str| call.machine.instances().filter(|i| i.condition.task_state() == state).count();
    let (streams, cut) = call.machine.event_streams();
    json!({
        "version": "4.0.0",
        "gauges": {
            "marathon.apps.active.gauge": gauge(call.machine.apps().count()),
            "marathon.deployments.active.gauge": gauge(call.machine.deployments().len()),
            "marathon.tasks.running.gauge": gauge(count("TASK_RUNNING")),
            "marathon.tasks.staged.gauge": gauge(count("TASK_STAGING")),
            "marathon.instances.active.gauge": gauge(call.machine.instances().count()),
            "marathon.http.event-streams.active.gauge": gauge(streams),
        },
        "counters": { "marathon.http.event-streams.cut.counter": { "count": cut } },
        "histograms": {}, "meters": {}, "timers": {},
    })
}

pub(super) fn prometheus(call: &Call<'_>) -> Response<Bytes> {
    let mut text = String::new();
    let metrics = metrics(call);
    for (all, kind, of) in [("gauges", "gauge", "value"), ("counters", "counter", "count")] {
        for (name, value) in metrics[all].as_object().into_iter().flatten() {
            let name = name.trim_end_matches(kind).trim_end_matches('.').replace(['.', '-'], "_");
            text.push_str(&format!("# TYPE {name} {kind}\n{name} {}\n", value[of]));
        }
    }
    render(Answer::text(200, text))
}
