//! Generates, for each message of `model::mesos`, its reader and writer in Mesos' JSON dialect and the list of its
//! required fields; for some, a writer of protobuf's text format. The dialect is upstream's own (apache/mesos: stout's protobuf.hpp), not that of proto3.

use heck::{ToSnakeCase, ToUpperCamelCase};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

const FILES: [&str; 9] = [
    "mesos.proto",
    "scheduler.proto",
    "executor.proto",
    "quota.proto",
    "maintenance.proto",
    "allocator.proto",
    "master.proto",
    "agent.proto",
    "internal.proto",
];

/// Messages that errors show in protobuf's text format, with all that is in them.
const SHOWN: [&str; 1] = [".mesos.ExecutorInfo"];

/// Fields that exist in v0 alone: on the wire, never in JSON.
const V0_ONLY: [(&str, &str); 1] = [(".mesos.AgentInfo", "checkpoint")];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../model/proto");
    let set = protox::compile(FILES, ["../model/proto"])?;
    let mut generator = Generator { maps: BTreeMap::new(), out: String::new() };
    generator.all(&set);
    let path = std::path::PathBuf::from(std::env::var("OUT_DIR")?).join("json.rs");
    std::fs::write(path, generator.out)?;
    Ok(())
}

struct Generator {
    /// Map entries by full name: types of key and value.
    maps: BTreeMap<String, (FieldDescriptorProto, FieldDescriptorProto)>,
    out: String,
}

/// `.mesos.Offer.Operation.Launch` → `::model::mesos::offer::operation::Launch`.
fn rust_path(name: &str) -> String {
    let parts: Vec<&str> = name.trim_start_matches('.').split('.').collect();
    let (last, before) = parts.split_last().expect("a type has a name");
    let mut path = String::from("::model");
    for part in before {
        write!(path, "::{}", module(part)).expect("a string takes text");
    }
    write!(path, "::{}", last.to_upper_camel_case()).expect("a string takes text");
    path
}

fn module(part: &str) -> String {
    raw(&part.to_snake_case())
}

fn raw(name: &str) -> String {
    const KEYWORDS: [&str; 8] = ["type", "ref", "self", "super", "use", "mod", "match", "in"];
    if KEYWORDS.contains(&name) { format!("r#{name}") } else { name.to_owned() }
}

/// The name of the static that lists required fields.
fn table(name: &str) -> String {
    name.trim_start_matches('.').replace('.', "_").to_uppercase()
}

impl Generator {
    fn all(&mut self, set: &FileDescriptorSet) {
        let mut messages = Vec::new();
        for file in &set.file {
            for message in &file.message_type {
                collect(&format!(".{}", file.package()), message, &mut messages);
            }
        }
        for (name, message) in &messages {
            if message.options.as_ref().is_some_and(|o| o.map_entry()) {
                self.maps.insert(name.clone(), (message.field[0].clone(), message.field[1].clone()));
            }
        }
        let shown = reachable(&messages, &self.maps);
        for (name, message) in messages.iter().filter(|(name, _)| shown.contains(name)) {
            self.text_writer(name, message);
        }
        for (name, message) in &messages {
            if !self.maps.contains_key(name) {
                self.writer(name, message);
                self.reader(name, message);
                self.required(name, message);
            }
        }
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn writer(&mut self, name: &str, message: &DescriptorProto) {
        let path = rust_path(name);
        self.line(&format!("impl ToJson for {path} {{ fn write(&self, w: &mut Writer) {{ w.open();"));
        for field in &message.field {
            if V0_ONLY.contains(&(name, field.name())) {
                continue;
            }
            let rust = raw(&field.name().to_snake_case());
            let key = field.name();
            let text = if let Some((_, value)) = self.map(field) {
                let write = write_value(value, "v");
                format!(
                    "if !self.{rust}.is_empty() {{ w.key({key:?}); w.open(); \
                     let mut entries: Vec<_> = self.{rust}.iter().collect(); entries.sort_by(|a, b| a.0.cmp(b.0)); \
                     for (k, v) in entries {{ w.key(k); {write} }} w.close(); }}"
                )
            } else if field.label() == Label::Repeated {
                let write = write_value(field, "v");
                format!(
                    "if !self.{rust}.is_empty() {{ w.key({key:?}); w.list(); for v in &self.{rust} {{ w.item(); {write} }} w.end(); }}"
                )
            } else if field.label() == Label::Required {
                let write = write_value(field, "v");
                format!("{{ let v = &self.{rust}; w.key({key:?}); {write} }}")
            } else if field.default_value.is_some() && !field.options.as_ref().is_some_and(|o| o.deprecated())
            {
                let write = write_getter(field);
                format!(
                    "{{ let v = self.{}(); w.key({key:?}); {write} }}",
                    raw(&field.name().to_snake_case())
                )
            } else {
                let write = write_value(field, "v");
                format!("if let Some(v) = &self.{rust} {{ w.key({key:?}); {write} }}")
            };
            self.line(&text);
        }
        self.line("w.close(); } }");
    }

    /// Fields in the order of their numbers, as protobuf's printer has them.
    fn text_writer(&mut self, name: &str, message: &DescriptorProto) {
        let path = rust_path(name);
        self.line(&format!("impl ToText for {path} {{ fn show(&self, w: &mut TextWriter) {{"));
        let mut fields: Vec<_> = message.field.iter().collect();
        fields.sort_by_key(|field| field.number());
        for field in fields {
            let rust = raw(&field.name().to_snake_case());
            let key = field.name();
            let text = if let Some((name, value)) = self.map(field) {
                let (name, value) = (show_value(name, "key", "k"), show_value(value, "value", "v"));
                format!(
                    "let mut entries: Vec<_> = self.{rust}.iter().collect(); entries.sort_by(|a, b| a.0.cmp(b.0)); \
                     for (k, v) in entries {{ w.open({key:?}); {name} {value} w.close(); }}"
                )
            } else {
                let show = show_value(field, key, "v");
                match field.label() {
                    Label::Repeated => format!("for v in &self.{rust} {{ {show} }}"),
                    Label::Required => format!("{{ let v = &self.{rust}; {show} }}"),
                    Label::Optional => format!("if let Some(v) = &self.{rust} {{ {show} }}"),
                }
            };
            self.line(&text);
        }
        self.line("} }");
    }

    fn reader(&mut self, name: &str, message: &DescriptorProto) {
        let path = rust_path(name);
        self.line(&format!(
            "impl FromJson for {path} {{ fn read(value: &Value, r: &mut Reader) -> Result<Self, String> {{ \
             let object = r.object(value)?; let mut m = Self::default();"
        ));
        let required: Vec<_> = message.field.iter().filter(|f| f.label() == Label::Required).collect();
        for field in &required {
            self.line(&format!(
                "let mut has_{} = false;",
                raw(&field.name().to_snake_case()).trim_start_matches("r#")
            ));
        }
        self.line("for (key, v) in object { if v.is_null() { continue; } match key.as_str() {");
        for field in &message.field {
            let key = field.name();
            let rust = raw(&key.to_snake_case());
            let body = if let Some((_, value)) = self.map(field) {
                let read = read_value(value, "v", key, false);
                format!(
                    "for (k, v) in r.entries(v, {key:?})? {{ if let Some(v) = {read} {{ m.{rust}.insert(k.clone(), v); }} }}"
                )
            } else if field.label() == Label::Repeated {
                let read = read_value(field, "v", key, false);
                format!(
                    "for (i, v) in r.items(v).iter().enumerate() {{ if v.is_null() {{ continue; }} r.enter_item({key:?}, i); \
                     if let Some(v) = {read} {{ m.{rust}.push(v); }} r.leave(); }}"
                )
            } else {
                let read = read_value(field, "v", key, field.label() == Label::Required);
                let put = if field.label() == Label::Required {
                    format!("m.{rust} = v; has_{} = true;", rust.trim_start_matches("r#"))
                } else if field.r#type() == Type::Message {
                    format!("m.{rust} = Some(v.into());")
                } else {
                    format!("m.{rust} = Some(v);")
                };
                format!(
                    "r.enter({key:?}); r.single(v, {key:?})?; if let Some(v) = {read} {{ {put} }} r.leave();"
                )
            };
            self.line(&format!("{key:?} => {{ {body} }}"));
        }
        self.line("_ => {} } }");
        for field in &required {
            self.line(&format!(
                "if !has_{} {{ r.missing({:?}); }}",
                raw(&field.name().to_snake_case()).trim_start_matches("r#"),
                field.name()
            ));
        }
        self.line("let _ = &mut m; Ok(m) } }");
    }

    fn required(&mut self, name: &str, message: &DescriptorProto) {
        let path = rust_path(name);
        let own = table(name);
        let required: Vec<_> = message
            .field
            .iter()
            .filter(|f| f.label() == Label::Required)
            .map(|f| format!("({}, {:?})", f.number(), f.name()))
            .collect();
        let messages: Vec<_> = message
            .field
            .iter()
            .filter(|f| f.r#type() == Type::Message && self.map(f).is_none())
            .map(|f| format!("({}, {:?}, &{})", f.number(), f.name(), table(f.type_name())))
            .collect();
        self.line(&format!(
            "static {own}: Shape = Shape {{ required: &[{}], messages: &[{}] }};",
            required.join(", "),
            messages.join(", ")
        ));
        self.line(&format!("impl Shaped for {path} {{ const SHAPE: &'static Shape = &{own}; }}"));
    }

    fn map(&self, field: &FieldDescriptorProto) -> Option<&(FieldDescriptorProto, FieldDescriptorProto)> {
        self.maps.get(field.type_name())
    }
}

fn collect(scope: &str, message: &DescriptorProto, out: &mut Vec<(String, DescriptorProto)>) {
    let name = format!("{scope}.{}", message.name());
    out.push((name.clone(), message.clone()));
    for nested in &message.nested_type {
        collect(&name, nested, out);
    }
}

/// The messages that are shown as text, and all that can be in them.
fn reachable(
    messages: &[(String, DescriptorProto)],
    maps: &BTreeMap<String, (FieldDescriptorProto, FieldDescriptorProto)>,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left: Vec<String> = SHOWN.iter().map(|name| (*name).to_owned()).collect();
    while let Some(name) = left.pop() {
        if !maps.contains_key(&name) && !found.insert(name.clone()) {
            continue;
        }
        let message = messages.iter().filter(|(known, _)| *known == name);
        let fields = message.flat_map(|(_, message)| &message.field);
        left.extend(fields.filter(|f| f.r#type() == Type::Message).map(|f| f.type_name().to_owned()));
    }
    found
}

/// Shows `v`, a reference to the field's value, in the text format.
fn show_value(field: &FieldDescriptorProto, key: &str, v: &str) -> String {
    match field.r#type() {
        Type::Message => format!("w.open({key:?}); ToText::show({v}, w); w.close();"),
        Type::Enum => {
            let path = rust_path(field.type_name());
            format!(
                "match {path}::try_from(*{v}) {{ Ok(e) => w.word({key:?}, e.as_str_name()), \
                 Err(_) => w.word({key:?}, {v}) }}"
            )
        }
        Type::String => format!("w.quoted({key:?}, {v}.as_bytes());"),
        Type::Bytes => format!("w.quoted({key:?}, {v});"),
        Type::Double => format!("w.double({key:?}, *{v});"),
        Type::Float => format!("w.double({key:?}, f64::from(*{v}));"),
        _ => format!("w.word({key:?}, {v});"),
    }
}

/// Writes `v`, a reference to the field's value.
fn write_value(field: &FieldDescriptorProto, v: &str) -> String {
    match field.r#type() {
        Type::Message => format!("ToJson::write({v}, w);"),
        Type::Enum => {
            let path = rust_path(field.type_name());
            format!("w.name({path}::try_from(*{v}).ok().map(|e| e.as_str_name()));")
        }
        Type::String => format!("w.text({v});"),
        Type::Bytes => format!("w.bytes({v});"),
        Type::Bool => format!("w.boolean(*{v});"),
        Type::Double => format!("w.double(*{v});"),
        Type::Float => format!("w.double(f64::from(*{v}));"),
        _ => format!("w.integer(i128::from(*{v}));"),
    }
}

/// Writes `v`, which a getter gave: by value, with the default filled in.
fn write_getter(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Enum => "w.name(Some(v.as_str_name()));".to_owned(),
        Type::String | Type::Bytes => write_value(field, "v"),
        _ => write_value(field, "&v"),
    }
}

/// An expression of type `Option<value>` that reads `v`; `None` = an unknown value of an enum, dropped.
fn read_value(field: &FieldDescriptorProto, v: &str, key: &str, required: bool) -> String {
    match field.r#type() {
        Type::Message => {
            let path = rust_path(field.type_name());
            format!("Some({{ r.expect_message({v}, {key:?})?; <{path} as FromJson>::read({v}, r)? }})")
        }
        Type::Enum => {
            let path = rust_path(field.type_name());
            format!(
                "r.enumeration({v}, {key:?}, {required}, |s| {path}::from_str_name(s).map(|e| e as i32))?"
            )
        }
        Type::String => format!("Some(r.text({v}, {key:?})?)"),
        Type::Bytes => format!("Some(r.bytes({v}, {key:?})?)"),
        Type::Bool => format!("Some(r.boolean({v}, {key:?})?)"),
        Type::Double => format!("Some(r.double({v}, {key:?})?)"),
        Type::Float => format!("Some(r.double({v}, {key:?})? as f32)"),
        Type::Uint64 | Type::Fixed64 => format!("Some(r.integer({v}, {key:?})? as u64)"),
        Type::Uint32 | Type::Fixed32 => format!("Some(r.integer({v}, {key:?})? as u32)"),
        Type::Int32 | Type::Sint32 | Type::Sfixed32 => format!("Some(r.integer({v}, {key:?})? as i32)"),
        _ => format!("Some(r.integer({v}, {key:?})? as i64)"),
    }
}
