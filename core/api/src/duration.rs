//! Mesos' durations as people write them. Never what they are for.

use std::time::Duration;

/// Reads a number with `ns us ms secs mins hrs days weeks`. Errors are upstream's texts (stout's `Duration::parse`).
pub fn parse(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-')).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let Ok(number) = number.parse::<f64>() else {
        return Err(format!("Failed to convert '{number}' to number"));
    };
    let seconds = match unit {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "secs" => 1.0,
        "mins" => 60.0,
        "hrs" => 3600.0,
        "days" => 86_400.0,
        "weeks" => 604_800.0,
        _ => return Err(format!("Unknown duration unit '{unit}'")),
    };
    Duration::try_from_secs_f64(number * seconds).map_err(|_| format!("'{text}' is no duration"))
}
