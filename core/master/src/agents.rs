//! Agents: admission, return, pings, disconnection, unreachability. Never what their tasks do (`updates`).

use crate::{
    Agent, Effect, Master, allocator::AgentTerms, is_terminal, registry, saves::Then, timers::Timer,
};
use base::{Effects, Now, Time};
use model::{
    link::{Envelope, Message, Upid},
    mesos::{
        AgentId, AgentInfo, FrameworkId, Task, TaskState, agent_info, internal,
        scheduler::{Event, event},
        task_status::Reason,
    },
    resources::Resources,
};
use std::{collections::BTreeSet, net::SocketAddr};

impl Master {
    /// Every message of the link. What comes from a process that may not say it is dropped and counted.
    pub(crate) fn message(&mut self, now: &mut Now<'_>, envelope: Envelope, out: &mut Effects<Effect>) {
        let at = now.time;
        let from = envelope.from.clone();
        match envelope.message {
            Message::RegisterSlaveMessage(_) | Message::ReregisterSlaveMessage(_) => {
                self.register(now, envelope, out)
            }
            Message::PongSlaveMessage(_) => {
                let agent = self.agents.values_mut().find(|a| a.observer == envelope.to.id && a.pid == from);
                if let Some(agent) = agent {
                    agent.pings_missed = 0;
                }
            }
            Message::StatusUpdateMessage(m) => {
                if self.speaks_for(
                    &from,
                    &m.update.slave_id.as_ref().map_or(String::new(), |id| id.value.clone()),
                ) {
                    self.status_update(m.update, at, out);
                }
            }
            Message::UpdateSlaveMessage(m) => {
                if self.speaks_for(&from, &m.slave_id.value)
                    && let Some(agent) = self.agents.get_mut(&m.slave_id.value)
                {
                    agent.resource_version = m.resource_version_uuid;
                }
            }
            Message::ExitedExecutorMessage(m) => {
                if self.speaks_for(&from, &m.slave_id.value) {
                    let failure = event::Failure {
                        agent_id: Some(m.slave_id.clone()),
                        executor_id: Some(m.executor_id.clone()),
                        status: Some(m.status),
                    };
                    self.event(&m.framework_id.value, failure_event(failure), out);
                }
            }
            Message::ExecutorToFrameworkMessage(m) => {
                if self.speaks_for(&from, &m.slave_id.value) {
                    let message =
                        event::Message { agent_id: m.slave_id, executor_id: m.executor_id, data: m.data };
                    let event = Event {
                        r#type: Some(event::Type::Message.into()),
                        message: Some(message),
                        ..Default::default()
                    };
                    self.event(&m.framework_id.value, event, out);
                }
            }
            Message::UnregisterSlaveMessage(m) => {
                if self.speaks_for(&from, &m.slave_id.value) {
                    self.lose_agent(&m.slave_id.value, Loss::Unregistered, at, out);
                }
            }
            _ => self.counters.messages_dropped += 1,
        }
    }

    /// Whether this process is the agent of that id; a message that forges it is dropped.
    fn speaks_for(&mut self, from: &Upid, agent: &str) -> bool {
        let known = self.agents.get(agent).is_some_and(|a| a.pid == *from);
        if !known {
            self.counters.messages_dropped += 1;
        }
        known
    }

    fn register(&mut self, now: &mut Now<'_>, mut envelope: Envelope, out: &mut Effects<Effect>) {
        let from = envelope.from.clone();
        // one that is being given up comes back when that is durable: it asks again
        let given_up = matches!(&envelope.message, Message::ReregisterSlaveMessage(m)
            if m.slave.id.as_ref().is_some_and(|id| self.leaving.contains(&id.value)));
        if given_up || self.saves.admitting(&from) {
            return;
        }
        let (info, fresh) = match &envelope.message {
            Message::RegisterSlaveMessage(m) => (m.slave.clone(), true),
            Message::ReregisterSlaveMessage(m) => (m.slave.clone(), false),
            _ => return,
        };
        if let Err(invalid) = Resources::from_messages(&info.resources) {
            let message = format!("Agent's resources are invalid: {invalid}");
            let refusal = internal::ShutdownMessage { message: Some(message) };
            out.push(Effect::Send(Box::new(Envelope { from: self.me(), to: from, message: refusal.into() })));
            return;
        }
        let id = if fresh {
            // A repeated registration whose answer was lost gets the same answer.
            if let Some(agent) = self.agents.values().find(|a| a.pid == from && a.connected) {
                let id = agent.info.id.clone().unwrap_or_default();
                let again = self.registered_message(&id.value);
                self.tell(agent, again, out);
                return;
            }
            // Its predecessor at this address died without a trace of its state.
            let before = self.agents.iter().find(|(_, a)| a.pid == from).map(|(id, _)| id.clone());
            if let Some(before) = before {
                self.lose_agent(&before, Loss::Replaced, now.time, out);
            }
            let id = format!("{}-S{}", self.id, self.next_agent);
            self.next_agent += 1;
            id
        } else {
            info.id.as_ref().map_or(String::new(), |id| id.value.clone())
        };
        if id.is_empty() || validate_id(&id).is_some() {
            self.counters.messages_dropped += 1;
            return;
        }
        let mut info = info;
        info.id = Some(AgentId { value: id.clone() });
        set_info(&mut envelope, info.clone());
        let known =
            self.agents.get(&id).is_some_and(|a| a.info == info) && !self.unreachable.contains_key(&id);
        if known {
            self.admitted(now, &id, envelope, out);
        } else {
            let batch = registry::admit(&id, &info);
            self.save(batch, Then::Admit { id, envelope: Box::new(envelope) }, out);
        }
    }

    /// The agent is in the registry: it is told so, and offers may be made of it.
    pub(crate) fn admitted(
        &mut self,
        now: &mut Now<'_>,
        id: &str,
        envelope: Envelope,
        out: &mut Effects<Effect>,
    ) {
        let at = now.time;
        let pid = envelope.from.clone();
        let (info, version, capabilities, uuid, tasks, frameworks) = match envelope.message {
            Message::RegisterSlaveMessage(m) => {
                (m.slave, m.version, m.agent_capabilities, m.resource_version_uuid, None, Vec::new())
            }
            Message::ReregisterSlaveMessage(m) => (
                m.slave,
                m.version,
                m.agent_capabilities,
                m.resource_version_uuid,
                Some(m.tasks),
                m.frameworks,
            ),
            _ => return,
        };
        self.recovering.remove(id);
        self.timers.cancel(&Timer::Reregister(id.to_owned()));
        let was_unreachable = self.unreachable.remove(id).is_some();
        self.next_observer += 1;
        let observer = format!("slave-observer({})", self.next_observer);
        let total = Resources::from_messages(&info.resources).unwrap_or_default();
        let before = self.agents.remove(id);
        if let Some(before) = &before {
            for offer in before.offers.clone() {
                self.rescind(&offer, at, out);
            }
        }
        let agent = Agent {
            registered: before.as_ref().map_or(at, |a| a.registered),
            reregistered: tasks.is_some().then_some(at),
            tasks: before.map_or_else(BTreeSet::new, |a| a.tasks),
            offers: BTreeSet::new(),
            version: version.unwrap_or_default(),
            connected: true,
            pings_missed: 0,
            resource_version: uuid,
            observer,
            capabilities,
            total,
            pid: pid.clone(),
            info,
        };
        self.agents.insert(id.to_owned(), agent);
        out.push(Effect::Link(pid));
        for framework in frameworks {
            self.recover_framework(framework, at);
        }
        let fresh = tasks.is_none();
        let reconciliations =
            tasks.map_or_else(Vec::new, |tasks| self.take_in_tasks(id, tasks, was_unreachable, at, out));
        self.offer_agent(id);
        let Some(agent) = self.agents.get(id) else { return };
        if fresh {
            let message = self.registered_message(id);
            self.tell(agent, message, out);
        } else {
            let connection = Some(self.connection());
            let slave_id = AgentId { value: id.to_owned() };
            self.tell(
                agent,
                internal::SlaveReregisteredMessage { slave_id, connection, reconciliations },
                out,
            );
        }
        self.send_ping(id, at, out);
        self.refresh_frameworks_on(id, out);
    }

    /// Tells the allocator what the agent has and who uses it.
    fn offer_agent(&mut self, id: &str) {
        let Some(agent) = self.agents.get(id) else { return };
        let mut used = Vec::new();
        for (framework, task) in &agent.tasks {
            let Some(f) = self.frameworks.get(framework) else { continue };
            let Some(task) = f.tasks.get(task).filter(|t| !is_terminal(t.state())) else { continue };
            let role = role_of(task);
            if let Ok(resources) = Resources::from_messages(&task.resources) {
                used.push((framework.as_str(), role, resources));
            }
        }
        let terms = AgentTerms {
            total: agent.total.clone(),
            hostname: agent.info.hostname.clone(),
            hierarchical_roles: agent
                .capabilities
                .iter()
                .any(|c| c.r#type() == agent_info::capability::Type::HierarchicalRole),
            remote_region: false,
        };
        self.allocator.add_agent(id, terms, &used);
        self.allocator.activate_agent(id);
    }

    /// The agent learns what connected frameworks with tasks on it say of themselves now.
    fn refresh_frameworks_on(&self, id: &str, out: &mut Effects<Effect>) {
        let Some(agent) = self.agents.get(id) else { return };
        let ids: BTreeSet<&str> = agent.tasks.iter().map(|(f, _)| f.as_str()).collect();
        for framework in
            ids.into_iter().filter_map(|f| self.frameworks.get(f)).filter(|f| f.session.is_some())
        {
            let message = internal::UpdateFrameworkMessage {
                framework_id: FrameworkId { value: framework.id().to_owned() },
                pid: Some("@0.0.0.0:0".to_owned()),
                framework_info: Some(framework.info.clone()),
            };
            self.tell(agent, message, out);
        }
    }

    fn connection(&self) -> internal::MasterSlaveConnection {
        let total = self.config.ping_timeout * self.config.pings_missed_max;
        internal::MasterSlaveConnection { total_ping_timeout_seconds: Some(total.as_secs_f64()) }
    }

    fn registered_message(&self, id: &str) -> internal::SlaveRegisteredMessage {
        let slave_id = AgentId { value: id.to_owned() };
        internal::SlaveRegisteredMessage { slave_id, connection: Some(self.connection()) }
    }

    fn send_ping(&mut self, id: &str, now: Time, out: &mut Effects<Effect>) {
        let Some(agent) = self.agents.get(id) else { return };
        let from = Upid::new(agent.observer.clone(), self.config.address);
        let message = internal::PingSlaveMessage { connected: agent.connected }.into();
        out.push(Effect::Send(Box::new(Envelope { from, to: agent.pid.clone(), message })));
        self.timers.set(Timer::Ping(id.to_owned()), now + self.config.ping_timeout);
    }

    /// The time for a pong is over.
    pub(crate) fn ping(&mut self, id: &str, now: Time, out: &mut Effects<Effect>) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        agent.pings_missed += 1;
        if agent.pings_missed > self.config.pings_missed_max {
            self.lose_agent(id, Loss::Unreachable, now, out);
        } else {
            self.send_ping(id, now, out);
        }
    }

    /// The link to a daemon broke: no offers of it until it comes back; what can't survive that is lost.
    pub(crate) fn exited(&mut self, peer: SocketAddr, now: Time, out: &mut Effects<Effect>) {
        let ids: Vec<_> =
            self.agents.iter().filter(|(_, a)| a.pid.address == peer).map(|(id, _)| id.clone()).collect();
        for id in ids {
            let Some(agent) = self.agents.get_mut(&id) else { continue };
            agent.connected = false;
            let (offers, tasks, host) =
                (agent.offers.clone(), agent.tasks.clone(), agent.info.hostname.clone());
            self.allocator.deactivate_agent(&id);
            for offer in offers {
                self.rescind(&offer, now, out);
            }
            for (framework, task) in tasks {
                if self.frameworks.get(&framework).is_some_and(|f| !f.info.checkpoint()) {
                    let message = format!("Agent {host} disconnected");
                    self.lose_task(
                        &framework,
                        &task,
                        TaskState::TaskLost,
                        Reason::AgentDisconnected,
                        &message,
                        now,
                        out,
                    );
                }
            }
        }
    }

    /// An agent of the registry stayed away after the master's restart.
    pub(crate) fn give_up_waiting(&mut self, id: &str, out: &mut Effects<Effect>) {
        if self.recovering.contains_key(id) && self.leaving.insert(id.to_owned()) {
            self.save(registry::unreachable(id), Then::NeverCameBack { id: id.to_owned() }, out);
        }
    }

    pub(crate) fn never_came_back(&mut self, id: &str, now: Time) {
        self.leaving.remove(id);
        if self.recovering.remove(id).is_some() {
            self.unreachable.insert(id.to_owned(), now);
        }
    }

    /// Gives an agent up: no more offers of it from now on, and its frameworks hear of it when that is durable.
    fn lose_agent(&mut self, id: &str, loss: Loss, now: Time, out: &mut Effects<Effect>) {
        let Some(agent) = self.agents.get_mut(id) else { return };
        if !self.leaving.insert(id.to_owned()) {
            return;
        }
        agent.connected = false;
        let offers = agent.offers.clone();
        self.allocator.deactivate_agent(id);
        for offer in offers {
            self.rescind(&offer, now, out);
        }
        self.timers.cancel(&Timer::Ping(id.to_owned()));
        let batch = match loss {
            Loss::Unreachable => registry::unreachable(id),
            Loss::Unregistered | Loss::Replaced => registry::remove_agent(id),
        };
        self.save(batch, Then::LoseAgent { id: id.to_owned(), loss }, out);
    }

    pub(crate) fn agent_lost(&mut self, id: &str, loss: Loss, now: Time, out: &mut Effects<Effect>) {
        self.leaving.remove(id);
        let Some(agent) = self.agents.get(id) else { return };
        let (offers, tasks, host) = (agent.offers.clone(), agent.tasks.clone(), agent.info.hostname.clone());
        for offer in offers {
            self.rescind(&offer, now, out);
        }
        let mut told: BTreeSet<String> = self.frameworks.keys().cloned().collect();
        for (framework, task) in tasks {
            let aware = self.frameworks.get(&framework).is_some_and(crate::frameworks::partition_aware);
            let (state, message) = match loss {
                Loss::Unreachable if aware => {
                    (TaskState::TaskUnreachable, "health check timed out".to_owned())
                }
                Loss::Unreachable => (TaskState::TaskLost, "health check timed out".to_owned()),
                Loss::Unregistered => {
                    (TaskState::TaskLost, format!("Agent {host} removed: the agent unregistered"))
                }
                Loss::Replaced => (
                    TaskState::TaskLost,
                    format!("Agent {host} removed: a new agent registered at the same address"),
                ),
            };
            self.lose_task(&framework, &task, state, Reason::AgentRemoved, &message, now, out);
        }
        self.agents.remove(id);
        self.timers.cancel(&Timer::Ping(id.to_owned()));
        self.allocator.remove_agent(id);
        if matches!(loss, Loss::Unreachable) {
            self.unreachable.insert(id.to_owned(), now);
        }
        told.retain(|f| self.frameworks.get(f).is_some_and(|f| f.session.is_some()));
        for framework in told {
            let failure =
                event::Failure { agent_id: Some(AgentId { value: id.to_owned() }), ..Default::default() };
            self.event(&framework, failure_event(failure), out);
        }
    }
}

/// Why an agent is no longer there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loss {
    Unreachable,
    Unregistered,
    Replaced,
}

/// The role that a task's resources are allocated to.
pub(crate) fn role_of(task: &Task) -> &str {
    model::resources::allocation_role(&task.resources).unwrap_or("*")
}

fn validate_id(id: &str) -> Option<String> {
    crate::validate::id(id)
}

fn set_info(envelope: &mut Envelope, info: AgentInfo) {
    match &mut envelope.message {
        Message::RegisterSlaveMessage(m) => m.slave = info,
        Message::ReregisterSlaveMessage(m) => m.slave = info,
        _ => {}
    }
}

fn failure_event(failure: event::Failure) -> Event {
    Event { r#type: Some(event::Type::Failure.into()), failure: Some(failure), ..Default::default() }
}
