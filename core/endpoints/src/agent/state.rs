//! The agent's `/state`: executors and their tasks by framework.
//!
//! Which keys there are: apache/mesos@c1b42f79:src/slave/http.cpp.

use super::shown::{self, Shown};
use crate::nouns;
use agent::{Agent, Task, VERSION};
use api::json::Writer;
use model::{
    mesos::FrameworkInfo,
    resources::{Format, Resources},
};
use std::collections::BTreeMap;

fn executor(w: &mut Writer, shown: &Shown<'_>, ended: bool) {
    let all = if ended { shown.resources() } else { shown.all_resources() };
    let info = &shown.info;
    let task = |w: &mut Writer, task: &&Task| nouns::task(w, &shown::message(task));
    w.open();
    nouns::text(w, "id", shown.id());
    nouns::text(w, "name", info.name());
    nouns::text(w, "source", info.source());
    nouns::text(w, "container", &shown.container.0);
    nouns::text(w, "directory", shown.directory);
    nouns::resources(w, "resources", &all);
    nouns::text(w, "role", shown.role());
    nouns::labels(w, info.labels.as_ref());
    if info.r#type.is_some() {
        nouns::text(w, "type", info.r#type().as_str_name());
    }
    let (over, on): (Vec<_>, Vec<_>) = shown.tasks.iter().partition(|t| ended || !t.is_live());
    nouns::list(w, "tasks", &on, task);
    nouns::texts(w, "queued_tasks", []);
    nouns::list(w, "completed_tasks", &over, task);
    w.close();
}

type ByFramework<'a> = BTreeMap<&'a str, Vec<Shown<'a>>>;

fn by_framework(all: Vec<Shown<'_>>) -> ByFramework<'_> {
    let mut found = ByFramework::new();
    for one in all {
        found.entry(one.framework).or_default().push(one);
    }
    found
}

fn framework(w: &mut Writer, info: &FrameworkInfo, live: &ByFramework<'_>, ended: &ByFramework<'_>) {
    let id = info.id.as_ref().map_or("", |id| id.value.as_str());
    w.open();
    nouns::text(w, "id", id);
    nouns::text(w, "name", &info.name);
    nouns::text(w, "user", &info.user);
    nouns::number(w, "failover_timeout", info.failover_timeout());
    nouns::truth(w, "checkpoint", info.checkpoint());
    nouns::text(w, "hostname", info.hostname());
    if let Some(principal) = &info.principal {
        nouns::text(w, "principal", principal);
    }
    if info.roles.is_empty() {
        nouns::text(w, "role", info.role());
    } else {
        nouns::texts(w, "roles", info.roles.iter().map(String::as_str));
    }
    nouns::list(w, "executors", live.get(id).into_iter().flatten(), |w, e| executor(w, e, false));
    nouns::list(w, "completed_executors", ended.get(id).into_iter().flatten(), |w, e| executor(w, e, true));
    w.close();
}

/// `/state`.
pub(super) fn state(agent: &Agent) -> String {
    let config = agent.config();
    let info = agent.info();
    let total = Resources::from_messages(&info.resources).unwrap_or_default();
    let used = agent.used();
    let live = by_framework(shown::live(agent));
    let ended = by_framework(shown::completed(agent));
    nouns::object(|w| {
        nouns::build(w, VERSION);
        nouns::number(w, "start_time", agent.started().as_secs_f64());
        if let Some(draining) = agent.draining() {
            nouns::message(w, "drain_config", &draining.config);
            nouns::number(w, "estimated_drain_start_time_seconds", draining.since.as_secs_f64());
        }
        nouns::text(w, "id", info.id.as_ref().map_or("", |i| i.value.as_str()));
        nouns::text(w, "pid", &agent.me().to_string());
        nouns::text(w, "hostname", &config.hostname);
        nouns::texts(w, "capabilities", agent.capabilities().iter().map(|c| c.r#type().as_str_name()));
        if let Some(domain) = &info.domain {
            nouns::message(w, "domain", domain);
        }
        nouns::resources(w, "resources", &total);
        nouns::reserved(w, "reserved_resources", &total);
        nouns::resources(w, "unreserved_resources", &total.unreserved());
        nouns::reserved_full(w, "reserved_resources_full", &total);
        nouns::full(w, "unreserved_resources_full", &total.unreserved().to_messages_as(Format::Both));
        nouns::reserved(w, "reserved_resources_allocated", &used);
        nouns::resources(w, "unreserved_resources_allocated", &used.unreserved());
        nouns::texts(w, "resource_providers", []);
        nouns::attributes(w, "attributes", &info.attributes);
        if agent.master().is_some() {
            nouns::text(w, "master_hostname", &config.master_hostname);
        }
        crate::master::flags(w, &config.flags);
        nouns::list(w, "frameworks", agent.frameworks().values(), |w, f| {
            framework(w, &f.info, &live, &ended)
        });
        let over = agent.completed_frameworks().iter().filter(|info| {
            let id = info.id.as_ref().map_or("", |id| id.value.as_str());
            !agent.frameworks().contains_key(id)
        });
        nouns::list(w, "completed_frameworks", over, |w, info| framework(w, info, &live, &ended));
    })
}
