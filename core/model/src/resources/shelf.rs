//! Where resources keep their items: copies share them until one of them is changed. What an agent has free goes to an
//! offer, back, and to the next as it is, many times a second.
//!
//! What all of them sum up to is reckoned once for all copies. Never sorts: whoever puts items in does.

use super::{Amount, Item, Name};
use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

/// How many names `Totals` keeps apart.
const NAMES: usize = 4;

/// Items, sorted by whoever puts them in.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf(Option<Arc<Stock>>);

#[derive(Debug, Default)]
struct Stock {
    items: Vec<Item>,
    totals: OnceLock<Totals>,
}

impl Clone for Stock {
    /// To be changed: what it sums up to is not known any more.
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), totals: OnceLock::new() }
    }
}

/// What resources sum up to, for those who want no more of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Scalars of `Totals::NAMES` over all their kinds, in thousandths; none where a sum is too large for a number.
    pub scalars: Option<[i64; NAMES]>,
    /// Whether there are scalars of other names.
    pub others: bool,
    /// Whether several may use some of it at once.
    pub shared: bool,
}

impl Totals {
    /// The names of `scalars`.
    pub const NAMES: [Name; NAMES] = [Name::Cpus, Name::Gpus, Name::Mem, Name::Disk];
    const NONE: Self = Self { scalars: Some([0; NAMES]), others: false, shared: false };

    /// The place of a name in `scalars`.
    pub fn place(name: &Name) -> Option<usize> {
        match name {
            Name::Cpus => Some(0),
            Name::Gpus => Some(1),
            Name::Mem => Some(2),
            Name::Disk => Some(3),
            Name::Ports | Name::Other(_) => None,
        }
    }
    fn of(items: &[Item]) -> Self {
        let mut totals = Self::NONE;
        for item in items {
            totals.shared |= item.kind.is_shared();
            let Amount::Scalar(milli) = item.amount else { continue };
            let Some(at) = Self::place(item.kind.name()) else {
                totals.others = true;
                continue;
            };
            if let Some(scalars) = &mut totals.scalars {
                match scalars[at].checked_add(milli) {
                    Some(sum) => scalars[at] = sum,
                    None => totals.scalars = None,
                }
            }
        }
        totals
    }
}

impl Shelf {
    pub(super) const fn new() -> Self {
        Self(None)
    }
    /// To be changed: copies keep what they have.
    pub(super) fn to_mut(&mut self) -> &mut Vec<Item> {
        let stock = Arc::make_mut(self.0.get_or_insert_default());
        stock.totals.take();
        &mut stock.items
    }
    /// Whether both are copies of one, so that there is nothing to compare.
    pub(super) fn same(&self, other: &Self) -> bool {
        matches!((&self.0, &other.0), (Some(a), Some(b)) if Arc::ptr_eq(a, b))
    }
    pub(super) fn totals(&self) -> &Totals {
        match &self.0 {
            Some(stock) => stock.totals.get_or_init(|| Totals::of(&stock.items)),
            None => &Totals::NONE,
        }
    }
}

impl Deref for Shelf {
    type Target = [Item];
    fn deref(&self) -> &[Item] {
        self.0.as_ref().map_or(&[], |stock| stock.items.as_slice())
    }
}

impl PartialEq for Shelf {
    fn eq(&self, other: &Self) -> bool {
        self.same(other) || **self == **other
    }
}

impl Eq for Shelf {}

impl FromIterator<Item> for Shelf {
    fn from_iter<I: IntoIterator<Item = Item>>(items: I) -> Self {
        let items: Vec<Item> = items.into_iter().collect();
        Self((!items.is_empty()).then(|| Arc::new(Stock { items, totals: OnceLock::new() })))
    }
}
