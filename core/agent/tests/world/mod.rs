//! An agent driven by hand in virtual time; every invariant after every step.
//!
//! Never: assertions about what it does, beyond its own invariants.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use agent::{Agent, Config, Effect, Input, ProbeId, Removal};
use base::{Duration, Effects, Machine, Now, Rng, Time};
use model::{
    container::{ContainerId, ContainerSpec, Limits, Probe},
    link::{Envelope, Message, Upid},
    mesos::{
        AgentId, CommandInfo, FrameworkId, FrameworkInfo, HealthCheck, TaskId, TaskInfo, TaskStatus,
        agent::Response, executor::Event, health_check, internal,
    },
    request::{Http, RequestId},
    resources::Resources,
    save::{Change, Records, SaveId},
};

/// An agent, its disk, and what it asked for.
pub struct World {
    pub agent: Agent,
    pub records: Records,
    pub rng: Rng,
    pub now: Time,
    pub sent: Vec<Message>,
    pub launches: Vec<ContainerSpec>,
    pub signals: Vec<(ContainerId, i32)>,
    pub forgotten: Vec<ContainerId>,
    pub probes: Vec<ProbeId>,
    /// What was asked of tasks, in the same order.
    pub asked: Vec<Probe>,
    pub disk_full: bool,
    pub destroyed: Vec<ContainerId>,
    pub limits: Vec<(ContainerId, Limits)>,
    pub http: Vec<Http<Event>>,
    /// Everything that was ever sent.
    pub envelopes: Vec<Envelope>,
    pub discarded: Vec<String>,
    pub volumes: Vec<(Vec<String>, Vec<Removal>)>,
    pub volumes_refused: Option<String>,
    /// Nobody answers about volumes.
    pub deaf: bool,
    pub responses: Vec<(RequestId, Response)>,
    /// Nothing becomes durable until `catch_up`; a restart finds none of it.
    pub disk_slow: bool,
    late: Vec<(SaveId, Vec<Change>)>,
    /// Of the framework of tasks that are run.
    pub framework_labels: model::mesos::Labels,
    /// After each step no time passes by itself, not even until what can wait is saved.
    pub hasty: bool,
    /// Batches that were handed to the disk.
    pub saves: usize,
}

pub fn master() -> Upid {
    "master@127.0.0.1:5050".parse().unwrap()
}

pub fn config() -> Config {
    Config {
        address: "127.0.0.1:5051".parse().unwrap(),
        hostname: "host".into(),
        work_dir: "/w".into(),
        resources: Resources::scalars([("cpus", 4.0), ("mem", 1024.0)]).to_messages(),
        attributes: Vec::new(),
        domain: None,
        flags: Default::default(),
        registration_backoff: Duration::from_millis(100),
        environment: vec![("FROM_AGENT".into(), "1".into())],
        users: agent::Users::Named,
        cpu_quota: false,
        boot_id: "boot".into(),
        master_hostname: "localhost".into(),
        completed_tasks_max: 10,
        keep: agent::Keep::default(),
        executors: Default::default(),
    }
}

impl World {
    pub fn fresh() -> Self {
        Self::fresh_with(|_| {})
    }

    /// An agent with another configuration that knows no master yet.
    pub fn fresh_as(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        change(&mut config);
        Self::of(config, Records::new(), Time::from_millis(1_000_000))
    }

    /// A registered agent with another configuration.
    pub fn fresh_with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        change(&mut config);
        let mut w = Self::of(config, Records::new(), Time::from_millis(1_000_000));
        w.step(Input::Recovered { running: Vec::new(), starting: Vec::new(), ended: Vec::new() });
        w.step(Input::MasterDetected(Some(master())));
        assert!(matches!(w.sent[0], Message::RegisterSlaveMessage(_)));
        w.registered();
        w.sent.clear();
        w
    }

    pub fn from(records: Records, now: Time) -> Self {
        Self::of(config(), records, now)
    }

    /// The same agent after a crash.
    pub fn restarted(self) -> Self {
        let config = self.agent.config().clone();
        Self::of(config, self.records, self.now + Duration::from_secs(5))
    }

    fn of(config: Config, records: Records, now: Time) -> Self {
        let mut rng = Rng::from_number(3);
        let agent = Agent::new(config, &records, Now::new(now, &mut rng));
        Self {
            agent,
            records,
            rng,
            now,
            sent: Vec::new(),
            launches: Vec::new(),
            signals: Vec::new(),
            forgotten: Vec::new(),
            probes: Vec::new(),
            asked: Vec::new(),
            disk_full: false,
            destroyed: Vec::new(),
            limits: Vec::new(),
            http: Vec::new(),
            envelopes: Vec::new(),
            discarded: Vec::new(),
            volumes: Vec::new(),
            volumes_refused: None,
            deaf: false,
            responses: Vec::new(),
            disk_slow: false,
            late: Vec::new(),
            framework_labels: Default::default(),
            hasty: false,
            saves: 0,
        }
    }

    pub fn registered(&mut self) {
        let slave_id = AgentId { value: "S0".into() };
        self.hear(internal::SlaveRegisteredMessage { slave_id, connection: None });
    }

    pub fn step(&mut self, input: Input) {
        self.step_alone(input);
        while let Some((at, "a save that can wait")) = self.agent.deadline().filter(|_| !self.hasty) {
            self.now = self.now.max(at);
            self.step_alone(Input::Tick);
        }
    }

    fn step_alone(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut out = Effects::default();
            self.agent.step(Now::new(self.now, &mut self.rng), input, &mut out);
            self.agent.check();
            for effect in out.drain() {
                self.saves += usize::from(matches!(effect, Effect::Save { .. }));
                match effect {
                    Effect::Send(envelope) => {
                        self.envelopes.push((*envelope).clone());
                        self.sent.push(envelope.message);
                    }
                    Effect::Save { save, .. } if self.disk_full => {
                        self.disk_full = false;
                        inputs.push(Input::SaveFailed { save, why: "full".into() });
                    }
                    Effect::Save { save, batch } if self.disk_slow => self.late.push((save, batch)),
                    Effect::Save { save, batch } => inputs.push(self.durable(save, batch)),
                    Effect::Launch(spec) => self.launches.push(*spec),
                    Effect::Signal { container, signal } => self.signals.push((container, signal)),
                    Effect::Forget { container } => self.forgotten.push(container),
                    Effect::Probe { id, probe, .. } => {
                        self.probes.push(id);
                        self.asked.push(probe);
                    }
                    Effect::Destroy { container } => self.destroyed.push(container),
                    Effect::Limit { container, limits } => self.limits.push((container, limits)),
                    Effect::Http(http) => self.http.push(http),
                    Effect::Respond { request, response, .. } => self.responses.push((request, *response)),
                    Effect::Discard { directory } => self.discarded.push(directory),
                    Effect::Volumes { operation, make, remove } => {
                        let outcome = self.volumes_refused.clone().map_or(Ok(()), Err);
                        self.volumes.push((make, remove));
                        if !self.deaf {
                            inputs.push(Input::VolumesChanged { operation, outcome });
                        }
                    }
                    Effect::Link(_) => {}
                }
            }
        }
    }

    fn durable(&mut self, save: SaveId, batch: Vec<Change>) -> Input {
        for change in batch {
            match change {
                Change::Put { key, value } => self.records.insert(key, value),
                Change::Delete { key } => self.records.remove(&key),
            };
        }
        Input::Saved { save }
    }

    /// The disk is as fast as ever, and what waited is durable.
    pub fn catch_up(&mut self) {
        self.disk_slow = false;
        for (save, batch) in std::mem::take(&mut self.late) {
            let saved = self.durable(save, batch);
            self.step(saved);
        }
    }

    pub fn hear(&mut self, message: impl Into<Message>) {
        let to = Upid::new("slave(1)", config().address);
        self.step(Input::Message(Box::new(Envelope { from: master(), to, message: message.into() })));
    }

    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some((at, _)) = self.agent.deadline().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            self.step(Input::Tick);
        }
        self.now = until;
        self.step(Input::Tick);
    }

    pub fn order(&self, id: &str) -> TaskInfo {
        TaskInfo {
            name: id.into(),
            task_id: TaskId { value: id.into() },
            agent_id: AgentId { value: "S0".into() },
            resources: Resources::scalars([("cpus", 0.5), ("mem", 64.0)]).to_messages(),
            command: Some(CommandInfo { value: Some("true".into()), ..Default::default() }),
            ..Default::default()
        }
    }

    pub fn run(&mut self, id: &str, change: impl FnOnce(&mut TaskInfo)) -> ContainerId {
        let mut task = self.order(id);
        change(&mut task);
        let framework = FrameworkInfo {
            user: "root".into(),
            name: "f".into(),
            id: Some(FrameworkId { value: "F".into() }),
            checkpoint: Some(true),
            labels: Some(self.framework_labels.clone()).filter(|labels| !labels.labels.is_empty()),
            ..Default::default()
        };
        let before = self.launches.len();
        self.hear(internal::RunTaskMessage { framework, task, ..Default::default() });
        self.launches.get(before).map_or(ContainerId(String::new()), |spec| spec.id.clone())
    }

    /// Statuses said since the last look.
    pub fn statuses(&mut self) -> Vec<TaskStatus> {
        let sent = std::mem::take(&mut self.sent);
        let of = |m: Message| match m {
            Message::StatusUpdateMessage(m) => Some(m.update.status),
            _ => None,
        };
        sent.into_iter().filter_map(of).collect()
    }

    pub fn acknowledge(&mut self, status: &TaskStatus) {
        self.hear(internal::StatusUpdateAcknowledgementMessage {
            slave_id: AgentId { value: "S0".into() },
            framework_id: FrameworkId { value: "F".into() },
            task_id: status.task_id.clone(),
            uuid: status.uuid.clone().unwrap(),
        });
    }

    /// Takes the next status, which must be the only one, and acknowledges it.
    pub fn next(&mut self) -> TaskStatus {
        let mut statuses = self.statuses();
        assert_eq!(statuses.len(), 1, "{statuses:?}");
        let status = statuses.remove(0);
        self.acknowledge(&status);
        status
    }

    pub fn kill(&mut self, id: &str) {
        self.hear(internal::KillTaskMessage {
            framework_id: FrameworkId { value: "F".into() },
            task_id: TaskId { value: id.into() },
            ..Default::default()
        });
    }
}

/// A health check of a port whose first failure ends the task.
pub fn strict_check() -> HealthCheck {
    let mut check = HealthCheck {
        delay_seconds: Some(0.0),
        grace_period_seconds: Some(0.0),
        consecutive_failures: Some(1),
        tcp: Some(health_check::TcpCheckInfo { port: 80, ..Default::default() }),
        ..Default::default()
    };
    check.set_type(health_check::Type::Tcp);
    check
}
