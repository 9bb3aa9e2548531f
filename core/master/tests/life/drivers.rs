//! libmesos frameworks as they were recorded with Apache Mesos: the framework's and the agent's messages are played from
//! the recordings, and what the master says must be what the original said, byte for byte.
//!
//! Left out of the comparison: ids and times (they are put in or out), pings, when offers come, and
//! UpdateFrameworkMessage, which the original sends to agents that know nothing of the framework too.

use crate::world::World;
use base::{Duration, Time};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use master::{Config, Input};
use model::{
    link::{Envelope, Message, Upid},
    mesos::{Offer, OfferId, internal},
    save::Records,
};
use serde_json::Value;
use std::{net::SocketAddr, path::PathBuf};

const MASTER: &str = "127.0.0.1:28050";

fn recording(name: &str) -> Value {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance/data/wire");
    serde_json::from_slice(&std::fs::read(dir.join(format!("{name}.json"))).unwrap()).unwrap()
}

/// Replaces text of equal length, so that no length before it changes.
fn put(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len(), "{} {}", String::from_utf8_lossy(from), String::from_utf8_lossy(to));
    let mut at = 0;
    while at + from.len() <= bytes.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
        at += 1;
    }
}

struct Play {
    w: World,
    file: Value,
    recorded_id: String,
    begun: Time,
    /// Numbers of operations as recorded, and as our master gave them.
    operations: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Play {
    fn new(name: &str, config: impl FnOnce(&mut Config)) -> Self {
        let file = recording(name);
        let messages = file["messages"].as_array().unwrap();
        let registered = messages.iter().find_map(|m| m["fields"]["slave_id"]["value"].as_str()).unwrap();
        let recorded_id = registered.rsplit_once('-').unwrap().0.to_owned();
        let mut own = Config::at(MASTER.parse().unwrap());
        own.hostname = "localhost".into();
        config(&mut own);
        let begun = Time::from_millis(1_000_000);
        let w = World::with(own, Records::new(), begun);
        Self { w, recorded_id, file, begun, operations: Vec::new() }
    }

    fn decode(&self, m: &Value) -> Message {
        let mut body = STANDARD.decode(m["body_base64"].as_str().unwrap_or_default()).unwrap();
        put(&mut body, self.recorded_id.as_bytes(), self.w.master.id().as_bytes());
        put(&mut body, b"1.12.0", b"1.11.0");
        for (recorded, ours) in &self.operations {
            put(&mut body, recorded, ours);
        }
        let name = m["message"].as_str().unwrap();
        Message::decode(name, &body).unwrap_or_else(|| panic!("{name} is not known")).unwrap()
    }

    /// What is accepted is what stands: ours offers sooner, and in other pieces.
    fn with_our_offers(&self, mut message: Message) -> Message {
        let ours: Vec<_> = self.w.master.offers().keys().map(|id| OfferId { value: id.clone() }).collect();
        match &mut message {
            Message::SchedulerCall(call) => {
                call.accept.iter_mut().for_each(|accept| accept.offer_ids.clone_from(&ours));
            }
            Message::LaunchTasksMessage(launch) => launch.offer_ids = ours,
            _ => {}
        }
        message
    }

    /// Plays all that was said to the master, at the times at which it was.
    fn play(&mut self) {
        let file = self.file.clone();
        let mut events: Vec<(f64, Value)> = Vec::new();
        for m in file["messages"].as_array().unwrap() {
            if m["to"] == "master" || m["message"] == "mesos.internal.ApplyOperationMessage" {
                events.push((m["at"].as_f64().unwrap(), m.clone()));
            }
        }
        for c in file["connections"].as_array().unwrap() {
            if c["to"] == "master" && c["closed_first_by"] == c["from"] {
                events.push((c["closed_at"].as_f64().unwrap(), c.clone()));
            }
        }
        events.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (at, event) in events {
            let at = self.begun + Duration::from_secs_f64(at.max(0.0));
            if at > self.w.now {
                self.w.pass(Duration::from_nanos(at.as_nanos() - self.w.now.as_nanos()));
            }
            if event["closed_at"].is_number() {
                let port = if event["from"] == "agent" { 28051 } else { 28060 };
                self.w.step(Input::Exited { peer: SocketAddr::from(([127, 0, 0, 1], port)) });
            } else if event["to"] == "agent" {
                self.match_operations(&event);
            } else {
                let message = self.with_our_offers(self.decode(&event));
                let from: Upid = event["headers"]["Libprocess-From"].as_str().unwrap().parse().unwrap();
                let line = event["request_line"].as_str().unwrap();
                let to = line.split(['/', ' ']).nth(2).unwrap();
                let to = Upid::new(to, MASTER.parse().unwrap());
                self.w.step(Input::Message(Box::new(Envelope { from, to, message })));
            }
        }
    }

    fn match_operations(&mut self, recorded: &Value) {
        let body = STANDARD.decode(recorded["body_base64"].as_str().unwrap()).unwrap();
        let Some(Ok(Message::ApplyOperationMessage(m))) =
            Message::decode("mesos.internal.ApplyOperationMessage", &body)
        else {
            panic!("an operation")
        };
        let ours = self.w.sent.iter().filter_map(|e| match &e.message {
            Message::ApplyOperationMessage(m) => Some(m.operation_uuid.value.clone()),
            _ => None,
        });
        let ours = ours.clone().nth(self.operations.len()).expect("the operation is sent to the agent");
        self.operations.push((m.operation_uuid.value, ours));
    }

    /// What was said to one peer, in words that can be compared.
    fn expected(&self, peer: &str, host: &str) -> Vec<(String, Vec<u8>)> {
        let messages = self.file["messages"].as_array().unwrap().iter();
        let to_it =
            messages.filter(|m| m["from"] == "master" && m["to"] == peer && m["headers"]["Host"] == host);
        to_it.filter_map(|m| comparable(self.decode(m))).collect()
    }

    fn said(&self, host: &str) -> Vec<(String, Vec<u8>)> {
        let to_it = self.w.sent.iter().filter(|e| e.to.address.to_string() == host);
        let mut said: Vec<_> = to_it.filter_map(|e| comparable(e.message.clone())).collect();
        // An agent that asked twice is answered twice.
        said.dedup_by(|a, b| a == b && a.0 == "mesos.internal.SlaveRegisteredMessage");
        said
    }

    fn check(&self, peer: &str, host: &str) -> usize {
        let (mut expected, mut said) = (self.expected(peer, host), self.said(host));
        // The last word to a driver that is gone mostly found nobody to record it.
        let last = |all: &[(String, Vec<u8>)]| all.last().map(|m| m.0.clone());
        let error = "mesos.internal.FrameworkErrorMessage";
        if last(&said).as_deref() == Some(error) && last(&expected).as_deref() != Some(error) {
            said.pop();
        }
        // An agent with nothing of a framework is not told of its end.
        let end = "mesos.internal.ShutdownFrameworkMessage";
        if last(&expected).as_deref() == Some(end) && last(&said).as_deref() != Some(end) {
            expected.pop();
        }
        for (at, (expected, said)) in expected.iter().zip(&said).enumerate() {
            let show = |m: &(String, Vec<u8>)| format!("{:?}", Message::decode(&m.0, &m.1));
            assert_eq!(expected, said, "message {at} to {host}:\n{}\n{}", show(expected), show(said));
        }
        let names = |all: &[(String, Vec<u8>)]| all.iter().map(|m| m.0.clone()).collect::<Vec<_>>();
        assert_eq!(names(&expected), names(&said), "to {host}");
        expected.len()
    }

    /// The first offer is what was recorded, but for the order of its resources.
    fn check_first_offer(&self) {
        let sorted = |message: &internal::ResourceOffersMessage| {
            let mut offer: Offer = message.offers[0].clone();
            offer.resources.sort_by(|a, b| a.name.cmp(&b.name));
            (offer, message.pids.clone())
        };
        let all = self.file["messages"].as_array().unwrap().iter();
        let recorded = all.filter(|m| m["message"] == "mesos.internal.ResourceOffersMessage");
        let Message::ResourceOffersMessage(recorded) = recorded.map(|m| self.decode(m)).next().unwrap()
        else {
            panic!("an offer")
        };
        let ours = self.w.sent.iter().find_map(|e| match &e.message {
            Message::ResourceOffersMessage(m) => Some(m),
            _ => None,
        });
        assert_eq!(sorted(&recorded), sorted(ours.expect("an offer")));
    }
}

/// None for what is not compared; times of the master's own are left out.
fn comparable(message: Message) -> Option<(String, Vec<u8>)> {
    let message = match message {
        Message::PingSlaveMessage(_)
        | Message::ResourceOffersMessage(_)
        | Message::RescindResourceOfferMessage(_)
        | Message::UpdateFrameworkMessage(_) => return None,
        Message::StatusUpdateMessage(mut m) if m.update.uuid.is_none() => {
            m.update.timestamp = 0.0;
            m.update.status.timestamp = None;
            m.update.status.unreachable_time = m.update.status.unreachable_time.map(|_| Default::default());
            Message::StatusUpdateMessage(m)
        }
        other => other,
    };
    Some((message.name().to_owned(), message.encode()))
}

const AGENT: &str = "127.0.0.1:28051";
const FRAMEWORK: &str = "127.0.0.1:28060";

fn whole_life(name: &str, to_framework: usize, to_agent: usize) {
    let mut play = Play::new(name, |_| {});
    play.play();
    play.check_first_offer();
    assert_eq!(play.check("framework", FRAMEWORK), to_framework, "{name}");
    assert_eq!(play.check("agent", AGENT), to_agent, "{name}");
}

#[test]
fn command_tasks_run_to_their_end() {
    whole_life("15-v0-framework-command-tasks", 7, 9);
}

#[test]
fn an_executor_of_its_own_runs_five_tasks() {
    whole_life("11-v0-framework-and-executor", 11, 16);
}

#[test]
fn persistent_volumes_are_made_used_and_left() {
    whole_life("14-v0-persistent-volumes", 19, 37);
}

#[test]
fn a_framework_that_disappears_is_told_so_and_ended() {
    whole_life("16-v0-framework-disappears", 4, 5);
}

#[test]
fn tasks_without_checkpoints_are_lost_with_their_agent() {
    whole_life("18-v0-framework-agent-killed", 4, 5);
}

#[test]
fn an_agent_that_becomes_unreachable_is_lost_and_comes_back_without_the_task() {
    let mut play = Play::new("21-v0-framework-agent-unreachable", |config| {
        config.ping_timeout = Duration::from_secs(1);
        config.pings_missed_max = 2;
    });
    play.play();
    assert_eq!((play.check("framework", FRAMEWORK), play.check("agent", AGENT)), (5, 6));
}

#[test]
fn what_drivers_said_before_there_were_calls_is_still_taken() {
    let mut play = Play::new("19-v0-legacy-messages", |_| {});
    play.play();
    play.check_first_offer();
    play.check("framework", FRAMEWORK);
    play.check("framework", "127.0.0.1:28061");
    assert_eq!(play.check("agent", AGENT), 7);
}
