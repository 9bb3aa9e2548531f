//! Agents that operators switch off: drained, deactivated, reactivated, gone. Texts:
//! apache/mesos@c1b42f79:src/master/http.cpp (`_drainAgent` and its neighbours).

use super::{Decided, Decision, bad};
use crate::{Effect, Master, policy, saves::Then, speak::NOBODY, updates};
use base::{Effects, Time};
use model::{
    mesos::{
        DrainConfig, DrainInfo, DrainState, TaskState, agent_info::capability::Type as AgentCap, internal,
        task_status::Reason,
    },
    request::Answer,
};

impl Master {
    fn known(&self, agent: &str) -> bool {
        self.agents.contains_key(agent)
            || self.recovering.contains_key(agent)
            || self.unreachable.contains_key(agent)
    }

    pub(super) fn drain(&self, agent: String, config: DrainConfig) -> Decided {
        if !self.known(&agent) {
            return Err(bad("Unknown agent"));
        }
        if let Some(registered) = self.agents.get(&agent) {
            let machine = registered.machine();
            if self.policy.unavailability(&machine).is_some() {
                let (name, ip) = (machine.hostname(), machine.ip());
                return Err(bad(format!(
                    "Agent {agent} is part of a maintenance schedule under Machine {name} ({ip})"
                )));
            }
            if !registered.can(AgentCap::AgentDraining) {
                return Err(bad(format!("Agent {agent} is not capable of draining")));
            }
        }
        let info = draining(config, DrainState::Draining);
        let batch = vec![policy::put_draining(&agent, &info), policy::put_deactivated(&agent)];
        Ok((batch, Decision::Drain { agent, config }))
    }

    pub(super) fn deactivate(&self, agent: String) -> Decided {
        if !self.known(&agent) {
            return Err(bad("Unknown agent"));
        }
        Ok((vec![policy::put_deactivated(&agent)], Decision::Deactivate(agent)))
    }

    pub(super) fn reactivate(&self, agent: String) -> Decided {
        if !self.policy.is_deactivated(&agent) {
            return Err(bad("Agent is not deactivated"));
        }
        if self.policy.is_draining(&agent) {
            return Err(bad("Agent is still in the DRAINING state"));
        }
        Ok((policy::forget_agent(&agent).to_vec(), Decision::Reactivate(agent)))
    }

    pub(super) fn mark_gone(&self, agent: String, now: Time) -> Decided {
        if self.policy.gone.contains_key(&agent) {
            return Ok((Vec::new(), Decision::Gone { agent, at: now }));
        }
        if self.leaving.contains(&agent) {
            return Err(Answer::text(503, format!("Agent '{agent}' is being transitioned to removed")));
        }
        if !self.known(&agent) {
            return Err(Answer::text(404, format!("Agent '{agent}' not found")));
        }
        Ok((self.forget_for_good(&agent, now), Decision::Gone { agent, at: now }))
    }

    pub(super) fn deactivated(&mut self, agent: String, now: Time, out: &mut Effects<Effect>) {
        self.allocator.deactivate_agent(&agent);
        self.rescind_all_of(&agent, now, out);
        self.agents.touch(&agent);
        self.policy_mut().deactivated.insert(agent);
    }

    pub(super) fn draining(
        &mut self,
        agent: String,
        config: DrainConfig,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        self.policy_mut().draining.insert(agent.clone(), draining(config, DrainState::Draining));
        self.deactivated(agent.clone(), now, out);
        if let Some(known) = self.agents.get_mut(&agent) {
            known.drain_started = Some(now);
        }
        self.tell_draining(&agent, out);
    }

    /// An agent that is to be drained learns it, also when it comes back.
    pub(crate) fn tell_draining(&self, agent: &str, out: &mut Effects<Effect>) {
        let Some(info) = self.policy.draining.get(agent).filter(|d| d.state() == DrainState::Draining) else {
            return;
        };
        if let Some(known) = self.agents.get(agent) {
            self.tell(known, internal::DrainSlaveMessage { config: info.config }, out);
        }
    }

    /// Agents whose last task has ended, and whose last operation is acknowledged, are drained. Called after every step; costs nothing while none is draining.
    pub(crate) fn look_for_drained(&mut self, now: Time, out: &mut Effects<Effect>) {
        if self.operator.busy || self.policy.draining.is_empty() {
            return;
        }
        let done: Vec<String> = self
            .policy
            .draining
            .iter()
            .filter(|(id, info)| info.state() == DrainState::Draining && !self.operator.drained.contains(*id))
            .filter(|(id, _)| {
                self.agents
                    .get(*id)
                    .is_some_and(|a| a.connected && a.tasks.is_empty() && a.operations.is_empty())
            })
            .map(|(id, _)| id.clone())
            .collect();
        for agent in done {
            let Some(info) = self.policy.draining.get(&agent) else { continue };
            let (batch, decision) = if info.config.mark_gone() {
                (self.forget_for_good(&agent, now), Decision::Gone { agent: agent.clone(), at: now })
            } else {
                let drained = draining(info.config, DrainState::Drained);
                (vec![policy::put_draining(&agent, &drained)], Decision::Drained(agent.clone()))
            };
            self.operator.drained.insert(agent);
            self.save(batch, Then::Operator { request: None, decision }, out);
        }
        self.operator.drained.retain(|id| self.policy.draining.contains_key(id));
    }

    /// Tasks that nobody could reach are known to be over now.
    pub(super) fn unreachable_tasks_gone(&mut self, agent: &str, now: Time, out: &mut Effects<Effect>) {
        let mut gone = Vec::new();
        for framework in self.frameworks.values() {
            let theirs = framework.unreachable_tasks.values().filter(|t| t.agent_id.value == agent);
            gone.extend(theirs.map(|t| (framework.id().to_owned(), t.task_id.value.clone())));
        }
        for (id, task_id) in gone {
            let Some(framework) = self.frameworks.get_mut(&id) else { continue };
            let Some(mut task) = framework.unreachable_tasks.remove(&task_id) else { continue };
            let (state, reason) = if crate::frameworks::partition_aware(framework) {
                (TaskState::TaskGoneByOperator, Reason::AgentRemovedByOperator)
            } else {
                (TaskState::TaskLost, Reason::AgentRemoved)
            };
            let mut status = updates::of_master(&task, state, now);
            status.message = Some("Agent has been marked gone".to_owned());
            status.set_reason(reason);
            task.set_state(state);
            task.statuses.push(status.clone());
            framework.complete(task, self.config.completed_tasks_max);
            self.counters.ended(state);
            self.counters.reason(&status);
            self.publish_task_updated(&id, status.state, &status, out);
            self.say(&id, status, Some(NOBODY), out);
        }
    }

    pub(super) fn drained(&mut self, agent: &str, _now: Time, _out: &mut Effects<Effect>) {
        self.operator.drained.remove(agent);
        self.agents.touch(agent);
        if let Some(info) = self.policy_mut().draining.get_mut(agent) {
            info.set_state(DrainState::Drained);
        }
    }
}

fn draining(config: DrainConfig, state: DrainState) -> DrainInfo {
    let mut info = DrainInfo { config, ..Default::default() };
    info.set_state(state);
    info
}
