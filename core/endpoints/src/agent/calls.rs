//! The agent's API, `POST /api/v1`: media types, validation, and the calls about containers. Reads are in `operator`.
//!
//! Order of checks and texts: apache/mesos@c1b42f79:src/slave/{http,validation}.cpp, and recordings of the original.
//! Never: whether a container may be launched (the agent decides), nor the bytes that attached clients exchange (`attach`).

use super::{launches, operator};
use crate::{Arrived, Perform, Routed, answer, files::Attached, render};
use agent::{Agent, Attachable, ContainerCall, Input, Launch};
use api::call;
use bytes::Bytes;
use http::{HeaderMap, Method, Response, header};
use model::{
    container::ContainerId,
    mesos::{
        self,
        agent::{Call, Response as Message, call::Type},
    },
    request::{Answer, Body, Codec},
};

/// Bytes of an id that stands in paths.
const ID_BYTES_MAX: usize = 255;
/// Containers within containers.
const DEPTH_MAX: usize = 32;
const SIGKILL: i32 = 9;
const RECORDIO: &str = "application/recordio";

/// How a stream of what a container says is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Its messages.
    pub codec: Codec,
    /// It is announced as records, with the type of its messages beside it.
    pub recordio: bool,
}

impl Style {
    /// The headers of such a stream.
    pub fn headers(self) -> Vec<(header::HeaderName, &'static str)> {
        let message = call::media_type(self.codec);
        if !self.recordio {
            return vec![(header::CONTENT_TYPE, message)];
        }
        let beside = header::HeaderName::from_static("message-content-type");
        vec![(header::CONTENT_TYPE, RECORDIO), (beside, message)]
    }
}

/// What is sent for a refusal.
pub(super) type Refused = (u16, String);

/// Routes a call.
pub(super) fn route(arrived: &Arrived, agent: &Agent, attached: &[Attached]) -> Routed<Input, Perform> {
    let refuse = |(status, why): Refused| Routed::Respond(render(Answer::text(status, why)));
    let request = &arrived.request;
    if !agent.is_recovered() {
        return refuse((503, "Agent has not finished recovery".to_owned()));
    }
    if request.method() != Method::POST {
        return Routed::Respond(answer::wrong_method(&["POST"], request.method()));
    }
    let (codec, style) = match content(request.headers()).and_then(|c| Ok((c, style(request.headers())?))) {
        Ok(found) => found,
        Err(refusal) => return refuse(refusal),
    };
    let mut headers = HeaderMap::new();
    let media = http::HeaderValue::from_static(call::media_type(codec));
    headers.insert(header::CONTENT_TYPE, media);
    match call::decode::<Call>(&headers, request.body()) {
        Ok(call) => match operator::missing(&call) {
            Some(why) => refuse((400, format!("Failed to validate agent::Call: {why}"))),
            None => called(arrived, agent, call, style, attached),
        },
        Err((400, why)) if why == "Failed to parse body into Call protobuf" => {
            refuse((400, "Failed to parse body into a protobuf object".to_owned()))
        }
        Err(refusal) => refuse(refusal),
    }
}

/// How the body is written, which is no stream.
fn content(headers: &HeaderMap) -> Result<Codec, Refused> {
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else {
        return Err((400, "Expecting 'Content-Type' to be present".to_owned()));
    };
    let codec = match content_type.as_bytes() {
        b"application/json" => Codec::Json,
        b"application/x-protobuf" => Codec::Protobuf,
        _ => {
            let why =
                format!("Expecting 'Content-Type' of {} or {} or {RECORDIO}", call::JSON, call::PROTOBUF);
            return Err((415, why));
        }
    };
    if headers.contains_key("message-content-type") {
        let why = "Expecting 'Message-Content-Type' to be not set for non-streaming requests";
        return Err((415, why.to_owned()));
    }
    Ok(codec)
}

/// How the answer is to be written.
pub(super) fn style(headers: &HeaderMap) -> Result<Style, Refused> {
    let takes = |name: &str, media: &str| takes(headers, name, media);
    let beside = headers.contains_key("message-accept");
    for (media, codec) in [(call::JSON, Codec::Json), (call::PROTOBUF, Codec::Protobuf)] {
        if takes("accept", media) {
            if beside {
                let why = "Expecting 'Message-Accept' to be not set for non-streaming responses";
                return Err((406, why.to_owned()));
            }
            return Ok(Style { codec, recordio: false });
        }
    }
    if !takes("accept", RECORDIO) {
        let why = format!("Expecting 'Accept' to allow {} or {} or {RECORDIO}", call::JSON, call::PROTOBUF);
        return Err((406, why));
    }
    let codec = [(call::JSON, Codec::Json), (call::PROTOBUF, Codec::Protobuf)];
    match codec.into_iter().find(|(media, _)| takes("message-accept", media)) {
        Some((_, codec)) => Ok(Style { codec, recordio: true }),
        None => {
            Err((406, format!("Expecting 'Message-Accept' to allow {} or {}", call::JSON, call::PROTOBUF)))
        }
    }
}

/// Whether a header allows a media type; one that is absent or empty allows everything.
fn takes(headers: &HeaderMap, name: &str, media: &str) -> bool {
    let values: Vec<_> = headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect();
    if values.iter().all(|v| v.trim().is_empty()) {
        return true;
    }
    let kind = media.split('/').next().unwrap_or_default();
    values.iter().flat_map(|v| v.split(',')).any(|part| {
        let mut pieces = part.split(';').map(str::trim);
        let range = pieces.next().unwrap_or_default().to_ascii_lowercase();
        let refused =
            pieces.any(|p| matches!(p.replace(' ', "").as_str(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        !refused && (range == media || range == "*/*" || range == format!("{kind}/*"))
    })
}

fn called(
    arrived: &Arrived,
    agent: &Agent,
    call: Call,
    style: Style,
    attached: &[Attached],
) -> Routed<Input, Perform> {
    let refuse = |status, why: String| Routed::Respond(render(Answer::text(status, why)));
    let invalid = |why: String| refuse(400, format!("Failed to validate agent::Call: {why}"));
    let step = |id: &mesos::ContainerId, call: ContainerCall| {
        let container = ContainerId::of_message(id);
        Routed::Step(Input::Container { request: arrived.id, codec: style.codec, container, call })
    };
    let kind = call.r#type();
    let name = kind.as_str_name().to_ascii_lowercase();
    let absent = || invalid(format!("Expecting '{name}' to be present"));
    let checked = |id: &mesos::ContainerId, nested: bool| {
        let fault = fault(id, 0).map(|why| format!("'{name}.container_id' is invalid: {why}"));
        let lone = nested && id.parent.is_none();
        fault.or_else(|| lone.then(|| format!("Expecting '{name}.container_id.parent' to be present")))
    };
    macro_rules! part {
        ($field:ident, $nested:expr) => {{
            let Some(part) = call.$field else { return absent() };
            if let Some(why) = checked(&part.container_id, $nested) {
                return invalid(why);
            }
            part
        }};
    }
    match kind {
        Type::LaunchNestedContainer => {
            let part = part!(launch_nested_container, true);
            let fault = launches::nested(&part.container_id, part.command.as_ref(), part.container.as_ref());
            if let Some(why) = fault {
                return invalid(why);
            }
            let launch = Launch { command: part.command, container: part.container, ..Default::default() };
            step(&part.container_id, launched(launch, &part.container_id, false))
        }
        Type::LaunchContainer => {
            let part = part!(launch_container, false);
            let id = part.container_id.clone();
            if let Some(why) = launches::standing(&part) {
                return invalid(why);
            }
            step(&id, launched(part, &id, false))
        }
        Type::LaunchNestedContainerSession => {
            let part = part!(launch_nested_container_session, true);
            if let Some(why) = launches::session(part.command.as_ref(), part.container.as_ref()) {
                return invalid(why);
            }
            let launch = Launch { command: part.command, container: part.container, ..Default::default() };
            let container = ContainerId::of_message(&part.container_id);
            let call = launched(launch, &part.container_id, true);
            Routed::Perform(Perform::Session { container, call, style })
        }
        Type::WaitNestedContainer => {
            let part = part!(wait_nested_container, true);
            step(&part.container_id, ContainerCall::Wait { nested: true })
        }
        Type::WaitContainer => {
            let part = part!(wait_container, false);
            step(&part.container_id, ContainerCall::Wait { nested: false })
        }
        Type::KillNestedContainer => {
            let part = part!(kill_nested_container, true);
            let signal = part.signal.unwrap_or(SIGKILL);
            step(&part.container_id, ContainerCall::Kill { signal })
        }
        Type::KillContainer => {
            let part = part!(kill_container, false);
            let signal = part.signal.unwrap_or(SIGKILL);
            step(&part.container_id, ContainerCall::Kill { signal })
        }
        Type::RemoveNestedContainer => {
            let part = part!(remove_nested_container, true);
            step(&part.container_id, ContainerCall::Remove)
        }
        Type::RemoveContainer => {
            let part = part!(remove_container, false);
            step(&part.container_id, ContainerCall::Remove)
        }
        Type::AttachContainerOutput => {
            let part = part!(attach_container_output, false);
            let container = ContainerId::of_message(&part.container_id);
            match agent.attachable(&container) {
                Attachable::Yes => Routed::Perform(Perform::Output { container, style }),
                Attachable::Unknown => refuse(500, format!("Unknown container {container}")),
                Attachable::Disabled => refuse(500, DISABLED.to_owned()),
            }
        }
        Type::AttachContainerInput => {
            let why = "Expecting 'Content-Type' to be application/recordio for ATTACH_CONTAINER_INPUT call";
            refuse(415, why.to_owned())
        }
        // There are no images to prune.
        Type::PruneImages => Routed::Respond(render(Answer::new(200, Body::Empty))),
        _ => operator::read(call, style.codec, agent, attached),
    }
}

pub(super) const DISABLED: &str = "I/O switchboard server was disabled for this container";

fn launched(mut launch: Launch, id: &mesos::ContainerId, session: bool) -> ContainerCall {
    launch.container_id = id.clone();
    ContainerCall::Launch { launch: Box::new(launch), session }
}

/// What is wrong with the id of a container.
fn fault(id: &mesos::ContainerId, depth: usize) -> Option<String> {
    let value = &id.value;
    if value.is_empty() {
        return Some("ID must not be empty".to_owned());
    }
    if value.len() > ID_BYTES_MAX {
        return Some(format!("ID must not be greater than {ID_BYTES_MAX} characters"));
    }
    if value == "." || value == ".." {
        return Some(format!("'{value}' is disallowed"));
    }
    if value.bytes().any(|b| b < 0x20 || b == 0x7f || b == b'/' || b == b'\\') {
        return Some(format!("'{value}' contains invalid characters"));
    }
    if value.contains(['.', ' ']) {
        return Some(format!("'ContainerID.value' '{value}' contains invalid characters"));
    }
    if depth > DEPTH_MAX {
        return Some(format!("containers are nested at most {DEPTH_MAX} deep"));
    }
    let parent = fault(id.parent.as_ref()?, depth + 1)?;
    Some(format!("'ContainerID.parent' is invalid: {parent}"))
}

/// An answer of the agent that is a message.
pub fn respond(message: &Message, codec: Codec) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(call::encode(message, codec)));
    let media = http::HeaderValue::from_static(call::media_type(codec));
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        all.iter()
            .map(|(n, v)| (header::HeaderName::from_static(n), http::HeaderValue::from_static(v)))
            .collect()
    }

    #[test]
    fn answers_are_written_as_the_client_takes_them() {
        let json = Style { codec: Codec::Json, recordio: false };
        assert_eq!(style(&headers(&[])), Ok(json));
        assert_eq!(style(&headers(&[("accept", "application/json")])), Ok(json));
        let protobuf = Style { codec: Codec::Protobuf, ..json };
        assert_eq!(style(&headers(&[("accept", "application/x-protobuf")])), Ok(protobuf));
        let records = [("accept", "application/recordio"), ("message-accept", "application/x-protobuf")];
        assert_eq!(style(&headers(&records)), Ok(Style { codec: Codec::Protobuf, recordio: true }));
        let both = [("accept", "application/json"), ("message-accept", "application/json")];
        assert_eq!(style(&headers(&both)).map_err(|(status, _)| status), Err(406));
        assert_eq!(style(&headers(&[("accept", "text/html")])).map_err(|(status, _)| status), Err(406));
        let messages = [("accept", "application/recordio"), ("message-accept", "text/html")];
        assert_eq!(style(&headers(&messages)).map_err(|(status, _)| status), Err(406));
    }

    #[test]
    fn ids_that_are_paths_or_hold_dots_are_refused() {
        let id = |value: &str| mesos::ContainerId { value: value.to_owned(), parent: None };
        assert_eq!(fault(&id("debug-1"), 0), None);
        for bad in ["", ".", "..", "a/b", "a\\b", "a.b", "a b", "\u{7f}"] {
            assert!(fault(&id(bad), 0).is_some(), "{bad:?}");
        }
        assert!(fault(&id(&"x".repeat(256)), 0).is_some());
        let inside = mesos::ContainerId { parent: Some(Box::new(id("a/b"))), ..id("c") };
        let why = fault(&inside, 0).unwrap();
        assert_eq!(why, "'ContainerID.parent' is invalid: 'a/b' contains invalid characters");
    }
}
