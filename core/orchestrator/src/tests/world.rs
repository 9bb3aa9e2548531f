//! A world for one orchestrator: a store, a master with agents, and tasks that do as they are told.

use crate::{Client, Command, Config, Effect, Input, Orchestrator};
use base::{Duration, Effects, Machine, Now, Rng, Time};
use model::{
    container::{Probe, Probed},
    mesos::{
        AgentId, FrameworkId, Offer, OfferId, Resource, TaskId, TaskInfo, TaskState, TaskStatus, TimeInfo,
        offer, resource,
        scheduler::{Event, call, event},
        task_status::Reason,
    },
    request::{Answer, Body, Http, RequestId},
    resources::{Format, Resources},
    save::{Change, Records},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const UUID: &[u8] = b"0123456789abcdef";

struct Running {
    info: TaskInfo,
    state: TaskState,
}

pub struct World {
    machine: Orchestrator,
    records: Records,
    rng: Rng,
    time: Time,
    agents: usize,
    free: Vec<Resources>,
    offered: BTreeMap<String, (usize, Resources)>,
    filtered: BTreeMap<usize, Time>,
    suppressed: bool,
    next: u64,
    tasks: BTreeMap<String, Running>,
    /// By task: all tasks of its group, and their executor.
    groups: BTreeMap<String, (Vec<String>, model::mesos::ExecutorInfo)>,
    inputs: VecDeque<Input>,
    answers: BTreeMap<RequestId, Answer>,
    events: Vec<String>,
    /// What was said with each event.
    pub said: Vec<(String, serde_json::Value)>,
    saves: u64,
    crash_at: Option<u64>,
    connected: bool,
    /// Tasks that fail their health checks.
    pub sick: BTreeSet<String>,
    /// Whether all fail their health checks.
    pub all_sick: bool,
    /// Commands that fail at once.
    pub broken: BTreeSet<String>,
    /// Whether tasks do not get beyond being taken.
    pub slow: bool,
    /// Where there are some, all but these fail their health checks.
    pub all_new_sick: BTreeSet<String>,
    /// Whether all say that they are not ready.
    pub unready: bool,
    /// For which role everything is offered.
    pub role: String,
    /// Agents that offer nothing.
    pub away: BTreeSet<usize>,
    /// What is odd about all offers: `region`, `maintenance` or `gpus`.
    pub odd_offers: Option<&'static str>,
    /// Whether tasks with a health check by Mesos are said to be healthy at once.
    pub well: bool,
    /// The roles that the master was told last.
    pub roles: Vec<String>,
    /// The last event that the next listener heard.
    pub after: Option<String>,
    /// Ids of the events that were said.
    pub ids: Vec<Option<String>>,
    /// Seconds of processor time that each task uses in a second.
    pub burn: f64,
    burnt: f64,
    /// What commands ask for besides.
    pub how: crate::How,
    /// Whether the store refuses.
    pub full: bool,
    /// Whether invariants are checked after each step.
    pub checks: bool,
    /// Whether tasks do not end when they are killed.
    pub stubborn: bool,
    /// Whether the master does not answer what it is asked of tasks.
    pub mute: bool,
}

impl World {
    pub fn new(agents: usize) -> Self {
        Self::made(agents, Config::default())
    }
    /// One agent, and an orchestrator with these settings; a restart is with the usual ones.
    pub fn with(config: Config) -> Self {
        Self::made(1, config)
    }
    fn made(agents: usize, config: Config) -> Self {
        let time = Time::from_millis(1_600_000_000_000);
        let all = Resources::scalars([("cpus", 8.0), ("mem", 8192.0), ("disk", 1000.0)])
            .with_ports([(31000, 31999)]);
        let mut world = Self {
            machine: Orchestrator::new(config, Records::new(), time),
            records: Records::new(),
            rng: Rng::from_number(7),
            time,
            agents,
            free: vec![all; agents],
            offered: BTreeMap::new(),
            filtered: BTreeMap::new(),
            suppressed: false,
            next: 1,
            tasks: BTreeMap::new(),
            groups: BTreeMap::new(),
            inputs: VecDeque::from([Input::Connected]),
            answers: BTreeMap::new(),
            events: Vec::new(),
            said: Vec::new(),
            saves: 0,
            crash_at: None,
            connected: true,
            sick: BTreeSet::new(),
            all_sick: false,
            broken: BTreeSet::new(),
            slow: false,
            all_new_sick: BTreeSet::new(),
            unready: false,
            role: "*".into(),
            away: BTreeSet::new(),
            odd_offers: None,
            well: false,
            roles: Vec::new(),
            after: None,
            burn: 0.0,
            burnt: 0.0,
            ids: Vec::new(),
            how: crate::How::default(),
            full: false,
            checks: true,
            stubborn: false,
            mute: false,
        };
        world.drain();
        world
    }
    /// Another agent joins.
    pub fn join(&mut self) {
        let all = Resources::scalars([("cpus", 8.0), ("mem", 8192.0), ("disk", 1000.0)])
            .with_ports([(31000, 31999)]);
        self.agents += 1;
        self.free.push(all);
    }
    pub fn machine(&self) -> &Orchestrator {
        &self.machine
    }
    pub fn now(&self) -> Time {
        self.time
    }
    pub fn running(&self, app: &str) -> u64 {
        self.machine.tally(app).running
    }
    pub fn tasks(&self) -> usize {
        self.tasks.values().filter(|task| task.state == TaskState::TaskRunning).count()
    }
    pub fn keys(&self) -> Vec<String> {
        self.records.keys().cloned().collect()
    }
    pub fn crash_after_saves(&mut self, saves: u64) {
        self.crash_at = Some(self.saves + saves);
    }
    pub fn no_crash(&mut self) {
        self.crash_at = None;
    }
    pub fn event_kinds(&self) -> Vec<String> {
        self.events.clone()
    }
    pub fn json(&self, answer: &Answer) -> serde_json::Value {
        match &answer.body {
            Body::Json(text) => serde_json::from_str(text).unwrap(),
            _ => serde_json::Value::Null,
        }
    }
    pub fn listen(&mut self) -> u64 {
        self.listen_to(&[])
    }
    pub fn listen_to(&mut self, kinds: &[&str]) -> u64 {
        let request = self.number();
        self.inputs.push_back(Input::Subscribe {
            request: RequestId(request),
            event_types: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            remote: "test".into(),
            after: self.after.take(),
        });
        self.drain();
        request
    }
    pub fn hang_up(&mut self, request: u64) {
        let stream = model::request::StreamId(request);
        self.inputs.push_back(Input::StreamClosed { stream, cut: false });
        self.drain();
    }
    pub fn command(&mut self, command: Command) -> Answer {
        self.try_command(command).expect("an answer")
    }
    pub fn try_command(&mut self, command: Command) -> Option<Answer> {
        let request = RequestId(self.number());
        self.inputs.push_back(Input::Command {
            request,
            command: Box::new(command),
            how: self.how.clone(),
            client: Client::default(),
        });
        self.drain();
        self.answers.remove(&request)
    }
    pub fn fail(&mut self, task: &str) {
        self.finish(task, TaskState::TaskFailed, "made to fail");
        self.drain();
    }
    /// Its agent ends a task that fails its health checks.
    pub fn end_sick(&mut self, task: &str) {
        let killing = self.status_of(task, TaskState::TaskKilling, "", true, Some(false));
        self.event(event::Type::Update, killing);
        let others = self.groups.get(task).map(|(others, _)| others.clone()).unwrap_or_default();
        // the default executor ends all of a group at once, and calls all of them sick
        for other in others.iter().filter(|other| *other != task) {
            let event = self.status_of(other, TaskState::TaskKilled, "", true, Some(false));
            self.event(event::Type::Update, event);
        }
        let said = "Command terminated with signal Terminated";
        let event = self.status_of(task, TaskState::TaskKilled, said, true, Some(false));
        self.event(event::Type::Update, event);
        self.finish_quietly(task);
        self.drain();
    }
    pub fn unreachable(&mut self, task: &str) {
        self.say(task, TaskState::TaskUnreachable, "");
        self.drain();
    }
    pub fn back(&mut self, task: &str) {
        self.say(task, TaskState::TaskRunning, "");
        self.drain();
    }
    /// A restart after which the clock has gone back.
    pub fn back_to(&mut self, before: Duration) {
        self.time = Time::from_nanos(self.time.as_nanos() - before.as_nanos() as u64);
        self.crash();
        self.drain();
    }
    /// The orchestrator is killed, and started again so many seconds later.
    pub fn sleep(&mut self, seconds: u64) {
        self.time = self.time + Duration::from_secs(seconds);
        self.restart();
    }
    pub fn disconnect(&mut self) {
        self.connected = false;
        self.inputs.push_back(Input::Disconnected { why: "test".into() });
        self.drain();
        for (agent, left) in std::mem::take(&mut self.offered).into_values() {
            self.free[agent] += &left;
        }
    }
    pub fn connect(&mut self) {
        self.connected = true;
        self.inputs.push_back(Input::Connected);
        self.drain();
    }
    /// A task ends, and nobody says so.
    pub fn vanish(&mut self, task: &str) {
        self.finish_quietly(task);
    }
    /// An order never reached its agent: nothing of it was done there.
    pub fn lose_order(&mut self, task: &str) {
        let gone = self.tasks.remove(task).expect("an order");
        let agent: usize = gone.info.agent_id.value.trim_start_matches("agent-").parse().unwrap();
        self.offered.retain(|_, (of, _)| *of != agent);
        self.free[agent] = Self::resources();
    }
    fn finish_quietly(&mut self, task: &str) {
        let connected = std::mem::replace(&mut self.connected, false);
        self.finish(task, TaskState::TaskLost, "");
        self.connected = connected;
    }
    /// A task runs that nobody ordered.
    pub fn stray(&mut self, task: &str) {
        let info = TaskInfo {
            task_id: TaskId { value: task.into() },
            agent_id: AgentId { value: "agent-0".into() },
            ..Default::default()
        };
        self.tasks.insert(task.into(), Running { info, state: TaskState::TaskRunning });
    }
    /// Lets so many seconds pass.
    pub fn run(&mut self, seconds: u64) {
        self.each_step(seconds, |_| {});
    }
    pub fn each_step(&mut self, seconds: u64, mut see: impl FnMut(&Orchestrator)) {
        let end = self.time + Duration::from_secs(seconds);
        while self.time < end {
            self.time = self.time + Duration::from_millis(500);
            self.burnt += self.burn / 2.0;
            self.offer();
            self.inputs.push_back(Input::Tick);
            while let Some(input) = self.inputs.pop_front() {
                self.step(input);
                see(&self.machine);
            }
        }
    }
    pub fn run_until(&mut self, done: impl Fn(&Orchestrator) -> bool) {
        for _ in 0..10_000 {
            if done(&self.machine) {
                return;
            }
            self.time = self.time + Duration::from_millis(500);
            self.offer();
            self.inputs.push_back(Input::Tick);
            self.drain();
        }
        panic!("never");
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
    fn drain(&mut self) {
        while let Some(input) = self.inputs.pop_front() {
            self.step(input);
        }
    }
    fn step(&mut self, input: Input) {
        let mut out = Effects::default();
        self.machine.step(Now::new(self.time, &mut self.rng), input, &mut out);
        if self.checks {
            self.machine.check();
        }
        let effects: Vec<_> = out.drain().collect();
        for effect in effects {
            if !self.perform(effect) {
                self.crash();
                return;
            }
        }
    }
    /// The orchestrator starts again from what was durable.
    pub fn restart(&mut self) {
        self.crash();
        self.drain();
    }
    fn crash(&mut self) {
        self.inputs.clear();
        self.crash_at = None;
        for (agent, left) in std::mem::take(&mut self.offered).into_values() {
            self.free[agent] += &left;
        }
        self.machine = Orchestrator::new(Config::default(), self.records.clone(), self.time);
        self.inputs.push_back(Input::Connected);
    }
    fn perform(&mut self, effect: Effect) -> bool {
        match effect {
            Effect::Save { save, batch } => {
                if self.crash_at == Some(self.saves) {
                    return false;
                }
                if self.full {
                    self.inputs.push_back(Input::SaveFailed { save, why: "disk full".into() });
                    return true;
                }
                self.saves += 1;
                for change in batch {
                    match change {
                        Change::Put { key, value } => self.records.insert(key, value),
                        Change::Delete { key } => self.records.remove(&key),
                    };
                }
                self.inputs.push_back(Input::Saved { save });
            }
            Effect::Http(Http::Reply { request, answer }) => {
                self.answers.insert(request, answer);
            }
            Effect::Http(Http::Send { event, .. } | Http::SendAll { event, .. }) => {
                self.ids.push(event.id.clone());
                self.said.push((event.kind.clone(), serde_json::from_str(&event.data).unwrap()));
                self.events.push(event.kind);
            }
            Effect::Http(_) => {}
            Effect::Measure { app, agent } => {
                let seconds = self.burnt;
                let on = |task: &&Running| {
                    agent == format!("http://10.0.0.1:{}", port_of(&task.info.agent_id.value))
                };
                let usage = |task: &Running| crate::autoscale::Usage {
                    executor: task.info.task_id.value.clone(),
                    cpu_s: seconds,
                    mem: 1e6,
                };
                let usages = self.tasks.values().filter(on).map(usage).collect();
                self.inputs.push_back(Input::Measured { app, usages });
            }
            Effect::Probe { id, probe, timeout } => {
                let keep = matches!(&probe, Probe::Page { .. });
                let rooted = !matches!(&probe, Probe::Http { path, .. } | Probe::Page { path, .. } if !path.starts_with('/'));
                let (Probe::Http { port, .. } | Probe::Page { port, .. } | Probe::Tcp { port, .. }) = probe
                else {
                    panic!("no command here")
                };
                let task =
                    self.machine.instances().find(|i| i.ports.first() == Some(&port)).unwrap().task.clone();
                let new = !self.all_new_sick.is_empty() && !self.all_new_sick.contains(&task);
                let sick = self.all_sick || new || self.sick.contains(&task);
                let status = if self.unready { 503 } else { 200 };
                let outcome = match (rooted, sick) {
                    (false, _) => Probed::Failed("no such request".into()),
                    (true, true) => Probed::TimedOut(timeout),
                    (true, false) if keep => Probed::Page(model::container::Page {
                        status,
                        content_type: "text/plain".into(),
                        body: "warming up".into(),
                    }),
                    (true, false) => Probed::Http(status),
                };
                self.inputs.push_back(Input::Probed { probe: id, outcome });
            }
            Effect::Call(call) => self.call(*call),
        }
        true
    }

    fn call(&mut self, call: model::mesos::scheduler::Call) {
        if !self.connected {
            return;
        }
        use call::Type;
        match call.r#type() {
            Type::Subscribe => {
                let region = |name: &str| model::mesos::DomainInfo {
                    fault_domain: Some(model::mesos::domain_info::FaultDomain {
                        region: model::mesos::domain_info::fault_domain::RegionInfo { name: name.into() },
                        zone: model::mesos::domain_info::fault_domain::ZoneInfo { name: "z".into() },
                    }),
                };
                let subscribed = event::Subscribed {
                    master_info: Some(model::mesos::MasterInfo {
                        domain: Some(region("home")),
                        ..Default::default()
                    }),
                    framework_id: FrameworkId { value: "framework-1".into() },
                    ..Default::default()
                };
                self.suppressed = false;
                self.roles = call.subscribe.unwrap().framework_info.roles;
                self.event(
                    event::Type::Subscribed,
                    Event { subscribed: Some(subscribed), ..Default::default() },
                );
            }
            Type::Accept => {
                let accept = call.accept.unwrap();
                let (agent, mut left) =
                    self.offered.remove(&accept.offer_ids[0].value).expect("a standing offer");
                for operation in accept.operations {
                    if operation.r#type() == offer::operation::Type::LaunchGroup {
                        let group = operation.launch_group.unwrap();
                        left.subtract(&used(&group.executor.resources)).expect("no more than was offered");
                        self.group(group, &mut left);
                        continue;
                    }
                    if let Some(change) = model::resources::Conversion::of(&operation) {
                        assert!(left.contains(&change.consumed), "{operation:?} of {left:?}");
                        left.cut(&change.consumed);
                        left += &change.converted;
                        continue;
                    }
                    assert_eq!(operation.r#type(), offer::operation::Type::Launch);
                    for info in operation.launch.unwrap().task_infos {
                        let used = used(&info.resources);
                        left.subtract(&used).expect("no more than was offered");
                        let id = info.task_id.value.clone();
                        assert!(!self.tasks.contains_key(&id), "launched twice");
                        self.tasks.insert(id.clone(), Running { info, state: TaskState::TaskStaging });
                        if self.slow {
                            continue;
                        }
                        self.say(&id, TaskState::TaskStarting, "");
                        let command = self.tasks[&id].info.command.as_ref().and_then(|c| c.value.clone());
                        self.say(&id, TaskState::TaskRunning, "");
                        if command.is_some_and(|command| self.broken.contains(&command)) {
                            self.finish(&id, TaskState::TaskFailed, "it is broken");
                        }
                    }
                }
                self.free[agent] += &left;
            }
            Type::Decline => {
                let decline = call.decline.unwrap();
                let seconds = decline.filters.unwrap().refuse_seconds.unwrap();
                for id in decline.offer_ids {
                    let (agent, left) = self.offered.remove(&id.value).expect("a standing offer");
                    self.free[agent] += &left;
                    self.filtered.insert(agent, self.time + Duration::from_secs_f64(seconds));
                }
            }
            Type::Revive => {
                self.suppressed = false;
                self.filtered.clear();
            }
            Type::UpdateFramework => {
                self.roles = call.update_framework.unwrap().framework_info.roles;
            }
            Type::Suppress => self.suppressed = true,
            Type::Kill if self.stubborn => {}
            Type::Kill => {
                let id = call.kill.unwrap().task_id.value;
                self.finish(&id, TaskState::TaskKilled, "");
            }
            Type::Reconcile if self.mute => {}
            Type::Reconcile => self.reconcile(call.reconcile.unwrap().tasks),
            Type::Acknowledge => assert_eq!(&call.acknowledge.unwrap().uuid[..], UUID),
            other => panic!("{other:?}"),
        }
    }

    fn group(&mut self, group: offer::operation::LaunchGroup, left: &mut Resources) {
        let ids: Vec<_> = group.task_group.tasks.iter().map(|info| info.task_id.value.clone()).collect();
        for info in group.task_group.tasks {
            left.subtract(&used(&info.resources)).expect("no more than was offered");
            let id = info.task_id.value.clone();
            self.tasks.insert(id.clone(), Running { info, state: TaskState::TaskStaging });
            self.groups.insert(id, (ids.clone(), group.executor.clone()));
        }
        for id in ids {
            self.say(&id, TaskState::TaskStarting, "");
            self.say(&id, TaskState::TaskRunning, "");
        }
    }

    /// Ids of volumes that nobody uses, by agent.
    pub fn idle_volumes(&self, agent: usize) -> Vec<String> {
        let offered = self.offered.values().filter(|(of, _)| *of == agent).map(|(_, resources)| resources);
        let all = offered.chain([&self.free[agent]]).flat_map(Resources::to_messages).collect::<Vec<_>>();
        all.iter().filter_map(|r| crate::volumes::persistence_of(r).map(str::to_owned)).collect()
    }
    /// Whether everything that this agent has is free and nobody's.
    pub fn is_pristine(&self, agent: usize) -> bool {
        let mut all = self.free[agent].clone();
        for (of, resources) in self.offered.values() {
            if *of == agent {
                all += resources;
            }
        }
        all == Self::resources()
    }
    fn resources() -> Resources {
        Resources::scalars([("cpus", 8.0), ("mem", 8192.0), ("disk", 1000.0)]).with_ports([(31000, 31999)])
    }
    /// The TaskInfo of a task that runs.
    pub fn info(&self, task: &str) -> &TaskInfo {
        &self.tasks[task].info
    }
    pub fn task_ids(&self) -> Vec<String> {
        self.tasks.keys().cloned().collect()
    }
    /// An agent's health check found something.
    pub fn healthy(&mut self, task: &str, healthy: bool) {
        let event = self.status_of(task, TaskState::TaskRunning, "", true, Some(healthy));
        self.event(event::Type::Update, event);
        self.drain();
    }
    /// Its agent's check of it failed, and saw this.
    pub fn sees(&mut self, task: &str, what: &str) {
        let mut event = self.status_of(task, TaskState::TaskRunning, what, true, Some(false));
        if let Some(update) = &mut event.update {
            update.status.set_reason(Reason::TaskHealthCheckStatusUpdated);
        }
        self.event(event::Type::Update, event);
        self.drain();
    }
    /// A task ends well.
    pub fn done(&mut self, task: &str) {
        self.finish(task, TaskState::TaskFinished, "Command exited with status 0");
        self.drain();
    }

    fn reconcile(&mut self, tasks: Vec<call::reconcile::Task>) {
        let all = tasks.is_empty();
        let ids: Vec<String> = match all {
            true => self.tasks.keys().cloned().collect(),
            false => tasks.into_iter().map(|task| task.task_id.value).collect(),
        };
        for id in ids {
            let state = self.tasks.get(&id).map_or(TaskState::TaskGone, |task| task.state);
            self.status(&id, state, "", false);
        }
    }
    fn finish(&mut self, task: &str, state: TaskState, message: &str) {
        let Some(gone) = self.tasks.remove(task) else { return };
        let agent: usize = gone.info.agent_id.value.trim_start_matches("agent-").parse().unwrap();
        self.free[agent] += &used(&gone.info.resources);
        self.filtered.remove(&agent);
        self.status(task, state, message, true);
        let Some((others, executor)) = self.groups.remove(task) else { return };
        if !others.iter().any(|other| self.tasks.contains_key(other)) {
            self.free[agent] += &used(&executor.resources);
        }
        if state != TaskState::TaskFinished {
            // the default executor ends all of a group
            others.iter().for_each(|other| self.finish(other, TaskState::TaskKilled, ""));
        }
    }
    fn say(&mut self, task: &str, state: TaskState, message: &str) {
        if let Some(running) = self.tasks.get_mut(task) {
            running.state = state;
        }
        self.status(task, state, message, true);
    }
    fn status(&mut self, task: &str, state: TaskState, message: &str, uuid: bool) {
        let checked = self.tasks.get(task).is_some_and(|task| task.info.health_check.is_some());
        let healthy = (self.well && checked && state == TaskState::TaskRunning).then_some(true);
        let event = self.status_of(task, state, message, uuid, healthy);
        self.event(event::Type::Update, event);
    }
    fn status_of(
        &mut self,
        task: &str,
        state: TaskState,
        message: &str,
        uuid: bool,
        healthy: Option<bool>,
    ) -> Event {
        let agent = self.tasks.get(task).map_or("agent-0".into(), |task| task.info.agent_id.value.clone());
        let status = TaskStatus {
            task_id: TaskId { value: task.into() },
            state: state as i32,
            message: Some(message.into()),
            agent_id: Some(AgentId { value: agent }),
            uuid: uuid.then(|| UUID.to_vec()),
            healthy,
            container_status: self.groups.contains_key(task).then(container_status),
            unreachable_time: (state == TaskState::TaskUnreachable)
                .then(|| TimeInfo { nanoseconds: self.time.as_nanos() as i64 }),
            ..Default::default()
        };
        Event { update: Some(event::Update { status }), ..Default::default() }
    }
    fn event(&mut self, kind: event::Type, mut event: Event) {
        if !self.connected {
            return;
        }
        event.r#type = Some(kind as i32);
        self.inputs.push_back(Input::Event(Box::new(event)));
    }
    fn offer(&mut self) {
        if !self.connected || self.suppressed || self.machine.framework_id().is_none() {
            return;
        }
        let mut offers = Vec::new();
        for agent in 0..self.agents {
            let filtered = self.filtered.get(&agent).is_some_and(|until| *until > self.time);
            if filtered || self.free[agent].is_empty() || self.away.contains(&agent) {
                continue;
            }
            let resources = std::mem::take(&mut self.free[agent]);
            let id = format!("offer-{}", self.number());
            let mut offer = Offer {
                id: OfferId { value: id.clone() },
                framework_id: FrameworkId { value: "framework-1".into() },
                agent_id: AgentId { value: format!("agent-{agent}") },
                hostname: format!("host-{agent}"),
                resources: resources.allocate(&self.role, Format::Flat),
                allocation_info: Some(resource::AllocationInfo { role: Some(self.role.clone()) }),
                url: Some(model::mesos::Url {
                    scheme: "http".into(),
                    address: model::mesos::Address {
                        ip: Some("10.0.0.1".into()),
                        port: port_of(&format!("agent-{agent}")),
                        ..Default::default()
                    },
                    ..Default::default()
                }),
                attributes: vec![model::mesos::Attribute {
                    name: "rack".into(),
                    r#type: model::mesos::value::Type::Text as i32,
                    text: Some(model::mesos::value::Text { value: format!("r{}", agent % 2) }),
                    ..Default::default()
                }],
                ..Default::default()
            };
            self.make_odd(&mut offer);
            offers.push(offer);
            self.offered.insert(id, (agent, resources));
        }
        if !offers.is_empty() {
            let offers = Some(event::Offers { offers });
            self.event(event::Type::Offers, Event { offers, ..Default::default() });
        }
    }
}

impl World {
    fn make_odd(&self, offer: &mut Offer) {
        match self.odd_offers {
            Some("region") => {
                offer.domain = Some(model::mesos::DomainInfo {
                    fault_domain: Some(model::mesos::domain_info::FaultDomain {
                        region: model::mesos::domain_info::fault_domain::RegionInfo { name: "away".into() },
                        zone: model::mesos::domain_info::fault_domain::ZoneInfo { name: "z".into() },
                    }),
                });
            }
            Some("maintenance") => {
                let start = TimeInfo { nanoseconds: self.time.as_nanos() as i64 };
                offer.unavailability = Some(model::mesos::Unavailability { start, duration: None });
            }
            Some("gpus") => {
                let gpus = Resources::scalars([("gpus", 1.0)]).allocate("*", Format::Stacked);
                offer.resources.extend(gpus);
            }
            _ => {}
        }
    }
}

fn container_status() -> model::mesos::ContainerStatus {
    use model::mesos::{NetworkInfo, network_info::IpAddress};
    let ip = IpAddress { ip_address: Some("10.1.2.3".into()), ..Default::default() };
    model::mesos::ContainerStatus {
        network_infos: vec![NetworkInfo { ip_addresses: vec![ip], ..Default::default() }],
        ..Default::default()
    }
}

fn port_of(agent: &str) -> i32 {
    5051 + agent.trim_start_matches("agent-").parse::<i32>().unwrap()
}

fn used(resources: &[Resource]) -> Resources {
    let mut plain = resources.to_vec();
    model::resources::unallocate(&mut plain);
    Resources::from_messages(&plain).expect("valid resources")
}

impl World {
    /// The executor of a pod's container.
    pub fn executor(&self, task: &str) -> &model::mesos::ExecutorInfo {
        &self.groups[task].1
    }
}
