//! `mesolite-bench [ROW…]`: arguments → rows → a table, and JSON if asked for. `cargo xtask bench` builds and calls it.

use mesolite_bench::{Options, ROWS, Size, run};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

const USAGE: &str =
    "usage: cargo xtask bench [ROW…] [--json FILE] [--out FILE] [--rounds N] [--quick] [--binary FILE] [--apart]

Without a ROW all of them run, after a release build of the binary.
  --json FILE    what was measured, with the machine, as JSON
  --out FILE     the table, as Markdown, at the end of a file (bench/results/ keeps those worth keeping)
  --rounds N     rounds of each row (default 5; E2 9); the median counts
  --quick        tiny counts: shows that the rows work, measures nothing
  --binary FILE  another binary than target/release/mesolite
  --apart        L1 and L2 with master and agent as processes of their own, not as `mesolite dev`
Rows:";

fn main() -> ExitCode {
    match arguments() {
        Ok(None) => {
            println!("{USAGE}");
            for row in ROWS {
                println!("  {:<4} {}", row.name, row.about);
            }
            ExitCode::SUCCESS
        }
        Ok(Some((rows, options, json, out))) => {
            let report = run(&rows, &options);
            print!("{}", report.text());
            if let Some(file) = out
                && let Err(error) = append(&file, &report.text())
            {
                eprintln!("--out: can't write {}: {error}", file.display());
                return ExitCode::FAILURE;
            }
            if let Some(file) = json
                && let Err(error) = std::fs::write(&file, format!("{:#}\n", report.json()))
            {
                eprintln!("--json: can't write {}: {error}", file.display());
                return ExitCode::FAILURE;
            }
            if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn append(file: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
    write!(file, "```\n{text}```\n\n")
}

/// Rows, how they are run, where JSON goes, where the table goes.
type Asked = (Vec<String>, Options, Option<PathBuf>, Option<PathBuf>);

fn arguments() -> Result<Option<Asked>, String> {
    let mut given = std::env::args().skip(1);
    let (mut rows, mut json, mut out, mut binary, mut rounds) = (Vec::new(), None, None, None, None);
    let (mut size, mut apart) = (Size::Full, false);
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or_else(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "-h" | "--help" => return Ok(None),
            "--json" => json = Some(PathBuf::from(value()?)),
            "--out" => out = Some(PathBuf::from(value()?)),
            "--binary" => binary = Some(PathBuf::from(value()?)),
            "--rounds" => {
                let text = value()?;
                let number = text.parse().ok().filter(|n| (1..=1000).contains(n));
                rounds =
                    Some(number.ok_or_else(|| format!("--rounds: '{text}' is not a number from 1 to 1000"))?);
            }
            "--quick" => size = Size::Quick,
            "--apart" => apart = true,
            name => match ROWS.iter().find(|row| row.name.eq_ignore_ascii_case(name)) {
                Some(row) => rows.push(row.name.to_owned()),
                None => {
                    let known: Vec<_> = ROWS.iter().map(|row| row.name).collect();
                    return Err(format!("there is no row or option '{name}'; rows: {}", known.join(" ")));
                }
            },
        }
    }
    if rows.is_empty() {
        rows.extend(ROWS.iter().map(|row| row.name.to_owned()));
    }
    let binary = match binary {
        Some(binary) => binary,
        None => std::env::current_exe()
            .map_err(|error| format!("where this program stands is not known: {error}"))?
            .with_file_name("mesolite"),
    };
    if !binary.is_file() {
        return Err(format!(
            "there is no {}: cargo build --release, or name one with --binary",
            binary.display()
        ));
    }
    Ok(Some((rows, Options { binary, size, rounds, apart }, json, out)))
}
