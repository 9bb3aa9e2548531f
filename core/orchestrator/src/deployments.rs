//! Deployments: who locks which app, which step runs, what is undone. One lock per app.
//!
//! Never counts instances (`scaling`); what a deployment consists of is planned in `plan`.

use crate::{
    App, Orchestrator,
    config::DEPLOYMENTS_MAX,
    plan::{Kind, Step, plan},
    scaling::Phase,
    spec::Spec,
};
use base::{Now, Time};
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
    /// The running step, from 0; not in the record.
    #[serde(skip)]
    pub current: usize,
    /// Apps whose action in the running step is done; not in the record.
    #[serde(skip)]
    pub done: BTreeSet<String>,
    #[serde(skip)]
    specs: BTreeMap<String, Arc<Spec>>,
    #[serde(skip)]
    pub(crate) old: BTreeMap<String, VecDeque<String>>,
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
    fn read_specs(&mut self) {
        let read = |(id, app): (&String, &Option<Arc<App>>)| {
            Some((id.clone(), Arc::new(crate::apps::spec(app.as_ref()?))))
        };
        self.specs = self.original.iter().filter_map(read).collect();
    }
    /// The plan as events say it.
    pub fn said(&self) -> Value {
        json!({ "id": self.id, "version": self.version, "steps": self.steps })
    }
    fn step(&self) -> Value {
        self.steps.get(self.current).map_or_else(|| json!({ "actions": [] }), |step| json!(step))
    }
}

impl Orchestrator {
    /// Where an app stands.
    pub(crate) fn phase(&self, app: &str) -> Phase {
        let Some(deployment) = self.locks.get(app).and_then(|id| self.deployments.get(id)) else {
            return Phase::Free;
        };
        let action = |step: &Step| step.actions.iter().find(|a| a.app == app).map(|a| a.action);
        if let Some(kind) = deployment.steps.get(deployment.current).and_then(action)
            && !deployment.done.contains(app)
        {
            return Phase::Active(deployment.id.clone(), kind);
        }
        let later = deployment.steps.iter().skip(deployment.current + 1).any(|step| action(step).is_some());
        if later { Phase::Waiting(deployment.id.clone()) } else { Phase::Free }
    }

    /// Whether a change may begin; gives the deployments that it would break.
    pub(crate) fn admit(
        &self,
        changes: &BTreeMap<String, Option<Arc<App>>>,
        force: bool,
    ) -> Result<BTreeSet<String>, Refused> {
        let others: BTreeSet<String> =
            changes.keys().filter_map(|app| self.locks.get(app)).cloned().collect();
        if !force && !others.is_empty() {
            return Err(Refused::Locked(others.into_iter().collect()));
        }
        if self.deployments.len() - others.len() >= DEPLOYMENTS_MAX {
            return Err(Refused::TooMany);
        }
        Ok(others)
    }

    /// Takes a change of apps (none = delete) and begins to bring it about; gives the deployment's id.
    pub(crate) fn deploy(
        &mut self,
        now: &mut Now<'_>,
        version: &str,
        changes: BTreeMap<String, Option<Arc<App>>>,
        force: bool,
    ) -> Result<String, Refused> {
        let others = self.admit(&changes, force)?;
        let mut torn = BTreeSet::new();
        for other in others {
            torn.extend(self.deployments.get(&other).into_iter().flat_map(|d| d.target.keys().cloned()));
            self.abandon(now.time, &other);
        }
        let old: crate::plan::Apps =
            self.apps.iter().map(|(id, app)| (id.clone(), app.spec.clone())).collect();
        let original =
            changes.keys().map(|id| (id.clone(), self.apps.get(id).map(|app| app.app.clone()))).collect();
        for (id, app) in &changes {
            self.put_app(id, app.clone());
        }
        let new = self.apps.iter().map(|(id, app)| (id.clone(), app.spec.clone())).collect();
        let mut steps = plan(&old, &new);
        self.mend(&mut steps, &changes, &torn);
        let id = now.rng.uuid().to_string();
        let mut deployment = Deployment {
            id: id.clone(),
            version: version.to_owned(),
            steps,
            original,
            target: changes,
            current: 0,
            done: BTreeSet::new(),
            specs: BTreeMap::new(),
            old: BTreeMap::new(),
        };
        deployment.read_specs();
        self.saves.put(format!("deployments/{id}"), serde_json::to_vec(&deployment).unwrap_or_default());
        self.emit(now.time, "group_change_success", json!({ "groupId": "/", "version": version }));
        self.begin(now.time, deployment);
        self.dirty.extend(torn);
        Ok(id)
    }

    /// Where a deployment was torn off, an app may have instances of two versions though its definition is unchanged.
    fn mend(
        &self,
        steps: &mut Vec<Step>,
        changes: &BTreeMap<String, Option<Arc<App>>>,
        torn: &BTreeSet<String>,
    ) {
        let planned = |app: &String| steps.iter().any(|step| step.actions.iter().any(|a| a.app == *app));
        let missing: Vec<_> =
            changes.keys().filter(|app| torn.contains(*app) && !planned(app)).cloned().collect();
        let actions = missing.into_iter().map(|app| {
            let action = match self.apps.get(&app) {
                None => Kind::StopApplication,
                Some(state) if self.instances.tallies(&app, &state.spec.config_version).1.all > 0 => {
                    Kind::RestartApplication
                }
                Some(_) => Kind::ScaleApplication,
            };
            crate::plan::Action { action, app }
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

    /// A deployment found in the records goes on.
    pub(crate) fn resume(&mut self, now: Time, mut deployment: Deployment) {
        deployment.read_specs();
        self.begin(now, deployment);
    }

    /// Begins the running step, or ends the deployment where there is none left.
    fn enter(&mut self, now: Time, id: &str) {
        let Some(deployment) = self.deployments.get(id) else { return };
        let (said, step) = (deployment.said(), deployment.step());
        let Some(actions) = deployment.steps.get(deployment.current).map(|step| step.actions.clone()) else {
            self.end(id);
            return self.emit(now, "deployment_success", json!({ "id": id, "plan": said }));
        };
        self.emit(now, "deployment_info", json!({ "plan": said, "currentStep": step }));
        for action in actions {
            self.clear_backoff(&action.app);
            self.dirty.insert(action.app);
        }
    }

    /// The running step's action on this app is done.
    pub(crate) fn action_done(&mut self, now: Time, id: &str, app: &str) {
        let Some(deployment) = self.deployments.get_mut(id) else { return };
        deployment.done.insert(app.to_owned());
        deployment.old.remove(app);
        self.dirty.insert(app.to_owned());
        let Some(step) = deployment.steps.get(deployment.current) else { return };
        if step.actions.iter().all(|action| deployment.done.contains(&action.app)) {
            let fields = json!({ "plan": deployment.said(), "currentStep": deployment.step() });
            deployment.current += 1;
            deployment.done.clear();
            self.emit(now, "deployment_step_success", fields);
            self.enter(now, id);
        }
    }

    fn end(&mut self, id: &str) -> Option<Deployment> {
        let deployment = self.deployments.remove(id)?;
        for app in deployment.target.keys() {
            self.locks.remove(app);
            self.dirty.insert(app.clone());
        }
        self.saves.delete(format!("deployments/{id}"));
        Some(deployment)
    }

    /// Stops a deployment where it is.
    pub(crate) fn abandon(&mut self, now: Time, id: &str) -> Option<Deployment> {
        let deployment = self.end(id)?;
        let fields = json!({ "id": id, "plan": deployment.said(), "reason": "The deployment was cancelled" });
        self.emit(now, "deployment_failed", fields);
        Some(deployment)
    }
}
