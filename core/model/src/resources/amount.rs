//! How much of one resource: a three-decimal number, ranges or a set, and the arithmetic on each.
//!
//! Never goes below nothing: a difference either fits or is cut at empty.

use std::{cmp::Ordering, fmt, sync::Arc};

/// Closed ranges of integers: sorted, disjoint, no two adjacent.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ranges(Arc<[(u64, u64)]>);

impl Ranges {
    /// From any ranges; inverted ones are left out, overlapping and adjacent ones merged.
    pub fn new(ranges: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut all: Vec<_> = ranges.into_iter().filter(|(begin, end)| begin <= end).collect();
        all.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(all.len());
        for (begin, end) in all {
            match merged.last_mut() {
                Some(last) if begin <= last.1.saturating_add(1) => last.1 = last.1.max(end),
                _ => merged.push((begin, end)),
            }
        }
        Self(merged.into())
    }
    /// The ranges in ascending order.
    pub fn as_slice(&self) -> &[(u64, u64)] {
        &self.0
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// How many integers there are.
    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum: u64, (begin, end)| sum.saturating_add((end - begin).saturating_add(1)))
    }
    /// Every integer, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().flat_map(|&(begin, end)| begin..=end)
    }
    /// Whether `value` is in one of them.
    pub fn has(&self, value: u64) -> bool {
        let at = self.0.partition_point(|&(begin, _)| begin <= value);
        at > 0 && self.0[at - 1].1 >= value
    }
    /// Whether all of `other` lies within.
    pub fn contains(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.0, &other.0) {
            return true;
        }
        let mut mine = self.0.iter().peekable();
        other.0.iter().all(|&(begin, end)| {
            while mine.peek().is_some_and(|m| m.1 < begin) {
                mine.next();
            }
            mine.peek().is_some_and(|m| m.0 <= begin && end <= m.1)
        })
    }
    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if other.is_empty() || Arc::ptr_eq(&self.0, &other.0) {
            return self.clone();
        }
        if self.is_empty() {
            return other.clone();
        }
        Self::new(self.0.iter().chain(other.0.iter()).copied())
    }
    /// What is here and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        if Arc::ptr_eq(&self.0, &other.0) {
            return Self::default();
        }
        let mut left = Vec::with_capacity(self.0.len() + other.0.len());
        let mut holes = other.0.iter().peekable();
        for &(mut begin, end) in self.0.iter() {
            let mut whole = true;
            while let Some(&&(from, to)) = holes.peek() {
                if to < begin {
                    holes.next();
                    continue;
                }
                if from > end {
                    break;
                }
                if from > begin {
                    left.push((begin, from - 1));
                }
                if to >= end {
                    whole = false;
                    break;
                }
                begin = to + 1;
                holes.next();
            }
            if whole {
                left.push((begin, end));
            }
        }
        Self(left.into())
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, (begin, end)) in self.0.iter().enumerate() {
            write!(f, "{}{begin}-{end}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str("]")
    }
}

/// Different words, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Items(Arc<[Arc<str>]>);

impl Items {
    /// From any words; doubled ones count once.
    pub fn new<S: Into<Arc<str>>>(items: impl IntoIterator<Item = S>) -> Self {
        let mut all: Vec<Arc<str>> = items.into_iter().map(Into::into).collect();
        all.sort_unstable();
        all.dedup();
        Self(all.into())
    }
    /// The words in ascending order.
    pub fn as_slice(&self) -> &[Arc<str>] {
        &self.0
    }
    fn has(&self, item: &Arc<str>) -> bool {
        self.0.binary_search(item).is_ok()
    }
}

/// How much of one resource there is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Amount {
    /// A number, in thousandths.
    Scalar(i64),
    /// Integers, as ports are.
    Ranges(Ranges),
    /// Words.
    Set(Items),
}

impl Amount {
    /// As `Resources::quantity`.
    pub fn quantity(&self) -> i64 {
        let thousands = |count: u64| i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(1000);
        match self {
            Self::Scalar(milli) => *milli,
            Self::Ranges(ranges) => thousands(ranges.count()),
            Self::Set(items) => thousands(items.0.len() as u64),
        }
    }
    /// Whether there is nothing of it.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Scalar(milli) => *milli <= 0,
            Self::Ranges(ranges) => ranges.is_empty(),
            Self::Set(items) => items.0.is_empty(),
        }
    }
    /// Whether `other` fits into it; never if they are of different types.
    pub fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => a >= b,
            (Self::Ranges(a), Self::Ranges(b)) => a.contains(b),
            (Self::Set(a), Self::Set(b)) => b.0.iter().all(|item| a.has(item)),
            _ => false,
        }
    }
    pub(super) fn add(&mut self, other: &Self) {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => *a = a.saturating_add(*b),
            (Self::Ranges(a), Self::Ranges(b)) => *a = a.union(b),
            (Self::Set(a), Self::Set(b)) => *a = Items::new(a.0.iter().chain(b.0.iter()).cloned()),
            _ => debug_assert!(false, "amounts of different types have different keys"),
        }
    }
    /// Takes away as much of `other` as there is.
    pub(super) fn cut(&mut self, other: &Self) {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => *a = a.saturating_sub(*b).max(0),
            (Self::Ranges(a), Self::Ranges(b)) => *a = a.difference(b),
            (Self::Set(a), Self::Set(b)) => *a = Items::new(a.0.iter().filter(|i| !b.has(i)).cloned()),
            _ => debug_assert!(false, "amounts of different types have different keys"),
        }
    }
    pub(super) fn compare_types(&self, other: &Self) -> Ordering {
        let rank = |amount: &Self| match amount {
            Self::Scalar(_) => 0,
            Self::Ranges(_) => 1,
            Self::Set(_) => 2,
        };
        rank(self).cmp(&rank(other))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(milli) => {
                write!(f, "{}", milli / 1000)?;
                match (milli % 1000).abs() {
                    0 => Ok(()),
                    m if m % 100 == 0 => write!(f, ".{}", m / 100),
                    m if m % 10 == 0 => write!(f, ".{:02}", m / 10),
                    m => write!(f, ".{m:03}"),
                }
            }
            Self::Ranges(ranges) => write!(f, "{ranges}"),
            Self::Set(items) => {
                f.write_str("{")?;
                for (i, item) in items.0.iter().enumerate() {
                    write!(f, "{}{item}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("}")
            }
        }
    }
}
