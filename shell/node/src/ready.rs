//! The ready file: written whole, then renamed, the moment everything serves.

use anyhow::Context as _;
use std::{fs, path::Path};

/// Writes it.
pub fn write(file: &str, said: &serde_json::Value) -> anyhow::Result<()> {
    let path = Path::new(file);
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    fs::write(&fresh, said.to_string())
        .with_context(|| format!("--ready-file: can't write {}", fresh.display()))?;
    fs::rename(&fresh, path).with_context(|| format!("--ready-file: can't make {}", path.display()))
}
