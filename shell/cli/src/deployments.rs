//! Commands on deployments. Never: waiting for one (`cluster`).

use crate::{
    Cluster, Deployment, Failure, Output,
    cluster::progress,
    output::{list, text},
};
use http::Method;
use serde_json::{Value, json};

/// Does a command.
pub async fn perform(deployment: Deployment, cluster: &Cluster, output: &Output) -> Result<u8, Failure> {
    match deployment {
        Deployment::List => {
            let all = cluster.marathon(Method::GET, "/v2/deployments", None).await?;
            if output.json {
                output.value(&all);
                return Ok(0);
            }
            let row = |plan: &Value| {
                let apps: Vec<_> = list(plan, "affectedApps").iter().filter_map(Value::as_str).collect();
                vec![text(plan, "id"), apps.join(" "), progress(plan), text(plan, "version")]
            };
            let rows = all.as_array().into_iter().flatten().map(row).collect();
            output.table(&["ID", "APPS", "PROGRESS", "SINCE"], rows);
        }
        Deployment::Show { id } => {
            let all = cluster.marathon(Method::GET, "/v2/deployments", None).await?;
            let found = all.as_array().into_iter().flatten().find(|plan| plan["id"] == id.as_str());
            let plan = found.ok_or_else(|| {
                Failure::NotFound(format!("no deployment {id} is under way: it is over, or never was"))
            })?;
            if output.json {
                output.value(plan);
            } else {
                show(plan, output);
            }
        }
        Deployment::Cancel { id, force } => {
            let path = format!("/v2/deployments/{id}{}", if force { "?force=true" } else { "" });
            let answer = cluster.marathon(Method::DELETE, &path, None).await?;
            let back = text(&answer, "deploymentId");
            if output.json {
                output.value(&json!({"cancelled": id, "deploymentId": back}));
            } else if back.is_empty() {
                output.line(&format!("{id} is stopped where it was"));
            } else {
                output.line(&format!("{id} is cancelled; deployment {back} goes back to what was before"));
            }
        }
    }
    Ok(0)
}

fn show(plan: &Value, output: &Output) {
    let apps: Vec<_> = list(plan, "affectedApps").iter().filter_map(Value::as_str).collect();
    output.facts(&[
        ("deployment", text(plan, "id")),
        ("since", text(plan, "version")),
        ("apps", apps.join(" ")),
        ("progress", progress(plan)),
        ("reason", text(plan, "reason")),
    ]);
    let current = plan["currentStep"].as_u64().unwrap_or(0);
    let rows = (1..).zip(list(plan, "steps")).flat_map(|(number, step)| {
        let standing = match number.cmp(&current) {
            std::cmp::Ordering::Less => "done",
            std::cmp::Ordering::Equal => "under way",
            std::cmp::Ordering::Greater => "to come",
        };
        let row = move |action: &Value| {
            let what = action["action"].as_str().or_else(|| action["type"].as_str()).unwrap_or_default();
            let on = action["app"].as_str().or_else(|| action["pod"].as_str()).unwrap_or_default();
            vec![number.to_string(), what.to_owned(), on.to_owned(), standing.to_owned()]
        };
        list(step, "actions").iter().map(row)
    });
    output.line("");
    output.table(&["STEP", "ACTION", "APP", "STATE"], rows.collect());
}
