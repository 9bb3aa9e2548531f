//! The orchestrator's HTTP surface: Marathon's v2 API. Reads render from the machine, changes become commands.
//!
//! Routes, codes and shapes: mesosphere/marathon@90619da70:src/main/scala/mesosphere/marathon/api.

mod apps;
mod reads;

use crate::{Arrived, Routed, answer::parameter, render};
use api::marathon;
use base::Time;
use bytes::Bytes;
use http::{Method, Response, header};
use model::request::{Answer, Codec};
use orchestrator::{Client, Command, Input, Orchestrator, ServerEvent};
use serde_json::{Value, json};

/// What the surface says of itself.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `host:port` of this orchestrator.
    pub leader: String,
    /// The flags as given, for `/v2/info`.
    pub flags: std::collections::BTreeMap<String, String>,
}

/// A refusal or a read, or the input that the machine decides.
pub(crate) type Outcome = Result<Input, Response<Bytes>>;

pub(crate) struct Call<'a> {
    pub arrived: &'a Arrived,
    pub method: &'a Method,
    pub query: Option<&'a str>,
    pub machine: &'a Orchestrator,
    pub who: &'a Identity,
    pub now: Time,
}

impl Call<'_> {
    /// `?name=true`, or the default.
    pub(crate) fn flag(&self, name: &str, default: bool) -> bool {
        parameter(self.query, name).map_or(default, |v| v.eq_ignore_ascii_case("true") || v.is_empty())
    }
    pub(crate) fn force(&self) -> bool {
        self.flag("force", false)
    }
    pub(crate) fn command(&self, command: Command) -> Outcome {
        let client = Client {
            ip: self.arrived.peer.map_or(String::new(), |p| p.ip().to_string()),
            uri: self.arrived.request.uri().path().to_owned(),
        };
        Ok(Input::Command { request: self.arrived.id, command: Box::new(command), client })
    }
}

/// Routes a request.
pub fn route(arrived: &Arrived, machine: &Orchestrator, who: &Identity, now: Time) -> Routed<Input> {
    let request = &arrived.request;
    let call = Call { arrived, method: request.method(), query: request.uri().query(), machine, who, now };
    match dispatch(&call) {
        Ok(input) => Routed::Step(input),
        Err(response) => Routed::Respond(finish(response, who)),
    }
}

/// Headers that every answer of the leader has.
pub fn finish(mut response: Response<Bytes>, who: &Identity) -> Response<Bytes> {
    let pairs = [
        ("x-marathon-leader", format!("http://{}", who.leader)),
        ("cache-control", "no-cache, no-store, must-revalidate".to_owned()),
        ("pragma", "no-cache".to_owned()),
        ("expires", "0".to_owned()),
        ("x-frame-options", "DENY".to_owned()),
        ("x-xss-protection", "1; mode=block".to_owned()),
    ];
    for (name, value) in pairs {
        if let Ok(value) = http::HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn dispatch(call: &Call<'_>) -> Outcome {
    let path = call.arrived.request.uri().path().trim_end_matches('/');
    let get = call.method == Method::GET || call.method == Method::HEAD;
    if let Some(rest) = path.strip_prefix("/v2/apps") {
        // Clients put an id with its slash behind ours: `/v2/apps//prod/db`.
        return apps::route(call, &rest.replace("//", "/"));
    }
    match path {
        "/ping" if get => Err(ping(call)),
        "/metrics" if get => Err(json_answer(&reads::metrics(call))),
        "/metrics/prometheus" if get => Err(reads::prometheus(call)),
        "/v2/info" if get => Err(json_answer(&reads::info(call))),
        "/v2/leader" if get => Err(json_answer(&json!({ "leader": call.who.leader }))),
        "/v2/tasks" if get => Err(json_answer(&reads::tasks(call))),
        "/v2/tasks/delete" if call.method == Method::POST => apps::delete_tasks(call),
        "/v2/deployments" if get => Err(json_answer(&call.machine.deployments_info())),
        "/v2/queue" if get => Err(json_answer(&reads::queue(call))),
        "/v2/groups" if get => Err(json_answer(&reads::root_group(call))),
        "/v2/groups" if call.method == Method::DELETE => {
            call.command(Command::DeleteAll { force: call.force() })
        }
        "/v2/events" if get => subscribe(call),
        "/ping"
        | "/metrics"
        | "/metrics/prometheus"
        | "/v2/info"
        | "/v2/leader"
        | "/v2/tasks"
        | "/v2/tasks/delete"
        | "/v2/deployments"
        | "/v2/queue"
        | "/v2/groups"
        | "/v2/events" => Err(wrong_method()),
        _ => {
            if let Some(id) = path.strip_prefix("/v2/deployments/") {
                return match *call.method {
                    Method::DELETE => {
                        call.command(Command::CancelDeployment { id: id.to_owned(), force: call.force() })
                    }
                    _ => Err(wrong_method()),
                };
            }
            if let Some(id) = path.strip_prefix("/v2/queue/").and_then(|r| r.strip_suffix("/delay")) {
                return match *call.method {
                    Method::DELETE => {
                        call.command(Command::ResetDelay { id: format!("/{}", id.trim_start_matches('/')) })
                    }
                    _ => Err(wrong_method()),
                };
            }
            Err(message(404, "URI not found"))
        }
    }
}

fn ping(call: &Call<'_>) -> Response<Bytes> {
    let accept =
        call.arrived.request.headers().get(header::ACCEPT).and_then(|a| a.to_str().ok()).unwrap_or("*/*");
    if accept.contains("*/*") || accept.contains("text/") {
        render(Answer::text(200, "pong"))
    } else if accept.contains("application/json") {
        render(Answer::json(200, "\"pong\""))
    } else {
        render(Answer::new(204, model::request::Body::Empty))
    }
}

fn subscribe(call: &Call<'_>) -> Outcome {
    let types =
        call.query.into_iter().flat_map(|q| q.split('&')).filter_map(|p| p.strip_prefix("event_type="));
    Ok(Input::Subscribe {
        request: call.arrived.id,
        event_types: types.map(str::to_owned).collect(),
        remote: call.arrived.peer.map_or(String::new(), |p| p.to_string()),
    })
}

/// One event as a frame of server-sent events.
pub fn frame(event: &ServerEvent, _codec: Codec) -> Bytes {
    format!("event: {}\ndata: {}\n\n", event.kind, event.data).into()
}

/// The media type of `/v2/events`.
pub fn media_type(_codec: Codec) -> &'static str {
    "text/event-stream"
}

pub(crate) fn json_answer(value: &Value) -> Response<Bytes> {
    render(Answer::json(200, value.to_string()))
}

pub(crate) fn message(status: u16, text: &str) -> Response<Bytes> {
    render(Answer::json(status, marathon::message(text)))
}

pub(crate) fn wrong_method() -> Response<Bytes> {
    message(405, "Method Not Allowed")
}

/// A refusal of `api::marathon` as an answer.
pub(crate) fn refuse((status, body): (u16, String)) -> Response<Bytes> {
    render(Answer::json(status, body))
}
