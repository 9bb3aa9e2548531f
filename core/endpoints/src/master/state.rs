//! `/state` and its parts: agents, frameworks, roles and the whole, in the v0 shapes that tools index. Written straight
//! into text: with many tasks a tree of values would cost several times the answer. What it costs to write again is
//! what changed (`documents`).
//!
//! Which keys there are: apache/mesos@c1b42f79:src/master/readonly_handler.cpp.

use super::documents::{Artist, Sheet};
use crate::{nouns, operator};
use api::json::Writer;
use master::{Agent, Framework, Held, Quantities, Tables as _, VERSION, View, breakdowns_with, known_roles};
use model::{
    mesos::{AgentInfo, TaskState},
    resources::{Format, Resources, to_float},
};
use std::collections::{BTreeMap, HashMap};

fn drain_info(w: &mut Writer, master: &View, id: &str) {
    if let Some(info) = master.policy().draining.get(id) {
        nouns::message(w, "drain_info", info);
    }
}

/// The members that every list of agents has.
fn slave_members(w: &mut Writer, master: &View, agent: &Agent) {
    let id = agent.info.id.as_ref().map_or("", |i| i.value.as_str());
    nouns::text(w, "id", id);
    nouns::text(w, "hostname", &agent.info.hostname);
    w.key("port");
    w.integer(i128::from(agent.info.port()));
    nouns::attributes(w, "attributes", &agent.info.attributes);
    if let Some(domain) = &agent.info.domain {
        nouns::message(w, "domain", domain);
    }
    nouns::text(w, "pid", &agent.pid.to_string());
    nouns::number(w, "registered_time", agent.registered.as_secs_f64());
    if let Some(time) = agent.reregistered {
        nouns::number(w, "reregistered_time", time.as_secs_f64());
    }
    nouns::resources(w, "resources", &agent.total);
    nouns::resources(w, "used_resources", &master.used_on(agent));
    nouns::resources(w, "offered_resources", &master.offered_on(agent));
    nouns::reserved(w, "reserved_resources", &agent.total);
    nouns::resources(w, "unreserved_resources", &agent.total.unreserved());
    nouns::truth(w, "active", master.is_active(agent));
    nouns::truth(w, "deactivated", master.policy().is_deactivated(id));
    nouns::text(w, "version", &agent.version);
    nouns::texts(w, "capabilities", agent.capabilities.iter().map(|c| c.r#type().as_str_name()));
    drain_info(w, master, id);
    if let Some(started) = agent.drain_started {
        nouns::number(w, "estimated_drain_start_time", started.as_secs_f64());
    }
}

fn recovered_slaves(w: &mut Writer, master: &View) {
    let listed = master.recovering().values();
    nouns::list(w, "recovered_slaves", listed, |w, info: &AgentInfo| {
        w.open();
        nouns::text(w, "id", info.id.as_ref().map_or("", |id| id.value.as_str()));
        nouns::text(w, "hostname", &info.hostname);
        w.key("port");
        w.integer(i128::from(info.port()));
        nouns::attributes(w, "attributes", &info.attributes);
        if let Some(domain) = &info.domain {
            nouns::message(w, "domain", domain);
        }
        w.close();
    });
}

/// An agent as `/state` has it.
pub(super) fn agent(w: &mut Writer, master: &View, agent: &Agent) {
    w.open();
    slave_members(w, master, agent);
    w.close();
}

/// An agent as `/slaves` has it.
pub(super) fn full_agent(w: &mut Writer, master: &View, agent: &Agent) {
    w.open();
    slave_members(w, master, agent);
    nouns::reserved_full(w, "reserved_resources_full", &agent.total);
    let unreserved = agent.total.unreserved().to_messages_as(Format::Both);
    nouns::full(w, "unreserved_resources_full", &unreserved);
    nouns::full(w, "used_resources_full", &master.used_messages(agent));
    nouns::full(w, "offered_resources_full", &master.offered_messages(agent));
    w.close();
}

/// `/slaves`.
pub(super) fn slaves(sheet: &mut Sheet, artist: &mut Artist, master: &View) {
    sheet.w.open();
    sheet.w.key("slaves");
    sheet.w.list();
    artist.full_agents(sheet, master);
    sheet.w.end();
    recovered_slaves(&mut sheet.w, master);
    sheet.w.close();
}

/// `/slaves`: one of them.
pub(super) fn one_slave(w: &mut Writer, master: &View, id: &str) {
    w.open();
    nouns::list(w, "slaves", master.agents().get(id), |w, agent| full_agent(w, master, agent));
    recovered_slaves(w, master);
    w.close();
}

/// The members that the summary has too, where it is known what its tasks use. What is used and what is offered come
/// back.
fn framework_members(
    w: &mut Writer,
    master: &View,
    framework: &Framework,
    tasks: &BTreeMap<String, Resources>,
) -> (Resources, Resources) {
    let mut used: Resources = tasks.values().sum();
    for (executor, _) in master.executors_of(framework) {
        if let Ok(more) = Resources::from_messages(&executor.resources) {
            used += &more;
        }
    }
    let mut offered = Resources::default();
    for offer in framework.offers.keys().filter_map(|id| master.offers().get(id)) {
        offered += &offer.resources;
    }
    let info = &framework.info;
    nouns::text(w, "id", framework.id());
    nouns::text(w, "name", &info.name);
    nouns::resources(w, "used_resources", &used);
    nouns::resources(w, "offered_resources", &offered);
    nouns::texts(w, "capabilities", info.capabilities.iter().map(|c| c.r#type().as_str_name()));
    nouns::text(w, "hostname", info.hostname());
    nouns::text(w, "webui_url", info.webui_url());
    nouns::truth(w, "active", framework.is_active());
    nouns::truth(w, "connected", framework.session.is_some());
    nouns::truth(w, "recovered", framework.recovered);
    (used, offered)
}

fn framework(sheet: &mut Sheet, artist: &mut Artist, master: &View, framework: &Framework) {
    let used = artist.used(&framework.tasks);
    let pages = &mut artist.tasks;
    let w = &mut sheet.w;
    w.open();
    let (mut all, offered) = framework_members(w, master, framework, &used);
    all += &offered;
    let info = &framework.info;
    nouns::text(w, "user", &info.user);
    nouns::number(w, "failover_timeout", info.failover_timeout());
    nouns::truth(w, "checkpoint", info.checkpoint());
    nouns::number(w, "registered_time", framework.registered.as_secs_f64());
    nouns::number(w, "unregistered_time", framework.unregistered.map_or(0.0, |t| t.as_secs_f64()));
    if framework.reregistered != framework.registered {
        nouns::number(w, "reregistered_time", framework.reregistered.as_secs_f64());
    }
    if let Some(principal) = &info.principal {
        nouns::text(w, "principal", principal);
    }
    nouns::resources(w, "resources", &all);
    if info
        .capabilities
        .iter()
        .any(|c| c.r#type() == model::mesos::framework_info::capability::Type::MultiRole)
    {
        nouns::texts(w, "roles", info.roles.iter().map(String::as_str));
    } else {
        nouns::text(w, "role", info.role());
    }
    for (key, tasks) in [("tasks", &framework.tasks), ("unreachable_tasks", &framework.unreachable_tasks)] {
        sheet.w.key(key);
        sheet.w.list();
        pages.list(sheet, tasks, nouns::task);
        sheet.w.end();
    }
    sheet.w.key("completed_tasks");
    sheet.w.list();
    pages.ended(sheet, &framework.completed_tasks, nouns::task);
    sheet.w.end();
    let w = &mut sheet.w;
    let offers = framework.offers.keys().filter_map(|id| master.offers().get(id));
    nouns::list(w, "offers", offers, |w, outstanding| {
        w.open();
        nouns::text(w, "id", &outstanding.offer.id.value);
        nouns::text(w, "framework_id", framework.id());
        w.key("allocation_info");
        w.open();
        nouns::text(w, "role", &outstanding.role);
        w.close();
        nouns::text(w, "slave_id", &outstanding.agent);
        nouns::resources(w, "resources", &outstanding.resources);
        w.close();
    });
    nouns::list(w, "executors", master.executors_of(framework), |w, (info, agent)| {
        nouns::executor(w, info, agent);
    });
    nouns::labels(w, info.labels.as_ref());
    nouns::message(w, "offer_constraints", &framework.offer_constraints());
    w.close();
}

/// Frameworks in a list.
fn framework_list(
    sheet: &mut Sheet,
    artist: &mut Artist,
    master: &View,
    key: &str,
    all: &mut dyn Iterator<Item = &Framework>,
) {
    sheet.w.key(key);
    sheet.w.list();
    for one in all {
        sheet.w.item();
        framework(sheet, artist, master, one);
    }
    sheet.w.end();
}

/// `/frameworks`: all of them, or one.
pub(super) fn frameworks(sheet: &mut Sheet, artist: &mut Artist, master: &View, wanted: Option<&str>) {
    let keep = |f: &&Framework| wanted.is_none_or(|w| w == f.id());
    sheet.w.open();
    framework_list(sheet, artist, master, "frameworks", &mut master.frameworks().values().filter(keep));
    let completed = master.completed_frameworks().iter().map(|f| &**f);
    framework_list(sheet, artist, master, "completed_frameworks", &mut completed.filter(keep));
    artist.tasks_done();
    nouns::texts(&mut sheet.w, "unregistered_frameworks", []);
    sheet.w.close();
}

/// `/state`.
pub(super) fn state(sheet: &mut Sheet, artist: &mut Artist, master: &View) {
    let (config, info) = (&master.config, &master.info);
    let pid = info.pid.clone().unwrap_or_default();
    let active = master.agents().values().filter(|a| master.is_active(a)).count();
    let w = &mut sheet.w;
    w.open();
    nouns::build(w, VERSION);
    nouns::number(w, "start_time", master.started.as_secs_f64());
    nouns::number(w, "elected_time", master.started.as_secs_f64());
    nouns::text(w, "id", &master.id);
    nouns::text(w, "pid", &pid);
    nouns::text(w, "hostname", &config.hostname);
    nouns::texts(w, "capabilities", info.capabilities.iter().map(|c| c.r#type().as_str_name()));
    nouns::number(w, "activated_slaves", active as f64);
    nouns::number(w, "deactivated_slaves", (master.agents().len() - active) as f64);
    nouns::number(w, "unreachable_slaves", master.unreachable as f64);
    if let Some(domain) = &info.domain {
        nouns::message(w, "domain", domain);
    }
    if let Some(cluster) = &config.cluster {
        nouns::text(w, "cluster", cluster);
    }
    nouns::text(w, "leader", &pid);
    w.key("leader_info");
    w.open();
    nouns::text(w, "id", &master.id);
    nouns::text(w, "pid", &pid);
    w.key("port");
    w.integer(i128::from(info.port));
    nouns::text(w, "hostname", &config.hostname);
    if let Some(domain) = &info.domain {
        nouns::message(w, "domain", domain);
    }
    w.close();
    flags(w, &config.flags);
    w.key("slaves");
    w.list();
    artist.state_agents(master, |_, page| sheet.items(&page.part));
    sheet.w.end();
    recovered_slaves(&mut sheet.w, master);
    framework_list(sheet, artist, master, "frameworks", &mut master.frameworks().values());
    let completed = master.completed_frameworks().iter().map(|f| &**f);
    framework_list(sheet, artist, master, "completed_frameworks", &mut { completed });
    artist.tasks_done();
    nouns::texts(&mut sheet.w, "orphan_tasks", []);
    nouns::texts(&mut sheet.w, "unregistered_frameworks", []);
    sheet.w.close();
}

/// A member with all flags that upstream names too.
pub(crate) fn flags(w: &mut Writer, all: &BTreeMap<String, String>) {
    w.key("flags");
    w.open();
    for (name, value) in operator::shown(all) {
        nouns::text(w, name, &value);
    }
    w.close();
}

const COUNTED: [TaskState; 10] = [
    TaskState::TaskStaging,
    TaskState::TaskStarting,
    TaskState::TaskRunning,
    TaskState::TaskKilling,
    TaskState::TaskFinished,
    TaskState::TaskKilled,
    TaskState::TaskFailed,
    TaskState::TaskLost,
    TaskState::TaskError,
    TaskState::TaskUnreachable,
];

#[derive(Clone, Default)]
struct Counted<'a> {
    states: [u64; COUNTED.len()],
    /// With repetitions, which come one after the other for the most part.
    others: Vec<&'a str>,
}

impl<'a> Counted<'a> {
    fn count(&mut self, state: Option<usize>, other: &'a str) {
        if let Some(at) = state {
            self.states[at] += 1;
        }
        if self.others.last() != Some(&other) {
            self.others.push(other);
        }
    }
    fn write(&self, w: &mut Writer, ids: &str) {
        for (state, count) in COUNTED.iter().zip(self.states) {
            w.key(state.as_str_name());
            w.integer(i128::from(count));
        }
        let mut others = self.others.clone();
        others.sort_unstable();
        others.dedup();
        nouns::texts(w, ids, others);
    }
}

/// `/state-summary`: one walk over all tasks of live frameworks.
pub(super) fn summary(sheet: &mut Sheet, artist: &mut Artist, master: &View) {
    let mut agents: HashMap<&str, Counted<'_>> = HashMap::new();
    let mut frameworks: HashMap<&str, Counted<'_>> = HashMap::new();
    for framework in master.frameworks().values() {
        let own = frameworks.entry(framework.id()).or_default();
        let tasks = framework.tasks.values().chain(framework.unreachable_tasks.values());
        for task in tasks.chain(framework.completed_tasks.values()) {
            let state = task.state();
            let state = COUNTED.iter().position(|counted| *counted == state);
            agents.entry(&task.agent_id.value).or_default().count(state, framework.id());
            own.count(state, &task.agent_id.value);
        }
    }
    let none = Counted::default();
    let w = &mut sheet.w;
    w.open();
    nouns::text(w, "hostname", &master.config.hostname);
    if let Some(cluster) = &master.config.cluster {
        nouns::text(w, "cluster", cluster);
    }
    w.key("slaves");
    w.list();
    artist.state_agents(master, |page, drawn| {
        let mut from = 0;
        for ((id, _), end) in page.iter().zip(&drawn.ends) {
            // As in `/state`, before its last brace; in front of all but the first stands a comma.
            let text = &drawn.part.plain[from + usize::from(from > 0)..end - 1];
            from = *end;
            w.item();
            w.raw(&String::from_utf8_lossy(text));
            agents.get(id.as_str()).unwrap_or(&none).write(w, "framework_ids");
            w.close();
        }
    });
    w.end();
    w.key("frameworks");
    w.list();
    for framework in master.frameworks().values() {
        let used = artist.used(&framework.tasks);
        w.item();
        w.open();
        framework_members(w, master, framework, &used);
        frameworks.get(framework.id()).unwrap_or(&none).write(w, "slave_ids");
        w.close();
    }
    artist.used_done();
    w.end();
    w.close();
}

fn quantities(w: &mut Writer, key: &str, all: &Quantities) {
    w.key(key);
    w.open();
    for (name, milli) in all.0.iter().filter(|(_, milli)| **milli != 0) {
        nouns::number(w, name, to_float(*milli));
    }
    w.close();
}

/// `/roles`.
pub(super) fn roles(w: &mut Writer, master: &View, held: Held) {
    let known = known_roles(master);
    let found = breakdowns_with(master, &known, held);
    let mut members: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for framework in master.frameworks().values() {
        for role in framework.roles() {
            members.entry(role).or_default().push(framework.id());
        }
    }
    w.open();
    nouns::list(w, "roles", &known, |w, name| {
        let own = found.get(name).cloned().unwrap_or_default();
        let quota = master.policy().quotas.get(name).cloned().unwrap_or_default();
        w.open();
        nouns::text(w, "name", name);
        nouns::number(w, "weight", master.policy().weight(name));
        w.key("quota");
        w.open();
        nouns::text(w, "role", name);
        quantities(w, "guarantee", &Quantities::of(&quota.guarantees));
        quantities(w, "limit", &Quantities::of(&quota.limits));
        quantities(w, "consumed", &own.consumed);
        w.close();
        let mut sum = own.allocated.clone();
        sum.add_all(&own.offered);
        quantities(w, "resources", &sum);
        quantities(w, "allocated", &own.allocated);
        quantities(w, "offered", &own.offered);
        quantities(w, "reserved", &own.reserved);
        let ids = members.get(name).map_or(&[][..], Vec::as_slice);
        nouns::texts(w, "frameworks", ids.iter().copied());
        w.close();
    });
    w.close();
}
