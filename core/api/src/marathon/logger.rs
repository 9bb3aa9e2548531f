//! Changes of log levels as Marathon's clients say them (`POST /logging`). Never what is logged.

use super::{
    Refusal,
    errors::{Violation, not_valid, wrong_shape},
    fields::{COUNT, TEXT},
    shape::{Field, Found, Shape, may, must, object},
};
use serde_json::{Map, Value, json};

/// How much a logger says, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggerChange {
    /// Its name; `ROOT` is what all others inherit.
    pub logger: String,
    /// trace, debug, info, warn or error.
    pub level: &'static str,
    /// None = it stays.
    pub seconds: Option<u32>,
}

const LEVELS: &[&str] = &["trace", "debug", "info", "warn", "error"];
const CHANGE: &[Field] =
    &[must("level", &Shape::Word(LEVELS)), must("logger", &TEXT), may("durationSeconds", &COUNT)];

/// Reads a body.
pub fn logger_change(body: Map<String, Value>) -> Result<LoggerChange, Refusal> {
    let mut found = Found::default();
    let read = object(CHANGE, body, true, "/", &mut found);
    if !found.violations.is_empty() {
        return Err(wrong_shape(&found.violations));
    }
    let text = |name: &str| read.get(name).and_then(Value::as_str).unwrap_or_default();
    let logger = text("logger").to_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
    let fault = if logger.is_empty() {
        "must not be empty".to_owned()
    } else if !logger.chars().all(plain) {
        format!("'{logger}' is no name of a logger: letters, digits, '_', '-', '.' and ':' are right")
    } else {
        let level = LEVELS.iter().find(|level| **level == text("level")).copied().unwrap_or("info");
        let seconds = read.get("durationSeconds").and_then(Value::as_u64).and_then(|s| u32::try_from(s).ok());
        return Ok(LoggerChange { logger, level, seconds });
    };
    Err(not_valid(&[Violation::new("/logger", fault)]))
}

impl LoggerChange {
    /// As it is said back.
    pub fn said(&self) -> Value {
        let mut said = json!({ "level": self.level, "logger": self.logger });
        if let Some(seconds) = self.seconds {
            said["durationSeconds"] = seconds.into();
        }
        said
    }
}
