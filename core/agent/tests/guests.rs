//! Containers that clients of the agent's API ask for, driven by hand in virtual time.

mod world;

use agent::{Attachable, ContainerCall, Input, Launch};
use base::Duration;
use model::{
    container::{ContainerId, Io, NOT_EXECUTED, Program, Termination},
    mesos::{CommandInfo, ContainerInfo, TaskState, TtyInfo},
    request::{Body, Codec, Http, RequestId},
};
use world::World;

fn call(w: &mut World, number: u64, container: &ContainerId, call: ContainerCall) {
    let container = container.clone();
    w.step(Input::Container { request: RequestId(number), codec: Codec::Json, container, call });
}

fn launch(w: &mut World, number: u64, container: &ContainerId, script: &str, session: bool) {
    let command = Some(CommandInfo { value: Some(script.into()), ..Default::default() });
    let launch = Launch { container_id: container.to_message(), command, ..Default::default() };
    call(w, number, container, ContainerCall::Launch { launch: Box::new(launch), session });
}

fn wait(w: &mut World, number: u64, container: &ContainerId) {
    call(w, number, container, ContainerCall::Wait { nested: true });
}

/// The status and text of an answer; none = it has not come.
fn answer(w: &World, number: u64) -> Option<(u16, String)> {
    w.http.iter().find_map(|http| match http {
        Http::Reply { request, answer } if request.0 == number => Some(match &answer.body {
            Body::Text(text) => (answer.status, text.clone()),
            _ => (answer.status, String::new()),
        }),
        _ => None,
    })
}

fn exit(w: &World, number: u64) -> Option<i32> {
    let response = w.responses.iter().find(|(request, _)| request.0 == number)?;
    response.1.wait_nested_container.as_ref().expect("in the form of the call").exit_status
}

fn task(w: &mut World) -> ContainerId {
    let container = w.run("t", |t| {
        let command = t.command.get_or_insert_default();
        command.user = Some("somebody".into());
    });
    w.step(Input::Launched { container: container.clone(), pid: 7 });
    container
}

#[test]
fn a_nested_container_is_launched_waited_for_and_removed() {
    let mut w = World::fresh();
    let around = task(&mut w);
    let inner = around.nested("debug");
    launch(&mut w, 1, &inner, "exit 3", false);
    let spec = w.launches.last().unwrap().clone();
    assert_eq!((&spec.id, &spec.program), (&inner, &Program::Shell("exit 3".into())));
    assert_eq!(spec.sandbox, format!("/w/slaves/S0/frameworks/F/executors/t/runs/{around}/containers/debug"));
    assert_eq!(spec.user.as_deref(), Some("somebody"), "as the container around it");
    assert!(spec.shares_groups && !spec.session && spec.io == Io::Files);
    assert_eq!(answer(&w, 1), None, "answered when it runs");
    w.step(Input::Launched { container: inner.clone(), pid: 8 });
    assert_eq!(answer(&w, 1), Some((200, String::new())));
    launch(&mut w, 2, &inner, "true", false);
    assert_eq!(answer(&w, 2).unwrap().0, 202, "it is there already");
    wait(&mut w, 3, &inner);
    call(&mut w, 4, &inner, ContainerCall::Remove);
    assert_eq!(answer(&w, 4), Some((500, "Nested container has not terminated yet".into())));
    w.step(Input::Terminated { container: inner.clone(), how: Termination::Exited(3) });
    assert_eq!(exit(&w, 3), Some(768));
    wait(&mut w, 5, &inner);
    assert_eq!(exit(&w, 5), Some(768), "the end is kept until it is removed");
    call(&mut w, 6, &inner, ContainerCall::Kill { signal: 9 });
    let gone = format!("Container '{inner}' cannot be found (or is already killed)");
    assert_eq!(answer(&w, 6), Some((404, gone)));
    call(&mut w, 7, &inner, ContainerCall::Remove);
    assert_eq!(answer(&w, 7).unwrap().0, 200);
    assert_eq!(w.discarded, [spec.sandbox]);
    wait(&mut w, 8, &inner);
    assert_eq!(answer(&w, 8), Some((404, format!("Container {inner} cannot be found"))));
    assert!(!w.records.keys().any(|k| k.starts_with("guests/")), "{:?}", w.records.keys());
}

#[test]
fn a_container_of_its_own_is_removed_and_the_agent_lives() {
    // Upstream's agent ends itself at the removal: its containerizer insists on a container around.
    let mut w = World::fresh();
    let lone = ContainerId("lone".into());
    launch(&mut w, 1, &lone, "exit 2", false);
    w.step(Input::Launched { container: lone.clone(), pid: 8 });
    call(&mut w, 2, &lone, ContainerCall::Remove);
    assert_eq!(answer(&w, 2).unwrap().0, 500, "it still runs");
    w.step(Input::Terminated { container: lone.clone(), how: Termination::Exited(2) });
    call(&mut w, 3, &lone, ContainerCall::Remove);
    assert_eq!(answer(&w, 3).unwrap().0, 200);
    wait(&mut w, 4, &lone);
    assert_eq!(answer(&w, 4).unwrap().0, 404);
    assert!(!w.agent.guests().contains_key(&lone));
}

#[test]
fn what_can_not_be_is_said() {
    let mut w = World::fresh();
    let around = task(&mut w);
    launch(&mut w, 1, &ContainerId("nope".into()).nested("x"), "true", false);
    assert_eq!(answer(&w, 1), Some((400, "Parent container nope does not exist".into())));
    let bad = around.nested("bad");
    launch(&mut w, 2, &bad, "/no/such", false);
    let why = format!("Failed to launch container: {NOT_EXECUTED}: No such file or directory");
    w.step(Input::LaunchFailed { container: bad.clone(), why });
    assert_eq!(answer(&w, 2).unwrap().0, 200);
    wait(&mut w, 3, &bad);
    assert_eq!(exit(&w, 3), Some(256_256));
    let unfetched = around.nested("unfetched");
    launch(&mut w, 4, &unfetched, "true", false);
    w.step(Input::LaunchFailed { container: unfetched.clone(), why: "Failed to fetch".into() });
    assert_eq!(answer(&w, 4), Some((400, "Failed to fetch".into())));
    wait(&mut w, 5, &unfetched);
    assert_eq!(answer(&w, 5).unwrap().0, 404);
    call(&mut w, 6, &around, ContainerCall::Kill { signal: 99 });
    assert_eq!(answer(&w, 6).unwrap().0, 400);
    call(&mut w, 7, &around, ContainerCall::Kill { signal: 15 });
    assert_eq!((answer(&w, 7).unwrap().0, w.signals.last()), (200, Some(&(around, 15))));
}

#[test]
fn what_is_inside_ends_with_what_is_around_it() {
    let mut w = World::fresh();
    let around = task(&mut w);
    let (live, over) = (around.nested("live"), around.nested("over"));
    for (number, container) in [(1, &live), (2, &over)] {
        launch(&mut w, number, container, "sleep 9", false);
        w.step(Input::Launched { container: container.clone(), pid: 8 });
    }
    let deep = live.nested("deep");
    launch(&mut w, 3, &deep, "sleep 9", false);
    w.step(Input::Launched { container: deep.clone(), pid: 9 });
    w.step(Input::Terminated { container: over.clone(), how: Termination::Exited(0) });
    wait(&mut w, 4, &live);
    wait(&mut w, 5, &around);
    w.step(Input::Terminated { container: around, how: Termination::Signaled(9) });
    assert_eq!(exit(&w, 5), Some(9), "the container of a task is waited for as well");
    assert!(w.destroyed.contains(&live) && !w.agent.guests().contains_key(&over));
    w.step(Input::Terminated { container: live, how: Termination::Signaled(9) });
    assert_eq!(exit(&w, 4), Some(9));
    w.step(Input::Terminated { container: deep, how: Termination::Signaled(9) });
    assert!(w.agent.guests().is_empty());
    assert!(!w.records.keys().any(|k| k.starts_with("guests/")), "{:?}", w.records.keys());
}

#[test]
fn a_session_works_in_the_sandbox_around_it_and_ends_with_the_agent() {
    let mut w = World::fresh();
    let around = task(&mut w);
    let session = around.nested("s");
    launch(&mut w, 1, &session, "sh", true);
    let spec = w.launches.last().unwrap().clone();
    assert!(spec.session && spec.io == Io::Pipes);
    let sandbox = w.launches[0].sandbox.clone();
    assert_eq!(spec.sandbox, sandbox);
    let has = |name: &str, value: &str| spec.environment.contains(&(name.to_owned(), value.to_owned()));
    assert!(has("MESOS_SANDBOX", &sandbox) && has("FROM_AGENT", "1"), "{:?}", spec.environment);
    w.step(Input::Launched { container: session.clone(), pid: 8 });
    assert_eq!(w.agent.attachable(&session), Attachable::Yes);
    assert_eq!(w.agent.attachable(&around), Attachable::Disabled);
    assert_eq!(w.agent.attachable(&around.nested("nope")), Attachable::Unknown);
    let lone = ContainerId("lone".into());
    launch(&mut w, 2, &lone, "sleep 9", false);
    assert_eq!(w.launches.last().unwrap().sandbox, "/w/containers/lone");
    w.step(Input::Launched { container: lone.clone(), pid: 9 });
    let mut w = World::from(w.records, w.now + Duration::from_secs(1));
    let running = vec![(around.clone(), 7), (session.clone(), 8), (lone.clone(), 9)];
    w.step(Input::Recovered { running, starting: Vec::new(), ended: Vec::new() });
    assert_eq!(w.destroyed, std::slice::from_ref(&session), "its client went with the agent");
    w.step(Input::Terminated { container: session.clone(), how: Termination::Signaled(9) });
    wait(&mut w, 3, &lone);
    w.step(Input::Terminated { container: lone, how: Termination::Exited(2) });
    assert_eq!(exit(&w, 3), Some(512));
    assert!(!w.agent.guests().contains_key(&session));
    assert_eq!(w.agent.tasks().values().next().unwrap().state, TaskState::TaskRunning);
}

#[test]
fn a_task_with_a_terminal_can_be_attached_to() {
    let mut w = World::fresh();
    let container = w.run("t", |t| {
        let r#type = model::mesos::container_info::Type::Mesos as i32;
        t.container = Some(Box::new(ContainerInfo {
            r#type,
            tty_info: Some(TtyInfo::default()),
            ..Default::default()
        }));
    });
    assert_eq!(w.launches[0].io, Io::Terminal { rows: 24, columns: 80 });
    assert_eq!(w.agent.attachable(&container), Attachable::Yes);
}
