//! Changes of groups as clients say them: a tree of apps and groups, or a factor, or a version to go back to.
//!
//! Never what a change leads to: that depends on the groups that are there.

use super::{
    Refusal, defaults,
    errors::{Violation, not_valid, wrong_shape},
    fields::{APP, PATH_ID, PATH_IDS},
    holes::without_followers,
    path::{app_id, canonical},
    refused,
    shape::{Field, Found, Shape, may, object},
    wrong_anyhow,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a client says of a group. What is not said stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupUpdate {
    /// Relative to the group it is in.
    pub id: Option<String>,
    /// Its apps, each read by `app`; those that are not named go.
    pub apps: Option<Vec<Map<String, Value>>>,
    /// Its groups; those that are not named go.
    pub groups: Option<Vec<GroupUpdate>>,
    /// What must be there first.
    pub dependencies: Option<Vec<String>>,
    /// All its apps grow or shrink by this factor.
    pub scale_by: Option<f64>,
    /// Back to what it was then.
    pub version: Option<String>,
    /// Whether its apps must have its name as their role.
    pub enforce_role: Option<bool>,
    /// What all apps below it have that do not say otherwise.
    #[serde(default)]
    pub defaults: Option<Map<String, Value>>,
}

/// Nested groups; deeper ones are refused.
const DEPTH_MAX: usize = super::path::SEGMENTS_MAX;
const GROUP: &[Field] = &[
    may("id", &PATH_ID),
    may("dependencies", &PATH_IDS),
    may("scaleBy", &Shape::Number(0.0, super::fields::MANY)),
    may("version", &Shape::Instant),
    may("enforceRole", &Shape::Flag),
];

/// Reads a body; `base` is the group it is sent to.
pub fn group_update(body: Map<String, Value>, base: &str) -> Result<GroupUpdate, Refusal> {
    let (mut found, mut values) = (Found::default(), Vec::new());
    let update = read(body, base, "", 0, &mut found, &mut values);
    if !found.violations.is_empty() {
        more_wrong(&update, base, "", &found.holes, &mut values);
        let values = without_followers(values, &found.holes);
        return Err(refused(found, values));
    }
    if values.is_empty() { Ok(update) } else { Err(not_valid(&values)) }
}

/// What is wrong with the values of all apps, where some of them could not be read.
fn more_wrong(update: &GroupUpdate, base: &str, at: &str, holes: &[String], values: &mut Vec<Violation>) {
    let here = update.id.as_deref().map_or_else(|| base.to_owned(), |id| canonical(id, base));
    for (i, app) in update.apps.iter().flatten().enumerate() {
        let path = format!("{at}/apps({i})");
        let own: Vec<_> =
            holes.iter().filter_map(|hole| hole.strip_prefix(&path)).map(str::to_owned).collect();
        for violation in wrong_anyhow(app.clone(), &here, &own) {
            let below = if violation.path == "/" { "" } else { &violation.path };
            values.push(Violation::new(&format!("{path}{below}"), violation.error));
        }
    }
    for (i, group) in update.groups.iter().flatten().enumerate() {
        more_wrong(group, &here, &format!("{at}/groups({i})"), holes, values);
    }
}

fn read(
    mut body: Map<String, Value>,
    base: &str,
    at: &str,
    depth: usize,
    found: &mut Found,
    values: &mut Vec<Violation>,
) -> GroupUpdate {
    let mut list = |name: &str, found: &mut Found| match body.remove(name) {
        None | Some(Value::Null) => None,
        Some(Value::Array(items)) => Some(items),
        Some(_) => {
            found.wrong_type(&format!("{at}/{name}"), "jsarray");
            None
        }
    };
    let (apps, groups) = (list("apps", found), list("groups", found));
    let defaults = match body.remove("defaults") {
        None | Some(Value::Null) => None,
        Some(Value::Object(said)) => Some(defaults::read(said, &format!("{at}/defaults"), found)),
        Some(_) => {
            found.wrong_type(&format!("{at}/defaults"), "jsobject");
            None
        }
    };
    let own = object(GROUP, body, true, if at.is_empty() { "/" } else { at }, found);
    let text = |name: &str| own.get(name).and_then(Value::as_str).map(str::to_owned);
    let id = text("id");
    let here = id.as_deref().map_or_else(|| base.to_owned(), |id| canonical(id, base));
    if here != "/"
        && let Some(fault) = app_id(&here)
    {
        values.push(Violation::new(&format!("{at}/id"), fault));
    }
    let each = |name: &str, items: Vec<Value>, found: &mut Found| -> Vec<(String, Map<String, Value>)> {
        let mut all = Vec::new();
        for (i, item) in items.into_iter().enumerate() {
            let path = format!("{at}/{name}({i})");
            match item {
                Value::Object(map) => all.push((path, map)),
                // leaves its place empty, so that the others keep their numbers
                _ => {
                    found.wrong_type(&path, "jsobject");
                    all.push((path, Map::new()));
                }
            }
        }
        all
    };
    let apps = apps.map(|items| {
        let all = each("apps", items, found);
        let read = |(path, mut app): (String, Map<String, Value>)| {
            defaults::own(&mut app);
            let mut read = object(APP, app.clone(), true, &path, found);
            defaults::leave_open(&app, &mut read);
            read
        };
        all.into_iter().map(read).collect()
    });
    let groups = groups.map(|items| {
        let mut all = Vec::new();
        for (path, group) in each("groups", items, found) {
            if depth >= DEPTH_MAX {
                values.push(Violation::new(&path, format!("groups may be nested {DEPTH_MAX} deep at most")));
                all.push(GroupUpdate::default());
                continue;
            }
            if group.get("id").is_none_or(Value::is_null) {
                values.push(Violation::new(&format!("{path}/id"), "must not be empty"));
            }
            all.push(read(group, &here, &path, depth + 1, found, values));
        }
        all
    });
    let update = GroupUpdate {
        id,
        apps,
        groups,
        dependencies: own
            .get("dependencies")
            .and_then(Value::as_array)
            .map(|all| all.iter().filter_map(Value::as_str).map(|on| canonical(on, &here)).collect()),
        scale_by: own.get("scaleBy").and_then(Value::as_f64),
        version: text("version"),
        enforce_role: own.get("enforceRole").and_then(Value::as_bool),
        defaults,
    };
    let others = |more: bool| {
        more || update.apps.is_some()
            || update.groups.is_some()
            || update.dependencies.is_some()
            || update.enforce_role.is_some()
            || update.defaults.is_some()
    };
    for (name, set, more) in [
        ("version", update.version.is_some(), update.scale_by.is_some()),
        ("scaleBy", update.scale_by.is_some(), update.version.is_some()),
    ] {
        if set && (others(more) || (update.id.is_some() && depth > 0)) {
            values.push(Violation::new(
                &format!("{at}/{name}"),
                "not allowed in conjunction with other properties",
            ));
        }
    }
    update
}

/// The body of a PATCH: only `enforceRole`.
pub fn patch_group(body: Map<String, Value>) -> Result<Option<bool>, Refusal> {
    let mut found = Found::default();
    let read = object(&[may("enforceRole", &Shape::Flag)], body, true, "/", &mut found);
    if found.violations.is_empty() {
        Ok(read.get("enforceRole").and_then(Value::as_bool))
    } else {
        Err(wrong_shape(&found.violations))
    }
}
