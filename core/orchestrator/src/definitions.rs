//! What an app's definition becomes when it is changed: merged, versioned, given service ports. Never what follows.

use crate::{
    App, Orchestrator,
    commands::{AppUpdate, message},
    spec::Spec,
};
use model::request::Answer;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

impl Orchestrator {
    /// A definition as it is after an update.
    pub(crate) fn updated(&self, update: &AppUpdate, version: &str) -> Result<App, Answer> {
        let state = self.apps.get(&update.id);
        let mut fields = update.fields.clone();
        if let (Some(back), Some(state)) = (fields.get("version").and_then(Value::as_str), state)
            && fields.keys().all(|key| key == "version" || key == "id")
        {
            let old = state.versions.get(back).ok_or_else(|| {
                message(404, format!("App '{}' does not exist in version '{back}'", update.id))
            })?;
            fields = old.as_object().cloned().unwrap_or_default();
        } else if let (true, Some(Value::Object(current))) = (update.partial, state.map(|s| &*s.app)) {
            let mut merged = current.clone();
            merged.extend(fields);
            fields = merged;
        }
        self.versioned(&update.id, fields, version)
    }

    /// Gives a definition its id, its versions and its service ports.
    pub(crate) fn versioned(
        &self,
        id: &str,
        mut fields: Map<String, Value>,
        version: &str,
    ) -> Result<App, Answer> {
        let current = self.apps.get(id);
        fields.insert("id".into(), id.into());
        for key in ["version", "versionInfo"] {
            fields.remove(key);
        }
        self.assign_ports(id, &mut fields)?;
        let same = current.and_then(|state| state.app.as_object()).is_some_and(|current| {
            let differs = |key: &String| {
                !matches!(key.as_str(), "instances" | "version" | "versionInfo")
                    && current.get(key) != fields.get(key)
            };
            !current.keys().chain(fields.keys()).any(differs)
        });
        let config = current.filter(|_| same).map_or(version, |state| state.spec.config_version.as_str());
        let info = json!({ "lastScalingAt": version, "lastConfigChangeAt": config });
        fields.insert("version".into(), version.into());
        fields.insert("versionInfo".into(), info);
        Ok(Value::Object(fields))
    }

    /// Ports of 0 become the app's earlier service ports, then the first that no app has.
    fn assign_ports(&self, id: &str, fields: &mut Map<String, Value>) -> Result<(), Answer> {
        let Some(definitions) = fields.get_mut("portDefinitions").and_then(Value::as_array_mut) else {
            return Ok(());
        };
        let asked: BTreeSet<u64> = definitions.iter().filter_map(|d| d.get("port")?.as_u64()).collect();
        if !definitions.is_empty() && asked.iter().all(|port| *port != 0) && !asked.is_empty() {
            return Ok(());
        }
        let ports = |spec: &Spec| spec.ports.iter().map(|p| u64::from(p.port)).collect::<Vec<_>>();
        let mine = self.apps.get(id).map(|state| ports(&state.spec)).unwrap_or_default();
        let others =
            self.apps.iter().filter(|(other, _)| *other != id).flat_map(|(_, state)| ports(&state.spec));
        let mut taken: BTreeSet<u64> = others.chain(asked).collect();
        let (least, most) = (u64::from(self.config.local_port_min), u64::from(self.config.local_port_max));
        let mut earlier = mine.into_iter().filter(|port| *port != 0);
        let mut next = least;
        for definition in definitions {
            if definition.get("port").and_then(Value::as_u64).unwrap_or(0) != 0 {
                continue;
            }
            let port = earlier.find(|port| !taken.contains(port)).or_else(|| {
                next = (next..most).find(|port| !taken.contains(port))?;
                Some(next)
            });
            let Some(port) = port else {
                let text = format!("All ports in the range [{least}-{most}) are already in use");
                return Err(message(422, text));
            };
            taken.insert(port);
            definition["port"] = port.into();
        }
        Ok(())
    }
}
