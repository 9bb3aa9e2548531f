//! The life of frameworks, agents and tasks, driven by hand in virtual time; every invariant after every step.

use base::{Duration, Effects, Machine, Now, Rng, Time};
use master::{Config, Effect, Input, Master};
use model::{
    link::{Envelope, Message, Upid},
    mesos::{
        AgentId, AgentInfo, CommandInfo, ExecutorId, FrameworkId, FrameworkInfo, Offer, OfferId, TaskId,
        TaskInfo, TaskState, TaskStatus, framework_info, internal,
        offer::{Operation, operation},
        scheduler::{Call, Event, call, event},
        task_status::Reason,
    },
    request::{Answer, Codec, Http, RequestId, StreamId},
    resources::Resources,
    save::{Change, Records},
};

struct World {
    master: Master,
    records: Records,
    rng: Rng,
    now: Time,
    events: Vec<(StreamId, Event)>,
    sent: Vec<Envelope>,
    answers: Vec<(RequestId, Answer)>,
    streams: Vec<(StreamId, String)>,
    closed: Vec<StreamId>,
    requests: u64,
    disk_full: bool,
}

const ME: &str = "127.0.0.1:5050";

impl World {
    fn new() -> Self {
        Self::from(Records::new(), Time::from_millis(1_000_000))
    }

    fn from(records: Records, now: Time) -> Self {
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
    fn step(&mut self, input: Input) {
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

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some((at, _)) = self.master.deadline().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            self.step(Input::Tick);
        }
        self.now = until;
        self.step(Input::Tick);
    }

    fn agent(&mut self, port: u16) -> Upid {
        let pid = Upid::new("slave(1)", format!("127.0.0.1:{port}").parse().unwrap());
        let register = internal::RegisterSlaveMessage { slave: info(None), ..Default::default() };
        self.agent_says(&pid, register);
        pid
    }

    fn agent_says(&mut self, pid: &Upid, message: impl Into<Message>) {
        self.agent_says_to("master", pid, message);
    }

    fn agent_says_to(&mut self, to: &str, pid: &Upid, message: impl Into<Message>) {
        let to = Upid::new(to, ME.parse().unwrap());
        self.step(Input::Message(Box::new(Envelope { from: pid.clone(), to, message: message.into() })));
    }

    fn request(&mut self, stream: Option<&str>, call: Call) -> RequestId {
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

    fn subscribe(&mut self, info: FrameworkInfo) -> Client {
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

    fn call(&mut self, client: &Client, kind: call::Type, fill: impl FnOnce(&mut Call)) -> Answer {
        let mut call = Call { framework_id: Some(client.id.clone()), ..Default::default() };
        call.set_type(kind);
        fill(&mut call);
        let request = self.request(Some(&client.uuid), call);
        self.answers.iter().rev().find(|(r, _)| *r == request).expect("an answer").1.clone()
    }

    /// Events of a stream since the last look, heartbeats left out.
    fn take(&mut self, stream: StreamId) -> Vec<Event> {
        let (own, other) = std::mem::take(&mut self.events).into_iter().partition(|(s, _)| *s == stream);
        self.events = other;
        let own: Vec<(StreamId, Event)> = own;
        own.into_iter().map(|(_, e)| e).filter(|e| e.r#type() != event::Type::Heartbeat).collect()
    }

    fn offers(&mut self, client: &Client) -> Vec<Offer> {
        self.take(client.stream).into_iter().filter_map(|e| e.offers).flat_map(|o| o.offers).collect()
    }

    fn updates(&mut self, client: &Client) -> Vec<TaskStatus> {
        self.take(client.stream).into_iter().filter_map(|e| e.update).map(|u| u.status).collect()
    }

    fn launch(&mut self, client: &Client, offer: &Offer, id: &str, cpus: f64) -> Answer {
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

    fn acknowledge(&mut self, client: &Client, agent: &AgentId, task: &str, uuid: u8) {
        let acknowledge = call::Acknowledge {
            agent_id: agent.clone(),
            task_id: TaskId { value: task.into() },
            uuid: vec![uuid; 16],
        };
        self.call(client, call::Type::Acknowledge, |call| call.acknowledge = Some(acknowledge));
    }
}

struct Client {
    stream: StreamId,
    uuid: String,
    id: FrameworkId,
}

fn info(id: Option<&AgentId>) -> AgentInfo {
    AgentInfo {
        hostname: "host".into(),
        id: id.cloned(),
        resources: Resources::scalars([("cpus", 4.0), ("mem", 1024.0)]).to_messages(),
        ..Default::default()
    }
}

fn aware(timeout: f64) -> FrameworkInfo {
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

fn cpus(offer: &Offer) -> f64 {
    Resources::from_messages(&offer.resources).unwrap().scalar("cpus")
}

#[test]
fn a_task_runs_and_its_resources_come_back_at_once() {
    let mut w = World::new();
    let pid = w.agent(5051);
    let client = w.subscribe(aware(60.0));
    assert!(w.streams.len() == 1 && client.id.value.ends_with("-0000"));
    let offers = w.offers(&client);
    assert_eq!((offers.len(), cpus(&offers[0])), (1, 4.0));
    let agent = offers[0].agent_id.clone();
    assert_eq!(w.launch(&client, &offers[0], "t", 1.0).status, 202);
    assert!(matches!(w.sent.last().unwrap().message, Message::RunTaskMessage(_)));
    let rest = w.offers(&client);
    assert_eq!(rest.iter().map(cpus).collect::<Vec<_>>(), [3.0], "the rest is offered in the same step");

    w.update(&pid, &client, &agent, "t", TaskState::TaskRunning, 0x40);
    assert_eq!(w.updates(&client)[0].uuid.as_deref(), Some(&[0x40; 16][..]));
    w.acknowledge(&client, &agent, "t", 0x40);
    assert!(matches!(w.sent.last().unwrap().message, Message::StatusUpdateAcknowledgementMessage(_)));
    w.update(&pid, &client, &agent, "t", TaskState::TaskFinished, 0x41);
    let events = w.take(client.stream);
    let again: Vec<_> =
        events.iter().filter_map(|e| e.offers.as_ref()).flat_map(|o| &o.offers).map(cpus).collect();
    assert_eq!(again, [1.0], "a terminal update frees before it is acknowledged");
    assert_eq!(w.master.frameworks()[&client.id.value].tasks.len(), 1);
    w.acknowledge(&client, &agent, "t", 0x41);
    let framework = &w.master.frameworks()[&client.id.value];
    assert_eq!((framework.tasks.len(), framework.completed_tasks.len()), (0, 1));
}

#[test]
fn what_is_declined_stays_away_as_long_as_asked() {
    let mut w = World::new();
    w.agent(5051);
    let client = w.subscribe(aware(60.0));
    let offer = w.offers(&client).remove(0);
    w.call(&client, call::Type::Decline, |call| {
        let filters = Some(model::mesos::Filters { refuse_seconds: Some(30.0) });
        call.decline = Some(call::Decline { offer_ids: vec![offer.id.clone()], filters });
    });
    w.pass(Duration::from_secs(29));
    assert_eq!(w.offers(&client).len(), 0);
    w.pass(Duration::from_secs(2));
    assert_eq!(w.offers(&client).len(), 1);
}

#[test]
fn calls_are_refused_in_upstreams_order() {
    let mut w = World::new();
    let client = w.subscribe(aware(60.0));
    let mut revive = Call { framework_id: Some(FrameworkId { value: "x".into() }), ..Default::default() };
    revive.set_type(call::Type::Revive);
    w.request(None, revive.clone());
    assert_eq!(w.answers.last().unwrap().1, Answer::text(400, "Framework cannot be found"));
    revive.framework_id = Some(client.id.clone());
    w.request(None, revive.clone());
    assert!(matches!(&w.answers.last().unwrap().1, a if a.status == 400), "no stream id");
    w.request(Some("nope"), revive.clone());
    assert!(matches!(&w.answers.last().unwrap().1, a if a.status == 400), "a wrong stream id");
    w.request(Some(&client.uuid), revive.clone());
    assert_eq!(w.answers.last().unwrap().1, Answer::accepted());
    w.step(Input::StreamClosed { stream: client.stream });
    w.request(Some(&client.uuid), revive);
    assert_eq!(w.answers.last().unwrap().1, Answer::text(403, "Framework is not subscribed"));
}

#[test]
fn a_framework_fails_over_and_ends_when_it_stays_away() {
    let mut w = World::new();
    let pid = w.agent(5051);
    let client = w.subscribe(aware(60.0));
    let offer = w.offers(&client).remove(0);
    w.launch(&client, &offer, "t", 1.0);
    w.update(&pid, &client, &offer.agent_id, "t", TaskState::TaskRunning, 0x40);
    let mut again = aware(60.0);
    again.id = Some(client.id.clone());
    w.take(client.stream);
    let second = w.subscribe(again.clone());
    let told = w.take(client.stream);
    assert_eq!(told.last().unwrap().error.as_ref().unwrap().message, "Framework failed over");
    assert!(w.closed.contains(&client.stream));
    assert_eq!(w.master.frameworks()[&client.id.value].tasks.len(), 1, "tasks are kept");
    w.step(Input::StreamClosed { stream: second.stream });
    w.pass(Duration::from_secs(59));
    assert_eq!(w.master.frameworks().len(), 1);
    w.pass(Duration::from_secs(2));
    assert_eq!((w.master.frameworks().len(), w.master.completed_frameworks().len()), (0, 1));
    assert!(w.sent.iter().any(|e| matches!(e.message, Message::ShutdownFrameworkMessage(_))));
    let third = w.subscribe(again);
    let told = w.take(third.stream);
    assert_eq!(told[0].error.as_ref().unwrap().message, "Framework has been removed");
    assert!(w.closed.contains(&third.stream), "an ended framework never comes back");
}

#[test]
fn an_unreachable_agent_comes_back_with_its_task() {
    let mut w = World::new();
    let pid = w.agent(5051);
    let client = w.subscribe(aware(3600.0));
    let offer = w.offers(&client).remove(0);
    w.launch(&client, &offer, "t", 1.0);
    w.update(&pid, &client, &offer.agent_id, "t", TaskState::TaskRunning, 0x40);
    w.take(client.stream);
    let task = w.master.frameworks()[&client.id.value].tasks["t"].clone();
    w.pass(Duration::from_secs(100));
    let lost = w.updates(&client);
    assert_eq!(lost.len(), 1);
    assert_eq!((lost[0].state(), lost[0].reason()), (TaskState::TaskUnreachable, Reason::AgentRemoved));
    assert!(lost[0].uuid.is_none() && w.master.agents().is_empty());
    let back = internal::ReregisterSlaveMessage {
        slave: info(Some(&offer.agent_id)),
        tasks: vec![task],
        ..Default::default()
    };
    w.agent_says(&pid, back);
    let back = w.updates(&client);
    assert_eq!((back[0].state(), back[0].reason()), (TaskState::TaskRunning, Reason::AgentReregistered));
    assert!(w.sent.iter().any(|e| matches!(e.message, Message::SlaveReregisteredMessage(_))));
}

#[test]
fn pongs_keep_an_agent_and_forged_ones_do_not() {
    let mut w = World::new();
    let pid = w.agent(5051);
    for _ in 0..20 {
        w.pass(Duration::from_secs(15));
        let ping = w.sent.iter().rev().find(|e| matches!(e.message, Message::PingSlaveMessage(_))).unwrap();
        let observer = ping.from.id.clone();
        w.agent_says_to(&observer, &pid, internal::PongSlaveMessage::default());
    }
    assert_eq!(w.master.agents().len(), 1);
    let forger = Upid::new("slave(1)", "127.0.0.1:9999".parse().unwrap());
    for _ in 0..10 {
        w.pass(Duration::from_secs(15));
        let observer = w.sent.last().unwrap().from.id.clone();
        w.agent_says_to(&observer, &forger, internal::PongSlaveMessage::default());
    }
    assert_eq!(w.master.agents().len(), 0);
}

#[test]
fn a_restarted_master_learns_tasks_from_agents_and_keeps_frameworks() {
    let mut w = World::new();
    let pid = w.agent(5051);
    let client = w.subscribe(aware(3600.0));
    let offer = w.offers(&client).remove(0);
    w.launch(&client, &offer, "t", 1.5);
    w.update(&pid, &client, &offer.agent_id, "t", TaskState::TaskRunning, 0x40);
    let task = w.master.frameworks()[&client.id.value].tasks["t"].clone();

    let mut w = World::from(w.records, w.now + Duration::from_secs(1));
    assert_eq!((w.master.recovering().len(), w.master.frameworks().len()), (1, 1));
    let mut again = aware(3600.0);
    again.id = Some(client.id.clone());
    let client = w.subscribe(again);
    let asked = call::reconcile::Task {
        task_id: TaskId { value: "t".into() },
        agent_id: Some(offer.agent_id.clone()),
    };
    w.call(&client, call::Type::Reconcile, |c| {
        c.reconcile = Some(call::Reconcile { tasks: vec![asked.clone()] })
    });
    assert_eq!(w.updates(&client).len(), 0, "no answer while the agent is still expected");
    let back = internal::ReregisterSlaveMessage {
        slave: info(Some(&offer.agent_id)),
        tasks: vec![task],
        ..Default::default()
    };
    w.agent_says(&pid, back);
    let rest: Vec<_> = w.offers(&client).iter().map(cpus).collect();
    assert_eq!(rest, [2.5], "what the task uses is not offered");
    w.call(&client, call::Type::Reconcile, |c| c.reconcile = Some(call::Reconcile { tasks: vec![asked] }));
    let latest = w.updates(&client);
    assert_eq!((latest[0].state(), latest[0].reason()), (TaskState::TaskRunning, Reason::Reconciliation));
    let gone =
        call::reconcile::Task { task_id: TaskId { value: "no".into() }, agent_id: Some(offer.agent_id) };
    w.call(&client, call::Type::Reconcile, |c| c.reconcile = Some(call::Reconcile { tasks: vec![gone] }));
    assert_eq!(w.updates(&client)[0].state(), TaskState::TaskGone);
}

#[test]
fn tasks_that_may_not_run_are_refused_with_the_reason() {
    let mut w = World::new();
    w.agent(5051);
    let client = w.subscribe(aware(60.0));
    let offer = w.offers(&client).remove(0);
    w.launch(&client, &offer, "big", 100.0);
    let update = w.updates(&client).remove(0);
    assert_eq!((update.state(), update.reason()), (TaskState::TaskError, Reason::TaskInvalid));
    assert!(update.message().contains("is more than available cpus(allocated: *):4; mem(allocated: *):1024"), "{}", update.message());
    let mut stale = offer;
    stale.id = OfferId { value: "gone".into() };
    w.launch(&client, &stale, "late", 1.0);
    let update = w.updates(&client).remove(0);
    assert_eq!((update.state(), update.reason()), (TaskState::TaskDropped, Reason::InvalidOffers));
    assert_eq!(update.message(), "Task launched with invalid offers: Offer gone is no longer valid");
    let invalid = w.subscribe(FrameworkInfo { role: Some("a/..".into()), ..aware(1.0) });
    assert!(invalid.id.value.is_empty() && w.closed.contains(&invalid.stream));
}

#[test]
fn what_the_master_decides_is_said_only_when_it_is_durable() {
    let mut w = World::new();
    let pid = w.agent(5051);
    let client = w.subscribe(aware(100.0));
    w.disk_full = true;
    let slave_id = w.offers(&client)[0].agent_id.clone();
    w.agent_says(&pid, internal::UnregisterSlaveMessage { slave_id });
    let failures = |events: &[(StreamId, Event)]| events.iter().filter(|(_, e)| e.failure.is_some()).count();
    w.pass(Duration::from_secs(30));
    assert_eq!(failures(&w.events), 0, "nobody hears of what a crash could undo");
    assert!(w.records.keys().any(|k| k.starts_with("agents/")));
    w.disk_full = false;
    w.pass(Duration::from_secs(2));
    assert_eq!(failures(&w.events), 1);
    assert!(!w.records.keys().any(|k| k.starts_with("agents/")));
    w.disk_full = true;
    w.requests += 1;
    let request = RequestId(w.requests);
    w.step(Input::Teardown { request, framework_id: client.id.value.clone() });
    let answer = w.answers.iter().find(|(r, _)| *r == request).expect("an answer at once").1.clone();
    assert_eq!(answer.status, 503);
    w.disk_full = false;
    w.pass(Duration::from_secs(2));
    assert!(w.records.contains_key(&format!("completed/{}", client.id.value)), "{:?}", w.records.keys());
}
