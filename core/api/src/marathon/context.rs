//! What reading a definition depends on besides the definition: settings, and the role of the place it is put in.

use std::collections::BTreeSet;

/// Settings that definitions are read under.
#[derive(Clone, Debug, PartialEq)]
pub struct Context {
    /// `--default_network_name`.
    pub network: Option<String>,
    /// `--mesos_bridge_name`.
    pub bridge: String,
    /// `--enable_features`.
    pub features: BTreeSet<String>,
    /// The role of an app that names none.
    pub role: String,
    /// The same for one with persistent volumes, where that role is `*`.
    pub resident_role: Option<String>,
    /// Roles that it may name.
    pub roles: BTreeSet<String>,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            network: None,
            bridge: "mesos-bridge".into(),
            features: BTreeSet::new(),
            role: "*".into(),
            resident_role: None,
            roles: BTreeSet::from(["*".to_owned()]),
        }
    }
}

impl Context {
    /// The role of what names none.
    pub(super) fn role_of(&self, resident: bool) -> &str {
        let own = self.resident_role.as_ref().filter(|_| resident && self.role == "*");
        own.unwrap_or(&self.role)
    }
    pub(super) fn has(&self, feature: &str) -> bool {
        self.features.contains(feature)
    }
}

impl Context {
    /// For what is wrong whatever the settings are: nothing is refused for its role or a missing feature.
    pub(super) fn anything(app: &serde_json::Map<String, serde_json::Value>) -> Self {
        let role = app.get("role").and_then(serde_json::Value::as_str).unwrap_or("*");
        let features = ["secrets", "external_volumes", "gpu_resources"].map(str::to_owned);
        Self {
            network: Some("default".into()),
            features: features.into(),
            role: role.to_owned(),
            resident_role: Some("marathon".into()),
            roles: BTreeSet::from([role.to_owned(), "marathon".to_owned()]),
            ..Self::default()
        }
    }
}
