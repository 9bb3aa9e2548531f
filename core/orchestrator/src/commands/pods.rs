//! Changes of pods that clients ask for.

use super::{definition, message, with_deployment};
use crate::{
    Orchestrator,
    definitions::{Draft, not_valid, refuse},
    input::Client,
};
use api::marathon::{self, INHERITED, canonical, parent};
use base::Now;
use model::request::{Answer, Body};
use serde_json::{Map, Value, json};

fn no_pod(id: &str) -> Answer {
    message(404, format!("Pod '{id}' does not exist"))
}

fn id_of(pod: &Map<String, Value>) -> String {
    canonical(pod.get("id").and_then(Value::as_str).unwrap_or_default(), "/")
}

impl Orchestrator {
    /// A pod in its normal form, with what its groups say; as they will be after this draft.
    pub(crate) fn read_pod(
        &self,
        id: &str,
        mut pod: Map<String, Value>,
        draft: &Draft,
    ) -> Result<Map<String, Value>, Answer> {
        marathon::own_pod(&mut pod);
        marathon::inherit_pod(&mut pod, &self.defaults_for(id, draft));
        let inherited = pod.remove(INHERITED);
        let pod = marathon::pod(pod).map_err(refuse)?;
        let mut pod = marathon::complete_pod(pod, &self.context(id, None)).map_err(not_valid)?;
        pod.extend(inherited.map(|inherited| (INHERITED.to_owned(), inherited)));
        Ok(pod)
    }

    pub(super) fn create_pod(
        &mut self,
        now: &mut Now<'_>,
        pod: Map<String, Value>,
        force: bool,
        client: &Client,
    ) -> Result<Answer, Answer> {
        let id = id_of(&pod);
        let pod = self.read_pod(&id, pod, &Draft::default())?;
        if self.pod(&id).is_some() {
            return Err(message(409, format!("A pod with id [{id}] already exists.")));
        }
        let at = format!("/v2/pods{id}");
        self.put_pod(now, &id, pod, force, Some(at), client, "pod_created_event")
    }

    pub(super) fn update_pod(
        &mut self,
        now: &mut Now<'_>,
        id: &str,
        pod: Map<String, Value>,
        force: bool,
        client: &Client,
    ) -> Result<Answer, Answer> {
        let said = pod.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let own = id_of(&pod);
        let pod = self.read_pod(id, pod, &Draft::default())?;
        if own != id {
            return Err(message(400, format!("'{id}' does not match definition's id ('{said}')")));
        }
        // one that is not there is created (PodManagerImpl.update)
        self.put_pod(now, id, pod, force, None, client, "pod_updated_event")
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one call site for each verb; a struct would only rename them"
    )]
    fn put_pod(
        &mut self,
        now: &mut Now<'_>,
        id: &str,
        pod: Map<String, Value>,
        force: bool,
        made: Option<String>,
        client: &Client,
        event: &str,
    ) -> Result<Answer, Answer> {
        let mut draft = self.draft(now);
        self.put(id, pod, &mut draft)?;
        let deployment = self.deploy(now, parent(id), draft, force)?;
        self.emit(now.time, event, json!({ "clientIp": client.ip, "uri": client.uri }));
        let body = definition(self, id).map_or_else(String::new, |pod| shown(&pod).to_string());
        let status = if made.is_some() { 201 } else { 200 };
        Ok(with_deployment(Answer::json(status, body), &deployment, made))
    }

    pub(super) fn delete_pod(
        &mut self,
        now: &mut Now<'_>,
        id: &str,
        force: bool,
        client: &Client,
    ) -> Result<Answer, Answer> {
        self.pod(id).ok_or_else(|| no_pod(id))?;
        let mut draft = self.draft(now);
        draft.changes.apps.insert(id.to_owned(), None);
        let deployment = self.deploy(now, parent(id), draft, force)?;
        self.emit(now.time, "pod_deleted_event", json!({ "clientIp": client.ip, "uri": client.uri }));
        let at = format!("/v2/deployments/{deployment}");
        Ok(with_deployment(Answer::new(202, Body::Empty), &deployment, Some(at)))
    }

    pub(super) fn kill_instances(
        &mut self,
        now: &mut Now<'_>,
        pod: &str,
        ids: &[String],
        wipe: bool,
        single: bool,
    ) -> Result<Answer, Answer> {
        self.pod(pod).ok_or_else(|| no_pod(pod))?;
        let found = ids.iter().filter_map(|id| self.instances.get(id)).filter(|i| i.app == pod);
        let found: Vec<_> = found.cloned().collect();
        if single && found.is_empty() {
            let id = ids.first().map_or("", String::as_str);
            return Err(message(404, format!("Task '{id}' does not exist")));
        }
        let said: Vec<_> = found.iter().map(|instance| self.instance_info(instance)).collect();
        for instance in &found {
            match wipe {
                true => self.wipe(now.time, &instance.id),
                false => self.kill(now.time, &instance.id),
            }
        }
        let body = match said.first() {
            Some(one) if single => one.to_string(),
            _ => json!(said).to_string(),
        };
        Ok(Answer::json(200, body))
    }
}

/// A pod as clients see it: without what only apps show.
pub fn shown(pod: &Value) -> Value {
    let mut pod = pod.clone();
    if let Some(fields) = pod.as_object_mut() {
        fields.remove("versionInfo");
    }
    pod
}
