//! Commands on apps. Never: how they are asked for (`cluster`).

use crate::{
    App, Apply, Change, Failure, Output, Rollback, Scale, Whole,
    apply::{self, Kind},
    cluster::{Cluster, app_path},
    history::{self, Of},
    logs,
    output::{list, number, text},
    tasks, why,
};
use http::Method;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Does a command.
pub async fn perform(app: App, cluster: &Cluster, output: &Output) -> Result<u8, Failure> {
    match app {
        App::Apply(Apply { files, dry_run: true, .. }) | App::Diff { files } => {
            let mut changes = Vec::new();
            for file in apply::read_files(&files)? {
                if file.kind() == Kind::Group {
                    let (id, body) = file.group();
                    crate::groups::plan(cluster, output, &id, &body).await?;
                    continue;
                }
                changes.push(apply::preview(cluster, &file, output).await?);
            }
            if changes.is_empty() {
                return Ok(0);
            }
            if output.json {
                output.value(&changes.iter().map(crate::diff::AppChange::json).collect());
            } else {
                changes.iter().for_each(|change| change.print(output));
            }
        }
        App::History { id } => history::list(cluster, output, Of::App, &id).await?,
        App::Rollback(Rollback { id, version, change }) => {
            let deployment =
                history::rollback(cluster, output, Of::App, &id, version.as_deref(), &change).await?;
            finish(cluster, output, &id, &deployment, &change).await?;
        }
        App::Apply(Apply { files, change, .. }) => apply_all(cluster, output, &files, &change).await?,
        App::List => {
            let apps = cluster
                .marathon(Method::GET, "/v2/apps?embed=apps.counts&embed=apps.deployments", None)
                .await?;
            if output.json {
                output.value(&apps);
            } else {
                output.table(
                    &["ID", "STATE", "TASKS", "HEALTHY", "CPUS", "MEM", "CMD"],
                    list(&apps, "apps").iter().map(row).collect(),
                );
            }
        }
        App::Show { id } => show(&get(cluster, &id).await?, output),
        App::Scale(Scale { id, instances, change }) => {
            // To change what is not there would be to create it.
            get(cluster, &id).await?;
            let path = format!("{}{}", app_path(&id), change.query(&[]));
            let body = json!({"instances": instances});
            let deployment = cluster.change(Method::PUT, &path, Some(&body)).await?;
            finish(cluster, output, &id, &deployment, &change).await?;
        }
        App::Restart(Whole { id, change }) => {
            let path = format!("{}/restart{}", app_path(&id), change.query(&[]));
            let deployment = cluster.change(Method::POST, &path, None).await?;
            finish(cluster, output, &id, &deployment, &change).await?;
        }
        App::Rm(Whole { id, change }) => {
            let path = format!("{}{}", app_path(&id), change.query(&[]));
            let deployment = cluster.change(Method::DELETE, &path, None).await?;
            finish(cluster, output, &id, &deployment, &change).await?;
        }
        App::Logs { id, logs } => {
            let app = get(cluster, &id).await?;
            let found: Vec<_> =
                list(&app, "tasks").iter().map(|t| (text(t, "id"), text(t, "slaveId"))).collect();
            if found.is_empty() {
                return Err(Failure::NotFound(format!(
                    "{id} has no tasks; `mesolite app why {id}` may say why"
                )));
            }
            logs::print(cluster, output, found, &logs).await?;
        }
        App::Why { id } => {
            let queue = why::queue(cluster).await?;
            let path = format!("{}?embed=app.why", app_path(&id));
            let app = cluster.marathon(Method::GET, &path, None).await?["app"].take();
            why::explain(cluster, output, &app, &queue).await?;
        }
    }
    Ok(0)
}

/// Applies one after the other, up to the first that is refused; waits for those that were taken.
async fn apply_all(
    cluster: &Cluster,
    output: &Output,
    files: &[PathBuf],
    change: &Change,
) -> Result<(), Failure> {
    let files = apply::read_files(files)?;
    let mut plans = Vec::new();
    let mut failure = None;
    for (at, file) in files.iter().enumerate() {
        match apply::apply(cluster, file, change, output).await {
            Ok(plan) => plans.push(plan),
            Err(refused) if files.len() == 1 => return Err(refused),
            Err(refused) => {
                let ids = |files: &[apply::AppFile]| {
                    files.iter().map(|file| text(&file.app, "id")).collect::<Vec<_>>().join(", ")
                };
                let none = |ids: String| if ids.is_empty() { "none".to_owned() } else { ids };
                output.warn(&format!(
                    "{} was refused; applied: {}; not tried: {}",
                    text(&file.app, "id"),
                    none(ids(&files[..at])),
                    none(ids(&files[at + 1..]))
                ));
                failure = Some(refused);
                break;
            }
        }
    }
    for plan in plans {
        if let Err(failed) = finish(cluster, output, &plan.id, &plan.deployment, change).await {
            if failure.is_some() {
                output.warn(&format!("{}: {failed}", plan.id));
            }
            failure.get_or_insert(failed);
        }
    }
    failure.map_or(Ok(()), Err)
}

async fn get(cluster: &Cluster, id: &str) -> Result<Value, Failure> {
    let mut answer = cluster.marathon(Method::GET, &app_path(id), None).await?;
    Ok(answer["app"].take())
}

pub(crate) async fn finish(
    cluster: &Cluster,
    output: &Output,
    id: &str,
    deployment: &str,
    change: &Change,
) -> Result<(), Failure> {
    if let (Some(timeout), false) = (change.wait(), deployment.is_empty()) {
        cluster.wait(deployment, timeout, output).await?;
    }
    if output.json {
        output.value(&json!({"id": id, "deploymentId": deployment, "finished": !change.no_wait}));
    } else if change.no_wait {
        output.line(&format!("{id}: deployment {deployment} has begun"));
    } else {
        output.line(&format!("{id}: done"));
    }
    Ok(())
}

pub(crate) fn state(app: &Value) -> &'static str {
    match app["run"]["state"].as_str() {
        Some("succeeded") => return "done",
        Some("failed") => return "failed",
        _ => {}
    }
    if app["why"]["stage"] == "NotSupported" {
        "blocked"
    } else if app["why"]["stage"] == "Paused" {
        "paused"
    } else if !list(app, "deployments").is_empty() {
        "deploying"
    } else if app["tasksRunning"].as_u64() < app["instances"].as_u64() {
        "waiting"
    } else if app["tasksUnhealthy"].as_u64().unwrap_or(0) > 0 {
        "unhealthy"
    } else if app["instances"] == 0 {
        "suspended"
    } else {
        "running"
    }
}

fn row(app: &Value) -> Vec<String> {
    let command = app["cmd"]
        .as_str()
        .map(str::to_owned)
        .unwrap_or_else(|| list(app, "args").iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "));
    let healthy =
        if list(app, "healthChecks").is_empty() { "-".to_owned() } else { app["tasksHealthy"].to_string() };
    vec![
        text(app, "id"),
        state(app).to_owned(),
        format!("{}/{}", app["tasksRunning"], app["instances"]),
        healthy,
        number(&app["cpus"]),
        number(&app["mem"]),
        short(&command, 40),
    ]
}

/// At most so many characters, on one line.
pub fn short(text: &str, max: usize) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= max { line } else { line.chars().take(max - 1).chain(['…']).collect() }
}

fn show(app: &Value, output: &Output) {
    if output.json {
        return output.value(app);
    }
    let row = row(app);
    let failure = &app["lastTaskFailure"];
    let failed = if failure.is_object() {
        format!(
            "{} {}: {} ({})",
            text(failure, "timestamp"),
            text(failure, "state"),
            text(failure, "message"),
            text(failure, "taskId")
        )
    } else {
        String::new()
    };
    let command = short(&text(app, "cmd"), 200);
    output.facts(&[
        ("id", text(app, "id")),
        ("state", row[1].clone()),
        ("tasks", row[2].clone()),
        ("healthy", row[3].clone()),
        ("resources", format!("{} cpus, {} MB memory, {} MB disk", row[4], row[5], number(&app["disk"]))),
        ("command", command),
        ("version", text(app, "version")),
        ("last failure", failed),
        ("run", run(&app["run"])),
        ("scales itself", scaling(&app["autoscaling"])),
    ]);
    if !list(app, "tasks").is_empty() {
        output.line("");
        tasks::table(list(app, "tasks"), output);
    }
}

/// What is asked of an app that grows and shrinks by itself, and what it makes of it.
fn scaling(said: &Value) -> String {
    if !said.is_object() {
        return String::new();
    }
    let last = &said["last"];
    let last = if last.is_object() {
        format!(
            "; last {} from {} to {}: {}",
            text(last, "at"),
            last["from"],
            last["to"],
            text(last, "reason")
        )
    } else {
        String::new()
    };
    let now = match text(said, "held") {
        held if held.is_empty() => format!("{} wanted: {}", said["wanted"], text(said, "reason")),
        held => held,
    };
    format!("{now}{last}")
}

/// How it does what runs once.
fn run(run: &Value) -> String {
    if !run.is_object() {
        return String::new();
    }
    let of = |key: &str| run[key].as_u64().unwrap_or(0);
    let last = list(run, "results").last().map_or_else(String::new, |last| {
        format!("; last {} {} {}", text(last, "endedAt"), text(last, "state"), text(last, "message"))
    });
    format!(
        "{}: {} finished, {} failed (at most {} may){last}",
        text(run, "state"),
        of("finished"),
        of("failures"),
        of("maxFailures")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_told_apart() {
        let app = |running: u64, unhealthy: u64| json!({"id": "/a", "instances": 2, "tasksRunning": running, "tasksUnhealthy": unhealthy, "cpus": 0.1, "mem": 32});
        assert_eq!(state(&app(1, 0)), "waiting");
        assert_eq!(state(&app(2, 1)), "unhealthy");
        assert_eq!(state(&app(2, 0)), "running");
        assert_eq!(row(&app(2, 0))[2..6], ["2/2", "-", "0.1", "32"]);
        assert_eq!(short("a\n  b", 40), "a b");
        assert_eq!(short("abcdef", 4), "abc…");
    }
}
