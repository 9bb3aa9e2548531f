//! What was measured, as a table for people and as JSON. Never how it was measured.

use crate::{Options, Size, machine::Machine};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What is aimed at.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// The ratio to the limit is at least this.
    Ratio(f64),
    /// The figure is at most this.
    AtMost(f64),
    /// The figure is at least this.
    AtLeast(f64),
    /// Nothing: it is printed because it explains another.
    None,
}

/// One measured figure.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What it is.
    pub what: String,
    /// Its unit.
    pub unit: &'static str,
    /// The median of the rounds.
    pub value: f64,
    /// Every round that counts.
    pub rounds: Vec<f64>,
    /// The limit of this machine in the same minute, in the same unit, and the probe that found it.
    pub limit: Option<(f64, &'static str)>,
    /// The median over the rounds of the figure through its own limit.
    pub ratio: Option<f64>,
    /// The least and the most of these ratios.
    pub ratios: Option<(f64, f64)>,
    /// What is aimed at.
    pub target: Target,
}

impl Figure {
    /// A figure without a limit.
    pub fn plain(what: impl Into<String>, unit: &'static str, rounds: Vec<f64>, target: Target) -> Self {
        let value = crate::stats::median(&rounds);
        Self { what: what.into(), unit, value, rounds, limit: None, ratio: None, ratios: None, target }
    }

    /// A rate beside its limit: pairs of both, one for each round.
    pub fn rate(what: impl Into<String>, pairs: &[(f64, f64)], probe: &'static str, target: Target) -> Self {
        let rounds: Vec<f64> = pairs.iter().map(|(rate, _)| *rate).collect();
        let limits: Vec<f64> = pairs.iter().map(|(_, limit)| *limit).collect();
        let ratios: Vec<f64> = pairs.iter().map(|(rate, limit)| rate / limit).collect();
        Self {
            limit: Some((crate::stats::median(&limits), probe)),
            ratio: Some(crate::stats::median(&ratios)),
            ratios: Some((
                ratios.iter().copied().fold(f64::INFINITY, f64::min),
                ratios.iter().copied().fold(0.0, f64::max),
            )),
            ..Self::plain(what, "/s", rounds, target)
        }
    }

    /// Whether the target is met; none = there is none.
    pub fn is_met(&self) -> Option<bool> {
        match self.target {
            Target::Ratio(least) => Some(self.ratio.is_some_and(|ratio| ratio >= least)),
            Target::AtMost(most) => Some(self.value <= most),
            Target::AtLeast(least) => Some(self.value >= least),
            Target::None => None,
        }
    }

    /// The least and the most of the rounds.
    fn spread(&self) -> String {
        let least = self.rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.rounds.iter().copied().fold(0.0, f64::max);
        if self.rounds.len() < 2 { String::new() } else { format!(" ({}..{})", number(least), number(most)) }
    }

    fn target(&self) -> String {
        match self.target {
            Target::Ratio(least) => format!(">= {least} of the limit"),
            Target::AtMost(most) => format!("<= {} {}", number(most), self.unit),
            Target::AtLeast(least) => format!(">= {} {}", number(least), self.unit),
            Target::None => String::new(),
        }
    }
}

/// Everything of one run.
#[derive(Debug)]
pub struct Report {
    machine: Machine,
    quick: bool,
    apart: bool,
    rows: Vec<(&'static str, Result<Vec<Figure>, String>)>,
}

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        let machine = Machine::record(&options.binary);
        Self { machine, quick: options.size == Size::Quick, apart: options.apart, rows: Vec::new() }
    }
    pub(crate) fn add(&mut self, row: &'static str, outcome: Result<Vec<Figure>, String>) {
        self.rows.push((row, outcome));
    }
    pub(crate) fn end(&mut self) {
        self.machine.end();
    }
    /// Whether every row ran and was correct.
    pub fn is_whole(&self) -> bool {
        self.rows.iter().all(|(_, outcome)| outcome.is_ok())
    }
    /// Rows by name: their figures, or why they do not count.
    pub fn rows(&self) -> &[(&'static str, Result<Vec<Figure>, String>)] {
        &self.rows
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = self.machine.text();
        let said = match (self.quick, self.apart) {
            (true, _) => "tiny counts: nothing here is a measurement",
            (false, true) => {
                "real: tasks, agent, master (processes of their own), client, disk; simulated: nothing"
            }
            (false, false) => {
                "real: tasks, agent and master (`mesolite dev`), client, disk; simulated: nothing but in S1 and S2 (agents, frameworks and tasks)"
            }
        };
        writeln!(text, "{said}").unwrap_or_default();
        for (row, outcome) in &self.rows {
            match outcome {
                Err(why) => writeln!(text, "{row:<4} DOES NOT COUNT: {why}").unwrap_or_default(),
                Ok(figures) => figures.iter().for_each(|figure| {
                    let limit = figure.limit.map_or_else(String::new, |(limit, probe)| {
                        format!(
                            "  {:.2}{} of {} {} ({probe})",
                            figure.ratio.unwrap_or_default(),
                            figure.ratios.map_or_else(String::new, |(least, most)| format!(
                                " ({least:.2}..{most:.2})"
                            )),
                            number(limit),
                            figure.unit
                        )
                    });
                    let met = match figure.is_met() {
                        Some(true) => "  met: ",
                        Some(false) => "  MISSED: ",
                        None => "",
                    };
                    let value = format!("{} {}{}", number(figure.value), figure.unit, figure.spread());
                    writeln!(text, "{row:<4} {:<46} {value:<24}{limit}{met}{}", figure.what, figure.target())
                        .unwrap_or_default();
                }),
            }
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|(row, outcome)| match outcome {
                Err(why) => json!({ "row": row, "counts": false, "why": why }),
                Ok(figures) => {
                    let figures: Vec<Value> = figures.iter().map(|f| json!({
                        "what": f.what, "unit": f.unit, "value": f.value, "rounds": f.rounds,
                        "limit": f.limit.map(|l| l.0), "probe": f.limit.map(|l| l.1), "ratio": f.ratio,
                        "target": f.target(), "met": f.is_met(),
                    })).collect();
                    json!({ "row": row, "counts": true, "figures": figures })
                }
            })
            .collect();
        json!({ "machine": self.machine.json(), "quick": self.quick, "apart": self.apart, "rows": rows })
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 || v == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let figure =
            Figure::rate("x", &[(50.0, 100.0), (10.0, 100.0), (90.0, 100.0)], "p", Target::Ratio(0.5));
        assert_eq!((figure.value, figure.ratio, figure.is_met()), (50.0, Some(0.5), Some(true)));
        let late = Figure::plain("y", "ms", vec![3.0, 5.0], Target::AtMost(3.5));
        assert_eq!((late.value, late.is_met()), (4.0, Some(false)));
    }
}
