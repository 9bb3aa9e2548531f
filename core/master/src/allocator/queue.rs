//! Who waits in which order, kept in blocks: to take the first and to come back later costs a handful of comparisons, and
//! that is what an allocation does for every offer.
//!
//! Never decides an order: keys do.

use super::sorter::{ClientIx, Key};
use std::collections::VecDeque;

/// One who waits.
pub(super) type Waiting = (Key, ClientIx);

/// Longer blocks are parted in two.
const BLOCK_MAX: usize = 128;

/// Clients by key, in blocks of neighbours. No block is empty.
#[derive(Debug, Default)]
pub(super) struct Queue {
    blocks: VecDeque<VecDeque<Waiting>>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
    /// In order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.blocks.iter().flatten()
    }
    /// The block in which one stands or would stand.
    fn block(&self, one: &Waiting) -> usize {
        self.blocks.partition_point(|block| block.back().is_some_and(|last| last < one))
    }
    pub(super) fn insert(&mut self, one: Waiting) {
        // Mostly it was given as much as everyone else and is the last now.
        if let Some(block) =
            self.blocks.back_mut().filter(|block| block.back().is_some_and(|last| *last < one))
        {
            if block.len() < BLOCK_MAX {
                block.push_back(one);
            } else {
                self.blocks.push_back([one].into());
            }
            return;
        }
        let at = self.block(&one).min(self.blocks.len().saturating_sub(1));
        let Some(block) = self.blocks.get_mut(at) else {
            self.blocks.push_back([one].into());
            return;
        };
        let place = block.partition_point(|other| *other < one);
        block.insert(place, one);
        if block.len() > BLOCK_MAX {
            let rest = block.split_off(BLOCK_MAX / 2);
            self.blocks.insert(at + 1, rest);
        }
    }
    pub(super) fn remove(&mut self, one: &Waiting) {
        // Mostly it was the first.
        let first = self.blocks.front().and_then(|block| block.front()) == Some(one);
        let at = if first { 0 } else { self.block(one) };
        let Some(block) = self.blocks.get_mut(at) else { return };
        if block.front() == Some(one) {
            block.pop_front();
        } else if let Ok(place) = block.binary_search(one) {
            block.remove(place);
        }
        if block.is_empty() {
            self.blocks.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn is_a_sorted_set(steps in prop::collection::vec((any::<bool>(), 0..700u32), 0..1500)) {
            let (mut queue, mut set) = (Queue::default(), BTreeSet::new());
            for (comes, number) in steps {
                let one = (Key::of_share(f64::from(number % 7)), ClientIx(number));
                if comes && set.insert(one) {
                    queue.insert(one);
                } else if !comes {
                    set.remove(&one);
                    queue.remove(&one);
                }
                prop_assert_eq!(queue.is_empty(), set.is_empty());
            }
            prop_assert!(queue.iter().eq(&set));
            prop_assert!(queue.blocks.iter().all(|block| !block.is_empty() && block.len() <= BLOCK_MAX));
        }
    }
}
