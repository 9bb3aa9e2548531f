//! Calls of the operator API that change something: which handler validates, what is made durable, what follows.
//!
//! Never: how they came in (`endpoints`: the same calls stand behind `/api/v1` and the older endpoints).

mod drain;
mod maintenance;
mod quantities;
mod quota;
mod quota_kept;
mod weights;

pub use quantities::Quantities;

use crate::{Effect, Master, losses::Loss, policy, saves::Then};
use base::{Effects, Time};
use model::{
    mesos::{
        DrainConfig, MachineId, WeightInfo,
        maintenance::Schedule,
        quota::{QuotaConfig, QuotaRequest},
    },
    request::{Answer, Body, Codec, Http, RequestId},
    save::Change,
};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

/// Calls that may wait for earlier ones to be durable; more are refused.
const WAITING_MAX: usize = 1024;

/// Calls are decided one after another, each on what the one before left: two that don't go together can't both pass.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: VecDeque<(RequestId, OperatorCall)>,
    /// One is decided and not yet durable.
    busy: bool,
    /// Agents whose end of draining is decided and not yet durable.
    pub(crate) drained: BTreeSet<String>,
}

/// A call that changes something, decoded and valid in its shape.
#[derive(Debug)]
pub enum OperatorCall {
    /// Open an event stream.
    Subscribe(Codec),
    /// Set weights of roles.
    UpdateWeights(Vec<WeightInfo>),
    /// Guarantee resources to a role that has no quota, and limit it to them.
    SetQuota(QuotaRequest),
    /// A role has no quota any more. `path` is the old endpoint's, for its error texts.
    RemoveQuota {
        /// Which role.
        role: String,
        /// Where the call came in, if not at `/api/v1`.
        path: Option<String>,
    },
    /// Guarantees and limits of roles, all or none.
    UpdateQuota {
        /// Whether they may lie beyond what there is, or below what is used.
        force: bool,
        /// By role.
        configs: Vec<QuotaConfig>,
    },
    /// Replace the maintenance schedule.
    UpdateSchedule(Schedule),
    /// Machines go down: their agents are removed.
    StartMaintenance(Vec<MachineId>),
    /// Machines may come back.
    StopMaintenance(Vec<MachineId>),
    /// End all tasks of an agent, and make no offers of it.
    Drain {
        /// Which agent.
        agent: String,
        /// How.
        config: DrainConfig,
    },
    /// Make no offers of an agent.
    Deactivate(String),
    /// Make offers of an agent again.
    Reactivate(String),
    /// An agent and its tasks never come back.
    MarkGone(String),
}

/// A valid call that waits to be durable.
#[derive(Clone, Debug)]
pub(crate) enum Decision {
    Weights(Vec<WeightInfo>),
    Quotas(Vec<QuotaConfig>),
    /// A quota in the form of before limits.
    QuotaSet(QuotaConfig),
    Schedule(Schedule),
    Down(Vec<MachineId>),
    Up(Vec<MachineId>),
    Drain {
        agent: String,
        config: DrainConfig,
    },
    Drained(String),
    Deactivate(String),
    Reactivate(String),
    Gone {
        agent: String,
        at: Time,
    },
}

/// What validation says: what is to be made durable and then done, or the refusal.
pub(crate) type Decided = Result<(Vec<Change>, Decision), Answer>;

pub(crate) fn ok() -> Answer {
    Answer::new(200, Body::Empty)
}

fn bad(text: impl Into<String>) -> Answer {
    Answer::text(400, text)
}

impl Master {
    /// What operators decided, to be changed: readers keep what they have.
    pub(crate) fn policy_mut(&mut self) -> &mut policy::Policy {
        Arc::make_mut(&mut self.policy)
    }

    /// Takes a call; its answer comes when what it decided is durable.
    pub(crate) fn operator_call(
        &mut self,
        request: RequestId,
        call: OperatorCall,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        match call {
            OperatorCall::Subscribe(codec) => self.subscribe_operator(request, codec, now, out),
            _ if self.operator.waiting.len() >= WAITING_MAX => {
                let why = format!("More than {WAITING_MAX} operator calls (WAITING_MAX) wait to be durable");
                out.push(Effect::Http(Http::Reply { request, answer: Answer::text(503, why) }));
            }
            call => {
                self.operator.waiting.push_back((request, call));
                if !self.operator.busy {
                    self.next_operator_call(now, out);
                }
            }
        }
    }

    /// Decides calls that wait, up to the first that has to become durable.
    pub(crate) fn next_operator_call(&mut self, now: Time, out: &mut Effects<Effect>) {
        self.operator.busy = false;
        while !self.operator.busy
            && let Some((request, call)) = self.operator.waiting.pop_front()
        {
            self.decide(request, call, now, out);
        }
    }

    fn decide(&mut self, request: RequestId, call: OperatorCall, now: Time, out: &mut Effects<Effect>) {
        let decided = match call {
            OperatorCall::Subscribe(codec) => return self.subscribe_operator(request, codec, now, out),
            OperatorCall::UpdateWeights(infos) => weights::validate(infos),
            OperatorCall::SetQuota(asked) => self.set_quota(asked),
            OperatorCall::RemoveQuota { role, path } => self.remove_quota(role, path.as_deref()),
            OperatorCall::UpdateQuota { force, configs } => self.update_quota(force, configs),
            OperatorCall::UpdateSchedule(schedule) => self.update_schedule(schedule),
            OperatorCall::StartMaintenance(machines) => self.start_maintenance(machines),
            OperatorCall::StopMaintenance(machines) => self.stop_maintenance(machines),
            OperatorCall::Drain { agent, config } => self.drain(agent, config),
            OperatorCall::Deactivate(agent) => self.deactivate(agent),
            OperatorCall::Reactivate(agent) => self.reactivate(agent),
            OperatorCall::MarkGone(agent) => self.mark_gone(agent, now),
        };
        match decided {
            Ok((batch, _)) if batch.is_empty() => {
                out.push(Effect::Http(Http::Reply { request, answer: ok() }))
            }
            Ok((batch, decision)) => {
                self.operator.busy = true;
                self.save(batch, Then::Operator { request: Some(request), decision }, out);
            }
            Err(answer) => out.push(Effect::Http(Http::Reply { request, answer })),
        }
    }

    /// What was decided is durable: it is done, and then the operator hears so.
    pub(crate) fn carry_out(
        &mut self,
        request: Option<RequestId>,
        decision: Decision,
        now: Time,
        out: &mut Effects<Effect>,
    ) {
        let mut answer = ok();
        match decision {
            Decision::Weights(infos) => self.weights_updated(infos, now, out),
            Decision::Quotas(configs) => self.quotas_updated(configs, now, out),
            Decision::QuotaSet(config) => self.quota_set(config, now, out),
            Decision::Schedule(schedule) => self.schedule_updated(schedule, now, out),
            Decision::Down(machines) => self.machines_down(machines, now, out),
            Decision::Up(machines) => self.machines_up(&machines, now, out),
            Decision::Drain { agent, config } => self.draining(agent, config, now, out),
            Decision::Drained(agent) => self.drained(&agent, now, out),
            Decision::Deactivate(agent) => self.deactivated(agent, now, out),
            Decision::Reactivate(agent) => {
                self.agents.touch(&agent);
                self.policy_mut().draining.remove(&agent);
                self.policy_mut().deactivated.remove(&agent);
                match self.agents.get_mut(&agent) {
                    Some(known) => {
                        known.drain_started = None;
                        if known.connected {
                            self.allocator.activate_agent(&agent);
                            self.inverse.look_at(&agent);
                        }
                    }
                    None => answer = Answer::text(409, "Agent removed while processing the call"),
                }
            }
            Decision::Gone { agent, at } => self.gone(&agent, at, now, out),
        }
        if let Some(request) = request {
            out.push(Effect::Http(Http::Reply { request, answer }));
            self.next_operator_call(now, out);
        }
    }

    fn gone(&mut self, agent: &str, at: Time, now: Time, out: &mut Effects<Effect>) {
        self.policy_mut().gone.insert(agent.to_owned(), at);
        self.policy_mut().draining.remove(agent);
        self.policy_mut().deactivated.remove(agent);
        self.recovering.remove(agent);
        self.operator.drained.remove(agent);
        if self.unreachable.remove(agent).is_some() {
            self.unreachable_tasks_gone(agent, now, out);
        }
        self.dismiss(agent, "Agent has been marked gone", Loss::MarkedGone, now, out);
    }

    /// Tells an agent to end, and gives it and its tasks up.
    fn dismiss(&mut self, agent: &str, why: &str, loss: Loss, now: Time, out: &mut Effects<Effect>) {
        if let Some(known) = self.agents.get(agent) {
            let message = model::mesos::internal::ShutdownMessage { message: Some(why.to_owned()) };
            self.tell(known, message, out);
        }
        self.agent_lost(agent, loss, now, out);
    }

    /// Takes back every offer of an agent.
    fn rescind_all_of(&mut self, agent: &str, now: Time, out: &mut Effects<Effect>) {
        let offers = self.agents.get(agent).map_or_else(Default::default, |a| a.offers.clone());
        for offer in offers {
            self.rescind(&offer, now, out);
        }
        self.rescind_inverse_of(agent, out);
    }

    /// Changes that make an agent gone for good.
    fn forget_for_good(&self, agent: &str, now: Time) -> Vec<Change> {
        let mut batch = crate::registry::remove_agent(agent);
        batch.push(policy::put_gone(agent, now));
        batch.extend(policy::forget_agent(agent));
        batch
    }
}
