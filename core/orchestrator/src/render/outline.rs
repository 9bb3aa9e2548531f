//! Apps as they stand at one moment, to be written later: a list of all of them is written without the machine, and only
//! where something has changed. Read-only.

use super::{
    Embed, failure_info,
    task::{member, write_task},
    text::{separate, write},
};
use crate::{
    AppState, Kept, Orchestrator,
    instances::{Instance, OfOne, Tally},
    spec::Spec,
};
use base::Time;
use serde_json::Value;
use std::{ops::Bound, sync::Arc};

/// Bytes of a task, about, and of what is said of an app besides: for the space that is taken at once.
const TASK_BYTES: usize = 512;

/// What the text of an app was made of: with an equal one it would be the same.
#[derive(Clone, Debug)]
pub struct Stamp {
    app: Arc<crate::App>,
    touched: u64,
    deployment: Option<String>,
    failure: Option<(u64, String)>,
}

/// An app, and what tells whether it would be written as before.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// Its id.
    pub id: &'a String,
    state: &'a AppState,
    instances: OfOne<'a>,
}

/// An app, to be written.
#[derive(Debug)]
pub struct Outline(Form);

#[derive(Debug)]
enum Form {
    /// What looks different each time is written at once.
    Written(Vec<u8>),
    Plain {
        app: Kept,
        counts: Option<Tally>,
        deployments: Option<Option<String>>,
        tasks: Option<Vec<(Arc<Instance>, Arc<Spec>)>>,
        failure: Option<Value>,
    },
}

impl Outline {
    /// Writes it after what is there.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (app, counts, deployments, tasks, failure) = match &self.0 {
            Form::Written(text) => return out.extend_from_slice(text),
            Form::Plain { app, counts, deployments, tasks, failure } => {
                (app, counts, deployments, tasks, failure)
            }
        };
        out.extend_from_slice(app.get().as_bytes());
        // an app has an id: there is something before what follows
        out.pop();
        if let Some(tally) = counts {
            for (name, count) in [
                ("tasksStaged", tally.staged),
                ("tasksRunning", tally.running),
                ("tasksHealthy", tally.healthy),
                ("tasksUnhealthy", tally.unhealthy),
            ] {
                member(name, out);
                write(out, &count);
            }
        }
        if let Some(deployment) = deployments {
            member("deployments", out);
            out.push(b'[');
            if let Some(id) = deployment {
                out.extend_from_slice(b"{\"id\":");
                write(out, id);
                out.push(b'}');
            }
            out.push(b']');
        }
        if let Some(tasks) = tasks {
            member("tasks", out);
            out.push(b'[');
            for (instance, spec) in tasks {
                separate(out);
                write_task(instance, Some(spec), out);
            }
            out.push(b']');
        }
        if let Some(failure) = failure {
            member("lastTaskFailure", out);
            write(out, failure);
        }
        out.push(b'}');
    }
    /// How long its text will be, about.
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Form::Written(text) => text.len(),
            Form::Plain { app, .. } => app.get().len() + TASK_BYTES * (1 + self.tasks()),
        }
    }
    /// How many tasks it shows.
    pub fn tasks(&self) -> usize {
        match &self.0 {
            Form::Plain { tasks: Some(tasks), .. } => tasks.len(),
            _ => 0,
        }
    }
}

impl Orchestrator {
    /// All apps by id, from there on.
    pub fn listed(&self, from: Bound<&str>) -> impl Iterator<Item = Listed<'_>> + Clone {
        let apps = self.apps.range::<str, _>((from, Bound::Unbounded));
        let mut instances = self.instances.by_app(from).peekable();
        apps.filter(|(_, state)| state.spec.pod.is_none()).map(move |(id, state)| {
            while instances.next_if(|(app, _)| *app < id).is_some() {}
            let mine = instances.next_if(|(app, _)| *app == id);
            Listed { id, state, instances: mine.map_or(OfOne::NONE, |(_, of)| of) }
        })
    }

    /// Whether apps with this have stamps.
    pub fn stamps(embed: Embed) -> bool {
        !(embed.why || embed.task_stats || embed.readiness)
    }

    /// What tells whether an app would be written as before; none = it looks different each time.
    pub fn stamp(&self, app: Listed<'_>, embed: Embed) -> Option<Stamp> {
        self.is_plain(app.id, &app.state.spec, embed).then(|| Stamp {
            app: app.state.app.clone(),
            touched: seen(app, embed),
            deployment: self.shown_deployment(app.id, embed).cloned(),
            failure: self.shown_failure(app.id, embed).map(|(at, task)| (at, task.clone())),
        })
    }

    /// Whether an app would be written as when it had this stamp.
    pub fn is_still(&self, app: Listed<'_>, embed: Embed, stamp: &Stamp) -> bool {
        Arc::ptr_eq(&app.state.app, &stamp.app)
            && seen(app, embed) == stamp.touched
            && self.shown_deployment(app.id, embed) == stamp.deployment.as_ref()
            && self.shown_failure(app.id, embed) == stamp.failure.as_ref().map(|(at, task)| (*at, task))
            && self.is_plain(app.id, &app.state.spec, embed)
    }

    fn shown_deployment(&self, id: &str, embed: Embed) -> Option<&String> {
        self.locks.get(id).filter(|_| embed.deployments)
    }

    fn shown_failure(&self, id: &str, embed: Embed) -> Option<(u64, &String)> {
        let failure = if embed.last_task_failure { self.last_failure(id) } else { None };
        failure.map(|failure| (failure.at, &failure.task))
    }

    /// Whether nothing is said of an app but its definition, counts, deployments, tasks and its last failure.
    fn is_plain(&self, id: &str, spec: &Spec, embed: Embed) -> bool {
        let blocked = || self.queue.contains_key(id) && self.refused_at_launch(spec).is_some();
        Self::stamps(embed)
            && !spec.every
            && spec.run_once.is_none()
            && spec.autoscale.is_none()
            && !blocked()
    }

    /// An app as it stands now, with what is asked for besides.
    pub fn outline(&self, app: Listed<'_>, embed: Embed, now: Time) -> Outline {
        let Listed { id, state, instances } = app;
        if !self.is_plain(id, &state.spec, embed) {
            let mut text = Vec::new();
            write(&mut text, &self.app_info(id, embed, now));
            return Outline(Form::Written(text));
        }
        let failure = self.last_failure(id).filter(|_| embed.last_task_failure);
        let spec = |i: &Instance| state.specs.get(&i.version).unwrap_or(&state.spec).clone();
        let task = |i: &Arc<Instance>| (i.clone(), spec(i));
        Outline(Form::Plain {
            app: state.text.clone(),
            counts: embed.counts.then(|| instances.tally()),
            deployments: embed.deployments.then(|| self.deployment_of(id).map(|d| d.id.clone())),
            tasks: embed.tasks.then(|| instances.kept().map(task).collect()),
            failure: failure.map(|failure| failure_info(id, failure)),
        })
    }

    /// What `app_info` says, written after what is there; false where there is no such app.
    pub fn app_text(&self, id: &str, embed: Embed, now: Time, out: &mut Vec<u8>) -> bool {
        let Some((id, state)) = self.apps.get_key_value(id).filter(|(_, state)| state.spec.pod.is_none())
        else {
            return false;
        };
        let instances = self.instances.of_one(id);
        self.outline(Listed { id, state, instances }, embed, now).write(out);
        true
    }

    /// A list of tasks, written.
    pub fn tasks_text<'a>(&self, all: impl Iterator<Item = &'a Instance>, out: &mut Vec<u8>) {
        let mut specs = Specs { of: self, last: None };
        out.push(b'[');
        for instance in all {
            separate(out);
            write_task(instance, specs.of(instance).as_deref(), out);
        }
        out.push(b']');
    }
}

/// The change of its instances that an app shows.
fn seen(app: Listed<'_>, embed: Embed) -> u64 {
    if embed.counts || embed.tasks { app.instances.touched() } else { 0 }
}

/// What instances run: neighbours in a list mostly run the same.
struct Specs<'a> {
    of: &'a Orchestrator,
    last: Option<(&'a str, &'a str, Option<Arc<Spec>>)>,
}

impl<'a> Specs<'a> {
    fn of(&mut self, instance: &'a Instance) -> Option<Arc<Spec>> {
        let (app, version) = (instance.app.as_str(), instance.version.as_str());
        match &self.last {
            Some((a, v, spec)) if *a == app && *v == version => spec.clone(),
            _ => {
                let spec = self.of.spec_of(instance);
                self.last = Some((app, version, spec.clone()));
                spec
            }
        }
    }
}
