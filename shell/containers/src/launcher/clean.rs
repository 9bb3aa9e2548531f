//! The groups of ended containers are removed beside everything else; what is left in them is ended first.

use super::{Shared, state::State};
use crate::journal::Line;
use linux::{cgroups::Cgroups, process};
use model::container::ContainerId;
use std::{sync::PoisonError, thread, time::Duration};

/// How often the groups of an ended container are tried to be removed, a millisecond apart.
const CLEAN_TRIES_MAX: u32 = 1000;
/// How often, a millisecond apart, everything is ended before a launcher that was told to stop ends all the same.
const STOP_TRIES_MAX: u32 = 3000;
/// How often the groups of a container are tried to be removed that an earlier launcher was making when it ended.
const SWEEP_TRIES_MAX: u32 = 50;
const PAUSE: Duration = Duration::from_millis(1);

impl Shared {
    /// The groups of a container that has ended are removed soon.
    pub(super) fn leave(&self, id: &ContainerId) {
        self.remains().insert(id.clone(), 0);
        self.remained.notify_one();
    }
}

pub fn clean(shared: &Shared) {
    loop {
        let mut remains = shared.remains();
        while remains.is_empty() {
            remains = shared.remained.wait(remains).unwrap_or_else(PoisonError::into_inner);
        }
        drop(remains);
        if !clean_all(shared) {
            thread::sleep(PAUSE);
        }
    }
}

/// Before the launcher ends: all that runs and all that is left goes first, but it does not wait for ever.
pub fn finish(shared: &Shared) {
    let mut tries = 0;
    while !ended(shared) && tries < STOP_TRIES_MAX {
        tries += 1;
        thread::sleep(PAUSE);
    }
}

fn ended(shared: &Shared) -> bool {
    let quiet = shared.lock().stop(shared);
    clean_all(shared) && quiet
}

/// What an earlier launcher left behind, now that it is known where its groups are. Those that it was making may be made
/// again, so they go before anything else happens.
pub fn sweep(shared: &Shared, state: &mut State) {
    for id in std::mem::take(&mut state.unmade) {
        let mut tries = 0;
        while state.cleaned.as_ref().is_some_and(|c| !remove(c, &id)) && tries < SWEEP_TRIES_MAX {
            tries += 1;
            thread::sleep(PAUSE);
        }
        state.journal.keep(Line::Forgotten { container: id });
    }
    if state.cleaned.is_some() {
        std::mem::take(&mut state.left).iter().for_each(|id| shared.leave(id));
    }
}

/// Tries each once; false if something is still there.
fn clean_all(shared: &Shared) -> bool {
    let cgroups = shared.lock().cleaned.clone();
    let ids: Vec<_> = shared.remains().keys().cloned().collect();
    for id in ids {
        let gone = cgroups.as_ref().is_none_or(|c| remove(c, &id));
        let mut remains = shared.remains();
        if let Some(tries) = remains.get_mut(&id) {
            *tries += 1;
            if gone || *tries >= CLEAN_TRIES_MAX {
                remains.remove(&id);
            }
        }
    }
    shared.remains().is_empty()
}

/// Removes the groups of a container if nothing is in them, and ends it if something is.
fn remove(cgroups: &Cgroups, id: &ContainerId) -> bool {
    let gone = cgroups.remove(&id.0);
    if !gone {
        for pid in cgroups.processes(&id.0) {
            process::signal(pid, 9);
        }
    }
    gone
}
