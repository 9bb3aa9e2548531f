//! Every message of the link: which handler takes it, and whether its sender may say it. Never what it leads to.

use crate::{
    Effect, Master,
    losses::{Loss, failure_event},
};
use base::{Effects, Now};
use model::{
    link::{Envelope, Message, Upid},
    mesos::scheduler::{Event, event},
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
                    if !self.forget_executor(framework, &m.slave_id.value, executor, at) {
                        self.counters.messages_dropped += 1;
                        return;
                    }
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
}
