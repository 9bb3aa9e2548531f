//! A set of small numbers that is cheap to change and is walked in ascending order.

/// Numbers, one bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    words: Vec<u64>,
    count: usize,
}

impl Marks {
    pub(super) const fn new() -> Self {
        Self { words: Vec::new(), count: 0 }
    }
    pub(super) fn insert(&mut self, number: u32) {
        let at = number as usize / 64;
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        let bit = 1 << (number % 64);
        self.count += usize::from(self.words[at] & bit == 0);
        self.words[at] |= bit;
    }
    pub(super) fn remove(&mut self, number: u32) {
        if self.contains(number) {
            self.words[number as usize / 64] &= !(1 << (number % 64));
            self.count -= 1;
        }
    }
    pub(super) fn contains(&self, number: u32) -> bool {
        self.words.get(number as usize / 64).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().filter(|(_, word)| **word != 0).flat_map(|(at, word)| {
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| at as u32 * 64 + bit)
        })
    }
    /// Takes all of them; the room stays.
    pub(super) fn drain(&mut self) -> Vec<u32> {
        if self.is_empty() {
            return Vec::new();
        }
        let all = self.iter().collect();
        self.words.fill(0);
        self.count = 0;
        all
    }
}
