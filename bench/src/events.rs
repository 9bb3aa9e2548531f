//! A3: what an app's changes cost to tell a thousand clients of the event stream. A round counts only if every one of
//! them heard every event.

use crate::{
    Figure, Options,
    daemon::{Cores, Daemon},
    deploy::app,
    report::Target,
    stats::percentile,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::mpsc;
use web::client::Client;

const SUBSCRIBERS: usize = 1_000;
/// Of which so many look at the time that an event says.
const SAMPLED: usize = 20;
/// Events of one write of an app that runs nowhere, about.
const WRITES_PER_SECOND: usize = 25;
const SECONDS: usize = 5;
const BURST: usize = 500;
const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);
const SETTLE: Duration = Duration::from_millis(500);
const DAY_MS: i64 = 24 * 3600 * 1000;

/// A3.
pub fn fan_out(options: &Options) -> Result<Vec<Figure>, String> {
    Cores::measure(async |cores| rows(options, cores).await)
}

async fn rows(options: &Options, cores: &Cores) -> Result<Vec<Figure>, String> {
    let (mut rates, mut lags, mut paced, mut memory) = (vec![], vec![], vec![], vec![]);
    for _ in 0..options.rounds(ROUNDS) {
        let daemon = Daemon::control(&options.binary, &cores.server)?;
        let mut crowd = Crowd::gather(&daemon, options.count(SUBSCRIBERS, 10)).await?;
        let begun = Instant::now();
        let writes = WRITES_PER_SECOND * options.count(SECONDS, 1);
        for n in 0..writes {
            write(&daemon, &format!("/paced-{n}")).await?;
            let due = Duration::from_secs_f64((n + 1) as f64 / WRITES_PER_SECOND as f64);
            tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
        }
        let told = crowd.heard_all().await?;
        paced.push(told as f64 / begun.elapsed().as_secs_f64());
        lags.push(percentile(&crowd.lags(), 99.0));
        let begun = Instant::now();
        for n in 0..options.count(BURST, 10) {
            write(&daemon, &format!("/burst-{n}")).await?;
        }
        rates.push((crowd.heard_all().await? - told) as f64 / begun.elapsed().as_secs_f64());
        memory.push(resident(&daemon));
        eprintln!(
            "   {paced:.0?} paced, {rates:.0?} at most delivered/s, lag {lags:.1?} ms, {memory:.0?} MiB"
        );
    }
    Ok(vec![
        Figure::plain("delivered at about 100 events/s", "/s", paced, Target::None),
        Figure::plain("the same, from the event to its reader, p99", "ms", lags, Target::AtMost(100.0)),
        Figure::plain("delivered at most, on the server's cores", "/s", rates, Target::None),
        Figure::plain("orchestrator's memory with all of them", "MiB", memory, Target::None),
    ])
}

async fn write(daemon: &Daemon, id: &str) -> Result<(), String> {
    let url = format!("http://{}/v2/apps", daemon.marathon);
    let said: Result<Value, _> = Client::default().json(Method::POST, &url, Some(&app(id, 0, 1))).await;
    said.map(drop).map_err(|e| e.to_string())
}

/// Mebibytes of the last role that was started, the orchestrator.
fn resident(daemon: &Daemon) -> f64 {
    let pid = daemon.processes().get(1).copied().unwrap_or_default();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

/// Clients of the event stream, and what they heard.
struct Crowd {
    heard: Vec<Arc<AtomicUsize>>,
    lags: mpsc::UnboundedReceiver<f64>,
    _readers: tokio::task::JoinSet<()>,
}

impl Crowd {
    async fn gather(daemon: &Daemon, count: usize) -> Result<Self, String> {
        let url = format!("http://{}/v2/events", daemon.marathon);
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        let client = Client::default();
        let (late, lags) = mpsc::unbounded_channel();
        let (mut heard, mut readers) = (Vec::new(), tokio::task::JoinSet::new());
        for number in 0..count {
            let opened = client.open(Method::GET, &url, headers.clone(), Bytes::new()).await;
            let mut body = opened.map_err(|e| e.to_string())?.into_body();
            let counted = Arc::new(AtomicUsize::new(0));
            heard.push(counted.clone());
            let late = (number < SAMPLED).then(|| late.clone());
            readers.spawn(async move {
                let mut rest = Vec::new();
                while let Some(Ok(frame)) = body.frame().await {
                    let Some(data) = frame.data_ref() else { continue };
                    rest.extend_from_slice(data);
                    let whole = rest.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
                    let mut events = 0;
                    for line in rest[..whole].split(|b| *b == b'\n') {
                        if !line.starts_with(b"data: ") || !line.windows(11).any(|w| w == b"\"timestamp\"") {
                            continue;
                        }
                        // those about clients that come and go are told to some only
                        if line.windows(20).any(|w| w == b"event_stream_attache") {
                            continue;
                        }
                        events += 1;
                        if let Some((late, lag)) = late.as_ref().zip(lag(&line[6..])) {
                            late.send(lag).unwrap_or_default();
                        }
                    }
                    rest.drain(..whole);
                    counted.fetch_add(events, Ordering::Relaxed);
                }
            });
        }
        // those who came first may have heard of the start
        tokio::time::sleep(SETTLE).await;
        heard.iter().for_each(|counted| counted.store(0, Ordering::Relaxed));
        Ok(Self { heard, lags, _readers: readers })
    }

    /// How much all of them heard together, once all have heard as much as the first and it hears nothing new.
    async fn heard_all(&self) -> Result<usize, String> {
        let begun = Instant::now();
        let count = |one: &Arc<AtomicUsize>| one.load(Ordering::Relaxed);
        let mut before = 0;
        loop {
            let first = self.heard.first().map_or(0, count);
            if first > 0 && first == before && self.heard.iter().all(|one| count(one) == first) {
                return Ok(first * self.heard.len());
            }
            before = first;
            if begun.elapsed() > PATIENCE {
                let all: Vec<usize> = self.heard.iter().map(count).collect();
                return Err(format!(
                    "not all clients heard the same: {:?} to {:?} events",
                    all.iter().min(),
                    all.iter().max()
                ));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn lags(&mut self) -> Vec<f64> {
        std::iter::from_fn(|| self.lags.try_recv().ok()).collect()
    }
}

/// Milliseconds since the time that an event says, `2026-11-21T11:17:42.423Z`: the day is today.
fn lag(event: &[u8]) -> Option<f64> {
    let event: Value = serde_json::from_slice(event).ok()?;
    let clock = event["timestamp"].as_str()?.get(11..23)?;
    let number = |range: std::ops::Range<usize>| clock.get(range)?.parse::<i64>().ok();
    let said = ((number(0..2)? * 60 + number(3..5)?) * 60 + number(6..8)?) * 1000 + number(9..12)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some((now.as_millis() as i64 - said).rem_euclid(DAY_MS) as f64)
}
