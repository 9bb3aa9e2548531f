//! Whether an agent with another configuration may go on where one left off: `--reconfiguration_policy`, and what no
//! policy allows. Never what becomes of its tasks.
//!
//! Rules: apache/mesos@c1b42f79:src/slave/compatibility.cpp. Without the flag any change is taken, where upstream takes
//! none.

use crate::{Agent, Config, records};
use model::{
    mesos::{AgentInfo, Attribute, value},
    resources::Resources,
    save::Records,
};

/// The flag's values.
const POLICIES: [&str; 3] = ["any", "additive", "equal"];

impl Agent {
    /// Why an agent with this configuration can't go on where one left off.
    pub fn misfit(config: &Config, kept: &Records) -> Option<String> {
        let policy = config.flags.get("reconfiguration_policy").map_or("any", String::as_str);
        if !POLICIES.contains(&policy) {
            return Some(format!(
                "--reconfiguration_policy: '{policy}' is no policy: any, additive or equal"
            ));
        }
        let found = records::Recovered::read(kept);
        let own = Resources::from_messages(&config.resources).ok()?;
        if own.with_checkpointed(&found.resources).is_none() {
            return Some(format!(
                "--resources: the agent is to have {own}, which does not hold what was reserved on it or made a volume: {}",
                found.resources
            ));
        }
        let (before, after) = (found.agent?, crate::info_of(config));
        let changed = match policy {
            "additive" => less(&before, &after),
            "equal" => less(&before, &after).or_else(|| more(&before, &after)),
            _ => None,
        };
        changed.map(|what| {
            format!(
                "--reconfiguration_policy={policy}: {what}; start the agent as it was, with 'any', or in another --work_dir"
            )
        })
    }
}

/// What there was and is not any more, or is another now.
fn less(before: &AgentInfo, after: &AgentInfo) -> Option<String> {
    if before.hostname != after.hostname {
        return Some(format!("the host name was '{}' and is '{}'", before.hostname, after.hostname));
    }
    if before.port() != after.port() {
        return Some(format!("the port was {} and is {}", before.port(), after.port()));
    }
    if before.domain.is_some() && before.domain != after.domain {
        return Some("the domain is another".to_owned());
    }
    let (had, has) = (resources(before), resources(after));
    if !has.contains(&had) {
        return Some(format!("the resources were {had} and are {has}"));
    }
    let kept = |attribute: &&Attribute| {
        let same = after.attributes.iter().find(|a| a.name == attribute.name);
        !same.is_some_and(|same| same.r#type == attribute.r#type && holds(same, attribute))
    };
    let lost = before.attributes.iter().find(kept)?;
    Some(format!("the attribute '{}' is missing or another", lost.name))
}

/// What there is besides.
fn more(before: &AgentInfo, after: &AgentInfo) -> Option<String> {
    if before.domain != after.domain {
        return Some("there was no domain".to_owned());
    }
    let (had, has) = (resources(before), resources(after));
    if had != has {
        return Some(format!("the resources were {had} and are {has}"));
    }
    (before.attributes != after.attributes).then(|| "the attributes are others".to_owned())
}

fn resources(info: &AgentInfo) -> Resources {
    Resources::from_messages(&info.resources).unwrap_or_default()
}

/// Whether a value of an attribute is still within what it is now.
fn holds(now: &Attribute, before: &Attribute) -> bool {
    let ranges = |attribute: &Attribute| attribute.ranges.clone().unwrap_or_default().range;
    let within = |range: &value::Range| {
        ranges(now).iter().any(|wide| wide.begin <= range.begin && range.end <= wide.end)
    };
    if before.ranges.is_some() { ranges(before).iter().all(within) } else { now == before }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(resources: &str, level: f64) -> AgentInfo {
        AgentInfo {
            hostname: "h".to_owned(),
            port: Some(5051),
            resources: Resources::parse(resources, "*").unwrap().to_messages(),
            attributes: vec![Attribute {
                name: "level".to_owned(),
                r#type: value::Type::Scalar.into(),
                scalar: Some(value::Scalar { value: level }),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    #[test]
    fn additive_takes_more_and_equal_nothing_else() {
        let before = info("cpus:4;mem:64;ports:[1-5]", 1.0);
        assert_eq!(less(&before, &before).or_else(|| more(&before, &before)), None);
        let wider = info("cpus:8;mem:64;ports:[1-9];disk:5", 1.0);
        assert_eq!(less(&before, &wider), None);
        assert!(more(&before, &wider).unwrap().contains("cpus:4"));
        let narrower = info("cpus:4;mem:64;ports:[1-4]", 1.0);
        assert!(less(&before, &narrower).unwrap().contains("ports:[1-4]"));
        assert_eq!(
            less(&before, &info("cpus:4;mem:64;ports:[1-5]", 2.0)).unwrap(),
            "the attribute 'level' is missing or another"
        );
        let elsewhere = AgentInfo { port: Some(1), ..before.clone() };
        assert_eq!(less(&before, &elsewhere).unwrap(), "the port was 5051 and is 1");
        let named = AgentInfo { hostname: "i".to_owned(), ..before.clone() };
        assert_eq!(less(&before, &named).unwrap(), "the host name was 'h' and is 'i'");
    }
}
