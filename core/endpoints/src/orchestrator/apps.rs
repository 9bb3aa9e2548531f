//! `/v2/apps` and below: ids with slashes, verbs, bodies. What a change leads to is the machine's.

use super::{Call, Outcome, json_answer, message, reads, refuse, wrong_method};
use crate::answer::parameter;
use api::marathon;
use http::{Method, header};
use orchestrator::{AppUpdate, Command};
use serde_json::{Map, Value, json};

/// `rest` is what follows `/v2/apps`, without a slash at its end.
pub(super) fn route(call: &Call<'_>, rest: &str) -> Outcome {
    let body = &call.arrived.request.body()[..];
    let writes = [Method::POST, Method::PUT, Method::PATCH].contains(call.method);
    if writes && !body.is_empty() {
        let content_type = call.arrived.request.headers().get(header::CONTENT_TYPE);
        let media = content_type.and_then(|v| v.to_str().ok()).unwrap_or_default();
        if !media.starts_with("application/json") {
            return Err(message(415, "Unsupported Media Type"));
        }
    }
    if rest.is_empty() {
        return match *call.method {
            Method::GET | Method::HEAD => reads::list(call),
            Method::POST => {
                let app = marathon::definition(body, None).map_err(refuse)?;
                call.command(Command::CreateApp { app, force: call.force() })
            }
            Method::PUT | Method::PATCH => many(call, body),
            _ => Err(wrong_method()),
        };
    }
    if let Some(group) = rest.strip_suffix("/*") {
        return match *call.method {
            Method::GET => Err(json_answer(&json!({ "*": reads::below(call, group) }))),
            _ => Err(wrong_method()),
        };
    }
    if let Some(id) = rest.strip_suffix("/restart").filter(|id| !id.is_empty()) {
        return match *call.method {
            Method::POST => call.command(Command::RestartApp { id: id.to_owned(), force: call.force() }),
            _ => Err(wrong_method()),
        };
    }
    if let Some(id) = rest.strip_suffix("/versions").filter(|id| !id.is_empty()) {
        return Err(reads::versions(call, id));
    }
    if let Some((id, version)) = rest.split_once("/versions/") {
        return Err(reads::version(call, id, version));
    }
    if let Some(id) = rest.strip_suffix("/tasks").filter(|id| !id.is_empty()) {
        return match *call.method {
            Method::GET => Err(reads::tasks_of(call, id)),
            Method::DELETE => kill_all(call, id),
            _ => Err(wrong_method()),
        };
    }
    if let Some((id, task)) = rest.split_once("/tasks/") {
        return match *call.method {
            Method::DELETE => kill_one(call, id, task),
            _ => Err(wrong_method()),
        };
    }
    one(call, rest, body)
}

fn one(call: &Call<'_>, id: &str, body: &[u8]) -> Outcome {
    if let Some(fault) = marathon::app_id(id) {
        return Err(refuse((
            422,
            json!({ "message": "Object is not valid",
            "details": [{ "path": "/id", "errors": [fault] }] })
            .to_string(),
        )));
    }
    match *call.method {
        Method::GET | Method::HEAD => Err(reads::app(call, id)),
        Method::DELETE => {
            call.command(Command::DeleteApp { id: id.to_owned(), force: call.flag("force", true) })
        }
        Method::PUT | Method::PATCH => {
            let put = call.method == Method::PUT;
            let partial = !put || call.flag("partialUpdate", true);
            let exists = call.machine.app(id).is_some();
            if !put && !exists {
                return Err(no_app(id));
            }
            let fields = marathon::object(body).map_err(refuse)?;
            let update = update(call, id, fields, partial && exists)?;
            call.command(Command::UpdateApps { updates: vec![update], force: call.force(), create: put })
        }
        _ => Err(wrong_method()),
    }
}

fn no_app(id: &str) -> http::Response<bytes::Bytes> {
    message(404, &format!("App '{id}' does not exist"))
}

/// Fields of a change of one app; `{"version":…}` alone means the app as it was then.
fn update(
    call: &Call<'_>,
    id: &str,
    mut fields: Map<String, Value>,
    partial: bool,
) -> Result<AppUpdate, http::Response<bytes::Bytes>> {
    fields.remove("id");
    if let Some(version) = fields.get("version").and_then(Value::as_str).map(str::to_owned)
        && partial
    {
        if fields.len() > 1 {
            return Err(message(422, "The 'version' field may only be combined with the 'id' field."));
        }
        let known = call.machine.app(id).and_then(|a| a.versions.get(&version).cloned());
        let Some(Value::Object(old)) = known.as_deref() else {
            return Err(message(404, &format!("App '{id}' does not exist in version '{version}'")));
        };
        let mut old = old.clone();
        old.remove("version");
        old.remove("versionInfo");
        return Ok(AppUpdate { id: id.to_owned(), fields: old, partial: false });
    }
    fields.remove("version");
    if !partial {
        fields.insert("id".into(), id.into());
        let fields = marathon::read(fields, true).map_err(refuse)?;
        return Ok(AppUpdate { id: id.to_owned(), fields, partial: false });
    }
    let fields = marathon::read(fields, false).map_err(refuse)?;
    // The whole must be valid too: what is not there stays as it is.
    if let Some(Value::Object(current)) = call.machine.app(id).map(|a| &*a.app) {
        let mut whole = current.clone();
        if fields.contains_key("cmd") {
            whole.remove("args");
        }
        if fields.contains_key("args") {
            whole.remove("cmd");
        }
        whole.extend(fields.clone());
        let mut found = Vec::new();
        marathon::violations(&whole, true, &mut found);
        if !found.is_empty() {
            return Err(refuse(marathon::not_valid(&found)));
        }
    }
    Ok(AppUpdate { id: id.to_owned(), fields, partial: true })
}

fn many(call: &Call<'_>, body: &[u8]) -> Outcome {
    let put = call.method == Method::PUT;
    let partial = !put || call.flag("partialUpdate", true);
    let mut updates = Vec::new();
    for fields in marathon::objects(body).map_err(refuse)? {
        let Some(id) =
            fields.get("id").and_then(Value::as_str).map(|id| format!("/{}", id.trim_start_matches('/')))
        else {
            return Err(message(422, "App Update must have app id set"));
        };
        let exists = call.machine.app(&id).is_some();
        if !put && !exists {
            return Err(no_app(&id));
        }
        updates.push(update(call, &id, fields, partial && exists)?);
    }
    call.command(Command::UpdateApps { updates, force: call.force(), create: put })
}

fn scale_and_wipe(call: &Call<'_>) -> Result<bool, http::Response<bytes::Bytes>> {
    let scale = call.flag("scale", false);
    if scale && call.flag("wipe", false) {
        return Err(message(400, "You cannot use scale and wipe at the same time."));
    }
    Ok(scale)
}

fn kill_all(call: &Call<'_>, id: &str) -> Outcome {
    let scale = scale_and_wipe(call)?;
    if call.machine.app(id).is_none() {
        return Err(no_app(id));
    }
    let host = parameter(call.query, "host").filter(|h| h != "*");
    let own = call.machine.instances_of(id).filter(|i| host.as_ref().is_none_or(|h| *h == i.host));
    let tasks = own.map(|i| i.task.clone()).collect();
    call.command(Command::KillTasks { tasks, scale, force: call.force(), single: false })
}

fn kill_one(call: &Call<'_>, id: &str, task: &str) -> Outcome {
    let scale = scale_and_wipe(call)?;
    if call.machine.app(id).is_none() {
        return Err(no_app(id));
    }
    if !call.machine.instances_of(id).any(|i| i.task == task) {
        return Err(message(404, &format!("Task '{task}' does not exist")));
    }
    call.command(Command::KillTasks {
        tasks: vec![task.to_owned()],
        scale,
        force: call.force(),
        single: true,
    })
}

/// `POST /v2/tasks/delete`
pub(super) fn delete_tasks(call: &Call<'_>) -> Outcome {
    let scale = scale_and_wipe(call)?;
    let body = marathon::object(call.arrived.request.body()).map_err(refuse)?;
    let wrong =
        |path: &str, error: &str| refuse(marathon::wrong_shape(&[marathon::Violation::new(path, error)]));
    let Some(ids) = body.get("ids") else { return Err(wrong("/ids", "error.path.missing")) };
    let Some(ids) = ids.as_array() else { return Err(wrong("/ids", "error.expected.jsarray")) };
    let mut tasks = Vec::new();
    for (i, id) in ids.iter().enumerate() {
        let Some(id) = id.as_str() else {
            return Err(wrong(&format!("/ids({i})"), "error.expected.jsstring"));
        };
        tasks.push(id.to_owned());
    }
    call.command(Command::KillTasks { tasks, scale, force: call.force(), single: false })
}
