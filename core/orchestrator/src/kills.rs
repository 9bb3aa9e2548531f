//! Ending instances: said to the master, and said again until the task is gone. Never decides which ones.

use crate::{
    Orchestrator,
    config::KILL_RETRY,
    instances::{Instance, Standing, kill_order},
    spec::Spec,
    timers::Due,
};
use base::Time;
use model::mesos::{
    AgentId, TaskId,
    scheduler::{Call, call},
};
use std::collections::{BTreeMap, VecDeque};

/// By group, those in it, the first to go first.
type Lines<'a> = BTreeMap<Vec<Option<&'a String>>, VecDeque<&'a Instance>>;

/// Which of these go first: sick ones before well ones, those of other versions, then those of the fullest group where
/// instances are to be spread, then by age (Constraints.selectInstancesToKill).
pub(crate) fn choose<'a>(
    candidates: impl Iterator<Item = &'a Instance>,
    spec: &Spec,
    count: usize,
    standing: impl Fn(&Instance) -> Standing,
) -> Vec<String> {
    let mut all: Vec<_> = candidates.map(|i| (kill_order(i, standing(i), spec), i)).collect();
    all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let spread: Vec<&str> = spec.spread().filter(|c| c.evens_out()).map(|c| c.field.as_str()).collect();
    if spread.is_empty() {
        return all.into_iter().take(count).map(|(_, instance)| instance.id.clone()).collect();
    }
    let place = |instance: &'a Instance| -> Vec<Option<&'a String>> {
        spread.iter().map(|field| instance.placed.get(*field)).collect()
    };
    let mut held: BTreeMap<_, usize> = BTreeMap::new();
    all.iter().for_each(|(_, instance)| *held.entry(place(instance)).or_default() += 1);
    // by how sick they are, then by group: each group a line from the first to go to the last
    let mut lines: BTreeMap<(Standing, bool, u8), Lines<'_>> = BTreeMap::new();
    for ((standing, current, rank, ..), instance) in all {
        lines
            .entry((standing, current, rank))
            .or_default()
            .entry(place(instance))
            .or_default()
            .push_back(instance);
    }
    let mut chosen = Vec::new();
    for groups in lines.values_mut() {
        while chosen.len() < count {
            groups.retain(|_, line| !line.is_empty());
            let fullest = groups.keys().max_by_key(|group| held.get(*group).copied().unwrap_or(0)).cloned();
            let Some(group) = fullest else { break };
            let Some(instance) = groups.get_mut(&group).and_then(VecDeque::pop_front) else { break };
            held.entry(group).and_modify(|held| *held -= 1);
            chosen.push(instance.id.clone());
        }
    }
    chosen
}

impl Orchestrator {
    /// Ends an instance; its place counts as taken until it is gone.
    pub(crate) fn kill(&mut self, now: Time, id: &str) {
        let found = self.instances.get(id).filter(|instance| !instance.rests());
        let Some(mut instance) = found.cloned() else { return };
        let again = std::mem::replace(&mut instance.ending, true);
        if again && instance.killed_at.is_some_and(|at| at + KILL_RETRY.as_millis() as u64 > now.as_millis())
        {
            return;
        }
        instance.killed_at = Some(now.as_millis());
        self.stop_checks(&instance);
        self.dirty.insert(instance.app.clone());
        let tasks: Vec<String> = instance.tasks().into_iter().cloned().collect();
        let agent = instance.agent.clone();
        if again {
            self.instances.insert(instance);
        } else {
            self.put_instance(instance);
        }
        if self.session.subscribed {
            tasks.iter().for_each(|task| self.send_kill(task, Some(&agent)));
        }
        self.timers.set(Due::Kill(id.to_owned()), now + KILL_RETRY);
    }

    /// A kill was not answered by an end, or could not be said yet.
    pub(crate) fn kill_again(&mut self, now: Time, id: &str) {
        if self.instances.get(id).is_some_and(|instance| instance.ending) {
            self.instances.update(id, |instance| instance.killed_at = None);
            self.kill(now, id);
        }
    }

    pub(crate) fn send_kill(&mut self, task: &str, agent: Option<&str>) {
        let kill = call::Kill {
            task_id: TaskId { value: task.to_owned() },
            agent_id: agent.map(|value| AgentId { value: value.to_owned() }),
            ..Default::default()
        };
        self.call(Call { r#type: Some(call::Type::Kill as i32), kill: Some(kill), ..Default::default() });
    }
}
