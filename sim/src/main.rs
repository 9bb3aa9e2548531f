//! `cargo xtask sim`: runs seeds and says how to run a failed one again. Never decides what a seed means.

use sim::{Options, Outcome, run_all, some_seed};
use std::{
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

const USAGE: &str = "usage: cargo xtask sim [--seed N] [--count N] [--steps N] [--trace] [--first]
  --seed N    the first seed; alone = this one only (a fresh one)
  --count N   so many seeds, one after the other (100; 1 with --seed)
  --steps N   steps of machines before the faults end, at most (20000)
  --trace     print the whole trace
  --first     stop at the first failure and say how many seeds it took";

struct Arguments {
    seeds: Vec<u64>,
    options: Options,
    first: bool,
}

fn arguments() -> Result<Arguments, String> {
    let (mut count, mut seed, mut options, mut first) = (None, None, Options::default(), false);
    let mut all = std::env::args().skip(1);
    while let Some(argument) = all.next() {
        let mut number = || {
            let value = all.next().ok_or(format!("{argument} wants a number"))?;
            value.parse::<u64>().map_err(|_| format!("{argument}: '{value}' is not a number"))
        };
        match argument.as_str() {
            "--count" => count = Some(number()?),
            "--seed" => seed = Some(number()?),
            "--steps" => options.steps = number()?,
            "--trace" => options.verbose = true,
            "--first" => first = true,
            _ => return Err(USAGE.to_owned()),
        }
    }
    let count = count.unwrap_or(if seed.is_some() { 1 } else { 100 });
    let begin = seed.unwrap_or_else(some_seed);
    Ok(Arguments { seeds: (begin..begin.saturating_add(count)).collect(), options, first })
}

fn report(outcome: &Outcome) {
    println!("seed {}: {}", outcome.seed, outcome.mix);
    for line in &outcome.tail {
        println!("  {line}");
    }
    println!("{}", outcome.complaint());
}

fn main() -> ExitCode {
    let Arguments { seeds, options, first } = match arguments() {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    let began = Instant::now();
    let done = AtomicUsize::new(0);
    let outcomes = run_all(&seeds, options, None, |outcome| {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if outcome.failure.is_some() {
            report(outcome);
            if first {
                println!("found with seed {} after {done} seeds", outcome.seed);
            }
        } else if seeds.len() == 1 {
            println!("seed {}: {}\n  hash of the trace {:016x}", outcome.seed, outcome.mix, outcome.hash);
        }
        first && outcome.failure.is_some()
    });
    let failed: Vec<u64> = outcomes.iter().filter(|o| o.failure.is_some()).map(|o| o.seed).collect();
    println!(
        "{} seeds from {}, {} failed; {} steps, {} containers, {} virtual hours in {:.1} s",
        outcomes.len(),
        seeds.first().copied().unwrap_or_default(),
        failed.len(),
        outcomes.iter().map(|o| o.steps).sum::<u64>(),
        outcomes.iter().map(|o| o.containers).sum::<u64>(),
        outcomes.iter().map(|o| o.virtual_ms).sum::<u64>() / 3_600_000,
        began.elapsed().as_secs_f64()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
