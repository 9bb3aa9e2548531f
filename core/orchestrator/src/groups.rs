//! Groups: which there are, what they say of their apps, and what a change of a group's tree means for apps and groups.
//!
//! Never brings anything about (`deployments`). Apps and pods know their group by their id alone.

mod company;
mod edges;

use crate::{
    App, Orchestrator,
    commands::message,
    definitions::{Draft, Faults},
    plan::Edges,
};
use api::marathon::{self, Context, GroupUpdate, Violation, canonical, is_below, parent, parents, top_level};
use model::request::Answer;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A group. The record `groups<id>`; the root is `/` and always there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupState {
    /// Apps and groups that all its apps need first.
    pub dependencies: Vec<String>,
    /// Whether its apps must have its name as role; none = nobody ever said.
    pub enforce_role: Option<bool>,
    /// What all apps below it have that do not say otherwise.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub defaults: Map<String, Value>,
    /// When it, or something in it, was last changed.
    pub version: String,
}

/// Apps, pods and groups as they will be; none = gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    pub apps: BTreeMap<String, Option<Arc<App>>>,
    pub groups: BTreeMap<String, Option<GroupState>>,
}

fn not_valid(found: &[Violation]) -> Answer {
    let (status, body) = marathon::not_valid(found);
    Answer::json(status, body)
}

pub(crate) fn no_group(id: &str) -> Answer {
    message(404, format!("Group '{id}' does not exist"))
}

impl Orchestrator {
    /// Groups directly in a group.
    pub fn groups_in<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a String> {
        self.groups_below(id).filter(move |group| parent(group) == id)
    }

    /// Groups in a group, at any depth.
    pub(crate) fn groups_below<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a String> {
        let below = if id == "/" { "/".to_owned() } else { format!("{id}/") };
        self.groups
            .range(below..)
            .map(|(group, _)| group)
            .take_while(move |group| {
                id == "/" || group.starts_with(id) && group.as_bytes().get(id.len()) == Some(&b'/')
            })
            .filter(move |group| is_below(group, id))
    }

    /// Apps and pods in a group, at any depth.
    pub(crate) fn specs_below<'a>(
        &'a self,
        id: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a crate::AppState)> {
        let below = if id == "/" { "/".to_owned() } else { format!("{id}/") };
        let end = below.clone();
        self.apps.range(below..).take_while(move |(app, _)| app.starts_with(&end))
    }

    /// Whether the top-level group of an app enforces its name as role.
    pub(crate) fn enforces_role(&self, id: &str) -> bool {
        let top = top_level(id).map(|top| format!("/{top}"));
        top.and_then(|top| self.groups.get(&top)).is_some_and(|group| group.enforce_role == Some(true))
    }

    /// What a definition at this id is read under; `enforced`: what the same request says of its top-level group.
    pub(crate) fn context(&self, id: &str, enforced: Option<bool>) -> Context {
        let config = &self.config;
        let mut context = Context {
            network: config.default_network_name.clone(),
            bridge: config.mesos_bridge_name.clone(),
            features: config.features.clone(),
            role: config.role.clone(),
            roles: [config.role.clone()].into_iter().chain(config.resident_role.clone()).collect(),
            resident_role: config.resident_role.clone(),
        };
        let Some(top) = top_level(id) else { return context };
        let known = self.groups.get(&format!("/{top}"));
        let fallback = known.map_or(config.new_group_enforce_role, |group| group.enforce_role == Some(true));
        if enforced.unwrap_or(fallback) {
            context.role = top.to_owned();
            context.roles.clear();
        }
        context.roles.insert(top.to_owned());
        let current = self.apps.get(id).and_then(|state| state.spec.role.clone());
        context.roles.extend(current);
        context
    }

    /// The groups that must be there for these changes, and new versions for all that something changes in.
    pub(crate) fn round_off(&self, changes: &mut Changes, version: &str) {
        let mut touched: BTreeSet<String> = BTreeSet::new();
        for (id, app) in &changes.apps {
            let known = app.is_some();
            touched.extend(
                parents(id).filter(|group| known || self.groups.contains_key(*group)).map(str::to_owned),
            );
        }
        let set: Vec<_> =
            changes.groups.iter().filter(|(_, group)| group.is_some()).map(|(id, _)| id.clone()).collect();
        for id in &set {
            touched.insert(id.clone());
            touched.extend(parents(id).map(str::to_owned));
        }
        let gone: Vec<_> =
            changes.groups.iter().filter(|(_, group)| group.is_none()).map(|(id, _)| id.clone()).collect();
        for id in &gone {
            touched.extend(parents(id).filter(|group| self.groups.contains_key(*group)).map(str::to_owned));
        }
        for id in touched {
            if gone.contains(&id) {
                continue;
            }
            let known = changes.groups.get(&id).cloned().flatten().or_else(|| self.groups.get(&id).cloned());
            let fresh = || GroupState {
                enforce_role: (self.config.new_group_enforce_role && parent(&id) == "/" && id != "/")
                    .then_some(true),
                ..GroupState::default()
            };
            let mut group = known.unwrap_or_else(fresh);
            version.clone_into(&mut group.version);
            changes.groups.insert(id, Some(group));
        }
    }

    /// What is wrong with the whole as it would be: ids that clash, circles.
    pub(crate) fn whole_is_right(&self, changes: &Changes) -> Result<Edges, Answer> {
        let mut found = Vec::new();
        let will_be_group =
            |id: &str| changes.groups.get(id).map_or_else(|| self.groups.contains_key(id), Option::is_some);
        let will_be_app =
            |id: &str| changes.apps.get(id).map_or_else(|| self.apps.contains_key(id), Option::is_some);
        let apps = changes.apps.iter().filter(|(_, app)| app.is_some()).map(|(id, _)| id);
        let groups = changes.groups.iter().filter(|(_, group)| group.is_some()).map(|(id, _)| id);
        for id in apps.chain(groups) {
            if will_be_group(id) && will_be_app(id) {
                let pod = changes.apps.get(id).and_then(Option::as_ref).map_or_else(
                    || self.apps.get(id).is_some_and(|state| state.spec.pod.is_some()),
                    |app| app.get("containers").is_some(),
                );
                let what = if pod { "Pods" } else { "Applications" };
                found.push(Violation::new(
                    "/",
                    format!("Groups and {what} may not have the same identifier."),
                ));
            }
        }
        let edges = self.edges_with(changes);
        if found.is_empty() && crate::plan::has_cycle(&edges) {
            found.push(Violation::new("/", "Dependency graph has cyclic dependencies."));
        }
        let circle = if found.is_empty() { self.circle_of_company(changes) } else { BTreeSet::new() };
        if !circle.is_empty() {
            let all = circle.into_iter().collect::<Vec<_>>().join(", ");
            let text = format!(
                "{all} would wait for each other for ever: none can be the first on an agent (@app LIKE)"
            );
            found.push(Violation::new("/", text));
        }
        if let Some(most) = self.config.max_apps {
            let more =
                changes.apps.iter().filter(|(id, app)| app.is_some() && !self.apps.contains_key(*id)).count();
            let fewer =
                changes.apps.iter().filter(|(id, app)| app.is_none() && self.apps.contains_key(*id)).count();
            if more > 0 && self.apps.len() + more - fewer > most {
                let text = format!(
                    "This Marathon instance may only handle up to {most} Apps! (Override with command line option --max_apps)"
                );
                found.push(Violation::new("/", text));
            }
        }
        found.dedup();
        if found.is_empty() { Ok(edges) } else { Err(not_valid(&found)) }
    }

    /// What a change of a group's tree means. `at` is the group; it need not be there yet.
    pub(crate) fn restructured(
        &self,
        at: &str,
        update: &GroupUpdate,
        draft: &mut Draft,
    ) -> Result<(), Answer> {
        let top = format!("/{}", at.split('/').nth(1).unwrap_or_default());
        let enforced = if at == "/" {
            None
        } else if top == at {
            update.enforce_role
        } else {
            None
        };
        let mut faults = Faults::default();
        self.tree((at, ""), update, enforced, draft, &mut faults)?;
        faults.into_answer()?;
        self.pass_on(draft)
    }

    /// What groups say for an app or a pod, the outermost first; as it will be after this draft.
    pub(crate) fn defaults_for<'a>(&'a self, id: &str, draft: &'a Draft) -> Vec<&'a Map<String, Value>> {
        let group = |id: &str| match draft.changes.groups.get(id) {
            Some(group) => group.as_ref(),
            None => self.groups.get(id),
        };
        let mut all: Vec<_> = parents(id).filter_map(|id| Some(&group(id)?.defaults)).collect();
        all.retain(|defaults| !defaults.is_empty());
        all.reverse();
        all
    }

    /// Gives an app what its groups say, and what nobody says.
    pub(crate) fn with_defaults(
        &self,
        id: &str,
        mut fields: Map<String, Value>,
        draft: &Draft,
    ) -> Map<String, Value> {
        marathon::own(&mut fields);
        marathon::inherit(&mut fields, &self.defaults_for(id, draft));
        marathon::fill(&mut fields);
        fields
    }

    /// Apps and pods of groups whose defaults change get them too.
    pub(crate) fn pass_on(&self, draft: &mut Draft) -> Result<(), Answer> {
        let says =
            |group: Option<&GroupState>| group.map(|group| &group.defaults).cloned().unwrap_or_default();
        let changed = draft
            .changes
            .groups
            .iter()
            .filter(|(id, group)| group.is_some() && says(group.as_ref()) != says(self.groups.get(*id)));
        let changed: Vec<String> = changed.map(|(id, _)| id.clone()).collect();
        for group in changed {
            for (id, state) in self.specs_below(&group) {
                if draft.changes.apps.contains_key(id) {
                    continue;
                }
                let fields = state.app.as_object().cloned().unwrap_or_default();
                if state.spec.pod.is_some() {
                    let pod = self.read_pod(id, fields, draft)?;
                    self.put(id, pod, draft)?;
                    continue;
                }
                let fields = self.with_defaults(id, fields, draft);
                let app =
                    marathon::complete(fields, "/", &self.context(id, None)).map_err(|f| not_valid(&f))?;
                self.put(id, app, draft)?;
            }
        }
        Ok(())
    }

    fn enforce_role_may_change(&self, at: &str, update: &GroupUpdate) -> Result<(), Answer> {
        fn services(update: &GroupUpdate) -> bool {
            update.apps.is_some() || update.groups.iter().flatten().any(services)
        }
        let wrong = |error: String| Err(not_valid(&[Violation::new("/enforceRole", error)]));
        let top = at != "/" && parent(at) == "/";
        if update.enforce_role == Some(true) && !top {
            return wrong(format!(
                "enforceRole can only be set for top-level groups, and {at} is not top-level"
            ));
        }
        let current = self.groups.get(at).map(|group| group.enforce_role.unwrap_or(false));
        let asked = update.enforce_role;
        if top && services(update) && current.is_some() && asked.is_some() && asked != current {
            return wrong(
                "enforceRole cannot be modified in a request that adds, removes or modifies services; please make \
                 these changes in separate requests."
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// `path` is where the update stands in the request. What is wrong with it is noted; another refusal ends it.
    fn tree(
        &self,
        (at, path): (&str, &str),
        update: &GroupUpdate,
        enforced: Option<bool>,
        draft: &mut Draft,
        faults: &mut Faults,
    ) -> Result<(), Answer> {
        faults.note(path, self.enforce_role_may_change(at, update))?;
        let mut group = self.groups.get(at).cloned().unwrap_or_default();
        if let Some(on) = &update.dependencies {
            group.dependencies.clone_from(on);
        }
        if let Some(defaults) = &update.defaults {
            group.defaults.clone_from(defaults);
        }
        let top = at != "/" && parent(at) == "/";
        if top {
            let fresh = (!self.groups.contains_key(at) && self.config.new_group_enforce_role).then_some(true);
            group.enforce_role = update.enforce_role.or(group.enforce_role).or(fresh);
        }
        // before its apps, which have what it says
        draft.changes.groups.insert(at.to_owned(), Some(group));
        if let Some(apps) = &update.apps {
            let mut named = BTreeMap::new();
            for (i, fields) in apps.iter().enumerate() {
                let path = format!("{path}/apps({i})");
                let id = canonical(fields.get("id").and_then(|id| id.as_str()).unwrap_or_default(), at);
                if parent(&id) != at || id == "/" {
                    faults.push(format!("{path}/id"), format!("Identifier is not child of '{at}': '{id}'"));
                    continue;
                }
                // upstream reads a set, and lets one of those that differ win
                if let Some(first) = named.insert(id.clone(), fields) {
                    if first
                        .iter()
                        .filter(|(name, _)| *name != "id")
                        .ne(fields.iter().filter(|(name, _)| *name != "id"))
                    {
                        faults.push(
                            format!("{path}/id"),
                            format!("'{id}' is defined twice, in different ways"),
                        );
                    }
                    continue;
                }
                let mut fields = fields.clone();
                self.keep_scale(&id, &mut fields);
                let fields = self.with_defaults(&id, fields, draft);
                match marathon::complete(fields, at, &self.context(&id, enforced)) {
                    Ok(app) => faults.note(&path, self.put(&id, app, draft))?,
                    Err(wrong) => faults.note_all(&path, wrong),
                }
            }
            let gone = self
                .specs_below(at)
                .filter(|(id, s)| s.spec.pod.is_none() && parent(id) == at && !named.contains_key(*id));
            gone.for_each(|(id, _)| drop(draft.changes.apps.insert(id.clone(), None)));
        }
        if let Some(groups) = &update.groups {
            let mut named = BTreeSet::new();
            for (i, group) in groups.iter().enumerate() {
                let path = format!("{path}/groups({i})");
                let id = canonical(group.id.as_deref().unwrap_or_default(), at);
                if !is_below(&id, at) {
                    faults.push(format!("{path}/id"), format!("Identifier is not child of '{at}': '{id}'"));
                    continue;
                }
                if named.contains(&id) {
                    if !groups[..i].contains(group) {
                        faults.push(
                            format!("{path}/id"),
                            format!("'{id}' is defined twice, in different ways"),
                        );
                    }
                    continue;
                }
                let own = if parent(&id) == "/" { group.enforce_role } else { enforced };
                self.tree((&id, &path), group, own, draft, faults)?;
                named.insert(id);
            }
            let kept = |group: &str| named.iter().any(|id| id == group || is_below(id, group));
            let gone: Vec<_> = self.groups_in(at).filter(|group| !kept(group)).cloned().collect();
            gone.iter().for_each(|group| self.without(group, draft));
        }
        Ok(())
    }

    /// A group goes, with all that is in it.
    pub(crate) fn without(&self, at: &str, draft: &mut Draft) {
        let apps = self.specs_below(at).map(|(id, _)| (id.clone(), None));
        draft.changes.apps.extend(apps);
        let groups = self.groups_below(at).map(|id| (id.clone(), None));
        draft.changes.groups.extend(groups);
        if at != "/" {
            draft.changes.groups.insert(at.to_owned(), None);
        }
    }

    /// All apps below a group grow or shrink.
    pub(crate) fn scaled(&self, at: &str, by: f64, draft: &mut Draft) -> Result<(), Answer> {
        if !self.groups.contains_key(at) {
            return Err(no_group(at));
        }
        for (id, state) in
            self.specs_below(at).filter(|(_, state)| state.spec.pod.is_none() && !state.spec.every)
        {
            let mut fields = state.app.as_object().cloned().unwrap_or_default();
            let wanted = (state.spec.instances as f64 * by).ceil();
            if wanted > INSTANCES_MAX {
                let text =
                    format!("{id} would have {wanted} instances, at most {INSTANCES_MAX} (INSTANCES_MAX)");
                return Err(not_valid(&[Violation::new("/scaleBy", text)]));
            }
            fields.insert("instances".into(), (wanted as u64).into());
            self.put(id, fields, draft)?;
        }
        Ok(())
    }

    pub(crate) fn put_group(&mut self, id: &str, group: Option<GroupState>) {
        let key = format!("groups{id}");
        match group {
            Some(group) => {
                self.saves.put(key, serde_json::to_vec(&group).unwrap_or_default());
                self.groups.insert(id.to_owned(), group);
            }
            None => {
                if self.groups.remove(id).is_some() {
                    self.saves.delete(key);
                }
            }
        }
    }
}

/// Marathon counts in 32 bits.
const INSTANCES_MAX: f64 = 2_147_483_647.0;
