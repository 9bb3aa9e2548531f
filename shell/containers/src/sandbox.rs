//! Sandboxes: made before the fetch, owned by the task's user, found by `runs/latest`.

use model::container::ContainerSpec;
use std::{
    fs, io,
    os::unix::fs::{self as unix, PermissionsExt as _},
    path::Path,
};

/// As upstream's (`src/slave/paths.cpp`): others don't see what a task wrote.
const MODE: u32 = 0o750;

/// Makes the sandbox of a container. The error reads as upstream's, with the reason.
pub fn make(spec: &ContainerSpec) -> Result<(), String> {
    if spec.session {
        // It works in the sandbox of the container around it.
        return Ok(());
    }
    let path = Path::new(&spec.sandbox);
    let failed = |why: String| format!("Failed to create executor directory '{}': {why}", spec.sandbox);
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(MODE)))
        .map_err(|e| failed(e.to_string()))?;
    if let Some(user) = &spec.user
        && linux::process::is_root()
    {
        let user = linux::process::user(user).map_err(failed)?;
        if !linux::process::is_own(&user) {
            unix::chown(path, Some(user.uid), Some(user.gid)).map_err(|e| failed(e.to_string()))?;
        }
    }
    let latest = path.with_file_name("latest");
    // Those of standalone containers stand beside each other.
    let alone = path.parent().and_then(Path::file_name).is_none_or(|dir| dir != "runs");
    if spec.id.parent().is_some() || alone {
        return link(spec).map_err(failed);
    }
    if latest.symlink_metadata().is_ok() {
        fs::remove_file(&latest).map_err(|e| failed(e.to_string()))?;
    }
    unix::symlink(path, &latest).map_err(|e| failed(e.to_string()))?;
    link(spec).map_err(failed)
}

/// The ways by which a nested sandbox is found.
fn link(spec: &ContainerSpec) -> Result<(), String> {
    for (link, target) in &spec.links {
        let link = Path::new(link);
        if let Some(parent) = link.parent() {
            fs::create_dir_all(parent).map_err(|e| e.to_string())?;
        }
        if link.symlink_metadata().is_ok() {
            fs::remove_file(link).map_err(|e| e.to_string())?;
        }
        unix::symlink(target, link).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Removes a sandbox, and the directory of its executor with the last. What is not there is removed already.
pub fn remove(directory: &str) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let Some(runs) = Path::new(directory).parent().filter(|p| p.ends_with("runs")) else { return Ok(()) };
    let latest = runs.join("latest");
    if latest.symlink_metadata().is_ok() && !latest.exists() {
        fs::remove_file(&latest)?;
    }
    // The directory of the executor too, unless it holds another run.
    for holder in runs.ancestors().take(2) {
        if fs::remove_dir(holder).is_err() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executors_directory_goes_with_its_last_run() {
        let dir = tempfile::tempdir().unwrap();
        let executors = dir.path().join("frameworks/F/executors");
        let run = |executor: &str, id: &str| executors.join(executor).join("runs").join(id);
        for (executor, id) in [("a", "1"), ("a", "2"), ("b", "3")] {
            fs::create_dir_all(run(executor, id)).unwrap();
            fs::write(run(executor, id).join("stdout"), "out").unwrap();
        }
        unix::symlink(run("a", "2"), run("a", "latest")).unwrap();
        remove(run("a", "1").to_str().unwrap()).unwrap();
        assert!(run("a", "latest/stdout").exists());
        remove(run("a", "2").to_str().unwrap()).unwrap();
        assert!(!executors.join("a").exists() && run("b", "3").exists());
        remove(run("b", "3").to_str().unwrap()).unwrap();
        assert!(!executors.join("b").exists() && executors.exists());
        remove(run("b", "3").to_str().unwrap()).unwrap();
    }
}
