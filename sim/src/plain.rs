//! A framework that is no machine of ours: it takes, declines and holds offers, launches, kills, asks after its tasks,
//! acknowledges late or not at all for a while, suppresses and revives, and makes mistakes.
//!
//! It remembers everything over a crash but its session.

use crate::world::{Event, Who, World};
use base::{Duration, Rng, Time};
use model::{
    mesos::{
        AgentId, CommandInfo, Filters, FrameworkId, FrameworkInfo, Offer, TaskId, TaskInfo, TaskState,
        TaskStatus,
        framework_info::{Capability, capability},
        offer,
        scheduler::{Call, Event as Said, call, event},
    },
    resources::{Format, Resources},
};
use std::collections::BTreeMap;

/// A task as its framework sees it.
#[derive(Clone, Debug)]
pub struct Task {
    /// Where it was launched.
    pub agent: String,
    /// What was last heard.
    pub state: Option<TaskState>,
    /// Whether it is over, as far as heard.
    pub over: bool,
}

/// A framework.
#[derive(Debug)]
pub struct Plain {
    name: String,
    /// The id that the master gave.
    pub id: Option<String>,
    role: String,
    failover: f64,
    aware: bool,
    /// Its tasks, by id.
    pub tasks: BTreeMap<String, Task>,
    held: Vec<Offer>,
    next: u64,
    subscribed: bool,
    asked_at: Time,
    torn: u64,
}

impl Plain {
    /// A framework of a seed.
    pub fn new(n: u8, rng: &mut Rng) -> Self {
        Self {
            name: format!("plain{n}"),
            id: None,
            role: ["apps", "plain", "a/b"][rng.below(3) as usize].to_owned(),
            failover: [0.0, 60.0, 604_800.0][rng.below(3) as usize],
            aware: rng.below(2) == 0,
            tasks: BTreeMap::new(),
            held: Vec::new(),
            next: 0,
            subscribed: false,
            asked_at: Time::EPOCH,
            torn: 0,
        }
    }
    fn info(&self) -> FrameworkInfo {
        let mut able = vec![capability::Type::MultiRole, capability::Type::ReservationRefinement];
        if self.aware {
            able.push(capability::Type::PartitionAware);
        }
        FrameworkInfo {
            user: "root".to_owned(),
            name: self.name.clone(),
            id: self.id.clone().map(|value| FrameworkId { value }),
            failover_timeout: Some(self.failover),
            checkpoint: Some(true),
            capabilities: able.into_iter().map(|t| Capability { r#type: Some(t as i32) }).collect(),
            roles: vec![self.role.clone()],
            ..Default::default()
        }
    }
}

impl World {
    fn plain(&mut self, n: u8) -> &mut Plain {
        &mut self.plains[n as usize]
    }

    fn plain_calls(&mut self, n: u8, kind: call::Type, fill: impl FnOnce(&mut Call)) {
        let id = self.plain(n).id.clone().map(|value| FrameworkId { value });
        let mut call = Call { framework_id: id, r#type: Some(kind as i32), ..Default::default() };
        fill(&mut call);
        self.call(Who::Plain(n), call);
    }

    /// Asks to be taken.
    pub fn plain_subscribes(&mut self, n: u8) {
        let framework_info = self.plain(n).info();
        self.plain_calls(n, call::Type::Subscribe, |c| {
            c.subscribe = Some(call::Subscribe { framework_info, ..Default::default() });
        });
    }

    /// Its session is over, and its offers with it.
    pub fn plain_disconnected(&mut self, n: u8) {
        self.plain(n).subscribed = false;
        self.plain(n).held.clear();
    }

    /// Its process ended.
    pub fn plain_crashed(&mut self, n: u8) {
        self.plain_disconnected(n);
    }

    /// The master says something.
    pub fn plain_hears(&mut self, n: u8, said: Said) {
        match said.r#type() {
            event::Type::Subscribed => {
                let id = said.subscribed.map(|s| s.framework_id.value);
                self.plain(n).id = id;
                self.plain(n).subscribed = true;
                self.plain_asks(n);
            }
            event::Type::Offers => {
                for offer in said.offers.map(|o| o.offers).unwrap_or_default() {
                    if !self.quiet && self.chance(100) {
                        self.plain(n).held.push(offer);
                    } else {
                        self.plain_answers(n, offer);
                    }
                }
            }
            event::Type::Rescind => {
                let id = said.rescind.map(|r| r.offer_id);
                self.plain(n).held.retain(|o| Some(&o.id) != id.as_ref());
            }
            event::Type::Update => {
                if let Some(update) = said.update {
                    self.plain_learns(n, update.status);
                }
            }
            event::Type::Error => {
                // given up by the master: all its tasks end, and it begins anew
                let gone = said.error.is_some_and(|e| e.message.contains("removed"));
                if gone {
                    let plain = self.plain(n);
                    plain.id = None;
                    plain.tasks.clear();
                    plain.torn += 1;
                }
            }
            _ => {}
        }
    }

    fn plain_learns(&mut self, n: u8, status: TaskStatus) {
        let state = status.state();
        if let Some(task) = self.plain(n).tasks.get_mut(&status.task_id.value) {
            // what the master thought lost comes back with its agent
            let lost = matches!(
                task.state,
                Some(TaskState::TaskLost | TaskState::TaskGone | TaskState::TaskUnknown)
            );
            let ends = crate::history::ends(state) || state == TaskState::TaskUnknown;
            task.over = ends || task.over && !lost;
            task.state = Some(state);
        }
        let quick = self.quiet || self.chance(900);
        let (Some(uuid), Some(agent_id)) = (status.uuid.filter(|u| !u.is_empty()), status.agent_id) else {
            return;
        };
        if quick {
            self.plain_calls(n, call::Type::Acknowledge, |c| {
                c.acknowledge = Some(call::Acknowledge { agent_id, task_id: status.task_id, uuid });
            });
        }
    }

    fn plain_declines(&mut self, n: u8, offer: Offer) {
        let seconds = if self.quiet { 300.0 } else { [0.0, 0.5, 5.0, 30.0][self.rng.below(4) as usize] };
        self.plain_calls(n, call::Type::Decline, |c| {
            let filters = Some(Filters { refuse_seconds: Some(seconds) });
            c.decline = Some(call::Decline { offer_ids: vec![offer.id], filters });
        });
    }

    fn plain_answers(&mut self, n: u8, offer: Offer) {
        let live = self.plain(n).tasks.values().filter(|t| !t.over).count();
        if self.quiet || live > 8 || self.chance(600) {
            return self.plain_declines(n, offer);
        }
        let mut left = Resources::from_messages(&offer.resources).expect("an offer is valid");
        let role = self.plain(n).role.clone();
        let mut tasks = Vec::new();
        for _ in 0..1 + self.rng.below(3) {
            let cpus = (1 + self.rng.below(8)) as f64 / 10.0;
            let wants = Resources::scalars([("cpus", cpus), ("mem", 32.0)]);
            let greedy = self.chance(20);
            let mut asked = wants.allocate(&role, Format::Stacked);
            if greedy {
                asked = Resources::scalars([("cpus", 1000.0)]).allocate(&role, Format::Stacked);
            } else if left.flatten().subtract(&wants).is_err() {
                break;
            } else {
                let allocated = Resources::from_messages(&asked).expect("what is allocated is valid");
                if left.subtract(&allocated).is_err() {
                    break;
                }
            }
            let plain = self.plain(n);
            plain.next += 1;
            let id = format!("{}-{}-{}", plain.name, plain.torn, plain.next);
            let command = match self.rng.below(4) {
                0 => format!("finish {}", self.rng.below(30_000)),
                1 if self.mix.bad_apps => format!("crash {}", self.rng.below(10_000)),
                2 if self.mix.bad_apps => "stubborn".to_owned(),
                _ => "serve".to_owned(),
            };
            let task = Task { agent: offer.agent_id.value.clone(), state: None, over: false };
            self.plain(n).tasks.insert(id.clone(), task);
            tasks.push(TaskInfo {
                name: id.clone(),
                task_id: TaskId { value: id },
                agent_id: offer.agent_id.clone(),
                resources: asked,
                command: Some(CommandInfo { value: Some(command), ..Default::default() }),
                ..Default::default()
            });
        }
        let launch = offer::Operation {
            r#type: Some(offer::operation::Type::Launch as i32),
            launch: Some(offer::operation::Launch { task_infos: tasks }),
            ..Default::default()
        };
        self.plain_calls(n, call::Type::Accept, |c| {
            c.accept = Some(call::Accept {
                offer_ids: vec![offer.id],
                operations: vec![launch],
                ..Default::default()
            });
        });
    }

    /// Asks after all tasks that are not over, then after all there are.
    fn plain_asks(&mut self, n: u8) {
        let now = self.now;
        self.plain(n).asked_at = now;
        let live = self.plain(n).tasks.iter().filter(|(_, t)| !t.over);
        let tasks: Vec<_> = live
            .map(|(id, t)| call::reconcile::Task {
                task_id: TaskId { value: id.clone() },
                agent_id: Some(AgentId { value: t.agent.clone() }),
            })
            .collect();
        if !tasks.is_empty() {
            self.plain_calls(n, call::Type::Reconcile, |c| c.reconcile = Some(call::Reconcile { tasks }));
        }
        self.plain_calls(n, call::Type::Reconcile, |c| c.reconcile = Some(call::Reconcile::default()));
    }

    /// Does something of its own.
    pub fn plain_acts(&mut self, n: u8) {
        if !self.is_up(Who::Plain(n)) {
            return;
        }
        let wait = if self.quiet { 20_000 } else { 100 + self.rng.below(4_000) };
        self.after(Duration::from_millis(wait), Event::PlainActs(n));
        if !self.plain(n).subscribed {
            return;
        }
        if self.quiet {
            for offer in std::mem::take(&mut self.plain(n).held) {
                self.plain_declines(n, offer);
            }
            return self.plain_asks(n);
        }
        let roles = vec![self.plain(n).role.clone()];
        match self.rng.below(12) {
            0..=2 => {
                if let Some(offer) = self.plain(n).held.pop() {
                    self.plain_answers(n, offer);
                }
            }
            3..=5 => {
                let live: Vec<_> = self.plain(n).tasks.iter().filter(|(_, t)| !t.over).collect();
                let ids: Vec<_> = live.into_iter().map(|(id, t)| (id.clone(), t.agent.clone())).collect();
                let Some((id, agent)) = self.one_of(&ids) else { return };
                let agent_id = self.chance(500).then_some(AgentId { value: agent });
                self.plain_calls(n, call::Type::Kill, |c| {
                    c.kill =
                        Some(call::Kill { task_id: TaskId { value: id }, agent_id, ..Default::default() });
                });
            }
            6 => self.plain_asks(n),
            7 => self.plain_calls(n, call::Type::Revive, |c| c.revive = Some(call::Revive { roles })),
            8 => self.plain_calls(n, call::Type::Suppress, |c| c.suppress = Some(call::Suppress { roles })),
            9 => self.plain_calls(n, call::Type::Revive, |c| c.revive = Some(call::Revive::default())),
            10 if self.chance(100) && !self.mix.calm => {
                // it may get lost: over is what the master says is over
                self.plain_calls(n, call::Type::Teardown, |_| {});
            }
            _ => {
                // a task that never was
                let task_id = TaskId { value: format!("never-{}", self.rng.below(100)) };
                self.plain_calls(n, call::Type::Kill, |c| {
                    c.kill = Some(call::Kill { task_id, ..Default::default() });
                });
            }
        }
    }
}
