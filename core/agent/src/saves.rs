//! What waits to be durable, and what follows then.
//!
//! One batch is under way at a time, made of whole steps in their order; a refused one is tried again as it was. So what
//! is durable is always the state after some step, and a full disk costs time but no word. What nobody waits for goes
//! along with the next batch that somebody waits for, or alone a moment later.

use crate::{Agent, Effect};
use base::{Duration, Effects, Now, Time};
use model::{
    container::ContainerId,
    save::{Change, SaveId},
};
use std::collections::VecDeque;

/// Changes that are gathered into one batch; a step with more makes a batch of its own.
const BATCH_CHANGES_MAX: usize = 4096;
/// How long a step may wait for company that only says what is not needed any more. A crash before it is durable brings an
/// acknowledged update back, as one does whose acknowledgement was lost on its way.
const LATER: Duration = Duration::from_millis(10);
/// A refused batch is tried again after this.
pub const SAVE_RETRY: Duration = Duration::from_secs(1);

/// What may happen only once a change is durable.
#[derive(Clone, Debug)]
pub(crate) enum Then {
    /// The update of this number may be said.
    Say { task: (String, String), number: u64 },
    /// An acknowledgement is not forgotten any more: the next update may be said.
    Acknowledged { task: (String, String) },
    /// The task may be launched.
    Launch { task: (String, String) },
    /// The executor may be started.
    Start { executor: (String, String) },
    /// The container that a client asked for may be made.
    Invite { container: ContainerId },
    /// The volumes of an operation may be made and removed.
    Volumes { operation: Vec<u8> },
    /// The status of an operation may be said.
    SayOperation { operation: Vec<u8> },
    /// The launcher may forget the container: it is not in the records any more.
    Forget { container: ContainerId },
    /// The queued tasks of this number may be handed over.
    Deliver { executor: (String, String), number: u64 },
}

#[derive(Debug, Default)]
struct Batch {
    changes: Vec<Change>,
    then: Vec<Then>,
}

/// Changes on their way to the disk.
#[derive(Debug, Default)]
pub(crate) struct Saves {
    next: u64,
    /// Of the step that is being taken.
    step: Batch,
    /// Of earlier steps, one each.
    waiting: VecDeque<Batch>,
    /// Somebody waits for what waits, or for what this step changes.
    urgent: bool,
    /// When what waits goes though nobody waits for it.
    later_at: Option<Time>,
    under_way: Option<(SaveId, Batch)>,
    retry_at: Option<Time>,
}

impl Saves {
    /// Makes a change durable with everything else that this step changes.
    pub fn push(&mut self, change: Change) {
        self.urgent = true;
        self.step.changes.push(change);
    }
    /// What may happen once this step is durable.
    pub fn then(&mut self, then: Then) {
        self.urgent = true;
        self.step.then.push(then);
    }
    /// Several changes.
    pub fn extend(&mut self, changes: impl IntoIterator<Item = Change>) {
        changes.into_iter().for_each(|change| self.push(change));
    }
    /// A change that nobody waits for.
    pub fn later(&mut self, change: Change) {
        self.step.changes.push(change);
    }
    /// What may happen, some time, once this step is durable.
    pub fn then_later(&mut self, then: Then) {
        self.step.then.push(then);
    }
    /// When a refused batch is tried again, or what can wait has waited.
    pub fn deadline(&self) -> Option<(Time, &'static str)> {
        let later = self.later_at.map(|at| (at, "a save that can wait"));
        let retry = self.retry_at.map(|at| (at, "a refused save"));
        // Its completion is the next to happen.
        retry.or(later).filter(|_| self.under_way.is_none())
    }
}

impl Agent {
    /// Ends a step: hands on what it changed, if nothing is under way.
    pub(crate) fn flush(&mut self, now: Time, out: &mut Effects<Effect>) {
        let saves = &mut self.saves;
        if !saves.step.changes.is_empty() {
            saves.waiting.push_back(std::mem::take(&mut saves.step));
        }
        if saves.waiting.is_empty() {
            saves.urgent = false;
            return;
        }
        let later_at = *saves.later_at.get_or_insert(now + LATER);
        if saves.under_way.is_some()
            || saves.retry_at.is_some_and(|at| at > now)
            || (!saves.urgent && later_at > now)
        {
            return;
        }
        saves.retry_at = None;
        let Some(mut batch) = saves.waiting.pop_front() else { return };
        while let Some(more) = saves.waiting.front()
            && batch.changes.len() + more.changes.len() <= BATCH_CHANGES_MAX
            && let Some(more) = saves.waiting.pop_front()
        {
            batch.changes.extend(more.changes);
            batch.then.extend(more.then);
        }
        if saves.waiting.is_empty() {
            (saves.urgent, saves.later_at) = (false, None);
        }
        let save = SaveId(saves.next);
        saves.next += 1;
        out.push(Effect::Save { save, batch: batch.changes.clone() });
        saves.under_way = Some((save, batch));
    }

    pub(crate) fn saved(&mut self, save: SaveId, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        let Some((_, batch)) = self.saves.under_way.take_if(|(id, _)| *id == save) else { return };
        for then in batch.then {
            match then {
                Then::Launch { task } => self.launch(now, &task, out),
                Then::Forget { container } => out.push(Effect::Forget { container }),
                Then::Start { executor } => self.start_executor(&executor, out),
                Then::Invite { container } => self.invite(&container, out),
                Then::Volumes { operation } => self.change_volumes(&operation, out),
                Then::SayOperation { operation } => self.say_operation(&operation, now.time, out),
                Then::Deliver { executor, number } => self.queued_is_durable(now, &executor, number, out),
                Then::Acknowledged { task: key } => {
                    if let Some(task) = self.tasks.get_mut(&key) {
                        task.held = false;
                        self.send_first(&key, false, now.time, out);
                    }
                }
                Then::Say { task: key, number } => {
                    self.update_is_durable(&key, number, now.time, out);
                }
            }
        }
    }

    /// The disk refused: the same again, a little later.
    pub(crate) fn save_failed(&mut self, save: SaveId, now: Time) {
        let Some((_, batch)) = self.saves.under_way.take_if(|(id, _)| *id == save) else { return };
        self.counters.saves_failed += 1;
        self.saves.waiting.push_front(batch);
        self.saves.urgent = true;
        self.saves.retry_at = Some(now + SAVE_RETRY);
    }
}
