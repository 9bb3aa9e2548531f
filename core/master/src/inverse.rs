//! Inverse offers: frameworks that hold something of an agent whose machine goes away are asked for it, and their
//! answers are kept for the operator. Nobody is forced.
//!
//! Never when machines go down (`operator/maintenance`). Whom to ask, and when again:
//! apache/mesos@c1b42f79:src/master/allocator/mesos/hierarchical.cpp (`generateInverseOffers`, `updateInverseOffer`).

use crate::{Effect, Framework, Master, Tables as _, offers, timers::Timer};
use base::{Effects, Table, Time};
use model::mesos::{
    AgentId, Filters, FrameworkId, InverseOffer, OfferId, TimeInfo, Unavailability,
    allocator::{InverseOfferStatus, inverse_offer_status::Status},
    scheduler::{Event, event},
};
use std::collections::{BTreeMap, BTreeSet};

/// An agent whose machine is in the schedule.
#[derive(Debug)]
struct Away {
    unavailability: Unavailability,
    /// The offer that a framework has not answered, by framework.
    outstanding: BTreeMap<String, String>,
    /// What frameworks answered last.
    answers: BTreeMap<String, InverseOfferStatus>,
    /// Who is not to be asked again before then.
    refused: BTreeMap<String, Time>,
}

/// All inverse offers and the agents that they are about.
#[derive(Debug, Default)]
pub(crate) struct Inverse {
    away: BTreeMap<String, Away>,
    /// By framework and id.
    pub offers: Table<(String, String), InverseOffer>,
    /// Agents where somebody may have to be asked.
    look: BTreeSet<String>,
}

/// Those of one framework.
pub(crate) fn of_framework<'a>(
    all: &'a Table<(String, String), InverseOffer>,
    framework: &str,
) -> impl Iterator<Item = &'a InverseOffer> + use<'a> {
    let from = (framework.to_owned(), String::new());
    let framework = from.0.clone();
    all.from(&from).take_while(move |((f, _), _)| *f == framework).map(|(_, offer)| offer)
}

impl Inverse {
    /// Somebody may hold more of this agent than before.
    pub fn look_at(&mut self, agent: &str) {
        if self.away.contains_key(agent) {
            self.look.insert(agent.to_owned());
        }
    }
    /// A framework may be asked that could not be before.
    pub fn look_everywhere(&mut self) {
        self.look.extend(self.away.keys().cloned());
    }
    /// A framework forgets what it refused.
    pub fn drop_refusals(&mut self, framework: &str) {
        for away in self.away.values_mut() {
            away.refused.remove(framework);
        }
    }
    /// What frameworks answered about an agent.
    pub fn answers(&self, agent: &str) -> impl Iterator<Item = &InverseOfferStatus> {
        self.away.get(agent).into_iter().flat_map(|away| away.answers.values())
    }
    /// What a framework has not answered.
    pub fn of_framework(&self, framework: &str) -> impl Iterator<Item = &InverseOffer> {
        of_framework(&self.offers, framework)
    }
    /// An agent is not there any more.
    pub fn forget_agent(&mut self, agent: &str) {
        self.away.remove(agent);
        self.look.remove(agent);
    }
    /// A framework is not there any more.
    pub fn forget_framework(&mut self, framework: &str) {
        for away in self.away.values_mut() {
            away.answers.remove(framework);
            away.refused.remove(framework);
        }
    }
    /// Panics unless what is outstanding is known by agent and by framework.
    pub fn check(&self, stands: impl Fn(&str, &str) -> bool) {
        let mut outstanding = 0;
        for (agent, away) in &self.away {
            for (framework, id) in &away.outstanding {
                let known = self.offers.contains_key(&(framework.clone(), id.clone()));
                assert!(known && stands(framework, agent), "inverse offer {id} without its two sides");
            }
            outstanding += away.outstanding.len();
        }
        assert_eq!(outstanding, self.offers.len(), "inverse offers of agents that stay");
    }
}

impl Master {
    /// Notes whether an agent's machine goes away. What frameworks answered holds as long as the plan does.
    pub(crate) fn plan_agent(&mut self, id: &str) {
        let Some(agent) = self.agents.get(id) else { return };
        match self.policy.unavailability(&agent.machine()) {
            None => self.inverse.forget_agent(id),
            Some(planned) => {
                let same = self.inverse.away.get(id).is_some_and(|away| away.unavailability == *planned);
                if !same {
                    let away = Away {
                        unavailability: *planned,
                        outstanding: BTreeMap::new(),
                        answers: BTreeMap::new(),
                        refused: BTreeMap::new(),
                    };
                    self.inverse.away.insert(id.to_owned(), away);
                }
                self.inverse.look_at(id);
            }
        }
    }

    /// The schedule changed: frameworks weigh it anew.
    pub(crate) fn plan_anew(&mut self, id: &str, out: &mut Effects<Effect>) {
        self.rescind_inverse_of(id, out);
        self.inverse.forget_agent(id);
        self.plan_agent(id);
    }

    /// Asks every framework that holds something of an agent that goes away, has not been asked and did not refuse.
    pub(crate) fn make_inverse_offers(&mut self, now: Time, out: &mut Effects<Effect>) {
        if self.inverse.look.is_empty() {
            return;
        }
        let mut events: BTreeMap<String, Vec<InverseOffer>> = BTreeMap::new();
        for id in std::mem::take(&mut self.inverse.look) {
            let Some(agent) = self.agents.get(&id).filter(|agent| self.is_active(agent)) else { continue };
            let Some(away) = self.inverse.away.get_mut(&id) else { continue };
            for framework in self.allocator.holders(&id) {
                let framework = framework.to_string();
                let active = self.frameworks.get(&framework).is_some_and(Framework::is_active);
                let refused = away.refused.get(&framework).is_some_and(|until| *until > now);
                if !active || refused || away.outstanding.contains_key(&framework) {
                    continue;
                }
                // Ids are drawn from the same numbers as those of offers.
                let offer_id = format!("{}-O{}", self.id, self.next_offer);
                self.next_offer += 1;
                let offer = InverseOffer {
                    id: OfferId { value: offer_id.clone() },
                    url: Some(offers::url_of(agent)),
                    framework_id: FrameworkId { value: framework.clone() },
                    agent_id: Some(AgentId { value: id.clone() }),
                    unavailability: away.unavailability,
                    ..Default::default()
                };
                away.refused.remove(&framework);
                away.outstanding.insert(framework.clone(), offer_id.clone());
                if let Some(timeout) = self.config.offer_timeout {
                    self.timers.set(Timer::InverseOffer(framework.clone(), offer_id.clone()), now + timeout);
                }
                self.inverse.offers.insert((framework.clone(), offer_id), offer.clone());
                events.entry(framework).or_default().push(offer);
            }
        }
        for (framework, inverse_offers) in events {
            let event = Event {
                r#type: Some(event::Type::InverseOffers.into()),
                inverse_offers: Some(event::InverseOffers { inverse_offers }),
                ..Default::default()
            };
            self.event(&framework, event, out);
        }
    }

    /// A framework answers. Offers that are not its own, or no more, are passed over, as upstream does.
    pub(crate) fn answer_inverse(
        &mut self,
        framework: &str,
        ids: &[OfferId],
        status: Status,
        filters: Option<&Filters>,
        now: Time,
    ) {
        for id in ids {
            let Some(agent) = self.end_inverse(framework, &id.value) else { continue };
            let Some(away) = self.inverse.away.get_mut(&agent) else { continue };
            let answer = InverseOfferStatus {
                status: status.into(),
                framework_id: FrameworkId { value: framework.to_owned() },
                timestamp: TimeInfo { nanoseconds: now.as_nanos() as i64 },
            };
            away.answers.insert(framework.to_owned(), answer);
            let until = now + offers::refusal(filters).max(self.config.allocation.decline_floor);
            away.refused.insert(framework.to_owned(), until);
            self.timers.set(Timer::InverseRefusal(agent, framework.to_owned()), until);
        }
    }

    /// Ends an inverse offer, and says of which agent it was.
    fn end_inverse(&mut self, framework: &str, id: &str) -> Option<String> {
        let key = (framework.to_owned(), id.to_owned());
        let offer = self.inverse.offers.remove(&key)?;
        self.timers.cancel(&Timer::InverseOffer(key.0, key.1));
        let agent = offer.agent_id?.value;
        if let Some(away) = self.inverse.away.get_mut(&agent) {
            away.outstanding.remove(framework);
            self.inverse.look.insert(agent.clone());
        }
        Some(agent)
    }

    /// Ends an inverse offer and tells its framework.
    pub(crate) fn rescind_inverse(&mut self, framework: &str, id: &str, out: &mut Effects<Effect>) {
        if self.end_inverse(framework, id).is_some() {
            let inverse_offer_id = OfferId { value: id.to_owned() };
            let event = Event {
                r#type: Some(event::Type::RescindInverseOffer.into()),
                rescind_inverse_offer: Some(event::RescindInverseOffer { inverse_offer_id }),
                ..Default::default()
            };
            self.event(framework, event, out);
        }
    }

    /// Ends all inverse offers of an agent.
    pub(crate) fn rescind_inverse_of(&mut self, agent: &str, out: &mut Effects<Effect>) {
        let away = self.inverse.away.get(agent);
        for (framework, id) in away.map(|away| away.outstanding.clone()).unwrap_or_default() {
            self.rescind_inverse(&framework, &id, out);
        }
    }

    /// Ends all inverse offers to a framework that is still there.
    pub(crate) fn rescind_inverse_to(&mut self, framework: &str, out: &mut Effects<Effect>) {
        let ids: Vec<_> = self.inverse.of_framework(framework).map(|o| o.id.value.clone()).collect();
        ids.iter().for_each(|id| self.rescind_inverse(framework, id, out));
    }

    /// Ends all inverse offers to a framework that does not listen any more.
    pub(crate) fn drop_inverse_to(&mut self, framework: &str) {
        let ids: Vec<_> = self.inverse.of_framework(framework).map(|o| o.id.value.clone()).collect();
        for id in ids {
            self.end_inverse(framework, &id);
        }
        self.inverse.drop_refusals(framework);
    }
}
