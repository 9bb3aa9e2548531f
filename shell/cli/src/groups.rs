//! Commands on groups. Never: what a change of one means for its apps; the cluster says it (`dryRun`).

use crate::{
    Apply, Change, Cluster, Failure, Group, Output, Rollback, Whole,
    apply::read_definitions,
    apps::{finish, state},
    cluster::stable,
    output::{list, text},
};
use http::Method;
use serde_json::{Value, json};
use std::path::PathBuf;

const EMBED: &str = "embed=group.groups&embed=group.apps&embed=group.pods&embed=group.apps.counts&\
                     embed=group.apps.deployments";

/// Address of a group.
pub(crate) fn path(id: &str) -> String {
    let id = id.trim_matches('/');
    if id.is_empty() { "/v2/groups".to_owned() } else { format!("/v2/groups/{id}") }
}

/// Does a command.
pub async fn perform(group: Group, cluster: &Cluster, output: &Output) -> Result<u8, Failure> {
    match group {
        Group::List => {
            let root = cluster.marathon(Method::GET, &format!("/v2/groups?{EMBED}"), None).await?;
            if output.json {
                output.value(&root);
                return Ok(0);
            }
            let mut rows = Vec::new();
            tree(&root, 0, &mut rows);
            output.table(&["GROUP", "APPS", "PODS", "RUNNING", "VERSION"], rows);
        }
        Group::Show { id } => {
            let group = cluster.marathon(Method::GET, &format!("{}?{EMBED}", path(&id)), None).await?;
            if output.json {
                output.value(&group);
            } else {
                show(&group, output);
            }
        }
        Group::Apply(Apply { files, dry_run, change }) => {
            let mut begun = Vec::new();
            for (id, body) in read(&files)? {
                if dry_run {
                    plan(cluster, output, &id, &body).await?;
                    continue;
                }
                let at = format!("{}{}", path(&id), change.query(&[]));
                let deployment = cluster.change(Method::PUT, &at, Some(&body)).await?;
                begun.push((id, deployment));
            }
            for (id, deployment) in begun {
                finish(cluster, output, &id, &deployment, &change).await?;
            }
        }
        Group::Scale { id, factor, change } => {
            put(cluster, output, &id, &json!({ "scaleBy": factor }), &change).await?;
        }
        Group::History { id } => {
            let versions = cluster.marathon(Method::GET, &format!("{}/versions", path(&id)), None).await?;
            if output.json {
                output.value(&versions);
            } else {
                let row = |version: &Value| vec![version.as_str().unwrap_or_default().to_owned()];
                output.table(&["VERSION"], versions.as_array().into_iter().flatten().map(row).collect());
            }
        }
        Group::Rollback(Rollback { id, version, change }) => {
            let version = match version {
                Some(version) => version,
                None => before(cluster, &id).await?,
            };
            put(cluster, output, &id, &json!({ "version": version }), &change).await?;
        }
        Group::Rm(Whole { id, change }) => {
            let at = format!("{}{}", path(&id), change.query(&[]));
            let deployment = cluster.change(Method::DELETE, &at, None).await?;
            finish(cluster, output, &id, &deployment, &change).await?;
        }
    }
    Ok(0)
}

async fn put(
    cluster: &Cluster,
    output: &Output,
    id: &str,
    body: &Value,
    change: &Change,
) -> Result<(), Failure> {
    let at = format!("{}{}", path(id), change.query(&[]));
    let deployment = cluster.change(Method::PUT, &at, Some(body)).await?;
    finish(cluster, output, id, &deployment, change).await
}

/// The version before the current one.
async fn before(cluster: &Cluster, id: &str) -> Result<String, Failure> {
    let versions = cluster.marathon(Method::GET, &format!("{}/versions", path(id)), None).await?;
    let current = text(&cluster.marathon(Method::GET, &path(id), None).await?, "version");
    let mut all: Vec<_> = versions.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    all.sort_unstable();
    let found = all.into_iter().rfind(|version| *version < current.as_str());
    found
        .map(str::to_owned)
        .ok_or_else(|| Failure::Failed(format!("{id} has only one version: nothing to go back to")))
}

/// Groups from files, each with its id taken out.
fn read(files: &[PathBuf]) -> Result<Vec<(String, Value)>, Failure> {
    let apart = |(from, mut body): (String, Value)| {
        let id = body.as_object_mut().and_then(|body| body.remove("id"));
        let id = id.as_ref().and_then(Value::as_str).map(str::to_owned);
        let id = id.ok_or_else(|| Failure::Failed(format!("{from}: a group has no \"id\"")))?;
        Ok((id, body))
    };
    read_definitions(files)?.into_iter().map(apart).collect()
}

/// What a change would do, as the cluster plans it.
pub(crate) async fn plan(cluster: &Cluster, output: &Output, id: &str, body: &Value) -> Result<(), Failure> {
    let said = cluster.marathon(Method::PUT, &format!("{}?dryRun=true", path(id)), Some(body)).await?;
    if output.json {
        output.value(&said);
        return Ok(());
    }
    let steps = list(&said, "steps");
    output.line(&format!("{id} {}", if steps.is_empty() { "stays as it is" } else { "changes" }));
    for (at, step) in steps.iter().enumerate() {
        let branch = if at + 1 == steps.len() { "└─" } else { "├─" };
        let action = |action: &Value| {
            let on = action["app"].as_str().or_else(|| action["pod"].as_str()).unwrap_or_default();
            format!("{} {on}", text(action, "action"))
        };
        let actions: Vec<_> = list(step, "actions").iter().map(action).collect();
        output.line(&format!("{branch} step {}: {}", at + 1, actions.join(", ")));
    }
    Ok(())
}

/// A group and those in it, indented.
fn tree(group: &Value, depth: usize, rows: &mut Vec<Vec<String>>) {
    let apps = list(group, "apps");
    let pods = list(group, "pods");
    let sum = |key: &str| apps.iter().filter_map(|app| app[key].as_u64()).sum::<u64>();
    let running = sum("tasksRunning") + pods.iter().map(stable).sum::<u64>();
    let asked = pods.iter().filter_map(|pod| pod["spec"]["scaling"]["instances"].as_u64());
    let wanted = sum("instances") + asked.sum::<u64>();
    rows.push(vec![
        format!("{}{}", "  ".repeat(depth), text(group, "id")),
        apps.len().to_string(),
        pods.len().to_string(),
        format!("{running}/{wanted}"),
        text(group, "version"),
    ]);
    list(group, "groups").iter().for_each(|inner| tree(inner, depth + 1, rows));
}

fn show(group: &Value, output: &Output) {
    let said = |key: &str| match &group[key] {
        Value::Null => String::new(),
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    let inner: Vec<_> = list(group, "groups").iter().map(|inner| text(inner, "id")).collect();
    output.facts(&[
        ("group", text(group, "id")),
        ("version", text(group, "version")),
        ("needs first", said("dependencies")),
        ("enforces role", said("enforceRole")),
        ("defaults", said("defaults")),
        ("groups", inner.join(" ")),
    ]);
    let row = |app: &Value| {
        let tasks = format!("{}/{}", app["tasksRunning"], app["instances"]);
        vec![text(app, "id"), state(app).to_owned(), tasks]
    };
    let pod = |pod: &Value| {
        let tasks = format!("{}/{}", stable(pod), pod["spec"]["scaling"]["instances"]);
        vec![text(pod, "id"), text(pod, "status").to_lowercase(), tasks]
    };
    let rows: Vec<_> =
        list(group, "apps").iter().map(row).chain(list(group, "pods").iter().map(pod)).collect();
    if !rows.is_empty() {
        output.line("");
        output.table(&["ID", "STATE", "RUNNING"], rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_a_tree_and_files_name_them() {
        let root = json!({ "id": "/", "version": "v", "apps": [{ "id": "/a", "instances": 2, "tasksRunning": 1 }],
            "groups": [{ "id": "/g", "apps": [], "pods": [{ "instances": [{ "status": "STABLE" }], "spec": { "scaling": { "instances": 3 } } }] }] });
        let mut rows = Vec::new();
        tree(&root, 0, &mut rows);
        assert_eq!(rows[0], ["/", "1", "0", "1/2", "v"]);
        assert_eq!(rows[1][..4], ["  /g", "0", "1", "1/3"]);
        assert_eq!((path("/"), path("/g/h/")), ("/v2/groups".to_owned(), "/v2/groups/g/h".to_owned()));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("g.json");
        for (text, right) in
            [("{\"id\": \"/g\", \"apps\": []}", true), ("{\"apps\": []}", false), ("[", false)]
        {
            std::fs::write(&file, text).unwrap();
            assert_eq!(read(std::slice::from_ref(&file)).is_ok(), right, "{text}");
        }
    }
}
