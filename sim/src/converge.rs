//! After the faults: within a bounded time the cluster must come to rest, and what everybody believes must be true.

use crate::{
    client::Promise,
    host::Stands,
    world::{Who, World},
};
use base::Duration;
use std::collections::BTreeSet;

/// Quiet after which everything must have come to rest: longer than the longest retry of an update (600 s) together
/// with the longest wait for an agent that stays away.
const REST: Duration = Duration::from_secs(45 * 60);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);

impl World {
    /// Faults off, then rest.
    pub fn converge(&mut self) {
        self.calm_down();
        let end = self.now + REST;
        let mut good = 0;
        let mut why = Vec::new();
        let mut at = self.now + LOOK;
        while self.now < end {
            while self.next_at() < at {
                self.turn();
            }
            self.now = at;
            at = self.now + LOOK;
            why = self.restless();
            good = if why.is_empty() { good + 1 } else { 0 };
            if good == 1 {
                let started = self.now;
                self.client.read_at = None;
                self.note(&format!("at rest since {}", started.as_millis()));
            }
            // what is read while something is being written promises nothing
            if good > 0 && self.client.read_at.is_none() {
                self.ask("GET", "/v2/apps".to_owned(), String::new(), None, Promise::Everything);
            }
            if good >= 3 && self.client.read_at.is_some() {
                return;
            }
        }
        panic!("not at rest {} min after the last fault: {}", REST.as_secs() / 60, why.join("; "));
    }

    /// Everything that keeps the cluster from being at rest.
    fn restless(&mut self) -> Vec<String> {
        let mut why = Vec::new();
        self.apps_at_rest(&mut why);
        self.tasks_at_rest(&mut why);
        self.volumes_at_rest(&mut why);
        for (who, common) in &self.commons {
            if common.disk.is_busy() {
                why.push(format!("the disk of {who} is busy"));
            }
        }
        for (who, channel) in &self.channels {
            if !channel.is_idle() {
                why.push(format!("{who} waits for the master"));
            }
            if channel.stream.is_none() {
                why.push(format!("{who} has no stream"));
            }
        }
        why
    }

    fn apps_at_rest(&mut self, why: &mut Vec<String>) {
        let now = self.local(Who::Orchestrator);
        let Some(machine) = self.orchestrator.as_ref() else { return why.push("no orchestrator".to_owned()) };
        if !machine.is_subscribed() {
            why.push("the orchestrator is not subscribed".to_owned());
        }
        if let Some(trouble) = machine.store_trouble() {
            why.push(format!("the orchestrator's store: {trouble}"));
        }
        for (id, state) in machine.apps() {
            let tally = machine.tally(id);
            let command = state.spec.cmd.clone().unwrap_or_default();
            let runs = self.really_running(id);
            let ends_itself = ["crash", "finish", "oom", "never"].iter().any(|c| command.starts_with(c));
            let waits = machine.why(id, now).filter(|w| w.waiting > 0);
            let explained = waits.as_ref().is_some_and(|w| {
                w.agents.iter().any(|a| !a.refusals.is_empty()) || w.backs_off_until.is_some()
            });
            if ends_itself {
                continue;
            }
            let deployment = machine.deployment_of(id);
            // it waits for somebody to go on or to go back
            if deployment.is_some_and(|deployment| deployment.paused().is_some()) {
                continue;
            }
            let resting = tally.resting > 0 && deployment.is_none_or(|d| d.is_changing(id));
            if let Some(waits) = waits.as_ref().filter(|w| resting && w.backs_off_until.is_none()) {
                why.push(format!("{id} waits though its volumes are there: {tally:?}, {waits:?}"));
            }
            if explained && (deployment.is_some() || runs < state.spec.instances) {
                continue;
            }
            if let Some(deployment) = deployment {
                // other apps of it may be what it waits for
                let others = deployment.target.keys().any(|other| other != id);
                if !others {
                    let of = format!("version {} of {}", state.spec.version, state.spec.config_version);
                    why.push(format!(
                        "{id} is still in deployment {}: {of}, {tally:?}, {waits:?}",
                        deployment.id
                    ));
                }
            } else if runs != state.spec.instances || tally.all - tally.resting != state.spec.instances {
                why.push(format!("{id} runs {runs} of {}: {tally:?}, {waits:?}", state.spec.instances));
            }
        }
        for instance in machine.instances() {
            if machine.app(&instance.app).is_none() && machine.deployment_of(&instance.app).is_none() {
                why.push(format!("{} has no app", instance.id));
            }
        }
    }

    fn tasks_at_rest(&mut self, why: &mut Vec<String>) {
        let Some(master) = self.master.as_ref() else { return why.push("no master".to_owned()) };
        let mut running = BTreeSet::new();
        for agent in self.agents.iter().flatten() {
            let id = agent.info().id.as_ref();
            let known = id.and_then(|id| master.agents().get(&id.value));
            let Some(known) = known else { continue };
            let (here, there) = (agent.total().to_checkpoint(), known.total.to_checkpoint());
            if here != there {
                why.push(format!("{} has {here} by its own account and {there} by the master's", known.id()));
            }
        }
        for (n, host) in self.hosts.iter().enumerate() {
            let Some(agent) = self.agents[n].as_ref() else {
                why.push(format!("agent{n} is down"));
                continue;
            };
            if !agent.is_registered() {
                why.push(format!("agent{n} is not registered"));
            }
            for task in agent.tasks().values().filter(|t| t.has_pending()) {
                why.push(format!("agent{n}: an update of {} waits", task.id()));
            }
            for (id, container) in &host.containers {
                let known = agent.tasks().get(&container.task).is_some_and(|t| t.container == *id);
                if !known {
                    why.push(format!("agent{n}: nobody knows the container of {}", container.task.1));
                }
                if container.stands == Stands::Running {
                    running.insert(container.task.clone());
                }
            }
            for (key, task) in agent.tasks() {
                let runs = host.containers.get(&task.container).is_some_and(|c| c.stands == Stands::Running);
                if !runs {
                    why.push(format!("agent{n}: {} has no container: {:?}", key.1, task.state));
                }
            }
            let id = agent.info().id.as_ref().map(|id| id.value.clone()).unwrap_or_default();
            if !master.agents().get(&id).is_some_and(|a| a.connected) {
                why.push(format!("agent{n} is not connected at the master"));
            }
        }
        let mut known = BTreeSet::new();
        for (framework, f) in master.frameworks() {
            for (task, t) in f.tasks.iter() {
                known.insert((framework.clone(), task.clone()));
                if !running.contains(&(framework.clone(), task.clone())) {
                    why.push(format!("master: {task} does not run, it is {:?}", t.state()));
                }
            }
            why.extend(f.unreachable_tasks.keys().map(|t| format!("master: {t} is unreachable")));
        }
        why.extend(
            running.difference(&known).map(|(_, t)| format!("{t} runs, and the master does not know it")),
        );
        let mut believed = BTreeSet::new();
        if let Some(machine) = self.orchestrator.as_ref()
            && let Some(framework) = machine.framework_id()
        {
            believed.extend(
                machine.instances().filter(|i| !i.rests()).map(|i| (framework.to_owned(), i.task.clone())),
            );
        }
        for plain in &self.plains {
            let Some(id) = &plain.id else { continue };
            for (task, t) in plain.tasks.iter().filter(|(_, t)| !t.over) {
                believed.insert((id.clone(), task.clone()));
                if t.state.is_none() {
                    why.push(format!("{task} was launched, and nothing was heard of it"));
                }
            }
        }
        why.extend(
            running
                .difference(&believed)
                .map(|(_, t)| format!("{t} runs, and its framework does not know it")),
        );
        why.extend(
            believed
                .difference(&running)
                .map(|(_, t)| format!("{t} does not run, and its framework thinks so")),
        );
    }
}
