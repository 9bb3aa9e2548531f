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
