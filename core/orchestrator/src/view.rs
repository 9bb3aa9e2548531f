//! Read-only projections, rendered between two steps. Never changes anything.

use crate::{
    AppState, Deployment, Failure, GroupState, Orchestrator, Queued, STAGES,
    instances::{Instance, Tally},
};
use base::Time;
use serde_json::{Value, json};

/// Why an app waits.
#[derive(Clone, Debug)]
pub struct Why {
    /// The app.
    pub app: String,
    /// Instances that wait for offers.
    pub waiting: u64,
    /// Where it stands: one of `STAGES` of the nearest agent, or `NothingWaits`, `Paused`, `NotSupported`, `BackOff`,
    /// `NoMaster`, `NoOffers`.
    pub stage: &'static str,
    /// In a sentence.
    pub summary: String,
    /// What refuses it everywhere.
    pub refused: Option<String>,
    /// Until when it backs off, in ms since 1970.
    pub backs_off_until: Option<u64>,
    /// The deployment that has it.
    pub deployment: Option<String>,
    /// What each agent lacked at its last offer, the one that lacked least first.
    pub agents: Vec<WhyAgent>,
}

/// What one agent lacked.
#[derive(Clone, Debug)]
pub struct WhyAgent {
    /// Its id.
    pub agent: String,
    /// Its host name.
    pub host: String,
    /// When it was offered, in ms since 1970.
    pub at: u64,
    /// Everything that was in the way, in the order of the stages.
    pub refusals: Vec<crate::Refusal>,
}

impl WhyAgent {
    /// How far it is from fitting: how much is in the way, then which share of the worst is missing, in thousandths.
    fn miss(&self) -> (usize, u64) {
        let share = |refusal: &crate::Refusal| match (refusal.wanted, refusal.available) {
            (Some(wanted), Some(there)) if wanted > 0.0 => ((1.0 - there / wanted) * 1000.0) as u64,
            _ => 1000,
        };
        (self.refusals.len(), self.refusals.iter().map(share).max().unwrap_or(0))
    }
    fn said(&self) -> String {
        let all: Vec<_> = self.refusals.iter().map(|refusal| refusal.reason.as_str()).collect();
        format!("{}: {}", self.host, all.join("; "))
    }
}

impl Orchestrator {
    /// All apps, by id.
    pub fn apps(&self) -> impl Iterator<Item = (&String, &AppState)> {
        self.apps.iter().filter(|(_, state)| state.spec.pod.is_none())
    }
    /// One app.
    pub fn app(&self, id: &str) -> Option<&AppState> {
        self.apps.get(id).filter(|state| state.spec.pod.is_none())
    }
    /// All pods, by id.
    pub fn pods(&self) -> impl Iterator<Item = (&String, &AppState)> {
        self.apps.iter().filter(|(_, state)| state.spec.pod.is_some())
    }
    /// One pod.
    pub fn pod(&self, id: &str) -> Option<&AppState> {
        self.apps.get(id).filter(|state| state.spec.pod.is_some())
    }
    /// Apps in a group, at any depth.
    pub fn apps_below<'a>(&'a self, group: &'a str) -> impl Iterator<Item = (&'a String, &'a AppState)> {
        self.specs_below(group).filter(|(_, state)| state.spec.pod.is_none())
    }
    /// One group.
    pub fn group(&self, id: &str) -> Option<&GroupState> {
        self.groups.get(id)
    }
    /// All instances.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter()
    }
    /// Instances of an app.
    pub fn instances_of<'a>(&'a self, app: &str) -> impl Iterator<Item = &'a Instance> + use<'a> {
        self.instances.of_app(app)
    }
    /// Counts of an app's instances.
    pub fn tally(&self, app: &str) -> Tally {
        self.instances.tally(app)
    }
    /// The instance with this task.
    pub fn task(&self, task: &str) -> Option<&Instance> {
        self.instances.of_task(task)
    }
    /// Deployments under way, oldest first.
    pub fn deployments(&self) -> Vec<&Deployment> {
        let mut all: Vec<_> = self.deployments.values().collect();
        all.sort_by(|a, b| (&a.version, &a.id).cmp(&(&b.version, &b.id)));
        all
    }
    /// The deployment that has an app.
    pub fn deployment_of(&self, app: &str) -> Option<&Deployment> {
        self.deployments.get(self.locks.get(app)?)
    }
    /// Apps that wait for offers or back off. One for every agent waits for ever, for the next agent: it is not among
    /// them once it has one.
    pub fn queue(&self) -> impl Iterator<Item = (&String, &Queued)> {
        self.queue.iter().filter(|(app, queued)| !queued.spec.every || self.instances.tally(app).active == 0)
    }
    /// Until when an app backs off.
    pub fn backs_off_until(&self, app: &str, now: Time) -> Option<Time> {
        self.waits_until(app, now)
    }
    /// How an app's last task failed.
    pub fn last_failure(&self, app: &str) -> Option<&Failure> {
        self.failures.get(app)
    }
    /// The id the master gave.
    pub fn framework_id(&self) -> Option<&str> {
        self.session.framework.as_deref()
    }
    /// Whether a master has taken it.
    pub fn is_subscribed(&self) -> bool {
        self.session.subscribed
    }
    /// Where that master is.
    pub fn master(&self) -> Option<&str> {
        self.session.master.as_deref()
    }
    /// Why the store refuses, while it does.
    pub fn store_trouble(&self) -> Option<&str> {
        self.saves.trouble()
    }

    /// Whether everything that a reader sees now would survive a crash.
    pub fn is_durable(&self) -> bool {
        self.saves.settled()
    }

    /// Why an app's instances wait.
    pub fn why(&self, app: &str, now: Time) -> Option<Why> {
        let queued = self.queue.get(app);
        let spec = queued.map(|q| q.spec.clone()).or_else(|| self.spec(app))?;
        let refused = self.refused_at_launch(&spec);
        let until = self.waits_until(app, now);
        let waiting = queued.map_or(0, |q| if q.spec.every { 1 } else { q.count });
        let mut agents: Vec<_> = queued
            .iter()
            .flat_map(|q| &q.seen.agents)
            .map(|(agent, unused)| WhyAgent {
                agent: agent.clone(),
                host: unused.offer.hostname.clone(),
                at: unused.at.as_millis(),
                refusals: unused.refusals.clone(),
            })
            .collect();
        agents.sort_by_key(WhyAgent::miss);
        let paused = self.deployment_of(app).and_then(Deployment::paused);
        let (stage, summary) = match (&refused, until) {
            _ if waiting == 0 && paused.is_some() => {
                ("Paused", format!("its deployment is paused: {}", paused.unwrap_or_default()))
            }
            _ if waiting == 0 => ("NothingWaits", "nothing waits".to_owned()),
            (Some(why), _) => ("NotSupported", why.clone()),
            (None, Some(until)) => {
                let seconds = until.since(now).as_secs_f64().ceil();
                ("BackOff", format!("backs off for {seconds} s after its last task ended"))
            }
            _ if !self.session.subscribed => ("NoMaster", "no master has taken the framework".to_owned()),
            _ => match agents.first() {
                None if self.session.full => {
                    let ordered = self.instances.unheard();
                    let why = "offers are asked for again once half of them were heard of";
                    (
                        "NoOffers",
                        format!("{ordered} instances are ordered and nothing was heard of them yet: {why}"),
                    )
                }
                _ if let Some(awaited) = self.awaited(app) => (STAGES[2], awaited),
                None => ("NoOffers", "no offer has come since it waits".to_owned()),
                Some(nearest) => {
                    let stage = nearest.refusals.first().map_or("NoOffers", |refusal| refusal.stage);
                    let offered = agents.len();
                    (
                        stage,
                        format!(
                            "{offered} agents were offered, none fits; the nearest is {}",
                            nearest.said()
                        ),
                    )
                }
            },
        };
        Some(Why {
            app: app.to_owned(),
            waiting,
            stage,
            summary,
            refused,
            backs_off_until: until.map(Time::as_millis),
            deployment: self.locks.get(app).cloned(),
            agents,
        })
    }

    /// The same as clients see it: in the queue, in the app, in events.
    pub fn why_info(&self, app: &str, now: Time) -> Value {
        let Some(why) = self.why(app, now) else { return Value::Null };
        let agent = |agent: &WhyAgent| {
            json!({
                "agentId": agent.agent, "hostname": agent.host, "lastOfferAt": crate::when(agent.at),
                "refusals": agent.refusals,
            })
        };
        let mut said = json!({
            "waiting": why.waiting, "stage": why.stage, "reason": why.summary,
            "agents": why.agents.iter().map(agent).collect::<Vec<_>>(),
        });
        if let Some(until) = why.backs_off_until {
            said["backsOffUntil"] = crate::when(until).into();
        }
        if let Some(deployment) = why.deployment {
            said["deployment"] = deployment.into();
        }
        said
    }

    /// Tells those who asked for it by name why apps wait, when that has changed.
    pub(crate) fn say_waiting(&mut self, now: Time) {
        if !std::mem::take(&mut self.waits_anew) || !self.is_asked_for(WAITING) {
            return;
        }
        for app in self.queue.keys().cloned().collect::<Vec<_>>() {
            let Some(why) = self.why(&app, now).filter(|why| why.waiting > 0) else { continue };
            let nearest = why.agents.first().map_or("", |agent| agent.agent.as_str());
            let told = (why.stage, nearest.to_owned());
            let known =
                self.queue.get_mut(&app).map(|queued| std::mem::replace(&mut queued.told, told.clone()));
            if known != Some(told) {
                let mut fields = self.why_info(&app, now);
                fields["runSpecId"] = app.into();
                self.emit(now, WAITING, fields);
            }
        }
    }
}

/// The event that says why an app waits. Only who asks for it by name gets it: it may come often.
pub(crate) const WAITING: &str = "app_waiting_event";
