//! Definitions made from the tables of fields by a seed, some of them wrong in places that are known: for tests and
//! fuzzing. Never used by what runs.

use super::{
    fields,
    pod_fields::POD,
    shape::{Field, Form, Need, Shape},
};
use base::Rng;
use serde_json::{Map, Value, json};

/// A definition.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What a client would send.
    pub value: Value,
    /// The paths of what was made wrong: too small, too large, of a wrong type or a wrong form.
    pub wrong: Vec<String>,
}

/// Of what a sample is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `/v2/apps`
    App,
    /// `/v2/pods`
    Pod,
}

/// A definition with a share of the fields that it may have, and a share of all values made wrong. What the values say
/// together may be wrong besides.
pub fn sample(kind: Kind, rng: &mut Rng, share: f64, faults: f64) -> Sample {
    let table = match kind {
        Kind::App => fields::APP,
        Kind::Pod => POD,
    };
    let mut maker = Maker { rng, share, wrong: Vec::new() };
    let value = maker.object(table, "", faults);
    Sample { value: Value::Object(value), wrong: maker.wrong }
}

/// Items of a list or a table.
const ITEMS_MAX: u64 = 3;
const TEXTS: &[&str] = &[
    "a",
    "sleep 1",
    "",
    "0",
    "hostname",
    "UNIQUE",
    "LIKE",
    "rack-[1-3]",
    "*",
    "ü ✓",
    "$PORT0",
    "http://h/x.tgz",
    "a/b",
    "x=y",
    "{{}}",
    "host",
];
const NAMES: &[&str] = &["a", "web", "http-api", "x1", "data"];
const INSTANTS: &[&str] = &["2020-01-31T00:00:00.000Z", "2021-06-01T12:30:00.607+02:00", "2022-02-28t01:02z"];
const PATHS: &[&str] = &["/a", "a/b", "/prod/db", "../c", "/x-1/y.z"];

struct Maker<'a> {
    rng: &'a mut Rng,
    share: f64,
    wrong: Vec<String>,
}

impl Maker<'_> {
    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.rng.below(from.len() as u64) as usize]
    }

    fn object(&mut self, fields: &[Field], at: &str, faults: f64) -> Map<String, Value> {
        let mut map = Map::new();
        for field in fields {
            if matches!(field.need, Need::Must) || self.rng.unit() < self.share {
                map.insert(
                    field.name.to_owned(),
                    self.value(field.shape, &format!("{at}/{}", field.name), faults),
                );
            }
        }
        map
    }

    fn value(&mut self, shape: &Shape, at: &str, faults: f64) -> Value {
        if self.rng.unit() < faults
            && let Some(wrong) = self.wrong_value(shape)
        {
            self.wrong.push(at.to_owned());
            return wrong;
        }
        match shape {
            Shape::Text(least, most, form) => self.text(*least, *most, *form),
            Shape::Number(least, most) => {
                let spread = if self.rng.below(4) == 0 { *most - *least } else { (*most - *least).min(8.0) };
                let number = least + self.rng.unit() * spread;
                json!((number * 1000.0).ceil().min(most * 1000.0) / 1000.0)
            }
            Shape::Whole(least, most) => {
                let spread = if self.rng.below(4) == 0 { *most - *least } else { (*most - *least).min(8.0) };
                json!((least + (self.rng.unit() * spread).floor()) as i64)
            }
            Shape::Flag => json!(self.rng.below(2) == 0),
            Shape::Word(words) => {
                let word = self.pick(words);
                if self.rng.below(4) == 0 { json!(word.to_lowercase()) } else { json!(word) }
            }
            Shape::List(item, least, _) => {
                let count = *least as u64 + self.rng.below(ITEMS_MAX);
                (0..count).map(|i| self.value(item, &format!("{at}({i})"), faults)).collect()
            }
            Shape::Table(item) => {
                let keys: Vec<&str> = (0..self.rng.below(ITEMS_MAX)).map(|_| self.pick(NAMES)).collect();
                let mut map = Map::new();
                for key in keys {
                    if !map.contains_key(key) {
                        map.insert(key.to_owned(), self.value(item, &format!("{at}/{key}"), faults));
                    }
                }
                Value::Object(map)
            }
            Shape::Object(fields) => Value::Object(self.object(fields, at, faults)),
            Shape::Instant => json!(self.pick(INSTANTS)),
            // which of several shapes is meant can't be told of a wrong value
            Shape::Either(shapes) => {
                let one = shapes[self.rng.below(shapes.len() as u64) as usize];
                self.value(one, at, 0.0)
            }
            Shape::Keyed(shapes) => {
                let (_, one) = shapes[self.rng.below(shapes.len() as u64) as usize];
                self.value(one, at, 0.0)
            }
            Shape::Tagged(field, word, first, second) => {
                let (shape, is_first) = if self.rng.below(2) == 0 { (first, true) } else { (second, false) };
                let mut value = self.value(shape, at, 0.0);
                if let Some(map) = value.as_object_mut() {
                    let said = map.get(*field).and_then(Value::as_str);
                    if is_first {
                        map.insert((*field).to_owned(), json!(word));
                    } else if said.is_some_and(|said| said.eq_ignore_ascii_case(word)) {
                        map.remove(*field);
                    }
                }
                value
            }
        }
    }

    fn text(&mut self, least: usize, most: usize, form: Form) -> Value {
        let text = match form {
            Form::Any => self.pick(TEXTS),
            Form::Path => self.pick(PATHS),
            Form::Name | Form::NetworkName => self.pick(NAMES),
            Form::Executor => self.pick(&["", "//cmd", "/x/y"]),
        };
        let text = if text.chars().count() < least { "a" } else { text };
        let long = matches!(form, Form::Any) && self.rng.below(40) == 0;
        if long { json!("x".repeat(most.min(2_000).max(least))) } else { json!(text) }
    }

    /// A value that this shape can't take, whatever stands around it.
    fn wrong_value(&mut self, shape: &Shape) -> Option<Value> {
        let by_type = self.rng.below(2) == 0;
        Some(match shape {
            Shape::Text(..) if by_type => json!([1]),
            Shape::Text(least, _, Form::Any) if *least > 0 => json!(""),
            Shape::Text(_, most, Form::Any) if *most < 10_000 => json!("x".repeat(most + 1)),
            Shape::Text(_, _, Form::Any) => json!("a\0"),
            Shape::Text(_, _, Form::Path) => json!("/A_B"),
            Shape::Text(_, _, Form::Name | Form::NetworkName) => json!("-A-"),
            Shape::Text(_, _, Form::Executor) => json!("/a//"),
            Shape::Number(..) | Shape::Whole(..) if by_type => json!("many"),
            Shape::Number(least, _) => json!(least - 1.0),
            Shape::Whole(..) if self.rng.below(2) == 0 => json!(1.5),
            Shape::Whole(least, _) => json!(*least as i64 - 1),
            Shape::Flag => json!("yes"),
            Shape::Word(_) if by_type => json!(7),
            Shape::Word(_) => json!("NO_SUCH_WORD"),
            Shape::List(..) => json!({}),
            Shape::Table(_) | Shape::Object(_) => json!([]),
            Shape::Instant if by_type => json!(7),
            Shape::Instant => json!("yesterday"),
            Shape::Either(_) | Shape::Tagged(..) | Shape::Keyed(_) => return None,
        })
    }
}
