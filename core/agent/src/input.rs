//! Everything that can happen to an agent.

use model::{
    container::{ContainerId, Probed, Termination},
    link::{Envelope, Upid},
    save::SaveId,
};
use std::net::SocketAddr;

/// A probe under way. Numbered by the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProbeId(pub u64);

/// What an agent takes.
#[derive(Debug)]
pub enum Input {
    /// The leading master, or that there is none.
    MasterDetected(Option<Upid>),
    /// A message from the master.
    Message(Box<Envelope>),
    /// The link to this daemon broke.
    Exited {
        /// Where it listened.
        peer: SocketAddr,
    },
    /// What the launcher still knows, once after the start. Containers that it does not know ended unseen.
    Recovered {
        /// Running containers and their first process.
        running: Vec<(ContainerId, u32)>,
        /// Containers that ended while the agent was away.
        ended: Vec<(ContainerId, Termination)>,
    },
    /// The launcher was killed and another one is there: what that one knows.
    LauncherReplaced {
        /// Running containers and their first process.
        running: Vec<(ContainerId, u32)>,
        /// Containers that ended, seen or unseen.
        ended: Vec<(ContainerId, Termination)>,
    },
    /// A container runs.
    Launched {
        /// Which.
        container: ContainerId,
        /// Its first process, as this machine numbers it.
        pid: u32,
    },
    /// A container could not be made.
    LaunchFailed {
        /// Which.
        container: ContainerId,
        /// Why, for people.
        why: String,
    },
    /// A container ended.
    Terminated {
        /// Which.
        container: ContainerId,
        /// How.
        how: Termination,
    },
    /// A probe came back.
    Probed {
        /// Which.
        probe: ProbeId,
        /// What it found.
        outcome: Probed,
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
    /// End all tasks and leave the cluster.
    Unregister,
    /// The deadline has come.
    Tick,
}
