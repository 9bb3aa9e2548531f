//! Clients that others wrote, unmodified, against the real binary: from PyPI, npm and Debian.
//!
//! The drivers in `tests/conformance/clients/` use their public methods and assert what comes back. Where Python, Node.js,
//! Prometheus or a package index cannot be had, the test says SKIPPED. With `CLIENTS=demanded`, as `cargo xtask ci` sets
//! it, that is an error, unless the index can't be reached from here or `CLIENTS_LACKING` names the Debian package, which
//! then could not be installed.

mod real;

use real::Dev;
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
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
    run(Command::new(&python).args(["-c", "import marathon, pymesos, mesoshttp.client"]))?;
    std::fs::write(&stamp, wanted).map_err(|e| e.to_string())?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {}: {said}", output.status)) }
}

/// A directory with the npm clients, made once and kept beside the build; or why there is none.
fn node() -> Result<&'static Path, &'static String> {
    static NODE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    NODE.get_or_init(make_node).as_ref().map(PathBuf::as_path)
}

fn make_node() -> Result<PathBuf, String> {
    let lock = std::fs::read_to_string(format!("{DRIVERS}/package-lock.json")).expect("package-lock.json");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm");
    let stamp = dir.join("installed.json");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(dir);
    }
    std::fs::remove_dir_all(&dir).unwrap_or_default();
    // `mesos-framework` writes its log below the directory that it runs in.
    std::fs::create_dir_all(dir.join("logs")).map_err(|e| e.to_string())?;
    for name in ["package.json", "package-lock.json"] {
        std::fs::copy(format!("{DRIVERS}/{name}"), dir.join(name)).map_err(|e| e.to_string())?;
    }
    run(Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(&dir))?;
    std::fs::write(&stamp, lock).map_err(|e| e.to_string())?;
    Ok(dir)
}

/// A cluster of its own for one client.
fn cluster() -> (tempfile::TempDir, Dev) {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(dir.path(), &["--resources=cpus:8;mem:4096;disk:4096;ports:[31000-32000]"]);
    (dir, dev)
}

/// Runs a driver against a cluster of its own; it must print `OK` at its end.
fn drive(script: &str, by: &Path, from: &Path) {
    let (_dir, dev) = cluster();
    let output = Command::new("timeout")
        .arg("120")
        .arg(by)
        .arg(format!("{DRIVERS}/{script}"))
        .current_dir(from)
        .env("NODE_PATH", from.join("node_modules"))
        .env("MASTER", dev.master.trim_start_matches("http://"))
        .env("MARATHON", &dev.marathon)
        .env("AGENT", dev.agents[0].trim_start_matches("http://"))
        .env("MESOLITE", real::BINARY)
        .output()
        .expect("the driver runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}");
    assert!(output.status.success() && out.ends_with("OK\n"), "{script}: {}\n{out}\n{err}", output.status);
}

/// Where a kind of clients comes from.
struct Source {
    /// Debian packages that it needs.
    packages: &'static [&'static str],
    /// The variable that names another index, and the index.
    index: (&'static str, &'static str),
}

const PYPI: Source =
    Source { packages: &["python3-venv"], index: ("PIP_INDEX_URL", "https://pypi.org/simple") };
const NPM: Source =
    Source { packages: &["nodejs", "npm"], index: ("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org/") };
const DEBIAN: Source = Source { packages: &["prometheus"], index: ("", "http://deb.debian.org/") };
/// How long a connection to an index may take.
const INDEX_TIMEOUT: Duration = Duration::from_secs(5);

/// Says that a client could not be tried; an error where it could have been.
fn skip(client: &str, source: &Source, why: &str) {
    let url = std::env::var(source.index.0).unwrap_or_else(|_| source.index.1.to_owned());
    let demanded = std::env::var("CLIENTS").is_ok_and(|v| v == "demanded");
    if let (true, Some(excuse)) = (demanded, excuse(source, &url)) {
        eprintln!("SKIPPED: {client}: {why}; allowed, for {excuse}");
        return;
    }
    assert!(!demanded, "{client} can't be tried, and nothing excuses that ({url} can be reached): {why}");
    eprintln!("SKIPPED: {client}: {why}");
}

/// Why clients of a kind can't be had here at all, if they can't.
fn excuse(source: &Source, url: &str) -> Option<String> {
    let lacking = std::env::var("CLIENTS_LACKING").unwrap_or_default();
    if let Some(package) = source.packages.iter().find(|p| lacking.split(',').any(|l| l == **p)) {
        return Some(format!("{package} could not be installed"));
    }
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let host = rest.split('/').next().unwrap_or_default().rsplit('@').next().unwrap_or_default();
    let port = if scheme == "http" { 80 } else { 443 };
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:{port}") };
    let found = std::net::ToSocketAddrs::to_socket_addrs(&address).into_iter().flatten();
    let mut found = found.map(|at| std::net::TcpStream::connect_timeout(&at, INDEX_TIMEOUT));
    (!found.any(|connected| connected.is_ok())).then(|| format!("{address} can't be reached"))
}

fn drive_python(script: &str) {
    match python() {
        Ok(python) => drive(script, python, Path::new("/")),
        Err(why) => skip(script, &PYPI, &format!("no Python with the clients can be made here: {why}")),
    }
}

fn drive_node(script: &str) {
    match node() {
        Ok(dir) => drive(script, Path::new("node"), dir),
        Err(why) => skip(script, &NPM, &format!("no Node.js with the clients can be made here: {why}")),
    }
}

#[test]
fn only_what_can_not_be_had_is_excused() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let open = listener.local_addr().expect("an address");
    assert_eq!(excuse(&PYPI, &format!("http://{open}/simple")), None);
    drop(listener);
    let closed = excuse(&PYPI, &format!("http://user@{open}/simple")).expect("an excuse");
    assert_eq!(closed, format!("{open} can't be reached"));
}

#[test]
fn marathon_of_pypi() {
    drive_python("marathon_client.py");
}

#[test]
fn pymesos_of_pypi_as_a_scheduler() {
    drive_python("pymesos_scheduler.py");
}

#[test]
fn pymesos_of_pypi_as_an_executor() {
    drive_python("pymesos_executor.py");
}

#[test]
fn pymesos_of_pypi_as_an_operator() {
    drive_python("pymesos_operator.py");
}

#[test]
fn mesoshttp_of_pypi() {
    drive_python("mesoshttp_scheduler.py");
}

#[test]
fn mesos_framework_of_npm() {
    drive_node("mesos_framework.js");
}

#[test]
fn marathon_node_of_npm() {
    drive_node("marathon_node.js");
}

#[test]
fn marathon_event_bus_client_of_npm() {
    drive_node("marathon_event_bus_client.js");
}

/// Debian's Prometheus discovers an app through Marathon's API and scrapes its instances.
#[test]
fn prometheus_discovers_and_scrapes_an_app() {
    if let Err(why) = Command::new("prometheus").arg("--version").output() {
        return skip("prometheus", &DEBIAN, &format!("no prometheus here: {why}"));
    }
    let (dir, dev) = cluster();
    dev.run_app(
        r#"{"id": "/shop/web", "instances": 2, "cpus": 0.1, "mem": 64, "labels": {"team": "shop"},
            "cmd": "echo visits_total 7 > metrics; exec python3 -m http.server $PORT0", "portDefinitions": [{"port": 0}]}"#,
    );
    let config = dir.path().join("prometheus.yml");
    let text = format!(
        "scrape_configs:
- job_name: apps
  scrape_interval: 1s
  marathon_sd_configs:
  - servers: [{:?}]
    refresh_interval: 1s
  relabel_configs:
  - source_labels: [__meta_marathon_app]
    target_label: app
  - source_labels: [__meta_marathon_app_label_team]
    target_label: team
",
        dev.marathon
    );
    std::fs::write(&config, text).expect("a configuration");
    // Prometheus does not say which port it picked: this one was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let mut prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", dir.path().join("prometheus").display()))
        .arg(format!("--web.listen-address={free}"))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("prometheus starts");
    let seen = std::panic::catch_unwind(|| {
        real::eventually("both instances are scraped", || {
            let (_, body) =
                real::request(&format!("http://{free}"), "GET", "/api/v1/query?query=visits_total", "");
            let answer: serde_json::Value = serde_json::from_str(&body).ok()?;
            let samples = answer["data"]["result"].as_array()?.clone();
            (samples.len() == 2).then_some(samples)
        })
    });
    prometheus.kill().expect("it ends");
    prometheus.wait().expect("it ended");
    for sample in seen.expect("samples") {
        assert_eq!(sample["metric"]["app"], "/shop/web");
        assert_eq!(sample["metric"]["team"], "shop");
        assert_eq!(sample["value"][1], "7");
    }
}
