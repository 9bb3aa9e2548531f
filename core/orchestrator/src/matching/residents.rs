//! Offers and what is reserved in them: instances that rest go back to their volumes, new ones get a reservation, and
//! what is nobody's is freed. Decides; `volumes` says it.

use super::{Open, Terms, Waiting, refusals, take_for};
use crate::{
    Orchestrator,
    instances::Instance,
    pool::{Needs, Pool, Taken},
    spec::Spec,
    volumes::{DiskKind, LocalVolume, Owner, owner_of, persistence_of, portion, reserve, unreserve},
};
use base::{Now, Rng};
use model::mesos::{Offer, Resource};
use std::collections::BTreeMap;

/// What is reserved for instances of this framework, by instance.
pub(super) fn held_in(offer: &Offer, framework: Option<&str>) -> BTreeMap<String, Vec<Resource>> {
    let mut all: BTreeMap<String, Vec<Resource>> = BTreeMap::new();
    for resource in &offer.resources {
        if let Some((_, instance)) = owner_of(resource).filter(|(of, _)| Some(*of) == framework) {
            all.entry(instance.to_owned()).or_default().push(resource.clone());
        }
    }
    all
}

/// What an instance takes and the volumes that it has.
pub(super) struct Kept {
    pub taken: Vec<Taken>,
    pub volumes: Vec<LocalVolume>,
}

/// Volumes go with the task of an app and with the executor of a pod, whose containers all see them.
fn with_volumes(mut taken: Vec<Taken>, made: Vec<Resource>) -> Vec<Taken> {
    if let Some(first) = taken.first_mut() {
        first.resources.extend(made);
    }
    taken
}

fn take(spec: &Spec, pool: &mut Pool, roles: &[String], rng: &mut Rng) -> Vec<Taken> {
    match &spec.pod {
        None => vec![pool.take(&spec.needs(), roles, rng)],
        Some(pod) => take_for(pod, pool, roles, rng),
    }
}

impl Orchestrator {
    /// Frees what is reserved for nobody.
    pub(super) fn free_residues(&mut self, open: &mut [Open]) {
        for open in open {
            let agent = open.offer.agent_id.value.clone();
            let stray = |id: &&String| self.is_residue(id, &agent);
            let ids: Vec<_> = open.held.keys().filter(stray).cloned().collect();
            for id in ids {
                open.operations.extend(unreserve(open.held.remove(&id).unwrap_or_default()));
                self.freed(&id);
            }
        }
    }

    /// Instances that rest start again where their volumes are. Those that can't yet keep their places: only what is wanted
    /// beyond them gets new volumes.
    pub(super) fn wake(
        &mut self,
        now: &mut Now<'_>,
        terms: &Terms,
        waiting: &mut [Waiting],
        open: &mut [Open],
    ) -> Vec<(usize, usize)> {
        let mut used = Vec::new();
        for (app, waiting) in waiting.iter_mut().enumerate() {
            if waiting.spec.volumes.is_empty() {
                continue;
            }
            let tally = self.instances.tally(&waiting.spec.id);
            if tally.resting + tally.ending == 0 {
                continue;
            }
            let mine = || self.instances.of_app(&waiting.spec.id);
            let resting: Vec<_> = mine().filter(|i| i.rests()).cloned().collect();
            // those that are being ended will rest, and start again
            let coming = mine().filter(|i| i.ending && i.is_resident() && !i.wipe).count();
            let mut left = (resting.len() + coming) as u64;
            for instance in resting {
                if waiting.left == 0 {
                    break;
                }
                let there = |open: &Open| {
                    open.role == instance.role
                        && open.offer.agent_id.value == instance.agent
                        && has_all(&instance, open.held.get(&instance.id))
                };
                let Some(at) = open.iter().position(there) else { continue };
                if refusals::on_its_own(terms, waiting, &open[at], &instance)
                    || open[at].launches() >= self.config.max_instances_per_offer
                {
                    continue;
                }
                if self.start_again(now, waiting, &mut open[at], &instance) {
                    used.push((app, at));
                    left -= 1;
                }
            }
            waiting.resting = left.min(waiting.left);
            waiting.left -= waiting.resting;
        }
        used
    }

    fn start_again(
        &mut self,
        now: &mut Now<'_>,
        waiting: &mut Waiting,
        open: &mut Open,
        instance: &Instance,
    ) -> bool {
        let held = open.held.get(&instance.id).cloned().unwrap_or_default();
        let (made, plain): (Vec<_>, Vec<_>) = held.into_iter().partition(|r| persistence_of(r).is_some());
        let mut pool = Pool::of_reservation(&plain);
        let roles = [instance.role.clone()];
        if !pool.short_of(&waiting.spec.needs(), &roles).is_empty() {
            return false;
        }
        open.held.remove(&instance.id);
        let taken = with_volumes(take(&waiting.spec, &mut pool, &roles, now.rng), made);
        let kept = Kept { taken, volumes: instance.volumes.clone() };
        self.order(now, waiting, open, &instance.id, Some(instance), kept);
        true
    }

    /// Reserves what a new instance needs, and makes its volumes.
    pub(super) fn reserve(&self, now: &mut Now<'_>, id: &str, waiting: &Waiting, open: &mut Open) -> Kept {
        let spec = &waiting.spec;
        let owner = Owner {
            framework: self.session.framework.as_deref().unwrap_or_default(),
            instance: id,
            role: &open.role,
            principal: self.config.principal.as_deref(),
        };
        let mut taken = take(spec, &mut open.pool, &waiting.roles, now.rng);
        let (mut all, mut made, mut volumes) = (Vec::new(), Vec::new(), Vec::new());
        for taken in &mut taken {
            taken.resources = taken.resources.drain(..).map(|r| owner.reserved(r)).collect();
            all.extend(taken.resources.iter().cloned());
        }
        for volume in &spec.volumes {
            let disk = match volume.kind {
                DiskKind::Root => {
                    let needs = Needs { scalars: vec![("disk", volume.size)], ports: Vec::new() };
                    let pieces = open.pool.take(&needs, &waiting.roles, now.rng).resources;
                    pieces.first().map(|piece| portion(piece, volume.size))
                }
                _ => open.pool.take_disk(volume),
            };
            let Some(disk) = disk.map(|disk| owner.reserved(disk)) else { continue };
            let local = LocalVolume { path: volume.path.clone(), uuid: now.rng.uuid().to_string() };
            made.push(owner.volume(disk.clone(), local.id(&spec.id), volume));
            all.push(disk);
            volumes.push(local);
        }
        open.operations.extend(reserve(all, made.clone()));
        Kept { taken: with_volumes(taken, made), volumes }
    }
}

/// Whether all volumes of an instance are among these.
fn has_all(instance: &Instance, held: Option<&Vec<Resource>>) -> bool {
    let Some(held) = held else { return false };
    instance.volumes.iter().all(|volume| {
        let id = volume.id(&instance.app);
        held.iter().any(|resource| persistence_of(resource) == Some(&id))
    })
}
