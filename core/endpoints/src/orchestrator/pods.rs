//! `/v2/pods` and below, with its `::` forms, with and without a slash before them.

use super::{Call, Outcome, fault_of, json_answer, message, reads::version_in, refuse, wrong_method};
use api::marathon;
use bytes::Bytes;
use http::{Method, Response};
use orchestrator::{Command, pod_shown};
use serde_json::{Value, json};

/// `rest` is what follows `/v2/pods`, without a slash at its end.
pub(super) fn route(call: &Call<'_>, rest: &str) -> Outcome {
    let get = call.method == Method::GET;
    let (id, form) = match rest.split_once("::") {
        Some((id, form)) => (id.trim_end_matches('/'), Some(form)),
        None => (rest, None),
    };
    if id.is_empty() {
        return match (form, call.method) {
            (Some("status"), &Method::GET) => Err(json_answer(&json!(call.machine.pod_statuses(call.now)))),
            (None, &Method::GET) => {
                let pods: Vec<_> = call.machine.pods().map(|(_, state)| pod_shown(&state.app)).collect();
                Err(json_answer(&json!(pods)))
            }
            (None, &Method::POST) => {
                let pod = marathon::object(call.body()).map_err(refuse)?;
                call.command(Command::CreatePod { pod, force: call.force() })
            }
            _ => Err(wrong_method()),
        };
    }
    if let Some(fault) = fault_of(id) {
        return Err(fault);
    }
    let known = || call.machine.pod(id).ok_or_else(|| no_pod(id));
    match form {
        None => one(call, id),
        Some("status") if get => {
            // a pod that is being deleted has a status until it is gone
            let ending = || call.machine.pod_statuses(call.now).into_iter().find(|status| status["id"] == id);
            let status = call.machine.pod_status(id, call.now).or_else(ending);
            Err(status.map_or_else(|| no_pod(id), |status| json_answer(&status)))
        }
        Some("versions") if get => {
            let versions: Vec<_> = known()?.versions.keys().rev().collect();
            Err(json_answer(&json!(versions)))
        }
        Some(form) if form.starts_with("versions/") && get => {
            let (pod, version) = (known()?, version_in(form.trim_start_matches("versions/"))?);
            let pod = pod.versions.get(&version).ok_or_else(|| no_pod(id))?;
            Err(json_answer(&pod_shown(&orchestrator::read_kept(pod))))
        }
        Some("instances") if call.method == Method::DELETE => {
            let body: Value = serde_json::from_slice(call.body())
                .map_err(|error| refuse(marathon::invalid_json(&error.to_string())))?;
            let wrong =
                || refuse(marathon::wrong_shape(&[marathon::Violation::new("/", "error.expected.jsarray")]));
            let list = body.as_array().ok_or_else(wrong)?;
            let ids: Option<Vec<String>> = list.iter().map(|id| id.as_str().map(str::to_owned)).collect();
            let ids = ids.ok_or_else(wrong)?;
            if let Some(bad) = ids.iter().find(|id| !is_instance(id)) {
                return Err(not_an_instance(bad));
            }
            call.command(Command::KillInstances {
                pod: id.to_owned(),
                ids,
                wipe: call.flag("wipe", false),
                single: false,
            })
        }
        Some(form) if form.starts_with("instances/") && call.method == Method::DELETE => {
            let instance = form.trim_start_matches("instances/").to_owned();
            if !is_instance(&instance) {
                return Err(not_an_instance(&instance));
            }
            let wipe = call.flag("wipe", false);
            call.command(Command::KillInstances {
                pod: id.to_owned(),
                ids: vec![instance],
                wipe,
                single: true,
            })
        }
        Some(form) => {
            let known =
                ["status", "versions", "instances"].iter().any(|known| form.split('/').next() == Some(known));
            Err(if known { wrong_method() } else { message(404, "URI not found") })
        }
    }
}

fn one(call: &Call<'_>, id: &str) -> Outcome {
    match *call.method {
        Method::GET => Err(match call.machine.pod(id) {
            Some(state) => json_answer(&pod_shown(&state.app)),
            None => no_pod(id),
        }),
        Method::PUT => {
            let pod = marathon::object(call.body()).map_err(refuse)?;
            call.command(Command::UpdatePod { id: id.to_owned(), pod, force: call.force() })
        }
        Method::DELETE => call.command(Command::DeletePod { id: id.to_owned(), force: call.force() }),
        _ => Err(wrong_method()),
    }
}

fn no_pod(id: &str) -> Response<Bytes> {
    message(404, &format!("Pod '{id}' does not exist"))
}

/// `prod_pod.instance-<uuid>`, or with `marathon-`.
fn is_instance(id: &str) -> bool {
    let Some((app, last)) = id.rsplit_once('.') else { return false };
    let named = last.strip_prefix("instance-").or_else(|| last.strip_prefix("marathon-"));
    !app.is_empty() && named.is_some_and(|name| !name.is_empty())
}

fn not_an_instance(id: &str) -> Response<Bytes> {
    let error = format!("'{id}' is not the id of an instance, such as prod_pod.instance-UUID");
    refuse(marathon::not_valid(&[marathon::Violation::new("/", error)]))
}
