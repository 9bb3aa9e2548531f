//! What a replay found: per file, and in sum.

use std::{collections::BTreeMap, fmt};

/// What became of one file.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether it could be tried at all.
    pub tried: bool,
    /// Its steps.
    pub steps: usize,
    /// Of those, the ones that matched.
    pub matched: usize,
    /// Bodies that were sent otherwise than they are written (`needs.toml`).
    pub errata: usize,
    /// Where it differed.
    pub differences: Vec<String>,
}

impl Default for Outcome {
    fn default() -> Self {
        Self { tried: true, steps: 0, matched: 0, errata: 0, differences: Vec::new() }
    }
}

impl Outcome {
    /// Whether everything in it was as recorded.
    pub fn matches(&self) -> bool {
        self.tried && self.matched == self.steps
    }
}

/// What became of all files.
#[derive(Debug, Default)]
pub struct Report {
    /// By name.
    pub files: BTreeMap<String, Outcome>,
}

impl Report {
    fn tried(&self) -> impl Iterator<Item = &Outcome> {
        self.files.values().filter(|o| o.tried)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (files, matching) = (self.tried().count(), self.tried().filter(|o| o.matches()).count());
        let steps: usize = self.tried().map(|o| o.steps).sum();
        let matched: usize = self.tried().map(|o| o.matched).sum();
        write!(f, "{matching} of {files} files match, {matched} of {steps} steps")?;
        let errata = self.tried().filter(|o| o.errata > 0 && o.matches()).count();
        if errata > 0 {
            write!(f, " ({errata} of them with a correction of what was sent, which needs.toml states)")?;
        }
        let skipped = self.files.len() - files;
        if skipped > 0 {
            write!(f, " ({skipped} files stop or start daemons and were not tried)")?;
        }
        Ok(())
    }
}
