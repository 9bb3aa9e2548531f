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
        CheckStatusInfo, TaskState, check_info,
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
    if status.state() == TaskState::TaskStaging {
        return Some(format!(
            "Received TASK_STAGING from executor {executor} of framework {framework} which is not allowed"
        ));
    }
    status.check_status.as_ref().and_then(check_fault).map(str::to_owned)
}

/// apache/mesos@c1b42f79:src/common/validation.cpp (`validateCheckStatusInfo`).
fn check_fault(seen: &CheckStatusInfo) -> Option<&'static str> {
    if seen.r#type.is_none() {
        return Some("CheckStatusInfo must specify 'type'");
    }
    match seen.r#type() {
        check_info::Type::Command => {
            seen.command.is_none().then_some("Expecting 'command' to be set for COMMAND check's status")
        }
        check_info::Type::Http => {
            seen.http.is_none().then_some("Expecting 'http' to be set for HTTP check's status")
        }
        check_info::Type::Tcp => {
            seen.tcp.is_none().then_some("Expecting 'tcp' to be set for TCP check's status")
        }
        check_info::Type::Unknown => Some("'UNKNOWN' is not a valid check's status type"),
    }
}

/// One event as a record of an executor's stream.
pub fn frame(event: &Event, codec: Codec) -> Bytes {
    recordio::frame(&call::encode(event, codec)).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::mesos::{TaskStatus, executor::call};

    #[test]
    fn the_status_of_a_check_has_its_part() {
        let call = |seen: CheckStatusInfo| {
            let mut uuid = vec![7; 16];
            uuid[6] = 0x40;
            let mut status = TaskStatus { uuid: Some(uuid), check_status: Some(seen), ..Default::default() };
            status.set_state(TaskState::TaskRunning);
            status.set_source(Source::Executor);
            let mut call = Call { update: Some(call::Update { status }), ..Default::default() };
            call.set_type(Type::Update);
            call
        };
        let of = |kind: check_info::Type| {
            let mut seen = CheckStatusInfo::default();
            seen.set_type(kind);
            seen
        };
        let (http, command, tcp) =
            (Some(Default::default()), Some(Default::default()), Some(Default::default()));
        use check_info::Type as Kind;
        let refused = [
            (CheckStatusInfo::default(), "CheckStatusInfo must specify 'type'"),
            (of(Kind::Http), "Expecting 'http' to be set for HTTP check's status"),
            (CheckStatusInfo { http, ..of(Kind::Tcp) }, "Expecting 'tcp' to be set for TCP check's status"),
            (of(Kind::Command), "Expecting 'command' to be set for COMMAND check's status"),
            (of(Kind::Unknown), "'UNKNOWN' is not a valid check's status type"),
        ];
        for (seen, why) in refused {
            assert_eq!(fault(&call(seen)).as_deref(), Some(why));
        }
        let taken = [
            CheckStatusInfo { http, ..of(Kind::Http) },
            CheckStatusInfo { command, ..of(Kind::Command) },
            CheckStatusInfo { tcp, ..of(Kind::Tcp) },
        ];
        for seen in taken {
            assert_eq!(fault(&call(seen)), None);
        }
    }
}
