//! Apps that want others on their agent: whether any of them could be the first. Never where one of them goes (`matching`).

use super::Changes;
use crate::{App, Orchestrator, neighbours::APP, neighbours::Beside};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Whether a definition says anything of company, without reading all of it.
fn names_company(app: &App) -> bool {
    let of_pod = app.pointer("/scheduling/placement/constraints").and_then(Value::as_array);
    let of_app = app.get("constraints").and_then(Value::as_array);
    let field =
        |constraint: &Value| constraint.get(0).or_else(|| constraint.get("fieldName")) == Some(&APP.into());
    of_app.into_iter().chain(of_pod).flatten().any(field)
}

impl Orchestrator {
    /// Changed apps that wait for company that waits for them, over others or not: none of them would ever start. Company
    /// that is not there yet may come.
    pub(crate) fn circle_of_company(&self, changes: &Changes) -> BTreeSet<String> {
        let new: BTreeMap<&String, Vec<Beside>> = changes
            .apps
            .iter()
            .filter_map(|(id, app)| Some((id, app.as_ref().filter(|app| names_company(app))?)))
            .map(|(id, app)| (id, crate::apps::spec(app).beside))
            .collect();
        if new.is_empty() {
            return BTreeSet::new();
        }
        let rules = |id: &String| -> Vec<Beside> {
            let known = || Some(self.apps.get(id)?.spec.beside.clone());
            let all = if changes.apps.contains_key(id) { new.get(id).cloned() } else { known() };
            all.into_iter().flatten().filter(Beside::wants).collect()
        };
        let kept = self.apps.keys().filter(|id| !changes.apps.contains_key(*id));
        let all: Vec<&String> =
            kept.chain(changes.apps.iter().filter(|(_, app)| app.is_some()).map(|(id, _)| id)).collect();
        // who waits, and for each of its wishes those who would do, of whom all wait too
        let mut waits: BTreeMap<&String, Vec<Vec<&String>>> = BTreeMap::new();
        let mut look: Vec<&String> = new.keys().copied().collect();
        while let Some(id) = look.pop() {
            if waits.contains_key(id) {
                continue;
            }
            let mut wishes = Vec::new();
            for rule in rules(id) {
                let mut others = Vec::new();
                let mut free = false;
                for other in all.iter().copied().filter(|other| *other != id && rule.likes(other)) {
                    free = rules(other).is_empty();
                    if free {
                        break;
                    }
                    others.push(other);
                }
                if !free && !others.is_empty() {
                    look.extend(&others);
                    wishes.push(others);
                }
            }
            waits.insert(id, wishes);
        }
        // one after the other those start for whom somebody is there
        loop {
            let there = |of: &Vec<&String>| of.iter().any(|other| !waits.contains_key(other));
            let starts = waits.iter().find(|(_, wishes)| wishes.iter().all(there)).map(|(id, _)| *id);
            let Some(id) = starts else { break };
            waits.remove(id);
        }
        waits.into_keys().filter(|id| new.contains_key(id)).cloned().collect()
    }
}
