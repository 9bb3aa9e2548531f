//! One page per role for people with a browser: rendered here from the JSON that the role's own endpoints answer, so it
//! can say nothing that a client could not read, and needs no right that the one who asks has not.
//!
//! Never: changes, scripts, or anything from outside that is not escaped.

mod agent;
mod master;
mod orchestrator;

use crate::{Arrived, Routed};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use serde_json::Value;

pub(crate) use agent::page as agent;
pub(crate) use master::page as master;
pub(crate) use orchestrator::page as orchestrator;

/// Rows of a table; the rest is counted.
const ROWS_MAX: usize = 200;
/// Seconds after which a browser asks again.
const REFRESH_SECONDS: u32 = 10;
const STYLE: &str = ":root{color-scheme:light dark}body{font:14px/1.5 system-ui,sans-serif;margin:1.5em 2em;max-width:100em}\
h1{font-size:1.5em;margin:0}h2{font-size:1.1em;margin:1.8em 0 .3em}nav{margin:.3em 0 1em}nav a{margin-right:1em}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.25em 1em .25em 0;\
border-bottom:1px solid #8884}th{font-weight:600;opacity:.7}td{overflow-wrap:anywhere}\
dl{display:grid;grid-template-columns:max-content auto;gap:.1em 1.5em;margin:0}dt{opacity:.7}dd{margin:0;overflow-wrap:anywhere}\
.good{color:#2a9d4a}.wait{color:#c77700}.bad{color:#d33}span{white-space:nowrap}.none{opacity:.7}code{font-family:ui-monospace,monospace}";

/// Asks the role itself: a path, and what its endpoint answers; null where it answers anything but JSON.
pub(crate) type Read<'a> = &'a dyn Fn(&str) -> Value;

/// Whether a request is for the page.
pub(crate) fn asked(request: &Request<Bytes>, path: &str) -> bool {
    (request.method() == Method::GET || request.method() == Method::HEAD) && request.uri().path() == path
}

/// Whether the client names HTML among what it takes, as browsers do.
pub(crate) fn takes_html(request: &Request<Bytes>) -> bool {
    let accepts = request.headers().get_all(header::ACCEPT);
    accepts.iter().any(|value| value.as_bytes().windows(9).any(|w| w.eq_ignore_ascii_case(b"text/html")))
}

/// The same one asking for another path, with the same credentials.
pub(crate) fn inner(arrived: &Arrived, path: &str) -> Arrived {
    let mut request = Request::new(Bytes::new());
    *request.headers_mut() = arrived.request.headers().clone();
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if let Ok(uri) = path.parse() {
        *request.uri_mut() = uri;
    }
    Arrived { id: arrived.id, peer: arrived.peer, request }
}

/// What came of it.
pub(crate) fn json_of<I, P>(routed: Routed<I, P>) -> Value {
    match routed {
        Routed::Respond(answer) if answer.status().is_success() => {
            serde_json::from_slice(answer.body()).unwrap_or_default()
        }
        _ => Value::Null,
    }
}

/// What stands in a cell.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Text(String),
    /// A state, coloured by what it means.
    State(String),
    /// A time, kept on one line.
    Time(String),
    /// Text and where it leads.
    Link(String, String),
    Many(Vec<Cell>),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// A page under way.
pub(crate) struct Page {
    html: String,
}

impl Page {
    pub(crate) fn new(title: &str, links: &[(&str, &str)]) -> Self {
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title>\
             <meta name=\"viewport\" content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"{REFRESH_SECONDS}\">\
             <style>{STYLE}</style></head><body>\n<h1>{0}</h1>\n<nav>",
            escape(title)
        );
        for (name, to) in links {
            html += &cell(&Cell::Link((*name).to_owned(), (*to).to_owned()));
        }
        html += "</nav>\n";
        Self { html }
    }

    /// Names and values; empty values are left out.
    pub(crate) fn facts(&mut self, facts: Vec<(&str, Cell)>) {
        self.html += "<dl>";
        for (name, value) in facts {
            let value = cell(&value);
            if !value.is_empty() {
                self.html += &format!("<dt>{}</dt><dd>{value}</dd>", escape(name));
            }
        }
        self.html += "</dl>\n";
    }

    /// A table under its heading; `none` is said where it has no rows.
    pub(crate) fn table(&mut self, heading: &str, columns: &[&str], rows: Vec<Vec<Cell>>, none: &str) {
        self.html += &format!("<h2>{} ({})</h2>\n", escape(heading), rows.len());
        if rows.is_empty() {
            self.html += &format!("<p class=\"none\">{}</p>\n", escape(none));
            return;
        }
        self.html += "<table><tr>";
        columns.iter().for_each(|name| self.html += &format!("<th>{}</th>", escape(name)));
        self.html += "</tr>\n";
        for row in rows.iter().take(ROWS_MAX) {
            self.html += "<tr>";
            row.iter().for_each(|value| self.html += &format!("<td>{}</td>", cell(value)));
            self.html += "</tr>\n";
        }
        self.html += "</table>\n";
        if rows.len() > ROWS_MAX {
            self.html += &format!("<p class=\"none\">and {} more</p>\n", rows.len() - ROWS_MAX);
        }
    }

    pub(crate) fn finish(mut self) -> Response<Bytes> {
        self.html += &format!(
            "<p class=\"none\">mesolite {}; this page reads, the command line and the APIs change: \
             <code>mesolite --help</code></p></body></html>\n",
            env!("CARGO_PKG_VERSION")
        );
        let mut response = Response::new(Bytes::from(self.html));
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html"),
            (header::CACHE_CONTROL, "no-store"),
            (
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'",
            ),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

fn cell(value: &Cell) -> String {
    match value {
        Cell::Text(text) => escape(text),
        Cell::State(text) => format!("<span class=\"{}\">{}</span>", tone(text), escape(text)),
        Cell::Time(text) if text.is_empty() => String::new(),
        Cell::Time(text) => format!("<span>{}</span>", escape(text)),
        // Addresses come from frameworks and agents: only those that a browser fetches, never those that it runs.
        Cell::Link(text, to) if ["http://", "https://", "/"].iter().any(|start| to.starts_with(start)) => {
            format!("<a href=\"{}\">{}</a>", escape(to), escape(text))
        }
        Cell::Link(text, _) => escape(text),
        Cell::Many(all) => all.iter().map(cell).collect::<Vec<_>>().join(" "),
    }
}

fn tone(state: &str) -> &'static str {
    match state {
        "active" | "running" | "stable" | "healthy" | "TASK_RUNNING" | "TASK_FINISHED" => "good",
        "unhealthy" | "gone" | "TASK_FAILED" | "TASK_ERROR" | "TASK_LOST" | "TASK_UNREACHABLE"
        | "TASK_DROPPED" | "TASK_GONE" => "bad",
        _ => "wait",
    }
}

/// Text as HTML, in elements and in quoted attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Text as part of a path or query.
fn quote(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn text(value: &Value, field: &str) -> String {
    match &value[field] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

/// At most three decimals.
fn number(value: &Value) -> String {
    let text = format!("{:.3}", value.as_f64().unwrap_or_default());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `used / total` of one kind.
fn share(used: &Value, total: &Value, kind: &str) -> Cell {
    format!("{} / {}", number(&used[kind]), number(&total[kind])).into()
}

/// Seconds since 1970 as people read them.
fn time(value: &Value) -> Cell {
    match value.as_f64() {
        Some(seconds) if seconds > 0.0 => moment(&::orchestrator::when((seconds * 1000.0) as u64)),
        _ => Cell::Time(String::new()),
    }
}

/// `2026-11-21T08:29:07.873Z` without what nobody reads.
fn moment(text: &str) -> Cell {
    Cell::Time(text.split('.').next().unwrap_or_default().replace('T', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        let mut page = Page::new("<b>", &[("state", "/state")]);
        let evil = "<script>alert('x')</script>\"&";
        page.facts(vec![("name", evil.into()), ("nothing", "".into())]);
        let rows = vec![vec![
            Cell::Link(evil.to_owned(), "javascript:alert(1)".to_owned()),
            Cell::Link("a".to_owned(), "https://h/\"onclick=".to_owned()),
            Cell::State(evil.to_owned()),
        ]];
        page.table("rows", &["one"], rows, "none");
        page.table("empty", &["one"], Vec::new(), "there is <none>");
        let response = page.finish();
        let html = String::from_utf8_lossy(response.body()).into_owned();
        assert!(
            !html.contains("<script") && !html.contains("javascript:") && !html.contains("<b>"),
            "{html}"
        );
        assert!(html.contains("href=\"https://h/&quot;onclick=\""), "{html}");
        assert!(html.contains("there is &lt;none&gt;") && !html.contains("nothing"), "{html}");
        assert_eq!(quote("/a b/c?d"), "/a%20b/c%3Fd");
    }

    #[test]
    fn long_tables_end_and_say_so() {
        let mut page = Page::new("x", &[]);
        page.table("rows", &["n"], (0..ROWS_MAX + 7).map(|n| vec![n.to_string().into()]).collect(), "");
        let html = String::from_utf8_lossy(page.finish().body()).into_owned();
        assert_eq!(html.matches("<tr>").count(), ROWS_MAX + 1);
        assert!(html.contains("and 7 more") && html.contains("rows (207)"));
    }

    #[test]
    fn figures_are_short() {
        let json = serde_json::json!({ "cpus": 0.30000000000000004, "mem": 96.0 });
        assert_eq!(
            (number(&json["cpus"]), number(&json["mem"]), number(&json["disk"])),
            ("0.3".into(), "96".into(), "0".into())
        );
        assert_eq!(cell(&time(&serde_json::json!(0.0))), "");
        assert_eq!(cell(&time(&serde_json::json!(1.5))), "<span>1970-01-01 00:00:01</span>");
    }
}
