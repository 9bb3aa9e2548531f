//! The executor API: `POST /api/v1/executor`. What can be said of a call without knowing any executor.
//!
//! Checks and texts: apache/mesos@c1b42f79:src/slave/{http,validation}.cpp, and recordings of the original.

use crate::{Arrived, Routed, answer, render};
use agent::Input;
use api::{call, recordio};
use bytes::Bytes;
use http::Method;
use model::{
    mesos::{
        TaskState,
        executor::{Call, Event, call::Type},
        task_status::Source,
    },
    request::{Answer, Codec},
};

/// Routes a call.
pub(super) fn route<P>(arrived: &Arrived) -> Routed<Input, P> {
    let request = &arrived.request;
    if request.method() != Method::POST {
        return Routed::Respond(answer::wrong_method(&["POST"], request.method()));
    }
    let refuse = |(status, why): (u16, String)| Routed::Respond(render(Answer::text(status, why)));
    let decoded: Call = match call::decode(request.headers(), request.body()) {
        Ok(decoded) => decoded,
        Err(refusal) => return refuse(refusal),
    };
    if let Some(why) = fault(&decoded) {
        return refuse((400, format!("Failed to validate Executor::Call: {why}")));
    }
    let mut accept = Codec::Json;
    match decoded.r#type() {
        Type::Subscribe => match call::accepts(request.headers()) {
            Ok(codec) => accept = codec,
            Err(refusal) => return refuse(refusal),
        },
        // Taken from anybody, known or not.
        Type::Heartbeat => return Routed::Respond(render(Answer::accepted())),
        _ => {}
    }
    Routed::Step(Input::Executor { request: arrived.id, accept, call: Box::new(decoded) })
}

fn fault(call: &Call) -> Option<String> {
    if call.r#type.is_none() {
        return Some("Expecting 'type' to be present".to_owned());
    }
    match call.r#type() {
        Type::Subscribe if call.subscribe.is_none() => Some("Expecting 'subscribe' to be present".to_owned()),
        Type::Message if call.message.is_none() => Some("Expecting 'message' to be present".to_owned()),
        Type::Update => update_fault(call),
        _ => None,
    }
}

fn update_fault(call: &Call) -> Option<String> {
    let Some(update) = &call.update else { return Some("Expecting 'update' to be present".to_owned()) };
    let status = &update.status;
    let Some(uuid) = &status.uuid else { return Some("Expecting 'uuid' to be present".to_owned()) };
    // Upstream's own check: sixteen bytes, of a version that it knows.
    if uuid.len() != 16 || !(1..=5).contains(&(uuid[6] >> 4)) {
        return Some("Not a valid UUID".to_owned());
    }
    let (executor, framework) = (&call.executor_id.value, &call.framework_id.value);
    if let Some(other) = status.executor_id.as_ref().filter(|id| id.value != *executor) {
        return Some(format!(
            "ExecutorID in Call: {executor} does not match ExecutorID in TaskStatus: {}",
            other.value
        ));
    }
    if status.source() != Source::Executor {
        return Some(format!(
            "Received Call from executor {executor} of framework {framework} with invalid source, expecting \
             'SOURCE_EXECUTOR'"
        ));
    }
    (status.state() == TaskState::TaskStaging).then(|| {
        format!(
            "Received TASK_STAGING from executor {executor} of framework {framework} which is not allowed"
        )
    })
}

/// One event as a record of an executor's stream.
pub fn frame(event: &Event, codec: Codec) -> Bytes {
    recordio::frame(&call::encode(event, codec)).into()
}
