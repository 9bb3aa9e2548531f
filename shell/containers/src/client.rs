//! The agent's side of the launcher: finds the living one of its directory or starts it, orders without waiting.

use crate::{
    isolation::Isolation,
    protocol::{Frame, Order, VERSION, Word},
    socket::Socket,
};
use model::container::{ContainerId, ContainerSpec, Limits, Program, Termination};
use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot, watch},
};

/// Orders that may wait for the socket.
const ORDERS_MAX: usize = 65_536;
/// How long it may take to end all containers.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Launchers that may break off before one answers.
const GREETINGS_MAX: u32 = 20;
const GREETING_PAUSE: Duration = Duration::from_millis(20);
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// How a launcher is found or started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its directory: socket and journal.
    pub dir: PathBuf,
    /// This binary, and what stands before the directory on its command line.
    pub command: Vec<String>,
    /// What keeps tasks apart.
    pub isolation: Isolation,
    /// `/sys/fs/cgroup`.
    pub cgroup_mount: PathBuf,
    /// `--cgroups_root`.
    pub cgroups_root: String,
}

/// What became of a container.
#[derive(Debug)]
pub enum Ended {
    /// It runs.
    Launched {
        /// Which.
        container: ContainerId,
        /// Its first process.
        pid: u32,
    },
    /// It could not be made.
    Failed {
        /// Which.
        container: ContainerId,
        /// Why.
        why: String,
    },
    /// It ended.
    Terminated {
        /// Which.
        container: ContainerId,
        /// How.
        how: Termination,
    },
    /// The launcher itself is gone.
    LauncherLost,
}

/// What a launcher knew when the agent came.
#[derive(Debug, Default)]
pub struct Known {
    /// Running containers and their first process.
    pub running: Vec<(ContainerId, u32)>,
    /// Containers that it was ordered to make and has not made yet.
    pub starting: Vec<ContainerId>,
    /// Ended containers that were not forgotten.
    pub ended: Vec<(ContainerId, Termination)>,
}

type Executions = Arc<Mutex<BTreeMap<u64, oneshot::Sender<Result<Option<i32>, String>>>>>;

/// A connection to the launcher.
#[derive(Clone, Debug)]
pub struct Launcher {
    orders: mpsc::Sender<Order>,
    executions: Executions,
    socket: Arc<Socket>,
    /// Closes when the launcher has gone.
    gone: watch::Receiver<()>,
}

impl Launcher {
    /// Connects to the launcher of a directory, starting it if none lives. What happens to containers comes by the
    /// channel.
    pub async fn start(options: Options) -> io::Result<(Self, Known, mpsc::Receiver<Ended>)> {
        let (mut lines, mut write, known) = greet_one(&options).await?;
        let (orders, mut queue) = mpsc::channel::<Order>(ORDERS_MAX);
        tokio::spawn(async move {
            let mut batch = Vec::new();
            while queue.recv_many(&mut batch, 256).await > 0 {
                let mut bytes = Vec::new();
                for order in batch.drain(..) {
                    bytes.extend(line(&order).unwrap_or_default());
                }
                if let Err(error) = write.write_all(&bytes).await {
                    tracing::error!(%error, "the launcher takes no orders");
                    return;
                }
            }
        });
        let (tell, words) = mpsc::channel(ORDERS_MAX);
        let executions: Executions = Arc::default();
        let waiting = executions.clone();
        let (alive, gone) = watch::channel(());
        tokio::spawn(async move {
            while let Ok(Some(text)) = lines.next_line().await {
                let ended = match serde_json::from_str(&text) {
                    Ok(Word::Launched { container, pid }) => Ended::Launched { container, pid },
                    Ok(Word::Failed { container, why }) => Ended::Failed { container, why },
                    Ok(Word::Terminated { container, how }) => Ended::Terminated { container, how },
                    Ok(Word::Executed { number, status }) => {
                        let waiter = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
                        if let Some(waiter) = waiter {
                            waiter.send(status).unwrap_or_default();
                        }
                        continue;
                    }
                    Ok(Word::Welcome { .. } | Word::Attached | Word::Refused { .. }) => continue,
                    Err(error) => {
                        tracing::error!(%error, "the launcher's word does not parse");
                        continue;
                    }
                };
                // Nobody listens any more while it is being stopped; its end is waited for all the same.
                tell.send(ended).await.unwrap_or_default();
            }
            // Dropped before: who stopped it on purpose need not hear that it is lost.
            drop(alive);
            // Nobody answers these any more.
            waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
            tell.send(Ended::LauncherLost).await.unwrap_or_default();
        });
        let socket = Arc::new(Socket::of(&options.dir)?);
        Ok((Self { orders, executions, socket, gone }, known, words))
    }

    async fn order(&self, order: Order) {
        if self.orders.send(order).await.is_err() {
            tracing::error!("the launcher is gone");
        }
    }
    /// Orders a container.
    pub async fn launch(&self, spec: ContainerSpec) {
        self.order(Order::Launch(Box::new(spec))).await;
    }
    /// Changes what a container may use.
    pub async fn limit(&self, container: ContainerId, limits: Limits) {
        self.order(Order::Limit { container, limits }).await;
    }
    /// A signal to all processes of a container.
    pub async fn signal(&self, container: ContainerId, signal: i32) {
        self.order(Order::Signal { container, signal }).await;
    }
    /// Ends what is left of a container.
    pub async fn destroy(&self, container: ContainerId) {
        self.order(Order::Destroy { container }).await;
    }
    /// Drops an ended container from the journal.
    pub async fn forget(&self, container: ContainerId) {
        self.order(Order::Forget { container }).await;
    }
    /// Attaches to a container's input and, if asked, to its output. The error says why not, for people.
    pub async fn attach(
        &self,
        container: ContainerId,
        output: bool,
    ) -> Result<(AttachedOutput, AttachedInput), String> {
        let lost = |e: io::Error| format!("the launcher does not answer: {e}");
        let stream = UnixStream::connect(self.socket.path()).await.map_err(lost)?;
        let (read, mut write) = stream.into_split();
        let order = line(&Order::Attach { container, output }).map_err(lost)?;
        write.write_all(&order).await.map_err(lost)?;
        let mut read = BufReader::new(read);
        let mut answer = String::new();
        read.read_line(&mut answer).await.map_err(lost)?;
        match serde_json::from_str(&answer) {
            Ok(Word::Attached) => Ok((AttachedOutput(read), AttachedInput(write))),
            Ok(Word::Refused { why }) => Err(why),
            _ => Err("the launcher does not answer".to_owned()),
        }
    }
    /// Ends all containers and the launcher.
    pub async fn stop(&self) {
        self.order(Order::Stop).await;
        let mut gone = self.gone.clone();
        // Its end of the connection closes with it.
        if tokio::time::timeout(STOP_TIMEOUT, gone.changed()).await.is_err() {
            tracing::warn!("the launcher has not ended its containers within {STOP_TIMEOUT:?}");
        }
    }
    /// Runs a command in a container's sandbox; `Ok(None)` = it did not end in time.
    pub async fn execute(
        &self,
        container: ContainerId,
        program: Program,
        environment: Vec<(String, String)>,
        user: Option<String>,
        timeout: Duration,
    ) -> Result<Option<i32>, String> {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (tell, told) = oneshot::channel();
        self.executions.lock().unwrap_or_else(PoisonError::into_inner).insert(number, tell);
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self.order(Order::Execute { number, container, program, environment, user, timeout_ms }).await;
        if self.gone.has_changed().is_err() {
            self.executions.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        }
        told.await.unwrap_or_else(|_| Err("the launcher is gone".to_owned()))
    }
}

/// What an attached container says.
#[derive(Debug)]
pub struct AttachedOutput(BufReader<OwnedReadHalf>);

impl AttachedOutput {
    /// The next that it says; none = the container has ended, or the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 5];
        self.0.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; Frame::length(head).ok()?];
        self.0.read_exact(&mut payload).await.ok()?;
        Frame::of(head[0], payload).ok()
    }
}

/// What an attached container hears.
#[derive(Debug)]
pub struct AttachedInput(OwnedWriteHalf);

impl AttachedInput {
    /// Says it; false = nobody hears it any more.
    pub async fn say(&mut self, frame: &Frame) -> bool {
        self.0.write_all(&frame.bytes()).await.is_ok()
    }
}

fn line(order: &Order) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(order)?;
    text.push(b'\n');
    Ok(text)
}

type Lines = tokio::io::Lines<BufReader<OwnedReadHalf>>;

/// Greets a launcher. One that was killed may still take a connection, which then breaks: the next one is greeted.
async fn greet_one(options: &Options) -> io::Result<(Lines, OwnedWriteHalf, Known)> {
    let mut tries = 0;
    loop {
        let broken = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
            )
        };
        match greet(options).await {
            Err(error) if broken(&error) && tries < GREETINGS_MAX => tries += 1,
            outcome => return outcome,
        }
        tokio::time::sleep(GREETING_PAUSE).await;
    }
}

async fn greet(options: &Options) -> io::Result<(Lines, OwnedWriteHalf, Known)> {
    let (read, mut write) = connect(options).await?.into_split();
    let hello = Order::Hello {
        version: VERSION,
        isolation: options.isolation.clone(),
        cgroup_mount: options.cgroup_mount.display().to_string(),
        cgroups_root: options.cgroups_root.clone(),
        file_limit: linux::process::file_limit_before(),
    };
    write.write_all(&line(&hello)?).await?;
    let mut lines = BufReader::new(read).lines();
    loop {
        let text = lines.next_line().await?;
        let closed = || io::Error::new(io::ErrorKind::UnexpectedEof, "the launcher closed its socket");
        if let Word::Welcome { version, running, starting, ended } =
            serde_json::from_str(&text.ok_or_else(closed)?)?
        {
            if version != VERSION {
                let why = format!("the launcher speaks version {version}, this agent {VERSION}");
                return Err(io::Error::other(why));
            }
            return Ok((lines, write, Known { running, starting, ended }));
        }
    }
}

async fn connect(options: &Options) -> io::Result<UnixStream> {
    std::fs::create_dir_all(&options.dir)?;
    let socket = Socket::of(&options.dir)?;
    if let Ok(stream) = UnixStream::connect(socket.path()).await {
        return Ok(stream);
    }
    let log = std::fs::OpenOptions::new().create(true).append(true).open(options.dir.join("log"))?;
    let Some((program, arguments)) = options.command.split_first() else {
        return Err(io::Error::other("no command to start the launcher with"));
    };
    let mut child = std::process::Command::new(program)
        .args(arguments)
        .arg(&options.dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let until = tokio::time::Instant::now() + START_TIMEOUT;
    loop {
        if let Ok(stream) = UnixStream::connect(socket.path()).await {
            // It lives on by itself; its end is seen when the socket closes.
            std::thread::spawn(move || child.wait());
            return Ok(stream);
        }
        if let Some(status) = child.try_wait()? {
            let log = std::fs::read_to_string(options.dir.join("log")).unwrap_or_default();
            let last = log.lines().last().unwrap_or("it said nothing").to_owned();
            return Err(io::Error::other(format!("the launcher ended at once ({status}): {last}")));
        }
        if tokio::time::Instant::now() > until {
            return Err(io::Error::other("the launcher did not open its socket in time"));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
