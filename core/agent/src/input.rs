//! Everything that can happen to an agent.

use crate::ContainerCall;
use model::{
    container::{ContainerId, Probed, Termination},
    link::{Envelope, Upid},
    mesos::executor::Call,
    request::{Codec, RequestId, StreamId},
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
        /// Containers that it was ordered to make and has not made yet.
        starting: Vec<ContainerId>,
        /// Containers that ended while the agent was away.
        ended: Vec<(ContainerId, Termination)>,
    },
    /// The connection to the launcher broke and another stands, most often to another launcher. Orders may have been
    /// lost on the way. What it knows:
    LauncherReplaced {
        /// Running containers and their first process.
        running: Vec<(ContainerId, u32)>,
        /// Containers that it was ordered to make and has not made yet.
        starting: Vec<ContainerId>,
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
    /// A container could not be made, or is not there: the answer to its end, too, where there is nothing to end.
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
    /// Volumes were made and removed.
    VolumesChanged {
        /// The uuid of the operation; empty = none waits for it.
        operation: Vec<u8>,
        /// Why not, if not.
        outcome: Result<(), String>,
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
    /// A call of an executor, by HTTP.
    Executor {
        /// Answered by this number.
        request: RequestId,
        /// How a stream is written.
        accept: Codec,
        /// What it says.
        call: Box<Call>,
    },
    /// A call about a container, by the agent's API.
    Container {
        /// Answered by this number.
        request: RequestId,
        /// How the answer is written.
        codec: Codec,
        /// Which.
        container: ContainerId,
        /// What is asked.
        call: ContainerCall,
    },
    /// The client of a stream has gone.
    StreamClosed {
        /// Which.
        stream: StreamId,
    },
    /// How full the disk of the sandboxes is.
    DiskUsed {
        /// From 0 to 1.
        part: f64,
    },
    /// The answer to `Discard`.
    Discarded {
        /// Which.
        directory: String,
        /// Whether nothing is there any more.
        gone: bool,
    },
    /// End all tasks and leave the cluster.
    Unregister,
    /// An agent that was told to shut down tries again, as if it were started anew.
    StartAgain,
    /// The deadline has come.
    Tick,
}
