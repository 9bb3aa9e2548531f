//! Where resources keep their items: copies share them until one of them is changed. What an agent has free goes to an
//! offer, back, and to the next as it is, many times a second.

use super::Item;
use std::{ops::Deref, sync::Arc};

/// Items, sorted by whoever puts them in.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf(Option<Arc<Vec<Item>>>);

impl Shelf {
    pub(super) const fn new() -> Self {
        Self(None)
    }
    /// To be changed: copies keep what they have.
    pub(super) fn to_mut(&mut self) -> &mut Vec<Item> {
        Arc::make_mut(self.0.get_or_insert_default())
    }
    /// Whether both are copies of one, so that there is nothing to compare.
    pub(super) fn same(&self, other: &Self) -> bool {
        matches!((&self.0, &other.0), (Some(a), Some(b)) if Arc::ptr_eq(a, b))
    }
}

impl Deref for Shelf {
    type Target = [Item];
    fn deref(&self) -> &[Item] {
        self.0.as_ref().map_or(&[], |items| items.as_slice())
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
        Self((!items.is_empty()).then(|| Arc::new(items)))
    }
}
