//! The launcher: a small process that alone creates containers, outlives its agent and journals every exit.
//!
//! `mesolite launcher DIR` listens on `DIR/socket`. One agent at a time; a new connection replaces the old one. It ends
//! when it has no containers and no agent has been there for a while.

use crate::{
    isolation::Isolation,
    journal::{Journal, Kept, Line},
    protocol::{Order, VERSION, Word},
    switchboard::{self, Board},
    volumes,
};
use linux::{
    cgroups::{Amounts, Cgroups},
    process::{self, Status, User},
    spawn,
};
use model::container::{ContainerId, ContainerSpec, Io, Limits, Program, Termination};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::CString,
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

/// Threads that create containers: each waits for its child's start.
const SPAWNERS: usize = 4;
/// Without containers and without an agent the launcher ends after this.
const LINGER: Duration = Duration::from_secs(30);
/// How often it looks at processes that are not its children.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// How often the groups of an ended container are tried to be removed, a millisecond apart.
const CLEAN_TRIES_MAX: u32 = 1000;
/// How often, a millisecond apart, everything is ended before a launcher that was told to stop ends all the same.
const STOP_TRIES_MAX: u32 = 3000;
/// Bytes of one order.
const ORDER_BYTES_MAX: u64 = 16 * 1024 * 1024;

struct Container {
    pid: u32,
    started: Option<spawn::Started>,
    sandbox: String,
    /// A process of ours stands before the task.
    fronted: bool,
    /// Started by an earlier launcher: not our child, known by when it started.
    adopted: Option<u64>,
}

struct State {
    journal: Journal,
    running: BTreeMap<ContainerId, Container>,
    pids: BTreeMap<i32, ContainerId>,
    /// Children that ended before they were entered.
    early: BTreeMap<i32, Status>,
    starting: usize,
    ended: BTreeMap<ContainerId, Termination>,
    helpers: BTreeMap<i32, Sender<Status>>,
    boards: BTreeMap<ContainerId, Board>,
    destroyed: BTreeSet<ContainerId>,
    agent: Option<(u64, UnixStream)>,
    agents: u64,
    /// Told to stop: nothing new is made.
    stopping: bool,
    idle_since: Instant,
    isolation: Isolation,
    cgroups: Option<Cgroups>,
}

struct Shared {
    state: Mutex<State>,
    children: Condvar,
    /// Ended containers whose groups are still there, and how often they were tried.
    remains: Mutex<BTreeMap<ContainerId, u32>>,
    remained: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn remains(&self) -> MutexGuard<'_, BTreeMap<ContainerId, u32>> {
        self.remains.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// The groups of a container that has ended are removed soon, beside everything else.
    fn leave(&self, id: &ContainerId) {
        self.remains().insert(id.clone(), 0);
        self.remained.notify_one();
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
    fs::create_dir_all(dir)?;
    let (journal, kept) = Journal::open(&dir.join("journal"), &process::boot_id())?;
    let socket = dir.join("socket");
    if socket.exists() {
        fs::remove_file(&socket)?;
    }
    let listener = UnixListener::bind(&socket)?;
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600))?;
    let mut state = State {
        journal,
        running: BTreeMap::new(),
        pids: BTreeMap::new(),
        early: BTreeMap::new(),
        starting: 0,
        ended: BTreeMap::new(),
        helpers: BTreeMap::new(),
        boards: BTreeMap::new(),
        destroyed: BTreeSet::new(),
        agent: None,
        agents: 0,
        stopping: false,
        idle_since: Instant::now(),
        isolation: Isolation::default(),
        cgroups: None,
    };
    for (container, what) in kept {
        match what {
            Kept::Ended(how) => {
                state.ended.insert(container, how);
            }
            Kept::Running { pid, since } if process::started(pid as i32) == Some(since) => {
                let adopted = Container {
                    pid,
                    started: None,
                    sandbox: String::new(),
                    fronted: linux::process::is_init(pid as i32),
                    adopted: Some(since),
                };
                state.running.insert(container, adopted);
            }
            Kept::Running { .. } => {
                state.ended.insert(container, Termination::Unknown);
            }
        }
    }
    let shared = Arc::new(Shared {
        state: Mutex::new(state),
        children: Condvar::new(),
        remains: Mutex::default(),
        remained: Condvar::new(),
    });
    let (orders, queue) = channel::<Box<ContainerSpec>>();
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..SPAWNERS {
        let (shared, queue) = (shared.clone(), queue.clone());
        thread::spawn(move || spawner(&shared, &queue));
    }
    let reaper = shared.clone();
    thread::spawn(move || reap(&reaper));
    let cleaner = shared.clone();
    thread::spawn(move || clean(&cleaner));
    let watcher = shared.clone();
    thread::spawn(move || watch(&watcher));
    for stream in listener.incoming() {
        let stream = stream?;
        let (shared, orders) = (shared.clone(), orders.clone());
        thread::spawn(move || serve(&shared, stream, &orders));
    }
    Ok(())
}

fn serve(shared: &Arc<Shared>, stream: UnixStream, orders: &Sender<Box<ContainerSpec>>) {
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
                        state.agent = Some((state.agents, stream));
                    }
                    obey(shared, order, orders);
                }
                Err(error) => eprintln!("launcher: an order does not parse: {error}"),
            },
            _ => break,
        }
    }
    let mut state = shared.lock();
    if state.agent.as_ref().is_some_and(|(n, _)| Some(*n) == number) {
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

impl State {
    /// Tells the agent, if one is there. If not, the journal keeps it.
    fn say(&mut self, word: &Word) {
        let Some((_, stream)) = &mut self.agent else { return };
        let Ok(mut text) = serde_json::to_vec(word) else { return };
        text.push(b'\n');
        if stream.write_all(&text).is_err() {
            self.agent = None;
            self.idle_since = Instant::now();
        }
    }

    fn keep(&mut self, line: Line) {
        if let Err(error) = self.journal.write(&[line]) {
            eprintln!("launcher: {}: {error}", self.journal.path().display());
        }
    }

    /// All processes of a container but the init of its pid namespace.
    fn processes(&self, id: &ContainerId) -> Vec<i32> {
        let Some(container) = self.running.get(id) else { return Vec::new() };
        let pid = container.pid as i32;
        let mut all = self.cgroups.as_ref().map_or_else(Vec::new, |c| c.processes(&id.0));
        if all.is_empty() {
            all = process::tree(pid);
        }
        if container.fronted {
            all.retain(|p| *p != pid);
        }
        all
    }

    fn end(&mut self, shared: &Shared, id: &ContainerId, status: Status) {
        let Some(mut container) = self.running.remove(id) else { return };
        self.pids.remove(&(container.pid as i32));
        let seen = container.started.as_mut().map_or(status, |s| s.outcome(status));
        // Its accounts are read only where they can explain the end: they are several files.
        let cgroups =
            self.cgroups.as_ref().filter(|_| matches!(seen, Status::Signaled(9) | Status::Exited(137)));
        let memory = cgroups.and_then(|c| c.memory(&id.0));
        let how = match (memory, seen) {
            (Some(m), Status::Signaled(9)) if m.kills > 0 && !self.destroyed.contains(id) => {
                Termination::OutOfMemory { limit: m.limit, peak: m.peak }
            }
            // A shell whose child was killed for lack of memory ends with 128 + 9.
            (Some(m), Status::Exited(137)) if m.kills > 0 => {
                Termination::OutOfMemory { limit: m.limit, peak: m.peak }
            }
            (_, Status::Exited(code)) => Termination::Exited(code),
            (_, Status::Signaled(signal)) => Termination::Signaled(signal),
        };
        self.finish(shared, id, how);
    }

    fn finish(&mut self, shared: &Shared, id: &ContainerId, how: Termination) {
        self.keep(Line::Ended { container: id.clone(), how: how.clone() });
        self.ended.insert(id.clone(), how.clone());
        self.destroyed.remove(id);
        if let Some(board) = self.boards.get(id) {
            board.container_ended();
        }
        if self.cgroups.is_some() {
            shared.leave(id);
        }
        self.say(&Word::Terminated { container: id.clone(), how });
        self.idle_since = Instant::now();
    }
}

/// Removes the groups of ended containers; what is left in them is ended first.
fn clean(shared: &Shared) {
    loop {
        let mut remains = shared.remains();
        while remains.is_empty() {
            remains = shared.remained.wait(remains).unwrap_or_else(PoisonError::into_inner);
        }
        drop(remains);
        if !clean_all(shared) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Tries each once; false if something is still there.
fn clean_all(shared: &Shared) -> bool {
    let cgroups = shared.lock().cgroups.clone();
    let ids: Vec<_> = shared.remains().keys().cloned().collect();
    for id in ids {
        let gone = cgroups.as_ref().is_none_or(|c| c.remove(&id.0));
        if let Some(cgroups) = cgroups.as_ref().filter(|_| !gone) {
            for pid in cgroups.processes(&id.0) {
                process::signal(pid, 9);
            }
        }
        let mut remains = shared.remains();
        if let Some(tries) = remains.get_mut(&id) {
            *tries += 1;
            if gone || *tries >= CLEAN_TRIES_MAX {
                remains.remove(&id);
            }
        }
    }
    shared.remains().is_empty()
}

fn obey(shared: &Arc<Shared>, order: Order, orders: &Sender<Box<ContainerSpec>>) {
    match order {
        Order::Hello { isolation, cgroup_mount, cgroups_root, .. } => {
            let mut state = shared.lock();
            let controllers = isolation.controllers();
            state.cgroups = (!controllers.is_empty())
                .then(|| Cgroups::detect(Path::new(&cgroup_mount), &cgroups_root, &controllers));
            state.isolation = isolation;
            let running = state.running.iter().map(|(id, c)| (id.clone(), c.pid)).collect();
            let ended = state.ended.iter().map(|(id, how)| (id.clone(), how.clone())).collect();
            state.say(&Word::Welcome { version: VERSION, running, starting: Vec::new(), ended });
        }
        Order::Launch(spec) => {
            if orders.send(spec).is_err() {
                eprintln!("launcher: no thread takes orders");
            }
        }
        Order::Limit { container, limits } => {
            let state = shared.lock();
            if let Some(cgroups) = state.cgroups.as_ref().filter(|c| c.exists(&container.0))
                && let Err(error) = cgroups.set(&container.0, &amounts(&limits))
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
        Order::Destroy { container } => {
            let mut state = shared.lock();
            if let Some(pid) = state.running.get(&container).map(|c| c.pid as i32) {
                state.destroyed.insert(container.clone());
                for other in state.processes(&container) {
                    process::signal(other, 9);
                }
                process::signal(pid, 9);
            } else if state.cgroups.is_some() && !state.ended.contains_key(&container) {
                shared.leave(&container);
            }
        }
        // Only first on a connection of its own.
        Order::Attach { .. } => {}
        Order::Forget { container } => {
            let mut state = shared.lock();
            if state.ended.remove(&container).is_some() {
                state.keep(Line::Forgotten { container });
            }
        }
        Order::Execute { number, container, program, environment, user, timeout_ms } => {
            let shared = shared.clone();
            thread::spawn(move || {
                let timeout = Duration::from_millis(timeout_ms);
                let status = execute(&shared, &container, &program, environment, user.as_deref(), timeout);
                shared.lock().say(&Word::Executed { number, status });
            });
        }
        Order::Stop => {
            shared.lock().stopping = true;
            let mut tries = 0;
            while !end_all(shared) && tries < STOP_TRIES_MAX {
                tries += 1;
                thread::sleep(Duration::from_millis(1));
            }
            std::process::exit(0);
        }
    }
}

/// Ends whatever runs; true once nothing does, nothing is being started, and no group is left.
fn end_all(shared: &Shared) -> bool {
    let mut state = shared.lock();
    let is_there =
        |c: &Container| c.adopted.is_none_or(|since| process::started(c.pid as i32) == Some(since));
    state.running.retain(|_, container| is_there(container));
    for (id, container) in &state.running {
        for pid in state.processes(id) {
            process::signal(pid, 9);
        }
        process::signal(container.pid as i32, 9);
        shared.leave(id);
    }
    let quiet = state.running.is_empty() && state.starting == 0;
    drop(state);
    clean_all(shared) && quiet
}

fn spawner(shared: &Arc<Shared>, queue: &Mutex<Receiver<Box<ContainerSpec>>>) {
    loop {
        let spec = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(spec) = spec else { return };
        let (isolation, cgroups, around) = {
            let mut state = shared.lock();
            if state.stopping || state.running.contains_key(&spec.id) || state.ended.contains_key(&spec.id) {
                continue;
            }
            state.starting += 1;
            let around = spec.id.parent().filter(|_| spec.session);
            let around = around.and_then(|parent| state.running.get(&parent)).map(|c| c.pid);
            (state.isolation.clone(), state.cgroups.clone(), around)
        };
        let outcome = start(&spec, &isolation, cgroups.as_ref(), around);
        let mut state = shared.lock();
        state.starting -= 1;
        match outcome {
            Ok((started, fronted, board)) => {
                let pid = started.pid;
                state.boards.extend(board.map(|board| (spec.id.clone(), board)));
                let since = process::started(pid).unwrap_or_default();
                state.keep(Line::Started { container: spec.id.clone(), pid: pid as u32, since });
                let container = Container {
                    pid: pid as u32,
                    started: Some(started),
                    sandbox: spec.sandbox.clone(),
                    fronted,
                    adopted: None,
                };
                state.running.insert(spec.id.clone(), container);
                state.pids.insert(pid, spec.id.clone());
                state.say(&Word::Launched { container: spec.id.clone(), pid: pid as u32 });
                if let Some(status) = state.early.remove(&pid) {
                    state.end(shared, &spec.id, status);
                }
            }
            Err(why) => {
                if state.cgroups.is_some() {
                    shared.leave(&spec.id);
                }
                state.say(&Word::Failed { container: spec.id.clone(), why });
            }
        }
        if state.starting == 0 {
            state.early.clear();
        }
        drop(state);
        shared.children.notify_all();
    }
}

fn start(
    spec: &ContainerSpec,
    isolation: &Isolation,
    cgroups: Option<&Cgroups>,
    around: Option<u32>,
) -> Result<(spawn::Started, bool, Option<Board>), String> {
    let user = spec.user.as_deref().map(process::user).transpose()?;
    // Switching to oneself needs no privilege and changes nothing.
    let user = user.filter(|_| process::is_root());
    let mut amounts = amounts(&spec.limits);
    amounts.parent = spec.group;
    if spec.shares_memory {
        amounts.memory_max = Some(u64::MAX);
    }
    let groups = match (cgroups, spec.id.parent().filter(|_| spec.session || spec.shares_groups)) {
        (Some(cgroups), Some(parent)) => {
            cgroups.join(&parent.0).map_err(|e| format!("can't join the cgroups: {e}"))?
        }
        (Some(cgroups), None) => {
            cgroups.create(&spec.id.0, &amounts).map_err(|e| format!("can't make the cgroups: {e}"))?
        }
        (None, _) => Vec::new(),
    };
    let (ends, board) = switchboard::connect(spec.io, Path::new(&spec.sandbox), spec.session)?;
    let enter =
        match (around, isolation.pid_namespace || isolation.mount_namespace || isolation.ipc_namespace) {
            (Some(pid), true) => {
                spawn::namespaces_of(pid).map_err(|e| format!("can't join the container: {e}"))?
            }
            (None, _) if spec.session => return Err("the container around it is gone".to_owned()),
            _ => Vec::new(),
        };
    let own = !spec.session;
    let (stdout, stderr) = (ends.stdout, ends.stderr);
    let order = order(&spec.program, &spec.environment, &spec.sandbox, user.clone(), stdout, stderr)?;
    let order = spawn::Order {
        cgroups: groups,
        pid_namespace: own && isolation.pid_namespace,
        mount_namespace: own && isolation.mount_namespace,
        ipc_namespace: own && isolation.ipc_namespace,
        mounts: volumes::place(spec, isolation, user.as_ref())?,
        hold: spec.program == Program::Hold,
        enter,
        terminal: matches!(spec.io, Io::Terminal { .. }),
        stdin: ends.stdin.unwrap_or(order.stdin),
        ..order
    };
    let started = spawn::spawn(&order).map_err(|e| format!("Failed to launch container: {e}"))?;
    Ok((started, order.is_fronted(), board))
}

fn order(
    program: &Program,
    environment: &[(String, String)],
    directory: &str,
    user: Option<User>,
    stdout: fs::File,
    stderr: fs::File,
) -> Result<spawn::Order, String> {
    let text = |s: &str| CString::new(s).map_err(|_| format!("'{}' holds a zero byte", s.escape_default()));
    let path = environment.iter().find(|(n, _)| n == "PATH").map_or("/usr/bin:/bin", |(_, v)| v);
    let (file, arguments) = match program {
        Program::Shell(script) => {
            ("/bin/sh".to_owned(), vec!["sh".to_owned(), "-c".to_owned(), script.clone()])
        }
        Program::Exec { file, arguments } => (search(file, path), arguments.clone()),
        Program::Hold => (String::new(), Vec::new()),
    };
    let null = fs::File::open("/dev/null").map_err(|e| format!("can't open /dev/null: {e}"))?;
    Ok(spawn::Order {
        file: text(&file)?,
        arguments: arguments.iter().map(|a| text(a)).collect::<Result<_, _>>()?,
        environment: environment.iter().map(|(n, v)| text(&format!("{n}={v}"))).collect::<Result<_, _>>()?,
        directory: text(directory)?,
        stdin: null,
        stdout,
        stderr,
        user,
        cgroups: Vec::new(),
        pid_namespace: false,
        mount_namespace: false,
        ipc_namespace: false,
        mounts: Vec::new(),
        hold: false,
        enter: Vec::new(),
        terminal: false,
    })
}

fn amounts(limits: &Limits) -> Amounts {
    Amounts {
        cpus: limits.cpus,
        cpus_max: limits.cpus_max,
        memory: limits.mem,
        memory_max: limits.mem_max,
        parent: false,
    }
}

/// As execvp looks for a file.
fn search(file: &str, path: &str) -> String {
    if file.contains('/') {
        return file.to_owned();
    }
    let executable =
        |p: &PathBuf| fs::metadata(p).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    let found = path.split(':').map(|dir| Path::new(dir).join(file)).find(executable);
    found.map_or_else(|| file.to_owned(), |p| p.display().to_string())
}

/// Runs a command in the cgroups and the sandbox of a container; none = it did not end in time.
fn execute(
    shared: &Arc<Shared>,
    id: &ContainerId,
    program: &Program,
    environment: Vec<(String, String)>,
    user: Option<&str>,
    timeout: Duration,
) -> Result<Option<i32>, String> {
    let (ended, mut started) = {
        let mut state = shared.lock();
        let Some(container) = state.running.get(id) else { return Err("the container is gone".to_owned()) };
        let user = user.map(process::user).transpose()?.filter(|_| process::is_root());
        let null = || fs::OpenOptions::new().write(true).open("/dev/null").map_err(|e| e.to_string());
        let sandbox = if container.sandbox.is_empty() { "/".to_owned() } else { container.sandbox.clone() };
        let order = order(program, &environment, &sandbox, user, null()?, null()?)?;
        let enter = match container.fronted {
            true => spawn::namespaces_of(container.pid).map_err(|e| e.to_string())?,
            false => Vec::new(),
        };
        let groups = state.cgroups.as_ref().filter(|c| c.exists(&id.0));
        let cgroups = groups.map_or(Ok(Vec::new()), |c| c.join(&id.0)).map_err(|e| e.to_string())?;
        let order = spawn::Order { enter, cgroups, ..order };
        let started = spawn::spawn(&order).map_err(|e| e.to_string())?;
        let (tell, ended) = channel();
        state.helpers.insert(started.pid, tell);
        (ended, started)
    };
    shared.children.notify_all();
    match ended.recv_timeout(timeout).map(|seen| started.outcome(seen)) {
        Ok(Status::Exited(code)) => Ok(Some(code)),
        Ok(Status::Signaled(signal)) => Ok(Some(128 + signal)),
        Err(_) => {
            for other in process::tree(started.pid) {
                process::signal(other, 9);
            }
            Ok(None)
        }
    }
}

/// Takes every exit, ours and that of orphans which fell to us.
fn reap(shared: &Arc<Shared>) {
    loop {
        match process::wait_any() {
            Ok(Some((pid, status))) => {
                let mut state = shared.lock();
                if let Some(id) = state.pids.get(&pid).cloned() {
                    state.end(shared, &id, status);
                } else if let Some(tell) = state.helpers.remove(&pid) {
                    // Nobody waits any more if it took too long.
                    tell.send(status).unwrap_or_default();
                } else if state.starting > 0 {
                    state.early.insert(pid, status);
                }
            }
            Ok(None) => {
                let state = shared.lock();
                let wait = shared.children.wait_timeout(state, Duration::from_millis(100));
                drop(wait.unwrap_or_else(PoisonError::into_inner));
            }
            Err(error) => {
                eprintln!("launcher: wait: {error}");
                thread::sleep(WATCH_EVERY);
            }
        }
    }
}

/// Sees adopted containers end, and ends this process when nobody needs it.
fn watch(shared: &Arc<Shared>) {
    loop {
        thread::sleep(WATCH_EVERY);
        let mut state = shared.lock();
        let gone: Vec<_> = state
            .running
            .iter()
            .filter(|(_, c)| c.adopted.is_some_and(|since| process::started(c.pid as i32) != Some(since)))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            state.running.remove(&id);
            state.finish(shared, &id, Termination::Unknown);
        }
        state.boards.retain(|_, board| !board.is_stale());
        let idle = state.running.is_empty() && state.starting == 0 && state.agent.is_none();
        if idle && state.idle_since.elapsed() > LINGER {
            std::process::exit(0);
        }
    }
}
