//! The nouns of mesolite, shared by every machine: Mesos' own messages, resources, the master-agent link.
//!
//! Never: how they are said on the wire (`api`), nor what is decided about them (`master`, `agent`, `orchestrator`).

pub mod container;
pub mod document;
pub mod driver;
pub mod link;
pub mod request;
pub mod resources;
pub mod save;
pub mod task;

/// Mesos' messages as Rust types, one type for v0, v1 and JSON (`proto/`). Names and numbers are upstream's facts.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod mesos {
    include!(concat!(env!("OUT_DIR"), "/mesos.rs"));
    /// Scheduler API.
    pub mod scheduler {
        include!(concat!(env!("OUT_DIR"), "/mesos.scheduler.rs"));
    }
    /// Executor API.
    pub mod executor {
        include!(concat!(env!("OUT_DIR"), "/mesos.executor.rs"));
    }
    /// Quota.
    pub mod quota {
        include!(concat!(env!("OUT_DIR"), "/mesos.quota.rs"));
    }
    /// Maintenance.
    pub mod maintenance {
        include!(concat!(env!("OUT_DIR"), "/mesos.maintenance.rs"));
    }
    /// Allocator status.
    pub mod allocator {
        include!(concat!(env!("OUT_DIR"), "/mesos.allocator.rs"));
    }
    /// Operator API of the master.
    pub mod master {
        include!(concat!(env!("OUT_DIR"), "/mesos.master.rs"));
    }
    /// Operator API of the agent.
    pub mod agent {
        include!(concat!(env!("OUT_DIR"), "/mesos.agent.rs"));
    }
    /// Messages between processes.
    pub mod internal {
        include!(concat!(env!("OUT_DIR"), "/mesos.internal.rs"));
    }
}

/// A framework with this label is told, as the message of a status, what a health check that failed saw. Mesos' agents
/// say it to nobody.
pub const CHECK_WORDS_LABEL: &str = "mesolite.check_words";
