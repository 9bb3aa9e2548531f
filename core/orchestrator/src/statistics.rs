//! What came of offers for an app that waits: counts by stage, and what each agent lacked. Never decides.

use crate::{config::AGENTS_EXPLAINED_MAX, spec::Spec};
use base::Time;
use model::mesos::Offer;
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
    pub(crate) fn refused(&mut self, now: Time, offer: &Arc<Offer>, refusals: Vec<Refusal>) {
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
    /// The stage and the agent that were told last.
    pub(crate) told: (&'static str, String),
}
