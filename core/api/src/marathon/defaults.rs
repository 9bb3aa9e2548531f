//! What a group says for all apps below it, and what an app has of it: put in, told apart, taken out again. Pure.
//!
//! An app is kept and shown with everything it has; `inherited` says what of it is not its own.

use super::{
    V,
    constraint::app_fault,
    fields::{AMOUNT, COUNT, ENV, LABELS, MANY, ON_FAILURE, SECONDS, TEXT},
    look::items,
    shape::{Field, Found, Shape, may, object, omit},
};
use serde_json::{Map, Value, json};

/// What a group can say; each of it is a field of an app.
const DEFAULTS: &[Field] = &[
    omit("env", &ENV),
    omit("labels", &LABELS),
    omit("constraints", &Shape::List(&Shape::List(&TEXT, 0, false), 0, true)),
    may("cpus", &Shape::Number(0.001, MANY)),
    may("mem", &AMOUNT),
    may("disk", &AMOUNT),
    may("gpus", &COUNT),
    may("deploymentTimeoutSeconds", &SECONDS),
    may("maxFailures", &COUNT),
    may("onFailure", &ON_FAILURE),
    may("settleSeconds", &COUNT),
    may("stagingTimeoutSeconds", &SECONDS),
];
/// Fields that every app has, and what they are where nobody says it.
const ALWAYS: [(&str, u64); 4] = [("cpus", 1), ("mem", 128), ("disk", 0), ("gpus", 0)];
/// How many instances an app has where nobody says it.
const COUNTED: (&str, u64) = ("instances", 1);
/// The field that says what is not an app's own.
pub const INHERITED: &str = "inherited";

/// Reads what a group says for its apps.
pub(super) fn read(said: Map<String, Value>, at: &str, found: &mut Found) -> Map<String, Value> {
    // this is ours alone, so nobody's client sends more than we know
    for name in said.keys().filter(|name| DEFAULTS.iter().all(|field| field.name != name.as_str())) {
        let names: Vec<_> = DEFAULTS.iter().map(|field| field.name).collect();
        let fault = format!("groups have no default of this; there are: {}", names.join(", "));
        found.violations.push(V::new(&format!("{at}/{name}"), fault));
    }
    let mut read = object(DEFAULTS, said, true, at, found);
    for (name, value) in read.get("env").and_then(Value::as_object).into_iter().flatten() {
        let fault = match value {
            _ if name.is_empty() => "a variable needs a name",
            Value::Object(_) => "secrets are named by the app that has them",
            _ => continue,
        };
        found.violations.push(V::new(&format!("{at}/env({name})"), fault.to_owned()));
    }
    for (i, constraint) in items(&read, "constraints").iter().enumerate() {
        if let Some(fault) = app_fault(constraint) {
            found.violations.push(V::new(&format!("{at}/constraints({i})"), fault));
        }
    }
    for operator in read.get_mut("constraints").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(Value::String(text)) = operator.get_mut(1) {
            *text = text.to_uppercase();
        }
    }
    super::shape::drop_empty(DEFAULTS, &mut read);
    read
}

/// Takes out of an app what is not its own and still as it was inherited.
pub fn own(app: &mut Map<String, Value>) {
    let Some(Value::Object(inherited)) = app.remove(INHERITED) else { return };
    for (name, was) in inherited {
        let Some(is) = app.get_mut(&name) else { continue };
        match (is, was) {
            (Value::Object(is), Value::Object(was)) => {
                is.retain(|key, value| was.get(key) != Some(value));
            }
            (Value::Array(is), Value::Array(was)) => is.retain(|value| !was.contains(value)),
            (is, was) if *is == was => drop(app.remove(&name)),
            _ => {}
        }
    }
}

/// Puts into an app what its groups say, the outermost first: the nearer one wins, and the app itself most. Constraints
/// on a field that a nearer one has constraints on are left out.
pub fn inherit(app: &mut Map<String, Value>, groups: &[&Map<String, Value>]) {
    let mut inherited = Map::new();
    for (name, value) in groups.iter().rev().flat_map(|group| group.iter()) {
        match value {
            Value::Object(said) => {
                let entries = app.entry(name.clone()).or_insert(json!({}));
                let Some(entries) = entries.as_object_mut() else { continue };
                let taken = inherited.entry(name.clone()).or_insert(json!({}));
                for (key, value) in said {
                    if !entries.contains_key(key) {
                        entries.insert(key.clone(), value.clone());
                        taken[key] = value.clone();
                    }
                }
            }
            Value::Array(said) => {
                let field = |constraint: &Value| constraint.get(0).cloned();
                let list = app.entry(name.clone()).or_insert(json!([]));
                let Some(list) = list.as_array_mut() else { continue };
                let nearer: Vec<_> = list.iter().map(field).collect();
                let more: Vec<_> = said.iter().filter(|c| !nearer.contains(&field(c))).cloned().collect();
                list.extend(more.iter().cloned());
                if let Some(taken) = inherited.entry(name.clone()).or_insert(json!([])).as_array_mut() {
                    taken.extend(more);
                }
            }
            value if app.get(name).is_none_or(Value::is_null) => {
                app.insert(name.clone(), value.clone());
                inherited.insert(name.clone(), value.clone());
            }
            _ => {}
        }
    }
    let empty = |value: &Value| {
        value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
    };
    inherited.retain(|_, value| !empty(value));
    if !inherited.is_empty() {
        app.insert(INHERITED.into(), inherited.into());
    }
}

/// What nobody has said, of what every app has.
pub fn fill(app: &mut Map<String, Value>) {
    for (name, amount) in ALWAYS.into_iter().chain([COUNTED]) {
        app.entry(name).or_insert(amount.into());
    }
}

/// Leaves open what nobody has said, of what every app has: a group may say it, and of an app that scales itself how many
/// instances it has.
pub(super) fn leave_open(said: &Map<String, Value>, read: &mut Map<String, Value>) {
    let open = |name: &str| said.get(name).is_none_or(Value::is_null);
    let counted = (!open("autoscale")).then_some(COUNTED);
    for (name, _) in ALWAYS.into_iter().chain(counted) {
        if open(name) {
            read.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inherited_is_told_apart_and_comes_out_again() {
        let object = |value: Value| value.as_object().unwrap().clone();
        let outer = object(json!({ "env": { "A": "outer", "B": "outer" }, "cpus": 0.5, "mem": 64,
            "constraints": [["rack", "LIKE", "a"], ["hostname", "UNIQUE"]] }));
        let inner = object(json!({ "env": { "B": "inner" }, "labels": { "team": "x" }, "cpus": 0.25 }));
        let said = object(json!({ "id": "/g/h/a", "env": { "C": "own" }, "mem": 32,
            "constraints": [["hostname", "GROUP_BY"]] }));
        let mut app = said.clone();
        inherit(&mut app, &[&outer, &inner]);
        assert_eq!(app["env"], json!({ "A": "outer", "B": "inner", "C": "own" }));
        assert_eq!(
            (&app["cpus"], &app["mem"], &app["labels"]),
            (&json!(0.25), &json!(32), &json!({ "team": "x" }))
        );
        assert_eq!(app["constraints"], json!([["hostname", "GROUP_BY"], ["rack", "LIKE", "a"]]));
        let inherited = json!({ "env": { "A": "outer", "B": "inner" }, "labels": { "team": "x" }, "cpus": 0.25,
            "constraints": [["rack", "LIKE", "a"]] });
        assert_eq!(app[INHERITED], inherited);
        // what a client changed of it is its own
        let mut changed = app.clone();
        changed["env"]["B"] = "mine".into();
        own(&mut changed);
        assert_eq!(changed["env"], json!({ "B": "mine", "C": "own" }));
        assert!(!changed.contains_key("cpus") && !changed.contains_key(INHERITED));
        own(&mut app);
        app.retain(|_, value| *value != json!({}));
        assert_eq!(app, said);
        let mut plain = object(json!({ "id": "/a" }));
        inherit(&mut plain, &[]);
        assert_eq!(plain, object(json!({ "id": "/a" })));
        fill(&mut plain);
        assert_eq!((&plain["cpus"], &plain["mem"]), (&json!(1), &json!(128)));
    }
}
