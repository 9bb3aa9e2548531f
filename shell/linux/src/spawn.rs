//! Starting a process in namespaces, cgroups and a session of its own, from a process with threads.
//!
//! Between clone and exec the child makes only system calls on what was prepared before: no allocation, no locks. Nothing
//! of this process's memory is copied for it (as vfork). What stays before the task is cloned by the `nursery`.

use crate::{
    mounts::{Bind, Failed},
    nursery,
    process::{Status, User},
};
use std::{
    cell::{Cell, RefCell},
    ffi::{CString, c_char, c_int, c_void},
    fs::File,
    io::{self, Read as _, Write as _},
    mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    ptr,
    sync::OnceLock,
};

/// What a child that shares our memory has for its few calls before exec.
const STACK_BYTES: usize = 64 * 1024;

thread_local! {
    /// Used by one child at a time: this thread stands still until it executes its program.
    static STACK: RefCell<Vec<u8>> = RefCell::new(vec![0; STACK_BYTES]);
}

/// What is started, and in which surroundings.
#[derive(Debug)]
pub struct Order {
    /// The file to execute, with its path.
    pub file: CString,
    /// argv.
    pub arguments: Vec<CString>,
    /// `NAME=value`.
    pub environment: Vec<CString>,
    /// Working directory.
    pub directory: CString,
    /// Becomes stdout.
    pub stdout: File,
    /// Becomes stderr.
    pub stderr: File,
    /// Becomes stdin.
    pub stdin: File,
    /// Who it runs as; none = as we do.
    pub user: Option<User>,
    /// `cgroup.procs` files into which it writes itself.
    pub cgroups: Vec<File>,
    /// A pid namespace with an init that reaps orphans, and a /proc that shows it.
    pub pid_namespace: bool,
    /// A mount namespace.
    pub mount_namespace: bool,
    /// An ipc namespace.
    pub ipc_namespace: bool,
    /// What is bound into its mount namespace.
    pub mounts: Vec<Bind>,
    /// Execute nothing: a process that only keeps the namespaces and cgroups open until it is killed.
    pub hold: bool,
    /// Namespaces of a process that is there, which it joins: files of `/proc/PID/ns`.
    pub enter: Vec<File>,
    /// stdin is a terminal, which becomes its own.
    pub terminal: bool,
    /// Without a pid namespace: a process of ours stands before the task, to which everything falls that leaves it, and
    /// which ends that with the task.
    pub keeper: bool,
    /// Files that it may have open; none = as many as we may.
    pub file_limit: Option<u64>,
}

impl Order {
    /// Whether a process of ours stands before the task: the init of its pid namespace, or who entered another's.
    pub fn is_fronted(&self) -> bool {
        self.pid_namespace || !self.enter.is_empty() || self.keeper
    }
}

/// The namespaces of a process, to be joined.
pub fn namespaces_of(pid: u32) -> io::Result<Vec<File>> {
    // The mount namespace last: the others are looked up in ours.
    ["ipc", "pid", "mnt"].iter().map(|kind| File::open(format!("/proc/{pid}/ns/{kind}"))).collect()
}

/// A started process.
#[derive(Debug)]
pub struct Started {
    /// Our child: the task itself, the init of its pid namespace, or its keeper.
    pub pid: i32,
    /// Where the init says how the task ended, if there is one.
    report: Option<File>,
}

impl Started {
    /// How the task ended, once our child has: what its init saw, else what we saw.
    pub fn outcome(&mut self, seen: Status) -> Status {
        let mut bytes = [0; 4];
        match self.report.as_mut().map(|r| r.read_exact(&mut bytes)) {
            Some(Ok(())) => Status::of_wait(i32::from_ne_bytes(bytes)),
            _ => seen,
        }
    }
}

/// What the child works on: pointers into memory of the parent's, shared, or copied with the address space.
struct Prepared<'a> {
    order: &'a Order,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    groups: Vec<libc::gid_t>,
    /// Signals that this process ignores, which outlives an exec.
    ignored: &'static [i32],
    /// The end of the stack of a child that shares memory.
    stack: *mut c_void,
    /// Which step failed, and why, where a child says so in shared memory.
    failed: Cell<Option<(i32, i32)>>,
    /// The pipe where a child with memory of its own says so; below 0 = it has none.
    failure: i32,
    report: i32,
    /// Where it hears that it may go on; below 0 = it need not wait.
    go: i32,
    /// All that it needs of what is open while it waits, in order.
    files: Vec<i32>,
}

/// A process that was made, and has not begun unless it was made to execute its program at once.
#[derive(Debug)]
pub struct Newborn<'a> {
    /// Our child. Its end is to be waited for, whatever becomes of it.
    pub pid: i32,
    order: &'a Order,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// It waits for the word. If nobody says it, for example since this process was killed, it ends.
    Waits { go: OwnedFd, failure: File, report: Option<File> },
    /// It executed its program, or the step that failed and why.
    Went(Option<(i32, i32)>),
}

impl Newborn<'_> {
    /// Whether it began already, so that who does not want it must end it.
    pub fn has_begun(&self) -> bool {
        matches!(self.stage, Stage::Went(None))
    }

    /// Lets it start. The error says which step failed in the child.
    pub fn go(self) -> io::Result<Started> {
        let (failure, report) = match self.stage {
            Stage::Went(failure) => (failure, None),
            Stage::Waits { go, mut failure, report } => {
                File::from(go).write_all(b"g")?;
                let mut said = [0; 8];
                let failed = failure.read_exact(&mut said).is_ok().then(|| {
                    let (step, errno) = said.split_at(4);
                    let number = |bytes: &[u8]| bytes.try_into().map(i32::from_ne_bytes).unwrap_or_default();
                    (number(step), number(errno))
                });
                (failed, report)
            }
        };
        match failure {
            None => Ok(Started { pid: self.pid, report }),
            Some((step, errno)) => Err(failed(self.order, step, errno)),
        }
    }
}

/// Makes it. What stands before a task waits for the word; what executes its program at once has begun when this returns.
pub fn begin(order: &Order) -> io::Result<Newborn<'_>> {
    STACK.with_borrow_mut(|stack| {
        // SAFETY: one past the end of the allocation.
        let stack = unsafe { stack.as_mut_ptr().add(STACK_BYTES) };
        if order.is_fronted() || order.hold { stay(order, stack.cast()) } else { rush(order, stack.cast()) }
    })
}

fn prepare<'a>(order: &'a Order, stack: *mut c_void) -> Prepared<'a> {
    let pointers = |texts: &[CString]| {
        let mut pointers: Vec<_> = texts.iter().map(|t| t.as_ptr()).collect();
        pointers.push(ptr::null());
        pointers
    };
    static IGNORED: OnceLock<Vec<i32>> = OnceLock::new();
    Prepared {
        order,
        argv: pointers(&order.arguments),
        envp: pointers(&order.environment),
        groups: order.user.as_ref().map_or_else(Vec::new, |u| u.groups.clone()),
        ignored: IGNORED.get_or_init(crate::process::ignored),
        stack,
        failed: Cell::new(None),
        failure: -1,
        report: -1,
        go: -1,
        files: Vec::new(),
    }
}

fn flags(order: &Order) -> c_int {
    let mut flags = libc::SIGCHLD;
    if order.pid_namespace {
        flags |= libc::CLONE_NEWPID;
    }
    if order.mount_namespace || order.pid_namespace {
        flags |= libc::CLONE_NEWNS;
    }
    if order.ipc_namespace {
        flags |= libc::CLONE_NEWIPC;
    }
    flags
}

/// Makes a process that executes its program at once: it borrows our memory until then.
fn rush(order: &Order, stack: *mut c_void) -> io::Result<Newborn<'_>> {
    let prepared = prepare(order, stack);
    let flags = flags(order) | libc::CLONE_VM | libc::CLONE_VFORK;
    // SAFETY: the child runs on a stack of its own while this thread stands still; `prepared` outlives that.
    let pid = unsafe { libc::clone(born, stack, flags, (&raw const prepared).cast_mut().cast()) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Newborn { pid, order, stage: Stage::Went(prepared.failed.get()) })
}

/// The child's ends of the pipes between it and us.
#[derive(Debug)]
pub(crate) struct Pipes {
    /// Where it says which step failed.
    pub failure: File,
    /// Where it hears that it may go on.
    pub go: File,
    /// Where it says how the task ended, if it says so.
    pub report: Option<File>,
}

/// Makes a process that stays in front of the task, with a copy of the nursery's memory, or of ours.
fn stay(order: &Order, stack: *mut c_void) -> io::Result<Newborn<'_>> {
    let (failure, failure_write) = pipe()?;
    let (go_read, go) = pipe()?;
    let (report, report_write) =
        if order.hold { (None, None) } else { pipe().map(|(r, w)| (Some(r), Some(w)))? };
    let pipes =
        Pipes { failure: failure_write.into(), go: go_read.into(), report: report_write.map(File::from) };
    let pid = match nursery::make(order, &pipes) {
        Some(made) => made?,
        // SAFETY: the calling thread may clone, whatever the others do.
        None => match unsafe { copy(order, &pipes, stack, 0) } {
            pid if pid > 0 => pid,
            errno => return Err(io::Error::from_raw_os_error(-errno)),
        },
    };
    let report = report.map(File::from);
    Ok(Newborn { pid, order, stage: Stage::Waits { go, failure: failure.into(), report } })
}

/// What a nursery does for who split it off: the pid of its parent's new child, or an error number below 0.
///
/// # Safety
/// Only in a process with one thread.
pub(crate) unsafe fn clone_for_parent(order: &Order, pipes: &Pipes) -> i32 {
    STACK.with_borrow_mut(|stack| {
        // SAFETY: one past the end of the allocation; the rest as for this function.
        unsafe { copy(order, pipes, stack.as_mut_ptr().add(STACK_BYTES).cast(), libc::CLONE_PARENT) }
    })
}

/// Clones with a copy of the address space; the pid, or an error number below 0.
///
/// # Safety
/// The child goes on with a copy of the stack: nothing but `child` may run in it.
unsafe fn copy(order: &Order, pipes: &Pipes, stack: *mut c_void, more: c_int) -> i32 {
    let own =
        [&order.stdin, &order.stdout, &order.stderr].into_iter().chain(&order.cgroups).chain(&order.enter);
    let own = own.chain(order.mounts.iter().map(|mount| &mount.tree));
    let own = own.chain([&pipes.failure, &pipes.go]).chain(&pipes.report);
    let mut files: Vec<_> = own.map(File::as_raw_fd).chain([0, 1, 2]).collect();
    files.sort_unstable();
    let prepared = Prepared {
        failure: pipes.failure.as_raw_fd(),
        report: pipes.report.as_ref().map_or(-1, File::as_raw_fd),
        go: pipes.go.as_raw_fd(),
        files,
        ..prepare(order, stack)
    };
    // SAFETY: without CLONE_VM nothing is shared with the child, which goes on here with a copy of the stack.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags(order) | more, 0, 0, 0, 0) } as i32;
    if pid == 0 {
        // SAFETY: this is the child; `child` makes only system calls and never returns.
        unsafe { child(&prepared) }
    }
    if pid > 0 { pid } else { -io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL) }
}

/// The error of a child that has said why it ends.
fn failed(order: &Order, step: i32, errno: i32) -> io::Error {
    let error = io::Error::from_raw_os_error(errno);
    let why = match STEPS.get(step as usize) {
        Some(step) if *step == EXECUTE => format!("{step} '{}': {error}", order.file.to_string_lossy()),
        step => format!("{}: {error}", step.unwrap_or(&"start")),
    };
    io::Error::new(error.kind(), why)
}

const EXECUTE: &str = "execute the command";
const STEPS: [&str; 12] = [
    "join the cgroup",
    "make mounts private",
    "mount /proc",
    "fork the task",
    "switch the groups",
    "switch the user",
    "enter the sandbox",
    EXECUTE,
    "mount a volume",
    "join the namespaces",
    "take the terminal",
    "find where a volume is mounted, to which no link may lead",
];

/// Where a child that shares our memory begins.
extern "C" fn born(prepared: *mut c_void) -> c_int {
    // SAFETY: who cloned stands still with all of it alive; this is a fresh child.
    unsafe { child(&*prepared.cast::<Prepared<'_>>()) }
}

/// Where the task behind an init begins.
extern "C" fn born_behind(prepared: *mut c_void) -> c_int {
    // SAFETY: as above.
    unsafe {
        libc::setsid();
        exec(&*prepared.cast::<Prepared<'_>>())
    }
}

/// # Safety
/// Only in a fresh child: it changes the whole process and never returns.
unsafe fn child(prepared: &Prepared<'_>) -> ! {
    let order = prepared.order;
    // SAFETY: system calls on descriptors and memory that live as long as this process.
    unsafe {
        if prepared.go >= 0 {
            wait_to_go(prepared);
        }
        for file in &order.cgroups {
            if libc::write(file.as_raw_fd(), c"0".as_ptr().cast(), 1) != 1 {
                fail(prepared, 0);
            }
        }
        // Who only stands in front of a task leads no session: each costs the kernel a scheduling group.
        if !order.is_fronted() {
            libc::setsid();
        }
        let mut none: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        for signal in prepared.ignored {
            libc::signal(*signal, libc::SIG_DFL);
        }
        for namespace in &order.enter {
            if libc::setns(namespace.as_raw_fd(), 0) < 0 {
                fail(prepared, 9);
            }
        }
        if order.mount_namespace || order.pid_namespace {
            let root = c"/".as_ptr();
            if libc::mount(ptr::null(), root, ptr::null(), libc::MS_REC | libc::MS_PRIVATE, ptr::null()) < 0 {
                fail(prepared, 1);
            }
        }
        for mount in &order.mounts {
            match mount.attach() {
                Ok(()) => {}
                Err(Failed::Mount) => fail(prepared, 8),
                Err(Failed::Target) => fail(prepared, 11),
            }
        }
        if !order.is_fronted() {
            if order.hold {
                hold();
            }
            exec(prepared);
        }
        let proc = c"proc".as_ptr();
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        if order.pid_namespace && libc::mount(proc, c"/proc".as_ptr(), proc, flags, ptr::null()) < 0 {
            fail(prepared, 2);
        }
        if order.hold {
            hold();
        }
        if order.keeper && libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 {
            fail(prepared, 3);
        }
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let task = libc::clone(born_behind, prepared.stack, flags, ptr::from_ref(prepared).cast_mut().cast());
        if task < 0 {
            fail(prepared, 3);
        }
        // The init: holds nothing open but the report, reaps whatever falls to it, ends with the task.
        let keep = prepared.report;
        if keep > 0 {
            libc::syscall(libc::SYS_close_range, 0, keep - 1, 0);
        }
        libc::syscall(libc::SYS_close_range, keep + 1, u32::MAX, 0);
        if order.keeper {
            // What is meant for the task is not meant for it.
            for signal in
                [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2]
            {
                libc::signal(signal, libc::SIG_IGN);
            }
        }
        loop {
            let mut status = 0;
            let ended = libc::waitpid(-1, &raw mut status, libc::__WALL);
            if ended == task {
                if order.keeper {
                    end_children();
                } else if !order.enter.is_empty() {
                    // The namespaces that it entered live on, and with them what it left in the background.
                    libc::kill(-task, libc::SIGKILL);
                }
                let bytes = status.to_ne_bytes();
                libc::write(keep, bytes.as_ptr().cast(), bytes.len());
                libc::_exit(0);
            }
        }
    }
}

/// Closes all that belongs to others, then waits for the word; ends if whoever was to say it is gone.
///
/// # Safety
/// As `child`.
unsafe fn wait_to_go(prepared: &Prepared<'_>) {
    // SAFETY: plain system calls on descriptors and a local byte.
    unsafe {
        // A copy of a sibling's other end would keep that one waiting for ever.
        let mut next = 0;
        for file in &prepared.files {
            if *file > next {
                libc::syscall(libc::SYS_close_range, next, *file - 1, 0);
            }
            next = *file + 1;
        }
        libc::syscall(libc::SYS_close_range, next, u32::MAX, 0);
        let mut word = 0_u8;
        loop {
            match libc::read(prepared.go, (&raw mut word).cast(), 1) {
                1 => return,
                n if n < 0 && *libc::__errno_location() == libc::EINTR => {}
                _ => libc::_exit(0),
            }
        }
    }
}

/// Ends all children, and theirs as they fall to us, until there is none.
///
/// # Safety
/// As `child`, and no other thread is there.
unsafe fn end_children() {
    let mut text = [0_u8; 4096];
    loop {
        // SAFETY: plain system calls on a constant path and a local buffer.
        let length = unsafe {
            let file = libc::open(c"/proc/thread-self/children".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            if file < 0 {
                return;
            }
            let length = libc::read(file, text.as_mut_ptr().cast(), text.len());
            libc::close(file);
            length
        };
        if length <= 0 {
            return;
        }
        let mut pid = 0;
        for byte in text.iter().take(length as usize) {
            if byte.is_ascii_digit() {
                pid = pid * 10 + i32::from(*byte - b'0');
            } else {
                // A number that the buffer cuts is not followed by a space and comes again.
                if pid > 0 {
                    // SAFETY: kill takes plain numbers; nobody but us reaps our children, so this is one.
                    unsafe { libc::kill(pid, libc::SIGKILL) };
                }
                pid = 0;
            }
        }
        // SAFETY: waitpid takes no status here.
        unsafe { libc::waitpid(-1, ptr::null_mut(), libc::__WALL) };
    }
}

/// # Safety
/// As `child`.
unsafe fn hold() -> ! {
    // SAFETY: plain system calls. Closing everything tells the parent that the start went well.
    unsafe {
        libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0);
        loop {
            if libc::waitpid(-1, ptr::null_mut(), libc::__WALL) < 0 {
                libc::pause();
            }
        }
    }
}

/// # Safety
/// As `child`.
unsafe fn exec(prepared: &Prepared<'_>) -> ! {
    let order = prepared.order;
    // SAFETY: as in `child`. The raw calls change this thread only, which is the only one of this process.
    unsafe {
        libc::dup2(order.stdin.as_raw_fd(), 0);
        libc::dup2(order.stdout.as_raw_fd(), 1);
        libc::dup2(order.stderr.as_raw_fd(), 2);
        if let Some(user) = &order.user {
            let groups = prepared.groups.as_ptr();
            if libc::syscall(libc::SYS_setgroups, prepared.groups.len(), groups) < 0
                || libc::syscall(libc::SYS_setresgid, user.gid, user.gid, user.gid) < 0
            {
                fail(prepared, 4);
            }
            if libc::syscall(libc::SYS_setresuid, user.uid, user.uid, user.uid) < 0 {
                fail(prepared, 5);
            }
        }
        if order.terminal && libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
            fail(prepared, 10);
        }
        if !order.enter.is_empty() {
            // Nobody else would end it: its namespaces live on.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        }
        if libc::chdir(order.directory.as_ptr()) < 0 {
            fail(prepared, 6);
        }
        if let Some(files) = order.file_limit {
            let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
            limit.rlim_cur = files.min(limit.rlim_max);
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
        // Everything else closes when the new program starts; a failure can still be told.
        libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        libc::execve(order.file.as_ptr(), prepared.argv.as_ptr(), prepared.envp.as_ptr());
        fail(prepared, 7);
    }
}

/// # Safety
/// As `child`.
unsafe fn fail(prepared: &Prepared<'_>, step: i32) -> ! {
    // SAFETY: writes to prepared memory or a local buffer to an open descriptor, then ends the process.
    unsafe {
        let errno = *libc::__errno_location();
        if prepared.failure < 0 {
            prepared.failed.set(Some((step, errno)));
            libc::_exit(127);
        }
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&step.to_ne_bytes());
        bytes[4..].copy_from_slice(&errno.to_ne_bytes());
        libc::write(prepared.failure, bytes.as_ptr().cast(), bytes.len());
        libc::_exit(127)
    }
}

pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: the pointer is to two live integers.
    crate::process::check(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: pipe2 has just given us these descriptors, and nobody else has them.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}
