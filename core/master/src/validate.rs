//! What a call and a framework must look like. Texts are upstream's (src/master/validation.cpp).

pub(crate) mod agent;
mod checks;
pub use checks::{command, container};
pub(crate) mod operation;
mod resource;
pub(crate) mod task;

use model::{
    mesos::{
        FrameworkInfo, OfferFilters,
        framework_info::capability::Type as Cap,
        scheduler::{Call, OfferConstraints, call},
    },
    resources::role_fault,
};
use std::collections::BTreeSet;

/// Nanoseconds of it are counted in 64 bits.
const FAILOVER_SECONDS_MAX: f64 = (i64::MAX / 1_000_000_000) as f64;
/// Longest id that is taken, in bytes.
const ID_BYTES_MAX: usize = 255;

/// What is wrong with an id that becomes part of paths.
pub fn id(id: &str) -> Option<String> {
    if id.is_empty() {
        return Some("ID must not be empty".to_owned());
    }
    if id.len() > ID_BYTES_MAX {
        return Some(format!("ID must not be greater than {ID_BYTES_MAX} characters"));
    }
    if id == "." || id == ".." {
        return Some(format!("'{id}' is disallowed"));
    }
    id.chars()
        .any(|c| c.is_control() || c == '/' || c == '\\')
        .then(|| format!("'{id}' contains invalid characters"))
}

/// What is wrong with the shape of a call, independent of any state.
pub fn call(call: &Call) -> Option<String> {
    let expecting = |what: &str| Some(format!("Expecting '{what}' to be present"));
    // A type that is not known counts as none, as it does in JSON.
    if call.r#type.is_none_or(|kind| call::Type::try_from(kind).is_err()) {
        return expecting("type");
    }
    let framework_id = call.framework_id.as_ref().map(|id| id.value.as_str());
    if call.r#type() == call::Type::Subscribe {
        let Some(subscribe) = &call.subscribe else { return expecting("subscribe") };
        let inner = subscribe.framework_info.id.as_ref().map(|id| id.value.as_str());
        return (framework_id.unwrap_or_default() != inner.unwrap_or_default())
            .then(|| "'framework_id' differs from 'subscribe.framework_info.id'".to_owned());
    }
    if framework_id.is_none() {
        return expecting("framework_id");
    }
    match call.r#type() {
        call::Type::Accept if call.accept.is_none() => expecting("accept"),
        call::Type::Decline if call.decline.is_none() => expecting("decline"),
        call::Type::AcceptInverseOffers if call.accept_inverse_offers.is_none() => {
            expecting("accept_inverse_offers")
        }
        call::Type::DeclineInverseOffers if call.decline_inverse_offers.is_none() => {
            expecting("decline_inverse_offers")
        }
        call::Type::Kill if call.kill.is_none() => expecting("kill"),
        call::Type::Shutdown if call.shutdown.is_none() => expecting("shutdown"),
        call::Type::Acknowledge => match &call.acknowledge {
            None => expecting("acknowledge"),
            Some(acknowledge) if !is_uuid(&acknowledge.uuid) => Some("Not a valid UUID".to_owned()),
            Some(_) => None,
        },
        call::Type::AcknowledgeOperationStatus => match &call.acknowledge_operation_status {
            None => expecting("acknowledge_operation_status"),
            Some(acknowledge) if !is_uuid(&acknowledge.uuid) => Some("Not a valid UUID".to_owned()),
            Some(acknowledge) if acknowledge.agent_id.is_none() => expecting("agent_id"),
            Some(_) => None,
        },
        call::Type::Reconcile if call.reconcile.is_none() => expecting("reconcile"),
        call::Type::ReconcileOperations if call.reconcile_operations.is_none() => {
            expecting("reconcile_operations")
        }
        call::Type::Message if call.message.is_none() => expecting("message"),
        call::Type::Request if call.request.is_none() => expecting("request"),
        call::Type::UpdateFramework => match &call.update_framework {
            None => expecting("update_framework"),
            Some(update) => {
                let inner = update.framework_info.id.as_ref().map(|id| id.value.as_str());
                (framework_id != inner)
                    .then(|| "'framework_id' differs from 'update_framework.framework_info.id'".to_owned())
            }
        },
        _ => None,
    }
}

/// 16 bytes with a version of 1 to 5, as upstream's parser wants them.
fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 16 && (1..=5).contains(&(bytes[6] >> 4))
}

/// What is wrong with a framework's info.
pub fn framework(info: &FrameworkInfo) -> Option<String> {
    let multi_role = info.capabilities.iter().any(|c| c.r#type() == Cap::MultiRole);
    if multi_role && info.role.is_some() {
        return Some(
            "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable".to_owned(),
        );
    }
    if !multi_role && !info.roles.is_empty() {
        return Some(
            "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable".to_owned(),
        );
    }
    let roles = crate::roles(info);
    let mut seen = BTreeSet::new();
    let doubled: BTreeSet<_> =
        roles.iter().filter(|r| !seen.insert(r.as_str())).map(String::as_str).collect();
    if !doubled.is_empty() {
        return Some(format!("'FrameworkInfo.roles' contains duplicate items: {}", set(doubled)));
    }
    if let Some(fault) = roles.iter().find_map(|r| role_fault(r)) {
        let what = if multi_role { "roles' contains invalid role" } else { "role' is not a valid role" };
        return Some(format!("'FrameworkInfo.{what}: {fault}"));
    }
    if let Some(given) = info.id.as_ref().filter(|i| !i.value.is_empty())
        && let Some(fault) = id(&given.value)
    {
        return Some(fault);
    }
    if let Some(fault) = info.offer_filters.values().find_map(offer_filters) {
        return Some(fault);
    }
    let timeout = info.failover_timeout();
    if timeout.is_nan() || timeout > FAILOVER_SECONDS_MAX {
        return Some(format!("The framework failover_timeout ({}) is invalid", as_c(timeout)));
    }
    None
}

fn offer_filters(filters: &OfferFilters) -> Option<String> {
    let least = filters.min_allocatable_resources.as_ref()?;
    least.quantities.iter().find_map(|one| {
        if one.quantities.is_empty() {
            return Some("Resource quantities must contain at least one quantity".to_owned());
        }
        let mut all: Vec<_> = one.quantities.iter().collect();
        all.sort_by_key(|(name, _)| *name);
        all.into_iter().find_map(|(name, amount)| {
            scalar_fault(amount.value).map(|why| format!("Invalid resource quantity for '{name}': {why}"))
        })
    })
}

/// What is wrong with an amount that was said by itself (src/common/validation.cpp, `validateInputScalarValue`).
pub(crate) fn scalar_fault(value: f64) -> Option<&'static str> {
    match value {
        _ if value.is_nan() => Some("NaN not supported"),
        _ if value.is_infinite() => Some("Infinite values not supported"),
        _ if value.is_subnormal() => Some("Subnormal values not supported"),
        _ if value < 0.0 => Some("Negative values not supported"),
        _ => None,
    }
}

/// What is wrong with what a subscription or update says beside the framework's info.
pub fn options(
    info: &FrameworkInfo,
    suppressed: &[String],
    constraints: Option<&OfferConstraints>,
) -> Option<String> {
    let roles = crate::roles(info);
    let foreign: BTreeSet<_> = suppressed.iter().filter(|r| !roles.contains(r)).map(String::as_str).collect();
    if !foreign.is_empty() {
        return Some(format!("Suppressed roles {} are not contained in the set of roles", set(foreign)));
    }
    let constraints = constraints?;
    // The absent space after the role is upstream's.
    let foreign = constraints.role_constraints.keys().find(|role| !roles.contains(role));
    foreign
        .map(|role| {
            format!(
                "Offer constraints specify `role_constraints` for a role '{role}'not contained in the set of roles"
            )
        })
        .or_else(|| {
            let fault = crate::allocator::Constraints::new(constraints).err();
            fault.map(|fault| format!("Offer constraints are not valid: {fault}"))
        })
}

/// What a framework may not change by UPDATE_FRAMEWORK.
pub fn update(old: &FrameworkInfo, new: &FrameworkInfo) -> Option<String> {
    if old.principal != new.principal {
        return Some("Changing framework's principal is not allowed.".to_owned());
    }
    let fixed = |field: &str, from: &str, to: &str| {
        Some(format!(
            "Updating 'FrameworkInfo.{field}' is unsupported; attempted to update from '{from}' to '{to}'"
        ))
    };
    if old.user != new.user {
        return fixed("user", &old.user, &new.user);
    }
    if old.checkpoint() != new.checkpoint() {
        return fixed("checkpoint", &old.checkpoint().to_string(), &new.checkpoint().to_string());
    }
    None
}

/// As upstream prints sets.
fn set<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    format!("{{ {} }}", items.into_iter().collect::<Vec<_>>().join(", "))
}

/// Numbers as C++ streams print them: `1e+30`.
fn as_c(number: f64) -> String {
    let plain = format!("{number:e}");
    match plain.split_once('e') {
        Some((mantissa, exponent)) if exponent.len() >= 2 && !exponent.starts_with('-') => {
            format!("{mantissa}e+{exponent}")
        }
        _ => number.to_string(),
    }
}
