//! Messages of the link that nobody should have sent to an agent: forged masters, ids of others, words said twice.

mod world;

use agent::Input;
use base::Duration;
use model::{
    link::{Envelope, Message, Upid},
    mesos::{AgentId, DrainConfig, ExecutorId, FrameworkId, TaskId, TaskState, internal},
};
use world::World;

fn running() -> World {
    let mut w = World::fresh();
    let container = w.run("t", |_| {});
    w.step(Input::Launched { container, pid: 1 });
    for _ in 0..2 {
        w.next();
    }
    w
}

/// What a master tells an agent, each word with consequences.
fn words(w: &World) -> Vec<Message> {
    let framework_id = FrameworkId { value: "F".into() };
    let executor_id = ExecutorId { value: "t".into() };
    let slave_id = AgentId { value: "S0".into() };
    let task_id = TaskId { value: "t".into() };
    let framework = model::mesos::FrameworkInfo {
        user: "root".into(),
        name: "f".into(),
        id: Some(framework_id.clone()),
        ..Default::default()
    };
    vec![
        internal::RunTaskMessage { framework: framework.clone(), task: w.order("u"), ..Default::default() }
            .into(),
        internal::RunTaskGroupMessage { framework, ..Default::default() }.into(),
        internal::KillTaskMessage {
            framework_id: framework_id.clone(),
            task_id: task_id.clone(),
            kill_policy: None,
        }
        .into(),
        internal::ShutdownFrameworkMessage { framework_id: framework_id.clone() }.into(),
        internal::ShutdownExecutorMessage {
            framework_id: Some(framework_id.clone()),
            executor_id: Some(executor_id.clone()),
        }
        .into(),
        internal::FrameworkToExecutorMessage {
            slave_id: slave_id.clone(),
            framework_id: framework_id.clone(),
            executor_id,
            data: b"x".to_vec(),
        }
        .into(),
        internal::DrainSlaveMessage { config: DrainConfig::default() }.into(),
        internal::StatusUpdateAcknowledgementMessage {
            slave_id: slave_id.clone(),
            framework_id: framework_id.clone(),
            task_id,
            uuid: vec![1; 16],
        }
        .into(),
        internal::UpdateFrameworkMessage { framework_id, ..Default::default() }.into(),
        internal::CheckpointResourcesMessage::default().into(),
        internal::SlaveRegisteredMessage { slave_id: slave_id.clone(), connection: None }.into(),
        internal::SlaveReregisteredMessage { slave_id, ..Default::default() }.into(),
        internal::ShutdownMessage::default().into(),
    ]
}

fn hear(w: &mut World, from: &Upid, message: Message) {
    let to = w.agent.me();
    w.step(Input::Message(Box::new(Envelope { from: from.clone(), to, message })));
}

#[test]
fn what_another_than_its_master_says_is_dropped_and_counted() {
    let mut w = running();
    let words = words(&w);
    let (launches, dropped) = (w.launches.len(), w.agent.counters().messages_dropped);
    // another process at the master's own address is another one, too
    let forgers = ["master@127.0.0.1:6666", "scheduler-1@127.0.0.1:5050", "slave(1)@127.0.0.1:5051"];
    for forger in forgers {
        let from: Upid = forger.parse().unwrap();
        words.iter().for_each(|word| hear(&mut w, &from, word.clone()));
    }
    let counted = w.agent.counters().messages_dropped - dropped;
    assert_eq!(counted, (words.len() * forgers.len()) as u64);
    assert!(w.sent.is_empty() && w.signals.is_empty() && w.destroyed.is_empty(), "{:?}", w.sent);
    assert_eq!(w.launches.len(), launches);
    w.pass(Duration::from_secs(5));
    assert_eq!(w.agent.tasks().values().map(|t| t.state).collect::<Vec<_>>(), [TaskState::TaskRunning]);
}

#[test]
fn a_ping_is_answered_to_whoever_sent_it() {
    let mut w = running();
    let observer: Upid = "slave-observer(7)@127.0.0.1:6666".parse().unwrap();
    hear(&mut w, &observer, internal::PingSlaveMessage { connected: true }.into());
    let answer = w.envelopes.last().unwrap();
    assert!(matches!(answer.message, Message::PongSlaveMessage(_)) && answer.to == observer, "{answer:?}");
}

#[test]
fn a_master_that_names_others_changes_nothing_here() {
    let mut w = running();
    let dropped = w.agent.counters().messages_dropped;
    w.hear(internal::SlaveRegisteredMessage { slave_id: AgentId { value: "S9".into() }, connection: None });
    w.hear(internal::SlaveReregisteredMessage {
        slave_id: AgentId { value: "S9".into() },
        ..Default::default()
    });
    assert_eq!(w.agent.counters().messages_dropped, dropped + 2);
    assert_eq!(w.agent.info().id.as_ref().unwrap().value, "S0", "it keeps its id");
    w.hear(internal::ShutdownFrameworkMessage { framework_id: FrameworkId { value: "nobody".into() } });
    w.hear(internal::ShutdownExecutorMessage::default());
    w.hear(internal::RegisterSlaveMessage::default());
    assert!(w.signals.is_empty() && w.destroyed.is_empty());
    // an acknowledgement of what was never said, and one said twice
    for uuid in [vec![], vec![9; 16], vec![9; 99]] {
        w.hear(internal::StatusUpdateAcknowledgementMessage {
            framework_id: FrameworkId { value: "F".into() },
            task_id: TaskId { value: "t".into() },
            uuid,
            ..Default::default()
        });
    }
    assert_eq!(w.agent.tasks().values().next().unwrap().state, TaskState::TaskRunning);
}
