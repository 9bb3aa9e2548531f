//! What the root group was: each change keeps what it replaced, so that any of the last versions can be seen again.
//!
//! Never decides to go back; gives what was there.

use crate::{
    App, Orchestrator,
    apps::{Kept, read},
    config::GROUP_VERSIONS_MAX,
    definitions::Draft,
    groups::GroupState,
};
use api::marathon::is_below;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// What one change replaced. The record `history/<version>`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Replaced {
    pub apps: BTreeMap<String, Option<Kept>>,
    pub groups: BTreeMap<String, Option<GroupState>>,
}

/// The root group at some version.
#[derive(Clone, Debug, Default)]
pub struct Root {
    /// Apps and pods.
    pub apps: BTreeMap<String, Arc<App>>,
    /// Groups.
    pub groups: BTreeMap<String, GroupState>,
}

impl Orchestrator {
    /// Keeps what a change is about to replace.
    pub(crate) fn remember(&mut self, version: &str, changes: &crate::groups::Changes) {
        let replaced = Replaced {
            apps: changes
                .apps
                .keys()
                .map(|id| (id.clone(), self.apps.get(id).map(|state| state.text.clone())))
                .collect(),
            groups: changes.groups.keys().map(|id| (id.clone(), self.groups.get(id).cloned())).collect(),
        };
        self.saves.put_long(&format!("history/{version}"), serde_json::to_vec(&replaced).unwrap_or_default());
        self.history.insert(version.to_owned(), replaced);
        while self.history.len() > GROUP_VERSIONS_MAX {
            if let Some((old, _)) = self.history.pop_first() {
                self.saves.delete_long(&format!("history/{old}"));
            }
        }
    }

    /// Whether a later change than this version was about a group, as far as changes are kept: then that one holds.
    pub(crate) fn changed_since(&self, group: &str, version: &str) -> bool {
        let forgotten = self.history.first_key_value().is_some_and(|(oldest, _)| oldest.as_str() > version);
        let mut later = self.history.iter().rev().take_while(|(at, _)| at.as_str() > version);
        forgotten || later.any(|(_, replaced)| replaced.groups.contains_key(group))
    }

    fn now_there(&self) -> Root {
        Root {
            apps: self.apps.iter().map(|(id, state)| (id.clone(), state.app.clone())).collect(),
            groups: self.groups.clone(),
        }
    }

    /// Versions in which a group was there, newest first.
    pub fn group_versions(&self, id: &str) -> Vec<&str> {
        let mut there = self.groups.contains_key(id);
        let mut all = Vec::new();
        for (version, replaced) in self.history.iter().rev() {
            if there {
                all.push(version.as_str());
            }
            if let Some(before) = replaced.groups.get(id) {
                there = before.is_some();
            }
        }
        all
    }

    /// The root group as it was after the change of this version.
    pub fn root_at(&self, version: &str) -> Option<Root> {
        if !self.history.contains_key(version) {
            return None;
        }
        let mut root = self.now_there();
        let mut earlier: BTreeMap<&String, Option<&Kept>> = BTreeMap::new();
        for (_, replaced) in self.history.iter().rev().take_while(|(at, _)| at.as_str() != version) {
            earlier.extend(replaced.apps.iter().map(|(id, app)| (id, app.as_ref())));
            for (id, group) in &replaced.groups {
                match group {
                    Some(group) => root.groups.insert(id.clone(), group.clone()),
                    None => root.groups.remove(id),
                };
            }
        }
        for (id, app) in earlier {
            match app {
                Some(app) => root.apps.insert(id.clone(), read(app)),
                None => root.apps.remove(id),
            };
        }
        Some(root)
    }

    /// A group as it was then, with all that was in it; none = it was not there.
    pub(crate) fn back_to(
        &self,
        at: &str,
        version: &str,
        draft: &mut Draft,
    ) -> Option<Result<(), model::request::Answer>> {
        let root = self.root_at(version).filter(|root| root.groups.contains_key(at))?;
        self.without(at, draft);
        for (id, group) in root.groups.iter().filter(|(id, _)| *id == at || is_below(id, at)) {
            draft.changes.groups.insert(id.clone(), Some(group.clone()));
        }
        for (id, app) in root.apps.iter().filter(|(id, _)| is_below(id, at)) {
            draft.changes.apps.remove(id);
            if let Err(refused) = self.reinstated(id, app, draft) {
                return Some(Err(refused));
            }
        }
        Some(Ok(()))
    }
}
