//! Agents, frameworks and the whole state as messages of the operator API. Never text (`endpoints`).

use crate::{Agent, Framework, Outstanding, Policy, is_terminal};
use base::{Table, Time};
use model::{
    link::Upid,
    mesos::{
        AgentId, AgentInfo, ExecutorInfo, InverseOffer, MachineId, Resource, Task, TimeInfo,
        master::response::{
            GetAgents, GetExecutors, GetFrameworks, GetOperations, GetState, GetTasks, get_agents,
            get_executors, get_frameworks,
        },
    },
    resources::{Format, Resources, allocation_role},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

pub(crate) fn machine(info: &AgentInfo, pid: &Upid) -> MachineId {
    MachineId { hostname: Some(info.hostname.clone()), ip: Some(pid.address.ip().to_string()) }
}

fn time(at: Time) -> TimeInfo {
    TimeInfo { nanoseconds: at.as_nanos() as i64 }
}

impl Agent {
    /// The machine that it runs on, as maintenance names it.
    pub fn machine(&self) -> MachineId {
        machine(&self.info, &self.pid)
    }
}

/// What the tables of a master say, between two steps or in a copy of them.
pub trait Tables {
    /// Agents that are registered, by id.
    fn agents(&self) -> &Table<String, Agent>;
    /// Agents of the registry that have not come back since the start.
    fn recovering(&self) -> &Table<String, AgentInfo>;
    /// Frameworks that have not ended, by id.
    fn frameworks(&self) -> &Table<String, Framework>;
    /// Ended frameworks, oldest first.
    fn completed_frameworks(&self) -> &VecDeque<Arc<Framework>>;
    /// Outstanding offers, by id.
    fn offers(&self) -> &Table<String, Outstanding>;
    /// Inverse offers that are not answered, by framework and id.
    fn inverse_offers(&self) -> &Table<(String, String), InverseOffer>;
    /// What operators decided.
    fn policy(&self) -> &Policy;

    /// What tasks use of an agent, with the roles that it is allocated to.
    fn used_messages(&self, agent: &Agent) -> Vec<Resource> {
        let tasks = agent.tasks.iter().filter_map(|(f, t)| self.frameworks().get(f)?.tasks.get(t));
        used_by_role(usage(tasks), agent.executors.values())
    }

    /// What is offered of an agent, with the roles that it is offered to.
    fn offered_messages(&self, agent: &Agent) -> Vec<Resource> {
        offered_by_role(self.offers(), agent.offers.iter())
    }

    /// Whether offers of it are made.
    fn is_active(&self, agent: &Agent) -> bool {
        let id = agent.info.id.as_ref().map_or("", |id| id.value.as_str());
        agent.connected && !self.policy().is_deactivated(id)
    }

    /// An agent, as GET_AGENTS and AGENT_ADDED have it.
    fn agent_message(&self, agent: &Agent) -> get_agents::Agent {
        let id = agent.info.id.as_ref().map_or("", |id| id.value.as_str());
        get_agents::Agent {
            agent_info: agent.info.clone(),
            active: self.is_active(agent),
            version: agent.version.clone(),
            pid: Some(agent.pid.to_string()),
            registered_time: Some(time(agent.registered)),
            reregistered_time: agent.reregistered.map(time),
            total_resources: agent.total.to_messages_as(Format::Both),
            allocated_resources: self.used_messages(agent),
            offered_resources: self.offered_messages(agent),
            capabilities: agent.capabilities.clone(),
            resource_providers: Vec::new(),
            deactivated: Some(self.policy().is_deactivated(id)),
            drain_info: self.policy().draining.get(id).cloned(),
            estimated_drain_start_time: agent.drain_started.map(time),
        }
    }

    /// A framework, as GET_FRAMEWORKS has it.
    fn framework_shown(&self, framework: &Framework) -> get_frameworks::Framework {
        self.framework_using(framework, usage(framework.tasks.values()))
    }

    /// The same, where it is known what its tasks use.
    fn framework_using(
        &self,
        framework: &Framework,
        used: BTreeMap<String, Resources>,
    ) -> get_frameworks::Framework {
        let offers = framework.offers.keys().filter_map(|id| self.offers().get(id));
        get_frameworks::Framework {
            framework_info: framework.info.clone(),
            active: framework.is_active(),
            connected: framework.session.is_some(),
            registered_time: (!framework.recovered).then(|| time(framework.registered)),
            reregistered_time: (!framework.recovered).then(|| time(framework.reregistered)),
            unregistered_time: framework.unregistered.map(time),
            offers: offers.map(|o| o.offer.clone()).collect(),
            inverse_offers: crate::inverse::of_framework(self.inverse_offers(), framework.id())
                .cloned()
                .collect(),
            allocated_resources: used_by_role(used, self.executors_of(framework).map(|(info, _)| info)),
            offered_resources: offered_by_role(self.offers(), framework.offers.keys()),
            recovered: framework.recovered,
            offer_constraints: Some(framework.offer_constraints()),
        }
    }

    /// A framework, as events have it.
    fn framework_event(&self, framework: &Framework) -> get_frameworks::Framework {
        let mut message = self.framework_shown(framework);
        message.unregistered_time = Some(time(framework.unregistered.unwrap_or(Time::EPOCH)));
        message.offer_constraints = None;
        // What it holds is told of each task and executor (apache/mesos@c1b42f79:src/common/protobuf_utils.cpp).
        message.allocated_resources.clear();
        message.offered_resources.clear();
        message.offers.clear();
        message.inverse_offers.clear();
        message
    }

    /// Executors that a framework brought and that run, and where.
    fn executors_of<'a>(
        &'a self,
        framework: &'a Framework,
    ) -> impl Iterator<Item = (&'a ExecutorInfo, &'a str)> {
        framework.executors.keys().filter_map(|(agent, id)| {
            let key = (framework.id().to_owned(), id.clone());
            Some((self.agents().get(agent)?.executors.get(&key)?, agent.as_str()))
        })
    }

    /// Live and ended frameworks.
    fn all_frameworks(&self) -> impl Iterator<Item = &Framework> {
        self.frameworks().values().chain(self.completed_frameworks().iter().map(|f| &**f))
    }

    /// Tasks that are not forgotten: live ones, then unreachable, then completed.
    fn all_tasks(&self) -> [Box<dyn Iterator<Item = &Task> + '_>; 3] {
        [
            Box::new(self.frameworks().values().flat_map(|f| f.tasks.values())),
            Box::new(self.frameworks().values().flat_map(|f| f.unreachable_tasks.values())),
            Box::new(self.all_frameworks().flat_map(|f| f.completed_tasks.values())),
        ]
    }

    /// All agents.
    fn agents_message(&self) -> GetAgents {
        GetAgents {
            agents: self.agents().values().map(|a| self.agent_message(a)).collect(),
            recovered_agents: self.recovering().values().cloned().collect(),
        }
    }

    /// All frameworks.
    fn frameworks_message(&self) -> GetFrameworks {
        GetFrameworks {
            frameworks: self.frameworks().values().map(|f| self.framework_shown(f)).collect(),
            completed_frameworks: self
                .completed_frameworks()
                .iter()
                .map(|f| self.framework_shown(f))
                .collect(),
            ..Default::default()
        }
    }

    /// All tasks, cloned. Text is written from `all_tasks` instead.
    fn tasks_message(&self) -> GetTasks {
        let [tasks, unreachable, completed] = self.all_tasks();
        GetTasks {
            tasks: tasks.cloned().collect(),
            unreachable_tasks: unreachable.cloned().collect(),
            completed_tasks: completed.cloned().collect(),
            ..Default::default()
        }
    }

    /// All executors that frameworks brought.
    fn executors_message(&self) -> GetExecutors {
        let all = self.frameworks().values().flat_map(|f| self.executors_of(f));
        let executor = |(info, agent): (&ExecutorInfo, &str)| get_executors::Executor {
            executor_info: info.clone(),
            agent_id: AgentId { value: agent.to_owned() },
        };
        GetExecutors { executors: all.map(executor).collect(), ..Default::default() }
    }

    /// Operations that are under way or whose end nobody has acknowledged.
    fn operations_message(&self) -> GetOperations {
        let all = self.agents().values().flat_map(|agent| agent.operations.values());
        GetOperations { operations: all.cloned().collect() }
    }

    /// Everything, as a new subscriber of the event stream gets it.
    fn state_message(&self) -> GetState {
        GetState {
            get_tasks: Some(self.tasks_message()),
            get_executors: Some(self.executors_message()),
            get_frameworks: Some(self.frameworks_message()),
            get_agents: Some(self.agents_message()),
        }
    }
    /// What is offered of an agent.
    fn offered_on(&self, agent: &Agent) -> Resources {
        let mut sum = Resources::default();
        for offer in agent.offers.iter().filter_map(|id| self.offers().get(id)) {
            sum += &offer.resources;
        }
        sum
    }

    /// What tasks and executors use of an agent.
    fn used_on(&self, agent: &Agent) -> Resources {
        let mut sum = Resources::default();
        for (framework, task) in &agent.tasks {
            let task = self.frameworks().get(framework).and_then(|f| f.tasks.get(task));
            let Some(task) = task.filter(|t| !is_terminal(t.state())) else { continue };
            if let Ok(used) = Resources::from_messages(&task.resources) {
                sum += &used;
            }
        }
        for executor in agent.executors.values() {
            if let Ok(used) = Resources::from_messages(&executor.resources) {
                sum += &used;
            }
        }
        sum
    }
}

/// What tasks that have not ended use, by the role that it is allocated to.
pub fn usage<'a>(tasks: impl Iterator<Item = &'a Task>) -> BTreeMap<String, Resources> {
    let mut by_role: BTreeMap<String, Resources> = BTreeMap::new();
    for task in tasks.filter(|t| !is_terminal(t.state())) {
        add_usage(&mut by_role, &task.resources);
    }
    by_role
}

fn add_usage(by_role: &mut BTreeMap<String, Resources>, resources: &[Resource]) {
    if let Ok(used) = Resources::from_messages(resources) {
        let role = allocation_role(resources).unwrap_or("*");
        match by_role.get_mut(role) {
            Some(sum) => *sum += &used,
            None => drop(by_role.insert(role.to_owned(), used)),
        }
    }
}

/// The same with what executors use.
fn used_by_role<'a>(
    mut by_role: BTreeMap<String, Resources>,
    executors: impl Iterator<Item = &'a ExecutorInfo>,
) -> Vec<Resource> {
    executors.for_each(|executor| add_usage(&mut by_role, &executor.resources));
    by_role.iter().flat_map(|(role, used)| used.allocate(role, Format::Both)).collect()
}

fn offered_by_role<'a>(
    all: &Table<String, Outstanding>,
    ids: impl Iterator<Item = &'a String>,
) -> Vec<Resource> {
    let mut by_role: BTreeMap<&str, Resources> = BTreeMap::new();
    for offer in ids.filter_map(|id| all.get(id)) {
        *by_role.entry(&offer.role).or_default() += &offer.resources;
    }
    by_role.iter().flat_map(|(role, held)| held.allocate(role, Format::Both)).collect()
}
