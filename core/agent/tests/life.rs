//! The life of tasks on an agent, driven by hand in virtual time; every invariant after every step.

mod world;

use agent::Input;
use base::{Duration, Machine as _, Time};
use model::{
    container::{NOT_EXECUTED, Probe, Probed, Program, Termination},
    link::{Envelope, Message, Upid},
    mesos::{
        AgentId, CheckInfo, ContainerInfo, DurationInfo, FrameworkId, FrameworkInfo, HealthCheck, Image,
        KillPolicy, TaskId, TaskState, check_info, container_info, framework_info, health_check, image,
        internal, network_info::Protocol, task_status::Reason,
    },
    save::Records,
};
use world::{World, master};

#[test]
fn registration_is_repeated_until_answered() {
    let mut w = World::from(Records::new(), Time::from_millis(1));
    w.step(Input::MasterDetected(Some(master())));
    assert!(w.sent.is_empty(), "nothing is said before the past is known");
    w.step(Input::Recovered { running: Vec::new(), starting: Vec::new(), ended: Vec::new() });
    w.pass(Duration::from_secs(2));
    let attempts = w.sent.len();
    assert!((3..8).contains(&attempts), "{attempts} attempts in two seconds");
    w.registered();
    w.sent.clear();
    w.pass(Duration::from_secs(60));
    assert!(w.sent.is_empty(), "{:?}", w.sent);
    w.pass(Duration::from_secs(20));
    assert!(matches!(w.sent[0], Message::ReregisterSlaveMessage(_)), "no ping for 75 s");
    let stranger = Upid::new("master", "127.0.0.1:1".parse().unwrap());
    let shutdown = internal::ShutdownMessage::default().into();
    w.step(Input::Message(Box::new(Envelope { from: stranger, to: w.agent.me(), message: shutdown })));
    assert_eq!(w.agent.counters().messages_dropped, 1);
}

#[test]
fn an_agent_that_is_not_wanted_ends_its_tasks_and_comes_back_only_if_it_is_started_again() {
    let mut w = World::fresh();
    let container = w.run("t", |_| {});
    w.step(Input::Launched { container: container.clone(), pid: 1 });
    w.hear(internal::ShutdownMessage { message: Some("Machine is `DOWN`".into()) });
    assert_eq!(w.agent.told_to_shut_down(), Some("Machine is `DOWN`"));
    assert!(!w.agent.is_registered() && !w.agent.is_idle());
    assert_eq!(w.signals, [(container.clone(), 15)]);
    w.step(Input::Terminated { container, how: Termination::Signaled(15) });
    assert!(w.agent.is_idle());
    w.sent.clear();
    w.pass(Duration::from_secs(200));
    w.step(Input::MasterDetected(Some(master())));
    w.step(Input::Exited { peer: master().address });
    w.pass(Duration::from_secs(200));
    assert!(w.sent.is_empty(), "it is on its way out: {:?}", w.sent);
    w.step(Input::StartAgain);
    assert!(matches!(w.sent[..], [Message::ReregisterSlaveMessage(_)]), "{:?}", w.sent);
    assert_eq!(w.agent.told_to_shut_down(), None);
}

#[test]
fn a_task_runs_to_its_end_one_update_at_a_time() {
    let mut w = World::fresh();
    let container = w.run("t", |_| {});
    let spec = &w.launches[0];
    assert_eq!(spec.program, Program::Shell("true".into()));
    assert_eq!(spec.sandbox, format!("/w/slaves/S0/frameworks/F/executors/t/runs/{container}"));
    let has = |name: &str, value: &str| spec.environment.contains(&(name.to_owned(), value.to_owned()));
    assert!(has("MESOS_EXECUTOR_ID", "t") && has("FROM_AGENT", "1") && has("MESOS_SANDBOX", &spec.sandbox));
    w.step(Input::Launched { container: container.clone(), pid: 42 });
    w.step(Input::Terminated { container: container.clone(), how: Termination::Exited(3) });
    let first = w.next();
    assert_eq!(first.state(), TaskState::TaskStarting);
    assert_eq!(first.container_status.unwrap().executor_pid, Some(42));
    assert_eq!(w.next().state(), TaskState::TaskRunning);
    let last = w.next();
    assert_eq!((last.state(), last.message()), (TaskState::TaskFailed, "Command exited with status 3"));
    assert_eq!((w.agent.tasks().len(), w.agent.completed().len()), (0, 1));
    assert_eq!(w.forgotten, [container]);
    assert!(
        !w.records.keys().any(|k| k.starts_with("tasks/") || k.starts_with("updates/")),
        "{:?}",
        w.records.keys()
    );
}

#[test]
fn what_nobody_waits_for_is_saved_with_what_is_next_or_a_moment_later() {
    let mut w = World::fresh();
    let container = w.run("t", |_| {});
    w.hasty = true;
    w.step(Input::Launched { container: container.clone(), pid: 1 });
    let starting = w.statuses().remove(0);
    let saves = w.saves;
    w.acknowledge(&starting);
    assert_eq!(w.saves, saves + 1, "the next update waits for it");
    let running = w.statuses().remove(0);
    w.acknowledge(&running);
    assert_eq!(w.saves, saves + 1);
    assert!(w.agent.deadline().is_some_and(|(at, _)| at <= w.now + Duration::from_millis(10)));
    w.pass(Duration::from_millis(10));
    assert_eq!(w.saves, saves + 2);
    assert!(!w.records.keys().any(|k| k.starts_with("updates/")), "{:?}", w.records.keys());
    // the end of one goes along with the beginning of another
    w.step(Input::Terminated { container, how: Termination::Exited(0) });
    let last = w.statuses().remove(0);
    w.acknowledge(&last);
    assert_eq!((w.saves, w.forgotten.len()), (saves + 3, 0));
    w.run("next", |_| {});
    assert_eq!((w.saves, w.forgotten.len()), (saves + 4, 1));
    assert_eq!(w.records.keys().filter(|k| k.starts_with("tasks/")).count(), 1);
    // a full disk has what waits tried again, in its order
    let _ = w.statuses();
    w.disk_full = true;
    let failing = w.run("failing", |_| {});
    assert_eq!(failing.0, "", "not before it is durable");
    w.pass(Duration::from_secs(2));
    assert_eq!(
        w.launches.last().unwrap().id,
        w.agent.tasks()[&("F".to_owned(), "failing".to_owned())].container
    );
}

#[test]
fn an_update_is_repeated_until_acknowledged_and_not_after() {
    let mut w = World::fresh();
    let container = w.run("t", |_| {});
    w.step(Input::Launched { container, pid: 1 });
    let first = w.statuses().remove(0);
    w.pass(Duration::from_secs(11));
    w.pass(Duration::from_secs(21));
    let again = w.statuses();
    assert!(again.len() == 2 && again.iter().all(|s| s.uuid == first.uuid), "{again:?}");
    w.acknowledge(&first);
    assert_eq!(w.statuses()[0].state(), TaskState::TaskRunning);
    w.acknowledge(&first);
    assert!(w.statuses().is_empty(), "an acknowledgement said twice changes nothing");
}

#[test]
fn who_comes_back_is_told_at_once_what_it_has_not_acknowledged() {
    let mut w = World::fresh();
    let container = w.run("t", |_| {});
    w.step(Input::Launched { container, pid: 1 });
    let first = w.statuses().remove(0);
    let back = |id: &str| internal::UpdateFrameworkMessage {
        framework_id: FrameworkId { value: id.into() },
        framework_info: Some(FrameworkInfo { user: "root".into(), name: "f".into(), ..Default::default() }),
        ..Default::default()
    };
    w.hear(back("F"));
    let again = w.statuses();
    assert!(again.len() == 1 && again[0].uuid == first.uuid, "{again:?}");
    w.acknowledge(&first);
    w.next();
    w.hear(back("F"));
    w.hear(back("unknown"));
    assert!(w.statuses().is_empty(), "what is acknowledged is not said again");
}

#[test]
fn a_kill_is_a_signal_then_force() {
    let mut w = World::fresh();
    let container = w.run("t", |_| {});
    w.step(Input::Launched { container: container.clone(), pid: 1 });
    w.kill("t");
    w.pass(Duration::from_millis(2900));
    assert_eq!(w.signals, [(container.clone(), 15)]);
    w.pass(Duration::from_millis(200));
    assert_eq!(w.signals, [(container.clone(), 15), (container.clone(), 9)]);
    w.step(Input::Terminated { container, how: Termination::Signaled(9) });
    w.next();
    w.next();
    let last = w.next();
    assert_eq!(
        (last.state(), last.message()),
        (TaskState::TaskKilled, "Command terminated with signal Killed")
    );
    w.kill("unknown");
    assert_eq!(w.next().state(), TaskState::TaskLost);
}

#[test]
fn a_kill_before_the_start_stops_the_launch_and_ends_what_started_all_the_same() {
    let mut w = World::fresh();
    let container = w.run("t", |_| {});
    w.kill("t");
    assert!(w.signals.is_empty(), "there is nothing to signal");
    assert_eq!(w.destroyed, std::slice::from_ref(&container), "neither fetched nor started");
    w.step(Input::Launched { container: container.clone(), pid: 1 });
    assert_eq!(w.signals, [(container.clone(), 9)], "it had begun");
    w.step(Input::Terminated { container, how: Termination::Signaled(9) });
    assert_eq!(w.next().state(), TaskState::TaskKilled);
    let failed = w.run("u", |_| {});
    w.kill("u");
    w.sent.clear();
    w.step(Input::LaunchFailed { container: failed, why: "x".into() });
    let status = w.next();
    assert_eq!((status.state(), status.reason()), (TaskState::TaskKilled, Reason::TaskKilledDuringLaunch));
}

#[test]
fn a_failed_launch_and_a_lack_of_memory_say_so() {
    let mut w = World::fresh();
    let container = w.run("t", |_| {});
    w.step(Input::LaunchFailed { container, why: "Failed to fetch all URIs".into() });
    let status = w.next();
    assert_eq!((status.state(), status.reason()), (TaskState::TaskFailed, Reason::ContainerLaunchFailed));
    let container = w.run("m", |_| {});
    w.step(Input::Launched { container: container.clone(), pid: 1 });
    let how = Termination::OutOfMemory { limit: 64 << 20, peak: 64 << 20 };
    w.step(Input::Terminated { container, how });
    w.next();
    w.next();
    let status = w.next();
    assert_eq!((status.state(), status.reason()), (TaskState::TaskFailed, Reason::ContainerLimitationMemory));
    w.run("image", |t| {
        let image = Image { r#type: image::Type::Docker as i32, ..Default::default() };
        let mesos = container_info::MesosInfo { image: Some(image) };
        let kind = container_info::Type::Mesos as i32;
        t.container =
            Some(Box::new(ContainerInfo { r#type: kind, mesos: Some(mesos), ..Default::default() }));
    });
    let status = w.next();
    let why = "Failed to launch container: Unsupported container image type: DOCKER";
    assert_eq!((status.reason(), status.message()), (Reason::ContainerLaunchFailed, why));
    w.run("docker", |t| {
        let kind = container_info::Type::Docker as i32;
        t.container = Some(Box::new(ContainerInfo { r#type: kind, ..Default::default() }));
    });
    let status = w.next();
    let why = "Abnormal executor termination: unknown container";
    assert_eq!((status.reason(), status.message()), (Reason::ExecutorTerminated, why));
}

#[test]
fn a_program_that_is_not_there_is_to_fail_inside_its_container() {
    let mut w = World::fresh();
    w.run("t", |t| t.command.get_or_insert_default().shell = Some(false));
    assert!(w.launches[0].fails_inside);
    // where there is no shell either, that is the end of it
    let container = w.run("u", |_| {});
    let why = format!("Failed to launch container: {NOT_EXECUTED} 'true': No such file or directory");
    w.step(Input::LaunchFailed { container, why: why.clone() });
    let status = w.next();
    assert_eq!((status.reason(), status.message()), (Reason::ContainerLaunchFailed, why.as_str()));
}

#[test]
fn the_policy_of_a_kill_counts_for_a_command_task_where_the_flag_says_so() {
    for (flag, after, signals) in [("false", 2900, 1), ("true", 600, 2)] {
        let mut w = World::fresh_with(|c| {
            c.flags.insert("http_command_executor".into(), flag.into());
        });
        let container = w.run("t", |_| {});
        let environment = &w.launches[0].environment;
        let told = environment.iter().find(|(name, _)| name == "MESOS_HTTP_COMMAND_EXECUTOR");
        assert_eq!(told.map(|(_, value)| value == "1"), Some(flag == "true"));
        w.step(Input::Launched { container, pid: 1 });
        let grace_period = Some(DurationInfo { nanoseconds: 500_000_000 });
        w.hear(internal::KillTaskMessage {
            framework_id: FrameworkId { value: "F".into() },
            task_id: TaskId { value: "t".into() },
            kill_policy: Some(KillPolicy { grace_period }),
        });
        w.pass(Duration::from_millis(after));
        assert_eq!(w.signals.len(), signals, "{flag}: {:?}", w.signals);
    }
}

fn labels(all: &[(&str, &str)]) -> model::mesos::Labels {
    let label = |(key, value): &(&str, &str)| model::mesos::Label {
        key: (*key).to_owned(),
        value: Some((*value).to_owned()),
    };
    model::mesos::Labels { labels: all.iter().map(label).collect() }
}

#[test]
fn an_unhealthy_task_is_killed() {
    let mut w = World::fresh();
    w.framework_labels = labels(&[(model::CHECK_WORDS_LABEL, "true")]);
    let container = w.run("t", |task| {
        let mut check = HealthCheck {
            delay_seconds: Some(0.0),
            interval_seconds: Some(1.0),
            grace_period_seconds: Some(0.0),
            consecutive_failures: Some(2),
            tcp: Some(health_check::TcpCheckInfo { port: 80, ..Default::default() }),
            ..Default::default()
        };
        check.set_type(health_check::Type::Tcp);
        task.health_check = Some(Box::new(check));
    });
    w.step(Input::Launched { container: container.clone(), pid: 1 });
    w.pass(Duration::from_millis(1));
    w.step(Input::Probed { probe: w.probes[0], outcome: Probed::Connected });
    w.pass(Duration::from_secs(1));
    w.step(Input::Probed { probe: w.probes[1], outcome: Probed::Failed("refused".into()) });
    assert!(w.signals.is_empty());
    w.pass(Duration::from_secs(1));
    w.step(Input::Probed { probe: w.probes[2], outcome: Probed::TimedOut(Duration::from_secs(1)) });
    assert_eq!(w.signals, [(container.clone(), 15)]);
    w.step(Input::Terminated { container, how: Termination::Signaled(15) });
    let (mut said, mut messages) = (Vec::new(), Vec::new());
    let sick = Reason::TaskHealthCheckStatusUpdated as i32;
    while let Some(status) = w.statuses().pop() {
        w.acknowledge(&status);
        said.push((status.state(), status.healthy));
        messages.extend(status.message.filter(|_| status.reason == Some(sick)));
    }
    assert_eq!(messages, ["refused", "No answer within 1 s"], "what the check saw is said");
    use TaskState::{TaskKilled, TaskRunning, TaskStarting};
    let expected = [
        (TaskStarting, None),
        (TaskRunning, None),
        (TaskRunning, Some(true)),
        (TaskRunning, Some(false)),
        (TaskRunning, Some(false)),
        (TaskKilled, Some(false)),
    ];
    assert_eq!(said, expected);
}

fn health_check(kind: health_check::Type) -> HealthCheck {
    let mut check = HealthCheck {
        delay_seconds: Some(0.0),
        interval_seconds: Some(1.0),
        grace_period_seconds: Some(0.0),
        consecutive_failures: Some(1),
        ..Default::default()
    };
    check.set_type(kind);
    check
}

#[test]
fn what_a_health_check_by_http_takes_for_an_answer_is_upstreams_and_where_it_asks_too() {
    for (protocol, host) in [(Protocol::IPv4, "127.0.0.1"), (Protocol::IPv6, "::1")] {
        let asks = protocol == Protocol::IPv6;
        let mut w = World::fresh();
        w.framework_labels = labels(if asks { &[(model::CHECK_WORDS_LABEL, "true")] } else { &[] });
        let mut http = health_check::HttpCheckInfo {
            port: 80,
            path: Some("/up".into()),
            // for executors that frameworks bring: nobody here heeds it
            statuses: vec![500],
            ..Default::default()
        };
        http.set_protocol(protocol);
        let mut tcp = health_check::TcpCheckInfo { port: 81, ..Default::default() };
        tcp.set_protocol(protocol);
        let by_http = HealthCheck { http: Some(http), ..health_check(health_check::Type::Http) };
        let by_tcp = HealthCheck { tcp: Some(tcp), ..health_check(health_check::Type::Tcp) };
        for (id, check) in [("h", by_http), ("t", by_tcp)] {
            let container = w.run(id, |task| task.health_check = Some(Box::new(check)));
            w.step(Input::Launched { container, pid: 1 });
            w.pass(Duration::from_millis(1));
        }
        let host = host.to_owned();
        let asked = [
            Probe::Http { https: false, host: host.clone(), port: 80, path: "/up".into(), redirects_max: 50 },
            Probe::Tcp { host, port: 81 },
        ];
        assert_eq!(w.asked, asked);
        w.step(Input::Probed { probe: w.probes[0], outcome: Probed::Http(200) });
        let healthy = |w: &World| {
            let task = w.agent.tasks().values().find(|t| t.id() == "h").expect("it runs");
            task.statuses.last().and_then(|status| status.healthy)
        };
        assert_eq!((healthy(&w), w.signals.len()), (Some(true), 0));
        w.pass(Duration::from_secs(1));
        w.step(Input::Probed { probe: *w.probes.last().unwrap(), outcome: Probed::Http(500) });
        assert_eq!((healthy(&w), w.signals.len()), (Some(false), 1));
        let task = w.agent.tasks().values().find(|t| t.id() == "h").expect("it runs");
        let said: Vec<_> = task.statuses.iter().filter_map(|status| status.message.as_deref()).collect();
        // who does not ask for it hears what Mesos says
        let expected = ["Unexpected HTTP response code: 500 Internal Server Error"];
        assert_eq!(said, if asks { &expected[..] } else { &[] });
    }
}

#[test]
fn a_port_that_can_not_be_is_named_and_no_other_is_asked() {
    let mut w = World::fresh();
    let http = health_check::HttpCheckInfo { port: 70_000, ..Default::default() };
    let tcp = health_check::TcpCheckInfo { port: 65_536, ..Default::default() };
    let twice = Some(2);
    let by_http = HealthCheck {
        http: Some(http),
        consecutive_failures: twice,
        ..health_check(health_check::Type::Http)
    };
    let by_tcp =
        HealthCheck { tcp: Some(tcp), consecutive_failures: twice, ..health_check(health_check::Type::Tcp) };
    let last = |w: &World, id: &str| {
        let task = w.agent.tasks().values().find(|t| t.id() == id).expect("it is there");
        task.statuses.last().cloned().expect("a status")
    };
    for (id, port, check) in [("h", 70_000, by_http), ("t", 65_536, by_tcp)] {
        let container = w.run(id, |task| task.health_check = Some(Box::new(check)));
        w.step(Input::Launched { container: container.clone(), pid: 1 });
        w.pass(Duration::from_millis(1));
        let status = last(&w, id);
        let why = format!("The check's port {port} can't be: the highest is 65535");
        assert_eq!((status.healthy, status.message()), (Some(false), why.as_str()));
        assert!(w.signals.iter().all(|(other, _)| *other != container), "it may fail once");
        w.pass(Duration::from_secs(2));
        assert!(w.signals.contains(&(container, 15)), "it failed twice");
    }
    let checks = [
        CheckInfo {
            http: Some(check_info::Http { port: 70_000, ..Default::default() }),
            r#type: Some(check_info::Type::Http as i32),
            ..Default::default()
        },
        CheckInfo {
            tcp: Some(check_info::Tcp { port: 70_000 }),
            r#type: Some(check_info::Type::Tcp as i32),
            ..Default::default()
        },
    ];
    for (id, check) in ["ch", "ct"].into_iter().zip(checks) {
        let check = CheckInfo { delay_seconds: Some(0.0), interval_seconds: Some(1.0), ..check };
        let container = w.run(id, |task| task.check = Some(check));
        w.step(Input::Launched { container, pid: 1 });
        w.pass(Duration::from_secs(5));
        let status = last(&w, id);
        assert_eq!(status.reason(), Reason::TaskCheckStatusUpdated);
        assert!(status.message().contains("70000"), "{status:?}");
        let seen = status.check_status.expect("what it saw");
        assert_eq!(seen.tcp.map(|tcp| tcp.succeeded), (id == "ct").then_some(Some(false)));
        let task = w.agent.tasks().values().find(|t| t.id() == id).expect("it is there");
        let said = task.statuses.iter().filter(|s| s.message.is_some()).count();
        assert_eq!(said, 1, "it is said once");
    }
    assert!(w.asked.is_empty(), "{:?}", w.asked);
}

#[test]
fn a_flapping_check_says_its_newest_and_an_update_in_order() {
    let mut w = World::fresh();
    let check = HealthCheck {
        tcp: Some(health_check::TcpCheckInfo { port: 80, ..Default::default() }),
        consecutive_failures: Some(1_000_000),
        interval_seconds: Some(0.1),
        ..health_check(health_check::Type::Tcp)
    };
    let container = w.run("t", |task| task.health_check = Some(Box::new(check)));
    w.step(Input::Launched { container: container.clone(), pid: 1 });
    w.pass(Duration::from_millis(1));
    for n in 0..201 {
        let outcome = if n % 2 == 0 { Probed::Connected } else { Probed::Failed("refused".into()) };
        w.step(Input::Probed { probe: w.probes[n], outcome });
        w.pass(Duration::from_millis(100));
    }
    w.step(Input::Terminated { container, how: Termination::Exited(0) });
    let mut said = Vec::new();
    while let Some(status) = w.statuses().pop() {
        w.acknowledge(&status);
        said.push(status);
    }
    assert!(said.len() < 70, "{}", said.len());
    let states: Vec<_> = said.iter().map(|s| s.state()).collect();
    assert_eq!(states[..3], [TaskState::TaskStarting, TaskState::TaskRunning, TaskState::TaskRunning]);
    assert_eq!(states.last(), Some(&TaskState::TaskFinished));
    assert_eq!(said.last().unwrap().healthy, None, "it ended well");
    assert_eq!(said[said.len() - 2].healthy, Some(true), "what was seen last is said last");
    assert!(said.is_sorted_by(|a, b| a.timestamp <= b.timestamp));
    assert!(w.agent.tasks().is_empty());
}

#[test]
fn a_completion_time_is_without_grace_and_without_task_killing_and_none_if_it_is_zero() {
    for (nanoseconds, ends) in [(0, false), (1_000_000_000, true)] {
        let mut w = World::fresh();
        let mut task = w.order("t");
        task.max_completion_time = Some(DurationInfo { nanoseconds });
        task.kill_policy =
            Some(KillPolicy { grace_period: Some(DurationInfo { nanoseconds: 600_000_000_000 }) });
        let mut killing = framework_info::Capability::default();
        killing.set_type(framework_info::capability::Type::TaskKillingState);
        let framework = FrameworkInfo {
            id: Some(FrameworkId { value: "F".into() }),
            checkpoint: Some(true),
            capabilities: vec![killing],
            ..Default::default()
        };
        w.hear(internal::RunTaskMessage { framework, task, ..Default::default() });
        let container = w.launches[0].id.clone();
        w.step(Input::Launched { container: container.clone(), pid: 1 });
        w.pass(Duration::from_millis(1100));
        let expected = if ends { vec![(container.clone(), 15), (container.clone(), 9)] } else { Vec::new() };
        assert_eq!(w.signals, expected, "SIGKILL follows at once");
        w.step(Input::Terminated { container, how: Termination::Signaled(9) });
        let mut said = Vec::new();
        while let Some(status) = w.statuses().pop() {
            w.acknowledge(&status);
            said.push((status.state(), status.reason));
        }
        use TaskState::{TaskFailed, TaskRunning, TaskStarting};
        let reason = ends.then_some(Reason::MaxCompletionTimeReached as i32);
        assert_eq!(said, [(TaskStarting, None), (TaskRunning, None), (TaskFailed, reason)]);
    }
}

#[test]
fn a_check_says_what_it_sees_and_ends_nothing() {
    let mut w = World::fresh();
    let container = w.run("t", |task| {
        let mut check = CheckInfo {
            delay_seconds: Some(0.0),
            interval_seconds: Some(1.0),
            http: Some(check_info::Http { port: 80, path: Some("/up".into()) }),
            ..Default::default()
        };
        check.set_type(check_info::Type::Http);
        task.check = Some(check);
    });
    w.step(Input::Launched { container: container.clone(), pid: 1 });
    w.pass(Duration::from_millis(1));
    w.step(Input::Probed { probe: w.probes[0], outcome: Probed::Http(200) });
    for (at, outcome) in
        [Probed::Http(200), Probed::Http(503), Probed::Failed("refused".into())].into_iter().enumerate()
    {
        w.pass(Duration::from_secs(1));
        w.step(Input::Probed { probe: w.probes[at + 1], outcome });
    }
    w.step(Input::Terminated { container, how: Termination::Exited(0) });
    let mut said = Vec::new();
    while let Some(status) = w.statuses().pop() {
        w.acknowledge(&status);
        let seen = status.check_status.expect("every word says what the check saw last");
        let code = seen.http.expect("of its own kind").status_code;
        said.push((status.state(), (status.reason() == Reason::TaskCheckStatusUpdated, code)));
    }
    use TaskState::{TaskFinished, TaskRunning, TaskStarting};
    let expected = [
        (TaskStarting, (false, None)),
        (TaskRunning, (false, None)),
        (TaskRunning, (true, Some(200))),
        (TaskRunning, (true, Some(503))),
        (TaskRunning, (true, None)),
        (TaskFinished, (false, None)),
    ];
    assert_eq!(said, expected, "only what changed is news");
}

#[test]
fn a_restart_loses_no_task_and_no_exit_status() {
    let mut w = World::fresh();
    let going = w.run("going", |_| {});
    let gone = w.run("gone", |_| {});
    let unseen = w.run("unseen", |_| {});
    for container in [&going, &gone, &unseen] {
        w.step(Input::Launched { container: container.clone(), pid: 7 });
    }
    let mut w = World::from(w.records, w.now + Duration::from_secs(5));
    let ended = vec![(gone, Termination::Exited(0))];
    w.step(Input::Recovered { running: vec![(going, 7)], starting: Vec::new(), ended });
    w.step(Input::MasterDetected(Some(master())));
    let Message::ReregisterSlaveMessage(message) = &w.sent[0] else { panic!("{:?}", w.sent) };
    assert_eq!(message.tasks.len(), 3);
    assert_eq!(message.slave.id.as_ref().unwrap().value, "S0");
    let slave_id = AgentId { value: "S0".into() };
    w.sent.clear();
    w.hear(internal::SlaveReregisteredMessage { slave_id, ..Default::default() });
    let mut last = std::collections::BTreeMap::new();
    loop {
        let statuses = w.statuses();
        if statuses.is_empty() {
            break;
        }
        for status in statuses {
            w.acknowledge(&status);
            last.insert(status.task_id.value.clone(), status.state());
        }
    }
    assert_eq!(last["going"], TaskState::TaskRunning);
    assert_eq!(last["gone"], TaskState::TaskFinished);
    assert_eq!(last["unseen"], TaskState::TaskFailed);
    assert_eq!(w.agent.tasks().len(), 1);
}

#[test]
fn a_full_disk_delays_and_loses_nothing() {
    let mut w = World::fresh();
    w.disk_full = true;
    let none = w.run("t", |_| {});
    assert!(none.0.is_empty() && w.launches.is_empty(), "started only once it is durable");
    w.step(Input::Tick);
    assert!(w.launches.is_empty(), "a refused save is not tried again at once: that would be a hot loop");
    w.pass(Duration::from_secs(2));
    assert_eq!(w.launches.len(), 1);
    assert!(w.records.keys().any(|k| k.starts_with("tasks/F/")), "{:?}", w.records.keys());
}
