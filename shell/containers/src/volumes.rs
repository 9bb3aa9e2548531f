//! Volumes: what is bound into a container's mount namespace, and what is linked into its sandbox where that does.
//!
//! Never: whether a volume exists (the agent's operations make persistent ones).

use crate::{beneath, isolation::Isolation};
use linux::{mounts::Bind, process::User};
use model::container::{ContainerSpec, Mount};
use rustix::fs::{FileType, Mode, OFlags};
use std::{
    ffi::CString,
    fs,
    os::{
        fd::OwnedFd,
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::{Path, PathBuf},
};

/// Makes links in the sandbox and says what is to be mounted. `user` gets what is made. What is checked here is what is
/// mounted then: tasks can put something else in its place meanwhile.
pub fn place(spec: &ContainerSpec, isolation: &Isolation, user: Option<&User>) -> Result<Vec<Bind>, String> {
    let mut mounts = Vec::new();
    let root = beneath::outermost(&spec.id, Path::new(&spec.sandbox));
    for volume in &spec.volumes {
        let failed = |why: String| {
            format!("Failed to prepare the volume '{}' of '{}': {why}", volume.target, volume.source)
        };
        if let Some(mount) = one(volume, (&root, &spec.sandbox), isolation, user).map_err(failed)? {
            mounts.push(mount);
        }
    }
    Ok(mounts)
}

fn one(
    volume: &Mount,
    (root, sandbox): (&Path, &str),
    isolation: &Isolation,
    user: Option<&User>,
) -> Result<Option<Bind>, String> {
    let path = Path::new(&volume.source);
    let source = source(volume, root, user).map_err(|why| format!("the source: {why}"))?;
    if let Some(user) = user.filter(|_| volume.own) {
        beneath::give(&source, user.uid, user.gid)?;
    }
    let found = rustix::fs::fstat(&source).map_err(|e| format!("the source: {e}"))?;
    let is_dir = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
    let namespaced = isolation.mount_namespace || isolation.pid_namespace;
    let relative = !volume.target.starts_with('/');
    let target =
        if relative { Path::new(sandbox).join(&volume.target) } else { PathBuf::from(&volume.target) };
    if relative && !(volume.read_only && namespaced) {
        if volume.read_only {
            return Err("a read-only volume needs mount namespaces (--isolation=filesystem/linux)".to_owned());
        }
        let failed = |why: String| format!("the target: {why}");
        let (dir, name) = beneath::parent(root, below(root, &target)?).map_err(failed)?;
        return match rustix::fs::readlinkat(&dir, name, Vec::new()) {
            Ok(old) if old.as_bytes() == path.as_os_str().as_bytes() => Ok(None),
            _ => rustix::fs::symlinkat(path, &dir, name).map(|()| None).map_err(|e| failed(e.to_string())),
        };
    }
    if !namespaced {
        return Err(
            "a volume outside the sandbox needs mount namespaces (--isolation=filesystem/linux)".into()
        );
    }
    let target = if relative {
        mount_point(root, below(root, &target)?, is_dir).map_err(|why| format!("the target: {why}"))?
    } else {
        rustix::fs::open(&target, HELD, Mode::empty())
            .map_err(|_| "an absolute target must exist on the host where no image is used".to_owned())?
    };
    let target = beneath::place(&target).map_err(|why| format!("the target: {why}"))?;
    let text = CString::new(target.into_os_string().into_vec())
        .map_err(|_| "the target: its path holds a zero byte".to_owned())?;
    let bound = Bind::new(&source, text, volume.read_only);
    bound.map(Some).map_err(|e| format!("the source can't be mounted (that needs Linux 5.6): {e}"))
}

/// To be named by a descriptor, and nothing else.
const HELD: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// Opens what a volume is of. In the sandbox only links of our own are followed; what lies elsewhere on the host is found as
/// whoever asks for it names it.
fn source(volume: &Mount, root: &Path, user: Option<&User>) -> Result<OwnedFd, String> {
    let path = Path::new(&volume.source);
    match path.strip_prefix(root) {
        _ if volume.make => make(root, below(root, path)?, user),
        Ok(inside) => beneath::open(root, inside),
        Err(_) => rustix::fs::open(path, HELD, Mode::empty()).map_err(|e| e.to_string()),
    }
}

fn below<'a>(root: &Path, path: &'a Path) -> Result<&'a Path, String> {
    path.strip_prefix(root).map_err(|_| format!("'{}' is not in the sandbox", path.display()))
}

/// Makes the source of a volume in a sandbox, unless it is there.
fn make(root: &Path, path: &Path, user: Option<&User>) -> Result<OwnedFd, String> {
    if !path.as_os_str().is_empty() {
        let (dir, name) = beneath::parent(root, path)?;
        if beneath::kind(&dir, name)?.is_some_and(|kind| kind != FileType::Symlink) {
            return beneath::open(root, path);
        }
    }
    let (made, new) = beneath::directory(root, path, beneath::MODE)?;
    if let Some(user) = user.filter(|_| new) {
        beneath::give(&made, user.uid, user.gid)?;
    }
    Ok(made)
}

/// Opens what a volume is mounted over, and makes it unless it is there.
fn mount_point(root: &Path, path: &Path, is_dir: bool) -> Result<OwnedFd, String> {
    let (dir, name) = beneath::parent(root, path)?;
    match beneath::kind(&dir, name)? {
        // A link is refused there.
        None | Some(FileType::Symlink) if is_dir => {
            beneath::directory(root, path, beneath::MODE).map(|(made, _)| made)
        }
        None => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(&dir, name, flags, Mode::from_raw_mode(0o644)).map_err(|e| e.to_string())
        }
        Some(FileType::Symlink) => Err("a link, which is not followed".to_owned()),
        Some(_) => beneath::open(root, path),
    }
}

/// Makes and removes persistent volumes: what is to go is renamed at once, and removed in the background. `true` beside
/// a path = it is a mount point, which stays.
pub fn change(make: &[String], remove: &[(String, bool)]) -> Result<(), String> {
    for path in make {
        fs::create_dir_all(path)
            .map_err(|e| format!("Failed to create the persistent volume at '{path}': {e}"))?;
    }
    for (path, keep_root) in remove {
        empty(Path::new(path), *keep_root)
            .map_err(|e| format!("Failed to remove the persistent volume at '{path}': {e}"))?;
    }
    Ok(())
}

fn empty(path: &Path, keep_root: bool) -> std::io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    if keep_root {
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            let is_dir = path.symlink_metadata()?.is_dir();
            if is_dir { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
        }
        return Ok(());
    }
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut number = 0;
    let gone = loop {
        let gone = path.with_file_name(format!(".removed-{number}-{name}"));
        if !gone.exists() {
            break gone;
        }
        number += 1;
    };
    fs::rename(path, &gone)?;
    std::thread::spawn(move || {
        if let Err(error) = fs::remove_dir_all(&gone) {
            tracing::warn!(path = %gone.display(), %error, "a removed volume stays behind");
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_made_and_removed_but_mount_points_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let (own, mount) = (path("roles/r/v"), path("mount"));
        change(&[own.clone(), mount.clone()], &[]).unwrap();
        for volume in [&own, &mount] {
            fs::create_dir(format!("{volume}/inner")).unwrap();
            fs::write(format!("{volume}/file"), "x").unwrap();
        }
        change(std::slice::from_ref(&own), &[]).unwrap();
        assert!(Path::new(&format!("{own}/file")).exists(), "what is there already is kept");
        change(&[], &[(own.clone(), false), (mount.clone(), true), (path("never"), false)]).unwrap();
        assert!(!Path::new(&own).exists());
        assert_eq!(fs::read_dir(&mount).unwrap().count(), 0);
        fs::write(path("file"), "").unwrap();
        let why = change(&[path("file/inside")], &[]).unwrap_err();
        assert!(why.starts_with("Failed to create the persistent volume at"), "{why}");
    }

    #[test]
    fn a_volume_in_a_sandbox_leads_nowhere_else_whatever_a_task_left_there() {
        let dir = tempfile::tempdir().unwrap();
        let (around, outside) = (dir.path().join("run"), dir.path().join("outside"));
        let sandbox = around.join("containers/two");
        for made in [&sandbox, &outside, &around.join("data")] {
            fs::create_dir_all(made).unwrap();
        }
        if !beneath::link_of_another(&outside, &around.join("data/evil")) {
            return;
        }
        beneath::link_of_another(&outside.join("file"), &sandbox.join("dangling"));
        beneath::link_of_another(&outside, &sandbox.join("out"));
        let text = |path: &Path| path.display().to_string();
        let id = model::container::ContainerId("run.two".to_owned());
        let program = model::container::Program::Hold;
        let mut spec = ContainerSpec::new(id, text(&sandbox), program);
        let volume = |source: &Path, target: &str, make| Mount {
            source: text(source),
            target: target.to_owned(),
            read_only: false,
            make,
            own: false,
        };
        let plain = Isolation::default();
        let refused = [
            volume(&around.join("data/evil/new"), "w", true),
            volume(&around.join("data/evil"), "w", true),
            volume(&sandbox.join("dangling"), "w", true),
            volume(&outside.join("new"), "w", true),
            volume(&around.join("data"), "out/w", true),
            volume(&around.join("data"), "out", true),
        ];
        for volume in refused {
            spec.volumes = vec![volume];
            assert!(place(&spec, &plain, None).is_err(), "{:?}", spec.volumes);
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "nothing was made there");
        for (target, is_dir) in [("out", true), ("out/w", true), ("dangling", false)] {
            let path = Path::new("containers/two").join(target);
            assert!(mount_point(&around, &path, is_dir).is_err(), "{target}");
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        spec.volumes = vec![volume(&around.join("data/new/own"), "deep/w", true)];
        for _ in 0..2 {
            assert!(place(&spec, &plain, None).expect("links only").is_empty());
        }
        assert_eq!(fs::read_link(sandbox.join("deep/w")).unwrap(), around.join("data/new/own"));
        assert!(around.join("data/new/own").is_dir());
    }
}
