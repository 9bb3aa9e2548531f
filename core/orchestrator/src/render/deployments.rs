//! `/v2/deployments`. Read-only.

use crate::{Deployment, Orchestrator, plan::Action};
use serde_json::{Value, json};

impl Orchestrator {
    /// `GET /v2/deployments`.
    pub fn deployments_info(&self) -> Value {
        self.deployments().into_iter().map(|deployment| self.deployment_info(deployment)).collect()
    }

    fn deployment_info(&self, deployment: &Deployment) -> Value {
        let running = deployment.steps.get(deployment.current).map_or(&[][..], |step| &step.actions);
        let running: Vec<_> = running
            .iter()
            .map(|action| {
                let mut said = action.said();
                said["readinessCheckResults"] = self.readiness_info(&action.app).into();
                said
            })
            .collect();
        let affected = |pods: bool| -> Vec<&String> {
            let all = deployment.steps.iter().flat_map(|step| &step.actions);
            let all: std::collections::BTreeSet<_> =
                all.filter(|action: &&Action| action.pod == pods).map(|action| &action.app).collect();
            all.into_iter().collect()
        };
        let mut said = deployment.said();
        said["affectedApps"] = json!(affected(false));
        said["affectedPods"] = json!(affected(true));
        said["currentActions"] = running.into();
        said["currentStep"] = (deployment.current + 1).into();
        said["totalSteps"] = deployment.steps.len().into();
        said
    }
}
