//! Who our children are: entered before they can end, taken only when it is known whose end it is. So no exit is lost,
//! and no number of a process that has ended is used for another.

use super::{Shared, WATCH_EVERY};
use linux::{
    process::{self, Status},
    spawn::{self, Newborn, Started},
};
use model::container::ContainerId;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{PoisonError, mpsc::Sender},
    thread,
    time::Duration,
};

/// Without children it is looked for new ones this often, if nobody says that there is one.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Whose end it will be.
pub enum Child {
    /// It is being started.
    Newborn,
    /// It ended before it was said whose it is.
    Early(Status),
    /// It could not be started, or need not be.
    Nobody,
    /// The first process of a container.
    Container(ContainerId),
    /// A command beside a container.
    Helper(Sender<Status>),
}

/// Our children, and those that are being made and have no number yet. Orphans that fell to us are not among them.
#[derive(Default)]
pub struct Children {
    known: BTreeMap<i32, Child>,
    making: BTreeSet<u64>,
    next: u64,
}

impl Children {
    /// Says whose end a child's will be; its end, if it came before.
    pub fn name(&mut self, pid: i32, child: Child) -> Option<Status> {
        match self.known.insert(pid, child) {
            Some(Child::Early(status)) => {
                self.known.remove(&pid);
                Some(status)
            }
            _ => None,
        }
    }

    /// Whether its end was not taken yet, so that its number is its own.
    pub fn has(&self, pid: i32) -> bool {
        !matches!(self.known.get(&pid), None | Some(Child::Early(_)))
    }
}

impl Shared {
    /// Makes a child. Nothing is locked meanwhile: it may take until the child executes its program.
    pub(super) fn begin<'a>(&self, order: &'a spawn::Order, child: Child) -> io::Result<Newborn<'a>> {
        let mut children = self.children();
        let ticket = children.next;
        children.next += 1;
        children.making.insert(ticket);
        drop(children);
        let newborn = spawn::begin(order);
        let mut children = self.children();
        children.making.remove(&ticket);
        if let Ok(newborn) = &newborn {
            children.known.insert(newborn.pid, child);
        }
        drop(children);
        self.born.notify_all();
        newborn
    }

    /// Gives up a child that nobody wants any more.
    pub(super) fn abandon(&self, newborn: Newborn<'_>) {
        let pid = newborn.pid;
        if newborn.has_begun() {
            let children = self.children();
            if children.has(pid) {
                process::signal(pid, 9);
            }
        }
        self.disown(pid);
    }

    /// Starts it; one that fails is nobody's from now on.
    pub(super) fn go(&self, newborn: Newborn<'_>) -> io::Result<Started> {
        let pid = newborn.pid;
        newborn.go().inspect_err(|_| self.disown(pid))
    }

    /// Nobody waits for its end any more.
    pub(super) fn disown(&self, pid: i32) {
        let mut children = self.children();
        if children.has(pid) {
            children.known.insert(pid, Child::Nobody);
        } else {
            children.known.remove(&pid);
        }
    }
}

/// Takes every exit, ours and that of orphans which fell to us.
pub fn reap(shared: &Shared) {
    loop {
        match process::wait_any() {
            Ok(Some(pid)) => taken(shared, pid),
            Ok(None) => {
                let children = shared.children();
                let wait = shared.born.wait_timeout(children, LOOK_EVERY);
                drop(wait.unwrap_or_else(PoisonError::into_inner));
            }
            Err(error) => {
                eprintln!("launcher: wait: {error}");
                thread::sleep(WATCH_EVERY);
            }
        }
    }
}

fn taken(shared: &Shared, pid: i32) {
    // It may be one that is just being made: those that were begun before its end are waited for.
    let mut children = shared.children();
    let begun = children.next;
    while !children.known.contains_key(&pid) && children.making.first().is_some_and(|first| *first < begun) {
        children = shared.born.wait(children).unwrap_or_else(PoisonError::into_inner);
    }
    drop(children);
    // No signal is sent to a number between its end and the word of it.
    let mut state = shared.lock();
    let mut children = shared.children();
    let status = match process::reap(pid) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("launcher: wait for {pid}: {error}");
            return;
        }
    };
    match children.known.remove(&pid) {
        Some(Child::Newborn) => {
            children.known.insert(pid, Child::Early(status));
        }
        Some(Child::Container(id)) => {
            drop(children);
            state.end(shared, &id, status);
        }
        // Nobody waits any more if it took too long.
        Some(Child::Helper(tell)) => tell.send(status).unwrap_or_default(),
        Some(Child::Early(_) | Child::Nobody) | None => {}
    }
}
