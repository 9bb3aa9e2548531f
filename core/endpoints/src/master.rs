//! The master's HTTP surface: which process and endpoint a path means. Scheduler API, operator API, older endpoints.
//!
//! Paths and checks: apache/mesos@c1b42f79:src/master/http.cpp, and recordings of the original.

mod changes;
pub mod documents;
mod messages;
mod metrics;
mod operator;
mod reads;
mod registry;
mod resources;
mod state;

pub use documents::{Artist, Ask};
pub(crate) use metrics::of_tables as numbers_of;
pub(crate) use state::flags;

use documents::What;

use crate::{
    Arrived, Perform, Routed,
    answer::{self, endpoint, json_text, not_found},
    files::{self, Attached, Role},
    logging, nouns, pages, render,
};
use api::{call, recordio};
use bytes::Bytes;
use http::Method;
use master::{Input, Master, Told, VERSION};
use model::{
    mesos::scheduler::{Call, Event, call::Type},
    request::{Answer, Codec},
};

/// Routes a request. `attached` are files that may be read.
pub fn route(arrived: &Arrived, master: &Master, attached: &[Attached]) -> Routed<Input, Perform> {
    if ["/", "/master", "/master/"].iter().any(|path| pages::asked(&arrived.request, path)) {
        return Routed::Perform(Perform::Document(Ask { what: What::Page, jsonp: None }));
    }
    let path = arrived.request.uri().path();
    let query = arrived.request.uri().query();
    let (process, rest) = crate::answer::process_of(path);
    let whole = rest.trim_end_matches('/');
    match process {
        "version" if whole.is_empty() => return Routed::Respond(json_text(nouns::version(VERSION), query)),
        "metrics" | "system" => {
            let name = format!("{process}/{whole}");
            let known = ["metrics/snapshot", "metrics/prometheus", "system/stats.json"];
            if known.contains(&name.as_str()) {
                let values = || metrics::all(master);
                let routed = crate::metrics::route(&name, query, Role::Master, master.started(), values);
                return match routed {
                    Routed::Perform(Perform::Metrics(ask)) if name != "system/stats.json" => {
                        Routed::Perform(Perform::Metrics(ask.with(master.view())))
                    }
                    routed => routed,
                };
            }
        }
        "files" => {
            if ["browse", "read", "download", "debug"].contains(&whole) {
                return files::route(whole, query, Role::Master, attached);
            }
        }
        "logging" if whole == "toggle" => return logging::toggle(query, Role::Master),
        "registrar(1)" | "registrar%281%29" if whole == "registry" => {
            return Routed::Respond(reads::registry(master, query));
        }
        "__processes__" => return Routed::Respond(json_text("[]".to_owned(), query)),
        "profiler" if ["start", "stop"].contains(&whole) => {
            let why =
                "Perftools is disabled. To enable perftools, configure libprocess with --enable-perftools.\n";
            return Routed::Respond(answer::bad_request(why));
        }
        "master" => return own(arrived, rest, master, attached),
        _ => return own(arrived, path, master, attached),
    }
    Routed::Respond(not_found())
}

/// Endpoints of the master itself, with `/master` before them or without.
fn own(arrived: &Arrived, path: &str, master: &Master, attached: &[Attached]) -> Routed<Input, Perform> {
    let query = arrived.request.uri().query();
    const APIS: [&str; 3] = ["api/v1", "api/v1/scheduler", "redirect"];
    let names = [&APIS[..], &changes::NAMES[..], &reads::NAMES[..]].concat();
    match endpoint(path, &names) {
        Some(("api/v1", _)) => operator::route(arrived, master, attached),
        Some(("api/v1/scheduler", _)) => scheduler(arrived),
        // The one path that must be exact: a client that follows redirects would come here again.
        Some(("redirect", rest)) if rest.is_empty() && !path.ends_with('/') => {
            Routed::Respond(reads::redirect(master))
        }
        Some(("redirect", _)) | None => Routed::Respond(not_found()),
        Some((name, rest)) if changes::NAMES.contains(&name) => changes::route(arrived, name, &rest, master),
        Some((name, rest)) => reads::route(name, &rest, query, master),
    }
}

/// Rows 3 to 10 of the order of checks: what can be said without knowing any framework.
fn scheduler(arrived: &Arrived) -> Routed<Input, Perform> {
    let request = &arrived.request;
    if request.method() != Method::POST {
        return Routed::Respond(answer::wrong_method(&["POST"], request.method()));
    }
    let refuse = |(status, why): (u16, String)| Routed::Respond(render(Answer::text(status, why)));
    let decoded: Call = match call::decode(request.headers(), request.body()) {
        Ok(decoded) => decoded,
        Err(refusal) => return refuse(refusal),
    };
    if let Some(why) = master::validate_call(&decoded) {
        return refuse((400, format!("Failed to validate scheduler::Call: {why}")));
    }
    let stream_id =
        request.headers().get("mesos-stream-id").map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    let mut accept = Codec::Json;
    if matches!(decoded.r#type(), Type::Subscribe | Type::ReconcileOperations) {
        match call::accepts(request.headers()) {
            Ok(codec) => accept = codec,
            Err(refusal) => return refuse(refusal),
        }
    }
    if decoded.r#type() == Type::Subscribe && stream_id.is_some() {
        return refuse((400, "Subscribe calls should not include the 'Mesos-Stream-Id' header".to_owned()));
    }
    Routed::Step(Input::Scheduler { request: arrived.id, accept, stream_id, call: Box::new(decoded) })
}

/// One event as a record of a scheduler stream.
pub fn frame(event: &Event, codec: Codec) -> Bytes {
    recordio::frame(&call::encode(event, codec)).into()
}

/// One event as a record of an operator's stream.
pub fn operator_event(told: &Told, codec: Codec) -> Bytes {
    operator::frame(told, codec)
}
