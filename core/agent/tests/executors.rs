//! Executors that frameworks bring, and the default executor, driven by hand in virtual time.

mod world;

use agent::Input;
use base::{Duration, Time};
use model::{
    container::{ContainerId, Probed, Program, Termination},
    link::{Envelope, Message, Upid},
    mesos::{
        CommandInfo, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, TaskGroupInfo, TaskId, TaskInfo,
        TaskState, TaskStatus,
        executor::{Call, Event, call, event},
        executor_info, internal,
        task_status::{Reason, Source},
    },
    request::{Answer, Body, Codec, Http, RequestId, StreamId},
    resources::Resources,
};
use world::{World, master};

fn framework() -> FrameworkInfo {
    let id = Some(FrameworkId { value: "F".into() });
    FrameworkInfo { user: "root".into(), name: "f".into(), id, checkpoint: Some(true), ..Default::default() }
}

fn executor(id: &str, kind: executor_info::Type) -> ExecutorInfo {
    let custom = kind != executor_info::Type::Default;
    let mut info = ExecutorInfo {
        executor_id: ExecutorId { value: id.into() },
        resources: Resources::scalars([("cpus", 0.1), ("mem", 32.0)]).to_messages(),
        command: custom.then(|| CommandInfo { value: Some("./executor".into()), ..Default::default() }),
        ..Default::default()
    };
    info.set_type(kind);
    info
}

fn task(id: &str) -> TaskInfo {
    TaskInfo {
        name: id.into(),
        task_id: TaskId { value: id.into() },
        resources: Resources::scalars([("cpus", 0.5), ("mem", 64.0)]).to_messages(),
        ..Default::default()
    }
}

/// A task for the custom executor `e`; its container's id.
fn run(w: &mut World, id: &str, first: bool) -> ContainerId {
    let before = w.launches.len();
    let info = TaskInfo { executor: Some(executor("e", executor_info::Type::Custom)), ..task(id) };
    let message = internal::RunTaskMessage {
        framework: framework(),
        task: info,
        launch_executor: Some(first),
        ..Default::default()
    };
    w.hear(message);
    w.launches.get(before).map_or(ContainerId(String::new()), |spec| spec.id.clone())
}

/// Two tasks for the default executor; its container's id.
fn run_group(w: &mut World, ids: [&str; 2]) -> ContainerId {
    let before = w.launches.len();
    let command = CommandInfo { value: Some("true".into()), ..Default::default() };
    let tasks = ids.map(|id| TaskInfo { command: Some(command.clone()), ..task(id) }).to_vec();
    w.hear(internal::RunTaskGroupMessage {
        framework: framework(),
        executor: executor("d", executor_info::Type::Default),
        task_group: TaskGroupInfo { tasks },
        launch_executor: Some(true),
        ..Default::default()
    });
    w.launches.get(before).map_or(ContainerId(String::new()), |spec| spec.id.clone())
}

fn call(kind: call::Type) -> Call {
    let mut call = Call {
        framework_id: FrameworkId { value: "F".into() },
        executor_id: ExecutorId { value: "e".into() },
        ..Default::default()
    };
    call.set_type(kind);
    call
}

fn say(w: &mut World, number: u64, call: Call) {
    w.step(Input::Executor { request: RequestId(number), accept: Codec::Json, call: Box::new(call) });
}

fn subscribe(w: &mut World, number: u64, tasks: Vec<TaskInfo>, updates: Vec<TaskStatus>) {
    let unacknowledged_updates = updates.into_iter().map(|status| call::Update { status }).collect();
    let subscribe = Some(call::Subscribe { unacknowledged_tasks: tasks, unacknowledged_updates });
    say(w, number, Call { subscribe, ..call(call::Type::Subscribe) });
}

fn status(id: &str, state: TaskState, uuid: u8) -> TaskStatus {
    let mut status =
        TaskStatus { task_id: TaskId { value: id.into() }, uuid: Some(vec![uuid; 16]), ..Default::default() };
    status.set_state(state);
    status.set_source(Source::Executor);
    status
}

fn update(w: &mut World, number: u64, status: TaskStatus) {
    say(w, number, Call { update: Some(call::Update { status }), ..call(call::Type::Update) });
}

/// Events said on a stream since the last look; answers are dropped.
fn events(w: &mut World, stream: u64) -> Vec<Event> {
    let of = |http| match http {
        Http::Send { stream: s, event } if s == StreamId(stream) => Some(event),
        _ => None,
    };
    std::mem::take(&mut w.http).into_iter().filter_map(of).collect()
}

fn kinds(w: &mut World, stream: u64) -> Vec<event::Type> {
    events(w, stream).iter().map(Event::r#type).collect()
}

fn exits(w: &mut World) -> Vec<i32> {
    let of = |m: &Message| match m {
        Message::ExitedExecutorMessage(m) => Some(m.status),
        _ => None,
    };
    let exits = w.sent.iter().filter_map(of).collect();
    w.sent.retain(|m| of(m).is_none());
    exits
}

#[test]
fn an_executor_subscribes_and_gets_its_tasks_and_says_what_becomes_of_them() {
    let mut w = World::fresh();
    let container = run(&mut w, "t", true);
    let spec = &w.launches[0];
    assert_eq!(spec.program, Program::Shell("./executor".into()));
    let has = |name: &str, value: &str| spec.environment.contains(&(name.to_owned(), value.to_owned()));
    assert!(has("MESOS_EXECUTOR_ID", "e") && has("MESOS_FRAMEWORK_ID", "F") && has("MESOS_CHECKPOINT", "1"));
    assert!(
        has("MESOS_AGENT_ENDPOINT", "127.0.0.1:5051") && has("MESOS_SLAVE_PID", "slave(1)@127.0.0.1:5051")
    );
    update(&mut w, 1, status("t", TaskState::TaskRunning, 1));
    let refused =
        Http::Reply { request: RequestId(1), answer: Answer::text(403, "Executor is not subscribed") };
    assert_eq!(w.http.pop(), Some(refused));
    w.step(Input::Launched { container: container.clone(), pid: 42 });
    subscribe(&mut w, 2, Vec::new(), Vec::new());
    assert_eq!(kinds(&mut w, 2), [event::Type::Subscribed, event::Type::Launch]);
    run(&mut w, "u", false);
    assert_eq!(kinds(&mut w, 2), [event::Type::Launch]);
    update(&mut w, 3, status("t", TaskState::TaskRunning, 1));
    assert_eq!(
        kinds(&mut w, 2),
        [event::Type::Acknowledged],
        "the agent has it, so the executor may forget it"
    );
    let said = w.next();
    assert_eq!((said.state(), said.uuid()), (TaskState::TaskRunning, &[1; 16][..]));
    assert_eq!(said.container_status.unwrap().executor_pid, Some(42));
    update(&mut w, 4, status("t", TaskState::TaskRunning, 1));
    assert!(w.statuses().is_empty(), "an update said twice goes on once");
    assert_eq!(kinds(&mut w, 2), [event::Type::Acknowledged]);
    update(&mut w, 5, status("t", TaskState::TaskFinished, 2));
    w.next();
    assert!(w.agent.tasks().keys().eq([&("F".to_owned(), "u".to_owned())]));
    w.kill("u");
    let said = events(&mut w, 2);
    let kill = said.iter().find_map(|e| e.kill.as_ref()).expect("a KILL");
    assert_eq!(kill.task_id.value, "u");
    let message = call::Message { data: b"hi".to_vec() };
    say(&mut w, 6, Call { message: Some(message), ..call(call::Type::Message) });
    assert!(matches!(w.sent.pop(), Some(Message::ExecutorToFrameworkMessage(m)) if m.data == b"hi"));
    w.step(Input::Terminated { container, how: Termination::Exited(9) });
    let status = w.statuses().remove(0);
    assert_eq!((status.state(), status.reason()), (TaskState::TaskFailed, Reason::ExecutorTerminated));
    assert_eq!(status.message(), "Executor terminated");
    w.acknowledge(&status);
    assert!(w.agent.executors().is_empty() && w.agent.frameworks().is_empty());
    let left = |k: &String| k != "agent" && k != "boot" && !k.starts_with("garbage/");
    assert!(!w.records.keys().any(left), "{:?}", w.records.keys());
}

#[test]
fn who_does_not_register_or_does_not_end_is_ended() {
    let mut w = World::fresh();
    let container = run(&mut w, "t", true);
    w.step(Input::Launched { container: container.clone(), pid: 42 });
    w.pass(Duration::from_secs(59));
    assert!(w.destroyed.is_empty());
    w.pass(Duration::from_secs(2));
    assert_eq!(w.destroyed, std::slice::from_ref(&container));
    w.step(Input::Terminated { container, how: Termination::Signaled(9) });
    assert_eq!(exits(&mut w), [9]);
    let said = w.next();
    assert_eq!((said.state(), said.reason()), (TaskState::TaskFailed, Reason::ExecutorRegistrationTimeout));
    assert_eq!(said.message(), "Executor did not register within 1mins");
    let container = run(&mut w, "u", true);
    w.step(Input::Launched { container: container.clone(), pid: 43 });
    subscribe(&mut w, 1, Vec::new(), Vec::new());
    w.destroyed.clear();
    w.hear(internal::ShutdownExecutorMessage {
        framework_id: Some(FrameworkId { value: "F".into() }),
        executor_id: Some(ExecutorId { value: "e".into() }),
    });
    assert_eq!(kinds(&mut w, 1).last(), Some(&event::Type::Shutdown));
    w.pass(Duration::from_millis(4900));
    assert!(w.destroyed.is_empty(), "it has 5 seconds");
    w.pass(Duration::from_millis(200));
    assert_eq!(w.destroyed, [container]);
}

#[test]
fn a_task_that_is_killed_before_its_executor_came_never_reaches_it() {
    let mut w = World::fresh();
    let container = run(&mut w, "t", true);
    w.step(Input::Launched { container, pid: 42 });
    w.kill("t");
    let said = w.next();
    assert_eq!((said.state(), said.reason()), (TaskState::TaskKilled, Reason::TaskKilledDuringLaunch));
    subscribe(&mut w, 1, Vec::new(), Vec::new());
    assert_eq!(kinds(&mut w, 1), [event::Type::Shutdown], "there is nothing for it to do");
}

#[test]
fn an_executor_comes_back_after_a_restart_with_what_was_not_acknowledged() {
    let mut w = World::fresh();
    let container = run(&mut w, "t", true);
    w.step(Input::Launched { container: container.clone(), pid: 42 });
    subscribe(&mut w, 1, Vec::new(), Vec::new());
    run(&mut w, "u", false);
    run(&mut w, "lost", false);
    update(&mut w, 2, status("t", TaskState::TaskRunning, 1));
    w.next();
    let mut w = World::from(w.records, w.now + Duration::from_secs(5));
    subscribe(&mut w, 3, Vec::new(), Vec::new());
    let early = Answer {
        status: 503,
        headers: Vec::new(),
        body: Body::Text("Agent has not finished recovery".into()),
    };
    assert_eq!(w.http.pop(), Some(Http::Reply { request: RequestId(3), answer: early }));
    w.step(Input::Recovered {
        running: vec![(container.clone(), 42)],
        starting: Vec::new(),
        ended: Vec::new(),
    });
    w.step(Input::MasterDetected(Some(master())));
    w.hear(internal::SlaveReregisteredMessage {
        slave_id: model::mesos::AgentId { value: "S0".into() },
        ..Default::default()
    });
    w.sent.clear();
    // `u` was delivered and not yet said anything about, `t` went on, `lost` never arrived.
    subscribe(&mut w, 4, vec![task("u")], vec![status("t", TaskState::TaskFinished, 2)]);
    assert_eq!(kinds(&mut w, 4), [event::Type::Subscribed, event::Type::Acknowledged]);
    let mut said = w.statuses();
    said.sort_by_key(|s| s.task_id.value.clone());
    let said: Vec<_> = said.iter().map(|s| (s.task_id.value.as_str(), s.state(), s.reason())).collect();
    let none = TaskStatus::default().reason();
    let lost = ("lost", TaskState::TaskLost, Reason::AgentRestarted);
    assert_eq!(said, [lost, ("t", TaskState::TaskFinished, none)]);
    w.pass(Duration::from_secs(3));
    assert!(w.destroyed.is_empty(), "it came back in time");
}

#[test]
fn an_executor_that_stays_away_after_a_restart_is_ended() {
    let mut w = World::fresh();
    let container = run(&mut w, "t", true);
    w.step(Input::Launched { container: container.clone(), pid: 42 });
    subscribe(&mut w, 1, Vec::new(), Vec::new());
    let mut w = World::from(w.records, w.now + Duration::from_secs(5));
    w.step(Input::Recovered {
        running: vec![(container.clone(), 42)],
        starting: Vec::new(),
        ended: Vec::new(),
    });
    w.pass(Duration::from_millis(1900));
    assert!(w.destroyed.is_empty());
    w.pass(Duration::from_millis(200));
    assert_eq!(w.destroyed, [container]);
}

#[test]
fn a_v0_executor_speaks_by_messages_and_is_asked_back_after_a_restart() {
    let mut w = World::fresh();
    let container = run(&mut w, "t", true);
    w.step(Input::Launched { container: container.clone(), pid: 42 });
    w.sent.clear();
    let driver = Upid::new("executor(1)", "127.0.0.1:7000".parse().unwrap());
    let hear = |w: &mut World, from: &Upid, message: Message| {
        let to = w.agent.me();
        w.step(Input::Message(Box::new(Envelope { from: from.clone(), to, message })));
    };
    let register = internal::RegisterExecutorMessage {
        framework_id: FrameworkId { value: "F".into() },
        executor_id: ExecutorId { value: "e".into() },
    };
    hear(&mut w, &driver, register.clone().into());
    assert!(matches!(w.sent[0], Message::ExecutorRegisteredMessage(_)), "{:?}", w.sent);
    assert!(matches!(&w.sent[1], Message::RunTaskMessage(m) if m.task.task_id.value == "t"), "{:?}", w.sent);
    w.sent.clear();
    let said = |state, uuid| internal::StatusUpdateMessage {
        update: internal::StatusUpdate {
            framework_id: FrameworkId { value: "F".into() },
            executor_id: Some(ExecutorId { value: "e".into() }),
            status: status("t", state, uuid),
            uuid: Some(vec![uuid; 16]),
            ..Default::default()
        },
        pid: None,
    };
    let stranger = Upid::new("executor(1)", "127.0.0.1:7001".parse().unwrap());
    hear(&mut w, &stranger, said(TaskState::TaskFinished, 9).into());
    assert!(w.statuses().is_empty(), "a forged sender says nothing for an executor");
    hear(&mut w, &driver, said(TaskState::TaskRunning, 1).into());
    assert!(w.sent.iter().any(|m| matches!(m, Message::StatusUpdateAcknowledgementMessage(_))));
    let running = w.statuses().remove(0);
    w.acknowledge(&running);
    hear(&mut w, &stranger, register.into());
    assert!(
        matches!(w.sent.pop(), Some(Message::ShutdownExecutorMessage(_))),
        "one executor of an id is enough"
    );
    let mut w = World::from(w.records, w.now + Duration::from_secs(5));
    w.step(Input::Recovered { running: vec![(container, 42)], starting: Vec::new(), ended: Vec::new() });
    assert!(w.sent.iter().any(|m| matches!(m, Message::ReconnectExecutorMessage(_))), "{:?}", w.sent);
    w.sent.clear();
    let back = internal::ReregisterExecutorMessage {
        framework_id: FrameworkId { value: "F".into() },
        executor_id: ExecutorId { value: "e".into() },
        tasks: vec![task("t")],
        updates: Vec::new(),
    };
    hear(&mut w, &driver, back.into());
    assert!(matches!(w.sent[0], Message::ExecutorReregisteredMessage(_)), "{:?}", w.sent);
    w.pass(Duration::from_secs(3));
    assert!(w.destroyed.is_empty());
}

#[test]
fn a_group_lives_in_one_container_and_one_failure_ends_it() {
    let mut w = World::fresh();
    let around = run_group(&mut w, ["a", "b"]);
    assert_eq!((w.launches.len(), &w.launches[0].program), (1, &Program::Hold));
    w.step(Input::Launched { container: around.clone(), pid: 42 });
    let inner: Vec<_> = w.launches[1..].iter().map(|s| s.id.clone()).collect();
    assert!(inner.len() == 2 && inner.iter().all(|c| c.parent().as_ref() == Some(&around)), "{inner:?}");
    let memory = w.limits.last().map(|(_, l)| l.mem >> 20);
    assert_eq!(memory, Some(160), "the container around them may use what all may");
    for (at, container) in inner.iter().enumerate() {
        w.step(Input::Launched { container: container.clone(), pid: 50 + at as u32 });
    }
    w.step(Input::Terminated { container: inner[0].clone(), how: Termination::Exited(7) });
    assert_eq!(w.signals, [(inner[1].clone(), 15)], "the rest of the group is killed");
    w.step(Input::Terminated { container: inner[1].clone(), how: Termination::Signaled(15) });
    let mut last = std::collections::BTreeMap::new();
    w.destroyed.retain(|c| *c == around);
    loop {
        let statuses = w.statuses();
        if statuses.is_empty() {
            break;
        }
        assert!(w.destroyed.is_empty(), "the executor ends after its tasks' last words");
        for status in statuses {
            assert_eq!(status.executor_id.as_ref().unwrap().value, "d");
            w.acknowledge(&status);
            last.insert(status.task_id.value.clone(), status.state());
        }
        w.destroyed.retain(|c| *c == around);
    }
    assert_eq!((last["a"], last["b"]), (TaskState::TaskFailed, TaskState::TaskKilled));
    assert_eq!(w.destroyed, std::slice::from_ref(&around));
    w.step(Input::Terminated { container: around, how: Termination::Signaled(9) });
    assert_eq!(exits(&mut w), [0], "it did what it was there for");
    assert!(w.agent.executors().is_empty());
}

#[test]
fn a_default_executor_that_is_shut_down_ends_after_its_tasks_last_words() {
    let mut w = World::fresh();
    let around = run_group(&mut w, ["a", "b"]);
    w.step(Input::Launched { container: around.clone(), pid: 42 });
    let inner: Vec<_> = w.launches[1..].iter().map(|s| s.id.clone()).collect();
    for container in &inner {
        w.step(Input::Launched { container: container.clone(), pid: 50 });
    }
    w.hear(internal::ShutdownExecutorMessage {
        framework_id: Some(FrameworkId { value: "F".into() }),
        executor_id: Some(ExecutorId { value: "d".into() }),
    });
    for container in &inner {
        w.step(Input::Terminated { container: container.clone(), how: Termination::Signaled(15) });
    }
    assert!(!w.destroyed.contains(&around), "nobody has heard that its tasks ended");
    loop {
        let statuses = w.statuses();
        if statuses.is_empty() {
            break;
        }
        assert!(!w.destroyed.contains(&around));
        statuses.iter().for_each(|status| w.acknowledge(status));
    }
    assert!(w.destroyed.contains(&around), "all was acknowledged");
}

#[test]
fn a_group_survives_a_restart_and_a_finished_task_ends_nobody() {
    let mut w = World::fresh();
    let around = run_group(&mut w, ["a", "b"]);
    w.step(Input::Launched { container: around.clone(), pid: 42 });
    let inner: Vec<_> = w.launches[1..].iter().map(|s| s.id.clone()).collect();
    for container in &inner {
        w.step(Input::Launched { container: container.clone(), pid: 50 });
    }
    let mut w = World::from(w.records, w.now + Duration::from_secs(5));
    let running = vec![(around.clone(), 42), (inner[1].clone(), 50)];
    let ended = vec![(inner[0].clone(), Termination::Exited(0))];
    w.step(Input::Recovered { running, starting: Vec::new(), ended });
    w.pass(Duration::from_secs(10));
    assert!(w.signals.is_empty(), "a task that finished takes nobody with it");
    assert!(!w.destroyed.contains(&around));
    assert_eq!(w.agent.executors().len(), 1);
    w.step(Input::Terminated { container: around, how: Termination::Exited(0) });
    let live: Vec<_> = w.agent.tasks().values().filter(|t| t.is_live()).collect();
    assert!(live.is_empty(), "without the container around them there are no tasks");
    assert!(w.destroyed.contains(&inner[1]));
}

#[test]
fn a_task_of_a_group_that_lasts_too_long_fails_and_takes_the_rest_with_it() {
    let mut w = World::fresh();
    let command = CommandInfo { value: Some("sleep 100".into()), ..Default::default() };
    let limit = model::mesos::DurationInfo { nanoseconds: 1_000_000_000 };
    let short =
        TaskInfo { command: Some(command.clone()), max_completion_time: Some(limit), ..task("short") };
    let long = TaskInfo { command: Some(command), ..task("long") };
    w.hear(internal::RunTaskGroupMessage {
        framework: framework(),
        executor: executor("d", executor_info::Type::Default),
        task_group: TaskGroupInfo { tasks: vec![short, long] },
        launch_executor: Some(true),
        ..Default::default()
    });
    let around = w.launches[0].id.clone();
    w.step(Input::Launched { container: around, pid: 1 });
    let inner: Vec<_> = w.launches[1..].iter().map(|s| s.id.clone()).collect();
    for container in &inner {
        w.step(Input::Launched { container: container.clone(), pid: 2 });
    }
    w.pass(Duration::from_millis(1100));
    assert_eq!(w.signals, [(inner[0].clone(), 15), (inner[0].clone(), 9)], "without grace");
    w.step(Input::Terminated { container: inner[0].clone(), how: Termination::Signaled(15) });
    assert_eq!(w.signals.last(), Some(&(inner[1].clone(), 15)));
    let task =
        w.agent.tasks().values().find(|t| t.id() == "short").expect("it waits for its acknowledgements");
    let last = task.statuses.last().expect("a last word");
    assert_eq!((last.state(), last.reason()), (TaskState::TaskFailed, Reason::MaxCompletionTimeReached));
}

#[test]
fn what_waits_for_an_executor_has_a_bound_and_wrong_versions_are_dropped() {
    let mut w = World::fresh();
    w.hasty = true;
    let container = run(&mut w, "t", true);
    w.step(Input::Launched { container, pid: 1 });
    let info = TaskInfo { executor: Some(executor("e", executor_info::Type::Custom)), ..task("old") };
    let stale = internal::ResourceVersionUuid {
        resource_provider_id: None,
        uuid: model::mesos::Uuid { value: vec![0; 16] },
    };
    w.hear(internal::RunTaskMessage {
        framework: framework(),
        task: info,
        resource_version_uuids: vec![stale],
        ..Default::default()
    });
    let said = w.next();
    assert_eq!((said.state(), said.reason()), (TaskState::TaskLost, Reason::InvalidOffers));
    let elsewhere = TaskInfo { executor: Some(executor("gone", executor_info::Type::Custom)), ..task("x") };
    let message = internal::RunTaskMessage {
        framework: framework(),
        task: elsewhere,
        launch_executor: Some(false),
        ..Default::default()
    };
    w.hear(message);
    assert_eq!(w.next().reason(), Reason::ExecutorTerminated);
    assert_eq!(w.now, Time::from_millis(1_000_000));
}

#[test]
fn tasks_that_end_after_one_was_ended_for_its_health_say_so_too() {
    let mut w = World::fresh();
    let command = CommandInfo { value: Some("sleep 100".into()), ..Default::default() };
    let check = world::strict_check();
    let group = |ids: [TaskInfo; 2], first: bool| internal::RunTaskGroupMessage {
        framework: framework(),
        executor: executor("d", executor_info::Type::Default),
        task_group: TaskGroupInfo { tasks: ids.to_vec() },
        launch_executor: Some(first),
        ..Default::default()
    };
    let named = |id: &str| TaskInfo { command: Some(command.clone()), ..task(id) };
    let sick = TaskInfo { health_check: Some(Box::new(check)), ..named("sick") };
    w.hear(group([sick, named("beside")], true));
    w.step(Input::Launched { container: w.launches[0].id.clone(), pid: 1 });
    w.hear(group([named("before"), named("other")], false));
    let inner: Vec<_> = w.launches[1..].iter().map(|s| s.id.clone()).collect();
    for container in &inner {
        w.step(Input::Launched { container: container.clone(), pid: 2 });
    }
    // the second group's first task ends before anything is known of the first group's health
    w.step(Input::Terminated { container: inner[2].clone(), how: Termination::Exited(0) });
    w.pass(Duration::from_millis(1));
    w.step(Input::Probed { probe: w.probes[0], outcome: Probed::Failed("refused".into()) });
    for (place, how) in [(0, Termination::Signaled(15)), (1, Termination::Signaled(15))] {
        w.step(Input::Terminated { container: inner[place].clone(), how });
    }
    // what was found is kept with the agent's own restart
    let mut w = World::from(w.records, w.now + Duration::from_secs(5));
    let running = vec![(inner[0].parent().unwrap(), 1), (inner[3].clone(), 2)];
    w.step(Input::Recovered { running, starting: Vec::new(), ended: Vec::new() });
    w.step(Input::Terminated { container: inner[3].clone(), how: Termination::Exited(0) });
    let last = |id: &str| {
        let task = w.agent.tasks().values().find(|t| t.id() == id).expect("nobody acknowledged anything");
        let status = task.statuses.last().expect("a last word");
        (status.state(), status.healthy)
    };
    use TaskState::{TaskFinished, TaskKilled};
    assert_eq!(last("before"), (TaskFinished, None));
    assert_eq!(last("sick"), (TaskKilled, Some(false)));
    assert_eq!(last("beside"), (TaskKilled, Some(false)));
    assert_eq!(last("other"), (TaskFinished, Some(false)), "and of other groups of its executor");
}

#[test]
fn no_update_that_an_executor_was_told_is_taken_is_lost_and_beyond_the_bound_it_is_refused() {
    const MANY: u64 = 10_000;
    let mut w = World::fresh();
    let container = run(&mut w, "t", true);
    w.step(Input::Launched { container, pid: 1 });
    subscribe(&mut w, 7, Vec::new(), Vec::new());
    let named = |n: u64| {
        let mut uuid = vec![0; 8];
        uuid.extend(n.to_be_bytes());
        let mut status = TaskStatus {
            task_id: TaskId { value: "t".into() },
            uuid: Some(uuid),
            message: Some(n.to_string()),
            ..Default::default()
        };
        status.set_state(TaskState::TaskRunning);
        status.set_source(Source::Executor);
        status
    };
    let answers = |w: &mut World| -> Vec<u16> {
        let of = |http| match http {
            Http::Reply { answer, .. } => Some(answer.status),
            _ => None,
        };
        std::mem::take(&mut w.http).into_iter().filter_map(of).collect()
    };
    w.http.clear();
    for n in 0..MANY {
        update(&mut w, 100 + n, named(n));
    }
    let of = |http: &Http<Event>| match http {
        Http::Send { event, .. } => event.acknowledged.is_some(),
        _ => false,
    };
    assert_eq!(w.http.iter().filter(|http| of(http)).count() as u64, MANY, "all are durable");
    assert!(answers(&mut w).iter().all(|status| *status == 202));
    update(&mut w, 99_998, named(MANY));
    assert_eq!(answers(&mut w), [503], "no room, and it is told so");
    let said = w.next();
    assert_eq!(said.message.as_deref(), Some("0"));
    update(&mut w, 99_999, named(MANY));
    assert_eq!(answers(&mut w), [202], "there is room again");
    // in order, to the last one, over a restart of the agent too
    let mut w = w.restarted();
    w.step(Input::Recovered { running: Vec::new(), starting: Vec::new(), ended: Vec::new() });
    w.step(Input::MasterDetected(Some(master())));
    w.hear(internal::SlaveReregisteredMessage {
        slave_id: model::mesos::AgentId { value: "S0".into() },
        ..Default::default()
    });
    let mut next = 1;
    while let Some(status) = w.statuses().into_iter().find(|s| s.state() == TaskState::TaskRunning) {
        assert_eq!(status.message, Some(next.to_string()));
        w.acknowledge(&status);
        next += 1;
    }
    assert_eq!(next, MANY + 1);
}

/// A group of one task that fails, and one that takes its time to end.
fn run_patient_group(w: &mut World) -> (ContainerId, [ContainerId; 2]) {
    let command = CommandInfo { value: Some("true".into()), ..Default::default() };
    let grace_period = Some(model::mesos::DurationInfo { nanoseconds: 600_000_000_000 });
    let patient = TaskInfo {
        command: Some(command.clone()),
        kill_policy: Some(model::mesos::KillPolicy { grace_period }),
        ..task("patient")
    };
    w.hear(internal::RunTaskGroupMessage {
        framework: framework(),
        executor: executor("d", executor_info::Type::Default),
        task_group: TaskGroupInfo { tasks: vec![TaskInfo { command: Some(command), ..task("a") }, patient] },
        launch_executor: Some(true),
        ..Default::default()
    });
    let around = w.launches[0].id.clone();
    w.step(Input::Launched { container: around.clone(), pid: 1 });
    let inner = [w.launches[1].id.clone(), w.launches[2].id.clone()];
    for container in &inner {
        w.step(Input::Launched { container: container.clone(), pid: 2 });
    }
    (around, inner)
}

#[test]
fn the_rest_of_a_failed_group_has_three_seconds_whatever_its_kill_policy_says() {
    let mut w = World::fresh();
    let (_, [failed, patient]) = run_patient_group(&mut w);
    w.step(Input::Terminated { container: failed, how: Termination::Exited(7) });
    assert_eq!(w.signals, [(patient.clone(), 15)]);
    w.pass(Duration::from_millis(2_900));
    assert_eq!(w.signals.len(), 1);
    w.pass(Duration::from_millis(200));
    assert_eq!(w.signals, [(patient.clone(), 15), (patient, 9)]);

    // So it is when the executor is told to end.
    let mut w = World::fresh();
    let (_, [a, patient]) = run_patient_group(&mut w);
    w.hear(internal::ShutdownExecutorMessage {
        framework_id: Some(FrameworkId { value: "F".into() }),
        executor_id: Some(ExecutorId { value: "d".into() }),
    });
    assert_eq!(w.signals, [(a.clone(), 15), (patient.clone(), 15)]);
    w.pass(Duration::from_millis(3_100));
    assert_eq!(w.signals[2..], [(a, 9), (patient, 9)]);
}

#[test]
fn a_kill_leaves_a_task_of_a_group_its_own_grace() {
    let mut w = World::fresh();
    let (_, [a, patient]) = run_patient_group(&mut w);
    w.hear(internal::KillTaskMessage {
        framework_id: FrameworkId { value: "F".into() },
        task_id: TaskId { value: "patient".into() },
        kill_policy: None,
    });
    assert_eq!(w.signals, [(patient.clone(), 15)]);
    // The end of another takes nothing of it.
    w.step(Input::Terminated { container: a, how: Termination::Exited(7) });
    w.pass(Duration::from_secs(599));
    assert_eq!(w.signals.len(), 1, "{:?}", w.signals);
    w.pass(Duration::from_secs(2));
    assert_eq!(w.signals[1], (patient, 9));
}
