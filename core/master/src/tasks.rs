//! Tasks: what an ACCEPT launches, and KILL. Operations of an ACCEPT run in order; what they leave of the offers comes
//! back at once. Never status updates (`updates`).

use crate::{Effect, Framework, Master, Outstanding, offers::refusal, updates, validate};
use base::{Effects, Now, Time};
use model::{
    link::Message,
    mesos::{
        ExecutorId, Filters, FrameworkId, OperationState, OperationStatus, Task, TaskId, TaskInfo, TaskState,
        TaskStatus,
        framework_info::capability::Type as Cap,
        internal,
        offer::{Operation, operation},
        resource::AllocationInfo,
        scheduler::{Event, call, event},
        task_status::{Reason, Source},
    },
    resources::{Format, Resources},
};
use std::{collections::BTreeSet, sync::Arc};

/// What the operations of one ACCEPT work on.
struct Accepted {
    agent: Arc<str>,
    role: Arc<str>,
    left: Resources,
    launched: bool,
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
        let mut fault = None;
        let mut offers: Vec<Outstanding> = Vec::new();
        let mut seen = BTreeSet::new();
        for id in &accept.offer_ids {
            let own = self.offers.get(&id.value).is_some_and(|o| &*o.framework == framework_id);
            if !seen.insert(id.value.clone()) {
                fault.get_or_insert_with(|| format!("Duplicate offer {} in offer list", id.value));
            } else if own {
                offers.extend(self.forget_offer(&id.value));
            } else {
                fault.get_or_insert_with(|| format!("Offer {} is no longer valid", id.value));
            }
        }
        if accept.offer_ids.is_empty() {
            fault = Some("No offers specified".to_owned());
        }
        if let Some(first) = offers.first() {
            if let Some(other) = offers.iter().find(|o| o.agent != first.agent) {
                fault.get_or_insert_with(|| {
                    format!("Aggregated offers must belong to one single agent. Offer {} uses agent {} and offer {} uses agent {}",
                        other.offer.id.value, other.agent, first.offer.id.value, first.agent)
                });
            } else if let Some(other) = offers.iter().find(|o| o.role != first.role) {
                fault.get_or_insert_with(|| {
                    format!("Aggregated offers must be allocated to the same role. Offer {} uses role {} but another is using role {}",
                        other.offer.id.value, other.role, first.role)
                });
            }
        }
        let (agent, role) = match (fault, offers.first()) {
            (None, Some(first)) => (first.agent.clone(), first.role.clone()),
            (fault, _) => {
                let why = fault.unwrap_or_else(|| "No offers specified".to_owned());
                for offer in offers {
                    self.allocator.recover(
                        framework_id,
                        &offer.agent,
                        &offer.role,
                        &offer.resources,
                        None,
                        at,
                    );
                }
                self.refuse_tasks(framework_id, &accept.operations, &why, at, out);
                return;
            }
        };
        let mut left = Resources::default();
        for offer in &offers {
            left += &offer.resources;
        }
        let mut accepted = Accepted { agent, role, left, launched: false };
        for operation in &accept.operations {
            match operation.r#type() {
                operation::Type::Launch if operation.id.is_none() => {
                    let tasks = operation.launch.as_ref().map_or(&[][..], |l| &l.task_infos);
                    for task in tasks {
                        self.launch(framework_id, task.clone(), &mut accepted, at, out);
                    }
                }
                operation::Type::Launch => {
                    for task in operation.launch.as_ref().map_or(&[][..], |l| &l.task_infos) {
                        let why = "The `id` field cannot be set on LAUNCH operations";
                        self.error(framework_id, task, Reason::TaskInvalid, why, at, out);
                    }
                }
                operation::Type::LaunchGroup => {
                    let group = operation.launch_group.as_ref();
                    for task in group.map_or(&[][..], |l| &l.task_group.tasks) {
                        let why = "Task groups are not supported yet";
                        self.error(framework_id, task, Reason::TaskGroupInvalid, why, at, out);
                    }
                }
                other => {
                    let why = format!("{} is not supported yet", other.as_str_name());
                    self.refuse_operation(framework_id, operation, &why, out);
                }
            }
        }
        if accepted.left.is_empty() {
            return;
        }
        // What is left of an offer that launched something comes back at once, unless the framework says otherwise.
        let refuse = match (accepted.launched, &accept.filters) {
            (true, None | Some(Filters { refuse_seconds: None, .. })) => None,
            (_, filters) => Some(refusal(filters.as_ref())),
        };
        self.allocator.recover(framework_id, &accepted.agent, &accepted.role, &accepted.left, refuse, at);
    }

    fn launch(
        &mut self,
        framework_id: &str,
        mut info: TaskInfo,
        accepted: &mut Accepted,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        let Some(framework) = self.frameworks.get(framework_id) else { return };
        let Some(agent) = self.agents.get(&*accepted.agent).filter(|a| a.connected) else {
            let why = "Agent disconnected";
            self.drop_task(framework_id, &info, Reason::AgentDisconnected, why, now, out);
            return;
        };
        let needs = match validate::task(framework, &accepted.agent, &info, &accepted.left) {
            Ok(needs) => needs,
            Err(why) => {
                self.error(framework_id, &info, Reason::TaskInvalid, &why, now, out);
                return;
            }
        };
        if accepted.left.subtract(&needs).is_err() {
            return;
        }
        accepted.launched = true;
        for resource in
            info.resources.iter_mut().chain(info.executor.iter_mut().flat_map(|e| &mut e.resources))
        {
            resource.allocation_info = Some(AllocationInfo { role: Some(accepted.role.to_string()) });
        }
        if let Some(executor) = &mut info.executor {
            executor.framework_id = Some(FrameworkId { value: framework_id.to_owned() });
        }
        let run = internal::RunTaskMessage {
            framework: framework.info.clone(),
            pid: Some("@0.0.0.0:0".to_owned()),
            task: info.clone(),
            launch_executor: Some(true),
            resource_version_uuids: agent
                .resource_version
                .iter()
                .map(|uuid| internal::ResourceVersionUuid { uuid: uuid.clone(), ..Default::default() })
                .collect(),
            ..Default::default()
        };
        self.tell(agent, run, out);
        self.counters.launched += 1;
        let id = info.task_id.value.clone();
        let task = as_task(framework_id, info);
        if let Some(framework) = self.frameworks.get_mut(framework_id) {
            framework.tasks.insert(id.clone(), task);
        }
        if let Some(agent) = self.agents.get_mut(&*accepted.agent) {
            agent.tasks.insert((framework_id.to_owned(), id));
        }
    }

    /// Tasks of an ACCEPT whose offers don't stand: dropped, with the reason.
    fn refuse_tasks(
        &mut self,
        framework_id: &str,
        operations: &[Operation],
        why: &str,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        for operation in operations {
            let launch = operation.launch.iter().flat_map(|l| &l.task_infos);
            let group = operation.launch_group.iter().flat_map(|l| &l.task_group.tasks);
            let mut any = false;
            for task in launch.chain(group) {
                any = true;
                let why = format!("Task launched with invalid offers: {why}");
                self.drop_task(framework_id, task, Reason::InvalidOffers, &why, now, out);
            }
            if !any {
                self.refuse_operation(
                    framework_id,
                    operation,
                    &format!("Operation attempted with invalid offers: {why}"),
                    out,
                );
            }
        }
    }

    /// An operation that asked for an answer gets one; the others are dropped, as upstream does.
    fn refuse_operation(
        &self,
        framework_id: &str,
        operation: &Operation,
        why: &str,
        out: &mut Effects<Effect>,
    ) {
        let Some(id) = &operation.id else { return };
        let mut status = OperationStatus {
            operation_id: Some(id.clone()),
            message: Some(why.to_owned()),
            ..Default::default()
        };
        status.set_state(OperationState::OperationError);
        let event = Event {
            r#type: Some(event::Type::UpdateOperationStatus.into()),
            update_operation_status: Some(event::UpdateOperationStatus { status }),
            ..Default::default()
        };
        self.event(framework_id, event, out);
    }

    fn error(
        &self,
        framework_id: &str,
        task: &TaskInfo,
        reason: Reason,
        why: &str,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        let mut status = of_info(task, TaskState::TaskError, now);
        status.message = Some(why.to_owned());
        status.set_reason(reason);
        self.event(framework_id, updates::event(status), out);
    }

    fn drop_task(
        &self,
        framework_id: &str,
        task: &TaskInfo,
        reason: Reason,
        why: &str,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        let aware = self.frameworks.get(framework_id).is_some_and(crate::frameworks::partition_aware);
        let state = updates::for_framework(TaskState::TaskDropped, aware);
        let mut status = of_info(task, state, now);
        status.message = Some(why.to_owned());
        status.set_reason(reason);
        self.event(framework_id, updates::event(status), out);
    }

    pub(crate) fn kill(
        &mut self,
        framework_id: &str,
        kill: call::Kill,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        let Some(framework) = self.frameworks.get(framework_id) else { return };
        let Some(task) = framework.tasks.get(&kill.task_id.value) else {
            // An unknown task: the framework learns what became of it.
            let asked = call::reconcile::Task { task_id: kill.task_id, agent_id: kill.agent_id };
            self.reconcile(framework_id, &[asked], now, out);
            return;
        };
        if kill.agent_id.as_ref().is_some_and(|id| *id != task.agent_id) {
            return;
        }
        let Some(agent) = self.agents.get(&task.agent_id.value).filter(|a| a.connected) else { return };
        let message: Message = internal::KillTaskMessage {
            framework_id: FrameworkId { value: framework_id.to_owned() },
            task_id: TaskId { value: kill.task_id.value.clone() },
            kill_policy: kill.kill_policy,
        }
        .into();
        self.tell(agent, message, out);
    }
}

/// How resources are written to a framework.
pub(crate) fn format(framework: &Framework) -> Format {
    if framework.can(Cap::ReservationRefinement) { Format::Stacked } else { Format::Flat }
}

fn as_task(framework_id: &str, info: TaskInfo) -> Task {
    let user = info
        .command
        .as_ref()
        .or_else(|| info.executor.as_ref().and_then(|e| e.command.as_ref()))
        .and_then(|c| c.user.clone());
    let mut task = Task {
        name: info.name,
        task_id: info.task_id,
        framework_id: FrameworkId { value: framework_id.to_owned() },
        executor_id: info.executor.map(|e| ExecutorId { value: e.executor_id.value }),
        agent_id: info.agent_id,
        resources: info.resources,
        labels: info.labels,
        discovery: info.discovery,
        container: info.container,
        user,
        health_check: info.health_check,
        kill_policy: info.kill_policy,
        limits: info.limits,
        ..Default::default()
    };
    task.set_state(TaskState::TaskStaging);
    task
}

fn of_info(task: &TaskInfo, state: TaskState, now: Time) -> TaskStatus {
    let mut status = TaskStatus {
        task_id: task.task_id.clone(),
        agent_id: Some(task.agent_id.clone()),
        timestamp: Some(now.as_secs_f64()),
        ..Default::default()
    };
    status.set_state(state);
    status.set_source(Source::Master);
    status
}

/// Whether a task of that id still counts.
pub(crate) fn is_live(framework: &Framework, id: &str) -> bool {
    framework.tasks.contains_key(id) || framework.unreachable_tasks.contains_key(id)
}
