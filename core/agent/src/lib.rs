//! The agent: runs tasks in containers and keeps them over its own restart. This file is the table input → handler,
//! nothing else. It plays the command executor itself. Never: processes, files, sockets (the shell has them).

mod calls;
mod checks;
mod completed;
mod config;
mod deliver;
mod drain;
mod effect;
mod executors;
mod garbage;
mod guests;
mod input;
mod invariants;
mod launch;
mod news;
mod operations;
mod reconcile;
mod reconfiguration;
mod records;
mod recovery;
mod registration;
mod saves;
mod state;
mod tasks;
mod timed;
mod updates;
mod view;

pub use config::{Config, ExecutorTimes, Users, VERSION};
pub use drain::Draining;
pub use effect::Effect;
pub use garbage::Keep;
pub use guests::{Attachable, ContainerCall, Guest};
pub use input::{Input, ProbeId};
pub use operations::Removal;
pub use state::{Executor, Framework, Runner, Task};
pub use view::{COMMAND_EXECUTOR, Counters};

use base::{Duration, Effects, Machine, Now, Time};
use completed::Completed;
use model::{
    container::ContainerId,
    link::{Envelope, Message, Upid},
    mesos::{AgentInfo, FrameworkInfo, agent::call::LaunchContainer},
    resources::Resources,
    save::Records,
};
use reconcile::Known;
use registration::Registration;
use std::collections::{BTreeMap, VecDeque};
use timed::Timed;

/// What is asked for a container that is not a task's: the message with all of it.
pub type Launch = LaunchContainer;

/// The agent as a value.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    started: Time,
    info: AgentInfo,
    registration: Registration,
    frameworks: BTreeMap<String, Framework>,
    /// Tasks by framework and task id.
    tasks: Timed<Task>,
    containers: BTreeMap<ContainerId, (String, String)>,
    /// Executors with containers of their own, by framework and executor id.
    executors: Timed<Executor>,
    executor_containers: BTreeMap<ContainerId, (String, String)>,
    /// Containers that clients asked for.
    guests: BTreeMap<ContainerId, Guest>,
    /// Reservations made at run time, and volumes.
    checkpointed: Resources,
    /// By their uuid.
    operations: BTreeMap<Vec<u8>, operations::Pending>,
    /// The last that were acknowledged: one that arrives again is not done again.
    operations_done: VecDeque<Vec<u8>>,
    /// Calls that wait for the end of a container.
    waits: BTreeMap<ContainerId, Vec<guests::Wait>>,
    completed: Completed,
    completed_executors: VecDeque<Executor>,
    completed_frameworks: VecDeque<FrameworkInfo>,
    recovery_time: Option<Duration>,
    draining: Option<Draining>,
    probes: BTreeMap<ProbeId, (checks::Kind, (String, String))>,
    saves: saves::Saves,
    news: news::News,
    garbage: garbage::Garbage,
    next_probe: u64,
    next_update: u64,
    resource_version: Vec<u8>,
    counters: Counters,
}

impl Agent {
    /// An agent that starts with what an earlier one made durable. It registers once it has heard `Recovered`.
    pub fn new(config: Config, records: &Records, now: Now<'_>) -> Self {
        let mut agent = Self {
            started: now.time,
            info: info_of(&config),
            registration: Registration::default(),
            frameworks: BTreeMap::new(),
            tasks: Timed::default(),
            containers: BTreeMap::new(),
            executors: Timed::default(),
            executor_containers: BTreeMap::new(),
            guests: BTreeMap::new(),
            waits: BTreeMap::new(),
            checkpointed: Resources::default(),
            operations: BTreeMap::new(),
            operations_done: VecDeque::new(),
            completed: Completed::default(),
            completed_executors: VecDeque::new(),
            completed_frameworks: VecDeque::new(),
            recovery_time: None,
            draining: None,
            probes: BTreeMap::new(),
            saves: saves::Saves::default(),
            news: news::News::default(),
            garbage: garbage::Garbage::new(config.keep),
            next_probe: 0,
            next_update: 0,
            resource_version: now.rng.uuid().as_bytes().to_vec(),
            counters: Counters::default(),
            config,
        };
        agent.read_records(records);
        agent.settle_deadlines();
        agent
    }

    /// The process that speaks for the agent.
    pub fn me(&self) -> Upid {
        Upid::new("slave(1)", self.config.address)
    }

    pub(crate) fn say(&self, to: Upid, message: impl Into<Message>, out: &mut Effects<Effect>) {
        out.push(Effect::Send(Box::new(Envelope { from: self.me(), to, message: message.into() })));
    }

    fn message(&mut self, now: &mut Now<'_>, envelope: Envelope, out: &mut Effects<Effect>) {
        let at = now.time;
        if let Message::PingSlaveMessage(ping) = &envelope.message {
            self.pinged(&envelope.from, ping.connected, at, out);
            return;
        }
        if self.registration.master.as_ref() != Some(&envelope.from)
            && self.driver_message(now, &envelope.from, &envelope.message, out)
        {
            return;
        }
        if self.registration.master.as_ref() != Some(&envelope.from) {
            self.counters.messages_dropped += 1;
            return;
        }
        match envelope.message {
            Message::SlaveRegisteredMessage(m) => self.registered(&m.slave_id.value, m.connection, at, out),
            Message::SlaveReregisteredMessage(m) => self.reregistered(now, *m, out),
            Message::RunTaskMessage(m) => self.run_task(now, *m, out),
            Message::RunTaskGroupMessage(m) => self.run_group(now, *m, out),
            Message::DrainSlaveMessage(m) => self.drain(now, m.config, out),
            Message::KillTaskMessage(m) => self.kill_task(now, &m, out),
            Message::ShutdownFrameworkMessage(m) => self.shut_down_framework(&m.framework_id.value, now, out),
            Message::ShutdownMessage(m) => self.dismissed(m.message.unwrap_or_default(), now, out),
            Message::ShutdownExecutorMessage(m) => {
                let framework = m.framework_id.map(|id| id.value).unwrap_or_default();
                let key = (framework, m.executor_id.map(|id| id.value).unwrap_or_default());
                self.shut_down_executor(&key, now, out);
            }
            Message::FrameworkToExecutorMessage(m) => self.to_executor(*m, out),
            Message::StatusUpdateAcknowledgementMessage(m) => self.acknowledged(*m, out),
            Message::ApplyOperationMessage(m) => self.apply_operation(now, *m, out),
            Message::AcknowledgeOperationStatusMessage(m) => self.operation_acknowledged(&m),
            Message::ReconcileOperationsMessage(m) => self.reconcile_operations(&m, out),
            Message::CheckpointResourcesMessage(m) => self.checkpoint_resources(&m, out),
            Message::UpdateFrameworkMessage(m) => self.update_framework(*m, at, out),
            _ => self.counters.messages_dropped += 1,
        }
    }

    fn due(&mut self, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        self.registration_due(now, out);
        let at = now.time;
        self.operations_due(at, out);
        self.garbage_due(at, out);
        for key in self.tasks.due(at) {
            self.task_due(&key, now, out);
        }
        self.settle_deadlines();
        for key in self.executors.due(at) {
            self.executor_due(&key, now, out);
        }
    }

    fn settle_deadlines(&mut self) {
        self.tasks.settle();
        self.executors.settle();
    }
}

impl Machine for Agent {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, mut now: Now<'_>, input: Input, out: &mut Effects<Effect>) {
        self.due(&mut now, out);
        let at = now.time;
        match input {
            Input::MasterDetected(master) => self.detected(master, &mut now, out),
            Input::Message(envelope) => self.message(&mut now, *envelope, out),
            Input::Exited { peer } => self.master_exited(peer),
            Input::Recovered { running, starting, ended } => {
                self.recovered(&mut now, Known::new(running, starting, ended), out);
            }
            Input::LauncherReplaced { running, starting, ended } => {
                self.launcher_replaced(&mut now, &Known::new(running, starting, ended), out);
            }
            Input::Launched { container, pid } => self.launched(&mut now, &container, pid, out),
            Input::LaunchFailed { container, why } => self.launch_failed(&mut now, &container, &why, out),
            Input::Terminated { container, how } => self.terminated(&mut now, &container, &how, out),
            Input::VolumesChanged { operation, outcome } => {
                self.volumes_changed(&mut now, &operation, outcome);
            }
            Input::Probed { probe, outcome } => self.probed(&mut now, probe, &outcome, out),
            Input::Saved { save } => self.saved(save, &mut now, out),
            Input::SaveFailed { save, .. } => self.save_failed(save, at),
            Input::Executor { request, accept, call } => {
                self.executor_call(&mut now, request, accept, *call, out);
            }
            Input::Container { request, codec, container, call } => {
                self.container_call((request, codec), container, call, out);
            }
            Input::StreamClosed { stream } => self.stream_closed(stream),
            Input::DiskUsed { part } => {
                self.disk_used(part);
                self.garbage_due(at, out);
            }
            Input::Discarded { directory, gone } => self.discarded(&directory, gone),
            Input::Unregister => self.unregister(&mut now, out),
            Input::StartAgain => self.start_again(&mut now, out),
            Input::Tick => {}
        }
        self.keep_garbage(at);
        self.look_whether_drained();
        self.flush(at, out);
        self.settle_deadlines();
    }

    fn deadline(&self) -> Option<(Time, &'static str)> {
        let tasks = self.tasks.first().map(|at| (at, "a task"));
        let registration = self.registration.deadline().map(|at| (at, "registration"));
        let save = self.saves.deadline();
        let executors = self.executors.first().map(|at| (at, "an executor"));
        let operations = self.operations_deadline().map(|at| (at, "an operation"));
        let garbage = self.garbage.deadline().map(|at| (at, "an old sandbox"));
        [tasks, executors, registration, save, operations, garbage].into_iter().flatten().min()
    }

    fn check(&self) {
        invariants::all(self);
    }
}

/// What an agent with this configuration says of itself, before it has an id.
pub(crate) fn info_of(config: &Config) -> AgentInfo {
    AgentInfo {
        hostname: config.hostname.clone(),
        resources: config.resources.clone(),
        attributes: config.attributes.clone(),
        domain: config.domain.clone(),
        port: Some(i32::from(config.address.port())),
        checkpoint: Some(true),
        ..Default::default()
    }
}
