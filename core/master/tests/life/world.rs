//! A master driven by hand: every invariant after every step, everything it makes durable kept.

use base::{Duration, Effects, Machine, Now, Rng, Time};
use master::{Config, Effect, Input, Master};
use model::{
    link::{Envelope, Message, Upid},
    mesos::{
        AgentId, AgentInfo, CommandInfo, ExecutorId, FrameworkId, FrameworkInfo, Offer, Resource, TaskId,
        TaskInfo, TaskState, TaskStatus, Uuid, agent_info, framework_info, internal,
        offer::{Operation, operation},
        scheduler::{Call, Event, call, event},
    },
    request::{Answer, Codec, Http, RequestId, StreamId},
    resources::Resources,
    save::{Change, Records},
};

pub(crate) struct World {
    pub(crate) master: Master,
    pub(crate) records: Records,
    pub(crate) rng: Rng,
    pub(crate) now: Time,
    pub(crate) events: Vec<(StreamId, Event)>,
    pub(crate) sent: Vec<Envelope>,
    pub(crate) answers: Vec<(RequestId, Answer)>,
    pub(crate) streams: Vec<(StreamId, String)>,
    pub(crate) closed: Vec<StreamId>,
    pub(crate) requests: u64,
    pub(crate) disk_full: bool,
}

pub(crate) const ME: &str = "127.0.0.1:5050";

impl World {
    pub(crate) fn new() -> Self {
        Self::from(Records::new(), Time::from_millis(1_000_000))
    }

    pub(crate) fn from(records: Records, now: Time) -> Self {
        Self::with(Config::at(ME.parse().unwrap()), records, now)
    }

    pub(crate) fn with(config: Config, records: Records, now: Time) -> Self {
        let mut rng = Rng::from_number(7);
        let master = Master::new(config, &records, Now::new(now, &mut rng));
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
    pub(crate) fn step(&mut self, input: Input) {
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
                    Effect::Http(Http::SendAll { streams, event }) => {
                        self.events.extend(streams.into_iter().map(|stream| (stream, event.clone())));
                    }
                    Effect::Http(Http::Close { stream }) => self.closed.push(stream),
                    Effect::Send(envelope) => self.sent.push(*envelope),
                    Effect::Link(_) | Effect::Operator(_) | Effect::Dropped { .. } => {}
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

    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some((at, _)) = self.master.deadline().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            self.step(Input::Tick);
        }
        self.now = until;
        self.step(Input::Tick);
    }

    pub(crate) fn agent(&mut self, port: u16) -> Upid {
        let pid = Upid::new("slave(1)", format!("127.0.0.1:{port}").parse().unwrap());
        let register = internal::RegisterSlaveMessage {
            version: Some("1.11.0".to_owned()),
            slave: info(None),
            agent_capabilities: capable(&[]),
            ..Default::default()
        };
        self.agent_says(&pid, register);
        pid
    }

    pub(crate) fn agent_says(&mut self, pid: &Upid, message: impl Into<Message>) {
        self.agent_says_to("master", pid, message);
    }

    pub(crate) fn agent_says_to(&mut self, to: &str, pid: &Upid, message: impl Into<Message>) {
        let to = Upid::new(to, ME.parse().unwrap());
        self.step(Input::Message(Box::new(Envelope { from: pid.clone(), to, message: message.into() })));
    }

    pub(crate) fn request(&mut self, stream: Option<&str>, call: Call) -> RequestId {
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

    pub(crate) fn subscribe(&mut self, info: FrameworkInfo) -> Client {
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

    pub(crate) fn call(&mut self, client: &Client, kind: call::Type, fill: impl FnOnce(&mut Call)) -> Answer {
        let mut call = Call { framework_id: Some(client.id.clone()), ..Default::default() };
        call.set_type(kind);
        fill(&mut call);
        let request = self.request(Some(&client.uuid), call);
        self.answers.iter().rev().find(|(r, _)| *r == request).expect("an answer").1.clone()
    }

    /// Events of a stream since the last look, heartbeats left out.
    pub(crate) fn take(&mut self, stream: StreamId) -> Vec<Event> {
        let (own, other) = std::mem::take(&mut self.events).into_iter().partition(|(s, _)| *s == stream);
        self.events = other;
        let own: Vec<(StreamId, Event)> = own;
        own.into_iter().map(|(_, e)| e).filter(|e| e.r#type() != event::Type::Heartbeat).collect()
    }

    pub(crate) fn offers(&mut self, client: &Client) -> Vec<Offer> {
        self.take(client.stream).into_iter().filter_map(|e| e.offers).flat_map(|o| o.offers).collect()
    }

    pub(crate) fn updates(&mut self, client: &Client) -> Vec<TaskStatus> {
        self.take(client.stream).into_iter().filter_map(|e| e.update).map(|u| u.status).collect()
    }

    pub(crate) fn launch(&mut self, client: &Client, offer: &Offer, id: &str, cpus: f64) -> Answer {
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

    pub(crate) fn update(
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

    pub(crate) fn acknowledge(&mut self, client: &Client, agent: &AgentId, task: &str, uuid: u8) {
        let acknowledge = call::Acknowledge {
            agent_id: agent.clone(),
            task_id: TaskId { value: task.into() },
            uuid: vec![uuid; 16],
        };
        self.call(client, call::Type::Acknowledge, |call| call.acknowledge = Some(acknowledge));
    }
}

pub(crate) struct Client {
    pub(crate) stream: StreamId,
    pub(crate) uuid: String,
    pub(crate) id: FrameworkId,
}

pub(crate) fn info(id: Option<&AgentId>) -> AgentInfo {
    AgentInfo {
        hostname: "host".into(),
        id: id.cloned(),
        resources: Resources::scalars([("cpus", 4.0), ("mem", 1024.0)]).to_messages(),
        ..Default::default()
    }
}

pub(crate) fn aware(timeout: f64) -> FrameworkInfo {
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

pub(crate) fn cpus(offer: &Offer) -> f64 {
    Resources::from_messages(&offer.resources).unwrap().scalar("cpus")
}

pub(crate) fn full() -> FrameworkInfo {
    use framework_info::capability::Type as T;
    let caps = [T::PartitionAware, T::MultiRole, T::ReservationRefinement, T::SharedResources];
    let capabilities = caps.map(|t| framework_info::Capability { r#type: Some(t.into()) }).to_vec();
    FrameworkInfo { roles: vec!["web".into()], capabilities, ..aware(60.0) }
}

pub(crate) fn able_agent(w: &mut World, port: u16) -> Upid {
    use agent_info::capability::Type as T;
    let pid = Upid::new("slave(1)", format!("127.0.0.1:{port}").parse().unwrap());
    let caps = [
        T::MultiRole,
        T::HierarchicalRole,
        T::ReservationRefinement,
        T::ResourceProvider,
        T::ResizeVolume,
        T::AgentOperationFeedback,
        T::AgentDraining,
        T::TaskResourceLimits,
    ];
    let slave = AgentInfo {
        resources: Resources::parse("cpus:4;mem:1024;disk:1000", "*").unwrap().to_messages(),
        ..info(None)
    };
    let register = internal::RegisterSlaveMessage {
        version: Some("1.11.0".to_owned()),
        slave,
        agent_capabilities: caps.map(|t| agent_info::Capability { r#type: Some(t.into()) }).to_vec(),
        resource_version_uuid: Some(Uuid { value: vec![7; 16] }),
        ..Default::default()
    };
    w.agent_says(&pid, register);
    pid
}

pub(crate) fn accept(w: &mut World, client: &Client, offer: &Offer, operations: Vec<Operation>) {
    let offer_ids = vec![offer.id.clone()];
    let answer = w.call(client, call::Type::Accept, |call| {
        call.accept = Some(call::Accept { offer_ids, operations, filters: None });
    });
    assert_eq!(answer.status, 202);
}

pub(crate) fn text(resources: &[Resource]) -> String {
    Resources::from_messages(resources).unwrap().to_string()
}

/// What an agent says of the frameworks whose tasks it lists.
pub(crate) fn frameworks_of(tasks: &[model::mesos::Task]) -> Vec<FrameworkInfo> {
    let ids: std::collections::BTreeSet<_> =
        tasks.iter().map(|task| task.framework_id.value.clone()).collect();
    ids.into_iter().map(|value| FrameworkInfo { id: Some(FrameworkId { value }), ..aware(3600.0) }).collect()
}

/// The capabilities of an agent that knows of frameworks in several roles, and these.
pub(crate) fn capable(more: &[agent_info::capability::Type]) -> Vec<agent_info::Capability> {
    let several = [agent_info::capability::Type::MultiRole];
    several.iter().chain(more).map(|t| agent_info::Capability { r#type: Some((*t).into()) }).collect()
}

/// What an able agent of this id says of itself when it comes back, with these tasks.
pub(crate) fn returning(agent: &AgentId, tasks: Vec<model::mesos::Task>) -> internal::ReregisterSlaveMessage {
    let mut slave = AgentInfo { id: Some(agent.clone()), ..info(None) };
    slave.resources = Resources::parse("cpus:4;mem:1024;disk:1000", "*").unwrap().to_messages();
    internal::ReregisterSlaveMessage {
        version: Some("1.11.0".to_owned()),
        agent_capabilities: capable(&[]),
        slave,
        frameworks: frameworks_of(&tasks),
        tasks,
        ..Default::default()
    }
}
