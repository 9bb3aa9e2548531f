//! Parsers alone: they refuse or accept, never panic, and what they accept is said again with the same meaning.

use api::{
    Shaped, call,
    json::{FromJson, ToJson},
    libprocess, marathon,
    recordio::Decoder,
};
use http::{HeaderMap, HeaderValue, header};
use model::{
    link::Message,
    mesos::{agent, executor, master, scheduler},
    request::Codec,
    resources::Resources,
};

fn headers(codec: Codec) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(call::media_type(codec)));
    headers
}

/// A message of a codec: what is understood is said again with the same meaning.
pub(crate) fn said_again<T>(codec: Codec, body: &[u8])
where
    T: FromJson + ToJson + Shaped + prost::Message + Default,
{
    let Ok(read) = call::decode::<T>(&headers(codec), body) else { return };
    for codec in [Codec::Json, Codec::Protobuf] {
        let said = call::encode(&read, codec);
        // what JSON has no word for (an enum value of a later version, NaN) is said `null` and read as absent
        let lossy = codec == Codec::Json && String::from_utf8_lossy(&said).contains("null");
        match call::decode::<T>(&headers(codec), &said) {
            Ok(again) => assert!(lossy || call::encode(&again, codec) == said, "said twice, differently"),
            Err((_, why)) => assert!(lossy, "what was said is refused: {why}"),
        }
    }
}

/// Calls of the four v1 APIs in both codecs; the first byte picks.
pub fn calls(data: &[u8]) {
    let Some((pick, body)) = data.split_first() else { return };
    let codec = if pick & 1 == 0 { Codec::Json } else { Codec::Protobuf };
    match (pick >> 1) & 3 {
        0 => said_again::<scheduler::Call>(codec, body),
        1 => said_again::<executor::Call>(codec, body),
        2 => said_again::<master::Call>(codec, body),
        _ => said_again::<agent::Call>(codec, body),
    }
}

/// The framing of event streams: cut anywhere, the same records.
pub fn recordio(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else { return };
    let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut decoder = Decoder::default();
        let mut records = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            loop {
                match decoder.next_record() {
                    Ok(Some(record)) => records.push(record),
                    Ok(None) => break,
                    Err(_) => return (records, true),
                }
            }
        }
        (records, false)
    };
    let whole = read(&mut std::iter::once(bytes));
    let pieces = read(&mut bytes.chunks(usize::from(*cut).max(1)));
    assert_eq!(whole, pieces);
    let again: Vec<u8> = whole.0.iter().flat_map(|record| api::recordio::frame(record)).collect();
    assert_eq!(read(&mut std::iter::once(&again[..])), (whole.0, false));
}

/// A message between daemons: first line the path, second the sender, then the body.
pub fn link(data: &[u8]) {
    let mut parts = data.splitn(3, |b| *b == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let (path, from, body) = (String::from_utf8_lossy(next()).into_owned(), next(), next());
    let mut headers = HeaderMap::new();
    if let Ok(from) = HeaderValue::from_bytes(from) {
        headers.insert("libprocess-from", from);
    }
    let local = std::net::SocketAddr::from(([127, 0, 0, 1], 5050));
    if let libprocess::Parsed::Message(envelope) = libprocess::parse(&path, &headers, body, local) {
        let bytes = envelope.message.encode();
        let again = Message::decode(envelope.message.name(), &bytes);
        // compared as bytes, for a NaN is not itself
        assert_eq!(again.map(|m| m.map(|m| m.encode())), Some(Ok(bytes)));
        libprocess::request(&envelope);
    }
}

/// Definitions of apps: what is accepted is a normal form, which is accepted again and stays as it is.
pub fn definitions(data: &[u8]) {
    let _ = marathon::objects(data);
    let Ok(given) = marathon::object(data) else { return };
    let _ = marathon::app_part(given.clone(), &serde_json::Map::new());
    let _ = marathon::pod(given.clone());
    let _ = marathon::group_update(given.clone(), "/");
    let Ok(app) = marathon::normal(given) else { return };
    match marathon::normal(app.clone()) {
        Ok(again) => assert_eq!(app, again, "the normal form has another normal form"),
        Err((status, why)) => {
            panic!("the normal form is refused: {status} {why}: {}", serde_json::json!(app))
        }
    }
}

/// Resources as text: what is understood survives messages and arithmetic.
pub fn resources(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (left, right) = text.split_once('&').unwrap_or((text, ""));
    let (Ok(left), Ok(right)) = (Resources::parse(left, "*"), Resources::parse(right, "*")) else { return };
    let again = Resources::from_messages(&left.to_messages()).expect("what we say is understood");
    assert_eq!(left, again);
    let rest = left.difference(&right);
    assert!(left.contains(&rest), "{left:?} without {right:?} is {rest:?}");
    let mut taken = left.clone();
    if taken.subtract(&right).is_ok() {
        assert!(left.contains(&right));
        assert_eq!(taken, rest);
    }
}
