//! Everything that can happen to a master.

use model::{
    link::Envelope,
    mesos::scheduler,
    request::{Codec, RequestId, StreamId},
    save::SaveId,
};
use std::net::SocketAddr;

/// What a master takes.
#[derive(Debug)]
pub enum Input {
    /// A call of the scheduler API, decoded and valid in its shape.
    Scheduler {
        /// The waiting request.
        request: RequestId,
        /// How the client wants its events.
        accept: Codec,
        /// The `Mesos-Stream-Id` header, if it came.
        stream_id: Option<String>,
        /// The call.
        call: Box<scheduler::Call>,
    },
    /// An operator wants a framework and its tasks gone.
    Teardown {
        /// The waiting request.
        request: RequestId,
        /// Which framework.
        framework_id: String,
    },
    /// A client has closed its event stream, or was cut.
    StreamClosed {
        /// Which stream.
        stream: StreamId,
    },
    /// A message from an agent.
    Message(Box<Envelope>),
    /// The link to this daemon broke.
    Exited {
        /// Where it listened.
        peer: SocketAddr,
    },
    /// A batch is durable.
    Saved {
        /// Which.
        save: SaveId,
    },
    /// A batch could not be made durable.
    SaveFailed {
        /// Which.
        save: SaveId,
        /// Why.
        why: String,
    },
    /// The deadline has come.
    Tick,
}
