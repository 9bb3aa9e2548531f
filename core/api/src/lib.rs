//! How the nouns are said: Mesos' JSON dialect and protobuf, RecordIO, libprocess requests, Marathon's JSON,
//! protobuf's text format where errors show it.
//!
//! Never: what anything means.

pub mod call;
pub mod duration;
pub mod json;
pub mod libprocess;
pub mod marathon;
pub mod recordio;
mod shape;
mod status;
pub mod text;

pub use shape::{Shape, Shaped};
pub use status::status_text;
