//! HTTP surface of the orchestrator.
