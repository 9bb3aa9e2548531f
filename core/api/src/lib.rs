//! How the nouns are said: Mesos' JSON dialect and protobuf, RecordIO, libprocess requests, Marathon's JSON.
//!
//! Never: what anything means.

pub mod call;
pub mod duration;
pub mod json;
pub mod libprocess;
pub mod marathon;
pub mod recordio;
mod shape;

pub use shape::{Shape, Shaped};
