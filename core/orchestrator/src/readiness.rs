//! Readiness: asked of each new task until it is ready once, and has run for long enough; until then no old one may go
//! for it. Never performs a
//! probe, and never ends a task for it.

use crate::{
    Asked, Effect, Orchestrator, ProbeId,
    health::INTERVAL_MIN,
    instances::{Condition, Instance},
    plan::Kind,
    scaling::Phase,
    spec::Spec,
    terms::Terms,
    timers::Due,
};
use base::{Duration, Effects, Time};
use model::container::{Page, Probe, Probed};
use serde_json::{Value, json};

/// So much is kept of the body of an answer that clients are shown.
const READINESS_BODY_MAX: usize = 4096;

/// When it has run for long enough.
fn settled_at(instance: &Instance) -> Time {
    let started = Time::from_millis(instance.started_at.unwrap_or(instance.staged_at));
    started + Duration::from_secs(instance.settle_s)
}

impl Orchestrator {
    pub(crate) fn start_readiness(&mut self, now: Time, instance: &Instance) {
        if instance.ready == Some(false) && !instance.ending {
            let checked = self.spec_of(instance).is_some_and(|spec| spec.readiness.is_some());
            let at = if checked { now } else { settled_at(instance) };
            self.timers.set(Due::Ready(instance.id.clone()), at);
        }
    }

    /// For how many seconds a new instance must run before it counts.
    pub(crate) fn settle_of(&self, spec: &Spec) -> u64 {
        let deployment = self.locks.get(&spec.id).and_then(|id| self.deployments.get(id));
        let call = deployment.map(|deployment| deployment.terms).unwrap_or_default();
        let upgraded = matches!(self.phase(&spec.id), Phase::Active(_, Kind::RestartApplication));
        let failures = deployment
            .filter(|_| upgraded && spec.minimum_health > 0.0)
            .map(|deployment| deployment.course.apps.get(&spec.id).map_or(0, |course| course.failures));
        let checked = !spec.checks.is_empty() || spec.readiness.is_some();
        Terms::settle(&call, &spec.terms, checked, failures)
    }

    fn mark_ready(&mut self, mut instance: Instance) {
        instance.ready = Some(true);
        self.timers.stop(&Due::Ready(instance.id.clone()));
        self.dirty.insert(instance.app.clone());
        self.put_instance(instance);
    }

    /// A readiness check is due.
    pub(crate) fn ask_ready(&mut self, now: Time, id: &str, out: &mut Effects<Effect>) {
        let Some(instance) = self.instances.get(id) else { return };
        if instance.ready != Some(false) || instance.ending || instance.condition != Condition::Running {
            return;
        }
        let Some(spec) = self.spec_of(instance) else { return };
        let Some(check) = &spec.readiness else {
            return match settled_at(instance) {
                at if at <= now => self.mark_ready(instance.clone()),
                at => self.timers.set(Due::Ready(id.to_owned()), at),
            };
        };
        let Some(port) = instance.ports.get(check.port).copied() else { return };
        let (host, path) = (instance.host.clone(), check.path.clone());
        let number = ProbeId(self.probes_next);
        self.probes_next += 1;
        self.probes.insert(number, (id.to_owned(), Asked::Ready));
        let https = check.https;
        let probe = match check.preserve {
            true => Probe::Page { https, host, port, path, bytes_max: READINESS_BODY_MAX },
            false => Probe::Http { https, host, port, path, redirects_max: 0 },
        };
        out.push(Effect::Probe { id: number, probe, timeout: check.timeout });
        // should no answer ever come
        self.timers.set(Due::Ready(id.to_owned()), now + check.interval.max(INTERVAL_MIN) + check.timeout);
    }

    /// A readiness check was answered.
    pub(crate) fn asked_ready(&mut self, now: Time, id: &str, probed: Probed) {
        let Some(mut instance) = self.instances.get(id).cloned() else { return };
        let Some(spec) = self.spec_of(&instance) else { return };
        let Some(check) = &spec.readiness else { return };
        if instance.ready != Some(false) || instance.ending {
            return;
        }
        instance.readiness = match probed {
            Probed::Http(status) => Some(Page { status, ..Page::default() }),
            Probed::Page(page) => Some(page),
            _ => None,
        };
        if instance.readiness.as_ref().is_some_and(|page| check.ready.contains(&page.status)) {
            let at = settled_at(&instance);
            if at <= now {
                return self.mark_ready(instance);
            }
            self.timers.set(Due::Ready(id.to_owned()), at);
            return self.instances.insert(instance);
        }
        self.timers.set(Due::Ready(id.to_owned()), now + check.interval.max(INTERVAL_MIN));
        self.instances.insert(instance);
    }

    /// What is known of the readiness of an app's tasks; only while a deployment waits for it.
    pub(crate) fn readiness_info(&self, app: &str) -> Vec<Value> {
        let asks = |state: &crate::AppState| state.specs.values().any(|spec| spec.readiness.is_some());
        // a walk over all instances of all apps of a deployment, each time somebody looks at it, is too much for nothing
        if !self.locks.contains_key(app) || self.apps.get(app).is_some_and(|state| !asks(state)) {
            return Vec::new();
        }
        let one = |instance: &Instance| {
            let ready = instance.ready?;
            let spec = self.spec_of(instance)?;
            let check = spec.readiness.as_ref()?;
            let mut said = json!({ "name": check.name, "taskId": instance.task, "ready": ready });
            if let Some(page) = instance.readiness.as_ref().filter(|_| check.preserve) {
                said["lastResponse"] =
                    json!({ "status": page.status, "contentType": page.content_type, "body": page.body });
            }
            Some(said)
        };
        self.instances.of_app(app).filter(|i| i.condition == Condition::Running).filter_map(one).collect()
    }
}
