//! Why an app waits: what the queue says of its offers, and how much each node lacks. Never: a guess without figures.

use crate::{
    Cluster, Failure, Output,
    apps::short,
    logs::Reader,
    output::{list, number, text},
};
use http::Method;
use serde_json::{Value, json};

/// Last lines of a failed task's stderr that are shown, and how much of each.
const WORDS_MAX: usize = 3;
const WORD_CHARS_MAX: usize = 300;

/// Unhealthy tasks that are named one by one.
const SICK_MAX: usize = 10;

/// What waits. It is asked for before the app: a failure that delays it stands in the app then.
pub async fn queue(cluster: &Cluster) -> Result<Value, Failure> {
    cluster.marathon(Method::GET, "/v2/queue?embed=lastUnusedOffers&embed=why", None).await
}

/// Explains one app.
pub async fn explain(cluster: &Cluster, output: &Output, app: &Value, queue: &Value) -> Result<(), Failure> {
    let entry = list(queue, "queue")
        .iter()
        .find(|entry| entry["app"]["id"] == app["id"] || entry["pod"]["id"] == app["id"]);
    let nodes = cluster.nodes().await?;
    let words = last_words(cluster, &app["lastTaskFailure"]).await;
    if output.json {
        let nodes: Vec<Value> = nodes
            .iter()
            .map(|node| json!({"node": node["id"], "missing": lacks(app, node, entry)}))
            .collect();
        output.value(
            &json!({"app": app["id"], "queue": entry, "why": app["why"], "nodes": nodes, "stderr": words}),
        );
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
        words.iter().for_each(|line| output.line(&format!("It wrote last: {line}")));
    }
    let Some(entry) = entry else {
        output.line(&standing(app));
        sick(app).iter().for_each(|line| output.line(line));
        for plan in list(app, "deployments") {
            let plan = text(plan, "id");
            output.line(&match app["why"]["stage"] == "Paused" {
                true => format!("`mesolite deployment resume {plan}` lets it go on, `mesolite deployment cancel {plan}` goes back."),
                false => format!("The deployment {plan} is under way."),
            });
        }
        return Ok(());
    };
    output.line(&format!(
        "{id} waits for {} more of {} instances, since {}.",
        entry["count"],
        app["instances"],
        text(entry, "since")
    ));
    sick(app).iter().for_each(|line| output.line(line));
    if app["why"]["stage"] == "NotSupported" {
        output
            .line(&format!("It can't be started: {}. No offer is used for it.", text(&app["why"], "reason")));
        return Ok(());
    }
    let left = entry["delay"]["timeLeftSeconds"].as_u64().unwrap_or(0);
    if left > 0 {
        output.line(&format!("It failed before and is started again in {left} s (back-off)."));
        return Ok(());
    }
    if app["why"].is_object() {
        output.line(&format!("{}: {}", text(&app["why"], "stage"), text(&app["why"], "reason")));
    }
    stages(&entry["processedOffersSummary"], output);
    refusals(entry, output);
    if nodes.is_empty() {
        output.line("There are no nodes.");
        return Ok(());
    }
    let rows = nodes.iter().map(|node| {
        let missing = lacks(app, node, Some(entry));
        let said = if missing.is_empty() { "has room now".to_owned() } else { missing.join("; ") };
        vec![text(node, "hostname"), text(node, "id"), said]
    });
    output.line("");
    output.table(&["NODE", "ID", "FOR ONE MORE INSTANCE"], rows.collect());
    Ok(())
}

/// The last lines that a failed task wrote to stderr: there stands why a program could not be executed or a file not be
/// fetched. None where its node or its sandbox is gone.
async fn last_words(cluster: &Cluster, failure: &Value) -> Vec<String> {
    let (task, agent) = (text(failure, "taskId"), text(failure, "slaveId"));
    if task.is_empty() {
        return Vec::new();
    }
    let Ok(sandbox) = cluster.sandbox(&task, &agent).await else { return Vec::new() };
    let tail = Reader::new(sandbox, "stderr").tail(cluster, WORDS_MAX).await;
    String::from_utf8_lossy(&tail.unwrap_or_default())
        .lines()
        .map(|line| short(line, WORD_CHARS_MAX))
        .collect()
}

/// How an app stands that nothing is queued for.
fn standing(app: &Value) -> String {
    let id = text(app, "id");
    let count = |name: &str| app[name].as_u64().unwrap_or(0);
    let (running, wanted, staged) = (count("tasksRunning"), count("instances"), count("tasksStaged"));
    let said = format!("{id} waits for no offers, and {running} of {wanted} instances run");
    if app["why"]["stage"] == "Paused" {
        return format!("{said}: {}.", text(&app["why"], "reason"));
    }
    if running >= wanted {
        return format!("{id} waits for nothing: {running} of {wanted} instances run.");
    }
    if app["run"].is_object() {
        return format!("{said}: it runs once and {}.", text(&app["run"], "state"));
    }
    let odd: Vec<_> = list(app, "tasks")
        .iter()
        .filter(|task| task["state"] != "TASK_RUNNING")
        .map(|task| format!("{} is {}", text(task, "id"), text(task, "state")))
        .collect();
    if !odd.is_empty() {
        return format!("{said}: {}.", odd.join("; "));
    }
    if staged > 0 {
        return format!("{said}: {staged} are being started.");
    }
    format!("{said}: none is ordered yet, for a task is still ending or a deployment has to come to it.")
}

/// Which tasks fail their checks, and what the checks saw.
fn sick(app: &Value) -> Vec<String> {
    let ill = |result: &&Value| result["alive"] == false || result["lastFailure"].is_string();
    let failing = |task: &&Value| list(task, "healthCheckResults").iter().any(|r| r["alive"] == false);
    let mut lines = Vec::new();
    let count = list(app, "tasks").iter().filter(failing).count();
    if count > 0 {
        lines.push(format!("{count} of {} running instances are unhealthy.", app["tasksRunning"]));
    }
    for task in list(app, "tasks").iter().filter(failing).take(SICK_MAX) {
        for result in list(task, "healthCheckResults").iter().filter(ill) {
            let mut line = format!(
                "{}: its check failed {} times in a row",
                text(task, "id"),
                result["consecutiveFailures"]
            );
            for (name, word) in [("lastFailure", "last at "), ("lastFailureCause", "")] {
                if result[name].is_string() {
                    line += &format!(", {word}{}", text(result, name));
                }
            }
            lines.push(line);
        }
    }
    lines
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

/// Why a node can't take one more instance: its figures, and what its last refused offer was refused for.
fn lacks(app: &Value, node: &Value, entry: Option<&Value>) -> Vec<String> {
    let mut all: Vec<_> = missing(app, node).into_iter().map(|short| format!("lacks {short}")).collect();
    let offers = entry.map_or(&[][..], |entry| list(entry, "lastUnusedOffers"));
    let of_node = offers.iter().filter(|unused| unused["offer"]["agentId"] == node["id"]);
    let reasons: Vec<_> =
        of_node.flat_map(|unused| list(unused, "reason")).filter_map(Value::as_str).collect();
    if reasons.contains(&"UnfulfilledConstraint") {
        all.extend(list(app, "constraints").iter().map(|rule| constraint(rule, node)));
    }
    let wanted: Vec<_> = list(app, "acceptedResourceRoles").iter().filter_map(Value::as_str).collect();
    if !wanted.is_empty() && !wanted.contains(&"*") && !reasons.is_empty() {
        let reserved = node["reserved_resources"].as_object().into_iter().flatten();
        let roles: Vec<_> = reserved.map(|(role, _)| role.as_str()).collect();
        let has = if roles.is_empty() { "none".to_owned() } else { format!("for {}", roles.join(", ")) };
        all.push(format!("wants resources reserved for {}; reserved are {has}", wanted.join(", ")));
    }
    all
}

/// A constraint beside what the node has.
fn constraint(rule: &Value, node: &Value) -> String {
    let words: Vec<_> = rule.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let field = words.first().copied().unwrap_or_default();
    let value = match field {
        "hostname" | "@hostname" => &node["hostname"],
        "@region" => &node["domain"]["fault_domain"]["region"]["name"],
        "@zone" => &node["domain"]["fault_domain"]["zone"]["name"],
        _ => &node["attributes"][field],
    };
    let has = match value {
        Value::Null => format!("no {field}"),
        Value::String(text) => format!("{field} {text}"),
        other => format!("{field} {other}"),
    };
    format!("wants {}; it has {has}", words.join(" "))
}

/// `[31000-31005, 31007-31009]`
fn ranges(text: &Value) -> Vec<(u64, u64)> {
    let text = text.as_str().unwrap_or_default().trim_matches(['[', ']']);
    let ends = text.split(',').filter_map(|range| range.trim().split_once('-'));
    ends.filter_map(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?))).collect()
}

/// What is missing of ports: those that are required, or as many as any will do.
fn missing_ports(app: &Value, node: &Value) -> Option<String> {
    let definitions = list(app, "portDefinitions");
    let (all, used) = (ranges(&node["resources"]["ports"]), ranges(&node["used_resources"]["ports"]));
    let within = |port: u64, of: &[(u64, u64)]| of.iter().any(|(low, high)| (*low..=*high).contains(&port));
    let offered = text(&node["resources"], "ports");
    let required = definitions.iter().filter_map(|p| p["port"].as_u64()).filter(|port| *port != 0);
    if app["requirePorts"] == true {
        let taken: Vec<_> = required
            .filter(|port| !within(*port, &all) || within(*port, &used))
            .map(|port| {
                let why = if within(port, &all) { "in use" } else { "not offered" };
                format!("port {port} ({why}; it offers {offered})")
            })
            .collect();
        return (!taken.is_empty()).then(|| taken.join(", "));
    }
    let count = |of: &[(u64, u64)]| of.iter().map(|(low, high)| high.saturating_sub(*low) + 1).sum::<u64>();
    let (free, wanted) = (count(&all).saturating_sub(count(&used)), definitions.len() as u64);
    (wanted > free).then(|| format!("{} ports ({free} free of {})", wanted - free, count(&all)))
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
    missing.extend(missing_ports(app, node));
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

    #[test]
    fn who_is_sick_and_what_is_missing_without_a_queue_is_said() {
        let app = json!({"id": "/a", "instances": 3, "tasksRunning": 2, "tasks": [
            {"id": "t1", "state": "TASK_RUNNING", "healthCheckResults":
                [{"alive": false, "consecutiveFailures": 2, "lastFailure": "T", "lastFailureCause": "503"}]},
            {"id": "t2", "state": "TASK_RUNNING", "healthCheckResults": [{"alive": true}]},
            {"id": "t3", "state": "TASK_KILLING"}]});
        assert_eq!(
            sick(&app),
            [
                "1 of 2 running instances are unhealthy.",
                "t1: its check failed 2 times in a row, last at T, 503"
            ]
        );
        assert_eq!(standing(&app), "/a waits for no offers, and 2 of 3 instances run: t3 is TASK_KILLING.");
        let whole = json!({"id": "/a", "instances": 1, "tasksRunning": 1});
        assert_eq!(standing(&whole), "/a waits for nothing: 1 of 1 instances run.");
        let none = json!({"id": "/a", "instances": 1, "tasksRunning": 0});
        assert!(standing(&none).contains("waits for no offers, and 0 of 1 instances run"));
    }

    #[test]
    fn ports_and_rules_are_shown_beside_what_the_node_has() {
        let node = json!({"id": "S0", "active": true, "hostname": "h", "attributes": {"rack": "b"},
            "resources": {"ports": "[100-102, 200-200]"}, "used_resources": {"ports": "[100-101]"}});
        let app =
            json!({"requirePorts": true, "portDefinitions": [{"port": 100}, {"port": 102}, {"port": 80}]});
        assert_eq!(
            missing(&app, &node),
            [
                "port 100 (in use; it offers [100-102, 200-200]), port 80 (not offered; it offers [100-102, 200-200])"
            ]
        );
        let any = json!({"portDefinitions": [{"port": 0}, {"port": 0}, {"port": 9}]});
        assert_eq!(missing(&any, &node), ["1 ports (2 free of 4)"]);
        let entry = |why: &str| json!({"lastUnusedOffers": [{"offer": {"agentId": "S0"}, "reason": [why]}]});
        let app = json!({"constraints": [["rack", "LIKE", "a"], ["hostname", "UNIQUE"]], "acceptedResourceRoles": ["ads"]});
        assert_eq!(
            lacks(&app, &node, Some(&entry("UnfulfilledConstraint")))[..2],
            ["wants rack LIKE a; it has rack b", "wants hostname UNIQUE; it has hostname h"]
        );
        assert_eq!(
            lacks(&app, &node, Some(&entry("UnfulfilledRole"))),
            ["wants resources reserved for ads; reserved are none"]
        );
    }
}
