//! Changes of groups that clients ask for. What they mean for apps is in `groups`.

use super::message;
use crate::{
    Orchestrator,
    definitions::Draft,
    groups::{GroupState, no_group},
    plan::Step,
};
use api::marathon::{GroupUpdate, Violation, canonical, not_valid, parent};
use base::Now;
use model::request::{Answer, Body};
use serde_json::json;
use std::collections::BTreeMap;

/// Where an update that was sent to `base` goes.
fn place(base: &str, update: &GroupUpdate) -> String {
    update.id.as_deref().map_or_else(|| base.to_owned(), |id| canonical(id, base))
}

impl Orchestrator {
    /// What an update of a group comes to.
    fn regrouped(&self, at: &str, update: &GroupUpdate, draft: &mut Draft) -> Result<(), Answer> {
        if let Some(version) = &update.version {
            let gone = || message(404, format!("Group '{at}' does not exist in version '{version}'"));
            let version = crate::version_of(version).ok_or_else(gone)?;
            return self.back_to(at, &version, draft).ok_or_else(gone)?;
        }
        match update.scale_by {
            Some(by) => self.scaled(at, by, draft),
            None => self.restructured(at, update, draft),
        }
    }

    pub(super) fn put_group_tree(
        &mut self,
        now: &mut Now<'_>,
        base: &str,
        update: &GroupUpdate,
        force: bool,
        create: bool,
    ) -> Result<Answer, Answer> {
        let at = place(base, update);
        let mut draft = self.draft(now);
        if create && self.groups.contains_key(&at) {
            return Err(message(
                409,
                format!("Group {at} is already created. Use PUT to change this group."),
            ));
        }
        if create && self.apps.contains_key(&at) {
            return Err(message(409, format!("An app with the path {at} already exists.")));
        }
        self.regrouped(&at, update, &mut draft)?;
        let made = create.then(|| format!("/v2/groups{at}"));
        self.deployed(now, parent(base), draft, force, made)
    }

    /// What an update of a group would do (`dryRun`).
    pub fn dry_run(&self, base: &str, update: &GroupUpdate) -> Answer {
        let at = place(base, update);
        let mut draft = Draft::new(&crate::when(self.last_version + 1));
        let planned = self.regrouped(&at, update, &mut draft).and_then(|()| {
            self.round_off(&mut draft.changes, &draft.version);
            let edges = self.whole_is_right(&draft.changes)?;
            Ok(self.planned(&draft.changes, &edges).0)
        });
        match planned {
            Ok(steps) => {
                let steps: Vec<_> = steps.iter().map(Step::said).collect();
                Answer::json(200, json!({ "steps": steps }).to_string())
            }
            Err(refusal) => refusal,
        }
    }

    pub(super) fn patch_group(
        &mut self,
        now: &mut Now<'_>,
        id: &str,
        enforce_role: Option<bool>,
    ) -> Result<Answer, Answer> {
        if id == "/" || parent(id) != "/" {
            let (status, body) = not_valid(&[Violation::new("/", "Path needs to be top-level")]);
            return Err(Answer::json(status, body));
        }
        let mut group = self.groups.get(id).cloned().ok_or_else(|| no_group(id))?;
        group.enforce_role = Some(enforce_role.unwrap_or(self.config.new_group_enforce_role));
        let mut draft = self.draft(now);
        draft.changes.groups.insert(id.to_owned(), Some(group));
        self.round_off(&mut draft.changes, &draft.version);
        self.remember(&draft.version, &draft.changes);
        for (id, group) in draft.changes.groups {
            self.put_group(&id, group);
        }
        Ok(Answer::new(200, Body::Empty))
    }

    pub(super) fn delete_group(
        &mut self,
        now: &mut Now<'_>,
        id: &str,
        force: bool,
    ) -> Result<Answer, Answer> {
        if !self.groups.contains_key(id) && id != "/" {
            return Err(no_group(id));
        }
        let mut draft = self.draft(now);
        self.without(id, &mut draft);
        if id == "/" {
            draft.changes.groups.insert("/".into(), Some(GroupState::default()));
        }
        self.deployed(now, parent(id), draft, force, None)
    }

    /// Groups go back to what a deployment found; what others have changed since stays (DeploymentPlanReverter).
    pub(super) fn revert_groups(
        &self,
        groups: &BTreeMap<String, (Option<GroupState>, Option<GroupState>)>,
        draft: &mut Draft,
    ) {
        // inner groups first
        for (id, (was, became)) in groups.iter().rev() {
            let there = self.groups.get(id);
            match (was, became, there) {
                (Some(was), None, None) => {
                    draft.changes.groups.insert(id.clone(), Some(was.clone()));
                }
                (Some(was), Some(became), Some(there))
                    if was.dependencies != became.dependencies || was.defaults != became.defaults =>
                {
                    let mut back = there.clone();
                    if there.defaults == became.defaults {
                        back.defaults.clone_from(&was.defaults);
                    }
                    back.dependencies
                        .retain(|on| was.dependencies.contains(on) || !became.dependencies.contains(on));
                    let lost = was.dependencies.iter().filter(|on| !back.dependencies.contains(on));
                    let lost: Vec<_> = lost.cloned().collect();
                    back.dependencies.extend(lost);
                    draft.changes.groups.insert(id.clone(), Some(back));
                }
                (None, Some(_), Some(_)) if id != "/" && self.will_be_empty(id, draft) => {
                    draft.changes.groups.insert(id.clone(), None);
                }
                _ => {}
            }
        }
    }

    fn will_be_empty(&self, id: &str, draft: &Draft) -> bool {
        let apps = self.specs_below(id).all(|(app, _)| matches!(draft.changes.apps.get(app), Some(None)));
        let back =
            draft.changes.apps.iter().any(|(app, to)| to.is_some() && api::marathon::is_below(app, id));
        let groups = self.groups_below(id).all(|group| matches!(draft.changes.groups.get(group), Some(None)));
        apps && !back && groups
    }
}
