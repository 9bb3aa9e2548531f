//! `DELETE /v2/leader`: the leader steps down, with a backup before and another state after it if asked (LeaderResource).
//! The shell does it.

use super::{Asked, finish, message, refuse};
use crate::{Routed, answer::parameter};
use api::marathon::{self, Violation};
use bytes::Bytes;
use http::Response;
use std::path::PathBuf;

/// How the leader steps down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Abdication {
    /// Where everything that is kept is written to first.
    pub backup: Option<PathBuf>,
    /// What the next leader finds instead.
    pub restore: Option<PathBuf>,
}

/// Why the leader stays, and nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// What was asked for can't be done so.
    Wrong {
        /// Which parameter.
        parameter: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The disk did not do it.
    Trouble(String),
}

/// Reads a `DELETE` of the leader.
pub(super) fn route<I>(call: &super::Call<'_>) -> Routed<I, Asked> {
    let mut wrong = Vec::new();
    let mut file = |name: &'static str| {
        let uri = parameter(call.query, name)?;
        let path = path_of(&uri);
        if let Err(why) = &path {
            wrong.push(violation(name, why));
        }
        path.ok()
    };
    let asked = Abdication { backup: file("backup"), restore: file("restore") };
    if wrong.is_empty() {
        return Routed::Perform(Asked::Abdicate(asked));
    }
    Routed::Respond(finish(refuse(marathon::not_valid(&wrong)), call.who))
}

fn violation(parameter: &str, why: &str) -> Violation {
    Violation::new("/", format!("{parameter}: {why}"))
}

/// The file of `file:///path`, as `UriIO` reads it. What else is said is not repeated: URIs of S3 hold keys.
fn path_of(uri: &str) -> Result<PathBuf, String> {
    let (scheme, rest) = uri.split_once(':').unwrap_or_default();
    let path = rest.strip_prefix("//").unwrap_or(rest);
    match scheme {
        "file" if path.starts_with('/') && path.len() > 1 => Ok(path.into()),
        "file" => {
            Err("Invalid URI or unsupported scheme: after file:// there must be an absolute path".to_owned())
        }
        "s3" => {
            Err("Invalid URI or unsupported scheme: s3 is not spoken here; name a file:///path".to_owned())
        }
        _ => Err("Invalid URI or unsupported scheme: it must be file:///path".to_owned()),
    }
}

/// The answer, once it is done or refused.
pub fn render_abdication(outcome: Result<(), Refusal>, who: &super::Identity) -> Response<Bytes> {
    let answer = match outcome {
        Ok(()) => message(200, "Leadership abdicated"),
        Err(Refusal::Wrong { parameter, why }) => refuse(marathon::not_valid(&[violation(parameter, &why)])),
        Err(Refusal::Trouble(why)) => message(500, &why),
    };
    finish(answer, who)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_absolute_paths() {
        assert_eq!(path_of("file:///var/b.tar"), Ok(PathBuf::from("/var/b.tar")));
        assert_eq!(path_of("file:/var/b.tar"), Ok(PathBuf::from("/var/b.tar")));
        for wrong in
            ["", "b.tar", "file://", "file:///", "file://b.tar", "http://x/y", "s3://b/k?secret_key=geheim"]
        {
            let why = path_of(wrong).unwrap_err();
            assert!(why.starts_with("Invalid URI or unsupported scheme") && !why.contains("geheim"), "{why}");
        }
    }
}
