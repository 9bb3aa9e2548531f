//! Deployments: who locks which app, which step runs, what is undone. One lock per app.
//!
//! Never counts instances (`scaling`); what a deployment consists of is planned in `plan`.

use crate::{
    App, Orchestrator,
    definitions::Draft,
    groups::{Changes, GroupState},
    plan::{Action, Change, Edges, Kind, Step, plan},
    scaling::Phase,
    spec::Spec,
    terms::{Course, Progress, Terms},
    timers::Due,
};
use base::{Now, Time};
use model::request::Answer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// A change under way. The record `deployments/<id>`, but for what is marked: after a restart it runs again from its
/// first step, and what is reached already ends at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deployment {
    /// A UUID.
    pub id: String,
    /// The version that the changed apps got.
    pub version: String,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// Each affected app as it was; none = it was not there.
    pub original: BTreeMap<String, Option<Arc<App>>>,
    /// Each affected app as it will be; none = it will be gone.
    pub target: BTreeMap<String, Option<Arc<App>>>,
    /// Each affected group as it was, and as it will be.
    #[serde(default)]
    pub groups: BTreeMap<String, (Option<GroupState>, Option<GroupState>)>,
    /// What it must keep.
    #[serde(default)]
    pub terms: Terms,
    /// The deployment that it undoes, and why.
    #[serde(default)]
    pub undoes: Option<(String, String)>,
    /// How far it got; a record of its own.
    #[serde(skip)]
    pub course: Course,
    /// By app, the progress that was told last; not in the record.
    #[serde(skip)]
    pub(crate) told: BTreeMap<String, Progress>,
    /// The running step, from 0; not in the record.
    #[serde(skip)]
    pub current: usize,
    /// Apps whose action in the running step is not done; not in the record.
    #[serde(skip)]
    left: BTreeSet<String>,
    /// By app, the steps it is in and what is done to it there; not in the record.
    #[serde(skip)]
    turns: BTreeMap<String, Vec<(usize, Kind)>>,
    #[serde(skip)]
    specs: BTreeMap<String, Arc<Spec>>,
    #[serde(skip)]
    pub(crate) old: BTreeMap<String, VecDeque<String>>,
    /// Whether only the load of its app asked for it: whatever comes later takes its place, and nothing bounds it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_load: bool,
}

/// Why a change is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Other deployments have some of the apps.
    Locked(Vec<String>),
    /// Too many are under way.
    TooMany,
}

impl Deployment {
    pub(crate) fn original_spec(&self, app: &str) -> Option<Arc<Spec>> {
        self.specs.get(app).cloned()
    }
    fn index(&mut self) {
        let read = |(id, app): (&String, &Option<Arc<App>>)| {
            Some((id.clone(), Arc::new(crate::apps::spec(app.as_ref()?))))
        };
        self.specs = self.original.iter().filter_map(read).collect();
        for (at, step) in self.steps.iter().enumerate() {
            for action in &step.actions {
                self.turns.entry(action.app.clone()).or_default().push((at, action.action));
            }
        }
        self.begin_step();
    }
    fn begin_step(&mut self) {
        let actions = self.steps.get(self.current).into_iter().flat_map(|step| &step.actions);
        self.left = actions.map(|action| action.app.clone()).collect();
    }
    /// Whether the running step has yet to finish with this app.
    pub fn is_changing(&self, app: &str) -> bool {
        self.left.contains(app)
    }
    /// The plan as events say it.
    pub fn said(&self) -> Value {
        let steps: Vec<_> = self.steps.iter().map(Step::said).collect();
        json!({ "id": self.id, "version": self.version, "steps": steps })
    }
    pub(crate) fn step(&self) -> Value {
        self.steps.get(self.current).map_or_else(|| json!({ "actions": [] }), Step::said)
    }
}

impl Orchestrator {
    /// Where an app stands.
    pub(crate) fn phase(&self, app: &str) -> Phase {
        let Some(deployment) = self.locks.get(app).and_then(|id| self.deployments.get(id)) else {
            return Phase::Free;
        };
        let turns = deployment.turns.get(app).map_or(&[][..], Vec::as_slice);
        let now =
            turns.iter().find(|(at, _)| *at == deployment.current).filter(|_| deployment.left.contains(app));
        if now.is_some() && deployment.paused().is_some() {
            return Phase::Held(deployment.id.clone());
        }
        if let Some((_, kind)) = now {
            return Phase::Active(deployment.id.clone(), *kind);
        }
        let later = turns.iter().any(|(at, _)| *at > deployment.current);
        if later { Phase::Waiting(deployment.id.clone()) } else { Phase::Free }
    }

    /// Whether any change may take a deployment's place.
    pub(crate) fn gives_way(&self, id: &str) -> bool {
        self.deployments.get(id).is_some_and(|deployment| deployment.by_load)
    }

    /// The deployment that an app is locked by.
    pub(crate) fn locked_by(&self, app: &str) -> Option<&String> {
        self.locks.get(app).filter(|id| !self.gives_way(id))
    }

    /// Whether a change may begin; gives the deployments that it would break.
    fn admit(&self, draft: &Draft, force: bool) -> Result<BTreeSet<String>, Refused> {
        let mut others: BTreeSet<String> =
            draft.changes.apps.keys().filter_map(|app| self.locks.get(app)).cloned().collect();
        let locked = others.iter().filter(|other| !draft.breaks.contains(*other) && !self.gives_way(other));
        let waits = self.how.queue && self.line.has_any(draft.changes.apps.keys());
        if !force && (waits || locked.clone().next().is_some()) {
            return Err(Refused::Locked(locked.cloned().collect()));
        }
        others.extend(draft.breaks.iter().filter(|id| self.deployments.contains_key(*id)).cloned());
        if self.deployments.len() - others.len() >= self.config.max_running_deployments {
            return Err(Refused::TooMany);
        }
        Ok(others)
    }

    /// The steps that these changes would take; they are right as a whole.
    pub(crate) fn planned(
        &self,
        changes: &Changes,
        edges: &Edges,
    ) -> (Vec<Step>, BTreeMap<String, Arc<Spec>>) {
        let mut specs = BTreeMap::new();
        let mut all = BTreeMap::<String, Change>::new();
        for (id, app) in &changes.apps {
            let new = app.as_ref().map(|app| Arc::new(crate::apps::spec(app)));
            specs.extend(new.iter().map(|spec| (id.clone(), spec.clone())));
            all.insert(id.clone(), (self.apps.get(id).map(|state| state.spec.clone()), new));
        }
        (plan(&all, edges), specs)
    }

    /// Takes a change and begins to bring it about; gives the deployment's id. `at` is the group it is told of.
    pub(crate) fn deploy(
        &mut self,
        now: &mut Now<'_>,
        at: &str,
        draft: Draft,
        force: bool,
    ) -> Result<String, Answer> {
        let version = draft.version.clone();
        let taken = self.take(now, at, draft, force);
        if let Err(answer) = &taken
            && !(self.how.queue && answer.status == 409)
            && self.heard("group_change_failed")
        {
            let reason = match &answer.body {
                model::request::Body::Json(text) => serde_json::from_str::<Value>(text)
                    .ok()
                    .and_then(|body| Some(body.get("message")?.as_str()?.to_owned())),
                _ => None,
            };
            let fields = json!({ "groupId": at, "version": version, "reason": reason.unwrap_or_default() });
            self.emit(now.time, "group_change_failed", fields);
        }
        taken
    }

    fn take(&mut self, now: &mut Now<'_>, at: &str, mut draft: Draft, force: bool) -> Result<String, Answer> {
        self.round_off(&mut draft.changes, &draft.version);
        let edges = self.whole_is_right(&draft.changes)?;
        let others = self.admit(&draft, force).map_err(|refused| {
            if matches!(refused, Refused::Locked(_)) {
                self.line.hold(draft.changes.apps.keys());
            }
            crate::commands::refusal(refused)
        })?;
        let Draft { version, changes, undoes, by_load, .. } = draft;
        if undoes.is_none() {
            self.line.pass(&changes);
        }
        let mut reached = if undoes.is_none() { self.reached_before(&others) } else { BTreeMap::new() };
        let mut torn = BTreeSet::new();
        for other in &others {
            torn.extend(self.deployments.get(other).into_iter().flat_map(|d| d.target.keys().cloned()));
            let undone = undoes.as_ref().filter(|(id, _)| id == other);
            let (state, why) = undone.map_or(("cancelled", crate::commands::CANCELLED), |(_, why)| {
                (if why == crate::commands::CANCELLED { "cancelled" } else { "failed" }, why.as_str())
            });
            self.abandon(now.time, other, state, why);
        }
        let (mut steps, specs) = self.planned(&changes, &edges);
        self.mend(&mut steps, &changes, &specs, &torn);
        let was = |id: &String| self.groups.get(id).cloned();
        let (waited, id) = match self.line.promised() {
            Some((waited, id)) => (Some(waited), id),
            None => (None, now.rng.uuid().to_string()),
        };
        let mut deployment = Deployment {
            id: id.clone(),
            version: version.clone(),
            steps,
            original: changes
                .apps
                .keys()
                .map(|id| {
                    let current = || self.apps.get(id).map(|state| state.app.clone());
                    (id.clone(), reached.remove(id).or_else(current))
                })
                .collect(),
            target: changes.apps.clone(),
            groups: changes.groups.iter().map(|(id, group)| (id.clone(), (was(id), group.clone()))).collect(),
            terms: if undoes.is_some() || by_load { Terms::default() } else { self.how.terms },
            undoes: undoes.clone(),
            course: Course::default(),
            told: BTreeMap::new(),
            current: 0,
            left: BTreeSet::new(),
            turns: BTreeMap::new(),
            specs: BTreeMap::new(),
            old: BTreeMap::new(),
            by_load,
        };
        deployment.index();
        // what follows may take several batches: the deployment is first, so that a restart can finish them
        if !deployment.steps.is_empty() {
            let record = serde_json::to_vec(&deployment).unwrap_or_default();
            self.saves.put_long(&format!("deployments/{id}"), record);
            // it is in one of the two from here to its end, so that it begins once
            waited.iter().for_each(|version| self.saves.delete_long(&format!("line/{version}")));
        }
        if let Some((undone, _)) = &undoes {
            self.undone_by(undone, &id);
        }
        self.remember(&version, &changes);
        for (id, app) in &changes.apps {
            let app = app.clone().zip(specs.get(id).cloned());
            self.put_app(id, app);
        }
        for (id, group) in changes.groups {
            self.put_group(&id, group);
        }
        for other in others {
            self.saves.delete_last(&format!("deployments/{other}"));
        }
        self.emit(now.time, "group_change_success", json!({ "groupId": at, "version": version }));
        self.begin(now.time, deployment);
        self.dirty.extend(torn);
        self.roles_changed();
        Ok(id)
    }

    /// What apps were before deployments that are torn off amid a change of them: nobody knows whether what these were to
    /// bring about is any good, so that is not what one goes back to. What an undoing one was to bring back is.
    fn reached_before(&self, torn: &BTreeSet<String>) -> BTreeMap<String, Arc<App>> {
        let torn = torn.iter().filter_map(|id| self.deployments.get(id));
        let amid = torn.filter(|d| d.undoes.is_none() && !d.by_load);
        let was = |d: &'_ Deployment| -> Vec<(String, Arc<App>)> {
            let unfinished = |app: &str| {
                let left =
                    |(at, _): &(usize, Kind)| *at > d.current || (*at == d.current && d.is_changing(app));
                d.turns.get(app).is_some_and(|turns| turns.iter().any(left))
            };
            let known = d.original.iter().filter(|(app, _)| unfinished(app));
            known.filter_map(|(app, was)| Some((app.clone(), was.clone()?))).collect()
        };
        amid.flat_map(was).collect()
    }

    /// Where a deployment was torn off, an app may have instances of two versions though its definition is unchanged, or
    /// only its number is: the upgrade is finished.
    fn mend(
        &self,
        steps: &mut Vec<Step>,
        changes: &Changes,
        specs: &BTreeMap<String, Arc<Spec>>,
        torn: &BTreeSet<String>,
    ) {
        if torn.is_empty() {
            return;
        }
        let mixed = |spec: &Spec| self.instances.tallies(&spec.id, &spec.config_version).1.all > 0;
        for action in steps.iter_mut().flat_map(|step| &mut step.actions) {
            let scales = action.action == Kind::ScaleApplication && torn.contains(&action.app);
            if scales && specs.get(&action.app).is_some_and(|spec| mixed(spec)) {
                action.action = Kind::RestartApplication;
            }
        }
        let planned: BTreeSet<&String> =
            steps.iter().flat_map(|step| &step.actions).map(|action| &action.app).collect();
        let missing = changes.apps.keys().filter(|app| torn.contains(*app) && !planned.contains(app));
        let actions = missing.map(|app| {
            let pod = self.apps.get(app).is_some_and(|state| state.spec.pod.is_some());
            let action = match specs.get(app) {
                None => Kind::StopApplication,
                Some(spec) if mixed(spec) => Kind::RestartApplication,
                Some(_) => Kind::ScaleApplication,
            };
            Action { action, app: app.clone(), pod }
        });
        let actions: Vec<_> = actions.collect();
        if !actions.is_empty() {
            steps.push(Step { actions });
        }
    }

    fn begin(&mut self, now: Time, deployment: Deployment) {
        for app in deployment.target.keys() {
            self.locks.insert(app.clone(), deployment.id.clone());
        }
        let id = deployment.id.clone();
        self.deployments.insert(id.clone(), deployment);
        self.enter(now, &id);
    }

    /// A deployment found in the records goes on; one whose apps a later one has is over.
    pub(crate) fn resume(&mut self, now: Time, mut deployment: Deployment) {
        let others: BTreeSet<_> =
            deployment.target.keys().filter_map(|app| self.locks.get(app)).cloned().collect();
        for other in others {
            self.end(&other);
        }
        for (id, app) in &deployment.target {
            let there = self.apps.get(id).map(|state| &state.app);
            if there != app.as_ref() {
                let app = app.clone().map(|app| (app.clone(), Arc::new(crate::apps::spec(&app))));
                self.put_app(id, app);
            }
        }
        let groups: Vec<_> =
            deployment.groups.iter().map(|(id, (_, group))| (id.clone(), group.clone())).collect();
        for (id, group) in groups {
            let newer = self.groups.get(&id).is_some_and(|there| there.version > deployment.version);
            if !newer
                && !self.changed_since(&id, &deployment.version)
                && self.groups.get(&id) != group.as_ref()
            {
                self.put_group(&id, group);
            }
        }
        deployment.index();
        self.begin(now, deployment);
    }

    /// Begins the running step, or ends the deployment where there is none left.
    fn enter(&mut self, now: Time, id: &str) {
        let Some(deployment) = self.deployments.get_mut(id) else { return };
        deployment.begin_step();
        let Some(step) = deployment.steps.get(deployment.current) else {
            if self.heard("deployment_success") {
                let said = self.deployments.get(id).map(Deployment::said);
                self.emit(now, "deployment_success", json!({ "id": id, "plan": said }));
            }
            self.end(id);
            return;
        };
        let actions: Vec<_> = step.actions.iter().map(|action| (action.app.clone(), action.action)).collect();
        if self.heard("deployment_info") {
            self.say_step(now, id, "deployment_info");
        }
        self.clock_in(now, id, &actions);
        for (app, action) in actions {
            self.clear_backoff(&app);
            self.say_checks(now, &app, action);
            self.dirty.insert(app);
        }
    }

    fn say_step(&mut self, now: Time, id: &str, kind: &str) {
        if let Some(deployment) = self.deployments.get(id) {
            let fields = json!({ "plan": deployment.said(), "currentStep": deployment.step() });
            self.emit(now, kind, fields);
        }
    }

    /// The running step's action on this app is done.
    pub(crate) fn action_done(&mut self, now: Time, id: &str, app: &str) {
        let Some(deployment) = self.deployments.get_mut(id) else { return };
        let was_left = deployment.left.remove(app);
        deployment.old.remove(app);
        let over = deployment.left.is_empty();
        self.dirty.insert(app.to_owned());
        if was_left && over {
            if self.heard("deployment_step_success") {
                self.say_step(now, id, "deployment_step_success");
            }
            if let Some(deployment) = self.deployments.get_mut(id) {
                deployment.current += 1;
            }
            self.enter(now, id);
        }
    }

    fn end(&mut self, id: &str) -> Option<Deployment> {
        let deployment = self.deployments.remove(id)?;
        for app in deployment.target.keys() {
            if self.locks.get(app).is_some_and(|by| by == id) {
                self.locks.remove(app);
            }
            self.dirty.insert(app.clone());
        }
        self.saves.delete_long(&format!("deployments/{id}"));
        self.line.look = true;
        if deployment.is_bound() {
            self.timers.stop(&Due::Deployment(id.to_owned()));
            self.saves.delete_long(&format!("progress/{id}"));
        }
        Some(deployment)
    }

    /// Stops a deployment where it is.
    pub(crate) fn abandon(&mut self, now: Time, id: &str, state: &str, why: &str) -> Option<Deployment> {
        let progress = self.deployments.get(id).filter(|d| d.is_bound()).map(|d| self.progress_info(d));
        let deployment = self.end(id)?;
        if !deployment.by_load {
            self.remember_end(now, &deployment, state, why);
        }
        if self.heard("deployment_step_failure") {
            let fields = json!({ "plan": deployment.said(), "currentStep": deployment.step() });
            self.emit(now, "deployment_step_failure", fields);
        }
        let mut fields = json!({ "id": id, "plan": deployment.said(), "reason": why });
        if let Some(progress) = progress {
            fields["progress"] = progress;
        }
        self.emit(now, "deployment_failed", fields);
        Some(deployment)
    }
}
