//! The cluster as a client sees it: Marathon's and Mesos' public APIs. Never: how answers are shown.

use crate::{
    Failure,
    output::{Output, list, text},
};
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::time::{Duration, Instant};
use web::client::{Client, ClientError};

/// A cluster, by the addresses of its APIs.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The client that asks.
    pub client: Client,
    marathon: String,
    master: String,
}

/// Where a task's files are.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// Address of the agent.
    pub agent: String,
    /// Its directory there.
    pub directory: String,
}

impl Cluster {
    /// A cluster at these addresses.
    pub fn new(marathon: &str, master: &str) -> Self {
        let trimmed = |url: &str| {
            let url = url.trim_end_matches('/');
            if url.contains("://") { url.to_owned() } else { format!("http://{url}") }
        };
        Self { client: Client::default(), marathon: trimmed(marathon), master: trimmed(master) }
    }
    /// Address of the master.
    pub fn master_url(&self) -> &str {
        &self.master
    }
    /// Address of a Marathon path.
    pub fn marathon_url(&self, path: &str) -> String {
        format!("{}{path}", self.marathon)
    }
    /// Asks Marathon; its error text is taken out of its JSON.
    pub async fn marathon(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        self.client.json(method, &self.marathon_url(path), body).await.map_err(explain)
    }
    /// Asks Marathon for a change; the deployment that makes it so, or nothing where there is nothing to do.
    pub async fn change(&self, method: Method, path: &str, body: Option<&Value>) -> Result<String, Failure> {
        let answer = self.client.answer(method, &self.marathon_url(path), body).await.map_err(explain)?;
        let named = answer.headers().get("marathon-deployment-id").and_then(|id| id.to_str().ok());
        if let Some(id) = named {
            return Ok(id.to_owned());
        }
        let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        let update = text(&body, "deploymentId");
        Ok(if update.is_empty() { text(&body["deployments"][0], "id") } else { update })
    }
    /// Asks the master.
    pub async fn mesos(&self, path: &str) -> Result<Value, Failure> {
        Ok(self.client.get(&format!("{}{path}", self.master)).await?)
    }
    /// The agents.
    pub async fn nodes(&self) -> Result<Vec<Value>, Failure> {
        Ok(list(&self.mesos("/slaves").await?, "slaves").to_vec())
    }
    /// The agents that the master lost, by their id, and since when in ns since 1970. None, where the master does not
    /// show its registry: another one's, or one that asks for more rights.
    pub async fn unreachable_nodes(&self) -> Vec<Value> {
        let registry = self.mesos("/registrar(1)/registry").await.unwrap_or_default();
        let lost = list(&registry["unreachable"], "slaves").iter().map(|lost| {
            serde_json::json!({
                "id": lost["id"]["value"], "unreachable": true,
                "unreachable_time": lost["timestamp"]["nanoseconds"],
            })
        });
        lost.collect()
    }
    /// The tasks that the master knows, live and finished.
    pub async fn tasks(&self) -> Result<Vec<Value>, Failure> {
        Ok(list(&self.mesos("/tasks?limit=-1").await?, "tasks").to_vec())
    }

    /// Where the files of a task are, once its agent knows it.
    pub async fn sandbox(&self, task: &str, agent_id: &str) -> Result<Sandbox, Failure> {
        let nodes = self.nodes().await?;
        let node = nodes.iter().find(|node| node["id"] == agent_id);
        let node =
            node.ok_or_else(|| Failure::NotFound(format!("the node {agent_id} of task {task} is gone")))?;
        let agent = address(node);
        let state: Value = self.client.get(&format!("{agent}/state")).await?;
        let frameworks = list(&state, "frameworks").iter().chain(list(&state, "completed_frameworks"));
        let executors =
            frameworks.flat_map(|f| list(f, "executors").iter().chain(list(f, "completed_executors")));
        let runs_it = |executor: &&Value| {
            let kinds = ["tasks", "queued_tasks", "completed_tasks"];
            executor["id"] == task
                || kinds.iter().any(|kind| list(executor, kind).iter().any(|t| t["id"] == task))
        };
        let mut found = executors.filter(runs_it).filter(|executor| !text(executor, "directory").is_empty());
        // a group's tasks have a directory each below that of their executor
        let directory = found.next().map(|executor| match executor["type"].as_str() {
            Some("DEFAULT") => format!("{}/tasks/{task}", text(executor, "directory")),
            _ => text(executor, "directory"),
        });
        let directory =
            directory.ok_or_else(|| Failure::NotFound(format!("{agent} knows no sandbox of task {task}")))?;
        Ok(Sandbox { agent, directory })
    }

    /// Waits until a deployment is over, telling its progress.
    pub async fn wait(&self, deployment: &str, timeout: Duration, output: &Output) -> Result<(), Failure> {
        let end = Instant::now() + timeout;
        let mut told = String::new();
        let mut bar = None;
        let mut pause = Duration::from_millis(20);
        let mut last = Value::Null;
        // the one that is waited for: where it fails and is undone, what undoes it
        let mut current = deployment.to_owned();
        let mut failed = None;
        loop {
            let all = self.marathon(Method::GET, "/v2/deployments", None).await?;
            let Some(plan) = all.as_array().into_iter().flatten().find(|plan| plan["id"] == current.as_str())
            else {
                if let Some(why) = failed {
                    return Err(Failure::Failed(why));
                }
                match self.failure_of(deployment).await {
                    Some((why, Some(back))) => {
                        output.note(&format!("{why}; {back} undoes it"));
                        (current, failed) = (back, Some(why));
                        continue;
                    }
                    Some((why, None)) => return Err(Failure::Failed(why)),
                    None => return self.reached(&last).await,
                }
            };
            if plan["state"] == "paused" {
                return Err(Failure::Failed(format!(
                    "the deployment {deployment} is paused: {}\n`mesolite deployment resume {deployment}` lets it go \
                     on, `mesolite deployment cancel {deployment}` goes back",
                    text(plan, "reason")
                )));
            }
            last.clone_from(plan);
            let now = progress(plan);
            if now != told && !output.progress {
                output.note(&now);
            }
            if output.progress {
                if bar.is_none() {
                    bar = output.bar(&about(plan));
                }
                let (running, wanted) = self.instances(plan).await;
                if let Some(bar) = &bar {
                    bar.show(running, wanted, &now);
                }
            }
            told = now;
            if Instant::now() >= end {
                let app = affected(plan, "affectedApps").next().map(|id| format!("app why {id}"));
                let pod = affected(plan, "affectedPods").next().map(|id| format!("pod why {id}"));
                let ask =
                    app.or(pod).map(|ask| format!("; `mesolite {ask}` may say why")).unwrap_or_default();
                return Err(Failure::Unfinished(format!(
                    "the deployment {deployment} is still under way after {} s{ask}",
                    timeout.as_secs()
                )));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }
}

impl Cluster {
    /// Deployments that failed or were cancelled, as far as they are kept. Marathon keeps none, and lists what is under way.
    pub async fn ended(&self) -> Result<Vec<Value>, Failure> {
        let all = self.marathon(Method::GET, "/v2/deployments?ended=true", None).await?;
        let ended = all.as_array().into_iter().flatten().filter(|plan| plan.get("endedAt").is_some());
        Ok(ended.cloned().collect())
    }

    /// A deployment is not listed any more: how it failed, where the cluster says so, and what undoes it.
    async fn failure_of(&self, deployment: &str) -> Option<(String, Option<String>)> {
        let asked = self.marathon(Method::GET, &format!("/v2/deployments/{deployment}"), None).await;
        let ended = asked.ok().filter(|ended| ended["state"] == "failed")?;
        let why = format!("the deployment {deployment} failed: {}", text(&ended, "reason"));
        Some((why, ended["rollback"].as_str().map(str::to_owned)))
    }

    /// A deployment is not listed any more: whether its apps are what it wanted them to be.
    async fn reached(&self, plan: &Value) -> Result<(), Failure> {
        let stops = |app: &str| {
            let steps = list(plan, "steps").iter().flat_map(|step| list(step, "actions"));
            steps.into_iter().any(|action| action["app"] == app && action["action"] == "StopApplication")
        };
        for pod in affected(plan, "affectedPods") {
            let path = format!("{}::status", pod_path(pod));
            let now = self.marathon(Method::GET, &path, None).await.unwrap_or_default();
            let is = text(&now["spec"], "version");
            if !is.is_empty() && is < text(plan, "version") {
                return Err(Failure::Failed(format!(
                    "the deployment of {pod} was cancelled: it is at version {is} again"
                )));
            }
        }
        for app in affected(plan, "affectedApps") {
            let answer = match self.marathon(Method::GET, &app_path(app), None).await {
                Err(failure) if failure.code() == crate::exit::NOT_FOUND => {
                    if stops(app) {
                        continue;
                    }
                    return Err(Failure::Failed(format!(
                        "the deployment of {app} was cancelled: {app} is gone"
                    )));
                }
                answer => answer?,
            };
            let app_now = &answer["app"];
            let (Some(wanted), Some(is)) = (plan["version"].as_str(), app_now["version"].as_str()) else {
                continue;
            };
            if is < wanted {
                return Err(Failure::Failed(format!(
                    "the deployment of {app} was cancelled: it is at version {is} again"
                )));
            }
            let (running, instances) = (&app_now["tasksRunning"], &app_now["instances"]);
            // Tasks that ran and ended since are another matter: the app is started again, with back-off.
            let fell = app_now["lastTaskFailure"]["version"] == wanted;
            // what runs once may be done already
            let once = app_now["run"].is_object();
            if !once && is == wanted && running.as_u64() < instances.as_u64() && !fell {
                return Err(Failure::Failed(format!(
                    "the deployment of {app} was cancelled: {running} of {instances} instances run"
                )));
            }
        }
        Ok(())
    }

    /// How many instances of what a deployment is about run, and how many should.
    async fn instances(&self, plan: &Value) -> (u64, u64) {
        let (mut running, mut wanted) = (0, 0);
        // What is being removed may be gone.
        for app in affected(plan, "affectedApps") {
            let Ok(answer) = self.marathon(Method::GET, &app_path(app), None).await else { continue };
            running += answer["app"]["tasksRunning"].as_u64().unwrap_or(0);
            wanted += answer["app"]["instances"].as_u64().unwrap_or(0);
        }
        for pod in affected(plan, "affectedPods") {
            let Ok(status) = self.marathon(Method::GET, &format!("{}::status", pod_path(pod)), None).await
            else {
                continue;
            };
            running += stable(&status);
            wanted += status["spec"]["scaling"]["instances"].as_u64().unwrap_or(0);
        }
        (running, wanted)
    }
}

/// The ids that a deployment names as its apps or pods.
pub fn affected<'p>(plan: &'p Value, which: &str) -> impl Iterator<Item = &'p str> {
    list(plan, which).iter().filter_map(Value::as_str)
}

/// The ids of the apps and pods that a deployment is about.
pub fn about(plan: &Value) -> String {
    affected(plan, "affectedApps").chain(affected(plan, "affectedPods")).collect::<Vec<_>>().join(" ")
}

/// How many instances of a pod run as they should, by its `::status`.
pub fn stable(status: &Value) -> u64 {
    list(status, "instances").iter().filter(|instance| instance["status"] == "STABLE").count() as u64
}

/// One line on a deployment.
pub fn progress(plan: &Value) -> String {
    if plan["state"] == "queued" {
        let behind: Vec<_> = list(plan, "behind").iter().filter_map(Value::as_str).collect();
        return format!("waits behind {}", behind.join(", "));
    }
    if plan["state"] == "paused" {
        return format!("paused: {}", text(plan, "reason"));
    }
    let actions: Vec<String> = list(plan, "currentActions")
        .iter()
        .map(|action| {
            let what = action["action"].as_str().unwrap_or("waiting");
            let to = action["app"].as_str().or_else(|| action["pod"].as_str()).unwrap_or_default();
            format!("{} {to}", what.replace("Application", "").replace("Pod", "").to_lowercase())
        })
        .collect();
    format!("step {} of {}: {}", plan["currentStep"], plan["totalSteps"], actions.join(", "))
}

/// Address of an agent, from the master's view of it.
pub fn address(node: &Value) -> String {
    let pid = text(node, "pid");
    let from_pid = pid.rsplit_once('@').map(|(_, address)| address.to_owned());
    format!("http://{}", from_pid.unwrap_or_else(|| format!("{}:{}", text(node, "hostname"), node["port"])))
}

/// Puts Marathon's own words in place of its JSON.
fn explain(error: ClientError) -> Failure {
    let ClientError::Status { url, status, text: body } = error else { return error.into() };
    let text = explain_body(&body);
    ClientError::Status { url, status, text }.into()
}

/// Marathon's own words in its JSON, or the body as it is.
pub fn explain_body(body: &str) -> String {
    match serde_json::from_str::<Value>(body) {
        Ok(json) if json["message"].is_string() => {
            let mut said = text(&json, "message");
            for detail in list(&json, "details") {
                let errors: Vec<_> = list(detail, "errors").iter().filter_map(Value::as_str).collect();
                said += &format!("\n  {}: {}", text(detail, "path"), errors.join("; "));
            }
            for plan in list(&json, "deployments") {
                said += &format!("\n  deployment {}", text(plan, "id"));
            }
            said
        }
        _ => body.to_owned(),
    }
}

/// An app's address.
pub fn app_path(id: &str) -> String {
    format!("/v2/apps/{}", escaped(id))
}

/// A pod's address.
pub fn pod_path(id: &str) -> String {
    format!("/v2/pods/{}", escaped(id))
}

/// An id as part of a path.
fn escaped(id: &str) -> String {
    const KEPT: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'*');
    utf8_percent_encode(id.trim_matches('/'), KEPT).to_string()
}
