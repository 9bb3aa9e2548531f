//! How much of the cluster somebody has: sums by kind, and the dominant share that they come to.
//!
//! Never knows who: see `sorter`.

use model::resources::{Amount, Name, Resources, Totals};
use std::collections::BTreeSet;

/// Kinds of scalars that can count for a share; further ones are given out all the same.
pub(super) const SHARE_KINDS_MAX: usize = 16;

/// Thousandths by kind. They wrap: an agent that claims absurd amounts distorts shares, and stops nobody.
pub(super) type Sums = [i64; SHARE_KINDS_MAX];

/// Which scalars count, each with its place in `Sums`.
#[derive(Debug)]
pub(super) struct Kinds {
    names: Vec<Name>,
    excluded: BTreeSet<String>,
    /// Where the names of `Totals` stand; none = not seen yet, or not counted.
    usual: [Option<u8>; Totals::NAMES.len()],
}

impl Kinds {
    pub(super) fn new(excluded: &[String]) -> Self {
        Self { names: Vec::new(), excluded: excluded.iter().cloned().collect(), usual: Default::default() }
    }
    /// So many have a place in sums.
    pub(super) fn count(&self) -> usize {
        self.names.len()
    }
    pub(super) fn sums(&mut self, resources: &Resources) -> Sums {
        let mut sums: Sums = [0; SHARE_KINDS_MAX];
        let totals = resources.totals();
        // What is too large for a number is summed up item by item: it wraps.
        if let Some(scalars) = &totals.scalars {
            for (at, milli) in scalars.iter().enumerate().filter(|(_, milli)| **milli != 0) {
                let place = match self.usual[at] {
                    Some(place) => usize::from(place),
                    None => match self.place(&Totals::NAMES[at]) {
                        Some(place) => {
                            self.usual[at] = Some(place as u8);
                            place
                        }
                        None => continue,
                    },
                };
                sums[place] = *milli;
            }
        }
        if totals.others || totals.scalars.is_none() {
            for item in resources {
                let Amount::Scalar(milli) = item.amount else { continue };
                if totals.scalars.is_some() && Totals::place(item.kind.name()).is_some() {
                    continue;
                }
                if let Some(at) = self.place(item.kind.name()) {
                    sums[at] = sums[at].wrapping_add(milli);
                }
            }
        }
        sums
    }
    /// Where a name stands; none if it does not count.
    fn place(&mut self, name: &Name) -> Option<usize> {
        if let Some(at) = self.names.iter().position(|known| known == name) {
            return Some(at);
        }
        if self.names.len() == SHARE_KINDS_MAX || self.excluded.contains(name.as_str()) {
            return None;
        }
        self.names.push(name.clone());
        Some(self.names.len() - 1)
    }
    /// As `sums`, for kinds that were seen before.
    pub(super) fn known_sums(&self, resources: &Resources) -> Sums {
        Self { names: self.names.clone(), excluded: self.excluded.clone(), usual: self.usual }.sums(resources)
    }
    /// The dominant share by weight: bits of a non-negative float, which sort as it does.
    pub(super) fn share(&self, sums: &Sums, total: &Sums, weight: f64) -> u64 {
        let mut share = 0.0_f64;
        for (have, all) in sums.iter().zip(total).take(self.names.len()) {
            if *all > 0 && *have > 0 {
                share = share.max(*have as f64 / *all as f64);
            }
        }
        (share / weight).to_bits()
    }
}

pub(super) fn add(sums: &mut [i64], more: &Sums) {
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum = sum.wrapping_add(*more));
}

pub(super) fn sub(sums: &mut [i64], less: &Sums) {
    sums.iter_mut().zip(less).for_each(|(sum, less)| *sum = sum.wrapping_sub(*less));
}
