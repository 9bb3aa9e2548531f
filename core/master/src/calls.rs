//! The calls of the scheduler API: who may make them, which handler takes them, and those that need no more than a few
//! lines. The order of refusals is upstream's (src/master/http.cpp).

use crate::{Effect, Framework, Master, Session, frameworks::Terms, registry, saves::Then, validate};
use base::{Effects, Now, Time};
use model::{
    mesos::{
        FrameworkId,
        allocator::inverse_offer_status::Status,
        internal,
        offer::operation::Type,
        scheduler::{Call, call},
    },
    request::{Answer, Body, Codec, Http, RequestId},
    resources::role_fault,
};

impl Master {
    /// Every call over HTTP.
    pub(crate) fn call(
        &mut self,
        now: &mut Now<'_>,
        request: RequestId,
        accept: Codec,
        stream_id: Option<&str>,
        call: Call,
        out: &mut Effects<Effect>,
    ) {
        self.count_call(&call);
        if call.r#type() == call::Type::Subscribe {
            if let Some(subscribe) = call.subscribe {
                self.subscribe(now, request, accept, subscribe, out);
            }
            return;
        }
        let id = call.framework_id.as_ref().map_or(String::new(), |id| id.value.clone());
        if let Some(answer) = self.refuse(&id, stream_id) {
            out.push(Http::Reply { request, answer });
            return;
        }
        match call.r#type() {
            call::Type::UpdateFramework => {
                let update = call.update_framework.unwrap_or_default();
                match self.check_update(&id, &update) {
                    Err(why) => out.push(Http::Reply { request, answer: Answer::text(400, why) }),
                    Ok(terms) => self.update_framework(Some(request), &id, terms, now.time, out),
                }
            }
            // Upstream's master ends itself here.
            call::Type::Unknown => {
                out.push(Http::Reply { request, answer: Answer::text(501, "501 Not Implemented.") });
            }
            _ => {
                out.push(Http::Reply { request, answer: Answer::accepted() });
                self.act(now, &id, call, out);
            }
        }
    }

    /// Counts it as upstream's metrics do, and whose it was.
    pub(crate) fn count_call(&mut self, call: &Call) {
        self.counters.calls += 1;
        // A LAUNCH without tasks is how offers were declined of old; groups are counted by none.
        for operation in call.accept.iter().flat_map(|accept| &accept.operations) {
            if operation.r#type() == Type::Launch {
                let empty = operation.launch.as_ref().is_none_or(|launch| launch.task_infos.is_empty());
                self.counters.count(if empty { "messages_decline_offers" } else { "messages_launch_tasks" });
            }
        }
        let (message, name) = match call.r#type() {
            call::Type::Accept => (None, "calls/accept"),
            call::Type::AcceptInverseOffers => (None, "calls/accept_inverse_offers"),
            call::Type::DeclineInverseOffers => (None, "calls/decline_inverse_offers"),
            call::Type::Acknowledge => (Some("messages_status_update_acknowledgement"), "calls/acknowledge"),
            call::Type::AcknowledgeOperationStatus => (
                Some("messages_operation_status_update_acknowledgement"),
                "calls/acknowledge_operation_status",
            ),
            call::Type::Decline => (Some("messages_decline_offers"), "calls/decline"),
            call::Type::Kill => (Some("messages_kill_task"), "calls/kill"),
            call::Type::Message => (Some("messages_framework_to_executor"), "calls/message"),
            call::Type::Reconcile => (Some("messages_reconcile_tasks"), "calls/reconcile"),
            call::Type::ReconcileOperations => {
                (Some("messages_reconcile_operations"), "calls/reconcile_operations")
            }
            call::Type::Request => (Some("messages_resource_request"), "calls/request"),
            call::Type::Revive => (Some("messages_revive_offers"), "calls/revive"),
            call::Type::Suppress => (Some("messages_suppress_offers"), "calls/suppress"),
            call::Type::Shutdown => (None, "calls/shutdown"),
            call::Type::Teardown => (Some("messages_unregister_framework"), "calls/teardown"),
            call::Type::UpdateFramework => (None, "calls/update_framework"),
            // Counted where it is taken: only then the framework is known.
            call::Type::Subscribe | call::Type::Unknown => return,
        };
        if let Some(message) = message {
            self.counters.count(message);
        }
        let id = call.framework_id.as_ref().map_or("", |id| id.value.as_str());
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        framework.count(name);
        if let Some(principal) = &framework.info.principal {
            self.counters.principal(principal);
        }
    }

    /// A call that was let in.
    pub(crate) fn act(&mut self, now: &mut Now<'_>, id: &str, call: Call, out: &mut Effects<Effect>) {
        use call::Type;
        let at = now.time;
        match call.r#type() {
            Type::Teardown => self.end_framework(id, None, at, out),
            Type::Accept => self.accept(now, id, call.accept.unwrap_or_default(), out),
            Type::Decline => self.decline(id, call.decline.unwrap_or_default(), at, out),
            Type::Revive => {
                let roles = call.revive.unwrap_or_default().roles;
                if self.are_its(id, &roles) {
                    self.allocator.revive(id, &roles);
                    self.inverse.drop_refusals(id);
                    self.inverse.look_everywhere();
                }
            }
            Type::Suppress => {
                let roles = call.suppress.unwrap_or_default().roles;
                if self.are_its(id, &roles) {
                    self.allocator.suppress(id, &roles);
                }
            }
            Type::Kill => self.kill(id, call.kill.unwrap_or_default(), at, out),
            Type::Acknowledge => self.acknowledge(id, call.acknowledge.unwrap_or_default(), out),
            Type::Reconcile => self.reconcile(id, &call.reconcile.unwrap_or_default().tasks, at, out),
            Type::Message => self.framework_message(id, call.message.unwrap_or_default(), out),
            Type::Shutdown => self.shut_down_executor(id, call.shutdown.unwrap_or_default(), out),
            Type::AcknowledgeOperationStatus => {
                self.acknowledge_operation(id, call.acknowledge_operation_status.unwrap_or_default(), out);
            }
            Type::ReconcileOperations => {
                self.reconcile_operations(id, &call.reconcile_operations.unwrap_or_default().operations, out);
            }
            // Upstream's allocator takes note of REQUEST and does nothing either.
            Type::Request | Type::Unknown | Type::Subscribe | Type::UpdateFramework => {}
            Type::AcceptInverseOffers => {
                let call::AcceptInverseOffers { inverse_offer_ids, filters } =
                    call.accept_inverse_offers.unwrap_or_default();
                self.answer_inverse(id, &inverse_offer_ids, Status::Accept, filters.as_ref(), at);
            }
            Type::DeclineInverseOffers => {
                let call::DeclineInverseOffers { inverse_offer_ids, filters } =
                    call.decline_inverse_offers.unwrap_or_default();
                self.answer_inverse(id, &inverse_offer_ids, Status::Decline, filters.as_ref(), at);
            }
        }
    }

    /// One role that is not the framework's drops the whole call, as upstream does.
    fn are_its(&self, id: &str, roles: &[String]) -> bool {
        let own = self.frameworks.get(id).map(Framework::roles).unwrap_or_default();
        roles.iter().all(|role| role_fault(role).is_none() && own.contains(role))
    }

    fn refuse(&self, id: &str, stream_id: Option<&str>) -> Option<Answer> {
        // One that has not come back since the master's restart is not known to Mesos either.
        let Some(framework) = self.frameworks.get(id).filter(|f| !f.recovered) else {
            return Some(Answer::text(400, "Framework cannot be found"));
        };
        let stream = match &framework.session {
            None => return Some(Answer::text(403, "Framework is not subscribed")),
            Some(Session::Driver(_)) => {
                return Some(Answer::text(403, "Framework is not connected via HTTP"));
            }
            Some(Session::Http(stream)) => stream,
        };
        match stream_id {
            None => {
                Some(Answer::text(400, "All non-subscribe calls should include the 'Mesos-Stream-Id' header"))
            }
            Some(given) if given != stream.uuid => Some(Answer::text(
                400,
                format!(
                    "The stream ID '{given}' included in this request didn't match the stream ID currently \
                     associated with framework ID {id}"
                ),
            )),
            Some(_) => None,
        }
    }

    /// Best effort, as framework messages are.
    pub(crate) fn framework_message(&self, id: &str, message: call::Message, out: &mut Effects<Effect>) {
        let Some(agent) = self.agents.get(&message.agent_id.value).filter(|a| a.connected) else { return };
        let message = internal::FrameworkToExecutorMessage {
            slave_id: message.agent_id,
            framework_id: FrameworkId { value: id.to_owned() },
            executor_id: message.executor_id,
            data: message.data,
        };
        self.tell(agent, message, out);
    }

    fn shut_down_executor(&self, id: &str, shutdown: call::Shutdown, out: &mut Effects<Effect>) {
        let Some(agent) = self.agents.get(&shutdown.agent_id.value).filter(|a| a.connected) else { return };
        let message = internal::ShutdownExecutorMessage {
            executor_id: Some(shutdown.executor_id),
            framework_id: Some(FrameworkId { value: id.to_owned() }),
        };
        self.tell(agent, message, out);
    }

    /// What is wrong with an UPDATE_FRAMEWORK, or what it asks for.
    pub(crate) fn check_update(&self, id: &str, update: &call::UpdateFramework) -> Result<Terms, String> {
        let Some(framework) = self.frameworks.get(id) else {
            return Err("Framework cannot be found".to_owned());
        };
        let info = &update.framework_info;
        if let Some(fault) = validate::framework(info) {
            return Err(format!("Supplied FrameworkInfo is not valid: {fault}"));
        }
        if let Some(fault) = validate::update(&framework.info, info) {
            return Err(format!("FrameworkInfo update is not valid: {fault}"));
        }
        let terms =
            Terms::new(info.clone(), update.suppressed_roles.clone(), update.offer_constraints.as_ref());
        terms.map_err(|fault| format!("'UpdateFramework' call is not valid: {fault}"))
    }

    /// Takes over what a framework says of itself, durably if it is something new.
    pub(crate) fn update_framework(
        &mut self,
        request: Option<RequestId>,
        id: &str,
        terms: Terms,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        if self.frameworks.get(id).is_some_and(|f| f.info == terms.info) {
            self.framework_updated(request, id, terms, now, out);
        } else {
            let batch = registry::framework(id, &terms.info);
            self.save(
                batch,
                Then::UpdateFramework { request, id: id.to_owned(), terms: Box::new(terms) },
                out,
            );
        }
    }

    pub(crate) fn framework_updated(
        &mut self,
        request: Option<RequestId>,
        id: &str,
        terms: Terms,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        if let Some(request) = request {
            out.push(Http::Reply { request, answer: Answer::new(200, Body::Empty) });
        }
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        let changed = framework.info != terms.info;
        if self.allocator.update_framework(id, terms.for_allocator()) {
            self.inverse.drop_refusals(id);
            self.inverse.look_everywhere();
        }
        let roles = crate::roles(&terms.info);
        framework.info = terms.info;
        framework.constraints = terms.constraints;
        let lost: Vec<_> = framework
            .offers
            .keys()
            .filter(|o| self.offers.get(*o).is_some_and(|o| !roles.iter().any(|r| **r == *o.role)))
            .cloned()
            .collect();
        lost.iter().for_each(|offer| self.rescind(offer, now, out));
        if changed {
            self.tell_agents_of(id, out);
            self.publish_framework(id, false, out);
        }
    }
}
