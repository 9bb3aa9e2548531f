//! Which fields a protobuf body lacks. `prost` fills absent required fields with defaults; a strict peer refuses them.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// Messages nested deeper than this are not looked into; they are refused when they are decoded.
const DEPTH_MAX: usize = 64;

/// The required fields of a message, and where its nested messages are.
#[derive(Debug)]
pub struct Shape {
    /// Number and name of each required field.
    pub required: &'static [(i32, &'static str)],
    /// Number, name and shape of each field that holds messages.
    pub messages: &'static [(i32, &'static str, &'static Shape)],
}

/// A message whose required fields are known.
pub trait Shaped {
    /// Its shape.
    const SHAPE: &'static Shape;
}

/// The paths of all required fields that the body lacks. Malformed bytes end the walk: decoding refuses them.
pub fn missing<T: Shaped>(body: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    walk(body, T::SHAPE, "", 0, &mut found);
    found
}

fn walk(mut body: &[u8], shape: &'static Shape, path: &str, depth: usize, found: &mut Vec<String>) {
    let mut seen = Vec::new();
    while !body.is_empty() {
        let Ok((number, wire)) = decode_key(&mut body) else { return };
        seen.push(number as i32);
        let nested = shape.messages.iter().find(|(n, ..)| *n == number as i32);
        if let (Some((_, name, inner)), WireType::LengthDelimited, true) = (nested, wire, depth < DEPTH_MAX) {
            let Ok(length) = decode_varint(&mut body) else { return };
            let Ok(length) = usize::try_from(length) else { return };
            if length > body.len() {
                return;
            }
            let (part, rest) = body.split_at(length);
            walk(part, inner, &format!("{path}{name}."), depth + 1, found);
            body = rest;
        } else if skip_field(wire, number, &mut body, DecodeContext::default()).is_err() {
            return;
        }
    }
    for (number, name) in shape.required {
        if !seen.contains(number) {
            found.push(format!("{path}{name}"));
        }
    }
}
