//! Commands on pods. Never: how they are asked for (`cluster`).

use crate::{
    Apply, Failure, Output, Pod, Rollback, Scale, Whole,
    apply::{self, Kind},
    apps::finish,
    cluster::{Cluster, pod_path, stable},
    history::{self, Of},
    logs,
    output::{list, number, text},
    why,
};
use http::Method;
use serde_json::{Value, json};

/// Does a command.
pub async fn perform(pod: Pod, cluster: &Cluster, output: &Output) -> Result<u8, Failure> {
    match pod {
        Pod::Apply(Apply { files, dry_run, change }) => {
            let files = apply::read_files(&files)?;
            if let Some(other) = files.iter().find(|file| file.kind() != Kind::Pod) {
                let id = text(&other.app, "id");
                return Err(Failure::Usage(format!(
                    "{}: {id} has no \"containers\", so it is no pod; `mesolite app apply` takes apps",
                    other.from
                )));
            }
            for file in files {
                if dry_run {
                    let change = apply::preview(cluster, &file, output).await?;
                    if output.json { output.value(&change.json()) } else { change.print(output) }
                } else {
                    let applied = apply::apply(cluster, &file, &change, output).await?;
                    finish(cluster, output, &applied.id, &applied.deployment, &change).await?;
                }
            }
        }
        Pod::List => {
            let all = cluster.marathon(Method::GET, "/v2/pods::status", None).await?;
            if output.json {
                output.value(&all);
            } else {
                let rows = all.as_array().into_iter().flatten().map(row).collect();
                output.table(&["ID", "STATE", "INSTANCES", "CONTAINERS", "CPUS", "MEM"], rows);
            }
        }
        Pod::Show { id } => show(&status(cluster, &id).await?, output),
        Pod::Scale(Scale { id, instances, change }) => {
            let mut pod = cluster.marathon(Method::GET, &pod_path(&id), None).await?;
            pod["scaling"] = json!({ "kind": "fixed", "instances": instances });
            let path = format!("{}{}", pod_path(&id), change.query(&[]));
            let deployment = cluster.change(Method::PUT, &path, Some(&pod)).await?;
            finish(cluster, output, &id, &deployment, &change).await?;
        }
        Pod::Kill { id, instances } => {
            let path = format!("{}::instances", pod_path(&id));
            let killed = cluster.marathon(Method::DELETE, &path, Some(&json!(instances))).await?;
            let ids: Vec<_> =
                killed.as_array().into_iter().flatten().map(|one| text(one, "instanceId")).collect();
            if ids.is_empty() {
                return Err(Failure::NotFound(format!("{id} has no instance {}", instances.join(", "))));
            }
            if output.json {
                output.value(&killed);
            } else {
                ids.iter().for_each(|id| output.line(id));
            }
        }
        Pod::Rm(Whole { id, change }) => {
            let path = format!("{}{}", pod_path(&id), change.query(&[]));
            let deployment = cluster.change(Method::DELETE, &path, None).await?;
            finish(cluster, output, &id, &deployment, &change).await?;
        }
        Pod::Logs { id, container, logs } => {
            let found = tasks(cluster, &status(cluster, &id).await?, container.as_deref()).await?;
            if found.is_empty() {
                let which = container.map_or_else(String::new, |name| format!(" of the container {name}"));
                return Err(Failure::NotFound(format!(
                    "{id} has no tasks{which}; `mesolite pod why {id}` may say why"
                )));
            }
            logs::print(cluster, output, found, &logs).await?;
        }
        Pod::Why { id } => {
            let queue = why::queue(cluster).await?;
            let status = status(cluster, &id).await?;
            let mut asked = as_asked(&status);
            let all = cluster.marathon(Method::GET, "/v2/deployments", None).await?;
            let about = |plan: &&Value| list(plan, "affectedPods").contains(&status["id"]);
            asked["deployments"] = all.as_array().into_iter().flatten().filter(about).cloned().collect();
            let queued = list(&queue, "queue").iter().find(|entry| entry["pod"]["id"] == status["id"]);
            asked["why"] = queued.map_or(Value::Null, |entry| entry["why"].clone());
            why::explain(cluster, output, &asked, &queue).await?;
        }
        Pod::History { id } => history::list(cluster, output, Of::Pod, &id).await?,
        Pod::Rollback(Rollback { id, version, change }) => {
            let version = version.as_deref();
            let deployment = history::rollback(cluster, output, Of::Pod, &id, version, &change).await?;
            finish(cluster, output, &id, &deployment, &change).await?;
        }
    }
    Ok(0)
}

async fn status(cluster: &Cluster, id: &str) -> Result<Value, Failure> {
    cluster.marathon(Method::GET, &format!("{}::status", pod_path(id)), None).await
}

/// The tasks of a pod's containers with the ids of their agents, as the master knows them.
async fn tasks(
    cluster: &Cluster,
    status: &Value,
    only: Option<&str>,
) -> Result<Vec<(String, String)>, Failure> {
    let mut prefixes = Vec::new();
    for instance in list(status, "instances") {
        let names = list(instance, "containers").iter().map(|container| text(container, "name"));
        let wanted = names.filter(|name| only.is_none_or(|only| only == name));
        prefixes.extend(wanted.map(|name| format!("{}.{name}.", text(instance, "id"))));
    }
    let known = cluster.tasks().await?;
    let mut found: Vec<_> = known
        .iter()
        .map(|task| (text(task, "id"), text(task, "slave_id")))
        .filter(|(id, _)| prefixes.iter().any(|prefix| id.starts_with(prefix.as_str())))
        .collect();
    found.sort();
    Ok(found)
}

/// The containers of all pods as Marathon says tasks of apps, with the ids that the master knows them by.
pub async fn as_tasks(cluster: &Cluster) -> Result<Vec<Value>, Failure> {
    let all = cluster.marathon(Method::GET, "/v2/pods::status", None).await?;
    let mut found = Vec::new();
    for status in all.as_array().into_iter().flatten() {
        let ids = tasks(cluster, status, None).await?;
        for instance in list(status, "instances") {
            for container in list(instance, "containers") {
                let prefix = format!("{}.{}.", text(instance, "id"), text(container, "name"));
                let Some((id, _)) = ids.iter().find(|(id, _)| id.starts_with(&prefix)) else { continue };
                let checked = health(container).map(|alive| json!({ "alive": alive }));
                found.push(json!({
                    "id": id, "appId": status["id"], "pod": true, "state": container["status"],
                    "host": instance["agentHostname"], "slaveId": instance["agentId"], "ports": ports(container),
                    "startedAt": container["statusSince"],
                    "healthCheckResults": checked.into_iter().collect::<Vec<_>>(),
                }));
            }
        }
    }
    Ok(found)
}

fn ports(container: &Value) -> Vec<u64> {
    list(container, "endpoints").iter().filter_map(|end| end["allocatedHostPort"].as_u64()).collect()
}

/// What its checks say; none = it has none.
fn health(container: &Value) -> Option<bool> {
    let said = list(container, "conditions").iter().find(|one| one["name"] == "healthy")?;
    Some(said["value"] == "true")
}

/// What one instance takes, all its containers and its executor together.
fn sum(spec: &Value, name: &str) -> f64 {
    let each = list(spec, "containers").iter().filter_map(|one| one["resources"][name].as_f64());
    each.sum::<f64>() + spec["executorResources"][name].as_f64().unwrap_or(0.0)
}

/// A pod in the words in which `why` asks about an app.
fn as_asked(status: &Value) -> Value {
    let spec = &status["spec"];
    let placement = &spec["scheduling"]["placement"];
    let constraint = |rule: &Value| {
        let words = ["fieldName", "operator", "value"].iter().filter_map(|word| rule[*word].as_str());
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let ends = list(spec, "containers").iter().flat_map(|container| list(container, "endpoints"));
    let ports: Vec<_> =
        ends.filter(|end| end["hostPort"].is_u64()).map(|end| json!({ "port": end["hostPort"] })).collect();
    json!({
        "id": status["id"], "instances": spec["scaling"]["instances"], "tasksRunning": stable(status),
        "cpus": sum(spec, "cpus"), "mem": sum(spec, "mem"), "disk": sum(spec, "disk"), "gpus": sum(spec, "gpus"),
        "constraints": list(placement, "constraints").iter().map(constraint).collect::<Vec<_>>(),
        "acceptedResourceRoles": placement["acceptedResourceRoles"], "portDefinitions": ports,
    })
}

fn row(status: &Value) -> Vec<String> {
    let spec = &status["spec"];
    vec![
        text(status, "id"),
        text(status, "status").to_lowercase(),
        format!("{}/{}", stable(status), spec["scaling"]["instances"]),
        list(spec, "containers").iter().map(|one| text(one, "name")).collect::<Vec<_>>().join(" "),
        number(&json!(sum(spec, "cpus"))),
        number(&json!(sum(spec, "mem"))),
    ]
}

fn show(status: &Value, output: &Output) {
    if output.json {
        return output.value(status);
    }
    let row = row(status);
    output.facts(&[
        ("id", row[0].clone()),
        ("state", row[1].clone()),
        ("instances", row[2].clone()),
        ("containers", row[3].clone()),
        ("resources", format!("{} cpus, {} MB memory each", row[4], row[5])),
        ("version", text(&status["spec"], "version")),
    ]);
    let rows: Vec<_> = list(status, "instances").iter().flat_map(containers).collect();
    if !rows.is_empty() {
        output.line("");
        output.table(&["INSTANCE", "CONTAINER", "STATE", "HEALTH", "ADDRESS", "SINCE"], rows);
    }
}

/// A row for each container of an instance.
fn containers(instance: &Value) -> Vec<Vec<String>> {
    let host = text(instance, "agentHostname");
    let row = |container: &Value| {
        let ports: Vec<_> = ports(container).iter().map(|port| format!("{host}:{port}")).collect();
        let health = health(container).map_or("-", |alive| if alive { "healthy" } else { "unhealthy" });
        vec![
            text(instance, "id"),
            text(container, "name"),
            text(container, "status"),
            health.to_owned(),
            if ports.is_empty() { host.clone() } else { ports.join(" ") },
            text(container, "statusSince"),
        ]
    };
    list(instance, "containers").iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_asked_about_as_an_app_of_its_sums() {
        let status = json!({"id": "/p", "instances": [{"id": "p.instance-1", "status": "STABLE"}, {"status": "STAGING"}],
            "spec": {"scaling": {"instances": 3}, "executorResources": {"cpus": 0.1, "mem": 32},
                "containers": [{"name": "a", "resources": {"cpus": 1, "mem": 64}, "endpoints": [{"hostPort": 80}]},
                               {"name": "b", "resources": {"cpus": 0.5, "mem": 32}}],
                "scheduling": {"placement": {"constraints": [{"fieldName": "rack", "operator": "LIKE", "value": "a"}]}}}});
        let asked = as_asked(&status);
        assert_eq!((&asked["cpus"], &asked["mem"]), (&json!(1.6), &json!(128.0)));
        assert_eq!((&asked["instances"], &asked["tasksRunning"]), (&json!(3), &json!(1)));
        assert_eq!(asked["constraints"], json!([["rack", "LIKE", "a"]]));
        assert_eq!(asked["portDefinitions"], json!([{"port": 80}]));
        assert_eq!(row(&status)[2..4], ["1/3", "a b"]);
    }
}
