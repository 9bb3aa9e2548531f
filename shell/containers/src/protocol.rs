//! What agent and launcher say to each other: one JSON value per line on a unix socket, a version first.

use crate::isolation::Isolation;
use model::container::{ContainerId, ContainerSpec, Limits, Program, Termination};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// A launcher of another version is asked to replace itself before anything else.
pub const VERSION: u32 = 3;

/// Agent → launcher.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// First of all.
    Hello {
        version: u32,
        isolation: Isolation,
        cgroup_mount: String,
        cgroups_root: String,
        /// Files that a task may have open, if not as many as the launcher.
        #[serde(default)]
        file_limit: Option<u64>,
    },
    /// Make a container and start what runs in it.
    Launch(Box<ContainerSpec>),
    /// Change what it may use.
    Limit { container: ContainerId, limits: Limits },
    /// A signal to all of its processes.
    Signal { container: ContainerId, signal: i32 },
    /// End what is left of it and remove its groups; if it is not made yet or not known, `Failed` says so.
    Destroy { container: ContainerId },
    /// Its end is known; drop it from the journal.
    Forget { container: ContainerId },
    /// Run a command inside it.
    Execute {
        number: u64,
        container: ContainerId,
        program: Program,
        environment: Vec<(String, String)>,
        user: Option<String>,
        timeout_ms: u64,
    },
    /// First on a connection of its own: answered by `Attached` or `Refused`, then frames both ways.
    Attach { container: ContainerId, output: bool },
    /// End everything, then yourself.
    Stop,
}

/// Launcher → agent.
#[derive(Debug, Serialize, Deserialize)]
pub enum Word {
    /// Answers `Hello`.
    Welcome {
        version: u32,
        running: Vec<(ContainerId, u32)>,
        /// Ordered and not made yet.
        #[serde(default)]
        starting: Vec<ContainerId>,
        ended: Vec<(ContainerId, Termination)>,
    },
    /// It runs.
    Launched { container: ContainerId, pid: u32 },
    /// It does not, and why: it could not be made, was destroyed before, or was never known.
    Failed { container: ContainerId, why: String },
    /// It ended.
    Terminated { container: ContainerId, how: Termination },
    /// A command inside a container ended; none = it did not in time.
    Executed { number: u64, status: Result<Option<i32>, String> },
    /// Answers `Attach`: frames follow.
    Attached,
    /// Answers `Attach`: nobody attaches to this container, and why.
    Refused { why: String },
}

/// Bytes of one frame.
const FRAME_BYTES_MAX: u32 = 1024 * 1024;

/// What goes over an attached connection: a kind, a length of four bytes (little end first), and so many bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// To its stdin; empty = the end of it.
    In(Vec<u8>),
    /// From its stdout, or its terminal.
    Out(Vec<u8>),
    /// From its stderr.
    Err(Vec<u8>),
    /// Another size of its terminal.
    Window {
        /// Lines.
        rows: u16,
        /// Characters in a line.
        columns: u16,
    },
}

impl Frame {
    /// As it goes over the connection.
    pub fn bytes(&self) -> Vec<u8> {
        let window;
        let (kind, payload): (u8, &[u8]) = match self {
            Self::In(bytes) => (0, bytes),
            Self::Out(bytes) => (1, bytes),
            Self::Err(bytes) => (2, bytes),
            Self::Window { rows, columns } => {
                window = [rows.to_le_bytes(), columns.to_le_bytes()].concat();
                (3, &window)
            }
        };
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        [&[kind], length.to_le_bytes().as_slice(), payload].concat()
    }
    /// The length of a frame by its first five bytes.
    pub fn length(head: [u8; 5]) -> io::Result<usize> {
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::other(format!("a frame of {length} bytes; at most {FRAME_BYTES_MAX}")));
        }
        Ok(length as usize)
    }
    /// Of its kind and its payload.
    pub fn of(kind: u8, payload: Vec<u8>) -> io::Result<Self> {
        Ok(match (kind, payload.as_slice()) {
            (0, _) => Self::In(payload),
            (1, _) => Self::Out(payload),
            (2, _) => Self::Err(payload),
            (3, &[a, b, c, d]) => {
                Self::Window { rows: u16::from_le_bytes([a, b]), columns: u16::from_le_bytes([c, d]) }
            }
            _ => return Err(io::Error::other(format!("a frame of an unknown kind {kind}"))),
        })
    }
}

/// Reads one; none = the other side has closed.
pub fn read_frame(from: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut head = [0; 5];
    if from.read(&mut head[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut head[1..])?;
    let mut payload = vec![0; Frame::length(head)?];
    from.read_exact(&mut payload)?;
    Frame::of(head[0], payload).map(Some)
}

/// Writes one.
pub fn write_frame(to: &mut impl Write, frame: &Frame) -> io::Result<()> {
    to.write_all(&frame.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_as_they_went() {
        let frames = [
            Frame::In(b"x".to_vec()),
            Frame::In(Vec::new()),
            Frame::Out(vec![0; 70_000]),
            Frame::Err(b"e".to_vec()),
            Frame::Window { rows: 24, columns: 300 },
        ];
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
        let mut rest = bytes.as_slice();
        for frame in &frames {
            assert_eq!(read_frame(&mut rest).unwrap().as_ref(), Some(frame));
        }
        assert_eq!(read_frame(&mut rest).unwrap(), None);
        assert!(read_frame(&mut [1, 255, 255, 255, 255].as_slice()).is_err(), "no frame is that long");
        assert!(read_frame(&mut [9, 0, 0, 0, 0].as_slice()).is_err());
        assert!(read_frame(&mut [1, 4, 0, 0, 0, 1].as_slice()).is_err(), "cut off");
    }
}
