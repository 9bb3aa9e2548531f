//! How one instance is said to Mesos: the TaskInfo of an app on an agent. Pure; decides neither when nor where.

use crate::{
    pool::Taken,
    spec::{AgentCheck, AgentCheckKind, CheckBy, CheckSpec, Spec},
};
use model::mesos::{
    AgentId, CheckInfo, CommandInfo, ContainerInfo, DiscoveryInfo, DurationInfo, Environment, HealthCheck,
    KillPolicy, Label, Labels, Port, Ports, TaskId, TaskInfo, TtyInfo, Volume, check_info, command_info,
    container_info, discovery_info, environment, health_check, value, volume,
};
use std::collections::BTreeMap;

/// Labels with longer values do not get into the environment.
const LABEL_VALUE_MAX: usize = 512;
/// Nor do labels with longer names.
const LABEL_NAME_MAX: usize = 493;

/// Where an instance is launched.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The task's id.
    pub task: &'a str,
    /// Which task of its instance it is.
    pub incarnation: u64,
    /// The agent's id.
    pub agent: &'a str,
    /// The agent's host name.
    pub host: &'a str,
    /// Put before `PORT…` and `HOST`.
    pub prefix: &'a str,
    /// Whether its top-level group enforces its name as role.
    pub enforces_role: bool,
}

/// `/prod/db` as `db.prod`.
pub fn dns_name(app: &str) -> String {
    let mut parts: Vec<_> = app.split('/').filter(|part| !part.is_empty()).collect();
    parts.reverse();
    parts.join(".")
}

/// The TaskInfo.
pub fn task_info(spec: &Spec, site: Site<'_>, taken: Taken) -> TaskInfo {
    let name = dns_name(&spec.id);
    let variables = environment_of(spec, site, &taken.ports)
        .into_iter()
        .map(|(name, value)| environment::Variable { name, value: Some(value), ..Default::default() })
        .collect();
    let environment = Environment { variables };
    let command = command_of(spec, environment.clone());
    let health_check = spec.checks.iter().position(|check| check.by == CheckBy::Agent).map(|at| {
        let mut check = health_of(&spec.checks[at], &taken.ports);
        if let Some(command) = &mut check.command {
            command.environment = Some(environment);
        }
        check
    });
    let grace = spec.kill_grace.map(|grace| KillPolicy {
        grace_period: Some(DurationInfo { nanoseconds: i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX) }),
    });
    let ports = taken.ports;
    TaskInfo {
        name: name.clone(),
        task_id: TaskId { value: site.task.to_owned() },
        agent_id: AgentId { value: site.agent.to_owned() },
        discovery: Some(Box::new(discovery_of(spec, name, &ports))),
        resources: taken.resources,
        command: Some(command),
        health_check: health_check.map(Box::new),
        labels: labels_of(&spec.labels),
        kill_policy: grace,
        check: spec.check.as_ref().map(|check| check_of(check, &ports)),
        container: container_of(spec).map(Box::new),
        limits: spec
            .limits
            .iter()
            .map(|(name, most)| (name.clone(), value::Scalar { value: *most }))
            .collect(),
        ..Default::default()
    }
}

pub(crate) fn labels_of(labels: &BTreeMap<String, String>) -> Option<Labels> {
    let label = |(key, value): (&String, &String)| Label { key: key.clone(), value: Some(value.clone()) };
    (!labels.is_empty()).then(|| Labels { labels: labels.iter().map(label).collect() })
}

fn command_of(spec: &Spec, environment: Environment) -> CommandInfo {
    let uris = spec.fetch.iter().map(|fetch| command_info::Uri {
        value: fetch.uri.clone(),
        executable: Some(fetch.executable),
        extract: Some(fetch.extract),
        cache: Some(fetch.cache),
        output_file: fetch.output_file.clone(),
    });
    let (shell, value, arguments) = match (&spec.cmd, &spec.args) {
        (Some(cmd), _) => (true, Some(cmd.clone()), Vec::new()),
        (None, args) => (false, args.first().cloned(), args.clone()),
    };
    CommandInfo {
        uris: uris.collect(),
        environment: Some(environment),
        value,
        user: spec.user.clone(),
        shell: Some(shell),
        arguments,
    }
}

/// The app's own variables win over those made here.
fn environment_of(spec: &Spec, site: Site<'_>, ports: &[u16]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut put = |name: String, value: String| all.insert(name, value);
    put("MESOS_TASK_ID".into(), site.task.into());
    put("MARATHON_APP_ID".into(), spec.id.clone());
    put("MARATHON_APP_VERSION".into(), spec.version.clone());
    put("MARATHON_APP_RESOURCE_CPUS".into(), format!("{:?}", spec.cpus));
    put("MARATHON_APP_RESOURCE_MEM".into(), format!("{:?}", spec.mem));
    put("MARATHON_APP_RESOURCE_DISK".into(), format!("{:?}", spec.disk));
    put("MARATHON_APP_RESOURCE_GPUS".into(), format!("{}", spec.gpus as u64));
    let enforces = if site.enforces_role { "TRUE" } else { "FALSE" };
    put("MARATHON_APP_ENFORCE_GROUP_ROLE".into(), enforces.into());
    labels_into(&spec.labels, &mut all);
    let mut put = |name: String, value: String| all.insert(name, value);
    let prefix = site.prefix;
    put(format!("{prefix}HOST"), site.host.into());
    let texts: Vec<_> = ports.iter().map(u16::to_string).collect();
    put(format!("{prefix}PORTS"), texts.join(","));
    if let Some(first) = texts.first() {
        put(format!("{prefix}PORT"), first.clone());
    }
    for (at, (text, definition)) in texts.iter().zip(&spec.ports).enumerate() {
        put(format!("{prefix}PORT{at}"), text.clone());
        let asked = if definition.port == 0 { text.clone() } else { definition.port.to_string() };
        put(format!("{prefix}PORT_{asked}"), text.clone());
        if let Some(name) = &definition.name {
            put(format!("{prefix}PORT_{}", name.to_ascii_uppercase()), text.clone());
        }
    }
    all.extend(spec.env.iter().map(|(name, value)| (name.clone(), value.clone())));
    all
}

/// Labels that are short enough, as variables.
pub(crate) fn labels_into(labels: &BTreeMap<String, String>, all: &mut BTreeMap<String, String>) {
    let mut names = Vec::new();
    for (label, value) in labels {
        if label.len() < LABEL_NAME_MAX && value.len() < LABEL_VALUE_MAX {
            let name = variable_name(label);
            all.insert(format!("MARATHON_APP_LABEL_{name}"), value.clone());
            names.push(name);
        }
    }
    all.insert("MARATHON_APP_LABELS".into(), names.join(" "));
}

/// A container for what needs one: directories of the agent, a terminal.
fn container_of(spec: &Spec) -> Option<ContainerInfo> {
    let one = |(from, to, read_only): &(String, String, bool)| Volume {
        mode: if *read_only { volume::Mode::Ro } else { volume::Mode::Rw } as i32,
        container_path: to.clone(),
        host_path: Some(from.clone()),
        ..Default::default()
    };
    (spec.tty || !spec.host_volumes.is_empty()).then(|| ContainerInfo {
        r#type: container_info::Type::Mesos as i32,
        volumes: spec.host_volumes.iter().map(one).collect(),
        tty_info: spec.tty.then(TtyInfo::default),
        ..Default::default()
    })
}

/// Upper case; each run of other characters than letters, digits and `_` becomes one `_`.
fn variable_name(label: &str) -> String {
    let mut name = String::new();
    let mut run = false;
    for c in label.chars() {
        let good = c.is_ascii_alphanumeric() || c == '_';
        if good {
            name.push(c.to_ascii_uppercase());
        } else if !run {
            name.push('_');
        }
        run = !good;
    }
    name
}

fn discovery_of(spec: &Spec, name: String, ports: &[u16]) -> DiscoveryInfo {
    let port = |(number, definition): (&u16, &crate::spec::PortSpec)| Port {
        number: u32::from(*number),
        name: definition.name.clone(),
        protocol: Some(definition.protocol.clone()),
        labels: labels_of(&definition.labels),
        ..Default::default()
    };
    DiscoveryInfo {
        visibility: discovery_info::Visibility::Framework as i32,
        name: Some(name),
        ports: Some(Ports { ports: ports.iter().zip(&spec.ports).map(port).collect() }),
        ..Default::default()
    }
}

pub(crate) fn health_of(check: &CheckSpec, ports: &[u16]) -> HealthCheck {
    let port = check.port_of(ports).unwrap_or(0);
    let mut said = HealthCheck {
        delay_seconds: Some(check.delay.as_secs_f64()),
        interval_seconds: Some(check.interval.as_secs_f64()),
        timeout_seconds: Some(check.timeout.as_secs_f64()),
        consecutive_failures: Some(check.failures_max),
        grace_period_seconds: Some(check.grace.as_secs_f64()),
        ..Default::default()
    };
    match check.protocol.as_str() {
        "COMMAND" => {
            said.r#type = Some(health_check::Type::Command as i32);
            said.command = Some(CommandInfo {
                value: check.command.clone().or_else(|| check.argv.first().cloned()),
                shell: Some(check.command.is_some()),
                arguments: check.argv.clone(),
                ..Default::default()
            });
        }
        "MESOS_TCP" => {
            said.r#type = Some(health_check::Type::Tcp as i32);
            said.tcp = Some(health_check::TcpCheckInfo { port: u32::from(port), ..Default::default() });
        }
        other => {
            said.r#type = Some(health_check::Type::Http as i32);
            said.http = Some(health_check::HttpCheckInfo {
                port: u32::from(port),
                path: Some(check.path.clone()),
                scheme: Some(if other == "MESOS_HTTPS" { "https" } else { "http" }.into()),
                ..Default::default()
            });
        }
    }
    said
}

/// What the agent looks at without judging it.
pub(crate) fn check_of(check: &AgentCheck, ports: &[u16]) -> CheckInfo {
    let mut said = CheckInfo {
        delay_seconds: Some(check.delay.as_secs_f64()),
        interval_seconds: Some(check.interval.as_secs_f64()),
        timeout_seconds: Some(check.timeout.as_secs_f64()),
        ..Default::default()
    };
    let at = |port: &Option<u16>, index: &usize| u32::from(port.or(ports.get(*index).copied()).unwrap_or(0));
    let kind = match &check.kind {
        AgentCheckKind::Http(port, index, path) => {
            said.http = Some(check_info::Http { port: at(port, index), path: Some(path.clone()) });
            check_info::Type::Http
        }
        AgentCheckKind::Tcp(port, index) => {
            said.tcp = Some(check_info::Tcp { port: at(port, index) });
            check_info::Type::Tcp
        }
        AgentCheckKind::Shell(shell) => {
            let command = CommandInfo { value: Some(shell.clone()), shell: Some(true), ..Default::default() };
            said.command = Some(check_info::Command { command });
            check_info::Type::Command
        }
        AgentCheckKind::Argv(argv) => {
            let command = CommandInfo {
                value: argv.first().cloned(),
                arguments: argv.clone(),
                shell: Some(false),
                ..Default::default()
            };
            said.command = Some(check_info::Command { command });
            check_info::Type::Command
        }
    };
    said.r#type = Some(kind as i32);
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::PortSpec;

    #[test]
    fn what_a_task_sees() {
        let spec = Spec {
            id: "/prod/db".into(),
            version: "2020-01-01T00:00:00.000Z".into(),
            cmd: Some("sleep 1".into()),
            cpus: 1.0,
            mem: 128.0,
            labels: [("my-.label".to_owned(), "x".to_owned())].into(),
            env: [("PORT1".to_owned(), "mine".to_owned())].into(),
            ports: vec![
                PortSpec { name: Some("http-api".into()), protocol: "tcp".into(), ..PortSpec::default() },
                PortSpec { port: 9000, protocol: "tcp".into(), ..PortSpec::default() },
            ],
            ..Spec::default()
        };
        let site = Site { task: "t", incarnation: 1, agent: "a", host: "h", prefix: "", enforces_role: true };
        let info = task_info(&spec, site, Taken { ports: vec![31005, 31006], ..Taken::default() });
        assert_eq!(info.name, "db.prod");
        let command = info.command.unwrap();
        assert_eq!(command.user, None, "the framework's is the default");
        let seen: BTreeMap<_, _> =
            command.environment.unwrap().variables.into_iter().map(|v| (v.name, v.value.unwrap())).collect();
        for (name, value) in [
            ("MARATHON_APP_ID", "/prod/db"),
            ("MARATHON_APP_RESOURCE_CPUS", "1.0"),
            ("MARATHON_APP_LABELS", "MY_LABEL"),
            ("MARATHON_APP_LABEL_MY_LABEL", "x"),
            ("PORT", "31005"),
            ("PORTS", "31005,31006"),
            ("PORT_31005", "31005"),
            ("PORT_HTTP-API", "31005"),
            ("PORT_9000", "31006"),
            ("PORT1", "mine"),
            ("HOST", "h"),
            ("MARATHON_APP_ENFORCE_GROUP_ROLE", "TRUE"),
        ] {
            assert_eq!(seen.get(name).map(String::as_str), Some(value), "{name}");
        }
    }
}
