//! HTTP surface of the master.
