//! Endpoints that an operator has closed (`--firewall_rules`): which paths they are, and what is answered there.
//!
//! As upstream: a rule's path belongs to the process that its first part names if that process runs before the master or
//! the agent does; to any other path that one's name is put first. So `/flags` closes `/flags` and `/master/flags`, while
//! `/master/flags` and `/files/browse` close nothing, as was recorded too (3rdparty/libprocess/src/{process,firewall}.cpp:
//! `absolutePath`). Never: messages between daemons, which upstream looks at before.

use crate::answer::{decode_path, render};
use api::text::TextWriter;
use bytes::Bytes;
use model::request::Answer;
use std::collections::BTreeSet;

/// Paths that rules may name.
const PATHS_MAX: usize = 1024;
/// Processes that run when the rules are installed.
const EARLY: [&str; 7] = ["__processes__", "help", "logging", "metrics", "profiler", "system", "version"];
/// Processes that come later.
const LATER: [&str; 2] = ["files", "registrar(1)"];

/// The rules of one daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Firewall {
    /// The process that gets what is nobody's: `master` or `slave(1)`.
    delegate: &'static str,
    /// As they were given.
    said: Vec<String>,
    closed: BTreeSet<String>,
}

impl Firewall {
    /// Reads rules in upstream's JSON. The error says what would be right.
    pub fn parse(text: &str, delegate: &'static str) -> Result<Self, String> {
        let right = r#"as in '{"disabled_endpoints":{"paths":["/flags"]}}'"#;
        let wrong = |what: &str| format!("{what}; {right}");
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| wrong(&format!("not JSON: {error}")))?;
        let rules = value.as_object().ok_or_else(|| wrong("not a JSON object"))?;
        // A rule that is misspelt would leave open what was to be closed.
        if let Some(other) = rules.keys().find(|name| *name != "disabled_endpoints") {
            return Err(wrong(&format!("there are no rules '{other}'")));
        }
        let mut this = Self { delegate, ..Self::default() };
        let Some(endpoints) = rules.get("disabled_endpoints") else { return Ok(this) };
        let endpoints = endpoints.as_object().ok_or_else(|| wrong("'disabled_endpoints' is no object"))?;
        if let Some(other) = endpoints.keys().find(|name| *name != "paths") {
            return Err(wrong(&format!("'disabled_endpoints' has no field '{other}'")));
        }
        let paths = endpoints.get("paths").and_then(|paths| paths.as_array());
        for path in paths.ok_or_else(|| wrong("'paths' is no list"))? {
            let path = path.as_str().ok_or_else(|| wrong(&format!("the path {path} is no text")))?;
            if this.said.len() == PATHS_MAX {
                return Err(format!("more than {PATHS_MAX} paths (PATHS_MAX)"));
            }
            this.closed.insert(this.of_process(path, &EARLY));
            this.said.push(path.to_owned());
        }
        Ok(this)
    }

    /// Paths that close nothing, each with the one that would.
    pub fn idle(&self) -> Vec<(&str, Option<String>)> {
        let idle = self.said.iter().filter(|path| {
            let first = first_part(path);
            first == self.delegate || LATER.contains(&first.as_str())
        });
        let own = format!("/{}/", self.delegate);
        idle.map(|path| (path.as_str(), path.strip_prefix(&own).map(|rest| format!("/{rest}")))).collect()
    }

    /// As upstream's `/flags` show them.
    pub fn shown(&self) -> String {
        let mut w = TextWriter::default();
        w.open("disabled_endpoints");
        self.said.iter().for_each(|path| w.quoted("paths", path.as_bytes()));
        w.close();
        w.into_text()
    }

    /// What is answered at a path that is closed.
    pub fn refuses(&self, path: &str) -> Option<http::Response<Bytes>> {
        if self.closed.is_empty() {
            return None;
        }
        let all: Vec<&str> = EARLY.iter().chain(&LATER).copied().chain([self.delegate]).collect();
        let path = self.of_process(path, &all);
        let closed = self.closed.contains(&path);
        closed.then(|| render(Answer::text(403, format!("Endpoint '{path}' is disabled"))))
    }

    /// A path with its process first, if these run.
    fn of_process(&self, path: &str, running: &[&str]) -> String {
        let first = first_part(path);
        if first.is_empty() {
            format!("/{}", self.delegate)
        } else if running.contains(&first.as_str()) {
            path.to_owned()
        } else {
            format!("/{}{path}", self.delegate)
        }
    }
}

fn first_part(path: &str) -> String {
    decode_path(path.split('/').find(|part| !part.is_empty()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(paths: &[&str]) -> Firewall {
        let json = serde_json::json!({ "disabled_endpoints": { "paths": paths } });
        Firewall::parse(&json.to_string(), "master").unwrap()
    }

    fn body(firewall: &Firewall, path: &str) -> Option<(u16, String)> {
        let response = firewall.refuses(path)?;
        Some((response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap()))
    }

    #[test]
    fn what_is_closed_is_forbidden_in_each_of_its_forms() {
        let firewall = rules(&["/flags", "/metrics/snapshot", "/"]);
        let refused = |path: &str| Some((403, format!("Endpoint '{path}' is disabled")));
        assert_eq!(body(&firewall, "/flags"), refused("/master/flags"));
        assert_eq!(body(&firewall, "/master/flags"), refused("/master/flags"));
        assert_eq!(body(&firewall, "/metrics/snapshot"), refused("/metrics/snapshot"));
        assert_eq!(body(&firewall, "/"), refused("/master"));
        for open in ["/state", "/flags/", "/metrics/prometheus", "/files/browse", "/version"] {
            assert_eq!(body(&firewall, open), None, "{open}");
        }
        assert_eq!(body(&Firewall::default(), "/flags"), None);
    }

    #[test]
    fn rules_that_close_nothing_are_known() {
        let firewall = rules(&["/files/browse", "/master/flags", "/state"]);
        assert_eq!(body(&firewall, "/files/browse"), None);
        assert_eq!(body(&firewall, "/master/flags"), None);
        let state = Some("/flags".to_owned());
        assert_eq!(firewall.idle(), [("/files/browse", None), ("/master/flags", state)]);
        let text = "disabled_endpoints {\n  paths: \"/files/browse\"\n  paths: \"/master/flags\"\n  paths: \"/state\"\n}\n";
        assert_eq!(firewall.shown(), text);
        let agent = Firewall::parse(r#"{"disabled_endpoints":{"paths":["/state"]}}"#, "slave(1)").unwrap();
        assert!(agent.refuses("/slave(1)/state").is_some() && agent.refuses("/state").is_some());
    }

    #[test]
    fn what_is_misspelt_is_refused() {
        for text in ["", "[]", r#"{"disabled":{}}"#, r#"{"disabled_endpoints":{"path":[]}}"#] {
            assert!(Firewall::parse(text, "master").unwrap_err().contains("as in '{"), "{text}");
        }
        let number = r#"{"disabled_endpoints":{"paths":[1]}}"#;
        assert!(Firewall::parse(number, "master").unwrap_err().starts_with("the path 1 is no text"));
        assert_eq!(Firewall::parse("{}", "master").unwrap().refuses("/flags").map(|_| ()), None);
    }
}
