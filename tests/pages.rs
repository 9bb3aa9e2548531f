//! What a browser sees at the address of each role, while apps run and wait.

mod real;

use real::{Dev, Signal, eventually, request};

fn page(url: &str, path: &str) -> String {
    let (status, body) = real::browse(url, path);
    assert_eq!(status, 200, "{url}{path}: {body}");
    assert!(body.starts_with("<!DOCTYPE html>") && body.trim_end().ends_with("</html>"), "{body}");
    body
}

/// Looks at a page until all of these words are on it.
fn shows(url: &str, path: &str, words: &[&str]) -> String {
    eventually(&format!("{words:?} at {url}{path}"), || {
        Some(page(url, path)).filter(|html| words.iter().all(|word| html.contains(word)))
    })
}

#[test]
fn every_role_has_a_page_that_says_what_runs_and_what_waits() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(dir.path(), &["--kill-tasks-on-exit"]);
    shows(&dev.master, "/", &["Agents (1)", "active", "marathon", "None runs."]);
    shows(&dev.agents[0], "/", &["None runs here."]);
    shows(&dev.marathon, "/ui/", &["Run one: mesolite app apply"]);
    dev.run_app(r#"{"id":"/shown","cmd":"echo out; exec sleep 1000","cpus":0.1,"mem":32}"#);
    let evil =
        r#"{"id":"/waits","cmd":"<script>alert(1)</script>","cpus":1000,"mem":32,"labels":{"a":"<b>"}}"#;
    assert_eq!(dev.ask("POST", "/v2/apps", evil).0, 201);
    let task = dev.until("/v2/apps/shown/tasks", |v| v["tasks"][0]["state"] == "TASK_RUNNING");
    let task = task["tasks"][0]["id"].as_str().expect("an id");
    let html = shows(&dev.marathon, "/ui/", &[task, "InsufficientCpus", "ScaleApplication /waits", "1 / 1"]);
    assert!(!html.contains("<script") && !html.contains("<b>"), "{html}");
    shows(&dev.master, "/", &[task, "TASK_RUNNING", "Tasks (1)", &format!("href=\"{}/\"", dev.agents[0])]);
    let html = shows(&dev.agents[0], "/", &[task, "TASK_RUNNING", "/files/download?path="]);
    // the links lead somewhere
    let (_, rest) = html.split_once("<a href=\"/files/download").expect("a link");
    let link = format!("/files/download{}", rest.split('"').next().unwrap_or_default());
    eventually("the output", || (request(&dev.agents[0], "GET", &link, "").1 == "out\n").then_some(()));
    for (url, path) in [(&dev.master, "/"), (&dev.agents[0], "/"), (&dev.marathon, "/ui/")] {
        let html = page(url, path);
        let (_, links) = html.split_once("<nav>").expect("links");
        let (links, _) = links.split_once("</nav>").expect("links");
        for link in links.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert_eq!(request(url, "GET", link, "").0, 200, "{url}{link}");
        }
    }
    // as Marathon's
    assert_eq!(dev.ask("GET", "/", "").0, 302);
    assert_eq!(dev.ask("POST", "/ui/", "").0, 404);
    dev.signal(Signal::TERM);
}

#[test]
fn nothing_that_a_framework_says_of_itself_becomes_markup() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(dir.path(), &["--kill-tasks-on-exit"]);
    let call = r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"<i>","name":"<script>alert(1)</script>","webui_url":"javascript:alert(2)","failover_timeout":1000}}}"#;
    let host = dev.master.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(host).expect("it listens");
    let head = format!(
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{call}",
        call.len()
    );
    std::io::Write::write_all(&mut stream, head.as_bytes()).expect("it is sent");
    let html = shows(&dev.master, "/", &["Frameworks (2)", "&lt;script&gt;alert(1)"]);
    assert!(!html.contains("<script") && !html.contains("javascript:") && !html.contains("<i>"), "{html}");
    dev.signal(Signal::TERM);
}
