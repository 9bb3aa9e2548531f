//! Commands on nodes. Never: changes to them.

use crate::{
    Cluster, Failure, Node, Output,
    cluster::address,
    output::{number, text},
};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Does a command.
pub async fn perform(node: Node, cluster: &Cluster, output: &Output) -> Result<u8, Failure> {
    let mut nodes = cluster.nodes().await?;
    let lost = cluster.unreachable_nodes().await;
    if let (Node::List, true) = (&node, output.json) {
        output.value(&json!({"slaves": nodes, "unreachable": lost}));
        return Ok(0);
    }
    nodes.extend(lost);
    match node {
        Node::List => {
            let headings = ["ID", "ADDRESS", "STATE", "CPUS", "MEM", "DISK", "VERSION"];
            output.table(&headings, nodes.iter().map(row).collect());
        }
        Node::Show { id } => {
            let found: Vec<_> = nodes
                .iter()
                .filter(|n| n["hostname"] == id.as_str() || text(n, "id").starts_with(&id))
                .collect();
            let [node] = found[..] else {
                return Err(Failure::NotFound(match found.len() {
                    0 => format!("there is no node {id}"),
                    n => format!("{n} nodes match {id}; `mesolite node list` shows them"),
                }));
            };
            let mut tasks = cluster.tasks().await?;
            tasks.retain(|task| task["slave_id"] == node["id"] && task["state"] == "TASK_RUNNING");
            if output.json {
                output.value(&json!({"slave": node, "tasks": tasks}));
                return Ok(0);
            }
            let row = row(node);
            if node["unreachable"] == true {
                output.facts(&[("id", row[0].clone()), ("state", row[2].clone()), ("since", since(node))]);
                return Ok(0);
            }
            output.facts(&[
                ("id", row[0].clone()),
                ("address", row[1].clone()),
                ("state", row[2].clone()),
                ("cpus used", row[3].clone()),
                ("memory used", format!("{} MB", row[4])),
                ("disk used", format!("{} MB", row[5])),
                ("ports", text(&node["resources"], "ports")),
                ("attributes", attributes(node)),
                ("version", row[6].clone()),
            ]);
            if !tasks.is_empty() {
                output.line("");
                let rows =
                    tasks.iter().map(|task| vec![text(task, "id"), text(task, "name"), text(task, "state")]);
                output.table(&["TASK", "NAME", "STATE"], rows.collect());
            }
        }
    }
    Ok(0)
}

fn attributes(node: &Value) -> String {
    let all = node["attributes"].as_object().into_iter().flatten();
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    all.map(|(name, value)| format!("{name}:{}", plain(value))).collect::<Vec<_>>().join(" ")
}

/// How long ago it was lost.
fn since(node: &Value) -> String {
    let at = Duration::from_nanos(node["unreachable_time"].as_u64().unwrap_or(0));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{} s ago", now.saturating_sub(at).as_secs())
}

fn row(node: &Value) -> Vec<String> {
    if node["unreachable"] == true {
        let mut row = vec![text(node, "id"), "-".to_owned(), "unreachable".to_owned()];
        row.resize(7, "-".to_owned());
        return row;
    }
    let use_of = |name: &str| {
        format!("{}/{}", number(&node["used_resources"][name]), number(&node["resources"][name]))
    };
    let state = match (node["active"].as_bool(), node["deactivated"].as_bool()) {
        (_, Some(true)) => "deactivated",
        (Some(true), _) => "active",
        _ => "gone",
    };
    let address = address(node).trim_start_matches("http://").to_owned();
    vec![
        text(node, "id"),
        address,
        state.to_owned(),
        use_of("cpus"),
        use_of("mem"),
        use_of("disk"),
        text(node, "version"),
    ]
}
