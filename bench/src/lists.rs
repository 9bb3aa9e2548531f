//! A1, Marathon's side: what it costs to list apps with all their tasks while twenty clients poll, and what a deployment
//! pays for it. A round counts only if every list is whole and the deployment ends.

use crate::{Figure, Options, daemon::Cores, deploy::Site, report::Target, stats::percentile};
use http::Method;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use web::client::Client;

const APPS: usize = 10_000;
const TASKS_EACH: usize = 10;
const POLLERS: usize = 20;
const READS: usize = 20;
/// Instances of the app that is deployed meanwhile.
const DEPLOYED: usize = 1_000;
const PLAIN: &str = "/v2/apps";
const EMBEDDED: &str = "/v2/apps?embed=apps.tasks&embed=apps.counts";

/// A1 of the orchestrator.
pub fn apps(options: &Options) -> Result<Vec<Figure>, String> {
    Cores::measure(async |cores| rows(options, cores).await)
}

async fn rows(options: &Options, cores: &Cores) -> Result<Vec<Figure>, String> {
    let (apps, reads) = (options.count(APPS, 20), options.count(READS, 2));
    let deployed = options.count(DEPLOYED, 5);
    let site = Site::start(options, cores).await?;
    site.group(apps, TASKS_EACH).await?;
    let mut figures = Vec::new();
    for (path, what, most) in [
        (PLAIN, "apps", Target::AtMost(30.0)),
        (EMBEDDED, "the same with their tasks", Target::AtMost(120.0)),
    ] {
        let (took, bytes) = read(&site, path, apps, reads).await?;
        let size = bytes as f64 / 1e6;
        figures.push(Figure::plain(
            format!("{apps} {what}, {size:.1} MB, p99"),
            "ms",
            vec![percentile(&took, 99.0)],
            most,
        ));
        figures.push(Figure::plain(format!("{apps} {what}, p50"), "ms", took, Target::None));
    }
    let alone = site.scale("/alone", deployed).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut pollers = tokio::task::JoinSet::new();
    for _ in 0..POLLERS {
        let (url, stop) = (site.url(EMBEDDED), stop.clone());
        pollers.spawn(async move {
            let (client, mut took) = (Client::default(), Vec::new());
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                client.bytes(&url).await.map_err(|e| e.to_string())?;
                took.push(begun.elapsed().as_secs_f64() * 1e3);
            }
            Ok::<_, String>(took)
        });
    }
    let beside = site.scale("/beside", deployed).await;
    stop.store(true, Ordering::Relaxed);
    let mut polled = Vec::new();
    for took in pollers.join_all().await {
        polled.extend(took?);
    }
    let beside = beside?;
    figures.push(Figure::plain(
        format!("with their tasks, {POLLERS} pollers, p50"),
        "ms",
        polled,
        Target::None,
    ));
    figures.push(Figure::plain(
        format!("{deployed} instances deployed, alone"),
        "s",
        vec![alone],
        Target::None,
    ));
    figures.push(Figure::plain(
        format!("{deployed} instances deployed beside {POLLERS} pollers"),
        "s",
        vec![beside],
        Target::None,
    ));
    Ok(figures)
}

/// Milliseconds of each read, and the bytes of one.
async fn read(site: &Site, path: &str, apps: usize, reads: usize) -> Result<(Vec<f64>, usize), String> {
    let (client, url) = (Client::default(), site.url(path));
    let (mut took, mut bytes) = (Vec::new(), 0);
    for _ in 0..reads {
        let begun = Instant::now();
        let answer = client.ask(Method::GET, &url, Default::default(), Default::default()).await;
        let body = answer.map_err(|e| e.to_string())?.into_body();
        took.push(begun.elapsed().as_secs_f64() * 1e3);
        bytes = body.len();
        let said: Value = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
        let found = said["apps"].as_array().map_or(0, Vec::len);
        let tasks = &said["apps"][0]["tasks"];
        let whole = path == PLAIN || tasks.as_array().is_some_and(|t| t.len() == TASKS_EACH);
        if found != apps || !whole {
            return Err(format!("{found} of {apps} apps, the first with {}", json!(tasks)));
        }
    }
    Ok((took, bytes))
}
