//! master

pub mod allocator;
