//! Task groups, executors, messages, UPDATE_FRAMEWORK: the calls that offers and single tasks don't cover. What ends
//! the original's master ends nothing here.

use crate::world::*;
use base::Duration;
use model::{
    link::{Message, Upid},
    mesos::{
        CommandInfo, ExecutorId, ExecutorInfo, FrameworkId, FrameworkInfo, Offer, TaskGroupInfo, TaskId,
        TaskInfo, TaskState, internal,
        offer::{Operation, operation},
        scheduler::call,
        task_status::Reason,
    },
    resources::Resources,
};

fn group_task(offer: &Offer, id: &str) -> TaskInfo {
    TaskInfo {
        name: id.into(),
        task_id: TaskId { value: id.into() },
        agent_id: offer.agent_id.clone(),
        resources: Resources::scalars([("cpus", 0.5), ("mem", 32.0)]).to_messages(),
        command: Some(CommandInfo { value: Some("true".into()), ..Default::default() }),
        ..Default::default()
    }
}

fn launch_group(client: &Client, tasks: Vec<TaskInfo>) -> Operation {
    let mut executor = ExecutorInfo {
        executor_id: ExecutorId { value: "e".into() },
        framework_id: Some(client.id.clone()),
        resources: Resources::parse("cpus:0.1;mem:32;disk:10", "*").unwrap().to_messages(),
        ..Default::default()
    };
    executor.set_type(model::mesos::executor_info::Type::Default);
    let launch = operation::LaunchGroup { executor, task_group: TaskGroupInfo { tasks } };
    let mut operation = Operation { launch_group: Some(launch), ..Default::default() };
    operation.set_type(operation::Type::LaunchGroup);
    operation
}

#[test]
fn a_group_is_launched_whole_and_its_executor_is_counted_until_it_exits() {
    let mut w = World::new();
    let pid = able_agent(&mut w, 5051);
    let client = w.subscribe(full());
    let offer = w.offers(&client).remove(0);
    let tasks = vec![group_task(&offer, "a"), group_task(&offer, "b")];
    accept(&mut w, &client, &offer, vec![launch_group(&client, tasks)]);
    let Message::RunTaskGroupMessage(run) = &w.sent.last().unwrap().message else { panic!("a group is run") };
    assert_eq!((run.task_group.tasks.len(), run.launch_executor), (2, Some(true)));
    assert!(run.task_group.tasks.iter().all(|t| t.executor.is_some()));
    let rest = w.offers(&client).remove(0);
    assert_eq!(text(&rest.resources), "cpus:2.9; mem:928; disk:990");
    // A second group finds its executor there, and pays nothing for it.
    accept(&mut w, &client, &rest, vec![launch_group(&client, vec![group_task(&offer, "c")])]);
    let Message::RunTaskGroupMessage(run) = &w.sent.last().unwrap().message else { panic!("a group is run") };
    assert_eq!(run.launch_executor, Some(false));
    assert_eq!(text(&w.offers(&client).remove(0).resources), "cpus:2.4; mem:896; disk:990");
    for (task, uuid) in [("a", 0x40), ("b", 0x41), ("c", 0x42)] {
        w.update(&pid, &client, &offer.agent_id, task, TaskState::TaskFinished, uuid);
    }
    let exited = internal::ExitedExecutorMessage {
        slave_id: offer.agent_id.clone(),
        framework_id: client.id.clone(),
        executor_id: ExecutorId { value: "e".into() },
        status: 0,
    };
    w.agent_says(&pid, exited);
    let events = w.take(client.stream);
    assert!(events.iter().any(|e| e.failure.as_ref().is_some_and(|f| f.status == Some(0))));
    let offered: Resources = w.master.offers().values().map(|o| &o.resources).sum();
    assert_eq!(offered.to_string(), "cpus:4; mem:1024; disk:1000", "all of it is offered again");
}

#[test]
fn a_group_with_one_id_twice_is_refused_and_the_master_lives() {
    let mut w = World::new();
    able_agent(&mut w, 5051);
    let client = w.subscribe(full());
    let offer = w.offers(&client).remove(0);
    // The original's master ends itself on this.
    let tasks = vec![group_task(&offer, "a"), group_task(&offer, "a")];
    accept(&mut w, &client, &offer, vec![launch_group(&client, tasks), launch_group(&client, Vec::new())]);
    let updates = w.updates(&client);
    assert_eq!(updates.len(), 2);
    for update in updates {
        assert_eq!((update.state(), update.reason()), (TaskState::TaskError, Reason::TaskGroupInvalid));
        assert_eq!(update.message(), "Task 'a' is invalid: Task has duplicate ID: a");
    }
    assert!(!w.sent.iter().any(|e| matches!(e.message, Message::RunTaskGroupMessage(_))));
}

#[test]
fn calls_without_a_type_and_of_unknown_types_are_answered() {
    let mut w = World::new();
    let client = w.subscribe(full());
    // The original's master ends itself on this.
    let answer = w.call(&client, call::Type::Unknown, |_| {});
    assert_eq!(answer.status, 501);
    assert_eq!(w.call(&client, call::Type::Request, |c| c.request = Some(Default::default())).status, 202);
}

#[test]
fn messages_and_shutdowns_reach_the_agent() {
    let mut w = World::new();
    let pid = able_agent(&mut w, 5051);
    let client = w.subscribe(full());
    let agent = w.offers(&client).remove(0).agent_id;
    let executor = ExecutorId { value: "e".into() };
    let message =
        call::Message { agent_id: agent.clone(), executor_id: executor.clone(), data: b"hi".to_vec() };
    w.call(&client, call::Type::Message, |c| c.message = Some(message));
    let Message::FrameworkToExecutorMessage(sent) = &w.sent.last().unwrap().message else {
        panic!("a message")
    };
    assert_eq!((&sent.framework_id, sent.data.as_slice()), (&client.id, &b"hi"[..]));
    let shutdown = call::Shutdown { executor_id: executor.clone(), agent_id: agent.clone() };
    w.call(&client, call::Type::Shutdown, |c| c.shutdown = Some(shutdown));
    assert!(matches!(w.sent.last().unwrap().message, Message::ShutdownExecutorMessage(_)));
    let back = internal::ExecutorToFrameworkMessage {
        slave_id: agent,
        framework_id: client.id.clone(),
        executor_id: executor,
        data: b"there".to_vec(),
    };
    w.agent_says(&pid, back.clone());
    let forger = Upid::new("slave(1)", "127.0.0.1:6666".parse().unwrap());
    w.agent_says(&forger, back);
    let heard: Vec<_> = w.take(client.stream).into_iter().filter_map(|e| e.message).collect();
    assert_eq!(heard.iter().map(|m| m.data.as_slice()).collect::<Vec<_>>(), [b"there"]);
}

#[test]
fn a_framework_updates_itself_without_subscribing_again() {
    let mut w = World::new();
    able_agent(&mut w, 5051);
    let client = w.subscribe(full());
    assert_eq!(w.offers(&client).len(), 1);
    let update = |w: &mut World, info: FrameworkInfo, suppressed: &[&str]| {
        let update = call::UpdateFramework {
            framework_info: FrameworkInfo { id: Some(client.id.clone()), ..info },
            suppressed_roles: suppressed.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        let answer = w.call(&client, call::Type::UpdateFramework, |c| c.update_framework = Some(update));
        (answer.status, format!("{:?}", answer.body))
    };
    let other = FrameworkInfo { roles: vec!["db".into()], ..full() };
    assert_eq!(update(&mut w, other.clone(), &[]).0, 200);
    let events = w.take(client.stream);
    assert!(events.iter().any(|e| e.rescind.is_some()), "offers of a role that it left are taken back");
    let offered: Vec<_> = events.iter().filter_map(|e| e.offers.as_ref()).flat_map(|o| &o.offers).collect();
    assert_eq!(offered[0].allocation_info.as_ref().unwrap().role(), "db");
    let (status, why) = update(&mut w, FrameworkInfo { user: "x".into(), ..other.clone() }, &[]);
    assert_eq!(status, 400);
    assert!(why.contains("FrameworkInfo update is not valid: Updating 'FrameworkInfo.user' is unsupported; attempted to update from 'u' to 'x'"), "{why}");
    let (status, why) = update(&mut w, other.clone(), &["web"]);
    assert_eq!(status, 400);
    assert!(why.contains("'UpdateFramework' call is not valid: Suppressed roles { web } are not contained in the set of roles"), "{why}");
    // It is durable: a new master knows the new roles.
    let w = World::from(w.records.clone(), w.now);
    assert_eq!(w.master.frameworks()[&client.id.value].roles(), ["db"]);
}

#[test]
fn a_kill_of_a_task_on_an_agent_that_is_away_is_said_when_it_is_back() {
    let mut w = World::new();
    let pid = able_agent(&mut w, 5051);
    let client = w.subscribe(full());
    let offer = w.offers(&client).remove(0);
    w.launch(&client, &offer, "t", 1.0);
    w.step(master::Input::Exited { peer: pid.address });
    let kill = call::Kill { task_id: TaskId { value: "t".into() }, agent_id: None, kill_policy: None };
    w.call(&client, call::Type::Kill, |c| c.kill = Some(kill));
    assert!(!w.sent.iter().any(|e| matches!(e.message, Message::KillTaskMessage(_))));
    let task = w.master.frameworks()[&client.id.value].tasks["t"].clone();
    w.agent_says(&pid, returning(&offer.agent_id, vec![task]));
    assert!(
        w.sent.iter().any(|e| matches!(&e.message, Message::KillTaskMessage(m) if m.task_id.value == "t"))
    );
}

#[test]
fn a_task_that_ends_while_its_framework_is_away_ends_nothing_else() {
    let mut w = World::new();
    let pid = able_agent(&mut w, 5051);
    let client = w.subscribe(full());
    let offer = w.offers(&client).remove(0);
    w.launch(&client, &offer, "t", 1.0);
    w.step(master::Input::StreamClosed { stream: client.stream });
    // The original's master could end itself when a task went while its framework was away.
    w.update(&pid, &client, &offer.agent_id, "t", TaskState::TaskFinished, 0x40);
    w.agent_says(&pid, internal::UnregisterSlaveMessage { slave_id: offer.agent_id.clone() });
    assert!(w.master.agents().is_empty());
    w.pass(Duration::from_secs(61));
    assert!(w.master.frameworks().is_empty(), "it stayed away too long");
    let stranger = FrameworkId { value: "nobody".into() };
    let forged = internal::DeactivateFrameworkMessage { framework_id: stranger };
    w.agent_says(&pid, forged);
}

#[test]
fn a_task_that_was_lost_with_its_agents_connection_does_not_come_back() {
    let mut w = World::new();
    let pid = able_agent(&mut w, 5051);
    let client = w.subscribe(FrameworkInfo { checkpoint: Some(false), ..full() });
    let offer = w.offers(&client).remove(0);
    w.launch(&client, &offer, "t", 1.0);
    let task = w.master.frameworks()[&client.id.value].tasks["t"].clone();
    w.step(master::Input::Exited { peer: pid.address });
    assert_eq!(w.updates(&client)[0].state(), TaskState::TaskLost);
    w.agent_says(&pid, returning(&offer.agent_id, vec![task]));
    let ends = |m: &Message| matches!(m, Message::ShutdownFrameworkMessage(_) | Message::KillTaskMessage(_));
    assert!(w.sent.iter().any(|e| ends(&e.message)), "it is ended where it still runs");
    assert!(w.master.frameworks()[&client.id.value].tasks.is_empty());
}

#[test]
fn a_role_may_be_left_while_something_runs_in_it() {
    let mut w = World::new();
    let pid = able_agent(&mut w, 5051);
    let both = FrameworkInfo { roles: vec!["web".into(), "db".into()], ..full() };
    let client = w.subscribe(both.clone());
    let offer = w.offers(&client).remove(0);
    let role = offer.allocation_info.as_ref().unwrap().role().to_owned();
    w.launch(&client, &offer, "t", 1.0);
    let other = if role == "web" { "db" } else { "web" };
    // The original's allocator could end its master over a role that was gone while something was held in it.
    let update = call::UpdateFramework {
        framework_info: FrameworkInfo { id: Some(client.id.clone()), roles: vec![other.into()], ..both },
        ..Default::default()
    };
    assert_eq!(
        w.call(&client, call::Type::UpdateFramework, |c| c.update_framework = Some(update)).status,
        200
    );
    for kind in [call::Type::Suppress, call::Type::Revive] {
        let roles = vec![role.clone(), other.to_owned()];
        let answer = w.call(&client, kind, |c| {
            c.suppress = Some(call::Suppress { roles: roles.clone() });
            c.revive = Some(call::Revive { roles });
        });
        assert_eq!(answer.status, 202, "a call with a role that is not its own is dropped");
    }
    w.update(&pid, &client, &offer.agent_id, "t", TaskState::TaskFinished, 0x40);
    let offered: Resources = w.master.offers().values().map(|o| &o.resources).sum();
    assert_eq!(
        offered.to_string(),
        "cpus:4; mem:1024; disk:1000",
        "all of it is offered in the role that is left"
    );
    w.call(&client, call::Type::Teardown, |_| {});
    assert!(w.master.frameworks().is_empty() && w.master.offers().is_empty());
}
