//! The orchestrator's page: apps, pods, their tasks, changes under way, and why something waits. Never: agents.

use super::{Cell, Page, Read, list, moment, number, quote, text};
use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

const LINKS: [(&str, &str); 8] = [
    ("apps", "/v2/apps"),
    ("pods", "/v2/pods"),
    ("tasks", "/v2/tasks"),
    ("deployments", "/v2/deployments"),
    ("queue", "/v2/queue"),
    ("info", "/v2/info"),
    ("metrics", "/metrics"),
    ("Prometheus", "/metrics/prometheus"),
];
const QUEUE: &str = "/v2/queue?embed=lastUnusedOffers&embed=why";
const APPS: &str = "/v2/apps?embed=apps.counts&embed=apps.deployments&embed=apps.lastTaskFailure";

pub(crate) fn page(read: Read<'_>) -> Response<Bytes> {
    let (info, apps, tasks) = (read("/v2/info"), read(APPS), read("/v2/tasks"));
    let (deployments, queue) = (read("/v2/deployments"), read(QUEUE));
    let pods = read("/v2/pods::status");
    let pods = pods.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut page = Page::new("Marathon", &LINKS);
    let master = text(&info["marathon_config"], "master");
    let master = if master.contains("://") { master } else { format!("http://{master}") };
    page.facts(vec![
        ("version", format!("Marathon {}, {}", text(&info, "version"), text(&info, "buildref")).into()),
        ("leader", text(&info, "leader").into()),
        ("framework", text(&info, "frameworkId").into()),
        ("master", Cell::Link(master.clone(), format!("{master}/"))),
    ]);
    let columns =
        ["App", "State", "Running", "Healthy", "Unhealthy", "CPUs", "Memory MB", "Version", "Last failure"];
    let none = "None. Run one: mesolite app apply examples/hello.json";
    page.table("Apps", &columns, list(&apps, "apps").iter().map(app).collect(), none);
    if !pods.is_empty() {
        let columns = ["Pod", "State", "Running", "Containers", "Version"];
        page.table("Pods", &columns, pods.iter().map(pod).collect(), "None.");
    }
    let columns = ["App", "Missing", "Since", "Why it waits", "Offers refused", "Last offer of"];
    page.table("Waiting", &columns, list(&queue, "queue").iter().map(waiting).collect(), "Nothing waits.");
    let columns = ["Deployment", "Apps", "Step", "Under way", "Since"];
    let all = deployments.as_array().map(Vec::as_slice).unwrap_or_default();
    page.table("Deployments", &columns, all.iter().map(deployment).collect(), "None is under way.");
    let columns = ["Task", "App", "State", "Health", "Address", "Agent", "Started"];
    let rows = list(&tasks, "tasks").iter().map(task).chain(pods.iter().flat_map(containers));
    page.table("Tasks", &columns, rows.collect(), "None runs.");
    page.finish()
}

fn app(app: &Value) -> Vec<Cell> {
    let id = text(app, "id");
    let count = |name: &str| app[name].as_u64().unwrap_or_default();
    let state = if app["why"]["stage"] == "NotSupported" {
        "blocked"
    } else if !list(app, "deployments").is_empty() {
        "deploying"
    } else if count("tasksRunning") < count("instances") {
        "waiting"
    } else if count("tasksUnhealthy") > 0 {
        "unhealthy"
    } else if count("instances") == 0 {
        "suspended"
    } else {
        "running"
    };
    let health =
        |name: &str| if list(app, "healthChecks").is_empty() { "-".to_owned() } else { text(app, name) };
    let failure = &app["lastTaskFailure"];
    let failed = ["timestamp", "state", "message"].map(|field| text(failure, field)).join(" ");
    vec![
        Cell::Link(id.clone(), format!("/v2/apps{}", quote(&id))),
        Cell::State(state.to_owned()),
        format!("{} / {}", count("tasksRunning"), count("instances")).into(),
        health("tasksHealthy").into(),
        health("tasksUnhealthy").into(),
        number(&app["cpus"]).into(),
        number(&app["mem"]).into(),
        moment(&text(app, "version")),
        failed.trim().into(),
    ]
}

fn pod(status: &Value) -> Vec<Cell> {
    let (id, spec) = (text(status, "id"), &status["spec"]);
    let well = list(status, "instances").iter().filter(|one| one["status"] == "STABLE").count();
    let names: Vec<_> = list(spec, "containers").iter().map(|one| text(one, "name")).collect();
    vec![
        Cell::Link(id.clone(), format!("/v2/pods{}::status", quote(&id))),
        Cell::State(text(status, "status").to_lowercase()),
        format!("{well} / {}", number(&spec["scaling"]["instances"])).into(),
        names.join(" ").into(),
        moment(&text(spec, "version")),
    ]
}

/// The containers of a pod as rows of the table of tasks.
fn containers(status: &Value) -> Vec<Vec<Cell>> {
    let row = |instance: &Value, container: &Value| {
        let host = text(instance, "agentHostname");
        let ends = list(container, "endpoints").iter();
        let ports: Vec<_> = ends.filter_map(|end| end.get("allocatedHostPort").cloned()).collect();
        let conditions = list(container, "conditions").iter().filter(|one| one["name"] == "healthy");
        let checks: Vec<_> = conditions.map(|one| json!({ "alive": one["value"] == "true" })).collect();
        let mut row = task(&json!({
            "appId": status["id"], "state": container["status"], "host": host, "ports": ports,
            "healthCheckResults": checks, "slaveId": instance["agentId"], "startedAt": container["statusSince"],
        }));
        row[0] = format!("{}.{}", text(instance, "id"), text(container, "name")).into();
        row
    };
    let instances = list(status, "instances").iter();
    instances
        .flat_map(|one| list(one, "containers").iter().map(move |c| (one, c)))
        .map(|(i, c)| row(i, c))
        .collect()
}

fn waiting(entry: &Value) -> Vec<Cell> {
    let what = if entry["app"].is_object() { &entry["app"] } else { &entry["pod"] };
    let left = entry["delay"]["timeLeftSeconds"].as_u64().unwrap_or_default();
    let summary = &entry["processedOffersSummary"];
    let stages: Vec<_> = list(summary, "rejectSummaryLastOffers")
        .iter()
        .filter(|stage| stage["declined"].as_u64().unwrap_or_default() > 0)
        .map(|stage| format!("{} ({} of {})", text(stage, "reason"), stage["declined"], stage["processed"]))
        .collect();
    let why = if entry["why"]["stage"] == "NotSupported" {
        text(&entry["why"], "reason")
    } else if left > 0 {
        format!("It failed before and is started again in {left} s (back-off).")
    } else if entry["why"]["reason"].is_string() {
        format!("{}: {}", text(&entry["why"], "stage"), text(&entry["why"], "reason"))
    } else if !stages.is_empty() {
        stages.join(", ")
    } else {
        "No offer has come for it yet.".to_owned()
    };
    let offers = list(entry, "lastUnusedOffers").iter().map(|unused| {
        let reasons: Vec<_> = list(unused, "reason").iter().filter_map(Value::as_str).collect();
        let offer = &unused["offer"];
        format!("{} ({}): {}", text(offer, "hostname"), text(offer, "agentId"), reasons.join(", "))
    });
    vec![
        text(what, "id").into(),
        text(entry, "count").into(),
        moment(&text(entry, "since")),
        why.into(),
        format!("{} of {}", number(&summary["unusedOffersCount"]), number(&summary["processedOffersCount"]))
            .into(),
        offers.collect::<Vec<_>>().join("; ").into(),
    ]
}

fn deployment(plan: &Value) -> Vec<Cell> {
    let apps: Vec<_> = ["affectedApps", "affectedPods"]
        .iter()
        .flat_map(|kind| list(plan, kind))
        .filter_map(Value::as_str)
        .collect();
    let actions: Vec<_> = list(plan, "currentActions")
        .iter()
        .map(|action| format!("{} {}", text(action, "action"), text(action, "app") + &text(action, "pod")))
        .collect();
    vec![
        text(plan, "id").into(),
        apps.join(" ").into(),
        format!("{} of {}", plan["currentStep"], plan["totalSteps"]).into(),
        actions.join(", ").into(),
        moment(&text(plan, "version")),
    ]
}

fn task(task: &Value) -> Vec<Cell> {
    let host = text(task, "host");
    let address = |port: &Value| Cell::Link(format!("{host}:{port}"), format!("http://{host}:{port}/"));
    let mut addresses: Vec<_> = list(task, "ports").iter().map(address).collect();
    if addresses.is_empty() {
        addresses.push(host.as_str().into());
    }
    let results = list(task, "healthCheckResults");
    let health = if results.is_empty() {
        Cell::Text("-".to_owned())
    } else if results.iter().all(|result| result["alive"] == true) {
        Cell::State("healthy".to_owned())
    } else {
        Cell::State("unhealthy".to_owned())
    };
    vec![
        text(task, "id").into(),
        text(task, "appId").into(),
        Cell::State(text(task, "state")),
        health,
        Cell::Many(addresses),
        text(task, "slaveId").into(),
        moment(&text(task, "startedAt")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_apps_tasks_changes_and_why_something_waits() {
        let read = |path: &str| match path {
            APPS => {
                json!({ "apps": [{ "id": "/a b", "instances": 2, "tasksRunning": 1, "cpus": 0.1, "mem": 32,
                "lastTaskFailure": { "timestamp": "T", "state": "TASK_FAILED", "message": "<exit> 3" } }] })
            }
            "/v2/tasks" => {
                json!({ "tasks": [{ "id": "a.1", "appId": "/a b", "state": "TASK_RUNNING", "host": "h", "ports": [31000],
                "healthCheckResults": [{ "alive": false }] }] })
            }
            "/v2/deployments" => {
                json!([{ "id": "d", "affectedApps": ["/a b"], "currentStep": 1, "totalSteps": 2,
                "currentActions": [{ "action": "ScaleApplication", "app": "/a b" }] }])
            }
            "/v2/pods::status" => {
                json!([{ "id": "/p", "status": "STABLE", "spec": { "scaling": { "instances": 2 },
                    "containers": [{ "name": "web" }] },
                    "instances": [{ "id": "p.1", "status": "STABLE", "agentHostname": "h", "agentId": "S0",
                        "containers": [{ "name": "web", "status": "TASK_RUNNING", "endpoints":
                            [{ "allocatedHostPort": 31007 }], "conditions": [] }] }] }])
            }
            QUEUE => {
                json!({ "queue": [{ "app": { "id": "/a b" }, "count": 1, "delay": { "timeLeftSeconds": 0 },
                "processedOffersSummary": { "processedOffersCount": 3, "unusedOffersCount": 3,
                    "rejectSummaryLastOffers": [{ "reason": "InsufficientCpus", "declined": 1, "processed": 1 }] },
                "lastUnusedOffers": [{ "offer": { "hostname": "h", "agentId": "S0" }, "reason": ["InsufficientCpus"] }] }] })
            }
            _ => Value::Null,
        };
        let html = String::from_utf8_lossy(page(&read).body()).into_owned();
        for words in [
            "<a href=\"/v2/apps/a%20b\">/a b</a>",
            "<span class=\"wait\">waiting</span>",
            "T TASK_FAILED &lt;exit&gt; 3",
            "<a href=\"http://h:31000/\">h:31000</a>",
            "<span class=\"bad\">unhealthy</span>",
            "InsufficientCpus (1 of 1)",
            "h (S0): InsufficientCpus",
            "ScaleApplication /a b",
            "<a href=\"/v2/pods/p::status\">/p</a>",
            "<span class=\"good\">stable</span>",
            "1 / 2",
            "p.1.web",
            "<a href=\"http://h:31007/\">h:31007</a>",
        ] {
            assert!(html.contains(words), "{words} is not in {html}");
        }
        assert!(String::from_utf8_lossy(page(&|_| Value::Null).body()).contains("Nothing waits."));
    }
}
