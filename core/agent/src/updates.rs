//! Status updates: one in flight per task, in order, durable before they are said, repeated until acknowledged.

use crate::saves::Then;
use crate::{
    Agent, Effect,
    calls::Word,
    checks::nothing_seen,
    records,
    state::{Pending, Runner, Task, is_terminal},
};
use base::{Duration, Effects, Now, Time};
use model::mesos::{
    ContainerStatus, ExecutorId, FrameworkId, NetworkInfo, TaskId, TaskState, TaskStatus, internal,
    network_info::{IpAddress, Protocol},
    task_status::{Reason, Source},
};

const RETRY_FIRST: Duration = Duration::from_secs(10);
const RETRY_MAX: Duration = Duration::from_secs(600);
/// Updates of one task that wait behind the one in flight. Beyond it the oldest word of a check gives way to a newer one.
const PENDING_MAX: usize = 64;
/// Updates of one task that its executor made and that wait: beyond it the executor is refused.
const EXECUTOR_PENDING_MAX: usize = 10_000;
/// Bytes of those.
const EXECUTOR_PENDING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Statuses kept of one task for reading: as many as the master keeps.
const STATUSES_MAX: usize = 16;
/// Frameworks without tasks that are kept for reading.
const COMPLETED_FRAMEWORKS_MAX: usize = 50;

type Key = (String, String);

impl Agent {
    /// A new status of a task: queued, durable at the end of the step, said once the ones before are acknowledged.
    pub(crate) fn report(&mut self, now: &mut Now<'_>, key: &Key, fill: impl FnOnce(&mut TaskStatus)) {
        let Some(task) = self.tasks.get(key).filter(|t| !t.silent) else { return };
        let mut status = TaskStatus {
            task_id: task.info.task_id.clone(),
            agent_id: self.info.id.clone(),
            executor_id: Some(ExecutorId { value: task.executor_id().to_owned() }),
            timestamp: Some(now.time.as_secs_f64()),
            uuid: Some(now.rng.uuid().as_bytes().to_vec()),
            ..Default::default()
        };
        status.set_state(task.state);
        status.set_source(Source::Executor);
        status.container_status = Some(self.container_status(task));
        fill(&mut status);
        if status.source() == Source::Executor {
            // apache/mesos@c1b42f79:src/launcher/executor.cpp (`createTaskStatus`): what was seen last stands in updates of
            // checks alone; all others of a task that is checked have the kind of its check and nothing seen.
            let seen = task.check.as_ref().map(|c| c.seen).filter(|_| of_check(&status));
            status.check_status = seen.or_else(|| task.info.check.as_ref().map(nothing_seen));
            if of_check(&status) {
                status.healthy = status.healthy.or(task.healthy);
            }
        }
        let executor_id = status.executor_id.clone();
        self.enqueue(now.time, key, status, executor_id, false);
    }

    /// What is said of a task's container.
    pub(crate) fn container_status(&self, task: &Task) -> ContainerStatus {
        let address = self.config.address.ip();
        let mut ip = IpAddress { ip_address: Some(address.to_string()), ..Default::default() };
        if address.is_ipv6() {
            ip.set_protocol(Protocol::IPv6);
        }
        ContainerStatus {
            container_id: Some(task.container.to_message()),
            network_infos: vec![NetworkInfo { ip_addresses: vec![ip], ..Default::default() }],
            executor_pid: task.pid,
            ..Default::default()
        }
    }

    /// Puts an update behind those of its task. `tell`: the executor that made it hears when it is durable.
    pub(crate) fn enqueue(
        &mut self,
        now: Time,
        key: &Key,
        mut status: TaskStatus,
        executor_id: Option<ExecutorId>,
        tell: bool,
    ) {
        self.say_draining(&key.0, &mut status);
        if !tell && !is_terminal(status.state()) {
            self.make_way(key);
        }
        let Some(task) = self.tasks.get_mut(key) else { return };
        let before = task.state;
        if !is_terminal(before) {
            if is_terminal(status.state()) && !is_terminal(task.state) {
                *self.counters.ended.entry(status.state().as_str_name()).or_default() += 1;
            }
            task.state = status.state();
        } else if status.state() == TaskState::TaskGoneByOperator {
            task.state = status.state();
        }
        let update = internal::StatusUpdate {
            framework_id: FrameworkId { value: task.framework.clone() },
            executor_id,
            slave_id: self.info.id.clone(),
            // Executors need not say when: then the update has the time, and the status in it none, as upstream.
            timestamp: status.timestamp.unwrap_or_else(|| now.as_secs_f64()),
            uuid: status.uuid.clone(),
            latest_state: Some(status.state),
            status: status.clone(),
        };
        let number = self.next_update;
        self.next_update += 1;
        self.saves.push(records::update(number, &update));
        self.saves.then(Then::Say { task: key.clone(), number });
        remember(task, status);
        task.pending.push_back(Pending::new(number, update, false, tell));
        if task.state != before {
            self.news.push(key, task.state);
        }
        self.counters.updates += 1;
    }

    /// A check that flaps while nobody acknowledges: what it said longest ago and nobody has heard yet is not said.
    fn make_way(&mut self, key: &Key) {
        let Some(task) = self.tasks.get_mut(key).filter(|t| t.pending.len() >= PENDING_MAX) else { return };
        let own = |p: &Pending| !p.tell && of_check(&p.update.status);
        // The first may be under way.
        let Some(place) = task.pending.iter().skip(1).position(own) else { return };
        if let Some(gone) = task.pending.remove(place + 1) {
            self.saves.push(records::forget_update(gone.number));
            self.counters.updates_dropped += 1;
        }
    }

    /// Whether another update of this task is taken from its executor: what is taken is said, however many there are.
    pub(crate) fn has_room(&mut self, key: &Key, status: &TaskStatus) -> bool {
        let Some(task) = self.tasks.get(key) else {
            // Of the executor's own making: as many names as there may be updates of one.
            let ghosts = self.tasks.values().filter(|t| t.ghost && t.framework == key.0).count();
            self.counters.updates_dropped += u64::from(ghosts >= EXECUTOR_PENDING_MAX);
            return ghosts < EXECUTOR_PENDING_MAX;
        };
        let last_word = is_terminal(status.state()) && !is_terminal(task.state);
        let bytes: usize = task.pending.iter().map(|p| p.bytes).sum();
        let full = task.pending.len() >= EXECUTOR_PENDING_MAX || bytes >= EXECUTOR_PENDING_BYTES_MAX;
        if full && !last_word {
            self.counters.updates_dropped += 1;
            return false;
        }
        true
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
        let agent_id = self.info.id.clone().unwrap_or_default();
        let info = model::mesos::TaskInfo { task_id: task, agent_id, ..Default::default() };
        let mut ghost = Task::new(key.0.clone(), container, info, String::new());
        (ghost.ended, ghost.ghost) = (true, true);
        self.tasks.insert(key.clone(), ghost);
        self.report(now, &key, |s| {
            s.set_state(status.state());
            s.set_source(Source::Agent);
            s.executor_id = status.executor_id;
            s.reason = status.reason;
            s.message = status.message;
            s.container_status = None;
        });
    }

    /// An update of an executor about a task that is not here: passed on.
    pub(crate) fn ghost_update(
        &mut self,
        now: Time,
        key: Key,
        status: TaskStatus,
        executor_id: Option<ExecutorId>,
    ) {
        if !self.tasks.contains_key(&key) {
            let container = model::container::ContainerId(String::new());
            let agent_id = self.info.id.clone().unwrap_or_default();
            let info =
                model::mesos::TaskInfo { task_id: status.task_id.clone(), agent_id, ..Default::default() };
            let mut ghost = Task::new(key.0.clone(), container, info, String::new());
            (ghost.ended, ghost.ghost) = (true, true);
            self.tasks.insert(key.clone(), ghost);
        }
        self.enqueue(now, &key, status, executor_id, false);
    }

    /// An update may be said: to the master in its turn, to the executor that made it at once.
    pub(crate) fn update_is_durable(&mut self, key: &Key, number: u64, now: Time, out: &mut Effects<Effect>) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let executor = (key.0.clone(), task.executor_id().to_owned());
        let Some(pending) = task.pending.iter_mut().find(|p| p.number == number) else { return };
        pending.durable = true;
        if pending.tell {
            let uuid = pending.update.uuid.clone().unwrap_or_default();
            let word = Word::Acknowledged { task: pending.update.status.task_id.clone(), uuid };
            self.tell(&executor, word, out);
        }
        self.send_first(key, false, now, out);
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
        self.resend(|_| true, now, out);
    }

    /// Says again what those tasks have not heard an acknowledgement of.
    pub(crate) fn resend(&mut self, of: impl Fn(&Task) -> bool, now: Time, out: &mut Effects<Effect>) {
        let waits = |t: &Task| t.has_pending() && of(t);
        let keys: Vec<_> = self.tasks.iter().filter(|(_, t)| waits(t)).map(|(k, _)| k.clone()).collect();
        for key in keys {
            if let Some(task) = self.tasks.get_mut(&key) {
                task.retry_after = RETRY_FIRST;
            }
            self.send_first(&key, true, now, out);
        }
    }

    pub(crate) fn acknowledged(
        &mut self,
        message: internal::StatusUpdateAcknowledgementMessage,
        out: &mut Effects<Effect>,
    ) {
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
        self.saves.later(records::forget_update(done.number));
        let over = is_terminal(done.update.status.state());
        if task.ended && over && !task.ghost {
            // Whatever an executor said after the end is of no use to anybody.
            let rest: Vec<_> = task.pending.drain(..).map(|p| p.number).collect();
            rest.into_iter().for_each(|number| self.saves.later(records::forget_update(number)));
        }
        let Some(task) = self.tasks.get_mut(&key) else { return };
        if task.pending.is_empty() && task.ended && (over || task.ghost) {
            self.forget(&key, out);
        } else if task.has_pending() {
            // Were the next one said at once, a crash could bring the acknowledged one back after it. One that is made
            // only now is durable later than this anyway.
            task.held = true;
            self.saves.then(Then::Acknowledged { task: key });
        }
    }

    /// A task is over and acknowledged: it moves to the ended ones.
    pub(crate) fn forget(&mut self, key: &Key, out: &mut Effects<Effect>) {
        let Some(task) = self.tasks.remove(key) else { return };
        if !task.ghost {
            records::forget_task(&task).into_iter().for_each(|change| self.saves.later(change));
        }
        if task.is_played() {
            self.containers.remove(&task.container);
        }
        if task.is_played() && !task.ghost {
            self.saves.then_later(Then::Forget { container: task.container.clone() });
        }
        if task.runner == crate::Runner::Agent && !task.ghost {
            self.becomes_garbage(&task.directory);
        }
        let executor = (key.0.clone(), task.executor_id().to_owned());
        self.completed.push(task, self.config.completed_tasks_max);
        self.end_if_settled(&executor, out);
        self.remove_executor(&executor);
        self.forget_framework(&key.0);
    }

    /// A framework is forgotten with its last task and executor.
    pub(crate) fn forget_framework(&mut self, framework: &str) {
        let holds = |key: &Key| key.0 == framework;
        if !self.tasks.keys().any(holds)
            && !self.executors.keys().any(holds)
            && let Some(over) = self.frameworks.remove(framework)
        {
            self.saves.later(records::forget_framework(framework));
            self.completed_frameworks.retain(|info| info.id != over.info.id);
            self.completed_frameworks.push_back(over.info);
            while self.completed_frameworks.len() > COMPLETED_FRAMEWORKS_MAX {
                self.completed_frameworks.pop_front();
            }
        }
    }

    /// Nobody asks about a task whose framework is gone: there is nothing to acknowledge.
    pub(crate) fn forget_if_silent(&mut self, key: &Key, out: &mut Effects<Effect>) {
        if self.tasks.get(key).is_some_and(|t| t.ended && !t.has_pending()) {
            self.forget(key, out);
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
            self.counters.executors_ended += u64::from(!task.ended && task.runner == Runner::Agent);
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

/// Whether an update says what a check or health check of the agent's saw.
fn of_check(status: &TaskStatus) -> bool {
    let reason = status.reason.and_then(|reason| Reason::try_from(reason).ok());
    matches!(reason, Some(Reason::TaskCheckStatusUpdated | Reason::TaskHealthCheckStatusUpdated))
}

/// What an executor hears whose update is not taken.
pub(crate) fn no_room(task: &str) -> String {
    format!(
        "{EXECUTOR_PENDING_MAX} status updates (EXECUTOR_PENDING_MAX) or {EXECUTOR_PENDING_BYTES_MAX} bytes of them \
         (EXECUTOR_PENDING_BYTES_MAX) of task '{task}' wait for their acknowledgement by the framework: try again later"
    )
}

/// Keeps a status for reading. Beyond the limit the first one stays: it says when the task began.
pub(crate) fn remember(task: &mut Task, status: TaskStatus) {
    if task.statuses.len() >= STATUSES_MAX {
        task.statuses.remove(1);
    }
    task.statuses.push(status);
}
