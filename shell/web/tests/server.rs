//! The server on real sockets: bad clients, slow clients, large bodies, order, shutdown.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{mpsc, watch},
    task::JoinHandle,
};
use web::{Incoming, Limits, Reply, SendError, StreamHandle, bind, client::Client, serve, stream};

type Streams = mpsc::UnboundedReceiver<StreamHandle>;

struct Served {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    streams: Streams,
    seen: Arc<Mutex<Vec<String>>>,
}

const STREAM_BYTES_MAX: usize = 256 * 1024;

async fn served(limits: Limits) -> Served {
    let listener = bind("127.0.0.1:0".parse().unwrap(), "--port").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let (opened, streams) = mpsc::unbounded_channel();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let handler = move |incoming: Incoming| {
        let (opened, log) = (opened.clone(), log.clone());
        async move {
            let path = incoming.request.uri().path().to_owned();
            log.lock().unwrap().push(path.clone());
            match path.as_str() {
                "/events" => {
                    let (handle, body) = stream(STREAM_BYTES_MAX, 1_000_000);
                    opened.send(handle).unwrap();
                    Reply::Stream(Response::new(()), body)
                }
                "/long" => Reply::Full(Response::new(Bytes::from("a".repeat(5000)))),
                "/peer" => Reply::Full(Response::new(Bytes::from(incoming.peer.to_string()))),
                _ => Reply::Full(Response::new(incoming.request.into_body())),
            }
        }
    };
    let task = tokio::spawn(serve(listener, limits, stopped, handler));
    Served { address, stop, task, streams, seen }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn talk(address: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn half_sent_requests_do_not_block_others_and_are_dropped() {
    let limits = Limits { head_timeout: Duration::from_millis(300), ..Limits::default() };
    let server = served(limits).await;
    let mut halves = Vec::new();
    for i in 0..400 {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        let half = ["GET / HT", "POST /x HTTP/1.1\r\nHost: a\r\n", "G"][i % 3];
        socket.write_all(half.as_bytes()).await.unwrap();
        halves.push(socket);
    }
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    let url = format!("http://{}/echo", server.address);
    let answer = Client::default().ask(Method::POST, &url, HeaderMap::new(), "hello".into()).await.unwrap();
    assert_eq!(answer.body(), "hello");
    for mut half in halves {
        let mut rest = Vec::new();
        // closed or reset, but not kept
        let read = tokio::time::timeout(Duration::from_secs(20), half.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "a half-sent request is kept for ever");
    }
    // while a connection that has sent nothing may stay
    idle.write_all(b"GET /peer HTTP/1.1\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    idle.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with(&idle.local_addr().unwrap().to_string()), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_100_mb_is_refused_by_name() {
    let server = served(Limits::default()).await;
    let url = format!("http://{}/x", server.address);
    let body = Bytes::from(vec![b'x'; 100 * 1024 * 1024]);
    let answer = Client::default().ask(Method::POST, &url, HeaderMap::new(), body).await.unwrap();
    assert_eq!(answer.status(), 413);
    assert!(String::from_utf8_lossy(answer.body()).contains("8388608 bytes"), "{answer:?}");
    // one that asks first need not send at all
    let asking = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\nExpect: 100-continue\r\n\r\n";
    assert!(talk(server.address, asking.as_bytes()).await.starts_with("HTTP/1.1 413"));
    // nor does a small body that swells
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&vec![0; 20 * 1024 * 1024]).unwrap();
    let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))]);
    let swelling = gzip.finish().unwrap().into();
    let answer = Client::default().ask(Method::POST, &url, headers, swelling).await.unwrap();
    assert_eq!(answer.status(), 413);
    assert!(server.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn gzip_goes_both_ways() {
    let server = served(Limits::default()).await;
    let client = Client::default();
    let url = |path: &str| format!("http://{}{path}", server.address);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"plain").unwrap();
    let coded = HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))]);
    let sent = gzip.finish().unwrap().into();
    let answer = client.ask(Method::POST, &url("/echo"), coded.clone(), sent).await.unwrap();
    assert_eq!(answer.body(), "plain");
    let broken = client.ask(Method::POST, &url("/echo"), coded, "plain".into()).await.unwrap();
    assert_eq!((broken.status().as_u16(), &broken.body()[..]), (500, &b"failed to decode body"[..]));
    let takes = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"))]);
    let answer = client.ask(Method::GET, &url("/long"), takes, Bytes::new()).await.unwrap();
    assert_eq!(answer.headers()[header::CONTENT_ENCODING], "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&answer.body()[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, "a".repeat(5000));
    assert_eq!(client.bytes(&url("/long")).await.unwrap().len(), 5000);
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_taken_and_answered_in_order() {
    let server = served(Limits::default()).await;
    let mut requests = String::new();
    for i in 0..500 {
        let close = if i == 499 { "Connection: close\r\n" } else { "" };
        requests += &format!(
            "POST /{i} HTTP/1.1\r\nHost: a\r\n{close}Transfer-Encoding: chunked\r\n\r\n4\r\n{i:04}\r\n0\r\n\r\n"
        );
    }
    let answers = talk(server.address, requests.as_bytes()).await;
    let bodies: Vec<&str> = answers.split("\r\n\r\n").skip(1).map(|rest| &rest[..4]).collect();
    assert_eq!(bodies, (0..500).map(|i| format!("{i:04}")).collect::<Vec<_>>());
    let seen = server.seen.lock().unwrap().clone();
    assert_eq!(seen, (0..500).map(|i| format!("/{i}")).collect::<Vec<_>>());
}

/// Sends as fast as it goes to a client that does not read: what was taken, in bytes, and why it ended.
async fn until_cut<E>(bytes: usize, mut send: impl FnMut() -> Result<(), E>) -> (usize, E) {
    let mut sent = 0;
    loop {
        match send() {
            Ok(()) => sent += bytes,
            Err(error) => return (sent, error),
        }
        assert!(sent < 1 << 30, "a client that does not read is never cut");
        if sent.is_multiple_of(200_000) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_hears_why_it_is_cut() {
    let mut server = served(Limits::default()).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let handle = server.streams.recv().await.unwrap();
    let event = Bytes::from(vec![b'e'; 10_000]);
    let why = || Some("since it does not read".into());
    let (sent, _) = until_cut(event.len(), || handle.send_or(event.clone(), why)).await;
    assert_eq!(
        (handle.waiting(), handle.send(event)),
        (1, Err(SendError::Gone)),
        "nothing else waits for it"
    );
    let mut heard = Vec::new();
    while !heard.ends_with(b"0\r\n\r\n") {
        let read = tokio::time::timeout(Duration::from_secs(10), socket.read_buf(&mut heard)).await;
        assert!(read.expect("it goes on").unwrap() > 0, "cut without a word");
    }
    assert!(heard.ends_with(b"\r\nsince it does not read\r\n0\r\n\r\n"));
    assert!(heard.len() < sent, "what waited for it is gone");
    tokio::time::timeout(Duration::from_secs(10), handle.ended()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_cut() {
    let mut server = served(Limits::default()).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let handle = server.streams.recv().await.unwrap();
    let event = Bytes::from(vec![b'e'; 10_000]);
    let (_, cut) = until_cut(event.len(), || handle.send(event.clone())).await;
    assert_eq!(cut, SendError::Slow);
    assert_eq!(handle.send(event), Err(SendError::Gone));
    tokio::time::timeout(Duration::from_secs(10), handle.ended()).await.unwrap();
    // what the kernel had taken is still there, then the connection is over
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut rest)).await;
    assert!(read.is_ok());
}

#[tokio::test]
async fn a_stream_is_flushed_at_once_and_its_ends_are_noticed() {
    let mut server = served(Limits::default()).await;
    let url = format!("http://{}/events", server.address);
    let client = Client::default();
    let open = || client.open(Method::GET, &url, HeaderMap::new(), Bytes::new());
    let mut body = open().await.unwrap().into_body();
    let handle = server.streams.recv().await.unwrap();
    for text in ["one", "two"] {
        handle.send(text.into()).unwrap();
        let frame = http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), text);
    }
    drop(body);
    tokio::time::timeout(Duration::from_secs(10), handle.ended()).await.unwrap();
    assert_eq!(handle.send("three".into()), Err(SendError::Gone));
    let body = open().await.unwrap().into_body();
    let handle = server.streams.recv().await.unwrap();
    handle.send("last".into()).unwrap();
    handle.close();
    assert_eq!(http_body_util::BodyExt::collect(body).await.unwrap().to_bytes(), "last");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_within_seconds_though_streams_are_open() {
    let mut server = served(Limits::default()).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let _handle = server.streams.recv().await.unwrap();
    let _idle = TcpStream::connect(server.address).await.unwrap();
    server.stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(5), server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let server = served(Limits { connections_max: 3, ..Limits::default() }).await;
    let spoken = async || {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        stream
    };
    let (mut first, _second, _third) = (spoken().await, spoken().await, spoken().await);
    let mut fourth = TcpStream::connect(server.address).await.unwrap();
    let mut answer = String::new();
    fourth.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("(connections_max)"), "{answer}");
    first.shutdown().await.unwrap();
    let url = format!("http://{}/x", server.address);
    let client = Client::default();
    let mut last = None;
    for _ in 0..200 {
        last = client.ask(Method::GET, &url, HeaderMap::new(), Bytes::new()).await.ok();
        if last.as_ref().is_some_and(|answer| answer.status() == 200) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(last.unwrap().status(), 200);
}

#[tokio::test]
async fn those_that_say_nothing_make_room_for_those_that_do() {
    let server = served(Limits { connections_max: 3, ..Limits::default() }).await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    let answer = talk(server.address, b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_flag() {
    let server = served(Limits::default()).await;
    let error = bind(server.address, "--master-port").await.unwrap_err().to_string();
    assert!(error.contains(&server.address.to_string()) && error.contains("--master-port"), "{error}");
    eventually("the first one goes on", || !server.task.is_finished()).await;
}

/// How far the threads of that name stand behind.
fn nice_of(name: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let Some((head, rest)) = stat.rsplit_once(')') else { continue };
        if head.ends_with(&format!("({name}")) {
            found.extend(rest.split_whitespace().nth(16).and_then(|nice| nice.parse::<i32>().ok()));
        }
    }
    found
}

#[tokio::test]
async fn a_large_body_is_sent_by_threads_that_stand_behind_and_the_next_request_is_answered_as_ever() {
    let server = served(Limits::default()).await;
    let large = vec![b'x'; 6 * 1024 * 1024];
    let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", large.len());
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..2 {
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&large).await.unwrap();
        let mut answer = Vec::new();
        while answer.len() < large.len() || !answer.ends_with(&large) {
            assert_ne!(socket.read_buf(&mut answer).await.unwrap(), 0, "it ends early");
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }
    let own: i32 = rustix::process::nice(0).unwrap();
    let behind = nice_of("reading");
    assert!(!behind.is_empty() && behind.iter().all(|nice| *nice > own || *nice == 19), "{behind:?}");
    socket.write_all(b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn what_a_stream_begins_with_comes_first_however_late_and_large() {
    let mut server = served(Limits::default()).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let handle = server.streams.recv().await.unwrap();
    let promise = handle.promise();
    handle.send(Bytes::from("later")).unwrap();
    let piece = Bytes::from(vec![b'p'; STREAM_BYTES_MAX]);
    promise.keep(vec![piece.clone(), piece]);
    handle.send(Bytes::from("last")).unwrap();
    drop(handle);
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    let said: String = String::from_utf8(answer).unwrap();
    let whole = said.find("later").unwrap();
    assert_eq!(said[..whole].matches('p').count(), 2 * STREAM_BYTES_MAX);
    assert!(said[whole..].find("last").is_some());
    // One that is not kept ends its stream.
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let handle = server.streams.recv().await.unwrap();
    drop(handle.promise());
    assert_eq!(handle.send(Bytes::from("x")), Err(SendError::Gone));
}
