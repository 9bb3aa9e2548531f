//! What becomes of operations: their statuses, undone where they failed, acknowledged, asked about, lost with their agent.
//! Never how an operation begins (`operations`).

use super::{ORPHANED_FOR, OWED_MAX, STATUSES_MAX};
use crate::{Effect, Master, OperationUuid, Tables as _, validate::operation as valid};
use base::{Effects, Time};
use model::{
    mesos::{
        self, AgentId, OperationState, OperationStatus,
        agent_info::capability::Type as AgentCap,
        internal,
        scheduler::{Event, call, event},
    },
    resources::{Conversion, upgrade},
};

impl Master {
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
        let counted = self.agents.get_mut(agent_id).is_some_and(|a| !a.uncounted.remove(&uuid));
        if failed && counted {
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

    /// The agent did not do what was taken as done: its resources become what they were, once nothing uses the outcome.
    fn undo(&mut self, agent_id: &str, operation: &mesos::Operation, now: Time, out: &mut Effects<Effect>) {
        let made = valid::conversion(&operation.info).converted;
        self.rescind_offers_of(agent_id, &made, now, out);
        let Some(agent) = self.agents.get_mut(agent_id) else { return };
        if agent.owed.len() < OWED_MAX {
            agent.owed.push(operation.clone());
        }
        self.pay(agent_id, now, out);
    }

    /// Takes back what can be taken back by now of what the agent did not do. One may wait for another: the volume for
    /// the task that was to use it, the reservation for the volume.
    fn pay(&mut self, agent_id: &str, now: Time, out: &mut Effects<Effect>) {
        loop {
            let Some(agent) = self.agents.get(agent_id) else { return };
            let used = self.used_on(agent).not_shared();
            let can = |operation: &mesos::Operation| {
                let Conversion { consumed, converted } = valid::conversion(&operation.info);
                let mut total = agent.total.clone();
                total.subtract(&converted).ok()?;
                total += &consumed;
                total.contains(&used).then_some((total, converted))
            };
            let payable = agent.owed.iter().enumerate().find_map(|(at, o)| Some((at, can(o)?)));
            let Some((at, (total, made))) = payable else { return };
            self.rescind_offers_of(agent_id, &made, now, out);
            self.set_total(agent_id, total);
            if let Some(agent) = self.agents.get_mut(agent_id) {
                agent.owed.remove(at);
            }
        }
    }

    /// Something was freed on these agents.
    pub(crate) fn pay_what_is_owed(&mut self, now: Time, out: &mut Effects<Effect>) {
        while let Some(agent) = self.freed.pop_first() {
            self.pay(&agent, now, out);
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
                    Some(a) if self.policy.gone.contains_key(a) => {
                        (S::OperationGoneByOperator, "Reconciliation: Agent marked gone by operator")
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
            let uuid = &operation.uuid.value;
            let Some(agent) = self.agents.get_mut(agent_id) else { return };
            if agent.operations.contains_key(uuid) {
                // It had begun, so what the agent said it has was counted with it.
                if !is_over(operation.latest_status.state()) {
                    agent.uncounted.remove(uuid);
                }
            } else {
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
}

/// Whether nothing follows this state.
pub(crate) fn is_over(state: OperationState) -> bool {
    matches!(
        state,
        OperationState::OperationFinished
            | OperationState::OperationFailed
            | OperationState::OperationError
            | OperationState::OperationDropped
            | OperationState::OperationGoneByOperator
    )
}

pub(crate) fn operation_event(status: OperationStatus) -> Event {
    Event {
        r#type: Some(event::Type::UpdateOperationStatus.into()),
        update_operation_status: Some(event::UpdateOperationStatus { status }),
        ..Default::default()
    }
}
