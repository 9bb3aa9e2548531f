//! How apps, pods and groups are said to Marathon's clients: definitions in, normalised and with every violation at
//! once; errors out.
//!
//! Fields, defaults and texts follow mesosphere/marathon@90619da70 (RAML, AppNormalization, AppValidation).

mod constraint;
mod container;
mod context;
mod defaults;
mod errors;
mod fields;
mod group;
mod look;
mod normal;
mod old;
mod path;
mod pod;
mod pod_fields;
pub mod sample;
mod shape;
mod validate;

pub use context::Context;
pub use defaults::{INHERITED, fill, inherit, own};
pub use errors::{Violation, invalid_json, message, not_valid, wrong_shape};
pub use group::{GroupUpdate, group_update, patch_group};
pub use path::{app_id, canonical, is_below, parent, parents, top_level};
pub use pod::{complete_pod, pod, violations_between_pods};
pub use validate::violations_between;

use errors::Violation as V;
use serde_json::{Map, Value};
use shape::Found;

/// A refusal: the status and the JSON body.
pub type Refusal = (u16, String);

/// The names of all fields of an app, in the table's order.
pub fn app_fields() -> impl Iterator<Item = &'static str> {
    fields::APP.iter().map(|field| field.name)
}

/// An app's fields, each by itself: of the right type, in its bounds, spelt right, with the defaults that need nothing
/// else. A `whole` one may lack nothing.
pub fn app(fields: Map<String, Value>, whole: bool) -> Result<Map<String, Value>, Refusal> {
    let mut found = Found::default();
    let read = shape::object(fields::APP, fields, whole, "/", &mut found);
    readable(&read, found, whole)
}

/// Wrong values are said with everything else that is wrong, unless types are wrong too.
fn readable(read: &Map<String, Value>, mut found: Found, whole: bool) -> Result<Map<String, Value>, Refusal> {
    if found.violations.is_empty() {
        return Ok(read.clone());
    }
    if !found.unreadable && whole {
        let mut app = read.clone();
        let context = Context::anything(&app);
        found.violations.extend(wrong(&mut app, "/", &context));
        found.violations.sort_by(|a, b| a.path.cmp(&b.path));
        found.violations.dedup();
    }
    Err(wrong_shape(&found.violations))
}

fn wrong(app: &mut Map<String, Value>, base: &str, context: &Context) -> Vec<V> {
    let mut found = Vec::new();
    old::violations(app, &mut found);
    if found.is_empty() {
        old::translate(app, true, context);
    }
    normal::before(app, base, context);
    validate::violations(app, context, &mut found);
    found
}

/// Brings an app that `app` has read to its normal form, or says all that is wrong with it. Relative ids are relative
/// to `base`.
pub fn complete(
    mut app: Map<String, Value>,
    base: &str,
    context: &Context,
) -> Result<Map<String, Value>, Vec<V>> {
    let found = wrong(&mut app, base, context);
    if !found.is_empty() {
        return Err(found);
    }
    normal::after(&mut app, context);
    Ok(app)
}

/// The normal form of an app, as far as it depends on no setting: nothing is refused for its role or for a feature.
pub fn normal(fields: Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    let read = app(fields, true)?;
    let context = Context::anything(&read);
    complete(read, "/", &context).map_err(|found| not_valid(&found))
}

/// The normal form of a pod, as far as it depends on no setting.
pub fn normal_pod(fields: Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    let read = pod(fields)?;
    let context = Context::anything(&read);
    complete_pod(read, &context).map_err(|found| not_valid(&found))
}

/// Fields of a partial update that `app` has read, in new forms, so that they can replace those of an app.
pub fn complete_update(mut app: Map<String, Value>, context: &Context) -> Result<Map<String, Value>, Vec<V>> {
    let mut found = Vec::new();
    old::violations(&app, &mut found);
    if !found.is_empty() {
        return Err(found);
    }
    old::translate(&mut app, false, context);
    normal::every_node(&mut app);
    if app.contains_key("instances") {
        app.entry("everyNode").or_insert(Value::Bool(false));
    }
    Ok(app)
}

/// A body that must be a JSON object.
pub fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(wrong_shape(&[V::new("/", "error.expected.jsobject")])),
        Err(error) => Err(invalid_json(&error.to_string())),
    }
}

/// A body that must be a list of JSON objects.
pub fn objects(body: &[u8]) -> Result<Vec<Map<String, Value>>, Refusal> {
    let list = match serde_json::from_slice(body) {
        Ok(Value::Array(list)) => list,
        Ok(_) => return Err(wrong_shape(&[V::new("/", "error.expected.jsarray")])),
        Err(error) => return Err(invalid_json(&error.to_string())),
    };
    let mut all = Vec::new();
    for (i, one) in list.into_iter().enumerate() {
        match one {
            Value::Object(map) => all.push(map),
            _ => return Err(wrong_shape(&[V::new(&format!("({i})"), "error.expected.jsobject")])),
        }
    }
    Ok(all)
}

#[cfg(test)]
#[path = "marathon/tests.rs"]
mod tests;
