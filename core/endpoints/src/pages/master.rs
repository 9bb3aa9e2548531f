//! The master's page: who offers, who uses, what runs. Never: what an app waits for (the orchestrator's page).

use super::{Cell, Page, Read, list, number, quote, share, text, time};
use bytes::Bytes;
use http::Response;
use serde_json::Value;
use std::collections::BTreeMap;

const LINKS: [(&str, &str); 8] = [
    ("state", "/state"),
    ("agents", "/slaves"),
    ("frameworks", "/frameworks"),
    ("tasks", "/tasks"),
    ("roles", "/roles"),
    ("flags", "/flags"),
    ("metrics", "/metrics/snapshot"),
    ("Prometheus", "/metrics/prometheus"),
];

pub(crate) fn page(read: Read<'_>) -> Response<Bytes> {
    let (summary, version, flags) = (read("/state-summary"), read("/version"), read("/flags"));
    let tasks = read("/tasks?limit=1000");
    let (agents, frameworks) = (list(&summary, "slaves"), list(&summary, "frameworks"));
    let mut page = Page::new("Mesos master", &LINKS);
    page.facts(vec![
        ("cluster", text(&flags["flags"], "cluster").into()),
        ("host", text(&summary, "hostname").into()),
        ("version", format!("Mesos {}, {}", text(&version, "version"), text(&version, "git_tag")).into()),
        ("resources", total(agents).into()),
    ]);
    let columns = ["Agent", "Id", "State", "Running", "CPUs", "Memory MB", "Disk MB", "Offered", "Since"];
    let none = "None has registered. Start one: mesolite agent --master=HOST:PORT";
    page.table("Agents", &columns, agents.iter().map(agent).collect(), none);
    let columns =
        ["Framework", "Id", "User", "Roles", "State", "Running", "CPUs", "Memory MB", "Offers", "Since"];
    page.table("Frameworks", &columns, frameworks.iter().map(framework).collect(), "None has subscribed.");
    let addresses: BTreeMap<_, _> = agents.iter().map(|a| (text(a, "id"), address(a))).collect();
    let names: BTreeMap<_, _> = frameworks.iter().map(|f| (text(f, "id"), text(f, "name"))).collect();
    let columns = ["Task", "Framework", "State", "Agent", "CPUs", "Memory MB", "Last change"];
    let row = |task: &Value| {
        let last = list(task, "statuses").last().cloned().unwrap_or_default();
        let (agent, framework) = (text(task, "slave_id"), text(task, "framework_id"));
        let at = addresses.get(&agent).map(|url| format!("{url}/")).unwrap_or_default();
        vec![
            text(task, "id").into(),
            names.get(&framework).unwrap_or(&framework).as_str().into(),
            Cell::State(text(task, "state")),
            Cell::Link(agent, at),
            number(&task["resources"]["cpus"]).into(),
            number(&task["resources"]["mem"]).into(),
            time(&last["timestamp"]),
        ]
    };
    let live = |task: &&Value| {
        matches!(
            task["state"].as_str(),
            Some("TASK_STAGING" | "TASK_STARTING" | "TASK_RUNNING" | "TASK_KILLING")
        )
    };
    let all = list(&tasks, "tasks");
    page.table("Tasks", &columns, all.iter().filter(live).map(row).collect(), "None runs.");
    page.table("Ended tasks", &columns, all.iter().filter(|t| !live(t)).map(row).collect(), "None yet.");
    page.finish()
}

fn total(agents: &[Value]) -> String {
    let sum = |field: &str, kind: &str| -> Value {
        agents.iter().filter_map(|a| a[field][kind].as_f64()).sum::<f64>().into()
    };
    let part = |kind: &str| {
        format!("{} of {}", number(&sum("used_resources", kind)), number(&sum("resources", kind)))
    };
    format!("{} CPUs, {} MB of memory, {} MB of disk in use", part("cpus"), part("mem"), part("disk"))
}

fn address(agent: &Value) -> String {
    let pid = text(agent, "pid");
    pid.rsplit_once('@').map(|(_, address)| format!("http://{address}")).unwrap_or_default()
}

fn agent(agent: &Value) -> Vec<Cell> {
    let (used, all) = (&agent["used_resources"], &agent["resources"]);
    let at = address(agent);
    let name = format!("{}:{}", text(agent, "hostname"), at.rsplit(':').next().unwrap_or_default());
    let state = if agent["active"] == true { "active" } else { "gone" };
    vec![
        Cell::Link(name, format!("{at}/")),
        text(agent, "id").into(),
        Cell::State(state.to_owned()),
        text(agent, "TASK_RUNNING").into(),
        share(used, all, "cpus"),
        share(used, all, "mem"),
        share(used, all, "disk"),
        format!(
            "{} CPUs, {} MB",
            number(&agent["offered_resources"]["cpus"]),
            number(&agent["offered_resources"]["mem"])
        )
        .into(),
        time(&agent["registered_time"]),
    ]
}

fn framework(framework: &Value) -> Vec<Cell> {
    let used = &framework["used_resources"];
    let id = text(framework, "id");
    let roles: Vec<_> = list(framework, "roles").iter().filter_map(Value::as_str).collect();
    let roles = if roles.is_empty() { text(framework, "role") } else { roles.join(" ") };
    let state = match (framework["connected"].as_bool(), framework["active"].as_bool()) {
        (Some(true), Some(true)) => "active",
        (Some(true), _) => "inactive",
        _ => "gone",
    };
    let role = roles.split(' ').next().unwrap_or_default();
    let why = format!("/mesolite/why?framework={}&role={}", quote(&id), quote(role));
    vec![
        Cell::Link(text(framework, "name"), text(framework, "webui_url")),
        id.into(),
        text(framework, "user").into(),
        roles.as_str().into(),
        Cell::State(state.to_owned()),
        text(framework, "TASK_RUNNING").into(),
        number(&used["cpus"]).into(),
        number(&used["mem"]).into(),
        Cell::Link("why it has none".to_owned(), why),
        time(&framework["registered_time"]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_shows_agents_frameworks_and_tasks() {
        let read = |path: &str| match path {
            "/state-summary" => {
                json!({ "hostname": "h", "slaves": [{ "id": "S0", "hostname": "a", "pid": "slave(1)@1.2.3.4:5051",
                "active": true, "resources": { "cpus": 4, "mem": 100 }, "used_resources": { "cpus": 1.5, "mem": 10 }, "TASK_RUNNING": 1 }],
                "frameworks": [{ "id": "F", "name": "<marathon>", "webui_url": "http://m:8080", "connected": true, "active": true,
                "roles": ["*"], "used_resources": { "cpus": 1.5 } }] })
            }
            "/tasks?limit=1000" => json!({ "tasks": [
                { "id": "t1", "framework_id": "F", "slave_id": "S0", "state": "TASK_RUNNING" },
                { "id": "t2", "framework_id": "F", "slave_id": "S9", "state": "TASK_FAILED",
                  "statuses": [{ "timestamp": 1.0 }] }] }),
            _ => Value::Null,
        };
        let html = String::from_utf8_lossy(page(&read).body()).into_owned();
        for words in [
            "<a href=\"http://1.2.3.4:5051/\">a:5051</a>",
            "<a href=\"http://m:8080\">&lt;marathon&gt;</a>",
            "1.5 / 4",
            "Agents (1)",
            "Tasks (1)",
            "Ended tasks (1)",
            "<span class=\"bad\">TASK_FAILED</span>",
        ] {
            assert!(html.contains(words), "{words} is not in {html}");
        }
        let empty = String::from_utf8_lossy(page(&|_| Value::Null).body()).into_owned();
        assert!(empty.contains("None has registered") && empty.contains("None has subscribed"), "{empty}");
    }
}
