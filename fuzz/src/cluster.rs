//! Sessions with a master and with an agent: requests, messages of any sender, full disks, time that passes, crashes, and
//! records of a store that nobody wrote.
//!
//! After every record the machine's invariants hold. What a machine asks for is done at once, or fails as told.

use crate::script::{self, Disk, Given, Record};
use agent::Agent;
use api::json::FromJson;
use base::{Duration, Effects, Machine, Now, Rng, Time};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use endpoints::Routed;
use master::Master;
use model::{
    container::{ContainerId, Termination},
    link::{Envelope, Message, Upid},
    mesos::{Resource, internal, scheduler::Event},
    request::{Http, StreamId},
    resources::Resources,
    save::{Change, SaveId},
};
use std::net::SocketAddr;

fn at(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// `SEND NAME FROM`: a message with a protobuf body, or with a JSON body where a short form is known.
fn message(record: &Record, to: Upid) -> Option<Envelope> {
    let from: Upid = record.word(2).parse().ok()?;
    let json = || serde_json::from_slice(&record.body).ok();
    let message = match record.word(1) {
        "register" => internal::RegisterSlaveMessage::from_json(&json()?).ok()?.into(),
        "reregister" => internal::ReregisterSlaveMessage::from_json(&json()?).ok()?.into(),
        "status" => internal::StatusUpdateMessage::from_json(&json()?).ok()?.into(),
        "run" => internal::RunTaskMessage::from_json(&json()?).ok()?.into(),
        "kill" => internal::KillTaskMessage::from_json(&json()?).ok()?.into(),
        "registered" => internal::SlaveRegisteredMessage::from_json(&json()?).ok()?.into(),
        "reregistered" => internal::SlaveReregisteredMessage::from_json(&json()?).ok()?.into(),
        "acknowledge" => internal::StatusUpdateAcknowledgementMessage::from_json(&json()?).ok()?.into(),
        "shutdown-framework" => internal::ShutdownFrameworkMessage::from_json(&json()?).ok()?.into(),
        name => Message::decode(name, &record.body)?.ok()?,
    };
    Some(Envelope { from, to, message })
}

struct Clock {
    time: Time,
    rng: Rng,
    disk: Disk,
}

impl Clock {
    fn new() -> Self {
        Self { time: Time::from_millis(1_700_000_000_000), rng: Rng::from_number(1), disk: Disk::default() }
    }
    fn step<M: Machine>(&mut self, machine: &mut M, input: M::Input) -> Vec<M::Effect> {
        let mut out = Effects::default();
        machine.step(Now::new(self.time, &mut self.rng), input, &mut out);
        out.drain().collect()
    }
    fn saved(&mut self, save: SaveId, batch: Vec<Change>) -> Result<SaveId, (SaveId, String)> {
        self.disk.write(batch).map(|()| save).map_err(|why| (save, why))
    }
}

/// A session with a master.
pub fn master(data: &[u8]) {
    let mut clock = Clock::new();
    let config = master::Config::at(at(5050));
    let mut master = Master::new(config.clone(), clock.disk.records(), Now::new(clock.time, &mut clock.rng));
    let mut given = Given::new();
    for (number, bytes) in script::records(data).into_iter().enumerate() {
        let record = Record::read(bytes, &given);
        let input = match record.word(0) {
            "TICK" => {
                clock.time = clock.time + Duration::from_millis(record.number(1));
                Some(master::Input::Tick)
            }
            "FULL" | "PUT" => {
                clock.disk.told(&record);
                None
            }
            "RESTART" => {
                let now = Now::new(clock.time, &mut clock.rng);
                master = Master::new(config.clone(), clock.disk.records(), now);
                None
            }
            "EXITED" => {
                Some(master::Input::Exited { peer: at(u16::try_from(record.number(1)).unwrap_or(1)) })
            }
            "CLOSED" => Some(master::Input::StreamClosed { stream: StreamId(record.number(1)) }),
            "SEND" => message(&record, Upid::new("master", at(5050)))
                .map(|envelope| master::Input::Message(Box::new(envelope))),
            _ => record.request(number as u64).and_then(|arrived| {
                match endpoints::master::route(&arrived, &master, &[]) {
                    Routed::Step(input) => Some(input),
                    Routed::Respond(response) => {
                        assert!(response.status() != 500, "{response:?}");
                        None
                    }
                    Routed::Perform(_) => None,
                }
            }),
        };
        let mut inputs: Vec<_> = input.into_iter().collect();
        while let Some(input) = inputs.pop() {
            for effect in clock.step(&mut master, input) {
                match effect {
                    master::Effect::Save { save, batch } => inputs.push(match clock.saved(save, batch) {
                        Ok(save) => master::Input::Saved { save },
                        Err((save, why)) => master::Input::SaveFailed { save, why },
                    }),
                    master::Effect::Http(http) => learn(&http, &mut given),
                    master::Effect::Send(envelope) => {
                        if let Message::SlaveRegisteredMessage(registered) = &envelope.message {
                            given.insert("AGENT", registered.slave_id.value.clone());
                        }
                    }
                    master::Effect::Link(_)
                    | master::Effect::Operator(_)
                    | master::Effect::Dropped { .. } => {}
                }
            }
        }
        master.check();
    }
}

fn learn(http: &Http<Event>, given: &mut Given) {
    match http {
        Http::Open { headers, .. } => {
            for (name, value) in headers {
                if name.eq_ignore_ascii_case("mesos-stream-id") {
                    given.insert("STREAM", value.clone());
                }
            }
        }
        Http::Send { event, .. } | Http::SendAll { event, .. } => {
            if let Some(subscribed) = &event.subscribed {
                given.insert("FRAMEWORK", subscribed.framework_id.value.clone());
            }
            if let Some(offer) = event.offers.as_ref().and_then(|o| o.offers.first()) {
                given.insert("OFFER", offer.id.value.clone());
            }
            if let Some(uuid) = event.update.as_ref().and_then(|u| u.status.uuid.as_ref()) {
                given.insert("UUID", STANDARD.encode(uuid));
            }
        }
        Http::Reply { .. } | Http::Close { .. } => {}
    }
}

/// An agent that has just started, whose launcher knows of nothing.
fn begun(config: &agent::Config, clock: &mut Clock) -> Agent {
    let mut agent = Agent::new(config.clone(), clock.disk.records(), Now::new(clock.time, &mut clock.rng));
    let first = [
        agent::Input::Recovered { running: Vec::new(), starting: Vec::new(), ended: Vec::new() },
        agent::Input::MasterDetected(Some(Upid::new("master", at(5050)))),
    ];
    for input in first {
        for effect in clock.step(&mut agent, input) {
            if let agent::Effect::Save { save, batch } = effect {
                let outcome = match clock.saved(save, batch) {
                    Ok(save) => agent::Input::Saved { save },
                    Err((save, why)) => agent::Input::SaveFailed { save, why },
                };
                clock.step(&mut agent, outcome);
            }
        }
    }
    agent
}

/// A session with an agent.
pub fn agent(data: &[u8]) {
    let mut clock = Clock::new();
    let resources: Vec<Resource> = Resources::scalars([("cpus", 4.0), ("mem", 1024.0)]).to_messages();
    let config = agent::Config {
        address: at(5051),
        hostname: "localhost".into(),
        work_dir: "/work".into(),
        resources,
        attributes: Vec::new(),
        domain: None,
        flags: Default::default(),
        registration_backoff: Duration::from_millis(100),
        environment: Vec::new(),
        users: agent::Users::Named,
        cpu_quota: false,
        boot_id: "boot".into(),
        master_hostname: "localhost".into(),
        completed_tasks_max: 10,
        keep: agent::Keep::default(),
        executors: Default::default(),
    };
    let mut agent = begun(&config, &mut clock);
    let mut given = Given::new();
    let mut containers: Vec<ContainerId> = Vec::new();
    for (number, bytes) in script::records(data).into_iter().enumerate() {
        let record = Record::read(bytes, &given);
        let container = |at: u64| containers.get(usize::try_from(at).unwrap_or(usize::MAX)).cloned();
        let input = match record.word(0) {
            "TICK" => {
                clock.time = clock.time + Duration::from_millis(record.number(1));
                Some(agent::Input::Tick)
            }
            "FULL" | "PUT" => {
                clock.disk.told(&record);
                None
            }
            "RESTART" => {
                agent = begun(&config, &mut clock);
                None
            }
            "EXITED" => Some(agent::Input::Exited { peer: at(u16::try_from(record.number(1)).unwrap_or(1)) }),
            "NOMASTER" => Some(agent::Input::MasterDetected(None)),
            "MASTER" => Some(agent::Input::MasterDetected(Some(Upid::new("master", at(5050))))),
            "LAUNCHED" => {
                container(record.number(1)).map(|container| agent::Input::Launched { container, pid: 7 })
            }
            "FAILED" => container(record.number(1))
                .map(|container| agent::Input::LaunchFailed { container, why: "refused".to_owned() }),
            "ENDED" => container(record.number(1))
                .map(|container| agent::Input::Terminated { container, how: Termination::Exited(0) }),
            "SEND" => message(&record, Upid::new("slave(1)", at(5051)))
                .map(|envelope| agent::Input::Message(Box::new(envelope))),
            _ => record.request(number as u64).and_then(|arrived| {
                match endpoints::agent::route(&arrived, &agent, &[]) {
                    Routed::Step(input) => Some(input),
                    Routed::Respond(response) => {
                        assert!(response.status() != 500, "{response:?}");
                        None
                    }
                    Routed::Perform(perform) => {
                        let asked = format!("{perform:?}");
                        assert!(!asked.contains("/../"), "{asked}");
                        None
                    }
                }
            }),
        };
        let mut inputs: Vec<_> = input.into_iter().collect();
        while let Some(input) = inputs.pop() {
            for effect in clock.step(&mut agent, input) {
                match effect {
                    agent::Effect::Save { save, batch } => inputs.push(match clock.saved(save, batch) {
                        Ok(save) => agent::Input::Saved { save },
                        Err((save, why)) => agent::Input::SaveFailed { save, why },
                    }),
                    agent::Effect::Launch(spec) => containers.push(spec.id.clone()),
                    agent::Effect::Send(envelope) => {
                        if let Message::StatusUpdateMessage(update) = &envelope.message
                            && let Some(uuid) = &update.update.uuid
                        {
                            given.insert("UUID", STANDARD.encode(uuid));
                        }
                    }
                    _ => {}
                }
            }
        }
        agent.check();
    }
}
