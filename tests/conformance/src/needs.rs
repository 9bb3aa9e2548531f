//! What the words of `needs` ask for: `needs.toml` maps them to daemons and flags.

use crate::{Transcript, transcript::Step};
use anyhow::Context as _;
use regex::Regex;
use serde::Deserialize;

/// The committed table.
const COMMITTED: &str = include_str!("../needs.toml");

#[derive(Debug, Default, Deserialize)]
struct PerRole {
    #[serde(default)]
    master: Vec<String>,
    #[serde(default)]
    agent: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Clause {
    says: String,
    agents: Option<usize>,
    #[serde(default)]
    master: String,
    #[serde(default)]
    agent: String,
    #[serde(default)]
    agent2: String,
    fixtures: Option<String>,
}

/// What some files need beside their words.
#[derive(Debug, Deserialize)]
struct OfFiles {
    names: Vec<String>,
    master: Vec<String>,
}

/// A body that was sent otherwise than it is written.
#[derive(Debug, Deserialize)]
struct Erratum {
    /// How the file's name begins.
    name: String,
    /// The note of the step.
    note: String,
    /// Where in the body.
    pointer: String,
    /// What was sent there.
    value: serde_json::Value,
}

/// Wait steps of a file in which offers may come or go though none are recorded.
#[derive(Debug, Deserialize)]
struct Noise {
    /// How the file's name begins.
    name: String,
    /// The notes of the steps.
    notes: Vec<String>,
    /// What the offers come of.
    #[allow(dead_code, reason = "it is read by people, and must be there")]
    reason: String,
}

/// What words mean.
#[derive(Debug, Deserialize)]
pub struct Table {
    file: Vec<OfFiles>,
    #[serde(default)]
    erratum: Vec<Erratum>,
    #[serde(default)]
    offers_may_come: Vec<Noise>,
    always: PerRole,
    without: PerRole,
    clause: Vec<Clause>,
}

/// A cluster as a file needs it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Flags of the master.
    pub master: Vec<String>,
    /// Flags of each agent.
    pub agents: Vec<Vec<String>>,
    /// Which files must lie on the agent.
    pub fixtures: Option<String>,
}

/// `--a=b c --d=e` → its flags; a value may hold blanks.
pub fn flags(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for part in text.split(" --") {
        let part = part.trim_start_matches("--").trim();
        if !part.is_empty() {
            all.push(format!("--{part}"));
        }
    }
    all
}

impl Table {
    /// The table of this package.
    pub fn committed() -> anyhow::Result<Self> {
        toml::from_str(COMMITTED).context("needs.toml")
    }

    /// What the file of this name needs, with these words in it.
    pub fn of_file(&self, name: &str, words: &str) -> anyhow::Result<Needs> {
        let mut needs = self.read(words)?;
        let named = |file: &&OfFiles| file.names.iter().any(|start| name.starts_with(start));
        needs.master.extend(self.file.iter().filter(named).flat_map(|file| file.master.clone()));
        Ok(needs)
    }

    /// The file as it was played, and how many bodies of it are written otherwise.
    pub(crate) fn corrected(&self, transcript: &Transcript) -> anyhow::Result<(Transcript, usize)> {
        let mut played = transcript.clone();
        let mut count = 0;
        for erratum in self.erratum.iter().filter(|e| transcript.name.starts_with(&e.name)) {
            let steps = played.steps.iter_mut().filter(|s| s.note.as_deref() == Some(erratum.note.as_str()));
            let bodies = steps.filter_map(|step| step.send.as_mut()?.body.as_mut());
            let mut places = bodies.filter_map(|body| body.pointer_mut(&erratum.pointer));
            let place = places.next().with_context(|| {
                format!(
                    "needs.toml: {} has no step '{}' with {}",
                    erratum.name, erratum.note, erratum.pointer
                )
            })?;
            *place = erratum.value.clone();
            count += 1;
        }
        Ok((played, count))
    }

    /// Whether offers may come or go in this wait step, though its recording lists none.
    pub(crate) fn offers_may_come(&self, name: &str, step: &Step) -> bool {
        let note = step.note.as_deref().unwrap_or_default();
        let noise = self.offers_may_come.iter().filter(|noise| name.starts_with(&noise.name));
        noise.flat_map(|noise| &noise.notes).any(|n| n == note)
    }

    /// What words ask for. Words that the table does not know are an error that names them.
    pub fn read(&self, words: &str) -> anyhow::Result<Needs> {
        let mut needs = Needs { master: self.always.master.clone(), ..Needs::default() };
        let (mut agents, mut common, mut second) = (0, Vec::new(), Vec::new());
        for said in words.split("; ") {
            let mut found = None;
            for clause in &self.clause {
                let regex = Regex::new(&format!("^(?:{})$", clause.says)).context("needs.toml")?;
                if let Some(captures) = regex.captures(said) {
                    found = Some((clause, captures));
                    break;
                }
            }
            let (clause, captures) =
                found.with_context(|| format!("needs.toml has no row for the words '{said}'"))?;
            let expand = |template: &str| {
                let mut text = String::new();
                captures.expand(template, &mut text);
                flags(&text)
            };
            agents = agents.max(clause.agents.unwrap_or_default());
            needs.master.extend(expand(&clause.master));
            if clause.agent2.is_empty() {
                common.extend(expand(&clause.agent));
            } else {
                second = expand(&clause.agent2);
            }
            needs.fixtures = needs.fixtures.or_else(|| clause.fixtures.clone());
        }
        needs.master.retain(|f| !self.without.master.contains(f));
        for number in 0..agents {
            let own = if number == 1 && !second.is_empty() { &second } else { &common };
            let mut all = self.always.agent.clone();
            all.extend(own.iter().filter(|f| !self.without.agent.contains(f)).cloned());
            needs.agents.push(all);
        }
        Ok(needs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_flags() {
        let table = Table::committed().unwrap();
        let plain = "a master with default flags and one agent: --resources=cpus:4;mem:4096;disk:10000;ports:[31000-32000]";
        let needs = table
            .read(&format!("{plain}; agent flags: --attributes=n:one; a second agent: --resources=cpus:1;mem:2 --attributes=n:two"))
            .unwrap();
        assert_eq!(needs.agents.len(), 2);
        assert!(
            needs.agents[0]
                .contains(&"--resources=cpus:4;mem:4096;disk:10000;ports:[31000-32000]".to_owned())
        );
        assert!(needs.agents[0].contains(&"--attributes=n:one".to_owned()));
        assert!(needs.agents[1].contains(&"--attributes=n:two".to_owned()));
        let needs = table
            .read(&format!("{plain}; master flags: --registry=replicated_log --agent_ping_timeout=1secs"))
            .unwrap();
        assert!(needs.master.contains(&"--agent_ping_timeout=1secs".to_owned()));
        assert!(!needs.master.iter().any(|f| f.contains("registry")));
        assert!(table.read("a cluster on the moon").unwrap_err().to_string().contains("on the moon"));
    }

    #[test]
    fn every_committed_transcript_is_understood() {
        let table = Table::committed().unwrap();
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/data/transcripts");
        let all = crate::load(std::path::Path::new(dir)).unwrap();
        assert_eq!(all.len(), crate::TRANSCRIPTS);
        for noise in &table.offers_may_come {
            let file = all.iter().find(|t| t.name.starts_with(&noise.name));
            let steps = file.map(|t| t.steps.as_slice()).unwrap_or_default();
            for note in &noise.notes {
                let waits = steps.iter().any(|s| s.note.as_ref() == Some(note) && s.waited_seconds.is_some());
                assert!(waits, "{} has no wait step '{note}'", noise.name);
            }
        }
        for transcript in all {
            table
                .of_file(&transcript.name, &transcript.needs)
                .unwrap_or_else(|e| panic!("{}: {e}", transcript.name));
        }
        let slow = table
            .of_file("v0-master/04-gets-populated.json", "a master with default flags, no agent")
            .unwrap();
        assert!(slow.master.contains(&"--allocation_interval=5secs".to_owned()));
    }
}
