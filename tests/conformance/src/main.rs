//! `replay DIR [--binary FILE | --master URL [--agent URL]] [--only NAME]… [--verbose]`: what `cargo xtask replay` runs.

use anyhow::Context as _;
use mesolite_conformance::{Server, replay_all};
use std::{path::PathBuf, process::ExitCode};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("replay: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<bool> {
    let mut arguments = std::env::args().skip(1);
    let (mut dir, mut binary, mut master, mut agent) = (None, None, None, None);
    let (mut only, mut verbose) = (Vec::new(), false);
    while let Some(argument) = arguments.next() {
        let mut value = |name: &str| arguments.next().with_context(|| format!("{name} needs a value"));
        match argument.as_str() {
            "--binary" => binary = Some(value("--binary")?),
            "--master" => master = Some(value("--master")?),
            "--agent" => agent = Some(value("--agent")?),
            "--only" => only.push(value("--only")?),
            "--verbose" => verbose = true,
            flag if flag.starts_with("--") => anyhow::bail!("unknown flag {flag}"),
            path => dir = Some(PathBuf::from(path)),
        }
    }
    let dir = dir.context("which folder of transcripts?")?;
    let server = match (master, binary) {
        (Some(master), _) => Server::Running { master, agent },
        (None, Some(binary)) => Server::Binary(binary.into()),
        (None, None) => anyhow::bail!("give --master URL or --binary FILE"),
    };
    let report = replay_all(&dir, &server, &only, |name, outcome| {
        if outcome.matches() {
            println!("match  {name}");
        } else if !outcome.tried {
            println!("skip   {name}");
        } else {
            println!("DIFFER {name}  {} of {} steps", outcome.matched, outcome.steps);
            let shown = if verbose { usize::MAX } else { 4 };
            for difference in outcome.differences.iter().take(shown) {
                println!("         {difference}");
            }
        }
    })?;
    println!("{report}");
    Ok(report.files.values().all(|o| !o.tried || o.matches()))
}
