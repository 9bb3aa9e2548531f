//! Puts known bugs back, one at a time in a copy of the tree, and sees whether the simulator finds them.

use crate::run;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The seeds that each mutant is given: from this one on, so many.
const SEEDS: [&str; 2] = ["1000", "1000"];

/// All patches of `sim/mutants`, or those named. An error names the first that nobody noticed.
pub fn mutants(arguments: &[String]) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let home = target.join("mutants");
    let mut patches: Vec<_> = fs::read_dir(root.join("sim/mutants"))
        .map_err(|e| format!("sim/mutants: {e}"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    patches.sort();
    let name = |patch: &Path| patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    patches.retain(|patch| arguments.is_empty() || arguments.contains(&name(patch)));
    let tree = home.join("tree");
    let mut missed = Vec::new();
    for patch in &patches {
        copy(&root, &tree)?;
        let mut apply = Command::new("git");
        // the copy is no repository, wherever it lies
        apply.current_dir(&tree).env("GIT_CEILING_DIRECTORIES", &home).args(["apply", "-C1"]).arg(patch);
        run(&format!("mutant {}", name(patch)), &mut apply)?;
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let build = |what: &str, arguments: &[&str]| {
            let mut command = Command::new(&cargo);
            command.current_dir(&tree).env("CARGO_TARGET_DIR", home.join("target"));
            run(what, command.args([what, "-q", "--profile", "sim", "-p", "mesolite-sim"]).args(arguments))
        };
        build("build", &[])?;
        if build("run", &["--", "--seed", SEEDS[0], "--count", SEEDS[1], "--first"]).is_ok() {
            missed.push(name(patch));
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("nobody noticed: {}", missed.join(", "))) }
}

/// Makes `to` hold the tracked files of `from`; what is the same is left alone, so that little is built again.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let listed = Command::new("git").current_dir(from).args(["ls-files", "-z"]).output();
    let listed = listed.map_err(|e| format!("git ls-files: {e}"))?.stdout;
    for file in String::from_utf8_lossy(&listed).split('\0').filter(|f| !f.is_empty()) {
        let Ok(bytes) = fs::read(from.join(file)) else { continue };
        let place = to.join(file);
        if fs::read(&place).is_ok_and(|there| there == bytes) {
            continue;
        }
        let made = place.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| fs::write(&place, bytes)).map_err(|e| format!("{}: {e}", place.display()))?;
    }
    Ok(())
}
