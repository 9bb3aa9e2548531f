//! Resources from and to Mesos' messages: validation, and the formats that reservations were written in over the years.

#![allow(deprecated)] // The flat format is spoken by every framework without RESERVATION_REFINEMENT.

use super::{
    Amount, Invalid, Item, Items, Kind, Ranges, Resources, fault::fault, text::describe, to_float, to_milli,
};
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
                message.reservation = Some(Box::new(ReservationInfo {
                    principal: one.principal.clone(),
                    labels: one.labels.clone(),
                    ..Default::default()
                }));
            }
            if format == Format::Flat {
                message.reservations.clear();
            }
        }
        _ => {}
    }
}

pub(super) fn item(message: &mesos::Resource) -> Result<Item, Invalid> {
    if let Some(reason) = fault(message) {
        return Err(Invalid { text: describe(message), reason });
    }
    let amount = amount(message);
    let role = message.role.as_deref().unwrap_or("*");
    if message.reservations.is_empty() && role != "*" {
        return Ok(Item::new(Kind::of(&stack(message, role)), amount));
    }
    Ok(Item::new(Kind::of(message), amount))
}

/// A flat reservation as a stacked one.
fn stack(message: &mesos::Resource, role: &str) -> mesos::Resource {
    let mut reservation = message.reservation.as_deref().cloned().unwrap_or_default();
    reservation.set_type(if message.reservation.is_some() {
        reservation_info::Type::Dynamic
    } else {
        reservation_info::Type::Static
    });
    reservation.role = Some(role.to_owned());
    mesos::Resource { reservations: vec![reservation], ..message.clone() }
}

/// The amount of a message that is valid.
fn amount(message: &mesos::Resource) -> Amount {
    if let Some(scalar) = &message.scalar {
        return Amount::Scalar(to_milli(scalar.value));
    }
    if let Some(ranges) = &message.ranges {
        return Amount::Ranges(Ranges::new(ranges.range.iter().map(|range| (range.begin, range.end))));
    }
    let items = message.set.iter().flat_map(|set| set.item.iter().map(String::as_str));
    Amount::Set(Items::new(items))
}

/// Brings resources in any format to the stacked one, as all is kept inside a master.
pub fn upgrade(messages: &mut [mesos::Resource]) {
    for message in messages {
        if message.reservations.is_empty() {
            let role = message.role.clone().unwrap_or_else(|| "*".to_owned());
            if role != "*" {
                *message = stack(message, &role);
            }
        }
        (message.role, message.reservation) = (None, None);
    }
}

/// Writes resources in the flat format, for agents and frameworks without RESERVATION_REFINEMENT.
pub fn downgrade(messages: &mut [mesos::Resource]) {
    for message in messages {
        flatten(message, Format::Flat);
    }
}
