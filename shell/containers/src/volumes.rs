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
