//! Messages of the link that nobody should have sent: forged senders, ids of others, unknown ids, words said twice.

use super::world::*;
use base::Duration;
use model::{
    link::{Message, Upid},
    mesos::{
        AgentId, ExecutorId, FrameworkId, Offer, OperationStatus, TaskId, TaskState, TaskStatus, Uuid,
        internal,
    },
};

/// An agent with a running task; who offered it and to whom.
fn running(w: &mut World) -> (Upid, Client, Offer) {
    let pid = w.agent(5051);
    let client = w.subscribe(aware(60.0));
    let offer = w.offers(&client).remove(0);
    w.launch(&client, &offer, "t", 1.0);
    w.update(&pid, &client, &offer.agent_id, "t", TaskState::TaskRunning, 0x40);
    w.acknowledge(&client, &offer.agent_id, "t", 0x40);
    w.take(client.stream);
    (pid, client, offer)
}

fn said(client: &Client, agent: &AgentId, state: TaskState, uuid: u8) -> internal::StatusUpdateMessage {
    let mut status = TaskStatus { task_id: TaskId { value: "t".into() }, ..Default::default() };
    status.set_state(state);
    let update = internal::StatusUpdate {
        framework_id: client.id.clone(),
        slave_id: Some(agent.clone()),
        status,
        uuid: Some(vec![uuid; 16]),
        ..Default::default()
    };
    internal::StatusUpdateMessage { update, pid: None }
}

/// Everything that an agent says about itself and its tasks.
fn words(client: &Client, agent: &AgentId) -> Vec<Message> {
    let executor_id = ExecutorId { value: "t".into() };
    let (slave_id, framework_id) = (agent.clone(), client.id.clone());
    let mut operation = internal::UpdateOperationStatusMessage {
        framework_id: Some(framework_id.clone()),
        slave_id: Some(slave_id.clone()),
        operation_uuid: Some(Uuid { value: vec![3; 16] }),
        ..Default::default()
    };
    operation.status = OperationStatus::default();
    vec![
        said(client, agent, TaskState::TaskFinished, 9).into(),
        internal::UpdateSlaveMessage { slave_id: slave_id.clone(), ..Default::default() }.into(),
        operation.into(),
        internal::ExitedExecutorMessage {
            slave_id: slave_id.clone(),
            framework_id: framework_id.clone(),
            executor_id: executor_id.clone(),
            status: 9,
        }
        .into(),
        internal::ExecutorToFrameworkMessage {
            slave_id: slave_id.clone(),
            framework_id,
            executor_id,
            data: b"x".to_vec(),
        }
        .into(),
        internal::UnregisterSlaveMessage { slave_id }.into(),
    ]
}

#[test]
fn what_a_stranger_says_for_an_agent_changes_nothing_and_is_counted() {
    let mut w = World::new();
    let (_, client, offer) = running(&mut w);
    let stranger = Upid::new("slave(1)", "127.0.0.1:6666".parse().unwrap());
    let unknown = AgentId { value: "no-such-agent".into() };
    let (sent, dropped) = (w.sent.len(), w.master.counters().messages_dropped);
    let forged = [words(&client, &offer.agent_id), words(&client, &unknown)].concat();
    let count = forged.len() as u64;
    for message in forged {
        w.agent_says(&stranger, message);
    }
    assert_eq!(w.master.counters().messages_dropped, dropped + count);
    assert_eq!(w.sent.len(), sent, "nobody hears of it: {:?}", w.sent.last());
    assert!(w.take(client.stream).is_empty());
    let task = &w.master.frameworks()[&client.id.value].tasks["t"];
    assert_eq!((task.state(), w.master.agents().len()), (TaskState::TaskRunning, 1));
}

#[test]
fn an_agent_speaks_for_its_own_tasks_alone() {
    let mut w = World::new();
    let (_, client, offer) = running(&mut w);
    let other = w.agent(5052);
    let theirs = w.offers(&client).into_iter().find(|o| o.agent_id != offer.agent_id).expect("an offer");
    for message in words(&client, &theirs.agent_id) {
        w.agent_says(&other, message);
    }
    // in its own name, with the task of the other; or with the other's id within
    let mut mixed = said(&client, &theirs.agent_id, TaskState::TaskFailed, 10);
    mixed.update.status.agent_id = Some(offer.agent_id.clone());
    w.agent_says(&other, mixed);
    let task = &w.master.frameworks()[&client.id.value].tasks["t"];
    assert_eq!(task.state(), TaskState::TaskRunning, "the task of the other goes on");
    let heard = w.updates(&client);
    assert!(heard.iter().all(|s| s.agent_id.as_ref() != Some(&offer.agent_id)), "{heard:?}");
    assert!(w.master.agents().contains_key(&offer.agent_id.value));
    w.pass(Duration::from_secs(1));
}

#[test]
fn words_of_unknown_frameworks_and_tasks_end_nothing() {
    let mut w = World::new();
    let (pid, client, offer) = running(&mut w);
    let nobody = Client { id: FrameworkId { value: "nobody".into() }, uuid: String::new(), ..client };
    let (last, rest) =
        words(&nobody, &offer.agent_id).split_last().map(|(l, r)| (l.clone(), r.to_vec())).unwrap();
    for message in rest {
        w.agent_says(&pid, message);
    }
    assert!(w.take(nobody.stream).is_empty());
    assert_eq!(w.master.frameworks().len(), 1);
    assert!(matches!(last, Message::UnregisterSlaveMessage(_)));
    // messages to processes that are not here, and messages that a master never gets
    let dropped = w.master.counters().messages_dropped;
    w.agent_says_to("slave-observer(999)", &pid, internal::PongSlaveMessage::default());
    w.agent_says_to("registrar(1)", &pid, last);
    w.agent_says(&pid, internal::ShutdownMessage::default());
    w.agent_says(&pid, internal::SlaveRegisteredMessage::default());
    assert!(w.master.counters().messages_dropped >= dropped + 3);
    assert_eq!(w.master.agents().len(), 1);
}

#[test]
fn what_is_said_twice_counts_once() {
    let mut w = World::new();
    let (pid, client, offer) = running(&mut w);
    let free = |w: &World| w.master.agents()[&offer.agent_id.value].tasks.len();
    for _ in 0..3 {
        w.agent_says(&pid, said(&client, &offer.agent_id, TaskState::TaskFinished, 9));
    }
    let heard = w.updates(&client);
    assert!(!heard.is_empty() && heard.iter().all(|s| s.uuid == heard[0].uuid), "repetitions: {heard:?}");
    for _ in 0..3 {
        w.acknowledge(&client, &offer.agent_id, "t", 9);
    }
    w.agent_says(&pid, said(&client, &offer.agent_id, TaskState::TaskRunning, 0x40));
    assert!(w.updates(&client).is_empty(), "what the end overtook is not news");
    assert_eq!(free(&w), 0);
    // a registration that is said again, and one under the id of another agent by a process elsewhere
    let agents = w.master.agents().len();
    w.agent(5051);
    assert_eq!(w.master.agents().len(), agents, "the same answer again");
    let stranger = Upid::new("slave(1)", "127.0.0.1:6666".parse().unwrap());
    for id in ["", "../..", "a/b"] {
        let slave = info(Some(&AgentId { value: id.into() }));
        w.agent_says(
            &stranger,
            internal::ReregisterSlaveMessage {
                version: Some("1.11.0".to_owned()),
                slave,
                ..Default::default()
            },
        );
        assert_eq!(w.master.agents().len(), agents, "{id:?} is no id");
    }
    w.pass(Duration::from_secs(1));
}

#[test]
fn nobody_takes_the_place_of_an_agent_by_its_id() {
    let mut w = World::new();
    let (pid, _, offer) = running(&mut w);
    let before = w.master.agents()[&offer.agent_id.value].clone();
    let own = info(Some(&offer.agent_id));
    let elsewhere = Upid::new("slave(1)", "127.0.0.2:5051".parse().unwrap());
    let renamed = model::mesos::AgentInfo { hostname: "evil".into(), ..own.clone() };
    for (who, slave) in [(elsewhere, own), (pid, renamed)] {
        w.sent.clear();
        let claim = internal::ReregisterSlaveMessage {
            version: Some("1.11.0".to_owned()),
            slave,
            ..Default::default()
        };
        w.agent_says(&who, claim);
        let agent = &w.master.agents()[&offer.agent_id.value];
        assert_eq!((&agent.pid, &agent.info, agent.tasks.len()), (&before.pid, &before.info, 1));
        let told = w.sent.iter().filter(|e| e.to == who).map(|e| &e.message).collect::<Vec<_>>();
        let why = "Agent attempted to reregister with different IP / hostname";
        assert!(matches!(told[..], [Message::ShutdownMessage(m)] if m.message() == why), "{told:?}");
    }
}

#[test]
fn a_registration_that_says_what_cannot_be_is_dropped_whole() {
    let mut w = World::new();
    let (pid, client, offer) = running(&mut w);
    let running = w.master.frameworks()[&client.id.value].tasks["t"].clone();
    let framework = |id: &str, role: &str| model::mesos::FrameworkInfo {
        id: Some(FrameworkId { value: id.into() }),
        role: Some(role.into()),
        ..aware(60.0)
    };
    let executor = |framework: &str| model::mesos::ExecutorInfo {
        executor_id: ExecutorId { value: "e".into() },
        framework_id: Some(FrameworkId { value: framework.into() }),
        command: Some(Default::default()),
        ..Default::default()
    };
    let valid = || internal::ReregisterSlaveMessage {
        version: Some("1.11.0".to_owned()),
        slave: info(Some(&offer.agent_id)),
        frameworks: frameworks_of(std::slice::from_ref(&running)),
        tasks: vec![running.clone()],
        ..Default::default()
    };
    let elsewhere = model::mesos::Task { agent_id: AgentId { value: "S9".into() }, ..running.clone() };
    let unled = model::mesos::Task { executor_id: Some(ExecutorId { value: "e".into() }), ..running.clone() };
    let ours = client.id.value.as_str();
    let wrong = [
        internal::ReregisterSlaveMessage { version: None, ..valid() },
        internal::ReregisterSlaveMessage { version: Some("0.28.3".into()), ..valid() },
        internal::ReregisterSlaveMessage { version: Some("new".into()), ..valid() },
        internal::ReregisterSlaveMessage { frameworks: vec![framework("../../etc", "r")], ..valid() },
        internal::ReregisterSlaveMessage { frameworks: vec![framework(ours, "")], ..valid() },
        internal::ReregisterSlaveMessage {
            frameworks: vec![framework(ours, "r"), framework(ours, "r")],
            ..valid()
        },
        internal::ReregisterSlaveMessage { frameworks: Vec::new(), ..valid() },
        internal::ReregisterSlaveMessage { tasks: vec![elsewhere], ..valid() },
        internal::ReregisterSlaveMessage { tasks: vec![unled], ..valid() },
        internal::ReregisterSlaveMessage { executor_infos: vec![executor("nobody")], ..valid() },
        internal::ReregisterSlaveMessage { executor_infos: vec![executor(ours), executor(ours)], ..valid() },
    ];
    for message in wrong {
        w.sent.clear();
        let dropped = w.master.counters().messages_dropped;
        w.agent_says(&pid, message.clone());
        assert_eq!(w.master.counters().messages_dropped, dropped + 1, "{message:?}");
        assert!(w.sent.is_empty(), "{message:?}");
    }
    w.agent_says(&pid, valid());
    assert!(w.sent.iter().any(|e| matches!(e.message, Message::SlaveReregisteredMessage(_))));
}

#[test]
fn an_executor_that_is_not_known_does_not_exit_and_an_end_is_acknowledged_where_it_was() {
    let mut w = World::new();
    let (pid, client, offer) = running(&mut w);
    w.agent_says(
        &pid,
        internal::ExitedExecutorMessage {
            slave_id: offer.agent_id.clone(),
            framework_id: client.id.clone(),
            executor_id: ExecutorId { value: "never".into() },
            status: 9,
        },
    );
    assert!(w.take(client.stream).iter().all(|e| e.failure.is_none()));
    w.agent(5052);
    let other = w.master.agents().keys().find(|id| **id != offer.agent_id.value).cloned().unwrap();
    w.agent_says(&pid, said(&client, &offer.agent_id, TaskState::TaskFinished, 9));
    w.acknowledge(&client, &AgentId { value: other }, "t", 9);
    assert_eq!(w.master.frameworks()[&client.id.value].tasks.len(), 1, "its own agent has not heard of it");
    w.acknowledge(&client, &offer.agent_id, "t", 9);
    assert!(w.master.frameworks()[&client.id.value].tasks.is_empty());
}
