//! Executors that speak by messages (libmesos drivers): what they are told and what they say. Never the calls over HTTP
//! (`calls`).

use super::{Key, Word};
use crate::{
    Agent, Effect,
    state::{Executor, Phase, Speaker},
};
use base::{Effects, Now};
use model::{
    link::{Message, Upid},
    mesos::{self, FrameworkId, TaskId, TaskStatus, internal},
};

/// What stands for the address of a framework that has none (v1).
const NO_PID: &str = "@0.0.0.0:0";

impl Agent {
    pub(crate) fn to_message(&self, executor: &Executor, word: Word) -> Option<Message> {
        let framework_id = FrameworkId { value: executor.framework.clone() };
        let executor_id = executor.info.executor_id.clone();
        let slave_id = self.info.id.clone()?;
        let known = self.frameworks.get(&executor.framework);
        let framework = known.map(|f| f.info.clone()).unwrap_or_default();
        let pid = known.and_then(|f| f.pid.clone());
        Some(match word {
            Word::Registered => internal::ExecutorRegisteredMessage {
                executor_info: executor.info.clone(),
                framework_id,
                framework_info: framework,
                slave_id,
                slave_info: mesos::AgentInfo { checkpoint: Some(true), ..self.info_for_executors() },
            }
            .into(),
            Word::Launch(task) => internal::RunTaskMessage {
                framework,
                task: *task,
                pid: pid.or_else(|| Some(NO_PID.to_owned())),
                ..Default::default()
            }
            .into(),
            Word::Kill { task, policy } => {
                internal::KillTaskMessage { framework_id, task_id: task, kill_policy: policy }.into()
            }
            Word::Acknowledged { task, uuid } => {
                internal::StatusUpdateAcknowledgementMessage { slave_id, framework_id, task_id: task, uuid }
                    .into()
            }
            Word::Message(data) => {
                internal::FrameworkToExecutorMessage { slave_id, framework_id, executor_id, data }.into()
            }
            Word::Shutdown => internal::ShutdownExecutorMessage::default().into(),
            // The old driver knows neither.
            Word::LaunchGroup(_) | Word::Heartbeat => return None,
        })
    }

    /// What a v0 executor's driver says. `true` if it was one of its messages.
    pub(crate) fn driver_message(
        &mut self,
        now: &mut Now<'_>,
        from: &Upid,
        message: &Message,
        out: &mut Effects<Effect>,
    ) -> bool {
        let known = |key: &Key| self.executors.get(key).is_some_and(|e| !e.is_default());
        let is_driver = |e: Option<&Executor>| e.is_some_and(|e| e.speaker == Speaker::Driver(from.clone()));
        let speaker = Speaker::Driver(from.clone());
        match message {
            Message::RegisterExecutorMessage(m) => {
                let key = (m.framework_id.value.clone(), m.executor_id.value.clone());
                let fresh = |e: &Executor| {
                    matches!(e.phase, Phase::Starting | Phase::Registering { .. })
                        || e.speaker == Speaker::Nobody
                };
                if known(&key) && self.executors.get(&key).is_some_and(fresh) {
                    self.subscribed(now, &key, speaker, (Vec::new(), Vec::new()), true, out);
                } else {
                    self.send_away(from, out);
                }
            }
            Message::ReregisterExecutorMessage(m) => {
                let key = (m.framework_id.value.clone(), m.executor_id.value.clone());
                if !known(&key) {
                    self.send_away(from, out);
                    return true;
                }
                let tasks = m.tasks.iter().map(|t| t.task_id.clone()).collect();
                let updates = m.updates.iter().map(|u| {
                    let uuid = u.uuid.clone().or_else(|| u.status.uuid.clone());
                    TaskStatus { uuid, ..u.status.clone() }
                });
                self.resubscribed_driver(now, &key, speaker, tasks, updates.collect(), out);
            }
            Message::StatusUpdateMessage(m) => {
                let id = m.update.executor_id.clone().unwrap_or_default();
                let key = (m.update.framework_id.value.clone(), id.value);
                if is_driver(self.executors.get(&key)) {
                    let uuid = m.update.uuid.clone().or_else(|| m.update.status.uuid.clone());
                    let status = TaskStatus { uuid, ..m.update.status.clone() };
                    self.executor_update(now, &key, status, true, out);
                } else {
                    self.counters.messages_dropped += 1;
                }
            }
            Message::ExecutorToFrameworkMessage(m) => {
                let key = (m.framework_id.value.clone(), m.executor_id.value.clone());
                if is_driver(self.executors.get(&key)) {
                    self.to_framework(&key, m.data.clone(), out);
                } else {
                    self.counters.messages_dropped += 1;
                }
            }
            _ => return false,
        }
        true
    }

    pub(crate) fn send_away(&self, driver: &Upid, out: &mut Effects<Effect>) {
        self.say(driver.clone(), internal::ShutdownExecutorMessage::default(), out);
    }

    pub(crate) fn resubscribed_driver(
        &mut self,
        now: &mut Now<'_>,
        key: &Key,
        speaker: Speaker,
        tasks: Vec<TaskId>,
        updates: Vec<TaskStatus>,
        out: &mut Effects<Effect>,
    ) {
        let Speaker::Driver(driver) = speaker.clone() else { return };
        if let (Some(slave_id), true) = (self.info.id.clone(), self.executors.contains_key(key)) {
            let message = internal::ExecutorReregisteredMessage {
                slave_id,
                slave_info: mesos::AgentInfo { checkpoint: Some(true), ..self.info_for_executors() },
            };
            self.say(driver, message, out);
        }
        self.subscribed(now, key, speaker, (tasks, updates), false, out);
    }
}
