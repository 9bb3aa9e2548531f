//! Amounts of resources as quotas and roles count them. Never what they are allowed to be (`quota`).

use model::{
    mesos::{Resource, value::Scalar},
    resources::{Resources, to_float},
};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

/// Amounts by name, in thousandths: what quotas and roles are counted in. Ranges count their length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quantities(pub BTreeMap<String, i64>);

impl Quantities {
    /// Of a quota's map.
    pub fn of(map: &HashMap<String, Scalar>) -> Self {
        Self(map.iter().map(|(name, s)| (name.clone(), (s.value * 1000.0).round() as i64)).collect())
    }
    /// Adds what these resources amount to, as far as they are resources.
    pub fn add_messages(&mut self, resources: &[Resource]) {
        for resource in resources {
            if let Ok(one) = Resources::from_messages(std::slice::from_ref(resource)) {
                self.add(&one);
            }
        }
    }
    /// Adds what these resources amount to.
    pub fn add(&mut self, resources: &Resources) {
        for item in resources {
            let amount = item.amount.quantity();
            if amount != 0 {
                let sum = self.0.entry(item.kind.name().as_str().to_owned()).or_default();
                *sum = sum.saturating_add(amount);
            }
        }
    }
    /// Adds amounts.
    pub fn add_all(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let sum = self.0.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }
    /// Takes amounts away, at most what there is.
    pub fn cut(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            if let Some(sum) = self.0.get_mut(name) {
                *sum = (*sum - amount).max(0);
            }
        }
        self.0.retain(|_, amount| *amount > 0);
    }
    /// Whether at least as much of everything is here.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|(name, amount)| *amount <= 0 || self.0.get(name).is_some_and(|own| own >= amount))
    }
    /// As limits: what is not named is unlimited.
    pub fn limits(&self, used: &Self) -> bool {
        used.0.iter().all(|(name, amount)| self.0.get(name).is_none_or(|own| own >= amount))
    }
}

impl fmt::Display for Quantities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("{}");
        }
        for (at, (name, milli)) in self.0.iter().enumerate() {
            write!(f, "{}{name}:{}", if at > 0 { "; " } else { "" }, to_float(*milli))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_range_has_an_amount() {
        let all = Resources::parse("cpus:1.5;ports:[0-18446744073709551614]", "*").unwrap();
        let mut sum = Quantities::default();
        for _ in 0..3 {
            sum.add_messages(&all.to_messages());
        }
        assert_eq!((sum.0["cpus"], sum.0["ports"]), (4500, i64::MAX));
    }
}
