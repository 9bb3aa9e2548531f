//! The orchestrator: apps, deployments and instances, brought about as an ordinary framework of a Mesos master.
//!
//! Here is only the table from inputs to handlers. Never touches the world: see `Effect`.

mod apps;
pub mod autoscale;
pub mod backoff;
mod commands;
pub mod config;
pub mod constraints;
mod definitions;
mod deployments;
mod effect;
mod events;
mod group;
mod groups;
mod health;
mod history;
mod input;
pub mod instances;
mod invariants;
mod kills;
mod launch;
mod line;
mod matching;
pub mod neighbours;
mod outcome;
pub mod parts;
mod plan;
pub mod pod;
mod pool;
mod read;
mod readiness;
mod render;
mod residents;
pub mod rolling;
mod runs;
mod saves;
mod scaling;
mod session;
pub mod spec;
mod statistics;
mod tally;
pub mod terms;
mod timers;
mod updates;
mod versions;
mod view;
pub mod volumes;
mod worked;

#[cfg(test)]
mod tests;

pub use apps::{AppState, Kept, read as read_kept};
pub use commands::{AppUpdate, Command, shown as pod_shown};
pub use config::Config;
pub use deployments::{Deployment, Refused};
pub use effect::{Effect, ProbeId, ServerEvent};
pub use groups::GroupState;
pub use history::Root;
pub use input::{Client, How, Input};
pub use outcome::Ended;
pub use plan::{Action, Kind, Step};
pub use render::{Embed, InGroup, Listed, Outline, Stamp};
pub use statistics::{Queued, Refusal, STAGES, Statistics, Unused};
pub use updates::Failure;
pub use versions::{millis, version_of, when};

use backoff::Backoff;
use base::{Effects, Machine, Now, Time};
use deployments::Deployment as Plan;
use instances::Instance;
use model::{mesos::scheduler::event::Type, save::Records};
use std::collections::{BTreeMap, BTreeSet};
use timers::Due;

/// An app's definition as its clients see it: Marathon's normalised JSON form. What runs of it is read into `spec::Spec`.
pub type App = serde_json::Value;

/// What a probe asks of an instance.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// The health check of this index.
    Health(usize),
    /// Whether it is ready.
    Ready,
}

/// The machine.
#[derive(Debug)]
pub struct Orchestrator {
    config: Config,
    /// Apps and pods.
    apps: BTreeMap<String, AppState>,
    /// Versions of those that are being removed.
    past: BTreeMap<String, apps::Past>,
    index: apps::Index,
    groups: BTreeMap<String, GroupState>,
    /// By version, what each change of the root group replaced.
    history: BTreeMap<String, history::Replaced>,
    deployments: BTreeMap<String, Deployment>,
    /// By version, deployments that did not get where they should.
    ended: BTreeMap<String, Ended>,
    /// Deployments that something happened to in this step that may be one too much.
    suspects: BTreeSet<String>,
    /// Whether something may wait for another reason than before.
    waits_anew: bool,
    /// What the command of this step asks for besides its change.
    how: How,
    /// By app, the deployment that has it.
    locks: BTreeMap<String, String>,
    instances: instances::Instances,
    /// Apps with instances that wait for offers.
    queue: BTreeMap<String, Queued>,
    /// By app: the configuration that failed, and the delay it is in.
    backoffs: BTreeMap<String, (String, Backoff)>,
    failures: BTreeMap<String, Failure>,
    /// By app that grows and shrinks, what is asked of it.
    scalers: BTreeMap<String, autoscale::Scaler>,
    /// By app that runs once, what came of it.
    runs: BTreeMap<String, runs::Runs>,
    /// By instance that is no more, what is reserved for it and to be freed.
    residues: residents::Residues,
    session: session::Session,
    saves: saves::Saves,
    timers: timers::Timers,
    worked: worked::Worked,
    streams: events::Streams,
    /// Changes that wait for a lock.
    line: line::Line,
    /// Apps that something happened to in this step.
    dirty: BTreeSet<String>,
    probes: BTreeMap<ProbeId, (String, Asked)>,
    probes_next: u64,
    /// The last version given; each is later than the one before.
    last_version: u64,
    now: Time,
}

impl Orchestrator {
    /// From everything that was durable. What can't be read is left out, and stays in the store.
    pub fn new(config: Config, records: Records, now: Time) -> Self {
        let full_below = config.local_port_min;
        let mut this = Self {
            config,
            apps: BTreeMap::new(),
            past: BTreeMap::new(),
            index: apps::Index { full_below, ..apps::Index::default() },
            groups: BTreeMap::new(),
            history: BTreeMap::new(),
            deployments: BTreeMap::new(),
            ended: BTreeMap::new(),
            suspects: BTreeSet::new(),
            waits_anew: false,
            how: How::default(),
            locks: BTreeMap::new(),
            instances: instances::Instances::default(),
            queue: BTreeMap::new(),
            backoffs: BTreeMap::new(),
            failures: BTreeMap::new(),
            scalers: BTreeMap::new(),
            runs: BTreeMap::new(),
            residues: residents::Residues::new(),
            session: session::Session::default(),
            saves: saves::Saves::default(),
            timers: timers::Timers::default(),
            worked: worked::Worked::default(),
            streams: events::Streams::new(now),
            line: line::Line::default(),
            dirty: BTreeSet::new(),
            probes: BTreeMap::new(),
            probes_next: 0,
            last_version: 0,
            now,
        };
        this.recover(records, now);
        this
    }

    fn recover(&mut self, records: Records, now: Time) {
        let mut plans: Vec<Plan> = Vec::new();
        let mut courses: BTreeMap<String, terms::Course> = BTreeMap::new();
        let root = GroupState { version: when(now.as_millis()), ..GroupState::default() };
        self.groups.insert("/".into(), root);
        for (key, value) in &records {
            if key.contains('#') {
                self.saves.drop_stray(&records, key);
                continue;
            }
            let (kind, id) = key.split_at(key.find('/').unwrap_or(key.len()));
            match kind {
                events::EPOCH => self.streams.later_than(value),
                session::WORKED => self.worked = serde_json::from_slice(value).unwrap_or_default(),
                session::FRAMEWORK => self.session.framework = String::from_utf8(value.clone()).ok(),
                "apps" => {
                    self.load_record(id, value);
                }
                "groups" => {
                    self.groups.extend(serde_json::from_slice(value).ok().map(|g| (id.to_owned(), g)))
                }
                "history" => {
                    let whole = self.saves.whole(&records, key).unwrap_or_default();
                    let replaced = serde_json::from_slice(&whole).ok();
                    self.history.extend(replaced.map(|r| (id.trim_start_matches('/').to_owned(), r)));
                }
                "failures" => {
                    self.failures.extend(serde_json::from_slice(value).ok().map(|f| (id.to_owned(), f)));
                }
                "instances" => {
                    if let Ok(mut instance) = serde_json::from_slice::<Instance>(value) {
                        if instance.config.is_empty() {
                            // from before configurations were kept: what it was launched with is one
                            instance.config.clone_from(&instance.version);
                        }
                        self.instances.insert(instance);
                    }
                }
                "deployments" => {
                    let whole = self.saves.whole(&records, key).unwrap_or_default();
                    plans.extend(serde_json::from_slice::<Plan>(&whole));
                }
                "progress" => {
                    let whole = self.saves.whole(&records, key).unwrap_or_default();
                    let course = serde_json::from_slice(&whole).ok();
                    courses.extend(course.map(|c| (id.trim_start_matches('/').to_owned(), c)));
                }
                "line" => {
                    let whole = self.saves.whole(&records, key).unwrap_or_default();
                    if let Ok(mut lined) = serde_json::from_slice::<line::Lined>(&whole) {
                        lined.bytes = whole.len();
                        self.line.load(id.trim_start_matches('/').to_owned(), lined);
                    }
                }
                "freeing" => {
                    if let Ok(residue) = serde_json::from_slice(value) {
                        self.await_residue(id.trim_start_matches('/').to_owned(), residue);
                    }
                }
                "runs" => {
                    let whole = self.saves.whole(&records, key).unwrap_or_default();
                    self.runs.extend(serde_json::from_slice(&whole).ok().map(|r| (id.to_owned(), r)));
                }
                "scaled" => self.load_decision(id, value),
                "ended" => {
                    let ended = serde_json::from_slice::<Ended>(value).ok();
                    self.ended.extend(ended.map(|ended| (ended.version.clone(), ended)));
                }
                // apps are read before their versions
                "versions" => {
                    let (id, version) = id.split_once('@').unwrap_or((id, ""));
                    self.load_version(id, version, value);
                }
                _ => {}
            }
        }
        self.worked = std::mem::take(&mut self.worked).after_start(now);
        for id in self.apps.keys() {
            for group in api::marathon::parents(id) {
                self.groups.entry(group.to_owned()).or_default();
            }
        }
        // The clock may have gone back since: a later change must not look like an older one.
        let apps = self.apps.values().flat_map(|app| app.versions.keys().chain([&app.spec.version]));
        let given = apps
            .chain(self.instances.iter().map(|i| &i.version))
            .chain(plans.iter().map(|p| &p.version))
            .chain(self.groups.values().map(|group| &group.version))
            .chain(self.history.keys())
            .chain(self.ended.keys())
            .chain(self.line.versions());
        self.last_version = given.filter_map(|version| millis(version)).max().unwrap_or(0);
        for plan in &plans {
            let waited = self.line.began(&plan.id);
            waited.iter().for_each(|version| self.saves.delete_long(&format!("line/{version}")));
        }
        let of = |i: &Instance| (i.app.clone(), i.version.clone(), i.config.clone());
        let launched: BTreeSet<_> = self.instances.iter().map(of).collect();
        for (app, version, config) in &launched {
            self.read_specs(app, [version, config]);
        }
        plans.sort_by(|a, b| a.version.cmp(&b.version));
        for mut plan in plans {
            plan.course = courses.remove(&plan.id).unwrap_or_default();
            self.resume(now, plan);
        }
        courses.keys().for_each(|id| self.saves.delete_long(&format!("progress/{id}")));
        for id in self.apps.keys().cloned().collect::<Vec<_>>() {
            self.count_places(&id);
        }
        let all: Vec<_> = self.instances.iter().cloned().collect();
        for instance in all {
            self.watch(now, &instance);
            self.start_checks(now, &instance);
            if instance.ending {
                self.timers.set(Due::Kill(instance.id.clone()), now);
            }
            self.dirty.insert(instance.app);
        }
    }

    fn due(&mut self, now: &mut Now<'_>, out: &mut Effects<Effect>) {
        while let Some(due) = self.timers.pop(now.time) {
            match due {
                // nobody is late before it is known how things stand
                due if due.is_bound() && !self.worked.is_on() => self.timers.hold(due),
                Due::Alive => {}
                Due::Answers => self.knows_enough(now.time),
                Due::Reconcile => self.reconcile(now.time),
                Due::Backoff(_) => {
                    self.session.revive = true;
                    self.session.look = true;
                }
                Due::Ready(id) => self.ask_ready(now.time, &id, out),
                Due::Instance(id) => self.overdue(now.time, &id),
                Due::Kill(id) => self.kill_again(now.time, &id),
                Due::Reclaim(id) => self.drop_residue(&id),
                Due::Autoscale(id) => self.look_at_load(now, &id, out),
                Due::Deployment(id) => drop(self.suspects.insert(id)),
                Due::Check(id, at) => self.probe(now.time, &id, at, out),
            }
        }
    }

    fn event(&mut self, now: &mut Now<'_>, event: model::mesos::scheduler::Event) {
        match (event.r#type(), event) {
            (Type::Subscribed, event) => {
                if let Some(subscribed) = event.subscribed {
                    self.subscribed(now, subscribed);
                }
            }
            (Type::Offers, event) => {
                let offers = event.offers.map(|offers| offers.offers).unwrap_or_default();
                self.offers(now, offers);
            }
            (Type::Update, event) => {
                if let Some(update) = event.update {
                    self.update(now, update.status);
                }
            }
            (Type::Error, event) => {
                self.refused(now.time, &event.error.map(|error| error.message).unwrap_or_default());
            }
            (Type::Message, event) => {
                if let Some(message) = event.message {
                    let fields = serde_json::json!({
                        "executorId": message.executor_id.value, "slaveId": message.agent_id.value,
                        "message": message.data,
                    });
                    self.emit(now.time, "framework_message_event", fields);
                }
            }
            // offers are answered in the step that brings them; agents' losses come as statuses
            _ => {}
        }
    }
}

impl Machine for Orchestrator {
    type Input = Input;
    type Effect = Effect;

    fn step(&mut self, mut now: Now<'_>, input: Input, out: &mut Effects<Effect>) {
        self.now = now.time;
        match input {
            Input::Command { request, command, how, client } => {
                self.how = how;
                self.command(&mut now, request, *command, &client, out);
                self.how = How::default();
            }
            Input::Subscribe { request, event_types, remote, after } => {
                self.listen(now.time, request, event_types, remote, after.as_deref());
            }
            Input::StreamClosed { stream, cut } => self.unlisten(now.time, stream, cut),
            Input::Connected => self.connected(),
            Input::Event(event) => self.event(&mut now, *event),
            Input::Disconnected { .. } => self.disconnected(now.time),
            Input::Probed { probe, outcome } => self.probed(now.time, probe, outcome),
            Input::Measured { app, usages } => self.measured(now.time, &app, usages),
            Input::Saved { save } => self.saves.saved(save, now.time, out),
            Input::SaveFailed { save, why } => self.saves.failed(save, &why, now.time, out),
            Input::Tick => {}
        }
        self.due(&mut now, out);
        self.give_up(&mut now);
        // Before anything is ended for a definition that the next in line replaces.
        while self.let_in(&mut now) {}
        self.settle(now.time);
        while self.let_in(&mut now) {
            self.settle(now.time);
        }
        self.say_waiting(now.time);
        self.want_offers(now.time);
        self.note_work(now.time);
        self.saves.retry(now.time, out);
        self.saves.flush(out);
    }

    fn deadline(&self) -> Option<(Time, &'static str)> {
        let dirty = (!self.dirty.is_empty() || self.line.look).then_some((self.now, "recovered"));
        let retry = self.saves.retry_at().map(|at| (at, "save tried again"));
        [dirty, retry, self.timers.first()].into_iter().flatten().min()
    }

    fn check(&self) {
        invariants::check(self);
    }
}
