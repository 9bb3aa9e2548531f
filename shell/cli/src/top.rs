//! `mesolite top`: what nodes, frameworks and tasks use now, measured by the agents between two looks.
//!
//! Never: what they have used since they began, or anything that the agents do not say themselves.

use crate::{
    Cluster, Failure, Output, Sort, Top,
    cluster::address,
    output::{list, text},
    terminal,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncReadExt as _,
    task::JoinSet,
    time::{sleep_until, timeout},
};

/// Agents that are asked at the same time.
const ASKED_AT_ONCE_MAX: usize = 32;
/// An agent that takes longer counts as one that does not answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Between the two looks of `--once`.
const ONCE_APART: Duration = Duration::from_secs(1);
/// Rows of nodes and of frameworks where the whole is on one screen.
const ROWS_EACH: usize = 8;
const MIB: f64 = 1024.0 * 1024.0;

/// What an agent said of one container.
#[derive(Clone, Debug)]
struct Said {
    agent: String,
    at: f64,
    /// Seconds of processor time so far.
    ran: f64,
    cpus_max: f64,
    mem: f64,
    mem_max: f64,
}

/// One look at the whole cluster.
#[derive(Debug, Default)]
struct Look {
    summary: Value,
    /// By framework and executor; a task without an executor of its own is one by its id.
    said: BTreeMap<(String, String), Said>,
    /// Agents that did not answer.
    silent: Vec<String>,
}

/// Something that uses processors and memory.
#[derive(Clone, Debug, Default)]
struct Used {
    cpus: f64,
    mem: f64,
}

struct Row {
    name: String,
    used: Used,
    cells: Vec<String>,
    json: Value,
}

/// Looks, shows, and looks again.
pub async fn perform(top: Top, cluster: &Cluster, output: &Output) -> Result<u8, Failure> {
    let mut before = look(cluster).await?;
    if top.once {
        tokio::time::sleep(ONCE_APART).await;
        let now = look(cluster).await?;
        let tables = tables(&before, &now, top.sort);
        if output.json {
            output.value(&as_json(&tables, &now));
        } else {
            show(&tables, &now, None, output);
        }
        return Ok(0);
    }
    let interval = Duration::from_secs_f64(top.interval.clamp(0.1, 3600.0));
    // Keys and a screen of its own, where there is a person.
    let person = (output.colour && !output.json).then(Screen::enter).flatten();
    let mut sort = top.sort;
    let mut keys = tokio::io::stdin();
    let mut key = [0];
    loop {
        let next = Instant::now() + if before.said.is_empty() { ONCE_APART.min(interval) } else { interval };
        if person.is_some() {
            let pressed = tokio::select! {
                read = keys.read(&mut key) => read.ok().filter(|n| *n > 0).map(|_| key[0]),
                () = sleep_until(next.into()) => None,
            };
            match pressed {
                // q, and what a terminal makes of Ctrl-C and Ctrl-D in raw mode
                Some(b'q' | 3 | 4) => return Ok(0),
                Some(b'c') => sort = Sort::Cpu,
                Some(b'm') => sort = Sort::Mem,
                Some(b'n') => sort = Sort::Name,
                _ => {}
            }
        } else {
            sleep_until(next.into()).await;
        }
        let now = look(cluster).await?;
        let tables = tables(&before, &now, sort);
        if output.json {
            output.line(&as_json(&tables, &now).to_string());
        } else {
            show(&tables, &now, person.as_ref(), output);
        }
        before = now;
    }
}

async fn look(cluster: &Cluster) -> Result<Look, Failure> {
    let mut look = Look { summary: cluster.mesos("/state-summary").await?, ..Look::default() };
    let mut agents = list(&look.summary, "slaves").iter().filter(|node| node["active"] == true);
    let mut asked = JoinSet::new();
    loop {
        while asked.len() < ASKED_AT_ONCE_MAX
            && let Some(node) = agents.next()
        {
            let (client, id) = (cluster.client.clone(), text(node, "id"));
            let url = format!("{}/monitor/statistics", address(node));
            asked.spawn(async move {
                let answer = timeout(ANSWER_MAX, client.get::<Value>(&url)).await;
                (id, answer.ok().and_then(Result::ok))
            });
        }
        let Some(answered) = asked.join_next().await else { break };
        // A task of ours that panicked has nothing to say of an agent.
        let Ok((agent, answer)) = answered else { continue };
        let Some(all) = answer.as_ref().and_then(Value::as_array) else {
            look.silent.push(agent);
            continue;
        };
        for one in all {
            let used = &one["statistics"];
            let number = |field: &str| used[field].as_f64().unwrap_or_default();
            let said = Said {
                agent: agent.clone(),
                at: number("timestamp"),
                ran: number("cpus_user_time_secs") + number("cpus_system_time_secs"),
                // a share where no quota is set, as by default
                cpus_max: Some(number("cpus_limit"))
                    .filter(|n| *n > 0.0)
                    .unwrap_or(number("cpus_soft_limit")),
                mem: number("mem_rss_bytes"),
                mem_max: number("mem_limit_bytes"),
            };
            look.said.insert((text(one, "framework_id"), text(one, "executor_id")), said);
        }
    }
    Ok(look)
}

/// Processors used between two looks; none at all for what was not there before.
fn cpus(before: &Look, key: &(String, String), now: &Said) -> f64 {
    let Some(then) = before.said.get(key).filter(|then| then.agent == now.agent && now.at > then.at) else {
        return 0.0;
    };
    ((now.ran - then.ran) / (now.at - then.at)).max(0.0)
}

/// Nodes, frameworks and tasks, each sorted.
fn tables(before: &Look, now: &Look, sort: Sort) -> [Vec<Row>; 3] {
    let (mut nodes, mut owners) = (BTreeMap::<&str, Used>::new(), BTreeMap::<&str, Used>::new());
    let names: BTreeMap<String, String> =
        list(&now.summary, "slaves").iter().map(|node| (text(node, "id"), text(node, "hostname"))).collect();
    let mut tasks = Vec::new();
    for (key, said) in &now.said {
        let used = Used { cpus: cpus(before, key, said), mem: said.mem / MIB };
        for sum in [nodes.entry(&said.agent).or_default(), owners.entry(&key.0).or_default()] {
            sum.cpus += used.cpus;
            sum.mem += used.mem;
        }
        let node = names.get(&said.agent).cloned().unwrap_or_default();
        let json = json!({ "id": key.1, "framework_id": key.0, "slave_id": said.agent, "cpus_used": used.cpus,
            "cpus_limit": said.cpus_max, "mem_used_mb": used.mem, "mem_limit_mb": said.mem_max / MIB });
        let cells = vec![key.1.clone(), node, of(used.cpus, said.cpus_max), of(used.mem, said.mem_max / MIB)];
        tasks.push(Row { name: key.1.clone(), used, cells, json });
    }
    let rows = |key: &str, used: &BTreeMap<&str, Used>, name: &str, is_node: bool| -> Vec<Row> {
        let all = list(&now.summary, key).iter();
        let row = |one: &Value| {
            let (id, name) = (text(one, "id"), text(one, name));
            let used = used.get(id.as_str()).cloned().unwrap_or_default();
            let given = |kind: &str| one["used_resources"][kind].as_f64().unwrap_or_default();
            let most = |kind: &str| {
                if is_node { one["resources"][kind].as_f64().unwrap_or_default() } else { given(kind) }
            };
            let running = one["TASK_RUNNING"].as_u64().unwrap_or_default();
            let state = match (now.silent.contains(&id), one["active"] == true) {
                (true, _) => "silent",
                (_, true) => "active",
                _ => "gone",
            };
            let json = json!({ "id": id, "name": name, "state": state, "running": running,
                "cpus_used": used.cpus, "cpus_allocated": given("cpus"), "cpus_total": most("cpus"),
                "mem_used_mb": used.mem, "mem_allocated_mb": given("mem"), "mem_total_mb": most("mem") });
            let cells = vec![
                name.clone(),
                state.to_owned(),
                running.to_string(),
                of(used.cpus, given("cpus")),
                of(used.mem, given("mem")),
                id,
            ];
            Row { name, used, cells, json }
        };
        all.map(row).collect()
    };
    let mut all =
        [rows("slaves", &nodes, "hostname", true), rows("frameworks", &owners, "name", false), tasks];
    for table in &mut all {
        table.sort_by(|a, b| {
            let most = match sort {
                Sort::Cpu => b.used.cpus.total_cmp(&a.used.cpus),
                Sort::Mem => b.used.mem.total_cmp(&a.used.mem),
                Sort::Name => std::cmp::Ordering::Equal,
            };
            most.then_with(|| a.name.cmp(&b.name)).then_with(|| a.cells.cmp(&b.cells))
        });
    }
    all
}

/// What is used of what it may.
fn of(used: f64, most: f64) -> String {
    let short = |n: f64| if n >= 100.0 { format!("{n:.0}") } else { format!("{n:.2}") };
    if most > 0.0 { format!("{}/{}", short(used), short(most)) } else { short(used) }
}

fn as_json([nodes, frameworks, tasks]: &[Vec<Row>; 3], now: &Look) -> Value {
    let all = |rows: &[Row]| rows.iter().map(|row| row.json.clone()).collect::<Vec<_>>();
    json!({ "nodes": all(nodes), "frameworks": all(frameworks), "tasks": all(tasks), "silent": now.silent })
}

const HEADINGS: [[&str; 6]; 3] = [
    ["NODE", "STATE", "RUNNING", "CPUS", "MEM MB", "ID"],
    ["FRAMEWORK", "STATE", "RUNNING", "CPUS", "MEM MB", "ID"],
    ["TASK", "NODE", "CPUS", "MEM MB", "", ""],
];

/// Prints the tables, on a screen as much of them as it holds.
fn show(all: &[Vec<Row>; 3], now: &Look, screen: Option<&Screen>, output: &Output) {
    let mut left = screen.map_or(usize::MAX, |screen| screen.begin(output));
    for ((headings, rows), last) in HEADINGS.iter().zip(all).zip([false, false, true]) {
        let headings: Vec<&str> = headings.iter().copied().filter(|heading| !heading.is_empty()).collect();
        let most = match screen {
            Some(_) if !last => ROWS_EACH.min(left.saturating_sub(2)),
            Some(_) => left.saturating_sub(2),
            None => usize::MAX,
        };
        let shown: Vec<_> = rows.iter().take(most).map(|row| row.cells.clone()).collect();
        left = left.saturating_sub(shown.len() + 2);
        output.table(&headings, shown);
        if !last {
            output.line("");
        }
    }
    if !now.silent.is_empty() && screen.is_none() {
        output.warn(&format!("{} nodes did not answer", now.silent.len()));
    }
}

/// A screen of its own on the terminal, and keys as they are pressed; both are given back in the end.
struct Screen(terminal::Raw);

impl Screen {
    fn enter() -> Option<Self> {
        let raw = terminal::Raw::enter_keys()?;
        // another screen, without a cursor
        print!("\x1b[?1049h\x1b[?25l");
        Some(Self(raw))
    }
    /// Clears it. How many lines it has.
    fn begin(&self, output: &Output) -> usize {
        let _ = &self.0;
        output.raw(b"\x1b[H\x1b[J");
        let lines = terminal::size().map_or(24, |(rows, _)| usize::from(rows));
        output.line("mesolite top   c m n: sort by cpu, memory, name   q: end\n");
        lines.saturating_sub(3)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        print!("\x1b[?25h\x1b[?1049l");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: f64, ran: [f64; 2]) -> Look {
        let summary = json!({
            "slaves": [{"id": "S0", "hostname": "one", "active": true, "TASK_RUNNING": 2,
                "resources": {"cpus": 4.0, "mem": 100.0}, "used_resources": {"cpus": 1.5, "mem": 64.0}}],
            "frameworks": [{"id": "F", "name": "marathon", "active": true, "TASK_RUNNING": 2,
                "used_resources": {"cpus": 1.5, "mem": 64.0}}],
        });
        let said = |ran: f64, mem: f64| Said {
            agent: "S0".into(),
            at: time,
            ran,
            cpus_max: 1.0,
            mem: mem * MIB,
            mem_max: 32.0 * MIB,
        };
        let key = |id: &str| ("F".to_owned(), id.to_owned());
        let said = [(key("a"), said(ran[0], 8.0)), (key("b"), said(ran[1], 4.0))];
        Look { summary, said: said.into(), silent: Vec::new() }
    }

    #[test]
    fn use_is_measured_between_two_looks_and_summed() {
        let (before, now) = (at(10.0, [1.0, 5.0]), at(12.0, [1.5, 7.0]));
        let all = tables(&before, &now, Sort::Cpu);
        let told = as_json(&all, &now);
        assert_eq!(told["tasks"][0]["id"], "b", "the one that uses most comes first");
        assert_eq!(
            (&told["tasks"][0]["cpus_used"], &told["tasks"][1]["cpus_used"]),
            (&json!(1.0), &json!(0.25))
        );
        let (node, framework) = (&told["nodes"][0], &told["frameworks"][0]);
        assert_eq!((&node["cpus_used"], &node["mem_used_mb"]), (&json!(1.25), &json!(12.0)));
        assert_eq!((&node["cpus_total"], &node["cpus_allocated"]), (&json!(4.0), &json!(1.5)));
        assert_eq!((&framework["name"], &framework["cpus_used"]), (&json!("marathon"), &json!(1.25)));
        let by = |sort| as_json(&tables(&before, &now, sort), &now)["tasks"][0]["id"].clone();
        assert_eq!((by(Sort::Mem), by(Sort::Name)), (json!("a"), json!("a")));
        assert_eq!(all[2][0].cells, ["b", "one", "1.00/1.00", "4.00/32.00"]);
    }

    #[test]
    fn what_began_between_two_looks_or_moved_has_used_nothing_yet() {
        let (before, mut now) = (at(10.0, [1.0, 5.0]), at(12.0, [1.5, 7.0]));
        let key = ("F".to_owned(), "a".to_owned());
        now.said.get_mut(&key).unwrap().agent = "S1".into();
        assert_eq!(cpus(&before, &key, &now.said[&key]), 0.0);
        assert_eq!(cpus(&Look::default(), &key, &now.said[&key]), 0.0);
    }
}
