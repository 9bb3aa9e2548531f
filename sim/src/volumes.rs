//! Persistent volumes on the machines' disks: nobody removes one that is wanted, no two tasks use one, and no task starts
//! without its own.

use crate::{client::Promise, host::Stands, world::World};
use model::container::ContainerSpec;
use serde_json::json;

/// What is in the path of every persistent volume.
const VOLUMES: &str = "/volumes/roles/";

fn id_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl World {
    /// A change of an app with volumes. What becomes of it nobody promises.
    pub fn ask_resident(&mut self) {
        let app = format!("{}v{}", crate::act::BOUNDED, self.rng.below(2));
        if !self.client.is_free(Some(app.as_str())) {
            return;
        }
        let some = Some(app.clone());
        let (method, uri, body) = match self.rng.below(8) {
            0 => ("DELETE", format!("/v2/apps{app}?force=true"), String::new()),
            1 => ("DELETE", format!("/v2/apps{app}/tasks?wipe=true"), String::new()),
            2 => ("DELETE", format!("/v2/apps{app}/tasks"), String::new()),
            3 | 4 => {
                let body = json!({ "instances": self.rng.below(4) });
                ("PUT", format!("/v2/apps{app}"), body.to_string())
            }
            5 => ("PUT", format!("/v2/apps{app}?force=true"), json!({ "cmd": self.command() }).to_string()),
            _ => {
                let mut body = self.definition();
                (body["cpus"], body["mem"]) = (json!(0.2), json!(32));
                body["upgradeStrategy"]["maximumOverCapacity"] = json!(0);
                body["container"] = json!({ "type": "MESOS", "volumes": [
                    { "containerPath": "data", "mode": "RW", "persistent": { "size": 100 } }] });
                if let Some(fields) = body.as_object_mut() {
                    fields.remove("constraints");
                }
                ("PUT", format!("/v2/apps{app}"), body.to_string())
            }
        };
        self.ask(method, uri, body, some, Promise::Something);
    }

    /// An agent has volumes made and removed.
    pub fn change_volumes(&mut self, n: u8, make: Vec<String>, remove: impl Iterator<Item = String>) {
        for path in make {
            self.note(&format!("agent{n} makes {path}"));
            self.hosts[n as usize].volumes.insert(path);
        }
        for path in remove {
            self.note(&format!("agent{n} removes {path}"));
            let used = self.hosts[n as usize].running().find(|(_, c)| c.volumes.contains(&path));
            assert!(used.is_none(), "{path} of agent{n} is removed, and used by {used:?}");
            let instances = self.orchestrator.iter().flat_map(|machine| machine.instances());
            let mine = |i: &&orchestrator::instances::Instance| {
                i.volumes.iter().any(|volume| volume.id(&i.app) == id_of(&path))
            };
            let wanted = instances.filter(|i| i.held && !i.wipe).find(mine);
            assert!(wanted.is_none(), "{path} of agent{n} is removed, and {wanted:?} needs it");
            self.hosts[n as usize].volumes.remove(&path);
        }
    }

    /// The volumes that a container uses, which must be there and nobody else's.
    pub fn take_volumes(&self, n: u8, spec: &ContainerSpec) -> Vec<String> {
        let host = &self.hosts[n as usize];
        let mine = spec.volumes.iter().map(|mount| &mount.source).filter(|source| source.contains(VOLUMES));
        let mine: Vec<String> = mine.cloned().collect();
        for path in &mine {
            assert!(host.volumes.contains(path), "{} starts on agent{n} without {path}", spec.id);
            let other = host
                .containers
                .values()
                .find(|c| c.volumes.contains(path) && !matches!(c.stands, Stands::Ended(_)));
            assert!(other.is_none(), "{} starts on agent{n} with {path}, which {other:?} uses", spec.id);
        }
        mine
    }

    /// Every volume that an app has is where its instance is.
    pub fn volumes_at_rest(&self, why: &mut Vec<String>) {
        let Some(machine) = self.orchestrator.as_ref() else { return };
        for instance in machine.instances() {
            for volume in &instance.volumes {
                let id = volume.id(&instance.app);
                let there = |n: usize| {
                    let agent = self.agents[n].as_ref().and_then(|agent| agent.info().id.as_ref());
                    agent.is_some_and(|agent| agent.value == instance.agent)
                        && self.hosts[n].volumes.iter().any(|path| id_of(path) == id)
                };
                if !(0..self.hosts.len()).any(there) {
                    why.push(format!("{id} of {} is not on {}", instance.id, instance.agent));
                }
            }
        }
    }
}
