//! Errors as Marathon says them (MarathonExceptionMapper, RestResource).

use serde_json::json;
use std::collections::BTreeMap;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// `/portDefinitions(0)/port`; `/` = the whole.
    pub path: String,
    /// What is wrong.
    pub error: String,
}

impl Violation {
    /// At a path.
    pub fn new(path: &str, error: impl Into<String>) -> Self {
        Self { path: path.to_owned(), error: error.into() }
    }
}

fn details(found: &[Violation]) -> serde_json::Value {
    let mut by_path: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for violation in found {
        by_path.entry(&violation.path).or_default().push(&violation.error);
    }
    by_path.into_iter().map(|(path, errors)| json!({ "path": path, "errors": errors })).collect()
}

/// A body that does not parse.
pub fn invalid_json(why: &str) -> (u16, String) {
    (400, json!({ "message": "Invalid JSON", "details": why }).to_string())
}

/// Fields of the wrong type or out of their bounds (422: MarathonExceptionMapper, where every error says what is wrong).
pub fn wrong_shape(found: &[Violation]) -> (u16, String) {
    (422, json!({ "message": "Invalid JSON", "details": details(found) }).to_string())
}

/// Values that are not allowed.
pub fn not_valid(found: &[Violation]) -> (u16, String) {
    (422, json!({ "message": "Object is not valid", "details": details(found) }).to_string())
}

/// The violations that a refusal's body names, if it names any; and whether they are of its shape.
pub fn named(body: &str) -> Option<(bool, Vec<Violation>)> {
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    let mut found = Vec::new();
    for detail in body.get("details")?.as_array()? {
        let path = detail.get("path")?.as_str()?;
        let errors = detail.get("errors")?.as_array()?.iter().filter_map(serde_json::Value::as_str);
        found.extend(errors.map(|error| Violation::new(path, error)));
    }
    Some((body.get("message")? == "Invalid JSON", found))
}

/// `{"message":…}`
pub fn message(text: &str) -> String {
    json!({ "message": text }).to_string()
}
