//! Every HTTP surface: route, decode, validate the shape, render. Pure: reads render from a machine, changes become inputs.
//!
//! Never: what a change leads to (the machines decide), nor sockets (`shell/web`).

pub mod agent;
mod answer;
pub mod files;
mod firewall;
pub mod logging;
pub mod master;
pub mod metrics;
mod mime;
mod nouns;
mod operator;
pub mod orchestrator;
mod pages;

pub use answer::render;
pub use firewall::Firewall;

use bytes::Bytes;
use model::request::RequestId;
use std::net::SocketAddr;

/// A request that arrived whole.
#[derive(Debug)]
pub struct Arrived {
    /// Its number.
    pub id: RequestId,
    /// Who sent it.
    pub peer: Option<SocketAddr>,
    /// The request with its whole body.
    pub request: http::Request<Bytes>,
}

/// What becomes of a request. `I` is the machine's input, `P` what the shell performs itself (reading a file).
#[derive(Debug)]
pub enum Routed<I, P = std::convert::Infallible> {
    /// Answered at once: a read, or a refusal.
    Respond(http::Response<Bytes>),
    /// Decided by the machine, which replies by the request's number.
    Step(I),
    /// Done by the shell, which needs the world for it.
    Perform(P),
}

/// What the shell does for a request of a master or an agent. Each has its own `render` for what came of it.
#[derive(Debug)]
pub enum Perform {
    /// Something about a file.
    Files(files::Ask),
    /// Metrics, for which the machine's numbers are gathered already.
    Metrics(metrics::Ask),
    /// How much is logged.
    Logging(logging::Ask),
    /// A large document of a master, drawn from a copy of its tables.
    Document(master::Ask),
    /// What containers use.
    Containers(agent::containers::Ask),
    /// Launch a session in a container and stream what it says.
    Session {
        /// Its container.
        container: model::container::ContainerId,
        /// What the agent is asked.
        call: ::agent::ContainerCall,
        /// How it is written.
        style: agent::Style,
    },
    /// Stream what a container says.
    Output {
        /// Which.
        container: model::container::ContainerId,
        /// How it is written.
        style: agent::Style,
    },
}

/// How a read that is offered by both APIs is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// In the v0 shape, with the query of the request.
    V0(Option<String>),
    /// As an answer of the operator API.
    V1(model::request::Codec),
}
