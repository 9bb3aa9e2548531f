//! An agent's machine: a launcher and the containers that outlive agent and launcher, as `shell/containers` keeps them.

use crate::world::{Event, Who, World};
use agent::{Effect, Input};
use base::{Duration, Time};
use model::{
    container::{ContainerId, ContainerSpec, Program, Termination},
    link::{Envelope, Message},
};
use std::collections::{BTreeMap, BTreeSet};

/// Added to a grace period before a container counts as not killed.
const GRACE_SLACK: Duration = Duration::from_secs(2);

/// Where a container stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Stands {
    /// It is being made.
    Making,
    /// It runs.
    Running,
    /// It ended, and the launcher remembers how.
    Ended(Termination),
}

/// A container.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its framework and task.
    pub task: (String, String),
    /// The app, where the orchestrator launched it.
    pub app: Option<(String, String)>,
    /// Its host ports.
    pub ports: Vec<u16>,
    /// Where it stands.
    pub stands: Stands,
    /// What it does.
    pub command: String,
    /// Fails its checks.
    pub sick: bool,
    /// Somebody who may has asked for its end.
    pub asked: bool,
    /// Its agent found it sick, and may end it.
    pub seen_sick: bool,
    /// When it must be gone.
    pub gone_by: Option<Time>,
    /// Persistent volumes that it uses, by path.
    pub volumes: Vec<String>,
    pid: u32,
    launcher: u64,
}

/// A machine.
#[derive(Debug)]
pub struct Host {
    /// Containers that the launcher has not forgotten.
    pub containers: BTreeMap<ContainerId, Container>,
    /// Persistent volumes on its disk.
    pub volumes: BTreeSet<String>,
    /// Whether the launcher runs.
    pub launcher_up: bool,
    /// Its present life.
    pub launcher: u64,
    /// Differs after each boot.
    pub boot: u64,
    /// Tasks and frameworks whose end was asked for, some before their containers were there.
    asked: BTreeSet<(String, String)>,
    next_pid: u32,
    last_order: Time,
    last_word: Time,
    orders_lost_after: (u64, Time),
}

impl Host {
    /// A machine that was just booted.
    pub fn new() -> Self {
        Self {
            containers: BTreeMap::new(),
            volumes: BTreeSet::new(),
            launcher_up: false,
            launcher: 0,
            boot: 0,
            asked: BTreeSet::new(),
            next_pid: 100,
            last_order: Time::EPOCH,
            last_word: Time::EPOCH,
            orders_lost_after: (0, Time::EPOCH),
        }
    }
    /// What runs now.
    pub fn running(&self) -> impl Iterator<Item = (&ContainerId, &Container)> {
        self.containers.iter().filter(|(_, c)| c.stands == Stands::Running)
    }
}

/// What a launcher says it has: running with their processes, being made, and ended.
type Known = (Vec<(ContainerId, u32)>, Vec<ContainerId>, Vec<(ContainerId, Termination)>);

fn variable<'a>(spec: &'a ContainerSpec, name: &str) -> Option<&'a str> {
    spec.environment.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

impl World {
    /// A message arrives at an agent that runs.
    pub fn agent_hears(&mut self, n: u8, envelope: Box<Envelope>) {
        let agent = self.agents[n as usize].as_ref();
        let known = agent.and_then(|a| a.master()) == Some(&envelope.from);
        // an acknowledgement that comes before its registration is none
        let acknowledges = matches!(envelope.message, Message::StatusUpdateAcknowledgementMessage(_));
        let registered = agent.is_some_and(|a| a.is_registered());
        if known && (registered || !acknowledges) {
            self.expect_ends(n, &envelope.message);
            self.history.agent_heard(Who::Agent(n), &envelope.message);
        }
        self.step_agent(n, Input::Message(envelope));
    }

    /// What a message gives the agent leave to end, and by when it must.
    fn expect_ends(&mut self, n: u8, message: &Message) {
        let default = Duration::from_secs(3);
        let nanos = |g: &model::mesos::DurationInfo| Duration::from_nanos(g.nanoseconds.max(0) as u64);
        let (framework, task, given) = match message {
            Message::KillTaskMessage(m) => {
                let grace = m.kill_policy.as_ref().and_then(|p| p.grace_period.as_ref()).map(nanos);
                (Some(m.framework_id.value.clone()), Some(m.task_id.value.clone()), grace)
            }
            Message::ShutdownFrameworkMessage(m) => (Some(m.framework_id.value.clone()), None, Some(default)),
            Message::ShutdownMessage(_) => (None, None, Some(default)),
            _ => return,
        };
        let own = |key: &(String, String)| {
            let agent = self.agents[n as usize].as_ref()?;
            let policy = agent.tasks().get(key)?.info.kill_policy.as_ref()?;
            policy.grace_period.as_ref().map(nanos)
        };
        let mut due = Vec::new();
        for (id, container) in &self.hosts[n as usize].containers {
            let mine = framework.as_ref().is_none_or(|f| container.task.0 == *f)
                && task.as_ref().is_none_or(|t| container.task.1 == *t);
            if mine && !matches!(container.stands, Stands::Ended(_)) {
                let grace = given.or_else(|| own(&container.task)).unwrap_or(default);
                due.push((id.clone(), self.now + grace + GRACE_SLACK));
            }
        }
        let tasks = self.agents[n as usize].iter().flat_map(|a| a.tasks().keys());
        let mine = |key: &&(String, String)| {
            framework.as_ref().is_none_or(|f| key.0 == *f) && task.as_ref().is_none_or(|t| key.1 == *t)
        };
        let asked: Vec<_> = tasks.filter(mine).cloned().collect();
        self.hosts[n as usize].asked.extend(asked);
        for (id, at) in due {
            self.must_end(n, &id, at);
        }
    }

    /// A container's end was asked for.
    pub fn must_end(&mut self, n: u8, id: &ContainerId, at: Time) {
        let Some(container) = self.hosts[n as usize].containers.get_mut(id) else { return };
        container.asked = true;
        let making = container.stands == Stands::Making;
        if !making && container.gone_by.is_none_or(|before| at < before) {
            container.gone_by = Some(at);
            self.at(at, Event::MustBeGone(n, id.clone(), at));
        }
    }

    /// Killed means gone within the grace period, unless agent or launcher were away meanwhile.
    pub fn must_be_gone(&mut self, n: u8, id: &ContainerId, due: Time) {
        let Some(container) = self.hosts[n as usize].containers.get(id) else { return };
        let over = container.gone_by == Some(due) && container.stands == Stands::Running;
        assert!(!over, "task {} was killed and is not gone within its grace period", container.task.1);
    }

    fn forgive(&mut self, n: u8) {
        self.hosts[n as usize].containers.values_mut().for_each(|c| c.gone_by = None);
    }

    /// An agent orders something of its launcher.
    pub fn order(&mut self, n: u8, order: Effect) {
        let life = self.life(Who::Agent(n));
        let at = self.now + Duration::from_micros(30 + self.rng.below(400));
        let host = &mut self.hosts[n as usize];
        host.last_order = host.last_order.max(at);
        let at = host.last_order;
        self.at(at, Event::Order(n, life, Box::new(order)));
    }

    /// An order arrives at the launcher; what a crashed agent had not written yet never does.
    pub fn order_arrives(&mut self, n: u8, life: u64, order: Effect) {
        let now = self.now;
        let host = &mut self.hosts[n as usize];
        let (lost, after) = host.orders_lost_after;
        // Volumes are the agent's own work.
        let needs_launcher = !matches!(order, Effect::Volumes { .. });
        if (needs_launcher && !host.launcher_up) || (life <= lost && now > after) {
            return;
        }
        match order {
            Effect::Launch(spec) => self.launch(n, &spec),
            Effect::Signal { container, signal } => self.signal(n, &container, signal),
            Effect::Destroy { container } => self.signal(n, &container, 9),
            Effect::Forget { container } => {
                let ended = |c: &Container| matches!(c.stands, Stands::Ended(_));
                host.containers.retain(|id, c| *id != container || !ended(c));
            }
            Effect::Volumes { operation, make, remove } => {
                self.change_volumes(n, make, remove.into_iter().map(|removal| removal.path));
                self.word(n, Input::VolumesChanged { operation, outcome: Ok(()) });
            }
            _ => {}
        }
    }

    fn launch(&mut self, n: u8, spec: &ContainerSpec) {
        if self.hosts[n as usize].containers.contains_key(&spec.id) {
            return;
        }
        let text = |name| variable(spec, name).unwrap_or_default().to_owned();
        let ports = text("PORTS").split(',').filter_map(|p| p.parse().ok()).collect();
        let app = variable(spec, "MARATHON_APP_ID").map(str::to_owned);
        let app = app.map(|app| (app, text("MARATHON_APP_VERSION")));
        let command = match &spec.program {
            Program::Shell(text) => text.clone(),
            Program::Exec { file, .. } => file.clone(),
            // what holds an executor's container open
            Program::Hold => "serve".to_owned(),
        };
        let launcher = self.hosts[n as usize].launcher;
        let volumes = self.take_volumes(n, spec);
        let task = (text("MESOS_FRAMEWORK_ID"), text("MESOS_EXECUTOR_ID"));
        let container = Container {
            asked: self.hosts[n as usize].asked.contains(&task),
            task,
            sick: command.starts_with("never well"),
            app,
            ports,
            stands: Stands::Making,
            command,
            seen_sick: false,
            gone_by: None,
            volumes,
            pid: 0,
            launcher,
        };
        self.hosts[n as usize].containers.insert(spec.id.clone(), container);
        let slow = !self.quiet && self.chance(20);
        let millis = if slow { self.rng.below(8_000) } else { 1 + self.rng.below(15) };
        self.after(Duration::from_millis(millis), Event::Made(n, spec.id.clone(), launcher));
    }

    /// A container is made, or fails to be.
    pub fn made(&mut self, n: u8, id: &ContainerId, launcher: u64) {
        let fails = !self.quiet && self.mix.bad_apps && self.chance(10);
        let host = &mut self.hosts[n as usize];
        if host.launcher != launcher || !host.launcher_up {
            return;
        }
        host.next_pid += 1;
        let pid = host.next_pid;
        let Some(container) = host.containers.get_mut(id) else { return };
        if fails {
            host.containers.remove(id);
            let why = "the world did not let it".to_owned();
            return self.word(n, Input::LaunchFailed { container: id.clone(), why });
        }
        container.stands = Stands::Running;
        container.pid = pid;
        let (task, command) = (container.task.clone(), container.command.clone());
        self.note(&format!("agent{n} runs {} ({command})", task.1));
        self.history.started(&task);
        self.check_ports(n, id);
        self.word(n, Input::Launched { container: id.clone(), pid });
        let mut words = command.rsplit(' ');
        let millis = words.next().and_then(|ms| ms.parse().ok()).unwrap_or(0);
        let how = match command.split(' ').next() {
            Some("finish") => Termination::Exited(0),
            Some("crash") => Termination::Exited(1),
            Some("oom") => Termination::OutOfMemory { limit: 1 << 20, peak: 1 << 20 },
            _ => return,
        };
        self.after(Duration::from_millis(millis), Event::Dies(n, id.clone(), how));
    }

    /// No port of a machine belongs to two tasks at once, unless one of them is being ended.
    fn check_ports(&self, n: u8, id: &ContainerId) {
        let mine = &self.hosts[n as usize].containers[id];
        let known = |c: &Container| {
            let framework = self.master.as_ref().and_then(|m| m.frameworks().get(&c.task.0));
            framework.is_some_and(|f| f.tasks.contains_key(&c.task.1))
        };
        // What an earlier master's late words launched, the present one does not count until it is listed.
        let counts = |c: &Container| !c.asked && !c.seen_sick && known(c);
        for (_, other) in self.hosts[n as usize].running().filter(|(other, c)| *other != id && counts(c)) {
            let shared = mine.ports.iter().find(|p| other.ports.contains(p));
            assert!(
                shared.is_none(),
                "port {shared:?} of agent{n} belongs to {} and {}",
                mine.task.1,
                other.task.1
            );
        }
    }

    fn signal(&mut self, n: u8, id: &ContainerId, signal: i32) {
        let Some(container) = self.hosts[n as usize].containers.get(id) else { return };
        if container.stands != Stands::Running {
            return;
        }
        assert!(
            container.asked || container.seen_sick,
            "agent{n} sends signal {signal} to {}, and nobody asked for it",
            container.task.1
        );
        let stubborn = container.command.starts_with("stubborn");
        self.note(&format!("agent{n} signals {signal} to {}", container.task.1));
        if signal == 9 {
            self.after(Duration::from_millis(1), Event::Dies(n, id.clone(), Termination::Signaled(9)));
        } else if !stubborn {
            let wait = Duration::from_millis(1 + self.rng.below(300));
            self.after(wait, Event::Dies(n, id.clone(), Termination::Signaled(signal)));
        }
    }

    /// A container's process ends. Only the launcher that started it sees how.
    pub fn dies(&mut self, n: u8, id: &ContainerId, how: Termination) {
        let host = &mut self.hosts[n as usize];
        let launcher = host.launcher;
        let Some(container) = host.containers.get_mut(id) else { return };
        if container.stands != Stands::Running {
            return;
        }
        let how = if container.launcher == launcher && host.launcher_up { how } else { Termination::Unknown };
        container.stands = Stands::Ended(how.clone());
        let task = container.task.1.clone();
        let told = host.launcher_up;
        self.note(&format!("agent{n}: {task} ends: {how:?}"));
        if told {
            self.word(n, Input::Terminated { container: id.clone(), how });
        }
    }

    pub(crate) fn word(&mut self, n: u8, input: Input) {
        let life = self.life(Who::Agent(n));
        let at = self.now + Duration::from_micros(30 + self.rng.below(400));
        let host = &mut self.hosts[n as usize];
        host.last_word = host.last_word.max(at);
        let at = host.last_word;
        self.at(at, Event::Word(n, life, Box::new(input)));
    }

    /// A word of the launcher arrives, if the agent of that life still runs.
    pub fn word_arrives(&mut self, n: u8, life: u64, input: Input) {
        if self.life(Who::Agent(n)) == life && self.is_up(Who::Agent(n)) {
            self.step_agent(n, input);
        }
    }

    /// An agent that starts meets its launcher, or starts one.
    pub fn meet_launcher(&mut self, n: u8) -> Input {
        let (running, starting, ended) = self.known(n);
        Input::Recovered { running, starting, ended }
    }

    fn known(&mut self, n: u8) -> Known {
        let host = &mut self.hosts[n as usize];
        if !host.launcher_up {
            host.launcher_up = true;
            host.launcher += 1;
            host.containers.retain(|_, c| c.stands != Stands::Making);
        }
        let running = host.running().map(|(id, c)| (id.clone(), c.pid)).collect();
        let ended = host.containers.iter().filter_map(|(id, c)| match &c.stands {
            Stands::Ended(how) => Some((id.clone(), how.clone())),
            _ => None,
        });
        let making = host.containers.iter().filter(|(_, c)| c.stands == Stands::Making);
        (running, making.map(|(id, _)| id.clone()).collect(), ended.collect())
    }

    /// The launcher is killed. Containers go on.
    pub fn kill_launcher(&mut self, n: u8) {
        let host = &mut self.hosts[n as usize];
        if !host.launcher_up {
            return;
        }
        host.launcher_up = false;
        let life = self.life(Who::Agent(n));
        self.note(&format!("agent{n}'s launcher is killed"));
        self.forgive(n);
        let wait = Duration::from_micros(100 + self.rng.below(30_000));
        self.after(wait, Event::LauncherLost(n, life));
    }

    /// The agent notices, starts another one and compares, as the shell does.
    pub fn launcher_lost(&mut self, n: u8, life: u64) {
        if self.life(Who::Agent(n)) != life
            || !self.is_up(Who::Agent(n))
            || self.hosts[n as usize].launcher_up
        {
            return;
        }
        let (running, starting, ended) = self.known(n);
        self.note(&format!("agent{n} has another launcher"));
        self.step_agent(n, Input::LauncherReplaced { running, starting, ended });
    }

    /// An agent's process ended: part of its orders never reached the launcher.
    pub fn host_loses_agent(&mut self, n: u8) {
        let cut = self.now + Duration::from_micros(self.rng.below(400));
        let life = self.life(Who::Agent(n));
        self.hosts[n as usize].orders_lost_after = (life, cut);
        self.forgive(n);
    }

    /// The machine is switched off and on.
    pub fn reboot_host(&mut self, n: u8) {
        self.note(&format!("agent{n}'s machine is rebooted"));
        let host = &mut self.hosts[n as usize];
        host.boot += 1;
        host.launcher_up = false;
        host.containers.retain(|_, c| c.stands != Stands::Making);
        for container in host.containers.values_mut().filter(|c| c.stands == Stands::Running) {
            container.stands = Stands::Ended(Termination::Unknown);
        }
    }

    /// A sick container is well again.
    pub fn heals(&mut self, n: u8, id: &ContainerId) {
        if let Some(container) = self.hosts[n as usize].containers.get_mut(id) {
            container.sick = container.command.starts_with("never well");
        }
    }
}
