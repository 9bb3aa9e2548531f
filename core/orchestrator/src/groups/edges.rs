//! What needs what first: apps by their own word, and by that of the groups they are in. Never how deep that goes (`plan`).

use super::Changes;
use crate::{App, Orchestrator, plan::Edges};
use api::marathon::is_below;
use std::collections::BTreeSet;

impl Orchestrator {
    /// What needs what: by its own word, or by that of a group it is in.
    pub(crate) fn edges_with(&self, changes: &Changes) -> Edges {
        let mut edges = Edges::new();
        let named = |app: &App| -> Vec<String> {
            let all = app.get("dependencies").and_then(serde_json::Value::as_array);
            all.into_iter().flatten().filter_map(|on| on.as_str().map(str::to_owned)).collect()
        };
        let groups = self
            .groups
            .iter()
            .filter(|(id, _)| !changes.groups.contains_key(*id))
            .map(|(id, g)| (id, g.dependencies.clone()));
        let new_groups =
            changes.groups.iter().filter_map(|(id, g)| Some((id, g.as_ref()?.dependencies.clone())));
        let by_group: Vec<_> = groups.chain(new_groups).filter(|(_, on)| !on.is_empty()).collect();
        let kept = self
            .index
            .dependents
            .iter()
            .filter(|id| !changes.apps.contains_key(*id))
            .filter_map(|id| Some((id, self.apps.get(id)?.spec.dependencies.clone())));
        let new = changes.apps.iter().filter_map(|(id, app)| Some((id, named(app.as_ref()?))));
        let by_app: Vec<_> = kept.chain(new).filter(|(_, on)| !on.is_empty()).collect();
        if by_app.is_empty() && by_group.is_empty() {
            return edges;
        }
        let mut all: BTreeSet<&String> =
            self.apps.keys().filter(|id| !changes.apps.contains_key(*id)).collect();
        all.extend(changes.apps.iter().filter(|(_, app)| app.is_some()).map(|(id, _)| id));
        let under = |on: &str| -> Vec<&String> {
            all.iter().filter(|id| id.as_str() == on || is_below(id, on)).copied().collect()
        };
        for (id, on) in &by_app {
            // what an older version took may name itself: only a change of it is refused for that
            let new = changes.apps.contains_key(*id);
            let on = on.iter().flat_map(|on| under(on)).filter(|other| new || other != id).cloned();
            edges.entry((*id).clone()).or_default().extend(on);
        }
        for (group, on) in &by_group {
            let on: BTreeSet<String> = on.iter().flat_map(|on| under(on)).cloned().collect();
            for id in under(group) {
                // what is in the group itself is not needed by it
                let on = on.iter().filter(|other| !is_below(other, group)).cloned();
                edges.entry(id.clone()).or_default().extend(on);
            }
        }
        edges
    }
}
