//! Instances with persistent volumes: they rest where their volumes are instead of being forgotten, and what nobody
//! needs any more is freed when it is offered.
//!
//! Never matches offers (`matching::residents`), and never says what Mesos is told of a volume (`volumes`).

use crate::{
    Orchestrator,
    config::{RECLAIM_FOR, RECLAIMED_AFTER},
    instances::{Condition, Instance, Rest},
    timers::Due,
};
use base::Time;
use model::mesos::{TaskState, TaskStatus};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A reservation that is to be freed once its agent offers it. The record `freeing/<instance>`: without it nobody would
/// ask for that agent's offers after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Residue {
    /// Where it is.
    pub agent: String,
    /// For which role.
    pub role: String,
    /// Since when it is to go, in ms since 1970.
    pub since: u64,
}

/// By instance.
pub(crate) type Residues = BTreeMap<String, Residue>;

impl Instance {
    /// Whether it has volumes that outlive its tasks.
    pub fn is_resident(&self) -> bool {
        !self.volumes.is_empty()
    }
    /// Whether it waits for its agent, with nothing running.
    pub fn rests(&self) -> bool {
        self.condition == Condition::Suspended
    }
}

/// Whether the agent has its task, and so its reservation and its volumes. That the master ordered it (TASK_STAGING) may
/// be all that ever was.
pub(crate) fn is_there(state: TaskState) -> bool {
    matches!(state, TaskState::TaskStarting | TaskState::TaskRunning | TaskState::TaskKilling)
}

/// Whether the agent must have had it.
fn was_there(end: &str) -> bool {
    matches!(end, "Finished" | "Failed" | "Killed")
}

impl Orchestrator {
    /// The tasks of an instance have ended: it is forgotten, or rests where its volumes are.
    pub(crate) fn part_with(&mut self, now: Time, status: &TaskStatus, instance: &Instance, end: &str) {
        let stays = instance.is_resident()
            && (instance.held || was_there(end))
            && !instance.wipe
            && status.state() != TaskState::TaskGoneByOperator
            && self.apps.get(&instance.app).is_some_and(|state| !state.spec.volumes.is_empty());
        if stays {
            self.rest(now, instance.clone(), status.state().as_str_name());
        } else {
            self.forget(&instance.id);
        }
    }

    /// Keeps an instance for its volumes.
    pub(crate) fn rest(&mut self, now: Time, instance: Instance, state: &str) {
        let id = instance.id.clone();
        self.timers.stop(&Due::Kill(id));
        self.stop_checks(&instance);
        let resting = Instance {
            condition: Condition::Suspended,
            ending: false,
            held: true,
            rest: Some(Rest { since: now.as_millis(), state: state.to_owned() }),
            unreachable_since: None,
            addresses: Vec::new(),
            healthy: None,
            ready: None,
            check_result: None,
            killed_at: None,
            checks: Vec::new(),
            ..instance
        };
        self.put_instance(resting.clone());
        self.watch(now, &resting);
        // what it needs may have been offered, and turned down, before its end was told
        self.session.revive = true;
        self.dirty.insert(resting.app);
    }

    /// Its definition says to do without its volumes after some time. One that nobody wants to run now may rest on.
    pub(crate) fn rests_too_long(&mut self, now: Time, instance: Instance) {
        if self.queue.get(&instance.app).is_some_and(|queued| queued.count > 0) {
            self.forget(&instance.id);
            return self.say_instance(now, &instance, "Gone");
        }
        let rest = instance.rest.clone().map(|rest| Rest { since: now.as_millis(), ..rest });
        self.instances.update(&instance.id, |instance| instance.rest.clone_from(&rest));
        self.watch(now, &Instance { rest, ..instance });
    }

    /// Ends an instance for good, with its volumes. One that can't be reached is forgotten, and killed if it comes back.
    pub(crate) fn wipe(&mut self, now: Time, id: &str) {
        let Some(instance) = self.instances.get(id).cloned() else { return };
        match instance.condition {
            Condition::Suspended | Condition::Unreachable | Condition::UnreachableInactive => {
                self.forget(id);
                self.say_instance(now, &instance, "Killed");
            }
            _ => {
                if instance.is_resident() {
                    self.put_instance(Instance { wipe: true, ..instance });
                }
                self.kill(now, id);
            }
        }
    }

    /// Lets go of all that rests of an app that has no volumes any more.
    pub(crate) fn forget_resting(&mut self, app: &str) {
        let resting: Vec<_> =
            self.instances.of_app(app).filter(|i| i.rests()).map(|i| i.id.clone()).collect();
        resting.iter().for_each(|id| self.forget(id));
    }

    /// What was reserved for an instance that is no more: it is wanted back.
    pub(crate) fn reclaim(&mut self, instance: &Instance) {
        let residue = Residue {
            agent: instance.agent.clone(),
            role: instance.role.clone(),
            since: self.now.as_millis(),
        };
        let record = serde_json::to_vec(&residue).unwrap_or_default();
        self.saves.put(format!("freeing/{}", instance.id), record);
        self.await_residue(instance.id.clone(), residue);
        self.session.revive = true;
    }

    /// It is looked for until it is offered, but not for ever: its agent may never come back.
    pub(crate) fn await_residue(&mut self, id: String, residue: Residue) {
        self.timers.set(Due::Reclaim(id.clone()), Time::from_millis(residue.since) + RECLAIM_FOR);
        self.residues.insert(id, residue);
        self.session.look = true;
    }

    /// The master was told to free it. Should it refuse, it is offered again, and freed again.
    pub(crate) fn freed(&mut self, id: &str) {
        if self.residues.contains_key(id) {
            self.timers.set(Due::Reclaim(id.to_owned()), self.now + RECLAIMED_AFTER);
        }
    }

    /// It is free, or nobody asks for it any more: what is offered of it later is freed all the same.
    pub(crate) fn drop_residue(&mut self, id: &str) {
        if self.residues.remove(id).is_some() {
            self.saves.delete(format!("freeing/{id}"));
            self.timers.stop(&Due::Reclaim(id.to_owned()));
            self.session.look = true;
        }
    }

    /// Whether a reservation for this instance on this agent is nobody's.
    pub(crate) fn is_residue(&self, id: &str, agent: &str) -> bool {
        self.instances.get(id).is_none_or(|instance| !instance.is_resident() || instance.agent != agent)
    }

    /// What an app that waits needs from agents that are away: for people.
    pub(crate) fn awaited(&self, app: &str) -> Option<String> {
        let queued = self.queue.get(app)?;
        let mut resting: Vec<_> = self.instances.of_app(app).filter(|i| i.rests()).collect();
        if resting.is_empty() || queued.spec.volumes.is_empty() {
            return None;
        }
        resting.sort_by_key(|i| i.rest.as_ref().map(|rest| rest.since));
        let one = |i: &Instance| {
            let since = i.rest.as_ref().map_or(0, |rest| rest.since);
            format!("{} (agent {}, since {})", i.host, i.agent, crate::when(since))
        };
        let all: Vec<_> = resting.iter().take(AWAITED_SHOWN_MAX).map(|i| one(i)).collect();
        let more = resting.len() - all.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Some(format!(
            "its persistent volumes are on {}{more}, which has not offered them since; DELETE its tasks with wipe=true to \
             give them up",
            all.join(", ")
        ))
    }
}

/// Agents named in the explanation of one waiting app.
const AWAITED_SHOWN_MAX: usize = 5;
