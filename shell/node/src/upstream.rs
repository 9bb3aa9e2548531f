//! Upstream's flags that no role takes, with what to use instead. Never: flags that are taken (`tables`).
//!
//! Names: apache/mesos@c1b42f79 docs/configuration, mesosphere/marathon@90619da70 docs/docs/command-line-flags.md.

/// Advice, and the flags that get it.
type Group = (&'static str, &'static [&'static str]);

/// What to use instead of an upstream flag; none = upstream has no such flag either.
pub fn advice(role: &str, name: &str) -> Option<&'static str> {
    groups(role).iter().find(|(_, names)| names.contains(&name)).map(|(advice, _)| *advice)
}

fn groups(role: &str) -> &'static [Group] {
    match role {
        "master" => MASTER,
        "agent" => AGENT,
        _ => ORCHESTRATOR,
    }
}

/// Variables that an agent gives its tasks and executors, which are no flags for a daemon that is one of them.
const GIVEN_TO_TASKS: &[&str] = &["MESOS_RECOVERY_TIMEOUT", "MESOS_EXECUTOR_REREGISTRATION_RETRY_INTERVAL"];

/// Whether an agent gives this variable to its tasks; `within` = this process is one.
pub fn is_given(variable: &str, within: bool) -> bool {
    within && GIVEN_TO_TASKS.contains(&variable)
}

const MASTER: &[Group] = &[
    (
        "name the address with --ip and --advertise_ip, or the name with --hostname",
        &["advertise_port", "hostname_lookup", "ip_discovery_command", "require_agent_domain"],
    ),
    (
        "agents that don't answer become unreachable at their own time, however many they are",
        &[
            "agent_removal_rate_limit",
            "recovery_agent_removal_limit",
            "recovery_slave_removal_limit",
            "slave_removal_rate_limit",
        ],
    ),
    (
        "an agent takes any number of executors, as far as its resources go",
        &["max_executors_per_agent", "max_executors_per_slave"],
    ),
    (
        "as many are kept as ended ones, --max_completed_tasks_per_framework",
        &["max_unreachable_tasks_per_framework"],
    ),
    (
        "a regular expression is bounded in its compiled size by the built-in REGEX_BYTES_MAX",
        &["offer_constraints_re2_max_mem", "offer_constraints_re2_max_program_size"],
    ),
    (
        "frameworks are not throttled; what waits is bounded for each peer and for the master",
        &["rate_limits"],
    ),
    (
        "what is known of unreachable and gone agents is kept, whatever its age or number",
        &["registry_gc_interval", "registry_max_agent_age", "registry_max_agent_count"],
    ),
    ("every role may be used, as upstream without this flag", &["roles"]),
    ("frameworks may run tasks as root, as upstream by default", &["root_submissions"]),
    ("resources of every agent are offered; DEACTIVATE_AGENT holds one back", &["whitelist"]),
    (
        "authentication and authorization come with a later version; until then bind to an address that only friends reach",
        &[
            "authenticate",
            "authenticate_http_frameworks",
            "authenticate_http_readonly",
            "authenticate_http_readwrite",
            "authenticate_slaves",
            "authentication_v0_timeout",
            "authenticators",
            "authorizers",
            "http_authenticators",
            "http_framework_authenticators",
        ],
    ),
    (
        "the log goes to stderr; let the service manager keep it, and set --logging_level",
        &["external_log_file", "initialize_driver_logging", "logbufsecs"],
    ),
    ("modules are not loaded; what they added is built in or comes with a later version", &["hooks"]),
    (
        "state is embedded under --work_dir and there is one leader; name the master with --master=HOST:PORT",
        &[
            "log_auto_initialize",
            "master_contender",
            "master_detector",
            "registry_fetch_timeout",
            "registry_store_timeout",
            "zk_session_timeout",
        ],
    ),
    (
        "metrics are always served, as JSON at /metrics/snapshot or /metrics, and for Prometheus at /metrics/prometheus",
        &["publish_per_framework_metrics"],
    ),
];

const AGENT: &[Group] = &[
    (
        "authentication and authorization come with a later version; until then bind to an address that only friends reach",
        &[
            "acls",
            "authenticate_http_executors",
            "authenticate_http_readonly",
            "authenticate_http_readwrite",
            "authenticatee",
            "authentication_backoff_factor",
            "authentication_timeout_max",
            "authentication_timeout_min",
            "authorizer",
            "http_authenticators",
            "http_credentials",
            "jwt_secret_key",
            "secret_resolver",
        ],
    ),
    ("features of the agent can't be chosen; all that it has are on", &["agent_features"]),
    (
        "the agent's own process is put into no cgroups; let the service manager do it",
        &["agent_subsystems", "slave_subsystems"],
    ),
    ("processes and threads are always counted", &["cgroups_cpu_enable_pids_and_tids_count"]),
    (
        "the groups of an ended container are removed beside everything else; nothing waits for it",
        &["cgroups_destroy_timeout"],
    ),
    ("swap is not limited; switch it off on the machine where that matters", &["cgroups_limit_swap"]),
    (
        "ports that a task listens on are not watched, as upstream without the isolator network/ports",
        &[
            "check_agent_port_range_only",
            "container_ports_isolated_range",
            "container_ports_watch_interval",
            "enforce_container_ports",
        ],
    ),
    (
        "the disk use of a sandbox is not limited",
        &["container_disk_watch_interval", "enforce_container_disk_quota"],
    ),
    (
        "namespaces are chosen by --isolation alone",
        &["disallow_sharing_agent_ipc_namespace", "disallow_sharing_agent_pid_namespace"],
    ),
    (
        "executors are asked once, at the start, to register again; see --executor_reregistration_timeout",
        &["executor_reregistration_retry_interval"],
    ),
    ("a download that brings nothing for 60 s has failed (STALL)", &["fetcher_stall_timeout"]),
    (
        "URIs are http, https, file or absolute paths; a relative one is refused by name when it is fetched",
        &["frameworks_home", "hadoop_home"],
    ),
    ("sandboxes of what ended are kept by --gc_delay", &["gc_non_executor_container_sandboxes"]),
    ("executors get a heartbeat every 30 minutes, upstream's default", &["http_heartbeat_interval"]),
    (
        "1000 ended tasks and executors are kept for reading (COMPLETED_TASKS_MAX)",
        &["max_completed_executors_per_framework"],
    ),
    (
        "nothing is oversubscribed: there is no estimator",
        &["oversubscribed_resources_interval", "revocable_cpu_low_priority"],
    ),
    ("the agent always finds its tasks again, as with upstream's default reconnect", &["recover"]),
    ("executors with checkpoints are told 15mins, upstream's default", &["recovery_timeout"]),
    ("what runs is noted under --work_dir, in launcher", &["runtime_dir"]),
    ("always strict: an agent whose state is damaged does not start, and says which file it is", &["strict"]),
    ("systemd is not needed to keep tasks alive: the launcher does it", &["systemd_runtime_directory"]),
    (
        "name the address with --ip and --advertise_ip, or the name with --hostname",
        &[
            "advertise_port",
            "domain_socket_location",
            "hostname_lookup",
            "http_executor_domain_sockets",
            "ip6",
            "ip6_discovery_command",
            "ip_discovery_command",
        ],
    ),
    (
        "images, volumes, devices and container networks come with a later version; leave it out",
        &[
            "allowed_devices",
            "appc_simple_discovery_uri_prefix",
            "appc_store_dir",
            "bounding_capabilities",
            "cgroups_net_cls_primary_handle",
            "cgroups_net_cls_secondary_handles",
            "default_container_dns",
            "default_container_info",
            "default_container_shm_size",
            "docker_config",
            "docker_ignore_runtime",
            "docker_kill_orphans",
            "docker_mesos_image",
            "docker_registry",
            "docker_remove_delay",
            "docker_socket",
            "docker_stop_timeout",
            "docker_store_dir",
            "docker_volume_checkpoint_dir",
            "docker_volume_chown",
            "effective_capabilities",
            "egress_flow_classifier_parent",
            "egress_rate_limit_per_container",
            "egress_unique_flow_per_container",
            "ephemeral_ports_per_container",
            "eth0_name",
            "host_path_volume_force_creation",
            "image_gc_config",
            "image_provisioner_backend",
            "lo_name",
            "network_cni_metrics",
            "network_cni_root_dir_persist",
            "network_enable_snmp_statistics",
            "network_enable_socket_statistics_details",
            "network_enable_socket_statistics_summary",
            "nvidia_gpu_devices",
            "resource_provider_config_dir",
            "sandbox_directory",
            "seccomp_config_dir",
            "seccomp_profile_name",
            "volume_gid_range",
            "xfs_project_range",
        ],
    ),
    (
        "modules are not loaded; what they added is built in or comes with a later version",
        &[
            "container_logger",
            "csi_plugin_config_dir",
            "disk_profile_adaptor",
            "hooks",
            "network_cni_plugins_dir",
            "qos_controller",
            "qos_correction_interval_min",
            "resource_estimator",
        ],
    ),
    (
        "the log goes to stderr; let the service manager keep it, and set --logging_level",
        &["external_log_file", "initialize_driver_logging", "logbufsecs"],
    ),
    ("this needs no tuning here; leave it out", &["fetcher_cache_dir", "fetcher_cache_size"]),
    (
        "state is embedded under --work_dir and there is one leader; name the master with --master=HOST:PORT",
        &["master_detector", "zk_session_timeout"],
    ),
    (
        "metrics are always served, as JSON at /metrics/snapshot or /metrics, and for Prometheus at /metrics/prometheus",
        &["perf_duration", "perf_events", "perf_interval"],
    ),
];

const ORCHESTRATOR: &[Group] = &[
    (
        "answers carry no Access-Control headers; put a proxy in front that adds them",
        &["access_control_allow_origin"],
    ),
    ("pages are embedded in the binary", &["assets_path"]),
    ("DELETE /v2/leader?backup=file:///path makes one when it is asked to", &["backup_location"]),
    ("tasks always go on while their agent restarts, as by Marathon's default", &["checkpoint"]),
    (
        "nothing that is deprecated is switched on; what is there is listed in COMPAT.md",
        &["deprecated_features"],
    ),
    ("HTTP is served always", &["disable_http"]),
    (
        "agents under maintenance take no new tasks; what is planned for later changes nothing",
        &["draining_seconds", "maintenance_mode"],
    ),
    (
        "at most 1000 event streams (STREAMS_MAX); one that does not read is cut",
        &["event_stream_max_outstanding_messages"],
    ),
    ("tasks are commands run by the agent, unless an app names an executor itself", &["executor"]),
    ("a stop takes 8 s at most (STOP_TIMEOUT)", &["graceful_shutdown_timeout"]),
    ("answers are compressed for clients that accept it", &["http_compression"]),
    ("versions of apps are read from memory", &["internal_version_caching"]),
    (
        "the master's heartbeats decide: after some missed ones the subscription begins anew",
        &["mesos_heartbeat_failure_threshold", "mesos_heartbeat_interval"],
    ),
    ("links lead to --master", &["mesos_leader_ui_url"]),
    ("no offer constraints are sent; offers that fit nothing are declined", &["mesos_offer_constraints"]),
    (
        "a reservation, its volumes and the task are one step, which nothing has to wait for",
        &["task_reservation_timeout"],
    ),
    (
        "this needs no tuning here; leave it out",
        &[
            "app_info_module_execution_context_size",
            "default_info_service_execution_context_size",
            "deployment_manager_request_timeout",
            "group_manager_execution_context_size",
            "group_manager_request_timeout",
            "group_versions_cache_size",
            "http_max_concurrent_requests",
            "instance_tracker_num_parallel_loads",
            "instance_tracker_num_parallel_updates",
            "instance_tracker_update_queue_size",
            "killBatchDuration",
            "kill_chunk_size",
            "kill_retry_timeout",
            "killsPerBatch",
            "launch_queue_request_timeout",
            "max_concurrent_marathon_health_checks",
            "max_parallel_offers",
            "max_parallel_status_updates",
            "max_queued_offers",
            "max_queued_root_group_updates",
            "max_queued_status_updates",
            "min_mesos_offer_constraints_update_interval",
            "offer_matching_timeout",
            "reconciliation_initial_delay",
            "scale_apps_initial_delay",
            "scale_apps_interval",
            "storage_compaction_interval",
            "storage_compaction_scan_batch_size",
            "storage_execution_context_size",
            "store_cache",
            "suppress_offers",
            "task_lost_expunge_initial_delay",
            "task_lost_expunge_interval",
            "task_operation_notification_timeout",
            "task_tracker_request_timeout",
            "task_update_request_timeout",
        ],
    ),
    (
        "authentication and authorization come with a later version; until then bind to an address that only friends reach",
        &[
            "http_realm",
            "mesos_authentication",
            "mesos_authentication_principal",
            "mesos_authentication_secret",
            "mesos_authentication_secret_file",
        ],
    ),
    (
        "TLS comes with a later version; until then put a proxy in front",
        &["https_address", "https_port", "ssl_keystore_password", "ssl_keystore_path"],
    ),
    (
        "state is embedded under --work_dir, and whoever has its lock leads; name the master with --master=HOST:PORT",
        &[
            "internal_store_backend",
            "leader_election_backend",
            "leader_proxy_ssl_ignore_hostname",
            "on_elected_prepare_timeout",
            "zk_compression",
            "zk_compression_threshold",
            "zk_connection_timeout",
            "zk_max_concurrency",
            "zk_max_node_size",
            "zk_max_versions",
            "zk_operation_base_retry_sleep_ms",
            "zk_operation_max_retries",
            "zk_session_timeout",
            "zk_timeout",
        ],
    ),
    (
        "the log goes to stderr; let the service manager keep it, and set --logging_level",
        &["logstash", "sentry", "sentry_tags"],
    ),
    (
        "metrics are always served, as JSON at /metrics/snapshot or /metrics, and for Prometheus at /metrics/prometheus",
        &["metrics", "metrics_datadog", "metrics_name_prefix", "metrics_prometheus", "metrics_statsd"],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_taken_stands_in_compat_md_with_what_happens_instead() {
        let told = include_str!("../../../COMPAT.md");
        let (_, told) = told.split_once("### Upstream flags that are not taken").expect("its section");
        let mut missing = Vec::new();
        for table in crate::ROLES {
            let (_, part) = told.split_once(&format!("\n| {} |", table.role)).expect("the role's table");
            let part = part.split("\n\n").next().unwrap_or_default();
            let contradicted: Vec<_> = part
                .lines()
                .filter_map(|row| row.strip_prefix("| `")?.split(" | ").next())
                .flat_map(|names| names.split(['`', ',', ' ']).filter(|name| !name.is_empty()))
                .filter(|name| table.flags.iter().any(|f| f.name == *name || f.aliases.contains(name)))
                .collect();
            assert!(contradicted.is_empty(), "{}: taken, and said not to be: {contradicted:?}", table.role);
            let named =
                groups(table.role).iter().flat_map(|(advice, names)| names.iter().map(|n| (*n, *advice)));
            for (name, advice) in named.chain(table.refused.iter().copied()) {
                let row = part.lines().find(|row| row.contains(&format!("`{name}`")));
                if !row.is_some_and(|row| row.ends_with(&format!("| {advice} |"))) {
                    missing.push(format!("{} `{name}` | {advice} |", table.role));
                }
                let takes = |f: &crate::flags::Flag| f.name == name || f.aliases.contains(&name);
                assert!(!table.flags.iter().any(takes), "{}: --{name} is taken", table.role);
            }
        }
        assert!(missing.is_empty(), "rows that are missing or say something else:\n{}", missing.join("\n"));
    }

    #[test]
    fn compat_md_lists_as_refused_only_what_is_refused() {
        let told = include_str!("../../../COMPAT.md");
        let (_, told) = told.split_once("### Upstream flags that are not taken").expect("its section");
        for table in crate::ROLES {
            let (_, part) = told.split_once(&format!("\n| {} |", table.role)).expect("the role's table");
            let rows =
                part.split("\n\n").next().unwrap_or_default().lines().filter(|row| row.starts_with("| `"));
            let names: Vec<_> = rows
                .filter_map(|row| row.split(" | ").next())
                .flat_map(|cell| cell.split('`').skip(1).step_by(2))
                .collect();
            assert!(names.len() > 20, "{}: {names:?}", table.role);
            for name in names {
                let takes = |f: &crate::flags::Flag| f.name == name || f.aliases.contains(&name);
                assert!(!table.flags.iter().any(takes), "{}: --{name} is taken", table.role);
                let refused = table.refused.iter().any(|(refused, _)| *refused == name);
                assert!(
                    refused || advice(table.role, name).is_some(),
                    "{}: --{name} is not refused",
                    table.role
                );
            }
        }
    }
}
