//! Resources from and to Mesos' messages: validation, and the formats that reservations were written in over the years.

#![allow(deprecated)] // The flat format is spoken by every framework without RESERVATION_REFINEMENT.

use super::{Amount, Invalid, Item, Items, Kind, Ranges, Resources, SCALAR_MAX, to_float, to_milli};
use crate::mesos::{
    self,
    resource::{ReservationInfo, reservation_info},
    value,
};

/// How reservations are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `reservations`, for frameworks and agents with RESERVATION_REFINEMENT.
    Stacked,
    /// `role` and `reservation`, for all others. A reservation of a reservation can't be said and stays stacked.
    Flat,
    /// Both, as the v0 read endpoints have it.
    Both,
}

impl Resources {
    /// Of messages in any format. `allocation_info` is dropped.
    pub fn from_messages<'a>(
        messages: impl IntoIterator<Item = &'a mesos::Resource>,
    ) -> Result<Self, Invalid> {
        messages.into_iter().map(item).collect()
    }
    /// As messages with stacked reservations and without `allocation_info`, in order.
    pub fn to_messages(&self) -> Vec<mesos::Resource> {
        self.to_messages_as(Format::Stacked)
    }
    /// As messages in a format, without `allocation_info`, in order.
    pub fn to_messages_as(&self, format: Format) -> Vec<mesos::Resource> {
        let mut messages = Vec::with_capacity(self.iter().len());
        for item in self {
            let message = to_message(item, format);
            // A shared resource is said once, however many use it.
            let copies = if item.kind.is_shared() { 1 } else { item.copies };
            messages.extend(std::iter::repeat_n(message, copies as usize));
        }
        messages
    }
    /// As messages that say they are allocated to `role`.
    pub fn allocate(&self, role: &str, format: Format) -> Vec<mesos::Resource> {
        let mut messages = self.to_messages_as(format);
        for message in &mut messages {
            message.allocation_info = Some(mesos::resource::AllocationInfo { role: Some(role.to_owned()) });
        }
        messages
    }
}

/// Takes `allocation_info` off.
pub fn unallocate(messages: &mut [mesos::Resource]) {
    for message in messages {
        message.allocation_info = None;
    }
}

/// The role that the first of them with an `allocation_info` is allocated to.
pub fn allocation_role(messages: &[mesos::Resource]) -> Option<&str> {
    messages.iter().find_map(|message| message.allocation_info.as_ref()?.role.as_deref())
}

/// What is wrong with the name of a role.
pub fn role_fault(role: &str) -> Option<String> {
    if role == "*" {
        return None;
    }
    let bad = |c: char| c == '\u{7f}' || c.is_ascii_whitespace() || c == '\u{b}' || c == '\u{8}';
    if role.is_empty() {
        return Some("Role names cannot be the empty string".into());
    }
    role.split('/').find_map(|part| match part {
        "" => Some(format!("Role '{role}' cannot start or end with a slash or contain two adjacent slashes")),
        "." | ".." | "*" => Some(format!("Role '{role}' cannot include '{part}' as a component")),
        _ if part.starts_with('-') => Some(format!("Role component '{part}' cannot start with '-'")),
        _ if part.contains(bad) => {
            Some(format!("Role component '{part:?}' cannot contain blanks or control characters"))
        }
        _ => None,
    })
}

fn to_message(item: &Item, format: Format) -> mesos::Resource {
    let mut message = item.kind.to_message();
    match &item.amount {
        Amount::Scalar(milli) => {
            message.set_type(value::Type::Scalar);
            message.scalar = Some(value::Scalar { value: to_float(*milli) });
        }
        Amount::Ranges(ranges) => {
            let range = |&(begin, end): &(u64, u64)| value::Range { begin, end };
            message.set_type(value::Type::Ranges);
            message.ranges = Some(value::Ranges { range: ranges.as_slice().iter().map(range).collect() });
        }
        Amount::Set(items) => {
            message.set_type(value::Type::Set);
            let item = items.as_slice().iter().map(ToString::to_string).collect();
            message.set = Some(value::Set { item });
        }
    }
    if format != Format::Stacked {
        flatten(&mut message, format);
    }
    message
}

fn flatten(message: &mut mesos::Resource, format: Format) {
    match message.reservations.as_slice() {
        [] => message.role = Some("*".into()),
        [one] => {
            message.role = Some(one.role().to_owned());
            if one.r#type() == reservation_info::Type::Dynamic {
                message.reservation = Some(ReservationInfo {
                    principal: one.principal.clone(),
                    labels: one.labels.clone(),
                    ..Default::default()
                });
            }
            if format == Format::Flat {
                message.reservations.clear();
            }
        }
        _ => {}
    }
}

pub(super) fn item(message: &mesos::Resource) -> Result<Item, Invalid> {
    if message.name.is_empty() {
        return Err(Invalid { field: "name".into(), reason: "Empty resource name".into() });
    }
    let amount = amount(message)?;
    if message.disk.is_some() && message.name != "disk" {
        return Err(fault(message, "disk", "only the resource 'disk' may have it"));
    }
    if let Some(source) = message.disk.as_ref().and_then(|disk| disk.source.as_ref()) {
        use mesos::resource::disk_info::source::Type;
        match source.r#type() {
            Type::Unknown => {
                return Err(fault(message, "disk.source.type", format!("unknown type {}", source.r#type)));
            }
            Type::Block | Type::Raw if source.mount.is_some() || source.path.is_some() => {
                return Err(fault(message, "disk.source", "a raw or block disk has neither mount nor path"));
            }
            _ => {}
        }
    }
    if message.reservations.is_empty() {
        let role = message.role.as_deref().unwrap_or("*");
        if let Some(reason) = role_fault(role) {
            return Err(fault(message, "role", reason));
        }
        let Some(stacked) = stack(message, role)? else { return Ok(Item::new(Kind::of(message), amount)) };
        return Ok(Item::new(Kind::of(&stacked), amount));
    }
    check_stack(message)?;
    Ok(Item::new(Kind::of(message), amount))
}

/// A flat reservation as a stacked one; none if it is not reserved.
fn stack(message: &mesos::Resource, role: &str) -> Result<Option<mesos::Resource>, Invalid> {
    let dynamic = message.reservation.as_ref();
    if dynamic.is_some_and(|r| r.r#type.is_some() || r.role.is_some()) {
        return Err(fault(message, "reservation", "type and role must not be set here"));
    }
    if role == "*" {
        return match dynamic {
            Some(_) => Err(fault(message, "reservation", "role \"*\" cannot be dynamically reserved")),
            None => Ok(None),
        };
    }
    let mut reservation = dynamic.cloned().unwrap_or_default();
    reservation.set_type(if dynamic.is_some() {
        reservation_info::Type::Dynamic
    } else {
        reservation_info::Type::Static
    });
    reservation.role = Some(role.to_owned());
    Ok(Some(mesos::Resource { reservations: vec![reservation], ..message.clone() }))
}

fn check_stack(message: &mesos::Resource) -> Result<(), Invalid> {
    let mut outer: Option<&str> = None;
    for (at, reservation) in message.reservations.iter().enumerate() {
        let field = format!("reservations[{at}]");
        let role = reservation.role.as_deref().unwrap_or_default();
        if let Some(reason) = role_fault(role) {
            return Err(fault(message, &format!("{field}.role"), reason));
        }
        if role == "*" {
            return Err(fault(message, &format!("{field}.role"), "role \"*\" cannot be reserved"));
        }
        match reservation.r#type() {
            reservation_info::Type::Unknown => {
                return Err(fault(message, &format!("{field}.type"), "must be set"));
            }
            reservation_info::Type::Static if at > 0 => {
                return Err(fault(
                    message,
                    &format!("{field}.type"),
                    "only the first reservation may be STATIC",
                ));
            }
            _ => {}
        }
        if let Some(outer) = outer
            && !role.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
        {
            return Err(fault(
                message,
                &format!("{field}.role"),
                format!("'{role}' is no child of '{outer}'"),
            ));
        }
        outer = Some(role);
    }
    Ok(())
}

fn amount(message: &mesos::Resource) -> Result<Amount, Invalid> {
    let given = (message.scalar.as_ref(), message.ranges.as_ref(), message.set.as_ref());
    match (value::Type::try_from(message.r#type), given) {
        (Ok(value::Type::Scalar), (Some(scalar), None, None)) => {
            let value = scalar.value;
            let refuse = |reason: String| Err(fault(message, "scalar.value", reason));
            if !value.is_finite() {
                refuse(format!("{value} is not a number"))
            } else if value < 0.0 {
                refuse(format!("{value} is negative"))
            } else if value > SCALAR_MAX {
                refuse(format!("{value} is more than {SCALAR_MAX}"))
            } else if value != 0.0 && to_milli(value) == 0 {
                refuse(format!("{value} is less than a thousandth"))
            } else {
                Ok(Amount::Scalar(to_milli(value)))
            }
        }
        (Ok(value::Type::Ranges), (None, Some(ranges), None)) => {
            let mut all: Vec<_> = ranges.range.iter().map(|range| (range.begin, range.end)).collect();
            if let Some((begin, end)) = all.iter().find(|(begin, end)| begin > end) {
                return Err(fault(message, "ranges", format!("[{begin}-{end}] begins after its end")));
            }
            all.sort_unstable();
            if let Some(pair) = all.windows(2).find(|pair| pair[1].0 <= pair[0].1) {
                let ((a, b), (c, d)) = (pair[0], pair[1]);
                return Err(fault(message, "ranges", format!("[{a}-{b}] and [{c}-{d}] overlap")));
            }
            Ok(Amount::Ranges(Ranges::new(all)))
        }
        (Ok(value::Type::Set), (None, None, Some(set))) => {
            let items = Items::new(set.item.iter().map(String::as_str));
            if items.as_slice().len() < set.item.len() {
                return Err(fault(message, "set", "an element is given twice"));
            }
            Ok(Amount::Set(items))
        }
        (Ok(value::Type::Text), _) => Err(fault(message, "type", "TEXT is no type of a resource")),
        (Ok(kind), _) => {
            Err(fault(message, "type", format!("{} but not exactly that value is given", kind.as_str_name())))
        }
        (Err(_), _) => Err(fault(message, "type", format!("unknown type {}", message.r#type))),
    }
}

fn fault(message: &mesos::Resource, field: &str, reason: impl Into<String>) -> Invalid {
    Invalid { field: format!("{}.{field}", message.name), reason: reason.into() }
}
