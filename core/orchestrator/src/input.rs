//! What can happen to an orchestrator, as the shell and the HTTP surface say it.

use crate::{ProbeId, commands::Command, terms::Terms};
use model::{
    container::Probed,
    mesos::scheduler::Event,
    request::{RequestId, StreamId},
    save::SaveId,
};
use serde::{Deserialize, Serialize};

/// Who sent a command, for `api_post_event`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its address.
    pub ip: String,
    /// What it asked for.
    pub uri: String,
}

/// What a command asks for besides its change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct How {
    /// What its deployment must keep.
    #[serde(default)]
    pub terms: Terms,
    /// Whether it waits where something is locked.
    #[serde(default)]
    pub queue: bool,
}

/// Everything that can happen to it.
#[derive(Clone, Debug)]
pub enum Input {
    /// A client wants something changed; its request waits for the answer.
    Command {
        /// The waiting request.
        request: RequestId,
        /// What it wants, valid in itself.
        command: Box<Command>,
        /// What it asks for besides.
        how: How,
        /// Who it is.
        client: Client,
    },
    /// A client wants events.
    Subscribe {
        /// The waiting request; becomes the stream.
        request: RequestId,
        /// Kinds of events; empty = all.
        event_types: Vec<String>,
        /// The client's address.
        remote: String,
        /// The last event that it heard (`Last-Event-ID`).
        after: Option<String>,
    },
    /// A stream's client went away, or was too slow.
    StreamClosed {
        /// Which.
        stream: StreamId,
        /// Whether it was cut, for its client did not read.
        cut: bool,
    },
    /// The shell has found a leading master.
    Connected,
    /// The master says something.
    Event(Box<Event>),
    /// The stream from the master ended.
    Disconnected {
        /// Why.
        why: String,
    },
    /// A health check was answered.
    Probed {
        /// Which.
        probe: ProbeId,
        /// What was found.
        outcome: Probed,
    },
    /// An agent said what its containers use; one that can't be asked says nothing.
    Measured {
        /// For which app.
        app: String,
        /// All its containers.
        usages: Vec<crate::autoscale::Usage>,
    },
    /// A batch is durable.
    Saved {
        /// Which.
        save: SaveId,
    },
    /// A batch was refused by the store.
    SaveFailed {
        /// Which.
        save: SaveId,
        /// Why.
        why: String,
    },
    /// The deadline has come.
    Tick,
}
