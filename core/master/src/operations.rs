//! Operations on an agent's resources: reservations, volumes, and the way back. Applied here as if they could not fail,
//! sent to the agent, which makes them durable and says how they ended; feedback goes to who asked for it.
//!
//! Never what makes an operation valid (`validate::operation`). Order and texts:
//! apache/mesos@c1b42f79:src/master/master.cpp (`_apply`, `updateOperationStatus`, `reconcileOperations`).

use crate::{Effect, Master, OperationUuid, Tables as _, accept::Accepted, validate::operation as valid};
use base::{Duration, Effects, Now, Rng, Time};
use model::{
    mesos::{
        self, AgentId, FrameworkId, OperationId, OperationState, OperationStatus,
        agent_info::capability::Type as AgentCap,
        internal,
        offer::{Operation, operation::Type},
        scheduler::{Event, call, event},
    },
    request::{Answer, Http, RequestId},
    resources::{Allocated, Conversion, Resources, downgrade, unallocate, upgrade},
};

/// Statuses kept of one operation.
const STATUSES_MAX: usize = 16;
/// So long after an agent came back its operations may belong to a framework that has yet to come.
const ORPHANED_FOR: Duration = Duration::from_secs(600);

impl Master {
    /// One operation of an ACCEPT that launches nothing.
    pub(crate) fn operate(
        &mut self,
        operation: Operation,
        accepted: &mut Accepted,
        now: &mut Now<'_>,
        out: &mut Effects<Effect>,
    ) {
        let framework_id = accepted.framework.clone();
        match self.check_operation(&operation, accepted) {
            Err(why) => self.refuse_operation(&framework_id, &operation, &why, out),
            Ok(conversion) => {
                if operation.r#type() == Type::Destroy {
                    self.rescind_offers_of(&accepted.agent, &conversion.consumed, now.time, out);
                }
                let Conversion { consumed, converted } = &conversion;
                let (agent, role) = (&accepted.agent, &accepted.role);
                if !self.allocator.convert(&framework_id, agent, role, consumed, converted) {
                    self.refuse_operation(&framework_id, &operation, "The resources are gone", out);
                    return;
                }
                accepted.left.cut(consumed);
                if matches!(operation.r#type(), Type::GrowVolume | Type::ShrinkVolume) {
                    accepted.resized += converted;
                } else {
                    accepted.left += converted;
                    accepted.shared = accepted.left.shared();
                }
                let agent = accepted.agent.clone();
                self.apply(now.rng, Some(&framework_id), &agent, operation, &conversion, out);
            }
        }
    }

    fn check_operation(&self, operation: &Operation, accepted: &Accepted) -> Result<Conversion, String> {
        let gone = || "The agent is gone".to_owned();
        let framework = self.frameworks.get(&*accepted.framework).ok_or_else(gone)?;
        let agent = self.agents.get(&*accepted.agent).ok_or_else(gone)?;
        let capabilities = agent.abilities();
        let on = valid::OnAgent {
            capabilities: &capabilities,
            checkpointed: &agent.total.to_checkpoint(),
            used: &self.used_on(agent),
        };
        let principal = framework.info.principal.as_deref();
        let asked = valid::Asked { framework: Some(&framework.info), principal };
        if matches!(operation.r#type(), Type::CreateDisk | Type::DestroyDisk)
            && !agent.can(AgentCap::ResourceProvider)
        {
            return Err(format!(
                "Not supported on agent {agent} because it does not have RESOURCE_PROVIDER capability"
            ));
        }
        if let Some(fault) = valid::operation(operation, asked, &on) {
            return Err(format!("{fault}; on agent {agent}"));
        }
        let conversion = valid::conversion(operation);
        if accepted.left.contains(&conversion.consumed) {
            return Ok(conversion);
        }
        let what = match operation.r#type() {
            kind @ (Type::GrowVolume | Type::ShrinkVolume) => {
                format!("Invalid {} operation: ", kind.as_str_name())
            }
            _ => String::new(),
        };
        let consumed = named_missing(operation, &accepted.left, &conversion.consumed);
        let (left, consumed) =
            (Allocated(&accepted.left, &accepted.role), Allocated(&consumed, &accepted.role));
        Err(format!("{what}{left} does not contain {consumed}"))
    }

    /// Offers that hold some of these are taken back.
    fn rescind_offers_of(
        &mut self,
        agent: &str,
        resources: &Resources,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        let Some(known) = self.agents.get(agent) else { return };
        let holds = |id: &&String| {
            let offer = self.offers.get(*id);
            offer.is_some_and(|o| o.resources.difference(resources) != o.resources)
        };
        let ids: Vec<_> = known.offers.iter().filter(holds).cloned().collect();
        ids.iter().for_each(|id| self.rescind(id, now, out));
    }

    /// The agent's resources become what the operation makes of them, and the agent is told.
    fn apply(
        &mut self,
        rng: &mut Rng,
        framework_id: Option<&str>,
        agent_id: &str,
        info: Operation,
        conversion: &Conversion,
        out: &mut Effects<Effect>,
    ) {
        let Some(agent) = self.agents.get_mut(agent_id) else { return };
        agent.total.cut(&conversion.consumed);
        agent.total += &conversion.converted;
        self.counters.operations += 1;
        if !agent.can(AgentCap::ResourceProvider) {
            let mut resources = agent.total.to_checkpoint().to_messages();
            if !agent.can(AgentCap::ReservationRefinement) {
                downgrade(&mut resources);
            }
            let Some(agent) = self.agents.get(agent_id) else { return };
            self.tell(agent, internal::CheckpointResourcesMessage { resources }, out);
            return;
        }
        let uuid = mesos::Uuid { value: rng.uuid().as_bytes().to_vec() };
        let framework_id = framework_id.map(|id| FrameworkId { value: id.to_owned() });
        let mut latest_status = OperationStatus {
            operation_id: info.id.clone(),
            agent_id: Some(AgentId { value: agent_id.to_owned() }),
            ..Default::default()
        };
        latest_status.set_state(OperationState::OperationPending);
        let operation = mesos::Operation {
            framework_id: framework_id.clone(),
            agent_id: Some(AgentId { value: agent_id.to_owned() }),
            info: info.clone(),
            latest_status,
            statuses: Vec::new(),
            uuid: uuid.clone(),
        };
        self.add_operation(agent_id, operation);
        let Some(agent) = self.agents.get(agent_id) else { return };
        let message = internal::ApplyOperationMessage {
            framework_id,
            operation_info: info,
            operation_uuid: uuid,
            resource_version_uuid: internal::ResourceVersionUuid {
                uuid: agent.resource_version.clone().unwrap_or_default(),
                ..Default::default()
            },
        };
        self.tell(agent, message, out);
    }

    pub(crate) fn add_operation(&mut self, agent_id: &str, operation: mesos::Operation) {
        let uuid = operation.uuid.value.clone();
        if let Some(framework) =
            operation.framework_id.as_ref().and_then(|id| self.frameworks.get_mut(&id.value))
        {
            framework.operations.insert(uuid.clone(), agent_id.to_owned());
            if let Some(id) = &operation.info.id {
                framework.operation_ids.insert(id.value.clone(), uuid.clone());
            }
        }
        if let Some(agent) = self.agents.get_mut(agent_id) {
            agent.operations.insert(uuid, operation);
        }
    }

    fn remove_operation(&mut self, agent_id: &str, uuid: &OperationUuid) {
        let Some(operation) = self.agents.get_mut(agent_id).and_then(|a| a.operations.remove(uuid)) else {
            return;
        };
        let framework = operation.framework_id.as_ref().and_then(|id| self.frameworks.get_mut(&id.value));
        let Some(framework) = framework else { return };
        framework.operations.remove(uuid);
        if let Some(id) = operation.info.id
            && framework.operation_ids.get(&id.value) == Some(uuid)
        {
            framework.operation_ids.remove(&id.value);
        }
    }

    /// Operations that agents reported before their framework was known are its now.
    pub(crate) fn adopt_operations(&mut self, framework_id: &str) {
        let mut found = Vec::new();
        for agent in self.agents.values().filter(|a| !a.operations.is_empty()) {
            let its =
                |o: &&mesos::Operation| o.framework_id.as_ref().is_some_and(|id| id.value == framework_id);
            found.extend(agent.operations.values().filter(its).map(|o| {
                (o.uuid.value.clone(), agent.id().to_owned(), o.info.id.as_ref().map(|id| id.value.clone()))
            }));
        }
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        for (uuid, agent, id) in found {
            framework.operations.insert(uuid.clone(), agent);
            id.into_iter().for_each(|id| drop(framework.operation_ids.insert(id, uuid.clone())));
        }
    }

    /// What an agent says of an operation.
    pub(crate) fn operation_update(
        &mut self,
        agent_id: &str,
        mut update: internal::UpdateOperationStatusMessage,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        let to_whom = update.framework_id.as_ref().map(|id| id.value.clone());
        let uuid = update.operation_uuid.as_ref().map(|uuid| uuid.value.clone());
        let known = uuid.as_ref().and_then(|uuid| self.agents.get_mut(agent_id)?.operations.get_mut(uuid));
        let (Some(uuid), Some(operation)) = (uuid, known) else {
            // An answer to a framework's own question, or to one that raced with the end of the operation.
            if let Some(framework) = to_whom {
                self.event(&framework, operation_event(update.status), out);
            }
            return;
        };
        if let Some(id) = &operation.info.id {
            update.status.operation_id = Some(id.clone());
        }
        let latest = update.latest_status.clone().unwrap_or_else(|| update.status.clone());
        let over = is_over(operation.latest_status.state());
        let failed = !over && is_over(latest.state()) && latest.state() != OperationState::OperationFinished;
        if !over {
            operation.latest_status = latest.clone();
        }
        if operation.statuses.last() != Some(&latest) && operation.statuses.len() < STATUSES_MAX {
            operation.statuses.push(latest.clone());
        }
        let operation = operation.clone();
        if failed {
            self.undo(agent_id, &operation, now, out);
        }
        let framework = operation.framework_id.as_ref().map(|id| id.value.as_str());
        let lives = framework.is_some_and(|id| self.frameworks.contains_key(id));
        if operation.info.id.is_some() && lives {
            // Who named it acknowledges it.
            self.event(framework.unwrap_or_default(), operation_event(update.status), out);
            if is_over(latest.state()) && latest.uuid.is_none() {
                self.remove_operation(agent_id, &uuid);
            }
            return;
        }
        let Some(agent) = self.agents.get(agent_id) else { return };
        if let Some(status_uuid) = latest.uuid.clone() {
            let may_come = operation.info.id.is_some()
                && framework.is_some_and(|id| !self.ended.iter().any(|ended| ended == id))
                && agent.reregistered.is_some_and(|at| now < at + ORPHANED_FOR);
            if may_come {
                return;
            }
            let operation_uuid = operation.uuid.clone();
            let message = internal::AcknowledgeOperationStatusMessage {
                status_uuid,
                operation_uuid,
                resource_provider_id: None,
            };
            self.tell(agent, message, out);
        }
        if is_over(latest.state()) {
            self.remove_operation(agent_id, &uuid);
        }
    }

    /// The agent did not do what was taken as done: its resources are what they were, unless somebody uses them.
    fn undo(&mut self, agent_id: &str, operation: &mesos::Operation, now: Time, out: &mut Effects<Effect>) {
        let Conversion { consumed, converted } = valid::conversion(&operation.info);
        self.rescind_offers_of(agent_id, &converted, now, out);
        let Some(agent) = self.agents.get(agent_id) else { return };
        let mut total = agent.total.clone();
        if total.subtract(&converted).is_err() {
            return;
        }
        total += &consumed;
        if total.contains(&self.used_on(agent).not_shared()) {
            self.set_total(agent_id, total);
        }
    }

    /// An agent has other resources than before.
    pub(crate) fn set_total(&mut self, agent_id: &str, total: Resources) {
        if let Some(agent) = self.agents.get_mut(agent_id) {
            self.allocator.update_agent(agent_id, total.clone());
            agent.total = total;
        }
    }

    pub(crate) fn acknowledge_operation(
        &mut self,
        framework_id: &str,
        acknowledge: call::AcknowledgeOperationStatus,
        out: &mut Effects<Effect>,
    ) {
        let agent_id = acknowledge.agent_id.map(|id| id.value).unwrap_or_default();
        let Some(agent) = self.agents.get(&agent_id).filter(|a| a.connected) else { return };
        if acknowledge.resource_provider_id.is_some() || !agent.can(AgentCap::AgentOperationFeedback) {
            return;
        }
        let framework = self.frameworks.get(framework_id);
        let uuid = framework.and_then(|f| f.operation_ids.get(&acknowledge.operation_id.value)).cloned();
        // An operation of another agent than the one named is unknown there; upstream's master ends itself.
        let Some(operation) = uuid.as_ref().and_then(|uuid| agent.operations.get(uuid)) else { return };
        let named = |s: &&OperationStatus| s.uuid.as_ref().is_some_and(|u| u.value == acknowledge.uuid);
        let Some(status) = operation.statuses.iter().find(named) else { return };
        let (over, operation_uuid) = (is_over(status.state()), operation.uuid.clone());
        let message = internal::AcknowledgeOperationStatusMessage {
            status_uuid: mesos::Uuid { value: acknowledge.uuid },
            operation_uuid: operation_uuid.clone(),
            resource_provider_id: None,
        };
        self.tell(agent, message, out);
        if over {
            self.remove_operation(&agent_id, &operation_uuid.value);
        }
    }

    /// About all of the framework's operations when none is named. Answers carry no uuid.
    pub(crate) fn reconcile_operations(
        &self,
        framework_id: &str,
        asked: &[call::reconcile_operations::Operation],
        out: &mut Effects<Effect>,
    ) {
        let Some(framework) = self.frameworks.get(framework_id) else { return };
        let known = |uuid: &OperationUuid| {
            let operation = self.agents.get(framework.operations.get(uuid)?)?.operations.get(uuid)?;
            let mut status = operation.statuses.last().unwrap_or(&operation.latest_status).clone();
            status.uuid = None;
            Some(status)
        };
        if asked.is_empty() {
            for status in framework.operations.keys().filter_map(known) {
                self.event(framework_id, operation_event(status), out);
            }
        }
        for one in asked {
            let id = &one.operation_id;
            let status = framework.operation_ids.get(&id.value).and_then(known).unwrap_or_else(|| {
                use OperationState as S;
                let agent = one.agent_id.as_ref().map(|id| id.value.as_str());
                let (state, message) = match agent {
                    None => (
                        S::OperationUnknown,
                        "Reconciliation: Operation is unknown and no 'agent_id' was provided",
                    ),
                    Some(a) if self.recovering.contains_key(a) => (
                        S::OperationRecovering,
                        "Reconciliation: Agent is recovered but has not re-registered",
                    ),
                    Some(a) if self.agents.contains_key(a) => {
                        (S::OperationUnknown, "Reconciliation: Operation is unknown")
                    }
                    Some(a) if self.unreachable.contains_key(a) => {
                        (S::OperationUnreachable, "Reconciliation: Agent is unreachable")
                    }
                    Some(_) => (S::OperationUnknown, "Reconciliation: Both operation and agent are unknown"),
                };
                let mut status = OperationStatus {
                    operation_id: Some(id.clone()),
                    message: Some(message.to_owned()),
                    agent_id: one.agent_id.clone(),
                    resource_provider_id: one.resource_provider_id.clone(),
                    ..Default::default()
                };
                status.set_state(state);
                status
            });
            self.event(framework_id, operation_event(status), out);
        }
    }

    /// Compares the operations that an agent lists with those that are known of it: what it misses, it is asked about.
    pub(crate) fn take_in_operations(
        &mut self,
        agent_id: &str,
        listed: Vec<mesos::Operation>,
        out: &mut Effects<Effect>,
    ) {
        let Some(agent) = self.agents.get(agent_id) else { return };
        let names: std::collections::BTreeSet<_> = listed.iter().map(|o| &o.uuid.value).collect();
        let missing: Vec<_> = agent
            .operations
            .values()
            .filter(|o| !names.contains(&o.uuid.value))
            .map(|o| internal::reconcile_operations_message::Operation {
                operation_uuid: Some(o.uuid.clone()),
                ..Default::default()
            })
            .collect();
        if !missing.is_empty() {
            let message = internal::ReconcileOperationsMessage { operations: missing, ..Default::default() };
            self.tell(agent, message, out);
        }
        for mut operation in listed {
            let known =
                self.agents.get(agent_id).is_some_and(|a| a.operations.contains_key(&operation.uuid.value));
            if !known {
                valid::resources_of(&mut operation.info)
                    .into_iter()
                    .for_each(|r| upgrade(std::slice::from_mut(r)));
                self.add_operation(agent_id, operation);
            }
        }
    }

    /// An agent is gone with all of its operations: who named them is told.
    pub(crate) fn lose_operations(
        &mut self,
        agent_id: &str,
        news: Option<(OperationState, &str)>,
        out: &mut Effects<Effect>,
    ) {
        let operations = self.agents.get(agent_id).map_or_else(Vec::new, |a| {
            a.operations
                .values()
                .map(|o| (o.uuid.value.clone(), o.framework_id.clone(), o.info.id.clone()))
                .collect()
        });
        for (uuid, framework, id) in operations {
            if let (Some(framework), Some(id), Some((state, message))) = (framework, id, news) {
                let mut status = OperationStatus {
                    operation_id: Some(id),
                    message: Some(message.to_owned()),
                    agent_id: Some(AgentId { value: agent_id.to_owned() }),
                    ..Default::default()
                };
                status.set_state(state);
                self.event(&framework.value, operation_event(status), out);
            }
            self.remove_operation(agent_id, &uuid);
        }
    }

    /// An operator's operation: offers that stand in its way are taken back.
    pub(crate) fn operator_operation(
        &mut self,
        now: &mut Now<'_>,
        request: RequestId,
        agent_id: &str,
        mut operation: Operation,
        principal: Option<&str>,
        out: &mut Effects<Effect>,
    ) {
        operation.id = None;
        let answer = match self.check_operator_operation(agent_id, &mut operation, principal) {
            Err(answer) => answer,
            Ok(conversion) => {
                let at = now.time;
                if !self.allocator.free_on(agent_id).contains(&conversion.consumed) {
                    self.rescind_for(agent_id, &conversion.consumed, at, out);
                }
                let Conversion { consumed, converted } = &conversion;
                let asked = operation.clone();
                if self.allocator.convert_free(agent_id, consumed, converted) {
                    self.apply(now.rng, None, agent_id, operation, &conversion, out);
                    Answer::accepted()
                } else {
                    let free = self.allocator.free_on(agent_id);
                    let consumed = named_missing(&asked, &free, consumed);
                    Answer::text(409, format!("{free} does not contain {consumed}"))
                }
            }
        };
        out.push(Http::Reply { request, answer });
    }

    fn check_operator_operation(
        &self,
        agent_id: &str,
        operation: &mut Operation,
        principal: Option<&str>,
    ) -> Result<Conversion, Answer> {
        let Some(agent) = self.agents.get(agent_id) else {
            return Err(Answer::text(400, "No agent found with specified ID"));
        };
        let kind = operation.r#type();
        let place = match kind {
            Type::Unreserve | Type::Destroy => String::new(),
            _ => format!(" on agent {agent}"),
        };
        let invalid = |why: String| {
            Answer::text(400, format!("Invalid {} operation{place}: {why}", kind.as_str_name()))
        };
        let refused = {
            let all = valid::resources_of(operation);
            Resources::from_messages(all.iter().map(|r| &**r)).err()
        };
        if let Some(refused) = refused {
            return Err(invalid(refused.to_string()));
        }
        for resource in valid::resources_of(operation) {
            upgrade(std::slice::from_mut(resource));
        }
        let capabilities = agent.abilities();
        let on = valid::OnAgent {
            capabilities: &capabilities,
            checkpointed: &agent.total.to_checkpoint(),
            used: &self.used_on(agent),
        };
        let asked = valid::Asked { framework: None, principal };
        if let Some(fault) = valid::operation(operation, asked, &on) {
            // Upstream names no agent for this one.
            if operation.r#type() == Type::Destroy {
                return Err(Answer::text(400, format!("Invalid DESTROY operation: {fault}")));
            }
            return Err(invalid(fault));
        }
        for resource in valid::resources_of(operation) {
            unallocate(std::slice::from_mut(resource));
        }
        Ok(valid::conversion(operation))
    }

    /// Takes offers back, one by one, until what is wanted is free.
    fn rescind_for(&mut self, agent_id: &str, wanted: &Resources, now: Time, out: &mut Effects<Effect>) {
        let offers = self.agents.get(agent_id).map(|a| a.offers.clone()).unwrap_or_default();
        for id in offers {
            let short = wanted.difference(&self.allocator.free_on(agent_id));
            if short.is_empty() {
                break;
            }
            let helps = self.offers.get(&id).is_some_and(|o| short.difference(&o.resources) != short);
            if helps {
                self.rescind(&id, now, out);
            }
        }
    }

    /// An operation that asked for an answer gets one; the others are dropped, as upstream does.
    pub(crate) fn refuse_operation(
        &self,
        framework_id: &str,
        operation: &Operation,
        why: &str,
        out: &mut Effects<Effect>,
    ) {
        let Some(id) = &operation.id else { return };
        let mut status = OperationStatus {
            operation_id: Some(OperationId { value: id.value.clone() }),
            message: Some(why.to_owned()),
            ..Default::default()
        };
        status.set_state(OperationState::OperationError);
        self.event(framework_id, operation_event(status), out);
    }
}

/// Whether nothing follows this state.
fn is_over(state: OperationState) -> bool {
    matches!(
        state,
        OperationState::OperationFinished
            | OperationState::OperationFailed
            | OperationState::OperationError
            | OperationState::OperationDropped
            | OperationState::OperationGoneByOperator
    )
}

fn operation_event(status: OperationStatus) -> Event {
    Event {
        r#type: Some(event::Type::UpdateOperationStatus.into()),
        update_operation_status: Some(event::UpdateOperationStatus { status }),
        ..Default::default()
    }
}

/// What a refusal names as missing: upstream takes reservations and volumes away one after the other, and names the first
/// that is not there.
fn named_missing(operation: &Operation, free: &Resources, consumed: &Resources) -> Resources {
    let alone = |item: &model::resources::Item| {
        let mut one = Resources::new();
        one.add_item(item.clone());
        one
    };
    let singly = matches!(operation.r#type(), Type::Unreserve | Type::Create | Type::Destroy);
    let first = consumed.iter().filter(|_| singly).map(alone).find(|one| !free.contains(one));
    first.unwrap_or_else(|| consumed.clone())
}
