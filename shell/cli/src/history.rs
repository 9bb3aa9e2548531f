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

/// The version to go back to: the newest before the current that differs from it, and is of no deployment that failed or was
/// cancelled.
fn before<'v>(id: &str, all: &'v [Value], ended: &[Value]) -> Option<&'v Value> {
    let (current, earlier) = all.split_first()?;
    let failed = |app: &Value| ended.iter().any(|plan| plan["version"] == app["version"]);
    let differs = |app: &Value| {
        let definition = app.as_object().cloned().unwrap_or_default();
        !AppChange::between(id, Some(current), &definition).is_empty()
    };
    earlier.iter().find(|app| !failed(app) && differs(app))
}

/// Asks for an earlier version again. `version`: none = the last one that was well (see `before`).
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
        None => before(id, &all, &cluster.ended().await?).ok_or_else(|| {
            let why =
                "no earlier version differs from the current one and is of a deployment that ended well";
            Failure::Failed(format!("{id}: {why}; `--version` takes any of `mesolite app history {id}`"))
        })?,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_leaves_out_what_failed_and_what_is_the_same() {
        let version = |at: &str, cmd: &str| json!({"id": "/a", "version": at, "cmd": cmd});
        let all = [version("4", "good"), version("3", "bad"), version("2", "good"), version("1", "first")];
        let to = |ended: &[Value]| before("/a", &all, ended).map(|app| text(app, "version"));
        assert_eq!(to(&[]).as_deref(), Some("3"));
        let failed = json!({"version": "3", "state": "failed"});
        assert_eq!(to(std::slice::from_ref(&failed)).as_deref(), Some("1"));
        assert_eq!(to(&[failed, json!({"version": "1"})]), None);
    }
}
