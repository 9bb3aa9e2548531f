//! The bodies of Marathon's reads: apps, tasks, the queue, deployments, as JSON. Read-only.
//!
//! Never routes, filters or wraps a whole answer: that is the HTTP surface's.

use crate::{
    Orchestrator, Queued, STAGES, Unused,
    instances::{Checked, Condition, Instance},
    spec::CheckBy,
    when,
};
use base::Time;
use model::mesos::Resource;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

impl Orchestrator {
    /// An app with its counts and deployments, and what is asked for besides: `tasks`, `lastTaskFailure`.
    pub fn app_info(&self, id: &str, embed: &[String]) -> Option<Value> {
        let state = self.app(id)?;
        let mut info = (*state.app).clone();
        let tally = self.tally(id);
        let locked = self.deployment_of(id).map(|deployment| json!({ "id": deployment.id }));
        info["tasksStaged"] = tally.staged.into();
        info["tasksRunning"] = tally.running.into();
        info["tasksHealthy"] = tally.healthy.into();
        info["tasksUnhealthy"] = tally.unhealthy.into();
        info["deployments"] = locked.into_iter().collect();
        let wants = |name: &str| {
            let bare =
                |asked: &String| asked.rsplit_once("apps.").map_or(asked.as_str(), |(_, rest)| rest) == name;
            embed.iter().any(|asked| bare(asked) || asked.strip_prefix("app.") == Some(name))
        };
        if wants("tasks") {
            info["tasks"] = self.tasks_info(id);
        }
        if (wants("lastTaskFailure") || wants("failures"))
            && let Some(failure) = self.last_failure(id)
        {
            info["lastTaskFailure"] = json!({
                "appId": id, "host": failure.host, "message": failure.message, "state": failure.state,
                "taskId": failure.task, "timestamp": when(failure.at), "version": failure.version,
                "slaveId": failure.agent,
            });
        }
        if wants("taskStats") {
            info["tasksStats"] = self.stats_info(id);
        }
        Some(info)
    }

    /// All tasks of an app.
    pub fn tasks_info(&self, id: &str) -> Value {
        self.instances_of(id).map(|instance| self.task_info(instance)).collect()
    }

    /// One task.
    pub fn task_info(&self, instance: &Instance) -> Value {
        let spec = self.spec_of(instance);
        let service: Vec<_> = spec.iter().flat_map(|spec| spec.ports.iter().map(|port| port.port)).collect();
        let addresses: Vec<_> =
            instance.addresses.iter().map(|ip| json!({ "ipAddress": ip, "protocol": "IPv4" })).collect();
        let mut task = json!({
            "id": instance.task, "appId": instance.app, "host": instance.host, "ports": instance.ports,
            "servicePorts": service, "ipAddresses": addresses, "slaveId": instance.agent,
            "state": instance.condition.task_state(), "stagedAt": when(instance.staged_at),
            "version": instance.version, "localVolumes": [], "role": instance.role,
        });
        let started = instance.started_at.map(when);
        for (key, value) in [("startedAt", &started), ("region", &instance.region), ("zone", &instance.zone)]
        {
            if let Some(value) = value {
                task[key] = value.clone().into();
            }
        }
        let mut results: Vec<_> =
            instance.checks.iter().filter(|c| known(c)).map(|c| health(&instance.id, c)).collect();
        let by_agent = spec.is_some_and(|spec| spec.checks.iter().any(|check| check.by == CheckBy::Agent));
        if let (true, Some(alive)) = (by_agent, instance.healthy) {
            results.push(json!({ "alive": alive, "consecutiveFailures": 0, "instanceId": instance.id }));
        }
        if !results.is_empty() {
            task["healthCheckResults"] = results.into();
        }
        task
    }

    fn stats_info(&self, id: &str) -> Value {
        let since = self.app(id).map_or("", |app| &app.spec.config_version);
        let (new, old) = self.instances.tallies(id, since);
        let stats = |t: crate::instances::Tally| {
            let counts = json!({ "staged": t.staged, "running": t.running, "healthy": t.healthy, "unhealthy": t.unhealthy });
            json!({ "stats": { "counts": counts } })
        };
        let mut all = json!({ "totalSummary": stats(new.plus(old)), "withLatestConfig": stats(new) });
        if old.all > 0 {
            all["withOutdatedConfig"] = stats(old);
        }
        all
    }

    /// `GET /v2/deployments`.
    pub fn deployments_info(&self) -> Value {
        let said = |deployment: &crate::Deployment| {
            let running = deployment.steps.get(deployment.current).map_or(&[][..], |step| &step.actions);
            let running: Vec<_> = running
                .iter()
                .map(|a| json!({ "action": a.action, "app": a.app, "readinessCheckResults": [] }))
                .collect();
            json!({
                "id": deployment.id, "version": deployment.version, "steps": deployment.steps,
                "affectedApps": deployment.target.keys().collect::<Vec<_>>(), "affectedPods": [],
                "currentActions": running, "currentStep": deployment.current + 1,
                "totalSteps": deployment.steps.len(),
            })
        };
        self.deployments().into_iter().map(said).collect()
    }

    /// `GET /v2/queue`, with the last useless offers if asked.
    pub fn queue_info(&self, now: Time, unused: bool) -> Value {
        let item = |(id, queued): (&String, &Queued)| {
            let until = self.backs_off_until(id, now);
            let left = until.map_or(0.0, |until| until.since(now).as_secs_f64().ceil());
            let seen = &queued.seen;
            let mut summary = json!({
                "processedOffersCount": seen.processed, "unusedOffersCount": seen.unused,
                "rejectSummaryLastOffers": funnel(&seen.last_offers(), seen.agents.len() as u64),
                "rejectSummaryLaunchAttempt": funnel(&seen.attempt, seen.processed),
            });
            for (key, at) in
                [("lastUnusedOfferAt", seen.last_unused_at), ("lastUsedOfferAt", seen.last_used_at)]
            {
                if let Some(at) = at {
                    summary[key] = when(at.as_millis()).into();
                }
            }
            let mut item = json!({
                "count": queued.count, "role": self.config.role, "since": when(queued.since.as_millis()),
                "delay": { "timeLeftSeconds": left as u64, "overdue": until.is_none() },
                "processedOffersSummary": summary,
                "app": self.app(id).map(|state| state.app.clone()),
            });
            if unused {
                item["lastUnusedOffers"] = seen.agents.values().map(useless).collect();
            }
            item
        };
        json!({ "queue": self.queue().map(item).collect::<Vec<_>>() })
    }

    /// How many tasks are in which state, for `/metrics`.
    pub fn task_counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::from([("running", 0), ("staged", 0), ("unreachable", 0)]);
        for instance in self.instances() {
            let name = match instance.condition {
                Condition::Running => "running",
                Condition::Unreachable | Condition::UnreachableInactive => "unreachable",
                Condition::Killing => "killing",
                Condition::Provisioned | Condition::Staging | Condition::Starting => "staged",
            };
            *counts.entry(name).or_default() += 1;
        }
        counts
    }
}

fn known(checked: &Checked) -> bool {
    checked.alive || checked.last_failure.is_some()
}

fn health(instance: &str, checked: &Checked) -> Value {
    let mut all = Map::from_iter([
        ("alive".to_owned(), checked.alive.into()),
        ("consecutiveFailures".to_owned(), checked.failures.into()),
        ("instanceId".to_owned(), instance.into()),
    ]);
    let times = [
        ("firstSuccess", checked.first_success),
        ("lastSuccess", checked.last_success),
        ("lastFailure", checked.last_failure),
    ];
    all.extend(times.into_iter().filter_map(|(key, at)| Some((key.to_owned(), when(at?).into()))));
    all.extend(checked.cause.iter().map(|cause| ("lastFailureCause".to_owned(), cause.clone().into())));
    Value::Object(all)
}

/// Each stage with how many came to it and how many it refused.
fn funnel(refused: &BTreeMap<&'static str, u64>, processed: u64) -> Value {
    let mut left = processed;
    let step = |reason: &&'static str| {
        let declined = refused.get(*reason).copied().unwrap_or(0);
        let step = json!({ "reason": reason, "declined": declined, "processed": left });
        left = left.saturating_sub(declined);
        step
    };
    STAGES.iter().map(step).collect()
}

fn useless(unused: &Unused) -> Value {
    let offer = &unused.offer;
    let resources: Vec<_> = offer.resources.iter().map(resource).collect();
    let attributes: Vec<_> = offer
        .attributes
        .iter()
        .map(|a| match (&a.text, &a.scalar) {
            (Some(text), _) => json!({ "name": a.name, "text": text.value }),
            (None, Some(scalar)) => json!({ "name": a.name, "scalar": scalar.value }),
            (None, None) => json!({ "name": a.name }),
        })
        .collect();
    let offer = json!({
        "id": offer.id.value, "hostname": offer.hostname, "agentId": offer.agent_id.value,
        "resources": resources, "attributes": attributes,
    });
    let reasons: Vec<_> = unused.refusals.iter().map(|refusal| refusal.stage).collect();
    json!({ "offer": offer, "reason": reasons, "timestamp": when(unused.at.as_millis()) })
}

fn resource(resource: &Resource) -> Value {
    let role = resource.reservations.last().and_then(|r| r.role.as_deref()).or(resource.role.as_deref());
    let mut said = json!({ "name": resource.name, "role": role.unwrap_or("*") });
    if let Some(scalar) = &resource.scalar {
        said["scalar"] = scalar.value.into();
    }
    if let Some(ranges) = &resource.ranges {
        said["ranges"] = ranges.range.iter().map(|r| json!({ "begin": r.begin, "end": r.end })).collect();
    }
    if let Some(set) = &resource.set {
        said["set"] = set.item.clone().into();
    }
    said
}
