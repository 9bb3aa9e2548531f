//! Sandboxes: made before the fetch, owned by the task's user, found by `runs/latest`.

use model::container::ContainerSpec;
use std::{fs, os::unix::fs as unix, path::Path};

/// Makes the sandbox of a container. The error reads as upstream's, with the reason.
pub fn make(spec: &ContainerSpec) -> Result<(), String> {
    let path = Path::new(&spec.sandbox);
    let failed = |why: String| format!("Failed to create executor directory '{}': {why}", spec.sandbox);
    fs::create_dir_all(path).map_err(|e| failed(e.to_string()))?;
    if let Some(user) = &spec.user
        && linux::process::is_root()
    {
        let user = linux::process::user(user).map_err(failed)?;
        unix::chown(path, Some(user.uid), Some(user.gid)).map_err(|e| failed(e.to_string()))?;
    }
    let latest = path.with_file_name("latest");
    if latest.symlink_metadata().is_ok() {
        fs::remove_file(&latest).map_err(|e| failed(e.to_string()))?;
    }
    unix::symlink(path, &latest).map_err(|e| failed(e.to_string()))
}
