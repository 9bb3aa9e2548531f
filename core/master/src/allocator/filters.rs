//! What was declined and until when: by agent and client, with the instants at which refusals end.
//!
//! A refusal holds for offers that lie within what was declined, and for those alone: when more became free, it does not.

use super::sorter::ClientIx;
use base::Time;
use model::resources::Resources;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// An agent's place in the list of agents.
pub(super) type AgentIx = u32;

/// Different sets that one client may have declined on one agent; beyond it the one that ends first is dropped.
const REFUSALS_MAX: usize = 64;

/// Ends of refusals are rounded up to this, so that a burst of them is one look.
const END_GRAIN_NANOS: u64 = 10_000_000;

#[derive(Debug)]
struct Refusal {
    until: Time,
    declined: Arc<Resources>,
}

/// All refusals that hold.
#[derive(Debug, Default)]
pub(super) struct Filters {
    /// By agent.
    agents: Vec<BTreeMap<ClientIx, Vec<Refusal>>>,
    clients: BTreeMap<ClientIx, BTreeSet<AgentIx>>,
    ends: BTreeSet<(Time, AgentIx, ClientIx)>,
}

impl Filters {
    /// A client declined `declined` on an agent, until then.
    pub(super) fn refuse(&mut self, agent: AgentIx, client: ClientIx, declined: &Resources, until: Time) {
        let until = Time::from_nanos(
            until.as_nanos().checked_next_multiple_of(END_GRAIN_NANOS).unwrap_or(until.as_nanos()),
        );
        if self.agents.len() <= agent as usize {
            self.agents.resize_with(agent as usize + 1, BTreeMap::new);
        }
        let on_agent = &mut self.agents[agent as usize];
        // Frameworks decline the same set one after the other: keep it once.
        let same = on_agent.values().next_back().and_then(|refusals| refusals.last());
        let declined = match same {
            Some(refusal) if *refusal.declined == *declined => refusal.declined.clone(),
            _ => Arc::new(declined.clone()),
        };
        let refusals = on_agent.entry(client).or_default();
        if refusals.iter().any(|old| old.until >= until && old.declined.contains(&declined)) {
            return;
        }
        refusals.retain(|old| {
            let keep = old.until > until || !declined.contains(&old.declined);
            if !keep {
                self.ends.remove(&(old.until, agent, client));
            }
            keep
        });
        if refusals.len() >= REFUSALS_MAX
            && let Some(first) = (0..refusals.len()).min_by_key(|at| refusals[*at].until)
        {
            let old = refusals.swap_remove(first);
            self.ends.remove(&(old.until, agent, client));
        }
        refusals.push(Refusal { until, declined });
        // Two refusals may end at one instant and share an entry: all that is left gets one.
        for refusal in refusals.iter() {
            self.ends.insert((refusal.until, agent, client));
        }
        self.clients.entry(client).or_default().insert(agent);
    }
    /// Until when an offer of `offered` is refused, if it is.
    pub(super) fn refused(&self, agent: AgentIx, client: ClientIx, offered: &Resources) -> Option<Time> {
        let refusals = self.agents.get(agent as usize)?.get(&client)?;
        refusals
            .iter()
            .filter(|refusal| refusal.declined.contains(offered))
            .map(|refusal| refusal.until)
            .max()
    }
    /// Drops what has ended and says where.
    pub(super) fn expire(&mut self, now: Time) -> Vec<(AgentIx, ClientIx)> {
        let mut ended = Vec::new();
        while let Some(&(until, agent, client)) = self.ends.first() {
            if until > now {
                break;
            }
            self.ends.pop_first();
            let Some(on_agent) = self.agents.get_mut(agent as usize) else { continue };
            let Some(refusals) = on_agent.get_mut(&client) else { continue };
            refusals.retain(|refusal| refusal.until > now);
            let none = refusals.is_empty();
            if none {
                self.forget(agent, client);
            }
            ended.push((agent, client));
        }
        ended
    }
    fn forget(&mut self, agent: AgentIx, client: ClientIx) {
        if let Some(on_agent) = self.agents.get_mut(agent as usize) {
            for refusal in on_agent.remove(&client).into_iter().flatten() {
                self.ends.remove(&(refusal.until, agent, client));
            }
        }
        if let Some(agents) = self.clients.get_mut(&client) {
            agents.remove(&agent);
            if agents.is_empty() {
                self.clients.remove(&client);
            }
        }
    }
    /// Drops everything a client declined.
    pub(super) fn drop_client(&mut self, client: ClientIx) {
        for agent in self.clients.remove(&client).unwrap_or_default() {
            self.forget(agent, client);
        }
    }
    /// Drops everything declined on an agent.
    pub(super) fn drop_agent(&mut self, agent: AgentIx) {
        let clients: Vec<_> =
            self.agents.get(agent as usize).into_iter().flat_map(|on| on.keys().copied()).collect();
        for client in clients {
            self.forget(agent, client);
        }
    }
    /// Drops what some clients declined on an agent.
    pub(super) fn drop_where(&mut self, agent: AgentIx, which: impl Fn(ClientIx) -> bool) {
        let on_agent = self.agents.get(agent as usize);
        let clients: Vec<_> =
            on_agent.into_iter().flat_map(BTreeMap::keys).copied().filter(|c| which(*c)).collect();
        clients.into_iter().for_each(|client| self.forget(agent, client));
    }
    /// When the next refusal ends.
    pub(super) fn next_end(&self) -> Option<Time> {
        self.ends.first().map(|(until, _, _)| *until)
    }
    /// Panics unless the three indexes say the same.
    pub(super) fn check(&self) {
        let mut ends = BTreeSet::new();
        let mut pairs = 0;
        for (agent, on_agent) in (0..).zip(&self.agents) {
            for (client, refusals) in on_agent {
                assert!(!refusals.is_empty() && refusals.len() <= REFUSALS_MAX);
                assert!(self.clients.get(client).is_some_and(|agents| agents.contains(&agent)));
                ends.extend(refusals.iter().map(|refusal| (refusal.until, agent, *client)));
                pairs += 1;
            }
        }
        assert_eq!(ends, self.ends, "every refusal has its end and no end is without");
        assert_eq!(pairs, self.clients.values().map(BTreeSet::len).sum::<usize>());
    }
}
