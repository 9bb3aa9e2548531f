//! Changes that wait behind the lock of an app (`?queue=true`): in order, and those of one app merged into one.
//!
//! Never decides who has a lock (`deployments`), nor what a change means (`commands`).

mod words;

use crate::{
    Command, Deployment, Orchestrator,
    commands::message,
    groups::Changes,
    input::{Client, How},
    outcome::Ended,
};
use api::marathon::is_below;
use base::{Now, Time};
use model::request::{Answer, Body};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};
use words::{behind, forced, merged, named};

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
    /// Apps that the command of this step names, whether or not it changes them.
    named: BTreeSet<String>,
    /// Apps that the command of this step did change, and apps and groups that it removed.
    passed: (BTreeSet<String>, BTreeSet<String>),
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
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
    /// A command begins: nothing is known of it but what it names.
    pub fn begin(&mut self, command: &Command) {
        self.done();
        self.named = named(command);
    }
    /// A command is over.
    pub fn done(&mut self) {
        self.held.clear();
        self.named.clear();
        self.passed = Default::default();
    }
    pub fn hold<'a>(&mut self, apps: impl Iterator<Item = &'a String>) {
        self.held = apps.cloned().chain(self.named.iter().cloned()).collect();
    }
    /// A change is taken.
    pub fn pass(&mut self, changes: &Changes) {
        let (apps, gone) = &mut self.passed;
        apps.extend(changes.apps.keys().cloned());
        gone.extend(changes.apps.iter().filter(|(_, app)| app.is_none()).map(|(id, _)| id.clone()));
        gone.extend(changes.groups.iter().filter(|(_, group)| group.is_none()).map(|(id, _)| id.clone()));
    }
    /// Whether somebody waits for one of these already, or for what this command names.
    pub fn has_any<'a>(&'a self, apps: impl Iterator<Item = &'a String>) -> bool {
        let mut apps = apps.chain(&self.named);
        self.letting_in.is_none() && apps.any(|app| self.all.values().any(|lined| lined.apps.contains(app)))
    }
}

impl Orchestrator {
    /// Whether the change of this step was refused for a lock only, and may wait for it.
    pub(crate) fn may_wait(&self, command: &Command) -> bool {
        let ends_at_once = matches!(command, Command::KillTasks { .. } | Command::CancelDeployment { .. });
        self.how.queue && !ends_at_once && !self.line.held.is_empty()
    }

    /// The change that waits for the same app alone, last of all, and both as one.
    pub(crate) fn joins(&self, command: &Command) -> Option<(String, Command)> {
        if !self.how.queue || forced(command) {
            return None;
        }
        let apps = named(command);
        let (version, lined) = self.line.all.iter().rfind(|(_, lined)| !lined.apps.is_disjoint(&apps))?;
        (lined.apps == apps).then(|| Some((version.clone(), merged(&lined.command, command)?)))?
    }

    /// A change lines up; or goes into one that waits already, with which it is right.
    pub(crate) fn line_up(
        &mut self,
        now: &mut Now<'_>,
        command: Command,
        joined: Option<(String, Command)>,
        client: &Client,
    ) -> Answer {
        let apps = std::mem::take(&mut self.line.held);
        let how = How { queue: false, ..self.how.clone() };
        let merged = joined.and_then(|(version, command)| {
            let lined = self.line.all.get(&version)?;
            let how = How { terms: how.terms.over(&lined.how.terms), ..how.clone() };
            Some((version, Lined { command, how, ..lined.clone() }))
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
            "id": lined.id, "version": version, "affectedApps": lined.apps, "behind": self.ahead_of(&version, &lined.apps),
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
            self.drop_one(now, &version, "A later change in the line removes its app");
        }
    }

    fn drop_one(&mut self, now: Time, version: &str, why: &str) {
        if let Some(lined) = self.line.all.remove(version) {
            self.saves.delete_long(&format!("line/{version}"));
            self.turned_away(now, version, &lined, "cancelled", why);
            self.line.look = true;
        }
    }

    /// A change went ahead of those that wait, which were said before it: they bring nothing back that it removed, and
    /// overwrite nothing that it says.
    pub(crate) fn overtaken(&mut self, now: Time, by: &Command) {
        let (mut apps, gone) = std::mem::take(&mut self.line.passed);
        let defines = matches!(
            by,
            Command::CreateApp { .. }
                | Command::UpdateApps { .. }
                | Command::PutGroup { .. }
                | Command::CreatePod { .. }
                | Command::UpdatePod { .. }
        );
        apps.extend(named(by));
        for version in self.line.all.keys().cloned().collect::<Vec<_>>() {
            let Some(lined) = self.line.all.get(&version) else { continue };
            let is_gone = |app: &String| gone.contains(app) || gone.iter().any(|group| is_below(app, group));
            if lined.apps.iter().any(is_gone) {
                self.drop_one(now, &version, "A later change removed what it changes");
                continue;
            }
            let restarts = matches!(lined.command, Command::RestartApp { .. });
            if !defines || restarts || lined.apps.is_disjoint(&apps) {
                continue;
            }
            let mut lined = lined.clone();
            let bytes: usize = self.line.all.values().map(|lined| lined.bytes).sum();
            let Some(left) = behind(&lined.command, by).filter(|_| bytes <= LINE_BYTES_MAX) else {
                self.drop_one(now, &version, "A later change of the same went ahead of it");
                continue;
            };
            lined.command = left;
            let record = serde_json::to_vec(&lined).unwrap_or_default();
            lined.bytes = record.len();
            self.saves.put_long(&format!("line/{version}"), record);
            self.line.all.insert(version, lined);
        }
    }

    /// Deployments that hold one of these apps.
    fn ahead_of(&self, version: &str, apps: &BTreeSet<String>) -> BTreeSet<&String> {
        let earlier = self.line.all.range::<str, _>((Bound::Unbounded, Bound::Excluded(version)));
        let waiting = earlier.filter(|(_, lined)| !lined.apps.is_disjoint(apps)).map(|(_, lined)| &lined.id);
        apps.iter().filter_map(|app| self.locks.get(app)).chain(waiting).collect()
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
                "behind": self.ahead_of(version, &lined.apps),
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
