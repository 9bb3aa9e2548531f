//! One allocation: looks at the agents and clients that changed and gives what is free to whoever is next.
//!
//! An agent left with something free was refused by everyone else: it is looked at again only when that can have changed.

use super::{
    Allocator, Offerable, Quantities, Stage,
    agents::Agent,
    filters::{AgentIx, refused},
    marks::Marks,
    quota::Round,
    roles::Node,
    sorter::{Client, ClientIx},
};
use base::{Rng, Time};
use model::resources::{Item, Name, Resources};
use std::{borrow::Cow, collections::BTreeSet};

/// Up to so many changed clients are compared one by one; more are found by walking the order.
const FEW: usize = 8;

/// So many agents are touched before their turn: 10,000 of them do not fit into a processor's nearer memory.
const AHEAD: usize = 16;

/// What has changed since the last allocation.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    /// Agents where more is free, for every client.
    pub agents: Marks,
    /// Clients that may take something anywhere.
    pub clients: BTreeSet<ClientIx>,
    /// Where a refusal ended.
    pub pairs: BTreeSet<(AgentIx, ClientIx)>,
    /// Whether all agents where something is free are to be looked at.
    pub everywhere: bool,
    /// Top-level roles whose limits leave more than before: all clients of theirs.
    pub limited: BTreeSet<String>,
}

impl Dirty {
    pub(super) fn is_empty(&self) -> bool {
        let who = self.clients.is_empty() && self.pairs.is_empty() && self.limited.is_empty();
        who && self.agents.is_empty() && !self.everywhere
    }
    /// Forgets an agent that is gone.
    pub(super) fn forget_agent(&mut self, agent: AgentIx) {
        self.agents.remove(agent);
        let low = (agent, ClientIx(0));
        let gone: Vec<_> = self.pairs.range(low..=(agent, ClientIx(u32::MAX))).copied().collect();
        gone.iter().for_each(|pair| {
            self.pairs.remove(pair);
        });
    }
}

impl Allocator {
    /// Sets aside what can be offered now. Looks only at what changed since the last time.
    pub fn allocate(&mut self, now: Time, rng: &mut Rng) -> Vec<Offerable> {
        if self.is_waiting() && self.awaited.is_some_and(|(_, until)| now < until) {
            return Vec::new();
        }
        self.awaited = None;
        let ended = self.filters.expire(&mut self.agents, now);
        match self.options.interval {
            None => self.dirty.pairs.extend(ended),
            Some(interval) => {
                let ended = Dirty { pairs: ended.into_iter().collect(), ..Dirty::default() };
                self.later.wait(ended, now, interval);
            }
        }
        self.later.over(now, &mut self.dirty);
        if self.dirty.is_empty() {
            return Vec::new();
        }
        if std::mem::take(&mut self.dirty.everywhere) {
            self.with_free.iter().for_each(|ix| self.dirty.agents.insert(ix));
        }
        // Whether so many clients may take something anywhere that they are not told apart.
        let mut many = false;
        for role in std::mem::take(&mut self.dirty.limited) {
            if self.tree.seated_count(&role) > FEW {
                many = true;
            } else {
                self.dirty.clients.extend(self.tree.seated(&role));
            }
        }
        let clients = std::mem::take(&mut self.dirty.clients);
        let pairs = std::mem::take(&mut self.dirty.pairs);
        if many || !clients.is_empty() {
            self.changes = self.changes.wrapping_add(1);
        }
        // Each agent once, with whether everyone is to be asked.
        let mut agents: Vec<(AgentIx, bool)> = Vec::new();
        let seldom = |agent: &AgentIx| !self.dirty.agents.contains(*agent);
        if clients.is_empty() && !many {
            agents.extend(pairs.iter().map(|(agent, _)| *agent).filter(seldom).map(|agent| (agent, false)));
            agents.dedup();
        } else {
            agents.extend(self.with_free.iter().filter(seldom).map(|agent| (agent, false)));
        }
        agents.extend(self.dirty.agents.drain().into_iter().map(|agent| (agent, true)));
        agents.retain(|(agent, _)| self.with_free.contains(*agent));
        if agents.is_empty() {
            return Vec::new();
        }
        self.tree.refresh();
        // No agent is always first, so that no framework always gets the same ones.
        rng.shuffle(&mut agents);
        let mut given = Vec::with_capacity(agents.len());
        if self.quotas.holds_back() {
            for (ix, _) in &agents {
                self.give_out(*ix, None, Round::Guarantees, rng, &mut given);
            }
        }
        for (at, (ix, everyone)) in agents.iter().copied().enumerate() {
            if at.is_multiple_of(AHEAD) {
                self.touch(&agents[at..agents.len().min(at + AHEAD)]);
            }
            let mut few: Vec<ClientIx> = Vec::new();
            if !everyone && !many {
                let low = (ix, ClientIx(0));
                let pairs = pairs.range(low..=(ix, ClientIx(u32::MAX))).map(|(_, client)| *client);
                few.extend(clients.iter().copied().chain(pairs).take(FEW + 1));
            }
            let few = (!everyone && !many && few.len() <= FEW).then_some(few);
            if few.is_none() && self.is_left(ix) {
                continue;
            }
            self.give_out(ix, few, Round::Shares, rng, &mut given);
        }
        given
    }

    /// Looks at what agents keep, one look independent of the other, so that memory brings it at once for all of them and
    /// not for each when its turn comes. Changes nothing.
    fn touch(&self, agents: &[(AgentIx, bool)]) {
        let mut seen = 0;
        for (ix, _) in agents {
            let agent = &self.agents[*ix];
            seen += usize::from(agent.free.totals().shared) + agent.id.len();
            seen += agent.refusals.first().map_or(0, |refusal| usize::from(refusal.is_of(ClientIx(0))));
        }
        std::hint::black_box(seen);
    }

    /// Whether everyone was asked before and nobody took what is free now, or more of it.
    fn is_left(&self, ix: AgentIx) -> bool {
        let agent = &self.agents[ix];
        let same = agent.left_after == self.changes && self.quotas.is_empty();
        same && !agent.shared && agent.left.contains(&agent.free)
    }

    /// Gives away what is free on one agent, to one client after the other as long as there are takers.
    fn give_out(
        &mut self,
        ix: AgentIx,
        mut few: Option<Vec<ClientIx>>,
        round: Round,
        rng: &mut Rng,
        given: &mut Vec<Offerable>,
    ) {
        while !self.agents[ix].free.is_empty() {
            let agent = &self.agents[ix];
            let mut taken = Cow::Owned(Resources::new());
            let away = self.fits.kept_away(agent.kind);
            let mut takes = |client: ClientIx| {
                // The same as the gate says, and sooner.
                if away.is_some_and(|away| away.contains(client.0)) {
                    return false;
                }
                match self.gate(agent, client, round) {
                    Ok(resources) => {
                        taken = resources;
                        true
                    }
                    Err(_) => false,
                }
            };
            let next = match &mut few {
                None if self.tree.is_random() => self.tree.first_at_random(rng, &mut takes),
                None => match self.fits.few(agent.kind) {
                    Some(suited) => self.tree.first_of(suited, &mut takes),
                    None => self.first(agent, round, &mut takes),
                },
                Some(few) if self.tree.is_random() => {
                    self.tree.first_at_random(rng, &mut |client| few.contains(&client) && takes(client))
                }
                Some(few) => {
                    // Who can't take now can't take less either, until something changes.
                    few.retain(|client| self.gate(agent, *client, round).is_ok());
                    let next = if few.len() > 1 {
                        few.iter().copied().min_by_key(|client| self.tree.standing(*client))
                    } else {
                        few.first().copied()
                    };
                    next.filter(|client| takes(*client))
                }
            };
            let Some(client) = next else {
                if few.is_none() && round == Round::Shares {
                    let agent = &mut self.agents[ix];
                    (agent.left, agent.left_after) = (agent.free.clone(), self.changes);
                }
                break;
            };
            // Mostly it is all that is free: that changes hands as it is.
            let part = match taken {
                Cow::Borrowed(_) => None,
                Cow::Owned(part) => Some(part),
            };
            let resources = match part {
                None if !self.agents[ix].shared => self.hand_over_all(ix, client),
                part => self.hand_over(ix, client, part),
            };
            given.push(self.offerable(ix, client, resources));
        }
    }

    /// The first in the order of a round that takes something of an agent.
    fn first(
        &self,
        agent: &Agent,
        round: Round,
        takes: &mut impl FnMut(ClientIx) -> bool,
    ) -> Option<ClientIx> {
        if self.quotas.is_empty() {
            return self.tree.first(&|_| true, takes);
        }
        let open = |role: &Node| self.is_open(agent, role, round);
        match round {
            Round::Guarantees => self.tree.first_among(self.quotas.short(), &open, takes),
            Round::Shares => self.tree.first(&open, takes),
        }
    }

    /// Whether a quota leaves anything of an agent to the clients of a role, whoever they are.
    fn is_open(&self, agent: &Agent, role: &Node, round: Round) -> bool {
        if !agent.uniform {
            return true;
        }
        let cut = self.quotas.cut(Cow::Borrowed(&agent.free), &role.path, round);
        // Of a role at its limit there are ports and disk left, which are too little for an offer.
        !cut.is_empty() && (holds_one_of(&cut, &self.least) || self.own_least.contains_key(&*role.path))
    }

    fn offerable(&self, ix: AgentIx, client: ClientIx, resources: Resources) -> Offerable {
        let to = &self.tree.clients[client.0];
        Offerable {
            framework: self.frameworks[to.framework].id.clone(),
            role: self.tree.nodes[to.node].path.clone(),
            agent: self.agents[ix].id.clone(),
            resources,
        }
    }

    fn hand_over_all(&mut self, ix: AgentIx, client: ClientIx) -> Resources {
        let (resources, new) = self.agents[ix].give_all(client);
        self.handed_over(ix, client, &resources, None, new);
        resources
    }

    fn hand_over(&mut self, ix: AgentIx, client: ClientIx, part: Option<Resources>) -> Resources {
        let resources = part.unwrap_or_else(|| self.agents[ix].free.clone());
        let before = self.shared_share(ix, client, &resources);
        let new = self.agents[ix].give(client, &resources);
        self.handed_over(ix, client, &resources, before, new);
        resources
    }

    fn handed_over(
        &mut self,
        ix: AgentIx,
        client: ClientIx,
        resources: &Resources,
        before: Option<Resources>,
        new: bool,
    ) {
        if self.agents[ix].free.is_empty() {
            self.with_free.remove(ix);
        }
        if new {
            self.tree.clients[client.0].holds += 1;
        }
        self.shift_share(ix, client, before, resources, true);
        if !self.quotas.is_empty() {
            self.held(client, resources, 1);
            self.recount(ix);
        }
    }

    /// What a client may be given of an agent now, or the first thing that stands in the way.
    pub(super) fn gate<'a>(
        &'a self,
        agent: &'a Agent,
        client: ClientIx,
        round: Round,
    ) -> Result<Cow<'a, Resources>, Stage> {
        let Some(seat) = self.tree.clients.get(client.0) else { return Err(Stage::FrameworkInactive) };
        self.admit(agent, client, seat)?;
        let role = &self.tree.nodes[seat.node].path;
        let free = self.usable(agent, seat, role);
        // What is shared is offered beside something else, never alone: it stays free and would be offered for ever.
        if free.is_empty() || (agent.shared && free.not_shared().is_empty()) {
            return Err(Stage::NothingFree);
        }
        let free = if self.quotas.is_empty() { free } else { self.quotas.cut(free, role, round) };
        if free.is_empty() || (agent.shared && free.not_shared().is_empty()) {
            return Err(Stage::QuotaHeldBack);
        }
        let framework = &self.frameworks[seat.framework];
        let own = if framework.picky { framework.terms.min_allocatable.get(&**role) } else { None };
        let enough = match own {
            Some(least) => {
                let holds = |one: &Quantities| {
                    one.iter().all(|(name, milli)| free.quantity(&name.as_str().into()) >= *milli)
                };
                least.is_empty() || least.iter().any(holds)
            }
            None => holds_one_of(&free, &self.least),
        };
        if !enough {
            return Err(Stage::BelowMinimum);
        }
        match refused(&agent.refusals, client, &free) {
            Some(until) => Err(Stage::Declined { until }),
            None => Ok(free),
        }
    }

    /// Whether client and agent go together at all, whatever is free.
    fn admit(&self, agent: &Agent, client: ClientIx, seat: &Client) -> Result<(), Stage> {
        let framework = &self.frameworks[seat.framework];
        let caps = framework.capabilities;
        if !framework.active {
            Err(Stage::FrameworkInactive)
        } else if !seat.subscribed {
            Err(Stage::NotSubscribed)
        } else if seat.suppressed {
            Err(Stage::Suppressed)
        } else if !agent.active {
            Err(Stage::AgentInactive)
        } else if caps.multi_role && !agent.multi_role {
            Err(Stage::MultiRoleNotUnderstood)
        } else if !agent.hierarchical_roles && self.tree.nodes[seat.node].path.contains('/') {
            Err(Stage::RoleNotUnderstood)
        } else if agent.remote_region && !caps.regions {
            Err(Stage::OtherRegion)
        } else if self.options.filter_gpu && agent.gpus && !caps.gpu {
            Err(Stage::GpuKept)
        } else if !framework.picky {
            Ok(())
        } else {
            let fits = self.fits.is_for(agent.kind, client).unwrap_or_else(|| {
                let role = &self.tree.nodes[seat.node].path;
                let constraints = framework.terms.constraints.as_ref();
                constraints.is_none_or(|constraints| constraints.admit(role, &agent.more.traits))
            });
            if fits { Ok(()) } else { Err(Stage::ConstraintsUnmet) }
        }
    }

    /// The part of what is free that this role and framework may have.
    pub(super) fn usable<'a>(&self, agent: &'a Agent, seat: &Client, role: &str) -> Cow<'a, Resources> {
        if agent.uniform {
            return Cow::Borrowed(&agent.free);
        }
        let caps = self.frameworks[seat.framework].capabilities;
        let may = |item: &Item| {
            item.kind.usable_by(role)
                && (caps.revocable || !item.kind.is_revocable())
                && (caps.shared || !item.kind.is_shared())
                && (caps.refinement || item.kind.reservations().len() < 2)
        };
        if agent.free.iter().all(may) {
            return Cow::Borrowed(&agent.free);
        }
        Cow::Owned(agent.free.filter(may))
    }
}

fn holds_one_of(free: &Resources, least: &[Vec<(Name, i64)>]) -> bool {
    let holds = |one: &Vec<(Name, i64)>| one.iter().all(|(name, milli)| free.quantity(name) >= *milli);
    least.is_empty() || least.iter().any(holds)
}
