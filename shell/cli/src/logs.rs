//! What tasks write, read from their agents' file API. Never: logs of the daemons.

use crate::{
    Cluster, Failure, Logs, Output,
    cluster::Sandbox,
    output::{number, text},
};
use base64::{Engine as _, prelude::BASE64_STANDARD as STANDARD};
use http::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Bytes that are asked for at once.
const READ_BYTES: u64 = 64 * 1024;
/// How far back `--lines` looks.
const TAIL_BYTES_MAX: u64 = 1024 * 1024;
/// How long a node that was lost is looked for.
const RECONNECT_MAX: Duration = Duration::from_secs(60);
/// Pause between two looks for more.
pub const FOLLOW_PAUSE: Duration = Duration::from_millis(300);

/// A file of a task that is read from begin to end, and on.
#[derive(Debug)]
pub struct Reader {
    sandbox: Sandbox,
    file: &'static str,
    offset: u64,
}

impl Reader {
    /// A file from its begin.
    pub fn new(sandbox: Sandbox, file: &'static str) -> Self {
        Self { sandbox, file, offset: 0 }
    }
    /// By READ_FILE of the agent's API, since `/files/read` gives text, and what is no text is lost there.
    async fn ask(&self, cluster: &Cluster, offset: u64, length: u64) -> Result<Value, Failure> {
        let path = format!("{}/{}", self.sandbox.directory, self.file);
        let read_file = json!({ "path": path, "offset": offset, "length": length });
        let call = json!({ "type": "READ_FILE", "read_file": read_file });
        let url = format!("{}/api/v1", self.sandbox.agent);
        let mut answer: Value = cluster.client.json(Method::POST, &url, Some(&call)).await?;
        Ok(answer["read_file"].take())
    }
    /// What follows what was read before; empty at the end.
    pub async fn more(&mut self, cluster: &Cluster) -> Result<Vec<u8>, Failure> {
        let answer = self.ask(cluster, self.offset, READ_BYTES).await?;
        let data = STANDARD.decode(text(&answer, "data"));
        let data = data.map_err(|e| Failure::Failed(format!("the agent sent what is no base64: {e}")))?;
        self.offset += data.len() as u64;
        Ok(data)
    }
    /// Everything up to the end.
    pub async fn rest(&mut self, cluster: &Cluster) -> Result<Vec<u8>, Failure> {
        let mut all = Vec::new();
        loop {
            let more = self.more(cluster).await?;
            if more.is_empty() {
                return Ok(all);
            }
            all.extend(more);
        }
    }
    /// Goes to where the last so many lines begin, and gives them.
    pub async fn tail(&mut self, cluster: &Cluster, lines: usize) -> Result<Vec<u8>, Failure> {
        let answer = self.ask(cluster, 0, 0).await?;
        let size: u64 = number(&answer["size"]).parse().unwrap_or(0);
        self.offset = size.saturating_sub(TAIL_BYTES_MAX);
        let all = self.rest(cluster).await?;
        Ok(last_lines(&all, lines).to_owned())
    }
}

fn last_lines(bytes: &[u8], lines: usize) -> &[u8] {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if lines == 0 {
        return b"";
    }
    let ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    match ends.map(|(at, _)| at).nth(lines - 1) {
        Some(at) => &bytes[at + 1..],
        None => bytes,
    }
}

/// Prints the output of tasks, given with the ids of their agents. Several are told apart by a prefix.
pub async fn print(
    cluster: &Cluster,
    output: &Output,
    tasks: Vec<(String, String)>,
    logs: &Logs,
) -> Result<(), Failure> {
    let file = if logs.stderr { "stderr" } else { "stdout" };
    let several = tasks.len() > 1;
    let mut readers = Vec::new();
    let mut lost = None;
    for (task, agent) in tasks {
        match cluster.sandbox(&task, &agent).await {
            Ok(sandbox) => {
                let prefix = if several { format!("{} | ", tag(&task)) } else { String::new() };
                readers.push((Reader::new(sandbox, file), prefix, task, agent));
            }
            Err(failure) => lost = Some(failure),
        }
    }
    if let (true, Some(failure)) = (readers.is_empty(), lost) {
        return Err(failure);
    }
    let mut first = true;
    let mut missed: Option<Instant> = None;
    loop {
        let mut quiet = true;
        for (reader, prefix, task, agent) in &mut readers {
            let new = match logs.lines {
                Some(lines) if first => reader.tail(cluster, lines).await?,
                _ if logs.follow => match reader.more(cluster).await {
                    Ok(new) => {
                        if missed.take().is_some() {
                            output.warn("the node answers again");
                        }
                        new
                    }
                    // it may restart, at another address
                    Err(failure) if failure.code() == crate::exit::UNREACHABLE => {
                        if missed.is_none() {
                            output.warn(&format!("{failure}; trying again"));
                        }
                        if missed.get_or_insert_with(Instant::now).elapsed() > RECONNECT_MAX {
                            return Err(failure);
                        }
                        if let Ok(sandbox) = cluster.sandbox(task, agent).await {
                            reader.sandbox = sandbox;
                        }
                        Vec::new()
                    }
                    Err(failure) => return Err(failure),
                },
                _ => reader.rest(cluster).await?,
            };
            quiet &= new.is_empty();
            if prefix.is_empty() && !output.json {
                output.raw(&new);
                continue;
            }
            let new = String::from_utf8_lossy(&new);
            if output.json {
                // One object a line, whatever the number of tasks.
                new.lines().for_each(|line| {
                    output.line(&serde_json::json!({ "task": task, "file": file, "line": line }).to_string());
                });
            } else {
                new.lines().for_each(|line| output.line(&format!("{prefix}{line}")));
            }
        }
        first = false;
        if !logs.follow {
            return Ok(());
        }
        if quiet {
            tokio::time::sleep(FOLLOW_PAUSE).await;
        }
    }
}

/// The part of a task's id that tells it from its siblings.
fn tag(task: &str) -> &str {
    let instance = task.split_once(".instance-").map_or(task, |(_, rest)| rest);
    instance.get(..8).unwrap_or(instance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_count_whole_lines() {
        assert_eq!(last_lines(b"a\nb\nc\n", 2), b"b\nc\n");
        assert_eq!(last_lines(b"a\nb\nc", 1), b"c");
        assert_eq!(last_lines(b"a\n", 5), b"a\n");
        assert_eq!(last_lines(b"a\n", 0), b"");
        assert_eq!(tag("hello.instance-0f1e2d3c-aaaa._app.1"), "0f1e2d3c");
        assert_eq!(tag("short"), "short");
    }
}
