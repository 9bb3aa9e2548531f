//! Instances of apps: what is known of each, and counts of them that never need a walk over all.
//!
//! Never decides what becomes of one; changes go through `update`, so that counts and records stay true.

pub use crate::tally::Tally;

use crate::{constraints::Counts, parts::Part, spec::Spec, volumes::LocalVolume};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

/// What an instance does (Marathon's condition). Those that wait for an offer are only counted, not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Condition {
    /// Ordered; nothing heard yet.
    Provisioned,
    /// Taken by the agent.
    Staging,
    /// Being started.
    Starting,
    /// Runs.
    Running,
    /// Its agent can't be reached.
    Unreachable,
    /// Has been so for long enough to be replaced.
    UnreachableInactive,
    /// Is being ended by its agent.
    Killing,
    /// Nothing of it runs; its volumes and what is reserved for it wait for it.
    Suspended,
}

impl Condition {
    /// As events and pod statuses say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioned => "Provisioned",
            Self::Staging => "Staging",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Unreachable => "Unreachable",
            Self::UnreachableInactive => "UnreachableInactive",
            Self::Killing => "Killing",
            Self::Suspended => "Scheduled",
        }
    }
    /// As `/v2/tasks` says it.
    pub fn task_state(self) -> &'static str {
        match self {
            // no state of Mesos' yet: as Condition.toMesosTaskStateOrStaging
            Self::Provisioned | Self::Staging => "TASK_STAGING",
            Self::Starting => "TASK_STARTING",
            Self::Running => "TASK_RUNNING",
            Self::Unreachable | Self::UnreachableInactive => "TASK_UNREACHABLE",
            Self::Killing => "TASK_KILLING",
            Self::Suspended => "TASK_KILLED",
        }
    }
}

/// A task of an app, from its order to its end. The record `instances/<id>`, but for what is marked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// `prod_db.instance-<uuid>`.
    pub id: String,
    /// `prod_db.instance-<uuid>._app.1`.
    pub task: String,
    /// The app.
    pub app: String,
    /// The version of the app it was launched with.
    pub version: String,
    /// The version of that app's last change other than of `instances`: what runs of it.
    #[serde(default)]
    pub config: String,
    /// What it does.
    pub condition: Condition,
    /// Whether it is to end.
    pub ending: bool,
    /// Its agent.
    pub agent: String,
    /// Its agent's host name.
    pub host: String,
    /// Where its agent can be asked, as `http://host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_url: Option<String>,
    /// Host ports, in the order of the app's definitions.
    pub ports: Vec<u16>,
    /// Role of its resources.
    pub role: String,
    /// Region and zone of its agent.
    pub region: Option<String>,
    /// See `region`.
    pub zone: Option<String>,
    /// Containers, if it is a pod's.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// Values of fields of its place: the agent's attributes, and what the app's constraints and preferences ask for.
    pub placed: BTreeMap<String, String>,
    /// When it was ordered, in ms since 1970.
    pub staged_at: u64,
    /// When it was first seen running.
    pub started_at: Option<u64>,
    /// Since when it is unreachable.
    pub unreachable_since: Option<u64>,
    /// Volumes that outlive its tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<LocalVolume>,
    /// Which task of it this is: the last part of the task's id.
    #[serde(default = "first", skip_serializing_if = "is_one")]
    pub incarnation: u64,
    /// Whether its reservation is known to be there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// Whether its volumes go with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wipe: bool,
    /// Since when it rests, and how its task ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<Rest>,
    /// Addresses of its container.
    pub addresses: Vec<String>,
    /// What is known of its health.
    pub healthy: Option<bool>,
    /// Whether it was ever ready; none where nobody asks.
    #[serde(default)]
    pub ready: Option<bool>,
    /// For how many seconds it must have run before it counts as ready.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub settle_s: u64,
    /// What the agent's check found last, as clients see it.
    #[serde(default)]
    pub check_result: Option<serde_json::Value>,
    /// The last answer to its readiness check; not in the record.
    #[serde(skip)]
    pub readiness: Option<model::container::Page>,
    /// When a kill was last sent; not in the record.
    #[serde(skip)]
    pub killed_at: Option<u64>,
    /// Results of its health checks, by index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Checked>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn first() -> u64 {
    1
}

fn is_one(number: &u64) -> bool {
    *number == 1
}

/// How an instance with volumes came to rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rest {
    /// Since when, in ms since 1970.
    pub since: u64,
    /// How its task ended: `TASK_KILLED` and the like.
    pub state: String,
}

/// The result of one health check of one instance. Its times are as of the last time that it was kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// Whether the last one that counted was good.
    pub alive: bool,
    /// Failures since the last success.
    pub failures: u32,
    /// In ms since 1970.
    pub first_success: Option<u64>,
    /// In ms since 1970.
    pub last_success: Option<u64>,
    /// In ms since 1970.
    pub last_failure: Option<u64>,
    /// Why the last failed.
    pub cause: Option<String>,
}

#[derive(Debug, Default)]
struct OfApp {
    /// By id.
    members: BTreeMap<String, Arc<Instance>>,
    /// By configuration: how many, and where.
    versions: BTreeMap<String, (Tally, BTreeMap<String, Counts>)>,
    /// The number of the last change of one of them.
    touched: u64,
}

/// The instances of one app, for one who looks at many apps.
#[derive(Clone, Copy, Debug)]
pub struct OfOne<'a>(Option<&'a OfApp>);

impl<'a> OfOne<'a> {
    /// Of an app without instances.
    pub const NONE: Self = Self(None);

    /// A number that is another one whenever one of them has changed; 0 where there is none.
    pub fn touched(self) -> u64 {
        self.0.map_or(0, |of| of.touched)
    }
    /// They, by id, to be kept.
    pub fn kept(self) -> impl Iterator<Item = &'a Arc<Instance>> {
        self.0.into_iter().flat_map(|of| of.members.values())
    }
    /// Counts of them over all configurations.
    pub fn tally(self) -> Tally {
        let all = self.0.into_iter().flat_map(|of| of.versions.values());
        all.fold(Tally::default(), |sum, (tally, _)| sum.plus(*tally))
    }
}

/// All instances. Who reads may keep one as it was: a change puts another in its place.
#[derive(Debug, Default)]
pub struct Instances {
    all: BTreeMap<String, Arc<Instance>>,
    apps: BTreeMap<String, OfApp>,
    /// By agent and app, how many.
    agents: BTreeMap<String, BTreeMap<String, u64>>,
    /// Changes so far.
    changes: u64,
    /// How many are ordered and nothing was heard of them.
    unheard: u64,
    /// Roles that reservations are for, and how many of each: they outlive what their apps say now.
    roles: BTreeMap<String, u64>,
}

impl Instance {
    /// The value of a field of its place.
    fn place(&self, field: &str) -> Option<&str> {
        match field {
            "hostname" | "@hostname" => Some(&self.host),
            "@agent" => Some(&self.agent),
            "@region" => self.region.as_deref(),
            "@zone" => self.zone.as_deref(),
            _ => self.placed.get(field).map(String::as_str),
        }
    }
    fn is_unheard(&self) -> bool {
        self.condition == Condition::Provisioned
    }
    /// Whether both are counted in the same place.
    fn stands_where(&self, other: &Self) -> bool {
        self.app == other.app
            && self.config == other.config
            && self.agent == other.agent
            && self.placed == other.placed
            && (&self.role, self.is_resident()) == (&other.role, other.is_resident())
    }
}

/// The instance of a task: `…instance-<uuid>._app.1` without its end.
pub fn instance_of_task(task: &str) -> Option<&str> {
    let (rest, incarnation) = task.rsplit_once('.')?;
    incarnation.parse::<u64>().ok()?;
    let (instance, _container) = rest.rsplit_once('.')?;
    instance.contains(".instance-").then_some(instance)
}

impl Instances {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
    /// One.
    pub fn get(&self, id: &str) -> Option<&Instance> {
        self.all.get(id).map(Arc::as_ref)
    }
    /// The one with this task.
    pub fn of_task(&self, task: &str) -> Option<&Instance> {
        self.get(instance_of_task(task)?).filter(|instance| instance.has_task(task))
    }
    /// All, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Instance> {
        self.all.values().map(Arc::as_ref)
    }
    /// Those of an app, by id.
    pub fn of_app<'a>(&'a self, app: &str) -> impl Iterator<Item = &'a Instance> + use<'a> {
        self.of_one(app).kept().map(Arc::as_ref)
    }
    /// Adds one, or puts it in the place of what it was.
    pub fn insert(&mut self, instance: Instance) {
        let instance = Arc::new(instance);
        let known = self.all.get_mut(&instance.id);
        if let Some(known) = known.filter(|known| known.stands_where(&instance)) {
            let (before, after) = (Tally::of(known), Tally::of(&instance));
            self.unheard = self.unheard + u64::from(instance.is_unheard()) - u64::from(known.is_unheard());
            self.changes += 1;
            if let Some(of) = self.apps.get_mut(&instance.app) {
                of.touched = self.changes;
                if let Some((tally, _)) = of.versions.get_mut(&instance.config) {
                    *tally = tally.minus(before).plus(after);
                }
                if let Some(member) = of.members.get_mut(&instance.id) {
                    *member = instance.clone();
                }
            }
            *known = instance;
            return;
        }
        self.remove(&instance.id);
        self.count(&instance, true);
        self.all.insert(instance.id.clone(), instance);
    }
    /// Forgets one.
    pub fn remove(&mut self, id: &str) -> Option<Instance> {
        let instance = self.all.remove(id)?;
        self.count(&instance, false);
        Some(Arc::unwrap_or_clone(instance))
    }
    /// Changes one; gives it as it is now.
    pub fn update(&mut self, id: &str, change: impl FnOnce(&mut Instance)) -> Option<&Instance> {
        let mut instance = self.get(id)?.clone();
        change(&mut instance);
        self.insert(instance);
        self.get(id)
    }
    fn count(&mut self, instance: &Arc<Instance>, more: bool) {
        self.changes += 1;
        let unheard = u64::from(instance.is_unheard());
        self.unheard = if more { self.unheard + unheard } else { self.unheard - unheard };
        let of = self.apps.entry(instance.app.clone()).or_default();
        of.touched = self.changes;
        let (tally, fields) = of.versions.entry(instance.config.clone()).or_default();
        let mine = Tally::of(instance);
        *tally = if more { tally.plus(mine) } else { tally.minus(mine) };
        for (field, value) in &instance.placed {
            let counts = fields.entry(field.clone()).or_default();
            let count = counts.entry(value.clone()).or_default();
            *count = if more { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                counts.remove(value);
            }
        }
        self.count_on_agent(instance, more);
        if instance.is_resident() {
            let count = self.roles.entry(instance.role.clone()).or_default();
            *count = if more { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                self.roles.remove(&instance.role);
            }
        }
        let of = self.apps.entry(instance.app.clone()).or_default();
        if more {
            of.members.insert(instance.id.clone(), instance.clone());
            return;
        }
        let (tally, _) = of.versions.entry(instance.config.clone()).or_default();
        if tally.all == 0 {
            of.versions.remove(&instance.config);
        }
        of.members.remove(&instance.id);
        if of.members.is_empty() {
            self.apps.remove(&instance.app);
        }
    }
    fn count_on_agent(&mut self, instance: &Instance, more: bool) {
        let there = self.agents.entry(instance.agent.clone()).or_default();
        let count = there.entry(instance.app.clone()).or_default();
        *count = if more { *count + 1 } else { count.saturating_sub(1) };
        if *count == 0 {
            there.remove(&instance.app);
            if there.is_empty() {
                self.agents.remove(&instance.agent);
            }
        }
    }
    /// Apps with instances on an agent, and how many.
    pub fn on_agent(&self, agent: &str) -> impl Iterator<Item = (&String, u64)> {
        self.agents.get(agent).into_iter().flatten().map(|(app, count)| (app, *count))
    }
    /// Apps with instances, by id, and what is known of these.
    pub fn by_app<'a>(&'a self, from: Bound<&str>) -> impl Iterator<Item = (&'a String, OfOne<'a>)> + Clone {
        self.apps.range::<str, _>((from, Bound::Unbounded)).map(|(app, of)| (app, OfOne(Some(of))))
    }
    /// What is known of the instances of an app.
    pub fn of_one(&self, app: &str) -> OfOne<'_> {
        OfOne(self.apps.get(app))
    }
    /// How many are ordered and nothing was heard of them yet.
    pub fn unheard(&self) -> u64 {
        self.unheard
    }
    /// Roles that something is reserved for.
    pub fn reserved_roles(&self) -> impl Iterator<Item = &String> {
        self.roles.keys()
    }
    /// On how many agents an app has instances.
    pub fn agents_of(&self, app: &str) -> u64 {
        let agents: BTreeSet<&str> = self.of_app(app).map(|instance| instance.agent.as_str()).collect();
        agents.len() as u64
    }
    /// Counts of an app: those with this configuration, and the others.
    pub fn tallies(&self, app: &str, config: &str) -> (Tally, Tally) {
        let mut both = (Tally::default(), Tally::default());
        for (of, (tally, _)) in self.apps.get(app).into_iter().flat_map(|of| &of.versions) {
            let side = if of == config { &mut both.0 } else { &mut both.1 };
            *side = side.plus(*tally);
        }
        both
    }
    /// Counts of an app over all configurations.
    pub fn tally(&self, app: &str) -> Tally {
        self.of_one(app).tally()
    }
    /// Counts of an app by configuration.
    pub fn by_config(&self, app: &str) -> impl Iterator<Item = (&str, Tally)> {
        let all = self.apps.get(app).into_iter().flat_map(|of| &of.versions);
        all.map(|(config, (tally, _))| (config.as_str(), *tally))
    }
    /// How many instances with this configuration have each value of a field.
    pub fn placed(&self, app: &str, config: &str, field: &str) -> Counts {
        let of = self.apps.get(app).and_then(|of| of.versions.get(config));
        of.and_then(|(_, fields)| fields.get(field)).cloned().unwrap_or_default()
    }
    /// Counts those of an app by these fields too, also where nobody asked for them when they were launched.
    pub fn count_by(&mut self, app: &str, fields: &BTreeSet<&str>) {
        let lacks = |i: &Instance, field: &str| !i.placed.contains_key(field) && i.place(field).is_some();
        let some = self.of_app(app).filter(|i| fields.iter().any(|field| lacks(i, field)));
        for id in some.map(|i| i.id.clone()).collect::<Vec<_>>() {
            self.update(&id, |i| {
                let of = |field: &&str| Some(((*field).to_owned(), i.place(field)?.to_owned()));
                let all: Vec<_> = fields.iter().filter_map(of).collect();
                i.placed.extend(all);
            });
        }
    }
    /// Whether an app that is counted by agents may have more than one on some.
    pub fn is_crowded(&self, app: &str) -> bool {
        let Some(of) = self.apps.get(app) else { return false };
        let agents =
            |fields: &BTreeMap<String, Counts>| fields.get("@agent").map_or(0, |counts| counts.len());
        of.versions.len() > 1 || of.versions.values().any(|(tally, fields)| tally.all > agents(fields) as u64)
    }
    /// Counts everything anew and compares.
    pub fn check(&self) {
        let mut again = Self::default();
        self.iter().for_each(|instance| again.insert(instance.clone()));
        assert_eq!(self.agents, again.agents, "apps on agents");
        assert_eq!(self.unheard, again.unheard, "instances that nothing was heard of");
        assert_eq!(self.roles, again.roles, "roles of reservations");
        for (app, of) in &again.apps {
            let mine = self.apps.get(app);
            assert_eq!(mine.map(|m| &m.members), Some(&of.members), "instances of {app}");
            let mine = mine.map(|of| &of.versions);
            assert_eq!(mine.map(|m| m.len()), Some(of.versions.len()), "versions of {app}");
            for (version, (tally, _)) in &of.versions {
                assert_eq!(mine.and_then(|m| m.get(version)).map(|m| m.0), Some(*tally), "{app} {version}");
            }
        }
    }
}

/// Where an instance stands among those that may be ended: sick before well, those of another version before those of
/// the current one, then those that are least far, then by age.
pub type Rank = (Standing, bool, u8, u64, String);

/// How much an instance is worth, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It serves nobody.
    Useless,
    /// It serves, and is not known to be ready yet.
    Fresh,
    /// It serves.
    Well,
}

/// Its place in that order; `standing` is said by those who know its checks.
pub fn kill_order(instance: &Instance, standing: Standing, spec: &Spec) -> Rank {
    let rank = match instance.condition {
        Condition::Unreachable | Condition::UnreachableInactive => 1,
        Condition::Provisioned | Condition::Staging | Condition::Suspended => 2,
        Condition::Starting => 3,
        Condition::Running => 4,
        Condition::Killing => 5,
    };
    let since = instance.started_at.unwrap_or(instance.staged_at);
    let since = if spec.oldest_first { since } else { u64::MAX - since };
    (standing, instance.config == spec.config_version, rank, since, instance.id.clone())
}
