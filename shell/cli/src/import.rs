//! Apps, pods and groups of a running Marathon, taken over. Never changes anything there, and nothing here unless told to.

use crate::{
    Change, Cluster, Failure, Output, apply,
    apply::AppFile,
    cluster::explain_body,
    diff::{AppChange, OF_ITS_CLUSTER},
    output::{list, text},
};
use http::Method;
use serde_json::{Map, Value, json};

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
        "{from} is {} {}: {}, {}",
        text(&info, "name"),
        text(&info, "version"),
        many(found.len(), "app"),
        many(pods.len(), "pod")
    ));
    let (mut ready, mut waits, mut rows) = (Vec::new(), Vec::new(), Vec::new());
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
                let row = row(id, note, &normal);
                let to = if row.1 == WAITS { &mut waits } else { &mut ready };
                to.push(definition);
                rows.push(row);
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
                let row = row(id, "all of it (a pod)".to_owned(), &normal);
                definitions.push((definition, row.1 == WAITS));
                rows.push(row);
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
    let count = (ready.len() + waits.len(), definitions.len());
    let mut failures = Vec::new();
    if do_apply {
        let mut taking = Taking { from, cluster, change, output, failures };
        // who enforces its role must say so before its apps come, and what it needs first must be there
        for (id, said) in &groups {
            let mut body = said.clone();
            body.as_object_mut().map(|said| said.remove("dependencies"));
            if body != json!({}) || said == &json!({}) {
                taking.group(id, &body).await;
            }
        }
        taking.apps(waits, false).await;
        taking.apps(ready, true).await;
        for (pod, waits) in definitions {
            taking.pod(pod, !waits).await;
        }
        for (id, said) in groups.iter().filter(|(_, said)| said.get("dependencies").is_some()) {
            taking.group(id, &json!({ "dependencies": said["dependencies"] })).await;
        }
        failures = taking.failures;
        for (id, why) in &failures {
            output.note(&format!("{id} is not taken over as it is there: {why}"));
        }
        if !output.json && failures.is_empty() {
            output.line(&format!("{} and {} are taken over.", many(count.0, "app"), many(count.1, "pod")));
        }
    } else if !(output.json || count == (0, 0)) {
        output.note(&format!(
            "Nothing was changed. `mesolite import {from} --apply` creates the {} and {} here.",
            many(count.0, "app"),
            many(count.1, "pod")
        ));
    }
    Ok(if refused == 0 && failures.is_empty() { 0 } else { crate::exit::FAILED })
}

fn many(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Apps that are put in one request, and bytes of their definitions. A request is one deployment, of which a cluster runs
/// only so many at once.
const APPS_MAX: usize = 500;
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// What is being taken over. What fails is noted, and the rest goes on.
struct Taking<'a> {
    from: &'a str,
    cluster: &'a Cluster,
    change: &'a Change,
    output: &'a Output,
    failures: Vec<(String, String)>,
}

impl Taking<'_> {
    fn note<T>(&mut self, id: &str, outcome: Result<T, Failure>) -> Option<T> {
        outcome.map_err(|failure| self.failures.push((id.to_owned(), failure.to_string()))).ok()
    }
    async fn group(&mut self, id: &str, body: &Value) {
        let outcome = put_group(self.cluster, id, body, self.change).await;
        self.note(id, outcome);
    }
    /// Puts apps, and waits until those run that can. Where some of a request are refused each is put by itself.
    async fn apps(&mut self, apps: Vec<Map<String, Value>>, run: bool) {
        let mut begun = Vec::new();
        for some in in_parts(apps) {
            if let Ok(deployment) = self.put(&some).await {
                begun.push((text(&some[0], "id"), deployment));
                continue;
            }
            for app in some {
                let id = text(&app, "id");
                let outcome = self.put(std::slice::from_ref(&app)).await;
                begun.extend(self.note(&id, outcome).map(|deployment| (id, deployment)));
            }
        }
        for (id, deployment) in begun.into_iter().filter(|_| run) {
            self.wait(&id, &deployment).await;
        }
    }
    async fn put(&self, apps: &[Value]) -> Result<String, Failure> {
        let path = format!("/v2/apps{}", self.change.query(&["partialUpdate=false"]));
        self.cluster.change(Method::PUT, &path, Some(&json!(apps))).await
    }
    async fn wait(&mut self, id: &str, deployment: &str) {
        if let (Some(timeout), false) = (self.change.wait(), deployment.is_empty()) {
            let outcome = self.cluster.wait(deployment, timeout, self.output).await;
            self.note(id, outcome);
        }
    }
    async fn pod(&mut self, pod: Value, run: bool) {
        let file = AppFile { from: self.from.to_owned(), app: pod };
        let outcome = apply::apply(self.cluster, &file, self.change, self.output).await;
        if let Some(applied) = self.note(&text(&file.app, "id"), outcome)
            && run
        {
            self.wait(&applied.id, &applied.deployment).await;
        }
    }
}

fn in_parts(apps: Vec<Map<String, Value>>) -> Vec<Vec<Value>> {
    let mut parts: Vec<Vec<Value>> = Vec::new();
    let mut bytes = 0;
    for app in apps.into_iter().map(Value::Object) {
        let more = app.to_string().len();
        match parts.last_mut() {
            Some(part) if part.len() < APPS_MAX && bytes + more <= BYTES_MAX => {
                bytes += more;
                part.push(app);
            }
            _ => {
                bytes = more;
                parts.push(vec![app]);
            }
        }
    }
    parts
}

/// What is taken over and can't be launched here yet.
const WAITS: &str = "waits";

/// What becomes of a definition in its normal form.
fn row(id: String, note: String, normal: &Map<String, Value>) -> (String, &'static str, String) {
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
fn carried(app: &Value) -> Map<String, Value> {
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
        let many = (0..1201).map(|n| json!({ "id": format!("/{n}") }).as_object().cloned().unwrap());
        assert_eq!(in_parts(many.collect()).iter().map(Vec::len).collect::<Vec<_>>(), [500, 500, 201]);
        let large = json!({ "id": "/l", "cmd": "x".repeat(BYTES_MAX / 2) }).as_object().cloned().unwrap();
        assert_eq!(in_parts(vec![large; 3]).len(), 3);
        let app = json!({"id": "/a", "version": "v", "tasksRunning": 1, "ports": [1], "portDefinitions": [], "user": null});
        assert_eq!(Value::Object(carried(&app)), json!({"id": "/a", "portDefinitions": []}));
    }
}
