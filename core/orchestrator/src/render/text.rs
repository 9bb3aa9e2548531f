//! Deployments written as text at once: as values first, thousands of them would hold the machine's lock for long.
//! Read-only. What they say is in `render`; here is nothing else.

use crate::{
    Deployment, Orchestrator,
    plan::{Action, Step},
};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;
use std::collections::BTreeSet;

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
pub(super) fn write(out: &mut Vec<u8>, value: &impl Serialize) {
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
}

/// What comes next in a list.
pub(super) fn separate(out: &mut Vec<u8>) {
    if !matches!(out.last(), Some(b'[')) {
        out.push(b',');
    }
}
