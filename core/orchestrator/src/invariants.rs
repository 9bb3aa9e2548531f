//! What must always be true of an orchestrator; one function each.

use crate::{Orchestrator, config::VERSIONS_MAX};

/// All of them.
pub fn check(of: &Orchestrator) {
    locks_belong(of);
    queue_waits_for_wanted(of);
    of.instances.check();
}

/// Every locked app is in the deployment that locks it, and every app of a deployment is locked by it.
fn locks_belong(of: &Orchestrator) {
    for (app, id) in &of.locks {
        assert!(of.deployments.get(id).is_some_and(|d| d.target.contains_key(app)), "{app} locked by {id}");
    }
    for (id, deployment) in &of.deployments {
        for app in deployment.target.keys() {
            assert_eq!(of.locks.get(app), Some(id), "{app} is not locked");
        }
    }
    for (id, app) in &of.apps {
        assert!(app.versions.len() <= VERSIONS_MAX, "versions of {id}");
    }
}

/// Nothing waits for offers that would exceed what an app wants and its upgrade allows.
fn queue_waits_for_wanted(of: &Orchestrator) {
    for (app, queued) in &of.queue {
        let (new, _) = of.instances.tallies(app, &queued.spec.config_version);
        assert!(
            new.active + queued.count <= queued.spec.instances.max(new.active),
            "{app} waits for too many"
        );
    }
}
