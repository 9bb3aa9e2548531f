//! Whether an agent may take one more instance of an app, by the app's constraints. Pure; counts are handed in.

use api::marathon::Pattern;
use model::mesos::{self, value};
use std::collections::BTreeMap;

/// How many instances have each value of a field.
pub type Counts = BTreeMap<String, u64>;

/// A constraint, ready to be asked.
#[derive(Clone, Debug)]
pub struct Constraint {
    /// `hostname`, `@region`, `@zone` or the name of an attribute.
    pub field: String,
    rule: Rule,
}

#[derive(Clone, Debug)]
enum Rule {
    Unique,
    Cluster(Option<String>),
    GroupBy(Option<u64>),
    Like(Pattern),
    Unlike(Pattern),
    MaxPer(u64),
    Is(String),
    Broken(String),
}

/// What an agent offers to constraints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The agent's id.
    pub agent: String,
    /// The agent's host name.
    pub hostname: String,
    /// Its region.
    pub region: Option<String>,
    /// Its zone.
    pub zone: Option<String>,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
}

impl Place {
    /// The place of an offer.
    pub fn of(offer: &mesos::Offer) -> Self {
        let fault = offer.domain.as_ref().and_then(|domain| domain.fault_domain.as_ref());
        Self {
            agent: offer.agent_id.value.clone(),
            hostname: offer.hostname.clone(),
            region: fault.map(|domain| domain.region.name.clone()),
            zone: fault.map(|domain| domain.zone.name.clone()),
            attributes: offer.attributes.iter().map(|a| (a.name.clone(), attribute_text(a))).collect(),
        }
    }
    /// The value of a field, if this place has it.
    pub fn value(&self, field: &str) -> Option<&str> {
        match field {
            "hostname" | "@hostname" => Some(&self.hostname),
            "@agent" => Some(&self.agent),
            "@region" => self.region.as_deref(),
            "@zone" => self.zone.as_deref(),
            _ => self.attributes.get(field).map(String::as_str),
        }
    }
}

/// A scalar as text: at most three decimals, no zeros at the end.
pub fn scalar_text(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn attribute_text(attribute: &mesos::Attribute) -> String {
    match value::Type::try_from(attribute.r#type) {
        Ok(value::Type::Scalar) => {
            attribute.scalar.as_ref().map_or_else(String::new, |s| scalar_text(s.value))
        }
        Ok(value::Type::Text) => attribute.text.as_ref().map_or_else(String::new, |t| t.value.clone()),
        Ok(value::Type::Set) => {
            let items = attribute.set.as_ref().map_or(&[][..], |set| &set.item);
            format!("{{{}}}", items.join(","))
        }
        Ok(value::Type::Ranges) => {
            let ranges = attribute.ranges.as_ref().map_or(&[][..], |ranges| &ranges.range);
            let texts: Vec<_> = ranges.iter().map(|r| format!("{}-{}", r.begin, r.end)).collect();
            format!("[{}]", texts.join(","))
        }
        Err(_) => String::new(),
    }
}

impl Constraint {
    /// From `[field, operator]` or `[field, operator, value]`. What makes no sense refuses every agent and says why.
    pub fn parse(field: &str, operator: &str, value: Option<&str>) -> Self {
        let number = |value: &str| value.parse::<u64>().map_err(|_| format!("'{value}' is not a number"));
        let regex = |value: Option<&str>| {
            let value = value.unwrap_or_default();
            Pattern::new(value).ok_or_else(|| format!("'{value}' is not a valid regular expression"))
        };
        let rule = match operator.to_ascii_uppercase().as_str() {
            "UNIQUE" => Ok(Rule::Unique),
            "CLUSTER" => Ok(Rule::Cluster(value.filter(|v| !v.is_empty()).map(str::to_owned))),
            "GROUP_BY" => value.filter(|v| !v.is_empty()).map(number).transpose().map(Rule::GroupBy),
            "LIKE" => regex(value).map(Rule::Like),
            "UNLIKE" => regex(value).map(Rule::Unlike),
            "MAX_PER" => number(value.unwrap_or_default()).map(Rule::MaxPer),
            "IS" => Ok(Rule::Is(value.unwrap_or_default().to_owned())),
            other => Err(format!("unknown operator {other}")),
        };
        Self { field: field.to_owned(), rule: rule.unwrap_or_else(Rule::Broken) }
    }

    /// Whether the refusal of an agent can change while instances are placed elsewhere.
    pub fn evens_out(&self) -> bool {
        matches!(self.rule, Rule::GroupBy(_))
    }

    /// Why a place with this value may not take one more of `wanted` instances; none if it may.
    pub fn refuses(&self, value: Option<&str>, placed: &Counts, wanted: u64) -> Option<String> {
        let field = &self.field;
        if let Rule::Broken(why) = &self.rule {
            return Some(format!("{field}: {why}"));
        }
        let Some(value) = value else {
            let missing = || format!("the agent has no {field}");
            return (!matches!(self.rule, Rule::Unlike(_))).then(missing);
        };
        let here = placed.get(value).copied().unwrap_or(0);
        let ok = match &self.rule {
            Rule::Unique => here == 0,
            Rule::Cluster(Some(want)) => same(want, value),
            Rule::Cluster(None) => placed.is_empty() || here > 0,
            // what can't be found out refuses
            Rule::Like(pattern) => pattern.fits(value) == Some(true),
            Rule::Unlike(pattern) => pattern.fits(value) == Some(false),
            Rule::MaxPer(most) => here < *most,
            Rule::Is(want) => same(want, value),
            Rule::GroupBy(groups) => even(here, placed, *groups, wanted),
            Rule::Broken(_) => false,
        };
        let why = || match &self.rule {
            Rule::Unique => format!("{field} {value} has an instance already (UNIQUE)"),
            Rule::Cluster(Some(want)) | Rule::Is(want) => format!("{field} is {value}, not {want}"),
            Rule::Cluster(None) => format!("{field} {value} is not where the others are (CLUSTER)"),
            Rule::Like(pattern) => format!("{field} {value} is not like {}", pattern.as_str()),
            Rule::Unlike(pattern) => format!("{field} {value} is like {}", pattern.as_str()),
            Rule::MaxPer(most) => format!("{field} {value} has {here} instances of at most {most} (MAX_PER)"),
            Rule::GroupBy(_) => format!("{field} {value} has {here} instances, others have fewer (GROUP_BY)"),
            Rule::Broken(why) => why.clone(),
        };
        (!ok).then(why)
    }
}

fn same(want: &str, value: &str) -> bool {
    want == value || want.parse::<f64>().is_ok_and(|number| scalar_text(number) == value)
}

/// With a number of groups: at most an equal share for each, up to that many groups; without: a new group, or one
/// that has fewest.
fn even(here: u64, placed: &Counts, groups: Option<u64>, wanted: u64) -> bool {
    match groups.filter(|groups| *groups > 0) {
        Some(groups) => {
            let share = wanted.div_ceil(groups).max(1);
            here < share && (here > 0 || (placed.len() as u64) < groups)
        }
        None => here == 0 || placed.values().min().is_some_and(|least| here <= *least),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators() {
        let none = Counts::new();
        let some: Counts = [("a".to_owned(), 2), ("b".to_owned(), 1)].into();
        // operator, argument, the agent's value, placed, of how many, accepted
        for (operator, argument, value, placed, wanted, accepted) in [
            ("UNIQUE", None, Some("a"), &none, 3, true),
            ("UNIQUE", None, Some("a"), &some, 3, false),
            ("UNIQUE", None, None, &none, 3, false),
            ("CLUSTER", Some("a"), Some("a"), &none, 3, true),
            ("CLUSTER", Some("a"), Some("b"), &none, 3, false),
            ("CLUSTER", None, Some("c"), &none, 3, true),
            ("CLUSTER", None, Some("c"), &some, 3, false),
            ("GROUP_BY", None, Some("c"), &some, 9, true),
            ("GROUP_BY", None, Some("b"), &some, 9, true),
            ("GROUP_BY", None, Some("a"), &some, 9, false),
            ("GROUP_BY", Some("2"), Some("b"), &some, 4, true),
            ("GROUP_BY", Some("2"), Some("a"), &some, 4, false),
            ("GROUP_BY", Some("2"), Some("c"), &some, 4, false),
            ("LIKE", Some("a|b"), Some("b"), &none, 1, true),
            ("LIKE", Some("a|b"), Some("bb"), &none, 1, false),
            ("LIKE", Some("(?!b).*"), Some("a"), &none, 1, true),
            ("LIKE", Some("(?!b).*"), Some("b"), &none, 1, false),
            ("LIKE", Some("a.*"), None, &none, 1, false),
            ("UNLIKE", Some("a.*"), Some("ab"), &none, 1, false),
            ("UNLIKE", Some("a.*"), Some("b"), &none, 1, true),
            ("UNLIKE", Some("a.*"), None, &none, 1, true),
            ("unlike", Some("("), Some("b"), &none, 1, false),
            ("MAX_PER", Some("2"), Some("b"), &some, 9, true),
            ("MAX_PER", Some("2"), Some("a"), &some, 9, false),
            ("MAX_PER", Some("x"), Some("a"), &none, 9, false),
            ("IS", Some("a"), Some("a"), &none, 1, true),
            ("IS", Some("1.50"), Some("1.5"), &none, 1, true),
            ("IS", Some("2"), Some("1"), &none, 1, false),
            ("NEAR", None, Some("1"), &none, 1, false),
        ] {
            let constraint = Constraint::parse("rack", operator, argument);
            let refusal = constraint.refuses(value, placed, wanted);
            assert_eq!(refusal.is_none(), accepted, "{operator} {argument:?} {value:?}: {refusal:?}");
        }
    }

    #[test]
    fn attributes_as_text() {
        assert_eq!(scalar_text(1.0), "1");
        assert_eq!(scalar_text(1.25), "1.25");
        assert_eq!(scalar_text(100.0), "100");
        let offer = mesos::Offer {
            hostname: "h".into(),
            attributes: vec![mesos::Attribute {
                name: "disks".into(),
                r#type: value::Type::Set as i32,
                set: Some(mesos::value::Set { item: vec!["a".into(), "b".into()] }),
                ..Default::default()
            }],
            ..Default::default()
        };
        let place = Place::of(&offer);
        assert_eq!(place.value("@hostname"), Some("h"));
        assert_eq!(place.value("disks"), Some("{a,b}"));
        assert_eq!(place.value("@zone"), None);
    }
}
