//! An agent that is to be emptied: its tasks are killed, it takes no others, and what ends says why. Never when the master
//! takes it for drained.
//!
//! apache/mesos@c1b42f79:src/slave/slave.cpp (`drain`, `statusUpdate`, `updateDrainStatus`).

use crate::{Agent, Effect, launch, records, state::is_terminal};
use base::{Effects, Now, Time};
use model::mesos::{
    DrainConfig, FrameworkId, KillPolicy, TaskId, TaskState, TaskStatus, internal::KillTaskMessage,
    internal::ResourceVersionUuid, task_status::Reason,
};

/// How an agent is being emptied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draining {
    /// As the operator said.
    pub config: DrainConfig,
    /// When it began, or when it was known again after a restart.
    pub since: Time,
}

impl Agent {
    /// Whether and how it is being emptied.
    pub fn draining(&self) -> Option<&Draining> {
        self.draining.as_ref()
    }

    fn is_empty(&self) -> bool {
        self.frameworks.is_empty() && self.tasks.is_empty() && self.operations.is_empty()
    }

    pub(crate) fn drain(&mut self, now: &mut Now<'_>, config: DrainConfig, out: &mut Effects<Effect>) {
        if self.is_empty() {
            return;
        }
        if self.draining.is_none_or(|known| known.config != config) {
            self.saves.push(records::draining(&config));
            self.draining = Some(Draining { config, since: now.time });
        }
        let live = self.tasks.iter().filter(|(_, t)| !is_terminal(t.state));
        let kills: Vec<_> = live
            .map(|((framework, id), task)| KillTaskMessage {
                framework_id: FrameworkId { value: framework.clone() },
                task_id: TaskId { value: id.clone() },
                kill_policy: shortened(&config, task.info.kill_policy),
            })
            .collect();
        for kill in kills {
            self.kill_by(now, &kill, true, out);
        }
    }

    /// Nothing is left: the next tasks are welcome, if the master sends any.
    pub(crate) fn look_whether_drained(&mut self) {
        if self.draining.is_some() && self.registration.recovered && self.is_empty() {
            self.draining = None;
            self.saves.push(records::drained());
        }
    }

    /// A task that was killed says that it made room; one that can't come back says that too.
    pub(crate) fn say_draining(&self, framework: &str, status: &mut TaskStatus) {
        let Some(draining) = &self.draining else { return };
        if !matches!(status.state(), TaskState::TaskKilling | TaskState::TaskKilled) {
            return;
        }
        status.set_reason(Reason::AgentDraining);
        let aware = self.frameworks.get(framework).is_some_and(|f| launch::is_partition_aware(&f.info));
        // Upstream calls a task gone that is only being killed: it would be free while it runs.
        if draining.config.mark_gone() && aware && status.state() == TaskState::TaskKilled {
            status.set_state(TaskState::TaskGoneByOperator);
        }
    }

    /// Why tasks are not started whatever they are.
    pub(crate) fn unwelcome(&self, versions: &[ResourceVersionUuid]) -> Option<(Reason, &'static str)> {
        if self.draining.is_some() {
            return Some((Reason::AgentDraining, "Task was received while agent was already draining"));
        }
        self.outdated(versions).map(|why| (Reason::InvalidOffers, why))
    }
}

/// A task's own grace period counts if it is the shorter one.
fn shortened(config: &DrainConfig, own: Option<KillPolicy>) -> Option<KillPolicy> {
    let most = config.max_grace_period?;
    let own = own.and_then(|policy| policy.grace_period);
    let longer = own.is_none_or(|own| most.nanoseconds < own.nanoseconds);
    longer.then_some(KillPolicy { grace_period: Some(most) })
}
