//! Which waiting instances go on which offers, and why others don't. Decides; `launch` says it, `session` sends it.
//!
//! Instances of one app are only counted while they wait, so that ten thousand of them cost as much as they launch.

mod order;
mod refusals;
mod residents;

use crate::{
    Orchestrator,
    constraints::{Counts, Place},
    neighbours::{Neighbours, liked},
    pod::{ContainerSpec, PodSpec},
    pool::{Needs, Pool, Taken},
    spec::Spec,
    statistics::Queued,
};
use base::{Now, Time};
use model::mesos::{
    Filters, Offer, OfferId, Resource, TaskInfo, offer,
    scheduler::{Call, call},
};
use refusals::{refusal, refusals};
use residents::held_in;
use std::{collections::BTreeMap, sync::Arc};

struct Waiting {
    spec: Arc<Spec>,
    /// New ones that are wanted.
    left: u64,
    /// Wanted besides, from where their volumes are.
    resting: u64,
    roles: Vec<String>,
    needs: crate::pool::Needs,
    counts: Vec<Counts>,
    /// The same for its preferences.
    liked: Vec<Counts>,
}

/// What all apps share.
struct Terms {
    now: Time,
    /// The master's region: apps that name none stay in it.
    home: Option<String>,
    /// Whether offers with GPUs are left to apps that want some.
    gpus_restricted: bool,
}

struct Open {
    offer: Arc<Offer>,
    role: String,
    gpus: bool,
    place: Place,
    pool: Pool,
    /// What is reserved, made and freed before anything is launched.
    operations: Vec<offer::Operation>,
    /// By instance, what is reserved for it.
    held: BTreeMap<String, Vec<Resource>>,
    tasks: Vec<TaskInfo>,
    groups: Vec<offer::operation::LaunchGroup>,
    /// By waiting app: refused for good.
    refused: Vec<bool>,
    /// Who is on the agent, where anybody cares.
    there: Neighbours,
}

impl Open {
    fn launches(&self) -> usize {
        self.tasks.len() + self.groups.len()
    }
}

/// What a pod's executor takes, then each container: fixed ports of all before any others, so that none takes another's.
fn take_for(pod: &PodSpec, pool: &mut Pool, roles: &[String], rng: &mut base::Rng) -> Vec<Taken> {
    let mut needs = |scalars: &[(&'static str, f64)], ports: Vec<u16>, rng: &mut base::Rng| {
        pool.take(&Needs { scalars: scalars.to_vec(), ports }, roles, rng)
    };
    let mut all = vec![needs(&pod.executor, Vec::new(), rng)];
    let asked = |c: &ContainerSpec| c.endpoints.iter().filter_map(|e| e.host_port).collect::<Vec<_>>();
    for container in &pod.containers {
        let fixed = asked(container).into_iter().filter(|port| *port != 0).collect();
        all.push(needs(&container.amounts, fixed, rng));
    }
    for (container, taken) in pod.containers.iter().zip(&mut all[1..]) {
        let any = asked(container).iter().filter(|port| **port == 0).count();
        let mut more = needs(&[], vec![0; any], rng);
        taken.resources.append(&mut more.resources);
        let mut given = more.ports.into_iter();
        taken.ports = asked(container)
            .into_iter()
            .filter_map(|port| if port == 0 { given.next() } else { Some(port) })
            .collect();
    }
    all
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
                there: self.neighbours(&offer.agent_id.value, &waiting),
                gpus: offer.resources.iter().any(|r| r.name == "gpus"),
                pool: Pool::new(&offer.resources),
                operations: Vec::new(),
                held: held_in(&offer, self.session.framework.as_deref()),
                tasks: Vec::new(),
                groups: Vec::new(),
                refused: vec![false; waiting.len()],
                offer: Arc::new(offer),
            })
            .collect();
        let terms = Terms {
            now: now.time,
            home: self.session.region.clone(),
            gpus_restricted: self.config.gpus_restricted,
        };
        self.free_residues(&mut open);
        let woken = self.wake(now, &terms, &mut waiting, &mut open);
        let mut used = self.place(now, &terms, &mut waiting, &mut open);
        woken.into_iter().for_each(|(app, at)| used[app][at] = true);
        self.explain(&terms, &waiting, &open, &used);
        let mut unused = Vec::new();
        for open in open {
            if open.launches() == 0 && open.operations.is_empty() {
                unused.push(open.offer.id.clone())
            } else {
                self.accept(open)
            }
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
            let of = |field: &str| self.instances.placed(app, &spec.config_version, field);
            let placed = |c: &crate::constraints::Constraint| of(&c.field);
            Waiting {
                left: queued.count,
                resting: 0,
                // only what is nobody's can be reserved
                roles: if spec.volumes.is_empty() { spec.roles(&self.config) } else { vec!["*".to_owned()] },
                needs: spec.needs_with_volumes(),
                counts: spec.constraints.iter().map(placed).collect(),
                liked: spec.preferences.iter().map(|p| p.field().map_or_else(Counts::new, of)).collect(),
                spec: spec.clone(),
            }
        };
        all.into_iter().map(waiting).collect()
    }

    /// Rounds over all offers, one instance of each app on each, until a round brings nothing: this spreads them.
    fn place(
        &mut self,
        now: &mut Now<'_>,
        terms: &Terms,
        waiting: &mut [Waiting],
        open: &mut [Open],
    ) -> Vec<Vec<bool>> {
        let mut used = vec![vec![false; open.len()]; waiting.len()];
        // those that still want something, so that ten thousand that have all cost nothing
        let mut wanting: Vec<usize> = (0..waiting.len()).collect();
        for (app, waiting) in waiting.iter_mut().enumerate() {
            if !waiting.spec.preferences.is_empty() {
                self.place_where_liked(now, terms, app, waiting, open, &mut used[app]);
            }
        }
        loop {
            let mut moved = false;
            for (at, open) in open.iter_mut().enumerate() {
                wanting.retain(|app| waiting[*app].left > 0);
                for &app in &wanting {
                    let waiting = &mut waiting[app];
                    if self.session.full {
                        return used;
                    }
                    if open.launches() >= self.config.max_instances_per_offer {
                        break;
                    }
                    if waiting.left == 0 || open.refused[app] {
                        continue;
                    }
                    match refusal(terms, waiting, open) {
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

    /// Who is on an agent, with those who keep away from others; nobody, where nobody cares.
    fn neighbours(&self, agent: &str, waiting: &[Waiting]) -> Neighbours {
        let mut there = Neighbours::default();
        if self.index.picky.is_empty() && waiting.iter().all(|waiting| waiting.spec.preferences.is_empty()) {
            return there;
        }
        for (app, count) in self.instances.on_agent(agent) {
            let rules = self.apps.get(app).map_or(&[][..], |state| &state.spec.beside);
            there.add(app, count, rules);
        }
        there
    }

    /// An app that would like some places more than others takes the one that it likes best, again and again; among
    /// equals the one with fewest launches.
    fn place_where_liked(
        &mut self,
        now: &mut Now<'_>,
        terms: &Terms,
        app: usize,
        waiting: &mut Waiting,
        open: &mut [Open],
        used: &mut [bool],
    ) {
        let most = self.config.max_instances_per_offer;
        while waiting.left > 0 && !self.session.full {
            let fits = |open: &mut Open| match refusal(terms, waiting, open) {
                None => open.launches() < most,
                Some(for_good) => {
                    open.refused[app] = for_good;
                    false
                }
            };
            let score = |open: &Open| {
                let spec = &waiting.spec;
                let liked = liked(
                    &spec.id,
                    &spec.preferences,
                    &open.place,
                    &waiting.liked,
                    spec.instances,
                    &open.there,
                );
                (liked, std::cmp::Reverse(open.launches()))
            };
            let mut best = None;
            for (at, open) in open.iter_mut().enumerate() {
                if open.refused[app] || !fits(open) {
                    continue;
                }
                let score = score(open);
                if best.as_ref().is_none_or(|(_, known)| score > *known) {
                    best = Some((at, score));
                }
            }
            let Some((at, _)) = best else { return };
            self.launch(now, waiting, &mut open[at]);
            used[at] = true;
        }
    }

    /// Keeps why offers were of no use to the apps that still wait.
    fn explain(&mut self, terms: &Terms, waiting: &[Waiting], open: &[Open], used: &[Vec<bool>]) {
        self.waits_anew = true;
        let now = terms.now;
        for (waiting, used) in waiting.iter().zip(used) {
            let Some(queued) = self.queue.get_mut(&waiting.spec.id) else { continue };
            for (open, used) in open.iter().zip(used) {
                queued.seen.processed += 1;
                if *used {
                    queued.seen.last_used_at = Some(now);
                    queued.seen.agents.remove(&open.offer.agent_id.value);
                }
                if waiting.left + waiting.resting > 0 {
                    let refusals = refusals(terms, waiting, open);
                    if !*used && !refusals.is_empty() {
                        queued.seen.refused(now, &open.offer, refusals);
                    }
                }
            }
        }
    }

    fn accept(&mut self, open: Open) {
        // what is left comes back at once if it may still be of use
        let full = open.launches() >= self.config.max_instances_per_offer;
        let seconds = if full || open.launches() == 0 { 0.0 } else { 5.0 };
        let launch = (!open.tasks.is_empty()).then(|| offer::Operation {
            r#type: Some(offer::operation::Type::Launch as i32),
            launch: Some(offer::operation::Launch { task_infos: open.tasks }),
            ..Default::default()
        });
        let groups = open.groups.into_iter().map(|group| offer::Operation {
            r#type: Some(offer::operation::Type::LaunchGroup as i32),
            launch_group: Some(group),
            ..Default::default()
        });
        self.call(Call {
            r#type: Some(call::Type::Accept as i32),
            accept: Some(call::Accept {
                offer_ids: vec![open.offer.id.clone()],
                operations: open.operations.into_iter().chain(launch).chain(groups).collect(),
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
