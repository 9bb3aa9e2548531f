//! Apps and pods and their versions, as they were last told, and what is counted over all of them. Never decides what
//! runs.

use crate::{App, Orchestrator, config::VERSIONS_MAX, spec::Spec, updates::Failure};
use serde_json::value::RawValue;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// An app or a pod, its versions, and both read for use.
#[derive(Clone, Debug)]
pub struct AppState {
    /// The current definition. The record `apps<id>`.
    pub app: Arc<App>,
    /// The same as text, as it is recorded and shown.
    pub text: Kept,
    /// The same, read.
    pub spec: Arc<Spec>,
    /// By version, at most `VERSIONS_MAX`. The records `versions<id>@<version>`.
    pub versions: BTreeMap<String, Kept>,
    /// The same, read: those that something runs, the current one, and not many more.
    pub specs: BTreeMap<String, Arc<Spec>>,
}

/// A definition that is kept to be seen again: its JSON, a tenth of what it takes when it is read.
pub type Kept = Arc<RawValue>;

/// Reads a definition that was kept.
pub fn read(kept: &Kept) -> Arc<App> {
    // it was written from one
    Arc::new(serde_json::from_str(kept.get()).unwrap_or_default())
}

/// Keeps a definition as it was written.
fn keep(json: Vec<u8>) -> Kept {
    let text = String::from_utf8(json).ok().and_then(|text| RawValue::from_string(text).ok());
    Arc::from(text.unwrap_or_default())
}

/// Definitions of one app that may be there read, though nothing runs them.
const SPECS_SPARE: usize = 2;

/// Versions of an app that is removed: kept until nothing can bring it back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    versions: BTreeMap<String, Kept>,
    specs: BTreeMap<String, Arc<Spec>>,
}

/// What is counted over all current definitions, so that no change has to look at all of them.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Service ports, and how many apps have each.
    pub service_ports: BTreeMap<u16, usize>,
    /// Roles, and how many apps have each.
    pub roles: BTreeMap<String, usize>,
    /// What depends on something.
    pub dependents: BTreeSet<String>,
    /// What wants some beside it, or not.
    pub picky: BTreeSet<String>,
    /// All ports from `local_port_min` to below this one are taken.
    pub full_below: u16,
}

impl Index {
    fn count(&mut self, spec: &Spec, more: bool) {
        fn one<K: Ord + Clone>(counts: &mut BTreeMap<K, usize>, key: &K, more: bool) {
            let count = counts.entry(key.clone()).or_default();
            *count = if more { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                counts.remove(key);
            }
        }
        for port in spec.service_ports.iter().filter(|port| **port != 0) {
            one(&mut self.service_ports, port, more);
            if !more && !self.service_ports.contains_key(port) {
                self.full_below = self.full_below.min(*port);
            }
        }
        while more && self.service_ports.contains_key(&self.full_below) {
            self.full_below = self.full_below.saturating_add(1);
        }
        if let Some(role) = &spec.role {
            one(&mut self.roles, role, more);
        }
        if more && !spec.beside.is_empty() {
            self.picky.insert(spec.id.clone());
        } else {
            self.picky.remove(&spec.id);
        }
        if more && !spec.dependencies.is_empty() {
            self.dependents.insert(spec.id.clone());
        } else {
            self.dependents.remove(&spec.id);
        }
    }
}

/// Reads a definition.
pub(crate) fn spec(app: &App) -> Spec {
    Spec::read(app)
}

impl Orchestrator {
    /// Writes or removes an app.
    pub(crate) fn put_app(&mut self, id: &str, app: Option<(Arc<App>, Arc<Spec>)>) {
        let Some((app, spec)) = app else {
            if let Some(gone) = self.apps.remove(id) {
                self.scale_by(id, &Spec::default());
                self.index.count(&gone.spec, false);
                self.saves.delete(format!("apps{id}"));
                // the deployment that removes it may be cancelled
                self.past.insert(id.to_owned(), Past { versions: gone.versions, specs: gone.specs });
                self.dirty.insert(id.to_owned());
            }
            return;
        };
        let record = serde_json::to_vec(&app).unwrap_or_default();
        self.saves.put(format!("apps{id}"), record.clone());
        self.saves.put(format!("versions{id}@{}", spec.version), record.clone());
        let back = self.past.contains_key(id);
        let state = self.load_app(id, app, spec, keep(record));
        let mut old = Vec::new();
        while state.versions.len() > VERSIONS_MAX {
            old.extend(state.versions.pop_first().map(|(version, _)| version));
        }
        if back {
            let ran: BTreeSet<_> =
                self.instances.of_app(id).map(|i| (i.version.clone(), i.config.clone())).collect();
            for (version, config) in &ran {
                self.read_specs(id, [version, config]);
            }
        }
        self.forget_specs(id);
        old.into_iter().for_each(|version| self.saves.delete(format!("versions{id}@{version}")));
        self.count_places(id);
    }

    /// What is counted for an app's definitions is known of all its instances, whichever they were launched with.
    pub(crate) fn count_places(&mut self, id: &str) {
        let Some(state) = self.apps.get(id) else { return };
        let fields: BTreeSet<&str> = state.specs.values().flat_map(|spec| spec.counted_fields()).collect();
        if !fields.is_empty() {
            self.instances.count_by(id, &fields);
        }
    }

    /// Makes a definition the current one; `text` is it as text.
    pub(crate) fn load_app(&mut self, id: &str, app: Arc<App>, spec: Arc<Spec>, text: Kept) -> &mut AppState {
        if let Some(old) = self.apps.get(id) {
            self.index.count(&old.spec, false);
        }
        self.index.count(&spec, true);
        self.scale_by(id, &spec);
        let past = &mut self.past;
        let state = self.apps.entry(id.to_owned()).or_insert_with(|| {
            let Past { versions, specs } = past.remove(id).unwrap_or_default();
            AppState { app: app.clone(), text: text.clone(), spec: spec.clone(), versions, specs }
        });
        state.versions.insert(spec.version.clone(), text.clone());
        state.specs.insert(spec.version.clone(), spec.clone());
        (state.app, state.spec, state.text) = (app, spec, text);
        state
    }

    /// Makes a definition the current one, as its record has it.
    pub(crate) fn load_record(&mut self, id: &str, record: &[u8]) {
        if let Ok(app) = serde_json::from_slice::<App>(record) {
            let spec = spec(&app);
            self.load_app(id, app.into(), spec.into(), keep(record.to_vec()));
            self.dirty.insert(id.to_owned());
        }
    }

    /// Adds an earlier definition of an app, which may be about to go.
    pub(crate) fn load_version(&mut self, id: &str, version: &str, record: &[u8]) {
        let versions = match self.apps.get_mut(id) {
            Some(state) => &mut state.versions,
            None => {
                self.dirty.insert(id.to_owned());
                &mut self.past.entry(id.to_owned()).or_default().versions
            }
        };
        versions.entry(version.to_owned()).or_insert_with(|| keep(record.to_vec()));
    }

    /// Nothing brings an app back any more.
    pub(crate) fn drop_past(&mut self, id: &str) {
        for version in self.past.remove(id).iter().flat_map(|past| past.versions.keys()) {
            self.saves.delete(format!("versions{id}@{version}"));
        }
    }

    /// Reads the definitions that an instance was launched with, where that is not done; true if it was to do.
    pub(crate) fn read_specs(&mut self, app: &str, used: [&str; 2]) -> bool {
        let mut fresh = false;
        let Some(state) = self.apps.get_mut(app) else { return fresh };
        for version in used {
            if !state.specs.contains_key(version)
                && let Some(kept) = state.versions.get(version)
            {
                state.specs.insert(version.to_owned(), spec(&read(kept)).into());
                fresh = true;
            }
        }
        fresh
    }

    /// Forgets what was read and nothing runs any more.
    fn forget_specs(&mut self, id: &str) {
        let Some(state) = self.apps.get_mut(id).filter(|state| state.specs.len() > SPECS_SPARE) else {
            return;
        };
        let mut used: BTreeSet<&str> =
            self.instances.of_app(id).flat_map(|i| [i.version.as_str(), i.config.as_str()]).collect();
        used.extend([state.spec.version.as_str(), state.spec.config_version.as_str()]);
        state.specs.retain(|version, _| used.contains(version.as_str()));
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
