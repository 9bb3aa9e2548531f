//! What waits for a batch to be durable: the words that may only be said afterwards.

use crate::{Effect, Master};
use base::{Effects, Now};
use model::{
    link::Envelope,
    mesos::{FrameworkInfo, scheduler::OfferConstraints},
    request::{Answer, Codec, Http, RequestId},
    save::{Change, SaveId},
};
use std::collections::BTreeMap;

/// What follows once a batch is durable.
#[derive(Debug)]
pub(crate) enum Then {
    /// Nothing: nobody was told, nobody waits.
    Nothing,
    /// Open the stream of a framework that subscribes.
    Subscribe {
        request: RequestId,
        codec: Codec,
        info: Box<FrameworkInfo>,
        suppressed: Vec<String>,
        _constraints: Option<Box<OfferConstraints>>,
    },
    /// Take in an agent, as its message asks.
    Admit { id: String, envelope: Box<Envelope> },
}

/// Batches in flight.
#[derive(Debug, Default)]
pub(crate) struct Saves {
    next: u64,
    waiting: BTreeMap<SaveId, Then>,
}

impl Saves {
    /// Agents that are being admitted: their repeated messages need not be saved again.
    pub fn admitting(&self, pid: &model::link::Upid) -> bool {
        self.waiting
            .values()
            .any(|then| matches!(then, Then::Admit { envelope, .. } if envelope.from == *pid))
    }
}

impl Master {
    pub(crate) fn save(&mut self, batch: Vec<Change>, then: Then, out: &mut Effects<Effect>) {
        let save = SaveId(self.saves.next);
        self.saves.next += 1;
        self.saves.waiting.insert(save, then);
        out.push(Effect::Save { save, batch });
    }

    pub(crate) fn saved(&mut self, now: &mut Now<'_>, save: SaveId, out: &mut Effects<Effect>) {
        match self.saves.waiting.remove(&save) {
            None | Some(Then::Nothing) => {}
            Some(Then::Subscribe { request, codec, info, suppressed, .. }) => {
                self.subscribed(now, request, codec, *info, suppressed, out);
            }
            Some(Then::Admit { id, envelope }) => self.admitted(now, &id, *envelope, out),
        }
    }

    /// The store refused: whoever waits is told, and nothing has changed. Agents simply ask again.
    pub(crate) fn save_failed(&mut self, save: SaveId, why: &str, out: &mut Effects<Effect>) {
        self.counters.saves_failed += 1;
        if let Some(Then::Subscribe { request, .. }) = self.saves.waiting.remove(&save) {
            let answer = Answer::text(503, format!("The registry could not be written: {why}"));
            out.push(Http::Reply { request, answer });
        }
    }
}
