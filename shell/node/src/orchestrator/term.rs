//! One term of a leader: its machine, its store, its subscription, and how requests are answered while it lasts.
//!
//! Never: who leads (`orchestrator`), nor what the machine decides.

use crate::{
    Stop,
    driver::{Driven, Saver, drive, now, system_rng},
    hub::{Hub, Readers, Style},
    lists::Lists,
    orchestrator::subscription::keep_subscribed,
};
use bytes::Bytes;
use endpoints::{
    Arrived, Routed,
    orchestrator::{Abdication, Asked, Identity, Refusal, lists, plain, wants_plain},
};
use model::{request::RequestId, save::Records};
use orchestrator::{Config, Effect, Input, Orchestrator, ServerEvent};
use std::{sync::Arc, time::Duration};
use store::{BackupError, Seat, Store};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use web::Reply;

/// The role that backups are of.
const ROLE: &str = "orchestrator";
/// Between two looks whether the store's directory is where it was.
const LOOK: Duration = Duration::from_millis(250);
/// Between two beats on event streams, and what is sent: Marathon's come from Jetty's `EventSourceServlet`.
const BEAT: Duration = Duration::from_secs(10);
const BEAT_BYTES: Bytes = Bytes::from_static(b"\r\n");

/// What every term of this process has.
#[derive(Clone)]
pub struct Setting {
    /// The machine's settings.
    pub config: Config,
    /// The master's URL.
    pub master: String,
    /// What the surface says of itself.
    pub who: Arc<Identity>,
}

/// A leader as requests see it.
pub struct Term {
    driven: Driven<Orchestrator>,
    hub: Arc<Hub<ServerEvent>>,
    who: Arc<Identity>,
    lists: Lists,
    store: Arc<Store>,
    tell: watch::Sender<bool>,
    abdicated: mpsc::Sender<Abdicated>,
}

/// A leader that steps down.
pub struct Abdicated {
    /// What the next one finds instead of what this one leaves.
    restored: Option<Records>,
    /// Hears what became of it.
    done: oneshot::Sender<Result<(), String>>,
}

/// Why a term is over.
pub enum Over {
    /// Somebody asked for it.
    Abdicated(Option<Abdicated>),
    /// The store's directory is not where it was any more.
    Lost,
}

/// What the one who started a term waits for, and ends it with.
pub struct Reign {
    abdicated: mpsc::Receiver<Abdicated>,
    machine: JoinHandle<()>,
    tell: watch::Sender<bool>,
    store: Arc<Store>,
}

/// Starts a term of whoever has the seat.
pub fn begin(seat: Seat, setting: &Setting) -> anyhow::Result<(Arc<Term>, Reign)> {
    let store = Arc::new(Store::open_by(seat)?);
    let machine = Orchestrator::new(setting.config.clone(), store.records("")?, now());
    let style = Style {
        frame: endpoints::orchestrator::frame,
        media_type: endpoints::orchestrator::media_type,
        last_words: |why, _| Some(endpoints::orchestrator::last_words(why, now())),
        readers: Readers::Spectators,
    };
    let (hub, mut closed) = Hub::new(style);
    let (tell, stop): (_, Stop) = watch::channel(false);
    // Bounded by the machine, which waits for events before it calls on.
    let (calls, queue) = mpsc::unbounded_channel();
    let (performing, saving) = (hub.clone(), store.clone());
    let (driven, task) = drive(
        machine,
        system_rng(),
        || Input::Tick,
        stop.clone(),
        |driven| {
            let saver = Saver::start(saving, driven.inbox(), |save, outcome| match outcome {
                Ok(()) => Input::Saved { save },
                Err(why) => Input::SaveFailed { save, why },
            });
            let hub = performing;
            Box::new(move |effect| match effect {
                Effect::Call(call) => calls.send(*call).unwrap_or_default(),
                Effect::Http(http) => hub.perform(http),
                Effect::Save { save, batch } => saver.save(save, batch),
                Effect::Measure { app, agent } => {
                    let driven = driven.clone();
                    tokio::spawn(async move {
                        if let Some(usages) = usages_of(&agent).await {
                            driven.send(Input::Measured { app, usages }).await;
                        }
                    });
                }
                Effect::Probe { id, probe, timeout } => {
                    let driven = driven.clone();
                    tokio::spawn(async move {
                        let outcome = containers::probe(probe, timeout, None).await;
                        driven.send(Input::Probed { probe: id, outcome }).await;
                    });
                }
            })
        },
    );
    tokio::spawn(keep_subscribed(driven.clone(), setting.master.clone(), queue, stop.clone()));
    let first = driven.clone();
    tokio::spawn(async move { first.send(Input::Connected).await });
    let (beating, mut stopping) = (Arc::downgrade(&hub), stop.clone());
    tokio::spawn(async move {
        while tokio::time::timeout(BEAT, stopping.wait_for(|stop| *stop)).await.is_err() {
            let Some(hub) = beating.upgrade() else { return };
            hub.beat(&BEAT_BYTES);
        }
    });
    let (streams, inbox) = (Arc::downgrade(&hub), driven.clone());
    tokio::spawn(async move {
        while let Some(stream) = closed.recv().await {
            let Some(hub) = streams.upgrade() else { return };
            inbox.send(Input::StreamClosed { stream, cut: hub.forget(stream) }).await;
        }
    });
    store.announce(&setting.who.leader);
    let lists = Lists::of(driven.clone(), setting.who.clone());
    let (abdicated, abdications) = mpsc::channel(1);
    let reign = Reign { abdicated: abdications, machine: task, tell: tell.clone(), store: store.clone() };
    let who = setting.who.clone();
    Ok((Arc::new(Term { driven, hub, who, lists, store, tell, abdicated }), reign))
}

impl Term {
    /// What a request is answered. Once the term is over nobody answers any more what was not answered yet.
    pub async fn answer(&self, incoming: web::Incoming) -> Reply {
        let arrived = Arrived { id: incoming.id, peer: Some(incoming.peer), request: incoming.request };
        if wants_plain(&arrived.request) {
            return match self.decide(&arrived).await {
                Reply::Full(answer) => Reply::Full(plain(answer)),
                stream => stream,
            };
        }
        match lists::asked(&arrived) {
            Some(ask) => self.lists.answer(ask).await,
            None => self.decide(&arrived).await,
        }
    }

    async fn decide(&self, arrived: &Arrived) -> Reply {
        let routed = endpoints::orchestrator::route_late(arrived, &self.driven.late(), &self.who, now());
        match routed {
            Routed::Respond(response) => Reply::Full(response),
            Routed::Step(input) => self.step(arrived.id, input).await,
            Routed::Perform(Asked::Loggers(asked)) => {
                let done = asked.change.as_ref().is_none_or(crate::levels::change);
                let levels = done.then(crate::levels::all);
                Reply::Full(endpoints::orchestrator::render_loggers(&asked, levels.as_ref(), &self.who))
            }
            Routed::Perform(Asked::Abdicate(how)) => {
                let outcome = self.abdicate(how).await;
                Reply::Full(endpoints::orchestrator::render_abdication(outcome, &self.who))
            }
        }
    }

    async fn step(&self, request: RequestId, input: Input) -> Reply {
        let answer = self.hub.expect(request);
        let mut over = self.tell.subscribe();
        self.driven.send(input).await;
        let reply = tokio::select! {
            biased;
            reply = crate::answered(answer) => reply,
            _ = over.wait_for(|over| *over) => crate::stopping(),
        };
        match reply {
            Reply::Full(response) => Reply::Full(endpoints::orchestrator::finish(response, &self.who)),
            stream => stream,
        }
    }

    /// All that can fail is done first: the leader that says that it steps down does.
    async fn abdicate(&self, how: Abdication) -> Result<(), Refusal> {
        let restored = match how.restore {
            Some(from) => {
                Some(aside(move || store::read_backup(&from, ROLE).map_err(|e| refusal("restore", e))).await?)
            }
            None => None,
        };
        if let Some(to) = how.backup {
            let store = self.store.clone();
            if store.contains(&to) {
                let why = format!("{} lies in --work_dir, whose files come and go", to.display());
                return Err(Refusal::Wrong { parameter: "backup", why });
            }
            let trouble = |error: store::StoreError| Refusal::Trouble(error.to_string());
            let records = aside(move || store.records("").map_err(trouble)).await?;
            let count = records.len();
            let file = to.clone();
            aside(move || store::back_up(&file, ROLE, &records).map_err(|e| refusal("backup", e))).await?;
            tracing::info!(file = %to.display(), records = count, "a backup was written");
        }
        let (done, outcome) = oneshot::channel();
        let asked = self.abdicated.try_send(Abdicated { restored, done });
        let over = || Refusal::Trouble("This leader steps down already: ask the next one".to_owned());
        asked.map_err(|_| over())?;
        outcome.await.map_err(|_| over())?.map_err(Refusal::Trouble)
    }
}

/// Done by a thread that may wait for a disk.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Refusal::Trouble(error.to_string()))?
}

fn refusal(parameter: &'static str, error: BackupError) -> Refusal {
    use std::io::ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied};
    let why = error.to_string();
    match error {
        BackupError::Disk { error, .. }
            if ![NotFound, NotADirectory, IsADirectory, PermissionDenied].contains(&error.kind()) =>
        {
            Refusal::Trouble(format!("{parameter}: {why}"))
        }
        _ => Refusal::Wrong { parameter, why },
    }
}

impl Reign {
    /// Comes when this one may lead no longer.
    pub async fn over(&mut self) -> Over {
        loop {
            match tokio::time::timeout(LOOK, self.abdicated.recv()).await {
                Ok(abdicated) => return Over::Abdicated(abdicated),
                Err(_) if !self.store.holds() => return Over::Lost,
                Err(_) if self.machine.is_finished() => {
                    // a bug, of which the log has told: whoever leads next begins anew from the store
                    tracing::error!("the machine has ended: this process ends too");
                    std::process::abort();
                }
                Err(_) => {}
            }
        }
    }

    /// Ends the term: the machine stops, its streams end, what it had saved is written, and the seat is free.
    pub async fn end(mut self, term: Arc<Term>, abdicated: Option<Abdicated>) {
        self.tell.send(true).unwrap_or_default();
        self.machine.await.unwrap_or_default();
        term.hub.close_all();
        drop(term);
        // one that was asked for is done also where the process was told to stop meanwhile
        if let Some(Abdicated { restored, done }) = abdicated.or_else(|| self.abdicated.try_recv().ok()) {
            let outcome = match restored {
                Some(records) => restore(self.store.clone(), records).await,
                None => Ok(()),
            };
            done.send(outcome).unwrap_or_default();
        }
        let closed = tokio::task::spawn_blocking(move || self.store.close()).await;
        if let Err(error) = closed {
            tracing::error!(%error, "the store did not close");
        }
    }
}

async fn restore(store: Arc<Store>, records: Records) -> Result<(), String> {
    let count = records.len();
    let replaced = tokio::task::spawn_blocking(move || store.replace(&records)).await;
    let outcome = replaced.map_err(|error| error.to_string()).and_then(|r| r.map_err(|e| e.to_string()));
    match &outcome {
        Ok(()) => tracing::info!(records = count, "the state of a backup was restored"),
        Err(why) => tracing::error!(why, "the backup could not be restored; the state stays as it was"),
    }
    outcome
}

/// How long an agent may take to say what its containers use.
const MEASURE_MAX: Duration = Duration::from_secs(5);

/// What the containers of an agent use; none = it can't be asked now.
async fn usages_of(agent: &str) -> Option<Vec<orchestrator::autoscale::Usage>> {
    let url = format!("{agent}/monitor/statistics");
    let said: Vec<serde_json::Value> = match web::client::Client::new(MEASURE_MAX).get(&url).await {
        Ok(said) => said,
        Err(error) => {
            tracing::debug!(%error, "an agent does not say what its containers use");
            return None;
        }
    };
    let usage = |said: &serde_json::Value| {
        let number = |name: &str| said["statistics"][name].as_f64().unwrap_or(0.0);
        orchestrator::autoscale::Usage {
            executor: said["executor_id"].as_str().unwrap_or_default().to_owned(),
            cpu_s: number("cpus_user_time_secs") + number("cpus_system_time_secs"),
            mem: number("mem_rss_bytes").max(number("mem_anon_bytes")),
        }
    };
    Some(said.iter().map(usage).collect())
}
