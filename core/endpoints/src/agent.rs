//! The agent's HTTP surface: which process and endpoint a path means. What needs the world, the shell does.
//!
//! Paths: apache/mesos@c1b42f79:src/slave/http.cpp, and recordings of the original.

mod attach;
mod calls;
pub mod containers;
mod executor;
mod launches;
mod metrics;
mod operator;
mod shown;
mod state;

pub use attach::{
    Heard, input as heard, input_codec as attach_codec, input_container as attach_container, is_api, output,
};
pub use calls::{Style, respond};
pub use executor::frame;

use crate::{
    Arrived, Perform, Routed,
    answer::{empty, endpoint, json_text, not_found},
    files::{self, Attached, Role},
    logging, nouns, pages,
};
use agent::{Agent, Input, VERSION};
use std::collections::BTreeMap;

const NAMES: [&str; 8] = [
    "api/v1",
    "api/v1/executor",
    "health",
    "state",
    "flags",
    "containers",
    "monitor/statistics",
    "containerizer/debug",
];

/// Routes a request. `attached` are files besides sandboxes that may be read.
pub fn route(arrived: &Arrived, agent: &Agent, attached: &[Attached]) -> Routed<Input, Perform> {
    // To others there is nothing at this path, as upstream's.
    if pages::asked(&arrived.request, "/") && pages::takes_html(&arrived.request) {
        let read = |path: &str| match route(&pages::inner(arrived, path), agent, attached) {
            // The page shows which there are; what they use, a reader asks for.
            Routed::Perform(Perform::Containers(ask)) => containers::unmeasured(&ask),
            routed => pages::json_of(routed),
        };
        return Routed::Respond(pages::agent(&read));
    }
    let path = arrived.request.uri().path();
    let query = arrived.request.uri().query();
    let (process, rest) = crate::answer::process_of(path);
    let whole = rest.trim_end_matches('/');
    match process {
        "version" if whole.is_empty() => return Routed::Respond(json_text(nouns::version(VERSION), query)),
        "metrics" | "system" => {
            let name = format!("{process}/{whole}");
            let known = ["metrics/snapshot", "metrics/prometheus", "system/stats.json"];
            if known.contains(&name.as_str()) {
                let values = || metrics::all(agent);
                return crate::metrics::route(&name, query, Role::Agent, agent.started(), values);
            }
        }
        "files" => {
            if ["browse", "read", "download", "debug"].contains(&whole) {
                return files::route(whole, query, Role::Agent, &readable(agent, attached));
            }
        }
        "logging" if whole == "toggle" => return logging::toggle(query, Role::Agent),
        "__processes__" => return Routed::Respond(json_text("[]".to_owned(), query)),
        "slave(1)" | "slave%281%29" => return own(arrived, rest, agent, attached),
        _ => return own(arrived, path, agent, attached),
    }
    Routed::Respond(not_found())
}

/// Endpoints of the agent itself, with `/slave(1)` before them or without.
fn own(arrived: &Arrived, path: &str, agent: &Agent, attached: &[Attached]) -> Routed<Input, Perform> {
    let query = arrived.request.uri().query();
    let text = match endpoint(path, &NAMES).map(|(name, _)| name) {
        Some("api/v1") => return calls::route(arrived, agent, &readable(agent, attached)),
        Some("api/v1/executor") => return executor::route(arrived),
        Some("health") => return Routed::Respond(empty()),
        Some("state") => state::state(agent),
        Some("flags") => nouns::object(|w| crate::master::flags(w, &agent.config().flags)),
        Some("containers") => return containers::containers(agent, query),
        Some("monitor/statistics") => return containers::statistics(agent, query),
        Some("containerizer/debug") => nouns::object(|w| nouns::texts(w, "pending", [])),
        _ => return Routed::Respond(not_found()),
    };
    Routed::Respond(json_text(text, query))
}

/// Sandboxes by their path on the host, by that of the latest run, and by the latter without the host's part.
fn readable(agent: &Agent, attached: &[Attached]) -> Vec<Attached> {
    let mut all: BTreeMap<String, String> = attached.iter().cloned().collect();
    // The newest of a name comes first, and stays.
    for (framework, executor, real) in agent.sandboxes() {
        all.insert(real.to_owned(), real.to_owned());
        if let Some((runs, _)) = real.rsplit_once('/') {
            all.entry(format!("{runs}/latest")).or_insert_with(|| real.to_owned());
        }
        let name = format!("/frameworks/{framework}/executors/{executor}/runs/latest");
        all.entry(name).or_insert_with(|| real.to_owned());
    }
    all.into_iter().collect()
}
