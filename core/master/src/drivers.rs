//! Frameworks that speak through libmesos: their calls, and what drivers said before there were calls, taken as the same
//! calls. A message that names a framework counts only from the process that registered it.
//!
//! Never what a call does. Order and texts: apache/mesos@c1b42f79:src/master/master.cpp (`receive` and its neighbours).

use crate::{Effect, Framework, Master, Session, frameworks::Newcomer, validate};
use base::{Effects, Now};
use model::{
    driver::SchedulerCall,
    link::{Message, Upid},
    mesos::{
        FrameworkId, FrameworkInfo, internal,
        offer::{Operation, operation},
        scheduler::{Call, OfferConstraints, call},
    },
};

impl Master {
    /// A message that is not from an agent.
    pub(crate) fn driver_message(
        &mut self,
        now: &mut Now<'_>,
        from: &Upid,
        message: Message,
        out: &mut Effects<Effect>,
    ) {
        use call::Type;
        let (kind, call) = match message {
            Message::SchedulerCall(call) => return self.driver_call(now, from, *call, out),
            Message::RegisterFrameworkMessage(m) => {
                if m.framework.id.as_ref().is_some_and(|id| !id.value.is_empty()) {
                    return self.refuse_driver(from, "Registering with 'id' already set", out);
                }
                return self.driver_subscribes(now, from, false, m.framework, Vec::new(), None, out);
            }
            Message::ReregisterFrameworkMessage(m) => {
                if m.framework.id.as_ref().is_none_or(|id| id.value.is_empty()) {
                    return self.refuse_driver(from, "Re-registering without an 'id'", out);
                }
                return self.driver_subscribes(now, from, m.failover, m.framework, Vec::new(), None, out);
            }
            Message::DeactivateFrameworkMessage(m) => {
                self.counters.count("messages_deactivate_framework");
                if self.is_registered(&m.framework_id, from) {
                    self.deactivate_driver(&m.framework_id.value, now.time, out);
                }
                return;
            }
            Message::UnregisterFrameworkMessage(m) => (Type::Teardown, of(m.framework_id)),
            Message::ResourceRequestMessage(m) => (Type::Request, of(m.framework_id)),
            Message::LaunchTasksMessage(m) => launch(*m),
            Message::ReviveOffersMessage(m) => {
                (Type::Revive, Call { revive: Some(call::Revive { roles: m.roles }), ..of(m.framework_id) })
            }
            Message::KillTaskMessage(m) => {
                let kill = call::Kill { task_id: m.task_id, agent_id: None, kill_policy: m.kill_policy };
                (Type::Kill, Call { kill: Some(kill), ..of(m.framework_id) })
            }
            Message::StatusUpdateAcknowledgementMessage(m) => {
                let acknowledge =
                    call::Acknowledge { agent_id: m.slave_id, task_id: m.task_id, uuid: m.uuid };
                (Type::Acknowledge, Call { acknowledge: Some(acknowledge), ..of(m.framework_id) })
            }
            Message::FrameworkToExecutorMessage(m) => {
                let message =
                    call::Message { agent_id: m.slave_id, executor_id: m.executor_id, data: m.data };
                (Type::Message, Call { message: Some(message), ..of(m.framework_id) })
            }
            Message::ReconcileTasksMessage(m) => {
                let task = |s: model::mesos::TaskStatus| call::reconcile::Task {
                    task_id: s.task_id,
                    agent_id: s.agent_id,
                };
                let tasks = m.statuses.into_iter().map(task).collect();
                (Type::Reconcile, Call { reconcile: Some(call::Reconcile { tasks }), ..of(m.framework_id) })
            }
            _ => {
                self.counters.messages_dropped += 1;
                return;
            }
        };
        let Some(id) = call.framework_id.clone().filter(|id| self.is_registered(id, from)) else { return };
        let mut call = call;
        call.set_type(kind);
        self.count_call(&call);
        if validate::call(&call).is_some() {
            self.counters.messages_dropped += 1;
            return;
        }
        self.act(now, &id.value, call, out);
    }

    fn driver_call(
        &mut self,
        now: &mut Now<'_>,
        from: &Upid,
        call: SchedulerCall,
        out: &mut Effects<Effect>,
    ) {
        let (call, force) = call.into_call();
        if validate::call(&call).is_some() {
            self.counters.messages_dropped += 1;
            return;
        }
        self.count_call(&call);
        if let Some(subscribe) = call.subscribe.filter(|_| call.r#type == Some(call::Type::Subscribe.into()))
        {
            let call::Subscribe { framework_info, suppressed_roles, offer_constraints } = subscribe;
            self.driver_subscribes(
                now,
                from,
                force,
                framework_info,
                suppressed_roles,
                offer_constraints,
                out,
            );
            return;
        }
        let call = Call { subscribe: None, ..call };
        let id = call.framework_id.as_ref().map_or(String::new(), |id| id.value.clone());
        let known = self.frameworks.get(&id).filter(|f| f.driver.as_ref() == Some(from));
        match known.map(|f| &f.session) {
            None => {
                self.counters.messages_dropped += 1;
                return;
            }
            // The way to it broke and it has not noticed: by this it does.
            Some(None) => return self.refuse_driver(from, "Framework disconnected", out),
            Some(Some(Session::Driver(pid))) if pid == from => {}
            Some(Some(_)) => {
                self.counters.messages_dropped += 1;
                return;
            }
        }
        match call.r#type() {
            call::Type::UpdateFramework => {
                let update = call.update_framework.unwrap_or_default();
                match self.check_update(&id, &update) {
                    Err(why) => self.refuse_driver(from, &why, out),
                    Ok(terms) => self.update_framework(None, &id, terms, now.time, out),
                }
            }
            // Feedback of operations is for clients of the HTTP API.
            call::Type::AcknowledgeOperationStatus | call::Type::ReconcileOperations => {
                self.counters.messages_dropped += 1;
            }
            _ => self.act(now, &id, call, out),
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn driver_subscribes(
        &mut self,
        now: &mut Now<'_>,
        from: &Upid,
        force: bool,
        info: FrameworkInfo,
        suppressed: Vec<String>,
        constraints: Option<OfferConstraints>,
        out: &mut Effects<Effect>,
    ) {
        // It repeats itself until it is answered.
        if self.saves.subscribing(from) {
            return;
        }
        let given = info.id.as_ref().map(|id| id.value.as_str()).filter(|id| !id.is_empty());
        let here = |f: &&Framework| matches!(&f.session, Some(Session::Driver(pid)) if pid == from);
        if let Some(framework) = self.frameworks.values().find(here)
            && given != Some(framework.id())
        {
            if given.is_none() {
                let message = internal::FrameworkRegisteredMessage {
                    framework_id: FrameworkId { value: framework.id().to_owned() },
                    master_info: self.info(),
                };
                self.send(from, message, out);
            } else {
                self.counters.messages_dropped += 1;
            }
            return;
        }
        let who = Newcomer::Driver { pid: from.clone(), force };
        self.admit(now, who, info, suppressed, constraints, out);
    }

    fn refuse_driver(&self, pid: &Upid, message: &str, out: &mut Effects<Effect>) {
        self.send(pid, internal::FrameworkErrorMessage { message: message.to_owned() }, out);
    }

    /// Whether this process is the framework's driver; a message that forges it is dropped.
    fn is_registered(&mut self, id: &FrameworkId, from: &Upid) -> bool {
        let session = self.frameworks.get(&id.value).and_then(|f| f.session.as_ref());
        let known = matches!(session, Some(Session::Driver(pid)) if pid == from);
        if !known {
            self.counters.messages_dropped += 1;
        }
        known
    }
}

fn of(framework_id: FrameworkId) -> Call {
    Call { framework_id: Some(framework_id), ..Default::default() }
}

/// No tasks = a decline.
fn launch(m: internal::LaunchTasksMessage) -> (call::Type, Call) {
    let filters = Some(m.filters);
    if m.tasks.is_empty() {
        let decline = call::Decline { offer_ids: m.offer_ids, filters };
        return (call::Type::Decline, Call { decline: Some(decline), ..of(m.framework_id) });
    }
    let mut operation =
        Operation { launch: Some(operation::Launch { task_infos: m.tasks }), ..Default::default() };
    operation.set_type(operation::Type::Launch);
    let accept = call::Accept { offer_ids: m.offer_ids, operations: vec![operation], filters };
    (call::Type::Accept, Call { accept: Some(accept), ..of(m.framework_id) })
}
