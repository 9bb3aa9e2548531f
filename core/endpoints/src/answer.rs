//! Answers as HTTP, in upstream's form: plain text or JSON, no Content-Type where there is no body.

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use model::request::{Answer, Body};

/// Renders an answer.
pub fn render(answer: Answer) -> Response<Bytes> {
    let (content_type, body) = match answer.body {
        Body::Empty => (None, Bytes::new()),
        Body::Text(text) => (Some("text/plain; charset=utf-8"), Bytes::from(text)),
        Body::Json(json) => (Some("application/json"), Bytes::from(json)),
    };
    let mut response = Response::new(body);
    *response.status_mut() =
        http::StatusCode::from_u16(answer.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(content_type) = content_type {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// 404 as libprocess says it.
pub(crate) fn not_found() -> Response<Bytes> {
    render(Answer::text(404, "404 Not Found."))
}

/// 400 with its reason.
pub(crate) fn bad_request(why: impl Into<String>) -> Response<Bytes> {
    render(Answer::text(400, why))
}

/// 200 without a body.
pub(crate) fn empty() -> Response<Bytes> {
    render(Answer::new(200, Body::Empty))
}

/// 405 as libprocess says it.
pub(crate) fn wrong_method(allowed: &[&str], received: &http::Method) -> Response<Bytes> {
    let quoted: Vec<_> = allowed.iter().map(|name| format!("'{name}'")).collect();
    let text = format!(
        "405 Method Not Allowed. Expecting one of {{ {} }}, but received '{received}'.",
        quoted.join(", ")
    );
    let mut answer = Answer::text(405, text);
    answer.headers.push(("allow", allowed.join(", ")));
    render(answer)
}

/// JSON, or `callback(json)` where the query asks for it.
pub(crate) fn json(value: &serde_json::Value, query: Option<&str>) -> Response<Bytes> {
    json_text(value.to_string(), query)
}

/// The same, already written.
pub(crate) fn json_text(text: String, query: Option<&str>) -> Response<Bytes> {
    match parameter(query, "jsonp") {
        Some(callback) => {
            let mut response = render(Answer::json(200, format!("{callback}({text})")));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/javascript"));
            response
        }
        None => render(Answer::json(200, text)),
    }
}

/// What follows the name of an endpoint in a path, by libprocess' rule: the longest name that begins the path wins,
/// slashes around it don't count, and what follows is nobody's business.
pub(crate) fn endpoint<'n>(path: &str, names: &[&'n str]) -> Option<(&'n str, String)> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    (1..=parts.len()).rev().find_map(|length| {
        let name = parts[..length].join("/");
        let name = names.iter().find(|known| **known == name)?;
        Some((*name, parts[length..].join("/")))
    })
}

/// A parameter of a query or form, decoded.
pub(crate) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(n, _)| *n == name).map(|(_, value)| decode(value))
}

/// All values of a parameter that may be repeated, decoded.
pub(crate) fn parameters(query: Option<&str>, name: &str) -> Vec<String> {
    let pairs = query.into_iter().flat_map(|query| query.split('&')).filter_map(|pair| pair.split_once('='));
    pairs.filter(|(n, _)| decode(n) == name).map(|(_, value)| decode(value)).collect()
}

fn decode(text: &str) -> String {
    decode_path(&text.replace('+', " "))
}

/// The process that a path names, as libprocess has them, and the rest of it.
pub(crate) fn process_of(path: &str) -> (&str, &str) {
    let named = path.strip_prefix('/').and_then(|p| p.split_once('/'));
    named.unwrap_or((path.trim_start_matches('/'), ""))
}

/// A path with its `%xx` read.
pub(crate) fn decode_path(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        assert_eq!(parameter(Some("a=1&path=%2Ftmp%2Fx+y"), "path").as_deref(), Some("/tmp/x y"));
        assert_eq!(parameter(Some("a=%zz"), "a").as_deref(), Some("%zz"));
        assert_eq!(parameter(None, "a"), None);
        assert_eq!(parameters(Some("a%5B%5D=1&b=2&a[]=%33"), "a[]"), ["1", "3"]);
    }

    #[test]
    fn the_longest_name_wins() {
        let names = ["api/v1", "api/v1/scheduler", "tasks"];
        let found = |path| endpoint(path, &names).map(|(name, rest)| (name.to_owned(), rest));
        assert_eq!(found("/api/v1/scheduler/"), Some(("api/v1/scheduler".into(), String::new())));
        assert_eq!(found("/api/v1/nope"), Some(("api/v1".into(), "nope".into())));
        assert_eq!(found("//tasks//x/y"), Some(("tasks".into(), "x/y".into())));
        assert_eq!(found("/api"), None);
        assert_eq!(found("/"), None);
    }
}
