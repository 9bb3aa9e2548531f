//! Files that are known not to match, and why. The list must be exact: a file on it that matches is as wrong as one
//! that does not match and is not on it.

use crate::Report;
use anyhow::Context as _;
use std::{collections::BTreeMap, path::Path};

/// File → reason, from lines `area/nn-name.json  reason`; `#` begins a comment.
#[derive(Debug, Default)]
pub struct Expected {
    reasons: BTreeMap<String, String>,
}

impl Expected {
    /// Reads a list.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut reasons = BTreeMap::new();
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            let (name, reason) =
                line.split_once(char::is_whitespace).with_context(|| format!("'{line}' gives no reason"))?;
            reasons.insert(name.to_owned(), reason.trim().to_owned());
        }
        Ok(Self { reasons })
    }

    /// Files that do not match and are not on the list.
    pub fn news(&self, report: &Report) -> Vec<String> {
        let files = report
            .files
            .iter()
            .filter(|(name, o)| o.tried && !o.matches() && !self.reasons.contains_key(*name));
        files.map(|(name, _)| name.clone()).collect()
    }

    /// What is not as the list says: one line each.
    pub fn wrong(&self, report: &Report) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, outcome) in report.files.iter().filter(|(_, o)| o.tried) {
            match (outcome.matches(), self.reasons.get(name)) {
                (true, Some(_)) => wrong.push(format!("{name} matches now: take it off the list")),
                (false, None) => {
                    let shown: Vec<_> = outcome.differences.iter().take(8).map(String::as_str).collect();
                    wrong.push(format!("{name} does not match:\n    {}", shown.join("\n    ")));
                }
                _ => {}
            }
        }
        for name in self.reasons.keys().filter(|n| !report.files.contains_key(*n)) {
            wrong.push(format!("{name} is on the list but there is no such file"));
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;

    #[test]
    fn the_list_must_be_exact() {
        let expected =
            Expected::parse("# known\na/1.json  no reason\nb/2.json images\nc/3.json gone\n").unwrap();
        let mut report = Report::default();
        let good = Outcome { steps: 2, matched: 2, ..Outcome::default() };
        let bad = Outcome { steps: 2, matched: 1, differences: vec!["x".into()], ..Outcome::default() };
        report.files.insert("a/1.json".into(), good.clone());
        report.files.insert("b/2.json".into(), bad.clone());
        report.files.insert("d/4.json".into(), bad);
        let wrong = expected.wrong(&report);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].starts_with("a/1.json matches now"));
        assert!(wrong[1].starts_with("d/4.json does not match"));
        assert!(wrong[2].starts_with("c/3.json is on the list"));
        assert!(Expected::parse("a/1.json").is_err());
    }
}
