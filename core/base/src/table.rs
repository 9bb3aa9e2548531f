//! A sorted map whose copies cost next to nothing: readers take one and read on while the original changes.
//!
//! Entries stand in pages; a copy shares all pages with the original, which copies a page and an entry anew when it
//! first changes them while they are shared. Never locks, never tells who changed what: who kept an older copy sees it
//! by which pages are the same.

use std::{borrow::Borrow, cmp::Ordering, iter::FlatMap, ops::Index, slice, sync::Arc};

/// Entries of a page; one more and it is split. Small enough to copy, large enough that there are few.
const PAGE_MAX: usize = 64;
/// A page that shrinks to this is joined with the next one, if both fit.
const PAGE_MIN: usize = PAGE_MAX / 4;

/// Neighbours in a table.
#[derive(Debug)]
pub struct Page<K, V> {
    entries: Vec<(K, Arc<V>)>,
}

impl<K: Clone, V> Clone for Page<K, V> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone() }
    }
}

impl<K, V> Page<K, V> {
    /// Its entries, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, value)| (key, &**value))
    }
    /// How many entries it has; a page of a table is never empty.
    pub fn entries(&self) -> usize {
        self.entries.len()
    }
}

/// A lower bound of a page's keys, above all keys before it; and the page.
type Bound<K, V> = (K, Arc<Page<K, V>>);

/// A sorted map that is cheap to copy.
#[derive(Debug)]
pub struct Table<K, V> {
    pages: Arc<Vec<Bound<K, V>>>,
    len: usize,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { pages: Arc::new(Vec::new()), len: 0 }
    }
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        Self { pages: self.pages.clone(), len: self.len }
    }
}

impl<K, V> Table<K, V> {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Whether nothing changed between two copies of one table.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pages, &other.pages)
    }
    /// All pages in order. One that is the same as at another time holds the same.
    pub fn pages(&self) -> impl Iterator<Item = &Arc<Page<K, V>>> {
        self.pages.iter().map(|(_, page)| page)
    }
    /// All entries by key.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { inner: self.pages.iter().flat_map(|(_, page)| page.entries.iter()) }
    }
    /// All keys in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + Clone {
        self.iter().map(|(key, _)| key)
    }
    /// All values by key.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + Clone {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, V> Table<K, V> {
    /// In which page a key stands or would stand, and at which place there.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> (usize, Result<usize, usize>)
    where
        K: Borrow<Q>,
    {
        let at = self.pages.partition_point(|(first, _)| first.borrow() <= key).saturating_sub(1);
        let place = |page: &Page<K, V>| page.entries.binary_search_by(|(k, _)| k.borrow().cmp(key));
        (at, self.pages.get(at).map_or(Err(0), |(_, page)| place(page)))
    }
    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (at, place) = self.find(key);
        let place = place.ok()?;
        Some(&*self.pages[at].1.entries[place].1)
    }
    /// Whether it has a key.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).1.is_ok()
    }
    /// Entries from a key on, that one included.
    pub fn from<'a, Q: Ord + ?Sized>(
        &'a self,
        key: &Q,
    ) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V, Q>
    where
        K: Borrow<Q>,
    {
        let (at, place) = self.find(key);
        let skip = place.unwrap_or_else(|place| place);
        let pages = self.pages.get(at..).unwrap_or_default().iter();
        pages.flat_map(|(_, page)| page.entries.iter()).skip(skip).map(|(key, value)| (key, &**value))
    }
}

impl<K: Ord + Clone, V: Clone> Table<K, V> {
    /// The value of a key, to be changed. Readers of earlier copies keep what they have.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (at, place) = self.find(key);
        let place = place.ok()?;
        let page = &mut Arc::make_mut(&mut self.pages)[at].1;
        Some(Arc::make_mut(&mut Arc::make_mut(page).entries[place].1))
    }
    /// What others say of a value changed: to readers of earlier copies it is another one.
    pub fn touch<Q: Ord + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        // Where somebody keeps an earlier copy, being about to change it makes it another one.
        let _ = self.get_mut(key);
    }
    /// Puts a value at a key; what stood there comes back.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (at, place) = self.find(&key);
        let pages = Arc::make_mut(&mut self.pages);
        let entry = |key: K| (key, Arc::new(value));
        match place {
            Ok(place) => {
                let entries = &mut Arc::make_mut(&mut pages[at].1).entries;
                let before = std::mem::replace(&mut entries[place], entry(key)).1;
                return Some(Arc::unwrap_or_clone(before));
            }
            Err(_) if pages.is_empty() => {
                pages.push((key.clone(), Arc::new(Page { entries: vec![entry(key)] })));
            }
            Err(place) => {
                let last = at + 1 == pages.len();
                let (first, page) = &mut pages[at];
                if page.entries.len() >= PAGE_MAX && last && place == PAGE_MAX {
                    // Keys that ascend, as ids do, leave full pages behind.
                    pages.push((key.clone(), Arc::new(Page { entries: vec![entry(key)] })));
                } else {
                    if key < *first {
                        first.clone_from(&key);
                    }
                    let entries = &mut Arc::make_mut(page).entries;
                    entries.insert(place, entry(key));
                    if entries.len() > PAGE_MAX {
                        let right = entries.split_off(entries.len() / 2);
                        pages.insert(at + 1, (right[0].0.clone(), Arc::new(Page { entries: right })));
                    }
                }
            }
        }
        self.len += 1;
        None
    }
    /// Takes a key and its value out.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (at, place) = self.find(key);
        let place = place.ok()?;
        let pages = Arc::make_mut(&mut self.pages);
        let entries = &mut Arc::make_mut(&mut pages[at].1).entries;
        let (_, value) = entries.remove(place);
        self.len -= 1;
        let left = entries.len();
        if left == 0 {
            pages.remove(at);
        } else if left <= PAGE_MIN
            && pages.get(at + 1).is_some_and(|(_, next)| left + next.entries.len() <= PAGE_MAX - PAGE_MIN)
        {
            let (_, next) = pages.remove(at + 1);
            let more = Arc::unwrap_or_clone(next).entries;
            Arc::make_mut(&mut pages[at].1).entries.extend(more);
        }
        Some(Arc::unwrap_or_clone(value))
    }
    /// Takes the first entry out.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        let first = self.keys().next()?.clone();
        let value = self.remove(&first)?;
        Some((first, value))
    }
    /// Keeps what `keep` says yes to.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        let gone: Vec<K> = self.iter().filter(|(k, v)| !keep(k, v)).map(|(k, _)| k.clone()).collect();
        for key in gone {
            self.remove(&key);
        }
    }
    /// Panics unless keys ascend through all pages and every count is true.
    pub fn check(&self) {
        let ascending = |a: &K, b: &K| assert_eq!(a.cmp(b), Ordering::Less, "keys ascend");
        self.keys().zip(self.keys().skip(1)).for_each(|(a, b)| ascending(a, b));
        assert_eq!(self.iter().count(), self.len);
        for (first, page) in &*self.pages {
            assert!(!page.entries.is_empty() && page.entries.len() <= PAGE_MAX);
            assert!(*first <= page.entries[0].0, "a bound is not above its page");
        }
        for pair in self.pages.windows(2) {
            assert!(
                pair[0].1.entries.last().is_some_and(|(key, _)| *key < pair[1].0),
                "a bound is above what is before"
            );
        }
    }
}

/// Entries of a table by key.
#[derive(Debug)]
pub struct Iter<'a, K, V> {
    #[allow(clippy::type_complexity)]
    inner: FlatMap<
        slice::Iter<'a, Bound<K, V>>,
        slice::Iter<'a, (K, Arc<V>)>,
        fn(&'a Bound<K, V>) -> slice::Iter<'a, (K, Arc<V>)>,
    >,
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);
    fn next(&mut self) -> Option<Self::Item> {
        self.inner.next().map(|(key, value)| (key, &**value))
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.inner.next_back().map(|(key, value)| (key, &**value))
    }
}

impl<'a, K, V> IntoIterator for &'a Table<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;
    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for Table<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut table = Self::default();
        for (key, value) in entries {
            table.insert(key, value);
        }
        table
    }
}

impl<K: Ord + Borrow<Q>, V, Q: Ord + ?Sized> Index<&Q> for Table<K, V> {
    type Output = V;
    /// Panics where the key is not, as other maps do.
    fn index(&self, key: &Q) -> &V {
        match self.get(key) {
            Some(value) => value,
            None => panic!("no entry found for key"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use std::collections::BTreeMap;

    #[test]
    fn it_holds_what_a_map_holds_and_copies_keep_what_was() {
        let mut rng = Rng::from_number(1);
        let (mut table, mut map) = (Table::new(), BTreeMap::new());
        let mut kept: Vec<(Table<u64, u64>, BTreeMap<u64, u64>)> = Vec::new();
        for step in 0..20_000_u64 {
            let key = rng.below(1_000);
            // Now it grows, now it shrinks.
            match rng.below(if step / 2_000 % 2 == 0 { 3 } else { 6 }) {
                0 | 1 => assert_eq!(table.insert(key, step), map.insert(key, step)),
                2 => assert_eq!(table.get_mut(&key).map(|v| *v += 1), map.get_mut(&key).map(|v| *v += 1)),
                5 => assert_eq!(table.pop_first(), map.pop_first()),
                _ => assert_eq!(table.remove(&key), map.remove(&key)),
            }
            assert_eq!(table.get(&key), map.get(&key));
            assert_eq!(table.contains_key(&key), map.contains_key(&key));
            if step % 500 == 0 {
                table.check();
                assert!(table.iter().eq(&map) && table.iter().rev().eq(map.iter().rev()));
                assert!(table.from(&key).eq(map.range(key..)));
                kept.push((table.clone(), map.clone()));
            }
        }
        assert!(kept.iter().all(|(table, map)| table.iter().eq(map)), "copies are as they were");
        table.retain(|key, _| key % 2 == 0);
        map.retain(|key, _| key % 2 == 0);
        table.check();
        assert!(table.iter().eq(&map) && table.len() == map.len());
    }

    #[test]
    fn what_is_not_changed_stays_the_same() {
        let mut table: Table<String, u32> = (0..1_000).map(|n| (format!("{n:04}"), n)).collect();
        assert_eq!(table.pages().count(), 1_000_usize.div_ceil(PAGE_MAX), "ascending keys fill their pages");
        let before = table.clone();
        assert!(table.same(&before));
        assert_eq!(table.get_mut("0500"), Some(&mut 500));
        assert_eq!(table.get_mut("nope"), None);
        assert!(!table.same(&before));
        let differing = table.pages().zip(before.pages()).filter(|(a, b)| !Arc::ptr_eq(a, b)).count();
        assert_eq!(differing, 1);
        assert_eq!(table["0007"], 7);
    }
}
