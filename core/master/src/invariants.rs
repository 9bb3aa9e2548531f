//! What always holds, one function each. All of it is checked after each step of a simulation.

use crate::{Master, Tables as _};

pub(crate) fn all(master: &Master) {
    nothing_is_promised_twice(master);
    offers_are_known_on_both_sides(master);
    tasks_are_known_on_both_sides(master);
    executors_and_operations_are_known_on_both_sides(master);
    master.inverse.check(|framework, agent| {
        let listens = master.frameworks.get(framework).is_some_and(crate::Framework::is_active);
        listens && master.agents.get(agent).is_some_and(|agent| master.is_active(agent))
    });
    master.allocator.check();
}

/// Offered and used together are never more than an agent has. One that came back with less than its tasks use may use
/// more; nothing of what it lacks is offered.
fn nothing_is_promised_twice(master: &Master) {
    for (id, agent) in &master.agents {
        let (offered, used) = (master.offered_on(agent).not_shared(), master.used_on(agent).not_shared());
        assert!(
            agent.total.difference(&used).contains(&offered),
            "agent {id} has {}, {used} of it is used and {offered} offered",
            agent.total
        );
    }
}

fn offers_are_known_on_both_sides(master: &Master) {
    for (id, offer) in &master.offers {
        let framework = master.frameworks.get(&*offer.framework);
        assert!(
            framework.is_some_and(|f| f.offers.contains_key(id) && f.session.is_some()),
            "offer {id} without its framework"
        );
        let agent = master.agents.get(&*offer.agent);
        assert!(agent.is_some_and(|a| a.offers.contains(id) && a.connected), "offer {id} without its agent");
    }
}

fn tasks_are_known_on_both_sides(master: &Master) {
    for (id, agent) in &master.agents {
        for (framework, task) in &agent.tasks {
            let known = master.frameworks.get(framework).and_then(|f| f.tasks.get(task));
            assert!(
                known.is_some_and(|t| t.agent_id.value == *id),
                "agent {id} has task {task}, which is not there"
            );
        }
    }
}

fn executors_and_operations_are_known_on_both_sides(master: &Master) {
    for (id, agent) in &master.agents {
        for (framework, executor) in agent.executors.keys() {
            let known = master.frameworks.get(framework);
            assert!(
                known.is_some_and(|f| f.executors.contains_key(&(id.clone(), executor.clone()))),
                "agent {id} has executor {executor} of {framework}, which is not there"
            );
        }
        for (uuid, operation) in &agent.operations {
            let framework = operation.framework_id.as_ref().and_then(|id| master.frameworks.get(&id.value));
            assert!(
                framework.is_none_or(|f| f.operations.get(uuid) == Some(id)),
                "agent {id} has an operation that its framework does not know"
            );
        }
    }
    for (id, framework) in &master.frameworks {
        for (agent, executor) in framework.executors.keys() {
            let known = master.agents.get(agent);
            assert!(
                known.is_some_and(|a| a.executors.contains_key(&(id.clone(), executor.clone()))),
                "framework {id} has executor {executor}, which is not on {agent}"
            );
        }
        for (uuid, agent) in &framework.operations {
            let known = master.agents.get(agent);
            assert!(
                known.is_some_and(|a| a.operations.contains_key(uuid)),
                "framework {id} has a lost operation"
            );
        }
    }
}
