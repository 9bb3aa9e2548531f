//! Status updates: one in flight per task, in order, durable before they are said, repeated until acknowledged.

use crate::saves::Then;
use crate::{
    Agent, Effect, records,
    state::{Pending, Task, is_terminal},
};
use base::{Duration, Effects, Now, Time};
use model::mesos::{
    ContainerId, ContainerStatus, ExecutorId, FrameworkId, NetworkInfo, TaskId, TaskState, TaskStatus,
    internal,
    network_info::{IpAddress, Protocol},
    task_status::Source,
};

const RETRY_FIRST: Duration = Duration::from_secs(10);
const RETRY_MAX: Duration = Duration::from_secs(600);
/// Updates of one task that wait behind the one in flight; flapping checks are dropped beyond it.
const PENDING_MAX: usize = 64;

type Key = (String, String);

impl Agent {
    /// A new status of a task: queued, durable at the end of the step, said once the ones before are acknowledged.
    pub(crate) fn report(&mut self, now: &mut Now<'_>, key: &Key, fill: impl FnOnce(&mut TaskStatus)) {
        let agent_id = self.info.id.clone();
        let address = self.config.address.ip();
        let Some(task) = self.tasks.get_mut(key).filter(|t| !t.silent) else { return };
        let mut status = TaskStatus {
            task_id: task.info.task_id.clone(),
            agent_id: agent_id.clone(),
            executor_id: Some(ExecutorId { value: task.id().to_owned() }),
            timestamp: Some(now.time.as_secs_f64()),
            uuid: Some(now.rng.uuid().as_bytes().to_vec()),
            healthy: task.healthy,
            ..Default::default()
        };
        status.set_state(task.state);
        status.set_source(Source::Executor);
        let mut ip = IpAddress { ip_address: Some(address.to_string()), ..Default::default() };
        ip.set_protocol(if address.is_ipv4() { Protocol::IPv4 } else { Protocol::IPv6 });
        status.container_status = Some(ContainerStatus {
            container_id: Some(ContainerId { value: task.container.0.clone(), parent: None }),
            network_infos: vec![NetworkInfo { ip_addresses: vec![ip], ..Default::default() }],
            executor_pid: task.pid,
            ..Default::default()
        });
        fill(&mut status);
        let before = task.state;
        if !is_terminal(before) {
            task.state = status.state();
        }
        if task.pending.len() >= PENDING_MAX && !is_terminal(status.state()) {
            self.counters.updates_dropped += 1;
            return;
        }
        let update = internal::StatusUpdate {
            framework_id: FrameworkId { value: task.framework.clone() },
            executor_id: status.executor_id.clone(),
            slave_id: agent_id,
            timestamp: status.timestamp.unwrap_or_default(),
            uuid: status.uuid.clone(),
            latest_state: Some(status.state),
            status: status.clone(),
        };
        let number = self.next_update;
        self.next_update += 1;
        self.saves.push(records::update(number, &update));
        self.saves.then(Then::Say { task: key.clone(), number });
        task.statuses.push(status);
        task.pending.push_back(Pending { number, update, durable: false });
        self.counters.updates += 1;
    }

    /// A final update about a task that is not here.
    pub(crate) fn ghost(
        &mut self,
        now: &mut Now<'_>,
        framework: FrameworkId,
        task: TaskId,
        status: TaskStatus,
    ) {
        let key = (framework.value.clone(), task.value.clone());
        let container = model::container::ContainerId(now.rng.uuid().to_string());
        let info = model::mesos::TaskInfo { task_id: task, ..Default::default() };
        let mut ghost = Task::new(key.0.clone(), container, info, String::new());
        ghost.ended = true;
        ghost.ghost = true;
        self.tasks.insert(key.clone(), ghost);
        self.report(now, &key, |s| {
            s.set_state(status.state());
            s.set_source(Source::Agent);
            s.reason = status.reason;
            s.message = status.message;
            s.container_status = None;
        });
    }

    /// Says the first unacknowledged update, if it is durable and not already under way.
    pub(crate) fn send_first(&mut self, key: &Key, again: bool, now: Time, out: &mut Effects<Effect>) {
        let me = self.me();
        let registered = self.registration.registered;
        let master = self.registration.master.clone();
        let Some(task) = self.tasks.get_mut(key) else { return };
        let latest = task.state;
        let Some(master) = master.filter(|_| registered) else {
            // All of it is said after the next registration; until then there is nothing to wake up for.
            task.retry_at = None;
            return;
        };
        if task.held || (task.retry_at.is_some() && !again) {
            return;
        }
        let Some(first) = task.pending.front_mut().filter(|p| p.durable) else { return };
        first.update.latest_state = Some(latest.into());
        let message =
            internal::StatusUpdateMessage { update: first.update.clone(), pid: Some(me.to_string()) };
        task.retry_at = Some(now + task.retry_after);
        task.retry_after = (task.retry_after * 2).min(RETRY_MAX);
        self.say(master, message, out);
    }

    /// After a (re)registration everything unacknowledged is said again.
    pub(crate) fn resend_all(&mut self, now: Time, out: &mut Effects<Effect>) {
        let keys: Vec<_> =
            self.tasks.iter().filter(|(_, t)| t.has_pending()).map(|(k, _)| k.clone()).collect();
        for key in keys {
            if let Some(task) = self.tasks.get_mut(&key) {
                task.retry_after = RETRY_FIRST;
            }
            self.send_first(&key, true, now, out);
        }
    }

    pub(crate) fn acknowledged(&mut self, message: internal::StatusUpdateAcknowledgementMessage) {
        if !self.registration.registered {
            // The list of tasks that is on its way would be wrong. The update is said again, and acknowledged again.
            return;
        }
        let key = (message.framework_id.value, message.task_id.value);
        let Some(task) = self.tasks.get_mut(&key) else { return };
        let matches =
            task.pending.front().is_some_and(|p| p.durable && p.update.uuid.as_ref() == Some(&message.uuid));
        if !matches {
            // A repetition of an earlier acknowledgement, or none of ours.
            return;
        }
        let Some(done) = task.pending.pop_front() else { return };
        task.retry_at = None;
        task.retry_after = RETRY_FIRST;
        self.saves.push(records::forget_update(done.number));
        let finished = task.pending.is_empty() && task.ended && is_terminal(done.update.status.state());
        if finished {
            self.forget(&key);
        } else {
            // Were it said at once, a crash could bring the acknowledged one back after it.
            task.held = true;
            self.saves.then(Then::Acknowledged { task: key });
        }
    }

    /// A task is over and acknowledged: it moves to the ended ones.
    pub(crate) fn forget(&mut self, key: &Key) {
        let Some(task) = self.tasks.remove(key) else { return };
        self.containers.remove(&task.container);
        self.saves.extend(records::forget_task(&task));
        self.saves.then(Then::Forget { container: task.container.clone() });
        if !self.tasks.keys().any(|(f, _)| *f == key.0) && self.frameworks.remove(&key.0).is_some() {
            self.saves.push(records::forget_framework(&key.0));
        }
        self.completed.push_back(task);
        while self.completed.len() > self.config.completed_tasks_max {
            self.completed.pop_front();
        }
    }

    /// The final state of a task whose container is gone.
    pub(crate) fn conclude(
        &mut self,
        now: &mut Now<'_>,
        key: &Key,
        state: TaskState,
        fill: impl FnOnce(&mut TaskStatus),
    ) {
        if let Some(task) = self.tasks.get_mut(key) {
            task.ended = true;
            task.health = None;
            task.end_at = None;
            if is_terminal(task.state) {
                return;
            }
        }
        self.report(now, key, |status| {
            status.set_state(state);
            fill(status);
        });
    }
}
