//! What is bound into a mount namespace, by descriptor: what was looked at is what is bound, whatever stands at its path by
//! then, and no link is followed to where it is bound.
//!
//! Never: what is bound where, and which links may be followed to find it (`containers`).

use std::{
    ffi::{CString, c_char},
    fs::File,
    io, mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    ptr,
};

/// `/proc/self/fd/` and a number.
const PATH_BYTES: usize = 32;

/// Something that is to be bound.
#[derive(Debug)]
pub struct Bind {
    /// A mount of its own, which is nowhere yet.
    pub(crate) tree: File,
    pub(crate) target: CString,
    pub(crate) read_only: bool,
}

/// What could not be done, with `errno` set.
pub(crate) enum Failed {
    /// The target is not there, or a link leads to it.
    Target,
    /// It can't be bound there.
    Mount,
}

impl Bind {
    /// Takes hold of what is open, and of what is mounted below it. `target` is an absolute path without links.
    pub fn new(source: &OwnedFd, target: CString, read_only: bool) -> io::Result<Self> {
        let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
        let flags = flags | (libc::AT_EMPTY_PATH | libc::AT_RECURSIVE) as libc::c_uint;
        // SAFETY: the call takes a descriptor and a constant text.
        let tree = unsafe { libc::syscall(libc::SYS_open_tree, source.as_raw_fd(), c"".as_ptr(), flags) };
        crate::process::check(tree as i32)?;
        // SAFETY: open_tree has just given us this descriptor, and nobody else has it.
        let tree = unsafe { OwnedFd::from_raw_fd(tree as i32) };
        Ok(Self { tree: tree.into(), target, read_only })
    }

    /// Binds it in the mount namespace of this process, which must have one of its own. Only system calls.
    pub(crate) fn attach(&self) -> Result<(), Failed> {
        let tree = self.tree.as_raw_fd();
        let path = by_descriptor(tree);
        let path: *const c_char = path.as_ptr().cast();
        let (here, empty) = (libc::AT_FDCWD, c"".as_ptr());
        // SAFETY: system calls on descriptors, constant texts and local memory; all zeros is a valid open_how.
        unsafe {
            let mut how: libc::open_how = mem::zeroed();
            how.flags = (libc::O_PATH | libc::O_CLOEXEC) as u64;
            how.resolve = libc::RESOLVE_NO_SYMLINKS;
            let size = mem::size_of_val(&how);
            let place = libc::syscall(libc::SYS_openat2, here, self.target.as_ptr(), &raw const how, size);
            if place < 0 {
                return Err(Failed::Target);
            }
            let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
            if libc::syscall(libc::SYS_move_mount, tree, empty, place, empty, flags) < 0 {
                return Err(Failed::Mount);
            }
            libc::close(place as i32);
            // It came from another namespace: what is mounted in it there or here is not to be seen on the other side.
            let private = libc::MS_REC | libc::MS_PRIVATE;
            if libc::mount(ptr::null(), path, ptr::null(), private, ptr::null()) < 0 {
                return Err(Failed::Mount);
            }
            let flags = libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY;
            if self.read_only && libc::mount(ptr::null(), path, ptr::null(), flags, ptr::null()) < 0 {
                return Err(Failed::Mount);
            }
        }
        Ok(())
    }
}

/// The path by which a descriptor of this process is reached, made without memory from anywhere.
fn by_descriptor(number: i32) -> [u8; PATH_BYTES] {
    const BEFORE: &[u8] = b"/proc/self/fd/";
    let mut path = [0; PATH_BYTES];
    path[..BEFORE.len()].copy_from_slice(BEFORE);
    let digits = number.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
    let mut rest = number.unsigned_abs();
    for at in (0..digits).rev() {
        path[BEFORE.len() + at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_written_as_numbers() {
        for number in [0, 7, 10, 99, 12_345, i32::MAX] {
            let path = by_descriptor(number);
            let text = std::ffi::CStr::from_bytes_until_nul(&path).expect("it ends");
            assert_eq!(text.to_str(), Ok(&*format!("/proc/self/fd/{number}")));
        }
    }
}
