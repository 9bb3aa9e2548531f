//! Everything that an agent asks for.

use crate::input::ProbeId;
use base::Duration;
use model::{
    container::{ContainerId, ContainerSpec, Probe},
    link::{Envelope, Upid},
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
    /// A signal to every process of a container.
    Signal {
        /// Which.
        container: ContainerId,
        /// SIGTERM = 15, SIGKILL = 9.
        signal: i32,
    },
    /// End what is left of a container, by force.
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
