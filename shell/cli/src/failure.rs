//! Why a command failed, and the exit code that says it to a script. Never how it is shown.

use web::client::ClientError;

/// Exit codes besides 0; `run` exits with the status of its command.
pub mod exit {
    /// What `--help` says of them.
    pub const HELP: &str = "Exit codes:
  0  done
  1  the cluster refused, or what was asked for failed
  2  the command line is wrong
  3  there is nothing by that name
  4  the cluster cannot be reached
  5  accepted, but not finished in time
`mesolite run` exits with the status of its command.";
    /// The cluster refused, or what was asked for failed.
    pub const FAILED: u8 = 1;
    /// The command line is wrong (clap's own code).
    pub const USAGE: u8 = 2;
    /// There is nothing by that name.
    pub const NOT_FOUND: u8 = 3;
    /// The cluster cannot be reached.
    pub const UNREACHABLE: u8 = 4;
    /// It was accepted, but did not finish in time.
    pub const UNFINISHED: u8 = 5;
}

/// Why a command failed; decides the exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The cluster could not be asked, or said no.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// There is nothing by that name.
    #[error("{0}")]
    NotFound(String),
    /// What was asked for failed.
    #[error("{0}")]
    Failed(String),
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// It goes on, but was not waited for any longer.
    #[error("{0}")]
    Unfinished(String),
}

impl Failure {
    /// Its exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Client(ClientError::Unreachable { .. } | ClientError::Timeout { .. }) => exit::UNREACHABLE,
            Self::Client(ClientError::Address { .. }) => exit::USAGE,
            Self::Client(ClientError::Status { status, .. }) if status.as_u16() == 404 => exit::NOT_FOUND,
            Self::NotFound(_) => exit::NOT_FOUND,
            Self::Usage(_) => exit::USAGE,
            Self::Unfinished(_) => exit::UNFINISHED,
            Self::Client(_) | Self::Failed(_) => exit::FAILED,
        }
    }
    /// What may help.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Client(ClientError::Unreachable { connect: true, .. }) => Some(
                "Is a cluster running? Start one with `mesolite dev`, or name another with --marathon and --master.",
            ),
            Self::Client(ClientError::Status { status, .. }) if status.as_u16() == 409 => Some(
                "Wait for the deployment, line up behind it with --queue, cancel it, or override it with --force.",
            ),
            _ => None,
        }
    }
}
