//! Why an offer is of no use to an app that waits: a cheap answer for every pair, a full one for people. Pure.

use super::{Open, Terms, Waiting};
use crate::{
    instances::Instance,
    statistics::{Refusal, STAGES},
};

/// The cheap question: none if it fits, else whether no later placement can change it.
pub(super) fn refusal(terms: &Terms, waiting: &Waiting, open: &Open) -> Option<bool> {
    if !role_fits(waiting, open)
        || away(terms, waiting, open).is_some()
        || maintained(terms, open)
        || scarce(terms, waiting, open)
    {
        return Some(true);
    }
    if !open.pool.short_of(&waiting.needs, &waiting.roles).is_empty()
        || open.pool.short_of_disks(&waiting.spec.volumes).is_some()
    {
        return Some(true);
    }
    if let Some(for_good) = beside(waiting, open).map(|(_, for_good)| for_good) {
        return Some(for_good);
    }
    let wanted = waiting.spec.instances;
    waiting.spec.constraints.iter().zip(&waiting.counts).find_map(|(constraint, counts)| {
        constraint
            .refuses(open.place.value(&constraint.field), counts, wanted)
            .map(|_| !constraint.evens_out())
    })
}

/// Whether an instance that rests may not start on its own agent now: all that is asked of a new one but for amounts,
/// which are reserved for it, and for itself, who is there already.
pub(super) fn on_its_own(terms: &Terms, waiting: &Waiting, open: &Open, rested: &Instance) -> bool {
    let spec = &waiting.spec;
    let counted = rested.config == spec.config_version;
    let constrained = || {
        spec.constraints.iter().zip(&waiting.counts).any(|(constraint, counts)| {
            let value = open.place.value(&constraint.field);
            let mut others = counts.clone();
            if let Some(count) = value.filter(|_| counted).and_then(|value| others.get_mut(value)) {
                *count = count.saturating_sub(1);
            }
            constraint.refuses(value, &others, spec.instances).is_some()
        })
    };
    away(terms, waiting, open).is_some() || maintained(terms, open) || constrained()
}

/// The region of an offer, where an app that names no region may not follow.
fn away<'a>(terms: &Terms, waiting: &Waiting, open: &'a Open) -> Option<&'a str> {
    let (home, there) = (terms.home.as_deref()?, open.place.region.as_deref()?);
    let named = waiting.spec.constraints.iter().any(|constraint| constraint.field == "@region");
    (home != there && !named).then_some(there)
}

/// Why it may not be with those who are there, and whether for good.
fn beside(waiting: &Waiting, open: &Open) -> Option<(String, bool)> {
    let app = waiting.spec.id.as_str();
    if let Some(why) = open.there.keep_away(app) {
        return Some((why, true));
    }
    waiting.spec.beside.iter().find_map(|rule| Some((rule.refuses(app, &open.there)?, rule.is_final())))
}

/// Whether the agent is to be worked on now.
fn maintained(terms: &Terms, open: &Open) -> bool {
    let Some(window) = &open.offer.unavailability else { return false };
    let now = i64::try_from(terms.now.as_nanos()).unwrap_or(i64::MAX);
    let ends =
        window.duration.as_ref().map(|length| window.start.nanoseconds.saturating_add(length.nanoseconds));
    window.start.nanoseconds <= now && ends.is_none_or(|end| now < end)
}

/// Whether this would keep GPUs from those that want some.
fn scarce(terms: &Terms, waiting: &Waiting, open: &Open) -> bool {
    terms.gpus_restricted && open.gpus && waiting.spec.gpus == 0.0
}

fn role_fits(waiting: &Waiting, open: &Open) -> bool {
    waiting.spec.role.as_deref().is_none_or(|role| role == open.role)
}

/// The full answer, in the order of the stages.
pub(super) fn refusals(terms: &Terms, waiting: &Waiting, open: &Open) -> Vec<Refusal> {
    let mut all = Vec::new();
    let mut refuse = |stage, reason, wanted, available| {
        all.push(Refusal { stage, reason, wanted, available });
    };
    if !role_fits(waiting, open) {
        let role = waiting.spec.role.as_deref().unwrap_or("*");
        refuse(STAGES[0], format!("the offer is for role {}, not {role}", open.role), None, None);
    }
    if let (Some(there), Some(home)) = (away(terms, waiting, open), &terms.home) {
        let reason =
            format!("the agent is in region {there}, and without an @region constraint only {home} is used");
        refuse(STAGES[1], reason, None, None);
    }
    for (constraint, counts) in waiting.spec.constraints.iter().zip(&waiting.counts) {
        let value = open.place.value(&constraint.field);
        if let Some(reason) = constraint.refuses(value, counts, waiting.spec.instances) {
            refuse(STAGES[1], reason, None, None);
        }
    }
    if let Some((reason, _)) = beside(waiting, open) {
        refuse(STAGES[1], reason, None, None);
    }
    if waiting.left == 0 && waiting.resting > 0 {
        let reason = "the persistent volumes of what waits are elsewhere, or still in use".to_owned();
        refuse(STAGES[2], reason, None, None);
    }
    if maintained(terms, open) {
        refuse(STAGES[3], "the agent is under maintenance".to_owned(), None, None);
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
            let figure = |n: f64| format!("{n:.3}").trim_end_matches('0').trim_end_matches('.').to_owned();
            let [wanted, available, missing] = [short.wanted, short.available, missing].map(figure);
            format!("{}: {wanted} wanted, {available} offered, {missing} missing", short.resource)
        };
        refuse(stage, reason, Some(short.wanted), Some(short.available));
    }
    if let Some(volume) = open.pool.short_of_disks(&waiting.spec.volumes) {
        let reason = format!("no {:?} disk of {} MiB for volume {}", volume.kind, volume.size, volume.path);
        refuse(STAGES[6], reason, Some(volume.size), Some(0.0));
    }
    if scarce(terms, waiting, open) {
        refuse(
            STAGES[9],
            "the agent has GPUs, which are kept for apps that want some".to_owned(),
            None,
            None,
        );
    }
    all
}
