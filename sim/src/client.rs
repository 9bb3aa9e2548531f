//! Those who use the orchestrator: requests over its real HTTP surface, and a record of what each app must be.
//!
//! An app's record is certain once a change of it was acknowledged, and uncertain after a request without an answer.

use crate::world::{Event, Who, World};
use base::{Duration, Time};
use bytes::Bytes;
use endpoints::{Arrived, Routed};
use model::request::{Answer, Body, RequestId};
use serde_json::Value;
use std::collections::BTreeMap;

/// What is known of an app.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Known {
    /// Nothing for certain.
    #[default]
    Unknown,
    /// It is not there.
    Absent,
    /// It is there, in this version.
    Present(String),
    /// It is there, in one of these: a change of nothing leaves the earlier one.
    Either(String, String),
}

/// What an acknowledgement makes certain.
#[derive(Clone, Debug, PartialEq)]
pub enum Promise {
    /// The app is there, in the version that the answer names.
    Version,
    /// The same, or as it was before.
    VersionOrBefore,
    /// The app is gone.
    Gone,
    /// Some apps changed; nobody knows which.
    Something,
    /// Nothing changed.
    Nothing,
    /// This is how all apps are.
    Everything,
    /// The server must refuse it.
    Refusal,
}

/// A request under way.
#[derive(Clone, Debug)]
pub struct Pending {
    /// `PUT` and the like.
    pub method: &'static str,
    /// Path and query.
    pub uri: String,
    /// The body.
    pub body: String,
    /// Its app; none = all.
    pub app: Option<String>,
    /// What its acknowledgement means.
    pub promise: Promise,
    at_machine: bool,
}

/// All clients.
#[derive(Debug, Default)]
pub struct Client {
    /// What must be.
    pub apps: BTreeMap<String, Known>,
    /// Requests under way.
    pub pending: BTreeMap<u64, Pending>,
    /// Running instances when an upgrade was first seen, by deployment and app.
    begun: BTreeMap<(String, String), u64>,
    /// When everything was last read and found as it must be.
    pub read_at: Option<Time>,
}

impl Client {
    /// Whether a request about this app, or about all, may be made without confusion.
    pub fn is_free(&self, app: Option<&str>) -> bool {
        match app {
            Some(app) => self.pending.values().all(|p| p.app.as_deref().is_some_and(|a| a != app)),
            None => self.pending.is_empty(),
        }
    }
}

impl World {
    /// Sends a request to the orchestrator.
    pub fn ask(
        &mut self,
        method: &'static str,
        uri: String,
        body: String,
        app: Option<String>,
        promise: Promise,
    ) {
        let number = self.request_next;
        self.request_next += 1;
        self.client.pending.insert(number, Pending { method, uri, body, app, promise, at_machine: false });
        let wait = self.delay();
        self.after(wait, Event::Request(number));
    }

    /// A request arrives at the orchestrator's surface.
    pub fn request_arrives(&mut self, number: u64) {
        let Some(pending) = self.client.pending.get(&number).cloned() else { return };
        let time = self.local(Who::Orchestrator);
        let Some(machine) = self.orchestrator.as_ref() else {
            let wait = self.delay();
            return self.after(wait, Event::Response(number, None));
        };
        self.note(&format!("client {} {} {}", pending.method, pending.uri, pending.body));
        let request = http::Request::builder()
            .method(pending.method)
            .uri(pending.uri)
            .header("content-type", "application/json")
            .body(Bytes::from(pending.body))
            .expect("a request");
        let arrived = Arrived { id: RequestId(number), peer: None, request };
        let who =
            endpoints::orchestrator::Identity { leader: "h:8080".to_owned(), flags: Default::default() };
        let durable = machine.is_durable();
        match endpoints::orchestrator::route(&arrived, machine, &who, time) {
            Routed::Respond(response) => {
                // Reads show what is decided, durable or not: such a one promises nothing.
                if let Some(pending) = self.client.pending.get_mut(&number).filter(|_| !durable) {
                    pending.promise = match std::mem::replace(&mut pending.promise, Promise::Nothing) {
                        Promise::Everything => Promise::Nothing,
                        promise => promise,
                    };
                }
                let body = String::from_utf8_lossy(response.body()).into_owned();
                let wait = self.delay();
                self.after(wait, Event::Response(number, Some((response.status().as_u16(), body))));
            }
            Routed::Step(input) => {
                if let Some(pending) = self.client.pending.get_mut(&number) {
                    pending.at_machine = true;
                }
                self.step_orchestrator(input);
            }
            Routed::Perform(asked) => unreachable!("no client here asks for {asked:?}"),
        }
    }

    /// The orchestrator answers.
    pub fn client_answered(&mut self, number: u64, answer: Answer) {
        if let Some(pending) = self.client.pending.get_mut(&number) {
            pending.at_machine = false;
        }
        let body = match answer.body {
            Body::Empty => String::new(),
            Body::Text(text) | Body::Json(text) => text,
        };
        let wait = self.delay();
        self.after(wait, Event::Response(number, Some((answer.status, body))));
    }

    /// The orchestrator's process ended: what it had taken is never answered.
    pub fn client_loses_orchestrator(&mut self) {
        let lost: Vec<u64> =
            self.client.pending.iter().filter(|(_, p)| p.at_machine).map(|(number, _)| *number).collect();
        for number in lost {
            self.after(Duration::from_millis(1), Event::Response(number, None));
        }
    }

    /// A response arrives, or never will.
    pub fn response_arrives(&mut self, number: u64, response: Option<(u16, String)>) {
        let Some(pending) = self.client.pending.remove(&number) else { return };
        let (status, body) = response.unwrap_or((0, String::new()));
        let short: String = body.chars().take(160).collect();
        self.note(&format!("client hears {status} to {} {}: {short}", pending.method, pending.uri));
        assert!(status < 500 || status == 503, "{} {}: {status} {body}", pending.method, pending.uri);
        let good = (200..300).contains(&status);
        if pending.promise == Promise::Refusal {
            let refused = status == 0 || (400..500).contains(&status) || status == 503;
            assert!(refused, "{} {} {} is answered {status}", pending.method, pending.uri, pending.body);
            return;
        }
        let value: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
        if status == 0 || status == 503 {
            match (&pending.promise, &pending.app) {
                (Promise::Nothing | Promise::Everything, _) => {}
                (_, Some(app)) => {
                    self.client.apps.insert(app.clone(), Known::Unknown);
                }
                (_, None) => self.client.apps.clear(),
            }
            return;
        }
        if !good {
            return;
        }
        match (pending.promise, pending.app) {
            (promise @ (Promise::Version | Promise::VersionOrBefore), Some(app)) => {
                let version = value["version"].as_str().unwrap_or_default().to_owned();
                assert!(!version.is_empty(), "an acknowledged change of {app} names no version: {body}");
                let known = match (promise, self.client.apps.remove(&app)) {
                    (Promise::Version, _) => Known::Present(version),
                    (_, Some(Known::Present(before))) => Known::Either(before, version),
                    _ => Known::Unknown,
                };
                self.client.apps.insert(app, known);
            }
            (Promise::Gone, Some(app)) => {
                self.client.apps.insert(app, Known::Absent);
            }
            (Promise::Gone | Promise::Something, None) => self.client.apps.clear(),
            (Promise::Something, Some(app)) => {
                self.client.apps.insert(app, Known::Unknown);
            }
            (Promise::Everything, _) => self.all_read(&value),
            _ => {}
        }
    }

    /// What was read must agree with what was acknowledged, and is itself something a client was told.
    fn all_read(&mut self, value: &Value) {
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        for app in value["apps"].as_array().into_iter().flatten() {
            let text = |name: &str| app[name].as_str().unwrap_or_default().to_owned();
            // what may be undone at any time is not what it was read as
            if !text("id").starts_with(crate::act::BOUNDED) {
                found.insert(text("id"), text("version"));
            }
        }
        self.client.apps.retain(|id, _| !id.starts_with(crate::act::BOUNDED));
        self.compare(&found, "a read says");
        for known in self.client.apps.values_mut() {
            *known = Known::Absent;
        }
        for (id, version) in found {
            self.client.apps.insert(id, Known::Present(version));
        }
        self.client.read_at = Some(self.now);
    }

    fn compare(&self, found: &BTreeMap<String, String>, who: &str) {
        for (id, known) in &self.client.apps {
            match (known, found.get(id)) {
                (Known::Unknown, _) | (Known::Absent, None) => {}
                (Known::Present(version), Some(found)) => {
                    assert_eq!(version, found, "{id}: {who} another version than a client was told");
                }
                (Known::Either(one, two), found) => {
                    let good = found.is_some_and(|found| found == one || found == two);
                    assert!(good, "{id}: {who} {found:?}, a client was told of {one} or {two}");
                }
                (Known::Present(version), None) => {
                    panic!("{id}: {who} it is gone, a client was told {version}")
                }
                (Known::Absent, Some(found)) => {
                    panic!("{id}: {who} version {found}, a client was told that it is gone")
                }
            }
        }
    }

    /// An orchestrator has started: no acknowledged write may be lost.
    pub fn check_recovered(&self) {
        let Some(machine) = self.orchestrator.as_ref() else { return };
        let found = machine.apps().map(|(id, state)| (id.clone(), state.spec.version.clone())).collect();
        // what is on its way to the machine, or acknowledged and not heard yet, is not counted
        let busy: Vec<_> = self.client.pending.values().map(|p| p.app.clone()).collect();
        if busy.contains(&None) {
            return;
        }
        let mut known = self.client.apps.clone();
        known.retain(|id, _| !busy.contains(&Some(id.clone())));
        let found: BTreeMap<String, String> = found;
        for (id, known) in known {
            match (known, found.get(&id)) {
                (Known::Present(told), now) => {
                    assert_eq!(Some(&told), now, "{id}: a client was told of a change that a restart lost");
                }
                (Known::Either(one, two), now) => {
                    let good = now.is_some_and(|now| *now == one || *now == two);
                    assert!(
                        good,
                        "{id}: a client was told of a change that a restart lost: {one}, {two}, {now:?}"
                    );
                }
                (Known::Absent, Some(found)) => {
                    panic!("{id}: a client was told that it is gone, a restart brought back {found}")
                }
                _ => {}
            }
        }
    }

    /// How many instances of an app really run, and nobody has asked for their end.
    pub fn really_running(&self, app: &str) -> u64 {
        let mine = |c: &&crate::host::Container| c.app.as_ref().is_some_and(|(a, _)| a == app) && !c.asked;
        self.hosts.iter().flat_map(|h| h.running().map(|(_, c)| c)).filter(mine).count() as u64
    }

    /// Where nothing goes wrong an upgrade keeps its minimum.
    pub fn check_capacity(&mut self) {
        if !self.mix.calm {
            return;
        }
        let Some(machine) = self.orchestrator.as_ref() else { return };
        let mut all = Vec::new();
        for deployment in machine.deployments() {
            let step = deployment.steps.get(deployment.current);
            for action in step.iter().flat_map(|s| &s.actions) {
                let Some(state) = machine.app(&action.app) else { continue };
                if action.action == orchestrator::Kind::RestartApplication
                    && deployment.is_changing(&action.app)
                {
                    let floor = (state.spec.instances as f64 * state.spec.minimum_health).ceil() as u64;
                    all.push((deployment.id.clone(), action.app.clone(), floor));
                }
            }
        }
        for (deployment, app, floor) in all {
            let runs = self.really_running(&app);
            let begun = *self.client.begun.entry((deployment, app.clone())).or_insert(runs);
            let least = floor.min(begun);
            assert!(runs >= least, "{app} has {runs} instances during its upgrade, its minimum is {least}");
        }
    }
}
