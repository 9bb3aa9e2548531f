//! Quotas that are durable: the allocator keeps to them, and offers that stand in their way are taken back. Never whether
//! a quota may be (`quota`). Which offers: apache/mesos@c1b42f79:src/master/quota_handler.cpp (`_update`, `rescindOffers`).

use super::Quantities;
use crate::{
    Effect, Master, Tables as _,
    breakdown::{self, breakdowns},
};
use base::{Effects, Time};
use model::mesos::quota::QuotaConfig;
use std::{collections::BTreeSet, sync::Arc};

impl Master {
    fn keep_quotas(&mut self, configs: &[QuotaConfig]) {
        self.bind_quotas(configs);
        let quotas = &mut self.policy_mut().quotas;
        for config in configs {
            if config.guarantees.is_empty() && config.limits.is_empty() {
                quotas.remove(&config.role);
            } else {
                quotas.insert(config.role.clone(), config.clone());
            }
        }
    }

    pub(super) fn quotas_updated(&mut self, configs: Vec<QuotaConfig>, now: Time, out: &mut Effects<Effect>) {
        self.keep_quotas(&configs);
        let roles: BTreeSet<String> = configs.iter().map(|c| c.role.clone()).collect();
        let mut found = breakdowns(self, &roles);
        for config in configs {
            let its = found.get(&config.role).cloned().unwrap_or_default();
            let mut held = its.consumed;
            held.add_all(&its.offered);
            let limits = Quantities::of(&config.limits);
            let mut taken = self.rescind_offers(&config.role, true, now, out, |back| {
                let more = !limits.limits(&held);
                if more {
                    held.cut(back);
                }
                more
            });
            // What seems free is taken to be gone.
            let guarantees = Quantities::of(&config.guarantees);
            taken.extend(self.rescind_offers(&config.role, false, now, out, |back| {
                let more = !held.contains(&guarantees);
                if more {
                    held.add_all(back);
                }
                more
            }));
            for (role, back) in taken {
                // Quotas are of top-level roles.
                let top = role.split('/').next().unwrap_or_default();
                if let Some(found) = found.get_mut(top) {
                    found.offered.cut(&back);
                }
            }
        }
    }

    /// Takes back the offers to roles within one, or to all others, while more is wanted: that is asked before each, with
    /// what comes back. What came back, with the role that it was offered to.
    fn rescind_offers(
        &mut self,
        role: &str,
        within: bool,
        now: Time,
        out: &mut Effects<Effect>,
        mut wants: impl FnMut(&Quantities) -> bool,
    ) -> Vec<(Arc<str>, Quantities)> {
        let mut taken = Vec::new();
        if !wants(&Quantities::default()) {
            return taken;
        }
        let theirs = self.offers.iter().filter(|(_, o)| breakdown::within(&o.role, role) == within);
        let mut found: Vec<_> = theirs.map(|(id, o)| (o.agent.clone(), id.clone())).collect();
        if !within {
            found.sort();
        }
        for (_, id) in found {
            let Some(offer) = self.offers.get(&id) else { continue };
            let mut back = Quantities::default();
            back.add(&offer.resources);
            if !wants(&back) {
                break;
            }
            taken.push((offer.role.clone(), back));
            self.rescind(&id, now, out);
        }
        taken
    }

    /// Whole agents are freed of offers until they hold what is guaranteed, and there is one for each of the role's
    /// frameworks.
    pub(super) fn quota_set(&mut self, config: QuotaConfig, now: Time, out: &mut Effects<Effect>) {
        self.keep_quotas(std::slice::from_ref(&config));
        let guarantee = Quantities::of(&config.guarantees);
        let mine = |f: &&crate::Framework| f.is_active() && f.roles().contains(&config.role);
        let frameworks = self.frameworks.values().filter(mine).count();
        let (mut back, mut visited) = (Quantities::default(), 0);
        let agents: Vec<_> = self.agents.values().filter(|a| self.is_active(a)).collect();
        let offers: Vec<Vec<_>> = agents.iter().map(|a| a.offers.iter().cloned().collect()).collect();
        for offers in offers.into_iter().filter(|offers| !offers.is_empty()) {
            if visited >= frameworks && back.contains(&guarantee) {
                return;
            }
            visited += 1;
            for id in offers {
                if let Some(offer) = self.offers.get(&id) {
                    back.add(&offer.resources.filter(|item| item.kind.reservations().is_empty()));
                }
                self.rescind(&id, now, out);
            }
        }
    }
}
