//! What a master knows: frameworks, agents, offers and tasks as plain values. Handlers stand beside their concern.

use base::Time;
use model::{
    link::Upid,
    mesos::{
        self, AgentId, AgentInfo, FrameworkInfo, Offer, Task, TaskState, agent_info,
        framework_info::capability::Type as Cap,
    },
    request::{Codec, StreamId},
    resources::Resources,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// An open scheduler stream.
#[derive(Clone, Debug)]
pub struct Session {
    /// The stream.
    pub stream: StreamId,
    /// What the client must name in `Mesos-Stream-Id`.
    pub uuid: String,
    /// How events are said.
    pub codec: Codec,
}

/// A framework.
#[derive(Debug)]
pub struct Framework {
    /// What it says of itself, its id included.
    pub info: FrameworkInfo,
    /// Its open stream; none = disconnected.
    pub session: Option<Session>,
    /// When it first subscribed.
    pub registered: Time,
    /// When it last subscribed.
    pub reregistered: Time,
    /// When it ended.
    pub unregistered: Option<Time>,
    /// Its tasks that are not forgotten, by id.
    pub tasks: BTreeMap<String, Task>,
    /// Its tasks on unreachable agents.
    pub unreachable_tasks: BTreeMap<String, Task>,
    /// Its ended tasks, oldest first.
    pub completed_tasks: VecDeque<Task>,
    /// Its outstanding offers.
    pub offers: BTreeSet<String>,
    /// Known only from agents or the registry: it has not subscribed since this master started.
    pub recovered: bool,
}

impl Framework {
    /// Its id.
    pub fn id(&self) -> &str {
        self.info.id.as_ref().map_or("", |id| id.value.as_str())
    }
    /// Whether it named this capability.
    pub fn can(&self, capability: Cap) -> bool {
        self.info.capabilities.iter().any(|c| c.r#type() == capability)
    }
    /// The roles it is subscribed to.
    pub fn roles(&self) -> Vec<String> {
        roles(&self.info)
    }
    /// Whether the last update of this task on this agent was already handed on, acknowledged since or not.
    pub fn heard_the_end(&self, task: &str, agent: Option<&AgentId>) -> bool {
        let ended = |t: &Task| {
            let said = t.status_update_state.and_then(|s| TaskState::try_from(s).ok());
            said.is_some_and(is_terminal) && agent.is_none_or(|id| t.agent_id == *id)
        };
        match self.tasks.get(task) {
            Some(task) => ended(task),
            None => self.completed_tasks.iter().rev().any(|t| t.task_id.value == task && ended(t)),
        }
    }
    /// Keeps an ended task for reading.
    pub fn complete(&mut self, task: Task, max: usize) {
        self.completed_tasks.push_back(task);
        while self.completed_tasks.len() > max {
            self.completed_tasks.pop_front();
        }
    }
}

/// The roles that a framework's info asks for.
pub fn roles(info: &FrameworkInfo) -> Vec<String> {
    if info.capabilities.iter().any(|c| c.r#type() == Cap::MultiRole) {
        info.roles.clone()
    } else {
        vec![info.role().to_owned()]
    }
}

/// An agent.
#[derive(Debug)]
pub struct Agent {
    /// What it says of itself, its id included.
    pub info: AgentInfo,
    /// Where it listens.
    pub pid: Upid,
    /// Its version.
    pub version: String,
    /// What it can do.
    pub capabilities: Vec<agent_info::Capability>,
    /// Everything it has.
    pub total: Resources,
    /// Whether its link stands.
    pub connected: bool,
    /// The process that pings it.
    pub observer: String,
    /// Pings without a pong.
    pub pings_missed: u32,
    /// When it first registered.
    pub registered: Time,
    /// When it last reregistered.
    pub reregistered: Option<Time>,
    /// Its tasks: framework and task id.
    pub tasks: BTreeSet<(String, String)>,
    /// Offers of it.
    pub offers: BTreeSet<String>,
    /// Sent back with tasks, so that the agent knows the state of its resources is the one meant.
    pub resource_version: Option<mesos::Uuid>,
}

/// An outstanding offer.
#[derive(Debug)]
pub struct Outstanding {
    /// As it was sent.
    pub offer: Offer,
    /// Whose it is.
    pub framework: Arc<str>,
    /// Where it is.
    pub agent: Arc<str>,
    /// In which role.
    pub role: Arc<str>,
    /// What it holds.
    pub resources: Resources,
}

/// Whether a task in this state never runs again.
pub fn is_terminal(state: TaskState) -> bool {
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
