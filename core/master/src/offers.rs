//! Offers: made of what the allocator sets aside, taken back, declined. Never what is launched from them (`tasks`).

use crate::{Effect, Master, Outstanding, config::TIMEOUT_MAX, timers::Timer};
use base::{Duration, Effects, Now, Time};
use model::mesos::{
    Address, AgentId, ExecutorId, Filters, FrameworkId, Offer, OfferId, Url,
    framework_info::capability::Type as Cap,
    resource::AllocationInfo,
    scheduler::{Event, call, event},
};
use std::{collections::BTreeMap, sync::Arc};

impl Master {
    /// Turns what the allocator sets aside into offers: one event for each framework, in one step.
    pub(crate) fn make_offers(&mut self, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        let due = self.allocator.next_deadline().is_some_and(|at| at <= now.time);
        if !self.allocator.is_dirty() && !due {
            return;
        }
        self.counters.allocations += 1;
        let mut events: BTreeMap<Arc<str>, Vec<Offer>> = BTreeMap::new();
        for set_aside in self.allocator.allocate(now.time, now.rng) {
            let framework = self.frameworks.get_mut(&*set_aside.framework);
            let agent = self.agents.get_mut(&*set_aside.agent);
            let (Some(framework), Some(agent)) = (framework, agent) else { continue };
            let id = format!("{}-O{}", self.id, self.next_offer);
            self.next_offer += 1;
            let format = crate::tasks::format(framework);
            let multi_role = framework.can(Cap::MultiRole);
            let resources = if multi_role {
                set_aside.resources.allocate(&set_aside.role, format)
            } else {
                set_aside.resources.to_messages_as(format)
            };
            let offer = Offer {
                id: OfferId { value: id.clone() },
                framework_id: FrameworkId { value: framework.id().to_owned() },
                agent_id: AgentId { value: set_aside.agent.to_string() },
                hostname: agent.info.hostname.clone(),
                url: Some(url_of(agent)),
                resources,
                attributes: agent.info.attributes.clone(),
                unavailability: self.policy.unavailability(&agent.machine()).copied(),
                domain: agent.info.domain.clone(),
                executor_ids: agent
                    .executors
                    .keys()
                    .filter(|(owner, _)| owner == framework.id())
                    .map(|(_, id)| ExecutorId { value: id.clone() })
                    .collect(),
                allocation_info: multi_role
                    .then(|| AllocationInfo { role: Some(set_aside.role.to_string()) }),
            };
            framework.offers.insert(id.clone(), ());
            framework.count("offers/sent");
            agent.offers.insert(id.clone());
            self.inverse.look_at(&set_aside.agent);
            if let Some(timeout) = self.config.offer_timeout {
                self.timers.set(Timer::Offer(id.clone()), now.time + timeout);
            }
            events.entry(set_aside.framework.clone()).or_default().push(offer.clone());
            let outstanding = Outstanding {
                offer,
                framework: set_aside.framework,
                agent: set_aside.agent,
                role: set_aside.role,
                resources: set_aside.resources,
            };
            self.offers.insert(id, outstanding);
            self.counters.offers += 1;
        }
        for (framework, offers) in events {
            let event = Event {
                r#type: Some(event::Type::Offers.into()),
                offers: Some(event::Offers { offers }),
                ..Default::default()
            };
            self.event(&framework, event, out);
        }
    }

    /// Ends an offer and gives back what it held. The framework is not told.
    pub(crate) fn take_back(&mut self, id: &str, refuse: Option<Duration>, now: Time) {
        if let Some(offer) = self.forget_offer(id) {
            self.allocator.recover(
                &offer.framework,
                &offer.agent,
                &offer.role,
                &offer.resources,
                refuse,
                now,
            );
        }
    }

    /// Ends an offer; what it held is now the caller's.
    pub(crate) fn forget_offer(&mut self, id: &str) -> Option<Outstanding> {
        let offer = self.offers.remove(id)?;
        self.timers.cancel(&Timer::Offer(id.to_owned()));
        if let Some(framework) = self.frameworks.get_mut(&*offer.framework) {
            framework.offers.remove(id);
        }
        if let Some(agent) = self.agents.get_mut(&*offer.agent) {
            agent.offers.remove(id);
        }
        Some(offer)
    }

    /// Ends an offer and tells its framework.
    pub(crate) fn rescind(&mut self, id: &str, now: Time, out: &mut Effects<Effect>) {
        let Some(framework) = self.offers.get(id).map(|o| o.framework.clone()) else { return };
        let offer_id = OfferId { value: id.to_owned() };
        let event = Event {
            r#type: Some(event::Type::Rescind.into()),
            rescind: Some(event::Rescind { offer_id }),
            ..Default::default()
        };
        self.event(&framework, event, out);
        if let Some(framework) = self.frameworks.get_mut(&*framework) {
            framework.count("offers/rescinded");
        }
        self.take_back(id, None, now);
    }

    pub(crate) fn decline(
        &mut self,
        framework: &str,
        decline: call::Decline,
        now: Time,
        _out: &mut Effects<Effect>,
    ) {
        let refuse = refusal(decline.filters.as_ref());
        for offer in decline.offer_ids {
            if self.offers.get(&offer.value).is_some_and(|o| &*o.framework == framework) {
                self.take_back(&offer.value, Some(refuse), now);
                if let Some(framework) = self.frameworks.get_mut(framework) {
                    framework.count("offers/declined");
                }
            }
        }
    }
}

/// Where an agent's own API is.
pub(crate) fn url_of(agent: &crate::Agent) -> Url {
    Url {
        scheme: "http".to_owned(),
        address: Address {
            hostname: Some(agent.info.hostname.clone()),
            ip: Some(agent.pid.address.ip().to_string()),
            port: i32::from(agent.pid.address.port()),
        },
        path: Some(format!("/{}", agent.pid.id)),
        ..Default::default()
    }
}

/// How long a framework refuses: 5 seconds unless it says otherwise; what is no duration counts as the default.
pub(crate) fn refusal(filters: Option<&Filters>) -> Duration {
    const DEFAULT: Duration = Duration::from_secs(5);
    let Some(seconds) = filters.and_then(|f| f.refuse_seconds) else { return DEFAULT };
    if seconds.is_nan() || seconds < 0.0 {
        return DEFAULT;
    }
    Duration::try_from_secs_f64(seconds).unwrap_or(TIMEOUT_MAX).min(TIMEOUT_MAX)
}
