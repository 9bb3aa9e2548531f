//! A2: apps written durably, by one client and by many at once, and a group of thousands in one PUT. A round counts only
//! if every write was answered well and every app is listed afterwards.

use crate::{
    Figure, Options,
    daemon::{Cores, Daemon},
    deploy::app,
    probes,
    report::Target,
    stats::{median, percentile},
};
use http::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use web::client::Client;

const CLIENTS: usize = 64;
const MANY: usize = 10_000;
const FEW: usize = 1_000;
const GROUP: usize = 5_000;
const ROUNDS: usize = 3;
const PROBE: Duration = Duration::from_millis(500);

/// A2.
pub fn writes(options: &Options) -> Result<Vec<Figure>, String> {
    Cores::measure(async |cores| rows(options, cores).await)
}

async fn rows(options: &Options, cores: &Cores) -> Result<Vec<Figure>, String> {
    let (many, few, group) = (options.count(MANY, 100), options.count(FEW, 10), options.count(GROUP, 50));
    let (mut alone, mut together, mut grouped) = (vec![], vec![], vec![]);
    let (mut usual, mut slow, mut slowest, mut growth) = (vec![], vec![], vec![], vec![]);
    for _ in 0..options.rounds(ROUNDS) {
        let daemon = Daemon::control(&options.binary, &cores.server)?;
        let syncs = probes::syncs(&daemon.dir(), PROBE)?;
        let (rate, _) = write(&daemon, "one", few, 1).await?;
        alone.push((rate, syncs));
        let (rate, took) = write(&daemon, "many", many, CLIENTS).await?;
        together.push((rate, syncs));
        usual.push(median(&took));
        slow.push(percentile(&took, 99.0));
        slowest.push(percentile(&took, 100.0));
        let part = took.len().div_ceil(10);
        growth.push(median(&took[took.len() - part..]) / median(&took[..part]));
        listed(&daemon, few + many).await?;
        drop(daemon);
        let daemon = Daemon::control(&options.binary, &cores.server)?;
        grouped.push(put_group(&daemon, group).await?);
        listed(&daemon, group).await?;
        eprintln!(
            "   {alone:.0?} and {together:.0?} writes/s beside durable appends/s, group {grouped:.2?} s"
        );
    }
    let probe = "durable appends, one after the other";
    Ok(vec![
        Figure::rate("POST of an app, one client", &alone, probe, Target::None),
        Figure::rate(format!("POST of an app, {CLIENTS} clients"), &together, probe, Target::None),
        Figure::plain("the same, p50 of an answer", "ms", usual, Target::None),
        Figure::plain("the same, p99 of an answer", "ms", slow, Target::AtMost(25.0)),
        Figure::plain("the same, the slowest answer", "ms", slowest, Target::None),
        Figure::plain("p50 of the last tenth through the first", "x", growth, Target::None),
        Figure::plain(format!("PUT of a group of {group} apps"), "s", grouped, Target::AtMost(2.0)),
    ])
}

/// Writes per second, and the milliseconds that each took, in the order in which they began.
async fn write(
    daemon: &Daemon,
    name: &'static str,
    count: usize,
    clients: usize,
) -> Result<(f64, Vec<f64>), String> {
    let client = Client::default();
    let url = format!("http://{}/v2/apps", daemon.marathon);
    let begun = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for first in 0..clients {
        let (client, url) = (client.clone(), url.clone());
        writers.spawn(async move {
            let mut took = Vec::new();
            for n in (first..count).step_by(clients) {
                let begun = Instant::now();
                let app = app(&format!("/{name}-{n}"), 0, 1);
                let said: Result<Value, _> = client.json(Method::POST, &url, Some(&app)).await;
                said.map_err(|e| e.to_string())?;
                took.push((begun, begun.elapsed().as_secs_f64() * 1e3));
            }
            Ok::<_, String>(took)
        });
    }
    let mut all = Vec::new();
    for took in writers.join_all().await {
        all.extend(took?);
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    all.sort_by_key(|(begun, _)| *begun);
    Ok((rate, all.into_iter().map(|(_, took)| took).collect()))
}

async fn put_group(daemon: &Daemon, count: usize) -> Result<f64, String> {
    let apps: Vec<Value> = (0..count).map(|n| app(&format!("/many/a{n}"), 0, 1)).collect();
    let group = json!({ "id": "/", "groups": [{ "id": "/many", "apps": apps }] });
    let url = format!("http://{}/v2/groups", daemon.marathon);
    let begun = Instant::now();
    let said: Result<Value, _> = Client::default().json(Method::PUT, &url, Some(&group)).await;
    said.map_err(|e| e.to_string())?;
    Ok(begun.elapsed().as_secs_f64())
}

async fn listed(daemon: &Daemon, count: usize) -> Result<(), String> {
    let url = format!("http://{}/v2/apps", daemon.marathon);
    let said: Value = Client::default().get(&url).await.map_err(|e| e.to_string())?;
    let found = said["apps"].as_array().map_or(0, Vec::len);
    if found == count { Ok(()) } else { Err(format!("{found} of {count} apps are listed")) }
}
