//! Everything that a master asks for.

use crate::Told;
use model::{
    link::{Envelope, Upid},
    mesos::scheduler,
    request::Http,
    save::{Change, SaveId},
};

/// What a master asks of the shell.
#[derive(Debug)]
pub enum Effect {
    /// Something on its HTTP surface.
    Http(Http<scheduler::Event>),
    /// Something on the operator's event streams.
    Operator(Http<Told>),
    /// A message to an agent.
    Send(Box<Envelope>),
    /// Hold a connection to this agent, and say when it breaks.
    Link(Upid),
    /// Who runs this should know: a message was dropped for what it says.
    Dropped {
        /// Who sent it.
        from: Upid,
        /// What is wrong with it.
        why: String,
    },
    /// Make a batch durable.
    Save {
        /// Its number.
        save: SaveId,
        /// What is written.
        batch: Vec<Change>,
    },
}

impl From<Http<scheduler::Event>> for Effect {
    fn from(http: Http<scheduler::Event>) -> Self {
        Self::Http(http)
    }
}
