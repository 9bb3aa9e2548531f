//! What the tasks of a pod's instance report, and what that makes of the instance.

use super::{Failure, Meaning, failure_of, is_failure};
use crate::{
    Orchestrator,
    instances::{Condition, Instance},
    parts::{End, Part, condition_of, end_of, health_of},
    residents::is_there,
};
use base::Time;
use model::mesos::TaskStatus;

impl Orchestrator {
    pub(super) fn known_part(
        &mut self,
        now: Time,
        status: &TaskStatus,
        mut instance: Instance,
        means: &Meaning,
    ) {
        let before = instance.clone();
        let task = &status.task_id.value;
        let failure = match means {
            Meaning::Ended(end) if is_failure(status, end) => Some(failure_of(now, status, &instance)),
            _ => None,
        };
        let Some(part) = instance.parts.iter_mut().find(|part| part.task == *task) else { return };
        if part.ended.is_some() {
            return;
        }
        match means {
            Meaning::Ended(end) => {
                part.ended = Some((*end).to_owned());
                part.end = Some(End {
                    state: status.state().as_str_name().to_owned(),
                    message: crate::runs::short(status.message.as_deref().unwrap_or_default()),
                    at: now.as_millis(),
                });
            }
            Meaning::Becomes(to) => {
                let backwards = part.condition == Condition::Running && *to < Condition::Running;
                if !backwards {
                    part.condition = *to;
                }
                if *to == Condition::Running {
                    part.started_at.get_or_insert(now.as_millis());
                }
            }
        }
        // What ends after a sick one is called sick with it, checked or not (default_executor.cpp); that one was sick before.
        if part.ended.is_none() && status.healthy.is_some() {
            part.healthy = status.healthy;
            part.saw = crate::health::seen_by_agent(status)
                .or(part.saw.take().filter(|_| status.healthy == Some(false)));
        }
        // its agent ended it for its check; the others go with it
        let ended_sick =
            part.ended.is_some() && failure.is_none() && !before.ending && part.healthy == Some(false);
        let container = status.container_status.as_ref().and_then(|c| c.container_id.as_ref());
        if let Some(id) = container {
            part.container_id = Some(id.value.clone());
        }
        for address in super::addresses_of(status) {
            // all containers of an instance are in one network
            if !instance.addresses.contains(&address) {
                instance.addresses.push(address);
            }
        }
        self.say_update(now, status, &instance);
        if let Some(failure) = failure {
            self.put_failure(&instance.app.clone(), failure);
        }
        let sick = self.sick_parts(&instance);
        if ended_sick
            && let [part] = &sick[..]
            && part.task == *task
        {
            let reason = self.sick_part(&instance, part, status);
            let failure = Failure { task: part.task.clone(), ..crate::health::sick(now, &instance, &reason) };
            self.put_failure(&instance.app.clone(), failure);
        }
        if let Some(end) = end_of(&instance.parts) {
            let failed = matches!(end, "Failed" | "Error" | "Dropped" | "Gone") && !super::is_stale(status);
            let sick = sick.first();
            let why = sick.filter(|_| !failed).map(|part| {
                let reason = self.sick_part(&instance, part, status);
                format!("failed its health check: {reason}")
            });
            self.ended_by_itself(now, status, &instance, end, failed || sick.is_some(), why);
            self.part_with(now, status, &instance, end);
            return self.say_instance(now, &instance, end);
        }
        self.sum_up(now, status, &mut instance);
        if instance == before {
            return;
        }
        let changed = instance.condition != before.condition;
        let health = (instance.healthy != before.healthy).then_some(instance.healthy).flatten();
        self.put_instance(instance.clone());
        if changed {
            self.say_instance(now, &instance, instance.condition.as_str());
        }
        if changed && instance.condition == Condition::Running {
            self.start_readiness(now, &instance);
        }
        if let Some(healthy) = health {
            self.say_health(now, &instance, healthy);
        }
        self.watch(now, &instance);
        self.dirty.insert(instance.app);
    }

    /// Which container is sick, by which check, and how its task ended.
    fn sick_part(&self, instance: &Instance, part: &Part, status: &TaskStatus) -> String {
        let spec = self.spec_of(instance);
        let containers = spec.iter().filter_map(|spec| spec.pod.as_ref()).flat_map(|pod| &pod.containers);
        let check = containers.filter(|c| c.name == part.container).find_map(|c| c.health.as_ref());
        let own = part.task == status.task_id.value;
        let end =
            part.end.as_ref().map(|end| end.message.as_str()).or(status.message.as_deref().filter(|_| own));
        let reason = crate::health::by_agent(check, &instance.ports, part.saw.as_deref(), end);
        format!("container {}: {reason}", part.container)
    }

    /// Containers that ended sick by checks of their own, the first to end first.
    fn sick_parts(&self, instance: &Instance) -> Vec<Part> {
        let spec = self.spec_of(instance);
        let containers = spec.iter().filter_map(|spec| spec.pod.as_ref()).flat_map(|pod| &pod.containers);
        let checked: Vec<&str> = containers.filter(|c| c.health.is_some()).map(|c| c.name.as_str()).collect();
        let sick =
            |p: &&Part| p.ended.is_some() && p.healthy == Some(false) && checked.contains(&&*p.container);
        let mut sick: Vec<Part> = instance.parts.iter().filter(sick).cloned().collect();
        sick.sort_by_key(|part| part.end.as_ref().map(|end| end.at));
        sick
    }

    /// What all containers together are.
    fn sum_up(&self, now: Time, status: &TaskStatus, instance: &mut Instance) {
        instance.held |= instance.is_resident() && is_there(status.state());
        let given_up = instance.condition == Condition::UnreachableInactive;
        if let Some(condition) = condition_of(&instance.parts)
            && !(given_up && condition == Condition::Unreachable)
        {
            instance.condition = condition;
        }
        if instance.condition == Condition::Running {
            instance.started_at.get_or_insert(now.as_millis());
        }
        if matches!(instance.condition, Condition::Unreachable | Condition::UnreachableInactive) {
            let since = status.unreachable_time.as_ref().map(|at| at.nanoseconds.max(0) as u64 / 1_000_000);
            instance.unreachable_since.get_or_insert(since.unwrap_or(now.as_millis()));
        } else {
            instance.unreachable_since = None;
        }
        let spec = self.spec_of(instance);
        let containers = spec.iter().filter_map(|spec| spec.pod.as_ref()).flat_map(|pod| &pod.containers);
        let looked_at: Vec<&str> =
            containers.filter(|c| c.health.is_some()).map(|c| c.name.as_str()).collect();
        instance.healthy = health_of(&instance.parts, &looked_at);
    }
}
