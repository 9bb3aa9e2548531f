//! How apps are said to Marathon's clients: definitions in, normalised and with every violation at once; errors out.
//!
//! Fields, defaults and texts follow mesosphere/marathon@90619da70 (RAML, AppNormalization, AppValidation).

mod errors;
mod normal;
mod validate;

pub use errors::{Violation, invalid_json, message, not_valid, wrong_shape};
pub use normal::normalise;
pub use validate::{app_id, violations};

use serde_json::{Map, Value};

/// Reads a whole definition: normalised, or the refusal as (status, JSON body).
pub fn definition(body: &[u8], path_id: Option<&str>) -> Result<Map<String, Value>, (u16, String)> {
    let mut app = object(body)?;
    if let Some(id) = path_id {
        app.insert("id".to_owned(), id.into());
    }
    read(app, true)
}

/// Reads one element of a list of definitions, or a partial update.
pub fn read(mut app: Map<String, Value>, whole: bool) -> Result<Map<String, Value>, (u16, String)> {
    app.retain(|_, value| !value.is_null());
    let mut found = Vec::new();
    validate::shapes(&app, &mut found);
    if !found.is_empty() {
        return Err(wrong_shape(&found));
    }
    validate::old_forms(&app, &mut found);
    if found.is_empty() {
        normalise(&mut app, whole);
    }
    validate::violations(&app, whole, &mut found);
    if found.is_empty() { Ok(app) } else { Err(not_valid(&found)) }
}

/// A body that must be a JSON object.
pub fn object(body: &[u8]) -> Result<Map<String, Value>, (u16, String)> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(wrong_shape(&[Violation::new("/", "error.expected.jsobject")])),
        Err(error) => Err(invalid_json(&error.to_string())),
    }
}

/// A body that must be a list of JSON objects.
pub fn objects(body: &[u8]) -> Result<Vec<Map<String, Value>>, (u16, String)> {
    let list = match serde_json::from_slice(body) {
        Ok(Value::Array(list)) => list,
        Ok(_) => return Err(wrong_shape(&[Violation::new("/", "error.expected.jsarray")])),
        Err(error) => return Err(invalid_json(&error.to_string())),
    };
    let mut all = Vec::new();
    for (i, one) in list.into_iter().enumerate() {
        match one {
            Value::Object(map) => all.push(map),
            _ => return Err(wrong_shape(&[Violation::new(&format!("({i})"), "error.expected.jsobject")])),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(app: Value) -> Result<Value, (u16, Value)> {
        definition(app.to_string().as_bytes(), None)
            .map(Value::Object)
            .map_err(|(status, body)| (status, serde_json::from_str(&body).unwrap()))
    }

    #[test]
    fn the_smallest_app_gets_all_defaults() {
        let app = read(json!({ "id": "sleep", "cmd": "sleep 100" })).unwrap();
        assert_eq!(app["id"], "/sleep");
        assert_eq!((&app["instances"], &app["cpus"], &app["mem"]), (&json!(1), &json!(1), &json!(128)));
        assert_eq!(app["networks"], json!([{ "mode": "host" }]));
        assert_eq!(app["portDefinitions"][0]["port"], 0);
        assert_eq!(app["upgradeStrategy"], json!({ "minimumHealthCapacity": 1, "maximumOverCapacity": 1 }));
        assert_eq!(app["constraints"], json!([]));
        assert!(app.get("ports").is_none() && app.get("uris").is_none());
    }

    #[test]
    fn old_forms_become_new_ones_and_stay_so() {
        let old = json!({ "id": "/a/b", "cmd": "x", "ports": [0, 8080], "uris": ["http://h/x.tgz", "http://h/y"],
            "healthChecks": [{ "protocol": "http" }], "requirePorts": true });
        let app = read(old).unwrap();
        assert_eq!(app["portDefinitions"].as_array().unwrap().len(), 2);
        assert_eq!(app["portDefinitions"][1]["port"], 8080);
        assert_eq!(app["fetch"][0]["extract"], true);
        assert_eq!(app["fetch"][1]["extract"], false);
        let check = &app["healthChecks"][0];
        assert_eq!(
            (&check["protocol"], &check["path"], &check["portIndex"]),
            (&json!("HTTP"), &json!("/"), &json!(0))
        );
        assert_eq!(read(app.clone()).unwrap(), app, "what is normal stays as it is");
    }

    #[test]
    fn every_violation_is_named_with_its_path() {
        let (status, body) = read(json!({ "id": "/a", "cmd": "x", "cpus": "many" })).unwrap_err();
        assert_eq!(status, 400);
        let details = json!([{ "path": "/cpus", "errors": ["error.expected.jsnumber"] }]);
        assert_eq!(body, json!({ "message": "Invalid JSON", "details": details }));
        let (status, body) = read(
            json!({ "id": "/A_b/", "cpus": -1, "instances": -2, "constraints": [["hostname", "NEAR"]] }),
        )
        .unwrap_err();
        assert_eq!((status, &body["message"]), (422, &json!("Object is not valid")));
        let paths: Vec<_> = body["details"].as_array().unwrap().iter().map(|d| d["path"].clone()).collect();
        for path in ["/id", "/cpus", "/instances", "/constraints(0)", "/"] {
            assert!(paths.contains(&json!(path)), "{path} is not in {paths:?}");
        }
        let (status, body) = definition(b"{", None).unwrap_err();
        assert_eq!(status, 400);
        assert!(body.contains("\"message\":\"Invalid JSON\"") && body.contains("\"details\":\""), "{body}");
    }
}
