//! Everything that can happen to a master.

use crate::OperatorCall;
use model::{
    link::Envelope,
    mesos::{offer::Operation, scheduler},
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
    /// An operator changes the resources of an agent: RESERVE, UNRESERVE, CREATE, DESTROY, GROW_VOLUME, SHRINK_VOLUME.
    Operation {
        /// The waiting request.
        request: RequestId,
        /// Of which agent.
        agent_id: String,
        /// The operation, without an id.
        operation: Box<Operation>,
        /// Who asks, if that is known.
        principal: Option<String>,
    },
    /// A call of the operator API that changes something or opens its event stream, valid in its shape.
    Operator {
        /// The waiting request.
        request: RequestId,
        /// The call.
        call: OperatorCall,
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
