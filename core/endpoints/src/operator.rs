//! The operator APIs' common ground: bodies in and out, the order of refusals, what both roles say alike.
//!
//! Order: apache/mesos@c1b42f79:src/master/http.cpp and src/slave/http.cpp (`Http::api`).

use crate::answer::{render, wrong_method};
use api::{Shaped, call, json::FromJson, json::ToJson};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use model::{
    mesos::{Flag, Metric, agent, master},
    request::{Answer, Codec},
};
use serde_json::Value;
use std::{borrow::Cow, collections::BTreeMap};

/// A call and how its answer is to be said.
pub(crate) type Taken<C> = Result<(C, Codec), Response<Bytes>>;

/// Decodes a call of the master and validates it; only then it matters what the client accepts.
pub(crate) fn take<C>(request: &Request<Bytes>, validate: impl FnOnce(&C) -> Option<String>) -> Taken<C>
where
    C: FromJson + Shaped + prost::Message + Default,
{
    if request.method() != Method::POST {
        return Err(wrong_method(&["POST"], request.method()));
    }
    let refuse = |status, why: String| render(Answer::text(status, why));
    let decoded: C = call::decode(request.headers(), request.body()).map_err(|(s, why)| refuse(s, why))?;
    if let Some(why) = validate(&decoded) {
        return Err(refuse(400, format!("Failed to validate master::Call: {why}")));
    }
    let codec = call::accepts(request.headers()).map_err(|(status, why)| refuse(status, why))?;
    Ok((decoded, codec))
}

/// A message as an answer.
pub(crate) fn respond(message: &(impl ToJson + prost::Message), codec: Codec) -> Response<Bytes> {
    said(call::encode(message, codec).into(), codec)
}

/// JSON that is written already, or the message as protobuf.
pub(crate) fn respond_with<M: prost::Message>(
    codec: Codec,
    json: impl FnOnce() -> String,
    message: impl FnOnce() -> M,
) -> Response<Bytes> {
    match codec {
        Codec::Json => said(json().into(), codec),
        Codec::Protobuf => said(message().encode_to_vec().into(), codec),
    }
}

fn said(body: Bytes, codec: Codec) -> Response<Bytes> {
    let mut response = Response::new(body);
    let media = HeaderValue::from_static(call::media_type(codec));
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

/// An answer of the master, with its type.
pub(crate) fn of_master(kind: master::response::Type, answer: master::Response) -> master::Response {
    master::Response { r#type: Some(kind.into()), ..answer }
}

/// An answer of the agent, with its type.
pub(crate) fn of_agent(kind: agent::response::Type, answer: agent::Response) -> agent::Response {
    agent::Response { r#type: Some(kind.into()), ..answer }
}

/// Flags as the operator APIs list them.
pub(crate) fn flags(all: &BTreeMap<String, String>) -> Vec<Flag> {
    shown(all).map(|(name, value)| Flag { name: name.clone(), value: Some(value.into_owned()) }).collect()
}

/// Settings of our own that are written as upstream writes its own.
const OWN_FLAGS: [&str; 2] = ["decline_floor_ms", "quota_limits_bind_subtrees"];

/// Flags that hold JSON: upstream shows what it read, not how it was written.
const JSON_FLAGS: [&str; 2] = ["domain", "executor_environment_variables"];

/// Flags that upstream names too: clients look for no others, and some refuse them.
pub(crate) fn shown(all: &BTreeMap<String, String>) -> impl Iterator<Item = (&String, Cow<'_, str>)> {
    let known = all.iter().filter(|(name, _)| !name.contains('-') && !OWN_FLAGS.contains(&name.as_str()));
    known.map(|(name, value)| {
        let json = JSON_FLAGS.contains(&name.as_str()).then(|| serde_json::from_str::<Value>(value).ok());
        (name, json.flatten().map_or(Cow::Borrowed(value.as_str()), |json| Cow::Owned(json.to_string())))
    })
}

/// Metrics as the operator APIs list them.
pub(crate) fn metrics(all: &BTreeMap<String, f64>) -> Vec<Metric> {
    all.iter().map(|(name, value)| Metric { name: name.clone(), value: Some(*value) }).collect()
}
