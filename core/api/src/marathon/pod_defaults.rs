//! What a pod has of what its groups say (`defaults`), in a pod's own words: put in, told apart, taken out again. Pure.
//!
//! Groups speak of apps: `env` is a pod's `environment`, `constraints` stand in its `scheduling.placement`, the bounds of
//! deployments in its `scheduling`, amounts are those of each container that does not say its own.

use super::{
    defaults::{INHERITED, inherit},
    look::{items, text},
};
use serde_json::{Map, Value, json};

const AMOUNTS: [&str; 4] = ["cpus", "mem", "disk", "gpus"];
/// Objects of a pod that stay, though all that is in them was inherited.
const FRAMES: [&str; 4] = ["containers", "placement", "resources", "scheduling"];

/// The object of this name in another one, made if it is not there; none = something else is there.
fn inside<'a>(map: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    let value = map.entry(name).or_insert(Value::Null);
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut()
}

/// What a pod says, as an app would say it; none = it can't be read.
fn as_app(pod: &Map<String, Value>, groups: &[&Map<String, Value>]) -> Map<String, Value> {
    let none = Map::new();
    let scheduling = pod.get("scheduling").and_then(Value::as_object).unwrap_or(&none);
    let placement = scheduling.get("placement").and_then(Value::as_object).unwrap_or(&none);
    let mut app = Map::new();
    for (own, of_app) in [("environment", "env"), ("labels", "labels")] {
        app.insert(of_app.into(), pod.get(own).filter(|v| v.is_object()).cloned().unwrap_or(json!({})));
    }
    let constraint = |one: &Value| {
        let parts = ["fieldName", "operator", "value"].into_iter().filter_map(|part| text(one, part));
        Value::from(parts.collect::<Vec<_>>())
    };
    app.insert("constraints".into(), items(placement, "constraints").iter().map(constraint).collect());
    for name in groups.iter().flat_map(|group| group.keys()) {
        if let Some(value) = scheduling.get(name).filter(|_| !app.contains_key(name)) {
            app.insert(name.clone(), value.clone());
        }
    }
    app
}

fn as_object(constraint: &Value) -> Value {
    let mut object = json!({ "fieldName": constraint[0], "operator": constraint[1] });
    if let Some(value) = constraint.get(2) {
        object["value"] = value.clone();
    }
    object
}

/// Puts into a pod what its groups say, the outermost first: the nearer one wins, and the pod itself most.
pub fn inherit_pod(pod: &mut Map<String, Value>, groups: &[&Map<String, Value>]) {
    if groups.is_empty() {
        return;
    }
    let mut app = as_app(pod, groups);
    inherit(&mut app, groups);
    let Some(Value::Object(found)) = app.remove(INHERITED) else { return };
    let mut taken = Map::new();
    for (name, value) in found {
        match name.as_str() {
            "env" | "labels" => {
                let own = if name == "env" { "environment" } else { "labels" };
                let Some(into) = inside(pod, own) else { continue };
                into.extend(value.as_object().cloned().unwrap_or_default());
                taken.insert(own.to_owned(), value);
            }
            "constraints" => {
                let more: Vec<Value> = value.as_array().into_iter().flatten().map(as_object).collect();
                let Some(into) = inside(pod, "scheduling").and_then(|s| inside(s, "placement")) else {
                    continue;
                };
                match into.entry("constraints").or_insert(json!([])) {
                    Value::Array(list) => list.extend(more.iter().cloned()),
                    nothing @ Value::Null => *nothing = more.clone().into(),
                    _ => continue,
                }
                let placement = json!({ "constraints": more });
                inside(&mut taken, "scheduling").map(|s| s.insert("placement".into(), placement));
            }
            amount if AMOUNTS.contains(&amount) => {}
            _ => {
                let Some(into) = inside(pod, "scheduling") else { continue };
                into.insert(name.clone(), value.clone());
                inside(&mut taken, "scheduling").map(|s| s.insert(name, value));
            }
        }
    }
    let containers = amounts(pod, groups);
    if !containers.is_empty() {
        taken.insert("containers".into(), containers.into());
    }
    if !taken.is_empty() {
        pod.insert(INHERITED.into(), taken.into());
    }
}

/// Gives containers the amounts that they do not say, and tells which.
fn amounts(pod: &mut Map<String, Value>, groups: &[&Map<String, Value>]) -> Vec<Value> {
    let said: Vec<(&str, &Value)> = AMOUNTS
        .into_iter()
        .filter_map(|name| Some((name, groups.iter().rev().find_map(|group| group.get(name))?)))
        .collect();
    let mut all = Vec::new();
    for container in pod.get_mut("containers").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(container) = container.as_object_mut() else { continue };
        let name = container.get("name").cloned().unwrap_or_default();
        let Some(resources) = inside(container, "resources") else { continue };
        let mut taken = Map::new();
        for (amount, value) in &said {
            if resources.get(*amount).is_none_or(Value::is_null) {
                resources.insert((*amount).to_owned(), (*value).clone());
                taken.insert((*amount).to_owned(), (*value).clone());
            }
        }
        if !taken.is_empty() {
            all.push(json!({ "name": name, "resources": taken }));
        }
    }
    all
}

/// Takes out of a pod what is not its own and still as it was inherited.
pub fn own_pod(pod: &mut Map<String, Value>) {
    if let Some(Value::Object(was)) = pod.remove(INHERITED) {
        without(pod, &was);
    }
}

/// Puts into a pod what another version of it had inherited, where the pod does not say it itself.
pub fn inherit_again(pod: &mut Map<String, Value>, was: &Map<String, Value>) {
    for (name, was) in was {
        match (pod.entry(name.clone()).or_insert(Value::Null), was) {
            (nothing @ Value::Null, Value::Object(was)) => {
                let mut made = Map::new();
                inherit_again(&mut made, was);
                *nothing = made.into();
            }
            (Value::Object(is), Value::Object(was)) => inherit_again(is, was),
            (Value::Array(is), Value::Array(was)) if name == "containers" => {
                for container in is.iter_mut().filter_map(Value::as_object_mut) {
                    let same = |one: &&Value| one.get("name") == container.get("name");
                    if let Some(was) = was.iter().find(same).and_then(Value::as_object) {
                        inherit_again(container, was);
                    }
                }
            }
            (Value::Array(is), Value::Array(was)) => {
                let fields: Vec<_> = is.iter().map(|one| one.get("fieldName").cloned()).collect();
                is.extend(was.iter().filter(|one| !fields.contains(&one.get("fieldName").cloned())).cloned());
            }
            (nothing @ Value::Null, was) => *nothing = was.clone(),
            _ => {}
        }
    }
}

fn without(is: &mut Map<String, Value>, was: &Map<String, Value>) {
    for (name, was) in was.iter().filter(|(name, _)| *name != "name") {
        let Some(value) = is.get_mut(name) else { continue };
        match (value, was) {
            (Value::Object(value), Value::Object(was)) => {
                without(value, was);
                if value.is_empty() && !FRAMES.contains(&name.as_str()) {
                    is.remove(name);
                }
            }
            (Value::Array(all), Value::Array(was)) if name == "containers" => {
                for container in all.iter_mut().filter_map(Value::as_object_mut) {
                    let same = |one: &&Value| one.get("name") == container.get("name");
                    if let Some(was) = was.iter().find(same).and_then(Value::as_object) {
                        without(container, was);
                    }
                }
            }
            (Value::Array(all), Value::Array(was)) => all.retain(|one| !was.contains(one)),
            (value, was) if *value == *was => drop(is.remove(name)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_has_what_its_groups_say_in_its_own_words_and_gives_it_back() {
        let object = |value: Value| value.as_object().unwrap().clone();
        let outer =
            object(json!({ "env": { "A": "outer", "B": "outer" }, "cpus": 0.5, "mem": 64, "maxFailures": 3,
            "constraints": [["rack", "LIKE", "a"], ["hostname", "UNIQUE"]] }));
        let inner = object(json!({ "env": { "B": "inner" }, "labels": { "team": "x" }, "cpus": 0.25 }));
        let said = object(json!({ "id": "/g/h/p", "environment": { "C": "own" },
            "scheduling": { "placement": { "constraints": [{ "fieldName": "hostname", "operator": "GROUP_BY" }] } },
            "containers": [{ "name": "a", "resources": { "mem": 32 } }, { "name": "b", "resources": { "cpus": 1 } }] }));
        let mut pod = said.clone();
        inherit_pod(&mut pod, &[&outer, &inner]);
        assert_eq!(pod["environment"], json!({ "A": "outer", "B": "inner", "C": "own" }));
        assert_eq!(pod["labels"], json!({ "team": "x" }));
        let own = json!({ "fieldName": "hostname", "operator": "GROUP_BY" });
        let rack = json!({ "fieldName": "rack", "operator": "LIKE", "value": "a" });
        assert_eq!(
            pod["scheduling"],
            json!({ "maxFailures": 3, "placement": { "constraints": [own, rack] } })
        );
        assert_eq!(pod["containers"][0]["resources"], json!({ "cpus": 0.25, "mem": 32 }));
        assert_eq!(pod["containers"][1]["resources"], json!({ "cpus": 1, "mem": 64 }));
        assert_eq!(
            pod[INHERITED],
            json!({ "environment": { "A": "outer", "B": "inner" }, "labels": { "team": "x" },
                "scheduling": { "maxFailures": 3, "placement": { "constraints": [rack] } },
                "containers": [{ "name": "a", "resources": { "cpus": 0.25 } }, { "name": "b", "resources": { "mem": 64 } }] })
        );
        // what a client changed of it is its own
        let mut changed = pod.clone();
        changed["environment"]["B"] = "mine".into();
        changed["containers"][0]["resources"]["cpus"] = 2.into();
        own_pod(&mut changed);
        assert_eq!(changed["environment"], json!({ "B": "mine", "C": "own" }));
        assert_eq!(changed["containers"][0]["resources"], json!({ "cpus": 2, "mem": 32 }));
        assert!(!changed.contains_key("labels") && !changed.contains_key(INHERITED));
        let whole = pod.clone();
        own_pod(&mut pod);
        assert_eq!(pod, said);
        let mut again = said.clone();
        inherit_again(&mut again, whole[INHERITED].as_object().unwrap());
        again.insert(INHERITED.into(), whole[INHERITED].clone());
        assert_eq!(again, whole);
        // nothing said, nothing changed; and what can't be read is left alone
        inherit_pod(&mut pod, &[]);
        assert_eq!(pod, said);
        let mut odd = object(json!({ "environment": 1, "containers": 2, "scheduling": { "placement": [] } }));
        let before = odd.clone();
        inherit_pod(&mut odd, &[&outer]);
        odd.remove(INHERITED);
        odd["scheduling"].as_object_mut().unwrap().remove("maxFailures");
        odd.remove("labels");
        assert_eq!(odd, before);
    }
}
