//! The flag tables of the three roles: upstream's names and defaults, and what is refused with advice.

use crate::flags::{Flag, Kind, Table};

const fn text(name: &'static str, default: Option<&'static str>, help: &'static str) -> Flag {
    Flag { name, aliases: &[], kind: Kind::Text, default, help }
}
const fn number(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag { name, aliases: &[], kind: Kind::Number, default: Some(default), help }
}
const fn switch(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag { name, aliases: &[], kind: Kind::Switch, default: Some(default), help }
}
const fn time(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag { name, aliases: &[], kind: Kind::Duration, default: Some(default), help }
}

const READY_FILE: Flag =
    text("ready-file", None, "Write {\"pid\":N,…} with the served URLs here, the moment all of it serves");
const MODULES: &str = "modules are not loaded; what they added is built in or comes with a later version";
const LATER_ZK: &str = "ZooKeeper comes with a later version; name the master with --master=HOST:PORT";

/// `mesolite master`.
pub const MASTER: Table = Table {
    role: "master",
    about: "Knows the agents and divides their resources among frameworks by offers",
    env_prefix: "MESOS_",
    flags: &[
        text("ip", Some("127.0.0.1"), "Address to listen on"),
        number("port", "5050", "Port to listen on; 0 = pick one"),
        text(
            "advertise_ip",
            None,
            "Address that peers should use; default: --ip, or the one that leads to other machines",
        ),
        text("hostname", None, "Name that is reported to clients; default: the advertised address"),
        text("work_dir", Some("./mesolite-data/master"), "Where the registry is kept"),
        text("cluster", None, "Name of the cluster, for people"),
        Flag {
            name: "agent_ping_timeout",
            aliases: &["slave_ping_timeout"],
            kind: Kind::Duration,
            default: Some("15secs"),
            help: "How often an agent is pinged, and how long a pong may take",
        },
        Flag {
            name: "max_agent_ping_timeouts",
            aliases: &["max_slave_ping_timeouts"],
            kind: Kind::Number,
            default: Some("5"),
            help: "Missed pings before an agent is unreachable",
        },
        Flag {
            name: "agent_reregister_timeout",
            aliases: &["slave_reregister_timeout"],
            kind: Kind::Duration,
            default: Some("10mins"),
            help: "How long known agents may take to come back after a restart of the master",
        },
        time("offer_timeout", "60secs", "Offers that nobody answers are taken back after this time"),
        Flag {
            name: "allocation_interval",
            aliases: &[],
            kind: Kind::Duration,
            default: None,
            help: "What was freed waits so long before it is offered again; default: not at all",
        },
        text(
            "min_allocatable_resources",
            Some("cpus:0.01|mem:32"),
            "An offer holds at least one of these; 'cpus:1;mem:64' means both",
        ),
        text("role_sorter", Some("drf"), "Order of roles: drf (smallest share first) or random (by weight)"),
        text("framework_sorter", Some("drf"), "Order of the frameworks of a role: drf or random"),
        text(
            "fair_sharing_excluded_resource_names",
            None,
            "Resources that don't count for shares, for example gpus",
        ),
        switch("filter_gpu_resources", "true", "Keep agents with gpus for frameworks that say they use them"),
        switch(
            "quota_limits_bind_subtrees",
            "false",
            "Let a role's limits hold its child roles too; Mesos does not",
        ),
        number("decline_floor_ms", "100", "What was declined whole never comes back sooner than this"),
        text(
            "domain",
            None,
            "Region and zone as JSON: agents of other regions are for REGION_AWARE frameworks",
        ),
        text("weights", None, "role=weight list, for example 'ads=2,search=1.5'"),
        number("max_completed_frameworks", "50", "Ended frameworks kept for reading"),
        number("max_completed_tasks_per_framework", "1000", "Ended tasks kept for each framework"),
        number("max_operator_event_stream_subscribers", "1000", "Open event streams of operators"),
        text("logging_level", Some("INFO"), "Least level that is logged: ERROR, WARNING, INFO, DEBUG"),
        text(
            "firewall_rules",
            None,
            "JSON, or a file of it: paths that nobody may ask, as {\"disabled_endpoints\":{\"paths\":[\"/flags\"]}}",
        ),
        text("log_dir", None, "Also log to a file in this directory, which can be read at /files/read"),
        switch("quiet", "false", "No log on stderr"),
        READY_FILE,
    ],
    refused: &[
        ("zk", LATER_ZK),
        ("quorum", "the registry is embedded; one master needs no quorum"),
        ("modules", MODULES),
        ("modules_dir", MODULES),
        ("allocator", "there is one allocator, hierarchical DRF"),
        ("registry", "the registry is embedded and durable"),
        ("credentials", "authentication comes with a later version"),
        ("authenticate_agents", "authentication comes with a later version"),
        ("authenticate_frameworks", "authentication comes with a later version"),
        ("acls", "authorization comes with a later version"),
        ("webui_dir", "pages are embedded in the binary"),
    ],
};

/// `mesolite agent`.
pub const AGENT: Table = Table {
    role: "agent",
    about: "Runs tasks in containers and keeps them over its own restart",
    env_prefix: "MESOS_",
    flags: &[
        text("master", None, "The master to register with: HOST:PORT (required)"),
        text("ip", Some("127.0.0.1"), "Address to listen on"),
        number("port", "5051", "Port to listen on; 0 = pick one"),
        text(
            "advertise_ip",
            None,
            "Address that peers should use; default: --ip, or the one that leads to the master",
        ),
        text("hostname", None, "Name in offers; default: the advertised address"),
        text(
            "work_dir",
            Some("./mesolite-data/agent"),
            "Sandboxes, checkpoints and the launcher's directory",
        ),
        text(
            "resources",
            None,
            "For example 'cpus:4;mem:4096;disk:10000;ports:[31000-32000]'; default: what the machine has",
        ),
        text("default_role", Some("*"), "Role that resources are reserved for which name none"),
        text(
            "reconfiguration_policy",
            None,
            "Which changes of its configuration an agent goes on with: any (the default), additive or equal",
        ),
        text("domain", None, "Region and zone as JSON, as the master's"),
        text("attributes", None, "For example 'rack:abc;zone:west'"),
        text(
            "isolation",
            None,
            "Isolators by Mesos' names, comma-separated; default: all that this machine allows",
        ),
        time("registration_backoff_factor", "100ms", "First wait between registration attempts"),
        time(
            "gc_delay",
            "1weeks",
            "How long sandboxes of ended tasks are kept at most; less the fuller the disk is",
        ),
        text("gc_disk_headroom", Some("0.1"), "Part of the disk that old sandboxes leave free"),
        time("disk_watch_interval", "1mins", "Between two looks at how full the disk is"),
        switch("switch_user", "true", "Run tasks as their user"),
        switch("cgroups_enable_cfs", "false", "Hard processor limits through CFS quota"),
        text("cgroups_root", Some("mesos"), "Name of the root cgroup"),
        text("cgroups_hierarchy", Some("/sys/fs/cgroup"), "Where cgroup controllers are mounted"),
        time("executor_registration_timeout", "1mins", "How long an executor may take to register"),
        time(
            "executor_reregistration_timeout",
            "2secs",
            "How long executors may take to come back after a restart of the agent; at most 15secs",
        ),
        time(
            "executor_shutdown_grace_period",
            "5secs",
            "How long executors may take to end before they are killed",
        ),
        text("executor_environment_variables", None, "JSON object of variables added to every task"),
        text("logging_level", Some("INFO"), "Least level that is logged: ERROR, WARNING, INFO, DEBUG"),
        text(
            "firewall_rules",
            None,
            "JSON, or a file of it: paths that nobody may ask, as {\"disabled_endpoints\":{\"paths\":[\"/flags\"]}}",
        ),
        text("log_dir", None, "Also log to a file in this directory, which can be read at /files/read"),
        switch("quiet", "false", "No log on stderr"),
        switch(
            "systemd_enable_support",
            "false",
            "Accepted for old unit files; the launcher keeps tasks alive",
        ),
        switch(
            "http_command_executor",
            "false",
            "Let command tasks heed the kill policy of a KILL, as upstream's HTTP command executor does",
        ),
        text("launcher", None, "Accepted for old unit files: isolation decides"),
        text("launcher_dir", None, "Accepted for old unit files: the launcher is this binary"),
        switch("kill-tasks-on-exit", "false", "End all tasks, launcher and cgroups when the agent stops"),
        READY_FILE,
    ],
    refused: &[
        ("modules", MODULES),
        ("modules_dir", MODULES),
        ("containerizers", "there is one containerizer; images come with a later version"),
        ("image_providers", "images come with a later version"),
        ("docker", "images come with a later version"),
        ("network_cni_config_dir", "container networks come with a later version"),
        ("credential", "authentication comes with a later version"),
        ("zk", LATER_ZK),
    ],
};

/// `mesolite orchestrator`. Times are in milliseconds, `failover_timeout` in seconds, as Marathon's are.
pub const ORCHESTRATOR: Table = Table {
    role: "orchestrator",
    about: "Keeps apps running: Marathon's API over a Mesos master",
    env_prefix: "MARATHON_",
    flags: &[
        text("master", None, "The master: HOST:PORT or http://HOST:PORT (required)"),
        text("hostname", None, "Name under which this orchestrator is reached"),
        text("http_address", Some("127.0.0.1"), "Address to listen on"),
        number("http_port", "8080", "Port to listen on; 0 = pick one"),
        text(
            "work_dir",
            Some("./mesolite-data/orchestrator"),
            "Where apps, instances and deployments are kept; who shares it stands by for the leader",
        ),
        switch(
            "ha",
            "true",
            "Stand by while another orchestrator has the work_dir; without it that is refused",
        ),
        number(
            "leader_proxy_connection_timeout",
            "5000",
            "Milliseconds to connect to the leader, as a standby",
        ),
        number("leader_proxy_read_timeout", "10000", "Milliseconds to hear from the leader, as a standby"),
        number("leader_proxy_max_open_connections", "64", "Requests that a standby passes on at once"),
        text("framework_name", Some("marathon"), "Name of the framework"),
        text("mesos_role", Some("*"), "Role of the framework"),
        text(
            "resident_role",
            None,
            "Role of apps with persistent volumes that name none, if --mesos_role is *",
        ),
        text("mesos_user", None, "User of tasks without one; default: the user that runs this"),
        number("failover_timeout", "604800", "Seconds that tasks outlive a lost orchestrator"),
        number("local_port_min", "10000", "First service port"),
        number("local_port_max", "20000", "Service ports end before this one"),
        number("decline_offer_duration", "120000", "Milliseconds for which unwanted offers are declined"),
        number("reconciliation_interval", "600000", "Milliseconds between reconciliations"),
        number("task_launch_timeout", "300000", "Milliseconds that a task may be staging"),
        number(
            "task_launch_confirm_timeout",
            "300000",
            "Milliseconds after which a launch without news is given up",
        ),
        text("env_vars_prefix", None, "Prefix of PORT and HOST variables"),
        text("default_network_name", None, "Network of apps that ask for one and name none"),
        text(
            "mesos_bridge_name",
            Some("mesos-bridge"),
            "Network name that means bridge in definitions of old",
        ),
        text(
            "enable_features",
            None,
            "Comma-separated: secrets, external_volumes, gpu_resources, vips, task_killing, maintenance_mode",
        ),
        text(
            "new_group_enforce_role",
            Some("off"),
            "Whether new top-level groups are their apps' role: off or top",
        ),
        text(
            "default_accepted_resource_roles",
            None,
            "Roles whose resources apps use that do not say: *, or a role",
        ),
        text(
            "accepted_resource_roles_default_behavior",
            Some("any"),
            "The same as a rule: any, unreserved or reserved",
        ),
        text(
            "gpu_scheduling_behavior",
            Some("restricted"),
            "Whether apps without GPUs stay off agents with some",
        ),
        number("max_running_deployments", "100", "Deployments that may run at once"),
        number("max_apps", "0", "Most apps there may be; 0 = any number"),
        text("webui_url", None, "Shown by the master"),
        text("logging_level", Some("info"), "Least level that is logged: error, warn, info, debug"),
        switch("quiet", "false", "No log on stderr"),
        READY_FILE,
    ],
    refused: &[
        ("zk", "state is embedded under --work_dir; ZooKeeper comes with a later version"),
        ("event_subscriber", "HTTP callbacks are gone since Marathon 1.5; read /v2/events"),
        ("http_credentials", "authentication comes with a later version"),
        ("plugin_dir", MODULES),
        ("plugin_conf", MODULES),
        (
            "launch_tokens",
            "launches are not throttled by tokens; at most 4000 instances are ordered before anything is heard of them (`LAUNCHES_UNHEARD_MAX`)",
        ),
        (
            "launch_token_refresh_interval",
            "launches are not throttled by tokens; at most 4000 instances are ordered before anything is heard of them (`LAUNCHES_UNHEARD_MAX`)",
        ),
        ("max_instances_per_offer", "an offer takes as many instances as fit"),
        ("min_revive_offers_interval", "offers are revived when something is wanted"),
    ],
};
