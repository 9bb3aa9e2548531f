//! What a framework says of itself, read once: for its table and for the allocator. Never who may subscribe
//! (`frameworks`).

use crate::{
    EventCounts, Framework, Session,
    allocator::{Constraints, FrameworkCaps, FrameworkTerms},
    config::TIMEOUT_MAX,
    roles, validate,
};
use base::{Duration, Table, Time};
use model::mesos::{FrameworkInfo, framework_info::capability::Type as Cap, scheduler::OfferConstraints};
use std::{collections::BTreeMap, sync::Arc};

/// What a framework says when it subscribes or updates itself, once it is known to be valid.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub info: FrameworkInfo,
    pub suppressed: Vec<String>,
    pub constraints: Option<Arc<Constraints>>,
}

impl Terms {
    pub fn new(
        info: FrameworkInfo,
        suppressed: Vec<String>,
        constraints: Option<&OfferConstraints>,
    ) -> Result<Self, String> {
        match validate::options(&info, &suppressed, constraints) {
            Some(fault) => Err(fault),
            None => {
                let said = constraints.filter(|c| !c.role_constraints.is_empty());
                let constraints = said.and_then(|c| Constraints::new(c).ok()).map(Arc::new);
                Ok(Self { info, suppressed, constraints })
            }
        }
    }
    /// Of a framework that is known from the registry or an agent.
    pub(super) fn recovered(info: FrameworkInfo) -> Self {
        Self { info, suppressed: Vec::new(), constraints: None }
    }
    pub fn for_allocator(&self) -> FrameworkTerms {
        let least = self.info.offer_filters.iter().filter_map(|(role, filters)| {
            let all = filters.min_allocatable_resources.as_ref()?.quantities.iter();
            let milli = |value: f64| (value * 1000.0).round() as i64;
            let one = |one: &model::mesos::offer_filters::ResourceQuantities| {
                one.quantities.iter().map(|(name, amount)| (name.clone(), milli(amount.value))).collect()
            };
            Some((role.clone(), all.map(one).collect()))
        });
        FrameworkTerms {
            roles: roles(&self.info),
            suppressed: self.suppressed.clone(),
            capabilities: FrameworkCaps::of(&self.info.capabilities),
            min_allocatable: least.collect(),
            constraints: self.constraints.clone(),
        }
    }
}

pub(crate) fn framework(terms: Terms, session: Option<Session>, now: Time, recovered: bool) -> Framework {
    Framework {
        info: terms.info,
        constraints: terms.constraints,
        driver: match &session {
            Some(Session::Driver(pid)) => Some(pid.clone()),
            _ => None,
        },
        session,
        deactivated: false,
        registered: now,
        reregistered: now,
        unregistered: None,
        tasks: Table::new(),
        unreachable_tasks: Table::new(),
        completed_tasks: Table::new(),
        completed: 0,
        offers: Table::new(),
        executors: Table::new(),
        operations: BTreeMap::new(),
        operation_ids: BTreeMap::new(),
        recovered,
        counts: BTreeMap::new(),
        events: EventCounts::default(),
    }
}

/// How long a framework may be away; negative or nonsensical = not at all.
pub(crate) fn failover_timeout(info: &FrameworkInfo) -> Duration {
    Duration::try_from_secs_f64(info.failover_timeout()).unwrap_or_default().min(TIMEOUT_MAX)
}

/// Whether statuses may use the states that tell apart why a task is lost.
pub(crate) fn partition_aware(framework: &Framework) -> bool {
    framework.can(Cap::PartitionAware)
}
