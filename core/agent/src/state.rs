//! What an agent knows of its tasks: plain values. Handlers stand beside their concern.

use base::{Duration, Time};
use model::{
    container::ContainerId,
    mesos::{FrameworkInfo, TaskInfo, TaskState, TaskStatus, internal::StatusUpdate},
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
}

/// Where a kill stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kill {
    No,
    /// SIGTERM was sent; SIGKILL follows at that time.
    Asked {
        force_at: Time,
    },
    Forced,
    /// Asked for before a restart: asked for again once the launcher has said what runs.
    Recovered {
        grace: Duration,
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
}

/// A task and its container.
#[derive(Clone, Debug)]
pub struct Task {
    /// Whose it is.
    pub framework: String,
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
    pub(crate) healthy: Option<bool>,
    pub(crate) end_at: Option<Time>,
    /// Its container is gone, or never was.
    pub(crate) ended: bool,
    /// Nobody asks about it any more: its framework is over.
    pub(crate) silent: bool,
    /// It never was here; only its last word is.
    pub(crate) ghost: bool,
    /// An acknowledgement is not durable yet: the next update waits for it.
    pub(crate) held: bool,
}

impl Task {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.info.task_id.value
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
}

/// Whether a task in this state never runs again.
pub(crate) fn is_terminal(state: TaskState) -> bool {
    matches!(
        state,
        TaskState::TaskFinished
            | TaskState::TaskFailed
            | TaskState::TaskKilled
            | TaskState::TaskError
            | TaskState::TaskLost
            | TaskState::TaskDropped
            | TaskState::TaskGone
            | TaskState::TaskGoneByOperator
    )
}
