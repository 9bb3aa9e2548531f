//! The fetcher as a process: what it brings, what it unpacks, and what hostile archives can't do.

use containers::fetch_all;
use model::container::{ContainerId, Fetch};
use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
};

fn item(uri: impl AsRef<Path>) -> Fetch {
    let uri = uri.as_ref().display().to_string();
    Fetch { uri, extract: true, executable: false, cache: false, output_file: None }
}

/// What it says when it fails; the reason, which is told in the sandbox alone.
async fn fetch(items: &[Fetch], sandbox: &Path, user: Option<&str>) -> Result<(), String> {
    let program = [env!("CARGO_BIN_EXE_launcher-for-tests").to_owned(), "fetcher".to_owned()];
    let failed = fetch_all(&program, &ContainerId("c".into()), items, sandbox, user).await;
    failed.map_err(|said| {
        let frame =
            "Failed to launch container: Failed to fetch all URIs for container 'c': exited with status 1";
        assert_eq!(said, frame);
        let written = fs::read_to_string(sandbox.join("stderr")).unwrap();
        let last = written.lines().last().unwrap().to_owned();
        assert!(last.starts_with("Failed to fetch "), "{written}");
        last
    })
}

/// A gzipped tar of members: name (taken as it is), kind, mode, and the content or where a link leads.
fn archive(path: &Path, members: &[(&str, tar::EntryType, u32, &str)]) {
    let gzip = flate2::write::GzEncoder::new(File::create(path).unwrap(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(gzip);
    for (name, kind, mode, content) in members {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        let mut body = content.as_bytes();
        if *kind == tar::EntryType::Symlink {
            header.set_link_name_literal(content).unwrap();
            body = b"";
        }
        header.set_size(body.len() as u64);
        header.set_cksum();
        builder.append(&header, body).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap();
}

fn file(name: &str) -> (&str, tar::EntryType, u32, &'static str) {
    (name, tar::EntryType::Regular, 0o644, "hello")
}

/// "hello\n" as bzip2(1), xz(1) and tar(1) pack it: archive, its bytes, the file inside.
const OTHERS: [(&str, &[u8], &str); 4] = [
    ("a.bz2", b"BZh91AY&SY\xc1\xc0\x80\xe2\x00\x00\x01A\x00\x00\x10\x02D\xa0\x000\xcd\x00\xc3F)\x97\x17rE8P\x90\xc1\xc0\x80\xe2", "a"),
    ("c.xz", b"\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4F\x02\x00!\x01\x16\x00\x00\x00t/\xe5\xa3\x01\x00\x05hello\x0a\x00\x00\x00\xa5`\x97\xf1\x94\xf6\xfd\xe0\x00\x01\x1e\x06\xc1/\xa4\x1d\x1f\xb6\xf3}\x01\x00\x00\x00\x00\x04YZ", "c"),
    ("t.tbz2", b"BZh91AY&SY\xf0\x99\xee\x8d\x00\x00+\xdb\x80\xc9\x90@\x01]\x80\x00\x08rD\x9e@\x08\x08 \x00TD\x00\x00\x004\x12\x93SM4z\x99\x0d\x07\xa8\x0f2_!\x11\x01\x9e\x93*\xd8\xe0\x81\x00u\xe2\xb1\x12\xe8\x08YP[Y\xb2\xdaJ9\x82\xb4\xd0\xef\x81\xcf\x08\xf8_\x02\x13\xe2\xeeH\xa7\x0a\x12\x1e\x13=\xd1\xa0", "b.txt"),
    ("u.tar.xz", b"\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4F\x02\x00!\x01\x16\x00\x00\x00t/\xe5\xa3\xe0\x07\xff\x00B]\x00<\x0b\x8a\x87\xc4\x0e\xf2\x97\xa4\xf8u=\xc5\xa9\xed\xd9\x9am\xca\xb5\x84\x0e\xf65\xe5\xac\xcf\x1c\x5c!M\xfaU\xdc\xa8\x03\x01\xfbvR\xecHH\x84\x19<0\xadI\xb0\x11\x07i\x08+\xcd\xb1\xb8nb\x03\x04)\x0b+\x00\x00\x00\x00\xc6\xa1\xa8\x19\xf7\x91\x02\x9d\x00\x01^\x80\x10\x00\x00\x00WZ.\x14\xb1\xc4g\xfb\x02\x00\x00\x00\x00\x04YZ", "x.txt"),
];

#[tokio::test]
async fn archives_are_unpacked_and_stay_inside() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = dir.path().join("sandbox");
    fs::create_dir(&sandbox).unwrap();
    let good = dir.path().join("good.tgz");
    archive(&good, &[file("inner.txt")]);
    fetch(&[item(format!("file://{}", good.display()))], &sandbox, None).await.unwrap();
    assert_eq!(fs::read_to_string(sandbox.join("inner.txt")).unwrap(), "hello");
    let bad = dir.path().join("bad.tgz");
    archive(&bad, &[file("../outside.txt")]);
    let why = fetch(&[item(&bad)], &sandbox, None).await.unwrap_err();
    assert!(why.contains("bad.tgz: can't unpack: ") && why.contains("leave"), "{why}");
    assert!(!dir.path().join("outside.txt").exists());
    for (name, bytes, made) in OTHERS {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        fetch(&[item(&path)], &sandbox, None).await.unwrap();
        assert_eq!(fs::read_to_string(sandbox.join(made)).unwrap(), "hello\n", "{name}");
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let why = fetch(&[item(&path)], &sandbox, None).await.unwrap_err();
        assert!(why.contains("can't unpack"), "half of {name}: {why}");
    }
    let why = fetch(&[item("/no/such/file")], &sandbox, None).await.unwrap_err();
    assert!(why.contains("/no/such/file: No such file"), "{why}");
    let why = fetch(&[item("/dev/zero")], &sandbox, None).await.unwrap_err();
    assert!(why.contains("not a regular file"), "{why}");
    let sneaky = Fetch { output_file: Some("../x".into()), ..item(&good) };
    assert!(fetch(&[sneaky], &sandbox, None).await.unwrap_err().contains("leave the sandbox"));
}

#[tokio::test]
async fn links_of_an_archive_are_never_written_through_and_no_program_is_special() {
    let dir = tempfile::tempdir().unwrap();
    let (sandbox, outside) = (dir.path().join("sandbox"), dir.path().join("outside"));
    fs::create_dir(&sandbox).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "mine").unwrap();
    let links = dir.path().join("links.tgz");
    let precious = outside.join("precious").display().to_string();
    let link = tar::EntryType::Symlink;
    archive(
        &links,
        &[
            ("link", link, 0o777, &precious),
            ("folder", link, 0o777, &outside.display().to_string()),
            ("special", tar::EntryType::Regular, 0o6755, "hello"),
        ],
    );
    let payload = dir.path().join("payload");
    fs::write(&payload, "stolen").unwrap();
    for name in ["link", "folder/precious", "folder/new"] {
        let through = Fetch { output_file: Some(name.into()), ..item(&payload) };
        let why = fetch(&[item(&links), through], &sandbox, None).await.unwrap_err();
        assert!(why.contains("sandbox"), "{name}: {why}");
        fs::remove_file(sandbox.join("link")).unwrap();
        fs::remove_file(sandbox.join("folder")).unwrap();
    }
    assert_eq!(fs::read_to_string(outside.join("precious")).unwrap(), "mine");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::metadata(sandbox.join("special")).unwrap().mode() & 0o7777, 0o755);
}

#[tokio::test]
async fn it_fetches_with_the_rights_of_the_tasks_user() {
    if !linux::process::is_root() {
        eprintln!("SKIPPED: not root, so the fetcher can't become another user");
        return;
    }
    let nobody = linux::process::user("nobody").unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let sandbox = dir.path().join("sandbox");
    fs::create_dir(&sandbox).unwrap();
    chown(&sandbox, Some(nobody.uid), Some(nobody.gid)).unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let why = fetch(&[item(&secret)], &sandbox, Some("nobody")).await.unwrap_err();
    assert!(why.contains("secret: Permission denied"), "{why}");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    fetch(&[item(&secret)], &sandbox, Some("nobody")).await.unwrap();
    assert_eq!(fs::metadata(sandbox.join("secret")).unwrap().uid(), nobody.uid);
    let why = fetch(&[item(&secret)], &sandbox, Some("no such user")).await.unwrap_err();
    assert!(why.contains("no user is called"), "{why}");
}
