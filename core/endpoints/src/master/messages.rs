//! Large answers of the master's operator API, written straight into text, and the same as messages for protobuf.
//!
//! Unlike all other messages these list what is empty, and agents say `checkpoint`, which only the oldest API has:
//! apache/mesos@c1b42f79:src/master/readonly_handler.cpp (`jsonify`).

use crate::nouns::{self, message};
use api::json::{ToJson as _, Writer};
use master::Master;
use model::mesos::{
    AgentInfo, Task,
    master::{
        Event, event,
        response::{
            GetAgents, GetExecutors, GetFrameworks, GetState, get_agents, get_executors, get_frameworks,
        },
    },
};

/// Where a part of the state comes from: the machine, or a message that was made of it.
pub(super) enum From<'a> {
    Master(&'a Master),
    Message(&'a GetState),
}

fn typed(kind: &str, key: &str, write: impl FnOnce(&mut Writer)) -> String {
    nouns::object(|w| {
        nouns::text(w, "type", kind);
        w.key(key);
        w.open();
        write(w);
        w.close();
    })
}

fn part(w: &mut Writer, key: &str, write: impl FnOnce(&mut Writer)) {
    w.key(key);
    w.open();
    write(w);
    w.close();
}

/// An answer whose payload is one of these parts.
pub(super) fn answer(kind: &str, from: &From<'_>) -> String {
    let key = kind.to_ascii_lowercase();
    typed(kind, &key, |w| match kind {
        "GET_TASKS" => tasks(w, from),
        "GET_EXECUTORS" => executors(w, from),
        "GET_FRAMEWORKS" => frameworks(w, from),
        "GET_AGENTS" => agents(w, from),
        _ => state(w, from),
    })
}

fn state(w: &mut Writer, from: &From<'_>) {
    part(w, "get_tasks", |w| tasks(w, from));
    part(w, "get_executors", |w| executors(w, from));
    part(w, "get_frameworks", |w| frameworks(w, from));
    part(w, "get_agents", |w| agents(w, from));
}

fn tasks(w: &mut Writer, from: &From<'_>) {
    let write = |w: &mut Writer, task: &Task| w.message(task);
    match from {
        From::Master(master) => {
            let [live, unreachable, completed] = master.all_tasks();
            nouns::list(w, "tasks", live, write);
            nouns::list(w, "unreachable_tasks", unreachable, write);
            nouns::list(w, "completed_tasks", completed, write);
        }
        From::Message(state) => {
            let tasks = state.get_tasks.as_ref();
            nouns::list(w, "tasks", tasks.into_iter().flat_map(|t| &t.tasks), write);
            nouns::list(w, "unreachable_tasks", tasks.into_iter().flat_map(|t| &t.unreachable_tasks), write);
            nouns::list(w, "completed_tasks", tasks.into_iter().flat_map(|t| &t.completed_tasks), write);
        }
    }
}

fn executors(w: &mut Writer, from: &From<'_>) {
    let own;
    let all: &GetExecutors = match from {
        From::Master(master) => {
            own = master.executors_message();
            &own
        }
        From::Message(state) => match &state.get_executors {
            Some(all) => all,
            None => {
                own = GetExecutors::default();
                &own
            }
        },
    };
    nouns::list(w, "executors", &all.executors, |w, e: &get_executors::Executor| w.message(e));
}

fn frameworks(w: &mut Writer, from: &From<'_>) {
    let own;
    let all: &GetFrameworks = match from {
        From::Master(master) => {
            own = master.frameworks_message();
            &own
        }
        From::Message(state) => match &state.get_frameworks {
            Some(all) => all,
            None => {
                own = GetFrameworks::default();
                &own
            }
        },
    };
    let write = |w: &mut Writer, f: &get_frameworks::Framework| w.message(f);
    nouns::list(w, "frameworks", &all.frameworks, write);
    nouns::list(w, "completed_frameworks", &all.completed_frameworks, write);
}

fn agents(w: &mut Writer, from: &From<'_>) {
    let own;
    let all: &GetAgents = match from {
        From::Master(master) => {
            own = master.agents_message();
            &own
        }
        From::Message(state) => match &state.get_agents {
            Some(all) => all,
            None => {
                own = GetAgents::default();
                &own
            }
        },
    };
    nouns::list(w, "agents", &all.agents, agent);
    nouns::list(w, "recovered_agents", &all.recovered_agents, info);
}

fn agent(w: &mut Writer, agent: &get_agents::Agent) {
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
    typed("SUBSCRIBED", "subscribed", |w| {
        part(w, "get_state", |w| self::state(w, &From::Message(state)));
        nouns::number(w, "heartbeat_interval_seconds", subscribed.heartbeat_interval_seconds());
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::mesos::master::response::GetTasks;
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
