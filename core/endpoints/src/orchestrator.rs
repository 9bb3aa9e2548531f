//! The orchestrator's HTTP surface: Marathon's v2 API. Reads render from the machine, changes become commands.
//!
//! Routes, codes and shapes: mesosphere/marathon@90619da70:src/main/scala/mesosphere/marathon/api.

mod apps;
mod groups;
mod how;
mod leader;
pub mod lists;
mod loggers;
mod plain;
mod pods;
mod reads;
mod selector;

use crate::{
    Arrived, Routed,
    answer::{decode_path, parameter, parameters},
    pages, render,
};
pub use leader::{Abdication, Refusal, render_abdication};
pub use loggers::{Loggers, render_loggers};
pub use plain::{plain, wants_plain};

use api::marathon;
use base::Time;
use bytes::Bytes;
use http::{Method, Response, header};
use model::request::{Answer, Codec};
use orchestrator::{Client, Command, Input, Orchestrator, ServerEvent};
use serde_json::{Value, json};
use std::ops::Deref;

/// What the surface says of itself.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `host:port` of this orchestrator.
    pub leader: String,
    /// The flags as given, for `/v2/info`.
    pub flags: std::collections::BTreeMap<String, String>,
}

/// What the shell does for a request of an orchestrator. Each has its own `render_…` for what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// How much is logged.
    Loggers(Loggers),
    /// The leader steps down.
    Abdicate(Abdication),
}

/// A refusal or a read, or the input that the machine decides.
pub(crate) type Outcome = Result<Input, Response<Bytes>>;

pub(crate) struct Call<'a> {
    pub arrived: &'a Arrived,
    pub method: &'a Method,
    pub head: bool,
    pub query: Option<&'a str>,
    /// Only to be looked at where that is needed: a look waits for the steps under way.
    pub machine: &'a dyn Deref<Target = Orchestrator>,
    pub who: &'a Identity,
    pub now: Time,
}

impl Call<'_> {
    pub(crate) fn body(&self) -> &[u8] {
        self.arrived.request.body()
    }
    /// `?name=true`, or the default.
    pub(crate) fn flag(&self, name: &str, default: bool) -> bool {
        parameter(self.query, name).map_or(default, |v| v.eq_ignore_ascii_case("true"))
    }
    pub(crate) fn force(&self) -> bool {
        self.flag("force", false)
    }
    pub(crate) fn command(&self, command: Command) -> Outcome {
        let client = Client {
            ip: self.arrived.peer.map_or(String::new(), |p| p.ip().to_string()),
            uri: self.arrived.request.uri().path().to_owned(),
        };
        let how = how::read(self)?;
        Ok(Input::Command { request: self.arrived.id, command: Box::new(command), how, client })
    }
}

/// Routes a request.
pub fn route(arrived: &Arrived, machine: &Orchestrator, who: &Identity, now: Time) -> Routed<Input, Asked> {
    route_late(arrived, &machine, who, now)
}

/// The same; what gives the machine is used for reads, and for few of the changes.
pub fn route_late(
    arrived: &Arrived,
    machine: &dyn Deref<Target = Orchestrator>,
    who: &Identity,
    now: Time,
) -> Routed<Input, Asked> {
    let request = &arrived.request;
    if pages::asked(request, "/") {
        return Routed::Respond(finish(to_page(), who));
    }
    if pages::asked(request, "/ui/") || pages::asked(request, "/ui") {
        let read = |path: &str| pages::json_of(route_late(&pages::inner(arrived, path), machine, who, now));
        return Routed::Respond(finish(pages::orchestrator(&read), who));
    }
    // HEAD is answered as GET; the server leaves the body out
    let head = request.method() == Method::HEAD;
    let method = if head { &Method::GET } else { request.method() };
    let call = Call { arrived, method, head, query: request.uri().query(), machine, who, now };
    let path = request.uri().path().trim_end_matches('/');
    let leaves = path == "/v2/leader" && *method == Method::DELETE;
    if path == "/logging" || leaves {
        return match wrong_media(&call) {
            Some(refusal) => Routed::Respond(finish(refusal, who)),
            None if leaves => leader::route(&call),
            None => loggers::route(&call),
        };
    }
    match dispatch(&call) {
        Ok(input) => Routed::Step(input),
        Err(response) => Routed::Respond(finish(response, who)),
    }
}

/// Headers that every answer of the leader has.
pub fn finish<B>(mut response: Response<B>, who: &Identity) -> Response<B> {
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

fn to_page() -> Response<Bytes> {
    let mut answer = Answer::new(302, model::request::Body::Empty);
    answer.headers.push(("location", "/ui/".to_owned()));
    render(answer)
}

fn dispatch(call: &Call<'_>) -> Outcome {
    let path = decode_path(call.arrived.request.uri().path());
    let path = path.trim_end_matches('/');
    if let Some(refusal) = wrong_media(call) {
        return Err(refusal);
    }
    for (root, routes) in ROOTS {
        let rest = path.strip_prefix(root).filter(|rest| {
            rest.is_empty() || rest.starts_with('/') || (*root == "/v2/pods" && rest.starts_with("::"))
        });
        if let Some(rest) = rest {
            // clients put an id with its slash behind ours: `/v2/apps//prod/db`
            return routes(call, &rest.replace("//", "/"));
        }
    }
    let (allowed, answer): (Method, fn(&Call<'_>) -> Outcome) = match path {
        "" => (Method::GET, |_| Err(to_page())),
        "/ping" => (Method::GET, |call| Err(ping(call))),
        "/metrics" => (Method::GET, |call| Err(json_answer(&reads::metrics(call)))),
        "/metrics/prometheus" => (Method::GET, |call| Err(reads::prometheus(call))),
        "/config" => (Method::GET, |call| Err(json_answer(&json!(call.who.flags)))),
        "/v2/info" => (Method::GET, |call| Err(json_answer(&reads::info(call)))),
        "/v2/leader" => (Method::GET, |call| Err(json_answer(&json!({ "leader": call.who.leader })))),
        "/v2/plugins" => (Method::GET, |_| Err(json_answer(&json!({ "plugins": [] })))),
        "/v2/tasks" => (Method::GET, |call| Err(reads::tasks(call))),
        "/v2/tasks/delete" => (Method::POST, apps::delete_tasks),
        // what Marathon does not keep: those that failed or were cancelled
        "/v2/deployments" if call.flag("ended", false) => {
            (Method::GET, |call| Err(json_answer(&call.machine.ended_info())))
        }
        "/v2/deployments" => (Method::GET, |call| Err(json_text(call.machine.deployments_text()))),
        "/v2/queue" => (Method::GET, |call| Err(json_answer(&reads::queue(call)))),
        "/v2/events" => (Method::GET, subscribe),
        _ => return below(call, path),
    };
    if call.method == allowed { answer(call) } else { Err(wrong_method()) }
}

fn wrong_media(call: &Call<'_>) -> Option<Response<Bytes>> {
    let bodied = [Method::POST, Method::PUT, Method::PATCH].contains(call.method) && !call.body().is_empty();
    let media = call.arrived.request.headers().get(header::CONTENT_TYPE);
    let media = media.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let json = media.to_ascii_lowercase().starts_with("application/json");
    (bodied && !json).then(|| message(415, "Unsupported Media Type"))
}

type Routes = fn(&Call<'_>, &str) -> Outcome;
const ROOTS: &[(&str, Routes)] =
    &[("/v2/apps", apps::route), ("/v2/groups", groups::route), ("/v2/pods", pods::route)];

/// What has an id in its path.
fn below(call: &Call<'_>, path: &str) -> Outcome {
    let command = if let Some(rest) = path.strip_prefix("/v2/deployments/") {
        // Marathon only deletes here; what we add is told apart by its verb
        let id = rest.strip_suffix("/resume").unwrap_or(rest);
        match *call.method {
            Method::POST if id != rest => {
                return call.command(Command::ResumeDeployment { id: id.to_owned() });
            }
            Method::GET if id == rest => {
                let gone = || message(404, &format!("DeploymentPlan {id} does not exist"));
                return Err(call.machine.deployment_named(id).map_or_else(gone, |d| json_answer(&d)));
            }
            _ => {}
        }
        Command::CancelDeployment { id: id.to_owned(), force: call.force() }
    } else if let Some(id) = path.strip_prefix("/v2/queue/").and_then(|rest| rest.strip_suffix("/delay")) {
        Command::ResetDelay { id: marathon::canonical(id, "/") }
    } else if let Some(rest) = path.strip_prefix("/v2/plugins/") {
        let id = rest.split('/').next().unwrap_or_default();
        return Err(message(404, &format!("No plugin with id {id}: there are none")));
    } else {
        return Err(message(404, "URI not found"));
    };
    if call.method == Method::DELETE { call.command(command) } else { Err(wrong_method()) }
}

/// What is wrong with an id in a path.
pub(crate) fn fault_of(id: &str) -> Option<Response<Bytes>> {
    let fault = marathon::app_id(id)?;
    Some(refuse(marathon::not_valid(&[marathon::Violation::new("/id", fault)])))
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
    if call.head {
        let mut answer = Answer::new(200, model::request::Body::Empty);
        answer.headers.push(("content-type", "text/event-stream".to_owned()));
        return Err(render(answer));
    }
    Ok(Input::Subscribe {
        request: call.arrived.id,
        event_types: parameters(call.query, "event_type"),
        remote: call.arrived.peer.map_or(String::new(), |p| p.to_string()),
        after: call
            .arrived
            .request
            .headers()
            .get("last-event-id")
            .and_then(|id| id.to_str().ok())
            .map(str::to_owned),
    })
}

/// One event as a frame of server-sent events.
pub fn frame(event: &ServerEvent, _codec: Codec) -> Bytes {
    let id = event.id.as_ref().map_or_else(String::new, |id| format!("id: {id}\n"));
    format!("event: {}\ndata: {}\n{id}\n", event.kind, event.data).into()
}

/// The last event of a client that is cut since it does not read. It has no id: the client comes back with that of the last
/// event that it heard.
pub fn last_words(why: &str, now: Time) -> Bytes {
    let data = json!({
        "eventType": "event_stream_cut", "timestamp": orchestrator::when(now.as_millis()),
        "reason": format!("this client does not read its events: {why}"),
    });
    frame(&ServerEvent { kind: "event_stream_cut".into(), data: data.to_string(), id: None }, Codec::Json)
}

/// The media type of `/v2/events`.
pub fn media_type(_codec: Codec) -> &'static str {
    "text/event-stream"
}

pub(crate) fn json_answer(value: &Value) -> Response<Bytes> {
    render(Answer::json(200, value.to_string()))
}

/// The same, written already.
pub(crate) fn json_text(text: Vec<u8>) -> Response<Bytes> {
    render(Answer::json(200, String::new())).map(|_| Bytes::from(text))
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
