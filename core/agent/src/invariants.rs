//! What always holds, one function each. All of it is checked after each step of a simulation.

use crate::{Agent, state::is_terminal};

pub(crate) fn all(agent: &Agent) {
    containers_are_known_on_both_sides(agent);
    updates_stay_in_order(agent);
    an_ended_task_waits_only_for_its_acknowledgement(agent);
}

fn containers_are_known_on_both_sides(agent: &Agent) {
    for (container, key) in &agent.containers {
        let task = agent.tasks.get(key);
        assert!(task.is_some_and(|t| t.container == *container), "container {container} without its task");
    }
}

fn updates_stay_in_order(agent: &Agent) {
    for task in agent.tasks.values() {
        let numbers: Vec<_> = task.pending.iter().map(|p| p.number).collect();
        assert!(numbers.is_sorted(), "updates of task {} are out of order: {numbers:?}", task.id());
        let durable: Vec<_> = task.pending.iter().map(|p| !p.durable).collect();
        assert!(durable.is_sorted(), "an update of task {} is durable before an earlier one", task.id());
        assert!(!task.silent || !task.has_pending(), "task {} speaks though nobody asks", task.id());
    }
}

fn an_ended_task_waits_only_for_its_acknowledgement(agent: &Agent) {
    for task in agent.tasks.values().filter(|t| t.ended) {
        assert!(is_terminal(task.state), "task {} has no container and is not over", task.id());
        assert!(task.has_pending(), "task {} is over and nobody will forget it", task.id());
    }
}
