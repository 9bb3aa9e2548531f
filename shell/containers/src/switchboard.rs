//! Input and output of containers that clients attach to: what the container says goes to its files and to every client,
//! what a client says goes to the container.
//!
//! Lives in the launcher, so that a terminal outlives the agent. A client that does not read is cut; in a session, which
//! has but one client, the container waits for it. Never who may attach (the agent).

use crate::{
    beneath,
    protocol::{Frame, read_frame, write_frame},
};
use linux::terminal::{self, Size};
use model::container::Io;
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write as _},
    os::unix::{fs::OpenOptionsExt as _, net::UnixStream},
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// Bytes that are passed on at once.
const CHUNK_BYTES_MAX: usize = 16 * 1024;
/// Chunks that may wait for one client.
const CHUNKS_WAITING_MAX: usize = 256;
/// Words that are written together are passed on together.
const GATHER: Duration = Duration::from_millis(1);
/// How long the client of a session may take to come once the session has ended.
const CLIENT_MAX: Duration = Duration::from_secs(10);
/// How long nothing may come once the container has ended, before its output is taken to be over: a process that got away
/// may hold it open. A reader that is slow is waited for.
const DRAIN: Duration = Duration::from_secs(1);

/// What the container's process gets.
pub struct Ends {
    /// Its stdin; none = nothing to read.
    pub stdin: Option<File>,
    /// Its stdout.
    pub stdout: File,
    /// Its stderr.
    pub stderr: File,
}

#[derive(Default)]
struct State {
    clients: Vec<SyncSender<Frame>>,
    input: Option<Arc<File>>,
    /// Sources that may still say something.
    open: usize,
    /// Chunks that came so far.
    came: u64,
    /// Chunks for which a client's reader has no room yet.
    stuck: usize,
    begun: bool,
    over: bool,
    /// Since when its container has ended.
    ended: Option<Instant>,
}

struct Inner {
    state: Mutex<State>,
    changed: Condvar,
    terminal: Option<File>,
    session: bool,
}

/// The board of one container. Clones share it.
#[derive(Clone)]
pub struct Board(Arc<Inner>);

/// What a container says with, and where it is written besides.
struct Source {
    from: File,
    frame: fn(Vec<u8>) -> Frame,
    file: Option<File>,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Files, or a board and what its container gets. `root`: the outermost sandbox around it.
pub fn connect(
    io: Io,
    (root, sandbox): (&Path, &Path),
    session: bool,
) -> Result<(Ends, Option<Board>), String> {
    // Tasks around it may have put something else in its place since it was made.
    let held = match sandbox.strip_prefix(root) {
        Ok(below) if !below.as_os_str().is_empty() => Some(
            beneath::directory(root, below, beneath::MODE).map_err(|why| format!("the sandbox: {why}"))?.0,
        ),
        _ => None,
    };
    let place = held.as_ref().map_or_else(|| sandbox.to_owned(), beneath::by_descriptor);
    let open = |name: &str| {
        let path = place.join(name);
        // Most are new.
        match OpenOptions::new().create_new(true).append(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map_err(|e| format!("can't open {}: {e}", path.display())),
        }
        // What an archive left under this name may lead anywhere, and we open it with our own rights.
        if path.symlink_metadata().is_ok_and(|m| !m.is_file()) {
            return Err(format!("{} is not a regular file", path.display()));
        }
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).custom_flags(linux::process::NO_FOLLOW).open(&path);
        file.map_err(|e| format!("can't open {}: {e}", path.display()))
    };
    let kept = |name: &str| if session { Ok(None) } else { open(name).map(Some) };
    let no_pipe = |e: io::Error| format!("can't make a pipe: {e}");
    let (ends, input, terminal, sources) = match io {
        Io::Files => {
            return Ok((Ends { stdin: None, stdout: open("stdout")?, stderr: open("stderr")? }, None));
        }
        Io::Pipes => {
            let (stdin, input) = terminal::pipe().map_err(no_pipe)?;
            let (from_out, stdout) = terminal::pipe().map_err(no_pipe)?;
            let (from_err, stderr) = terminal::pipe().map_err(no_pipe)?;
            let sources = vec![
                Source { from: from_out, frame: Frame::Out, file: kept("stdout")? },
                Source { from: from_err, frame: Frame::Err, file: kept("stderr")? },
            ];
            (Ends { stdin: Some(stdin), stdout, stderr }, input, None, sources)
        }
        Io::Terminal { rows, columns } => {
            let no_terminal = |e: io::Error| format!("can't make a terminal: {e}");
            let (master, slave) = terminal::open(Size { rows, columns }).map_err(no_terminal)?;
            let copy = |file: &File| file.try_clone().map_err(no_terminal);
            let sources = vec![Source { from: copy(&master)?, frame: Frame::Out, file: kept("stdout")? }];
            let ends = Ends { stdin: Some(copy(&slave)?), stdout: copy(&slave)?, stderr: slave };
            (ends, copy(&master)?, Some(master), sources)
        }
    };
    let state = State { input: Some(Arc::new(input)), open: sources.len(), ..State::default() };
    let inner = Inner { state: Mutex::new(state), changed: Condvar::new(), terminal, session };
    let board = Board(Arc::new(inner));
    for source in sources {
        let board = board.clone();
        thread::spawn(move || board.pump(source));
    }
    Ok((ends, Some(board)))
}

impl Board {
    /// Passes on what one source says until it ends.
    fn pump(&self, mut source: Source) {
        {
            let mut state = self.0.lock();
            while self.0.session && !state.begun && !state.over {
                state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        let mut buffer = vec![0; CHUNK_BYTES_MAX];
        // A terminal whose process has gone answers with an error.
        while let Ok(1) = source.from.read(&mut buffer[..1]) {
            thread::sleep(GATHER);
            let more = if linux::terminal::is_readable(&source.from) {
                source.from.read(&mut buffer[1..]).unwrap_or_default()
            } else {
                0
            };
            let bytes = &buffer[..1 + more];
            if let Some(file) = &mut source.file {
                // A full disk loses output, as it does for a container that writes by itself.
                file.write_all(bytes).unwrap_or_default();
            }
            self.say(&(source.frame)(bytes.to_vec()));
        }
        let mut state = self.0.lock();
        state.open -= 1;
        if state.open == 0 {
            Self::end(&mut state);
            self.0.changed.notify_all();
        }
    }

    fn end(state: &mut State) {
        state.over = true;
        state.clients.clear();
        state.input = None;
    }

    fn say(&self, frame: &Frame) {
        if self.0.session {
            let clients = {
                let mut state = self.0.lock();
                state.came += 1;
                state.stuck += 1;
                state.clients.clone()
            };
            let gone = clients.iter().any(|client| client.send(frame.clone()).is_err());
            let mut state = self.0.lock();
            state.stuck -= 1;
            if gone {
                state.clients.clear();
            }
            return;
        }
        let taken = |client: &SyncSender<Frame>| match client.try_send(frame.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        };
        self.0.lock().clients.retain(taken);
    }

    /// The container has ended: what it said last still goes out, in a session to the client that is yet to come.
    pub fn container_ended(&self) {
        let waits = {
            let mut state = self.0.lock();
            state.ended = Some(Instant::now());
            self.0.session && !state.begun
        };
        if !waits {
            self.drain();
        }
    }

    /// Whether nobody will want it any more.
    pub fn is_stale(&self) -> bool {
        let mut state = self.0.lock();
        let late = state.ended.is_some_and(|at| state.begun || at.elapsed() > CLIENT_MAX);
        if late && !state.begun {
            Self::end(&mut state);
            self.0.changed.notify_all();
        }
        late
    }

    fn drain(&self) {
        let board = self.clone();
        thread::spawn(move || {
            let mut seen = None;
            loop {
                let came = {
                    let state = board.0.lock();
                    (state.stuck == 0).then_some(state.came)
                };
                if came.is_some() && came == seen {
                    break;
                }
                seen = came;
                thread::sleep(DRAIN);
            }
            Self::end(&mut board.0.lock());
            board.0.changed.notify_all();
        });
    }

    /// Serves one client until it or the container has gone. `output`: it hears what the container says.
    pub fn serve(&self, mut from: impl Read, mut to: UnixStream, output: bool) {
        if output {
            let (client, frames) = sync_channel(CHUNKS_WAITING_MAX);
            let late = {
                let mut state = self.0.lock();
                if !state.over {
                    state.clients.push(client);
                    state.begun = true;
                }
                state.ended.is_some()
            };
            self.0.changed.notify_all();
            if late {
                self.drain();
            }
            thread::spawn(move || {
                write_all(&mut to, &frames);
                // Its reader waits for this.
                to.shutdown(std::net::Shutdown::Both).unwrap_or_default();
            });
        }
        while let Ok(Some(frame)) = read_frame(&mut from) {
            match frame {
                Frame::In(bytes) if bytes.is_empty() => {
                    // A terminal has no end of input but its own character for it.
                    if self.0.terminal.is_none() {
                        self.0.lock().input = None;
                    }
                }
                Frame::In(bytes) => {
                    let input = self.0.lock().input.clone();
                    if let Some(input) = input
                        && (&*input).write_all(&bytes).is_err()
                    {
                        self.0.lock().input = None;
                    }
                }
                Frame::Window { rows, columns } => {
                    if let Some(terminal) = &self.0.terminal {
                        terminal::resize(terminal, Size { rows, columns }).unwrap_or_default();
                    }
                }
                Frame::Out(_) | Frame::Err(_) => {}
            }
        }
    }
}

fn write_all(to: &mut UnixStream, frames: &Receiver<Frame>) {
    while let Ok(frame) = frames.recv() {
        if write_frame(to, &frame).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_written_where_the_sandbox_is_and_nowhere_that_a_task_leads_to() {
        let dir = tempfile::tempdir().expect("a directory");
        let (root, elsewhere) = (dir.path().join("run"), dir.path().join("elsewhere"));
        let sandbox = root.join("containers/a");
        for made in [&sandbox, &elsewhere.join("a")] {
            std::fs::create_dir_all(made).expect("made");
        }
        for _ in 0..2 {
            let (ends, _) = connect(Io::Files, (&root, &sandbox), false).expect("files");
            (&ends.stdout).write_all(b"x").expect("written");
        }
        assert_eq!(std::fs::read(sandbox.join("stdout")).expect("it is there"), b"xx");
        std::fs::rename(root.join("containers"), root.join("away")).expect("a task may");
        if !beneath::link_of_another(&elsewhere, &root.join("containers")) {
            return;
        }
        let refused = connect(Io::Files, (&root, &sandbox), false).err().expect("no output");
        assert!(refused.contains("is a link"), "{refused}");
        assert!(!elsewhere.join("a/stdout").exists());
    }
}
