//! The master's HTTP surface: scheduler API, read endpoints, teardown.
//!
//! Paths and checks: apache/mesos@c1b42f79:src/master/http.cpp, and recordings of the original.

mod reads;

use crate::{Arrived, Routed, answer, pages, render};
use api::{call, recordio};
use bytes::Bytes;
use http::Method;
use master::{Input, Master};
use model::{
    mesos::scheduler::{Call, Event, call::Type},
    request::{Answer, Codec},
};

/// Routes a request.
pub fn route(arrived: &Arrived, master: &Master) -> Routed<Input> {
    let request = &arrived.request;
    let path = request.uri().path();
    let inner = path.strip_prefix("/master").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    if pages::asked(request, "/") {
        return Routed::Respond(pages::master(&|path| {
            pages::json_of(route(&pages::inner(arrived, path), master))
        }));
    }
    if inner == "/api/v1/scheduler" {
        return scheduler(arrived);
    }
    if inner == "/teardown" {
        return teardown(arrived);
    }
    Routed::Respond(reads::read(request, path, inner, master))
}

/// Rows 3 to 10 of the order of checks: what can be said without knowing any framework.
fn scheduler(arrived: &Arrived) -> Routed<Input> {
    let request = &arrived.request;
    if request.method() != Method::POST {
        return Routed::Respond(answer::wrong_method("POST", request.method()));
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

fn teardown(arrived: &Arrived) -> Routed<Input> {
    if arrived.request.method() != Method::POST {
        return Routed::Respond(answer::wrong_method("POST", arrived.request.method()));
    }
    let form = String::from_utf8_lossy(arrived.request.body());
    match answer::parameter(Some(form.trim()), "frameworkId") {
        Some(framework_id) => Routed::Step(Input::Teardown { request: arrived.id, framework_id }),
        None => Routed::Respond(render(Answer::text(
            400,
            "Missing 'frameworkId' query parameter in the request body",
        ))),
    }
}

/// One event as a record of a scheduler stream.
pub fn frame(event: &Event, codec: Codec) -> Bytes {
    recordio::frame(&call::encode(event, codec)).into()
}
