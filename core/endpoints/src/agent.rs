//! HTTP surface of the agent.
