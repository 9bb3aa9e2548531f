//! What an operation on an agent's resources must look like before it is tried. Texts are upstream's
//! (src/master/validation.cpp, `operation`). Never asks whether the resources are there.

use super::resource::{self, is_dynamically_reserved, reservation_role};
use model::{
    mesos::{
        FrameworkInfo, Resource,
        agent_info::capability::Type as AgentCap,
        framework_info::capability::Type as Cap,
        offer::{Operation, operation},
        resource::disk_info::source,
    },
    resources::{Conversion, Item, Kind, Resources, describe},
};

/// The agent as far as an operation depends on it.
#[derive(Debug)]
pub struct OnAgent<'a> {
    /// What it can do.
    pub capabilities: &'a [AgentCap],
    /// Its dynamic reservations and volumes.
    pub checkpointed: &'a Resources,
    /// What tasks and executors use there.
    pub used: &'a Resources,
}

/// Who asks: a framework by its info, or an operator; and as whom it was let in.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The framework; none = an operator.
    pub framework: Option<&'a FrameworkInfo>,
    /// The principal, if there is one.
    pub principal: Option<&'a str>,
}

/// What is wrong with an operation.
pub fn operation(operation: &Operation, asked: Asked<'_>, agent: &OnAgent<'_>) -> Option<String> {
    use operation::Type;
    let absent = || Some(format!("{} without its payload", operation.r#type().as_str_name()));
    match operation.r#type() {
        Type::Reserve => operation.reserve.as_ref().map_or_else(absent, |o| reserve(o, asked, agent)),
        Type::Unreserve => operation.unreserve.as_ref().map_or_else(absent, unreserve),
        Type::Create => operation.create.as_ref().map_or_else(absent, |o| create(o, asked, agent)),
        Type::Destroy => operation.destroy.as_ref().map_or_else(absent, |o| destroy(o, agent)),
        Type::GrowVolume => operation.grow_volume.as_ref().map_or_else(absent, |o| grow(o, agent)),
        Type::ShrinkVolume => operation.shrink_volume.as_ref().map_or_else(absent, |o| shrink(o, agent)),
        Type::CreateDisk => operation.create_disk.as_ref().map_or_else(absent, |o| provided(&o.source)),
        Type::DestroyDisk => operation.destroy_disk.as_ref().map_or_else(absent, |o| provided(&o.source)),
        Type::Launch | Type::LaunchGroup | Type::Unknown => Some("Unknown operation".to_owned()),
    }
}

/// Disks come from resource providers, and no agent here has one.
fn provided(source: &Resource) -> Option<String> {
    resource::all(std::slice::from_ref(source))
        .map(|fault| fault.replacen("resources", "resource", 1))
        .or_else(|| match source.provider_id {
            None => Some("'source' is not managed by a resource provider".to_owned()),
            Some(_) => Some("Resource providers are not supported".to_owned()),
        })
}

fn reserve(reserve: &operation::Reserve, asked: Asked<'_>, agent: &OnAgent<'_>) -> Option<String> {
    let resources = &reserve.resources;
    let invalid = |fault: String| format!("Invalid resources: {fault}");
    resource::all(resources)
        .map(invalid)
        .or_else(|| resource::all(&reserve.source).map(|fault| format!("Invalid source: {fault}")))
        .or_else(|| source_fits(reserve))
        .or_else(|| resource::one_provider(resources).map(invalid))
        .or_else(|| resources.iter().find_map(|r| reserve_one(r, asked, agent)))
        .or_else(|| {
            asked
                .framework
                .and_then(|_| resource::one_allocation_role(resources))
                .map(|fault| format!("Invalid reservation resources: {fault}"))
        })
}

/// A reservation that replaces another: the same amounts, each side reserved in one way.
fn source_fits(reserve: &operation::Reserve) -> Option<String> {
    let (source, target) = (&reserve.source, &reserve.resources);
    if source.is_empty() {
        return None;
    }
    let mixed = |all: &[Resource]| {
        let Some(first) = all.first() else { return Some("Resource cannot be empty".to_owned()) };
        let same = all.iter().all(|r| r.reservations == first.reservations);
        (!same).then(|| "Mixed reservations are not supported".to_owned())
    };
    if let Some(fault) = mixed(source) {
        return Some(format!("Invalid source: {fault}"));
    }
    if let Some(fault) = mixed(target) {
        return Some(format!("Invalid resources: {fault}"));
    }
    let bare = |all: &[Resource]| {
        let unreserved = all.iter().map(|r| Resource { reservations: Vec::new(), ..r.clone() });
        Resources::from_messages(&unreserved.collect::<Vec<_>>()).unwrap_or_default()
    };
    let (source, target) = (bare(source), bare(target));
    (source != target).then(|| {
        format!(
            "Source and target resources should refer to identical resource quantities: {source} vs. {target}"
        )
    })
}

fn reserve_one(one: &Resource, asked: Asked<'_>, agent: &OnAgent<'_>) -> Option<String> {
    let text = describe(one);
    let role = reservation_role(one);
    if !is_dynamically_reserved(one) {
        return Some(format!("Resource {text} is not dynamically reserved"));
    }
    if !agent.capabilities.contains(&AgentCap::HierarchicalRole) && role.contains('/') {
        return Some(format!(
            "Resource {text} with reservation for hierarchical role '{role}' cannot be reserved on an agent \
             without HIERARCHICAL_ROLE capability"
        ));
    }
    if !agent.capabilities.contains(&AgentCap::ReservationRefinement) && one.reservations.len() > 1 {
        return Some(format!(
            "Resource {text} with reservation refinement cannot be reserved on an agent without \
             RESERVATION_REFINEMENT capability"
        ));
    }
    if let Some(principal) = asked.principal {
        match one.reservations.last().and_then(|r| r.principal.as_deref()) {
            None => {
                return Some(format!(
                    "A reserve operation was attempted by principal '{principal}', but there is a reserved \
                     resource in the request with no principal set"
                ));
            }
            Some(given) if given != principal => {
                return Some(format!(
                    "A reserve operation was attempted by authenticated principal '{principal}', which does \
                     not match a reserved resource in the request with principal '{given}'"
                ));
            }
            Some(_) => {}
        }
    }
    let allocated = one.allocation_info.as_ref().and_then(|a| a.role.as_deref());
    match (asked.framework, allocated) {
        (None, None) => None,
        (None, Some(_)) => Some(
            "A reserve operation was attempted with an allocated resource, but the operator API only allows \
             reservations to be made to unallocated resources"
                .to_owned(),
        ),
        (Some(_), None) => Some(format!(
            "A reserve operation was attempted on unallocated resource {text}, but frameworks can only perform \
             reservations on allocated resources"
        )),
        (Some(_), Some(allocated)) if allocated != role => Some(format!(
            "A reserve operation was attempted for a resource with role '{role}', but the resource was \
             allocated to role '{allocated}'"
        )),
        (Some(framework), Some(allocated)) => {
            let roles = crate::roles(framework);
            (!roles.iter().any(|r| r == allocated)).then(|| {
                format!(
                    "A reserve operation was attempted for a resource allocated to role '{allocated}', but the \
                     framework only has roles '{{ {} }}'",
                    roles.join(", ")
                )
            })
        }
    }
}

fn unreserve(unreserve: &operation::Unreserve) -> Option<String> {
    let resources = &unreserve.resources;
    let fault = resource::all(resources).or_else(|| resource::one_provider(resources));
    fault.map(|fault| format!("Invalid resources: {fault}")).or_else(|| {
        resources.iter().find_map(|one| {
            let text = describe(one);
            if !is_dynamically_reserved(one) {
                Some(format!("Resource {text} is not dynamically reserved"))
            } else {
                one.disk.as_ref()?.persistence.as_ref()?;
                Some(format!(
                    "A dynamically reserved persistent volume {text} cannot be unreserved directly. Please \
                     destroy the persistent volume first then unreserve the resource"
                ))
            }
        })
    })
}

fn create(create: &operation::Create, asked: Asked<'_>, agent: &OnAgent<'_>) -> Option<String> {
    let volumes = &create.volumes;
    let invalid = |fault: String| format!("Invalid resources: {fault}");
    let known = agent.checkpointed.to_messages();
    resource::all(volumes)
        .map(invalid)
        .or_else(|| resource::one_provider(volumes).map(invalid))
        .or_else(|| resource::persistent_volumes(volumes).map(|f| format!("Not a persistent volume: {f}")))
        .or_else(|| resource::unique_persistence_ids(known.iter().chain(volumes)))
        .or_else(|| volumes.iter().find_map(|volume| create_one(volume, asked, agent)))
        .or_else(|| {
            asked
                .framework
                .and_then(|_| resource::one_allocation_role(volumes))
                .map(|fault| format!("Invalid volume resources: {fault}"))
        })
}

fn create_one(volume: &Resource, asked: Asked<'_>, agent: &OnAgent<'_>) -> Option<String> {
    let text = describe(volume);
    let role = reservation_role(volume);
    if let Some(framework) = asked.framework
        && volume.shared.is_some()
        && !framework.capabilities.iter().any(|c| c.r#type() == Cap::SharedResources)
    {
        let id = framework.id.as_ref().map_or("", |id| id.value.as_str());
        return Some(format!(
            "Create volume operation for '{text}' has been attempted by framework '{id}' with no \
             SHARED_RESOURCES capability"
        ));
    }
    if !agent.capabilities.contains(&AgentCap::HierarchicalRole) && role.contains('/') {
        return Some(format!(
            "Volume {text} with reservation for hierarchical role '{role}' cannot be created on an agent \
             without HIERARCHICAL_ROLE capability"
        ));
    }
    if !agent.capabilities.contains(&AgentCap::ReservationRefinement) && volume.reservations.len() > 1 {
        return Some(format!(
            "Volume {text} with reservation refinement cannot be created on an agent without \
             RESERVATION_REFINEMENT capability"
        ));
    }
    let principal = asked.principal?;
    let given =
        volume.disk.as_ref().and_then(|d| d.persistence.as_ref()).and_then(|p| p.principal.as_deref());
    match given {
        None => Some(format!(
            "Create volume operation attempted by principal '{principal}', but there is a volume in the \
             operation with no principal set in 'disk.persistence'"
        )),
        Some(given) if given != principal => Some(format!(
            "Create volume operation attempted by authenticated principal '{principal}', which does not match \
             a volume in the operation with principal '{given}' set in 'disk.persistence'"
        )),
        Some(_) => None,
    }
}

fn destroy(destroy: &operation::Destroy, agent: &OnAgent<'_>) -> Option<String> {
    let volumes = &destroy.volumes;
    let fault = resource::all(volumes).or_else(|| resource::one_provider(volumes));
    fault
        .map(|fault| format!("Invalid resources: {fault}"))
        .or_else(|| resource::persistent_volumes(volumes).map(|f| format!("Not a persistent volume: {f}")))
        .or_else(|| {
            let each = |volume: &Resource| Resources::from_messages([volume]).unwrap_or_default();
            if volumes.iter().any(|v| !agent.checkpointed.contains(&each(v))) {
                return Some("Persistent volumes not found".to_owned());
            }
            let used = volumes.iter().any(|v| agent.used.contains(&each(v)));
            used.then(|| "Persistent volumes in use".to_owned())
        })
}

fn grow(grow: &operation::GrowVolume, agent: &OnAgent<'_>) -> Option<String> {
    let read = |field: &str, message: &Resource| {
        Resources::from_messages([message]).map_err(|invalid| {
            format!("Invalid resource in the 'GrowVolume.{field}' field: {}", invalid.reason)
        })
    };
    let (volume, addition) = match (read("volume", &grow.volume), read("addition", &grow.addition)) {
        (Ok(volume), Ok(addition)) => (volume, addition),
        (Err(fault), _) | (_, Err(fault)) => return Some(fault),
    };
    let text = match () {
        () if addition.milli(&grow.addition.name) <= 0 => {
            "The size of 'GrowVolume.addition' field must be greater than zero"
        }
        () if grow.volume.provider_id.is_some() => {
            "Growing a volume from a resource provider is not supported"
        }
        () => {
            if let Some(fault) = resource::persistent_volumes(std::slice::from_ref(&grow.volume)) {
                return Some(format!("Invalid persistent volume in the 'GrowVolume.volume' field: {fault}"));
            }
            let bare = volume.map_kinds(Kind::without_volume) + &addition;
            if grow.volume.shared.is_some() {
                "Growing a shared persistent volume is not supported"
            } else if bare.iter().len() != 1 || bare.iter().any(|item: &Item| item.kind.is_whole()) {
                "Incompatible resources in the 'GrowVolume.volume' and 'GrowVolume.addition' fields"
            } else {
                return cannot_resize(&grow.volume, "grown", agent);
            }
        }
    };
    Some(text.to_owned())
}

fn shrink(shrink: &operation::ShrinkVolume, agent: &OnAgent<'_>) -> Option<String> {
    if let Err(invalid) = Resources::from_messages([&shrink.volume]) {
        let reason = invalid.reason;
        return Some(format!("Invalid resource in the 'ShrinkVolume.volume' field: {reason}"));
    }
    let size = shrink.volume.scalar.as_ref().map_or(0.0, |s| s.value);
    let disk = shrink.volume.disk.as_ref().and_then(|d| d.source.as_ref());
    let subtract = shrink.subtract.value;
    let text = if subtract.is_nan() || subtract < 0.0005 {
        "Value of 'ShrinkVolume.subtract' must be greater than zero"
    } else if size <= subtract {
        "Value of 'ShrinkVolume.subtract' must be smaller than the size of 'ShrinkVolume.volume'"
    } else if shrink.volume.provider_id.is_some() {
        "Shrinking a volume from a resource provider is not supported"
    } else if disk.is_some_and(|s| s.r#type() == source::Type::Mount) {
        "Shrinking a volume on a MOUNT disk is not supported"
    } else if let Some(fault) = resource::persistent_volumes(std::slice::from_ref(&shrink.volume)) {
        return Some(format!("Invalid persistent volume in the 'ShrinkVolume.volume' field: {fault}"));
    } else if shrink.volume.shared.is_some() {
        "Shrinking a shared persistent volume is not supported"
    } else {
        return cannot_resize(&shrink.volume, "shrunk", agent);
    };
    Some(text.to_owned())
}

fn cannot_resize(volume: &Resource, how: &str, agent: &OnAgent<'_>) -> Option<String> {
    let can = agent.capabilities.contains(&AgentCap::ResizeVolume);
    (!can).then(|| {
        format!("Volume {} cannot be {how} on an agent without RESIZE_VOLUME capability", describe(volume))
    })
}

/// The resources of an operation, to be read or to be brought into one format.
pub fn resources_of(operation: &mut Operation) -> Vec<&mut Resource> {
    let mut all: Vec<&mut Resource> = Vec::new();
    all.extend(operation.reserve.iter_mut().flat_map(|o| o.source.iter_mut().chain(&mut o.resources)));
    all.extend(operation.unreserve.iter_mut().flat_map(|o| &mut o.resources));
    all.extend(operation.create.iter_mut().flat_map(|o| &mut o.volumes));
    all.extend(operation.destroy.iter_mut().flat_map(|o| &mut o.volumes));
    all.extend(operation.grow_volume.iter_mut().flat_map(|o| [&mut o.volume, &mut o.addition]));
    all.extend(operation.shrink_volume.iter_mut().map(|o| &mut o.volume));
    all.extend(operation.create_disk.iter_mut().map(|o| &mut o.source));
    all.extend(operation.destroy_disk.iter_mut().map(|o| &mut o.source));
    let of_task = |task| {
        let task: &mut model::mesos::TaskInfo = task;
        task.resources.iter_mut().chain(task.executor.iter_mut().flat_map(|e| &mut e.resources))
    };
    all.extend(operation.launch.iter_mut().flat_map(|o| &mut o.task_infos).flat_map(of_task));
    if let Some(group) = &mut operation.launch_group {
        all.extend(group.executor.resources.iter_mut());
        all.extend(group.task_group.tasks.iter_mut().flat_map(of_task));
    }
    all
}

/// The role that an operation says its resources are allocated to; the first where it says several.
pub fn allocated_to(operation: &Operation) -> Option<&str> {
    let mut all: Vec<&Resource> = Vec::new();
    all.extend(operation.reserve.iter().flat_map(|o| o.resources.iter().chain(&o.source)));
    all.extend(operation.unreserve.iter().flat_map(|o| &o.resources));
    all.extend(operation.create.iter().flat_map(|o| &o.volumes));
    all.extend(operation.destroy.iter().flat_map(|o| &o.volumes));
    all.extend(operation.grow_volume.iter().flat_map(|o| [&o.volume, &o.addition]));
    all.extend(operation.shrink_volume.iter().map(|o| &o.volume));
    all.into_iter().find_map(|r| r.allocation_info.as_ref()?.role.as_deref())
}

/// What an operation converts, once its resources are known to be valid.
pub fn conversion(operation: &Operation) -> Conversion {
    Conversion::of(operation).unwrap_or_default()
}
