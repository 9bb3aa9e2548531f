//! What tasks write, read from their agents' file API. Never: logs of the daemons.

use crate::{
    Cluster, Failure, Logs, Output,
    cluster::Sandbox,
    output::{number, text},
};
use serde_json::Value;
use std::time::Duration;

/// Bytes that are asked for at once.
const READ_BYTES: u64 = 64 * 1024;
/// How far back `--lines` looks.
const TAIL_BYTES_MAX: u64 = 1024 * 1024;
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
    async fn ask(&self, cluster: &Cluster, query: &str) -> Result<Value, Failure> {
        let path: String = format!("{}/{}", self.sandbox.directory, self.file)
            .bytes()
            .map(|b| match b {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                    char::from(b).to_string()
                }
                other => format!("%{other:02X}"),
            })
            .collect();
        Ok(cluster.client.get(&format!("{}/files/read?path={path}{query}", self.sandbox.agent)).await?)
    }
    /// What follows what was read before; empty at the end.
    pub async fn more(&mut self, cluster: &Cluster) -> Result<String, Failure> {
        let answer = self.ask(cluster, &format!("&offset={}&length={READ_BYTES}", self.offset)).await?;
        let data = text(&answer, "data");
        self.offset += data.len() as u64;
        Ok(data)
    }
    /// Everything up to the end.
    pub async fn rest(&mut self, cluster: &Cluster) -> Result<String, Failure> {
        let mut all = String::new();
        loop {
            let more = self.more(cluster).await?;
            if more.is_empty() {
                return Ok(all);
            }
            all += &more;
        }
    }
    /// Goes to where the last so many lines begin, and gives them.
    async fn tail(&mut self, cluster: &Cluster, lines: usize) -> Result<String, Failure> {
        let answer = self.ask(cluster, "&offset=-1").await?;
        let size: u64 = number(&answer["offset"]).parse().unwrap_or(0);
        self.offset = size.saturating_sub(TAIL_BYTES_MAX);
        let all = self.rest(cluster).await?;
        Ok(last_lines(&all, lines).to_owned())
    }
}

fn last_lines(text: &str, lines: usize) -> &str {
    let body = text.strip_suffix('\n').unwrap_or(text);
    if lines == 0 {
        return "";
    }
    match body.rmatch_indices('\n').nth(lines - 1) {
        Some((at, _)) => &text[at + 1..],
        None => text,
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
                readers.push((Reader::new(sandbox, file), prefix, task));
            }
            Err(failure) => lost = Some(failure),
        }
    }
    if let (true, Some(failure)) = (readers.is_empty(), lost) {
        return Err(failure);
    }
    let mut first = true;
    loop {
        let mut quiet = true;
        for (reader, prefix, task) in &mut readers {
            let new = match logs.lines {
                Some(lines) if first => reader.tail(cluster, lines).await?,
                _ if logs.follow => reader.more(cluster).await?,
                _ => reader.rest(cluster).await?,
            };
            quiet &= new.is_empty();
            if output.json {
                // One object a line, whatever the number of tasks.
                new.lines().for_each(|line| {
                    output.line(&serde_json::json!({ "task": task, "file": file, "line": line }).to_string());
                });
            } else if prefix.is_empty() {
                output.raw(new.as_bytes());
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
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(last_lines("a\nb\nc", 1), "c");
        assert_eq!(last_lines("a\n", 5), "a\n");
        assert_eq!(last_lines("a\n", 0), "");
        assert_eq!(tag("hello.instance-0f1e2d3c-aaaa._app.1"), "0f1e2d3c");
        assert_eq!(tag("short"), "short");
    }
}
