//! What the simulator found: crashes, repetitions and slow disks, each as the shortest story that shows it.

mod world;

use agent::Input;
use base::{Duration, Machine as _};
use model::{
    container::{ContainerId, Termination},
    link::Message,
    mesos::{AgentId, FrameworkId, FrameworkInfo, TaskState, internal},
};
use world::{World, master};

fn started(w: &mut World, id: &str) -> ContainerId {
    let container = w.run(id, |_| {});
    w.step(Input::Launched { container: container.clone(), pid: 7 });
    container
}

/// All that is said, acknowledged as it comes.
fn heard(w: &mut World) -> Vec<TaskState> {
    let mut all = Vec::new();
    while let Some(status) = w.statuses().pop() {
        w.acknowledge(&status);
        all.push(status.state());
    }
    all
}

fn framework_over(w: &mut World) {
    w.hear(internal::ShutdownFrameworkMessage { framework_id: FrameworkId { value: "F".into() } });
}

#[test]
fn an_order_said_twice_runs_once_even_after_the_end() {
    let mut w = World::fresh();
    let container = started(&mut w, "t");
    w.run("t", |_| {});
    w.step(Input::Terminated { container, how: Termination::Exited(0) });
    heard(&mut w);
    w.run("t", |_| {});
    assert_eq!(w.launches.len(), 1);
    assert_eq!(heard(&mut w), [TaskState::TaskLost], "it is not left without an answer");
    w.run("t", |t| t.name = "another".into());
    assert_eq!(w.launches.len(), 2, "a framework may use an id again");
    w.step(Input::LaunchFailed { container: w.launches[1].id.clone(), why: "x".into() });
    heard(&mut w);
    w.pass(Duration::from_secs(31));
    w.run("t", |t| t.name = "another".into());
    assert_eq!(w.launches.len(), 3, "in the same words too, later");
}

#[test]
fn nothing_is_said_before_the_acknowledgement_is_durable() {
    let mut w = World::fresh();
    let container = started(&mut w, "t");
    let first = w.statuses().remove(0);
    w.disk_slow = true;
    w.acknowledge(&first);
    assert!(w.statuses().is_empty(), "a crash now would bring the first one back after the second");
    w.catch_up();
    let second = w.statuses().remove(0);
    assert_eq!(second.state(), TaskState::TaskRunning);
    w.acknowledge(&second);
    w.step(Input::Terminated { container: container.clone(), how: Termination::Exited(0) });
    let last = w.statuses().remove(0);
    w.disk_slow = true;
    w.acknowledge(&last);
    assert!(w.forgotten.is_empty(), "the launcher knows the end until the records don't know the task");
    w.catch_up();
    assert_eq!(w.forgotten, [container]);
}

#[test]
fn a_framework_that_is_over_hears_nothing() {
    let mut w = World::fresh();
    let running = started(&mut w, "running");
    let staging = w.run("staging", |_| {});
    w.sent.clear();
    framework_over(&mut w);
    assert_eq!(w.signals[0], (running.clone(), 15));
    w.step(Input::Terminated { container: running, how: Termination::Signaled(15) });
    w.step(Input::LaunchFailed { container: staging, why: "x".into() });
    w.pass(Duration::from_secs(70));
    assert!(w.statuses().is_empty() && w.agent.tasks().is_empty());
    let left = |kind: &str| w.records.keys().any(|k| k.starts_with(kind));
    assert!(!left("tasks/") && !left("updates/") && !left("frameworks/"), "{:?}", w.records.keys());
}

#[test]
fn an_agent_without_a_master_sleeps() {
    let mut w = World::fresh();
    started(&mut w, "t");
    w.step(Input::MasterDetected(None));
    w.pass(Duration::from_secs(60));
    let next = w.agent.deadline().map(|(at, _)| at);
    assert!(next.is_none_or(|at| at > w.now), "{next:?}");
}

#[test]
fn an_order_from_before_the_last_registration_is_refused() {
    let mut w = World::fresh();
    w.step(Input::MasterDetected(Some(master())));
    let version = |w: &World| match w.sent.last() {
        Some(Message::ReregisterSlaveMessage(m)) => m.resource_version_uuid.clone().unwrap(),
        other => panic!("{other:?}"),
    };
    let old = version(&w);
    w.step(Input::MasterDetected(Some(master())));
    let new = version(&w);
    assert_ne!(old, new);
    let slave_id = AgentId { value: "S0".into() };
    w.hear(internal::SlaveReregisteredMessage { slave_id, ..Default::default() });
    w.sent.clear();
    let order = |w: &World, id: &str, uuid: &model::mesos::Uuid| internal::RunTaskMessage {
        framework: FrameworkInfo { id: Some(FrameworkId { value: "F".into() }), ..Default::default() },
        task: w.order(id),
        resource_version_uuids: vec![internal::ResourceVersionUuid {
            uuid: uuid.clone(),
            ..Default::default()
        }],
        ..Default::default()
    };
    w.hear(order(&w, "late", &old));
    assert!(w.launches.is_empty(), "the master that sent it does not count it any more");
    let told: Vec<_> =
        w.sent.iter().filter(|m| matches!(m, Message::UpdateSlaveMessage(_))).cloned().collect();
    assert!(
        matches!(&told[..], [Message::UpdateSlaveMessage(m)] if m.resource_version_uuid.as_ref() == Some(&new)),
        "the master hears which state is meant: {told:?}"
    );
    assert_eq!(heard(&mut w), [TaskState::TaskLost]);
    w.hear(order(&w, "good", &new));
    assert_eq!(w.launches.len(), 1);
}

#[test]
fn a_list_of_tasks_names_no_update_that_a_crash_could_take_back() {
    let mut w = World::fresh();
    let container = started(&mut w, "t");
    w.next();
    let running = w.statuses().remove(0);
    w.disk_slow = true;
    w.step(Input::Terminated { container, how: Termination::Exited(1) });
    w.acknowledge(&running);
    let said = |w: &mut World| {
        w.step(Input::MasterDetected(Some(master())));
        match w.sent.last() {
            Some(Message::ReregisterSlaveMessage(m)) => m.tasks[0].clone(),
            other => panic!("{other:?}"),
        }
    };
    let listed = said(&mut w);
    assert_eq!((listed.status_update_state, listed.status_update_uuid), (None, None));
    w.catch_up();
    let listed = said(&mut w);
    assert_eq!(listed.status_update_state, Some(TaskState::TaskFailed.into()));
    assert_eq!(listed.state(), TaskState::TaskFailed);
}

#[test]
fn an_acknowledgement_while_a_list_is_under_way_changes_nothing() {
    let mut w = World::fresh();
    started(&mut w, "t");
    let first = w.statuses().remove(0);
    w.step(Input::MasterDetected(Some(master())));
    w.acknowledge(&first);
    w.sent.clear();
    let slave_id = AgentId { value: "S0".into() };
    w.hear(internal::SlaveReregisteredMessage { slave_id, ..Default::default() });
    assert_eq!(heard(&mut w), [TaskState::TaskStarting, TaskState::TaskRunning]);
}
