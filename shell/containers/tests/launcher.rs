//! Real containers: exit statuses, signals, memory, namespaces, and an agent that comes back.

mod world;

use containers::{Ended, Frame, Known, Launcher};
use model::container::{ContainerId, ContainerSpec, Io, Limits, Mount, Program, Termination};
use std::{path::Path, time::Duration};
use world::{MIB, PATIENCE, World, linux_started, spec};

#[tokio::test]
async fn output_environment_and_exit_statuses_arrive() {
    let mut w = World::posix().await;
    assert_eq!(w.run("a", "echo $GREETING; pwd; exit 3").await, Termination::Exited(3));
    let sandbox = w.dir.path().join("sandboxes/a");
    assert_eq!(w.stdout("a"), format!("hello\n{}\n", sandbox.canonicalize().unwrap().display()));
    assert_eq!(w.run("b", "kill -15 $$").await, Termination::Signaled(15));
    w.launcher
        .launch(ContainerSpec {
            program: Program::Exec { file: "no-such-program".into(), arguments: vec!["x".into()] },
            ..spec(w.dir.path(), "c", "")
        })
        .await;
    match w.word().await {
        Ended::Failed { why, .. } => assert!(why.contains("execute the command 'no-such-program'"), "{why}"),
        other => panic!("{other:?}"),
    }
    w.launcher
        .launch(ContainerSpec {
            program: Program::Exec { file: "no-such-program".into(), arguments: vec!["x".into()] },
            fails_inside: true,
            ..spec(w.dir.path(), "d", "")
        })
        .await;
    w.launched().await;
    assert_eq!(w.terminated().await, Termination::Exited(1));
    let said = std::fs::read_to_string(w.dir.path().join("sandboxes/d/stderr")).unwrap();
    assert!(said.contains("execute the command 'no-such-program': No such file"), "{said}");
    w.stop().await;
}

#[tokio::test]
async fn signals_reach_the_whole_tree() {
    let mut w = World::posix().await;
    w.launcher.launch(spec(w.dir.path(), "a", "sleep 1000 & echo $!; wait")).await;
    let pid = w.launched().await;
    while w.stdout("a").is_empty() {
        tokio::task::yield_now().await;
    }
    let child: i32 = w.stdout("a").trim().parse().unwrap();
    assert!(linux_started(child));
    w.launcher.signal(ContainerId("a".into()), 15).await;
    assert_eq!(w.terminated().await, Termination::Signaled(15));
    let until = std::time::Instant::now() + PATIENCE;
    while linux_started(child) || linux_started(pid as i32) {
        assert!(std::time::Instant::now() < until, "the grandchild lives");
        tokio::task::yield_now().await;
    }
    w.stop().await;
}

#[tokio::test]
async fn isolated_tasks_have_their_own_pids_and_end_on_a_signal() {
    let Some(mut w) = World::isolated().await else { return };
    assert_eq!(w.run("a", "echo $$; ls /proc | grep -c '^[0-9]'").await, Termination::Exited(0));
    let seen: Vec<u32> = w.stdout("a").lines().map(|l| l.parse().unwrap()).collect();
    assert!(seen[0] < 10 && seen[1] < 10, "pids of the host are seen: {seen:?}");
    w.launcher.launch(spec(w.dir.path(), "b", "sleep 1000")).await;
    w.launched().await;
    w.launcher.signal(ContainerId("b".into()), 15).await;
    assert_eq!(w.terminated().await, Termination::Signaled(15));
    w.launcher.launch(spec(w.dir.path(), "c", "trap '' TERM; setsid sleep 1000 & wait")).await;
    w.launched().await;
    w.launcher.destroy(ContainerId("c".into())).await;
    assert_eq!(w.terminated().await, Termination::Signaled(9));
    w.stop().await;
}

#[tokio::test]
async fn a_nursery_clones_for_its_launcher_which_can_do_without() {
    let Some(mut w) = World::isolated().await else { return };
    let stat = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        fields.split_whitespace().nth(1).and_then(|parent| parent.parse::<u32>().ok())
    };
    let line = |pid: u32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    w.launcher.launch(spec(w.dir.path(), "a", "sleep 1000")).await;
    let init = w.launched().await;
    let launcher = stat(init).expect("a parent");
    assert_eq!(line(init), line(launcher), "the first process of a container is its launcher's child");
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let children: Vec<u32> = pids.filter(|pid| stat(*pid) == Some(launcher) && *pid != init).collect();
    let [nursery] = children[..] else { panic!("besides the container it has {children:?}") };
    assert_eq!(line(nursery), line(launcher));
    assert!(
        std::process::Command::new("sh")
            .args(["-c", &format!("kill -9 {nursery}")])
            .status()
            .unwrap()
            .success()
    );
    let until = std::time::Instant::now() + PATIENCE;
    while linux_started(nursery as i32) {
        assert!(std::time::Instant::now() < until, "the nursery lives");
        tokio::task::yield_now().await;
    }
    assert_eq!(w.run("b", "exit 5").await, Termination::Exited(5));
    w.stop().await;
}

#[tokio::test]
async fn too_much_memory_is_reported_as_that() {
    let Some(mut w) = World::isolated().await else { return };
    let how = w.run("a", "head -c 200m /dev/zero | tail").await;
    let Termination::OutOfMemory { limit, peak } = how else { panic!("{how:?}") };
    assert_eq!(limit, 64 * MIB);
    assert!(peak > 50 * MIB, "{peak}");
    assert_eq!(w.run("b", "exit 0").await, Termination::Exited(0));
    w.stop().await;
}

#[tokio::test]
async fn a_group_holds_its_containers_together_and_each_to_its_own() {
    let Some(mut w) = World::isolated().await else { return };
    let mut group = spec(w.dir.path(), "group", "");
    (group.program, group.group) = (Program::Hold, true);
    group.limits = Limits { cpus: 0.2, mem: 96 * MIB, ..Default::default() };
    let around = group.id.clone();
    w.launcher.launch(group).await;
    w.launched().await;
    let inner = |w: &World, name: &str, script: &str| {
        let mut inner = spec(w.dir.path(), name, script);
        inner.id = around.nested(name);
        inner
    };
    let look = inner(&w, "look", "cat /proc/self/cgroup");
    w.launcher.launch(look).await;
    w.launched().await;
    assert_eq!(w.terminated().await, Termination::Exited(0));
    assert!(w.stdout("look").lines().any(|l| l.ends_with("/group/look")), "{}", w.stdout("look"));
    let own = inner(&w, "own", "head -c 200m /dev/zero | tail");
    w.launcher.launch(own).await;
    w.launched().await;
    let how = w.terminated().await;
    assert!(matches!(how, Termination::OutOfMemory { limit, .. } if limit == 64 * MIB), "{how:?}");
    let mut shared = inner(&w, "shared", "head -c 200m /dev/zero | tail");
    shared.shares_memory = true;
    w.launcher.launch(shared).await;
    w.launched().await;
    let how = w.terminated().await;
    assert!(matches!(how, Termination::OutOfMemory { limit, .. } if limit == 96 * MIB), "{how:?}");
    // A client's container without anything of its own joins the groups of the task around it.
    let task = inner(&w, "task", "exec sleep 1000");
    let task_id = task.id.clone();
    w.launcher.launch(task).await;
    w.launched().await;
    let mut joins = inner(&w, "joins", "cat /proc/self/cgroup");
    (joins.id, joins.shares_groups) = (task_id.nested("joins"), true);
    w.launcher.launch(joins).await;
    w.launched().await;
    assert_eq!(w.terminated().await, Termination::Exited(0));
    assert!(w.stdout("joins").lines().any(|l| l.ends_with("/group/task")), "{}", w.stdout("joins"));
    w.launcher.destroy(task_id).await;
    assert_eq!(w.terminated().await, Termination::Signaled(9));
    w.launcher.limit(around.clone(), Limits { cpus: 0.1, mem: 64 * MIB, ..Default::default() }).await;
    w.launcher.destroy(around).await;
    assert_eq!(w.terminated().await, Termination::Signaled(9));
    w.stop().await;
}

#[tokio::test]
async fn an_agent_that_comes_back_learns_every_exit() {
    let mut w = World::posix().await;
    w.launcher.launch(spec(w.dir.path(), "going", "sleep 1000")).await;
    let pid = w.launched().await;
    w.launcher.launch(spec(w.dir.path(), "gone", "sleep 0.2; exit 7")).await;
    w.launched().await;
    // The agent dies without a word: its end of the socket closes.
    let World { dir, options, launcher, words } = w;
    drop((launcher, words));
    let until = std::time::Instant::now() + PATIENCE;
    let (launcher, words) = loop {
        let (launcher, Known { running, ended, .. }, words) = Launcher::start(options.clone()).await.unwrap();
        assert!(running.contains(&(ContainerId("going".into()), pid)), "{running:?}");
        if !ended.is_empty() {
            assert_eq!(ended, [(ContainerId("gone".into()), Termination::Exited(7))]);
            break (launcher, words);
        }
        assert!(std::time::Instant::now() < until);
    };
    launcher.forget(ContainerId("gone".into())).await;
    World { dir, options, launcher, words }.stop().await;
}

#[tokio::test]
async fn a_command_runs_beside_the_task() {
    let mut w = World::posix().await;
    w.launcher.launch(spec(w.dir.path(), "a", "sleep 1000")).await;
    w.launched().await;
    let run = |script: &str, timeout| {
        w.launcher.execute(ContainerId("a".into()), Program::Shell(script.into()), Vec::new(), None, timeout)
    };
    assert_eq!(run("exit 4", PATIENCE).await, Ok(Some(4)));
    assert_eq!(run("sleep 1000", Duration::from_millis(50)).await, Ok(None));
    w.stop().await;
}

#[tokio::test]
async fn nothing_outlives_a_stop_however_early_it_comes() {
    let seconds = |n: usize| format!("1000{}.{n}", std::process::id());
    for n in 0..8 {
        let w = World::posix().await;
        for task in 0..6 {
            let script = format!("exec sleep {}", seconds(n));
            w.launcher.launch(spec(w.dir.path(), &format!("t{task}"), &script)).await;
        }
        // some run, some are being started, some wait
        w.stop().await;
        let left = std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&seconds(n))
        });
        assert_eq!(left.count(), 0, "round {n}");
    }
}

#[tokio::test]
async fn many_short_tasks_all_end() {
    const TASKS: usize = 300;
    let mut w = World::posix().await;
    let begin = std::time::Instant::now();
    for i in 0..TASKS {
        w.launcher.launch(spec(w.dir.path(), &format!("t{i}"), "exit 0")).await;
    }
    let mut ended = 0;
    while ended < TASKS {
        if let Ended::Terminated { how, .. } = w.word().await {
            assert_eq!(how, Termination::Exited(0));
            ended += 1;
        }
    }
    println!("{:.0} tasks a second", TASKS as f64 / begin.elapsed().as_secs_f64());
    w.stop().await;
}

/// Starts it and attaches; what it says until it ends, and how it ended.
async fn converse(
    world: &mut World,
    spec: ContainerSpec,
    input: &[Frame],
) -> (Vec<u8>, Vec<u8>, Termination) {
    let id = spec.id.clone();
    world.launcher.launch(spec).await;
    assert!(matches!(world.word().await, Ended::Launched { container, .. } if container == id));
    let (mut says, mut hears) = world.launcher.attach(id.clone(), true).await.unwrap();
    for frame in input {
        assert!(hears.say(frame).await);
    }
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(frame) = tokio::time::timeout(PATIENCE, says.next()).await.expect("its end in time") {
        match frame {
            Frame::Out(bytes) => out.extend(bytes),
            Frame::Err(bytes) => err.extend(bytes),
            frame => panic!("a container says no {frame:?}"),
        }
    }
    match world.word().await {
        Ended::Terminated { container, how } if container == id => (out, err, how),
        word => panic!("{word:?}"),
    }
}

#[tokio::test]
async fn clients_attach_to_input_and_output() {
    let mut world = World::posix().await;
    let mut echo = spec(world.dir.path(), "echo", "cat; echo done >&2; exit 4");
    echo.io = Io::Pipes;
    let sandbox = echo.sandbox.clone();
    let words = [Frame::In(b"one ".to_vec()), Frame::In(b"two".to_vec()), Frame::In(Vec::new())];
    let (out, err, how) = converse(&mut world, echo, &words).await;
    assert_eq!(
        (out.as_slice(), err.as_slice(), how),
        (&b"one two"[..], &b"done\n"[..], Termination::Exited(4))
    );
    let kept = std::fs::read_to_string(format!("{sandbox}/stdout")).unwrap();
    assert_eq!(kept, "one two", "it is in the sandbox as well");
    let refused = world.launcher.attach(ContainerId("other".into()), true).await.unwrap_err();
    assert!(refused.contains("nobody can attach to container other"), "{refused}");
    world.launcher.stop().await;
}

#[tokio::test]
async fn a_terminal_has_a_size_and_is_the_tasks_own() {
    let mut world = World::posix().await;
    let mut shell = spec(world.dir.path(), "shell", "stty size; read line; echo got $line; stty size");
    shell.io = Io::Terminal { rows: 24, columns: 80 };
    let words = [Frame::Window { rows: 50, columns: 132 }, Frame::In(b"hi\n".to_vec())];
    let (out, err, how) = converse(&mut world, shell, &words).await;
    let said = String::from_utf8_lossy(&out);
    assert!(said.contains("got hi\r\n50 132\r\n"), "{said:?}");
    assert!(err.is_empty() && how == Termination::Exited(0), "{how:?}");
    world.launcher.stop().await;
}

#[tokio::test]
async fn a_session_is_inside_the_container_around_it() {
    let Some(mut world) = World::isolated().await else { return };
    let around = spec(world.dir.path(), "around", "echo $$ > pid; exec sleep 1000");
    let (id, sandbox) = (around.id.clone(), around.sandbox.clone());
    world.launcher.launch(around).await;
    assert!(matches!(world.word().await, Ended::Launched { .. }));
    let session = |name: &str, script: &str| {
        let program = Program::Shell(script.to_owned());
        let mut session = ContainerSpec::new(id.nested(name), sandbox.clone(), program);
        session.environment = vec![("PATH".into(), "/usr/bin:/bin".into())];
        (session.io, session.session) = (Io::Pipes, true);
        session
    };
    let look = session(
        "look",
        "until [ -s pid ]; do :; done; tr '\\0' ' ' < /proc/$(cat pid)/cmdline; cat /proc/self/cgroup",
    );
    let (out, err, how) = converse(&mut world, look, &[]).await;
    let said = String::from_utf8_lossy(&out);
    assert_eq!(how, Termination::Exited(0), "{}", String::from_utf8_lossy(&err));
    assert!(said.starts_with("sleep 1000"), "it sees the processes of the container: {said}");
    assert!(said.contains("/around"), "it counts on the container's account: {said}");
    // One that is over at once says what it had to say all the same.
    let short = session("short", "echo brief");
    let short_id = short.id.clone();
    world.launcher.launch(short).await;
    assert!(matches!(world.word().await, Ended::Launched { .. }));
    assert!(matches!(world.word().await, Ended::Terminated { how: Termination::Exited(0), .. }));
    let (mut says, _hears) = world.launcher.attach(short_id, true).await.unwrap();
    assert_eq!(says.next().await, Some(Frame::Out(b"brief\n".to_vec())));
    assert_eq!(says.next().await, None);
    // Who hangs up leaves nothing behind: the agent destroys it.
    let sleep = format!("sleep 1001.{}", std::process::id());
    let long = session("long", &format!("echo here; {sleep}"));
    let long_id = long.id.clone();
    world.launcher.launch(long).await;
    assert!(matches!(world.word().await, Ended::Launched { .. }));
    let (mut says, _hears) = world.launcher.attach(long_id.clone(), true).await.unwrap();
    assert_eq!(says.next().await, Some(Frame::Out(b"here\n".to_vec())));
    world.launcher.destroy(long_id.clone()).await;
    match world.word().await {
        Ended::Terminated { container, how } => {
            assert_eq!((container, how), (long_id, Termination::Signaled(9)));
        }
        word => panic!("{word:?}"),
    }
    let left = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ").contains(&sleep)
        });
        processes.count()
    };
    // They are killed by now; the system may take a moment to let go of them.
    let until = std::time::Instant::now() + PATIENCE;
    while left() != 0 {
        assert!(std::time::Instant::now() < until, "{sleep} goes on");
        tokio::task::yield_now().await;
    }
    world.launcher.stop().await;
}

#[tokio::test]
async fn output_never_follows_a_link_that_was_fetched() {
    let mut world = World::posix().await;
    let victim = world.dir.path().join("victim");
    std::fs::write(&victim, "mine").unwrap();
    let spec = spec(world.dir.path(), "linked", "echo stolen");
    std::os::unix::fs::symlink(&victim, Path::new(&spec.sandbox).join("stdout")).unwrap();
    world.launcher.launch(spec).await;
    match world.word().await {
        Ended::Failed { why, .. } => assert!(why.contains("stdout is not a regular file"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
    world.stop().await;
}

#[tokio::test]
async fn a_work_directory_may_have_a_long_path() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("long".repeat(30));
    std::fs::create_dir(&long).unwrap();
    let options = world::options(&long, containers::Isolation::default(), "mesolite-test-long");
    // Once started, once found.
    for id in ["started", "found"] {
        let (launcher, _, mut words) = Launcher::start(options.clone()).await.unwrap();
        launcher.launch(spec(&long, id, "exit 3")).await;
        assert!(matches!(words.recv().await, Some(Ended::Launched { .. })));
        assert!(matches!(words.recv().await, Some(Ended::Terminated { how: Termination::Exited(3), .. })));
    }
    let (launcher, ..) = Launcher::start(options).await.unwrap();
    launcher.stop().await;
}

#[tokio::test]
async fn volumes_are_mounted_over_directories_and_files_in_order() {
    let Some(mut w) = World::isolated().await else { return };
    let host = w.dir.path().join("host");
    for (place, says) in [("host/inner", "in the first"), ("second", "in the second"), ("target", "covered")]
    {
        std::fs::create_dir_all(w.dir.path().join(place)).unwrap();
        std::fs::write(w.dir.path().join(place).join("file"), says).unwrap();
    }
    let text = |path: &Path| path.display().to_string();
    let mount = |source: &Path, target: String, read_only| Mount {
        source: text(source),
        target,
        read_only,
        make: false,
        own: false,
    };
    let target = w.dir.path().join("target");
    let script = format!(
        "cat one file two/file {target}/inner/file; touch two/new file {target}/new; ls {host}; \
         grep -c ' shared:' /proc/self/mountinfo",
        target = target.display(),
        host = host.display(),
    );
    let mut spec = spec(w.dir.path(), "a", &script);
    spec.volumes = vec![
        mount(&host.join("inner/file"), "one".into(), true),
        mount(&host.join("inner/file"), "file".into(), true),
        mount(&host.join("inner"), "two".into(), true),
        // the second lies in the first
        mount(&host, text(&target), false),
        mount(&w.dir.path().join("second"), format!("{}/inner", text(&target)), false),
    ];
    std::fs::create_dir(target.join("inner")).unwrap();
    w.launcher.launch(spec).await;
    w.launched().await;
    assert_eq!(w.terminated().await, Termination::Exited(1));
    let said = w.stdout("a");
    assert_eq!(said, "in the firstin the firstin the firstin the secondinner\nnew\n0\n");
    let refused = std::fs::read_to_string(w.dir.path().join("sandboxes/a/stderr")).unwrap();
    assert_eq!(refused.matches("Read-only file system").count(), 2, "{refused}");
    assert!(host.join("new").exists() && !target.join("new").exists());
    w.stop().await;
}
