//! The master's read endpoints, in the v0 shapes that tools index: keys spelled "slave", always.

use crate::{
    answer::{json, not_found, parameter, render},
    nouns,
};
use bytes::Bytes;
use http::{Request, Response};
use master::{Agent, Framework, Master, VERSION, is_terminal};
use model::{
    mesos::Task,
    request::{Answer, Body},
    resources::Resources,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const TASKS_LIMIT_DEFAULT: usize = 100;

pub(super) fn read(request: &Request<Bytes>, path: &str, inner: &str, master: &Master) -> Response<Bytes> {
    let query = request.uri().query();
    let own = path == inner;
    match path {
        "/version" => return json(&nouns::version(VERSION), query),
        "/metrics/snapshot" => return json(&metrics(master), query),
        "/metrics/prometheus" => return prometheus(&metrics(master)),
        "/redirect" | "/master/redirect" => return redirect(master),
        _ => {}
    }
    let name = inner.trim_start_matches('/').trim_end_matches('/');
    let (name, rest) = name.split_once('/').unwrap_or((name, ""));
    match name {
        "health" => render(Answer::new(200, Body::Empty)),
        "state" | "state.json" => json(&state(master), query),
        "state-summary" => json(&summary(master), query),
        "slaves" | "slaves.json" => {
            let wanted = parameter(query, "slave_id").or_else(|| (!rest.is_empty()).then(|| rest.to_owned()));
            let listed = master.agents().iter().filter(|(id, _)| wanted.as_ref().is_none_or(|w| w == *id));
            let slaves: Vec<_> = listed.map(|(_, a)| slave(master, a)).collect();
            json(&json!({ "slaves": slaves, "recovered_slaves": recovered(master) }), query)
        }
        "frameworks" => {
            let wanted = parameter(query, "framework_id");
            let keep = |f: &&Framework| wanted.as_ref().is_none_or(|w| w == f.id());
            let live: Vec<_> =
                master.frameworks().values().filter(keep).map(|f| framework(master, f)).collect();
            let completed = master.completed_frameworks().iter().filter(keep);
            let completed: Vec<_> = completed.map(|f| framework(master, f)).collect();
            json(
                &json!({ "frameworks": live, "completed_frameworks": completed, "unregistered_frameworks": [] }),
                query,
            )
        }
        "tasks" | "tasks.json" => json(&tasks(master, query), query),
        "roles" => json(&roles(master), query),
        "flags" => json(&json!({ "flags": master.config().flags }), query),
        "mesolite" if own && rest == "why" => json(&why(master, query), query),
        _ => not_found(),
    }
}

fn redirect(master: &Master) -> Response<Bytes> {
    let mut answer = Answer::new(307, Body::Empty);
    answer
        .headers
        .push(("location", format!("//{}:{}", master.config().hostname, master.config().address.port())));
    render(answer)
}

fn slave(master: &Master, agent: &Agent) -> Value {
    let empty = BTreeMap::<String, Value>::new();
    let reserved: Map<_, _> = agent
        .total
        .by_role()
        .into_iter()
        .filter(|(role, _)| role != "*")
        .map(|(r, v)| (r, nouns::resources(&v)))
        .collect();
    let mut map = Map::new();
    map.insert("id".into(), agent.info.id.as_ref().map_or("", |i| i.value.as_str()).into());
    map.insert("hostname".into(), agent.info.hostname.clone().into());
    map.insert("port".into(), agent.info.port().into());
    map.insert("attributes".into(), nouns::attributes(&agent.info.attributes));
    map.insert("pid".into(), agent.pid.to_string().into());
    map.insert("registered_time".into(), agent.registered.as_secs_f64().into());
    if let Some(time) = agent.reregistered {
        map.insert("reregistered_time".into(), time.as_secs_f64().into());
    }
    map.insert("resources".into(), nouns::resources(&agent.total));
    map.insert("used_resources".into(), nouns::resources(&master.used_on(agent)));
    map.insert("offered_resources".into(), nouns::resources(&master.offered_on(agent)));
    map.insert("reserved_resources".into(), Value::Object(reserved));
    map.insert("unreserved_resources".into(), nouns::resources(&agent.total.unreserved()));
    map.insert("reserved_resources_full".into(), json!(empty));
    map.insert("active".into(), agent.connected.into());
    map.insert("deactivated".into(), false.into());
    map.insert("version".into(), agent.version.clone().into());
    let capabilities: Vec<_> = agent.capabilities.iter().map(|c| c.r#type().as_str_name()).collect();
    map.insert("capabilities".into(), json!(capabilities));
    Value::Object(map)
}

fn recovered(master: &Master) -> Value {
    master
        .recovering()
        .iter()
        .map(|(id, info)| json!({ "id": id, "hostname": info.hostname, "port": info.port() }))
        .collect()
}

fn sum<'a>(tasks: impl Iterator<Item = &'a Task>) -> Resources {
    let mut sum = Resources::default();
    for task in tasks.filter(|t| !is_terminal(t.state())) {
        if let Ok(used) = Resources::from_messages(&task.resources) {
            sum += &used;
        }
    }
    sum
}

fn framework(master: &Master, framework: &Framework) -> Value {
    let used = sum(framework.tasks.values());
    let mut offered = Resources::default();
    for offer in framework.offers.iter().filter_map(|id| master.offers().get(id)) {
        offered += &offer.resources;
    }
    let mut all = used.clone();
    all += &offered;
    let info = &framework.info;
    let mut map = Map::new();
    map.insert("id".into(), framework.id().into());
    map.insert("name".into(), info.name.clone().into());
    map.insert("user".into(), info.user.clone().into());
    map.insert("used_resources".into(), nouns::resources(&used));
    map.insert("offered_resources".into(), nouns::resources(&offered));
    map.insert("resources".into(), nouns::resources(&all));
    let capabilities: Vec<_> = info.capabilities.iter().map(|c| c.r#type().as_str_name()).collect();
    map.insert("capabilities".into(), json!(capabilities));
    map.insert("hostname".into(), info.hostname.clone().unwrap_or_default().into());
    map.insert("webui_url".into(), info.webui_url.clone().unwrap_or_default().into());
    map.insert("active".into(), framework.is_active().into());
    map.insert("connected".into(), framework.session.is_some().into());
    map.insert("recovered".into(), framework.recovered.into());
    map.insert("failover_timeout".into(), info.failover_timeout().into());
    map.insert("checkpoint".into(), info.checkpoint().into());
    map.insert("registered_time".into(), framework.registered.as_secs_f64().into());
    map.insert("unregistered_time".into(), framework.unregistered.map_or(0.0, |t| t.as_secs_f64()).into());
    if framework.reregistered != framework.registered {
        map.insert("reregistered_time".into(), framework.reregistered.as_secs_f64().into());
    }
    if let Some(principal) = &info.principal {
        map.insert("principal".into(), principal.clone().into());
    }
    if info.roles.is_empty() {
        map.insert("role".into(), info.role().into());
    } else {
        map.insert("roles".into(), json!(info.roles));
    }
    map.insert("tasks".into(), framework.tasks.values().map(nouns::task).collect());
    map.insert("unreachable_tasks".into(), framework.unreachable_tasks.values().map(nouns::task).collect());
    map.insert("completed_tasks".into(), framework.completed_tasks.iter().map(nouns::task).collect());
    let offers = framework.offers.iter().filter_map(|id| master.offers().get(id));
    map.insert(
        "offers".into(),
        offers
            .map(|o| {
                json!({ "id": o.offer.id.value, "framework_id": framework.id(), "slave_id": &*o.agent,
                "allocation_info": { "role": &*o.role }, "resources": nouns::resources(&o.resources) })
            })
            .collect(),
    );
    map.insert("executors".into(), json!([]));
    if let Some(labels) = &info.labels {
        map.insert("labels".into(), labels.labels.iter().map(nouns::message).collect());
    }
    Value::Object(map)
}

fn state(master: &Master) -> Value {
    let config = master.config();
    let info = master.info();
    let pid = info.pid.clone().unwrap_or_default();
    let connected = master.agents().values().filter(|a| a.connected).count();
    let slaves: Vec<_> = master.agents().values().map(|a| slave(master, a)).collect();
    let live: Vec<_> = master.frameworks().values().map(|f| framework(master, f)).collect();
    let completed: Vec<_> = master.completed_frameworks().iter().map(|f| framework(master, f)).collect();
    let capabilities: Vec<_> = info.capabilities.iter().map(|c| c.r#type().as_str_name()).collect();
    let mut state = json!({
        "start_time": master.started().as_secs_f64(),
        "elected_time": master.started().as_secs_f64(),
        "id": master.id(), "pid": pid, "hostname": config.hostname, "capabilities": capabilities,
        "activated_slaves": connected, "deactivated_slaves": master.agents().len() - connected,
        "unreachable_slaves": master.unreachable().len(),
        "leader": pid,
        "leader_info": { "id": master.id(), "pid": pid, "port": info.port, "hostname": config.hostname },
        "flags": config.flags,
        "slaves": slaves, "recovered_slaves": recovered(master),
        "frameworks": live, "completed_frameworks": completed,
        "orphan_tasks": [], "unregistered_frameworks": [],
    });
    if let (Some(map), Value::Object(version)) = (state.as_object_mut(), nouns::version(VERSION)) {
        map.extend(version);
        if let Some(cluster) = &config.cluster {
            map.insert("cluster".into(), cluster.clone().into());
        }
    }
    state
}

const COUNTED: [&str; 11] = [
    "TASK_STAGING",
    "TASK_STARTING",
    "TASK_RUNNING",
    "TASK_KILLING",
    "TASK_FINISHED",
    "TASK_KILLED",
    "TASK_FAILED",
    "TASK_LOST",
    "TASK_ERROR",
    "TASK_UNREACHABLE",
    "TASK_DROPPED",
];

fn counts<'a>(tasks: impl Iterator<Item = &'a Task>) -> Map<String, Value> {
    let mut found = BTreeMap::new();
    for task in tasks {
        *found.entry(task.state().as_str_name()).or_insert(0u64) += 1;
    }
    COUNTED
        .iter()
        .map(|name| ((*name).to_owned(), json!(found.get(name).copied().unwrap_or_default())))
        .collect()
}

fn summary(master: &Master) -> Value {
    let slaves: Vec<_> = master
        .agents()
        .iter()
        .map(|(id, agent)| {
            let mut value = slave(master, agent);
            let tasks: Vec<_> =
                agent.tasks.iter().filter_map(|(f, t)| master.frameworks().get(f)?.tasks.get(t)).collect();
            let completed = master.frameworks().values().flat_map(|f| &f.completed_tasks);
            let completed = completed.filter(|t| t.agent_id.value == *id);
            if let Some(map) = value.as_object_mut() {
                map.extend(counts(tasks.iter().copied().chain(completed)));
                let mut ids: Vec<_> = agent.tasks.iter().map(|(f, _)| f.as_str()).collect();
                ids.dedup();
                map.insert("framework_ids".into(), json!(ids));
            }
            value
        })
        .collect();
    let frameworks: Vec<_> = master
        .frameworks()
        .values()
        .map(|f| {
            let mut value = framework(master, f);
            if let Some(map) = value.as_object_mut() {
                for heavy in ["tasks", "unreachable_tasks", "completed_tasks", "offers", "executors"] {
                    map.remove(heavy);
                }
                map.extend(counts(f.tasks.values().chain(&f.completed_tasks)));
                let mut ids: Vec<_> = f.tasks.values().map(|t| t.agent_id.value.as_str()).collect();
                ids.sort_unstable();
                ids.dedup();
                map.insert("slave_ids".into(), json!(ids));
            }
            value
        })
        .collect();
    json!({ "hostname": master.config().hostname, "slaves": slaves, "frameworks": frameworks })
}

fn tasks(master: &Master, query: Option<&str>) -> Value {
    let framework_id = parameter(query, "framework_id");
    let task_id = parameter(query, "task_id");
    let number = |name: &str| parameter(query, name).and_then(|v| v.parse::<i64>().ok());
    let limit = match number("limit") {
        Some(-1) => usize::MAX,
        Some(n) => usize::try_from(n).unwrap_or(TASKS_LIMIT_DEFAULT),
        None => TASKS_LIMIT_DEFAULT,
    };
    let offset = number("offset").and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
    let frameworks = master.frameworks().values().chain(master.completed_frameworks());
    let mut all: Vec<&Task> = frameworks
        .filter(|f| framework_id.as_ref().is_none_or(|w| w == f.id()))
        .flat_map(|f| f.tasks.values().chain(f.unreachable_tasks.values()).chain(&f.completed_tasks))
        .filter(|t| task_id.as_ref().is_none_or(|w| *w == t.task_id.value))
        .collect();
    let since = |t: &Task| t.statuses.first().and_then(|s| s.timestamp).unwrap_or(f64::MAX);
    all.sort_by(|a, b| since(a).total_cmp(&since(b)));
    if parameter(query, "order").as_deref() != Some("asc") {
        all.reverse();
    }
    let listed: Vec<_> = all.into_iter().skip(offset).take(limit).map(nouns::task).collect();
    json!({ "tasks": listed })
}

fn roles(master: &Master) -> Value {
    let mut by_role: BTreeMap<String, (Vec<&str>, Resources)> = BTreeMap::new();
    for framework in master.frameworks().values() {
        for role in framework.roles() {
            let entry = by_role.entry(role).or_default();
            entry.0.push(framework.id());
            entry.1 += &sum(framework.tasks.values());
            for offer in framework.offers.iter().filter_map(|id| master.offers().get(id)) {
                entry.1 += &offer.resources;
            }
        }
    }
    let weight =
        |role: &str| master.config().weights.iter().find(|(r, _)| r == role).map_or(1.0, |(_, w)| *w);
    let roles: Vec<_> = by_role
        .iter()
        .map(|(role, (frameworks, resources))| {
            json!({ "name": role, "weight": weight(role), "frameworks": frameworks,
                "resources": nouns::resources(resources) })
        })
        .collect();
    json!({ "roles": roles })
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

fn metrics(master: &Master) -> Value {
    let counters = master.counters();
    let mut total = Resources::default();
    let mut used = Resources::default();
    for agent in master.agents().values() {
        total += &agent.total;
        used += &master.used_on(agent);
    }
    let agents = master.agents().values();
    let frameworks = master.frameworks().values();
    let mut map = Map::new();
    let mut put = |name: String, value: f64| {
        map.insert(name, json!(value));
    };
    put("master/elected".into(), 1.0);
    put("master/slaves_connected".into(), agents.clone().filter(|a| a.connected).count() as f64);
    put("master/slaves_disconnected".into(), agents.clone().filter(|a| !a.connected).count() as f64);
    put("master/slaves_active".into(), agents.clone().filter(|a| a.connected).count() as f64);
    put("master/slaves_inactive".into(), agents.filter(|a| !a.connected).count() as f64);
    put("master/slaves_unreachable".into(), master.unreachable().len() as f64);
    put(
        "master/frameworks_connected".into(),
        frameworks.clone().filter(|f| f.session.is_some()).count() as f64,
    );
    put(
        "master/frameworks_disconnected".into(),
        frameworks.clone().filter(|f| f.session.is_none()).count() as f64,
    );
    put("master/frameworks_active".into(), frameworks.clone().filter(|f| f.session.is_some()).count() as f64);
    put(
        "master/frameworks_inactive".into(),
        frameworks.clone().filter(|f| f.session.is_none()).count() as f64,
    );
    put("master/outstanding_offers".into(), master.offers().len() as f64);
    put("master/messages_status_update".into(), counters.updates as f64);
    put("master/invalid_status_updates".into(), counters.updates_dropped as f64);
    put("master/dropped_messages".into(), counters.messages_dropped as f64);
    put("master/messages_reconcile_tasks".into(), counters.reconciliations as f64);
    for kind in ["cpus", "gpus", "mem", "disk"] {
        let (total, used) = (total.scalar(kind), used.scalar(kind));
        put(format!("master/{kind}_total"), total);
        put(format!("master/{kind}_used"), used);
        put(format!("master/{kind}_percent"), if total > 0.0 { used / total } else { 0.0 });
    }
    let live: Vec<_> =
        frameworks.flat_map(|f| f.tasks.values().chain(f.unreachable_tasks.values())).collect();
    for state in ["TASK_STAGING", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLING", "TASK_UNREACHABLE"] {
        let count = live.iter().filter(|t| t.state().as_str_name() == state).count();
        put(format!("master/{}", state.to_lowercase().replacen("task_", "tasks_", 1)), count as f64);
    }
    for state in [
        "TASK_FINISHED",
        "TASK_FAILED",
        "TASK_KILLED",
        "TASK_LOST",
        "TASK_ERROR",
        "TASK_DROPPED",
        "TASK_GONE",
    ] {
        let count = counters.ended.get(state).copied().unwrap_or_default();
        put(format!("master/{}", state.to_lowercase().replacen("task_", "tasks_", 1)), count as f64);
    }
    Value::Object(map)
}

fn prometheus(metrics: &Value) -> Response<Bytes> {
    let mut text = String::new();
    for (name, value) in metrics.as_object().into_iter().flatten() {
        let name = name.replace(['/', '.', '-'], "_");
        text.push_str(&format!("# TYPE mesos_{name} gauge\nmesos_{name} {value}\n"));
    }
    render(Answer::text(200, text))
}
