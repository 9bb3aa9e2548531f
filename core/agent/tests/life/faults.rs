//! What the simulator found: crashes, repetitions and slow disks, each as the shortest story that shows it.

use crate::world::{World, master};
use agent::{Agent, Input};
use base::{Duration, Machine as _, Now};
use model::{
    container::{ContainerId, Termination},
    link::Message,
    mesos::{AgentId, DurationInfo, FrameworkId, FrameworkInfo, KillPolicy, TaskState, internal},
    save::Records,
};

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
fn a_kill_goes_on_after_a_restart() {
    let mut w = World::fresh();
    let grace = DurationInfo { nanoseconds: 60_000_000_000 };
    let container = w.run("t", |t| t.kill_policy = Some(KillPolicy { grace_period: Some(grace) }));
    w.step(Input::Launched { container: container.clone(), pid: 7 });
    w.kill("t");
    let mut w = w.restarted(vec![(container.clone(), 7)], Vec::new());
    assert_eq!(
        w.signals,
        [(container.clone(), 15)],
        "asked again: nobody knows whether the first one arrived"
    );
    w.pass(Duration::from_secs(61));
    assert_eq!(w.signals[1], (container.clone(), 9));
    w.step(Input::Terminated { container, how: Termination::Signaled(9) });
    assert_eq!(heard(&mut w).last(), Some(&TaskState::TaskKilled));
}

#[test]
fn a_limit_of_time_holds_after_a_restart() {
    let mut w = World::fresh();
    let limit = DurationInfo { nanoseconds: 10_000_000_000 };
    let container = w.run("t", |t| t.max_completion_time = Some(limit));
    w.step(Input::Launched { container: container.clone(), pid: 7 });
    let mut w = w.restarted(vec![(container.clone(), 7)], Vec::new());
    w.pass(Duration::from_secs(11));
    assert_eq!(w.signals, [(container, 15)]);
}

#[test]
fn a_launch_that_a_crash_interrupted_is_ordered_again() {
    let mut w = World::fresh();
    let container = w.run("t", |_| {});
    let w = w.restarted(Vec::new(), Vec::new());
    assert_eq!(w.launches.iter().map(|l| l.id.clone()).collect::<Vec<_>>(), [container]);
    assert!(w.agent.tasks().values().all(|t| t.state == TaskState::TaskStaging));

    let mut w = World::fresh();
    started(&mut w, "t");
    assert_eq!(heard(&mut w), [TaskState::TaskStarting, TaskState::TaskRunning]);
    let mut w = w.restarted(Vec::new(), Vec::new());
    assert!(w.launches.is_empty(), "it ran already, though every update of it is acknowledged and forgotten");
    assert_eq!(heard(&mut w), [TaskState::TaskFailed]);
}

#[test]
fn a_reboot_ends_what_was_to_be_launched() {
    let mut w = World::fresh();
    w.run("t", |_| {});
    let config = agent::Config { boot_id: "another".into(), ..crate::world::config() };
    let mut rebooted = World::from(Records::new(), w.now);
    rebooted.agent = Agent::new(config, &w.records, Now::new(w.now, &mut w.rng));
    rebooted.step(Input::Recovered { running: Vec::new(), ended: Vec::new() });
    assert!(rebooted.launches.is_empty());
    assert!(rebooted.agent.tasks().values().all(|t| t.state == TaskState::TaskFailed));
}

#[test]
fn a_container_that_comes_too_late_is_removed() {
    let mut w = World::fresh();
    let container = started(&mut w, "t");
    w.step(Input::Terminated { container: container.clone(), how: Termination::Exited(0) });
    w.destroyed.clear();
    w.step(Input::Launched { container: container.clone(), pid: 8 });
    assert_eq!(w.destroyed, [container]);
    let said = heard(&mut w);
    assert_eq!(said, [TaskState::TaskStarting, TaskState::TaskRunning, TaskState::TaskFinished]);
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
    assert_eq!(heard(&mut w), [TaskState::TaskDropped], "it is not left without an answer");
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
    assert!(
        !w.records.keys().any(|k| !k.starts_with("agent") && !k.starts_with("boot")),
        "{:?}",
        w.records.keys()
    );
}

#[test]
fn a_task_that_never_was_is_not_listed() {
    let mut w = World::fresh();
    w.kill("never");
    w.sent.clear();
    w.step(Input::MasterDetected(Some(master())));
    let Some(Message::ReregisterSlaveMessage(listed)) = w.sent.first() else { panic!("{:?}", w.sent) };
    assert!(listed.tasks.is_empty());
    let mut w = w.restarted(Vec::new(), Vec::new());
    assert_eq!(heard(&mut w), [TaskState::TaskLost], "its last word is said all the same");
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
fn another_launcher_goes_on_where_the_first_one_was_killed() {
    let mut w = World::fresh();
    let lives = started(&mut w, "lives");
    let gone = started(&mut w, "gone");
    let killed = started(&mut w, "killed");
    let ordered = w.run("ordered", |_| {});
    let made = w.run("made", |_| {});
    w.kill("killed");
    w.signals.clear();
    w.launches.clear();
    let running = vec![(lives, 7), (killed.clone(), 7), (made, 9)];
    w.step(Input::LauncherReplaced { running, ended: Vec::new() });
    assert_eq!(w.launches.iter().map(|l| l.id.clone()).collect::<Vec<_>>(), [ordered]);
    assert_eq!(w.signals, [(killed, 15)]);
    let state = |id: &str| w.agent.tasks()[&("F".to_owned(), id.to_owned())].state;
    assert_eq!(state("lives"), TaskState::TaskRunning);
    assert_eq!(state("made"), TaskState::TaskRunning);
    assert_eq!(state("gone"), TaskState::TaskFailed);
    assert!(!w.signals.iter().any(|(c, _)| *c == gone));
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
    assert_eq!(heard(&mut w), [TaskState::TaskDropped]);
    w.hear(order(&w, "good", &new));
    assert_eq!(w.launches.len(), 1);
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
