//! One instance on one offer: its record, and what Mesos is told. Never picks either.

use super::{Open, Waiting, residents::Kept, take_for};
use crate::{
    Orchestrator,
    config::LAUNCHES_UNHEARD_MAX,
    instances::{Condition, Instance},
    launch::{Site, task_info},
    parts::Part,
    spec::Spec,
};
use base::Now;
use std::collections::BTreeMap;

/// The address in an agent's URL.
fn address_of(url: &model::mesos::Url) -> String {
    let host = url.address.ip.as_ref().or(url.address.hostname.as_ref());
    format!("{}://{}:{}", url.scheme, host.map_or("", String::as_str), url.address.port)
}

fn new_id(spec: &Spec, now: &mut Now<'_>) -> String {
    let name = spec.id.trim_start_matches('/').replace('/', "_");
    format!("{name}.instance-{}", now.rng.uuid())
}

impl Orchestrator {
    /// A new instance.
    pub(super) fn launch(&mut self, now: &mut Now<'_>, waiting: &mut Waiting, open: &mut Open) {
        let id = new_id(&waiting.spec, now);
        let kept = if waiting.spec.volumes.is_empty() {
            let taken = match &waiting.spec.pod {
                None => vec![open.pool.take(&waiting.needs, &waiting.roles, now.rng)],
                Some(pod) => take_for(pod, &mut open.pool, &waiting.roles, now.rng),
            };
            Kept { taken, volumes: Vec::new() }
        } else {
            self.reserve(now, &id, waiting, open)
        };
        self.order(now, waiting, open, &id, None, kept);
    }

    /// The next task of an instance that rests, or the first of a new one.
    pub(super) fn order(
        &mut self,
        now: &mut Now<'_>,
        waiting: &mut Waiting,
        open: &mut Open,
        id: &str,
        rested: Option<&Instance>,
        Kept { taken, volumes }: Kept,
    ) {
        let spec = &waiting.spec;
        let incarnation = rested.map_or(1, |rested| rested.incarnation + 1);
        let ports: Vec<u16> = taken.iter().flat_map(|taken| taken.ports.clone()).collect();
        let containers = spec.pod.iter().flat_map(|pod| &pod.containers);
        let task_of = |container: &str| crate::group::task_id(id, container, incarnation);
        let parts: Vec<_> = containers.map(|c| Part::new(&c.name, task_of(&c.name))).collect();
        let task = parts.first().map_or_else(|| task_of("_app"), |part| part.task.clone());
        // one that rests has its place already
        let counted = rested.is_some_and(|rested| rested.config == spec.config_version);
        // a wish or a rule that comes later counts them too
        let mut placed: BTreeMap<_, _> = open.place.attributes.clone();
        for (constraint, counts) in spec.constraints.iter().zip(&mut waiting.counts) {
            if let Some(value) = open.place.value(&constraint.field) {
                *counts.entry(value.to_owned()).or_default() += u64::from(!counted);
                placed.insert(constraint.field.clone(), value.to_owned());
            }
        }
        for (preference, counts) in spec.preferences.iter().zip(&mut waiting.liked) {
            if let Some((field, value)) = preference.field().and_then(|f| Some((f, open.place.value(f)?))) {
                *counts.entry(value.to_owned()).or_default() += u64::from(!counted);
                placed.insert(field.to_owned(), value.to_owned());
            }
        }
        if rested.is_none() {
            open.there.add(&spec.id, 1, &spec.beside);
        }
        let agent = open.offer.agent_id.value.clone();
        let settle_s = self.settle_of(spec);
        let instance = Instance {
            id: id.to_owned(),
            parts,
            task: task.clone(),
            app: spec.id.clone(),
            version: spec.version.clone(),
            config: spec.config_version.clone(),
            condition: Condition::Provisioned,
            ending: false,
            agent: agent.clone(),
            host: open.place.hostname.clone(),
            agent_url: open.offer.url.as_ref().map(address_of),
            ports,
            role: open.role.clone(),
            region: open.place.region.clone(),
            zone: open.place.zone.clone(),
            placed,
            staged_at: now.time.as_millis(),
            started_at: None,
            unreachable_since: None,
            volumes,
            incarnation,
            held: rested.is_some(),
            wipe: false,
            rest: None,
            addresses: Vec::new(),
            healthy: None,
            ready: (spec.readiness.is_some() || settle_s > 0).then_some(false),
            settle_s,
            check_result: None,
            readiness: None,
            killed_at: None,
            checks: Vec::new(),
        };
        let prefix = self.config.env_vars_prefix.clone().unwrap_or_default();
        let site = Site {
            task: if spec.pod.is_some() { id } else { &task },
            incarnation,
            agent: &agent,
            host: &instance.host,
            prefix: &prefix,
            enforces_role: self.enforces_role(&spec.id),
        };
        match &spec.pod {
            Some(pod) => {
                let framework = self.session.framework.as_deref();
                open.groups.push(crate::group::launch_group(spec, pod, site, framework, taken));
            }
            None => open.tasks.extend(taken.into_iter().map(|taken| task_info(spec, site, taken))),
        }
        waiting.left -= 1;
        self.session.look = true;
        if let Some(queued) = self.queue.get_mut(&spec.id) {
            queued.count = queued.count.saturating_sub(1);
        }
        self.provisioned(now.time, instance);
        self.session.full = self.instances.unheard() >= LAUNCHES_UNHEARD_MAX;
    }
}
