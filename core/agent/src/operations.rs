//! Operations on the agent's resources: reservations and volumes, durable before their status is said, and that
//! repeated until it is acknowledged. Never whether an operation is allowed (the master).
//!
//! Order: apache/mesos@c1b42f79:src/slave/slave.cpp (`applyOperation`, `reconcileOperations`).

use crate::{Agent, Effect, launch, records, saves::Then};
use base::{Duration, Effects, Now, Time};
use model::{
    mesos::{
        self, Operation, OperationState, OperationStatus,
        internal::{self, reconcile_operations_message},
        resource::disk_info::source,
    },
    resources::{Conversion, Resources},
};
use std::collections::BTreeMap;

const RETRY_FIRST: Duration = Duration::from_secs(10);
const RETRY_MAX: Duration = Duration::from_secs(600);
/// Operations whose status nobody has acknowledged yet.
const OPERATIONS_MAX: usize = 10_000;
/// Those of one framework: who never acknowledges takes no room from the others.
const OPERATIONS_OF_FRAMEWORK_MAX: usize = 5_000;
/// Acknowledged operations that are remembered.
const DONE_MAX: usize = 1_000;

/// A volume that is not one any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Its absolute path.
    pub path: String,
    /// It is a mount point: what is in it goes, itself it stays.
    pub keep_root: bool,
}

/// An operation whose status is not acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub operation: Operation,
    /// Its status may be said.
    pub durable: bool,
    pub retry_at: Option<Time>,
    pub retry_after: Duration,
}

impl Pending {
    pub fn new(operation: Operation) -> Self {
        Self { operation, durable: false, retry_at: None, retry_after: RETRY_FIRST }
    }
}

/// Persistent volumes by their path; true = a mount point of its own.
fn paths(work_dir: &str, resources: &Resources) -> BTreeMap<String, bool> {
    let all = resources.to_messages();
    let path = |r: &mesos::Resource| {
        let path = launch::persistent_path(work_dir, r)?;
        let disk = r.disk.as_ref().and_then(|d| d.source.as_ref());
        Some((path, disk.is_some_and(|s| s.r#type() == source::Type::Mount)))
    };
    all.iter().filter_map(path).collect()
}

fn is_over(operation: &Operation) -> bool {
    operation.latest_status.state() != OperationState::OperationPending
}

impl Agent {
    /// What it has, reservations and volumes included.
    pub fn total(&self) -> Resources {
        let own = Resources::from_messages(&self.info.resources).unwrap_or_default();
        own.with_checkpointed(&self.checkpointed).unwrap_or(own)
    }

    /// Whether what is reserved or a volume among these is so here too: an operation before them may have been dropped
    /// (Slave::run, "unknown to the agent").
    pub(crate) fn knows(&self, resources: Vec<mesos::Resource>) -> bool {
        let Ok(used) = Resources::from_messages(&resources) else { return true };
        self.total().contains(&used.to_checkpoint())
    }

    fn status(&self, operation: &mesos::offer::Operation, state: OperationState) -> OperationStatus {
        let mut status = OperationStatus {
            operation_id: operation.id.clone(),
            agent_id: self.info.id.clone(),
            ..Default::default()
        };
        status.set_state(state);
        status
    }

    pub(crate) fn apply_operation(
        &mut self,
        now: &mut Now<'_>,
        message: internal::ApplyOperationMessage,
        out: &mut Effects<Effect>,
    ) {
        let uuid = message.operation_uuid.value.clone();
        if self.operations.contains_key(&uuid) || self.operations_done.contains(&uuid) {
            // The master repeats itself.
            self.counters.messages_dropped += 1;
            return;
        }
        if let Some(why) = self.no_room_for(message.framework_id.as_ref()) {
            self.counters.messages_dropped += 1;
            self.drop_operation(message, why, out);
            return;
        }
        let info = message.operation_info;
        let total = self.total();
        let mut after = total.clone();
        let conversion = Conversion::of(&info);
        let fits = conversion.as_ref().is_some_and(|c| after.subtract(&c.consumed).is_ok());
        let mut operation = Operation {
            framework_id: message.framework_id,
            agent_id: self.info.id.clone(),
            latest_status: self.status(&info, OperationState::OperationPending),
            info,
            statuses: Vec::new(),
            uuid: message.operation_uuid,
        };
        let meant = &message.resource_version_uuid.uuid.value;
        // What the agent says it has when it comes back is all of it: what was ordered before is not done after.
        let outdated = !meant.is_empty() && *meant != self.resource_version;
        let Some(conversion) = conversion.filter(|_| fits && !outdated) else {
            // Upstream's agent ends itself here.
            let why = match outdated {
                true => "Operation assumes outdated resource state",
                false => "The agent has not the resources that the operation takes",
            };
            if outdated {
                self.restate(now.time, out);
            }
            self.finish(now, &mut operation, OperationState::OperationDropped, Some(why));
            self.operations.insert(uuid, Pending::new(operation));
            return;
        };
        after += &conversion.converted;
        let (before, volumes) = (paths(&self.config.work_dir, &total), paths(&self.config.work_dir, &after));
        self.checkpointed = after.to_checkpoint();
        self.saves.push(records::resources(&self.checkpointed));
        if before.keys().eq(volumes.keys()) {
            self.finish(now, &mut operation, OperationState::OperationFinished, None);
        } else {
            // Whatever comes after it finds them made: effects keep their order.
            self.saves.push(records::operation(&operation));
            self.saves.then(Then::Volumes { operation: uuid.clone() });
        }
        self.operations.insert(uuid, Pending::new(operation));
    }

    /// Why no more operations of this framework are taken, if so: nobody acknowledges them.
    fn no_room_for(&self, framework: Option<&mesos::FrameworkId>) -> Option<String> {
        let why = |of: &str, max: usize, name: &str| {
            format!("{max} operations ({name}) {of} wait for the acknowledgement of their status")
        };
        if self.operations.len() >= OPERATIONS_MAX {
            return Some(why("on this agent", OPERATIONS_MAX, "OPERATIONS_MAX"));
        }
        if framework.is_none() || self.operations.len() < OPERATIONS_OF_FRAMEWORK_MAX {
            return None;
        }
        let theirs = self.operations.values().filter(|p| p.operation.framework_id.as_ref() == framework);
        (theirs.count() >= OPERATIONS_OF_FRAMEWORK_MAX)
            .then(|| why("of this framework", OPERATIONS_OF_FRAMEWORK_MAX, "OPERATIONS_OF_FRAMEWORK_MAX"))
    }

    /// An operation for which there is no room. Its status is not kept, so it asks for no acknowledgement; should it be
    /// lost, master and agent compare their operations at the next registration.
    fn drop_operation(
        &self,
        message: internal::ApplyOperationMessage,
        why: String,
        out: &mut Effects<Effect>,
    ) {
        let Some(master) = self.registration.master.clone() else { return };
        let mut status = self.status(&message.operation_info, OperationState::OperationDropped);
        status.message = Some(why);
        let message = internal::UpdateOperationStatusMessage {
            framework_id: message.framework_id,
            slave_id: self.info.id.clone(),
            status: status.clone(),
            latest_status: Some(status),
            operation_uuid: Some(message.operation_uuid),
        };
        self.say(master, message, out);
    }

    fn finish(
        &mut self,
        now: &mut Now<'_>,
        operation: &mut Operation,
        state: OperationState,
        why: Option<&str>,
    ) {
        let mut status = self.status(&operation.info, state);
        status.message = why.map(str::to_owned);
        status.uuid = Some(mesos::Uuid { value: now.rng.uuid().as_bytes().to_vec() });
        operation.latest_status = status.clone();
        operation.statuses.push(status);
        self.saves.push(records::operation(operation));
        self.saves.then(Then::SayOperation { operation: operation.uuid.value.clone() });
    }

    /// An operation is durable: its volumes are made and removed.
    pub(crate) fn change_volumes(&mut self, uuid: &[u8], out: &mut Effects<Effect>) {
        let Some(pending) = self.operations.get(uuid).filter(|p| !is_over(&p.operation)) else { return };
        let Some(conversion) = Conversion::of(&pending.operation.info) else { return };
        let work_dir = &self.config.work_dir;
        let (before, after) = (paths(work_dir, &conversion.consumed), paths(work_dir, &conversion.converted));
        let make = after.keys().filter(|path| !before.contains_key(*path)).cloned().collect();
        let gone = before.into_iter().filter(|(path, _)| !after.contains_key(path));
        let remove = gone.map(|(path, keep_root)| Removal { path, keep_root }).collect();
        out.push(Effect::Volumes { operation: uuid.to_vec(), make, remove });
    }

    pub(crate) fn volumes_changed(&mut self, now: &mut Now<'_>, uuid: &[u8], outcome: Result<(), String>) {
        let Some(pending) = self.operations.get(uuid).filter(|p| !is_over(&p.operation)) else { return };
        let mut operation = pending.operation.clone();
        match outcome {
            Ok(()) => self.finish(now, &mut operation, OperationState::OperationFinished, None),
            Err(why) => {
                // Upstream's agent ends itself here. The master takes back what it had taken as done.
                if let Some(conversion) = Conversion::of(&operation.info) {
                    let mut total = self.total();
                    if total.subtract(&conversion.converted).is_ok() {
                        total += &conversion.consumed;
                        self.checkpointed = total.to_checkpoint();
                        self.saves.push(records::resources(&self.checkpointed));
                    }
                }
                self.finish(now, &mut operation, OperationState::OperationFailed, Some(&why));
            }
        }
        if let Some(pending) = self.operations.get_mut(uuid) {
            pending.operation = operation;
        }
    }

    /// A status may be said.
    pub(crate) fn say_operation(&mut self, uuid: &[u8], now: Time, out: &mut Effects<Effect>) {
        let Some(pending) = self.operations.get_mut(uuid).filter(|p| is_over(&p.operation)) else { return };
        pending.durable = true;
        let Some(master) = self.registration.master.clone().filter(|_| self.registration.registered) else {
            // once it is registered all of them are said again
            pending.retry_at = None;
            return;
        };
        pending.retry_at = Some(now + pending.retry_after);
        pending.retry_after = (pending.retry_after * 2).min(RETRY_MAX);
        let message = internal::UpdateOperationStatusMessage {
            framework_id: pending.operation.framework_id.clone(),
            slave_id: self.info.id.clone(),
            status: pending.operation.latest_status.clone(),
            latest_status: Some(pending.operation.latest_status.clone()),
            operation_uuid: Some(pending.operation.uuid.clone()),
        };
        self.say(master, message, out);
    }

    pub(crate) fn operations_due(&mut self, now: Time, out: &mut Effects<Effect>) {
        let due = |p: &&Pending| p.retry_at.is_some_and(|at| at <= now);
        let all: Vec<_> =
            self.operations.values().filter(due).map(|p| p.operation.uuid.value.clone()).collect();
        all.iter().for_each(|uuid| self.say_operation(uuid, now, out));
    }

    pub(crate) fn operations_deadline(&self) -> Option<Time> {
        self.operations.values().filter_map(|p| p.retry_at).min()
    }

    /// After a (re)registration every status is said again.
    pub(crate) fn resend_operations(&mut self, now: Time, out: &mut Effects<Effect>) {
        let durable = self.operations.values().filter(|p| p.durable);
        let all: Vec<_> = durable.map(|p| p.operation.uuid.value.clone()).collect();
        for uuid in all {
            if let Some(pending) = self.operations.get_mut(&uuid) {
                pending.retry_after = RETRY_FIRST;
            }
            self.say_operation(&uuid, now, out);
        }
    }

    pub(crate) fn operation_acknowledged(&mut self, message: &internal::AcknowledgeOperationStatusMessage) {
        let uuid = &message.operation_uuid.value;
        let Some(pending) = self.operations.get(uuid) else { return };
        if pending.operation.latest_status.uuid.as_ref() == Some(&message.status_uuid) {
            self.operations.remove(uuid);
            if self.operations_done.len() == DONE_MAX {
                self.operations_done.pop_front();
            }
            self.operations_done.push_back(uuid.clone());
            self.saves.push(records::forget_operation(uuid));
        }
    }

    /// Operations that the master, or a framework through it, asks about.
    pub(crate) fn reconcile_operations(
        &self,
        message: &internal::ReconcileOperationsMessage,
        out: &mut Effects<Effect>,
    ) {
        let Some(master) = self.registration.master.clone() else { return };
        let asked_by = message.framework_id.as_ref();
        let is_meant = |asked: &reconcile_operations_message::Operation, known: &Operation| {
            let named = asked.operation_id.is_some()
                && asked.operation_id == known.info.id
                && asked_by == known.framework_id.as_ref();
            asked.operation_uuid.as_ref() == Some(&known.uuid) || named
        };
        for asked in &message.operations {
            let known = self.operations.values().map(|p| &p.operation).find(|o| is_meant(asked, o));
            let mut status = match (known, asked_by) {
                (Some(known), Some(_)) => OperationStatus { uuid: None, ..known.latest_status.clone() },
                // Master and agent agree.
                (Some(_), None) => continue,
                (None, None) => self.status(&Default::default(), OperationState::OperationDropped),
                (None, Some(_)) => self.status(&Default::default(), OperationState::OperationUnknown),
            };
            status.operation_id = status.operation_id.or_else(|| asked.operation_id.clone());
            let message = internal::UpdateOperationStatusMessage {
                framework_id: asked_by.cloned(),
                slave_id: self.info.id.clone(),
                status,
                latest_status: None,
                operation_uuid: asked.operation_uuid.clone(),
            };
            self.say(master.clone(), message, out);
        }
    }

    /// What a master that knows no operations on agents says its reservations and volumes are.
    pub(crate) fn checkpoint_resources(
        &mut self,
        message: &internal::CheckpointResourcesMessage,
        out: &mut Effects<Effect>,
    ) {
        let own = Resources::from_messages(&self.info.resources).unwrap_or_default();
        let told = Resources::from_messages(&message.resources).ok();
        let Some(told) = told.filter(|told| own.with_checkpointed(told).is_some()) else {
            self.counters.messages_dropped += 1;
            return;
        };
        let work_dir = &self.config.work_dir;
        let (before, after) = (paths(work_dir, &self.checkpointed), paths(work_dir, &told));
        let make = after.keys().filter(|path| !before.contains_key(*path)).cloned().collect();
        let gone = before.into_iter().filter(|(path, _)| !after.contains_key(path));
        let remove = gone.map(|(path, keep_root)| Removal { path, keep_root }).collect();
        self.checkpointed = told;
        self.saves.push(records::resources(&self.checkpointed));
        out.push(Effect::Volumes { operation: Vec::new(), make, remove });
    }

    /// Operations of before a restart go on where they were.
    pub(crate) fn operations_recovered(&mut self, out: &mut Effects<Effect>) {
        let all: Vec<_> = self.operations.keys().cloned().collect();
        all.iter().for_each(|uuid| self.change_volumes(uuid, out));
    }

    /// As the master hears of them when it comes back.
    pub(crate) fn operations_for_master(&self) -> Vec<Operation> {
        self.operations.values().map(|p| p.operation.clone()).collect()
    }

    /// Operations that are not acknowledged.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.operations.values().map(|p| &p.operation)
    }
}
