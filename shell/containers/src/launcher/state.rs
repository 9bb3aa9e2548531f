//! What the launcher knows of its containers: queued, being made, running, ended. A container is in one of these.

use super::{Shared, agent::Outbox, children::Child};
use crate::{
    isolation::Isolation,
    journal::{Journal, Line},
    protocol::Word,
    switchboard::Board,
};
use linux::{
    cgroups::Cgroups,
    process::{self, Status},
    spawn,
};
use model::container::{ContainerId, ContainerSpec, Termination};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

const SIGKILL: i32 = 9;
const SIGSTOP: i32 = 19;

/// A container that runs.
pub struct Container {
    pub pid: u32,
    pub started: Option<spawn::Started>,
    pub sandbox: String,
    /// A process of ours stands before the task.
    pub fronted: bool,
    /// That process ends by itself when the task has, with all that the task left.
    pub keeper: bool,
    /// It may have groups of its own, which go after it.
    pub grouped: bool,
    /// Started by an earlier launcher: not our child, known by when it started.
    pub adopted: Option<u64>,
}

impl Container {
    /// Whether it is not our child and not there any more: its number may be another's.
    pub fn is_gone(&self) -> bool {
        self.adopted.is_some_and(|since| process::started(self.pid as i32) != Some(since))
    }
}

pub struct State {
    pub journal: Journal,
    /// Ordered, in which order.
    line: VecDeque<ContainerId>,
    pub queue: BTreeMap<ContainerId, Box<ContainerSpec>>,
    /// Being made.
    pub starting: BTreeSet<ContainerId>,
    pub running: BTreeMap<ContainerId, Container>,
    pub ended: BTreeMap<ContainerId, Termination>,
    pub boards: BTreeMap<ContainerId, Board>,
    /// To be ended by force, whether they run or are being made.
    pub destroyed: BTreeSet<ContainerId>,
    /// An earlier launcher was making them: their groups may be there.
    pub unmade: Vec<ContainerId>,
    /// They ended in an earlier launcher's time: their groups may be there.
    pub left: Vec<ContainerId>,
    pub agent: Option<Outbox>,
    pub agents: u64,
    /// Told to stop: nothing new is made.
    pub stopping: bool,
    pub idle_since: Instant,
    pub isolation: Isolation,
    pub cgroups: Option<Cgroups>,
    /// All that containers may have had, by whatever isolation they were made: their groups go with them.
    pub cleaned: Option<Cgroups>,
    pub file_limit: Option<u64>,
}

impl State {
    pub fn new(journal: Journal) -> Self {
        Self {
            journal,
            line: VecDeque::new(),
            queue: BTreeMap::new(),
            starting: BTreeSet::new(),
            running: BTreeMap::new(),
            ended: BTreeMap::new(),
            boards: BTreeMap::new(),
            destroyed: BTreeSet::new(),
            unmade: Vec::new(),
            left: Vec::new(),
            agent: None,
            agents: 0,
            stopping: false,
            idle_since: Instant::now(),
            isolation: Isolation::default(),
            cgroups: None,
            cleaned: None,
            file_limit: None,
        }
    }

    /// Whether nobody needs this process.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.starting.is_empty() && self.queue.is_empty() && self.agent.is_none()
    }

    /// Takes an order to make a container, if it is not known already.
    pub fn enqueue(&mut self, spec: Box<ContainerSpec>) {
        let known = self.starting.contains(&spec.id)
            || self.running.contains_key(&spec.id)
            || self.ended.contains_key(&spec.id)
            || self.queue.contains_key(&spec.id);
        if !known && !self.stopping {
            self.line.push_back(spec.id.clone());
            self.queue.insert(spec.id.clone(), spec);
        }
    }

    /// The next container to be made; from now on it is being made.
    pub fn next(&mut self) -> Option<Box<ContainerSpec>> {
        loop {
            // Those that were destroyed meanwhile are in the line only.
            let id = self.line.pop_front()?;
            if let Some(spec) = self.queue.remove(&id) {
                self.starting.insert(id);
                return Some(spec);
            }
        }
    }

    /// Tells the agent, if one is there. If not, the journal keeps it.
    pub fn say(&mut self, word: &Word) {
        let Some(agent) = &self.agent else { return };
        let Ok(mut text) = serde_json::to_vec(word) else { return };
        text.push(b'\n');
        if !agent.say(text) {
            self.agent = None;
            self.idle_since = Instant::now();
        }
    }

    /// All processes of a container but the one of ours that stands before them.
    pub fn processes(&self, id: &ContainerId) -> Vec<i32> {
        let Some(container) = self.running.get(id).filter(|c| !c.is_gone()) else { return Vec::new() };
        let pid = container.pid as i32;
        let mut all = self.cgroups.as_ref().map_or_else(Vec::new, |c| c.processes(&id.0));
        if all.is_empty() {
            all = process::tree(pid);
        }
        if container.fronted {
            all.retain(|p| *p != pid);
        }
        all
    }

    fn kill(&self, id: &ContainerId) {
        let Some(container) = self.running.get(id).filter(|c| !c.is_gone()) else { return };
        let grouped = self.cgroups.as_ref().is_some_and(|c| c.exists(&id.0));
        let others = if grouped {
            self.processes(id)
        } else {
            // What a group loses sight of, its cleaning finds; a tree that is cut grows on unseen.
            if !container.fronted {
                process::signal(container.pid as i32, SIGSTOP);
            }
            process::stop_descendants(container.pid as i32)
        };
        for pid in &others {
            process::signal(*pid, SIGKILL);
        }
        // A keeper has work to do yet.
        if !container.keeper || others.is_empty() {
            process::signal(container.pid as i32, SIGKILL);
        }
    }

    /// Ends a container by force, or does not make it.
    pub fn destroy(&mut self, shared: &Shared, id: ContainerId) {
        if self.running.contains_key(&id) {
            self.destroyed.insert(id.clone());
            self.kill(&id);
        } else if self.starting.contains(&id) {
            // Whoever makes it sees to it.
            self.destroyed.insert(id);
        } else if self.queue.remove(&id).is_some() {
            self.say(&Word::Failed { container: id, why: "It was destroyed before it was made".to_owned() });
        } else if !self.ended.contains_key(&id) {
            if self.cleaned.is_some() {
                shared.leave(&id);
            }
            self.say(&Word::Failed { container: id, why: "There is no such container".to_owned() });
        }
    }

    /// Ends all containers and makes no more; true once there is none.
    pub fn stop(&mut self, shared: &Shared) -> bool {
        self.stopping = true;
        self.queue.clear();
        self.running.retain(|_, container| !container.is_gone());
        for id in self.running.keys() {
            self.kill(id);
            shared.leave(id);
        }
        self.running.is_empty() && self.starting.is_empty()
    }

    /// A container runs.
    pub fn runs(&mut self, shared: &Shared, id: &ContainerId, container: Container, board: Option<Board>) {
        let pid = container.pid;
        self.boards.extend(board.map(|board| (id.clone(), board)));
        self.running.insert(id.clone(), container);
        self.say(&Word::Launched { container: id.clone(), pid });
        let early = shared.children().name(pid as i32, Child::Container(id.clone()));
        if let Some(status) = early {
            self.end(shared, id, status);
        } else if self.destroyed.contains(id) || self.stopping {
            self.kill(id);
        }
    }

    /// A container could not be made.
    pub fn failed(&mut self, shared: &Shared, id: &ContainerId, why: String) {
        self.journal.keep(Line::Forgotten { container: id.clone() });
        self.destroyed.remove(id);
        if self.cleaned.is_some() {
            shared.leave(id);
        }
        self.say(&Word::Failed { container: id.clone(), why });
        self.idle_since = Instant::now();
    }

    /// The first process of a container has ended.
    pub fn end(&mut self, shared: &Shared, id: &ContainerId, status: Status) {
        let Some(mut container) = self.running.remove(id) else { return };
        let seen = container.started.as_mut().map_or(status, |s| s.outcome(status));
        // Its accounts are read only where they can explain the end: they are several files.
        let cgroups =
            self.cgroups.as_ref().filter(|_| matches!(seen, Status::Signaled(9) | Status::Exited(137)));
        let memory = cgroups.and_then(|c| c.memory(&id.0));
        let how = match (memory, seen) {
            (Some(m), Status::Signaled(9)) if m.kills > 0 && !self.destroyed.contains(id) => {
                Termination::OutOfMemory { limit: m.limit, peak: m.peak }
            }
            // A shell whose child was killed for lack of memory ends with 128 + 9.
            (Some(m), Status::Exited(137)) if m.kills > 0 => {
                Termination::OutOfMemory { limit: m.limit, peak: m.peak }
            }
            (_, Status::Exited(code)) => Termination::Exited(code),
            (_, Status::Signaled(signal)) => Termination::Signaled(signal),
        };
        self.finish(shared, id, how, container.grouped);
    }

    pub fn finish(&mut self, shared: &Shared, id: &ContainerId, how: Termination, grouped: bool) {
        self.journal.keep(Line::Ended { container: id.clone(), how: how.clone() });
        self.ended.insert(id.clone(), how.clone());
        self.destroyed.remove(id);
        if let Some(board) = self.boards.get(id) {
            board.container_ended();
        }
        if grouped && self.cleaned.is_some() {
            shared.leave(id);
        }
        self.say(&Word::Terminated { container: id.clone(), how });
        self.idle_since = Instant::now();
    }
}
