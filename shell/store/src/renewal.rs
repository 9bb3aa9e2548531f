//! A log that is written anew while the old one goes on: a slice of what is live at a time, and each frame that comes
//! meanwhile, so that no commit waits for the whole of it.
//!
//! A value that is copied after it has changed is copied as it is; one that changes after it was copied comes again with
//! the frame that changes it. So at each moment the new log says of every key up to the last one that was copied what the
//! old one says. Never: when that is worth it, nor what becomes of it (`log`).

use crate::{
    StoreError,
    log::{apply, trouble},
    segment::{self, Frame, MAGIC, Place},
};
use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

/// The new log.
#[derive(Debug)]
pub struct Renewal {
    path: PathBuf,
    /// Open for appending.
    pub file: File,
    /// Where everything that it says lies.
    pub live: BTreeMap<String, Place>,
    /// What that costs.
    pub live_bytes: u64,
    /// Bytes so far.
    pub length: u64,
    /// The number of its last frame. It begins where the old one is, and has a frame for each that comes there and one at
    /// least of its own: what was promised of the old one's length is kept by it.
    pub last: u64,
    /// The last key that was copied.
    pub copied: Option<String>,
}

impl Renewal {
    /// Begins one whose frames follow this number.
    pub fn begin(path: &Path, last: u64) -> Result<Self, StoreError> {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create_new(true).open(path);
        let mut file = file.map_err(|e| trouble(path, "create", &e))?;
        file.write_all(MAGIC).map_err(|e| trouble(path, "write", &e))?;
        let (live, length) = (BTreeMap::new(), MAGIC.len() as u64);
        Ok(Self { path: path.to_owned(), file, live, live_bytes: 0, length, last, copied: None })
    }

    /// Adds what is live up to this key.
    pub fn copy(&mut self, frame: Frame, upto: Option<String>) -> Result<(), StoreError> {
        self.add(&frame.finish(self.last + 1))?;
        self.copied = upto.or(self.copied.take());
        Ok(())
    }

    /// Adds a frame that the old log has just got.
    pub fn follow(&mut self, mut frame: Vec<u8>) -> Result<(), StoreError> {
        segment::number_anew(&mut frame, self.last + 1);
        self.add(&frame)
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(|e| trouble(&self.path, "write", &e))?;
        match segment::read(bytes) {
            Ok(frame) => apply(&mut self.live, &mut self.live_bytes, frame.said, self.length),
            Err(why) => unreachable!("a frame of our own does not read: {why}"),
        }
        self.length += bytes.len() as u64;
        self.last += 1;
        Ok(())
    }

    /// Makes durable what is there so far: a little at a time, so that little is left for the end.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(|e| trouble(&self.path, "sync", &e))
    }
}

#[cfg(test)]
mod tests {
    use crate::{log::Log, segment::Frame};
    use model::save::{Change, Records};
    use std::path::Path;

    /// A log beside what it has to say.
    struct Pair(Log, Records);

    impl Pair {
        fn commit(&mut self, changes: Vec<Change>) {
            let mut frame = Frame::new(1);
            changes.iter().for_each(|change| frame.push(change));
            self.0.append(frame, 1).unwrap();
            for change in changes {
                match change {
                    Change::Put { key, value } => drop(self.1.insert(key, value)),
                    Change::Delete { key } => drop(self.1.remove(&key)),
                }
            }
        }
        fn put(&mut self, key: &str, byte: u8) {
            let value = vec![byte; 10_000];
            self.commit(vec![Change::Put { key: key.to_owned(), value }]);
        }
        /// Mostly dead: the next commit begins a rewrite.
        fn filled(dir: &Path) -> Self {
            let mut pair = Self(Log::open(dir).unwrap(), Records::new());
            for round in 0..5 {
                (0..150).for_each(|n| pair.put(&format!("k{n:03}"), round));
            }
            assert!(pair.0.wants_rewrite());
            pair
        }
        fn check(&self, dir: &Path) {
            assert_eq!(self.0.records("").unwrap(), self.1);
            let copy = tempfile::tempdir().unwrap();
            for name in ["log", "log.mark"] {
                std::fs::copy(dir.join(name), copy.path().join(name)).unwrap();
            }
            assert_eq!(Log::open(copy.path()).unwrap().records("").unwrap(), self.1, "as it is found again");
        }
    }

    fn length(dir: &Path) -> u64 {
        std::fs::metadata(dir.join("log")).unwrap().len()
    }

    #[test]
    fn long_values_are_slices_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let mut pair = Pair(Log::open(dir.path()).unwrap(), Records::new());
        for (key, mib) in
            [("a", 11), ("b", 12), ("b", 12), ("b", 12), ("b", 12), ("b", 12), ("b", 12), ("b", 12)]
        {
            pair.commit(vec![Change::Put {
                key: key.to_owned(),
                value: vec![mib; usize::from(mib) * 1024 * 1024],
            }]);
        }
        assert!(pair.0.wants_rewrite());
        while pair.0.wants_rewrite() {
            pair.0.rewrite().unwrap();
        }
        pair.check(dir.path());
    }

    #[test]
    fn commits_come_in_between() {
        let dir = tempfile::tempdir().unwrap();
        let mut pair = Pair::filled(dir.path());
        let (before, mut slices) = (length(dir.path()), 0_u8);
        while pair.0.wants_rewrite() {
            pair.0.rewrite().unwrap();
            slices += 1;
            // a key that is copied by now, one that is not, one of each that goes, one that is new
            for key in ["k001", "k140", "new"] {
                pair.put(key, 100 + slices);
            }
            let gone = [format!("k{slices:03}"), format!("k{:03}", 149 - slices)];
            pair.commit(gone.map(|key| Change::Delete { key }).to_vec());
            pair.check(dir.path());
        }
        assert!(slices > 3, "{slices} slices: a commit waits for one of them alone");
        assert!(length(dir.path()) < before / 3, "{} of {before} bytes", length(dir.path()));
        assert!(!dir.path().join("log.new").exists());
        pair.put("k000", 7);
        pair.check(dir.path());
    }

    #[test]
    fn one_that_is_broken_off_leaves_the_log_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut pair = Pair::filled(dir.path());
        pair.0.rewrite().unwrap();
        pair.put("k000", 9);
        assert!(dir.path().join("log.new").exists());
        pair.check(dir.path());
        // whatever is put in its place, everything comes
        let whole: Records = [("all".to_owned(), vec![1])].into();
        pair.0.replace(2, &whole).unwrap();
        pair.1 = whole;
        pair.check(dir.path());
        let other = tempfile::tempdir().unwrap();
        let mut pair = Pair::filled(other.path());
        pair.0.rewrite().unwrap();
        pair.0.close();
        assert!(!other.path().join("log.new").exists());
        pair.check(other.path());
    }

    #[test]
    fn a_disk_that_refuses_keeps_the_old_one_going() {
        let dir = tempfile::tempdir().unwrap();
        let mut pair = Pair::filled(dir.path());
        std::fs::create_dir(dir.path().join("log.new")).unwrap();
        pair.0.rewrite().unwrap_err();
        assert!(!pair.0.wants_rewrite(), "not again at once");
        pair.put("k000", 9);
        pair.check(dir.path());
    }
}
