//! The life of frameworks, agents and tasks, driven by hand in virtual time; every invariant after every step.

#[path = "life/agents.rs"]
mod agents;
#[path = "life/away.rs"]
mod away;
#[path = "life/calls.rs"]
mod calls;
#[path = "life/counts.rs"]
mod counts;
#[path = "life/drivers.rs"]
mod drivers;
#[path = "life/faults.rs"]
mod faults;
#[path = "life/hostile.rs"]
mod hostile;
#[path = "life/inverse.rs"]
mod inverse;
#[path = "life/operations.rs"]
mod operations;
#[path = "life/operators.rs"]
mod operators;
#[path = "life/recordings.rs"]
mod recordings;
#[path = "life/undone.rs"]
mod undone;
#[path = "life/world.rs"]
mod world;

use base::Duration;
use master::Input;
use model::{
    link::{Message, Upid},
    mesos::{
        FrameworkId, FrameworkInfo, OfferId, TaskId, TaskState, internal,
        scheduler::{Call, Event, call},
        task_status::Reason,
    },
    request::{Answer, RequestId, StreamId},
};
use world::*;

#[test]
fn an_agent_older_than_frameworks_in_several_roles_is_not_offered_to_them() {
    let mut w = World::new();
    let pid = Upid::new("slave(1)", "127.0.0.1:5051".parse().unwrap());
    let version = Some("1.2.0".to_owned());
    let old = internal::RegisterSlaveMessage { version, slave: info(None), ..Default::default() };
    w.agent_says(&pid, old);
    let several = w.subscribe(full());
    assert!(w.offers(&several).is_empty(), "it would not know to which role a task belongs");
    let one = w.subscribe(aware(60.0));
    let offer = w.offers(&one).remove(0);
    w.launch(&one, &offer, "t", 1.0);
    assert!(w.sent.iter().any(|e| e.to == pid && matches!(e.message, Message::RunTaskMessage(_))));
}

#[test]
fn a_task_runs_and_its_resources_come_back_at_once() {
    let mut w = World::new();
    let pid = w.agent(5051);
    let client = w.subscribe(aware(60.0));
    assert!(w.streams.len() == 1 && client.id.value.ends_with("-0000"));
    let offers = w.offers(&client);
    assert_eq!((offers.len(), cpus(&offers[0])), (1, 4.0));
    let agent = offers[0].agent_id.clone();
    assert_eq!(w.launch(&client, &offers[0], "t", 1.0).status, 202);
    assert!(matches!(w.sent.last().unwrap().message, Message::RunTaskMessage(_)));
    let rest = w.offers(&client);
    assert_eq!(rest.iter().map(cpus).collect::<Vec<_>>(), [3.0], "the rest is offered in the same step");

    w.update(&pid, &client, &agent, "t", TaskState::TaskRunning, 0x40);
    assert_eq!(w.updates(&client)[0].uuid.as_deref(), Some(&[0x40; 16][..]));
    w.acknowledge(&client, &agent, "t", 0x40);
    assert!(matches!(w.sent.last().unwrap().message, Message::StatusUpdateAcknowledgementMessage(_)));
    w.update(&pid, &client, &agent, "t", TaskState::TaskFinished, 0x41);
    let events = w.take(client.stream);
    let again: Vec<_> =
        events.iter().filter_map(|e| e.offers.as_ref()).flat_map(|o| &o.offers).map(cpus).collect();
    assert_eq!(again, [1.0], "a terminal update frees before it is acknowledged");
    assert_eq!(w.master.frameworks()[&client.id.value].tasks.len(), 1);
    w.acknowledge(&client, &agent, "t", 0x41);
    let framework = &w.master.frameworks()[&client.id.value];
    assert_eq!((framework.tasks.len(), framework.completed_tasks.len()), (0, 1));
}

#[test]
fn what_is_declined_stays_away_as_long_as_asked() {
    let mut w = World::new();
    w.agent(5051);
    let client = w.subscribe(aware(60.0));
    let offer = w.offers(&client).remove(0);
    w.call(&client, call::Type::Decline, |call| {
        let filters = Some(model::mesos::Filters { refuse_seconds: Some(30.0) });
        call.decline = Some(call::Decline { offer_ids: vec![offer.id.clone()], filters });
    });
    w.pass(Duration::from_secs(29));
    assert_eq!(w.offers(&client).len(), 0);
    w.pass(Duration::from_secs(2));
    assert_eq!(w.offers(&client).len(), 1);
}

#[test]
fn calls_are_refused_in_upstreams_order() {
    let mut w = World::new();
    let client = w.subscribe(aware(60.0));
    let mut revive = Call { framework_id: Some(FrameworkId { value: "x".into() }), ..Default::default() };
    revive.set_type(call::Type::Revive);
    w.request(None, revive.clone());
    assert_eq!(w.answers.last().unwrap().1, Answer::text(400, "Framework cannot be found"));
    revive.framework_id = Some(client.id.clone());
    w.request(None, revive.clone());
    assert!(matches!(&w.answers.last().unwrap().1, a if a.status == 400), "no stream id");
    w.request(Some("nope"), revive.clone());
    assert!(matches!(&w.answers.last().unwrap().1, a if a.status == 400), "a wrong stream id");
    w.request(Some(&client.uuid), revive.clone());
    assert_eq!(w.answers.last().unwrap().1, Answer::accepted());
    w.step(Input::StreamClosed { stream: client.stream });
    w.request(Some(&client.uuid), revive);
    assert_eq!(w.answers.last().unwrap().1, Answer::text(403, "Framework is not subscribed"));
}

#[test]
fn a_framework_fails_over_and_ends_when_it_stays_away() {
    let mut w = World::new();
    let pid = w.agent(5051);
    let client = w.subscribe(aware(60.0));
    let offer = w.offers(&client).remove(0);
    w.launch(&client, &offer, "t", 1.0);
    w.update(&pid, &client, &offer.agent_id, "t", TaskState::TaskRunning, 0x40);
    let mut again = aware(60.0);
    again.id = Some(client.id.clone());
    w.take(client.stream);
    let second = w.subscribe(again.clone());
    let told = w.take(client.stream);
    assert_eq!(told.last().unwrap().error.as_ref().unwrap().message, "Framework failed over");
    assert!(w.closed.contains(&client.stream));
    assert_eq!(w.master.frameworks()[&client.id.value].tasks.len(), 1, "tasks are kept");
    w.step(Input::StreamClosed { stream: second.stream });
    w.pass(Duration::from_secs(59));
    assert_eq!(w.master.frameworks().len(), 1);
    w.pass(Duration::from_secs(2));
    assert_eq!((w.master.frameworks().len(), w.master.completed_frameworks().len()), (0, 1));
    assert!(w.sent.iter().any(|e| matches!(e.message, Message::ShutdownFrameworkMessage(_))));
    let third = w.subscribe(again);
    let told = w.take(third.stream);
    assert_eq!(told[0].error.as_ref().unwrap().message, "Framework has been removed");
    assert!(w.closed.contains(&third.stream), "an ended framework never comes back");
}

#[test]
fn an_unreachable_agent_comes_back_with_its_task() {
    let mut w = World::new();
    let pid = w.agent(5051);
    let client = w.subscribe(aware(3600.0));
    let offer = w.offers(&client).remove(0);
    w.launch(&client, &offer, "t", 1.0);
    w.update(&pid, &client, &offer.agent_id, "t", TaskState::TaskRunning, 0x40);
    w.take(client.stream);
    let task = w.master.frameworks()[&client.id.value].tasks["t"].clone();
    w.pass(Duration::from_secs(100));
    let lost = w.updates(&client);
    assert_eq!(lost.len(), 1);
    assert_eq!((lost[0].state(), lost[0].reason()), (TaskState::TaskUnreachable, Reason::AgentRemoved));
    assert!(lost[0].uuid.is_none() && w.master.agents().is_empty());
    let back = internal::ReregisterSlaveMessage {
        version: Some("1.11.0".to_owned()),
        slave: info(Some(&offer.agent_id)),
        frameworks: frameworks_of(std::slice::from_ref(&task)),
        tasks: vec![task],
        ..Default::default()
    };
    w.agent_says(&pid, back);
    let back = w.updates(&client);
    assert_eq!((back[0].state(), back[0].reason()), (TaskState::TaskRunning, Reason::AgentReregistered));
    assert!(w.sent.iter().any(|e| matches!(e.message, Message::SlaveReregisteredMessage(_))));
}

#[test]
fn pongs_keep_an_agent_and_forged_ones_do_not() {
    let mut w = World::new();
    let pid = w.agent(5051);
    for _ in 0..20 {
        w.pass(Duration::from_secs(15));
        let ping = w.sent.iter().rev().find(|e| matches!(e.message, Message::PingSlaveMessage(_))).unwrap();
        let observer = ping.from.id.clone();
        w.agent_says_to(&observer, &pid, internal::PongSlaveMessage::default());
    }
    assert_eq!(w.master.agents().len(), 1);
    let forger = Upid::new("slave(1)", "127.0.0.1:9999".parse().unwrap());
    for _ in 0..10 {
        w.pass(Duration::from_secs(15));
        let observer = w.sent.last().unwrap().from.id.clone();
        w.agent_says_to(&observer, &forger, internal::PongSlaveMessage::default());
    }
    assert_eq!(w.master.agents().len(), 0);
}

#[test]
fn a_restarted_master_learns_tasks_from_agents_and_keeps_frameworks() {
    let mut w = World::new();
    let pid = w.agent(5051);
    let client = w.subscribe(aware(3600.0));
    let offer = w.offers(&client).remove(0);
    w.launch(&client, &offer, "t", 1.5);
    w.update(&pid, &client, &offer.agent_id, "t", TaskState::TaskRunning, 0x40);
    let task = w.master.frameworks()[&client.id.value].tasks["t"].clone();

    let mut w = World::from(w.records, w.now + Duration::from_secs(1));
    assert_eq!((w.master.recovering().len(), w.master.frameworks().len()), (1, 1));
    let mut again = aware(3600.0);
    again.id = Some(client.id.clone());
    let client = w.subscribe(again);
    let asked = call::reconcile::Task {
        task_id: TaskId { value: "t".into() },
        agent_id: Some(offer.agent_id.clone()),
    };
    w.call(&client, call::Type::Reconcile, |c| {
        c.reconcile = Some(call::Reconcile { tasks: vec![asked.clone()] })
    });
    assert_eq!(w.updates(&client).len(), 0, "no answer while the agent is still expected");
    let back = internal::ReregisterSlaveMessage {
        version: Some("1.11.0".to_owned()),
        slave: info(Some(&offer.agent_id)),
        frameworks: frameworks_of(std::slice::from_ref(&task)),
        tasks: vec![task],
        ..Default::default()
    };
    w.agent_says(&pid, back);
    let rest: Vec<_> = w.offers(&client).iter().map(cpus).collect();
    assert_eq!(rest, [2.5], "what the task uses is not offered");
    w.call(&client, call::Type::Reconcile, |c| c.reconcile = Some(call::Reconcile { tasks: vec![asked] }));
    let latest = w.updates(&client);
    assert_eq!((latest[0].state(), latest[0].reason()), (TaskState::TaskRunning, Reason::Reconciliation));
    let gone =
        call::reconcile::Task { task_id: TaskId { value: "no".into() }, agent_id: Some(offer.agent_id) };
    w.call(&client, call::Type::Reconcile, |c| c.reconcile = Some(call::Reconcile { tasks: vec![gone] }));
    assert_eq!(w.updates(&client)[0].state(), TaskState::TaskGone);
}

#[test]
fn tasks_that_may_not_run_are_refused_with_the_reason() {
    let mut w = World::new();
    w.agent(5051);
    let client = w.subscribe(aware(60.0));
    let offer = w.offers(&client).remove(0);
    w.launch(&client, &offer, "big", 100.0);
    let update = w.updates(&client).remove(0);
    assert_eq!((update.state(), update.reason()), (TaskState::TaskError, Reason::TaskInvalid));
    assert!(
        update.message().contains("is more than available cpus(allocated: *):4; mem(allocated: *):1024"),
        "{}",
        update.message()
    );
    let mut stale = offer;
    stale.id = OfferId { value: "gone".into() };
    w.launch(&client, &stale, "late", 1.0);
    let update = w.updates(&client).remove(0);
    assert_eq!((update.state(), update.reason()), (TaskState::TaskDropped, Reason::InvalidOffers));
    assert_eq!(update.message(), "Task launched with invalid offers: Offer gone is no longer valid");
    let invalid = w.subscribe(FrameworkInfo { role: Some("a/..".into()), ..aware(1.0) });
    assert!(invalid.id.value.is_empty() && w.closed.contains(&invalid.stream));
}

#[test]
fn what_the_master_decides_is_said_only_when_it_is_durable() {
    let mut w = World::new();
    let pid = w.agent(5051);
    let client = w.subscribe(aware(100.0));
    w.disk_full = true;
    let slave_id = w.offers(&client)[0].agent_id.clone();
    w.agent_says(&pid, internal::UnregisterSlaveMessage { slave_id });
    let failures = |events: &[(StreamId, Event)]| events.iter().filter(|(_, e)| e.failure.is_some()).count();
    w.pass(Duration::from_secs(30));
    assert_eq!(failures(&w.events), 0, "nobody hears of what a crash could undo");
    assert!(w.records.keys().any(|k| k.starts_with("agents/")));
    w.disk_full = false;
    w.pass(Duration::from_secs(2));
    assert_eq!(failures(&w.events), 1);
    assert!(!w.records.keys().any(|k| k.starts_with("agents/")));
    w.disk_full = true;
    w.requests += 1;
    let request = RequestId(w.requests);
    w.step(Input::Teardown { request, framework_id: client.id.value.clone() });
    let answer = w.answers.iter().find(|(r, _)| *r == request).expect("an answer at once").1.clone();
    assert_eq!(answer.status, 503);
    w.disk_full = false;
    w.pass(Duration::from_secs(2));
    assert!(w.records.contains_key(&format!("completed/{}", client.id.value)), "{:?}", w.records.keys());
}
