//! What always holds, one function each. All of it is checked after each step of a simulation.

use crate::{Agent, state::is_terminal};

pub(crate) fn all(agent: &Agent) {
    containers_are_known_on_both_sides(agent);
    updates_stay_in_order(agent);
    an_ended_task_waits_only_for_its_acknowledgement(agent);
    tasks_have_their_executor(agent);
    guests_are_nobody_elses(agent);
    deadlines_are_at_hand(agent);
}

fn deadlines_are_at_hand(agent: &Agent) {
    assert!(agent.tasks.is_settled(), "the deadlines of tasks are not those at hand");
    assert!(agent.executors.is_settled(), "the deadlines of executors are not those at hand");
}

fn tasks_have_their_executor(agent: &Agent) {
    for task in agent.tasks.values().filter(|t| t.runner != crate::Runner::Agent) {
        let key = (task.framework.clone(), task.executor_id().to_owned());
        assert!(agent.executors.contains_key(&key), "task {} without its executor {}", task.id(), key.1);
    }
    for (container, key) in &agent.executor_containers {
        let executor = agent.executors.get(key);
        assert!(
            executor.is_some_and(|e| e.container == *container),
            "container {container} without its executor"
        );
    }
}

fn guests_are_nobody_elses(agent: &Agent) {
    for (container, guest) in &agent.guests {
        assert!(guest.container == *container, "guest {container} under another name");
        let taken =
            agent.containers.contains_key(container) || agent.executor_containers.contains_key(container);
        assert!(!taken, "container {container} is a task's or an executor's, and a client's");
    }
}

fn containers_are_known_on_both_sides(agent: &Agent) {
    for (container, key) in &agent.containers {
        let task = agent.tasks.get(key);
        assert!(
            task.is_none_or(crate::Task::is_played),
            "container {container} is an executor's, not its task's"
        );
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
    for task in agent.tasks.values().filter(|t| t.ended && !t.ghost) {
        assert!(is_terminal(task.state), "task {} has no container and is not over", task.id());
        assert!(task.has_pending(), "task {} is over and nobody will forget it", task.id());
    }
}
