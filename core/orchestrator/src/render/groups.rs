//! Groups as clients see them: a tree of groups, apps and pods, as they are or as they were. Read-only.

use super::Embed;
use crate::{GroupState, Orchestrator, history::Root};
use api::marathon::parent;
use base::Time;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What is asked for in a group.
#[derive(Clone, Copy, Debug)]
pub struct InGroup {
    /// Its groups, and theirs.
    pub groups: bool,
    /// Its apps, and what of them.
    pub apps: Option<Embed>,
    /// Its pods.
    pub pods: bool,
}

impl Orchestrator {
    /// A group and what is in it.
    pub fn group_info(&self, id: &str, inside: InGroup, now: Time) -> Option<Value> {
        let group = self.group(id)?;
        let mut inner: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        if inside.groups {
            // deepest first, so that each finds its own already there
            let mut below: Vec<_> = self.groups_below(id).collect();
            below.sort_by_key(|group| std::cmp::Reverse(group.matches('/').count()));
            for group in below {
                let groups = inner.remove(group.as_str()).unwrap_or_default();
                if let Some(state) = self.group(group) {
                    inner
                        .entry(parent(group))
                        .or_default()
                        .push(self.one_group(group, state, groups, inside, now));
                }
            }
        }
        let groups = inner.remove(id).unwrap_or_default();
        Some(self.one_group(id, group, groups, inside, now))
    }

    fn one_group(
        &self,
        id: &str,
        group: &GroupState,
        mut groups: Vec<Value>,
        inside: InGroup,
        now: Time,
    ) -> Value {
        let mine = |app: &String| parent(app) == id;
        let (mut apps, mut pods) = (Vec::new(), Vec::new());
        for (app, state) in self.specs_below(id).filter(|(app, _)| mine(app)) {
            match inside.apps {
                _ if state.spec.pod.is_some() => {
                    pods.extend(inside.pods.then(|| self.pod_status(app, now)).flatten());
                }
                Some(embed) => apps.extend(self.app_info(app, embed, now)),
                None => {}
            }
        }
        groups.sort_by(|a, b| a["id"].as_str().cmp(&b["id"].as_str()));
        said(id, group, apps, groups, pods, inside)
    }

    /// A group as it was after the change of a version; only definitions, for tasks are not kept.
    pub fn group_info_at(&self, id: &str, version: &str, inside: InGroup) -> Option<Value> {
        let root = self.root_at(version)?;
        was(&root, id, inside)
    }
}

fn was(root: &Root, id: &str, inside: InGroup) -> Option<Value> {
    let group = root.groups.get(id)?;
    let (mut apps, mut pods) = (Vec::new(), Vec::new());
    for (_, app) in root.apps.iter().filter(|(app, _)| parent(app) == id) {
        let pod = app.get("containers").is_some();
        if pod && inside.pods {
            pods.push(crate::commands::shown(app));
        } else if !pod && inside.apps.is_some() {
            apps.push((**app).clone());
        }
    }
    let below = root.groups.keys().filter(|group| inside.groups && *group != "/" && parent(group) == id);
    let groups: Vec<_> = below.filter_map(|group| was(root, group, inside)).collect();
    Some(said(id, group, apps, groups, pods, inside))
}

fn said(
    id: &str,
    group: &GroupState,
    apps: Vec<Value>,
    groups: Vec<Value>,
    pods: Vec<Value>,
    inside: InGroup,
) -> Value {
    let mut said = json!({ "id": id, "dependencies": group.dependencies, "version": group.version });
    for (name, asked, all) in [
        ("apps", inside.apps.is_some(), apps),
        ("groups", inside.groups, groups),
        ("pods", inside.pods, pods),
    ] {
        if asked {
            said[name] = all.into();
        }
    }
    // left out until somebody says it: PyPI's marathon 0.13 does not know the key
    if !group.defaults.is_empty() {
        said["defaults"] = group.defaults.clone().into();
    }
    if let Some(enforce) = group.enforce_role {
        said["enforceRole"] = enforce.into();
    }
    said
}
