//! Every HTTP surface: route, decode, validate the shape, render. Pure: reads render from a machine, changes become inputs.
//!
//! Never: what a change leads to (the machines decide), nor sockets (`shell/web`).

pub mod agent;
mod answer;
pub mod master;
mod nouns;
pub mod orchestrator;
mod pages;

pub use answer::render;

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
