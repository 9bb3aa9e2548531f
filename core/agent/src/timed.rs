//! Things by key, and the first of their deadlines at hand however many there are. What was handed out to be changed is
//! looked at once more when the step ends. Never what a deadline means.

use base::Time;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
};

pub(crate) type Key = (String, String);

/// What wants to be looked at again at some time.
pub(crate) trait Deadline {
    fn deadline(&self) -> Option<Time>;
}

/// Values by key, read as a map.
#[derive(Debug)]
pub(crate) struct Timed<V> {
    all: BTreeMap<Key, V>,
    /// As of the last `settle`, ordered both ways.
    first: BTreeSet<(Time, Key)>,
    at: BTreeMap<Key, Time>,
    touched: Vec<Key>,
}

impl<V> Default for Timed<V> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), first: BTreeSet::new(), at: BTreeMap::new(), touched: Vec::new() }
    }
}

impl<V> Deref for Timed<V> {
    type Target = BTreeMap<Key, V>;
    fn deref(&self) -> &BTreeMap<Key, V> {
        &self.all
    }
}

impl<V: Deadline> Timed<V> {
    fn touch(&mut self, key: &Key) {
        if self.touched.last() != Some(key) {
            self.touched.push(key.clone());
        }
    }
    pub fn get_mut(&mut self, key: &Key) -> Option<&mut V> {
        if self.all.contains_key(key) {
            self.touch(key);
        }
        self.all.get_mut(key)
    }
    pub fn insert(&mut self, key: Key, value: V) {
        self.touch(&key);
        self.all.insert(key, value);
    }
    pub fn remove(&mut self, key: &Key) -> Option<V> {
        self.touch(key);
        self.all.remove(key)
    }

    /// Takes the deadlines of all that was touched as they are now.
    pub fn settle(&mut self) {
        for key in self.touched.drain(..) {
            let now = self.all.get(&key).and_then(V::deadline);
            let before = self.at.get(&key).copied();
            if now == before {
                continue;
            }
            if let Some(before) = before {
                self.first.remove(&(before, key.clone()));
            }
            match now {
                Some(now) => {
                    self.first.insert((now, key.clone()));
                    self.at.insert(key, now);
                }
                None => drop(self.at.remove(&key)),
            }
        }
    }

    /// The first deadline, as of the last `settle`.
    pub fn first(&self) -> Option<Time> {
        self.first.first().map(|(at, _)| *at)
    }

    /// Those whose deadline has come, by key.
    pub fn due(&self, now: Time) -> Vec<Key> {
        let mut keys: Vec<_> =
            self.first.iter().take_while(|(at, _)| *at <= now).map(|(_, key)| key.clone()).collect();
        keys.sort();
        keys
    }

    /// Whether what is at hand is what there is.
    pub fn is_settled(&self) -> bool {
        let all = self.all.iter().filter_map(|(key, v)| Some((v.deadline()?, key.clone())));
        self.touched.is_empty() && all.collect::<BTreeSet<_>>() == self.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Deadline for Option<u64> {
        fn deadline(&self) -> Option<Time> {
            self.map(Time::from_millis)
        }
    }

    #[test]
    fn deadlines_follow_what_was_changed() {
        let key = |n: &str| (n.to_owned(), String::new());
        let mut timed = Timed::default();
        timed.insert(key("a"), Some(5));
        timed.insert(key("b"), Some(3));
        timed.insert(key("c"), None);
        timed.settle();
        assert_eq!(timed.first(), Some(Time::from_millis(3)));
        assert_eq!(timed.due(Time::from_millis(5)), [key("a"), key("b")]);
        *timed.get_mut(&key("b")).unwrap() = None;
        *timed.get_mut(&key("c")).unwrap() = Some(9);
        assert!(!timed.is_settled());
        timed.settle();
        assert!(timed.is_settled());
        assert_eq!(timed.due(Time::from_millis(8)), [key("a")]);
        timed.remove(&key("a"));
        timed.settle();
        assert_eq!(timed.first(), Some(Time::from_millis(9)));
        assert!(timed.get_mut(&key("gone")).is_none() && timed.is_settled());
    }
}
