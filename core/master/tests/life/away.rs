//! What was decided about tasks while their agent was away holds when it comes back.

use crate::world::*;
use master::Input;
use model::{
    link::{Envelope, Message, Upid},
    mesos::{AgentId, TaskId, TaskState, internal, scheduler::call},
    resources::Resources,
};

fn kills(w: &World) -> Vec<(String, Option<i64>)> {
    let of = |e: &Envelope| match &e.message {
        Message::KillTaskMessage(m) => {
            let grace = m.kill_policy.and_then(|p| p.grace_period).map(|g| g.nanoseconds);
            Some((m.task_id.value.clone(), grace))
        }
        _ => None,
    };
    w.sent.iter().filter_map(of).collect()
}

/// The agent comes back and lists these tasks of a framework.
fn come_back(w: &mut World, pid: &Upid, agent: &AgentId, client: &Client, tasks: &[(&str, TaskState)]) {
    let task = |(id, state): &(&str, TaskState)| {
        let mut task = model::mesos::Task {
            name: (*id).into(),
            task_id: TaskId { value: (*id).into() },
            framework_id: client.id.clone(),
            agent_id: agent.clone(),
            resources: Resources::scalars([("cpus", 1.0), ("mem", 32.0)]).to_messages(),
            ..Default::default()
        };
        task.set_state(*state);
        task
    };
    w.sent.clear();
    let message = internal::ReregisterSlaveMessage {
        version: Some("1.11.0".to_owned()),
        slave: info(Some(agent)),
        frameworks: frameworks_of(&tasks.iter().map(task).collect::<Vec<_>>()),
        tasks: tasks.iter().map(task).collect(),
        ..Default::default()
    };
    w.agent_says(pid, message);
}

#[test]
fn a_kill_that_the_agent_did_not_hear_is_said_again_when_it_comes_back() {
    let mut w = World::new();
    let pid = w.agent(5051);
    let client = w.subscribe(aware(100.0));
    let offer = w.offers(&client).remove(0);
    let agent = offer.agent_id.clone();
    w.launch(&client, &offer, "a", 1.0);
    w.update(&pid, &client, &agent, "a", TaskState::TaskRunning, 1);
    let kill = |w: &mut World, id: &str, grace: Option<i64>| {
        let grace = grace.map(|nanoseconds| model::mesos::DurationInfo { nanoseconds });
        let policy = grace.map(|grace| model::mesos::KillPolicy { grace_period: Some(grace) });
        w.call(&client, call::Type::Kill, |c| {
            c.kill = Some(call::Kill {
                task_id: TaskId { value: id.into() },
                kill_policy: policy,
                ..Default::default()
            });
        });
    };
    w.sent.clear();
    w.step(Input::Exited { peer: pid.address });
    kill(&mut w, "a", Some(7));
    assert!(kills(&w).is_empty(), "there is nobody to tell");
    come_back(&mut w, &pid, &agent, &client, &[("a", TaskState::TaskRunning)]);
    assert_eq!(kills(&w), [("a".to_owned(), Some(7))]);
    w.update(&pid, &client, &agent, "a", TaskState::TaskKilled, 2);
    come_back(&mut w, &pid, &agent, &client, &[("a", TaskState::TaskKilled)]);
    assert!(kills(&w).is_empty(), "it is over");
    w.update(&pid, &client, &agent, "a", TaskState::TaskKilled, 2);
    w.acknowledge(&client, &agent, "a", 2);
    assert!(w.master.agents()[&agent.value].killed.is_empty());
}

#[test]
fn an_agent_that_comes_back_with_less_than_its_tasks_use_is_offered_again_when_they_fit() {
    let mut w = World::new();
    let pid = w.agent(5051);
    let client = w.subscribe(aware(100.0));
    let offer = w.offers(&client).remove(0);
    let agent = offer.agent_id.clone();
    w.launch(&client, &offer, "a", 1.0);
    w.update(&pid, &client, &agent, "a", TaskState::TaskRunning, 1);
    w.step(Input::Exited { peer: pid.address });
    let task = |id: &str| {
        let mut task = model::mesos::Task {
            name: id.into(),
            task_id: TaskId { value: id.into() },
            framework_id: client.id.clone(),
            agent_id: agent.clone(),
            resources: Resources::scalars([("cpus", 1.0), ("mem", 32.0)]).to_messages(),
            ..Default::default()
        };
        task.set_state(TaskState::TaskRunning);
        task
    };
    let mut slave = info(Some(&agent));
    slave.resources = Resources::scalars([("cpus", 0.5), ("mem", 512.0)]).to_messages();
    w.events.clear();
    w.agent_says(
        &pid,
        internal::ReregisterSlaveMessage {
            version: Some("1.11.0".to_owned()),
            slave,
            frameworks: frameworks_of(&[task("a")]),
            tasks: vec![task("a")],
            ..Default::default()
        },
    );
    w.pass(base::Duration::from_secs(30));
    let offered = |w: &mut World| {
        let all = w.offers(&client);
        all.iter().map(|o| Resources::from_messages(&o.resources).unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(offered(&mut w), ["mem:480"], "what is free is offered, and no cpus");
    w.update(&pid, &client, &agent, "a", TaskState::TaskFinished, 2);
    w.acknowledge(&client, &agent, "a", 2);
    w.pass(base::Duration::from_secs(30));
    assert!(offered(&mut w).contains(&"cpus:0.5; mem:32".to_owned()), "what is free now");
}
