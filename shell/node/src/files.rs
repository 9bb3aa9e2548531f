//! Reads of sandboxes for `/files/*`. Which paths may be read is decided before (`endpoints::agent`).

use bytes::Bytes;
use endpoints::agent::{Entry, Perform, render_listing, render_part};
use http::{HeaderValue, Response, header};
use model::request::Answer;
use std::{
    fs, io,
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
};

/// Does it and renders the answer.
pub async fn perform(perform: Perform) -> Response<Bytes> {
    let done = tokio::task::spawn_blocking(move || match perform {
        Perform::Browse { path } => list(&path).map(|all| render_listing(&all)),
        Perform::Read { path, offset, length } => {
            part(&path, offset, length).map(|(d, o)| render_part(&d, o))
        }
        Perform::Download { path } => download(&path),
        Perform::Session { .. } | Perform::Output { .. } => Err(io::Error::other("this is no file")),
    })
    .await;
    match done {
        Ok(Ok(response)) => response,
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            endpoints::render(Answer::text(404, "File not found.\n"))
        }
        Ok(Err(error)) => endpoints::render(Answer::text(500, format!("{error}\n"))),
        Err(error) => endpoints::render(Answer::text(500, format!("{error}\n"))),
    }
}

fn list(path: &str) -> io::Result<Vec<Entry>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let Ok(meta) = entry.metadata() else { continue };
        all.push(Entry {
            path: format!("{}/{}", path.trim_end_matches('/'), entry.file_name().to_string_lossy()),
            nlink: meta.nlink(),
            size: meta.size(),
            mtime: meta.mtime() as f64,
            mode: mode(&meta),
            uid: name_of("/etc/passwd", meta.uid()),
            gid: name_of("/etc/group", meta.gid()),
        });
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(all)
}

fn mode(meta: &fs::Metadata) -> String {
    let kind = if meta.is_dir() {
        'd'
    } else if meta.is_symlink() {
        'l'
    } else {
        '-'
    };
    let bits = meta.mode();
    let letters = "rwxrwxrwx".chars().enumerate();
    let rights: String = letters.map(|(i, c)| if bits & (0o400 >> i) != 0 { c } else { '-' }).collect();
    format!("{kind}{rights}")
}

fn name_of(file: &str, id: u32) -> String {
    let id = id.to_string();
    let text = fs::read_to_string(file).unwrap_or_default();
    let found =
        text.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|f| f.get(2) == Some(&id.as_str()));
    found.map_or(id.clone(), |f| f[0].to_owned())
}

fn part(path: &str, offset: Option<u64>, length: u64) -> io::Result<(Vec<u8>, u64)> {
    let mut file = fs::File::open(path)?;
    let meta = file.metadata()?;
    if meta.is_dir() {
        return Err(io::Error::other("Cannot read from a directory."));
    }
    let Some(offset) = offset else { return Ok((Vec::new(), meta.len())) };
    file.seek(SeekFrom::Start(offset))?;
    let mut data = Vec::new();
    file.take(length).read_to_end(&mut data)?;
    Ok((data, offset))
}

fn download(path: &str) -> io::Result<Response<Bytes>> {
    let mut response = Response::new(Bytes::from(fs::read(path)?));
    let name = path.rsplit('/').next().unwrap_or("file");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename={name}")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}
