//! The flags of a role that say how resources are divided, and where a machine stands. Never divides anything.

use crate::flags::{Refused, Values};
use api::json::FromJson as _;
use master::allocator::{Options, Order, Quantities};
use model::{mesos::DomainInfo, resources::Resources};
use std::time::Duration;

/// How offers are made.
pub fn options(values: &Values) -> anyhow::Result<Options> {
    let mut options = Options::default();
    if let Some(text) = values.get("min_allocatable_resources") {
        options.min_allocatable = least(text)?;
    }
    options.filter_gpu = values.get("filter_gpu_resources") != Some("false");
    let excluded = values.get("fair_sharing_excluded_resource_names").unwrap_or_default();
    options.excluded_from_share = excluded.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect();
    options.role_order = order(values, "role_sorter")?;
    options.framework_order = order(values, "framework_sorter")?;
    options.limits_bind_subtrees = values.get("quota_limits_bind_subtrees") == Some("true");
    options.interval = values.duration("allocation_interval").filter(|interval| !interval.is_zero());
    options.decline_floor = Duration::from_millis(values.number("decline_floor_ms").unwrap_or(100));
    Ok(options)
}

fn order(values: &Values, name: &str) -> anyhow::Result<Order> {
    match values.get(name).unwrap_or("drf") {
        "drf" => Ok(Order::Share),
        "random" => Ok(Order::Random),
        other => Err(Refused(format!("--{name}: '{other}' is no order: drf or random")).into()),
    }
}

/// `cpus:0.01|mem:32`: an offer holds at least one of these; `cpus:1;mem:64` means both.
fn least(text: &str) -> anyhow::Result<Vec<Quantities>> {
    let one = |one: &str| {
        let parsed = Resources::parse(one, "*");
        let parsed = parsed.map_err(|e| Refused(format!("--min_allocatable_resources: '{one}': {e}")))?;
        let milli = |name: &str| (name.to_owned(), parsed.milli(name));
        let all: Quantities = parsed.iter().map(|item| milli(item.kind.name().as_str())).collect();
        if all.iter().any(|(_, milli)| *milli <= 0) {
            return Err(Refused(format!(
                "--min_allocatable_resources: '{one}' is not made of scalars, as in 'cpus:0.01|mem:32'"
            ))
            .into());
        }
        Ok(all)
    };
    text.split('|').map(str::trim).filter(|one| !one.is_empty()).map(one).collect()
}

/// Region and zone, in upstream's JSON.
pub fn domain(values: &Values) -> anyhow::Result<Option<DomainInfo>> {
    let Some(text) = values.get("domain").filter(|text| !text.is_empty()) else { return Ok(None) };
    let example = r#"{"fault_domain":{"region":{"name":"eu"},"zone":{"name":"eu-1"}}}"#;
    let wrong = |why: String| anyhow::Error::new(Refused(format!("--domain: {why}; as in '{example}'")));
    let json = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    DomainInfo::from_json(&json).map(Some).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Values {
        let mut values = crate::tables::MASTER.defaults();
        values.set(name, value);
        values
    }

    #[test]
    fn the_defaults_are_the_allocators() {
        let options = options(&crate::tables::MASTER.defaults()).unwrap();
        assert_eq!(format!("{options:?}"), format!("{:?}", Options::default()));
        assert_eq!(domain(&crate::tables::MASTER.defaults()).unwrap(), None);
    }

    #[test]
    fn flags_reach_the_allocator_or_are_refused_by_name() {
        let made = options(&with("min_allocatable_resources", "cpus:1;mem:64|disk:10")).unwrap();
        assert_eq!(
            made.min_allocatable,
            [vec![("cpus".to_owned(), 1000), ("mem".to_owned(), 64_000)], vec![("disk".to_owned(), 10_000)]]
        );
        let made = options(&with("fair_sharing_excluded_resource_names", "gpus,disk")).unwrap();
        assert_eq!(made.excluded_from_share, ["gpus", "disk"]);
        let second = options(&with("allocation_interval", "1secs")).unwrap().interval;
        assert_eq!(second, Some(Duration::from_secs(1)));
        assert_eq!(options(&with("framework_sorter", "random")).unwrap().framework_order, Order::Random);
        for (name, value) in
            [("role_sorter", "fifo"), ("min_allocatable_resources", "ports:[1-2]"), ("domain", "eu")]
        {
            let values = with(name, value);
            let why = options(&values).map(|_| ()).and_then(|()| domain(&values).map(|_| ())).unwrap_err();
            assert!(format!("{why:#}").contains(&format!("--{name}")), "{why:#}");
        }
        let values = with("domain", r#"{"fault_domain":{"region":{"name":"eu"},"zone":{"name":"eu-1"}}}"#);
        let region = domain(&values).unwrap().unwrap().fault_domain.unwrap().region;
        assert_eq!(region.name, "eu");
    }
}
