//! Quota of roles. Order of checks and texts: apache/mesos@c1b42f79:src/master/quota_handler.cpp and quota.cpp.

use super::{Decided, Decision, Quantities, bad};
use crate::{
    Master,
    allocator::{QUOTA_KINDS_MAX, Quota},
    breakdown::breakdowns,
    policy,
    validate::scalar_fault,
};
use model::{
    mesos::{
        Resource,
        quota::{QuotaConfig, QuotaInfo, QuotaRequest, QuotaStatus},
        value::{self, Scalar},
    },
    request::Answer,
    resources::{Resources, role_fault},
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The most of `mem` and `disk` that a quota may say: an exabyte, in megabytes.
const MEGABYTES_MAX: f64 = 1_099_511_627_776.0;
/// The most of anything else.
const OTHER_MAX: f64 = 1e12;

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

    /// All quotas with these instead of those that stand; of two for one role the last.
    fn quotas_with<'a>(&'a self, changed: &'a [QuotaConfig]) -> impl Iterator<Item = &'a QuotaConfig> {
        let mut all: BTreeMap<&str, &QuotaConfig> =
            self.policy.quotas.iter().map(|(role, config)| (role.as_str(), config)).collect();
        all.extend(changed.iter().map(|config| (config.role.as_str(), config)));
        all.into_values()
    }

    /// What all top-level roles are guaranteed, with these quotas instead of those that stand.
    fn guaranteed(&self, changed: &[QuotaConfig]) -> Quantities {
        let mut sum = Quantities::default();
        for config in self.quotas_with(changed) {
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
        let found = match force {
            true => BTreeMap::new(),
            false => breakdowns(self, &configs.iter().map(|c| c.role.clone()).collect()),
        };
        for config in configs.iter().filter(|_| !force) {
            let used = found.get(&config.role).map(|found| found.consumed.clone()).unwrap_or_default();
            let limits = Quantities::of(&config.limits);
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
    pub(crate) fn bind_quotas(&mut self, configs: &[QuotaConfig]) {
        let amounts = |map: &HashMap<String, Scalar>| Quantities::of(map).0.into_iter().collect();
        let quota = |config: &QuotaConfig| Quota {
            guarantees: amounts(&config.guarantees),
            limits: amounts(&config.limits),
        };
        // Validation has refused what the allocator can't keep to.
        self.allocator.set_quotas(configs.iter().map(|config| (config.role.as_str(), quota(config))));
    }

    /// The allocator counts so many kinds.
    fn too_many_kinds(&self, changed: &[QuotaConfig]) -> Option<String> {
        let all = self.quotas_with(changed);
        let kinds: BTreeSet<&String> = all.flat_map(|q| q.guarantees.keys().chain(q.limits.keys())).collect();
        (kinds.len() > QUOTA_KINDS_MAX).then(|| {
            format!(
                "quotas name {} kinds of resources, at most {QUOTA_KINDS_MAX} (QUOTA_KINDS_MAX) are counted",
                kinds.len()
            )
        })
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
