//! How one instance of a pod is said to Mesos: a task group under the default executor. Pure; decides neither when nor
//! where.

use crate::{
    launch::{Site, check_of, dns_name, health_of, labels_into, labels_of},
    pod::{ContainerSpec, PodSpec, Program},
    pool::Taken,
    spec::Spec,
};
use model::mesos::{
    AgentId, CommandInfo, ContainerInfo, DiscoveryInfo, DurationInfo, Environment, ExecutorId, ExecutorInfo,
    FrameworkId, KillPolicy, LinuxInfo, Port, Ports, TaskGroupInfo, TaskId, TaskInfo, TtyInfo, Volume,
    command_info, container_info, discovery_info, environment, executor_info, offer::operation::LaunchGroup,
    value, volume,
};
use std::collections::BTreeMap;

/// The id of a container's task.
pub fn task_id(instance: &str, container: &str, incarnation: u64) -> String {
    format!("{instance}.{container}.{incarnation}")
}

/// `prod_pod.instance-<uuid>` has the executor `instance-prod_pod.<uuid>`.
pub fn executor_id(instance: &str) -> String {
    match instance.split_once(".instance-") {
        Some((pod, uuid)) => format!("instance-{pod}.{uuid}"),
        None => instance.to_owned(),
    }
}

/// The group. `site.task` is the instance; `taken` is what the executor takes, then each container.
pub fn launch_group(
    spec: &Spec,
    pod: &PodSpec,
    site: Site<'_>,
    framework: Option<&str>,
    mut taken: Vec<Taken>,
) -> LaunchGroup {
    let executor = taken.remove(0);
    let all = taken.iter().flat_map(|taken| taken.ports.clone()).collect::<Vec<_>>();
    let endpoints = endpoint_variables(pod, site.prefix, &all);
    let each = |(container, taken)| task(spec, pod, container, site, taken, &all, &endpoints);
    let tasks = pod.containers.iter().zip(taken).map(each).collect();
    LaunchGroup {
        executor: ExecutorInfo {
            executor_id: ExecutorId { value: executor_id(site.task) },
            r#type: Some(executor_info::Type::Default as i32),
            framework_id: framework.map(|value| FrameworkId { value: value.to_owned() }),
            resources: executor.resources,
            labels: labels_of(&spec.labels),
            ..Default::default()
        },
        task_group: TaskGroupInfo { tasks },
    }
}

fn task(
    spec: &Spec,
    pod: &PodSpec,
    container: &ContainerSpec,
    site: Site<'_>,
    taken: Taken,
    all: &[u16],
    endpoints: &BTreeMap<String, String>,
) -> TaskInfo {
    let id = task_id(site.task, &container.name, site.incarnation);
    let variables = variables(spec, container, site, &id, endpoints).into_iter();
    let variables = variables.map(|(name, value)| environment::Variable {
        name,
        value: Some(value),
        ..Default::default()
    });
    let environment = Environment { variables: variables.collect() };
    let mut health = container.health.as_ref().map(|check| health_of(check, all));
    if let Some(command) = health.as_mut().and_then(|health| health.command.as_mut()) {
        command.environment = Some(environment.clone());
    }
    let grace = container.kill_grace.map(|grace| KillPolicy {
        grace_period: Some(DurationInfo { nanoseconds: i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX) }),
    });
    TaskInfo {
        name: container.name.clone(),
        task_id: TaskId { value: id },
        agent_id: AgentId { value: site.agent.to_owned() },
        discovery: Some(Box::new(discovery(spec, container, &taken.ports))),
        resources: taken.resources,
        command: Some(command(spec, container, environment)),
        container: Some(Box::new(container_info(pod, container))),
        health_check: health.map(Box::new),
        check: container.check.as_ref().map(|check| check_of(check, all)),
        labels: labels_of(&container.labels),
        kill_policy: grace,
        limits: container
            .limits
            .iter()
            .map(|(name, most)| (name.clone(), value::Scalar { value: *most }))
            .collect(),
        ..Default::default()
    }
}

fn command(spec: &Spec, container: &ContainerSpec, environment: Environment) -> CommandInfo {
    let (shell, value, arguments) = match &container.program {
        Some(Program::Shell(shell)) => (true, Some(shell.clone()), Vec::new()),
        Some(Program::Argv(argv)) => (false, argv.first().cloned(), argv.clone()),
        None => (false, None, Vec::new()),
    };
    let uris = container.fetch.iter().map(|fetch| command_info::Uri {
        value: fetch.uri.clone(),
        executable: Some(fetch.executable),
        extract: Some(fetch.extract),
        cache: Some(fetch.cache),
        output_file: fetch.output_file.clone(),
    });
    CommandInfo {
        uris: uris.collect(),
        environment: Some(environment),
        value,
        user: container.user.clone().or_else(|| spec.user.clone()),
        shell: Some(shell),
        arguments,
    }
}

fn container_info(pod: &PodSpec, container: &ContainerSpec) -> ContainerInfo {
    let one = |(name, path, read_only): &(String, String, bool)| {
        let mode = if *read_only { volume::Mode::Ro } else { volume::Mode::Rw };
        let source = match pod.volumes.get(name) {
            Some(Some(host)) => volume::Source {
                r#type: Some(volume::source::Type::HostPath as i32),
                host_path: Some(volume::source::HostPath { path: host.clone(), ..Default::default() }),
                ..Default::default()
            },
            // a directory of the executor's sandbox, which all its containers see
            _ => volume::Source {
                r#type: Some(volume::source::Type::SandboxPath as i32),
                sandbox_path: Some(volume::source::SandboxPath {
                    r#type: Some(volume::source::sandbox_path::Type::Parent as i32),
                    path: name.clone(),
                }),
                ..Default::default()
            },
        };
        Volume { mode: mode as i32, container_path: path.clone(), source: Some(source), ..Default::default() }
    };
    ContainerInfo {
        r#type: container_info::Type::Mesos as i32,
        volumes: container.mounts.iter().map(one).collect(),
        tty_info: container.tty.then(TtyInfo::default),
        linux_info: Some(LinuxInfo { share_cgroups: Some(pod.shared_cgroups), ..Default::default() }),
        ..Default::default()
    }
}

/// `EP_HOST_…`, `EP_CONTAINER_…` and `ENDPOINT_…` of all containers, for all of them (TaskGroupBuilder).
fn endpoint_variables(pod: &PodSpec, prefix: &str, ports: &[u16]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let prefix = prefix.to_ascii_uppercase();
    let mut ports = ports.iter();
    for endpoint in pod.containers.iter().flat_map(|container| &container.endpoints) {
        let plain = |c: char| if c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_' { c } else { '_' };
        let name: String = endpoint.name.to_ascii_uppercase().chars().map(plain).collect();
        let host = endpoint.host_port.and_then(|_| ports.next());
        if let Some(host) = host {
            all.insert(format!("{prefix}EP_HOST_{name}"), host.to_string());
        }
        if let Some(inner) = endpoint.container_port {
            all.insert(format!("{prefix}EP_CONTAINER_{name}"), inner.to_string());
        }
        if let Some(seen) = endpoint.container_port.as_ref().or(host) {
            all.insert(format!("{prefix}ENDPOINT_{name}"), seen.to_string());
        }
    }
    all
}

fn variables(
    spec: &Spec,
    container: &ContainerSpec,
    site: Site<'_>,
    task: &str,
    endpoints: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut all = endpoints.clone();
    let mut put = |name: &str, value: String| drop(all.insert(name.to_owned(), value));
    put("HOST", site.host.to_owned());
    put("MESOS_TASK_ID", task.to_owned());
    put("MESOS_EXECUTOR_ID", executor_id(site.task));
    put("MARATHON_APP_ID", spec.id.clone());
    put("MARATHON_APP_VERSION", spec.version.clone());
    put("MARATHON_CONTAINER_ID", container.name.clone());
    put("MARATHON_APP_ENFORCE_GROUP_ROLE", if site.enforces_role { "TRUE" } else { "FALSE" }.to_owned());
    let amount =
        |name: &str| container.amounts.iter().find(|(of, _)| *of == name).map_or(0.0, |(_, amount)| *amount);
    for name in ["cpus", "mem", "disk"] {
        let variable = format!("MARATHON_CONTAINER_RESOURCE_{}", name.to_ascii_uppercase());
        put(&variable, format!("{:?}", amount(name)));
    }
    put("MARATHON_CONTAINER_RESOURCE_GPUS", format!("{}", amount("gpus") as u64));
    let mut labels = spec.labels.clone();
    labels.extend(container.labels.clone());
    labels_into(&labels, &mut all);
    all.extend(spec.env.clone());
    all.extend(container.env.clone());
    all
}

fn discovery(spec: &Spec, container: &ContainerSpec, own: &[u16]) -> DiscoveryInfo {
    let with_host = container.endpoints.iter().filter(|endpoint| endpoint.host_port.is_some());
    let ports = with_host.zip(own).map(|(endpoint, number)| Port {
        number: u32::from(*number),
        name: Some(endpoint.name.clone()),
        protocol: Some(if endpoint.protocols.is_empty() {
            "tcp".to_owned()
        } else {
            endpoint.protocols.join(",")
        }),
        labels: labels_of(&endpoint.labels),
        ..Default::default()
    });
    DiscoveryInfo {
        visibility: discovery_info::Visibility::Framework as i32,
        name: Some(dns_name(&spec.id)),
        ports: Some(Ports { ports: ports.collect() }),
        ..Default::default()
    }
}
