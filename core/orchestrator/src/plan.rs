//! What has to happen, in which order, to bring one set of apps to another. Pure.
//!
//! Never how far it got (`deployments`), nor how many instances move at once (`rolling`).

use crate::spec::Spec;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What is done to one app.
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
    /// As deployments and events say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StartApplication => "StartApplication",
            Self::StopApplication => "StopApplication",
            Self::ScaleApplication => "ScaleApplication",
            Self::RestartApplication => "RestartApplication",
        }
    }
}

/// One action on one app.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Action {
    /// What is done.
    pub action: Kind,
    /// To which app.
    pub app: String,
}

/// Actions that run at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// By app.
    pub actions: Vec<Action>,
}

/// Apps by id.
pub type Apps = BTreeMap<String, Arc<Spec>>;

/// The steps from `old` to `new`. Apps equal in both need none.
pub fn plan(old: &Apps, new: &Apps) -> Vec<Step> {
    let step = |action: Kind, apps: Vec<&String>| Step {
        actions: apps.into_iter().map(|app| Action { action, app: app.clone() }).collect(),
    };
    let mut steps = vec![
        step(Kind::StopApplication, old.keys().filter(|id| !new.contains_key(*id)).collect()),
        step(Kind::StartApplication, new.keys().filter(|id| !old.contains_key(*id)).collect()),
    ];
    for level in levels(new) {
        let actions = level.into_iter().filter_map(|app| {
            let action = action_for(old.get(&app), &new[&app])?;
            Some(Action { action, app })
        });
        steps.push(Step { actions: actions.collect() });
    }
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

/// Apps by the length of their longest chain of dependencies; what is in a cycle goes last.
fn levels(apps: &Apps) -> Vec<Vec<String>> {
    let mut done = BTreeSet::new();
    let mut left: BTreeSet<&String> = apps.keys().collect();
    let mut all = Vec::new();
    while !left.is_empty() {
        let ready = |id: &&&String| {
            apps[**id].dependencies.iter().all(|on| {
                let below = format!("{on}/");
                let unmet =
                    |other: &&String| !done.contains(*other) && (*other == on || other.starts_with(&below));
                !apps.keys().any(|other| unmet(&other) && other != **id)
            })
        };
        let mut level: Vec<&String> = left.iter().filter(ready).copied().collect();
        if level.is_empty() {
            level = left.iter().copied().collect();
        }
        for id in &level {
            left.remove(*id);
            done.insert((*id).clone());
        }
        all.push(level.into_iter().cloned().collect());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(id: &str, config: &str, instances: u64, on: &[&str]) -> (String, Arc<Spec>) {
        let dependencies = on.iter().map(|on| (*on).to_owned()).collect();
        let spec =
            Spec { id: id.into(), config_version: config.into(), instances, dependencies, ..Spec::default() };
        (id.to_owned(), Arc::new(spec))
    }

    fn text(steps: &[Step]) -> Vec<String> {
        let action = |a: &Action| format!("{}{}", &a.action.as_str()[..3], a.app);
        steps.iter().map(|s| s.actions.iter().map(action).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn stops_starts_then_levels() {
        let old: Apps =
            [app("/gone", "1", 1, &[]), app("/same", "1", 1, &[]), app("/more", "1", 1, &[])].into();
        let new: Apps = [
            app("/same", "1", 1, &[]),
            app("/more", "1", 2, &[]),
            app("/web", "2", 1, &["/db", "/same"]),
            app("/db", "2", 1, &["/more"]),
        ]
        .into();
        assert_eq!(text(&plan(&old, &new)), ["Sto/gone", "Sta/db Sta/web", "Sca/more", "Sca/db", "Sca/web"]);
    }

    #[test]
    fn a_change_restarts_and_a_cycle_ends() {
        let old: Apps =
            [app("/a", "1", 3, &["/b"]), app("/b", "1", 3, &["/a"]), app("/c", "1", 3, &[])].into();
        let new: Apps =
            [app("/a", "2", 4, &["/b"]), app("/b", "1", 3, &["/a"]), app("/c", "2", 0, &[])].into();
        assert_eq!(text(&plan(&old, &new)), ["Sca/c", "Res/a"]);
        assert_eq!(plan(&old, &old), []);
    }
}
