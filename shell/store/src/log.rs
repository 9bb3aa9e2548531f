//! One append-only file with an index of what is live in it: opened, appended to, rewritten when mostly dead.
//!
//! Never: threads, grouping, terms that are refused (`embedded`).

use crate::{
    StoreError,
    mark::{self, Mark},
    renewal::Renewal,
    segment::{self, Frame, HEAD, MAGIC, Place, Said},
};
use model::save::Records;
use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    ops::Bound::{Excluded, Unbounded},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

/// A log shorter than this is not worth rewriting.
const REWRITE_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// A log is rewritten when it is this many times as long as what is live in it.
const REWRITE_RATIO: u64 = 4;
const REWRITE_FRAME_BYTES: usize = 512 * 1024;
/// Bytes that are copied into the new log at a time, or as many as the last frame has: a commit waits no longer than for
/// two, and a log that grows fast is not overtaken.
const RENEW_BYTES_MIN: usize = 256 * 1024;
/// The log that will take the place of the one that is there.
const NEW: &str = "log.new";

/// The open log.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    path: PathBuf,
    file: File,
    live: BTreeMap<String, Place>,
    live_bytes: u64,
    length: u64,
    last: u64,
    /// The highest term that has written.
    pub term: u64,
    rewrite_at: u64,
    /// Bytes behind `length` may be the rest of a failed write.
    dirty: bool,
    /// Says which frame is durable; none while it can't be written.
    mark: Option<Mark>,
    /// What it said when the log was opened: an earlier end is a loss. None = nothing was promised yet.
    promised: Option<u64>,
    /// The log that will take the place of this one.
    renewal: Option<Renewal>,
    /// Bytes of the last frame.
    appended: usize,
    /// Which file has the log's name may not be durable yet.
    renamed: bool,
}

impl Log {
    /// Opens the log of a directory, or begins one. One that ends before its mark has lost what was acknowledged, and is
    /// refused.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("log");
        let disk = |what| move |error: io::Error| trouble(&path, what, &error);
        let path = dir.join("log");
        // the rest of a rewrite that a crash cut short
        match std::fs::remove_file(dir.join(NEW)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(trouble(&dir.join(NEW), "remove", &error));
            }
            _ => {}
        }
        let marked = dir.join(mark::NAME);
        let promised = match Mark::read(dir).map_err(|e| trouble(&marked, "read", &e))? {
            mark::Said::Nothing => None,
            mark::Said::Durable(number) => Some(number),
            mark::Said::Damaged => {
                let why = "it says which records must be there; if the log beside it is known to be whole, remove this \
                           file"
                .to_owned();
                return Err(StoreError::Corrupt { file: marked, at: 0, why });
            }
        };
        if promised.is_some() && std::fs::metadata(&path).map_or(0, |m| m.len()) < MAGIC.len() as u64 {
            let at = std::fs::metadata(&path).map_or(0, |m| m.len());
            let why = format!("it is empty or gone, though {} says that it was begun", marked.display());
            return Err(StoreError::Corrupt { file: path, at, why });
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).open(&path).map_err(disk.clone()("open"))?;
        let bytes = std::fs::read(&path).map_err(disk.clone()("read"))?;
        let mut log = Self {
            dir: dir.to_owned(),
            path: path.clone(),
            file,
            live: BTreeMap::new(),
            live_bytes: 0,
            length: MAGIC.len() as u64,
            last: 0,
            term: 0,
            rewrite_at: REWRITE_BYTES_MIN,
            dirty: false,
            mark: None,
            promised,
            renewal: None,
            appended: 0,
            renamed: false,
        };
        if bytes.len() < MAGIC.len() && MAGIC.starts_with(&bytes) {
            log.file.set_len(0).map_err(disk.clone()("truncate"))?;
            log.file.write_all(MAGIC).map_err(disk.clone()("write"))?;
            log.file.sync_all().map_err(disk.clone()("sync"))?;
            log.begin_mark();
            sync_dir(dir)?;
            return Ok(log);
        }
        if !bytes.starts_with(MAGIC) {
            let why = "this is not a log of mesolite".to_owned();
            return Err(StoreError::Corrupt { file: path, at: 0, why });
        }
        log.replay(&bytes)?;
        log.begin_mark();
        Ok(log)
    }

    /// A full disk must not keep a daemon from starting: without a mark all is as safe as the log alone.
    fn begin_mark(&mut self) {
        match Mark::open(&self.dir, self.last) {
            Ok(mark) => self.mark = Some(mark),
            Err(error) => tracing::warn!(%error, dir = %self.dir.display(), "the log can't be marked"),
        }
    }

    fn note(&self) {
        if let Some(Err(error)) = self.mark.as_ref().map(|mark| mark.note(self.last)) {
            tracing::warn!(%error, dir = %self.dir.display(), "the log's mark can't be written");
        }
    }

    /// Leaves the directory as it is to be found.
    pub fn close(&mut self) {
        if self.renewal.is_some() {
            self.give_renewal_up();
        }
        self.settle();
    }

    /// Makes durable what the mark says.
    pub fn settle(&self) {
        self.note();
        if let Some(Err(error)) = self.mark.as_ref().map(Mark::sync) {
            tracing::warn!(%error, dir = %self.dir.display(), "the log's mark can't be synced");
        }
    }

    /// Refuses a log that ends before what was promised of it.
    fn keeps_promise(&self, at: usize, why: &str) -> Result<(), StoreError> {
        match self.promised {
            Some(promised) if self.last < promised => Err(StoreError::Corrupt {
                file: self.path.clone(),
                at: at as u64,
                why: format!(
                    "{why} after record {}, but records up to {promised} were durable, as {} says; if an older copy was \
                     put here on purpose, remove that file",
                    self.last,
                    self.dir.join(mark::NAME).display()
                ),
            }),
            _ => Ok(()),
        }
    }

    fn replay(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut at = MAGIC.len();
        while at < bytes.len() {
            let rest = &bytes[at..];
            let read = segment::read(rest).and_then(|frame| {
                let follows = self.last == 0 || frame.number == self.last + 1;
                if follows { Ok(frame) } else { Err("a frame is missing") }
            });
            match read {
                Ok(frame) => {
                    self.last = frame.number;
                    self.term = self.term.max(frame.term);
                    let length = frame.length;
                    apply(&mut self.live, &mut self.live_bytes, frame.said, at as u64);
                    at += length;
                }
                Err(why) => {
                    let tail_max = HEAD + segment::PAYLOAD_BYTES_MAX;
                    if why == "a frame is missing"
                        || rest.len() > tail_max
                        || segment::holds_later_frame(rest, self.last)
                    {
                        let why = why.to_owned();
                        return Err(StoreError::Corrupt { file: self.path.clone(), at: at as u64, why });
                    }
                    self.keeps_promise(at, why)?;
                    self.keep_torn(rest, at)?;
                    break;
                }
            }
        }
        self.keeps_promise(at, "it ends")?;
        self.length = at as u64;
        self.rewrite_at = self.next_rewrite();
        Ok(())
    }

    /// Cuts off a write that never completed; its bytes are kept beside the log for whoever wants to look.
    fn keep_torn(&mut self, rest: &[u8], at: usize) -> Result<(), StoreError> {
        let torn = self.dir.join("log.torn");
        tracing::warn!(file = %self.path.display(), at, bytes = rest.len(), kept = %torn.display(),
            "the last write was cut short and is dropped; it was never acknowledged");
        if let Err(error) = std::fs::write(&torn, rest) {
            tracing::warn!(%error, file = %torn.display(), "the cut bytes could not be kept");
        }
        self.file.set_len(at as u64).map_err(|e| trouble(&self.path, "truncate", &e))?;
        self.file.sync_all().map_err(|e| trouble(&self.path, "sync", &e))
    }

    /// Makes one frame durable, or leaves the log as it was.
    pub fn append(&mut self, frame: Frame, term: u64) -> Result<(), StoreError> {
        self.clean()?;
        let bytes = frame.finish(self.last + 1);
        self.dirty = true;
        let written = self.file.write_all(&bytes).map_err(|e| trouble(&self.path, "write", &e));
        let synced =
            written.and_then(|()| self.file.sync_data().map_err(|e| trouble(&self.path, "sync", &e)));
        if let Err(error) = synced {
            if let Err(again) = self.clean() {
                tracing::error!(%again, "a failed write could not be taken back yet");
            }
            return Err(error);
        }
        self.dirty = false;
        let base = self.length;
        self.length += bytes.len() as u64;
        self.last += 1;
        self.term = self.term.max(term);
        match segment::read(&bytes) {
            Ok(frame) => apply(&mut self.live, &mut self.live_bytes, frame.said, base),
            Err(why) => unreachable!("a frame of our own does not read: {why}"),
        }
        self.note();
        self.appended = bytes.len();
        if let Some(renewal) = &mut self.renewal
            && let Err(error) = renewal.follow(bytes)
        {
            self.give_renewal_up();
            tracing::warn!(%error, "the log could not be rewritten; it goes on growing for now");
        }
        Ok(())
    }

    /// Takes the rest of a failed write back, so that the next frame follows the last good one.
    fn clean(&mut self) -> Result<(), StoreError> {
        if self.dirty {
            self.file.set_len(self.length).map_err(|e| trouble(&self.path, "truncate", &e))?;
            self.dirty = false;
        }
        if self.renamed {
            sync_dir(&self.dir)?;
            self.renamed = false;
        }
        Ok(())
    }

    /// Everything live under a prefix.
    pub fn records(&self, prefix: &str) -> Result<Records, StoreError> {
        let mut records = Records::new();
        for (key, place) in
            self.live.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix))
        {
            records.insert(key.clone(), self.value(*place)?);
        }
        Ok(records)
    }

    fn value(&self, place: Place) -> Result<Vec<u8>, StoreError> {
        let mut value = vec![0; place.length as usize];
        self.file.read_exact_at(&mut value, place.offset).map_err(|e| trouble(&self.path, "read", &e))?;
        Ok(value)
    }

    fn next_rewrite(&self) -> u64 {
        (self.live_bytes * REWRITE_RATIO).max(REWRITE_BYTES_MIN)
    }

    /// Whether the log is being rewritten, or most of it is dead.
    pub fn wants_rewrite(&self) -> bool {
        self.renewal.is_some() || self.length > self.rewrite_at
    }

    /// Goes on replacing the log by one that holds only what is live: a slice at a time, so that commits come in between.
    /// If that fails the old one goes on, and it is tried again once the log has grown as much again.
    pub fn rewrite(&mut self) -> Result<(), StoreError> {
        let outcome = self.rewrite_on();
        if outcome.is_err() {
            self.give_renewal_up();
        }
        outcome
    }

    fn rewrite_on(&mut self) -> Result<(), StoreError> {
        let mut renewal = match self.renewal.take() {
            Some(renewal) => renewal,
            None => Renewal::begin(&self.dir.join(NEW), self.last)?,
        };
        let from = renewal.copied.as_deref().map_or(Unbounded, Excluded);
        let mut left = self.live.range::<str, _>((from, Unbounded)).peekable();
        let most = RENEW_BYTES_MIN.max(self.appended);
        let (mut frame, mut upto) = (Frame::new(self.term), None);
        // one that is longer than a slice is one by itself: a frame with it and another might be longer than any that is read
        while let Some((key, place)) =
            left.next_if(|(key, place)| frame.is_empty() || frame.len() + cost(key, **place) as usize <= most)
        {
            frame.put(key, &self.value(*place)?);
            upto = Some(key);
        }
        let through = left.peek().is_none();
        renewal.copy(frame, upto.cloned())?;
        if through {
            return self.turn_over(renewal);
        }
        renewal.sync()?;
        self.renewal = Some(renewal);
        Ok(())
    }

    /// The new log takes this one's name and place.
    fn turn_over(&mut self, renewal: Renewal) -> Result<(), StoreError> {
        let new = self.dir.join(NEW);
        renewal.file.sync_all().map_err(|e| trouble(&new, "sync", &e))?;
        std::fs::rename(&new, &self.path).map_err(|e| trouble(&new, "rename", &e))?;
        // From here on the old file has no name: whatever fails now, the new one is what is written to, and no commit is
        // answered before the directory is durable.
        let Renewal { file, live, live_bytes, length, last, .. } = renewal;
        debug_assert!(live.keys().eq(self.live.keys()), "the same is live in both");
        (self.file, self.live, self.live_bytes, self.length, self.last) =
            (file, live, live_bytes, length, last);
        self.renamed = true;
        self.rewrite_at = self.next_rewrite();
        self.clean()?;
        self.settle();
        Ok(())
    }

    fn give_renewal_up(&mut self) {
        self.renewal = None;
        forget(&self.dir.join(NEW));
        self.rewrite_at = self.length + self.length.max(REWRITE_BYTES_MIN);
    }

    /// Replaces the log by one that holds these records. If that fails the old one goes on.
    pub fn replace(&mut self, term: u64, records: &Records) -> Result<(), StoreError> {
        if self.renewal.is_some() {
            self.give_renewal_up();
        }
        let records = records.iter().map(|(key, value)| Ok((key, value)));
        let written = self.write_new(term, records)?;
        self.adopt(written)
    }

    /// A log is written whole beside this one, then it takes this one's name and place.
    fn adopt(&mut self, file: File) -> Result<(), StoreError> {
        let new = self.dir.join(NEW);
        if let Err(error) = std::fs::rename(&new, &self.path) {
            forget(&new);
            return Err(trouble(&new, "rename", &error));
        }
        sync_dir(&self.dir)?;
        self.file = file;
        let bytes = std::fs::read(&self.path).map_err(|e| trouble(&self.path, "read", &e))?;
        (self.live, self.live_bytes, self.last, self.dirty) = (BTreeMap::new(), 0, 0, false);
        self.replay(&bytes)?;
        self.settle();
        Ok(())
    }

    fn write_new<K: AsRef<str>, V: AsRef<[u8]>>(
        &self,
        term: u64,
        records: impl Iterator<Item = Result<(K, V), StoreError>>,
    ) -> Result<File, StoreError> {
        let new = self.dir.join(NEW);
        let outcome = write_all(&new, self.last, term, records);
        if outcome.is_err() {
            forget(&new);
        }
        outcome
    }
}

fn forget(new: &Path) {
    if let Err(error) = std::fs::remove_file(new) {
        tracing::debug!(%error, "no unfinished rewrite to remove");
    }
}

/// Writes a log whose frames follow the one that is named. It has one frame at least, which says the term.
fn write_all<K: AsRef<str>, V: AsRef<[u8]>>(
    new: &Path,
    mut last: u64,
    term: u64,
    records: impl Iterator<Item = Result<(K, V), StoreError>>,
) -> Result<File, StoreError> {
    let disk = |what| move |error: io::Error| trouble(new, what, &error);
    let mut options = OpenOptions::new();
    let mut file = options.read(true).append(true).create_new(true).open(new).map_err(disk("create"))?;
    file.write_all(MAGIC).map_err(disk("write"))?;
    let mut records = records.peekable();
    let mut frame = Frame::new(term);
    loop {
        if let Some(record) = records.next() {
            let (key, value) = record?;
            frame.put(key.as_ref(), value.as_ref());
        }
        if frame.len() >= REWRITE_FRAME_BYTES || records.peek().is_none() {
            last += 1;
            let bytes = std::mem::replace(&mut frame, Frame::new(term)).finish(last);
            file.write_all(&bytes).map_err(disk("write"))?;
        }
        if records.peek().is_none() {
            break;
        }
    }
    file.sync_all().map_err(disk("sync"))?;
    Ok(file)
}

/// Notes where the values of a frame lie that begins at `base`.
pub fn apply(live: &mut BTreeMap<String, Place>, live_bytes: &mut u64, said: Vec<Said>, base: u64) {
    for change in said {
        match change {
            Said::Put(key, place) => {
                *live_bytes += cost(&key, place);
                let place = Place { offset: base + place.offset, ..place };
                if let Some((old_key, old)) = live.remove_entry(&key) {
                    *live_bytes -= cost(&old_key, old);
                }
                live.insert(key, place);
            }
            Said::Delete(key) => {
                if let Some(old) = live.remove(&key) {
                    *live_bytes -= cost(&key, old);
                }
            }
        }
    }
}

fn cost(key: &str, place: Place) -> u64 {
    key.len() as u64 + u64::from(place.length) + 9
}

fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| trouble(dir, "sync", &e))
}

pub fn trouble(file: &Path, what: &'static str, error: &io::Error) -> StoreError {
    let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    StoreError::Disk { file: file.to_owned(), what, error: error.to_string(), full }
}
