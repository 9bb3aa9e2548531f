//! What people see: tables and colour on a terminal, plain text in a pipe, JSON where asked. Never: what is in it.

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;
use std::{
    io::{IsTerminal as _, Write as _},
    sync::LazyLock,
    time::Duration,
};

/// All bars of this process, one below the other on standard error.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);
/// Between two pictures of a spinner.
const SPIN: Duration = Duration::from_millis(100);

/// How to print.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// JSON instead of tables.
    pub json: bool,
    /// Standard output is a terminal that shows colour.
    pub colour: bool,
    /// Standard error is a terminal.
    pub progress: bool,
}

impl Output {
    /// Looks at the terminal. `NO_COLOR` is respected, and terminals that can't move the cursor get plain lines.
    pub fn detect(json: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let able = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        Self {
            json,
            colour: able && std::io::stdout().is_terminal() && !plain,
            progress: able && std::io::stderr().is_terminal(),
        }
    }

    /// Prints a line. Whoever reads may stop reading.
    pub fn line(&self, text: &str) {
        self.raw(format!("{text}\n").as_bytes());
    }
    /// Prints bytes.
    pub fn raw(&self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
            // as the shell reports a process that a closed pipe ended
            std::process::exit(141);
        }
    }
    /// Prints bytes on standard error.
    pub fn raw_error(&self, bytes: &[u8]) {
        let mut err = std::io::stderr().lock();
        // Nobody can be told that nobody listens.
        err.write_all(bytes).and_then(|()| err.flush()).unwrap_or_default();
    }
    /// Prints JSON, indented.
    pub fn value(&self, value: &Value) {
        self.line(&format!("{value:#}"));
    }
    /// Prints rows under their headings.
    pub fn table(&self, headings: &[&str], rows: Vec<Vec<String>>) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Disabled);
        if self.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(headings.iter().map(|h| Cell::new(h).add_attribute(Attribute::Bold)));
        for row in rows {
            table.add_row(row.into_iter().map(|text| match tone(&text) {
                Some(colour) if self.colour => Cell::new(text).fg(colour),
                _ => Cell::new(text),
            }));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let text: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        self.raw(text.as_bytes());
    }
    /// Prints `name  value` lines.
    pub fn facts(&self, facts: &[(&str, String)]) {
        let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
            self.line(&format!("{name:width$}  {value}"));
        }
    }
    /// Says on standard error what is under way.
    pub fn note(&self, text: &str) {
        // Bars stand still meanwhile.
        BARS.suspend(|| drop(writeln!(std::io::stderr().lock(), "{text}")));
    }
    /// On a terminal, a bar for something under way; it goes when it is dropped.
    pub fn bar(&self, name: &str) -> Option<Bar> {
        if !self.progress {
            return None;
        }
        let bar = BARS.add(ProgressBar::new(1));
        let look = ProgressStyle::with_template("{spinner} {prefix} [{bar:20}] {pos}/{len} {msg}");
        bar.set_style(look.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(SPIN);
        Some(Bar(bar))
    }
    /// Says an error.
    pub fn error(&self, text: &str) {
        let (red, off) = if self.progress { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
        self.note(&format!("{red}error:{off} {text}"));
    }
    /// Says a warning.
    pub fn warn(&self, text: &str) {
        let (yellow, off) = if self.progress { ("\x1b[1;33m", "\x1b[0m") } else { ("", "") };
        self.note(&format!("{yellow}warning:{off} {text}"));
    }
}

/// A bar on a terminal.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Bar {
    /// How far it is, and what is under way.
    pub fn show(&self, done: u64, all: u64, what: &str) {
        self.0.set_length(all);
        self.0.set_position(done.min(all));
        self.0.set_message(what.to_owned());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
        BARS.remove(&self.0);
    }
}

fn tone(text: &str) -> Option<Color> {
    match text {
        "running" | "healthy" | "active" | "TASK_RUNNING" | "TASK_FINISHED" => Some(Color::Green),
        "waiting" | "deploying" | "paused" | "TASK_STAGING" | "TASK_STARTING" | "TASK_KILLING" => {
            Some(Color::Yellow)
        }
        "unhealthy" | "gone" | "TASK_FAILED" | "TASK_ERROR" | "TASK_LOST" | "TASK_UNREACHABLE" => {
            Some(Color::Red)
        }
        _ => None,
    }
}

/// A number without needless decimals.
pub fn number(value: &Value) -> String {
    let n = value.as_f64().unwrap_or_default();
    let text = format!("{n:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The text of a field, or nothing.
pub fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

/// The elements of a list field.
pub fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}
