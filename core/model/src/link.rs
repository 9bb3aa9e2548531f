//! The master-agent link: addresses and the closed set of messages that travel on it. Never bytes (`api::libprocess`).

use crate::{driver, mesos::internal};
use std::{fmt, net::SocketAddr, str::FromStr};

/// The address of a libprocess process: `id@ip:port`, for example `slave(1)@10.0.0.5:5051`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Upid {
    /// Id of the process inside its daemon: `master`, `slave(1)`, `slave-observer(3)`, `scheduler-<uuid>`.
    pub id: String,
    /// Where its daemon listens.
    pub address: SocketAddr,
}

impl Upid {
    /// An address from its two halves.
    pub fn new(id: impl Into<String>, address: SocketAddr) -> Self {
        Self { id: id.into(), address }
    }
}

impl fmt::Display for Upid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.address)
    }
}

/// The text is not `id@ip:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAUpid(pub String);

impl fmt::Display for NotAUpid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is not a process address of the form id@ip:port", self.0)
    }
}

impl std::error::Error for NotAUpid {}

impl FromStr for Upid {
    type Err = NotAUpid;
    fn from_str(text: &str) -> Result<Self, NotAUpid> {
        let (id, address) = text.rsplit_once('@').ok_or_else(|| NotAUpid(text.into()))?;
        let address = address.parse().map_err(|_| NotAUpid(text.into()))?;
        if id.is_empty() {
            return Err(NotAUpid(text.into()));
        }
        Ok(Self { id: id.into(), address })
    }
}

/// One message from one process to another, as both carriers of the link move it.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// The sending process.
    pub from: Upid,
    /// The receiving process.
    pub to: Upid,
    /// What it says.
    pub message: Message,
}

macro_rules! messages {
    ($($package:ident :: $name:ident = $wire:literal),* $(,)?) => {
        /// Every message that the link knows, boxed because they differ much in size.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)]
        pub enum Message { $($name(Box<$package::$name>),)* }

        impl Message {
            /// The protobuf name, which is the last part of the request path: `mesos.internal.PingSlaveMessage`.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => $wire,)* }
            }
            /// The protobuf bytes of the body; empty where no field is set.
            pub fn encode(&self) -> Vec<u8> {
                use prost::Message as _;
                match self { $(Self::$name(m) => m.encode_to_vec(),)* }
            }
            /// Reads a body; `None` for a name that the link does not know.
            pub fn decode(name: &str, body: &[u8]) -> Option<Result<Self, prost::DecodeError>> {
                use prost::Message as _;
                match name {
                    $($wire => Some($package::$name::decode(body).map(|m| Self::$name(Box::new(m)))),)*
                    _ => None,
                }
            }
        }
        $(impl From<$package::$name> for Message {
            fn from(m: $package::$name) -> Self { Self::$name(Box::new(m)) }
        })*
    };
}

messages! {
    // agent → master
    internal::RegisterSlaveMessage = "mesos.internal.RegisterSlaveMessage",
    internal::ReregisterSlaveMessage = "mesos.internal.ReregisterSlaveMessage",
    internal::UnregisterSlaveMessage = "mesos.internal.UnregisterSlaveMessage",
    internal::UpdateSlaveMessage = "mesos.internal.UpdateSlaveMessage",
    internal::PongSlaveMessage = "mesos.internal.PongSlaveMessage",
    internal::StatusUpdateMessage = "mesos.internal.StatusUpdateMessage",
    internal::ExitedExecutorMessage = "mesos.internal.ExitedExecutorMessage",
    internal::ExecutorToFrameworkMessage = "mesos.internal.ExecutorToFrameworkMessage",
    internal::UpdateOperationStatusMessage = "mesos.internal.UpdateOperationStatusMessage",
    // agent ↔ v0 executor
    internal::RegisterExecutorMessage = "mesos.internal.RegisterExecutorMessage",
    internal::ReregisterExecutorMessage = "mesos.internal.ReregisterExecutorMessage",
    internal::ExecutorRegisteredMessage = "mesos.internal.ExecutorRegisteredMessage",
    internal::ExecutorReregisteredMessage = "mesos.internal.ExecutorReregisteredMessage",
    internal::ReconnectExecutorMessage = "mesos.internal.ReconnectExecutorMessage",
    // master → agent
    internal::SlaveRegisteredMessage = "mesos.internal.SlaveRegisteredMessage",
    internal::SlaveReregisteredMessage = "mesos.internal.SlaveReregisteredMessage",
    internal::PingSlaveMessage = "mesos.internal.PingSlaveMessage",
    internal::RunTaskMessage = "mesos.internal.RunTaskMessage",
    internal::RunTaskGroupMessage = "mesos.internal.RunTaskGroupMessage",
    internal::KillTaskMessage = "mesos.internal.KillTaskMessage",
    internal::ShutdownExecutorMessage = "mesos.internal.ShutdownExecutorMessage",
    internal::ShutdownFrameworkMessage = "mesos.internal.ShutdownFrameworkMessage",
    internal::FrameworkToExecutorMessage = "mesos.internal.FrameworkToExecutorMessage",
    internal::UpdateFrameworkMessage = "mesos.internal.UpdateFrameworkMessage",
    internal::CheckpointResourcesMessage = "mesos.internal.CheckpointResourcesMessage",
    internal::ApplyOperationMessage = "mesos.internal.ApplyOperationMessage",
    internal::ReconcileOperationsMessage = "mesos.internal.ReconcileOperationsMessage",
    internal::StatusUpdateAcknowledgementMessage = "mesos.internal.StatusUpdateAcknowledgementMessage",
    internal::AcknowledgeOperationStatusMessage = "mesos.internal.AcknowledgeOperationStatusMessage",
    internal::DrainSlaveMessage = "mesos.internal.DrainSlaveMessage",
    internal::ShutdownMessage = "mesos.internal.ShutdownMessage",
    // master → v0 framework
    internal::FrameworkRegisteredMessage = "mesos.internal.FrameworkRegisteredMessage",
    internal::FrameworkReregisteredMessage = "mesos.internal.FrameworkReregisteredMessage",
    internal::FrameworkErrorMessage = "mesos.internal.FrameworkErrorMessage",
    internal::ResourceOffersMessage = "mesos.internal.ResourceOffersMessage",
    internal::RescindResourceOfferMessage = "mesos.internal.RescindResourceOfferMessage",
    internal::LostSlaveMessage = "mesos.internal.LostSlaveMessage",
    internal::InverseOffersMessage = "mesos.internal.InverseOffersMessage",
    internal::RescindInverseOfferMessage = "mesos.internal.RescindInverseOfferMessage",
    // v0 framework → master: calls, and what drivers said before there were calls
    driver::SchedulerCall = "mesos.scheduler.Call",
    internal::RegisterFrameworkMessage = "mesos.internal.RegisterFrameworkMessage",
    internal::ReregisterFrameworkMessage = "mesos.internal.ReregisterFrameworkMessage",
    internal::UnregisterFrameworkMessage = "mesos.internal.UnregisterFrameworkMessage",
    internal::DeactivateFrameworkMessage = "mesos.internal.DeactivateFrameworkMessage",
    internal::ResourceRequestMessage = "mesos.internal.ResourceRequestMessage",
    internal::LaunchTasksMessage = "mesos.internal.LaunchTasksMessage",
    internal::ReviveOffersMessage = "mesos.internal.ReviveOffersMessage",
    internal::ReconcileTasksMessage = "mesos.internal.ReconcileTasksMessage",
}
