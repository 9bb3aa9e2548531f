//! What is counted of launches, of those that are refused too: by upstream's master.cpp (`accept`, `_accept`, `updateTask`).

use crate::world::*;
use base::Duration;
use model::mesos::{
    FrameworkInfo, Offer, TaskState, framework_info,
    offer::{Operation, operation},
    scheduler::call,
    task_status::{Reason, Source},
};

fn launch(offer: &Offer, tasks: &[(&str, f64)]) -> Operation {
    let task_infos = tasks.iter().map(|(id, cpus)| {
        let mut task = task(offer, id);
        task.resources[0].scalar = Some(model::mesos::value::Scalar { value: *cpus });
        task
    });
    let launch = operation::Launch { task_infos: task_infos.collect() };
    let mut operation = Operation { launch: Some(launch), ..Default::default() };
    operation.set_type(operation::Type::Launch);
    operation
}

fn task(offer: &Offer, id: &str) -> model::mesos::TaskInfo {
    model::mesos::TaskInfo {
        name: id.into(),
        task_id: model::mesos::TaskId { value: id.into() },
        agent_id: offer.agent_id.clone(),
        resources: model::resources::Resources::scalars([("cpus", 0.5), ("mem", 32.0)]).to_messages(),
        command: Some(model::mesos::CommandInfo { value: Some("true".into()), ..Default::default() }),
        ..Default::default()
    }
}

fn count(w: &World, state: TaskState) -> u64 {
    w.master.counters().ended.get(state.as_str_name()).copied().unwrap_or_default()
}

fn because(w: &World, state: TaskState, source: Source, reason: Reason) -> u64 {
    w.master.counters().reasons.get(&(state, source, reason)).copied().unwrap_or_default()
}

fn launched(w: &World, client: &Client) -> u64 {
    w.master.frameworks()[&client.id.value].counts.get("operations/launch").copied().unwrap_or_default()
}

#[test]
fn launches_that_are_refused_are_counted_and_why_and_only_sent_ones_as_done() {
    let mut w = World::new();
    able_agent(&mut w, 5051);
    let client = w.subscribe(full());
    let offer = w.offers(&client).remove(0);
    let all = vec![launch(&offer, &[("big", 100.0), ("ok", 0.5), ("fine", 0.5)]), launch(&offer, &[])];
    accept(&mut w, &client, &offer, all);
    assert_eq!(w.updates(&client).len(), 1, "of the one that does not fit");
    assert_eq!(count(&w, TaskState::TaskError), 1);
    assert_eq!(because(&w, TaskState::TaskError, Source::Master, Reason::TaskInvalid), 1);
    assert_eq!(launched(&w, &client), 2, "each task that is sent, nothing else");
    assert_eq!(w.master.counters().named("messages_launch_tasks"), 1);
    assert_eq!(w.master.counters().named("messages_decline_offers"), 1, "a LAUNCH without tasks");
    // the offer is used up
    accept(&mut w, &client, &offer, vec![launch(&offer, &[("late", 0.5)])]);
    assert_eq!(w.updates(&client)[0].state(), TaskState::TaskDropped);
    assert_eq!(count(&w, TaskState::TaskDropped), 1);
    assert_eq!(because(&w, TaskState::TaskDropped, Source::Master, Reason::InvalidOffers), 1);
    assert_eq!((launched(&w, &client), w.master.counters().named("messages_launch_tasks")), (2, 2));
}

#[test]
fn to_frameworks_that_know_no_partitions_it_is_counted_as_they_hear_it() {
    let mut w = World::new();
    let pid = able_agent(&mut w, 5051);
    let aware = framework_info::capability::Type::PartitionAware;
    let mut info = full();
    info.capabilities.retain(|c| c.r#type() != aware);
    let client = w.subscribe(FrameworkInfo { checkpoint: Some(true), ..info });
    let offer = w.offers(&client).remove(0);
    accept(&mut w, &client, &offer, vec![launch(&offer, &[("a", 0.5), ("b", 0.5)])]);
    accept(&mut w, &client, &offer, vec![launch(&offer, &[("late", 0.5)])]);
    assert_eq!(count(&w, TaskState::TaskLost), 1);
    assert_eq!(because(&w, TaskState::TaskLost, Source::Master, Reason::InvalidOffers), 1);
    // one ends by itself, the other is lost with its agent
    w.update(&pid, &client, &offer.agent_id, "a", TaskState::TaskFinished, 0x40);
    w.pass(Duration::from_secs(100));
    assert_eq!(count(&w, TaskState::TaskLost), 2);
    assert_eq!(because(&w, TaskState::TaskLost, Source::Master, Reason::AgentRemoved), 1);
    assert_eq!(count(&w, TaskState::TaskFinished), 1);
    w.call(&client, call::Type::Teardown, |_| {});
    assert_eq!(w.master.counters().reasons.len(), 2, "{:?}", w.master.counters().reasons);
}
