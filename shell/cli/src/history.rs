//! What an app was: its versions, and the way back to one. Never decides what a version is (the cluster keeps them).

use crate::{
    Change, Failure, Output, apply,
    cluster::{Cluster, app_path},
    diff::AppChange,
    output::text,
};
use http::Method;
use serde_json::{Map, Value, json};

/// The versions of an app, newest first, as they were.
async fn versions(cluster: &Cluster, id: &str) -> Result<Vec<Value>, Failure> {
    let path = format!("{}/versions", app_path(id));
    let listed = cluster.marathon(Method::GET, &path, None).await?;
    let mut names: Vec<String> = crate::output::list(&listed, "versions")
        .iter()
        .filter_map(|v| v.as_str().map(str::to_owned))
        .collect();
    names.sort();
    names.reverse();
    let mut all = Vec::new();
    for name in names {
        all.push(cluster.marathon(Method::GET, &format!("{path}/{name}"), None).await?);
    }
    Ok(all)
}

/// Prints the versions of an app, each with what it changed.
pub async fn list(cluster: &Cluster, output: &Output, id: &str) -> Result<(), Failure> {
    let all = versions(cluster, id).await?;
    let changes: Vec<_> = all
        .iter()
        .enumerate()
        .map(|(at, app)| {
            let definition = app.as_object().cloned().unwrap_or_default();
            AppChange::between(id, all.get(at + 1), &definition)
        })
        .collect();
    if output.json {
        let rows = all.iter().zip(&changes).map(|(app, change)| {
            json!({"version": app["version"], "created": change.created, "differences": change.json()["differences"]})
        });
        output.value(&rows.collect());
        return Ok(());
    }
    let row = |(app, change): (&Value, &AppChange)| {
        let what: Vec<_> = change.differences.iter().map(|d| d.path.as_str()).collect();
        let what = match what.as_slice() {
            [] if change.created => "first".to_owned(),
            [] => "the same again".to_owned(),
            fields => fields.join(", "),
        };
        vec![text(app, "version"), what]
    };
    output.table(&["VERSION", "CHANGED"], all.iter().zip(&changes).map(row).collect());
    Ok(())
}

/// Asks for an earlier version again. `version`: none = the one before the current.
pub async fn rollback(
    cluster: &Cluster,
    output: &Output,
    id: &str,
    version: Option<&str>,
    change: &Change,
) -> Result<String, Failure> {
    let all = versions(cluster, id).await?;
    let current = all.first().ok_or_else(|| Failure::NotFound(format!("{id} has no versions")))?;
    let wanted = match version {
        Some(version) => all.iter().find(|app| app["version"] == version).ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|app| text(app, "version")).collect();
            Failure::NotFound(format!("{id} has no version {version}; there are {}", names.join(", ")))
        })?,
        None => all
            .get(1)
            .ok_or_else(|| Failure::Failed(format!("{id} has only one version: nothing to go back to")))?,
    };
    let definition: Map<String, Value> = wanted.as_object().cloned().unwrap_or_default();
    if !output.json {
        AppChange::between(id, Some(current), &definition).print(output);
    }
    let body = json!({"version": wanted["version"]});
    let path = format!("{}{}", app_path(id), change.query(&[]));
    let answer = cluster.marathon(Method::PUT, &path, Some(&body)).await?;
    Ok(apply::deployment_of(&answer))
}
