//! Sessions in tasks, and attaching to them, by the agents' API. Never: who may (the agents decide).

use crate::{
    Cluster, Failure, Output,
    cluster::address,
    output::{list, text},
    terminal::{self, Raw},
};
use api::recordio::{self, Decoder};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::{io::AsyncReadExt as _, sync::mpsc};
use web::client::ClientError;

/// Bytes of standard input that are sent at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// The wait status of what could not be executed, as an agent gives it, and what a shell ends with then.
const NOT_EXECUTED_STATUS: i64 = 1001 << 8;
const NOT_EXECUTED_CODE: u8 = 127;
/// Records of standard input that may wait for the agent.
const WAITING_MAX: usize = 64;
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const RECORDS: HeaderValue = HeaderValue::from_static("application/recordio");

/// A container, and the agent that runs it.
#[derive(Debug)]
struct Place {
    agent: String,
    container: Value,
}

/// Runs a command in the container of a task; its status.
pub async fn exec(
    cluster: &Cluster,
    output: &Output,
    task: &str,
    command: &[String],
    (interactive, tty): (bool, bool),
) -> Result<u8, Failure> {
    let around = place(cluster, task).await?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let name = format!("exec-{}-{}", std::process::id(), since.as_nanos());
    let container = json!({ "value": name, "parent": around.container });
    let called = command;
    let command = match command {
        [script] => json!({ "value": script }),
        words => json!({ "shell": false, "value": words[0], "arguments": words }),
    };
    let mut launch = json!({ "container_id": container, "command": command });
    if tty {
        launch["container"] = json!({ "type": "MESOS", "tty_info": window() });
    }
    let call =
        json!({ "type": "LAUNCH_NESTED_CONTAINER_SESSION", "launch_nested_container_session": launch });
    let place = Place { container, ..around };
    let said = open(cluster, &place, &call).await?;
    let input = if interactive || tty { Input::Typed } else { Input::Empty };
    converse(&place, output, said, input, tty).await?;
    let call = json!({ "type": "WAIT_NESTED_CONTAINER", "wait_nested_container": { "container_id": place.container } });
    let answer: Value = cluster.client.json(Method::POST, &place.url(), Some(&call)).await?;
    let Some(status) = answer["wait_nested_container"]["exit_status"].as_i64() else {
        return Err(Failure::Failed("the command ended, but nobody saw how".to_owned()));
    };
    if status == NOT_EXECUTED_STATUS {
        output.raw_error(format!("mesolite: '{}' can't be executed in task {task}\n", called[0]).as_bytes());
        return Ok(NOT_EXECUTED_CODE);
    }
    let code = match status & 0x7f {
        0 => (status >> 8) & 0xff,
        signal => 128 + signal,
    };
    Ok(u8::try_from(code).unwrap_or(crate::exit::FAILED))
}

/// Shows what a task says from now on, and gives it what is typed.
pub async fn attach(cluster: &Cluster, output: &Output, task: &str, no_stdin: bool) -> Result<u8, Failure> {
    let place = place(cluster, task).await?;
    let call = json!({ "type": "ATTACH_CONTAINER_OUTPUT", "attach_container_output": { "container_id": place.container } });
    let said = open(cluster, &place, &call).await.map_err(|failure| match failure {
        Failure::Client(ClientError::Status { text, .. }) if text.contains("switchboard") => {
            Failure::Failed(format!(
                "task {task} has no terminal to attach to (container.tty_info); `mesolite task logs -f {task}` follows \
                 what it writes, `mesolite task exec -it {task} -- sh` opens a shell beside it"
            ))
        }
        other => other,
    })?;
    let input = if no_stdin { Input::None } else { Input::Typed };
    converse(&place, output, said, input, !no_stdin).await?;
    Ok(0)
}

/// What a container gets to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// Whatever it has.
    None,
    /// The end of it at once: what reads it does not wait for ever.
    Empty,
    /// What is typed.
    Typed,
}

impl Place {
    fn url(&self) -> String {
        format!("{}/api/v1", self.agent)
    }
}

/// Where a task runs, as its statuses say.
async fn place(cluster: &Cluster, task: &str) -> Result<Place, Failure> {
    let known = cluster.tasks().await?.into_iter().find(|t| t["id"] == task);
    let known = known.ok_or_else(|| Failure::NotFound(format!("the master knows no task {task}")))?;
    let state = text(&known, "state");
    if state != "TASK_RUNNING" {
        return Err(Failure::Failed(format!("task {task} does not run: {state}")));
    }
    let statuses = list(&known, "statuses").iter().rev();
    let container = statuses.map(|s| &s["container_status"]["container_id"]).find(|id| id.is_object());
    let container = container
        .ok_or_else(|| Failure::Failed(format!("the statuses of task {task} name no container")))?
        .clone();
    let agent_id = text(&known, "slave_id");
    let nodes = cluster.nodes().await?;
    let node = nodes.iter().find(|node| node["id"] == agent_id.as_str());
    let node =
        node.ok_or_else(|| Failure::NotFound(format!("the node {agent_id} of task {task} is gone")))?;
    Ok(Place { agent: address(node), container })
}

fn window() -> Value {
    match terminal::size() {
        Some((rows, columns)) => json!({ "window_size": { "rows": rows, "columns": columns } }),
        None => json!({}),
    }
}

async fn open(cluster: &Cluster, place: &Place, call: &Value) -> Result<hyper::body::Incoming, Failure> {
    let headers = HeaderMap::from_iter([
        (header::CONTENT_TYPE, JSON),
        (header::ACCEPT, RECORDS),
        (HeaderName::from_static("message-accept"), JSON),
    ]);
    let url = place.url();
    let body = Bytes::from(call.to_string());
    let answer = cluster.client.open(Method::POST, &url, headers, body).await?;
    if answer.status() == StatusCode::OK {
        return Ok(answer.into_body());
    }
    let status = answer.status();
    let text = answer.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    Err(ClientError::Status { url, status, text: String::from_utf8_lossy(&text).into_owned() }.into())
}

/// Prints what a container says until it ends; what is typed goes to it.
async fn converse(
    place: &Place,
    output: &Output,
    mut said: hyper::body::Incoming,
    input: Input,
    tty: bool,
) -> Result<(), Failure> {
    // Put back as it was when this function ends.
    let _raw = if tty { Raw::enter() } else { None };
    let typing = (input != Input::None)
        .then(|| tokio::spawn(pass_input(place.url(), place.container.clone(), input, tty)));
    let mut decoder = Decoder::default();
    let outcome = loop {
        let Some(frame) = said.frame().await else { break Ok(()) };
        let Ok(frame) = frame else {
            break Err(Failure::Failed("the connection to the agent broke".to_owned()));
        };
        decoder.push(&frame.into_data().unwrap_or_default());
        loop {
            match decoder.next_record() {
                Ok(None) => break,
                Ok(Some(record)) => print(output, &record),
                Err(broken) => return Err(Failure::Failed(format!("the agent's answer is {broken}"))),
            }
        }
    };
    if let Some(typing) = typing {
        typing.abort();
    }
    outcome
}

fn print(output: &Output, record: &[u8]) {
    let said: Value = serde_json::from_slice(record).unwrap_or_default();
    let Some(bytes) = said["data"]["data"].as_str().and_then(|text| STANDARD.decode(text).ok()) else {
        return;
    };
    if said["data"]["type"] == "STDERR" {
        output.raw_error(&bytes);
    } else {
        output.raw(&bytes);
    }
}

/// Sends what is typed, and the size of the window when it changes.
async fn pass_input(url: String, container: Value, input: Input, tty: bool) {
    let (records, body) = mpsc::channel(WAITING_MAX);
    let headers = HeaderMap::from_iter([
        (header::CONTENT_TYPE, RECORDS),
        (HeaderName::from_static("message-content-type"), JSON),
    ]);
    let said = |part: Value| {
        let call = json!({ "type": "ATTACH_CONTAINER_INPUT", "attach_container_input": part });
        Bytes::from(recordio::frame(call.to_string().as_bytes()))
    };
    let io = |io: Value| said(json!({ "type": "PROCESS_IO", "process_io": io }));
    let typed = async move {
        let first = said(json!({ "type": "CONTAINER_ID", "container_id": container }));
        if records.send(first).await.is_err() {
            return;
        }
        if input == Input::Empty {
            let end = io(json!({ "type": "DATA", "data": { "type": "STDIN", "data": "" } }));
            records.send(end).await.unwrap_or_default();
            return;
        }
        let mut stdin = tokio::io::stdin();
        let mut chunk = vec![0; CHUNK_BYTES];
        let kind = tokio::signal::unix::SignalKind::window_change();
        let mut resized = tokio::signal::unix::signal(kind).ok();
        let mut over = false;
        loop {
            let changed = async {
                match &mut resized {
                    Some(signal) if tty => signal.recv().await,
                    _ => std::future::pending().await,
                }
            };
            let record = tokio::select! {
                Some(()) = changed => {
                    io(json!({ "type": "CONTROL", "control": { "type": "TTY_INFO", "tty_info": window() } }))
                }
                read = stdin.read(&mut chunk), if !over => {
                    let bytes = &chunk[..read.unwrap_or_default()];
                    over = bytes.is_empty();
                    io(json!({ "type": "DATA", "data": { "type": "STDIN", "data": STANDARD.encode(bytes) } }))
                }
            };
            if records.send(record).await.is_err() || (over && !tty) {
                return;
            }
        }
    };
    // Whatever the agent says of the input, the output says more.
    let (_, _) = tokio::join!(typed, web::client::upload(&url, headers, body));
}
