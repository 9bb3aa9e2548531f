//! The life of a v0 executor as Apache Mesos has it: its driver and the master say what they said in the recording, and
//! the agent must answer the same bytes. What depends on chance or place is set equal first, and named here.

mod world;

use agent::Input;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::{
    link::{Envelope, Message, Upid},
    mesos::{Attribute, ContainerStatus, TaskStatus, value},
    resources::Resources,
};
use serde_json::Value;
use world::World;

const RECORDING: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/conformance/data/wire/11-v0-framework-and-executor.json"
);

fn recording() -> Vec<Value> {
    let text = std::fs::read_to_string(RECORDING).expect("the recording is there");
    let whole: Value = serde_json::from_str(&text).expect("JSON");
    whole["messages"].as_array().expect("messages").clone()
}

fn message(recorded: &Value) -> Message {
    let name = recorded["message"].as_str().expect("a name");
    let body = STANDARD.decode(recorded["body_base64"].as_str().unwrap_or_default()).expect("base64");
    Message::decode(name, &body).expect("a known message").expect("a body that parses")
}

fn sender(recorded: &Value) -> Upid {
    let from = recorded["headers"]["Libprocess-From"].as_str().expect("a sender");
    from.parse().expect("an address")
}

/// The container's id and its process are whatever they are.
fn settle(status: &mut TaskStatus) {
    if let Some(container) = &mut status.container_status {
        *container = ContainerStatus { container_id: None, executor_pid: None, ..container.clone() };
    }
}

fn settled(mut message: Message) -> Message {
    match &mut message {
        Message::StatusUpdateMessage(m) => {
            settle(&mut m.update.status);
            // Which was the latest when the agent sent it depends on how fast the disk was.
            m.update.latest_state = None;
        }
        Message::UpdateSlaveMessage(m) => m.resource_version_uuid = None,
        Message::RegisterSlaveMessage(m) => {
            m.resource_version_uuid = None;
            m.version = None;
            // As a set: the order is that of the flag there, of the names here.
            m.slave.resources.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Message::ExecutorRegisteredMessage(m) => m.slave_info.resources.sort_by(|a, b| a.name.cmp(&b.name)),
        _ => {}
    }
    message
}

#[test]
fn an_executor_of_libmesos_hears_the_same_bytes() {
    let mut w = World::fresh_as(|config| {
        config.address = "127.0.0.1:28051".parse().expect("an address");
        config.hostname = "localhost".into();
        config.resources = Resources::parse("cpus:2;mem:1024;disk:1024;ports:[31000-31009]", "*")
            .expect("resources")
            .to_messages();
        let text = Some(value::Text { value: "r1".into() });
        let mut rack = Attribute { name: "rack".into(), text, ..Default::default() };
        rack.set_type(value::Type::Text);
        config.attributes = vec![rack];
    });
    w.step(Input::Recovered { running: Vec::new(), starting: Vec::new(), ended: Vec::new() });
    let recorded = recording();
    let of = |kind: &str, name: &str| {
        let right = move |m: &&Value| m["to"] == kind && m["from"] == "agent" && m["message"] != name;
        recorded.iter().filter(right).map(|m| settled(message(m))).collect::<Vec<_>>()
    };
    let pongs = "mesos.internal.PongSlaveMessage";
    let (to_master, to_executor) = (of("master", pongs), of("executor", pongs));
    let master = recorded
        .iter()
        .find(|m| m["message"] == "mesos.internal.SlaveRegisteredMessage")
        .map(sender)
        .expect("a master");
    w.step(Input::MasterDetected(Some(master)));
    let mut launched = 0;
    for one in recorded.iter().filter(|m| m["to"] == "agent") {
        let mut message = message(one);
        match &mut message {
            Message::PingSlaveMessage(_) => continue,
            // The agent's own, which it made up by itself.
            Message::RunTaskMessage(m) => m.resource_version_uuids.clear(),
            _ => {}
        }
        let to = w.agent.me();
        w.step(Input::Message(Box::new(Envelope { from: sender(one), to, message })));
        if w.launches.len() > launched {
            launched = w.launches.len();
            let container = w.launches[launched - 1].id.clone();
            w.step(Input::Launched { container, pid: 4711 });
        }
    }
    let own: Vec<_> = w.envelopes.iter().map(|e| (e.to.id.clone(), settled(e.message.clone()))).collect();
    let said = |is: &dyn Fn(&str) -> bool| -> Vec<Message> {
        own.iter().filter(|(to, _)| is(to)).map(|(_, message)| message.clone()).collect()
    };
    compare("master", &to_master, &said(&|to| to == "master"));
    let (words, acks) = apart(to_executor);
    let (own_words, own_acks) = apart(said(&|to| to.starts_with("executor")));
    compare("executor", &words, &own_words);
    compare("executor", &acks, &own_acks);
}

/// Acknowledgements of several tasks stand in the order in which the disk had them: here by task.
fn apart(all: Vec<Message>) -> (Vec<Message>, Vec<Message>) {
    let task = |message: &Message| match message {
        Message::StatusUpdateAcknowledgementMessage(m) => Some(m.task_id.value.clone()),
        _ => None,
    };
    let (mut acks, words): (Vec<_>, Vec<_>) = all.into_iter().partition(|m| task(m).is_some());
    acks.sort_by_key(task);
    (words, acks)
}

fn compare(to: &str, recorded: &[Message], own: &[Message]) {
    for (at, (recorded, own)) in recorded.iter().zip(own).enumerate() {
        assert_eq!(own, recorded, "message {at} to the {to}");
        assert_eq!(own.encode(), recorded.encode(), "bytes of message {at} to the {to}");
    }
    let names = |all: &[Message]| all.iter().map(Message::name).collect::<Vec<_>>();
    assert_eq!(names(own), names(recorded), "to the {to}");
    assert!(recorded.len() > 5, "the recording is about something");
}
