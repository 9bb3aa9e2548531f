//! Agents that do not answer, leave or are given up: pings, broken links, what becomes of their offers and tasks. Never how
//! they come back (`agents`).

use crate::{Effect, Framework, Master, Session, registry, saves::Then, timers::Timer};
use base::{Effects, Time};
use model::{
    link::{Envelope, Upid},
    mesos::{
        AgentId, OperationState, TaskState, internal,
        scheduler::{Event, event},
        task_status::Reason,
    },
};
use std::{collections::BTreeSet, net::SocketAddr};

/// Why an agent is no longer there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loss {
    Unreachable,
    Unregistered,
    Replaced,
    MarkedGone,
    MachineDown,
}

impl Master {
    pub(crate) fn send_ping(&mut self, id: &str, now: Time, out: &mut Effects<Effect>) {
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
    pub(crate) fn lose_agent(&mut self, id: &str, loss: Loss, now: Time, out: &mut Effects<Effect>) {
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

    pub(crate) fn count_removal(&mut self, loss: Loss) {
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

/// What frameworks hear of an agent or executor that is gone.
pub(crate) fn failure_event(failure: event::Failure) -> Event {
    Event { r#type: Some(event::Type::Failure.into()), failure: Some(failure), ..Default::default() }
}
