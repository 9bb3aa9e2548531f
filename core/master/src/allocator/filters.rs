//! What was declined and until when: by agent and client, with the instants at which refusals end.
//!
//! Ends are kept in heaps by instant and not one by one: what is dropped earlier stays in its heap until that is due, or
//! until nothing that holds is in it.
//!
//! A refusal holds for offers that lie within what was declined, and for those alone: when more became free, it does not.

use super::{agents::Agent, roles::Slab, sorter::ClientIx};
use base::Time;
use model::resources::Resources;
use std::{collections::BTreeMap, ops::Range};

/// An agent's place in the list of agents.
pub(super) type AgentIx = u32;

/// Different sets that one client may have declined on one agent; beyond it the one that ends first is dropped.
const REFUSALS_MAX: usize = 64;

/// Ends of refusals are rounded up to this, so that a burst of them is one look.
const END_GRAIN_NANOS: u64 = 10_000_000;

/// One client's, of which an agent has as many as there are.
#[derive(Debug)]
pub(super) struct Refusal {
    client: ClientIx,
    until: Time,
    declined: Resources,
}

impl Refusal {
    /// Whose it is.
    pub(super) fn client(&self) -> ClientIx {
        self.client
    }
    /// Whether it is that client's.
    pub(super) fn is_of(&self, client: ClientIx) -> bool {
        self.client == client
    }
}

/// The refusals that end at one instant.
#[derive(Debug, Default)]
struct Heap {
    /// How many of them hold.
    live: usize,
    pairs: Vec<(AgentIx, ClientIx)>,
    /// At this length pairs are looked through for doubles.
    tidy_at: usize,
}

/// Shorter heaps are not tidied.
const TIDY_MIN: usize = 64;

impl Heap {
    fn add(&mut self, pair: (AgentIx, ClientIx)) {
        self.live += 1;
        self.pairs.push(pair);
        // As long as most of them hold there is little to gain.
        if self.pairs.len() >= self.tidy_at.max(TIDY_MIN).max(2 * self.live) {
            self.pairs.sort_unstable();
            self.pairs.dedup();
            self.tidy_at = self.pairs.len() * 2;
        }
    }
}

/// On which agents a client has declined something. As with ends, what is dropped may stay in it for a while.
#[derive(Debug, Default)]
struct Refused {
    /// On how many.
    live: usize,
    /// At least those, some perhaps several times.
    agents: Vec<AgentIx>,
}

/// All refusals that hold: they stand in the agents, by client; where and until when, here.
#[derive(Debug, Default)]
pub(super) struct Filters {
    /// By client: the agents.
    clients: Vec<Refused>,
    ends: BTreeMap<Time, Heap>,
}

/// One refusal less holds of those that end then.
fn drop_end(ends: &mut BTreeMap<Time, Heap>, until: Time) {
    if let Some(heap) = ends.get_mut(&until) {
        heap.live -= 1;
        if heap.live == 0 {
            ends.remove(&until);
        }
    }
}

/// Where the refusals of a client stand.
fn of(on_agent: &[Refusal], client: ClientIx) -> Range<usize> {
    let begin = on_agent.partition_point(|refusal| refusal.client < client);
    let own = on_agent[begin..].iter().take_while(|refusal| refusal.client == client);
    begin..begin + own.count()
}

/// Until when a client refuses an offer of `offered`, if it does.
pub(super) fn refused(on_agent: &[Refusal], client: ClientIx, offered: &Resources) -> Option<Time> {
    let own = &on_agent[of(on_agent, client)];
    own.iter().filter(|refusal| refusal.declined.contains(offered)).map(|refusal| refusal.until).max()
}

impl Filters {
    /// A client declined `declined` on an agent, until then.
    pub(super) fn refuse(
        &mut self,
        agents: &mut Slab<Agent>,
        agent: AgentIx,
        client: ClientIx,
        declined: &Resources,
        until: Time,
    ) {
        let until = Time::from_nanos(
            until.as_nanos().checked_next_multiple_of(END_GRAIN_NANOS).unwrap_or(until.as_nanos()),
        );
        let on_agent = &mut agents[agent].refusals;
        // Frameworks decline the same set one after the other: keep it once.
        let same = on_agent.last().filter(|refusal| refusal.declined == *declined);
        let declined = same.map_or(declined, |refusal| &refusal.declined).clone();
        let Range { start, mut end } = of(on_agent, client);
        let known = start < end;
        let mut dropped = false;
        if on_agent[start..end].iter().any(|old| old.until >= until && old.declined.contains(&declined)) {
            return;
        }
        for at in (start..end).rev() {
            if on_agent[at].until <= until && declined.contains(&on_agent[at].declined) {
                drop_end(&mut self.ends, on_agent.remove(at).until);
                end -= 1;
            }
        }
        if end - start >= REFUSALS_MAX
            && let Some(first) = (start..end).min_by_key(|at| on_agent[*at].until)
        {
            drop_end(&mut self.ends, on_agent.remove(first).until);
            end -= 1;
            dropped = true;
        }
        on_agent.insert(end, Refusal { client, until, declined });
        if dropped {
            agents[agent].left = Resources::new();
        }
        self.ends.entry(until).or_default().add((agent, client));
        let at = client.0 as usize;
        if self.clients.len() <= at {
            self.clients.resize_with(at + 1, Refused::default);
        }
        if known {
            return;
        }
        let refused = &mut self.clients[at];
        refused.agents.push(agent);
        refused.live += 1;
        if refused.agents.len() > (2 * refused.live).max(TIDY_MIN) {
            refused.agents.sort_unstable();
            refused.agents.dedup();
            refused.agents.retain(|agent| {
                agents.get(*agent).is_some_and(|agent| !of(&agent.refusals, client).is_empty())
            });
        }
    }
    /// Drops what has ended and says where.
    pub(super) fn expire(&mut self, agents: &mut Slab<Agent>, now: Time) -> Vec<(AgentIx, ClientIx)> {
        let mut ended = Vec::new();
        while let Some(first) = self.ends.first_entry() {
            if *first.key() > now {
                break;
            }
            for (agent, client) in first.remove().pairs {
                let Some(on_agent) = agents.get_mut(agent).map(|agent| &mut agent.refusals) else { continue };
                let own = of(on_agent, client);
                let holds = on_agent[own.clone()].iter().filter(|refusal| refusal.until > now).count();
                if holds == own.len() {
                    continue;
                }
                for at in own.rev() {
                    if on_agent[at].until <= now {
                        on_agent.remove(at);
                    }
                }
                if let Some(agent) = agents.get_mut(agent) {
                    agent.left = Resources::new();
                }
                if holds == 0 {
                    self.forgotten(client);
                }
                ended.push((agent, client));
            }
        }
        ended
    }
    fn forget(&mut self, agents: &mut Slab<Agent>, agent: AgentIx, client: ClientIx) {
        let Some(on_agent) = agents.get_mut(agent).map(|agent| &mut agent.refusals) else { return };
        let own = of(on_agent, client);
        if own.is_empty() {
            return;
        }
        for refusal in on_agent.drain(own) {
            drop_end(&mut self.ends, refusal.until);
        }
        self.forgotten(client);
    }
    /// A client has declined nothing on an agent any more.
    fn forgotten(&mut self, client: ClientIx) {
        let Some(refused) = self.clients.get_mut(client.0 as usize) else { return };
        refused.live -= 1;
        if refused.live == 0 {
            refused.agents.clear();
        }
    }
    /// Drops everything a client declined.
    pub(super) fn drop_client(&mut self, agents: &mut Slab<Agent>, client: ClientIx) {
        let refused = self.clients.get_mut(client.0 as usize);
        let places = refused.map(|refused| std::mem::take(&mut refused.agents)).unwrap_or_default();
        places.into_iter().for_each(|agent| self.forget(agents, agent, client));
    }
    /// Takes away what was declined on an agent, to be put back when it is there again.
    pub(super) fn take_agent(&mut self, agents: &mut Slab<Agent>, agent: AgentIx) -> Vec<Refusal> {
        let Some(on_agent) = agents.get_mut(agent).map(|agent| std::mem::take(&mut agent.refusals)) else {
            return Vec::new();
        };
        for refusals in on_agent.chunk_by(|a, b| a.client == b.client) {
            refusals.iter().for_each(|refusal| drop_end(&mut self.ends, refusal.until));
            self.forgotten(refusals[0].client);
        }
        on_agent
    }
    pub(super) fn put_back(&mut self, agents: &mut Slab<Agent>, agent: AgentIx, refusal: Refusal) {
        self.refuse(agents, agent, refusal.client, &refusal.declined, refusal.until);
    }
    /// Drops everything declined on an agent.
    pub(super) fn drop_agent(&mut self, agents: &mut Slab<Agent>, agent: AgentIx) {
        let on_agent = agents.get(agent).map(|agent| &agent.refusals);
        let mut clients: Vec<_> = on_agent.into_iter().flatten().map(|refusal| refusal.client).collect();
        clients.dedup();
        clients.into_iter().for_each(|client| self.forget(agents, agent, client));
    }
    /// On how many agents a client has declined something.
    pub(super) fn agents_refused_by(&self, client: ClientIx) -> usize {
        self.clients.get(client.0 as usize).map_or(0, |refused| refused.live)
    }
    /// When the next refusal ends.
    pub(super) fn next_end(&self) -> Option<Time> {
        self.ends.first_key_value().map(|(until, _)| *until)
    }
    /// Panics unless the three indexes say the same.
    pub(super) fn check(&self, agents: &Slab<Agent>) {
        let mut live = BTreeMap::<Time, usize>::new();
        let mut pairs = 0;
        for (agent, on_agent) in agents.iter().map(|(ix, agent)| (ix, &agent.refusals)) {
            assert!(on_agent.is_sorted_by_key(|refusal| refusal.client));
            for refusals in on_agent.chunk_by(|a, b| a.client == b.client) {
                let client = refusals[0].client;
                assert!(refusals.len() <= REFUSALS_MAX);
                let refused = self.clients.get(client.0 as usize);
                assert!(refused.is_some_and(|refused| refused.agents.contains(&agent)));
                for refusal in refusals {
                    *live.entry(refusal.until).or_default() += 1;
                    assert!(self.ends[&refusal.until].pairs.contains(&(agent, client)));
                }
                pairs += 1;
            }
        }
        assert!(
            live.iter().eq(self
                .ends
                .iter()
                .map(|(until, heap)| (until, &heap.live))
                .collect::<BTreeMap<_, _>>())
        );
        assert_eq!(pairs, self.clients.iter().map(|refused| refused.live).sum::<usize>());
    }
}
