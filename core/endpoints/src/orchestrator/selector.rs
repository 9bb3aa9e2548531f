//! Label selectors: `k`, `k==v`, `k!=v`, `k in (a,b)`, `k notin (a)`; commas are "and", `\` escapes (LabelSelectorParsers).

use serde_json::Value;
use std::{iter::Peekable, str::Chars};

/// One condition on an app's labels.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Exists(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

impl Rule {
    pub fn matches(&self, labels: Option<&Value>) -> bool {
        let get = |key: &str| labels.and_then(|l| l.get(key)?.as_str());
        match self {
            Self::Exists(key) => get(key).is_some(),
            Self::In(key, values) => get(key).is_some_and(|v| values.iter().any(|w| w == v)),
            Self::NotIn(key, values) => get(key).is_some_and(|v| values.iter().all(|w| w != v)),
        }
    }
}

/// Reads a whole selector.
pub(super) fn parse(text: &str) -> Result<Vec<Rule>, String> {
    let mut chars = text.chars().peekable();
    rules(&mut chars).ok_or_else(|| {
        format!("'{text}' is not a label selector: write k, k==v, k!=v, k in (a,b) or k notin (a), with commas between")
    })
}

fn rules(chars: &mut Peekable<Chars<'_>>) -> Option<Vec<Rule>> {
    let mut all = Vec::new();
    loop {
        let key = term(chars)?;
        all.push(match chars.peek() {
            None | Some(',') => Rule::Exists(key),
            Some('=') => {
                chars.next();
                chars.next_if_eq(&'=')?;
                Rule::In(key, vec![term(chars)?])
            }
            Some('!') => {
                chars.next();
                chars.next_if_eq(&'=')?;
                Rule::NotIn(key, vec![term(chars)?])
            }
            Some(_) => match term(chars)?.as_str() {
                "in" => Rule::In(key, values(chars)?),
                "notin" => Rule::NotIn(key, values(chars)?),
                _ => return None,
            },
        });
        match chars.next() {
            None => return Some(all),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

fn values(chars: &mut Peekable<Chars<'_>>) -> Option<Vec<String>> {
    chars.next_if_eq(&'(')?;
    let mut all = vec![term(chars)?];
    while chars.next_if_eq(&',').is_some() {
        all.push(term(chars)?);
    }
    chars.next_if_eq(&')')?;
    blanks(chars);
    Some(all)
}

fn blanks(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| c.is_whitespace()).is_some() {}
}

/// A key or a value, with the blanks around it.
fn term(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    blanks(chars);
    let mut term = String::new();
    while let Some(c) = chars.next_if(|c| !c.is_whitespace() && !",()=!".contains(*c)) {
        term.push(if c == '\\' { chars.next()? } else { c });
    }
    blanks(chars);
    (!term.is_empty()).then_some(term)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_by_example() {
        let labels = json!({ "tier": "web", "a,b": "x y" });
        for (text, matches) in [
            ("tier", true),
            ("none", false),
            ("tier==web", true),
            ("tier == db", false),
            ("tier != db, tier", true),
            ("tier in (db, web)", true),
            ("tier notin (db)", true),
            ("tier notin (web)", false),
            ("none != x", false),
            (r"a\,b == x\ y", true),
        ] {
            let rules = parse(text).unwrap();
            assert_eq!(rules.iter().all(|rule| rule.matches(Some(&labels))), matches, "{text}");
        }
        for wrong in ["", "a=b", "a in", "a in ()", "a b", "a,", "a == ", "(a)", "a in (b", r"a\"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
