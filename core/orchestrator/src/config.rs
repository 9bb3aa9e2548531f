//! What an orchestrator is told at its start.

use base::Duration;
use std::collections::BTreeSet;

/// Versions kept of one app; the oldest go first.
pub const VERSIONS_MAX: usize = 50;
/// Changes of the root group that are kept; the oldest go first.
pub const GROUP_VERSIONS_MAX: usize = 50;
/// Open event streams.
pub const STREAMS_MAX: usize = 1000;
/// Agents remembered in the explanation of one waiting app.
pub const AGENTS_EXPLAINED_MAX: usize = 200;
/// Instances that may be ordered before anything is heard of them; offers for more are asked for once half of them were
/// heard of. A hundred thousand at once would hold everybody else up, and agents say again after ten seconds what was
/// not acknowledged by then.
pub const LAUNCHES_UNHEARD_MAX: u64 = 4000;
/// A kill is repeated this often until the task has ended.
pub const KILL_RETRY: Duration = Duration::from_secs(30);
/// So long offers are asked for to free reservations; what is offered later is freed all the same.
pub const RECLAIM_FOR: Duration = Duration::from_secs(600);
/// What is not offered again for so long after it was to be freed is free.
pub const RECLAIMED_AFTER: Duration = Duration::from_secs(10);
/// A failed save is tried again after this.
pub const SAVE_RETRY: Duration = Duration::from_secs(1);
/// Messages of statuses are cut at this many characters.
pub const STATUS_MESSAGE_MAX: usize = 10_000;

/// Settings of one orchestrator; defaults are Marathon's, save where that would only make one wait.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name it registers with.
    pub framework_name: String,
    /// The user tasks run as unless they say otherwise.
    pub user: String,
    /// The role whose resources it uses.
    pub role: String,
    /// The role of apps with persistent volumes that name none, where `role` is `*`: nothing can be reserved for that.
    pub resident_role: Option<String>,
    /// The principal it registers with.
    pub principal: Option<String>,
    /// Whether tasks outlive an agent's restart.
    pub checkpoint: bool,
    /// How long the master keeps its tasks while it is away.
    pub failover_timeout: Duration,
    /// Its own host, for the master's pages.
    pub hostname: String,
    /// Its own HTTP port.
    pub http_port: u16,
    /// Where the master's pages lead; none = here.
    pub webui_url: Option<String>,
    /// Every task is asked for this often.
    pub reconciliation_interval: Duration,
    /// The first service port given by itself.
    pub local_port_min: u16,
    /// The last service port given by itself.
    pub local_port_max: u16,
    /// For how long a useless offer is turned down.
    pub decline_offer_duration: Duration,
    /// Most instances launched from one offer.
    pub max_instances_per_offer: usize,
    /// A launch without any status is forgotten after this.
    pub task_launch_confirm_timeout: Duration,
    /// A task that does not start is killed after this.
    pub task_launch_timeout: Duration,
    /// Put before `PORT…` and `HOST`.
    pub env_vars_prefix: Option<String>,
    /// The network of apps that want one and name none.
    pub default_network_name: Option<String>,
    /// The name by which old definitions mean the bridge.
    pub mesos_bridge_name: String,
    /// Features that definitions may use: `secrets`, `external_volumes`, `gpu_resources`, …
    pub features: BTreeSet<String>,
    /// Whether new top-level groups enforce their name as role.
    pub new_group_enforce_role: bool,
    /// Roles whose resources are taken by apps that say nothing; none = by `accepted_behavior`.
    pub default_accepted_roles: Option<Vec<String>>,
    /// The same, as a rule.
    pub accepted_behavior: Accepted,
    /// Deployments that may run at once; more are refused with 403.
    pub max_running_deployments: usize,
    /// Whether offers with GPUs are left to apps that want some.
    pub gpus_restricted: bool,
    /// Most apps there may be.
    pub max_apps: Option<usize>,
}

/// Whose resources an app takes that says nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Everybody's and its own role's.
    Any,
    /// Only everybody's.
    Unreserved,
    /// Only its own role's.
    Reserved,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            framework_name: "marathon".into(),
            user: "root".into(),
            role: "*".into(),
            resident_role: None,
            principal: None,
            checkpoint: true,
            failover_timeout: Duration::from_secs(604_800),
            hostname: "127.0.0.1".into(),
            http_port: 8080,
            webui_url: None,
            reconciliation_interval: Duration::from_secs(600),
            local_port_min: 10_000,
            local_port_max: 20_000,
            decline_offer_duration: Duration::from_secs(120),
            max_instances_per_offer: 1000,
            task_launch_confirm_timeout: Duration::from_secs(300),
            task_launch_timeout: Duration::from_secs(300),
            env_vars_prefix: None,
            default_network_name: None,
            mesos_bridge_name: "mesos-bridge".into(),
            features: BTreeSet::new(),
            new_group_enforce_role: false,
            default_accepted_roles: None,
            accepted_behavior: Accepted::Any,
            max_running_deployments: 100,
            gpus_restricted: true,
            max_apps: None,
        }
    }
}
