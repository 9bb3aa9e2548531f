//! The things that people do often, one command each: `cargo xtask ci|test|fix`.

use std::{
    path::Path,
    process::{Command, ExitCode},
};

const USAGE: &str = "usage: cargo xtask COMMAND
  ci            what a machine checks before a change lands: installs what the tests need, formats, lints, tests
  test [ARGS]   the tests alone
  fix           formats and applies what the linter can mend";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let outcome = match arguments.first().map(String::as_str) {
        Some("ci") => ci(),
        Some("test") => cargo("test", &["test", "--workspace"], rest),
        Some("fix") => cargo("format", &["fmt", "--all"], &[]).and_then(|()| {
            cargo("lint", &["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty"], &[])
        }),
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
    packages()?;
    cargo("formatting", &["fmt", "--all", "--check"], &[])?;
    cargo("lint", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])?;
    cargo("tests", &["test", "--workspace"], &[])
}

/// Debian packages that the tests use, by a file that each brings. Missing ones are installed where we are root.
const PACKAGES: [(&str, &str); 1] = [("python3-venv", "/usr/bin/python3")];

fn packages() -> Result<(), String> {
    let missing: Vec<_> = PACKAGES.iter().filter(|(_, file)| !Path::new(file).exists()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|(name, _)| (*name).to_owned()).collect();
    run("package lists", Command::new("apt-get").args(["-q", "update"]))?;
    run(
        "packages",
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-q", "-y", "--no-install-recommends", "install"])
            .args(names),
    )
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
