//! What is read of an orchestrator, in Marathon's shapes.

use super::{Call, Outcome, json_answer, message};
use crate::{answer::parameter, render};
use bytes::Bytes;
use http::Response;
use model::request::Answer;
use orchestrator::{instances::Instance, when};
use serde_json::{Map, Value, json};

/// The version that clients see.
const VERSION: &str = "1.11.0";

/// What is asked for besides the app, and what always comes.
fn embeds(call: &Call<'_>, always: &[&str]) -> Vec<String> {
    let asked = call.query.into_iter().flat_map(|q| q.split('&')).filter_map(|p| p.strip_prefix("embed="));
    let names = asked.map(|e| e.rsplit('.').next().unwrap_or(e)).flat_map(|name| match name {
        "failures" => vec!["tasks", "lastTaskFailure"],
        name => vec![name],
    });
    names.chain(always.iter().copied()).map(str::to_owned).collect()
}

pub(super) fn list(call: &Call<'_>) -> Outcome {
    let embed = embeds(call, &[]);
    let text = |name: &str| parameter(call.query, name).map(|t| t.to_lowercase());
    let (cmd, id) = (text("cmd"), text("id"));
    let selector = match parameter(call.query, "label") {
        Some(label) => parse_selector(&label).map_err(|why| message(422, &why))?,
        None => Vec::new(),
    };
    let has = |field: &str, value: &Value, wanted: &Option<String>| {
        wanted
            .as_ref()
            .is_none_or(|w| value.get(field).and_then(Value::as_str).unwrap_or("").to_lowercase().contains(w))
    };
    let apps: Vec<_> = call
        .machine
        .apps()
        .filter(|(_, s)| has("cmd", &s.app, &cmd) && has("id", &s.app, &id))
        .filter(|(_, s)| selector.iter().all(|rule| rule.matches(s.app.get("labels"))))
        .filter_map(|(id, _)| call.machine.app_info(id, &embed))
        .collect();
    Err(json_answer(&json!({ "apps": apps })))
}

enum Rule {
    Exists(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

impl Rule {
    fn matches(&self, labels: Option<&Value>) -> bool {
        let get = |key: &str| labels.and_then(|l| l.get(key)?.as_str());
        match self {
            Self::Exists(key) => get(key).is_some(),
            Self::In(key, values) => get(key).is_some_and(|v| values.iter().any(|w| w == v)),
            Self::NotIn(key, values) => get(key).is_some_and(|v| values.iter().all(|w| w != v)),
        }
    }
}

/// `k`, `k==v`, `k!=v`, `k in (a,b)`, `k notin (a)`; commas outside parentheses are "and".
fn parse_selector(text: &str) -> Result<Vec<Rule>, String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    let values = |list: &str| -> Option<Vec<String>> {
        let inner = list.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inner.split(',').map(|v| v.trim().to_owned()).collect())
    };
    parts
        .iter()
        .map(|part| part.trim())
        .map(|part| {
            let wrong = || {
                format!("'{part}' is not a label selector: write k, k==v, k!=v, k in (a,b) or k notin (a)")
            };
            let rule = if let Some((key, value)) = part.split_once("!=") {
                Rule::NotIn(key.trim().to_owned(), vec![value.trim().to_owned()])
            } else if let Some((key, value)) = part.split_once("==") {
                Rule::In(key.trim().to_owned(), vec![value.trim().to_owned()])
            } else if let Some((key, list)) = part.split_once(" notin ") {
                Rule::NotIn(key.trim().to_owned(), values(list).ok_or_else(wrong)?)
            } else if let Some((key, list)) = part.split_once(" in ") {
                Rule::In(key.trim().to_owned(), values(list).ok_or_else(wrong)?)
            } else if part.is_empty() || part.contains(char::is_whitespace) {
                return Err(wrong());
            } else {
                Rule::Exists(part.to_owned())
            };
            Ok(rule)
        })
        .collect()
}

pub(super) fn below(call: &Call<'_>, group: &str) -> Value {
    let prefix = format!("{}/", group.trim_end_matches('/'));
    let embed = embeds(call, &[]);
    call.machine
        .apps()
        .filter(|(id, _)| id.starts_with(&prefix))
        .filter_map(|(id, _)| call.machine.app_info(id, &embed))
        .collect()
}

fn no_app(id: &str) -> Response<Bytes> {
    message(404, &format!("App '{id}' does not exist"))
}

pub(super) fn app(call: &Call<'_>, id: &str) -> Response<Bytes> {
    match call.machine.app_info(id, &embeds(call, &["tasks", "lastTaskFailure"])) {
        Some(app) => json_answer(&json!({ "app": app })),
        None => no_app(id),
    }
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
    match call.machine.app(id).and_then(|s| s.versions.get(version)) {
        Some(app) => json_answer(app),
        None => message(404, &format!("App '{id}' does not exist in version '{version}'")),
    }
}

pub(super) fn tasks_of(call: &Call<'_>, id: &str) -> Response<Bytes> {
    if let Some(group) = id.strip_suffix("/*") {
        let prefix = format!("{group}/");
        let all = call.machine.instances().filter(|i| i.app.starts_with(&prefix));
        let tasks: Vec<_> = all.map(|i| call.machine.task_info(i)).collect();
        return json_answer(&json!({ "tasks": tasks }));
    }
    match call.machine.app(id) {
        Some(_) => json_answer(&json!({ "tasks": call.machine.tasks_info(id) })),
        None => no_app(id),
    }
}

pub(super) fn tasks(call: &Call<'_>) -> Value {
    let query = call.query.unwrap_or_default().replace("%5B%5D", "[]");
    let wanted: Vec<&str> = query
        .split('&')
        .filter_map(|p| p.strip_prefix("status=").or_else(|| p.strip_prefix("status[]=")))
        .collect();
    let keep = |i: &&Instance| {
        let running = i.condition.task_state() == "TASK_RUNNING";
        wanted.is_empty() || wanted.contains(&if running { "running" } else { "staging" })
    };
    let all = call.machine.instances().filter(keep);
    let tasks: Vec<_> = all.map(|i| call.machine.task_info(i)).collect();
    json!({ "tasks": tasks })
}

/// `?embed=lastUnusedOffers` adds the offers that did not fit.
pub(super) fn queue(call: &Call<'_>) -> Value {
    let unused = parameter(call.query, "embed").as_deref() == Some("lastUnusedOffers");
    call.machine.queue_info(call.now, unused)
}

pub(super) fn root_group(call: &Call<'_>) -> Value {
    let embed = embeds(call, &[]);
    let apps: Vec<_> = call.machine.apps().filter_map(|(id, _)| call.machine.app_info(id, &embed)).collect();
    let newest = call.machine.apps().filter_map(|(_, s)| s.app.get("version")?.as_str()).max();
    json!({ "id": "/", "apps": apps, "groups": [], "pods": [], "dependencies": [],
        "version": newest.map_or_else(|| when(0), str::to_owned) })
}

/// What Marathon says of its settings; strict clients refuse other names.
const CONFIG: [&str; 14] = [
    "master",
    "hostname",
    "framework_name",
    "mesos_role",
    "mesos_user",
    "failover_timeout",
    "local_port_min",
    "local_port_max",
    "decline_offer_duration",
    "reconciliation_interval",
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
    config.insert("features".into(), json!([]));
    let port = call.who.leader.rsplit(':').next().and_then(|p| p.parse::<u16>().ok()).unwrap_or_default();
    json!({
        "name": "marathon", "version": VERSION,
        "buildref": concat!("mesolite-", env!("CARGO_PKG_VERSION")),
        "elected": true, "leader": call.who.leader, "frameworkId": call.machine.framework_id(),
        "marathon_config": config,
        "zookeeper_config": { "zk": "", "zk_timeout": 10000, "zk_session_timeout": 10000,
            "zk_connection_timeout": 10000, "zk_max_versions": 25 },
        "http_config": { "http_port": port, "https_port": 0 },
    })
}

pub(super) fn metrics(call: &Call<'_>) -> Value {
    let gauge = |n: usize| json!({ "value": n });
    let count = |state: &str| call.machine.instances().filter(|i| i.condition.task_state() == state).count();
    json!({
        "version": "4.0.0",
        "gauges": {
            "marathon.apps.active.gauge": gauge(call.machine.apps().count()),
            "marathon.deployments.active.gauge": gauge(call.machine.deployments().len()),
            "marathon.tasks.running.gauge": gauge(count("TASK_RUNNING")),
            "marathon.tasks.staged.gauge": gauge(count("TASK_STAGING")),
            "marathon.instances.active.gauge": gauge(call.machine.instances().count()),
        },
        "counters": {}, "histograms": {}, "meters": {}, "timers": {},
    })
}

pub(super) fn prometheus(call: &Call<'_>) -> Response<Bytes> {
    let mut text = String::new();
    for (name, value) in metrics(call)["gauges"].as_object().into_iter().flatten() {
        let name = name.trim_end_matches(".gauge").replace('.', "_");
        text.push_str(&format!("# TYPE {name} gauge\n{name} {}\n", value["value"]));
    }
    render(Answer::text(200, text))
}
