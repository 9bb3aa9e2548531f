//! Operators at a master in virtual time: weights, quota, maintenance, agents switched off, drained and gone, the event
//! stream. The disk answers when the test says so.

use base::{Effects, Machine as _, Now, Rng, Time};
use master::{Config, Effect, Input, Master, OperatorCall, Told};
use model::{
    link::{Envelope, Message, Upid},
    mesos::{
        AgentId, AgentInfo, CommandInfo, DrainConfig, FrameworkId, FrameworkInfo, MachineId, Offer, TaskId,
        TaskInfo, TaskState, TaskStatus, TimeInfo, Unavailability, WeightInfo, agent_info, framework_info,
        internal,
        maintenance::{Schedule, Window},
        master::event,
        offer::{Operation, operation},
        quota::QuotaConfig,
        scheduler::{Call, Event, call},
        task_status::Reason,
        value::Scalar,
    },
    request::{Answer, Body, Codec, Http, RequestId, StreamId},
    resources::Resources,
    save::{Change, Records, SaveId},
};
use std::{sync::Arc, time::Duration};

const ME: &str = "127.0.0.1:5050";

/// What a stream is told, as a message.
fn event_of(told: Told) -> Arc<model::mesos::master::Event> {
    match told {
        Told::Everything(view) => Arc::new(view.subscribed()),
        Told::Event(event) => event,
    }
}

struct World {
    master: Master,
    records: Records,
    rng: Rng,
    now: Time,
    disk_waits: bool,
    waiting: Vec<(SaveId, Vec<Change>)>,
    events: Vec<(StreamId, Event)>,
    said: Vec<(StreamId, Arc<model::mesos::master::Event>)>,
    closed: Vec<StreamId>,
    sent: Vec<Envelope>,
    answers: Vec<(RequestId, Answer)>,
    requests: u64,
}

struct Client {
    stream: StreamId,
    uuid: String,
    id: FrameworkId,
}

fn config() -> Config {
    Config { operator_subscribers_max: 2, ..Config::at(ME.parse().unwrap()) }
}

impl World {
    fn new() -> Self {
        Self::from(Records::new(), Time::from_millis(1_000_000))
    }

    fn from(records: Records, now: Time) -> Self {
        let mut rng = Rng::from_number(7);
        let master = Master::new(config(), &records, Now::new(now, &mut rng));
        Self {
            master,
            records,
            rng,
            now,
            disk_waits: false,
            waiting: Vec::new(),
            events: Vec::new(),
            said: Vec::new(),
            closed: Vec::new(),
            sent: Vec::new(),
            answers: Vec::new(),
            requests: 0,
        }
    }

    fn step(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut out = Effects::default();
            self.master.step(Now::new(self.now, &mut self.rng), input, &mut out);
            self.master.check();
            for effect in out.drain() {
                match effect {
                    Effect::Http(Http::Reply { request, answer }) => self.answers.push((request, answer)),
                    Effect::Http(Http::Send { stream, event }) => self.events.push((stream, event)),
                    Effect::Operator(Http::Send { stream, event }) => {
                        self.said.push((stream, event_of(event)))
                    }
                    Effect::Operator(Http::SendAll { streams, event }) => {
                        let event = event_of(event);
                        self.said.extend(streams.into_iter().map(|stream| (stream, event.clone())));
                    }
                    Effect::Operator(Http::Close { stream }) => self.closed.push(stream),
                    Effect::Http(Http::Open { request, headers, .. }) => {
                        self.answers.push((request, Answer::text(200, headers[0].1.clone())));
                    }
                    Effect::Send(envelope) => self.sent.push(*envelope),
                    Effect::Save { save, batch } if self.disk_waits => self.waiting.push((save, batch)),
                    Effect::Save { save, batch } => {
                        self.write(batch);
                        inputs.push(Input::Saved { save });
                    }
                    _ => {}
                }
            }
        }
    }

    fn write(&mut self, batch: Vec<Change>) {
        for change in batch {
            match change {
                Change::Put { key, value } => self.records.insert(key, value),
                Change::Delete { key } => self.records.remove(&key),
            };
        }
    }

    /// The disk has written everything.
    fn disk(&mut self) {
        self.disk_waits = false;
        for (save, batch) in std::mem::take(&mut self.waiting) {
            self.write(batch);
            self.step(Input::Saved { save });
        }
    }

    fn ask(&mut self, call: OperatorCall) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.step(Input::Operator { request, call });
        request
    }

    fn answer(&self, request: RequestId) -> Option<(u16, String)> {
        let (_, answer) = self.answers.iter().rev().find(|(r, _)| *r == request)?;
        let text = match &answer.body {
            Body::Text(text) | Body::Json(text) => text.clone(),
            Body::Empty => String::new(),
        };
        Some((answer.status, text))
    }

    fn call(&mut self, call: OperatorCall) -> (u16, String) {
        let request = self.ask(call);
        self.answer(request).expect("an answer")
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some((at, _)) = self.master.deadline().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            self.step(Input::Tick);
        }
        self.now = until;
        self.step(Input::Tick);
    }

    fn agent_says(&mut self, pid: &Upid, message: impl Into<Message>) {
        let to = Upid::new("master", ME.parse().unwrap());
        self.step(Input::Message(Box::new(Envelope { from: pid.clone(), to, message: message.into() })));
    }

    fn agent(&mut self, port: u16) -> (Upid, AgentId) {
        let pid = Upid::new("slave(1)", format!("127.0.0.1:{port}").parse().unwrap());
        let slave = AgentInfo {
            hostname: "host".into(),
            resources: Resources::scalars([("cpus", 4.0), ("mem", 1024.0)]).to_messages(),
            ..Default::default()
        };
        let drains = agent_info::capability::Type::AgentDraining;
        let register = internal::RegisterSlaveMessage {
            version: Some("1.11.0".to_owned()),
            slave,
            agent_capabilities: [agent_info::capability::Type::MultiRole, drains]
                .map(|t| agent_info::Capability { r#type: Some(t.into()) })
                .to_vec(),
            ..Default::default()
        };
        self.agent_says(&pid, register);
        let found = self.master.agents().iter().find(|(_, agent)| agent.pid == pid);
        let id = AgentId { value: found.expect("it registered").0.clone() };
        (pid, id)
    }

    fn scheduler(&mut self, stream_id: Option<&str>, call: Call) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        let stream_id = stream_id.map(str::to_owned);
        self.step(Input::Scheduler { request, accept: Codec::Json, stream_id, call: Box::new(call) });
        request
    }

    fn framework(&mut self, roles: &[&str]) -> Client {
        use framework_info::capability::Type;
        let mut info = FrameworkInfo { user: "u".into(), name: "n".into(), ..Default::default() };
        info.failover_timeout = Some(3600.0);
        info.roles = roles.iter().map(|r| (*r).to_owned()).collect();
        info.capabilities = [Type::MultiRole, Type::PartitionAware]
            .map(|t| framework_info::Capability { r#type: Some(t.into()) })
            .into();
        let subscribe = call::Subscribe { framework_info: info, ..Default::default() };
        let mut call = Call { subscribe: Some(subscribe), ..Default::default() };
        call.set_type(call::Type::Subscribe);
        let request = self.scheduler(None, call);
        let (_, uuid) = self.answer(request).expect("the stream opens");
        let stream = StreamId(request.0);
        let subscribed =
            self.events.iter().find_map(|(s, e)| (*s == stream).then_some(e.subscribed.as_ref())?);
        let id = subscribed.expect("SUBSCRIBED").framework_id.clone();
        Client { stream, uuid, id }
    }

    fn offers(&mut self, client: &Client) -> Vec<Offer> {
        let (own, other): (Vec<_>, Vec<_>) = std::mem::take(&mut self.events)
            .into_iter()
            .partition(|(s, e)| *s == client.stream && e.offers.is_some());
        self.events = other;
        own.into_iter().filter_map(|(_, e)| e.offers).flat_map(|o| o.offers).collect()
    }

    fn rescinded(&self, offer: &Offer) -> bool {
        self.events.iter().any(|(_, e)| e.rescind.as_ref().is_some_and(|r| r.offer_id == offer.id))
    }

    fn launch(&mut self, client: &Client, offer: &Offer, id: &str) {
        let mut resources = Resources::scalars([("cpus", 1.0), ("mem", 32.0)]).to_messages();
        for resource in &mut resources {
            resource.allocation_info = offer
                .allocation_info
                .clone()
                .map(|a| model::mesos::resource::AllocationInfo { role: a.role });
        }
        let task = TaskInfo {
            name: id.into(),
            task_id: TaskId { value: id.into() },
            agent_id: offer.agent_id.clone(),
            resources,
            command: Some(CommandInfo { value: Some("true".into()), ..Default::default() }),
            ..Default::default()
        };
        let mut launch =
            Operation { launch: Some(operation::Launch { task_infos: vec![task] }), ..Default::default() };
        launch.set_type(operation::Type::Launch);
        let accept =
            call::Accept { offer_ids: vec![offer.id.clone()], operations: vec![launch], filters: None };
        let mut call =
            Call { framework_id: Some(client.id.clone()), accept: Some(accept), ..Default::default() };
        call.set_type(call::Type::Accept);
        let request = self.scheduler(Some(&client.uuid), call);
        assert_eq!(self.answer(request).expect("an answer").0, 202);
    }

    fn update(
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
        let update = internal::StatusUpdate {
            framework_id: client.id.clone(),
            slave_id: Some(agent.clone()),
            uuid: Some(vec![uuid; 16]),
            status,
            ..Default::default()
        };
        self.agent_says(pid, internal::StatusUpdateMessage { update, ..Default::default() });
    }

    fn acknowledge(&mut self, client: &Client, agent: &AgentId, task: &str, uuid: u8) {
        let acknowledge = call::Acknowledge {
            agent_id: agent.clone(),
            task_id: TaskId { value: task.into() },
            uuid: vec![uuid; 16],
        };
        let mut call = Call {
            framework_id: Some(client.id.clone()),
            acknowledge: Some(acknowledge),
            ..Default::default()
        };
        call.set_type(call::Type::Acknowledge);
        self.scheduler(Some(&client.uuid), call);
    }

    fn told(&self, name: &str) -> usize {
        self.sent.iter().filter(|e| e.message.name().ends_with(name)).count()
    }
}

fn weight(role: &str, weight: f64) -> WeightInfo {
    WeightInfo { role: Some(role.into()), weight }
}

fn limit(role: &str, cpus: f64) -> QuotaConfig {
    let mut config = QuotaConfig { role: role.into(), ..Default::default() };
    config.limits.insert("cpus".into(), Scalar { value: cpus });
    config
}

fn machine() -> MachineId {
    MachineId { hostname: Some("HOST".into()), ip: Some("127.0.0.1".into()) }
}

fn schedule() -> Schedule {
    let start = TimeInfo { nanoseconds: 2_000_000_000_000 };
    let unavailability = Unavailability { start, duration: None };
    Schedule { windows: vec![Window { machine_ids: vec![machine()], unavailability }] }
}

#[test]
fn a_decision_is_said_when_it_is_durable_and_survives_a_restart() {
    let mut world = World::new();
    let (_, agent) = world.agent(5051);
    world.disk_waits = true;
    let first = world.ask(OperatorCall::UpdateWeights(vec![weight("a", 2.0)]));
    let second = world.ask(OperatorCall::UpdateQuota { force: false, configs: vec![limit("a", 1.0)] });
    let third = world.ask(OperatorCall::Deactivate(agent.value.clone()));
    let fourth = world.ask(OperatorCall::UpdateSchedule(schedule()));
    assert!([first, second, third, fourth].iter().all(|r| world.answer(*r).is_none()), "not durable yet");
    assert_eq!(world.master.policy().weight("a"), 1.0, "and so it does not count yet");
    assert_eq!(world.waiting.len(), 1, "calls are decided one after another");
    world.disk();
    for request in [first, second, third, fourth] {
        assert_eq!(world.answer(request), Some((200, String::new())));
    }
    let again = World::from(world.records.clone(), world.now);
    let policy = again.master.policy();
    assert_eq!(again.master.policy().weight("a"), 2.0);
    assert_eq!(policy.quotas["a"], limit("a", 1.0));
    assert!(policy.is_deactivated(&agent.value));
    assert_eq!(policy.schedule, schedule());
}

#[test]
fn two_calls_that_do_not_go_together_cannot_both_pass() {
    let mut world = World::new();
    assert_eq!(world.call(OperatorCall::UpdateSchedule(schedule())).0, 200);
    world.disk_waits = true;
    let first = world.ask(OperatorCall::StartMaintenance(vec![machine()]));
    let second = world.ask(OperatorCall::StartMaintenance(vec![machine()]));
    world.disk();
    assert_eq!(world.answer(first), Some((200, String::new())));
    let (status, why) = world.answer(second).expect("an answer");
    assert_eq!(status, 400);
    assert!(why.ends_with("is not in DRAINING mode and cannot be brought down"), "{why}");
    assert_eq!(world.master.policy().down.len(), 1);
}

#[test]
fn what_the_store_refuses_is_answered_and_changes_nothing() {
    let mut world = World::new();
    world.disk_waits = true;
    let first = world.ask(OperatorCall::UpdateWeights(vec![weight("a", 2.0)]));
    let second = world.ask(OperatorCall::UpdateWeights(vec![weight("b", 3.0)]));
    let (save, _) = world.waiting.remove(0);
    world.disk_waits = false;
    world.step(Input::SaveFailed { save, why: "full".into() });
    let (status, why) = world.answer(first).expect("an answer");
    assert_eq!((status, why.contains("full")), (503, true), "{why}");
    assert_eq!(world.answer(second), Some((200, String::new())), "the next one is decided all the same");
    assert_eq!((world.master.policy().weight("a"), world.master.policy().weight("b")), (1.0, 3.0));
}

#[test]
fn no_offers_of_a_deactivated_agent_until_it_is_reactivated() {
    let mut world = World::new();
    let (_, agent) = world.agent(5051);
    let client = world.framework(&["r"]);
    let offer = world.offers(&client).pop().expect("an offer");
    assert_eq!(world.call(OperatorCall::Deactivate("nope".into())), (400, "Unknown agent".into()));
    let idle = (400, "Agent is not deactivated".to_owned());
    assert_eq!(world.call(OperatorCall::Reactivate(agent.value.clone())), idle);
    assert_eq!(world.call(OperatorCall::Deactivate(agent.value.clone())), (200, String::new()));
    assert!(world.rescinded(&offer));
    world.pass(Duration::from_secs(30));
    assert_eq!(world.offers(&client).len(), 0);
    assert_eq!(world.call(OperatorCall::Reactivate(agent.value)), (200, String::new()));
    assert_eq!(world.offers(&client).len(), 1);
}

#[test]
fn a_drained_agent_ends_its_tasks_first_and_is_gone_if_asked() {
    for gone in [false, true] {
        let mut world = World::new();
        let (pid, agent) = world.agent(5051);
        let client = world.framework(&["r"]);
        let offer = world.offers(&client).pop().expect("an offer");
        world.launch(&client, &offer, "t");
        world.update(&pid, &client, &agent, "t", TaskState::TaskRunning, 1);
        let config = DrainConfig { max_grace_period: None, mark_gone: Some(gone) };
        assert_eq!(world.call(OperatorCall::Drain { agent: agent.value.clone(), config }).0, 200);
        assert_eq!(world.told("DrainSlaveMessage"), 1);
        assert!(world.master.policy().is_draining(&agent.value));
        let why = (400, "Agent is still in the DRAINING state".to_owned());
        assert_eq!(world.call(OperatorCall::Reactivate(agent.value.clone())), why);
        world.update(&pid, &client, &agent, "t", TaskState::TaskKilled, 2);
        assert!(world.master.policy().is_draining(&agent.value), "its end is not acknowledged");
        world.acknowledge(&client, &agent, "t", 2);
        if gone {
            assert!(world.master.agents().is_empty());
            assert_eq!(world.told("ShutdownMessage"), 1);
            assert!(
                World::from(world.records.clone(), world.now).master.policy().gone.contains_key(&agent.value)
            );
        } else {
            assert!(!world.master.policy().is_draining(&agent.value));
            assert!(world.master.policy().is_deactivated(&agent.value), "drained is still switched off");
            assert_eq!(world.call(OperatorCall::Reactivate(agent.value)).0, 200);
            assert!(world.master.policy().draining.is_empty());
        }
    }
}

#[test]
fn an_agent_that_is_gone_never_comes_back() {
    let mut world = World::new();
    let (pid, agent) = world.agent(5051);
    let client = world.framework(&["r"]);
    let offer = world.offers(&client).pop().expect("an offer");
    world.launch(&client, &offer, "t");
    let unknown = (404, "Agent 'x' not found".to_owned());
    assert_eq!(world.call(OperatorCall::MarkGone("x".into())), unknown);
    assert_eq!(world.call(OperatorCall::MarkGone(agent.value.clone())), (200, String::new()));
    let status = world.events.iter().find_map(|(_, e)| e.update.as_ref()).expect("an update").status.clone();
    assert_eq!(status.state(), TaskState::TaskGoneByOperator);
    assert_eq!(status.reason(), Reason::AgentRemovedByOperator);
    assert_eq!(world.call(OperatorCall::MarkGone(agent.value.clone())), (200, String::new()), "again");
    let info = AgentInfo { id: Some(agent), hostname: "host".into(), ..Default::default() };
    let back = internal::ReregisterSlaveMessage {
        version: Some("1.11.0".to_owned()),
        slave: info,
        ..Default::default()
    };
    let before = world.told("ShutdownMessage");
    world.agent_says(&pid, back);
    assert_eq!(world.told("ShutdownMessage"), before + 1);
    assert!(world.master.agents().is_empty());
}

#[test]
fn a_machine_that_is_down_is_turned_away_and_offers_say_when_it_will_be() {
    let mut world = World::new();
    let (pid, _) = world.agent(5051);
    let client = world.framework(&["r"]);
    let offer = world.offers(&client).pop().expect("an offer");
    assert_eq!(offer.unavailability, None);
    assert_eq!(world.call(OperatorCall::UpdateSchedule(schedule())).0, 200);
    assert!(world.rescinded(&offer));
    let offer = world.offers(&client).pop().expect("the offer is made again");
    assert_eq!(offer.unavailability, Some(schedule().windows[0].unavailability));
    assert_eq!(world.master.maintenance_status().draining_machines.len(), 1);
    assert_eq!(world.call(OperatorCall::StartMaintenance(vec![machine()])).0, 200);
    assert!(world.master.agents().is_empty());
    let before = world.told("ShutdownMessage");
    let slave = AgentInfo { hostname: "host".into(), ..Default::default() };
    world.agent_says(
        &pid,
        internal::RegisterSlaveMessage { version: Some("1.11.0".to_owned()), slave, ..Default::default() },
    );
    assert_eq!(world.told("ShutdownMessage"), before + 1);
    assert_eq!(world.call(OperatorCall::UpdateSchedule(Schedule::default())).0, 400, "it is down");
    assert_eq!(world.call(OperatorCall::StopMaintenance(vec![machine()])).0, 200);
    world.agent(5051);
    assert_eq!(world.master.agents().len(), 1);
    assert_eq!(world.master.policy().schedule, Schedule::default());
}

#[test]
fn wrong_quotas_and_weights_are_refused_with_upstreams_words() {
    let mut world = World::new();
    world.agent(5051);
    let mut asked = limit("a/b", 1.0);
    let nested = (400, "Updating quota on nested role 'a/b' is not supported yet".to_owned());
    assert_eq!(world.call(OperatorCall::UpdateQuota { force: false, configs: vec![asked.clone()] }), nested);
    asked.role = "a".into();
    asked.guarantees.insert("cpus".into(), Scalar { value: 2.0 });
    let more = "Invalid QuotaConfig: 'QuotaConfig.guarantees' { cpus: 2 } is not contained within the \
                'QuotaConfig.limits' { cpus: 1 }";
    let call = OperatorCall::UpdateQuota { force: false, configs: vec![asked] };
    assert_eq!(world.call(call), (400, more.to_owned()));
    let none = (400, "Failed to remove quota: Role 'a' has no quota set".to_owned());
    assert_eq!(world.call(OperatorCall::RemoveQuota { role: "a".into(), path: None }), none);
    let zero = "Failed to validate update weights request JSON for role 'a': Invalid weight '0': Weights must be positive";
    assert_eq!(world.call(OperatorCall::UpdateWeights(vec![weight("a", 0.0)])), (400, zero.to_owned()));
    assert_eq!(world.call(OperatorCall::UpdateWeights(Vec::new())), (200, String::new()));
    assert!(world.records.keys().all(|key| !key.starts_with("quota/") && !key.starts_with("weights/")));
}

#[test]
fn the_event_stream_begins_with_all_there_is_and_goes_on_with_what_happens() {
    let mut world = World::new();
    let request = world.ask(OperatorCall::Subscribe(Codec::Json));
    let stream = StreamId(request.0);
    let first = world.said.remove(0).1;
    let state = first.subscribed.as_ref().and_then(|s| s.get_state.as_ref()).expect("a snapshot");
    assert_eq!(state.get_agents.as_ref().map(|a| a.agents.len()), Some(0));
    assert_eq!(world.said.remove(0).1.r#type(), event::Type::Heartbeat);
    let (pid, agent) = world.agent(5051);
    let client = world.framework(&["r"]);
    let offer = world.offers(&client).pop().expect("an offer");
    world.launch(&client, &offer, "t");
    world.update(&pid, &client, &agent, "t", TaskState::TaskRunning, 1);
    world.update(&pid, &client, &agent, "t", TaskState::TaskRunning, 1);
    world.step(Input::Teardown { request: RequestId(9999), framework_id: client.id.value.clone() });
    let leave = internal::UnregisterSlaveMessage { slave_id: agent };
    world.agent_says(&pid, leave);
    let kinds: Vec<_> = world.said.drain(..).map(|(_, e)| e.r#type()).collect();
    use event::Type as Is;
    let wanted = [
        Is::AgentAdded,
        Is::FrameworkAdded,
        Is::TaskAdded,
        Is::TaskUpdated,
        Is::TaskUpdated,
        Is::FrameworkRemoved,
        Is::AgentRemoved,
    ];
    assert_eq!(kinds, wanted, "a repeated update is none");
    world.pass(Duration::from_secs(40));
    assert_eq!(world.said.len(), 2, "two heartbeats in 40 seconds");
    for _ in 0..2 {
        world.ask(OperatorCall::Subscribe(Codec::Protobuf));
    }
    assert_eq!(world.closed, [stream], "the oldest goes when there are too many");
    assert_eq!(world.master.subscribers().len(), 2);
}
