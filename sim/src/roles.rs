//! The machines in their processes: started from what is durable, stepped, their effects carried out, crashed.

use crate::{
    capacity,
    disk::Disk,
    world::{Event, Who, World},
};
use agent::Agent;
use base::{Duration, Effects, Machine as _, Now};
use master::Master;
use model::{
    link::{Message, Upid},
    mesos::Resource,
    request::Http,
    resources::Resources,
    save::{Change, SaveId},
};
use orchestrator::Orchestrator;

/// Steps of all machines between two looks at the master's documents.
const READ_EVERY: u64 = 7;

/// What every agent has.
pub fn total() -> Resources {
    Resources::scalars([("cpus", 4.0), ("mem", 4096.0), ("disk", 10_000.0)]).with_ports([(31_000, 31_049)])
}

fn resources() -> Vec<Resource> {
    total().to_messages()
}

impl World {
    /// A process starts with what its disk kept.
    pub fn start(&mut self, who: Who) {
        if self.is_up(who) {
            return;
        }
        let common = self.common(who);
        common.up = true;
        common.life += 1;
        common.ahead = common.ahead_next;
        common.tick = None;
        let records = common.disk.synced.clone();
        let time = self.local(who);
        self.note(&format!("{who} starts with {} records", records.len()));
        let mut rng = self.common(who).rng.clone();
        match who {
            Who::Master => {
                let mut config = master::Config::at(who.address());
                config.ping_timeout = Duration::from_secs(5);
                config.reregister_timeout = Duration::from_secs(120);
                config.offer_timeout = Some(Duration::from_secs(30));
                self.master = Some(Master::new(config, &records, Now::new(time, &mut rng)));
                self.history.master_started();
            }
            Who::Agent(n) => {
                let config = agent::Config {
                    address: who.address(),
                    hostname: format!("h{n}"),
                    work_dir: "/w".to_owned(),
                    resources: resources(),
                    attributes: Vec::new(),
                    flags: Default::default(),
                    registration_backoff: Duration::from_millis(100),
                    environment: Vec::new(),
                    users: agent::Users::Own,
                    boot_id: format!("boot {}", self.hosts[n as usize].boot),
                    completed_tasks_max: 100,
                    executors: Default::default(),
                    domain: None,
                    cpu_quota: false,
                    keep: agent::Keep::default(),
                    master_hostname: "h".to_owned(),
                };
                self.agents[n as usize] = Some(Agent::new(config, &records, Now::new(time, &mut rng)));
                self.history.agent_started(who);
            }
            Who::Orchestrator => {
                let config = orchestrator::Config { role: "apps".to_owned(), ..Default::default() };
                self.orchestrator = Some(Orchestrator::new(config, records, time));
                self.check_recovered();
            }
            Who::Plain(_) => {}
        }
        self.common(who).rng = rng;
        match who {
            Who::Master => self.plan_tick(who),
            Who::Agent(n) => {
                let met = self.meet_launcher(n);
                self.step_agent(n, met);
                let master = Upid::new("master", Who::Master.address());
                self.step_agent(n, agent::Input::MasterDetected(Some(master)));
            }
            Who::Orchestrator => self.step_orchestrator(orchestrator::Input::Connected),
            Who::Plain(n) => {
                self.plain_subscribes(n);
                self.after(Duration::from_secs(1), Event::PlainActs(n));
            }
        }
    }

    /// A process ends at once. What it had not synced is gone, save some first part of it.
    pub fn crash(&mut self, who: Who) {
        if !self.is_up(who) {
            return;
        }
        self.note(&format!("{who} crashes"));
        let now = self.now;
        let common = self.common(who);
        common.up = false;
        let mut rng = common.rng.clone();
        common.disk.crash(now, &mut rng);
        common.rng = rng;
        match who {
            Who::Master => {
                self.master = None;
                self.channels_lose_master();
                self.history.master_crashed();
            }
            Who::Agent(n) => {
                self.agents[n as usize] = None;
                self.host_loses_agent(n);
            }
            Who::Orchestrator => {
                self.orchestrator = None;
                self.channel_dies(who);
                self.client_loses_orchestrator();
            }
            Who::Plain(n) => {
                self.channel_dies(who);
                self.plain_crashed(n);
            }
        }
        self.drop_connections(who);
    }

    /// A step of the master, if it runs.
    pub fn step_master(&mut self, input: master::Input) {
        let who = Who::Master;
        let time = self.local(who);
        let Some(machine) = self.master.as_mut() else { return };
        let common = self.commons.get_mut(&who).expect("everyone has it");
        let mut out = Effects::default();
        machine.step(Now::new(time, &mut common.rng), input, &mut out);
        machine.check();
        if self.steps.is_multiple_of(READ_EVERY) {
            self.reader.check(&machine.view(), self.steps / READ_EVERY);
        }
        self.steps += 1;
        for effect in out.drain() {
            match effect {
                master::Effect::Http(http) => self.master_says(http),
                // nobody here subscribes to the operator API
                master::Effect::Operator(_) => {}
                master::Effect::Dropped { from, why } => {
                    self.note(&format!("master dropped a word of {from}: {why}"))
                }
                master::Effect::Send(envelope) => {
                    if matches!(
                        envelope.message,
                        Message::SlaveRegisteredMessage(_) | Message::SlaveReregisteredMessage(_)
                    ) {
                        self.history.agent_moved();
                    }
                    self.send(who, envelope);
                }
                master::Effect::Link(to) => self.link(who, to.address),
                master::Effect::Save { save, batch } => self.save(who, save, batch),
            }
        }
        self.plan_tick(who);
    }

    /// A step of an agent, if it runs.
    pub fn step_agent(&mut self, n: u8, input: agent::Input) {
        let who = Who::Agent(n);
        let time = self.local(who);
        let Some(machine) = self.agents[n as usize].as_mut() else { return };
        let common = self.commons.get_mut(&who).expect("everyone has it");
        let mut out = Effects::default();
        machine.step(Now::new(time, &mut common.rng), input, &mut out);
        machine.check();
        self.steps += 1;
        for effect in out.drain() {
            match effect {
                agent::Effect::Send(envelope) => {
                    self.history.agent_sends(who, &envelope.message);
                    self.send(who, envelope);
                }
                agent::Effect::Link(to) => self.link(who, to.address),
                agent::Effect::Save { save, batch } => self.save(who, save, batch),
                agent::Effect::Probe { id, probe, timeout } => self.probe(who, id.0, probe, timeout),
                order => self.order(n, order),
            }
        }
        self.plan_tick(who);
    }

    /// A step of the orchestrator, if it runs.
    pub fn step_orchestrator(&mut self, input: orchestrator::Input) {
        let who = Who::Orchestrator;
        let time = self.local(who);
        let Some(machine) = self.orchestrator.as_mut() else { return };
        let common = self.commons.get_mut(&who).expect("everyone has it");
        let mut out = Effects::default();
        let before = (!capacity::names_tasks(&input)).then(|| capacity::before(machine));
        machine.step(Now::new(time, &mut common.rng), input, &mut out);
        machine.check();
        if let Some(before) = before {
            capacity::check(machine, &before);
        }
        self.steps += 1;
        for effect in out.drain() {
            match effect {
                orchestrator::Effect::Call(call) => self.call(who, *call),
                orchestrator::Effect::Http(Http::Reply { request, answer }) => {
                    self.client_answered(request.0, answer)
                }
                orchestrator::Effect::Http(_) => {}
                orchestrator::Effect::Save { save, batch } => self.save(who, save, batch),
                // nothing grows by itself here: nobody answers
                orchestrator::Effect::Measure { .. } => {}
                orchestrator::Effect::Probe { id, probe, timeout } => self.probe(who, id.0, probe, timeout),
            }
        }
        self.check_capacity();
        self.plan_tick(who);
    }

    fn save(&mut self, who: Who, save: SaveId, batch: Vec<Change>) {
        let now = self.now;
        let common = self.common(who);
        let mut rng = common.rng.clone();
        let at = common.disk.ask(now, &mut rng, save, batch);
        common.rng = rng;
        let life = common.life;
        self.at(at, Event::Saved(who, life));
    }

    /// A batch is durable, or refused.
    pub fn saved(&mut self, who: Who, life: u64) {
        let now = self.now;
        if self.life(who) != life || !self.is_up(who) {
            return;
        }
        let Some((save, good)) = self.common(who).disk.finish(now) else { return };
        let why = "no space left on device".to_owned();
        if !good {
            self.note(&format!("{who}'s disk is full"));
        }
        match who {
            Who::Master if good => self.step_master(master::Input::Saved { save }),
            Who::Master => self.step_master(master::Input::SaveFailed { save, why }),
            Who::Agent(n) if good => self.step_agent(n, agent::Input::Saved { save }),
            Who::Agent(n) => self.step_agent(n, agent::Input::SaveFailed { save, why }),
            Who::Orchestrator if good => self.step_orchestrator(orchestrator::Input::Saved { save }),
            Who::Orchestrator => self.step_orchestrator(orchestrator::Input::SaveFailed { save, why }),
            Who::Plain(_) => {}
        }
    }

    /// The disk of a process.
    pub fn disk(&mut self, who: Who) -> &mut Disk {
        &mut self.common(who).disk
    }
}
