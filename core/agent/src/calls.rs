//! The executor API as a conversation: what an executor calls, what it is told, by stream (v1) or driver (v0).
//!
//! Order and texts: apache/mesos@c1b42f79:src/slave/http.cpp (`executor`), and recordings of the original.

mod drivers;

use crate::{
    Agent, Effect, launch,
    state::{Executor, Phase, Speaker, Task, is_terminal},
    updates::no_room,
};
use base::{Duration, Effects, Now};
use model::{
    link::Envelope,
    mesos::{
        self, ExecutorId, FrameworkId, TaskId, TaskState, TaskStatus,
        executor::{Call, Event, call, event},
        internal,
        task_status::{Reason, Source},
    },
    request::{Answer, Body, Codec, Http, RequestId, StreamId},
};

type Key = (String, String);

/// Agent to executor; the first comes after one such time, for executors exist that fail at the sight of one.
pub(crate) const HEARTBEAT_EVERY: Duration = Duration::from_secs(30 * 60);

/// What an executor is told.
#[derive(Debug)]
pub(crate) enum Word {
    Registered,
    Launch(Box<mesos::TaskInfo>),
    LaunchGroup(mesos::TaskGroupInfo),
    Kill { task: TaskId, policy: Option<mesos::KillPolicy> },
    Acknowledged { task: TaskId, uuid: Vec<u8> },
    Message(Vec<u8>),
    Heartbeat,
    Shutdown,
}

impl Agent {
    /// Says it, if anybody listens.
    pub(crate) fn tell(&self, key: &Key, word: Word, out: &mut Effects<Effect>) {
        let Some(executor) = self.executors.get(key) else { return };
        match &executor.speaker {
            Speaker::Nobody => {}
            Speaker::Stream(stream) => {
                let event = self.to_event(executor, word);
                out.push(Effect::Http(Http::Send { stream: *stream, event }));
            }
            Speaker::Driver(driver) => {
                if let Some(message) = self.to_message(executor, word) {
                    let envelope = Envelope { from: self.me(), to: driver.clone(), message };
                    out.push(Effect::Send(Box::new(envelope)));
                }
            }
        }
    }

    fn to_event(&self, executor: &Executor, word: Word) -> Event {
        let mut event = Event::default();
        match word {
            Word::Registered => {
                event.set_type(event::Type::Subscribed);
                let framework = self.frameworks.get(&executor.framework);
                event.subscribed = Some(event::Subscribed {
                    executor_info: executor.info.clone(),
                    framework_info: framework.map(|f| f.info.clone()).unwrap_or_default(),
                    agent_info: self.info_for_executors(),
                    container_id: Some(executor.container.to_message()),
                });
            }
            Word::Launch(task) => {
                event.set_type(event::Type::Launch);
                event.launch = Some(event::Launch { task: *task });
            }
            Word::LaunchGroup(task_group) => {
                event.set_type(event::Type::LaunchGroup);
                event.launch_group = Some(event::LaunchGroup { task_group });
            }
            Word::Kill { task, policy } => {
                event.set_type(event::Type::Kill);
                event.kill = Some(event::Kill { task_id: task, kill_policy: policy });
            }
            Word::Acknowledged { task, uuid } => {
                event.set_type(event::Type::Acknowledged);
                event.acknowledged = Some(event::Acknowledged { task_id: task, uuid });
            }
            Word::Message(data) => {
                event.set_type(event::Type::Message);
                event.message = Some(event::Message { data });
            }
            Word::Heartbeat => event.set_type(event::Type::Heartbeat),
            Word::Shutdown => event.set_type(event::Type::Shutdown),
        }
        event
    }

    /// The agent as executors see it: without roles on unreserved resources.
    fn info_for_executors(&self) -> mesos::AgentInfo {
        let mut info = self.info.clone();
        for resource in &mut info.resources {
            resource.role = None;
        }
        info.checkpoint = None;
        info
    }

    /// A call by HTTP.
    pub(crate) fn executor_call(
        &mut self,
        now: &mut Now<'_>,
        request: RequestId,
        accept: Codec,
        call: Call,
        out: &mut Effects<Effect>,
    ) {
        let reply = |answer| Effect::Http(Http::Reply { request, answer });
        if !self.registration.recovered {
            out.push(reply(Answer::text(503, "Agent has not finished recovery")));
            return;
        }
        let key = (call.framework_id.value.clone(), call.executor_id.value.clone());
        if !self.frameworks.contains_key(&key.0) {
            out.push(reply(Answer::text(400, "Framework cannot be found")));
            return;
        }
        let Some(executor) = self.executors.get(&key) else {
            out.push(reply(Answer::text(400, "Executor cannot be found")));
            return;
        };
        let subscribes = call.r#type() == call::Type::Subscribe;
        if !subscribes && !matches!(executor.speaker, Speaker::Stream(_)) {
            out.push(reply(Answer::text(403, "Executor is not subscribed")));
            return;
        }
        if subscribes {
            out.push(Effect::Http(Http::Open { request, headers: Vec::new(), codec: accept }));
            let call = call.subscribe.unwrap_or_default();
            let updates = call.unacknowledged_updates.into_iter().map(|u| u.status).collect();
            let tasks = call.unacknowledged_tasks.into_iter().map(|t| t.task_id).collect();
            let speaker = Speaker::Stream(StreamId(request.0));
            self.subscribed(now, &key, speaker, (tasks, updates), true, out);
            return;
        }
        match call.r#type() {
            call::Type::Update => {
                if let Some(update) = call.update {
                    let task = update.status.task_id.value.clone();
                    if !self.executor_update(now, &key, update.status, false, out) {
                        out.push(reply(Answer::text(503, no_room(&task))));
                        return;
                    }
                }
            }
            call::Type::Message => {
                if let Some(message) = call.message {
                    self.to_framework(&key, message.data, out);
                }
            }
            call::Type::Unknown => {
                out.push(reply(Answer::new(501, Body::Empty)));
                return;
            }
            _ => {}
        }
        out.push(reply(Answer::accepted()));
    }

    /// An executor has come, or come back: what it has not heard is settled, then it gets what waits for it.
    pub(crate) fn subscribed(
        &mut self,
        now: &mut Now<'_>,
        key: &Key,
        speaker: Speaker,
        (tasks, updates): (Vec<TaskId>, Vec<TaskStatus>),
        greet: bool,
        out: &mut Effects<Effect>,
    ) {
        let ending = self.frameworks.get(&key.0).is_none_or(|f| f.ending);
        let Some(executor) = self.executors.get_mut(key) else { return };
        let old = std::mem::replace(&mut executor.speaker, speaker.clone());
        if let Speaker::Stream(stream) = old
            && old != speaker
        {
            out.push(Effect::Http(Http::Close { stream }));
        }
        if ending || matches!(executor.phase, Phase::Ending { .. } | Phase::Forced | Phase::Ended) {
            self.tell(key, Word::Shutdown, out);
            return;
        }
        executor.phase = Phase::Running;
        if let Speaker::Driver(driver) = &executor.speaker {
            self.saves.push(crate::records::driver(executor, driver));
        } else {
            executor.heartbeat_at = Some(now.time + HEARTBEAT_EVERY);
        }
        let by_driver = matches!(speaker, Speaker::Driver(_));
        for status in updates {
            self.executor_update(now, key, status, by_driver, out);
        }
        // What it was sent and does not know was lost on the way.
        let queued: Vec<String> = match self.executors.get(key) {
            Some(executor) => executor.queue.iter().flat_map(|q| q.tasks.clone()).collect(),
            None => return,
        };
        let aware = self.frameworks.get(&key.0).is_some_and(|f| launch::is_partition_aware(&f.info));
        for task_key in self.tasks_of(key) {
            let staging = self
                .tasks
                .get(&task_key)
                .is_some_and(|t: &Task| t.state == TaskState::TaskStaging && !t.ended);
            let known = queued.contains(&task_key.1) || tasks.iter().any(|t| t.value == task_key.1);
            if staging && !known {
                let state = if aware { TaskState::TaskDropped } else { TaskState::TaskLost };
                self.conclude(now, &task_key, state, |s| {
                    s.set_source(Source::Agent);
                    s.set_reason(Reason::AgentRestarted);
                    s.message = Some("Task launched during agent restart".to_owned());
                    s.container_status = None;
                });
            }
        }
        // apache/mesos@c1b42f79:src/slave/slave.cpp (`subscribe`, MESOS-8411): an executor that never did anything and
        // has nothing to do is sent away before it hears that it is registered.
        let sent = self.executors.get(key).is_some_and(|e| e.sent);
        let worked = self.tasks_of(key).iter().any(|t| {
            self.tasks
                .get(t)
                .is_some_and(|t| !t.ended || t.statuses.iter().any(|s| s.source() == Source::Executor))
        });
        if queued.is_empty() && !worked && (!sent || !self.tasks_of(key).is_empty()) {
            self.shut_down_executor(key, now, out);
            return;
        }
        if greet {
            self.tell(key, Word::Registered, out);
        }
        self.deliver(now, key, out);
    }

    /// An update that an executor made. False: there is no room for it, and it was not taken.
    pub(crate) fn executor_update(
        &mut self,
        now: &mut Now<'_>,
        key: &Key,
        mut status: TaskStatus,
        by_driver: bool,
        out: &mut Effects<Effect>,
    ) -> bool {
        if self.frameworks.get(&key.0).is_none_or(|f| f.ending) {
            return true;
        }
        let Some(uuid) = status.uuid.clone().filter(|u| u.len() == 16) else {
            self.counters.messages_dropped += 1;
            return true;
        };
        let task_key = (key.0.clone(), status.task_id.value.clone());
        status.agent_id.clone_from(&self.info.id);
        status.set_source(Source::Executor);
        if by_driver {
            status.executor_id = Some(ExecutorId { value: key.1.clone() });
        }
        let executor_id = status.executor_id.clone();
        let theirs = self.tasks.get(&task_key).filter(|t| !t.ghost && t.executor_id() == key.1);
        let Some(task) = theirs else {
            // Passed on all the same, and not acknowledged to the executor (recorded).
            if self.tasks.get(&task_key).is_none_or(|t| t.ghost) {
                if !self.has_room(&task_key, &status) {
                    return false;
                }
                self.ghost_update(now.time, task_key, status, executor_id);
            }
            return true;
        };
        if let Some(known) = task.pending.iter().find(|p| p.update.uuid.as_ref() == Some(&uuid)) {
            if known.durable {
                let word = Word::Acknowledged { task: status.task_id, uuid };
                self.tell(key, word, out);
            }
            return true;
        }
        if task.statuses.iter().any(|s| s.uuid.as_ref() == Some(&uuid)) {
            self.tell(key, Word::Acknowledged { task: status.task_id, uuid }, out);
            return true;
        }
        if !self.has_room(&task_key, &status) {
            return false;
        }
        let Some(task) = self.tasks.get(&task_key) else { return true };
        let executor = self.executors.get(key);
        let mut about = self.container_status(task);
        about.executor_pid = executor.and_then(|e| e.pid);
        let theirs = status.container_status.take().unwrap_or_default();
        if !theirs.network_infos.is_empty() {
            about.network_infos = theirs.network_infos;
        }
        status.container_status = Some(about);
        let terminal = is_terminal(status.state());
        if let Some(task) = self.tasks.get_mut(&task_key)
            && terminal
        {
            task.ended = true;
        }
        self.enqueue(now.time, &task_key, status, executor_id, true);
        if terminal && let Some(container) = self.executors.get(key).map(|e| e.container.clone()) {
            out.push(Effect::Limit { container, limits: self.executor_limits(key) });
        }
        true
    }

    /// A message of an executor to its framework: said once, by way of the master.
    pub(crate) fn to_framework(&self, key: &Key, data: Vec<u8>, out: &mut Effects<Effect>) {
        let (Some(master), Some(slave_id)) = (self.registration.master.clone(), self.info.id.clone()) else {
            return;
        };
        let message = internal::ExecutorToFrameworkMessage {
            slave_id,
            framework_id: FrameworkId { value: key.0.clone() },
            executor_id: ExecutorId { value: key.1.clone() },
            data,
        };
        self.say(master, message, out);
    }

    /// A message of a framework to its executor.
    pub(crate) fn to_executor(
        &self,
        message: internal::FrameworkToExecutorMessage,
        out: &mut Effects<Effect>,
    ) {
        let key = (message.framework_id.value, message.executor_id.value);
        self.tell(&key, Word::Message(message.data), out);
    }
}
