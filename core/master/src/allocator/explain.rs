//! Why somebody has no offer: the stage that refused it on every agent, and by how much it was short.
//!
//! Asks the same questions as the allocation itself and changes nothing.

use super::{AgentWhy, Allocator, Stage, agents::Agent, quota::Round, sorter::ClientIx};
use model::resources::Resources;
use std::cmp::Ordering;

impl Allocator {
    /// For every agent how far a framework's role gets there, and what `wanted` lacks; the nearest miss first.
    pub fn explain(&self, framework: &str, role: &str, wanted: Option<&Resources>) -> Vec<AgentWhy> {
        let client = self.client_of(framework, role);
        let known = self.framework_of(framework).is_some();
        let mut answers: Vec<_> =
            self.agents.iter().map(|(_, agent)| self.why(agent, client, known, role, wanted)).collect();
        answers.sort_by(|a, b| nearer(a, b, wanted));
        answers
    }

    fn why(
        &self,
        agent: &Agent,
        client: Option<ClientIx>,
        known: bool,
        role: &str,
        wanted: Option<&Resources>,
    ) -> AgentWhy {
        let seat = client.and_then(|client| self.tree.clients.get(client.0));
        let free = match seat {
            Some(seat) => self.usable(agent, seat, role).into_owned(),
            None => agent.free.usable_by(role),
        };
        let mut stage = match client {
            Some(client) => {
                self.gate(agent, client, Round::Shares).map_or_else(|stage| stage, |_| Stage::Offerable)
            }
            None if known => Stage::NotSubscribed,
            None => Stage::FrameworkInactive,
        };
        let flat = free.flatten();
        let wanted = wanted.map(Resources::flatten).unwrap_or_default();
        let short_by = wanted
            .iter()
            .map(|item| item.kind.name().as_str())
            .map(|name| (name.to_owned(), wanted.milli(name) - flat.milli(name)))
            .filter(|(_, by)| *by > 0)
            .collect();
        if stage == Stage::Offerable
            && let Some(short) = flat.short_of(&wanted)
        {
            stage = Stage::TooSmall { short };
        }
        AgentWhy {
            agent: agent.id.clone(),
            hostname: agent.more.traits.hostname.clone(),
            stage,
            held: client.and_then(|client| agent.held_by(client)).cloned().unwrap_or_default(),
            fits_when_empty: agent.total.usable_by(role).flatten().contains(&wanted),
            free,
            short_by,
        }
    }
}

/// What could fit at all comes first, then what lacks the smallest part, then what got farthest.
fn nearer(a: &AgentWhy, b: &AgentWhy, wanted: Option<&Resources>) -> Ordering {
    let lacks = |why: &AgentWhy| {
        let part =
            |(name, by): &(String, i64)| *by as f64 / wanted.map_or(1, |all| all.milli(name)).max(1) as f64;
        why.short_by.iter().map(part).fold(0.0, f64::max)
    };
    let offerable = |why: &AgentWhy| matches!(why.stage, Stage::Offerable);
    offerable(b)
        .cmp(&offerable(a))
        .then_with(|| b.fits_when_empty.cmp(&a.fits_when_empty))
        .then_with(|| lacks(a).total_cmp(&lacks(b)))
        .then_with(|| b.stage.depth().cmp(&a.stage.depth()))
        .then_with(|| a.agent.cmp(&b.agent))
}
