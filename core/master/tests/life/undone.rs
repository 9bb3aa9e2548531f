//! Operations that an agent did not do, or did not say that it did: what the master then takes it to have.

use crate::{operations::*, world::*};
use model::{
    link::{Message, Upid},
    mesos::{AgentId, OperationState, Resource, TaskInfo, TaskState, Uuid, agent_info, internal, offer},
};

const ALL: &str = "cpus:4; mem:1024; disk:1000";

/// It asks to be taken in again, with what it had by then.
fn back(w: &mut World, pid: &Upid, agent: &AgentId, version: u8, checkpointed: Vec<Resource>) {
    use agent_info::capability::Type as T;
    let caps = w.master.agents().get(&agent.value).map(|a| a.capabilities.clone()).unwrap_or_default();
    assert!(caps.iter().any(|c| c.r#type() == T::ResourceProvider));
    let again = internal::ReregisterSlaveMessage {
        checkpointed_resources: checkpointed,
        agent_capabilities: caps,
        resource_version_uuid: Some(Uuid { value: vec![version; 16] }),
        ..returning(agent, Vec::new())
    };
    w.agent_says(pid, again);
}

fn total(w: &World, agent: &AgentId) -> String {
    w.master.agents()[&agent.value].total.to_string()
}

#[test]
fn an_operation_that_the_agent_drops_is_undone() {
    let mut w = World::new();
    let pid = able_agent(&mut w, 5051);
    let client = w.subscribe(full());
    let offer = w.offers(&client).remove(0);
    accept(&mut w, &client, &offer, vec![named("r", reserve(vec![scalar("cpus", 1.0, &["web"])]))]);
    let sent = applied(&mut w);
    assert!(text(&w.offers(&client).remove(0).resources).contains("DYNAMIC"));
    ended(&mut w, &pid, &offer.agent_id, &sent[0], OperationState::OperationDropped);
    assert_eq!(feedback(&mut w, &client)[0].state(), OperationState::OperationDropped);
    assert_eq!(text(&w.offers(&client).remove(0).resources), "cpus:4; mem:1024; disk:1000");
}

#[test]
fn a_late_repetition_of_a_registration_takes_nothing_back() {
    let mut w = World::new();
    let pid = able_agent(&mut w, 5051);
    let client = w.subscribe(full());
    let offer = w.offers(&client).remove(0);
    back(&mut w, &pid, &offer.agent_id, 8, Vec::new());
    let offer = w.offers(&client).remove(0);
    accept(&mut w, &client, &offer, vec![named("r", reserve(vec![scalar("cpus", 1.0, &["web"])]))]);
    let sent = applied(&mut w);
    let reserved = total(&w, &offer.agent_id);
    assert!(reserved.contains("DYNAMIC"), "{reserved}");
    // It was sent before the order came, and arrives after it.
    back(&mut w, &pid, &offer.agent_id, 8, Vec::new());
    assert_eq!(total(&w, &offer.agent_id), reserved);
    ended(&mut w, &pid, &offer.agent_id, &sent[0], OperationState::OperationFinished);
    back(&mut w, &pid, &offer.agent_id, 8, Vec::new());
    assert_eq!(total(&w, &offer.agent_id), reserved);
}

#[test]
fn what_an_agent_says_it_has_when_it_tries_anew_is_what_it_has() {
    let mut w = World::new();
    let pid = able_agent(&mut w, 5051);
    let client = w.subscribe(full());
    let offer = w.offers(&client).remove(0);
    let one = || scalar("cpus", 1.0, &["web"]);
    let ops = vec![named("a", reserve(vec![one()])), named("b", reserve(vec![one()]))];
    accept(&mut w, &client, &offer, ops);
    let sent = applied(&mut w);
    // One arrived, one did not: the second is not taken off a second time when the agent says so.
    back(&mut w, &pid, &offer.agent_id, 9, vec![one()]);
    let has = total(&w, &offer.agent_id);
    assert!(has.contains("[(DYNAMIC,web)]):1;"), "{has}");
    ended(&mut w, &pid, &offer.agent_id, &sent[1], OperationState::OperationDropped);
    ended(&mut w, &pid, &offer.agent_id, &sent[0], OperationState::OperationFinished);
    assert_eq!(total(&w, &offer.agent_id), has);
    assert_eq!(feedback(&mut w, &client).len(), 2);
}

#[test]
fn what_tasks_were_to_use_is_undone_once_they_are_refused() {
    let mut w = World::new();
    let pid = able_agent(&mut w, 5051);
    let client = w.subscribe(full());
    let offer = w.offers(&client).remove(0);
    let disk = scalar("disk", 64.0, &["web"]);
    let task = TaskInfo {
        name: "t".into(),
        task_id: model::mesos::TaskId { value: "t".into() },
        agent_id: offer.agent_id.clone(),
        resources: vec![scalar("cpus", 1.0, &[]), scalar("mem", 64.0, &[]), volume_of(64.0, "v")],
        command: Some(Default::default()),
        ..Default::default()
    };
    let mut launch = offer::Operation {
        launch: Some(offer::operation::Launch { task_infos: vec![task] }),
        ..Default::default()
    };
    launch.set_type(offer::operation::Type::Launch);
    let ops = vec![named("r", reserve(vec![disk])), named("c", create(vec![volume_of(64.0, "v")])), launch];
    accept(&mut w, &client, &offer, ops);
    let sent = applied(&mut w);
    for one in &sent {
        ended(&mut w, &pid, &offer.agent_id, one, OperationState::OperationDropped);
    }
    assert!(total(&w, &offer.agent_id).contains("[v:data]:64"), "a task may be using it");
    w.update(&pid, &client, &offer.agent_id, "t", TaskState::TaskDropped, 0x40);
    assert_eq!(total(&w, &offer.agent_id), ALL, "the volume first, then what it was made of");
}

#[test]
fn what_an_agent_said_in_an_earlier_state_takes_nothing_back() {
    let mut w = World::new();
    let pid = able_agent(&mut w, 5051);
    let client = w.subscribe(full());
    let offer = w.offers(&client).remove(0);
    let one = || scalar("cpus", 1.0, &["web"]);
    back(&mut w, &pid, &offer.agent_id, 8, vec![one()]);
    back(&mut w, &pid, &offer.agent_id, 9, vec![one()]);
    let has = total(&w, &offer.agent_id);
    // Each of these was under way when it came back.
    w.sent.clear();
    back(&mut w, &pid, &offer.agent_id, 7, Vec::new());
    assert_eq!(total(&w, &offer.agent_id), has);
    assert!(
        w.sent.iter().any(|e| matches!(e.message, Message::SlaveReregisteredMessage(_))),
        "it is answered"
    );
    let said = |w: &mut World, version: u8| {
        let update = internal::UpdateSlaveMessage {
            slave_id: offer.agent_id.clone(),
            resource_version_uuid: Some(Uuid { value: vec![version; 16] }),
            update_oversubscribed_resources: Some(false),
            ..Default::default()
        };
        w.agent_says(&pid, update);
    };
    // A late word may name another state; the agent says so when it is ordered something in that state.
    said(&mut w, 8);
    back(&mut w, &pid, &offer.agent_id, 9, Vec::new());
    assert_eq!(total(&w, &offer.agent_id), has);
    said(&mut w, 9);
    let offer = w.offers(&client).pop().expect("offers");
    accept(&mut w, &client, &offer, vec![reserve(vec![one()])]);
    assert_eq!(applied(&mut w)[0].resource_version_uuid.uuid.value, [9; 16]);
}

#[test]
fn an_agent_whose_earlier_life_was_answered_is_asked_to_register() {
    let mut w = World::new();
    let pid = able_agent(&mut w, 5051);
    let agent = w.master.agents().values().next().unwrap().info.id.clone().unwrap();
    back(&mut w, &pid, &agent, 8, Vec::new());
    let said = |w: &mut World, version: u8| {
        w.sent.clear();
        let update = internal::UpdateSlaveMessage {
            slave_id: agent.clone(),
            resource_version_uuid: Some(Uuid { value: vec![version; 16] }),
            update_oversubscribed_resources: Some(false),
            ..Default::default()
        };
        w.agent_says(&pid, update);
        w.sent.iter().any(|e| matches!(&e.message, Message::PingSlaveMessage(ping) if !ping.connected))
    };
    assert!(!said(&mut w, 8));
    assert!(said(&mut w, 9) && said(&mut w, 9), "nothing was heard of what it has in this life");
    // An agent of Mesos names one state all its life.
    back(&mut w, &pid, &agent, 9, vec![scalar("cpus", 1.0, &["web"])]);
    assert!(!said(&mut w, 9));
    assert!(total(&w, &agent).contains("DYNAMIC"), "its word counts");
}

#[test]
fn what_a_task_still_counts_as_using_is_not_made_of_a_reservation() {
    let mut w = World::new();
    let pid = able_agent(&mut w, 5051);
    let client = w.subscribe(full());
    let offer = w.offers(&client).remove(0);
    w.launch(&client, &offer, "t", 3.5);
    let rest = w.offers(&client).remove(0);
    // It never heard of the task, and nor of the end of a reservation of the cpus that the task was given.
    back(&mut w, &pid, &offer.agent_id, 9, vec![scalar("cpus", 1.0, &["web"])]);
    let again = w.offers(&client).pop().expect("an offer");
    assert_ne!(again.id, rest.id);
    accept(&mut w, &client, &again, vec![named("u", unreserve(vec![scalar("cpus", 1.0, &["web"])]))]);
    let told = feedback(&mut w, &client).pop().expect("an answer");
    assert_eq!(told.state(), OperationState::OperationError, "{told:?}");
    assert!(told.message().contains("is used by tasks"), "{told:?}");
}

#[test]
fn an_agent_that_knows_no_operations_is_told_what_it_has_when_it_comes_back() {
    let mut w = World::new();
    let pid = w.agent(5051);
    let client = w.subscribe(full());
    let offer = w.offers(&client).remove(0);
    accept(&mut w, &client, &offer, vec![reserve(vec![scalar("cpus", 1.0, &["web"])])]);
    let told = |w: &World| {
        let of = |e: &model::link::Envelope| match &e.message {
            Message::CheckpointResourcesMessage(m) => Some(m.resources.clone()),
            _ => None,
        };
        w.sent.iter().filter_map(of).next_back()
    };
    let first = told(&w).expect("the change");
    assert_eq!(first.len(), 1);
    w.sent.clear();
    // that was lost
    let slave = w.master.agents()[&offer.agent_id.value].info.clone();
    let version = Some("1.11.0".to_owned());
    w.agent_says(&pid, internal::ReregisterSlaveMessage { slave, version, ..Default::default() });
    assert!(told(&w).is_some());
}
