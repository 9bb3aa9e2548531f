//! `/v2/deployments`. Read-only.

use crate::{Deployment, Orchestrator};
use serde_json::Value;

impl Orchestrator {
    /// `GET /v2/deployments`.
    pub fn deployments_info(&self) -> Value {
        let under_way = self.deployments().into_iter().map(|deployment| self.deployment_info(deployment));
        under_way.chain(self.line_info()).collect()
    }

    /// Those that did not get where they should, oldest first; the last `ENDED_MAX` are kept.
    pub fn ended_info(&self) -> Value {
        self.ended.values().filter_map(|ended| serde_json::to_value(ended).ok()).collect()
    }

    /// One that is under way, with everything that is known of it; or what became of it.
    pub fn deployment_named(&self, id: &str) -> Option<Value> {
        if let Some(deployment) = self.deployments.get(id) {
            let mut said = self.deployment_info(deployment);
            self.add_course(deployment, &mut said);
            return Some(said);
        }
        if let Some(waiting) = self.line_info().find(|lined| lined["id"] == id) {
            return Some(waiting);
        }
        let ended = self.ended.values().find(|ended| ended.id == id)?;
        serde_json::to_value(ended).ok()
    }

    /// What Marathon does not say: bounds, progress, why it stands still or exists.
    fn add_course(&self, deployment: &Deployment, said: &mut Value) {
        let terms = serde_json::to_value(deployment.terms).unwrap_or_default();
        for (name, value) in terms.as_object().into_iter().flatten() {
            said[name] = value.clone();
        }
        said["state"] = if deployment.paused().is_some() { "paused" } else { "running" }.into();
        if let Some(why) = deployment.paused().or(deployment.undoes.as_ref().map(|(_, why)| why.as_str())) {
            said["reason"] = why.into();
        }
        if let Some((undone, _)) = &deployment.undoes {
            said["rollbackOf"] = undone.clone().into();
        }
        if let Some((_, since)) = &deployment.course.paused {
            said["pausedAt"] = crate::when(*since).into();
        }
        said["progress"] = self.progress_info(deployment);
    }

    pub(super) fn deployment_info(&self, deployment: &Deployment) -> Value {
        let mut said = serde_json::to_value(self.said(deployment)).unwrap_or_default();
        if deployment.has_course() {
            self.add_course(deployment, &mut said);
        }
        said
    }
}

impl Deployment {
    /// Whether more is said of it: strict clients know no more keys than Marathon's, so that the others are there only
    /// where they were asked for.
    pub(super) fn has_course(&self) -> bool {
        self.is_bound() || self.undoes.is_some()
    }
}
