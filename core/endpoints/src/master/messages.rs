//! Large answers of the master's operator API, written straight into text, and the same as messages for protobuf.
//!
//! Unlike all other messages these list what is empty, and agents say `checkpoint`, which only the oldest API has:
//! apache/mesos@c1b42f79:src/master/readonly_handler.cpp (`jsonify`).

use super::documents::{Artist, Sheet};
use crate::nouns::{self, message};
use api::json::{ToJson as _, Writer};
use master::{HEARTBEAT_INTERVAL, Tables as _, View};
use model::mesos::{
    AgentInfo, Task,
    master::response::{GetExecutors, get_agents, get_executors},
};

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
        _ => state(sheet, artist, view),
    }
    sheet.w.close();
    sheet.w.close();
    if matches!(kind, "GET_TASKS" | "GET_STATE") {
        artist.tasks_v1_done();
    }
}

fn state(sheet: &mut Sheet, artist: &mut Artist, view: &View) {
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
    live().for_each(|f| pages.list(sheet, &f.tasks, task));
    sheet.w.end();
    key(sheet, "unreachable_tasks");
    live().for_each(|f| pages.list(sheet, &f.unreachable_tasks, task));
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
        let used = artist.used(&framework.tasks);
        w.message(&view.framework_using(framework, used));
    });
    nouns::list(&mut sheet.w, "completed_frameworks", view.completed_frameworks(), |w, framework| {
        w.message(&view.framework_shown(framework));
    });
    artist.used_done();
}

fn agents(sheet: &mut Sheet, artist: &mut Artist, view: &View) {
    sheet.w.key("agents");
    sheet.w.list();
    artist.agents_v1(sheet, view);
    sheet.w.end();
    nouns::list(&mut sheet.w, "recovered_agents", view.recovering().values(), info);
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

/// SUBSCRIBED: the whole state as a new reader of the event stream gets it.
pub(super) fn subscribed(sheet: &mut Sheet, artist: &mut Artist, view: &View) {
    sheet.w.open();
    nouns::text(&mut sheet.w, "type", "SUBSCRIBED");
    sheet.w.key("subscribed");
    sheet.w.open();
    sheet.w.key("get_state");
    sheet.w.open();
    state(sheet, artist, view);
    sheet.w.close();
    nouns::number(&mut sheet.w, "heartbeat_interval_seconds", HEARTBEAT_INTERVAL.as_secs_f64());
    sheet.w.close();
    sheet.w.close();
    artist.tasks_v1_done();
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Now, Rng, Time};
    use master::{Config, Master};
    use model::{document, request::Codec, save::Records};
    use serde_json::{Value, json};

    #[test]
    fn a_snapshot_lists_what_is_empty() {
        let config = Config::at("127.0.0.1:5050".parse().unwrap());
        let mut rng = Rng::from_number(1);
        let master = Master::new(config, &Records::default(), Now::new(Time::EPOCH, &mut rng));
        let record = document::whole(&Artist::default().everything(&master.view(), Codec::Json));
        let text = std::str::from_utf8(&record).unwrap();
        let (length, text) = text.split_once('\n').unwrap();
        assert_eq!(length, text.len().to_string());
        let got: Value = serde_json::from_str(text).unwrap();
        assert_eq!(got["type"], "SUBSCRIBED");
        let state = &got["subscribed"]["get_state"];
        assert_eq!(state["get_tasks"], json!({"tasks": [], "unreachable_tasks": [], "completed_tasks": []}));
        assert_eq!(state["get_executors"], json!({"executors": []}));
        assert_eq!(state["get_frameworks"], json!({"frameworks": [], "completed_frameworks": []}));
        assert_eq!(state["get_agents"], json!({"agents": [], "recovered_agents": []}));
        assert_eq!(got["subscribed"]["heartbeat_interval_seconds"], 15.0);
    }

    #[test]
    fn an_agent_says_checkpoint_which_only_the_oldest_api_has() {
        let info = AgentInfo { hostname: "h".into(), checkpoint: Some(true), ..Default::default() };
        let said = nouns::object(|w| {
            w.key("agent");
            agent(w, &get_agents::Agent { agent_info: info, ..Default::default() });
        });
        let got: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(got["agent"]["agent_info"]["checkpoint"], true);
    }
}
