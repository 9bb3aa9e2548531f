//! From a name to the place of what has it. The names themselves stand there alone, and here only places: as small as can be,
//! since every event begins with a look here.
//!
//! For look-ups alone, never walked: its order is nobody's business.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Places by name.
#[derive(Debug, Default)]
pub(super) struct Ids(HashTable<u32>);

/// With fixed keys, so that every run is the same.
fn hash(name: &str) -> u64 {
    FixedState::default().hash_one(name)
}

impl Ids {
    /// The place that bears the name; `names` says which a place bears.
    pub(super) fn find<'a>(&self, name: &str, names: impl Fn(u32) -> &'a str) -> Option<u32> {
        self.0.find(hash(name), |place| names(*place) == name).copied()
    }
    /// A name that is not here yet.
    pub(super) fn insert<'a>(&mut self, place: u32, names: impl Fn(u32) -> &'a str) {
        self.0.insert_unique(hash(names(place)), place, |other| hash(names(*other)));
    }
    /// Forgets a name, before its place does. The place.
    pub(super) fn remove<'a>(&mut self, name: &str, names: impl Fn(u32) -> &'a str) -> Option<u32> {
        let found = self.0.find_entry(hash(name), |place| names(*place) == name).ok()?;
        Some(found.remove().0)
    }
}
