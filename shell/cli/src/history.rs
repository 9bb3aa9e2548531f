//! What an app was: its versions, and the way back to one. Never decides what a version is (the cluster keeps them).

use crate::{
    Change, Failure, Output,
    cluster::{Cluster, app_path, pod_path},
    diff::AppChange,
    output::text,
};
use http::Method;
use serde_json::{Map, Value, json};

/// What has versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// An app.
    App,
    /// A pod.
    Pod,
}

/// The versions of an app or a pod, newest first, as they were.
async fn versions(cluster: &Cluster, of: Of, id: &str) -> Result<Vec<Value>, Failure> {
    let path = match of {
        Of::App => format!("{}/versions", app_path(id)),
        Of::Pod => format!("{}::versions", pod_path(id)),
    };
    let listed = cluster.marathon(Method::GET, &path, None).await?;
    let listed = listed.as_array().map_or_else(|| crate::output::list(&listed, "versions"), Vec::as_slice);
    let mut names: Vec<String> = listed.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect();
    names.sort();
    names.reverse();
    let mut all = Vec::new();
    for name in names {
        all.push(cluster.marathon(Method::GET, &format!("{path}/{name}"), None).await?);
    }
    Ok(all)
}

/// Prints the versions of an app or a pod, each with what it changed.
pub async fn list(cluster: &Cluster, output: &Output, of: Of, id: &str) -> Result<(), Failure> {
    let all = versions(cluster, of, id).await?;
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
    of: Of,
    id: &str,
    version: Option<&str>,
    change: &Change,
) -> Result<String, Failure> {
    let all = versions(cluster, of, id).await?;
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
    let query = change.query(&[]);
    match of {
        Of::App => {
            let body = json!({"version": wanted["version"]});
            cluster.change(Method::PUT, &format!("{}{query}", app_path(id)), Some(&body)).await
        }
        // a pod is replaced by what it was: its API has no way back
        Of::Pod => cluster.change(Method::PUT, &format!("{}{query}", pod_path(id)), Some(wanted)).await,
    }
}
