//! How much is logged: read and set for a while, at `/logging/toggle` and by the operator APIs. The shell does it.
//!
//! Checks and texts: apache/mesos@c1b42f79:3rdparty/libprocess/src/logging.cpp.

use crate::{
    Perform, Routed, Said,
    answer::{bad_request, empty, parameter, render},
    files::Role,
    operator,
};
use bytes::Bytes;
use http::Response;
use model::{
    mesos::{agent, master},
    request::Answer,
};
use std::time::Duration;

/// A level is held at most this long.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// A request about the level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// A level and how long it is held; none = it is read.
    pub set: Option<(u32, Duration)>,
    role: Role,
    said: Said,
}

/// `/logging/toggle`.
pub(crate) fn toggle<I>(query: Option<&str>, role: Role) -> Routed<I, Perform> {
    let refuse = |why: String| Routed::Respond(bad_request(why));
    let said = Said::V0(query.map(str::to_owned));
    let set = match (parameter(query, "level"), parameter(query, "duration")) {
        (None, None) => None,
        (Some(_), None) => return refuse("Expecting 'duration=value' in query.\n".to_owned()),
        (None, Some(_)) => return refuse("Expecting 'level=value' in query.\n".to_owned()),
        (Some(level), Some(duration)) => {
            let Ok(number) = level.parse::<i32>() else {
                return refuse(format!("Failed to convert '{level}' to number.\n"));
            };
            let Ok(number) = u32::try_from(number) else {
                return refuse(format!("Invalid level '{number}'.\n"));
            };
            match api::duration::parse(&duration) {
                Ok(duration) => Some((number, duration.min(DURATION_MAX))),
                Err(why) => return refuse(format!("{why}.\n")),
            }
        }
    };
    Routed::Perform(Perform::Logging(Ask { set, role, said }))
}

/// The calls of the operator APIs.
pub(crate) fn ask<I>(
    set: Option<(u32, i64)>,
    role: Role,
    codec: model::request::Codec,
) -> Routed<I, Perform> {
    let set = set.map(|(level, ns)| {
        (level, Duration::from_nanos(u64::try_from(ns).unwrap_or_default()).min(DURATION_MAX))
    });
    Routed::Perform(Perform::Logging(Ask { set, role, said: Said::V1(codec) }))
}

/// Says what the level is, or that it is set.
pub fn render_level(ask: &Ask, level: u32) -> Response<Bytes> {
    if ask.set.is_some() {
        return empty();
    }
    match (&ask.said, ask.role) {
        (Said::V0(_), _) => render(Answer::text(200, format!("{level}\n"))),
        (Said::V1(codec), Role::Master) => {
            use master::response::{GetLoggingLevel, Type};
            let get_logging_level = Some(GetLoggingLevel { level });
            let answer = master::Response { get_logging_level, ..Default::default() };
            operator::respond(&operator::of_master(Type::GetLoggingLevel, answer), *codec)
        }
        (Said::V1(codec), Role::Agent) => {
            use agent::response::{GetLoggingLevel, Type};
            let get_logging_level = Some(GetLoggingLevel { level });
            let answer = agent::Response { get_logging_level, ..Default::default() };
            operator::respond(&operator::of_agent(Type::GetLoggingLevel, answer), *codec)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toggled(query: &str) -> Result<Option<(u32, Duration)>, String> {
        match toggle::<()>(Some(query), Role::Master) {
            Routed::Perform(Perform::Logging(ask)) => Ok(ask.set),
            Routed::Respond(r) => Err(String::from_utf8_lossy(r.body()).into_owned()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_query_is_checked() {
        assert_eq!(toggled(""), Ok(None));
        assert_eq!(toggled("level=2&duration=1mins"), Ok(Some((2, Duration::from_secs(60)))));
        assert_eq!(toggled("level=1").unwrap_err(), "Expecting 'duration=value' in query.\n");
        assert_eq!(toggled("level=x&duration=1secs").unwrap_err(), "Failed to convert 'x' to number.\n");
        assert_eq!(toggled("level=-1&duration=1secs").unwrap_err(), "Invalid level '-1'.\n");
        assert!(toggled("level=1&duration=x").is_err());
    }
}
