//! How many instances each app should have now, and what follows: waiting launches, ends, finished actions.
//!
//! Looks only at apps that were marked, once each per step. Never picks agents (`matching`).

use crate::{
    Orchestrator,
    instances::{self, Condition, Instance, Rank, kill_order},
    kills::choose,
    plan::Kind,
    rolling::{Standing, moves},
    spec::Spec,
    statistics::{Queued, Statistics},
    timers::Due,
};
use base::Time;
use serde_json::json;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// So many agents are taken at once by an app for every agent; the rest follow.
const EVERY_AT_ONCE_MAX: u64 = 1000;

/// Where an app stands in the deployment that locks it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Phase {
    /// No action on it is left, or no deployment has it.
    Free,
    /// Its turn has not come.
    Waiting(String),
    /// It is being changed.
    Active(String, Kind),
    /// Its change is paused.
    Held(String),
}

/// Old instances of an upgrade that do not serve now.
#[derive(Debug, Default)]
struct Rest {
    /// That never did, as far as is known.
    useless: Vec<String>,
    /// That were well and fail, the first to go first.
    doubtful: Vec<Rank>,
    /// That can't be reached, those that are given up too.
    unreachable: Vec<String>,
    /// How many of these are not given up.
    away: u64,
}

/// Whether an instance counts among those of which some may be too many.
fn may_end(instance: &Instance) -> bool {
    !instance.ending && !instance.rests() && instance.condition != Condition::UnreachableInactive
}

impl Orchestrator {
    /// What an app's instances should be made of now: until its turn in a deployment comes, what it was before.
    pub(crate) fn spec(&self, app: &str) -> Option<Arc<Spec>> {
        match self.phase(app) {
            Phase::Waiting(deployment) => self.deployments.get(&deployment)?.original_spec(app),
            _ => self.apps.get(app).map(|app| app.spec.clone()),
        }
    }

    /// Looks at all marked apps.
    pub(crate) fn settle(&mut self, now: Time) {
        while let Some(app) = self.dirty.pop_first() {
            let phase = self.phase(&app);
            if let Phase::Active(deployment, _) = &phase {
                self.say_progress(now, deployment, &app);
            }
            match phase {
                Phase::Held(deployment) => self.hold(now, &deployment, &app),
                Phase::Active(deployment, Kind::StopApplication) => self.stop_app(now, &deployment, &app),
                Phase::Active(deployment, Kind::StartApplication) => self.action_done(now, &deployment, &app),
                Phase::Active(deployment, Kind::ScaleApplication) => {
                    let Some(spec) = self.spec(&app) else {
                        self.action_done(now, &deployment, &app);
                        continue;
                    };
                    if self.scale(now, &spec) {
                        self.action_done(now, &deployment, &app);
                    }
                }
                Phase::Active(deployment, Kind::RestartApplication) => self.replace(now, &deployment, &app),
                Phase::Waiting(deployment) => self.wait_for_turn(now, &deployment, &app),
                Phase::Free => match self.spec(&app) {
                    Some(spec) => {
                        self.scale(now, &spec);
                    }
                    None => self.no_app(now, &app),
                },
            }
        }
    }

    fn no_app(&mut self, now: Time, app: &str) {
        self.unqueue(app);
        if !self.locks.contains_key(app) {
            self.drop_past(app);
        }
        let tally = self.instances.tally(app);
        if tally.all > tally.ending {
            self.kill_all(now, app);
        }
    }

    /// Until its turn comes an app is kept at what it was. But after a restart a deployment begins again from its first
    /// step: what its later ones had launched already is left alone.
    fn wait_for_turn(&mut self, now: Time, deployment: &str, app: &str) {
        let before = self.deployments.get(deployment).and_then(|d| d.original_spec(app));
        let after = self.apps.get(app).map(|state| state.spec.clone());
        match (before, after) {
            (Some(before), after) => {
                let active = self.instances.tally(app).active;
                let wanted = self.wanted(&before, active);
                let launch = if before.every { EVERY_AT_ONCE_MAX } else { wanted.saturating_sub(active) };
                self.queue_up(now, &before, launch);
                let most = after.map_or(wanted, |after| self.wanted(&after, active).max(wanted));
                if active > most {
                    self.kill_some(now, &before, active - most, |_| true);
                }
            }
            (None, Some(_)) => self.unqueue(app),
            (None, None) => self.no_app(now, app),
        }
    }

    /// Brings an app to its number; whether it is there.
    fn scale(&mut self, now: Time, spec: &Arc<Spec>) -> bool {
        let tally = self.instances.tally(&spec.id);
        let wanted = self.wanted(spec, tally.active);
        if tally.resting > 0 && spec.volumes.is_empty() {
            self.forget_resting(&spec.id);
        }
        if spec.every {
            self.thin_out(now, spec);
            let tally = self.instances.tally(&spec.id);
            self.queue_up(now, spec, EVERY_AT_ONCE_MAX);
            return tally.active > 0 && tally.ending == 0 && self.counting(spec) >= wanted;
        }
        self.queue_up(now, spec, wanted.saturating_sub(tally.active));
        if tally.active > wanted {
            self.kill_some(now, spec, tally.active - wanted, |_| true);
        }
        tally.active == wanted && tally.ending == 0 && self.counting(spec) >= wanted
    }

    /// One on each agent is enough: there may be more from when the app wanted a number.
    fn thin_out(&mut self, now: Time, spec: &Spec) {
        if !self.instances.is_crowded(&spec.id) {
            return;
        }
        let mut there = BTreeMap::<String, u64>::new();
        for instance in self.instances.of_app(&spec.id).filter(|i| may_end(i)) {
            *there.entry(instance.agent.clone()).or_default() += 1;
        }
        for (agent, count) in there.into_iter().filter(|(_, count)| *count > 1) {
            self.kill_some(now, spec, count - 1, |i| i.agent == agent);
        }
    }

    /// How many instances of any configuration count in a deployment: what was left of an earlier one is looked at as its
    /// own definition says, which may have other checks, or none.
    fn counting(&self, spec: &Spec) -> u64 {
        let (new, _) = self.instances.tallies(&spec.id, &spec.config_version);
        spec.healthy(new).min(new.active) + self.old_well(spec)
    }

    /// How many instances of earlier configurations are well, each by the checks that it was launched with.
    fn old_well(&self, spec: &Spec) -> u64 {
        let specs = self.apps.get(&spec.id).map(|app| &app.specs);
        let old = self.instances.by_config(&spec.id).filter(|(config, _)| *config != spec.config_version);
        old.map(|(config, tally)| match specs.and_then(|specs| specs.get(config)) {
            Some(own) => own.well(tally),
            // its definition is not kept any more: nobody can say which checks it should pass
            None => tally.running - tally.unhealthy,
        })
        .sum()
    }

    fn stop_app(&mut self, now: Time, deployment: &str, app: &str) {
        self.unqueue(app);
        let tally = self.instances.tally(app);
        if tally.all > tally.ending {
            self.kill_all(now, app);
        }
        if self.instances.tally(app).all > 0 {
            return;
        }
        self.backoffs.remove(app);
        self.timers.stop(&Due::Backoff(app.to_owned()));
        self.drop_failure(app);
        self.drop_runs(app);
        self.emit(now, "app_terminated_event", json!({ "appId": app }));
        self.action_done(now, deployment, app);
    }

    /// Ends every instance; those that can't be reached are forgotten, and killed if they come back.
    fn kill_all(&mut self, now: Time, app: &str) {
        let all: Vec<_> = self.instances.of_app(app).map(|i| (i.id.clone(), i.condition, i.ending)).collect();
        for (id, condition, ending) in all {
            let away = matches!(condition, Condition::Unreachable | Condition::UnreachableInactive);
            if away || condition == Condition::Suspended {
                self.forget(&id);
            } else if !ending {
                self.kill(now, &id);
            }
        }
    }

    fn kill_some(&mut self, now: Time, spec: &Spec, count: u64, of: impl Fn(&Instance) -> bool) {
        let live = |i: &&Instance| may_end(i) && of(i);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let standing = |i: &Instance| match (self.serves(i), i.ready) {
            (false, _) => instances::Standing::Useless,
            (true, Some(false)) => instances::Standing::Fresh,
            (true, _) => instances::Standing::Well,
        };
        for id in choose(self.instances.of_app(&spec.id).filter(live), spec, count, standing) {
            self.kill(now, &id);
        }
    }

    /// A rolling upgrade: as many steps as its bounds allow now.
    fn replace(&mut self, now: Time, deployment: &str, app: &str) {
        let Some(spec) = self.apps.get(app).map(|app| app.spec.clone()) else {
            return self.action_done(now, deployment, app);
        };
        let (new, old) = self.instances.tallies(app, &spec.config_version);
        let old_healthy = self.old_well(&spec).min(old.active);
        let all_serve = old.all - old.ending - old.resting == old_healthy;
        let rest = if all_serve { Rest::default() } else { self.old_rest(&spec) };
        let standing = Standing {
            wanted: if spec.every { self.instances.agents_of(app) } else { self.wanted(&spec, new.active) },
            old_active: old.active,
            old_healthy,
            old_doubtful: rest.doubtful.len() as u64,
            old_away: rest.away,
            new_started: new.active,
            new_healthy: spec.healthy(new).min(new.active),
            ending: old.ending + new.ending,
            resident: !spec.volumes.is_empty(),
        };
        let next = moves(standing, spec.minimum_health, spec.over_capacity);
        self.queue_up(now, &spec, next.launch);
        let first = rest.useless.into_iter().chain(rest.doubtful.into_iter().map(|(.., id)| id));
        let mut left = next.kill;
        for id in first.take(usize::try_from(next.kill).unwrap_or(usize::MAX)) {
            self.kill(now, &id);
            left -= 1;
        }
        for _ in 0..left {
            match self.next_old(deployment, &spec) {
                Some(id) => self.kill(now, &id),
                None => break,
            }
        }
        if standing.new_healthy >= standing.wanted {
            // it is their end also if they come back, or were given up
            rest.unreachable.iter().for_each(|id| self.kill(now, id));
        }
        if new.active > standing.wanted {
            let mine = |i: &Instance| i.config == spec.config_version;
            self.kill_some(now, &spec, new.active - standing.wanted, mine);
        } else if next.done {
            self.action_done(now, deployment, app);
        }
    }

    /// Old instances that do not serve now. One that ever served may do so again: a failed check is no reason to end a
    /// task before there are as many as its check allows (`health`), nor is a link that is down for a moment.
    fn old_rest(&self, spec: &Spec) -> Rest {
        let mut rest = Rest::default();
        let old = |i: &&Instance| i.config != spec.config_version && !i.ending && !i.rests();
        for instance in self.instances.of_app(&spec.id).filter(old).filter(|i| !self.serves(i)) {
            match (instance.condition, instance.healthy) {
                (Condition::Unreachable | Condition::UnreachableInactive, _) => {
                    rest.away += u64::from(instance.condition == Condition::Unreachable);
                    rest.unreachable.push(instance.id.clone());
                }
                (Condition::Running, Some(false)) => {
                    rest.doubtful.push(kill_order(instance, instances::Standing::Useless, spec));
                }
                _ => rest.useless.push(instance.id.clone()),
            }
        }
        rest.doubtful.sort_unstable();
        rest
    }

    /// Whether an instance does what it is there for, by the checks that it was launched with.
    fn serves(&self, instance: &Instance) -> bool {
        let specs = self.apps.get(&instance.app).map(|app| &app.specs);
        let known = match specs.and_then(|specs| specs.get(&instance.config)) {
            Some(own) => own.checks.is_empty() || instance.healthy == Some(true),
            None => instance.healthy != Some(false),
        };
        instance.condition == Condition::Running && known
    }

    /// The next old instance to end, among those that serve. The order is made once and kept, so that an upgrade of many stays cheap.
    fn next_old(&mut self, deployment: &str, spec: &Spec) -> Option<String> {
        for fresh in [false, true] {
            let mut line = self.deployments.get_mut(deployment)?.old.remove(&spec.id).unwrap_or_default();
            if fresh {
                let old = |i: &&Instance| i.config != spec.config_version && !i.ending && self.serves(i);
                let mut all: Vec<_> = self
                    .instances
                    .of_app(&spec.id)
                    .filter(old)
                    .map(|i| kill_order(i, instances::Standing::Well, spec))
                    .collect();
                all.sort_unstable();
                line = all.into_iter().map(|(.., id)| id).collect::<VecDeque<_>>();
            }
            let mut found = None;
            while let Some(id) = line.pop_front() {
                if self.instances.get(&id).is_some_and(|i| !i.ending && self.serves(i)) {
                    found = Some(id);
                    break;
                }
            }
            self.deployments.get_mut(deployment)?.old.insert(spec.id.clone(), line);
            if found.is_some() {
                return found;
            }
        }
        None
    }

    pub(crate) fn unqueue(&mut self, app: &str) {
        if self.queue.remove(app).is_some() {
            self.session.look = true;
        }
    }

    /// Lets so many instances of an app wait for offers.
    pub(crate) fn queue_up(&mut self, now: Time, spec: &Arc<Spec>, count: u64) {
        if count == 0 {
            self.unqueue(&spec.id);
            return;
        }
        match self.queue.get_mut(&spec.id) {
            Some(queued) => {
                let same = Arc::ptr_eq(&queued.spec, spec);
                self.session.revive |= count > queued.count || !same;
                self.session.look = true;
                queued.count = count;
                if !same {
                    queued.spec = spec.clone();
                    queued.seen = Statistics::default();
                }
            }
            None => {
                self.session.revive = true;
                self.session.look = true;
                self.waits_anew = true;
                let seen = Statistics::default();
                self.queue.insert(
                    spec.id.clone(),
                    Queued { count, spec: spec.clone(), since: now, seen, told: Default::default() },
                );
            }
        }
    }

    /// Whether an app that waits may be launched now.
    pub(crate) fn launchable(&self, app: &str, queued: &Queued, now: Time) -> bool {
        queued.count > 0
            && self.refused_at_launch(&queued.spec).is_none()
            && self.waits_until(app, now).is_none()
    }

    /// Why no instance of an app can be launched at all.
    pub(crate) fn refused_at_launch(&self, spec: &Spec) -> Option<String> {
        if let Some(what) = &spec.unsupported {
            return Some(format!("{what} are not supported yet"));
        }
        let role = spec.role.as_deref().filter(|role| !self.session.roles.contains(*role))?;
        Some(format!("the master has not been told of role {role} yet"))
    }

    /// Until when an app backs off.
    pub(crate) fn waits_until(&self, app: &str, now: Time) -> Option<Time> {
        self.backoffs.get(app)?.1.waits_until(now)
    }

    /// A task of the app ended by itself, or for its health checks.
    pub(crate) fn back_off(&mut self, now: Time, app: &str) {
        let Some(spec) = self.spec(app) else { return };
        let (config, backoff) = self.backoffs.entry(app.to_owned()).or_default();
        if *config != spec.config_version {
            config.clone_from(&spec.config_version);
            backoff.clear();
        }
        backoff.failed(now, spec.policy());
        self.waits_anew = true;
        self.session.look = true;
        if let Some(until) = backoff.waits_until(now) {
            self.timers.set(Due::Backoff(app.to_owned()), until);
        }
    }

    /// Forgets an app's failures: it may launch at once.
    pub(crate) fn clear_backoff(&mut self, app: &str) {
        if self.backoffs.remove(app).is_some() {
            self.timers.stop(&Due::Backoff(app.to_owned()));
            self.session.revive = true;
            self.session.look = true;
        }
    }
}
