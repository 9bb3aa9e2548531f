//! Processes as the kernel lists them: signals to trees, start times, who we are.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    sync::{Mutex, OnceLock, PoisonError},
    time::SystemTime,
};

/// Users that are kept in mind.
const USERS_MAX: usize = 1000;

/// For opening a file that must not be a link.
pub const NO_FOLLOW: i32 = libc::O_NOFOLLOW;

/// Whether this process may do everything.
pub fn is_root() -> bool {
    // SAFETY: geteuid takes nothing and can't fail.
    unsafe { libc::geteuid() == 0 }
}

/// Makes this process the one to which orphaned descendants fall.
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: prctl with PR_SET_CHILD_SUBREAPER takes plain numbers.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) })
}

/// Leaves the terminal and the process group of whoever started this process.
pub fn new_session() -> io::Result<()> {
    // SAFETY: setsid takes nothing.
    check(unsafe { libc::setsid() })
}

/// Ignores a signal.
pub fn ignore(signal: i32) {
    // SAFETY: SIG_IGN is a valid disposition for any signal number; an invalid number is refused.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Whether what belongs to this user belongs to this process's.
pub fn is_own(user: &User) -> bool {
    // SAFETY: geteuid and getegid take nothing and can't fail.
    unsafe { libc::geteuid() == user.uid && libc::getegid() == user.gid }
}

/// The signals that this process ignores.
pub(crate) fn ignored() -> Vec<i32> {
    (1..32)
        .filter(|signal| {
            // SAFETY: all zeros is a valid sigaction, which is only filled in.
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            // SAFETY: the pointer is to a live structure.
            let known = unsafe { libc::sigaction(*signal, std::ptr::null(), &raw mut action) } == 0;
            known && action.sa_sigaction == libc::SIG_IGN
        })
        .collect()
}

/// Sends a signal to one process; false if it is gone.
pub fn signal(pid: i32, signal: i32) -> bool {
    // SAFETY: kill takes plain numbers.
    pid > 0 && unsafe { libc::kill(pid, signal) } == 0
}

/// Whether a process is the init of a pid namespace inside ours.
pub fn is_init(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let own = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    own.is_some_and(|pids| pids.split_whitespace().count() > 1 && pids.split_whitespace().last() == Some("1"))
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// With this status.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

impl Status {
    /// Of the number that wait gives.
    pub fn of_wait(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Signaled(libc::WTERMSIG(status))
        } else {
            Self::Exited(libc::WEXITSTATUS(status))
        }
    }
}

/// Waits for any child to end and leaves it there: its number is not given to another process before it is `reap`ed.
/// `Ok(None)` = there is no child.
pub fn wait_any() -> io::Result<Option<i32>> {
    loop {
        // SAFETY: siginfo_t is a plain structure for which all zeros is valid.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a live structure.
        let result = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, libc::WEXITED | libc::WNOWAIT) };
        if result == 0 {
            // SAFETY: waitid has filled in the part of a child that ended.
            return Ok(Some(unsafe { info.si_pid() }));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ECHILD) => return Ok(None),
            Some(libc::EINTR) => {}
            _ => return Err(error),
        }
    }
}

/// Takes the end of a child that has ended.
pub fn reap(pid: i32) -> io::Result<Status> {
    let mut status = 0;
    // SAFETY: the pointer is to a live integer.
    check(unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) })?;
    Ok(Status::of_wait(status))
}

/// Raises the number of files that this process may have open to the most it may ask for; what it was before.
pub fn raise_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live structure.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    let before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the pointer is to a live structure.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    FILE_LIMIT_BEFORE.set(before).unwrap_or_default();
    Ok(before)
}

/// What the limit was before this process raised it. Tasks get that one: programs that use select(2) count on it.
pub fn file_limit_before() -> Option<u64> {
    FILE_LIMIT_BEFORE.get().copied()
}

static FILE_LIMIT_BEFORE: std::sync::OnceLock<u64> = std::sync::OnceLock::new();

/// More than the numbers of a process in /proc take: the kernel gives all of them at once.
const STAT_BYTES: usize = 2048;

/// Bits that new files of this process do not get; it never changes them. All where the kernel does not say.
pub fn umask() -> u32 {
    static UMASK: OnceLock<u32> = OnceLock::new();
    *UMASK.get_or_init(|| {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let said = status.lines().find_map(|line| line.strip_prefix("Umask:"));
        said.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o777)
    })
}

/// When a process started, in ticks since boot: with the pid it names one process for ever. None = it is gone.
pub fn started(pid: i32) -> Option<u64> {
    let mut stat = [0; STAT_BYTES];
    let length = fs::File::open(format!("/proc/{pid}/stat")).and_then(|mut f| f.read(&mut stat)).ok()?;
    let stat = &stat[..length];
    let name_ends = stat.iter().rposition(|b| *b == b')')?;
    let mut fields = stat.get(name_ends + 2..)?.split(|b| *b == b' ');
    if fields.next() == Some(b"Z") {
        return None;
    }
    std::str::from_utf8(fields.nth(18)?).ok()?.parse().ok()
}

/// Names this boot of the machine; empty where the kernel does not say.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// A process and all its descendants, parents first.
pub fn tree(root: i32) -> Vec<i32> {
    // Kernels without CONFIG_PROC_CHILDREN don't list them: then every process of the machine is asked for its parent.
    static LISTED: OnceLock<bool> = OnceLock::new();
    let listed = *LISTED.get_or_init(|| fs::exists("/proc/thread-self/children").unwrap_or_default());
    let all = if listed { None } else { Some(children_of_all()) };
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        match &all {
            Some(all) => found.extend(all.get(&pid).into_iter().flatten()),
            None => found.extend(children(pid)),
        }
        next += 1;
    }
    found
}

/// As the kernel lists them: those of each thread.
fn children(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let listed = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    listed.flat_map(|l| l.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<_>>()).collect()
}

fn children_of_all() -> BTreeMap<i32, Vec<i32>> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(pid);
        }
    }
    children
}

/// Stops all descendants of a process, so that none makes another one unseen; parents first.
pub fn stop_descendants(root: i32) -> Vec<i32> {
    let mut stopped = Vec::new();
    loop {
        let all = tree(root).into_iter().skip(1);
        let fresh: Vec<_> = all.filter(|pid| !stopped.contains(pid)).collect();
        if fresh.is_empty() {
            return stopped;
        }
        for pid in &fresh {
            signal(*pid, libc::SIGSTOP);
        }
        stopped.extend(fresh);
    }
}

/// Numbers of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Main group.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
}

/// Looks a user up by name or number; the error says what is missing. The files are read again when they have changed.
pub fn user(name: &str) -> Result<User, String> {
    type Known = (Vec<Option<(u64, u64, SystemTime)>>, BTreeMap<String, User>);
    static KNOWN: Mutex<Option<Known>> = Mutex::new(None);
    let stamp = |path: &str| {
        let of = fs::metadata(path).ok()?;
        Some((of.ino(), of.len(), of.modified().ok()?))
    };
    let stamps: Vec<_> = ["/etc/passwd", "/etc/group"].into_iter().map(stamp).collect();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = match &mut *known {
        Some(known) if known.0 == stamps => known,
        other => other.insert((stamps, BTreeMap::new())),
    };
    if let Some(user) = known.1.get(name) {
        return Ok(user.clone());
    }
    let user = look_up(name)?;
    if known.1.len() < USERS_MAX {
        known.1.insert(name.to_owned(), user.clone());
    }
    Ok(user)
}

fn look_up(name: &str) -> Result<User, String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|e| format!("can't read {path}: {e}"));
    let passwd = read("/etc/passwd")?;
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let found = passwd.lines().map(fields).find(|f| f.len() > 3 && (f[0] == name || f[2] == name));
    let Some(found) = found else { return Err(format!("no user is called '{name}'")) };
    let number =
        |text: &str| text.parse::<u32>().map_err(|_| format!("the entry of user '{name}' is malformed"));
    let gid = number(&found[3])?;
    let mut groups = vec![gid];
    for group in read("/etc/group")?.lines().map(fields) {
        if group.len() > 3 && group[3].split(',').any(|m| m == found[0]) {
            groups.push(number(&group[2])?);
        }
    }
    Ok(User { uid: number(&found[2])?, gid, groups })
}

/// Becomes this user for good, with all of its groups and nothing of what this process was.
pub fn become_user(user: &User) -> io::Result<()> {
    // SAFETY: the pointer and the length are of one live vector of gid_t; the other calls take plain numbers.
    unsafe {
        check(libc::setgroups(user.groups.len(), user.groups.as_ptr()))?;
        check(libc::setresgid(user.gid, user.gid, user.gid))?;
        check(libc::setresuid(user.uid, user.uid, user.uid))
    }
}

pub(crate) fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_of_this_process_has_its_child() {
        let mut child = std::process::Command::new("/bin/sleep").arg("100").spawn().unwrap();
        let pid = child.id() as i32;
        assert!(tree(std::process::id() as i32).contains(&pid));
        let of_all = children_of_all();
        assert!(of_all[&(std::process::id() as i32)].contains(&pid), "where the kernel lists no children");
        assert!(started(pid).is_some());
        assert!(signal(pid, 9));
        child.wait().unwrap();
        assert_eq!(started(pid), None);
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        assert_eq!(user("root").unwrap().uid, 0);
        assert_eq!(user("0").unwrap().gid, 0);
        assert!(user("nobody-is-called-so").unwrap_err().contains("no user is called"));
    }
}
