//! Holds the direction of dependencies: core never uses shell, no machine imports another, nothing points up.

use std::{collections::BTreeMap, process::Command};

/// Packages by layer, lowest first. A package may use its own packages' layer only where the table below says so.
const LAYERS: [&[&str]; 9] = [
    &["base"],
    &["model"],
    &["api"],
    &["master", "agent", "orchestrator"],
    &["endpoints"],
    &["sim"],
    &["store", "web", "linux"],
    &["containers"],
    &["node", "cli"],
];
/// Uses inside one layer that are meant: the roles carry the command line.
const WITHIN: [(&str, &str); 1] = [("node", "cli")];
const CORE: [&str; 7] = ["base", "model", "api", "master", "agent", "orchestrator", "endpoints"];
/// Packages that reach the world; none of them may stand below a core package.
const WORLDLY: [&str; 7] = ["tokio", "hyper", "reqwest", "nix", "rustix", "fjall", "tracing-subscriber"];

fn layer(package: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&package))
}

#[test]
fn dependencies_point_down() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let mut uses: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("a list of packages") {
        let name = package["name"].as_str().expect("a name").trim_start_matches("mesolite-").to_owned();
        let dependencies = package["dependencies"].as_array().expect("a list of dependencies").iter();
        let normal = dependencies.filter(|d| d["kind"].is_null()).filter_map(|d| d["name"].as_str());
        uses.insert(name, normal.map(|d| d.trim_start_matches("mesolite-").to_owned()).collect());
    }
    let mut checked = 0;
    for (package, used) in &uses {
        let Some(own) = layer(package) else { continue };
        for other in used {
            if let Some(below) = layer(other) {
                let within = WITHIN.contains(&(package.as_str(), other.as_str()));
                assert!(below < own || within, "{package} may not use {other}: it stands beside or above it");
                checked += 1;
            }
            if CORE.contains(&package.as_str()) {
                assert!(
                    !WORLDLY.contains(&other.as_str()),
                    "core package {package} reaches the world through {other}"
                );
            }
        }
    }
    assert!(checked >= 20, "only {checked} uses were found: the test does not see the workspace");
}

/// Programs that a bare Debian lacks, though every developer's machine has them.
const ABSENT: [&str; 9] = ["kill", "pkill", "pgrep", "ps", "curl", "wget", "ip", "ss", "nc"];

#[test]
fn tests_need_no_programs_that_a_bare_machine_lacks() {
    let mut wrong = Vec::new();
    let mut folders = vec![std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && name != "data" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(&path).expect("a source file");
                let used =
                    ABSENT.iter().filter(|program| text.contains(&format!("Command::new(\"{program}\")")));
                wrong.extend(used.map(|program| format!("{}: {program}", path.display())));
            }
        }
    }
    assert!(wrong.is_empty(), "use system calls or the shell's own words instead: {wrong:?}");
}
