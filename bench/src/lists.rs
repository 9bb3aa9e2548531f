//! A1, Marathon's side: what it costs to list apps with all their tasks, at first and after each change, and what a
//! deployment pays while twenty clients poll that, beside what it pays where they poll a server that is not mesolite. A
//! round counts only if every list is whole and every deployment ends.

use crate::{
    Figure, Options,
    daemon::Cores,
    deploy::Site,
    pollers::{Plain, Polls, connect, get, loopback},
    report::Target,
    stats::{median, percentile},
};
use serde_json::{Value, json};
use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

const APPS: usize = 10_000;
const TASKS_EACH: usize = 10;
const POLLERS: usize = 20;
/// Fewer would make the 99th percentile the slowest of them.
const READS: usize = 200;
/// Instances of each of the apps that are deployed, and how many such apps for one figure.
const DEPLOYED: usize = 1_000;
const ROUNDS: usize = 5;
/// Until pollers have their first answers.
const SETTLE: Duration = Duration::from_secs(2);
const PLAIN: &str = "/v2/apps";
const EMBEDDED: &str = "/v2/apps?embed=apps.tasks&embed=apps.counts";

/// A1 of the orchestrator.
pub fn apps(options: &Options) -> Result<Vec<Figure>, String> {
    Cores::measure(async |cores| rows(options, cores).await)
}

async fn rows(options: &Options, cores: &Cores) -> Result<Vec<Figure>, String> {
    let (apps, reads) = (options.count(APPS, 20), options.count(READS, 2));
    let (deployed, rounds) = (options.count(DEPLOYED, 5), options.rounds(ROUNDS));
    let site = Site::start(options, cores).await?;
    site.group(apps, TASKS_EACH).await?;
    let mut figures = Vec::new();
    let (mut changed, mut bytes) = (0, 0);
    let mut connection = connect(site.host())?;
    for (path, what, most) in [
        (PLAIN, "apps", Target::AtMost(30.0)),
        (EMBEDDED, "the same with their tasks", Target::AtMost(120.0)),
    ] {
        let (first, length) = read(&mut connection, &site, path)?;
        let name = format!("{apps} {what}, {:.1} MB", length as f64 / 1e6);
        figures.push(Figure::plain(format!("{name}: first read"), "ms", vec![first], most));
        let (mut took, mut limits) = (Vec::new(), Vec::new());
        for n in 0..reads {
            // Something changes between two reads, or nothing had to be drawn.
            site.change(changed % apps, json!({ "instances": TASKS_EACH + 1 + changed / apps })).await?;
            changed += 1;
            let (time, length) = read(&mut connection, &site, path)?;
            bytes = length;
            took.push(time);
            if n.is_multiple_of(10) {
                limits.push(loopback(length)?);
            }
        }
        let name = format!("{apps} {what}, after a change");
        figures.push(Figure::plain(
            format!("{name}, p99 of {reads}"),
            "ms",
            vec![percentile(&took, 99.0)],
            most,
        ));
        let mut figure = Figure::plain(format!("{name}, p50"), "ms", took, Target::None);
        let limit = median(&limits);
        (figure.limit, figure.ratio) = (Some((limit, "its bytes over loopback")), Some(limit / figure.value));
        figures.push(figure);
    }
    whole(&site, apps, apps * TASKS_EACH + changed).await?;
    let pollers = options.count(POLLERS, 2);
    let settle = if rounds > 1 { SETTLE } else { Duration::ZERO };
    let deploy = async |name: &str| {
        let mut all = Vec::new();
        for n in 0..rounds {
            all.push(site.scale(&format!("/{name}-{n}"), deployed).await?);
        }
        Ok::<_, String>(all)
    };
    let alone = deploy("alone").await?;
    let polls = Polls::start(site.host(), EMBEDDED, pollers, false);
    tokio::time::sleep(settle).await;
    let beside = deploy("beside").await?;
    let (ours, ours_rate) = polls.end()?;
    // What the same reading costs a deployment where nothing of it is mesolite's: a plain server, on the same cores.
    let plain = Plain::start(cores.server.clone(), bytes)?;
    let polls = Polls::start(&plain.address.to_string(), "/", pollers, false);
    tokio::time::sleep(settle).await;
    let control = deploy("control").await?;
    let (theirs, theirs_rate) = polls.end()?;
    drop(plain);
    for (who, times, rate) in [("it", ours, ours_rate), ("a plain server", theirs, theirs_rate)] {
        let name = format!("{pollers} pollers of {who}");
        figures.push(Figure::plain(format!("{name}: p50"), "ms", vec![median(&times)], Target::None));
        figures.push(Figure::plain(format!("{name}: sent"), "MB/s", vec![rate / 1e6], Target::None));
    }
    for (beside, times) in [
        ("alone", alone),
        (&*format!("{pollers} poll it"), beside),
        (&*format!("{pollers} poll a plain server"), control),
    ] {
        let what = format!("{deployed} instances deployed, {beside}");
        figures.push(Figure::plain(what, "s", times, Target::None));
    }
    Ok(figures)
}

/// Milliseconds of a read, and its bytes.
fn read(connection: &mut TcpStream, site: &Site, path: &str) -> Result<(f64, usize), String> {
    let begun = Instant::now();
    let bytes = get(connection, site.host(), path, false)?;
    Ok((begun.elapsed().as_secs_f64() * 1e3, bytes))
}

/// All apps are listed, with all tasks that were asked for once they run.
async fn whole(site: &Site, apps: usize, tasks: usize) -> Result<(), String> {
    site.deployed(async || Ok(())).await?;
    let said: Value = site.get(EMBEDDED).await?;
    let all = said["apps"].as_array().map_or(&[][..], Vec::as_slice);
    let found: usize = all.iter().map(|app| app["tasks"].as_array().map_or(0, Vec::len)).sum();
    if (all.len(), found) == (apps, tasks) {
        return Ok(());
    }
    Err(format!("{} of {apps} apps and {found} of {tasks} tasks are listed", all.len()))
}
