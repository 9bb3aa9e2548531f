//! The session with the master: subscribing, wanting offers or not, asking after tasks. Never decides about apps.

use crate::{
    Effect, Orchestrator,
    config::{LAUNCHES_UNHEARD_MAX, RECLAIM_FOR},
    timers::Due,
    worked::ANSWERS_WITHIN,
};
use base::{Now, Time};
use model::mesos::{
    FrameworkId, FrameworkInfo,
    framework_info::{Capability, capability},
    scheduler::{Call, call, event},
};
use serde_json::json;
use std::collections::BTreeSet;

/// The key of the framework's id.
pub(crate) const FRAMEWORK: &str = "framework";

/// The key of when somebody worked.
pub(crate) const WORKED: &str = "worked";

/// Where the session stands.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// The id the master gave, once.
    pub framework: Option<String>,
    /// Whether the master has taken the subscription.
    pub subscribed: bool,
    /// Whether it has been told that nothing is wanted.
    pub suppressed: bool,
    /// Whether offers turned down before are wanted again.
    pub revive: bool,
    /// Whether so much is ordered that no more offers are wanted for now.
    pub full: bool,
    /// Whether it has to be seen again if anything waits for offers.
    pub look: bool,
    /// Tasks that the master was asked for at the begin of the session, and has not answered for.
    pub asked: BTreeSet<String>,
    /// Roles that the master was told of.
    pub roles: BTreeSet<String>,
    /// Where the leading master is.
    pub master: Option<String>,
    /// The region it is in: apps that name none stay in it.
    pub region: Option<String>,
}

impl Orchestrator {
    /// Sends a call once everything so far is durable.
    pub(crate) fn call(&mut self, mut call: Call) {
        call.framework_id = self.session.framework.clone().map(|value| FrameworkId { value });
        self.saves.say(Effect::Call(Box::new(call)));
    }

    /// What it says of itself.
    fn framework_info(&self) -> FrameworkInfo {
        let config = &self.config;
        let id = self.session.framework.clone().map(|value| FrameworkId { value });
        let able = [
            capability::Type::TaskKillingState,
            capability::Type::PartitionAware,
            capability::Type::MultiRole,
            capability::Type::RegionAware,
        ];
        FrameworkInfo {
            user: config.user.clone(),
            name: config.framework_name.clone(),
            id,
            failover_timeout: Some(config.failover_timeout.as_secs_f64()),
            checkpoint: Some(config.checkpoint),
            hostname: Some(config.hostname.clone()),
            principal: config.principal.clone(),
            webui_url: Some(
                config
                    .webui_url
                    .clone()
                    .unwrap_or_else(|| format!("http://{}:{}", config.hostname, config.http_port)),
            ),
            capabilities: able.map(|able| Capability { r#type: Some(able as i32) }).to_vec(),
            roles: self.session.roles.iter().cloned().collect(),
            labels: crate::launch::labels_of(
                &[(model::CHECK_WORDS_LABEL.to_owned(), "true".to_owned())].into(),
            ),
            ..Default::default()
        }
    }

    fn roles_wanted(&self) -> BTreeSet<String> {
        let residues = self.residues.values().map(|residue| &residue.role);
        let reserved = self.instances.reserved_roles().chain(residues);
        self.index.roles.keys().chain(reserved).cloned().chain([self.config.role.clone()]).collect()
    }

    /// Tells the master of roles that came up; those that nobody has any more are kept until the next session.
    pub(crate) fn roles_changed(&mut self) {
        let wanted = self.roles_wanted();
        // what comes up while a subscription is on its way is told once it is there
        if !self.session.subscribed || wanted.is_subset(&self.session.roles) {
            return;
        }
        self.session.roles.extend(wanted);
        // the update wakes all roles
        self.session.suppressed = false;
        self.session.look = true;
        let update = call::UpdateFramework { framework_info: self.framework_info(), ..Default::default() };
        self.call(Call {
            r#type: Some(call::Type::UpdateFramework as i32),
            update_framework: Some(update),
            ..Default::default()
        });
    }

    /// A master can be reached: asks to be taken.
    pub(crate) fn connected(&mut self) {
        self.session.roles = self.roles_wanted();
        let info = self.framework_info();
        self.session.subscribed = false;
        self.worked.stop(self.now);
        self.call(Call {
            r#type: Some(call::Type::Subscribe as i32),
            subscribe: Some(call::Subscribe { framework_info: info, ..Default::default() }),
            ..Default::default()
        });
    }

    /// The stream broke; the shell looks for a master again.
    pub(crate) fn disconnected(&mut self, now: Time) {
        self.worked.stop(now);
        if std::mem::take(&mut self.session.subscribed) {
            self.emit(now, "scheduler_disconnected_event", json!({}));
        }
    }

    pub(crate) fn subscribed(&mut self, now: &mut Now<'_>, event: event::Subscribed) {
        let id = event.framework_id.value;
        let master = event.master_info.as_ref().map(|info| {
            let host = info.hostname.clone().unwrap_or_default();
            format!("{host}:{}", info.port)
        });
        let again = self.session.framework.as_deref() == Some(&id);
        if !again {
            self.saves.put(FRAMEWORK.into(), id.clone().into_bytes());
            self.session.framework = Some(id.clone());
        }
        self.session.subscribed = true;
        self.session.suppressed = false;
        self.session.revive = true;
        self.session.look = true;
        let domain = event.master_info.as_ref().and_then(|info| info.domain.as_ref()?.fault_domain.as_ref());
        self.session.region = domain.map(|domain| domain.region.name.clone());
        let at = master.clone().unwrap_or_default();
        self.session.master = master;
        if again {
            self.emit(now.time, "scheduler_reregistered_event", json!({ "master": at }));
        } else {
            self.emit(now.time, "scheduler_registered_event", json!({ "frameworkId": id, "master": at }));
        }
        self.roles_changed();
        self.reconcile(now.time);
        self.session.asked = self.instances.iter().flat_map(|i| i.tasks().into_iter().cloned()).collect();
        match self.session.asked.is_empty() {
            true => self.knows_enough(now.time),
            false => self.timers.set(Due::Answers, now.time + ANSWERS_WITHIN),
        }
        let ending: Vec<_> = self.instances.iter().filter(|i| i.ending).map(|i| i.id.clone()).collect();
        for id in ending {
            self.timers.set(Due::Kill(id), now.time);
        }
    }

    /// The master has said what became of a task: not what was sent long ago and comes now.
    pub(crate) fn answered(&mut self, now: Time, task: &str) {
        if self.session.asked.remove(task) && self.session.asked.is_empty() {
            self.knows_enough(now);
        }
    }

    /// The master has said how things stand, or was waited for long enough: from now on time counts again.
    pub(crate) fn knows_enough(&mut self, now: Time) {
        self.session.asked.clear();
        self.timers.stop(&Due::Answers);
        if self.worked.is_on() || !self.session.subscribed {
            return;
        }
        self.worked.go_on(now);
        self.keep_worked();
        for due in self.timers.held() {
            let at = match &due {
                Due::Reclaim(id) => self
                    .residues
                    .get(id)
                    .map_or(now, |residue| self.worked.due(Time::from_millis(residue.since), RECLAIM_FOR)),
                _ => now,
            };
            self.timers.set(due, at);
        }
    }

    fn keep_worked(&mut self) {
        self.saves.put(WORKED.into(), serde_json::to_vec(&self.worked).unwrap_or_default());
    }

    /// While anybody may be late it is noted now and then that somebody works.
    pub(crate) fn note_work(&mut self, now: Time) {
        if !self.worked.is_on() || self.timers.has(&Due::Alive) || !self.timers.bind() {
            return;
        }
        if self.worked.noted_until(now) <= now {
            self.worked.note(now);
            self.keep_worked();
        }
        self.timers.set(Due::Alive, self.worked.noted_until(now));
    }

    /// The master ends the session. Where it has given up the framework, a new one begins.
    pub(crate) fn refused(&mut self, now: Time, message: &str) {
        self.disconnected(now);
        let gone = ["removed", "Completed framework", "completed framework"];
        if gone.iter().any(|word| message.contains(word)) {
            self.session.framework = None;
            self.saves.delete(FRAMEWORK.into());
        }
        self.session.master = None;
    }

    /// Asks after every task that is known, then after all there are.
    pub(crate) fn reconcile(&mut self, now: Time) {
        self.timers.set(Due::Reconcile, now + self.config.reconciliation_interval);
        if !self.session.subscribed {
            return;
        }
        let task = |task: &String, agent: &str| call::reconcile::Task {
            task_id: model::mesos::TaskId { value: task.clone() },
            agent_id: Some(model::mesos::AgentId { value: agent.to_owned() }),
        };
        let of = |i: &crate::instances::Instance| {
            i.tasks().into_iter().map(|t| task(t, &i.agent)).collect::<Vec<_>>()
        };
        let tasks: Vec<_> = self.instances.iter().flat_map(of).collect();
        let ask = |tasks| Call {
            r#type: Some(call::Type::Reconcile as i32),
            reconcile: Some(call::Reconcile { tasks }),
            ..Default::default()
        };
        if !tasks.is_empty() {
            self.call(ask(tasks));
        }
        self.call(ask(Vec::new()));
    }

    /// Says whether offers are wanted, when that has changed.
    pub(crate) fn want_offers(&mut self, now: Time) {
        if self.session.full && self.instances.unheard() <= LAUNCHES_UNHEARD_MAX / 2 {
            self.session.full = false;
            // what was turned down for this alone
            self.session.revive = true;
        }
        if !self.session.subscribed || !(self.session.look || self.session.revive) {
            return;
        }
        self.session.look = false;
        let wanted = !self.session.full
            && (!self.residues.is_empty()
                || self.queue.iter().any(|(app, queued)| self.launchable(app, queued, now)));
        // all that the master knows: one that it is just being told of would make the call wrong
        let roles = Vec::new();
        if wanted && (self.session.suppressed || self.session.revive) {
            self.session.suppressed = false;
            let revive = Some(call::Revive { roles });
            self.call(Call { r#type: Some(call::Type::Revive as i32), revive, ..Default::default() });
        } else if !wanted && !self.session.suppressed {
            self.session.suppressed = true;
            let suppress = Some(call::Suppress { roles });
            self.call(Call { r#type: Some(call::Type::Suppress as i32), suppress, ..Default::default() });
        }
        self.session.revive = false;
    }
}
