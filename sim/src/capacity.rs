//! The capacity that an upgrade promises, whatever fails meanwhile: what the orchestrator itself ends and launches, by what it
//! knows at that instant. Losses by faults are nobody's promise; who only fails for a moment counts as if it were well.
//!
//! Counts for itself: never asks the orchestrator how many are well.

use orchestrator::{
    Command, Deployment, Input, Kind, Orchestrator,
    instances::{Checked, Condition, Instance},
    spec::{CheckSpec, Spec},
};
use std::collections::{BTreeMap, BTreeSet};

/// What was before a step, by app: who lived, and who of them was not being ended.
#[derive(Debug, Default)]
pub struct Before(BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>);

/// What an app was promised: at least so many well ones, at most so many at all, as long as it is upgraded.
struct Promised {
    floor: u64,
    ceiling: Option<u64>,
}

/// Whether a client names the tasks that are to end: then their app's capacity is the client's concern.
pub fn names_tasks(input: &Input) -> bool {
    matches!(input, Input::Command { command, .. } if matches!(**command, Command::KillTasks { .. }))
}

/// How a machine stands before a step.
pub fn before(machine: &Orchestrator) -> Before {
    let mut all = BTreeMap::<String, (BTreeSet<String>, BTreeSet<String>)>::new();
    for instance in machine.instances() {
        let (lived, wanted) = all.entry(instance.app.clone()).or_default();
        lived.insert(instance.id.clone());
        if !instance.ending {
            wanted.insert(instance.id.clone());
        }
    }
    Before(all)
}

/// Whether it serves, as far as is known: by the checks of the definition that it was launched with.
fn serves(machine: &Orchestrator, instance: &Instance) -> bool {
    let state = machine.app(&instance.app);
    let own = state.and_then(|state| state.specs.get(&instance.config));
    let checked = own.is_some_and(|spec| !spec.checks.is_empty());
    let well = if checked { instance.healthy == Some(true) } else { instance.healthy != Some(false) };
    instance.condition == Condition::Running && well
}

/// Whether it was well and fails now, but not so often that it is ended for that.
fn doubtful(machine: &Orchestrator, instance: &Instance) -> bool {
    let state = machine.app(&instance.app);
    // by the version that it is checked by: that of its configuration may not be kept any more
    let own = state.map(|state| state.specs.get(&instance.version).unwrap_or(&state.spec));
    let checks = own.map_or(&[][..], |spec| &spec.checks);
    let too_often = |(found, check): (&Checked, &CheckSpec)| {
        check.failures_max > 0 && found.failures >= check.failures_max
    };
    instance.condition == Condition::Running
        && instance.healthy == Some(false)
        && !instance.checks.iter().zip(checks).any(too_often)
}

fn kind(deployment: &Deployment, app: &str) -> Option<Kind> {
    let step = deployment.steps.get(deployment.current)?;
    let action = step.actions.iter().find(|action| action.app == app)?;
    deployment.is_changing(app).then_some(action.action)
}

fn promised(machine: &Orchestrator, app: &str) -> Option<Promised> {
    let spec: &Spec = &machine.app(app)?.spec;
    let wanted = spec.instances;
    let Some(deployment) = machine.deployment_of(app) else {
        return Some(Promised { floor: wanted, ceiling: None });
    };
    // while it is paused what ends is replaced by the version before, up to the number there was
    let kind = kind(deployment, app).filter(|_| deployment.paused().is_none());
    match kind {
        Some(Kind::StopApplication) => None,
        Some(Kind::RestartApplication) => {
            let floor = (wanted as f64 * spec.minimum_health).ceil() as u64;
            let most = (wanted as f64 * (1.0 + spec.over_capacity)).floor() as u64;
            // where others get one more, one with volumes gives one up
            if !spec.volumes.is_empty() && most == floor {
                return Some(Promised { floor: floor.saturating_sub(1), ceiling: Some(most) });
            }
            Some(Promised { floor, ceiling: Some(most + u64::from(most == floor)) })
        }
        Some(_) => Some(Promised { floor: wanted, ceiling: None }),
        // its turn has not come, is over, or waits
        None => {
            let was = deployment.original.get(app).and_then(|app| app.as_ref()?.get("instances")?.as_u64());
            Some(Promised { floor: was.unwrap_or(0).min(wanted), ceiling: None })
        }
    }
}

/// Panics if the step that led here ended one that served though fewer than promised were left, or launched more than may be.
pub fn check(machine: &Orchestrator, before: &Before) {
    for (app, (lived, wanted)) in &before.0 {
        let Some(promised) = promised(machine, app) else { continue };
        let mine = || machine.instances_of(app);
        let ended: Vec<_> = mine()
            .filter(|i| i.ending && wanted.contains(&i.id) && serves(machine, i))
            .map(|i| &i.id)
            .collect();
        let left = mine().filter(|i| !i.ending && serves(machine, i)).count() as u64;
        assert!(
            ended.is_empty() || left >= promised.floor,
            "{app}: {ended:?} served and were ended, though {left} are left and {} were promised",
            promised.floor
        );
        // an upgrade spares who fails for a moment as if it were well, and who can't be reached until it is over
        let upgraded = machine.app(app).filter(|_| promised.ceiling.is_some());
        if let Some(config) = upgraded.map(|state| &state.spec.config_version) {
            let mut old = mine().filter(|i| i.config != *config && i.ending && wanted.contains(&i.id));
            let spared =
                old.find(|i| doubtful(machine, i) || i.condition == Condition::Unreachable).map(|i| &i.id);
            let left =
                mine().filter(|i| !i.ending && (serves(machine, i) || doubtful(machine, i))).count() as u64;
            assert!(
                spared.is_none() || left >= promised.floor,
                "{app}: {spared:?} was ended, though {left} are left and {} were promised",
                promised.floor
            );
        }
        let fresh = mine().filter(|i| !lived.contains(&i.id)).count();
        let all =
            mine().filter(|i| !i.rests() && i.condition != Condition::UnreachableInactive).count() as u64;
        if let Some(ceiling) = promised.ceiling.filter(|_| fresh > 0) {
            assert!(all <= ceiling, "{app}: {fresh} were launched, and {all} are more than {ceiling}");
        }
    }
}
