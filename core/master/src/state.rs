//! What a master knows: frameworks, agents, offers and tasks as plain values. Handlers stand beside their concern.

use crate::{EventCounts, allocator::Constraints};
use base::{Table, Time};
use model::{
    link::Upid,
    mesos::{
        self, AgentId, AgentInfo, ExecutorInfo, FrameworkInfo, Offer, Operation, Task, TaskState, agent_info,
        framework_info::capability::Type as Cap, scheduler::OfferConstraints,
    },
    request::{Codec, StreamId},
    resources::Resources,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::Arc,
};

/// How a framework is reached.
#[derive(Clone, Debug)]
pub enum Session {
    /// By events of the HTTP API.
    Http(Stream),
    /// By messages to a libmesos driver.
    Driver(Upid),
}

impl Session {
    /// The stream of events, if it is one.
    pub fn stream(&self) -> Option<&Stream> {
        match self {
            Self::Http(stream) => Some(stream),
            Self::Driver(_) => None,
        }
    }
}

/// An open scheduler stream.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its number.
    pub id: StreamId,
    /// What the client must name in `Mesos-Stream-Id`.
    pub uuid: String,
    /// How events are said.
    pub codec: Codec,
}

/// A framework.
#[derive(Clone, Debug)]
pub struct Framework {
    /// What it says of itself, its id included.
    pub info: FrameworkInfo,
    /// How it is reached; none = disconnected.
    pub session: Option<Session>,
    /// The driver by which it is or was last reached.
    pub driver: Option<Upid>,
    /// Whether its driver asked for no more offers without leaving.
    pub deactivated: bool,
    /// When it first subscribed.
    pub registered: Time,
    /// When it last subscribed.
    pub reregistered: Time,
    /// When it ended.
    pub unregistered: Option<Time>,
    /// Its tasks that are not forgotten, by id.
    pub tasks: Table<String, Task>,
    /// Its tasks on unreachable agents.
    pub unreachable_tasks: Table<String, Task>,
    /// Its ended tasks, oldest first.
    pub completed_tasks: Table<u64, Task>,
    /// Tasks of it that have ended.
    pub completed: u64,
    /// Its outstanding offers.
    pub offers: Table<String, ()>,
    /// Its executors: agent and executor id.
    pub executors: Table<(String, String), ()>,
    /// Its operations that are not forgotten: number and agent.
    pub operations: BTreeMap<OperationUuid, String>,
    /// Those of them that it named.
    pub operation_ids: BTreeMap<String, OperationUuid>,
    /// Which agents it wants to hear of.
    pub constraints: Option<Arc<Constraints>>,
    /// Known only from agents or the registry: it has not subscribed since this master started.
    pub recovered: bool,
    /// What it called and what became of that, by metric.
    pub counts: BTreeMap<&'static str, u64>,
    /// What it was told.
    pub events: EventCounts,
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
    /// What it asked of the agents that it is offered.
    pub fn offer_constraints(&self) -> OfferConstraints {
        self.constraints.as_ref().map(|c| c.said().clone()).unwrap_or_default()
    }
    /// Whether offers are made to it.
    pub fn is_active(&self) -> bool {
        self.session.is_some() && !self.deactivated
    }
    /// Ids of agents where it has tasks or executors.
    pub fn agents(&self) -> BTreeSet<&str> {
        let tasks = self.tasks.values().map(|t| t.agent_id.value.as_str());
        tasks.chain(self.executors.keys().map(|(agent, _)| agent.as_str())).collect()
    }
    /// Counts one more.
    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }
    /// Whether the last update of this task on this agent was already handed on, acknowledged since or not.
    pub fn heard_the_end(&self, task: &str, agent: Option<&AgentId>) -> bool {
        let ended = |t: &Task| {
            let said = t.status_update_state.and_then(|s| TaskState::try_from(s).ok());
            said.is_some_and(is_terminal) && agent.is_none_or(|id| t.agent_id == *id)
        };
        match self.tasks.get(task) {
            Some(task) => ended(task),
            None => self.completed_tasks.values().rev().any(|t| t.task_id.value == task && ended(t)),
        }
    }
    /// Keeps an ended task for reading.
    pub fn complete(&mut self, task: Task, max: usize) {
        self.completed_tasks.insert(self.completed, task);
        self.completed += 1;
        while self.completed_tasks.len() > max {
            self.completed_tasks.pop_first();
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
#[derive(Clone, Debug)]
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
    /// When it first registered.
    pub registered: Time,
    /// When it last reregistered.
    pub reregistered: Option<Time>,
    /// Its tasks: framework and task id.
    pub tasks: BTreeSet<(String, String)>,
    /// Tasks of it that are to be killed, as they were asked for: said again when it comes back.
    pub killed: BTreeMap<(String, String), Option<mesos::KillPolicy>>,
    /// Offers of it.
    pub offers: BTreeSet<String>,
    /// Executors that frameworks brought, by framework and executor id, until they exit.
    pub executors: BTreeMap<(String, String), ExecutorInfo>,
    /// Operations that are not forgotten.
    pub operations: BTreeMap<OperationUuid, Operation>,
    /// Those of them that have not ended and are not done in `total`: the agent came back without a word of them.
    pub uncounted: BTreeSet<OperationUuid>,
    /// What it did not do and is still done in `total`, since something uses what it was to make.
    pub owed: Vec<Operation>,
    /// Tasks that it spoke of, nobody here knows, and it was asked for its list because of: once for each.
    pub asked: BTreeSet<(String, String)>,
    /// When an operator began to drain it, if this master saw that.
    pub drain_started: Option<Time>,
    /// Sent back with tasks, so that the agent knows the state of its resources is the one meant.
    pub state: ResourceState,
}

/// States of its resources that an agent has named before and that are remembered.
const FORMER_STATES_MAX: usize = 8;

/// How an agent names the state that its resources are in.
#[derive(Clone, Debug, Default)]
pub struct ResourceState {
    /// As it did last.
    pub now: Option<mesos::Uuid>,
    /// As it did before.
    former: VecDeque<mesos::Uuid>,
}

impl ResourceState {
    /// Whether it has named it before, so that what else it says may be late.
    pub(crate) fn knows(&self, named: Option<&mesos::Uuid>) -> bool {
        named.is_some() && (self.now.as_ref() == named || named.is_some_and(|n| self.former.contains(n)))
    }
    /// It names this one now.
    pub(crate) fn enter(&mut self, named: Option<mesos::Uuid>) {
        if self.now == named || named.is_none() {
            return;
        }
        self.former.retain(|former| Some(former) != named.as_ref());
        if self.former.len() == FORMER_STATES_MAX {
            self.former.pop_front();
        }
        self.former.extend(std::mem::replace(&mut self.now, named));
    }
}

/// The number of an operation, given by a master.
pub type OperationUuid = Vec<u8>;

impl Agent {
    /// Its id.
    pub fn id(&self) -> &str {
        self.info.id.as_ref().map_or("", |id| id.value.as_str())
    }
    /// Whether it named this capability.
    pub fn can(&self, capability: agent_info::capability::Type) -> bool {
        self.capabilities.iter().any(|c| c.r#type() == capability)
    }
    /// What it can do.
    pub fn abilities(&self) -> Vec<agent_info::capability::Type> {
        self.capabilities.iter().map(|c| c.r#type()).collect()
    }
}

impl fmt::Display for Agent {
    /// As upstream prints agents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} ({})", self.id(), self.pid, self.info.hostname)
    }
}

/// An outstanding offer.
#[derive(Clone, Debug)]
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

pub use model::task::is_terminal;
