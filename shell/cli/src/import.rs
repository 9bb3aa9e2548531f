//! Apps, pods and groups of a running Marathon, taken over. Never changes anything there, and nothing here unless told to.

use crate::{
    Change, Cluster, Failure, Output, apply,
    apply::AppFile,
    apps,
    cluster::explain_body,
    diff::{AppChange, OF_ITS_CLUSTER},
    output::{list, text},
};
use http::Method;
use serde_json::{Value, json};

/// Reads all apps of `from`, says what carries over, and creates them here if told to.
pub async fn perform(
    from: &str,
    do_apply: bool,
    change: &Change,
    cluster: &Cluster,
    output: &Output,
) -> Result<u8, Failure> {
    let old = Cluster::new(from, "");
    let info = old.marathon(Method::GET, "/v2/info", None).await?;
    let group = old
        .marathon(Method::GET, "/v2/groups?embed=group.groups&embed=group.apps&embed=group.pods", None)
        .await?;
    let mut found = Vec::new();
    let mut pods = Vec::new();
    gather(&group, &mut found, &mut pods);
    output.note(&format!(
        "{from} is {} {}: {} apps, {} pods",
        text(&info, "name"),
        text(&info, "version"),
        found.len(),
        pods.len()
    ));
    let (mut ready, mut rows) = (Vec::new(), Vec::new());
    for app in found {
        let id = text(&app, "id");
        let definition = carried(&app);
        match api::marathon::normal(definition.clone()) {
            Ok(normal) => {
                let lost: Vec<_> = AppChange::between(&id, Some(&Value::Object(definition.clone())), &normal)
                    .differences
                    .into_iter()
                    .filter(|d| d.new.is_none())
                    .map(|d| d.path)
                    .collect();
                let note = if lost.is_empty() {
                    "all of it".to_owned()
                } else {
                    format!("without {}", lost.join(", "))
                };
                rows.push(row(id.clone(), note, &normal));
                ready.push(AppFile { from: format!("{from}{id}"), app: Value::Object(definition) });
            }
            Err((_, body)) => rows.push((id, "refused", explain_body(&body).replace('\n', ";"))),
        }
    }
    let mut definitions = Vec::new();
    for pod in &pods {
        let definition = definition_of(pod);
        let id = text(&definition, "id");
        match api::marathon::pod(definition.as_object().cloned().unwrap_or_default()) {
            Ok(normal) => {
                rows.push(row(id, "all of it (a pod)".to_owned(), &normal));
                definitions.push(definition);
            }
            Err((_, body)) => rows.push((id, "refused", explain_body(&body).replace('\n', ";"))),
        }
    }
    let mut groups = Vec::new();
    gather_groups(&group, &mut groups);
    rows.extend(groups.iter().map(|(id, said)| {
        (
            id.clone(),
            "carries over",
            if said == &json!({}) { "it is empty".to_owned() } else { format!("its {}", keys(said)) },
        )
    }));
    let waiting = rows.iter().filter(|(_, what, _)| *what == WAITS).count();
    let refused = rows.iter().filter(|(_, what, _)| *what == "refused").count();
    if output.json {
        let rows: Vec<_> =
            rows.iter().map(|(id, what, note)| json!({"id": id, "outcome": what, "note": note})).collect();
        output.value(&json!({"from": from, "apps": rows, "applied": do_apply}));
    } else {
        let rows = rows.into_iter().map(|(id, what, note)| vec![id, what.to_owned(), note]).collect();
        output.table(&["ID", "OUTCOME", "WHAT"], rows);
    }
    if waiting > 0 {
        output.note(&format!(
            "{waiting} of these are taken over and kept, but no task of them starts before this cluster has what they ask for."
        ));
    }
    if do_apply {
        // who enforces its role must say so before its apps come, and what it needs first must be there
        for (id, said) in &groups {
            let mut body = said.clone();
            body.as_object_mut().map(|said| said.remove("dependencies"));
            if body != json!({}) || said == &json!({}) {
                put_group(cluster, id, &body, change).await?;
            }
        }
        let mut begun = Vec::new();
        for file in &ready {
            begun.push(apply::apply(cluster, file, change, output).await?);
        }
        for plan in begun {
            apps::finish(cluster, output, &plan.id, &plan.deployment, change).await?;
        }
        for pod in &definitions {
            let file = AppFile { from: from.to_owned(), app: pod.clone() };
            let applied = apply::apply(cluster, &file, change, output).await?;
            apps::finish(cluster, output, &applied.id, &applied.deployment, change).await?;
        }
        for (id, said) in groups.iter().filter(|(_, said)| said.get("dependencies").is_some()) {
            put_group(cluster, id, &json!({ "dependencies": said["dependencies"] }), change).await?;
        }
    } else if !(output.json || ready.is_empty() && definitions.is_empty()) {
        output.note(&format!(
            "Nothing was changed. `mesolite import {from} --apply` creates the {} apps and {} pods here.",
            ready.len(),
            definitions.len()
        ));
    }
    Ok(if refused == 0 { 0 } else { crate::exit::FAILED })
}

/// What is taken over and can't be launched here yet.
const WAITS: &str = "waits";

/// What becomes of a definition in its normal form.
fn row(id: String, note: String, normal: &serde_json::Map<String, Value>) -> (String, &'static str, String) {
    let missing = api::marathon::missing(normal);
    if missing.is_empty() {
        return (id, "carries over", note);
    }
    (id, WAITS, format!("{note}; can't be launched here yet: {}", missing.join(", ")))
}

/// What a group says of itself: what it needs first, whether it enforces its role, its defaults; one that is empty says
/// that it is there.
fn gather_groups(group: &Value, found: &mut Vec<(String, Value)>) {
    let mut said = json!({});
    if !list(group, "dependencies").is_empty() {
        said["dependencies"] = group["dependencies"].clone();
    }
    if group["enforceRole"] == true {
        said["enforceRole"] = true.into();
    }
    if group["defaults"].as_object().is_some_and(|defaults| !defaults.is_empty()) {
        said["defaults"] = group["defaults"].clone();
    }
    let holds_nothing = ["apps", "groups", "pods"].iter().all(|kind| list(group, kind).is_empty());
    if said != json!({}) || (holds_nothing && text(group, "id") != "/") {
        found.push((text(group, "id"), said));
    }
    list(group, "groups").iter().for_each(|group| gather_groups(group, found));
}

fn keys(said: &Value) -> String {
    said.as_object().map_or_else(String::new, |said| said.keys().cloned().collect::<Vec<_>>().join(", "))
}

async fn put_group(cluster: &Cluster, id: &str, body: &Value, change: &Change) -> Result<(), Failure> {
    let path = format!("/v2/groups{}{}", id.trim_end_matches('/'), change.query(&[]));
    cluster.marathon(Method::PUT, &path, Some(body)).await.map(drop)
}

/// A pod as it was defined; groups list it with its status.
fn definition_of(pod: &Value) -> Value {
    let mut definition = if pod["spec"].is_object() { pod["spec"].clone() } else { pod.clone() };
    if let Some(fields) = definition.as_object_mut() {
        // what its groups say comes with them
        api::marathon::own_pod(fields);
        fields.remove("version");
        fields.retain(|_, value| !value.is_null());
    }
    definition
}

/// All apps and pods of a group and the groups in it.
fn gather(group: &Value, found: &mut Vec<Value>, pods: &mut Vec<Value>) {
    found.extend(list(group, "apps").iter().cloned());
    pods.extend(list(group, "pods").iter().cloned());
    list(group, "groups").iter().for_each(|group| gather(group, found, pods));
}

/// What of a listed app is its definition. `ports` and `uris` are listed beside the fields that replaced them.
fn carried(app: &Value) -> serde_json::Map<String, Value> {
    let mut definition = app.as_object().cloned().unwrap_or_default();
    // what its groups say comes with them
    api::marathon::own(&mut definition);
    definition.retain(|name, value| !OF_ITS_CLUSTER.contains(&name.as_str()) && !value.is_null());
    for (old, new) in [("ports", "portDefinitions"), ("uris", "fetch")] {
        if definition.contains_key(new) {
            definition.remove(old);
        }
    }
    definition
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_are_found_in_every_group_and_lose_what_only_their_cluster_knew() {
        let group = json!({"id": "/", "apps": [{"id": "/a"}],
                           "groups": [{"id": "/g", "apps": [], "groups": [{"apps": [{"id": "/g/h/b"}], "pods": [{"id": "/p"}]}]}]});
        let (mut found, mut pods) = (Vec::new(), Vec::new());
        gather(&group, &mut found, &mut pods);
        assert_eq!(found, [json!({"id": "/a"}), json!({"id": "/g/h/b"})]);
        assert_eq!(pods.len(), 1);
        assert_eq!(
            definition_of(&json!({"id": "/p", "spec": {"id": "/p", "version": "v"}})),
            json!({"id": "/p"})
        );
        let image = json!({"container": {"type": "MESOS", "docker": {"image": "i"}}, "networks": [{"mode": "container"}]});
        let (id, outcome, note) = row("/i".into(), "all of it".into(), image.as_object().unwrap());
        assert_eq!((id.as_str(), outcome), ("/i", WAITS));
        assert_eq!(
            note,
            "all of it; can't be launched here yet: container images, networks other than the host's"
        );
        let plain = json!({"cmd": "x", "networks": [{"mode": "host"}]});
        assert_eq!(row("/c".into(), "n".into(), plain.as_object().unwrap()).1, "carries over");
        let mut groups = Vec::new();
        let tree = json!({"id": "/", "dependencies": [], "groups": [{"id": "/g", "dependencies": ["/h"], "enforceRole": true}]});
        gather_groups(&tree, &mut groups);
        assert_eq!(groups, [("/g".to_owned(), json!({"dependencies": ["/h"], "enforceRole": true}))]);
        assert_eq!(keys(&groups[0].1), "dependencies, enforceRole");
        let app = json!({"id": "/a", "version": "v", "tasksRunning": 1, "ports": [1], "portDefinitions": [], "user": null});
        assert_eq!(Value::Object(carried(&app)), json!({"id": "/a", "portDefinitions": []}));
    }
}
