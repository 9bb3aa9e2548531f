//! What every machine stands on: time, randomness, the `Machine` trait, named limits. Never a clock, never I/O.

mod machine;
mod rng;
mod table;
mod time;

pub use machine::{Effects, Machine, Now};
pub use rng::Rng;
pub use std::time::Duration;
pub use table::{Page, Table};
pub use time::Time;
