//! Large answers of the master's operator API, written straight into text, and the same as messages for protobuf.
//!
//! Unlike all other messages these list what is empty, and agents say `checkpoint`, which only the oldest API has:
//! apache/mesos@c1b42f79:src/master/readonly_handler.cpp (`jsonify`).

use super::documents::{Artist, Sheet};
use crate::nouns::{self, message};
use api::json::{ToJson as _, Writer};
use master::{Tables as _, View};
use model::mesos::{
    AgentInfo, Task,
    master::{
        Event, event,
        response::{GetExecutors, GetState, get_agents, get_executors, get_frameworks},
    },
};
use std::collections::BTreeMap;

fn part(w: &mut Writer, key: &str, write: impl FnOnce(&mut Writer)) {
    w.key(key);
    w.open();
    write(w);
    w.close();
}

/// An answer of the operator API whose payload is one of these parts, or all of them.
pub(super) fn large(sheet: &mut Sheet, artist: &mut Artist, view: &View, kind: &str) {
    let key = kind.to_ascii_lowercase();
    sheet.w.open();
    nouns::text(&mut sheet.w, "type", kind);
    sheet.w.key(&key);
    sheet.w.open();
    match kind {
        "GET_TASKS" => tasks(sheet, artist, view),
        "GET_EXECUTORS" => executors(&mut sheet.w, &view.executors_message()),
        "GET_FRAMEWORKS" => frameworks(sheet, artist, view),
        "GET_AGENTS" => agents(sheet, artist, view),
        _ => {
            for part in ["get_tasks", "get_executors", "get_frameworks", "get_agents"] {
                sheet.w.key(part);
                sheet.w.open();
                match part {
                    "get_tasks" => tasks(sheet, artist, view),
                    "get_executors" => executors(&mut sheet.w, &view.executors_message()),
                    "get_frameworks" => frameworks(sheet, artist, view),
                    _ => agents(sheet, artist, view),
                }
                sheet.w.close();
            }
        }
    }
    sheet.w.close();
    sheet.w.close();
    if matches!(kind, "GET_TASKS" | "GET_STATE") {
        artist.tasks_v1_done();
    }
}

fn task(w: &mut Writer, task: &Task) {
    w.message(task);
}

fn tasks(sheet: &mut Sheet, artist: &mut Artist, view: &View) {
    let pages = &mut artist.tasks_v1;
    let live = || view.frameworks().values();
    let key = |sheet: &mut Sheet, key: &str| {
        sheet.w.key(key);
        sheet.w.list();
    };
    key(sheet, "tasks");
    live().for_each(|f| pages.list(sheet, &f.tasks, task, &mut BTreeMap::new()));
    sheet.w.end();
    key(sheet, "unreachable_tasks");
    live().for_each(|f| pages.list(sheet, &f.unreachable_tasks, task, &mut BTreeMap::new()));
    sheet.w.end();
    key(sheet, "completed_tasks");
    let all = live().chain(view.completed_frameworks().iter().map(|f| &**f));
    all.for_each(|f| pages.ended(sheet, &f.completed_tasks, task));
    sheet.w.end();
}

fn executors(w: &mut Writer, all: &GetExecutors) {
    nouns::list(w, "executors", &all.executors, |w, e: &get_executors::Executor| w.message(e));
}

fn frameworks(sheet: &mut Sheet, artist: &mut Artist, view: &View) {
    let live = view.frameworks().values();
    nouns::list(&mut sheet.w, "frameworks", live, |w, framework| {
        let used = artist.tasks_v1.used(&framework.tasks, task);
        w.message(&view.framework_using(framework, used));
    });
    nouns::list(&mut sheet.w, "completed_frameworks", view.completed_frameworks(), |w, framework| {
        w.message(&view.framework_shown(framework));
    });
}

fn agents(sheet: &mut Sheet, artist: &mut Artist, view: &View) {
    sheet.w.key("agents");
    sheet.w.list();
    artist.agents_v1(sheet, view);
    sheet.w.end();
    nouns::list(&mut sheet.w, "recovered_agents", view.recovering().values(), info);
}

/// The whole state as an event has it.
fn state(w: &mut Writer, state: &GetState) {
    let (tasks, all) = (state.get_tasks.as_ref(), state.get_frameworks.as_ref());
    part(w, "get_tasks", |w| {
        nouns::list(w, "tasks", tasks.into_iter().flat_map(|t| &t.tasks), task);
        nouns::list(w, "unreachable_tasks", tasks.into_iter().flat_map(|t| &t.unreachable_tasks), task);
        nouns::list(w, "completed_tasks", tasks.into_iter().flat_map(|t| &t.completed_tasks), task);
    });
    part(w, "get_executors", |w| match &state.get_executors {
        Some(all) => executors(w, all),
        None => executors(w, &GetExecutors::default()),
    });
    part(w, "get_frameworks", |w| {
        let write = |w: &mut Writer, f: &get_frameworks::Framework| w.message(f);
        nouns::list(w, "frameworks", all.into_iter().flat_map(|f| &f.frameworks), write);
        nouns::list(w, "completed_frameworks", all.into_iter().flat_map(|f| &f.completed_frameworks), write);
    });
    part(w, "get_agents", |w| {
        let all = state.get_agents.as_ref();
        nouns::list(w, "agents", all.into_iter().flat_map(|a| &a.agents), agent);
        nouns::list(w, "recovered_agents", all.into_iter().flat_map(|a| &a.recovered_agents), info);
    });
}

/// An agent as the operator API has it.
pub(super) fn agent(w: &mut Writer, agent: &get_agents::Agent) {
    w.open();
    w.key("agent_info");
    info(w, &agent.agent_info);
    nouns::truth(w, "active", agent.active);
    if let Some(deactivated) = agent.deactivated {
        nouns::truth(w, "deactivated", deactivated);
    }
    nouns::text(w, "version", &agent.version);
    nouns::text(w, "pid", agent.pid());
    for (key, time) in [
        ("registered_time", &agent.registered_time),
        ("reregistered_time", &agent.reregistered_time),
        ("estimated_drain_start_time", &agent.estimated_drain_start_time),
    ] {
        if let Some(time) = time {
            message(w, key, time);
        }
    }
    for (key, resources) in [
        ("total_resources", &agent.total_resources),
        ("allocated_resources", &agent.allocated_resources),
        ("offered_resources", &agent.offered_resources),
    ] {
        if !resources.is_empty() {
            nouns::full(w, key, resources);
        }
    }
    nouns::list(w, "capabilities", &agent.capabilities, |w, c| w.message(c));
    if !agent.resource_providers.is_empty() {
        nouns::list(w, "resource_providers", &agent.resource_providers, |w, p| w.message(p));
    }
    if let Some(info) = &agent.drain_info {
        message(w, "drain_info", info);
    }
    w.close();
}

fn info(w: &mut Writer, info: &AgentInfo) {
    let text = info.to_json();
    match (info.checkpoint, text.strip_suffix('}')) {
        (Some(checkpoint), Some(open)) => w.raw(&format!("{open},\"checkpoint\":{checkpoint}}}")),
        _ => w.raw(&text),
    }
}

/// An event of the operator's stream as JSON.
pub(super) fn event(event: &Event) -> String {
    let subscribed = event.subscribed.as_ref().filter(|_| event.r#type() == event::Type::Subscribed);
    let Some((subscribed, state)) = subscribed.and_then(|s| Some((s, s.get_state.as_ref()?))) else {
        return event.to_json();
    };
    nouns::object(|w| {
        nouns::text(w, "type", "SUBSCRIBED");
        part(w, "subscribed", |w| {
            part(w, "get_state", |w| self::state(w, state));
            nouns::number(w, "heartbeat_interval_seconds", subscribed.heartbeat_interval_seconds());
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::mesos::master::response::{GetAgents, GetTasks};
    use serde_json::{Value, json};

    #[test]
    fn the_snapshot_lists_what_is_empty_and_other_events_do_not() {
        let mut agents = GetAgents::default();
        let agent_info = AgentInfo { hostname: "h".into(), checkpoint: Some(true), ..Default::default() };
        agents.agents.push(get_agents::Agent { agent_info, ..Default::default() });
        let state =
            GetState { get_tasks: Some(GetTasks::default()), get_agents: Some(agents), ..Default::default() };
        let subscribed = event::Subscribed { get_state: Some(state), heartbeat_interval_seconds: Some(15.0) };
        let mut said = Event { subscribed: Some(subscribed), ..Default::default() };
        said.set_type(event::Type::Subscribed);
        let got: Value = serde_json::from_str(&event(&said)).unwrap();
        let state = &got["subscribed"]["get_state"];
        assert_eq!(state["get_tasks"], json!({"tasks": [], "unreachable_tasks": [], "completed_tasks": []}));
        assert_eq!(state["get_frameworks"], json!({"frameworks": [], "completed_frameworks": []}));
        assert_eq!(state["get_agents"]["agents"][0]["agent_info"]["checkpoint"], true);
        assert_eq!(got["subscribed"]["heartbeat_interval_seconds"], 15.0);
        let mut beat = Event::default();
        beat.set_type(event::Type::Heartbeat);
        assert_eq!(event(&beat), "{\"type\":\"HEARTBEAT\"}");
    }
}
