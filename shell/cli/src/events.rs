//! Marathon's event stream, printed as it comes, over restarts of the server too. Never: what is asked of it again; the
//! server knows by the last event's id where to go on.

use crate::{Cluster, Failure, Output, output::text};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use std::time::{Duration, Instant};

/// A line of the stream longer than this ends it.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long a server that was lost is looked for.
const RECONNECT_MAX: Duration = Duration::from_secs(60);
/// Pause between two looks for it.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Prints events until the server is gone for good.
pub async fn follow(types: &[String], cluster: &Cluster, output: &Output) -> Result<u8, Failure> {
    let filters: Vec<String> = types.iter().map(|kind| format!("event_type={kind}")).collect();
    let query = if filters.is_empty() { String::new() } else { format!("?{}", filters.join("&")) };
    let url = cluster.marathon_url(&format!("/v2/events{query}"));
    let mut stream = Stream { url, last: None };
    let mut lost: Option<Instant> = None;
    loop {
        let ended = stream.read(cluster, output, &mut lost).await;
        let since = match (lost, &ended) {
            (None, Err(_)) => return ended.map(|()| 0),
            (None, Ok(())) => {
                output.warn("the stream of events has ended; connecting again");
                *lost.insert(Instant::now())
            }
            (Some(since), _) => since,
        };
        if since.elapsed() > RECONNECT_MAX {
            return ended.and(Err(Failure::Failed(
                "the stream of events has ended, and did not come back".to_owned(),
            )));
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

struct Stream {
    url: String,
    /// Id of the event that was printed last: the next connection goes on after it.
    last: Option<HeaderValue>,
}

impl Stream {
    /// Prints events until the stream ends. An error is one of connecting; `lost` is taken back once it is connected.
    async fn read(
        &mut self,
        cluster: &Cluster,
        output: &Output,
        lost: &mut Option<Instant>,
    ) -> Result<(), Failure> {
        let accept = HeaderValue::from_static("text/event-stream");
        let mut headers = HeaderMap::from_iter([(header::ACCEPT, accept)]);
        if let Some(last) = &self.last {
            headers.insert("last-event-id", last.clone());
        }
        let answer = cluster.client.open(Method::GET, &self.url, headers, Bytes::new()).await?;
        if !answer.status().is_success() {
            return Err(Failure::Failed(format!("{} answered {}", self.url, answer.status())));
        }
        if lost.take().is_some() {
            output.warn("connected to the stream of events again");
        }
        let mut body = answer.into_body();
        let mut lines = Lines::default();
        while let Some(Ok(frame)) = body.frame().await {
            lines.waiting.extend_from_slice(&frame.into_data().unwrap_or_default());
            while let Some(line) = lines.next_line() {
                // each event's data is one line that names its type too
                if let Some(data) = line.strip_prefix("data:") {
                    output.line(&said(data.trim(), output.json));
                } else if let Some(id) = line.strip_prefix("id:") {
                    self.last = HeaderValue::from_str(id.trim()).ok();
                }
            }
            if lines.waiting.len() > LINE_BYTES_MAX {
                break;
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Lines {
    waiting: Vec<u8>,
}

impl Lines {
    fn next_line(&mut self) -> Option<String> {
        let end = self.waiting.iter().position(|b| *b == b'\n')?;
        let line: Vec<u8> = self.waiting.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

fn said(data: &str, json: bool) -> String {
    let Ok(event) = serde_json::from_str::<Value>(data) else { return data.to_owned() };
    if json {
        return data.to_owned();
    }
    let mut line = format!("{} {}", text(&event, "timestamp"), text(&event, "eventType"));
    for field in [
        "appId",
        "runSpecId",
        "taskId",
        "instanceId",
        "taskStatus",
        "condition",
        "message",
        "id",
        "alive",
        "reason",
    ] {
        match &event[field] {
            Value::String(value) if !value.is_empty() => line += &format!(" {field}={value}"),
            Value::Bool(value) => line += &format!(" {field}={value}"),
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_one_line_each() {
        let data = "{\"eventType\":\"status_update_event\",\"timestamp\":\"T\",\"taskId\":\"a.1\",\"taskStatus\":\"TASK_RUNNING\"}";
        assert_eq!(said(data, false), "T status_update_event taskId=a.1 taskStatus=TASK_RUNNING");
        assert_eq!(said(data, true), data);
        let mut lines = Lines { waiting: b"event: a\r\ndata: x\n\npart".to_vec() };
        let got: Vec<_> = std::iter::from_fn(|| lines.next_line()).collect();
        assert_eq!(got, ["event: a", "data: x", ""]);
        assert_eq!(lines.waiting, b"part");
    }
}
