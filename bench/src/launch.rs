//! L1 and L2: short tasks on one agent, as many as it takes and at a fixed rate. A round counts only if every task ran
//! and ended well exactly once, every call was taken and the agent has nothing left to be acknowledged.

use crate::{
    Figure, Options, Size,
    client::{Scheduler, Seen, get},
    daemon::{Cores, Daemon, Spent},
    probes,
    report::Target,
    stats::percentile,
};
use model::{
    mesos::{AgentId, CommandInfo, OfferId, TaskId, TaskInfo, TaskState},
    resources::Resources,
};
use serde_json::Value;
use std::{
    ops::Range,
    sync::mpsc::RecvTimeoutError,
    time::{Duration, Instant},
};

const FILE: &str = "/bin/true";
const TASKS: usize = 5_000;
const TASK_MILLICPUS: u64 = 100;
/// Tasks that are launched and have not ended, in the closed loop.
const WINDOW: usize = 256;
/// Arrivals of the open loop.
const RATE: usize = 100;
const OPEN_SECONDS: usize = 10;
const ROUNDS: usize = 5;
const PROBE: Duration = Duration::from_millis(1_500);
/// A round whose probe moved by more than this between before and after is not counted.
const DRIFT_MAX: f64 = 0.10;
/// Discarded rounds are repeated up to this often.
const DISCARDED_MAX: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);
/// Controllers of the default isolation.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// L1.
pub fn plain(options: &Options) -> Result<Vec<Figure>, String> {
    let flags = ["--isolation=posix/cpu,posix/mem".to_owned()];
    row(options, &flags, 0.4, "vfork+exec+wait", |cores, time| probes::spawns(FILE, cores, time))
}

/// L2.
pub fn isolated(options: &Options) -> Result<Vec<Figure>, String> {
    if !rustix::process::geteuid().is_root() {
        return Err("SKIPPED: namespaces and cgroups need root".to_owned());
    }
    row(options, &[], 0.6, "bare namespaces+cgroups", |cores, time| {
        probes::isolated_spawns(FILE, cores, &CONTROLLERS, time)
    })
}

fn row(
    options: &Options,
    flags: &[String],
    target: f64,
    probe: &'static str,
    limit: impl Fn(&[usize], Duration) -> Result<f64, String>,
) -> Result<Vec<Figure>, String> {
    let cores = Cores::split()?;
    let mut flags = flags.to_vec();
    flags.push("--resources=cpus:1000;mem:1000000;disk:1000;ports:[31000-32000]".to_owned());
    let time = if options.size == Size::Full { PROBE } else { Duration::from_millis(50) };
    let tasks = options.count(TASKS, 20);
    let rounds = options.rounds(ROUNDS);
    let mut pairs = Vec::new();
    let (mut running, mut finished) = (Vec::new(), Vec::new());
    let (mut own, mut theirs) = (Vec::new(), Vec::new());
    let mut discarded = 0;
    while pairs.len() < rounds {
        let before = limit(&cores.server, time)?;
        let round = closed(options, &cores, &flags, tasks)?;
        let after = limit(&cores.server, time)?;
        let (rate, drift) = (round.rate, (after / before - 1.0).abs());
        eprintln!(
            "   {rate:.0} tasks/s, {:.0} us own + {:.0} us of tasks each, probe {before:.0}/s before, {after:.0}/s after",
            round.own, round.tasks
        );
        if drift > DRIFT_MAX && options.size == Size::Full && discarded < DISCARDED_MAX {
            discarded += 1;
            eprintln!("   discarded: the probe moved by {:.0} %", drift * 100.0);
            continue;
        }
        pairs.push((rate, (before + after) / 2.0));
        own.push(round.own);
        theirs.push(round.tasks);
        let (mut to_running, mut to_finished) = open(options, &cores, &flags)?;
        running.append(&mut to_running);
        finished.append(&mut to_finished);
    }
    cores.release()?;
    let what = format!("{tasks} tasks of {FILE}, {} in flight", WINDOW.min(tasks));
    let mut figures = vec![Figure::rate(what, &pairs, probe, Target::Ratio(target))];
    figures.push(Figure::plain("processor time of daemon and launcher", "us/task", own, Target::None));
    figures.push(Figure::plain("processor time of the tasks themselves", "us/task", theirs, Target::None));
    for (name, times, p99) in
        [("RUNNING", &running, Target::AtMost(20.0)), ("FINISHED", &finished, Target::None)]
    {
        for (percent, target) in
            [(50.0, if name == "RUNNING" { Target::AtMost(5.0) } else { Target::None }), (99.0, p99)]
        {
            let what = format!("{RATE}/s open loop, submit to {name}, p{percent:.0}");
            let mut figure = Figure::plain(what, "ms", vec![percentile(times, percent)], target);
            figure.rounds = Vec::new();
            figures.push(figure);
        }
    }
    Ok(figures)
}

/// Offers in hand, all of one agent, and how many tasks they hold.
#[derive(Default)]
struct Hand {
    offers: Vec<OfferId>,
    agent: Option<AgentId>,
    millicpus: u64,
}

impl Hand {
    fn take(&mut self, id: OfferId, agent: AgentId, millicpus: u64) {
        self.offers.push(id);
        self.agent = Some(agent);
        self.millicpus += millicpus;
    }
    fn holds(&self) -> usize {
        (self.millicpus / TASK_MILLICPUS) as usize
    }
    /// Launches tasks on all of it; what is left comes back in a new offer.
    fn launch(&mut self, scheduler: &Scheduler, prefix: &str, tasks: Range<usize>) -> Result<(), String> {
        let Some(agent) = &self.agent else { return Err("there is no agent".to_owned()) };
        let batch = tasks.map(|number| task(prefix, number, agent)).collect();
        self.millicpus = 0;
        scheduler.accept(std::mem::take(&mut self.offers), batch)
    }
}

/// What became of each task.
struct Book {
    prefix: &'static str,
    running: Vec<Option<Instant>>,
    finished: Vec<Option<Instant>>,
    ended: usize,
}

impl Book {
    fn new(prefix: &'static str, tasks: usize) -> Self {
        Self { prefix, running: vec![None; tasks], finished: vec![None; tasks], ended: 0 }
    }
    fn enter(&mut self, task: &str, state: TaskState, message: &str, at: Instant) -> Result<(), String> {
        let number = task.strip_prefix(self.prefix).and_then(|n| n.parse::<usize>().ok());
        let Some(number) = number.filter(|n| *n < self.running.len()) else {
            return Err(format!("an update of a task that was never launched: {task}"));
        };
        let place = match state {
            TaskState::TaskStarting => return Ok(()),
            TaskState::TaskRunning => &mut self.running[number],
            TaskState::TaskFinished => &mut self.finished[number],
            other => return Err(format!("{task} became {}: {message}", other.as_str_name())),
        };
        if place.replace(at).is_some() {
            return Err(format!("{task} became {} twice", state.as_str_name()));
        }
        self.ended += usize::from(state == TaskState::TaskFinished);
        Ok(())
    }
    fn check(&self) -> Result<(), String> {
        let lost =
            self.running.iter().zip(&self.finished).filter(|(r, f)| r.is_none() || f.is_none()).count();
        if lost == 0 { Ok(()) } else { Err(format!("{lost} tasks were not seen to run and to end")) }
    }
}

fn task(prefix: &str, number: usize, agent: &AgentId) -> TaskInfo {
    let command = CommandInfo {
        shell: Some(false),
        value: Some(FILE.to_owned()),
        arguments: vec!["true".to_owned()],
        ..Default::default()
    };
    TaskInfo {
        name: "bench".to_owned(),
        task_id: TaskId { value: format!("{prefix}{number}") },
        agent_id: agent.clone(),
        resources: Resources::scalars([("cpus", TASK_MILLICPUS as f64 / 1e3), ("mem", 32.0)]).to_messages(),
        command: Some(command),
        ..Default::default()
    }
}

fn start(options: &Options, cores: &Cores, flags: &[String]) -> Result<(Daemon, Scheduler), String> {
    Cores::bind(&cores.client)?;
    let daemon = Daemon::start(&options.binary, options.apart, &cores.server, flags)?;
    let scheduler = Scheduler::subscribe(&daemon.master, "bench")?;
    Ok((daemon, scheduler))
}

/// Nothing may be left to say anywhere.
fn settle(daemon: &Daemon, scheduler: &Scheduler) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let state = get(&daemon.agent, "/state")?;
        let state: Value =
            serde_json::from_slice(&state).map_err(|e| format!("/state does not parse: {e}"))?;
        let frameworks = state["frameworks"].as_array().ok_or("the agent's /state has no frameworks")?;
        if frameworks.is_empty() && scheduler.all_answered() {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(format!(
                "not all was acknowledged or answered: the agent still has {}",
                state["frameworks"]
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn with_log<T>(daemon: &Daemon, outcome: Result<T, String>) -> Result<T, String> {
    outcome.map_err(|why| format!("{why}; the daemon said: {}", daemon.logged()))
}

/// As many as it takes: tasks per second from the first ACCEPT to the last TASK_FINISHED.
fn closed(options: &Options, cores: &Cores, flags: &[String], tasks: usize) -> Result<Closed, String> {
    let (daemon, scheduler) = start(options, cores, flags)?;
    let before = daemon.processor_seconds();
    let outcome = launch_all(&scheduler, tasks).and_then(|rate| settle(&daemon, &scheduler).map(|()| rate));
    let after = daemon.processor_seconds();
    let spent = |at: fn(&Spent) -> f64| (at(&after) - at(&before)) / tasks as f64 * 1e6;
    with_log(&daemon, outcome).map(|rate| Closed {
        rate,
        own: spent(|s| s.own),
        tasks: spent(|s| s.children),
    })
}

/// A closed loop: tasks per second, and processor microseconds for each task.
struct Closed {
    rate: f64,
    /// Of the daemon and its launcher.
    own: f64,
    /// Of what they started.
    tasks: f64,
}

fn launch_all(scheduler: &Scheduler, tasks: usize) -> Result<f64, String> {
    const PREFIX: &str = "closed-";
    let mut book = Book::new(PREFIX, tasks);
    let mut hand = Hand::default();
    let (mut launched, mut begun) = (0, None);
    while book.ended < tasks {
        let mut next = Some(scheduler.seen.recv_timeout(PATIENCE).map_err(|_| {
            format!("nothing came for {PATIENCE:?}; {} of {tasks} tasks had ended", book.ended)
        })?);
        // All that is here already, so that one ACCEPT answers it.
        while let Some(seen) = next.take() {
            match seen {
                Seen::Offer { id, agent, millicpus } => hand.take(id, agent, millicpus),
                Seen::Update { task, state, message, at } => book.enter(&task, state, &message, at)?,
                Seen::Wrong(why) => return Err(why),
            }
            next = scheduler.seen.try_recv().ok();
        }
        let count = (WINDOW - (launched - book.ended)).min(tasks - launched).min(hand.holds());
        if count > 0 {
            begun.get_or_insert_with(Instant::now);
            hand.launch(scheduler, PREFIX, launched..launched + count)?;
            launched += count;
        }
    }
    let took = begun.map_or(Duration::ZERO, |begun| begun.elapsed());
    book.check()?;
    Ok(tasks as f64 / took.as_secs_f64())
}

type Times = Vec<f64>;

/// At a fixed rate, whatever the answers take: milliseconds from the planned instant of each task.
fn open(options: &Options, cores: &Cores, flags: &[String]) -> Result<(Times, Times), String> {
    let (daemon, scheduler) = start(options, cores, flags)?;
    let tasks = options.count(RATE * OPEN_SECONDS, 20);
    let outcome =
        launch_at_rate(&scheduler, tasks).and_then(|times| settle(&daemon, &scheduler).map(|()| times));
    with_log(&daemon, outcome)
}

fn launch_at_rate(scheduler: &Scheduler, tasks: usize) -> Result<(Times, Times), String> {
    const PREFIX: &str = "open-";
    let mut book = Book::new(PREFIX, tasks);
    let mut hand = Hand::default();
    let mut launched = 0;
    // The first offer is awaited: the clock begins once there is one.
    let mut begun: Option<Instant> = None;
    let planned =
        |begun: Instant, number: usize| begun + Duration::from_secs(1) * number as u32 / RATE as u32;
    let last_word = || Instant::now() + PATIENCE;
    let mut silence = last_word();
    while book.ended < tasks {
        let now = Instant::now();
        let due = begun.filter(|_| launched < tasks).map(|begun| planned(begun, launched));
        if due.is_some_and(|due| due <= now) && hand.holds() > 0 {
            hand.launch(scheduler, PREFIX, launched..launched + 1)?;
            launched += 1;
            continue;
        }
        let until = due.filter(|_| hand.holds() > 0).unwrap_or(silence).min(silence);
        match scheduler.seen.recv_timeout(until.saturating_duration_since(now)) {
            Ok(Seen::Offer { id, agent, millicpus }) => {
                hand.take(id, agent, millicpus);
                begun.get_or_insert_with(Instant::now);
            }
            Ok(Seen::Update { task, state, message, at }) => {
                book.enter(&task, state, &message, at)?;
                silence = last_word();
            }
            Ok(Seen::Wrong(why)) => return Err(why),
            Err(RecvTimeoutError::Timeout) if Instant::now() < silence => {}
            Err(_) => {
                return Err(format!(
                    "nothing came for {PATIENCE:?}; {} of {tasks} tasks had ended",
                    book.ended
                ));
            }
        }
    }
    book.check()?;
    let begun = begun.ok_or("there was no offer")?;
    let since = |times: &[Option<Instant>]| {
        let pairs = times.iter().enumerate().filter_map(|(number, at)| at.map(|at| (number, at)));
        pairs
            .map(|(number, at)| at.saturating_duration_since(planned(begun, number)).as_secs_f64() * 1e3)
            .collect()
    };
    Ok((since(&book.running), since(&book.finished)))
}

/// Launches one task on the first offer; the instant at which it was seen to run.
pub fn first_running(scheduler: &Scheduler) -> Result<Instant, String> {
    let mut launched = false;
    loop {
        match scheduler.seen.recv_timeout(PATIENCE).map_err(|_| format!("nothing came for {PATIENCE:?}"))? {
            Seen::Offer { id, agent, .. } if !launched => {
                scheduler.accept(vec![id], vec![task("first-", 0, &agent)])?;
                launched = true;
            }
            Seen::Offer { .. } => {}
            Seen::Update { state: TaskState::TaskRunning, at, .. } => return Ok(at),
            Seen::Update { state: TaskState::TaskStarting, .. } => {}
            Seen::Update { state, message, .. } => {
                return Err(format!("it became {}: {message}", state.as_str_name()));
            }
            Seen::Wrong(why) => return Err(why),
        }
    }
}
