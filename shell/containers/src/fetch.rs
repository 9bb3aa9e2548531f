//! The fetcher: brings a task's URIs into its sandbox, one after the other, and unpacks archives.
//!
//! A process of its own that is the task's user: what an archive does with links or modes, it does with that user's
//! rights alone (upstream: src/launcher/fetcher.cpp). Never decides what a failure means.

use model::container::{ContainerId, Fetch};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Component, Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Duration,
};
use tokio::{io::AsyncWriteExt as _, process::Command};

/// A transfer that brings nothing for this long has failed.
const STALL: Duration = Duration::from_secs(60);
/// What a fetcher may say about its failure.
const WHY_BYTES_MAX: usize = 4096;
/// Bits that give a program other rights than its caller's: never taken over from an archive.
const SPECIAL_BITS: u32 = 0o7000;

/// What a fetcher process is asked for on its stdin.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    user: Option<String>,
    items: Vec<Fetch>,
}

/// Fetches all into a sandbox, as `user` where we may become others; `program` is the file to execute and its arguments
/// that lead to [`main`]. The error is upstream's; which URI it was and why stands in the sandbox's `stderr`, as
/// upstream's fetcher writes there, and in the log. Dropping the future ends the fetch.
pub async fn fetch_all(
    program: &[String],
    container: &ContainerId,
    items: &[Fetch],
    sandbox: &Path,
    user: Option<&str>,
) -> Result<(), String> {
    let request = Request { user: user.map(str::to_owned), items: items.to_vec() };
    let why = match ask(program, &request, sandbox).await {
        Ok(None) => return Ok(()),
        Ok(Some(failed)) => {
            tracing::warn!(%container, why = failed.why, "a fetch failed");
            failed.status
        }
        Err(error) => error.to_string(),
    };
    Err(format!("Failed to launch container: Failed to fetch all URIs for container '{container}': {why}"))
}

/// A fetcher that failed.
struct Failed {
    /// How it ended, in upstream's words.
    status: String,
    /// What it said.
    why: String,
}

/// Runs a fetcher process; how it failed, if it did.
async fn ask(program: &[String], request: &Request, sandbox: &Path) -> io::Result<Option<Failed>> {
    let [file, arguments @ ..] = program else { return Err(io::Error::other("there is no fetcher")) };
    let mut child = Command::new(file)
        .args(arguments)
        .current_dir(sandbox)
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&serde_json::to_vec(request)?).await?;
    }
    let output = child.wait_with_output().await?;
    if output.status.success() {
        return Ok(None);
    }
    let why = String::from_utf8_lossy(&output.stderr[..output.stderr.len().min(WHY_BYTES_MAX)]);
    let status = match output.status.code() {
        Some(code) => format!("exited with status {code}"),
        None => format!("ended with {}", output.status),
    };
    Ok(Some(Failed { status, why: why.trim().to_owned() }))
}

/// The fetcher process: its working directory is the sandbox, its request comes on stdin, its failure goes to stderr.
pub fn main() -> ExitCode {
    let done = serde_json::from_reader(io::stdin().lock()).map_err(|e| e.to_string()).and_then(|r| serve(&r));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            // Who looks after its task finds it there; a disk that is full is the reason itself.
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .custom_flags(linux::process::NO_FOLLOW)
                .open("stderr");
            file.and_then(|mut file| writeln!(file, "Failed to fetch {why}")).unwrap_or_default();
            ExitCode::FAILURE
        }
    }
}

fn serve(request: &Request) -> Result<(), String> {
    if let Some(name) = &request.user
        && linux::process::is_root()
    {
        let user = linux::process::user(name)?;
        linux::process::become_user(&user).map_err(|e| format!("can't become user '{name}': {e}"))?;
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        for item in &request.items {
            fetch_one(item).await.map_err(|why| format!("{}: {why}", redacted(&item.uri)))?;
        }
        Ok(())
    })
}

/// Where the file of a URI comes to lie, below the sandbox, which is the working directory.
pub fn fetch_target(item: &Fetch) -> Result<PathBuf, String> {
    let name = match &item.output_file {
        Some(name) => name.clone(),
        None => basename(&item.uri)?,
    };
    inside(Path::new(&name)).ok_or_else(|| format!("'{name}' would leave the sandbox"))
}

async fn fetch_one(item: &Fetch) -> Result<(), String> {
    let target = fetch_target(item)?;
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(|e| format!("can't make {}: {e}", parent.display()))?;
    }
    let mut file =
        create(&target).map_err(|e| format!("can't write '{}' in the sandbox: {e}", target.display()))?;
    if item.uri.starts_with("http://") || item.uri.starts_with("https://") {
        download(&item.uri, &mut file).await?;
    } else {
        let path = item.uri.strip_prefix("file://").unwrap_or(&item.uri);
        if !path.starts_with('/') {
            return Err("only http, https, file and absolute paths are fetched".to_owned());
        }
        let mut source = File::open(path).map_err(|e| e.to_string())?;
        if !source.metadata().is_ok_and(|m| m.is_file()) {
            return Err("is not a regular file".to_owned());
        }
        io::copy(&mut source, &mut file).map_err(|e| e.to_string())?;
        let mode = source.metadata().map_or(0o644, |m| m.permissions().mode()) & 0o777;
        file.set_permissions(fs::Permissions::from_mode(mode)).map_err(|e| e.to_string())?;
    }
    if item.executable {
        file.set_permissions(fs::Permissions::from_mode(0o755)).map_err(|e| e.to_string())?;
    } else if item.extract {
        drop(file);
        unpack(&target, Path::new(".")).map_err(|e| format!("can't unpack: {e}"))?;
    }
    Ok(())
}

async fn download(uri: &str, file: &mut File) -> Result<(), String> {
    let client = reqwest::Client::builder().connect_timeout(STALL).read_timeout(STALL).build();
    let client = client.map_err(|e| e.to_string())?;
    let mut response = client.get(uri).send().await.map_err(|e| root_cause(&e.without_url()))?;
    if !response.status().is_success() {
        return Err(format!("the server answered {}", response.status()));
    }
    while let Some(chunk) = response.chunk().await.map_err(|e| root_cause(&e.without_url()))? {
        file.write_all(&chunk).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// A URI as it may be told: whom it names, with a password or a token, and a query, where signed addresses carry their
/// key, go nowhere but to its server.
pub fn redacted(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    let (rest, query) = rest.find('?').map_or((rest, ""), |at| (&rest[..at], "?***"));
    let end = rest.find(['/', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://***{}{query}", &rest[at..]),
        None => format!("{scheme}://{rest}{query}"),
    }
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

/// The path as one below the sandbox; none if it would lead out of it by name or by a link that an archive left.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut target = PathBuf::from(".");
    for component in path.components() {
        if target.symlink_metadata().is_ok_and(|m| m.is_symlink()) {
            return None;
        }
        match component {
            Component::Normal(name) => target.push(name),
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(target)
}

/// A file in the sandbox, empty; never what a link there leads to.
fn create(target: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(linux::process::NO_FOLLOW)
        .open(target)
}

/// Unpacks into a sandbox, by the suffix of the name; what is no archive stays as it is.
pub fn unpack(file: &Path, sandbox: &Path) -> io::Result<()> {
    let name = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let reader = || File::open(file).map(io::BufReader::new);
    let ends = |suffixes: &[&str]| suffixes.iter().any(|s| name.ends_with(s));
    if ends(&[".tar"]) {
        untar(reader()?, sandbox)
    } else if ends(&[".tgz", ".tar.gz"]) {
        untar(flate2::read::MultiGzDecoder::new(reader()?), sandbox)
    } else if ends(&[".gz"]) {
        plain(file, flate2::read::MultiGzDecoder::new(reader()?))
    } else if ends(&[".zip"]) {
        zip::ZipArchive::new(reader()?)?.extract(sandbox).map_err(io::Error::from)
    } else if ends(&[".tbz2", ".tar.bz2"]) {
        untar(bzip2::read::MultiBzDecoder::new(reader()?), sandbox)
    } else if ends(&[".txz", ".tar.xz"]) {
        untar(lzma_rust2::XzReader::new(reader()?, true), sandbox)
    } else if ends(&[".bz2"]) {
        plain(file, bzip2::read::MultiBzDecoder::new(reader()?))
    } else if ends(&[".xz"]) {
        plain(file, lzma_rust2::XzReader::new(reader()?, true))
    } else {
        Ok(())
    }
}

/// One compressed file becomes the same without its suffix.
fn plain(file: &Path, mut reader: impl Read) -> io::Result<()> {
    io::copy(&mut reader, &mut create(&file.with_extension(""))?)?;
    Ok(())
}

fn untar(reader: impl Read, sandbox: &Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(reader);
    archive.set_preserve_permissions(true);
    archive.set_mask(SPECIAL_BITS);
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
    use super::redacted;

    #[test]
    fn nobody_is_told_who_a_uri_names() {
        assert_eq!(redacted("http://user:sekret@host:80/x@1?a=b"), "http://***@host:80/x@1?***");
        assert_eq!(redacted("https://a:p@ss@host"), "https://***@host");
        assert_eq!(redacted("http://host/x?X-Amz-Signature=sekret@b"), "http://host/x?***");
        for same in ["http://host/@x", "/a/b@c", "file:///a@b"] {
            assert_eq!(redacted(same), same);
        }
    }
}
