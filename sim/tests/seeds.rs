//! A hundred fresh seeds in every run, and those that failed once.

use sim::{Options, Outcome, run, run_all, some_seed};
use std::time::{Duration, Instant};

const FRESH: u64 = 100;
/// So many known bugs can be put back.
const MUTANTS_MIN: usize = 5;
/// Seeds that are not begun by then are left out, and said so.
const TIME_MAX: Duration = Duration::from_secs(90);
/// The first seed, to have the same ones again.
const FIRST: &str = "MESOLITE_SIM_SEED";

/// Fewer steps than `cargo xtask sim` takes: this is an unoptimized build.
fn options() -> Options {
    Options { steps: 6_000, ..Options::default() }
}

fn complain(outcomes: &[Outcome]) {
    let failed: Vec<_> = outcomes.iter().filter(|o| o.failure.is_some()).collect();
    for outcome in &failed {
        println!("seed {}: {}", outcome.seed, outcome.mix);
        outcome.tail.iter().rev().take(40).rev().for_each(|line| println!("  {line}"));
        println!("{} --steps {}", outcome.complaint(), options().steps);
    }
    let all: Vec<_> = failed.iter().map(|o| o.seed).collect();
    assert!(all.is_empty(), "seeds {all:?} failed; once mended, add them to sim/seeds/pinned.txt");
}

#[test]
fn a_hundred_fresh_seeds_hold() {
    let first = std::env::var(FIRST).ok().and_then(|text| text.parse().ok()).unwrap_or_else(some_seed);
    println!("seeds from {first}; the same again: {FIRST}={first} cargo test -p mesolite-sim");
    let seeds: Vec<u64> = (first..first + FRESH).collect();
    let outcomes = run_all(&seeds, options(), Some(Instant::now() + TIME_MAX), |_| false);
    if outcomes.len() < seeds.len() {
        println!("SKIPPED {} of {FRESH} seeds: {TIME_MAX:?} are over", seeds.len() - outcomes.len());
    }
    assert!(outcomes.iter().map(|o| o.containers).sum::<u64>() > 100, "hardly anything was run");
    complain(&outcomes);
}

#[test]
fn seeds_that_failed_once_hold() {
    let pinned = include_str!("../seeds/pinned.txt").lines().filter(|line| !line.starts_with('#'));
    let seeds: Vec<u64> =
        pinned.map(|line| line.split(' ').next().unwrap().parse().expect("a seed")).collect();
    let outcomes = run_all(&seeds, options(), None, |_| false);
    assert_eq!(outcomes.len(), seeds.len());
    complain(&outcomes);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let (one, two) = (run(7, options()), run(7, options()));
    assert!(one.steps > 100, "{one:?}");
    assert_eq!((one.hash, one.steps), (two.hash, two.steps));
}

#[test]
fn mutants_still_apply() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut count = 0;
    for entry in std::fs::read_dir(root.join("sim/mutants")).unwrap() {
        let patch = entry.unwrap().path();
        let check = std::process::Command::new("git")
            .current_dir(&root)
            .args(["apply", "--check", "-C1"])
            .arg(&patch)
            .output();
        let Ok(check) = check else { return println!("SKIPPED: there is no git") };
        if check.status.success() {
            count += 1;
        } else {
            println!(
                "{} does not apply any more, mend it: {}",
                patch.display(),
                String::from_utf8_lossy(&check.stderr)
            );
        }
    }
    assert!(count >= MUTANTS_MIN, "only {count} mutants apply");
}
