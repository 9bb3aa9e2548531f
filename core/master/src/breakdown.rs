//! What roles have: which roles there are, what they hold, what is offered and reserved to them. For readers and quota.

use crate::{Master, Tables, is_terminal, operator::Quantities};
use model::{
    mesos::{FrameworkId, Resource, Role, Task},
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

/// What tasks and executors hold, in amounts.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// By the role that it is allocated to.
    allocated: BTreeMap<String, Quantities>,
    /// What of it is reserved, by the role that it is reserved to.
    reserved: BTreeMap<String, Quantities>,
    /// What tasks of one framework may use at once is held once: by framework, agent, role and volume.
    shared: BTreeMap<[String; 4], Resource>,
}

impl Held {
    /// What those of these tasks hold that have not ended.
    pub fn of<'a>(tasks: impl Iterator<Item = &'a Task>) -> Self {
        let mut held = Self::default();
        for task in tasks.filter(|t| !is_terminal(t.state())) {
            let role = crate::agents::role_of(task);
            if task.resources.iter().all(|r| r.shared.is_none()) {
                held.add(role, &task.resources);
                continue;
            }
            let (shared, own): (Vec<_>, Vec<_>) =
                task.resources.iter().cloned().partition(|r| r.shared.is_some());
            held.add(role, &own);
            for resource in shared {
                let persistence = resource.disk.as_ref().and_then(|d| d.persistence.as_ref());
                let volume = persistence.map(|p| p.id.clone()).unwrap_or_default();
                let ids = [&task.framework_id.value, &task.agent_id.value, role, &volume];
                held.shared.insert(ids.map(str::to_owned), resource);
            }
        }
        held
    }
    fn add(&mut self, role: &str, resources: &[Resource]) {
        at(&mut self.allocated, role).add_messages(resources);
        for resource in resources {
            let reserved = resource.reservations.last().and_then(|r| r.role.as_deref());
            let reserved = reserved.or(resource.role.as_deref()).filter(|r| *r != "*");
            if let Some(reserved) = reserved {
                at(&mut self.reserved, reserved).add_messages(std::slice::from_ref(resource));
            }
        }
    }
    /// Adds what others hold.
    pub fn add_all(&mut self, others: &Self) {
        for (role, more) in &others.allocated {
            at(&mut self.allocated, role).add_all(more);
        }
        for (role, more) in &others.reserved {
            at(&mut self.reserved, role).add_all(more);
        }
        self.shared.extend(others.shared.iter().map(|(ids, resource)| (ids.clone(), resource.clone())));
    }
    fn count_shared(&mut self) {
        for ([_, _, role, _], resource) in std::mem::take(&mut self.shared) {
            self.add(&role, std::slice::from_ref(&resource));
        }
    }
}

fn at<'a, V: Default>(all: &'a mut BTreeMap<String, V>, role: &str) -> &'a mut V {
    if !all.contains_key(role) {
        all.insert(role.to_owned(), V::default());
    }
    all.entry(role.to_owned()).or_default()
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
    let tasks = tables.frameworks().values().flat_map(|f| f.tasks.values());
    breakdowns_with(tables, roles, Held::of(tasks))
}

/// The same, where it is known what tasks hold.
pub fn breakdowns_with(
    tables: &impl Tables,
    roles: &BTreeSet<String>,
    mut held: Held,
) -> BTreeMap<String, Breakdown> {
    for executor in tables.agents().values().flat_map(|agent| agent.executors.values()) {
        held.add(allocation_role(&executor.resources).unwrap_or("*"), &executor.resources);
    }
    held.count_shared();
    let used_reserved = held.reserved;
    let with = |(role, allocated)| (role, Breakdown { allocated, ..Breakdown::default() });
    let mut found: BTreeMap<String, Breakdown> = held.allocated.into_iter().map(with).collect();
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
    /// What one role has.
    pub fn breakdown(&self, role: &str) -> Breakdown {
        breakdowns(self, &BTreeSet::from([role.to_owned()])).remove(role).unwrap_or_default()
    }
}

/// Roles as GET_ROLES lists them, where it is known what tasks hold.
pub fn role_messages(tables: &impl Tables, held: Held) -> Vec<Role> {
    let known = known_roles(tables);
    let found = breakdowns_with(tables, &known, held);
    let mut members: BTreeMap<String, Vec<FrameworkId>> = BTreeMap::new();
    for framework in tables.frameworks().values() {
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
            let mut resource = Resource { name: name.clone(), scalar: Some(scalar), ..Default::default() };
            resource.set_type(model::mesos::value::Type::Scalar);
            resource
        });
        Role {
            weight: tables.policy().weight(name),
            frameworks: members.remove(name).unwrap_or_default(),
            resources: resources.collect(),
            name: name.clone(),
        }
    };
    known.iter().map(role).collect()
}
