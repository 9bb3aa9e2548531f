//! What the operations on resources take and what they make of it: reserving, volumes, and the way back.
//!
//! Never says who may do that (`master`'s validation does).

use super::{Amount, Item, Kind, Resources, to_milli};
use crate::mesos::{self, offer::Operation, offer::operation::Type, resource::reservation_info};

/// What an operation takes from an agent's resources, and what stands in its place afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversion {
    /// What must be there, and is not there afterwards.
    pub consumed: Resources,
    /// What is there afterwards.
    pub converted: Resources,
}

impl Conversion {
    /// Of an operation, whose resources may be in any format. None if it converts nothing that this build knows, or
    /// its resources are invalid.
    pub fn of(operation: &Operation) -> Option<Self> {
        let read = |messages: &[mesos::Resource]| Resources::from_messages(messages).ok();
        Some(match operation.r#type() {
            Type::Reserve => {
                let reserve = operation.reserve.as_ref()?;
                let converted = read(&reserve.resources)?;
                let consumed = match reserve.source.as_slice() {
                    [] => converted.map_kinds(Kind::without_last_reservation),
                    source => read(source)?,
                };
                Self { consumed, converted }
            }
            Type::Unreserve => {
                let consumed = read(&operation.unreserve.as_ref()?.resources)?;
                Self { converted: consumed.map_kinds(Kind::without_last_reservation), consumed }
            }
            Type::Create => {
                let converted = read(&operation.create.as_ref()?.volumes)?;
                Self { consumed: converted.map_kinds(Kind::without_volume), converted }
            }
            Type::Destroy => {
                let consumed = read(&operation.destroy.as_ref()?.volumes)?;
                Self { converted: consumed.map_kinds(Kind::without_volume), consumed }
            }
            Type::GrowVolume => {
                let grow = operation.grow_volume.as_ref()?;
                let volume = read(std::slice::from_ref(&grow.volume))?;
                let addition = read(std::slice::from_ref(&grow.addition))?;
                let more = addition.milli("disk");
                Self { converted: volume.resized(more), consumed: volume + &addition }
            }
            Type::ShrinkVolume => {
                let shrink = operation.shrink_volume.as_ref()?;
                let consumed = read(std::slice::from_ref(&shrink.volume))?;
                let less = to_milli(shrink.subtract.value);
                let mut converted = consumed.resized(less.checked_neg()?);
                for item in &consumed {
                    converted.add_item(Item::new(item.kind.without_volume(), Amount::Scalar(less)));
                }
                Self { consumed, converted }
            }
            _ => return None,
        })
    }
}

impl Resources {
    /// Each item under another kind.
    #[must_use]
    pub fn map_kinds(&self, kind: impl Fn(&Kind) -> Kind) -> Self {
        let mut all = Self::new();
        for item in self {
            for _ in 0..item.copies {
                all.add_item(Item::new(kind(&item.kind), item.amount.clone()));
            }
        }
        all
    }
    /// Each scalar larger by so many thousandths, or smaller.
    #[must_use]
    fn resized(&self, milli: i64) -> Self {
        let mut all = Self::new();
        for item in self {
            if let Amount::Scalar(had) = item.amount {
                all.add_item(Item::new(item.kind.clone(), Amount::Scalar(had.saturating_add(milli))));
            }
        }
        all
    }
    /// What can be used by several at once.
    #[must_use]
    pub fn shared(&self) -> Self {
        self.filter(|item| item.kind.is_shared())
    }
    /// What only one can use.
    #[must_use]
    pub fn not_shared(&self) -> Self {
        self.filter(|item| !item.kind.is_shared())
    }
    /// Whether something can be used by several at once.
    pub fn has_shared(&self) -> bool {
        self.totals().shared
    }
    /// What an agent has to remember of itself: dynamic reservations and volumes.
    #[must_use]
    pub fn to_checkpoint(&self) -> Self {
        self.filter(|item| item.kind.is_dynamically_reserved() || item.kind.is_persistent_volume())
    }
    /// What an agent has, given what it was configured with and what it remembers. None if the two don't fit.
    pub fn with_checkpointed(&self, checkpointed: &Self) -> Option<Self> {
        let mut all = self.clone();
        for item in checkpointed {
            let bare = item.kind.without_volume().without_dynamic_reservations();
            let plain: Self = [Item::new(bare, item.amount.clone())].into_iter().collect();
            for _ in 0..item.copies {
                all.subtract(&plain).ok()?;
            }
        }
        all += checkpointed;
        Some(all)
    }
}

impl Kind {
    /// As it was before the innermost reservation.
    #[must_use]
    pub fn without_last_reservation(&self) -> Self {
        let mut message = self.to_message();
        message.reservations.pop();
        Self::of(&message)
    }
    /// As it was before all dynamic reservations.
    #[must_use]
    pub fn without_dynamic_reservations(&self) -> Self {
        let mut message = self.to_message();
        message.reservations.retain(|r| r.r#type() != reservation_info::Type::Dynamic);
        Self::of(&message)
    }
    /// As it was before a persistent volume was made of it.
    #[must_use]
    pub fn without_volume(&self) -> Self {
        let mut message = self.to_message();
        message.shared = None;
        message.disk = message.disk.take().filter(|disk| disk.source.is_some()).map(|mut disk| {
            (disk.persistence, disk.volume) = (None, None);
            disk
        });
        Self::of(&message)
    }
    /// Whether its innermost reservation was made at run time.
    pub fn is_dynamically_reserved(&self) -> bool {
        self.reservations().last().is_some_and(|r| r.r#type() == reservation_info::Type::Dynamic)
    }
    /// Whether it is a persistent volume.
    pub fn is_persistent_volume(&self) -> bool {
        self.disk().is_some_and(|disk| disk.persistence.is_some())
    }
}
