//! Sockets: a server that reads requests whole and answers or streams, a client, and the wire of the master-agent link.
//!
//! Never: what a request means (`endpoints`), nor anything that is decided about it.

mod body;
pub mod client;
mod connection;
pub mod link;
mod parts;
pub mod reading;
mod relay;
pub mod scheduler;
mod server;
mod stream;

pub use relay::{Relay, RelayBody, RelayError, RelayLimits};
pub use server::{BindError, Incoming, Limits, Reply, Upload, bind, serve};
pub use stream::{Bounds, Patience, Promise, SendError, StreamBody, StreamHandle, bounded, stream};
