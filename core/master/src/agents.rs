//! Agents: admission and return. Never how they are lost (`losses`), nor what their tasks do (`updates`).

use crate::{
    Agent, Effect, Framework, Master, Pings,
    allocator::{AgentTerms, Traits},
    is_terminal,
    losses::Loss,
    operations::is_over as operation_is_over,
    registry,
    saves::Then,
    timers::Timer,
    validate,
};
use base::{Effects, Now, Time};
use model::{
    link::{Envelope, Message, Upid},
    mesos::{
        self, AgentId, AgentInfo, FrameworkId, Resource, Task, agent_info::capability::Type as AgentCap,
        internal, resource::AllocationInfo,
    },
    resources::{Resources, allocation_role, upgrade},
};
use std::collections::{BTreeMap, BTreeSet};

const ELSEWHERE: &str = "Agent attempted to reregister with different IP / hostname";

impl Master {
    pub(crate) fn register(&mut self, now: &mut Now<'_>, mut envelope: Envelope, out: &mut Effects<Effect>) {
        let from = envelope.from.clone();
        // one that is being given up comes back when that is durable: it asks again
        // Agents write in the format that older masters read.
        match &mut envelope.message {
            Message::RegisterSlaveMessage(m) => upgrade(&mut m.slave.resources),
            Message::ReregisterSlaveMessage(m) => upgrade(&mut m.slave.resources),
            _ => {}
        }
        let fault = match &envelope.message {
            Message::RegisterSlaveMessage(m) => validate::agent::registration(m),
            Message::ReregisterSlaveMessage(m) => validate::agent::reregistration(m),
            _ => return,
        };
        if let Some(why) = fault {
            self.counters.messages_dropped += 1;
            out.push(Effect::Dropped { from, why });
            return;
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
        // Maintenance is planned by machine; and by an id alone anybody could take an agent's place.
        if !fresh && self.is_elsewhere(&info, &from) {
            self.turn_away(from, ELSEWHERE.to_owned(), out);
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

    /// Whether an agent of this id is registered that runs on another machine.
    fn is_elsewhere(&self, info: &AgentInfo, pid: &Upid) -> bool {
        let registered = info.id.as_ref().and_then(|id| self.agents.get(&id.value));
        registered.is_some_and(|a| a.pid.address.ip() != pid.address.ip() || a.info.hostname != info.hostname)
    }

    /// Why an operator does not want this agent.
    pub(crate) fn unwanted(&self, info: &AgentInfo, pid: &Upid) -> Option<&'static str> {
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
        let mut state = self.agents.get(id).map(|a| a.state.clone()).unwrap_or_default();
        let again = state.knows(m.resource_version_uuid.as_ref());
        if !again {
            state.enter(m.resource_version_uuid);
        }
        let (info, frameworks) = (m.slave, m.frameworks);
        if let Some(why) = self.unwanted(&info, &pid) {
            self.turn_away(pid, why.to_owned(), out);
            return;
        }
        // Two may have asked while neither was durable.
        if !fresh && self.is_elsewhere(&info, &pid) {
            self.turn_away(pid, ELSEWHERE.to_owned(), out);
            return;
        }
        self.recovering.remove(id);
        self.timers.cancel(&Timer::Reregister(id.to_owned()));
        let was_unreachable = self.unreachable.remove(id).is_some();
        self.next_observer += 1;
        let observer = format!("slave-observer({})", self.next_observer);
        let new = !self.agents.contains_key(id);
        let drain_started = self.agents.get(id).and_then(|a| a.drain_started);
        let asked = self.agents.get(id).filter(|a| a.connected).map(|a| a.asked.clone()).unwrap_or_default();
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
        let told = total(&info, &m.checkpointed_resources).unwrap_or_default();
        // One that asks again may have asked before it did what it was told since. It names its state anew for each
        // try: by the same name, what is known here is newer, and what got lost of it is found by reconciliation.
        let again = again && before.as_ref().is_some_and(|b| b.info.resources == info.resources);
        let (tasks, operations, killed, uncounted, owed, known) = before.map_or_else(Default::default, |a| {
            (a.tasks, a.operations, a.killed, a.uncounted, a.owed, a.total)
        });
        let (total, uncounted, owed) = if again {
            (known, uncounted, owed)
        } else {
            let open = |o: &&mesos::Operation| !operation_is_over(o.latest_status.state());
            let open = operations.values().filter(open).map(|o| o.uuid.value.clone());
            (told, open.collect(), Vec::new())
        };
        let agent = Agent {
            registered,
            asked,
            reregistered: (!fresh).then_some(at),
            drain_started,
            tasks,
            operations,
            uncounted,
            owed,
            killed,
            executors: BTreeMap::new(),
            offers: BTreeSet::new(),
            version: m.version.unwrap_or_default(),
            connected: true,
            state,
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
        if !fresh {
            self.tell_checkpointed(id, out);
        }
        self.kill_again(id, out);
        self.tell_draining(id, out);
        // Its list may have said the end of what used something.
        self.note_freed(id);
        if new {
            self.publish_agent_added(id, out);
        }
    }

    /// What changed about an agent while it is registered.
    pub(crate) fn update_agent(
        &mut self,
        m: internal::UpdateSlaveMessage,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        let id = m.slave_id.value;
        let Some(agent) = self.agents.get_mut(&id) else { return };
        let named = m.resource_version_uuid.as_ref();
        // Words of its earlier life may have come late and been answered: this one has not said what it has.
        let is_another = named.is_some() && agent.state.now.is_some() && !agent.state.knows(named);
        if is_another {
            if let Some(agent) = self.agents.get(&id) {
                self.tell(agent, internal::PingSlaveMessage { connected: false }, out);
            }
        } else {
            agent.state.enter(m.resource_version_uuid);
        }
        let Some(agent) = self.agents.get_mut(&id) else { return };
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
    pub(crate) fn offer_agent(&mut self, id: &str) {
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
            multi_role: agent.can(AgentCap::MultiRole),
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

    fn connection(&self) -> internal::MasterSlaveConnection {
        let total = self.config.ping_timeout * self.config.pings_missed_max;
        internal::MasterSlaveConnection { total_ping_timeout_seconds: Some(total.as_secs_f64()) }
    }

    fn registered_message(&self, id: &str) -> internal::SlaveRegisteredMessage {
        let slave_id = AgentId { value: id.to_owned() };
        internal::SlaveRegisteredMessage { slave_id, connection: Some(self.connection()) }
    }
}

/// How an agent that registers again had gone.
pub(crate) struct Gone {
    pub unreachable: bool,
    pub away: bool,
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
