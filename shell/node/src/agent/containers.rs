//! Orders of an agent about its containers, carried out: fetched, handed to the launcher, probed; what becomes of them is
//! brought back. A launcher that was killed is replaced. Never decides what is launched or ended.

use super::{remove_of, stopped};
use crate::{Stop, driver::Driven};
use ::containers::{Ended, Known, Launcher, Options};
use agent::{Agent, Effect, Input};
use base::Duration;
use model::container::{ContainerId, ContainerSpec};
use std::{collections::BTreeMap, path::Path};
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
};

/// All that one container fetches comes in this time, or its launch has failed.
const FETCH_TIME_MAX: Duration = Duration::from_secs(3600);
/// After a launcher that could not be started.
const LAUNCHER_AGAIN: Duration = Duration::from_secs(1);

/// A fetch that came to its end.
struct Fetched {
    spec: ContainerSpec,
    outcome: Result<(), String>,
}

struct Containers {
    driven: Driven<Agent>,
    launcher: Launcher,
    current: watch::Sender<Launcher>,
    options: Options,
    /// Fetches under way. Who takes one out decides what becomes of its container.
    fetching: BTreeMap<ContainerId, AbortHandle>,
    fetched: mpsc::UnboundedSender<Fetched>,
}

/// Runs until everything stops.
pub async fn keep(
    driven: Driven<Agent>,
    mut orders: mpsc::UnboundedReceiver<Effect>,
    mut words: mpsc::Receiver<Ended>,
    current: watch::Sender<Launcher>,
    options: Options,
    mut stop: Stop,
) {
    let launcher = current.borrow().clone();
    // Bounded by the fetches under way, one for each container.
    let (fetched, mut arrived) = mpsc::unbounded_channel();
    let mut all = Containers { driven, launcher, current, options, fetching: BTreeMap::new(), fetched };
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            Some(order) = orders.recv() => all.obey(order).await,
            Some(fetched) = arrived.recv() => all.arrived(fetched).await,
            word = words.recv() => match word {
                Some(Ended::Launched { container, pid }) => {
                    all.driven.send(Input::Launched { container, pid }).await;
                }
                Some(Ended::Failed { container, why }) => {
                    all.driven.send(Input::LaunchFailed { container, why }).await;
                }
                Some(Ended::Terminated { container, how }) => {
                    all.driven.send(Input::Terminated { container, how }).await;
                }
                // With --kill-tasks-on-exit it goes first.
                Some(Ended::LauncherLost) | None if *stop.borrow() => return,
                Some(Ended::LauncherLost) | None => {
                    tracing::error!("the launcher is gone; its tasks go on, their exit statuses are lost");
                    if let Some(fresh) = all.replace().await {
                        words = fresh;
                    }
                }
            },
        }
    }
}

impl Containers {
    /// Another launcher; the words of it.
    async fn replace(&mut self) -> Option<mpsc::Receiver<Ended>> {
        match Launcher::start(self.options.clone()).await {
            Ok((fresh, known, words)) => {
                self.launcher = fresh;
                self.current.send_replace(self.launcher.clone());
                let Known { running, mut starting, ended } = known;
                // It will hear of these.
                starting.extend(self.fetching.keys().cloned());
                self.driven.send(Input::LauncherReplaced { running, starting, ended }).await;
                Some(words)
            }
            Err(error) => {
                tracing::error!(%error, "no launcher can be started; trying again");
                tokio::time::sleep(LAUNCHER_AGAIN).await;
                None
            }
        }
    }

    async fn obey(&mut self, order: Effect) {
        match order {
            Effect::Launch(spec) => self.launch(*spec).await,
            Effect::Limit { container, limits } => self.launcher.limit(container, limits).await,
            Effect::Signal { container, signal } => self.launcher.signal(container, signal).await,
            Effect::Destroy { container } => match self.fetching.remove(&container) {
                Some(fetch) => {
                    fetch.abort();
                    let why = "It was destroyed before it was fetched".to_owned();
                    self.driven.send(Input::LaunchFailed { container, why }).await;
                }
                None => self.launcher.destroy(container).await,
            },
            Effect::Forget { container } => self.launcher.forget(container).await,
            Effect::Probe { id, probe, timeout } => {
                let (driven, launcher) = (self.driven.clone(), self.launcher.clone());
                tokio::spawn(async move {
                    let outcome = ::containers::probe(probe, timeout, Some(&launcher)).await;
                    driven.send(Input::Probed { probe: id, outcome }).await;
                });
            }
            Effect::Volumes { operation, make, remove } => {
                // Before the next order, which may use them; what goes only gets out of the way here.
                let outcome = ::containers::change_volumes(&make, &remove_of(&remove));
                self.driven.send(Input::VolumesChanged { operation, outcome }).await;
            }
            Effect::Discard { directory } => {
                let driven = self.driven.clone();
                tokio::spawn(async move {
                    let path = directory.clone();
                    let removed =
                        tokio::task::spawn_blocking(move || ::containers::remove_sandbox(&path)).await;
                    let gone = match removed.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
                        Ok(()) => true,
                        Err(error) => {
                            tracing::warn!(directory, %error, "a sandbox stays behind");
                            false
                        }
                    };
                    driven.send(Input::Discarded { directory, gone }).await;
                });
            }
            Effect::Send(_)
            | Effect::Link(_)
            | Effect::Save { .. }
            | Effect::Http(_)
            | Effect::Respond { .. } => {}
        }
    }

    async fn launch(&mut self, spec: ContainerSpec) {
        if self.fetching.contains_key(&spec.id) {
            // Ordered again by an agent that was not sure of it.
            return;
        }
        if let Err(why) = ::containers::make_sandbox(&spec) {
            self.driven.send(Input::LaunchFailed { container: spec.id, why }).await;
            return;
        }
        if spec.fetch.is_empty() {
            self.launcher.launch(spec).await;
            return;
        }
        let container = spec.id.clone();
        let done = self.fetched.clone();
        let fetch = tokio::spawn(async move {
            let outcome = fetch(&spec).await;
            // Nobody waits when everything stops.
            done.send(Fetched { spec, outcome }).unwrap_or_default();
        });
        self.fetching.insert(container, fetch.abort_handle());
    }

    async fn arrived(&mut self, fetched: Fetched) {
        let Fetched { spec, outcome } = fetched;
        if self.fetching.remove(&spec.id).is_none() {
            return;
        }
        match outcome {
            Ok(()) => self.launcher.launch(spec).await,
            Err(why) => self.driven.send(Input::LaunchFailed { container: spec.id, why }).await,
        }
    }
}

async fn fetch(spec: &ContainerSpec) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?.display().to_string();
    let sandbox = Path::new(&spec.sandbox);
    let program = [program, "fetcher".to_owned()];
    let all = ::containers::fetch_all(&program, &spec.id, &spec.fetch, sandbox, spec.user.as_deref());
    match tokio::time::timeout(FETCH_TIME_MAX, all).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!(
            "Failed to launch container: Failed to fetch all URIs for container '{}': not all of it came within {FETCH_TIME_MAX:?}",
            spec.id
        )),
    }
}
