//! Plays recordings of the original at a master: what agents and frameworks said is said again, and what the master says
//! must be what the original said, byte for byte.
//!
//! Left out of the comparison: ids and times (they are put in or out), pings, when offers come, and
//! UpdateFrameworkMessage, which the original sends to agents that know nothing of the framework too.

use crate::world::{Client, World};
use base::{Duration, Time};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use master::{Config, Input};
use model::{
    link::{Envelope, Message, Upid},
    mesos::{
        FrameworkInfo, Offer, OfferId, internal,
        offer::{Operation, operation},
        scheduler::{call, event},
    },
    request::RequestId,
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

pub(crate) struct Play {
    pub(crate) w: World,
    file: Value,
    recorded_id: String,
    own_id: String,
    config: Config,
    begun: Time,
    /// The client of the HTTP API, where the recording has one.
    client: Option<Client>,
    /// What clients of the HTTP API heard, as the recordings write it.
    heard: Vec<String>,
    /// Numbers of operations as recorded, and as our master gave them.
    operations: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Play {
    pub(crate) fn new(name: &str, config: impl FnOnce(&mut Config)) -> Self {
        let file = recording(name);
        let messages = file["messages"].as_array().unwrap();
        let registered = messages.iter().find_map(|m| m["fields"]["slave_id"]["value"].as_str()).unwrap();
        let recorded_id = registered.rsplit_once('-').unwrap().0.to_owned();
        let mut own = Config::at(MASTER.parse().unwrap());
        own.hostname = "localhost".into();
        config(&mut own);
        let begun = Time::from_millis(1_000_000);
        let w = World::with(own.clone(), Records::new(), begun);
        let own_id = w.master.id().to_owned();
        Self {
            w,
            recorded_id,
            own_id,
            config: own,
            file,
            begun,
            client: None,
            heard: Vec::new(),
            operations: Vec::new(),
        }
    }

    fn decode(&self, m: &Value) -> Message {
        let mut body = STANDARD.decode(m["body_base64"].as_str().unwrap_or_default()).unwrap();
        put(&mut body, self.recorded_id.as_bytes(), self.own_id.as_bytes());
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
    pub(crate) fn play(&mut self) {
        let file = self.file.clone();
        let mut events: Vec<(f64, Value)> = Vec::new();
        for step in file["steps"].as_array().unwrap() {
            events.push((step["at"].as_f64().unwrap(), step.clone()));
        }
        for m in file["messages"].as_array().unwrap() {
            if m["to"] == "master" || (m["from"] == "master" && m["to"] == "agent") {
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
            if event["what"].is_string() {
                self.step(event["what"].as_str().unwrap());
            } else if event["closed_at"].is_number() {
                let port = if event["from"] == "agent" { 28051 } else { 28060 };
                self.w.step(Input::Exited { peer: SocketAddr::from(([127, 0, 0, 1], port)) });
            } else if event["to"] == "agent" {
                self.cause(&event);
                if event["message"] == "mesos.internal.ApplyOperationMessage" {
                    self.match_operations(&event);
                }
            } else {
                let message = self.with_our_offers(self.decode(&event));
                let from: Upid = event["headers"]["Libprocess-From"].as_str().unwrap().parse().unwrap();
                let line = event["request_line"].as_str().unwrap();
                let to = line.split(['/', ' ']).nth(2).unwrap();
                let to = Upid::new(to, MASTER.parse().unwrap());
                self.w.step(Input::Message(Box::new(Envelope { from, to, message })));
            }
            self.listen();
        }
    }

    /// What was done from outside.
    fn step(&mut self, what: &str) {
        if what.starts_with("v1 framework SUBSCRIBE") {
            let id = self.client.as_ref().map(|c| c.id.clone()).filter(|_| what.ends_with("with its id"));
            let info = FrameworkInfo { id, ..self.next_framework() };
            self.client = Some(self.w.subscribe(info));
        } else if what == "start master" && self.w.now > self.begun {
            let mut next = World::with(self.config.clone(), self.w.records.clone(), self.w.now);
            next.sent = std::mem::take(&mut self.w.sent);
            next.requests = self.w.requests + 1000;
            self.w = next;
        } else if what == "v1 framework calls RECONCILE" {
            // Which tasks were asked about is not recorded with the messages: all of them.
            self.call(call::Type::Reconcile, |c| c.reconcile = Some(Default::default()));
        }
    }

    /// What the next framework says of itself, as agents were told.
    fn next_framework(&self) -> FrameworkInfo {
        let now = self.w.now.as_secs_f64() - self.begun.as_secs_f64();
        let runs = |m: &&Value| {
            m["at"].as_f64().unwrap() >= now
                && ["mesos.internal.RunTaskMessage", "mesos.internal.RunTaskGroupMessage"]
                    .contains(&m["message"].as_str().unwrap())
        };
        let all = self.file["messages"].as_array().unwrap();
        let found = all.iter().find(runs).or_else(|| all.iter().rfind(|m| runs(&&with_time(m, now))));
        match self.decode(found.expect("a framework runs something")) {
            Message::RunTaskMessage(m) => m.framework,
            Message::RunTaskGroupMessage(m) => m.framework,
            other => panic!("{other:?}"),
        }
    }

    fn call(&mut self, kind: call::Type, fill: impl FnOnce(&mut model::mesos::scheduler::Call)) {
        let Some(client) = self.client.take() else { return };
        let answer = self.w.call(&client, kind, fill);
        assert_eq!(answer.status, 202, "{kind:?}: {answer:?}");
        self.client = Some(client);
    }

    /// Makes the call that led to a recorded message of the master.
    fn cause(&mut self, m: &Value) {
        if self.client.is_none() && m["fields"].get("framework_id").is_some() {
            return;
        }
        match self.decode(m) {
            Message::RunTaskMessage(m) => {
                let mut launch = Operation {
                    launch: Some(operation::Launch { task_infos: vec![m.task] }),
                    ..Default::default()
                };
                launch.set_type(operation::Type::Launch);
                self.accept(launch);
            }
            Message::RunTaskGroupMessage(m) => {
                let group = operation::LaunchGroup { executor: m.executor, task_group: m.task_group };
                let mut launch = Operation { launch_group: Some(group), ..Default::default() };
                launch.set_type(operation::Type::LaunchGroup);
                self.accept(launch);
            }
            Message::ApplyOperationMessage(m) if m.framework_id.is_some() => self.accept(m.operation_info),
            Message::ApplyOperationMessage(m) => {
                self.w.requests += 1;
                let request = RequestId(self.w.requests);
                let agent_id = self.w.master.agents().keys().next().unwrap().clone();
                let operation = Box::new(m.operation_info);
                self.w.step(Input::Operation { request, agent_id, operation, principal: None });
                assert_eq!(self.w.answers.last().unwrap().1.status, 202);
            }
            Message::KillTaskMessage(m) => {
                let kill = call::Kill { task_id: m.task_id, agent_id: None, kill_policy: m.kill_policy };
                self.call(call::Type::Kill, |c| c.kill = Some(kill));
            }
            Message::StatusUpdateAcknowledgementMessage(m) => {
                let acknowledge =
                    call::Acknowledge { agent_id: m.slave_id, task_id: m.task_id, uuid: m.uuid };
                self.call(call::Type::Acknowledge, |c| c.acknowledge = Some(acknowledge));
            }
            Message::AcknowledgeOperationStatusMessage(m) => {
                let agents = self.w.master.agents().values();
                let known = agents.flat_map(|a| a.operations.values()).find(|o| o.uuid == m.operation_uuid);
                let Some((operation_id, agent_id)) =
                    known.and_then(|o| Some((o.info.id.clone()?, o.agent_id.clone())))
                else {
                    return;
                };
                let acknowledge = call::AcknowledgeOperationStatus {
                    agent_id,
                    operation_id,
                    uuid: m.status_uuid.value,
                    ..Default::default()
                };
                self.call(call::Type::AcknowledgeOperationStatus, |c| {
                    c.acknowledge_operation_status = Some(acknowledge);
                });
            }
            Message::ShutdownFrameworkMessage(_) => self.call(call::Type::Teardown, |_| {}),
            Message::ShutdownExecutorMessage(m) => {
                let agent_id = self.w.master.agents().values().next().unwrap().info.id.clone().unwrap();
                let shutdown = call::Shutdown { executor_id: m.executor_id.unwrap(), agent_id };
                self.call(call::Type::Shutdown, |c| c.shutdown = Some(shutdown));
            }
            _ => {}
        }
    }

    fn accept(&mut self, operation: Operation) {
        let offer_ids = self.w.master.offers().keys().map(|id| OfferId { value: id.clone() }).collect();
        self.call(call::Type::Accept, |c| {
            c.accept = Some(call::Accept { offer_ids, operations: vec![operation], filters: None });
        });
    }

    fn listen(&mut self) {
        for (_, event) in std::mem::take(&mut self.w.events) {
            let said = match event.r#type() {
                event::Type::Update => event
                    .update
                    .map(|u| format!("UPDATE {} {}", u.status.task_id.value, u.status.state().as_str_name())),
                event::Type::UpdateOperationStatus => event.update_operation_status.map(|u| {
                    let id = u.status.operation_id.clone().map_or(String::new(), |id| id.value);
                    format!("UPDATE_OPERATION_STATUS {id} {}", u.status.state().as_str_name())
                }),
                event::Type::Failure => Some("FAILURE".to_owned()),
                _ => None,
            };
            self.heard.extend(said);
        }
    }

    /// What a client of the HTTP API heard is what was recorded; answers to its own questions are left out.
    pub(crate) fn check_heard(&self) -> usize {
        let mut asked = false;
        let mut expected = Vec::new();
        for step in self.file["steps"].as_array().unwrap() {
            let what = step["what"].as_str().unwrap();
            if what.starts_with("v1 framework calls RECONCILE") {
                asked = true;
            } else if let Some(said) = what.strip_prefix("v1 framework receives ") {
                let answer = asked && !said.contains("FAILURE") && !said.ends_with("DROPPED");
                let said = if said.contains("FAILURE") { "FAILURE" } else { said };
                if !answer {
                    expected.push(said.to_owned());
                }
            } else {
                asked = false;
            }
        }
        // One answer of ours for each question: it is about the one task there is.
        let questions = self.file["steps"].as_array().unwrap().iter();
        let questions = questions.filter(|s| s["what"] == "v1 framework calls RECONCILE").count();
        let mut heard = self.heard.clone();
        let mut at = 0;
        heard.retain(|said| {
            let keep = expected.get(at) == Some(said);
            at += usize::from(keep);
            keep
        });
        assert_eq!(expected, heard, "heard {:?}", self.heard);
        assert!(self.heard.len() - heard.len() <= questions, "{:?}", self.heard);
        expected.len()
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
        once(to_it.filter_map(|m| comparable(self.decode(m))).collect())
    }

    fn said(&self, host: &str) -> Vec<(String, Vec<u8>)> {
        let to_it = self.w.sent.iter().filter(|e| e.to.address.to_string() == host);
        once(to_it.filter_map(|e| comparable(e.message.clone())).collect())
    }

    pub(crate) fn check(&self, peer: &str, host: &str) -> usize {
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
    pub(crate) fn check_first_offer(&self) {
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

/// An agent that asked twice is answered twice, or once.
fn once(mut said: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    said.dedup_by(|a, b| a == b && a.0 == "mesos.internal.SlaveRegisteredMessage");
    said
}

/// A message as if it had been sent then.
fn with_time(m: &Value, at: f64) -> Value {
    let mut m = m.clone();
    m["at"] = at.into();
    m
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
        Message::SlaveReregisteredMessage(mut m) => {
            let statuses = m.reconciliations.iter_mut().flat_map(|r| &mut r.statuses);
            statuses.for_each(|status| status.timestamp = None);
            Message::SlaveReregisteredMessage(m)
        }
        other => other,
    };
    Some((message.name().to_owned(), message.encode()))
}
