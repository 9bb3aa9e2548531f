//! The older endpoints that change something: weights, quota, maintenance, reservations, volumes, teardown. They become
//! the same inputs as the calls of the operator API.
//!
//! Texts: apache/mesos@c1b42f79:src/master/{http,quota_handler,weights_handler,maintenance}.cpp.

use super::{
    operator::{refused, weights},
    resources,
};
use crate::{
    Arrived, Perform, Routed,
    answer::{json_text, parameter, wrong_method},
};
use api::json::{FromJson, ToJson as _, Writer};
use http::Method;
use master::{Input, Master, OperatorCall};
use model::mesos::{MachineId, WeightInfo, maintenance::Schedule, quota::QuotaRequest};
use serde_json::Value;

type To = Routed<Input, Perform>;

/// Endpoints of this file.
pub(super) const NAMES: [&str; 11] = [
    "reserve",
    "unreserve",
    "create-volumes",
    "destroy-volumes",
    "teardown",
    "weights",
    "quota",
    "maintenance/schedule",
    "maintenance/status",
    "machine/down",
    "machine/up",
];

/// A request of one of `NAMES`; `rest` is what follows the name in its path.
pub(super) fn route(arrived: &Arrived, name: &str, rest: &str, master: &Master) -> To {
    let request = &arrived.request;
    let query = request.uri().query();
    let step = |call| Routed::Step(Input::Operator { request: arrived.id, call });
    let said = |text: String| Routed::Respond(json_text(text, query));
    let allowed: &[&str] = match name {
        "weights" => &["GET", "PUT"],
        "quota" => &["GET", "POST", "DELETE"],
        "maintenance/schedule" => &["GET", "POST"],
        "maintenance/status" => &["GET"],
        _ => &["POST"],
    };
    if !allowed.contains(&request.method().as_str()) {
        return Routed::Respond(wrong_method(allowed, request.method()));
    }
    let get = request.method() == Method::GET;
    let body = String::from_utf8_lossy(request.body()).into_owned();
    match name {
        "weights" if get => said(weights_text(master)),
        "weights" => match list::<WeightInfo>(&body) {
            Ok(infos) => step(OperatorCall::UpdateWeights(infos)),
            Err(why) => refused(format!("Failed to parse update weights request JSON '{body}': {why}")),
        },
        "quota" if get => said(master.quota_status().to_json()),
        "quota" if request.method() == Method::DELETE => {
            let path = request.uri().path();
            let path = if path.starts_with("/master/") { path.to_owned() } else { format!("/master{path}") };
            if rest.is_empty() {
                let tokens = path.split('/').filter(|part| !part.is_empty()).count();
                return refused(format!(
                    "Failed to parse remove quota request for path '{path}': expected 3 tokens, found {tokens} tokens"
                ));
            }
            step(OperatorCall::RemoveQuota { role: rest.to_owned(), path: Some(path) })
        }
        "quota" => match one::<QuotaRequest>(&body) {
            Ok(asked) => step(OperatorCall::SetQuota(asked)),
            Err(Wrong::Json(why)) => {
                refused(format!("Failed to parse set quota request JSON '{body}': {why}"))
            }
            Err(Wrong::Shape(why)) => {
                refused(format!("Failed to validate set quota request JSON '{body}': {why}"))
            }
        },
        "maintenance/schedule" if get => said(master.policy().schedule.to_json()),
        "maintenance/schedule" => match one::<Schedule>(&body) {
            Ok(schedule) => step(OperatorCall::UpdateSchedule(schedule)),
            Err(Wrong::Json(why)) => refused(why),
            Err(Wrong::Shape(why)) => refused(format!("Failed to convert JSON into Schedule: {why}")),
        },
        "maintenance/status" => said(master.maintenance_status().to_json()),
        "machine/down" | "machine/up" => match list::<MachineId>(&body) {
            Ok(machines) if name == "machine/down" => step(OperatorCall::StartMaintenance(machines)),
            Ok(machines) => step(OperatorCall::StopMaintenance(machines)),
            Err(why) => refused(why),
        },
        "reserve" | "unreserve" | "create-volumes" | "destroy-volumes" => {
            match resources::of_form(name, body.trim()) {
                Ok((agent_id, operation)) => Routed::Step(Input::Operation {
                    request: arrived.id,
                    agent_id,
                    operation: Box::new(operation),
                    principal: None,
                }),
                Err(why) => refused(why),
            }
        }
        _ => match parameter(Some(body.trim()), "frameworkId") {
            Some(framework_id) => Routed::Step(Input::Teardown { request: arrived.id, framework_id }),
            None => refused("Missing 'frameworkId' query parameter in the request body"),
        },
    }
}

fn weights_text(master: &Master) -> String {
    let mut w = Writer::default();
    w.list();
    for info in weights(master) {
        w.item();
        w.message(&info);
    }
    w.end();
    w.finish()
}

/// What is wrong with a body: it is no JSON, or other JSON than was expected.
enum Wrong {
    Json(String),
    Shape(String),
}

fn one<T: FromJson>(body: &str) -> Result<T, Wrong> {
    let value = api::call::parse(body.as_bytes()).map_err(Wrong::Json)?;
    if !value.is_object() {
        return Err(Wrong::Json("Unexpected JSON type parsed".to_owned()));
    }
    T::from_json(&value).map_err(Wrong::Shape)
}

fn list<T: FromJson>(body: &str) -> Result<Vec<T>, String> {
    let value = api::call::parse(body.as_bytes())?;
    let Value::Array(items) = value else { return Err("Unexpected JSON type parsed".to_owned()) };
    items.iter().map(T::from_json).collect()
}
