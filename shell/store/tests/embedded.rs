//! The embedded store on real files: crashes, damage, a second opener, a full disk.

use model::save::Change;
use std::{
    fs::OpenOptions,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::Path,
    process::{Command, Stdio},
};
use store::{Opening, Store, StoreError, conformance};

fn put(key: &str, value: &[u8]) -> Vec<Change> {
    vec![Change::Put { key: key.to_owned(), value: value.to_owned() }]
}

fn keys(dir: &Path) -> Vec<String> {
    Store::open(dir).unwrap().records("").unwrap().into_keys().collect()
}

fn filled(dir: &Path, commits: usize) {
    let store = Store::open(dir).unwrap();
    for i in 0..commits {
        store.commit(1, put(&format!("k{i:03}"), &[i as u8; 100])).wait().unwrap();
    }
}

#[test]
fn others_do_not_enter() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o755)).unwrap();
    let _store = Store::open(&state).unwrap();
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn it_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    conformance(|opening| {
        if opening == Opening::Fresh && state.exists() {
            std::fs::remove_dir_all(&state).unwrap();
        }
        Box::new(Store::open(&state).unwrap())
    });
}

/// Not a test: the process that `an_acknowledged_commit_survives_kill_9` kills.
#[test]
#[ignore = "run by another test"]
fn child_that_commits() {
    let Some(dir) = std::env::var_os("STORE_TEST_DIR") else { return };
    let store = Store::open(dir).unwrap();
    let from = store.records("").unwrap().len();
    let mut out = std::io::stdout();
    for i in from.. {
        let commits: Vec<_> =
            (0..8).map(|j| store.commit(1, put(&format!("{i:06}.{j}"), &vec![j; 3000]))).collect();
        commits.into_iter().for_each(|commit| commit.wait().unwrap());
        writeln!(out, "\nacknowledged {i:06}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn an_acknowledged_commit_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_commits", "--ignored", "--nocapture"])
            .env("STORE_TEST_DIR", dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("acknowledged ").map(str::to_owned));
        acknowledged.extend(said.take(20 + round));
        child.kill().unwrap();
        child.wait().unwrap();
        let found = keys(dir.path());
        for commit in &acknowledged {
            for j in 0..8 {
                assert!(found.contains(&format!("{commit}.{j}")), "round {round}: {commit}.{j} is lost");
            }
        }
    }
    assert!(acknowledged.len() >= 100);
}

#[test]
fn a_torn_tail_is_cut_off_and_the_rest_kept() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 20);
    let log = dir.path().join("log");
    let whole = std::fs::read(&log).unwrap();
    let frame = (whole.len() - 16) / 20;
    for cut in [1, 5, 17, frame - 1] {
        std::fs::write(&log, &whole[..whole.len() - cut]).unwrap();
        unmark(dir.path());
        assert_eq!(keys(dir.path()).len(), 19, "{cut} bytes cut");
        // and the log goes on behind the last good frame
        Store::open(dir.path()).unwrap().commit(1, put("new", b"x")).wait().unwrap();
        assert_eq!(keys(dir.path()).len(), 20, "{cut} bytes cut");
    }
    unmark(dir.path());
    std::fs::write(&log, &whole[..whole.len() - frame]).unwrap();
    assert_eq!(keys(dir.path()).len(), 19);
    unmark(dir.path());
    std::fs::write(&log, &whole[..7]).unwrap();
    assert!(keys(dir.path()).is_empty(), "a log whose very beginning was never synced is empty");
}

/// As a log that was written before there were marks, or whose last frame was never promised.
fn unmark(dir: &Path) {
    std::fs::remove_file(dir.join("log.mark")).unwrap();
}

#[test]
fn a_log_that_ends_before_its_mark_is_refused_and_one_that_ends_after_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 20);
    let (log, mark) = (dir.path().join("log"), dir.path().join("log.mark"));
    let whole = std::fs::read(&log).unwrap();
    let frame = (whole.len() - 16) / 20;
    let mut zeroed = whole.clone();
    zeroed[whole.len() / 2..].fill(0);
    let short = |cut: usize| whole[..whole.len() - cut].to_vec();
    for (bytes, at) in [
        (zeroed, 16 + frame * 9),
        (short(1), 16 + frame * 19),
        (short(frame), 16 + frame * 19),
        (whole[..16].to_vec(), 16),
        (whole[..7].to_vec(), 7),
        (Vec::new(), 0),
    ] {
        std::fs::write(&log, &bytes).unwrap();
        let error = Store::open(dir.path()).unwrap_err();
        assert!(
            matches!(&error, StoreError::Corrupt { at: found, .. } if *found == at as u64),
            "{at}: {error}"
        );
        let said = error.to_string();
        assert!(said.contains("log.mark") && said.contains("Restore the file"), "{said}");
        assert_eq!(std::fs::read(&log).unwrap(), bytes, "nothing was changed");
    }
    std::fs::remove_file(&log).unwrap();
    assert!(
        matches!(Store::open(dir.path()), Err(StoreError::Corrupt { .. })),
        "a log that is gone is a loss too"
    );
    assert!(!log.exists());
    // What a kill leaves of a write that was never acknowledged.
    std::fs::write(&log, [&whole[..], &[1, 2, 3]].concat()).unwrap();
    assert_eq!(keys(dir.path()).len(), 20);
    // A machine that died after a sync of the log and before one of the mark.
    let old = std::fs::read(&mark).unwrap();
    Store::open(dir.path()).unwrap().commit(1, put("new", b"x")).wait().unwrap();
    std::fs::write(&mark, old).unwrap();
    assert_eq!(keys(dir.path()).len(), 21);
    std::fs::write(&mark, b"no mark").unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { file, .. } if *file == mark), "{error}");
}

#[test]
fn the_mark_follows_a_rewrite() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for i in 0..100u8 {
        store.commit(3, put("hot", &vec![i; 100_000])).wait().unwrap();
    }
    drop(store);
    let log = dir.path().join("log");
    let whole = std::fs::read(&log).unwrap();
    assert!(whole.len() < 9_000_000, "it was rewritten");
    std::fs::write(&log, &whole[..whole.len() - 1]).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Corrupt { .. })));
    std::fs::write(&log, &whole).unwrap();
    assert_eq!(keys(dir.path()).len(), 1);
}

#[test]
fn a_directory_of_somebody_else_is_named_with_its_owner() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("SKIPPED: only root can try as somebody else");
    }
    let dir = tempfile::tempdir().unwrap();
    let own = std::os::unix::fs::chown(dir.path(), Some(12_345), None);
    own.unwrap();
    // Without CAP_FOWNER root is nobody special either; a thread of its own, so that no other test is.
    let path = dir.path().to_owned();
    let said = std::thread::spawn(move || {
        rustix::thread::set_thread_res_uid(
            rustix::process::Uid::from_raw(54_321),
            rustix::process::Uid::from_raw(54_321),
            rustix::process::Uid::from_raw(54_321),
        )
        .unwrap();
        Store::open(path).unwrap_err().to_string()
    });
    let said = said.join().unwrap();
    assert!(said.contains("belongs to the user with uid 12345, and this is uid 54321"), "{said}");
}

#[test]
fn damage_is_refused_and_nothing_touched() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 20);
    let log = dir.path().join("log");
    let whole = std::fs::read(&log).unwrap();
    let frame = (whole.len() - 16) / 20;
    for at in [3, 16, 18, 16 + frame * 4 + 40, 16 + frame * 10 + 1, 16 + frame * 18 + 9] {
        std::fs::write(&log, &whole).unwrap();
        OpenOptions::new()
            .write(true)
            .open(&log)
            .unwrap()
            .write_all_at(&[whole[at] ^ 0x55], at as u64)
            .unwrap();
        let damaged = std::fs::read(&log).unwrap();
        let error = Store::open(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "byte {at}: {error}");
        assert!(error.to_string().contains(log.to_str().unwrap()), "{error}");
        assert_eq!(std::fs::read(&log).unwrap(), damaged, "byte {at}");
    }
    let mut missing = whole.clone();
    missing.drain(16 + frame * 7..16 + frame * 8);
    std::fs::write(&log, missing).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Corrupt { .. })));
    std::fs::write(&log, b"{\"this\": \"is no log\"}").unwrap();
    assert!(matches!(Store::open(dir.path()), Err(StoreError::Corrupt { at: 0, .. })));
}

#[test]
fn a_second_opener_is_told_who_was_first() {
    let dir = tempfile::tempdir().unwrap();
    let first = Store::open(dir.path()).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(
        matches!(&error, StoreError::InUse { pid, .. } if *pid == std::process::id().to_string()),
        "{error}"
    );
    drop(first);
    Store::open(dir.path()).unwrap();
}

#[test]
fn a_log_that_is_mostly_dead_is_rewritten() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.commit(3, put("kept", b"for ever")).wait().unwrap();
    for i in 0..200u8 {
        store.commit(3, put("hot", &vec![i; 100_000])).wait().unwrap();
    }
    drop(store);
    let length = std::fs::metadata(dir.path().join("log")).unwrap().len();
    assert!(length < 6 * 1024 * 1024, "{length} bytes for 100 KB of live state");
    let store = Store::open(dir.path()).unwrap();
    let records = store.records("").unwrap();
    assert_eq!(records["kept"], b"for ever");
    assert_eq!(records["hot"], vec![199; 100_000]);
    assert!(matches!(store.commit(2, put("hot", b"")).wait(), Err(StoreError::OldTerm { current: 3, .. })));
}

/// Not a test: run on a file system of 2 MB by `a_full_disk_loses_nothing`.
#[test]
#[ignore = "run by another test"]
fn child_on_a_full_disk() {
    let Some(dir) = std::env::var_os("STORE_TEST_DIR") else { return };
    let dir = Path::new(&dir);
    let ballast = dir.join("ballast");
    std::fs::write(&ballast, vec![1; 1024 * 1024]).unwrap();
    let state = dir.join("state");
    let store = Store::open(&state).unwrap();
    let mut acknowledged = 0;
    let error = loop {
        match store.commit(1, put(&format!("{acknowledged:03}"), &[9; 50_000])).wait() {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 100, "the disk never fills");
    };
    assert!(matches!(error, StoreError::Disk { full: true, .. }), "{error}");
    assert!(acknowledged > 5);
    assert!(store.commit(1, put("again", &[9; 50_000])).wait().is_err());
    assert_eq!(store.records("").unwrap().len(), acknowledged);
    std::fs::remove_file(&ballast).unwrap();
    store.commit(1, put("after", &[9; 50_000])).wait().unwrap();
    drop(store);
    let records = Store::open(&state).unwrap().records("").unwrap();
    assert_eq!(records.len(), acknowledged + 1);
    assert!(records.values().all(|value| *value == [9; 50_000]));
    println!("full disk survived");
}

#[test]
fn a_full_disk_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=2m none \"$STORE_TEST_DIR\" || exit 77; exec \"$0\" --exact child_on_a_full_disk --ignored --nocapture";
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .env("STORE_TEST_DIR", dir.path())
        .output();
    let output = match output {
        Ok(output)
            if !matches!(output.status.code(), Some(77 | 1)) || rustix::process::geteuid().is_root() =>
        {
            output
        }
        _ => return eprintln!("SKIPPED: a small file system can only be mounted by root"),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("full disk survived"), "{output:?}");
}
