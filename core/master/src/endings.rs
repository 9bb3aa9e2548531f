//! Frameworks that leave: disconnected, away for too long, torn down; what becomes of their tasks. Never how they come
//! (`frameworks`).

use crate::{
    Effect, Framework, Master, Session, frameworks::failover_timeout, registry, saves::Then, timers::Timer,
};
use base::{Duration, Effects, Time};
use model::{
    mesos::{FrameworkId, TaskState, internal, task_status::Reason},
    request::{Answer, Http, RequestId, StreamId},
};
use std::sync::Arc;

/// Ids of ended frameworks that are remembered; older ones are forgotten.
const ENDED_MAX: usize = 10_000;

impl Master {
    pub(crate) fn stream_closed(&mut self, stream: StreamId, now: Time, out: &mut Effects<Effect>) {
        self.operator_gone(stream);
        let its =
            |f: &&Framework| f.session.as_ref().and_then(Session::stream).is_some_and(|s| s.id == stream);
        let found = self.frameworks.values().find(its);
        let Some(id) = found.map(|f| f.id().to_owned()) else { return };
        self.framework_left(&id, now, out);
    }

    /// It is disconnected: after a while without it, it is ended.
    pub(crate) fn framework_left(&mut self, id: &str, now: Time, out: &mut Effects<Effect>) {
        self.disconnect_framework(id, now);
        let wait = self.frameworks.get(id).map_or(Duration::ZERO, |f| failover_timeout(&f.info));
        if wait.is_zero() {
            self.end_framework(id, None, now, out);
        } else {
            self.timers.set(Timer::Failover(id.to_owned()), now + wait);
        }
    }

    pub(crate) fn disconnect_framework(&mut self, id: &str, now: Time) {
        self.timers.cancel(&Timer::Heartbeat(id.to_owned()));
        self.allocator.deactivate_framework(id);
        self.drop_inverse_to(id);
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.session = None;
            for offer in std::mem::take(&mut framework.offers).keys() {
                self.take_back(offer, None, now);
            }
        }
    }

    /// Ends a framework. It is cut off at once; its tasks are killed when its end is durable.
    pub(crate) fn end_framework(
        &mut self,
        id: &str,
        request: Option<RequestId>,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        if !self.frameworks.contains_key(id) || (self.ending.contains(id) && request.is_none()) {
            return;
        }
        let session = self.frameworks.get(id).and_then(|f| f.session.as_ref());
        if let Some(stream) = session.and_then(Session::stream) {
            out.push(Http::Close { stream: stream.id });
        }
        self.disconnect_framework(id, now);
        self.timers.cancel(&Timer::Failover(id.to_owned()));
        self.ending.insert(id.to_owned());
        let forgotten = if self.ended.len() < ENDED_MAX { None } else { self.ended.front() };
        let batch = registry::complete(id, forgotten.map(String::as_str));
        self.save(batch, Then::RemoveFramework { id: id.to_owned(), request }, out);
    }

    /// Its end is durable: its tasks are killed, its id is never taken again.
    pub(crate) fn remove_framework(&mut self, id: &str, now: Time, out: &mut Effects<Effect>) {
        self.ending.remove(id);
        let Some(mut framework) = self.frameworks.remove(id) else { return };
        let agents: Vec<String> = framework.agents().into_iter().map(str::to_owned).collect();
        let tasks = std::mem::take(&mut framework.tasks);
        (framework.operations, framework.operation_ids) = Default::default();
        for agent in &agents {
            self.forget_executors(agent, Some(id), now);
        }
        for agent in agents.iter().filter_map(|a| self.agents.get(a)).filter(|a| a.connected) {
            let framework_id = FrameworkId { value: id.to_owned() };
            self.tell(agent, internal::ShutdownFrameworkMessage { framework_id }, out);
        }
        let unreachable = std::mem::take(&mut framework.unreachable_tasks);
        for (task_id, task) in tasks.iter().chain(&unreachable) {
            let mut task = task.clone();
            let agent_id = task.agent_id.value.clone();
            if let Some(agent) = self.agents.get_mut(&agent_id) {
                agent.tasks.remove(&(id.to_owned(), task_id.clone()));
            }
            if !crate::is_terminal(task.state()) {
                self.free(id, &task, now);
                task.set_state(TaskState::TaskKilled);
                let mut status = crate::updates::of_master(&task, TaskState::TaskKilled, now);
                status.message = Some(format!("Framework {id} removed"));
                status.set_reason(Reason::FrameworkRemoved);
                (status.container_status, status.healthy, status.executor_id) = (None, None, None);
                self.counters.ended(TaskState::TaskKilled);
                self.counters.reason(&status);
                self.publish_task_updated(id, status.state, &status, out);
                task.statuses.push(status);
            }
            framework.complete(task, self.config.completed_tasks_max);
        }
        self.allocator.remove_framework(id);
        self.inverse.forget_framework(id);
        framework.unregistered = Some(now);
        self.publish_framework_removed(&framework, out);
        self.completed_frameworks.push_back(Arc::new(framework));
        while self.completed_frameworks.len() > self.config.completed_frameworks_max {
            self.completed_frameworks.pop_front();
        }
        self.ended.push_back(id.to_owned());
        while self.ended.len() > ENDED_MAX {
            self.ended.pop_front();
        }
    }

    pub(crate) fn operator_teardown(
        &mut self,
        request: RequestId,
        id: &str,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        if self.frameworks.contains_key(id) {
            self.end_framework(id, Some(request), now, out);
        } else {
            let answer = Answer::text(400, "No framework found with specified ID");
            out.push(Http::Reply { request, answer });
        }
    }
}
