//! The agent's API at the real binary: containers in containers, sessions with input and output, terminals.

mod real;

use real::{Dev, PATIENCE, Signal, eventually, request};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::Stdio,
};

/// A task that sleeps; its agent and its container.
fn sleeper(dev: &Dev) -> (String, String) {
    dev.run_app(r#"{"id": "/sleeper", "cmd": "exec sleep 1000", "cpus": 0.1, "mem": 32, "instances": 1}"#);
    let agent = dev.agents[0].clone();
    let container = eventually("its container", || {
        let all: Value = serde_json::from_str(&request(&agent, "GET", "/containers", "").1).ok()?;
        all[0]["container_id"].as_str().map(str::to_owned)
    });
    (agent, container)
}

fn inner(name: &str, around: &str) -> Value {
    json!({ "value": name, "parent": { "value": around } })
}

/// A call with its answer.
fn call(agent: &str, call: &Value) -> (u16, Value) {
    let (status, body) = request(agent, "POST", "/api/v1", &call.to_string());
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

fn wait(agent: &str, id: &Value) -> (u16, Value) {
    let (status, answer) = call(
        agent,
        &json!({ "type": "WAIT_NESTED_CONTAINER", "wait_nested_container": { "container_id": id } }),
    );
    (status, answer["wait_nested_container"]["exit_status"].clone())
}

/// Records of an open answer.
struct Stream(BufReader<TcpStream>, Vec<u8>);

impl Stream {
    /// Asks and reads the head.
    fn open(agent: &str, head: &str, body: &str) -> Self {
        let host = agent.trim_start_matches("http://");
        let mut socket = TcpStream::connect(host).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        write!(
            socket,
            "POST /api/v1 HTTP/1.1\r\nHost: {host}\r\n{head}Content-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        Self::head(socket)
    }

    fn head(socket: TcpStream) -> Self {
        let mut reader = BufReader::new(socket);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        Self(reader, Vec::new())
    }

    /// What the container says next; none = the end.
    fn next(&mut self) -> Option<(String, String)> {
        loop {
            let newline = self.1.iter().position(|b| *b == b'\n');
            if let Some(newline) = newline {
                let length: usize = String::from_utf8_lossy(&self.1[..newline]).parse().unwrap();
                if self.1.len() > newline + length {
                    let record: Vec<u8> = self.1.drain(..=newline + length).skip(newline + 1).collect();
                    let said: Value = serde_json::from_slice(&record).unwrap();
                    let kind = said["data"]["type"].as_str().unwrap().to_owned();
                    return Some((kind, base64(said["data"]["data"].as_str().unwrap())));
                }
            }
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let size = usize::from_str_radix(line.trim(), 16).unwrap_or_default();
            let mut chunk = vec![0; size + 2];
            self.0.read_exact(&mut chunk).unwrap_or_default();
            if size == 0 {
                return None;
            }
            self.1.extend(&chunk[..size]);
        }
    }

    /// Everything that it says until its end: stdout and stderr.
    fn rest(&mut self) -> (String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        while let Some((kind, text)) = self.next() {
            if kind == "STDOUT" { out.push_str(&text) } else { err.push_str(&text) }
        }
        (out, err)
    }
}

fn base64(text: &str) -> String {
    let value = |b: u8| {
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|c| *c == b)
    };
    let bits: Vec<_> =
        text.bytes().filter_map(value).flat_map(|v| (0..6).rev().map(move |i| v >> i & 1)).collect();
    let bytes = bits.chunks_exact(8).map(|c| c.iter().fold(0, |byte, bit| byte << 1 | *bit as u8)).collect();
    String::from_utf8(bytes).unwrap()
}

const RECORDS: &str =
    "Content-Type: application/json\r\nAccept: application/recordio\r\nMessage-Accept: application/json\r\n";

fn session(agent: &str, id: &Value, script: &str, terminal: bool) -> Stream {
    let mut launch = json!({ "container_id": id, "command": { "value": script } });
    if terminal {
        launch["container"] =
            json!({ "type": "MESOS", "tty_info": { "window_size": { "rows": 30, "columns": 100 } } });
    }
    let call =
        json!({ "type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session": launch });
    Stream::open(agent, RECORDS, &call.to_string())
}

/// An open ATTACH_CONTAINER_INPUT.
struct Input(TcpStream);

impl Input {
    fn open(agent: &str, id: &Value) -> Self {
        let host = agent.trim_start_matches("http://");
        let mut socket = TcpStream::connect(host).unwrap();
        let head = "Content-Type: application/recordio\r\nMessage-Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
        write!(socket, "POST /api/v1 HTTP/1.1\r\nHost: {host}\r\n{head}\r\n").unwrap();
        let mut input = Self(socket);
        input.record(&json!({ "type": "CONTAINER_ID", "container_id": id }));
        input
    }
    fn record(&mut self, part: &Value) {
        let record = json!({ "type": "ATTACH_CONTAINER_INPUT", "attach_container_input": part }).to_string();
        let framed = format!("{}\n{record}", record.len());
        write!(self.0, "{:x}\r\n{framed}\r\n", framed.len()).unwrap();
    }
    fn io(&mut self, io: &Value) {
        self.record(&json!({ "type": "PROCESS_IO", "process_io": io }));
    }
    fn say(&mut self, base64: &str) {
        self.io(&json!({ "type": "DATA", "data": { "type": "STDIN", "data": base64 } }));
    }
    /// The end of the body; the answer must be 200.
    fn end(mut self) {
        write!(self.0, "0\r\n\r\n").unwrap();
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        Stream::head(self.0);
    }
}

#[test]
fn sessions_have_input_output_and_a_status() {
    let dir = tempfile::tempdir().unwrap();
    let dev = Dev::start(dir.path(), &[]);
    let (agent, around) = sleeper(&dev);
    let id = inner("talk", &around);
    let mut talk = session(&agent, &id, "echo hello; read a; echo got $a >&2; cat; exit 4", false);
    assert_eq!(talk.next(), Some(("STDOUT".into(), "hello\n".into())));
    let mut input = Input::open(&agent, &id);
    // "you\n", then "more", then the end.
    input.say("eW91Cg==");
    assert_eq!(talk.next(), Some(("STDERR".into(), "got you\n".into())));
    input.say("bW9yZQ==");
    input.say("");
    assert_eq!(talk.rest(), ("more".into(), String::new()));
    input.end();
    assert_eq!(wait(&agent, &id), (200, json!(4 << 8)));

    let id = inner("terminal", &around);
    let mut terminal = session(&agent, &id, "stty size; read a; stty size; tty", true);
    let mut input = Input::open(&agent, &id);
    input.io(&json!({ "type": "CONTROL", "control": { "type": "HEARTBEAT", "heartbeat": {} } }));
    let size = json!({ "rows": 50, "columns": 132 });
    let (_, first) = terminal.next().unwrap();
    assert_eq!(first, "30 100\r\n");
    input.io(
        &json!({ "type": "CONTROL", "control": { "type": "TTY_INFO", "tty_info": { "window_size": size } } }),
    );
    input.say("Cg==");
    let (out, err) = terminal.rest();
    assert!(out.contains("50 132\r\n/dev/pts/") && err.is_empty(), "{out:?} {err:?}");
    input.end();

    let id = inner("cut", &around);
    let mut cut = session(&agent, &id, "echo started; sleep 1000", false);
    assert_eq!(cut.next(), Some(("STDOUT".into(), "started\n".into())));
    drop(cut);
    assert_eq!(wait(&agent, &id), (200, json!(9)), "who hangs up ends the session");

    // What can't be executed is a container that ends, as by LAUNCH_CONTAINER.
    let id = inner("nothing", &around);
    let launch = json!({ "container_id": id, "command":
        { "shell": false, "value": "/no/such/program", "arguments": ["program", "x"] } });
    let call =
        json!({ "type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session": launch });
    let mut nothing = Stream::open(&agent, RECORDS, &call.to_string());
    assert_eq!(nothing.rest(), (String::new(), String::new()));
    assert_eq!(wait(&agent, &id), (200, json!(1001 << 8)));

    // As much as it likes: the container waits for a slow reader, nothing is lost.
    let id = inner("much", &around);
    let mut much = session(&agent, &id, "yes 0123456789abcde | head -c 20000000; echo end >&2", false);
    let (out, err) = much.rest();
    assert_eq!((out.len(), err.as_str()), (20_000_000, "end\n"));
}

#[test]
fn containers_in_containers_outlive_the_agent() {
    let dir = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(dir.path(), &[]);
    let (agent, around) = sleeper(&dev);
    let id = inner("nested", &around);
    let launch = json!({ "type": "LAUNCH_NESTED_CONTAINER", "launch_nested_container":
        { "container_id": id, "command": { "value": "echo $MESOS_SANDBOX > where; until [ -e go ]; do sleep 0.05; done; exit 3" } } });
    assert_eq!(call(&agent, &launch).0, 200);
    assert_eq!(call(&agent, &launch).0, 202);
    let lone = json!({ "value": "lone" });
    let standing = json!({ "type": "LAUNCH_CONTAINER", "launch_container": { "container_id": lone,
        "command": { "value": "exec sleep 1000" },
        "resources": [{ "name": "cpus", "type": "SCALAR", "scalar": { "value": 0.1 } },
            { "name": "mem", "type": "SCALAR", "scalar": { "value": 32 } }] } });
    assert_eq!(call(&agent, &standing).0, 200);
    let find = |name: &str| {
        let found =
            std::process::Command::new("find").arg(dir.path()).args(["-name", name]).output().unwrap();
        let path = String::from_utf8(found.stdout).unwrap().lines().next().map(str::to_owned);
        path.filter(|p| std::fs::metadata(p).is_ok_and(|m| m.len() > 0))
    };
    let place = eventually("its sandbox", || find("where"));
    let sandbox = std::fs::read_to_string(&place).unwrap().trim().to_owned();
    assert!(sandbox.ends_with("/containers/nested"), "{sandbox}");
    dev.signal(Signal::KILL);
    dev.ended();
    let dev = Dev::start(dir.path(), &[]);
    let agent = dev.agents[0].clone();
    std::fs::write(format!("{sandbox}/go"), "").unwrap();
    assert_eq!(wait(&agent, &id), (200, json!(3 << 8)));
    let remove =
        json!({ "type": "REMOVE_NESTED_CONTAINER", "remove_nested_container": { "container_id": id } });
    assert_eq!(call(&agent, &remove).0, 200);
    eventually("its sandbox goes", || (!std::path::Path::new(&sandbox).exists()).then_some(()));
    assert_eq!(wait(&agent, &id).0, 404);
    let kill = json!({ "type": "KILL_CONTAINER", "kill_container": { "container_id": lone, "signal": 15 } });
    assert_eq!(call(&agent, &kill).0, 200);
    let (status, answer) =
        call(&agent, &json!({ "type": "WAIT_CONTAINER", "wait_container": { "container_id": lone } }));
    assert_eq!((status, &answer["wait_container"]["exit_status"]), (200, &json!(15)));
}

/// What `mesolite task …` prints and exits with, given this on its standard input.
fn typed(dev: &Dev, words: &[&str], input: &str) -> (i32, String, String) {
    let mut command = dev.command(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn people_run_commands_in_tasks() {
    let dir = tempfile::tempdir().unwrap();
    let dev = Dev::start(dir.path(), &["--kill-tasks-on-exit"]);
    sleeper(&dev);
    let all: Value = serde_json::from_str(&dev.mesolite(&["task", "list", "--json"])).unwrap();
    let task = all["tasks"][0]["id"].as_str().unwrap();
    let ran = typed(&dev, &["task", "exec", task, "--", "echo out; echo err >&2; exit 7"], "");
    assert_eq!(ran, (7, "out\n".into(), "err\n".into()));
    let ran = typed(&dev, &["task", "exec", "-i", task, "--", "tr", "a-z", "A-Z"], "typed\n");
    assert_eq!(ran, (0, "TYPED\n".into(), String::new()));
    let (status, out, why) = typed(&dev, &["task", "exec", task, "--", "/no/such", "x"], "");
    assert!(
        status == 127 && out.is_empty() && why.contains("'/no/such' can't be executed"),
        "{status} {why}"
    );
    let ran = typed(&dev, &["task", "exec", task, "--", "cat; echo end"], "nobody reads this");
    assert_eq!(ran, (0, "end\n".into(), String::new()), "without -i there is nothing to read");
    let ran = typed(&dev, &["task", "exec", task, "--", "kill -9 $$"], "");
    assert_eq!(ran.0, 128 + 9, "{ran:?}");
    // The terminal is the container's own; what is typed into this one is a pipe, whose end is no hang-up.
    let (status, out, _) =
        typed(&dev, &["task", "exec", "-t", task, "--", "tty; read a; echo got $a"], "x\n");
    assert!(status == 0 && out.contains("/dev/pts/") && out.contains("got x"), "{status} {out:?}");
    let (status, _, why) = typed(&dev, &["task", "attach", task], "");
    assert!(status == 1 && why.contains("has no terminal to attach to"), "{status} {why}");
    let (status, _, why) = typed(&dev, &["task", "exec", "nobody", "--", "true"], "");
    assert!(status == 3 && why.contains("knows no task nobody"), "{status} {why}");
    dev.signal(Signal::TERM);
}
