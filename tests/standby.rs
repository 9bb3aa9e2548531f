//! Orchestrators that share a work_dir: one leads, the others pass on what they are asked, and one of them takes over.

mod real;

use real::{BINARY, Dev, Signal, eventually, own_seconds, processes, request};
use serde_json::{Value, json};
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

/// One orchestrator.
struct Orchestrator {
    child: Child,
    url: String,
}

impl Orchestrator {
    fn start(dir: &Path, name: &str, master: &str, more: &[&str]) -> Self {
        let ready = dir.join(format!("{name}.ready"));
        let log = std::fs::File::create(dir.join(format!("{name}.log"))).expect("a log");
        let mut child = Command::new(BINARY)
            .args([
                "orchestrator",
                "--http_port=0",
                &format!("--master={}", master.trim_start_matches("http://")),
            ])
            .arg(format!("--work_dir={}", dir.join("shared").display()))
            .arg(format!("--ready-file={}", ready.display()))
            .args(more)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let said: Value = eventually("the ready file", || {
            if let Some(status) = child.try_wait().expect("a status") {
                panic!("{name} ended: {status}");
            }
            serde_json::from_slice(&std::fs::read(&ready).ok()?).ok()
        });
        Self { child, url: said["marathon"].as_str().expect("a URL").to_owned() }
    }
    fn host(&self) -> &str {
        self.url.trim_start_matches("http://")
    }
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        request(&self.url, method, path, body)
    }
    fn read(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, "");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }
    fn leader(&self) -> Option<String> {
        let (status, body) = self.ask("GET", "/v2/leader", "");
        let said: Value = serde_json::from_str(&body).ok()?;
        (status == 200).then(|| said["leader"].as_str().map(str::to_owned))?
    }
    fn until(&self, path: &str, right: impl Fn(&Value) -> bool) -> Value {
        eventually(path, || {
            let (status, body) = self.ask("GET", path, "");
            let said: Value = serde_json::from_str(&body).ok()?;
            (status == 200 && right(&said)).then_some(said)
        })
    }
    fn run(&self, app: &Value) {
        let (status, body) = self.ask("POST", "/v2/apps", &app.to_string());
        assert_eq!(status, 201, "{body}");
        self.settled(app);
    }
    fn settled(&self, app: &Value) {
        self.until(&format!("/v2/apps{}", app["id"].as_str().expect("an id")), |v| {
            v["app"]["tasksRunning"] == app["instances"] && v["app"]["deployments"] == json!([])
        });
    }
    fn kill(&mut self) {
        real::send(&self.child, Signal::KILL);
        self.child.wait().expect("a status");
    }
}

impl Drop for Orchestrator {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

fn app(id: &str, seconds: &str, instances: u32) -> Value {
    json!({ "id": id, "cmd": format!("exec sleep {seconds}"), "cpus": 0.01, "mem": 32, "instances": instances })
}

fn tasks(of: &Orchestrator, id: &str) -> Vec<String> {
    let said = of.read(&format!("/v2/apps{id}/tasks"));
    let ids =
        said["tasks"].as_array().expect("tasks").iter().map(|t| t["id"].as_str().expect("an id").to_owned());
    let mut ids: Vec<_> = ids.collect();
    ids.sort();
    ids
}

/// The whole answer to a request with these headers, as it comes.
fn raw(of: &Orchestrator, request: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(of.host()).expect("it listens");
    let text = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(text.as_bytes()).expect("it is sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_standby_answers_as_the_leader_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(dir.path(), &[]);
    let leader = Orchestrator::start(dir.path(), "a", &dev.master, &[]);
    let standby = Orchestrator::start(dir.path(), "b", &dev.master, &[]);
    let named = Some(leader.host().to_owned());
    assert_eq!((leader.leader(), standby.leader()), (named.clone(), named));
    assert_eq!(standby.read("/v2/info")["leader"], leader.host());
    // changes, refusals and reads go through
    let seconds = own_seconds();
    standby.run(&app("/through", &seconds, 2));
    assert_eq!(tasks(&standby, "/through"), tasks(&leader, "/through"));
    let wrong = standby.ask("POST", "/v2/apps", r#"{"id":"/x","cpus":-1,"cmd":"y"}"#);
    assert_eq!(wrong, leader.ask("POST", "/v2/apps", r#"{"id":"/x","cpus":-1,"cmd":"y"}"#));
    assert_eq!(wrong.0, 422);
    assert_eq!(standby.ask("PUT", "/v2/apps/through", r#"{"instances":1}"#).0, 200);
    standby.settled(&app("/through", &seconds, 1));
    let page = real::browse(&standby.url, "/ui/");
    assert!(page.0 == 200 && page.1.contains("/through"), "{}", page.1);
    // what a proxy says of itself
    let said = raw(&standby, "GET /v2/apps?id=through", "X-Forwarded-For: 1.2.3.4\r\n").to_ascii_lowercase();
    assert!(said.starts_with("http/1.1 200"), "{said}");
    assert!(said.contains(&format!("x-marathon-via: 1.1 {}", standby.host())), "{said}");
    assert!(said.contains(&format!("x-marathon-leader: http://{}", leader.host())), "{said}");
    assert_eq!(
        said.matches("content-length:").count() + said.matches("transfer-encoding:").count(),
        1,
        "{said}"
    );
    let head = raw(&standby, "HEAD /v2/apps", "").to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    let zipped = raw(&standby, "GET /v2/apps", "Accept-Encoding: gzip\r\n").to_ascii_lowercase();
    assert_eq!(zipped.matches("content-encoding: gzip").count(), 1, "{zipped}");
    // a stream of events goes to the leader itself
    let events =
        raw(&standby, "GET /v2/events?event_type=a", "Accept: text/event-stream\r\n").to_ascii_lowercase();
    assert!(events.starts_with("http/1.1 302"), "{events}");
    assert!(
        events.contains(&format!("location: http://{}/v2/events?event_type=a", leader.host())),
        "{events}"
    );
    // what came by here already does not go round again
    let round = raw(&standby, "GET /v2/apps", &format!("X-Marathon-Via: 1.1 {}\r\n", standby.host()));
    assert!(round.starts_with("HTTP/1.1 502") && round.contains("Detected proxying loop."), "{round}");
}

#[test]
fn a_standby_takes_over_from_a_leader_that_dies_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(dir.path(), &[]);
    let mut first = Orchestrator::start(dir.path(), "a", &dev.master, &[]);
    let mut second = Orchestrator::start(dir.path(), "b", &dev.master, &[]);
    let third = Orchestrator::start(dir.path(), "c", &dev.master, &[]);
    let (seconds, more) = (own_seconds(), own_seconds());
    first.run(&app("/stays", &seconds, 3));
    let before = tasks(&third, "/stays");
    // a deployment is under way that can't end yet
    let waits = json!({ "id": "/waits", "cmd": format!("exec sleep {more}"), "cpus": 0.01, "mem": 32,
        "instances": 1, "constraints": [["hostname", "LIKE", "nowhere"]] });
    assert_eq!(second.ask("POST", "/v2/apps", &waits.to_string()).0, 201);
    for dies in 0..2 {
        let leads = if dies == 0 { first.host() } else { second.host() }.to_owned();
        // who leads after the first is for the two who stand by to settle
        if third.leader() != Some(leads) {
            assert_eq!((dies, third.leader()), (1, Some(third.host().to_owned())));
            break;
        }
        if dies == 0 {
            first.kill()
        } else {
            second.kill()
        }
        // the next request already is answered by the next leader
        assert_eq!(tasks(&third, "/stays"), before);
    }
    let deployments = third.read("/v2/deployments");
    assert_eq!(deployments.as_array().map(Vec::len), Some(1), "{deployments}");
    assert_eq!(third.ask("PUT", "/v2/apps/waits?force=true", r#"{"constraints":[]}"#).0, 200);
    third.settled(&waits);
    assert_eq!(tasks(&third, "/stays"), before);
    assert_eq!((processes(&seconds).len(), processes(&more).len()), (3, 1), "none doubled, none lost");
    let frameworks: Value =
        serde_json::from_str(&request(&dev.master, "GET", "/frameworks", "").1).expect("frameworks");
    let ours = frameworks["frameworks"].as_array().expect("a list");
    assert_eq!(ours.len(), 2, "dev's own, and one for all three: {frameworks}");
}

#[test]
fn who_steps_down_stands_by_for_the_next() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(dir.path(), &[]);
    let first = Orchestrator::start(dir.path(), "a", &dev.master, &[]);
    let second = Orchestrator::start(dir.path(), "b", &dev.master, &[]);
    let seconds = own_seconds();
    first.run(&app("/stays", &seconds, 2));
    let before = tasks(&first, "/stays");
    let mut events = TcpStream::connect(first.host()).expect("it listens");
    let ask = "GET /v2/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: text/event-stream\r\n\r\n";
    events.write_all(ask.as_bytes()).expect("it is sent");
    let (status, said) = second.ask("DELETE", "/v2/leader", "");
    assert_eq!((status, said.as_str()), (200, r#"{"message":"Leadership abdicated"}"#));
    eventually("the other leads", || (first.leader()? == second.host()).then_some(()));
    assert_eq!(second.leader().as_deref(), Some(second.host()));
    // streams of who does not lead any more end
    events.read_to_end(&mut Vec::new()).expect("the stream ends");
    assert_eq!(tasks(&first, "/stays"), before);
    assert_eq!(first.ask("PUT", "/v2/apps/stays", r#"{"instances":3}"#).0, 200);
    second.settled(&app("/stays", &seconds, 3));
    assert!(before.iter().all(|task| tasks(&second, "/stays").contains(task)));
    // and back
    assert_eq!(first.ask("DELETE", "/v2/leader", "").0, 200);
    eventually("the first leads again", || (second.leader()? == first.host()).then_some(()));
    second.settled(&app("/stays", &seconds, 3));
    assert_eq!(processes(&seconds).len(), 3);
}

#[test]
fn a_backup_brings_back_what_there_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(dir.path(), &[]);
    let alone = Orchestrator::start(dir.path(), "a", &dev.master, &[]);
    let (old, new) = (own_seconds(), own_seconds());
    alone.run(&app("/old", &old, 2));
    let before = tasks(&alone, "/old");
    let file = dir.path().join("backup.tar");
    let backup = format!("/v2/leader?backup=file://{}", file.display());
    assert_eq!(alone.ask("DELETE", &backup, "").0, 200);
    assert_eq!(tasks(&alone, "/old"), before, "alone, it leads again");
    let (status, said) = alone.ask("DELETE", &backup, "");
    assert!(
        status == 422 && said.contains("exists already"),
        "a backup takes nothing's place: {status} {said}"
    );
    alone.run(&app("/new", &new, 1));
    assert_eq!(alone.ask("DELETE", "/v2/apps/old", "").0, 200);
    eventually("its tasks end", || processes(&old).is_empty().then_some(()));
    // what is no backup restores nothing
    std::fs::write(dir.path().join("other"), "nothing").expect("a file");
    for (name, why) in [("other", "is not a whole backup"), ("none", "No such file")] {
        let restore = format!("/v2/leader?restore=file://{}", dir.path().join(name).display());
        let (status, said) = alone.ask("DELETE", &restore, "");
        assert!(status == 422 && said.contains(why), "{name}: {status} {said}");
    }
    alone.settled(&app("/new", &new, 1));
    let restore = format!("/v2/leader?restore=file://{}", file.display());
    assert_eq!(alone.ask("DELETE", &restore, "").0, 200);
    // what was started since is not known any more and ends; what was ended since is started again
    alone.until("/v2/apps/old", |v| v["app"]["tasksRunning"] == 2);
    assert_eq!(alone.ask("GET", "/v2/apps/new", "").0, 404);
    eventually("the unknown task ends", || processes(&new).is_empty().then_some(()));
    eventually("the app is back", || (processes(&old).len() == 2).then_some(()));
}
