//! What a master is told at its start.

use crate::allocator::Options;
use base::Duration;
use model::mesos::DomainInfo;
use std::{collections::BTreeMap, net::SocketAddr};

/// The version that clients parse: purely dotted numbers.
pub const VERSION: &str = "1.11.0";
/// How often an idle scheduler stream gets a HEARTBEAT.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// `failover_timeout` and `refuse_seconds` are cut to this.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Settings of one master.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where peers reach it.
    pub address: SocketAddr,
    /// The name it reports.
    pub hostname: String,
    /// Name of the cluster, for people.
    pub cluster: Option<String>,
    /// The flags as given, for `/flags`.
    pub flags: BTreeMap<String, String>,
    /// How often an agent is pinged.
    pub ping_timeout: Duration,
    /// Missed pongs before an agent is unreachable.
    pub pings_missed_max: u32,
    /// How long recovered frameworks without a failover timeout, and agents, may take to come back.
    pub reregister_timeout: Duration,
    /// Offers that nobody answers are taken back after this; none = never.
    pub offer_timeout: Option<Duration>,
    /// Region and zone of the master; agents of other regions are remote.
    pub domain: Option<DomainInfo>,
    /// How offers are made.
    pub allocation: Options,
    /// Weights of roles.
    pub weights: Vec<(String, f64)>,
    /// Ended frameworks kept for reading.
    pub completed_frameworks_max: usize,
    /// Ended tasks kept for each framework.
    pub completed_tasks_max: usize,
    /// Open event streams of operators; with one more the oldest is closed.
    pub operator_subscribers_max: usize,
}

impl Config {
    /// Upstream's defaults at an address.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            hostname: address.ip().to_string(),
            cluster: None,
            flags: BTreeMap::new(),
            ping_timeout: Duration::from_secs(15),
            pings_missed_max: 5,
            reregister_timeout: Duration::from_secs(600),
            offer_timeout: Some(Duration::from_secs(60)),
            domain: None,
            allocation: Options::default(),
            weights: Vec::new(),
            completed_frameworks_max: 50,
            completed_tasks_max: 1000,
            operator_subscribers_max: 1000,
        }
    }
}
