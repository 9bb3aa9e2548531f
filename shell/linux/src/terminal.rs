//! Pseudo-terminals and pipes, as a process gets them for its input and output. Never what goes through them.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    ptr,
};

/// Rows and columns of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

impl Size {
    fn raw(self) -> libc::winsize {
        libc::winsize { ws_row: self.rows, ws_col: self.columns, ws_xpixel: 0, ws_ypixel: 0 }
    }
}

/// A new pseudo-terminal: the side of whoever controls it, and the side of the process.
pub fn open(size: Size) -> io::Result<(File, File)> {
    let (mut master, mut slave) = (-1, -1);
    let size = size.raw();
    // SAFETY: the pointers are to live integers and a live structure; null asks for no name and default settings.
    crate::process::check(unsafe {
        libc::openpty(&raw mut master, &raw mut slave, ptr::null_mut(), ptr::null(), &raw const size)
    })?;
    // SAFETY: openpty has just given us these descriptors, and nobody else has them.
    let (master, slave) = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    for side in [&master, &slave] {
        // SAFETY: fcntl with F_SETFD takes an open descriptor and a number.
        crate::process::check(unsafe { libc::fcntl(side.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) })?;
    }
    Ok((File::from(master), File::from(slave)))
}

/// Gives a terminal another size; what runs in it gets SIGWINCH.
pub fn resize(master: &File, size: Size) -> io::Result<()> {
    let size = size.raw();
    // SAFETY: TIOCSWINSZ reads a winsize from the pointer, which is to a live one.
    crate::process::check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) })
}

/// Whether there is something to read at once.
pub fn is_readable(file: &File) -> bool {
    let mut asked = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the pointer is to one live pollfd, and one is announced.
    let ready = unsafe { libc::poll(&raw mut asked, 1, 0) };
    ready > 0 && asked.revents & libc::POLLIN != 0
}

/// A pipe: what is read, what is written.
pub fn pipe() -> io::Result<(File, File)> {
    let (read, write) = crate::spawn::pipe()?;
    Ok((File::from(read), File::from(write)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn what_is_written_on_one_side_is_read_on_the_other() {
        let (mut master, mut slave) = open(Size { rows: 24, columns: 80 }).unwrap();
        slave.write_all(b"out\n").unwrap();
        let mut read = [0; 5];
        master.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"out\r\n", "a terminal ends lines its own way");
        resize(&master, Size { rows: 50, columns: 132 }).unwrap();
        let mut size = Size { rows: 0, columns: 0 }.raw();
        // SAFETY: TIOCGWINSZ writes a winsize to the pointer, which is to a live one.
        unsafe { libc::ioctl(slave.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
        assert_eq!((size.ws_row, size.ws_col), (50, 132));
        let (mut read, mut write) = pipe().unwrap();
        write.write_all(b"x").unwrap();
        drop(write);
        let mut all = String::new();
        read.read_to_string(&mut all).unwrap();
        assert_eq!(all, "x");
    }
}
