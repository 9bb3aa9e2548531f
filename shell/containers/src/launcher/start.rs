//! How a container is made: its groups and files, its first process, the line in the journal before that begins.

use super::{
    Shared,
    children::Child,
    state::{Container, State},
};
use crate::{
    beneath,
    isolation::Isolation,
    journal::Line,
    switchboard::{self, Board},
    volumes,
};
use linux::{
    cgroups::{Amounts, Cgroups},
    process::{self, User},
    spawn,
};
use model::container::{ContainerSpec, Io, Limits, NOT_EXECUTED, Program};
use std::{
    ffi::CString,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{OnceLock, PoisonError},
};

/// Threads that create containers: each waits for its child's start.
pub const SPAWNERS: usize = 4;

/// What a container is made in.
struct Surroundings {
    isolation: Isolation,
    cgroups: Option<Cgroups>,
    /// The first process of the container whose session this is.
    parent: Option<u32>,
    file_limit: Option<u64>,
}

impl Surroundings {
    fn new(state: &State, spec: &ContainerSpec) -> Self {
        let parent = spec.id.parent().filter(|_| spec.session);
        Self {
            isolation: state.isolation.clone(),
            cgroups: state.cgroups.clone(),
            parent: parent.and_then(|parent| state.running.get(&parent)).map(|c| c.pid),
            file_limit: state.file_limit,
        }
    }
}

/// Makes one container after the other.
pub fn spawner(shared: &Shared) {
    loop {
        let mut state = shared.lock();
        let spec = loop {
            if let Some(spec) = state.next() {
                break spec;
            }
            state = shared.queued.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        let around = Surroundings::new(&state, &spec);
        // Where there are no groups nothing is left that must be found again.
        let noted = match state.cgroups {
            Some(_) => state.journal.write(Line::Making { container: spec.id.clone() }),
            None => Ok(()),
        };
        drop(state);
        let made = match noted {
            Ok(()) => match make(shared, &spec, &around) {
                Err(why) if spec.fails_inside && why.contains(NOT_EXECUTED) => {
                    make(shared, &saying(&spec, &why), &around).map_err(|_| why)
                }
                made => made,
            },
            Err(error) => Err(format!("can't note it in the launcher's journal: {error}")),
        };
        let mut state = shared.lock();
        state.starting.remove(&spec.id);
        match made {
            Ok((container, board)) => state.runs(shared, &spec.id, container, board),
            Err(why) => state.failed(shared, &spec.id, why),
        }
    }
}

/// The same container, which says why its program can't be executed, and fails.
fn saying(spec: &ContainerSpec, why: &str) -> ContainerSpec {
    let script = "printf '%s\\n' \"$0\" >&2; exit 1";
    let arguments = ["sh", "-c", script, why].map(str::to_owned).to_vec();
    let program = Program::Exec { file: "/bin/sh".to_owned(), arguments };
    ContainerSpec { program, ..spec.clone() }
}

fn make(
    shared: &Shared,
    spec: &ContainerSpec,
    around: &Surroundings,
) -> Result<(Container, Option<Board>), String> {
    let (order, board) = prepare(spec, around)?;
    let failed = |e: std::io::Error| format!("Failed to launch container: {e}");
    let newborn = shared.begin(&order, Child::Newborn).map_err(failed)?;
    let pid = newborn.pid;
    // What is not in the journal does not run: whoever follows us must know of it. What executes its program at once has
    // groups of its own, by which it is found.
    let noted = note(shared, spec, pid, order.keeper);
    if let Err(why) = noted {
        shared.abandon(newborn);
        return Err(why);
    }
    let started = shared.go(newborn).map_err(failed)?;
    let container = Container {
        pid: pid as u32,
        started: Some(started),
        sandbox: spec.sandbox.clone(),
        fronted: order.is_fronted(),
        keeper: order.keeper,
        grouped: around.cgroups.is_some(),
        adopted: None,
    };
    Ok((container, board))
}

fn note(shared: &Shared, spec: &ContainerSpec, pid: i32, keeper: bool) -> Result<(), String> {
    let since = process::started(pid).unwrap_or_default();
    let mut state = shared.lock();
    if state.destroyed.contains(&spec.id) || state.stopping {
        return Err("It was destroyed before it began".to_owned());
    }
    let line = Line::Started { container: spec.id.clone(), pid: pid as u32, since, keeper };
    state.journal.write(line).map_err(|e| format!("can't note it in the launcher's journal: {e}"))
}

/// Everything that is made before the process is: groups, files, the order for it.
fn prepare(spec: &ContainerSpec, around: &Surroundings) -> Result<(spawn::Order, Option<Board>), String> {
    let (isolation, cgroups) = (&around.isolation, around.cgroups.as_ref());
    let user = spec.user.as_deref().map(process::user).transpose()?;
    // Switching to oneself needs no privilege and changes nothing.
    let user = user.filter(|_| process::is_root());
    let mut amounts = amounts(&spec.limits);
    amounts.parent = spec.group;
    if spec.shares_memory {
        amounts.memory_max = Some(u64::MAX);
    }
    let groups = match (cgroups, spec.id.parent().filter(|_| spec.session || spec.shares_groups)) {
        (Some(cgroups), Some(parent)) => {
            cgroups.join(&parent.0).map_err(|e| format!("can't join the cgroups: {e}"))?
        }
        (Some(cgroups), None) => {
            cgroups.create(&spec.id.0, &amounts).map_err(|e| format!("can't make the cgroups: {e}"))?
        }
        (None, _) => Vec::new(),
    };
    let sandbox = Path::new(&spec.sandbox);
    let root = beneath::outermost(&spec.id, sandbox);
    let (ends, board) = switchboard::connect(spec.io, (&root, sandbox), spec.session)?;
    let enter = match (
        around.parent,
        isolation.pid_namespace || isolation.mount_namespace || isolation.ipc_namespace,
    ) {
        (Some(pid), true) => {
            spawn::namespaces_of(pid).map_err(|e| format!("can't join the container: {e}"))?
        }
        (None, _) if spec.session => return Err("the container around it is gone".to_owned()),
        _ => Vec::new(),
    };
    let own = !spec.session;
    let (stdout, stderr) = (ends.stdout, ends.stderr);
    if let Some(user) = &user {
        // Who opens /dev/stdout anew must be let in; the descriptor alone does not do that.
        for file in [Some(&stdout), Some(&stderr), ends.stdin.as_ref()].into_iter().flatten() {
            std::os::unix::fs::fchown(file, Some(user.uid), Some(user.gid))
                .map_err(|e| format!("can't give the task's output to its user: {e}"))?;
        }
    }
    let order = order(&spec.program, &spec.environment, &spec.sandbox, user.clone(), stdout, stderr)?;
    let order = spawn::Order {
        cgroups: groups,
        pid_namespace: own && isolation.pid_namespace,
        mount_namespace: own && isolation.mount_namespace,
        ipc_namespace: own && isolation.ipc_namespace,
        mounts: volumes::place(spec, isolation, user.as_ref())?,
        hold: spec.program == Program::Hold,
        enter,
        terminal: matches!(spec.io, Io::Terminal { .. }),
        stdin: ends.stdin.unwrap_or(order.stdin),
        file_limit: around.file_limit,
        ..order
    };
    // Groups know all of their processes, and the init of a pid namespace takes all along.
    let grouped = cgroups.is_some() && !spec.session && !spec.shares_groups;
    let keeper = !grouped && !order.is_fronted() && !order.hold;
    Ok((spawn::Order { keeper, ..order }, board))
}

pub fn order(
    program: &Program,
    environment: &[(String, String)],
    directory: &str,
    user: Option<User>,
    stdout: fs::File,
    stderr: fs::File,
) -> Result<spawn::Order, String> {
    let text = |s: &str| CString::new(s).map_err(|_| format!("'{}' holds a zero byte", s.escape_default()));
    let path = environment.iter().find(|(n, _)| n == "PATH").map_or("/usr/bin:/bin", |(_, v)| v);
    let (file, arguments) = match program {
        Program::Shell(script) => {
            ("/bin/sh".to_owned(), vec!["sh".to_owned(), "-c".to_owned(), script.clone()])
        }
        Program::Exec { file, arguments } => (search(file, path), arguments.clone()),
        Program::Hold => (String::new(), Vec::new()),
    };
    static NULL: OnceLock<fs::File> = OnceLock::new();
    let null = match NULL.get() {
        Some(null) => null.try_clone(),
        None => fs::File::open("/dev/null").and_then(|null| NULL.get_or_init(|| null).try_clone()),
    };
    let null = null.map_err(|e| format!("can't open /dev/null: {e}"))?;
    Ok(spawn::Order {
        file: text(&file)?,
        arguments: arguments.iter().map(|a| text(a)).collect::<Result<_, _>>()?,
        environment: environment.iter().map(|(n, v)| text(&format!("{n}={v}"))).collect::<Result<_, _>>()?,
        directory: text(directory)?,
        stdin: null,
        stdout,
        stderr,
        user,
        cgroups: Vec::new(),
        pid_namespace: false,
        mount_namespace: false,
        ipc_namespace: false,
        mounts: Vec::new(),
        hold: false,
        enter: Vec::new(),
        terminal: false,
        keeper: false,
        file_limit: None,
    })
}

pub fn amounts(limits: &Limits) -> Amounts {
    Amounts {
        cpus: limits.cpus,
        cpus_max: limits.cpus_max,
        memory: limits.mem,
        memory_max: limits.mem_max,
        parent: false,
    }
}

/// As execvp looks for a file.
fn search(file: &str, path: &str) -> String {
    if file.contains('/') {
        return file.to_owned();
    }
    let executable =
        |p: &PathBuf| fs::metadata(p).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    let found = path.split(':').map(|dir| Path::new(dir).join(file)).find(executable);
    found.map_or_else(|| file.to_owned(), |p| p.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::container::{ContainerId, Mount};
    use std::io::Read as _;

    /// A container with a read-only volume `data` of its sandbox at `seen`, both there; where it may be made.
    fn with_a_volume(dir: &Path) -> Option<(ContainerSpec, Isolation)> {
        let isolation = Isolation { mount_namespace: true, ..Isolation::default() };
        if !process::is_root() {
            eprintln!("SKIPPED: only root mounts");
            return None;
        }
        for (place, says) in [("run/data", "mine"), ("run/seen", "covered"), ("outside", "secret")] {
            fs::create_dir_all(dir.join(place)).expect("made");
            fs::write(dir.join(place).join("file"), says).expect("written");
        }
        let sandbox = dir.join("run").display().to_string();
        let id = ContainerId("run".to_owned());
        let mut spec =
            ContainerSpec::new(id, sandbox.clone(), Program::Shell("cat seen/file; touch seen/new".into()));
        spec.volumes = vec![Mount {
            source: format!("{sandbox}/data"),
            target: "seen".to_owned(),
            read_only: true,
            make: true,
            own: false,
        }];
        Some((spec, isolation))
    }

    /// What is said by the container that is made of what was checked before.
    fn run(spec: &ContainerSpec, mounts: Vec<linux::mounts::Bind>) -> std::io::Result<String> {
        let (mut said, out) = std::io::pipe()?;
        let file = || fs::File::from(std::os::fd::OwnedFd::from(out.try_clone().expect("a copy")));
        let path = ("PATH".to_owned(), "/usr/bin:/bin".to_owned());
        let order = order(&spec.program, &[path], &spec.sandbox, None, file(), file()).expect("an order");
        let order = spawn::Order { mount_namespace: true, mounts, ..order };
        let newborn = spawn::begin(&order)?;
        let pid = newborn.pid;
        let started = newborn.go();
        process::reap(pid)?;
        started?;
        drop((order, out));
        let mut text = String::new();
        said.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn a_source_that_is_swapped_for_a_link_after_its_check_is_mounted_as_it_was() {
        let dir = tempfile::tempdir().expect("a directory");
        let Some((spec, isolation)) = with_a_volume(dir.path()) else { return };
        let mounts = volumes::place(&spec, &isolation, None).expect("it is as it should be");
        let data = dir.path().join("run/data");
        fs::rename(&data, dir.path().join("run/data-old")).expect("moved");
        assert!(beneath::link_of_another(&dir.path().join("outside"), &data));
        let said = run(&spec, mounts).expect("it ran");
        assert!(said.starts_with("mine") && said.contains("Read-only file system"), "{said}");
        // Whoever comes now is told of the link.
        let why = volumes::place(&spec, &isolation, None).expect_err("a link");
        assert!(why.contains("the source: ") && why.contains("is a link"), "{why}");
        let mounted = fs::read_to_string("/proc/self/mountinfo").expect("readable");
        assert!(!mounted.contains(&spec.sandbox), "nothing of it is mounted here");
    }

    #[test]
    fn a_target_that_is_swapped_for_a_link_after_its_check_is_not_mounted_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let Some((spec, isolation)) = with_a_volume(dir.path()) else { return };
        for above in [false, true] {
            let mut spec = spec.clone();
            let swapped = dir.path().join("run/seen");
            if above {
                spec.volumes[0].target = "seen/deep".to_owned();
                fs::create_dir_all(dir.path().join("outside/deep")).expect("made");
            }
            let mounts = volumes::place(&spec, &isolation, None).expect("it is as it should be");
            fs::rename(&swapped, dir.path().join("run/seen-old")).expect("moved");
            assert!(beneath::link_of_another(&dir.path().join("outside"), &swapped));
            let why = run(&spec, mounts).expect_err("no link is followed").to_string();
            assert!(why.starts_with("find where a volume is mounted, to which no link may lead"), "{why}");
            fs::remove_file(&swapped).expect("removed");
            fs::rename(dir.path().join("run/seen-old"), &swapped).expect("moved back");
        }
    }
}
