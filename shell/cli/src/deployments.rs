//! Commands on deployments. Never: waiting for one (`cluster`).

use crate::{
    Cluster, Deployment, Failure, Output,
    cluster::{about, affected, progress},
    output::{list, text},
};
use http::Method;
use serde_json::{Value, json};

/// Does a command.
pub async fn perform(deployment: Deployment, cluster: &Cluster, output: &Output) -> Result<u8, Failure> {
    match deployment {
        Deployment::List { ended: true } => {
            let all = cluster.ended().await?;
            if output.json {
                output.value(&json!(all));
                return Ok(0);
            }
            let row = |plan: &Value| {
                vec![
                    text(plan, "id"),
                    affected(plan, "affectedApps").collect::<Vec<_>>().join(" "),
                    text(plan, "state"),
                    text(plan, "endedAt"),
                    text(plan, "reason"),
                ]
            };
            output.table(&["ID", "ABOUT", "STATE", "ENDED", "REASON"], all.iter().map(row).collect());
        }
        Deployment::List { ended: false } => {
            let all = cluster.marathon(Method::GET, "/v2/deployments", None).await?;
            if output.json {
                output.value(&all);
                return Ok(0);
            }
            let row =
                |plan: &Value| vec![text(plan, "id"), about(plan), progress(plan), text(plan, "version")];
            let rows = all.as_array().into_iter().flatten().map(row).collect();
            output.table(&["ID", "ABOUT", "PROGRESS", "SINCE"], rows);
        }
        Deployment::Show { id } => {
            let plan = find(cluster, &id).await?;
            if output.json {
                output.value(&plan);
            } else {
                show(&plan, output);
            }
        }
        Deployment::Resume { id } => {
            let path = format!("/v2/deployments/{id}/resume");
            let answer = cluster.marathon(Method::POST, &path, None).await?;
            if output.json {
                output.value(&answer);
            } else {
                output.line(&format!("{id} goes on"));
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

/// One that is under way or, where the cluster keeps it, over. Marathon only lists those that are under way.
async fn find(cluster: &Cluster, id: &str) -> Result<Value, Failure> {
    if let Ok(plan) = cluster.marathon(Method::GET, &format!("/v2/deployments/{id}"), None).await {
        return Ok(plan);
    }
    let mut all = cluster.marathon(Method::GET, "/v2/deployments", None).await?;
    let found = all.as_array_mut().into_iter().flatten().find(|plan| plan["id"] == id).map(Value::take);
    found.ok_or_else(|| {
        Failure::NotFound(format!("no deployment {id} is under way: it is done, or never was"))
    })
}

fn show(plan: &Value, output: &Output) {
    let is_over = plan.get("steps").is_none();
    let bounds: Vec<_> = ["deploymentTimeoutSeconds", "maxFailures", "settleSeconds", "onFailure"]
        .iter()
        .filter(|name| !plan[**name].is_null())
        .map(|name| format!("{name} {}", plan[*name].to_string().trim_matches('"')))
        .collect();
    output.facts(&[
        ("deployment", text(plan, "id")),
        ("since", text(plan, "version")),
        ("about", about(plan)),
        ("state", text(plan, "state")),
        ("progress", if is_over { String::new() } else { progress(plan) }),
        ("reason", text(plan, "reason")),
        ("bounds", bounds.join(", ")),
        ("rolls back", text(plan, "rollbackOf")),
        ("ended", text(plan, "endedAt")),
        ("rolled back by", text(plan, "rollback")),
    ]);
    if is_over {
        return;
    }
    let rows: Vec<_> = list(plan, "progress").iter().map(standing).collect();
    if !rows.is_empty() {
        output.line("");
        output.table(&["APP", "NEW", "WELL", "OLD", "FAILED", "WAITS FOR"], rows);
    }
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

/// How far it is with one app.
fn standing(of: &Value) -> Vec<String> {
    let app = of["app"].as_str().or_else(|| of["pod"].as_str()).unwrap_or_default();
    let failures = of["failures"].as_u64().map_or_else(|| "-".to_owned(), |n| n.to_string());
    let last = text(of, "lastFailure");
    let waits = text(&of["waiting"], "reason");
    let waits = match (waits.is_empty(), last.is_empty()) {
        (false, _) => waits,
        (true, false) => format!("its last failure: {last}"),
        (true, true) => "-".to_owned(),
    };
    vec![
        app.to_owned(),
        format!("{}/{}", of["updated"], of["wanted"]),
        of["healthy"].to_string(),
        of["old"].to_string(),
        failures,
        waits,
    ]
}
