//! Agents: admission, return, pings, disconnection, unreachability. Never what their tasks do (`updates`).

use crate::{
    Agent, Effect, Framework, Master, Pings, Session,
    allocator::{AgentTerms, Traits},
    is_terminal, registry,
    saves::Then,
    speak::pid_of,
    timers::Timer,
};
use base::{Effects, Now, Time};
use model::{
    link::{Envelope, Message, Upid},
    mesos::{
        AgentId, AgentInfo, ExecutorInfo, FrameworkId, OperationState, Resource, Task, TaskId, TaskState,
        agent_info::capability::Type as AgentCap,
        internal,
        resource::AllocationInfo,
        scheduler::{Event, event},
        task_status::Reason,
    },
    resources::{Resources, allocation_role, upgrade},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

impl Master {
    /// Every message of the link. What comes from a process that may not say it is dropped and counted.
    pub(crate) fn message(&mut self, now: &mut Now<'_>, envelope: Envelope, out: &mut Effects<Effect>) {
        let at = now.time;
        let from = envelope.from.clone();
        if envelope.to.id != "master" && !matches!(envelope.message, Message::PongSlaveMessage(_)) {
            self.counters.messages_dropped += 1;
            return;
        }
        match envelope.message {
            Message::RegisterSlaveMessage(_) | Message::ReregisterSlaveMessage(_) => {
                self.register(now, envelope, out)
            }
            Message::PongSlaveMessage(_) => {
                if let Some(pings) = self.pings.get_mut(&envelope.to.id)
                    && self.agents.get(&pings.agent).is_some_and(|a| a.pid == from)
                {
                    pings.missed = 0;
                }
            }
            Message::StatusUpdateMessage(m) => {
                self.counters.count("messages_status_update");
                if self.speaks_for(
                    &from,
                    &m.update.slave_id.as_ref().map_or(String::new(), |id| id.value.clone()),
                ) {
                    self.status_update(m.update, m.pid, at, out);
                }
            }
            Message::UpdateSlaveMessage(m) => {
                self.counters.count("messages_update_slave");
                if self.speaks_for(&from, &m.slave_id.value) {
                    self.update_agent(*m, at, out);
                }
            }
            Message::UpdateOperationStatusMessage(m) => {
                self.counters.count("messages_operation_status_update");
                let id = m.slave_id.as_ref().map_or(String::new(), |id| id.value.clone());
                if self.speaks_for(&from, &id) {
                    self.operation_update(&id, *m, at, out);
                }
            }
            Message::ExitedExecutorMessage(m) => {
                self.counters.count("messages_exited_executor");
                if self.speaks_for(&from, &m.slave_id.value) {
                    let (framework, executor) = (&m.framework_id.value, &m.executor_id.value);
                    self.forget_executor(framework, &m.slave_id.value, executor, at);
                    let failure = event::Failure {
                        agent_id: Some(m.slave_id.clone()),
                        executor_id: Some(m.executor_id.clone()),
                        status: Some(m.status),
                    };
                    self.event(&m.framework_id.value, failure_event(failure), out);
                }
            }
            Message::ExecutorToFrameworkMessage(m) => {
                self.counters.count("messages_executor_to_framework");
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
                self.counters.count("messages_unregister_slave");
                if self.speaks_for(&from, &m.slave_id.value) {
                    self.lose_agent(&m.slave_id.value, Loss::Unregistered, at, out);
                }
            }
            message => self.driver_message(now, &from, message, out),
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
        // Agents write in the format that older masters read.
        match &mut envelope.message {
            Message::RegisterSlaveMessage(m) => upgrade(&mut m.slave.resources),
            Message::ReregisterSlaveMessage(m) => upgrade(&mut m.slave.resources),
            _ => {}
        }
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
        self.counters.count(if fresh { "messages_register_slave" } else { "messages_reregister_slave" });
        // Whether it is remote could not be told; its tasks go on until the master is given a domain.
        if info.domain.is_some() && self.config.domain.is_none() {
            self.counters.messages_dropped += 1;
            return;
        }
        let checkpointed = match &envelope.message {
            Message::RegisterSlaveMessage(m) => &m.checkpointed_resources,
            Message::ReregisterSlaveMessage(m) => &m.checkpointed_resources,
            _ => return,
        };
        if let Err(why) = total(&info, checkpointed) {
            self.turn_away(from, format!("Agent's resources are invalid: {why}"), out);
            return;
        }
        if let Some(why) = self.unwanted(&info, &from) {
            self.turn_away(from, why.to_owned(), out);
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
        // Older agents write them otherwise; readers are told one form.
        upgrade(&mut info.resources);
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

    /// Why an operator does not want this agent.
    fn unwanted(&self, info: &AgentInfo, pid: &Upid) -> Option<&'static str> {
        let gone = info.id.as_ref().is_some_and(|id| self.policy.gone.contains_key(&id.value));
        if gone {
            return Some("Agent has been marked gone");
        }
        self.policy.is_down(&crate::messages::machine(info, pid)).then_some("Machine is `DOWN`")
    }

    fn turn_away(&self, agent: Upid, why: String, out: &mut Effects<Effect>) {
        let refusal = internal::ShutdownMessage { message: Some(why) };
        out.push(Effect::Send(Box::new(Envelope { from: self.me(), to: agent, message: refusal.into() })));
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
        let mut fresh = true;
        let pid = envelope.from.clone();
        let m = match envelope.message {
            Message::RegisterSlaveMessage(m) => internal::ReregisterSlaveMessage {
                slave: m.slave,
                version: m.version,
                checkpointed_resources: m.checkpointed_resources,
                agent_capabilities: m.agent_capabilities,
                resource_version_uuid: m.resource_version_uuid,
                ..Default::default()
            },
            Message::ReregisterSlaveMessage(m) => {
                fresh = false;
                *m
            }
            _ => return,
        };
        let (info, frameworks) = (m.slave, m.frameworks);
        if let Some(why) = self.unwanted(&info, &pid) {
            self.turn_away(pid, why.to_owned(), out);
            return;
        }
        self.recovering.remove(id);
        self.timers.cancel(&Timer::Reregister(id.to_owned()));
        let was_unreachable = self.unreachable.remove(id).is_some();
        self.next_observer += 1;
        let observer = format!("slave-observer({})", self.next_observer);
        let total = total(&info, &m.checkpointed_resources).unwrap_or_default();
        let new = !self.agents.contains_key(id);
        let drain_started = self.agents.get(id).and_then(|a| a.drain_started);
        if let Some(before) = self.agents.get(id) {
            for offer in before.offers.clone() {
                self.rescind(&offer, at, out);
            }
            self.rescind_inverse_of(id, out);
            // Those that it still has, it lists.
            self.forget_executors(id, None, at);
        }
        let before = self.agents.remove(id);
        if let Some(before) = &before {
            self.pings.remove(&before.observer);
        }
        self.pings.insert(observer.clone(), Pings { agent: id.to_owned(), missed: 0 });
        let was_away = before.as_ref().is_some_and(|a| !a.connected);
        let registered = before.as_ref().map_or(at, |a| a.registered);
        let (tasks, operations, killed) =
            before.map_or_else(Default::default, |a| (a.tasks, a.operations, a.killed));
        let agent = Agent {
            registered,
            reregistered: (!fresh).then_some(at),
            drain_started,
            tasks,
            operations,
            killed,
            executors: BTreeMap::new(),
            offers: BTreeSet::new(),
            version: m.version.unwrap_or_default(),
            connected: true,
            resource_version: m.resource_version_uuid,
            observer,
            capabilities: m.agent_capabilities,
            total,
            pid: pid.clone(),
            info,
        };
        self.agents.insert(id.to_owned(), agent);
        out.push(Effect::Link(pid));
        for framework in frameworks {
            self.recover_framework(framework, at);
        }
        self.counters.count(if fresh { "slave_registrations" } else { "slave_reregistrations" });
        let (mut reconciliations, mut shut_down) = Default::default();
        if !fresh {
            let gone = Gone { unreachable: was_unreachable, away: was_away };
            (reconciliations, shut_down) = self.take_in_tasks(id, m.tasks, &gone, at, out);
            self.take_in_executors(id, m.executor_infos);
        }
        self.offer_agent(id);
        self.plan_agent(id);
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
        for framework in shut_down {
            let framework_id = FrameworkId { value: framework };
            self.tell(agent, internal::ShutdownFrameworkMessage { framework_id }, out);
        }
        self.send_ping(id, at, out);
        self.refresh_frameworks_on(id, out);
        self.kill_again(id, out);
        self.tell_draining(id, out);
        if new {
            self.publish_agent_added(id, out);
        }
    }

    /// Executors that an agent lists. Those of ended frameworks are shut down with their framework.
    fn take_in_executors(&mut self, id: &str, listed: Vec<ExecutorInfo>) {
        for mut executor in listed {
            let Some(framework) = executor.framework_id.as_ref().map(|id| id.value.clone()) else { continue };
            let Some(known) = self.frameworks.get(&framework) else { continue };
            allocate_to(&mut executor.resources, known);
            self.note_executor(&framework, id, executor);
        }
    }

    /// What changed about an agent while it is registered.
    fn update_agent(&mut self, m: internal::UpdateSlaveMessage, now: Time, out: &mut Effects<Effect>) {
        let id = m.slave_id.value;
        let Some(agent) = self.agents.get_mut(&id) else { return };
        if m.resource_version_uuid.is_some() {
            agent.resource_version = m.resource_version_uuid;
        }
        // An agent that does not say whether it means to has always meant to.
        if m.update_oversubscribed_resources.unwrap_or(true)
            && let Ok(more) = Resources::from_messages(&m.oversubscribed_resources)
        {
            let total = agent.total.filter(|item| !item.kind.is_revocable()) + &more;
            if total != agent.total {
                let offers = agent.offers.clone();
                let stale = |id: &&String| {
                    let offer = self.offers.get(*id);
                    offer.is_some_and(|o| o.resources.iter().any(|item| item.kind.is_revocable()))
                };
                let stale: Vec<_> = offers.iter().filter(stale).cloned().collect();
                stale.iter().for_each(|offer| self.rescind(offer, now, out));
                self.set_total(&id, total);
            }
        }
        self.take_in_operations(&id, m.operations.map_or_else(Vec::new, |o| o.operations), out);
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
        for ((framework, _), executor) in &agent.executors {
            let role = allocation_role(&executor.resources).unwrap_or("*");
            if let Ok(resources) = Resources::from_messages(&executor.resources) {
                used.push((framework.as_str(), role, resources));
            }
        }
        let domain = agent.info.domain.as_ref().and_then(|d| d.fault_domain.as_ref());
        let region = domain.map(|d| d.region.name.clone());
        let own = self.config.domain.as_ref().and_then(|d| d.fault_domain.as_ref());
        let terms = AgentTerms {
            total: agent.total.clone(),
            hierarchical_roles: agent.can(AgentCap::HierarchicalRole),
            remote_region: region.is_some() && region.as_ref() != own.map(|d| &d.region.name),
            traits: Traits {
                hostname: agent.info.hostname.clone(),
                zone: domain.map(|d| d.zone.name.clone()),
                region,
                attributes: agent.info.attributes.clone(),
            },
        };
        self.allocator.add_agent(id, terms, &used);
        if self.policy.is_deactivated(id) {
            self.allocator.deactivate_agent(id);
        } else {
            self.allocator.activate_agent(id);
        }
    }

    /// Kills that the agent may not have heard.
    ///
    /// apache/mesos@c1b42f79:src/master/master.cpp (`reconcileKnownSlave`).
    fn kill_again(&self, id: &str, out: &mut Effects<Effect>) {
        let Some(agent) = self.agents.get(id) else { return };
        for ((framework, task), policy) in &agent.killed {
            let known = self.frameworks.get(framework).and_then(|f| f.tasks.get(task));
            if known.is_some_and(|t| !is_terminal(t.state())) {
                let kill = internal::KillTaskMessage {
                    framework_id: FrameworkId { value: framework.clone() },
                    task_id: TaskId { value: task.clone() },
                    kill_policy: *policy,
                };
                self.tell(agent, kill, out);
            }
        }
    }

    /// The agent learns what connected frameworks with tasks on it say of themselves now.
    fn refresh_frameworks_on(&self, id: &str, out: &mut Effects<Effect>) {
        let Some(agent) = self.agents.get(id) else { return };
        let executors = agent.executors.keys().map(|(f, _)| f.as_str());
        let ids: BTreeSet<&str> = agent.tasks.iter().map(|(f, _)| f.as_str()).chain(executors).collect();
        for framework in
            ids.into_iter().filter_map(|f| self.frameworks.get(f)).filter(|f| f.session.is_some())
        {
            let message = internal::UpdateFrameworkMessage {
                framework_id: FrameworkId { value: framework.id().to_owned() },
                pid: Some(pid_of(framework)),
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
        let observer = self.agents.get(id).map(|a| &a.observer);
        let Some(pings) = observer.and_then(|observer| self.pings.get_mut(observer)) else { return };
        pings.missed += 1;
        if pings.missed > self.config.pings_missed_max {
            self.lose_agent(id, Loss::Unreachable, now, out);
        } else {
            self.send_ping(id, now, out);
        }
    }

    /// The link to a daemon broke: no offers of it until it comes back; what can't survive that is lost.
    pub(crate) fn exited(&mut self, peer: SocketAddr, now: Time, out: &mut Effects<Effect>) {
        let driver = |f: &&Framework| matches!(&f.session, Some(Session::Driver(pid)) if pid.address == peer);
        let gone: Vec<_> = self.frameworks.values().filter(driver).map(|f| f.id().to_owned()).collect();
        for id in gone {
            // A driver that is there all the same ends itself by this, and its like starts anew.
            self.event(&id, crate::frameworks::error("Framework disconnected"), out);
            self.framework_left(&id, now, out);
        }
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
            self.rescind_inverse_of(&id, out);
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
            let Some(agent) = self.agents.get(&id) else { continue };
            let lost: Vec<_> = agent
                .executors
                .keys()
                .filter(|(f, _)| self.frameworks.get(f).is_some_and(|f| !f.info.checkpoint()))
                .cloned()
                .collect();
            for (framework, executor) in lost {
                self.forget_executor(&framework, &id, &executor, now);
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
        self.rescind_inverse_of(id, out);
        self.timers.cancel(&Timer::Ping(id.to_owned()));
        let batch = match loss {
            Loss::Unreachable => registry::unreachable(id),
            Loss::Unregistered | Loss::Replaced | Loss::MarkedGone | Loss::MachineDown => {
                registry::remove_agent(id)
            }
        };
        if matches!(loss, Loss::Unreachable) {
            self.counters.count("slave_unreachable_scheduled");
        }
        self.save(batch, Then::LoseAgent { id: id.to_owned(), loss }, out);
    }

    pub(crate) fn agent_lost(&mut self, id: &str, loss: Loss, now: Time, out: &mut Effects<Effect>) {
        self.leaving.remove(id);
        if self.agents.contains_key(id) {
            self.count_removal(loss);
        }
        let Some(agent) = self.agents.get(id) else { return };
        let (offers, tasks, host) = (agent.offers.clone(), agent.tasks.clone(), agent.info.hostname.clone());
        for offer in offers {
            self.rescind(&offer, now, out);
        }
        self.rescind_inverse_of(id, out);
        let mut told: BTreeSet<String> = self.frameworks.keys().cloned().collect();
        for (framework, task) in tasks {
            let aware = self.frameworks.get(&framework).is_some_and(crate::frameworks::partition_aware);
            let (state, message) = match loss {
                Loss::Unreachable => (TaskState::TaskUnreachable, "health check timed out".to_owned()),
                Loss::Unregistered => {
                    (TaskState::TaskLost, format!("Agent {host} removed: the agent unregistered"))
                }
                Loss::Replaced => (
                    TaskState::TaskLost,
                    format!("Agent {host} removed: a new agent registered at the same address"),
                ),
                Loss::MarkedGone if aware => {
                    (TaskState::TaskGoneByOperator, "Agent has been marked gone".to_owned())
                }
                Loss::MarkedGone => (TaskState::TaskLost, "Agent has been marked gone".to_owned()),
                Loss::MachineDown => {
                    (TaskState::TaskLost, format!("Agent {host} removed: Operator initiated 'Machine DOWN'"))
                }
            };
            let reason = match loss {
                Loss::MarkedGone => Reason::AgentRemovedByOperator,
                _ => Reason::AgentRemoved,
            };
            self.lose_task(&framework, &task, state, reason, &message, now, out);
        }
        let news = match loss {
            Loss::Unreachable => Some((OperationState::OperationUnreachable, "Agent was marked unreachable")),
            Loss::MarkedGone => Some((OperationState::OperationGoneByOperator, "Agent has been marked gone")),
            Loss::Unregistered | Loss::Replaced | Loss::MachineDown => None,
        };
        self.lose_operations(id, news, out);
        self.forget_executors(id, None, now);
        if let Some(agent) = self.agents.remove(id) {
            self.pings.remove(&agent.observer);
        }
        self.timers.cancel(&Timer::Ping(id.to_owned()));
        self.allocator.remove_agent(id);
        self.inverse.forget_agent(id);
        self.publish_agent_removed(id, out);
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

impl Master {
    fn count_removal(&mut self, loss: Loss) {
        self.counters.count("slave_removals");
        match loss {
            Loss::Unreachable => {
                self.counters.count("slave_unreachable_completed");
                self.counters.count("slave_removals/reason_unhealthy");
            }
            Loss::Unregistered => self.counters.count("slave_removals/reason_unregistered"),
            Loss::Replaced => self.counters.count("slave_removals/reason_registered"),
            Loss::MarkedGone | Loss::MachineDown => {}
        }
    }
}

/// How an agent that registers again had gone.
pub(crate) struct Gone {
    pub unreachable: bool,
    pub away: bool,
}

/// Why an agent is no longer there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loss {
    Unreachable,
    Unregistered,
    Replaced,
    MarkedGone,
    MachineDown,
}

/// The role that a task's resources are allocated to.
pub(crate) fn role_of(task: &Task) -> &str {
    model::resources::allocation_role(&task.resources).unwrap_or("*")
}

/// Everything that an agent has: what it was configured with, and what became of it since.
fn total(info: &AgentInfo, checkpointed: &[Resource]) -> Result<Resources, String> {
    let own = Resources::from_messages(&info.resources).map_err(|invalid| invalid.to_string())?;
    let checkpointed = Resources::from_messages(checkpointed).map_err(|invalid| invalid.to_string())?;
    let all = own.with_checkpointed(&checkpointed);
    all.ok_or_else(|| format!("checkpointed resources {checkpointed} are not part of {own}"))
}

/// Resources as they are kept here, whatever the age of the agent that lists them.
pub(crate) fn allocate_to(resources: &mut [Resource], framework: &Framework) {
    upgrade(resources);
    let role = framework.roles().into_iter().next().unwrap_or_else(|| "*".to_owned());
    for resource in resources {
        resource.allocation_info.get_or_insert_with(|| AllocationInfo { role: Some(role.clone()) });
    }
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
