//! Weights of roles. Order of checks and texts: apache/mesos@c1b42f79:src/master/weights_handler.cpp.

use super::{Decided, Decision, bad};
use crate::{Effect, Master, policy};
use base::{Effects, Time};
use model::{mesos::WeightInfo, resources::role_fault};

pub(super) fn validate(mut infos: Vec<WeightInfo>) -> Decided {
    for info in &mut infos {
        let role = info.role().trim().to_owned();
        let what = "Failed to validate update weights request JSON";
        if let Some(fault) = role_fault(&role) {
            return Err(bad(format!("{what}: Invalid role '{role}': {fault}")));
        }
        if info.weight.is_nan() || info.weight <= 0.0 || info.weight.is_infinite() {
            let weight = info.weight;
            return Err(bad(format!(
                "{what} for role '{role}': Invalid weight '{weight}': Weights must be positive"
            )));
        }
        info.role = Some(role);
    }
    let batch = infos.iter().map(|info| policy::put_weight(info.role(), info.weight)).collect();
    Ok((batch, Decision::Weights(infos)))
}

impl Master {
    pub(super) fn weights_updated(&mut self, infos: Vec<WeightInfo>, now: Time, out: &mut Effects<Effect>) {
        let known = self.frameworks.values().flat_map(crate::Framework::roles).collect::<Vec<_>>();
        let active = infos.iter().any(|info| known.iter().any(|role| role == info.role()));
        for info in infos {
            self.allocator.set_weight(info.role(), info.weight);
            self.policy_mut().weights.insert(info.role().to_owned(), info.weight);
        }
        if active {
            // So that shares follow the new weights at once.
            for offer in self.offers.keys().cloned().collect::<Vec<_>>() {
                self.rescind(&offer, now, out);
            }
        }
    }
}
