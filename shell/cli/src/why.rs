//! Why an app waits: what the queue says of its offers, and how much each node lacks. Never: a guess without figures.

use crate::{
    Cluster, Failure, Output,
    output::{list, number, text},
};
use http::Method;
use serde_json::{Value, json};

/// Explains one app.
pub async fn explain(cluster: &Cluster, output: &Output, app: &Value) -> Result<(), Failure> {
    let queue = cluster.marathon(Method::GET, "/v2/queue?embed=lastUnusedOffers", None).await?;
    let entry = list(&queue, "queue").iter().find(|entry| entry["app"]["id"] == app["id"]);
    let nodes = cluster.nodes().await?;
    if output.json {
        let nodes: Vec<Value> =
            nodes.iter().map(|node| json!({"node": node["id"], "missing": missing(app, node)})).collect();
        output.value(&json!({"app": app["id"], "queue": entry, "nodes": nodes}));
        return Ok(());
    }
    let id = text(app, "id");
    let failure = &app["lastTaskFailure"];
    if failure.is_object() {
        output.line(&format!(
            "Its last failure: {}, {}: {}",
            text(failure, "timestamp"),
            text(failure, "state"),
            text(failure, "message")
        ));
    }
    let Some(entry) = entry else {
        output.line(&format!(
            "{id} waits for nothing: {} of {} instances run.",
            app["tasksRunning"], app["instances"]
        ));
        for plan in list(app, "deployments") {
            output.line(&format!("The deployment {} is under way.", text(plan, "id")));
        }
        return Ok(());
    };
    output.line(&format!(
        "{id} waits for {} more of {} instances, since {}.",
        entry["count"],
        app["instances"],
        text(entry, "since")
    ));
    let left = entry["delay"]["timeLeftSeconds"].as_u64().unwrap_or(0);
    if left > 0 {
        output.line(&format!("It failed before and is started again in {left} s (back-off)."));
    }
    stages(&entry["processedOffersSummary"], output);
    refusals(entry, output);
    if nodes.is_empty() {
        output.line("There are no nodes.");
        return Ok(());
    }
    let rows = nodes.iter().map(|node| {
        let missing = missing(app, node);
        let said = if missing.is_empty() {
            "has room now".to_owned()
        } else {
            format!("lacks {}", missing.join(", "))
        };
        vec![text(node, "hostname"), text(node, "id"), said]
    });
    output.line("");
    output.table(&["NODE", "ID", "FOR ONE MORE INSTANCE"], rows.collect());
    Ok(())
}

fn stages(summary: &Value, output: &Output) {
    let processed = summary["processedOffersCount"].as_u64().unwrap_or(0);
    if processed == 0 {
        output.line("No offer has come for it yet.");
        return;
    }
    output.line(&format!("{} of {processed} offers were not usable.", summary["unusedOffersCount"]));
    let steps = list(summary, "rejectSummaryLastOffers");
    let rows: Vec<_> = steps
        .iter()
        .filter(|step| step["declined"].as_u64().unwrap_or(0) > 0)
        .map(|step| vec![text(step, "reason"), format!("{} of {}", step["declined"], step["processed"])])
        .collect();
    if !rows.is_empty() {
        output.line("");
        output.table(&["STAGE", "REFUSED"], rows);
    }
}

fn refusals(entry: &Value, output: &Output) {
    let rows: Vec<_> = list(entry, "lastUnusedOffers")
        .iter()
        .map(|unused| {
            let reasons: Vec<_> = list(unused, "reason").iter().filter_map(Value::as_str).collect();
            vec![text(&unused["offer"], "hostname"), text(&unused["offer"], "agentId"), reasons.join(", ")]
        })
        .collect();
    if !rows.is_empty() {
        output.line("");
        output.table(&["OFFER OF", "ID", "REFUSED BY"], rows);
    }
}

/// What a node lacks for one more instance, by its resources that nobody uses.
fn missing(app: &Value, node: &Value) -> Vec<String> {
    let mut missing = Vec::new();
    if node["active"] != true {
        missing.push("a connection to the master".to_owned());
    }
    for (name, unit) in [("cpus", "cpus"), ("mem", "MB of memory"), ("disk", "MB of disk"), ("gpus", "gpus")]
    {
        let figure = |value: &Value| value[name].as_f64().unwrap_or(0.0);
        let free = figure(&node["resources"]) - figure(&node["used_resources"]);
        let short = figure(app) - free;
        if short > 0.000_5 {
            missing.push(format!(
                "{} {unit} ({} free of {})",
                number(&json!(short)),
                number(&json!(free)),
                number(&node["resources"][name])
            ));
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_in_figures() {
        let node = json!({"active": true, "resources": {"cpus": 4.0, "mem": 1000}, "used_resources": {"cpus": 3.5, "mem": 1000}});
        let app = json!({"cpus": 2, "mem": 64, "disk": 0});
        assert_eq!(missing(&app, &node), ["1.5 cpus (0.5 free of 4)", "64 MB of memory (0 free of 1000)"]);
        assert_eq!(missing(&json!({"cpus": 0.5}), &node), Vec::<String>::new());
    }
}
