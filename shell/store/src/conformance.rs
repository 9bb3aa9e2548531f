//! What every backend must do, as one function that each backend's tests call. Never a test by itself.

use crate::{BATCH_BYTES_MAX, Backend, KEY_BYTES_MAX, StoreError};
use model::save::{Change, Records};

/// Which state a backend is opened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// An empty one.
    Fresh,
    /// The one that was open before, after it was closed.
    Again,
}

fn put(key: &str, value: &[u8]) -> Change {
    Change::Put { key: key.to_owned(), value: value.to_owned() }
}

fn delete(key: &str) -> Change {
    Change::Delete { key: key.to_owned() }
}

fn records(pairs: &[(&str, &[u8])]) -> Records {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect()
}

/// Panics with what a backend does wrong. `make` opens it.
pub fn conformance(make: impl Fn(Opening) -> Box<dyn Backend>) {
    batches_are_kept_and_read_by_prefix(&make);
    old_terms_are_refused(&make);
    limits_are_named(&make);
    order_is_kept(&make);
}

fn batches_are_kept_and_read_by_prefix(make: &impl Fn(Opening) -> Box<dyn Backend>) {
    let store = make(Opening::Fresh);
    assert_eq!(store.records("").unwrap(), Records::new());
    store.commit(1, vec![put("a/1", b"one"), put("a/2", b""), put("b/1", b"\0\xff")]).wait().unwrap();
    store.commit(1, vec![delete("a/1"), put("a/3", b"three"), delete("never")]).wait().unwrap();
    store.commit(1, vec![put("a/3", b"3"), delete("a/3"), put("a/3", b"again")]).wait().unwrap();
    store.commit(1, Vec::new()).wait().unwrap();
    let check = |store: &dyn Backend| {
        assert_eq!(store.records("a/").unwrap(), records(&[("a/2", b""), ("a/3", b"again")]));
        assert_eq!(store.records("b").unwrap(), records(&[("b/1", b"\0\xff")]));
        assert_eq!(store.records("c").unwrap(), Records::new());
        assert_eq!(store.records("").unwrap().len(), 3);
    };
    check(&*store);
    drop(store);
    check(&*make(Opening::Again));
}

fn old_terms_are_refused(make: &impl Fn(Opening) -> Box<dyn Backend>) {
    let store = make(Opening::Fresh);
    store.commit(5, vec![put("k", b"5")]).wait().unwrap();
    let refused = store.commit(4, vec![put("k", b"4")]).wait();
    assert_eq!(refused, Err(StoreError::OldTerm { asked: 4, current: 5 }));
    store.commit(6, vec![put("k", b"6")]).wait().unwrap();
    drop(store);
    let store = make(Opening::Again);
    assert!(matches!(store.commit(5, vec![delete("k")]).wait(), Err(StoreError::OldTerm { .. })));
    assert_eq!(store.records("").unwrap(), records(&[("k", b"6")]));
}

fn limits_are_named(make: &impl Fn(Opening) -> Box<dyn Backend>) {
    let store = make(Opening::Fresh);
    let key = "k".repeat(KEY_BYTES_MAX + 1);
    for batch in [vec![put(&key, b"")], vec![put("k", &vec![0; BATCH_BYTES_MAX])]] {
        assert!(matches!(store.commit(1, batch).wait(), Err(StoreError::TooLarge { .. })));
    }
    let many: Vec<Change> = (0..2000).map(|i| put(&format!("many/{i}"), &[7; 1024])).collect();
    store.commit(1, many).wait().unwrap();
    assert_eq!(store.records("many/").unwrap().len(), 2000);
    assert!(store.records("k").unwrap().is_empty());
}

fn order_is_kept(make: &impl Fn(Opening) -> Box<dyn Backend>) {
    let store = make(Opening::Fresh);
    let commits: Vec<_> = (0..500u32).map(|i| store.commit(1, vec![put("last", &i.to_le_bytes())])).collect();
    commits.into_iter().for_each(|commit| commit.wait().unwrap());
    drop(store);
    assert_eq!(make(Opening::Again).records("").unwrap(), records(&[("last", &499u32.to_le_bytes())]));
}
