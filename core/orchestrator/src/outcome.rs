//! Deployments that fail: noticed, paused, rolled back, gone on with; and what became of those that are over.
//!
//! Never decides whether one has failed (`terms`), nor what going back consists of (`commands`).

use crate::{
    Deployment, Orchestrator,
    commands::message,
    instances::Instance,
    plan::Kind,
    scaling::Phase,
    terms::{Bounds, OnFailure, Progress},
    timers::Due,
};
use base::{Now, Time};
use model::request::Answer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Failed and cancelled deployments that are remembered; the oldest go first.
pub(crate) const ENDED_MAX: usize = 50;
/// Apps named of one that is over.
pub(crate) const ENDED_APPS_MAX: usize = 100;
/// What is kept of the last message of a failed task.
const LAST_MAX: usize = 200;

/// A deployment that did not get where it should. The record `ended/<version>`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// Its id.
    pub id: String,
    /// The version that its apps would have got.
    pub version: String,
    /// `failed` or `cancelled`.
    pub state: String,
    /// Why.
    pub reason: String,
    /// When, as text.
    pub ended_at: String,
    /// What it was to change; not more than `ENDED_APPS_MAX`.
    pub affected_apps: Vec<String>,
    /// The deployment that undoes it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rollback: Option<String>,
}

impl Deployment {
    /// Whether anything bounds it. One that undoes another is never given up: there is nothing left to go back to. Nor is
    /// one for the load: what runs is wanted.
    pub(crate) fn is_bound(&self) -> bool {
        self.undoes.is_none() && !self.by_load && (self.terms.bind() || !self.course.apps.is_empty())
    }
    /// Why it is paused.
    pub fn paused(&self) -> Option<&str> {
        self.course.paused.as_ref().map(|(why, _)| why.as_str())
    }
}

impl Orchestrator {
    fn bounds<'a>(&self, deployment: &'a Deployment) -> Bounds<'a> {
        let left = deployment.course.apps.keys().filter(|app| deployment.is_changing(app));
        let terms = |app: &'a String| Some((app.as_str(), self.apps.get(app)?.spec.terms));
        Bounds { call: deployment.terms, apps: left.filter_map(terms).collect() }
    }

    /// A step begins: clocks of its apps start, unless they did before a restart.
    pub(crate) fn clock_in(&mut self, now: Time, id: &str, apps: &[(String, Kind)]) {
        let Some(deployment) = self.deployments.get_mut(id) else { return };
        let ms = now.as_millis();
        if deployment.course.began_at == 0 {
            deployment.course.began_at = ms;
        }
        if deployment.undoes.is_some() || deployment.by_load {
            return;
        }
        let counts = deployment.terms.failures_max.is_some();
        for (app, kind) in apps {
            let own = self.apps.get(app).is_some_and(|state| state.spec.terms.bind());
            if (own || counts) && *kind >= Kind::ScaleApplication {
                let of = deployment.course.apps.entry(app.clone()).or_default();
                of.began_at = if of.began_at == 0 { ms } else { of.began_at };
            }
        }
        self.keep_course(id);
        self.watch_deployment(id);
    }

    fn keep_course(&mut self, id: &str) {
        let Some(deployment) = self.deployments.get(id).filter(|d| d.is_bound()) else { return };
        let record = serde_json::to_vec(&deployment.course).unwrap_or_default();
        self.saves.put_long(&format!("progress/{id}"), record);
    }

    fn watch_deployment(&mut self, id: &str) {
        let Some(deployment) = self.deployments.get(id) else { return };
        let due = Due::Deployment(id.to_owned());
        let running = deployment.is_bound() && deployment.paused().is_none();
        match running.then(|| self.bounds(deployment).deadline(&deployment.course, &self.worked)).flatten() {
            Some(at) => self.timers.set(due, at),
            None => self.timers.stop(&due),
        }
    }

    /// A task ended though nobody wanted it to, or had to be ended: it may be one too many.
    pub(crate) fn count_failure(&mut self, now: Time, instance: &Instance, state: &str, message: &str) {
        self.ran(now, instance, state, message, false);
        let why = if message.is_empty() { state.to_owned() } else { format!("{state}, {message}") };
        let Phase::Active(id, Kind::ScaleApplication | Kind::RestartApplication) = self.phase(&instance.app)
        else {
            return;
        };
        let new = self.apps.get(&instance.app).is_some_and(|s| s.spec.config_version == instance.config);
        let Some(deployment) = self.deployments.get_mut(&id).filter(|d| new && d.is_bound()) else { return };
        let Some(of) = deployment.course.apps.get_mut(&instance.app) else { return };
        of.failures += 1;
        of.last = why.chars().take(LAST_MAX).collect();
        self.suspects.insert(id.clone());
        self.keep_course(&id);
    }

    /// Looks at deployments whose time is up or whose tasks failed.
    pub(crate) fn give_up(&mut self, now: &mut Now<'_>) {
        // who was not asked yet may have got there, or have failed, meanwhile
        while let Some(id) = self.worked.is_on().then(|| self.suspects.pop_first()).flatten() {
            let Some(deployment) = self.deployments.get(&id) else { continue };
            if !deployment.is_bound() || deployment.paused().is_some() {
                continue;
            }
            let broken = self.bounds(deployment).broken(&deployment.course, &self.worked, now.time);
            let Some(broken) = broken else {
                self.watch_deployment(&id);
                continue;
            };
            let reason = format!("{}{}", broken.reason, self.waits_for(&id, now.time));
            match broken.then {
                OnFailure::Pause => self.pause(now.time, &id, reason),
                OnFailure::Rollback => {
                    let back =
                        self.revert(now, &id, &reason).and_then(|draft| self.deploy(now, "/", draft, true));
                    if let Err(refused) = back {
                        let why = match refused.body {
                            model::request::Body::Json(text) => text,
                            _ => format!("status {}", refused.status),
                        };
                        self.pause(now.time, &id, format!("{reason}; it could not be undone: {why}"));
                    }
                }
            }
        }
    }

    /// What the apps of a running step still lack, for people.
    fn waits_for(&self, id: &str, now: Time) -> String {
        let Some(deployment) = self.deployments.get(id) else { return String::new() };
        let app = deployment.steps.get(deployment.current).into_iter().flat_map(|step| &step.actions);
        let Some(app) = app.map(|action| &action.app).find(|app| deployment.is_changing(app)) else {
            return String::new();
        };
        let Some(progress) = self.progress(deployment, app) else { return String::new() };
        let waits = self.why(app, now).filter(|why| why.waiting > 0).map(|why| format!(", {}", why.summary));
        format!(
            " ({app}: {} of {} are of the new version, {} of them well{})",
            progress.updated,
            progress.wanted,
            progress.healthy,
            waits.unwrap_or_default()
        )
    }

    fn pause(&mut self, now: Time, id: &str, reason: String) {
        let Some(deployment) = self.deployments.get_mut(id) else { return };
        deployment.course.paused = Some((reason.clone(), now.as_millis()));
        let apps: Vec<String> = deployment.target.keys().cloned().collect();
        self.keep_course(id);
        self.watch_deployment(id);
        if self.heard("deployment_paused") {
            self.say_outcome(now, id, "deployment_paused", &reason);
        }
        for app in apps {
            self.clear_backoff(&app);
            self.dirty.insert(app);
        }
    }

    fn say_outcome(&mut self, now: Time, id: &str, kind: &str, reason: &str) {
        let Some(deployment) = self.deployments.get(id) else { return };
        let fields = json!({
            "id": id, "plan": deployment.said(), "currentStep": deployment.step(), "reason": reason,
            "progress": self.progress_info(deployment),
        });
        self.emit(now, kind, fields);
    }

    /// A paused deployment goes on: its clocks and counts begin anew.
    pub(crate) fn resume_paused(&mut self, now: Time, id: &str) -> Result<Answer, Answer> {
        let Some(deployment) = self.deployments.get_mut(id) else {
            return Err(message(404, format!("DeploymentPlan {id} does not exist")));
        };
        if deployment.course.paused.take().is_none() {
            return Err(message(409, format!("DeploymentPlan {id} is not paused")));
        }
        let ms = now.as_millis();
        deployment.course.began_at = ms;
        for of in deployment.course.apps.values_mut() {
            (of.began_at, of.failures) = (ms, 0);
        }
        let apps: Vec<String> = deployment.target.keys().cloned().collect();
        self.keep_course(id);
        self.watch_deployment(id);
        if self.heard("deployment_resumed") {
            self.say_outcome(now, id, "deployment_resumed", "");
        }
        for app in apps {
            self.clear_backoff(&app);
            self.dirty.insert(app);
        }
        Ok(Answer::json(200, json!({ "deploymentId": id }).to_string()))
    }

    /// While a deployment is paused nothing new is started of it; what ends is replaced by the version from before, but not
    /// what was to end.
    pub(crate) fn hold(&mut self, now: Time, deployment: &str, app: &str) {
        let Some(deployment) = self.deployments.get(deployment) else { return };
        let goes = deployment.target.get(app).is_some_and(Option::is_none);
        let before = deployment.original_spec(app).filter(|_| !goes);
        let active = self.instances.tally(app).active;
        match before {
            Some(spec) => {
                let after = self.apps.get(app).map(|state| &state.spec).filter(|after| !after.every);
                let after = after.map_or(u64::MAX, |after| self.wanted(after, active));
                let wanted = self.wanted(&spec, active).min(after);
                self.queue_up(now, &spec, wanted.saturating_sub(active));
            }
            None => self.unqueue(app),
        }
    }

    /// What a deployment came to that ended before it was done.
    pub(crate) fn remember_end(&mut self, now: Time, deployment: &Deployment, state: &str, reason: &str) {
        let ended = Ended {
            id: deployment.id.clone(),
            version: deployment.version.clone(),
            state: state.to_owned(),
            reason: reason.to_owned(),
            ended_at: crate::when(now.as_millis()),
            affected_apps: deployment.target.keys().take(ENDED_APPS_MAX).cloned().collect(),
            rollback: None,
        };
        self.put_ended(ended);
    }

    /// Another deployment undoes it.
    pub(crate) fn undone_by(&mut self, id: &str, by: &str) {
        let Some(ended) = self.ended.values().find(|ended| ended.id == id).cloned() else { return };
        self.put_ended(Ended { rollback: Some(by.to_owned()), ..ended });
    }

    pub(crate) fn put_ended(&mut self, ended: Ended) {
        let record = serde_json::to_vec(&ended).unwrap_or_default();
        self.saves.put(format!("ended/{}", ended.version), record);
        self.ended.insert(ended.version.clone(), ended);
        while self.ended.len() > ENDED_MAX {
            if let Some((version, _)) = self.ended.pop_first() {
                self.saves.delete(format!("ended/{version}"));
            }
        }
    }

    /// How far a deployment is with an app whose turn it is.
    pub(crate) fn progress(&self, deployment: &Deployment, app: &str) -> Option<Progress> {
        let (wanted, config) = match self.apps.get(app) {
            Some(state) if deployment.target.get(app).is_some_and(Option::is_some) => {
                let tally = self.instances.tally(app);
                (self.wanted(&state.spec, tally.active), state.spec.config_version.as_str())
            }
            _ => (0, ""),
        };
        let (new, old) = self.instances.tallies(app, config);
        let healthy = self.apps.get(app).map_or(0, |state| state.spec.healthy(new));
        Some(Progress { wanted, updated: new.active, healthy, old: old.active + old.ending })
    }

    /// Progress of all apps of the running step.
    pub(crate) fn progress_info(&self, deployment: &Deployment) -> Value {
        let actions = deployment.steps.get(deployment.current).into_iter().flat_map(|step| &step.actions);
        let one = |action: &crate::Action| {
            let mut said = self.progress(deployment, &action.app)?.said();
            said[if action.pod { "pod" } else { "app" }] = action.app.clone().into();
            if let Some(of) = deployment.course.apps.get(&action.app) {
                said["failures"] = of.failures.into();
                if !of.last.is_empty() {
                    said["lastFailure"] = of.last.clone().into();
                }
            }
            if let Some(why) = self.why(&action.app, self.now).filter(|why| why.waiting > 0) {
                said["waiting"] = json!({ "instances": why.waiting, "reason": why.summary });
            }
            Some(said)
        };
        actions.filter_map(one).collect()
    }

    /// Says how far a bound deployment is, when that has changed.
    pub(crate) fn say_progress(&mut self, now: Time, id: &str, app: &str) {
        let Some(deployment) = self.deployments.get(id).filter(|d| d.is_bound()) else { return };
        let Some(progress) = self.progress(deployment, app) else { return };
        if deployment.told.get(app) == Some(&progress) {
            return;
        }
        let failures = deployment.course.apps.get(app).map_or(0, |of| of.failures);
        if let Some(deployment) = self.deployments.get_mut(id) {
            deployment.told.insert(app.to_owned(), progress);
        }
        if self.heard("deployment_progress") {
            let mut fields = progress.said();
            fields["id"] = id.into();
            fields["runSpecId"] = app.into();
            fields["failures"] = failures.into();
            self.emit(now, "deployment_progress", fields);
        }
    }
}
