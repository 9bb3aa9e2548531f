//! Messages recorded from an unmodified Apache Mesos, taken apart and put together again, byte for byte.

use api::libprocess::{Parsed, parse, request};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::link::{Message, Upid};
use serde_json::Value;
use std::{collections::BTreeSet, path::PathBuf};

fn recordings() -> Vec<(String, Value)> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance/data/wire");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("the recordings are part of the repository")
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .collect();
    files.sort();
    let read = |p: &PathBuf| serde_json::from_slice(&std::fs::read(p).unwrap()).unwrap();
    files.iter().map(|p| (p.display().to_string(), read(p))).collect()
}

#[test]
fn every_known_message_is_the_same_bytes_again() {
    let (mut compared, mut unknown) = (0, BTreeSet::new());
    for (file, recording) in recordings() {
        let Some(messages) = recording["messages"].as_array() else { continue };
        for message in messages {
            let line = message["request_line"].as_str().unwrap();
            let path = line.split(' ').nth(1).unwrap();
            let body = STANDARD.decode(message["body_base64"].as_str().unwrap_or_default()).unwrap();
            let whole = STANDARD.decode(message["request_base64"].as_str().unwrap()).unwrap();
            let mut headers = http::HeaderMap::new();
            let mut host = None;
            for header in String::from_utf8_lossy(&whole).split("\r\n").skip(1).take_while(|l| !l.is_empty())
            {
                let (name, value) = header.split_once(": ").unwrap();
                if name == "Host" {
                    host = Some(value.to_owned());
                }
                headers.insert(
                    http::HeaderName::try_from(name.to_ascii_lowercase()).unwrap(),
                    value.parse().unwrap(),
                );
            }
            let Some(host) = host else { continue };
            match parse(path, &headers, &body, host.parse().unwrap()) {
                Parsed::Message(envelope) => {
                    assert_eq!(envelope.message.encode(), body, "{file} message {}", message["n"]);
                    let again = request(&envelope);
                    assert_eq!(
                        String::from_utf8_lossy(&again),
                        String::from_utf8_lossy(&whole),
                        "{file} message {}",
                        message["n"]
                    );
                    assert_eq!(again, whole, "{file} message {}", message["n"]);
                    compared += 1;
                }
                Parsed::Unknown { .. } => {
                    unknown.insert(path.rsplit('/').next().unwrap().to_owned());
                }
                Parsed::NotAMessage => panic!("{file}: {line} is a message"),
            }
        }
    }
    println!("{compared} recorded messages are the same bytes again; not known yet: {unknown:?}");
    assert!(compared > 500, "only {compared} messages were compared");
    // Executors' and old drivers' messages come with the v0 executor and scheduler.
    assert!(unknown.iter().all(|n| !n.contains("SlaveMessage")), "{unknown:?}");
}

#[test]
fn an_address_reads_as_it_is_written() {
    let pid: Upid = "slave(1)@127.0.0.1:5051".parse().unwrap();
    assert_eq!(pid.to_string(), "slave(1)@127.0.0.1:5051");
    assert!("slave(1)".parse::<Upid>().is_err() && "@127.0.0.1:1".parse::<Upid>().is_err());
    assert!(Message::decode("mesos.internal.NoSuchMessage", &[]).is_none());
}
