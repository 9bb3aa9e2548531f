//! What an orchestrator asks the shell for. Never performs any of it.

use base::Duration;
use model::{
    container::Probe,
    mesos::scheduler::Call,
    request::Http,
    save::{Change, SaveId},
};

/// One event of `/v2/events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerEvent {
    /// The `event:` line, for example `status_update_event`.
    pub kind: String,
    /// The `data:` line: one JSON object.
    pub data: String,
    /// The `id:` line, by which a client goes on; none = it can't.
    pub id: Option<String>,
}

/// One health check on its way; numbered by the machine, ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProbeId(pub u64);

/// What must follow a step, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send this to the leading master, after those before it. A SUBSCRIBE opens the stream whose events come back.
    Call(Box<Call>),
    /// Answer a client, or feed its event stream.
    Http(Http<ServerEvent>),
    /// Make this durable, then say `Saved`.
    Save {
        /// Its number.
        save: SaveId,
        /// The changes, atomic.
        batch: Vec<Change>,
    },
    /// Ask a running task how it is, then say `Probed`.
    Probe {
        /// Its number.
        id: ProbeId,
        /// What is asked.
        probe: Probe,
        /// How long it may take.
        timeout: Duration,
    },
    /// Ask an agent what its containers use, then say `Measured`; or nothing, if it does not answer.
    Measure {
        /// For which app.
        app: String,
        /// Its address, as `http://host:port`.
        agent: String,
    },
}
