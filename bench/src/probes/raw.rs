//! vfork-style starts with as little as the kernel allows: no allocation, no pipes, a stack that is used again.
#![allow(
    unsafe_code,
    reason = "the probe is the bare system calls; it must not share code with what it measures"
)]

use super::c_string;
use std::{
    ffi::{CString, c_char, c_int, c_void},
    fs::File,
    io,
    os::fd::{AsRawFd as _, RawFd},
    ptr,
};

const STACK_BYTES: usize = 64 * 1024;

/// Where a process is started.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// In pid, mount and ipc namespaces of its own.
    pub namespaces: bool,
    /// `cgroup.procs` files into which it writes itself.
    pub groups: Vec<File>,
}

/// A program that is started again and again.
#[derive(Debug)]
pub struct Bare {
    file: CString,
    stack: Vec<u8>,
}

struct Work {
    file: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
    groups: *const RawFd,
    groups_len: usize,
}

extern "C" fn child(work: *mut c_void) -> c_int {
    // SAFETY: the parent waits (CLONE_VFORK) with all of it alive until the new program runs or this process ends;
    // only system calls are made.
    unsafe {
        let work = &*work.cast::<Work>();
        for at in 0..work.groups_len {
            if libc::write(*work.groups.add(at), c"0".as_ptr().cast(), 1) != 1 {
                libc::_exit(126);
            }
        }
        libc::execve(work.file, work.argv, work.envp);
        libc::_exit(127)
    }
}

impl Bare {
    /// Of a path.
    pub fn new(file: &str) -> Result<Self, String> {
        Ok(Self { file: c_string(file)?, stack: vec![0; STACK_BYTES] })
    }

    /// Starts it and waits for its end, which must be a success.
    pub fn run(&mut self, surroundings: &Surroundings) -> io::Result<()> {
        let argv = [self.file.as_ptr(), ptr::null()];
        let envp = [ptr::null()];
        let groups: Vec<RawFd> = surroundings.groups.iter().map(|file| file.as_raw_fd()).collect();
        let mut work = Work {
            file: self.file.as_ptr(),
            argv: argv.as_ptr(),
            envp: envp.as_ptr(),
            groups: groups.as_ptr(),
            groups_len: groups.len(),
        };
        let mut flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        if surroundings.namespaces {
            flags |= libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWIPC;
        }
        let mut status = 0;
        // SAFETY: the child runs on a stack of its own while this thread is suspended; `work` and what it points to
        // outlive that. The pid that is waited for is the child's.
        unsafe {
            let top = self.stack.as_mut_ptr().add(STACK_BYTES);
            let pid = libc::clone(child, top.cast(), flags, (&raw mut work).cast());
            if pid < 0 {
                return Err(io::Error::last_os_error());
            }
            while libc::waitpid(pid, &raw mut status, 0) < 0 {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
            Ok(())
        } else {
            Err(io::Error::other(format!("it ended with wait status {status}")))
        }
    }
}
