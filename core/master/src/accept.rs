//! ACCEPT: which offers it names, and what its operations make of them, in order; what they leave comes back.
//!
//! Never what one operation does: launches are in `tasks`, all others in `operations`. Order and texts:
//! apache/mesos@c1b42f79:src/master/master.cpp (`accept`, `_accept`).

use crate::{Effect, Master, Outstanding, offers::refusal, validate::operation::resources_of};
use base::{Effects, Now, Time};
use model::{
    mesos::{
        Filters, FrameworkId, TaskInfo,
        agent_info::capability::Type as AgentCap,
        health_check,
        offer::{Operation, operation::Type},
        resource::AllocationInfo,
        scheduler::call,
        task_status::Reason,
    },
    resources::{Resources, upgrade},
};
use std::{collections::BTreeSet, sync::Arc};

/// What the operations of one ACCEPT work on.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub framework: Arc<str>,
    pub agent: Arc<str>,
    pub role: Arc<str>,
    /// What no operation has taken yet.
    pub left: Resources,
    /// What of it several may use at once; tasks may use that more often than it was offered.
    pub shared: Resources,
    /// Volumes that were resized: no further operation may use them.
    pub resized: Resources,
    /// Whether a task was launched.
    pub launched: bool,
}

impl Master {
    pub(crate) fn accept(
        &mut self,
        now: &mut Now<'_>,
        framework_id: &str,
        accept: call::Accept,
        out: &mut Effects<Effect>,
    ) {
        let at = now.time;
        let (offers, fault) = self.take_offers(framework_id, &accept);
        let give_back = |master: &mut Self, offers: Vec<Outstanding>| {
            for o in offers {
                master.allocator.recover(framework_id, &o.agent, &o.role, &o.resources, None, at);
            }
        };
        let first = match (fault, offers.first()) {
            (None, Some(first)) => first,
            (fault, _) => {
                let why = fault.unwrap_or_else(|| "No offers specified".to_owned());
                give_back(self, offers);
                self.refuse_all(framework_id, &accept.operations, &why, at, out);
                return;
            }
        };
        let (framework, agent, role) = (first.framework.clone(), first.agent.clone(), first.role.clone());
        let unfit = match self.agents.get(&*agent) {
            None => Some((Reason::AgentRemoved, "Agent removed")),
            Some(agent) if !agent.connected => Some((Reason::AgentDisconnected, "Agent disconnected")),
            Some(_) => None,
        };
        if let Some((reason, why)) = unfit {
            give_back(self, offers);
            for task in accept.operations.iter().flat_map(tasks_of) {
                self.drop_task(framework_id, task, reason, why, at, out);
            }
            return;
        }
        let offered: Resources = offers.iter().map(|o| &o.resources).sum();
        let operations: Vec<_> = accept
            .operations
            .into_iter()
            .filter_map(|operation| self.normal(framework_id, &agent, &role, operation, at, out))
            .collect();
        let mut accepted = Accepted {
            framework,
            agent,
            role,
            left: offered.clone(),
            shared: offered.shared(),
            resized: Resources::new(),
            launched: false,
        };
        for operation in operations {
            match operation.r#type() {
                Type::Launch => {
                    for task in operation.launch.map_or_else(Vec::new, |l| l.task_infos) {
                        self.launch(task, &mut accepted, at, out);
                    }
                }
                Type::LaunchGroup => {
                    if let Some(group) = operation.launch_group {
                        self.launch_group(group, &mut accepted, at, out);
                    }
                }
                Type::Unknown => {}
                _ => self.operate(operation, &mut accepted, now, out),
            }
        }
        self.settle(&offered, &accepted, accept.filters.as_ref(), at);
    }

    /// What the operations made of the offers and did not use is free at once; what they left as it was is declined.
    fn settle(&mut self, offered: &Resources, accepted: &Accepted, filters: Option<&Filters>, now: Time) {
        let left = accepted.left.clone() + &accepted.resized;
        let made = left.difference(offered);
        let declined = left.difference(&made);
        let (framework, agent, role) = (&accepted.framework, &accepted.agent, &accepted.role);
        if !made.is_empty() {
            self.allocator.recover(framework, agent, role, &made, None, now);
        }
        if declined.is_empty() {
            return;
        }
        // What is left of an offer that launched something comes back at once, unless the framework says otherwise.
        let refuse = match (accepted.launched, filters) {
            (true, None | Some(Filters { refuse_seconds: None, .. })) => None,
            (_, filters) => Some(refusal(filters)),
        };
        self.allocator.recover(framework, agent, role, &declined, refuse, now);
    }

    /// Ends the offers that an ACCEPT names, and says what is wrong with them together.
    fn take_offers(
        &mut self,
        framework_id: &str,
        accept: &call::Accept,
    ) -> (Vec<Outstanding>, Option<String>) {
        let mut fault = None;
        let mut offers: Vec<Outstanding> = Vec::new();
        let mut seen = BTreeSet::new();
        for id in &accept.offer_ids {
            let own = self.offers.get(&id.value).is_some_and(|o| &*o.framework == framework_id);
            if !seen.insert(id.value.clone()) {
                fault.get_or_insert_with(|| format!("Duplicate offer {} in offer list", id.value));
            } else if own {
                offers.extend(self.forget_offer(&id.value));
                if let Some(framework) = self.frameworks.get_mut(framework_id) {
                    framework.count("offers/accepted");
                }
            } else {
                fault.get_or_insert_with(|| format!("Offer {} is no longer valid", id.value));
            }
        }
        if let Some(first) = offers.first() {
            let id = |o: &Outstanding| o.offer.id.value.clone();
            // The quotes that don't close are upstream's.
            if let Some(other) = offers.iter().find(|o| o.role != first.role) {
                fault.get_or_insert_with(|| {
                    format!(
                        "Aggregated offers must be allocated to the same role. Offer {} uses role '{} but another is \
                         using role '{}",
                        id(other),
                        other.role,
                        first.role
                    )
                });
            } else if let Some(other) = offers.iter().find(|o| o.agent != first.agent) {
                fault.get_or_insert_with(|| {
                    format!(
                        "Aggregated offers must belong to one single agent. Offer {} uses agent {} and agent {}",
                        id(other),
                        other.agent,
                        first.agent
                    )
                });
            }
        }
        (offers, fault)
    }

    /// Answers every operation of an ACCEPT whose offers don't stand.
    fn refuse_all(
        &mut self,
        framework_id: &str,
        operations: &[Operation],
        why: &str,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        for operation in operations {
            match operation.r#type() {
                Type::Launch | Type::LaunchGroup => {
                    let why = format!("Task launched with invalid offers: {why}");
                    for task in tasks_of(operation) {
                        self.drop_task(framework_id, task, Reason::InvalidOffers, &why, now, out);
                    }
                }
                _ => {
                    let why = format!("Operation attempted with invalid offers: {why}");
                    self.refuse_operation(framework_id, operation, &why, out);
                }
            }
        }
    }

    /// An operation with its resources in one format and all that clients may leave out; none if it is refused.
    fn normal(
        &mut self,
        framework_id: &str,
        agent_id: &str,
        role: &str,
        mut operation: Operation,
        now: Time,
        out: &mut Effects<Effect>,
    ) -> Option<Operation> {
        let agent = self.agents.get(agent_id)?;
        let kind = operation.r#type();
        let invalid = {
            let all = resources_of(&mut operation);
            Resources::from_messages(all.iter().map(|r| &**r)).err().map(|invalid| invalid.to_string())
        };
        let sourced = operation.reserve.as_ref().is_some_and(|r| !r.source.is_empty());
        let invalid = invalid.or_else(|| {
            sourced.then(|| "Reservation updates are not yet implemented for the scheduler API.".to_owned())
        });
        if matches!(kind, Type::Launch | Type::LaunchGroup) {
            let (name, reason) = match kind {
                Type::Launch => ("LAUNCH", Reason::TaskInvalid),
                _ => ("LAUNCH_GROUP", Reason::TaskGroupInvalid),
            };
            let named = || format!("The `id` field cannot be set on {name} operations");
            if let Some(why) = invalid.or_else(|| operation.id.as_ref().map(|_| named())) {
                for task in tasks_of(&operation) {
                    self.error(framework_id, task, reason, &why, now, out);
                }
                return None;
            }
        } else if let Some(why) = invalid {
            let why = format!("Operation attempted with invalid resources: {why}");
            self.refuse_operation(framework_id, &operation, &why, out);
            return None;
        } else if operation.id.is_some() {
            let session = self.frameworks.get(framework_id).and_then(|f| f.session.as_ref());
            if let Some(crate::Session::Driver(pid)) = session {
                let message = "The 'id' field was set in an offer operation, but operation feedback is not \
                               supported for the SchedulerDriver API; please use the HTTP scheduler API for this \
                               feature";
                let message = model::mesos::internal::FrameworkErrorMessage { message: message.to_owned() };
                self.send(pid, message, out);
                return None;
            }
            let missing = if !agent.can(AgentCap::ResourceProvider) {
                Some(
                    "Operation requested feedback, but agent {} does not have the required RESOURCE_PROVIDER \
                      capability",
                )
            } else if !agent.can(AgentCap::AgentOperationFeedback) {
                Some(
                    "Operation on agent default resources requested feedback, but agent {} does not have the \
                      required AGENT_OPERATION_FEEDBACK and RESOURCE_PROVIDER capabilities",
                )
            } else {
                None
            };
            if let Some(text) = missing {
                self.refuse_operation(framework_id, &operation, &text.replace("{}", agent_id), out);
                return None;
            }
        }
        for resource in resources_of(&mut operation) {
            upgrade(std::slice::from_mut(resource));
            let allocation = || AllocationInfo { role: Some(role.to_owned()) };
            resource.allocation_info.get_or_insert_with(allocation);
        }
        for task in operation.launch.iter_mut().flat_map(|l| &mut l.task_infos) {
            complete(task, framework_id);
        }
        if let Some(group) = &mut operation.launch_group {
            let executor = group.executor.clone();
            for task in &mut group.task_group.tasks {
                task.executor.get_or_insert_with(|| executor.clone());
            }
        }
        Some(operation)
    }
}

/// What clients of old left out of a task.
fn complete(task: &mut TaskInfo, framework_id: &str) {
    if let Some(executor) = &mut task.executor {
        executor.framework_id.get_or_insert_with(|| FrameworkId { value: framework_id.to_owned() });
    }
    if let Some(check) = task.health_check.as_mut().filter(|check| check.r#type.is_none()) {
        match (&check.command, &check.http) {
            (Some(_), None) => check.set_type(health_check::Type::Command),
            (None, Some(_)) => check.set_type(health_check::Type::Http),
            _ => {}
        }
    }
}

/// Where a framework's operations of a type are counted, once they are done.
pub(crate) fn metric(kind: Type) -> &'static str {
    match kind {
        Type::Launch => "operations/launch",
        Type::LaunchGroup => "operations/launch_group",
        Type::Reserve => "operations/reserve",
        Type::Unreserve => "operations/unreserve",
        Type::Create => "operations/create",
        Type::Destroy => "operations/destroy",
        Type::GrowVolume => "operations/grow_volume",
        Type::ShrinkVolume => "operations/shrink_volume",
        Type::CreateDisk => "operations/create_disk",
        Type::DestroyDisk => "operations/destroy_disk",
        Type::Unknown => "operations/unknown",
    }
}

/// The tasks that an operation launches.
pub(crate) fn tasks_of(operation: &Operation) -> impl Iterator<Item = &TaskInfo> {
    let launch = operation.launch.iter().flat_map(|l| &l.task_infos);
    launch.chain(operation.launch_group.iter().flat_map(|l| &l.task_group.tasks))
}
