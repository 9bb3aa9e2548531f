//! The world: virtual time, a heap of what happens next, and who lives where. Never decides what a fault does.

use crate::{
    channel::Channel, client::Client, disk::Disk, history::History, host::Host, mix::Mix, net::Net,
    plain::Plain, trace::Trace,
};
use agent::Agent;
use base::{Duration, Machine as _, Rng, Time};
use master::Master;
use model::{
    container::{ContainerId, Probe},
    link::Envelope,
    mesos::scheduler,
    request::{Answer, RequestId, StreamId},
};
use orchestrator::Orchestrator;
use std::{cell::RefCell, collections::BTreeMap, fmt, net::SocketAddr, rc::Rc};

/// When every run begins.
pub const BEGIN: Time = Time::from_millis(1_700_000_000_000);
/// Ticks of one machine in one virtual second; more is a machine that turns without getting anywhere.
const TICKS_PER_SECOND_MAX: u64 = 2_000;

/// A process, each on a host of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The master.
    Master,
    /// An agent.
    Agent(u8),
    /// The orchestrator.
    Orchestrator,
    /// A framework that is no machine of ours.
    Plain(u8),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master => f.write_str("master"),
            Self::Agent(n) => write!(f, "agent{n}"),
            Self::Orchestrator => f.write_str("orchestrator"),
            Self::Plain(n) => write!(f, "plain{n}"),
        }
    }
}

impl Who {
    /// Where it listens.
    pub fn address(self) -> SocketAddr {
        let (last, port) = match self {
            Self::Master => (1, 5050),
            Self::Orchestrator => (2, 8080),
            Self::Agent(n) => (10 + n, 5051),
            Self::Plain(n) => (100 + n, 9000),
        };
        SocketAddr::from(([10, 0, 0, last], port))
    }
}

/// What every process has.
#[derive(Debug)]
pub struct Common {
    /// Counts its starts; what was meant for an earlier life is dropped.
    pub life: u64,
    /// Whether it runs.
    pub up: bool,
    /// Its store.
    pub disk: Disk,
    /// Nanoseconds that its clock is ahead of the world's.
    pub ahead: i64,
    /// The same from its next start on: a clock never goes back within one process.
    pub ahead_next: i64,
    /// Its own randomness.
    pub rng: Rng,
    /// When its next deadline is planned.
    pub tick: Option<Time>,
    ticks: (u64, u64),
}

/// What happens at an instant.
#[derive(Debug)]
pub enum Event {
    /// A machine's deadline.
    Tick(Who, u64),
    /// A process starts.
    Start(Who),
    /// A message of the link arrives.
    Link(u64, Box<Envelope>),
    /// A connection of the link breaks.
    Break(u64),
    /// A daemon learns that a connection of its own is gone.
    Exited(Who, u64, SocketAddr),
    /// A batch is at its end.
    Saved(Who, u64),
    /// A call arrives at the master: from whom, in which session, as which request.
    Call(Who, u64, RequestId, Box<scheduler::Call>, Option<String>),
    /// An answer arrives; none = the call failed.
    Answered(Who, u64, RequestId, Option<Answer>),
    /// A stream opens.
    Opened(Who, u64, RequestId, StreamId, String),
    /// An event arrives.
    Said(Who, u64, Box<scheduler::Event>),
    /// A framework learns that its stream ended.
    Ended(Who, u64),
    /// The master learns that a stream ended.
    Closed(u64, StreamId),
    /// A framework tries to subscribe.
    Reconnect(Who, u64),
    /// An order of an agent's life arrives at its launcher.
    Order(u8, u64, Box<agent::Effect>),
    /// A word of a launcher's life arrives at its agent's life.
    Word(u8, u64, Box<agent::Input>),
    /// A container runs.
    Made(u8, ContainerId, u64),
    /// A container's process ends; where it counts its states, only in this one.
    Dies(u8, ContainerId, model::container::Termination),
    /// An agent notices that its launcher is gone.
    LauncherLost(u8, u64),
    /// A killed container must be gone.
    MustBeGone(u8, ContainerId, Time),
    /// A probe is answered.
    Probed(Who, u64, u64, Probe),
    /// Clients do something.
    Act,
    /// A fault happens.
    Fault,
    /// Two hosts hear each other again.
    Heal(Who, Who),
    /// A sick container is well again.
    Heals(u8, ContainerId),
    /// A plain framework does something.
    PlainActs(u8),
    /// A request arrives at the orchestrator.
    Request(u64),
    /// A response arrives at its client: status, body; none = it never will.
    Response(u64, Option<(u16, String)>),
}

/// Everything there is.
pub struct World {
    /// Virtual time.
    pub now: Time,
    /// What the seed picked.
    pub mix: Mix,
    /// The world's randomness.
    pub rng: Rng,
    /// Steps of machines.
    pub steps: u64,
    /// What was seen from outside.
    pub history: History,
    /// Faults and requests are over.
    pub quiet: bool,
    heap: BTreeMap<(Time, u64), Event>,
    next: u64,
    trace: Rc<RefCell<Trace>>,
    /// What every process has.
    pub commons: BTreeMap<Who, Common>,
    /// The master, while it runs.
    pub master: Option<Master>,
    /// Somebody who reads the master's large documents now and then.
    pub reader: endpoints::master::Artist,
    /// The agents, while they run.
    pub agents: Vec<Option<Agent>>,
    /// The orchestrator, while it runs.
    pub orchestrator: Option<Orchestrator>,
    /// The agents' machines: launchers and containers.
    pub hosts: Vec<Host>,
    /// Plain frameworks.
    pub plains: Vec<Plain>,
    /// Frameworks' ways to the master.
    pub channels: BTreeMap<Who, Channel>,
    /// Connections of the link.
    pub net: Net,
    /// Those who use the orchestrator.
    pub client: Client,
    /// The number of the next request of any kind.
    pub request_next: u64,
}

impl World {
    /// The world of a seed, before anything runs.
    pub fn new(seed: u64, trace: Rc<RefCell<Trace>>) -> Self {
        let mut rng = Rng::from_number(seed);
        let mix = Mix::pick(&mut rng);
        let mut world = Self {
            now: BEGIN,
            steps: 0,
            history: History::default(),
            quiet: false,
            heap: BTreeMap::new(),
            next: 0,
            trace,
            commons: BTreeMap::new(),
            master: None,
            reader: endpoints::master::Artist::default(),
            agents: (0..mix.agents).map(|_| None).collect(),
            orchestrator: None,
            hosts: (0..mix.agents).map(|_| Host::new()).collect(),
            plains: (0..mix.plains).map(|n| Plain::new(n, &mut rng)).collect(),
            channels: BTreeMap::new(),
            net: Net::default(),
            client: Client::default(),
            request_next: 1,
            mix,
            rng,
        };
        for who in world.everyone() {
            let common = Common {
                life: 0,
                up: false,
                disk: Disk::new(),
                ahead: 0,
                ahead_next: 0,
                rng: Rng::from_number(world.rng.bits()),
                tick: None,
                ticks: (0, 0),
            };
            world.commons.insert(who, common);
        }
        world
    }

    /// All processes.
    pub fn everyone(&self) -> Vec<Who> {
        let agents = (0..self.mix.agents).map(Who::Agent);
        let plains = (0..self.mix.plains).map(Who::Plain);
        [Who::Master, Who::Orchestrator].into_iter().chain(agents).chain(plains).collect()
    }

    /// Lets faults and requests happen for as long as the seed says.
    pub fn live(&mut self, steps: u64) {
        for who in self.everyone() {
            let after = Duration::from_millis(self.rng.below(2_000));
            self.after(after, Event::Start(who));
        }
        self.after(Duration::from_secs(3), Event::Act);
        if !self.mix.faults.is_empty() {
            self.after(Duration::from_secs(5), Event::Fault);
        }
        let end = BEGIN + self.mix.active;
        while self.now < end && self.next < steps.saturating_mul(20) && self.steps < steps {
            self.turn();
        }
        self.note("---- quiet");
    }

    /// The next thing happens.
    pub fn turn(&mut self) {
        let ((at, _), event) = self.heap.pop_first().expect("something is always planned");
        self.now = at;
        self.handle(event);
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Time {
        self.heap.first_key_value().map_or(self.now, |((at, _), _)| *at)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Tick(who, life) => self.ticked(who, life),
            Event::Start(who) => self.start(who),
            Event::Link(conn, envelope) => self.link_arrives(conn, envelope),
            Event::Break(conn) => self.break_connection(conn),
            Event::Exited(who, life, peer) => self.exited(who, life, peer),
            Event::Saved(who, life) => self.saved(who, life),
            Event::Call(who, session, request, call, stream) => {
                self.call_arrives(who, session, request, call, stream)
            }
            Event::Answered(who, session, request, answer) => self.answered(who, session, request, answer),
            Event::Opened(who, session, request, stream, uuid) => {
                self.opened(who, session, request, stream, uuid)
            }
            Event::Said(who, session, event) => self.said(who, session, event),
            Event::Ended(who, session) => self.stream_ended(who, session),
            Event::Closed(life, stream) => self.stream_closed(life, stream),
            Event::Reconnect(who, life) => self.reconnect(who, life),
            Event::Order(agent, life, order) => self.order_arrives(agent, life, *order),
            Event::Word(agent, life, input) => self.word_arrives(agent, life, *input),
            Event::Made(agent, container, life) => self.made(agent, &container, life),
            Event::Dies(agent, container, how) => self.dies(agent, &container, how),
            Event::LauncherLost(agent, life) => self.launcher_lost(agent, life),
            Event::MustBeGone(agent, container, due) => self.must_be_gone(agent, &container, due),
            Event::Probed(who, life, id, probe) => self.probe_ends(who, life, id, &probe),
            Event::Act => self.act(),
            Event::Fault => self.fault(),
            Event::Heal(a, b) => self.heal(a, b),
            Event::Heals(agent, container) => self.heals(agent, &container),
            Event::PlainActs(n) => self.plain_acts(n),
            Event::Request(number) => self.request_arrives(number),
            Event::Response(number, response) => self.response_arrives(number, response),
        }
    }

    /// Plans something.
    pub fn at(&mut self, at: Time, event: Event) {
        self.heap.insert((at.max(self.now), self.next), event);
        self.next += 1;
    }
    /// Plans something after a while.
    pub fn after(&mut self, wait: Duration, event: Event) {
        self.at(self.now + wait, event);
    }
    /// A line of the trace.
    pub fn note(&self, what: &str) {
        self.trace.borrow_mut().line(BEGIN, self.now, what);
    }
    /// How long one message takes now.
    pub fn delay(&mut self) -> Duration {
        let most = self.mix.delay.as_micros() as u64;
        let micros = if self.quiet { self.rng.below(1_000) } else { self.rng.below(most) };
        Duration::from_micros(50 + micros)
    }
    /// Whether something with this chance in a thousand happens.
    pub fn chance(&mut self, in_a_thousand: u64) -> bool {
        self.rng.below(1000) < in_a_thousand
    }
    /// One of these.
    pub fn one_of<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        let at = self.rng.below(all.len() as u64) as usize;
        all.get(at).cloned()
    }
    /// What every process has.
    pub fn common(&mut self, who: Who) -> &mut Common {
        self.commons.get_mut(&who).expect("everyone has it")
    }
    /// Whether it runs.
    pub fn is_up(&self, who: Who) -> bool {
        self.commons[&who].up
    }
    /// Its present life.
    pub fn life(&self, who: Who) -> u64 {
        self.commons[&who].life
    }
    /// The time on its clock.
    pub fn local(&self, who: Who) -> Time {
        let nanos = self.now.as_nanos() as i64 + self.commons[&who].ahead;
        Time::from_nanos(nanos as u64)
    }

    fn ticked(&mut self, who: Who, life: u64) {
        let now = self.now;
        let common = self.common(who);
        if common.life != life || common.tick != Some(now) || !common.up {
            return;
        }
        common.tick = None;
        let second = now.as_millis() / 1000;
        common.ticks = if common.ticks.0 == second { (second, common.ticks.1 + 1) } else { (second, 0) };
        assert!(common.ticks.1 < TICKS_PER_SECOND_MAX, "{who} turns in a loop and gets nowhere");
        match who {
            Who::Master => self.step_master(master::Input::Tick),
            Who::Agent(n) => self.step_agent(n, agent::Input::Tick),
            Who::Orchestrator => self.step_orchestrator(orchestrator::Input::Tick),
            Who::Plain(_) => {}
        }
    }

    /// Plans the next deadline of a machine.
    pub fn plan_tick(&mut self, who: Who) {
        let deadline = match who {
            Who::Master => self.master.as_ref().and_then(|m| m.deadline()),
            Who::Agent(n) => self.agents[n as usize].as_ref().and_then(|m| m.deadline()),
            Who::Orchestrator => self.orchestrator.as_ref().and_then(|m| m.deadline()),
            Who::Plain(_) => None,
        };
        let Some((local, _)) = deadline else { return };
        let now = self.now;
        let common = self.common(who);
        let nanos = (local.as_nanos() as i64).saturating_sub(common.ahead).max(0);
        let at = Time::from_nanos(nanos as u64).max(now + Duration::from_micros(1));
        if common.tick.is_none_or(|tick| at < tick) {
            common.tick = Some(at);
            let life = common.life;
            self.at(at, Event::Tick(who, life));
        }
    }

    /// A clock changed: deadlines come at other instants.
    pub fn replan(&mut self, who: Who) {
        self.common(who).tick = None;
        self.plan_tick(who);
    }
}
