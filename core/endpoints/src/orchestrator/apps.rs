//! `/v2/apps` and below: ids with slashes, verbs, bodies. What a change leads to is the machine's.

use super::{Call, Outcome, fault_of, json_answer, message, reads, refuse, wrong_method};
use crate::answer::parameter;
use api::marathon;
use http::Method;
use orchestrator::{AppUpdate, Command, autoscale::Load};
use serde_json::json;

/// `rest` is what follows `/v2/apps`, without a slash at its end.
pub(super) fn route(call: &Call<'_>, rest: &str) -> Outcome {
    let get = call.method == Method::GET;
    if rest.is_empty() {
        return match *call.method {
            Method::GET => reads::list(call),
            Method::POST => {
                let app = marathon::object(call.body()).map_err(refuse)?;
                call.command(Command::CreateApp { app, force: call.force() })
            }
            Method::PUT | Method::PATCH => many(call),
            _ => Err(wrong_method()),
        };
    }
    if let Some(group) = rest.strip_suffix("/*") {
        return Err(if get {
            json_answer(&json!({ "*": reads::below(call, group) }))
        } else {
            wrong_method()
        });
    }
    // an app may itself be called restart, as far as DELETE goes
    if let Some(id) = rest.strip_suffix("/restart").filter(|id| !id.is_empty() && call.method == Method::POST)
    {
        return call.command(Command::RestartApp { id: id.to_owned(), force: call.force() });
    }
    // what Marathon does not have: others say what is asked of an app
    if let Some(id) = rest.strip_suffix("/load").filter(|id| !id.is_empty() && call.method == Method::POST) {
        return report(call, id);
    }
    if let Some(id) = rest.strip_suffix("/versions").filter(|id| !id.is_empty()) {
        return Err(if get { reads::versions(call, id) } else { wrong_method() });
    }
    if let Some((id, version)) = below(rest, "/versions/") {
        return Err(if get { reads::version(call, id, version) } else { wrong_method() });
    }
    if let Some(id) = rest.strip_suffix("/tasks").filter(|id| !id.is_empty()) {
        return match *call.method {
            Method::GET => Err(reads::tasks_of(call, id)),
            Method::DELETE => kill_all(call, id),
            _ => Err(wrong_method()),
        };
    }
    if let Some((id, task)) = below(rest, "/tasks/") {
        return match *call.method {
            Method::DELETE => kill_one(call, id, task),
            _ => Err(wrong_method()),
        };
    }
    one(call, rest)
}

/// The id of an app and what is named below it. Groups may be called as these are: `/tasks/web` is an app.
fn below<'p>(rest: &'p str, name: &str) -> Option<(&'p str, &'p str)> {
    rest.rsplit_once(name).filter(|(id, named)| !id.is_empty() && !named.contains('/'))
}

fn one(call: &Call<'_>, id: &str) -> Outcome {
    let put = call.method == Method::PUT;
    match *call.method {
        Method::GET => Err(reads::app(call, id)),
        Method::DELETE => {
            call.command(Command::DeleteApp { id: id.to_owned(), force: call.flag("force", true) })
        }
        Method::PUT | Method::PATCH => {
            if let Some(fault) = fault_of(id) {
                return Err(fault);
            }
            let partial = !put || call.flag("partialUpdate", true);
            let fields = marathon::object(call.body()).map_err(refuse)?;
            let update = AppUpdate { id: id.to_owned(), fields, partial };
            call.command(Command::UpdateApps {
                updates: vec![update],
                force: call.force(),
                create: put,
                single: true,
            })
        }
        _ => Err(wrong_method()),
    }
}

/// `{"cpu": 0.7, "mem": 0.5, "requests": 120}`: shares of an instance's, and requests a second of all.
fn report(call: &Call<'_>, id: &str) -> Outcome {
    let body = marathon::object(call.body()).map_err(refuse)?;
    let mut found = Vec::new();
    let mut number = |name: &str| {
        let value = body.get(name)?;
        let number = value.as_f64().filter(|number| *number >= 0.0);
        if number.is_none() {
            let error = format!("got {value}, expected a number from 0 on");
            found.push(marathon::Violation::new(&format!("/{name}"), error));
        }
        number
    };
    let load = Load { cpu: number("cpu"), mem: number("mem"), requests: number("requests") };
    if load == Load::default() && found.is_empty() {
        found.push(marathon::Violation::new("/", "at least one of cpu, mem and requests must be defined"));
    }
    if !found.is_empty() {
        return Err(refuse(marathon::not_valid(&found)));
    }
    call.command(Command::ReportLoad { id: id.to_owned(), load })
}

fn no_app(id: &str) -> http::Response<bytes::Bytes> {
    message(404, &format!("App '{id}' does not exist"))
}

fn many(call: &Call<'_>) -> Outcome {
    let put = call.method == Method::PUT;
    let partial = !put || call.flag("partialUpdate", true);
    let (mut updates, mut wrong) = (Vec::new(), Vec::new());
    for (i, fields) in marathon::objects(call.body()).map_err(refuse)?.into_iter().enumerate() {
        let said = fields.get("id").filter(|id| !id.is_null() && *id != "");
        let Some(id) = said else { return Err(message(422, "App Update must have app id set")) };
        let mut fault = |error: String| wrong.push(marathon::Violation::new(&format!("({i})/id"), error));
        let Some(id) = id.as_str() else {
            fault("error.expected.jsstring".to_owned());
            continue;
        };
        let id = marathon::canonical(id, "/");
        // where it is made, its id is read with the rest of it
        if let Some(error) = marathon::app_id(&id).filter(|_| !put) {
            fault(error);
        }
        updates.push(AppUpdate { id, fields, partial });
    }
    if !wrong.is_empty() {
        return Err(refuse(marathon::wrong_shape(&wrong)));
    }
    call.command(Command::UpdateApps { updates, force: call.force(), create: put, single: false })
}

fn scale_and_wipe(call: &Call<'_>) -> Result<(bool, bool), http::Response<bytes::Bytes>> {
    let (scale, wipe) = (call.flag("scale", false), call.flag("wipe", false));
    if scale && wipe {
        return Err(message(400, "You cannot use scale and wipe at the same time."));
    }
    Ok((scale, wipe))
}

fn kill_all(call: &Call<'_>, id: &str) -> Outcome {
    let (scale, wipe) = scale_and_wipe(call)?;
    if call.machine.app(id).is_none() {
        return Err(no_app(id));
    }
    let host = parameter(call.query, "host").filter(|h| h != "*");
    let own = call.machine.instances_of(id).filter(|i| host.as_ref().is_none_or(|h| *h == i.host));
    let tasks = own.map(|i| i.task.clone()).collect();
    call.command(Command::KillTasks { tasks, scale, wipe, force: call.force(), single: false })
}

fn kill_one(call: &Call<'_>, id: &str, task: &str) -> Outcome {
    let (scale, wipe) = scale_and_wipe(call)?;
    if call.machine.app(id).is_none() {
        return Err(no_app(id));
    }
    if !call.machine.instances_of(id).any(|i| i.task == task) {
        return Err(message(404, &format!("Task '{task}' does not exist")));
    }
    call.command(Command::KillTasks {
        tasks: vec![task.to_owned()],
        scale,
        wipe,
        force: call.force(),
        single: true,
    })
}

/// `POST /v2/tasks/delete`
pub(super) fn delete_tasks(call: &Call<'_>) -> Outcome {
    let (scale, wipe) = scale_and_wipe(call)?;
    let body = marathon::object(call.body()).map_err(refuse)?;
    let wrong =
        |path: &str, error: &str| refuse(marathon::wrong_shape(&[marathon::Violation::new(path, error)]));
    let Some(ids) = body.get("ids") else { return Err(wrong("/ids", "error.path.missing")) };
    let Some(ids) = ids.as_array() else { return Err(wrong("/ids", "error.expected.jsarray")) };
    let mut tasks = Vec::new();
    for (i, id) in ids.iter().enumerate() {
        let Some(id) = id.as_str() else {
            return Err(wrong(&format!("/ids({i})"), "error.expected.jsstring"));
        };
        // `app.uuid` and `app_uuid` are ids of old
        if !id.trim_end_matches(['.', '_']).contains(['.', '_']) {
            let text = format!("Invalid task id '{id}'. [a task id looks like prod_db.instance-UUID._app.1]");
            return Err(message(400, &text));
        }
        tasks.push(id.to_owned());
    }
    call.command(Command::KillTasks { tasks, scale, wipe, force: call.force(), single: false })
}
