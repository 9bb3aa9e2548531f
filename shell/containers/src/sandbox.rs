//! Sandboxes: made before the fetch, owned by the task's user, found by `runs/latest`.

use crate::beneath;
use model::container::ContainerSpec;
use rustix::fs::AtFlags;
use std::{
    fs, io,
    os::unix::fs::{self as unix, DirBuilderExt as _, PermissionsExt as _},
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
    let root = beneath::outermost(&spec.id, path);
    let failed = |why: String| format!("Failed to create executor directory '{}': {why}", spec.sandbox);
    if root != path {
        return nested(spec, &root).and_then(|()| link(spec, &root)).map_err(failed);
    }
    let first_run = make_directories(path).map_err(|e| failed(e.to_string()))?;
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
        return link(spec, &root).map_err(failed);
    }
    if !first_run && latest.symlink_metadata().is_ok() {
        fs::remove_file(&latest).map_err(|e| failed(e.to_string()))?;
    }
    unix::symlink(path, &latest).map_err(|e| failed(e.to_string()))?;
    link(spec, &root).map_err(failed)
}

/// Makes a sandbox inside another, which tasks can change meanwhile.
fn nested(spec: &ContainerSpec, root: &Path) -> Result<(), String> {
    let below = Path::new(&spec.sandbox).strip_prefix(root).map_err(|e| e.to_string())?;
    let (made, _) = beneath::directory(root, below, MODE)?;
    let mode = fs::Permissions::from_mode(MODE);
    fs::set_permissions(beneath::by_descriptor(&made), mode).map_err(|e| e.to_string())?;
    if let Some(user) = &spec.user
        && linux::process::is_root()
    {
        let user = linux::process::user(user)?;
        if !linux::process::is_own(&user) {
            beneath::give(&made, user.uid, user.gid)?;
        }
    }
    Ok(())
}

/// Makes the sandbox and what is above it; whether its parent was not there before. What is there is left as it is, but
/// for the mode of the sandbox itself.
fn make_directories(path: &Path) -> io::Result<bool> {
    let new = |dir: &Path, mode: u32| match fs::DirBuilder::new().mode(mode).create(dir) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    };
    // Most are the first of a new executor, in a directory that has others: looking for what there is from the sandbox
    // upwards would fail twice.
    let mut above = path.ancestors().skip(1).take(2);
    let (parent, executor) = (above.next(), above.next());
    let made = executor.map_or(Ok(true), |dir| new(dir, 0o777)).and_then(|_| match parent {
        Some(parent) => new(parent, 0o777),
        None => Ok(false),
    });
    let first = match made {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            parent.map_or(Ok(()), fs::create_dir_all)?;
            true
        }
        made => made?,
    };
    let made = new(path, MODE)?;
    if !made || linux::process::umask() & MODE != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    }
    Ok(first)
}

/// The ways by which a nested sandbox is found.
fn link(spec: &ContainerSpec, root: &Path) -> Result<(), String> {
    for (link, target) in &spec.links {
        let below =
            Path::new(link).strip_prefix(root).map_err(|_| format!("'{link}' is not in the sandbox"))?;
        let (dir, name) = beneath::parent(root, below)?;
        if beneath::kind(&dir, name)?.is_some() {
            rustix::fs::unlinkat(&dir, name, AtFlags::empty()).map_err(|e| e.to_string())?;
        }
        rustix::fs::symlinkat(target.as_str(), &dir, name).map_err(|e| e.to_string())?;
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
    fn a_nested_sandbox_is_made_inside_the_one_around_it_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let (around, outside) = (dir.path().join("run"), dir.path().join("outside"));
        for made in [&around, &outside] {
            fs::create_dir(made).unwrap();
        }
        let spec = |name: &str| {
            let id = model::container::ContainerId(format!("run.{name}"));
            let sandbox = around.join("containers").join(name).display().to_string();
            let mut spec = ContainerSpec::new(id, sandbox.clone(), model::container::Program::Hold);
            spec.links.push((around.join("tasks").join(name).display().to_string(), sandbox));
            spec
        };
        for _ in 0..2 {
            make(&spec("a")).unwrap();
        }
        assert_eq!(fs::metadata(around.join("containers/a")).unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(fs::read_link(around.join("tasks/a")).unwrap(), around.join("containers/a"));
        for replaced in ["tasks", "containers"] {
            fs::rename(around.join(replaced), around.join(format!("{replaced}-old"))).unwrap();
            if !beneath::link_of_another(&outside, &around.join(replaced)) {
                return;
            }
            assert!(make(&spec("b")).unwrap_err().contains("is a link"), "{replaced}");
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{replaced}");
        }
    }

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
