//! What clients want changed, and what they are answered. Definitions come in as they were written.
//!
//! Never renders what is only read (`render`), and never says anything before it is durable.

mod groups;
mod pods;
mod tasks;

pub use pods::shown;

use crate::{
    App, Effect, Orchestrator, Refused,
    definitions::{Draft, Faults},
    input::Client,
    when,
};
use api::marathon::{GroupUpdate, canonical, parent};
use base::{Effects, Now};
use model::request::{Answer, Body, Http, RequestId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// A change of one app.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppUpdate {
    /// `/prod/db`.
    pub id: String,
    /// The fields as they were written; with `partial`, those that are there replace the current ones.
    pub fields: Map<String, Value>,
    /// Whether what is not there stays.
    pub partial: bool,
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
        /// Whether it is one app by its own path: then a new one has a place to be found at.
        single: bool,
    },
    /// An app goes.
    DeleteApp {
        /// Which.
        id: String,
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
    /// A new group, or another form of one.
    PutGroup {
        /// The group it was sent to.
        base: String,
        /// What is said of it.
        update: GroupUpdate,
        /// Whether locks are broken.
        force: bool,
        /// Whether it must be new (POST).
        create: bool,
    },
    /// Whether a top-level group enforces its name as role (PATCH).
    PatchGroup {
        /// Which.
        id: String,
        /// None = as new groups do.
        enforce_role: Option<bool>,
    },
    /// A group goes, with all that is in it; the root only loses what is in it.
    DeleteGroup {
        /// Which.
        id: String,
        /// Whether locks are broken.
        force: bool,
    },
    /// A new pod (POST).
    CreatePod {
        /// The whole definition.
        pod: Map<String, Value>,
        /// Whether locks are broken.
        force: bool,
    },
    /// Another definition of a pod (PUT).
    UpdatePod {
        /// Which.
        id: String,
        /// The whole definition.
        pod: Map<String, Value>,
        /// Whether locks are broken.
        force: bool,
    },
    /// A pod goes.
    DeletePod {
        /// Which.
        id: String,
        /// Whether locks are broken.
        force: bool,
    },
    /// These instances of a pod end; unknown ones are skipped.
    KillInstances {
        /// The pod.
        pod: String,
        /// Their ids.
        ids: Vec<String>,
        /// Whether their volumes go with them.
        #[serde(default)]
        wipe: bool,
        /// Whether one is answered as one.
        single: bool,
    },
    /// These tasks end; unknown ones are skipped.
    KillTasks {
        /// Task ids.
        tasks: Vec<String>,
        /// Whether their apps shrink by them.
        scale: bool,
        /// Whether their volumes go with them.
        #[serde(default)]
        wipe: bool,
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
    /// What is asked of an app, as others see it.
    ReportLoad {
        /// Which.
        id: String,
        /// How much.
        load: crate::autoscale::Load,
    },
    /// A paused deployment goes on.
    ResumeDeployment {
        /// Which.
        id: String,
    },
    /// An app's back-off is forgotten.
    ResetDelay {
        /// Of which app or pod.
        id: String,
    },
}

pub(crate) fn message(status: u16, text: impl Into<String>) -> Answer {
    Answer::json(status, json!({ "message": text.into() }).to_string())
}

/// What events say of a deployment that somebody ended.
pub(crate) const CANCELLED: &str = "The deployment was cancelled";

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
        self.line.begin(&command);
        let kept = (self.how.queue || !self.line.is_empty()).then(|| command.clone());
        let joined = kept.as_ref().and_then(|command| self.joins(command));
        let tried = joined.as_ref().map_or(command, |(_, merged)| merged.clone());
        let answer = match (self.obey(now, tried, client), kept) {
            (Ok(answer), kept) => {
                kept.iter().for_each(|command| self.overtaken(now.time, command));
                answer
            }
            (Err(_), Some(command)) if self.may_wait(&command) => self.line_up(now, command, joined, client),
            (Err(refusal), _) => refusal,
        };
        self.line.done();
        self.reply(request, answer);
    }

    pub(crate) fn obey(
        &mut self,
        now: &mut Now<'_>,
        command: Command,
        client: &Client,
    ) -> Result<Answer, Answer> {
        match command {
            Command::CreateApp { app, force } => self.create_app(now, app, force, client),
            Command::UpdateApps { updates, force, create, single } => {
                self.update_apps(now, updates, force, create, single, client)
            }
            Command::DeleteApp { id, force } => {
                self.app(&id).ok_or_else(|| no_app(&id))?;
                let mut draft = self.draft(now);
                draft.changes.apps.insert(id.clone(), None);
                self.deployed(now, parent(&id), draft, force, None)
            }
            Command::RestartApp { id, force } => {
                let mut app = (*self.app(&id).ok_or_else(|| no_app(&id))?.app).clone();
                let mut draft = self.draft(now);
                if let Some(got) = self.got(&id) {
                    app["instances"] = got.into();
                }
                let version = &draft.version;
                app["version"] = version.as_str().into();
                app["versionInfo"] = json!({ "lastScalingAt": version, "lastConfigChangeAt": version });
                draft.changes.apps.insert(id.clone(), Some(Arc::new(app)));
                self.deployed(now, parent(&id), draft, force, None)
            }
            Command::PutGroup { base, update, force, create } => {
                self.put_group_tree(now, &base, &update, force, create)
            }
            Command::PatchGroup { id, enforce_role } => self.patch_group(now, &id, enforce_role),
            Command::DeleteGroup { id, force } => self.delete_group(now, &id, force),
            Command::CreatePod { pod, force } => self.create_pod(now, pod, force, client),
            Command::UpdatePod { id, pod, force } => self.update_pod(now, &id, pod, force, client),
            Command::DeletePod { id, force } => self.delete_pod(now, &id, force, client),
            Command::KillInstances { pod, ids, wipe, single } => {
                self.kill_instances(now, &pod, &ids, wipe, single)
            }
            Command::KillTasks { tasks, scale, wipe, force, single } => {
                self.kill_tasks(now, &tasks, (scale, wipe), force, single)
            }
            Command::CancelDeployment { id, force } => self.cancel(now, &id, force),
            Command::ReportLoad { id, load } => self.report_load(now, &id, load),
            Command::ResumeDeployment { id } => self.resume_paused(now.time, &id),
            Command::ResetDelay { id } => {
                if !self.queue.contains_key(&id) && !self.backoffs.contains_key(&id) {
                    return Err(message(404, format!("Application {id} not found in tasks queue.")));
                }
                self.clear_backoff(&id);
                Ok(Answer::new(204, Body::Empty))
            }
        }
    }

    fn create_app(
        &mut self,
        now: &mut Now<'_>,
        app: Map<String, Value>,
        force: bool,
        client: &Client,
    ) -> Result<Answer, Answer> {
        let mut draft = self.draft(now);
        let id = canonical(app.get("id").and_then(Value::as_str).unwrap_or_default(), "/");
        if self.app(&id).is_some() || !app.get("id").is_some_and(Value::is_string) {
            // what is wrong with the definition is said before that there is one already
            crate::definitions::readable(app)?;
            return Err(message(409, format!("An app with id [{id}] already exists.")));
        }
        self.replaced(&id, app, &mut draft)?;
        let body = draft.changes.apps.get(&id).cloned().flatten();
        self.say_post(now, client, &draft);
        let deployment = self.deploy(now, parent(&id), draft, force)?;
        let mut body = body.map_or_else(|| json!({}), |app| (*app).clone());
        for count in ["tasksStaged", "tasksRunning", "tasksHealthy", "tasksUnhealthy"] {
            body[count] = 0.into();
        }
        body["deployments"] = json!([{ "id": deployment }]);
        Ok(with_deployment(Answer::json(201, body.to_string()), &deployment, Some(format!("/v2/apps{id}"))))
    }

    fn update_apps(
        &mut self,
        now: &mut Now<'_>,
        updates: Vec<AppUpdate>,
        force: bool,
        create: bool,
        single: bool,
        client: &Client,
    ) -> Result<Answer, Answer> {
        let one = updates.first().filter(|_| single).map(|update| update.id.clone());
        let made = one.as_ref().filter(|id| self.app(id).is_none()).map(|id| format!("/v2/apps{id}"));
        let mut draft = self.draft(now);
        let mut faults = Faults::default();
        for (i, update) in updates.iter().enumerate() {
            if !create && self.app(&update.id).is_none() {
                return Err(no_app(&update.id));
            }
            let at = if single { String::new() } else { format!("({i})") };
            faults.note(&at, self.updated(update, force, &mut draft))?;
        }
        faults.into_answer()?;
        self.say_post(now, client, &draft);
        self.deployed(now, one.as_deref().map_or("/", parent), draft, force, made)
    }

    /// Each version is later than all before it, whatever the clock does.
    pub(crate) fn draft(&mut self, now: &Now<'_>) -> Draft {
        self.last_version = now.time.as_millis().max(self.last_version + 1);
        Draft::new(&when(self.last_version))
    }

    /// Everybody hears which definitions a client has sent.
    fn say_post(&mut self, now: &Now<'_>, client: &Client, draft: &Draft) {
        // what waited was told of when it came
        if !self.heard("api_post_event") || self.line.lets_in() {
            return;
        }
        for app in draft.changes.apps.values().flatten() {
            let fields = json!({ "clientIp": client.ip, "uri": client.uri, "appDefinition": app });
            self.emit(now.time, "api_post_event", fields);
        }
    }

    /// Takes a change and answers with its deployment; `made` is where a new thing is.
    fn deployed(
        &mut self,
        now: &mut Now<'_>,
        at: &str,
        draft: Draft,
        force: bool,
        made: Option<String>,
    ) -> Result<Answer, Answer> {
        let version = draft.version.clone();
        let deployment = self.deploy(now, at, draft, force)?;
        let body = json!({ "version": version, "deploymentId": deployment });
        let status = if made.is_some() { 201 } else { 200 };
        Ok(with_deployment(Answer::json(status, body.to_string()), &deployment, made))
    }

    fn cancel(&mut self, now: &mut Now<'_>, id: &str, force: bool) -> Result<Answer, Answer> {
        if self.leave_line(now.time, id) {
            return Ok(Answer::accepted());
        }
        if !self.deployments.contains_key(id) {
            return Err(message(404, format!("DeploymentPlan {id} does not exist")));
        }
        if force {
            self.abandon(now.time, id, "cancelled", CANCELLED);
            return Ok(Answer::accepted());
        }
        let draft = self.revert(now, id, CANCELLED)?;
        self.deployed(now, "/", draft, true, None)
    }

    /// What undoes a deployment: what it found, and what others have changed since.
    pub(crate) fn revert(&mut self, now: &Now<'_>, id: &str, reason: &str) -> Result<Draft, Answer> {
        let gone = || message(404, format!("DeploymentPlan {id} does not exist"));
        let deployment = self.deployments.get(id).ok_or_else(gone)?;
        let (original, groups) = (deployment.original.clone(), deployment.groups.clone());
        let mut draft = self.draft(now);
        draft.breaks.insert(id.to_owned());
        draft.undoes = Some((id.to_owned(), reason.to_owned()));
        for (app, was) in original {
            let Some(was) = was else {
                draft.changes.apps.insert(app, None);
                continue;
            };
            // its old tasks are good ones: upstream replaces them too (marathon issue 4046)
            let config = crate::apps::spec(&was).config_version;
            let fields = was.as_object().cloned().unwrap_or_default();
            self.put_as(&app, fields, Some(config), &mut draft)?;
        }
        self.revert_groups(&groups, &mut draft);
        // apps that came since have what their groups say then
        self.pass_on(&mut draft)?;
        Ok(draft)
    }
}

pub(crate) fn refusal(refused: Refused) -> Answer {
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

fn with_deployment(mut answer: Answer, deployment: &str, made: Option<String>) -> Answer {
    answer.headers.push(("Marathon-Deployment-Id", deployment.to_owned()));
    answer.headers.extend(made.map(|at| ("Location", at)));
    answer
}

/// The current definition of what was just put, or what is there.
fn definition(of: &Orchestrator, id: &str) -> Option<Arc<App>> {
    of.apps.get(id).map(|state| state.app.clone())
}
