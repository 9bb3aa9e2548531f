//! `${name:1}`: bound by the first answer that holds it, put into what is sent afterwards.

use regex::Regex;
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

static ANY: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\$\{([a-z_0-9]+)(:[0-9]+)?\}").expect("a pattern"));
static PATTERNS: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);

/// How far a time may be from now: two days.
const NEAR_SECONDS: f64 = 2.0 * 24.0 * 3600.0;
const UUID: &str = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";

/// What placeholders stand for so far. Bindings that turn out to belong to a wrong guess are taken back.
#[derive(Debug, Default)]
pub struct Bindings {
    values: HashMap<String, String>,
    trail: Vec<String>,
}

/// A point to come back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark(usize);

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// Whether it stands for the same thing wherever it appears in a file.
fn binds(name: &str) -> bool {
    !matches!(name, "time" | "time_ns" | "number" | "string" | "any" | "version" | "build")
}

fn class(name: &str) -> String {
    match name {
        "framework_id" => format!(r"{UUID}-\d{{4,}}"),
        "agent_id" => format!(r"{UUID}-S\d+"),
        "offer_id" => format!(r"{UUID}-O\d+"),
        "uuid_bytes" => "[A-Za-z0-9+/]{22}==".to_owned(),
        "master_id" | "container_id" | "stream_id" | "uuid" => UUID.to_owned(),
        "number" | "time" => r"-?[0-9.]+(?:e[-+]?[0-9]+)?".to_owned(),
        "time_ns" | "master_port" | "agent_port" | "agent2_port" => r"\d+".to_owned(),
        _ => "(?s:.*)".to_owned(),
    }
}

impl Bindings {
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        if self.values.insert(key.to_owned(), value.into()).is_none() {
            self.trail.push(key.to_owned());
        }
    }
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }
    pub fn mark(&self) -> Mark {
        Mark(self.trail.len())
    }
    pub fn back_to(&mut self, mark: Mark) {
        for key in self.trail.drain(mark.0..) {
            self.values.remove(&key);
        }
    }

    /// Whether a recorded text stands for this one; binds on the way.
    pub fn matches(&mut self, recorded: &str, actual: &str) -> bool {
        if !recorded.contains("${") {
            return recorded == actual;
        }
        let mut pattern = String::from("^");
        let mut groups = Vec::new();
        let mut from = 0;
        for found in ANY.captures_iter(recorded) {
            let whole = found.get(0).expect("group 0 is always there");
            pattern.push_str(&regex::escape(&recorded[from..whole.start()]));
            from = whole.end();
            let name = &found[1];
            let key = whole.as_str();
            match self.values.get(key).filter(|_| binds(name)) {
                Some(value) => pattern.push_str(&regex::escape(value)),
                None => {
                    pattern.push_str(&format!("({})", class(name)));
                    groups.push((name.to_owned(), key.to_owned()));
                }
            }
        }
        pattern.push_str(&regex::escape(&recorded[from..]));
        pattern.push('$');
        let regex = {
            let mut known = PATTERNS.lock().unwrap_or_else(PoisonError::into_inner);
            match known.get(&pattern) {
                Some(regex) => regex.clone(),
                None => {
                    let Ok(regex) = Regex::new(&pattern) else { return false };
                    known.insert(pattern, regex.clone());
                    regex
                }
            }
        };
        let Some(captures) = regex.captures(actual) else { return false };
        for (at, (name, key)) in groups.into_iter().enumerate() {
            let value = captures.get(at + 1).map_or("", |m| m.as_str());
            let near = |seconds: f64| (seconds - now()).abs() < NEAR_SECONDS;
            let right = match name.as_str() {
                "time" => value.parse().is_ok_and(near),
                "time_ns" => value.parse::<f64>().is_ok_and(|ns| near(ns / 1e9)),
                _ => true,
            };
            // The same placeholder twice in one text was captured twice.
            if !right || (binds(&name) && self.values.get(&key).is_some_and(|known| known != value)) {
                return false;
            }
            if binds(&name) {
                self.set(&key, value);
            }
        }
        true
    }

    /// A recorded text as it is sent. The error names a placeholder that nothing has bound.
    pub fn fill(&self, recorded: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut from = 0;
        for found in ANY.captures_iter(recorded) {
            let whole = found.get(0).expect("group 0 is always there");
            out.push_str(&recorded[from..whole.start()]);
            from = whole.end();
            let later = now() + 3600.0;
            match (&found[1], self.values.get(whole.as_str())) {
                (_, Some(value)) => out.push_str(value),
                ("time", None) => out.push_str(&later.to_string()),
                ("time_ns", None) => out.push_str(&((later * 1e9) as u64).to_string()),
                _ => return Err(format!("nothing has bound {}", whole.as_str())),
            }
        }
        out.push_str(&recorded[from..]);
        Ok(out)
    }

    /// A recorded value as it is sent; a placeholder that stands alone for a number becomes one.
    pub fn fill_value(&self, recorded: &Value) -> Result<Value, String> {
        Ok(match recorded {
            Value::String(text) => {
                let filled = self.fill(text)?;
                let name = ANY.captures(text).filter(|c| &c[0] == text).map(|c| c[1].to_owned());
                let numeric = name.is_some_and(|n| n.starts_with("time") || n.ends_with("_port"));
                match filled.parse::<serde_json::Number>() {
                    Ok(number) if numeric => Value::Number(number),
                    _ => Value::String(filled),
                }
            }
            Value::Array(items) => {
                Value::Array(items.iter().map(|v| self.fill_value(v)).collect::<Result<_, _>>()?)
            }
            Value::Object(map) => Value::Object(
                map.iter()
                    .map(|(k, v)| Ok((self.fill(k)?, self.fill_value(v)?)))
                    .collect::<Result<_, String>>()?,
            ),
            other => other.clone(),
        })
    }
}

/// The placeholder that a text holds first, whole: `${agent_id:1}`.
pub fn first(text: &str, name: &str) -> Option<String> {
    ANY.captures_iter(text).find(|c| &c[1] == name).map(|c| c[0].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0a7dbd0e-23a1-4b62-9c5e-0b2f1d6a9f00";

    #[test]
    fn a_placeholder_is_bound_once() {
        let mut bound = Bindings::default();
        assert!(bound.matches("${agent_id:1}", &format!("{ID}-S0")));
        assert!(bound.matches("/slaves/${agent_id:1}/x", &format!("/slaves/{ID}-S0/x")));
        assert!(!bound.matches("${agent_id:1}", &format!("{ID}-S1")));
        assert!(!bound.matches("${agent_id:2}", "no id"));
        assert_eq!(bound.fill("a ${agent_id:1}").unwrap(), format!("a {ID}-S0"));
        assert!(bound.fill("${agent_id:2}").unwrap_err().contains("${agent_id:2}"));
    }

    #[test]
    fn what_never_binds_matches_again_and_times_are_near() {
        let mut bound = Bindings::default();
        assert!(bound.matches("${number}", "1") && bound.matches("${number}", "2.5"));
        assert!(bound.matches("${time}", &now().to_string()));
        assert!(!bound.matches("${time}", "12"));
    }

    #[test]
    fn a_wrong_guess_is_taken_back() {
        let mut bound = Bindings::default();
        let mark = bound.mark();
        bound.set("${uuid:1}", ID);
        bound.back_to(mark);
        assert_eq!(bound.get("${uuid:1}"), None);
    }
}
