//! When a deployment has failed, and what then: the bounds that an app or a call sets, and how far it got. Pure.
//!
//! Never acts on it (`outcome`), and never counts instances (`scaling`).

use crate::worked::Worked;
use base::{Duration, Time};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What becomes of a deployment that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It stops where it is, until somebody goes on or goes back.
    Pause,
    /// What it changed is undone; tasks of the version before stay.
    Rollback,
}

impl OnFailure {
    /// From its name in the API.
    pub fn named(name: &str) -> Option<Self> {
        [("pause", Self::Pause), ("rollback", Self::Rollback)]
            .into_iter()
            .find_map(|(word, this)| word.eq_ignore_ascii_case(name).then_some(this))
    }
}

/// A task that ends sooner was never up, where failures are counted and there is no check: without this, what fails a
/// moment after its start would have replaced all of the version before.
pub const SETTLE_S: u64 = 5;

/// For how long a task of a new version must have run before an old one may go for it, where nothing else says whether it
/// is any good: a version that ends at once would otherwise take all of the one before with it.
pub const REPLACE_SETTLE_S: u64 = 1;

/// Bounds on a deployment: those of a call hold for all of it, those of an app for what is done to that app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terms {
    /// It must be done within so many seconds.
    #[serde(rename = "deploymentTimeoutSeconds", skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
    /// So many tasks of the new version may fail.
    #[serde(rename = "maxFailures", skip_serializing_if = "Option::is_none")]
    pub failures_max: Option<u64>,
    /// A task of the new version counts once it has run for so long; none = where nothing else says whether a task is any
    /// good, `SETTLE_S` if failures are counted or there were some, `REPLACE_SETTLE_S` if it takes another's place; else
    /// at once.
    #[serde(rename = "settleSeconds", skip_serializing_if = "Option::is_none")]
    pub settle_s: Option<u64>,
    /// What follows if it does not keep them; none = it pauses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
}

impl Terms {
    /// From an app, or what a pod says of its scheduling.
    pub fn read(of: &Value) -> Self {
        let number = |name: &str| of.get(name).and_then(Value::as_u64);
        Self {
            timeout_s: number("deploymentTimeoutSeconds"),
            failures_max: number("maxFailures"),
            settle_s: number("settleSeconds"),
            on_failure: of.get("onFailure").and_then(Value::as_str).and_then(OnFailure::named),
        }
    }
    /// These, and of others what these do not say.
    pub fn over(&self, others: &Self) -> Self {
        Self {
            timeout_s: self.timeout_s.or(others.timeout_s),
            failures_max: self.failures_max.or(others.failures_max),
            settle_s: self.settle_s.or(others.settle_s),
            on_failure: self.on_failure.or(others.on_failure),
        }
    }
    /// Whether they bound anything.
    pub fn bind(&self) -> bool {
        self.timeout_s.is_some() || self.failures_max.is_some()
    }
    /// For how long a task must have run before it counts; `checked`: whether something looks at it; `replaces`: if it is
    /// to take an old one's place, how many of its version have failed.
    pub fn settle(call: &Self, app: &Self, checked: bool, replaces: Option<u64>) -> u64 {
        let counts = call.failures_max.is_some() || app.failures_max.is_some();
        let default = match replaces {
            _ if checked => 0,
            _ if counts => SETTLE_S,
            Some(0) => REPLACE_SETTLE_S,
            Some(_) => SETTLE_S,
            None => 0,
        };
        call.settle_s.or(app.settle_s).unwrap_or(default)
    }
    fn timeout(&self) -> Option<Duration> {
        self.timeout_s.map(Duration::from_secs)
    }
}

/// How far a deployment got with one app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppCourse {
    /// When its turn came, in ms since 1970.
    pub began_at: u64,
    /// Tasks of the new version that failed since.
    pub failures: u64,
    /// What was said of the last.
    pub last: String,
}

/// How far a deployment got. The record `progress/<id>`; only those that are bound have one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// When it began, in ms since 1970.
    pub began_at: u64,
    /// By app, those whose turn has come.
    pub apps: BTreeMap<String, AppCourse>,
    /// Why it is paused, and since when.
    pub paused: Option<(String, u64)>,
}

/// Which bound was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// In a sentence.
    pub reason: String,
    /// What follows.
    pub then: OnFailure,
}

/// What one deployment must keep: its own terms, and those of the apps whose turn it is.
#[derive(Clone, Debug, Default)]
pub struct Bounds<'a> {
    /// Of the call.
    pub call: Terms,
    /// Of apps that are not done yet.
    pub apps: Vec<(&'a str, Terms)>,
}

impl Bounds<'_> {
    fn of_call(&self) -> OnFailure {
        let all = [Some(self.call.on_failure), self.apps.iter().map(|(_, terms)| terms.on_failure).max()];
        all.into_iter().flatten().flatten().next().unwrap_or(OnFailure::Pause)
    }
    fn of_app(&self, terms: &Terms) -> OnFailure {
        self.call.on_failure.or(terms.on_failure).unwrap_or(OnFailure::Pause)
    }
    /// The first instant at which time alone breaks one of them.
    pub(crate) fn deadline(&self, course: &Course, worked: &Worked) -> Option<Time> {
        let at = |since: u64, terms: &Terms| Some(worked.due(Time::from_millis(since), terms.timeout()?));
        let apps = self.apps.iter().filter_map(|(app, terms)| at(course.apps.get(*app)?.began_at, terms));
        apps.chain(at(course.began_at, &self.call)).min()
    }
    /// Which of them is broken now.
    pub(crate) fn broken(&self, course: &Course, worked: &Worked, now: Time) -> Option<Broken> {
        let late = |since: u64, terms: &Terms| {
            terms.timeout().is_some_and(|timeout| worked.due(Time::from_millis(since), timeout) <= now)
        };
        if late(course.began_at, &self.call) {
            let reason = format!("not done within {} s", self.call.timeout_s.unwrap_or_default());
            return Some(Broken { reason, then: self.of_call() });
        }
        let failures: u64 = course.apps.values().map(|app| app.failures).sum();
        if self.call.failures_max.is_some_and(|most| failures > most) {
            let last = course.apps.values().rfind(|app| app.failures > 0).map_or("", |app| &app.last);
            let reason = too_many(failures, self.call.failures_max, "", last);
            return Some(Broken { reason, then: self.of_call() });
        }
        self.apps.iter().find_map(|(app, terms)| {
            let of = course.apps.get(*app)?;
            let reason = if late(of.began_at, terms) {
                format!("{app} is not done within {} s", terms.timeout_s.unwrap_or_default())
            } else if terms.failures_max.is_some_and(|most| of.failures > most) {
                too_many(of.failures, terms.failures_max, app, &of.last)
            } else {
                return None;
            };
            Some(Broken { reason, then: self.of_app(terms) })
        })
    }
}

fn too_many(failures: u64, most: Option<u64>, app: &str, last: &str) -> String {
    let of = if app.is_empty() { String::new() } else { format!(" of {app}") };
    let said = if last.is_empty() { String::new() } else { format!("; the last: {last}") };
    format!("{failures} tasks{of} failed, at most {} may{said}", most.unwrap_or_default())
}

/// How far one app is: what is wanted, what there is of the new version, and of the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Wanted instances.
    pub wanted: u64,
    /// Instances of the new version.
    pub updated: u64,
    /// Those of them that count: healthy and ready, where that is asked for.
    pub healthy: u64,
    /// Instances of versions before.
    pub old: u64,
}

impl Progress {
    /// As clients see it.
    pub fn said(self) -> Value {
        json!({ "wanted": self.wanted, "updated": self.updated, "healthy": self.healthy, "old": self.old })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(timeout_s: Option<u64>, failures_max: Option<u64>, on_failure: Option<OnFailure>) -> Terms {
        Terms { timeout_s, failures_max, on_failure, settle_s: None }
    }

    #[test]
    fn bounds_by_table() {
        use OnFailure::{Pause, Rollback};
        let course = |failures: u64| Course {
            began_at: 1000,
            apps: [("/a".to_owned(), AppCourse { began_at: 5000, failures, last: "boom".into() })].into(),
            paused: None,
        };
        let none = Terms::default();
        // of the call, of the app, failures, at; what follows, and a word of the reason
        for (call, app, failures, at, then) in [
            (none, none, 99, 999_999, None),
            (terms(Some(10), None, None), none, 0, 10_999, None),
            (terms(Some(10), None, None), none, 0, 11_000, Some((Pause, "not done within 10 s"))),
            (terms(Some(10), None, Some(Rollback)), none, 0, 11_000, Some((Rollback, "within 10 s"))),
            (none, terms(Some(10), None, Some(Rollback)), 0, 14_999, None),
            (none, terms(Some(10), None, Some(Rollback)), 0, 15_000, Some((Rollback, "/a is not done"))),
            (none, terms(None, Some(2), None), 2, 0, None),
            (none, terms(None, Some(2), None), 3, 0, Some((Pause, "3 tasks of /a failed, at most 2"))),
            (none, terms(None, Some(0), Some(Rollback)), 1, 0, Some((Rollback, "the last: boom"))),
            // what the call says of the outcome holds for all, and an app's where the call says nothing
            (terms(None, None, Some(Pause)), terms(None, Some(0), Some(Rollback)), 1, 0, Some((Pause, ""))),
            (terms(None, Some(0), None), terms(None, None, Some(Rollback)), 1, 0, Some((Rollback, ""))),
        ] {
            let bounds = Bounds { call, apps: vec![("/a", app)] };
            let broken = bounds.broken(&course(failures), &Worked::default(), Time::from_millis(at));
            assert_eq!(broken.as_ref().map(|b| b.then), then.map(|(then, _)| then), "{call:?} {app:?}");
            if let (Some(broken), Some((_, word))) = (broken, then) {
                assert!(broken.reason.contains(word), "{}", broken.reason);
            }
        }
        let bounds =
            Bounds { call: terms(Some(60), None, None), apps: vec![("/a", terms(Some(3), None, None))] };
        assert_eq!(bounds.deadline(&course(0), &Worked::default()), Some(Time::from_millis(8000)));
        assert_eq!(Bounds::default().deadline(&course(0), &Worked::default()), None);
        let counted = terms(None, Some(1), None);
        let asked = Terms { settle_s: Some(9), ..none };
        for (call, app, checked, replaces, settle) in [
            (none, none, false, None, 0),
            (none, none, false, Some(0), REPLACE_SETTLE_S),
            (none, none, false, Some(1), SETTLE_S),
            (none, none, true, Some(1), 0),
            (none, counted, false, None, SETTLE_S),
            (counted, none, false, Some(0), SETTLE_S),
            (counted, counted, true, None, 0),
            (none, asked, true, Some(0), 9),
            (Terms { settle_s: Some(0), ..counted }, asked, false, Some(3), 0),
        ] {
            assert_eq!(
                Terms::settle(&call, &app, checked, replaces),
                settle,
                "{call:?} {app:?} {checked} {replaces:?}"
            );
        }
    }
}
