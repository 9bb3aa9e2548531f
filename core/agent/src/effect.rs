//! Everything that an agent asks for.

use crate::{Removal, input::ProbeId};
use base::Duration;
use model::{
    container::{ContainerId, ContainerSpec, Limits, Probe},
    link::{Envelope, Upid},
    mesos::{agent::Response, executor::Event},
    request::{Codec, Http, RequestId},
    save::{Change, SaveId},
};

/// What an agent asks of the shell.
#[derive(Debug)]
pub enum Effect {
    /// A message to the master.
    Send(Box<Envelope>),
    /// Hold a connection to this daemon, and say when it breaks.
    Link(Upid),
    /// Make a batch durable.
    Save {
        /// Its number.
        save: SaveId,
        /// What is written.
        batch: Vec<Change>,
    },
    /// Fetch, make the sandbox, start: answered by `Launched` or `LaunchFailed`, later by `Terminated`.
    Launch(Box<ContainerSpec>),
    /// Another limit for a container that runs.
    Limit {
        /// Which.
        container: ContainerId,
        /// What it may use from now on.
        limits: Limits,
    },
    /// An answer to an executor, or an event on its stream.
    Http(Http<Event>),
    /// An answer to a call of the agent's API.
    Respond {
        /// The waiting request.
        request: RequestId,
        /// How it is written.
        codec: Codec,
        /// What it says.
        response: Box<Response>,
    },
    /// Make and remove volumes, before any later effect: answered by `VolumesChanged`.
    Volumes {
        /// The uuid of the operation; empty = none waits for it.
        operation: Vec<u8>,
        /// Directories to be made, unless they are there.
        make: Vec<String>,
        /// What goes, with all that is in it.
        remove: Vec<Removal>,
    },
    /// Remove a sandbox that nobody may want any more: answered by `Discarded`.
    Discard {
        /// Its absolute path.
        directory: String,
    },
    /// A signal to every process of a container.
    Signal {
        /// Which.
        container: ContainerId,
        /// SIGTERM = 15, SIGKILL = 9.
        signal: i32,
    },
    /// End what is left of a container, by force; one that is still to be made is not made (`LaunchFailed`).
    Destroy {
        /// Which.
        container: ContainerId,
    },
    /// The end of this container is durable here: the launcher may forget it.
    Forget {
        /// Which.
        container: ContainerId,
    },
    /// Ask a task how it is.
    Probe {
        /// Comes back with the outcome.
        id: ProbeId,
        /// What is asked.
        probe: Probe,
        /// No answer in this time is an answer too.
        timeout: Duration,
    },
}
