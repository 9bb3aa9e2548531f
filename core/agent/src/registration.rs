//! How an agent and its master find and keep each other: registration with back-off, pings, return.
//!
//! Order: apache/mesos@c1b42f79:src/slave/slave.cpp (`doReliableRegistration`).

use crate::{Agent, Effect, VERSION, records};
use base::{Duration, Effects, Now, Time};
use model::{
    link::Upid,
    mesos::{self, AgentId, FrameworkId, TaskId, TaskState, agent_info, internal, task_status::Reason},
    resources::downgrade,
};
use std::net::SocketAddr;

const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Between two words about the state of the resources that nobody asked for.
const RESTATED_AGAIN: Duration = Duration::from_secs(1);
const PING_TIMEOUT_DEFAULT: Duration = Duration::from_secs(75);

/// Where registration stands.
#[derive(Debug, Default)]
pub(crate) struct Registration {
    pub recovered: bool,
    pub master: Option<Upid>,
    pub registered: bool,
    pub attempt_at: Option<Time>,
    pub backoff: Duration,
    /// No ping by then: the master has forgotten us, or we it.
    pub silence_at: Option<Time>,
    /// Attempts of the present try were made.
    pub trying: bool,
    pub ping_timeout: Option<Duration>,
    pub leaving: bool,
    /// When the master was last told which state the resources are in, since it had named another.
    pub restated: Option<Time>,
    /// Why the master told it to shut down, if it did.
    pub told: Option<String>,
}

impl Registration {
    pub fn deadline(&self) -> Option<Time> {
        [self.attempt_at, self.silence_at].into_iter().flatten().min()
    }
}

impl Agent {
    pub(crate) fn detected(&mut self, master: Option<Upid>, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        self.registration.registered = false;
        self.registration.trying = false;
        self.registration.silence_at = None;
        self.registration.attempt_at = None;
        if let Some(master) = &master {
            out.push(Effect::Link(master.clone()));
        }
        self.registration.master = master;
        self.begin(now, out);
    }

    /// Registers if there is a master and the past is known.
    pub(crate) fn begin(&mut self, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        if self.registration.master.is_some() && self.registration.recovered && !self.registration.leaving {
            self.registration.backoff = self.config.registration_backoff;
            self.attempt(now, out);
        }
    }

    fn attempt(&mut self, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        let Some(master) = self.registration.master.clone() else { return };
        out.push(Effect::Link(master.clone()));
        if !std::mem::replace(&mut self.registration.trying, true) {
            // Orders that a master gave before it heard of this are known by it, and refused: it will not count them.
            self.resource_version = now.rng.uuid().as_bytes().to_vec();
        }
        let uuid = Some(mesos::Uuid { value: self.resource_version.clone() });
        let mut slave = self.info.clone();
        let mut checkpointed_resources = self.checkpointed.to_messages();
        // As upstream, for older masters: what is not refined can be said in the older format.
        if slave.resources.iter().chain(&checkpointed_resources).all(|r| r.reservations.len() < 2) {
            downgrade(&mut slave.resources);
            downgrade(&mut checkpointed_resources);
        }
        if self.info.id.is_some() {
            let message = internal::ReregisterSlaveMessage {
                slave,
                tasks: self.listed().map(crate::view::as_message).collect(),
                executor_infos: self.executors.values().map(|e| e.info.clone()).collect(),
                frameworks: self.frameworks.values().map(|f| f.info.clone()).collect(),
                version: Some(VERSION.to_owned()),
                agent_capabilities: capabilities(),
                resource_version_uuid: uuid,
                checkpointed_resources,
                ..Default::default()
            };
            self.say(master, message, out);
        } else {
            let message = internal::RegisterSlaveMessage {
                slave,
                version: Some(VERSION.to_owned()),
                agent_capabilities: capabilities(),
                resource_version_uuid: uuid,
                checkpointed_resources,
            };
            self.say(master, message, out);
        }
        let backoff = self.registration.backoff;
        let jitter = backoff.mul_f64(now.rng.unit() * 0.5);
        self.registration.attempt_at = Some(now.time + backoff + jitter);
        self.registration.backoff = (backoff * 2).min(BACKOFF_MAX);
    }

    /// The tasks that a list for the master holds. What is left of a task but its last update, of a framework that is not
    /// here any more, is in none: a master drops a registration with tasks of frameworks that it does not name
    /// (apache/mesos@c1b42f79:src/master/validation.cpp), and hears of it by the update.
    fn listed(&self) -> impl Iterator<Item = &crate::Task> {
        self.tasks.values().filter(|t| t.is_known() && self.frameworks.contains_key(&t.framework))
    }

    pub(crate) fn registration_due(&mut self, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        if self.registration.attempt_at.is_some_and(|at| at <= now.time) {
            self.attempt(now, out);
        }
        if self.registration.silence_at.is_some_and(|at| at <= now.time) {
            self.registration.silence_at = None;
            self.registration.registered = false;
            self.begin(now, out);
        }
    }

    /// The link broke: come back at once, with back-off.
    pub(crate) fn master_exited(&mut self, peer: SocketAddr) {
        let ours = self.registration.master.as_ref().is_some_and(|m| m.address == peer);
        if ours
            && self.registration.recovered
            && self.registration.attempt_at.is_none()
            && !self.registration.leaving
        {
            self.registration.registered = false;
            self.registration.backoff = self.config.registration_backoff;
            self.registration.attempt_at = Some(Time::EPOCH);
        }
    }

    pub(crate) fn pinged(&mut self, from: &Upid, connected: bool, now: Time, out: &mut Effects<Effect>) {
        self.say(from.clone(), internal::PongSlaveMessage::default(), out);
        if self.registration.registered {
            self.registration.silence_at =
                Some(now + self.registration.ping_timeout.unwrap_or(PING_TIMEOUT_DEFAULT));
            if !connected && self.registration.attempt_at.is_none() {
                self.registration.attempt_at = Some(now);
            }
        }
    }

    fn settle(&mut self, connection: Option<internal::MasterSlaveConnection>, now: Time) {
        self.registration.registered = true;
        self.registration.trying = false;
        self.registration.attempt_at = None;
        let seconds = connection.and_then(|c| c.total_ping_timeout_seconds);
        self.registration.ping_timeout = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok());
        self.registration.silence_at =
            Some(now + self.registration.ping_timeout.unwrap_or(PING_TIMEOUT_DEFAULT));
    }

    pub(crate) fn registered(
        &mut self,
        id: &str,
        connection: Option<internal::MasterSlaveConnection>,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        match &self.info.id {
            Some(own) if own.value != id => {
                self.counters.messages_dropped += 1;
                return;
            }
            Some(_) => {}
            None => {
                self.info.id = Some(AgentId { value: id.to_owned() });
                let changes = [records::agent(&self.info), records::boot(&self.config.boot_id)];
                self.saves.extend(changes);
            }
        }
        self.settle(connection, now);
        self.report_resources(out);
        self.resend_all(now, out);
        self.resend_operations(now, out);
    }

    pub(crate) fn reregistered(
        &mut self,
        now: &mut Now<'_>,
        message: internal::SlaveReregisteredMessage,
        out: &mut Effects<Effect>,
    ) {
        if self.info.id.as_ref() != Some(&message.slave_id) {
            self.counters.messages_dropped += 1;
            return;
        }
        self.settle(message.connection, now.time);
        for asked in message.reconciliations {
            let framework = asked.framework_id.value.clone();
            for status in asked.statuses {
                if self.tasks.contains_key(&(framework.clone(), status.task_id.value.clone())) {
                    continue;
                }
                self.report_unknown(
                    now,
                    &framework,
                    &status.task_id,
                    TaskState::TaskDropped,
                    Reason::Reconciliation,
                );
            }
        }
        self.report_resources(out);
        self.resend_all(now.time, out);
        self.resend_operations(now.time, out);
    }

    /// The master names another state of the resources than this one: at most once in a while it hears which one it is.
    pub(crate) fn restate(&mut self, now: Time, out: &mut Effects<Effect>) {
        let due = self.registration.restated.is_none_or(|at| now >= at + RESTATED_AGAIN);
        if due && self.registration.registered {
            self.registration.restated = Some(now);
            self.report_resources(out);
        }
    }

    fn report_resources(&self, out: &mut Effects<Effect>) {
        let (Some(master), Some(id)) = (self.registration.master.clone(), self.info.id.clone()) else {
            return;
        };
        let message = internal::UpdateSlaveMessage {
            slave_id: id,
            update_oversubscribed_resources: Some(false),
            operations: Some(internal::update_slave_message::Operations {
                operations: self.operations_for_master(),
            }),
            resource_version_uuid: Some(mesos::Uuid { value: self.resource_version.clone() }),
            resource_providers: Some(Default::default()),
            ..Default::default()
        };
        self.say(master, message, out);
    }

    /// A task that the master means and that is not here: it hears so once, unacknowledged updates are repeated.
    fn report_unknown(
        &mut self,
        now: &mut Now<'_>,
        framework: &str,
        task: &TaskId,
        state: TaskState,
        reason: Reason,
    ) {
        let mut status = mesos::TaskStatus { task_id: task.clone(), ..Default::default() };
        status.set_state(state);
        status.set_source(mesos::task_status::Source::Agent);
        status.set_reason(reason);
        status.message = Some("Reconciliation: task unknown".to_owned());
        let framework_id = FrameworkId { value: framework.to_owned() };
        self.ghost(now, framework_id, task.clone(), status);
    }

    /// The master wants this agent no more: its tasks end, and then its process, as upstream's (`Slave::shutdown`). It
    /// registers no more before it is started again.
    pub(crate) fn dismissed(&mut self, why: String, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        let registration = &mut self.registration;
        (registration.leaving, registration.registered, registration.trying) = (true, false, false);
        (registration.attempt_at, registration.silence_at) = (None, None);
        registration.told = Some(why);
        self.shut_down(now, out);
    }

    /// What a new start would be, for an agent that shares its process with others.
    pub(crate) fn start_again(&mut self, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        if self.registration.told.take().is_some() {
            self.registration.leaving = false;
            self.begin(now, out);
        }
    }

    pub(crate) fn unregister(&mut self, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        self.registration.leaving = true;
        if let (Some(master), Some(slave_id)) = (self.registration.master.clone(), self.info.id.clone()) {
            self.say(master, internal::UnregisterSlaveMessage { slave_id }, out);
        }
        self.shut_down(now, out);
    }
}

pub(crate) fn capabilities() -> Vec<agent_info::Capability> {
    use agent_info::capability::Type;
    [
        Type::MultiRole,
        Type::HierarchicalRole,
        Type::ReservationRefinement,
        Type::ResourceProvider,
        Type::ResizeVolume,
        Type::AgentOperationFeedback,
        Type::AgentDraining,
        Type::TaskResourceLimits,
    ]
    .map(|t| agent_info::Capability { r#type: Some(t.into()) })
    .to_vec()
}
