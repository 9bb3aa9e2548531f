//! Messages of the link that come to a daemon's HTTP port, and those that come in process.

use api::libprocess::{Parsed, parse};
use http::Method;
use model::{
    link::Envelope,
    request::{Answer, Body},
};
use web::{Incoming, Reply};

/// What a request to a daemon's port is, as far as the link is concerned.
pub enum Came {
    /// A message, and the answer that says only that it has come.
    Message(Box<Envelope>, Reply),
    /// Answered: nobody of that name is here, or it does not parse.
    Answered(Reply),
    /// An ordinary request.
    Request(Incoming),
}

/// Sorts it out. `known` says which processes live here.
pub fn sort(incoming: Incoming, known: impl Fn(&str) -> bool) -> Came {
    if incoming.request.method() != Method::POST {
        return Came::Request(incoming);
    }
    let request = &incoming.request;
    let accepted = || Reply::Full(endpoints::render(Answer::new(202, Body::Empty)));
    let absent = || Reply::Full(endpoints::render(Answer::text(404, "404 Not Found.")));
    match parse(request.uri().path(), request.headers(), request.body(), incoming.local) {
        Parsed::NotAMessage => Came::Request(incoming),
        Parsed::Unknown { to, why } => {
            tracing::debug!(%why, "a message is dropped");
            Came::Answered(if known(&to) { accepted() } else { absent() })
        }
        Parsed::Message(envelope) if known(&envelope.to.id) => Came::Message(envelope, accepted()),
        Parsed::Message(_) => Came::Answered(absent()),
    }
}
