//! Frameworks: subscription, failover, heartbeats. Never how they leave (`endings`), nor their tasks' launch (`tasks`).

mod terms;

pub(crate) use terms::{Terms, failover_timeout, framework, partition_aware};

use crate::{
    Effect, Master, Session, Stream, config::HEARTBEAT_INTERVAL, registry, saves::Then, speak::pid_of,
    timers::Timer, validate,
};
use base::{Effects, Now, Time};
use model::{
    link::Upid,
    mesos::{
        Address, FrameworkId, FrameworkInfo, MasterInfo, internal, master_info,
        scheduler::{Event, OfferConstraints, call, event},
    },
    request::{Answer, Codec, Http, RequestId, StreamId},
};

/// Who subscribes.
#[derive(Clone, Debug)]
pub(crate) enum Newcomer {
    /// A client of the HTTP API.
    Http { request: RequestId, codec: Codec },
    /// A libmesos driver; `force` = in place of whoever has the id.
    Driver { pid: Upid, force: bool },
}

impl Master {
    pub(crate) fn subscribe(
        &mut self,
        now: &mut Now<'_>,
        request: RequestId,
        codec: Codec,
        subscribe: call::Subscribe,
        out: &mut Effects<Effect>,
    ) {
        let call::Subscribe { framework_info, suppressed_roles, offer_constraints } = subscribe;
        let who = Newcomer::Http { request, codec };
        self.admit(now, who, framework_info, suppressed_roles, offer_constraints, out);
    }

    /// Takes in a framework, whichever way it came.
    pub(crate) fn admit(
        &mut self,
        now: &mut Now<'_>,
        who: Newcomer,
        mut info: FrameworkInfo,
        suppressed: Vec<String>,
        constraints: Option<OfferConstraints>,
        out: &mut Effects<Effect>,
    ) {
        let given = info.id.as_ref().map(|id| id.value.clone()).filter(|id| !id.is_empty());
        if given.as_ref().is_some_and(|id| self.ending.contains(id)) {
            // A crash could still undo it; once it is durable, asking again is answered with an ERROR. Drivers ask again.
            if let Newcomer::Http { request, .. } = who {
                let answer = Answer::text(503, "The framework is being removed");
                out.push(Http::Reply { request, answer });
            }
            return;
        }
        let known = given.as_deref().and_then(|id| self.frameworks.get(id));
        let removed = given.as_ref().is_some_and(|id| self.ended.contains(id));
        let fault = validate::framework(&info)
            .or_else(|| removed.then(|| "Framework has been removed".to_owned()))
            .or_else(|| validate::options(&info, &suppressed, constraints.as_ref()))
            .or_else(|| {
                let other = known.is_some_and(|f| !f.recovered && f.info.principal != info.principal);
                other.then(|| "Changing framework's principal is not allowed.".to_owned())
            })
            .or_else(|| match (&who, known.and_then(|f| f.session.as_ref())) {
                // A driver that was cut off must not push its successor out.
                (Newcomer::Driver { pid, force: false }, Some(Session::Driver(holder))) if pid != holder => {
                    Some("Framework failed over".to_owned())
                }
                (Newcomer::Driver { force: false, .. }, Some(Session::Http(_))) => {
                    Some("Framework failed over".to_owned())
                }
                _ => None,
            });
        if let Some(message) = fault {
            self.refuse_newcomer(now, &who, &message, out);
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
        let Ok(terms) = Terms::new(info, suppressed, constraints.as_ref()) else { return };
        if self.frameworks.get(&id).is_some_and(|f| f.info == terms.info) {
            self.subscribed(now, who, terms, out);
        } else {
            let batch = registry::framework(&id, &terms.info);
            self.save(batch, Then::Subscribe { who, terms: Box::new(terms) }, out);
        }
    }

    fn refuse_newcomer(&self, now: &mut Now<'_>, who: &Newcomer, message: &str, out: &mut Effects<Effect>) {
        match who {
            Newcomer::Http { request, codec } => {
                let stream = StreamId(request.0);
                let uuid = now.rng.uuid().to_string();
                out.push(Http::Open {
                    request: *request,
                    headers: vec![("Mesos-Stream-Id", uuid)],
                    codec: *codec,
                });
                out.push(Http::Send { stream, event: error(message) });
                out.push(Http::Close { stream });
            }
            Newcomer::Driver { pid, .. } => {
                self.send(pid, internal::FrameworkErrorMessage { message: message.to_owned() }, out);
            }
        }
    }

    /// What a framework says of itself is durable: it is connected, and told so.
    pub(crate) fn subscribed(
        &mut self,
        now: &mut Now<'_>,
        who: Newcomer,
        terms: Terms,
        out: &mut Effects<Effect>,
    ) {
        let at = now.time;
        let id = terms.info.id.as_ref().map_or(String::new(), |id| id.value.clone());
        let old = self.frameworks.get(&id).and_then(|f| f.session.clone());
        // A driver that asks again, and did not fail over, may have dropped what it was offered.
        let again = matches!((&who, &old), (Newcomer::Driver { pid, force: false }, Some(Session::Driver(holder)))
            if pid == holder);
        match &old {
            Some(Session::Http(stream)) => {
                out.push(Http::Send { stream: stream.id, event: error("Framework failed over") });
                out.push(Http::Close { stream: stream.id });
            }
            Some(Session::Driver(holder)) => {
                let same = matches!(&who, Newcomer::Driver { pid, .. } if pid == holder);
                if !same {
                    let message = internal::FrameworkErrorMessage { message: "Framework failed over".into() };
                    self.send(holder, message, out);
                }
            }
            None => {}
        }
        if again {
            self.rescind_all_of_framework(&id, at, out);
        }
        if old.is_some() {
            self.disconnect_framework(&id, at);
        }
        let session = match &who {
            Newcomer::Http { request, codec } => {
                let uuid = now.rng.uuid().to_string();
                let headers = vec![("Mesos-Stream-Id", uuid.clone())];
                out.push(Http::Open { request: *request, headers, codec: *codec });
                Session::Http(Stream { id: StreamId(request.0), uuid, codec: *codec })
            }
            Newcomer::Driver { pid, .. } => {
                out.push(Effect::Link(pid.clone()));
                Session::Driver(pid.clone())
            }
        };
        self.timers.cancel(&Timer::Failover(id.clone()));
        let known = self.frameworks.contains_key(&id);
        self.counters.count(if known {
            "messages_reregister_framework"
        } else {
            "messages_register_framework"
        });
        if let Some(principal) = &terms.info.principal {
            self.counters.principal(principal);
        }
        if let Some(framework) = self.frameworks.get_mut(&id) {
            self.allocator.update_framework(&id, terms.for_allocator());
            self.allocator.activate_framework(&id);
            self.inverse.look_everywhere();
            if framework.recovered {
                framework.registered = at;
            }
            framework.info = terms.info;
            framework.constraints = terms.constraints;
            framework.driver = match &session {
                Session::Driver(pid) => Some(pid.clone()),
                Session::Http(_) => None,
            };
            framework.session = Some(session);
            framework.deactivated = false;
            framework.reregistered = at;
            framework.recovered = false;
        } else {
            self.allocator.add_framework(&id, terms.for_allocator(), true);
            self.frameworks.insert(id.clone(), framework(terms, Some(session), at, false));
            self.adopt_operations(&id);
        }
        if let Some(framework) = self.frameworks.get_mut(&id) {
            framework.count("calls/subscribe");
        }
        self.welcome(&id, &who, again, at, out);
        self.tell_agents_of(&id, out);
        self.publish_framework(&id, !known, out);
    }

    fn welcome(&mut self, id: &str, who: &Newcomer, again: bool, now: Time, out: &mut Effects<Effect>) {
        let framework_id = FrameworkId { value: id.to_owned() };
        let master_info = self.info();
        match who {
            Newcomer::Http { request, .. } => {
                let stream = StreamId(request.0);
                let subscribed = event::Subscribed {
                    framework_id,
                    heartbeat_interval_seconds: Some(HEARTBEAT_INTERVAL.as_secs_f64()),
                    master_info: Some(master_info),
                };
                let event = Event {
                    r#type: Some(event::Type::Subscribed.into()),
                    subscribed: Some(subscribed),
                    ..Default::default()
                };
                out.push(Http::Send { stream, event });
                out.push(Http::Send { stream, event: heartbeat() });
                self.timers.set(Timer::Heartbeat(id.to_owned()), now + HEARTBEAT_INTERVAL);
            }
            Newcomer::Driver { pid, .. } if again => {
                self.send(pid, internal::FrameworkReregisteredMessage { framework_id, master_info }, out);
            }
            Newcomer::Driver { pid, .. } => {
                self.send(pid, internal::FrameworkRegisteredMessage { framework_id, master_info }, out);
            }
        }
    }

    /// No more offers, until it registers again.
    pub(crate) fn deactivate_driver(&mut self, id: &str, now: Time, out: &mut Effects<Effect>) {
        self.allocator.deactivate_framework(id);
        self.rescind_all_of_framework(id, now, out);
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.deactivated = true;
        }
        self.inverse.drop_refusals(id);
    }

    fn rescind_all_of_framework(&mut self, id: &str, now: Time, out: &mut Effects<Effect>) {
        let offers = self.frameworks.get(id).map(|f| f.offers.clone()).unwrap_or_default();
        offers.keys().for_each(|offer| self.rescind(offer, now, out));
        self.rescind_inverse_to(id, out);
    }

    /// Agents with tasks of it learn what a framework now says of itself.
    pub(crate) fn tell_agents_of(&self, id: &str, out: &mut Effects<Effect>) {
        let Some(framework) = self.frameworks.get(id) else { return };
        for agent in framework.agents().into_iter().filter_map(|a| self.agents.get(a)).filter(|a| a.connected)
        {
            let message = internal::UpdateFrameworkMessage {
                framework_id: FrameworkId { value: id.to_owned() },
                pid: Some(pid_of(framework)),
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
        let terms = Terms::recovered(info);
        self.allocator.add_framework(&id, terms.for_allocator(), false);
        self.frameworks.insert(id.clone(), framework(terms, None, now, true));
        self.adopt_operations(&id);
    }

    pub(crate) fn heartbeat(&mut self, id: &str, now: Time, out: &mut Effects<Effect>) {
        let http = matches!(self.frameworks.get(id).and_then(|f| f.session.as_ref()), Some(Session::Http(_)));
        if http {
            self.event(id, heartbeat(), out);
            self.timers.set(Timer::Heartbeat(id.to_owned()), now + HEARTBEAT_INTERVAL);
        }
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
            domain: self.config.domain.clone(),
            capabilities: [Type::AgentUpdate, Type::AgentDraining, Type::QuotaV2]
                .map(|t| master_info::Capability { r#type: Some(t.into()) })
                .to_vec(),
        }
    }
}

fn heartbeat() -> Event {
    Event { r#type: Some(event::Type::Heartbeat.into()), ..Default::default() }
}

pub(crate) fn error(message: &str) -> Event {
    Event {
        r#type: Some(event::Type::Error.into()),
        error: Some(event::Error { message: message.to_owned() }),
        ..Default::default()
    }
}
