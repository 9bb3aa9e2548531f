//! Directories below a sandbox, which tasks can change while they are walked: links on the way are followed only if this
//! process made them (as to persistent volumes), so that what is made, and whose it becomes, stays inside. A task that runs
//! as the same user can do nothing by them that it can't do anyway. Never: what is put there.
//!
//! Upstream follows links here (src/slave/containerizer/mesos/isolators/volume/sandbox_path.cpp).

use model::container::ContainerId;
use rustix::{
    fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Uid},
    io::Errno,
};
use std::{
    ffi::{OsStr, OsString},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::ffi::OsStringExt as _,
    },
    path::{Component, Path, PathBuf},
};

/// Of what is made on the way.
pub const MODE: u32 = 0o755;
/// Links in links of our own.
const LINKS_MAX: usize = 8;

/// The sandbox around all that a container's task can reach: the nested ones are inside it. What is above it is the
/// agent's own.
pub fn outermost(id: &ContainerId, sandbox: &Path) -> PathBuf {
    let (mut id, mut path) = (id.clone(), sandbox);
    while let Some(parent) = id.parent() {
        let above = path.parent().filter(|dir| dir.ends_with("containers"));
        // A session works in the sandbox of the container around it.
        if path.file_name() == Some(OsStr::new(id.last()))
            && let Some(around) = above.and_then(Path::parent)
        {
            path = around;
        }
        id = parent;
    }
    path.to_owned()
}

/// Opens a directory below `root`, making what is not there; whether its last part was made.
pub fn directory(root: &Path, below: &Path, mode: u32) -> Result<(OwnedFd, bool), String> {
    walk(root, below, Some(mode), LINKS_MAX)
}

/// Opens what is there below `root`, of whatever kind; makes nothing.
pub fn open(root: &Path, below: &Path) -> Result<OwnedFd, String> {
    walk(root, below, None, LINKS_MAX).map(|(open, _)| open)
}

/// Opens a name in a directory, unless it is a link.
fn step(here: &OwnedFd, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let next = fs::openat(here, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
    let is_link = FileType::from_raw_mode(fs::fstat(&next)?.st_mode) == FileType::Symlink;
    if is_link { Err(Errno::LOOP) } else { Ok(next) }
}

/// `make`: the mode of what is made where nothing is.
fn walk(root: &Path, below: &Path, make: Option<u32>, links: usize) -> Result<(OwnedFd, bool), String> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here = fs::open(root, flags, Mode::empty()).map_err(|e| format!("{}: {e}", root.display()))?;
    let mut made = false;
    let mut parts = names(below)?.into_iter().peekable();
    while let Some(name) = parts.next() {
        let is_last = parts.peek().is_none();
        if let Some(mode) = make {
            let mode = if is_last { mode } else { MODE };
            made = match fs::mkdirat(&here, name, Mode::from_raw_mode(mode)) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(error) => return Err(format!("{}: {error}", below.display())),
            };
        }
        let flags = if is_last && make.is_none() { flags - OFlags::DIRECTORY } else { flags };
        here = match step(&here, name, flags) {
            Ok(next) => next,
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let target = own_link(&here, name).filter(|_| links > 0);
                let target = target.ok_or_else(|| {
                    let name = name.display();
                    format!("{}: '{name}' is a link, which is not followed, or no directory", below.display())
                })?;
                match target.strip_prefix(root) {
                    Ok(inside) => walk(root, inside, make, links - 1)?.0,
                    Err(_) => fs::openat(&here, &target, flags, Mode::empty())
                        .map_err(|e| format!("{}: {e}", target.display()))?,
                }
            }
            Err(error) => return Err(format!("{}: '{}': {error}", below.display(), name.display())),
        };
    }
    Ok((here, made))
}

/// Where a link leads that this process made.
fn own_link(dir: &OwnedFd, name: &OsStr) -> Option<PathBuf> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let link = fs::openat(dir, name, flags, Mode::empty()).ok()?;
    let found = fs::fstat(&link).ok()?;
    let own = FileType::from_raw_mode(found.st_mode) == FileType::Symlink
        && found.st_uid == rustix::process::geteuid().as_raw();
    // The link that was looked at, whatever stands in its place by now.
    let target = fs::readlinkat(&link, "", Vec::new()).ok().filter(|_| own)?;
    Some(PathBuf::from(OsString::from_vec(target.into_bytes())))
}

/// The same for the directory of something, and that one's name.
pub fn parent<'a>(root: &Path, below: &'a Path) -> Result<(OwnedFd, &'a OsStr), String> {
    let name = names(below)?.pop().ok_or_else(|| format!("'{}' names nothing", below.display()))?;
    let parts = names(below)?;
    let above: PathBuf = parts[..parts.len() - 1].iter().collect();
    Ok((directory(root, &above, MODE)?.0, name))
}

/// What stands in a directory by this name, itself and not what it leads to.
pub fn kind(dir: &OwnedFd, name: &OsStr) -> Result<Option<FileType>, String> {
    match fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(FileType::from_raw_mode(found.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(format!("'{}': {error}", name.display())),
    }
}

/// Gives what is open to somebody.
pub fn give(open: &OwnedFd, uid: u32, gid: u32) -> Result<(), String> {
    fs::chownat(open, "", Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::EMPTY_PATH)
        .map_err(|e| e.to_string())
}

/// A path to what is open, for calls that take none.
pub fn by_descriptor(open: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()))
}

/// Where what is open stands now: an absolute path without links.
pub fn place(open: &OwnedFd) -> Result<PathBuf, String> {
    std::fs::read_link(by_descriptor(open)).map_err(|e| format!("/proc: {e}"))
}

fn names(path: &Path) -> Result<Vec<&OsStr>, String> {
    let mut names = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => names.push(name),
            Component::CurDir => {}
            _ => return Err(format!("'{}' leaves the sandbox", path.display())),
        }
    }
    Ok(names)
}

/// Makes a link as a task of another user would; false, and said aloud, where this process is nobody who could.
#[cfg(test)]
pub fn link_of_another(target: &Path, link: &Path) -> bool {
    if !linux::process::is_root() {
        eprintln!("SKIPPED: only root has tasks of other users");
        return false;
    }
    std::os::unix::fs::symlink(target, link).expect("a link");
    std::os::unix::fs::lchown(link, Some(65_534), Some(65_534)).expect("somebody else's");
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_of_our_own_are_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (root, volume) = (dir.path().join("sandbox"), dir.path().join("volume"));
        std::fs::create_dir_all(root.join("data")).expect("made");
        std::fs::create_dir(&volume).expect("made");
        symlink(&volume, root.join("kept")).expect("a link");
        symlink(root.join("data"), root.join("inside")).expect("a link");
        symlink(root.join("round"), root.join("round")).expect("a link");
        assert!(directory(&root, Path::new("kept/new"), MODE).expect("made").1);
        assert!(directory(&root, Path::new("inside/new"), MODE).expect("made").1);
        assert!(volume.join("new").is_dir() && root.join("data/new").is_dir());
        assert!(directory(&root, Path::new("round"), MODE).is_err());
    }

    #[test]
    fn links_of_tasks_are_not_followed_wherever_they_stand() {
        let dir = tempfile::tempdir().expect("a directory");
        let (root, outside) = (dir.path().join("sandbox"), dir.path().join("outside"));
        std::fs::create_dir_all(root.join("data")).expect("made");
        std::fs::create_dir(&outside).expect("made");
        if !link_of_another(&outside, &root.join("data/evil")) {
            return;
        }
        link_of_another(Path::new("/no/such/place"), &root.join("dangling"));
        // one of our own that leads to it does not help
        symlink(root.join("data/evil"), root.join("ours")).expect("a link");
        assert!(directory(&root, Path::new("ours/new"), MODE).is_err());
        for path in ["data/evil", "data/evil/new", "dangling", "dangling/new"] {
            let why = directory(&root, Path::new(path), MODE).expect_err(path);
            assert!(why.contains("is a link"), "{why}");
        }
        for path in ["../outside/new", "/etc/new", "data/../../outside/new"] {
            assert!(directory(&root, Path::new(path), MODE).is_err(), "{path}");
            assert!(parent(&root, Path::new(path)).is_err(), "{path}");
        }
        assert_eq!(std::fs::read_dir(&outside).expect("it is there").count(), 0);
        assert!(directory(&root, Path::new("data/./a/b/"), MODE).expect("made").1);
        assert!(!directory(&root, Path::new("data/a/b"), MODE).expect("there").1);
        let (data, name) = parent(&root, Path::new("data/evil")).expect("its directory");
        assert_eq!(kind(&data, name), Ok(Some(FileType::Symlink)));
        assert_eq!(kind(&data, OsStr::new("none")), Ok(None));
        std::fs::write(root.join("data/file"), "").expect("written");
        for path in ["data/evil", "data/evil/new", "dangling", "ours", "none", "data/file/new", "../outside"]
        {
            assert!(open(&root, Path::new(path)).is_err(), "{path}");
        }
        for path in ["data/a/b", "data/file", ""] {
            let found = place(&open(&root, Path::new(path)).expect(path)).expect("its place");
            assert_eq!(found, root.join(path).canonicalize().expect("it is there"));
        }
        assert!(!root.join("none").exists(), "nothing is made");
    }

    #[test]
    fn the_outermost_sandbox_is_above_all_that_tasks_can_change() {
        let of = |id: &str, sandbox: &str| {
            outermost(&ContainerId(id.to_owned()), Path::new(sandbox)).display().to_string()
        };
        assert_eq!(of("a", "/w/runs/a"), "/w/runs/a");
        assert_eq!(of("a.b", "/w/runs/a/containers/b"), "/w/runs/a");
        assert_eq!(of("a.b.c", "/w/runs/a/containers/b/containers/c"), "/w/runs/a");
        assert_eq!(of("a.b.session", "/w/runs/a/containers/b"), "/w/runs/a");
        assert_eq!(of("a.session", "/w/containers/a"), "/w/containers/a");
    }
}
