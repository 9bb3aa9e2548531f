//! A process that was split off while this one was small. It clones what stays in front of a task, so that next to
//! nothing of anybody's memory is copied for it; what it clones is a child of the process that split it off.
//!
//! Where there is none (it was never opened, or was killed) the launcher clones by itself, which costs more and does the
//! same. Never: what is started, or where (`spawn`).

use crate::{
    mounts::Bind,
    process::User,
    spawn::{self, Order, Pipes},
};
use std::{
    ffi::CString,
    fs::File,
    io::{self, Read as _, Write as _},
    mem,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    ptr,
    sync::{Mutex, OnceLock, PoisonError},
};

/// A longer order is not sent: it would make the process large for ever.
const ORDER_BYTES_MAX: usize = 256 * 1024;
/// Files that go with one order.
const FILES_MAX: usize = 32;
/// Room for the control message that carries them, in words so that it is aligned.
const CONTROL_WORDS: usize = 4 + FILES_MAX / 2;

static OPEN: OnceLock<Mutex<Option<UnixStream>>> = OnceLock::new();

/// Splits the process off. To be called once, before this process has threads: the copy goes on with the caller's only.
pub fn open() -> io::Result<()> {
    let (ours, theirs) = UnixStream::pair()?;
    // SAFETY: with one thread the copy is whole; it never returns to its caller.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(ours);
            serve(theirs)
        }
        _ => {
            OPEN.get_or_init(|| Mutex::new(Some(ours)));
            Ok(())
        }
    }
}

/// Has an order's process made there, with the ends of its pipes. None = it must be made here.
pub(crate) fn make(order: &Order, pipes: &Pipes) -> Option<io::Result<i32>> {
    let mut socket = OPEN.get()?.lock().unwrap_or_else(PoisonError::into_inner);
    let bytes = encode(order, pipes.report.is_some());
    let mut files =
        [&order.stdin, &order.stdout, &order.stderr, &pipes.failure, &pipes.go].map(File::as_raw_fd).to_vec();
    files.extend(pipes.report.iter().map(File::as_raw_fd));
    files.extend(order.mounts.iter().map(|mount| mount.tree.as_raw_fd()));
    files.extend(order.cgroups.iter().chain(&order.enter).map(File::as_raw_fd));
    if bytes.len() > ORDER_BYTES_MAX || files.len() > FILES_MAX {
        return None;
    }
    let Ok(sent) = send(socket.as_ref()?, &bytes, &files) else {
        // It is gone and has heard nothing.
        *socket = None;
        return None;
    };
    match answer(socket.as_mut()?, &bytes[sent..]) {
        Ok(pid) if pid >= 0 => Some(Ok(pid)),
        Ok(errno) => Some(Err(io::Error::from_raw_os_error(-errno))),
        Err(error) => {
            // Whether it did it nobody knows: this order fails, the next ones are carried out here.
            *socket = None;
            Some(Err(error))
        }
    }
}

/// What it says to an order of which these bytes are still to be sent.
fn answer(socket: &mut UnixStream, rest: &[u8]) -> io::Result<i32> {
    socket.write_all(rest)?;
    let mut answer = [0; 4];
    socket.read_exact(&mut answer)?;
    Ok(i32::from_ne_bytes(answer))
}

/// What the process does until the other end is closed.
fn serve(mut socket: UnixStream) -> ! {
    // SAFETY: plain system calls.
    let end = |code| unsafe { libc::_exit(code) };
    loop {
        let Ok(Some((length, files))) = receive(&socket) else { end(0) };
        let mut bytes = vec![0; length.min(ORDER_BYTES_MAX)];
        if socket.read_exact(&mut bytes).is_err() {
            end(0);
        }
        let answer = match decode(&bytes, files) {
            // SAFETY: this process has one thread, and clones in the name of the process that split it off.
            Some((order, pipes)) => unsafe { spawn::clone_for_parent(&order, &pipes) },
            None => -libc::EINVAL,
        };
        if socket.write_all(&answer.to_ne_bytes()).is_err() {
            end(0);
        }
    }
}

struct Message {
    length: [u8; 8],
    control: [u64; CONTROL_WORDS],
}

/// Passes a message's parts to a system call, which writes at most into those of the message itself.
fn with_header<T>(
    message: &mut Message,
    control: usize,
    more: &[u8],
    call: impl FnOnce(&mut libc::msghdr) -> T,
) -> T {
    let mut parts = [
        libc::iovec { iov_base: message.length.as_mut_ptr().cast(), iov_len: message.length.len() },
        libc::iovec { iov_base: more.as_ptr().cast_mut().cast(), iov_len: more.len() },
    ];
    // SAFETY: all zeros is a valid msghdr.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = parts.as_mut_ptr();
    header.msg_iovlen = if more.is_empty() { 1 } else { 2 };
    header.msg_control = message.control.as_mut_ptr().cast();
    header.msg_controllen = control as _;
    call(&mut header)
}

/// Sends the length of an order, the files that go with it and, so that it is woken up once, the order itself; how many bytes
/// of that went along.
fn send(socket: &UnixStream, order: &[u8], files: &[RawFd]) -> io::Result<usize> {
    let mut message = Message { length: (order.len() as u64).to_ne_bytes(), control: [0; CONTROL_WORDS] };
    let bytes = mem::size_of_val(files) as u32;
    // SAFETY: the lengths are computed by the macros, and FILES_MAX bounds them below the buffer's.
    let sent = unsafe {
        with_header(&mut message, libc::CMSG_SPACE(bytes) as usize, order, |header| {
            let control = libc::CMSG_FIRSTHDR(header);
            (*control).cmsg_level = libc::SOL_SOCKET;
            (*control).cmsg_type = libc::SCM_RIGHTS;
            (*control).cmsg_len = libc::CMSG_LEN(bytes) as _;
            ptr::copy_nonoverlapping(files.as_ptr().cast(), libc::CMSG_DATA(control), bytes as usize);
            libc::sendmsg(socket.as_raw_fd(), header, libc::MSG_NOSIGNAL)
        })
    };
    let sent = usize::try_from(sent).map_err(|_| io::Error::last_os_error())?;
    sent.checked_sub(mem::size_of::<u64>()).ok_or_else(|| io::ErrorKind::WriteZero.into())
}

/// The length of what follows, and the files; none at the end.
fn receive(socket: &UnixStream) -> io::Result<Option<(usize, Vec<OwnedFd>)>> {
    let mut message = Message { length: [0; 8], control: [0; CONTROL_WORDS] };
    let mut files = Vec::new();
    // SAFETY: the kernel fills in at most the buffers that it was given; descriptors in it are new and ours.
    let read = unsafe {
        with_header(&mut message, mem::size_of::<[u64; CONTROL_WORDS]>(), &[], |header| {
            let flags = libc::MSG_WAITALL | libc::MSG_CMSG_CLOEXEC;
            let read = libc::recvmsg(socket.as_raw_fd(), header, flags);
            let control = if read > 0 { libc::CMSG_FIRSTHDR(header) } else { ptr::null_mut() };
            if !control.is_null() && (*control).cmsg_type == libc::SCM_RIGHTS {
                let bytes = (*control).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let data = libc::CMSG_DATA(control).cast::<RawFd>();
                for at in 0..bytes / mem::size_of::<RawFd>() {
                    files.push(OwnedFd::from_raw_fd(data.add(at).read_unaligned()));
                }
            }
            read
        })
    };
    match read {
        8 => Ok(Some((u64::from_ne_bytes(message.length) as usize, files))),
        0 => Ok(None),
        _ => Err(io::Error::last_os_error()),
    }
}

fn encode(order: &Order, report: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4096);
    let said = [
        order.pid_namespace,
        order.mount_namespace,
        order.ipc_namespace,
        order.hold,
        order.terminal,
        order.keeper,
        report,
        order.user.is_some(),
    ];
    bytes.extend(said.map(u8::from));
    let number = |n: u32, bytes: &mut Vec<u8>| bytes.extend(n.to_ne_bytes());
    number(order.cgroups.len() as u32, &mut bytes);
    bytes.extend(order.file_limit.unwrap_or(u64::MAX).to_ne_bytes());
    if let Some(user) = &order.user {
        number(user.uid, &mut bytes);
        number(user.gid, &mut bytes);
        number(user.groups.len() as u32, &mut bytes);
        user.groups.iter().for_each(|group| number(*group, &mut bytes));
    }
    let text = |text: &CString, bytes: &mut Vec<u8>| bytes.extend_from_slice(text.as_bytes_with_nul());
    text(&order.file, &mut bytes);
    text(&order.directory, &mut bytes);
    for list in [&order.arguments, &order.environment] {
        number(list.len() as u32, &mut bytes);
        list.iter().for_each(|one| text(one, &mut bytes));
    }
    number(order.mounts.len() as u32, &mut bytes);
    for mount in &order.mounts {
        bytes.push(u8::from(mount.read_only));
        text(&mount.target, &mut bytes);
    }
    bytes
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
    fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|b| b[0] != 0)
    }
    fn number(&mut self) -> Option<u32> {
        self.take(4).and_then(|b| b.try_into().ok()).map(u32::from_ne_bytes)
    }
    fn long(&mut self) -> Option<u64> {
        self.take(8).and_then(|b| b.try_into().ok()).map(u64::from_ne_bytes)
    }
    fn text(&mut self) -> Option<CString> {
        let end = self.0.iter().position(|b| *b == 0)?;
        CString::from_vec_with_nul(self.take(end + 1)?.to_vec()).ok()
    }
    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        (0..self.number()?).map(|_| one(self)).collect()
    }
}

/// The order, and the ends of its pipes.
fn decode(bytes: &[u8], files: Vec<OwnedFd>) -> Option<(Order, Pipes)> {
    let mut reader = Reader(bytes);
    let mut files = files.into_iter().map(File::from);
    let [pid_namespace, mount_namespace, ipc_namespace] = [reader.flag()?, reader.flag()?, reader.flag()?];
    let (hold, terminal, keeper) = (reader.flag()?, reader.flag()?, reader.flag()?);
    let (report, user) = (reader.flag()?, reader.flag()?);
    let cgroups = reader.number()?;
    let file_limit = reader.long().map(|limit| (limit < u64::MAX).then_some(limit))?;
    let user = match user {
        true => {
            let (uid, gid) = (reader.number()?, reader.number()?);
            Some(User { uid, gid, groups: reader.list(Reader::number)? })
        }
        false => None,
    };
    let (stdin, stdout, stderr) = (files.next()?, files.next()?, files.next()?);
    let (failure, go) = (files.next()?, files.next()?);
    let report = if report { Some(files.next()?) } else { None };
    let order = Order {
        file: reader.text()?,
        directory: reader.text()?,
        arguments: reader.list(Reader::text)?,
        environment: reader.list(Reader::text)?,
        mounts: reader.list(|reader| {
            let read_only = reader.flag()?;
            Some(Bind { read_only, target: reader.text()?, tree: files.next()? })
        })?,
        stdin,
        stdout,
        stderr,
        user,
        cgroups: (0..cgroups).map(|_| files.next()).collect::<Option<_>>()?,
        pid_namespace,
        mount_namespace,
        ipc_namespace,
        hold,
        enter: files.collect(),
        terminal,
        keeper,
        file_limit,
    };
    Some((order, Pipes { failure, go, report }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_the_same_on_the_other_side() {
        let text = |t: &str| CString::new(t).unwrap();
        let null = || File::open("/dev/null").unwrap();
        let order = Order {
            file: text("/bin/true"),
            arguments: vec![text("true"), text("")],
            environment: vec![text("A=1")],
            directory: text("/"),
            stdout: null(),
            stderr: null(),
            stdin: null(),
            user: Some(User { uid: 1, gid: 2, groups: vec![2, 3] }),
            cgroups: vec![null(), null()],
            pid_namespace: true,
            mount_namespace: false,
            ipc_namespace: true,
            mounts: vec![Bind { tree: null(), target: text("/b"), read_only: true }],
            hold: false,
            enter: vec![null()],
            terminal: true,
            keeper: true,
            file_limit: Some(1024),
        };
        let bytes = encode(&order, true);
        let files = || (0..10).map(|_| OwnedFd::from(null())).collect::<Vec<_>>();
        let (read, pipes) = decode(&bytes, files()).unwrap();
        assert!(pipes.report.is_some());
        assert_eq!((read.cgroups.len(), read.enter.len()), (2, 1));
        let said = |o: &Order| {
            let texts = (o.file.clone(), o.arguments.clone(), o.environment.clone(), o.directory.clone());
            let namespaces = (o.pid_namespace, o.mount_namespace, o.ipc_namespace);
            (
                texts,
                namespaces,
                (o.hold, o.terminal, o.keeper, o.file_limit),
                o.user.clone(),
                o.mounts.iter().map(|m| (m.target.clone(), m.read_only)).collect::<Vec<_>>(),
            )
        };
        assert_eq!(said(&read), said(&order));
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length], files()).is_none(), "{length} bytes are not the whole");
        }
    }

    #[test]
    fn files_travel_with_their_message() {
        let (a, b) = UnixStream::pair().unwrap();
        let (mut reading, writing) = io::pipe().unwrap();
        assert_eq!(send(&a, b"1234567", &[writing.as_raw_fd()]).unwrap(), 7);
        drop(writing);
        let (length, files) = receive(&b).unwrap().unwrap();
        assert_eq!((length, files.len()), (7, 1));
        let mut order = [0; 7];
        (&b).read_exact(&mut order).unwrap();
        assert_eq!(&order, b"1234567");
        for file in files {
            File::from(file).write_all(b"x").unwrap();
        }
        let mut text = String::new();
        reading.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        drop(a);
        assert!(receive(&b).unwrap().is_none());
    }
}
