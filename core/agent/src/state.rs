//! What an agent knows of its tasks and executors: plain values. Handlers stand beside their concern.

use base::{Duration, Time};
use model::{
    container::ContainerId,
    link::Upid,
    mesos::{
        CheckStatusInfo, ExecutorInfo, FrameworkInfo, TaskInfo, TaskState, TaskStatus, executor_info,
        internal::StatusUpdate, task_status::Reason,
    },
    request::StreamId,
};
use std::collections::VecDeque;

/// An update that is not acknowledged yet.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// Its place in the order of all updates, and its key.
    pub number: u64,
    pub update: StatusUpdate,
    /// Nothing is said before it is durable.
    pub durable: bool,
    /// The executor that made it hears when it is durable.
    pub tell: bool,
    /// How large it is.
    pub bytes: usize,
}

impl Pending {
    pub fn new(number: u64, update: StatusUpdate, durable: bool, tell: bool) -> Self {
        let bytes = prost::Message::encoded_len(&update);
        Self { number, update, durable, tell, bytes }
    }
}

/// Where a kill stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kill {
    No,
    /// SIGTERM was sent; SIGKILL follows at that time.
    Asked {
        force_at: Time,
    },
    /// SIGKILL was sent; it is sent again at that time, for an order can be lost with a launcher.
    Forced {
        again_at: Time,
    },
}

/// What ends a task besides its own exit, if something does: it decides the final state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Own,
    Killed,
    Unhealthy,
    TooLong,
}

/// A health check or check at work.
#[derive(Clone, Debug)]
pub(crate) struct Checking {
    pub next: Time,
    pub failures: u32,
    /// The first success ends the grace period.
    pub started: Time,
    pub last: Option<bool>,
    pub asked: bool,
    /// Its port can't be, which every framework is told.
    pub unaskable: bool,
}

/// A check at work: reports what it sees and never ends a task.
#[derive(Clone, Debug)]
pub(crate) struct Watching {
    pub next: Time,
    pub asked: bool,
    /// What was seen last; said with every update.
    pub seen: CheckStatusInfo,
}

/// Who runs a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runner {
    /// The agent, in a container of the task's own: it plays the command executor.
    Agent,
    /// An executor that the framework brought, in that executor's container.
    Executor(String),
    /// The agent, in a container under that of the executor: it plays the default executor.
    Group {
        /// The executor's id.
        executor: String,
        /// The container around it.
        parent: ContainerId,
        /// Which of the executor's groups.
        number: u64,
    },
}

/// A task and its container.
#[derive(Clone, Debug)]
pub struct Task {
    /// Whose it is.
    pub framework: String,
    /// Who runs it.
    pub runner: Runner,
    /// Where it runs.
    pub container: ContainerId,
    /// What was asked for.
    pub info: TaskInfo,
    /// Its sandbox.
    pub directory: String,
    /// Its first process; none before it runs.
    pub pid: Option<u32>,
    /// Where it stands.
    pub state: TaskState,
    /// Its statuses so far, oldest first.
    pub statuses: Vec<TaskStatus>,
    pub(crate) pending: VecDeque<Pending>,
    pub(crate) retry_at: Option<Time>,
    pub(crate) retry_after: Duration,
    pub(crate) kill: Kill,
    pub(crate) cause: Cause,
    pub(crate) health: Option<Checking>,
    pub(crate) check: Option<Watching>,
    pub(crate) healthy: Option<bool>,
    pub(crate) end_at: Option<Time>,
    /// When its container was seen to start.
    pub(crate) begun: Option<Time>,
    /// Its container was ordered of the launcher.
    pub(crate) ordered: bool,
    /// Its container is gone, or never was.
    pub(crate) ended: bool,
    /// Only its updates are here: the task itself never was, or is forgotten.
    pub(crate) ghost: bool,
    /// Nobody asks about it any more: its framework is over.
    pub(crate) silent: bool,
    /// An acknowledgement is not durable yet: the next update waits for it.
    pub(crate) held: bool,
}

impl Task {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.info.task_id.value
    }
    /// The executor that it belongs to: for a command task its own id.
    pub fn executor_id(&self) -> &str {
        match &self.runner {
            Runner::Agent => self.id(),
            Runner::Executor(id) | Runner::Group { executor: id, .. } => id,
        }
    }
    /// Whether it is or was a task, not merely an update about one.
    pub fn is_real(&self) -> bool {
        !self.ghost
    }
    /// Whether the master hears of it in a list of tasks.
    pub(crate) fn is_known(&self) -> bool {
        !self.ghost || is_terminal(self.state)
    }
    /// Whether the agent itself starts and ends it.
    pub(crate) fn is_played(&self) -> bool {
        !matches!(self.runner, Runner::Executor(_))
    }
    /// Whether its container may still run.
    pub fn is_live(&self) -> bool {
        !self.ended
    }
    /// Whether the framework has yet to acknowledge something.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }
}

/// A framework with tasks here.
#[derive(Clone, Debug)]
pub struct Framework {
    /// What it says of itself.
    pub info: FrameworkInfo,
    /// Where its driver listens, if it has one (v0).
    pub(crate) pid: Option<String>,
    /// The master has shut it down: nobody acknowledges its updates.
    pub(crate) ending: bool,
}

/// Where an executor stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Phase {
    /// Its container is on its way.
    Starting,
    /// It runs and has yet to say so.
    Registering { until: Time, again: bool },
    /// It takes tasks.
    Running,
    /// It was asked to end; its container is destroyed at that time.
    Ending { force_at: Time },
    /// Its container is destroyed.
    Forced,
    /// Its container is gone.
    Ended,
}

/// How an executor is reached.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Speaker {
    Nobody,
    /// By its event stream (v1).
    Stream(StreamId),
    /// By messages to its driver (v0).
    Driver(Upid),
}

/// Tasks on their way to an executor.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub number: u64,
    pub tasks: Vec<String>,
    pub group: bool,
    pub durable: bool,
}

/// An executor with a container of its own.
#[derive(Clone, Debug)]
pub struct Executor {
    /// Whose it is.
    pub framework: String,
    /// What was asked for.
    pub info: ExecutorInfo,
    /// Its container.
    pub container: ContainerId,
    /// Its sandbox.
    pub directory: String,
    /// Its first process; none before it runs.
    pub pid: Option<u32>,
    pub(crate) phase: Phase,
    pub(crate) speaker: Speaker,
    pub(crate) queue: Vec<Queued>,
    /// It was given a task once.
    pub(crate) sent: bool,
    /// Why the agent ends it: state, reason and text for its tasks.
    pub(crate) why: Option<(TaskState, Reason, String)>,
    pub(crate) heartbeat_at: Option<Time>,
    /// A default executor whose tasks are over ends then, or once all of them are acknowledged.
    pub(crate) idle_until: Option<Time>,
    /// Its container was ordered of the launcher.
    pub(crate) ordered: bool,
    /// A task of this default executor was ended for its health: those that end after it say so too.
    pub(crate) unhealthy: bool,
}

impl Executor {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.info.executor_id.value
    }
    /// Whether the agent plays it: task groups in nested containers.
    pub fn is_default(&self) -> bool {
        self.info.r#type() == executor_info::Type::Default
    }
    /// Whether its container may still run.
    pub fn is_live(&self) -> bool {
        self.phase != Phase::Ended
    }
    /// Whether it takes tasks.
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }
    /// Whether it has yet to say that it is there.
    pub fn is_registering(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Registering { .. })
    }
    /// Whether it is being ended.
    pub fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending { .. } | Phase::Forced)
    }
}

impl crate::timed::Deadline for Executor {
    fn deadline(&self) -> Option<Time> {
        let phase = match self.phase {
            Phase::Registering { until, .. } => Some(until),
            Phase::Ending { force_at } => Some(force_at),
            _ => None,
        };
        [phase, self.heartbeat_at, self.idle_until].into_iter().flatten().min()
    }
}

pub(crate) use model::task::is_terminal;
