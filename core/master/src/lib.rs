//! The master: knows the agents and divides their resources among frameworks by offers. This file is the table
//! input → handler, nothing else. Never: HTTP, bytes, clocks, disks.

mod accept;
mod agents;
pub mod allocator;
mod breakdown;
mod calls;
mod config;
mod counters;
mod drivers;
mod effect;
mod endings;
mod frameworks;
mod inbox;
mod input;
mod invariants;
mod inverse;
mod listed;
mod losses;
mod messages;
mod offers;
mod operations;
mod operator;
mod policy;
mod reconcile;
mod registry;
mod saves;
mod speak;
mod state;
mod subscribers;
mod tasks;
mod timers;
mod updates;
mod validate;
mod view;

pub use breakdown::{Breakdown, Held, breakdowns, breakdowns_with, known_roles, role_messages};
pub use config::{Config, HEARTBEAT_INTERVAL, VERSION};
pub use counters::{Counters, EventCounts};
pub use effect::Effect;
pub use input::Input;
pub use messages::{Tables, usage};
pub use operator::{OperatorCall, Quantities};
pub use policy::Policy;
pub use state::{Agent, Framework, OperationUuid, Outstanding, Session, Stream, is_terminal, roles};
pub use subscribers::{Subscribers, Told};
pub use validate::{call as validate_call, command as validate_command, container as validate_container};
pub use view::View;

use allocator::Allocator;
use base::{Effects, Machine, Now, Table, Time};
use model::{link::Upid, save::Records};
use saves::Saves;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};
use timers::{Timer, Timers};

/// After a restart with quotas offers wait for so many of the agents of the registry (hierarchical.hpp,
/// `DEFAULT_ALLOCATOR_AGENT_RECOVERY_FACTOR`), …
const AWAITED_PERCENT: usize = 80;
/// … and no longer than this (`ALLOCATION_HOLD_OFF_RECOVERY_TIMEOUT`).
const AWAITED_FOR: base::Duration = base::Duration::from_secs(600);

/// An agent that is pinged.
#[derive(Debug)]
struct Pings {
    agent: String,
    missed: u32,
}

/// The master as a value.
#[derive(Debug)]
pub struct Master {
    config: Arc<Config>,
    id: String,
    started: Time,
    frameworks: Table<String, Framework>,
    completed_frameworks: VecDeque<Arc<Framework>>,
    /// Ids of ended frameworks, from before this start too; oldest first.
    ended: VecDeque<String>,
    agents: Table<String, Agent>,
    /// Pings of agents without a pong, by the process that pings.
    pings: BTreeMap<String, Pings>,
    /// Agents of the registry that have not come back since the master's start.
    recovering: Table<String, model::mesos::AgentInfo>,
    /// Agents that are given up, once that is durable.
    leaving: BTreeSet<String>,
    /// Agents that owe something and of which something became free in this step.
    freed: BTreeSet<String>,
    /// Frameworks that are ended, once that is durable.
    ending: BTreeSet<String>,
    unreachable: BTreeMap<String, Time>,
    offers: Table<String, Outstanding>,
    inverse: inverse::Inverse,
    allocator: Allocator,
    timers: Timers,
    saves: Saves,
    policy: Arc<Policy>,
    operator: operator::Queue,
    subscribers: Subscribers,
    next_framework: u64,
    next_agent: u64,
    next_offer: u64,
    next_observer: u64,
    counters: Counters,
}

impl Master {
    /// A master that starts with what an earlier one made durable.
    pub fn new(config: Config, records: &Records, now: Now<'_>) -> Self {
        let (recovered, broken) = registry::Recovered::read(records);
        let mut master = Self {
            id: now.rng.uuid().to_string(),
            started: now.time,
            frameworks: Table::new(),
            completed_frameworks: VecDeque::new(),
            ended: recovered.completed.into(),
            agents: Table::new(),
            pings: BTreeMap::new(),
            recovering: Table::new(),
            leaving: BTreeSet::new(),
            freed: BTreeSet::new(),
            ending: BTreeSet::new(),
            unreachable: recovered.unreachable.into_iter().map(|id| (id, now.time)).collect(),
            offers: Table::new(),
            inverse: inverse::Inverse::default(),
            allocator: Allocator::new(config.allocation.clone()),
            timers: Timers::default(),
            saves: Saves::default(),
            policy: Arc::new(recovered.policy),
            operator: operator::Queue::default(),
            subscribers: Subscribers::default(),
            next_framework: 0,
            next_agent: 0,
            next_offer: 0,
            next_observer: 0,
            counters: Counters { registry_records_broken: broken as u64, ..Counters::default() },
            config: Arc::new(config),
        };
        if master.policy.weights.is_empty() {
            let weights = master.config.weights.iter().cloned().collect();
            Arc::make_mut(&mut master.policy).weights = weights;
        }
        for (role, weight) in &master.policy.weights {
            master.allocator.set_weight(role, *weight);
        }
        master.bind_quotas(&master.policy.quotas.values().cloned().collect::<Vec<_>>());
        for info in recovered.agents {
            let Some(id) = info.id.as_ref().map(|id| id.value.clone()) else { continue };
            if !master.unreachable.contains_key(&id) && !master.policy.gone.contains_key(&id) {
                master.timers.set(Timer::Reregister(id.clone()), now.time + master.config.reregister_timeout);
                master.recovering.insert(id, info);
            }
        }
        let awaited = master.recovering.len() * AWAITED_PERCENT / 100;
        if awaited > 0 && !master.policy.quotas.is_empty() {
            master.allocator.await_agents(awaited, now.time + AWAITED_FOR);
        }
        for info in recovered.frameworks {
            master.recover_framework(info, now.time);
        }
        master
    }

    /// The process that speaks for the master.
    fn me(&self) -> Upid {
        Upid::new("master", self.config.address)
    }

    fn due(&mut self, now: Time, out: &mut Effects<Effect>) {
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Heartbeat(framework) => self.heartbeat(&framework, now, out),
                Timer::Failover(framework) => {
                    self.end_framework(&framework, None, now, out);
                }
                Timer::Ping(agent) => self.ping(&agent, now, out),
                Timer::Offer(offer) => self.rescind(&offer, now, out),
                Timer::InverseOffer(framework, offer) => self.rescind_inverse(&framework, &offer, out),
                Timer::InverseRefusal(agent, _) => self.inverse.look_at(&agent),
                Timer::Reregister(agent) => self.give_up_waiting(&agent, out),
                Timer::OperatorHeartbeat(stream) => self.operator_heartbeat(stream, now, out),
                Timer::SaveAgain => self.save_again(out),
            }
        }
    }
}

impl Machine for Master {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, mut now: Now<'_>, input: Input, out: &mut Effects<Effect>) {
        let at = now.time;
        self.due(at, out);
        match input {
            Input::Scheduler { request, accept, stream_id, call } => {
                self.call(&mut now, request, accept, stream_id.as_deref(), *call, out);
            }
            Input::Teardown { request, framework_id } => {
                self.operator_teardown(request, &framework_id, at, out)
            }
            Input::Operation { request, agent_id, operation, principal } => {
                self.operator_operation(&mut now, request, &agent_id, *operation, principal.as_deref(), out);
            }
            Input::Operator { request, call } => self.operator_call(request, call, at, out),
            Input::StreamClosed { stream } => self.stream_closed(stream, at, out),
            Input::Message(envelope) => self.message(&mut now, *envelope, out),
            Input::Exited { peer } => self.exited(peer, at, out),
            Input::Saved { save } => self.saved(&mut now, save, out),
            Input::SaveFailed { save, why } => self.save_failed(save, &why, at, out),
            Input::Tick => {}
        }
        self.pay_what_is_owed(at, out);
        self.look_for_drained(at, out);
        self.make_offers(&mut now, out);
        self.make_inverse_offers(at, out);
    }

    fn deadline(&self) -> Option<(Time, &'static str)> {
        let timer = self.timers.next().map(|at| (at, "a timer"));
        let refusal = self.allocator.next_deadline().map(|at| (at, "a refusal ends"));
        [timer, refusal].into_iter().flatten().min()
    }

    fn check(&self) {
        invariants::all(self);
    }
}
