//! What became of tasks lately, for whoever writes it down after a step. Never what follows from it.

use crate::timed::Key;
use model::mesos::TaskState;
use std::collections::VecDeque;

/// Changes that are kept: more than the steps that are taken before anybody looks.
const NEWS_MAX: usize = 2048;

/// The last changes of tasks' states, numbered.
#[derive(Debug, Default)]
pub(crate) struct News {
    last: VecDeque<(Key, TaskState)>,
    /// All that ever happened.
    count: u64,
}

impl News {
    pub fn push(&mut self, key: &Key, state: TaskState) {
        if self.last.len() == NEWS_MAX {
            self.last.pop_front();
        }
        self.last.push_back((key.clone(), state));
        self.count += 1;
    }

    /// What happened since there were so many, as far as it is kept, and how many there are now.
    pub fn since(&self, count: u64) -> (impl Iterator<Item = &(Key, TaskState)>, u64) {
        let fresh = usize::try_from(self.count.saturating_sub(count)).unwrap_or(usize::MAX);
        (self.last.iter().skip(self.last.len().saturating_sub(fresh)), self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_news_once_and_the_oldest_are_dropped() {
        let mut news = News::default();
        let key = |n: usize| ("f".to_owned(), n.to_string());
        news.push(&key(0), TaskState::TaskStaging);
        news.push(&key(0), TaskState::TaskRunning);
        let (fresh, count) = news.since(1);
        assert_eq!(fresh.collect::<Vec<_>>(), [&(key(0), TaskState::TaskRunning)]);
        assert_eq!(news.since(count).0.count(), 0);
        (0..NEWS_MAX + 5).for_each(|n| news.push(&key(n), TaskState::TaskStaging));
        let (mut fresh, count) = news.since(count);
        assert_eq!(fresh.next(), Some(&(key(5), TaskState::TaskStaging)));
        assert_eq!((fresh.count(), count), (NEWS_MAX - 1, NEWS_MAX as u64 + 7));
    }
}
