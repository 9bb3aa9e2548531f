//! Offer constraints: which agents a framework wants to hear of, by their attributes, role by role.
//!
//! Semantics and limits: apache/mesos@c1b42f79:src/master/allocator/mesos/offer_constraints_filter.cpp. Never reads
//! resources.

use model::mesos::{
    Attribute,
    scheduler::{AttributeConstraint, OfferConstraints, attribute_constraint},
    value,
};
use regex::{Regex, RegexBuilder};
use std::collections::BTreeMap;

/// Bytes that one compiled expression may take: hostile expressions are refused, not run.
const REGEX_BYTES_MAX: usize = 64 * 1024;
/// Characters of one expression, about upstream's limit of a program of 100 instructions.
const REGEX_CHARS_MAX: usize = 1024;

/// Of one framework: for each role the groups of which one must hold as a whole.
#[derive(Clone, Debug)]
pub struct Constraints {
    said: OfferConstraints,
    roles: BTreeMap<String, Vec<Vec<Constraint>>>,
}

impl PartialEq for Constraints {
    fn eq(&self, other: &Self) -> bool {
        self.said == other.said
    }
}

/// What is known of an agent beside its resources.
#[derive(Clone, Debug, Default)]
pub struct Traits {
    /// Its name.
    pub hostname: String,
    /// Its region, if it says so.
    pub region: Option<String>,
    /// Its zone, if it says so.
    pub zone: Option<String>,
    /// Its attributes; of a name the first counts.
    pub attributes: Vec<Attribute>,
}

#[derive(Clone, Debug)]
struct Constraint {
    selector: Selector,
    predicate: Predicate,
}

#[derive(Clone, Debug)]
enum Selector {
    Attribute(String),
    Hostname,
    Region,
    Zone,
}

#[derive(Clone, Debug)]
enum Predicate {
    Exists,
    NotExists,
    Equals(String),
    NotEquals(String),
    Matches(Regex),
    NotMatches(Regex),
}

/// What a selector finds.
enum Found<'a> {
    Nothing,
    Text(&'a str),
    /// An attribute that is no text: predicates on texts hold for it.
    Other,
}

impl Constraints {
    /// Of what a framework said, or what is wrong with it.
    pub fn new(said: &OfferConstraints) -> Result<Self, String> {
        let mut roles = BTreeMap::new();
        let mut sorted: Vec<_> = said.role_constraints.iter().collect();
        sorted.sort_by_key(|(role, _)| *role);
        for (role, constraints) in sorted {
            if constraints.groups.is_empty() {
                return Err(format!(
                    "'OfferConstraints::role_constraints' has an empty 'RoleConstraints::groups' for role {role}"
                ));
            }
            let mut groups = Vec::new();
            for group in &constraints.groups {
                if group.attribute_constraints.is_empty() {
                    // The absent space is upstream's.
                    return Err(format!(
                        "'OfferConstraints::RoleConstraints::groups' for role {role}contains an empty \
                         RoleConstraints::Group"
                    ));
                }
                let read =
                    group.attribute_constraints.iter().map(Constraint::new).collect::<Result<Vec<_>, _>>();
                groups.push(
                    read.map_err(|why| format!("A role {role} has an invalid 'AttributeConstraint': {why}"))?,
                );
            }
            roles.insert(role.clone(), groups);
        }
        Ok(Self { said: said.clone(), roles })
    }
    /// As the framework said them.
    pub fn said(&self) -> &OfferConstraints {
        &self.said
    }
    /// Whether they say anything of a role.
    pub(super) fn concern(&self, role: &str) -> bool {
        self.roles.contains_key(role)
    }
    /// Whether they ask for an agent's host name in a role.
    pub(super) fn ask_for_names(&self, role: &str) -> bool {
        let mut all = self.roles.get(role).into_iter().flatten().flatten();
        all.any(|constraint| matches!(constraint.selector, Selector::Hostname))
    }
    /// Whether an agent may be offered in a role.
    pub fn admit(&self, role: &str, agent: &Traits) -> bool {
        let Some(groups) = self.roles.get(role) else { return true };
        groups.iter().any(|group| group.iter().all(|constraint| constraint.holds(agent)))
    }
}

impl Constraint {
    fn new(said: &AttributeConstraint) -> Result<Self, String> {
        use attribute_constraint::selector::PseudoattributeType as Pseudo;
        let selector = match (&said.selector.attribute_name, said.selector.pseudoattribute_type) {
            (Some(name), None) => Selector::Attribute(name.clone()),
            (None, Some(kind)) => match Pseudo::try_from(kind) {
                Ok(Pseudo::Hostname) => Selector::Hostname,
                Ok(Pseudo::Region) => Selector::Region,
                Ok(Pseudo::Zone) => Selector::Zone,
                Ok(Pseudo::Unknown) | Err(_) => return Err("Unknown pseudoattribute type".to_owned()),
            },
            _ => {
                return Err("Exactly one of 'AttributeConstraint::Selector::name' or \
                            'AttributeConstraint::Selector::pseudoattribute_type' must be set"
                    .to_owned());
            }
        };
        let p = &said.predicate;
        let mut given = Vec::new();
        given.extend(p.exists.iter().map(|_| Ok(Predicate::Exists)));
        given.extend(p.not_exists.iter().map(|_| Ok(Predicate::NotExists)));
        given.extend(p.text_equals.iter().map(|t| Ok(Predicate::Equals(t.value.clone()))));
        given.extend(p.text_not_equals.iter().map(|t| Ok(Predicate::NotEquals(t.value.clone()))));
        given.extend(p.text_matches.iter().map(|t| whole(&t.regex).map(Predicate::Matches)));
        given.extend(p.text_not_matches.iter().map(|t| whole(&t.regex).map(Predicate::NotMatches)));
        match given.pop() {
            Some(predicate) if given.is_empty() => Ok(Self { selector, predicate: predicate? }),
            _ => Err("Unknown predicate type".to_owned()),
        }
    }
    fn holds(&self, agent: &Traits) -> bool {
        let found = match &self.selector {
            Selector::Hostname => Found::Text(&agent.hostname),
            Selector::Region => agent.region.as_deref().map_or(Found::Nothing, Found::Text),
            Selector::Zone => agent.zone.as_deref().map_or(Found::Nothing, Found::Text),
            Selector::Attribute(name) => match agent.attributes.iter().find(|a| a.name == *name) {
                None => Found::Nothing,
                Some(attribute) if attribute.r#type() == value::Type::Text => {
                    Found::Text(attribute.text.as_ref().map_or("", |t| t.value.as_str()))
                }
                Some(_) => Found::Other,
            },
        };
        match (&self.predicate, found) {
            (Predicate::Exists, found) => !matches!(found, Found::Nothing),
            (Predicate::NotExists, found) => matches!(found, Found::Nothing),
            (_, Found::Other) => true,
            (Predicate::Equals(_) | Predicate::Matches(_), Found::Nothing) => false,
            (Predicate::NotEquals(_) | Predicate::NotMatches(_), Found::Nothing) => true,
            (Predicate::Equals(value), Found::Text(text)) => text == value,
            (Predicate::NotEquals(value), Found::Text(text)) => text != value,
            (Predicate::Matches(regex), Found::Text(text)) => regex.is_match(text),
            (Predicate::NotMatches(regex), Found::Text(text)) => !regex.is_match(text),
        }
    }
}

/// An expression that must match from end to end.
fn whole(pattern: &str) -> Result<Regex, String> {
    if pattern.chars().count() > REGEX_CHARS_MAX {
        return Err(format!(
            "Regex '{pattern}' is too complex: it is longer than the maximum of {REGEX_CHARS_MAX} characters allowed"
        ));
    }
    // The pattern alone first: what closes the group below must not pass.
    let build = |text: &str| RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build();
    build(pattern).and_then(|_| build(&format!("^(?:{pattern})$"))).map_err(|error| {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("Failed to construct regex from pattern '{pattern}': {why}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::mesos::scheduler::offer_constraints::{RoleConstraints, role_constraints::Group};

    fn constraint(
        selector: &str,
        fill: impl FnOnce(&mut attribute_constraint::Predicate),
    ) -> AttributeConstraint {
        use attribute_constraint::selector::PseudoattributeType as Pseudo;
        let mut made = AttributeConstraint::default();
        match selector {
            "HOSTNAME" => made.selector.pseudoattribute_type = Some(Pseudo::Hostname.into()),
            "ZONE" => made.selector.pseudoattribute_type = Some(Pseudo::Zone.into()),
            name => made.selector.attribute_name = Some(name.to_owned()),
        }
        fill(&mut made.predicate);
        made
    }

    fn of(groups: Vec<Vec<AttributeConstraint>>) -> Result<Constraints, String> {
        let groups =
            groups.into_iter().map(|attribute_constraints| Group { attribute_constraints }).collect();
        let role_constraints = [("r".to_owned(), RoleConstraints { groups })].into_iter().collect();
        Constraints::new(&OfferConstraints { role_constraints })
    }

    fn matches(pattern: &str) -> AttributeConstraint {
        constraint("rack", |p| {
            p.text_matches = Some(attribute_constraint::predicate::TextMatches { regex: pattern.to_owned() });
        })
    }

    fn agent(rack: &str) -> Traits {
        let mut text = Attribute { name: "rack".into(), ..Default::default() };
        text.set_type(value::Type::Text);
        text.text = Some(value::Text { value: rack.to_owned() });
        let mut number = Attribute { name: "level".into(), ..Default::default() };
        number.set_type(value::Type::Scalar);
        Traits { hostname: "h".into(), attributes: vec![text, number], ..Default::default() }
    }

    #[test]
    fn one_group_must_hold_as_a_whole() {
        let on_host = |name: &str| {
            let value = name.to_owned();
            constraint("HOSTNAME", |p| {
                p.text_equals = Some(attribute_constraint::predicate::TextEquals { value });
            })
        };
        let made = of(vec![vec![matches("r[12]"), on_host("h")], vec![on_host("other")]]).unwrap();
        assert!(made.admit("r", &agent("r1")) && !made.admit("r", &agent("r3")));
        assert!(!made.admit("r", &agent("r12")), "a match is of the whole text");
        assert!(made.admit("other role", &agent("r3")), "a role without constraints takes all");
        let either = of(vec![vec![matches("a|b")]]).unwrap();
        assert!(either.admit("r", &agent("b")) && !either.admit("r", &agent("ab")));
    }

    #[test]
    fn what_is_absent_or_no_text() {
        let exists =
            |name: &str| of(vec![vec![constraint(name, |p| p.exists = Some(Default::default()))]]).unwrap();
        assert!(exists("level").admit("r", &agent("x")) && !exists("ZONE").admit("r", &agent("x")));
        let level = constraint("level", |p| {
            p.text_equals = Some(attribute_constraint::predicate::TextEquals { value: "9".into() });
        });
        assert!(
            of(vec![vec![level]]).unwrap().admit("r", &agent("x")),
            "predicates on texts hold for numbers"
        );
        let absent = constraint("none", |p| {
            p.text_not_matches = Some(attribute_constraint::predicate::TextNotMatches { regex: ".*".into() });
        });
        assert!(of(vec![vec![absent]]).unwrap().admit("r", &agent("x")));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        assert!(of(vec![]).unwrap_err().contains("has an empty 'RoleConstraints::groups' for role r"));
        assert!(of(vec![vec![]]).unwrap_err().contains("contains an empty RoleConstraints::Group"));
        assert!(
            of(vec![vec![matches("(")]]).unwrap_err().contains("Failed to construct regex from pattern '('")
        );
        assert!(of(vec![vec![matches("a)|(b")]]).is_err());
        assert!(of(vec![vec![matches("(((a{100}){100}){100})")]]).is_err(), "too large when compiled");
        assert!(of(vec![vec![matches(&"a".repeat(2000))]]).unwrap_err().contains("too complex"));
        assert!(of(vec![vec![constraint("x", |_| ())]]).unwrap_err().contains("Unknown predicate type"));
        assert!(of(vec![vec![AttributeConstraint::default()]]).unwrap_err().contains("Exactly one of"));
    }
}
