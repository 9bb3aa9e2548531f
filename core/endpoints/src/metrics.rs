//! Metrics as numbers by name, and their three forms: `/metrics/snapshot`, `GET_METRICS` and Prometheus text.
//!
//! Never where a number comes from: machines count, the shell measures the machine that they run on.

use crate::{
    Perform, Routed, Said,
    answer::{bad_request, json_text, parameter, render},
    files::Role,
    nouns, operator,
};
use base::Time;
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use model::{
    mesos::{agent, master},
    request::Answer,
};
use std::{collections::BTreeMap, fmt::Write as _};

/// A request for metrics, with what the machine knows.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Numbers by name.
    pub values: BTreeMap<String, f64>,
    /// When the daemon started.
    pub started: Time,
    /// A copy of tables that say more.
    tables: Option<Box<::master::View>>,
    role: Role,
    form: Form,
}

impl Ask {
    /// Adds what the tables say. It takes long where they are large.
    pub fn read_tables(&mut self) {
        if let Some(view) = self.tables.take() {
            self.values.extend(crate::master::numbers_of(&view));
        }
    }
    /// With tables that say more.
    pub(crate) fn with(mut self, view: ::master::View) -> Self {
        self.tables = Some(Box::new(view));
        self
    }
}

#[derive(Clone, Debug)]
enum Form {
    Said(Said),
    Prometheus,
    /// `/system/stats.json`, with the query.
    System(Option<String>),
}

/// What the shell measures.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// The instant of it.
    pub now: Time,
    /// Processes that want to run, over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Processors.
    pub cpus: f64,
    /// Bytes of memory that nobody uses.
    pub memory_free: f64,
    /// Bytes of memory.
    pub memory_total: f64,
    /// Everything else, by the name of its metric.
    pub named: Vec<(String, f64)>,
}

/// `/metrics/snapshot`, `/metrics/prometheus`, `/system/stats.json`; `name` is what follows the slash.
pub(crate) fn route<I>(
    name: &str,
    query: Option<&str>,
    role: Role,
    started: Time,
    values: impl FnOnce() -> BTreeMap<String, f64>,
) -> Routed<I, Perform> {
    if name == "metrics/snapshot"
        && let Some(timeout) = parameter(query, "timeout")
        && let Err(why) = api::duration::parse(&timeout)
    {
        return Routed::Respond(bad_request(format!("Invalid timeout '{timeout}': {why}.\n")));
    }
    let query = query.map(str::to_owned);
    let (values, form) = match name {
        "metrics/prometheus" => (values(), Form::Prometheus),
        "system/stats.json" => (BTreeMap::new(), Form::System(query)),
        _ => (values(), Form::Said(Said::V0(query))),
    };
    Routed::Perform(Perform::Metrics(Ask { values, started, tables: None, role, form }))
}

/// `GET_METRICS`.
pub(crate) fn ask<I>(
    role: Role,
    started: Time,
    values: BTreeMap<String, f64>,
    codec: model::request::Codec,
) -> Routed<I, Perform> {
    Routed::Perform(Perform::Metrics(Ask {
        values,
        started,
        tables: None,
        role,
        form: Form::Said(Said::V1(codec)),
    }))
}

/// Says what the machine knows and what was measured.
pub fn render_measured(mut ask: Ask, measured: &Measured) -> Response<Bytes> {
    let [one, five, fifteen] = measured.load;
    if let Form::System(query) = &ask.form {
        let text = nouns::object(|w| {
            nouns::number(w, "avg_load_1min", one);
            nouns::number(w, "avg_load_5min", five);
            nouns::number(w, "avg_load_15min", fifteen);
            nouns::number(w, "cpus_total", measured.cpus);
            nouns::number(w, "mem_total_bytes", measured.memory_total);
            nouns::number(w, "mem_free_bytes", measured.memory_free);
        });
        return json_text(text, query.as_deref());
    }
    let up = match ask.role {
        Role::Master => "master/uptime_secs",
        Role::Agent => "slave/uptime_secs",
    };
    let own = [
        (up, measured.now.since(ask.started).as_secs_f64()),
        ("system/load_1min", one),
        ("system/load_5min", five),
        ("system/load_15min", fifteen),
        ("system/cpus_total", measured.cpus),
        ("system/mem_total_bytes", measured.memory_total),
        ("system/mem_free_bytes", measured.memory_free),
    ];
    ask.values.extend(own.map(|(name, value)| (name.to_owned(), value)));
    ask.values.extend(measured.named.iter().cloned());
    match (&ask.form, ask.role) {
        (Form::Prometheus, _) => prometheus(&ask.values),
        (Form::Said(Said::V0(query)), _) => json_text(snapshot(&ask.values), query.as_deref()),
        (Form::Said(Said::V1(codec)), Role::Master) => {
            use master::response::{GetMetrics, Type};
            let get_metrics = Some(GetMetrics { metrics: operator::metrics(&ask.values) });
            let answer = master::Response { get_metrics, ..Default::default() };
            operator::respond(&operator::of_master(Type::GetMetrics, answer), *codec)
        }
        (Form::Said(Said::V1(codec)), Role::Agent) => {
            use agent::response::{GetMetrics, Type};
            let get_metrics = Some(GetMetrics { metrics: operator::metrics(&ask.values) });
            let answer = agent::Response { get_metrics, ..Default::default() };
            operator::respond(&operator::of_agent(Type::GetMetrics, answer), *codec)
        }
        (Form::System(_), _) => render(Answer::text(500, "unreachable form")),
    }
}

fn snapshot(values: &BTreeMap<String, f64>) -> String {
    nouns::object(|w| {
        for (name, value) in values {
            nouns::number(w, name, *value);
        }
    })
}

/// Prometheus' text format 0.0.4. What Mesos puts into a metric's name and is really a label becomes one.
fn prometheus(values: &BTreeMap<String, f64>) -> Response<Bytes> {
    let mut families: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
    for (name, value) in values {
        let (family, labels) = labelled(name);
        families.entry(family).or_default().push((labels, *value));
    }
    let mut text = String::new();
    for (family, samples) in families {
        let kind = if counts(&family) { "counter" } else { "gauge" };
        // A string takes all text.
        writeln!(text, "# TYPE {family} {kind}").unwrap_or_default();
        for (labels, value) in samples {
            writeln!(text, "{family}{labels} {value}").unwrap_or_default();
        }
    }
    let mut response = render(Answer::text(200, text));
    let media = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

/// `master/frameworks/<name>/<id>/calls` → `mesos_master_frameworks_calls{name="…",id="…"}`, and so for roles and principals.
fn labelled(name: &str) -> (String, String) {
    let plain = |parts: &[&str]| {
        let joined = parts.join("_");
        let safe = joined.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
        format!("mesos_{}", safe.collect::<String>())
    };
    let label = |key: &str, value: &str| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{key}=\"{value}\"")
    };
    let role = |prefix: &str, rest: &str| {
        let (role, what) = ["/shares/", "/active", "/suppressed"]
            .iter()
            .find_map(|end| rest.find(end).map(|at| rest.split_at(at)))
            .unwrap_or((rest, ""));
        let prefix: Vec<_> = prefix.split('/').collect();
        let what: Vec<_> = what.split('/').filter(|part| !part.is_empty()).collect();
        (plain(&[prefix, what].concat()), label("role", role))
    };
    for prefix in ["allocator/mesos/roles", "allocator/mesos/offer_filters/roles"] {
        if let Some(rest) = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')) {
            let (family, label) = role(prefix, rest);
            return (family, format!("{{{label}}}"));
        }
    }
    if let Some(rest) = name.strip_prefix("master/frameworks/")
        && let Some((who, rest)) = rest.split_once('/')
        && let Some((id, rest)) = rest.split_once('/')
    {
        let own = format!("{},{}", label("name", who), label("id", id));
        if let Some(rest) = rest.strip_prefix("roles/") {
            let (family, label) = role("master/frameworks/roles", rest);
            return (family, format!("{{{own},{label}}}"));
        }
        let parts: Vec<_> = ["master", "frameworks"].into_iter().chain(rest.split('/')).collect();
        return (plain(&parts), format!("{{{own}}}"));
    }
    if let Some((principal, what)) = name.strip_prefix("frameworks/").and_then(|rest| rest.rsplit_once('/')) {
        return (plain(&["frameworks", what]), format!("{{{}}}", label("principal", principal)));
    }
    (plain(&name.split('/').collect::<Vec<_>>()), String::new())
}

/// Whether it only grows while the daemon runs.
fn counts(family: &str) -> bool {
    const GROWING: [&str; 20] = [
        "_messages_",
        "_invalid_",
        "_valid_",
        "_dropped_messages",
        "_calls",
        "_events",
        "_offers_accepted",
        "_offers_declined",
        "_offers_sent",
        "_offers_rescinded",
        "_tasks_terminal_",
        "_slave_registrations",
        "_slave_reregistrations",
        "_slave_removals",
        "_slave_unreachable_",
        "_slave_shutdowns_",
        "_allocation_runs",
        "_executors_terminated",
        "_recovery_errors",
        "_launch_errors",
    ];
    const ENDED: [&str; 8] =
        ["finished", "failed", "killed", "lost", "error", "dropped", "gone", "gone_by_operator"];
    let ended =
        family.strip_prefix("mesos_master_tasks_").or_else(|| family.strip_prefix("mesos_slave_tasks_"));
    GROWING.iter().any(|part| family.contains(part)) || ended.is_some_and(|state| ENDED.contains(&state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_label_becomes_one() {
        let id = "0a-0000";
        for (name, family, labels) in [
            ("master/cpus_total", "mesos_master_cpus_total", ""),
            ("frameworks/p/messages_received", "mesos_frameworks_messages_received", "{principal=\"p\"}"),
            (
                "allocator/mesos/roles/a/b/shares/dominant",
                "mesos_allocator_mesos_roles_shares_dominant",
                "{role=\"a/b\"}",
            ),
            (
                "allocator/mesos/offer_filters/roles/*/active",
                "mesos_allocator_mesos_offer_filters_roles_active",
                "{role=\"*\"}",
            ),
        ] {
            assert_eq!(labelled(name), (family.to_owned(), labels.to_owned()));
        }
        let (family, labels) = labelled(&format!("master/frameworks/x \"y/{id}/calls/accept"));
        assert_eq!(family, "mesos_master_frameworks_calls_accept");
        assert_eq!(labels, "{name=\"x \\\"y\",id=\"0a-0000\"}");
        let (family, labels) = labelled(&format!("master/frameworks/fw/{id}/roles/*/suppressed"));
        assert_eq!(
            (family.as_str(), labels.as_str()),
            ("mesos_master_frameworks_roles_suppressed", "{name=\"fw\",id=\"0a-0000\",role=\"*\"}")
        );
    }

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let values =
            [("master/elected", 1.0), ("master/messages_kill_task", 2.0), ("master/tasks_running", 0.5)];
        let values = values.map(|(name, value)| (name.to_owned(), value)).into();
        let ask =
            Ask { values, started: Time::EPOCH, tables: None, role: Role::Master, form: Form::Prometheus };
        let measured = Measured { now: Time::from_nanos(3_000_000_000), ..Default::default() };
        let response = render_measured(ask, &measured);
        let text = String::from_utf8_lossy(response.body()).into_owned();
        assert!(text.contains("# TYPE mesos_master_elected gauge\nmesos_master_elected 1\n"), "{text}");
        assert!(text.contains("# TYPE mesos_master_messages_kill_task counter\n"), "{text}");
        assert!(text.contains("mesos_master_uptime_secs 3\n"), "{text}");
        let media = response.headers()[header::CONTENT_TYPE].to_str().unwrap();
        assert!(media.starts_with("text/plain; version=0.0.4"), "{media}");
    }
}
