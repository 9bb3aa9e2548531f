//! The shape of a definition as a table of fields: reads a JSON value by it, with defaults, bounds and spelling.
//!
//! Never what fields mean together (`validate`), nor older forms (`old`). Unknown fields are dropped, as upstream does.

use super::{errors::Violation, instant::instant, path::is_path};
use serde_json::{Map, Value};

/// What a value must look like.
#[derive(Debug)]
pub(super) enum Shape {
    /// A text of so many characters, that fits.
    Text(usize, usize, Form),
    /// A number between two bounds.
    Number(f64, f64),
    /// The same, without a fraction.
    Whole(f64, f64),
    /// True or false.
    Flag,
    /// One of these, whatever the case.
    Word(&'static [&'static str]),
    /// A list of at least so many items; `true` = no two alike.
    List(&'static Shape, usize, bool),
    /// An object with any keys.
    Table(&'static Shape),
    /// An object with these keys.
    Object(&'static [Field]),
    /// The first of these that fits the type of the value.
    Either(&'static [&'static Shape]),
    /// Where this field is this word the first, else the second.
    Tagged(&'static str, &'static str, &'static Shape, &'static Shape),
    /// An object whose shape is told by which of these fields it has, the first that is there.
    Keyed(&'static [(&'static str, &'static Shape)]),
    /// A date and time with its offset.
    Instant,
}

/// Forms of texts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Any,
    Path,
    Name,
    NetworkName,
    Executor,
}

/// A field of an object.
#[derive(Debug)]
pub(super) struct Field {
    pub name: &'static str,
    pub shape: &'static Shape,
    pub need: Need,
}

/// Whether a field must be there, and what it is if not.
#[derive(Debug)]
pub(super) enum Need {
    Must,
    May,
    /// Not written where it is empty.
    Omit,
    /// This JSON.
    Or(&'static str),
}

pub(super) const fn must(name: &'static str, shape: &'static Shape) -> Field {
    Field { name, shape, need: Need::Must }
}
pub(super) const fn may(name: &'static str, shape: &'static Shape) -> Field {
    Field { name, shape, need: Need::May }
}
pub(super) const fn omit(name: &'static str, shape: &'static Shape) -> Field {
    Field { name, shape, need: Need::Omit }
}
pub(super) const fn or(name: &'static str, shape: &'static Shape, json: &'static str) -> Field {
    Field { name, shape, need: Need::Or(json) }
}

/// What was found wrong, and the paths of what could not be read: nothing is known of the values there (`holes`).
#[derive(Debug, Default)]
pub(super) struct Found {
    pub violations: Vec<Violation>,
    pub holes: Vec<String>,
}

impl Found {
    pub fn wrong_type(&mut self, path: &str, what: &str) {
        self.unreadable(path, format!("error.expected.{what}"));
    }
    fn unreadable(&mut self, path: &str, error: String) {
        self.holes.push(path.to_owned());
        self.violations.push(Violation::new(path, error));
    }
    /// The original's key, and for people what would be right.
    fn wrong_value(&mut self, path: &str, key: &str, advice: String) {
        self.violations.push(Violation::new(path, key));
        self.violations.push(Violation::new(path, advice));
    }
}

/// Reads an object. Without `whole` its own fields may be missing and get no defaults; those of objects in it do.
pub(super) fn object(
    fields: &[Field],
    map: Map<String, Value>,
    whole: bool,
    at: &str,
    found: &mut Found,
) -> Map<String, Value> {
    let mut map = map;
    let mut read = Map::new();
    for field in fields {
        let path = format!("{}/{}", at.trim_end_matches('/'), field.name);
        match map.remove(field.name).filter(|value| !value.is_null()) {
            Some(value) => {
                if let Some(value) = self::read(field.shape, value, &path, found) {
                    read.insert(field.name.to_owned(), value);
                }
            }
            None if !whole => {}
            None => match field.need {
                Need::Must => found.unreadable(&path, "error.path.missing".to_owned()),
                Need::Or(json) => {
                    let value = serde_json::from_str(json).unwrap_or(Value::Null);
                    // the default of an object has defaults of its own
                    if let Some(value) = self::read(field.shape, value, &path, found) {
                        read.insert(field.name.to_owned(), value);
                    }
                }
                Need::May | Need::Omit => {}
            },
        }
    }
    read
}

fn read(shape: &Shape, value: Value, at: &str, found: &mut Found) -> Option<Value> {
    match (shape, value) {
        (Shape::Text(least, most, form), Value::String(text)) => {
            let length = text.chars().count();
            if length < *least {
                found.wrong_value(
                    at,
                    "error.minLength",
                    format!("got {length} characters, expected {least} or more"),
                );
            } else if length > *most {
                found.wrong_value(
                    at,
                    "error.maxLength",
                    format!("got {length} characters, expected {most} or fewer"),
                );
            } else if !form.fits(&text) {
                found.wrong_value(at, "error.pattern", format!("'{text}' does not match {}", form.said()));
            } else if text.contains('\0') {
                found.wrong_value(at, "error.pattern", NUL.to_owned());
            }
            Some(Value::String(text))
        }
        (Shape::Number(least, most) | Shape::Whole(least, most), Value::Number(number)) => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            if matches!(shape, Shape::Whole(..)) && (number.fract() != 0.0 || number.abs() > WHOLE_MAX) {
                found.wrong_type(at, "int");
                return None;
            }
            if number < *least {
                found.wrong_value(at, "error.min", format!("got {number}, expected {least} or more"));
            } else if number > *most {
                found.wrong_value(at, "error.max", format!("got {number}, expected {most} or less"));
            }
            Some(plain(number))
        }
        (Shape::Flag, Value::Bool(flag)) => Some(Value::Bool(flag)),
        (Shape::Word(words), Value::String(text)) => {
            let word = words.iter().find(|word| word.eq_ignore_ascii_case(&text));
            if word.is_none() {
                let advice = format!("'{text}' is not one of {}", words.join(", "));
                found.holes.push(at.to_owned());
                found.wrong_value(at, "error.unknown.enum.literal", advice);
            }
            word.map(|word| Value::from(*word))
        }
        (Shape::List(item, least, unique), Value::Array(items)) => {
            // what can't be read leaves its place empty, so that the others keep their numbers
            let each = |(i, value)| read(item, value, &format!("{at}({i})"), found).unwrap_or(Value::Null);
            let mut items: Vec<Value> = items.into_iter().enumerate().map(each).collect();
            if items.len() < *least {
                found.wrong_value(at, "error.minLength", format!("expected {least} or more items"));
            }
            if *unique {
                let mut seen = Vec::new();
                for value in items {
                    if value.is_null() || !seen.contains(&value) {
                        seen.push(value);
                    }
                }
                items = seen;
            }
            Some(Value::Array(items))
        }
        (Shape::Table(item), Value::Object(entries)) => {
            let each = |(key, value): (String, Value)| {
                let path = format!("{at}/{key}");
                if key.contains('\0') {
                    found.wrong_value(&path, "error.pattern", NUL.to_owned());
                }
                Some((key, read(item, value, &path, found)?))
            };
            Some(Value::Object(entries.into_iter().filter_map(each).collect()))
        }
        (Shape::Object(fields), Value::Object(map)) => {
            Some(Value::Object(object(fields, map, true, at, found)))
        }
        // a word among other things: what is no such word is rather one of those gone wrong
        (
            Shape::Either([first @ (Shape::Whole(..) | Shape::Number(..)), Shape::Word(words)]),
            Value::String(text),
        ) if !words.iter().any(|word| word.eq_ignore_ascii_case(&text)) => {
            found.wrong_type(at, first.type_name());
            let advice = format!("'{text}' is neither a number nor {}", words.join(", "));
            found.violations.push(Violation::new(at, advice));
            None
        }
        (Shape::Either(shapes), value) => match shapes.iter().find(|shape| shape.takes(&value)) {
            Some(shape) => read(shape, value, at, found),
            None => {
                found.wrong_type(at, shapes.first().map_or("jsvalue", |shape| shape.type_name()));
                None
            }
        },
        (Shape::Tagged(field, ..), value) => {
            if value.get(field).is_some_and(|tag| !tag.is_null() && !tag.is_string()) {
                // which fields it needs is not known
                found.wrong_type(&format!("{at}/{field}"), "jsstring");
                found.holes.push(at.to_owned());
                return None;
            }
            read(shape.chosen(&value), value, at, found)
        }
        (Shape::Keyed(shapes), Value::Object(map)) => {
            let there = |name: &str| map.get(name).is_some_and(|value| !value.is_null());
            if let Some((_, shape)) = shapes.iter().find(|(name, _)| there(name)) {
                return read(shape, Value::Object(map), at, found);
            }
            found.wrong_type(at, "jsobject");
            let names: Vec<_> = shapes.iter().map(|(name, _)| *name).collect();
            found.violations.push(Violation::new(at, format!("needs one of {}", names.join(", "))));
            None
        }
        (Shape::Instant, Value::String(text)) => {
            if instant(&text).is_none() {
                found.wrong_type(at, "date.isoformat");
                let advice = format!("'{text}' is not a date and time such as 2020-01-31T00:00:00.000Z");
                found.violations.push(Violation::new(at, advice));
                return None;
            }
            Some(Value::String(text))
        }
        (shape, _) => {
            found.wrong_type(at, shape.type_name());
            None
        }
    }
}

/// Upstream takes it, and the task can't be started.
const NUL: &str = "a NUL character can't be given to a program";

/// Larger whole numbers lose digits on the way.
const WHOLE_MAX: f64 = 9e15;

/// A number without a fraction as a whole one, so that 1 and 1.0 are the same.
fn plain(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() <= WHOLE_MAX { (number as i64).into() } else { number.into() }
}

impl Shape {
    fn type_name(&self) -> &'static str {
        match self {
            Self::Text(..) | Self::Word(_) => "jsstring",
            Self::Number(..) | Self::Whole(..) => "jsnumber",
            Self::Flag => "jsboolean",
            Self::List(..) => "jsarray",
            Self::Table(_) | Self::Object(_) | Self::Keyed(_) => "jsobject",
            Self::Instant => "date",
            Self::Either(shapes) => shapes.first().map_or("jsvalue", |shape| shape.type_name()),
            Self::Tagged(_, _, shape, _) => shape.type_name(),
        }
    }
    fn chosen(&self, value: &Value) -> &Self {
        match self {
            Self::Tagged(field, word, first, second) => {
                let said = value.get(field).and_then(Value::as_str);
                if said.is_some_and(|said| said.eq_ignore_ascii_case(word)) { first } else { second }
            }
            other => other,
        }
    }
    fn takes(&self, value: &Value) -> bool {
        match self {
            Self::Object(fields) => value.as_object().is_some_and(|map| {
                fields
                    .iter()
                    .all(|f| !matches!(f.need, Need::Must) || map.get(f.name).is_some_and(|v| !v.is_null()))
            }),
            Self::Either(shapes) => shapes.iter().any(|shape| shape.takes(value)),
            _ => {
                let name = match value {
                    Value::String(_) => "jsstring",
                    Value::Number(_) => "jsnumber",
                    Value::Bool(_) => "jsboolean",
                    Value::Array(_) => "jsarray",
                    Value::Object(_) => "jsobject",
                    Value::Null => "jsnull",
                };
                self.type_name() == name
            }
        }
    }
}

impl Form {
    fn fits(self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Path => is_path(text),
            Self::Name => label(text, |c| c == '-'),
            Self::NetworkName => label(text, |c| c == '-' || c == '_'),
            Self::Executor => {
                let inner = text.strip_prefix('/').unwrap_or(text);
                text.is_empty()
                    || text.starts_with("//cmd")
                    || (!inner.is_empty() && inner.split('/').all(|s| !s.is_empty()))
            }
        }
    }
    fn said(self) -> &'static str {
        match self {
            Self::Any => ".*",
            Self::Path => "/segment/segment, of a-z, 0-9, '-' and '.'",
            Self::Name => "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
            Self::NetworkName => "^[a-z0-9]([-a-z0-9_]*[a-z0-9])?$",
            Self::Executor => "^(//cmd)|(/?[^/]+(/[^/]+)*)|$",
        }
    }
}

/// Small letters and digits, with some others inside.
fn label(text: &str, inner: fn(char) -> bool) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(plain) && text.ends_with(plain) && text.chars().all(|c| plain(c) || inner(c))
}

/// Leaves out what is not written where it is empty.
pub(super) fn drop_empty(fields: &[Field], map: &mut Map<String, Value>) {
    for field in fields {
        let Some(value) = map.get_mut(field.name) else { continue };
        drop_inside(field.shape, value);
        let empty =
            value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
        if empty && matches!(field.need, Need::Omit) {
            map.remove(field.name);
        }
    }
}

fn drop_inside(shape: &Shape, value: &mut Value) {
    match (shape, value) {
        (Shape::Object(fields), Value::Object(map)) => drop_empty(fields, map),
        (Shape::List(item, ..), Value::Array(items)) => {
            items.iter_mut().for_each(|value| drop_inside(item, value))
        }
        (Shape::Tagged(..), value) => drop_inside(shape.chosen(value), value),
        (Shape::Either(shapes), value) => {
            if let Some(shape) = shapes.iter().find(|shape| shape.takes(value)) {
                drop_inside(shape, value);
            }
        }
        _ => {}
    }
}

/// The paths of all fields in these that hold no fields themselves.
pub(super) fn paths(fields: &[Field]) -> Vec<String> {
    let mut all = Vec::new();
    for field in fields {
        let before = all.len();
        below(field.shape, field.name, &mut all);
        if all.len() == before {
            all.push(field.name.to_owned());
        }
    }
    all
}

fn below(shape: &Shape, at: &str, all: &mut Vec<String>) {
    match shape {
        Shape::Object(fields) => {
            for path in paths(fields).into_iter().map(|path| format!("{at}.{path}")) {
                if !all.contains(&path) {
                    all.push(path);
                }
            }
        }
        Shape::List(item, ..) | Shape::Table(item) => below(item, at, all),
        // it may be a plain value, too
        Shape::Either(shapes) => {
            let plain = shapes.iter().any(|shape| {
                let mut none = Vec::new();
                below(shape, at, &mut none);
                none.is_empty()
            });
            let before = all.len();
            shapes.iter().for_each(|shape| below(shape, at, all));
            if plain && all.len() > before {
                all.insert(before, at.to_owned());
            }
        }
        Shape::Tagged(_, _, first, second) => {
            [first, second].into_iter().for_each(|shape| below(shape, at, all))
        }
        Shape::Keyed(shapes) => shapes.iter().for_each(|(_, shape)| below(shape, at, all)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_by_the_table_and_names_what_is_wrong() {
        const WORD: Shape = Shape::Word(&["HTTP", "TCP"]);
        const COUNT: Shape = Shape::Whole(1.0, 9.0);
        const FIELDS: &[Field] =
            &[must("id", &Shape::Text(1, 3, Form::Name)), or("kind", &WORD, "\"HTTP\""), may("n", &COUNT)];
        let run = |value: Value, whole| {
            let mut found = Found::default();
            let read = object(FIELDS, value.as_object().unwrap().clone(), whole, "/", &mut found);
            (
                Value::Object(read),
                found.violations.into_iter().map(|v| format!("{} {}", v.path, v.error)).collect::<Vec<_>>(),
            )
        };
        assert_eq!(
            run(json!({ "id": "a", "kind": "tcp", "n": 2.0, "more": 1 }), true),
            (json!({ "id": "a", "kind": "TCP", "n": 2 }), vec![])
        );
        assert_eq!(run(json!({ "id": "a" }), true).0, json!({ "id": "a", "kind": "HTTP" }));
        assert_eq!(run(json!({}), false), (json!({}), vec![]));
        let (_, said) = run(json!({ "id": "A", "kind": 1, "n": 10 }), true);
        assert_eq!(said[0], "/id error.pattern");
        assert_eq!(said[2..4], ["/kind error.expected.jsstring", "/n error.max"]);
        assert_eq!(run(json!({}), true).1, ["/id error.path.missing"]);
        assert_eq!(run(json!({ "n": 1.5 }), false).1, ["/n error.expected.int"]);
    }
}
