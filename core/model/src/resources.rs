//! What agents have, offers promise and tasks use, as a value that can be added, compared and taken apart.
//!
//! Holds each kind once, in a stable order. Never says who was given something: `allocation_info` is put on and taken
//! off where messages are made (`allocate`, `unallocate`).

mod amount;
mod convert;
mod fault;
mod kind;
mod message;
mod shelf;
mod text;

pub use amount::{Amount, Items, Ranges};
pub use convert::Conversion;
pub use fault::role_fault;
pub use kind::{Kind, Name};
pub use message::{Format, allocation_role, downgrade, unallocate, upgrade};
pub use shelf::Totals;
pub use text::{Allocated, describe};

use shelf::Shelf;
use std::{
    cmp::Ordering,
    fmt,
    ops::{Add, AddAssign},
};

/// The largest number a scalar resource may say.
pub const SCALAR_MAX: f64 = 1e12;

/// One kind of resource and how much there is of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// How much of it.
    pub amount: Amount,
    /// How often: more than once only for what can't be merged (a shared volume, two equal disks).
    copies: u32,
    whole: bool,
}

impl Item {
    /// Of a kind and an amount.
    pub fn new(kind: Kind, amount: Amount) -> Self {
        let whole = kind.is_whole();
        Self { kind, amount, copies: 1, whole }
    }
    /// What can't be divided is told apart by its amount too.
    fn order(&self, other: &Self) -> Ordering {
        self.kind.cmp(&other.kind).then_with(|| {
            if self.whole { self.amount.cmp(&other.amount) } else { self.amount.compare_types(&other.amount) }
        })
    }
    fn contains(&self, other: &Self) -> bool {
        if self.whole { self.copies >= other.copies } else { self.amount.contains(&other.amount) }
    }
}

/// Why something could not be taken: there is less than that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Short {
    /// What was asked for.
    pub wanted: Item,
    /// What there is of that kind.
    pub available: Option<Amount>,
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} wanted, ", self.wanted)?;
        match &self.available {
            Some(amount) => write!(f, "{amount} available"),
            None => f.write_str("none available"),
        }
    }
}

impl std::error::Error for Short {}

/// Why a resource is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Which resource, as upstream prints it.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resource '{}' is invalid: {}", self.text, self.reason)
    }
}

impl std::error::Error for Invalid {}

/// Any number of resources; every kind once, nothing empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources(Shelf);

impl Resources {
    /// None.
    pub const fn new() -> Self {
        Self(Shelf::new())
    }
    /// Unreserved scalars, as in `[("cpus", 1.0), ("mem", 32.0)]`. What is not a positive number is left out.
    pub fn scalars<'a>(scalars: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        let mut all = Self::new();
        for (name, value) in scalars {
            if value > 0.0 && value <= SCALAR_MAX {
                all.add_item(Item::new(Kind::plain(name), Amount::Scalar(to_milli(value))));
            }
        }
        all
    }
    /// These, and unreserved ports.
    #[must_use]
    pub fn with_ports(mut self, ports: impl IntoIterator<Item = (u64, u64)>) -> Self {
        self.add_item(Item::new(Kind::plain("ports"), Amount::Ranges(Ranges::new(ports))));
        self
    }
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Every kind and its amount, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Item> {
        self.0.iter()
    }
    fn find(&self, item: &Item) -> Result<usize, usize> {
        self.0.binary_search_by(|mine| mine.order(item))
    }
    /// Adds one more item.
    pub fn add_item(&mut self, item: Item) {
        if item.amount.is_empty() {
            return;
        }
        let place = self.find(&item);
        let items = self.0.to_mut();
        match place {
            Ok(at) if item.whole => items[at].copies = items[at].copies.saturating_add(item.copies),
            Ok(at) => items[at].amount.add(&item.amount),
            Err(at) => items.insert(at, item),
        }
    }
    /// Whether all of `other` is in here.
    pub fn contains(&self, other: &Self) -> bool {
        self.short_of(other).is_none()
    }
    /// The first thing in `other` that is not in here.
    pub fn short_of(&self, other: &Self) -> Option<Short> {
        if self.0.same(&other.0) {
            return None;
        }
        let short = |item: &&Item| !self.find(item).is_ok_and(|at| self.0[at].contains(item));
        other.0.iter().find(short).map(|item| Short {
            wanted: item.clone(),
            available: self.find(item).ok().map(|at| self.0[at].amount.clone()),
        })
    }
    /// Takes `other` away, or nothing at all if some of it is not here.
    pub fn subtract(&mut self, other: &Self) -> Result<(), Short> {
        match self.short_of(other) {
            Some(short) => Err(short),
            None => {
                self.cut(other);
                Ok(())
            }
        }
    }
    /// Takes away as much of `other` as there is.
    pub fn cut(&mut self, other: &Self) {
        if self.0.same(&other.0) {
            self.0 = Shelf::new();
            return;
        }
        for item in other {
            let Ok(at) = self.find(item) else { continue };
            let items = self.0.to_mut();
            let mine = &mut items[at];
            if mine.whole {
                mine.copies = mine.copies.saturating_sub(item.copies);
            } else {
                mine.amount.cut(&item.amount);
            }
            if mine.copies == 0 || mine.amount.is_empty() {
                items.remove(at);
            }
        }
    }
    /// What is here and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut left = self.clone();
        left.cut(other);
        left
    }
    /// The sum of a scalar over all its kinds, in thousandths; 0 if there is none.
    pub fn milli(&self, name: &str) -> i64 {
        self.0.iter().filter(|item| item.kind.name().as_str() == name).fold(0, |sum, item| {
            match item.amount {
                Amount::Scalar(milli) => sum.saturating_add(milli),
                _ => sum,
            }
        })
    }
    /// What it sums up to: reckoned once for all copies.
    pub fn totals(&self) -> &Totals {
        self.0.totals()
    }
    /// How much of it there is as quantities are counted: scalars in thousandths, ranges by the thousandfold of their
    /// length, sets by that of their items.
    pub fn quantity(&self, name: &Name) -> i64 {
        if let (Some(at), Some(scalars)) = (Totals::place(name), &self.totals().scalars) {
            return scalars[at];
        }
        let own = self.into_iter().filter(|item| item.kind.name() == name);
        own.fold(0, |sum: i64, item| sum.saturating_add(item.amount.quantity()))
    }
    /// The sum of a scalar over all its kinds; 0 if there is none.
    pub fn scalar(&self, name: &str) -> f64 {
        to_float(self.milli(name))
    }
    /// The ranges of that name over all its kinds.
    pub fn ranges(&self, name: &str) -> Ranges {
        let mut all = Ranges::default();
        for item in self.0.iter().filter(|item| item.kind.name().as_str() == name) {
            if let Amount::Ranges(ranges) = &item.amount {
                all = all.union(ranges);
            }
        }
        all
    }
    /// All ports.
    pub fn ports(&self) -> Ranges {
        self.ranges("ports")
    }
    /// The items that `keep` says yes to.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&Item) -> bool) -> Self {
        Self(self.0.iter().filter(|item| keep(item)).cloned().collect())
    }
    /// What nobody has reserved.
    #[must_use]
    pub fn unreserved(&self) -> Self {
        self.filter(|item| item.kind.reserved_to().is_none())
    }
    /// What is reserved to exactly this role.
    #[must_use]
    pub fn reserved_to(&self, role: &str) -> Self {
        self.filter(|item| item.kind.reserved_to() == Some(role))
    }
    /// What a framework of `role` may be given: unreserved, or reserved to it or an ancestor.
    #[must_use]
    pub fn usable_by(&self, role: &str) -> Self {
        self.filter(|item| item.kind.usable_by(role))
    }
    /// Parted by the role they are reserved to, `*` for the unreserved.
    pub fn by_role(&self) -> std::collections::BTreeMap<String, Self> {
        let mut roles = std::collections::BTreeMap::<String, Self>::new();
        for item in self {
            let role = item.kind.reserved_to().unwrap_or("*");
            roles.entry(role.to_owned()).or_default().0.to_mut().push(item.clone());
        }
        roles
    }
    /// As if nothing were reserved and no disk had a source: amounts by name alone.
    #[must_use]
    pub fn flatten(&self) -> Self {
        let mut flat = Self::new();
        for item in self {
            flat.add_item(Item::new(Kind::plain(item.kind.name().as_str()), item.amount.clone()));
        }
        flat
    }
}

impl AddAssign<&Self> for Resources {
    fn add_assign(&mut self, other: &Self) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
            return;
        }
        for item in other {
            let place = self.find(item);
            let items = self.0.to_mut();
            match place {
                Ok(at) if item.whole => items[at].copies = items[at].copies.saturating_add(item.copies),
                Ok(at) => items[at].amount.add(&item.amount),
                Err(at) => items.insert(at, item.clone()),
            }
        }
    }
}

impl Add<&Self> for Resources {
    type Output = Self;
    fn add(mut self, other: &Self) -> Self {
        self += other;
        self
    }
}

impl<'a> std::iter::Sum<&'a Self> for Resources {
    fn sum<I: Iterator<Item = &'a Self>>(all: I) -> Self {
        all.fold(Self::new(), |sum, one| sum + one)
    }
}

impl FromIterator<Item> for Resources {
    fn from_iter<I: IntoIterator<Item = Item>>(items: I) -> Self {
        let mut all = Self::new();
        items.into_iter().for_each(|item| all.add_item(item));
        all
    }
}

impl<'a> IntoIterator for &'a Resources {
    type Item = &'a Item;
    type IntoIter = std::slice::Iter<'a, Item>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Thousandths, rounded to the nearest as upstream does.
pub(crate) fn to_milli(value: f64) -> i64 {
    (value * 1000.0).round() as i64
}

/// The number that so many thousandths are.
pub fn to_float(milli: i64) -> f64 {
    milli as f64 / 1000.0
}

#[cfg(test)]
mod tests;
