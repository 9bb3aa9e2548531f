//! The commands against a cluster of canned answers, and the example apps that can be tried without one.

use bytes::Bytes;
use clap::{CommandFactory as _, Parser};
use http::Response;
use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};
use web::{Incoming, Limits, Reply};

#[derive(Parser)]
#[command(name = "mesolite")]
struct Line {
    #[command(flatten)]
    opts: cli::Opts,
    #[command(subcommand)]
    cmd: cli::Cmd,
}

/// Answers `path → (status, body)`; `SELF` in a body stands for its own address.
fn answer(path: &str, method: &str, asked: usize) -> (u16, String) {
    let text = match (method, path) {
        ("PUT", "/v2/apps/bad") => {
            return (422, "{\"message\":\"Object is not valid\",\"details\":[{\"path\":\"/mem\",\"errors\":[\"must be >= 0\"]}]}".into());
        }
        ("PUT", "/v2/apps/busy") => {
            return (409, "{\"message\":\"App is locked\",\"deployments\":[{\"id\":\"d0\"}]}".into());
        }
        ("PUT", "/v2/apps/hello" | "/v2/apps/stuck") => "{\"version\":\"v\",\"deploymentId\":\"d1\"}",
        // over after it was asked for a few times
        ("GET", "/v2/deployments") if asked > 5 => "[]",
        ("GET", "/v2/deployments") => {
            "[{\"id\":\"d1\",\"affectedApps\":[\"/hello\"],\"currentStep\":1,\"totalSteps\":1,\"currentActions\":[{\"action\":\"StartApplication\",\"app\":\"/hello\"}]}]"
        }
        ("GET", "/v2/apps/hello") => {
            "{\"app\":{\"id\":\"/hello\",\"instances\":2,\"tasksRunning\":1,\"cpus\":9,\"mem\":32,\"tasks\":[{\"id\":\"hello.1\",\"slaveId\":\"S0\"}]}}"
        }
        ("GET", "/v2/apps/bad" | "/v2/apps/busy" | "/v2/apps/stuck") => "{\"app\":{\"id\":\"/some\"}}",
        ("GET", "/v2/queue") => {
            "{\"queue\":[{\"count\":1,\"app\":{\"id\":\"/hello\"},\"delay\":{\"timeLeftSeconds\":4},\"processedOffersSummary\":{\"processedOffersCount\":3,\"unusedOffersCount\":3,\"rejectSummaryLastOffers\":[{\"reason\":\"InsufficientCpus\",\"declined\":1,\"processed\":1}]}}]}"
        }
        ("GET", "/slaves") => {
            "{\"slaves\":[{\"id\":\"S0\",\"hostname\":\"h\",\"pid\":\"slave(1)@SELF\",\"active\":true,\"resources\":{\"cpus\":4,\"mem\":100},\"used_resources\":{\"cpus\":1}}]}"
        }
        ("GET", "/state") => "{\"frameworks\":[{\"executors\":[{\"id\":\"hello.1\",\"directory\":\"/d\"}]}]}",
        ("POST", "/api/v1") if asked > 1 => {
            "{\"type\":\"READ_FILE\",\"read_file\":{\"data\":\"\",\"size\":6}}"
        }
        ("POST", "/api/v1") => "{\"type\":\"READ_FILE\",\"read_file\":{\"data\":\"aGVsbG8K\",\"size\":6}}",
        ("GET", "/v2/apps" | "/v2/tasks" | "/tasks") => "{}",
        _ => return (404, "{\"message\":\"There is nothing here\"}".into()),
    };
    (200, text.into())
}

struct Fake {
    address: String,
    seen: Arc<Mutex<Vec<String>>>,
    _runtime: tokio::runtime::Runtime,
    _stop: tokio::sync::watch::Sender<bool>,
}

fn fake() -> Fake {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(web::bind("127.0.0.1:0".parse().unwrap(), "--port")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let seen = Arc::new(Mutex::new(Vec::<String>::new()));
    let (log, own) = (seen.clone(), address.clone());
    runtime.spawn(web::serve(listener, Limits::default(), stopped, move |incoming: Incoming| {
        let (log, own) = (log.clone(), own.clone());
        async move {
            let (method, path) = (incoming.request.method().as_str(), incoming.request.uri().path());
            let said = format!("{method} {path}");
            let mut log = log.lock().unwrap();
            log.push(format!("{method} {}", incoming.request.uri()));
            let asked = log.iter().filter(|line| line.starts_with(&said)).count();
            let (status, body) = answer(path, method, asked);
            let mut response = Response::new(Bytes::from(body.replace("SELF", &own)));
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
            Reply::Full(response)
        }
    }));
    Fake { address, seen, _runtime: runtime, _stop: stop }
}

impl Fake {
    fn run(&self, words: &[&str]) -> u8 {
        let line = Line::try_parse_from(["mesolite"].iter().chain(words)).unwrap();
        let opts = cli::Opts {
            marathon: self.address.clone(),
            master: format!("http://{}/", self.address),
            ..line.opts
        };
        cli::run(line.cmd, &opts, Line::command())
    }
}

#[test]
fn the_command_line_is_consistent() {
    Line::command().debug_assert();
    assert!(Line::try_parse_from(["mesolite", "run", "--cpus", "1", "--", "echo", "-n"]).is_ok());
    assert!(Line::try_parse_from(["mesolite", "run"]).is_err());
}

#[test]
fn exit_codes_say_what_went_wrong() {
    let fake = fake();
    for json in [&[][..], &["--json"][..]] {
        let run = |words: &[&str]| fake.run(&[words, json].concat());
        assert_eq!(run(&["app", "list"]), 0);
        assert_eq!(run(&["task", "list"]), 0);
        assert_eq!(run(&["node", "list"]), 0);
        assert_eq!(run(&["node", "show", "h"]), 0);
        assert_eq!(run(&["node", "show", "x"]), cli::exit::NOT_FOUND);
        assert_eq!(run(&["app", "show", "hello"]), 0);
        assert_eq!(run(&["app", "why", "/hello"]), 0);
        assert_eq!(run(&["deployment", "list"]), 0);
        assert_eq!(run(&["app", "show", "none"]), cli::exit::NOT_FOUND);
        assert_eq!(run(&["task", "show", "none"]), cli::exit::NOT_FOUND);
        assert_eq!(run(&["app", "scale", "bad", "1"]), cli::exit::FAILED);
        assert_eq!(run(&["app", "scale", "busy", "1"]), cli::exit::FAILED);
        assert_eq!(run(&["app", "logs", "hello"]), 0);
    }
    assert_eq!(fake.run(&["run", "--", "true"]), cli::exit::NOT_FOUND);
    let line = Line::try_parse_from(["mesolite", "app", "list"]).unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let opts = cli::Opts { marathon: format!("http://{closed}"), ..line.opts };
    assert_eq!(cli::run(line.cmd, &opts, Line::command()), cli::exit::UNREACHABLE);
}

#[test]
fn an_app_is_applied_and_its_deployment_waited_for() {
    let fake = fake();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app.json");
    std::fs::write(&file, "{\"id\": \"/hello\", \"cmd\": \"true\"}").unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(fake.run(&["app", "apply", file]), 0);
    let seen = fake.seen.lock().unwrap().clone();
    assert_eq!(seen[0], "PUT /v2/apps/hello?partialUpdate=false");
    assert_eq!(seen.iter().filter(|line| *line == "GET /v2/deployments").count(), 6);
    assert_eq!(fake.run(&["app", "apply", "--force", "--no-wait", file]), 0);
    assert_eq!(
        fake.seen.lock().unwrap().last().unwrap(),
        "PUT /v2/apps/hello?partialUpdate=false&force=true"
    );
}

#[test]
fn a_deployment_that_takes_too_long_is_left_to_itself() {
    let fake = fake();
    assert_eq!(fake.run(&["app", "scale", "stuck", "3", "--timeout", "0"]), cli::exit::UNFINISHED);
}

fn example(name: &str) -> String {
    let file = format!("{}/../../examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let apps = cli::read_files(&[file.into()]).unwrap();
    apps[0].app["cmd"].as_str().unwrap().to_owned()
}

#[test]
fn the_hello_example_answers() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = Command::new("/bin/sh")
        .args(["-c", &example("hello.json")])
        .env("PORT0", port.to_string())
        .env("MESOS_TASK_ID", "hello.1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (lines, said) = mpsc::channel();
    let mut out = server.stdout.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut first = [0; 12];
        out.read_exact(&mut first).unwrap();
        lines.send(first).unwrap();
    });
    assert_eq!(&said.recv_timeout(Duration::from_secs(20)).unwrap(), b"listening on");
    for path in ["/", "/health"] {
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(client, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\nHello from hello.1 on port {port}\n")), "{answer}");
    }
    server.kill().unwrap();
    server.wait().unwrap();
    reading.join().unwrap();
}

#[test]
fn the_crash_example_crashes() {
    let began = Instant::now();
    let output = Command::new("/bin/sh").args(["-c", &example("crash.json")]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(output.stderr, b"my configuration is missing\n");
    assert!(began.elapsed() < Duration::from_secs(10));
}
