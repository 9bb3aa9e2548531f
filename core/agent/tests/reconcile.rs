//! What is meant beside what is there: after the agent's restart, after its launcher's, after its framework's. Driven by
//! hand in virtual time; every invariant after every step.

mod world;

use agent::Input;
use base::{Duration, Time};
use model::{
    container::{ContainerId, Probed, Termination},
    link::Message,
    mesos::{
        AgentId, CommandInfo, DurationInfo, FrameworkId, FrameworkInfo, HealthCheck, TaskId, TaskInfo,
        TaskState, TaskStatus, health_check, internal, task_status::Reason,
    },
    resources::Resources,
};
use world::{World, master};

/// The agent starts again: what the launcher says is running, starting and ended.
fn restart(
    w: World,
    after: Duration,
    running: &[(&ContainerId, u32)],
    starting: &[&ContainerId],
    ended: &[(&ContainerId, Termination)],
) -> World {
    let mut w = World::from(w.records, w.now + after);
    let running = running.iter().map(|(c, pid)| ((*c).clone(), *pid)).collect();
    let starting = starting.iter().map(|c| (*c).clone()).collect();
    let ended = ended.iter().map(|(c, how)| ((*c).clone(), how.clone())).collect();
    w.step(Input::Recovered { running, starting, ended });
    w.step(Input::MasterDetected(Some(master())));
    w.hear(internal::SlaveReregisteredMessage {
        slave_id: AgentId { value: "S0".into() },
        ..Default::default()
    });
    w
}

/// Takes and acknowledges everything that is said, in order.
fn all(w: &mut World) -> Vec<TaskStatus> {
    let mut said = Vec::new();
    loop {
        let statuses = w.statuses();
        if statuses.is_empty() {
            return said;
        }
        statuses.iter().for_each(|s| w.acknowledge(s));
        said.extend(statuses);
    }
}

fn states(w: &mut World) -> Vec<TaskState> {
    all(w).iter().map(TaskStatus::state).collect()
}

#[test]
fn what_was_never_started_is_started_after_a_restart() {
    let mut w = World::fresh();
    let lost = w.run("lost", |_| {});
    let queued = w.run("queued", |_| {});
    let quick = w.run("quick", |_| {});
    let untold = w.run("untold", |_| {});
    let stranger = ContainerId("stranger".into());
    let mut w = restart(
        w,
        Duration::from_secs(1),
        &[(&untold, 9)],
        &[&queued, &stranger],
        &[(&quick, Termination::Exited(0))],
    );
    let ordered: Vec<_> = w.launches.iter().map(|s| s.id.clone()).collect();
    assert_eq!(ordered, std::slice::from_ref(&lost), "what the launcher is at is not ordered twice");
    assert_eq!(w.destroyed.iter().filter(|c| **c == stranger).count(), 1, "nobody means it");
    use TaskState::{TaskFinished, TaskRunning, TaskStarting};
    let mut said = all(&mut w);
    said.sort_by(|a, b| a.task_id.value.cmp(&b.task_id.value));
    let said: Vec<_> = said.iter().map(|s| (s.task_id.value.as_str(), s.state())).collect();
    assert_eq!(said, [("quick", TaskFinished), ("untold", TaskStarting), ("untold", TaskRunning)]);
    w.step(Input::Launched { container: queued, pid: 10 });
    w.step(Input::Launched { container: lost, pid: 11 });
    assert_eq!(states(&mut w), [TaskStarting, TaskStarting, TaskRunning, TaskRunning]);
    assert_eq!(w.agent.tasks().len(), 3);
}

#[test]
fn a_start_that_comes_after_its_task_was_concluded_is_ended() {
    let mut w = World::fresh();
    let container = w.run("t", |_| {});
    w.step(Input::Launched { container: container.clone(), pid: 3 });
    let mut w = restart(w, Duration::from_secs(1), &[], &[], &[]);
    w.destroyed.clear();
    w.step(Input::Launched { container: container.clone(), pid: 4 });
    assert_eq!(w.destroyed, std::slice::from_ref(&container), "nobody waits for it");
    assert_eq!(states(&mut w).last(), Some(&TaskState::TaskFailed));
    w.step(Input::Launched { container: container.clone(), pid: 4 });
    assert_eq!(w.destroyed, [container.clone(), container], "forgotten or not");
}

#[test]
fn a_new_launcher_gets_the_orders_that_the_old_one_took_along() {
    let mut w = World::fresh();
    let [lost, queued, killed] = ["lost", "queued", "killed"].map(|id| w.run(id, |_| {}));
    let [going, asked, forced, gone] = ["going", "asked", "forced", "gone"].map(|id| w.run(id, |_| {}));
    for container in [&going, &asked, &forced, &gone] {
        w.step(Input::Launched { container: container.clone(), pid: 7 });
    }
    w.kill("killed");
    w.kill("forced");
    w.pass(Duration::from_secs(4));
    w.kill("asked");
    (w.launches, w.signals, w.destroyed) = Default::default();
    let stranger = ContainerId("stranger".into());
    w.step(Input::LauncherReplaced {
        running: [&going, &asked, &forced, &stranger].map(|c| (c.clone(), 7)).to_vec(),
        starting: vec![queued.clone()],
        ended: vec![(ContainerId("old".into()), Termination::Unknown)],
    });
    let ordered: Vec<_> = w.launches.iter().map(|s| s.id.clone()).collect();
    assert_eq!(ordered, [lost]);
    assert_eq!(w.signals, [(asked, 15), (forced.clone(), 9)]);
    assert_eq!(w.destroyed.iter().filter(|c| [&stranger, &forced].contains(c)).count(), 2);
    assert!(!w.destroyed.contains(&going), "{:?}", w.destroyed);
    let ends: Vec<_> = all(&mut w)
        .into_iter()
        .filter(|s| matches!(s.state(), TaskState::TaskFailed | TaskState::TaskKilled))
        .map(|s| (s.task_id.value.clone(), s.reason()))
        .collect();
    assert!(ends.contains(&("gone".into(), Reason::ExecutorTerminated)), "{ends:?}");
    assert!(ends.contains(&("killed".into(), Reason::TaskKilledDuringLaunch)), "{ends:?}");
    assert_eq!(ends.len(), 2);
    drop(killed);
}

#[test]
fn force_is_repeated_until_the_container_is_gone() {
    let mut w = World::fresh();
    let container = w.run("t", |_| {});
    w.step(Input::Launched { container: container.clone(), pid: 7 });
    w.kill("t");
    w.pass(Duration::from_secs(34));
    let forced = w.signals.iter().filter(|(_, signal)| *signal == 9).count();
    assert_eq!(forced, 4, "after 3, 13, 23 and 33 seconds");
    w.step(Input::LaunchFailed { container, why: "there is no such container".into() });
    assert_eq!(states(&mut w).last(), Some(&TaskState::TaskKilled), "the launcher does not know it any more");
    w.pass(Duration::from_secs(60));
    assert_eq!(w.signals.iter().filter(|(_, signal)| *signal == 9).count(), 4);
}

#[test]
fn a_kill_goes_on_after_a_restart_with_its_deadline_and_its_cause() {
    let mut w = World::fresh();
    let killed = w.run("killed", |_| {});
    let sick = w.run("sick", |task| {
        let check = world::strict_check();
        task.health_check = Some(Box::new(check));
    });
    for container in [&killed, &sick] {
        w.step(Input::Launched { container: container.clone(), pid: 7 });
    }
    w.pass(Duration::from_millis(1));
    w.step(Input::Probed { probe: w.probes[0], outcome: Probed::Failed("refused".into()) });
    w.kill("killed");
    let mut w = restart(w, Duration::from_secs(1), &[(&killed, 7), (&sick, 7)], &[], &[]);
    assert_eq!(w.signals.len(), 2, "the signal may have been lost: {:?}", w.signals);
    assert!(w.probes.is_empty(), "what is being ended is not asked how it is");
    w.signals.clear();
    w.pass(Duration::from_millis(1900));
    assert!(w.signals.is_empty());
    w.pass(Duration::from_millis(200));
    assert_eq!(w.signals.len(), 2, "by force three seconds after the kill, not after the restart");
    for container in [&killed, &sick] {
        w.step(Input::Terminated { container: container.clone(), how: Termination::Signaled(9) });
    }
    let said = all(&mut w);
    let ends: Vec<_> = said.iter().filter(|s| s.state() == TaskState::TaskKilled).collect();
    assert_eq!(ends.len(), 2);
    assert!(ends.iter().any(|s| s.task_id.value == "sick" && s.healthy == Some(false)));
    assert!(!w.records.keys().any(|k| k.starts_with("kills/") || k.starts_with("begun/")), "{:?}", w.records);
}

#[test]
fn the_time_that_a_task_may_take_counts_through_a_restart() {
    let mut w = World::fresh();
    let container = w.run("t", |task| {
        task.max_completion_time = Some(DurationInfo { nanoseconds: 8_000_000_000 });
    });
    w.step(Input::Launched { container: container.clone(), pid: 7 });
    w.pass(Duration::from_secs(2));
    let mut w = restart(w, Duration::from_secs(3), &[(&container, 7)], &[], &[]);
    w.pass(Duration::from_millis(2900));
    assert!(w.signals.is_empty());
    w.pass(Duration::from_millis(200));
    assert_eq!(w.signals, [(container.clone(), 15), (container.clone(), 9)]);
    w.step(Input::Terminated { container, how: Termination::Signaled(15) });
    let last = all(&mut w).pop().unwrap();
    assert_eq!((last.state(), last.reason()), (TaskState::TaskFailed, Reason::MaxCompletionTimeReached));
}

#[test]
fn a_clock_that_was_set_back_delays_no_kill() {
    let mut w = World::fresh();
    let container = w.run("t", |_| {});
    w.step(Input::Launched { container: container.clone(), pid: 7 });
    w.kill("t");
    w.now = Time::from_millis(5000);
    let mut w = restart(w, Duration::ZERO, &[(&container, 7)], &[], &[]);
    w.pass(Duration::from_millis(3100));
    assert_eq!(w.signals.last(), Some(&(container, 9)));
}

#[test]
fn tasks_of_a_framework_without_checkpoints_end_with_their_agent() {
    let mut w = World::fresh();
    let kept = w.run("kept", |_| {});
    let framework = FrameworkInfo {
        user: "root".into(),
        name: "g".into(),
        id: Some(FrameworkId { value: "G".into() }),
        checkpoint: Some(false),
        ..Default::default()
    };
    let task = TaskInfo {
        name: "t".into(),
        task_id: TaskId { value: "t".into() },
        agent_id: AgentId { value: "S0".into() },
        resources: Resources::scalars([("cpus", 0.5), ("mem", 64.0)]).to_messages(),
        command: Some(CommandInfo { value: Some("true".into()), ..Default::default() }),
        ..Default::default()
    };
    w.hear(internal::RunTaskMessage { framework, task, ..Default::default() });
    let left = w.launches[1].id.clone();
    for container in [&kept, &left] {
        w.step(Input::Launched { container: container.clone(), pid: 7 });
    }
    let mut again = World::from(w.records, w.now + Duration::from_secs(1));
    let running = vec![(kept, 7), (left.clone(), 7)];
    again.step(Input::Recovered { running, starting: Vec::new(), ended: Vec::new() });
    assert_eq!(again.destroyed, [left], "its framework is told that it is lost, and starts another");
    again.step(Input::MasterDetected(Some(master())));
    let Message::ReregisterSlaveMessage(message) = &again.sent[0] else { panic!("{:?}", again.sent) };
    assert_eq!((message.tasks.len(), message.frameworks.len()), (1, 1));
    assert!(
        !again.records.keys().any(|k| !k.starts_with("garbage/") && k.contains('G')),
        "{:?}",
        again.records.keys()
    );
}

#[test]
fn a_framework_that_comes_back_hears_at_once_what_waits_for_it() {
    let mut w = World::fresh();
    let container = w.run("t", |_| {});
    w.step(Input::Launched { container, pid: 7 });
    w.pass(Duration::from_secs(36));
    let before = w.statuses();
    assert_eq!(before.len(), 3, "said, and repeated after 10 and 30 seconds");
    let update = |id: &str| internal::UpdateFrameworkMessage {
        framework_id: FrameworkId { value: id.into() },
        framework_info: Some(FrameworkInfo {
            id: Some(FrameworkId { value: id.into() }),
            checkpoint: Some(true),
            ..Default::default()
        }),
        ..Default::default()
    };
    w.hear(update("another"));
    assert!(w.statuses().is_empty());
    w.hear(update("F"));
    let again = w.statuses();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].uuid, before[0].uuid);
}

#[test]
fn checks_without_a_pause_and_their_words_are_bounded() {
    let mut w = World::fresh();
    let container = w.run("t", |task| {
        let mut check = HealthCheck {
            delay_seconds: Some(0.0),
            interval_seconds: Some(0.0),
            grace_period_seconds: Some(0.0),
            consecutive_failures: Some(u32::MAX),
            tcp: Some(health_check::TcpCheckInfo { port: 80, ..Default::default() }),
            ..Default::default()
        };
        check.set_type(health_check::Type::Tcp);
        task.health_check = Some(Box::new(check));
    });
    w.step(Input::Launched { container, pid: 7 });
    let until = w.now + Duration::from_secs(10);
    let mut answered = 0;
    while w.now < until {
        w.pass(Duration::from_millis(10));
        while answered < w.probes.len() {
            let outcome =
                if answered.is_multiple_of(2) { Probed::Connected } else { Probed::Failed(String::new()) };
            w.step(Input::Probed { probe: w.probes[answered], outcome });
            answered += 1;
        }
        all(&mut w);
    }
    assert!((80..110).contains(&answered), "{answered} probes in ten seconds");
    let task = w.agent.tasks().values().next().unwrap();
    assert_eq!(task.statuses.len(), 16, "of {answered} and two more");
    assert_eq!(task.statuses[0].state(), TaskState::TaskStarting, "the first one stays");
}

#[test]
fn what_is_killed_before_it_is_durable_is_never_launched() {
    let mut w = World::fresh();
    w.disk_full = true;
    w.run("t", |_| {});
    w.kill("t");
    w.pass(Duration::from_secs(2));
    assert!(w.launches.is_empty() && w.destroyed.is_empty() && w.signals.is_empty());
    let said = all(&mut w);
    assert_eq!(said.len(), 1);
    assert_eq!((said[0].state(), said[0].reason()), (TaskState::TaskKilled, Reason::TaskKilledDuringLaunch));
    assert!(w.agent.tasks().is_empty());
}
