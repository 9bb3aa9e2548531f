//! What a machine and an HTTP surface say to each other: requests by number, answers, event streams.
//!
//! A machine never sees HTTP: `endpoints` decodes a request into an input, the machine answers with these nouns.

use std::fmt;

/// An HTTP request that waits for its answer. Given by the shell, unique in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// An open event stream: the request that opened it, under the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}", self.0)
    }
}

/// How the records of a stream are said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Codec {
    /// `application/json`.
    #[default]
    Json,
    /// `application/x-protobuf`.
    Protobuf,
}

/// What a request is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Headers besides Content-Type.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Body,
}

/// The body of an answer; decides its Content-Type.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// No body, no Content-Type.
    Empty,
    /// `text/plain; charset=utf-8`.
    Text(String),
    /// `application/json`, already rendered.
    Json(String),
}

impl Answer {
    /// An answer without headers.
    pub fn new(status: u16, body: Body) -> Self {
        Self { status, headers: Vec::new(), body }
    }
    /// 202 without a body: taken, what follows comes as events.
    pub fn accepted() -> Self {
        Self::new(202, Body::Empty)
    }
    /// A refusal with its reason as plain text.
    pub fn text(status: u16, reason: impl Into<String>) -> Self {
        Self::new(status, Body::Text(reason.into()))
    }
    /// A JSON answer.
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, Body::Json(body.into()))
    }
}

/// What a machine asks of its HTTP surface. `E` is the event type of its streams.
#[derive(Clone, Debug, PartialEq)]
pub enum Http<E> {
    /// Answer this request.
    Reply {
        /// The waiting request.
        request: RequestId,
        /// Its answer.
        answer: Answer,
    },
    /// Answer this request with 200 and an open stream `StreamId(request.0)`.
    Open {
        /// The waiting request.
        request: RequestId,
        /// Headers besides Content-Type, for example `Mesos-Stream-Id`.
        headers: Vec<(&'static str, String)>,
        /// How its records are said.
        codec: Codec,
    },
    /// Put one event on a stream. A stream whose client reads too slowly is cut, and its end comes back as an input.
    Send {
        /// The open stream.
        stream: StreamId,
        /// What is sent.
        event: E,
    },
    /// Put the same event on many streams: it is written once, and its bytes are shared.
    SendAll {
        /// The open streams.
        streams: Vec<StreamId>,
        /// What is sent.
        event: E,
    },
    /// End a stream after what was put on it.
    Close {
        /// The open stream.
        stream: StreamId,
    },
}
