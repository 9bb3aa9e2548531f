//! Clients that others wrote, unmodified, against the real binary: PyPI `marathon` and `pymesos`.
//!
//! The drivers in `tests/conformance/clients/` use their public methods and assert what comes back. Where Python or its
//! package index cannot be reached, the test says SKIPPED.

mod real;

use real::Dev;
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

const DRIVERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/clients");
/// pymesos needs it. Its C part does not build on Python 3.11; pymesos works with its pure Python part.
const HTTP_PARSER: &str = "http-parser==0.9.0";

/// A Python with the clients, made once and kept beside the build; or why there is none.
fn python() -> Result<&'static Path, &'static String> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PYTHON.get_or_init(make_python).as_ref().map(PathBuf::as_path)
}

fn make_python() -> Result<PathBuf, String> {
    let wanted = std::fs::read_to_string(format!("{DRIVERS}/requirements.txt")).expect("requirements.txt");
    let wanted = format!("{wanted}{HTTP_PARSER}\n");
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    let (python, stamp) = (venv.join("bin/python"), venv.join("installed.txt"));
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    std::fs::remove_dir_all(&venv).unwrap_or_default();
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let pip = || {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check"]);
        pip
    };
    run(pip().args(["install", "--no-deps", "-r"]).arg(format!("{DRIVERS}/requirements.txt")))?;
    let source = venv.join("source");
    run(pip().args(["download", "--no-deps", "--no-binary", ":all:", HTTP_PARSER, "--dest"]).arg(&source))?;
    let place = "import glob, os, shutil, sysconfig, sys, tarfile
source = sys.argv[1]
tarfile.open(glob.glob(source + '/http*parser*.tar.gz')[0]).extractall(source)
package = glob.glob(source + '/*/http_parser')[0]
target = os.path.join(sysconfig.get_paths()['purelib'], 'http_parser')
os.makedirs(target)
for file in glob.glob(package + '/*.py'):
    shutil.copy(file, target)
";
    run(Command::new(&python).args(["-c", place]).arg(&source))?;
    run(Command::new(&python).args(["-c", "import marathon, pymesos"]))?;
    std::fs::write(&stamp, wanted).map_err(|e| e.to_string())?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {}: {said}", output.status)) }
}

/// Runs a driver against a cluster of its own; it must print `OK` at its end.
fn drive(script: &str) {
    let python = match python() {
        Ok(python) => python,
        Err(why) => {
            eprintln!("SKIPPED: {script}: no Python with the clients can be made here: {why}");
            return;
        }
    };
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(dir.path(), &["--resources=cpus:8;mem:4096;disk:4096;ports:[31000-32000]"]);
    let output = Command::new("timeout")
        .arg("120")
        .arg(python)
        .arg(format!("{DRIVERS}/{script}"))
        .env("MASTER", dev.master.trim_start_matches("http://"))
        .env("MARATHON", &dev.marathon)
        .output()
        .expect("Python runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}");
    assert!(output.status.success() && out.ends_with("OK\n"), "{script}: {}\n{out}\n{err}", output.status);
}

#[test]
fn marathon_of_pypi() {
    drive("marathon_client.py");
}

#[test]
fn pymesos_of_pypi_as_a_scheduler() {
    drive("pymesos_scheduler.py");
}
