//! The fetcher: brings a task's URIs into its sandbox, one after the other, and unpacks archives.
//!
//! Files and http(s). Members of an archive never leave the sandbox. Never decides what a failure means.

use model::container::{ContainerId, Fetch};
use std::{
    fs::{self, File},
    io::{self, Read, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// A transfer that brings nothing for this long has failed.
const STALL: Duration = Duration::from_secs(60);

/// Fetches all; the error names the URI and the reason, in upstream's frame.
pub async fn fetch_all(container: &ContainerId, items: &[Fetch], sandbox: &Path) -> Result<(), String> {
    for item in items {
        fetch_one(item, sandbox).await.map_err(|why| {
            format!("Failed to fetch all URIs for container '{container}': {}: {why}", item.uri)
        })?;
    }
    Ok(())
}

async fn fetch_one(item: &Fetch, sandbox: &Path) -> Result<(), String> {
    let name = match &item.output_file {
        Some(name) => name.clone(),
        None => basename(&item.uri)?,
    };
    let target =
        inside(sandbox, Path::new(&name)).ok_or_else(|| format!("'{name}' would leave the sandbox"))?;
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(|e| format!("can't make {}: {e}", parent.display()))?;
    }
    if item.uri.starts_with("http://") || item.uri.starts_with("https://") {
        download(&item.uri, &target).await?;
    } else {
        let path = item.uri.strip_prefix("file://").unwrap_or(&item.uri);
        if !path.starts_with('/') {
            return Err("only http, https, file and absolute paths are fetched".to_owned());
        }
        fs::copy(path, &target).map_err(|e| e.to_string())?;
    }
    if item.executable {
        fs::set_permissions(&target, fs::Permissions::from_mode(0o755)).map_err(|e| e.to_string())?;
    } else if item.extract {
        let sandbox = sandbox.to_owned();
        tokio::task::spawn_blocking(move || extract(&target, &sandbox))
            .await
            .map_err(|e| e.to_string())?
            .map_err(|e| format!("can't unpack: {e}"))?;
    }
    Ok(())
}

async fn download(uri: &str, target: &Path) -> Result<(), String> {
    let client = reqwest::Client::builder().connect_timeout(STALL).read_timeout(STALL).build();
    let client = client.map_err(|e| e.to_string())?;
    let mut response = client.get(uri).send().await.map_err(|e| root_cause(&e))?;
    if !response.status().is_success() {
        return Err(format!("the server answered {}", response.status()));
    }
    let mut file = File::create(target).map_err(|e| e.to_string())?;
    while let Some(chunk) = response.chunk().await.map_err(|e| root_cause(&e))? {
        file.write_all(&chunk).map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

fn basename(uri: &str) -> Result<String, String> {
    let path = uri.split(['?', '#']).next().unwrap_or(uri);
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    match path.rsplit_once('/') {
        Some((_, name)) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err("the URI names no file".to_owned()),
    }
}

/// The path below the sandbox; none if it would lead out of it.
fn inside(sandbox: &Path, path: &Path) -> Option<PathBuf> {
    let plain = path
        .components()
        .all(|c| matches!(c, std::path::Component::Normal(_) | std::path::Component::CurDir));
    plain.then(|| sandbox.join(path))
}

/// Unpacks by the suffix of the name; what is no archive stays as it is.
fn extract(file: &Path, sandbox: &Path) -> io::Result<()> {
    let name = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let reader = || File::open(file).map(io::BufReader::new);
    let ends = |suffixes: &[&str]| suffixes.iter().any(|s| name.ends_with(s));
    if ends(&[".tar"]) {
        untar(reader()?, sandbox)
    } else if ends(&[".tgz", ".tar.gz"]) {
        untar(flate2::read::MultiGzDecoder::new(reader()?), sandbox)
    } else if ends(&[".gz"]) {
        let plain = file.with_extension("");
        io::copy(&mut flate2::read::MultiGzDecoder::new(reader()?), &mut File::create(plain)?)?;
        Ok(())
    } else if ends(&[".zip"]) {
        zip::ZipArchive::new(reader()?)?.extract(sandbox).map_err(io::Error::from)
    } else if ends(&[".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".bz2", ".xz"]) {
        Err(io::Error::other("bzip2 and xz archives are not unpacked yet; set extract to false, or use gzip"))
    } else {
        Ok(())
    }
}

fn untar(reader: impl Read, sandbox: &Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(reader);
    archive.set_preserve_permissions(true);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.unpack_in(sandbox)? {
            let path = entry.path()?.display().to_string();
            return Err(io::Error::other(format!("member '{path}' would leave the sandbox")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(uri: String) -> Fetch {
        Fetch { uri, extract: true, executable: false, output_file: None }
    }

    fn archive(path: &Path, member: &str) {
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(
            File::create(path).unwrap(),
            flate2::Compression::fast(),
        ));
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..member.len()].copy_from_slice(member.as_bytes());
        header.set_size(5);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, &b"hello"[..]).unwrap();
        builder.into_inner().unwrap().finish().unwrap();
    }

    #[tokio::test]
    async fn archives_are_unpacked_and_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = dir.path().join("sandbox");
        fs::create_dir(&sandbox).unwrap();
        let id = ContainerId("c".into());
        let good = dir.path().join("good.tgz");
        archive(&good, "inner.txt");
        fetch_all(&id, &[item(format!("file://{}", good.display()))], &sandbox).await.unwrap();
        assert_eq!(fs::read_to_string(sandbox.join("inner.txt")).unwrap(), "hello");
        let bad = dir.path().join("bad.tgz");
        archive(&bad, "../outside.txt");
        let why = fetch_all(&id, &[item(bad.display().to_string())], &sandbox).await.unwrap_err();
        assert!(
            why.starts_with("Failed to fetch all URIs for container 'c'") && why.contains("leave"),
            "{why}"
        );
        assert!(!dir.path().join("outside.txt").exists());
        let why = fetch_all(&id, &[item("/no/such/file".into())], &sandbox).await.unwrap_err();
        assert!(why.contains("/no/such/file: No such file"), "{why}");
        let sneaky = Fetch { output_file: Some("../x".into()), ..item(good.display().to_string()) };
        assert!(fetch_all(&id, &[sneaky], &sandbox).await.unwrap_err().contains("leave the sandbox"));
    }
}
