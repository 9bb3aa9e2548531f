//! Bytes that lie on a disk: the log of a store, the journal of a launcher, archives that a task fetches, and where a URI's file comes to lie.

use model::{
    container::Fetch,
    save::{Change, Records},
};
use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};
use store::Store;

/// Bytes of an archive that are unpacked: a bomb of this size stays small enough for memory.
const ARCHIVE_BYTES_MAX: usize = 2048;
/// Suffixes that mean an archive.
const SUFFIXES: [&str; 8] = [".tar", ".tgz", ".gz", ".zip", ".tbz2", ".bz2", ".txz", ".xz"];

/// A directory of this process, in memory where that can be had.
fn room() -> &'static Path {
    static ROOM: OnceLock<PathBuf> = OnceLock::new();
    ROOM.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let room = base.join(format!("mesolite-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&room).expect("a directory is made");
        room
    })
}

/// An empty directory of this thread and purpose.
fn empty(name: &str) -> PathBuf {
    let dir = room().join(format!("{name}-{:?}", std::thread::current().id()));
    if dir.exists() {
        std::fs::remove_dir_all(&dir).expect("an old directory goes");
    }
    std::fs::create_dir_all(&dir).expect("a directory is made");
    dir
}

/// The log of a store; the first byte says whether a mark lies beside it, of which the next eight are the number. It is
/// refused, or what was read is there again when it is opened anew, and so is what was written meanwhile.
pub fn store(data: &[u8]) {
    let Some((pick, log)) = data.split_first() else { return };
    let dir = empty("store");
    std::fs::write(dir.join("log"), log).expect("the log is written");
    if pick & 1 == 1 {
        std::fs::write(dir.join("log.mark"), &log[..log.len().min(28)]).expect("the mark is written");
    }
    let read = |store: &Store| -> Option<Records> { store.records("").ok() };
    if let Ok(opened) = Store::open(&dir)
        && let Some(mut records) = read(&opened)
    {
        let put = Change::Put { key: "fuzz".to_owned(), value: vec![*pick] };
        // the term of a log may be the highest there is
        if opened.commit(u64::MAX, vec![put]).wait().is_ok() {
            records.insert("fuzz".to_owned(), vec![*pick]);
        }
        drop(opened);
        let again = Store::open(&dir).expect("what was opened once opens again");
        assert_eq!(read(&again), Some(records));
    }
    std::fs::remove_dir_all(&dir).expect("the directory goes");
}

/// The journal that a launcher left; the first byte says whether the machine was started anew since. Whatever it says, the
/// launcher that follows starts: what it reads is there again when it is followed itself, and so is what it noted.
pub fn journal(data: &[u8]) {
    const BOOT: &str = "1a2b3c4d-0000-4000-8000-000000000001";
    let Some((pick, bytes)) = data.split_first() else { return };
    let dir = empty("journal");
    let path = dir.join("journal");
    std::fs::write(&path, bytes).expect("the journal is written");
    // The agent looks into it before there is a launcher. It changes nothing.
    let lives = containers::lives(&dir);
    assert_eq!(std::fs::read(&path).expect("it is there"), bytes);
    let boot = if pick & 1 == 1 { "another" } else { BOOT };
    let noted = format!("fuzz-{pick}");
    let kept =
        containers::reread_journal(&path, boot, Some(&noted)).expect("a damaged line costs what it said");
    assert!(kept.get(&noted).is_some_and(Option::is_some), "what was noted is known");
    let again = containers::reread_journal(&path, boot, None).expect("its own opens again");
    assert_eq!(kept, again);
    // Nothing of another start of the machine lives; what says so may be a line that was never finished.
    if bytes.ends_with(b"\n") && kept.values().all(Option::is_some) && boot == BOOT {
        assert!(!lives, "it lives, and {kept:?} have all ended");
    }
    std::fs::remove_dir_all(&dir).expect("the directory goes");
}

/// An archive by its suffix, which the first byte picks: nothing of it leaves the sandbox.
pub fn archives(data: &[u8]) {
    let Some((pick, bytes)) = data.split_first() else { return };
    let bytes = &bytes[..bytes.len().min(ARCHIVE_BYTES_MAX)];
    let around = empty("archives");
    let sandbox = around.join("sandbox");
    std::fs::create_dir(&sandbox).expect("the sandbox is made");
    let file = sandbox.join(format!("x{}", SUFFIXES[usize::from(*pick) % SUFFIXES.len()]));
    std::fs::write(&file, bytes).expect("the archive is written");
    // an archive that is none is refused; either way it stays inside
    let _ = containers::unpack(&file, &sandbox);
    let beside: Vec<_> =
        std::fs::read_dir(&around).expect("a directory").flatten().map(|e| e.file_name()).collect();
    assert_eq!(beside, ["sandbox"], "something left the sandbox");
    make_removable(&sandbox);
    std::fs::remove_dir_all(&around).expect("the sandbox goes");
}

/// Archives may make directories that nobody may enter.
fn make_removable(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let open = std::fs::Permissions::from_mode(0o700);
    if std::fs::set_permissions(dir, open).is_err() {
        return;
    }
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_removable(&entry.path());
        }
    }
}

/// A URI and the name that its file is to have, on two lines: the file comes to lie below the sandbox or nowhere, and no
/// error tells a password.
pub fn uris(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (uri, name) = text.split_once('\n').unwrap_or((text, ""));
    let output_file = (!name.is_empty()).then(|| name.to_owned());
    let item = Fetch { uri: uri.to_owned(), extract: true, executable: false, cache: false, output_file };
    if let Ok(target) = containers::fetch_target(&item) {
        let up = |c: std::path::Component<'_>| matches!(c, std::path::Component::ParentDir);
        assert!(target.is_relative() && !target.components().any(up), "{uri:?} goes to {}", target.display());
    }
    let told = containers::redacted(uri);
    if let Some((_, rest)) = uri.split_once("://") {
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        let named = authority.rsplit_once('@').filter(|(user, _)| user.len() > 3);
        if let Some((user, _)) = named {
            let shown = told.split_once("://").map_or("", |(_, rest)| rest);
            assert!(!shown.starts_with(&format!("{user}@")), "{told:?} tells who {uri:?} names");
        }
    }
}
