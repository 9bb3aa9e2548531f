//! Costly answers for many clients: to each question one at a time is made, shared by all who asked before it was begun.
//! Never: what an answer says, or how it is made.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Answers that are kept; when more are asked for, those that nobody waits for are forgotten.
const KEPT_MAX: usize = 32;
/// When nobody asks for anything during this, all of them are forgotten.
const IDLE: Duration = Duration::from_secs(60);

/// An answer as it was made last.
struct Made<A> {
    /// Who came before this number may be given it. Who came later may not: it may not show what was said to them.
    began: u64,
    answer: A,
}

type Room<A> = Arc<tokio::sync::Mutex<Option<Made<A>>>>;

struct State<Q, A> {
    rooms: Mutex<HashMap<Q, Room<A>>>,
    numbers: AtomicU64,
}

impl<Q, A> State<Q, A> {
    fn next(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

/// The latest answers.
pub struct Latest<Q, A> {
    state: Arc<State<Q, A>>,
}

impl<Q, A> Clone for Latest<Q, A> {
    fn clone(&self) -> Self {
        Self { state: self.state.clone() }
    }
}

impl<Q: Clone + Eq + Hash + Send + 'static, A: Clone + Send + 'static> Latest<Q, A> {
    /// None is made yet. `forgotten` is called whenever all of them were forgotten. Must be called inside a tokio
    /// runtime.
    pub fn new(forgotten: impl Fn() + Send + 'static) -> Self {
        let state = Arc::new(State { rooms: Mutex::default(), numbers: AtomicU64::new(1) });
        let weak = Arc::downgrade(&state);
        tokio::spawn(async move {
            let mut last = 0;
            loop {
                tokio::time::sleep(IDLE).await;
                let Some(state) = weak.upgrade() else { return };
                let now = state.numbers.load(Ordering::Relaxed);
                if now == std::mem::replace(&mut last, now) {
                    state.rooms.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    forgotten();
                }
            }
        });
        Self { state }
    }

    /// An answer that was begun after this was called. `make` is given the last one.
    pub async fn answer<E>(
        &self,
        question: Q,
        make: impl AsyncFnOnce(Option<A>) -> Result<A, E>,
    ) -> Result<A, E> {
        let came = self.state.next();
        let room = {
            let mut rooms = self.state.rooms.lock().unwrap_or_else(PoisonError::into_inner);
            if rooms.len() >= KEPT_MAX {
                rooms.retain(|_, room| Arc::strong_count(room) > 1);
            }
            rooms.entry(question).or_default().clone()
        };
        let mut made = room.lock().await;
        if let Some(made) = made.as_ref().filter(|made| made.began > came) {
            return Ok(made.answer.clone());
        }
        let began = self.state.next();
        let before = made.as_ref().map(|made| made.answer.clone());
        let answer = make(before).await?;
        *made = Some(Made { began, answer: answer.clone() });
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{convert::Infallible, sync::atomic::AtomicUsize};

    #[tokio::test]
    async fn all_who_wait_share_one_answer_and_who_comes_later_gets_a_later_one() {
        let latest = Latest::new(|| {});
        let made = Arc::new(AtomicUsize::new(0));
        let ask = || {
            let (latest, made) = (latest.clone(), made.clone());
            async move {
                let make = async |_: Option<usize>| {
                    let number = made.fetch_add(1, Ordering::SeqCst) + 1;
                    // so long that all the others have come
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                    Ok::<_, Infallible>(number)
                };
                latest.answer("q", make).await.unwrap_or_default()
            }
        };
        let asked: Vec<_> = (0..50).map(|_| tokio::spawn(ask())).collect();
        let mut answers = Vec::new();
        for one in asked {
            answers.push(one.await.unwrap());
        }
        assert_eq!(answers[0], 1);
        assert!(answers[1..].iter().all(|answer| *answer == 2), "{answers:?}");
        assert_eq!(ask().await, 3);
        let before = latest.answer("q", async |before: Option<usize>| Err::<usize, _>(before)).await;
        assert_eq!(before, Err(Some(3)), "who makes one is given the last");
    }
}
