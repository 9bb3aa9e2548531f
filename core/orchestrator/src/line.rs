//! Changes that wait behind the lock of an app (`?queue=true`): in order, and those of one app merged into one.
//!
//! Never decides who has a lock (`deployments`), nor what a change means (`commands`).

use crate::{
    AppUpdate, Command, Deployment, Orchestrator,
    commands::message,
    input::{Client, How},
    outcome::Ended,
};
use base::{Now, Time};
use model::request::{Answer, Body};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Changes that may wait at once.
pub(crate) const LINE_MAX: usize = 1000;
/// All of them together, in bytes.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A change that waits. The record `line/<version>`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Lined {
    /// The id that its deployment will have.
    pub id: String,
    /// What is wanted, and how.
    pub command: Command,
    pub how: How,
    pub client: Client,
    /// Apps that it changes.
    pub apps: BTreeSet<String>,
    /// How long its record is.
    #[serde(skip)]
    pub bytes: usize,
}

/// The line, by when each was said.
#[derive(Debug, Default)]
pub(crate) struct Line {
    all: BTreeMap<String, Lined>,
    /// Whether somebody may have to be let in.
    pub look: bool,
    /// What the change of this step would have needed, had it not been locked.
    held: BTreeSet<String>,
    /// The version and the id of the change that is just let in.
    letting_in: Option<(String, String)>,
}

impl Line {
    pub fn load(&mut self, version: String, lined: Lined) {
        self.all.insert(version, lined);
        self.look = true;
    }
    /// When each was said.
    pub fn versions(&self) -> impl Iterator<Item = &String> {
        self.all.keys()
    }
    /// A change that waited began, and the process ended before it was taken from the line: gives when it was said.
    pub fn began(&mut self, id: &str) -> Option<String> {
        let version =
            self.all.iter().find(|(_, lined)| lined.id == id).map(|(version, _)| version.clone())?;
        self.all.remove(&version);
        Some(version)
    }
    /// When a change was said that waited, and the id that its deployment was promised.
    pub fn promised(&mut self) -> Option<(String, String)> {
        self.letting_in.take()
    }
    /// Whether this change waited, and was told of then.
    pub fn lets_in(&self) -> bool {
        self.letting_in.is_some()
    }
    pub fn hold<'a>(&mut self, apps: impl Iterator<Item = &'a String>) {
        self.held = apps.cloned().collect();
    }
    /// Whether somebody waits for one of these already.
    pub fn has_any<'a>(&self, mut apps: impl Iterator<Item = &'a String>) -> bool {
        self.letting_in.is_none() && apps.any(|app| self.all.values().any(|lined| lined.apps.contains(app)))
    }
}

/// One change for two of the same app, if there is one.
pub(crate) fn merged(first: &Command, then: &Command) -> Option<Command> {
    use Command::{DeleteApp, DeletePod, RestartApp, UpdateApps, UpdatePod};
    match (first, then) {
        (UpdateApps { updates: a, create: made, .. }, UpdateApps { updates: b, force, create, single }) => {
            let ([a], [b]) = (a.as_slice(), b.as_slice()) else { return None };
            let updates = vec![overlaid(a, b)?];
            Some(UpdateApps { updates, force: *force, create: *create || *made, single: *single })
        }
        (UpdateApps { .. } | RestartApp { .. }, DeleteApp { .. })
        | (UpdatePod { .. }, UpdatePod { .. } | DeletePod { .. })
        | (RestartApp { .. }, RestartApp { .. })
        | (DeleteApp { .. }, DeleteApp { .. }) => Some(then.clone()),
        _ => None,
    }
}

/// An update after another.
fn overlaid(first: &AppUpdate, then: &AppUpdate) -> Option<AppUpdate> {
    let goes_back = |update: &AppUpdate| update.fields.contains_key("version");
    if first.id != then.id {
        return None;
    }
    if !then.partial || goes_back(then) {
        return Some(then.clone());
    }
    if goes_back(first) {
        return None;
    }
    let mut fields = first.fields.clone();
    for (one, other) in [("cmd", "args"), ("args", "cmd")] {
        if then.fields.contains_key(one) {
            fields.remove(other);
        }
    }
    fields.extend(then.fields.clone());
    Some(AppUpdate { id: first.id.clone(), fields, partial: first.partial })
}

impl Orchestrator {
    /// Whether the change of this step was refused for a lock only, and may wait for it.
    pub(crate) fn may_wait(&self, command: &Command) -> bool {
        let ends_at_once = matches!(command, Command::KillTasks { .. } | Command::CancelDeployment { .. });
        self.how.queue && !ends_at_once && !self.line.held.is_empty()
    }

    /// A change lines up; or goes into one that waits already.
    pub(crate) fn line_up(&mut self, now: &mut Now<'_>, command: Command, client: &Client) -> Answer {
        let apps = std::mem::take(&mut self.line.held);
        let how = How { queue: false, ..self.how.clone() };
        let before = self.line.all.iter().rfind(|(_, lined)| !lined.apps.is_disjoint(&apps));
        let mine = before.filter(|(_, lined)| lined.apps == apps);
        let merged = mine.and_then(|(version, lined)| {
            let command = merged(&lined.command, &command)?;
            let how = if how == How::default() { lined.how.clone() } else { how.clone() };
            Some((version.clone(), Lined { command, how, ..lined.clone() }))
        });
        if matches!(command, Command::DeleteApp { .. } | Command::DeletePod { .. }) {
            let kept = merged.as_ref().map(|(version, _)| version);
            self.drop_all_of(now.time, &apps, kept);
        }
        let fresh = merged.is_none();
        let (version, mut lined) = merged.unwrap_or_else(|| {
            let (id, client) = (now.rng.uuid().to_string(), client.clone());
            (self.draft(now).version, Lined { id, command, how, client, apps, bytes: 0 })
        });
        let record = serde_json::to_vec(&lined).unwrap_or_default();
        lined.bytes = record.len();
        let bytes: usize = self.line.all.values().map(|lined| lined.bytes).sum();
        if (fresh && self.line.all.len() >= LINE_MAX) || bytes + lined.bytes > LINE_BYTES_MAX {
            return message(
                409,
                format!(
                    "The line is full: {LINE_MAX} changes (LINE_MAX), {LINE_BYTES_MAX} bytes (LINE_BYTES_MAX)"
                ),
            );
        }
        self.saves.put_long(&format!("line/{version}"), record);
        let fields = json!({
            "id": lined.id, "version": version, "affectedApps": lined.apps, "behind": self.ahead_of(&lined.apps),
        });
        self.emit(now.time, "deployment_queued", fields);
        let body = json!({ "version": version, "deploymentId": lined.id, "queued": true });
        let mut answer = Answer::json(202, body.to_string());
        answer.headers.push(("Marathon-Deployment-Id", lined.id.clone()));
        self.line.all.insert(version, lined);
        answer
    }

    /// What waits for an app that is to go in the end comes to nothing.
    fn drop_all_of(&mut self, now: Time, apps: &BTreeSet<String>, but: Option<&String>) {
        let moot =
            self.line.all.iter().filter(|(version, lined)| lined.apps == *apps && Some(*version) != but);
        for version in moot.map(|(version, _)| version.clone()).collect::<Vec<_>>() {
            if let Some(lined) = self.line.all.remove(&version) {
                self.saves.delete_long(&format!("line/{version}"));
                self.turned_away(
                    now,
                    &version,
                    &lined,
                    "cancelled",
                    "A later change in the line removes its app",
                );
            }
        }
    }

    /// Deployments that hold one of these apps.
    fn ahead_of(&self, apps: &BTreeSet<String>) -> BTreeSet<&String> {
        apps.iter().filter_map(|app| self.locks.get(app)).collect()
    }

    /// Lets in whoever is first for all that it changes.
    pub(crate) fn let_in(&mut self, now: &mut Now<'_>) -> bool {
        if !std::mem::take(&mut self.line.look) {
            return false;
        }
        let (mut blocked, mut moved) = (BTreeSet::new(), false);
        for version in self.line.all.keys().cloned().collect::<Vec<_>>() {
            let Some(lined) = self.line.all.get(&version) else { continue };
            let free = lined.apps.iter().all(|app| self.locked_by(app).is_none() && !blocked.contains(app));
            if !free {
                blocked.extend(lined.apps.iter().cloned());
                continue;
            }
            let Some(lined) = self.line.all.remove(&version) else { continue };
            self.how = How { queue: true, ..lined.how.clone() };
            self.line.letting_in = Some((version.clone(), lined.id.clone()));
            let answer = self.obey(now, lined.command.clone(), &lined.client);
            self.how = How::default();
            self.line.letting_in = None;
            let held = std::mem::take(&mut self.line.held);
            match answer {
                // meanwhile it touches something else that is locked, or too many are under way
                Err(refused) if refused.status == 403 || !held.is_empty() => {
                    let apps = if held.is_empty() { lined.apps.clone() } else { held };
                    blocked.extend(apps.iter().cloned());
                    let lined = Lined { apps, ..lined };
                    self.saves
                        .put_long(&format!("line/{version}"), serde_json::to_vec(&lined).unwrap_or_default());
                    self.line.all.insert(version, lined);
                    continue;
                }
                Err(refused) => self.turned_away(now.time, &version, &lined, "failed", &said(&refused)),
                Ok(_) => {}
            }
            moved = true;
            self.saves.delete_long(&format!("line/{version}"));
        }
        moved
    }

    /// A change that waited is not taken any more.
    fn turned_away(&mut self, now: Time, version: &str, lined: &Lined, state: &str, why: &str) {
        self.put_ended(Ended {
            id: lined.id.clone(),
            version: version.to_owned(),
            state: state.to_owned(),
            reason: why.to_owned(),
            ended_at: crate::when(now.as_millis()),
            affected_apps: lined.apps.iter().take(crate::outcome::ENDED_APPS_MAX).cloned().collect(),
            rollback: None,
        });
        let plan = json!({ "id": lined.id, "version": version, "steps": [] });
        self.emit(now, "deployment_failed", json!({ "id": lined.id, "plan": plan, "reason": why }));
    }

    /// A change leaves the line; whether there was one.
    pub(crate) fn leave_line(&mut self, now: Time, id: &str) -> bool {
        let Some(version) =
            self.line.all.iter().find(|(_, l)| l.id == id).map(|(version, _)| version.clone())
        else {
            return false;
        };
        let Some(lined) = self.line.all.remove(&version) else { return false };
        self.saves.delete_long(&format!("line/{version}"));
        self.turned_away(now, &version, &lined, "cancelled", "It was cancelled before its turn came");
        self.line.look = true;
        true
    }

    /// Those who wait, as deployments without steps.
    pub(crate) fn line_info(&self) -> impl Iterator<Item = Value> {
        self.line.all.iter().map(|(version, lined)| {
            let is_pod = |app: &&String| self.apps.get(*app).is_some_and(|state| state.spec.pod.is_some());
            let (pods, apps): (Vec<_>, Vec<_>) = lined.apps.iter().partition(is_pod);
            json!({
                "id": lined.id, "version": version, "affectedApps": apps, "affectedPods": pods, "steps": [],
                "currentActions": [], "currentStep": 0, "totalSteps": 0, "state": "queued",
                "behind": self.ahead_of(&lined.apps),
            })
        })
    }
}

fn said(answer: &Answer) -> String {
    match &answer.body {
        Body::Json(text) | Body::Text(text) => text.clone(),
        Body::Empty => format!("status {}", answer.status),
    }
}

impl Deployment {
    /// Apps that it changes.
    pub fn apps(&self) -> impl Iterator<Item = &String> {
        self.target.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(fields: Value, partial: bool) -> Command {
        let fields = fields.as_object().unwrap().clone();
        let updates = vec![AppUpdate { id: "/a".into(), fields, partial }];
        Command::UpdateApps { updates, force: false, create: false, single: true }
    }

    #[test]
    fn what_becomes_one() {
        let fields = |command: &Command| match command {
            Command::UpdateApps { updates, .. } => {
                (Value::Object(updates[0].fields.clone()), updates[0].partial)
            }
            _ => (Value::Null, false),
        };
        for (first, then, both) in [
            (
                json!({ "cpus": 1, "mem": 2 }),
                update(json!({ "mem": 3 }), true),
                (json!({ "cpus": 1, "mem": 3 }), true),
            ),
            (json!({ "cmd": "a" }), update(json!({ "args": ["b"] }), true), (json!({ "args": ["b"] }), true)),
            (json!({ "cmd": "a" }), update(json!({ "cpus": 1 }), false), (json!({ "cpus": 1 }), false)),
            (
                json!({ "cmd": "a" }),
                update(json!({ "version": "v" }), true),
                (json!({ "version": "v" }), true),
            ),
        ] {
            assert_eq!(merged(&update(first, true), &then).as_ref().map(fields), Some(both), "{then:?}");
        }
        let back = update(json!({ "version": "v" }), true);
        assert_eq!(
            merged(&back, &update(json!({ "cpus": 1 }), true)),
            None,
            "nobody knows what v says of cpus"
        );
        let delete = Command::DeleteApp { id: "/a".into(), force: false };
        assert_eq!(merged(&back, &delete), Some(delete.clone()));
        assert_eq!(merged(&delete, &back), None);
    }
}
