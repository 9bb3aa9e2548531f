//! What has to happen, in which order, to bring one set of apps and pods to another. Pure.
//!
//! Never how far it got (`deployments`), nor how many instances move at once (`rolling`).

use crate::spec::Spec;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What is done to one app or pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// It begins, with no instance yet.
    StartApplication,
    /// It ends, with all its instances.
    StopApplication,
    /// Its instances become more or fewer.
    ScaleApplication,
    /// Its instances are replaced by those of another version.
    RestartApplication,
}

impl Kind {
    /// As deployments and events say it of an app.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StartApplication => "StartApplication",
            Self::StopApplication => "StopApplication",
            Self::ScaleApplication => "ScaleApplication",
            Self::RestartApplication => "RestartApplication",
        }
    }
    pub(crate) fn of_pod(self) -> &'static str {
        match self {
            Self::StartApplication => "StartPod",
            Self::StopApplication => "StopPod",
            Self::ScaleApplication => "ScalePod",
            Self::RestartApplication => "RestartPod",
        }
    }
}

/// One action on one app or pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Action {
    /// What is done.
    pub action: Kind,
    /// To which.
    pub app: String,
    /// Whether it is a pod.
    #[serde(default)]
    pub pod: bool,
}

impl Action {
    /// As clients see it.
    pub fn said(&self) -> Value {
        match self.pod {
            true => json!({ "action": self.action.of_pod(), "pod": self.app }),
            false => json!({ "action": self.action.as_str(), "app": self.app }),
        }
    }
}

/// Actions that run at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// By app.
    pub actions: Vec<Action>,
}

impl Step {
    /// As clients see it.
    pub fn said(&self) -> Value {
        json!({ "actions": self.actions.iter().map(Action::said).collect::<Vec<_>>() })
    }
}

/// What changes of one app: as it is, and as it will be.
pub type Change = (Option<Arc<Spec>>, Option<Arc<Spec>>);

/// By app, the apps that must be there first.
pub type Edges = BTreeMap<String, BTreeSet<String>>;

/// The steps of some changes, ordered by what depends on what. Apps that are equal in both need none.
pub fn plan(changes: &BTreeMap<String, Change>, edges: &Edges) -> Vec<Step> {
    let pick = |kind: Kind, wanted: &dyn Fn(&Change) -> bool| Step {
        actions: changes
            .iter()
            .filter(|(_, change)| wanted(change))
            .map(|(app, (old, new))| {
                let pod = old.as_ref().or(new.as_ref()).is_some_and(|spec| spec.pod.is_some());
                Action { action: kind, app: app.clone(), pod }
            })
            .collect(),
    };
    let mut steps = vec![
        pick(Kind::StopApplication, &|(old, new)| old.is_some() && new.is_none()),
        pick(Kind::StartApplication, &|(old, new)| old.is_none() && new.is_some()),
    ];
    let levels = levels(edges);
    let mut by_level: BTreeMap<usize, Vec<Action>> = BTreeMap::new();
    for (app, (old, new)) in changes {
        let Some(new) = new else { continue };
        let Some(action) = action_for(old.as_ref(), new) else { continue };
        let level = levels.get(app.as_str()).copied().unwrap_or(0);
        by_level.entry(level).or_default().push(Action { action, app: app.clone(), pod: new.pod.is_some() });
    }
    steps.extend(by_level.into_values().map(|actions| Step { actions }));
    steps.retain(|step| !step.actions.is_empty());
    steps
}

fn action_for(old: Option<&Arc<Spec>>, new: &Arc<Spec>) -> Option<Kind> {
    match old {
        None => Some(Kind::ScaleApplication),
        Some(old) if old.config_version != new.config_version => {
            let nothing_runs = new.instances == 0;
            Some(if nothing_runs { Kind::ScaleApplication } else { Kind::RestartApplication })
        }
        Some(old) if old.instances != new.instances => Some(Kind::ScaleApplication),
        Some(_) => None,
    }
}

/// By app, the length of its longest chain of dependencies; 0 is left out, what is in a cycle goes last.
fn levels(edges: &Edges) -> BTreeMap<&str, usize> {
    let mut waits: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wanted_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (app, on) in edges {
        let on: Vec<_> = on.iter().filter(|other| *other != app).collect();
        waits.insert(app, on.len());
        for other in on {
            waits.entry(other).or_insert(0);
            wanted_by.entry(other).or_default().push(app);
        }
    }
    let mut levels: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ready: Vec<&str> = waits.iter().filter(|(_, left)| **left == 0).map(|(app, _)| *app).collect();
    while let Some(app) = ready.pop() {
        let level = levels.get(app).copied().unwrap_or(0);
        levels.insert(app, level);
        for next in wanted_by.get(app).into_iter().flatten() {
            let above = levels.entry(next).or_insert(0);
            *above = (*above).max(level + 1);
            if let Some(left) = waits.get_mut(next) {
                *left -= 1;
                if *left == 0 {
                    ready.push(next);
                }
            }
        }
    }
    let last = levels.values().max().map_or(1, |most| most + 1);
    for (app, left) in waits {
        if left > 0 {
            levels.insert(app, last);
        }
    }
    levels
}

/// Whether something depends on itself through others.
pub fn has_cycle(edges: &Edges) -> bool {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for start in edges.keys() {
        // depth first, without recursion: what is open is on the way to here
        let mut open: BTreeSet<&str> = BTreeSet::new();
        let mut stack: Vec<(&str, bool)> = vec![(start, false)];
        while let Some((app, leaving)) = stack.pop() {
            if leaving {
                open.remove(app);
                done.insert(app);
                continue;
            }
            if done.contains(app) {
                continue;
            }
            if !open.insert(app) {
                return true;
            }
            stack.push((app, true));
            for on in edges.get(app).into_iter().flatten() {
                if open.contains(on.as_str()) {
                    return true;
                }
                stack.push((on, false));
            }
        }
    }
    false
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
