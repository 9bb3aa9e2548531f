//! One loop per machine: inputs and deadlines in, steps, effects out. Never decides anything.

pub use crate::clock::now;
use crate::measure::Timings;
use base::{Effects, Machine, Now, Rng};
use model::save::{Change, SaveId};
use std::{
    cell::OnceCell,
    sync::{Arc, RwLock, RwLockReadGuard},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};

/// Inputs that may wait for one machine. A full inbox makes its senders wait: back-pressure, never growth.
pub const INBOX_MAX: usize = 65_536;
/// Inputs that are stepped before effects are performed and readers are let in.
pub const BATCH_MAX: usize = 512;

/// A machine that is driven, as its readers and senders see it.
pub struct Driven<M: Machine> {
    machine: Arc<RwLock<M>>,
    inbox: mpsc::Sender<M::Input>,
}

impl<M: Machine> Clone for Driven<M> {
    fn clone(&self) -> Self {
        Self { machine: self.machine.clone(), inbox: self.inbox.clone() }
    }
}

impl<M: Machine> Driven<M> {
    /// The machine between two steps. A machine that broke an invariant is not read again: the process ends.
    pub fn read(&self) -> RwLockReadGuard<'_, M> {
        self.machine.read().unwrap_or_else(|_| std::process::abort())
    }
    /// The same, but nobody waits for it who does not look at it.
    pub fn late(&self) -> Late<'_, M> {
        Late { driven: self, machine: OnceCell::new() }
    }
    /// Hands an input over; waits while the inbox is full, and drops it once the machine has stopped.
    pub async fn send(&self, input: M::Input) {
        if self.inbox.send(input).await.is_err() {
            tracing::debug!("an input came after its machine had stopped");
        }
    }
    /// Inputs that wait.
    pub fn waiting(&self) -> usize {
        self.inbox.max_capacity() - self.inbox.capacity()
    }
    /// The inbox itself, for those that keep it.
    pub fn inbox(&self) -> mpsc::Sender<M::Input> {
        self.inbox.clone()
    }
}

/// The machine between two steps, from when it is first looked at.
pub struct Late<'a, M: Machine> {
    driven: &'a Driven<M>,
    machine: OnceCell<RwLockReadGuard<'a, M>>,
}

impl<M: Machine> std::ops::Deref for Late<'_, M> {
    type Target = M;
    fn deref(&self) -> &M {
        self.machine.get_or_init(|| self.driven.read())
    }
}

/// Randomness seeded by the system.
pub fn system_rng() -> Rng {
    use rand_core::TryRngCore as _;
    let mut seed = [0; 32];
    if let Err(error) = rand_core::OsRng.try_fill_bytes(&mut seed) {
        tracing::error!(%error, "the system gives no randomness");
        std::process::exit(1);
    }
    Rng::from_seed(seed)
}

/// Starts the loop of a machine. `tick` is its input for a deadline that has come; `perform` does one effect and may
/// not block. The loop ends when `stop` turns true.
pub fn drive<M>(
    machine: M,
    rng: Rng,
    tick: fn() -> M::Input,
    stop: watch::Receiver<bool>,
    make_perform: impl FnOnce(Driven<M>) -> Box<dyn FnMut(M::Effect) + Send>,
) -> (Driven<M>, tokio::task::JoinHandle<()>)
where
    M: Machine + Send + Sync + 'static,
    M::Input: Send,
    M::Effect: Send,
{
    drive_observed(machine, rng, tick, stop, make_perform, |_, _| {})
}

/// The same; `observe` sees the machine after each batch, and how long its steps took.
pub fn drive_observed<M>(
    machine: M,
    mut rng: Rng,
    tick: fn() -> M::Input,
    mut stop: watch::Receiver<bool>,
    make_perform: impl FnOnce(Driven<M>) -> Box<dyn FnMut(M::Effect) + Send>,
    mut observe: impl FnMut(&M, Duration) + Send + 'static,
) -> (Driven<M>, tokio::task::JoinHandle<()>)
where
    M: Machine + Send + Sync + 'static,
    M::Input: Send,
    M::Effect: Send,
{
    let (inbox, mut inputs) = mpsc::channel(INBOX_MAX);
    let driven = Driven { machine: Arc::new(RwLock::new(machine)), inbox };
    let mut perform = make_perform(driven.clone());
    let shared = driven.machine.clone();
    let task = tokio::spawn(async move {
        let mut effects = Effects::default();
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            let deadline = match shared.read() {
                Ok(machine) => machine.deadline().map(|(at, _)| at.since(now())),
                Err(_) => std::process::abort(),
            };
            let due = tokio::time::sleep(deadline.unwrap_or(Duration::from_secs(3600)));
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                _ = inputs.recv_many(&mut batch, BATCH_MAX) => {}
                () = due => batch.push(tick()),
            }
            {
                let Ok(mut machine) = shared.write() else { std::process::abort() };
                let time = now();
                let began = Instant::now();
                for input in batch.drain(..) {
                    machine.step(Now::new(time, &mut rng), input, &mut effects);
                }
                observe(&machine, began.elapsed());
            }
            for effect in effects.drain() {
                perform(effect);
            }
        }
    });
    (driven, task)
}

/// Carries out `Save` effects in order: hands the batch to the store and brings its completion back as an input.
pub struct Saver {
    store: Arc<store::Store>,
    term: u64,
    commits: mpsc::UnboundedSender<(SaveId, Instant, store::Commit)>,
}

impl Saver {
    /// `done` makes the input from the outcome. The queue is bounded by the machine: it keeps few saves in flight.
    pub fn start<I: Send + 'static>(
        store: Arc<store::Store>,
        inbox: mpsc::Sender<I>,
        done: fn(SaveId, Result<(), String>) -> I,
    ) -> Self {
        Self::start_timed(store, inbox, done, Timings::default())
    }

    /// The same; `took` gets the milliseconds of each commit.
    pub fn start_timed<I: Send + 'static>(
        store: Arc<store::Store>,
        inbox: mpsc::Sender<I>,
        done: fn(SaveId, Result<(), String>) -> I,
        took: Timings,
    ) -> Self {
        let term = store.next_term();
        let (commits, mut outcomes) = mpsc::unbounded_channel::<(SaveId, Instant, store::Commit)>();
        tokio::spawn(async move {
            let mut refused = false;
            while let Some((save, began, outcome)) = outcomes.recv().await {
                let outcome = outcome.await.map_err(|e| e.to_string());
                took.note(began.elapsed());
                // Once, however often it is tried again.
                match &outcome {
                    Err(why) if !refused => {
                        tracing::error!(why, "nothing can be made durable; changes wait and are tried again");
                    }
                    Ok(()) if refused => tracing::warn!("changes are made durable again"),
                    _ => {}
                }
                refused = outcome.is_err();
                if inbox.send(done(save, outcome)).await.is_err() {
                    return;
                }
            }
        });
        Self { store, term, commits }
    }
    /// Queues one batch.
    pub fn save(&self, save: SaveId, batch: Vec<Change>) {
        let began = Instant::now();
        if self.commits.send((save, began, self.store.commit(self.term, batch))).is_err() {
            tracing::error!("a save came after its machine had stopped");
        }
    }
}
