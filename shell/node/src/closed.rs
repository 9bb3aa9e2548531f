//! `--firewall_rules`: read from the flag or the file that it names, shown as upstream shows it, warned of where it closes
//! nothing. Never: what is closed (`endpoints`).

use crate::flags::{Refused, Values};
use endpoints::Firewall;
use std::sync::Arc;

/// The rules of a daemon, of which `delegate` is the process.
pub fn firewall(values: &Values, delegate: &'static str) -> anyhow::Result<Arc<Firewall>> {
    let Some(given) = values.get("firewall_rules") else { return Ok(Arc::default()) };
    let refused = |why: String| Refused(format!("--firewall_rules: {why}"));
    // `file://` is read as for every flag; upstream takes the bare path too.
    let text = match given.starts_with('/') {
        true => {
            std::fs::read_to_string(given).map_err(|error| refused(format!("can't read {given}: {error}")))?
        }
        false => given.to_owned(),
    };
    Ok(Arc::new(Firewall::parse(&text, delegate).map_err(refused)?))
}

/// Says which rules close nothing; the flag is shown as upstream shows it.
pub fn say(firewall: &Firewall, flags: &mut std::collections::BTreeMap<String, String>) {
    if let Some(shown) = flags.get_mut("firewall_rules") {
        *shown = firewall.shown();
    }
    for (path, instead) in firewall.idle() {
        let instead = instead.map_or_else(String::new, |path| format!("; write {path}"));
        tracing::warn!("--firewall_rules: {path} closes nothing, as in Apache Mesos{instead}");
    }
}
