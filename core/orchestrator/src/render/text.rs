//! Apps, tasks and deployments written as text at once: a list of a hundred thousand tasks as values first would take a
//! second, and the machine's lock for as long. Read-only. What they say is in `render`; here is nothing else.

use super::{Embed, failure_info, known};
use crate::{
    Deployment, Orchestrator,
    instances::{Checked, Instance},
    plan::{Action, Step},
    spec::{CheckBy, Spec},
    when,
};
use base::Time;
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};

/// A task as clients see it; names in their order, so that text and value are the same.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Task<'a> {
    app_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    check_result: &'a Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    health_check_results: Vec<Health<'a>>,
    host: &'a str,
    id: &'a str,
    ip_addresses: Vec<Address<'a>>,
    local_volumes: Vec<Value>,
    ports: &'a [u16],
    #[serde(skip_serializing_if = "Option::is_none")]
    region: &'a Option<String>,
    role: &'a str,
    service_ports: &'a [u16],
    slave_id: &'a str,
    staged_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    state: &'a str,
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: &'a Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Address<'a> {
    ip_address: &'a str,
    protocol: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Health<'a> {
    alive: bool,
    consecutive_failures: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_success: Option<String>,
    instance_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure_cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success: Option<String>,
}

impl<'a> Health<'a> {
    fn of(instance: &'a str, checked: &'a Checked) -> Self {
        Self {
            alive: checked.alive,
            consecutive_failures: checked.failures,
            first_success: checked.first_success.map(when),
            instance_id: instance,
            last_failure: checked.last_failure.map(when),
            last_failure_cause: checked.cause.as_deref(),
            last_success: checked.last_success.map(when),
        }
    }
    /// What the agent's own checks said.
    fn of_agent(instance: &'a str, alive: bool) -> Self {
        Self {
            alive,
            consecutive_failures: 0,
            first_success: None,
            instance_id: instance,
            last_failure: None,
            last_failure_cause: None,
            last_success: None,
        }
    }
}

impl<'a> Task<'a> {
    pub(super) fn of(instance: &'a Instance, spec: Option<&'a Spec>) -> Self {
        let mut results: Vec<_> =
            instance.checks.iter().filter(|c| known(c)).map(|c| Health::of(&instance.id, c)).collect();
        // Of what was recorded before results were, only what they came to is known.
        let unseen = |at: usize| instance.checks.get(at).is_none_or(|checked| !known(checked));
        let by_agent = spec.is_some_and(|spec| {
            let mut checks = spec.checks.iter().enumerate();
            checks.any(|(at, check)| check.by == CheckBy::Agent && unseen(at))
        });
        if let Some(alive) = instance.healthy.filter(|_| by_agent) {
            results.push(Health::of_agent(&instance.id, alive));
        }
        let address = |ip: &'a String| Address { ip_address: ip, protocol: "IPv4" };
        Self {
            app_id: &instance.app,
            check_result: &instance.check_result,
            health_check_results: results,
            host: &instance.host,
            id: &instance.task,
            ip_addresses: instance.addresses.iter().map(address).collect(),
            local_volumes: instance.volumes.iter().map(|volume| volume.shown(&instance.app)).collect(),
            ports: &instance.ports,
            region: &instance.region,
            role: &instance.role,
            service_ports: spec.map_or(&[], |spec| &spec.service_ports),
            slave_id: &instance.agent,
            staged_at: when(instance.staged_at),
            started_at: instance.started_at.map(when),
            state: instance.rest.as_ref().map_or(instance.condition.task_state(), |rest| &rest.state),
            version: &instance.version,
            zone: &instance.zone,
        }
    }
}

/// What the text of an app was made of: with an equal one it would be the same.
#[derive(Clone, Debug)]
pub struct Stamp {
    app: Arc<crate::App>,
    touched: u64,
    deployment: Option<String>,
    failure: Option<(u64, String)>,
}

impl PartialEq for Stamp {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.app, &other.app)
            && (self.touched, &self.deployment, &self.failure)
                == (other.touched, &other.deployment, &other.failure)
    }
}

/// A deployment as clients see it, without what only those see who bound it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Said<'a> {
    affected_apps: Vec<&'a str>,
    affected_pods: Vec<&'a str>,
    current_actions: Vec<Current<'a>>,
    current_step: usize,
    id: &'a str,
    steps: Vec<Steps<'a>>,
    total_steps: usize,
    version: &'a str,
}

/// An action of the running step, with what readiness checks found.
struct Current<'a>(&'a Action, Vec<Value>);

impl Serialize for Current<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(3))?;
        write_action(self.0, &mut map)?;
        map.serialize_entry("readinessCheckResults", &self.1)?;
        map.end()
    }
}

struct Steps<'a>(&'a Step);

impl Serialize for Steps<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(1))?;
        map.serialize_entry("actions", &self.0.actions.iter().map(Plain).collect::<Vec<_>>())?;
        map.end()
    }
}

struct Plain<'a>(&'a Action);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(2))?;
        write_action(self.0, &mut map)?;
        map.end()
    }
}

fn write_action<M: serde::ser::SerializeMap>(action: &Action, map: &mut M) -> Result<(), M::Error> {
    let name = if action.pod { action.action.of_pod() } else { action.action.as_str() };
    map.serialize_entry("action", name)?;
    map.serialize_entry(if action.pod { "pod" } else { "app" }, &action.app)
}

/// Nothing of ours fails to be written: maps have text as keys, and memory takes everything.
fn write(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).unwrap_or_default();
}

impl Orchestrator {
    pub(super) fn said<'a>(&'a self, deployment: &'a Deployment) -> Said<'a> {
        let running = deployment.steps.get(deployment.current).map_or(&[][..], |step| &step.actions);
        let affected = |pods: bool| -> Vec<&str> {
            let all = deployment.steps.iter().flat_map(|step| &step.actions);
            let all: BTreeSet<_> =
                all.filter(|action| action.pod == pods).map(|action| action.app.as_str()).collect();
            all.into_iter().collect()
        };
        let current = |action: &'a Action| Current(action, self.readiness_info(&action.app));
        Said {
            affected_apps: affected(false),
            affected_pods: affected(true),
            current_actions: running.iter().map(current).collect(),
            current_step: deployment.current + 1,
            id: &deployment.id,
            steps: deployment.steps.iter().map(Steps).collect(),
            total_steps: deployment.steps.len(),
            version: &deployment.version,
        }
    }

    /// `GET /v2/deployments`, written.
    pub fn deployments_text(&self) -> Vec<u8> {
        let mut out = vec![b'['];
        for deployment in self.deployments() {
            separate(&mut out);
            match deployment.has_course() {
                true => write(&mut out, &self.deployment_info(deployment)),
                false => write(&mut out, &self.said(deployment)),
            }
        }
        for lined in self.line_info() {
            separate(&mut out);
            write(&mut out, &lined);
        }
        out.push(b']');
        out
    }

    /// What `app_info` says, written after what is there; false where there is no such app.
    pub fn app_text(&self, id: &str, embed: Embed, now: Time, out: &mut Vec<u8>) -> bool {
        let Some(state) = self.app(id) else { return false };
        if !self.is_plain(id, &state.spec, embed) {
            if let Some(info) = self.app_info(id, embed, now) {
                write(out, &info);
            }
            return true;
        }
        write(out, &*state.app);
        // an app has an id: there is something before what follows
        out.pop();
        if embed.counts {
            let tally = self.tally(id);
            for (name, count) in [
                ("tasksStaged", tally.staged),
                ("tasksRunning", tally.running),
                ("tasksHealthy", tally.healthy),
                ("tasksUnhealthy", tally.unhealthy),
            ] {
                member(out, name);
                write(out, &count);
            }
        }
        if embed.deployments {
            member(out, "deployments");
            match self.deployment_of(id) {
                Some(deployment) => {
                    out.extend_from_slice(b"[{\"id\":");
                    write(out, &deployment.id);
                    out.extend_from_slice(b"}]");
                }
                None => out.extend_from_slice(b"[]"),
            }
        }
        if embed.tasks {
            member(out, "tasks");
            self.tasks_text(self.instances_of(id), out);
        }
        if let Some(failure) = self.last_failure(id).filter(|_| embed.last_task_failure) {
            member(out, "lastTaskFailure");
            write(out, &failure_info(id, failure));
        }
        out.push(b'}');
        true
    }

    /// Whether apps with this have stamps.
    pub fn stamps(embed: Embed) -> bool {
        !(embed.why || embed.task_stats || embed.readiness)
    }

    /// What tells whether an app would be written as before; none = it looks different each time.
    pub fn stamp(&self, id: &str, embed: Embed) -> Option<Stamp> {
        let state = self.app(id).filter(|state| self.is_plain(id, &state.spec, embed))?;
        let failure = self.last_failure(id).filter(|_| embed.last_task_failure);
        Some(Stamp {
            app: state.app.clone(),
            touched: self.instances.touched(id),
            deployment: self.deployment_of(id).map(|deployment| deployment.id.clone()),
            failure: failure.map(|failure| (failure.at, failure.task.clone())),
        })
    }

    /// Whether nothing is said of an app but its definition, counts, deployments, tasks and its last failure.
    fn is_plain(&self, id: &str, spec: &Spec, embed: Embed) -> bool {
        let blocked = || self.queue.contains_key(id) && self.refused_at_launch(spec).is_some();
        Self::stamps(embed)
            && !spec.every
            && spec.run_once.is_none()
            && spec.autoscale.is_none()
            && !blocked()
    }

    /// A list of tasks, written.
    pub fn tasks_text<'a>(&self, all: impl Iterator<Item = &'a Instance>, out: &mut Vec<u8>) {
        out.push(b'[');
        // neighbours in the list mostly run the same
        let mut last: Option<(&str, &str, Option<Arc<Spec>>)> = None;
        for instance in all {
            let (app, version) = (instance.app.as_str(), instance.version.as_str());
            if last.as_ref().is_none_or(|(a, v, _)| *a != app || *v != version) {
                last = Some((app, version, self.spec_of(instance)));
            }
            separate(out);
            write(out, &Task::of(instance, last.as_ref().and_then(|(.., spec)| spec.as_deref())));
        }
        out.push(b']');
    }
}

fn separate(out: &mut Vec<u8>) {
    if !matches!(out.last(), Some(b'[')) {
        out.push(b',');
    }
}

fn member(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}
