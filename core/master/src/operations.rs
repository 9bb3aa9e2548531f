//! Operations on an agent's resources: reservations, volumes, and the way back. Applied here as if they could not fail,
//! sent to the agent, which makes them durable and says how they ended; feedback goes to who asked for it.
//!
//! Never what makes an operation valid (`validate::operation`). Order and texts:
//! apache/mesos@c1b42f79:src/master/master.cpp (`_apply`, `updateOperationStatus`, `reconcileOperations`).

mod feedback;
mod operator;

pub(crate) use feedback::{is_over, operation_event};

use crate::{
    Effect, Master, OperationUuid, Tables as _,
    accept::{Accepted, metric},
    validate::operation as valid,
};
use base::{Duration, Effects, Now, Rng, Time};
use model::{
    mesos::{
        self, AgentId, FrameworkId, OperationId, OperationState, OperationStatus,
        agent_info::capability::Type as AgentCap,
        internal,
        offer::{Operation, operation::Type},
    },
    resources::{Allocated, Conversion, Item, Resources, downgrade},
};

/// Failed operations of one agent that wait for what uses their outcome; beyond, its next registration puts things right.
const OWED_MAX: usize = 1_000;
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
        // A task that its agent never heard of may still count as using what the agent said is reserved.
        let missing = on.used.difference(&agent.total);
        if missing.difference(&conversion.converted) != missing {
            return Err(format!("{} is used by tasks; on agent {agent}", conversion.converted));
        }
        // What is offered is allocated to the offer's role, and to no other that the framework has.
        let own = valid::allocated_to(operation).unwrap_or(&accepted.role);
        if own == &*accepted.role && accepted.left.contains(&conversion.consumed) {
            let rest = accepted.left.difference(&conversion.consumed);
            let copy = conversion.consumed.iter().map(alone).find(|volume| rest.contains(volume));
            return match copy.filter(|_| operation.r#type() == Type::Destroy) {
                Some(volume) => Err(format!(
                    "Persistent volume {} cannot be removed due to additional shared copies",
                    Allocated(&volume, &accepted.role)
                )),
                None => Ok(conversion),
            };
        }
        let what = match operation.r#type() {
            kind @ (Type::GrowVolume | Type::ShrinkVolume) => {
                format!("Invalid {} operation: ", kind.as_str_name())
            }
            _ => String::new(),
        };
        let consumed = named_missing(operation, &accepted.left, &conversion.consumed);
        let (left, consumed) = (Allocated(&accepted.left, &accepted.role), Allocated(&consumed, own));
        Err(format!("{what}{left} does not contain {consumed}"))
    }

    /// Offers that hold some of these are taken back.
    pub(super) fn rescind_offers_of(
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
        if let Some(framework) = framework_id.and_then(|id| self.frameworks.get_mut(id)) {
            framework.count(metric(info.r#type()));
        }
        if !agent.can(AgentCap::ResourceProvider) {
            self.tell_checkpointed(agent_id, out);
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
                uuid: agent.state.now.clone().unwrap_or_default(),
                ..Default::default()
            },
        };
        self.tell(agent, message, out);
    }

    /// Agents that know no operations are told what they have, whenever it changes and whenever they come back: words
    /// about a change may have been lost.
    pub(crate) fn tell_checkpointed(&self, agent_id: &str, out: &mut Effects<Effect>) {
        let Some(agent) = self.agents.get(agent_id).filter(|a| !a.can(AgentCap::ResourceProvider)) else {
            return;
        };
        let mut resources = agent.total.to_checkpoint().to_messages();
        if !agent.can(AgentCap::ReservationRefinement) {
            downgrade(&mut resources);
        }
        self.tell(agent, internal::CheckpointResourcesMessage { resources }, out);
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
        let Some(agent) = self.agents.get_mut(agent_id) else { return };
        agent.uncounted.remove(uuid);
        let Some(operation) = agent.operations.remove(uuid) else { return };
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

    /// An agent has other resources than before.
    pub(crate) fn set_total(&mut self, agent_id: &str, total: Resources) {
        if let Some(agent) = self.agents.get_mut(agent_id) {
            self.allocator.update_agent(agent_id, total.clone());
            agent.total = total;
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

/// What a refusal names as missing: upstream takes reservations and volumes away one after the other, and names the first
/// that is not there.
fn named_missing(operation: &Operation, free: &Resources, consumed: &Resources) -> Resources {
    let singly = matches!(operation.r#type(), Type::Unreserve | Type::Create | Type::Destroy);
    let first = consumed.iter().filter(|_| singly).map(alone).find(|one| !free.contains(one));
    first.unwrap_or_else(|| consumed.clone())
}

fn alone(item: &Item) -> Resources {
    let mut one = Resources::new();
    one.add_item(item.clone());
    one
}
