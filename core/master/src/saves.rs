//! What waits for a batch to be durable: the words that may only be said afterwards.

use crate::{
    Effect, Master,
    frameworks::{Newcomer, Terms},
    losses::Loss,
    operator::Decision,
    timers::Timer,
};
use base::{Duration, Effects, Now, Time};
use model::{
    link::Envelope,
    request::{Answer, Body, Http, RequestId},
    save::{Change, SaveId},
};
use std::collections::{BTreeMap, BTreeSet};

/// What the store refused is tried again after this.
const SAVE_RETRY: Duration = Duration::from_secs(1);

/// What follows once a batch is durable.
#[derive(Debug)]
pub(crate) enum Then {
    /// Open the stream of a framework that subscribes.
    Subscribe { who: Newcomer, terms: Box<Terms> },
    /// Take over what a framework says of itself, and answer it if it asked over HTTP.
    UpdateFramework { request: Option<RequestId>, id: String, terms: Box<Terms> },
    /// Take in an agent, as its message asks.
    Admit { id: String, envelope: Box<Envelope> },
    /// End a framework, and answer the operator who asked for it.
    RemoveFramework { id: String, request: Option<RequestId> },
    /// Give an agent and its tasks up.
    LoseAgent { id: String, loss: Loss },
    /// Give up waiting for an agent of the registry.
    NeverCameBack { id: String },
    /// Do what an operator asked for, and answer; nobody waits for what the master does by itself.
    Operator { request: Option<RequestId>, decision: Decision },
}

/// Batches in flight.
#[derive(Debug, Default)]
pub(crate) struct Saves {
    next: u64,
    waiting: BTreeMap<SaveId, (Vec<Change>, Then)>,
    /// Agents that are being admitted.
    admitting: BTreeSet<String>,
    /// Decisions of the master itself that the store refused: nobody else will ask for them again.
    refused: Vec<(Vec<Change>, Then)>,
}

impl Saves {
    /// How many are in flight or to be tried again.
    pub fn waiting(&self) -> usize {
        self.waiting.len() + self.refused.len()
    }
    /// Agents that are being admitted: their repeated messages need not be saved again.
    pub fn admitting(&self, pid: &model::link::Upid) -> bool {
        self.admitting.contains(&pid.to_string())
    }
}

impl Saves {
    /// A batch waits no more.
    fn take(&mut self, save: SaveId) -> Option<(Vec<Change>, Then)> {
        let taken = self.waiting.remove(&save)?;
        if let Then::Admit { envelope, .. } = &taken.1 {
            self.admitting.remove(&envelope.from.to_string());
        }
        Some(taken)
    }
    /// Whether a driver's subscription waits to be durable.
    pub fn subscribing(&self, pid: &model::link::Upid) -> bool {
        let its = |then: &Then| matches!(then, Then::Subscribe { who: Newcomer::Driver { pid: p, .. }, .. } if p == pid);
        self.waiting.values().any(|(_, then)| its(then))
    }
}

impl Master {
    pub(crate) fn save(&mut self, batch: Vec<Change>, then: Then, out: &mut Effects<Effect>) {
        let save = SaveId(self.saves.next);
        self.saves.next += 1;
        if let Then::Admit { envelope, .. } = &then {
            self.saves.admitting.insert(envelope.from.to_string());
        }
        self.saves.waiting.insert(save, (batch.clone(), then));
        out.push(Effect::Save { save, batch });
    }

    pub(crate) fn saved(&mut self, now: &mut Now<'_>, save: SaveId, out: &mut Effects<Effect>) {
        let Some((_, then)) = self.saves.take(save) else { return };
        match then {
            Then::Subscribe { who, terms } => self.subscribed(now, who, *terms, out),
            Then::UpdateFramework { request, id, terms } => {
                self.framework_updated(request, &id, *terms, now.time, out);
            }
            Then::Admit { id, envelope } => self.admitted(now, &id, *envelope, out),
            Then::RemoveFramework { id, request } => {
                self.remove_framework(&id, now.time, out);
                if let Some(request) = request {
                    out.push(Http::Reply { request, answer: Answer::new(200, Body::Empty) });
                }
            }
            Then::LoseAgent { id, loss } => self.agent_lost(&id, loss, now.time, out),
            Then::NeverCameBack { id } => self.never_came_back(&id, now.time),
            Then::Operator { request, decision } => self.carry_out(request, decision, now.time, out),
        }
    }

    /// The store refused: whoever waits is told, and nothing has changed. Agents and clients ask again; what the
    /// master decided by itself, it tries again.
    pub(crate) fn save_failed(&mut self, save: SaveId, why: &str, now: Time, out: &mut Effects<Effect>) {
        self.counters.saves_failed += 1;
        let Some((batch, then)) = self.saves.take(save) else { return };
        let then = match then {
            Then::Admit { .. } => return,
            Then::Subscribe { who: Newcomer::Http { request, .. }, .. }
            | Then::UpdateFramework { request: Some(request), .. } => {
                self.refuse_for_the_store(request, why, out);
                return;
            }
            Then::Operator { request: Some(request), .. } => {
                self.refuse_for_the_store(request, why, out);
                self.next_operator_call(now, out);
                return;
            }
            // A driver asks again.
            Then::Subscribe { who: Newcomer::Driver { .. }, .. }
            | Then::UpdateFramework { request: None, .. } => return,
            Then::RemoveFramework { id, request } => {
                if let Some(request) = request {
                    self.refuse_for_the_store(request, why, out);
                }
                Then::RemoveFramework { id, request: None }
            }
            other => other,
        };
        self.saves.refused.push((batch, then));
        self.timers.set(Timer::SaveAgain, now + SAVE_RETRY);
    }

    /// Tries again what the store refused.
    pub(crate) fn save_again(&mut self, out: &mut Effects<Effect>) {
        for (batch, then) in std::mem::take(&mut self.saves.refused) {
            self.save(batch, then, out);
        }
    }

    fn refuse_for_the_store(&self, request: RequestId, why: &str, out: &mut Effects<Effect>) {
        let answer = Answer::text(503, format!("The registry could not be written: {why}"));
        out.push(Http::Reply { request, answer });
    }
}
