//! What is told of instances and their tasks. Never changes them.

use crate::{Orchestrator, instances::Instance};
use base::Time;
use model::mesos::TaskStatus;
use serde_json::json;

impl Orchestrator {
    pub(super) fn say_update(&mut self, now: Time, status: &TaskStatus, instance: &Instance) {
        if !self.heard("status_update_event") {
            return;
        }
        let addresses: Vec<_> =
            instance.addresses.iter().map(|ip| json!({ "ipAddress": ip, "protocol": "IPv4" })).collect();
        let fields = json!({
            "slaveId": instance.agent, "taskId": status.task_id.value, "taskStatus": status.state().as_str_name(),
            "message": status.message.clone().unwrap_or_default(), "appId": instance.app, "host": instance.host,
            "ipAddresses": addresses, "ports": instance.ports, "version": instance.version,
        });
        self.emit(now, "status_update_event", fields);
    }

    pub(crate) fn say_instance(&mut self, now: Time, instance: &Instance, condition: &str) {
        if !self.heard("instance_changed_event") {
            return;
        }
        let fields = json!({
            "instanceId": instance.id, "condition": condition, "runSpecId": instance.app, "agentId": instance.agent,
            "host": instance.host, "runSpecVersion": instance.version,
        });
        self.emit(now, "instance_changed_event", fields);
    }

    pub(crate) fn say_health(&mut self, now: Time, instance: &Instance, healthy: bool) {
        let fields = json!({
            "instanceId": instance.id, "runSpecId": instance.app, "healthy": healthy,
            "runSpecVersion": instance.version,
        });
        self.emit(now, "instance_health_changed_event", fields);
        let fields = json!({
            "appId": instance.app, "instanceId": instance.id, "version": instance.version, "alive": healthy,
        });
        self.emit(now, "health_status_changed_event", fields);
    }
}
