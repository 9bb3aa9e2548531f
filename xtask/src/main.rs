//! The things that people do often, one command each: `cargo xtask ci|test|sim|fix|fuzz|bench`.

mod fuzz;
mod mutants;
mod skips;

use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask COMMAND
  ci            what a machine checks before a change lands: installs what the tests need, formats, lints, tests
  test [ARGS]   the tests alone
  replay DIR [--master URL --agent URL] [--only NAME] [--verbose]
                replays recorded conversations with Apache Mesos, against clusters of this tree's binary or the given one
  sim [--seed N] [--count N] [--steps N] [--trace] [--first]
                runs the cluster in virtual time from fresh seeds, or the given one, and says what broke
  mutants [NAME…]   puts known bugs back in a copy of the tree and sees whether the simulator finds them
  fix           formats and applies what the linter can mend
  fuzz [TARGET] [SECONDS]   feeds one parser or surface, or all of them in turn, with bytes that reach new code
  bench [ROW…]  the benchmark suite against a release build; --help for rows and options";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let outcome = match arguments.first().map(String::as_str) {
        Some("ci") => ci(),
        Some("test") => cargo("test", &["test", "--workspace"], rest),
        Some("replay") => replay(rest),
        Some("bench") => bench(rest),
        Some("fix") => cargo("format", &["fmt", "--all"], &[]).and_then(|()| {
            cargo("lint", &["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty"], &[])
        }),
        Some("fuzz") => fuzz::fuzz(rest),
        Some("sim") => sim(rest),
        Some("mutants") => mutants::mutants(rest),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn ci() -> Result<(), String> {
    let lacking = packages();
    cargo("formatting", &["fmt", "--all", "--check"], &[])?;
    cargo("lint", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])?;
    println!("== tests");
    skips::tests(&lacking)
}

fn sim(arguments: &[String]) -> Result<(), String> {
    cargo("simulation", &["run", "-q", "--profile", "sim", "-p", "mesolite-sim", "--"], arguments)
}

fn replay(arguments: &[String]) -> Result<(), String> {
    let mut all = vec!["run", "-q", "-p", "mesolite-conformance", "--bin", "replay", "--"];
    all.extend(arguments.iter().map(String::as_str));
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let binary = format!("{target}/debug/mesolite");
    if !arguments.iter().any(|a| a == "--master") {
        cargo("build", &["build", "-q", "-p", "mesolite"], &[])?;
        all.extend(["--binary", &binary]);
    }
    cargo("replay", &all, &[])
}

/// Built apart, so that the suite's own needs do not change what is measured.
fn bench(rest: &[String]) -> Result<(), String> {
    if !rest.iter().any(|argument| argument == "--binary") {
        cargo("release build", &["build", "--release", "--package", "mesolite", "--bin", "mesolite"], &[])?;
    }
    cargo("suite", &["run", "--release", "--quiet", "--package", "mesolite-bench", "--"], rest)
}

/// Debian packages that the tests use, each with a command that succeeds where it is there.
const PACKAGES: [(&str, &[&str]); 4] = [
    ("python3-venv", &["python3", "-c", "import ensurepip, venv"]),
    ("nodejs", &["node", "--version"]),
    ("npm", &["npm", "--version"]),
    ("prometheus", &["prometheus", "--version"]),
];

/// Installs what is missing, and says what it could not: tests that need that say SKIPPED.
fn packages() -> Vec<&'static str> {
    let there = |probe: &[&str]| {
        Command::new(probe[0]).args(&probe[1..]).output().is_ok_and(|output| output.status.success())
    };
    let missing = || -> Vec<&'static str> {
        PACKAGES.iter().filter(|(_, probe)| !there(probe)).map(|(name, _)| *name).collect()
    };
    let lacking = missing();
    if lacking.is_empty() {
        return lacking;
    }
    let apt = |what: &str, arguments: &[&str]| {
        run(what, Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(arguments))
    };
    let install = [&["-q", "-y", "--no-install-recommends", "install"][..], &lacking].concat();
    if let Err(why) = apt("package lists", &["-q", "update"]).and_then(|()| apt("packages", &install)) {
        eprintln!("{why}\nInstall {} as root; tests that need it are skipped now.", lacking.join(" "));
    }
    missing()
}

fn cargo(what: &str, arguments: &[&str], rest: &[String]) -> Result<(), String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    run(what, Command::new(cargo).args(arguments).args(rest))
}

fn run(what: &str, command: &mut Command) -> Result<(), String> {
    println!("== {what}");
    let status = command.status().map_err(|e| format!("{what}: can't start {command:?}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{what} failed: {status}")) }
}
