//! Writes precede words: what a step changes is made durable before anything that it says goes out, in order.
//!
//! Never decides what is written. The state in memory runs ahead of the store; nobody is told of it before.

use crate::{Effect, config::SAVE_RETRY};
use base::{Effects, Time};
use indexmap::IndexMap;
use model::{
    request::{Answer, Http},
    save::{Change, SaveId},
};
use std::collections::{BTreeMap, VecDeque};

/// Most changes in one batch; a step with more is saved in several, in order.
pub const BATCH_CHANGES_MAX: usize = 64;
/// Most bytes in one batch, save where a single record is larger.
pub const BATCH_BYTES_MAX: usize = 512 * 1024;
/// Longer records are written in pieces of this length, and their head last.
pub const PIECE_BYTES_MAX: usize = 256 * 1024;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    Asked,
    Durable,
    Failed,
}

#[derive(Debug)]
struct Batch {
    save: SaveId,
    changes: Vec<Change>,
    words: Vec<Effect>,
    standing: Standing,
}

/// What waits for the store.
#[derive(Debug, Default)]
pub(crate) struct Saves {
    next: u64,
    step: IndexMap<String, Option<Vec<u8>>>,
    words: Vec<Effect>,
    waiting: VecDeque<Batch>,
    retry_at: Option<Time>,
    trouble: Option<String>,
    /// By key, where the pieces of a long record are.
    pieces: BTreeMap<String, Pieces>,
}

fn piece(key: &str, at: usize) -> String {
    format!("{key}#{at:05}")
}

/// Where the pieces of a long record are, as its head says it: `#COUNT`, or `#COUNT@FROM` where they don't begin at 0.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pieces {
    from: usize,
    count: usize,
}

/// A record that is written again has its pieces elsewhere, so that the one before is whole until the new head is there.
const ELSEWHERE: usize = 50_000;

impl Pieces {
    fn read(head: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(head.strip_prefix(b"#")?).ok()?;
        let (count, from) = text.split_once('@').unwrap_or((text, "0"));
        Some(Self { from: from.parse().ok()?, count: count.parse().ok()? })
    }
    fn head(self) -> Vec<u8> {
        let from = if self.from == 0 { String::new() } else { format!("@{}", self.from) };
        format!("#{}{from}", self.count).into_bytes()
    }
    fn keys(self, key: &str) -> impl Iterator<Item = String> {
        (self.from..self.from + self.count).map(move |at| piece(key, at))
    }
}

impl Saves {
    /// Writes a record of any length. Its head says which pieces are its own, and comes after all of them; then those of
    /// the record before go.
    pub fn put_long(&mut self, key: &str, value: Vec<u8>) {
        let before = self.pieces.remove(key);
        if value.len() <= PIECE_BYTES_MAX {
            self.put_last(key.to_owned(), Some(value));
        } else {
            let from = if before.is_some_and(|before| before.from == 0) { ELSEWHERE } else { 0 };
            let pieces = Pieces { from, count: value.chunks(PIECE_BYTES_MAX).count() };
            for (name, part) in pieces.keys(key).zip(value.chunks(PIECE_BYTES_MAX)) {
                self.put_last(name, Some(part.to_vec()));
            }
            self.put_last(key.to_owned(), Some(pieces.head()));
            self.pieces.insert(key.to_owned(), pieces);
        }
        for name in before.into_iter().flat_map(|before| before.keys(key)) {
            self.put_last(name, None);
        }
    }
    /// Does this after all that the step has done so far, also where it was about the same record.
    fn put_last(&mut self, key: String, value: Option<Vec<u8>>) {
        self.step.shift_remove(&key);
        self.step.insert(key, value);
    }
    /// Removes a record that may be long.
    pub fn delete_long(&mut self, key: &str) {
        self.delete(key.to_owned());
        for name in self.pieces.remove(key).into_iter().flat_map(|pieces| pieces.keys(key)) {
            self.put_last(name, None);
        }
    }
    /// Does this step's removal of a record after all its other changes.
    pub fn delete_last(&mut self, key: &str) {
        if self.step.shift_remove(key).is_some() {
            self.delete(key.to_owned());
        }
    }
    /// A record as it was put; pieces that no head names are nothing, and go.
    pub fn whole(&mut self, records: &model::save::Records, key: &str) -> Option<Vec<u8>> {
        let head = records.get(key)?;
        if !head.starts_with(b"#") {
            return Some(head.clone());
        }
        let pieces = Pieces::read(head)?;
        self.pieces.insert(key.to_owned(), pieces);
        let mut all = Vec::new();
        for name in pieces.keys(key) {
            all.extend(records.get(&name)?);
        }
        Some(all)
    }
    /// Removes a piece that no head names.
    pub fn drop_stray(&mut self, records: &model::save::Records, key: &str) {
        let (head, at) = key.split_once('#').unwrap_or((key, ""));
        let pieces = records.get(head).and_then(|head| Pieces::read(head));
        let named = |p: Pieces| at.parse().is_ok_and(|at: usize| (p.from..p.from + p.count).contains(&at));
        if !pieces.is_some_and(named) {
            self.delete(key.to_owned());
        }
    }

    /// Writes a record in this step; the last write of a key wins.
    pub fn put(&mut self, key: String, value: Vec<u8>) {
        self.step.insert(key, Some(value));
    }
    /// Removes a record in this step.
    pub fn delete(&mut self, key: String) {
        self.step.insert(key, None);
    }
    /// Says something once everything so far is durable.
    pub fn say(&mut self, word: Effect) {
        self.words.push(word);
    }
    /// When a failed save is tried again.
    pub fn retry_at(&self) -> Option<Time> {
        self.retry_at
    }
    /// Why the store refuses, while it does.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
    /// Whether all that was decided is durable.
    pub fn settled(&self) -> bool {
        self.waiting.is_empty()
    }
    /// Ends a step.
    pub fn flush(&mut self, out: &mut Effects<Effect>) {
        let words = std::mem::take(&mut self.words);
        if self.step.is_empty() {
            match self.waiting.back_mut() {
                Some(last) => last.words.extend(words),
                None => words.into_iter().for_each(|word| out.push(word)),
            }
            return;
        }
        let mut changes = Vec::new();
        let mut bytes = 0;
        for (key, value) in std::mem::take(&mut self.step) {
            let size = key.len() + value.as_ref().map_or(0, Vec::len);
            if !changes.is_empty() && (changes.len() >= BATCH_CHANGES_MAX || bytes + size > BATCH_BYTES_MAX) {
                self.ask(std::mem::take(&mut changes), Vec::new(), out);
                bytes = 0;
            }
            bytes += size;
            changes.push(match value {
                Some(value) => Change::Put { key, value },
                None => Change::Delete { key },
            });
        }
        self.ask(changes, words, out);
    }
    fn ask(&mut self, changes: Vec<Change>, words: Vec<Effect>, out: &mut Effects<Effect>) {
        let save = SaveId(self.next);
        self.next += 1;
        let held = self.trouble.is_some();
        if !held {
            out.push(Effect::Save { save, batch: changes.clone() });
        }
        let standing = if held { Standing::Failed } else { Standing::Asked };
        self.waiting.push_back(Batch { save, changes, words, standing });
    }
    /// A batch is durable: says what waited for it, as soon as all before it are durable too.
    pub fn saved(&mut self, save: SaveId, now: Time, out: &mut Effects<Effect>) {
        self.mark(save, Standing::Durable);
        while self.waiting.front().is_some_and(|batch| batch.standing == Standing::Durable) {
            let batch = self.waiting.pop_front();
            batch.into_iter().flat_map(|batch| batch.words).for_each(|word| out.push(word));
        }
        self.settle(now);
    }
    /// A batch was refused: clients that wait hear of it, everything else waits for another try.
    pub fn failed(&mut self, save: SaveId, why: &str, now: Time, out: &mut Effects<Effect>) {
        self.mark(save, Standing::Failed);
        self.trouble = Some(why.to_owned());
        for batch in &mut self.waiting {
            batch.words.retain(|word| match word {
                Effect::Http(Http::Reply { request, .. }) => {
                    let body = serde_json::json!({ "message": format!("The change could not be made durable: {why}") });
                    let answer = Answer::json(503, body.to_string());
                    out.push(Effect::Http(Http::Reply { request: *request, answer }));
                    false
                }
                _ => true,
            });
        }
        self.settle(now);
    }
    fn mark(&mut self, save: SaveId, standing: Standing) {
        // saves are numbered in order, without gaps
        let first = self.waiting.front().map_or(0, |batch| batch.save.0);
        let at = save.0.checked_sub(first).and_then(|at| usize::try_from(at).ok());
        if let Some(batch) = at.and_then(|at| self.waiting.get_mut(at)).filter(|batch| batch.save == save) {
            batch.standing = standing;
        }
    }
    /// Tries again only when nothing is on its way, so that an old write can't pass a new one.
    fn settle(&mut self, now: Time) {
        if self.waiting.is_empty() {
            self.trouble = None;
            self.retry_at = None;
        } else if self.trouble.is_some() && self.waiting.iter().all(|batch| batch.standing != Standing::Asked)
        {
            self.retry_at.get_or_insert(now + SAVE_RETRY);
        }
    }
    /// Asks again for everything that is not durable, and for what came after it.
    pub fn retry(&mut self, now: Time, out: &mut Effects<Effect>) {
        if self.retry_at.is_none_or(|at| at > now) {
            return;
        }
        self.retry_at = None;
        self.trouble = None;
        for batch in &mut self.waiting {
            batch.save = SaveId(self.next);
            self.next += 1;
            batch.standing = Standing::Asked;
            out.push(Effect::Save { save: batch.save, batch: batch.changes.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use model::save::Records;

    #[test]
    fn long_records_are_whole_or_not_there() {
        let (mut saves, mut out) = (Saves::default(), Effects::default());
        let value: Vec<u8> = (0..PIECE_BYTES_MAX * 2 + 5).map(|n| b'a' + (n % 26) as u8).collect();
        saves.put_long("deployments/x", value.clone());
        saves.flush(&mut out);
        let mut records = Records::new();
        for effect in out.drain() {
            let Effect::Save { batch, .. } = effect else { panic!("only saves") };
            assert_eq!(Saves::default().whole(&records, "deployments/x"), None);
            for change in batch {
                let Change::Put { key, value } = change else { panic!("only puts") };
                assert!(value.len() <= PIECE_BYTES_MAX);
                records.insert(key, value);
            }
        }
        let mut again = Saves::default();
        assert_eq!(again.whole(&records, "deployments/x"), Some(value));
        assert_eq!(records.len(), 4);
        again.delete_long("deployments/x");
        again.flush(&mut out);
        let gone: Vec<_> = out.drain().collect();
        assert!(matches!(&gone[..], [Effect::Save { batch, .. }] if batch.len() == 4), "{gone:?}");
        records.remove("deployments/x");
        again.drop_stray(&records, "deployments/x#00001");
        assert_eq!(again.step.len(), 1);
    }

    use super::*;
    use model::request::RequestId;

    fn reply(n: u64) -> Effect {
        Effect::Http(Http::Reply { request: RequestId(n), answer: Answer::accepted() })
    }

    #[test]
    fn words_follow_writes_in_order() {
        let (mut saves, mut out) = (Saves::default(), Effects::default());
        saves.say(reply(0));
        saves.flush(&mut out);
        assert_eq!(out.drain().collect::<Vec<_>>(), [reply(0)]);
        for n in 1..3 {
            saves.put(format!("k{n}"), vec![]);
            saves.say(reply(n));
            saves.flush(&mut out);
        }
        saves.say(reply(3));
        saves.flush(&mut out);
        assert!(out.drain().all(|effect| matches!(effect, Effect::Save { .. })));
        saves.saved(SaveId(1), Time::EPOCH, &mut out);
        assert!(out.is_empty());
        saves.saved(SaveId(0), Time::EPOCH, &mut out);
        assert_eq!(out.drain().collect::<Vec<_>>(), [reply(1), reply(2), reply(3)]);
    }

    #[test]
    fn a_refused_write_is_tried_again_before_later_words() {
        let (mut saves, mut out) = (Saves::default(), Effects::default());
        let word = Effect::Http(Http::Close { stream: model::request::StreamId(7) });
        saves.put("k".into(), vec![1]);
        saves.say(reply(1));
        saves.say(word.clone());
        saves.flush(&mut out);
        out.drain();
        saves.failed(SaveId(0), "disk full", Time::EPOCH, &mut out);
        let said: Vec<_> = out.drain().collect();
        assert!(matches!(&said[..], [Effect::Http(Http::Reply { answer, .. })] if answer.status == 503));
        let at = saves.retry_at().unwrap();
        saves.retry(at, &mut out);
        let put = Change::Put { key: "k".into(), value: vec![1] };
        assert_eq!(out.drain().collect::<Vec<_>>(), [Effect::Save { save: SaveId(1), batch: vec![put] }]);
        saves.saved(SaveId(1), at, &mut out);
        assert_eq!(out.drain().collect::<Vec<_>>(), [word]);
        assert_eq!(saves.trouble(), None);
    }

    /// Every state of the store on the way: each change of the step by itself.
    fn states(saves: &mut Saves, records: &mut Records) -> Vec<Records> {
        let step = std::mem::take(&mut saves.step);
        let one = |(key, value): (String, Option<Vec<u8>>)| {
            match value {
                Some(value) => drop(records.insert(key, value)),
                None => drop(records.remove(&key)),
            }
            records.clone()
        };
        step.into_iter().map(one).collect()
    }

    #[test]
    fn a_long_record_is_the_one_before_or_the_new_one_at_each_instant() {
        let (mut saves, mut records) = (Saves::default(), Records::new());
        let value = |byte: u8, pieces: usize| vec![byte; PIECE_BYTES_MAX * pieces - 7];
        let mut before: Option<Vec<u8>> = None;
        for (byte, pieces) in [(1, 3), (2, 2), (3, 4), (4, 1), (5, 2), (6, 2)] {
            let new = value(byte, pieces);
            saves.put_long("k", new.clone());
            for state in states(&mut saves, &mut records) {
                // as a fresh start finds it
                let found = Saves::default().whole(&state, "k");
                assert!(found == before || found.as_ref() == Some(&new), "{byte}: neither");
            }
            assert_eq!(
                records.len(),
                if pieces == 1 { 1 } else { pieces + 1 },
                "{byte}: nothing is left over"
            );
            before = Some(new);
        }
        // what a crash left of a write goes with the next start
        saves.put_long("k", value(7, 3));
        let torn = states(&mut saves, &mut records.clone()).swap_remove(1);
        let mut again = Saves::default();
        torn.keys().filter(|key| key.contains('#')).for_each(|key| again.drop_stray(&torn, key));
        assert_eq!(again.whole(&torn, "k"), before);
        assert_eq!(again.step.len(), 2, "the two pieces that were written");
        again.delete_long("k");
        let mut left = torn;
        states(&mut again, &mut left);
        assert!(left.is_empty(), "{:?}", left.keys());
    }
}
