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
mod holes;
mod instant;
mod logger;
mod look;
mod missing;
mod normal;
mod old;
mod path;
mod pattern;
mod pod;
mod pod_defaults;
mod pod_fields;
pub mod sample;
mod shape;
mod validate;

pub use context::Context;
pub use defaults::{INHERITED, fill, inherit, own};
pub use errors::{Violation, invalid_json, message, named, not_valid, wrong_shape};
pub use fields::RULES;
pub use group::{GroupUpdate, group_update, patch_group};
pub use instant::instant;
pub use logger::{LoggerChange, logger_change};
pub use missing::missing;
pub use path::{app_id, canonical, is_below, parent, parents, top_level};
pub use pattern::Pattern;
pub use pod::{complete_pod, pod, violations_between_pods};
pub use pod_defaults::{inherit_again, inherit_pod, own_pod};
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

/// The paths of all fields of an app, as those of a pod.
pub fn app_paths() -> Vec<String> {
    shape::paths(fields::APP)
}

/// The paths of all fields of a pod, in the table's order: `containers.exec.command.shell`. Lists and keys of a client's own
/// are passed over.
pub fn pod_fields() -> Vec<String> {
    shape::paths(pod_fields::POD)
}

/// An app's fields, each by itself: of the right type, in its bounds, spelt right, with the defaults that need nothing
/// else. If one is not, all that is wrong with the definition is said, as far as it can be known.
pub fn app(fields: Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    let mut found = Found::default();
    let read = shape::object(fields::APP, fields, true, "/", &mut found);
    if found.violations.is_empty() {
        return Ok(read);
    }
    let more = wrong_anyhow(read, "/", &found.holes);
    Err(refused(found, more))
}

/// The fields of an update, each by itself; `current` is what they change.
pub fn app_part(
    fields: Map<String, Value>,
    current: &Map<String, Value>,
) -> Result<Map<String, Value>, Refusal> {
    let mut found = Found::default();
    let read = shape::object(fields::APP, fields, false, "/", &mut found);
    if found.violations.is_empty() {
        return Ok(read);
    }
    let mut whole = current.clone();
    let more = match complete_update(read, &Context::anything(current)) {
        Ok(read) => {
            merge(&mut whole, read);
            wrong_anyhow(whole, "/", &found.holes)
        }
        Err(more) => holes::without_followers(more, &found.holes),
    };
    Err(refused(found, more))
}

/// Puts an update that `complete_update` has read into a definition. Who names one way to run it means the other way to
/// go, where upstream refuses both together.
pub fn merge(whole: &mut Map<String, Value>, fields: Map<String, Value>) {
    for (said, other) in [("cmd", "args"), ("args", "cmd")] {
        if fields.contains_key(said) {
            whole.remove(other);
        }
    }
    normal::change_kind(whole, &fields);
    whole.extend(fields);
}

fn refused(mut found: Found, more: Vec<V>) -> Refusal {
    found.violations.extend(more);
    found.violations.sort_by(|a, b| a.path.cmp(&b.path));
    found.violations.dedup();
    wrong_shape(&found.violations)
}

/// What is wrong with the values of an app whatever the settings are, and does not only follow from its holes.
fn wrong_anyhow(mut app: Map<String, Value>, base: &str, holes: &[String]) -> Vec<V> {
    let context = Context::anything(&app);
    let mut holes = holes.to_vec();
    if !app.contains_key("role") {
        // its place and the settings say it
        holes.push("/role".to_owned());
    }
    holes::without_followers(wrong(&mut app, base, &context), &holes)
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
    let read = app(fields)?;
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
