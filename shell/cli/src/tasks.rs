//! Commands on tasks. Never: how they are asked for (`cluster`).

use crate::{
    Cluster, Failure, Output, Task, attach, logs,
    output::{list, text},
};
use http::Method;
use serde_json::{Value, json};

/// Does a command.
pub async fn perform(task: Task, cluster: &Cluster, output: &Output) -> Result<u8, Failure> {
    match task {
        Task::List { app } => {
            let mut all = cluster.marathon(Method::GET, "/v2/tasks", None).await?;
            if let Some(tasks) = all["tasks"].as_array_mut() {
                tasks.extend(crate::pods::as_tasks(cluster).await?);
            }
            if let (Some(app), Some(tasks)) = (app, all["tasks"].as_array_mut()) {
                let id = format!("/{}", app.trim_start_matches('/'));
                tasks.retain(|task| task["appId"] == id);
            }
            if output.json {
                output.value(&all);
            } else {
                table(list(&all, "tasks"), output);
            }
        }
        Task::Show { id } => {
            let task = find(cluster, &id).await?;
            if output.json {
                output.value(&task);
                return Ok(0);
            }
            let last = list(&task, "statuses").last().cloned().unwrap_or_default();
            output.facts(&[
                ("id", text(&task, "id")),
                ("name", text(&task, "name")),
                ("state", text(&task, "state")),
                ("framework", text(&task, "framework_id")),
                ("node", text(&task, "slave_id")),
                ("resources", task["resources"].to_string()),
                ("message", text(&last, "message")),
            ]);
            if let Ok(sandbox) = cluster.sandbox(&id, &text(&task, "slave_id")).await {
                output.facts(&[("sandbox", format!("{} on {}", sandbox.directory, sandbox.agent))]);
            }
        }
        Task::Kill { ids, scale } => {
            let path = format!("/v2/tasks/delete?scale={scale}");
            let answer = cluster.marathon(Method::POST, &path, Some(&json!({"ids": ids}))).await;
            let answer = answer.map_err(|failure| unknown(failure, &ids))?;
            if output.json {
                output.value(&answer);
            } else if scale {
                output.line(&format!("deployment {} has begun", text(&answer, "deploymentId")));
            } else {
                let killed = list(&answer, "tasks");
                killed.iter().for_each(|task| output.line(&text(task, "id")));
                if killed.is_empty() {
                    return Err(Failure::NotFound(format!("no app has a task {}", ids.join(", "))));
                }
            }
        }
        Task::Exec { interactive, tty, id, command } => {
            return attach::exec(cluster, output, &id, &command, (interactive, tty)).await;
        }
        Task::Attach { no_stdin, id } => return attach::attach(cluster, output, &id, no_stdin).await,
        Task::Logs { id, logs } => {
            let task = find(cluster, &id).await?;
            logs::print(cluster, output, vec![(id, text(&task, "slave_id"))], &logs).await?;
        }
    }
    Ok(0)
}

/// An id that cannot be one of an app's task is one that is not there (the API answers 400 to it).
fn unknown(failure: Failure, ids: &[String]) -> Failure {
    match failure {
        Failure::Client(web::client::ClientError::Status { status, .. }) if status.as_u16() == 400 => {
            Failure::NotFound(format!("no app has a task {}", ids.join(", ")))
        }
        other => other,
    }
}

async fn find(cluster: &Cluster, id: &str) -> Result<Value, Failure> {
    let tasks = cluster.tasks().await?;
    tasks
        .into_iter()
        .find(|t| t["id"] == id)
        .ok_or_else(|| Failure::NotFound(format!("the master knows no task {id}")))
}

/// Prints Marathon's tasks.
pub fn table(tasks: &[Value], output: &Output) {
    let row = |task: &Value| {
        let host = text(task, "host");
        let ports =
            list(task, "ports").iter().map(|port| format!("{host}:{port}")).collect::<Vec<_>>().join(" ");
        let results = list(task, "healthCheckResults");
        let health = if results.is_empty() {
            "-"
        } else if results.iter().all(|result| result["alive"] == true) {
            "healthy"
        } else {
            "unhealthy"
        };
        let address = if ports.is_empty() { host } else { ports };
        vec![text(task, "id"), text(task, "state"), health.to_owned(), address, text(task, "startedAt")]
    };
    output.table(&["TASK", "STATE", "HEALTH", "ADDRESS", "STARTED"], tasks.iter().map(row).collect());
}
