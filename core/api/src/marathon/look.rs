//! Short ways to look into a definition's JSON. Never changes it.

use serde_json::{Map, Value};

pub(super) fn list<'a>(value: Option<&'a Value>, key: &str) -> &'a [Value] {
    value.and_then(|v| v.get(key)).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
pub(super) fn items<'a>(map: &'a Map<String, Value>, key: &str) -> &'a [Value] {
    map.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
pub(super) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}
pub(super) fn filled<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    text(value, key).filter(|text| !text.is_empty())
}
pub(super) fn number(value: &Value, key: &str) -> Option<f64> {
    value.get(key).and_then(Value::as_f64)
}
pub(super) fn docker(container: Option<&Value>) -> Option<&Value> {
    container.and_then(|c| c.get("docker"))
}
pub(super) fn is_docker(container: Option<&Value>) -> bool {
    container.is_some_and(|c| text(c, "type") == Some("DOCKER"))
}
/// Whether any of the networks is not the host's.
pub(super) fn off_host(networks: &[Value]) -> bool {
    networks.iter().any(|network| text(network, "mode") != Some("host"))
}
pub(super) fn has_persistent(volumes: &[Value]) -> bool {
    volumes.iter().any(|volume| volume.get("persistent").is_some())
}
/// Whether two of these are the same.
pub(super) fn doubled<T: PartialEq>(all: &[T]) -> bool {
    all.iter().enumerate().any(|(i, one)| all[..i].contains(one))
}
