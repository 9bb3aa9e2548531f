//! Resources as people write and read them: `cpus:4; mem:4096; ports:[31000-32000]`.
//!
//! What is read is `--resources`' text form; its JSON form is decoded where JSON is.

#![allow(deprecated)] // The flat format is spoken by every framework without RESERVATION_REFINEMENT.

use super::{Amount, Invalid, Item, Items, Kind, Ranges, Resources, SCALAR_MAX, to_milli};
use crate::mesos;
use std::fmt;

impl Resources {
    /// Reads `cpus:24;mem:24576;ports:[21000-24000];bugs(debug_role):{a,b}`. What names no role is `default_role`'s.
    pub fn parse(text: &str, default_role: &str) -> Result<Self, Invalid> {
        let mut all = Self::new();
        for token in text.split(';').map(str::trim).filter(|token| !token.is_empty()) {
            let refuse = |reason: String| Invalid { text: token.to_owned(), reason };
            let Some((head, tail)) = token.split_once(':').filter(|(_, tail)| !tail.contains(':')) else {
                return Err(refuse("expected one ':' between name and amount".into()));
            };
            let (name, role) = match head.split_once('(') {
                None if head.contains(')') => return Err(refuse("')' without '('".into())),
                None => (head.trim(), default_role),
                Some((name, rest)) => match rest.trim_end().strip_suffix(')') {
                    Some(role) => (name.trim(), role.trim()),
                    None => return Err(refuse("'(' without ')'".into())),
                },
            };
            let message =
                mesos::Resource { name: name.into(), role: Some(role.into()), ..Default::default() };
            let item = item(message, amount(tail).map_err(refuse)?)?;
            all.add_item(item);
        }
        Ok(all)
    }
}

/// Through the message, so that name and role are checked in one place.
fn item(message: mesos::Resource, amount: Amount) -> Result<Item, Invalid> {
    let mut message = message;
    message.set_type(mesos::value::Type::Scalar);
    message.scalar = Some(Default::default());
    let checked = super::message::item(&message)?;
    Ok(Item::new(checked.kind, amount))
}

fn amount(text: &str) -> Result<Amount, String> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or("'[' without ']'")?;
        return ranges(inner).map(|ranges| Amount::Ranges(Ranges::new(ranges)));
    }
    if let Some(inner) = text.strip_prefix('{') {
        let inner = inner.strip_suffix('}').ok_or("'{' without '}'")?;
        return Ok(Amount::Set(Items::new(inner.split(',').filter(|item| !item.is_empty()))));
    }
    match text.parse::<f64>() {
        Ok(value) if !value.is_finite() => Err(format!("{text} is not a number")),
        Ok(value) if value < 0.0 => Err(format!("{text} is negative")),
        Ok(value) if value > SCALAR_MAX => Err(format!("{text} is more than {SCALAR_MAX}")),
        Ok(value) if value != 0.0 && to_milli(value) == 0 => Err(format!("{text} is less than a thousandth")),
        Ok(value) => Ok(Amount::Scalar(to_milli(value))),
        Err(_) => Err(format!("'{text}' is neither a number nor ranges [a-b] nor a set {{a,b}}")),
    }
}

fn ranges(text: &str) -> Result<Vec<(u64, u64)>, String> {
    let mut all = Vec::new();
    for range in text.split(',').filter(|range| !range.is_empty()) {
        let bounds = range.split_once('-').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        match bounds {
            Some((begin, end)) if begin <= end => all.push((begin, end)),
            Some(_) => return Err(format!("[{range}] begins after its end")),
            None => return Err(format!("'{range}' is no range of integers")),
        }
    }
    Ok(all)
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        all(self, None, f)
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        one(self, None, f)
    }
}

/// Resources as upstream prints them where they are given to a role: `cpus(allocated: web):4`.
#[derive(Debug)]
pub struct Allocated<'a>(pub &'a Resources, pub &'a str);

impl fmt::Display for Allocated<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        all(self.0, Some(self.1), f)
    }
}

/// A message as upstream prints it, however wrong it is.
pub fn describe(message: &mesos::Resource) -> String {
    let kind = Kind::of(message);
    let role = message.allocation_info.as_ref().and_then(|a| a.role.as_deref());
    let mut text = Text(String::new());
    // Writing to a string does not fail.
    text.head(&kind, role).unwrap_or_default();
    let amount = match (&message.ranges, &message.set) {
        (Some(ranges), _) => {
            let all: Vec<_> = ranges.range.iter().map(|r| format!("{}-{}", r.begin, r.end)).collect();
            format!("[{}]", all.join(", "))
        }
        (None, Some(set)) => format!("{{{}}}", set.item.join(", ")),
        (None, None) => {
            let value = message.scalar.as_ref().map_or(0.0, |scalar| scalar.value);
            // Without the sign that a rounded-off negative zero keeps.
            format!("{}", (value * 1000.0).round() / 1000.0 + 0.0)
        }
    };
    format!("{}:{amount}", text.0)
}

fn all(resources: &Resources, role: Option<&str>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if resources.is_empty() {
        return f.write_str("{}");
    }
    for (at, item) in resources.iter().enumerate() {
        f.write_str(if at > 0 { "; " } else { "" })?;
        one(item, role, f)?;
    }
    Ok(())
}

fn one(item: &Item, role: Option<&str>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = Text(String::new());
    text.head(&item.kind, role)?;
    write!(f, "{}:{}", text.0, item.amount)?;
    if item.kind.is_shared() { write!(f, "<{}>", item.copies) } else { Ok(()) }
}

struct Text(String);

impl Text {
    /// Everything before the amount.
    fn head(&mut self, kind: &Kind, role: Option<&str>) -> fmt::Result {
        use fmt::Write as _;
        let f = &mut self.0;
        f.write_str(kind.name().as_str())?;
        if let Some(role) = role {
            write!(f, "(allocated: {role})")?;
        }
        let reservations = kind.reservations();
        if !reservations.is_empty() {
            f.write_str("(reservations: [")?;
            for (at, reservation) in reservations.iter().enumerate() {
                write!(f, "{}(", if at > 0 { "," } else { "" })?;
                write!(f, "{},{}", reservation.r#type().as_str_name(), reservation.role())?;
                if let Some(principal) = &reservation.principal {
                    write!(f, ",{principal}")?;
                }
                if let Some(labels) = &reservation.labels {
                    f.write_str(",{")?;
                    for (at, label) in labels.labels.iter().enumerate() {
                        write!(f, "{}{}", if at > 0 { ", " } else { "" }, label.key)?;
                        if let Some(value) = &label.value {
                            write!(f, ": {value}")?;
                        }
                    }
                    f.write_str("}")?;
                }
                f.write_str(")")?;
            }
            f.write_str("])")?;
        }
        if let Some(disk) = kind.disk() {
            write_disk(disk, f)?;
        }
        f.write_str(if kind.is_revocable() { "{REV}" } else { "" })?;
        f.write_str(if kind.is_shared() { "<SHARED>" } else { "" })
    }
}

fn write_disk(disk: &mesos::resource::DiskInfo, f: &mut String) -> fmt::Result {
    use fmt::Write as _;
    f.write_str("[")?;
    if let Some(source) = &disk.source {
        f.write_str(source.r#type().as_str_name())?;
        let root = source.mount.as_ref().and_then(|mount| mount.root.as_deref());
        let root = root.or_else(|| source.path.as_ref().and_then(|path| path.root.as_deref()));
        if source.id.is_some() || source.profile.is_some() {
            write!(f, "({},{},{})", source.vendor(), source.id(), source.profile())?;
        } else if let Some(root) = root {
            write!(f, ":{root}")?;
        }
    }
    if let Some(persistence) = &disk.persistence {
        write!(f, "{}{}", if disk.source.is_some() { "," } else { "" }, persistence.id)?;
    }
    if let Some(volume) = &disk.volume {
        f.write_str(":")?;
        if let Some(host) = &volume.host_path {
            write!(f, "{host}:")?;
        }
        f.write_str(&volume.container_path)?;
        if volume.host_path.is_some() {
            write!(f, ":{}", volume.mode().as_str_name().to_lowercase())?;
        }
    }
    f.write_str("]")
}
