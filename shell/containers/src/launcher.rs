//! The launcher: a small process that alone creates containers, outlives its agent and journals every exit.
//!
//! `mesolite launcher DIR` listens on `DIR/socket`. One agent at a time; a new connection replaces the old one. It ends
//! when it has no containers and no agent has been there for a while. Its threads: one for each connection, the ones
//! that make containers (`start`), one that takes exits (`children`), one that removes groups (`clean`), one that looks
//! around now and then (`watch`).

mod agent;
mod children;
mod clean;
mod execute;
mod start;
mod state;

use crate::{
    journal::{Journal, Kept, Line},
    protocol::{Order, VERSION, Word},
    socket::Socket,
};
use agent::Outbox;
use children::Children;
use linux::{cgroups::Cgroups, process};
use model::container::{ContainerId, Termination};
use state::{Container, State};
use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    process::ExitCode,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Without containers and without an agent the launcher ends after this.
const LINGER: Duration = Duration::from_secs(30);
/// How often it looks at processes that are not its children, and tries again what could not be written.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// After a connection that could not be taken, for example for lack of descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Bytes of one order.
const ORDER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What all threads share. Who needs several of the locks takes them in this order.
struct Shared {
    state: Mutex<State>,
    /// Something is queued, or stopping began.
    queued: Condvar,
    children: Mutex<Children>,
    /// A child was made.
    born: Condvar,
    /// Ended containers whose groups are still there, and how often they were tried.
    remains: Mutex<BTreeMap<ContainerId, u32>>,
    remained: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn children(&self) -> MutexGuard<'_, Children> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn remains(&self) -> MutexGuard<'_, BTreeMap<ContainerId, u32>> {
        self.remains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the launcher; `arguments` are those after the subcommand.
pub fn main(arguments: &[String]) -> ExitCode {
    let Some(dir) = arguments.first() else {
        eprintln!("usage: mesolite launcher DIR (started by the agent)");
        return ExitCode::from(2);
    };
    match run(Path::new(dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("launcher: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(dir: &Path) -> io::Result<()> {
    process::ignore(1);
    process::ignore(2);
    process::ignore(13);
    // Not leading a group already makes this fail, which is as good.
    process::new_session().unwrap_or_default();
    process::become_subreaper()?;
    if let Err(error) = process::raise_file_limit() {
        eprintln!("launcher: the limit of open files stays as it is: {error}");
    }
    // Before anything is a thread or takes memory. Without it containers are made all the same.
    if let Err(error) = linux::nursery::open() {
        eprintln!("launcher: there is no nursery: {error}");
    }
    fs::create_dir_all(dir)?;
    let (journal, kept) = Journal::open(&dir.join("journal"), &process::boot_id())?;
    let socket = Socket::of(dir)?;
    if socket.path().exists() {
        fs::remove_file(socket.path())?;
    }
    let listener = UnixListener::bind(socket.path())?;
    fs::set_permissions(socket.path(), fs::Permissions::from_mode(0o600))?;
    let mut state = State::new(journal);
    for (container, what) in kept {
        take_over(&mut state, container, what);
    }
    let shared = Arc::new(Shared {
        state: Mutex::new(state),
        queued: Condvar::new(),
        children: Mutex::default(),
        born: Condvar::new(),
        remains: Mutex::default(),
        remained: Condvar::new(),
    });
    for _ in 0..start::SPAWNERS {
        let shared = shared.clone();
        thread::spawn(move || start::spawner(&shared));
    }
    for work in [children::reap, clean::clean, watch] {
        let shared = shared.clone();
        thread::spawn(move || work(&shared));
    }
    loop {
        let served = listener.accept().and_then(|(stream, _)| {
            let shared = shared.clone();
            thread::Builder::new().spawn(move || serve(&shared, stream))
        });
        if let Err(error) = served {
            eprintln!("launcher: a connection can't be taken: {error}");
            thread::sleep(ACCEPT_AGAIN);
        }
    }
}

/// What an earlier launcher left behind.
fn take_over(state: &mut State, container: ContainerId, what: Kept) {
    match what {
        Kept::Making => {
            state.unmade.push(container);
        }
        Kept::Ended(how) => {
            state.left.push(container.clone());
            state.ended.insert(container, how);
        }
        Kept::Running { pid, since, keeper } if process::started(pid as i32) == Some(since) => {
            let adopted = Container {
                pid,
                started: None,
                sandbox: String::new(),
                fronted: keeper || process::is_init(pid as i32),
                keeper,
                grouped: true,
                adopted: Some(since),
            };
            state.running.insert(container, adopted);
        }
        Kept::Running { .. } => {
            state.left.push(container.clone());
            state.journal.keep(Line::Ended { container: container.clone(), how: Termination::Unknown });
            state.ended.insert(container, Termination::Unknown);
        }
    }
}

fn serve(shared: &Arc<Shared>, stream: UnixStream) {
    let Ok(reading) = stream.try_clone() else { return };
    let mut stream = Some(stream);
    let mut number = None;
    let mut lines = BufReader::new(reading);
    loop {
        let mut line = Vec::new();
        let read = io::Read::take(&mut lines, ORDER_BYTES_MAX).read_until(b'\n', &mut line);
        match read {
            Ok(n) if n > 0 && line.ends_with(b"\n") => match serde_json::from_slice(&line) {
                Ok(Order::Attach { container, output }) => {
                    let Some(stream) = stream.take() else { return };
                    return attach(shared, &container, output, lines, stream);
                }
                Ok(order) => {
                    // Whoever gives orders is the agent, the last one to come.
                    if let Some(stream) = stream.take() {
                        let mut state = shared.lock();
                        state.agents += 1;
                        number = Some(state.agents);
                        let Ok(outbox) = Outbox::new(state.agents, stream) else { break };
                        state.agent = Some(outbox);
                    }
                    if shared.lock().agents != number.unwrap_or_default() {
                        // What an earlier one still meant, the one that followed has ordered itself.
                        break;
                    }
                    obey(shared, order);
                }
                Err(error) => eprintln!("launcher: an order does not parse: {error}"),
            },
            _ => break,
        }
    }
    let mut state = shared.lock();
    if state.agent.as_ref().is_some_and(|agent| Some(agent.number) == number) {
        state.agent = None;
        state.idle_since = Instant::now();
    }
}

/// A connection of a client to a container.
fn attach(
    shared: &Arc<Shared>,
    id: &ContainerId,
    output: bool,
    from: BufReader<UnixStream>,
    mut to: UnixStream,
) {
    let board = shared.lock().boards.get(id).cloned();
    let word = match &board {
        Some(_) => Word::Attached,
        None => Word::Refused { why: format!("nobody can attach to container {id}") },
    };
    let mut text = serde_json::to_vec(&word).unwrap_or_default();
    text.push(b'\n');
    if let (Some(board), Ok(())) = (board, to.write_all(&text)) {
        board.serve(from, to, output);
    }
}

fn obey(shared: &Arc<Shared>, order: Order) {
    match order {
        Order::Hello { isolation, cgroup_mount, cgroups_root, file_limit, .. } => {
            let mut state = shared.lock();
            let controllers = isolation.controllers();
            state.cgroups = (!controllers.is_empty())
                .then(|| Cgroups::detect(Path::new(&cgroup_mount), &cgroups_root, &controllers));
            state.cleaned = Cgroups::found(Path::new(&cgroup_mount), &cgroups_root);
            state.isolation = isolation;
            state.file_limit = file_limit.or_else(process::file_limit_before);
            clean::sweep(shared, &mut state);
            let running = state.running.iter().map(|(id, c)| (id.clone(), c.pid)).collect();
            let starting = state.starting.iter().chain(state.queue.keys()).cloned().collect();
            let ended = state.ended.iter().map(|(id, how)| (id.clone(), how.clone())).collect();
            state.say(&Word::Welcome { version: VERSION, running, starting, ended });
        }
        Order::Launch(spec) => {
            // An agent that starts anew asks again for what it is not sure of.
            shared.lock().enqueue(spec);
            shared.queued.notify_one();
        }
        Order::Limit { container, limits } => {
            let state = shared.lock();
            if let Some(cgroups) = state.cgroups.as_ref().filter(|c| c.exists(&container.0))
                && let Err(error) = cgroups.set(&container.0, &start::amounts(&limits))
            {
                eprintln!("launcher: the limits of {container} stay as they were: {error}");
            }
        }
        Order::Signal { container, signal } => {
            let state = shared.lock();
            for pid in state.processes(&container) {
                process::signal(pid, signal);
            }
        }
        Order::Destroy { container } => shared.lock().destroy(shared, container),
        // Only first on a connection of its own.
        Order::Attach { .. } => {}
        Order::Forget { container } => {
            let mut state = shared.lock();
            if state.ended.remove(&container).is_some() {
                state.journal.put_off(Line::Forgotten { container });
            }
        }
        Order::Execute { number, container, program, environment, user, timeout_ms } => {
            let worker = shared.clone();
            let begun = thread::Builder::new().spawn(move || {
                let timeout = Duration::from_millis(timeout_ms);
                let order = execute::Order { container, program, environment, user };
                let status = execute::execute(&worker, &order, timeout);
                worker.lock().say(&Word::Executed { number, status });
            });
            if let Err(error) = begun {
                let status = Err(format!("the launcher has no thread for it: {error}"));
                shared.lock().say(&Word::Executed { number, status });
            }
        }
        Order::Stop => {
            clean::finish(shared);
            std::process::exit(0);
        }
    }
}

/// Sees adopted containers end, and ends this process when nobody needs it.
fn watch(shared: &Shared) {
    for round in 0_u64.. {
        thread::sleep(WATCH_EVERY);
        if round == 1 {
            linux::memory::give_back();
        }
        let mut state = shared.lock();
        // Said when it began.
        state.journal.try_again().unwrap_or_default();
        let gone: Vec<_> =
            state.running.iter().filter(|(_, c)| c.is_gone()).map(|(id, _)| id.clone()).collect();
        for id in gone {
            let grouped = state.running.remove(&id).is_none_or(|container| container.grouped);
            state.finish(shared, &id, Termination::Unknown, grouped);
        }
        state.boards.retain(|_, board| !board.is_stale());
        if state.is_idle() && state.idle_since.elapsed() > LINGER {
            std::process::exit(0);
        }
    }
}
