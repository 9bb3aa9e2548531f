//! `/logging`: which loggers there are and how much each says, and changes of that (SystemResource). The shell does it.

use super::{Asked, finish, json_answer, message, refuse, wrong_method};
use crate::{Routed, render};
use api::marathon::{self, LoggerChange};
use bytes::Bytes;
use http::{Method, Response};
use model::request::Answer;
use serde_json::json;
use std::collections::BTreeMap;

/// A request about loggers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loggers {
    /// None = they are listed.
    pub change: Option<LoggerChange>,
}

/// Reads a request to `/logging`.
pub(super) fn route<I>(call: &super::Call<'_>) -> Routed<I, Asked> {
    let refusal = match *call.method {
        Method::GET => return Routed::Perform(Asked::Loggers(Loggers { change: None })),
        Method::POST => match marathon::object(call.body()).and_then(marathon::logger_change) {
            Ok(change) => return Routed::Perform(Asked::Loggers(Loggers { change: Some(change) })),
            Err(refusal) => refuse(refusal),
        },
        _ => wrong_method(),
    };
    Routed::Respond(finish(refusal, call.who))
}

/// The answer, once it is done; `levels` are those of all loggers, none = there are too many to give one more its own.
pub fn render_loggers(
    asked: &Loggers,
    levels: Option<&BTreeMap<String, String>>,
    who: &super::Identity,
) -> Response<Bytes> {
    let answer = match (&asked.change, levels) {
        (_, None) => message(422, "Too many loggers have a level of their own"),
        (Some(change), _) => render(Answer::json(200, change.said().to_string())),
        (None, Some(levels)) => json_answer(&json!(levels)),
    };
    finish(answer, who)
}
