//! Reads transcripts: files, steps, what is sent and what must come. Never compares.

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// One recorded conversation.
#[derive(Clone, Debug, Deserialize)]
pub struct Transcript {
    /// `area/nn-name.json`
    #[serde(skip)]
    pub name: String,
    /// The cluster, in words.
    pub needs: String,
    /// In order.
    pub(crate) steps: Vec<Step>,
}

impl Transcript {
    /// Whether its agent is not to start at all.
    pub(crate) fn agent_refuses(&self) -> bool {
        let first = self.steps.first().and_then(|step| step.note.as_deref());
        first.is_some_and(|note| note.starts_with("the agent refuses to start"))
    }
    /// Whether an executor of this name is launched in it.
    pub(crate) fn launches(&self, executor: &str) -> bool {
        let said =
            |send: &'_ Send| send.body_protobuf.as_ref().map(|p| p.fields.clone()).or(send.body.clone());
        let bodies = self.steps.iter().filter_map(|step| said(step.send.as_ref()?));
        bodies.filter(|body| body["type"] == "ACCEPT").any(|body| names_executor(&body, executor))
    }
}

fn names_executor(value: &Value, executor: &str) -> bool {
    match value {
        Value::Array(all) => all.iter().any(|value| names_executor(value, executor)),
        Value::Object(map) => {
            map.get("executor").is_some_and(|e| e["executor_id"]["value"] == executor)
                || map.values().any(|value| names_executor(value, executor))
        }
        _ => false,
    }
}

/// One step.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Step {
    pub send: Option<Send>,
    pub stream: Option<String>,
    pub receive: Option<Receive>,
    pub waited_seconds: Option<f64>,
    #[serde(rename = "do")]
    pub act: Option<String>,
    pub note: Option<String>,
    pub seconds: Option<f64>,
    pub process: Option<String>,
    pub signal: Option<String>,
    pub flags: Option<String>,
    pub states: BTreeMap<String, String>,
}

/// A request.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Send {
    pub to: String,
    #[serde(default)]
    pub method: String,
    #[serde(default)]
    pub path: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub body: Option<Value>,
    pub body_text: Option<String>,
    pub body_base64: Option<String>,
    pub body_protobuf: Option<Protobuf>,
    pub body_records: Option<Vec<Value>>,
    pub raw: Option<String>,
}

/// A protobuf message as its set fields.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Protobuf {
    pub message: String,
    pub fields: Value,
}

/// An answer, or records of a stream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Receive {
    pub status: Option<u16>,
    pub headers: BTreeMap<String, String>,
    /// Absent and null differ: `null` is a JSON body.
    #[serde(deserialize_with = "present")]
    pub body: Option<Value>,
    pub body_text: Option<String>,
    pub body_base64: Option<String>,
    pub body_protobuf: Option<Protobuf>,
    pub body_jsonp: Option<Jsonp>,
    pub records: Option<Vec<Value>>,
    pub closed: bool,
    pub any_order: bool,
    pub subset: bool,
}

/// `callback(json)` and what follows the JSON.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Jsonp {
    pub callback: String,
    pub json: Value,
    pub tail: Option<String>,
}

fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

/// All transcripts below a folder, by name.
pub fn load(dir: &Path) -> anyhow::Result<Vec<Transcript>> {
    let mut files = Vec::new();
    collect(dir, &mut files)?;
    files.sort();
    let mut all = Vec::with_capacity(files.len());
    for file in files {
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
        let mut transcript: Transcript =
            serde_json::from_str(&text).with_context(|| format!("{} is not a transcript", file.display()))?;
        transcript.name = file.strip_prefix(dir).unwrap_or(&file).display().to_string();
        all.push(transcript);
    }
    Ok(all)
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if dir.is_file() {
        files.push(dir.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(dir).with_context(|| format!("can't read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "json") {
            files.push(path);
        }
    }
    Ok(())
}
