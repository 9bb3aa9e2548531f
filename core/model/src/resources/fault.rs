//! What is wrong with a resource as a message, in upstream's words and order (src/common/resources.cpp,
//! src/common/roles.cpp). Never changes it.

#![allow(deprecated)] // The flat format is spoken by every framework without RESERVATION_REFINEMENT.

use super::{SCALAR_MAX, to_milli};
use crate::mesos::{
    self,
    resource::{
        ReservationInfo,
        disk_info::{Source, source},
        reservation_info,
    },
    value,
};

/// What is wrong with the name of a role.
pub fn role_fault(role: &str) -> Option<String> {
    if role == "*" {
        return None;
    }
    if role.starts_with('/') {
        return Some(format!("Role '{role}' cannot start with a slash"));
    }
    if role.ends_with('/') {
        return Some(format!("Role '{role}' cannot end with a slash"));
    }
    if role.contains("//") {
        return Some(format!("Role '{role}' cannot contain two adjacent slashes"));
    }
    if role.is_empty() {
        return Some("Role names cannot be the empty string".into());
    }
    let bad = |c: char| c == '\u{7f}' || c.is_ascii_whitespace() || c == '\u{b}' || c == '\u{8}';
    role.split('/').find_map(|part| match part {
        "." | ".." | "*" => Some(format!("Role '{role}' cannot include '{part}' as a component")),
        _ if part.starts_with('-') => {
            Some(format!("Role component '{part}' is invalid because it starts with a dash"))
        }
        _ if part.contains(bad) => {
            Some(format!("Role component '{part}' is invalid because it contains backspace or whitespace"))
        }
        _ => None,
    })
}

/// What is wrong with one resource.
pub(super) fn fault(message: &mesos::Resource) -> Option<String> {
    if message.name.is_empty() {
        return Some("Empty resource name".into());
    }
    amount(message).or_else(|| disk(message)).or_else(|| match message.reservations.as_slice() {
        [] => flat(message),
        all => stacked(message, all),
    })
}

fn amount(message: &mesos::Resource) -> Option<String> {
    let given = (message.scalar.as_ref(), message.ranges.as_ref(), message.set.as_ref());
    let text = match (value::Type::try_from(message.r#type), given) {
        (Ok(value::Type::Scalar), (Some(scalar), None, None)) => {
            let value = scalar.value;
            if !value.is_finite() || value > SCALAR_MAX {
                return Some(format!("Invalid scalar resource: {value} is not a number up to {SCALAR_MAX}"));
            }
            (value != 0.0 && to_milli(value) <= 0).then_some("Invalid scalar resource: value <= 0")
        }
        (Ok(value::Type::Scalar), _) => Some("Invalid scalar resource"),
        (Ok(value::Type::Ranges), (None, Some(ranges), None)) => {
            let mut all: Vec<_> = ranges.range.iter().map(|range| (range.begin, range.end)).collect();
            all.sort_unstable();
            if all.iter().any(|(begin, end)| begin > end) {
                Some("Invalid ranges resource: begin > end")
            } else {
                let overlap = all.windows(2).any(|pair| pair[1].0 <= pair[0].1);
                overlap.then_some("Invalid ranges resource: overlapping ranges")
            }
        }
        (Ok(value::Type::Ranges), _) => Some("Invalid ranges resource"),
        (Ok(value::Type::Set), (None, None, Some(set))) => {
            let mut all: Vec<_> = set.item.iter().collect();
            all.sort_unstable();
            let doubled = all.windows(2).any(|pair| pair[0] == pair[1]);
            doubled.then_some("Invalid set resource: duplicated elements")
        }
        (Ok(value::Type::Set), _) => Some("Invalid set resource"),
        (Ok(value::Type::Text), _) => Some("Unsupported resource type"),
        (Err(_), _) => Some("Invalid resource type"),
    };
    text.map(Into::into)
}

fn disk(message: &mesos::Resource) -> Option<String> {
    let disk = message.disk.as_ref()?;
    if message.name != "disk" {
        return Some(format!("DiskInfo should not be set for {} resource", message.name));
    }
    let source: &Source = disk.source.as_ref()?;
    match source.r#type() {
        source::Type::Path | source::Type::Mount => None,
        kind @ (source::Type::Block | source::Type::Raw) => {
            let name = kind.as_str_name();
            if source.mount.is_some() {
                Some(format!("Mount should not be set for {name} disk source"))
            } else {
                source.path.as_ref().map(|_| format!("Path should not be set for {name} disk source"))
            }
        }
        source::Type::Unknown => Some("Unsupported 'DiskInfo.Source.Type' in 'UNKNOWN'".into()),
    }
}

fn flat(message: &mesos::Resource) -> Option<String> {
    let role = message.role();
    if let Some(fault) = role_fault(role) {
        return Some(fault);
    }
    let reservation = message.reservation.as_ref()?;
    let set = |field: &str| {
        Some(format!(
            "'Resource.ReservationInfo.{field}' must not be set for the 'Resource.reservation' field"
        ))
    };
    if reservation.r#type.is_some() {
        set("type")
    } else if reservation.role.is_some() {
        set("role")
    } else {
        (role == "*").then(|| "Invalid reservation: role \"*\" cannot be dynamically reserved".into())
    }
}

fn stacked(message: &mesos::Resource, all: &[ReservationInfo]) -> Option<String> {
    for reservation in all {
        let unset = |field: &str| {
            Some(format!("Invalid reservation: 'Resource.ReservationInfo.{field}' field must be set."))
        };
        if reservation.r#type.is_none() {
            return unset("type");
        }
        let Some(role) = &reservation.role else { return unset("role") };
        if let Some(fault) = role_fault(role) {
            return Some(fault);
        }
        if role == "*" {
            return Some("Invalid reservation: role \"*\" cannot be reserved".into());
        }
        if reservation.r#type() == reservation_info::Type::Unknown {
            return Some("Unsupported 'Resource.ReservationInfo.Type'".into());
        }
    }
    for pair in all.windows(2) {
        let (outer, inner) = (pair[0].role(), pair[1].role());
        if pair[1].r#type() == reservation_info::Type::Static {
            return Some("Invalid refined reservation: A refined reservation cannot be STATIC".into());
        }
        if !inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/')) {
            return Some(format!(
                "Invalid refined reservation: role '{inner}' is not a refinement of '{outer}'"
            ));
        }
    }
    both_formats(message, all)
}

/// A message that says its reservation in both formats must say the same in both.
fn both_formats(message: &mesos::Resource, all: &[ReservationInfo]) -> Option<String> {
    let format = |what: String| Some(format!("Invalid resource format: {what}"));
    let [one] = all else {
        let several = "must not be set if there is more than one reservation in 'Resource.reservations'";
        return if message.role.is_some() {
            format(format!("'Resource.role' {several}"))
        } else if message.reservation.is_some() {
            format(format!("'Resource.reservation' {several}"))
        } else {
            None
        };
    };
    if let Some(role) = message.role.as_deref().filter(|role| *role != one.role()) {
        return format(format!(
            "'Resource.role' field with '{role}' does not match the role '{}' in 'Resource.reservations'",
            one.role()
        ));
    }
    let dynamic = one.r#type() == reservation_info::Type::Dynamic;
    match &message.reservation {
        Some(_) if !dynamic => format(
            "'Resource.reservation' must not be set if the single reservation in 'Resource.reservations' is \
             STATIC"
                .into(),
        ),
        given if dynamic && message.role.is_some() != given.is_some() => format(
            "'Resource.role' and 'Resource.reservation' must either be both set or both not set if the single \
             reservation in 'Resource.reservations' is DYNAMIC"
                .into(),
        ),
        Some(given) if given.principal() != one.principal() => format(format!(
            "'Resource.reservation.principal' field with '{}' does not match the principal '{}' in \
             'Resource.reservations'",
            given.principal(),
            one.principal()
        )),
        Some(given) if given.labels != one.labels => format(
            "'Resource.reservation.labels' field does not match the labels in 'Resource.reservations'".into(),
        ),
        _ => None,
    }
}
