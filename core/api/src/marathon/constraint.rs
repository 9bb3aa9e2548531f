//! What is wrong with a placement constraint (SchedulingValidation). Never whether an agent fulfils it.

use super::{fields::OPERATORS, pattern::Pattern};
use serde_json::Value;

/// An app's, in list form.
pub(super) fn app_fault(constraint: &Value) -> Option<String> {
    let parts: Vec<&str> = constraint.as_array()?.iter().map(|p| p.as_str().unwrap_or_default()).collect();
    match parts.as_slice() {
        ["", ..] if (2..=3).contains(&parts.len()) => Some("illegal constraint specification".to_owned()),
        [field, operator] => fault(field, operator, None),
        [field, operator, value] => fault(field, operator, Some(value)),
        _ => Some("Each constraint must have either 2 or 3 fields".to_owned()),
    }
}

/// One in parts.
pub(super) fn fault(field: &str, operator: &str, value: Option<&str>) -> Option<String> {
    if field == "@app" && !["LIKE", "UNLIKE"].contains(&operator) {
        return Some("@app accepts LIKE and UNLIKE only".to_owned());
    }
    let whole = || value.is_some_and(|v| v.parse::<i32>().is_ok());
    let fault = match operator {
        _ if field.is_empty() => "missing field for constraint declaration",
        "UNIQUE" if value.is_some() => "UNIQUE does not accept a value",
        "GROUP_BY" if value.is_some() && !whole() => {
            "GROUP BY must define an integer value or else no value at all"
        }
        "MAX_PER" if !whole() => "MAX_PER requires an integer value",
        "LIKE" | "UNLIKE" => match value {
            None | Some("") => "LIKE and UNLIKE require a non-empty, regular expression value",
            Some(pattern) if !is_regex(pattern) => "is not a valid regular expression",
            Some(_) => return None,
        },
        "IS" if !value
            .unwrap_or_default()
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_/.-".contains(c)) =>
        {
            "IS only supports Mesos text and float values (see \
             http://mesos.apache.org/documentation/latest/attributes-resources/)"
        }
        operator if !OPERATORS.contains(&operator) => {
            "operator must be one of the following UNIQUE, CLUSTER, GROUP_BY, LIKE, MAX_PER, UNLIKE or IS"
        }
        _ => return None,
    };
    Some(fault.to_owned())
}

/// What is wrong with preferences; they are said in parts.
pub(super) fn preference_faults(preferences: &[Value]) -> impl Iterator<Item = (usize, String)> {
    preferences.iter().enumerate().filter_map(|(i, preference)| {
        let part = |name: &str| preference.get(name).and_then(Value::as_str);
        let fault =
            fault(part("field").unwrap_or_default(), part("operator").unwrap_or_default(), part("value"));
        Some((i, fault?))
    })
}

/// A volume's: only its path, like or unlike something.
pub(super) fn volume_fault(constraint: &Value) -> Option<String> {
    let parts: Vec<&str> = constraint.as_array()?.iter().map(|p| p.as_str().unwrap_or_default()).collect();
    match parts.as_slice() {
        ["path", "LIKE" | "UNLIKE", pattern] if is_regex(pattern) => None,
        ["path", "LIKE" | "UNLIKE", _] => Some("Invalid regular expression".to_owned()),
        ["path", operator, _] if OPERATORS.contains(operator) => {
            Some("Operator must be one of LIKE, UNLIKE".to_owned())
        }
        ["path", operator, _] => Some(format!("unknown constraint operator {operator}")),
        [] => Some("Missing field and operator".to_owned()),
        parts => Some(format!("Unsupported constraint {}", parts.join(","))),
    }
}

pub(super) fn is_regex(pattern: &str) -> bool {
    Pattern::new(pattern).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn which_are_refused() {
        for (constraint, wrong) in [
            (json!(["hostname", "UNIQUE"]), false),
            (json!(["hostname", "UNIQUE", "x"]), true),
            (json!(["hostname"]), true),
            (json!(["", "UNIQUE"]), true),
            (json!(["a", "b", "c", "d"]), true),
            (json!(["rack", "CLUSTER"]), false),
            (json!(["rack", "CLUSTER", "r1"]), false),
            (json!(["rack", "GROUP_BY"]), false),
            (json!(["rack", "GROUP_BY", "x"]), true),
            (json!(["rack", "MAX_PER"]), true),
            (json!(["rack", "MAX_PER", "2"]), false),
            (json!(["rack", "LIKE", "("]), true),
            (json!(["rack", "LIKE"]), true),
            (json!(["hostname", "LIKE", "(?=a)b"]), false),
            (json!(["rack", "UNLIKE", "r[1-3]"]), false),
            (json!(["rack", "IS", "a/b_c.d-1"]), false),
            (json!(["rack", "IS", "[1-3]"]), true),
            (json!(["rack", "NEAR"]), true),
            (json!(["@app", "UNLIKE", "/db.*"]), false),
            (json!(["@app", "UNIQUE"]), true),
        ] {
            assert_eq!(app_fault(&constraint).is_some(), wrong, "{constraint}");
        }
        assert_eq!(volume_fault(&json!(["path", "LIKE", "/mnt/.*"])), None);
        assert_eq!(
            volume_fault(&json!(["path", "UNIQUE", ""])).unwrap(),
            "Operator must be one of LIKE, UNLIKE"
        );
        assert_eq!(
            volume_fault(&json!(["disk", "LIKE", "a"])).unwrap(),
            "Unsupported constraint disk,LIKE,a"
        );
    }
}
