//! What roles have: which roles there are, what they hold, what is offered and reserved to them. For readers and quota.

use crate::{Master, Tables, is_terminal, operator::Quantities};
use model::{
    mesos::{FrameworkId, Role},
    resources::allocation_role,
};
use std::collections::{BTreeMap, BTreeSet};

/// What a role and everything below it has.
#[derive(Clone, Debug, Default)]
pub struct Breakdown {
    /// What tasks use.
    pub allocated: Quantities,
    /// What is offered.
    pub offered: Quantities,
    /// What is reserved.
    pub reserved: Quantities,
    /// What counts against its quota: what is used, and what is reserved and not used.
    pub consumed: Quantities,
}

/// Whether a role is another one, or lies below it.
pub(crate) fn within(role: &str, above: &str) -> bool {
    role.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Every role that somebody is in, or that has a weight, quota or reservation, with all that lie above them.
pub fn known_roles(tables: &impl Tables) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    let mut add = |role: &str| {
        let mut role = role;
        while known.insert(role.to_owned()) {
            let Some((above, _)) = role.rsplit_once('/') else { break };
            role = above;
        }
    };
    for framework in tables.frameworks().values() {
        framework.roles().iter().for_each(|r| add(r));
    }
    for agent in tables.agents().values() {
        for item in &agent.total {
            if let Some(role) = item.kind.reserved_to() {
                add(role);
            }
        }
    }
    tables.policy().weights.keys().chain(tables.policy().quotas.keys()).for_each(|r| add(r));
    known
}

/// What all these roles have: one walk over tasks, offers and agents.
pub fn breakdowns(tables: &impl Tables, roles: &BTreeSet<String>) -> BTreeMap<String, Breakdown> {
    let mut found: BTreeMap<String, Breakdown> = BTreeMap::new();
    let mut used_reserved: BTreeMap<String, Quantities> = BTreeMap::new();
    let tasks = tables.frameworks().values().flat_map(|f| f.tasks.values());
    let tasks = tasks.filter(|t| !is_terminal(t.state()));
    let executors = tables.agents().values().flat_map(|agent| agent.executors.values());
    let executors = executors.map(|e| (allocation_role(&e.resources).unwrap_or("*"), &e.resources));
    for (role, resources) in tasks.map(|t| (crate::agents::role_of(t), &t.resources)).chain(executors) {
        found.entry(role.to_owned()).or_default().allocated.add_messages(resources);
        for resource in resources {
            let reserved = resource.reservations.last().and_then(|r| r.role.as_deref());
            let reserved = reserved.or(resource.role.as_deref()).filter(|r| *r != "*");
            if let Some(reserved) = reserved {
                let used = used_reserved.entry(reserved.to_owned()).or_default();
                used.add_messages(std::slice::from_ref(resource));
            }
        }
    }
    for offer in tables.offers().values() {
        found.entry(offer.role.to_string()).or_default().offered.add(&offer.resources);
    }
    for agent in tables.agents().values() {
        for (role, reserved) in agent.total.by_role() {
            if role != "*" {
                found.entry(role).or_default().reserved.add(&reserved);
            }
        }
    }
    let all = roles.iter().map(|role| {
        let mut sum = Breakdown::default();
        let mut unused = Quantities::default();
        for (_, own) in found.iter().filter(|(name, _)| within(name, role)) {
            sum.allocated.add_all(&own.allocated);
            sum.offered.add_all(&own.offered);
            sum.reserved.add_all(&own.reserved);
            unused.add_all(&own.reserved);
        }
        for (_, used) in used_reserved.iter().filter(|(name, _)| within(name, role)) {
            unused.cut(used);
        }
        sum.consumed = sum.allocated.clone();
        sum.consumed.add_all(&unused);
        (role.clone(), sum)
    });
    all.collect()
}

impl Master {
    /// Every role that somebody is in, or that has a weight, quota or reservation, with all that lie above them.
    pub fn known_roles(&self) -> BTreeSet<String> {
        known_roles(self)
    }

    /// What all these roles have: one walk over tasks, offers and agents.
    pub fn breakdowns(&self, roles: &BTreeSet<String>) -> BTreeMap<String, Breakdown> {
        breakdowns(self, roles)
    }

    /// What one role has.
    pub fn breakdown(&self, role: &str) -> Breakdown {
        self.breakdowns(&BTreeSet::from([role.to_owned()])).remove(role).unwrap_or_default()
    }

    /// The weight of a role.
    pub fn weight(&self, role: &str) -> f64 {
        self.policy.weights.get(role).copied().unwrap_or(1.0)
    }

    /// Roles as GET_ROLES lists them.
    pub fn role_messages(&self) -> Vec<Role> {
        let known = self.known_roles();
        let found = self.breakdowns(&known);
        let mut members: BTreeMap<String, Vec<FrameworkId>> = BTreeMap::new();
        for framework in self.frameworks.values() {
            for role in framework.roles() {
                let id = FrameworkId { value: framework.id().to_owned() };
                members.entry(role).or_default().push(id);
            }
        }
        let role = |name: &String| {
            let breakdown = found.get(name).cloned().unwrap_or_default();
            let mut sum = breakdown.allocated;
            sum.add_all(&breakdown.offered);
            // A range has no place in this answer.
            sum.0.remove("ports");
            let resources = sum.0.iter().map(|(name, milli)| {
                let scalar = model::mesos::value::Scalar { value: model::resources::to_float(*milli) };
                let mut resource =
                    model::mesos::Resource { name: name.clone(), scalar: Some(scalar), ..Default::default() };
                resource.set_type(model::mesos::value::Type::Scalar);
                resource
            });
            Role {
                weight: self.weight(name),
                frameworks: members.remove(name).unwrap_or_default(),
                resources: resources.collect(),
                name: name.clone(),
            }
        };
        known.iter().map(role).collect()
    }
}
