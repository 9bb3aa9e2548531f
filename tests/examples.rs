//! The apps in `examples/`, as a newcomer starts them: each does what it says of itself.

mod real;

use real::{Dev, Signal, eventually, for_a_while, request, root};
use std::{path::Path, process::Command, time::Duration};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

#[test]
fn each_example_is_useful_and_what_dev_prints_can_be_followed() {
    let dir = tempfile::tempdir().expect("a directory");
    let files =
        ["hello", "worker", "crash", "memory-hog", "pod"].map(|name| format!("{EXAMPLES}/{name}.json"));
    let words: Vec<_> = files.iter().map(String::as_str).chain(["--kill-tasks-on-exit"]).collect();
    let dev = Dev::start(dir.path(), &words);
    let said = eventually("the end of the greeting", || {
        Some(dev.said()).filter(|said| said.contains("Ctrl-C stops the daemon"))
    });
    // an HTTP server with a health check and three instances, at the URLs that were printed
    let hello = dev.until("/v2/apps/hello", |v| v["app"]["tasksHealthy"] == 3);
    assert_eq!(
        (hello["app"]["instances"].as_u64(), hello["app"]["tasksRunning"].as_u64()),
        (Some(3), Some(3))
    );
    let urls: Vec<_> =
        said.split_whitespace().filter(|word| word.starts_with("http://127.0.0.1:31")).collect();
    let answers: Vec<_> = urls.iter().map(|url| request(url, "GET", "/", "").1).collect();
    let greeted = answers.iter().filter(|answer| answer.starts_with("Hello from hello.instance-")).count();
    assert_eq!(greeted, 3, "{urls:?} {answers:?}");
    // the next three commands, as they were printed
    let (_, rest) = said.split_once("Next, in another terminal:\n").expect("what to try next");
    let next: Vec<_> = rest.lines().take(3).map(str::trim).collect();
    for (line, word) in next.iter().zip(["/hello", "listening on 31", "hello\n"]) {
        let mut shell = Command::new("sh");
        let output = for_a_while(shell.args(["-c", &format!("exec {line}")]), Duration::from_secs(60), |s| {
            s.contains(word)
        });
        assert!(String::from_utf8_lossy(&output.stdout).contains(word), "{line}: {output:?}");
    }
    // a pod of two containers, one of them a server
    let pod = dev.mesolite(&["pod", "show", "/greeter"]);
    assert!(pod.contains("2/2") && pod.contains("clock"), "{pod}");
    let ports = urls.iter().zip(&answers).filter(|(_, answer)| answer.starts_with("Hello from a pod"));
    assert_eq!(ports.count(), 2, "{urls:?} {answers:?}");
    // a worker that logs
    let logs = eventually("lines", || {
        Some(dev.mesolite(&["app", "logs", "/worker"])).filter(|said| said.contains("job 2 done"))
    });
    assert!(logs.contains("job 1 done"), "{logs}");
    // one that crashes, each time started later
    let delay = |said: &str| -> Option<u64> {
        let (_, rest) = said.split_once("started again in ")?;
        rest.split(' ').next()?.parse().ok()
    };
    let why = eventually("a longer back-off", || {
        Some(dev.mesolite(&["app", "why", "/crash"]))
            .filter(|said| delay(said).is_some_and(|seconds| seconds >= 2))
    });
    assert!(why.contains("exited with status 3") && why.contains("back-off"), "{why}");
    let task = eventually("what the last one wrote", || {
        let output = dev.command(&["app", "logs", "--stderr", "/crash"]).output().ok()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.contains("my configuration is missing").then_some(said)
    });
    assert!(!task.is_empty());
    // one that takes more memory than it asked for
    if !root() || !Path::new("/sys/fs/cgroup").exists() || dev.said().contains("no Memory cgroup") {
        dev.signal(Signal::TERM);
        return eprintln!(
            "SKIPPED in part: tasks are not held to their memory here (not root, or no cgroups)"
        );
    }
    let hog = dev.until("/v2/apps/memory-hog", |v| v["app"]["lastTaskFailure"].is_object());
    let failure = &hog["app"]["lastTaskFailure"];
    assert!(failure["message"].as_str().is_some_and(|m| m.contains("Memory limit exceeded")), "{failure}");
    let shown = dev.mesolite(&["app", "show", "/memory-hog"]);
    assert!(shown.contains("Memory limit exceeded"), "{shown}");
    dev.signal(Signal::TERM);
}
