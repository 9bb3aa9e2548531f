//! How frameworks and agents are spoken to: events on a stream, messages to a libmesos driver, messages to an agent.
//! Never what is said, nor when.

use crate::{Effect, Framework, Master, Session};
use base::Effects;
use model::{
    link::{Envelope, Message, Upid},
    mesos::{
        FrameworkId, TaskStatus, internal,
        scheduler::{Event, event},
    },
    request::Http,
};

/// How a process is written that is none: frameworks of the HTTP API, senders that want no acknowledgement.
pub(crate) const NOBODY: &str = "@0.0.0.0:0";

impl Master {
    /// An event for a framework, if it is connected.
    pub(crate) fn event(&self, framework: &str, event: Event, out: &mut Effects<Effect>) {
        let Some(known) = self.frameworks.get(framework) else { return };
        if known.session.is_some() {
            known.events.count(event.r#type());
        }
        match known.session.as_ref() {
            Some(Session::Http(stream)) => out.push(Http::Send { stream: stream.id, event }),
            Some(Session::Driver(pid)) => {
                if let Some(message) = self.as_message(framework, event) {
                    self.send(pid, message, out);
                }
            }
            None => {}
        }
    }

    /// A status update for its framework. `pid` is whom a driver believes to have sent it.
    pub(crate) fn forward(
        &self,
        framework: &str,
        update: internal::StatusUpdate,
        pid: Option<String>,
        out: &mut Effects<Effect>,
    ) {
        let Some(known) = self.frameworks.get(framework) else { return };
        if known.session.is_some() {
            known.events.count(event::Type::Update);
        }
        match known.session.as_ref() {
            Some(Session::Http(stream)) => {
                let mut status = update.status;
                status.agent_id = update.slave_id.or(status.agent_id);
                status.executor_id = update.executor_id.or(status.executor_id);
                status.uuid = update.uuid.filter(|u| !u.is_empty());
                status.timestamp = Some(update.timestamp);
                let event = Event {
                    r#type: Some(event::Type::Update.into()),
                    update: Some(event::Update { status }),
                    ..Default::default()
                };
                out.push(Http::Send { stream: stream.id, event });
            }
            Some(Session::Driver(to)) => self.send(to, internal::StatusUpdateMessage { update, pid }, out),
            None => {}
        }
    }

    /// A status of the master's own: nobody waits for its acknowledgement.
    pub(crate) fn say(
        &self,
        framework: &str,
        mut status: TaskStatus,
        pid: Option<&str>,
        out: &mut Effects<Effect>,
    ) {
        let update = internal::StatusUpdate {
            framework_id: FrameworkId { value: framework.to_owned() },
            executor_id: status.executor_id.take(),
            slave_id: status.agent_id.clone(),
            timestamp: status.timestamp.unwrap_or_default(),
            status,
            ..Default::default()
        };
        self.forward(framework, update, pid.map(str::to_owned), out);
    }

    /// A message to an agent.
    pub(crate) fn tell(&self, agent: &crate::Agent, message: impl Into<Message>, out: &mut Effects<Effect>) {
        self.send(&agent.pid, message, out);
    }

    /// A message to any process.
    pub(crate) fn send(&self, to: &Upid, message: impl Into<Message>, out: &mut Effects<Effect>) {
        let envelope = Envelope { from: self.me(), to: to.clone(), message: message.into() };
        out.push(Effect::Send(Box::new(envelope)));
    }

    /// An event as drivers hear it; none for those that they don't.
    fn as_message(&self, framework: &str, event: Event) -> Option<Message> {
        let framework_id = FrameworkId { value: framework.to_owned() };
        let pid = |agent: &str| self.agents.get(agent).map_or_else(String::new, |a| a.pid.to_string());
        Some(match event.r#type() {
            event::Type::Offers => {
                let offers = event.offers?.offers;
                let pids = offers.iter().map(|o| pid(&o.agent_id.value)).collect();
                internal::ResourceOffersMessage { offers, pids }.into()
            }
            event::Type::InverseOffers => {
                let inverse_offers = event.inverse_offers?.inverse_offers;
                let of = |o: &model::mesos::InverseOffer| {
                    o.agent_id.as_ref().map_or("", |id| &id.value).to_owned()
                };
                let pids = inverse_offers.iter().map(|o| pid(&of(o))).collect();
                internal::InverseOffersMessage { inverse_offers, pids }.into()
            }
            event::Type::Rescind => {
                internal::RescindResourceOfferMessage { offer_id: event.rescind?.offer_id }.into()
            }
            event::Type::RescindInverseOffer => {
                let inverse_offer_id = event.rescind_inverse_offer?.inverse_offer_id;
                internal::RescindInverseOfferMessage { inverse_offer_id }.into()
            }
            event::Type::Message => {
                let event::Message { agent_id, executor_id, data } = event.message?;
                internal::ExecutorToFrameworkMessage { slave_id: agent_id, framework_id, executor_id, data }
                    .into()
            }
            event::Type::Failure => match event.failure? {
                event::Failure { agent_id: Some(slave_id), executor_id: None, .. } => {
                    internal::LostSlaveMessage { slave_id }.into()
                }
                event::Failure { agent_id: Some(slave_id), executor_id: Some(executor_id), status } => {
                    let status = status.unwrap_or_default();
                    internal::ExitedExecutorMessage { slave_id, framework_id, executor_id, status }.into()
                }
                _ => return None,
            },
            event::Type::Error => internal::FrameworkErrorMessage { message: event.error?.message }.into(),
            event::Type::Unknown
            | event::Type::Subscribed
            | event::Type::Update
            | event::Type::Heartbeat
            | event::Type::UpdateOperationStatus => return None,
        })
    }
}

/// The process of a framework, as agents are told it.
pub(crate) fn pid_of(framework: &Framework) -> String {
    match &framework.session {
        Some(Session::Driver(pid)) => pid.to_string(),
        _ => NOBODY.to_owned(),
    }
}
