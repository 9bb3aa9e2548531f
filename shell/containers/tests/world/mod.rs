//! A real launcher in a directory of its own.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use containers::{Ended, Isolation, Launcher, Options};
use model::container::{ContainerId, ContainerSpec, Limits, Program, Termination};
use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::sync::mpsc::Receiver;

pub const PATIENCE: Duration = Duration::from_secs(30);
pub const MIB: u64 = 1024 * 1024;

/// A launcher, its directory, and what it says.
pub struct World {
    pub dir: tempfile::TempDir,
    pub options: Options,
    pub launcher: Launcher,
    pub words: Receiver<Ended>,
}

pub fn options(dir: &Path, isolation: Isolation, root: &str) -> Options {
    Options {
        dir: dir.join("launcher"),
        command: vec![env!("CARGO_BIN_EXE_launcher-for-tests").to_owned()],
        isolation,
        cgroup_mount: "/sys/fs/cgroup".into(),
        cgroups_root: root.to_owned(),
    }
}

pub fn spec(dir: &Path, id: &str, script: &str) -> ContainerSpec {
    let sandbox = dir.join("sandboxes").join(id);
    std::fs::create_dir_all(&sandbox).unwrap();
    let mut spec = ContainerSpec::new(
        ContainerId(id.into()),
        sandbox.display().to_string(),
        Program::Shell(script.into()),
    );
    spec.environment = vec![("PATH".into(), "/usr/bin:/bin".into()), ("GREETING".into(), "hello".into())];
    spec.limits = Limits { cpus: 0.1, mem: 64 * MIB, ..Default::default() };
    spec
}

impl World {
    pub async fn new(isolation: Isolation) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let root = format!("mesolite-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = tempfile::tempdir().unwrap();
        let options = options(dir.path(), isolation, &root);
        let (launcher, known, words) = Launcher::start(options.clone()).await.unwrap();
        assert!(known.running.is_empty() && known.ended.is_empty());
        Self { dir, options, launcher, words }
    }

    pub async fn posix() -> Self {
        Self::new(Isolation::default()).await
    }

    /// All that this machine allows; none (and a loud line) where it is too little for these tests.
    pub async fn isolated() -> Option<Self> {
        let (isolation, warnings) =
            Isolation::choose(None, Path::new("/sys/fs/cgroup"), "mesolite-test").unwrap();
        for controller in ["cpu", "memory", "pids"] {
            std::fs::remove_dir(format!("/sys/fs/cgroup/{controller}/mesolite-test")).unwrap_or_default();
        }
        if !isolation.memory || !isolation.pid_namespace {
            println!("SKIPPED: this machine does not isolate: {warnings:?}");
            return None;
        }
        Some(Self::new(isolation).await)
    }

    pub async fn word(&mut self) -> Ended {
        tokio::time::timeout(PATIENCE, self.words.recv())
            .await
            .expect("a word in time")
            .expect("a living launcher")
    }

    pub async fn launched(&mut self) -> u32 {
        match self.word().await {
            Ended::Launched { pid, .. } => pid,
            other => panic!("{other:?}"),
        }
    }

    pub async fn terminated(&mut self) -> Termination {
        match self.word().await {
            Ended::Terminated { how, .. } => how,
            other => panic!("{other:?}"),
        }
    }

    pub async fn run(&mut self, id: &str, script: &str) -> Termination {
        self.launcher.launch(spec(self.dir.path(), id, script)).await;
        self.launched().await;
        self.terminated().await
    }

    pub fn stdout(&self, id: &str) -> String {
        std::fs::read_to_string(self.dir.path().join("sandboxes").join(id).join("stdout")).unwrap()
    }

    pub async fn stop(mut self) {
        self.launcher.stop().await;
        while let Some(word) =
            tokio::time::timeout(PATIENCE, self.words.recv()).await.expect("an end in time")
        {
            if matches!(word, Ended::LauncherLost) {
                break;
            }
        }
        for controller in ["cpu", "memory", "pids"] {
            let parent = format!("/sys/fs/cgroup/{controller}/{}", self.options.cgroups_root);
            if Path::new(&parent).exists() {
                std::fs::remove_dir(&parent).expect("no cgroup is left behind");
            }
        }
    }
}

/// Whether a process is there and has not ended.
pub fn linux_started(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}
