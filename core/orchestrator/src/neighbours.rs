//! Which apps want to be beside which on an agent, and which do not; and what an app would like without insisting. Pure.
//!
//! `@app` in a constraint means the apps that have an instance on the agent. Who keeps away from another is kept away from
//! by that other too, whichever comes first.

use crate::constraints::{Constraint, Counts, Place};
use api::marathon::Pattern;
use std::collections::BTreeMap;

/// The field that means them.
pub const APP: &str = "@app";

/// Whom an app wants on its agent, or does not.
#[derive(Clone, Debug)]
pub struct Beside {
    wanted: bool,
    who: Result<Pattern, String>,
}

impl Beside {
    /// From the operator and the value of a constraint on `@app`.
    pub fn parse(operator: &str, value: Option<&str>) -> Self {
        let value = value.unwrap_or_default();
        let who = match operator.to_ascii_uppercase().as_str() {
            "LIKE" | "UNLIKE" => {
                Pattern::new(value).ok_or_else(|| format!("'{value}' is not a valid regular expression"))
            }
            other => Err(format!("{APP} takes LIKE or UNLIKE, not {other}")),
        };
        Self { wanted: operator.eq_ignore_ascii_case("LIKE"), who }
    }
    /// Why an app may not be with these; its own instances do not matter.
    pub fn refuses(&self, app: &str, there: &Neighbours) -> Option<String> {
        let who = match &self.who {
            Ok(who) => who,
            Err(why) => return Some(why.clone()),
        };
        let found = there.apps.keys().find(|other| *other != app && self.means(who, other));
        let said = who.as_str();
        match (self.wanted, found) {
            (false, Some(other)) => Some(format!("{other} is on the agent, like {said} ({APP} UNLIKE)")),
            (true, None) => Some(format!("no app like {said} is on the agent ({APP} LIKE)")),
            _ => None,
        }
    }
    /// Whether it wants somebody.
    pub(crate) fn wants(&self) -> bool {
        self.wanted
    }
    /// Whether this other app would do.
    pub(crate) fn likes(&self, app: &str) -> bool {
        self.who.as_ref().is_ok_and(|who| self.means(who, app))
    }
    /// Where it can't be found out, the answer is the one that refuses.
    fn means(&self, who: &Pattern, app: &str) -> bool {
        who.fits(app).unwrap_or(!self.wanted)
    }
    /// Whether another placement can only make it worse.
    pub fn is_final(&self) -> bool {
        !self.wanted
    }
}

/// Who has instances on an agent.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    apps: BTreeMap<String, u64>,
    /// Those of them who keep away from others.
    shy: Vec<(String, Beside)>,
}

impl Neighbours {
    /// One more instance.
    pub fn add(&mut self, app: &str, count: u64, rules: &[Beside]) {
        if self.apps.get(app).is_none_or(|there| *there == 0) {
            let shy = rules.iter().filter(|rule| !rule.wanted);
            self.shy.extend(shy.map(|rule| (app.to_owned(), rule.clone())));
        }
        *self.apps.entry(app.to_owned()).or_default() += count;
    }
    /// Who of them does not want this app.
    pub fn keep_away(&self, app: &str) -> Option<String> {
        let shy = self
            .shy
            .iter()
            .find(|(other, rule)| other != app && rule.who.as_ref().is_ok_and(|who| rule.means(who, app)));
        shy.map(|(other, _)| format!("{other} is on the agent, and keeps away from {app} ({APP} UNLIKE)"))
    }
}

/// Something that an app would like.
#[derive(Clone, Debug)]
pub struct Preference {
    /// What.
    pub liking: Liking,
    /// How much it counts.
    pub weight: u64,
}

/// What can be liked: all that can be insisted on.
#[derive(Clone, Debug)]
pub enum Liking {
    /// A place.
    Place(Constraint),
    /// Company.
    Beside(Beside),
}

impl Preference {
    /// From its parts.
    pub fn parse(field: &str, operator: &str, value: Option<&str>, weight: u64) -> Self {
        let liking = if field == APP {
            Liking::Beside(Beside::parse(operator, value))
        } else {
            Liking::Place(Constraint::parse(field, operator, value))
        };
        Self { liking, weight }
    }
    /// The field whose values are counted for it.
    pub fn field(&self) -> Option<&str> {
        match &self.liking {
            Liking::Place(constraint) => Some(&constraint.field),
            Liking::Beside(_) => None,
        }
    }
}

impl crate::spec::Spec {
    /// All that it insists on or would like of places.
    pub(crate) fn spread(&self) -> impl Iterator<Item = &Constraint> {
        let liked = self.preferences.iter().filter_map(|preference| match &preference.liking {
            Liking::Place(constraint) => Some(constraint),
            Liking::Beside(_) => None,
        });
        self.constraints.iter().chain(liked)
    }
}

/// How much of what an app would like a place has; `counts` are those of its preferences.
pub fn liked(
    app: &str,
    preferences: &[Preference],
    place: &Place,
    counts: &[Counts],
    wanted: u64,
    there: &Neighbours,
) -> u64 {
    let has = |(preference, counts): &(&Preference, &Counts)| match &preference.liking {
        Liking::Place(constraint) => {
            constraint.refuses(place.value(&constraint.field), counts, wanted).is_none()
        }
        Liking::Beside(beside) => beside.refuses(app, there).is_none(),
    };
    preferences.iter().zip(counts).filter(has).map(|(preference, _)| preference.weight).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn company_by_table() {
        let mut there = Neighbours::default();
        there.add("/db", 1, &[Beside::parse("UNLIKE", Some("/web.*"))]);
        there.add("/cache", 1, &[]);
        for (app, operator, value, fits) in [
            ("/x", "UNLIKE", "/db", false),
            ("/x", "UNLIKE", "/d", true),
            ("/db", "UNLIKE", "/db", true),
            ("/x", "LIKE", "/cache|/none", true),
            ("/x", "LIKE", "/none", false),
            ("/x", "LIKE", "(", false),
            ("/x", "UNIQUE", "/none", false),
        ] {
            let refusal = Beside::parse(operator, Some(value)).refuses(app, &there);
            assert_eq!(refusal.is_none(), fits, "{app} {operator} {value}: {refusal:?}");
        }
        assert!(there.keep_away("/web-1").is_some() && there.keep_away("/x").is_none());
    }

    #[test]
    fn likings_add_up() {
        let place = Place {
            hostname: "h".into(),
            attributes: [("rack".to_owned(), "a".to_owned())].into(),
            ..Place::default()
        };
        let all = [
            Preference::parse("rack", "IS", Some("a"), 5),
            Preference::parse("rack", "IS", Some("b"), 7),
            Preference::parse("rack", "GROUP_BY", None, 2),
            Preference::parse(APP, "LIKE", Some("/db"), 1),
        ];
        let mut there = Neighbours::default();
        there.add("/db", 1, &[]);
        let none = vec![Counts::new(); 4];
        assert_eq!(liked("/a", &all, &place, &none, 4, &there), 8);
        let full: Counts = [("a".to_owned(), 2), ("b".to_owned(), 1)].into();
        assert_eq!(liked("/a", &all, &place, &vec![full; 4], 4, &Neighbours::default()), 5);
    }
}
