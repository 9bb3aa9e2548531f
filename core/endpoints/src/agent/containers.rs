//! Containers and what they use: `/containers`, `/monitor/statistics`, `GET_CONTAINERS`. The shell measures.

use super::shown::{self, Shown};
use crate::{
    Perform, Routed, Said,
    answer::{json_text, parameter},
    nouns, operator,
};
use agent::{Agent, Input, Runner};
use api::json::Writer;
use bytes::Bytes;
use http::Response;
use model::{
    container::ContainerId,
    mesos::{
        self, ContainerStatus, ExecutorId, FrameworkId, ResourceStatistics,
        agent::{
            call::GetContainers as GetContainersCall,
            response::{GetContainers, Type, get_containers},
        },
    },
    request::Codec,
    resources::Resources,
};
use std::collections::BTreeMap;

/// Bytes of a megabyte, as Mesos counts them.
const MEGABYTE: f64 = 1024.0 * 1024.0;

/// A request for containers.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Which are measured.
    pub containers: Vec<Container>,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Containers,
    Statistics,
}

#[derive(Clone, Debug)]
struct Form {
    what: What,
    said: Said,
}

/// A container that runs.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its id.
    pub id: ContainerId,
    /// Its first process.
    pub pid: u32,
    framework: String,
    executor: String,
    name: String,
    source: String,
    status: ContainerStatus,
    resources: Resources,
    limits: BTreeMap<String, f64>,
    /// It is no executor's: only what it may use is said of it, as upstream does.
    inner: bool,
}

/// A container inside another, or one that stands alone.
fn inner(id: &ContainerId, pid: Option<u32>, resources: &[mesos::Resource]) -> Option<Container> {
    let pid = pid?;
    let status = ContainerStatus {
        executor_pid: Some(pid),
        container_id: Some(id.to_message()),
        ..Default::default()
    };
    Some(Container {
        id: id.clone(),
        pid,
        framework: String::new(),
        executor: String::new(),
        name: String::new(),
        source: String::new(),
        status,
        resources: Resources::from_messages(resources).unwrap_or_default(),
        limits: BTreeMap::new(),
        inner: true,
    })
}

fn container(shown: &Shown<'_>) -> Option<Container> {
    let pid = shown.pid?;
    // Those of a group are its tasks' own.
    let alone = |t: &&&agent::Task| !matches!(t.runner, Runner::Group { .. });
    let statuses = || shown.tasks.iter().filter(alone).flat_map(|t| t.statuses.iter().rev());
    let network = statuses().find_map(|s| s.container_status.as_ref()).map(|c| c.network_infos.clone());
    let status = ContainerStatus {
        executor_pid: Some(pid),
        container_id: Some(shown.container.to_message()),
        network_infos: network.filter(|_| shown.container.parent().is_none()).unwrap_or_default(),
        ..Default::default()
    };
    let mut limits: BTreeMap<String, f64> = BTreeMap::new();
    for (name, limit) in shown.tasks.iter().filter(|t| t.is_live()).flat_map(|t| &t.info.limits) {
        *limits.entry(name.clone()).or_default() += limit.value;
    }
    Some(Container {
        id: shown.container.clone(),
        pid,
        framework: shown.framework.to_owned(),
        executor: shown.id().to_owned(),
        name: shown.info.name().to_owned(),
        source: shown.info.source().to_owned(),
        status,
        resources: shown.contained(),
        limits,
        inner: false,
    })
}

fn ask(agent: &Agent, wanted: Option<&str>, form: Form) -> Routed<Input, Perform> {
    let all = shown::live(agent);
    let all = all.iter().filter(|shown| shown.tasks.iter().any(|t| t.is_live())).filter_map(container);
    let containers = all.filter(|c| wanted.is_none_or(|w| w == c.id.0)).collect();
    Routed::Perform(Perform::Containers(Ask { containers, form }))
}

/// `/containers`, of all or of one.
pub(super) fn containers(agent: &Agent, query: Option<&str>) -> Routed<Input, Perform> {
    let form = Form { what: What::Containers, said: Said::V0(query.map(str::to_owned)) };
    ask(agent, parameter(query, "container_id").as_deref(), form)
}

/// `/monitor/statistics`.
pub(super) fn statistics(agent: &Agent, query: Option<&str>) -> Routed<Input, Perform> {
    ask(agent, None, Form { what: What::Statistics, said: Said::V0(query.map(str::to_owned)) })
}

/// `GET_CONTAINERS`, with the containers in containers and those that stand alone where they are asked for.
pub(super) fn get(agent: &Agent, asked: &GetContainersCall, codec: Codec) -> Routed<Input, Perform> {
    let form = Form { what: What::Containers, said: Said::V1(codec) };
    let mut routed = ask(agent, None, form);
    if let Routed::Perform(Perform::Containers(ask)) = &mut routed {
        let groups = agent.tasks().values().filter(|t| t.is_live() && t.container.parent().is_some());
        let groups = groups.filter(|t| matches!(t.runner, Runner::Group { .. }) && asked.show_nested());
        ask.containers.extend(groups.filter_map(|t| inner(&t.container, t.pid, &t.info.resources)));
        let wanted = |alone: bool| if alone { asked.show_standalone() } else { asked.show_nested() };
        let guests =
            agent.guests().values().filter(|g| g.is_live() && wanted(g.container.parent().is_none()));
        ask.containers.extend(guests.filter_map(|g| inner(&g.container, g.pid, &g.launch.resources)));
    }
    routed
}

/// Says what was measured of each container, in their order; none = it has ended meanwhile.
pub fn render_used(ask: &Ask, measured: Vec<Option<ResourceStatistics>>) -> Response<Bytes> {
    let pairs = ask.containers.iter().zip(measured);
    let all: Vec<_> = pairs.filter_map(|(c, used)| Some((c, limited(c, used?)))).collect();
    let codec = match &ask.form.said {
        Said::V1(codec) => *codec,
        Said::V0(query) => {
            let mut w = Writer::default();
            w.list();
            for (container, used) in &all {
                w.item();
                old(&mut w, ask.form.what, container, used);
            }
            w.end();
            return json_text(w.finish(), query.as_deref());
        }
    };
    let message = |(c, used): (&Container, ResourceStatistics)| get_containers::Container {
        framework_id: (!c.inner).then(|| FrameworkId { value: c.framework.clone() }),
        executor_id: (!c.inner).then(|| ExecutorId { value: c.executor.clone() }),
        executor_name: (!c.inner).then(|| c.name.clone()),
        // Without what is around it: that stands in its status (recorded).
        container_id: mesos::ContainerId { value: c.id.last().to_owned(), parent: None },
        container_status: Some(c.status.clone()),
        resource_statistics: Some(used),
    };
    let containers: Vec<_> = all.into_iter().map(message).collect();
    let get_containers = (!containers.is_empty()).then_some(GetContainers { containers });
    let answer = mesos::agent::Response { get_containers, ..Default::default() };
    operator::respond(&operator::of_agent(Type::GetContainers, answer), codec)
}

/// The same without asking the world.
pub(super) fn unmeasured(ask: &Ask) -> serde_json::Value {
    let nothing = ask.containers.iter().map(|_| Some(ResourceStatistics::default())).collect();
    serde_json::from_slice(render_used(ask, nothing).body()).unwrap_or_default()
}

fn old(w: &mut Writer, what: What, container: &Container, used: &ResourceStatistics) {
    w.open();
    if what == What::Containers {
        nouns::text(w, "container_id", &container.id.0);
    }
    nouns::text(w, "executor_id", &container.executor);
    nouns::text(w, "executor_name", &container.name);
    nouns::text(w, "framework_id", &container.framework);
    nouns::text(w, "source", &container.source);
    nouns::message(w, "statistics", used);
    if what == What::Containers {
        nouns::message(w, "status", &container.status);
    }
    w.close();
}

/// With what it asked for: a soft limit, and a hard one where it has one.
fn limited(container: &Container, mut used: ResourceStatistics) -> ResourceStatistics {
    if container.inner {
        used = ResourceStatistics { timestamp: used.timestamp, ..Default::default() };
        if container.resources.is_empty() {
            return used;
        }
    }
    let limit = |name: &str| container.limits.get(name).copied();
    used.cpus_soft_limit = Some(container.resources.scalar("cpus"));
    used.cpus_limit = used.cpus_limit.or_else(|| limit("cpus").filter(|cpus| cpus.is_finite()));
    let soft = (container.resources.scalar("mem") * MEGABYTE) as u64;
    used.mem_soft_limit_bytes = Some(soft);
    used.mem_limit_bytes = match limit("mem") {
        Some(mem) if mem.is_infinite() => None,
        Some(mem) => Some((mem * MEGABYTE) as u64),
        None => Some(soft),
    };
    used
}
