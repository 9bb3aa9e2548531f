//! Quota of roles. Order of checks and texts: apache/mesos@c1b42f79:src/master/quota_handler.cpp and quota.cpp.

use super::{Decided, Decision, bad};
use crate::{
    Effect, Master, Tables as _,
    allocator::{QUOTA_KINDS_MAX, Quota},
    policy,
    validate::scalar_fault,
};
use base::{Effects, Time};
use model::{
    mesos::{
        Resource,
        quota::{QuotaConfig, QuotaInfo, QuotaRequest, QuotaStatus},
        value::{self, Scalar},
    },
    request::Answer,
    resources::{Resources, role_fault, to_float},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

/// The most of `mem` and `disk` that a quota may say: an exabyte, in megabytes.
const MEGABYTES_MAX: f64 = 1_099_511_627_776.0;
/// The most of anything else.
const OTHER_MAX: f64 = 1e12;

/// Amounts by name, in thousandths: what quotas and roles are counted in. Ranges count their length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quantities(pub BTreeMap<String, i64>);

impl Quantities {
    /// Of a quota's map.
    pub fn of(map: &HashMap<String, Scalar>) -> Self {
        Self(map.iter().map(|(name, s)| (name.clone(), (s.value * 1000.0).round() as i64)).collect())
    }
    /// Adds what these resources amount to.
    pub fn add_messages(&mut self, resources: &[Resource]) {
        for resource in resources {
            let amount = match (&resource.scalar, &resource.ranges, &resource.set) {
                (Some(scalar), _, _) => (scalar.value * 1000.0).round() as i64,
                (_, Some(ranges), _) => {
                    let length = |r: &value::Range| r.end.saturating_sub(r.begin).saturating_add(1);
                    ranges.range.iter().map(length).fold(0u64, u64::saturating_add) as i64 * 1000
                }
                (_, _, Some(set)) => set.item.len() as i64 * 1000,
                _ => 0,
            };
            if amount != 0 {
                let sum = self.0.entry(resource.name.clone()).or_default();
                *sum = sum.saturating_add(amount);
            }
        }
    }
    /// Adds what these resources amount to.
    pub fn add(&mut self, resources: &Resources) {
        self.add_messages(&resources.to_messages());
    }
    /// Adds amounts.
    pub fn add_all(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let sum = self.0.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }
    /// Takes amounts away, at most what there is.
    pub fn cut(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            if let Some(sum) = self.0.get_mut(name) {
                *sum = (*sum - amount).max(0);
            }
        }
        self.0.retain(|_, amount| *amount > 0);
    }
    /// Whether at least as much of everything is here.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|(name, amount)| *amount <= 0 || self.0.get(name).is_some_and(|own| own >= amount))
    }
    /// As limits: what is not named is unlimited.
    pub fn limits(&self, used: &Self) -> bool {
        used.0.iter().all(|(name, amount)| self.0.get(name).is_none_or(|own| own >= amount))
    }
}

impl fmt::Display for Quantities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("{}");
        }
        for (at, (name, milli)) in self.0.iter().enumerate() {
            write!(f, "{}{name}:{}", if at > 0 { "; " } else { "" }, to_float(*milli))?;
        }
        Ok(())
    }
}

impl Master {
    /// Everything that registered agents have, in scalars.
    fn capacity(&self) -> Quantities {
        let mut sum = Quantities::default();
        for agent in self.agents.values() {
            let kept = agent.total.filter(|item| !item.kind.is_revocable());
            let mut scalars = kept.to_messages();
            scalars.retain(|r| r.scalar.is_some());
            sum.add_messages(&scalars);
        }
        sum
    }

    /// What all top-level roles are guaranteed, with these quotas instead of those that stand.
    fn guaranteed(&self, changed: &[QuotaConfig]) -> Quantities {
        let standing = self.policy.quotas.values().filter(|q| changed.iter().all(|c| c.role != q.role));
        let mut sum = Quantities::default();
        for config in standing.chain(changed) {
            sum.add_all(&Quantities::of(&config.guarantees));
        }
        sum
    }

    /// Quotas that were set, in the form of today and in that of before limits.
    pub fn quota_status(&self) -> QuotaStatus {
        let info = |config: &QuotaConfig| QuotaInfo {
            role: Some(config.role.clone()),
            principal: None,
            guarantee: sorted(&config.guarantees)
                .into_iter()
                .map(|(name, scalar)| {
                    let mut resource =
                        Resource { name: name.clone(), scalar: Some(*scalar), ..Default::default() };
                    resource.set_type(value::Type::Scalar);
                    resource
                })
                .collect(),
        };
        QuotaStatus {
            infos: self.policy.quotas.values().map(info).collect(),
            configs: self.policy.quotas.values().cloned().collect(),
        }
    }

    pub(super) fn set_quota(&self, asked: QuotaRequest) -> Decided {
        let what = "Failed to validate set quota request";
        let refuse = |why: String| bad(format!("{what}: {why}"));
        if let Err(invalid) = Resources::from_messages(&asked.guarantee) {
            return Err(refuse(format!("QuotaInfo with invalid resource: {invalid}")));
        }
        let Some(role) = asked.role.clone() else {
            return Err(refuse(
                "QuotaInfo with invalid role: Role names cannot be the empty string".to_owned(),
            ));
        };
        if let Some(fault) = role_fault(&role) {
            return Err(refuse(format!("QuotaInfo with invalid role: {fault}")));
        }
        if asked.guarantee.is_empty() {
            return Err(refuse("QuotaInfo with empty 'guarantee'".to_owned()));
        }
        let mut guarantees = HashMap::new();
        for resource in &asked.guarantee {
            let reserved = resource.role.as_deref().is_some_and(|role| role != "*");
            let fault = if reserved || !resource.reservations.is_empty() || resource.reservation.is_some() {
                Some("QuotaInfo must not contain any ReservationInfo".to_owned())
            } else if resource.disk.is_some() {
                Some("QuotaInfo must not contain DiskInfo".to_owned())
            } else if resource.revocable.is_some() {
                Some("QuotaInfo must not contain RevocableInfo".to_owned())
            } else if resource.r#type() != value::Type::Scalar {
                Some("QuotaInfo must not include non-scalar resources".to_owned())
            } else if guarantees.contains_key(&resource.name) {
                Some(format!("QuotaInfo contains duplicate resource name '{}'", resource.name))
            } else {
                None
            };
            if let Some(fault) = fault {
                return Err(refuse(fault));
            }
            guarantees.insert(resource.name.clone(), resource.scalar.unwrap_or_default());
        }
        if self.policy.quotas.contains_key(&role) {
            return Err(refuse(format!("Cannot set quota for role '{role}' which already has quota")));
        }
        if role.contains('/') {
            return Err(bad(format!("Setting quota on nested role '{role}' is not supported yet")));
        }
        let config = QuotaConfig { role, limits: guarantees.clone(), guarantees };
        let configs = std::slice::from_ref(&config);
        if let Some(why) = self.too_many_kinds(configs) {
            return Err(refuse(why));
        }
        let (total, capacity) = (self.guaranteed(configs), self.capacity());
        if !asked.force() && !capacity.contains(&total) {
            return Err(Answer::text(
                409,
                format!(
                    "Quota guarantees overcommit the cluster (use 'force' to bypass this check): \
                     Total quota guarantees '{total}' exceed cluster capacity '{capacity}'"
                ),
            ));
        }
        Ok((vec![policy::put_quota(&config)], Decision::QuotaSet(config)))
    }

    /// A role without quota is refused: upstream's daemon ends itself on it (`_remove`, `quotas.at`).
    pub(super) fn remove_quota(&self, role: String, path: Option<&str>) -> Decided {
        if !self.policy.quotas.contains_key(&role) {
            let what = path.map_or_else(
                || "Failed to remove quota".to_owned(),
                |p| format!("Failed to remove quota for path '{p}'"),
            );
            return Err(bad(format!("{what}: Role '{role}' has no quota set")));
        }
        let configs = vec![QuotaConfig { role, ..Default::default() }];
        Ok((configs.iter().map(policy::put_quota).collect(), Decision::Quotas(configs)))
    }

    pub(super) fn update_quota(&self, force: bool, configs: Vec<QuotaConfig>) -> Decided {
        let invalid = |why: String| bad(format!("Invalid QuotaConfig: {why}"));
        for config in &configs {
            if config.role.contains('/') && role_fault(&config.role).is_none() {
                let role = &config.role;
                return Err(bad(format!("Updating quota on nested role '{role}' is not supported yet")));
            }
            if let Some(fault) = fault(config) {
                return Err(invalid(fault));
            }
        }
        if let Some(why) = self.too_many_kinds(&configs) {
            return Err(invalid(why));
        }
        for config in configs.iter().filter(|_| !force) {
            let (limits, used) = (Quantities::of(&config.limits), self.breakdown(&config.role).consumed);
            if !limits.limits(&used) {
                return Err(invalid(format!(
                    "Role '{}' is already consuming '{used}'; this is more than the requested limits '{limits}' \
                     (use 'force' flag to bypass this check)",
                    config.role
                )));
            }
        }
        let (total, capacity) = (self.guaranteed(&configs), self.capacity());
        if !force && !capacity.contains(&total) {
            return Err(invalid(format!(
                "total quota guarantees '{total}' exceed cluster capacity '{capacity}' \
                 (use 'force' flag to bypass this check)"
            )));
        }
        Ok((configs.iter().map(policy::put_quota).collect(), Decision::Quotas(configs)))
    }

    /// The allocator keeps to it from now on.
    pub(crate) fn bind_quota(&mut self, config: &QuotaConfig) {
        let amounts = |map| Quantities::of(map).0.into_iter().collect();
        let quota = Quota { guarantees: amounts(&config.guarantees), limits: amounts(&config.limits) };
        // Validation has refused what the allocator can't keep to.
        self.allocator.set_quota(&config.role, quota);
    }

    /// The allocator counts so many kinds.
    fn too_many_kinds(&self, changed: &[QuotaConfig]) -> Option<String> {
        let standing = self.policy.quotas.values().filter(|q| changed.iter().all(|c| c.role != q.role));
        let kinds: BTreeSet<&String> =
            standing.chain(changed).flat_map(|q| q.guarantees.keys().chain(q.limits.keys())).collect();
        (kinds.len() > QUOTA_KINDS_MAX).then(|| {
            format!(
                "quotas name {} kinds of resources, at most {QUOTA_KINDS_MAX} (QUOTA_KINDS_MAX) are counted",
                kinds.len()
            )
        })
    }

    fn keep_quota(&mut self, config: &QuotaConfig) {
        self.bind_quota(config);
        let role = config.role.clone();
        if config.guarantees.is_empty() && config.limits.is_empty() {
            self.policy_mut().quotas.remove(&role);
        } else {
            self.policy_mut().quotas.insert(role, config.clone());
        }
    }

    pub(super) fn quotas_updated(&mut self, configs: Vec<QuotaConfig>, now: Time, out: &mut Effects<Effect>) {
        for config in configs {
            self.keep_quota(&config);
            let found = self.breakdown(&config.role);
            let mut held = found.consumed;
            held.add_all(&found.offered);
            let limits = Quantities::of(&config.limits);
            self.rescind_offers(&config.role, true, now, out, |back| {
                let more = !limits.limits(&held);
                if more {
                    held.cut(back);
                }
                more
            });
            // What seems free is taken to be gone.
            let guarantees = Quantities::of(&config.guarantees);
            self.rescind_offers(&config.role, false, now, out, |back| {
                let more = !held.contains(&guarantees);
                if more {
                    held.add_all(back);
                }
                more
            });
        }
    }

    /// Takes back the offers to roles within one, or to all others, while more is wanted: that is asked before each, with
    /// what comes back.
    fn rescind_offers(
        &mut self,
        role: &str,
        within: bool,
        now: Time,
        out: &mut Effects<Effect>,
        mut wants: impl FnMut(&Quantities) -> bool,
    ) {
        let theirs = self.offers.iter().filter(|(_, o)| crate::breakdown::within(&o.role, role) == within);
        let mut by_agent: Vec<_> =
            theirs.map(|(id, o)| (o.agent.clone(), id.clone(), o.resources.clone())).collect();
        if !within {
            by_agent.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        }
        for (_, offer, resources) in by_agent {
            let mut back = Quantities::default();
            back.add(&resources);
            if !wants(&back) {
                return;
            }
            self.rescind(&offer, now, out);
        }
    }

    /// Whole agents are freed of offers until they hold what is guaranteed, and there is one for each of the role's
    /// frameworks.
    pub(super) fn quota_set(&mut self, config: QuotaConfig, now: Time, out: &mut Effects<Effect>) {
        self.keep_quota(&config);
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

/// What is wrong with a quota by itself.
fn fault(config: &QuotaConfig) -> Option<String> {
    if let Some(fault) = role_fault(&config.role) {
        return Some(format!("Invalid 'QuotaConfig.role': {fault}"));
    }
    for (field, map) in [("guarantees", &config.guarantees), ("limits", &config.limits)] {
        for (name, scalar) in sorted(map) {
            let value = scalar.value;
            if matches!(name.as_str(), "mem" | "disk") && value > MEGABYTES_MAX {
                return Some(format!(
                    "Invalid 'QuotaConfig.{field}': {{'{name}': {value}}} is invalid: \
                     values greater than 1 exabyte (1099511627776) are not supported"
                ));
            }
            if !matches!(name.as_str(), "mem" | "disk") && value > OTHER_MAX {
                return Some(format!(
                    "Invalid 'QuotaConfig.{field}': {{'{name}': {value}}} is invalid: \
                     values greater than 1 trillion (1000000000000) are not supported"
                ));
            }
        }
    }
    for (what, map) in [("guarantee", &config.guarantees), ("limit", &config.limits)] {
        for (name, scalar) in sorted(map) {
            let value = scalar.value;
            if let Some(why) = scalar_fault(value) {
                return Some(format!("Invalid {what} configuration {{'{name}': {value}}}: {why}"));
            }
        }
    }
    let (guarantees, limits) = (Quantities::of(&config.guarantees), Quantities::of(&config.limits));
    (!limits.limits(&guarantees)).then(|| {
        format!(
            "'QuotaConfig.guarantees' {} is not contained within the 'QuotaConfig.limits' {}",
            printed(&config.guarantees),
            printed(&config.limits)
        )
    })
}

fn sorted(map: &HashMap<String, Scalar>) -> BTreeMap<&String, &Scalar> {
    map.iter().collect()
}

fn printed(map: &HashMap<String, Scalar>) -> String {
    let parts: Vec<_> = sorted(map).iter().map(|(name, s)| format!("{name}: {}", s.value)).collect();
    format!("{{ {} }}", parts.join(", "))
}
