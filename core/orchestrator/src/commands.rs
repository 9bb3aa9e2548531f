//! What clients want changed, and what they are answered. Definitions come in valid and normalised.
//!
//! Never renders what is only read (`view`), and never says anything before it is durable.

use crate::{App, Effect, Orchestrator, Refused, input::Client, when};
use base::{Effects, Now};
use model::request::{Answer, Http, RequestId};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// A change of one app.
#[derive(Clone, Debug, PartialEq)]
pub struct AppUpdate {
    /// `/prod/db`.
    pub id: String,
    /// Normalised fields; with `partial`, those that are there replace the current ones.
    pub fields: Map<String, Value>,
    /// Whether what is not there stays.
    pub partial: bool,
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A new app (POST).
    CreateApp {
        /// The whole definition, with its id.
        app: Map<String, Value>,
        /// Whether locks are broken.
        force: bool,
    },
    /// Changes of apps, in one deployment (PUT, PATCH).
    UpdateApps {
        /// What changes.
        updates: Vec<AppUpdate>,
        /// Whether locks are broken.
        force: bool,
        /// Whether missing apps are made.
        create: bool,
    },
    /// An app goes.
    DeleteApp {
        /// Which.
        id: String,
        /// Whether locks are broken.
        force: bool,
    },
    /// All apps go (DELETE of the root group).
    DeleteAll {
        /// Whether locks are broken.
        force: bool,
    },
    /// All instances are replaced.
    RestartApp {
        /// Of which app.
        id: String,
        /// Whether locks are broken.
        force: bool,
    },
    /// These tasks end; unknown ones are skipped.
    KillTasks {
        /// Task ids.
        tasks: Vec<String>,
        /// Whether their apps shrink by them.
        scale: bool,
        /// Whether locks are broken.
        force: bool,
        /// Whether one task is answered as one.
        single: bool,
    },
    /// A deployment ends: undone by another, or with `force` left as it is.
    CancelDeployment {
        /// Which.
        id: String,
        /// Whether it is left as it is.
        force: bool,
    },
    /// An app's back-off is forgotten.
    ResetDelay {
        /// Of which app.
        id: String,
    },
}

type Changes = BTreeMap<String, Option<Arc<App>>>;

pub(crate) fn message(status: u16, text: impl Into<String>) -> Answer {
    Answer::json(status, json!({ "message": text.into() }).to_string())
}

fn no_app(id: &str) -> Answer {
    message(404, format!("App '{id}' does not exist"))
}

impl Orchestrator {
    pub(crate) fn command(
        &mut self,
        now: &mut Now<'_>,
        request: RequestId,
        command: Command,
        client: &Client,
        out: &mut Effects<Effect>,
    ) {
        if let Some(why) = self.saves.trouble() {
            // said at once: whatever is said through `saves` waits for the store
            let answer = message(503, format!("Nothing can be made durable: {why}"));
            return out.push(Effect::Http(Http::Reply { request, answer }));
        }
        let answer = self.obey(now, command, client).unwrap_or_else(|refusal| refusal);
        self.reply(request, answer);
    }

    fn obey(&mut self, now: &mut Now<'_>, command: Command, client: &Client) -> Result<Answer, Answer> {
        let version = self.next_version(now);
        match command {
            Command::CreateApp { app, force } => {
                let id = app.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
                if self.apps.contains_key(&id) {
                    return Err(message(409, format!("An app with id [{id}] already exists.")));
                }
                let app = Arc::new(self.versioned(&id, app, &version)?);
                let changes: Changes = [(id.clone(), Some(app.clone()))].into();
                let deployment = self.post(now, client, &version, changes, force)?;
                let mut body = (*app).clone();
                for count in ["tasksStaged", "tasksRunning", "tasksHealthy", "tasksUnhealthy"] {
                    body[count] = 0.into();
                }
                body["deployments"] = json!([{ "id": deployment }]);
                Ok(with_deployment(Answer::json(201, body.to_string()), &deployment, Some(&id)))
            }
            Command::UpdateApps { updates, force, create } => {
                let one = (updates.len() == 1).then(|| updates[0].id.clone());
                let made = one.as_ref().is_some_and(|id| !self.apps.contains_key(id));
                let mut changes = Changes::new();
                for update in updates {
                    if !create && !self.apps.contains_key(&update.id) {
                        return Err(no_app(&update.id));
                    }
                    let app = Arc::new(self.updated(&update, &version)?);
                    changes.insert(update.id, Some(app));
                }
                let deployment = self.post(now, client, &version, changes, force)?;
                let at = one.filter(|_| made);
                Ok(self.deployed(if made { 201 } else { 200 }, &version, &deployment, at.as_deref()))
            }
            Command::DeleteApp { id, force } => {
                if !self.apps.contains_key(&id) {
                    return Err(no_app(&id));
                }
                let deployment = self.change(now, &version, [(id, None)].into(), force)?;
                Ok(self.deployed(200, &version, &deployment, None))
            }
            Command::DeleteAll { force } => {
                let changes = self.apps.keys().map(|id| (id.clone(), None)).collect();
                let deployment = self.change(now, &version, changes, force)?;
                Ok(self.deployed(200, &version, &deployment, None))
            }
            Command::RestartApp { id, force } => {
                let Some(state) = self.apps.get(&id) else { return Err(no_app(&id)) };
                let mut app = (*state.app).clone();
                app["version"] = version.clone().into();
                app["versionInfo"] = json!({ "lastScalingAt": version, "lastConfigChangeAt": version });
                let deployment = self.change(now, &version, [(id, Some(Arc::new(app)))].into(), force)?;
                Ok(self.deployed(200, &version, &deployment, None))
            }
            Command::KillTasks { tasks, scale, force, single } => {
                self.kill_tasks(now, &version, &tasks, scale, force, single)
            }
            Command::CancelDeployment { id, force } => self.cancel(now, &version, &id, force),
            Command::ResetDelay { id } => {
                if !self.queue.contains_key(&id) && !self.backoffs.contains_key(&id) {
                    return Err(message(404, format!("Application {id} not found in tasks queue.")));
                }
                self.clear_backoff(&id);
                Ok(Answer::new(204, model::request::Body::Empty))
            }
        }
    }

    /// Each version is later than all before it, whatever the clock does.
    fn next_version(&mut self, now: &Now<'_>) -> String {
        self.last_version = now.time.as_millis().max(self.last_version + 1);
        when(self.last_version)
    }

    fn change(
        &mut self,
        now: &mut Now<'_>,
        version: &str,
        changes: Changes,
        force: bool,
    ) -> Result<String, Answer> {
        self.deploy(now, version, changes, force).map_err(refusal)
    }

    /// A change of definitions by a client: everybody hears of it, if it is taken.
    fn post(
        &mut self,
        now: &mut Now<'_>,
        client: &Client,
        version: &str,
        changes: Changes,
        force: bool,
    ) -> Result<String, Answer> {
        self.admit(&changes, force).map_err(refusal)?;
        for app in changes.values().flatten() {
            let fields = json!({ "clientIp": client.ip, "uri": client.uri, "appDefinition": app });
            self.emit(now.time, "api_post_event", fields);
        }
        self.change(now, version, changes, force)
    }

    fn deployed(&self, status: u16, version: &str, deployment: &str, created: Option<&str>) -> Answer {
        let body = json!({ "version": version, "deploymentId": deployment });
        with_deployment(Answer::json(status, body.to_string()), deployment, created)
    }

    fn kill_tasks(
        &mut self,
        now: &mut Now<'_>,
        version: &str,
        tasks: &[String],
        scale: bool,
        force: bool,
        single: bool,
    ) -> Result<Answer, Answer> {
        let found: Vec<_> = tasks.iter().filter_map(|task| self.instances.of_task(task).cloned()).collect();
        if single && found.is_empty() {
            let id = tasks.first().map_or("", String::as_str);
            return Err(message(404, format!("Task '{id}' does not exist")));
        }
        if scale {
            let mut fewer = BTreeMap::<String, u64>::new();
            found.iter().filter(|i| !i.ending).for_each(|i| *fewer.entry(i.app.clone()).or_default() += 1);
            let mut changes = Changes::new();
            for (id, count) in fewer {
                let Some(state) = self.apps.get(&id) else { continue };
                let mut app = (*state.app).clone();
                app["instances"] = state.spec.instances.saturating_sub(count).into();
                app["version"] = version.into();
                app["versionInfo"]["lastScalingAt"] = version.into();
                changes.insert(id, Some(Arc::new(app)));
            }
            let deployment = self.change(now, version, changes, force)?;
            found.iter().for_each(|instance| self.kill(now.time, &instance.id));
            return Ok(self.deployed(200, version, &deployment, None));
        }
        let said: Vec<_> = found.iter().map(|instance| self.task_info(instance)).collect();
        found.iter().for_each(|instance| self.kill(now.time, &instance.id));
        let body = match said.first() {
            Some(task) if single => json!({ "task": task }),
            _ => json!({ "tasks": said }),
        };
        Ok(Answer::json(200, body.to_string()))
    }

    fn cancel(&mut self, now: &mut Now<'_>, version: &str, id: &str, force: bool) -> Result<Answer, Answer> {
        if !self.deployments.contains_key(id) {
            return Err(message(404, format!("DeploymentPlan {id} does not exist")));
        }
        if force {
            self.abandon(now.time, id);
            return Ok(Answer::accepted());
        }
        let original = self.deployments.get(id).map(|d| d.original.clone()).unwrap_or_default();
        let mut changes = Changes::new();
        for (app, was) in original {
            let back = match was {
                None => None,
                Some(was) => {
                    let fields = was.as_object().cloned().unwrap_or_default();
                    Some(Arc::new(self.versioned(&app, fields, version)?))
                }
            };
            changes.insert(app, back);
        }
        let deployment = self.change(now, version, changes, true)?;
        Ok(self.deployed(200, version, &deployment, None))
    }
}

fn refusal(refused: Refused) -> Answer {
    match refused {
        Refused::Locked(ids) => {
            let text = "App is locked by one or more deployments. Override with the option '?force=true'. View \
                        details at '/v2/deployments/<DEPLOYMENT_ID>'.";
            let ids: Vec<_> = ids.into_iter().map(|id| json!({ "id": id })).collect();
            Answer::json(409, json!({ "message": text, "deployments": ids }).to_string())
        }
        Refused::TooMany => {
            message(403, "Max number of running deployments reached. Wait for one to end, or cancel one.")
        }
    }
}

fn with_deployment(mut answer: Answer, deployment: &str, created: Option<&str>) -> Answer {
    answer.headers.push(("Marathon-Deployment-Id", deployment.to_owned()));
    answer.headers.extend(created.map(|id| ("Location", format!("/v2/apps{id}"))));
    answer
}
