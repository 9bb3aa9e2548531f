//! What an agent that comes back lists, against what is known of it: which tasks and executors are taken in, which are
//! ended, about which the agent is asked, what it may not have heard. Never anything else of the return (`agents`).

use crate::{
    Effect, Framework, Master,
    agents::{Gone, allocate_to},
    is_terminal,
    speak::{NOBODY, pid_of},
    updates,
};
use base::{Effects, Time};
use model::mesos::{AgentId, ExecutorInfo, FrameworkId, Task, TaskId, internal, task_status::Reason};
use std::collections::{BTreeMap, BTreeSet};

impl Master {
    /// Compares the tasks that an agent lists with those that are known of it. Which it lacks, and which frameworks it is
    /// to shut down.
    pub(crate) fn take_in_tasks(
        &mut self,
        id: &str,
        listed: Vec<Task>,
        gone: &Gone,
        now: Time,
        out: &mut Effects<Effect>,
    ) -> (Vec<internal::ReconcileTasksMessage>, BTreeSet<String>) {
        let mut kept = BTreeSet::new();
        let mut shut_down = BTreeSet::new();
        let mut overtaken = Vec::new();
        for mut task in listed {
            let framework_id = task.framework_id.value.clone();
            let task_id = task.task_id.value.clone();
            let Some(framework) = self.frameworks.get_mut(&framework_id) else {
                shut_down.insert(framework_id);
                continue;
            };
            if gone.away && !framework.info.checkpoint() {
                // It was told that the task is lost: it may not come back.
                shut_down.insert(framework_id);
                continue;
            }
            allocate_to(&mut task.resources, framework);
            let agent_id = AgentId { value: id.to_owned() };
            // It speaks for itself alone, whatever it writes.
            task.agent_id.clone_from(&agent_id);
            let over = framework.heard_the_end(&task_id, Some(&agent_id));
            match framework.tasks.get_mut(&task_id) {
                Some(known) if known.agent_id != agent_id => {
                    // The id was used again elsewhere while the agent was away; two tasks of one id there are not.
                    overtaken.push((framework_id, task_id));
                    continue;
                }
                Some(known) => {
                    // The list may be older than what was heard since.
                    if !is_terminal(known.state()) && is_terminal(task.state()) {
                        known.set_state(task.state());
                    }
                }
                None if over => {
                    // Older than the acknowledgement; if that was lost, the agent repeats the update by itself.
                    continue;
                }
                None => {
                    let unreachable = framework.unreachable_tasks.remove(&task_id);
                    if let Some(known) = unreachable {
                        // What an agent leaves out is as it was known.
                        if task.statuses.is_empty() {
                            task.statuses = known.statuses;
                        }
                        task.status_update_state = task.status_update_state.or(known.status_update_state);
                        task.status_update_uuid = task.status_update_uuid.or(known.status_update_uuid);
                    }
                    framework.completed_tasks.retain(|_, t| t.task_id.value != task_id);
                    framework.tasks.insert(task_id.clone(), task.clone());
                }
            }
            kept.insert((framework_id.clone(), task_id.clone()));
            if gone.unreachable {
                let mut status = updates::of_master(&task, task.state(), now);
                status.message = Some("Unreachable agent re-reregistered".to_owned());
                status.set_reason(Reason::AgentReregistered);
                self.say(&framework_id, status, Some(NOBODY), out);
            }
        }
        // What it does not have any more is not unreachable: asked about, it is gone.
        // Only an agent that could not be reached has such.
        let there = |f: &&Framework| {
            gone.unreachable && f.unreachable_tasks.values().any(|task| task.agent_id.value == id)
        };
        let some: Vec<String> = self.frameworks.values().filter(there).map(|f| f.id().to_owned()).collect();
        for framework in some {
            if let Some(framework) = self.frameworks.get_mut(&framework) {
                framework.unreachable_tasks.retain(|_, task| task.agent_id.value != id);
            }
        }
        let Some(agent) = self.agents.get_mut(id) else { return (Vec::new(), shut_down) };
        let before = std::mem::replace(&mut agent.tasks, kept.clone());
        if let Some(agent) = self.agents.get(id) {
            for (framework, task) in overtaken {
                let (framework_id, task_id) = (FrameworkId { value: framework }, TaskId { value: task });
                let kill = internal::KillTaskMessage { framework_id, task_id, kill_policy: None };
                self.tell(agent, kill, out);
            }
        }
        let mut missing: BTreeMap<String, internal::ReconcileTasksMessage> = BTreeMap::new();
        for (framework_id, task_id) in before.difference(&kept) {
            let Some(framework) = self.frameworks.get_mut(framework_id) else { continue };
            let Some(task) = framework.tasks.get(task_id) else { continue };
            if is_terminal(task.state()) {
                // An agent forgets what was acknowledged, and nothing else.
                if let Some(task) = framework.tasks.remove(task_id) {
                    framework.complete(task, self.config.completed_tasks_max);
                }
                continue;
            }
            let mut status = updates::of_master(task, task.state(), now);
            status.message = Some("Reconciliation request".to_owned());
            status.set_reason(Reason::Reconciliation);
            let asked =
                missing.entry(framework_id.clone()).or_insert_with(|| internal::ReconcileTasksMessage {
                    framework_id: FrameworkId { value: framework_id.clone() },
                    framework: Some(framework.info.clone()),
                    ..Default::default()
                });
            asked.statuses.push(status);
            if let Some(agent) = self.agents.get_mut(id) {
                agent.tasks.insert((framework_id.clone(), task_id.clone()));
            }
        }
        let missing = missing.into_values().collect();
        (missing, shut_down)
    }

    /// Executors that an agent lists. Those of ended frameworks are shut down with their framework.
    pub(crate) fn take_in_executors(&mut self, id: &str, listed: Vec<ExecutorInfo>) {
        for mut executor in listed {
            let Some(framework) = executor.framework_id.as_ref().map(|id| id.value.clone()) else { continue };
            let Some(known) = self.frameworks.get(&framework) else { continue };
            allocate_to(&mut executor.resources, known);
            self.note_executor(&framework, id, executor);
        }
    }

    /// Kills that the agent may not have heard.
    ///
    /// apache/mesos@c1b42f79:src/master/master.cpp (`reconcileKnownSlave`).
    pub(crate) fn kill_again(&self, id: &str, out: &mut Effects<Effect>) {
        let Some(agent) = self.agents.get(id) else { return };
        for ((framework, task), policy) in &agent.killed {
            let known = self.frameworks.get(framework).and_then(|f| f.tasks.get(task));
            if known.is_some_and(|t| !is_terminal(t.state())) {
                let kill = internal::KillTaskMessage {
                    framework_id: FrameworkId { value: framework.clone() },
                    task_id: TaskId { value: task.clone() },
                    kill_policy: *policy,
                };
                self.tell(agent, kill, out);
            }
        }
    }

    /// The agent learns what connected frameworks with tasks on it say of themselves now.
    pub(crate) fn refresh_frameworks_on(&self, id: &str, out: &mut Effects<Effect>) {
        let Some(agent) = self.agents.get(id) else { return };
        let executors = agent.executors.keys().map(|(f, _)| f.as_str());
        let ids: BTreeSet<&str> = agent.tasks.iter().map(|(f, _)| f.as_str()).chain(executors).collect();
        for framework in
            ids.into_iter().filter_map(|f| self.frameworks.get(f)).filter(|f| f.session.is_some())
        {
            let message = internal::UpdateFrameworkMessage {
                framework_id: FrameworkId { value: framework.id().to_owned() },
                pid: Some(pid_of(framework)),
                framework_info: Some(framework.info.clone()),
            };
            self.tell(agent, message, out);
        }
    }
}
