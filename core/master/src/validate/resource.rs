//! What resources of a task, an executor or an operation must look like together. Texts are upstream's
//! (src/master/validation.cpp). Never asks whether they are there.

use super::id;
use model::{
    mesos::{self, Resource, volume},
    resources::{Allocated, Amount, Resources, allocation_role, describe},
};
use std::collections::BTreeSet;

/// What is wrong with resources that belong together.
pub fn all(resources: &[Resource]) -> Option<String> {
    if let Err(invalid) = Resources::from_messages(resources) {
        return Some(format!("Invalid resources: {invalid}"));
    }
    let whole = |r: &&Resource| r.scalar.as_ref().is_none_or(|s| s.value.fract() == 0.0);
    if resources.iter().any(|r| r.name == "gpus" && !whole(&r)) {
        return Some("Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer".to_owned());
    }
    if let Some(fault) = resources.iter().find_map(disk) {
        return Some(format!("Invalid DiskInfo: {fault}"));
    }
    resources.iter().find(|r| is_dynamically_reserved(r) && r.revocable.is_some()).map(|r| {
        format!(
            "Invalid ReservationInfo: Dynamically reserved resource {} cannot be created from revocable \
             resources",
            describe(r)
        )
    })
}

fn disk(resource: &Resource) -> Option<String> {
    let disk = resource.disk.as_ref()?;
    let text = match (&disk.persistence, &disk.volume) {
        (Some(_), _) if resource.revocable.is_some() => {
            "Persistent volumes cannot be created from revocable resources"
        }
        (Some(_), _) if resource.reservations.is_empty() => {
            "Persistent volumes cannot be created from unreserved resources"
        }
        (Some(_), None) => "Expecting 'volume' to be set for persistent volume",
        (Some(_), Some(volume)) if volume.host_path.is_some() => {
            "Expecting 'host_path' to be unset for persistent volume"
        }
        (Some(persistence), Some(_)) => {
            return id(&persistence.id)
                .map(|fault| format!("Invalid persistence ID for persistent volume: {fault}"));
        }
        (None, Some(_)) => "Non-persistent volume not supported",
        (None, None) if disk.source.is_none() => "DiskInfo is set but empty",
        (None, None) => return None,
    };
    Some(text.to_owned())
}

/// Whether the innermost reservation was made at run time.
pub fn is_dynamically_reserved(resource: &Resource) -> bool {
    use mesos::resource::reservation_info::Type;
    resource.reservations.last().is_some_and(|r| r.r#type() == Type::Dynamic)
}

/// The role that it is reserved to, `*` if to none.
pub fn reservation_role(resource: &Resource) -> &str {
    resource.reservations.last().map_or("*", |r| r.role())
}

/// Ids of volumes are unique on an agent by role.
pub fn unique_persistence_ids<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> Option<String> {
    let mut seen = BTreeSet::new();
    for resource in resources {
        let Some(persistence) = resource.disk.as_ref().and_then(|d| d.persistence.as_ref()) else { continue };
        if !seen.insert((reservation_role(resource), persistence.id.as_str())) {
            return Some(format!("Persistence ID '{}' is not unique", persistence.id));
        }
    }
    None
}

/// Of one name either all are revocable or none.
pub fn revocable_or_not<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> Option<String> {
    let (mut revocable, mut firm) = (BTreeSet::new(), BTreeSet::new());
    for resource in resources {
        let set = if resource.revocable.is_some() { &mut revocable } else { &mut firm };
        set.insert(resource.name.as_str());
    }
    let both = revocable.intersection(&firm).next()?;
    Some(format!("Cannot use both revocable and non-revocable '{both}' at the same time"))
}

/// All are given to one role.
pub fn one_allocation_role(resources: &[Resource]) -> Option<String> {
    let mut role: Option<&str> = None;
    for resource in resources {
        let Some(own) = resource.allocation_info.as_ref().and_then(|a| a.role.as_deref()) else {
            return Some("The resources are not allocated to a role".to_owned());
        };
        match role {
            Some(other) if other != own => {
                return Some(format!(
                    "The resources have multiple allocation roles ('{own}' and '{other}') but only one \
                     allocation role is allowed"
                ));
            }
            _ => role = Some(own),
        }
    }
    None
}

/// Resources as upstream prints them, with the role that they are allocated to.
pub fn printed(resources: &[Resource]) -> String {
    let all = Resources::from_messages(resources).unwrap_or_default();
    match allocation_role(resources) {
        Some(role) => Allocated(&all, role).to_string(),
        None => all.to_string(),
    }
}

/// Whether ranges or sets of one group are in another too, so that the sum is less than its parts.
pub fn overlap(groups: &[&[Resource]]) -> bool {
    let parts: Vec<_> = groups.iter().filter_map(|g| Resources::from_messages(*g).ok()).collect();
    let total: Resources = parts.iter().sum();
    let count = |all: &Resources| {
        all.iter().fold(0u64, |sum, item| {
            sum.saturating_add(match &item.amount {
                Amount::Ranges(ranges) => ranges.count(),
                Amount::Set(items) => items.as_slice().len() as u64,
                Amount::Scalar(_) => 0,
            })
        })
    };
    parts.iter().map(count).fold(0, u64::saturating_add) != count(&total)
}

/// Every one is a persistent volume that can be written.
pub fn persistent_volumes(volumes: &[Resource]) -> Option<String> {
    volumes.iter().find_map(|resource| {
        let Some(disk) = &resource.disk else {
            return Some(format!("Resource {} does not have DiskInfo", describe(resource)));
        };
        let text = match (&disk.persistence, &disk.volume) {
            (None, _) => "'persistence' is not set in DiskInfo",
            (_, None) => "Expecting 'volume' to be set for persistent volume",
            (_, Some(v)) if v.mode() == volume::Mode::Ro => "Read-only persistent volume not supported",
            _ => return None,
        };
        Some(text.to_owned())
    })
}

/// Either none comes from a resource provider or all from the same.
pub fn one_provider(resources: &[Resource]) -> Option<String> {
    let of = |r: &Resource| r.provider_id.as_ref().map(|id| id.value.clone());
    let providers: BTreeSet<_> = resources.iter().map(of).collect();
    if providers.len() == 1 {
        return None;
    }
    if resources.is_empty() {
        return Some("The resources have multiple resource providers: ".to_owned());
    }
    if providers.contains(&None) {
        return Some("Some resources have a resource provider and some do not".to_owned());
    }
    let all: Vec<_> = providers.into_iter().flatten().collect();
    Some(format!("The resources have multiple resource providers: {}", all.join(", ")))
}
