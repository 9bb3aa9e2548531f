//! What the allocator is told and what it answers, as plain values.

use super::{Constraints, Traits};
use base::{Duration, Time};
use model::{
    mesos,
    resources::{Resources, Short},
};
use std::{collections::BTreeMap, sync::Arc};

/// How much of each scalar there must be, as in `cpus:0.01`; thousandths by name.
pub type Quantities = Vec<(String, i64)>;

/// How the whole allocator behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// What was declined whole never comes back sooner than this (`--decline_floor_ms`), however short its filter.
    pub decline_floor: Duration,
    /// What was freed is offered again when this interval is over (`--allocation_interval`); none = at once.
    pub interval: Option<Duration>,
    /// An offer holds at least one of these; none at all: any offer that is not empty (`--min_allocatable_resources`).
    pub min_allocatable: Vec<Quantities>,
    /// Whether agents with gpus are kept for frameworks that can use them (`--filter_gpu_resources`).
    pub filter_gpu: bool,
    /// Resources that don't count for the share (`--fair_sharing_excluded_resource_names`).
    pub excluded_from_share: Vec<String>,
    /// In which order sibling roles are served (`--role_sorter`).
    pub role_order: Order,
    /// In which order the frameworks of one role are served (`--framework_sorter`).
    pub framework_order: Order,
    /// Whether a role's limits hold frameworks in its child roles too. Apache Mesos looks limits up by the exact role.
    pub limits_bind_subtrees: bool,
}

/// In which order siblings are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Who has the smallest share by weight (`drf`).
    #[default]
    Share,
    /// Drawn anew for every agent, with chances by weight (`random`).
    Random,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            decline_floor: Duration::from_millis(100),
            interval: None,
            min_allocatable: vec![vec![("cpus".into(), 10)], vec![("mem".into(), 32_000)]],
            filter_gpu: true,
            excluded_from_share: Vec::new(),
            role_order: Order::Share,
            framework_order: Order::Share,
            limits_bind_subtrees: false,
        }
    }
}

/// What a framework can cope with, as far as offers differ by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameworkCaps {
    /// Takes revocable resources.
    pub revocable: bool,
    /// Uses gpus.
    pub gpu: bool,
    /// Takes shared volumes.
    pub shared: bool,
    /// Understands reservations of reservations.
    pub refinement: bool,
    /// Takes agents of other regions.
    pub regions: bool,
    /// Is in several roles at once, and so says of everything to which of them it is allocated.
    pub multi_role: bool,
}

impl FrameworkCaps {
    /// Of what the framework said.
    pub fn of(capabilities: &[mesos::framework_info::Capability]) -> Self {
        use mesos::framework_info::capability::Type;
        let has = |wanted: Type| capabilities.iter().any(|capability| capability.r#type() == wanted);
        Self {
            revocable: has(Type::RevocableResources),
            gpu: has(Type::GpuResources),
            shared: has(Type::SharedResources),
            refinement: has(Type::ReservationRefinement),
            regions: has(Type::RegionAware),
            multi_role: has(Type::MultiRole),
        }
    }
}

/// A framework as the allocator knows it.
#[derive(Clone, Debug, Default)]
pub struct FrameworkTerms {
    /// Every role it is subscribed to.
    pub roles: Vec<String>,
    /// Those of its roles that want no offers.
    pub suppressed: Vec<String>,
    /// What it can cope with.
    pub capabilities: FrameworkCaps,
    /// Its own least offer by role, instead of the allocator's.
    pub min_allocatable: BTreeMap<String, Vec<Quantities>>,
    /// Which agents it wants to hear of.
    pub constraints: Option<Arc<Constraints>>,
}

/// An agent as the allocator knows it.
#[derive(Clone, Debug, Default)]
pub struct AgentTerms {
    /// Everything it has.
    pub total: Resources,
    /// What is known of it beside its resources.
    pub traits: Traits,
    /// Whether it understands that a framework is in several roles.
    pub multi_role: bool,
    /// Whether it understands roles with a slash.
    pub hierarchical_roles: bool,
    /// Whether it lies in another region than the master.
    pub remote_region: bool,
}

/// Resources set aside for a framework: to be made an offer, or given back by `recover`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offerable {
    /// Who gets it.
    pub framework: Arc<str>,
    /// In which role.
    pub role: Arc<str>,
    /// Where it is.
    pub agent: Arc<str>,
    /// What it is.
    pub resources: Resources,
}

/// Why a (framework, role) has no offer of an agent, or that it could have one: in the order in which it is decided.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// The framework is not known or not connected.
    FrameworkInactive,
    /// The framework is not subscribed to the role.
    NotSubscribed,
    /// The framework asked for no offers in this role.
    Suppressed,
    /// The agent is not connected, or drained.
    AgentInactive,
    /// The framework may be in several roles, and the agent does not understand such frameworks.
    MultiRoleNotUnderstood,
    /// The agent does not understand roles with a slash.
    RoleNotUnderstood,
    /// The agent lies in another region.
    OtherRegion,
    /// The agent has gpus and the framework did not say that it uses them.
    GpuKept,
    /// The agent does not fit the framework's offer constraints.
    ConstraintsUnmet,
    /// Nothing there is free for this role: all is used, offered or reserved.
    NothingFree,
    /// A quota stands in the way: the role's limit is reached, or the rest is held back for other roles' guarantees.
    QuotaHeldBack,
    /// Less is free than an offer must hold.
    BelowMinimum,
    /// The framework declined at least this much of it, until then.
    Declined {
        /// When it may come back.
        until: Time,
    },
    /// Free, but less than what was wanted.
    TooSmall {
        /// The first thing that is short.
        short: Short,
    },
    /// Nothing stands in the way: the next allocation may offer it.
    Offerable,
}

impl Stage {
    /// How far it got: later stages are higher.
    pub fn depth(&self) -> u8 {
        match self {
            Self::FrameworkInactive => 0,
            Self::NotSubscribed => 1,
            Self::Suppressed => 2,
            Self::AgentInactive => 3,
            Self::MultiRoleNotUnderstood => 4,
            Self::RoleNotUnderstood => 5,
            Self::OtherRegion => 6,
            Self::GpuKept => 7,
            Self::ConstraintsUnmet => 8,
            Self::NothingFree => 9,
            Self::QuotaHeldBack => 10,
            Self::BelowMinimum => 11,
            Self::Declined { .. } => 12,
            Self::TooSmall { .. } => 13,
            Self::Offerable => 14,
        }
    }
    /// In one word, for machines.
    pub fn name(&self) -> &'static str {
        match self {
            Self::FrameworkInactive => "framework_inactive",
            Self::NotSubscribed => "not_subscribed",
            Self::Suppressed => "suppressed",
            Self::AgentInactive => "agent_inactive",
            Self::MultiRoleNotUnderstood => "multi_role_not_understood",
            Self::RoleNotUnderstood => "role_not_understood",
            Self::OtherRegion => "other_region",
            Self::GpuKept => "gpu_kept",
            Self::ConstraintsUnmet => "constraints_unmet",
            Self::NothingFree => "nothing_free",
            Self::QuotaHeldBack => "quota_held_back",
            Self::BelowMinimum => "below_minimum",
            Self::Declined { .. } => "declined",
            Self::TooSmall { .. } => "too_small",
            Self::Offerable => "offerable",
        }
    }
}

/// What one agent answers to "why has this framework no offer".
#[derive(Clone, Debug, PartialEq)]
pub struct AgentWhy {
    /// Which agent.
    pub agent: Arc<str>,
    /// Its name.
    pub hostname: String,
    /// How far it got.
    pub stage: Stage,
    /// What is free there for the role.
    pub free: Resources,
    /// What is already offered to or used by this framework there, in this role.
    pub held: Resources,
    /// Whether what was wanted would fit if nobody held anything there.
    pub fits_when_empty: bool,
    /// By how much each wanted scalar is short, in thousandths; empty if nothing was wanted or all fits.
    pub short_by: Vec<(String, i64)>,
}
