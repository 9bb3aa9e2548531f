//! What two changes say together: of which one becomes part, and what is left of one that another went ahead of. Pure.
//!
//! Never looks at what is there.

use crate::{AppUpdate, Command};
use std::collections::BTreeSet;

/// Updates of one app that become one change; the next one waits by itself.
const MERGED_MAX: usize = 64;

/// Apps and pods that a change is about by its own words.
pub(super) fn named(command: &Command) -> BTreeSet<String> {
    use Command::{DeleteApp, DeletePod, RestartApp, UpdateApps, UpdatePod};
    match command {
        UpdateApps { updates, .. } => updates.iter().map(|update| update.id.clone()).collect(),
        DeleteApp { id, .. } | RestartApp { id, .. } | UpdatePod { id, .. } | DeletePod { id, .. } => {
            [id.clone()].into()
        }
        _ => BTreeSet::new(),
    }
}

/// Whether a change goes over all locks.
pub(super) fn forced(command: &Command) -> bool {
    use Command::{DeleteApp, DeletePod, RestartApp, UpdateApps, UpdatePod};
    match command {
        UpdateApps { force, .. }
        | DeleteApp { force, .. }
        | RestartApp { force, .. }
        | UpdatePod { force, .. }
        | DeletePod { force, .. } => *force,
        _ => false,
    }
}

/// One change for two of the same app, if there is one.
pub(super) fn merged(first: &Command, then: &Command) -> Option<Command> {
    use Command::{DeleteApp, DeletePod, RestartApp, UpdateApps, UpdatePod};
    match (first, then) {
        (UpdateApps { updates: a, create: made, .. }, UpdateApps { updates: b, force, create, single }) => {
            let [then] = b.as_slice() else { return None };
            if a.iter().any(|update| update.id != then.id) {
                return None;
            }
            let updates = after(a.clone(), then);
            let create = *create || *made;
            let fits = updates.len() <= MERGED_MAX;
            fits.then_some(UpdateApps { updates, force: *force, create, single: *single })
        }
        (UpdateApps { .. } | RestartApp { .. }, DeleteApp { .. })
        | (UpdatePod { .. }, UpdatePod { .. } | DeletePod { .. })
        | (RestartApp { .. }, RestartApp { .. })
        | (DeleteApp { .. }, DeleteApp { .. }) => Some(then.clone()),
        _ => None,
    }
}

/// An update after others. Each keeps its own form, since what two say together may be what neither may; what says
/// nothing any more is left out.
fn after(mut all: Vec<AppUpdate>, then: &AppUpdate) -> Vec<AppUpdate> {
    let goes_back = |update: &AppUpdate| update.fields.contains_key("version");
    let whole = !then.partial || goes_back(then);
    let says_again = |name: &String| then.fields.contains_key(name);
    let moot = |first: &AppUpdate| {
        whole || first.partial && !goes_back(first) && first.fields.keys().all(says_again)
    };
    all.retain(|first| first.id != then.id || !moot(first));
    all.push(then.clone());
    all
}

/// What is left of a change that waits once another has gone ahead of it: the later word holds. None = nothing, or nobody
/// can tell.
pub(super) fn behind(first: &Command, by: &Command) -> Option<Command> {
    let (Command::UpdateApps { updates, force, create, single }, Command::UpdateApps { updates: later, .. }) =
        (first, by)
    else {
        return None;
    };
    let mine: BTreeSet<&String> = updates.iter().map(|update| &update.id).collect();
    let later = later.iter().filter(|update| mine.contains(&update.id));
    let all = later.clone().fold(updates.clone(), after);
    let is_left = all.iter().any(|update| later.clone().all(|by| by != update));
    let updates = all;
    let fits = updates.len() <= MERGED_MAX;
    (is_left && fits).then_some(Command::UpdateApps {
        updates,
        force: *force,
        create: *create,
        single: *single,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn update(fields: Value, partial: bool) -> Command {
        let fields = fields.as_object().unwrap().clone();
        let updates = vec![AppUpdate { id: "/a".into(), fields, partial }];
        Command::UpdateApps { updates, force: false, create: false, single: true }
    }

    fn said(command: &Command) -> Value {
        let Command::UpdateApps { updates, .. } = command else { return Value::Null };
        let one = |update: &AppUpdate| json!([update.fields, update.partial]);
        updates.iter().map(one).collect()
    }

    #[test]
    fn what_becomes_one() {
        let part = |fields: Value| update(fields, true);
        for (first, then, both) in [
            (
                json!({ "mem": 2 }),
                part(json!({ "mem": 3, "cpus": 1 })),
                json!([[{ "mem": 3, "cpus": 1 }, true]]),
            ),
            (
                json!({ "cpus": 1, "mem": 2 }),
                part(json!({ "mem": 3 })),
                json!([[{ "cpus": 1, "mem": 2 }, true], [{ "mem": 3 }, true]]),
            ),
            (
                json!({ "fetch": [] }),
                part(json!({ "uris": [] })),
                json!([[{ "fetch": [] }, true], [{ "uris": [] }, true]]),
            ),
            (json!({ "cmd": "a" }), update(json!({ "cpus": 1 }), false), json!([[{ "cpus": 1 }, false]])),
            (json!({ "cmd": "a" }), part(json!({ "version": "v" })), json!([[{ "version": "v" }, true]])),
            (
                json!({ "version": "v" }),
                part(json!({ "version": "w", "cpus": 1 })),
                json!([[{ "version": "w", "cpus": 1 }, true]]),
            ),
            (
                json!({ "version": "v" }),
                part(json!({ "cpus": 1 })),
                json!([[{ "version": "v" }, true], [{ "cpus": 1 }, true]]),
            ),
        ] {
            assert_eq!(merged(&part(first), &then).as_ref().map(said), Some(both), "{then:?}");
        }
        let back = part(json!({ "version": "v" }));
        let delete = Command::DeleteApp { id: "/a".into(), force: false };
        assert_eq!(merged(&back, &delete), Some(delete.clone()));
        assert_eq!(merged(&delete, &back), None);
        let many = (0..=MERGED_MAX)
            .try_fold(part(json!({ "mem": 1 })), |all, n| merged(&all, &part(json!({ format!("f{n}"): 1 }))));
        assert_eq!(many, None, "the next one waits by itself");
    }

    #[test]
    fn the_later_word_holds_though_it_went_ahead() {
        let whole = |cmd: &str| update(json!({ "cmd": cmd }), false);
        assert_eq!(behind(&whole("old"), &whole("new")), None);
        let part = update(json!({ "instances": 2 }), true);
        let both = json!([[{ "cmd": "old" }, false], [{ "instances": 2 }, true]]);
        assert_eq!(behind(&whole("old"), &part).as_ref().map(said), Some(both));
        assert_eq!(behind(&update(json!({ "instances": 3 }), true), &part), None);
        let delete = Command::DeleteApp { id: "/a".into(), force: false };
        assert_eq!(behind(&delete, &part), None);
    }
}
