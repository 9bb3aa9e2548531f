//! An agent that is drained, in virtual time.

mod world;

use agent::Input;
use base::{Duration, Machine as _};
use model::{
    container::Termination,
    link::Message,
    mesos::{
        DrainConfig, DurationInfo, FrameworkId, FrameworkInfo, KillPolicy, TaskState, framework_info,
        internal, task_status::Reason,
    },
};
use world::World;

fn drain(w: &mut World, mark_gone: bool, seconds: Option<i64>) {
    let max_grace_period = seconds.map(|s| DurationInfo { nanoseconds: s * 1_000_000_000 });
    let config = DrainConfig { max_grace_period, mark_gone: Some(mark_gone) };
    w.hear(internal::DrainSlaveMessage { config });
}

fn running(w: &mut World, id: &str, grace: i64) -> model::container::ContainerId {
    let policy = KillPolicy { grace_period: Some(DurationInfo { nanoseconds: grace * 1_000_000_000 }) };
    let container = w.run(id, |t| t.kill_policy = Some(policy));
    w.step(Input::Launched { container: container.clone(), pid: 7 });
    while let Some(status) = w.statuses().into_iter().next() {
        w.acknowledge(&status);
    }
    container
}

#[test]
fn tasks_end_within_the_longest_grace_and_say_why_and_no_others_come() {
    let mut w = World::fresh();
    w.registered();
    let container = running(&mut w, "t", 100);
    drain(&mut w, false, Some(2));
    assert!(w.agent.draining().is_some());
    let force = w.agent.deadline().expect("it ends by force").0;
    assert!(force <= w.now + Duration::from_secs(2), "{force:?}");
    w.run("late", |_| {});
    let late = w.statuses().remove(0);
    assert_eq!((late.state(), late.reason()), (TaskState::TaskLost, Reason::AgentDraining));
    assert_eq!(late.message(), "Task was received while agent was already draining");
    w.acknowledge(&late);
    // It is durable.
    let mut w = w.restarted();
    assert!(w.agent.draining().is_some());
    w.step(Input::Recovered { running: vec![(container.clone(), 7)], starting: vec![], ended: vec![] });
    w.step(Input::MasterDetected(Some(world::master())));
    w.registered();
    drain(&mut w, false, Some(2));
    w.step(Input::Terminated { container, how: Termination::Signaled(15) });
    let end = w.statuses().pop().expect("its end");
    assert_eq!((end.state(), end.reason()), (TaskState::TaskKilled, Reason::AgentDraining));
    w.acknowledge(&end);
    assert!(w.agent.tasks().is_empty() && w.agent.draining().is_none());
    // Then it takes tasks again, and nothing of it is left after another restart.
    assert!(w.restarted().agent.draining().is_none());
}

#[test]
fn tasks_of_an_agent_that_goes_for_good_are_gone_to_those_who_know_the_word() {
    let mut w = World::fresh();
    w.registered();
    let container = running(&mut w, "t", 1);
    let mut aware = framework_info::Capability::default();
    aware.set_type(framework_info::capability::Type::PartitionAware);
    let info = FrameworkInfo {
        user: "root".into(),
        name: "f".into(),
        id: Some(FrameworkId { value: "F".into() }),
        checkpoint: Some(true),
        capabilities: vec![aware],
        ..Default::default()
    };
    let framework_id = FrameworkId { value: "F".into() };
    w.hear(internal::UpdateFrameworkMessage { framework_id, pid: None, framework_info: Some(info) });
    drain(&mut w, true, None);
    w.step(Input::Terminated { container, how: Termination::Signaled(15) });
    let end = w.statuses().pop().expect("its end");
    assert_eq!((end.state(), end.reason()), (TaskState::TaskGoneByOperator, Reason::AgentDraining));
}

#[test]
fn an_agent_with_nothing_is_drained_at_once() {
    let mut w = World::fresh();
    w.registered();
    drain(&mut w, true, None);
    assert!(w.agent.draining().is_none());
    assert!(!w.sent.iter().any(|m| matches!(m, Message::StatusUpdateMessage(_))));
}
