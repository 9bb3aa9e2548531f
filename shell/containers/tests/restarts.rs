//! Agents and launchers that die in the middle of launches, agents that do not listen, and tasks that leave something
//! behind: what is meant and what runs stay the same.

mod world;

use containers::{Ended, Isolation, Known, Launcher};
use model::container::{ContainerId, Program, Termination};
use std::{
    collections::BTreeSet,
    io::Write as _,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use world::{PATIENCE, World, linux_started, spec};

fn id(name: &str) -> ContainerId {
    ContainerId(name.into())
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Every process whose command line begins with this, or ends with this path.
fn processes(text: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if (line.starts_with(text) || (text.starts_with('/') && line.trim().ends_with(text)))
            && linux_started(pid)
        {
            found.push(pid);
        }
    }
    found
}

fn launcher_of(dir: &Path) -> i32 {
    let all = processes(&format!("{}", dir.join("launcher").display()));
    // What stands before a task is a copy of it, and its child.
    let parent = |pid: &i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("PPid:"));
        line.and_then(|l| l.trim().parse::<i32>().ok()).unwrap_or_default()
    };
    let found: Vec<_> = all.iter().filter(|pid| !all.contains(&parent(pid))).collect();
    assert_eq!(found.len(), 1, "one launcher in {}", dir.display());
    *found[0]
}

fn kill(pid: i32) {
    // By a system call: a bare machine has no kill(1).
    linux::process::signal(pid, 9);
}

/// A script that notes that it ran, then stays.
fn noted(dir: &Path, name: &str) -> String {
    format!("echo ran >> {}; exec sleep 1000", runs(dir, name).display())
}

fn runs(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("ran-{name}"))
}

fn times(dir: &Path, name: &str) -> usize {
    std::fs::read_to_string(runs(dir, name)).unwrap_or_default().lines().count()
}

#[tokio::test]
async fn an_agent_that_dies_during_launches_hears_of_all_of_them_and_may_order_them_again() {
    const TASKS: usize = 120;
    let w = World::posix().await;
    let World { dir, options, launcher, mut words } = w;
    let names: Vec<_> = (0..TASKS).map(|n| format!("t{n}")).collect();
    for name in &names {
        launcher.launch(spec(dir.path(), name, &noted(dir.path(), name))).await;
    }
    assert!(matches!(words.recv().await, Some(Ended::Launched { .. })));
    drop((launcher, words));
    let (launcher, known, mut words) = Launcher::start(options.clone()).await.unwrap();
    let Known { running, starting, ended } = known;
    assert!(ended.is_empty(), "{ended:?}");
    let mut all: BTreeSet<_> = starting.into_iter().collect();
    let on_the_way = all.len();
    all.extend(running.iter().map(|(c, _)| c.clone()));
    assert_eq!(all.len(), running.len() + on_the_way, "a container is in one place only");
    // Those that never left the old agent's end of the socket are ordered now; the others a second time.
    for name in &names {
        launcher.launch(spec(dir.path(), name, &noted(dir.path(), name))).await;
    }
    let mut launched = running.len();
    while launched < TASKS {
        match tokio::time::timeout(PATIENCE, words.recv()).await.unwrap() {
            Some(Ended::Launched { .. }) => launched += 1,
            other => panic!("{other:?}"),
        }
    }
    eventually("all of them run", || names.iter().all(|n| times(dir.path(), n) > 0)).await;
    assert!(names.iter().all(|n| times(dir.path(), n) == 1), "none runs twice");
    World { dir, options, launcher, words }.stop().await;
}

#[tokio::test]
async fn a_launcher_that_is_killed_during_launches_leaves_nothing_that_nobody_knows() {
    const TASKS: usize = 120;
    let w = World::posix().await;
    let World { dir, options, launcher, mut words } = w;
    let names: Vec<_> = (0..TASKS).map(|n| format!("t{n}")).collect();
    for name in &names {
        launcher.launch(spec(dir.path(), name, &noted(dir.path(), name))).await;
    }
    for _ in 0..20 {
        assert!(matches!(words.recv().await, Some(Ended::Launched { .. })));
    }
    kill(launcher_of(dir.path()));
    while !matches!(tokio::time::timeout(PATIENCE, words.recv()).await.unwrap(), Some(Ended::LauncherLost)) {}
    let refused = launcher.execute(id("t0"), Program::Shell("true".into()), Vec::new(), None, PATIENCE);
    assert_eq!(refused.await, Err("the launcher is gone".to_owned()), "nobody waits for ever");
    let (launcher, known, words) = Launcher::start(options.clone()).await.unwrap();
    let Known { running, starting, ended } = known;
    assert!(starting.is_empty() && running.len() >= 20, "{} running", running.len());
    let known: BTreeSet<_> =
        running.iter().map(|(c, _)| c.clone()).chain(ended.iter().map(|(c, _)| c.clone())).collect();
    let mut w = World { dir, options, launcher, words };
    for name in names.iter().filter(|n| !known.contains(&id(n))) {
        assert_eq!(times(w.dir.path(), name), 0, "what is not in the journal never ran");
        w.launcher.launch(spec(w.dir.path(), name, &noted(w.dir.path(), name))).await;
        loop {
            // Those that were about to run when the launcher was killed have ended since.
            match w.word().await {
                Ended::Launched { container, .. } if container == id(name) => break,
                Ended::Terminated { how: Termination::Unknown, .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(names.iter().all(|n| times(w.dir.path(), n) <= 1));
    for (container, pid) in running {
        assert!(linux_started(pid as i32) || times(w.dir.path(), &container.0) == 0);
        w.launcher.destroy(container).await;
    }
    w.stop().await;
}

#[tokio::test]
async fn what_is_destroyed_before_it_is_made_is_not_made() {
    let mut w = World::posix().await;
    let names: Vec<_> = (0..200).map(|n| format!("t{n}")).collect();
    let all: Vec<_> = names.iter().map(|n| spec(w.dir.path(), n, &noted(w.dir.path(), n))).collect();
    for one in all {
        w.launcher.launch(one).await;
    }
    for name in &names {
        w.launcher.destroy(id(name)).await;
    }
    let mut unmade = 0;
    let mut over = BTreeSet::new();
    while over.len() < names.len() {
        match w.word().await {
            Ended::Failed { container, why } => {
                assert!(why.contains("destroyed before"), "{why}");
                unmade += usize::from(times(w.dir.path(), &container.0) == 0);
                over.insert(container);
            }
            Ended::Terminated { container, how } => {
                assert_eq!(how, Termination::Signaled(9));
                over.insert(container);
            }
            Ended::Launched { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(unmade > 0, "most of them were still waiting");
    w.launcher.destroy(id("stranger")).await;
    match w.word().await {
        Ended::Failed { container, why } if container == id("stranger") => {
            assert!(why.contains("no such container"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    w.stop().await;
}

#[tokio::test]
async fn an_agent_that_does_not_listen_stops_nothing() {
    let w = World::posix().await;
    let World { dir, options, launcher, words } = w;
    drop((launcher, words));
    let mut deaf = UnixStream::connect(dir.path().join("launcher/socket")).unwrap();
    deaf.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut say = |order: serde_json::Value| writeln!(deaf, "{order}").is_ok();
    assert!(say(serde_json::json!({"Hello": {"version": 2, "isolation": Isolation::default(),
        "cgroup_mount": "/sys/fs/cgroup", "cgroups_root": "none"}})));
    // Each is answered: far beyond what a socket holds, and more than may wait.
    let heard =
        (0..200_000).all(|n| say(serde_json::json!({"Destroy": {"container": format!("nobody-{n}")}})));
    assert!(!heard, "who does not read is cut");
    let again = Launcher::start(options.clone());
    let (launcher, _, words) = tokio::time::timeout(PATIENCE, again).await.unwrap().unwrap();
    let mut w = World { dir, options, launcher, words };
    w.launcher.launch(spec(w.dir.path(), "a", "exit 5")).await;
    loop {
        match w.word().await {
            Ended::Terminated { container, how } => {
                assert_eq!((container, how), (id("a"), Termination::Exited(5)));
                break;
            }
            // What the deaf one ordered last may be answered now.
            Ended::Failed { container, .. } => assert!(container.0.starts_with("nobody-"), "{container}"),
            other => assert!(matches!(other, Ended::Launched { .. }), "{other:?}"),
        }
    }
    drop(deaf);
    w.stop().await;
}

#[tokio::test]
async fn a_damaged_journal_is_no_reason_not_to_start() {
    let mut w = World::posix().await;
    assert_eq!(w.run("before", "exit 3").await, Termination::Exited(3));
    w.launcher.launch(spec(w.dir.path(), "going", "sleep 1000")).await;
    let pid = w.launched().await;
    let World { dir, options, launcher, words } = w;
    kill(launcher_of(dir.path()));
    drop((launcher, words));
    let path = dir.path().join("launcher/journal");
    let mut journal = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    journal.write_all(b"{\"Ended\":{\"cont\n\0\0\0\xff\n{}\n{\"Started\"").unwrap();
    let (launcher, known, words) = Launcher::start(options.clone()).await.unwrap();
    assert_eq!(known.ended, [(id("before"), Termination::Exited(3))]);
    assert_eq!(known.running, [(id("going"), pid)]);
    let log = std::fs::read_to_string(dir.path().join("launcher/log")).unwrap();
    assert_eq!(log.matches("is damaged at line").count(), 3, "{log}");
    let mut w = World { dir, options, launcher, words };
    w.launcher.destroy(id("going")).await;
    assert_eq!(w.terminated().await, Termination::Unknown, "not its child");
    w.stop().await;
}

#[tokio::test]
async fn nothing_that_a_task_leaves_behind_outlives_it_without_cgroups() {
    let mut w = World::posix().await;
    let mark = format!("{}", 900_000_000 + std::process::id());
    let left = |what: &str| processes(&format!("sleep {mark}{what}"));
    // It leaves its session and its parent ends: nobody but the task's keeper is above it.
    let script =
        format!("setsid sleep {mark}1 & (setsid sh -c 'sleep {mark}1 & sleep {mark}1' &); sleep 0.2; exit 6");
    assert_eq!(w.run("ends", &script).await, Termination::Exited(6));
    assert_eq!(left("1"), Vec::<i32>::new());
    let script =
        format!("(env -i /usr/bin/setsid sleep {mark}2 &); trap '' TERM; while :; do sleep {mark}2; done");
    w.launcher.launch(spec(w.dir.path(), "killed", &script)).await;
    let keeper = w.launched().await as i32;
    eventually("both run", || left("2").len() == 2).await;
    w.launcher.signal(id("killed"), 15).await;
    eventually("the signal reaches what left", || !left("2").is_empty()).await;
    assert!(linux_started(keeper));
    w.launcher.destroy(id("killed")).await;
    assert_eq!(w.terminated().await, Termination::Signaled(9));
    eventually("all of it is gone", || left("2").is_empty()).await;
    // Another launcher knows them as well.
    let script = format!("(setsid sleep {mark}3 &); exec sleep {mark}3");
    w.launcher.launch(spec(w.dir.path(), "adopted", &script)).await;
    w.launched().await;
    eventually("both run", || left("3").len() == 2).await;
    let World { dir, options, launcher, words } = w;
    kill(launcher_of(dir.path()));
    drop((launcher, words));
    let (launcher, _, words) = Launcher::start(options.clone()).await.unwrap();
    let mut w = World { dir, options, launcher, words };
    w.launcher.destroy(id("adopted")).await;
    assert_eq!(w.terminated().await, Termination::Unknown);
    assert_eq!(left("3"), Vec::<i32>::new());
    w.stop().await;
}

/// A check that begins something and ends, and one that does not end.
async fn checks_leave_nothing(w: &mut World, mark: &str) {
    w.launcher.launch(spec(w.dir.path(), "task", "exec sleep 1000")).await;
    w.launched().await;
    let script = format!("sleep {mark} & sleep {mark} & exit 3");
    let run = |script: &str, timeout| {
        w.launcher.execute(id("task"), Program::Shell(script.into()), Vec::new(), None, timeout)
    };
    assert_eq!(run(&script, PATIENCE).await, Ok(Some(3)));
    eventually("what it began is gone", || processes(&format!("sleep {mark}")).is_empty()).await;
    assert_eq!(run(&format!("sleep {mark}; true"), Duration::from_millis(100)).await, Ok(None));
    eventually("a late one is gone", || processes(&format!("sleep {mark}")).is_empty()).await;
    w.launcher.destroy(id("task")).await;
    assert_eq!(w.terminated().await, Termination::Signaled(9));
}

#[tokio::test]
async fn checks_end_with_all_that_they_began() {
    let mut w = World::posix().await;
    checks_leave_nothing(&mut w, &format!("{}", 910_000_000 + std::process::id())).await;
    w.stop().await;
    let Some(mut w) = World::isolated().await else { return };
    checks_leave_nothing(&mut w, &format!("{}", 920_000_000 + std::process::id())).await;
    w.stop().await;
}

#[tokio::test]
async fn groups_of_before_are_removed_by_the_launcher_that_follows() {
    let Some(mut w) = World::isolated().await else { return };
    w.launcher.launch(spec(w.dir.path(), "orphan", "sleep 0.5")).await;
    let first = w.launched().await as i32;
    let World { dir, options, launcher, words } = w;
    kill(launcher_of(dir.path()));
    drop((launcher, words));
    let group = PathBuf::from(format!("/sys/fs/cgroup/memory/{}/orphan", options.cgroups_root));
    assert!(group.exists() || !Path::new("/sys/fs/cgroup/memory").exists());
    eventually("it ends unseen", || !linux_started(first)).await;
    let (launcher, known, words) = Launcher::start(options.clone()).await.unwrap();
    assert_eq!(known.ended, [(id("orphan"), Termination::Unknown)]);
    eventually("its groups are gone", || !group.exists()).await;
    World { dir, options, launcher, words }.stop().await;
}

#[tokio::test]
async fn the_launcher_has_many_files_and_tasks_have_as_many_as_before() {
    let mut w = World::posix().await;
    assert_eq!(w.run("limit", "ulimit -Sn; ulimit -Hn").await, Termination::Exited(0));
    let limits = |pid: i32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let line = text.lines().find(|l| l.starts_with("Max open files")).unwrap().to_owned();
        let mut fields = line.split_whitespace().skip(3).map(str::to_owned);
        (fields.next().unwrap(), fields.next().unwrap())
    };
    let (soft, hard) = limits(std::process::id() as i32);
    assert_eq!(w.stdout("limit"), format!("{soft}\n{hard}\n"));
    assert_eq!(limits(launcher_of(w.dir.path())), (hard.clone(), hard));
    w.stop().await;
}
