//! Reads of files and directories for `/files/*` and the operator APIs. Which may be read is decided before
//! (`endpoints::files`); here it is made sure that a path does not lead elsewhere.

use bytes::BytesMut;
use endpoints::files::{Ask, Entry, Found, What, head_of_download, render_found, within};
use std::{
    fs, io,
    io::{Read as _, Seek as _, SeekFrom},
    os::{
        fd::AsRawFd as _,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::Path,
};
use tokio::io::AsyncReadExt as _;
use web::Reply;

/// A download of up to so many bytes is read at once; a larger one is sent in parts of this size as the client takes them.
const PART_BYTES: usize = 1024 * 1024;
/// Parts that wait for a client.
const PARTS_WAITING_MAX: usize = 2;

/// What became of it.
enum Done {
    /// It is all here.
    Here(Found),
    /// A file that is too large for that: its name and size.
    Large(fs::File, String, u64),
}

impl From<Found> for Done {
    fn from(found: Found) -> Self {
        Self::Here(found)
    }
}

/// Does it and renders the answer.
pub async fn perform(ask: Ask) -> Reply {
    let asked = ask.clone();
    let done = tokio::task::spawn_blocking(move || find(&asked)).await;
    match done.unwrap_or_else(|error| Found::Failed(error.to_string()).into()) {
        Done::Here(found) => Reply::Full(render_found(&ask, found)),
        Done::Large(file, name, size) => send(file, &name, size),
    }
}

/// Sends a file as fast as the client takes it. It ends early where the file does.
fn send(file: fs::File, name: &str, size: u64) -> Reply {
    let (handle, body) = web::stream(PART_BYTES * (PARTS_WAITING_MAX + 1), PARTS_WAITING_MAX + 1);
    tokio::spawn(async move {
        let mut file = tokio::fs::File::from_std(file).take(size);
        loop {
            let mut part = BytesMut::with_capacity(PART_BYTES);
            match file.read_buf(&mut part).await {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => return tracing::warn!(%error, "a download ends early"),
            }
            handle.room(PART_BYTES * PARTS_WAITING_MAX).await;
            if handle.send(part.freeze()).is_err() {
                return;
            }
        }
    });
    Reply::Stream(head_of_download(name, size), body)
}

fn find(ask: &Ask) -> Done {
    let said = if ask.rest.is_empty() { ask.root.clone() } else { format!("{}/{}", ask.root, ask.rest) };
    let Ok(root) = fs::canonicalize(&ask.root) else { return Found::Missing.into() };
    if !ask.rest.is_empty() && !root.is_dir() {
        return Found::Missing.into();
    }
    let real = match fs::canonicalize(&said) {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Missing.into(),
        Err(error) => {
            return Found::Failed(format!("Failed to determine canonical path of '{said}': {error}")).into();
        }
    };
    if !within(&root.to_string_lossy(), &real.to_string_lossy()) {
        return Found::Outside(said).into();
    }
    let done = match ask.what {
        What::Browse => list(&real).map(|entries| Found::Entries(entries).into()),
        _ if real.is_dir() => return Found::Directory.into(),
        What::Read { .. } | What::Download => match open(&root, &real) {
            Ok(Some(file)) => match ask.what {
                What::Read { offset, length } => part(file, offset, length).map(Done::from),
                _ => whole(file, &real),
            },
            Ok(None) => return Found::Outside(said).into(),
            Err(error) => Err(error),
        },
    };
    done.unwrap_or_else(|error| {
        Found::Failed(format!("Failed to open file at '{}': {error}", real.display())).into()
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

/// The name of a user or group in this file, its number where it has none.
pub(crate) fn name_of(file: &str, id: u32) -> String {
    let id = id.to_string();
    let text = fs::read_to_string(file).unwrap_or_default();
    let found =
        text.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|f| f.get(2) == Some(&id.as_str()));
    found.map_or(id.clone(), |f| f[0].to_owned())
}

/// Opens a regular file, never waiting for one to be written; none if it lies elsewhere by now: whoever owns the sandbox
/// may have put a link in its place since we looked.
fn open(root: &Path, path: &Path) -> io::Result<Option<fs::File>> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NOCTTY;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("Not a regular file"));
    }
    let is = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    Ok(within(&root.to_string_lossy(), &is.to_string_lossy()).then_some(file))
}

fn whole(file: fs::File, path: &Path) -> io::Result<Done> {
    let size = file.metadata()?.len();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if size > PART_BYTES as u64 {
        return Ok(Done::Large(file, name, size));
    }
    let mut data = Vec::new();
    file.take(PART_BYTES as u64).read_to_end(&mut data)?;
    Ok(Found::Whole { name, data }.into())
}

fn part(mut file: fs::File, offset: Option<u64>, length: u64) -> io::Result<Found> {
    let size = file.metadata()?.len();
    let mut data = Vec::new();
    if let Some(offset) = offset.filter(|offset| *offset < size) {
        file.seek(SeekFrom::Start(offset))?;
        file.take(length).read_to_end(&mut data)?;
    }
    Ok(Found::Part { data, size })
}
