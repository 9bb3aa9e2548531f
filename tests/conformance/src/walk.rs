//! Walks the steps of one transcript: sends, waits, acts, and notes per step what differed.

use crate::{
    Outcome, Server, Transcript,
    cluster::{Cluster, agent_ids},
    compare::{Comparison, short},
    http::{self, Request, Said, Stream},
    needs::Table,
    placeholders::{self, Bindings},
    protobuf,
    transcript::{Receive, Send, Step},
};
use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashSet},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// How long records that must come may take: an update that was not acknowledged comes again after 10 seconds.
const RECORDS_TIMEOUT: Duration = Duration::from_secs(16);
/// How long tasks may take to come to the states that a step awaits.
const TASKS_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an executor may take to start before its first call, and a task to write the file that is read: the
/// recorded clients waited for both.
const EXECUTOR_TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// How long a read may take to come out as recorded.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// An open stream and how its records are read.
struct Open {
    stream: Stream,
    message: &'static str,
    /// The Mesos-Stream-Id that it came with.
    id: Option<String>,
    /// Offers that came while a step was about something else.
    skipped: Vec<Value>,
}

struct Walk<'t> {
    cluster: Option<Cluster>,
    addresses: BTreeMap<&'static str, String>,
    paths: Vec<(String, String)>,
    bound: Bindings,
    streams: BTreeMap<String, Open>,
    transcript: &'t Transcript,
    table: &'t Table,
    /// The port that stands for `CHECKED_PORT` here.
    checked_port: u16,
    /// Executors whose process was waited for.
    awaited: HashSet<String>,
    /// Updates by their uuid: a second one is a repetition, also on the stream of a later subscription.
    seen: HashSet<String>,
}

#[cfg(test)]
mod tests;

/// In recordings of checks this port is any free one of the agent.
const CHECKED_PORT: u16 = 31_999;

/// A free port that agents offer. Another process may take it before the task does: then the file differs.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let taken = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_err();
    let number = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id());
    let start = 31_100 + (number % 800) as u16;
    (start..CHECKED_PORT).find(|port| !taken(port)).unwrap_or(CHECKED_PORT)
}

/// Replays one file.
pub fn replay(transcript: &Transcript, server: &Server, table: &Table) -> Outcome {
    let mut outcome = Outcome { steps: transcript.steps.len(), ..Outcome::default() };
    let transcript = match table.corrected(transcript) {
        Ok((played, errata)) => {
            outcome.errata = errata;
            played
        }
        Err(error) => {
            outcome.differences.push(format!("{error:#}"));
            return outcome;
        }
    };
    let transcript = &transcript;
    let mut walk = match Walk::begin(transcript, server, table) {
        Ok(Some(walk)) => walk,
        Ok(None) => return Outcome { tried: false, ..outcome },
        Err(error) => {
            outcome.differences.push(format!("{error:#}"));
            return outcome;
        }
    };
    for (at, step) in transcript.steps.iter().enumerate() {
        let mut differences = Vec::new();
        let went_on = walk.step(step, &mut differences);
        if let Err(error) = &went_on {
            differences.push(format!("{error:#}"));
        }
        outcome.matched += usize::from(differences.is_empty());
        outcome.differences.extend(differences.into_iter().map(|d| format!("step {at}: {d}")));
        if went_on.is_err() {
            break;
        }
    }
    outcome
}

/// Whether a request changes nothing, so that it can be made again.
fn is_read(send: &Send) -> bool {
    let kind = send.body.as_ref().and_then(|b| b["type"].as_str()).unwrap_or_default();
    send.method == "GET" || ["GET_", "LIST_", "READ_"].iter().any(|start| kind.starts_with(start))
}

/// Recordings leave such records out where a step is about something else, unless it is a wait.
fn is_about_offers(record: &Value) -> bool {
    let kind = record["type"].as_str().unwrap_or_default();
    ["OFFERS", "RESCIND", "INVERSE_OFFERS", "RESCIND_INVERSE_OFFER"].contains(&kind)
}

impl<'t> Walk<'t> {
    fn begin(transcript: &'t Transcript, server: &Server, table: &'t Table) -> anyhow::Result<Option<Self>> {
        let mut walk = Self {
            cluster: None,
            addresses: BTreeMap::new(),
            paths: Vec::new(),
            bound: Bindings::default(),
            streams: BTreeMap::new(),
            transcript,
            table,
            checked_port: free_port(),
            awaited: HashSet::new(),
            seen: HashSet::new(),
        };
        match server {
            Server::Binary(binary) => {
                let cluster = Cluster::start(
                    binary,
                    &table.of_file(&transcript.name, &transcript.needs)?,
                    transcript.agent_refuses(),
                )?;
                walk.paths = cluster.paths();
                walk.cluster = Some(cluster);
            }
            Server::Running { master, agent } => {
                if transcript.steps.iter().any(|s| s.process.is_some()) {
                    return Ok(None);
                }
                let plain = |url: &str| url.trim_start_matches("http://").trim_end_matches('/').to_owned();
                walk.addresses.insert("master", plain(master));
                if let Some(agent) = agent {
                    walk.addresses.insert("agent", plain(agent));
                }
                for (role, recorded) in [("agent", "/var/lib/mesos"), ("master", "/var/lib/mesos-master")] {
                    walk.paths.splice(0..0, walk.work_dir(role).map(|d| (recorded.to_owned(), d)));
                }
            }
        }
        walk.find_daemons();
        Ok(Some(walk))
    }

    fn work_dir(&self, role: &str) -> Option<String> {
        let request = Request { method: "GET".to_owned(), path: "/flags".to_owned(), ..Request::default() };
        let answer = http::ask(self.addresses.get(role)?, &request).ok()?;
        let flags: Value = serde_json::from_slice(&answer.body).ok()?;
        flags["flags"]["work_dir"].as_str().map(str::to_owned)
    }

    fn find_daemons(&mut self) {
        for role in ["master", "agent", "agent2"] {
            if let Some(address) = self.cluster.as_ref().and_then(|c| c.address(role)) {
                self.addresses.insert(role, address.to_owned());
            }
            if let Some(port) = self.addresses.get(role).and_then(|a| a.rsplit(':').next()) {
                self.bound.set(&format!("${{{role}_port}}"), port);
            }
        }
    }

    fn address(&self, to: &str) -> anyhow::Result<String> {
        self.addresses.get(to).cloned().with_context(|| format!("there is no {to}"))
    }

    /// What the recording calls a path, as it is here.
    fn here(&self, text: &str) -> String {
        let text =
            self.paths.iter().fold(text.to_owned(), |text, (recorded, here)| text.replace(recorded, here));
        text.replace(&CHECKED_PORT.to_string(), &self.checked_port.to_string())
    }

    /// What is here, as the recording calls it.
    fn recorded(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                for (recorded, here) in &self.paths {
                    if text.contains(here.as_str()) {
                        *text = text.replace(here.as_str(), recorded);
                    }
                }
            }
            Value::Number(number) if number.as_u64() == Some(u64::from(self.checked_port)) => {
                *number = CHECKED_PORT.into();
            }
            Value::Array(items) => items.iter_mut().for_each(|v| self.recorded(v)),
            Value::Object(map) => {
                map.values_mut().for_each(|v| self.recorded(v));
                // `/files/debug` has paths as keys.
                let moved: Vec<String> = map
                    .keys()
                    .filter(|k| self.paths.iter().any(|(_, here)| k.contains(here)))
                    .cloned()
                    .collect();
                for key in moved {
                    let mut name = Value::String(key.clone());
                    self.recorded(&mut name);
                    if let (Some(value), Value::String(name)) = (map.remove(&key), name) {
                        map.insert(name, value);
                    }
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, step: &Step, differences: &mut Vec<String>) -> anyhow::Result<()> {
        if let Some(act) = &step.act {
            return self.act(act, step);
        }
        if step.send.is_none() && step.stream.is_none() {
            // A remark.
            return Ok(());
        }
        let receive = step.receive.clone().unwrap_or_default();
        match (&step.send, &step.stream) {
            (Some(send), None) if receive.records.is_none() => self.exchange(send, &receive, differences),
            (Some(send), name) => {
                let name = name.clone().unwrap_or_default();
                self.open(send, &name, &receive, differences)?;
                self.records(&name, &receive, step, differences)
            }
            (None, Some(name)) => self.records(name, &receive, step, differences),
            (None, None) => Ok(()),
        }
    }

    fn act(&mut self, act: &str, step: &Step) -> anyhow::Result<()> {
        match act {
            "note" => Ok(()),
            "sleep" => {
                std::thread::sleep(Duration::from_secs_f64(step.seconds.unwrap_or_default()));
                Ok(())
            }
            "close" => {
                let name = step.stream.as_deref().unwrap_or_default();
                let open =
                    self.streams.remove(name).with_context(|| format!("no stream is called {name}"))?;
                open.stream.close();
                Ok(())
            }
            "await_tasks" => self.await_tasks(&step.states),
            "kill" | "start" => {
                let process = step.process.as_deref().unwrap_or_default();
                let cluster = self.cluster.as_mut().context("the daemons are not ours to stop and start")?;
                if act == "kill" {
                    return cluster.signal(process, step.signal.as_deref().unwrap_or("SIGKILL"));
                }
                cluster.again(process, step.flags.as_deref())?;
                self.find_daemons();
                Ok(())
            }
            other => bail!("an unknown act: {other}"),
        }
    }

    fn request(&mut self, send: &Send) -> anyhow::Result<Request> {
        let body = send.body.as_ref().unwrap_or(&Value::Null);
        let text = serde_json::to_string(&[&json!(send.path), &json!(send.body_text), body])?;
        if let Some(key) = placeholders::first(&text, "agent_id").filter(|k| self.bound.get(k).is_none()) {
            // Sent before any answer named it: it is the only agent there is.
            let ids = self.address("master").map(|m| agent_ids(&m)).unwrap_or_default();
            if let [only] = ids.as_slice() {
                self.bound.set(&key, only.clone());
            }
        }
        let fill = |text: &str| self.bound.fill(text).map(|t| self.here(&t)).map_err(anyhow::Error::msg);
        let value = |value: &Value| -> anyhow::Result<Vec<u8>> {
            let filled = self.bound.fill_value(value).map_err(anyhow::Error::msg)?;
            Ok(self.here(&filled.to_string()).into_bytes())
        };
        let mut request =
            Request { method: send.method.clone(), path: fill(&send.path)?, ..Request::default() };
        for (name, text) in &send.headers {
            request.headers.insert(name.clone(), fill(text)?);
        }
        if let Some(raw) = &send.raw {
            request.raw = Some(fill(raw)?.chars().map(|c| c as u8).collect());
        } else if let Some(protobuf) = &send.body_protobuf {
            let fields = self.bound.fill_value(&protobuf.fields).map_err(anyhow::Error::msg)?;
            request.body = protobuf::encode(&protobuf.message, &fields)?;
        } else if let Some(base64) = &send.body_base64 {
            request.body = STANDARD.decode(base64)?;
        } else if let Some(text) = &send.body_text {
            request.body = fill(text)?.into_bytes();
        } else if let Some(records) = &send.body_records {
            request.chunked = true;
            for record in records {
                request.body.extend(http::frame(&value(record)?));
            }
        } else if let Some(body) = &send.body {
            request.body = value(body)?;
        }
        Ok(request)
    }

    fn heads(&mut self, receive: &Receive, head: &http::Head, differences: &mut Vec<String>) {
        if receive.status.is_some_and(|s| s != head.status) {
            differences.push(format!(
                "status: recorded {}, came {}",
                receive.status.unwrap_or(0),
                head.status
            ));
        }
        for (name, recorded) in &receive.headers {
            match head.headers.get(&name.to_ascii_lowercase()) {
                Some(value) if self.bound.matches(recorded, value) => {}
                Some(value) => {
                    differences.push(format!("header {name}: recorded {recorded:?}, came {value:?}"))
                }
                None => differences.push(format!("header {name}: missing; recorded {recorded:?}")),
            }
        }
    }

    fn exchange(
        &mut self,
        send: &Send,
        receive: &Receive,
        differences: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let mark = self.bound.mark();
            let mut found = Vec::new();
            self.exchange_once(send, receive, &mut found)?;
            if found.is_empty() || !is_read(send) || began.elapsed() > READ_TIMEOUT {
                differences.append(&mut found);
                return Ok(());
            }
            // What the steps before led to was done when the recorded server was asked; here it may still be under way.
            self.bound.back_to(mark);
            std::thread::sleep(PAUSE);
        }
    }

    fn exchange_once(
        &mut self,
        send: &Send,
        receive: &Receive,
        differences: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        let request = self.request(send)?;
        if receive.status.is_some_and(|status| status != 400) {
            self.await_executor(send)?;
        }
        let until = Instant::now() + EXECUTOR_TIMEOUT;
        let answer = loop {
            let answer = http::ask(&self.address(&send.to)?, &request)
                .with_context(|| format!("{} {}", send.method, send.path))?;
            let absent = answer.head.status == 404 && receive.status == Some(200);
            if !(absent && send.path.starts_with("/files/") && Instant::now() < until) {
                break answer;
            }
            std::thread::sleep(PAUSE);
        };
        let before = differences.len();
        self.heads(receive, &answer.head, differences);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let (recorded, mut actual, path) = if let Some(protobuf) = &receive.body_protobuf {
            let actual = protobuf::decode(&protobuf.message, &answer.body).unwrap_or_else(|_| json!(text));
            (protobuf.fields.clone(), actual, "body")
        } else if let Some(jsonp) = &receive.body_jsonp {
            let inner = text.strip_prefix(&format!("{}(", jsonp.callback)).unwrap_or(&text);
            let tail = jsonp.tail.as_deref().unwrap_or_default();
            let inner = inner.strip_suffix(tail).unwrap_or(inner);
            let actual = serde_json::from_str(inner).unwrap_or_else(|_| json!(text));
            (jsonp.json.clone(), actual, "json")
        } else if let Some(base64) = &receive.body_base64 {
            (json!(base64), json!(STANDARD.encode(&answer.body)), "bytes")
        } else if let Some(recorded) = &receive.body_text {
            (json!(recorded), json!(text), "text")
        } else if let Some(recorded) = &receive.body {
            let json_type = answer.head.headers.get("content-type").is_some_and(|t| t.contains("json"));
            let parsed = json_type.then(|| serde_json::from_slice(&answer.body).ok()).flatten();
            (recorded.clone(), parsed.unwrap_or_else(|| json!(text)), "body")
        } else {
            return Ok(());
        };
        self.recorded(&mut actual);
        let mut comparison = Comparison::new(&mut self.bound);
        comparison.subset = receive.subset;
        comparison.value(&recorded, &actual, path);
        differences.append(&mut comparison.differences);
        if differences.len() > before {
            let what = send.body.as_ref().and_then(|b| b["type"].as_str()).unwrap_or_default();
            differences.insert(before, format!("{} {} {what}", send.method, send.path));
        }
        Ok(())
    }

    fn open(
        &mut self,
        send: &Send,
        name: &str,
        receive: &Receive,
        differences: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        let request = self.request(send)?;
        if receive.status == Some(200) {
            self.await_executor(send)?;
        }
        let stream = http::open(&self.address(&send.to)?, &request)
            .with_context(|| format!("{} {}", send.method, send.path))?;
        self.heads(receive, &stream.head, differences);
        if stream.head.status != 200 {
            bail!("the stream '{name}' does not open: status {}", stream.head.status);
        }
        let header = |name: &str| stream.head.headers.get(name).map_or("", String::as_str);
        let protobuf =
            [header("content-type"), header("message-content-type")].iter().any(|t| t.contains("protobuf"));
        let message = match (protobuf, send.path.as_str()) {
            (false, _) => "",
            (true, path) if path.ends_with("/scheduler") => "mesos.v1.scheduler.Event",
            (true, path) if path.ends_with("/executor") => "mesos.v1.executor.Event",
            (true, _) if send.to == "master" => "mesos.v1.master.Event",
            (true, _) => "mesos.v1.agent.ProcessIO",
        };
        let id = stream.head.headers.get("mesos-stream-id").cloned();
        let open = Open { stream, message, id, skipped: Vec::new() };
        self.streams.insert(name.to_owned(), open);
        Ok(())
    }

    /// An executor's first call is made once its process runs: recorded clients waited for that.
    fn await_executor(&mut self, send: &Send) -> anyhow::Result<()> {
        if !send.path.ends_with("/api/v1/executor") {
            return Ok(());
        }
        let fields = send.body_protobuf.as_ref().map(|p| &p.fields).or(send.body.as_ref());
        let executor = fields.map_or(Value::Null, |f| f["executor_id"]["value"].clone());
        let name = executor.as_str().unwrap_or_default().to_owned();
        let framework = fields.and_then(|f| f["framework_id"]["value"].as_str()).unwrap_or_default();
        let ours = self.bound.fill(framework).is_ok() && self.transcript.launches(&name);
        if !ours || !self.awaited.insert(name) {
            return Ok(());
        }
        let request =
            Request { method: "GET".to_owned(), path: "/containers".to_owned(), ..Request::default() };
        let until = Instant::now() + EXECUTOR_TIMEOUT;
        while Instant::now() < until {
            let answer = http::ask(&self.address(&send.to)?, &request)?;
            let all: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let runs = |c: &Value| c["executor_id"] == executor && !c["status"]["executor_pid"].is_null();
            if all.as_array().into_iter().flatten().any(runs) {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn next(&mut self, name: &str, until: Instant) -> anyhow::Result<Option<Option<Value>>> {
        let open = self.streams.get(name).with_context(|| format!("no stream is called '{name}'"))?;
        let mut value = match open.stream.next(until) {
            Said::Nothing => return Ok(Some(None)),
            Said::Closed => return Ok(None),
            Said::Record(bytes) if open.message.is_empty() => serde_json::from_slice(&bytes)
                .with_context(|| format!("a record that is no JSON: {}", String::from_utf8_lossy(&bytes)))?,
            Said::Record(bytes) => protobuf::decode(open.message, &bytes)?,
        };
        self.recorded(&mut value);
        Ok(Some(Some(value)))
    }

    /// Waits for the records of a step.
    fn records(
        &mut self,
        name: &str,
        receive: &Receive,
        step: &Step,
        differences: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        let waited = step.waited_seconds;
        // Such a step says that nothing but its records came in that time.
        let silent = waited.is_some() && !self.table.offers_may_come(&self.transcript.name, step);
        let mut wanted: Vec<Value> = receive.records.clone().unwrap_or_default();
        let until = Instant::now() + waited.map_or(RECORDS_TIMEOUT, Duration::from_secs_f64);
        let early = std::mem::take(&mut self.streams.get_mut(name).context("no such stream")?.skipped);
        for offers in early {
            match wanted.iter().position(|w| w["type"] == "OFFERS") {
                Some(at) if self.fits(&wanted[at], &offers) => drop(wanted.remove(at)),
                _ => self.streams.get_mut(name).context("no such stream")?.skipped.push(offers),
            }
        }
        loop {
            if wanted.is_empty() && waited.is_none() && !receive.closed {
                return Ok(());
            }
            let Some(next) = self.next(name, until)? else {
                if !wanted.is_empty() {
                    bail!("the stream '{name}' was closed; still to come: {}", short(&json!(wanted)));
                }
                if !receive.closed {
                    differences.push(format!("the stream '{name}' was closed"));
                }
                return Ok(());
            };
            let Some(record) = next else {
                if !wanted.is_empty() {
                    bail!("did not come on '{name}': {}", short(&json!(wanted)));
                }
                if receive.closed {
                    differences.push(format!("the stream '{name}' stays open; it was closed"));
                }
                return Ok(());
            };
            let kind = record["type"].clone();
            if silent && is_about_offers(&record) && !wanted.iter().any(|w| w["type"] == kind) {
                differences.push(format!("came on '{name}', where none did: {}", short(&record)));
            }
            self.take(name, record, &mut wanted, receive.any_order, differences)?;
        }
    }

    fn fits(&mut self, recorded: &Value, actual: &Value) -> bool {
        Comparison::new(&mut self.bound).fits(recorded, actual, "record")
    }

    fn take(
        &mut self,
        name: &str,
        record: Value,
        wanted: &mut Vec<Value>,
        any_order: bool,
        differences: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        let kind = record["type"].as_str().unwrap_or_default().to_owned();
        let uuid = record["update"]["status"]["uuid"].as_str().map(str::to_owned);
        let repeated = uuid.is_some_and(|u| !self.seen.insert(u));
        let range = if any_order { wanted.len() } else { wanted.len().min(1) };
        for at in 0..range {
            if wanted[at]["type"] == json!(kind) && self.fits(&wanted[at].clone(), &record) {
                wanted.remove(at);
                return Ok(());
            }
        }
        match kind.as_str() {
            _ if repeated => Ok(()),
            "HEARTBEAT" => Ok(()),
            _ if is_about_offers(&record) && !wanted.iter().any(|w| w["type"] == json!(kind)) => {
                if kind == "OFFERS" {
                    self.streams.get_mut(name).context("no such stream")?.skipped.push(record);
                }
                Ok(())
            }
            _ => {
                let Some(at) =
                    wanted.iter().position(|w| w["type"] == json!(kind)).filter(|at| any_order || *at == 0)
                else {
                    bail!("came on '{name}': {}; recorded: {}", short(&record), short(&json!(wanted)));
                };
                let recorded = wanted.remove(at);
                let mut comparison = Comparison::new(&mut self.bound);
                comparison.value(&recorded, &record, &format!("record {kind}"));
                differences.append(&mut comparison.differences);
                Ok(())
            }
        }
    }

    /// Reads and acknowledges updates until tasks are in these states.
    fn await_tasks(&mut self, states: &BTreeMap<String, String>) -> anyhow::Result<()> {
        let mut left = states.clone();
        let until = Instant::now() + TASKS_TIMEOUT;
        let name = "scheduler";
        let master = self.address("master")?;
        let id = self.streams.get(name).and_then(|o| o.id.clone()).context("there is no scheduler stream")?;
        let framework = self.bound.fill("${framework_id:1}").map_err(anyhow::Error::msg)?;
        while !left.is_empty() {
            let Some(Some(record)) = self.next(name, until)? else {
                bail!("tasks did not come to the states {left:?}");
            };
            let status = &record["update"]["status"];
            let task = status["task_id"]["value"].as_str().unwrap_or_default();
            if left.get(task).is_some_and(|wanted| status["state"] == json!(wanted)) {
                left.remove(task);
            }
            let Some(uuid) = status["uuid"].as_str() else { continue };
            let call = json!({"type": "ACKNOWLEDGE", "framework_id": {"value": framework}, "acknowledge":
                {"agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": uuid}});
            let mut request = Request {
                method: "POST".to_owned(),
                path: "/api/v1/scheduler".to_owned(),
                body: call.to_string().into_bytes(),
                ..Request::default()
            };
            request.headers.insert("Content-Type".to_owned(), "application/json".to_owned());
            request.headers.insert("Mesos-Stream-Id".to_owned(), id.clone());
            let answer = http::ask(&master, &request)?;
            anyhow::ensure!(
                answer.head.status == 202,
                "an acknowledgement was answered {}",
                answer.head.status
            );
        }
        Ok(())
    }
}

impl Drop for Walk<'_> {
    fn drop(&mut self) {
        self.streams.clear();
        if std::env::var_os("REPLAY_LOGS").is_some()
            && let Some(cluster) = &self.cluster
        {
            eprintln!("== logs of {}\n{}", self.transcript.name, cluster.logs());
        }
    }
}
