//! The replay itself, against a small server whose words are chosen: what is not as recorded must show.

use super::*;
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

/// Whatever is asked, one stream with these records, which stays open.
fn server(records: &[Value]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let frames: Vec<u8> = records.iter().flat_map(|r| http::frame(r.to_string().as_bytes())).collect();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        while let Ok((socket, _)) = listener.accept() {
            open.extend(answer(socket, &frames));
        }
    });
    address
}

fn answer(socket: TcpStream, frames: &[u8]) -> Option<TcpStream> {
    let mut reader = BufReader::new(socket);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line).ok()?;
    let streams = line.contains("/api/v1/scheduler");
    while line.trim_end() != "" {
        line.clear();
        reader.read_line(&mut line).ok()?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    let mut socket = reader.into_inner();
    if !streams {
        socket.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").ok()?;
        return None;
    }
    socket.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").ok()?;
    socket.write_all(format!("{:x}\r\n", frames.len()).as_bytes()).ok()?;
    socket.write_all(frames).ok()?;
    socket.write_all(b"\r\n").ok()?;
    Some(socket)
}

/// What differs when this comes after SUBSCRIBED, and the recording then waited and lists `recorded`.
fn differences(name: &str, came: &[Value], recorded: &[Value]) -> Vec<String> {
    let subscribed = json!({"type": "SUBSCRIBED"});
    let steps = json!([
        {
            "send": {"to": "master", "method": "POST", "path": "/api/v1/scheduler", "body": {"type": "SUBSCRIBE"}},
            "stream": "scheduler", "receive": {"status": 200, "records": [subscribed]},
        },
        {"stream": "scheduler", "receive": {"records": recorded}, "waited_seconds": 0.3, "note": "updates"},
    ]);
    let text = json!({"needs": "", "steps": steps}).to_string();
    let mut transcript: Transcript = serde_json::from_str(&text).unwrap();
    transcript.name = name.to_owned();
    let said: Vec<_> = std::iter::once(&subscribed).chain(came).cloned().collect();
    let server = Server::Running { master: format!("http://{}", server(&said)), agent: None };
    let outcome = replay(&transcript, &server, &Table::committed().unwrap());
    assert_eq!(outcome.matches(), outcome.differences.is_empty(), "{outcome:?}");
    outcome.differences
}

#[test]
fn what_comes_of_offers_while_a_recording_waits_and_lists_nothing_is_a_difference() {
    for kind in ["OFFERS", "RESCIND", "INVERSE_OFFERS", "RESCIND_INVERSE_OFFER"] {
        let found = differences("x/1.json", &[json!({"type": kind})], &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("step 1: came on 'scheduler', where none did"), "{found:?}");
        // as often as it is recorded, it may come
        let found = differences("x/1.json", &[json!({"type": kind})], &[json!({"type": kind})]);
        assert!(found.is_empty(), "{found:?}");
        let found = differences(
            "x/1.json",
            &[json!({"type": kind}), json!({"type": kind})],
            &[json!({"type": kind})],
        );
        assert_eq!(found.len(), 1, "{found:?}");
    }
    assert!(differences("x/1.json", &[json!({"type": "HEARTBEAT"})], &[]).is_empty());
    // where it is known what the offers come of
    assert!(differences("scheduler/185-x.json", &[json!({"type": "OFFERS"})], &[]).is_empty());
}
