//! Runs all tests and says at the end, by name, which of them were skipped and why. Never decides whether one may be: the
//! tests of other people's clients do, told by `CLIENTS` and `CLIENTS_LACKING` (`tests/foreign_clients.rs`).

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

/// What tests say of themselves when they can't be run here.
const MARK: &str = "SKIPPED";

/// Runs all tests. `lacking`: Debian packages that could not be installed.
pub fn tests(lacking: &[&str]) -> Result<(), String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command
        // What tests that passed have said is shown only so.
        .args(["test", "--workspace", "--", "--show-output"])
        .env("CLIENTS", "demanded")
        .env("CLIENTS_LACKING", lacking.join(","))
        .stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("tests: can't start {command:?}: {e}"))?;
    let mut reader = Reader::default();
    for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).split(b'\n').flatten()) {
        let line = String::from_utf8_lossy(&line);
        if reader.line(&line) {
            println!("{line}");
        }
    }
    let status = child.wait().map_err(|e| format!("tests: {e}"))?;
    let skips = reader.skips;
    if skips.is_empty() {
        println!("== no test was skipped");
    } else {
        println!("== {} SKIPPED, whole or in part:", skips.len());
        skips.iter().for_each(|skip| println!("   {skip}"));
    }
    if status.success() { Ok(()) } else { Err(format!("tests failed: {status}")) }
}

/// Reads what test binaries print.
#[derive(Default)]
struct Reader {
    /// The output of tests that passed is being read.
    passed: bool,
    /// Whose.
    test: String,
    skips: Vec<String>,
}

impl Reader {
    /// Takes a line in; whether it is to be shown.
    fn line(&mut self, line: &str) -> bool {
        match line {
            "successes:" => self.passed = true,
            "failures:" => self.passed = false,
            line if line.starts_with("test result: ") => {
                self.passed = false;
                return true;
            }
            line => {
                let header = line.strip_prefix("---- ").and_then(|l| l.strip_suffix(" stdout ----"));
                if let Some(test) = header {
                    self.test = test.to_owned();
                } else if line.contains(MARK) && self.passed {
                    self.skips.push(format!("{}: {line}", self.test));
                }
            }
        }
        !self.passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_are_named_and_the_rest_of_what_passed_is_left_out() {
        let printed = "running 2 tests
test a ... ok
test b ... ok

successes:

---- a stdout ----
SKIPPED: not root
---- b stdout ----
words
SKIPPED in part: no fish

successes:
    a
    b

test result: ok. 2 passed
failures:
---- c stdout ----
SKIPPED is no word of a test that failed
test result: FAILED. 1 failed";
        let mut reader = Reader::default();
        let shown: Vec<_> = printed.lines().filter(|line| reader.line(line)).collect();
        assert_eq!(reader.skips, ["a: SKIPPED: not root", "b: SKIPPED in part: no fish"]);
        assert!(
            shown.contains(&"test result: ok. 2 passed") && shown.contains(&"---- c stdout ----"),
            "{shown:?}"
        );
        assert!(!shown.contains(&"words"), "{shown:?}");
    }
}
