//! The agent's page: what it has, what it runs, what its tasks wrote. Never: other agents (the master's page).

use super::{Cell, Page, Read, list, number, quote, share, text, time};
use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

const LINKS: [(&str, &str); 5] = [
    ("state", "/state"),
    ("containers", "/containers"),
    ("flags", "/flags"),
    ("metrics", "/metrics/snapshot"),
    ("version", "/version"),
];

pub(crate) fn page(read: Read<'_>) -> Response<Bytes> {
    let (state, containers) = (read("/state"), read("/containers"));
    let mut running = Vec::new();
    let mut ended = Vec::new();
    for framework in list(&state, "frameworks").iter().chain(list(&state, "completed_frameworks")) {
        for executor in list(framework, "executors").iter().chain(list(framework, "completed_executors")) {
            for kind in ["tasks", "queued_tasks"] {
                running.extend(
                    list(executor, kind).iter().map(|task| row(framework, executor, task, &containers)),
                );
            }
            ended.extend(
                list(executor, "completed_tasks")
                    .iter()
                    .map(|task| row(framework, executor, task, &containers)),
            );
        }
    }
    let mut used = json!({});
    for task in
        list(&state, "frameworks").iter().flat_map(|f| list(f, "executors")).flat_map(|e| list(e, "tasks"))
    {
        for kind in ["cpus", "mem", "disk"] {
            let sum = used[kind].as_f64().unwrap_or_default()
                + task["resources"][kind].as_f64().unwrap_or_default();
            used[kind] = sum.into();
        }
    }
    let isolation = text(&state["flags"], "isolation");
    let isolation = if isolation.is_empty() { "all that this machine allows".to_owned() } else { isolation };
    let mut page = Page::new("Mesos agent", &LINKS);
    let attributes: Vec<_> = state["attributes"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}:{value}"))
        .collect();
    page.facts(vec![
        ("id", text(&state, "id").into()),
        ("address", text(&state, "pid").into()),
        ("master", text(&state["flags"], "master").into()),
        ("isolation", isolation.into()),
        ("attributes", attributes.join(" ").into()),
        ("CPUs", share(&used, &state["resources"], "cpus")),
        ("memory MB", share(&used, &state["resources"], "mem")),
        ("disk MB", share(&used, &state["resources"], "disk")),
        ("ports", text(&state["resources"], "ports").into()),
        ("started", time(&state["start_time"])),
    ]);
    let columns = ["Task", "Framework", "State", "CPUs", "Memory MB", "Process", "Output", "Last change"];
    page.table("Tasks", &columns, running, "None runs here.");
    page.table("Ended tasks", &columns, ended, "None yet.");
    page.finish()
}

fn row(framework: &Value, executor: &Value, task: &Value, containers: &Value) -> Vec<Cell> {
    let own = |c: &&Value| c["container_id"] == executor["container"];
    let found = containers.as_array().into_iter().flatten().find(own);
    let directory = text(executor, "directory");
    let output = ["stdout", "stderr"].map(|file| {
        let at = format!("/files/download?path={}/{file}", quote(&directory));
        if directory.is_empty() { Cell::Text(String::new()) } else { Cell::Link(file.to_owned(), at) }
    });
    let last = list(task, "statuses").last().cloned().unwrap_or_default();
    vec![
        text(task, "id").into(),
        text(framework, "name").into(),
        Cell::State(text(task, "state")),
        number(&task["resources"]["cpus"]).into(),
        number(&task["resources"]["mem"]).into(),
        found.map(|c| text(&c["status"], "executor_pid")).unwrap_or_default().into(),
        Cell::Many(output.to_vec()),
        time(&last["timestamp"]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_tasks_and_where_their_output_is() {
        let read = |path: &str| match path {
            "/state" => {
                json!({ "id": "S0", "pid": "slave(1)@h:5051", "flags": {}, "resources": { "cpus": 4 },
                "frameworks": [{ "name": "f", "executors": [{ "container": "c", "directory": "/w/a b",
                    "tasks": [{ "id": "t", "state": "TASK_RUNNING", "resources": { "cpus": 0.5 } }],
                    "completed_tasks": [{ "id": "old", "state": "TASK_KILLED" }] }] }] })
            }
            "/containers" => json!([{ "container_id": "c", "status": { "executor_pid": 77 } }]),
            _ => Value::Null,
        };
        let html = String::from_utf8_lossy(page(&read).body()).into_owned();
        for words in [
            "0.5 / 4",
            "<td>77</td>",
            "/files/download?path=/w/a%20b/stdout",
            "Ended tasks (1)",
            "TASK_KILLED",
        ] {
            assert!(html.contains(words), "{words} is not in {html}");
        }
        assert!(String::from_utf8_lossy(page(&|_| Value::Null).body()).contains("None runs here"));
    }
}
