//! Reads of files and directories for `/files/*` and the operator APIs. Which may be read is decided before
//! (`endpoints::files`); here it is made sure that a path does not lead elsewhere.

use bytes::Bytes;
use endpoints::files::{Ask, Entry, Found, What, render_found, within};
use http::Response;
use std::{
    fs, io,
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

/// Does it and renders the answer.
pub async fn perform(ask: Ask) -> Response<Bytes> {
    let asked = ask.clone();
    let found = tokio::task::spawn_blocking(move || find(&asked)).await;
    let found = found.unwrap_or_else(|error| Found::Failed(error.to_string()));
    render_found(&ask, found)
}

fn find(ask: &Ask) -> Found {
    let said = if ask.rest.is_empty() { ask.root.clone() } else { format!("{}/{}", ask.root, ask.rest) };
    let Ok(root) = fs::canonicalize(&ask.root) else { return Found::Missing };
    if !ask.rest.is_empty() && !root.is_dir() {
        return Found::Missing;
    }
    let real = match fs::canonicalize(&said) {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Missing,
        Err(error) => {
            return Found::Failed(format!("Failed to determine canonical path of '{said}': {error}"));
        }
    };
    if !within(&root.to_string_lossy(), &real.to_string_lossy()) {
        return Found::Outside(said);
    }
    let done = match ask.what {
        What::Browse => list(&real).map(Found::Entries),
        _ if real.is_dir() => return Found::Directory,
        What::Read { offset, length } => part(&real, offset, length),
        What::Download => fs::read(&real).map(|data| {
            let name = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Found::Whole { name, data }
        }),
    };
    done.unwrap_or_else(|error| {
        Found::Failed(format!("Failed to open file at '{}': {error}", real.display()))
    })
}

/// Of a file, nothing is in it. Links are followed, as upstream does.
fn list(path: &Path) -> io::Result<Vec<Entry>> {
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let Ok(meta) = fs::metadata(entry.path()) else { continue };
        all.push(Entry {
            name: entry.file_name().to_string_lossy().into_owned(),
            nlink: meta.nlink(),
            size: meta.size(),
            mtime_ns: meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec()),
            mode: meta.mode(),
            uid: name_of("/etc/passwd", meta.uid()),
            gid: name_of("/etc/group", meta.gid()),
        });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

fn name_of(file: &str, id: u32) -> String {
    let id = id.to_string();
    let text = fs::read_to_string(file).unwrap_or_default();
    let found =
        text.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|f| f.get(2) == Some(&id.as_str()));
    found.map_or(id.clone(), |f| f[0].to_owned())
}

fn part(path: &Path, offset: Option<u64>, length: u64) -> io::Result<Found> {
    let mut file = fs::File::open(path)?;
    let size = file.metadata()?.len();
    let mut data = Vec::new();
    if let Some(offset) = offset.filter(|offset| *offset < size) {
        file.seek(SeekFrom::Start(offset))?;
        file.take(length).read_to_end(&mut data)?;
    }
    Ok(Found::Part { data, size })
}
