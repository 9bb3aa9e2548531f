//! Volumes: what is bound into a container's mount namespace, and what is linked into its sandbox where that does.
//!
//! Never: whether a volume exists (the agent's operations make persistent ones).

use crate::isolation::Isolation;
use linux::process::User;
use model::container::{ContainerSpec, Mount};
use std::{
    ffi::CString,
    fs,
    os::unix::fs as unix,
    path::{Path, PathBuf},
};

/// Makes links in the sandbox and says what is to be mounted: source, target, read-only. `user` gets what is made.
pub fn place(
    spec: &ContainerSpec,
    isolation: &Isolation,
    user: Option<&User>,
) -> Result<Vec<(CString, CString, bool)>, String> {
    let mut mounts = Vec::new();
    for volume in &spec.volumes {
        let failed = |why: String| {
            format!("Failed to prepare the volume '{}' of '{}': {why}", volume.target, volume.source)
        };
        if let Some(mount) = one(volume, &spec.sandbox, isolation, user).map_err(failed)? {
            mounts.push(mount);
        }
    }
    Ok(mounts)
}

fn one(
    volume: &Mount,
    sandbox: &str,
    isolation: &Isolation,
    user: Option<&User>,
) -> Result<Option<(CString, CString, bool)>, String> {
    let source = Path::new(&volume.source);
    if volume.make && !source.exists() {
        fs::create_dir_all(source).map_err(|e| e.to_string())?;
        if let Some(user) = user {
            unix::chown(source, Some(user.uid), Some(user.gid)).map_err(|e| e.to_string())?;
        }
    }
    if let Some(user) = user.filter(|_| volume.own) {
        unix::chown(source, Some(user.uid), Some(user.gid)).map_err(|e| e.to_string())?;
    }
    let is_dir = fs::metadata(source).map_err(|e| format!("the source: {e}"))?.is_dir();
    let namespaced = isolation.mount_namespace || isolation.pid_namespace;
    let relative = !volume.target.starts_with('/');
    let target =
        if relative { Path::new(sandbox).join(&volume.target) } else { PathBuf::from(&volume.target) };
    if relative && !(volume.read_only && namespaced) {
        if volume.read_only {
            return Err("a read-only volume needs mount namespaces (--isolation=filesystem/linux)".to_owned());
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(|e| e.to_string())?;
        }
        return match fs::read_link(&target) {
            Ok(old) if old == source => Ok(None),
            _ => unix::symlink(source, &target).map(|()| None).map_err(|e| format!("the target: {e}")),
        };
    }
    if !namespaced {
        return Err(
            "a volume outside the sandbox needs mount namespaces (--isolation=filesystem/linux)".into()
        );
    }
    if relative && !target.exists() {
        let made = if is_dir { fs::create_dir_all(&target) } else { fs::write(&target, "") };
        made.map_err(|e| e.to_string())?;
    }
    if !target.exists() {
        return Err("an absolute target must exist on the host where no image is used".to_owned());
    }
    let text = |path: &Path| {
        CString::new(path.display().to_string()).map_err(|_| "the path holds a zero byte".to_owned())
    };
    Ok(Some((text(source)?, text(&target)?, volume.read_only)))
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
}
