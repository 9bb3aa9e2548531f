//! Frameworks: subscription, failover, heartbeats, disconnection, the end. Never their tasks' launch (`tasks`).

use crate::{
    Effect, Framework, Master, Session,
    allocator::{FrameworkCaps, FrameworkTerms},
    config::{HEARTBEAT_INTERVAL, TIMEOUT_MAX},
    registry, roles,
    saves::Then,
    timers::Timer,
    validate,
};
use base::{Duration, Effects, Now, Time};
use model::{
    link::{Envelope, Message},
    mesos::{
        Address, FrameworkId, FrameworkInfo, MasterInfo, TaskState,
        framework_info::capability::Type as Cap,
        internal, master_info,
        scheduler::{Call, Event, call, event},
        task_status::Reason,
    },
    request::{Answer, Codec, Http, RequestId, StreamId},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

impl Master {
    /// Every call of the scheduler API. The order of refusals is upstream's (src/master/http.cpp).
    pub(crate) fn call(
        &mut self,
        now: &mut Now<'_>,
        request: RequestId,
        accept: Codec,
        stream_id: Option<&str>,
        call: Call,
        out: &mut Effects<Effect>,
    ) {
        self.counters.calls += 1;
        if call.r#type() == call::Type::Subscribe {
            if let Some(subscribe) = call.subscribe {
                self.subscribe(now, request, accept, subscribe, out);
            }
            return;
        }
        let id = call.framework_id.as_ref().map_or(String::new(), |id| id.value.clone());
        let answer = match self.refuse(&id, stream_id) {
            Some(answer) => answer,
            None => match call.r#type() {
                call::Type::Request => Answer::accepted(),
                call::Type::Unknown => Answer::text(501, "501 Not Implemented."),
                call::Type::Message
                | call::Type::Shutdown
                | call::Type::AcceptInverseOffers
                | call::Type::DeclineInverseOffers
                | call::Type::AcknowledgeOperationStatus
                | call::Type::ReconcileOperations
                | call::Type::UpdateFramework => {
                    Answer::text(501, format!("{} is not supported yet", call.r#type().as_str_name()))
                }
                _ => Answer::accepted(),
            },
        };
        let taken = answer.status == 202;
        out.push(Http::Reply { request, answer });
        if taken {
            self.act(now, &id, call, out);
        }
    }

    fn act(&mut self, now: &mut Now<'_>, id: &str, call: Call, out: &mut Effects<Effect>) {
        let at = now.time;
        match call.r#type() {
            call::Type::Teardown => self.end_framework(id, None, at, out),
            call::Type::Accept => self.accept(now, id, call.accept.unwrap_or_default(), out),
            call::Type::Decline => self.decline(id, call.decline.unwrap_or_default(), at, out),
            call::Type::Revive => self.allocator.revive(id, &call.revive.unwrap_or_default().roles),
            call::Type::Suppress => self.allocator.suppress(id, &call.suppress.unwrap_or_default().roles),
            call::Type::Kill => self.kill(id, call.kill.unwrap_or_default(), at, out),
            call::Type::Acknowledge => self.acknowledge(id, call.acknowledge.unwrap_or_default(), out),
            call::Type::Reconcile => self.reconcile(id, &call.reconcile.unwrap_or_default().tasks, at, out),
            _ => {}
        }
    }

    fn refuse(&self, id: &str, stream_id: Option<&str>) -> Option<Answer> {
        let Some(framework) = self.frameworks.get(id) else {
            return Some(Answer::text(400, "Framework cannot be found"));
        };
        let Some(session) = &framework.session else {
            return Some(Answer::text(403, "Framework is not subscribed"));
        };
        match stream_id {
            None => {
                Some(Answer::text(400, "All non-subscribe calls should include the 'Mesos-Stream-Id' header"))
            }
            Some(given) if given != session.uuid => Some(Answer::text(
                400,
                format!(
                    "The stream ID '{given}' included in this request didn't match the stream ID currently \
                     associated with framework ID {id}"
                ),
            )),
            Some(_) => None,
        }
    }

    fn subscribe(
        &mut self,
        now: &mut Now<'_>,
        request: RequestId,
        codec: Codec,
        subscribe: call::Subscribe,
        out: &mut Effects<Effect>,
    ) {
        let mut info = subscribe.framework_info;
        let given = info.id.as_ref().map(|id| id.value.clone()).filter(|id| !id.is_empty());
        if given.as_ref().is_some_and(|id| self.ending.contains(id)) {
            // A crash could still undo it; once it is durable, asking again is answered with an ERROR.
            let answer = Answer::text(503, "The framework is being removed");
            out.push(Http::Reply { request, answer });
            return;
        }
        let known = given.as_deref().and_then(|id| self.frameworks.get(id));
        let fault = validate::framework(&info, &subscribe.suppressed_roles).or_else(|| match &given {
            Some(id) if self.ended.contains(id) => Some("Framework has been removed".to_owned()),
            _ => known.and_then(|f| {
                (!f.recovered && f.info.principal != info.principal)
                    .then(|| "Changing framework's principal is not allowed.".to_owned())
            }),
        });
        if let Some(message) = fault {
            let stream = StreamId(request.0);
            let uuid = now.rng.uuid().to_string();
            out.push(Http::Open { request, headers: vec![("Mesos-Stream-Id", uuid)], codec });
            out.push(Http::Send { stream, event: error(&message) });
            out.push(Http::Close { stream });
            return;
        }
        if let Some(known) = known {
            info.user.clone_from(&known.info.user);
            info.checkpoint = known.info.checkpoint;
        }
        let id = given.unwrap_or_else(|| {
            let id = format!("{}-{:04}", self.id, self.next_framework);
            self.next_framework += 1;
            id
        });
        info.id = Some(FrameworkId { value: id.clone() });
        let suppressed = subscribe.suppressed_roles;
        if self.frameworks.get(&id).is_some_and(|f| f.info == info) {
            self.subscribed(now, request, codec, info, suppressed, out);
        } else {
            let batch = registry::framework(&id, &info);
            let then = Then::Subscribe {
                request,
                codec,
                info: Box::new(info),
                suppressed,
                _constraints: subscribe.offer_constraints.map(Box::new),
            };
            self.save(batch, then, out);
        }
    }

    /// What a framework says of itself is durable: its stream opens.
    pub(crate) fn subscribed(
        &mut self,
        now: &mut Now<'_>,
        request: RequestId,
        codec: Codec,
        info: FrameworkInfo,
        suppressed: Vec<String>,
        out: &mut Effects<Effect>,
    ) {
        let at = now.time;
        let id = info.id.as_ref().map_or(String::new(), |id| id.value.clone());
        if let Some(old) = self.frameworks.get(&id).and_then(|f| f.session.clone()) {
            out.push(Http::Send { stream: old.stream, event: error("Framework failed over") });
            out.push(Http::Close { stream: old.stream });
            self.disconnect_framework(&id, at, out);
        }
        let session = Session { stream: StreamId(request.0), uuid: now.rng.uuid().to_string(), codec };
        out.push(Http::Open { request, headers: vec![("Mesos-Stream-Id", session.uuid.clone())], codec });
        let terms = terms(&info, suppressed);
        self.timers.cancel(&Timer::Failover(id.clone()));
        self.timers.set(Timer::Heartbeat(id.clone()), at + HEARTBEAT_INTERVAL);
        if let Some(framework) = self.frameworks.get_mut(&id) {
            framework.info = info;
            framework.session = Some(session.clone());
            framework.reregistered = at;
            framework.recovered = false;
            self.allocator.update_framework(&id, terms);
            self.allocator.activate_framework(&id);
        } else {
            self.allocator.add_framework(&id, terms, true);
            self.frameworks.insert(id.clone(), framework(info, Some(session.clone()), at, false));
        }
        let subscribed = event::Subscribed {
            framework_id: FrameworkId { value: id.clone() },
            heartbeat_interval_seconds: Some(HEARTBEAT_INTERVAL.as_secs_f64()),
            master_info: Some(self.info()),
        };
        let event = Event {
            r#type: Some(event::Type::Subscribed.into()),
            subscribed: Some(subscribed),
            ..Default::default()
        };
        out.push(Http::Send { stream: session.stream, event });
        out.push(Http::Send { stream: session.stream, event: heartbeat() });
        self.tell_agents_of(&id, out);
    }

    /// Agents with tasks of it learn what a framework now says of itself.
    fn tell_agents_of(&self, id: &str, out: &mut Effects<Effect>) {
        let Some(framework) = self.frameworks.get(id) else { return };
        let agents: BTreeSet<&str> = framework.tasks.values().map(|t| t.agent_id.value.as_str()).collect();
        for agent in agents.into_iter().filter_map(|a| self.agents.get(a)).filter(|a| a.connected) {
            let message = internal::UpdateFrameworkMessage {
                framework_id: FrameworkId { value: id.to_owned() },
                pid: Some("@0.0.0.0:0".to_owned()),
                framework_info: Some(framework.info.clone()),
            };
            self.tell(agent, message, out);
        }
    }

    /// A framework that is known from the registry or an agent, and has not subscribed yet.
    pub(crate) fn recover_framework(&mut self, info: FrameworkInfo, now: Time) {
        let Some(id) = info.id.as_ref().map(|id| id.value.clone()) else { return };
        if self.frameworks.contains_key(&id) || self.ended.contains(&id) {
            return;
        }
        let wait = failover_timeout(&info).max(self.config.reregister_timeout);
        self.timers.set(Timer::Failover(id.clone()), now + wait);
        self.allocator.add_framework(&id, terms(&info, Vec::new()), false);
        self.frameworks.insert(id, framework(info, None, now, true));
    }

    pub(crate) fn stream_closed(&mut self, stream: StreamId, now: Time, out: &mut Effects<Effect>) {
        let found = self.frameworks.values().find(|f| f.session.as_ref().is_some_and(|s| s.stream == stream));
        let Some(id) = found.map(|f| f.id().to_owned()) else { return };
        self.disconnect_framework(&id, now, out);
        let wait = self.frameworks.get(&id).map_or(Duration::ZERO, |f| failover_timeout(&f.info));
        if wait.is_zero() {
            self.end_framework(&id, None, now, out);
        } else {
            self.timers.set(Timer::Failover(id), now + wait);
        }
    }

    fn disconnect_framework(&mut self, id: &str, now: Time, out: &mut Effects<Effect>) {
        self.timers.cancel(&Timer::Heartbeat(id.to_owned()));
        self.allocator.deactivate_framework(id);
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.session = None;
            for offer in std::mem::take(&mut framework.offers) {
                self.take_back(&offer, None, now);
            }
        }
        let _ = out;
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
        if let Some(session) = self.frameworks.get(id).and_then(|f| f.session.clone()) {
            out.push(Http::Close { stream: session.stream });
        }
        self.disconnect_framework(id, now, out);
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
        let tasks = std::mem::take(&mut framework.tasks);
        let agents: BTreeSet<String> = tasks.values().map(|t| t.agent_id.value.clone()).collect();
        for agent in agents.iter().filter_map(|a| self.agents.get(a)).filter(|a| a.connected) {
            let framework_id = FrameworkId { value: id.to_owned() };
            self.tell(agent, internal::ShutdownFrameworkMessage { framework_id }, out);
        }
        let unreachable = std::mem::take(&mut framework.unreachable_tasks);
        for (task_id, mut task) in tasks.into_iter().chain(unreachable) {
            let agent_id = task.agent_id.value.clone();
            if let Some(agent) = self.agents.get_mut(&agent_id) {
                agent.tasks.remove(&(id.to_owned(), task_id));
            }
            if !crate::is_terminal(task.state()) {
                self.free(id, &task, now);
                task.set_state(TaskState::TaskKilled);
                let mut status = crate::updates::of_master(&task, TaskState::TaskKilled, now);
                status.message = Some(format!("Framework {id} removed"));
                status.set_reason(Reason::FrameworkRemoved);
                task.statuses.push(status);
            }
            framework.complete(task, self.config.completed_tasks_max);
        }
        self.allocator.remove_framework(id);
        framework.unregistered = Some(now);
        self.completed_frameworks.push_back(framework);
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

    pub(crate) fn heartbeat(&mut self, id: &str, now: Time, out: &mut Effects<Effect>) {
        if let Some(session) = self.frameworks.get(id).and_then(|f| f.session.as_ref()) {
            out.push(Http::Send { stream: session.stream, event: heartbeat() });
            self.timers.set(Timer::Heartbeat(id.to_owned()), now + HEARTBEAT_INTERVAL);
        }
    }

    /// An event for a framework, if it is connected.
    pub(crate) fn event(&self, framework: &str, event: Event, out: &mut Effects<Effect>) {
        if let Some(session) = self.frameworks.get(framework).and_then(|f| f.session.as_ref()) {
            out.push(Http::Send { stream: session.stream, event });
        }
    }

    /// A message to an agent.
    pub(crate) fn tell(&self, agent: &crate::Agent, message: impl Into<Message>, out: &mut Effects<Effect>) {
        let envelope = Envelope { from: self.me(), to: agent.pid.clone(), message: message.into() };
        out.push(Effect::Send(Box::new(envelope)));
    }

    /// What the master says of itself.
    pub fn info(&self) -> MasterInfo {
        use master_info::capability::Type;
        let ip = match self.config.address.ip() {
            std::net::IpAddr::V4(ip) => u32::from_le_bytes(ip.octets()),
            std::net::IpAddr::V6(_) => 0,
        };
        let port = u32::from(self.config.address.port());
        MasterInfo {
            id: self.id.clone(),
            ip,
            port,
            pid: Some(self.me().to_string()),
            hostname: Some(self.config.hostname.clone()),
            version: Some(crate::VERSION.to_owned()),
            address: Some(Address {
                hostname: Some(self.config.hostname.clone()),
                ip: Some(self.config.address.ip().to_string()),
                port: port as i32,
            }),
            domain: None,
            capabilities: [Type::AgentUpdate, Type::AgentDraining, Type::QuotaV2]
                .map(|t| master_info::Capability { r#type: Some(t.into()) })
                .to_vec(),
        }
    }
}

/// Ids of ended frameworks that are remembered; older ones are forgotten.
const ENDED_MAX: usize = 10_000;

fn framework(info: FrameworkInfo, session: Option<Session>, now: Time, recovered: bool) -> Framework {
    Framework {
        info,
        session,
        registered: now,
        reregistered: now,
        unregistered: None,
        tasks: BTreeMap::new(),
        unreachable_tasks: BTreeMap::new(),
        completed_tasks: VecDeque::new(),
        offers: BTreeSet::new(),
        recovered,
    }
}

fn terms(info: &FrameworkInfo, suppressed: Vec<String>) -> FrameworkTerms {
    FrameworkTerms {
        roles: roles(info),
        suppressed,
        capabilities: FrameworkCaps::of(&info.capabilities),
        min_allocatable: BTreeMap::new(),
    }
}

/// How long a framework may be away; negative or nonsensical = not at all.
fn failover_timeout(info: &FrameworkInfo) -> Duration {
    Duration::try_from_secs_f64(info.failover_timeout()).unwrap_or_default().min(TIMEOUT_MAX)
}

fn heartbeat() -> Event {
    Event { r#type: Some(event::Type::Heartbeat.into()), ..Default::default() }
}

fn error(message: &str) -> Event {
    Event {
        r#type: Some(event::Type::Error.into()),
        error: Some(event::Error { message: message.to_owned() }),
        ..Default::default()
    }
}

/// Whether statuses may use the states that tell apart why a task is lost.
pub(crate) fn partition_aware(framework: &Framework) -> bool {
    framework.can(Cap::PartitionAware)
}
