//! A master driven by hand in virtual time: its disk, its agents and its frameworks are this file.

use base::{Duration, Effects, Machine, Now, Rng, Time};
use master::{Config, Effect, Input, Master};
use model::{
    link::{Envelope, Message, Upid},
    mesos::{
        AgentId, AgentInfo, CommandInfo, ExecutorId, FrameworkId, FrameworkInfo, Offer, TaskId, TaskInfo,
        TaskState, TaskStatus, framework_info, internal,
        offer::{Operation, operation},
        scheduler::{Call, Event, call, event},
    },
    request::{Answer, Codec, Http, RequestId, StreamId},
    resources::Resources,
    save::{Change, Records},
};

pub struct World {
    pub master: Master,
    pub records: Records,
    pub rng: Rng,
    pub now: Time,
    pub events: Vec<(StreamId, Event)>,
    pub sent: Vec<Envelope>,
    pub answers: Vec<(RequestId, Answer)>,
    pub streams: Vec<(StreamId, String)>,
    pub closed: Vec<StreamId>,
    pub requests: u64,
    pub disk_full: bool,
}

pub const ME: &str = "127.0.0.1:5050";

impl World {
    pub fn new() -> Self {
        Self::from(Records::new(), Time::from_millis(1_000_000))
    }

    pub fn from(records: Records, now: Time) -> Self {
        let mut rng = Rng::from_number(7);
        let master = Master::new(Config::at(ME.parse().unwrap()), &records, Now::new(now, &mut rng));
        Self {
            master,
            records,
            rng,
            now,
            events: Vec::new(),
            sent: Vec::new(),
            answers: Vec::new(),
            streams: Vec::new(),
            closed: Vec::new(),
            requests: 0,
            disk_full: false,
        }
    }

    /// One step, and all that follows from what it makes durable.
    pub fn step(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut out = Effects::default();
            self.master.step(Now::new(self.now, &mut self.rng), input, &mut out);
            self.master.check();
            for effect in out.drain() {
                match effect {
                    Effect::Http(Http::Reply { request, answer }) => self.answers.push((request, answer)),
                    Effect::Http(Http::Open { request, headers, .. }) => {
                        self.streams.push((StreamId(request.0), headers[0].1.clone()));
                    }
                    Effect::Http(Http::Send { stream, event }) => self.events.push((stream, event)),
                    Effect::Http(Http::Close { stream }) => self.closed.push(stream),
                    Effect::Send(envelope) => self.sent.push(*envelope),
                    Effect::Link(_) => {}
                    Effect::Save { save, .. } if self.disk_full => {
                        inputs.push(Input::SaveFailed { save, why: "full".into() });
                    }
                    Effect::Save { save, batch } => {
                        for change in batch {
                            match change {
                                Change::Put { key, value } => self.records.insert(key, value),
                                Change::Delete { key } => self.records.remove(&key),
                            };
                        }
                        inputs.push(Input::Saved { save });
                    }
                }
            }
        }
    }

    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some((at, _)) = self.master.deadline().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            self.step(Input::Tick);
        }
        self.now = until;
        self.step(Input::Tick);
    }

    pub fn agent(&mut self, port: u16) -> Upid {
        let pid = Upid::new("slave(1)", format!("127.0.0.1:{port}").parse().unwrap());
        let register = internal::RegisterSlaveMessage { slave: info(None), ..Default::default() };
        self.agent_says(&pid, register);
        pid
    }

    pub fn agent_says(&mut self, pid: &Upid, message: impl Into<Message>) {
        self.agent_says_to("master", pid, message);
    }

    pub fn agent_says_to(&mut self, to: &str, pid: &Upid, message: impl Into<Message>) {
        let to = Upid::new(to, ME.parse().unwrap());
        self.step(Input::Message(Box::new(Envelope { from: pid.clone(), to, message: message.into() })));
    }

    pub fn request(&mut self, stream: Option<&str>, call: Call) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.step(Input::Scheduler {
            request,
            accept: Codec::Json,
            stream_id: stream.map(str::to_owned),
            call: Box::new(call),
        });
        request
    }

    pub fn subscribe(&mut self, info: FrameworkInfo) -> Client {
        let subscribe = call::Subscribe { framework_info: info.clone(), ..Default::default() };
        let mut call = Call { framework_id: info.id, subscribe: Some(subscribe), ..Default::default() };
        call.set_type(call::Type::Subscribe);
        let request = self.request(None, call);
        let stream = StreamId(request.0);
        let uuid = self.streams.iter().find(|(s, _)| *s == stream).expect("the stream opens").1.clone();
        let first = self.events.iter().position(|(s, e)| *s == stream && e.subscribed.is_some());
        let id = first.and_then(|i| self.events.remove(i).1.subscribed).map(|s| s.framework_id);
        Client { stream, uuid, id: id.unwrap_or_default() }
    }

    pub fn call(&mut self, client: &Client, kind: call::Type, fill: impl FnOnce(&mut Call)) -> Answer {
        let mut call = Call { framework_id: Some(client.id.clone()), ..Default::default() };
        call.set_type(kind);
        fill(&mut call);
        let request = self.request(Some(&client.uuid), call);
        self.answers.iter().rev().find(|(r, _)| *r == request).expect("an answer").1.clone()
    }

    /// Events of a stream since the last look, heartbeats left out.
    pub fn take(&mut self, stream: StreamId) -> Vec<Event> {
        let (own, other) = std::mem::take(&mut self.events).into_iter().partition(|(s, _)| *s == stream);
        self.events = other;
        let own: Vec<(StreamId, Event)> = own;
        own.into_iter().map(|(_, e)| e).filter(|e| e.r#type() != event::Type::Heartbeat).collect()
    }

    pub fn offers(&mut self, client: &Client) -> Vec<Offer> {
        self.take(client.stream).into_iter().filter_map(|e| e.offers).flat_map(|o| o.offers).collect()
    }

    pub fn updates(&mut self, client: &Client) -> Vec<TaskStatus> {
        self.take(client.stream).into_iter().filter_map(|e| e.update).map(|u| u.status).collect()
    }

    pub fn launch(&mut self, client: &Client, offer: &Offer, id: &str, cpus: f64) -> Answer {
        let task = TaskInfo {
            name: id.into(),
            task_id: TaskId { value: id.into() },
            agent_id: offer.agent_id.clone(),
            resources: Resources::scalars([("cpus", cpus), ("mem", 32.0)]).to_messages(),
            command: Some(CommandInfo { value: Some("true".into()), ..Default::default() }),
            ..Default::default()
        };
        let offer_id = offer.id.clone();
        self.call(client, call::Type::Accept, |call| {
            let mut operation = Operation {
                launch: Some(operation::Launch { task_infos: vec![task] }),
                ..Default::default()
            };
            operation.set_type(operation::Type::Launch);
            call.accept =
                Some(call::Accept { offer_ids: vec![offer_id], operations: vec![operation], filters: None });
        })
    }

    pub fn update(
        &mut self,
        pid: &Upid,
        client: &Client,
        agent: &AgentId,
        task: &str,
        state: TaskState,
        uuid: u8,
    ) {
        let mut status = TaskStatus { task_id: TaskId { value: task.into() }, ..Default::default() };
        status.set_state(state);
        let mut update = internal::StatusUpdate {
            framework_id: client.id.clone(),
            executor_id: Some(ExecutorId { value: task.into() }),
            slave_id: Some(agent.clone()),
            status,
            uuid: Some(vec![uuid; 16]),
            ..Default::default()
        };
        update.set_latest_state(state);
        self.agent_says(pid, internal::StatusUpdateMessage { update, pid: Some(pid.to_string()) });
    }

    pub fn acknowledge(&mut self, client: &Client, agent: &AgentId, task: &str, uuid: u8) {
        let acknowledge = call::Acknowledge {
            agent_id: agent.clone(),
            task_id: TaskId { value: task.into() },
            uuid: vec![uuid; 16],
        };
        self.call(client, call::Type::Acknowledge, |call| call.acknowledge = Some(acknowledge));
    }
}

pub struct Client {
    pub stream: StreamId,
    pub uuid: String,
    pub id: FrameworkId,
}

pub fn info(id: Option<&AgentId>) -> AgentInfo {
    AgentInfo {
        hostname: "host".into(),
        id: id.cloned(),
        resources: Resources::scalars([("cpus", 4.0), ("mem", 1024.0)]).to_messages(),
        ..Default::default()
    }
}

pub fn aware(timeout: f64) -> FrameworkInfo {
    let mut capability = framework_info::Capability::default();
    capability.set_type(framework_info::capability::Type::PartitionAware);
    FrameworkInfo {
        user: "u".into(),
        name: "n".into(),
        failover_timeout: Some(timeout),
        checkpoint: Some(true),
        capabilities: vec![capability],
        ..Default::default()
    }
}

pub fn cpus(offer: &Offer) -> f64 {
    Resources::from_messages(&offer.resources).unwrap().scalar("cpus")
}
