//! Answers in Marathon's own words alone, for clients that end with an error over a field that they do not know.
//!
//! Never what others see: they are told everything.

use api::marathon::RULES;
use bytes::Bytes;
use http::{Request, Response, header};
use serde_json::{Map, Value};

/// Fields of an app that Marathon does not have, besides `RULES`.
const OF_APPS: [&str; 4] = ["autoscaling", "run", "runOnce", "why"];
/// Fields of a group that Marathon does not have.
const OF_GROUPS: [&str; 1] = ["defaults"];
/// Fields of a deployment that Marathon has; ours are many.
const OF_DEPLOYMENTS: [&str; 8] =
    ["affectedApps", "affectedPods", "currentActions", "currentStep", "id", "steps", "totalSteps", "version"];

/// Whether a client hears of nothing that Marathon does not have: `?additions=false` asks for that, `true` for the contrary.
/// Where neither is said it is PyPI's `marathon` that does, whose objects take no other fields: it sends its requests by
/// `requests`, and names a content type also where it sends nothing.
pub fn wants_plain(request: &Request<Bytes>) -> bool {
    let header = |name| request.headers().get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    match crate::answer::parameter(request.uri().query(), "additions").as_deref() {
        Some("false") => true,
        Some("true") => false,
        _ => {
            header(header::USER_AGENT).is_some_and(|agent| agent.starts_with("python-requests/"))
                && header(header::CONTENT_TYPE) == Some("application/json")
        }
    }
}

/// An answer without what Marathon does not have.
pub fn plain(response: Response<Bytes>) -> Response<Bytes> {
    let json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|v| v.as_bytes().starts_with(b"application/json"));
    if !json {
        return response;
    }
    response.map(|body| match serde_json::from_slice::<Value>(&body) {
        Ok(mut value) => {
            strip(&mut value);
            value.to_string().into()
        }
        Err(_) => body,
    })
}

fn strip(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Object(fields) => strip_object(fields),
        _ => {}
    }
}

/// Only what holds apps is looked into: names of variables and labels are their owners'.
fn strip_object(fields: &mut Map<String, Value>) {
    if fields.contains_key("affectedApps") {
        fields.retain(|name, _| OF_DEPLOYMENTS.contains(&name.as_str()));
        return;
    }
    // a pod has its rules in its scheduling, and clients of pods know more than these
    if fields.contains_key("containers") {
        return;
    }
    let group = fields.contains_key("groups");
    let own = |name: &str| match group {
        true => !OF_GROUPS.contains(&name),
        false => !RULES.contains(&name) && !OF_APPS.contains(&name),
    };
    fields.retain(|name, _| own(name));
    for inner in ["app", "apps", "groups", "deployments", "queue", "*"] {
        fields.get_mut(inner).map(strip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_asks_like_that_is_answered_like_that() {
        let asks = |uri: &str, agent: &str, media: Option<&str>| {
            let request = Request::builder().uri(uri).header("user-agent", agent);
            let request =
                media.into_iter().fold(request, |request, media| request.header("content-type", media));
            wants_plain(&request.body(Bytes::new()).unwrap())
        };
        let (strict, json) = ("python-requests/2.32.3", Some("application/json"));
        assert!(asks("/v2/apps", strict, json) && asks("/v2/apps?additions=false", "curl/8", None));
        assert!(!asks("/v2/apps?additions=true", strict, json));
        assert!(!asks("/v2/apps", strict, None) && !asks("/v2/apps", "curl/8", json));
    }

    #[test]
    fn nothing_but_additions_goes() {
        let app = json!({ "id": "/a", "cmd": "x", "env": { "maxFailures": "1", "run": "2" }, "labels": { "why": "so" },
            "maxFailures": 1, "run": {}, "autoscale": {}, "inherited": {}, "deployments": [{ "id": "d" }] });
        let bare = json!({ "id": "/a", "cmd": "x", "env": { "maxFailures": "1", "run": "2" }, "labels": { "why": "so" },
            "deployments": [{ "id": "d" }] });
        for (said, left) in [
            (app.clone(), bare.clone()),
            (json!({ "app": app }), json!({ "app": bare })),
            (
                json!({ "id": "/", "apps": [app], "defaults": {}, "groups": [{ "id": "/g", "apps": [app], "groups": [] }] }),
                json!({ "id": "/", "apps": [bare], "groups": [{ "id": "/g", "apps": [bare], "groups": [] }] }),
            ),
            (
                json!([{ "id": "d", "affectedApps": [], "progress": [], "state": "paused" }]),
                json!([{ "id": "d", "affectedApps": [] }]),
            ),
            (
                json!({ "queue": [{ "app": app, "count": 1, "why": {} }] }),
                json!({ "queue": [{ "app": bare, "count": 1 }] }),
            ),
            (json!({ "versions": ["1"] }), json!({ "versions": ["1"] })),
        ] {
            let response = Response::builder().header("content-type", "application/json");
            let answer = plain(response.body(Bytes::from(said.to_string())).unwrap());
            assert_eq!(serde_json::from_slice::<Value>(answer.body()).unwrap(), left);
        }
        let other = Response::builder().header("content-type", "text/plain").body(Bytes::from("{}")).unwrap();
        assert_eq!(plain(other).body(), "{}");
    }
}
