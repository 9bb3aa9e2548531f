//! Where the launcher's socket is found: a path of a socket may have 107 bytes, a work directory more.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

const NAME: &str = "socket";
/// Bytes of a socket's path on Linux, without the closing zero.
const PATH_BYTES_MAX: usize = 107;

/// A path that reaches the socket for as long as this lives.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    _directory: Option<File>,
}

impl Socket {
    /// In a directory that is there.
    pub fn of(directory: &Path) -> io::Result<Self> {
        let path = directory.join(NAME);
        if path.as_os_str().len() <= PATH_BYTES_MAX {
            return Ok(Self { path, _directory: None });
        }
        let directory = File::open(directory)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd()));
        Ok(Self { path, _directory: Some(directory) })
    }
    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
