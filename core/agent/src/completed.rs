//! Tasks that have ended and are still shown, the oldest first. One is found by its id without looking at all of them.
//! Never what an end means.

use crate::state::Task;
use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    ops::Deref,
};

/// Ended tasks, read as a list.
#[derive(Debug, Default)]
pub(crate) struct Completed {
    all: VecDeque<Task>,
    /// One number of the id of each, in the same order: a thousand of them lie in a few lines of memory.
    marks: VecDeque<u64>,
}

impl Deref for Completed {
    type Target = VecDeque<Task>;
    fn deref(&self) -> &VecDeque<Task> {
        &self.all
    }
}

fn mark(framework: &str, task: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (framework, task).hash(&mut hasher);
    hasher.finish()
}

impl Completed {
    /// Adds one; no more than so many are kept.
    pub fn push(&mut self, task: Task, tasks_max: usize) {
        self.marks.push_back(mark(&task.framework, task.id()));
        self.all.push_back(task);
        while self.all.len() > tasks_max {
            self.all.pop_front();
            self.marks.pop_front();
        }
    }

    /// Those of this id among the last so many, the last one first.
    pub fn of(&self, framework: &str, task: &str, last: usize) -> impl Iterator<Item = &Task> {
        let wanted = mark(framework, task);
        let found = self.marks.iter().enumerate().rev().take(last).filter(move |(_, mark)| **mark == wanted);
        found.filter_map(|(at, _)| self.all.get(at))
    }
}
