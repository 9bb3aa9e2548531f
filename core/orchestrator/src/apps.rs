//! Apps and their versions, as they were last told. Never decides what runs.

use crate::{App, Orchestrator, config::VERSIONS_MAX, spec::Spec, updates::Failure};
use std::{collections::BTreeMap, sync::Arc};

/// An app, its versions, and both read for use.
#[derive(Clone, Debug)]
pub struct AppState {
    /// The current definition. The record `apps<id>`.
    pub app: Arc<App>,
    /// The same, read.
    pub spec: Arc<Spec>,
    /// By version, at most `VERSIONS_MAX`. The records `versions<id>@<version>`.
    pub versions: BTreeMap<String, Arc<App>>,
    /// The same, read.
    pub specs: BTreeMap<String, Arc<Spec>>,
}

/// Reads a definition.
pub(crate) fn spec(app: &App) -> Spec {
    Spec::read(&serde_json::to_value(app).unwrap_or_default())
}

impl Orchestrator {
    /// Writes or removes an app.
    pub(crate) fn put_app(&mut self, id: &str, app: Option<Arc<App>>) {
        let Some(app) = app else {
            if let Some(gone) = self.apps.remove(id) {
                self.saves.delete(format!("apps{id}"));
                gone.versions.keys().for_each(|version| self.saves.delete(format!("versions{id}@{version}")));
            }
            return;
        };
        let record = serde_json::to_vec(&app).unwrap_or_default();
        let spec = Arc::new(spec(&app));
        self.saves.put(format!("apps{id}"), record.clone());
        self.saves.put(format!("versions{id}@{}", spec.version), record);
        let state = self.load_app(id, app, spec);
        let mut old = Vec::new();
        while state.versions.len() > VERSIONS_MAX {
            if let Some((version, _)) = state.versions.pop_first() {
                state.specs.remove(&version);
                old.push(version);
            }
        }
        old.into_iter().for_each(|version| self.saves.delete(format!("versions{id}@{version}")));
    }

    pub(crate) fn load_app(&mut self, id: &str, app: Arc<App>, spec: Arc<Spec>) -> &mut AppState {
        let state = self.apps.entry(id.to_owned()).or_insert_with(|| AppState {
            app: app.clone(),
            spec: spec.clone(),
            versions: BTreeMap::new(),
            specs: BTreeMap::new(),
        });
        state.versions.insert(spec.version.clone(), app.clone());
        state.specs.insert(spec.version.clone(), spec.clone());
        (state.app, state.spec) = (app, spec);
        state
    }

    pub(crate) fn put_failure(&mut self, app: &str, failure: Failure) {
        self.saves.put(format!("failures{app}"), serde_json::to_vec(&failure).unwrap_or_default());
        self.failures.insert(app.to_owned(), failure);
    }

    pub(crate) fn drop_failure(&mut self, app: &str) {
        if self.failures.remove(app).is_some() {
            self.saves.delete(format!("failures{app}"));
        }
    }
}
