//! Which waiting instances go on which offers, and why others don't. Decides; `launch` says it, `session` sends it.
//!
//! Instances of one app are only counted while they wait, so that ten thousand of them cost as much as they launch.

use crate::{
    Orchestrator,
    config::AGENTS_EXPLAINED_MAX,
    constraints::{Counts, Place},
    instances::{Condition, Instance},
    launch::{Site, task_info},
    pool::Pool,
    spec::Spec,
};
use base::{Now, Time};
use model::mesos::{
    Filters, Offer, OfferId, TaskInfo, offer,
    scheduler::{Call, call},
};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

/// The stages an offer passes, in order; the first that refuses is counted.
pub const STAGES: [&str; 10] = [
    "UnfulfilledRole",
    "UnfulfilledConstraint",
    "NoCorrespondingReservationFound",
    "AgentMaintenance",
    "InsufficientCpus",
    "InsufficientMemory",
    "InsufficientDisk",
    "InsufficientGpus",
    "InsufficientPorts",
    "DeclinedScarceResources",
];

/// Why an agent was refused.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Refusal {
    /// One of `STAGES`.
    pub stage: &'static str,
    /// For people, with the amount that is missing.
    pub reason: String,
    /// What was wanted, where it is a number.
    pub wanted: Option<f64>,
    /// What there was.
    pub available: Option<f64>,
}

/// The last offer of an agent that was of no use.
#[derive(Clone, Debug)]
pub struct Unused {
    /// When.
    pub at: Time,
    /// The offer.
    pub offer: Arc<Offer>,
    /// Everything that was in the way.
    pub refusals: Vec<Refusal>,
}

/// Offers seen for one waiting app.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// All.
    pub processed: u64,
    /// Those that were of no use.
    pub unused: u64,
    /// The last of no use.
    pub last_unused_at: Option<Time>,
    /// The last of use.
    pub last_used_at: Option<Time>,
    /// By stage, since the app began to wait: refused, processed.
    pub attempt: BTreeMap<&'static str, u64>,
    /// By agent, the last offer of no use.
    pub agents: BTreeMap<String, Unused>,
}

impl Statistics {
    fn refused(&mut self, now: Time, offer: &Arc<Offer>, refusals: Vec<Refusal>) {
        self.unused += 1;
        self.last_unused_at = Some(now);
        for refusal in refusals.iter().take(1) {
            *self.attempt.entry(refusal.stage).or_default() += 1;
        }
        let agent = &offer.agent_id.value;
        if self.agents.len() >= AGENTS_EXPLAINED_MAX && !self.agents.contains_key(agent) {
            let oldest = self.agents.iter().min_by_key(|(_, unused)| unused.at).map(|(id, _)| id.clone());
            oldest.and_then(|id| self.agents.remove(&id));
        }
        self.agents.insert(agent.clone(), Unused { at: now, offer: offer.clone(), refusals });
    }
    /// Refused and processed by stage: of the last offer of each agent.
    pub fn last_offers(&self) -> BTreeMap<&'static str, u64> {
        let mut all = BTreeMap::new();
        for unused in self.agents.values() {
            if let Some(first) = unused.refusals.first() {
                *all.entry(first.stage).or_default() += 1;
            }
        }
        all
    }
}

/// An app that waits for offers.
#[derive(Clone, Debug)]
pub struct Queued {
    /// How many instances wait.
    pub count: u64,
    /// What is launched.
    pub spec: Arc<Spec>,
    /// Since when.
    pub since: Time,
    /// What came of offers.
    pub seen: Statistics,
}

struct Waiting {
    spec: Arc<Spec>,
    left: u64,
    roles: Vec<String>,
    needs: crate::pool::Needs,
    counts: Vec<Counts>,
}

struct Open {
    offer: Arc<Offer>,
    role: String,
    place: Place,
    pool: Pool,
    tasks: Vec<TaskInfo>,
    /// By waiting app: refused for good.
    refused: Vec<bool>,
}

impl Orchestrator {
    /// Uses what can be used of these offers and gives the rest back.
    pub(crate) fn offers(&mut self, now: &mut Now<'_>, offers: Vec<Offer>) {
        let mut waiting = self.waiting(now.time);
        let mut open: Vec<Open> = offers
            .into_iter()
            .map(|offer| Open {
                role: offer
                    .allocation_info
                    .as_ref()
                    .and_then(|info| info.role.clone())
                    .unwrap_or_else(|| self.config.role.clone()),
                place: Place::of(&offer),
                pool: Pool::new(&offer.resources),
                tasks: Vec::new(),
                refused: vec![false; waiting.len()],
                offer: Arc::new(offer),
            })
            .collect();
        let used = self.place(now, &mut waiting, &mut open);
        self.explain(now.time, &waiting, &open, &used);
        let mut unused = Vec::new();
        for open in open {
            if open.tasks.is_empty() { unused.push(open.offer.id.clone()) } else { self.accept(open) }
        }
        if !unused.is_empty() {
            self.decline(unused);
        }
    }

    /// Apps that may launch now, longest waiting first.
    fn waiting(&self, now: Time) -> Vec<Waiting> {
        let mut all: Vec<_> =
            self.queue.iter().filter(|(app, queued)| self.launchable(app, queued, now)).collect();
        all.sort_by_key(|(app, queued)| (queued.since, *app));
        let waiting = |(app, queued): (&String, &Queued)| {
            let spec = &queued.spec;
            let placed = |c: &crate::constraints::Constraint| {
                self.instances.placed(app, &spec.config_version, &c.field)
            };
            Waiting {
                left: queued.count,
                roles: spec.roles(&self.config.role),
                needs: spec.needs(),
                counts: spec.constraints.iter().map(placed).collect(),
                spec: spec.clone(),
            }
        };
        all.into_iter().map(waiting).collect()
    }

    /// Rounds over all offers, one instance of each app on each, until a round brings nothing: this spreads them.
    fn place(&mut self, now: &mut Now<'_>, waiting: &mut [Waiting], open: &mut [Open]) -> Vec<Vec<bool>> {
        let mut used = vec![vec![false; open.len()]; waiting.len()];
        loop {
            let mut moved = false;
            for (at, open) in open.iter_mut().enumerate() {
                for (app, waiting) in waiting.iter_mut().enumerate() {
                    let full = open.tasks.len() >= self.config.max_instances_per_offer;
                    if waiting.left == 0 || open.refused[app] || full {
                        continue;
                    }
                    match refusal(waiting, open) {
                        None => {
                            self.launch(now, waiting, open);
                            used[app][at] = true;
                            moved = true;
                        }
                        Some(for_good) => open.refused[app] = for_good,
                    }
                }
            }
            if !moved {
                return used;
            }
        }
    }

    fn launch(&mut self, now: &mut Now<'_>, waiting: &mut Waiting, open: &mut Open) {
        let spec = &waiting.spec;
        let name = spec.id.trim_start_matches('/').replace('/', "_");
        let id = format!("{name}.instance-{}", now.rng.uuid());
        let task = format!("{id}._app.1");
        let taken = open.pool.take(&waiting.needs, &waiting.roles, now.rng);
        let mut placed = BTreeMap::new();
        for (constraint, counts) in spec.constraints.iter().zip(&mut waiting.counts) {
            if let Some(value) = open.place.value(&constraint.field) {
                *counts.entry(value.to_owned()).or_default() += 1;
                placed.insert(constraint.field.clone(), value.to_owned());
            }
        }
        let agent = open.offer.agent_id.value.clone();
        let instance = Instance {
            id,
            task: task.clone(),
            app: spec.id.clone(),
            version: spec.version.clone(),
            condition: Condition::Provisioned,
            ending: false,
            agent: agent.clone(),
            host: open.place.hostname.clone(),
            ports: taken.ports.clone(),
            role: open.role.clone(),
            region: open.place.region.clone(),
            zone: open.place.zone.clone(),
            placed,
            staged_at: now.time.as_millis(),
            started_at: None,
            unreachable_since: None,
            addresses: Vec::new(),
            healthy: None,
            killed_at: None,
            checks: Vec::new(),
        };
        let prefix = self.config.env_vars_prefix.clone().unwrap_or_default();
        let site = Site {
            task: &task,
            agent: &agent,
            host: &instance.host,
            user: &self.config.user,
            prefix: &prefix,
        };
        open.tasks.push(task_info(spec, site, taken));
        waiting.left -= 1;
        if let Some(queued) = self.queue.get_mut(&spec.id) {
            queued.count = queued.count.saturating_sub(1);
        }
        self.provisioned(now.time, instance);
    }

    /// Keeps why offers were of no use to the apps that still wait.
    fn explain(&mut self, now: Time, waiting: &[Waiting], open: &[Open], used: &[Vec<bool>]) {
        for (waiting, used) in waiting.iter().zip(used) {
            let Some(queued) = self.queue.get_mut(&waiting.spec.id) else { continue };
            for (open, used) in open.iter().zip(used) {
                queued.seen.processed += 1;
                if *used {
                    queued.seen.last_used_at = Some(now);
                    queued.seen.agents.remove(&open.offer.agent_id.value);
                }
                if waiting.left > 0 {
                    let refusals = refusals(waiting, open);
                    if !*used && !refusals.is_empty() {
                        queued.seen.refused(now, &open.offer, refusals);
                    }
                }
            }
        }
    }

    fn accept(&mut self, open: Open) {
        // what is left comes back at once if it may still be of use
        let full = open.tasks.len() >= self.config.max_instances_per_offer;
        let seconds = if full { 0.0 } else { 5.0 };
        let launch = offer::Operation {
            r#type: Some(offer::operation::Type::Launch as i32),
            launch: Some(offer::operation::Launch { task_infos: open.tasks }),
            ..Default::default()
        };
        self.call(Call {
            r#type: Some(call::Type::Accept as i32),
            accept: Some(call::Accept {
                offer_ids: vec![open.offer.id.clone()],
                operations: vec![launch],
                filters: Some(Filters { refuse_seconds: Some(seconds) }),
            }),
            ..Default::default()
        });
    }

    fn decline(&mut self, offer_ids: Vec<OfferId>) {
        let seconds = self.config.decline_offer_duration.as_secs_f64();
        self.call(Call {
            r#type: Some(call::Type::Decline as i32),
            decline: Some(call::Decline {
                offer_ids,
                filters: Some(Filters { refuse_seconds: Some(seconds) }),
            }),
            ..Default::default()
        });
    }
}

/// The cheap question: none if it fits, else whether no later placement can change it.
fn refusal(waiting: &Waiting, open: &Open) -> Option<bool> {
    if !role_fits(waiting, open) || !open.pool.short_of(&waiting.needs, &waiting.roles).is_empty() {
        return Some(true);
    }
    let wanted = waiting.spec.instances;
    waiting.spec.constraints.iter().zip(&waiting.counts).find_map(|(constraint, counts)| {
        constraint
            .refuses(open.place.value(&constraint.field), counts, wanted)
            .map(|_| !constraint.evens_out())
    })
}

fn role_fits(waiting: &Waiting, open: &Open) -> bool {
    waiting.spec.role.as_deref().is_none_or(|role| role == open.role)
}

/// The full answer, in the order of the stages.
fn refusals(waiting: &Waiting, open: &Open) -> Vec<Refusal> {
    let mut all = Vec::new();
    let mut refuse = |stage, reason, wanted, available| {
        all.push(Refusal { stage, reason, wanted, available });
    };
    if !role_fits(waiting, open) {
        let role = waiting.spec.role.as_deref().unwrap_or("*");
        refuse(STAGES[0], format!("the offer is for role {}, not {role}", open.role), None, None);
    }
    for (constraint, counts) in waiting.spec.constraints.iter().zip(&waiting.counts) {
        let value = open.place.value(&constraint.field);
        if let Some(reason) = constraint.refuses(value, counts, waiting.spec.instances) {
            refuse(STAGES[1], reason, None, None);
        }
    }
    for short in open.pool.short_of(&waiting.needs, &waiting.roles) {
        let stage = match short.resource {
            "cpus" => STAGES[4],
            "mem" => STAGES[5],
            "disk" => STAGES[6],
            "gpus" => STAGES[7],
            _ => STAGES[8],
        };
        let missing = short.wanted - short.available;
        let reason = if short.resource == "ports" && waiting.spec.require_ports {
            format!("port {} wanted, it is not offered", short.wanted)
        } else {
            let (name, wanted, available) = (short.resource, short.wanted, short.available);
            format!("{name}: {wanted} wanted, {available} offered, {missing:.3} missing")
        };
        refuse(stage, reason, Some(short.wanted), Some(short.available));
    }
    all
}
