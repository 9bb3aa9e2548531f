//! Messages between daemons as libprocess says them: one HTTP/1.1 POST each, sender and receiver in path and headers.
//!
//! Rules: apache/mesos@c1b42f79:3rdparty/libprocess/src/encoder.hpp, and recordings of the original.

use http::HeaderMap;
use model::link::{Envelope, Message, Upid};
use std::net::SocketAddr;

/// The whole request of a message, byte for byte as upstream sends it.
pub fn request(envelope: &Envelope) -> Vec<u8> {
    let body = envelope.message.encode();
    let head = format!(
        "POST /{}/{} HTTP/1.1\r\nUser-Agent: libprocess/{}\r\nLibprocess-From: {}\r\nConnection: Keep-Alive\r\nHost: {}\r\n",
        envelope.to.id,
        envelope.message.name(),
        envelope.from,
        envelope.from,
        envelope.to.address,
    );
    let mut out = head.into_bytes();
    if body.is_empty() {
        out.extend_from_slice(b"\r\n");
    } else {
        out.extend_from_slice(format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len()).as_bytes());
        out.extend_from_slice(&body);
        out.extend_from_slice(b"\r\n0\r\n\r\n");
    }
    out
}

/// What a POST turns out to be.
#[derive(Debug, PartialEq)]
pub enum Parsed {
    /// An ordinary request.
    NotAMessage,
    /// A message for the process of this id, with a name or body that the link does not know: answered like any
    /// other, and dropped.
    Unknown {
        /// Id of the receiver.
        to: String,
        /// Why it is dropped.
        why: String,
    },
    /// A message.
    Message(Box<Envelope>),
}

/// Reads a POST: a message if it names its sender. `local` is the address it came to.
pub fn parse(path: &str, headers: &HeaderMap, body: &[u8], local: SocketAddr) -> Parsed {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let from =
        text("libprocess-from").or_else(|| text("user-agent").and_then(|v| v.strip_prefix("libprocess/")));
    let Some(from) = from.and_then(|f| f.parse::<Upid>().ok()) else { return Parsed::NotAMessage };
    let Some((to, name)) = path.trim_start_matches('/').split_once('/') else { return Parsed::NotAMessage };
    let to = percent_decode(to);
    match Message::decode(name, body) {
        None => Parsed::Unknown { to, why: format!("no message is called {name}") },
        Some(Err(error)) => {
            Parsed::Unknown { to, why: format!("the body of {name} does not parse: {error}") }
        }
        Some(Ok(message)) => Parsed::Message(Box::new(Envelope { from, to: Upid::new(to, local), message })),
    }
}

fn percent_decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_may_be_percent_encoded() {
        assert_eq!(percent_decode("slave%281%29"), "slave(1)");
        assert_eq!(percent_decode("a%2"), "a%2");
        assert_eq!(percent_decode("%é"), "%é");
    }
}
