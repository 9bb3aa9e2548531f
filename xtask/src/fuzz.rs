//! Coverage-guided fuzzing of what takes outside bytes, one target after the other. What is found is kept.

use crate::run;
use std::{path::Path, process::Command};

/// Seconds that each target is fuzzed unless told otherwise.
const FUZZ_SECONDS: &str = "300";

/// Found inputs are minimised into `fuzz/corpus`, where the tests replay them. Needs `cargo install cargo-fuzz`.
pub fn fuzz(arguments: &[String]) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let seconds = arguments.get(1).map_or(FUZZ_SECONDS, String::as_str);
    let mut targets: Vec<_> = std::fs::read_dir(root.join("corpus"))
        .map_err(|e| format!("fuzz/corpus: {e}"))?
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .collect();
    targets.sort();
    if let Some(one) = arguments.first() {
        if !targets.contains(one) {
            return Err(format!("no target is called {one}: there are {}", targets.join(", ")));
        }
        targets.retain(|t| t == one);
    }
    for target in targets {
        let corpus = root.join("corpus").join(&target);
        let found = root.join("targets/target/found").join(&target);
        std::fs::create_dir_all(&found).map_err(|e| format!("{}: {e}", found.display()))?;
        let fuzz = |what: &str, command: &str, rest: &[&std::ffi::OsStr]| {
            let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
            // the fuzzer's instrumentation is behind unstable flags, which a stable compiler takes with this
            let mut run_it = Command::new(cargo);
            run_it.current_dir(root.join("targets")).env("RUSTC_BOOTSTRAP", "1");
            run(what, run_it.args(["fuzz", command, "--fuzz-dir", ".", "-s", "none", &target]).args(rest))
        };
        let limit = format!("-max_total_time={seconds}");
        // Its last words: how many inputs, how many a second, how much memory.
        let limits =
            ["--", &limit, "-timeout=10", "-rss_limit_mb=2000", "-print_final_stats=1"].map(AsRef::as_ref);
        let folders = [found.as_os_str(), corpus.as_os_str()];
        fuzz(&format!("fuzz {target}"), "run", &[&folders[..], &limits[..]].concat())?;
        let merge = ["--".as_ref(), "-merge=1".as_ref()];
        fuzz(
            "keep what reaches new code",
            "run",
            &[&[corpus.as_os_str(), found.as_os_str()][..], &merge[..]].concat(),
        )?;
    }
    Ok(())
}
