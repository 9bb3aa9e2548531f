//! What the machine needs to know of a pod besides what it shares with apps: its containers. Read once, pure and total.

use crate::{
    backoff::Policy,
    read::{
        asked_path, flag, list, map, number, port, read_fetch, read_placement, read_preference, seconds,
        text, texts, unsupported, whole,
    },
    spec::{AgentCheck, AgentCheckKind, CheckBy, CheckSpec, FetchSpec, Spec},
    volumes::VolumeSpec,
};
use base::Duration;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The containers of a pod, and what they share.
#[derive(Clone, Debug, Default)]
pub struct PodSpec {
    /// Its containers, in order.
    pub containers: Vec<ContainerSpec>,
    /// What its executor takes, by name.
    pub executor: Vec<(&'static str, f64)>,
    /// Its volumes by name: a path of the agent, or a new directory.
    pub volumes: BTreeMap<String, Option<String>>,
    /// Whether all its containers are in one cgroup.
    pub shared_cgroups: bool,
}

/// What a container runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A shell command.
    Shell(String),
    /// An argument vector.
    Argv(Vec<String>),
}

/// One container.
#[derive(Clone, Debug, Default)]
pub struct ContainerSpec {
    /// Its name in the pod.
    pub name: String,
    /// What it runs.
    pub program: Option<Program>,
    /// What it takes, by name.
    pub amounts: Vec<(&'static str, f64)>,
    /// More than is guaranteed.
    pub limits: BTreeMap<String, f64>,
    /// Its ports.
    pub endpoints: Vec<EndpointSpec>,
    /// Its own variables.
    pub env: BTreeMap<String, String>,
    /// The user it runs as.
    pub user: Option<String>,
    /// What is fetched.
    pub fetch: Vec<FetchSpec>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Its health check.
    pub health: Option<CheckSpec>,
    /// What the agent looks at without judging it.
    pub check: Option<AgentCheck>,
    /// Between SIGTERM and SIGKILL.
    pub kill_grace: Option<Duration>,
    /// Volume, where it is in the container, whether it can't be written.
    pub mounts: Vec<(String, String, bool)>,
}

/// A port of a container.
#[derive(Clone, Debug, Default)]
pub struct EndpointSpec {
    /// Its name.
    pub name: String,
    /// Inside.
    pub container_port: Option<u16>,
    /// On the host; 0 = any.
    pub host_port: Option<u16>,
    /// `tcp`, `udp`.
    pub protocols: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl PodSpec {
    /// Host ports of all containers, in order; 0 = any.
    pub fn host_ports(&self) -> Vec<u16> {
        self.containers.iter().flat_map(|c| &c.endpoints).filter_map(|e| e.host_port).collect()
    }
}

impl Spec {
    pub(crate) fn read_pod(pod: &Value) -> Self {
        let part = |of: &Value, name: &str| of.get(name).cloned().unwrap_or_default();
        let scheduling = part(pod, "scheduling");
        let (backoff, placement) = (part(&scheduling, "backoff"), part(&scheduling, "placement"));
        let every = part(pod, "scaling").get("kind").and_then(Value::as_str) == Some("every");
        let app = json!({
            "id": pod.get("id"), "version": pod.get("version"), "versionInfo": pod.get("versionInfo"),
            "instances": part(pod, "scaling").get("instances"), "role": pod.get("role"), "labels": pod.get("labels"),
            "env": pod.get("environment"), "user": pod.get("user"), "networks": pod.get("networks"),
            "acceptedResourceRoles": placement.get("acceptedResourceRoles"),
            "upgradeStrategy": scheduling.get("upgrade"), "killSelection": scheduling.get("killSelection"),
            "unreachableStrategy": scheduling.get("unreachableStrategy"),
            "deploymentTimeoutSeconds": scheduling.get("deploymentTimeoutSeconds"),
            "maxFailures": scheduling.get("maxFailures"), "onFailure": scheduling.get("onFailure"),
            "stagingTimeoutSeconds": scheduling.get("stagingTimeoutSeconds"),
            "settleSeconds": scheduling.get("settleSeconds"), "runOnce": scheduling.get("runOnce"),
            "everyNode": every,
        });
        let constraints = list(&placement, "constraints").iter().map(|constraint| {
            let part = |name: &str| constraint.get(name).and_then(Value::as_str);
            (part("fieldName").unwrap_or_default(), part("operator").unwrap_or_default(), part("value"))
        });
        let (constraints, beside) = read_placement(constraints, every);
        let containers = read_containers(pod);
        let executor = amounts(&part(pod, "executorResources"), [0.1, 32.0, 10.0, 0.0]);
        let sum = |name: &str| -> f64 {
            let all = containers.iter().flat_map(|c| &c.amounts).chain(&executor);
            // an empty sum of floats is -0
            all.filter(|(of, _)| *of == name).fold(0.0, |sum, (_, amount)| sum + amount)
        };
        let volume = |v: &Value| Some((text(v, "name")?, text(v, "host")));
        let wait = |name: &str, default: f64| {
            Duration::try_from_secs_f64(number(&backoff, name, default)).unwrap_or_default()
        };
        Self {
            backoff: Some(Policy {
                first: wait("backoff", 1.0),
                factor: number(&backoff, "backoffFactor", 1.15),
                most: wait("maxLaunchDelay", 300.0),
            }),
            constraints,
            beside,
            preferences: list(&placement, "preferences").iter().map(read_preference).collect(),
            cpus: sum("cpus"),
            mem: sum("mem"),
            disk: sum("disk"),
            gpus: sum("gpus"),
            checks: containers.iter().filter_map(|c| c.health.clone()).collect(),
            unsupported: unsupported(pod),
            service_ports: Vec::new(),
            volumes: VolumeSpec::of_pod(pod),
            pod: Some(PodSpec {
                containers,
                executor,
                volumes: list(pod, "volumes").iter().filter_map(volume).collect(),
                shared_cgroups: flag(pod, "legacySharedCgroups", false),
            }),
            ..Self::read_app(&app)
        }
    }
}

const NAMES: [&str; 4] = ["cpus", "mem", "disk", "gpus"];

fn amounts(of: &Value, defaults: [f64; 4]) -> Vec<(&'static str, f64)> {
    let all = NAMES.into_iter().zip(defaults).map(|(name, default)| (name, number(of, name, default)));
    all.filter(|(_, amount)| *amount > 0.0).collect()
}

fn read_containers(pod: &Value) -> Vec<ContainerSpec> {
    // checks name an endpoint; what is asked is its place among all host ports
    let endpoints =
        |c: &Value| -> Vec<EndpointSpec> { list(c, "endpoints").iter().map(read_endpoint).collect() };
    let named: Vec<String> = list(pod, "containers")
        .iter()
        .flat_map(endpoints)
        .filter(|e| e.host_port.is_some())
        .map(|endpoint| endpoint.name)
        .collect();
    let none = Value::Null;
    let one = |c: &Value| {
        let mount = |m: &Value| Some((text(m, "name")?, text(m, "mountPath")?, flag(m, "readOnly", false)));
        let grace = c.get("lifecycle").and_then(|l| l.get("killGracePeriodSeconds")).and_then(Value::as_f64);
        ContainerSpec {
            name: text(c, "name").unwrap_or_default(),
            program: c.get("exec").and_then(|e| e.get("command")).map(read_program),
            amounts: amounts(c.get("resources").unwrap_or(&none), [1.0, 128.0, 0.0, 0.0]),
            limits: crate::read::read_limits(c.get("resourceLimits")),
            endpoints: endpoints(c),
            env: map(c, "environment"),
            user: text(c, "user"),
            fetch: list(c, "artifacts").iter().map(read_fetch).collect(),
            labels: map(c, "labels"),
            tty: flag(c, "tty", false),
            health: c.get("healthCheck").map(|check| read_health(check, &named)),
            check: c.get("check").and_then(|check| read_check(check, &named)),
            kill_grace: grace.and_then(|s| Duration::try_from_secs_f64(s).ok()),
            mounts: list(c, "volumeMounts").iter().filter_map(mount).collect(),
        }
    };
    list(pod, "containers").iter().map(one).collect()
}

fn read_endpoint(endpoint: &Value) -> EndpointSpec {
    EndpointSpec {
        name: text(endpoint, "name").unwrap_or_default(),
        container_port: port(endpoint, "containerPort"),
        host_port: port(endpoint, "hostPort"),
        protocols: texts(endpoint, "protocol"),
        labels: map(endpoint, "labels"),
    }
}

fn read_program(command: &Value) -> Program {
    match text(command, "shell") {
        Some(shell) => Program::Shell(shell),
        None => Program::Argv(texts(command, "argv")),
    }
}

fn place(of: &Value, named: &[String]) -> Option<usize> {
    let endpoint = text(of, "endpoint")?;
    named.iter().position(|name| *name == endpoint)
}

fn read_health(check: &Value, named: &[String]) -> CheckSpec {
    let (http, tcp) = (check.get("http"), check.get("tcp"));
    let program = check.get("exec").and_then(|e| e.get("command")).map(read_program);
    let protocol = match (http, tcp) {
        (Some(http), _) if text(http, "scheme").as_deref() == Some("HTTPS") => "MESOS_HTTPS",
        (Some(_), _) => "MESOS_HTTP",
        (None, Some(_)) => "MESOS_TCP",
        (None, None) => "COMMAND",
    };
    CheckSpec {
        by: CheckBy::Agent,
        protocol: protocol.into(),
        path: asked_path(http.and_then(|http| text(http, "path"))),
        port: None,
        port_index: http.or(tcp).and_then(|of| place(of, named)),
        command: match &program {
            Some(Program::Shell(shell)) => Some(shell.clone()),
            _ => None,
        },
        argv: match program {
            Some(Program::Argv(argv)) => argv,
            _ => Vec::new(),
        },
        grace: seconds(check, "gracePeriodSeconds", 300),
        interval: seconds(check, "intervalSeconds", 60),
        timeout: seconds(check, "timeoutSeconds", 20),
        delay: seconds(check, "delaySeconds", 15),
        failures_max: u32::try_from(whole(check, "maxConsecutiveFailures", 3)).unwrap_or(u32::MAX),
        ignore_1xx: false,
    }
}

fn read_check(check: &Value, named: &[String]) -> Option<AgentCheck> {
    let kind = if let Some(http) = check.get("http") {
        AgentCheckKind::Http(None, place(http, named)?, asked_path(text(http, "path")))
    } else if let Some(tcp) = check.get("tcp") {
        AgentCheckKind::Tcp(None, place(tcp, named)?)
    } else {
        match read_program(check.get("exec")?.get("command")?) {
            Program::Shell(shell) => AgentCheckKind::Shell(shell),
            Program::Argv(argv) => AgentCheckKind::Argv(argv),
        }
    };
    Some(AgentCheck {
        kind,
        interval: seconds(check, "intervalSeconds", 60),
        timeout: seconds(check, "timeoutSeconds", 20),
        delay: seconds(check, "delaySeconds", 15),
    })
}
