//! The master's older read endpoints by name. The large ones are drawn apart (`documents`).

use super::{
    documents::{Ask, What},
    registry, state,
};
use crate::{
    Perform, Routed,
    answer::{empty, json, json_text, parameter, render},
    nouns,
};
use api::json::Writer;
use bytes::Bytes;
use http::Response;
use master::{Input, Master, Tables as _, View};
use model::{
    mesos::Task,
    request::{Answer, Body},
};
use serde_json::{Value, json};

const TASKS_LIMIT_DEFAULT: usize = 100;

/// Endpoints of this file, besides those of processes of their own.
pub(super) const NAMES: [&str; 12] = [
    "health",
    "state",
    "state.json",
    "state-summary",
    "slaves",
    "slaves.json",
    "frameworks",
    "tasks",
    "tasks.json",
    "roles",
    "flags",
    "mesolite/why",
];

/// A request of one of `NAMES`; `rest` is what follows the name in its path.
pub(super) fn route(name: &str, rest: &str, query: Option<&str>, master: &Master) -> Routed<Input, Perform> {
    let named = |parameter_name: &str| {
        parameter(query, parameter_name).or_else(|| {
            let one = !rest.is_empty() && !rest.contains('/');
            one.then(|| rest.to_owned())
        })
    };
    let what = match name {
        "state" | "state.json" => Some(What::State),
        "state-summary" => Some(What::Summary),
        "slaves" | "slaves.json" => Some(What::Slaves(named("slave_id"))),
        "frameworks" => Some(What::Frameworks(named("framework_id"))),
        "roles" => Some(What::Roles),
        "tasks" | "tasks.json" => Some(What::Tasks(query.map(str::to_owned))),
        _ => None,
    };
    if let Some(what) = what {
        return Routed::Perform(Perform::Document(Ask { what, jsonp: parameter(query, "jsonp") }));
    }
    let text = match name {
        "health" => return Routed::Respond(empty()),
        "flags" => nouns::object(|w| state::flags(w, &master.config().flags)),
        _ => return Routed::Respond(json(&why(master, query), query)),
    };
    Routed::Respond(json_text(text, query))
}

/// Where the leader is.
pub(super) fn redirect(master: &Master) -> Response<Bytes> {
    let config = master.config();
    let mut answer = Answer::new(307, Body::Empty);
    answer.headers.push(("location", format!("//{}:{}", config.hostname, config.address.port())));
    render(answer)
}

/// `/registrar(1)/registry`.
pub(super) fn registry(master: &Master, query: Option<&str>) -> Response<Bytes> {
    json_text(registry::text(master), query)
}

/// `/tasks`. What can't be parsed of the query counts as not said.
pub(super) fn tasks(w: &mut Writer, master: &View, query: Option<&str>) {
    let framework_id = parameter(query, "framework_id");
    let task_id = parameter(query, "task_id");
    let number = |name: &str| parameter(query, name).and_then(|v| v.parse::<i64>().ok());
    let limit = match number("limit") {
        Some(-1) => usize::MAX,
        Some(n) => usize::try_from(n).unwrap_or(TASKS_LIMIT_DEFAULT),
        None => TASKS_LIMIT_DEFAULT,
    };
    let offset = number("offset").and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
    let frameworks = master.frameworks().values().chain(master.completed_frameworks().iter().map(|f| &**f));
    let mut all: Vec<&Task> = frameworks
        .filter(|f| framework_id.as_ref().is_none_or(|w| w == f.id()))
        .flat_map(|f| f.tasks.values().chain(f.unreachable_tasks.values()).chain(f.completed_tasks.values()))
        .filter(|t| task_id.as_ref().is_none_or(|w| *w == t.task_id.value))
        .collect();
    let since = |t: &Task| t.statuses.first().and_then(|s| s.timestamp).unwrap_or(f64::MAX);
    all.sort_by(|a, b| since(a).total_cmp(&since(b)));
    if parameter(query, "order").as_deref() != Some("asc") {
        all.reverse();
    }
    w.open();
    nouns::list(w, "tasks", all.into_iter().skip(offset).take(limit), nouns::task);
    w.close();
}

/// Why a framework has no offers, agent by agent.
fn why(master: &Master, query: Option<&str>) -> Value {
    let framework = parameter(query, "framework").unwrap_or_default();
    let role = parameter(query, "role").unwrap_or_else(|| "*".to_owned());
    let agents: Vec<_> = master
        .allocator()
        .explain(&framework, &role, None)
        .into_iter()
        .map(|w| {
            json!({ "agent": &*w.agent, "hostname": w.hostname, "stage": format!("{:?}", w.stage),
                "free": w.free.to_string(), "held": w.held.to_string() })
        })
        .collect();
    json!({ "framework": framework, "role": role, "agents": agents })
}
