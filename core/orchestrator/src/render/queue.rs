//! `/v2/queue`: what waits, for how long, and what offers lacked. Read-only.

use crate::{Orchestrator, Queued, STAGES, Unused, when};
use base::Time;
use model::mesos::Resource;
use serde_json::{Value, json};
use std::collections::BTreeMap;

impl Orchestrator {
    /// `GET /v2/queue`, with the last useless offers and why each waits, if asked.
    pub fn queue_info(&self, now: Time, unused: bool, why: bool) -> Value {
        let item = |(id, queued): (&String, &Queued)| {
            let until = self.backs_off_until(id, now);
            let left = until.map_or(0.0, |until| until.since(now).as_secs_f64().ceil());
            let seen = &queued.seen;
            let mut summary = json!({
                "processedOffersCount": seen.processed, "unusedOffersCount": seen.unused,
                "rejectSummaryLastOffers": funnel(&seen.last_offers(), seen.agents.len() as u64),
                "rejectSummaryLaunchAttempt": funnel(&seen.attempt, seen.processed),
            });
            for (key, at) in
                [("lastUnusedOfferAt", seen.last_unused_at), ("lastUsedOfferAt", seen.last_used_at)]
            {
                if let Some(at) = at {
                    summary[key] = when(at.as_millis()).into();
                }
            }
            let mut item = json!({
                "count": if queued.spec.every { 1 } else { queued.count }, "role": queued.spec.role.as_ref().unwrap_or(&self.config.role), "since": when(queued.since.as_millis()),
                "delay": { "timeLeftSeconds": left as u64, "overdue": until.is_none() },
                "processedOffersSummary": summary,
            });
            if let Some(state) = self.apps.get(id) {
                match state.spec.pod.is_some() {
                    true => item["pod"] = crate::commands::shown(&state.app),
                    false => item["app"] = (*state.app).clone(),
                }
            }
            if unused {
                item["lastUnusedOffers"] = seen.agents.values().map(useless).collect();
            }
            if why || self.refused_at_launch(&queued.spec).is_some() {
                item["why"] = self.why_info(id, now);
            }
            item
        };
        json!({ "queue": self.queue().map(item).collect::<Vec<_>>() })
    }
}

/// Each stage with how many came to it and how many it refused.
fn funnel(refused: &BTreeMap<&'static str, u64>, processed: u64) -> Value {
    let mut left = processed;
    let step = |reason: &&'static str| {
        let declined = refused.get(*reason).copied().unwrap_or(0);
        let step = json!({ "reason": reason, "declined": declined, "processed": left });
        left = left.saturating_sub(declined);
        step
    };
    STAGES.iter().map(step).collect()
}

fn useless(unused: &Unused) -> Value {
    let offer = &unused.offer;
    let resources: Vec<_> = offer.resources.iter().map(resource).collect();
    let attributes: Vec<_> = offer
        .attributes
        .iter()
        .map(|a| match (&a.text, &a.scalar) {
            (Some(text), _) => json!({ "name": a.name, "text": text.value }),
            (None, Some(scalar)) => json!({ "name": a.name, "scalar": scalar.value }),
            (None, None) => json!({ "name": a.name }),
        })
        .collect();
    let offer = json!({
        "id": offer.id.value, "hostname": offer.hostname, "agentId": offer.agent_id.value,
        "resources": resources, "attributes": attributes,
    });
    let reasons: Vec<_> = unused.refusals.iter().map(|refusal| refusal.stage).collect();
    json!({ "offer": offer, "reason": reasons, "timestamp": when(unused.at.as_millis()) })
}

fn resource(resource: &Resource) -> Value {
    let role = resource.reservations.last().and_then(|r| r.role.as_deref()).or(resource.role.as_deref());
    let mut said = json!({ "name": resource.name, "role": role.unwrap_or("*") });
    if let Some(scalar) = &resource.scalar {
        said["scalar"] = scalar.value.into();
    }
    if let Some(ranges) = &resource.ranges {
        said["ranges"] = ranges.range.iter().map(|r| json!({ "begin": r.begin, "end": r.end })).collect();
    }
    if let Some(set) = &resource.set {
        said["set"] = set.item.clone().into();
    }
    said
}
